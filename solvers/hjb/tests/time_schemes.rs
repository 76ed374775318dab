//! The table of orders of the time schemes, backward and forward, on one problem with a closed form.
//!
//! dX = [ -X + v ] dt + dB, cost v^2/2, terminal reward -Q x^2/2: V = -K x^2/2 - (1/2) log(1 + Q (1 - e^{-2 tau})/2),
//! K = 2 Q e^{-2 tau} / (2 + Q (1 - e^{-2 tau})), tau = T - t; the optimal control is v = -K x.
#![allow(missing_docs)]

mod common;

use common::{Problem, line, mixture, orders};
use hjbridge_hjb::{
    FokkerPlanck, FokkerPlanckParams, HjbParams, HjbSolver, PolicyIteration, PolicyIterationParams, Storage, Time,
};
use hjbridge_model::PointwiseFeedback;
use std::sync::Arc;

const SCHEMES: [Time; 3] = [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2];
const Q: f64 = 1.5;

fn value(tau: f64, x: f64) -> f64 {
    let e = (-2.0 * tau).exp();
    let k = 2.0 * Q * e / (2.0 + Q * (1.0 - e));
    -0.5 * k * x * x - 0.5 * (1.0 + 0.5 * Q * (1.0 - e)).ln()
}

#[test]
fn backward_order_in_the_step() {
    // V is quadratic in x and central differences are exact for it: only the error in time is left.
    let problem = Problem { terminal: Arc::new(|_, x| -0.5 * Q * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0) };
    for time in SCHEMES {
        let errors: Vec<f64> = [20, 40, 80]
            .iter()
            .map(|&steps| {
                let params = HjbParams { time, steps, ..Default::default() };
                let (v, info) = HjbSolver::new(&problem, line(-6.0, 6.0, 241), params).unwrap().solve().unwrap();
                assert_eq!((info.time, info.time_order), (time.name(), time.order()));
                assert_eq!(v.times().len(), steps + 1);
                let x = v.grid().axis(0).nodes();
                (0..241).filter(|&j| x[j].abs() <= 1.5).map(|j| (v.value(0)[j] - value(1.0, x[j])).abs()).fold(0.0, f64::max)
            })
            .collect();
        let expected = f64::from(time.order());
        assert!(orders(&errors).iter().all(|o| (o - expected).abs() < 0.15), "{time:?}: {errors:?} {:?}", orders(&errors));
    }
}

#[test]
fn forward_order_in_the_step() {
    // dX = [-X + t] dt + dB from a narrow law at 0.5: E X_1 = 0.5 e^{-1} + e^{-1}, exact in space because the scheme is exact
    // on linear functions.
    let problem = Problem::ornstein_uhlenbeck(1, 1.0, 1.0);
    let push = PointwiseFeedback::new(1, 1, |t, _x: &[f64], u: &mut [f64]| u[0] = t);
    let grid = line(-6.0, 6.0, 241);
    let x = grid.axis(0).nodes().to_vec();
    let mut initial = vec![0.0; 241];
    initial[130] = 1.0;
    let exact = (x[130] + 1.0) * (-1.0f64).exp();
    for time in SCHEMES {
        let errors: Vec<f64> = [10, 20, 40]
            .iter()
            .map(|&steps| {
                let params = FokkerPlanckParams { time, steps, storage: Storage::AtMost(2), ..Default::default() };
                let (path, info) = FokkerPlanck::new(&problem, &push, grid.clone(), params).unwrap().evolve(&initial).unwrap();
                assert!(info.mass_error < 1e-13, "{time:?}: {:e}", info.mass_error);
                assert!(info.face_mass < 1e-9);
                let mean: f64 = path.terminal().iter().zip(&x).map(|(m, x)| m * x).sum();
                (mean - exact).abs()
            })
            .collect();
        let expected = f64::from(time.order());
        assert!(orders(&errors).iter().all(|o| (o - expected).abs() < 0.3), "{time:?}: {errors:?} {:?}", orders(&errors));
    }
}

#[test]
fn policy_iteration_over_the_horizon_has_the_same_discrete_solution() {
    let problem = mixture();
    for time in SCHEMES {
        let hjb = HjbParams { time, steps: 50, ..Default::default() };
        let grid = line(-6.0, 6.0, 121);
        let (a, _) = HjbSolver::new(&problem, grid.clone(), hjb).unwrap().solve().unwrap();
        let params = PolicyIterationParams { hjb, ..Default::default() };
        let (b, _) = PolicyIteration::new(&problem, grid, params).unwrap().solve().unwrap();
        assert_eq!(a.times(), b.times());
        for k in 0..=50 {
            let difference = a.value(k).iter().zip(b.value(k)).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
            assert!(difference < 1e-9, "{time:?} {k}: {difference:e}");
        }
    }
}
