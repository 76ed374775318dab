//! Paths of the HJB policy of a fine-tuning problem, and what they should show.

use super::checkpoint::Checkpoint;
use super::options::{RolloutOptions, SchemeName};
use super::report::{Estimates, MultilevelReport, RolloutReport, RolloutSettings};
use super::simulate::{Chain, Job, Setup, check, simulate};
use super::{BINS, PLANE_BINS, PROBABILITIES, initial_law_name, time_grid};
use crate::bridge::euler_value;
use crate::problem::Problem;
use crate::run::solve::SolveRun;
use crate::run::{Progress, RunError, initial_mean, needs, tabulated_score};
use hjbridge_model::exact::{FinalLaw, TiltedMixture};
use hjbridge_model::{FineTuning, ZeroFeedback};
use hjbridge_rollout::estimators::GirsanovWeight;
use hjbridge_rollout::reduce::{PlaneHistogram, PlaneHistogramParams};
use hjbridge_rollout::{
    Histogram, HistogramParams, InitialState, NoiseSource, PathSelection, Record, RecordedPaths, RolloutParams, TimeGrid,
};

/// Estimates, and arrays for figures and files.
pub struct RolloutRun {
    /// The report section.
    pub report: RolloutReport,
    /// Histogram of each coordinate of Y_T, model coordinates.
    pub histograms: Vec<Histogram>,
    /// Histogram of the plane (d = 2).
    pub plane: Option<PlaneHistogram>,
    /// Paths for the picture (d = 1).
    pub fan: Option<RecordedPaths>,
    /// The paths asked for.
    pub saved: Option<RecordedPaths>,
    /// The continuous optimal process's final law at the nodes of the grid, where it is known (d = 1).
    pub final_density: Option<Vec<f64>>,
    /// An interrupt, by which the run is not what was asked for.
    pub failure: Option<RunError>,
}

/// Paths from which quantile bands are drawn, and their times.
pub(super) const FAN: (u64, usize) = (2048, 97);

/// The model, simulated as `options` say.
struct Plan {
    model: FineTuning,
    params: RolloutParams,
    grid: Option<TimeGrid>,
    record: Record,
}

impl Plan {
    fn new(problem: &Problem, options: &RolloutOptions) -> Result<Self, RunError> {
        options.validate()?;
        if options.horizon.is_some() {
            let allowed = "is for problems without a horizon";
            return Err(crate::problem::ProblemError::invalid("--horizon", "given", allowed).into());
        }
        let mut params = options.params(problem.file.paths, problem.file.time_steps, problem.file.seed);
        let schedule = problem.model.schedule();
        let grid = time_grid(&options.times, Some(schedule), schedule.horizon(), params.steps)?;
        params.steps = grid.as_ref().map_or(params.steps, TimeGrid::steps);
        // a table is exact at its own times only: those of equal steps and one level
        let tabulated = grid.is_none() && options.multilevel.is_none() && options.scheme != SchemeName::Srk15;
        let model = if tabulated { tabulated_score(problem, params.steps)? } else { problem.model.clone() };
        let axis = |i: usize, lower: f64, upper: f64, bins| {
            let axis = problem.grid.axis(i);
            HistogramParams { lower: lower.max(axis.lower()), upper: upper.min(axis.upper()), bins }
        };
        let (low, high) = (problem.compare_on.lower(), problem.compare_on.upper());
        let record = Record {
            histograms: (0..problem.dim()).map(|i| axis(i, f64::NEG_INFINITY, f64::INFINITY, BINS)).collect(),
            quantiles: PROBABILITIES.to_vec(),
            planes: match problem.dim() {
                2 => vec![PlaneHistogramParams {
                    coordinates: (0, 1),
                    first: axis(0, low[0], high[0], PLANE_BINS),
                    second: axis(1, low[1], high[1], PLANE_BINS),
                }],
                _ => Vec::new(),
            },
            ..Record::default()
        };
        Ok(Plan { model, params, grid, record })
    }

