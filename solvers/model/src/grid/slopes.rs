//! Slopes of the C2 cubic spline along one axis, with not-a-knot or periodic ends.
//!
//! With h_i = x_{i+1} - x_i and D_i = (f_{i+1} - f_i)/h_i the slopes s_i solve
//!   h_i s_{i-1} + 2 (h_{i-1} + h_i) s_i + h_{i-1} s_{i+1} = 3 (h_i D_{i-1} + h_{i-1} D_i),   0 < i < n-1,
//!   h_1 s_0 + (h_0 + h_1) s_1 = ((3 h_0 + 2 h_1) h_1 D_0 + h_0^2 D_1) / (h_0 + h_1),
//! and the mirror image of the last line at the other end (the third derivative is continuous across x_1 and x_{n-2}). The
//! elimination needs no pivoting: all pivots are positive. It is done once; a right-hand side costs two sweeps.
//! On a periodic axis s_{n-1} = s_0 and the first line holds for i = 0 too, with h_{-1} = h_{n-2}: with s_0 known the others
//! are y + s_0 z, z being the answer to s_0 = 1 without data, and the line of i = 0 then gives s_0.
//! Reference: C. de Boor, *A Practical Guide to Splines*, chapter IV.

/// The factored slope equations of one axis.
#[derive(Clone, Debug)]
pub(super) struct SlopeSolver {
    /// Row i: s_i = left (f_p - f_{p-1}) + right (f_{p+1} - f_p) - lower s_{i-1} - upper s_{i+1}, p the middle of the
    /// three nodes the row uses.
    rows: Vec<Row>,
    closure: Option<Closure>,
}

/// What closes the circle of a periodic axis.
#[derive(Clone, Debug)]
struct Closure {
    /// s_0 = left (f_0 - f_{n-2}) + right (f_1 - f_0) - lower y_{n-2} - upper y_1.
    first: Row,
    /// z at all nodes; 1 at both ends.
    response: Vec<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    left: f64,
    right: f64,
    lower: f64,
    upper: f64,
}

/// How a field on a tensor grid with several components per node lies in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Nodes between neighbours along the axis.
    pub stride: usize,
    /// Components per node, contiguous.
    pub components: usize,
    /// The slopes of components 0..sources go to sources..2 sources.
    pub sources: usize,
}

impl SlopeSolver {
    /// Factor the equations of an axis with at least 4 nodes.
    pub fn new(nodes: &[f64]) -> Self {
        let n = nodes.len();
        let h: Vec<f64> = nodes.windows(2).map(|w| w[1] - w[0]).collect();
        let mut rows = Vec::with_capacity(n);
        let mut upper = 0.0;
        for i in 0..n {
            // Coefficients of s_{i-1}, s_i, s_{i+1}, and of the two differences f_p - f_{p-1}, f_{p+1} - f_p.
            let (a, b, c, left, right) = if i == 0 {
                let (p, q) = (h[0], h[1]);
                (0.0, q, p + q, (3.0 * p + 2.0 * q) * q / (p + q) / p, p * p / (p + q) / q)
            } else if i == n - 1 {
                let (p, q) = (h[n - 3], h[n - 2]);
                (p + q, p, 0.0, q * q / (p + q) / p, (3.0 * q + 2.0 * p) * p / (p + q) / q)
            } else {
                let (p, q) = (h[i - 1], h[i]);
                (q, 2.0 * (p + q), p, 3.0 * q / p, 3.0 * p / q)
            };
            let pivot = b - a * upper;
            upper = c / pivot;
            rows.push(Row { left: left / pivot, right: right / pivot, lower: a / pivot, upper });
        }
        SlopeSolver { rows, closure: None }
    }

