//! Problem files: what a user writes, checked and turned into model objects.
//!
//! [`spec`] holds the file's types, [`ProblemFile::read`] parses one, [`Problem`] is the resolved problem the commands run.

mod error;
mod resolve;
mod samples;
pub mod spec;
mod tagged;

pub use error::ProblemError;
pub(crate) use resolve::require_memory;
pub use resolve::{DataColumns, Problem};
pub use spec::ProblemFile;
