//! Upwind differences: the slope is taken on the side the drift points to.
//!
//! Order 1; both rates are non-negative for every drift and spacing, so the generator is that of a Markov chain and
//! the scheme is monotone. Numerical diffusion |mu| h/2. Prefer [`super::Hybrid`] unless a first-order reference with
//! one formula everywhere is wanted.
//! Reference: H. J. Kushner, P. Dupuis, Numerical Methods for Stochastic Control Problems in Continuous Time (2001).

use super::SpaceScheme;

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

    fn central_windows(&self, _rates: [&[f64]; 2], _weights: [&[f64]; 2], low: &mut [f64], high: &mut [f64]) {
        low.fill(0.0);
        high.fill(0.0);
    }
}
