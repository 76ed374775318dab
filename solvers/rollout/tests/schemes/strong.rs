//! Strong orders: exact solutions driven by the same Brownian paths.

use hjbridge_model::{ControlledDiffusion, ZeroFeedback};
use hjbridge_rollout::noise::NormalStream;
use hjbridge_rollout::{
    AdditiveRungeKutta, Ensemble, EulerMaruyama, ExponentialIntegrator, InitialState, Milstein, PlatenWeak2, Record,
    RolloutParams, SdeScheme, StochasticHeun,
};

use crate::common::{Diffusion, Matrix};
use crate::kernels::non_commuting;

/// Steps of the grid on which the Brownian paths are given.
pub const FINE: usize = 4096;

/// X_T path by path on N steps that follow the Brownian paths of a grid of `fine` steps.
pub fn terminal<S: SdeScheme>(
    scheme: &S,
    problem: &dyn ControlledDiffusion,
    x0: &[f64],
    steps: usize,
    fine: usize,
    paths: usize,
) -> Vec<f64> {
    let zero = ZeroFeedback { dim: problem.dim(), control_dim: problem.control_dim() };
    let params = RolloutParams { paths, steps, coarsening: (fine / steps) as u32, seed: 21, ..Default::default() };
    let record = Record { final_states: true, ..Default::default() };
    let ensemble = Ensemble::new(problem, &zero, InitialState::Point(x0.to_vec()), params).unwrap();
    let summary = ensemble.with_scheme(scheme.clone()).with_record(record).unwrap().run().unwrap().0;
    summary.final_states.unwrap().data().to_vec()
}

/// B_T of every path, component after component.
pub fn brownian(paths: usize, components: u32, horizon: f64) -> Vec<f64> {
    let stream = NormalStream::new(21, 0);
    let total = |path: u64, c: u32| (0..FINE as u32).map(|k| stream.normal(path, k, c)).sum::<f64>();
    let scale = (horizon / FINE as f64).sqrt();
    (0..components).flat_map(|c| (0..paths as u64).map(move |p| scale * total(p, c)).collect::<Vec<_>>()).collect()
}

/// |X_N - X_T|^2 of every path, for N = 32, ..., 256.
pub struct StrongErrors {
    squares: [Vec<f64>; 4],
}

impl StrongErrors {
    /// `exact` has coordinate after coordinate.
    pub fn new<S: SdeScheme>(scheme: &S, problem: &dyn ControlledDiffusion, x0: &[f64], exact: &[f64]) -> Self {
        let paths = exact.len() / problem.dim();
        let squares = [32, 64, 128, 256].map(|steps| {
            let found = terminal(scheme, problem, x0, steps, FINE, paths);
            let mut squares = vec![0.0; paths];
            found.iter().zip(exact).enumerate().for_each(|(n, (a, b))| squares[n % paths] += (a - b).powi(2));
            squares
        });
        StrongErrors { squares }
    }

    fn mean_square(&self, n: usize) -> f64 {
        self.squares[n].iter().sum::<f64>() / self.squares[n].len() as f64
    }

    /// The root mean square errors.
    pub fn errors(&self) -> [f64; 4] {
        [0, 1, 2, 3].map(|n| self.mean_square(n).sqrt())
    }

    /// Slope of log error against log h from the first to the last.
    pub fn order(&self) -> f64 {
        (self.mean_square(0) / self.mean_square(3)).log2() / 6.0
    }

    /// Four standard errors of the slope, from the sample (delta method), and 0.05 for the next power of h.
    pub fn tolerance(&self) -> f64 {
        let (a, b, paths) = (self.mean_square(0), self.mean_square(3), self.squares[0].len() as f64);
        let variance = self.squares[0].iter().zip(&self.squares[3]).map(|(x, y)| (x / a - y / b).powi(2)).sum::<f64>() / paths;
        4.0 * (variance / paths).sqrt() / (6.0 * std::f64::consts::LN_2) + 0.05
    }
}

fn check(table: &[(&str, f64, StrongErrors)]) {
    for (name, order, errors) in table {
        let (found, tolerance) = (errors.order(), errors.tolerance());
        println!("{name}: strong order {found:.3} ({order} +- {tolerance:.3}) {:?}", errors.errors());
        assert!((found - order).abs() < tolerance, "{name}: {found} +- {tolerance} {:?}", errors.errors());
    }
}

