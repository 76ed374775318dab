//! Exit before a finite horizon: target sets and Dirichlet faces.

use crate::common::{Problem, line, orders, square};
use crate::{SECOND_ORDER, brownian, bump, pairing, radius};
use hjbridge_hjb::{
    AdjointLaw, Face, FaceValues, Faces, HjbError, HjbParams, HjbSolver, LevelSet, Placement, PolicyIteration,
    PolicyIterationParams, Sense, Storage, TargetSet, Time, TimedLevelSet, ValueFunction,
};
use hjbridge_model::grid::TensorGrid;
use std::f64::consts::PI;
use std::sync::Arc;

fn solve(
    problem: &Problem,
    grid: &Arc<TensorGrid>,
    params: HjbParams,
    target: &dyn TargetSet,
    placement: Placement,
) -> ValueFunction {
    let solver = HjbSolver::new(problem, grid.clone(), params).unwrap().with_target(target, placement);
    solver.solve().unwrap().0
}

/// sup over the nodes where `outside` of |V - exact| at t = 0.
fn error(v: &ValueFunction, outside: impl Fn(&[f64]) -> bool, exact: impl Fn(&[f64]) -> f64) -> f64 {
    let mut x = vec![0.0; v.grid().dim()];
    let mut error = 0.0f64;
    for (j, value) in v.value(0).iter().enumerate() {
        v.grid().node(j, &mut x);
        if outside(&x) {
            error = error.max((value - exact(&x)).abs());
        }
    }
    error
}

/// The normal distribution function, by the continued fraction of Mills' ratio or the power series.
fn normal(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    if x.abs() > 6.0 {
        let mut ratio = 0.0;
        (1..60).rev().for_each(|k| ratio = k as f64 / (x.abs() + ratio));
        let tail = density / (x.abs() + ratio);
        return if x > 0.0 { 1.0 - tail } else { tail };
    }
    let (mut term, mut sum, mut k) = (x, x, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + density * sum
}

fn slope(e: &[f64]) -> f64 {
    (e[0] / e[e.len() - 1]).log2() / (e.len() - 1) as f64
}

#[test]
fn survival_of_brownian_motion_in_an_interval_is_its_fourier_series() {
    // P(|B_s| < 1 for s <= T) = sum_k (4/pi) (-1)^k/(2k+1) cos((2k+1) pi x/2) exp(-((2k+1) pi/2)^2 T/2), T = 1.
    let exact = |x: &[f64]| {
        let term = |k: i32| {
            let w = f64::from(2 * k + 1) * PI / 2.0;
            2.0 / w * f64::from(1 - 2 * (k % 2)) * (w * x[0]).cos() * (-0.5 * w * w).exp()
        };
        (0..8).map(term).sum::<f64>()
    };
    let problem = brownian(1, 0.0, 1.0, |_| 1.0);
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |_: &[f64]| 0.0);
    for time in SECOND_ORDER {
        for (placement, order) in [(Placement::SubCell, 2.0), (Placement::Staircase, 1.0)] {
            let errors: Vec<f64> = [21, 41, 81, 161]
                .iter()
                .map(|&n| {
                    // The boundary at 0.6 of a cell on every grid.
                    let dx = 2.0 / (n as f64 - 5.0 + 0.2);
                    let half = 0.5 * (n - 1) as f64 * dx;
                    let params = HjbParams { time, steps: 2 * n, storage: Storage::AtMost(2), ..Default::default() };
                    let v = solve(&problem, &line(-half, half, n), params, &target, placement);
                    assert!(v.value(0).iter().all(|p| (0.0..=1.0).contains(p)));
                    error(&v, |x| x[0].abs() < 1.0, exact)
                })
                .collect();
            println!("survival {time:?} {placement:?}: {errors:?} {:?}", orders(&errors));
            assert!((slope(&errors) - order).abs() < 0.25, "{time:?} {placement:?}: {errors:?} {:?}", orders(&errors));
        }
    }
}

