//! Derivatives by forward mode: each row carries its partial derivatives in the chosen variables.
//!
//! Conventions where a derivative does not exist: abs and hypot have derivative 0 at 0, min and max that of the active
//! argument (the first on ties), where that of the branch taken, and comparisons, sign, floor and ceil have derivative 0.
//! An inner derivative of exactly 0 gives 0 whatever the outer factor, so that sqrt(where(x > 0, x, 0)) is flat at x < 0
//! and sqrt(x**2) agrees with abs(x) at 0.
//! Reference: Griewank, Walther, Evaluating Derivatives, 2nd edition, SIAM 2008, chapter 3.

use super::eval::{LANES, broadcast, power, second_is_max, second_is_min, step, truth};
use super::program::{Binary, Id, Op, Program, Unary};
use crate::points::PointsMut;

/// Write the value and the derivatives in the variables `wrt` at each point; `grads` has `wrt.len()` coordinates.
pub(super) fn evaluate(program: &Program, vars: &[&[f64]], wrt: &[usize], out: &mut [f64], grads: &mut PointsMut<'_>) {
    let n = out.len();
    let Some(root) = program.nodes.len().checked_sub(1) else { return };
    let broadcast = broadcast(vars);
    let mut tape = Tape::new(program, wrt, n.min(LANES));
    let lanes = tape.lanes;
    for k in (0..=root).filter(|&k| n > 0 && program.uses[k] & !broadcast == 0) {
        tape.step(vars, 0, k, 1);
        let row = &mut tape.rows[k * lanes..(k + 1) * lanes];
        row.fill(row[0]);
        for row in tape.tangents[tape.first[k] * lanes..tape.first[k + 1] * lanes].chunks_exact_mut(lanes) {
            row.fill(row[0]);
        }
    }
    for start in (0..n).step_by(LANES) {
        let width = lanes.min(n - start);
        for k in (0..=root).filter(|&k| program.uses[k] & !broadcast != 0) {
            tape.step(vars, start, k, width);
        }
        out[start..start + width].copy_from_slice(&tape.rows[root * lanes..root * lanes + width]);
        for j in 0..wrt.len() {
            let grad = &mut grads.coord_mut(j)[start..start + width];
            match tape.layout(root as Id, j) {
                Some(row) => grad.copy_from_slice(&tape.tangents[row * lanes..row * lanes + width]),
                None => grad.fill(0.0),
            }
        }
    }
}

/// The rows of values, and those of derivatives that are not zero by structure.
struct Tape<'a> {
    program: &'a Program,
    wrt: &'a [usize],
    lanes: usize,
    rows: Vec<f64>,
    tangents: Vec<f64>,
    /// First derivative row of each node, and the number of rows at the end.
    first: Vec<usize>,
}

impl<'a> Tape<'a> {
    fn new(program: &'a Program, wrt: &'a [usize], lanes: usize) -> Self {
        let mut first = vec![0];
        for &slopes in &program.slopes {
            let count = wrt.iter().filter(|&&i| slopes >> i & 1 == 1).count();
            first.push(first[first.len() - 1] + count);
        }
        let tangents = vec![0.0; first[first.len() - 1] * lanes];
        Tape { program, wrt, lanes, rows: vec![0.0; program.nodes.len() * lanes], tangents, first }
    }

    /// Row of the derivative of node `id` in the j-th chosen variable; `None` when it is zero by structure.
    fn layout(&self, id: Id, j: usize) -> Option<usize> {
        let slopes = self.program.slopes[id as usize];
        let before = self.wrt[..j].iter().filter(|&&i| slopes >> i & 1 == 1).count();
        (slopes >> self.wrt[j] & 1 == 1).then(|| self.first[id as usize] + before)
    }

    /// Value and derivatives of node `k`.
    fn step(&mut self, vars: &[&[f64]], start: usize, k: usize, width: usize) {
        let (program, lanes) = (self.program, self.lanes);
        step(program, vars, start, k, &mut self.rows, lanes, width);
        if self.first[k] == self.first[k + 1] {
            return;
        }
        let values = &self.rows;
        let row = |id: Id| &values[id as usize * lanes..id as usize * lanes + width];
        let value = row(k as Id);
        // Partial derivatives of the operation in its operands, or the selector in the first of them.
        let (mut da, mut db) = ([0.0; LANES], [0.0; LANES]);
        let (da, db) = (&mut da[..width], &mut db[..width]);
        let sloped = |id: Id| self.first[id as usize] != self.first[id as usize + 1];
        let (a, b, selects) = match program.nodes[k] {
            Op::Constant(_) | Op::Variable(_) => (None, None, false),
            Op::Unary(f, a) => {
                unary(f, row(a), value, da);
                (Some(a), None, false)
            }
            Op::Power(a, n) => {
                power(row(a), n - 1, da);
                da.iter_mut().for_each(|d| *d *= f64::from(n));
                (Some(a), None, false)
            }
            Op::Binary(f @ (Binary::Min | Binary::Max), a, b) => {
                let second = if f == Binary::Min { second_is_min } else { second_is_max };
                write2(row(a), row(b), da, |a, b| if second(a, b) { 0.0 } else { 1.0 });
                (Some(a), Some(b), true)
            }
            Op::Where(c, a, b) => {
                write1(row(c), da, truth);
                (Some(a), Some(b), true)
            }
            Op::Binary(f, a, b) => {
                if sloped(a) {
                    left(f, row(a), row(b), value, da);
                }
                if sloped(b) {
                    right(f, row(a), row(b), value, db);
                }
                (Some(a), Some(b), false)
            }
        };
        let mut slot = self.first[k];
        for j in 0..self.wrt.len() {
            if self.layout(k as Id, j).is_none() {
                continue;
            }
            let ta = a.and_then(|id| self.layout(id, j));
            let tb = b.and_then(|id| self.layout(id, j));
            let (done, rest) = self.tangents.split_at_mut(slot * lanes);
            let out = &mut rest[..width];
            let tangent = |row: usize| &done[row * lanes..row * lanes + width];
            slot += 1;
            match (ta, tb) {
                // A variable is its own only slope.
                (None, None) => out.fill(1.0),
                (ta, tb) if selects => {
                    let zero = [0.0; LANES];
                    let ta = ta.map_or(&zero[..width], tangent);
                    let tb = tb.map_or(&zero[..width], tangent);
                    for (((o, &s), &ta), &tb) in out.iter_mut().zip(&*da).zip(ta).zip(tb) {
                        let taken = if s != 0.0 { ta } else { tb };
                        *o = if s.is_nan() { s } else { taken };
                    }
                }
                (Some(ta), None) => write2(da, tangent(ta), out, chain),
                (None, Some(tb)) => write2(db, tangent(tb), out, chain),
                (Some(ta), Some(tb)) => {
                    write2(da, tangent(ta), out, chain);
                    for ((o, &d), &t) in out.iter_mut().zip(&*db).zip(tangent(tb)) {
                        *o += chain(d, t);
                    }
                }
            }
        }
    }
}

