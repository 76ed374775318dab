//! Gauss-Seidel smoothing by points or by lines.
//!
//! Point sweeps suit isotropic diffusive rows. Where cells are convective or one axis couples much more strongly than
//! another, errors along the strong direction are invisible to point sweeps; solving whole lines of each axis in turn,
//! forward before the coarse correction and backward after it, smooths them whatever the direction of the drift.
//! A sweep takes the couplings with other lines in vectorised passes and one recursion along the line. Lines of a slow
//! axis are swept on a copy in which that axis is fastest.
//! Reference: U. Trottenberg, C. W. Oosterlee, A. Schueller, Multigrid (2001), sections 5.1 and 7.

use super::operator::{Operator, subtract_pair};
use crate::error::LinearError;

/// A row is convective when its couplings on a relevant axis differ by more than this fraction of their sum (cell Peclet
/// number about 1 with central, 2 with upwind differences).
const SKEW: f64 = 0.6;
/// A row is anisotropic when its couplings on two axes differ by more than this factor.
const ANISOTROPY: f64 = 4.0;
/// An axis is relevant in a row when it carries more than this fraction of the diagonal.
const RELEVANT: f64 = 0.1;
/// Lines are used when more than this fraction of the rows asks for them.
const FRACTION: f64 = 0.02;

/// Arrays of the sweeps of one kind; the line axis is the fastest one of their layout.
pub(super) struct Sweep {
    kind: Kind,
    outer: usize,
    len: usize,
    inner: usize,
    pad: usize,
    /// (stride, lower, upper) of the other axes.
    transverse: Vec<(usize, Vec<f64>, Vec<f64>)>,
    /// Point: entry below over centre. Line: multipliers of the elimination.
    lower: Vec<f64>,
    /// Point: entry above over centre. Line: entries above over pivots.
    upper: Vec<f64>,
    /// Point: inverse centres. Line: inverse pivots.
    inverse: Vec<f64>,
    x: Vec<f64>,
    b: Vec<f64>,
    line: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Point,
    Line,
}

/// The sweeps that suit the rows of `a`; `pad` is the number of zeros around the vectors of the level.
pub(super) fn choose(a: &Operator, pad: usize) -> Result<Vec<Sweep>, LinearError> {
    let d = a.shape.len();
    if d == 1 {
        return Ok(vec![Sweep::new(a, 0, Kind::Line, pad)?]);
    }
    let (mut convective, mut anisotropic) = (0usize, 0usize);
    let mut strongest = vec![0usize; d];
    for j in 0..a.len() {
        let (mut least, mut most, mut axis, mut skewed) = (f64::INFINITY, 0.0, 0, false);
        for i in 0..d {
            let (l, u) = (a.off[2 * i][j], a.off[2 * i + 1][j]);
            let sum = l.abs() + u.abs();
            least = sum.min(least);
            if sum > most {
                (most, axis) = (sum, i);
            }
            // Rows at a face have one neighbour and say nothing about convection.
            skewed |= sum > RELEVANT * a.centre[j].abs() && l != 0.0 && u != 0.0 && (l - u).abs() > SKEW * sum;
        }
        convective += usize::from(skewed);
        if most > RELEVANT * a.centre[j].abs() && most > ANISOTROPY * least {
            anisotropic += 1;
            strongest[axis] += 1;
        }
    }
    let many = FRACTION * a.len() as f64;
    let one_axis = (0..d).find(|&i| strongest[i] as f64 >= 0.9 * a.len() as f64);
    if let (Some(axis), true) = (one_axis, (convective as f64) <= many) {
        return Ok(vec![Sweep::new(a, axis, Kind::Line, pad)?]);
    }
    if (convective.max(anisotropic) as f64) <= many {
        return Ok(vec![Sweep::new(a, d - 1, Kind::Point, pad)?]);
    }
    (0..d).rev().map(|axis| Sweep::new(a, axis, Kind::Line, pad)).collect()
}

impl Sweep {
    fn new(a: &Operator, axis: usize, kind: Kind, pad: usize) -> Result<Self, LinearError> {
        let n = a.len();
        let len = a.shape[axis];
        let outer: usize = a.shape[..axis].iter().product();
        let inner: usize = a.shape[axis + 1..].iter().product();
        let arrange = |from: &[f64]| {
            let mut to = vec![0.0; n];
            to_lines(outer, len, inner, from, &mut to);
            to
        };
        let stride = |i: usize| if i < axis { a.strides[i] } else { a.strides[i] * len };
        let others = (0..a.shape.len()).filter(|&i| i != axis);
        let transverse: Vec<_> = others.map(|i| (stride(i), arrange(&a.off[2 * i]), arrange(&a.off[2 * i + 1]))).collect();
        let pad = if inner == 1 { pad } else { transverse.iter().map(|t| t.0).max().unwrap_or(1) };
        let (mut lower, mut upper) = (arrange(&a.off[2 * axis]), arrange(&a.off[2 * axis + 1]));
        let mut inverse = arrange(&a.centre);
        match kind {
            Kind::Point => {
                for ((l, u), c) in lower.iter_mut().zip(&mut upper).zip(&mut inverse) {
                    *c = 1.0 / *c;
                    *l *= *c;
                    *u *= *c;
                }
            }
            Kind::Line => {
                // Elimination along each line; the entry below the first node of a line is zero.
                let (mut inverse_pivot, mut above) = (0.0, 0.0);
                for j in 0..n {
                    let factor = lower[j] * inverse_pivot;
                    let pivot = inverse[j] - factor * above;
                    if pivot == 0.0 || !pivot.is_finite() {
                        return Err(LinearError::Singular { row: j });
                    }
                    above = upper[j];
                    inverse_pivot = 1.0 / pivot;
                    lower[j] = factor;
                    upper[j] = above * inverse_pivot;
                    inverse[j] = inverse_pivot;
                }
            }
        }
        let copies = if inner == 1 { (Vec::new(), Vec::new()) } else { (vec![0.0; n + 2 * pad], vec![0.0; n]) };
        let line = vec![0.0; len];
        Ok(Sweep { kind, outer, len, inner, pad, transverse, lower, upper, inverse, x: copies.0, b: copies.1, line })
    }

