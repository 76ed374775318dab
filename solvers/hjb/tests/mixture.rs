//! Fine-tuning of a one-dimensional Gaussian mixture against its closed form
//! V(t,y) = beta [ log Z + log p*_tau(y) - log p_tau(y) ], U* = grad log p*_tau.
#![allow(missing_docs)]

mod common;

use common::{fine_tuning_errors, line, mixture, orders};
use hjbridge_hjb::{HjbParams, HjbSolver, PolicyIteration, PolicyIterationParams, Space, Storage, Time};
use hjbridge_model::exact::TiltedMixture;
use hjbridge_model::grid::{Axis, Extrapolation, Interpolation, TensorGrid};
use hjbridge_model::{Feedback, PointBlock};
use std::sync::Arc;

fn errors(nodes: &[usize], space: Space, time: Time) -> (Vec<f64>, Vec<f64>) {
    let problem = mixture();
    let exact = TiltedMixture::new(&problem).unwrap();
    nodes
        .iter()
        .map(|&n| {
            let params = HjbParams { space, time, steps: n - 1, ..Default::default() };
            let (v, u, info) = fine_tuning_errors(&problem, &exact, line(-6.0, 6.0, n), params, 3.0);
            assert!(info.monotonicity.is_monotone() && info.max_inner_iterations <= 4);
            assert_eq!(info.linear_solver, "tridiagonal");
            (v, u)
        })
        .unzip()
}

#[test]
fn hybrid_crank_nicolson_is_of_order_two() {
    // Seen: V 1.02e-3, 2.55e-4, 6.38e-5; U 1.52e-2, 3.94e-3, 9.86e-4.
    let (v, u) = errors(&[201, 401, 801], Space::Hybrid, Time::CrankNicolson);
    assert!(v[2] <= 8e-5 && u[2] <= 1.2e-3, "{v:?} {u:?}");
    assert!(orders(&v).iter().all(|o| (o - 2.0).abs() < 0.05), "{:?}", orders(&v));
    assert!(orders(&u).iter().all(|o| (o - 2.0).abs() < 0.1), "{:?}", orders(&u));
}

#[test]
fn upwind_implicit_euler_is_of_order_one() {
    // Seen: V 2.57e-2, 1.29e-2, 6.49e-3; U 1.55e-1, 7.99e-2, 4.03e-2.
    let (v, u) = errors(&[201, 401, 801], Space::Upwind, Time::ImplicitEuler);
    assert!(orders(&v).iter().all(|o| (o - 1.0).abs() < 0.03), "{:?}", orders(&v));
    assert!(orders(&u).iter().all(|o| (o - 1.0).abs() < 0.08), "{:?}", orders(&u));
}

#[test]
fn golden_values_at_three_points() {
    let problem = mixture();
    let nodes = 961; // spacing 1/80: the three points are nodes
    let params = HjbParams { steps: 800, storage: Storage::AtMost(3), ..Default::default() };
    let (v, _) = HjbSolver::new(&problem, line(-6.0, 6.0, nodes), params).unwrap().solve().unwrap();
    assert_eq!(v.times(), &[0.0, 1.0, 2.0]);
    let golden = [
        ([0.873582150429, 0.770539795113, 0.691794938949], [1.885486369305, -0.076512689326, -1.535609854517]),
        ([1.017569165793, 0.73791225276, 0.559237002108], [1.599968681386, -0.228378171799, -1.299574163177]),
    ];
    let feedback = v.feedback(Interpolation::Cubic, Extrapolation::Linear).unwrap();
    let at = PointBlock::from_points(1, &[[-2.0], [0.0], [1.5]]).unwrap();
    for (k, (value, control)) in golden.iter().enumerate() {
        let t = v.times()[k];
        let (mut change, mut score) = (PointBlock::zeros(1, 3), PointBlock::zeros(1, 3));
        feedback.at(t).eval(at.as_points(), change.as_mut());
        problem.score().at(t).eval(at.as_points(), score.as_mut());
        for (i, j) in [320, 480, 600].into_iter().enumerate() {
            assert!((v.value(k)[j] - value[i]).abs() < 2e-5, "t = {t}: {} {}", v.value(k)[j], value[i]);
            let u = score.data()[i] + change.data()[i];
            assert!((u - control[i]).abs() < 5e-5, "t = {t}: {u} {}", control[i]);
        }
    }
}

