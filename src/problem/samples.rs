//! Columns of a CSV file with a header.

use super::data_file::text_of;
use super::error::ProblemError;
use hjbridge_model::formula::closest_name;
use std::path::Path;

/// Read the named columns, in that order.
///
/// # Errors
/// A file that cannot be read, a column that is not in the header, an entry that is not a finite number (by row and column).
pub fn read_columns(path: &Path, columns: &[String]) -> Result<Vec<Vec<f64>>, ProblemError> {
    if columns.is_empty() {
        return Err(ProblemError::invalid("prior.columns", "[]", "at least one column name"));
    }
    let text = text_of("prior.file", path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let bad_csv = |row: usize, e: &csv::Error| ProblemError::Data {
        path: path.into(),
        line: e.position().map_or(1, csv::Position::line),
        row,
        column: "(all)".into(),
        value: e.to_string(),
        allowed: "every row must have the header's number of entries".into(),
    };
    let header = reader.headers().map_err(|e| bad_csv(0, &e))?.clone();
    if header.is_empty() {
        return Err(ProblemError::invalid("prior.file", path.display(), "is empty; a header and rows of numbers are needed"));
    }
    let mut places = Vec::with_capacity(columns.len());
    for (i, name) in columns.iter().enumerate() {
        let place = header.iter().position(|h| h == name).ok_or_else(|| {
            let known = header.iter().collect::<Vec<_>>().join(", ");
            let hint = closest_name(name, header.iter()).map_or(String::new(), |close| format!(" (did you mean `{close}`?)"));
            ProblemError::invalid(format!("prior.columns[{i}]"), format!("\"{name}\""), format!("must be one of: {known}{hint}"))
        })?;
        if header.iter().filter(|h| h == name).count() > 1 {
            let allowed = "stands more than once in the header; names must be unique";
            return Err(ProblemError::invalid(format!("prior.columns[{i}]"), format!("\"{name}\""), allowed));
        }
        places.push(place);
    }
    let mut values = vec![Vec::new(); columns.len()];
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|e| bad_csv(row + 1, &e))?;
        for (c, &place) in places.iter().enumerate() {
            let entry = record.get(place).unwrap_or("");
            match entry.parse::<f64>() {
                Ok(v) if v.is_finite() => values[c].push(v),
                _ => {
                    return Err(ProblemError::Data {
                        path: path.into(),
                        line: record.position().map_or(1, csv::Position::line),
                        row: row + 1,
                        column: columns[c].clone(),
                        value: entry.into(),
                        allowed: "must be a finite number".into(),
                    });
                }
            }
        }
    }
    Ok(values)
}
