//! Evaluation on blocks: every operation runs over up to 64 points before the next one starts.
//!
//! Each node has its own row, so rows that depend on broadcast variables alone (time, say) are computed once per call.

use super::program::{Binary, Op, Program, Unary};

/// Points per block: rows of 512 bytes, so that a formula of some dozens of operations stays in the first cache.
pub(super) const LANES: usize = 64;

/// Write the value at each point. Each variable has `out.len()` entries, or one that holds for all points.
pub(super) fn evaluate(program: &Program, vars: &[&[f64]], out: &mut [f64]) {
    let n = out.len();
    let lanes = n.min(LANES);
    let broadcast = broadcast(vars);
    let Some(root) = program.nodes.len().checked_sub(1) else { return };
    let mut rows = vec![0.0; program.nodes.len() * lanes];
    for k in (0..=root).filter(|&k| n > 0 && program.uses[k] & !broadcast == 0) {
        step(program, vars, 0, k, &mut rows, lanes, 1);
        let row = &mut rows[k * lanes..(k + 1) * lanes];
        row.fill(row[0]);
    }
    for start in (0..n).step_by(LANES) {
        let width = lanes.min(n - start);
        for k in (0..=root).filter(|&k| program.uses[k] & !broadcast != 0) {
            step(program, vars, start, k, &mut rows, lanes, width);
        }
        out[start..start + width].copy_from_slice(&rows[root * lanes..root * lanes + width]);
    }
}

/// The variables with a single entry (bit i for variable i).
pub(super) fn broadcast(vars: &[&[f64]]) -> u128 {
    vars.iter().enumerate().filter(|(_, v)| v.len() == 1).fold(0, |mask, (i, _)| mask | 1 << i)
}

/// Compute row `k` for the `width` points from `start` on.
pub(super) fn step(program: &Program, vars: &[&[f64]], start: usize, k: usize, rows: &mut [f64], lanes: usize, width: usize) {
    let (done, rest) = rows.split_at_mut(k * lanes);
    let out = &mut rest[..width];
    match program.nodes[k] {
        Op::Constant(bits) => out.fill(f64::from_bits(bits)),
        Op::Variable(i) => out.copy_from_slice(&vars[i as usize][start..start + width]),
        op => apply(op, |id| &done[id as usize * lanes..id as usize * lanes + width], out),
    }
}

fn map(a: &[f64], out: &mut [f64], f: impl Fn(f64) -> f64) {
    for (o, &a) in out.iter_mut().zip(a) {
        *o = f(a);
    }
}

fn map2(a: &[f64], b: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *o = f(a, b);
    }
}

/// 1 or 0 for a comparison; NaN when a side is NaN, so that an undefined comparison does not quietly pick a branch.
fn compare(a: &[f64], b: &[f64], out: &mut [f64], f: impl Fn(f64, f64) -> bool) {
    map2(a, b, out, |a, b| if a.is_nan() | b.is_nan() { f64::NAN } else { f64::from(u8::from(f(a, b))) });
}

/// 1 for a number other than zero, 0 for zero, NaN for NaN.
pub(super) fn truth(a: f64) -> f64 {
    if a.is_nan() {
        a
    } else if a == 0.0 {
        0.0
    } else {
        1.0
    }
}

/// Whether the minimum is its second argument: the first on ties, NaN if either is.
pub(super) fn second_is_min(a: f64, b: f64) -> bool {
    (b < a) | b.is_nan()
}

/// Whether the maximum is its second argument: the first on ties, NaN if either is.
pub(super) fn second_is_max(a: f64, b: f64) -> bool {
    (b > a) | b.is_nan()
}

/// a^n by repeated squaring, from the highest bit of |n| down.
pub(super) fn power(a: &[f64], n: i8, out: &mut [f64]) {
    let size = n.unsigned_abs();
    out.fill(1.0);
    for bit in (0..u8::BITS - size.leading_zeros()).rev() {
        let odd = size >> bit & 1 == 1;
        map_in_place(out, a, |o, a| if odd { o * o * a } else { o * o });
    }
    if n < 0 {
        out.iter_mut().for_each(|o| *o = 1.0 / *o);
    }
}

