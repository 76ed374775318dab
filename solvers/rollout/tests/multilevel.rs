//! Multilevel Monte Carlo and weak extrapolation against closed forms and the rates of theory.
#![allow(missing_docs)]

mod common;

use std::sync::atomic::AtomicBool;

use common::{Diffusion, Map, Matrix};
use hjbridge_model::ZeroFeedback;
use hjbridge_rollout::estimators::weak_extrapolation;
use hjbridge_rollout::multilevel::{MultilevelParams, Payoff, multilevel};
use hjbridge_rollout::{Ensemble, FinishedPaths, InitialState, RolloutError, RolloutParams};

const IDLE: ZeroFeedback = ZeroFeedback { dim: 1, control_dim: 1 };

fn params(seed: u64) -> RolloutParams {
    RolloutParams { paths: 64, seed, ..Default::default() }
}

/// dX = -X dt + dB from 1 on [0, 1], reward X^2: E = e^{-2} + (1 - e^{-2})/2.
fn additive() -> Diffusion {
    let mut problem = Diffusion::ou(1, 1.0, 1.0, 1.0);
    problem.terminal = Box::new(|x| x[0] * x[0]);
    problem
}

/// dX = X/2 dt + X dB / 2 from 1 on [0, 1], reward max(X - 1, 0): the formula of Black and Scholes, not discounted.
fn geometric() -> (Diffusion, f64) {
    let (mu, sigma) = (0.5, 0.5);
    let mut problem = Diffusion::ou(1, -mu, 0.0, 1.0);
    let field: Map = Box::new(move |x, out| out[0] = sigma * x[0]);
    problem.sigma = Matrix::Field(1, field);
    problem.terminal = Box::new(|x| (x[0] - 1.0).max(0.0));
    let phi = |x: f64| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    let d = (mu + 0.5 * sigma * sigma) / sigma;
    (problem, f64::exp(mu) * phi(d) - phi(d - sigma))
}

fn start() -> InitialState<'static> {
    InitialState::Point(vec![1.0])
}

#[test]
fn additive_noise_has_the_rates_of_strong_order_one() {
    let problem = additive();
    let exact = 0.5 * (1.0 + (-2f64).exp());
    let asked = MultilevelParams { standard_error: 2e-3, base_steps: 4, ..Default::default() };
    let run = |threads, seed| {
        let p = RolloutParams { threads: Some(threads), ..params(seed) };
        multilevel(&Ensemble::new(&problem, &IDLE, start(), p).unwrap(), &asked, None).unwrap()
    };
    let (estimate, info) = run(1, 3);
    assert!(info.converged && !info.partial, "{info:?}");
    let (lower, upper) = estimate.confidence_interval(0.95).unwrap();
    assert!(lower < exact && exact < upper, "{estimate:?} {exact}");
    assert!((estimate.mean - exact).abs() < 4.0 * estimate.standard_error + estimate.bias);
    assert!(estimate.standard_error < 1.02 * 2e-3 && estimate.standard_error > 1.5e-3, "{estimate:?}");
    assert!((info.alpha - 1.0).abs() < 0.2 && (info.beta - 2.0).abs() < 0.2 && (info.gamma - 1.0).abs() < 1e-9, "{info:?}");
    for level in &info.levels {
        assert!(level.consistency < 1.0, "{level:?}");
    }
    // Cheaper than one level by the factor of theory. The pilot samples of the finest levels are the difference.
    assert!(
        info.saving > 5.0 && (info.saving / info.predicted_saving - 1.0).abs() < 0.4,
        "{} {}",
        info.saving,
        info.predicted_saving
    );
    let (again, other) = run(2, 3);
    assert_eq!((again, &other.levels), (estimate, &info.levels));
    assert_ne!(run(1, 4).0.mean, estimate.mean);
}

#[test]
fn intervals_cover_and_errors_are_what_they_say() {
    // 40 seeds: squared z-scores (bias apart) follow chi-squared with 40 degrees, deviation sqrt(80) = 8.9.
    let problem = additive();
    let exact = 0.5 * (1.0 + (-2f64).exp());
    let asked = MultilevelParams { standard_error: 1e-2, bias: Some(1e-3), base_steps: 4, pilot: 256, ..Default::default() };
    let mut chi_squared = 0.0;
    for seed in 0..40 {
        let (e, info) = multilevel(&Ensemble::new(&problem, &IDLE, start(), params(seed)).unwrap(), &asked, None).unwrap();
        assert!(info.converged);
        chi_squared += ((e.mean - exact) / e.standard_error).powi(2);
    }
    assert!((chi_squared - 40.0).abs() < 4.0 * 8.9, "{chi_squared}");
}

#[test]
fn multiplicative_noise_has_the_rates_of_strong_order_one_half() {
    let (problem, exact) = geometric();
    let asked = MultilevelParams { standard_error: 4e-3, base_steps: 2, pilot: 4096, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &IDLE, start(), params(5)).unwrap();
    let (estimate, info) = multilevel(&ensemble, &asked, None).unwrap();
    assert!((estimate.mean - exact).abs() < 4.0 * estimate.standard_error + estimate.bias, "{estimate:?} {exact}");
    assert!(info.converged && (info.beta - 1.0).abs() < 0.25 && (info.alpha - 1.0).abs() < 0.35, "{info:?}");
    assert!(info.saving > 1.5, "{info:?}");
    // Another payoff: the mean, e^{1/2}.
    let payoff: &Payoff<'_> = &|paths: &FinishedPaths<'_>, out: &mut [f64]| out.copy_from_slice(paths.state.coord(0));
    let (estimate, _) = multilevel(&ensemble, &asked, Some(payoff)).unwrap();
    assert!((estimate.mean - 0.5f64.exp()).abs() < 4.0 * estimate.standard_error + estimate.bias, "{estimate:?}");
}

