//! Section `rollout` of the report; the fields are described in `docs/rollout.md`.

use super::options::{REPETITIONS, RolloutOptions, SchemeName, TimesChoice, VarianceName};
use crate::problem::spec::AlphaSpec;
use hjbridge_rollout::multilevel::{MultilevelEstimate, MultilevelInfo};
use hjbridge_rollout::reduce::Quantiles;
use hjbridge_rollout::{Estimate, NoiseSource, RolloutInfo, RolloutParams, TimeGrid};
use serde::Serialize;

/// The section for either kind of problem.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum AnyRolloutReport {
    /// Fine-tuning.
    FineTuning(Box<RolloutReport>),
    /// A controlled diffusion.
    Controlled(Box<ControlledRolloutReport>),
}

impl From<RolloutReport> for AnyRolloutReport {
    fn from(report: RolloutReport) -> Self {
        AnyRolloutReport::FineTuning(Box::new(report))
    }
}

impl From<ControlledRolloutReport> for AnyRolloutReport {
    fn from(report: ControlledRolloutReport) -> Self {
        AnyRolloutReport::Controlled(Box::new(report))
    }
}

/// How it was simulated.
#[derive(Clone, Debug, Serialize)]
pub struct RolloutSettings {
    /// Scheme.
    pub scheme: SchemeName,
    /// Variance of the ancestral sampler.
    pub variance: Option<VarianceName>,
    /// How its a_k follow from the noise rate.
    pub alpha: Option<AlphaSpec>,
    /// eta of the DDIM sampler.
    pub eta: Option<f64>,
    /// Time levels.
    pub time_grid: TimeGridReport,
    /// Source of the normal numbers.
    pub noise: NoiseSource,
    /// Whether paths come in antithetic pairs.
    pub antithetic: bool,
    /// Seed.
    pub seed: u64,
    /// What may end the run.
    pub stop: StopReport,
    /// Paths that a checkpoint brought along; absent for a run from the beginning.
    pub resumed_from: Option<u64>,
    /// Whether time or an interrupt cut the run short.
    pub partial: bool,
    /// What must be read with care.
    pub notes: Vec<String>,
}

/// The time levels.
#[derive(Clone, Debug, Serialize)]
pub struct TimeGridReport {
    /// uniform, log_snr or listed.
    pub kind: &'static str,
    /// N.
    pub steps: usize,
    /// First time.
    pub start: f64,
    /// Last time.
    pub end: f64,
    /// Length of the shortest step.
    pub shortest_step: f64,
    /// Length of the longest.
    pub longest_step: f64,
}

/// What may end a run.
#[derive(Clone, Debug, Serialize)]
pub struct StopReport {
    /// Most paths.
    pub paths: usize,
    /// Standard error asked for.
    pub target_stderr: Option<f64>,
    /// Whether it was reached; absent when none was asked for.
    pub target_reached: Option<bool>,
    /// Seconds allowed.
    pub time_budget: Option<f64>,
}

impl RolloutSettings {
    pub(super) fn new(options: &RolloutOptions, params: &RolloutParams, grid: Option<&TimeGrid>, horizon: f64) -> Self {
        let kind = match options.times {
            TimesChoice::Uniform => "uniform",
            TimesChoice::LogSnr => "log_snr",
            TimesChoice::Listed(_) => "listed",
        };
        let step = horizon / params.steps as f64;
        let lengths = |g: &TimeGrid| {
            let all = (0..g.steps()).map(|k| g.step_length(k));
            all.fold((f64::INFINITY, 0.0_f64), |(a, b), h| (a.min(h), b.max(h)))
        };
        let (shortest_step, longest_step) = grid.map_or((step, step), lengths);
        let start = grid.map_or(0.0, TimeGrid::start);
        RolloutSettings {
            scheme: options.scheme,
            variance: options.variance,
            alpha: None,
            eta: (options.scheme == SchemeName::Ddim).then(|| options.eta.unwrap_or(0.0)),
            time_grid: TimeGridReport { kind, steps: params.steps, start, end: horizon, shortest_step, longest_step },
            noise: params.noise,
            antithetic: params.antithetic,
            seed: params.seed,
            stop: StopReport {
                paths: params.paths * if params.noise == NoiseSource::Sobol { REPETITIONS } else { 1 },
                target_stderr: options.target_stderr,
                target_reached: None,
                time_budget: options.time_budget,
            },
            resumed_from: None,
            partial: false,
            notes: Vec::new(),
        }
    }
}