    /// Name for reports.
    pub fn is_line(&self) -> bool {
        self.kind == Kind::Line
    }

    /// One sweep on A x = b, over the lines in ascending or descending order; `x` carries `pad` zeros at both ends.
    pub fn run(&mut self, b: &[f64], x: &mut [f64], pad: usize, forward: bool) {
        if self.inner == 1 {
            let mut line = std::mem::take(&mut self.line);
            self.sweep(b, x, &mut line, forward);
            self.line = line;
            return;
        }
        let n = b.len();
        let (mut line, mut own_x, mut own_b) =
            (std::mem::take(&mut self.line), std::mem::take(&mut self.x), std::mem::take(&mut self.b));
        to_lines(self.outer, self.len, self.inner, b, &mut own_b);
        to_lines(self.outer, self.len, self.inner, &x[pad..pad + n], &mut own_x[self.pad..self.pad + n]);
        self.sweep(&own_b, &mut own_x, &mut line, forward);
        to_lines(self.outer, self.inner, self.len, &own_x[self.pad..self.pad + n], &mut x[pad..pad + n]);
        (self.line, self.x, self.b) = (line, own_x, own_b);
    }

    fn sweep(&self, b: &[f64], x: &mut [f64], t: &mut [f64], forward: bool) {
        let (len, pad) = (self.len, self.pad);
        let lines = b.len() / len;
        for count in 0..lines {
            let start = len * if forward { count } else { lines - 1 - count };
            let at = pad + start;
            t.copy_from_slice(&b[start..start + len]);
            for (stride, lower, upper) in &self.transverse {
                subtract_pair(&lower[start..], &upper[start..], &x[at - stride..], &x[at + stride..], t);
            }
            let (lower, upper, inverse) =
                (&self.lower[start..start + len], &self.upper[start..start + len], &self.inverse[start..start + len]);
            match self.kind {
                Kind::Line => {
                    let mut last = 0.0;
                    for (t, l) in t.iter_mut().zip(lower) {
                        last = *t - l * last;
                        *t = last;
                    }
                    t.iter_mut().zip(inverse).for_each(|(t, p)| *t *= p);
                    let mut next = 0.0;
                    for ((x, t), u) in x[at..at + len].iter_mut().zip(&*t).zip(upper).rev() {
                        next = t - u * next;
                        *x = next;
                    }
                }
                Kind::Point if forward => {
                    for (((t, c), u), x) in t.iter_mut().zip(inverse).zip(upper).zip(&x[at + 1..]) {
                        *t = *t * c - u * x;
                    }
                    let mut last = 0.0;
                    for ((x, t), l) in x[at..at + len].iter_mut().zip(&*t).zip(lower) {
                        last = t - l * last;
                        *x = last;
                    }
                }
                Kind::Point => {
                    for (((t, c), l), x) in t.iter_mut().zip(inverse).zip(lower).zip(&x[at - 1..]) {
                        *t = *t * c - l * x;
                    }
                    let mut next = 0.0;
                    for ((x, t), u) in x[at..at + len].iter_mut().zip(&*t).zip(upper).rev() {
                        next = t - u * next;
                        *x = next;
                    }
                }
            }
        }
    }
}

/// Transpose each of `outer` blocks of `rows` x `columns`.
fn to_lines(outer: usize, rows: usize, columns: usize, from: &[f64], to: &mut [f64]) {
    const TILE: usize = 8;
    if columns == 1 || rows == 1 {
        to.copy_from_slice(from);
        return;
    }
    let size = rows * columns;
    for (from, to) in from.chunks_exact(size).zip(to.chunks_exact_mut(size)).take(outer) {
        for r0 in (0..rows).step_by(TILE) {
            let r1 = (r0 + TILE).min(rows);
            for (c, to) in to.chunks_exact_mut(rows).enumerate() {
                for (r, t) in (r0..r1).zip(&mut to[r0..r1]) {
                    *t = from[r * columns + c];
                }
            }
        }
    }
}
