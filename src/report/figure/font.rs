//! The embedded font and its metrics, so that figures need no font on the machine.
//!
//! DejaVu Sans, subset to Latin, Greek, sub- and superscripts and mathematical signs (licence beside the file).
//! Widths and left side bearings are read from the font's `cmap` (format 4) and `hmtx` tables: plotters' text layer
//! rounds the first and drops the second, which would space letters unevenly.
//! Tables: OpenType specification 1.9, chapters `cmap` and `hmtx`.

use crate::report::ReportError;
use plotters::style::{FontStyle, register_font};
use std::collections::HashMap;
use std::sync::OnceLock;

/// Family name in SVG files: the embedded font first, then fonts of like widths.
pub const FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

static BYTES: &[u8] = include_bytes!("../font/DejaVuSans-subset.ttf");

/// Horizontal metrics of one glyph as fractions of the em.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glyph {
    /// Distance to the next glyph's origin.
    pub advance: f64,
    /// Distance from the origin to the leftmost ink.
    pub bearing: f64,
}

/// Metrics of the embedded font.
#[derive(Debug)]
pub struct Font {
    glyphs: HashMap<char, Glyph>,
    /// Height of a line (ascent + descent) as a fraction of the em.
    pub line_height: f64,
}

impl Font {
    /// The embedded font, registered with plotters at the first call.
    pub fn embedded() -> Result<&'static Font, ReportError> {
        static FONT: OnceLock<Option<Font>> = OnceLock::new();
        FONT.get_or_init(|| {
            register_font(FAMILY, FontStyle::Normal, BYTES).ok()?;
            parse(BYTES)
        })
        .as_ref()
        .ok_or_else(|| ReportError::Drawing("the embedded font is damaged".into()))
    }

    /// The glyph of `c`; that of `?` for a character the font does not have.
    pub fn glyph(&self, c: char) -> Glyph {
        self.glyphs.get(&c).or_else(|| self.glyphs.get(&'?')).copied().unwrap_or(Glyph { advance: 0.6, bearing: 0.05 })
    }

    /// Whether the font can draw `c`.
    pub fn has(&self, c: char) -> bool {
        self.glyphs.contains_key(&c)
    }

    /// Width of `text` at the given em size.
    pub fn width(&self, text: &str, em: f64) -> f64 {
        em * text.chars().map(|c| self.glyph(c).advance).sum::<f64>()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 2)?.try_into().ok().map(|b| u16::from_be_bytes(b) as usize)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..at + 4)?.try_into().ok().map(|b| u32::from_be_bytes(b) as usize)
}

fn i16_at(bytes: &[u8], at: usize) -> Option<f64> {
    bytes.get(at..at + 2)?.try_into().ok().map(|b| i16::from_be_bytes(b) as f64)
}

fn table<'a>(bytes: &'a [u8], tag: &[u8; 4]) -> Option<&'a [u8]> {
    let entry = (0..u16_at(bytes, 4)?).map(|i| 12 + 16 * i).find(|at| bytes.get(*at..*at + 4) == Some(&tag[..]))?;
    let offset = u32_at(bytes, entry + 8)?;
    bytes.get(offset..offset + u32_at(bytes, entry + 12)?)
}

fn parse(bytes: &[u8]) -> Option<Font> {
    let (head, hhea, hmtx, cmap) =
        (table(bytes, b"head")?, table(bytes, b"hhea")?, table(bytes, b"hmtx")?, table(bytes, b"cmap")?);
    let em = u16_at(head, 18)? as f64;
    let line_height = (i16_at(hhea, 4)? - i16_at(hhea, 6)?) / em;
    let long_metrics = u16_at(hhea, 34)?;
    let metrics = |glyph: usize| -> Option<Glyph> {
        let advance = u16_at(hmtx, 4 * glyph.min(long_metrics.checked_sub(1)?))? as f64 / em;
        let at = if glyph < long_metrics { 4 * glyph + 2 } else { 4 * long_metrics + 2 * (glyph - long_metrics) };
        Some(Glyph { advance, bearing: i16_at(hmtx, at)? / em })
    };
    let map = (0..u16_at(cmap, 2)?)
        .filter_map(|i| cmap.get(u32_at(cmap, 8 + 8 * i)?..))
        .find(|subtable| u16_at(subtable, 0) == Some(4))?;
    let segments = u16_at(map, 6)? / 2;
    let mut glyphs = HashMap::new();
    for s in 0..segments {
        let (end, start) = (u16_at(map, 14 + 2 * s)?, u16_at(map, 16 + 2 * (segments + s))?);
        let delta = u16_at(map, 16 + 2 * (2 * segments + s))?;
        let range_at = 16 + 2 * (3 * segments + s);
        let range = u16_at(map, range_at)?;
        for code in start..=end.min(0xFFFE) {
            let glyph = if range == 0 {
                (code + delta) & 0xFFFF
            } else {
                match u16_at(map, range_at + range + 2 * (code - start))? {
                    0 => 0,
                    glyph => (glyph + delta) & 0xFFFF,
                }
            };
            if let (Some(c), true) = (char::from_u32(code as u32), glyph != 0) {
                glyphs.insert(c, metrics(glyph)?);
            }
        }
    }
    Some(Font { glyphs, line_height })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values read from the same file with fontTools: advance and left side bearing in units of 1/2048 em.
    #[test]
    fn metrics_agree_with_the_font_tables() {
        let font = Font::embedded().unwrap();
        for (c, advance, bearing) in FONTTOOLS {
            let expected = Glyph { advance: advance / 2048.0, bearing: bearing / 2048.0 };
            assert_eq!(font.glyph(c), expected, "{c}");
        }
        assert_eq!(font.glyphs.len(), 327);
        assert!((font.line_height - (1901.0 + 483.0) / 2048.0).abs() < 1e-15);
        assert!(!font.has('字'));
        assert!((font.width("AV", 10.0) - 2.0 * 10.0 * 1401.0 / 2048.0).abs() < 1e-12);
    }

    #[test]
    fn a_truncated_font_is_no_font() {
        for length in [0, 4, 12, 200, 2000] {
            assert!(parse(&BYTES[..length]).is_none(), "{length}");
        }
    }

    const FONTTOOLS: [(char, f64, f64); 5] =
        [('L', 1141.0, 201.0), ('i', 569.0, 193.0), ('⁻', 1081.0, 137.0), ('β', 1307.0, 192.0), ('√', 1305.0, 61.0)];
}
