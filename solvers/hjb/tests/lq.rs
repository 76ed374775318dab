//! Linear-quadratic control against closed forms.
//!
//! dX = [ -X + v ] dt + dB, cost v^2/2, terminal reward -Q x^2/2: V = -K x^2/2 - (1/2) log(1 + Q (1 - e^{-2 tau})/2),
//! K = 2 Q e^{-2 tau} / (2 + Q (1 - e^{-2 tau})), tau = T - t; the optimal control is v = -K x.
#![allow(missing_docs)]

mod common;

use common::{Problem, fine_tuning_errors, line, orders, square};
use hjbridge_hjb::{HjbError, HjbParams, HjbSolver, LinearSolverChoice, Space, Time};
use hjbridge_model::exact::TiltedMixture;
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::{Axis, TensorGrid};
use hjbridge_model::reward::Reward;
use hjbridge_model::{ControlSet, GaussianMixture, KlWeight, Schedule};
use std::sync::Arc;

const Q: f64 = 1.5;

fn scalar() -> Problem {
    Problem { terminal: Arc::new(|_, x| -0.5 * Q * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0) }
}

fn curvature(tau: f64) -> f64 {
    let e = (-2.0 * tau).exp();
    2.0 * Q * e / (2.0 + Q * (1.0 - e))
}

fn value(tau: f64, x: f64) -> f64 {
    -0.5 * curvature(tau) * x * x - 0.5 * (1.0 + 0.5 * Q * (1.0 - (-2.0 * tau).exp())).ln()
}

/// sup errors of V and v over |x| <= 1.5 and all levels below T.
fn scalar_errors(grid: Arc<TensorGrid>, params: HjbParams) -> (f64, f64) {
    let problem = scalar();
    let (mut ev, mut eu) = (0.0f64, 0.0f64);
    let nodes = grid.axis(0).nodes().to_vec();
    let solver = HjbSolver::new(&problem, grid, params).unwrap();
    solver
        .solve_observed(&mut |view| {
            for (j, &x) in nodes.iter().enumerate().filter(|(_, x)| x.abs() <= 1.5 && view.t < 1.0) {
                ev = ev.max((view.value[j] - value(1.0 - view.t, x)).abs());
                eu = eu.max((view.control[j] + curvature(1.0 - view.t) * x).abs());
            }
        })
        .unwrap();
    (ev, eu)
}

#[test]
fn hybrid_crank_nicolson_is_of_order_two_on_uniform_and_stretched_axes() {
    for stretched in [false, true] {
        let errors: Vec<(f64, f64)> = [81, 161, 321]
            .iter()
            .map(|&n| {
                let axis = match stretched {
                    false => Axis::uniform(-4.0, 4.0, n).unwrap(),
                    true => Axis::stretched(-4.0, 4.0, n, 0.5, 2.0).unwrap(),
                };
                let grid = Arc::new(TensorGrid::new(vec![axis]).unwrap());
                scalar_errors(grid, HjbParams { steps: 2 * n, ..Default::default() })
            })
            .collect();
        let (v, u): (Vec<f64>, Vec<f64>) = errors.into_iter().unzip();
        let all = [orders(&v), orders(&u)].concat();
        println!("{stretched} {v:?} {u:?} {all:?}");
        assert!(all.iter().all(|o| (o - 2.0).abs() < 0.12), "stretched {stretched}: {all:?}");
    }
}

#[test]
fn upwind_implicit_euler_is_of_order_one() {
    let params = |n: usize| HjbParams { space: Space::Upwind, time: Time::ImplicitEuler, steps: n / 2, ..Default::default() };
    let (v, u): (Vec<f64>, Vec<f64>) = [81, 161, 321].iter().map(|&n| scalar_errors(line(-6.0, 6.0, n), params(n))).unzip();
    assert!(orders(&v).iter().chain(&orders(&u)).all(|o| (o - 1.0).abs() < 0.1));
}

#[test]
fn bounds_on_the_control_are_kept_and_cost_value() {
    let nodes = 161;
    let params = HjbParams { steps: 80, ..Default::default() };
    let free = scalar();
    let (full, _) = HjbSolver::new(&free, line(-6.0, 6.0, nodes), params).unwrap().solve().unwrap();
    let bounded = Problem { set: ControlSet::Box { lower: vec![-0.4], upper: vec![0.3] }, ..scalar() };
    let (clipped, _) = HjbSolver::new(&bounded, line(-6.0, 6.0, nodes), params).unwrap().solve().unwrap();
    let wide = Problem { set: ControlSet::Box { lower: vec![-50.0], upper: vec![50.0] }, ..scalar() };
    let (same, _) = HjbSolver::new(&wide, line(-6.0, 6.0, nodes), params).unwrap().solve().unwrap();
    assert!(clipped.control(0).iter().chain(clipped.control(80)).all(|v| (-0.4..=0.3).contains(v)));
    assert!(clipped.control(80).contains(&-0.4) && clipped.control(80).contains(&0.3));
    for j in 40..121 {
        assert!(clipped.value(0)[j] <= full.value(0)[j] + 1e-12);
        assert!((same.value(0)[j] - full.value(0)[j]).abs() < 1e-11);
    }
    assert!(full.value(0)[100] - clipped.value(0)[100] > 1e-4);
}

