//! Policy iteration as Newton's method, its stop rule, and the watch for infinite values when the control is bounded.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, line};
use hjbridge_hjb::{
    AdiParams, AdiSolver, Face, HjbError, HjbParams, HjbSolver, PolicyIteration, PolicyIterationInfo, PolicyIterationParams,
    Sense, Storage, Time,
};
use hjbridge_model::ControlSet;
use hjbridge_model::grid::{Axis, TensorGrid};
use std::sync::Arc;

/// dX = (-X/2 + v) dt + dB, cost v^2/2, terminal reward with two steep wells: far from v = 0.
fn wells() -> Problem {
    Problem {
        terminal: Arc::new(|_, x| -3.0 * (x[0] * x[0] - 1.0).powi(2) / (1.0 + x[0] * x[0])),
        ..Problem::ornstein_uhlenbeck(1, 0.5, 1.0)
    }
}

type Sweeps = Vec<Vec<Vec<f64>>>;

fn iterate(problem: &Problem, grid: &Arc<TensorGrid>, hjb: HjbParams) -> (Sweeps, PolicyIterationInfo) {
    let params = PolicyIterationParams { hjb, ..Default::default() };
    let mut sweeps = Vec::new();
    let iteration = PolicyIteration::new(problem, grid.clone(), params).unwrap();
    let (_, info) = iteration.solve_observed(&mut |view| sweeps.push(view.values.to_vec())).unwrap();
    (sweeps, info)
}

/// Central slope, one-sided on the faces.
fn slope(v: &[f64], h: f64, j: usize) -> f64 {
    let (a, b) = (j.saturating_sub(1), (j + 1).min(v.len() - 1));
    (v[b] - v[a]) / (h * (b - a) as f64)
}

#[test]
fn a_step_leaves_exactly_what_newton_leaves_out() {
    // F(V) is quadratic: after a Newton step the residual is w (D dV)^2/2 at each node and level.
    let problem = wells();
    for (sense, sign) in [(Sense::Maximise, 1.0), (Sense::Minimise, -1.0)] {
        let g = problem.terminal.clone();
        let problem = Problem { terminal: Arc::new(move |t, x| sign * g(t, x)), ..problem.clone() };
        let grid = line(-3.0, 3.0, 121);
        let (h, w) = (0.05, 1.0 / 25.0);
        let hjb = HjbParams { time: Time::ImplicitEuler, steps: 25, sense, ..Default::default() };
        let (sweeps, info) = iterate(&problem, &grid, hjb);
        assert_eq!((sweeps.len(), info.residuals.len()), (info.iterations, info.iterations));
        for m in 1..sweeps.len() {
            let level = |k: usize| {
                let change: Vec<f64> = sweeps[m][k].iter().zip(&sweeps[m - 1][k]).map(|(a, b)| a - b).collect();
                (0..change.len()).fold(0.0f64, |worst, j| worst.max(0.5 * w * slope(&change, h, j).powi(2)))
            };
            let left: f64 = (1..sweeps[m].len()).map(level).sum();
            assert!((left - info.residuals[m]).abs() < 1e-9 * left + 1e-11, "{m}: {left} {:?}", info.residuals);
        }
        assert!(info.residuals[0] > 1.0 && info.residuals[info.iterations - 1] < 1e-10, "{:?}", info.residuals);
    }
}

