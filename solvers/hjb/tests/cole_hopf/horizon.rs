//! Problems with a finite horizon.

use crate::common::{Problem, line, mixture, orders, square};
use crate::wells::correlated;
use hjbridge_hjb::cole_hopf::{ColeHopfInfo, ColeHopfParams, ColeHopfSolver};
use hjbridge_hjb::{Face, Faces, HjbParams, HjbSolver, LevelSet, LinearSolverChoice, Placement, Storage, Time};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::TensorGrid;
use hjbridge_model::reward::{QuadraticTerm, Reward};
use hjbridge_model::{GaussianMixture, KlWeight, PointBlock, Schedule};
use std::sync::Arc;

fn errors(
    problem: &FineTuning,
    exact: &dyn ClosedForm,
    grid: Arc<TensorGrid>,
    params: ColeHopfParams,
    radius: f64,
) -> (f64, f64, ColeHopfInfo) {
    let nodes = grid.points();
    let d = grid.dim();
    let inside: Vec<usize> =
        (0..grid.len()).filter(|&j| (0..d).all(|i| nodes.coord(i)[j].abs() <= radius * (1.0 + 1e-12))).collect();
    let mut points = PointBlock::zeros(d, inside.len());
    for (k, &j) in inside.iter().enumerate() {
        let p: Vec<f64> = (0..d).map(|i| nodes.coord(i)[j]).collect();
        points.as_mut().set_point(k, &p);
    }
    let mut v = vec![0.0; inside.len()];
    let mut u = PointBlock::zeros(d, inside.len());
    let mut s = PointBlock::zeros(d, inside.len());
    let (mut error_v, mut error_u) = (0.0f64, 0.0f64);
    let steps = params.steps;
    let n = grid.len();
    let info = ColeHopfSolver::new(problem, grid, params)
        .unwrap()
        .solve_observed(&mut |view| {
            if view.step == steps {
                return;
            }
            let at = exact.at(view.t);
            at.value(points.as_points(), &mut v);
            at.control(points.as_points(), u.as_mut());
            problem.score().at(view.t).eval(points.as_points(), s.as_mut());
            for (k, &j) in inside.iter().enumerate() {
                error_v = error_v.max((view.value[j] - v[k]).abs());
                for i in 0..d {
                    error_u = error_u.max((s.coord(i)[k] + view.control[i * n + j] - u.coord(i)[k]).abs());
                }
            }
        })
        .unwrap();
    (error_v, error_u, info)
}

#[test]
fn fine_tuning_is_of_order_two_and_agrees_with_policy_iteration() {
    // Seen: V 1.23e-3, 3.15e-4, 7.95e-5 (Crank-Nicolson), 9.6e-4, 2.4e-4, 6.0e-5 (TR-BDF2); policy iteration 1.02e-3 .. 6.38e-5.
    let problem = mixture();
    let exact = TiltedMixture::new(&problem).unwrap();
    for (time, order) in [(Time::CrankNicolson, 2.0), (Time::TrBdf2, 2.0), (Time::ImplicitEuler, 1.0)] {
        let (v, u): (Vec<f64>, Vec<f64>) = [201, 401, 801]
            .iter()
            .map(|&n| {
                let params = ColeHopfParams { time, steps: n - 1, ..Default::default() };
                let (v, u, info) = errors(&problem, &exact, line(-6.0, 6.0, n), params, 3.0);
                assert!(info.monotonicity.is_monotone() && info.limited == 0 && (info.beta - 0.7).abs() < 1e-13);
                assert!(info.inner_iterations <= info.stages + 1, "{info:?}");
                (v, u)
            })
            .unzip();
        println!("{time:?}: V {v:?} {:?} U {u:?} {:?}", orders(&v), orders(&u));
        assert!(orders(&v).iter().all(|o| (o - order).abs() < 0.06), "{v:?}");
        assert!(orders(&u).iter().all(|o| (o - order).abs() < 0.15), "{u:?}");
        assert!(order == 1.0 || v[2] < 1e-4 && u[2] < 1.2e-3);
    }
    // The difference of the two routes is their discretisation error, and no more.
    let gaps: Vec<f64> = [201, 401]
        .iter()
        .map(|&n| {
            let grid = line(-6.0, 6.0, n);
            let linear = ColeHopfParams { steps: n - 1, storage: Storage::AtMost(2), ..Default::default() };
            let howard = HjbParams { steps: n - 1, storage: Storage::AtMost(2), ..Default::default() };
            let (a, la) = ColeHopfSolver::new(&problem, grid.clone(), linear).unwrap().solve().unwrap();
            let (b, lb) = HjbSolver::new(&problem, grid.clone(), howard).unwrap().solve().unwrap();
            println!(
                "{n}: linear {:.4} s ({} solves), Howard {:.4} s ({})",
                la.seconds, la.inner_iterations, lb.seconds, lb.inner_iterations
            );
            let x = grid.axis(0).nodes();
            (0..n).filter(|&j| x[j].abs() <= 3.0).map(|j| (a.value(0)[j] - b.value(0)[j]).abs()).fold(0.0, f64::max)
        })
        .collect();
    println!("linear - Howard at t = 0: {gaps:?}");
    assert!((gaps[0] / gaps[1]).log2() > 1.8 && gaps[1] < 1e-4, "{gaps:?}");
}

