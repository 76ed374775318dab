//! Arrays for numpy: `numpy.load("solution.npz")["V"]`.
//!
//! Every array is little-endian float64 in C order (last axis fastest), stored without compression as `numpy.savez` does.
//! Equal arrays give equal bytes (no time stamps). Non-finite values are kept: numpy has them too.

use super::{ReportError, atomic};
use npyz::WriterBuilder;
use npyz::zip::{CompressionMethod, DateTime, write::FileOptions};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Named float64 arrays, collected by reference and written in one go by [`NpzFile::write`]: nothing is copied.
#[derive(Debug, Default, Clone)]
pub struct NpzFile<'a> {
    entries: Vec<Entry<'a>>,
}

#[derive(Debug, Clone)]
struct Entry<'a> {
    name: String,
    shape: Vec<usize>,
    /// Pieces, one after the other.
    pieces: Vec<&'a [f64]>,
    /// Each piece is m x n and is written n x m.
    rows: usize,
}

impl<'a> NpzFile<'a> {
    /// No arrays yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `values` (C order) under `name`; the product of `shape` must be `values.len()` (`&[]`: a scalar).
    ///
    /// Errors: [`ReportError::Shape`], or [`ReportError::Invalid`] for an empty, repeated or path-like name.
    pub fn array(&mut self, name: &str, shape: &[usize], values: &'a [f64]) -> Result<&mut Self, ReportError> {
        self.pieces(name, shape, vec![values], 1)
    }

    /// Adds an array that lies in pieces, one for each index of its first axis. With `rows` = m above 1 a piece is m x n and
    /// written n x m: fields are kept component by component, and numpy wants the component last.
    ///
    /// Errors: as [`NpzFile::array`]; a piece whose length m does not divide.
    pub fn pieces(&mut self, name: &str, shape: &[usize], pieces: Vec<&'a [f64]>, rows: usize) -> Result<&mut Self, ReportError> {
        if name.is_empty() || name.contains(['/', '\\', '\0']) {
            return Err(ReportError::invalid("array name", format!("{name:?}"), "a non-empty name without slashes"));
        }
        if self.entries.iter().any(|e| e.name == name) {
            return Err(ReportError::invalid("array name", format!("{name:?}"), "already used in this file"));
        }
        let size = shape
            .iter()
            .try_fold(1usize, |product, n| product.checked_mul(*n))
            .ok_or_else(|| ReportError::invalid(format!("shape of {name}"), format!("{shape:?}"), "overflows"))?;
        ReportError::check_len(name, pieces.iter().map(|p| p.len()).sum(), size)?;
        if let Some(p) = pieces.iter().find(|p| p.len() % rows.max(1) != 0) {
            return Err(ReportError::invalid(format!("piece of {name}"), p.len(), format!("a multiple of {rows}")));
        }
        self.entries.push(Entry { name: name.to_string(), shape: shape.to_vec(), pieces, rows });
        Ok(self)
    }

    /// Names in the order of insertion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|e| e.name.as_str())
    }

    /// Writes the archive; the file appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        atomic::replace(path, |temporary| self.write_to(temporary).map_err(|e| ReportError::io(path, e)))
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let mut archive = npyz::npz::NpzWriter::new(BufWriter::new(File::create(path)?));
        for Entry { name, shape, pieces, rows } in &self.entries {
            let options = FileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .large_file(shape.iter().product::<usize>() >= 1 << 28);
            let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
            let mut array = archive.array::<f64>(name, options)?.default_dtype().shape(&shape).begin_nd()?;
            for piece in pieces {
                match *rows {
                    0 | 1 => array.extend(piece.iter().copied())?,
                    m => {
                        let n = piece.len() / m;
                        array.extend((0..n).flat_map(|j| (0..m).map(move |c| piece[c * n + j])))?;
                    }
                }
            }
            array.finish()?;
        }
        let mut file = archive.zip_writer().finish().map_err(std::io::Error::other)?;
        file.flush()?;
        file.get_ref().sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_bit_for_bit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("solution.npz");
        let v: Vec<f64> = (0..24).map(|i| (i as f64).sin() / 3.0).collect();
        let odd = [f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE / 4.0];
        let mut file = NpzFile::new();
        file.array("V", &[2, 3, 4], &v).unwrap().array("odd", &[4], &odd).unwrap();
        file.array("beta", &[], &v[5..6]).unwrap().array("none", &[0, 3], &[]).unwrap();
        file.write(&path).unwrap();
        let first = std::fs::read(&path).unwrap();

        let mut archive = npyz::npz::NpzArchive::open(&path).unwrap();
        for (name, shape, values) in
            [("V", &[2u64, 3, 4][..], &v[..]), ("odd", &[4], &odd), ("beta", &[], &v[5..6]), ("none", &[0, 3], &[])]
        {
            let array = archive.by_name(name).unwrap().unwrap();
            assert_eq!(array.shape(), shape, "{name}");
            assert_eq!(array.order(), npyz::Order::C);
            let back: Vec<u64> = array.into_vec::<f64>().unwrap().iter().map(|x| x.to_bits()).collect();
            assert_eq!(back, values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), "{name}");
        }
        let mut parts = NpzFile::new();
        parts.pieces("V", &[2, 3, 4], vec![&v[..12], &v[12..]], 1).unwrap().array("odd", &[4], &odd).unwrap();
        parts.array("beta", &[], &v[5..6]).unwrap().array("none", &[0, 3], &[]).unwrap();
        parts.write(&path).unwrap();
        assert_eq!(first, std::fs::read(&path).unwrap(), "in pieces, the same file");
        file.write(&path).unwrap();
        assert_eq!(first, std::fs::read(&path).unwrap(), "equal arrays, equal bytes");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn bad_names_and_shapes_are_refused() {
        let mut file = NpzFile::new();
        let found = file.array("V", &[2, 2], &[1.0; 3]).unwrap_err();
        assert!(matches!(found, ReportError::Shape { found: 3, expected: 4, .. }), "{found}");
        assert!(file.array("", &[1], &[1.0]).is_err());
        assert!(file.array("a/b", &[1], &[1.0]).is_err());
        assert!(file.array("huge", &[usize::MAX, 2], &[1.0]).is_err());
        file.array("V", &[1], &[1.0]).unwrap();
        assert!(file.array("V", &[1], &[1.0]).unwrap_err().to_string().contains("already"));
        assert_eq!(file.names().collect::<Vec<_>>(), ["V"]);
    }

    #[test]
    fn components_go_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.npz");
        let (first, second) = ([1.0, 2.0, 3.0, 10.0, 20.0, 30.0], [4.0, 5.0, 6.0, 40.0, 50.0, 60.0]);
        let mut file = NpzFile::new();
        file.pieces("control", &[2, 3, 2], vec![&first, &second], 2).unwrap();
        assert!(file.pieces("odd", &[2, 3], vec![&first[..3], &second[..3]], 2).unwrap_err().to_string().contains("odd"));
        file.write(&path).unwrap();
        let back = npyz::npz::NpzArchive::open(&path).unwrap().by_name("control").unwrap().unwrap().into_vec::<f64>().unwrap();
        assert_eq!(back, [1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0, 5.0, 50.0, 6.0, 60.0]);
    }

    #[test]
    fn failure_keeps_the_previous_file() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        std::fs::write(&blocked, "kept").unwrap();
        assert!(matches!(NpzFile::new().write(&blocked.join("x.npz")), Err(ReportError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&blocked).unwrap(), "kept");
    }
}
