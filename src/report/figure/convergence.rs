//! Error against the number of steps, both logarithmic: measured points, fitted lines with their orders, reference triangles.

use super::axis::Axis;
use super::canvas::{Area, Canvas, Marker, Stroke, Text};
use super::legend::{Key, header};
use super::panel::Panel;
use super::style::{self, GREY, INK, LINE_WIDTH, MARKER_RADIUS, THIN_WIDTH, TICK_SIZE};
use super::surface::{Align, Surface};
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// One measured quantity.
#[derive(Debug, Clone, Copy)]
pub struct ConvergenceSeries<'a> {
    /// Legend text; `: order 0.99` is appended when `order` is given.
    pub label: &'a str,
    /// Numbers of steps.
    pub steps: &'a [usize],
    /// Errors.
    pub errors: &'a [f64],
    /// Fitted order p of `error = C N^-p`; the dashed line has this slope.
    pub order: Option<f64>,
    /// The fit used the last so many points (0: all); C is their geometric mean of `error N^p`.
    pub fitted: usize,
}

/// Errors against the number of steps.
#[derive(Debug, Clone, Copy)]
pub struct Convergence<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the horizontal axis.
    pub x_label: &'a str,
    /// Label of the vertical axis with its norm and unit.
    pub y_label: &'a str,
    /// The quantities.
    pub series: &'a [ConvergenceSeries<'a>],
    /// Orders for which a reference triangle is drawn, e.g. `[1.0, 2.0]`.
    pub reference_orders: &'a [f64],
}

const FIT_DASH: Option<(f64, f64)> = Some((7.0, 5.0));

impl ConvergenceSeries<'_> {
    fn counts(&self) -> Vec<f64> {
        self.steps.iter().map(|n| *n as f64).collect()
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.steps
            .iter()
            .map(|n| *n as f64)
            .zip(self.errors.iter().copied())
            .filter(|(n, e)| *n > 0.0 && *e > 0.0 && e.is_finite())
    }

    /// The constant C of the fitted line.
    fn constant(&self, order: f64) -> Option<f64> {
        let points: Vec<_> = self.points().collect();
        let used = if self.fitted == 0 { points.len() } else { self.fitted.min(points.len()) };
        let last = &points[points.len() - used..];
        let mean = last.iter().map(|(n, e)| e.ln() + order * n.ln()).sum::<f64>() / used as f64;
        (used > 0 && mean.is_finite()).then(|| mean.exp())
    }

    fn legend(&self) -> String {
        match self.order.filter(|p| p.is_finite()) {
            Some(p) => format!("{}: order {}", self.label, super::axis::number(p, 2)),
            None => self.label.to_string(),
        }
    }
}

