//! What a backward sweep leaves behind: slices of V_k, u_k and D_k, and its report.

use crate::error::PiFtError;
use crate::info::{PiFtInfo, StepInfo};
use hjbridge_model::{Extrapolation, GridFunction, Interpolation, TableFeedback, TensorGrid};
use std::sync::Arc;

/// The state of the sweep after step k, shown to an observer. V_N comes first, with no control.
pub struct StepView<'a> {
    /// k, from N down to 0.
    pub k: usize,
    /// t_k.
    pub t: f64,
    /// V_k at the nodes.
    pub value: &'a [f64],
    /// u_k at the nodes, component by component; `None` at k = N.
    pub control: Option<&'a [f64]>,
    /// D_k = (1-a_k)/sqrt(a_k) (u_k - s_k) at the nodes, component by component; `None` at k = N.
    pub shift: Option<&'a [f64]>,
    /// The report of the step; `None` at k = N.
    pub info: Option<&'a StepInfo>,
}

/// The slices that were kept, in increasing k.
#[derive(Clone, Debug)]
pub struct PiFtSolution {
    /// The grid.
    pub grid: Arc<TensorGrid>,
    /// The k of each slice; the last is N.
    pub steps: Vec<usize>,
    /// t_k of each slice.
    pub times: Vec<f64>,
    /// V_k, one per slice.
    pub values: Vec<Vec<f64>>,
    /// u_k, components x nodes, one per slice but the last.
    pub controls: Vec<Vec<f64>>,
    /// D_k, components x nodes, one per slice but the last.
    pub shifts: Vec<Vec<f64>>,
    /// The report.
    pub info: PiFtInfo,
}

impl PiFtSolution {
    /// V_0 at the nodes.
    pub fn initial_value(&self) -> &[f64] {
        self.values.first().map_or(&[], Vec::as_slice)
    }

    /// The slice `i` of the value as a function on the grid.
    ///
    /// # Errors
    /// `Invalid` when there is no such slice.
    pub fn value(&self, i: usize) -> Result<GridFunction, PiFtError> {
        let values = self.values.get(i).ok_or_else(|| self.no_slice(i, self.values.len()))?;
        Ok(GridFunction::new(self.grid.clone(), values.clone())?)
    }

    /// The control as a feedback: linear in time between the slices kept (the chain itself holds u_k over its step, and the two
    /// agree at t_k), `interpolation` in space.
    ///
    /// # Errors
    /// Those of [`TableFeedback::new`].
    pub fn feedback(&self, interpolation: Interpolation, extrapolation: Extrapolation) -> Result<TableFeedback, PiFtError> {
        let times = self.times[..self.controls.len()].to_vec();
        let (grid, dim) = (self.grid.clone(), self.grid.dim());
        Ok(TableFeedback::new(grid, times, self.controls.clone(), dim, interpolation, extrapolation)?)
    }

    fn no_slice(&self, i: usize, len: usize) -> PiFtError {
        PiFtError::invalid("slice", i, format!("below {len}, the number of slices kept"))
    }
}
