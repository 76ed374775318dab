//! The output directory: which files are ours, and what may be overwritten.

use super::{ReportError, atomic};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Name of the report in a directory; it marks the directory as ours.
pub const REPORT: &str = "report.json";

/// Name of the arrays.
pub const SOLUTION: &str = "solution.npz";

/// Name of the saved paths.
pub const PATHS: &str = "paths.npz";

/// Name of the fields of a certificate.
pub const CERTIFY: &str = "certify.npz";

/// Name of the table of a sweep.
pub const SWEEP: &str = "sweep.csv";

/// The name of a training that can be resumed.
pub const TRAINING: &str = "training.json";

/// Stems of all figures that a command may draw.
const FIGURES: [&str; 16] = [
    "value_and_control",
    "value_profiles",
    "control_profiles",
    "plane_start",
    "plane_late",
    "densities",
    "final_law",
    "paths",
    "contraction",
    "regularity",
    "iterates",
    "sweep_pift",
    "bridge",
    "sweep",
    "certify_loss",
    "certify_gap",
];

/// A directory that takes the files of one run.
///
/// Only files with our names are written; others are never touched. Files of those names are overwritten only beside a report of
/// this program.
#[derive(Clone, Debug)]
pub struct OutputDirectory {
    path: PathBuf,
}

impl OutputDirectory {
    /// Check that `path` may be used; nothing is created yet.
    ///
    /// # Errors
    /// `path` or a folder above it is a file, or it holds a file of one of our names without a report of this program.
    pub fn prepare(path: &Path) -> Result<Self, ReportError> {
        let existing = path.ancestors().find(|p| std::fs::symlink_metadata(p).is_ok());
        if let Some(existing) = existing.filter(|p| !p.is_dir()) {
            return Err(ReportError::invalid(
                "--out",
                existing.display(),
                "is not a directory; one is needed, or a place to make one",
            ));
        }
        let this = OutputDirectory { path: path.into() };
        let ours = this.old_report().is_some();
        let names = std::iter::once(REPORT.to_string()).chain(targets());
        if let Some(file) = names.map(|n| path.join(n)).find(|f| !ours && std::fs::symlink_metadata(f).is_ok()) {
            let allowed = "exists and was not written by hjbridge; choose another directory with --out, or move it away";
            return Err(ReportError::invalid("--out", file.display(), allowed));
        }
        Ok(this)
    }

    /// The report of an earlier run of ours in the directory.
    fn old_report(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.path.join(REPORT)).ok()?;
        serde_json::from_str::<Value>(&text).ok().filter(|v| v.get("program") == Some(&"hjbridge".into()))
    }

    /// Take the directory: leave `report`, marked as unfinished, so that a run that is killed does not block it, and remove the
    /// files of an earlier run of ours.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn claim<T: Serialize>(&self, report: &T) -> Result<(), ReportError> {
        let stale = self.old_report().is_some();
        self.write_report(report)?;
        if stale {
            for file in targets().map(|n| self.path.join(n)).filter(|f| f.is_file()) {
                std::fs::remove_file(&file).map_err(|e| ReportError::io(&file, e))?;
            }
        }
        Ok(())
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

/// Names of all files but the report.
fn targets() -> impl Iterator<Item = String> {
    let figures = FIGURES.iter().flat_map(|stem| [format!("{stem}.svg"), format!("{stem}.png")]);
    [SOLUTION, PATHS, CERTIFY, SWEEP, TRAINING].map(String::from).into_iter().chain(figures)
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
        // and takes its old files away, but not others
        std::fs::write(dir.path().join("bridge.svg"), "old").unwrap();
        out.claim(&serde_json::json!({"program": "hjbridge"})).unwrap();
        assert!(!dir.path().join("bridge.svg").exists() && dir.path().join("notes.txt").exists());
        // a picture of somebody else is not overwritten
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join("densities.png"), "mine").unwrap();
        assert!(OutputDirectory::prepare(other.path()).is_err());
        // a stranger's report may not
        std::fs::write(dir.path().join(REPORT), "{\"program\": \"other\"}").unwrap();
        assert!(OutputDirectory::prepare(dir.path()).unwrap_err().to_string().contains("not written by hjbridge"));
        assert!(OutputDirectory::prepare(&dir.path().join("notes.txt")).unwrap_err().to_string().contains("not a directory"));
        assert!(OutputDirectory::prepare(&dir.path().join("notes.txt").join("below")).is_err());
    }
}
