//! The law of the chain under a control, in one dimension.
//!
//! The density at the nodes is pushed through the Gaussian kernels of the chain,
//!
//! ```text
//!   p_{k+1}(z) = int N(z; m_k(y) + D_k(y), sig_k^2) p_k(y) dy,
//! ```
//!
//! with the trapezoid rule in y and kernels cut at some sigma. For a smooth density that vanishes at both ends the rule converges
//! faster than any power once the spacing is below the noise, so mass is kept to 1e-8 and better with spacing <= sig_k; the mass is
//! never rescaled but watched, and losing it is an error. O(nodes) sources times O(sig_k / spacing) targets per step.
//! In several dimensions, for steps without noise and for grids coarser than the noise there is [`crate::GridLaw`].

use crate::ddpm::Ddpm;
use crate::error::PiFtError;
use hjbridge_model::{Feedback, PointBlock, Points, TensorGrid, lanes::exp_in_place};
use rayon::prelude::*;
use serde::Serialize;
use std::f64::consts::PI;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Target nodes that are worked on together.
const TARGETS: usize = 64;

/// Parameters of [`ChainLaw`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChainLawParams {
    /// Kernels are cut at this many sigma; at least 4.
    pub truncation: f64,
    /// Largest |mass - 1| that is accepted at any step.
    pub mass_tolerance: f64,
}

impl Default for ChainLawParams {
    fn default() -> Self {
        ChainLawParams { truncation: 9.0, mass_tolerance: 1e-6 }
    }
}

impl ChainLawParams {
    pub(crate) fn check(self) -> Result<(), PiFtError> {
        if !(self.truncation >= 4.0 && self.truncation.is_finite()) {
            return Err(PiFtError::invalid("truncation", self.truncation, "at least 4 and finite"));
        }
        if !(self.mass_tolerance > 0.0 && self.mass_tolerance < 1.0) {
            return Err(PiFtError::invalid("mass_tolerance", self.mass_tolerance, "between 0 and 1"));
        }
        Ok(())
    }
}

/// The control under which the chain runs.
#[derive(Clone, Copy)]
pub enum ChainPolicy<'a> {
    /// U = s.
    Pretrained,
    /// D_k at the nodes of the law's grid, one slice for each k = 0..N-1: the `shifts` of a solution with all slices kept.
    Shifts(&'a [Vec<f64>]),
    /// U_k = u(t_k, y).
    Feedback(&'a dyn Feedback),
}

/// How well the mass was kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ChainLawInfo {
    /// Mass of the final law.
    pub mass: f64,
    /// Largest |mass - 1| over the initial law and all steps.
    pub mass_defect: f64,
    /// Smallest sig_k over the largest spacing: below 1 the trapezoid rule does not resolve the kernels.
    pub resolution: f64,
}

/// The final law of the chain as a density at the nodes of a 1-D grid.
#[derive(Clone, Debug)]
pub struct ChainLaw {
    /// The grid.
    pub grid: Arc<TensorGrid>,
    /// Density of Y_N at the nodes; its trapezoid integral is `info.mass`.
    pub density: Vec<f64>,
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
    /// Checks.
    pub info: ChainLawInfo,
}

