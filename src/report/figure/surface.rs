//! The two surfaces a figure is drawn on: plotters' SVG and bitmap backends.
//!
//! Both take integer device coordinates; a figure thinks in points and each surface has its own number of device units per
//! point. The bitmap surface draws strokes by distance to the path and places glyphs one by one with their bearings, both
//! at twice the resolution of the file, which is then averaged down: plotters' own rasteriser gives uneven letter spacing
//! and no round joins.

use super::font::{FAMILY, Font};
use crate::report::ReportError;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBAColor, RGBColor, ShapeStyle, TextStyle};

/// Pixels of the PNG per point.
pub const PNG_SCALE: u32 = 2;
/// Sub-pixels per pixel and direction while drawing the PNG.
pub const OVERSAMPLING: u32 = 2;
/// Device units of the SVG per point (its coordinates are integers).
pub const SVG_SCALE: u32 = 8;

/// Plotters counts a font's size as 1.24 times the em in SVG.
const SVG_SIZE_PER_EM: f64 = 1.24;
/// Half the x-height of the embedded font, as a fraction of the em: SVG's `0.5ex`.
const HALF_X_HEIGHT: f64 = 0.2735;

/// Where a text's anchor point is along its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// The text starts at the point.
    Start,
    /// The text is centred on the point.
    Middle,
    /// The text ends at the point.
    End,
}

/// One text to be placed, in device units.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// What to write.
    pub text: &'a str,
    /// Anchor point on the baseline.
    pub at: (f64, f64),
    /// Em size.
    pub em: f64,
    /// Colour.
    pub color: RGBColor,
    /// Where the anchor is along the text.
    pub align: Align,
    /// Reads upwards instead of to the right.
    pub upwards: bool,
}

/// What a figure needs of a backend, in device units (y downwards).
pub trait Surface: DrawingBackend {
    /// Device units per point.
    const SCALE: f64;
    /// Smallest cell worth drawing in a map, in points (width, height).
    const CELL: (f64, f64);
    /// Number of colours a map is quantised to.
    const LEVELS: usize;

    /// A line of the given width through `path`.
    fn stroke(&mut self, path: &[(f64, f64)], width: f64, color: RGBAColor) -> Result<(), ReportError>;

    /// The interior of the closed polygon `path` (even-odd rule).
    fn fill(&mut self, path: &[(f64, f64)], color: RGBAColor) -> Result<(), ReportError>;

    /// A filled disk.
    fn disk(&mut self, centre: (f64, f64), radius: f64, color: RGBAColor) -> Result<(), ReportError>;

    /// A text.
    fn label(&mut self, label: Label) -> Result<(), ReportError>;

    /// A filled rectangle from corner to corner.
    fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), color: RGBAColor) -> Result<(), ReportError> {
        let (a, b) = (device((from.0.min(to.0), from.1.min(to.1))), device((from.0.max(to.0), from.1.max(to.1))));
        if a.0 == b.0 || a.1 == b.1 {
            return Ok(());
        }
        self.draw_rect(a, b, &color, true).map_err(ReportError::drawing)
    }
}

fn device(point: (f64, f64)) -> (i32, i32) {
    (point.0.round() as i32, point.1.round() as i32)
}

impl Surface for SVGBackend<'_> {
    const SCALE: f64 = SVG_SCALE as f64;
    const CELL: (f64, f64) = (1.0, 1.0);
    const LEVELS: usize = 160;

    fn stroke(&mut self, path: &[(f64, f64)], width: f64, color: RGBAColor) -> Result<(), ReportError> {
        let style = ShapeStyle { color, filled: false, stroke_width: width.round().max(1.0) as u32 };
        let mut points: Vec<_> = path.iter().map(|p| device(*p)).collect();
        points.dedup();
        if points.len() < 2 { Ok(()) } else { self.draw_path(points, &style).map_err(ReportError::drawing) }
    }

    fn fill(&mut self, path: &[(f64, f64)], color: RGBAColor) -> Result<(), ReportError> {
        self.fill_polygon(path.iter().map(|p| device(*p)), &color).map_err(ReportError::drawing)
    }

    fn disk(&mut self, centre: (f64, f64), radius: f64, color: RGBAColor) -> Result<(), ReportError> {
        self.draw_circle(device(centre), radius.round().max(1.0) as u32, &color, true).map_err(ReportError::drawing)
    }

    fn label(&mut self, label: Label) -> Result<(), ReportError> {
        let shift = HALF_X_HEIGHT * label.em;
        let at = if label.upwards { (label.at.0 - shift, label.at.1) } else { (label.at.0, label.at.1 - shift) };
        let h_pos = match label.align {
            Align::Start => HPos::Left,
            Align::Middle => HPos::Center,
            Align::End => HPos::Right,
        };
        let transform = if label.upwards { FontTransform::Rotate270 } else { FontTransform::None };
        let font = FontDesc::new(FontFamily::Name(FAMILY), label.em * SVG_SIZE_PER_EM, FontStyle::Normal).transform(transform);
        let style = TextStyle::from(font).color(&label.color).pos(Pos::new(h_pos, VPos::Center));
        self.draw_text(label.text, &style, device(at)).map_err(ReportError::drawing)
    }
}