impl Figure for Convergence<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 560)
    }

    fn charts(&self) -> Vec<Chart> {
        let mut chart = Chart::new(self.title, self.x_label, self.y_label).logarithmic(true, true);
        for s in self.series {
            let steps: Vec<f64> = s.steps.iter().map(|n| *n as f64).collect();
            let label = s.order.map_or(s.label.into(), |p| format!("{}: order {p:.2}", s.label));
            chart = chart.with(Mark::Joined, &label, &steps, s.errors);
        }
        let first = self.series.iter().filter(|s| s.errors.first().is_some_and(|e| *e > 0.0)).min_by(|a, b| {
            let start = |s: &ConvergenceSeries<'_>| s.errors.first().copied().unwrap_or(f64::INFINITY);
            start(a).total_cmp(&start(b))
        });
        if let Some((&n, &m)) = first.and_then(|s| s.steps.first().zip(s.steps.last())).filter(|(n, m)| n < m) {
            let start = first.map_or(1.0, |s| 0.5 * s.errors[0]);
            for p in self.reference_orders {
                let end = start * (m as f64 / n as f64).powf(-p);
                chart = chart.with(Mark::Dashed, &format!("slope {p}"), &[n as f64, m as f64], &[start, end]);
            }
        }
        vec![chart]
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        for s in self.series {
            ReportError::check_len(&format!("{}: errors", s.label), s.errors.len(), s.steps.len())?;
        }
        let steps: Vec<usize> = self.series.iter().flat_map(|s| s.points().map(|p| p.0 as usize)).collect();
        let errors = self.series.iter().flat_map(|s| s.points().map(|p| p.1));
        let (Some(x), Some(y)) = (Axis::counts(self.x_label, &steps), Axis::log10(self.y_label, errors)) else {
            return Err(ReportError::empty(format!("convergence {:?}", self.title), "no positive finite error"));
        };
        let mut entries = Vec::new();
        for (i, s) in self.series.iter().enumerate() {
            entries.push((Key::Line(Stroke::solid(style::line_color(i), LINE_WIDTH), Some(Marker::of(i))), s.legend()));
        }
        if self.series.iter().any(|s| s.order.is_some()) {
            entries.push((Key::Line(fit_stroke(), None), "fitted".into()));
        }
        let outer = Area { left: 14.0, top: 12.0, right: 776.0, bottom: 550.0 };
        let indent = outer.left + Panel::left_margin(canvas, &y);
        let below = header(canvas, outer, indent, self.title, &entries)?;
        let panel = Panel::fit(canvas, below, x, y);
        panel.grid(canvas)?;
        let mut drawn: Vec<Drawn> = Vec::new();
        for (i, s) in self.series.iter().enumerate() {
            let counts = s.counts();
            panel.note_misplaced(canvas, s.label, &counts, s.errors);
            panel.curve(canvas, &counts, s.errors, Stroke::solid(style::line_color(i), LINE_WIDTH))?;
            let mut lines = panel.pieces(&counts, s.errors);
            if let Some((order, constant)) = s.order.and_then(|p| Some((p, s.constant(p)?))) {
                let (first, last) = s.points().fold((f64::INFINITY, 0.0f64), |r, (n, _)| (r.0.min(n), r.1.max(n)));
                let ends = [first / 1.35, last * 1.35];
                let fit = ends.map(|n| constant * n.powf(-order));
                panel.curve(canvas, &ends, &fit, fit_stroke())?;
                lines.extend(panel.pieces(&ends, &fit));
            }
            drawn.push(Drawn { order: s.order, points: lines.iter().flat_map(|l| sampled(l)).collect() });
        }
        for (i, s) in self.series.iter().enumerate() {
            panel.markers(canvas, &s.counts(), s.errors, (Marker::of(i), MARKER_RADIUS, style::line_color(i)))?;
        }
        for order in self.reference_orders.iter().filter(|p| p.is_finite() && **p > 0.0) {
            match place_triangle(&panel, *order, &drawn) {
                Some(triangle) => {
                    draw_triangle(canvas, &triangle, *order)?;
                    drawn.push(Drawn { order: None, points: triangle.outline() });
                }
                None => canvas.note(format!("no room for the reference triangle of order {order}")),
            }
        }
        panel.axes(canvas, false)
    }
}

fn fit_stroke() -> Stroke {
    Stroke::solid(INK, THIN_WIDTH).dashed(FIT_DASH)
}

/// What a triangle must not touch.
struct Drawn {
    order: Option<f64>,
    points: Vec<(f64, f64)>,
}

/// Points every few points of arc length along a line.
fn sampled(line: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for pair in line.windows(2) {
        let pieces = ((pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1) / 5.0).ceil().max(1.0) as usize;
        points.extend((0..=pieces).map(|k| {
            let u = k as f64 / pieces as f64;
            (pair[0].0 + u * (pair[1].0 - pair[0].0), pair[0].1 + u * (pair[1].1 - pair[0].1))
        }));
    }
    points
}

/// A right triangle: vertical leg on the left, horizontal leg at the bottom, the hypotenuse has the reference slope.
#[derive(Debug, Clone, Copy)]
struct Triangle {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// Width of the strip left of the vertical leg and height of that below the horizontal leg, for their texts.
const TEXT_STRIP: (f64, f64) = (16.0, 19.0);

impl Triangle {
    fn outline(&self) -> Vec<(f64, f64)> {
        let Triangle { left, right, top, bottom } = *self;
        let (edge, floor) = (left - TEXT_STRIP.0, bottom + TEXT_STRIP.1);
        sampled(&[(edge, top), (edge, floor), (right, floor), (right, bottom), (left, top), (edge, top)])
    }

