//! Problems with known solutions, shared by the tests.
#![allow(dead_code, missing_docs)]

use hjbridge_hjb::{HjbInfo, HjbParams, HjbSolver};
use hjbridge_model::exact::ClosedForm;
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::{Axis, TensorGrid};
use hjbridge_model::reward::{QuadraticTerm, Reward};
use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, GaussianMixture, KlWeight, MatrixCoefficient, PointBlock, Points,
    PointsMut, Schedule, VectorField,
};
use std::sync::Arc;

/// The one-dimensional mixture with golden values: T = 2, b from 3 at t = 0 to 0.5 at T.
pub fn mixture() -> FineTuning {
    let prior =
        GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
    let terms = vec![
        QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1).unwrap(),
        QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3).unwrap(),
    ];
    let reward = Reward::log_sum_exp(terms, 0.7).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    FineTuning::new(schedule, prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::Optimal).unwrap()
}

pub fn line(lower: f64, upper: f64, nodes: usize) -> Arc<TensorGrid> {
    Arc::new(TensorGrid::new(vec![Axis::uniform(lower, upper, nodes).unwrap()]).unwrap())
}

pub fn square(half: f64, nodes: usize) -> Arc<TensorGrid> {
    let axis = Axis::uniform(-half, half, nodes).unwrap();
    Arc::new(TensorGrid::new(vec![axis.clone(), axis]).unwrap())
}

/// sup errors of V and of U over the nodes of the cube |y_i| <= radius and all levels t < T.
pub fn fine_tuning_errors(
    problem: &FineTuning,
    exact: &dyn ClosedForm,
    grid: Arc<TensorGrid>,
    params: HjbParams,
    radius: f64,
) -> (f64, f64, HjbInfo) {
    let nodes = grid.points();
    let d = grid.dim();
    let inside: Vec<usize> =
        (0..grid.len()).filter(|&j| (0..d).all(|i| nodes.coord(i)[j].abs() <= radius * (1.0 + 1e-12))).collect();
    let mut points = PointBlock::zeros(d, inside.len());
    for (k, &j) in inside.iter().enumerate() {
        let p: Vec<f64> = (0..d).map(|i| nodes.coord(i)[j]).collect();
        points.as_mut().set_point(k, &p);
    }
    let mut v = vec![0.0; inside.len()];
    let mut u = PointBlock::zeros(d, inside.len());
    let mut s = PointBlock::zeros(d, inside.len());
    let (mut error_v, mut error_u) = (0.0f64, 0.0f64);
    let steps = params.steps;
    let n = grid.len();
    let info = HjbSolver::new(problem, grid, params)
        .unwrap()
        .solve_observed(&mut |view| {
            if view.step == steps {
                return;
            }
            let at = exact.at(view.t);
            at.value(points.as_points(), &mut v);
            at.control(points.as_points(), u.as_mut());
            problem.score().at(view.t).eval(points.as_points(), s.as_mut());
            for (k, &j) in inside.iter().enumerate() {
                error_v = error_v.max((view.value[j] - v[k]).abs());
                for i in 0..d {
                    error_u = error_u.max((s.coord(i)[k] + view.control[i * n + j] - u.coord(i)[k]).abs());
                }
            }
        })
        .unwrap();
    (error_v, error_u, info)
}

pub fn orders(errors: &[f64]) -> Vec<f64> {
    errors.windows(2).map(|w| (w[0] / w[1]).log2()).collect()
}

pub type Scalar = Arc<dyn Fn(f64, &[f64]) -> f64 + Send + Sync>;
/// c(t, x, v).
pub type Cost = Arc<dyn Fn(f64, &[f64], &[f64]) -> f64 + Send + Sync>;
pub type Vector = Arc<dyn Fn(f64, &[f64], &mut [f64]) + Send + Sync>;

/// A controlled diffusion from closures over one point; matrices are per-point fields or multiples of the identity.
#[derive(Clone)]
pub struct Problem {
    pub dim: usize,
    pub control_dim: usize,
    pub horizon: f64,
    pub drift: Vector,
    pub gain: Matrix,
    pub sigma: Matrix,
    pub weight: Matrix,
    pub running: Scalar,
    pub terminal: Scalar,
    pub set: ControlSet,
    pub discount: f64,
    /// A general cost of the control in place of v'Rv/2.
    pub cost: Option<Cost>,
}

