//! W_t + b [ (1/2) Lap W + (mu + p).grad W ] + tau = 0, W(T) = 0, as a diffusion without control.

use crate::run::RunError;
use hjbridge_model::{
    Coefficients, ControlledDiffusion, Extrapolation, Feedback, FineTuning, Interpolation, MatrixCoefficient, PointBlock, Points,
    PointsMut, TableFeedback, TensorGrid, VectorField,
};
use std::sync::Arc;

/// The equation, with drift and tau from tables that are exact at the nodes and linear in time between their levels.
pub(super) struct ErrorEquation<'a> {
    model: &'a FineTuning,
    /// d components of the drift b (mu + p), then tau.
    table: TableFeedback,
}

impl<'a> ErrorEquation<'a> {
    pub fn new(
        model: &'a FineTuning,
        grid: Arc<TensorGrid>,
        times: Vec<f64>,
        tables: Vec<Vec<f64>>,
    ) -> Result<Self, RunError> {
        let components = grid.dim() + 1;
        let table = TableFeedback::new(grid, times, tables, components, Interpolation::Linear, Extrapolation::Linear)?;
        Ok(ErrorEquation { model, table })
    }
}

impl ControlledDiffusion for ErrorEquation<'_> {
    fn dim(&self) -> usize {
        self.table.dim()
    }
    fn control_dim(&self) -> usize {
        0
    }
    fn horizon(&self) -> f64 {
        self.model.schedule().horizon()
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(At { rate: self.model.schedule().rate(t), table: self.table.at(t) })
    }
    fn terminal_reward(&self, _x: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }
}

struct At<'a> {
    rate: f64,
    table: Box<dyn VectorField + 'a>,
}

impl At<'_> {
    fn all(&self, x: Points<'_>) -> PointBlock {
        let mut all = PointBlock::zeros(x.dim() + 1, x.len());
        self.table.eval(x, all.as_mut());
        all
    }
}

impl Coefficients for At<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let all = self.all(x);
        (0..x.dim()).for_each(|i| out.coord_mut(i).copy_from_slice(all.coord(i)));
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.copy_from_slice(self.all(x).coord(x.dim()));
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.rate.sqrt())
    }
    // there is no control
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(0.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}
