//! Policies from NPZ files, as `numpy.savez` writes them.
//!
//! | array | shape |
//! |---|---|
//! | `axis0`, `axis1`, ... | nodes along each axis, increasing |
//! | `time` (or `times`) | times in [0, T], increasing |
//! | `control` | times x nodes of axis 0 x ... x components; without the last axis when there is one component |
//!
//! in float64 or float32, little or big endian, C or Fortran order. Other arrays are not looked at.

use super::policy::{PolicySite, TablePolicy};
use crate::problem::ProblemError;
use hjbridge_model::{Axis, Extrapolation, Interpolation, ModelError, TableFeedback, TensorGrid};
use npyz::npz::NpzArchive;
use npyz::{DType, Order};
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

/// Largest number of entries of an array that is read (4 GB).
const MOST: u64 = 1 << 29;

/// An array in C order.
struct Array {
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// Read a table.
///
/// # Errors
/// The array that is missing, of another shape, not increasing or not finite, by name.
pub(super) fn read(path: &Path, site: PolicySite<'_>) -> Result<TablePolicy, ProblemError> {
    let unreadable = |e: std::io::Error| ProblemError::Io { path: path.into(), source: e };
    from_reader(BufReader::new(File::open(path).map_err(unreadable)?), path, site)
}

/// The same from anything that has the bytes; `path` is its name in messages.
pub(super) fn from_reader<R: Read + Seek>(reader: R, path: &Path, site: PolicySite<'_>) -> Result<TablePolicy, ProblemError> {
    let unreadable = |e: std::io::Error| ProblemError::Io { path: path.into(), source: e };
    let mut archive = NpzArchive::new(reader).map_err(unreadable)?;
    let (d, m) = (site.dim, site.control_dim);
    if m == 0 {
        return Err(ProblemError::invalid("controls", "none", "a control: without one there is no policy to judge"));
    }
    let mut names: Vec<String> = archive.array_names().map(String::from).collect();
    names.sort();
    let mut array = |name: &str, expected: &str| -> Result<Array, ProblemError> {
        let Some(found) = load(&mut archive, name, path)? else {
            let allowed = format!("{expected}; the file has {}", names.join(", "));
            return Err(invalid(path, name, "absent", allowed));
        };
        Ok(found)
    };
    let mut axes = Vec::with_capacity(d);
    for i in 0..d {
        let name = format!("axis{i}");
        let nodes = line(path, &name, array(&name, "the nodes along this axis, increasing, are needed")?)?;
        axes.push(Axis::from_nodes(nodes).map_err(|e| invalid(path, &name, "not usable", e.to_string()))?);
    }
    let time_name = if names.iter().any(|n| n == "time") { "time" } else { "times" };
    let time_name = if names.iter().any(|n| n == time_name) { time_name } else { "time" };
    let times = line(path, time_name, array(time_name, "the times of the control, increasing, are needed")?)?;
    let slack = 1e-9 * site.horizon;
    if let Some(t) = times.iter().find(|t| **t < -slack || **t > site.horizon + slack) {
        return Err(invalid(path, time_name, t, format!("generation times from 0 to the horizon {}", site.horizon)));
    }
    let mut shape = vec![times.len()];
    shape.extend(axes.iter().map(Axis::len));
    let with_components: Vec<usize> = shape.iter().copied().chain([m]).collect();
    let words = format!("shape {with_components:?} (times, nodes of each axis, components) is needed");
    let control = array("control", &words)?;
    if !(control.shape == with_components || m == 1 && control.shape == shape) {
        let first: Vec<usize> = [times.len(), m].into_iter().chain(shape[1..].iter().copied()).collect();
        let hint = if control.shape == first { "; numpy.moveaxis(control, 1, -1) makes it" } else { "" };
        return Err(invalid(path, "control", format!("shape {:?}", control.shape), format!("{words}{hint}")));
    }
    if let Some(k) = control.values.iter().position(|x| !x.is_finite()) {
        let at: Vec<String> = index(&with_components, k).iter().map(usize::to_string).collect();
        return Err(invalid(path, &format!("control[{}]", at.join(", ")), control.values[k], "must be finite".into()));
    }
    let nodes: usize = shape[1..].iter().product();
    // component by component, where the file has the component last
    let slice = |s: &[f64]| (0..m).flat_map(|c| (0..nodes).map(move |j| s[j * m + c])).collect();
    let slices = control.values.chunks_exact(nodes * m).map(slice).collect();
    let interpolation = if site.bounded { Interpolation::Linear } else { Interpolation::Cubic };
    let sizes = shape[1..].to_vec();
    let ends = (times[0], times[times.len() - 1]);
    let grid = Arc::new(TensorGrid::new(axes)?);
    let feedback = TableFeedback::new(grid, times, slices, m, interpolation, Extrapolation::Linear)?;
    Ok(TablePolicy { feedback, nodes: sizes, times: ends })
}

fn invalid(path: &Path, name: &str, value: impl std::fmt::Display, allowed: String) -> ProblemError {
    ModelError::invalid(format!("{}, array `{name}`", path.display()), value, allowed).into()
}

/// An increasing list of finite numbers.
fn line(path: &Path, name: &str, array: Array) -> Result<Vec<f64>, ProblemError> {
    if array.shape.len() != 1 || array.values.is_empty() {
        return Err(invalid(path, name, format!("shape {:?}", array.shape), "one axis, not empty, is needed".into()));
    }
    if let Some(k) = array.values.iter().position(|x| !x.is_finite()) {
        return Err(invalid(path, &format!("{name}[{k}]"), array.values[k], "must be finite".into()));
    }
    if let Some(k) = array.values.windows(2).position(|w| w[0] >= w[1]) {
        let allowed = format!("must be above the entry before it, {}", array.values[k]);
        return Err(invalid(path, &format!("{name}[{}]", k + 1), array.values[k + 1], allowed));
    }
    Ok(array.values)
}

/// An array by its name; none where the file has none of it.
fn load<R: Read + Seek>(archive: &mut NpzArchive<R>, name: &str, path: &Path) -> Result<Option<Array>, ProblemError> {
    let broken = |e: std::io::Error| invalid(path, name, "unreadable", e.to_string());
    let Some(file) = archive.by_name(name).map_err(broken)? else { return Ok(None) };
    let shape: Vec<u64> = file.shape().to_vec();
    let entries = shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n)).filter(|n| *n <= MOST);
    if entries.is_none() {
        return Err(invalid(path, name, format!("shape {shape:?}"), format!("at most {MOST} entries")));
    }
    let (order, kind) = (file.order(), file.dtype());
    let text = match &kind {
        DType::Plain(text) => text.to_string(),
        other => other.descr(),
    };
    let values: Vec<f64> = match text.trim_start_matches(['\'', '<', '>', '=', '|']).trim_end_matches('\'') {
        "f8" => file.into_vec::<f64>().map_err(broken)?,
        "f4" => file.into_vec::<f32>().map_err(broken)?.into_iter().map(f64::from).collect(),
        _ => return Err(invalid(path, name, format!("type {text}"), "float64 or float32 is needed: .astype(float)".into())),
    };
    let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
    if entries != Some(values.len() as u64) {
        return Err(invalid(path, name, format!("{} entries", values.len()), format!("shape {shape:?} has others")));
    }
    let values = if order == Order::Fortran { c_order(&shape, &values) } else { values };
    Ok(Some(Array { shape, values }))
}

/// Entries whose first index runs fastest, with the last one fastest.
fn c_order(shape: &[usize], values: &[f64]) -> Vec<f64> {
    (0..values.len())
        .map(|flat| {
            let at = index(shape, flat);
            values[at.iter().zip(shape).rev().fold(0, |place, (i, n)| place * n + i)]
        })
        .collect()
}

/// The indices of entry `flat` in C order.
fn index(shape: &[usize], mut flat: usize) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (i, n) in at.iter_mut().zip(shape).rev() {
        (*i, flat) = (flat % n.max(&1), flat / n.max(&1));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::c_order;

    #[test]
    fn fortran_order_is_turned_round() {
        // a[i, j] = 10 i + j for a 2 x 3 matrix, columns one after the other
        assert_eq!(c_order(&[2, 3], &[0.0, 10.0, 1.0, 11.0, 2.0, 12.0]), [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]);
    }
}
