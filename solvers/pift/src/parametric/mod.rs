//! Parametric PI-FT: policies with parameters, trained on sampled states, in any dimension.
//!
//! | what | type | file |
//! |---|---|---|
//! | the chain with its initial law | [`SampledChain`] | `chain.rs` |
//! | a policy linear in its parameters | [`LinearPolicy`], [`FeatureSpec`] | `linear.rs`, `features/` |
//! | a small neural network | [`NetworkPolicy`] | `network.rs`, `mlp.rs` |
//! | your own policy | [`Policy`] | `policy.rs` |
//! | backward sweep with projected improvement | [`LeastSquares`] | `least_squares.rs`, `expectation.rs`, `regression.rs` |
//! | gradient ascent on the objective | [`Ascent`] | `ascent/` |
//! | what a policy achieves, and a bound on what any could | [`SampledChain::evaluate`] | `objective.rs` |
//! | the policy as a control for rollouts | [`PolicyFeedback`] | `feedback.rs` |
//!
//! A policy models the costate g_k(y) = E[grad V_{k+1}(Y_{k+1}) | Y_k = y]; it shifts the kernel mean by D_k = lam_k g_k. All random
//! numbers are keyed by seed, path and step, and sums are taken in a fixed order: results are the same bits on any number of
//! threads, and a training that was stored and resumed is the same as one that was not.
//!
//! A score that knows its derivative (a network) is differentiated exactly; any other is taken to have a symmetric Jacobian, as the
//! score of a law has, and differentiated along one direction.

mod ascent;
mod chain;
mod error;
mod expectation;
pub mod features;
mod feedback;
mod lanes;
mod least_squares;
mod linear;
mod mlp;
mod network;
mod noise;
mod objective;
mod policy;
mod pretrained;
mod regression;

pub use ascent::{Ascent, AscentInfo, AscentIteration, AscentParams, AscentState, Direction, Estimator, NoiseRule, StoppedBy};
pub use chain::SampledChain;
pub use error::ParametricError;
pub use expectation::{ExpectationRule, GradientRule};
pub use features::FeatureSpec;
pub use feedback::PolicyFeedback;
pub use least_squares::{FitInfo, LeastSquares, LeastSquaresInfo, LeastSquaresParams, LeastSquaresState, StateLaw};
pub use linear::{LinearParams, LinearPolicy};
pub use mlp::Activation;
pub use network::{NetworkParams, NetworkPolicy};
pub use objective::{Mean, ObjectiveInfo};
pub use policy::{Adjoint, Policy, PolicyInput, StateAt};
pub use pretrained::Pretrained;
