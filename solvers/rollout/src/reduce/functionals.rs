//! Moments of any numbers computed from each finished path.

use std::sync::Arc;

use hjbridge_model::{PointBlock, Points, PointsMut};

use crate::error::RolloutError;
use crate::ranks::{from_bytes, to_bytes};
use crate::reduce::{Estimate, FinishedPaths, Moments, Reducer, pair_means};

/// What to compute from a block of finished paths: one coordinate per quantity, one point per path.
pub type Measure<'a> = dyn Fn(&FinishedPaths<'_>, PointsMut<'_>) + Send + Sync + 'a;

/// Joint mean and covariance of quantities measured on each path; the paths of an antithetic pair count as one sample,
/// their mean.
#[derive(Clone)]
pub struct MeasureReducer<'a> {
    measure: Arc<Measure<'a>>,
    moments: Moments,
    watched: usize,
}

impl<'a> MeasureReducer<'a> {
    /// Of `quantities` numbers per path.
    pub fn new(quantities: usize, measure: impl Fn(&FinishedPaths<'_>, PointsMut<'_>) + Send + Sync + 'a) -> Self {
        MeasureReducer { measure: Arc::new(measure), moments: Moments::new(quantities), watched: 0 }
    }

    /// Of the numbers that the functionals of the run keep.
    pub fn functionals(quantities: usize) -> Self {
        MeasureReducer::new(quantities, |paths: &FinishedPaths<'_>, mut out: PointsMut<'_>| {
            for i in 0..out.dim() {
                out.coord_mut(i).copy_from_slice(paths.functionals.coord(i));
            }
        })
    }

    /// Let stop rules look at the standard error of this quantity; without it, at that of the first.
    pub fn watching(mut self, quantity: usize) -> Self {
        self.watched = quantity;
        self
    }

    /// The moments so far.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Continue from moments seen before, of as many quantities.
    ///
    /// # Errors
    /// [`RolloutError::Dimension`].
    pub fn with_moments(mut self, moments: Moments) -> Result<Self, RolloutError> {
        let (found, expected) = (moments.dim(), self.moments.dim());
        if found != expected {
            return Err(RolloutError::Dimension { what: "number of measured quantities", found, expected });
        }
        self.moments = moments;
        Ok(self)
    }

    /// Mean and standard error of each quantity.
    ///
    /// # Errors
    /// [`RolloutError::Overflow`] when one is not finite.
    pub fn estimates(&self) -> Result<Vec<Estimate>, RolloutError> {
        let estimates = self.moments.mean();
        if estimates.iter().any(|e| !(e.mean.is_finite() && e.standard_error.is_finite())) {
            return Err(RolloutError::Overflow { quantity: "measured quantity" });
        }
        Ok(estimates)
    }
}

impl Reducer for MeasureReducer<'_> {
    fn absorb(&mut self, paths: &FinishedPaths<'_>) {
        let (q, n) = (self.moments.dim(), paths.len());
        let mut values = PointBlock::zeros(q, n);
        (self.measure)(paths, values.as_mut());
        if !paths.antithetic {
            self.moments.absorb(values.as_points());
            return;
        }
        let means: Vec<f64> = (0..q).flat_map(|i| pair_means(values.coord(i)).collect::<Vec<_>>()).collect();
        self.moments.absorb(Points::new(&means, q));
    }

    fn merge(&mut self, later: Self) {
        self.moments.merge(&later.moments);
    }

    fn fits(&self, other: &Self) -> bool {
        self.moments.dim() == other.moments.dim()
    }

    /// That of the watched quantity.
    fn standard_error(&self) -> Option<f64> {
        self.moments.mean().get(self.watched).map(|e| e.standard_error)
    }

    fn varies(&self) -> bool {
        self.moments.mean().get(self.watched).is_some_and(Estimate::varies)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        to_bytes(&self.moments)
    }

    fn unpack(&self, bytes: &[u8]) -> Option<Self> {
        self.clone().with_moments(from_bytes(bytes)?).ok()
    }
}
