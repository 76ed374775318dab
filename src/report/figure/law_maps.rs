//! A law over two coordinates: the simulated density and, beside it in the same colours, the exact one.

use super::Figure;
use super::canvas::{Area, Canvas};
use super::heat_map::HeatMap;
use super::marks::Marks;
use super::surface::Surface;
use crate::report::ReportError;

/// One or two maps of a density.
#[derive(Debug, Clone, Copy)]
pub struct LawMaps<'a> {
    /// From the histogram.
    pub simulated: HeatMap<'a>,
    /// What it should be.
    pub exact: Option<HeatMap<'a>>,
}

impl Figure for LawMaps<'_> {
    fn size(&self) -> (u32, u32) {
        (if self.exact.is_some() { 1240 } else { 640 }, 540)
    }

    fn draw<S: Surface>(&self, canvas: &mut Canvas<S>) -> Result<(), ReportError> {
        // both on the scale of the exact law, which has no noise
        let scale = self.exact.as_ref().map_or(self.simulated.values, |e| e.values);
        self.simulated.draw_on_scale(
            canvas,
            Area { left: 14.0, top: 12.0, right: 610.0, bottom: 530.0 },
            &Marks::default(),
            scale,
        )?;
        if let Some(exact) = &self.exact {
            exact.draw_on_scale(
                canvas,
                Area { left: 634.0, top: 12.0, right: 1228.0, bottom: 530.0 },
                &Marks::default(),
                scale,
            )?;
        }
        Ok(())
    }
}
