//! Drawing in points on either surface: strokes with dashes, fills, markers, texts.

use super::font::Font;
use super::style;
use super::surface::{Align, Label, Surface};
use crate::report::ReportError;
use plotters::style::{Color, RGBColor};

/// A rectangle in points, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Bottom edge.
    pub bottom: f64,
}

impl Area {
    /// Width in points.
    pub fn width(&self) -> f64 {
        self.right - self.left
    }

    /// Height in points.
    pub fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// Colour.
    pub color: RGBColor,
    /// Opacity in `[0, 1]`.
    pub alpha: f64,
    /// Width in points.
    pub width: f64,
    /// `(dash, gap)` in points; `None` is solid.
    pub dash: Option<(f64, f64)>,
}

impl Stroke {
    /// A solid opaque line.
    pub fn solid(color: RGBColor, width: f64) -> Self {
        Self { color, alpha: 1.0, width, dash: None }
    }

    /// The same line with a dash pattern.
    pub fn dashed(self, dash: Option<(f64, f64)>) -> Self {
        Self { dash, ..self }
    }

    /// The same line with an opacity.
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }
}

/// The shape of a data point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disk.
    Disk,
    /// A square.
    Square,
    /// A triangle on its base.
    Triangle,
    /// A diamond.
    Diamond,
    /// A disk with a white centre.
    Ring,
}

impl Marker {
    /// The marker of series `i`.
    pub fn of(i: usize) -> Self {
        [Marker::Disk, Marker::Square, Marker::Triangle, Marker::Diamond][i % 4]
    }
}

/// How a text is set: size, colour, alignment, direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Text {
    /// Em size in points.
    pub size: f64,
    /// Colour.
    pub color: RGBColor,
    /// Where the anchor is along the text.
    pub align: Align,
    /// Reads upwards instead of to the right.
    pub upwards: bool,
}

impl Text {
    /// A horizontal text in the colour of ink.
    pub fn new(size: f64, align: Align) -> Self {
        Self { size, color: style::INK, align, upwards: false }
    }

    /// The same text in another colour.
    pub fn color(self, color: RGBColor) -> Self {
        Self { color, ..self }
    }
}

/// Points to device units, and what could not be drawn.
pub struct Canvas<'a, S: Surface> {
    surface: &'a mut S,
    font: &'static Font,
    notes: Vec<String>,
}

impl<'a, S: Surface> Canvas<'a, S> {
    /// A white canvas on `surface`.
    pub fn new(surface: &'a mut S) -> Result<Self, ReportError> {
        let (width, height) = surface.get_size();
        surface.rectangle((0.0, 0.0), (width as f64, height as f64), style::PAPER.to_rgba())?;
        Ok(Self { surface, font: Font::embedded()?, notes: Vec::new() })
    }

    /// Smallest cell worth drawing in a map, in points.
    pub fn cell(&self) -> (f64, f64) {
        S::CELL
    }

    /// Number of colours a map is quantised to.
    pub fn levels(&self) -> usize {
        S::LEVELS
    }

    /// Records something the reader of the figure should know (values left out, characters replaced).
    pub fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// What was recorded.
    pub fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// Width of `text` in points at an em size in points.
    pub fn text_width(&self, text: &str, size: f64) -> f64 {
        self.font.width(text, size)
    }

    /// A text with its anchor on the baseline.
    pub fn text(&mut self, text: &str, at: (f64, f64), how: Text) -> Result<(), ReportError> {
        if let Some(c) = text.chars().find(|c| !self.font.has(*c)) {
            self.note(format!("the embedded font has no glyph for {c:?} in {text:?}"));
        }
        let at = (at.0 * S::SCALE, at.1 * S::SCALE);
        self.surface.label(Label { text, at, em: how.size * S::SCALE, color: how.color, align: how.align, upwards: how.upwards })
    }

