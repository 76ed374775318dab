//! A field over time and state as colours, with a colour bar and level lines.
//!
//! Colours come from the value at the centre of each drawn cell, interpolated bilinearly between the nodes (which need
//! not be equally spaced). The colour range ends at the 0.5 % and 99.5 % quantiles if the extremes lie far beyond them;
//! the colour bar then ends in arrows.

use super::Figure;
use super::axis::Axis;
use super::canvas::{Area, Canvas, Stroke, Text};
use super::contour::level_lines;
use super::legend::header;
use super::marks::{MarkedMaps, Marks};
use super::panel::Panel;
use super::plane::PlaneMaps;
use super::style::{Colours, INK, LABEL_SIZE, MISSING, TICK_SIZE, contrast};
use super::surface::{Align, Surface};
use crate::report::ReportError;

const BAR_WIDTH: f64 = 16.0;
const BAR_GAP: f64 = 14.0;
const ARROW: f64 = 10.0;
const TICK_GAP: f64 = 8.0;

/// One field over time and a scalar state, or over two coordinates of the state.
#[derive(Debug, Clone, Copy)]
pub struct HeatMap<'a> {
    /// Title.
    pub title: &'a str,
    /// Times (the first coordinate), increasing; at least 2.
    pub times: &'a [f64],
    /// States (the second coordinate), increasing; at least 2.
    pub nodes: &'a [f64],
    /// `values[k * nodes.len() + i]` at `(times[k], nodes[i])`.
    pub values: &'a [f64],
    /// Label of the horizontal axis with its unit.
    pub time_label: &'a str,
    /// Label of the vertical axis with its unit.
    pub state_label: &'a str,
    /// Label of the colour bar with its unit.
    pub value_label: &'a str,
    /// Colour map.
    pub colours: Colours,
    /// Whether level lines are drawn at the ticks of the colour bar.
    pub contours: bool,
}

/// The value and the control of one problem side by side.
#[derive(Debug, Clone, Copy)]
pub struct ValueAndControl<'a> {
    /// The value function.
    pub value: HeatMap<'a>,
    /// The control.
    pub control: HeatMap<'a>,
}

impl Figure for HeatMap<'_> {
    fn size(&self) -> (u32, u32) {
        (800, 500)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        self.draw_in(canvas, Area { left: 14.0, top: 12.0, right: 788.0, bottom: 490.0 }, &Marks::default()).map(|_| ())
    }
}

impl Figure for ValueAndControl<'_> {
    fn size(&self) -> (u32, u32) {
        (1240, 460)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let maps = PlaneMaps { value: self.value, control: Some(self.control), arrows: None };
        let marks = Marks::default();
        MarkedMaps { maps, marks, control_marks: marks, over_time: true }.draw(canvas)
    }
}

