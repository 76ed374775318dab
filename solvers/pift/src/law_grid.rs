//! The law of the chain under a control on a tensor grid, in one to three dimensions.
//!
//! A step moves the mass at a node y to its mean c = m_k(y) + D_k(y) and spreads it by the Gaussian kernel:
//!
//! ```text
//!   M'_i = sum_j M_j prod_a l_{i_a}(c_j)        (remeshing: Lagrange polynomials of P points on each axis),
//!   M_{k+1} = the convolution of M' with N(0, sig_k^2 I), one axis after the other.
//! ```
//!
//! Remeshing is the adjoint of interpolation with polynomials of degree P - 1: it keeps the mass and all moments up to that degree
//! exactly, P = 8 in one and two dimensions, 6 in three. So does the convolution, by sampled Gaussians where sig_k is at least 0.9
//! spacings (their moments are exact up to exp(-2 pi^2 0.81) = 1e-7 of sig_k^2), below that by the nine weights with the moments of
//! the Gaussian up to degree 8. Error per step O(spacing^P) weakly, with the scale of the law's features as unit of length; any
//! sig_k is allowed, a step without noise too. Masses can be slightly negative. What a kernel carries over the faces of the box is
//! lost, and losing it is an error; a mean outside the box is moved to its face, and the mass so moved is reported.
//! Cost of a step: P^d n + n (2 sum_a reach_a), reach 9 sig_k over the spacing.
//!
//! [`crate::ChainLaw`] is the better one on a line whose spacing resolves all sig_k: its error falls faster than any power.
//! Reference: G.-H. Cottet, P. Koumoutsakos, *Vortex Methods* (2000), chapter 7, for remeshing.

use crate::ddpm::Ddpm;
use crate::error::PiFtError;
use crate::law::{ChainLawParams, ChainPolicy};
use hjbridge_model::quadrature::standard_normal_rule;
use hjbridge_model::{Axis, PointBlock, TensorGrid};
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Blocks of sources that are scattered at the same time. Fixed, so that sums do not depend on the number of threads.
const BLOCKS: usize = 8;

/// Largest number of points of the remeshing on an axis.
const MOST: usize = 8;

/// sig_k over the spacing from which the Gaussian is sampled.
const SAMPLED: f64 = 0.9;

/// How well mass was kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GridLawInfo {
    /// Mass of the final law.
    pub mass: f64,
    /// Largest |mass - 1| over the initial law and all steps.
    pub mass_defect: f64,
    /// Mass that was moved to a face of the box, over all steps.
    pub moved_to_faces: f64,
    /// Most negative mass of a node of the final law; zero when there is none.
    pub most_negative: f64,
}

/// The final law of the chain as masses of the nodes.
#[derive(Clone, Debug)]
pub struct GridLaw {
    /// The grid.
    pub grid: Arc<TensorGrid>,
    /// Masses of the nodes; their sum is `info.mass`. Over cell volumes they are the density.
    pub masses: Vec<f64>,
    /// Mean.
    pub mean: Vec<f64>,
    /// Covariance.
    pub covariance: Vec<Vec<f64>>,
    /// Checks.
    pub info: GridLawInfo,
}

impl GridLaw {
    /// Propagate the masses of the nodes at k = 0 (sum one) through the chain.
    ///
    /// # Errors
    /// `Invalid` for a grid that is not equally spaced with 9 nodes on each axis or does not fit the chain, for parameters and
    /// slices that do not fit; `NonFinite` for a control that is not finite; `MassLost` when the box is too small.
    pub fn propagate(
        ddpm: &Ddpm<'_>,
        grid: Arc<TensorGrid>,
        initial: &[f64],
        policy: ChainPolicy<'_>,
        params: ChainLawParams,
    ) -> Result<GridLaw, PiFtError> {
        Self::propagate_observed(ddpm, grid, initial, policy, params, &mut |_| ControlFlow::Continue(()))
    }

