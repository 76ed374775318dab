//! Upwind differences: the slope is taken on the side the drift points to.
//!
//! Order 1; both rates are non-negative for every drift and spacing, so the generator is that of a Markov chain and
//! the scheme is monotone. Numerical diffusion |mu| h/2. Prefer [`super::Hybrid`] unless a first-order reference with
//! one formula everywhere is wanted.
//! Reference: H. J. Kushner, P. Dupuis, Numerical Methods for Stochastic Control Problems in Continuous Time (2001).

use super::{SpaceScheme, Spacing};

/// The upwind scheme.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upwind;

impl SpaceScheme for Upwind {
    fn name(&self) -> &'static str {
        "upwind"
    }

    fn order(&self) -> u32 {
        1
    }

    #[inline]
    fn central_window(&self, _spacing: Spacing, _a: f64) -> (f64, f64) {
        (0.0, 0.0)
    }
}
