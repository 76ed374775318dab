//! V and U* of the reference on the whole grid at the times of the chains, kept for chains that share times.

use super::reference::Reference;
use crate::problem::Problem;
use crate::run::{RegionPoints, RegionSlice, RunError};
use hjbridge_model::PointBlock;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of slices that are kept.
const KEPT: usize = 1 << 30;

/// The reference at one time.
pub(super) struct GridSlice {
    /// V at the nodes.
    pub value: Vec<f64>,
    /// U*, component by component.
    pub control: Vec<f64>,
}

/// Slices of a reference.
pub(super) struct Slices<'a> {
    problem: &'a Problem,
    reference: &'a Reference,
    kept: HashMap<u64, Arc<GridSlice>>,
}

impl<'a> Slices<'a> {
    pub fn new(problem: &'a Problem, reference: &'a Reference) -> Self {
        Slices { problem, reference, kept: HashMap::new() }
    }

    /// The slices at these times, in parallel where they are not yet known.
    pub fn at(&mut self, times: &[f64]) -> Result<Vec<Arc<GridSlice>>, RunError> {
        let bytes = 8 * self.problem.grid.len() * (self.problem.dim() + 1);
        let new: Vec<f64> = times.iter().copied().filter(|t| !self.kept.contains_key(&t.to_bits())).collect();
        if (self.kept.len() + new.len()).saturating_mul(bytes) > KEPT {
            let wanted: Vec<u64> = times.iter().map(|t| t.to_bits()).collect();
            self.kept.retain(|t, _| wanted.contains(t));
        }
        let made: Vec<Arc<GridSlice>> = new.par_iter().map(|t| self.slice(*t).map(Arc::new)).collect::<Result<_, RunError>>()?;
        self.kept.extend(new.iter().map(|t| t.to_bits()).zip(made));
        Ok(times.iter().filter_map(|t| self.kept.get(&t.to_bits()).cloned()).collect())
    }

    /// V and U* on the region's nodes.
    pub fn on(&self, region: &RegionPoints, t: f64) -> Result<RegionSlice, RunError> {
        match self.kept.get(&t.to_bits()) {
            Some(slice) => Ok(region.restrict(&slice.value, &slice.control)),
            None => self.slice(t).map(|slice| region.restrict(&slice.value, &slice.control)),
        }
    }

    fn slice(&self, t: f64) -> Result<GridSlice, RunError> {
        let Some(exact) = self.reference.exact() else {
            let (value, control) = self.reference.hjb_grid_slice(self.problem, t)?;
            return Ok(GridSlice { value, control });
        };
        let (n, points) = (self.problem.grid.len(), self.problem.grid.points());
        let (mut value, mut control) = (vec![0.0; n], PointBlock::zeros(self.problem.dim(), n));
        let slice = exact.at(t);
        slice.value(points.as_points(), &mut value);
        slice.control(points.as_points(), control.as_mut());
        Ok(GridSlice { value, control: control.data().to_vec() })
    }
}