#[test]
fn a_discounted_knock_out_with_a_growing_rebate_follows_from_the_reflection_principle() {
    // X with drift mu and noise s is killed at 0; S = P(alive at T). The terminal reward 1 and the rebate c e^{rho t} give
    // V = e^{-rho tau} S + c e^{rho t} (1 - S). In coordinates that move with a barrier of speed k the drift is mu - k, so this is
    // also the barrier that moves.
    let (mu, s, rho, c) = (-0.4f64, 0.7f64, 0.6f64, 0.8f64);
    let exact = |x: &[f64]| {
        let alive = normal((x[0] + mu) / s) - (-2.0 * mu * x[0] / (s * s)).exp() * normal((-x[0] + mu) / s);
        (-rho).exp() * alive + c * (1.0 - alive)
    };
    let problem = Problem { discount: rho, ..brownian(1, mu, s, |_| 1.0) };
    let target = TimedLevelSet::new(|x: &[f64]| x[0], move |t: f64, _: &[f64]| c * (rho * t).exp());
    for time in SECOND_ORDER {
        let errors: Vec<f64> = [40, 80, 160, 320]
            .iter()
            .map(|&m| {
                // The barrier at 0.6 of a cell on every grid.
                let dx = 6.0 / (m as f64 - 0.6);
                let grid = line(-1.4 * dx, 6.0 + 2.0 * dx, m + 4);
                let params = HjbParams { time, steps: m, ..Default::default() };
                let v = solve(&problem, &grid, params, &target, Placement::SubCell);
                let k = v.times().len() / 2;
                let t = v.times()[k];
                assert!((v.value(k)[0] - c * (rho * t).exp()).abs() < 1e-14 && v.control(k).is_empty());
                error(&v, |x| x[0] > 0.0 && x[0] < 3.0, exact)
            })
            .collect();
        println!("knock-out {time:?}: {errors:?} {:?}", orders(&errors));
        assert!((slope(&errors) - 2.0).abs() < 0.25 && errors[3] < 2e-4, "{time:?}: {errors:?} {:?}", orders(&errors));
    }
}

/// J_0 by its power series, good to rounding for |x| <= 5.
fn bessel(x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= -0.25 * x * x / f64::from(k * k);
        sum += term;
    }
    sum
}

#[test]
fn the_first_mode_of_a_disc_decays_at_its_rate_and_a_staircase_costs_an_order() {
    // g = J_0(z r) with z the first zero: V = e^{-(z^2/2 + rho) tau} J_0(z r), zero on the circle r = 1.
    let (z, rho) = (2.404_825_557_695_773f64, 0.3f64);
    let exact = move |x: &[f64]| (-0.5 * z * z - rho).exp() * bessel(z * radius(x));
    let problem = Problem { discount: rho, ..brownian(2, 0.0, 1.0, move |x| bessel(z * radius(x))) };
    let target = LevelSet::new(|x: &[f64]| 1.0 - radius(x), |_: &[f64]| 0.0);
    let table = |placement: Placement| -> Vec<f64> {
        let run = |&n: &usize| {
            let params = HjbParams { steps: n, storage: Storage::AtMost(2), ..Default::default() };
            error(&solve(&problem, &square(1.17, n), params, &target, placement), |x| radius(x) < 1.0, exact)
        };
        [15, 29, 57, 113].iter().map(run).collect()
    };
    let (fine, coarse) = (table(Placement::SubCell), table(Placement::Staircase));
    println!("disc: sub-cell {fine:?}, staircase {coarse:?}");
    // Cut edges fall differently on every grid, so the order is taken over three doublings.
    assert!((slope(&fine) - 2.0).abs() < 0.25, "{fine:?} {:?}", orders(&fine));
    assert!((slope(&coarse) - 1.0).abs() < 0.35, "{coarse:?} {:?}", orders(&coarse));
    assert!(coarse[3] > 20.0 * fine[3]);
}

