//! Diffusions given by closures over one point.
#![allow(missing_docs, dead_code)]

use hjbridge_model::{Coefficients, ControlSet, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, VectorField};

pub type Map = Box<dyn Fn(&[f64], &mut [f64]) + Send + Sync>;
pub type Value = Box<dyn Fn(&[f64]) -> f64 + Send + Sync>;

pub enum Matrix {
    Scaled(f64),
    /// Number of entries and the entries row by row.
    Field(usize, Map),
}

impl Matrix {
    pub fn constant(entries: Vec<f64>) -> Self {
        Matrix::Field(entries.len(), Box::new(move |_, out| out.copy_from_slice(&entries)))
    }

    fn coefficient(&self) -> MatrixCoefficient<'_> {
        match self {
            Matrix::Scaled(c) => MatrixCoefficient::Scaled(*c),
            Matrix::Field(entries, map) => MatrixCoefficient::Field(Box::new(Lifted(*entries, map))),
        }
    }
}

struct Lifted<'a>(usize, &'a Map);

impl VectorField for Lifted<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let (mut point, mut value) = (vec![0.0; x.dim()], vec![0.0; self.0]);
        for j in 0..x.len() {
            x.copy_point(j, &mut point);
            (self.1)(&point, &mut value);
            out.set_point(j, &value);
        }
    }
}

pub struct Diffusion {
    pub dim: usize,
    pub control_dim: usize,
    pub noise_dim: usize,
    pub horizon: f64,
    pub control_set: ControlSet,
    pub drift: Map,
    pub g: Matrix,
    pub sigma: Matrix,
    pub r: Matrix,
    pub running: Value,
    pub terminal: Value,
}

impl Diffusion {
    /// dX = -theta X dt + v dt + sigma dB in R^`dim`, no reward, R = I.
    pub fn ou(dim: usize, theta: f64, sigma: f64, horizon: f64) -> Self {
        Diffusion {
            dim,
            control_dim: dim,
            noise_dim: dim,
            horizon,
            control_set: ControlSet::Free,
            drift: Box::new(move |x, out| out.iter_mut().zip(x).for_each(|(o, x)| *o = -theta * x)),
            g: Matrix::Scaled(1.0),
            sigma: Matrix::Scaled(sigma),
            r: Matrix::Scaled(1.0),
            running: Box::new(|_| 0.0),
            terminal: Box::new(|_| 0.0),
        }
    }
}

struct At<'a>(&'a Diffusion);

impl Coefficients for At<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        Lifted(self.0.dim, &self.0.drift).eval(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        self.0.g.coefficient()
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.0.sigma.coefficient()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.0.r.coefficient()
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        each(&self.0.running, x, out);
    }
}

fn each(f: &Value, x: Points<'_>, out: &mut [f64]) {
    let mut point = vec![0.0; x.dim()];
    for (j, o) in out.iter_mut().enumerate() {
        x.copy_point(j, &mut point);
        *o = f(&point);
    }
}

impl ControlledDiffusion for Diffusion {
    fn dim(&self) -> usize {
        self.dim
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn noise_dim(&self) -> usize {
        self.noise_dim
    }
    fn horizon(&self) -> f64 {
        self.horizon
    }
    fn control_set(&self) -> ControlSet {
        self.control_set.clone()
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(At(self))
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        each(&self.terminal, x, out);
    }
}
