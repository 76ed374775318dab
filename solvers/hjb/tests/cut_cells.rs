//! Target sets whose boundary cuts the cells, with correlated noise: data at the boundary alone, order 2 and monotone.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, orders, square};
use hjbridge_hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfParams};
use hjbridge_hjb::{
    AdiParams, AdiScheme, AdiSolver, AdjointLaw, FokkerPlanck, FokkerPlanckParams, HjbError, HjbParams, HjbSolver, LevelSet,
    LinearSolverChoice, Placement, PolicyIteration, PolicyIterationParams, Sense, StationaryInfo, StationaryParams,
    StationarySolver, Storage, TargetSet, Time, TimedLevelSet,
};
use hjbridge_model::ZeroFeedback;
use hjbridge_model::grid::{Axis, TensorGrid};
use std::sync::Arc;

/// a_11, a_12, a_22 of constant correlated diffusions that the grids below bear, of both signs and as far as they bear.
const DIFFUSIONS: [[f64; 3]; 4] = [[1.0, 0.4, 0.8], [1.0, -0.5, 0.6], [0.7, 0.7, 0.7], [1.0, -0.8, 0.9]];

/// Brownian motion with these variances and covariance, uncontrolled, with running reward l.
fn brownian(a: [f64; 3], l: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> Problem {
    let (s, c) = (a[0].sqrt(), a[1] / a[0].sqrt());
    let e = (a[2] - c * c).max(0.0).sqrt();
    Problem {
        control_dim: 0,
        sigma: Matrix::Field(Arc::new(move |_, _, out| out.copy_from_slice(&[s, 0.0, c, e]))),
        running: Arc::new(move |_, x| l(x)),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    }
}

/// The outside of a disc with the data zero there: nothing that continues V.
fn outside(radius: f64) -> LevelSet<impl Fn(&[f64]) -> f64 + Send + Sync, impl Fn(&[f64]) -> f64 + Send + Sync> {
    LevelSet::new(move |x: &[f64]| radius * radius - x[0] * x[0] - x[1] * x[1], |_: &[f64]| 0.0)
}

fn stationary(problem: &Problem, grid: &Arc<TensorGrid>, target: &dyn TargetSet) -> (Vec<f64>, StationaryInfo) {
    let solver = StationarySolver::new(problem, grid.clone(), StationaryParams::default()).unwrap();
    let (v, info) = solver.with_target(target, Placement::SubCell).solve().unwrap();
    (v.value().to_vec(), info)
}

/// sup |V - exact| over the nodes where `within` holds.
fn error(grid: &TensorGrid, value: &[f64], within: impl Fn(&[f64]) -> bool, exact: impl Fn(&[f64]) -> f64) -> f64 {
    let mut x = vec![0.0; grid.dim()];
    (0..grid.len()).fold(0.0f64, |worst, j| {
        grid.node(j, &mut x);
        if within(&x) { worst.max((value[j] - exact(&x)).abs()) } else { worst }
    })
}

fn stretched(half: f64, n: usize) -> Arc<TensorGrid> {
    let axis = |center: f64| Axis::stretched(-half, half, n, center, 1.5).unwrap();
    Arc::new(TensorGrid::new(vec![axis(0.1), axis(-0.2)]).unwrap())
}

#[test]
fn the_poisson_problem_on_a_disc_is_exact_for_every_correlation() {
    // V = R^2 - |x|^2 solves (1/2) tr(a D^2 V) + tr a = 0 on the disc, whatever a.
    let r = 0.93;
    for a in DIFFUSIONS {
        let problem = brownian(a, move |_| a[0] + a[2]);
        for n in [33, 64, 129] {
            let grid = square(1.0, n);
            let (v, info) = stationary(&problem, &grid, &outside(r));
            let e = error(&grid, &v, |x| x[0].hypot(x[1]) < r, |x| r * r - x[0] * x[0] - x[1] * x[1]);
            assert!(e < 1e-10 && info.monotonicity.is_monotone(), "{a:?} {n}: {e:e} {:?}", info.monotonicity);
        }
        let grid = stretched(1.0, 50);
        let (v, _) = stationary(&problem, &grid, &outside(r));
        let e = error(&grid, &v, |x| x[0].hypot(x[1]) < r, |x| r * r - x[0] * x[0] - x[1] * x[1]);
        assert!(e < 1e-10, "{a:?} stretched: {e:e}");
    }
}

/// V = (R^2 - |x|^2) e^{p x + q y} and its second derivatives xx, xy, yy.
fn bump(r: f64, x: &[f64]) -> (f64, [f64; 3]) {
    let (p, q) = (0.7, -1.3);
    let (w, e) = (r * r - x[0] * x[0] - x[1] * x[1], (p * x[0] + q * x[1]).exp());
    let second =
        [-2.0 - 4.0 * x[0] * p + w * p * p, -2.0 * x[0] * q - 2.0 * x[1] * p + w * p * q, -2.0 - 4.0 * x[1] * q + w * q * q];
    (w * e, second.map(|s| s * e))
}

#[test]
fn a_solution_that_is_no_quadratic_is_of_order_two_on_uniform_and_stretched_axes() {
    let r = 0.93;
    for a in DIFFUSIONS {
        let problem = brownian(a, move |x| {
            let (_, d) = bump(r, x);
            -0.5 * (a[0] * d[0] + 2.0 * a[1] * d[1] + a[2] * d[2])
        });
        let table = |grid: &dyn Fn(usize) -> Arc<TensorGrid>| -> Vec<f64> {
            let run = |n| {
                let grid = grid(n);
                let (v, info) = stationary(&problem, &grid, &outside(r));
                let e = error(&grid, &v, |x| x[0].hypot(x[1]) < r, |x| bump(r, x).0);
                (e, info.monotonicity.is_monotone())
            };
            let (errors, monotone): (Vec<f64>, Vec<bool>) = [33, 65, 129].map(run).into_iter().unzip();
            println!("{a:?}: {errors:?} {:.2?} {monotone:?}", orders(&errors));
            errors
        };
        for errors in [table(&|n| square(1.0, n)), table(&|n| stretched(1.0, n))] {
            // From 33 to 129 nodes: order 2 would be a factor 16.
            assert!((errors[0] / errors[2]).log2() / 2.0 > 1.87 && errors[2] < 6e-4, "{a:?} {errors:?}");
        }
    }
}

#[test]
fn data_in_time_are_met_with_order_two() {
    // V = (R^2 - |x|^2) e^{px+qy} + cos t (x - 2 y + x y) with its own values on the boundary alone.
    let (r, a) = (0.93, [1.0, -0.5, 0.6]);
    let wave = |x: &[f64]| x[0] - 2.0 * x[1] + x[0] * x[1];
    let exact = move |t: f64, x: &[f64]| bump(r, x).0 + t.cos() * wave(x);
    let mut problem = brownian(a, |_| 0.0);
    problem.running = Arc::new(move |t, x| {
        let (_, d) = bump(r, x);
        t.sin() * wave(x) - 0.5 * (a[0] * d[0] + 2.0 * a[1] * d[1] + a[2] * d[2]) - a[1] * t.cos()
    });
    problem.terminal = Arc::new(move |t, x| exact(t, x));
    let target = TimedLevelSet::new(
        move |x: &[f64]| r * r - x[0] * x[0] - x[1] * x[1],
        move |t: f64, x: &[f64]| if x[0].hypot(x[1]) < r + 1e-9 { exact(t, x) } else { 0.0 },
    );
    let errors = [33, 65, 129].map(|n| {
        let grid = square(1.0, n);
        let params = HjbParams { steps: n / 2, storage: Storage::AtMost(2), ..Default::default() };
        let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap().with_target(&target, Placement::SubCell);
        let (v, info) = solver.solve().unwrap();
        assert!(info.monotonicity.is_monotone());
        error(&grid, v.value(0), |x| x[0].hypot(x[1]) < r, |x| exact(0.0, x))
    });
    println!("in time {errors:?} {:.2?}", orders(&errors));
    assert!((errors[0] / errors[2]).log2() / 2.0 > 1.8, "{errors:?}");
}

#[test]
fn the_linear_equation_of_the_exponential_sees_the_same_corners() {
    // dX = sigma v dt + sigma dB, minimise E int (1/2 + |v|^2/2): both engines, whose errors are of order 2, agree with it.
    let a: [f64; 3] = [1.0, 0.5, 0.8];
    let sigma = [1.0, 0.0, 0.5, (a[2] - 0.25).sqrt()];
    let matrix = || Matrix::Field(Arc::new(move |_, _: &[f64], out: &mut [f64]| out.copy_from_slice(&sigma)));
    let problem =
        Problem { gain: matrix(), sigma: matrix(), running: Arc::new(|_, _| 0.5), ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0) };
    let r = 0.93;
    let gaps = [33, 65, 129].map(|n| {
        let grid = square(1.0, n);
        let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
        let solver = StationarySolver::new(&problem, grid.clone(), params).unwrap();
        let (policy, _) = solver.with_target(&outside(r), Placement::SubCell).solve().unwrap();
        let params = StationaryColeHopfParams { sense: Sense::Minimise, ..Default::default() };
        let solver = StationaryColeHopf::new(&problem, grid.clone(), params).unwrap();
        let (linear, _) = solver.with_target(&outside(r), Placement::SubCell).solve().unwrap();
        (0..grid.len()).fold(0.0f64, |m, j| m.max((policy.value()[j] - linear.value()[j]).abs()))
    });
    println!("linear equation {gaps:?} {:.2?}", orders(&gaps));
    assert!((gaps[0] / gaps[2]).log2() / 2.0 > 1.7 && gaps[2] < 1e-4, "{gaps:?}");
}