/// Estimates of a fine-tuning problem, each with `mean`, `standard_error` and `n`.
#[derive(Clone, Debug, Serialize)]
pub struct Estimates {
    /// r(Y_T) - int beta (b/2) |U - s|^2 dt.
    pub objective: Estimate,
    /// r(Y_T).
    pub reward: Estimate,
    /// int beta (b/2) |U - s|^2 dt.
    pub kl_cost: Estimate,
    /// log dP_ref/dP_U of the pre-trained paths against the simulated ones; its mean is minus the relative entropy.
    pub log_weight: Option<Estimate>,
    /// dP_ref/dP_U, whose mean is one but for chance.
    pub weight: Option<Estimate>,
    /// (1/2) int b |U - s|^2 dt, the relative entropy of the two laws of paths.
    pub relative_entropy: Option<Estimate>,
    /// Each coordinate of Y_T, model coordinates.
    pub final_mean: Vec<Estimate>,
    /// Quantiles of the objective and of each coordinate of Y_T.
    pub quantiles: Vec<Quantiles>,
    /// Fraction of a path's steps at which the policy's table was left.
    pub outside_fraction: Estimate,
}

/// Section `rollout` of the report of a fine-tuning problem.
#[derive(Clone, Debug, Serialize)]
pub struct RolloutReport {
    /// How it was simulated.
    #[serde(flatten)]
    pub settings: RolloutSettings,
    /// What was found.
    pub estimates: Estimates,
    /// 95 % confidence interval of the objective.
    pub objective_interval: (f64, f64),
    /// E V(0, Y_0) from the HJB solution: the optimum in continuous time.
    pub optimum: f64,
    /// The objective of the Euler-Maruyama chain computed without simulation, by backward recursion on the grid; absent for
    /// other schemes and for unequal steps.
    pub euler_objective: Option<f64>,
    /// `euler_objective` - `optimum`: the O(h) bias of the simulation.
    pub time_bias: Option<f64>,
    /// What `z_score` refers to: `euler_objective` where there is one, otherwise `optimum`.
    pub reference: &'static str,
    /// (objective - reference) / standard error.
    pub z_score: f64,
    /// Covariance of Y_T, rows, model coordinates.
    pub final_covariance: Vec<Vec<f64>>,
    /// Standard error of each of its entries; infinite (null in JSON) below 128 paths.
    pub final_covariance_error: Vec<Vec<f64>>,
    /// Mean of Y_T in the data's units.
    pub final_mean_data_units: Option<Vec<f64>>,
    /// Mean of the data (the prior), in the same units as `final_mean_data_units`, or model coordinates.
    pub prior_mean: Vec<f64>,
    /// Mean of the law the continuous optimal process ends in from the same initial law (d = 1, mixture tilt).
    pub final_mean_exact: Option<f64>,
    /// Its variance.
    pub final_variance_exact: Option<f64>,
    /// The initial law.
    pub initial_law: &'static str,
    /// The objective by multilevel Monte Carlo.
    pub multilevel: Option<MultilevelReport>,
    /// Why there is none although it was asked for.
    pub multilevel_failure: Option<String>,
    /// What was simulated.
    pub simulation: RolloutInfo,
}

/// The objective by multilevel Monte Carlo.
#[derive(Clone, Debug, Serialize)]
pub struct MultilevelReport {
    /// Estimate, standard error and estimated remaining bias.
    pub objective: MultilevelEstimate,
    /// 95 % confidence interval, widened by the bias.
    pub interval: (f64, f64),
    /// (objective - optimum) / standard error.
    pub z_score: f64,
    /// Levels, costs, rates.
    pub info: MultilevelInfo,
}

