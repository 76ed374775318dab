//! A page of errors: a row for each problem, against the number of steps on the left and against seconds on the right.

use super::Figure;
use super::axis::Axis;
use super::canvas::{Area, Canvas, Marker, Stroke, Text};
use super::legend::{Key, header};
use super::panel::{BOTTOM, Panel};
use super::style::{self, GREY, LABEL_SIZE, LINE_WIDTH};
use super::surface::{Align, Surface};
use crate::report::ReportError;

/// The errors of one method on one problem.
#[derive(Debug, Clone)]
pub struct ErrorSeries<'a> {
    /// Legend text; series of the same name share one entry.
    pub label: &'a str,
    /// Line pattern and marker.
    pub group: usize,
    /// Colour within the group.
    pub member: usize,
    /// Numbers of steps.
    pub steps: Vec<f64>,
    /// Seconds; empty where they do not compare.
    pub seconds: Vec<f64>,
    /// Errors.
    pub errors: Vec<f64>,
}

/// One problem.
#[derive(Debug, Clone)]
pub struct ErrorRow<'a> {
    /// Title of the row.
    pub title: &'a str,
    /// The methods.
    pub series: Vec<ErrorSeries<'a>>,
    /// The reference's own error, drawn as a line.
    pub floor: Option<f64>,
}

/// The page.
#[derive(Debug, Clone)]
pub struct ErrorPanels<'a> {
    /// Title.
    pub title: &'a str,
    /// Label of the vertical axes.
    pub y_label: &'a str,
    /// The problems, two to a line of the page when there are more than three.
    pub rows: &'a [ErrorRow<'a>],
}

const ROW: f64 = 268.0;
const GAP: f64 = 18.0;
const RADIUS: f64 = 3.2;
const ROW_TITLE: f64 = 24.0;

impl ErrorPanels<'_> {
    /// The legend: each label once, in the order of first appearance of its group.
    fn legend(&self) -> Vec<(Key, String)> {
        let mut all: Vec<(&ErrorSeries<'_>, &str)> = Vec::new();
        for s in self.rows.iter().flat_map(|r| &r.series) {
            if !all.iter().any(|(_, label)| *label == s.label) {
                all.push((s, s.label));
            }
        }
        all.sort_by_key(|(s, _)| (s.group, s.member));
        all.into_iter().map(|(s, label)| (Key::Line(stroke(s), Some(marker(s))), label.to_string())).collect()
    }

    fn columns(&self) -> usize {
        if self.rows.len() > 3 { 2 } else { 1 }
    }
}

fn stroke(s: &ErrorSeries<'_>) -> Stroke {
    Stroke::solid(style::line_color(s.member), LINE_WIDTH).dashed(style::line_dash(s.group))
}

/// Where colours begin anew, markers are hollow.
fn marker(s: &ErrorSeries<'_>) -> Marker {
    if s.member < style::COLOURS { Marker::of(s.group) } else { Marker::Ring }
}

impl Figure for ErrorPanels<'_> {
    fn size(&self) -> (u32, u32) {
        let columns = self.columns();
        let lines = self.rows.len().div_ceil(columns);
        let legend = 90.0 + 22.0 * (self.legend().len() as f64 / (3 * columns) as f64).ceil();
        (820 * columns as u32, (legend + ROW * lines as f64) as u32)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let (width, height) = self.size();
        let outer = Area { left: 14.0, top: 12.0, right: f64::from(width) - 20.0, bottom: f64::from(height) - 6.0 };
        let rest = header(canvas, outer, outer.left + 8.0, self.title, &self.legend())?;
        let columns = self.columns();
        let lines = self.rows.len().div_ceil(columns).max(1);
        let (w, h) = ((rest.width() - 30.0 * (columns - 1) as f64) / columns as f64, rest.height() / lines as f64);
        let mut drawn = 0;
        for (i, row) in self.rows.iter().enumerate() {
            let (line, column) = (i / columns, i % columns);
            let left = rest.left + column as f64 * (w + 30.0);
            let top = rest.top + line as f64 * h;
            drawn += usize::from(self.row(canvas, row, Area { left, top, right: left + w, bottom: top + h })?);
        }
        if drawn == 0 {
            return Err(ReportError::empty(format!("errors {:?}", self.title), "no positive finite error"));
        }
        Ok(())
    }
}

