//! Operator splitting against closed forms and against the unsplit solver, and as a linear solver.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, orders, square};
use hjbridge_hjb::linear::{AdiSweepParams, IterationParams, LinearSolverChoice, MultigridParams};
use hjbridge_hjb::{
    AdiInfo, AdiParams, AdiScheme, AdiSolver, Face, Generator, HjbError, HjbParams, HjbSolver, LinearError, Sense, Space,
    StencilMatrix, Storage, Time,
};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::{Axis, TensorGrid};
use hjbridge_model::reward::{QuadraticTerm, Reward};
use hjbridge_model::{ControlSet, GaussianMixture, KlWeight, PointBlock, Schedule};
use std::sync::Arc;

/// Three Gaussians and a log-sum-exp reward in the plane.
fn plane_mixture() -> FineTuning {
    let prior = GaussianMixture::new(
        vec![0.3, 0.4, 0.3],
        vec![vec![-1.2, 0.4], vec![0.9, 0.9], vec![0.5, -1.0]],
        vec![vec![vec![0.4, 0.1], vec![0.1, 0.5]], vec![vec![0.5, -0.1], vec![-0.1, 0.4]], vec![vec![0.6, 0.0], vec![0.0, 0.4]]],
    )
    .unwrap();
    let terms = vec![
        QuadraticTerm::new(&[vec![0.5, 0.1], vec![0.1, 0.4]], vec![-0.8, 0.3], 0.1).unwrap(),
        QuadraticTerm::new(&[vec![0.7, 0.0], vec![0.0, 0.6]], vec![1.0, -0.5], -0.3).unwrap(),
    ];
    let reward = Reward::log_sum_exp(terms, 0.7).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    FineTuning::new(schedule, prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::Optimal).unwrap()
}

/// sup errors of V and U over the square of half width `radius` and all levels t < T.
fn errors(problem: &FineTuning, grid: Arc<TensorGrid>, params: AdiParams, radius: f64) -> (f64, f64, AdiInfo) {
    let exact = TiltedMixture::new(problem).unwrap();
    let (nodes, n) = (grid.points(), grid.len());
    let inside: Vec<usize> = (0..n).filter(|&j| (0..2).all(|i| nodes.coord(i)[j].abs() < radius + 1e-9)).collect();
    let mut points = PointBlock::zeros(2, inside.len());
    for (k, &j) in inside.iter().enumerate() {
        points.as_mut().set_point(k, &[nodes.coord(0)[j], nodes.coord(1)[j]]);
    }
    let mut v = vec![0.0; inside.len()];
    let (mut u, mut s) = (PointBlock::zeros(2, inside.len()), PointBlock::zeros(2, inside.len()));
    let (mut error_v, mut error_u) = (0.0f64, 0.0f64);
    let steps = params.steps;
    let info = AdiSolver::new(problem, grid, params)
        .unwrap()
        .solve_observed(&mut |view| {
            if view.step % (steps / 5) != 0 || view.step == steps {
                return;
            }
            let at = exact.at(view.t);
            at.value(points.as_points(), &mut v);
            at.control(points.as_points(), u.as_mut());
            problem.score().at(view.t).eval(points.as_points(), s.as_mut());
            for (k, &j) in inside.iter().enumerate() {
                error_v = error_v.max((view.value[j] - v[k]).abs());
                for i in 0..2 {
                    error_u = error_u.max((s.coord(i)[k] + view.control[i * n + j] - u.coord(i)[k]).abs());
                }
            }
        })
        .unwrap();
    (error_v, error_u, info)
}

#[test]
fn the_plane_mixture_is_of_order_two_in_value_and_control() {
    let problem = plane_mixture();
    for scheme in [AdiScheme::Douglas, AdiScheme::ModifiedCraigSneyd] {
        let (v, u): (Vec<f64>, Vec<f64>) = [81, 161]
            .iter()
            .map(|&n| {
                let params = AdiParams { scheme, steps: 5 * (n / 8), ..Default::default() };
                let (v, u, info) = errors(&problem, square(5.0, n), params, 2.5);
                println!("{} {n}: V {v:e} U {u:e} {:.3} s", info.scheme, info.seconds);
                assert!(info.monotonicity.is_monotone() && info.time_order == 2);
                // Two sweeps a step (four with the second pass), one step more for each damped step and for the first pass.
                let passes = if scheme == AdiScheme::Douglas { 2 } else { 4 };
                assert_eq!(info.sweeps, passes * (info.steps - 2) + 2 * (4 + 2));
                (v, u)
            })
            .unzip();
        assert!((orders(&v)[0] - 2.0).abs() < 0.1 && (orders(&u)[0] - 2.0).abs() < 0.1, "{scheme:?} {v:?} {u:?}");
        assert!(v[1] < 4e-4 && u[1] < 1.6e-3);
    }
    // The policy from the extrapolated value is good enough: passes with the policy of the result change little.
    let params = AdiParams { steps: 50, ..Default::default() };
    let (v, u, _) = errors(&problem, square(5.0, 81), params, 2.5);
    let (same_v, same_u, _) = errors(&problem, square(5.0, 81), AdiParams { corrections: 2, ..params }, 2.5);
    assert!((v - same_v).abs() < 0.01 * v && (u - same_u).abs() < 0.01 * u, "{v} {same_v} {u} {same_u}");
}