#[test]
fn in_three_dimensions_the_quadratic_is_exact_too() {
    // sigma lower triangular with all three pairs correlated.
    let s = [1.0, 0.0, 0.0, 0.2, 0.9, 0.0, -0.2, 0.15, 0.95];
    let trace: f64 = s.iter().map(|s| s * s).sum();
    let problem = Problem {
        control_dim: 0,
        sigma: Matrix::Field(Arc::new(move |_, _, out| out.copy_from_slice(&s))),
        running: Arc::new(move |_, _| trace),
        ..Problem::ornstein_uhlenbeck(3, 0.0, 1.0)
    };
    let r = 0.9;
    let square_of = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    let target = LevelSet::new(move |x: &[f64]| r * r - square_of(x), |_: &[f64]| 0.0);
    let axis = Axis::uniform(-1.0, 1.0, 22).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis.clone(), axis.clone(), axis]).unwrap());
    let (v, info) = stationary(&problem, &grid, &target);
    let e = error(&grid, &v, |x| square_of(x) < r * r, |x| r * r - square_of(x));
    assert!(e < 1e-7 && info.monotonicity.is_monotone(), "{e:e} {:?}", info.monotonicity);
}

/// a_12 = 0.5 in a short window of time between the times at which the model is asked beforehand, plus a constant.
fn window(always: f64, control_dim: usize) -> Problem {
    let covariance = move |t: f64| always + if 0.3 < t && t < 0.42 { 0.5 } else { 0.0 };
    Problem {
        control_dim,
        sigma: Matrix::Field(Arc::new(move |t, _, out| {
            let c = covariance(t);
            out.copy_from_slice(&[1.0, 0.0, c, (1.0 - c * c).sqrt()]);
        })),
        terminal: Arc::new(|_, x| x[0] * x[1]),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    }
}

