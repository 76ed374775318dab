//! J by simulation, the excess cost along paths, and the soft bound of Donsker and Varadhan.
//!
//! For a constant KL weight (with a varying one at its smallest value, which only raises V) and every control U,
//!
//!   E V(0, Y_0) <= E V_soft(0, Y_0),    V_soft(0, y) = beta log E[ exp(r(Y_T)/beta) | Y_0 = y ] under the pre-trained process,
//!
//! and for every function c by Jensen's inequality
//!
//!   E V_soft(0, Y_0) <= E c(Y_0) + beta log E_U exp( (A - c(Y_0))/beta ),    A = r(Y_T) + beta log dP_pre/dP_U,
//!
//! with equality where c = V_soft(0, .). At the optimum A = V(0, Y_0) on every path, so that a good policy gives a bound with little
//! noise. c is quadratic in each coordinate, fitted to A on paths that are not used again; the rest is kept by the same paths with
//! N and 2N steps. The bound is one-sided at the stated confidence, by the delta method.

use super::CONFIDENCE;
use super::closed::half_quadratic;
use super::report::{Bound, Simulated};
use crate::run::RunError;
use hjbridge_model::spd::{Spd, symmetric};
use hjbridge_model::{ControlledDiffusion, Feedback, FineTuning, PointBlock, Points, PointsMut, VectorField, ZeroFeedback};
use hjbridge_rollout::estimators::{GirsanovWeight, WeakExtrapolation, weak_extrapolation};
use hjbridge_rollout::multilevel::Payoff;
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::reduce::{LogMean, normal_quantile};
use hjbridge_rollout::{
    ClosedLoop, Ensemble, Estimate, FinishedPaths, InitialState, MeasureReducer, PathFunctional, PreparedFunctional, Reducer,
    RolloutError, RolloutParams, StepView,
};
use std::sync::atomic::AtomicBool;

/// Intervals of time in which the excess along paths is told apart.
pub(super) const BINS: usize = 16;

/// Paths from which the function c is fitted.
const PILOT: usize = 4096;

/// Share of equally good paths below which a bound is marked.
pub(super) const FEW: f64 = 0.02;

/// What is simulated: a problem that is maximised, under a control.
#[derive(Clone)]
pub(super) struct Paths<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub control: &'a dyn Feedback,
    pub initial: InitialState<'a>,
    pub params: RolloutParams,
    /// -1 when the problem's own sense is to minimise.
    pub sign: f64,
    /// Ends the simulation when set; what it gives then is of fewer paths.
    pub interrupt: Option<&'a AtomicBool>,
}

impl<'a> Paths<'a> {
    fn ensemble(&self, params: RolloutParams) -> Result<Ensemble<'a>, RunError> {
        let ensemble = Ensemble::new(self.model, self.control, self.initial.clone(), params)?;
        Ok(interruptible(ensemble, self.interrupt))
    }

    /// J with its interval, its parts, and the excess cost against `optimal` in total and by intervals of time.
    ///
    /// # Errors
    /// A path that becomes infinite.
    pub fn objective(&self, optimal: Option<&dyn Feedback>) -> Result<(Simulated, Vec<Estimate>), RunError> {
        let (found, bias_left) = extrapolated(&|params| self.ensemble(params), &self.params, None)?;
        let steps = self.params.steps as f64;
        let excess = optimal.map(|optimal| ExcessCost { optimal });
        let params = RolloutParams { level: self.params.level + 1, ..self.params.clone() };
        let mut ensemble = self.ensemble(params)?;
        if let Some(excess) = &excess {
            ensemble = ensemble.with_functional(excess);
        }
        let bins = if excess.is_some() { BINS } else { 0 };
        let measure = move |paths: &FinishedPaths<'_>, mut out: PointsMut<'_>| {
            out.coord_mut(0).copy_from_slice(paths.terminal_reward);
            out.coord_mut(1).copy_from_slice(paths.running_cost);
            out.coord_mut(2).iter_mut().zip(paths.outside).for_each(|(o, x)| *o = x / steps);
            out.coord_mut(3).fill(0.0);
            for bin in 0..bins {
                out.coord_mut(4 + bin).copy_from_slice(paths.functionals.coord(bin));
                out.coord_mut(3).iter_mut().zip(paths.functionals.coord(bin)).for_each(|(o, x)| *o += x);
            }
        };
        let (reduced, _) = ensemble.reduce(&MeasureReducer::new(4 + bins, measure))?;
        let parts = reduced.estimates()?;
        let own = |e: Estimate| Estimate { mean: self.sign * e.mean, ..e };
        let objective = own(found.extrapolated);
        let simulated = Simulated {
            objective,
            interval: objective.confidence_interval(CONFIDENCE).map(|(low, high)| (low - bias_left, high + bias_left))?,
            steps: self.params.steps,
            fine: own(found.fine),
            fine_bias: own(found.fine_bias),
            bias_left,
            terminal: own(parts[0]),
            control_cost: parts[1],
            outside_fraction: parts[2],
            excess: excess.is_some().then(|| parts[3]),
        };
        Ok((simulated, parts[4..].to_vec()))
    }

    /// J by Euler-Maruyama alone, with few paths.
    ///
    /// # Errors
    /// A path that becomes infinite.
    pub fn roughly(&self, paths: usize) -> Result<Estimate, RunError> {
        let params = RolloutParams { paths: paths.min(self.params.paths), level: self.params.level + 2, ..self.params.clone() };
        Ok(self.ensemble(params)?.run()?.0.objective)
    }
}