#[derive(Clone)]
pub enum Matrix {
    Scaled(f64),
    Field(Vector),
}

impl Problem {
    /// dX = [-k X + v] dt + dB in d dimensions, cost |v|^2/2, no reward.
    pub fn ornstein_uhlenbeck(dim: usize, k: f64, horizon: f64) -> Self {
        Problem {
            dim,
            control_dim: dim,
            horizon,
            drift: Arc::new(move |_, x, out| out.iter_mut().zip(x).for_each(|(o, x)| *o = -k * x)),
            gain: Matrix::Scaled(1.0),
            sigma: Matrix::Scaled(1.0),
            weight: Matrix::Scaled(1.0),
            running: Arc::new(|_, _| 0.0),
            terminal: Arc::new(|_, _| 0.0),
            set: ControlSet::Free,
            discount: 0.0,
            cost: None,
        }
    }
}

struct At<'a>(&'a Problem, f64);

struct FieldAt<'a>(&'a Vector, f64, usize);

impl VectorField for FieldAt<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let (mut p, mut v) = (vec![0.0; x.dim()], vec![0.0; self.2]);
        for j in 0..x.len() {
            x.copy_point(j, &mut p);
            (self.0)(self.1, &p, &mut v);
            out.set_point(j, &v);
        }
    }
}

impl At<'_> {
    fn matrix<'b>(&'b self, m: &'b Matrix, entries: usize) -> MatrixCoefficient<'b> {
        match m {
            Matrix::Scaled(c) => MatrixCoefficient::Scaled(*c),
            Matrix::Field(f) => MatrixCoefficient::Field(Box::new(FieldAt(f, self.1, entries))),
        }
    }
}

impl Coefficients for At<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        FieldAt(&self.0.drift, self.1, self.0.dim).eval(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        self.matrix(&self.0.gain, self.0.dim * self.0.control_dim)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.matrix(&self.0.sigma, self.0.dim * self.0.dim)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.matrix(&self.0.weight, self.0.control_dim * self.0.control_dim)
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        let (mut p, mut u) = (vec![0.0; x.dim()], vec![0.0; v.dim()]);
        for (j, o) in out.iter_mut().enumerate() {
            x.copy_point(j, &mut p);
            v.copy_point(j, &mut u);
            *o = self.0.cost.as_ref().map_or(0.0, |c| c(self.1, &p, &u));
        }
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        let mut p = vec![0.0; x.dim()];
        for (j, o) in out.iter_mut().enumerate() {
            x.copy_point(j, &mut p);
            *o = (self.0.running)(self.1, &p);
        }
    }
}

impl ControlledDiffusion for Problem {
    fn dim(&self) -> usize {
        self.dim
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn horizon(&self) -> f64 {
        self.horizon
    }
    fn control_set(&self) -> ControlSet {
        self.set.clone()
    }
    fn control_cost(&self) -> ControlCost {
        if self.cost.is_some() { ControlCost::General } else { ControlCost::Quadratic }
    }
    fn discount(&self) -> f64 {
        self.discount
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(At(self, t))
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        let mut p = vec![0.0; x.dim()];
        for (j, o) in out.iter_mut().enumerate() {
            x.copy_point(j, &mut p);
            *o = (self.terminal)(self.horizon, &p);
        }
    }
}

/// The error function by its series and its continued fraction.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 3.0 {
        let mut f = 0.0;
        for k in (1..60).rev() {
            f = 0.5 * f64::from(k) / (x.abs() + f);
        }
        let tail = (-x * x).exp() / (std::f64::consts::PI.sqrt() * (x.abs() + f));
        return x.signum() * (1.0 - tail);
    }
    let (mut term, mut sum) = (x, x);
    for k in 1..80 {
        term *= -x * x / f64::from(k);
        sum += term / f64::from(2 * k + 1);
    }
    2.0 / std::f64::consts::PI.sqrt() * sum
}
