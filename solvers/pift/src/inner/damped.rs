//! Damped inner iteration: D^(m+1) = D^(m) + w ( lam grad G(m(y) + D^(m)) - D^(m) ),  w = 2 / (2 - rho_+ + rho_-).
//!
//! rho_+ is lam times the largest eigenvalue of D^2 V_{k+1} (at least 0) and rho_- minus lam times the smallest. The Jacobian
//! I + w (lam D^2 G - I) then has eigenvalues of modulus at most (rho_+ + rho_-) / (2 - rho_+ + rho_-) < 1 whenever rho_+ < 1, the
//! smallest bound a single w can give (Richardson's choice for a spectrum in [1 - rho_+, 1 + rho_-]). It converges where `Plain`
//! diverges (a concave V with a long step), and it is cheaper per update than `Newton` in many dimensions.

use super::plain;
use crate::block::NodeBlock;

/// w for the given bounds on the curvature.
pub(crate) fn weight(rho_plus: f64, rho_minus: f64) -> f64 {
    2.0 / (2.0 - rho_plus + rho_minus)
}

/// Write w (lam grad G(m + D) - D) as the update.
pub(crate) fn propose(block: &mut NodeBlock, lam: f64, w: f64) {
    plain::propose(block, lam);
    block.update.data_mut().iter_mut().for_each(|u| *u *= w);
}
