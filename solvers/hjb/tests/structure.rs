//! Properties that hold whatever the data: constants, symmetry, units, bounds, stored levels, typed errors.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, Scalar, line, mixture, orders, square};
use hjbridge_hjb::{
    Face, Generator, HjbError, HjbParams, HjbSolver, LinearSolverChoice, PolicyIteration, PolicyIterationParams, Space, Storage,
    Time, ViolationCause,
};
use hjbridge_model::ControlSet;
use hjbridge_model::grid::{Axis, TensorGrid};
use std::sync::Arc;

const SCHEMES: [(Space, Time); 6] = [
    (Space::Upwind, Time::ImplicitEuler),
    (Space::Hybrid, Time::ImplicitEuler),
    (Space::Upwind, Time::CrankNicolson),
    (Space::Hybrid, Time::CrankNicolson),
    (Space::Upwind, Time::TrBdf2),
    (Space::Hybrid, Time::TrBdf2),
];

#[test]
fn a_constant_reward_has_that_constant_as_value() {
    for boundary in [Face::Extrapolated, Face::Reflecting] {
        for (space, time) in SCHEMES {
            let params = HjbParams { space, time, boundary: boundary.into(), steps: 30, ..Default::default() };
            for (dim, grid) in [(1, line(-4.0, 4.0, 61)), (2, square(4.0, 13))] {
                let problem = Problem { terminal: Arc::new(|_, _| 0.7), ..Problem::ornstein_uhlenbeck(dim, 1.0, 1.0) };
                let (v, _) = HjbSolver::new(&problem, grid, params).unwrap().solve().unwrap();
                assert!((0..=30).all(|k| v.value(k).iter().all(|v| (v - 0.7).abs() < 1e-13)));
                assert!((0..=30).all(|k| v.control(k).iter().all(|v| v.abs() < 1e-12)));
            }
        }
    }
}

#[test]
fn a_constant_running_reward_adds_its_integral() {
    let problem = Problem { running: Arc::new(|_, _| -1.3), ..Problem::ornstein_uhlenbeck(1, 1.0, 2.0) };
    for (space, time) in SCHEMES {
        let params = HjbParams { space, time, steps: 25, ..Default::default() };
        let (v, _) = HjbSolver::new(&problem, line(-4.0, 4.0, 41), params).unwrap().solve().unwrap();
        assert!(v.value(0).iter().all(|v| (v + 2.6).abs() < 1e-12));
    }
}

#[test]
fn an_even_problem_has_an_even_value_and_an_odd_control() {
    let problem = Problem {
        drift: Arc::new(|_, x, out| out[0] = x[0] - x[0].powi(3)),
        terminal: Arc::new(|_, x| (2.0 * x[0]).cos() - 0.2 * x[0] * x[0]),
        running: Arc::new(|t, x| -t * x[0] * x[0]),
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    };
    let params = HjbParams { steps: 50, ..Default::default() };
    let n = 121;
    let (v, _) = HjbSolver::new(&problem, line(-3.0, 3.0, n), params).unwrap().solve().unwrap();
    let size = v.value(0).iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    for k in 0..=50 {
        for j in 0..n {
            assert!((v.value(k)[j] - v.value(k)[n - 1 - j]).abs() < 1e-12 * (1.0 + size));
            assert!((v.control(k)[j] + v.control(k)[n - 1 - j]).abs() < 1e-10 * (1.0 + size));
        }
    }
}

/// dX = [sin x - x + v] dt + dB with g = cos(2x), in units: x in multiples of `length`, t of `time`, V of `money`.
fn in_units(length: f64, time: f64, money: f64) -> Problem {
    Problem {
        horizon: time,
        drift: Arc::new(move |_, x, out| out[0] = ((x[0] / length).sin() - x[0] / length) * length / time),
        // The control is a velocity.
        weight: Matrix::Scaled(money * time / (length * length)),
        sigma: Matrix::Scaled(length / time.sqrt()),
        running: Arc::new(move |t, x| money / time * (t / time) * (x[0] / length).sin()),
        terminal: Arc::new(move |_, x| money * (2.0 * x[0] / length).cos()),
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    }
}

