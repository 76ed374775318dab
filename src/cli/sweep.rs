//! `sweep`: reward against divergence over a list of KL weights.

use super::common::{Session, directory_of, shown};
use crate::problem::Problem;
use crate::report::{SWEEP, draw_sweep, write_csv};
use crate::run::{RunError, sweep, sweep_problems};
use clap::Args;

/// Flags of `sweep`.
#[derive(Args)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    pub options: super::Options,
    /// KL weights, each a constant in place of the file's kl_weight
    #[arg(long, value_name = "BETA,...", value_delimiter = ',', required = true)]
    kl_weight: Vec<f64>,
}

pub(super) fn run(session: &Session<Problem>, args: &SweepArgs) -> Result<(), RunError> {
    let problems = sweep_problems(&session.problem, &args.kl_weight, directory_of(&args.options.problem))?;
    session.claim()?;
    let run = sweep(&problems, session.threads, &*session.ranks, &session.bars)?;
    if !session.writes() {
        return Ok(());
    }
    let mut report = session.report();
    write_csv(&run.report.rows, &session.out.path().join(SWEEP))?;
    if !run.report.rows.is_empty() {
        session.add_figures(&mut report, draw_sweep::figures(&session.problem, &run, session.out.path()));
    }
    let r = &run.report;
    let mut summary = session.heading();
    summary.push(format!(
        "  {} weights, {} paths of {} steps each, on {} rank{}: {:.2} s",
        r.rows.len(),
        r.paths,
        r.steps,
        r.ranks,
        if r.ranks == 1 { "" } else { "s" },
        r.seconds
    ));
    summary.push(
        "   weight   E V(0, Y_0)    objective             reward                exact        KL                    exact".into(),
    );
    let with_error = |mean: f64, error: f64| format!("{mean:10.6} ± {error:.1e}");
    for row in &r.rows {
        summary.push(format!(
            "  {:7} {:12.6}   {}  {}  {:>11}  {}  {:>11}",
            row.kl_weight,
            row.optimum,
            with_error(row.objective, row.objective_stderr),
            with_error(row.reward, row.reward_stderr),
            row.reward_exact.map_or("-".into(), |x| format!("{x:.6}")),
            with_error(row.kl, row.kl_stderr),
            row.kl_exact.map_or("-".into(), |x| format!("{x:.6}")),
        ));
    }
    for row in &r.rows {
        let Some(objective) = row.pift_objective else {
            let reason = row.pift_failure.as_deref().unwrap_or("no reason known");
            summary.push(format!("  PI-FT at {}: {reason}", row.kl_weight));
            continue;
        };
        summary.push(format!(
            "  PI-FT at {:7}: E V_0 {objective:.6}, reward {}, KL {}; {} iterations, contraction {} (bound {})",
            row.kl_weight,
            row.pift_reward.map_or("-".into(), |x| format!("{x:.6}")),
            row.pift_kl.map_or("-".into(), |x| format!("{x:.6}")),
            row.pift_iterations.map_or("-".into(), |x| x.to_string()),
            row.pift_contraction.map_or("-".into(), |x| format!("{x:.4}")),
            row.pift_rho.map_or("-".into(), |x| format!("{x:.4}")),
        ));
    }
    let worst = |f: &dyn Fn(&crate::run::SweepRow) -> Option<f64>| r.rows.iter().filter_map(f).reduce(f64::max);
    summary.push(format!(
        "  largest |z| {}, largest error of V {}",
        worst(&|row| Some(row.z_score.abs())).map_or("-".into(), |z| format!("{z:.2}")),
        shown(worst(&|row| row.value_error))
    ));
    summary.extend(r.failures.iter().map(|(weight, reason)| format!("  failed at {weight}: {reason}")));
    report.sweep = Some(run.report);
    session.finish(report, run.failure, &summary)
}
