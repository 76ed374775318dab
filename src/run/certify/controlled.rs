//! `certify` on controlled diffusions with a horizon, from each point of `start`.

use super::closed::{Collected, SmoothTable};
use super::grid::{Seen, at_points, cole_hopf, finer, under_policy, verification, where_lost};
use super::paths::Paths;
use super::policy::{Policy, PolicySite};
use super::report::{CertifyReport, Computed, Verdict};
use super::{CONFIDENCE, CertifyOptions, CertifyRun, Parts, gaps, outside_note};
use crate::problem::controlled_spec::FaceSpec;
use crate::problem::{ControlledProblem, ProblemError};
use crate::run::controlled::equation;
use crate::run::rollout::maximised::Maximised;
use crate::run::{Progress, RunError, is_cancelled, solve_controlled};
use hjbridge_hjb::Sense;
use hjbridge_model::{ControlCost, ControlSet, ControlledDiffusion, Feedback, ZeroFeedback};
use hjbridge_rollout::{InitialState, RolloutParams};

/// What a policy of this problem must fit.
pub fn site_controlled(problem: &ControlledProblem) -> PolicySite<'_> {
    PolicySite {
        dim: problem.dim(),
        control_dim: problem.model.control_dim(),
        horizon: problem.file.horizon.unwrap_or(f64::INFINITY),
        schedule: None,
        bounded: problem.model.control_set() != ControlSet::Free,
    }
}

/// What is left out of a problem with more than drift, noise and costs.
fn refuse(problem: &ControlledProblem) -> Result<(), RunError> {
    let bad = |field: &str, value: &str, allowed: &str| Err(ProblemError::invalid(field, value, allowed).into());
    if problem.file.horizon.is_none() {
        return bad("horizon", "absent", "certify needs a final time");
    }
    if problem.obstacle.is_some() {
        return bad("obstacle", "given", "certify takes policies of control, not of stopping");
    }
    if problem.model.control_dim() == 0 {
        return bad("controls", "none", "certify needs a control");
    }
    if problem.start.is_empty() {
        return bad("start", "[]", "certify needs at least one point from which the policy is looked at");
    }
    Ok(())
}