impl MultilevelReport {
    /// In the user's sense (`sign` = -1 when minimising), against `reference`.
    pub(super) fn new(
        found: (MultilevelEstimate, MultilevelInfo),
        sign: f64,
        reference: f64,
    ) -> Result<Self, hjbridge_rollout::RolloutError> {
        let (mut objective, mut info) = found;
        objective.mean *= sign;
        for level in &mut info.levels {
            level.difference.mean *= sign;
            level.fine.mean *= sign;
        }
        let z_score = (objective.mean - reference) / objective.standard_error;
        Ok(MultilevelReport { interval: objective.confidence_interval(0.95)?, z_score, objective, info })
    }
}

/// Section `rollout` of the report of a controlled diffusion.
#[derive(Clone, Debug, Serialize)]
pub struct ControlledRolloutReport {
    /// How it was simulated.
    #[serde(flatten)]
    pub settings: RolloutSettings,
    /// One entry for each point of `start`.
    pub starts: Vec<StartRollout>,
}

/// The paths from one starting point, in the problem's own sense.
#[derive(Clone, Debug, Serialize)]
pub struct StartRollout {
    /// The point.
    pub x: Vec<f64>,
    /// The functional that the problem optimises.
    pub objective: Estimate,
    /// 95 % confidence interval.
    pub objective_interval: (f64, f64),
    /// V(0, x) of the HJB solution.
    pub value: f64,
    /// The known V(0, x).
    pub exact_value: Option<f64>,
    /// (objective - the known value or else that of the HJB solution) / standard error.
    pub z_score: f64,
    /// Terminal part, running part without the control's cost, and the control's cost; absent where paths end early.
    pub parts: Option<Parts>,
    /// Where and when paths end, when they end at a target or a Dirichlet face.
    pub exit: Option<ExitReport>,
    /// Each coordinate of the last state.
    pub final_mean: Vec<Estimate>,
    /// Covariance of the last state, rows.
    pub final_covariance: Vec<Vec<f64>>,
    /// Standard error of each of its entries; infinite (null in JSON) below 128 paths.
    pub final_covariance_error: Vec<Vec<f64>>,
    /// Quantiles of each coordinate of the last state (and of the objective, where `parts` are given).
    pub quantiles: Vec<QuantileRow>,
    /// Fraction of a path's steps at which the policy's grid was left.
    pub outside_fraction: Estimate,
    /// The objective by multilevel Monte Carlo.
    pub multilevel: Option<MultilevelReport>,
    /// Why there is none although it was asked for.
    pub multilevel_failure: Option<String>,
    /// What was simulated.
    pub simulation: RolloutInfo,
}

/// Quantiles at one probability.
#[derive(Clone, Debug, Serialize)]
pub struct QuantileRow {
    /// p.
    pub probability: f64,
    /// Of the objective of a path.
    pub objective: Option<Estimate>,
    /// Of each coordinate of the last state.
    pub state: Vec<Estimate>,
}

/// The parts of an objective.
#[derive(Clone, Debug, Serialize)]
pub struct Parts {
    /// g, discounted; for a problem without horizon V at the end of the paths.
    pub terminal: Estimate,
    /// int l dt, discounted.
    pub running: Estimate,
    /// int c dt, discounted.
    pub control_cost: Estimate,
}

/// First exits, those between steps counted by the Brownian bridge.
#[derive(Clone, Debug, Serialize)]
pub struct ExitReport {
    /// E[min(tau, T)].
    pub time: Estimate,
    /// P(tau > T).
    pub survival: Estimate,
    /// The sets and the chance to end in each.
    pub chances: Vec<ExitChance>,
    /// Part of the objective that is V (or the terminal value) of the paths that have not ended at T.
    pub continued: Estimate,
}

/// The chance to end in a set.
#[derive(Clone, Debug, Serialize)]
pub struct ExitChance {
    /// `target`, or the face.
    pub set: String,
    /// The chance.
    pub chance: Estimate,
}