fn map_in_place(out: &mut [f64], a: &[f64], f: impl Fn(f64, f64) -> f64) {
    for (o, &a) in out.iter_mut().zip(a) {
        *o = f(*o, a);
    }
}

/// Write the value of one operation, given the rows of its operands. Constants and variables write nothing.
pub(super) fn apply<'a>(op: Op, row: impl Fn(u32) -> &'a [f64], out: &mut [f64]) {
    match op {
        Op::Constant(_) | Op::Variable(_) => {}
        Op::Unary(f, a) => unary(f, row(a), out),
        Op::Binary(f, a, b) => binary(f, row(a), row(b), out),
        Op::Power(a, n) => power(row(a), n, out),
        Op::Where(c, a, b) => {
            // The branch not taken is computed and dropped: its NaN never reaches the result.
            for (((o, &c), &a), &b) in out.iter_mut().zip(row(c)).zip(row(a)).zip(row(b)) {
                let taken = if c != 0.0 { a } else { b };
                *o = if c.is_nan() { c } else { taken };
            }
        }
    }
}

fn unary(f: Unary, a: &[f64], out: &mut [f64]) {
    match f {
        Unary::Neg => map(a, out, |a| -a),
        Unary::Not => map(a, out, |a| 1.0 - truth(a)),
        Unary::Sin => map(a, out, f64::sin),
        Unary::Cos => map(a, out, f64::cos),
        Unary::Tan => map(a, out, f64::tan),
        Unary::Asin => map(a, out, f64::asin),
        Unary::Acos => map(a, out, f64::acos),
        Unary::Atan => map(a, out, f64::atan),
        Unary::Sinh => map(a, out, f64::sinh),
        Unary::Cosh => map(a, out, f64::cosh),
        Unary::Tanh => map(a, out, f64::tanh),
        Unary::Exp => map(a, out, f64::exp),
        Unary::Log => map(a, out, f64::ln),
        Unary::Log1p => map(a, out, f64::ln_1p),
        Unary::Expm1 => map(a, out, f64::exp_m1),
        Unary::Sqrt => map(a, out, f64::sqrt),
        Unary::Abs => map(a, out, f64::abs),
        // Zero and NaN are their own sign.
        Unary::Sign => map(a, out, |a| if (a == 0.0) | a.is_nan() { a } else { a.signum() }),
        Unary::Floor => map(a, out, f64::floor),
        Unary::Ceil => map(a, out, f64::ceil),
        Unary::Erf => map(a, out, libm::erf),
    }
}

fn binary(f: Binary, a: &[f64], b: &[f64], out: &mut [f64]) {
    match f {
        Binary::Add => map2(a, b, out, |a, b| a + b),
        Binary::Sub => map2(a, b, out, |a, b| a - b),
        Binary::Mul => map2(a, b, out, |a, b| a * b),
        Binary::Div => map2(a, b, out, |a, b| a / b),
        Binary::Pow => map2(a, b, out, f64::powf),
        Binary::Atan2 => map2(a, b, out, f64::atan2),
        Binary::Hypot => map2(a, b, out, f64::hypot),
        Binary::Min => map2(a, b, out, |a, b| if second_is_min(a, b) { b } else { a }),
        Binary::Max => map2(a, b, out, |a, b| if second_is_max(a, b) { b } else { a }),
        Binary::Less => compare(a, b, out, |a, b| a < b),
        Binary::LessEqual => compare(a, b, out, |a, b| a <= b),
        Binary::Equal => compare(a, b, out, |a, b| a == b),
        Binary::NotEqual => compare(a, b, out, |a, b| a != b),
        // As in Python, the right side counts only when the left one does not decide: false and NaN is false.
        Binary::And => map2(a, b, out, |a, b| if (a == 0.0) | a.is_nan() { truth(a) } else { truth(b) }),
        Binary::Or => map2(a, b, out, |a, b| if (a != 0.0) | a.is_nan() { truth(a) } else { truth(b) }),
    }
}
