//! The vocabulary of hjbridge: points, fields, schedules, laws, rewards, controlled diffusions, tensor grids and closed
//! forms. No solver lives here; `hjb`, `rollout` and `pift` meet in these types.

pub mod closures;
pub mod coordinatewise;
pub mod diffusion;
pub mod dispatch;
pub mod error;
pub mod exact;
pub mod field;
pub mod fine_tuning;
pub mod fine_tuning_builder;
pub mod formula;
pub mod formulated;
pub mod grid;
pub mod kl;
pub mod lanes;
pub mod law;
pub mod network;
pub mod points;
pub mod quadrature;
pub mod reward;
pub mod schedule;
pub mod spd;

pub use closures::{ClosureDiffusion, ClosureDiffusionBuilder};
pub use coordinatewise::CoordinatewiseFeedback;
pub use diffusion::{Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient};
pub use error::ModelError;
pub use field::{Feedback, PointwiseFeedback, ScalarField, VectorField, ZeroFeedback};
pub use fine_tuning::{FineTuning, InitialLaw, NoisedScore};
pub use fine_tuning_builder::FineTuningBuilder;
pub use formula::{Formula, FormulaError};
pub use formulated::{CostFormula, DiffusionFormulas, FormulaDiffusion, FormulaDiffusionBuilder, FormulaField, MatrixFormula};
pub use grid::{
    Axis, CubicSpline, Extrapolation, GaussianSmoothing, GridFunction, Interpolation, LinearInterpolant, Region, Remembered,
    TableFeedback, TensorGrid,
};
pub use kl::KlWeight;
pub use law::{GaussianMixture, Law};
pub use network::{Network, NetworkScore};
pub use points::{PointBlock, Points, PointsMut};
pub use reward::{Bump, ClassReward, QuadraticTerm, Reward};
pub use schedule::Schedule;
