//! Tridiagonal sweeps: all lines of a grid along one axis, solved by Gaussian elimination without row exchanges.
//!
//! Across an axis whose lines are not contiguous the elimination runs over many lines at once, a block of columns that
//! stays in cache; on the last axis eight lines at a time are interleaved. Both vectorise, and touch each coefficient
//! once: about a nanosecond per node and axis. Without exchanges the lines should be diagonally dominant, as those of
//! implicit steps with a monotone generator are.
//! Reference: G. H. Golub, C. F. Van Loan, Matrix Computations (2013), section 4.3.

/// Columns eliminated together across an axis that is not the last one.
const COLUMNS: usize = 64;
/// Lines interleaved on the last axis.
const LANES: usize = 8;

/// Room for the sweeps on one grid.
pub(crate) struct LineSweeps {
    shape: Vec<usize>,
    factors: Vec<f64>,
    lanes: Vec<[f64; LANES]>,
}

impl LineSweeps {
    /// For a grid of this shape (C order).
    pub fn new(shape: &[usize]) -> Self {
        let longest = shape.iter().copied().max().unwrap_or(0);
        LineSweeps { shape: shape.to_vec(), factors: vec![0.0; longest * COLUMNS], lanes: vec![[0.0; LANES]; longest] }
    }

    /// x <- T^{-1} x for the tridiagonal matrix along `axis` with row j
    ///
    ///   c lower_j,   base(j) - c (lower_j + upper_j),   c upper_j;
    ///
    /// with c = -w and base = 1 this is I - w L_axis. `lower` and `upper` must be zero where there is no neighbour.
    pub fn solve(
        &mut self,
        axis: usize,
        (lower, upper): (&[f64], &[f64]),
        c: f64,
        base: impl Fn(usize) -> f64 + Copy,
        x: &mut [f64],
    ) {
        let stride: usize = self.shape[axis + 1..].iter().product();
        if stride == 1 {
            self.along_lines(axis, lower, upper, c, base, x);
        } else {
            self.across_lines(axis, stride, lower, upper, c, base, x);
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn across_lines(
        &mut self,
        axis: usize,
        stride: usize,
        lower: &[f64],
        upper: &[f64],
        c: f64,
        base: impl Fn(usize) -> f64 + Copy,
        x: &mut [f64],
    ) {
        let count = self.shape[axis];
        for slab in (0..x.len()).step_by(count * stride) {
            for start in (0..stride).step_by(COLUMNS) {
                let width = COLUMNS.min(stride - start);
                let at = |k: usize| slab + k * stride + start;
                // Row 0, then the others from the row before.
                let o = at(0);
                for j in 0..width {
                    let (l, u) = (c * lower[o + j], c * upper[o + j]);
                    let inverse = 1.0 / (base(o + j) - (l + u));
                    self.factors[j] = u * inverse;
                    x[o + j] *= inverse;
                }
                for k in 1..count {
                    let o = at(k);
                    let (done, rest) = x.split_at_mut(o);
                    let (before, here) = (&done[o - stride..][..width], &mut rest[..width]);
                    let (known, rest) = self.factors.split_at_mut(k * COLUMNS);
                    let (last, factor) = (&known[(k - 1) * COLUMNS..][..width], &mut rest[..width]);
                    let (low, up) = (&lower[o..][..width], &upper[o..][..width]);
                    for j in 0..width {
                        let (l, u) = (c * low[j], c * up[j]);
                        let inverse = 1.0 / (base(o + j) - (l + u) - l * last[j]);
                        factor[j] = u * inverse;
                        here[j] = (here[j] - l * before[j]) * inverse;
                    }
                }
                for k in (0..count - 1).rev() {
                    let o = at(k);
                    let (head, after) = x.split_at_mut(o + stride);
                    let (here, after) = (&mut head[o..][..width], &after[..width]);
                    let factor = &self.factors[k * COLUMNS..][..width];
                    for j in 0..width {
                        here[j] -= factor[j] * after[j];
                    }
                }
            }
        }
    }

    fn along_lines(
        &mut self,
        axis: usize,
        lower: &[f64],
        upper: &[f64],
        c: f64,
        base: impl Fn(usize) -> f64 + Copy,
        x: &mut [f64],
    ) {
        let count = self.shape[axis];
        let lines = x.len() / count;
        let factors = &mut self.factors[..count * LANES];
        let solution = &mut self.lanes[..count];
        for first in (0..lines).step_by(LANES) {
            // The last lines are repeated to fill the lanes, and written once more with the same numbers.
            let start: [usize; LANES] = std::array::from_fn(|lane| (first + lane).min(lines - 1) * count);
            let low: [&[f64]; LANES] = std::array::from_fn(|lane| &lower[start[lane]..][..count]);
            let up: [&[f64]; LANES] = std::array::from_fn(|lane| &upper[start[lane]..][..count]);
            let (mut last_factor, mut last) = ([0.0; LANES], [0.0; LANES]);
            {
                let right: [&[f64]; LANES] = std::array::from_fn(|lane| &x[start[lane]..][..count]);
                for (k, (factor, room)) in factors.chunks_exact_mut(LANES).zip(solution.iter_mut()).enumerate() {
                    let l: [f64; LANES] = std::array::from_fn(|lane| c * low[lane][k]);
                    let u: [f64; LANES] = std::array::from_fn(|lane| c * up[lane][k]);
                    let b: [f64; LANES] = std::array::from_fn(|lane| base(start[lane] + k));
                    let r: [f64; LANES] = std::array::from_fn(|lane| right[lane][k]);
                    for lane in 0..LANES {
                        let inverse = 1.0 / (b[lane] - (l[lane] + u[lane]) - l[lane] * last_factor[lane]);
                        last_factor[lane] = u[lane] * inverse;
                        last[lane] = (r[lane] - l[lane] * last[lane]) * inverse;
                    }
                    factor.copy_from_slice(&last_factor);
                    *room = last;
                }
            }
            let mut after = [0.0; LANES];
            for (room, factor) in solution.iter_mut().zip(factors.chunks_exact(LANES)).rev() {
                for lane in 0..LANES {
                    after[lane] = room[lane] - factor[lane] * after[lane];
                }
                *room = after;
            }
            for lane in 0..LANES {
                for (x, room) in x[start[lane]..][..count].iter_mut().zip(solution.iter()) {
                    *x = room[lane];
                }
            }
        }
    }
}

/// out += c L_axis v, with L_axis v = lower (v- - v) + upper (v+ - v) for neighbours at distance `stride`.
pub(crate) fn add_axis(c: f64, (lower, upper): (&[f64], &[f64]), stride: usize, v: &[f64], out: &mut [f64]) {
    let n = v.len();
    for j in 0..stride {
        out[j] += c * (upper[j] * (v[j + stride] - v[j]));
    }
    let inner = n - 2 * stride;
    let (below, here, above) = (&v[..inner], &v[stride..][..inner], &v[2 * stride..][..inner]);
    let (l, u) = (&lower[stride..][..inner], &upper[stride..][..inner]);
    for (j, o) in out[stride..][..inner].iter_mut().enumerate() {
        *o += c * (l[j] * (below[j] - here[j]) + u[j] * (above[j] - here[j]));
    }
    for j in n - stride..n {
        out[j] += c * (lower[j] * (v[j - stride] - v[j]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stencil::StencilMatrix;

    #[test]
    fn sweeps_invert_the_lines_of_every_axis() {
        for shape in [vec![5, 9, 7], vec![13, 70], vec![70, 13], vec![6, 5, 131], vec![11]] {
            let mut a = StencilMatrix::nearest_neighbour(&shape);
            let n = a.len();
            for s in 1..a.flat_shifts().len() {
                for j in 0..n {
                    if a.has_neighbour(j, s) {
                        a.diagonal_mut(s)[j] = 0.5 + ((7 * s + 3 * j) % 5) as f64;
                    }
                }
            }
            let mut sweeps = LineSweeps::new(&shape);
            let exact: Vec<f64> = (0..n).map(|j| (0.7 * j as f64).sin()).collect();
            let (w, shift) = (1.7, |j: usize| 1.0 + 0.1 * (j % 3) as f64);
            for axis in 0..shape.len() {
                let pair = (a.diagonal(2 * axis + 1), a.diagonal(2 * axis + 2));
                let stride: usize = shape[axis + 1..].iter().product();
                let mut x: Vec<f64> = exact.iter().enumerate().map(|(j, x)| shift(j) * x).collect();
                add_axis(-w, pair, stride, &exact, &mut x);
                sweeps.solve(axis, pair, -w, shift, &mut x);
                let error = x.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(error < 1e-14, "{shape:?} {axis}: {error:e}");
            }
        }
    }
}