const PULL: f64 = 0.2;
const Q: f64 = 0.4;

/// V of dX = [-k X + v] dt + dB with terminal reward -Q x^2/2 and cost v^2/2: the Riccati equation K' = -2 k K - K^2 in tau.
fn scalar_value(tau: f64, x: f64) -> f64 {
    let e = (-2.0 * PULL * tau).exp();
    let k = 2.0 * PULL * Q * e / (2.0 * PULL + Q * (1.0 - e));
    -0.5 * k * x * x - 0.5 * (1.0 + 0.5 * Q * (1.0 - e) / PULL).ln()
}

/// Nodes with all coordinates at most `radius` in size.
fn inner(grid: &TensorGrid, radius: f64) -> Vec<usize> {
    let nodes = grid.points();
    (0..grid.len()).filter(|&j| (0..grid.dim()).all(|i| nodes.coord(i)[j].abs() <= radius)).collect()
}

#[test]
fn a_linear_quadratic_problem_in_three_dimensions_is_of_order_two_in_time() {
    // Three-point formulas are exact for the quadratic value, so what is left inside is the error of the splitting in time.
    let problem = Problem {
        terminal: Arc::new(|_, x| -0.5 * Q * x.iter().map(|x| x * x).sum::<f64>()),
        ..Problem::ornstein_uhlenbeck(3, PULL, 1.0)
    };
    let axis = Axis::uniform(-6.0, 6.0, 31).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis.clone(), axis.clone(), axis]).unwrap());
    let inside = inner(&grid, 0.8);
    for (scheme, order) in
        [(AdiScheme::LocallyOneDimensional, 1.0), (AdiScheme::Douglas, 2.0), (AdiScheme::ModifiedCraigSneyd, 2.0)]
    {
        let errors: Vec<f64> = [4, 8, 16]
            .iter()
            .map(|&steps| {
                let params = AdiParams { scheme, steps, damping_steps: 0, storage: Storage::AtMost(2), ..Default::default() };
                let (v, info) = AdiSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
                assert_eq!(f64::from(info.time_order), order);
                let mut x = [0.0; 3];
                let error = |&j: &usize| {
                    grid.node(j, &mut x);
                    (v.value(0)[j] - x.iter().map(|&x| scalar_value(1.0, x)).sum::<f64>()).abs()
                };
                inside.iter().map(error).fold(0.0, f64::max)
            })
            .collect();
        println!("3-D {scheme:?}: {errors:?} {:?}", orders(&errors));
        assert!((orders(&errors)[1] - order).abs() < 0.2, "{scheme:?}: {errors:?}");
    }
}

/// A controlled problem in the plane with correlated noise that changes in time, bounds on the control, discount.
fn correlated(correlation: f64) -> Problem {
    Problem {
        drift: Arc::new(|t, x, out| {
            out[0] = x[1] - x[0] * (1.0 + t);
            out[1] = -x[0] - 0.5 * x[1];
        }),
        sigma: Matrix::Field(Arc::new(move |t, _, out| {
            let s = 1.0 + 0.3 * (2.0 * t).sin();
            out.copy_from_slice(&[s, 0.0, correlation * s, s * (1.0 - correlation * correlation).sqrt()]);
        })),
        running: Arc::new(|t, x| (x[0] + t).cos()),
        terminal: Arc::new(|_, x| (-(x[0] - 0.5).powi(2) - x[1] * x[1]).exp() * 2.0),
        set: ControlSet::Box { lower: vec![-0.6; 2], upper: vec![0.6; 2] },
        discount: 0.4,
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    }
}

