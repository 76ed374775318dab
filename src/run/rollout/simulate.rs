//! One ensemble by the scheme, noise and rules of the options; the place where paths become sums.

use super::checkpoint::Checkpoint;
use super::options::{REPETITIONS, RolloutOptions, SchemeName, VarianceName};
use super::reducer::PathReducer;
use crate::problem::Problem;
use crate::problem::spec::{AlphaSpec, VarianceSpec};
use crate::run::{Progress, RunError};
use hjbridge_model::{ControlledDiffusion, Feedback, Schedule};
use hjbridge_rollout::multilevel::{MultilevelEstimate, MultilevelInfo, MultilevelParams, multilevel_watched};
use hjbridge_rollout::reduce::{Quantiles, SummaryReducer};
use hjbridge_rollout::{
    AdditiveRungeKutta, AlphaRule, Ancestral, Ddim, Ensemble, Estimate, EulerMaruyama, ExponentialIntegrator, InitialState,
    Milstein, NoiseSource, PathFunctional, PathSelection, PlatenWeak2, Record, RecordedPaths, Reducer, Reflection, Replications,
    ReverseVariance, RolloutError, RolloutInfo, RolloutParams, RolloutSummary, RunState, SdeScheme, StochasticHeun, StopRule,
    StoppedBy, TimeGrid, VARIED_BLOCKS,
};
use std::sync::atomic::AtomicBool;

/// What is simulated.
pub(super) struct Setup<'a> {
    pub problem: &'a dyn ControlledDiffusion,
    pub feedback: &'a dyn Feedback,
    pub initial: InitialState<'a>,
    pub params: RolloutParams,
    /// None for equal steps.
    pub grid: Option<TimeGrid>,
    pub record: Record,
    /// Added up along the paths; the flag says that its first number is the logarithm of a weight.
    pub functional: Option<(&'a dyn PathFunctional, bool)>,
    /// Number of the functional that is the objective, when paths end before the horizon; they are then held where they end.
    pub stopped: Option<usize>,
    pub chain: Chain<'a>,
    /// Faces at which paths are reflected.
    pub reflection: Option<Reflection>,
}

/// What the samplers of diffusion models are made of.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    /// None for a problem that is not fine-tuning.
    pub schedule: Option<&'a Schedule>,
    pub alpha: AlphaRule,
    pub variance: ReverseVariance,
}

impl<'a> Chain<'a> {
    /// For a problem without a schedule.
    pub const NONE: Chain<'static> =
        Chain { schedule: None, alpha: AlphaRule::ExpIntegral, variance: ReverseVariance::OneMinusAlpha };

    /// The variance asked for, or else the file's.
    pub fn variance_name(problem: &Problem, options: &RolloutOptions) -> VarianceName {
        options.variance.unwrap_or(match problem.file.pift.variance {
            VarianceSpec::OneMinusAlpha => VarianceName::OneMinusAlpha,
            VarianceSpec::OverAlpha => VarianceName::OverAlpha,
            VarianceSpec::Posterior => VarianceName::Posterior,
            VarianceSpec::GaussianPosterior => VarianceName::GaussianPosterior,
        })
    }

    /// The file's chain, with another variance if asked for.
    pub fn new(problem: &'a Problem, options: &RolloutOptions) -> Self {
        let alpha = match problem.file.pift.alpha {
            AlphaSpec::ExpIntegral => AlphaRule::ExpIntegral,
            AlphaSpec::Linear => AlphaRule::Linear,
        };
        let variance = match Chain::variance_name(problem, options) {
            VarianceName::OneMinusAlpha => ReverseVariance::OneMinusAlpha,
            VarianceName::OverAlpha => ReverseVariance::OverAlpha,
            VarianceName::Posterior => ReverseVariance::Posterior,
            VarianceName::GaussianPosterior => {
                let covariance = problem.model.prior().covariance();
                let trace: f64 = (0..problem.dim()).map(|i| covariance[i][i]).sum();
                ReverseVariance::GaussianPosterior { data_variance: trace / problem.dim() as f64 }
            }
        };
        Chain { schedule: Some(problem.model.schedule()), alpha, variance }
    }
}

