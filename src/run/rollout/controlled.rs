//! Paths of the HJB policy of a controlled diffusion from each point of `start`, against V there.

use super::checkpoint::Checkpoint;
use super::fine_tuning::FAN;
use super::maximised::Maximised;
use super::options::{RolloutOptions, SchemeName};
use super::report::{
    ControlledRolloutReport, ExitChance, ExitReport, MultilevelReport, Parts, QuantileRow, RolloutSettings, StartRollout,
};
use super::simulate::{Chain, Job, Outcome, Setup, check, simulate};
use super::stopped::{Boundary, CHANCES, CONTINUED, OBJECTIVE, SURVIVAL, Stopped, TIME};
use super::{BINS, PLANE_BINS, PROBABILITIES, run_key, scaled, time_grid};
use crate::problem::controlled_spec::{ControlsSpec, FaceSpec};
use crate::problem::{ControlledProblem, FormulaTarget, ProblemError};
use crate::run::{ControlledRun, Progress, RunError, needs};
use hjbridge_hjb::{FaceValues, Sense, TargetSet};
use hjbridge_model::{
    ControlledDiffusion, CubicSpline, Extrapolation, Feedback, FormulaDiffusion, Interpolation, MatrixCoefficient, PointBlock,
    Points, TableFeedback, ZeroFeedback,
};
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::reduce::{PlaneHistogram, PlaneHistogramParams, Quantiles};
use hjbridge_rollout::{
    Histogram, HistogramParams, InitialState, NoiseSource, PathSelection, Record, RecordedPaths, Reflection, RolloutError,
    RolloutParams, TimeGrid,
};
use std::time::Instant;

/// The paths from one starting point, for figures and files.
pub struct StartRun {
    /// Histogram of each coordinate of the last state.
    pub histograms: Vec<Histogram>,
    /// Histogram of the plane (d = 2).
    pub plane: Option<PlaneHistogram>,
    /// Paths for the picture (d = 1).
    pub fan: Option<RecordedPaths>,
    /// The paths asked for.
    pub saved: Option<RecordedPaths>,
}

/// The paths from all starting points.
pub struct ControlledRollout {
    /// The report section.
    pub report: ControlledRolloutReport,
    /// One entry for each point that was finished.
    pub starts: Vec<StartRun>,
    /// An interrupt, by which the run is not what was asked for.
    pub failure: Option<RunError>,
}

/// Time steps of the simulation.
pub fn rollout_steps(problem: &ControlledProblem, options: &RolloutOptions) -> usize {
    options.steps.unwrap_or(problem.file.time_steps)
}

/// Paths for the picture of a problem whose paths end, and their times.
const ENDING_FAN: (u64, usize) = (256, 1001);

/// Replace what follows the first recorded time at which a path is in one of the sets by NaN.
fn cut(paths: &mut RecordedPaths, stopped: &Stopped<'_>) {
    let (k, d) = (paths.times.len(), paths.dim);
    for p in 0..paths.paths.len() {
        let mut ended = false;
        for j in 0..k {
            let at = p * k + j;
            if ended {
                paths.states[at * d..][..d].fill(f64::NAN);
                paths.running_cost[at] = f64::NAN;
                paths.running_reward[at] = f64::NAN;
                continue;
            }
            ended = stopped.holds(&paths.states[at * d..][..d]);
        }
    }
}

struct Target<'a> {
    target: &'a FormulaTarget,
    sign: f64,
}

impl Boundary for Target<'_> {
    fn level(&self, x: Points<'_>, out: &mut [f64]) {
        self.target.level(x, out);
    }
    fn value(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        self.target.value_at(t, x, out);
        out.iter_mut().for_each(|v| *v *= self.sign);
    }
}

/// The half space behind a Dirichlet face.
struct FaceSet<'a> {
    problem: &'a ControlledProblem,
    axis: usize,
    upper: bool,
    sign: f64,
}

impl Boundary for FaceSet<'_> {
    fn level(&self, x: Points<'_>, out: &mut [f64]) {
        let axis = self.problem.grid.axis(self.axis);
        for (o, x) in out.iter_mut().zip(x.coord(self.axis)) {
            *o = if self.upper { axis.upper() - x } else { x - axis.lower() };
        }
    }
    fn value(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        match &self.problem.face_value {
            Some(value) => value.value_at(t, x, out),
            None => self.problem.model.terminal_reward(x, out),
        }
        out.iter_mut().for_each(|v| *v *= self.sign);
    }
}

