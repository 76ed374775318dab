//! Problem files: what a user writes, checked and turned into model objects.
//!
//! | kind | file | resolved |
//! |---|---|---|
//! | `fine_tuning` (or absent) | [`ProblemFile`], its types in [`spec`] | [`Problem`] |
//! | the same, without a grid | [`ProblemFile`] | [`SampledProblem`] |
//! | `controlled_diffusion` | [`ControlledFile`], its types in [`controlled_spec`] | [`ControlledProblem`] |
//!
//! [`AnyProblemFile`] reads either.

mod any;
mod classifier;
mod controlled;
pub mod controlled_spec;
mod data_file;
mod error;
mod formula_text;
mod grid;
mod network;
mod pift_spec;
mod resolve;
mod sampled;
mod samples;
mod schema;
pub mod spec;
mod tagged;
mod text;

pub use any::AnyProblemFile;
pub use controlled::{ControlledProblem, ExactFormulas, FormulaOfTime, FormulaTarget};
pub use controlled_spec::ControlledFile;
pub use error::ProblemError;
pub use formula_text::{FormulaText, MatrixSpec};
pub use grid::limit_memory;
pub(crate) use grid::memory_available;
#[cfg(feature = "cli")]
pub(crate) use resolve::check_name;
pub use resolve::{DataColumns, Problem};
pub use sampled::SampledProblem;
pub use schema::{ProblemKind, schema};
pub use spec::ProblemFile;
pub use text::{Place, place_in_file, place_of};
