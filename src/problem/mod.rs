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
mod locate;
mod network;
mod resolve;
mod sampled;
mod samples;
pub mod spec;
mod tagged;

pub use any::AnyProblemFile;
pub use controlled::{ControlledProblem, ExactFormulas, FormulaOfTime, FormulaTarget};
pub use controlled_spec::ControlledFile;
pub use error::ProblemError;
pub use formula_text::{FormulaText, MatrixSpec};
pub(crate) use grid::require_memory;
pub use locate::line_of;
pub use resolve::{DataColumns, Problem};
pub use sampled::SampledProblem;
pub use spec::ProblemFile;