#[test]
fn commuting_columns_that_are_not_diagonal() {
    // sigma_ij = s_ij x_i: X_i = exp(sum_j s_ij B_j - (sum_j s_ij^2) T/2).
    let (m, paths) = ([0.5, 0.4, -0.3, 0.6], 3000);
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 1.0);
    problem.sigma =
        Matrix::Field(4, Box::new(move |x, out| out.copy_from_slice(&[m[0] * x[0], m[1] * x[0], m[2] * x[1], m[3] * x[1]])));
    let b = brownian(paths, 2, 1.0);
    let exact: Vec<f64> = (0..2 * paths)
        .map(|n| {
            let (row, path) = (n / paths, n % paths);
            let (p, q) = (m[2 * row], m[2 * row + 1]);
            (p * b[path] + q * b[paths + path] - 0.5 * (p * p + q * q)).exp()
        })
        .collect();
    let start = [1.0, 1.0];
    check(&[
        ("Milstein, commutative", 1.0, StrongErrors::new(&Milstein::Commutative, &problem, &start, &exact)),
        ("Milstein, diagonal only", 0.5, StrongErrors::new(&Milstein::Diagonal, &problem, &start, &exact)),
        ("stochastic Heun", 1.0, StrongErrors::new(&StochasticHeun, &problem, &start, &exact)),
    ]);
}

#[test]
fn diagonal_noise_with_a_drift_that_couples() {
    // Reference by Milstein on the finest grid.
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 1.0);
    problem.drift = Box::new(|x, out| (out[0], out[1]) = (x[1] - x[0], -x[0].sin()));
    problem.sigma =
        Matrix::Field(4, Box::new(|x, out| out.copy_from_slice(&[0.5 * x[0].cos(), 0.0, 0.0, 0.4 + 0.3 * x[1].sin()])));
    let start = [0.5, -0.5];
    let exact = terminal(&Milstein::Diagonal, &problem, &start, FINE, FINE, 2000);
    check(&[("Milstein, diagonal", 1.0, StrongErrors::new(&Milstein::Diagonal, &problem, &start, &exact))]);
}

#[test]
fn without_the_areas_nothing_is_better_than_order_one_half() {
    // Columns that do not commute; reference by Milstein on the finest grid.
    let (problem, start) = (non_commuting(), [1.0, 0.5]);
    let exact = terminal(&Milstein::Commutative, &problem, &start, FINE, FINE, 2000);
    check(&[
        ("Euler-Maruyama", 0.5, StrongErrors::new(&EulerMaruyama, &problem, &start, &exact)),
        ("Milstein, commutative", 0.5, StrongErrors::new(&Milstein::Commutative, &problem, &start, &exact)),
        ("stochastic Heun", 0.5, StrongErrors::new(&StochasticHeun, &problem, &start, &exact)),
        ("Platen", 0.5, StrongErrors::new(&PlatenWeak2, &problem, &start, &exact)),
    ]);
}

#[test]
fn an_ornstein_uhlenbeck_process() {
    // X_T = e^{-T} x0 + s sum_j e^{-(T - t_{j+1})} (W_j - I_j), I_j the area under the path in step j; what is left out is of
    // size h^2.5 a step on the finest grid.
    let (s, paths) = (0.8, 1000);
    let problem = Diffusion::ou(1, 1.0, s, 1.0);
    let (stream, h) = (NormalStream::new(21, 0), 1.0 / FINE as f64);
    let exact: Vec<f64> = (0..paths)
        .map(|path| {
            let noise = (0..FINE as u32).map(|j| {
                let (xi, zeta) = (stream.normal(path, j, 0), stream.normal(path, j, 1));
                let area = 0.5 * h.powf(1.5) * (xi + zeta / 3f64.sqrt());
                (-(1.0 - f64::from(j + 1) * h)).exp() * (h.sqrt() * xi - area)
            });
            (-1.0f64).exp() * 0.7 + s * noise.sum::<f64>()
        })
        .collect();
    let linear = ExponentialIntegrator::linear(-1.0).unwrap();
    check(&[
        // What limits the order to 1.5 are products of two integrals in front of the second derivative of the drift.
        ("Runge-Kutta 1.5", 2.0, StrongErrors::new(&AdditiveRungeKutta, &problem, &[0.7], &exact)),
        ("Euler-Maruyama", 1.0, StrongErrors::new(&EulerMaruyama, &problem, &[0.7], &exact)),
        ("stochastic Heun", 1.0, StrongErrors::new(&StochasticHeun, &problem, &[0.7], &exact)),
        ("Platen", 1.0, StrongErrors::new(&PlatenWeak2, &problem, &[0.7], &exact)),
        ("exponential integrator", 1.0, StrongErrors::new(&linear, &problem, &[0.7], &exact)),
    ]);
}
