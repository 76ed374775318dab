//! Central differences wherever both rates stay non-negative, upwind elsewhere.
//!
//! Central is used for drifts in [-a/h-, a/h+], i.e. for cell Peclet numbers |mu| h / a up to 1. Order 2 once the grid
//! resolves the drift, order 1 at nodes that are not yet resolved, monotone always. The default.
//! Reference: J. Wang, P. A. Forsyth, Maximal use of central differencing for Hamilton-Jacobi-Bellman PDEs in finance,
//! SIAM J. Numer. Anal. 46 (2008) 1580-1601 (there with the two-point central quotient; the three-point one used here
//! is of second order on non-uniform axes too).

use super::{SpaceScheme, Spacing};

/// Central where positive, upwind elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hybrid;

impl SpaceScheme for Hybrid {
    fn name(&self) -> &'static str {
        "hybrid"
    }

    fn order(&self) -> u32 {
        2
    }

    #[inline]
    fn central_window(&self, spacing: Spacing, a: f64) -> (f64, f64) {
        (-a / spacing.minus, a / spacing.plus)
    }
}