#[test]
fn units_of_space_time_and_value_do_not_matter() {
    for (space, time) in SCHEMES {
        let params = HjbParams { space, time, steps: 40, ..Default::default() };
        let solve = |length: f64, t: f64, money: f64| {
            let problem = in_units(length, t, money);
            HjbSolver::new(&problem, line(-4.0 * length, 4.0 * length, 81), params).unwrap().solve().unwrap().0
        };
        let one = solve(1.0, 1.0, 1.0);
        for (length, t, money) in [(1e3, 1.0, 1.0), (1.0, 1e-4, 1.0), (1.0, 1.0, 1e8), (1e-5, 3e4, 1e-7)] {
            let other = solve(length, t, money);
            for j in 0..81 {
                assert!((other.value(0)[j] / money - one.value(0)[j]).abs() < 1e-9, "{length} {t} {money}");
                assert!((other.control(0)[j] * t / length - one.control(0)[j]).abs() < 1e-7, "{length} {t} {money}");
            }
        }
    }
}

/// Uncontrolled (control_dim = 0) with drift -k x and noise sigma.
fn uncontrolled(k: f64, sigma: f64, horizon: f64) -> Problem {
    Problem { control_dim: 0, sigma: Matrix::Scaled(sigma), ..Problem::ornstein_uhlenbeck(1, k, horizon) }
}

#[test]
fn the_uncontrolled_value_is_the_expectation() {
    // Ornstein-Uhlenbeck: X_T ~ N(x e^{-tau}, (1 - e^{-2 tau})/2), E cos X_T = e^{-var/2} cos(x e^{-tau}).
    let problem = Problem { terminal: Arc::new(|_, x| x[0].cos()), ..uncontrolled(1.0, 1.0, 1.0) };
    let variance = 0.5 * (1.0 - (-2.0f64).exp());
    let errors: Vec<f64> = [101, 201, 401]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n - 1, ..Default::default() };
            let (v, _) = HjbSolver::new(&problem, line(-5.0, 5.0, n), params).unwrap().solve().unwrap();
            let x = v.grid().axis(0).nodes().to_vec();
            let exact = |x: f64| (-0.5 * variance).exp() * (x * (-1.0f64).exp()).cos();
            (0..n).filter(|&j| x[j].abs() <= 1.5).map(|j| (v.value(0)[j] - exact(x[j])).abs()).fold(0.0, f64::max)
        })
        .collect();
    assert!(orders(&errors).iter().all(|o| (o - 2.0).abs() < 0.1), "{errors:?}");
}

#[test]
fn rough_data_do_not_ring_under_crank_nicolson() {
    // Heat equation from a step midway between two nodes: V = Phi(x / sqrt(tau)); h/dx^2 = 33 at the least, so that
    // the highest modes change sign and hardly shrink in a Crank-Nicolson step.
    let problem = Problem { terminal: Arc::new(|_, x| if x[0] > 0.0 { 1.0 } else { 0.0 }), ..uncontrolled(0.0, 1.0, 1.0) };
    // Phi(0.5) and Phi(1).
    let exact = [(0.0, 0.5), (0.5, 0.691462461274013), (1.0, 0.841344746068543)];
    let errors: Vec<f64> = [240, 480, 960]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n / 20, ..Default::default() };
            let half = 6.0 - 6.0 / n as f64;
            let (v, _) = HjbSolver::new(&problem, line(-half, half, n), params).unwrap().solve().unwrap();
            // Points midway between nodes: the mean of the neighbours is second-order accurate.
            let at = |x: f64| {
                let j = ((x + half) * n as f64 / 12.0 + 1e-9) as usize;
                0.5 * (v.value(0)[j] + v.value(0)[j + 1])
            };
            assert!(v.value(0).windows(2).all(|w| w[1] >= w[0] - 1e-12), "not monotone in x");
            exact.iter().map(|&(x, e)| (at(x) - e).abs()).fold(0.0, f64::max)
        })
        .collect();
    assert!(orders(&errors).iter().all(|o| (o - 2.0).abs() < 0.15), "{errors:?}");
}

