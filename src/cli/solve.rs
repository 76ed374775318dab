//! `solve`: the HJB solution, its errors, value and control.

use super::common::{Session, notes, route_lines, shown};
use crate::report::draw;
use crate::run::{RunError, solve_by_route};

pub(super) fn run(session: &Session) -> Result<(), RunError> {
    let problem = &session.problem;
    let run = solve_by_route(problem, session.levels(), &session.bars)?;
    let solution = &run.solution;
    let slices = session.write_slices(solution.times(), |k| solution.value(k), |k| &run.controls[k])?;
    let mut report = session.report();
    session.add_figures(&mut report, draw::value_and_control(problem, &slices, session.out.path(), "value_and_control"));
    session.add_figures(&mut report, draw::profiles(problem, &slices, run.exact.as_deref(), session.out.path()));
    session.add_figures(&mut report, draw::planes(problem, &slices, session.out.path()));
    let r = &run.report;
    let mut summary = session.heading();
    summary.extend(route_lines(problem.grid.len(), r.seconds, &r.route, true));
    if let Some(reference) = r.reference {
        summary.push(format!("  against {reference}: sup error of V {}, of U {}", shown(r.value_error), shown(r.control_error)));
    }
    if let Some(objective) = r.objective {
        summary.push(format!("  optimal objective E V(0, Y_0) = {objective:.6}"));
    }
    summary.extend(notes(&r.route));
    report.solve = Some(run.report);
    session.finish(report, run.failure, &summary)
}