#[test]
fn rewards_of_ten_thousand_temperatures_do_not_overflow() {
    // r/beta falls from 0 to -1e4 on |y| <= 6, or is raised by 1e4 everywhere. Prior N(0,1).
    let run = |quadratic: f64, constant: f64, n: usize, steps: usize| {
        let prior = GaussianMixture::new(vec![1.0], vec![vec![0.0]], vec![vec![vec![1.0]]]).unwrap();
        let beta = 0.01;
        let term = QuadraticTerm::new(&[vec![quadratic * beta]], vec![0.3 * beta], constant * beta).unwrap();
        let reward = Reward::log_sum_exp(vec![term], beta).unwrap();
        let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        let kl = KlWeight::constant(beta).unwrap();
        let problem = FineTuning::new(schedule, prior, reward, kl, InitialLaw::Optimal).unwrap();
        let exact = TiltedMixture::new(&problem).unwrap();
        let params = ColeHopfParams { steps, storage: Storage::AtMost(3), ..Default::default() };
        let grid = line(-6.0, 6.0, n);
        let (v, info) = ColeHopfSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
        // At t = 0 and T/2, in temperatures.
        let errors = [0, 1].map(|k| {
            let mut closed = vec![0.0; n];
            exact.at(v.times()[k]).value(grid.points().as_points(), &mut closed);
            let x = grid.axis(0).nodes();
            (0..n).filter(|&j| x[j].abs() <= 3.0).map(|j| (v.value(k)[j] - closed[j]).abs() / beta).fold(0.0, f64::max)
        });
        assert!((0..3).all(|k| v.value(k).iter().chain(v.control(k)).all(|v| v.is_finite())));
        (errors, info)
    };
    let (lifted, info) = run(0.5, 1e4, 401, 400);
    let (plain, _) = run(0.5, 0.0, 401, 400);
    println!("lifted by 1e4: {lifted:?}, not lifted {plain:?}");
    assert!(info.log_range.1 > 9.9e3);
    assert!(lifted.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-9), "{lifted:?} {plain:?}");
    let steep: Vec<_> = [401, 801, 1601].iter().map(|&n| run(1e4 / 18.0, 0.0, n, n - 1)).collect();
    for (e, info) in &steep {
        println!(
            "r/beta = -1e4: errors {e:?}, {:.0} decades, {} nodes limited, {} solves in {} stages",
            info.decades, info.limited, info.inner_iterations, info.stages
        );
        assert!(info.decades > 4000.0);
    }
    assert!(steep[2].0.iter().all(|e| *e < 2e-2), "{:?}", steep[2].0);
    assert!((0..2).all(|k| (steep[1].0[k] / steep[2].0[k]).log2() > 1.0), "{:?}", steep[1].0);
}