#[test]
fn policy_iteration_agrees_with_the_per_step_solver_where_slopes_switch() {
    // A coarse grid with strong, bounded control and a reward of mixed curvature: all three slopes occur.
    let problem = Problem {
        gain: Matrix::Scaled(3.0),
        sigma: Matrix::Scaled(0.5),
        terminal: Arc::new(|_, x| 2.0 * (2.0 * x[0]).cos() + 0.3 * x[0]),
        running: Arc::new(|t, x| (t + x[0]).sin()),
        set: ControlSet::Box { lower: vec![-1.5], upper: vec![f64::INFINITY] },
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    };
    for (space, time) in SCHEMES {
        let hjb = HjbParams { space, time, steps: 60, boundary: Face::Reflecting.into(), ..Default::default() };
        let (a, _) = HjbSolver::new(&problem, line(-3.0, 3.0, 49), hjb).unwrap().solve().unwrap();
        let params = PolicyIterationParams { hjb, max_iterations: 60, ..Default::default() };
        let (b, info) = PolicyIteration::new(&problem, line(-3.0, 3.0, 49), params).unwrap().solve().unwrap();
        let difference = (0..=60)
            .flat_map(|k| a.value(k).iter().zip(b.value(k)).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>())
            .fold(0.0, f64::max);
        assert!(difference < 1e-9, "{space:?} {time:?}: {difference:e}");
        if time == Time::ImplicitEuler {
            assert!(info.decreases.iter().all(|d| *d < 1e-12), "{space:?}: {:?}", info.decreases);
        }
    }
}

#[test]
fn a_monotone_scheme_keeps_the_bounds_of_a_step() {
    let step: Scalar = Arc::new(|_, x| if x[0] > 0.3 { 1.0 } else { -1.0 });
    for sigma in [1.0, 0.1, 0.0] {
        let problem = Problem { terminal: step.clone(), ..uncontrolled(1.0, sigma, 1.0) };
        for space in [Space::Upwind, Space::Hybrid] {
            for boundary in [Face::Extrapolated, Face::Reflecting] {
                let params =
                    HjbParams { space, time: Time::ImplicitEuler, boundary: boundary.into(), steps: 20, ..Default::default() };
                let (v, info) = HjbSolver::new(&problem, line(-4.0, 4.0, 81), params).unwrap().solve().unwrap();
                assert!(info.monotonicity.is_monotone());
                assert!((0..=20).all(|k| v.value(k).iter().all(|v| v.abs() <= 1.0 + 1e-13)));
            }
        }
    }
}

#[test]
fn at_a_large_cell_peclet_number_hybrid_is_upwind_and_does_not_oscillate() {
    // |mu| h / a = 1000 at the least: no central difference is positive.
    let grid = line(-1.0, 1.0, 41);
    let n = grid.len();
    let drift: Vec<f64> = (0..n).map(|j| if j % 2 == 0 { 2.0 } else { -3.0 }).collect();
    let variance = vec![1e-4; n];
    let mut upwind = Generator::new(grid.clone(), Space::Upwind.scheme(), Face::Reflecting);
    let mut hybrid = Generator::new(grid.clone(), Space::Hybrid.scheme(), Face::Reflecting);
    assert_eq!(upwind.assemble(&drift, &variance).unwrap(), hybrid.assemble(&drift, &variance).unwrap());
    let problem = Problem {
        control_dim: 0,
        sigma: Matrix::Scaled(1e-2),
        drift: Arc::new(|_, _, out| out[0] = 1.0),
        terminal: Arc::new(|_, x| if x[0] > 0.0 { 1.0 } else { 0.0 }),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 0.5)
    };
    let solve = |space| {
        let params =
            HjbParams { space, time: Time::ImplicitEuler, boundary: Face::Reflecting.into(), steps: 40, ..Default::default() };
        HjbSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap().0
    };
    let (a, b) = (solve(Space::Upwind), solve(Space::Hybrid));
    assert_eq!(a.value(0), b.value(0));
    assert!(b.value(0).windows(2).all(|w| w[1] >= w[0] - 1e-14) && b.value(0).iter().all(|v| (-1e-14..=1.0 + 1e-14).contains(v)));
}

#[test]
fn rows_of_the_generator_sum_to_zero_and_outward_drift_is_counted() {
    let grid = square(2.0, 9);
    let n = grid.len();
    let nodes = grid.points();
    let outward: Vec<f64> = nodes.data().to_vec();
    let variance = vec![0.3; 2 * n];
    for boundary in [Face::Extrapolated, Face::Reflecting] {
        let mut g = Generator::new(grid.clone(), Space::Hybrid.scheme(), boundary);
        g.assemble(&outward, &variance).unwrap();
        let mut sums = vec![0.0; n];
        g.matrix().multiply(&vec![1.0; n], &mut sums);
        assert!(sums.iter().all(|s| s.abs() < 1e-13));
        let certificate = g.monotonicity();
        match boundary {
            // One outward rate per face node and face: 4 faces of 9 nodes, of size |mu|/h = 2/0.5.
            Face::Extrapolated => {
                assert_eq!((certificate.violations, certificate.worst_value), (36, -4.0));
                assert!(certificate.worst_node.is_some());
                assert_eq!(certificate.worst_cause, Some(ViolationCause::FaceDrift));
            }
            _ => assert!(certificate.is_monotone()),
        }
    }
}

