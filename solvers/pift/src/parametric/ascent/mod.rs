//! Gradient ascent on J(theta), the objective of the chain under a policy.
//!
//! ```text
//!   grad J = E sum_k (dg_k/dtheta)' lam_k (t_k - g_k)
//! ```
//!
//! | estimator | targets t_k | file |
//! |---|---|---|
//! | [`Estimator::Pathwise`] | the adjoint p_{k+1} along the path (needs grad r) | `gradient.rs` |
//! | [`Estimator::ScoreFunction`] | (W_k/sig_k) (gain after step k - its mean over the other paths) (values of r only) | `gradient.rs` |
//!
//! | direction | step | file |
//! |---|---|---|
//! | [`Direction::Natural`], linear policies | 1 first: least squares of t_k on the features, which is a step of policy iteration at all k at once; line search | `direction.rs` |
//! | [`Direction::Gradient`] | backtracking line search | `direction.rs` |
//! | [`Direction::Adam`] | fixed rate | `adam.rs` |
//!
//! The line search compares sample means over the same noise, so that with [`NoiseRule::Common`] the sampled objective never falls;
//! with [`NoiseRule::Fresh`] every iteration has noise of its own, which a stochastic ascent needs in order not to fit its noise.
//!
//! References: Kingma, Ba, *Adam* (arXiv:1412.6980); Williams, Mach. Learn. 8 (1992), for the score function; Kakade, *A natural
//! policy gradient*, NIPS 2001.

mod adam;
mod direction;
mod gradient;
mod run;

pub use run::{Ascent, AscentInfo, AscentIteration, AscentState, StoppedBy};

use super::ParametricError;
use super::objective::check_paths;
use serde::{Deserialize, Serialize};

/// How the gradient is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Estimator {
    /// By the adjoint along each path.
    Pathwise {
        /// Differentiate the objective with its martingale: an error that vanishes at the optimum, but a larger one far from it.
        control_variate: bool,
    },
    /// By the likelihood ratio, for rewards without a gradient. Steps without noise are not trained.
    ScoreFunction,
}

impl Default for Estimator {
    fn default() -> Self {
        Estimator::Pathwise { control_variate: false }
    }
}

/// Where to go.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Direction {
    /// Along the natural gradient, with a line search; linear policies only.
    Natural {
        /// Ridge of the least squares, relative to the largest singular value.
        ridge: f64,
    },
    /// Along the gradient, with a line search.
    Gradient,
    /// Adam with a fixed rate.
    Adam {
        /// Learning rate, about the change of each parameter in an iteration.
        rate: f64,
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
    },
}

impl Direction {
    /// Adam with decays 0.9 and 0.999.
    pub fn adam(rate: f64) -> Self {
        Direction::Adam { rate, beta1: 0.9, beta2: 0.999 }
    }
}

/// Which noise an iteration sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseRule {
    /// The same for all iterations.
    #[default]
    Common,
    /// New for every iteration.
    Fresh,
}

/// Parameters of [`Ascent`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AscentParams {
    /// Paths for each estimate; even.
    pub paths: usize,
    /// Seed.
    pub seed: u64,
    /// Common or fresh noise.
    pub noise: NoiseRule,
    /// How the gradient is estimated.
    pub estimator: Estimator,
    /// Where to go.
    pub direction: Direction,
    /// Most iterations, counted from the beginning of the state.
    pub iterations: usize,
    /// A line search ends the ascent when it gains less than this times max(1, |J|). Not used by Adam.
    pub tolerance: f64,
}

impl Default for AscentParams {
    fn default() -> Self {
        AscentParams {
            paths: 2048,
            seed: 1,
            noise: NoiseRule::default(),
            estimator: Estimator::default(),
            direction: Direction::Gradient,
            iterations: 100,
            tolerance: 1e-7,
        }
    }
}

impl AscentParams {
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn check(&self) -> Result<(), ParametricError> {
        check_paths(self.paths)?;
        let fraction = |field: &str, x: f64| {
            if (0.0..1.0).contains(&x) { Ok(()) } else { Err(ParametricError::invalid(field, x, "at least 0 and below 1")) }
        };
        match self.direction {
            Direction::Natural { ridge } => fraction("direction.ridge", ridge)?,
            Direction::Gradient => {}
            Direction::Adam { rate, beta1, beta2 } => {
                fraction("direction.beta1", beta1)?;
                fraction("direction.beta2", beta2)?;
                if !(rate > 0.0 && rate.is_finite()) {
                    return Err(ParametricError::invalid("direction.rate", rate, "positive and finite"));
                }
            }
        }
        if !(self.tolerance >= 0.0 && self.tolerance.is_finite()) {
            return Err(ParametricError::invalid("tolerance", self.tolerance, "at least 0 and finite"));
        }
        Ok(())
    }
}