/// An ensemble that ends when the flag is set.
fn interruptible<'a>(ensemble: Ensemble<'a>, flag: Option<&'a AtomicBool>) -> Ensemble<'a> {
    match flag {
        Some(flag) => ensemble.with_interrupt(flag),
        None => ensemble,
    }
}

/// The mean of `payoff` (the objective) with N and 2N steps, extrapolated, and what is left of the bias: the change of the
/// extrapolation from N/2 and N steps on the same noise is three times that, to leading order h^2.
fn extrapolated<'a>(
    ensemble: &dyn Fn(RolloutParams) -> Result<Ensemble<'a>, RunError>,
    params: &RolloutParams,
    payoff: Option<&Payoff<'_>>,
) -> Result<(WeakExtrapolation, f64), RunError> {
    let (found, _) = weak_extrapolation(&ensemble(params.clone())?, payoff)?;
    let before = match params.steps.is_multiple_of(2) {
        true => {
            let half = RolloutParams { steps: params.steps / 2, coarsening: 2, ..params.clone() };
            weak_extrapolation(&ensemble(half)?, payoff).ok()
        }
        false => None,
    };
    // without it: what the extrapolation removed
    let left = before.map_or(found.fine_bias.mean, |(b, _)| (found.extrapolated.mean - b.extrapolated.mean) / 3.0);
    Ok((found, left.abs()))
}

/// (1/2) int (v - v*)'R(v - v*) dt in each of [`BINS`] intervals of time.
struct ExcessCost<'a> {
    optimal: &'a dyn Feedback,
}

struct PreparedExcess<'s> {
    fields: Vec<Box<dyn VectorField + 's>>,
}

impl PathFunctional for ExcessCost<'_> {
    fn values(&self) -> usize {
        BINS
    }
    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        let fields = (0..system.steps()).map(|k| self.optimal.at(system.level(k).time)).collect();
        Ok(Box::new(PreparedExcess { fields }))
    }
}

impl PreparedFunctional for PreparedExcess<'_> {
    fn step(&self, step: &StepView<'_>, mut values: PointsMut<'_>) {
        let mut w = PointBlock::zeros(step.control.dim(), LANES);
        self.fields[step.step].eval(step.before, w.as_mut());
        for k in 0..w.dim() {
            w.as_mut().coord_mut(k).iter_mut().zip(step.control.coord(k)).for_each(|(w, v)| *w = v - *w);
        }
        let mut rate = [0.0; LANES];
        half_quadratic(&step.level.control_weight, step.before, &w, &mut rate);
        let bin = step.step * BINS / self.fields.len();
        let weight = step.step_length * step.level.discount;
        values.coord_mut(bin).iter_mut().zip(rate).for_each(|(o, r)| *o += weight * r);
    }
}

/// y_i and y_i^2 of the start, for as many coordinates as the paths' numbers allow.
#[derive(Clone, Copy)]
struct StartFeatures {
    dim: usize,
    squares: bool,
}

impl PathFunctional for StartFeatures {
    fn values(&self) -> usize {
        if self.squares { 2 * self.dim } else { self.dim }
    }
    fn prepare<'s>(&'s self, _: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        Ok(Box::new(*self))
    }
}

impl PreparedFunctional for StartFeatures {
    fn begin(&self, x: Points<'_>, mut values: PointsMut<'_>) {
        for i in 0..self.dim {
            values.coord_mut(i).copy_from_slice(x.coord(i));
            if self.squares {
                values.coord_mut(self.dim + i).iter_mut().zip(x.coord(i)).for_each(|(o, x)| *o = x * x);
            }
        }
    }
    fn step(&self, _: &StepView<'_>, _: PointsMut<'_>) {}
}

/// Collects (A/beta, features) of every path.
#[derive(Clone)]
struct Rows {
    beta: f64,
    rows: Vec<Vec<f64>>,
}

impl Reducer for Rows {
    fn absorb(&mut self, paths: &FinishedPaths<'_>) {
        for j in 0..paths.len() {
            let a = paths.terminal_reward[j] / self.beta + paths.functionals.coord(0)[j];
            let features = (2..paths.functionals.dim()).map(|i| paths.functionals.coord(i)[j]);
            self.rows.push(std::iter::once(a).chain(features).collect());
        }
    }
    fn merge(&mut self, later: Self) {
        self.rows.extend(later.rows);
    }
}

/// c/beta = constant + sum of coefficients times features.
struct Baseline {
    coefficients: Vec<f64>,
    /// log of the mean of exp(A/beta - c/beta) on the pilot's paths.
    shift: f64,
    effective_share: f64,
}