    /// Distance from a point to the triangle with its text strips (0 inside).
    fn distance(&self, p: (f64, f64)) -> f64 {
        let (left, bottom) = (self.left - TEXT_STRIP.0, self.bottom + TEXT_STRIP.1);
        let outside = ((left - p.0).max(p.0 - self.right).max(0.0)).hypot((self.top - p.1).max(p.1 - bottom).max(0.0));
        // Above the hypotenuse is outside too.
        let (dx, dy) = (self.right - self.left, self.bottom - self.top);
        let above = ((p.0 - self.left) * dy - (p.1 - self.top) * dx) / dx.hypot(dy);
        outside.max(above)
    }
}

/// The free place nearest to the line whose order is nearest to `order`, at a fixed clearance from everything drawn.
fn place_triangle(panel: &Panel, order: f64, drawn: &[Drawn]) -> Option<Triangle> {
    const CLEARANCE: f64 = 13.0;
    let octave = panel.x.position(panel.x.lower * 2.0) * panel.area.width();
    let width = octave.min(0.25 * panel.area.width());
    let ratio = 2f64.powf(order * width / octave);
    let height = (panel.y.position(panel.y.lower * ratio)) * panel.area.height();
    let gap = |d: &Drawn| d.order.map_or(f64::INFINITY, |p| (p - order).abs());
    let host = drawn.iter().min_by(|a, b| gap(a).total_cmp(&gap(b)))?;
    let area = panel.area;
    let mut best: Option<(f64, Triangle)> = None;
    for i in 0..60 {
        for j in 0..60 {
            let left = area.left + TEXT_STRIP.0 + 8.0 + (area.width() - width - TEXT_STRIP.0 - 16.0) * i as f64 / 59.0;
            let top = area.top + 8.0 + (area.height() - height - TEXT_STRIP.1 - 16.0) * j as f64 / 59.0;
            let candidate = Triangle { left, right: left + width, top, bottom: top + height };
            if candidate.bottom + TEXT_STRIP.1 > area.bottom - 4.0 || top < area.top {
                continue;
            }
            let nearest = |d: &Drawn| d.points.iter().map(|p| candidate.distance(*p)).fold(f64::INFINITY, f64::min);
            if drawn.iter().all(|d| nearest(d) >= CLEARANCE) {
                // Beside the middle of its host rather than at an end.
                let middle = 0.5 * (area.left + area.right) - 0.5 * (candidate.left + candidate.right);
                let score = nearest(host) + 0.05 * middle.abs();
                if best.as_ref().is_none_or(|(known, _)| score < *known) {
                    best = Some((score, candidate));
                }
            }
        }
    }
    best.map(|(_, triangle)| triangle)
}

fn draw_triangle<S: Surface>(canvas: &mut Canvas<S>, triangle: &Triangle, order: f64) -> Result<(), ReportError> {
    let Triangle { left, right, top, bottom } = *triangle;
    let corners = [(left, top), (left, bottom), (right, bottom), (left, top)];
    canvas.polygon(&corners[..3], style::GRID, 0.6)?;
    canvas.line(&corners, Stroke::solid(GREY, THIN_WIDTH))?;
    let how = Text::new(TICK_SIZE, Align::Middle).color(GREY);
    canvas.text("1", (0.5 * (left + right), bottom + TICK_SIZE + 2.0), how)?;
    let text = super::axis::number(order, if order.fract() == 0.0 { 0 } else { 1 });
    canvas.text(&text, (left - 4.0, 0.5 * (top + bottom) + 0.36 * TICK_SIZE), Text { align: Align::End, ..how })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fitted_constant_is_that_of_an_exact_power() {
        let steps = [32, 64, 128, 256];
        let errors: Vec<f64> = steps.iter().map(|n| 3.0 / *n as f64).collect();
        let series = ConvergenceSeries { label: "V", steps: &steps, errors: &errors, order: Some(1.0), fitted: 0 };
        assert!((series.constant(1.0).unwrap() - 3.0).abs() < 1e-12);
        assert_eq!(series.legend(), "V: order 1.00");
        let mut spoiled = errors.clone();
        spoiled[0] = 9.0;
        spoiled[3] = f64::NAN;
        let series = ConvergenceSeries { errors: &spoiled, fitted: 2, ..series };
        assert!((series.constant(1.0).unwrap() - 3.0).abs() < 1e-12, "only the last two usable points count");
        assert!(ConvergenceSeries { errors: &[0.0; 4], ..series }.constant(1.0).is_none());
    }

    #[test]
    fn triangles_keep_clear_of_the_lines() {
        let area = Area { left: 80.0, top: 60.0, right: 760.0, bottom: 480.0 };
        let x = Axis::counts("N", &[32, 64, 128, 256, 512, 1024]).unwrap();
        let y = Axis::log10("e", [1e-6, 0.4].into_iter()).unwrap();
        let panel = Panel { area, x, y };
        let points = sampled(&panel.pieces(&[32.0, 1024.0], &[0.4, 0.0125])[0]);
        let drawn = [Drawn { order: Some(1.0), points }];
        let found = place_triangle(&panel, 1.0, &drawn).unwrap();
        assert!(drawn[0].points.iter().all(|p| found.distance(*p) >= 13.0));
        // Height over width in logarithms is the order.
        let n = |px: f64| panel.x.value((px - area.left) / area.width()).ln();
        let e = |py: f64| panel.y.value((area.bottom - py) / area.height()).ln();
        let slope = (e(found.top) - e(found.bottom)) / (n(found.right) - n(found.left));
        assert!((slope - 1.0).abs() < 1e-9, "{slope}");
        let full = [Drawn {
            order: Some(1.0),
            points: (0..68).flat_map(|i| (0..42).map(move |j| (80.0 + 10.0 * i as f64, 60.0 + 10.0 * j as f64))).collect(),
        }];
        assert!(place_triangle(&panel, 1.0, &full).is_none());
    }
}
