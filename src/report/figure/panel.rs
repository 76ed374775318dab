//! A pair of axes on the canvas: frame, grid, ticks, labels, and curves clipped to the frame.

use super::axis::{Axis, Scale};
use super::canvas::{Area, Canvas, Marker, Stroke, Text};
use super::style::{GRID, INK, LABEL_SIZE, TICK_SIZE};
use super::surface::{Align, Surface};
use crate::report::ReportError;

/// Height of the strip below a panel that holds tick and axis labels, in points.
pub const BOTTOM: f64 = 52.0;
const TICK_LENGTH: f64 = 5.0;

/// A pair of axes and the area they span.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The data area in points, without the labels.
    pub area: Area,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
}

impl Panel {
    /// Points needed to the left of the data area for the labels of the vertical axis.
    pub fn left_margin<S: Surface>(canvas: &Canvas<S>, y: &Axis) -> f64 {
        let widest = texts(y).map(|t| canvas.text_width(t, TICK_SIZE)).fold(0.0, f64::max);
        let label = if y.label.is_empty() { 0.0 } else { LABEL_SIZE + 10.0 };
        TICK_LENGTH + 6.0 + widest + label
    }

    /// A panel whose labels fit into `outer`.
    pub fn fit<S: Surface>(canvas: &Canvas<S>, outer: Area, x: Axis, y: Axis) -> Self {
        let left = outer.left + Self::left_margin(canvas, &y);
        let last = texts(&x).last().map_or(0.0, |t| 0.5 * canvas.text_width(t, TICK_SIZE));
        let top = outer.top + if y.factor.is_some() { TICK_SIZE + 4.0 } else { 0.5 * TICK_SIZE };
        let bottom = outer.bottom - BOTTOM;
        Self { area: Area { left, top, right: outer.right - last.max(4.0), bottom }, x, y }
    }

    /// Where a pair of values is on the canvas; `None` if it has no place on the axes (it may lie outside the area).
    pub fn place(&self, x: f64, y: f64) -> Option<(f64, f64)> {
        let (u, v) = (self.x.position(x), self.y.position(y));
        let at = (self.area.left + u * self.area.width(), self.area.bottom - v * self.area.height());
        // Far outside is clipped away; the bound keeps the arithmetic of clipping finite.
        (at.0.abs() < 1e9 && at.1.abs() < 1e9).then_some(at)
    }

    /// Whether a point of the canvas lies in the data area.
    pub fn holds(&self, at: (f64, f64)) -> bool {
        let slack = 0.01;
        at.0 >= self.area.left - slack
            && at.0 <= self.area.right + slack
            && at.1 >= self.area.top - slack
            && at.1 <= self.area.bottom + slack
    }

