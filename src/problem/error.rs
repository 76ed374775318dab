//! What can be wrong with a problem file.

use hjbridge_model::ModelError;
use std::path::PathBuf;

/// A problem file that cannot be used; every case names the place and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum ProblemError {
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Text that is not a problem file.
    #[error("{}, line {line}, column {column}: {}{message}", path.display(), at_field(field))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// The field, as far as the parser had got; `.` at the top.
        field: String,
        /// What was found and what is allowed.
        message: String,
    },
    /// A value that is not allowed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A data file with a bad entry.
    #[error("{}, line {line} (row {row}), column `{column}`: `{value}` {allowed}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1.
        line: u64,
        /// Row of data, from 1, not counting the header.
        row: usize,
        /// Column name.
        column: String,
        /// The entry.
        value: String,
        /// What is allowed.
        allowed: String,
    },
}

fn at_field(field: &str) -> String {
    if field == "." || field == "?" { String::new() } else { format!("{field}: ") }
}

impl ProblemError {
    /// A value outside what is allowed.
    pub fn invalid(field: impl Into<String>, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        ProblemError::Model(ModelError::invalid(field, value, allowed))
    }
}
