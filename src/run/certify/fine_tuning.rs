//! `certify` on fine-tuning problems, with and without a grid.

use super::closed::{Change, Collected, ExactControl, SmoothTable};
use super::grid::{Seen, cole_hopf, finer, under_policy, verification, where_lost};
use super::paths::{FEW, Paths, soft_bound};
use super::policy::{Policy, PolicySite};
use super::report::{CertifyReport, Computed, Verdict, WhereLost};
use super::{CONFIDENCE, CertifyOptions, CertifyRun, Parts, gaps, outside_note};
use crate::problem::{Problem, SampledProblem};
use crate::run::solve::equation;
use crate::run::{Progress, RunError, initial_mean, is_cancelled, solve_by_route, tabulated_score};
use hjbridge_hjb::masses_from_log_density;
use hjbridge_model::exact::{ClosedForm, closed_form};
use hjbridge_model::{Extrapolation, Feedback, FineTuning, Interpolation, Law, PointBlock, TableFeedback, ZeroFeedback};
use hjbridge_rollout::reduce::normal_quantile;
use hjbridge_rollout::{Estimate, InitialState, NoiseKey, RolloutParams};
use rayon::prelude::*;

/// Paths with which a policy is tried as U - s.
const TRIAL: usize = 2048;

/// Starting points by which a closed form is averaged.
const STARTS: usize = 1 << 16;

/// What a policy of this problem must fit.
pub fn site(model: &FineTuning) -> PolicySite<'_> {
    let dim = model.initial_law().dim();
    let schedule = model.schedule();
    PolicySite { dim, control_dim: dim, horizon: schedule.horizon(), schedule: Some(schedule), bounded: false }
}

/// Certify a policy U on the problem's grid and along paths.
///
/// # Errors
/// A policy that does not fit; a failure of the HJB equation; paths that become infinite.
pub fn certify(
    problem: &Problem,
    policy: &Policy<'_>,
    options: &CertifyOptions,
    progress: &dyn Progress,
) -> Result<CertifyRun, RunError> {
    let clock = std::time::Instant::now();
    policy.check(site(&problem.model))?;
    let params = options.params(problem.file.paths, problem.file.time_steps, problem.file.seed)?;
    let mut parts = Parts::new(progress);
    let known = problem.network.is_none() && closed_form(&problem.model)?.is_some();
    let levels = if known { options.levels } else { finer(options.levels, &problem.grid, problem.dim()) };
    let solved = solve_by_route(problem, levels, progress)?;
    // without V the policy is still worth what it is worth
    let whole = solved.failure.is_none();
    parts.failure = solved.failure;
    if !whole && is_cancelled(progress) {
        parts.missing.push("V on the grid");
    }
    let (report, v_times) = (solved.report, solved.solution.times().to_vec());
    // a network's score is not that of the closed form
    let exact = solved.exact.filter(|_| problem.network.is_none());
    let seen: &Seen<'_> = &|values| Ok(vec![initial_mean(problem, values)]);

    // on the grid
    let table;
    let exact_control = exact.as_deref().map(ExactControl);
    let optimum: Option<&dyn Feedback> = match &exact_control {
        Some(exact) => Some(exact),
        None if whole => {
            let (grid, slices) = (problem.grid.clone(), solved.controls);
            table = SmoothTable { grid, times: v_times.clone(), slices, control_dim: problem.dim() };
            Some(&table)
        }
        None => None,
    };
    let control = Change { policy: policy.feedback(), score: problem.model.score() };
    let optimal = optimum.map(|policy| Change { policy, score: problem.model.score() });
    let zero = ZeroFeedback { dim: problem.dim(), control_dim: problem.dim() };
    let hjb = equation(problem, problem.file.time_steps, options.levels);
    let objective = Collected::Objective { sign: 1.0 };
    let j = parts.kept("J on the grid", || under_policy(&hjb, &control, objective, progress));
    let none = parts.kept("the pre-trained model on the grid", || under_policy(&hjb, &zero, objective, progress));
    let loss = optimal.as_ref().and_then(|optimal| {
        parts.kept("the loss on the grid", || under_policy(&hjb, &control, Collected::Excess { optimal }, progress))
    });
    let computed = |linear: &Option<super::grid::Linear>| -> Option<Computed> {
        let linear = linear.as_ref()?;
        Some(Computed::certified(initial_mean(problem, &linear.values[0]), linear.route.certificate.as_ref()))
    };
    let optimum_computed =
        whole.then(|| Computed::certified(initial_mean(problem, solved.solution.value(0)), report.route.certificate.as_ref()));
    let mut bounds = Vec::new();
    if problem.model.kl_weight().as_constant().is_some() {
        let found = parts.kept("the bound by the linear equation", || cole_hopf(&hjb, seen, progress));
        bounds.extend(found.into_iter().flatten());
    } else if let Some(optimum) = optimum_computed {
        bounds.extend(verification(optimum.value, 1.0, &report.route));
    }
    let mut log_density = vec![0.0; problem.grid.len()];
    problem.model.initial_law().log_density(problem.grid.points().as_points(), &mut log_density);
    let masses = masses_from_log_density(&problem.grid, &log_density)?;
    let (lost, density) = optimal
        .as_ref()
        .and_then(|optimal| {
            parts.shown("law of the policy", || where_lost(&hjb, &control, optimal, &masses, progress.interrupt()))
        })
        .unzip();

    // along paths
    let model = tabulated_score(problem, 2 * params.steps)?;
    let dear = problem.model.prior().components() >= crate::run::score::DEAR;
    let tabulated = match (&exact_control, dear) {
        (Some(exact), true) => Some(table_of(problem, exact, 2 * params.steps)?),
        _ => None,
    };
    let optimum = tabulated.as_ref().map(|t| t as &dyn Feedback).or(optimum);
    let mut verdict = Verdict {
        x: None,
        simulated: None,
        computed: computed(&j),
        uncontrolled: computed(&none),
        optimum: optimum_computed,
        optimum_exact: report.objective_exact.filter(|_| exact.is_some()),
        bounds,
        loss: None,
        reached: None,
        reached_interval: None,
    };
    let along = along_paths(&model, policy.feedback(), optimum, &params, &mut verdict, &mut parts)?;
    parts.notes.extend(verdict.conclude(1.0, computed(&loss)));
    let (times, gap) = match (loss, &j) {
        (Some(loss), _) => (loss.times, loss.values),
        (None, Some(j)) if whole => {
            let v: Vec<Vec<f64>> = (0..v_times.len()).map(|k| solved.solution.value(k).to_vec()).collect();
            gaps((&v_times, &v), (&j.times, &j.values), 1.0, problem.model.schedule().horizon())
        }
        _ => (Vec::new(), Vec::new()),
    };
    parts.refuse_input()?;
    let report = CertifyReport {
        seconds: clock.elapsed().as_secs_f64(),
        policy: policy.info(),
        confidence: CONFIDENCE,
        sense: "maximise",
        starts: vec![verdict],
        value_route: Some(report.route),
        policy_route: j.map(|j| j.route),
        where_lost: lost.or(along),
        missing: parts.missing,
        notes: parts.notes,
    };
    Ok(CertifyRun { report, times, gap, density, failure: parts.failure })
}