fn gaussian(mean: Vec<f64>, covariance: Vec<Vec<f64>>, curvature: &[Vec<f64>], q: Vec<f64>, beta: f64) -> FineTuning {
    let prior = GaussianMixture::gaussian(mean, covariance).unwrap();
    let reward = Reward::quadratic(curvature, q, 0.2).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    FineTuning::new(schedule, prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

#[test]
fn fine_tuning_of_a_gaussian_prior_in_one_dimension() {
    let problem = gaussian(vec![0.7], vec![vec![0.5]], &[vec![1.3]], vec![0.9], 0.6);
    let exact = TiltedMixture::new(&problem).unwrap();
    let (v, u): (Vec<f64>, Vec<f64>) = [201, 401, 801]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n - 1, ..Default::default() };
            let (v, u, _) = fine_tuning_errors(&problem, &exact, line(-6.0, 6.0, n), params, 2.0);
            (v, u)
        })
        .unzip();
    assert!(orders(&v).iter().chain(&orders(&u)).all(|o| (o - 2.0).abs() < 0.1));
    // V(0,y) = -K y^2/2 + k y + l in closed form, constant beta.
    let (c, mu, q2, q, beta): (f64, f64, f64, f64, f64) = (0.5, 0.7, 1.3, 0.9, 0.6);
    let e = (-0.5 * 3.5f64).exp(); // exp(-B/2) with B = int_0^2 b = 3.5
    let noise = 1.0 - e * e;
    let s = 1.0 / (1.0 / c + e * e / noise);
    let h = 1.0 / (1.0 / s + q2 / beta);
    let n0 = mu / c;
    let scale = e / noise;
    let big_k = beta * scale * scale * (s - h);
    let k = beta * scale * (h * (n0 + q / beta) - s * n0);
    let l = 0.2 + beta * (-0.5 * (1.0 + s * q2 / beta).ln() + 0.5 * (n0 + q / beta).powi(2) * h - 0.5 * n0 * n0 * s);
    let params = HjbParams { steps: 400, ..Default::default() };
    let (solution, _) = HjbSolver::new(&problem, line(-6.0, 6.0, 401), params).unwrap().solve().unwrap();
    for j in [150, 200, 250] {
        let y = -6.0 + 0.03 * j as f64;
        let closed = -0.5 * big_k * y * y + k * y + l;
        assert!((solution.value(0)[j] - closed).abs() < 2e-5, "{} {closed}", solution.value(0)[j]);
    }
}

#[test]
fn fine_tuning_of_a_correlated_gaussian_in_two_dimensions() {
    // Prior and reward both correlated, so that neither drift nor value separates.
    let problem =
        gaussian(vec![0.3, -0.2], vec![vec![0.9, 0.4], vec![0.4, 1.2]], &[vec![0.3, -0.1], vec![-0.1, 0.2]], vec![0.3, 0.2], 1.0);
    let exact = TiltedMixture::new(&problem).unwrap();
    let (v, u): (Vec<f64>, Vec<f64>) = [41, 81]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n / 2, ..Default::default() };
            let (v, u, info) = fine_tuning_errors(&problem, &exact, square(4.5, n), params, 1.0);
            assert_eq!(info.linear_solver, "bicgstab-adi");
            (v, u)
        })
        .unzip();
    // Seen: V 1.30e-3, 2.45e-4; U 1.22e-3, 2.51e-4.
    assert!(v[1] < 3e-4 && u[1] < 3e-4, "{v:?} {u:?}");
    assert!(orders(&v)[0] > 1.9 && orders(&u)[0] > 1.9, "{v:?} {u:?}");
}

