//! Tables as CSV, and texts.

use super::{ReportError, atomic};
use serde::Serialize;
use std::path::Path;

/// Write one line for each row, after a line with the names of its fields; the file appears whole or not at all. Numbers have the
/// digits that give them back, absent ones are empty.
///
/// # Errors
/// The file system refuses.
pub fn write_csv<T: Serialize>(rows: &[T], path: &Path) -> Result<(), ReportError> {
    atomic::replace(path, |temporary| {
        let failed = |e: csv::Error| ReportError::io(path, std::io::Error::other(e));
        let mut writer = csv::Writer::from_path(temporary).map_err(failed)?;
        rows.iter().try_for_each(|row| writer.serialize(row)).map_err(failed)?;
        writer.flush().map_err(|e| ReportError::io(path, e))
    })
}

/// Write a text; the file appears whole or not at all.
///
/// # Errors
/// The file system refuses.
pub fn write_text(text: &str, path: &Path) -> Result<(), ReportError> {
    atomic::replace(path, |temporary| std::fs::write(temporary, text).map_err(|e| ReportError::io(path, e)))
}

#[cfg(test)]
mod tests {
    use super::write_csv;

    #[test]
    fn numbers_come_back_and_gaps_are_empty() {
        #[derive(serde::Serialize)]
        struct Row {
            x: f64,
            y: Option<f64>,
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        write_csv(&[Row { x: 0.1 + 0.2, y: None }, Row { x: 1e-300, y: Some(-2.0) }], &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x,y\n0.30000000000000004,\n1e-300,-2.0\n");
        assert!(write_csv(&[Row { x: 0.0, y: None }], &path.join("below")).is_err());
    }
}
