//! Claims about what all grids share: the size of the box, and what happens in time between the levels of all of them.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, erf, line, square};
use hjbridge_hjb::smooth::Output;
use hjbridge_hjb::{
    CertificateParams, Certifier, Face, Faces, HjbError, HjbParams, HjbSolver, RichardsonCertificate, Route, RouteChoice,
    RouteInfo, RouteParams, Sense, SmoothParams, SmoothSolver, ValueFunction, route,
};
use hjbridge_model::ControlSet;
use hjbridge_model::grid::{Region, TensorGrid};
use std::sync::Arc;

fn solve(
    problem: &Problem,
    grid: &Arc<TensorGrid>,
    radius: f64,
    choice: RouteChoice,
    monotone: HjbParams,
) -> (ValueFunction, RouteInfo) {
    let region = Some(Region::cube(grid.dim(), radius).unwrap());
    let params = RouteParams { choice, region, monotone, output: Output::Levels(16), ..Default::default() };
    route::solve(problem, grid.clone(), params).unwrap()
}

fn estimate(info: &RouteInfo) -> &RichardsonCertificate {
    info.certificate.richardson.as_ref().unwrap()
}

/// sup |V - exact| at the nodes of the cube and the stored times before T = 1.
fn error(v: &ValueFunction, radius: f64, exact: &dyn Fn(f64, &[f64]) -> f64) -> f64 {
    let nodes: Vec<usize> = v.grid().region_nodes(Some(&Region::cube(v.grid().dim(), radius).unwrap())).unwrap().collect();
    let (mut p, mut worst) = (vec![0.0; v.grid().dim()], 0.0f64);
    for (k, &t) in v.times().iter().enumerate().filter(|(_, t)| **t < 1.0) {
        for &j in &nodes {
            v.grid().node(j, &mut p);
            worst = worst.max((v.value(k)[j] - exact(t, &p)).abs());
        }
    }
    worst
}

/// sup of the differences of V and v to those in a larger box with the same spacing, on the cube and the stored times before T.
fn between(small: &ValueFunction, large: &ValueFunction, radius: f64) -> (f64, f64) {
    let (x, y) = (small.grid().axis(0).nodes(), large.grid().axis(0).nodes());
    let shift = (y.len() - x.len()) / 2;
    let (mut value, mut control) = (0.0f64, 0.0f64);
    for k in 0..small.times().len() - 1 {
        for (j, x) in x.iter().enumerate().filter(|(_, x)| x.abs() <= radius + 1e-9) {
            assert!((y[j + shift] - x).abs() < 1e-9);
            value = value.max((small.value(k)[j] - large.value(k)[j + shift]).abs());
            control = control.max((small.control(k)[j] - large.control(k)[j + shift]).abs());
        }
    }
    (value, control)
}