impl HeatMap<'_> {
    fn check(&self) -> Result<(), ReportError> {
        for (name, axis) in [("heat map times", self.times), ("heat map nodes", self.nodes)] {
            if axis.len() < 2 {
                return Err(ReportError::invalid(name, format!("{} entries", axis.len()), "at least 2"));
            }
            ReportError::check_increasing(name, axis)?;
        }
        ReportError::check_len("heat map values", self.values.len(), self.times.len() * self.nodes.len())
    }

    /// Draw into `outer`; the panel is returned for what is drawn on top.
    pub(super) fn draw_in<S: Surface>(
        &self,
        canvas: &mut Canvas<S>,
        outer: Area,
        marks: &Marks<'_>,
    ) -> Result<Panel, ReportError> {
        self.draw_on_scale(canvas, outer, marks, self.values)
    }

    /// The same in the colours that fit the values `scale`, so that two maps can share them.
    pub(super) fn draw_on_scale<S: Surface>(
        &self,
        canvas: &mut Canvas<S>,
        outer: Area,
        marks: &Marks<'_>,
        scale: &[f64],
    ) -> Result<Panel, ReportError> {
        self.check()?;
        marks.check(self)?;
        let range = ColourRange::of(scale, self.colours)
            .ok_or_else(|| ReportError::empty(format!("heat map {:?}", self.title), "no finite value"))?;
        let missing = self.values.iter().enumerate().filter(|(k, v)| !v.is_finite() && !marks.ended_at_node(*k)).count();
        if missing > 0 {
            canvas.note(format!("{}: {missing} of {} values are not finite (drawn grey)", self.title, self.values.len()));
        }
        if range.below || range.above {
            let (low, high) = (short(range.axis.lower), short(range.axis.upper));
            let (lowest, highest) = (short(range.lowest), short(range.highest));
            canvas.note(format!("{}: colours are cut to [{low}, {high}], the values reach [{lowest}, {highest}]", self.title));
        }
        let x = Axis::linear_range(self.time_label, self.times[0], self.times[self.times.len() - 1], 5);
        let y = Axis::linear_range(self.state_label, self.nodes[0], self.nodes[self.nodes.len() - 1], 6);
        let indent = outer.left + Panel::left_margin(canvas, &y);
        let below = header(canvas, outer, indent, self.title, &marks.legend())?;
        let bar = BAR_GAP + BAR_WIDTH + TICK_GAP + range.text_width(canvas) + LABEL_SIZE + 6.0;
        let panel = Panel::fit(canvas, Area { right: below.right - bar, ..below }, x, y);
        self.cells(canvas, &panel, &range)?;
        if self.contours && range.axis.upper > range.axis.lower {
            self.levels(canvas, &panel, &range)?;
        }
        marks.draw(canvas, &panel, self)?;
        panel.axes(canvas, true)?;
        range.bar(canvas, panel.area, self.value_label)?;
        Ok(panel)
    }

    /// Runs of equal colour, row by row. Each reaches one cell to the right and below, where the next one covers it: no seams.
    fn cells<S: Surface>(&self, canvas: &mut Canvas<S>, panel: &Panel, range: &ColourRange) -> Result<(), ReportError> {
        let area = panel.area;
        let (cell_width, cell_height) = canvas.cell();
        let columns = (area.width() / cell_width).ceil().max(1.0) as usize;
        let rows = (area.height() / cell_height).ceil().max(1.0) as usize;
        let levels = canvas.levels();
        let edge_x = |c: usize| (area.left + c as f64 * cell_width).min(area.right);
        let edge_y = |r: usize| (area.top + r as f64 * cell_height).min(area.bottom);
        let column_at: Vec<_> =
            (0..columns).map(|c| locate(self.times, panel.x.value((c as f64 + 0.5) / columns as f64))).collect();
        let n = self.nodes.len();
        for r in 0..rows {
            let (j, v) = locate(self.nodes, panel.y.value(1.0 - (r as f64 + 0.5) / rows as f64));
            let index = |c: usize| -> Option<usize> {
                let (i, u) = column_at[c];
                let at = |i: usize| blend(self.values[i * n + j], self.values[i * n + j + 1], v);
                let value = blend(at(i), at(i + 1), u);
                let position = range.axis.position(value);
                value.is_finite().then(|| ((position.clamp(0.0, 1.0) * levels as f64) as usize).min(levels - 1))
            };
            let mut start = 0;
            let mut current = index(0);
            for c in 1..=columns {
                let next = if c < columns { Some(index(c)) } else { None };
                if next == Some(current) {
                    continue;
                }
                let color = current.map_or(MISSING, |k| self.colours.at((k as f64 + 0.5) / levels as f64));
                let strip = Area { left: edge_x(start), right: edge_x(c + 1), top: edge_y(r), bottom: edge_y(r + 2) };
                canvas.rectangle(strip, color, 1.0)?;
                (start, current) = (c, next.flatten());
            }
        }
        Ok(())
    }

    fn levels<S: Surface>(&self, canvas: &mut Canvas<S>, panel: &Panel, range: &ColourRange) -> Result<(), ReportError> {
        // More than a few hundred nodes per axis do not show in a level line.
        let (columns, rows) = (thin(self.times.len()), thin(self.nodes.len()));
        let x: Vec<f64> = columns.iter().map(|i| self.times[*i]).collect();
        let y: Vec<f64> = rows.iter().map(|j| self.nodes[*j]).collect();
        let f: Vec<f64> = columns.iter().flat_map(|i| rows.iter().map(move |j| self.values[i * self.nodes.len() + j])).collect();
        for tick in &range.axis.ticks {
            let stroke = Stroke::solid(contrast(self.colours.at(range.axis.position(tick.at))), 0.9).alpha(0.45);
            for line in level_lines(&x, &y, &f, tick.at) {
                let (x, y): (Vec<f64>, Vec<f64>) = line.into_iter().unzip();
                panel.curve(canvas, &x, &y, stroke)?;
            }
        }
        Ok(())
    }
}

