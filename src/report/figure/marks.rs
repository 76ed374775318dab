//! What is marked on a map: where the process has ended, in grey, and a boundary, as a heavy line.

use super::canvas::{Area, Canvas, Stroke};
use super::contour::level_lines;
use super::heat_map::{HeatMap, blend, locate};
use super::legend::Key;
use super::panel::Panel;
use super::plane::Arrows;
use super::style::{ENDED, GREY, INK, PAPER, THIN_WIDTH};
use super::surface::Surface;
use super::{Figure, PlaneMaps};
use crate::report::ReportError;

/// Marks on a map; fields are laid out as the map's values, an empty one marks nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marks<'a> {
    /// The process has ended where this, linear between the nodes, is not positive. Values of the map that are not finite there
    /// are no gap.
    pub ended: &'a [f64],
    /// Legend text of the ended part.
    pub ended_label: &'a str,
    /// A heavy line runs where this is zero; none in cells with a value that is not finite.
    pub boundary: &'a [f64],
    /// Legend text of the line.
    pub boundary_label: &'a str,
}

/// V and, where there is a control, a map of it, over the same coordinates and with the same marks.
#[derive(Debug, Clone, Copy)]
pub struct MarkedMaps<'a> {
    /// The maps.
    pub maps: PlaneMaps<'a>,
    /// The marks on V.
    pub marks: Marks<'a>,
    /// The marks on the control.
    pub control_marks: Marks<'a>,
    /// Whether the horizontal axis is time: the picture is then lower.
    pub over_time: bool,
}

impl Figure for MarkedMaps<'_> {
    fn size(&self) -> (u32, u32) {
        match (self.over_time, self.maps.control.is_some()) {
            (true, true) => (1240, 460),
            (true, false) => (800, 500),
            // a legend does not make the maps lower
            (false, _) => {
                let (width, height) = self.maps.size();
                let entries = [self.marks, self.control_marks].iter().any(|marks| !marks.legend().is_empty());
                (width, if entries { height + 26 } else { height })
            }
        }
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let (width, height) = self.size();
        let bottom = f64::from(height) - 10.0;
        let end = if self.maps.control.is_some() { 610.0 } else { f64::from(width) - if self.over_time { 12.0 } else { 30.0 } };
        self.maps.value.draw_in(canvas, Area { left: 14.0, top: 12.0, right: end, bottom }, &self.marks)?;
        let Some(control) = &self.maps.control else { return Ok(()) };
        let panel = control.draw_in(canvas, Area { left: 634.0, top: 12.0, right: 1228.0, bottom }, &self.control_marks)?;
        self.maps.arrows.map_or(Ok(()), |arrows: Arrows<'_>| arrows.draw(canvas, &panel, control, &self.control_marks))
    }
}

impl<'a> Marks<'a> {
    /// The same marks for the control, which ends where `inactive` is not positive: in the target or by stopping.
    pub fn of_control(self, inactive: &'a [f64]) -> Self {
        let ended_label = match (self.ended.is_empty(), self.boundary.is_empty()) {
            (_, true) => self.ended_label,
            (true, false) => "stopped",
            (false, false) => "target, or stopped",
        };
        Marks { ended: inactive, ended_label, ..self }
    }
}

