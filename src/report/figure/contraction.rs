//! Contraction of the fixed-point iterations per time step: observed factor against its bound, on a logarithmic axis.

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Marker, Stroke};
use super::legend::{Key, header};
use super::panel::Panel;
use super::style::{self, GREY, LINE_WIDTH, MARKER_RADIUS, THIN_WIDTH};
use super::surface::Surface;
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// One run.
#[derive(Debug, Clone, Copy)]
pub struct ContractionSeries<'a> {
    /// Legend text, e.g. `N = 64`.
    pub label: &'a str,
    /// Times t_k of the steps.
    pub times: &'a [f64],
    /// Observed factor of each step.
    pub observed: &'a [f64],
    /// Bound rho_k of each step, or empty.
    pub bound: &'a [f64],
}

/// Observed contraction against its bound over generation time.
#[derive(Debug, Clone, Copy)]
pub struct Contraction<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the time axis with its unit.
    pub time_label: &'a str,
    /// Label of the vertical axis.
    pub y_label: &'a str,
    /// The runs, usually one per number of steps.
    pub series: &'a [ContractionSeries<'a>],
}

const BOUND_DASH: Option<(f64, f64)> = Some((7.0, 4.0));

impl Figure for Contraction<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 500)
    }

    fn charts(&self) -> Vec<Chart> {
        let mut chart = Chart::new(self.title, self.time_label, self.y_label).logarithmic(false, true);
        for s in self.series {
            chart = chart.with(Mark::Line, s.label, s.times, s.observed);
            chart = chart.with(Mark::Dashed, &format!("{}: bound ρ", s.label), s.times, s.bound);
        }
        vec![chart]
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        for s in self.series {
            ReportError::check_len(&format!("{}: observed", s.label), s.observed.len(), s.times.len())?;
            if !s.bound.is_empty() {
                ReportError::check_len(&format!("{}: bound", s.label), s.bound.len(), s.times.len())?;
            }
        }
        let factors = self.series.iter().flat_map(|s| s.observed.iter().chain(s.bound).copied());
        let largest = extent(factors.clone().filter(|v| v.is_finite())).map_or(0.0, |r| r.1);
        // The limit of contraction is shown when the factors come near it.
        let one = (largest > 0.3).then_some(1.0);
        let (Some(y), Some((from, to))) = (
            Axis::log10(self.y_label, factors.clone().chain(one)).filter(|_| factors.clone().any(|v| v > 0.0 && v.is_finite())),
            extent(self.series.iter().flat_map(|s| s.times.iter().copied()).filter(|t| t.is_finite())),
        ) else {
            return Err(ReportError::empty(format!("contraction {:?}", self.title), "no positive finite factor"));
        };
        let x = Axis::linear(self.time_label, [from, to].into_iter(), 0.02, 5);
        let mut entries = Vec::new();
        for (i, s) in self.series.iter().enumerate() {
            let marker = (s.times.len() <= 80).then(|| Marker::of(i));
            entries.push((Key::Line(Stroke::solid(style::line_color(i), LINE_WIDTH), marker), s.label.to_string()));
        }
        if self.series.iter().any(|s| !s.bound.is_empty()) {
            let stroke = Stroke::solid(GREY, THIN_WIDTH + 0.3).dashed(BOUND_DASH);
            entries.push((Key::Line(stroke, None), "bound, in the colour of its N".into()));
        }
        let outer = Area { left: 14.0, top: 12.0, right: 780.0, bottom: 490.0 };
        let indent = outer.left + Panel::left_margin(canvas, &y);
        let below = header(canvas, outer, indent, self.title, &entries)?;
        let panel = Panel::fit(canvas, below, x, y);
        panel.grid(canvas)?;
        if one.is_some() {
            let ends = [panel.x.lower, panel.x.upper];
            panel.curve(canvas, &ends, &[1.0, 1.0], Stroke::solid(GREY, THIN_WIDTH))?;
        }
        for (i, s) in self.series.iter().enumerate() {
            let color = style::line_color(i);
            panel.note_misplaced(canvas, &format!("{} observed", s.label), s.times, s.observed);
            if !s.bound.is_empty() {
                panel.note_misplaced(canvas, &format!("{} bound", s.label), s.times, s.bound);
                let stroke = Stroke::solid(color, THIN_WIDTH + 0.3).dashed(BOUND_DASH);
                panel.curve(canvas, s.times, s.bound, stroke)?;
            }
            panel.curve(canvas, s.times, s.observed, Stroke::solid(color, LINE_WIDTH))?;
            if s.times.len() <= 80 {
                panel.markers(canvas, s.times, s.observed, (Marker::of(i), 0.7 * MARKER_RADIUS, color))?;
            }
        }
        panel.axes(canvas, false)
    }
}
