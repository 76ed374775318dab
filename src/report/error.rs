//! Errors of the report: which input, what was found, what is needed.

use std::path::{Path, PathBuf};

/// Why an array or a figure could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Lengths that do not fit together.
    #[error("{field} has {found} entries; {expected} expected")]
    Shape {
        /// Name of the argument, e.g. `heat map values`.
        field: String,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// A value that is not allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the argument.
        field: String,
        /// The offending value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// No value is left to draw once those that have no place on the axes are set aside.
    #[error("{figure}: nothing to draw: {reason}")]
    Empty {
        /// Which figure.
        figure: String,
        /// What was found in place of data.
        reason: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The drawing library refused.
    #[error("drawing: {0}")]
    Drawing(String),
}

impl ReportError {
    /// A [`ReportError::Invalid`] from anything that prints.
    pub fn invalid(field: impl Into<String>, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), value: value.to_string(), allowed: allowed.into() }
    }

    /// A [`ReportError::Empty`] for the named figure.
    pub fn empty(figure: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Empty { figure: figure.into(), reason: reason.into() }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), source }
    }

    pub(crate) fn drawing(error: impl std::fmt::Display) -> Self {
        Self::Drawing(error.to_string())
    }

    /// `Ok` if `found == expected`, else [`ReportError::Shape`].
    pub(crate) fn check_len(field: &str, found: usize, expected: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(Self::Shape { field: field.into(), found, expected }) }
    }

    /// `Ok` if `values` are finite and strictly increasing, else [`ReportError::Invalid`] with the first offender.
    pub(crate) fn check_increasing(field: &str, values: &[f64]) -> Result<(), Self> {
        for (i, v) in values.iter().enumerate() {
            if !v.is_finite() {
                return Err(Self::invalid(format!("{field}[{i}]"), v, "must be finite"));
            }
            if i > 0 && values[i - 1] >= *v {
                return Err(Self::invalid(format!("{field}[{i}]"), v, format!("must exceed its predecessor {}", values[i - 1])));
            }
        }
        Ok(())
    }
}