#[test]
fn a_box_that_the_drift_leaves_is_claimed_and_named() {
    // Minimise E int 0.2 X^2 + 2 u^2 for dX = (1.5 X + u) dt + dB up to 2.
    let quadratic = Problem {
        drift: Arc::new(|_, x, out| out[0] = 1.5 * x[0]),
        weight: Matrix::Scaled(4.0),
        running: Arc::new(|_, x| 0.2 * x[0] * x[0]),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 2.0)
    };
    // Minimise E[ 0.05 int u^2 - X_T^2 ] for dX = (X + u) dt + dB, u in {-1, 0, 1}, up to 1.
    let switching = Problem {
        drift: Arc::new(|_, x, out| out[0] = x[0]),
        weight: Matrix::Scaled(0.1),
        terminal: Arc::new(|_, x| -x[0] * x[0]),
        set: ControlSet::Finite { controls: vec![vec![-1.0], vec![0.0], vec![1.0]] },
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let cost = |steps| HjbParams { steps, sense: Sense::Minimise, ..Default::default() };
    for (name, problem, radius, boxes, density) in
        [("quadratic", &quadratic, 1.5, [3.0, 6.0, 12.0], 50.0), ("switching", &switching, 2.0, [4.0, 8.0, 16.0], 25.0)]
    {
        let solved = boxes.map(|half| {
            let grid = line(-half, half, (2.0 * half * density) as usize + 1);
            solve(problem, &grid, radius, RouteChoice::Monotone, cost(256))
        });
        for pair in solved.windows(2) {
            let ((v, info), r) = (&pair[0], estimate(&pair[0].1));
            let (value, control) = between(v, &pair[1].0, radius);
            println!("{name}: {value:.3e} {:.3e}, v {control:.3e} {:.3e}", r.value_error, r.control_error);
            println!("  {:?}", info.certificate.notes);
            assert!(value <= 3.0 * r.value_error && control <= 3.0 * r.control_error, "{name} {value:e} {control:e} {r:?}");
            // Not absurd either.
            assert!(r.value_error <= 5.0 * value + 0.01, "{name} {value:e} {r:?}");
            assert!(r.box_error.unwrap() > 0.5 * r.value_error && r.control_box_error.is_some(), "{r:?}");
            let notes = info.certificate.notes.join("; ");
            assert!(!info.certificate.reliable && notes.contains("not reliable: the optimally controlled drift leaves the box"));
            assert!(notes.contains("the lower face of axis 0") && notes.contains("the upper face of axis 0"), "{notes}");
        }
    }
    // The high-order route continues the equation at the faces; it is exact here, and says so.
    let grid = line(-3.0, 3.0, 301);
    let (v, info) = solve(&quadratic, &grid, 1.5, RouteChoice::Auto, cost(256));
    let (w, _) = solve(&quadratic, &line(-6.0, 6.0, 601), 1.5, RouteChoice::Auto, cost(256));
    let (value, r) = (between(&v, &w, 1.5).0, estimate(&info));
    println!("{} {value:e} {r:?} {:?}", info.reason, info.certificate.notes);
    assert!(info.route == Route::HighOrder && info.certificate.reliable, "{} {:?}", info.reason, info.certificate.notes);
    assert!(value <= 3.0 * r.value_error && r.value_error < 1e-5, "{value:e} {r:?}");
}

