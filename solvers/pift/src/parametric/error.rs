//! Errors of parametric PI-FT.

use crate::error::PiFtError;
use hjbridge_model::ModelError;

/// What can go wrong in training a policy on sampled states.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ParametricError {
    /// A value outside what is allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the field.
        field: String,
        /// The offending value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// An error of the chain.
    #[error(transparent)]
    Chain(#[from] PiFtError),
    /// An error of the model: a law, a quadrature rule.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A number that is not finite appeared.
    #[error("step {step}: {quantity} is {value} on path {path}{hint}")]
    NonFinite {
        /// Step k of the chain; N is the end of the path.
        step: usize,
        /// Which quantity.
        quantity: &'static str,
        /// The value.
        value: f64,
        /// Number of the path.
        path: u64,
        /// A likely cause, or nothing.
        hint: &'static str,
    },
    /// The features are linearly dependent on the sampled states and there is no ridge.
    #[error(
        "step {step}: the {features} features are linearly dependent on {states} states (singular values from {largest:.3e} to \
         {smallest:.3e}): take ridge > 0, fewer features, or more paths"
    )]
    RankDeficient {
        /// Step k of the chain.
        step: usize,
        /// Number of features.
        features: usize,
        /// Number of states.
        states: usize,
        /// Largest singular value of the design.
        largest: f64,
        /// Smallest singular value of the design.
        smallest: f64,
    },
    /// The inner iteration did not reach its tolerance.
    #[error(
        "step {step}: {iterations} updates ended with |D^(m+1) - D^(m)| = {update:.3e} > {tolerance:.3e} in L2 of the states \
         (ratio of the last two {contraction:.3}, damping {damping:.3}): more steps N, a larger kl_weight or a less convex reward; \
         a larger ridge where features grow or oscillate beyond the states"
    )]
    NoConvergence {
        /// Step k of the chain.
        step: usize,
        /// Updates done.
        iterations: usize,
        /// Last update of the shift.
        update: f64,
        /// What it should have been below.
        tolerance: f64,
        /// Ratio of the last two updates.
        contraction: f64,
        /// Damping reached.
        damping: f64,
    },
}

impl ParametricError {
    /// A [`ParametricError::Invalid`] from anything that prints.
    pub fn invalid(field: impl Into<String>, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        ParametricError::Invalid { field: field.into(), value: value.to_string(), allowed: allowed.into() }
    }
}
