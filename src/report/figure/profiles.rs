//! A function of the state at a few times: numerical as lines, a reference as rings, their difference in a panel below.

use super::Figure;
use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Marker, Stroke};
use super::legend::{Key, header};
use super::panel::{BOTTOM, Panel};
use super::style::{self, GREY, LINE_WIDTH, MARKER_RADIUS, THIN_WIDTH};
use super::surface::Surface;
use crate::report::ReportError;

/// The function at one time.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// Legend text, e.g. `t = 0.5`.
    pub label: &'a str,
    /// Numerical values at the nodes.
    pub numerical: &'a [f64],
    /// What they are held against, at the nodes, or empty.
    pub exact: &'a [f64],
}

/// Profiles over the same nodes.
#[derive(Debug, Clone, Copy)]
pub struct Profiles<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the state axis with its unit.
    pub x_label: &'a str,
    /// Label of the value axis with its unit.
    pub y_label: &'a str,
    /// What the rings are, e.g. `closed form`; not shown without any.
    pub reference_label: &'a str,
    /// Label of the difference, e.g. `numerical − exact`.
    pub residual_label: &'a str,
    /// Nodes, increasing; at least 2.
    pub nodes: &'a [f64],
    /// One entry per time.
    pub profiles: &'a [Profile<'a>],
}

/// Curves closer than this part of the range of values lie on each other in the picture.
const SAME: f64 = 2e-3;

/// Length of a dash and its gap, in points: fits into a legend's sample.
const PERIOD: f64 = 24.0;

/// About this many rings per line.
const RINGS: usize = 24;

impl Profiles<'_> {
    fn check(&self) -> Result<(), ReportError> {
        if self.nodes.len() < 2 {
            return Err(ReportError::invalid("profile nodes", format!("{} entries", self.nodes.len()), "at least 2"));
        }
        ReportError::check_increasing("profile nodes", self.nodes)?;
        for p in self.profiles {
            ReportError::check_len(&format!("{}: numerical", p.label), p.numerical.len(), self.nodes.len())?;
            if !p.exact.is_empty() {
                ReportError::check_len(&format!("{}: exact", p.label), p.exact.len(), self.nodes.len())?;
            }
        }
        Ok(())
    }

    /// Solid, or dashed over the curves drawn before it that it would hide.
    fn stroke(&self, i: usize) -> Stroke {
        let values = self.profiles.iter().flat_map(|p| p.numerical).filter(|v| v.is_finite());
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let hides = |p: &&Profile<'_>| {
            let mut pairs = p.numerical.iter().zip(self.profiles[i].numerical).filter(|(a, b)| a.is_finite() && b.is_finite());
            pairs.all(|(a, b)| (a - b).abs() <= SAME * (high - low))
        };
        let hidden = self.profiles[..i].iter().filter(hides).count();
        // each shorter than the one below, which shows in its gaps
        let gap = PERIOD * hidden as f64 / self.profiles.len() as f64;
        let dash = (hidden > 0).then_some((PERIOD - gap, gap));
        Stroke::solid(style::line_color(i), LINE_WIDTH).dashed(dash)
    }

    fn residuals(&self) -> Vec<Option<Vec<f64>>> {
        let difference = |p: &Profile| p.numerical.iter().zip(p.exact).map(|(a, b)| a - b).collect();
        self.profiles.iter().map(|p| (!p.exact.is_empty()).then(|| difference(p))).collect()
    }
}