    /// A polyline; points must be finite.
    pub fn line(&mut self, path: &[(f64, f64)], stroke: Stroke) -> Result<(), ReportError> {
        let color = stroke.color.mix(stroke.alpha);
        let scaled: Vec<_> = path.iter().map(|p| (p.0 * S::SCALE, p.1 * S::SCALE)).collect();
        let width = stroke.width * S::SCALE;
        let Some((dash, gap)) = stroke.dash else { return self.surface.stroke(&scaled, width, color) };
        for piece in dashes(&scaled, dash * S::SCALE, gap * S::SCALE) {
            self.surface.stroke(&piece, width, color)?;
        }
        Ok(())
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, area: Area, color: RGBColor, alpha: f64) -> Result<(), ReportError> {
        let (from, to) = ((area.left * S::SCALE, area.top * S::SCALE), (area.right * S::SCALE, area.bottom * S::SCALE));
        self.surface.rectangle(from, to, color.mix(alpha))
    }

    /// A filled polygon.
    pub fn polygon(&mut self, path: &[(f64, f64)], color: RGBColor, alpha: f64) -> Result<(), ReportError> {
        let scaled: Vec<_> = path.iter().map(|p| (p.0 * S::SCALE, p.1 * S::SCALE)).collect();
        self.surface.fill(&scaled, color.mix(alpha))
    }

    /// A marker of the given radius in points.
    pub fn marker(&mut self, marker: Marker, at: (f64, f64), radius: f64, color: RGBColor) -> Result<(), ReportError> {
        let disk = |canvas: &mut Self, r: f64, c: RGBColor| {
            canvas.surface.disk((at.0 * S::SCALE, at.1 * S::SCALE), r * S::SCALE, c.to_rgba())
        };
        let corners: &[(f64, f64)] = match marker {
            Marker::Disk => return disk(self, radius, color),
            Marker::Ring => {
                disk(self, radius, color)?;
                return disk(self, 0.62 * radius, style::PAPER);
            }
            Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Marker::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
        };
        let path: Vec<_> = corners.iter().map(|c| (at.0 + radius * c.0, at.1 + radius * c.1)).collect();
        self.polygon(&path, color, 1.0)
    }
}

/// The dashes of a path, by arc length.
fn dashes(path: &[(f64, f64)], dash: f64, gap: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces = Vec::new();
    let mut piece: Vec<(f64, f64)> = path.first().copied().into_iter().collect();
    let (mut drawing, mut left) = (true, dash);
    for pair in path.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let length = (b.0 - a.0).hypot(b.1 - a.1);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let p = (a.0 + done / length * (b.0 - a.0), a.1 + done / length * (b.1 - a.1));
            if drawing {
                piece.push(p);
                pieces.push(std::mem::take(&mut piece));
            } else {
                piece = vec![p];
            }
            drawing = !drawing;
            left = if drawing { dash } else { gap };
        }
        left -= length - done;
        if drawing {
            piece.push(b);
        }
    }
    if drawing && piece.len() > 1 {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_the_path() {
        let path: Vec<_> = (0..=400).map(|i| (i as f64, (i as f64 * 0.05).sin() * 30.0)).collect();
        let length = |p: &[(f64, f64)]| p.windows(2).map(|w| (w[1].0 - w[0].0).hypot(w[1].1 - w[0].1)).sum::<f64>();
        let pieces = dashes(&path, 6.0, 4.0);
        let drawn: f64 = pieces.iter().map(|p| length(p)).sum();
        assert!((drawn - 0.6 * length(&path)).abs() < 6.0, "{drawn} of {}", length(&path));
        for piece in &pieces[..pieces.len() - 1] {
            assert!((length(piece) - 6.0).abs() < 1e-9);
        }
        assert!(dashes(&[], 1.0, 1.0).is_empty());
        assert_eq!(dashes(&[(0.0, 0.0), (5.0, 0.0)], 10.0, 1.0), vec![vec![(0.0, 0.0), (5.0, 0.0)]]);
    }
}
