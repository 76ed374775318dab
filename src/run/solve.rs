//! `solve`: the HJB equation on the problem's grid, against the closed form where there is one.

use super::norms::{SupError, slice_errors, worst};
use super::{Progress, RunError, initial_mean};
use crate::problem::Problem;
use crate::problem::spec::{SpaceSpec, TimeSpec};
use hjbridge_hjb::{HjbInfo, HjbParams, HjbSolver, Space, Storage, Time, ValueFunction};
use hjbridge_model::exact::{ClosedForm, closed_form};
use hjbridge_model::{Extrapolation, Interpolation, PointBlock, TableFeedback};
use rayon::prelude::*;
use serde::Serialize;

/// Bytes up to which all time levels are kept; above, 129 of them.
const KEEP_ALL: usize = 1 << 30;

/// Section `solve` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct SolveReport {
    /// Wall time of the solver, in seconds, without comparisons and output.
    pub seconds: f64,
    /// Space and time scheme.
    pub scheme: String,
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
    /// What the solver did; absent when it failed.
    pub solver: Option<HjbInfo>,
    /// Time levels finished, of `steps` + 1; fewer than that after a failure.
    pub levels_finished: usize,
}

/// The solution and its report.
pub struct SolveRun {
    /// The report section.
    pub report: SolveReport,
    /// V and v = U - s at the stored times.
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
    /// A slice that is not finite.
    pub fn feedback(&self) -> Result<TableFeedback, RunError> {
        Ok(self.solution.feedback(Interpolation::Cubic, Extrapolation::Linear)?)
    }
}

/// The solver's parameters for this problem and `steps` time steps.
pub fn hjb_params(problem: &Problem, steps: usize) -> HjbParams {
    let slice = 8 * problem.grid.len() * (1 + 2 * problem.dim());
    HjbParams {
        space: match problem.file.scheme.space {
            SpaceSpec::Upwind => Space::Upwind,
            SpaceSpec::Hybrid => Space::Hybrid,
        },
        time: match problem.file.scheme.time {
            TimeSpec::ImplicitEuler => Time::ImplicitEuler,
            TimeSpec::CrankNicolson => Time::CrankNicolson,
            TimeSpec::TrBdf2 => Time::TrBdf2,
        },
        steps,
        storage: if slice.saturating_mul(steps + 1) <= KEEP_ALL { Storage::All } else { Storage::AtMost(129) },
        memory_limit: u64::MAX, // checked against the machine when the problem was resolved
        ..HjbParams::default()
    }
}

/// Solve with `steps` time steps.
///
/// # Errors
/// Input that does not fit the solver. A numerical failure is returned inside the run, with the levels finished.
pub fn solve(problem: &Problem, steps: usize, progress: &dyn Progress) -> Result<SolveRun, RunError> {
    let exact = closed_form(&problem.model)?;
    let params = hjb_params(problem, steps);
    let levels = params.storage.levels(steps);
    let (mut times, mut values, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let start = std::time::Instant::now();
    progress.begin("HJB", steps as u64);
    let solver = HjbSolver::new(&problem.model, problem.grid.clone(), params)?;
    let outcome = solver.solve_observed(&mut |view| {
        progress.advance((steps - view.step) as u64);
        if levels.binary_search(&view.step).is_ok() {
            times.push(view.t);
            values.push(view.value.to_vec());
            changes.push(view.control.to_vec());
        }
    });
    progress.end();
    let seconds = start.elapsed().as_secs_f64();
    times.reverse();
    values.reverse();
    changes.reverse();
    let (info, failure) = match outcome {
        Ok(info) => (Some(info), None),
        Err(e) if times.is_empty() || RunError::is_input(&e.clone().into()) => return Err(e.into()),
        Err(e) => (None, Some(RunError::from(e))),
    };
    let controls = add_score(problem, &times, &changes);
    let mut report = SolveReport {
        seconds,
        scheme: format!("{} + {}", params.space.scheme().name(), params.time.name()),
        reference: exact.as_ref().map(|x| x.description()),
        value_error: None,
        value_error_at: None,
        control_error: None,
        control_error_at: None,
        objective: None,
        objective_exact: None,
        solver: info,
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
        report.value_error_at = worst(problem, errors.iter().map(|e| (e.t, e.value)));
        report.control_error_at = worst(problem, errors.iter().map(|e| (e.t, e.control)));
        report.value_error = report.value_error_at.as_ref().map(|e| e.error);
        report.control_error = report.control_error_at.as_ref().map(|e| e.error);
        let mut v0 = vec![0.0; problem.grid.len()];
        exact.at(0.0).value(problem.grid.points().as_points(), &mut v0);
        report.objective_exact = Some(initial_mean(problem, &v0));
    }
    let solution = ValueFunction::new(problem.grid.clone(), problem.dim(), times, values, changes);
    Ok(SolveRun { report, solution, controls, exact, failure })
}

/// U = s + v on the nodes, slice by slice.
fn add_score(problem: &Problem, times: &[f64], changes: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let points = problem.grid.points();
    times
        .par_iter()
        .zip(changes)
        .map(|(&t, v)| {
            let mut u = PointBlock::zeros(problem.dim(), points.len());
            problem.model.score().at(t).eval(points.as_points(), u.as_mut());
            u.data().iter().zip(v).map(|(s, v)| s + v).collect()
        })
        .collect()
}
