//! The figures of parametric PI-FT: the training, and samples before and after it when states are images.

use super::ReportError;
use super::figure::{FigureInfo, ImageBlock, Images, TrainingCurve, TrainingCurves, save};
use crate::problem::SampledProblem;
use crate::run::ParametricRun;
use hjbridge_pift::parametric::{Mean, ObjectiveInfo};
use std::path::Path;

/// Images in a row.
const ACROSS: usize = 6;

/// What a training leaves to be looked at.
pub fn figures(problem: &SampledProblem, run: &ParametricRun, directory: &Path) -> Result<Vec<FigureInfo>, ReportError> {
    let mut drawn = Vec::new();
    let r = &run.report;
    let rows: Vec<&ObjectiveInfo> = match r.history.as_slice() {
        [] => r.sweeps.iter().collect(),
        history => history.iter().map(|h| &h.achieved).collect(),
    };
    if rows.len() >= 2 {
        let x: Vec<f64> = (0..rows.len()).map(|i| i as f64).collect();
        let of = |f: &dyn Fn(&ObjectiveInfo) -> Mean| -> (Vec<f64>, Vec<f64>) {
            rows.iter().map(|row| f(row)).map(|m| (m.mean, m.standard_error)).unzip()
        };
        let (objective, reward, kl) = (of(&|i| i.objective), of(&|i| i.reward), of(&|i| i.kl));
        let level = match (r.optimum, r.achieved.and_then(|a| a.upper_bound)) {
            (Some(optimum), _) => Some((optimum, "optimum of the continuous problem")),
            (None, Some(bound)) => Some((bound.mean, "no policy exceeds this")),
            (None, None) => None,
        };
        let curve = |label, (mean, error): &'_ (Vec<f64>, Vec<f64>)| (label, mean.clone(), error.clone());
        let all = [curve("objective J", &objective), curve("reward E r", &reward), curve("divergence KL", &kl)];
        let curves: Vec<TrainingCurve<'_>> = (all.iter().enumerate())
            .map(|(i, (label, mean, error))| TrainingCurve { label, mean, error, level: level.filter(|_| i == 0) })
            .collect();
        let title = format!("{}: training of {} parameters, N = {}", problem.file.name, r.parameters, r.steps);
        let x_label = if r.history.is_empty() { "sweeps" } else { "iterations" };
        drawn.push(save(&TrainingCurves { title: &title, x_label, x: &x, curves: &curves }, directory, "training")?);
    }
    if let (Some(image), Some([before, after])) = (&problem.file.image, &run.samples) {
        let blocks =
            [ImageBlock { title: "pre-trained", pixels: before }, ImageBlock { title: "fine-tuned, same noise", pixels: after }];
        let figure = Images { rows: image.rows, columns: image.columns, range: image.range, across: ACROSS, blocks: &blocks };
        drawn.push(save(&figure, directory, "samples")?);
    }
    Ok(drawn)
}
