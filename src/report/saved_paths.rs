//! Saved paths for numpy.

use super::{NpzFile, ReportError};
use hjbridge_rollout::RecordedPaths;
use std::path::Path;

/// Write `paths.npz`: for P paths at K times `path` (P numbers), `time` (K), `state` (P, K, d), `running_cost` (P, K: the
/// control's cost up to each time) and `running_reward` (P, K). Several groups (one for each starting point) get the suffixes
/// `_0`, `_1`, ...
///
/// # Errors
/// The file system refuses.
pub fn write_paths(groups: &[&RecordedPaths], path: &Path) -> Result<(), ReportError> {
    let suffix = |i: usize| if groups.len() > 1 { format!("_{i}") } else { String::new() };
    let numbers: Vec<Vec<f64>> = groups.iter().map(|g| g.paths.iter().map(|&p| p as f64).collect()).collect();
    let mut file = NpzFile::new();
    for (i, (group, numbers)) in groups.iter().zip(&numbers).enumerate() {
        let (p, k) = (group.paths.len(), group.times.len());
        let name = |what: &str| format!("{what}{}", suffix(i));
        file.array(&name("path"), &[p], numbers)?;
        file.array(&name("time"), &[k], &group.times)?;
        file.array(&name("state"), &[p, k, group.dim], &group.states)?;
        file.array(&name("running_cost"), &[p, k], &group.running_cost)?;
        file.array(&name("running_reward"), &[p, k], &group.running_reward)?;
    }
    file.write(path)
}
