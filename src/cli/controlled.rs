//! `solve` on a controlled diffusion given by formulas.

use super::common::{Session, route_lines, shown};
use crate::problem::ControlledProblem;
use crate::report::draw_controlled;
use crate::run::{RunError, solve_controlled};
use hjbridge_model::ControlledDiffusion;

pub(super) fn run(session: &Session<ControlledProblem>) -> Result<(), RunError> {
    let problem = &session.problem;
    let run = solve_controlled(problem, session.levels(), &session.bars)?;
    let slices = session.write_slices(&run.times, |k| &run.values[k], |k| &run.controls[k])?;
    let mut report = session.report();
    session.add_figures(&mut report, draw_controlled::figures(problem, &slices, session.out.path()));
    let r = &run.report;
    let mut summary = session.heading();
    summary.extend(route_lines(problem.grid.len(), r.seconds, &r.route, problem.model.control_dim() > 0));
    if r.value_error.is_some() || r.control_error.is_some() {
        summary.push(format!(
            "  against the known solution: sup error of V {}, of v {}",
            shown(r.value_error),
            shown(r.control_error)
        ));
    }
    for point in &r.start {
        let control = if point.control.is_empty() { String::new() } else { format!(", v = {}", list(&point.control)) };
        let exact = point.exact_value.map_or(String::new(), |v| format!(" (known: V = {v:.6})"));
        summary.push(format!("  at x = {}: V = {:.6}{control}{exact}", list(&point.x), point.value));
    }
    report.controlled = Some(run.report);
    session.finish(report, run.failure, &summary)
}

/// A vector for a summary.
fn list(v: &[f64]) -> String {
    let shown: Vec<String> = v
        .iter()
        .map(|x| format!("{:.6}", (x * 1e6).round() / 1e6 + 0.0).trim_end_matches('0').trim_end_matches('.').into())
        .collect();
    match shown.as_slice() {
        [one] => one.clone(),
        _ => format!("({})", shown.join(", ")),
    }
}