#[test]
fn extrapolation_removes_the_leading_bias() {
    let problem = additive();
    let exact = 0.5 * (1.0 + (-2f64).exp());
    let asked = |extrapolate| MultilevelParams {
        standard_error: 1e-3,
        bias: Some(2e-4),
        base_steps: 4,
        extrapolate,
        ..Default::default()
    };
    let ensemble = Ensemble::new(&problem, &IDLE, start(), params(7)).unwrap();
    let (plain, long) = multilevel(&ensemble, &asked(false), None).unwrap();
    let (better, short) = multilevel(&ensemble, &asked(true), None).unwrap();
    for (e, info) in [(plain, &long), (better, &short)] {
        assert!((e.mean - exact).abs() < 4.0 * e.standard_error + e.bias && info.converged, "{e:?} {exact}");
    }
    assert!(short.levels.len() + 2 <= long.levels.len(), "{} {}", short.levels.len(), long.levels.len());
    // Second moment of the Euler chain: s <- (1-h)^2 s + h.
    let chain = |steps: usize| {
        let h = 1.0 / steps as f64;
        (0..steps).fold(1.0, |s, _| (1.0 - h) * (1.0 - h) * s + h)
    };
    let p = RolloutParams { paths: 100_000, steps: 16, ..params(1) };
    let (e, info) = weak_extrapolation(&Ensemble::new(&problem, &IDLE, start(), p).unwrap(), None).unwrap();
    assert!(e.coarse.z_score(chain(16)).abs() < 4.0 && e.fine.z_score(chain(32)).abs() < 4.0, "{e:?}");
    assert!(e.extrapolated.z_score(2.0 * chain(32) - chain(16)).abs() < 4.0, "{e:?}");
    // Without simulation: orders 1 and 2, and the coupled estimate of the bias is the true one up to O(h^2).
    let error = |n: usize| 2.0 * chain(2 * n) - chain(n) - exact;
    assert!(((error(16) / error(32)).log2() - 2.0).abs() < 0.1);
    assert!((e.fine_bias.mean - (chain(32) - exact)).abs() < 4.0 * e.fine_bias.standard_error + error(16).abs(), "{e:?}");
    assert!(e.fine_bias.standard_error < 0.1 * e.fine.standard_error && info.path_steps == 4_800_000);
}

#[test]
fn what_cannot_be_done_is_said() {
    let problem = additive();
    let ensemble = Ensemble::new(&problem, &IDLE, start(), params(0)).unwrap();
    let good = MultilevelParams::default();
    for bad in [
        MultilevelParams { standard_error: 0.0, ..good.clone() },
        MultilevelParams { standard_error: f64::NAN, ..good.clone() },
        MultilevelParams { bias: Some(-1.0), ..good.clone() },
        MultilevelParams { base_steps: 0, ..good.clone() },
        MultilevelParams { refinement: 1, ..good.clone() },
        MultilevelParams { min_level: 5, max_level: 4, ..good.clone() },
        MultilevelParams { max_level: 60, ..good.clone() },
        MultilevelParams { pilot: 3, ..good.clone() },
    ] {
        assert!(matches!(multilevel(&ensemble, &bad, None), Err(RolloutError::Invalid { .. })), "{bad:?}");
    }
    // Too few levels allowed: an answer whose interval still holds, not converged.
    let exact = 0.5 * (1.0 + (-2f64).exp());
    let short = MultilevelParams { standard_error: 2e-3, base_steps: 4, max_level: 2, ..good.clone() };
    let (e, info) = multilevel(&ensemble, &short, None).unwrap();
    let (lower, upper) = e.confidence_interval(0.95).unwrap();
    assert!(!info.converged && !info.partial && lower < exact && exact < upper, "{e:?} {info:?}");
    // Out of steps: partial.
    let poor = MultilevelParams { standard_error: 1e-5, base_steps: 4, max_path_steps: 1_000_000, ..good.clone() };
    let (e, info) = multilevel(&ensemble, &poor, None).unwrap();
    assert!(info.partial && !info.converged && info.path_steps <= 1_000_000 && e.standard_error > 1e-5);
    // Interrupted before anything is known.
    let flag = AtomicBool::new(true);
    assert!(multilevel(&ensemble.clone().with_interrupt(&flag), &good, None).is_err());
    assert!(weak_extrapolation(&ensemble.with_interrupt(&flag), None).is_err());
    // Interrupted after the first payoffs: fewer paths, marked.
    let flag = AtomicBool::new(false);
    let trip: &Payoff<'_> = &|paths: &FinishedPaths<'_>, out: &mut [f64]| {
        flag.store(paths.first_path >= 640, std::sync::atomic::Ordering::Relaxed);
        out.copy_from_slice(paths.terminal_reward);
    };
    let p = RolloutParams { paths: 2048, steps: 8, threads: Some(1), ..params(0) };
    let long = Ensemble::new(&problem, &IDLE, start(), p).unwrap().with_interrupt(&flag);
    let (e, info) = weak_extrapolation(&long, Some(trip)).unwrap();
    assert_eq!((e.fine.n, info.partial, info.path_steps), (11 * 64, true, 11 * 64 * 3 * 8));
}