#[test]
fn a_free_quadratic_control_converges_with_order_two_and_the_rates_are_those_of_the_gaps() {
    let grid = line(-3.0, 3.0, 121);
    for time in [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2] {
        let (_, info) = iterate(&wells(), &grid, HjbParams { time, steps: 25, ..Default::default() });
        let order = info.order.unwrap();
        println!("{time:?}: gaps {:.2?} residuals {:.2?} order {order:.3}", info.gaps, info.residuals);
        assert!((order - 2.0).abs() < 0.25, "{time:?} {order} {:?}", info.gaps);
        assert_eq!((info.rates.len(), info.gaps.len()), (info.iterations - 2, info.iterations - 1));
        assert!((0..info.rates.len()).all(|m| info.rates[m] == info.gaps[m + 1] / info.gaps[m]));
        assert!(info.rates.windows(2).all(|r| r[1] < r[0] || r[1] < 1e-3), "{:?}", info.rates);
    }
    // In two dimensions with G and R that are not diagonal, by the coupled search.
    let coupled = Problem {
        gain: Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[1.0, 0.3, 0.2, 0.8]))),
        weight: Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[1.0, 0.2, 0.2, 0.7]))),
        terminal: Arc::new(|_, x| -(x[0] * x[0] - 1.0).powi(2) / (1.0 + x[0] * x[0]) - 2.0 * (x[0] - x[1]).powi(2)),
        ..Problem::ornstein_uhlenbeck(2, 0.5, 0.5)
    };
    let (_, info) = iterate(&coupled, &common::square(2.0, 41), HjbParams { steps: 10, ..Default::default() });
    println!("coupled: gaps {:.2?} order {:?}", info.gaps, info.order);
    assert!((info.order.unwrap() - 2.0).abs() < 0.4, "{:?}", info.gaps);
}

#[test]
fn the_limit_solves_the_equation_of_the_stagewise_solver() {
    let (grid, hjb) = (line(-3.0, 3.0, 121), HjbParams { steps: 25, ..Default::default() });
    let (sweeps, info) = iterate(&wells(), &grid, hjb);
    let (v, stagewise) = HjbSolver::new(&wells(), grid, hjb).unwrap().solve().unwrap();
    let last = sweeps.last().and_then(|s| s.last()).unwrap();
    let difference = v.value(0).iter().zip(last).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(difference < 1e-10, "{difference}");
    // Far from the solution the residual is far from zero, as the distance is.
    let first = v.value(0).iter().zip(&sweeps[0][sweeps[0].len() - 1]).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(first > 0.1 && info.residuals[0] > first, "{first} {:?}", info.residuals);
    assert!(stagewise.worst_residual < 1e-10 && stagewise.worst_change < 1e-10, "{stagewise:?}");
}

#[test]
fn no_convergence_names_the_value_change_and_the_residual() {
    let grid = line(-3.0, 3.0, 61);
    let hjb = HjbParams { steps: 20, ..Default::default() };
    let (_, info) = iterate(&wells(), &grid, hjb);
    let params = PolicyIterationParams { hjb, max_iterations: 2, ..Default::default() };
    match PolicyIteration::new(&wells(), grid.clone(), params).unwrap().solve().err() {
        Some(HjbError::NoConvergence { t: None, iterations: 2, value_change, residual }) => {
            assert_eq!((value_change, residual), (info.gaps[1], info.residuals[2]));
            assert!(value_change != residual);
        }
        other => panic!("{other:?}"),
    }
    // One policy cannot show convergence of the value, however small its residual.
    let idle = Problem { control_dim: 0, ..wells() };
    let (_, info) = iterate(&idle, &grid, hjb);
    assert_eq!((info.iterations, info.order), (2, None));
    assert!(info.gaps[0] < 1e-11 && info.residuals[0] < 1e-10, "{info:?}");
}

#[test]
fn each_stage_ends_with_a_small_change_even_where_rates_are_negative() {
    // An outward drift at extrapolated faces: the residual bounds nothing there, so the last change has to be small itself.
    let outward = Problem { drift: Arc::new(|_, x, out| out[0] = 1.5 * x[0]), ..wells() };
    for problem in [wells(), outward] {
        let params = HjbParams { steps: 50, ..Default::default() };
        let (v, info) = HjbSolver::new(&problem, line(-3.0, 3.0, 121), params).unwrap().solve().unwrap();
        let size = (0..v.times().len()).flat_map(|k| v.value(k)).fold(0.0f64, |m, v| m.max(v.abs()));
        println!("{} violations, change {:.1e}", info.monotonicity.violations, info.worst_change);
        assert!(info.worst_change <= params.howard_tolerance * 2.0 * size, "{info:?}");
        assert!(info.max_inner_iterations < 8, "{info:?}");
    }
}

