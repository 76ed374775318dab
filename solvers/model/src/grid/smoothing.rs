//! Gaussian smoothing of a function on a tensor grid, one axis after the other.
//!
//! V between the nodes is the tensor-product cubic spline. The expectation over independent noise on every axis then factorises:
//!
//! ```text
//!   E V(z + sig W) = (S_1 x ... x S_d V)(z) at the nodes z,      (S_a f)(x_i) = sum_q w_q f(x_i + sig x_q),
//! ```
//!
//! the same number as the tensor quadrature rule gives, for d n^d q evaluations on lines instead of n^d q^d in space. No error is
//! made at the nodes; between them the smoothed values are interpolated again, with an error of order 4 whose constant is that
//! of a smoother function. Prefer the tensor rule where E V is wanted at a few points that are not nodes.
//!
//! The soft version T_a f = beta log S_a exp(f/beta) is nested in the same way. T_1 ... T_d V = beta log E exp(V(z + sig W)/beta)
//! up to one interpolation per axis of a function that is as smooth as V: order 4, exact for quadratic V.

use super::Extrapolation;
use super::axis::Axis;
use super::grid_function::check_values;
use super::slopes::{Layout, SlopeSolver};
use super::spline::Hermite;
use super::tensor::TensorGrid;
use super::tensor_product::weights;
use crate::error::ModelError;
use crate::lanes::exp_in_place;
use rayon::prelude::*;
use std::sync::Arc;

/// The spline on one axis at x_i + sig x_q for all i and q.
#[derive(Clone, Debug, Default)]
struct Line {
    /// Cell and weights of (value, slope) at its left end and at its right end; q fastest.
    places: Vec<(usize, [f64; 4])>,
}

impl Line {
    fn new(axis: &Axis, periodic: bool, extrapolation: Extrapolation, offsets: &[f64]) -> Self {
        let (lower, length) = (axis.lower(), axis.upper() - axis.lower());
        let place = |x: f64| {
            let x = if periodic { lower + (x - lower).rem_euclid(length) } else { x };
            let (cell, w) = weights::<Hermite, 4, 0>(axis, extrapolation, x);
            (cell, w[0])
        };
        let nodes = axis.nodes().iter();
        Line { places: nodes.flat_map(|x| offsets.iter().map(move |o| x + o)).map(place).collect() }
    }
}

/// Expectations of functions on a grid under Gaussian noise of a common standard deviation on every axis.
#[derive(Clone, Debug)]
pub struct GaussianSmoothing {
    grid: Arc<TensorGrid>,
    extrapolation: Extrapolation,
    solvers: Vec<SlopeSolver>,
    weights: Vec<f64>,
    lines: Vec<Line>,
    parallel: bool,
}

impl GaussianSmoothing {
    /// Smoothing on `grid`, functions continued outside as `extrapolation` says; on rayon's current pool if `parallel`. Without
    /// noise until [`GaussianSmoothing::prepare`] is called.
    pub fn new(grid: Arc<TensorGrid>, extrapolation: Extrapolation, parallel: bool) -> Self {
        let solver = |(i, axis): (usize, &Axis)| match grid.is_periodic(i) {
            true => SlopeSolver::periodic(axis.nodes()),
            false => SlopeSolver::new(axis.nodes()),
        };
        let solvers = grid.axes().iter().enumerate().map(solver).collect();
        let mut smoothing = GaussianSmoothing { grid, extrapolation, solvers, weights: Vec::new(), lines: Vec::new(), parallel };
        smoothing.prepare(0.0, &[0.0], &[1.0]);
        smoothing
    }

    /// Take noise of standard deviation `sigma` and the rule E f(W) = sum_q weights_q f(nodes_q) for a standard normal W in R.
    /// O(d n q).
    pub fn prepare(&mut self, sigma: f64, nodes: &[f64], weights: &[f64]) {
        let offsets: Vec<f64> = nodes.iter().map(|x| sigma * x).collect();
        let axes = self.grid.axes().iter().enumerate();
        self.lines = axes.map(|(i, a)| Line::new(a, self.grid.is_periodic(i), self.extrapolation, &offsets)).collect();
        self.weights = weights.to_vec();
    }