    /// The same; `observe` sees k before each step, and may end it with [`PiFtError::Interrupted`].
    ///
    /// # Errors
    /// As [`GridLaw::propagate`].
    pub fn propagate_observed(
        ddpm: &Ddpm<'_>,
        grid: Arc<TensorGrid>,
        initial: &[f64],
        policy: ChainPolicy<'_>,
        params: ChainLawParams,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<GridLaw, PiFtError> {
        let axes = check(ddpm, &grid, initial, policy, params)?;
        let (d, n) = (grid.dim(), grid.len());
        let points = if d == 3 { 6 } else { MOST };
        let nodes = grid.points();
        let mut masses = initial.to_vec();
        let mut info = GridLawInfo { mass: masses.iter().sum(), mass_defect: 0.0, moved_to_faces: 0.0, most_negative: 0.0 };
        let spacing = axes.iter().fold(0.0, |h: f64, a| h.max(a.spacing));
        let mut keep = |step: usize, mass: f64, sigma: f64| {
            info.mass = mass;
            info.mass_defect = info.mass_defect.max((mass - 1.0).abs());
            // a NaN is a loss too
            if info.mass_defect <= params.mass_tolerance && !mass.is_nan() {
                return Ok(());
            }
            Err(PiFtError::MassLost { step, mass, sigma, spacing })
        };
        keep(0, masses.iter().sum(), f64::NAN)?;
        let mut centers = PointBlock::zeros(d, n);
        let mut spread = vec![0.0; n];
        let mut moved = 0.0;
        for k in 0..ddpm.steps() {
            if observe(k).is_break() {
                return Err(PiFtError::Interrupted { step: k });
            }
            let step = ddpm.at(k);
            match policy {
                ChainPolicy::Pretrained | ChainPolicy::Shifts(_) => step.mean(nodes.as_points(), centers.as_mut()),
                ChainPolicy::Feedback(u) => {
                    u.at(step.time).eval(nodes.as_points(), centers.as_mut());
                    step.controlled_mean_in_place(nodes.as_points(), centers.as_mut());
                }
            }
            if let ChainPolicy::Shifts(shifts) = policy {
                centers.data_mut().iter_mut().zip(&shifts[k]).for_each(|(c, shift)| *c += shift);
            }
            if let Some(i) = centers.data().iter().position(|c| !c.is_finite()) {
                let mut point = vec![0.0; d];
                grid.node(i % n, &mut point);
                return Err(PiFtError::NonFinite { step: k, quantity: "mean of the kernel", value: centers.data()[i], point });
            }
            moved += remesh(&axes, points, &centers, &masses, &mut spread);
            masses.copy_from_slice(&spread);
            for (a, axis) in axes.iter().enumerate() {
                let kernel = kernel(step.sigma / axis.spacing, params.truncation)?;
                if kernel.len() > 1 {
                    convolve(&kernel, axis.len, grid.strides()[a], &masses, &mut spread);
                    masses.copy_from_slice(&spread);
                }
            }
            keep(k, masses.iter().sum(), step.sigma)?;
        }
        info.moved_to_faces = moved;
        info.most_negative = masses.iter().fold(0.0, |m: f64, v| m.min(*v));
        let moment = |f: &dyn Fn(usize) -> f64| -> f64 { (0..n).map(|j| masses[j] * f(j)).sum::<f64>() / info.mass };
        let mean: Vec<f64> = (0..d).map(|i| moment(&|j| nodes.coord(i)[j])).collect();
        let about = |i: usize, j: usize| nodes.coord(i)[j] - mean[i];
        let covariance = (0..d).map(|a| (0..d).map(|b| moment(&|j| about(a, j) * about(b, j))).collect()).collect();
        Ok(GridLaw { grid, masses, mean, covariance, info })
    }
}

/// An equally spaced axis.
struct Even {
    lower: f64,
    spacing: f64,
    len: usize,
}

/// First node and weights of the Lagrange polynomials for a point at x spacings from the lower face.
fn lagrange(x: f64, len: usize, points: usize, weights: &mut [f64; MOST]) -> usize {
    let first = (x.floor() as usize + 1).saturating_sub(points / 2).min(len - points);
    let theta = x - first as f64;
    for (i, w) in weights.iter_mut().enumerate().take(points) {
        *w = (0..points).filter(|m| *m != i).map(|m| (theta - m as f64) / (i as f64 - m as f64)).product();
    }
    first
}

/// Deposit the masses at the centers on the nodes; the mass whose center was outside the box.
fn remesh(axes: &[Even], points: usize, centers: &PointBlock, masses: &[f64], out: &mut [f64]) -> f64 {
    let (n, d) = (masses.len(), axes.len());
    // rows along the first axis
    let row = n / axes[0].len;
    let block = axes[0].len.div_ceil(BLOCKS) * row;
    let scattered: Vec<(usize, Vec<f64>, f64)> = (0..n.div_ceil(block))
        .into_par_iter()
        .map(|b| {
            let sources = b * block..((b + 1) * block).min(n);
            let position = |axis: usize, j: usize| {
                let a = &axes[axis];
                ((centers.coord(axis)[j] - a.lower) / a.spacing).clamp(0.0, (a.len - 1) as f64)
            };
            let mut weights = [[0.0; MOST]; 3];
            // the rows that this block reaches
            let reached = sources.clone().filter(|j| masses[*j] != 0.0).fold((usize::MAX, 0), |(low, high), j| {
                let first = (position(0, j).floor() as usize + 1).saturating_sub(points / 2).min(axes[0].len - points);
                (low.min(first), high.max(first + points))
            });
            if reached.0 >= reached.1 {
                return (0, Vec::new(), 0.0);
            }
            let mut buffer = vec![0.0; (reached.1 - reached.0) * row];
            let mut moved = 0.0;
            for j in sources {
                if masses[j] == 0.0 {
                    continue;
                }
                let mut first = [0; 3];
                for axis in 0..d {
                    let x = position(axis, j);
                    first[axis] = lagrange(x, axes[axis].len, points, &mut weights[axis]);
                }
                let outside = (0..d).any(|axis| {
                    let (c, a) = (centers.coord(axis)[j], &axes[axis]);
                    c < a.lower - 1e-9 * a.spacing || c > a.lower + ((a.len - 1) as f64 + 1e-9) * a.spacing
                });
                if outside {
                    moved += masses[j].abs();
                }
                let start = first[0] - reached.0;
                let mut add = |at: usize, mass: f64, last: &[f64; MOST]| {
                    for (o, w) in buffer[at..at + points].iter_mut().zip(last) {
                        *o += mass * w;
                    }
                };
                match d {
                    1 => add(start, masses[j], &weights[0]),
                    2 => {
                        for (p, w) in weights[0].iter().enumerate().take(points) {
                            add((start + p) * row + first[1], masses[j] * w, &weights[1]);
                        }
                    }
                    _ => {
                        for (p, w) in weights[0].iter().enumerate().take(points) {
                            for (q, v) in weights[1].iter().enumerate().take(points) {
                                let at = (start + p) * row + (first[1] + q) * axes[2].len + first[2];
                                add(at, masses[j] * w * v, &weights[2]);
                            }
                        }
                    }
                }
            }
            (reached.0 * row, buffer, moved)
        })
        .collect();
    out.fill(0.0);
    let mut moved = 0.0;
    for (at, buffer, outside) in &scattered {
        out[*at..at + buffer.len()].iter_mut().zip(buffer).for_each(|(o, b)| *o += b);
        moved += outside;
    }
    moved
}

/// Weights w_{-R}, ..., w_R of the convolution with N(0, s^2), s in spacings; the single weight 1 for s = 0.
fn kernel(s: f64, truncation: f64) -> Result<Vec<f64>, PiFtError> {
    if s == 0.0 {
        return Ok(vec![1.0]);
    }
    if s >= SAMPLED {
        let reach = (truncation * s).ceil() as i64;
        let mut w: Vec<f64> = (-reach..=reach).map(|m| (-0.5 * (m as f64 / s).powi(2)).exp()).collect();
        let total: f64 = w.iter().sum();
        w.iter_mut().for_each(|w| *w /= total);
        return Ok(w);
    }
    // E l_m(s Z) for the Lagrange polynomials of degree 8 on nine nodes, which five Gauss-Hermite nodes integrate exactly
    let (z, weights) = standard_normal_rule(6, 1)?;
    let polynomial =
        |i: usize, x: f64| -> f64 { (0..9).filter(|m| *m != i).map(|m| (x + 4.0 - m as f64) / (i as f64 - m as f64)).product() };
    Ok((0..9).map(|i| z.coord(0).iter().zip(&weights).map(|(z, w)| w * polynomial(i, s * z)).sum()).collect())
}

/// out = the convolution of `values` along the axis with `len` nodes and this stride; what leaves the box is lost.
fn convolve(kernel: &[f64], len: usize, stride: usize, values: &[f64], out: &mut [f64]) {
    let reach = kernel.len() / 2;
    // targets i take from sources i - m, i.e. weight w_m = kernel[m + reach], all symmetric
    let range = |i: usize| (i.saturating_sub(reach), (i + reach + 1).min(len));
    if stride == 1 {
        out.par_chunks_mut(len).zip(values.par_chunks(len)).for_each(|(out, values)| {
            for (i, o) in out.iter_mut().enumerate() {
                let (from, to) = range(i);
                let weights = &kernel[from + reach - i..to + reach - i];
                *o = values[from..to].iter().zip(weights).map(|(v, w)| v * w).sum();
            }
        });
        return;
    }
    out.par_chunks_mut(stride).enumerate().for_each(|(row, out)| {
        let (outer, i) = (row / len, row % len);
        let (from, to) = range(i);
        out.fill(0.0);
        for source in from..to {
            let w = kernel[source + reach - i];
            let at = (outer * len + source) * stride;
            out.iter_mut().zip(&values[at..at + stride]).for_each(|(o, v)| *o += w * v);
        }
    });
}

fn check(
    ddpm: &Ddpm<'_>,
    grid: &TensorGrid,
    initial: &[f64],
    policy: ChainPolicy<'_>,
    params: ChainLawParams,
) -> Result<Vec<Even>, PiFtError> {
    let (d, n) = (grid.dim(), grid.len());
    if d != ddpm.dim() || d > 3 {
        return Err(PiFtError::invalid("grid.dim", d, format!("{}, the dimension of the chain, at most 3", ddpm.dim())));
    }
    params.check()?;
    if initial.len() != n {
        return Err(PiFtError::invalid("initial.len", initial.len(), format!("{n}, the nodes of the grid")));
    }
    match policy {
        ChainPolicy::Shifts(shifts) if shifts.len() != ddpm.steps() => {
            return Err(PiFtError::invalid("shifts", shifts.len(), format!("{} slices, one per step", ddpm.steps())));
        }
        ChainPolicy::Shifts(shifts) => {
            if let Some(k) = shifts.iter().position(|s| s.len() != d * n) {
                return Err(PiFtError::invalid(format!("shifts[{k}].len"), shifts[k].len(), format!("{}", d * n)));
            }
        }
        ChainPolicy::Feedback(u) if u.dim() != d || u.control_dim() != d => {
            return Err(PiFtError::invalid("feedback.dim", u.dim(), format!("{d}, as its control")));
        }
        _ => {}
    }
    let even = |(i, axis): (usize, &Axis)| match axis.spacing() {
        Some(spacing) if axis.len() >= 9 => Ok(Even { lower: axis.lower(), spacing, len: axis.len() }),
        _ => Err(PiFtError::invalid(format!("grid axis {i}"), axis.len(), "equally spaced, with 9 nodes at least")),
    };
    grid.axes().iter().enumerate().map(even).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_the_moments_of_the_gaussian_and_damp_every_wave() {
        for s in [1e-3, 0.1, 0.5, 0.8, 0.89, 0.9, 1.3, 4.0] {
            let w = kernel(s, 9.0).unwrap();
            let reach = (w.len() / 2) as f64;
            let moment = |p: i32| -> f64 { w.iter().enumerate().map(|(i, w)| w * (i as f64 - reach).powi(p)).sum() };
            assert!((moment(0) - 1.0).abs() < 1e-13 && moment(1).abs() < 1e-12, "s = {s}");
            assert!((moment(2) / (s * s) - 1.0).abs() < 2e-5, "s = {s}: {}", moment(2));
            assert!(
                (moment(4) / (3.0 * s.powi(4)) - 1.0).abs() < if s < SAMPLED { 1e-6 } else { 1e-3 },
                "s = {s}: {}",
                moment(4)
            );
            for i in 0..=200 {
                let theta = std::f64::consts::PI * f64::from(i) / 200.0;
                let symbol: f64 = w.iter().enumerate().map(|(i, w)| w * ((i as f64 - reach) * theta).cos()).sum();
                assert!(symbol.abs() < 1.0 + 1e-12, "s = {s}, theta = {theta}: {symbol}");
            }
        }
        assert_eq!(kernel(0.0, 9.0).unwrap(), [1.0]);
    }

    #[test]
    fn lagrange_weights_reproduce_polynomials_up_to_the_faces() {
        for x in [0.0, 0.3, 4.0, 7.77, 11.5, 19.0] {
            let mut w = [0.0; MOST];
            let first = lagrange(x, 20, 8, &mut w);
            for p in 0..8 {
                let sum: f64 = (0..8).map(|i| w[i] * ((first + i) as f64 - 10.0).powi(p)).sum();
                let exact = (x - 10.0f64).powi(p);
                assert!((sum - exact).abs() < 1e-9 * (1.0 + exact.abs()), "x = {x}, degree {p}: {sum} {exact}");
            }
        }
    }
}
