//! Measured quantities (markers and lines) against their bounds (dashed, in the same colour) on a logarithmic axis.

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Marker, Stroke};
use super::legend::{Key, header};
use super::panel::Panel;
use super::style::{self, GREY, LINE_WIDTH, MARKER_RADIUS, THIN_WIDTH};
use super::surface::Surface;
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// One quantity.
#[derive(Debug, Clone, Copy)]
pub struct BoundSeries<'a> {
    /// Legend text.
    pub label: &'a str,
    /// Places.
    pub x: &'a [f64],
    /// What was measured.
    pub observed: &'a [f64],
    /// Its bound, or empty.
    pub bound: &'a [f64],
}

/// Quantities against their bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the horizontal axis.
    pub x_label: &'a str,
    /// Label of the vertical axis.
    pub y_label: &'a str,
    /// Whether x counts something: ticks at whole numbers only.
    pub whole: bool,
    /// The quantities.
    pub series: &'a [BoundSeries<'a>],
}

const DASH: Option<(f64, f64)> = Some((7.0, 4.0));

/// Above this many points markers run into each other.
const MOST_MARKERS: usize = 80;

impl Figure for Bounds<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 500)
    }

    fn charts(&self) -> Vec<Chart> {
        let mut chart = Chart::new(self.title, self.x_label, self.y_label).logarithmic(false, true);
        for s in self.series {
            chart = chart.with(if self.whole { Mark::Joined } else { Mark::Line }, s.label, s.x, s.observed);
            chart = chart.with(Mark::Dashed, &format!("{}: bound", s.label), s.x, s.bound);
        }
        vec![chart]
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        for s in self.series {
            ReportError::check_len(&format!("{}: observed", s.label), s.observed.len(), s.x.len())?;
            if !s.bound.is_empty() {
                ReportError::check_len(&format!("{}: bound", s.label), s.bound.len(), s.x.len())?;
            }
        }
        let values = || self.series.iter().flat_map(|s| s.observed.iter().chain(s.bound).copied());
        let (Some(y), Some((from, to))) = (
            Axis::log10(self.y_label, values()).filter(|_| values().any(|v| v > 0.0 && v.is_finite())),
            extent(self.series.iter().flat_map(|s| s.x.iter().copied()).filter(|x| x.is_finite())),
        ) else {
            return Err(ReportError::empty(format!("bounds {:?}", self.title), "no positive finite value"));
        };
        let ticks = if self.whole { (to - from).clamp(1.0, 7.0) as usize } else { 5 };
        let x = Axis::linear(self.x_label, [from, to].into_iter(), 0.02, ticks);
        let marker = |i: usize, s: &BoundSeries| (s.x.len() <= MOST_MARKERS).then(|| Marker::of(i));
        let mut entries = Vec::new();
        for (i, s) in self.series.iter().enumerate() {
            entries.push((Key::Line(Stroke::solid(style::line_color(i), LINE_WIDTH), marker(i, s)), s.label.to_string()));
        }
        if self.series.iter().any(|s| !s.bound.is_empty()) {
            entries
                .push((Key::Line(Stroke::solid(GREY, THIN_WIDTH + 0.3).dashed(DASH), None), "bound, in the same colour".into()));
        }
        let outer = Area { left: 14.0, top: 12.0, right: 780.0, bottom: 490.0 };
        let indent = outer.left + Panel::left_margin(canvas, &y);
        let below = header(canvas, outer, indent, self.title, &entries)?;
        let panel = Panel::fit(canvas, below, x, y);
        panel.grid(canvas)?;
        for (i, s) in self.series.iter().enumerate() {
            let color = style::line_color(i);
            panel.note_misplaced(canvas, s.label, s.x, s.observed);
            if !s.bound.is_empty() {
                panel.note_misplaced(canvas, &format!("{} bound", s.label), s.x, s.bound);
                panel.curve(canvas, s.x, s.bound, Stroke::solid(color, THIN_WIDTH + 0.3).dashed(DASH))?;
            }
            panel.curve(canvas, s.x, s.observed, Stroke::solid(color, LINE_WIDTH))?;
            if let Some(marker) = marker(i, s) {
                panel.markers(canvas, s.x, s.observed, (marker, 0.7 * MARKER_RADIUS, color))?;
            }
        }
        panel.axes(canvas, false)
    }
}
