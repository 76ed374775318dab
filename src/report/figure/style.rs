//! One restrained look for every figure: colours, text sizes and line widths (in points; a figure is about 800 points wide).
//!
//! Line colours: M. Okabe, K. Ito, "Color Universal Design" (2008), distinguishable with the common colour-vision deficiencies.
//! Sequential map: viridis. Diverging map: ColorBrewer RdBu (C. Brewer), reversed, so that blue is negative and red positive.

use plotters::style::RGBColor;
use plotters::style::colors::colormaps::{ColorMap, DerivedColorMap, ViridisRGB};

/// Background.
pub const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Text and axes.
pub const INK: RGBColor = RGBColor(38, 38, 38);
/// Secondary text, bounds and reference lines.
pub const GREY: RGBColor = RGBColor(110, 110, 110);
/// Grid lines.
pub const GRID: RGBColor = RGBColor(226, 226, 226);
/// Fill of real data's histogram.
pub const DATA_FILL: RGBColor = RGBColor(205, 210, 217);
/// Cells of a map without a finite value.
pub const MISSING: RGBColor = RGBColor(190, 190, 190);

/// The part of a map where the process has ended.
pub const ENDED: RGBColor = RGBColor(214, 214, 214);

/// Text size of titles, in points.
pub const TITLE_SIZE: f64 = 17.0;
/// Text size of axis labels and legends, in points.
pub const LABEL_SIZE: f64 = 15.5;
/// Text size of tick labels, in points.
pub const TICK_SIZE: f64 = 14.0;
/// Width of a data line, in points.
pub const LINE_WIDTH: f64 = 1.9;
/// Width of reference lines, in points.
pub const THIN_WIDTH: f64 = 1.2;
/// Radius of a marker, in points.
pub const MARKER_RADIUS: f64 = 4.0;

/// Colours after which the palette repeats.
pub const COLOURS: usize = 6;

const CYCLE: [RGBColor; COLOURS] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// The colour of series `i` (the palette repeats after six).
pub fn line_color(i: usize) -> RGBColor {
    CYCLE[i % COLOURS]
}

/// The line patterns that tell series apart in print, `(dash, gap)` in points; `None` is a solid line.
pub fn line_dash(i: usize) -> Option<(f64, f64)> {
    [None, Some((9.0, 5.0)), Some((3.0, 4.0)), Some((14.0, 6.0))][i % 4]
}

/// How a map's values become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub enum Colours {
    /// Viridis, from the lowest to the highest value.
    #[default]
    Sequential,
    /// Blue through white to red, centred on zero.
    Diverging,
}

impl Colours {
    /// The colour at `u` in `[0, 1]` (clamped).
    pub fn at(self, u: f64) -> RGBColor {
        let u = if u.is_finite() { u.clamp(0.0, 1.0) } else { 0.5 };
        match self {
            Colours::Sequential => ViridisRGB {}.get_color(u),
            Colours::Diverging => DerivedColorMap::new(&BLUE_RED).get_color(u),
        }
    }
}

/// Ink on light colours, paper on dark ones (luminance by ITU-R BT.601).
pub fn contrast(background: RGBColor) -> RGBColor {
    let RGBColor(r, g, b) = background;
    let luminance = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
    if luminance < 100.0 { PAPER } else { INK }
}

const BLUE_RED: [RGBColor; 11] = [
    RGBColor(5, 48, 97),
    RGBColor(33, 102, 172),
    RGBColor(67, 147, 195),
    RGBColor(146, 197, 222),
    RGBColor(209, 229, 240),
    RGBColor(247, 247, 247),
    RGBColor(253, 219, 199),
    RGBColor(244, 165, 130),
    RGBColor(214, 96, 77),
    RGBColor(178, 24, 43),
    RGBColor(103, 0, 31),
];
