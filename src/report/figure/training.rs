//! Estimates over the iterations of a training, one panel each, with bands of two standard errors.

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Stroke};
use super::legend::{Key, header};
use super::panel::{BOTTOM, Panel};
use super::style::{self, LINE_WIDTH, THIN_WIDTH};
use super::surface::Surface;
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// A quantity over the iterations.
#[derive(Debug, Clone, Copy)]
pub struct TrainingCurve<'a> {
    /// Label of its axis.
    pub label: &'a str,
    /// Estimates.
    pub mean: &'a [f64],
    /// Their standard errors.
    pub error: &'a [f64],
    /// A level to compare with, and what it is.
    pub level: Option<(f64, &'a str)>,
}

/// Quantities over the iterations, from top to bottom.
#[derive(Debug, Clone, Copy)]
pub struct TrainingCurves<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the common horizontal axis.
    pub x_label: &'a str,
    /// Iterations, increasing.
    pub x: &'a [f64],
    /// The panels.
    pub curves: &'a [TrainingCurve<'a>],
}

impl Figure for TrainingCurves<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 110 + 220 * self.curves.len().max(1) as u32)
    }

    fn charts(&self) -> Vec<Chart> {
        let edge = |c: &TrainingCurve<'_>, sign: f64| -> Vec<f64> {
            c.mean.iter().zip(c.error).map(|(m, e)| m + sign * 2.0 * e).collect()
        };
        let panel = |c: &TrainingCurve<'_>| {
            let chart = Chart::new(&format!("{}: {}", self.title, c.label), self.x_label, c.label);
            let chart = chart.with_band("± 2 standard errors", self.x, &edge(c, -1.0), &edge(c, 1.0));
            let chart = chart.with(Mark::Line, "estimate", self.x, c.mean);
            match (c.level, self.x.first().zip(self.x.last())) {
                (Some((level, label)), Some((&first, &last))) => chart.with(Mark::Dashed, label, &[first, last], &[level, level]),
                _ => chart,
            }
        };
        self.curves.iter().map(panel).collect()
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        ReportError::check_increasing("training iterations", self.x)?;
        for c in self.curves {
            ReportError::check_len("training means", c.mean.len(), self.x.len())?;
            ReportError::check_len("training errors", c.error.len(), self.x.len())?;
        }
        let drawn = |c: &TrainingCurve<'_>| c.mean.iter().any(|v| v.is_finite());
        let Some((first, last)) = extent(self.x.iter().copied()).filter(|_| self.curves.iter().any(drawn)) else {
            return Err(ReportError::empty(format!("training {:?}", self.title), "no finite estimate"));
        };
        let band = |c: &TrainingCurve<'_>, sign: f64| -> Vec<f64> {
            c.mean.iter().zip(c.error).map(|(m, e)| m + sign * 2.0 * e).collect()
        };
        let axes: Vec<Axis> = (self.curves.iter())
            .map(|c| {
                let values = band(c, -1.0).into_iter().chain(band(c, 1.0)).chain(c.mean.iter().copied());
                let level = c.level.iter().map(|l| l.0);
                Axis::linear(c.label, values.chain(level).filter(|v| v.is_finite()), 0.06, 4)
            })
            .collect();
        let mut entries =
            vec![(Key::Line(Stroke::solid(style::line_color(0), LINE_WIDTH), None), "estimate ± 2 standard errors".into())];
        let dashed = Stroke::solid(style::GREY, THIN_WIDTH + 0.4).dashed(style::line_dash(1));
        entries.extend(self.curves.iter().filter_map(|c| c.level).map(|l| (Key::Line(dashed, None), l.1.to_string())));
        let outer = Area { left: 14.0, top: 12.0, right: 776.0, bottom: self.size().1 as f64 - 10.0 };
        let left = outer.left + axes.iter().map(|y| Panel::left_margin(canvas, y)).fold(0.0, f64::max);
        let rest = header(canvas, outer, left, self.title, &entries)?;
        let (top, floor, gap) = (rest.top + 8.0, rest.bottom - BOTTOM, 24.0);
        let count = self.curves.len() as f64;
        let height = (floor - top - gap * (count - 1.0)) / count;
        for (i, (c, y)) in self.curves.iter().zip(axes).enumerate() {
            let upper = top + i as f64 * (height + gap);
            let area = Area { left, top: upper, right: rest.right, bottom: upper + height };
            let mut panel = Panel { area, x: Axis::linear(self.x_label, [first, last].into_iter(), 0.02, 7), y };
            panel.grid(canvas)?;
            let thin = Stroke::solid(style::line_color(0), 0.8).alpha(0.45);
            for sign in [-1.0, 1.0] {
                panel.curve(canvas, self.x, &band(c, sign), thin)?;
            }
            if let Some((level, _)) = c.level {
                panel.curve(canvas, &[first, last], &[level, level], dashed)?;
            }
            panel.curve(canvas, self.x, c.mean, Stroke::solid(style::line_color(0), LINE_WIDTH))?;
            panel.note_misplaced(canvas, c.label, self.x, c.mean);
            if i + 1 < self.curves.len() {
                panel.x.label.clear();
                panel.x.factor = None;
                panel.x.ticks.iter_mut().for_each(|t| t.text = Some(String::new()));
            }
            panel.axes(canvas, false)?;
        }
        Ok(())
    }
}
