//! Optimal stopping without a horizon: where to stop first.
//!
//!   max( sup_v { L^v V + l - c(v) } - rho V, psi - V ) = 0.
//!
//! "Stop" is one more value of the policy at each node, so Howard's iteration solves this too. Stopping everywhere, V = psi, is a
//! policy that ends, and the iteration may always begin with it. But from there, as from any other set, the free boundary moves
//! by about one node with each linear solve. So the problem is solved on half the grid first, which is itself solved on half of
//! that, and so on: the boundary is then within a node or two at once.
//! Reference: H. J. Kushner, P. Dupuis, Numerical Methods for Stochastic Control Problems in Continuous Time (2001), chapter 6;
//! M. Hintermueller, K. Ito, K. Kunisch, The primal-dual active set strategy as a semismooth Newton method, SIAM J. Optim. 13
//! (2002) 865-888.

use super::StationarySolver;
use super::evaluation::Evaluation;
use crate::certificate::coarsen;
use crate::error::HjbError;
use crate::hamiltonian::Hamiltonian;
use hjbridge_model::ScalarField;
use hjbridge_model::grid::{Extrapolation, LinearInterpolant};

/// A value (in the sign of the maximisation) and where to stop.
pub(super) type Guess = (Vec<f64>, Vec<bool>);

/// The solution on half the grid at the nodes of the grid; `None` where that cannot be had.
pub(super) fn from_half_grid(solver: &StationarySolver<'_>) -> Option<Guess> {
    let p = solver.params;
    let half = StationarySolver { grid: p.boundary.mark(coarsen(&solver.grid).ok()?.grid), ..*solver };
    let (solution, _, stopped) = half.run().ok()?;
    let refined = |coarse: &[f64]| -> Result<Vec<f64>, HjbError> {
        let nodes = solver.grid.points();
        let mut fine = vec![0.0; nodes.len()];
        LinearInterpolant::new(half.grid.clone(), coarse, Extrapolation::default())?.value(nodes.as_points(), &mut fine);
        Ok(fine)
    };
    let mut value = refined(&solution.value).ok()?;
    p.sense.orient(&mut value);
    let part: Vec<f64> = stopped.iter().map(|s| f64::from(u8::from(*s))).collect();
    Some((value, refined(&part).ok()?.iter().map(|part| *part > 0.5).collect()))
}

/// Whether, without a discount, policies that stop somewhere lead to one that never does: each is better than the one before, so
/// what staying brings is infinite.
///
/// # Errors
/// A cost that is not finite.
pub(super) fn pays_to_stay(
    evaluation: &mut Evaluation,
    hamiltonian: &mut Hamiltonian<'_>,
    most: usize,
) -> Result<bool, HjbError> {
    evaluation.stop_everywhere(hamiltonian);
    for _ in 0..most {
        if evaluation.mean_time().is_none() {
            return Ok(true);
        }
        if evaluation.step(hamiltonian, 0.0)? == 0.0 {
            break;
        }
    }
    Ok(false)
}
