//! Sample paths over time, between the initial density (left) and the final densities (right).

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Stroke, Text};
use super::legend::{Key, header};
use super::panel::{BOTTOM, Panel};
use super::style::{self, INK, LINE_WIDTH, TICK_SIZE};
use super::surface::{Align, Surface};
use super::{Chart, Figure, Mark};
use crate::report::ReportError;
use plotters::style::RGBColor;

/// A density drawn sideways along the state axis.
#[derive(Debug, Clone, Copy)]
pub struct SideDensity<'a> {
    /// Legend text.
    pub label: &'a str,
    /// States, increasing.
    pub nodes: &'a [f64],
    /// Density there.
    pub density: &'a [f64],
}

/// A band between two quantiles.
#[derive(Debug, Clone, Copy)]
pub struct Band<'a> {
    /// Legend text.
    pub label: &'a str,
    /// Lower edge at each time.
    pub lower: &'a [f64],
    /// Upper edge at each time.
    pub upper: &'a [f64],
}

/// Sample paths with the laws at both ends.
#[derive(Debug, Clone, Copy)]
pub struct Paths<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the time axis with its unit.
    pub time_label: &'a str,
    /// Label of the state axis with its unit.
    pub state_label: &'a str,
    /// Times, increasing; at least 2.
    pub times: &'a [f64],
    /// `paths[p * times.len() + k]` is path p at `times[k]`; NaN from some time on where it has ended. About 10 to 60 paths are
    /// legible.
    pub paths: &'a [f64],
    /// Quantile bands under the paths, the widest first.
    pub bands: &'a [Band<'a>],
    /// Median at each time, or empty.
    pub median: &'a [f64],
    /// Densities at the first time.
    pub initial: &'a [SideDensity<'a>],
    /// Densities at the last time.
    pub terminal: &'a [SideDensity<'a>],
}

const SIDE: f64 = 90.0;
const GAP: f64 = 6.0;

impl Figure for Paths<'_> {
    fn size(&self) -> (u32, u32) {
        (900, 480)
    }

    fn charts(&self) -> Vec<Chart> {
        let mut chart = Chart::new(self.title, self.time_label, self.state_label);
        for band in self.bands {
            chart = chart.with_band(band.label, self.times, band.lower, band.upper);
        }
        for path in self.paths.chunks(self.times.len().max(1)) {
            chart = chart.with(Mark::Thin, "paths", self.times, path);
        }
        vec![chart.with(Mark::Line, "median", self.times, self.median)]
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let count = self.check()?;
        let sides = || self.initial.iter().chain(self.terminal);
        // Of a density only the part that can be seen widens the state axis.
        let shown = sides().flat_map(|s| {
            let peak = peak(s);
            s.nodes.iter().zip(s.density).filter(move |(_, f)| **f > 5e-3 * peak).map(|(x, _)| *x)
        });
        let edges = self.bands.iter().flat_map(|b| b.lower.iter().chain(b.upper).copied());
        let states = self.paths.iter().copied().chain(edges).chain(shown).filter(|v| v.is_finite());
        if extent(states.clone()).is_none() {
            return Err(ReportError::empty(format!("paths {:?}", self.title), "no finite state"));
        }
        let y = Axis::linear(self.state_label, states, 0.03, 6);
        let x = Axis::linear_range(self.time_label, self.times[0], self.times[self.times.len() - 1], 5);
        let outer = Area { left: 14.0, top: 12.0, right: 886.0, bottom: 470.0 };
        let (before, after) = (side_width(self.initial), side_width(self.terminal));
        let indent = outer.left + Panel::left_margin(canvas, &y);
        let shade = |i: usize| Key::Box(band_color(), 1.0 - (1.0 - BAND_ALPHA).powi(i as i32 + 1));
        let bands = self.bands.iter().enumerate().map(|(i, b)| (shade(i), b.label.to_string()));
        let median = (!self.median.is_empty()).then(|| (Key::Line(median_stroke(), None), "median".to_string()));
        let ends = sides().enumerate().map(|(i, s)| (Key::Line(side_stroke(i), None), s.label.to_string()));
        let entries: Vec<_> = bands.chain(median).chain(ends).collect();
        let below = header(canvas, outer, indent, self.title, &entries)?;
        let whole = Panel::fit(canvas, below, x, y);
        let main = Panel {
            area: Area { left: whole.area.left + before, right: whole.area.right - after, ..whole.area },
            ..whole.clone()
        };
        main.grid(canvas)?;
        let n = self.times.len();
        for band in self.bands {
            let there = self.times.iter().zip(band.upper).filter_map(|(t, x)| main.place(*t, *x));
            let back = self.times.iter().zip(band.lower).rev().filter_map(|(t, x)| main.place(*t, *x));
            let outline: Vec<(f64, f64)> = there.chain(back).collect();
            canvas.polygon(&outline, band_color(), BAND_ALPHA)?;
        }
        for p in 0..count {
            let path = &self.paths[p * n..(p + 1) * n];
            let path = &path[..path.iter().rposition(|x| !x.is_nan()).map_or(0, |last| last + 1)];
            let times = &self.times[..path.len()];
            main.note_misplaced(canvas, &format!("path {p}"), times, path);
            // Shades of one colour: paths are alike, only to be followed by the eye.
            let color = style::line_color(if p % 2 == 0 { 0 } else { 5 });
            let alpha = if self.bands.is_empty() { 0.6 } else { 0.45 };
            main.curve(canvas, times, path, Stroke::solid(color, 1.1).alpha(alpha))?;
        }
        if !self.median.is_empty() {
            main.curve(canvas, self.times, self.median, median_stroke())?;
        }
        for (i, s) in self.initial.iter().enumerate() {
            sideways(canvas, &whole, (main.area.left - GAP, -1.0), s, peak_of(self.initial), i)?;
        }
        for (i, s) in self.terminal.iter().enumerate() {
            let color = self.initial.len() + i;
            sideways(canvas, &whole, (main.area.right + GAP, 1.0), s, peak_of(self.terminal), color)?;
        }
        main.horizontal_axis(canvas, true)?;
        let mut frame = whole.clone();
        frame.x.ticks.clear();
        frame.x.label.clear();
        frame.x.factor = None;
        frame.axes(canvas, false)?;
        let Area { left, top, right, bottom } = main.area;
        for edge in [left, right] {
            canvas.line(&[(edge, top), (edge, bottom)], Stroke::solid(INK, 0.8))?;
        }
        let how = Text::new(TICK_SIZE, Align::Middle);
        for (shown, x) in [(before > 0.0, left - 0.5 * SIDE), (after > 0.0, right + 0.5 * SIDE)] {
            if shown {
                canvas.text("density", (x, bottom + BOTTOM - 8.0), how)?;
            }
        }
        Ok(())
    }
}