/// The sets in which paths end, and their names.
fn boundaries(problem: &ControlledProblem) -> (Vec<Box<dyn Boundary + '_>>, Vec<String>) {
    let sign = sign(problem);
    let (mut sets, mut names): (Vec<Box<dyn Boundary + '_>>, Vec<String>) = (Vec::new(), Vec::new());
    if let Some(target) = &problem.target {
        sets.push(Box::new(Target { target, sign }));
        names.push("target".into());
    }
    for (axis, faces) in problem.file.faces.iter().flatten().enumerate() {
        for (face, upper) in faces.iter().zip([false, true]) {
            if *face == FaceSpec::Dirichlet && !in_target(problem, axis, upper) {
                sets.push(Box::new(FaceSet { problem, axis, upper, sign }));
                names.push(format!("{} face of {}", if upper { "upper" } else { "lower" }, problem.axis_label(axis)));
            }
        }
    }
    (sets, names)
}

/// Whether a face lies in the target, where it has no effect.
fn in_target(problem: &ControlledProblem, axis: usize, upper: bool) -> bool {
    let Some(target) = &problem.target else { return false };
    let (points, line) = (problem.grid.points(), problem.grid.axis(axis));
    let (face, mut level) = (if upper { line.upper() } else { line.lower() }, vec![0.0; points.len()]);
    target.level(points.as_points(), &mut level);
    let mut at = points.coord(axis).iter().zip(&level).filter(|(x, _)| **x == face);
    at.all(|(_, level)| *level <= 1e-12)
}

/// The reflecting faces, if there are any.
fn reflection(problem: &ControlledProblem) -> Result<Option<Reflection>, RunError> {
    let Some(faces) = problem.file.faces.as_ref().filter(|f| f.as_flattened().contains(&FaceSpec::Reflecting)) else {
        return Ok(None);
    };
    let face = |(axis, [lower, upper]): (usize, &[FaceSpec; 2])| {
        let reflects = |face: &FaceSpec, upper| *face == FaceSpec::Reflecting && !in_target(problem, axis, upper);
        let (at, line) = ([reflects(lower, false), reflects(upper, true)], problem.grid.axis(axis));
        [at[0].then(|| line.lower()), at[1].then(|| line.upper())]
    };
    Ok(Some(Reflection::new(&faces.iter().enumerate().map(face).collect::<Vec<_>>())?))
}

fn sign(problem: &ControlledProblem) -> f64 {
    if problem.sense == Sense::Minimise { -1.0 } else { 1.0 }
}

/// The simulation that `options` ask for, checked.
struct Plan {
    params: RolloutParams,
    grid: Option<TimeGrid>,
    horizon: f64,
    record: Record,
    stops: bool,
    reflection: Option<Reflection>,
}

impl Plan {
    fn new(problem: &ControlledProblem, options: &RolloutOptions) -> Result<Self, RunError> {
        options.validate()?;
        let bad = |field: &str, value: &str, allowed: &str| RunError::from(ProblemError::invalid(field, value, allowed));
        if problem.start.is_empty() {
            return Err(bad("start", "[]", "rollout needs at least one point from which paths start"));
        }
        if problem.obstacle.is_some() {
            return Err(bad("obstacle", "given", "rollout does not simulate stopping at will; solve does the problem"));
        }
        if problem.file.faces.iter().flatten().flatten().any(|f| *f == FaceSpec::Periodic) {
            return Err(bad("faces", "periodic", "rollout has no periodic axes; solve does the problem"));
        }
        let horizon = match (problem.file.horizon, options.horizon) {
            (Some(_), Some(_)) => return Err(bad("--horizon", "given", "is for problems without a horizon")),
            (Some(horizon), None) | (None, Some(horizon)) => horizon,
            (None, None) => {
                let allowed = "this problem has no horizon, but paths must end: give the time, from which on they go on with V";
                return Err(bad("--horizon", "none", allowed));
            }
        };
        let stops = !boundaries(problem).0.is_empty();
        if stops && options.noise == NoiseSource::Sobol {
            return Err(bad("--noise", "sobol", "philox, where paths end at a target or a face"));
        }
        if stops && options.multilevel.is_some() {
            return Err(bad("--mlmc", "given", "not where paths end at a target or a face"));
        }
        let mut params = options.params(problem.file.paths, problem.file.time_steps, problem.file.seed);
        let grid = time_grid(&options.times, None, horizon, params.steps)?;
        params.steps = grid.as_ref().map_or(params.steps, TimeGrid::steps);
        let box_of = |i: usize, bins| {
            let axis = problem.grid.axis(i);
            HistogramParams { lower: axis.lower(), upper: axis.upper(), bins }
        };
        let record = Record {
            histograms: (0..problem.dim()).map(|i| box_of(i, BINS)).collect(),
            quantiles: PROBABILITIES.to_vec(),
            planes: match problem.dim() {
                2 => {
                    let (low, high) = (problem.compare_on.lower(), problem.compare_on.upper());
                    let axis = |i: usize| HistogramParams { lower: low[i], upper: high[i], bins: PLANE_BINS };
                    vec![PlaneHistogramParams { coordinates: (0, 1), first: axis(0), second: axis(1) }]
                }
                _ => Vec::new(),
            },
            ..Record::default()
        };
        let reflection = reflection(problem)?;
        Ok(Plan { params, grid, horizon, record, stops, reflection })
    }

    /// The simulation from start `index`; starts have independent noise.
    fn setup<'a>(
        &self,
        problem: &ControlledProblem,
        index: usize,
        maximised: &'a Maximised<'a>,
        feedback: &'a dyn Feedback,
        stopped: Option<&'a Stopped<'a>>,
    ) -> Setup<'a> {
        let mut x = vec![0.0; problem.dim()];
        problem.start.as_points().copy_point(index, &mut x);
        Setup {
            problem: maximised,
            feedback,
            initial: InitialState::Point(x),
            // multilevel runs and repetitions take the levels that follow
            params: RolloutParams { level: 1024 * index as u32, ..self.params.clone() },
            grid: self.grid.clone(),
            record: self.record.clone(),
            functional: stopped.map(|s| (s as _, false)),
            stopped: stopped.map(|_| OBJECTIVE),
            chain: Chain::NONE,
            reflection: self.reflection.clone(),
        }
    }

    fn maximised<'a>(&self, problem: &'a ControlledProblem, value: Option<&[f64]>) -> Result<Maximised<'a>, RunError> {
        let continuation = match value.filter(|_| problem.is_stationary()) {
            Some(v) => Some(CubicSpline::new(problem.grid.clone(), v, Extrapolation::Linear)?),
            None => None,
        };
        Ok(Maximised { model: &problem.model, sign: sign(problem), horizon: self.horizon, continuation })
    }

    fn checkpoint(&self, problem: &ControlledProblem, options: &RolloutOptions) -> Result<Checkpoint, RunError> {
        let key = run_key(&problem.file, options, &self.params, self.grid.as_ref())?;
        Checkpoint::open(options.checkpoint_file(), options.resume, key, self.params.paths)
    }
}

