//! The table of the documentation, measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hjbridge_model::{ControlledDiffusion, FineTuning, PointwiseFeedback};
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::{AdditiveRungeKutta, Ensemble, InitialState, RolloutParams, SdeScheme};

use crate::common::{Diffusion, Matrix};
use crate::every_scheme::{Row, Task, for_every_scheme};
use crate::moments::{linear_objective, moments, sampling_errors};
use crate::problems::{graded, last_order, mixture_model};
use crate::strong::{FINE, StrongErrors, brownian, terminal};

/// Measured orders and numbers of evaluations of every scheme.
struct Measure {
    mixture: FineTuning,
    mixture_paths: Vec<f64>,
    geometric: Diffusion,
    geometric_paths: Vec<f64>,
    /// Lines for a person to read.
    table: Vec<String>,
    faults: Vec<String>,
}

impl Measure {
    fn expect(&mut self, row: &Row, what: &str, found: f64, expected: f64, tolerance: f64) -> String {
        if (found - expected).abs() > tolerance {
            self.faults.push(format!("{}: {what} {found:.3}, {expected} expected within {tolerance:.3}", row.name));
        }
        format!("{found:7.3} ({expected} +- {tolerance:.3})")
    }
}

impl Task for Measure {
    fn run<S: SdeScheme>(&mut self, row: &Row, sampler: &S, general: Option<&S>) {
        let mut line = format!("{:55}", row.name);
        let errors = StrongErrors::new(sampler, &self.mixture, &[0.3], &self.mixture_paths);
        line += &self.expect(row, "strong order, additive", errors.order(), row.strong.0, errors.tolerance());
        if let (Some(scheme), Some(order)) = (general, row.strong.1) {
            let errors = StrongErrors::new(scheme, &self.geometric, &[1.0], &self.geometric_paths);
            line += &self.expect(row, "strong order, commutative", errors.order(), order, errors.tolerance());
        }
        // Orders without sampling: what is left is the next power of h, a few per cent at 256 steps.
        let found = last_order(&sampling_errors(sampler, graded));
        line += &self.expect(row, "weak order, additive", found, row.weak.0, 0.1);
        if let (Some(scheme), Some(order)) = (general, row.weak.1) {
            let (problem, feedback, exact, x0) = linear_objective(0.5, 0.4);
            let error = |n| (moments(scheme, &problem, &feedback, &graded(1.0, n), (x0, x0 * x0)).second - exact.second).abs();
            line += &self.expect(row, "weak order, any noise", last_order(&[128, 256].map(error)), order, 0.1);
        }
        let (drift, _) = evaluations(sampler, &self.mixture, None);
        self.expect(row, "evaluations of drift and feedback", drift, row.drift as f64, 0.0);
        self.expect(row, "normal numbers", S::NORMALS as f64, row.normals as f64, 0.0);
        if let (Some(scheme), Some(expected)) = (general, row.sigma) {
            let count = Arc::new(AtomicUsize::new(0));
            let mut plane = Diffusion::ou(2, 1.0, 0.0, 1.0);
            let own = count.clone();
            let sigma = move |x: &[f64], out: &mut [f64]| {
                own.fetch_add(1, Ordering::Relaxed);
                out.copy_from_slice(&[0.2 + 0.1 * x[0].sin(), 0.0, 0.0, 0.3]);
            };
            plane.sigma = Matrix::Field(4, Box::new(sigma));
            let (drift, sigma) = evaluations(scheme, &plane, Some(&count));
            self.expect(row, "evaluations of drift and feedback in the plane", drift, row.drift as f64, 0.0);
            self.expect(row, "evaluations of sigma", sigma, expected as f64, 0.0);
        }
        self.table.push(line);
    }
}

/// Evaluations of the feedback, and those counted by `sigma`, in a step of a block.
fn evaluations<S: SdeScheme>(scheme: &S, problem: &dyn ControlledDiffusion, sigma: Option<&AtomicUsize>) -> (f64, f64) {
    let count = AtomicUsize::new(0);
    let d = problem.dim();
    let feedback = PointwiseFeedback::new(d, problem.control_dim(), |_: f64, x: &[f64], v: &mut [f64]| {
        count.fetch_add(1, Ordering::Relaxed);
        v.copy_from_slice(x);
    });
    let params = RolloutParams { paths: LANES, steps: 16, ..Default::default() };
    Ensemble::new(problem, &feedback, InitialState::Point(vec![0.1; d]), params)
        .unwrap()
        .with_scheme(scheme.clone())
        .run()
        .unwrap();
    let per_step = |count: &AtomicUsize| count.load(Ordering::Relaxed) as f64 / (LANES * 16) as f64;
    (per_step(&count), sigma.map_or(0.0, per_step))
}

#[test]
fn the_table_of_schemes() {
    let paths = 1500;
    // A pre-trained mixture: sigma depends on t, the drift is not linear. No closed form path by path: the reference is the
    // scheme of order 1.5 on the finest grid, which `strong` verifies on an Ornstein-Uhlenbeck process.
    let mixture = mixture_model();
    let mixture_paths = terminal(&AdditiveRungeKutta, &mixture, &[0.3], FINE, FINE, paths);
    // dX = mu X dt + s X dB: X_T = exp((mu - s^2/2) T + s B_T).
    let (mu, s) = (0.5, 0.7);
    let mut geometric = Diffusion::ou(1, -mu, 0.0, 1.0);
    geometric.sigma = Matrix::Field(1, Box::new(move |x, out| out[0] = s * x[0]));
    let geometric_paths = brownian(paths, 1, 1.0).iter().map(|b| ((mu - 0.5 * s * s) + s * b).exp()).collect();
    let mut measure = Measure { mixture, mixture_paths, geometric, geometric_paths, table: Vec::new(), faults: Vec::new() };
    for_every_scheme(&mut measure);
    println!("{}", measure.table.join("\n"));
    assert!(measure.faults.is_empty(), "\n{}", measure.faults.join("\n"));
}