impl Paths<'_> {
    fn check(&self) -> Result<usize, ReportError> {
        if self.times.len() < 2 {
            return Err(ReportError::invalid("path times", format!("{} entries", self.times.len()), "at least 2"));
        }
        ReportError::check_increasing("path times", self.times)?;
        for band in self.bands {
            ReportError::check_len(&format!("{}: lower edge", band.label), band.lower.len(), self.times.len())?;
            ReportError::check_len(&format!("{}: upper edge", band.label), band.upper.len(), self.times.len())?;
        }
        if !self.median.is_empty() {
            ReportError::check_len("median", self.median.len(), self.times.len())?;
        }
        let count = self.paths.len() / self.times.len();
        ReportError::check_len("paths", self.paths.len(), count * self.times.len())?;
        for s in self.initial.iter().chain(self.terminal) {
            ReportError::check_len(&format!("{}: density", s.label), s.density.len(), s.nodes.len())?;
        }
        Ok(count)
    }
}

/// Opacity of a band.
const BAND_ALPHA: f64 = 0.22;

fn band_color() -> RGBColor {
    style::line_color(4)
}

fn median_stroke() -> Stroke {
    Stroke::solid(INK, LINE_WIDTH)
}

fn peak(s: &SideDensity) -> f64 {
    s.density.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max)
}

fn peak_of(sides: &[SideDensity]) -> f64 {
    sides.iter().map(peak).fold(0.0, f64::max)
}

fn side_width(sides: &[SideDensity]) -> f64 {
    if peak_of(sides) > 0.0 { SIDE } else { 0.0 }
}

fn side_stroke(i: usize) -> Stroke {
    Stroke::solid(style::line_color(i + 1), LINE_WIDTH)
}

/// A density as a filled curve growing from `base` in the given direction; `peak` has the full width.
fn sideways<S: Surface>(
    canvas: &mut Canvas<S>,
    whole: &Panel,
    (base, direction): (f64, f64),
    side: &SideDensity,
    peak: f64,
    i: usize,
) -> Result<(), ReportError> {
    let mut curve = Vec::new();
    for (state, density) in side.nodes.iter().zip(side.density) {
        let inside = whole.place(whole.x.lower, *state).filter(|at| whole.holds(*at));
        if let (Some(at), true) = (inside, density.is_finite() && peak > 0.0) {
            curve.push((base + direction * (SIDE - 2.0 * GAP) * density.max(0.0) / peak, at.1));
        }
    }
    let (Some(first), Some(last)) = (curve.first().copied(), curve.last().copied()) else { return Ok(()) };
    let stroke = side_stroke(i);
    let mut closed = curve.clone();
    closed.extend([(base, last.1), (base, first.1)]);
    canvas.polygon(&closed, stroke.color, 0.12)?;
    canvas.line(&curve, stroke)
}