/// What came of a simulation.
pub(super) struct Outcome {
    pub summary: RolloutSummary,
    /// Estimates of the functional's numbers; empty without one and on Sobol points.
    pub functionals: Vec<Estimate>,
    /// Mean of the weight.
    pub weight: Option<Estimate>,
    pub info: RolloutInfo,
    pub multilevel: Option<(MultilevelEstimate, MultilevelInfo)>,
    /// Why the run is not all that was asked for: an interrupt, or a multilevel run that failed.
    pub failure: Option<RunError>,
    /// Recorded for pictures.
    pub fan: Option<RecordedPaths>,
    /// Recorded because it was asked for.
    pub saved: Option<RecordedPaths>,
}

/// A simulation with everything around it.
pub(super) struct Job<'j> {
    pub options: &'j RolloutOptions,
    pub checkpoint: &'j mut Checkpoint,
    /// Number of this part in the checkpoint.
    pub part: usize,
    pub progress: &'j dyn Progress,
    pub what: &'j str,
    /// Seconds for the plain run.
    pub seconds: Option<f64>,
    /// Paths and times for pictures.
    pub fan: PathSelection,
    pub saved: PathSelection,
}

/// Something done with an ensemble, whatever its scheme.
trait Task {
    type Output;
    fn run<S: SdeScheme>(self, setup: &Setup<'_>, scheme: S) -> Result<Self::Output, RunError>;
}

fn by_scheme<T: Task>(setup: &Setup<'_>, options: &RolloutOptions, task: T) -> Result<T::Output, RunError> {
    let schedule = || {
        setup.chain.schedule.ok_or_else(|| {
            let name = serde_json::to_value(options.scheme).unwrap_or_default();
            let allowed = "euler, milstein, heun, srk15 or weak2: this scheme is made for the drift of a fine-tuning problem";
            RunError::from(crate::problem::ProblemError::invalid("--scheme", name.as_str().unwrap_or("?"), allowed))
        })
    };
    match options.scheme {
        SchemeName::Euler => task.run(setup, EulerMaruyama),
        SchemeName::Exponential => task.run(setup, ExponentialIntegrator::of_schedule(schedule()?)),
        SchemeName::Milstein => task.run(setup, Milstein::Diagonal),
        SchemeName::Heun => task.run(setup, StochasticHeun),
        SchemeName::Srk15 => task.run(setup, AdditiveRungeKutta),
        SchemeName::Weak2 => task.run(setup, PlatenWeak2),
        SchemeName::Ancestral => task.run(setup, Ancestral::new(schedule()?, setup.chain.alpha, setup.chain.variance)?),
        SchemeName::Ddim => task.run(setup, Ddim::new(schedule()?, options.eta.unwrap_or(0.0))?),
    }
}

/// Check that the scheme fits the problem, its noise and its times, without running a path.
///
/// # Errors
/// What does not fit.
pub(super) fn check(setup: &Setup<'_>, options: &RolloutOptions) -> Result<(), RunError> {
    struct Check;
    impl Task for Check {
        type Output = ();
        fn run<S: SdeScheme>(self, setup: &Setup<'_>, scheme: S) -> Result<(), RunError> {
            setup.ensemble(scheme, setup.params.clone())?.replay_all(&[])?;
            Ok(())
        }
    }
    by_scheme(setup, options, Check)
}

/// Simulate.
///
/// # Errors
/// Input that does not fit; a path that becomes infinite; an interrupt before there was anything to keep.
pub(super) fn simulate(setup: &Setup<'_>, job: Job<'_>) -> Result<Outcome, RunError> {
    let options = job.options;
    by_scheme(setup, options, job)
}

impl Task for Job<'_> {
    type Output = Outcome;
    fn run<S: SdeScheme>(mut self, setup: &Setup<'_>, scheme: S) -> Result<Outcome, RunError> {
        let mut outcome = match setup.params.noise {
            NoiseSource::Keyed => self.keyed(setup, scheme.clone())?,
            NoiseSource::Sobol => self.repetitions(setup, scheme.clone())?,
        };
        let ensemble = setup.ensemble(scheme, setup.params.clone())?;
        let done = outcome.info.paths.min(setup.params.paths) as u64;
        let record = |selection: &PathSelection| -> Result<Option<RecordedPaths>, RunError> {
            let paths: Vec<u64> = selection.paths.iter().copied().filter(|p| *p < done).collect();
            let chosen = PathSelection { paths, steps: selection.steps.clone() };
            Ok(if chosen.paths.is_empty() || !self.options.leads() { None } else { Some(ensemble.record_paths(&chosen)?) })
        };
        outcome.fan = record(&self.fan)?;
        outcome.saved = record(&self.saved)?;
        if let (Some(base_steps), Some(standard_error)) = (self.options.multilevel, self.options.target_stderr)
            && !outcome.info.partial
        {
            self.progress.begin_rated("multilevel", 0, 0, "path-steps");
            let params = MultilevelParams { standard_error, base_steps, ..MultilevelParams::default() };
            let show = |done: u64, planned: u64| {
                self.progress.expect(planned.max(done));
                self.progress.advance(done);
            };
            let ensemble = match self.interrupt() {
                Some(flag) => ensemble.with_interrupt(flag),
                None => ensemble,
            };
            let found = multilevel_watched(&ensemble, &params, None, &show);
            self.progress.end();
            let interrupted = |path_steps: u64| RunError::MultilevelInterrupted { path_steps: path_steps as f64 };
            match found {
                Ok(found) => {
                    outcome.failure = (found.1.stopped_by == StoppedBy::Interrupt).then(|| interrupted(found.1.path_steps));
                    outcome.multilevel = Some(found);
                }
                // the plain run is there all the same
                Err(RolloutError::Interrupted { .. }) => outcome.failure = Some(interrupted(0)),
                Err(reason) => outcome.failure = Some(RunError::Multilevel { base_steps, reason }),
            }
        }
        Ok(outcome)
    }
}