    /// The same for an axis whose two ends are the same place.
    pub fn periodic(nodes: &[f64]) -> Self {
        let n = nodes.len();
        let h: Vec<f64> = nodes.windows(2).map(|w| w[1] - w[0]).collect();
        // Rows 1..n-1 for s_0 = s_{n-1} = 0; the first row and the last are not used.
        let mut rows = vec![Row { left: 0.0, right: 0.0, lower: 0.0, upper: 0.0 }; n];
        let mut response = vec![1.0; n];
        for i in 1..n - 1 {
            let (p, q) = (h[i - 1], h[i]);
            let pivot = 2.0 * (p + q) - q * rows[i - 1].upper;
            rows[i] = Row { left: 3.0 * q / p / pivot, right: 3.0 * p / q / pivot, lower: q / pivot, upper: p / pivot };
            response[i] = -rows[i].lower * response[i - 1] - if i == n - 2 { rows[i].upper } else { 0.0 };
            if i == 1 {
                rows[i].lower = 0.0;
            }
        }
        rows[n - 2].upper = 0.0;
        for i in (1..n - 2).rev() {
            response[i] -= rows[i].upper * response[i + 1];
        }
        let (p, q) = (h[n - 2], h[0]);
        let pivot = 2.0 * (p + q) + q * response[n - 2] + p * response[1];
        let first = Row { left: 3.0 * q / p / pivot, right: 3.0 * p / q / pivot, lower: q / pivot, upper: p / pivot };
        SlopeSolver { rows, closure: Some(Closure { first, response }) }
    }

    /// Solve along the axis on every line of the grid, in place: O(entries read), no allocation.
    pub fn solve(&self, data: &mut [f64], layout: Layout) {
        if let Some(closure) = &self.closure {
            return self.solve_periodic(closure, data, layout);
        }
        if layout.stride == 1 && layout.components == 2 {
            let (pairs, _) = data.as_chunks_mut::<2>();
            return pairs.chunks_exact_mut(self.rows.len()).for_each(|line| self.solve_pairs(line));
        }
        let (n, k) = (self.rows.len(), layout.components);
        let width = layout.stride * k;
        for block in data.chunks_exact_mut(n * width) {
            for (i, row) in self.rows.iter().enumerate() {
                let middle = i.clamp(1, n - 2) * width;
                for cell in (0..width).step_by(k) {
                    for m in cell..cell + layout.sources {
                        let f = block[middle + m];
                        let (left, right) = (f - block[middle + m - width], block[middle + m + width] - f);
                        let slot = i * width + m + layout.sources;
                        let before = if i == 0 { 0.0 } else { row.lower * block[slot - width] };
                        block[slot] = row.left * left + row.right * right - before;
                    }
                }
            }
            for (i, row) in self.rows.iter().enumerate().rev().skip(1) {
                for cell in (0..width).step_by(k) {
                    for m in cell..cell + layout.sources {
                        let slot = i * width + m + layout.sources;
                        block[slot] -= row.upper * block[slot + width];
                    }
                }
            }
        }
    }

    /// The same on a periodic axis.
    fn solve_periodic(&self, closure: &Closure, data: &mut [f64], layout: Layout) {
        let (n, k) = (self.rows.len(), layout.components);
        let width = layout.stride * k;
        let Closure { first, response } = closure;
        for block in data.chunks_exact_mut(n * width) {
            for m in (0..width).filter(|m| m % k < layout.sources) {
                let slot = |i: usize| i * width + m + layout.sources;
                let difference = |block: &[f64], i: usize| block[(i + 1) * width + m] - block[i * width + m];
                block[slot(0)] = 0.0;
                for (i, row) in self.rows.iter().enumerate().take(n - 1).skip(1) {
                    let data = row.left * difference(block, i - 1) + row.right * difference(block, i);
                    block[slot(i)] = data - row.lower * block[slot(i - 1)];
                }
                for i in (1..n - 2).rev() {
                    block[slot(i)] -= self.rows[i].upper * block[slot(i + 1)];
                }
                let data = first.left * difference(block, n - 2) + first.right * difference(block, 0);
                let slope = data - first.lower * block[slot(n - 2)] - first.upper * block[slot(1)];
                block[slot(n - 1)] = 0.0;
                (0..n).for_each(|i| block[slot(i)] += slope * response[i]);
            }
        }
    }