/// dX_i = v_i dt + 0.2 dB_i with |v_i| <= 1 (or one bound), reward 5 sum x_i^2 at T = 1/2, on [2, 6]^d.
fn convex(dim: usize, sign: f64, lower: f64, upper: f64, gain: f64) -> (Problem, Arc<TensorGrid>) {
    let problem = Problem {
        sigma: Matrix::Scaled(0.2),
        gain: Matrix::Scaled(gain),
        weight: Matrix::Scaled(0.1),
        terminal: Arc::new(move |_, x| sign * 5.0 * x.iter().map(|x| x * x).sum::<f64>()),
        set: ControlSet::Box { lower: vec![lower; dim], upper: vec![upper; dim] },
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 0.5)
    };
    let axis = Axis::uniform(2.0, 6.0, if dim == 1 { 201 } else { 121 }).unwrap();
    (problem, Arc::new(TensorGrid::new(vec![axis; dim]).unwrap()))
}

/// sup |V - exact| at t = 0 over [2.7, 4.7]^d; v = 1 is best: V = sum 5 ((x + 1/2)^2 + 0.02) - 0.025.
fn convex_error(grid: &TensorGrid, sign: f64, value: &[f64]) -> f64 {
    let mut x = vec![0.0; grid.dim()];
    (0..grid.len()).fold(0.0f64, |worst, j| {
        grid.node(j, &mut x);
        let exact: f64 = x.iter().map(|x| 5.0 * ((x + 0.5).powi(2) + 0.02) - 0.025).sum();
        if x.iter().all(|x| (2.7..4.7).contains(x)) { worst.max((value[j] - sign * exact).abs()) } else { worst }
    })
}

#[test]
fn a_convex_reward_with_a_bounded_control_is_well_posed() {
    for (sense, sign) in [(Sense::Maximise, 1.0), (Sense::Minimise, -1.0)] {
        for (lower, upper, gain) in [(-1.0, 1.0, 1.0), (f64::NEG_INFINITY, 1.0, 1.0), (-1.0, f64::INFINITY, -1.0)] {
            let (problem, grid) = convex(1, sign, lower, upper, gain);
            let params = HjbParams { steps: 200, sense, ..Default::default() };
            let (v, _) = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
            let error = convex_error(&grid, sign, v.value(0));
            // Two Euler steps at the start, each of error 5 h^2/2 or less.
            assert!(error < 2e-4, "{sense:?} [{lower}, {upper}]: {error}");
            let whole = PolicyIterationParams { hjb: params, ..Default::default() };
            let (same, _) = PolicyIteration::new(&problem, grid.clone(), whole).unwrap().solve().unwrap();
            assert!((convex_error(&grid, sign, same.value(0)) - error).abs() < 1e-9);
        }
        let (problem, grid) = convex(2, sign, -1.0, 1.0, 1.0);
        let params = AdiParams { steps: 50, sense, ..Default::default() };
        let (v, _) = AdiSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
        let error = convex_error(&grid, sign, v.value(0));
        assert!(error < 0.05, "ADI {sense:?}: {error}");
    }
}

#[test]
fn without_a_bound_on_the_side_that_matters_it_is_ill_posed() {
    let ill = |error: Option<HjbError>| matches!(error, Some(HjbError::IllPosed { axis: 0, upper: true, .. }));
    for (lower, upper, gain) in [(-1.0, f64::INFINITY, 1.0), (f64::NEG_INFINITY, 1.0, -1.0)] {
        for (sense, sign) in [(Sense::Maximise, 1.0), (Sense::Minimise, -1.0)] {
            let (problem, grid) = convex(1, sign, lower, upper, gain);
            let params = HjbParams { steps: 200, sense, ..Default::default() };
            assert!(ill(HjbSolver::new(&problem, grid, params).unwrap().solve().err()), "{sense:?} [{lower}, {upper}]");
            let (problem, grid) = convex(2, sign, lower, upper, gain);
            let params = AdiParams { steps: 50, sense, storage: Storage::AtMost(2), ..Default::default() };
            assert!(ill(AdiSolver::new(&problem, grid, params).unwrap().solve().err()), "ADI {sense:?} [{lower}, {upper}]");
        }
    }
    // A reflecting face ends the growth, too.
    let (problem, grid) = convex(1, 1.0, -1.0, f64::INFINITY, 1.0);
    let params = HjbParams { steps: 200, boundary: Face::Reflecting.into(), ..Default::default() };
    assert!(HjbSolver::new(&problem, grid, params).unwrap().solve().is_ok());
}