#[test]
fn correlated_noise_with_the_matching_control_matrix() {
    // phi = E exp(-(x+W)'Q(x+W)/(2 beta)), W of covariance S = a tau: V = -beta log det(I + S Q/beta)/2 - x'(Q^{-1} + S/beta)^{-1} x/2.
    let (beta, horizon) = (0.5, 0.4);
    let problem = correlated(beta, horizon);
    let s = [1.0, 0.4, 0.8].map(|a| a * horizon / beta);
    let (q0, q1) = (1.2, 0.6);
    let (m00, m01, m11) = (1.0 / q0 + s[0], s[1], 1.0 / q1 + s[2]);
    let det = m00 * m11 - m01 * m01;
    let exact = |x: &[f64]| {
        -0.5 * beta * (det * q0 * q1).ln() - 0.5 * (m11 * x[0] * x[0] - 2.0 * m01 * x[0] * x[1] + m00 * x[1] * x[1]) / det
    };
    let slopes = |x: &[f64]| [-(m11 * x[0] - m01 * x[1]) / det, -(m00 * x[1] - m01 * x[0]) / det];
    let (v, u): (Vec<f64>, Vec<f64>) = [33, 65, 129]
        .iter()
        .map(|&n| {
            let params = ColeHopfParams { steps: n - 1, storage: Storage::AtMost(2), ..Default::default() };
            let grid = square(4.0, n);
            let (v, info) = ColeHopfSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
            assert!((info.beta - beta).abs() < 1e-14);
            let (mut ev, mut eu, mut x) = (0.0f64, 0.0f64, [0.0; 2]);
            for j in 0..n * n {
                grid.points().as_points().copy_point(j, &mut x);
                if x[0].abs() <= 1.0 && x[1].abs() <= 1.0 {
                    ev = ev.max((v.value(0)[j] - exact(&x)).abs());
                    let p = slopes(&x);
                    let control = [(p[0] + 0.4 * p[1]) / beta, 0.8 * p[1] / beta];
                    (0..2).for_each(|i| eu = eu.max((v.control(0)[i * n * n + j] - control[i]).abs()));
                }
            }
            println!("correlated {n}: V {ev:.2e} u {eu:.2e}, {} factorisations, {:.3} s", info.factorisations, info.seconds);
            (ev, eu)
        })
        .unzip();
    assert!(orders(&v).iter().all(|o| (o - 2.0).abs() < 0.2), "{v:?}");
    assert!(orders(&u).iter().all(|o| (o - 2.0).abs() < 0.25), "{u:?}");
}

#[test]
fn one_factorisation_serves_many_steps_when_coefficients_do_not_depend_on_time() {
    let problem = Problem {
        terminal: Arc::new(|_, x| (2.0 * x[0]).cos() - 0.3 * x[1] * x[1]),
        running: Arc::new(|_, x| -0.2 * x[0] * x[0]),
        ..Problem::ornstein_uhlenbeck(2, 1.0, 1.0)
    };
    let grid = square(4.0, 41);
    let linear = LinearSolverChoice::SparseLu;
    let params = ColeHopfParams { steps: 50, linear, storage: Storage::AtMost(2), ..Default::default() };
    let (a, la) = ColeHopfSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
    let howard = HjbParams { steps: 50, linear, storage: Storage::AtMost(2), ..Default::default() };
    let (b, lb) = HjbSolver::new(&problem, grid.clone(), howard).unwrap().solve().unwrap();
    println!(
        "41 x 41 x 50, LU: linear {:.3} s ({} factorisations of {}), Howard {:.3} s ({})",
        la.seconds, la.factorisations, la.inner_iterations, lb.seconds, lb.inner_iterations
    );
    assert!(la.factorisations <= 8 && la.inner_iterations <= la.stages + 2, "{la:?}");
    let inner = |j: &usize| {
        let mut x = [0.0; 2];
        grid.points().as_points().copy_point(*j, &mut x);
        x[0].abs() <= 2.0 && x[1].abs() <= 2.0
    };
    let gap = (0..41 * 41).filter(inner).map(|j| (a.value(0)[j] - b.value(0)[j]).abs()).fold(0.0, f64::max);
    assert!(gap < 2e-2, "{gap}");
    // The same equation with every factorisation fresh: renewed rates by a drift that changes in its last digits.
    let jitter = Problem {
        drift: Arc::new(|t, x, out| out.iter_mut().zip(x).for_each(|(o, x)| *o = -x * (1.0 + 1e-14 * (50.0 * t).round()))),
        ..problem.clone()
    };
    let (c, lc) = ColeHopfSolver::new(&jitter, grid.clone(), params).unwrap().solve().unwrap();
    assert!(lc.factorisations >= 50);
    let gap = (0..41 * 41).map(|j| (a.value(0)[j] - c.value(0)[j]).abs()).fold(0.0, f64::max);
    assert!(gap < 1e-10, "{gap:e}");
}