impl ErrorPanels<'_> {
    /// Draw one problem; whether there was anything to draw.
    fn row<S: Surface>(&self, canvas: &mut Canvas<S>, row: &ErrorRow<'_>, area: Area) -> Result<bool, ReportError> {
        for s in &row.series {
            ReportError::check_len(&format!("{}, {}: errors", row.title, s.label), s.errors.len(), s.steps.len())?;
        }
        let errors = row.series.iter().flat_map(|s| s.errors.iter().copied()).chain(row.floor);
        let steps = row.series.iter().flat_map(|s| s.steps.iter().copied());
        let (Some(y), Some(x)) = (Axis::log10(self.y_label, errors), Axis::log10("steps", steps)) else {
            canvas.note(format!("{}: nothing to draw", row.title));
            return Ok(false);
        };
        canvas.text(row.title, (area.left + 8.0, area.top + LABEL_SIZE), Text::new(LABEL_SIZE, Align::Start))?;
        let margin = Panel::left_margin(canvas, &y);
        let mut bare = y.clone();
        bare.label.clear();
        let second = Panel::left_margin(canvas, &bare);
        let width = 0.5 * (area.width() - margin - second - GAP - 10.0);
        let (top, bottom) = (area.top + ROW_TITLE, area.bottom - BOTTOM);
        let panel = |left: f64, x: Axis, y: Axis| Panel { area: Area { left, top, right: left + width, bottom }, x, y };
        let first = panel(area.left + margin, x, y);
        self.panel(canvas, &first, row, |s| &s.steps)?;
        let seconds = row.series.iter().flat_map(|s| s.seconds.iter().copied());
        if let Some(x) = Axis::log10("seconds", seconds) {
            let second = panel(area.left + margin + width + GAP + second, x, bare);
            self.panel(canvas, &second, row, |s| &s.seconds)?;
        }
        Ok(true)
    }

    fn panel<'s, S: Surface>(
        &self,
        canvas: &mut Canvas<S>,
        panel: &Panel,
        row: &'s ErrorRow<'s>,
        places: impl Fn(&'s ErrorSeries<'s>) -> &'s [f64],
    ) -> Result<(), ReportError> {
        panel.grid(canvas)?;
        if let Some(floor) = row.floor {
            let ends = [panel.x.lower, panel.x.upper];
            panel.curve(canvas, &ends, &[floor; 2], Stroke::solid(GREY, 1.2).dashed(Some((2.0, 3.0))))?;
        }
        for s in &row.series {
            let x = places(s);
            if x.is_empty() {
                continue;
            }
            panel.note_misplaced(canvas, &format!("{}, {}", row.title, s.label), x, &s.errors);
            panel.curve(canvas, x, &s.errors, stroke(s))?;
            panel.markers(canvas, x, &s.errors, (marker(s), RADIUS, style::line_color(s.member)))?;
        }
        panel.axes(canvas, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figure::to_svg;

    fn row(title: &str, error: f64) -> ErrorRow<'_> {
        let series = |label, group, seconds: &[f64]| ErrorSeries {
            label,
            group,
            member: 0,
            steps: vec![8.0, 16.0],
            seconds: seconds.to_vec(),
            errors: vec![error, 0.5 * error],
        };
        ErrorRow { title, series: vec![series("implicit", 1, &[0.1, 0.2]), series("Euler", 3, &[])], floor: None }
    }

    #[test]
    fn every_method_is_named_once_and_every_problem_has_its_title() {
        for count in [1, 2, 5] {
            let titles: Vec<String> = (0..count).map(|i| format!("problem {i}")).collect();
            let rows: Vec<ErrorRow<'_>> = titles.iter().map(|t| row(t, 0.1)).collect();
            let (svg, notes) = to_svg(&ErrorPanels { title: "errors", y_label: "error", rows: &rows }).unwrap();
            for text in ["implicit", "Euler"].into_iter().chain(titles.iter().map(String::as_str)) {
                assert_eq!(svg.matches(&format!("{text}\n")).count(), 1, "{text} with {count} rows");
            }
            // the policy has no seconds: one panel more than there are problems with them
            assert_eq!(svg.matches("seconds\n").count(), count);
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn nothing_positive_is_refused() {
        let rows = [row("p", f64::NAN)];
        let page = ErrorPanels { title: "errors", y_label: "error", rows: &rows };
        assert!(matches!(to_svg(&page), Err(ReportError::Empty { .. })));
    }
}
