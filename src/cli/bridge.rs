//! `bridge`: PI-FT against the continuous solution for a list of N.

use super::common::{Session, shown_order};
use crate::bridge::bridge;
use crate::report::draw;
use crate::run::RunError;

pub(super) fn run(session: &Session) -> Result<(), RunError> {
    let problem = &session.problem;
    let run = bridge(problem, &problem.file.bridge_steps, &session.bars)?;
    let solution = &run.hjb.solution;
    let slices = session.write_slices(solution.times(), |k| solution.value(k), |k| &run.hjb.controls[k])?;
    let mut report = session.report();
    session.add_figures(&mut report, draw::bridge(problem, &run, session.out.path()));
    session.add_figures(&mut report, draw::value_and_control(problem, &slices, session.out.path(), "value_and_control"));

    let r = &run.report;
    let mut summary = session.heading();
    summary.push(format!("  reference: {} ({})", r.reference, r.reference_description));
    summary.push("      N   error of V   order   error of U   order   contraction   seconds".into());
    for (i, n) in r.steps.iter().enumerate() {
        let order = |orders: &[Option<f64>]| if i == 0 { "-".into() } else { shown_order(orders[i - 1]) };
        let contraction = r.contraction[i].map_or("-".into(), |c| format!("{c:.4}"));
        summary.push(format!(
            "  {n:5}   {:.3e}    {:>5}   {:.3e}    {:>5}   {contraction:>11}   {:7.2}",
            r.value_error[i],
            order(&r.octave_orders_value),
            r.control_error[i],
            order(&r.octave_orders_control),
            r.seconds[i]
        ));
    }
    summary.push(format!(
        "  order on the last {} N: V {}, U {}; Richardson (V at t = 0) {}",
        r.steps.len().min(3),
        shown_order(r.order_value),
        shown_order(r.order_control),
        shown_order(r.richardson_order)
    ));
    if let Some(law) = r.final_law.as_ref().filter(|l| !l.wasserstein.is_empty()) {
        let last = law.wasserstein.len() - 1;
        summary.push(format!(
            "  final law at N = {}: {} to the continuous one {:.2e} (order {}), KL {:.1e} (order {})",
            r.steps[last],
            if law.directions > 1 { "sliced W1" } else { "W1" },
            law.wasserstein[last],
            shown_order(law.order.map(|o| o.order)),
            law.relative_entropy[last],
            shown_order(law.relative_entropy_order.map(|o| o.order)),
        ));
    }
    if let Some(law) = r.final_law.as_ref().filter(|l| !l.mean.is_empty()) {
        let last = law.mean.len() - 1;
        let shown = |m: &[f64]| m.iter().map(|m| format!("{m:.4}")).collect::<Vec<_>>().join(", ");
        summary.push(format!(
            "  its mean {} against {} (order {}), covariance off by {:.2e} (order {})",
            shown(&law.mean[last]),
            shown(&law.continuous_mean),
            shown_order(law.moment_orders[0].map(|o| o.order)),
            law.covariance_error[last],
            shown_order(law.moment_orders[1].map(|o| o.order)),
        ));
    }
    if let (Some(lost), Some(in_chain), Some(in_sde)) = (r.suboptimality.last(), r.objective.last(), r.objective_in_sde.last()) {
        summary.push(format!(
            "  objective: {in_chain:.6} in the chain; the policy held in continuous time {in_sde:.6}, {lost:.2e} below the optimum (order {})",
            shown_order(r.suboptimality_order.map(|o| o.order))
        ));
    }
    if let Some(missing) = &r.suboptimality_missing {
        summary.push(format!("  no objective in continuous time: {missing}"));
    }
    if let Some(missing) = &r.final_law_missing {
        summary.push(format!("  no final law: {missing}"));
    }
    let (center, scale) = problem.units(0);
    if let (Some(law), Some(data)) = (&r.final_law, &problem.data) {
        let mean = data.values[0].iter().sum::<f64>() / data.values[0].len() as f64;
        summary.push(format!(
            "  mean of {}: data {mean:.2}, fine-tuned {:.2}",
            problem.axis_label(0),
            center + scale * law.continuous_mean[0]
        ));
    }
    report.bridge = Some(run.report);
    report.solve = Some(run.solve);
    session.finish(report, run.failure, &summary)
}