#[test]
fn an_exit_before_the_horizon_and_dirichlet_faces_agree_with_the_closed_form() {
    // phi_t + phi''/2 = 0 with phi(+-1) = e^{-q}: phi = e^{-q} + cos(pi x/2) exp(-pi^2 (T - t)/8).
    let q = 3.0f64;
    let k = std::f64::consts::FRAC_PI_2;
    let exact = move |x: f64, tau: f64| ((-q).exp() + (k * x).cos().max(0.0) * (-0.5 * k * k * tau).exp()).ln();
    let problem = Problem { terminal: Arc::new(move |_, x| exact(x[0], 0.0)), ..Problem::ornstein_uhlenbeck(1, 0.0, 0.5) };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), move |_: &[f64]| -q);
    for by_faces in [false, true] {
        let errors: Vec<f64> = [51, 101, 201]
            .iter()
            .map(|&n| {
                let boundary = if by_faces { Faces::all(Face::Dirichlet) } else { Faces::default() };
                let params = ColeHopfParams { steps: n - 1, boundary, time: Time::TrBdf2, ..Default::default() };
                let grid = if by_faces { line(-1.0, 1.0, n) } else { line(-1.13, 1.13, n) };
                let solver = ColeHopfSolver::new(&problem, grid.clone(), params).unwrap();
                let solver = if by_faces { solver } else { solver.with_target(&target, Placement::SubCell) };
                let (v, _) = solver.solve().unwrap();
                let x = grid.axis(0).nodes();
                (0..n).filter(|&j| x[j].abs() < 1.0).map(|j| (v.value(0)[j] - exact(x[j], 0.5)).abs()).fold(0.0, f64::max)
            })
            .collect();
        println!("killed at the ends, faces {by_faces}: {errors:?} {:?}", orders(&errors));
        assert!((errors[0] / errors[2]).log2() > 3.4, "{errors:?}");
    }
}

#[test]
fn long_steps_keep_phi_positive() {
    // Four steps over a running cost that turns phi over many times in each: 1 + X would be negative.
    let problem = Problem { running: Arc::new(|_, x| -100.0 * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(1, -2.0, 1.0) };
    for time in [Time::CrankNicolson, Time::TrBdf2] {
        let params = ColeHopfParams { steps: 4, time, boundary: Faces::reflecting(), ..Default::default() };
        let (v, info) = ColeHopfSolver::new(&problem, line(-4.0, 4.0, 161), params).unwrap().solve().unwrap();
        println!("{time:?}: {} nodes limited, {:.0} decades", info.limited, info.decades);
        assert!(info.limited > 0 && info.decades > 10.0);
        assert!((0..5).all(|k| v.value(k).iter().all(|v| v.is_finite() && *v <= 0.0)));
    }
}

#[test]
fn the_cell_peclet_number_is_that_of_the_drift_and_the_cells() {
    // dX = -8 dt + dB with g = 16 x: V = g against the drift, P = 8 h.
    let problem = Problem {
        drift: Arc::new(|_, _, out| out[0] = -8.0),
        terminal: Arc::new(|_, x| 16.0 * x[0]),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 0.05)
    };
    for (n, coarse) in [(81, false), (41, true)] {
        let params = ColeHopfParams { steps: 20, boundary: Faces::reflecting(), ..Default::default() };
        let (_, info) = ColeHopfSolver::new(&problem, line(-2.0, 2.0, n), params).unwrap().solve().unwrap();
        assert!((info.cell_peclet - 32.0 / (n - 1) as f64).abs() < 1e-12, "{}", info.cell_peclet);
        assert_eq!(info.note.is_some(), coarse, "{:?}", info.note);
    }
}