    fn setup<'a>(
        &'a self,
        problem: &'a Problem,
        options: &RolloutOptions,
        feedback: &'a dyn hjbridge_model::Feedback,
    ) -> Setup<'a> {
        Setup {
            problem: &self.model,
            feedback,
            initial: InitialState::Law(problem.model.initial_law()),
            params: self.params.clone(),
            grid: self.grid.clone(),
            record: self.record.clone(),
            functional: None,
            stopped: None,
            chain: Chain::new(problem, options),
            reflection: None,
        }
    }
}

/// The checkpoint, whose key is everything that the figures depend on besides the number of paths.
fn open_checkpoint(problem: &Problem, options: &RolloutOptions, plan: &Plan) -> Result<Checkpoint, RunError> {
    let key = super::run_key(&problem.file, options, &plan.params, plan.grid.as_ref())?;
    Checkpoint::open(options.checkpoint_file(), options.resume, key, plan.params.paths)
}

/// Check, without solving anything, that a rollout with these options can be run.
///
/// # Errors
/// The first option that does not fit the problem.
pub fn check_rollout(problem: &Problem, options: &RolloutOptions) -> Result<(), RunError> {
    let plan = Plan::new(problem, options)?;
    let saved = options.selection(&plan.params, problem.dim())?;
    let bytes =
        needs::rollout(problem, plan.params.steps) + needs::recorded(options.save_paths, saved.steps.len(), problem.dim());
    needs::check(&problem.grid, Some(plan.params.steps), bytes)?;
    let idle = ZeroFeedback { dim: problem.dim(), control_dim: problem.dim() };
    check(&plan.setup(problem, options, &idle), options)?;
    open_checkpoint(problem, options, &plan).map(|_| ())
}

