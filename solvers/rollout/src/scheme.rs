//! What a time-stepping scheme for stochastic differential equations must offer.

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::lanes::Lanes;

/// The times within a step, besides t_k, at which a scheme needs the coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageTimes {
    /// Fractions c in (0, 1): t_k + c h_k.
    pub inner: &'static [f64],
    /// t_{k+1}.
    pub end: bool,
}

impl StageTimes {
    /// None: the scheme is explicit in the left end point.
    pub const NONE: StageTimes = StageTimes { inner: &[], end: false };

    /// The right end point.
    pub const END: StageTimes = StageTimes { inner: &[], end: true };
}

/// One step of a scheme on a block of paths.
///
/// # Contract
/// A step is a function of the lane's own state and noise: lanes never mix. It must not depend on what the scratch arrays
/// of [`Lanes`] held before.
///
/// # Costs and rewards
/// The running sums are further components of the state, with drift e^{-rho (t - t_0)} c and e^{-rho (t - t_0)} l and no
/// noise of their own; a scheme adds what it would add to such components, so that the objective has the scheme's weak
/// order. For schemes with one stage that is the rule of the left end point, for those of weak order 2 the trapezoidal rule
/// (or the quadrature of their stages).
pub trait SdeScheme: Clone + Send + Sync {
    /// Name, for reports.
    const NAME: &'static str;

    /// p in (E |X_N - X_T|^2)^(1/2) <= C h^p, X driven by the Brownian path whose increments the scheme uses; 0 for a scheme
    /// that follows the law only. The documentation of a scheme names the class of problems.
    const STRONG_ORDER: f64;

    /// p in |E phi(X_N) - E phi(X_T)| <= C h^p for smooth phi.
    const WEAK_ORDER: f64;

    /// Whether a step is one of the stochastic differential equation itself, its noise being sigma(t_k, X_k) times the Brownian
    /// increment up to higher orders of h: the weights of Girsanov's theorem are then those of its paths. Not so for the samplers
    /// of diffusion models, whose noise has a variance of its own.
    const FOLLOWS_EQUATION: bool = true;

    /// Standard normal numbers per Brownian component and step: 1 or 2.
    const NORMALS: usize = 1;

    /// Where coefficients are needed besides t_k.
    const STAGES: StageTimes = StageTimes::NONE;

    /// Whether on equal steps the error in law is c h^p + o(h^p), as extrapolation takes for granted.
    fn expands(&self) -> bool {
        true
    }

    /// What this scheme was made with, beside the problem's own schedule, for reports; null where there is nothing to choose.
    fn parameters(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Compute what depends on the time levels only; called once before a run.
    ///
    /// # Errors
    /// A problem or time grid that the scheme is not made for.
    fn prepare(&mut self, _system: &ClosedLoop<'_>) -> Result<(), RolloutError> {
        Ok(())
    }

    /// Advance from t_k to t_{k+1} and add the step's cost and running reward; `noise` holds the standard normal numbers
    /// of the step, component after component, one per lane: q numbers xi with W(t_{k+1}) - W(t_k) = sqrt(h_k) xi, then, when
    /// [`SdeScheme::NORMALS`] is 2, q numbers zeta with int (W - W(t_k)) dt = (h_k^{3/2}/2) (xi + zeta/sqrt 3) over the step.
    /// On return the lanes' control is the one at (t_k, X_k).
    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes);
}
