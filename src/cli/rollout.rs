//! `rollout`: solve, then simulate the optimal policy.

use super::common::Session;
use crate::report::draw;
use crate::run::{RunError, rollout, solve};

pub(super) fn run(session: &Session) -> Result<(), RunError> {
    let problem = &session.problem;
    let steps = problem.file.time_steps;
    let mut solved = solve(problem, steps, &session.bars)?;
    let solution = &solved.solution;
    session.write_slices(solution.times(), |k| solution.value(k), |k| &solved.controls[k])?;
    let mut report = session.report();
    report.solve = Some(solved.report.clone());
    let mut summary = session.heading();
    if let Some(failure) = solved.failure.take() {
        return session.finish(report, Some(failure), &summary);
    }
    let run = match rollout(problem, &solved, steps, session.threads, &session.bars) {
        Ok(run) => run,
        Err(e) => return session.finish(report, Some(e), &summary),
    };
    session.add_figures(&mut report, draw::rollout(problem, &run, session.out.path()));
    let r = &run.report;
    summary.push(format!(
        "  {} paths of {} steps, {:.2} s: objective {:.6}, standard error {:.6}",
        r.simulation.paths, r.simulation.steps, r.simulation.seconds, r.objective, r.objective_stderr
    ));
    summary
        .push(format!("  optimum E V(0, Y_0) = {:.6}; bias of the step {:+.2e}; z = {:.2}", r.optimum, r.time_bias, r.z_score));
    let mean = |m: &[f64]| m.iter().map(|x| format!("{:.4}", (x * 1e4).round() / 1e4 + 0.0)).collect::<Vec<_>>().join(", ");
    let label = |i: usize| problem.axis_label(i);
    let names = (0..problem.dim()).map(label).collect::<Vec<_>>().join(", ");
    let ended = r.final_mean_data_units.as_ref().unwrap_or(&r.final_mean);
    summary.push(format!("  mean of {names}: prior {}, fine-tuned {}", mean(&r.prior_mean), mean(ended)));
    report.rollout = Some(run.report);
    session.finish(report, None, &summary)
}