    /// Grid lines at the labelled ticks (fainter at the minor ones).
    pub fn grid<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        for tick in &self.x.ticks {
            let x = self.area.left + self.x.position(tick.at) * self.area.width();
            let alpha = if tick.text.is_some() { 1.0 } else { 0.5 };
            canvas.line(&[(x, self.area.top), (x, self.area.bottom)], Stroke::solid(GRID, 0.8).alpha(alpha))?;
        }
        for tick in &self.y.ticks {
            let y = self.area.bottom - self.y.position(tick.at) * self.area.height();
            let alpha = if tick.text.is_some() { 1.0 } else { 0.5 };
            canvas.line(&[(self.area.left, y), (self.area.right, y)], Stroke::solid(GRID, 0.8).alpha(alpha))?;
        }
        Ok(())
    }

    /// Axis lines, ticks, tick texts and labels. `box_all` draws all four sides (maps), else left and bottom only.
    pub fn axes<S: Surface>(&self, canvas: &mut Canvas<S>, box_all: bool) -> Result<(), ReportError> {
        self.horizontal_axis(canvas, true)?;
        self.vertical_axis(canvas)?;
        let Area { left, top, right, bottom } = self.area;
        let sides: &[(f64, f64)] = if box_all {
            &[(left, top), (left, bottom), (right, bottom), (right, top), (left, top)]
        } else {
            &[(left, top), (left, bottom), (right, bottom)]
        };
        canvas.line(sides, Stroke::solid(INK, 1.0))
    }

    /// Ticks of the horizontal axis; texts and label too if `texts` is set. Texts that would touch their neighbour are dropped.
    pub fn horizontal_axis<S: Surface>(&self, canvas: &mut Canvas<S>, texts: bool) -> Result<(), ReportError> {
        let Area { left, right, bottom, .. } = self.area;
        let mut taken = f64::NEG_INFINITY;
        for tick in &self.x.ticks {
            let x = left + self.x.position(tick.at) * self.area.width();
            let length = if tick.text.is_some() { TICK_LENGTH } else { 0.6 * TICK_LENGTH };
            canvas.line(&[(x, bottom), (x, bottom + length)], Stroke::solid(INK, 1.0))?;
            let Some(text) = tick.text.as_deref().filter(|_| texts) else { continue };
            let half = 0.5 * canvas.text_width(text, TICK_SIZE);
            if x - half > taken + 7.0 {
                canvas.text(text, (x, bottom + TICK_LENGTH + 3.0 + TICK_SIZE), Text::new(TICK_SIZE, Align::Middle))?;
                taken = x + half;
            }
        }
        if texts {
            let baseline = bottom + BOTTOM - 8.0;
            canvas.text(&self.x.label, (0.5 * (left + right), baseline), Text::new(LABEL_SIZE, Align::Middle))?;
            if let Some(factor) = &self.x.factor {
                canvas.text(factor, (right, baseline), Text::new(TICK_SIZE, Align::End))?;
            }
        }
        Ok(())
    }

    fn vertical_axis<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let Area { left, top, bottom, .. } = self.area;
        let mut taken = f64::INFINITY;
        for tick in &self.y.ticks {
            let y = bottom - self.y.position(tick.at) * self.area.height();
            let length = if tick.text.is_some() { TICK_LENGTH } else { 0.6 * TICK_LENGTH };
            canvas.line(&[(left - length, y), (left, y)], Stroke::solid(INK, 1.0))?;
            let Some(text) = tick.text.as_deref() else { continue };
            if y < taken - TICK_SIZE - 2.0 {
                let at = (left - TICK_LENGTH - 4.0, y + 0.36 * TICK_SIZE);
                canvas.text(text, at, Text::new(TICK_SIZE, Align::End))?;
                taken = y;
            }
        }
        if !self.y.label.is_empty() {
            let x = left - Self::left_margin(canvas, &self.y) + LABEL_SIZE;
            let how = Text { upwards: true, ..Text::new(LABEL_SIZE, Align::Middle) };
            canvas.text(&self.y.label, (x, 0.5 * (top + bottom)), how)?;
        }
        if let Some(factor) = &self.y.factor {
            canvas.text(factor, (left, top - 6.0), Text::new(TICK_SIZE, Align::Start))?;
        }
        Ok(())
    }

    /// The pieces of the curve through `(x[i], y[i])` that lie in the data area, in points; it breaks where a pair has no place.
    pub fn pieces(&self, x: &[f64], y: &[f64]) -> Vec<Vec<(f64, f64)>> {
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut previous = None;
        let mut piece: Vec<(f64, f64)> = Vec::new();
        for i in 0..x.len().min(y.len()) {
            let here = self.place(x[i], y[i]);
            if let (Some(a), Some(b)) = (previous, here)
                && let Some((from, to)) = clip(&self.area, a, b)
            {
                if piece.last().is_none_or(|last| *last != from) {
                    if piece.len() > 1 {
                        pieces.push(std::mem::take(&mut piece));
                    }
                    piece = vec![from];
                }
                piece.push(to);
            }
            previous = here;
        }
        if piece.len() > 1 {
            pieces.push(piece);
        }
        pieces
    }

    /// The curve through `(x[i], y[i])`, clipped to the data area.
    pub fn curve<S: Surface>(&self, canvas: &mut Canvas<S>, x: &[f64], y: &[f64], stroke: Stroke) -> Result<(), ReportError> {
        for piece in self.pieces(x, y) {
            canvas.line(&piece, stroke)?;
        }
        Ok(())
    }

    /// Markers at `(x[i], y[i])` inside the data area.
    pub fn markers<S: Surface>(
        &self,
        canvas: &mut Canvas<S>,
        x: &[f64],
        y: &[f64],
        (marker, radius, color): (Marker, f64, plotters::style::RGBColor),
    ) -> Result<(), ReportError> {
        for (x, y) in x.iter().zip(y) {
            if let Some(at) = self.place(*x, *y).filter(|at| self.holds(*at)) {
                canvas.marker(marker, at, radius, color)?;
            }
        }
        Ok(())
    }

    /// How many pairs have no place on the axes (non-finite, or not positive on a logarithmic axis).
    pub fn misplaced(&self, x: &[f64], y: &[f64]) -> usize {
        let fine = |scale: Scale, v: f64| v.is_finite() && (scale == Scale::Linear || v > 0.0);
        x.iter().zip(y).filter(|(x, y)| !fine(self.x.scale, **x) || !fine(self.y.scale, **y)).count()
    }

    /// Notes how many pairs of a series were left out, if any.
    pub fn note_misplaced<S: Surface>(&self, canvas: &mut Canvas<S>, name: &str, x: &[f64], y: &[f64]) {
        let count = self.misplaced(x, y);
        if count > 0 {
            let log = if self.y.scale == Scale::Log || self.x.scale == Scale::Log { " or not positive" } else { "" };
            canvas.note(format!("{name}: {count} of {} points left out (not finite{log})", x.len().min(y.len())));
        }
    }
}