/// Check, without solving anything, that a rollout with these options can be run.
///
/// # Errors
/// The first option, or field of the problem, that does not fit.
pub fn check_rollout_controlled(problem: &ControlledProblem, options: &RolloutOptions) -> Result<(), RunError> {
    let plan = Plan::new(problem, options)?;
    let saved = options.selection(&plan.params, problem.dim())?;
    let steps = plan.params.steps;
    let recorded = needs::recorded(options.save_paths, saved.steps.len(), problem.dim()) * problem.start.len() as f64;
    needs::check(&problem.grid, Some(steps), needs::rollout_controlled(problem, problem.file.time_steps) + recorded)?;
    let maximised = plan.maximised(problem, None)?;
    let idle = ZeroFeedback { dim: problem.dim(), control_dim: maximised.control_dim() };
    explained(&problem.model, check(&plan.setup(problem, 0, &maximised, &idle, None), options))?;
    plan.checkpoint(problem, options).map(|_| ())
}

/// Simulate the policy of `solved` from each point of `start`.
///
/// # Errors
/// Input that does not fit; a path that becomes infinite. An interrupt after the first paths is returned inside the run.
pub fn rollout_controlled(
    problem: &ControlledProblem,
    solved: &ControlledRun,
    options: &RolloutOptions,
    progress: &dyn Progress,
) -> Result<ControlledRollout, RunError> {
    let plan = Plan::new(problem, options)?;
    let Some(first) = solved.values.first().filter(|_| solved.failure.is_none()) else {
        return Err(RunError::Unsupported("a rollout needs an HJB solution that reached t = 0".into()));
    };
    let maximised = plan.maximised(problem, Some(first))?;
    let feedback = policy(problem, solved, &plan)?;
    let (sets, names) = boundaries(problem);
    let stopped = Stopped { boundaries: sets };
    let stopped = plan.stops.then_some(&stopped);
    let d = problem.dim();
    let saved = options.selection(&plan.params, d)?;
    let fan = match (d, plan.stops) {
        (1, false) => PathSelection::first(FAN.0, FAN.1, plan.params.steps),
        (1, true) => PathSelection::first(ENDING_FAN.0, ENDING_FAN.1, plan.params.steps),
        _ => PathSelection::default(),
    };
    let mut checkpoint = plan.checkpoint(problem, options)?;
    let mut settings = RolloutSettings::new(options, &plan.params, plan.grid.as_ref(), plan.horizon);
    settings.resumed_from = options.resume.then_some(checkpoint.resumed);
    let (mut rows, mut starts, mut failure) = (Vec::new(), Vec::new(), None);
    let count = problem.start.len();
    let begun = Instant::now();
    for index in 0..count {
        problem.model.clear_fault();
        // the starting points that are left share the time that is left
        let left = |budget: f64| ((budget - begun.elapsed().as_secs_f64()) / (count - index) as f64).max(f64::MIN_POSITIVE);
        let seconds = options.time_budget.map(left);
        let mut setup = plan.setup(problem, index, &maximised, feedback.as_ref(), stopped);
        if let (Some(stopped), InitialState::Point(x)) = (stopped, &setup.initial)
            && options.target_stderr.is_some()
            && stopped.holds(x)
        {
            // all paths end where they begin: no rule would ever see them differ
            setup.params.paths = setup.params.paths.min(LANES);
        }
        let what = if count > 1 { format!("rollout {}/{count}", index + 1) } else { "rollout".into() };
        let (fan, saved) = (fan.clone(), saved.clone());
        let job = Job { options, checkpoint: &mut checkpoint, part: index, progress, what: &what, seconds, fan, saved };
        let mut outcome = match explained(&problem.model, simulate(&setup, job)) {
            Err(e @ RunError::Interrupted { .. }) if !rows.is_empty() => {
                settings.partial = true;
                failure = Some(e);
                break;
            }
            other => other?,
        };
        if let Some(stopped) = stopped {
            outcome.fan.iter_mut().chain(&mut outcome.saved).for_each(|paths| cut(paths, stopped));
        }
        let failed = outcome.failure.take();
        let (mut row, run) = start_rollout(problem, solved, index, outcome, &names, plan.params.steps)?;
        row.multilevel_failure = super::multilevel_failure(failed.as_ref());
        if row.exit.as_ref().is_none_or(|exit| exit.time.mean > 0.0) {
            let noted = settings.notes.len();
            super::finish_settings(&mut settings, options, row.objective, &row.simulation, failed.as_ref());
            if count > 1 {
                settings.notes[noted..].iter_mut().for_each(|note| *note = format!("from x = {:?}: {note}", row.x));
            }
        }
        rows.push(row);
        starts.push(run);
        // a multilevel run that failed does not keep the other starting points from theirs
        let cut = super::is_interrupt(failed.as_ref());
        failure = failure.or(failed);
        if cut {
            break;
        }
    }
    settings.notes.extend(noise_note(problem, options.scheme));
    if plan.reflection.is_some() && !matches!(options.scheme, SchemeName::Euler | SchemeName::Milstein) {
        settings.notes.push("at reflecting faces paths are folded back after each step: weak order 1 at most".into());
    }
    if rows.len() < problem.start.len() {
        settings.notes.push(format!("{} of {} starting points were run", rows.len(), problem.start.len()));
    }
    Ok(ControlledRollout { report: ControlledRolloutReport { settings, starts: rows }, starts, failure })
}

