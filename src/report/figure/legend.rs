//! Title and legend above the panel, in flowing rows: they can never cover data.

use super::canvas::{Area, Canvas, Marker, Stroke, Text};
use super::style::{LABEL_SIZE, MARKER_RADIUS, TITLE_SIZE};
use super::surface::{Align, Surface};
use crate::report::ReportError;
use plotters::style::RGBColor;

/// The sample in front of a legend text.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    /// A line, with a marker on it if given.
    Line(Stroke, Option<Marker>),
    /// A marker alone.
    Marker(Marker, RGBColor),
    /// A filled box with its opacity.
    Box(RGBColor, f64),
    /// A marker with a vertical error bar.
    ErrorBar(Marker, RGBColor),
}

const SAMPLE: f64 = 30.0;
const ROW: f64 = 22.0;

/// Writes the title and the legend at the top of `outer` and returns what is left below them. `indent` is the left edge
/// of the data area, to which both are aligned.
pub fn header<S: Surface>(
    canvas: &mut Canvas<S>,
    outer: Area,
    indent: f64,
    title: &str,
    entries: &[(Key, String)],
) -> Result<Area, ReportError> {
    let mut top = outer.top;
    if !title.is_empty() {
        // A long title is set smaller rather than cut at the edge.
        let fit = (outer.right - indent) / canvas.text_width(title, TITLE_SIZE).max(1.0);
        canvas.text(title, (indent, top + TITLE_SIZE), Text::new(TITLE_SIZE * fit.min(1.0), Align::Start))?;
        top += TITLE_SIZE + 10.0;
    }
    let (mut x, mut used) = (indent, false);
    for (key, text) in entries.iter().filter(|(_, text)| !text.is_empty()) {
        let width = SAMPLE + 7.0 + canvas.text_width(text, LABEL_SIZE);
        if used && x + width > outer.right {
            x = indent;
            top += ROW;
        }
        sample(canvas, *key, (x, top + 0.5 * ROW))?;
        canvas.text(text, (x + SAMPLE + 7.0, top + 0.5 * ROW + 0.36 * LABEL_SIZE), Text::new(LABEL_SIZE, Align::Start))?;
        x += width + 22.0;
        used = true;
    }
    Ok(Area { top: if used { top + ROW + 4.0 } else { top }, ..outer })
}

fn sample<S: Surface>(canvas: &mut Canvas<S>, key: Key, (x, y): (f64, f64)) -> Result<(), ReportError> {
    let middle = (x + 0.5 * SAMPLE, y);
    match key {
        Key::Line(stroke, marker) => {
            canvas.line(&[(x, y), (x + SAMPLE, y)], stroke)?;
            marker.map_or(Ok(()), |m| canvas.marker(m, middle, MARKER_RADIUS, stroke.color))
        }
        Key::Marker(marker, color) => canvas.marker(marker, middle, MARKER_RADIUS, color),
        Key::Box(color, alpha) => {
            let area = Area { left: x + 2.0, top: y - 6.5, right: x + SAMPLE - 2.0, bottom: y + 6.5 };
            canvas.rectangle(area, color, alpha)
        }
        Key::ErrorBar(marker, color) => {
            canvas.line(&[(middle.0, y - 8.0), (middle.0, y + 8.0)], Stroke::solid(color, 1.3))?;
            canvas.marker(marker, middle, 0.8 * MARKER_RADIUS, color)
        }
    }
}
