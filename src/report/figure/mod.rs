//! Figures: plain arrays in, `<stem>.svg` and `<stem>.png` out.
//!
//! | figure | shows |
//! |---|---|
//! | [`HeatMap`], [`ValueAndControl`] | a field over time and state: value, control |
//! | [`PlaneMaps`] | value and control over two coordinates, with arrows |
//! | [`MarkedMaps`] | the same with a target in grey and a stopping boundary |
//! | [`LawMaps`] | a simulated law over two coordinates beside the exact one |
//! | [`Densities`] | real data, prior, target and simulated final law on the line |
//! | [`Convergence`] | error against the number of steps, with orders |
//! | [`ErrorPanels`] | errors against steps and against cost, a row for each problem |
//! | [`Contraction`] | observed contraction per step against its bound |
//! | [`Bounds`] | measured quantities against their bounds, on a logarithmic axis |
//! | [`Paths`] | sample paths and quantile bands between the initial and the final law |
//! | [`Profiles`] | a function at a few times against a reference, with residuals |
//! | [`PanelGrid`] | several quantities against one parameter, measured, exact and bounded |
//! | [`TrainingCurves`] | objective, reward and divergence over a training |
//! | [`Images`] | samples that are images |
//! | [`Tradeoff`] | reward and KL divergence against the inverse KL weight |
//!
//! Each figure is drawn by one function for both formats. Values that have no place on the axes (not finite, or not
//! positive on a logarithmic axis) are left out and counted in [`FigureInfo::notes`]; if nothing remains the figure is
//! refused with [`ReportError::Empty`] and no file is touched.

pub mod axis;
mod bounds;
pub mod canvas;
mod chart;
mod contour;
mod contraction;
mod convergence;
mod densities;
mod error_panels;
pub mod font;
mod heat_map;
mod images;
mod law_maps;
mod legend;
mod marks;
mod panel;
mod panel_grid;
mod paths;
mod plane;
mod profiles;
pub mod style;
pub mod surface;
mod tradeoff;
mod training;

pub use bounds::{BoundSeries, Bounds};
pub use chart::{Chart, ChartSeries, Mark};
pub use contraction::{Contraction, ContractionSeries};
pub use convergence::{Convergence, ConvergenceSeries};
pub use densities::{Densities, DensityLine, Histogram};
pub use error_panels::{ErrorPanels, ErrorRow, ErrorSeries};
pub use heat_map::{HeatMap, ValueAndControl};
pub use images::{ImageBlock, Images};
pub use law_maps::LawMaps;
pub use marks::{MarkedMaps, Marks};
pub use panel_grid::{Curve, PanelCurves, PanelGrid};
pub use paths::{Band, Paths, SideDensity};
pub use plane::{Arrows, PlaneMaps};
pub use profiles::{Profile, Profiles};
pub use style::Colours;
pub use tradeoff::{Tradeoff, TradeoffPoint};
pub use training::{TrainingCurve, TrainingCurves};

use super::{ReportError, atomic};
use canvas::Canvas;
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use std::path::{Path, PathBuf};
use surface::{OVERSAMPLING, PNG_SCALE, SVG_SCALE, Surface};

/// Something that can be drawn.
pub trait Figure {
    /// Width and height in points.
    fn size(&self) -> (u32, u32);

    /// Draws onto a canvas of that size, or says why there is nothing to draw.
    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError>;

    /// Its lines as data; none for maps and images.
    fn charts(&self) -> Vec<Chart> {
        Vec::new()
    }
}

/// What was written.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct FigureInfo {
    /// The vector file.
    pub svg: PathBuf,
    /// The raster file, two pixels per point.
    pub png: PathBuf,
    /// Values left out, ranges cut, characters replaced.
    pub notes: Vec<String>,
    /// The lines, for `report.html`.
    #[serde(skip)]
    pub charts: Vec<Chart>,
}

/// Writes `<stem>.svg` and `<stem>.png` into `directory` (created if missing), each whole or not at all.
pub fn save<F: Figure>(figure: &F, directory: &Path, stem: &str) -> Result<FigureInfo, ReportError> {
    if stem.is_empty() || stem.contains(['/', '\\', '\0']) {
        return Err(ReportError::invalid("stem", format!("{stem:?}"), "a non-empty file name without slashes"));
    }
    let (svg, png) = (directory.join(format!("{stem}.svg")), directory.join(format!("{stem}.png")));
    let (text, notes) = to_svg(figure)?;
    let (pixels, size) = to_pixels(figure)?;
    atomic::replace(&svg, |path| std::fs::write(path, &text).map_err(|e| ReportError::io(path, e)))?;
    atomic::replace(&png, |path| {
        let mut image = BitMapBackend::new(path, size);
        image.blit_bitmap((0, 0), size, &pixels).map_err(ReportError::drawing)?;
        image.present().map_err(ReportError::drawing)
    })?;
    Ok(FigureInfo { svg, png, notes, charts: figure.charts() })
}

/// The figure as an SVG document, and its notes.
pub fn to_svg<F: Figure>(figure: &F) -> Result<(String, Vec<String>), ReportError> {
    let (width, height) = figure.size();
    let size = (width * SVG_SCALE, height * SVG_SCALE);
    let mut text = String::new();
    let mut surface = SVGBackend::with_string(&mut text, size);
    let mut canvas = Canvas::new(&mut surface)?;
    figure.draw(&mut canvas)?;
    let notes = canvas.into_notes();
    surface.present().map_err(ReportError::drawing)?;
    drop(surface);
    // Shown at its size in points, whatever the grid of its integer coordinates.
    let (fine, shown) = (
        format!("width=\"{}\" height=\"{}\"", size.0, size.1),
        format!("width=\"{width}\" height=\"{height}\" stroke-linejoin=\"round\""),
    );
    // Defaults spelled out by the backend are a third of the file (quotation marks in labels are escaped, so texts are safe).
    let text = text.replacen(&fine, &shown, 1).replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "");
    Ok((text, notes))
}

/// The figure as RGB bytes, row by row, and its width and height in pixels.
pub fn to_pixels<F: Figure>(figure: &F) -> Result<(Vec<u8>, (u32, u32)), ReportError> {
    let (width, height) = (figure.size().0 * PNG_SCALE, figure.size().1 * PNG_SCALE);
    let (fine_width, fine_height) = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut fine = vec![255u8; 3 * fine_width as usize * fine_height as usize];
    let mut surface = BitMapBackend::with_buffer(&mut fine, (fine_width, fine_height));
    figure.draw(&mut Canvas::new(&mut surface)?)?;
    surface.present().map_err(ReportError::drawing)?;
    drop(surface);
    let (k, row) = (OVERSAMPLING as usize, 3 * fine_width as usize);
    let mut pixels = Vec::with_capacity(3 * width as usize * height as usize);
    for y in 0..height as usize {
        for x in 0..width as usize {
            for channel in 0..3 {
                let sum: u32 = (0..k * k).map(|s| fine[(k * y + s / k) * row + 3 * (k * x + s % k) + channel] as u32).sum();
                pixels.push(((sum + (k * k / 2) as u32) / (k * k) as u32) as u8);
            }
        }
    }
    Ok((pixels, (width, height)))
}

#[cfg(test)]
mod tests;