/// Certify a policy v from each point of `start`.
///
/// # Errors
/// A problem without horizon, control or start, or with an obstacle; a policy that does not fit; a failure of the HJB equation;
/// paths that become infinite.
pub fn certify_controlled(
    problem: &ControlledProblem,
    policy: &Policy<'_>,
    options: &CertifyOptions,
    progress: &dyn Progress,
) -> Result<CertifyRun, RunError> {
    let clock = std::time::Instant::now();
    refuse(problem)?;
    policy.check(site_controlled(problem))?;
    let params = options.params(problem.file.paths, problem.file.time_steps, problem.file.seed)?;
    let solved = solve_controlled(problem, finer(options.levels, &problem.grid, problem.model.control_dim()), progress)?;
    let mut parts = Parts::new(progress);
    let whole = solved.failure.is_none();
    parts.failure = solved.failure;
    if !whole && is_cancelled(progress) {
        parts.missing.push("V on the grid");
    }
    let sign = if problem.sense == Sense::Minimise { -1.0 } else { 1.0 };
    let (d, m) = (problem.dim(), problem.model.control_dim());
    let hjb = equation(problem, options.levels);
    let control = policy.feedback();
    let free = problem.model.control_set() == ControlSet::Free && problem.model.control_cost() == ControlCost::Quadratic;
    let faces: Vec<FaceSpec> = problem.file.faces.iter().flatten().flatten().copied().collect();
    let ends = problem.target.is_some() || faces.contains(&FaceSpec::Dirichlet);
    let optimal =
        SmoothTable { grid: problem.grid.clone(), times: solved.times.clone(), slices: solved.controls, control_dim: m };
    let zero = ZeroFeedback { dim: d, control_dim: m };
    let objective = Collected::Objective { sign };
    // paths that end have lost nothing there, which the equation of the loss does not know
    let compared = free && !ends && whole;
    let j = parts.kept("J on the grid", || under_policy(&hjb, control, objective, progress));
    let none = match free {
        true => parts.kept("no control on the grid", || under_policy(&hjb, &zero, objective, progress)),
        false => None,
    };
    let excess = Collected::Excess { optimal: &optimal };
    let loss = match compared {
        true => parts.kept("the loss on the grid", || under_policy(&hjb, control, excess, progress)),
        false => None,
    };
    let seen: &Seen<'_> = &|values| at_points(&problem.grid, values, &problem.start);
    let computed = |linear: &Option<super::grid::Linear>| -> Result<Vec<Option<Computed>>, RunError> {
        let Some(linear) = linear else { return Ok(vec![None; problem.start.len()]) };
        let certificate = linear.route.certificate.as_ref();
        Ok(seen(&linear.values[0])?.into_iter().map(|v| Some(Computed::certified(v, certificate))).collect())
    };
    let (j_start, none_start, loss_start) = (computed(&j)?, computed(&none)?, computed(&loss)?);
    // where the equation is linear for exp(V/lambda)
    let above = match free && !is_cancelled(progress) {
        true => cole_hopf(&hjb, seen, progress).unwrap_or_default(),
        false => Vec::new(),
    };
    let route = solved.report.route;
    // a table is a policy of the SDE where paths neither end nor are turned back
    let simulate = !ends && faces.iter().all(|f| *f == FaceSpec::Extrapolated);
    if !simulate {
        parts.notes.push("no simulation: paths end or are reflected at faces; J is computed on the grid alone".into());
    }
    let horizon = problem.model.horizon();
    let maximised = Maximised { model: &problem.model, sign, horizon, continuation: None };
    let mut starts = Vec::new();
    let mut x = vec![0.0; d];
    for k in 0..problem.start.len() {
        problem.start.as_points().copy_point(k, &mut x);
        // absent where V failed
        let start = solved.report.start.get(k);
        let mut verdict = Verdict {
            x: Some(x.clone()),
            simulated: None,
            computed: j_start[k],
            uncontrolled: none_start[k],
            optimum: start.map(|s| Computed::certified(s.value, route.certificate.as_ref())),
            optimum_exact: start.and_then(|s| s.exact_value),
            bounds: Vec::new(),
            loss: None,
            reached: None,
            reached_interval: None,
        };
        verdict.bounds.extend(match above.get(k) {
            Some(bound) => Some(bound.clone()),
            None => start.and_then(|s| verification(s.value, sign, &route)),
        });
        if simulate {
            let params = RolloutParams { level: 1024 * k as u32, ..params.clone() };
            let initial = InitialState::Point(x.clone());
            let paths = Paths { model: &maximised, control, initial, params, sign, interrupt: progress.interrupt() };
            progress.begin("paths", 1);
            let optimal = (free && whole).then_some(&optimal as &dyn Feedback);
            let found = parts.needed("J along paths", || paths.objective(optimal));
            progress.end();
            if let Some((simulated, _)) = found {
                parts.notes.extend(outside_note(simulated.outside_fraction.mean));
                verdict.simulated = Some(simulated);
            }
        }
        parts.notes.extend(verdict.conclude(sign, loss_start[k]));
        starts.push(verdict);
    }
    parts.notes.dedup();
    parts.missing.dedup();
    let mut followed = None;
    if compared {
        // from the first start: all the mass on the node next to it
        let mut nearest = (f64::INFINITY, 0);
        let mut node = vec![0.0; d];
        for i in 0..problem.grid.len() {
            problem.grid.node(i, &mut node);
            let far: f64 = node.iter().zip(&solved.report.start[0].x).map(|(a, b)| (a - b).powi(2)).sum();
            if far < nearest.0 {
                nearest = (far, i);
            }
        }
        let mut masses = vec![0.0; problem.grid.len()];
        masses[nearest.1] = 1.0;
        let law = || where_lost(&hjb, control, &optimal, &masses, progress.interrupt());
        followed = parts.shown("law of the policy", law);
    }
    let (lost, density) = followed.unzip();
    let (times, gap) = match (loss, &j) {
        (Some(loss), _) => (loss.times, loss.values),
        (None, Some(j)) if whole => gaps((&solved.times, &solved.values), (&j.times, &j.values), sign, horizon),
        _ => (Vec::new(), Vec::new()),
    };
    parts.refuse_input()?;
    let report = CertifyReport {
        seconds: clock.elapsed().as_secs_f64(),
        policy: policy.info(),
        confidence: CONFIDENCE,
        sense: if sign < 0.0 { "minimise" } else { "maximise" },
        starts,
        value_route: Some(route),
        policy_route: j.map(|j| j.route),
        where_lost: lost,
        missing: parts.missing,
        notes: parts.notes,
    };
    Ok(CertifyRun { report, times, gap, density, failure: parts.failure })
}
