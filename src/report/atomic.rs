//! Files appear whole or not at all: write beside the target, then rename over it.

use super::ReportError;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

static SERIAL: AtomicU64 = AtomicU64::new(0);

/// Whether `name` is what a run that was killed may have left of a file called `target`.
pub(crate) fn is_leftover(name: &str, target: &str) -> bool {
    let Some(numbers) = name.strip_prefix('.').and_then(|n| n.strip_suffix(target)).and_then(|n| n.strip_suffix('.')) else {
        return false;
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    numbers.split_once('-').is_some_and(|(process, serial)| number(process) && number(serial))
}

/// Calls `write` with a temporary path in the directory of `path` (same extension), then renames the result to `path`.
///
/// The directory is created if it is missing; on failure the temporary file is removed and `path` keeps what it had.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&Path) -> Result<(), ReportError>) -> Result<(), ReportError> {
    let name = path.file_name().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    if name.is_empty() {
        return Err(ReportError::invalid("output path", path.display(), "must name a file"));
    }
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory).map_err(|e| ReportError::io(directory, e))?;
    }
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    // The extension stays last: the image encoder chooses its format by it.
    let temporary = path.with_file_name(format!(".{}-{serial}.{name}", std::process::id()));
    let outcome =
        write(&temporary).and_then(|()| std::fs::rename(&temporary, path).map_err(|source| ReportError::io(path, source)));
    if outcome.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    outcome
}
