//! Value and control over (t, y) as they are stored in `solution.npz`.

use super::{NpzFile, ReportError};
use hjbridge_model::TensorGrid;
use std::path::Path;

/// Most time slices stored unless asked for otherwise.
pub const SLICES: usize = 129;

/// A field over time and state: some of a run's time levels.
pub struct Slices {
    /// Times, ascending, t = 0 and t = T among them.
    pub times: Vec<f64>,
    /// V, time by time, node by node.
    pub value: Vec<f64>,
    /// U (v for a controlled diffusion), time by time, node by node, component by component.
    pub control: Vec<f64>,
    /// Number m of components of the control.
    pub components: usize,
}

impl Slices {
    /// At most `most` (at least 2) of the given levels, the first and the last among them, as evenly spaced as integers allow.
    ///
    /// `value(k)` has one entry for each of the n nodes, `control(k)` is component by component.
    pub fn thin<'f>(
        (n, components): (usize, usize),
        most: usize,
        times: &[f64],
        value: impl Fn(usize) -> &'f [f64],
        control: impl Fn(usize) -> &'f [f64],
    ) -> Self {
        let levels = times.len();
        let count = levels.min(most.max(2));
        let mut out = Slices { times: Vec::with_capacity(count), value: Vec::new(), control: Vec::new(), components };
        for i in 0..count {
            let k = if count > 1 { (i * (levels - 1) + (count - 1) / 2) / (count - 1) } else { 0 };
            out.times.push(times[k]);
            out.value.extend_from_slice(value(k));
            let u = control(k);
            out.control.extend((0..n).flat_map(|j| (0..components).map(move |c| u[c * n + j])));
        }
        out
    }

    /// Write `axis0`, ..., `time`, `value[time, axis0, ...]`, `control[time, axis0, ..., component]`.
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
        file.array("value", &shape, &self.value)?;
        shape.push(self.components);
        file.array("control", &shape, &self.control)?;
        file.write(path)
    }
}