#[test]
fn a_correlation_in_a_window_of_time_is_taken_up_when_it_appears() {
    // E[X_1 X_2] grows by the integral of a_12, by 0.055 over the eleven levels inside the window.
    let (grid, steps) = (square(8.0, 33), 100);
    let near = |x: &[f64]| x.iter().all(|x| x.abs() < 1.01);
    let problem = window(0.0, 0);
    for time in [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2] {
        let params = HjbParams { steps, time, ..Default::default() };
        let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap();
        let (v, info) = solver.solve().unwrap();
        let exact = |x: &[f64]| x[0] * x[1] + 0.055;
        // TR-BDF2 looks at the window inside the steps too.
        let tolerance = if time == Time::TrBdf2 { 0.004 } else { 1e-7 };
        assert!(error(&grid, v.value(0), near, exact) < tolerance, "{time:?}: {}", error(&grid, v.value(0), near, exact));
        assert!(error(&grid, v.value(60), near, |x| x[0] * x[1]) < 1e-8);
        assert!(info.linear_solver != "tridiagonal");
        let whole = PolicyIterationParams { hjb: params, ..Default::default() };
        let (same, _) = PolicyIteration::new(&problem, grid.clone(), whole).unwrap().solve().unwrap();
        assert!(same.value(0).iter().zip(v.value(0)).all(|(a, b)| (a - b).abs() < 1e-9));
        // The adjoint meets the window from the other side.
        let (policies, _) = solver.solve_policies().unwrap();
        let mut initial = vec![0.0; grid.len()];
        initial[16 * 33 + 16] = 1.0;
        let (_, objective, _) = AdjointLaw::new(&problem, grid.clone(), params).unwrap().law(&policies, &initial, &[]).unwrap();
        assert!((objective.total - v.value(0)[16 * 33 + 16]).abs() < 1e-11, "{time:?} {objective:?}");
        let forward = FokkerPlanckParams { steps, time, storage: Storage::AtMost(2), ..Default::default() };
        let zero = ZeroFeedback { dim: 2, control_dim: 0 };
        let (path, _) = FokkerPlanck::new(&problem, &zero, grid.clone(), forward).unwrap().evolve(&initial).unwrap();
        let points = grid.points();
        let mean: f64 = path.mass(1).iter().enumerate().map(|(j, m)| m * points.coord(0)[j] * points.coord(1)[j]).sum();
        assert!((mean - 0.055).abs() < tolerance.max(1e-6), "{time:?} {mean}");
    }
    for scheme in [AdiScheme::Douglas, AdiScheme::ModifiedCraigSneyd, AdiScheme::LocallyOneDimensional] {
        let params = AdiParams { scheme, steps, ..Default::default() };
        let (v, info) = AdiSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
        let found = error(&grid, v.value(0), near, |x| x[0] * x[1] + 0.055);
        assert!(found < 0.006, "{scheme:?} {found}");
        assert_eq!(info.time_order, if scheme == AdiScheme::ModifiedCraigSneyd { 2 } else { 1 });
    }
}