impl<'j> Job<'j> {
    /// What ends the run.
    fn interrupt(&self) -> Option<&'j AtomicBool> {
        let progress = self.progress;
        self.options.interrupt.as_deref().or_else(|| progress.interrupt())
    }
}

impl Job<'_> {
    fn stop(&self) -> StopRule {
        StopRule { seconds: self.seconds, ..self.options.stop() }
    }

    /// Independent paths.
    fn keyed<S: SdeScheme>(&mut self, setup: &Setup<'_>, scheme: S) -> Result<Outcome, RunError> {
        let steps = setup.params.steps as u64;
        let show = |done: usize| self.progress.advance(done as u64 * steps);
        let mut ensemble = setup.ensemble(scheme, setup.params.clone())?.with_stop(self.stop())?.with_progress(&show);
        if let Some((functional, _)) = setup.functional {
            ensemble = ensemble.with_functional(functional);
        }
        if let Some(flag) = self.interrupt() {
            ensemble = ensemble.with_interrupt(flag);
        }
        if let Some(ranks) = &self.options.ranks {
            ensemble = ensemble.with_ranks(&**ranks);
        }
        if setup.stopped.is_some() {
            ensemble = ensemble.until_settled();
        }
        let weight = setup.functional.is_some_and(|f| f.1);
        let numbers = ensemble.functional_values();
        let empty = PathReducer::new(SummaryReducer::new(setup.problem.dim(), &setup.record)?, numbers, weight, setup.stopped);
        let (state, info) = reduce_ensemble(&ensemble, &empty, self)?;
        if state.paths < 2 {
            return Err(RunError::Interrupted { paths: state.paths });
        }
        let PathReducer { summary, functionals, weight, .. } = state.reduced(&empty);
        let functionals = if numbers > 0 { functionals.mean() } else { Vec::new() };
        if functionals.iter().any(|e| !(e.mean.is_finite() && e.standard_error.is_finite())) {
            return Err(RolloutError::Overflow { quantity: "functional of the paths" }.into());
        }
        let weight = weight.map(|w| w.estimate()).map(|log| {
            let mean = log.mean.exp();
            Estimate { mean, standard_error: mean * log.standard_error, n: log.n }
        });
        let weight = weight.filter(|w| w.mean.is_finite() && w.standard_error.is_finite());
        let summary = summary.finish()?;
        let failure = interrupted(&info);
        Ok(Outcome { summary, functionals, weight, info, multilevel: None, failure, fan: None, saved: None })
    }

    /// Repetitions on Sobol points, whose spread is the error.
    fn repetitions<S: SdeScheme>(&mut self, setup: &Setup<'_>, scheme: S) -> Result<Outcome, RunError> {
        let each = setup.params.paths;
        let steps = setup.params.steps as u64;
        let all = (REPETITIONS * each) as u64 * steps;
        self.progress.begin_rated(self.what, all, 0, "path-steps");
        let (mut summaries, mut info) = (Vec::new(), None);
        let mut cut = false;
        for level in 0..REPETITIONS {
            let before = (level * each) as u64;
            let show = |done: usize| self.progress.advance((before + done as u64) * steps);
            let params = RolloutParams { level: setup.params.level + level as u32, ..setup.params.clone() };
            let mut ensemble = setup.ensemble(scheme.clone(), params)?.with_progress(&show);
            if let Some(ranks) = &self.options.ranks {
                ensemble = ensemble.with_ranks(&**ranks);
            }
            if let Some(flag) = self.interrupt() {
                ensemble = ensemble.with_interrupt(flag);
            }
            // what an interrupt has cut is no sample of the same law
            let (summary, ran) = match ensemble.run() {
                Err(RolloutError::Interrupted { .. }) => {
                    cut = true;
                    break;
                }
                Ok((_, ran)) if ran.stopped_by == StoppedBy::Interrupt => {
                    cut = true;
                    break;
                }
                other => other?,
            };
            summaries.push(summary);
            let none = || {
                let nothing = RolloutInfo { paths: 0, path_steps: 0, outside: 0, projected: 0, ..ran.clone() };
                RolloutInfo { varied_blocks: 0, seconds: 0.0, ..nothing }
            };
            let mut sum: RolloutInfo = info.take().unwrap_or_else(none);
            sum.paths += ran.paths;
            sum.path_steps += ran.path_steps;
            sum.outside += ran.outside;
            sum.projected += ran.projected;
            sum.varied_blocks += ran.varied_blocks;
            sum.outside_fraction = sum.outside as f64 / sum.path_steps as f64;
            sum.seconds += ran.seconds;
            info = Some(sum);
        }
        self.progress.end();
        let paths = info.as_ref().map_or(0, |info| info.paths as u64);
        let Some(mut info) = info.filter(|_| summaries.len() > 1) else {
            return Err(RunError::Interrupted { paths });
        };
        if cut {
            (info.partial, info.stopped_by) = (true, StoppedBy::Interrupt);
        }
        let summary = joined(&Replications { summaries })?;
        let (functionals, failure) = (Vec::new(), interrupted(&info));
        Ok(Outcome { summary, functionals, weight: None, info, multilevel: None, failure, fan: None, saved: None })
    }
}

