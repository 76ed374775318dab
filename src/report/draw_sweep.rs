//! The figures of `sweep`.

use super::ReportError;
use super::figure::{FigureInfo, PanelCurves, PanelGrid, Tradeoff, TradeoffPoint, save};
use crate::problem::Problem;
use crate::problem::spec::StopSpec;
use crate::run::{PiFtPoint, SweepRow, SweepRun};
use std::path::Path;

/// Reward and divergence against 1/beta; iterations and rate of PI-FT, and what its chain earns.
pub fn figures(problem: &Problem, run: &SweepRun, directory: &Path) -> Result<Vec<FigureInfo>, ReportError> {
    let point = |at: f64, value: f64, error: f64| TradeoffPoint { at, value, error };
    let rows = &run.report.rows;
    let reward: Vec<_> = rows.iter().map(|r| point(r.inverse_kl_weight, r.reward, r.reward_stderr)).collect();
    let kl: Vec<_> = rows.iter().map(|r| point(r.inverse_kl_weight, r.kl, r.kl_stderr)).collect();
    let exact: Vec<(f64, f64, f64)> = match run.curve.as_slice() {
        [] => rows.iter().filter_map(|r| Some((r.inverse_kl_weight, r.reward_exact?, r.kl_exact?))).collect(),
        curve => curve.iter().map(|p| (1.0 / p.kl_weight, p.reward, p.kl)).collect(),
    };
    let figure =
        Tradeoff { title: &format!("{}: what fine-tuning buys", problem.file.name), reward: &reward, kl: &kl, exact: &exact };
    let mut drawn = vec![save(&figure, directory, "sweep")?];
    drawn.extend(pift(problem, run, &exact, directory)?);
    Ok(drawn)
}

/// How fast PI-FT gets there, and how far its chain is from the exact optimum.
fn pift(
    problem: &Problem,
    run: &SweepRun,
    exact: &[(f64, f64, f64)],
    directory: &Path,
) -> Result<Option<FigureInfo>, ReportError> {
    let asked: Vec<PiFtPoint> = run.report.rows.iter().filter_map(SweepRow::pift_point).collect();
    if asked.is_empty() {
        return Ok(None);
    }
    let mut along = run.report.pift_curve.clone();
    along.extend(&asked);
    along.sort_by(|a, b| a.kl_weight.total_cmp(&b.kl_weight));
    let at = |points: &[PiFtPoint]| -> Vec<f64> { points.iter().map(|p| 1.0 / p.kl_weight).collect() };
    let (x, marks) = (at(&along), at(&asked));
    let x_exact: Vec<f64> = exact.iter().map(|e| e.0).collect();
    let of = |points: &[PiFtPoint], f: &dyn Fn(&PiFtPoint) -> f64| -> Vec<f64> { points.iter().map(f).collect() };
    // the first update is at most 1 + rho times the whole way, and each one rho times the one before
    let spec = &problem.file.pift;
    let counted = spec.iterations.is_none() && spec.stop == StopSpec::Tolerance;
    let needed = |p: &PiFtPoint| match counted && p.rho < 1.0 && p.rho > 0.0 {
        true => ((spec.tolerance / (1.0 + p.rho)).ln() / p.rho.ln()).ceil(),
        false => f64::NAN,
    };
    let [iterations, contraction, reward, kl]: [&dyn Fn(&PiFtPoint) -> f64; 4] =
        [&|p| p.iterations as f64, &|p| p.contraction.unwrap_or(f64::NAN), &|p| p.reward, &|p| p.kl];
    let lines = [iterations, contraction, reward, kl].map(|f| (of(&along, f), of(&asked, f)));
    let bounds = [of(&along, &needed), of(&along, &|p| p.rho)];
    let optimum = [exact.iter().map(|e| e.1).collect::<Vec<f64>>(), exact.iter().map(|e| e.2).collect()];
    let panel = |i: usize, y_label| PanelCurves {
        y_label,
        log: i == 1,
        measured: (&x, &lines[i].0),
        points: (&marks, &lines[i].1),
        exact: if i < 2 { (&[], &[]) } else { (&x_exact, &optimum[i - 2]) },
        bound: if i < 2 && bounds[i].iter().any(|b| b.is_finite()) { (&x, &bounds[i]) } else { (&[], &[]) },
    };
    let shown =
        [panel(0, "most inner iterations"), panel(1, "largest contraction"), panel(2, "reward"), panel(3, "KL divergence")];
    let label = format!("PI-FT, N = {}", run.report.steps);
    let title = format!("{}: PI-FT over the KL weight", problem.file.name);
    let figure = PanelGrid { title: &title, x_label: "inverse KL weight 1/β", measured: &label, panels: &shown };
    Ok(Some(save(&figure, directory, "sweep_pift")?))
}
