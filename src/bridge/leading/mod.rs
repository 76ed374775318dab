//! The leading error of PI-FT, predicted: V_k - V(t_k) = h W(t_k) + O(h^2) and u_k - U*(t_k) = h C(t_k) + O(h^2), h = T/N.
//!
//! W solves the linear equation that the Bellman step leaves when V is put into it (its modified equation),
//!
//!   W_t + b [ (1/2) Lap W + (mu + p).grad W ] + tau = 0,   W(T) = 0,   mu = y/2 + s,   p = grad V / beta,
//!
//! with the source tau of `source.rs`; mu + p = y/2 + U* is the drift of the optimal process, so that W(t, y) is the expectation
//! of int_t^T tau along it. The error of the control follows from that of the value:
//!
//!   C = (1/beta) grad W + b [ (sigma2 - 1/2) p - Ds' p ],   sig^2 = c + sigma2 c^2 + O(c^3),   c = int b over a step.
//!
//! Steps of unequal length h_k = h omega(t_k) multiply tau and the second term of C by omega.
//! `docs/bridge.md` has the derivation. Order of this computation: 2 in space (differences of W; 3 or better for the derivatives
//! of s and p, by splines) and 2 in time. Needs b, beta and s smooth in t, and the noise of the chain to be c + O(c^2) up to T:
//! for the posterior variance, which vanishes at T, the error is of order h log(1/h) and there is no W.
//! Method: the modified equation of E. Hairer, C. Lubich, G. Wanner, Geometric Numerical Integration (chapter IX), for a one-step
//! map on functions; D. Talay, L. Tubaro, Stochastic Anal. Appl. 8 (1990) 483-509, for weak errors of Euler schemes.

mod equation;
mod source;

use crate::run::RunError;
use equation::ErrorEquation;
use hjbridge_hjb::{HjbParams, HjbSolver, Storage, ValueFunction};
use hjbridge_model::{CubicSpline, Extrapolation, FineTuning, PointBlock, TensorGrid};
use hjbridge_pift::{BellmanKind, DdpmParams};
use rayon::prelude::*;
use source::{Slice, Source};
use std::sync::Arc;

/// U* at the nodes at time t.
pub type ControlAt<'a> = dyn Fn(f64) -> Result<PointBlock, RunError> + Sync + 'a;

/// Of which chain and which solution the leading error is wanted.
pub struct LeadingErrorParams<'a> {
    /// The continuous problem.
    pub model: &'a FineTuning,
    /// Where.
    pub grid: &'a Arc<TensorGrid>,
    /// Rules for a_k and sig_k^2; the number of steps is not read.
    pub chain: DdpmParams,
    /// The mean-shift or the soft Bellman step.
    pub bellman: BellmanKind,
    /// U* at the nodes at any time.
    pub control: &'a ControlAt<'a>,
    /// Whether the score is exact, the gradient of log p_{T-t} for a noised law p; derivatives of it in time and of order two in
    /// space are not needed then.
    pub exact_score: bool,
    /// omega(t): the step at t is (T/N) omega(t).
    pub density: &'a (dyn Fn(f64) -> f64 + Sync),
    /// Number of equal intervals of time for W, at least 2.
    pub levels: usize,
}

/// W and C at the nodes.
#[derive(Clone, Debug)]
pub struct LeadingError {
    solution: ValueFunction,
}

impl LeadingError {
    /// Solve for W.
    ///
    /// # Errors
    /// A variance rule without a leading error of order h, fewer than two levels, a dimension above 3; U* or a score that is not
    /// finite; a failure of the linear solver.
    pub fn new(params: &LeadingErrorParams<'_>) -> Result<Self, RunError> {
        let LeadingErrorParams { grid, levels, .. } = *params;
        if levels < 2 {
            return Err(RunError::Unsupported(format!("levels = {levels}: the leading error needs at least 2 intervals of time")));
        }
        let horizon = params.model.schedule().horizon();
        let times: Vec<f64> =
            (0..=levels).map(|j| if j == levels { horizon } else { horizon * j as f64 / levels as f64 }).collect();
        let source = Source::new(params)?;
        let slices = times.par_iter().map(|&t| source.at(t)).collect::<Result<Vec<Slice>, _>>()?;
        let (tables, explicit): (Vec<_>, Vec<_>) = slices.into_iter().map(|s| (s.drift_and_tau, s.explicit)).unzip();
        let equation = ErrorEquation::new(params.model, grid.clone(), times.clone(), tables)?;
        let hjb = HjbParams { steps: levels, storage: Storage::All, ..HjbParams::default() };
        let (w, _) = HjbSolver::new(&equation, grid.clone(), hjb)?.solve()?;
        let zero = vec![0.0; grid.len()];
        let like = CubicSpline::new(grid.clone(), &zero, Extrapolation::Linear)?;
        let controls = times.par_iter().zip(explicit).enumerate().map(|(j, (&t, explicit))| {
            let beta = params.model.kl_weight().at(t);
            let slope = like.with_values(w.value(j))?;
            let mut control = explicit;
            for (i, c) in control.chunks_exact_mut(grid.len()).enumerate() {
                c.iter_mut().enumerate().for_each(|(node, c)| *c += slope.node_slope(node, i) / beta);
            }
            Ok(control)
        });
        let controls = controls.collect::<Result<Vec<_>, RunError>>()?;
        let values = (0..=levels).map(|j| w.value(j).to_vec()).collect();
        Ok(LeadingError { solution: ValueFunction::new(grid.clone(), grid.dim(), times, values, controls)? })
    }

    /// W as value and C as control (component by component) at the levels of time.
    pub fn levels(&self) -> &ValueFunction {
        &self.solution
    }

    /// W and C at the nodes at time t: cubic interpolation in the levels.
    ///
    /// # Errors
    /// A time outside [0, T].
    pub fn at(&self, t: f64) -> Result<(Vec<f64>, Vec<f64>), RunError> {
        Ok((self.solution.at_time(t)?.into_values(), self.solution.control_at_time(t)?))
    }
}
