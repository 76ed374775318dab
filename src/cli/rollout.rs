//! `rollout`: solve, then simulate the optimal policy.

use super::common::{Session, route_lines};
use super::controlled::{digits, list};
use super::interrupt;
use super::rollout_options::RolloutArgs;
use crate::problem::{ControlledProblem, Problem};
use crate::report::{PATHS, draw_rollout, write_paths};
use crate::run::{
    MultilevelReport, RolloutOptions, RolloutSettings, RunError, check_rollout, check_rollout_controlled, rollout,
    rollout_controlled, solve, solve_controlled,
};
use hjbridge_rollout::{Estimate, Ranks, RolloutInfo, StoppedBy};
use std::sync::Arc;

/// A fine-tuning problem.
pub(super) fn run(session: &Session<Problem>, args: &RolloutArgs) -> Result<(), RunError> {
    let problem = &session.problem;
    let mut options = RolloutOptions { threads: session.threads, ranks: shared(session), ..args.rollout_options()? };
    check_rollout(problem, &options)?;
    let mut solved = solve(problem, problem.file.time_steps, &session.bars)?;
    let solution = &solved.solution;
    session.write_slices(solution.times(), |k| solution.value(k), |k| &solved.controls[k])?;
    let mut report = session.report();
    report.solve = Some(solved.report.clone());
    let mut summary = session.heading();
    if let Some(failure) = solved.failure.take() {
        return session.finish(report, Some(failure), &summary);
    }
    options.interrupt = Some(interrupt::flag());
    let run = match rollout(problem, &solved, &options, &session.bars) {
        Ok(run) => run,
        Err(e) => return session.finish(report, Some(e), &summary),
    };
    if !session.writes() {
        return run.failure.map_or(Ok(()), Err);
    }
    if let Some(saved) = &run.saved {
        write_paths(&[saved], &session.out.path().join(PATHS))?;
    }
    session.add_figures(&mut report, draw_rollout::fine_tuning(problem, &run, session.out.path()));
    let r = &run.report;
    summary.push(simulated(&r.settings, &r.simulation, true));
    summary.push(format!("  objective {}", with_error(r.estimates.objective)));
    summary.push(match (r.euler_objective, r.time_bias) {
        (Some(euler), Some(bias)) => format!(
            "  its exact value for these steps is {}, z = {}; the optimum E V(0, Y_0) is {}, bias of the step {bias:+.2e}",
            fixed(euler),
            deviations(r.z_score),
            fixed(r.optimum)
        ),
        _ => {
            format!("  optimum E V(0, Y_0) = {}, z = {} (with the bias of the step)", fixed(r.optimum), deviations(r.z_score))
        }
    });
    let (reward, cost) = (with_error(r.estimates.reward), with_error(r.estimates.kl_cost));
    summary.push(format!("  reward {reward}, KL cost {cost}"));
    summary.extend(r.multilevel.iter().flat_map(|m| multilevel_lines(m, "optimum", r.optimum)));
    let mean = |m: &[f64]| m.iter().map(|x| format!("{:.4}", (x * 1e4).round() / 1e4 + 0.0)).collect::<Vec<_>>().join(", ");
    let names = (0..problem.dim()).map(|i| problem.axis_label(i)).collect::<Vec<_>>().join(", ");
    let model: Vec<f64> = r.estimates.final_mean.iter().map(|e| e.mean).collect();
    let ended = r.final_mean_data_units.as_ref().unwrap_or(&model);
    summary.push(format!("  mean of {names}: prior {}, fine-tuned {}", mean(&r.prior_mean), mean(ended)));
    summary.extend(closing(&r.settings, &options, r.estimates.outside_fraction.mean, session.out.path()));
    report.rollout = Some(run.report.into());
    session.finish(report, run.failure, &summary)
}

/// A controlled diffusion.
pub(super) fn run_controlled(session: &Session<ControlledProblem>, args: &RolloutArgs) -> Result<(), RunError> {
    let problem = &session.problem;
    let mut options = RolloutOptions { threads: session.threads, ranks: shared(session), ..args.rollout_options()? };
    check_rollout_controlled(problem, &options)?;
    // a policy that varies in time is wanted at many times; the levels of coarser grids must be among them
    let levels = problem.file.time_steps.max(1).next_multiple_of(session.levels());
    let mut solved = solve_controlled(problem, levels, &session.bars)?;
    session.write_slices(&solved.times, |k| &solved.values[k], |k| &solved.controls[k])?;
    let mut report = session.report();
    report.controlled = Some(solved.report.clone());
    let mut summary = session.heading();
    if let Some(failure) = solved.failure.take() {
        return session.finish(report, Some(failure), &summary);
    }
    summary.extend(route_lines(problem.grid.len(), solved.report.seconds, &solved.report.route, false));
    options.interrupt = Some(interrupt::flag());
    let run = match rollout_controlled(problem, &solved, &options, &session.bars) {
        Ok(run) => run,
        Err(e) => return session.finish(report, Some(e), &summary),
    };
    if !session.writes() {
        return run.failure.map_or(Ok(()), Err);
    }
    let saved: Vec<_> = run.starts.iter().filter_map(|s| s.saved.as_ref()).collect();
    if !saved.is_empty() {
        write_paths(&saved, &session.out.path().join(PATHS))?;
    }
    session.add_figures(&mut report, draw_rollout::controlled(problem, &run, session.out.path()));
    let settings = &run.report.settings;
    let mut outside = 0.0_f64;
    for start in &run.report.starts {
        outside = outside.max(start.outside_fraction.mean);
        summary.push(format!(
            "  from x = {}: {}",
            list(&start.x),
            simulated(settings, &start.simulation, start.exit.is_none()).trim_start()
        ));
        let known = start.exact_value.map_or(String::new(), |v| format!(" (known: {})", digits(v)));
        summary.push(format!(
            "    objective {}, against V = {}{known}, z = {} (with the bias of the step)",
            with_error(start.objective),
            digits(start.value),
            deviations(start.z_score)
        ));
        if let Some(parts) = &start.parts {
            let [terminal, running, control] = [parts.terminal, parts.running, parts.control_cost].map(with_error);
            summary.push(format!("    terminal {terminal}, running {running}, control {control}"));
        }
        if let Some(exit) = &start.exit {
            let chances: Vec<String> = exit.chances.iter().map(|c| format!("{} {}", c.set, with_error(c.chance))).collect();
            summary.push(format!(
                "    mean exit time {}; chance to end in: {}; still there at t = {}: {}",
                with_error(exit.time),
                chances.join(", "),
                digits(settings.time_grid.end),
                with_error(exit.survival)
            ));
        }
        let reference = start.exact_value.unwrap_or(start.value);
        summary.extend(start.multilevel.iter().flat_map(|m| multilevel_lines(m, "V", reference)));
    }
    summary.extend(closing(settings, &options, outside, session.out.path()));
    report.rollout = Some(run.report.into());
    session.finish(report, run.failure, &summary)
}

