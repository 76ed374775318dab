//! Central differences wherever both rates stay non-negative, upwind elsewhere.
//!
//! Central is used for drifts in [-a/h-, a/h+], i.e. for cell Peclet numbers |mu| h / a up to 1. Order 2 once the grid
//! resolves the drift, order 1 at nodes that are not yet resolved, monotone always. The default.
//! Reference: J. Wang, P. A. Forsyth, Maximal use of central differencing for Hamilton-Jacobi-Bellman PDEs in finance,
//! SIAM J. Numer. Anal. 46 (2008) 1580-1601 (there with the two-point central quotient; the three-point one used here
//! is of second order on non-uniform axes too).

use super::SpaceScheme;

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

    fn central_windows(&self, rates: [&[f64]; 2], weights: [&[f64]; 2], low: &mut [f64], high: &mut [f64]) {
        // Largest drifts for which minus - mu c- and plus + mu c+ are not negative; [-a/h-, a/h+] without cross terms.
        let limit = |rate: f64, weight: f64| if weight > 0.0 { rate.max(0.0) / weight } else { f64::INFINITY };
        for ((h, r), w) in high.iter_mut().zip(rates[0]).zip(weights[0]) {
            *h = limit(*r, *w);
        }
        for ((l, r), w) in low.iter_mut().zip(rates[1]).zip(weights[1]) {
            *l = -limit(*r, *w);
        }
    }
}