impl Surface for BitMapBackend<'_> {
    const SCALE: f64 = (PNG_SCALE * OVERSAMPLING) as f64;
    const CELL: (f64, f64) = (0.5, 0.5);
    const LEVELS: usize = 256;

    fn stroke(&mut self, path: &[(f64, f64)], width: f64, color: RGBAColor) -> Result<(), ReportError> {
        let radius = 0.5 * width.max(1.0);
        let (columns, rows) = self.get_size();
        let span = |values: &mut dyn Iterator<Item = f64>, limit: u32| -> (usize, usize) {
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
            ((low - radius - 1.0).clamp(0.0, limit as f64) as usize, (high + radius + 2.0).clamp(0.0, limit as f64) as usize)
        };
        let (x0, x1) = span(&mut path.iter().map(|p| p.0), columns);
        let (y0, y1) = span(&mut path.iter().map(|p| p.1), rows);
        if x0 >= x1 || y0 >= y1 {
            return Ok(());
        }
        // One coverage mask per path: overlapping pieces of a translucent line do not darken each other.
        let mut mask = vec![0u8; (x1 - x0) * (y1 - y0)];
        for pair in path.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let length = (b.0 - a.0).hypot(b.1 - a.1);
            let pieces = (length / 48.0).ceil().max(1.0) as usize;
            for piece in 0..pieces {
                let at = |k: usize| {
                    let u = k as f64 / pieces as f64;
                    (a.0 + u * (b.0 - a.0), a.1 + u * (b.1 - a.1))
                };
                cover(&mut mask, (x0, x1, y0, y1), at(piece), at(piece + 1), radius);
            }
        }
        for (i, coverage) in mask.iter().enumerate().filter(|(_, c)| **c > 0) {
            let (x, y) = (x0 + i % (x1 - x0), y0 + i / (x1 - x0));
            let tone = color.mix(*coverage as f64 / 255.0).to_backend_color();
            self.draw_pixel((x as i32, y as i32), tone).map_err(ReportError::drawing)?;
        }
        Ok(())
    }

    fn fill(&mut self, path: &[(f64, f64)], color: RGBAColor) -> Result<(), ReportError> {
        let (columns, rows) = self.get_size();
        let top = path.iter().map(|p| p.1).fold(f64::INFINITY, f64::min).clamp(0.0, rows as f64) as u32;
        let bottom = path.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max).clamp(0.0, rows as f64).ceil() as u32;
        let mut crossings = Vec::new();
        for row in top..bottom {
            let y = row as f64 + 0.5;
            crossings.clear();
            for i in 0..path.len() {
                let (a, b) = (path[i], path[(i + 1) % path.len()]);
                if (a.1 <= y) != (b.1 <= y) {
                    crossings.push(a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0));
                }
            }
            crossings.sort_by(f64::total_cmp);
            for span in crossings.chunks_exact(2) {
                let (from, to) = (span[0].clamp(0.0, columns as f64), span[1].clamp(0.0, columns as f64));
                self.rectangle((from, row as f64), (to, (row + 1) as f64), color)?;
            }
        }
        Ok(())
    }

    fn disk(&mut self, centre: (f64, f64), radius: f64, color: RGBAColor) -> Result<(), ReportError> {
        self.stroke(&[centre, centre], 2.0 * radius, color)
    }

    fn label(&mut self, label: Label) -> Result<(), ReportError> {
        let font = Font::embedded()?;
        // An even pixel height puts plotters' baseline at exactly half of it.
        let height = 2.0 * (0.5 * label.em * font.line_height).round().max(1.0);
        let em = height / font.line_height;
        let face = FontDesc::new(FontFamily::Name(FAMILY), height, FontStyle::Normal);
        let mut pen = match label.align {
            Align::Start => 0.0,
            Align::Middle => -0.5 * font.width(label.text, em),
            Align::End => -font.width(label.text, em),
        };
        let origin = device(label.at);
        for c in label.text.chars() {
            let c = if font.has(c) { c } else { '?' };
            let glyph = font.glyph(c);
            // The glyph's bitmap begins at the integer part of its bearing.
            let left = pen.round() as i32 + (glyph.bearing * em).floor() as i32;
            let drawn = face.draw(c.encode_utf8(&mut [0; 4]), (0, 0), |x, y, coverage| {
                let (dx, dy) = (left + x, y - (0.5 * height) as i32);
                let (dx, dy) = if label.upwards { (dy, -dx) } else { (dx, dy) };
                let tone = label.color.mix(coverage.clamp(0.0, 1.0) as f64).to_backend_color();
                self.draw_pixel((origin.0 + dx, origin.1 + dy), tone).map_err(|e| e.to_string())
            });
            drawn.map_err(ReportError::drawing)?.map_err(ReportError::drawing)?;
            pen += glyph.advance * em;
        }
        Ok(())
    }
}

/// Raises the mask of the box `(x0, x1, y0, y1)` to the coverage of the capsule of the given radius around `a`-`b`.
fn cover(mask: &mut [u8], (x0, x1, y0, y1): (usize, usize, usize, usize), a: (f64, f64), b: (f64, f64), radius: f64) {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let square = dx * dx + dy * dy;
    let (reach, outer) = (radius + 1.0, (radius + 0.5).powi(2));
    let clip = |v: f64, low: usize, high: usize| v.clamp(low as f64, high as f64) as usize;
    for y in clip(a.1.min(b.1) - reach, y0, y1)..clip(a.1.max(b.1) + reach + 1.0, y0, y1) {
        for x in clip(a.0.min(b.0) - reach, x0, x1)..clip(a.0.max(b.0) + reach + 1.0, x0, x1) {
            let (px, py) = (x as f64 + 0.5 - a.0, y as f64 + 0.5 - a.1);
            let u = if square > 0.0 { ((px * dx + py * dy) / square).clamp(0.0, 1.0) } else { 0.0 };
            let distance = (px - u * dx).powi(2) + (py - u * dy).powi(2);
            // most of the box is far from the path
            if distance < outer {
                let coverage = (radius + 0.5 - distance.sqrt()).clamp(0.0, 1.0);
                let cell = &mut mask[(y - y0) * (x1 - x0) + (x - x0)];
                *cell = (*cell).max((255.0 * coverage + 0.5) as u8);
            }
        }
    }
}
