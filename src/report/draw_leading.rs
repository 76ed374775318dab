//! Figures of the predicted leading error: against N, and along the line at t = 0.

use super::ReportError;
use super::draw::state_label;
use super::figure::{Convergence, ConvergenceSeries, FigureInfo, Profile, Profiles, save};
use crate::bridge::BridgeReport;
use crate::problem::Problem;
use std::path::Path;

/// Measured against predicted.
pub fn figures(problem: &Problem, report: &BridgeReport, directory: &Path) -> Result<Vec<FigureInfo>, ReportError> {
    let mut drawn = Vec::new();
    let Some(leading) = &report.leading_error else { return Ok(drawn) };
    if report.steps.is_empty() {
        return Ok(drawn);
    }
    let series = |label, errors| ConvergenceSeries { label, steps: &report.steps, errors, order: None, fitted: 0 };
    let all = [
        series("U", &report.control_error),
        series("U, predicted", &leading.control_predicted),
        series("U − h C", &leading.control_corrected),
        series("V", &report.value_error),
        series("V, predicted", &leading.value_predicted),
        series("V − h W", &leading.value_corrected),
    ];
    let figure = Convergence {
        title: &format!("{}: measured errors and their predicted leading terms", problem.file.name),
        x_label: "steps N",
        y_label: "largest error in the box",
        series: &all,
        reference_orders: &[1.0, 2.0],
    };
    drawn.push(save(&figure, directory, "leading_error")?);
    let Some(profile) = &leading.profile else { return Ok(drawn) };
    let x_label = state_label(problem);
    let (title, label) = (format!("Error at t = 0 over the step, N = {}", profile.steps), "measured");
    for (name, y_label, measured, predicted) in [
        ("leading_error_value", "error of V over h", &profile.value_measured, &profile.value_predicted),
        ("leading_error_control", "error of U over h", &profile.control_measured, &profile.control_predicted),
    ] {
        let figure = Profiles {
            title: &title,
            x_label: &x_label,
            y_label,
            reference_label: "",
            residual_label: "difference",
            nodes: &profile.y,
            profiles: &[
                Profile { label, numerical: measured, exact: &[] },
                Profile { label: "predicted", numerical: predicted, exact: &[] },
            ],
        };
        drawn.push(save(&figure, directory, name)?);
    }
    Ok(drawn)
}