#[test]
fn requiring_monotone_names_the_node_the_axis_the_time_and_the_cause() {
    // The drift of axis 1 points outward at its upper face once t < 0.5; reached backward, the first level below is 0.4.
    let problem = Problem {
        control_dim: 0,
        drift: Arc::new(|t, x, out| {
            out[0] = -x[0];
            out[1] = if t < 0.45 && x[0] > 1.9 { 0.3 * x[1] } else { -x[1] };
        }),
        ..Problem::ornstein_uhlenbeck(2, 1.0, 1.0)
    };
    let params = HjbParams { steps: 5, time: Time::ImplicitEuler, require_monotone: true, ..Default::default() };
    let outcome = HjbSolver::new(&problem, square(2.0, 9), params).unwrap().solve();
    let Err(error) = outcome else { panic!("no error") };
    match &error {
        HjbError::NotMonotone { point, axis, t: Some(t), rate, cause, .. } => {
            assert_eq!((point[0], point[1].abs(), *axis, *cause), (2.0, 2.0, 1, ViolationCause::FaceDrift));
            assert!((t - 0.4).abs() < 1e-12 && (rate + 0.6 / 0.5).abs() < 1e-12, "{t} {rate}");
        }
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("points outward"), "{error}");
    let hjb = HjbParams { steps: 5, time: Time::ImplicitEuler, ..params };
    let whole = PolicyIterationParams { hjb, ..Default::default() };
    let outcome = PolicyIteration::new(&problem, square(2.0, 9), whole).unwrap().solve();
    assert!(matches!(outcome, Err(HjbError::NotMonotone { axis: 1, .. })));
    // Without the requirement the certificate says the same; with reflection there is nothing to say.
    let counted = HjbParams { require_monotone: false, ..params };
    let (_, info) = HjbSolver::new(&problem, square(2.0, 9), counted).unwrap().solve().unwrap();
    // Two corners at each of t = 0.4, 0.2, 0.
    assert_eq!((info.monotonicity.violations, info.monotonicity.worst_axis), (6, Some(1)));
    let reflected = HjbParams { boundary: Face::Reflecting.into(), ..params };
    assert!(HjbSolver::new(&problem, square(2.0, 9), reflected).unwrap().solve().is_ok());
}

#[test]
fn central_differences_are_exact_for_quadratics_on_any_axis() {
    // L x^2 = 2 mu x + a on an axis whose spacings alternate by a factor of three.
    let nodes: Vec<f64> = (0..15).map(|j| 0.2 * j as f64 + if j % 2 == 0 { 0.0 } else { 0.1 }).collect();
    let grid = Arc::new(TensorGrid::new(vec![Axis::from_nodes(nodes.clone()).unwrap()]).unwrap());
    let (mu, a) = (0.9, 1.4);
    let mut g = Generator::new(grid, Space::Hybrid.scheme(), Face::Extrapolated);
    g.assemble(&[mu; 15], &[a; 15]).unwrap();
    let squares: Vec<f64> = nodes.iter().map(|x| x * x).collect();
    let mut out = vec![0.0; 15];
    g.matrix().multiply(&squares, &mut out);
    assert!((1..14).all(|j| (out[j] - 2.0 * mu * nodes[j] - a).abs() < 1e-12), "{out:?}");
}