/// Simulate the policy of `solved`.
///
/// # Errors
/// Input that does not fit; a path that becomes infinite. An interrupt after the first paths is returned inside the run.
pub fn rollout(
    problem: &Problem,
    solved: &SolveRun,
    options: &RolloutOptions,
    progress: &dyn Progress,
) -> Result<RolloutRun, RunError> {
    let plan = Plan::new(problem, options)?;
    let Some(optimum) = solved.report.objective else {
        return Err(RunError::Unsupported("a rollout needs an HJB solution that reached t = 0".into()));
    };
    let d = problem.dim();
    let feedback = solved.feedback()?;
    let pretrained = ZeroFeedback { dim: d, control_dim: d };
    let girsanov = GirsanovWeight::new(&pretrained);
    let mut setup = plan.setup(problem, options, &feedback);
    if options.scheme.follows_equation() && options.noise == NoiseSource::Keyed {
        setup.functional = Some((&girsanov, true));
    }
    let mut settings = RolloutSettings::new(options, &plan.params, plan.grid.as_ref(), problem.model.schedule().horizon());
    if options.scheme == SchemeName::Ancestral {
        settings.variance = Some(Chain::variance_name(problem, options));
        settings.alpha = Some(problem.file.pift.alpha);
    }
    let mut checkpoint = open_checkpoint(problem, options, &plan)?;
    settings.resumed_from = options.resume.then_some(checkpoint.resumed);
    let fan = if d == 1 { PathSelection::first(FAN.0, FAN.1, plan.params.steps) } else { PathSelection::default() };
    let saved = options.selection(&plan.params, d)?;
    let job = Job {
        options,
        checkpoint: &mut checkpoint,
        part: 0,
        progress,
        what: "rollout",
        seconds: options.time_budget,
        fan,
        saved,
    };
    let outcome = simulate(&setup, job)?;

    let euler = options.scheme == SchemeName::Euler && plan.grid.is_none();
    let euler_objective = match euler {
        true => Some(initial_mean(problem, &euler_value(&plan.model, &feedback, &problem.grid, plan.params.steps)?)),
        false => None,
    };
    let summary = outcome.summary;
    let objective = summary.objective;
    let reference = euler_objective.unwrap_or(optimum);
    let final_density = final_density(problem)?;
    let exact = final_density.as_ref().map(|q| moments(problem, q));
    let in_units =
        |m: &[f64]| -> Vec<f64> { m.iter().enumerate().map(|(i, x)| problem.units(i).0 + problem.units(i).1 * x).collect() };
    let final_mean: Vec<f64> = summary.mean.iter().map(|e| e.mean).collect();
    let failure = outcome.failure;
    super::finish_settings(&mut settings, options, objective, &outcome.info, failure.as_ref());
    if settings.eta.is_some_and(|eta| eta < 1.0) {
        let law = problem.file.initial_law == crate::problem::spec::InitialLawSpec::Optimal;
        if !(law && problem.model.kl_weight().as_constant().is_some()) {
            let note = "ddim with eta < 1 follows the controlled process only from the initial law `optimal` and at a constant KL weight";
            settings.notes.push(note.into());
        }
    }
    let steps = plan.params.steps as f64;
    let found = |i: usize| outcome.functionals.get(i).copied();
    let report = RolloutReport {
        estimates: Estimates {
            objective,
            reward: summary.terminal_reward,
            kl_cost: summary.running_cost,
            log_weight: found(0),
            weight: outcome.weight,
            relative_entropy: found(1),
            final_mean: summary.mean,
            quantiles: summary.quantiles,
            outside_fraction: super::scaled(summary.outside, 1.0 / steps),
        },
        objective_interval: objective.confidence_interval(0.95)?,
        optimum,
        euler_objective,
        time_bias: euler_objective.map(|e| e - optimum),
        reference: if euler { "euler_objective" } else { "optimum" },
        z_score: objective.z_score(reference),
        final_covariance: summary.covariance.chunks(d).map(<[f64]>::to_vec).collect(),
        final_covariance_error: summary.covariance_error.chunks(d).map(<[f64]>::to_vec).collect(),
        final_mean_data_units: problem.data.as_ref().map(|_| in_units(&final_mean)),
        prior_mean: in_units(&problem.model.prior().mean()),
        final_mean_exact: exact.map(|e| e.0),
        final_variance_exact: exact.map(|e| e.1),
        initial_law: initial_law_name(problem),
        multilevel: outcome.multilevel.map(|m| MultilevelReport::new(m, 1.0, optimum)).transpose()?,
        multilevel_failure: super::multilevel_failure(failure.as_ref()),
        simulation: outcome.info,
        settings,
    };
    Ok(RolloutRun {
        failure,
        report,
        histograms: summary.histograms,
        plane: summary.planes.into_iter().next(),
        fan: outcome.fan,
        saved: outcome.saved,
        final_density,
    })
}

/// The final law of the continuous optimal process from the problem's initial law at the nodes, d = 1, mixture tilts.
fn final_density(problem: &Problem) -> Result<Option<Vec<f64>>, RunError> {
    let tilts = problem.model.kl_weight().as_constant().is_some_and(|b| problem.model.reward().tilt_terms(b).is_some());
    if problem.dim() != 1 || !tilts || problem.network.is_some() {
        return Ok(None);
    }
    let law = FinalLaw::new(&problem.model, &TiltedMixture::new(&problem.model)?)?;
    let mut q = vec![0.0; problem.grid.len()];
    law.density(problem.grid.points().as_points(), &mut q);
    Ok(Some(q))
}

/// Mean and variance of a density at the nodes, d = 1.
fn moments(problem: &Problem, q: &[f64]) -> (f64, f64) {
    let x = problem.grid.axis(0).nodes();
    let w = problem.grid.volumes();
    let moment = |f: &dyn Fn(f64) -> f64| (0..x.len()).map(|i| w[i] * q[i] * f(x[i])).sum::<f64>();
    let mass = moment(&|_| 1.0);
    let mean = moment(&|x| x) / mass;
    (mean, moment(&|x| (x - mean).powi(2)) / mass)
}
