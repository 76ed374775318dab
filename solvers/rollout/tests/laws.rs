//! The law of the simulated paths against closed forms, and the orders of the schemes.
#![allow(missing_docs)]

mod common;

use common::{Diffusion, Matrix};
use hjbridge_model::ZeroFeedback;
use hjbridge_model::law::{GaussianMixture, Law};
use hjbridge_rollout::{
    Ensemble, Estimate, EulerMaruyama, InitialState, NoiseKey, Record, RolloutParams, RolloutSummary, SdeScheme,
};

fn run(problem: &Diffusion, start: InitialState<'_>, paths: usize, steps: usize, seed: u64) -> RolloutSummary {
    let zero = ZeroFeedback { dim: problem.dim, control_dim: problem.control_dim };
    let params = RolloutParams { paths, steps, seed, ..Default::default() };
    let record = Record { final_states: true, ..Default::default() };
    Ensemble::new(problem, &zero, start, params).unwrap().with_record(record).unwrap().run().unwrap().0
}

/// (mean, variance) of Euler-Maruyama for dX = -X dt + s dB after n steps of length h, from x0.
fn euler_ou(x0: f64, s: f64, h: f64, n: i32) -> (f64, f64) {
    let a = 1.0 - h;
    (x0 * a.powi(n), s * s * h * (1.0 - a.powi(2 * n)) / (1.0 - a * a))
}

#[test]
fn every_path_is_the_recursion_of_its_addressed_numbers() {
    let problem = Diffusion::ou(2, 1.0, 0.7, 1.5);
    let (paths, steps, seed) = (100, 31, 42);
    let summary = run(&problem, InitialState::Point(vec![2.0, -1.0]), paths, steps, seed);
    let x = summary.final_states.unwrap();
    let h = 1.5 / steps as f64;
    let a = 1.0 - h;
    for path in 0..paths {
        for (component, x0) in [(0u32, 2.0), (1, -1.0)] {
            let key = NoiseKey { seed, path: path as u64, level: 0 };
            // X_N = a^N x0 + sum_k a^(N-1-k) sqrt(h) s xi_k.
            let noise = (0..steps).map(|k| a.powi((steps - 1 - k) as i32) * key.normal(k as u32, component)).sum::<f64>();
            let expected = a.powi(steps as i32) * x0 + h.sqrt() * 0.7 * noise;
            assert!((x.coord(component as usize)[path] - expected).abs() < 1e-14);
        }
    }
}

#[test]
fn ornstein_uhlenbeck_has_the_law_of_the_recursion_and_not_another() {
    let problem = Diffusion::ou(1, 1.0, 0.7, 2.0);
    let (n, steps) = (200_000, 20);
    let summary = run(&problem, InitialState::Point(vec![1.0]), n, steps, 1);
    let (mean, variance) = euler_ou(1.0, 0.7, 0.1, steps as i32);
    let mean_score = summary.mean[0].z_score(mean);
    // Gaussian samples: Var S^2 = 2 variance^2 / (n - 1).
    let variance_score = |v: f64| (summary.covariance[0] - v) / (v * (2.0 / (n - 1) as f64).sqrt());
    assert!(mean_score.abs() < 4.0, "{mean_score}");
    assert!(variance_score(variance).abs() < 4.0, "{}", variance_score(variance));
    // The stochastic differential equation itself has another law; the test tells them apart.
    assert!(summary.mean[0].z_score((-2.0f64).exp()).abs() > 8.0);
    assert!(variance_score(0.49 * (1.0 - (-4.0f64).exp()) / 2.0).abs() > 8.0);
    let (lo, hi) = summary.mean[0].confidence_interval(0.9999).unwrap();
    assert!(lo < mean && mean < hi && hi - lo < 0.01);
}

#[test]
fn an_initial_law_is_carried_through() {
    let law = GaussianMixture::new(vec![0.3, 0.7], vec![vec![-2.0], vec![1.0]], vec![vec![vec![0.2]], vec![vec![0.5]]]).unwrap();
    let problem = Diffusion::ou(1, 1.0, 0.7, 2.0);
    let (n, steps) = (200_000, 20);
    let summary = run(&problem, InitialState::Law(&law), n, steps, 5);
    // m0 = 0.1, Var0 = 0.3 (0.2 + 4) + 0.7 (0.5 + 1) - 0.01 = 2.3.
    let (mean, variance) = euler_ou(0.1, 0.7, 0.1, steps as i32);
    let variance = variance + 0.9f64.powi(2 * steps as i32) * 2.3;
    assert!(summary.mean[0].z_score(mean).abs() < 4.0);
    let score = (summary.covariance[0] - variance) / (variance * (2.0 / n as f64).sqrt());
    assert!(score.abs() < 4.0, "{score}");
    // Path by path it is the law's own sample.
    let still = Diffusion::ou(1, 0.0, 0.0, 1.0);
    let x = run(&still, InitialState::Law(&law), 130, 3, 5).final_states.unwrap();
    for path in [0, 1, 64, 129] {
        let mut draw = [0.0];
        law.sample(&mut NoiseKey { seed: 5, path, level: 0 }.initial_rng(), &mut draw);
        assert_eq!(x.coord(0)[path as usize].to_bits(), draw[0].to_bits());
    }
}