#[test]
fn splitting_converges_to_the_unsplit_solution_with_and_without_cross_derivatives() {
    let grid = square(4.0, 33);
    for (correlation, sense) in [(0.0, Sense::Maximise), (0.6, Sense::Maximise), (0.6, Sense::Minimise)] {
        let problem = correlated(correlation);
        let fine = HjbParams { time: Time::TrBdf2, steps: 640, storage: Storage::AtMost(2), sense, ..Default::default() };
        let (reference, _) = HjbSolver::new(&problem, grid.clone(), fine).unwrap().solve().unwrap();
        for scheme in [AdiScheme::LocallyOneDimensional, AdiScheme::Douglas, AdiScheme::ModifiedCraigSneyd] {
            let gaps: Vec<f64> = [20, 40, 80]
                .iter()
                .map(|&steps| {
                    let params = AdiParams { scheme, steps, sense, storage: Storage::AtMost(2), ..Default::default() };
                    let (v, _) = AdiSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
                    v.value(0).iter().zip(reference.value(0)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
                })
                .collect();
            println!("correlation {correlation} {scheme:?} {sense:?}: {gaps:?} {:?}", orders(&gaps));
            let first = scheme == AdiScheme::LocallyOneDimensional || (scheme == AdiScheme::Douglas && correlation != 0.0);
            let order = if first { 1.0 } else { 2.0 };
            assert!((orders(&gaps)[1] - order).abs() < 0.3, "{correlation} {scheme:?}: {gaps:?} {:?}", orders(&gaps));
        }
    }
}

#[test]
fn long_steps_stay_bounded_and_damped_steps_take_the_edge_off_rough_data() {
    // h a/dx^2 = 0.25 * 64^2/16 = 64 a step; the reward is an indicator.
    let problem = Problem {
        terminal: Arc::new(|_, x| f64::from(u8::from(x[0] > 0.0 && x[1] > 0.0))),
        control_dim: 0,
        ..Problem::ornstein_uhlenbeck(2, 0.5, 2.0)
    };
    for scheme in [AdiScheme::LocallyOneDimensional, AdiScheme::Douglas, AdiScheme::ModifiedCraigSneyd] {
        // Least second difference over the largest value along the diagonal, where the exact value increases.
        let ringing = |damping_steps: usize, steps: usize| {
            let params = AdiParams { scheme, steps, damping_steps, storage: Storage::AtMost(2), ..Default::default() };
            let (v, _) = AdiSolver::new(&problem, square(4.0, 129), params).unwrap().solve().unwrap();
            let line: Vec<f64> = (0..129).map(|k| v.value(0)[k * 130]).collect();
            line.windows(2).map(|w| w[0] - w[1]).fold(0.0, f64::max)
        };
        for steps in [4, 5, 8] {
            let (rough, damped) = (ringing(0, steps), ringing(2, steps));
            println!("decrease, {steps} steps, {scheme:?}: {rough:e}, damped {damped:e}");
            assert!(damped <= 1e-12, "{scheme:?}: {damped}");
            match scheme {
                AdiScheme::LocallyOneDimensional => assert!(rough <= 1e-12, "{rough}"),
                _ => assert!(rough > 5e-3 && rough < 1.0, "{scheme:?}: {rough}"),
            }
        }
    }
}

#[test]
fn bad_input_and_blow_up_are_errors() {
    let problem = Problem::ornstein_uhlenbeck(2, 1.0, 1.0);
    let d = AdiParams::default();
    let fail = |params: AdiParams| AdiSolver::new(&problem, square(2.0, 9), params).err();
    assert!(matches!(fail(AdiParams { steps: 0, ..d }), Some(HjbError::Invalid { field, .. }) if field == "steps"));
    assert!(matches!(fail(AdiParams { growth_limit: f64::NAN, ..d }), Some(HjbError::Invalid { .. })));
    for face in [Face::Periodic, Face::Dirichlet] {
        assert!(matches!(fail(AdiParams { boundary: face.into(), ..d }), Some(HjbError::Invalid { .. })));
    }
    assert!(matches!(AdiSolver::new(&problem, common::line(-1.0, 1.0, 9), d).err(), Some(HjbError::Shape { .. })));
    let little = AdiParams { memory_limit: 1000, ..d };
    assert!(matches!(AdiSolver::new(&problem, square(2.0, 9), little).unwrap().solve().err(), Some(HjbError::Memory { .. })));
    let nan = Problem { running: Arc::new(|t, _| if t < 0.5 { f64::NAN } else { 0.0 }), ..problem.clone() };
    let error = AdiSolver::new(&nan, square(2.0, 9), d).unwrap().solve().err();
    assert!(matches!(error, Some(HjbError::NonFinite { coefficient: "running_reward", .. })));
    // Too convex a reward: the value is infinite before t = 0.
    let convex = Problem { terminal: Arc::new(|_, x| 4.0 * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(2, -1.0, 2.0) };
    let error = AdiSolver::new(&convex, square(6.0, 61), AdiParams { growth_limit: 1e3, ..d }).unwrap().solve().err();
    assert!(matches!(error, Some(HjbError::BlowUp { .. } | HjbError::IllPosed { .. })), "{error:?}");
}

/// I - w L of the plane with a rotating drift; `transposed` for the forward equation.
fn system(shape: &[usize], variance: &[f64], w: f64, faces: Face, transposed: bool) -> StencilMatrix {
    let axes: Vec<Axis> = shape.iter().map(|&n| Axis::uniform(-3.0, 3.0, n).unwrap()).collect();
    let grid = Arc::new(TensorGrid::new(axes).unwrap());
    let (n, d, points) = (grid.len(), grid.dim(), grid.points());
    let (mut drift, mut a) = (vec![0.0; n * d], vec![0.0; n * d]);
    for j in 0..n {
        for i in 0..d {
            drift[i * n + j] = -0.5 * points.coord(i)[j];
            a[i * n + j] = variance[i];
        }
        drift[j] -= points.coord(1)[j];
        drift[n + j] += points.coord(0)[j];
    }
    let mut generator = Generator::new(grid, Space::Hybrid.scheme(), faces);
    let l = generator.assemble(&drift, &a).unwrap();
    let (mut m, mut t) = (l.clone(), l.clone());
    m.set_identity_minus(w, l);
    t.set_transpose_of(&m);
    if transposed { t } else { m }
}

#[test]
fn sweeps_precondition_stiff_systems_and_their_transposes() {
    let cases = [(vec![65, 65], vec![1.0, 1.0]), (vec![65, 40], vec![1.0, 1e-3]), (vec![17, 20, 15], vec![1.0, 0.3, 2.0])];
    for (shape, variance) in cases {
        for w in [0.01, 1.0, 100.0] {
            for transposed in [false, true] {
                let m = system(&shape, &variance, w, Face::Reflecting, transposed);
                let n = m.len();
                let exact: Vec<f64> = (0..n).map(|j| (0.3 * j as f64).cos() + 0.2).collect();
                let mut b = vec![0.0; n];
                m.multiply(&exact, &mut b);
                let mut solver = LinearSolverChoice::Adi(AdiSweepParams::default()).build(&m).unwrap();
                solver.factorise(&m).unwrap();
                let mut x = b.clone();
                let info = solver.solve(&m, &mut x).unwrap();
                let error = x.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                println!("{shape:?} {variance:?} w = {w} {transposed}: {} iterations, {error:e}", info.iterations);
                assert!(error < 1e-9 && info.relative_residual < 1e-14, "{info:?} {error:e}");
                // Most where convection dominates one axis and the step is far above the relaxation time.
                assert!(info.iterations <= if w < 100.0 { 16 } else { 80 }, "{shape:?} {variance:?} {w} {transposed}: {info:?}");
            }
        }
    }
}

#[test]
fn the_sweep_solver_serves_the_hjb_solver_and_refuses_what_it_must() {
    let problem = correlated(0.4);
    let grid = square(4.0, 41);
    let value = |linear: LinearSolverChoice| {
        let params = HjbParams { steps: 20, linear, storage: Storage::AtMost(2), ..Default::default() };
        let (v, info) = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
        (v.value(0).to_vec(), info)
    };
    let (lu, _) = value(LinearSolverChoice::SparseLu);
    let (adi, info) = value(LinearSolverChoice::Adi(AdiSweepParams::default()));
    assert_eq!(info.linear_solver, "bicgstab-adi");
    assert!(lu.iter().zip(&adi).all(|(a, b)| (a - b).abs() < 1e-10));
    let m = system(&[9, 9], &[1.0, 1.0], 1.0, Face::Reflecting, false);
    let d = AdiSweepParams::default();
    let build = |params: AdiSweepParams| LinearSolverChoice::Adi(params).build(&m);
    assert!(matches!(build(AdiSweepParams { shifts: 0, ..d }).err(), Some(LinearError::Invalid { field: "shifts", .. })));
    let iteration = IterationParams { tolerance: 0.0, ..IterationParams::default() };
    assert!(matches!(build(AdiSweepParams { iteration, ..d }).err(), Some(LinearError::Invalid { .. })));
    let other = StencilMatrix::new(&[9, 9], vec![vec![0, 0], vec![0, 1], vec![0, -1], vec![1, 0], vec![-1, 0]]);
    assert!(matches!(LinearSolverChoice::Adi(d).build(&other).err(), Some(LinearError::Pattern { .. })));
    let mut nan = m.clone();
    nan.diagonal_mut(0)[40] = f64::NAN;
    assert!(build(d).unwrap().factorise(&nan).is_err());
    let few = IterationParams { max_iterations: 1, ..IterationParams::default() };
    let stiff = system(&[33, 33], &[1.0, 1.0], 100.0, Face::Reflecting, false);
    let mut solver = LinearSolverChoice::Adi(AdiSweepParams { iteration: few, ..d }).build(&stiff).unwrap();
    solver.factorise(&stiff).unwrap();
    let mut x: Vec<f64> = (0..stiff.len()).map(|j| (0.9 * j as f64).sin()).collect();
    assert!(matches!(solver.solve(&stiff, &mut x).err(), Some(LinearError::NoConvergence { iterations: 1, .. })));
}

#[test]
#[ignore = "a measurement, printed"]
fn times() {
    let best = |run: &mut dyn FnMut()| {
        let time = |run: &mut dyn FnMut()| {
            let clock = std::time::Instant::now();
            run();
            clock.elapsed().as_secs_f64()
        };
        (0..5).map(|_| time(run)).fold(f64::INFINITY, f64::min)
    };
    let plane = [(1e-3, 1.0), (1e-2, 1.0), (1e-1, 1.0), (1.0, 1.0), (1.0, 1e-3)].map(|(w, a)| (vec![257, 257], vec![1.0, a], w));
    let space = [1e-3, 1e-2, 1e-1, 1.0].map(|w| (vec![49, 49, 49], vec![1.0, 0.7, 1.3], w));
    for (shape, variance, w) in plane.into_iter().chain(space) {
        let m = system(&shape, &variance, w, Face::Extrapolated, false);
        let b: Vec<f64> = (0..m.len()).map(|j| (0.01 * j as f64).cos()).collect();
        let mut choices = vec![
            ("ILU(0)", LinearSolverChoice::BiCgStab(IterationParams::default())),
            ("multigrid", LinearSolverChoice::Multigrid(MultigridParams::default())),
        ];
        choices.extend([2, 4, 6].map(|shifts| ("ADI", LinearSolverChoice::Adi(AdiSweepParams { shifts, ..Default::default() }))));
        for (name, choice) in choices {
            let mut solver = choice.build(&m).unwrap();
            let mut outcome = String::new();
            let seconds = best(&mut || {
                solver.factorise(&m).unwrap();
                let mut x = vec![0.0; b.len()];
                let done = solver.solve_from(&m, &b, &mut x);
                outcome = done.map_or_else(|e| e.to_string(), |info| format!("{} iterations", info.iterations));
            });
            println!("{shape:?} {variance:?} w = {w}: {name}: {outcome}, {:.2} ms", 1e3 * seconds);
        }
    }
    let problem = plane_mixture();
    let params = AdiParams { steps: 50, ..Default::default() };
    let info = (0..3).map(|_| AdiSolver::new(&problem, square(5.0, 257), params).unwrap().solve_observed(&mut |_| {}).unwrap());
    let info = info.min_by(|a, b| a.seconds.total_cmp(&b.seconds)).unwrap();
    println!(
        "257^2 x 50, Douglas: {:.3} s; a pair of sweeps {:.3} ms",
        info.seconds,
        2e3 * info.sweep_seconds / info.sweeps as f64
    );
    for time in [Time::CrankNicolson, Time::TrBdf2] {
        let params = HjbParams { steps: 50, time, ..Default::default() };
        let info =
            (0..3).map(|_| HjbSolver::new(&problem, square(5.0, 257), params).unwrap().solve_observed(&mut |_| {}).unwrap());
        let info = info.min_by(|a, b| a.seconds.total_cmp(&b.seconds)).unwrap();
        println!("257^2 x 50, {time:?}, {}: {:.3} s, {} solves", info.linear_solver, info.seconds, info.inner_iterations);
    }
}
