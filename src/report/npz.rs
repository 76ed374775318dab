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

/// Named float64 arrays, collected by reference and written in one go by [`NpzFile::write`].
#[derive(Debug, Default, Clone)]
pub struct NpzFile<'a> {
    entries: Vec<(String, Vec<usize>, &'a [f64])>,
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
        if name.is_empty() || name.contains(['/', '\\', '\0']) {
            return Err(ReportError::invalid("array name", format!("{name:?}"), "a non-empty name without slashes"));
        }
        if self.entries.iter().any(|(known, _, _)| known == name) {
            return Err(ReportError::invalid("array name", format!("{name:?}"), "already used in this file"));
        }
        let size = shape
            .iter()
            .try_fold(1usize, |product, n| product.checked_mul(*n))
            .ok_or_else(|| ReportError::invalid(format!("shape of {name}"), format!("{shape:?}"), "overflows"))?;
        ReportError::check_len(name, values.len(), size)?;
        self.entries.push((name.to_string(), shape.to_vec(), values));
        Ok(self)
    }

    /// Names in the order of insertion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _, _)| name.as_str())
    }

    /// Writes the archive; the file appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), ReportError> {
        atomic::replace(path, |temporary| self.write_to(temporary).map_err(|e| ReportError::io(path, e)))
    }

    fn write_to(&self, path: &Path) -> std::io::Result<()> {
        let mut archive = npyz::npz::NpzWriter::new(BufWriter::new(File::create(path)?));
        for (name, shape, values) in &self.entries {
            let options = FileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .last_modified_time(DateTime::default())
                .large_file(values.len() >= 1 << 28);
            let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
            let mut array = archive.array::<f64>(name, options)?.default_dtype().shape(&shape).begin_nd()?;
            array.extend(values.iter().copied())?;
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
    fn failure_keeps_the_previous_file() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        std::fs::write(&blocked, "kept").unwrap();
        assert!(matches!(NpzFile::new().write(&blocked.join("x.npz")), Err(ReportError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&blocked).unwrap(), "kept");
    }
}