#[test]
fn a_controlled_exit_problem_is_of_order_two_in_value_and_control_in_either_sense() {
    // dX = v dt + dB, cost v^2/2: V = log phi, phi_t + phi''/2 = 0, phi = 1 at +-1: phi = 1 + 2 cos(pi x/2) e^{-pi^2 tau/8}.
    let phi = |x: f64, tau: f64| 1.0 + 2.0 * (0.5 * PI * x).cos() * (-PI * PI * tau / 8.0).exp();
    let slope_of = |x: f64, tau: f64| -PI * (0.5 * PI * x).sin() * (-PI * PI * tau / 8.0).exp() / phi(x, tau);
    let sign = |sense: Sense| if sense == Sense::Minimise { -1.0 } else { 1.0 };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |_: &[f64]| 0.0);
    let run = |n: usize, sense: Sense| {
        let g: crate::common::Scalar = Arc::new(move |_, x| sign(sense) * phi(x[0], 0.0).max(1e-3).ln());
        let problem = Problem { terminal: g, ..Problem::ornstein_uhlenbeck(1, 0.0, 0.5) };
        let params = HjbParams { steps: n, sense, ..Default::default() };
        // The boundary at 0.6 of a cell on every grid.
        let half = (n - 1) as f64 / (n as f64 - 3.0 + 0.2);
        let grid = line(-half, half, n);
        let v = solve(&problem, &grid, params, &target, Placement::SubCell);
        if sense == Sense::Maximise {
            let whole = PolicyIterationParams { hjb: params, ..Default::default() };
            let iteration = PolicyIteration::new(&problem, grid, whole).unwrap().with_target(&target, Placement::SubCell);
            let (same, _) = iteration.solve().unwrap();
            assert!(same.value(0).iter().zip(v.value(0)).all(|(a, b)| (a - b).abs() < 1e-10));
        }
        let (mut ev, mut eu) = (0.0f64, 0.0f64);
        for (k, &t) in v.times().iter().enumerate().take(n) {
            for (j, &x) in v.grid().axis(0).nodes().iter().enumerate() {
                if x.abs() < 1.0 {
                    ev = ev.max((sign(sense) * v.value(k)[j] - phi(x, 0.5 - t).ln()).abs());
                } else {
                    // One node on each side: there the control is that of the two free ones next to it, continued.
                    let (near, far) = if j == 0 { (1, 2) } else { (n - 2, n - 3) };
                    let continued = 2.0 * v.control(k)[near] - v.control(k)[far];
                    assert!(v.value(k)[j].abs() == 0.0 && (v.control(k)[j] - continued).abs() < 1e-9 * (1.0 + continued.abs()));
                }
                if x.abs() < 0.7 {
                    eu = eu.max((v.control(k)[j] - slope_of(x, 0.5 - t)).abs());
                }
            }
        }
        (ev, eu)
    };
    let (v, u): (Vec<f64>, Vec<f64>) = [21, 41, 81, 161].iter().map(|&n| run(n, Sense::Maximise)).unzip();
    println!("controlled exit: V {v:?} u {u:?}");
    // The coarse grids do better than their order.
    assert!((orders(&v)[2] - 2.0).abs() < 0.2 && (orders(&u)[2] - 2.0).abs() < 0.1, "{v:?} {u:?}");
    assert!(v[3] < 1.5e-5 && u[3] < 4e-4);
    let (same, _) = run(81, Sense::Minimise);
    assert!((same - v[2]).abs() < 1e-12);
}

#[test]
fn an_obstacle_holds_outside_the_target_and_one_too_low_changes_nothing() {
    let problem = brownian(1, 0.3, 0.8, |x| (PI * x[0]).sin());
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |x: &[f64]| 0.1 * x[0]);
    let grid = line(-1.07, 1.07, 60);
    let params = HjbParams { steps: 40, ..Default::default() };
    let free = solve(&problem, &grid, params, &target, Placement::SubCell);
    let with = |psi: &dyn hjbridge_hjb::Obstacle| {
        let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap();
        solver.with_obstacle(psi).with_target(&target, Placement::SubCell).solve().unwrap().0
    };
    let low = with(&|_: f64, _: &[f64]| -5.0);
    assert!(low.value(0).iter().zip(free.value(0)).all(|(a, b)| (a - b).abs() < 1e-13));
    let psi = |_: f64, x: &[f64]| 0.4 * (1.0 - x[0] * x[0]);
    let stopped = with(&psi);
    for (j, &x) in grid.axis(0).nodes().iter().enumerate() {
        if x.abs() < 1.0 {
            assert!(stopped.value(0)[j] >= psi(0.0, &[x]) - 1e-13 && stopped.value(0)[j] >= free.value(0)[j] - 1e-12);
        } else {
            assert_eq!(stopped.value(0)[j], 0.1 * x);
        }
    }
    assert!(stopped.value(0)[30] > free.value(0)[30] + 0.1);
}

