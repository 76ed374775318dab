//! A controlled diffusion from closures over blocks of points, and grids.

use crate::common::Outcome;
use hjbridge::model::{
    Axis, Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, TensorGrid,
    VectorField,
};
use std::sync::Arc;

type Drift = Box<dyn Fn(Points<'_>, PointsMut<'_>) + Send + Sync>;
type Reward = Box<dyn Fn(Points<'_>, &mut [f64]) + Send + Sync>;

/// dX = (f(X) + gain v) dt + sigma dB with the cost R(t) |v|^2/2; time enters through R alone.
pub struct Model {
    pub dim: usize,
    pub control_dim: usize,
    pub horizon: f64,
    pub discount: f64,
    pub set: ControlSet,
    pub drift: Drift,
    pub gain: f64,
    pub sigma: Sigma,
    pub weight: fn(f64) -> f64,
    pub running: Reward,
    pub terminal: Reward,
}

/// A constant matrix.
#[derive(Clone)]
pub enum Sigma {
    /// c I.
    Scaled(f64),
    /// Row by row.
    Full(Vec<f64>),
}

impl Default for Model {
    /// Controlled Brownian motion on the line, no reward.
    fn default() -> Self {
        Model {
            dim: 1,
            control_dim: 1,
            horizon: 1.0,
            discount: 0.0,
            set: ControlSet::Free,
            drift: Box::new(|_, mut f| f.fill(0.0)),
            gain: 1.0,
            sigma: Sigma::Scaled(1.0),
            weight: |_| 1.0,
            running: Box::new(|_, l| l.fill(0.0)),
            terminal: Box::new(|_, g| g.fill(0.0)),
        }
    }
}

impl Model {
    /// dX_i = -4 alpha_i X_i (X_i^2 - 1) dt + sigma (u dt + dB), sigma = sqrt(2/beta), running cost f.
    pub fn double_well(alpha: &[f64], beta: f64, f: f64) -> Self {
        let (alpha, sigma) = (alpha.to_vec(), (2.0 / beta).sqrt());
        Model {
            dim: alpha.len(),
            control_dim: alpha.len(),
            drift: Box::new(move |x, mut out| {
                for (i, a) in alpha.iter().enumerate() {
                    for (f, x) in out.coord_mut(i).iter_mut().zip(x.coord(i)) {
                        *f = -4.0 * a * x * (x * x - 1.0);
                    }
                }
            }),
            gain: sigma,
            sigma: Sigma::Scaled(sigma),
            running: Box::new(move |_, l| l.fill(f)),
            ..Model::default()
        }
    }

    /// dX = (-X/2 + u) dt + dW in the plane, cost |x|^2 + |u|^2/2 discounted at rate 1: V = P (|x|^2 + 2), 2 P^2 + 2 P = 1.
    pub fn discounted(set: ControlSet) -> Self {
        Model {
            dim: 2,
            control_dim: 2,
            discount: 1.0,
            set,
            drift: Box::new(|x, mut out| {
                for i in 0..2 {
                    out.coord_mut(i).iter_mut().zip(x.coord(i)).for_each(|(f, x)| *f = -0.5 * x);
                }
            }),
            running: Box::new(|x, l| {
                let (a, b) = (x.coord(0), x.coord(1));
                l.iter_mut().enumerate().for_each(|(j, l)| *l = a[j] * a[j] + b[j] * b[j]);
            }),
            ..Model::default()
        }
    }
}

struct At<'a>(&'a Model, f64);

struct Constant<'a>(&'a [f64]);

impl VectorField for Constant<'_> {
    fn eval(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        self.0.iter().enumerate().for_each(|(e, m)| out.coord_mut(e).fill(*m));
    }
}

impl Coefficients for At<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        (self.0.drift)(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.0.gain)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        match &self.0.sigma {
            Sigma::Scaled(c) => MatrixCoefficient::Scaled(*c),
            Sigma::Full(m) => MatrixCoefficient::Field(Box::new(Constant(m))),
        }
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled((self.0.weight)(self.1))
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        (self.0.running)(x, out);
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
    fn control_set(&self) -> ControlSet {
        self.set.clone()
    }
    fn control_cost(&self) -> ControlCost {
        ControlCost::Quadratic
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(At(self, t))
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        (self.terminal)(x, out);
    }
}

/// `nodes` nodes on each of `dim` axes of [lower, upper].
pub fn cube(dim: usize, lower: f64, upper: f64, nodes: usize) -> Outcome<Arc<TensorGrid>> {
    Ok(Arc::new(TensorGrid::new(vec![Axis::uniform(lower, upper, nodes)?; dim])?))
}

/// Equally spaced controls in [-half, half], `count` for each of two components.
pub fn lattice(half: f64, count: usize, dim: usize) -> ControlSet {
    let level = |k: usize| -half + 2.0 * half * k as f64 / (count - 1) as f64;
    let controls = (0..count.pow(dim as u32)).map(|c| (0..dim).map(|i| level(c / count.pow(i as u32) % count)).collect());
    ControlSet::Finite { controls: controls.collect() }
}

/// Lagrange interpolation of `values` on the eight nodes around x.
pub fn interpolate(nodes: &[f64], values: &[f64], x: f64) -> f64 {
    let j = nodes.partition_point(|n| *n <= x + 1e-12).clamp(4, nodes.len() - 4) - 4;
    let w = hjbridge::hjb::smooth::fornberg_weights(x, &nodes[j..j + 8], 0);
    w[0].iter().zip(&values[j..]).map(|(w, v)| w * v).sum()
}

/// The number of the node nearest to x.
pub fn node(grid: &TensorGrid, x: &[f64]) -> usize {
    let nearest = |i: usize| {
        let nodes = grid.axis(i).nodes();
        let k = nodes.partition_point(|n| *n < x[i]).min(nodes.len() - 1);
        if k > 0 && x[i] - nodes[k - 1] < nodes[k] - x[i] { k - 1 } else { k }
    };
    (0..grid.dim()).map(|i| nearest(i) * grid.strides()[i]).sum()
}
