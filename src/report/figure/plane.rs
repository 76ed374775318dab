//! A value and a control over two coordinates: maps side by side, the control's direction as arrows.

use super::Figure;
use super::canvas::{Canvas, Stroke};
use super::heat_map::{HeatMap, blend, locate};
use super::marks::{MarkedMaps, Marks};
use super::panel::Panel;
use super::style::{INK, PAPER};
use super::surface::Surface;
use crate::report::ReportError;

/// Arrows along each axis of the map.
const ARROWS: usize = 15;

/// A vector shorter than this fraction of the longest is not drawn: its direction would be noise.
const SHORTEST: f64 = 0.03;

/// A vector field over the nodes of a map.
#[derive(Debug, Clone, Copy)]
pub struct Arrows<'a> {
    /// Horizontal component, laid out as the map's values.
    pub horizontal: &'a [f64],
    /// Vertical component.
    pub vertical: &'a [f64],
}

/// V and, where there is a control, a map of it.
#[derive(Debug, Clone, Copy)]
pub struct PlaneMaps<'a> {
    /// The value function.
    pub value: HeatMap<'a>,
    /// A component of the control, or its length.
    pub control: Option<HeatMap<'a>>,
    /// The control itself, drawn over its map: arrows of the same scale on both axes' units, as long as the control is large.
    pub arrows: Option<Arrows<'a>>,
}

impl Figure for PlaneMaps<'_> {
    fn size(&self) -> (u32, u32) {
        (if self.control.is_some() { 1240 } else { 640 }, 540)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let marks = Marks::default();
        MarkedMaps { maps: *self, marks, control_marks: marks, over_time: false }.draw(canvas)
    }
}

impl Arrows<'_> {
    pub(super) fn draw<S: Surface>(
        &self,
        canvas: &mut Canvas<S>,
        panel: &Panel,
        map: &HeatMap<'_>,
        marks: &Marks<'_>,
    ) -> Result<(), ReportError> {
        for (name, field) in [("arrows, horizontal", self.horizontal), ("arrows, vertical", self.vertical)] {
            ReportError::check_len(name, field.len(), map.values.len())?;
        }
        let (columns, rows) = (spread(map.times), spread(map.nodes));
        let n = map.nodes.len();
        let value = |field: &[f64], x: f64, y: f64| {
            let ((i, u), (j, v)) = (locate(map.times, x), locate(map.nodes, y));
            let at = |i: usize| blend(field[i * n + j], field[i * n + j + 1], v);
            blend(at(i), at(i + 1), u)
        };
        let at = |x: f64, y: f64| (value(self.horizontal, x, y), value(self.vertical, x, y));
        let places = || {
            let all = columns.iter().flat_map(|&x| rows.iter().map(move |&y| (x, y)));
            all.filter(|&(x, y)| !marks.ended_at(map, x, y))
        };
        // points per unit of each axis
        let span = |axis: &[f64]| axis[axis.len() - 1] - axis[0];
        let unit = (panel.area.width() / span(map.times), panel.area.height() / span(map.nodes));
        let length = |(a, b): (f64, f64)| (a * unit.0).hypot(b * unit.1);
        let longest = places().map(|(x, y)| length(at(x, y))).filter(|l| l.is_finite()).fold(0.0, f64::max);
        if longest <= 0.0 {
            return Ok(());
        }
        let room = 0.92 * (panel.area.width().min(panel.area.height()) / ARROWS as f64);
        for (x, y) in places() {
            let (a, b) = at(x, y);
            let (dx, dy) = (room * a * unit.0 / longest, -room * b * unit.1 / longest);
            let reach = dx.hypot(dy);
            if let Some((x, y)) = panel.place(x, y)
                && reach >= SHORTEST * room
            {
                let (tail, tip) = ((x - 0.5 * dx, y - 0.5 * dy), (x + 0.5 * dx, y + 0.5 * dy));
                arrow(canvas, tail, tip, Stroke::solid(PAPER, 2.6).alpha(0.55))?;
                arrow(canvas, tail, tip, Stroke::solid(INK, 1.2))?;
            }
        }
        Ok(())
    }
}

fn arrow<S: Surface>(canvas: &mut Canvas<S>, tail: (f64, f64), tip: (f64, f64), stroke: Stroke) -> Result<(), ReportError> {
    let (dx, dy) = (tip.0 - tail.0, tip.1 - tail.1);
    let head = (0.35 * dx.hypot(dy)).min(6.0) / dx.hypot(dy);
    let side = |sign: f64| (tip.0 - head * (dx + sign * 0.55 * dy), tip.1 - head * (dy - sign * 0.55 * dx));
    canvas.line(&[tail, tip], stroke)?;
    canvas.line(&[side(1.0), tip, side(-1.0)], stroke)
}

/// The middles of [`ARROWS`] equal parts of an axis.
fn spread(nodes: &[f64]) -> [f64; ARROWS] {
    let (first, last) = (nodes[0], nodes[nodes.len() - 1]);
    std::array::from_fn(|k| first + (last - first) * (k as f64 + 0.5) / ARROWS as f64)
}

#[cfg(test)]
mod tests {
    use super::super::style::Colours;
    use super::super::to_svg;
    use super::*;

    #[test]
    fn arrows_are_drawn_where_there_is_a_direction_and_shapes_are_checked() {
        let nodes: Vec<f64> = (0..31).map(|i| -1.0 + i as f64 / 15.0).collect();
        let field = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            nodes.iter().flat_map(|&x| nodes.iter().map(move |&y| (x, y))).map(|(x, y)| f(x, y)).collect()
        };
        let (u, v, size) = (field(&|x, _| -x), field(&|_, y| -y), field(&f64::hypot));
        let map = |values| HeatMap {
            title: "map",
            times: &nodes,
            nodes: &nodes,
            values,
            time_label: "x0",
            state_label: "x1",
            value_label: "V",
            colours: Colours::Sequential,
            contours: true,
        };
        let with = |horizontal| PlaneMaps {
            value: map(&size),
            control: Some(map(&size)),
            arrows: Some(Arrows { horizontal, vertical: &v }),
        };
        let zero = vec![0.0; u.len()];
        let full = to_svg(&with(&u)).unwrap().0;
        let still = PlaneMaps { arrows: Some(Arrows { horizontal: &zero, vertical: &zero }), ..with(&u) };
        let bare = to_svg(&still).unwrap().0;
        let strokes = |s: &str| s.matches("<poly").count() + s.matches("<line").count();
        // 15 x 15 arrows less those near the origin, two lines each, drawn twice
        let drawn = strokes(&full) - strokes(&bare);
        assert!((4 * 200..=4 * 225).contains(&drawn), "{drawn}");
        assert!(matches!(to_svg(&with(&u[1..])), Err(ReportError::Shape { .. })));
        let alone = PlaneMaps { control: None, arrows: None, ..with(&u) };
        assert_eq!(alone.size(), (640, 540));
        to_svg(&alone).unwrap();
    }
}