impl Baseline {
    fn fit(rows: &[Vec<f64>]) -> Self {
        let (n, p) = (rows.len() as f64, rows[0].len());
        let mean = |i: usize| rows.iter().map(|r| r[i]).sum::<f64>() / n;
        let means: Vec<f64> = (0..p).map(mean).collect();
        let moment = |i: usize, j: usize| rows.iter().map(|r| (r[i] - means[i]) * (r[j] - means[j])).sum::<f64>() / n;
        let mut gram: Vec<Vec<f64>> = (1..p).map(|i| (1..p).map(|j| moment(i, j)).collect()).collect();
        for (i, row) in gram.iter_mut().enumerate() {
            row[i] = row[i] * (1.0 + 1e-9) + 1e-12;
        }
        let right: Vec<f64> = (1..p).map(|i| moment(i, 0)).collect();
        let solved = symmetric("features", &gram, p - 1).and_then(|g| Spd::new("features", g));
        let coefficients = match solved {
            Ok(spd) => {
                let inverse = spd.inverse();
                (0..p - 1).map(|i| (0..p - 1).map(|j| inverse[(i, j)] * right[j]).sum()).collect()
            }
            // without c the bound is looser, and still one
            Err(_) => vec![0.0; p - 1],
        };
        let mut baseline = Baseline { coefficients, shift: 0.0, effective_share: 0.0 };
        let rest: Vec<f64> = rows.iter().map(|r| r[0] - baseline.at(|i| r[1 + i])).collect();
        let mut log = LogMean::new();
        log.absorb(&rest);
        baseline.shift = log.estimate().mean;
        baseline.effective_share = log.effective_samples() / n;
        baseline
    }

    fn at(&self, feature: impl Fn(usize) -> f64) -> f64 {
        self.coefficients.iter().enumerate().map(|(i, c)| c * feature(i)).sum()
    }
}

/// The soft bound of E V(0, Y_0) by simulation under the policy or the pre-trained process, whichever has the more even weights.
///
/// # Errors
/// A path that becomes infinite under both.
pub(super) fn soft_bound(
    problem: &FineTuning,
    control: &dyn Feedback,
    params: &RolloutParams,
    interrupt: Option<&AtomicBool>,
) -> Result<Bound, RunError> {
    let law = problem.initial_law();
    let (mean, covariance) = (law.mean(), law.covariance());
    let d = mean.len();
    let zero = ZeroFeedback { dim: d, control_dim: d };
    let beta = problem.kl_weight().range(problem.schedule().horizon()).0;
    let girsanov = GirsanovWeight::new(&zero);
    let features = StartFeatures { dim: d, squares: 20 * d < PILOT };
    let ensemble = |control, params: RolloutParams| -> Result<Ensemble<'_>, RunError> {
        let ensemble = Ensemble::new(problem, control, InitialState::Law(law), params)?;
        Ok(interruptible(ensemble, interrupt).with_functional(&girsanov).with_functional(&features))
    };
    let pilot = |control| -> Result<Baseline, RunError> {
        let params = RolloutParams { paths: PILOT, level: params.level + 3, ..params.clone() };
        let (rows, _) = ensemble(control, params)?.reduce(&Rows { beta, rows: Vec::new() })?;
        Ok(Baseline::fit(&rows.rows))
    };
    let (under_policy, under_zero) = (pilot(control), pilot(&zero)?);
    let (baseline, control, whose): (_, &dyn Feedback, _) = match under_policy {
        Ok(p) if p.effective_share > under_zero.effective_share => (p, control, "policy"),
        _ => (under_zero, &zero, "pre-trained process"),
    };
    let payoff = |paths: &FinishedPaths<'_>, out: &mut [f64]| {
        for (j, o) in out.iter_mut().enumerate() {
            let c = baseline.at(|i| paths.functionals.coord(2 + i)[j]);
            *o = (paths.terminal_reward[j] / beta + paths.functionals.coord(0)[j] - c - baseline.shift).exp();
        }
    };
    let params = RolloutParams { level: params.level + 4, ..params.clone() };
    let (found, bias_left) = extrapolated(&|params| ensemble(control, params), &params, Some(&payoff))?;
    let best = if found.extrapolated.mean > 0.0 { found.extrapolated } else { found.fine };
    let mean_of = |i: usize| if i < d { mean[i] } else { covariance[i - d][i - d] + mean[i - d].powi(2) };
    let value = beta * (baseline.at(mean_of) + baseline.shift + best.mean.ln());
    let scale = beta / best.mean;
    let constant = problem.kl_weight().as_constant().is_some();
    let smallest = if constant { "" } else { ", at the smallest KL weight (the bound is loose where it varies)" };
    Ok(Bound {
        kind: "donsker_varadhan",
        value,
        limit: value + scale * (normal_quantile(CONFIDENCE) * best.standard_error + bias_left),
        effective_share: Some(baseline.effective_share),
        method: format!("{} paths of the {whose}, weighted{smallest}", best.n),
    })
}
