//! Text files that a problem file names.

use super::error::ProblemError;
use std::path::Path;

/// The text of the file at `path`, which `field` names. Only regular files are read: a device may have no end.
pub(super) fn text_of(field: &str, path: &Path) -> Result<String, ProblemError> {
    let bad = |allowed: String| ProblemError::invalid(field, path.display(), allowed);
    match std::fs::metadata(path) {
        Ok(about) if !about.is_file() => Err(bad("cannot be read: it is not a regular file".into())),
        _ => std::fs::read_to_string(path).map_err(|e| bad(format!("cannot be read: {e}"))),
    }
}