#[test]
fn reflected_diffusion_is_solved_to_order_two_up_to_the_wall() {
    // V_t + (1/2) V_xx = 0 on [0, 1] with V_x = 0 at both ends: V = e^{-pi^2 tau/2} cos(pi x).
    let pi = std::f64::consts::PI;
    let problem = Problem { terminal: Arc::new(move |_, x| (pi * x[0]).cos()), ..uncontrolled(0.0, 1.0, 0.2) };
    let errors: Vec<f64> = [21, 41, 81]
        .iter()
        .map(|&n| {
            let params = HjbParams { steps: n, boundary: Face::Reflecting.into(), ..Default::default() };
            let (v, _) = HjbSolver::new(&problem, line(0.0, 1.0, n), params).unwrap().solve().unwrap();
            let exact = |j: usize| (-0.1 * pi * pi).exp() * (pi * j as f64 / (n - 1) as f64).cos();
            (0..n).map(|j| (v.value(0)[j] - exact(j)).abs()).fold(0.0, f64::max)
        })
        .collect();
    assert!(orders(&errors).iter().all(|o| (o - 2.0).abs() < 0.15) && errors[2] < 1e-3, "{errors:?}");
}

#[test]
fn a_bounded_reward_that_curves_upward_at_the_faces_is_no_blow_up() {
    // g'' = 4 at the faces would explode by tau = 0.35 if g went on like that, but the drift there points inward.
    let problem = Problem { terminal: Arc::new(|_, x| 4.0 * x[0].cos()), ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0) };
    let pi = std::f64::consts::PI;
    let (v, _) = HjbSolver::new(&problem, line(-pi, pi, 101), HjbParams::default()).unwrap().solve().unwrap();
    assert!(v.value(0).iter().all(|v| v.abs() <= 4.0));
}

#[test]
fn a_diagonal_field_equals_its_scaled_form_and_rectangular_gain_controls_the_first_axis_only() {
    let terminal: Scalar = Arc::new(|_, x| (x[0] + 0.5 * x[1]).cos() - 0.1 * x[1] * x[1]);
    let plain = Problem {
        terminal,
        gain: Matrix::Scaled(0.8),
        sigma: Matrix::Scaled(0.6),
        weight: Matrix::Scaled(1.7),
        ..Problem::ornstein_uhlenbeck(2, 0.5, 0.5)
    };
    let diagonal = |c: f64| Matrix::Field(Arc::new(move |_, _: &[f64], out: &mut [f64]| out.copy_from_slice(&[c, 0.0, 0.0, c])));
    let field = Problem { gain: diagonal(0.8), sigma: diagonal(0.6), weight: diagonal(1.7), ..plain.clone() };
    let params = HjbParams { steps: 10, ..Default::default() };
    let solve = |p: &Problem| HjbSolver::new(p, square(3.0, 17), params).unwrap().solve().unwrap().0;
    let (a, b) = (solve(&plain), solve(&field));
    assert!(a.value(0).iter().zip(b.value(0)).all(|(a, b)| (a - b).abs() < 1e-13));
    let first_only =
        Problem { control_dim: 1, gain: Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[0.8, 0.0]))), ..plain.clone() };
    let no_second =
        Problem { gain: Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[0.8, 0.0, 0.0, 0.0]))), ..plain.clone() };
    let (a, b) = (solve(&first_only), solve(&no_second));
    assert_eq!(a.value(0), b.value(0));
    assert!(b.control(0)[17 * 17..].iter().all(|v| *v == 0.0) && b.control(0)[..17 * 17].iter().any(|v| v.abs() > 0.1));
}

#[test]
fn storage_keeps_the_levels_asked_for_and_the_observer_sees_all() {
    let problem = mixture();
    let full = HjbParams { steps: 40, ..Default::default() };
    let some = HjbParams { storage: Storage::AtMost(5), ..full };
    let (a, _) = HjbSolver::new(&problem, line(-6.0, 6.0, 101), full).unwrap().solve().unwrap();
    let (b, _) = HjbSolver::new(&problem, line(-6.0, 6.0, 101), some).unwrap().solve().unwrap();
    assert_eq!((a.times().len(), b.times()), (41, &[0.0, 0.5, 1.0, 1.5, 2.0][..]));
    assert_eq!((b.value(1), b.control(3)), (a.value(10), a.control(30)));
    let mut seen = Vec::new();
    HjbSolver::new(&problem, line(-6.0, 6.0, 101), full)
        .unwrap()
        .solve_observed(&mut |view| {
            assert_eq!(view.value, a.value(view.step));
            assert_eq!(view.t, a.times()[view.step]);
            seen.push(view.step);
        })
        .unwrap();
    assert_eq!(seen, (0..=40).rev().collect::<Vec<_>>());
    // Interpolation in time: order 4, so far below the slice-to-slice change.
    let t = 0.525;
    let between = a.at_time(t).unwrap();
    let fine = HjbParams { steps: 80, ..full };
    let (c, _) = HjbSolver::new(&problem, line(-6.0, 6.0, 101), fine).unwrap().solve().unwrap();
    let error = (25..76).map(|j| (between.values()[j] - c.value(21)[j]).abs()).fold(0.0, f64::max);
    assert!(error < 2e-3, "{error}");
}

