//! What a time-stepping scheme for stochastic differential equations must offer.

use crate::closed_loop::ClosedLoop;
use crate::lanes::Lanes;

/// One step of a scheme on a block of paths.
///
/// # Contract
/// A step is a function of the lane's own state and noise: lanes never mix. It must not depend on what the scratch arrays
/// of [`Lanes`] held before.
pub trait SdeScheme: Send + Sync {
    /// Name, for reports.
    const NAME: &'static str;

    /// p in (E |X_N - X_T|^2)^(1/2) <= C h^p.
    const STRONG_ORDER: f64;

    /// p in |E phi(X_N) - E phi(X_T)| <= C h^p for smooth phi.
    const WEAK_ORDER: f64;

    /// Advance from t_k to t_{k+1} and add the step's cost and running reward; `noise` holds the standard normal numbers
    /// of the step, component after component, one per lane. On return the lanes' control is the one at (t_k, X_k).
    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes);
}