/// Certify a policy U along paths alone, in any dimension: against the closed form where there is one, and from above by the soft
/// value.
///
/// # Errors
/// A policy that does not fit; paths that become infinite.
pub fn certify_sampled(
    problem: &SampledProblem,
    policy: &Policy<'_>,
    options: &CertifyOptions,
    progress: &dyn Progress,
) -> Result<CertifyRun, RunError> {
    let clock = std::time::Instant::now();
    policy.check(site(&problem.model))?;
    let params = options.params(problem.file.paths, problem.file.time_steps, problem.file.seed)?;
    let mut parts = Parts::new(progress);
    let exact = match problem.network {
        None => closed_form(&problem.model)?,
        Some(_) => None,
    };
    let exact_control = exact.as_deref().map(ExactControl);
    let optimum = exact_control.as_ref().map(|e| e as &dyn Feedback);
    let model = &problem.model;
    let zero = ZeroFeedback { dim: problem.dim(), control_dim: problem.dim() };
    let law = InitialState::Law(model.initial_law());
    let level = params.level + 8;
    let params_none = RolloutParams { level, ..params.clone() };
    let interrupt = progress.interrupt();
    let pretrained = Paths { model, control: &zero, initial: law, params: params_none, sign: 1.0, interrupt };
    progress.begin("pre-trained model", 1);
    let none = parts.needed("the pre-trained model along paths", || Ok(pretrained.objective(None)?.0.objective));
    progress.end();
    let mut verdict = Verdict {
        x: None,
        simulated: None,
        computed: None,
        uncontrolled: none.map(|none| Computed { value: none.mean, error: Some(none.standard_error) }),
        optimum: None,
        optimum_exact: None,
        bounds: Vec::new(),
        loss: None,
        reached: None,
        reached_interval: None,
    };
    if let Some(exact) = &exact {
        // the mean over the initial law, by points of it
        verdict.optimum = Some(mean_value(problem, exact.as_ref(), &params)?);
    }
    let where_lost = along_paths(model, policy.feedback(), optimum, &params, &mut verdict, &mut parts)?;
    parts.notes.extend(verdict.conclude(1.0, None));
    parts.refuse_input()?;
    let report = CertifyReport {
        seconds: clock.elapsed().as_secs_f64(),
        policy: policy.info(),
        confidence: CONFIDENCE,
        sense: "maximise",
        starts: vec![verdict],
        value_route: None,
        policy_route: None,
        where_lost,
        missing: parts.missing,
        notes: parts.notes,
    };
    Ok(CertifyRun { report, times: Vec::new(), gap: Vec::new(), density: None, failure: parts.failure })
}