#[test]
fn growth_beyond_the_limit_and_overflow_are_blow_ups() {
    // dX = 3 X dt + dB, g = x: V = x e^{3 tau}, which passes 100 sup|g| at tau = ln(100)/3.
    let problem = Problem { terminal: Arc::new(|_, x| x[0]), ..uncontrolled(-3.0, 1.0, 3.0) };
    let params = HjbParams { steps: 600, growth_limit: 100.0, ..Default::default() };
    match HjbSolver::new(&problem, line(-2.0, 2.0, 41), params).unwrap().solve().err() {
        Some(HjbError::BlowUp { t, sup, limit }) => {
            assert!((t - (3.0 - 100.0f64.ln() / 3.0)).abs() < 0.01 && sup > limit && limit == 200.0);
        }
        other => panic!("{other:?}"),
    }
    let huge = Problem { terminal: Arc::new(|_, x| -1e200 * x[0] * x[0]), ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0) };
    assert!(matches!(error_of(&huge), HjbError::BlowUp { .. }), "{:?}", error_of(&huge));
}

fn error_of(problem: &Problem) -> HjbError {
    let grid = if problem.dim == 1 { line(-2.0, 2.0, 21) } else { square(2.0, 9) };
    let params = HjbParams { steps: 4, ..Default::default() };
    match HjbSolver::new(problem, grid, params).and_then(|s| s.solve()) {
        Ok(_) => panic!("no error"),
        Err(e) => e,
    }
}