/// What a scheme loses by the problem's noise, as seen at the nodes at t = 0.
fn noise_note(problem: &ControlledProblem, scheme: SchemeName) -> Option<String> {
    let (d, q) = (problem.dim(), problem.model.noise_dim());
    let coefficients = problem.model.at(0.0);
    let MatrixCoefficient::Field(field) = coefficients.diffusion() else { return None };
    let points = problem.grid.points();
    let mut sigma = PointBlock::zeros(d * q, points.len());
    field.eval(points.as_points(), sigma.as_mut());
    let varies = (0..d * q).any(|ij| sigma.coord(ij).iter().any(|s| *s != sigma.coord(ij)[0]));
    let beside = (0..d * q).any(|ij| ij / q != ij % q && sigma.coord(ij).iter().any(|s| *s != 0.0));
    match scheme {
        SchemeName::Srk15 if varies => Some("srk15 has its orders for additive noise; here it has those of euler".into()),
        SchemeName::Milstein if varies && beside => {
            Some("milstein has strong order 1 for diagonal noise; here it has the orders of euler".into())
        }
        _ => None,
    }
}

/// A formula that is not finite is the cause of whatever the simulation says.
fn explained<T>(model: &FormulaDiffusion, outcome: Result<T, RunError>) -> Result<T, RunError> {
    outcome.map_err(|e| match (&e, model.fault()) {
        (RunError::Rollout(RolloutError::ValueNotFinite { quantity: "functional", path, value, .. }), fault) => {
            let fault = fault.map_or(String::new(), |fault| format!("; {fault}"));
            let what = "of a set in which paths end (its level or its value)";
            RunError::Unsupported(format!("rollout: path {path} has {value} {what}{fault}"))
        }
        (RunError::Rollout(RolloutError::StateNotFinite { .. } | RolloutError::ValueNotFinite { .. }), Some(fault)) => {
            RunError::Unsupported(format!("{e}; {fault}"))
        }
        _ => e,
    })
}

