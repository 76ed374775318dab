//! `solve`: the HJB equation on the problem's grid, against the closed form where there is one.

use super::norms::{SupError, slice_errors, worst};
use super::route::{Equation, RouteReport, Solved};
use super::{Progress, RunError, initial_mean, needs};
use crate::problem::Problem;
use hjbridge_hjb::{Faces, HjbError, HjbParams, Sense, ValueFunction};
use hjbridge_model::exact::{ClosedForm, closed_form};
use hjbridge_model::{Extrapolation, Interpolation, PointBlock, TableFeedback};
use rayon::prelude::*;
use serde::Serialize;

/// Section `solve` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct SolveReport {
    /// Wall time of the solver, in seconds, without comparisons and output; with the choice of the route where there is one.
    pub seconds: f64,
    /// How it was solved, and how accurately.
    #[serde(flatten)]
    pub route: RouteReport,
    /// Which closed form the errors refer to; absent where there is none.
    pub reference: Option<&'static str>,
    /// sup |V - V_exact| over the comparison box and all stored t < T.
    pub value_error: Option<f64>,
    /// Where it is.
    pub value_error_at: Option<SupError>,
    /// sup |U - U_exact| over the same.
    pub control_error: Option<f64>,
    /// Where it is.
    pub control_error_at: Option<SupError>,
    /// E V(0, Y_0) under the initial law: the optimal objective.
    pub objective: Option<f64>,
    /// The same with the closed form's V.
    pub objective_exact: Option<f64>,
    /// Time levels finished; fewer than asked after a failure.
    pub levels_finished: usize,
}

/// The solution and its report.
pub struct SolveRun {
    /// The report section.
    pub report: SolveReport,
    /// V at the stored times; from [`solve`] also v = U - s, from [`solve_by_route`] without controls.
    pub solution: ValueFunction,
    /// U at the nodes, component by component, one slice for each time.
    pub controls: Vec<Vec<f64>>,
    /// The closed form, where there is one.
    pub exact: Option<Box<dyn ClosedForm>>,
    /// Why the solver stopped early, if it did.
    pub failure: Option<RunError>,
}

impl SolveRun {
    /// The optimal v = U - s as a feedback: cubic in space, linear in time between stored levels.
    ///
    /// # Errors
    /// A solution without v; a slice that is not finite.
    pub fn feedback(&self) -> Result<TableFeedback, RunError> {
        Ok(self.solution.feedback(Interpolation::Cubic, Extrapolation::Linear)?)
    }
}

/// The equation of this problem, with `steps` time steps and `levels` intervals between the times wanted.
pub(super) fn equation(problem: &Problem, steps: usize, levels: usize) -> Equation<'_> {
    Equation {
        model: &problem.model,
        grid: &problem.grid,
        sense: Sense::Maximise,
        region: &problem.compare_on,
        faces: Faces::default(),
        obstacle: None,
        target: None,
        face_values: None,
        scheme: problem.file.scheme,
        steps,
        levels,
    }
}

/// The monotone solver's parameters for this problem and `steps` time steps.
pub fn hjb_params(problem: &Problem, steps: usize) -> HjbParams {
    equation(problem, steps, 1).monotone_params()
}

/// Solve by the monotone route with `steps` time steps, without a certificate: the solution that `rollout` and `bridge` use.
///
/// # Errors
/// Input that does not fit the solver. A numerical failure is returned inside the run, with the levels finished.
pub fn solve(problem: &Problem, steps: usize, progress: &dyn Progress) -> Result<SolveRun, RunError> {
    needs::check(&problem.grid, Some(steps), needs::policy(problem, steps))?;
    let reason = "the solver of rollout and bridge".into();
    finish(problem, equation(problem, steps, 1).monotone(reason, false, progress), true)
}

/// Solve by the route of the scheme, with a certificate; `levels` is the number of intervals between stored times where a
/// route is chosen. The solution keeps U and not v, which would double the memory.
///
/// # Errors
/// As [`solve`].
pub fn solve_by_route(problem: &Problem, levels: usize, progress: &dyn Progress) -> Result<SolveRun, RunError> {
    let steps = problem.file.time_steps;
    needs::check(&problem.grid, Some(steps), needs::solve(problem, levels))?;
    finish(problem, equation(problem, steps, levels).solve(progress), false)
}

/// Add the score, compare with the closed form; keep v as well, or not.
fn finish(problem: &Problem, outcome: Result<Solved, HjbError>, keep: bool) -> Result<SolveRun, RunError> {
    let exact = closed_form(&problem.model)?;
    let Solved { times, values, controls: changes, report: route, seconds, failure } = outcome?;
    let failure = failure.map(RunError::from);
    let failure = match failure {
        Some(e) if times.is_empty() || e.is_input() => return Err(e),
        other => other,
    };
    let kept = if keep { changes.clone() } else { vec![Vec::new(); times.len()] };
    let controls = add_score(problem, &times, changes);
    let mut report = SolveReport {
        seconds,
        route,
        reference: exact.as_ref().map(|x| x.description()),
        value_error: None,
        value_error_at: None,
        control_error: None,
        control_error_at: None,
        objective: None,
        objective_exact: None,
        levels_finished: times.len(),
    };
    if failure.is_none() {
        report.objective = values.first().map(|v| initial_mean(problem, v));
    }
    if let Some(exact) = &exact {
        // t = T is left out: the value there is the reward itself
        let horizon = problem.model.schedule().horizon();
        let before = times.iter().filter(|&&t| t < horizon).count();
        let errors = slice_errors(problem, exact.as_ref(), before, |i| (times[i], &values[i], &controls[i]))?;
        report.value_error_at = worst(&problem.grid, errors.iter().map(|e| (e.t, e.value)));
        report.control_error_at = worst(&problem.grid, errors.iter().map(|e| (e.t, e.control)));
        report.value_error = report.value_error_at.as_ref().map(|e| e.error);
        report.control_error = report.control_error_at.as_ref().map(|e| e.error);
        let mut v0 = vec![0.0; problem.grid.len()];
        exact.at(0.0).value(problem.grid.points().as_points(), &mut v0);
        report.objective_exact = Some(initial_mean(problem, &v0));
    }
    let solution = ValueFunction::new(problem.grid.clone(), if keep { problem.dim() } else { 0 }, times, values, kept)?;
    Ok(SolveRun { report, solution, controls, exact, failure })
}

/// U = s + v on the nodes, slice by slice.
fn add_score(problem: &Problem, times: &[f64], mut changes: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let points = problem.grid.points();
    times.par_iter().zip(&mut changes).for_each(|(&t, v)| {
        let mut score = PointBlock::zeros(problem.dim(), points.len());
        problem.model.score().at(t).eval(points.as_points(), score.as_mut());
        v.iter_mut().zip(score.data()).for_each(|(v, s)| *v += s);
    });
    changes
}