/// The failure that an interrupt is.
fn interrupted(info: &RolloutInfo) -> Option<RunError> {
    (info.stopped_by == StoppedBy::Interrupt).then_some(RunError::Interrupted { paths: info.paths as u64 })
}

/// One summary of independent repetitions, every standard error from their spread.
fn joined(all: &Replications) -> Result<RolloutSummary, RunError> {
    let mut out = all.summaries[0].clone();
    out.objective = all.objective()?;
    out.terminal_reward = all.estimate(|s| s.terminal_reward.mean)?;
    out.running_cost = all.estimate(|s| s.running_cost.mean)?;
    out.running_reward = all.estimate(|s| s.running_reward.mean)?;
    out.outside = all.estimate(|s| s.outside.mean)?;
    for i in 0..out.mean.len() {
        out.mean[i] = all.estimate(|s| s.mean[i].mean)?;
    }
    for ij in 0..out.covariance.len() {
        let entry = all.estimate(|s| s.covariance[ij])?;
        (out.covariance[ij], out.covariance_error[ij]) = (entry.mean, entry.standard_error);
    }
    for (k, quantiles) in out.quantiles.iter_mut().enumerate() {
        let state = (0..quantiles.state.len()).map(|i| all.estimate(|s| s.quantiles[k].state[i].mean));
        let state = state.collect::<Result<_, _>>()?;
        *quantiles =
            Quantiles { probability: quantiles.probability, objective: all.estimate(|s| s.quantiles[k].objective.mean)?, state };
    }
    for later in &all.summaries[1..] {
        out.extrema.merge(&later.extrema);
        for (h, l) in out.histograms.iter_mut().zip(&later.histograms) {
            h.merge(l);
        }
        for (h, l) in out.planes.iter_mut().zip(&later.planes) {
            h.merge(l);
        }
    }
    Ok(out)
}

