//! Maps of V and of the control over two coordinates.

use super::ReportError;
use super::draw_marks::Ends;
use super::figure::{Arrows, Colours, FigureInfo, HeatMap, MarkedMaps, Marks, PlaneMaps, save};
use super::slices::Slices;
use hjbridge_model::{Region, TensorGrid};
use std::ops::Range;
use std::path::Path;

/// A solution in two dimensions and the part of the plane that is shown.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub grid: &'a TensorGrid,
    pub region: &'a Region,
    /// Names of the coordinates.
    pub labels: &'a [String; 2],
    pub slices: &'a Slices<'a>,
    /// Letters of the state and of the control.
    pub symbols: (&'a str, &'a str),
    /// What is marked, if anything.
    pub marks: Option<PlaneMarks<'a>>,
}

/// Marks over the whole grid.
#[derive(Clone, Copy)]
pub(super) struct PlaneMarks<'a> {
    /// The target.
    pub ends: &'a Ends,
    /// Where there is a control: outside the target, before stopping.
    pub active: &'a Ends,
    /// Changes sign at the stopping boundary; empty without one.
    pub boundary: &'a [f64],
}

impl Plane<'_> {
    /// V and the control at time slice `k`; `t` is the time for the titles, none for a stationary problem. The control is
    /// mapped by its length, with arrows, when it has two components, by its first component otherwise.
    pub fn draw(&self, k: usize, t: Option<f64>, directory: &Path, stem: &str) -> Result<FigureInfo, ReportError> {
        let Plane { grid, region, labels, slices, symbols: (state, symbol), marks } = *self;
        let m = slices.components;
        let all = || (0..grid.shape()[0], 0..grid.shape()[1]);
        let (columns, rows): (Range<usize>, Range<usize>) =
            grid.region_ranges(region).map_or_else(|_| all(), |r| (r[0].clone(), r[1].clone()));
        let nodes = |axis: usize, range: &Range<usize>| grid.axis(axis).nodes()[range.clone()].to_vec();
        let (x, y) = (nodes(0, &columns), nodes(1, &rows));
        let (count, rows) = (grid.shape()[1], &rows);
        let crop = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
            columns.clone().flat_map(|i| rows.clone().map(move |j| i * count + j)).map(f).collect()
        };
        let crop_field = |field: &[f64]| if field.is_empty() { Vec::new() } else { crop(&|node| field[node]) };
        let component = |c: usize| {
            let all = slices.control(k, c);
            marks.map_or_else(|| crop_field(all), |marks| crop_field(&marks.active.continued(all)))
        };
        let value = slices.value(k);
        let value = marks.map_or_else(|| crop_field(value), |marks| crop_field(&marks.ends.trimmed(value)));
        let level = marks.map_or_else(Vec::new, |marks| crop_field(&marks.ends.level));
        let inactive = marks.map_or_else(Vec::new, |marks| crop_field(&marks.active.level));
        let boundary = marks.map_or_else(Vec::new, |marks| crop_field(marks.boundary));
        let at = |name: &str| {
            t.map_or(format!("{name}({state})"), |t| format!("{name}(t,{state}) at t = {}", (t * 1e4).round() / 1e4))
        };
        let (value_title, component_title) = (format!("Value function {}", at("V")), format!("Optimal control {}", at(symbol)));
        let length_title = format!("Optimal control {}, length in colour", at(symbol));
        let map = |title, values, value_label, colours| HeatMap {
            title,
            times: &x,
            nodes: &y,
            values,
            time_label: &labels[0],
            state_label: &labels[1],
            value_label,
            colours,
            contours: true,
        };
        let length_label = format!("length |{symbol}|");
        let component_label = if m == 1 { format!("control {symbol}") } else { format!("control {symbol}0") };
        let (first, second) = (if m > 0 { component(0) } else { Vec::new() }, if m == 2 { component(1) } else { Vec::new() });
        let length: Vec<f64> = first.iter().zip(&second).map(|(a, b)| a.hypot(*b)).collect();
        let (control, arrows) = match m {
            0 => (None, None),
            2 => {
                let map = HeatMap { contours: false, ..map(&length_title, &length, &length_label, Colours::Sequential) };
                (Some(map), Some(Arrows { horizontal: &first, vertical: &second }))
            }
            _ => (Some(map(&component_title, &first, &component_label, colours_of(&first))), None),
        };
        let maps = PlaneMaps { value: map(&value_title, &value, "value V", Colours::Sequential), control, arrows };
        let marks = Marks { ended: &level, ended_label: "target", boundary: &boundary, boundary_label: "stopping boundary" };
        let control_marks = marks.of_control(&inactive);
        save(&MarkedMaps { maps, marks, control_marks, over_time: false }, directory, stem)
    }
}

/// Centred on zero when both signs occur.
pub(super) fn colours_of(values: &[f64]) -> Colours {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    if low < 0.0 && high > 0.0 { Colours::Diverging } else { Colours::Sequential }
}