impl Marks<'_> {
    pub(super) fn check(&self, map: &HeatMap<'_>) -> Result<(), ReportError> {
        for (name, field) in [("marks, ended", self.ended), ("marks, boundary", self.boundary)] {
            if !field.is_empty() {
                ReportError::check_len(name, field.len(), map.values.len())?;
            }
        }
        Ok(())
    }

    /// Entries of the legend.
    pub(super) fn legend(&self) -> Vec<(Key, String)> {
        let mut entries = Vec::new();
        if self.ended.iter().any(|level| *level <= 0.0) {
            entries.push((Key::Box(ENDED, 1.0), self.ended_label.to_string()));
        }
        let signs = |positive: bool| self.boundary.iter().any(|f| f.is_finite() && (*f > 0.0) == positive);
        if signs(true) && signs(false) {
            entries.push((Key::Line(Stroke::solid(INK, BOUNDARY), None), self.boundary_label.to_string()));
        }
        entries
    }

    /// Whether the process has ended at this node of the map.
    pub(super) fn ended_at_node(&self, node: usize) -> bool {
        self.ended.get(node).is_some_and(|level| *level <= 0.0)
    }

    /// Whether the process has ended at this place.
    pub(super) fn ended_at(&self, map: &HeatMap<'_>, x: f64, y: f64) -> bool {
        !self.ended.is_empty() && {
            let ((i, u), (j, v)) = (locate(map.times, x), locate(map.nodes, y));
            let at = |i: usize| blend(self.ended[i * map.nodes.len() + j], self.ended[i * map.nodes.len() + j + 1], v);
            blend(at(i), at(i + 1), u) <= 0.0
        }
    }

    /// Cover what has ended, and draw its edge and the boundary.
    pub(super) fn draw<S: Surface>(&self, canvas: &mut Canvas<S>, panel: &Panel, map: &HeatMap<'_>) -> Result<(), ReportError> {
        if !self.ended.is_empty() {
            self.cover(canvas, panel, map)?;
            self.lines(canvas, panel, map, self.ended, &[Stroke::solid(GREY, THIN_WIDTH)])?;
        }
        if self.boundary.is_empty() {
            return Ok(());
        }
        self.lines(canvas, panel, map, self.boundary, &[Stroke::solid(PAPER, 2.2 * BOUNDARY), Stroke::solid(INK, BOUNDARY)])
    }

    fn lines<S: Surface>(
        &self,
        canvas: &mut Canvas<S>,
        panel: &Panel,
        map: &HeatMap<'_>,
        field: &[f64],
        strokes: &[Stroke],
    ) -> Result<(), ReportError> {
        let lines = level_lines(map.times, map.nodes, field, 0.0);
        for stroke in strokes {
            for line in &lines {
                let (x, y): (Vec<f64>, Vec<f64>) = line.iter().copied().unzip();
                panel.curve(canvas, &x, &y, *stroke)?;
            }
        }
        Ok(())
    }

    /// Runs of ended cells, row by row.
    fn cover<S: Surface>(&self, canvas: &mut Canvas<S>, panel: &Panel, map: &HeatMap<'_>) -> Result<(), ReportError> {
        let area = panel.area;
        let (cell_width, cell_height) = canvas.cell();
        let columns = (area.width() / cell_width).ceil().max(1.0) as usize;
        let rows = (area.height() / cell_height).ceil().max(1.0) as usize;
        let edge_x = |c: usize| (area.left + c as f64 * cell_width).min(area.right);
        let edge_y = |r: usize| (area.top + r as f64 * cell_height).min(area.bottom);
        for r in 0..rows {
            let y = panel.y.value(1.0 - (r as f64 + 0.5) / rows as f64);
            let ended = |c: usize| c < columns && self.ended_at(map, panel.x.value((c as f64 + 0.5) / columns as f64), y);
            let mut start = None;
            for c in 0..=columns {
                match (start, ended(c)) {
                    (None, true) => start = Some(c),
                    (Some(from), false) => {
                        // a little over the next row: no seams
                        let bottom = (edge_y(r + 1) + 0.25 * cell_height).min(area.bottom);
                        canvas.rectangle(Area { left: edge_x(from), right: edge_x(c), top: edge_y(r), bottom }, ENDED, 1.0)?;
                        start = None;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Width of the boundary, in points.
const BOUNDARY: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::super::style::Colours;
    use super::super::to_svg;
    use super::*;

    #[test]
    fn what_has_ended_is_grey_and_the_boundary_is_a_line() {
        let nodes: Vec<f64> = (0..31).map(|i| -1.0 + i as f64 / 15.0).collect();
        let field = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            nodes.iter().flat_map(|&x| nodes.iter().map(move |&y| (x, y))).map(|(x, y)| f(x, y)).collect()
        };
        let level = field(&|x, y| x.hypot(y) - 0.5);
        let line = field(&|x, _| x + 0.013);
        // deep inside there is no value
        let values = field(&|x, y| if x.hypot(y) < 0.3 { f64::NAN } else { x });
        let map = HeatMap {
            title: "map",
            times: &nodes,
            nodes: &nodes,
            values: &values,
            time_label: "x0",
            state_label: "x1",
            value_label: "V",
            colours: Colours::Sequential,
            contours: false,
        };
        let with = |ended, boundary| MarkedMaps {
            maps: PlaneMaps { value: map, control: None, arrows: None },
            marks: Marks { ended, ended_label: "target", boundary, boundary_label: "switch" },
            control_marks: Marks::default(),
            over_time: false,
        };
        let (bare, notes) = to_svg(&with(&[], &[])).unwrap();
        assert_eq!(notes.len(), 1, "a gap");
        let (full, notes) = to_svg(&with(&level, &line)).unwrap();
        assert!(notes.is_empty(), "no gap: the process has ended there: {notes:?}");
        for word in ["target", "switch"] {
            assert!(full.contains(word) && !bare.contains(word), "{word}");
        }
        let colour = format!("#{:02X}{:02X}{:02X}", ENDED.0, ENDED.1, ENDED.2);
        assert!(full.contains(&colour) && !bare.contains(&colour), "{colour}");
        assert!(matches!(to_svg(&with(&level[1..], &[])), Err(ReportError::Shape { .. })));
        // nothing ended, no line: no legend
        let positive = vec![1.0; level.len()];
        assert!(with(&positive, &positive).marks.legend().is_empty());
        let marks = with(&level, &[]).marks;
        assert!(marks.ended_at(&map, 0.0, 0.49) && !marks.ended_at(&map, 0.0, 0.51));
    }
}
