//! The law of the controlled process: conservation, sign, duality, and laws known in closed form.
#![allow(missing_docs)]

mod common;

use common::{Problem, line, mixture, orders, square};
use hjbridge_hjb::{
    Face, FokkerPlanck, FokkerPlanckParams, HjbError, HjbParams, HjbSolver, Space, Storage, Time, masses_from_log_density,
};
use hjbridge_model::exact::TiltedMixture;
use hjbridge_model::grid::{Extrapolation, Interpolation};
use hjbridge_model::{Law, PointwiseFeedback, ZeroFeedback};
use std::sync::Arc;

#[test]
fn mass_is_conserved_and_stays_non_negative_under_implicit_euler() {
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let problem = Problem {
        drift: Arc::new(|t, x, out| {
            out[0] = 3.0 * x[1] - x[0] * (1.0 + t);
            out[1] = -3.0 * x[0] - x[1].powi(3);
        }),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    };
    let grid = square(3.0, 21);
    let mut initial = vec![0.0; grid.len()];
    initial[5 * 21 + 3] = 0.25;
    initial[15 * 21 + 12] = 0.75;
    for space in [Space::Upwind, Space::Hybrid] {
        for time in [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2] {
            for boundary in [Face::Reflecting, Face::Extrapolated] {
                let params = FokkerPlanckParams { space, time, boundary: boundary.into(), steps: 20, ..Default::default() };
                let (path, info) = FokkerPlanck::new(&problem, &zero, grid.clone(), params).unwrap().evolve(&initial).unwrap();
                assert!(info.mass_error < 1e-13, "{space:?} {time:?} {boundary:?}: {info:?}");
                assert_eq!(path.times().len(), 21);
                if boundary == Face::Reflecting {
                    assert!(info.monotonicity.is_monotone());
                    if time == Time::ImplicitEuler {
                        assert!(info.most_negative >= 0.0, "{info:?}");
                    }
                }
            }
        }
    }
}

/// E over masses of f.
fn mean(mass: &[f64], f: impl Fn(usize) -> f64) -> f64 {
    mass.iter().enumerate().map(|(j, m)| m * f(j)).sum()
}

#[test]
fn an_ornstein_uhlenbeck_law_is_gaussian_to_the_order_of_the_scheme() {
    // dX = [-X + 0.5] dt + dB from N(-0.5, 0.2); the drift 0.5 comes from the feedback.
    let problem = Problem::ornstein_uhlenbeck(1, 1.0, 1.0);
    let push = PointwiseFeedback::new(1, 1, |_t, _x: &[f64], u: &mut [f64]| u[0] = 0.5);
    let e = (-1.0f64).exp();
    let (m, s2) = (0.5 + (-0.5 - 0.5) * e, 0.2 * e * e + 0.5 * (1.0 - e * e));
    let density = |x: f64| (-0.5 * (x - m).powi(2) / s2).exp() / (2.0 * std::f64::consts::PI * s2).sqrt();
    for (space, time, order) in [(Space::Hybrid, Time::CrankNicolson, 2.0), (Space::Upwind, Time::ImplicitEuler, 1.0)] {
        let mut errors = Vec::new();
        let mut means = Vec::new();
        for n in [101, 201, 401] {
            let grid = line(-5.0, 5.0, n);
            let x = grid.axis(0).nodes().to_vec();
            let log: Vec<f64> = x.iter().map(|x| -0.5 * (x + 0.5).powi(2) / 0.2).collect();
            let initial = masses_from_log_density(&grid, &log).unwrap();
            let params = FokkerPlanckParams { space, time, steps: n - 1, storage: Storage::AtMost(2), ..Default::default() };
            let (path, info) = FokkerPlanck::new(&problem, &push, grid, params).unwrap().evolve(&initial).unwrap();
            assert!(info.face_mass < 1e-9 && info.mass_error < 1e-13);
            let rho = path.density(1);
            errors.push((0..n).map(|j| (rho[j] - density(x[j])).abs()).fold(0.0, f64::max));
            let first = mean(path.terminal(), |j| x[j]);
            let second = mean(path.terminal(), |j| (x[j] - m).powi(2));
            means.push((first - m).abs() + (second - s2).abs());
        }
        let all = [orders(&errors), orders(&means)].concat();
        assert!(all.iter().all(|o| (o - order).abs() < 0.12), "{space:?} {time:?}: {errors:?} {means:?} {all:?}");
    }
}