    /// E V(z + sig W) at the nodes z, for `values` of V at the nodes, one per node.
    ///
    /// # Errors
    /// Another number of values than nodes, or one that is not finite.
    pub fn mean(&self, values: &[f64], out: &mut [f64]) -> Result<(), ModelError> {
        self.pass(values, out, |run, stride, out| {
            out.fill(0.0);
            for (run, w) in run.chunks_exact(stride).zip(&self.weights) {
                out.iter_mut().zip(run).for_each(|(o, v)| *o += w * v);
            }
        })
    }

    /// beta log E exp(V(z + sig W)/beta) at the nodes z, beta > 0.
    ///
    /// # Errors
    /// As [`GaussianSmoothing::mean`].
    pub fn log_mean_exp(&self, values: &[f64], beta: f64, out: &mut [f64]) -> Result<(), ModelError> {
        self.pass(values, out, |run, stride, out| {
            // The largest exponent is taken out: exp then never overflows, and at least one term is 1.
            let mut top = run[..stride].to_vec();
            for run in run.chunks_exact(stride).skip(1) {
                top.iter_mut().zip(run).for_each(|(t, v)| *t = t.max(*v));
            }
            for run in run.chunks_exact_mut(stride) {
                run.iter_mut().zip(&top).for_each(|(v, t)| *v = (*v - t) / beta);
            }
            exp_in_place(run);
            out.fill(0.0);
            for (run, w) in run.chunks_exact(stride).zip(&self.weights) {
                out.iter_mut().zip(run).for_each(|(o, v)| *o += w * v);
            }
            out.iter_mut().zip(&top).for_each(|(o, t)| *o = t + beta * o.ln());
        })
    }