/// J, the excess and the soft bound along paths of `model` into the verdict; where the loss is made.
fn along_paths(
    model: &FineTuning,
    policy: &dyn Feedback,
    optimum: Option<&dyn Feedback>,
    params: &RolloutParams,
    verdict: &mut Verdict,
    parts: &mut Parts<'_>,
) -> Result<Option<WhereLost>, RunError> {
    let control = Change { policy, score: model.score() };
    let optimal = optimum.map(|policy| Change { policy, score: model.score() });
    let initial = InitialState::Law(model.initial_law());
    let (progress, interrupt) = (parts.progress, parts.progress.interrupt());
    let paths = Paths { model, control: &control, initial, params: params.clone(), sign: 1.0, interrupt };
    progress.begin("paths", 3);
    // the same function taken for U - s: what a policy of the wrong kind would do
    let as_change = Paths { control: policy, ..paths.clone() }.roughly(TRIAL).ok();
    let hint = "the policy is taken for U, the control in place of the score; taken for the change U - s it does far better: \
                add the score to it";
    progress.advance(1);
    let found = parts.needed("J along paths", || {
        paths.objective(optimal.as_ref().map(|o| o as &dyn Feedback)).map_err(|e| match as_change {
            Some(_) => RunError::Unsupported(format!("{e}; {hint}")),
            None => e,
        })
    });
    progress.advance(2);
    if let (Some((simulated, _)), Some(other), Some(none)) = (&found, as_change, verdict.uncontrolled) {
        let own = simulated.objective;
        let noise = 5.0 * (own.standard_error + other.standard_error);
        // a policy that loses much, and nearly nothing or nothing when it is taken for the change
        if own.mean + noise < none.value && none.value - other.mean < 0.1 * (none.value - own.mean) {
            let (own, other) = (own.mean, other.mean);
            parts.notes.push(format!("{hint} (J = {other:.4} in place of {own:.4})"));
        }
    }
    let bound = parts.kept("the bound by simulation", || soft_bound(model, &control, params, interrupt));
    progress.end();
    if let Some(bound) = bound {
        if bound.effective_share.is_some_and(|share| share < FEW) {
            parts.notes.push("the weights of the bound by simulation are uneven: its error is not to be trusted".into());
        }
        verdict.bounds.push(bound);
    }
    let Some((simulated, bins)) = found else { return Ok(None) };
    parts.notes.extend(outside_note(simulated.outside_fraction.mean));
    let horizon = model.schedule().horizon();
    verdict.simulated = Some(simulated);
    let width = horizon / bins.len().max(1) as f64;
    Ok((!bins.is_empty()).then(|| {
        let t = (0..bins.len()).map(|k| k as f64 * width).collect();
        let rate = bins.iter().map(|e| e.mean / width).collect();
        WhereLost::new(t, rate, &vec![width; bins.len()], "simulation")
    }))
}

/// A feedback at t_k = k T / steps on the grid, where the exact one is dear.
fn table_of(problem: &Problem, exact: &dyn Feedback, steps: usize) -> Result<TableFeedback, RunError> {
    let (d, points) = (problem.dim(), problem.grid.points());
    let h = problem.model.schedule().horizon() / steps as f64;
    let times: Vec<f64> = (0..=steps).map(|k| k as f64 * h).collect();
    let slices = times
        .par_iter()
        .map(|&t| {
            let mut u = PointBlock::zeros(d, points.len());
            exact.at(t).eval(points.as_points(), u.as_mut());
            u.data().to_vec()
        })
        .collect();
    let (cubic, beyond) = (Interpolation::Cubic, Extrapolation::Linear);
    Ok(TableFeedback::new(problem.grid.clone(), times, slices, d, cubic, beyond)?)
}

/// E V(0, Y_0) of a closed form with its standard error, from points drawn by the initial law.
fn mean_value(problem: &SampledProblem, exact: &dyn ClosedForm, params: &RolloutParams) -> Result<Computed, RunError> {
    let (d, law) = (problem.dim(), problem.model.initial_law());
    let mut points = PointBlock::zeros(d, STARTS);
    let mut point = vec![0.0; d];
    for j in 0..STARTS {
        let key = NoiseKey { seed: params.seed, path: j as u64, level: params.level + 16 };
        law.sample(&mut key.initial_rng(), &mut point);
        points.as_mut().set_point(j, &point);
    }
    let mut value = vec![0.0; STARTS];
    exact.at(0.0).value(points.as_points(), &mut value);
    let mean = Estimate::from_samples(&value)?;
    Ok(Computed { value: mean.mean, error: Some(normal_quantile(0.5 + 0.5 * CONFIDENCE) * mean.standard_error) })
}
