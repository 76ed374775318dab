//! Grey images in blocks side by side, such as samples before and after fine-tuning.

use super::Figure;
use super::canvas::{Area, Canvas, Text};
use super::style::{MISSING, TITLE_SIZE};
use super::surface::{Align, Surface};
use crate::report::ReportError;
use plotters::style::RGBColor;

/// Shades of grey.
const SHADES: f64 = 31.0;
/// Between images and between blocks, in points.
const GAP: f64 = 4.0;
const BLOCK_GAP: f64 = 28.0;
const MARGIN: f64 = 14.0;
const HEAD: f64 = TITLE_SIZE + 14.0;

/// Images under a title.
#[derive(Debug, Clone, Copy)]
pub struct ImageBlock<'a> {
    /// Title.
    pub title: &'a str,
    /// Image after image, pixels row by row.
    pub pixels: &'a [f64],
}

/// Blocks of images of one size.
#[derive(Debug, Clone, Copy)]
pub struct Images<'a> {
    /// Rows of an image.
    pub rows: usize,
    /// Columns of an image.
    pub columns: usize,
    /// Values of black and of white; others are cut to them.
    pub range: [f64; 2],
    /// Images in a row of a block.
    pub across: usize,
    /// Left to right.
    pub blocks: &'a [ImageBlock<'a>],
}

impl Images<'_> {
    /// Points of a pixel: images are about 32 points wide.
    fn pixel(&self) -> f64 {
        (32.0 / self.columns.max(1) as f64).round().max(1.0)
    }

    fn image(&self) -> (f64, f64) {
        (self.columns as f64 * self.pixel(), self.rows as f64 * self.pixel())
    }

    fn count(&self, block: &ImageBlock<'_>) -> usize {
        block.pixels.len() / (self.rows * self.columns).max(1)
    }

    fn block_width(&self) -> f64 {
        self.across as f64 * (self.image().0 + GAP) - GAP
    }
}

impl Figure for Images<'_> {
    fn size(&self) -> (u32, u32) {
        let down = self.blocks.iter().map(|b| self.count(b).div_ceil(self.across.max(1))).max().unwrap_or(0);
        let blocks = self.blocks.len() as f64;
        let width = 2.0 * MARGIN + blocks * (self.block_width() + BLOCK_GAP) - BLOCK_GAP;
        let height = 2.0 * MARGIN + HEAD + down as f64 * (self.image().1 + GAP) - GAP;
        (width.max(100.0) as u32, height.max(100.0) as u32)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        let size = self.rows * self.columns;
        if size == 0 || self.across == 0 {
            return Err(ReportError::invalid(
                "images",
                format!("{} x {}", self.rows, self.columns),
                "at least one pixel, one across",
            ));
        }
        if self.blocks.iter().all(|b| b.pixels.is_empty()) {
            return Err(ReportError::empty("images", "no image"));
        }
        let [black, white] = self.range;
        let pixel = self.pixel();
        for (b, block) in self.blocks.iter().enumerate() {
            ReportError::check_len("image pixels", block.pixels.len() % size, 0)?;
            let left = MARGIN + b as f64 * (self.block_width() + BLOCK_GAP);
            canvas.text(block.title, (left, MARGIN + TITLE_SIZE), Text::new(TITLE_SIZE, Align::Start))?;
            let missing = block.pixels.iter().filter(|v| !v.is_finite()).count();
            if missing > 0 {
                canvas.note(format!("{}: {missing} pixels are not finite (drawn grey)", block.title));
            }
            for (i, image) in block.pixels.chunks_exact(size).enumerate() {
                let x = left + (i % self.across) as f64 * (self.image().0 + GAP);
                let y = MARGIN + HEAD + (i / self.across) as f64 * (self.image().1 + GAP);
                let all = Area { left: x, top: y, right: x + self.image().0, bottom: y + self.image().1 };
                canvas.rectangle(all, RGBColor(0, 0, 0), 1.0)?;
                let shade = |v: f64| {
                    let grey = (((v - black) / (white - black)).clamp(0.0, 1.0) * SHADES).round() / SHADES;
                    (v.is_finite(), (grey * 255.0).round() as u8)
                };
                for (r, row) in image.chunks_exact(self.columns).enumerate() {
                    let mut start = 0;
                    for c in 1..=self.columns {
                        if c < self.columns && shade(row[c]) == shade(row[start]) {
                            continue;
                        }
                        let (finite, grey) = shade(row[start]);
                        let run = Area {
                            left: x + start as f64 * pixel,
                            right: x + c as f64 * pixel,
                            top: y + r as f64 * pixel,
                            bottom: y + (r + 1) as f64 * pixel,
                        };
                        if !finite || grey > 0 {
                            canvas.rectangle(run, if finite { RGBColor(grey, grey, grey) } else { MISSING }, 1.0)?;
                        }
                        start = c;
                    }
                }
            }
        }
        Ok(())
    }
}
