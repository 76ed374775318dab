//! Estimators beyond the plain mean: less variance for the same paths, other laws, exits, and the step's bias removed.
//!
//! | method | where | what it needs |
//! |---|---|---|
//! | antithetic pairs | [`RolloutParams::antithetic`](crate::RolloutParams::antithetic) | an even number of paths |
//! | control variate | [`control_variate`] | the gradient of an approximate value function |
//! | change of measure | [`GirsanovWeight`], [`exponential_mean`] | a control; the optimal one leaves no variance |
//! | first exit | [`FirstExit`], [`first_exit`] | a level function for each target |
//! | weak extrapolation | [`weak_extrapolation`] | a weak order |
//! | multilevel Monte Carlo | [`multilevel`](crate::multilevel) | coupled levels |

mod control_variate;
mod extrapolation;
mod first_exit;
mod girsanov;
mod importance;

pub use control_variate::{
    Coefficient, ControlVariateEstimate, ControlVariateInfo, ControlVariateParams, StochasticIntegral, control_variate,
};
pub use extrapolation::{WeakExtrapolation, WeakExtrapolationInfo, weak_extrapolation};
pub use first_exit::{FirstExit, FirstExitEstimate, FirstExitInfo, crossing, first_exit, squared_noise};
pub use girsanov::GirsanovWeight;
pub use importance::{ImportanceEstimate, ImportanceInfo, ImportanceParams, exponential_mean};
