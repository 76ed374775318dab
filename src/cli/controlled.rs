//! `solve` on a controlled diffusion given by formulas.

use super::common::{Session, notes, route_lines, shown, shown_order};
use crate::problem::ControlledProblem;
use crate::report::draw_controlled;
use crate::run::{RouteReport, RunError, SolverInfo, solve_controlled};
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
    let estimate = r.route.certificate.as_ref().and_then(|c| c.richardson.as_ref());
    if let Some((all, start)) = estimate.and_then(|e| Some((e, e.at_start.as_ref()?))) {
        let control = match problem.model.control_dim() {
            0 => String::new(),
            _ if all.control_jump.is_some() || start.control_observed_order.is_some_and(|p| p < 0.5) => {
                format!(", of the control about {:.1e} on average", start.control_mean_error)
            }
            _ => format!(", of the control {:.1e} ({:.1e} on average)", start.control_error, start.control_mean_error),
        };
        summary.push(format!(
            "  of that at t = 0: error of V about {}{control} (order {}); largest at x = {}, t = {}",
            shown(Some(start.value_error)),
            shown_order(start.observed_order),
            list(&all.worst_point),
            digits(all.worst_time)
        ));
    }
    let known: Vec<String> = [("V", r.value_error), ("v", r.control_error)]
        .into_iter()
        .filter_map(|(name, error)| error.map(|error| format!("of {name} {error:.3e}")))
        .collect();
    if !known.is_empty() {
        summary.push(format!("  against the known solution: sup error {}", known.join(", ")));
    }
    summary.extend(notes(&r.route));
    summary.extend(not_monotone(&r.route));
    for point in &r.start {
        let control = if point.control.is_empty() { String::new() } else { format!(", v = {}", list(&point.control)) };
        let exact = point.exact_value.map_or(String::new(), |v| format!(" (known: V = {})", digits(v)));
        summary.push(format!("  at x = {}: V = {}{control}{exact}", list(&point.x), digits(point.value)));
    }
    report.controlled = Some(run.report);
    session.finish(report, run.failure, &summary)
}

/// A scheme that is not that of a Markov chain, and where.
fn not_monotone(route: &RouteReport) -> Option<String> {
    let seen = match route.solver.as_ref()? {
        SolverInfo::Monotone(info) => &info.monotonicity,
        SolverInfo::ColeHopf(info) => &info.monotonicity,
        SolverInfo::StationaryColeHopf(info) => &info.monotonicity,
        // the notes of the certificate have it
        SolverInfo::HighOrder(_) | SolverInfo::Stationary(_) => return None,
    };
    if seen.is_monotone() {
        return None;
    }
    if seen.violations == 0 {
        return seen.note().map(|note| format!("  warning: {note}"));
    }
    let node = seen.worst_node.map_or(String::new(), |node| format!(" at node {node}"));
    let time = seen.worst_time.map_or(String::new(), |t| format!(", t = {}", digits(t)));
    let cause = seen.worst_cause.map_or(String::new(), |cause| format!("; likely cause: {cause}"));
    Some(format!(
        "  warning: the scheme is not monotone: {} negative rates in all (at {} nodes at a time), the worst, {},{node}, x = {}{time}{cause}",
        seen.violations,
        seen.nodes,
        digits(seen.worst_value),
        list(&seen.worst_point)
    ))
}

/// A vector for a summary.
pub(super) fn list(v: &[f64]) -> String {
    let shown: Vec<String> = v.iter().map(|&x| digits(x)).collect();
    match shown.as_slice() {
        [one] => one.clone(),
        _ => format!("({})", shown.join(", ")),
    }
}

/// Seven significant digits, without trailing zeros; a number below rounding of anything near one is zero.
pub(super) fn digits(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude < 1e-15 {
        return "0".into();
    }
    if !(1e-4..1e7).contains(&magnitude) {
        return format!("{x:.3e}");
    }
    let places = (6 - magnitude.log10().floor() as i32).max(0) as usize;
    let text = format!("{x:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn numbers_keep_seven_digits() {
        let cases =
            [(0.1366518398, "0.1366518"), (1.0, "1"), (-2.5, "-2.5"), (1.884e-7, "1.884e-7"), (0.0, "0"), (1234567.0, "1234567")];
        for (x, text) in cases {
            assert_eq!(digits(x), text);
        }
        assert_eq!(digits(f64::NAN), "NaN");
    }
}