#[test]
fn implicit_euler_forward_and_backward_are_adjoint() {
    // Coefficients that do not depend on time: m_N = (I - h L')^{-N} m_0 and V_0 = (I - h L)^{-N} g exactly.
    let problem = Problem {
        control_dim: 0,
        drift: Arc::new(|_, x, out| out[0] = (2.0 * x[0]).sin() - x[0]),
        terminal: Arc::new(|_, x| (3.0 * x[0]).cos() + x[0]),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let grid = line(-3.0, 3.0, 61);
    let none = ZeroFeedback { dim: 1, control_dim: 0 };
    let x = grid.axis(0).nodes().to_vec();
    for (space, boundary) in [(Space::Hybrid, Face::Reflecting), (Space::Upwind, Face::Extrapolated)] {
        let time = Time::ImplicitEuler;
        let hjb = HjbParams { space, time, boundary: boundary.into(), steps: 30, ..Default::default() };
        let (v, _) = HjbSolver::new(&problem, grid.clone(), hjb).unwrap().solve().unwrap();
        let params = FokkerPlanckParams { space, time, boundary: boundary.into(), steps: 30, ..Default::default() };
        for start in [5, 20, 44] {
            let mut initial = vec![0.0; 61];
            initial[start] = 1.0;
            let (path, _) = FokkerPlanck::new(&problem, &none, grid.clone(), params).unwrap().evolve(&initial).unwrap();
            let expectation = mean(path.terminal(), |j| (3.0 * x[j]).cos() + x[j]);
            assert!((expectation - v.value(0)[start]).abs() < 1e-13);
        }
    }
}

#[test]
fn the_optimal_control_turns_the_noised_tilted_law_into_the_tilted_law() {
    // Started from p*_T the optimally controlled process ends exactly in p* = p exp(r/beta)/Z.
    let problem = mixture();
    let tilted = TiltedMixture::new(&problem).unwrap();
    let errors: Vec<f64> = [201, 401]
        .iter()
        .map(|&n| {
            let grid = line(-6.0, 6.0, n);
            let params = HjbParams { steps: n - 1, ..Default::default() };
            let (v, _) = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
            let control = v.feedback(Interpolation::Linear, Extrapolation::Linear).unwrap();
            let (mut start, mut end) = (vec![0.0; n], vec![0.0; n]);
            problem.initial_law().log_density(grid.points().as_points(), &mut start);
            tilted.tilted().log_density(grid.points().as_points(), &mut end);
            let initial = masses_from_log_density(&grid, &start).unwrap();
            let params = FokkerPlanckParams { steps: n - 1, storage: Storage::AtMost(2), ..Default::default() };
            let (path, _) = FokkerPlanck::new(&problem, &control, grid, params).unwrap().evolve(&initial).unwrap();
            let density = path.density(1);
            (0..n).map(|j| (density[j] - end[j].exp()).abs()).fold(0.0, f64::max)
        })
        .collect();
    println!("{errors:?}");
    assert!(errors[1] < 2e-3 && (orders(&errors)[0] - 2.0).abs() < 0.2, "{errors:?}");
}

#[test]
fn bad_input_is_refused() {
    let problem = Problem::ornstein_uhlenbeck(1, 1.0, 1.0);
    let grid = line(-2.0, 2.0, 21);
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let d = FokkerPlanckParams::default();
    let steps = FokkerPlanckParams { steps: 0, ..d };
    assert!(matches!(FokkerPlanck::new(&problem, &zero, grid.clone(), steps), Err(HjbError::Invalid { .. })));
    let wrong = ZeroFeedback { dim: 1, control_dim: 2 };
    assert!(matches!(FokkerPlanck::new(&problem, &wrong, grid.clone(), d), Err(HjbError::Shape { .. })));
    let solver = FokkerPlanck::new(&problem, &zero, grid.clone(), d).unwrap();
    assert!(matches!(solver.evolve(&[1.0; 20]).err(), Some(HjbError::Shape { .. })));
    assert!(matches!(solver.evolve(&[f64::NAN; 21]).err(), Some(HjbError::Invalid { .. })));
    let nan = PointwiseFeedback::new(1, 1, |t, _x: &[f64], u: &mut [f64]| u[0] = if t > 0.5 { f64::NAN } else { 0.0 });
    let solver = FokkerPlanck::new(&problem, &nan, grid.clone(), d).unwrap();
    let error = solver.evolve(&[1.0 / 21.0; 21]).err();
    assert!(matches!(error, Some(HjbError::NonFinite { coefficient: "feedback", .. })));
    assert!(matches!(masses_from_log_density(&grid, &[f64::NEG_INFINITY; 21]), Err(HjbError::Invalid { .. })));
    assert!(matches!(masses_from_log_density(&grid, &[f64::NAN; 21]), Err(HjbError::Invalid { .. })));
    assert!(matches!(masses_from_log_density(&grid, &[0.0; 3]), Err(HjbError::Shape { .. })));
}
