//! W_t + b [ (1/2) Lap W + (mu + p).grad W ] + tau = 0, W(T) = 0, as a diffusion without control.

use super::LeadingErrorParams;
use crate::run::RunError;
use hjbridge_model::{
    Coefficients, ControlledDiffusion, Extrapolation, Feedback, Interpolation, MatrixCoefficient, PointBlock, Points, PointsMut,
    TableFeedback, VectorField,
};

/// The equation, with drift and tau/omega from tables that are exact at the nodes and cubic in time between their levels.
pub(super) struct ErrorEquation<'a> {
    params: &'a LeadingErrorParams<'a>,
    /// d components of the drift b (mu + p), then tau/omega.
    table: TableFeedback,
}

impl<'a> ErrorEquation<'a> {
    pub fn new(params: &'a LeadingErrorParams<'a>, times: Vec<f64>, tables: Vec<Vec<f64>>) -> Result<Self, RunError> {
        let (grid, components) = (params.grid.clone(), params.grid.dim() + 1);
        let table = TableFeedback::new(grid, times, tables, components, Interpolation::Linear, Extrapolation::Linear)?;
        Ok(ErrorEquation { params, table })
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
        self.params.model.schedule().horizon()
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        let times = self.table.times();
        let above = times.partition_point(|&s| s < t);
        let start = above.saturating_sub(2).min(times.len() - 4);
        let nodes = &times[start..start + 4];
        let weight = |a: usize| (0..4).filter(|&b| b != a).map(|b| (t - nodes[b]) / (nodes[a] - nodes[b])).product::<f64>();
        let levels = (0..4).map(|a| (weight(a), nodes[a])).filter(|(w, _)| *w != 0.0);
        let levels = levels.map(|(w, s)| (w, self.table.at(s))).collect();
        Box::new(At { rate: self.params.model.schedule().rate(t), omega: self.params.density(t), levels })
    }
    fn terminal_reward(&self, _x: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }
}

struct At<'a> {
    rate: f64,
    omega: f64,
    levels: Vec<(f64, Box<dyn VectorField + 'a>)>,
}

impl At<'_> {
    fn all(&self, x: Points<'_>) -> PointBlock {
        let mut sum = PointBlock::zeros(x.dim() + 1, x.len());
        let mut level = sum.clone();
        for (w, table) in &self.levels {
            table.eval(x, level.as_mut());
            sum.data_mut().iter_mut().zip(level.data()).for_each(|(s, l)| *s += w * l);
        }
        sum
    }
}

impl Coefficients for At<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let all = self.all(x);
        (0..x.dim()).for_each(|i| out.coord_mut(i).copy_from_slice(all.coord(i)));
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.iter_mut().zip(self.all(x).coord(x.dim())).for_each(|(o, tau)| *o = self.omega * tau);
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
