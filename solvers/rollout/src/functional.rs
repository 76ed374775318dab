//! Quantities added up along each path beside its costs and rewards: stochastic integrals, weights, exit probabilities.
//!
//! A functional owns a few numbers per path. The engine shows it every step; at the end they reach the reducers as
//! [`FinishedPaths::functionals`](crate::FinishedPaths::functionals), all functionals one after the other.

use hjbridge_model::{Points, PointsMut};

use crate::closed_loop::{ClosedLoop, Level};
use crate::error::RolloutError;

/// One step of a block of paths, all lanes.
#[derive(Clone, Copy)]
pub struct StepView<'a> {
    /// k.
    pub step: usize,
    /// t_k.
    pub time: f64,
    /// t_{k+1} - t_k.
    pub step_length: f64,
    /// The coefficients at t_k.
    pub level: &'a Level<'a>,
    /// X_k.
    pub before: Points<'a>,
    /// X_{k+1}.
    pub after: Points<'a>,
    /// v(t_k, X_k).
    pub control: Points<'a>,
    /// The standard normal numbers of the step, q coordinates: the Brownian increment is sqrt(`step_length`) times this.
    pub noise: Points<'a>,
}

/// A quantity that is added up along paths.
pub trait PathFunctional: Send + Sync {
    /// How many numbers it keeps for each path, at least 1.
    fn values(&self) -> usize;

    /// Compute what depends on time alone, for all time levels.
    ///
    /// # Errors
    /// A functional that does not fit the problem.
    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError>;
}

/// A functional ready for the steps of a run.
///
/// # Contract
/// Lanes never mix: the numbers of a lane are a function of that lane's path.
pub trait PreparedFunctional: Send + Sync {
    /// Set the numbers of paths that start at `x`; zero unless said otherwise.
    fn begin(&self, _x: Points<'_>, mut values: PointsMut<'_>) {
        values.fill(0.0);
    }

    /// Take in a step.
    fn step(&self, step: &StepView<'_>, values: PointsMut<'_>);

    /// Whether no later step can change the numbers of this lane.
    fn settled(&self, _values: Points<'_>, _lane: usize) -> bool {
        false
    }
}
