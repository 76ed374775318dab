//! The vocabulary of hjbridge: points, fields, schedules, laws, rewards, controlled diffusions, tensor grids and closed
//! forms. No solver lives here; `hjb`, `rollout` and `pift` meet in these types.

pub mod diffusion;
pub mod error;
pub mod field;
pub mod points;

pub use diffusion::{Coefficients, ControlSet, ControlledDiffusion, MatrixCoefficient};
pub use error::ModelError;
pub use field::{Feedback, PointwiseFeedback, ScalarField, VectorField, ZeroFeedback};
pub use points::{PointBlock, Points, PointsMut};