/// Outer times inner derivative, zero when the inner one is.
fn chain(outer: f64, inner: f64) -> f64 {
    if inner == 0.0 { 0.0 } else { outer * inner }
}

fn write1(a: &[f64], out: &mut [f64], f: impl Fn(f64) -> f64) {
    for (o, &a) in out.iter_mut().zip(a) {
        *o = f(a);
    }
}

fn write2(a: &[f64], b: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *o = f(a, b);
    }
}

/// Derivative of a function of one variable, at argument `a` with value `v`.
fn unary(f: Unary, a: &[f64], v: &[f64], out: &mut [f64]) {
    match f {
        Unary::Neg => out.fill(-1.0),
        Unary::Sin => write1(a, out, f64::cos),
        Unary::Cos => write1(a, out, |a| -a.sin()),
        Unary::Tan => write1(v, out, |v| 1.0 + v * v),
        Unary::Asin => write1(a, out, |a| 1.0 / ((1.0 - a) * (1.0 + a)).sqrt()),
        Unary::Acos => write1(a, out, |a| -1.0 / ((1.0 - a) * (1.0 + a)).sqrt()),
        Unary::Atan => write1(a, out, |a| 1.0 / (1.0 + a * a)),
        Unary::Sinh => write1(a, out, f64::cosh),
        Unary::Cosh => write1(a, out, f64::sinh),
        // 1 - tanh^2 would cancel in the tails.
        Unary::Tanh => write1(a, out, |a| (1.0 / a.cosh()).powi(2)),
        Unary::Exp => out.copy_from_slice(v),
        // Outside the domain the value is NaN, and 1/a must not look like a derivative.
        Unary::Log => write1(a, out, |a| if a < 0.0 { f64::NAN } else { 1.0 / a }),
        Unary::Log1p => write1(a, out, |a| if a < -1.0 { f64::NAN } else { 1.0 / (1.0 + a) }),
        Unary::Expm1 => write1(a, out, f64::exp),
        Unary::Sqrt => write1(v, out, |v| 0.5 / v),
        Unary::Abs => write1(a, out, |a| if a == 0.0 { 0.0 } else { a.signum() }),
        Unary::Erf => write1(a, out, |a| std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp()),
        Unary::Not | Unary::Sign | Unary::Floor | Unary::Ceil => out.fill(0.0),
    }
}

/// Derivative in the first operand.
fn left(f: Binary, a: &[f64], b: &[f64], v: &[f64], out: &mut [f64]) {
    match f {
        Binary::Add | Binary::Sub => out.fill(1.0),
        Binary::Mul => out.copy_from_slice(b),
        Binary::Div => write1(b, out, |b| 1.0 / b),
        Binary::Pow => write2(a, b, out, |a, b| if b == 0.0 { 0.0 } else { b * a.powf(b - 1.0) }),
        Binary::Atan2 => write2(a, b, out, |a, b| over_square(b, a.hypot(b))),
        Binary::Hypot => write2(a, v, out, |a, v| if v == 0.0 { 0.0 } else { a / v }),
        _ => out.fill(0.0),
    }
}

/// Derivative in the second operand.
fn right(f: Binary, a: &[f64], b: &[f64], v: &[f64], out: &mut [f64]) {
    match f {
        Binary::Add => out.fill(1.0),
        Binary::Sub => out.fill(-1.0),
        Binary::Mul => out.copy_from_slice(a),
        Binary::Div => write2(v, b, out, |v, b| -v / b),
        // 0^b is flat in b > 0, although log 0 is infinite.
        Binary::Pow => write2(a, b, out, |a, b| if (a == 0.0) & (b > 0.0) { 0.0 } else { a.powf(b) * a.ln() }),
        Binary::Atan2 => write2(a, b, out, |a, b| over_square(-a, a.hypot(b))),
        Binary::Hypot => write2(b, v, out, |b, v| if v == 0.0 { 0.0 } else { b / v }),
        _ => out.fill(0.0),
    }
}

/// c / h^2 without the overflow of the square.
fn over_square(c: f64, h: f64) -> f64 {
    c / h / h
}
