//! `rollout`: Euler-Maruyama paths of the HJB policy, and what they should show.

use super::solve::SolveRun;
use super::{Progress, RunError, initial_mean, tabulated_score};
use crate::bridge::euler_value;
use crate::problem::Problem;
use hjbridge_model::exact::{FinalLaw, TiltedMixture};
use hjbridge_rollout::{Ensemble, Histogram, HistogramParams, InitialState, Record, RolloutInfo, RolloutParams};
use serde::Serialize;

/// Section `rollout` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct RolloutReport {
    /// Estimate of E[ r(Y_T) - int beta (b/2) |U - s|^2 dt ].
    pub objective: f64,
    /// Its standard error.
    pub objective_stderr: f64,
    /// Its 95 % confidence interval.
    pub objective_interval: (f64, f64),
    /// E V(0, Y_0) from the HJB solution: the optimum in continuous time.
    pub optimum: f64,
    /// The objective of the Euler-Maruyama chain computed without simulation, by backward recursion on the grid.
    pub euler_objective: f64,
    /// `euler_objective` - `optimum`: the O(h) bias of the simulation.
    pub time_bias: f64,
    /// (objective - euler_objective) / standard error.
    pub z_score: f64,
    /// Estimate and standard error of E r(Y_T).
    pub reward: (f64, f64),
    /// Estimate and standard error of the KL cost E int beta (b/2) |U - s|^2 dt.
    pub kl_cost: (f64, f64),
    /// Mean of Y_T, model coordinates.
    pub final_mean: Vec<f64>,
    /// Its standard error.
    pub final_mean_stderr: Vec<f64>,
    /// Covariance of Y_T, rows, model coordinates.
    pub final_covariance: Vec<Vec<f64>>,
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
    /// Seed.
    pub seed: u64,
    /// What was simulated.
    pub simulation: RolloutInfo,
}

/// Estimates and arrays for figures.
pub struct RolloutRun {
    /// The report section.
    pub report: RolloutReport,
    /// Histogram of each coordinate of Y_T, model coordinates.
    pub histograms: Vec<Histogram>,
    /// A few paths: for each its states at all times.
    pub sample_paths: Vec<Vec<Vec<f64>>>,
    /// Their times.
    pub sample_times: Vec<f64>,
}

/// Paths kept for the picture.
const SAMPLE_PATHS: usize = 24;
/// Bins of the final histogram.
const BINS: usize = 80;

/// Simulate the policy of `solved`, with as many steps as it has levels.
///
/// # Errors
/// Input that does not fit; a path that becomes infinite.
pub fn rollout(
    problem: &Problem,
    solved: &SolveRun,
    steps: usize,
    threads: Option<usize>,
    progress: &dyn Progress,
) -> Result<RolloutRun, RunError> {
    let (d, model) = (problem.dim(), tabulated_score(problem, steps)?);
    let feedback = solved.feedback()?;
    let params = RolloutParams { paths: problem.file.paths, steps, seed: problem.file.seed, threads, ..RolloutParams::default() };
    let record = Record {
        histograms: problem
            .grid
            .axes()
            .iter()
            .map(|a| HistogramParams { lower: a.lower(), upper: a.upper(), bins: BINS })
            .collect(),
        ..Record::default()
    };
    progress.begin("rollout", params.paths as u64);
    let show = |done: usize| progress.advance(done as u64);
    let ensemble = Ensemble::new(&model, &feedback, InitialState::Law(problem.model.initial_law()), params.clone())?
        .with_record(record)?
        .with_progress(&show);
    let (summary, simulation) = ensemble.run()?;
    progress.end();
    let chosen: Vec<u64> = (0..SAMPLE_PATHS.min(params.paths) as u64).collect();
    let samples = ensemble.replay_all(&chosen)?;

    let euler_objective = initial_mean(problem, &euler_value(&model, &feedback, &problem.grid, steps)?);
    let Some(optimum) = solved.report.objective else {
        return Err(RunError::Unsupported("a rollout needs an HJB solution that reached t = 0".into()));
    };
    let objective = summary.objective;
    let exact = exact_final_moments(problem)?;
    let final_mean: Vec<f64> = summary.mean.iter().map(|e| e.mean).collect();
    let in_units =
        |m: &[f64]| -> Vec<f64> { m.iter().enumerate().map(|(i, x)| problem.units(i).0 + problem.units(i).1 * x).collect() };
    let report = RolloutReport {
        objective: objective.mean,
        objective_stderr: objective.standard_error,
        objective_interval: objective.confidence_interval(0.95)?,
        optimum,
        euler_objective,
        time_bias: euler_objective - optimum,
        z_score: objective.z_score(euler_objective),
        reward: (summary.terminal_reward.mean, summary.terminal_reward.standard_error),
        kl_cost: (summary.running_cost.mean, summary.running_cost.standard_error),
        final_mean_stderr: summary.mean.iter().map(|e| e.standard_error).collect(),
        final_covariance: summary.covariance.chunks(d).map(<[f64]>::to_vec).collect(),
        final_mean_data_units: problem.data.as_ref().map(|_| in_units(&final_mean)),
        prior_mean: in_units(&problem.model.prior().mean()),
        final_mean,
        final_mean_exact: exact.map(|e| e.0),
        final_variance_exact: exact.map(|e| e.1),
        initial_law: initial_law_name(problem),
        seed: problem.file.seed,
        simulation,
    };
    let sample_times = samples.first().map(|s| s.times.clone()).unwrap_or_default();
    let sample_paths = samples
        .into_iter()
        .map(|s| {
            let mut y = vec![0.0; d];
            (0..s.states.len())
                .map(|k| {
                    s.states.as_points().copy_point(k, &mut y);
                    y.clone()
                })
                .collect()
        })
        .collect();
    Ok(RolloutRun { report, histograms: summary.histograms, sample_paths, sample_times })
}

/// Name of the initial law as in problem files.
pub(crate) fn initial_law_name(problem: &Problem) -> &'static str {
    use hjbridge_model::InitialLaw;
    match problem.model.initial() {
        InitialLaw::StandardNormal => "standard_normal",
        InitialLaw::NoisedPrior => "noised_prior",
        InitialLaw::Optimal => "optimal",
    }
}

/// Mean and variance of the final law of the continuous optimal process, d = 1.
fn exact_final_moments(problem: &Problem) -> Result<Option<(f64, f64)>, RunError> {
    let tilts = problem.model.kl_weight().as_constant().is_some_and(|b| problem.model.reward().tilt_terms(b).is_some());
    if problem.dim() != 1 || !tilts {
        return Ok(None);
    }
    let law = FinalLaw::new(&problem.model, &TiltedMixture::new(&problem.model)?)?;
    let mut q = vec![0.0; problem.grid.len()];
    law.density(problem.grid.points().as_points(), &mut q);
    let x = problem.grid.axis(0).nodes();
    let w = problem.grid.volumes();
    let moment = |f: &dyn Fn(f64) -> f64| (0..x.len()).map(|i| w[i] * q[i] * f(x[i])).sum::<f64>();
    let mass = moment(&|_| 1.0);
    let mean = moment(&|x| x) / mass;
    Ok(Some((mean, moment(&|x| (x - mean).powi(2)) / mass)))
}
