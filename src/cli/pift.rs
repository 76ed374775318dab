//! `pift`: the discrete-time solution with its rates.

use super::common::{Session, shown};
use crate::report::draw;
use crate::run::{RunError, pift};

pub(super) fn run(session: &Session) -> Result<(), RunError> {
    let problem = &session.problem;
    let run = pift(problem, problem.file.time_steps, &session.bars)?;
    // the chain has no control at T; its limit there is the continuous one
    let terminal = run.terminal_control(problem);
    let control = |k: usize| run.controls.get(k).map_or(terminal.as_slice(), Vec::as_slice);
    let slices = session.write_slices(&run.times, |k| &run.values[k], control)?;
    let mut report = session.report();
    session.add_figures(&mut report, draw::value_and_control(problem, &slices, session.out.path(), "value_and_control"));
    session.add_figures(&mut report, draw::pift(&run, session.out.path()));
    let r = &run.report;
    let mut summary = session.heading();
    let most = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
    let seen: Vec<f64> = r.contraction.iter().flatten().copied().collect();
    summary.push(format!(
        "  N = {}: {:.2} s, at most {} inner iterations, contraction {:.4} (bound {:.4})",
        r.steps,
        r.seconds,
        r.iterations.iter().max().unwrap_or(&0),
        most(&seen),
        most(&r.rho)
    ));
    if let Some(reference) = r.reference {
        summary.push(format!(
            "  distance to the continuous solution ({reference}): V {}, U {}",
            shown(r.value_error),
            shown(r.control_error)
        ));
    }
    if let Some(error) = r.discrete_value_error {
        summary.push(format!("  error against the exact recursion of the chain: V {error:.3e}"));
    }
    if let Some(objective) = r.objective {
        summary.push(format!("  optimal objective of the chain E V_0(Y_0) = {objective:.6}"));
    }
    report.pift = Some(run.report);
    session.finish(report, run.failure, &summary)
}
