//! What most programs need: `use hjbridge::prelude::*;`.
//!
//! ```
//! use hjbridge::prelude::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let prior = GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]])?;
//! let problem = FineTuning::builder()
//!     .schedule(Schedule::linear(2.0, 0.5, 3.0)?)
//!     .prior(prior)
//!     .reward(Reward::linear(vec![1.0], 0.0)?)
//!     .kl_weight(KlWeight::constant(0.7)?)
//!     .build()?;
//! let solution = Solve::new(&problem).axis(-6.0, 6.0, 401).run()?;
//! println!("V(0, 0) = {:.6}, error about {:?}", solution.value(0.0, &[0.0])?, solution.value_error());
//! # let exact = closed_form(&problem)?.ok_or("a closed form")?;
//! # let (y, mut v) = (PointBlock::zeros(1, 1), [0.0]);
//! # exact.at(0.0).value(y.as_points(), &mut v);
//! # assert!((solution.value(0.0, &[0.0])? - v[0]).abs() < 1e-6);
//! # Ok(())
//! # }
//! ```
//!
//! | wanted | begin with |
//! |---|---|
//! | a fine-tuning problem | [`FineTuning::builder`] |
//! | any controlled diffusion | [`FormulaDiffusion::builder`], [`ClosureDiffusion::builder`], or implement [`ControlledDiffusion`] |
//! | V and the optimal control | [`Solve`]; without a horizon [`StationarySolver`]; in closed form [`closed_form`] |
//! | paths of a policy | [`Ensemble`] with a [`RolloutParams`] |
//! | the discrete chain by PI-FT | [`Ddpm`], [`PiFt`] |
//! | a problem file, and what the commands do with it | [`AnyProblemFile`], [`crate::run`], [`crate::bridge`] |

pub use crate::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemFile, SampledProblem};
pub use crate::run::{RunError, Silent};
pub use crate::solve_builder::{Solution, Solve};
pub use hjbridge_hjb::{
    Face, Faces, LevelSet, RouteChoice, Sense, StationaryParams, StationarySolver, TimedLevelSet, ValueFunction,
};
pub use hjbridge_model::exact::{ClosedForm, closed_form};
pub use hjbridge_model::{
    Axis, Bump, ClosureDiffusion, ControlSet, ControlledDiffusion, Extrapolation, Feedback, FineTuning, FormulaDiffusion,
    GaussianMixture, InitialLaw, Interpolation, KlWeight, Law, PointBlock, Points, PointsMut, PointwiseFeedback, QuadraticTerm,
    Region, Reward, ScalarField, Schedule, TensorGrid, VectorField, ZeroFeedback,
};
pub use hjbridge_pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
pub use hjbridge_rollout::{Ensemble, InitialState, RolloutParams};