impl<'a> Setup<'a> {
    fn ensemble<S: SdeScheme>(&self, scheme: S, params: RolloutParams) -> Result<Ensemble<'a, S>, RunError> {
        let ensemble = Ensemble::new(self.problem, self.feedback, self.initial.clone(), params)?
            .with_scheme(scheme)
            .with_record(self.record.clone())?;
        let ensemble = match &self.reflection {
            Some(reflection) => ensemble.with_reflection(reflection.clone())?,
            None => ensemble,
        };
        Ok(match &self.grid {
            Some(grid) => ensemble.with_time_grid(grid.clone())?,
            None => ensemble,
        })
    }
}

/// The one place where an ensemble of independent paths becomes sums: from the checkpoint's state, if there is one, until a rule
/// or the interrupt ends it, with the state written from time to time and at the end.
fn reduce_ensemble<S: SdeScheme>(
    ensemble: &Ensemble<'_, S>,
    empty: &PathReducer,
    job: &mut Job<'_>,
) -> Result<(RunState<PathReducer>, RolloutInfo), RunError> {
    let state = match job.checkpoint.state(job.part) {
        Some(state) => state,
        None => ensemble.start(empty)?,
    };
    let (limit, steps) = (ensemble.params().paths as u64, ensemble.params().steps as u64);
    let target = job.stop().standard_error;
    job.progress.begin_rated(job.what, limit * steps, state.paths * steps, "path-steps");
    let (checkpoint, part, progress) = (&mut *job.checkpoint, job.part, job.progress);
    let mut unwritten = None;
    let mut after_wave = |state: &RunState<PathReducer>| {
        if let Some(target) = target
            && state.varied >= VARIED_BLOCKS
            && let Some(reached) = state.reduced(empty).standard_error()
        {
            // the error falls like the root of the number of paths
            let needed = (state.paths as f64 * (reached / target).powi(2)).min(limit as f64) as u64;
            progress.expect(needed.max(state.paths) * steps);
        }
        checkpoint.update(part, state).map_err(|e| {
            let reason = e.to_string();
            unwritten = Some(e);
            RolloutError::Checkpoint { reason }
        })
    };
    let outcome = ensemble.resume(empty, state, &mut after_wave);
    job.progress.end();
    if let Some(e) = unwritten {
        return Err(e.into());
    }
    let (state, info) = outcome?;
    job.checkpoint.finish(job.part, state.clone())?;
    Ok((state, info))
}
