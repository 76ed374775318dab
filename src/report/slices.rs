//! Value and control over (t, y) as they are stored in `solution.npz`.

use super::{NpzFile, ReportError};
use hjbridge_model::TensorGrid;
use std::path::Path;

/// Most time slices stored unless asked for otherwise.
pub const SLICES: usize = 129;

/// Fields over time and state: some of a run's time levels, borrowed from it.
pub struct Slices<'f> {
    /// Times, ascending, t = 0 and t = T among them.
    pub times: Vec<f64>,
    /// Number m of components of the control.
    pub components: usize,
    /// Center and scale of each coordinate, where the state is standardised data: data = center + scale * y.
    pub units: Option<[Vec<f64>; 2]>,
    values: Vec<&'f [f64]>,
    controls: Vec<&'f [f64]>,
}

impl<'f> Slices<'f> {
    /// At most `most` (at least 2) of the given levels, the first and the last among them, as evenly spaced as integers allow.
    ///
    /// `value(k)` has one entry for each node, `control(k)` is component by component.
    pub fn thin(
        components: usize,
        most: usize,
        times: &[f64],
        value: impl Fn(usize) -> &'f [f64],
        control: impl Fn(usize) -> &'f [f64],
    ) -> Self {
        let levels = times.len();
        let count = levels.min(most.max(2));
        let kept: Vec<usize> =
            (0..count).map(|i| if count > 1 { (i * (levels - 1) + (count - 1) / 2) / (count - 1) } else { 0 }).collect();
        Slices {
            times: kept.iter().map(|&k| times[k]).collect(),
            components,
            units: None,
            values: kept.iter().map(|&k| value(k)).collect(),
            controls: kept.iter().map(|&k| control(k)).collect(),
        }
    }

    /// V at time number `k`, node by node.
    pub fn value(&self, k: usize) -> &'f [f64] {
        self.values[k]
    }

    /// Component `c` of U (v for a controlled diffusion) at time number `k`, node by node.
    pub fn control(&self, k: usize, c: usize) -> &'f [f64] {
        let n = self.values[k].len();
        &self.controls[k][c * n..(c + 1) * n]
    }

    /// Write `axis0`, ..., `time`, `value[time, axis0, ...]`, `control[time, axis0, ..., component]`, and of data `center` and
    /// `scale`.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn write(&self, grid: &TensorGrid, path: &Path) -> Result<(), ReportError> {
        let names: Vec<String> = (0..grid.dim()).map(|i| format!("axis{i}")).collect();
        let mut file = NpzFile::new();
        for (name, axis) in names.iter().zip(grid.axes()) {
            file.array(name, &[axis.len()], axis.nodes())?;
        }
        let mut shape = vec![self.times.len()];
        shape.extend_from_slice(grid.shape());
        file.array("time", &shape[..1], &self.times)?;
        file.pieces("value", &shape, self.values.clone(), 1)?;
        shape.push(self.components);
        file.pieces("control", &shape, self.controls.clone(), self.components)?;
        if let Some([center, scale]) = &self.units {
            file.array("center", &[center.len()], center)?;
            file.array("scale", &[scale.len()], scale)?;
        }
        file.write(path)
    }
}