fn texts(axis: &Axis) -> impl Iterator<Item = &str> {
    axis.ticks.iter().filter_map(|t| t.text.as_deref())
}

/// The part of the segment `a`-`b` inside `area` (Liang-Barsky).
fn clip(area: &Area, a: (f64, f64), b: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let (mut from, mut to) = (0.0f64, 1.0f64);
    for (p, q) in [(-dx, a.0 - area.left), (dx, area.right - a.0), (-dy, a.1 - area.top), (dy, area.bottom - a.1)] {
        if p == 0.0 {
            if q < 0.0 {
                return None;
            }
        } else if p < 0.0 {
            from = from.max(q / p);
        } else {
            to = to.min(q / p);
        }
    }
    let at = |u: f64| {
        if u == 0.0 {
            a
        } else if u == 1.0 {
            b
        } else {
            (a.0 + u * dx, a.1 + u * dy)
        }
    };
    (from <= to).then(|| (at(from), at(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit_panel() -> Panel {
        let area = Area { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };
        Panel { area, x: Axis::linear_range("x", 0.0, 1.0, 5), y: Axis::linear_range("y", 0.0, 1.0, 5) }
    }

    #[test]
    fn curves_break_at_gaps_and_stay_inside() {
        let panel = unit_panel();
        let x = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0];
        assert_eq!(panel.pieces(&x, &[0.5; 6]).len(), 1);
        assert_eq!(panel.pieces(&x, &[0.5, 0.5, f64::NAN, 0.5, 0.5, 0.5]).len(), 2);
        let wild = panel.pieces(&x, &[0.5, 3.0, 0.5, -2.0, 0.5, f64::INFINITY]);
        assert!(wild.iter().flatten().all(|p| panel.holds(*p)), "{wild:?}");
        // From (0, 50) towards (20, -200): leaves at the top edge, at a fifth of the way.
        assert_eq!(wild[0], vec![(0.0, 50.0), (4.0, 0.0)]);
        assert!(panel.pieces(&x, &[2.0; 6]).is_empty());
        assert_eq!(panel.misplaced(&x, &[f64::NAN, 1.0, f64::INFINITY, 0.0, 0.0, 0.0]), 2);
    }

    #[test]
    fn places_follow_the_axes() {
        let panel = unit_panel();
        assert_eq!(panel.place(0.25, 0.75), Some((25.0, 25.0)));
        assert_eq!(panel.place(f64::NAN, 0.0), None);
        assert_eq!(panel.place(0.0, 1e300), None);
    }
}