#[test]
fn the_certifier_sees_the_box_when_it_knows_the_faces() {
    // No control, V = E X_T^2 = (x^2 + 1/2) exp(2 s) - 1/2, s = 1 - t, for dX = X dt + dB.
    let problem = Problem {
        drift: Arc::new(|_, x, out| out[0] = x[0]),
        gain: Matrix::Scaled(0.0),
        terminal: Arc::new(|_, x| x[0] * x[0]),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let exact = |t: f64, x: &[f64]| (x[0] * x[0] + 0.5) * (2.0 * (1.0 - t)).exp() - 0.5;
    let base = HjbParams { steps: 128, ..Default::default() };
    let solve = |model: &Problem, grid: Arc<TensorGrid>, halvings: u32, boundary: Faces| {
        HjbSolver::new(model, grid, HjbParams { steps: 128 >> halvings, boundary, ..base }).and_then(|s| Ok(s.solve()?.0))
    };
    let certify = |model: &Problem, boundary: Faces, known: bool| {
        let v = solve(model, line(-3.0, 3.0, 193), 0, boundary).unwrap();
        let params = CertificateParams {
            region: Some(Region::cube(1, 1.5).unwrap()),
            boundary: known.then_some(boundary),
            stepping: Some((base.time, 128)),
            ..Default::default()
        };
        let rerun = &mut |grid, halvings| solve(model, grid, halvings, boundary);
        (error(&v, 1.5, &exact), Certifier::new(model, params).unwrap().finite_horizon(&v, rerun).unwrap())
    };
    let (truth, blind) = certify(&problem, Faces::default(), false);
    let (_, c) = certify(&problem, Faces::default(), true);
    let r = c.richardson.unwrap();
    println!("{truth:e} {:e} {r:?} {:?}", blind.richardson.as_ref().unwrap().value_error, c.notes);
    assert!(truth > 10.0 * blind.richardson.unwrap().value_error && blind.reliable);
    assert!(truth <= 3.0 * r.value_error && r.value_error <= 5.0 * truth && !c.reliable, "{truth:e} {r:?}");
    // Reflection is part of the problem.
    let (_, c) = certify(&problem, Faces::all(Face::Reflecting), true);
    assert!(c.richardson.unwrap().box_error.is_none() && c.reliable);
    // A model that is not defined beyond the box: the faces are named all the same.
    let fenced = Problem { running: Arc::new(|_, x| if x[0] > 3.0 + 1e-9 { f64::NAN } else { 0.0 }), ..problem.clone() };
    let (_, c) = certify(&fenced, Faces::default(), true);
    let notes = c.notes.join("; ");
    assert!(!c.reliable && notes.contains("beyond the upper face of axis 0 there is no solution"), "{notes}");
    assert!(!notes.contains("beyond the lower") && c.richardson.unwrap().box_error.unwrap() > 0.1 * truth);
    // A drift that brings back: nothing to pay and nothing to say.
    let inward = Problem { drift: Arc::new(|_, x, out| out[0] = -3.0 * x[0]), ..problem };
    let (_, c) = certify(&inward, Faces::default(), true);
    assert!(c.richardson.unwrap().box_error.is_none() && c.reliable && c.notes.is_empty(), "{:?}", c.notes);
}

const START: f64 = 0.31;

/// Length of the part of [START, START + width] after t.
fn left(t: f64, width: f64) -> f64 {
    (START + width - t).clamp(0.0, width)
}

fn on(t: f64, width: f64) -> bool {
    t > START && t < START + width
}

/// Check truth against claim for each route; high order and the rest to these errors.
#[track_caller]
fn honest(name: &str, problem: &Problem, exact: &dyn Fn(f64, &[f64]) -> f64, high: f64, low: f64) {
    let (grid, radius) = if problem.dim == 1 { (line(-6.0, 6.0, 129), 2.0) } else { (square(4.0, 65), 1.0) };
    let steps = HjbParams { steps: 64, ..Default::default() };
    for choice in [RouteChoice::Auto, RouteChoice::HighOrder, RouteChoice::Monotone] {
        let (v, info) = solve(problem, &grid, radius, choice, steps);
        let (truth, r) = (error(&v, radius, exact), estimate(&info));
        println!(
            "{name} {choice:?} ({}): true {truth:.2e} claimed {:.2e}, box {:?}, unresolved {:?}, {:?}",
            info.route, r.value_error, r.box_error, r.unresolved_error, info.certificate.notes
        );
        // The mean of a short bump over a step is found to some 1e-8, which the claim leaves out.
        assert!(truth <= 3.0 * r.value_error + 3e-8, "{name} {choice:?} ({}): {truth:e} {r:?}", info.route);
        let allowed = if info.route == Route::HighOrder { high } else { low };
        assert!(truth <= allowed, "{name} {choice:?} ({}): {truth:e}", info.route);
    }
}

#[test]
fn a_pulse_of_the_running_reward_is_integrated_by_every_route() {
    for width in [0.02, 0.005] {
        for dim in [1, 2] {
            // Uniform in space, with a free control and V(T) = x_0: v = 1.
            let uniform = Problem {
                running: Arc::new(move |t, _| if on(t, width) { 10.0 } else { 0.0 }),
                terminal: Arc::new(|_, x| x[0]),
                ..Problem::ornstein_uhlenbeck(dim, 0.0, 1.0)
            };
            let exact = move |t: f64, x: &[f64]| x[0] + 0.5 * (1.0 - t) + 10.0 * left(t, width);
            honest(&format!("pulse {width} in {dim}-D"), &uniform, &exact, 1e-8, 1e-11);
        }
        // 10 x^2 while it is on, dX = dB: V = int 10 (x^2 + s - t) ds.
        let quadratic = Problem {
            gain: Matrix::Scaled(0.0),
            running: Arc::new(move |t, x| if on(t, width) { 10.0 * x[0] * x[0] } else { 0.0 }),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
        };
        let exact = move |t: f64, x: &[f64]| {
            let (from, length) = (t.max(START), left(t, width));
            10.0 * (x[0] * x[0] * length + (from + 0.5 * length - t) * length)
        };
        honest(&format!("quadratic pulse {width}"), &quadratic, &exact, 1e-5, 5e-3);
    }
    // Smooth but short: a Gaussian bump of the reward.
    for width in [0.01, 0.002] {
        let bump = Problem {
            running: Arc::new(move |t, _| 10.0 * (-0.5 * ((t - START) / width).powi(2)).exp()),
            ..Problem::ornstein_uhlenbeck(1, 0.5, 1.0)
        };
        let area = 10.0 * width * (0.5 * std::f64::consts::PI).sqrt();
        let exact = move |t: f64, _: &[f64]| area * (1.0 - erf((t - START) / (width * std::f64::consts::SQRT_2)));
        honest(&format!("bump {width}"), &bump, &exact, 1e-4, 1e-6);
    }
}

#[test]
fn pulses_of_the_drift_and_of_the_noise_are_followed_or_claimed() {
    for width in [0.02, 0.005] {
        // dX = 20 1_on dt + dB, V(T) = x^2: (x + 20 left)^2 + 1 - t.
        let kick = Problem {
            drift: Arc::new(move |t, _, out| out[0] = if on(t, width) { 20.0 } else { 0.0 }),
            gain: Matrix::Scaled(0.0),
            terminal: Arc::new(|_, x| x[0] * x[0]),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
        };
        let exact = move |t: f64, x: &[f64]| (x[0] + 20.0 * left(t, width)).powi(2) + 1.0 - t;
        honest(&format!("kick {width}"), &kick, &exact, 1e-4, 3.0);
        // sigma = 5 while it is on, else 1.
        let shake = Problem {
            sigma: Matrix::Field(Arc::new(move |t, _, out| out[0] = if on(t, width) { 5.0 } else { 1.0 })),
            gain: Matrix::Scaled(0.0),
            terminal: Arc::new(|_, x| x[0] * x[0]),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
        };
        let exact = move |t: f64, x: &[f64]| x[0] * x[0] + 1.0 - t + 24.0 * left(t, width);
        honest(&format!("shake {width}"), &shake, &exact, 1e-4, 3.0);
    }
}

#[test]
fn a_pulse_is_not_missed_by_a_solver_on_its_own_and_many_jumps_are_refused_with_the_reason() {
    let pulse =
        Problem { running: Arc::new(|t, _| if on(t, 0.005) { 10.0 } else { 0.0 }), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let grid = line(-2.0, 2.0, 33);
    for integrator in [hjbridge_hjb::smooth::Integrator::Rkc, hjbridge_hjb::smooth::Integrator::Bdf] {
        // Output at the ends of the pulse, inside it and nowhere else; and only above it.
        for times in [vec![0.2, 0.31, 0.3125, 0.315, 0.4], vec![0.4, 0.9], vec![0.0]] {
            let p = SmoothParams { integrator, output: Output::Times(times.clone()), ..Default::default() };
            let (v, info) = SmoothSolver::new(&pulse, grid.clone(), p).unwrap().solve().unwrap();
            assert_eq!(v.times(), times);
            for (k, t) in times.iter().enumerate() {
                let worst = v.value(k).iter().fold(0.0f64, |m, v| m.max((v - 10.0 * left(*t, 0.005)).abs()));
                assert!(worst < 1e-10, "{integrator:?} {t}: {worst:e} {info:?}");
            }
        }
    }
    let square_wave =
        Problem { running: Arc::new(|t, _| (100.0 * t + 0.3).floor() % 2.0), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let high = RouteParams { choice: RouteChoice::HighOrder, ..Default::default() };
    let e = route::solve(&square_wave, grid.clone(), high).unwrap_err();
    assert!(
        matches!(&e, HjbError::Unsupported { .. }) && e.to_string().contains("the running reward jumps 100 times in time"),
        "{e}"
    );
    let (v, info) = solve(&square_wave, &grid, 1.0, RouteChoice::Auto, HjbParams { steps: 64, ..Default::default() });
    assert!(info.route == Route::Monotone && info.reason.contains("jumps 100 times"), "{}", info.reason);
    // It is 1 on ((k - 0.3)/100, (k + 0.7)/100) for odd k.
    let exact = |t: f64, _: &[f64]| {
        (1..100).step_by(2).fold(0.0, |s, k| s + (f64::from(k) + 0.7 - (f64::from(k) - 0.3).max(100.0 * t)).max(0.0) / 100.0)
    };
    let truth = error(&v, 1.0, &exact);
    assert!(truth < 1e-12, "{truth:e}");
}