#[test]
fn correlated_rectangular_noise_has_its_covariance() {
    // sigma is 2 x 3 and constant, no drift: Cov X_T = T sigma sigma'.
    let s = [1.0, 0.5, 0.0, -0.3, 0.8, 0.4];
    let mut problem = Diffusion::ou(2, 0.0, 0.0, 0.5);
    problem.noise_dim = 3;
    problem.sigma = Matrix::constant(s.to_vec());
    let n = 100_000;
    let summary = run(&problem, InitialState::Point(vec![3.0, -4.0]), n, 7, 2);
    let product = |i: usize, j: usize| 0.5 * (0..3).map(|k| s[3 * i + k] * s[3 * j + k]).sum::<f64>();
    for (i, j) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let c = product(i, j);
        // Wishart: Var S_ij = (C_ii C_jj + C_ij^2)/(n - 1).
        let sd = ((product(i, i) * product(j, j) + c * c) / (n - 1) as f64).sqrt();
        let score = (summary.covariance[2 * i + j] - c) / sd;
        assert!(score.abs() < 4.0, "({i},{j}): {score}");
    }
    assert!(summary.mean[0].z_score(3.0).abs() < 4.0 && summary.mean[1].z_score(-4.0).abs() < 4.0);
}

#[test]
fn a_matrix_field_equal_to_a_multiple_of_the_identity_changes_nothing() {
    let scaled = Diffusion::ou(2, 1.3, 0.6, 1.0);
    let mut field = Diffusion::ou(2, 1.3, 0.6, 1.0);
    field.g = Matrix::constant(vec![1.0, 0.0, 0.0, 1.0]);
    field.sigma = Matrix::constant(vec![0.6, 0.0, 0.0, 0.6]);
    field.r = Matrix::constant(vec![1.0, 0.0, 0.0, 1.0]);
    let start = InitialState::Point(vec![1.0, 2.0]);
    let (a, b) = (run(&scaled, start.clone(), 70, 50, 3), run(&field, start, 70, 50, 3));
    for (a, b) in a.final_states.unwrap().data().iter().zip(b.final_states.unwrap().data()) {
        assert!((a - b).abs() < 1e-14);
    }
}

fn slope(errors: &[f64]) -> f64 {
    (errors[0] / errors[errors.len() - 1]).log2() / (errors.len() - 1) as f64
}

#[test]
fn weak_order_without_noise_and_with_it() {
    let order = EulerMaruyama::WEAK_ORDER;
    // sigma = 0: the engine's own error for E X_T, free of sampling.
    let still = Diffusion::ou(1, 1.0, 0.0, 1.0);
    let mean = |n: usize| run(&still, InitialState::Point(vec![1.0]), 2, n, 0).mean[0].mean;
    let errors: Vec<f64> = [64, 128, 256, 512].iter().map(|&n| (mean(n) - (-1.0f64).exp()).abs()).collect();
    assert!((slope(&errors) - order).abs() < 0.01, "{errors:?}");
    assert!((mean(64) - euler_ou(1.0, 0.0, 1.0 / 64.0, 64).0).abs() < 1e-15);
    // With noise, the second moment of dX = -X dt + 0.5 dB from 3.
    let noisy = Diffusion::ou(1, 1.0, 0.5, 1.0);
    let exact = 9.0 * (-2.0f64).exp() + 0.125 * (1.0 - (-2.0f64).exp());
    let (mut measured, mut relative_error) = (Vec::new(), 0.0);
    for n in [8, 16, 32] {
        let x = run(&noisy, InitialState::Point(vec![3.0]), 400_000, n, n as u64).final_states.unwrap();
        let squares: Vec<f64> = x.data().iter().map(|x| x * x).collect();
        let estimate = Estimate::from_samples(&squares).unwrap();
        let (m, v) = euler_ou(3.0, 0.5, 1.0 / n as f64, n as i32);
        assert!(estimate.z_score(m * m + v).abs() < 4.0);
        measured.push((estimate.mean - exact).abs());
        relative_error = estimate.standard_error / measured[measured.len() - 1];
    }
    // Four standard errors of the slope over two octaves, nearly all of it from the smallest bias.
    let tolerance = 4.0 * relative_error / (2.0 * std::f64::consts::LN_2);
    assert!(tolerance < 0.15, "{tolerance}");
    assert!((slope(&measured) - order).abs() < tolerance, "{measured:?}");
}

#[test]
fn strong_order_for_multiplicative_noise() {
    // dX = mu X dt + s X dB: X_T = x0 exp((mu - s^2/2) T + s B_T) on the same Brownian path.
    let (mu, s) = (0.5, 0.5);
    let mut problem = Diffusion::ou(1, -mu, 0.0, 1.0);
    problem.sigma = Matrix::Field(1, Box::new(move |x, out| out[0] = s * x[0]));
    let paths = 20_000;
    let errors: Vec<f64> = [32, 64, 128, 256, 512]
        .iter()
        .map(|&n| {
            let x = run(&problem, InitialState::Point(vec![1.0]), paths, n, 9).final_states.unwrap();
            let square = |path: usize| {
                let key = NoiseKey { seed: 9, path: path as u64, level: 0 };
                let b = (0..n).map(|k| key.normal(k as u32, 0)).sum::<f64>() / (n as f64).sqrt();
                (x.coord(0)[path] - ((mu - 0.5 * s * s) + s * b).exp()).powi(2)
            };
            ((0..paths).map(square).sum::<f64>() / paths as f64).sqrt()
        })
        .collect();
    assert!((slope(&errors) - EulerMaruyama::STRONG_ORDER).abs() < 0.05, "{errors:?}");
}