#[test]
fn whole_horizon_policy_iteration_converges_quadratically_to_the_same_solution() {
    let problem = mixture();
    for time in [Time::ImplicitEuler, Time::CrankNicolson] {
        let hjb = HjbParams { time, steps: 200, ..Default::default() };
        let grid = line(-6.0, 6.0, 241);
        let (reference, _) = HjbSolver::new(&problem, grid.clone(), hjb).unwrap().solve().unwrap();
        let params = PolicyIterationParams { hjb, ..Default::default() };
        let iteration = PolicyIteration::new(&problem, grid.clone(), params).unwrap();
        // Gaps on |y| <= 3, from all sweeps.
        let inner: Vec<usize> = (0..241).filter(|&j| grid.axis(0).nodes()[j].abs() <= 3.0).collect();
        let mut sweeps: Vec<Vec<Vec<f64>>> = Vec::new();
        let (solution, info) = iteration.solve_observed(&mut |view| sweeps.push(view.values.to_vec())).unwrap();
        let gaps: Vec<f64> = sweeps
            .windows(2)
            .map(|w| {
                let levels = w[0].iter().zip(&w[1]);
                levels.flat_map(|(a, b)| inner.iter().map(|&j| (a[j] - b[j]).abs())).fold(0.0, f64::max)
            })
            .collect();
        // Seen: 1.9e-1, 5.3e-3, 6.8e-6, 1.4e-11: e^{m+1} = O((e^m)^2), with a constant of about 0.25.
        assert!(gaps[0] > 0.1 && gaps[3] < 1e-10 && info.iterations <= 6, "{gaps:?}");
        assert!((0..3).all(|m| gaps[m + 1] < 0.5 * gaps[m] * gaps[m]), "{gaps:?}");
        // Upward at every node: exactly so for the monotone scheme; Crank-Nicolson keeps it up to its tiny gaps.
        let slack = if time == Time::ImplicitEuler { 1e-13 } else { 1e-10 };
        assert!(info.decreases.iter().all(|d| *d <= slack), "{:?}", info.decreases);
        let mut difference = 0.0f64;
        for k in 0..=200 {
            for j in 0..241 {
                difference = difference.max((solution.value(k)[j] - reference.value(k)[j]).abs());
            }
        }
        assert!(difference < 1e-11, "{difference:e}");
    }
}

#[test]
fn a_stretched_axis_keeps_order_two() {
    let problem = mixture();
    let exact = TiltedMixture::new(&problem).unwrap();
    let (v, u): (Vec<f64>, Vec<f64>) = [201, 401]
        .iter()
        .map(|&n| {
            let grid = Arc::new(TensorGrid::new(vec![Axis::stretched(-6.0, 6.0, n, 0.0, 1.5).unwrap()]).unwrap());
            let params = HjbParams { steps: n - 1, ..Default::default() };
            let (v, u, _) = fine_tuning_errors(&problem, &exact, grid, params, 2.0);
            (v, u)
        })
        .unzip();
    let all = [orders(&v), orders(&u)].concat();
    assert!(all.iter().all(|o| (o - 2.0).abs() < 0.1), "{v:?} {u:?}");
}

#[test]
fn a_solve_of_800_steps_on_801_nodes_takes_less_than_two_linear_solves_a_stage() {
    let params = HjbParams { steps: 800, ..Default::default() };
    let problem = mixture();
    let solver = HjbSolver::new(&problem, line(-6.0, 6.0, 801), params).unwrap();
    let info = solver.solve_observed(&mut |_| {}).unwrap();
    assert!(info.inner_iterations < 2 * info.stages + 10, "{info:?}");
}
