//! Probability laws on R^d: what initial laws, priors and tilted laws have in common.

mod mixture;
mod mixture_block;
mod samples;

pub use mixture::GaussianMixture;
pub(crate) use mixture::check_vector;
pub use samples::{Bandwidth, KernelDensity, Standardization};

use crate::points::Points;
use rand::Rng;

/// A law with a density that can be sampled.
pub trait Law: Send + Sync {
    /// Dimension d.
    fn dim(&self) -> usize;

    /// Write log p(x) at each point.
    fn log_density(&self, x: Points<'_>, out: &mut [f64]);

    /// Draw one point into `out` (length d).
    fn sample(&self, rng: &mut dyn Rng, out: &mut [f64]);
}
