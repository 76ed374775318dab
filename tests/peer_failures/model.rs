//! A model from functions of one point, grids, and two fine-tuning problems.

use hjbridge::model::{
    Axis, Coefficients, ControlledDiffusion, FineTuning, GaussianMixture, InitialLaw, KlWeight, MatrixCoefficient, Points,
    PointsMut, Reward, Schedule, TensorGrid,
};
use std::sync::Arc;

pub type Field = fn(f64, &[f64], &mut [f64]);
pub type Function = fn(f64, &[f64]) -> f64;

/// dX = (f + v) dt + sigma dB in R^d with v in R^m (m = d or 0), cost |v|^2 R/2.
#[derive(Clone, Copy)]
pub struct Model {
    pub dim: usize,
    pub control_dim: usize,
    pub horizon: f64,
    pub discount: f64,
    pub drift: Field,
    pub sigma: f64,
    pub weight: f64,
    pub running: Function,
    pub terminal: Function,
}

/// Brownian motion on [0, 1] without control.
pub const BROWNIAN: Model = Model {
    dim: 1,
    control_dim: 0,
    horizon: 1.0,
    discount: 0.0,
    drift: |_, _, f| f.fill(0.0),
    sigma: 1.0,
    weight: 1.0,
    running: |_, _| 0.0,
    terminal: |_, _| 0.0,
};

/// dX = (-20 X (X^2 - 1) + v) dt + dB, minimise int v^2/2 + 3 (X_1^2 - 1)^2.
pub const DOUBLE_WELL: Model = Model {
    control_dim: 1,
    drift: |_, x, f| f[0] = -20.0 * x[0] * (x[0] * x[0] - 1.0),
    terminal: |_, x| 3.0 * (x[0] * x[0] - 1.0).powi(2),
    ..BROWNIAN
};

/// V(0,0) and u(0, 0.1) of the double well, computed independently (Richardson extrapolants within 1e-10).
pub const WELL_VALUE: f64 = 0.1366518398;
pub const WELL_CONTROL: f64 = 1.884e-7;

struct At<'a>(&'a Model, f64);

impl Coefficients for At<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let (mut p, mut f) = (vec![0.0; x.dim()], vec![0.0; x.dim()]);
        for j in 0..x.len() {
            x.copy_point(j, &mut p);
            (self.0.drift)(self.1, &p, &mut f);
            out.set_point(j, &f);
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.0.sigma)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.0.weight)
    }
    fn running_reward(&self, x: Points<'_>, l: &mut [f64]) {
        pointwise(|p| (self.0.running)(self.1, p), x, l);
    }
}

impl ControlledDiffusion for Model {
    fn dim(&self) -> usize {
        self.dim
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn horizon(&self) -> f64 {
        self.horizon
    }
    fn discount(&self) -> f64 {
        self.discount
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(At(self, t))
    }
    fn terminal_reward(&self, x: Points<'_>, g: &mut [f64]) {
        pointwise(|p| (self.terminal)(self.horizon, p), x, g);
    }
}

fn pointwise(f: impl Fn(&[f64]) -> f64, x: Points<'_>, out: &mut [f64]) {
    let mut p = vec![0.0; x.dim()];
    for (j, o) in out.iter_mut().enumerate() {
        x.copy_point(j, &mut p);
        *o = f(&p);
    }
}

pub fn line(lower: f64, upper: f64, nodes: usize) -> Arc<TensorGrid> {
    Arc::new(TensorGrid::new(vec![Axis::uniform(lower, upper, nodes).unwrap()]).unwrap())
}

pub fn square(half: f64, nodes: usize) -> Arc<TensorGrid> {
    let axis = Axis::uniform(-half, half, nodes).unwrap();
    Arc::new(TensorGrid::new(vec![axis.clone(), axis]).unwrap())
}

/// The node at x.
pub fn node(grid: &TensorGrid, x: f64) -> usize {
    grid.axis(0).nodes().iter().position(|y| (x - y).abs() < 1e-9).unwrap()
}

pub fn orders(errors: &[f64]) -> Vec<f64> {
    errors.windows(2).map(|w| (w[0] / w[1]).log2()).collect()
}

pub fn tuning(prior: GaussianMixture) -> FineTuning {
    let reward = Reward::quadratic(&[vec![1.0]], vec![0.5], 0.0).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    FineTuning::new(schedule, prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

pub fn two_modes() -> FineTuning {
    let variances = vec![vec![vec![0.15]], vec![vec![0.4]]];
    tuning(GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], variances).unwrap())
}