#[test]
fn a_target_inside_the_exercise_region_leaves_an_american_put_as_it_is() {
    // x = log(S/K), r = 0.06, sigma = 0.2: even without an end it pays to stop below S = K gamma/(1 + gamma), gamma = 2 r/sigma^2
    // = 3, that is x = -0.288. Whoever is made to stop at x <= -0.6 has done so already.
    let (r, sigma) = (0.06, 0.2);
    let payoff = |x: &[f64]| (1.0 - x[0].exp()).max(0.0);
    let put = Problem {
        control_dim: 0,
        drift: Arc::new(move |_, _, out| out[0] = r - 0.5 * sigma * sigma),
        sigma: crate::common::Matrix::Scaled(sigma),
        terminal: Arc::new(move |_, x| payoff(x)),
        discount: r,
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let psi = move |_: f64, x: &[f64]| payoff(x);
    let target = LevelSet::new(|x: &[f64]| x[0] + 0.6, payoff);
    // The boundary of the target falls between two nodes, the strike on one.
    let grid = line(-1.5, 1.5, 301);
    assert!(grid.axis(0).nodes().iter().all(|x| (x + 0.604).abs() > 1e-6));
    for time in [Time::ImplicitEuler, Time::CrankNicolson] {
        let params = HjbParams { time, steps: 100, ..Default::default() };
        let solver = || HjbSolver::new(&put, grid.clone(), params).unwrap().with_obstacle(&psi);
        let free = solver().solve().unwrap().0;
        for placement in [Placement::SubCell, Placement::Staircase] {
            let stopped = solver().with_target(&target, placement).solve().unwrap().0;
            for k in 0..free.times().len() {
                let difference = free.value(k).iter().zip(stopped.value(k)).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
                assert!(difference < 1e-10, "{time:?} {placement:?} level {k}: {difference}");
            }
        }
        // A target that reaches into the region of waiting costs something.
        let early = LevelSet::new(|x: &[f64]| x[0] + 0.1, payoff);
        let worse = solver().with_target(&early, Placement::SubCell).solve().unwrap().0;
        assert!(worse.value(0)[150] < free.value(0)[150] - 1e-3);
    }
}

#[test]
fn bad_exit_data_are_refused_with_their_time() {
    let problem = brownian(1, 0.0, 1.0, |_| 1.0);
    let grid = line(-1.5, 1.5, 31);
    let fail = |target: &dyn TargetSet| {
        let solver = HjbSolver::new(&problem, grid.clone(), HjbParams::default()).unwrap();
        solver.with_target(target, Placement::SubCell).solve().err()
    };
    let empty = LevelSet::new(|_: &[f64]| 1.0, |_: &[f64]| 0.0);
    assert!(matches!(fail(&empty), Some(HjbError::Invalid { .. })));
    let late = |t: f64, _: &[f64]| if t < 0.5 { f64::NAN } else { 0.0 };
    let nan = TimedLevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), late);
    let error = fail(&nan);
    assert!(
        matches!(error, Some(HjbError::NonFinite { coefficient: "target.value", t, .. }) if t < 0.5 && t > 0.45),
        "{error:?}"
    );
    let faces = |_: f64, _: &[f64]| 0.0;
    let faces: &dyn FaceValues = &faces;
    let solver = HjbSolver::new(&problem, grid.clone(), HjbParams::default()).unwrap();
    assert!(matches!(solver.with_face_values(faces).solve().err(), Some(HjbError::Invalid { .. })));
}

#[test]
fn dirichlet_faces_hold_their_data_at_all_times_to_second_order() {
    // V = e^{x + d tau/2 ...}: the sum of the coordinates has variance d, so V = exp(sum x_i + d tau/2).
    for (d, sizes) in [(1, [11, 21, 41]), (2, [9, 17, 33])] {
        let exact = move |tau: f64, x: &[f64]| (x.iter().sum::<f64>() + 0.5 * d as f64 * tau).exp();
        let problem = brownian(d, 0.0, 1.0, move |x| exact(0.0, x));
        let data = move |t: f64, x: &[f64]| exact(1.0 - t, x);
        for time in SECOND_ORDER {
            let errors: Vec<f64> = sizes
                .iter()
                .map(|&n| {
                    let params = HjbParams { time, steps: n, boundary: Face::Dirichlet.into(), ..Default::default() };
                    let grid = if d == 1 { line(-1.0, 1.0, n) } else { square(1.0, n) };
                    let solver = HjbSolver::new(&problem, grid.clone(), params).unwrap().with_face_values(&data);
                    let (v, _) = solver.solve().unwrap();
                    assert!((v.value(3)[0] - exact(1.0 - v.times()[3], &vec![-1.0; d])).abs() < 1e-14);
                    // The same policy (there is no control) by the adjoint.
                    let (policies, _) = solver.solve_policies().unwrap();
                    let adjoint = AdjointLaw::new(&problem, grid.clone(), params).unwrap().with_face_values(&data);
                    let initial = bump(&grid);
                    let (_, j, info) = adjoint.law(&policies, &initial, &[]).unwrap();
                    assert!((pairing(v.value(0), &initial) - j.total).abs() < 1e-12 && j.exit > 0.1 && info.remaining_mass < 0.9);
                    error(&v, |_| true, |x| exact(1.0, x))
                })
                .collect();
            println!("Dirichlet {d} {time:?}: {errors:?} {:?}", orders(&errors));
            assert!((orders(&errors)[1] - 2.0).abs() < 0.25, "{d} {time:?}: {errors:?}");
        }
    }
    // Without data the terminal reward holds; one wall may reflect: V = e^{-w^2 tau/2} sin(w x), w = pi/2, on [0, 1].
    let w = 0.5 * PI;
    let problem = brownian(1, 0.0, 1.0, move |x| (w * x[0]).sin());
    let faces = Faces::reflecting().with(0, false, Face::Dirichlet);
    let errors: Vec<f64> = [11, 21, 41]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n, boundary: faces, ..Default::default() };
            let (v, _) = HjbSolver::new(&problem, line(0.0, 1.0, n), params).unwrap().solve().unwrap();
            error(&v, |_| true, |x| (-0.5 * w * w).exp() * (w * x[0]).sin())
        })
        .collect();
    assert!((orders(&errors)[1] - 2.0).abs() < 0.15, "{errors:?}");
}
