//! Several quantities against one parameter, a panel each: measured (line and markers), exact (black), bound (dashed).

use super::axis::{Axis, extent};
use super::canvas::{Area, Canvas, Marker, Stroke};
use super::legend::{Key, header};
use super::panel::{BOTTOM, Panel};
use super::style::{self, LINE_WIDTH, MARKER_RADIUS, THIN_WIDTH};
use super::surface::Surface;
use super::{Chart, Figure, Mark};
use crate::report::ReportError;

/// Places and values.
pub type Curve<'a> = (&'a [f64], &'a [f64]);

/// One panel. Every series has its own places; empty ones are left out.
#[derive(Debug, Clone, Copy)]
pub struct PanelCurves<'a> {
    /// Label of the vertical axis.
    pub y_label: &'a str,
    /// Whether the vertical axis is logarithmic; otherwise it is linear.
    pub log: bool,
    /// Measured along the range, drawn as a line.
    pub measured: Curve<'a>,
    /// Measured at the places asked for, drawn as markers.
    pub points: Curve<'a>,
    /// Exact values.
    pub exact: Curve<'a>,
    /// A bound.
    pub bound: Curve<'a>,
}

impl<'a> PanelCurves<'a> {
    fn all(&self) -> [(&'static str, Curve<'a>); 4] {
        [("measured", self.measured), ("points", self.points), ("exact", self.exact), ("bound", self.bound)]
    }
}

/// Panels in two columns over one horizontal axis.
#[derive(Debug, Clone, Copy)]
pub struct PanelGrid<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the horizontal axis; logarithmic where its range is wide.
    pub x_label: &'a str,
    /// Legend text of what is measured.
    pub measured: &'a str,
    /// The panels, row by row.
    pub panels: &'a [PanelCurves<'a>],
}

/// Range of x from which its axis is logarithmic.
const DECADES: f64 = 8.0;

const DASH: Option<(f64, f64)> = Some((7.0, 4.0));
const GAP: f64 = 26.0;

impl Figure for PanelGrid<'_> {
    fn size(&self) -> (u32, u32) {
        (1000, if self.panels.len() > 2 { 640 } else { 380 })
    }

    fn charts(&self) -> Vec<Chart> {
        let panel = |p: &PanelCurves<'_>| {
            let chart = Chart::new(&format!("{}: {}", self.title, p.y_label), self.x_label, p.y_label);
            let chart = chart.logarithmic(false, p.log).with(Mark::Line, self.measured, p.measured.0, p.measured.1);
            let chart = chart.with_points("weights asked for", p.points.0, p.points.1, &[]);
            chart.with(Mark::Line, "exact", p.exact.0, p.exact.1).with(Mark::Dashed, "bound", p.bound.0, p.bound.1)
        };
        self.panels.iter().map(panel).collect()
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        for p in self.panels {
            for (name, (x, y)) in p.all() {
                ReportError::check_len(&format!("{}: {name}", p.y_label), y.len(), x.len())?;
            }
        }
        let places = self.panels.iter().flat_map(|p| p.all()).flat_map(|(_, (x, _))| x.iter().copied());
        let Some((low, high)) = extent(places.filter(|x| *x > 0.0 && x.is_finite())) else {
            return Err(ReportError::empty(format!("panels {:?}", self.title), "no positive finite place"));
        };
        let linear = || Axis::linear(self.x_label, [low, high].into_iter(), 0.04, 6);
        let x = match high / low > DECADES {
            true => Axis::log10(self.x_label, [low / 1.1, high * 1.1].into_iter()).unwrap_or_else(linear),
            false => linear(),
        };
        let axis = |p: &PanelCurves<'_>| {
            let values: Vec<f64> = p.all().iter().flat_map(|(_, (_, y))| y.iter().copied()).filter(|v| v.is_finite()).collect();
            let linear = || Axis::linear(p.y_label, values.iter().copied(), 0.1, 5);
            if p.log { Axis::log10(p.y_label, values.iter().copied()).unwrap_or_else(linear) } else { linear() }
        };
        let axes: Vec<Axis> = self.panels.iter().map(axis).collect();

        let colour = style::line_color(0);
        let (line, thin) = (Stroke::solid(colour, LINE_WIDTH), Stroke::solid(style::GREY, THIN_WIDTH + 0.3).dashed(DASH));
        let ink = Stroke::solid(style::INK, THIN_WIDTH + 0.3);
        let any = |of: &dyn Fn(&PanelCurves<'_>) -> bool| self.panels.iter().any(of);
        let mut entries = vec![(Key::Line(line, Some(Marker::Disk)), self.measured.to_string())];
        if any(&|p| !p.exact.0.is_empty()) {
            entries.push((Key::Line(ink, None), "exact".into()));
        }
        if any(&|p| !p.bound.0.is_empty()) {
            entries.push((Key::Line(thin, None), "bound".into()));
        }

        let outer = Area { left: 14.0, top: 12.0, right: 984.0, bottom: self.size().1 as f64 - 8.0 };
        let margin =
            |column: usize| axes.iter().skip(column).step_by(2).map(|y| Panel::left_margin(canvas, y)).fold(0.0, f64::max);
        let margins = [margin(0), margin(1)];
        let rest = header(canvas, outer, outer.left + margins[0], self.title, &entries)?;
        let rows = self.panels.len().div_ceil(2);
        let width = 0.5 * (rest.width() - margins[0] - margins[1] - 2.0 * GAP);
        let height = (rest.height() - 10.0 - BOTTOM - GAP * (rows - 1) as f64) / rows as f64;
        for (i, (p, y)) in self.panels.iter().zip(axes).enumerate() {
            let (row, column) = (i / 2, i % 2);
            let left = rest.left + margins[0] + if column == 1 { width + GAP + margins[1] } else { 0.0 };
            let top = rest.top + 10.0 + row as f64 * (height + GAP);
            let mut panel = Panel { area: Area { left, top, right: left + width, bottom: top + height }, x: x.clone(), y };
            panel.grid(canvas)?;
            for (name, (x, y)) in p.all() {
                panel.note_misplaced(canvas, &format!("{}, {name}", p.y_label), x, y);
            }
            panel.curve(canvas, p.bound.0, p.bound.1, thin)?;
            panel.curve(canvas, p.measured.0, p.measured.1, line)?;
            panel.curve(canvas, p.exact.0, p.exact.1, ink)?;
            panel.markers(canvas, p.points.0, p.points.1, (Marker::Disk, MARKER_RADIUS, colour))?;
            if i + 2 < self.panels.len() {
                // the panel below has the tick texts of the column
                panel.x.label.clear();
                panel.x.factor = None;
                panel.x.ticks.iter_mut().for_each(|t| t.text = t.text.as_ref().map(|_| String::new()));
            }
            panel.axes(canvas, false)?;
        }
        Ok(())
    }
}
