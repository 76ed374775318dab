//! The figure of `sweep`.

use super::ReportError;
use super::figure::{FigureInfo, Tradeoff, TradeoffPoint, save};
use crate::problem::Problem;
use crate::run::SweepRun;
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
    Ok(vec![save(&figure, directory, "sweep")?])
}