impl Figure for Profiles<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 600)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        self.check()?;
        let values = self.profiles.iter().flat_map(|p| p.numerical.iter().chain(p.exact).copied()).filter(|v| v.is_finite());
        if extent(values.clone()).is_none() {
            return Err(ReportError::empty(format!("profiles {:?}", self.title), "no finite value"));
        }
        let residuals = self.residuals();
        let with_residuals = residuals.iter().any(Option::is_some);
        let ends = (self.nodes[0], self.nodes[self.nodes.len() - 1]);
        let x = Axis::linear_range(self.x_label, ends.0, ends.1, 7);
        let y = Axis::linear(self.y_label, values, 0.06, 5);
        let differences = residuals.iter().flatten().flatten().copied();
        let below_y = Axis::linear(self.residual_label, differences.chain([0.0]), 0.1, 3);

        let mut entries: Vec<_> =
            self.profiles.iter().enumerate().map(|(i, p)| (Key::Line(self.stroke(i), None), p.label.to_string())).collect();
        if with_residuals {
            entries.push((Key::Marker(Marker::Ring, GREY), self.reference_label.into()));
        }
        let outer = Area { left: 14.0, top: 12.0, right: 776.0, bottom: 590.0 };
        let margin = Panel::left_margin(canvas, &y);
        let low_margin = if with_residuals { Panel::left_margin(canvas, &below_y) } else { 0.0 };
        let left = outer.left + margin.max(low_margin);
        let rest = header(canvas, outer, left, self.title, &entries)?;
        let top = rest.top + if y.factor.is_some() { 18.0 } else { 6.0 };
        let floor = rest.bottom - BOTTOM;
        let low_height = 0.27 * (floor - top);
        let split = if with_residuals { floor - low_height - 26.0 } else { floor };
        let upper = Panel { area: Area { left, top, right: rest.right, bottom: split }, x: x.clone(), y };
        let lower = with_residuals.then(|| {
            let area = Area { left, top: floor - low_height, right: rest.right, bottom: floor };
            Panel { area, x, y: below_y }
        });

        upper.grid(canvas)?;
        for (i, p) in self.profiles.iter().enumerate() {
            upper.note_misplaced(canvas, p.label, self.nodes, p.numerical);
            upper.curve(canvas, self.nodes, p.numerical, self.stroke(i))?;
        }
        for (i, p) in self.profiles.iter().enumerate().filter(|(_, p)| !p.exact.is_empty()) {
            upper.note_misplaced(canvas, &format!("{} {}", p.label, self.reference_label), self.nodes, p.exact);
            let kept: Vec<usize> = rings(self.nodes, RINGS);
            let at: Vec<f64> = kept.iter().map(|k| self.nodes[*k]).collect();
            let exact: Vec<f64> = kept.iter().map(|k| p.exact[*k]).collect();
            upper.markers(canvas, &at, &exact, (Marker::Ring, 0.85 * MARKER_RADIUS, style::line_color(i)))?;
        }
        let Some(lower) = lower else { return upper.axes(canvas, false) };
        // One set of tick texts for both panels, below the lower one.
        let mut silent = upper.clone();
        silent.x.label.clear();
        silent.x.factor = None;
        silent.x.ticks.iter_mut().for_each(|t| t.text = Some(String::new()));
        silent.axes(canvas, false)?;
        lower.grid(canvas)?;
        lower.curve(canvas, &[ends.0, ends.1], &[0.0, 0.0], Stroke::solid(GREY, THIN_WIDTH))?;
        for (i, residual) in residuals.iter().enumerate() {
            if let Some(residual) = residual {
                lower.curve(canvas, self.nodes, residual, Stroke::solid(style::line_color(i), 0.8 * LINE_WIDTH))?;
            }
        }
        lower.axes(canvas, false)
    }
}

/// Indices of nodes nearest to about `count` equally spaced positions.
fn rings(nodes: &[f64], count: usize) -> Vec<usize> {
    let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
    let mut kept: Vec<usize> = (0..count)
        .map(|k| {
            let target = first + (last - first) * (k as f64 + 0.5) / count as f64;
            let right = nodes.partition_point(|n| *n < target).clamp(1, nodes.len() - 1);
            if target - nodes[right - 1] < nodes[right] - target { right - 1 } else { right }
        })
        .collect();
    kept.dedup();
    kept
}
