//! Figures and arrays of `certify`: how much a policy loses from each state, and where and when it is lost.

use super::figure::{Colours, FigureInfo, HeatMap, PlaneMaps, Profile, Profiles, ValueAndControl, save};
use super::{NpzFile, ReportError};
use crate::run::CertifyRun;
use hjbridge_model::{Region, TensorGrid};
use std::path::Path;

/// Where the fields live.
pub struct Place<'a> {
    /// The grid.
    pub grid: &'a TensorGrid,
    /// The part that is shown.
    pub region: &'a Region,
    /// Labels of the axes.
    pub labels: Vec<String>,
}

/// `axis0`, ..., `time`, `gap[time, axis0, ...]` = |V - J|, `loss_time`, `loss_density[loss_time, axis0, ...]`.
///
/// # Errors
/// The file system refuses.
pub fn write(place: &Place<'_>, run: &CertifyRun, path: &Path) -> Result<(), ReportError> {
    let names: Vec<String> = (0..place.grid.dim()).map(|i| format!("axis{i}")).collect();
    let mut file = NpzFile::new();
    for (name, axis) in names.iter().zip(place.grid.axes()) {
        file.array(name, &[axis.len()], axis.nodes())?;
    }
    let gap = (!run.gap.is_empty()).then_some((&run.times, &run.gap));
    let density = run.density.as_ref().map(|d| (&d.times, &d.density));
    for (time, name, field) in [("time", "gap", gap), ("loss_time", "loss_density", density)] {
        let Some((times, values)) = field else { continue };
        let shape: Vec<usize> = std::iter::once(times.len()).chain(place.grid.shape().iter().copied()).collect();
        file.array(time, &shape[..1], times)?;
        file.pieces(name, &shape, values.iter().map(Vec::as_slice).collect(), 1)?;
    }
    file.write(path)
}

/// Maps over time and state in one dimension with the loss at five times, maps over the plane in two, none in three.
///
/// # Errors
/// Nothing to draw; the file system refuses.
pub fn figures(place: &Place<'_>, run: &CertifyRun, directory: &Path) -> Result<Vec<FigureInfo>, ReportError> {
    if run.gap.is_empty() {
        return Ok(Vec::new());
    }
    let ranges = place.grid.region_ranges(place.region).unwrap_or_default();
    match (place.grid.dim(), ranges.as_slice()) {
        (1, [range]) => {
            let nodes = &place.grid.axis(0).nodes()[range.clone()];
            let crop = |all: &[Vec<f64>]| all.iter().flat_map(|f| f[range.clone()].to_vec()).collect::<Vec<f64>>();
            let map = |title, times, values, value_label| HeatMap {
                title,
                times,
                nodes,
                values,
                time_label: "time t",
                state_label: &place.labels[0],
                value_label,
                colours: Colours::Sequential,
                contours: true,
            };
            let mut drawn = Vec::new();
            let gap = crop(&run.gap);
            let lost = map("What is lost from (t, y) on: |V − J|", &run.times, &gap, "|V − J|");
            if let Some(density) = &run.density {
                let values = crop(&density.density);
                let made = map("Where the policy loses it", &density.times, &values, "loss per time and state");
                drawn.push(save(&ValueAndControl { value: lost, control: made }, directory, "certify_loss")?);
            } else {
                drawn.push(save(&lost, directory, "certify_loss")?);
            }
            let last = run.times.len() - 1;
            let mut chosen: Vec<usize> = [0, 2, 4, 6, 7].iter().map(|q| q * last / 8).collect();
            chosen.dedup();
            let names: Vec<String> = chosen.iter().map(|&k| format!("t = {:.3}", run.times[k])).collect();
            let profiles: Vec<Profile<'_>> = chosen
                .iter()
                .zip(&names)
                .map(|(&k, label)| Profile { label, numerical: &run.gap[k][range.clone()], exact: &[] })
                .collect();
            let figure = Profiles {
                title: "What the policy loses from each state",
                x_label: &place.labels[0],
                y_label: "|V − J|",
                reference_label: "",
                residual_label: "",
                nodes,
                profiles: &profiles,
            };
            drawn.push(save(&figure, directory, "certify_gap")?);
            Ok(drawn)
        }
        (2, [columns, rows]) => {
            let (x, y) = (&place.grid.axis(0).nodes()[columns.clone()], &place.grid.axis(1).nodes()[rows.clone()]);
            let count = place.grid.shape()[1];
            let crop = |f: &[f64]| -> Vec<f64> {
                columns.clone().flat_map(|i| rows.clone().map(move |j| i * count + j)).map(|node| f[node]).collect()
            };
            let map = |title, values, value_label| HeatMap {
                title,
                times: x,
                nodes: y,
                values,
                time_label: &place.labels[0],
                state_label: &place.labels[1],
                value_label,
                colours: Colours::Sequential,
                contours: true,
            };
            let gap = crop(&run.gap[0]);
            let value = map("What is lost from each state at t = 0: |V − J|", &gap, "|V − J|");
            let summed = run.density.as_ref().map(|d| {
                let mut sum = vec![0.0; place.grid.len()];
                let last = d.times.len() - 1;
                for k in 0..=last {
                    let width = 0.5 * (d.times[(k + 1).min(last)] - d.times[k.saturating_sub(1)]);
                    sum.iter_mut().zip(&d.density[k]).for_each(|(s, x)| *s += width * x);
                }
                crop(&sum)
            });
            let control = summed.as_ref().map(|s| map("Where the policy loses it, over all times", s, "loss per area"));
            Ok(vec![save(&PlaneMaps { value, control, arrows: None }, directory, "certify_loss")?])
        }
        _ => Ok(Vec::new()),
    }
}
