//! `solve`: the HJB solution, its errors, value and control.

use super::common::{Session, shown};
use crate::report::{Slices, draw};
use crate::run::{RunError, solve};

pub(super) fn run(session: &Session) -> Result<(), RunError> {
    let problem = &session.problem;
    let run = solve(problem, problem.file.time_steps, &session.bars)?;
    let times = run.solution.times();
    let values: Vec<Vec<f64>> = (0..times.len()).map(|k| run.solution.value(k).to_vec()).collect();
    let slices = Slices::thin(problem, times, &values, &run.controls);
    session.write_slices(&slices)?;
    let mut report = session.report();
    session.add_figures(&mut report, draw::value_and_control(problem, &slices, session.out.path(), "value_and_control"));
    session.add_figures(&mut report, draw::profiles(problem, &slices, run.exact.as_deref(), session.out.path()));
    let r = &run.report;
    let mut summary = session.heading();
    summary.push(format!("  {} nodes, {} steps, {}: {:.3} s", problem.grid.len(), problem.file.time_steps, r.scheme, r.seconds));
    if let Some(reference) = r.reference {
        summary.push(format!("  against {reference}: sup error of V {}, of U {}", shown(r.value_error), shown(r.control_error)));
    }
    if let Some(objective) = r.objective {
        summary.push(format!("  optimal objective E V(0, Y_0) = {objective:.6}"));
    }
    report.solve = Some(run.report);
    session.finish(report, run.failure, &summary)
}
