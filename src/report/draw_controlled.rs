//! The figures of a controlled diffusion.

use super::ReportError;
use super::draw_marks::{Ends, stopping};
use super::draw_plane::{Plane, PlaneMarks, colours_of};
use super::figure::{Colours, FigureInfo, HeatMap, MarkedMaps, Marks, PlaneMaps, Profile, Profiles, save};
use super::slices::Slices;
use crate::problem::ControlledProblem;
use hjbridge_hjb::Obstacle;
use hjbridge_model::{FormulaField, Points};
use std::path::Path;

type Drawn = Result<Vec<FigureInfo>, ReportError>;

/// All figures: maps over time and profiles in one dimension, maps over the plane in two, none in three.
///
/// The control has no value in the target and on Dirichlet faces and is not drawn there; the target is grey. The stopping
/// boundary of a problem with an obstacle is a heavy line.
pub fn figures(problem: &ControlledProblem, slices: &Slices<'_>, directory: &Path) -> Drawn {
    match problem.dim() {
        1 => line(problem, slices, directory),
        2 => {
            let labels = [problem.axis_label(0), problem.axis_label(1)];
            let t = (!problem.is_stationary()).then(|| slices.times.first().copied().unwrap_or(0.0));
            let ends = Ends::of(problem);
            let boundary = stopping(problem, t.unwrap_or(0.0), slices.value(0));
            let active = ends.or_stopped(&boundary);
            let marks = Some(PlaneMarks { ends: &ends, active: &active, boundary: &boundary });
            let (grid, region) = (&problem.grid, &problem.compare_on);
            let plane = Plane { grid, region, labels: &labels, slices, symbols: ("x", "v"), marks };
            Ok(vec![plane.draw(0, t, directory, "plane_start")?])
        }
        _ => Ok(Vec::new()),
    }
}

/// V and v over the comparison box in one dimension.
fn line(problem: &ControlledProblem, slices: &Slices<'_>, directory: &Path) -> Drawn {
    let (n, m) = (problem.grid.len(), slices.components);
    let range = problem.grid.region_ranges(&problem.compare_on).map_or(0..n, |r| r[0].clone());
    let nodes = &problem.grid.axis(0).nodes()[range.clone()];
    let label = problem.axis_label(0);
    let ends = Ends::of(problem);
    let crop = |field: Vec<f64>| field[range.clone()].to_vec();
    let (value, control) = (|k: usize| slices.value(k), |k: usize| slices.control(k, 0));
    let last = slices.times.len() - 1;
    let control_title = |place: &str| match m {
        1 => format!("Optimal control v{place}"),
        _ => format!("Optimal control v{place}, component 0"),
    };
    let control_label = if m == 1 { "control v" } else { "control v0" };
    let mut drawn = Vec::new();
    if last > 0 {
        let all = |f: &dyn Fn(usize) -> Vec<f64>| -> Vec<f64> { (0..=last).flat_map(|k| crop(f(k))).collect() };
        // at t = T there is nothing left to decide
        let stopping = |k: usize| stopping(problem, slices.times[k.min(last - 1)], value(k.min(last - 1)));
        let active = |k: usize| ends.or_stopped(&stopping(k));
        let v = all(&|k| ends.trimmed(value(k)));
        let u = if m > 0 { all(&|k| active(k).continued(control(k))) } else { Vec::new() };
        let level = if ends.level.is_empty() { Vec::new() } else { all(&|_| ends.level.clone()) };
        let (mut boundary, mut inactive) = (Vec::new(), level.clone());
        if problem.obstacle.is_some() {
            boundary = all(&|k| if k < last { stopping(k) } else { vec![f64::NAN; n] });
            inactive = all(&|k| active(k).level);
        }
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
        let title = control_title("(t,x)");
        let control = (m > 0).then(|| map(&title, &u, control_label, colours_of(&u)));
        let value = map("Value function V(t,x)", &v, "value V", Colours::Sequential);
        let marks = Marks { ended: &level, ended_label: "target", boundary: &boundary, boundary_label: "stopping boundary" };
        let control_marks = marks.of_control(&inactive);
        let stem = if m > 0 { "value_and_control" } else { "value" };
        let figure = MarkedMaps { maps: PlaneMaps { value, control, arrows: None }, marks, control_marks, over_time: true };
        drawn.push(save(&figure, directory, stem)?);
    }
    let chosen: Vec<usize> = if last == 0 { vec![0] } else { [0, 2, 4, 6, 7].iter().map(|q| q * last / 8).collect() };
    let names: Vec<String> = match problem.is_stationary() {
        true => vec!["stationary".into(), "obstacle".into()],
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
        let (reference_label, residual_label) = ("known solution", "numerical − known");
        let figure = Profiles { title, x_label: &label, y_label, reference_label, residual_label, nodes, profiles: &profiles };
        save(&figure, directory, stem).map(|info| drawn.push(info))
    };
    let place = if problem.is_stationary() { "(x)" } else { "(t,x)" };
    let mut values: Vec<Vec<f64>> = chosen.iter().map(|&k| crop(value(k).to_vec())).collect();
    let mut known_values = exact(known.and_then(|e| e.value.as_ref()));
    if let Some(obstacle) = problem.obstacle.as_ref().filter(|_| problem.is_stationary()) {
        let mut psi = vec![0.0; nodes.len()];
        obstacle.payoff(0.0, Points::new(nodes, 1), &mut psi);
        values.push(psi);
        known_values.push(Vec::new());
    }
    let title = format!("Value function V{place}");
    profile("value_profiles", &title, "value V", values, known_values)?;
    if m > 0 {
        let free = crop(ends.free.iter().map(|free| f64::from(u8::from(*free))).collect());
        let mut known = exact(known.and_then(|e| e.control.as_ref()).map(|c| &c[0]));
        for curve in &mut known {
            curve.iter_mut().zip(&free).filter(|(_, free)| **free == 0.0).for_each(|(v, _)| *v = f64::NAN);
        }
        let shown = |k: usize| match problem.is_stationary() {
            true => ends.or_stopped(&stopping(problem, 0.0, value(k))).free_part(control(k)),
            false => ends.free_part(control(k)),
        };
        let controls: Vec<Vec<f64>> = chosen.iter().map(|&k| crop(shown(k))).collect();
        profile("control_profiles", &control_title(place), control_label, controls, known)?;
    }
    Ok(drawn)
}
