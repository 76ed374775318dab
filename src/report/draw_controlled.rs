//! The figures of a controlled diffusion.

use super::ReportError;
use super::draw_plane::{Plane, colours_of};
use super::figure::{Colours, FigureInfo, HeatMap, Profile, Profiles, ValueAndControl, save};
use super::slices::Slices;
use crate::problem::ControlledProblem;
use hjbridge_model::{FormulaField, Points};
use std::path::Path;

type Drawn = Result<Vec<FigureInfo>, ReportError>;

/// All figures: maps over time and profiles in one dimension, maps over the plane in two, none in three.
pub fn figures(problem: &ControlledProblem, slices: &Slices, directory: &Path) -> Drawn {
    match problem.dim() {
        1 => line(problem, slices, directory),
        2 => {
            let labels = [problem.axis_label(0), problem.axis_label(1)];
            let t = (!problem.is_stationary()).then(|| slices.times.first().copied().unwrap_or(0.0));
            let plane = Plane { grid: &problem.grid, region: &problem.compare_on, labels: &labels, slices, symbols: ("x", "v") };
            Ok(vec![plane.draw(0, t, directory, "plane_start")?])
        }
        _ => Ok(Vec::new()),
    }
}

/// V and v over the comparison box in one dimension.
fn line(problem: &ControlledProblem, slices: &Slices, directory: &Path) -> Drawn {
    let (n, m) = (problem.grid.len(), slices.components);
    let range = problem.grid.region_ranges(&problem.compare_on).map_or(0..n, |r| r[0].clone());
    let nodes = &problem.grid.axis(0).nodes()[range.clone()];
    let label = problem.axis_label(0);
    let value = |k: usize| slices.value[k * n..][range.clone()].to_vec();
    let control = |k: usize, c: usize| -> Vec<f64> { range.clone().map(|j| slices.control[(k * n + j) * m + c]).collect() };
    let last = slices.times.len() - 1;
    let mut drawn = Vec::new();
    if last > 0 {
        let all = |f: &dyn Fn(usize) -> Vec<f64>| -> Vec<f64> { (0..=last).flat_map(f).collect() };
        let (v, u) = (all(&value), if m > 0 { all(&|k| control(k, 0)) } else { Vec::new() });
        let map = |title, values, value_label, colours| HeatMap {
            title,
            times: &slices.times,
            nodes,
            values,
            time_label: "time t",
            state_label: &label,
            value_label,
            colours,
            contours: true,
        };
        let value = map("Value function V(t,x)", &v, "V", Colours::Sequential);
        if m > 0 {
            let title = if m == 1 { "Optimal control v(t,x)" } else { "Optimal control, component 0" };
            let control = map(title, &u, "v", colours_of(&u));
            drawn.push(save(&ValueAndControl { value, control }, directory, "value_and_control")?);
        } else {
            drawn.push(save(&value, directory, "value_and_control")?);
        }
    }
    let chosen: Vec<usize> = if last == 0 { vec![0] } else { [0, 2, 4, 6, 7].iter().map(|q| q * last / 8).collect() };
    let names: Vec<String> = match problem.is_stationary() {
        true => vec!["stationary".into()],
        false => chosen.iter().map(|&k| format!("t = {:.3}", slices.times[k])).collect(),
    };
    let exact = |formula: Option<&FormulaField>| -> Vec<Vec<f64>> {
        let at = |k: usize| {
            let mut out = vec![0.0; nodes.len()];
            formula.map(|f| f.eval(slices.times[k], Points::new(nodes, 1), &mut out)).map_or(Vec::new(), |()| out)
        };
        chosen.iter().map(|&k| at(k)).collect()
    };
    let known = problem.exact.as_ref();
    let mut profile = |stem: &str, title: &str, y_label: &str, curves: Vec<Vec<f64>>, exact: Vec<Vec<f64>>| {
        let profiles: Vec<Profile<'_>> = names
            .iter()
            .zip(&curves)
            .zip(&exact)
            .map(|((label, numerical), exact)| Profile { label, numerical, exact })
            .collect();
        let residual_label = "numerical − known";
        let figure = Profiles { title, x_label: &label, y_label, residual_label, nodes, profiles: &profiles };
        save(&figure, directory, stem).map(|info| drawn.push(info))
    };
    let values: Vec<Vec<f64>> = chosen.iter().map(|&k| value(k)).collect();
    profile("value_profiles", "Value function", "V", values, exact(known.and_then(|e| e.value.as_ref())))?;
    if m > 0 {
        let controls: Vec<Vec<f64>> = chosen.iter().map(|&k| control(k, 0)).collect();
        let known = exact(known.and_then(|e| e.control.as_ref()).map(|c| &c[0]));
        let title = if m == 1 { "Optimal control" } else { "Optimal control, component 0" };
        profile("control_profiles", title, "v", controls, known)?;
    }
    Ok(drawn)
}