impl ChainLaw {
    /// Propagate the law with the given log-density of Y_0 (normalised) through the chain.
    ///
    /// # Errors
    /// `Unsupported` for more than one dimension or a step without noise, `Invalid` for parameters or slices that do not fit,
    /// `NonFinite` for a density or control that is not finite, `MassLost` when the grid is too short or too coarse.
    pub fn propagate(
        ddpm: &Ddpm<'_>,
        grid: Arc<TensorGrid>,
        log_density: &dyn Fn(Points<'_>, &mut [f64]),
        policy: ChainPolicy<'_>,
        params: ChainLawParams,
    ) -> Result<ChainLaw, PiFtError> {
        Self::propagate_observed(ddpm, grid, log_density, policy, params, &mut |_| ControlFlow::Continue(()))
    }

    /// The same; `observe` sees k before each step, and may end it with [`PiFtError::Interrupted`].
    ///
    /// # Errors
    /// As [`ChainLaw::propagate`].
    pub fn propagate_observed(
        ddpm: &Ddpm<'_>,
        grid: Arc<TensorGrid>,
        log_density: &dyn Fn(Points<'_>, &mut [f64]),
        policy: ChainPolicy<'_>,
        params: ChainLawParams,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<ChainLaw, PiFtError> {
        check(ddpm, &grid, policy, params)?;
        let z = grid.axis(0).nodes();
        let weights = grid.axis(0).trapezoid_weights();
        let spacing = z.windows(2).fold(0.0, |m: f64, w| m.max(w[1] - w[0]));
        let points = PointBlock::from_points(1, &z.iter().map(|&z| [z]).collect::<Vec<_>>())
            .ok_or_else(|| PiFtError::invalid("grid.dim", grid.dim(), "1"))?;
        let mut density = vec![0.0; z.len()];
        log_density(points.as_points(), &mut density);
        density.iter_mut().for_each(|p| *p = p.exp());
        finite(0, "initial density", &density, z)?;
        let mass_of = |density: &[f64]| -> f64 { density.iter().zip(&weights).map(|(p, w)| p * w).sum() };
        let mut info = ChainLawInfo { mass: mass_of(&density), mass_defect: 0.0, resolution: f64::INFINITY };
        let mut keep = |k: usize, mass: f64, sigma: f64| {
            info.mass = mass;
            info.mass_defect = info.mass_defect.max((mass - 1.0).abs());
            if info.mass_defect > params.mass_tolerance {
                return Err(PiFtError::MassLost { step: k, mass, sigma, spacing });
            }
            info.resolution = info.resolution.min(sigma / spacing);
            Ok(())
        };
        keep(0, mass_of(&density), ddpm.at(0).sigma)?;
        let mut centers = PointBlock::zeros(1, z.len());
        let mut mass_at = vec![0.0; z.len()];
        for k in 0..ddpm.steps() {
            if observe(k).is_break() {
                return Err(PiFtError::Interrupted { step: k });
            }
            let step = ddpm.at(k);
            match policy {
                ChainPolicy::Feedback(u) => {
                    u.at(step.time).eval(points.as_points(), centers.as_mut());
                    step.controlled_mean_in_place(points.as_points(), centers.as_mut());
                }
                _ => step.mean(points.as_points(), centers.as_mut()),
            }
            if let ChainPolicy::Shifts(shifts) = policy {
                centers.data_mut().iter_mut().zip(&shifts[k]).for_each(|(c, d)| *c += d);
            }
            finite(k, "mean of the kernel", centers.data(), z)?;
            for ((m, p), w) in mass_at.iter_mut().zip(&density).zip(&weights) {
                *m = p * w;
            }
            push(z, centers.coord(0), &mass_at, step.sigma, params.truncation, &mut density);
            keep(k, mass_of(&density), step.sigma)?;
        }
        let moment =
            |f: &dyn Fn(f64) -> f64| -> f64 { (0..z.len()).map(|j| weights[j] * density[j] * f(z[j])).sum::<f64>() / info.mass };
        let mean = moment(&|z| z);
        let variance = moment(&|z| (z - mean).powi(2));
        Ok(ChainLaw { grid, density, mean, variance, info })
    }
}

/// Write sum_j mass_j N(z; center_j, sigma^2) at the nodes z. Every target adds its sources in their order.
fn push(z: &[f64], centers: &[f64], mass: &[f64], sigma: f64, truncation: f64, out: &mut [f64]) {
    let reach = truncation * sigma;
    let scale = 1.0 / (sigma * (2.0 * PI).sqrt());
    out.par_chunks_mut(TARGETS).zip(z.par_chunks(TARGETS)).for_each(|(out, z)| {
        out.fill(0.0);
        let mut buffer = [0.0; TARGETS];
        let (low, high) = (z[0] - reach, z[z.len() - 1] + reach);
        for (&c, &m) in centers.iter().zip(mass) {
            if m == 0.0 || c < low || c > high {
                continue;
            }
            let from = z.partition_point(|&z| z < c - reach);
            let to = z.partition_point(|&z| z <= c + reach);
            if from >= to {
                continue;
            }
            let exponents = &mut buffer[..to - from];
            for (e, z) in exponents.iter_mut().zip(&z[from..to]) {
                let x = (z - c) / sigma;
                *e = -0.5 * x * x;
            }
            exp_in_place(exponents);
            for (o, e) in out[from..to].iter_mut().zip(exponents.iter()) {
                *o += m * scale * e;
            }
        }
    });
}

fn check(ddpm: &Ddpm<'_>, grid: &TensorGrid, policy: ChainPolicy<'_>, params: ChainLawParams) -> Result<(), PiFtError> {
    if ddpm.dim() != 1 {
        let reason = format!("the chain has dimension {}; only 1 is built here, GridLaw has up to 3", ddpm.dim());
        return Err(PiFtError::Unsupported { what: "law of the chain on a grid", reason });
    }
    if grid.dim() != 1 {
        return Err(PiFtError::invalid("grid.dim", grid.dim(), "1, the dimension of the chain"));
    }
    if let Some(k) = ddpm.variances().iter().position(|&v| v == 0.0) {
        let reason = format!("step {k} has no noise (posterior variance); GridLaw takes it");
        return Err(PiFtError::Unsupported { what: "law of the chain on a grid", reason });
    }
    params.check()?;
    match policy {
        ChainPolicy::Shifts(shifts) if shifts.len() != ddpm.steps() => {
            Err(PiFtError::invalid("shifts", shifts.len(), format!("{} slices, one per step (keep all of them)", ddpm.steps())))
        }
        ChainPolicy::Shifts(shifts) => match shifts.iter().position(|s| s.len() != grid.len()) {
            Some(k) => Err(PiFtError::invalid(
                format!("shifts[{k}].len"),
                shifts[k].len(),
                format!("{}, the nodes of the law's grid", grid.len()),
            )),
            None => Ok(()),
        },
        ChainPolicy::Feedback(u) if u.dim() != 1 || u.control_dim() != 1 => {
            Err(PiFtError::invalid("feedback.dim", u.dim(), "1, as its control"))
        }
        _ => Ok(()),
    }
}

fn finite(k: usize, quantity: &'static str, values: &[f64], z: &[f64]) -> Result<(), PiFtError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(j) => Err(PiFtError::NonFinite { step: k, quantity, value: values[j], point: vec![z[j]] }),
        None => Ok(()),
    }
}
