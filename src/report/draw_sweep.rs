//! The figure of `sweep`.

use super::ReportError;
use super::figure::{BoundSeries, Bounds, FigureInfo, Tradeoff, TradeoffPoint, save};
use crate::problem::Problem;
use crate::run::{SweepRow, SweepRun};
use std::path::Path;

/// Reward and divergence against 1/beta.
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
    // how fast PI-FT gets there, and how far its chain is from the exact optimum
    let at: Vec<f64> = rows.iter().map(|r| r.inverse_kl_weight).collect();
    let of = |f: &dyn Fn(&SweepRow) -> Option<f64>| -> Vec<f64> { rows.iter().map(|r| f(r).unwrap_or(f64::NAN)).collect() };
    let contraction = of(&|r| r.pift_contraction);
    if contraction.iter().any(|c| *c > 0.0) {
        let rho = of(&|r| r.pift_rho);
        let reward = of(&|r| Some((r.pift_reward? - r.reward_exact?).abs()));
        let kl = of(&|r| Some((r.pift_kl? - r.kl_exact?).abs()));
        let entry = |label, observed, bound| BoundSeries { label, x: &at, observed, bound };
        let mut series = vec![entry("largest contraction", &contraction[..], &rho[..])];
        for (label, gap) in [("reward: chain − exact", &reward), ("KL: chain − exact", &kl)] {
            if gap.iter().any(|g| *g > 0.0) {
                series.push(entry(label, gap, &[]));
            }
        }
        let title = format!("{}: PI-FT over the KL weight, N = {}", problem.file.name, run.report.steps);
        let (x_label, y_label) = ("inverse KL weight 1/β", "factor, distance");
        drawn.push(save(&Bounds { title: &title, x_label, y_label, whole: false, series: &series }, directory, "sweep_pift")?);
    }
    Ok(drawn)
}
