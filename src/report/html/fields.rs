//! V and the control over time and state for the sliders of `report.html`: a part of what `solution.npz` has.

use crate::problem::{ControlledProblem, Problem};
use crate::report::draw::state_label;
use crate::report::draw_marks::{Ends, stopping};
use crate::report::slices::Slices;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hjbridge_model::exact::closed_form;
use hjbridge_model::{Points, PointsMut, Region, TensorGrid};
use rayon::prelude::*;
use serde::Serialize;

/// Most numbers in a page: four bytes each, a third more in text, so about 1.8 MB.
const BUDGET: usize = 340_000;

/// Most times and most nodes of an axis, by dimension.
const MOST: [(usize, usize); 3] = [(65, 257), (21, 129), (11, 65)];

/// Fields over time, on a line or on one plane or several.
#[derive(Clone, Debug, Serialize)]
pub struct Fields {
    /// Times; a single one for a stationary problem.
    time: Vec<f64>,
    stationary: bool,
    /// What was left out.
    note: String,
    views: Vec<View>,
}

/// A line or a plane through the box.
#[derive(Clone, Debug, Serialize)]
struct View {
    /// Where it lies; empty where it is everything.
    place: String,
    axes: Vec<AxisData>,
    fields: Vec<Field>,
    /// Numbers of the fields that are the horizontal and the vertical component of the arrows.
    arrows: Option<[usize; 2]>,
}

#[derive(Clone, Debug, Serialize)]
struct AxisData {
    label: String,
    nodes: Vec<f64>,
}

#[derive(Clone, Debug, Serialize)]
struct Field {
    name: String,
    label: String,
    /// Little-endian f32 in base64, time by time, the last axis fastest; NaN where there is nothing.
    values: String,
    /// The same of the known solution.
    #[serde(skip_serializing_if = "Option::is_none")]
    exact: Option<String>,
}

/// What is known of the solution: V and the control's components at a time and points on a line.
type Known<'a> = Option<&'a (dyn Fn(f64, &[f64]) -> (Vec<f64>, Vec<f64>) + Sync)>;

/// A component of the control at a time number, where V is given too, with NaN where there is none.
type Mask<'a> = &'a (dyn Fn(usize, &[f64], &[f64]) -> Vec<f64> + Sync);

/// A solution on its grid.
struct Source<'a> {
    grid: &'a TensorGrid,
    region: &'a Region,
    labels: Vec<String>,
    slices: &'a Slices<'a>,
    /// Letter of the control.
    symbol: &'a str,
    stationary: bool,
}

impl Fields {
    /// Of a fine-tuning problem.
    pub fn fine_tuning(problem: &Problem, slices: &Slices<'_>) -> Self {
        let label = |i| if problem.dim() == 1 { state_label(problem) } else { problem.axis_label(i) };
        let labels = (0..problem.dim()).map(label).collect();
        let source = Source { grid: &problem.grid, region: &problem.compare_on, labels, slices, symbol: "U", stationary: false };
        let exact = (problem.dim() == 1).then(|| closed_form(&problem.model).ok().flatten()).flatten();
        let known = exact.as_ref().map(|exact| {
            move |t: f64, x: &[f64]| {
                let (mut v, mut u) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                let slice = exact.at(t);
                slice.value(Points::new(x, 1), &mut v);
                slice.control(Points::new(x, 1), PointsMut::new(&mut u, 1));
                (v, u)
            }
        });
        source.fields(&|_, _, field| field.to_vec(), known.as_ref().map(|f| f as _))
    }

    /// Of a controlled diffusion: the control has no value in the target, on Dirichlet faces and where it is optimal to stop.
    pub fn controlled(problem: &ControlledProblem, slices: &Slices<'_>) -> Self {
        let labels = (0..problem.dim()).map(|i| problem.axis_label(i)).collect();
        let stationary = problem.is_stationary();
        let source = Source { grid: &problem.grid, region: &problem.compare_on, labels, slices, symbol: "v", stationary };
        let ends = Ends::of(problem);
        let last = slices.times.len().saturating_sub(1);
        let free = |k: usize, value: &[f64], field: &[f64]| {
            // at T there is nothing left to decide
            if problem.obstacle.is_some() && (k < last || stationary) {
                return ends.or_stopped(&stopping(problem, slices.times[k], value)).free_part(field);
            }
            ends.free_part(field)
        };
        let formulas = problem.exact.as_ref().filter(|e| problem.dim() == 1 && e.value.is_some());
        let known = formulas.map(|exact| {
            move |t: f64, x: &[f64]| {
                let (mut v, mut u) = (vec![0.0; x.len()], Vec::new());
                if let Some(f) = &exact.value {
                    f.eval(t, Points::new(x, 1), &mut v);
                }
                for f in exact.control.iter().flatten() {
                    let mut component = vec![0.0; x.len()];
                    f.eval(t, Points::new(x, 1), &mut component);
                    u.extend(component);
                }
                (v, u)
            }
        });
        source.fields(&free, known.as_ref().map(|f| f as _))
    }
}

/// At most `most` of the numbers in a range, evenly spaced but for the last, which is among them.
fn thinned(range: std::ops::Range<usize>, most: usize) -> Vec<usize> {
    let step = range.len().saturating_sub(1).div_ceil(most.max(2) - 1).max(1);
    let mut kept: Vec<usize> = range.clone().step_by(step).collect();
    if range.end > range.start && kept.last() != Some(&(range.end - 1)) {
        kept.push(range.end - 1);
    }
    kept
}