/// Four significant digits.
fn short(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    let size = f64::abs(rounded);
    if size == 0.0 || (1e-3..1e5).contains(&size) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// Every index if there are at most 300, else about that many including the last.
fn thin(count: usize) -> Vec<usize> {
    let stride = count.div_ceil(300).max(1);
    let mut kept: Vec<usize> = (0..count).step_by(stride).collect();
    if kept.last() != Some(&(count - 1)) {
        kept.push(count - 1);
    }
    kept
}

/// The cell of `nodes` that holds `value` and the position in it.
pub(super) fn locate(nodes: &[f64], value: f64) -> (usize, f64) {
    let i = nodes.partition_point(|n| *n <= value).clamp(1, nodes.len() - 1) - 1;
    (i, ((value - nodes[i]) / (nodes[i + 1] - nodes[i])).clamp(0.0, 1.0))
}

pub(super) fn blend(a: f64, b: f64, u: f64) -> f64 {
    if u == 0.0 { a } else { a + u * (b - a) }
}

/// The values the colours span, and whether there are values beyond.
struct ColourRange {
    axis: Axis,
    colours: Colours,
    lowest: f64,
    highest: f64,
    below: bool,
    above: bool,
}

impl ColourRange {
    fn of(values: &[f64], colours: Colours) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let quantile = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
        let (mut low, mut high) = (quantile(0.005), quantile(0.995));
        // Keep extremes that lie close to the quantiles: cutting them would only lose information.
        let reach = 0.25 * (high - low);
        if lowest >= low - reach || reach == 0.0 {
            low = lowest;
        }
        if highest <= high + reach || reach == 0.0 {
            high = highest;
        }
        if colours == Colours::Diverging {
            high = high.abs().max(low.abs());
            low = -high;
        }
        let axis =
            if high > low { Axis::linear_range("", low, high, 6) } else { Axis::linear("", [low, high].into_iter(), 0.0, 4) };
        Some(Self { lowest, highest, below: lowest < axis.lower, above: highest > axis.upper, axis, colours })
    }

    fn text_width<S: Surface>(&self, canvas: &Canvas<S>) -> f64 {
        self.axis.ticks.iter().filter_map(|t| t.text.as_deref()).map(|t| canvas.text_width(t, TICK_SIZE)).fold(0.0, f64::max)
    }

    fn bar<S: Surface>(&self, canvas: &mut Canvas<S>, map: Area, label: &str) -> Result<(), ReportError> {
        let left = map.right + BAR_GAP;
        let (top, bottom) = (map.top + if self.above { ARROW } else { 0.0 }, map.bottom - if self.below { ARROW } else { 0.0 });
        let area = Area { left, top, right: left + BAR_WIDTH, bottom };
        let levels = canvas.levels();
        let edge = |k: usize| area.top + area.height() * k as f64 / levels as f64;
        for k in 0..levels {
            let color = self.colours.at(1.0 - (k as f64 + 0.5) / levels as f64);
            canvas.rectangle(Area { top: edge(k), bottom: edge((k + 2).min(levels)), ..area }, color, 1.0)?;
        }
        let middle = 0.5 * (area.left + area.right);
        let mut outline = vec![(area.left, top)];
        if self.above {
            let arrow = [(area.left, top), (middle, map.top), (area.right, top)];
            canvas.polygon(&arrow, self.colours.at(1.0), 1.0)?;
            outline.push((middle, map.top));
        }
        outline.extend([(area.right, top), (area.right, bottom)]);
        if self.below {
            let arrow = [(area.left, bottom), (middle, map.bottom), (area.right, bottom)];
            canvas.polygon(&arrow, self.colours.at(0.0), 1.0)?;
            outline.push((middle, map.bottom));
        }
        outline.extend([(area.left, bottom), (area.left, top)]);
        canvas.line(&outline, Stroke::solid(INK, 0.8))?;
        for tick in &self.axis.ticks {
            let y = area.bottom - self.axis.position(tick.at) * area.height();
            canvas.line(&[(area.right, y), (area.right + 4.0, y)], Stroke::solid(INK, 1.0))?;
            if let Some(text) = &tick.text {
                canvas.text(text, (area.right + TICK_GAP, y + 0.36 * TICK_SIZE), Text::new(TICK_SIZE, Align::Start))?;
            }
        }
        if let Some(factor) = &self.axis.factor {
            canvas.text(factor, (area.left, map.top - 6.0), Text::new(TICK_SIZE, Align::Start))?;
        }
        let how = Text { upwards: true, ..Text::new(LABEL_SIZE, Align::Middle) };
        let x = area.right + TICK_GAP + self.text_width(canvas) + 4.0 + LABEL_SIZE;
        canvas.text(label, (x, 0.5 * (map.top + map.bottom)), how)
    }
}