/// The optimal control as a feedback: cubic where it is free and smooth, otherwise multilinear (the engine brings it into the
/// set), constant beyond the grid unless it is free.
fn policy(problem: &ControlledProblem, solved: &ControlledRun, plan: &Plan) -> Result<Box<dyn Feedback>, RunError> {
    let (d, m) = (problem.dim(), problem.model.control_dim());
    if m == 0 {
        return Ok(Box::new(ZeroFeedback { dim: d, control_dim: d }));
    }
    let free = matches!(problem.file.controls, ControlsSpec::Free {});
    let interpolation = if free && !plan.stops { Interpolation::Cubic } else { Interpolation::Linear };
    let extrapolation = if free { Extrapolation::Linear } else { Extrapolation::Clamp };
    let (times, controls) = (solved.times.clone(), solved.controls.clone());
    Ok(Box::new(TableFeedback::new(problem.grid.clone(), times, controls, m, interpolation, extrapolation)?))
}

fn start_rollout(
    problem: &ControlledProblem,
    solved: &ControlledRun,
    index: usize,
    outcome: Outcome,
    names: &[String],
    steps: usize,
) -> Result<(StartRollout, StartRun), RunError> {
    let (d, sign) = (problem.dim(), sign(problem));
    let known = &solved.report.start[index];
    let (summary, functionals) = (outcome.summary, outcome.functionals);
    let stops = !functionals.is_empty();
    let objective = scaled(if stops { functionals[OBJECTIVE] } else { summary.objective }, sign);
    let reference = known.exact_value.unwrap_or(known.value);
    let exit = stops.then(|| ExitReport {
        time: functionals[TIME],
        survival: functionals[SURVIVAL],
        chances: names
            .iter()
            .zip(&functionals[CHANCES..])
            .map(|(set, chance)| ExitChance { set: set.clone(), chance: *chance })
            .collect(),
        continued: scaled(functionals[CONTINUED], sign),
    });
    let parts = (!stops).then(|| Parts {
        terminal: scaled(summary.terminal_reward, sign),
        running: scaled(summary.running_reward, sign),
        control_cost: summary.running_cost,
    });
    // turned round, the p-quantile of the objective is the (1 - p)-quantile; the probabilities are symmetric
    let turned = |k: usize, all: &[Quantiles]| if sign < 0.0 { all[all.len() - 1 - k].objective } else { all[k].objective };
    let quantiles = (0..summary.quantiles.len())
        .map(|k| QuantileRow {
            probability: summary.quantiles[k].probability,
            objective: (!stops).then(|| scaled(turned(k, &summary.quantiles), sign)),
            state: summary.quantiles[k].state.clone(),
        })
        .collect();
    let row = StartRollout {
        x: known.x.clone(),
        objective,
        objective_interval: objective.confidence_interval(0.95)?,
        value: known.value,
        exact_value: known.exact_value,
        z_score: objective.z_score(reference),
        parts,
        exit,
        final_mean: summary.mean,
        final_covariance: summary.covariance.chunks(d).map(<[f64]>::to_vec).collect(),
        final_covariance_error: summary.covariance_error.chunks(d).map(<[f64]>::to_vec).collect(),
        quantiles,
        outside_fraction: scaled(summary.outside, 1.0 / steps as f64),
        multilevel: outcome.multilevel.map(|m| MultilevelReport::new(m, sign, reference)).transpose()?,
        multilevel_failure: None,
        simulation: outcome.info,
    };
    let plane = summary.planes.into_iter().next();
    Ok((row, StartRun { histograms: summary.histograms, plane, fan: outcome.fan, saved: outcome.saved }))
}
