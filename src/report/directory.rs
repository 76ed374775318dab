//! The output directory: which files are ours, and what may be overwritten.

use super::{ReportError, atomic};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Name of the report in a directory; it marks the directory as ours.
pub const REPORT: &str = "report.json";

/// A directory that takes the files of one run.
///
/// Only files with the names asked for are written; others are never touched. Files of those names are overwritten only beside
/// a report of this program.
#[derive(Clone, Debug)]
pub struct OutputDirectory {
    path: PathBuf,
}

impl OutputDirectory {
    /// Check that `path` may be used; nothing is created yet.
    ///
    /// # Errors
    /// `path` is a file, or holds a `report.json` or `solution.npz` that is not this program's.
    pub fn prepare(path: &Path) -> Result<Self, ReportError> {
        if path.exists() && !path.is_dir() {
            return Err(ReportError::invalid("--out", path.display(), "is a file; a directory is needed"));
        }
        let report = path.join(REPORT);
        let foreign = |file: &Path| {
            let allowed = "exists and was not written by hjbridge; choose another directory with --out, or move it away";
            ReportError::invalid("--out", file.display(), allowed)
        };
        if report.exists() {
            let text = std::fs::read_to_string(&report).map_err(|e| ReportError::io(&report, e))?;
            let ours = serde_json::from_str::<Value>(&text).is_ok_and(|v| v.get("program") == Some(&"hjbridge".into()));
            if !ours {
                return Err(foreign(&report));
            }
        } else if path.join("solution.npz").exists() {
            return Err(foreign(&path.join("solution.npz")));
        }
        Ok(OutputDirectory { path: path.into() })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Write the report; it appears whole or not at all.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write_report<T: Serialize>(&self, report: &T) -> Result<(), ReportError> {
        let path = self.path.join(REPORT);
        let mut text = serde_json::to_string_pretty(report).map_err(|e| ReportError::io(&path, e.into()))?;
        text.push('\n');
        atomic::replace(&path, |p| std::fs::write(p, &text).map_err(|e| ReportError::io(p, e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let out = OutputDirectory::prepare(dir.path()).unwrap();
        out.write_report(&serde_json::json!({"program": "hjbridge"})).unwrap();
        // a second run of ours may overwrite
        OutputDirectory::prepare(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine");
        // a stranger's report may not
        std::fs::write(dir.path().join(REPORT), "{\"program\": \"other\"}").unwrap();
        assert!(OutputDirectory::prepare(dir.path()).unwrap_err().to_string().contains("not written by hjbridge"));
        assert!(OutputDirectory::prepare(&dir.path().join("notes.txt")).unwrap_err().to_string().contains("is a file"));
    }
}