#[test]
fn bad_coefficients_are_named_with_time_and_place() {
    let base = Problem::ornstein_uhlenbeck(1, 1.0, 1.0);
    let bad = |x: &[f64], t: f64| if x[0] > 1.05 && t < 0.6 { f64::NAN } else { 1.0 };
    type Case = (&'static str, Problem);
    let cases: [Case; 6] = [
        ("drift", Problem { drift: Arc::new(move |t, x, o| o[0] = bad(x, t)), ..base.clone() }),
        ("diffusion", Problem { sigma: Matrix::Field(Arc::new(move |t, x, o| o[0] = bad(x, t))), ..base.clone() }),
        ("control_matrix", Problem { gain: Matrix::Field(Arc::new(move |t, x, o| o[0] = bad(x, t))), ..base.clone() }),
        ("control_weight", Problem { weight: Matrix::Field(Arc::new(move |t, x, o| o[0] = bad(x, t))), ..base.clone() }),
        ("running_reward", Problem { running: Arc::new(move |t, x| bad(x, t)), ..base.clone() }),
        ("terminal_reward", Problem { terminal: Arc::new(move |_, x| 1.0 / bad(x, 0.0)), ..base.clone() }),
    ];
    for (name, problem) in cases {
        match error_of(&problem) {
            HjbError::NonFinite { coefficient, t, point, value } => {
                assert_eq!(coefficient, name);
                assert!((point[0] - 1.2).abs() < 1e-12 && value.is_nan());
                assert_eq!(t, if name == "terminal_reward" { 1.0 } else { 0.5 });
            }
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn full_matrices_are_taken_and_indefinite_ones_refused() {
    let base = Problem::ornstein_uhlenbeck(2, 1.0, 1.0);
    let matrix = |m: [f64; 4]| Matrix::Field(Arc::new(move |_, _: &[f64], out: &mut [f64]| out.copy_from_slice(&m)));
    for problem in [
        Problem { sigma: matrix([1.0, 0.2, 0.0, 1.0]), ..base.clone() },
        Problem { gain: matrix([1.0, 0.0, 0.1, 1.0]), ..base.clone() },
        Problem { weight: matrix([1.0, 0.3, 0.3, 1.0]), ..base.clone() },
    ] {
        assert!(HjbSolver::new(&problem, square(2.0, 9), HjbParams { steps: 2, ..Default::default() }).unwrap().solve().is_ok());
    }
    // A pair of axes that is correlated at some times only, none of which the solver asked about beforehand.
    let late = Matrix::Field(Arc::new(|t: f64, _: &[f64], out: &mut [f64]| {
        out.copy_from_slice(&[1.0, 0.0, if (0.4..0.45).contains(&t) { 0.2 } else { 0.0 }, 1.0])
    }));
    let params = HjbParams { steps: 50, ..Default::default() };
    let outcome = HjbSolver::new(&Problem { sigma: late, ..base.clone() }, square(2.0, 9), params).unwrap().solve();
    assert!(outcome.is_ok());
    // sigma a rotation: sigma sigma' = I is diagonal and allowed.
    let (c, s) = (0.6, 0.8);
    let rotated = Problem { sigma: matrix([c, -s, s, c]), ..base.clone() };
    assert!(HjbSolver::new(&rotated, square(2.0, 9), HjbParams { steps: 2, ..Default::default() }).unwrap().solve().is_ok());
    for r in [0.0, -1.0] {
        let weight = Matrix::Field(Arc::new(move |_, x: &[f64], out: &mut [f64]| {
            out.copy_from_slice(&[1.0, 0.0, 0.0, if x[0] > 1.9 { r } else { 1.0 }])
        }));
        match error_of(&Problem { weight, ..base.clone() }) {
            HjbError::ControlWeight { component: 1, value, t, point, node } => {
                assert_eq!((value, t, node), (r, 1.0, 72));
                assert_eq!(point, vec![2.0, -2.0]);
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn parameters_and_shapes_are_checked() {
    let problem = Problem::ornstein_uhlenbeck(1, 1.0, 1.0);
    let grid = line(-2.0, 2.0, 21);
    let d = HjbParams::default();
    for params in [
        HjbParams { steps: 0, ..d },
        HjbParams { howard_tolerance: 0.0, ..d },
        HjbParams { howard_tolerance: f64::NAN, ..d },
        HjbParams { howard_max_iterations: 0, ..d },
        HjbParams { growth_limit: 1.0, ..d },
        HjbParams { storage: Storage::AtMost(1), ..d },
    ] {
        assert!(matches!(HjbSolver::new(&problem, grid.clone(), params), Err(HjbError::Invalid { .. })), "{params:?}");
    }
    assert!(matches!(HjbSolver::new(&problem, square(1.0, 5), d), Err(HjbError::Shape { .. })));
    let no_time = Problem { horizon: 0.0, ..problem.clone() };
    assert!(matches!(HjbSolver::new(&no_time, grid.clone(), d), Err(HjbError::Invalid { .. })));
    let small = HjbParams { memory_limit: 10_000, ..d };
    let error = HjbSolver::new(&problem, grid.clone(), small).unwrap().solve().err();
    assert!(matches!(error, Some(HjbError::Memory { limit: 10_000, .. })));
    let params = PolicyIterationParams { hjb: small, ..Default::default() };
    let error = PolicyIteration::new(&problem, grid.clone(), params).unwrap().solve().err();
    assert!(matches!(error, Some(HjbError::Memory { .. })));
    let wrong = HjbParams { linear: LinearSolverChoice::Tridiagonal, steps: 1, ..d };
    let plane = Problem::ornstein_uhlenbeck(2, 1.0, 1.0);
    let error = HjbSolver::new(&plane, square(1.0, 5), wrong).unwrap().solve().err();
    assert!(matches!(error, Some(HjbError::Linear { .. })));
    for (lower, upper) in [(vec![1.0], vec![0.0]), (vec![f64::NAN], vec![0.0]), (vec![f64::INFINITY], vec![f64::INFINITY])] {
        let boxed = Problem { set: ControlSet::Box { lower, upper }, ..problem.clone() };
        assert!(matches!(error_of(&boxed), HjbError::Invalid { .. }));
    }
    let boxed = Problem { set: ControlSet::Box { lower: vec![], upper: vec![1.0] }, ..problem };
    assert!(matches!(error_of(&boxed), HjbError::Shape { .. }));
}

#[test]
fn too_few_iterations_are_reported_with_what_was_reached() {
    let problem = mixture();
    let params = HjbParams { steps: 10, howard_max_iterations: 1, ..Default::default() };
    match HjbSolver::new(&problem, line(-6.0, 6.0, 101), params).unwrap().solve().err() {
        Some(HjbError::NoConvergence { t: Some(t), iterations: 1, value_change, residual }) => {
            assert!(t < 2.0 && value_change > 0.0 && residual > 0.0 && residual < value_change);
        }
        other => panic!("{other:?}"),
    }
    let params = PolicyIterationParams { hjb: HjbParams { steps: 10, ..params }, tolerance: 1e-11, max_iterations: 2 };
    match PolicyIteration::new(&problem, line(-6.0, 6.0, 101), params).unwrap().solve().err() {
        Some(HjbError::NoConvergence { iterations, value_change, .. }) => assert!(iterations == 2 && value_change > 1e-9),
        other => panic!("{other:?}"),
    }
}

#[test]
fn coefficients_beyond_the_range_of_the_linear_systems_are_named() {
    let base = || Problem::ornstein_uhlenbeck(1, 0.3, 1.0);
    let fail = |problem: Problem| match HjbSolver::new(&problem, line(-1.0, 1.0, 21), HjbParams::default()).unwrap().solve().err()
    {
        Some(HjbError::TooLarge { coefficient, value, point, .. }) => (coefficient, value, point[0]),
        other => panic!("{other:?}"),
    };
    let drift = |scale: f64| Problem { drift: Arc::new(move |_, x, out| out[0] = scale * x[0]), ..base() };
    assert_eq!(fail(drift(1e200)), ("drift", -1e200, -1.0));
    assert_eq!(fail(Problem { sigma: Matrix::Scaled(-1e80), ..base() }).0, "diffusion");
    assert_eq!(fail(Problem { gain: Matrix::Scaled(1e70), ..base() }).0, "control_matrix");
    assert_eq!(fail(Problem { weight: Matrix::Scaled(1e-70), ..base() }), ("control_weight", 1e-70, -1.0));
    let full = |scale: f64| {
        let rows: Matrix = Matrix::Field(Arc::new(move |_, _, out: &mut [f64]| out.copy_from_slice(&[1.0, 0.1, 0.1, scale])));
        let problem = Problem { weight: rows, ..Problem::ornstein_uhlenbeck(2, 0.3, 1.0) };
        HjbSolver::new(&problem, square(1.0, 9), HjbParams::default()).unwrap().solve().err()
    };
    assert!(matches!(full(1e70), Some(HjbError::TooLarge { coefficient: "control_weight", .. })));
    let message =
        HjbSolver::new(&drift(1e200), line(-1.0, 1.0, 21), HjbParams::default()).unwrap().solve().err().unwrap().to_string();
    assert!(message.starts_with("drift is -1e200 at t = 1, x = [-1.0], larger than 1e60"), "{message}");
    // A drift that is only strong is solved.
    assert!(HjbSolver::new(&drift(-1e12), line(-1.0, 1.0, 21), HjbParams::default()).unwrap().solve().is_ok());
    // A horizon of which the steps vanish; its value is short enough to read.
    let short = Problem { horizon: 1e-320, ..base() };
    let message = HjbSolver::new(&short, line(-1.0, 1.0, 21), HjbParams::default()).err().unwrap().to_string();
    assert!(message.starts_with("horizon = 1e-320: positive, from 1e-30 to 1e30"), "{message}");
}

#[test]
fn the_watch_at_the_faces_survives_a_drift_whose_flow_overflows() {
    // A concave reward blows nothing up, however fast the drift leaves the box.
    let out = Problem {
        drift: Arc::new(|_, x, out| out[0] = 1e6 * x[0]),
        terminal: Arc::new(|_, x| -x[0] * x[0]),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let error = HjbSolver::new(&out, line(-1.0, 1.0, 21), HjbParams::default()).unwrap().solve().err();
    assert!(!matches!(error, Some(HjbError::IllPosed { .. })), "{error:?}");
}

#[test]
fn a_discount_beyond_what_the_linear_systems_bear_is_named() {
    for discount in [1e308, 1e61, -1.0, f64::NAN, f64::INFINITY] {
        let problem = Problem { discount, ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0) };
        let outcome = HjbSolver::new(&problem, line(-3.0, 3.0, 31), HjbParams::default()).unwrap().solve().map(|_| ());
        match outcome {
            Err(HjbError::Invalid { field, allowed, .. }) => assert!(field == "discount" && allowed.contains("1e60")),
            other => panic!("{discount}: {other:?}"),
        }
    }
}
