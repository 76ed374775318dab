//! Maps of the final laws in the plane: the chain's beside that of the continuous optimum.

use super::ReportError;
use super::figure::{Colours, FigureInfo, HeatMap, LawMaps, save};
use crate::bridge::BridgeRun;
use crate::problem::Problem;
use std::path::Path;

/// The two densities over the comparison box, in the units of the data.
pub(super) fn final_laws(problem: &Problem, run: &BridgeRun, directory: &Path) -> Result<Option<FigureInfo>, ReportError> {
    let (Some(chain), Some(continuous), 2) = (&run.chain_density, &run.continuous_density, problem.dim()) else {
        return Ok(None);
    };
    let grid = &problem.grid;
    let Ok(ranges) = grid.region_ranges(&problem.compare_on) else { return Ok(None) };
    if ranges.iter().any(|r| r.len() < 2) {
        return Ok(None);
    }
    let scale = problem.units(0).1 * problem.units(1).1;
    let nodes = |axis: usize| -> Vec<f64> {
        let (center, scale) = problem.units(axis);
        grid.axis(axis).nodes()[ranges[axis].clone()].iter().map(|y| center + scale * y).collect()
    };
    let cut = |density: &[f64]| -> Vec<f64> {
        let columns = grid.axis(1).len();
        ranges[0].clone().flat_map(|i| ranges[1].clone().map(move |j| density[i * columns + j] / scale)).collect()
    };
    let (x, y) = (nodes(0), nodes(1));
    let (simulated, exact) = (cut(chain), cut(continuous));
    let labels = [0, 1].map(|axis| problem.axis_label(axis));
    let map = |title, values| HeatMap {
        title,
        times: &x,
        nodes: &y,
        values,
        time_label: &labels[0],
        state_label: &labels[1],
        value_label: "density",
        colours: Colours::Sequential,
        contours: true,
    };
    let steps = run.report.steps.last().copied().unwrap_or(0);
    let title = format!("Where the fine-tuned chain ends, N = {steps}");
    let figure = LawMaps { simulated: map(&title, &simulated), exact: Some(map("the continuous optimum", &exact)) };
    save(&figure, directory, "final_law").map(Some)
}