#[test]
fn a_two_dimensional_mixture_is_solved_to_order_two() {
    let prior = GaussianMixture::new(
        vec![0.4, 0.6],
        vec![vec![-0.6, 0.3], vec![0.5, -0.4]],
        vec![vec![vec![0.8, 0.2], vec![0.2, 0.9]], vec![vec![0.7, -0.1], vec![-0.1, 0.8]]],
    )
    .unwrap();
    let reward = Reward::quadratic(&[vec![0.3, 0.1], vec![0.1, 0.2]], vec![0.4, -0.3], 0.0).unwrap();
    let schedule = Schedule::linear(1.0, 0.5, 3.0).unwrap();
    let problem = FineTuning::new(schedule, prior, reward, KlWeight::constant(0.8).unwrap(), InitialLaw::NoisedPrior).unwrap();
    let exact = TiltedMixture::new(&problem).unwrap();
    let (v, u): (Vec<f64>, Vec<f64>) = [41, 81]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n / 2, ..Default::default() };
            let (v, u, _) = fine_tuning_errors(&problem, &exact, square(4.0, n), params, 1.0);
            (v, u)
        })
        .unzip();
    // Seen: V 1.30e-3, 3.60e-4; U 3.02e-3, 7.36e-4.
    assert!(v[1] < 4.5e-4 && u[1] < 9e-4, "{v:?} {u:?}");
    assert!(orders(&v)[0] > 1.8 && orders(&u)[0] > 1.9, "{v:?} {u:?}");
}

#[test]
fn both_linear_solvers_give_the_same_solution() {
    let problem = scalar();
    let run = |linear| {
        let params = HjbParams { steps: 40, linear, ..Default::default() };
        HjbSolver::new(&problem, line(-6.0, 6.0, 81), params).unwrap().solve().unwrap()
    };
    let (a, info) = run(LinearSolverChoice::SparseLu);
    let (b, _) = run(LinearSolverChoice::Tridiagonal);
    assert_eq!(info.linear_solver, "sparse-lu");
    for k in 0..=40 {
        assert!(a.value(k).iter().zip(b.value(k)).all(|(a, b)| (a - b).abs() < 1e-11));
    }
}

#[test]
fn a_convex_reward_with_linear_growth_is_well_posed_and_solved_to_order_two() {
    // dX = v dt + dB, g = log cosh(A x): exp(V) solves the heat equation, V = log cosh(A x) + A^2 tau/2.
    let a = 2.0;
    let log_cosh = |z: f64| z.abs() + (0.5 * (1.0 + (-2.0 * z.abs()).exp())).ln();
    let problem = Problem { terminal: Arc::new(move |_, x| log_cosh(a * x[0])), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let errors: Vec<f64> = [101, 201, 401]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n, ..Default::default() };
            let (v, _) = HjbSolver::new(&problem, line(-5.0, 5.0, n), params).unwrap().solve().unwrap();
            let x = v.grid().axis(0).nodes().to_vec();
            (0..n).map(|j| (v.value(0)[j] - log_cosh(a * x[j]) - 0.5 * a * a).abs()).fold(0.0, f64::max)
        })
        .collect();
    // The boundary condition V'' = 0 holds to 1e-8 here, so the error is taken over the whole box.
    assert!(orders(&errors).iter().all(|o| (o - 2.0).abs() < 0.1), "{errors:?}");
}

#[test]
fn a_convex_reward_below_the_limit_is_solved() {
    // C^{-1} + Q/beta = 2 - 1 > 0: the tilted law has twice the variance.
    let problem = gaussian(vec![0.2], vec![vec![0.5]], &[vec![-0.6]], vec![0.1], 0.6);
    let exact = TiltedMixture::new(&problem).unwrap();
    let params = HjbParams { steps: 400, ..Default::default() };
    let (v, u, _) = fine_tuning_errors(&problem, &exact, line(-7.0, 7.0, 401), params, 2.0);
    assert!(v < 1e-3 && u < 2e-3, "{v:e} {u:e}");
}

#[test]
fn a_reward_too_convex_for_its_weight_is_reported_with_the_time() {
    // f = 0, g = P x^2/2, cost v^2/2: V = P(tau) x^2/2 + ..., P(tau) = P/(1 - P tau) ends at tau = 1/P, before T.
    for (p, horizon) in [(1.0, 2.0), (4.0, 1.0)] {
        let problem =
            Problem { terminal: Arc::new(move |_, x| 0.5 * p * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(1, 0.0, horizon) };
        for time in [Time::ImplicitEuler, Time::CrankNicolson] {
            let params = HjbParams { steps: 400, time, ..Default::default() };
            let error = HjbSolver::new(&problem, line(-6.0, 6.0, 241), params).unwrap().solve().err();
            match error {
                Some(HjbError::IllPosed { t, axis: 0, .. }) => {
                    assert!((t - (horizon - 1.0 / p)).abs() < 2.0 * horizon / 400.0, "{t}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