#[test]
fn a_window_of_correlation_meets_controls_and_cut_cells_as_one_known_from_the_start_does() {
    // The same with a correlation of 1e-9 at all times, which is seen beforehand: V differs by as much.
    let disc =
        TimedLevelSet::new(|x: &[f64]| 1.1 - (x[0] * x[0] + x[1] * x[1]).sqrt(), |t: f64, x: &[f64]| x[0] * x[1] + 0.1 * t);
    let grid = square(1.3, 33);
    let run = |always: f64, control_dim: usize| {
        let problem = window(always, control_dim);
        let params = HjbParams { steps: 100, storage: Storage::AtMost(2), ..Default::default() };
        let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap().with_target(&disc, Placement::SubCell);
        let (v, info) = solver.solve().unwrap();
        assert!(info.monotonicity.is_monotone(), "{:?}", info.monotonicity);
        let (policies, _) = solver.solve_policies().unwrap();
        let adjoint = AdjointLaw::new(&problem, grid.clone(), params).unwrap().with_target(&disc, Placement::SubCell);
        let mut initial = vec![0.0; grid.len()];
        initial[10 * 33 + 20] = 1.0;
        let (_, objective, _) = adjoint.law(&policies, &initial, &[]).unwrap();
        assert!((objective.total - v.value(0)[10 * 33 + 20]).abs() < 1e-11);
        v.value(0).to_vec()
    };
    for control_dim in [0, 2] {
        let (late, early) = (run(0.0, control_dim), run(1e-9, control_dim));
        let difference = late.iter().zip(&early).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(difference < 1e-8, "{control_dim}: {difference}");
    }
    // A linear solver that takes no corners says so.
    let params = HjbParams { steps: 100, linear: LinearSolverChoice::Adi(Default::default()), ..Default::default() };
    let outcome = HjbSolver::new(&window(0.0, 0), grid, params).unwrap().solve().err();
    assert!(matches!(outcome, Some(HjbError::Linear { .. }) | None), "{outcome:?}");
}
