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
//! `docs/bridge.md` has the derivation. The coefficients are taken at equal levels of time, with splines for the derivatives of s
//! and p (order 3 in space or better), and interpolated in time with order 4; W comes from the high-order solver at 1e-5 of its
//! size. Needs b, beta and s smooth in t, and the noise of the chain to be c + O(c^2) up to T: for the posterior variance,
//! which vanishes at T, the error on equal steps is of order h log(1/h), and there is no W.
//! Method: the modified equation of E. Hairer, C. Lubich, G. Wanner, Geometric Numerical Integration (chapter IX), for a one-step
//! map on functions; D. Talay, L. Tubaro, Stochastic Anal. Appl. 8 (1990) 483-509, for weak errors of Euler schemes.

mod compare;
mod equation;
mod source;

pub use compare::{LeadingErrorReport, Profile};
pub(super) use compare::{compare, predict};

use crate::run::RunError;
use equation::ErrorEquation;
use hjbridge_hjb::smooth::Output;
use hjbridge_hjb::{SmoothParams, SmoothSolver, ValueFunction};
use hjbridge_model::{CubicSpline, Extrapolation, FineTuning, PointBlock, TensorGrid};
use hjbridge_pift::{BellmanKind, DdpmParams};
use rayon::prelude::*;
use source::{Slice, Source};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// U* at the nodes at time t.
pub type ControlAt<'a> = dyn Fn(f64) -> Result<PointBlock, RunError> + Sync + 'a;

/// Of which chain and which solution the leading error is wanted.
pub struct LeadingErrorParams<'a> {
    /// The continuous problem.
    pub model: &'a FineTuning,
    /// Where.
    pub grid: &'a Arc<TensorGrid>,
    /// Rules for a_k, sig_k^2 and t_k; the number of steps is not read.
    pub chain: DdpmParams,
    /// The mean-shift or the soft Bellman step.
    pub bellman: BellmanKind,
    /// U* at the nodes at the times of [`LeadingError::level_times`].
    pub control: &'a ControlAt<'a>,
    /// Whether the score is exact, the gradient of log p_{T-t} for a noised law p; derivatives of it in time and of order two in
    /// space are not needed then.
    pub exact_score: bool,
    /// Number of equal intervals of time, at least 4.
    pub levels: usize,
    /// Ends the solver when set.
    pub interrupt: Option<&'a AtomicBool>,
}

impl LeadingErrorParams<'_> {
    /// omega(t): the step at t is (T/N) omega(t) + O(1/N^2).
    fn density(&self, t: f64) -> f64 {
        let schedule = self.model.schedule();
        self.chain.time_grid.density(t, schedule.horizon(), schedule.rate(t), &|t0, t1| schedule.integral(t0, t1))
    }
}

/// W and C at the nodes.
#[derive(Clone)]
pub struct LeadingError {
    /// W as value and the second term of C without omega as control, at the levels.
    solution: ValueFunction,
    model: FineTuning,
    chain: DdpmParams,
    like: CubicSpline,
}

/// Tolerance of the time integration, in units of the size of W.
const TOLERANCE: f64 = 1e-5;

impl LeadingError {
    /// Solve for W.
    ///
    /// # Errors
    /// A variance rule without a leading error of order h, fewer than four levels, a dimension above 3; U* or a score that is not
    /// finite; a failure of the linear solver.
    pub fn new(params: &LeadingErrorParams<'_>) -> Result<Self, RunError> {
        let LeadingErrorParams { grid, levels, .. } = *params;
        if levels < 4 {
            return Err(RunError::Unsupported(format!(
                "levels = {levels}: the leading error needs at least 4 intervals of time"
            )));
        }
        let horizon = params.model.schedule().horizon();
        let times = Self::level_times(horizon, levels);
        let source = Source::new(params)?;
        let slices = times.par_iter().map(|&t| source.at(t)).collect::<Result<Vec<Slice>, _>>()?;
        // |W| <= int sup |tau|; the mean over the nodes instead of the sup, which is at the far corners
        let mean =
            |s: &Slice| s.drift_and_tau[grid.dim() * grid.len()..].iter().map(|x| x.abs()).sum::<f64>() / grid.len() as f64;
        let size = horizon * slices.iter().map(mean).sum::<f64>() / slices.len() as f64;
        let (tables, explicit): (Vec<_>, Vec<_>) = slices.into_iter().map(|s| (s.drift_and_tau, s.explicit)).unzip();
        let equation = ErrorEquation::new(params, times.clone(), tables)?;
        let smooth = SmoothParams {
            rtol: TOLERANCE,
            atol: (TOLERANCE * size).max(f64::MIN_POSITIVE),
            output: Output::Times(times.clone()),
            ..SmoothParams::default()
        };
        let (w, _) = SmoothSolver::new(&equation, grid.clone(), smooth)?.with_interrupt(params.interrupt).solve()?;
        let values = (0..=levels).map(|j| w.value(j).to_vec()).collect();
        let solution = ValueFunction::new(grid.clone(), grid.dim(), times, values, explicit)?;
        let like = CubicSpline::new(grid.clone(), &vec![0.0; grid.len()], Extrapolation::Linear)?;
        Ok(LeadingError { solution, model: params.model.clone(), chain: params.chain, like })
    }

    /// The equal levels of time at which U* is asked for.
    pub fn level_times(horizon: f64, levels: usize) -> Vec<f64> {
        let step = horizon / levels as f64;
        (0..=levels).map(|j| if j == levels { horizon } else { j as f64 * step }).collect()
    }

    /// T.
    pub fn horizon(&self) -> f64 {
        self.model.schedule().horizon()
    }

    /// The levels of time.
    pub fn times(&self) -> &[f64] {
        self.solution.times()
    }

    /// W and C (component by component) at the nodes at time t: cubic interpolation in the levels.
    ///
    /// # Errors
    /// A time outside [0, T].
    pub fn at(&self, t: f64) -> Result<(Vec<f64>, Vec<f64>), RunError> {
        let w = self.solution.at_time(t)?.into_values();
        let mut control = self.solution.control_at_time(t)?;
        let slope = self.like.with_values(&w)?;
        let schedule = self.model.schedule();
        let (beta, integral) = (self.model.kl_weight().at(t), |t0, t1| schedule.integral(t0, t1));
        let omega = self.chain.time_grid.density(t, schedule.horizon(), schedule.rate(t), &integral);
        for (i, c) in control.chunks_exact_mut(w.len()).enumerate() {
            c.iter_mut().enumerate().for_each(|(node, c)| *c = omega * *c + slope.node_slope(node, i) / beta);
        }
        Ok((w, control))
    }
}
