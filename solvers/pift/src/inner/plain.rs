//! Plain inner iteration of PI-FT: D^(m+1) = lam grad G(m(y) + D^(m)), from D^(0) = 0.
//!
//! In the controls this is u^(m+1) = s + [sqrt(a) sig^2 / (beta (1-a))] E[ grad V_{k+1}(mu(y, u^(m)) + sig W) ], u^(0) = s.
//! Linear convergence with factor rho = sig^2 sup|D^2 V_{k+1}| / beta, so it needs rho < 1; the value gap after m updates is of
//! order rho^(2m). On a chain with step h, rho = O(h): one update costs O(h^2) in the value of the whole chain, two O(h^4).
//! When rho >= 1 it diverges even for a concave V: use `Damped` or `Newton`.
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models* (arXiv:2412.18164).

use crate::block::NodeBlock;

/// Write lam grad G(m + D) - D, the defect of the first-order condition, as the update.
pub(crate) fn propose(block: &mut NodeBlock, lam: f64) {
    let NodeBlock { update, gradient, shift, .. } = block;
    for ((u, g), d) in update.data_mut().iter_mut().zip(gradient.data()).zip(shift.data()) {
        *u = lam * g - d;
    }
}