    /// One axis after the other: `reduce(run, stride, out)` gets the spline at x_i + sig x_q, q major, on `stride` neighbouring
    /// lines, and writes one number for each line.
    fn pass(
        &self,
        values: &[f64],
        out: &mut [f64],
        reduce: impl Fn(&mut [f64], usize, &mut [f64]) + Sync,
    ) -> Result<(), ModelError> {
        check_values("values", &self.grid, values)?;
        if out.len() != values.len() {
            return Err(ModelError::invalid("out.len", out.len(), format!("{}, one per node", values.len())));
        }
        let mut pairs = vec![0.0; 2 * values.len()];
        out.copy_from_slice(values);
        for ((line, solver), (&stride, &n)) in
            self.lines.iter().zip(&self.solvers).zip(self.grid.strides().iter().zip(self.grid.shape())).rev()
        {
            for (pair, v) in pairs.as_chunks_mut::<2>().0.iter_mut().zip(out.iter()) {
                pair[0] = *v;
            }
            solver.solve(&mut pairs, Layout { stride, components: 2, sources: 1 });
            let count = self.weights.len();
            // `stride` neighbouring lines together; all the nodes of a line when lines are contiguous.
            let rows = if stride == 1 { n } else { 1 };
            let work = |run: &mut Vec<f64>, (chunk, out): (usize, &mut [f64])| {
                run.resize(count * stride, 0.0);
                for (r, out) in out.chunks_exact_mut(stride).enumerate() {
                    let row = chunk * rows + r;
                    let (outer, i) = (row / n, row % n);
                    let line_start = outer * n * stride;
                    for (run, (cell, w)) in run.chunks_exact_mut(stride).zip(&line.places[i * count..(i + 1) * count]) {
                        let left = &pairs[2 * (line_start + cell * stride)..][..4 * stride];
                        let (left, right) = left.split_at(2 * stride);
                        let ends = left.as_chunks::<2>().0.iter().zip(right.as_chunks::<2>().0);
                        for (v, (l, r)) in run.iter_mut().zip(ends) {
                            *v = w[0] * l[0] + w[1] * l[1] + w[2] * r[0] + w[3] * r[1];
                        }
                    }
                    reduce(run, stride, out);
                }
            };
            if self.parallel {
                out.par_chunks_mut(rows * stride).enumerate().for_each_init(Vec::new, work);
            } else {
                let mut run = Vec::new();
                out.chunks_mut(rows * stride).enumerate().for_each(|item| work(&mut run, item));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quadrature::standard_normal_rule;

    fn rule(n: usize) -> (Vec<f64>, Vec<f64>) {
        let (nodes, weights) = standard_normal_rule(n, 1).unwrap();
        (nodes.coord(0).to_vec(), weights)
    }

    fn plane(nodes: [usize; 2]) -> Arc<TensorGrid> {
        let axes = nodes.map(|n| Axis::uniform(-3.0, 3.0, n).unwrap());
        Arc::new(TensorGrid::new(axes.to_vec()).unwrap())
    }

    fn at(grid: &TensorGrid, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let p = grid.points();
        (0..p.len()).map(|j| f(p.coord(0)[j], p.coord(1)[j])).collect()
    }

    #[test]
    fn quadratics_are_smoothed_exactly_to_the_faces() {
        let grid = plane([9, 12]);
        let f = at(&grid, |x, y| 1.0 + x - 2.0 * x * x + 0.5 * x * y + 3.0 * y * y);
        let (nodes, weights) = rule(5);
        let mut out = vec![0.0; f.len()];
        for parallel in [false, true] {
            let mut s = GaussianSmoothing::new(grid.clone(), Extrapolation::Quadratic, parallel);
            s.mean(&f, &mut out).unwrap();
            assert!(out.iter().zip(&f).all(|(a, b)| (a - b).abs() < 1e-12), "no noise, no change");
            s.prepare(0.7, &nodes, &weights);
            s.mean(&f, &mut out).unwrap();
            // E adds sig^2 (-2 + 3)
            assert!(out.iter().zip(&f).all(|(a, b)| (a - b - 0.49).abs() < 1e-11));
        }
    }

    #[test]
    fn soft_mean_of_a_plane_is_that_of_a_log_normal() {
        let grid = plane([8, 11]);
        let f = at(&grid, |x, y| 0.4 + x - 0.5 * y);
        let (nodes, weights) = rule(30);
        let mut s = GaussianSmoothing::new(grid.clone(), Extrapolation::Linear, false);
        s.prepare(0.6, &nodes, &weights);
        let (mut out, beta) = (vec![0.0; f.len()], 0.8);
        s.log_mean_exp(&f, beta, &mut out).unwrap();
        // beta log E exp(a . W sig / beta) = |a|^2 sig^2 / (2 beta)
        let shift = 1.25 * 0.36 / (2.0 * beta);
        assert!(out.iter().zip(&f).all(|(a, b)| (a - b - shift).abs() < 1e-11));
    }

    #[test]
    fn a_wave_on_a_circle_is_damped_with_order_four() {
        let (nodes, weights) = rule(40);
        let error = |n: usize| {
            let line = TensorGrid::new(vec![Axis::uniform(0.0, std::f64::consts::TAU, n + 1).unwrap()]).unwrap();
            let grid = Arc::new(line.with_periodic(&[0]).unwrap());
            let f: Vec<f64> = grid.axis(0).nodes().iter().map(|x| (2.0 * x).cos()).collect();
            let mut s = GaussianSmoothing::new(grid.clone(), Extrapolation::Clamp, false);
            s.prepare(0.5, &nodes, &weights);
            let mut out = vec![0.0; f.len()];
            s.mean(&f, &mut out).unwrap();
            // E cos(2 (x + sig W)) = exp(-2 sig^2) cos 2x
            out.iter().zip(&f).fold(0.0, |m: f64, (a, b)| m.max((a - (-0.5f64).exp() * b).abs()))
        };
        let (coarse, fine) = (error(32), error(64));
        let order = (coarse / fine).log2();
        assert!((3.7..4.4).contains(&order) && fine < 1e-5, "{coarse:e} {fine:e}: order {order}");
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let s = GaussianSmoothing::new(plane([8, 8]), Extrapolation::Linear, false);
        assert!(s.mean(&[0.0; 5], &mut [0.0; 64]).is_err());
        assert!(s.mean(&[0.0; 64], &mut [0.0; 63]).unwrap_err().to_string().contains("out.len = 63"));
        assert!(s.mean(&[f64::NAN; 64], &mut [0.0; 64]).is_err());
    }
}
