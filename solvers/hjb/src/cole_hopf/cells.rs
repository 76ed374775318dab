//! Whether the cells are small enough for phi.
//!
//! Against a drift mu phi changes like exp(-2 mu x/sigma^2): by exp(2 P) per cell, with the cell Peclet number P = |mu| h/sigma^2.
//! Central differences make that (1 + P)/(1 - P), too steep by P^2/3 of the logarithm and much more as P approaches 1; one-sided
//! ones 1 + 2 P; fitted ones are right. Along the drift log phi hardly changes, and P may be anything. So what is reported is
//! the largest min(P, |change of log phi|) over the edges of the grid.

use super::equation::LogEquation;
use crate::hamiltonian::Hamiltonian;
use crate::space::Space;

/// Above this V is off by more than 5 to 7 per cent, measured on double wells (see [`super::StationaryColeHopf`]); none for the
/// fitted scheme.
fn limit(space: Space) -> Option<f64> {
    match space {
        Space::Upwind => Some(0.05),
        Space::Hybrid => Some(0.5),
        Space::Fitted => None,
    }
}

/// The largest min(P, |theta_k - theta_j|) over the edges (j, k) with an end that is not prescribed.
pub(super) fn cell_peclet(hamiltonian: &Hamiltonian<'_>, equation: &LogEquation, theta: &[f64]) -> f64 {
    let (c, grid, n) = (hamiltonian.coefficients(), &hamiltonian.geometry().grid, theta.len());
    let mut fixed = vec![false; n];
    equation.fixed.iter().for_each(|&(j, _)| fixed[j] = true);
    let mut worst = 0.0f64;
    for (i, axis) in grid.axes().iter().enumerate() {
        let (x, stride) = (axis.nodes(), grid.strides()[i]);
        for j in 0..n {
            let index = j / stride % x.len();
            let k = j + stride;
            if index + 1 == x.len() || (fixed[j] && fixed[k]) {
                continue;
            }
            let (h, step) = (x[index + 1] - x[index], (theta[k] - theta[j]).abs());
            for end in [j, k] {
                let (mu, a) = (c.drift[i * n + end].abs(), c.variance[i * n + end]);
                if mu > 0.0 {
                    worst = worst.max((mu * h / a).min(step));
                }
            }
        }
    }
    worst
}

/// Words for a number above the limit.
pub(super) fn note(cell_peclet: f64, space: Space) -> Option<String> {
    let limit = limit(space).filter(|limit| cell_peclet > *limit)?;
    Some(format!(
        "the cells are too coarse for exp(V/beta) by this scheme: the cell Peclet number |drift| spacing/sigma^2 is \
         {cell_peclet:.2} where V changes against the drift, and above {limit} V is off by more than some per cent: take the \
         fitted scheme, refine there, or use policy iteration"
    ))
}