fn encode(values: impl Iterator<Item = f64>) -> String {
    let bytes: Vec<u8> = values.flat_map(|v| (v as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

impl Source<'_> {
    fn fields(&self, mask: Mask<'_>, known: Known<'_>) -> Fields {
        let (d, m) = (self.grid.dim(), self.slices.components);
        let views: Vec<Vec<usize>> = match d {
            3 => vec![vec![0, 1], vec![0, 2], vec![1, 2]],
            _ => vec![(0..d).collect()],
        };
        let (most_times, most_nodes) = MOST[d.clamp(1, 3) - 1];
        let times = thinned(0..self.slices.times.len(), most_times);
        let each = BUDGET / (views.len() * (1 + m) * if known.is_some() { 2 } else { 1 } * times.len()).max(1);
        let fitting = if d == 1 { each } else { each.isqrt() };
        let region = self.grid.region_ranges(self.region);
        // a box of a single node is no picture
        let range = |axis: usize| {
            let inside = region.as_ref().ok().map(|r| r[axis].clone()).filter(|r| r.len() > 1);
            inside.unwrap_or(0..self.grid.shape()[axis])
        };
        let kept: Vec<Vec<usize>> = (0..d).map(|axis| thinned(range(axis), most_nodes.min(fitting))).collect();
        let views = views.iter().map(|axes| self.view(axes, &times, &kept, mask, known)).collect();
        let counts = |n: &[usize]| n.iter().map(usize::to_string).collect::<Vec<_>>().join(" × ");
        let note = format!(
            "Shown: {}{} of {} nodes, in the box compare_on{}. All of them are in solution.npz.",
            if self.stationary {
                String::new()
            } else {
                format!("{} of {} stored times, ", times.len(), self.slices.times.len())
            },
            counts(&kept.iter().map(Vec::len).collect::<Vec<_>>()),
            counts(self.grid.shape()),
            if d == 3 { ", on the three planes through its middle" } else { "" },
        );
        let time = times.iter().map(|&k| self.slices.times[k]).collect();
        Fields { time, stationary: self.stationary, note, views }
    }

    fn view(&self, axes: &[usize], times: &[usize], kept: &[Vec<usize>], mask: Mask<'_>, known: Known<'_>) -> View {
        let (d, m, shape) = (self.grid.dim(), self.slices.components, self.grid.shape());
        let coordinate = |axis: usize, i: usize| self.grid.axis(axis).nodes()[i];
        let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        // axes that are not shown stay at the middle of the box
        let fixed: Vec<usize> = (0..d).filter(|axis| !axes.contains(axis)).collect();
        let middle = |axis: usize| kept[axis][kept[axis].len() / 2];
        let place = fixed.iter().map(|&axis| format!("{} = {:.4}", self.labels[axis], coordinate(axis, middle(axis))));
        let place = place.collect::<Vec<_>>().join(", ");
        let start: usize = fixed.iter().map(|&axis| middle(axis) * stride(axis)).sum();
        let mut nodes = vec![start];
        for &axis in axes {
            nodes = nodes.iter().flat_map(|&n| kept[axis].iter().map(move |&i| n + i * stride(axis))).collect();
        }
        let of = |field: &(dyn Fn(usize) -> Vec<f64> + Sync)| {
            let rows: Vec<Vec<f64>> = times.par_iter().map(|&k| field(k)).collect();
            encode(rows.into_iter().flatten())
        };
        let pick = |field: &[f64]| nodes.iter().map(|&n| field[n]).collect::<Vec<f64>>();
        let line: Vec<f64> = if d == 1 { pick(self.grid.axis(0).nodes()) } else { Vec::new() };
        let solution = |c: Option<usize>| {
            let known = known?;
            let part = |k: usize| {
                let (v, u) = known(self.slices.times[k], &line);
                match c {
                    None => v,
                    Some(c) => u.chunks(line.len().max(1)).nth(c).map_or_else(Vec::new, <[f64]>::to_vec),
                }
            };
            let text = of(&part);
            (!text.is_empty()).then_some(text)
        };
        let place_of = if self.stationary { "" } else { "t, " };
        let state = if self.symbol == "U" { "y" } else { "x" };
        let mut fields = vec![Field {
            name: "V".into(),
            label: format!("value V({place_of}{state})"),
            values: of(&|k| pick(self.slices.value(k))),
            exact: solution(None),
        }];
        for c in 0..m {
            let name = if m == 1 { self.symbol.to_string() } else { format!("{}{c}", self.symbol) };
            let label = format!("control {name}({place_of}{state})");
            let values = of(&|k| pick(&mask(k, self.slices.value(k), self.slices.control(k, c))));
            fields.push(Field { name, label, values, exact: solution(Some(c)) });
        }
        let arrows = (axes.len() == 2 && m == d).then(|| [1 + axes[0], 1 + axes[1]]);
        let axes = axes.iter().map(|&axis| AxisData {
            label: self.labels[axis].clone(),
            nodes: kept[axis].iter().map(|&i| coordinate(axis, i)).collect(),
        });
        View { place, axes: axes.collect(), fields, arrows }
    }
}

#[cfg(test)]
mod tests {
    use super::thinned;

    #[test]
    fn thinning_keeps_both_ends() {
        assert_eq!(thinned(0..5, 9), [0, 1, 2, 3, 4]);
        assert_eq!(thinned(2..11, 5), [2, 4, 6, 8, 10]);
        assert_eq!(thinned(0..10, 5), [0, 3, 6, 9]);
        assert_eq!(thinned(0..9, 4), [0, 3, 6, 8]);
        assert_eq!(thinned(3..4, 4), [3]);
        assert!(thinned(0..0, 4).is_empty());
        for (n, most) in [(801, 257), (129, 65), (1000, 2), (2, 2)] {
            let kept = thinned(0..n, most);
            assert!(kept.len() <= most + 1 && kept[0] == 0 && *kept.last().unwrap() == n - 1);
        }
    }
}
