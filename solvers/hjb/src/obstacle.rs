//! Optimal stopping: the obstacle psi of V = max(continuation, psi).
//!
//!   max( V_t + L V - rho V + l, psi - V ) = 0,   V(T) = max(g, psi).
//!
//! Each implicit stage holds the discrete form of this at every node, and "stop" is one more value of the policy there, so
//! Howard's iteration solves it exactly: no penalty, no splitting. Crank-Nicolson and TR-BDF2 lose part of their order at
//! the free boundary, which moves like the square root of time near T.
//! Reference: O. Bokanowski, S. Maroso, H. Zidani, SIAM J. Numer. Anal. 47 (2009) 3001-3026; P. A. Forsyth, K. R. Vetzal,
//! Quadratic convergence for valuing American options using a penalty method, SIAM J. Sci. Comput. 23 (2002) 2095-2122.

use crate::error::HjbError;
use crate::hamiltonian::Hamiltonian;
use crate::sense::Sense;
use hjbridge_model::Points;

/// The reward for stopping (the cost, when minimising).
pub trait Obstacle: Send + Sync {
    /// Write psi(t, x) at each point.
    fn payoff(&self, t: f64, x: Points<'_>, out: &mut [f64]);
}

/// A closure `(t, x)` over one point.
impl<F: Fn(f64, &[f64]) -> f64 + Send + Sync> Obstacle for F {
    fn payoff(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        let mut p = vec![0.0; x.dim()];
        for (j, o) in out.iter_mut().enumerate() {
            x.copy_point(j, &mut p);
            *o = self(t, &p);
        }
    }
}

/// psi on the nodes, in the sign of the maximisation.
pub(crate) fn evaluate(
    obstacle: &dyn Obstacle,
    t: f64,
    sense: Sense,
    hamiltonian: &Hamiltonian<'_>,
) -> Result<Vec<f64>, HjbError> {
    let at = hamiltonian.coefficients();
    let mut psi = vec![0.0; at.nodes.len()];
    obstacle.payoff(t, at.nodes.as_points(), &mut psi);
    at.check_finite("obstacle", &psi, t)?;
    hamiltonian.geometry().close_periodic("obstacle", &mut psi, t)?;
    sense.orient(&mut psi);
    Ok(psi)
}
