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

/// The table of a benchmark.
pub const BENCHMARK: &str = "benchmark.csv";

/// The same with orders and findings, to be read.
pub const BENCHMARK_PAGE: &str = "benchmark.md";

/// The name of a training that can be resumed.
pub const TRAINING: &str = "training.json";

/// Stems of all figures that a command may draw.
const FIGURES: [&str; 17] = [
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
    "benchmark",
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

    /// Refuse a directory with the report of a finished run of ours. One that failed, was interrupted or killed may be replaced.
    ///
    /// # Errors
    /// There is such a report.
    pub fn keep_finished(&self) -> Result<(), ReportError> {
        let Some(old) = self.old_report().filter(|r| r.get("complete") != Some(&Value::Bool(false))) else { return Ok(()) };
        let command = old.get("command").and_then(Value::as_str).unwrap_or("hjbridge");
        let allowed = format!("has a finished run of {command}; --force replaces it, --out DIR writes elsewhere");
        Err(ReportError::invalid("--out", self.path.display(), allowed))
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
            self.remove_leftovers();
        }
        Ok(())
    }

    /// Remove what a killed run of ours had begun to write.
    fn remove_leftovers(&self) {
        let ours: Vec<String> = std::iter::once(REPORT.to_string()).chain(targets()).collect();
        for entry in std::fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| ours.iter().any(|target| atomic::is_leftover(name, target))) {
                // nothing but tidiness
                let _ = std::fs::remove_file(entry.path());
            }
        }
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
    let data = [SOLUTION, PATHS, CERTIFY, SWEEP, TRAINING, BENCHMARK, BENCHMARK_PAGE, super::html::PAGE];
    data.map(String::from).into_iter().chain(figures)
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
        // a second run of ours may overwrite, expressly when the first one was finished
        let again = OutputDirectory::prepare(dir.path()).unwrap();
        assert!(again.keep_finished().unwrap_err().to_string().contains("--force"));
        out.write_report(&serde_json::json!({"program": "hjbridge", "complete": false})).unwrap();
        again.keep_finished().unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine");
        // and takes its old files away, but not others
        std::fs::write(dir.path().join("bridge.svg"), "old").unwrap();
        std::fs::write(dir.path().join(".123-4.solution.npz"), "half").unwrap();
        std::fs::write(dir.path().join(".123-4.notes.npz"), "mine").unwrap();
        out.claim(&serde_json::json!({"program": "hjbridge"})).unwrap();
        assert!(!dir.path().join(".123-4.solution.npz").exists() && dir.path().join(".123-4.notes.npz").exists());
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