/// The processes that share the paths, if there are several.
fn shared<P>(session: &Session<P>) -> Option<Arc<dyn Ranks>> {
    (session.ranks.size() > 1).then(|| session.ranks.clone())
}

/// How many paths of what, in which time.
fn simulated(settings: &RolloutSettings, info: &RolloutInfo, whole: bool) -> String {
    let antithetic = if settings.antithetic { " in antithetic pairs" } else { "" };
    let rate = info.path_steps as f64 / info.seconds.max(1e-9) / 1e6;
    let resumed = settings.resumed_from.map_or(String::new(), |n| format!(", resumed from {n}"));
    format!(
        "  {} paths{antithetic} of {} steps{resumed}, {}: {:.2} s{}",
        info.paths,
        info.steps,
        info.scheme,
        info.seconds,
        // paths that end early, and those of an earlier run, say nothing about the rate
        if whole && settings.resumed_from.is_none() { format!(", {rate:.1} M path-steps/s") } else { String::new() }
    )
}

fn with_error(e: Estimate) -> String {
    match e.standard_error {
        // rounding, not chance
        s if s <= 1e-14 * e.mean.abs() => format!("{} ± 0", digits(e.mean)),
        s => format!("{} ± {s:.1e}", digits(e.mean)),
    }
}

/// With six decimals, unless that were a long number.
fn fixed(x: f64) -> String {
    if x.abs() < 1e7 { format!("{x:.6}") } else { digits(x) }
}

/// A deviation in standard errors; there is none where nothing is left to chance.
fn deviations(z: f64) -> String {
    match z {
        z if !z.is_finite() => "-".into(),
        z if z.abs() < 1e5 => format!("{z:.2}"),
        z => format!("{z:.1e}"),
    }
}

fn multilevel_lines(m: &MultilevelReport, name: &str, reference: f64) -> Vec<String> {
    let (o, info) = (&m.objective, &m.info);
    let mut lines = vec![
        format!(
            "  multilevel: objective {} ± {:.1e}, bias about {:.1e}; {name} {}, z = {}; {:.2} s",
            digits(o.mean),
            o.standard_error,
            o.bias,
            digits(reference),
            deviations(m.z_score),
            info.seconds
        ),
        format!(
            "    rates: mean {:.2}, variance {:.2}, cost {:.2}; {:.2e} steps in all, {:.1} times fewer than plain ({:.1} by theory)",
            info.alpha, info.beta, info.gamma, info.path_steps as f64, info.saving, info.predicted_saving
        ),
        "    steps    samples    mean of the difference    its variance    cost of a sample".into(),
    ];
    for level in &info.levels {
        let d = level.difference;
        lines.push(format!(
            "    {:5} {:10}    {:+.3e} ± {:.1e}      {:.3e}       {:9}",
            level.steps, d.n, d.mean, d.standard_error, level.variance, level.cost
        ));
    }
    if info.stopped_by == StoppedBy::Interrupt {
        lines.push("    interrupted: what the samples by then give".into());
    } else if !info.converged {
        lines.push("    warning: the accuracy asked for was not reached".into());
    }
    lines
}

/// What was left out, what is elsewhere, what must be read with care.
fn closing(settings: &RolloutSettings, options: &RolloutOptions, outside: f64, out: &std::path::Path) -> Vec<String> {
    let mut lines = Vec::new();
    if outside > 1e-6 {
        lines.push(format!("  {:.1e} of the steps began outside the policy's grid, where it is continued", outside));
    }
    if settings.partial {
        lines.push("  partial: the run was cut short".into());
    }
    lines.extend(settings.notes.iter().map(|note| format!("  note: {note}")));
    if options.save_paths > 0 {
        lines.push(format!("  paths in {}", out.join(PATHS).display()));
    }
    if let Some(file) = &options.checkpoint {
        lines.push(format!("  checkpoint in {}", file.display()));
    }
    lines
}
