//! Newton's inner iteration: D^(m+1) = D^(m) + (I - lam D^2 G)^{-1} ( lam grad G - D^(m) ), everything at m(y) + D^(m).
//!
//! Quadratic convergence close to the solution, for any rho as long as the one-step problem is concave (lam lambda_max(D^2 G) < 1).
//! A step that does not shrink the defect |lam grad G - D| at a node is halved there until it does. D^2 G comes from Stein's
//! identity with the quadrature rule and differs from the derivative of the quadrature by the quadrature error, so with few nodes
//! the last digits converge linearly, fast. Prefer `Plain` when rho is small: it needs no Hessian.

use super::plain;
use crate::block::NodeBlock;
use crate::symmetric::solve_identity_minus;

/// Below this fraction of a Newton step the step is taken as it is: the defect is at rounding level.
const SMALLEST_FRACTION: f64 = 1e-3;

/// The one-step problem is not concave at an iterate.
pub(crate) struct NotConcave;

/// Write the Newton update, or half of the rejected one backwards.
///
/// # Errors
/// I - lam D^2 G is not positive definite at a node.
pub(crate) fn propose(block: &mut NodeBlock, lam: f64) -> Result<(), NotConcave> {
    let d = block.dim;
    let mut matrix = vec![0.0; d * d];
    let mut last = vec![0.0; d];
    let mut defect = vec![0.0; d];
    // Keep what was added last: a rejected step goes back by half of it.
    let previous = block.update.clone();
    plain::propose(block, lam);
    for j in 0..block.len() {
        block.update.as_points().copy_point(j, &mut defect);
        let size = defect.iter().map(|x| x * x).sum::<f64>().sqrt();
        if size > block.accepted_residual[j] && block.fraction[j] > SMALLEST_FRACTION {
            previous.as_points().copy_point(j, &mut last);
            // D = accepted + fraction * step; `last` is fraction * step on the first rejection, minus the half taken back after it.
            let back = if last_was_retreat(block.fraction[j]) { 0.5 } else { -0.5 };
            last.iter_mut().for_each(|x| *x *= back);
            block.update.as_mut().set_point(j, &last);
            block.fraction[j] *= 0.5;
            continue;
        }
        block.accepted_residual[j] = size;
        block.fraction[j] = 1.0;
        block.hessian.as_points().copy_point(j, &mut matrix);
        if !solve_identity_minus(d, lam, &matrix, &mut defect) {
            return Err(NotConcave);
        }
        block.update.as_mut().set_point(j, &defect);
    }
    Ok(())
}

/// Whether the last update at a node was a halving: then it points backwards already, and the next one is half of it.
fn last_was_retreat(fraction: f64) -> bool {
    fraction < 1.0
}