    /// One line of (value, slope) pairs: the one-dimensional spline.
    fn solve_pairs(&self, line: &mut [[f64; 2]]) {
        let n = line.len();
        let mut slope = 0.0;
        for (i, row) in self.rows.iter().enumerate() {
            let middle = i.clamp(1, n - 2);
            let f = line[middle][0];
            let rhs = row.left * (f - line[middle - 1][0]) + row.right * (line[middle + 1][0] - f);
            slope = rhs - row.lower * slope;
            line[i][1] = slope;
        }
        for (pair, row) in line.iter_mut().zip(&self.rows).rev().skip(1) {
            slope = pair[1] - row.upper * slope;
            pair[1] = slope;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<f64> {
        vec![-1.3, -0.2, 0.0, 0.7, 0.9, 2.0, 2.1]
    }

    #[test]
    fn cubics_have_exact_slopes_in_every_layout() {
        let x = nodes();
        let solver = SlopeSolver::new(&x);
        let f = |x: f64| 1.0 - 2.0 * x + 0.5 * x * x + 3.0 * x * x * x;
        let df = |x: f64| -2.0 + x + 9.0 * x * x;
        let mut pairs: Vec<f64> = x.iter().flat_map(|&x| [f(x), f64::NAN]).collect();
        solver.solve(&mut pairs, Layout { stride: 1, components: 2, sources: 1 });
        for (i, &x) in x.iter().enumerate() {
            assert!((pairs[2 * i + 1] - df(x)).abs() < 1e-12);
        }
        // Two blocks of three interleaved lines with two sources each; line number scales the cubic.
        let (stride, k, n) = (3, 4, x.len());
        let mut data = vec![f64::NAN; 2 * n * stride * k];
        let at = |block: usize, i: usize, j: usize, m: usize| ((block * n + i) * stride + j) * k + m;
        let scale = |block: usize, j: usize, m: usize| (1 + block + 2 * j) as f64 - 10.0 * m as f64;
        for (block, i, j, m) in all(n, stride) {
            data[at(block, i, j, m)] = scale(block, j, m) * f(x[i]);
        }
        solver.solve(&mut data, Layout { stride, components: k, sources: 2 });
        for (block, i, j, m) in all(n, stride) {
            assert!((data[at(block, i, j, m + 2)] - scale(block, j, m) * df(x[i])).abs() < 1e-10);
        }
    }

    #[test]
    fn periodic_slopes_solve_their_cyclic_equations_in_every_layout() {
        let x = nodes();
        let (n, period) = (x.len(), x[x.len() - 1] - x[0]);
        let solver = SlopeSolver::periodic(&x);
        let f = |x: f64| 0.3 + (std::f64::consts::TAU * (x - 0.2) / period).sin();
        let (stride, k) = (3, 4);
        let mut data = vec![f64::NAN; 2 * n * stride * k];
        let at = |block: usize, i: usize, j: usize, m: usize| ((block * n + i) * stride + j) * k + m;
        let scale = |block: usize, j: usize, m: usize| (1 + block + 2 * j) as f64 - 10.0 * m as f64;
        for (block, i, j, m) in all(n, stride) {
            data[at(block, i, j, m)] = scale(block, j, m) * f(x[i]);
        }
        solver.solve(&mut data, Layout { stride, components: k, sources: 2 });
        let h: Vec<f64> = x.windows(2).map(|w| w[1] - w[0]).collect();
        for (block, i, j, m) in all(n, stride).filter(|(_, i, ..)| *i < n - 1) {
            let (before, after) = (if i == 0 { n - 2 } else { i - 1 }, i + 1);
            let s = |i: usize| data[at(block, i, j, m + 2)];
            let d = |i: usize| (data[at(block, i + 1, j, m)] - data[at(block, i, j, m)]) / h[i];
            let (p, q) = (h[before], h[i]);
            let left = q * s(before) + 2.0 * (p + q) * s(i) + p * s(after);
            assert!((left - 3.0 * (q * d(before) + p * d(i))).abs() < 1e-12 * scale(block, j, m).abs(), "{i}");
            assert_eq!(s(0), s(n - 1));
        }
        // One line of pairs, as a spline on a line has them.
        let mut pairs: Vec<f64> = x.iter().flat_map(|&x| [f(x), f64::NAN]).collect();
        solver.solve(&mut pairs, Layout { stride: 1, components: 2, sources: 1 });
        assert!((0..n).all(|i| (pairs[2 * i + 1] * scale(0, 0, 0) - data[at(0, i, 0, 2)]).abs() < 1e-13));
    }

    fn all(n: usize, stride: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
        (0..2 * n * stride * 2).map(move |q| (q % 2, q / 2 % n, q / 2 / n % stride, q / 2 / n / stride))
    }

    #[test]
    fn constants_have_slope_zero_exactly() {
        let solver = SlopeSolver::new(&nodes());
        let mut pairs: Vec<f64> = nodes().iter().flat_map(|_| [0.1, 7.0]).collect();
        solver.solve(&mut pairs, Layout { stride: 1, components: 2, sources: 1 });
        assert!(pairs.iter().skip(1).step_by(2).all(|&s| s == 0.0));
    }
}
