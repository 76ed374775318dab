//! What certificates claim against what is true: V and the control, at all times and at t = 0.
#![allow(missing_docs)]

mod common;

use common::{Problem, erf, line, mixture, square};
use hjbridge_hjb::smooth::Output;
use hjbridge_hjb::{
    HjbParams, HjbSolver, RichardsonCertificate, Route, RouteChoice, RouteInfo, RouteParams, RouteSolver, Storage, Time,
    ValueFunction, route,
};
use hjbridge_model::exact::{ClosedForm, closed_form};
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::{Region, TensorGrid};
use hjbridge_model::reward::Reward;
use hjbridge_model::{ControlSet, GaussianMixture, KlWeight, PointBlock, Schedule};
use std::sync::Arc;

fn params(grid: &TensorGrid, radius: f64, choice: RouteChoice, steps: usize) -> RouteParams {
    RouteParams {
        choice,
        region: Some(Region::cube(grid.dim(), radius).unwrap()),
        monotone: HjbParams { steps, ..Default::default() },
        output: Output::Levels(16),
        ..Default::default()
    }
}

/// Nodes in the cube and their coordinates.
fn inside(grid: &TensorGrid, radius: f64) -> (Vec<usize>, PointBlock) {
    let region = Region::cube(grid.dim(), radius).unwrap();
    let nodes: Vec<usize> = grid.region_nodes(Some(&region)).unwrap().collect();
    let all = grid.points();
    let rows: Vec<Vec<f64>> = nodes.iter().map(|&j| (0..grid.dim()).map(|a| all.coord(a)[j]).collect()).collect();
    (nodes, PointBlock::from_points(grid.dim(), &rows).unwrap())
}

/// True errors of V and v.
#[derive(Clone, Copy, Debug, Default)]
struct Truth {
    value: f64,
    control: f64,
    start_value: f64,
    start_control: f64,
}

/// Writes V and v at a time and points.
type Exact<'a> = dyn Fn(f64, &PointBlock, &mut [f64], &mut PointBlock) + 'a;

/// sup errors on the cube at the stored times before T; `exact` writes V and v.
fn truth(v: &ValueFunction, horizon: f64, radius: f64, exact: &Exact<'_>) -> Truth {
    let (nodes, points) = inside(v.grid(), radius);
    let (n, m) = (v.grid().len(), v.control_dim());
    let (mut value, mut control) = (vec![0.0; nodes.len()], PointBlock::zeros(m, nodes.len()));
    let mut found = Truth::default();
    for (k, &t) in v.times().iter().enumerate().filter(|(_, t)| **t < horizon * (1.0 - 1e-9)) {
        exact(t, &points, &mut value, &mut control);
        for (s, &j) in nodes.iter().enumerate() {
            found.value = found.value.max((value[s] - v.value(k)[j]).abs());
            for c in 0..m {
                found.control = found.control.max((control.coord(c)[s] - v.control(k)[c * n + j]).abs());
            }
        }
        if k == 0 {
            (found.start_value, found.start_control) = (found.value, found.control);
        }
    }
    found
}

/// v = U - s and V of the closed form.
fn tilted(problem: &FineTuning) -> impl Fn(f64, &PointBlock, &mut [f64], &mut PointBlock) {
    let exact: Box<dyn ClosedForm> = closed_form(problem).unwrap().unwrap();
    move |t, x, value, control| {
        let at = exact.at(t);
        at.value(x.as_points(), value);
        at.control(x.as_points(), control.as_mut());
        let mut score = PointBlock::zeros(x.dim(), x.len());
        problem.score().at(t).eval(x.as_points(), score.as_mut());
        control.data_mut().iter_mut().zip(score.data()).for_each(|(u, s)| *u -= s);
    }
}

fn estimate(info: &RouteInfo) -> &RichardsonCertificate {
    info.certificate.richardson.as_ref().unwrap()
}

#[track_caller]
fn honest(name: &str, truth: Truth, info: &RouteInfo) {
    let r = estimate(info);
    let start = r.at_start.as_ref().unwrap();
    println!(
        "{name} ({}): V true {:.1e} claimed {:.1e}, at 0 {:.1e} {:.1e}; v {:.1e} {:.1e}, at 0 {:.1e} {:.1e}; in time {:?} {:?}",
        info.route,
        truth.value,
        r.value_error,
        truth.start_value,
        start.value_error,
        truth.control,
        r.control_error,
        truth.start_control,
        start.control_error,
        r.time_error,
        r.control_time_error
    );
    let pairs = [
        (truth.value, r.value_error),
        (truth.control, r.control_error),
        (truth.start_value, start.value_error),
        (truth.start_control, start.control_error),
    ];
    for (k, (truth, claim)) in pairs.into_iter().enumerate() {
        assert!(truth <= 3.0 * claim, "{name}, claim {k}: {truth:e} {claim:e}");
    }
}

#[test]
fn claims_of_the_high_order_route_contain_the_time_integration_for_value_and_control() {
    let schedule = || Schedule::linear(2.0, 0.5, 3.0).unwrap();
    let varying = |t: f64| 0.4 + 0.2 * t * t + 0.3 * (3.0 * t).sin().powi(2);
    let varying = KlWeight::function(2.0, Arc::new(varying), "varying").unwrap();
    let gaussian = GaussianMixture::new(vec![1.0], vec![vec![0.7]], vec![vec![vec![0.5]]]).unwrap();
    let reward = Reward::quadratic(&[vec![1.3]], vec![0.9], 0.0).unwrap();
    for weight in [KlWeight::constant(0.6).unwrap(), varying] {
        let lq = FineTuning::new(schedule(), gaussian.clone(), reward.clone(), weight, InitialLaw::StandardNormal).unwrap();
        let grid = line(-7.0, 7.0, 401);
        let (v, info) = route::solve(&lq, grid.clone(), params(&grid, 3.0, RouteChoice::Auto, 400)).unwrap();
        assert_eq!(info.route, Route::HighOrder);
        honest("LQ 1-D", truth(&v, 2.0, 3.0, &tilted(&lq)), &info);
        // Space is resolved to nothing here: time is what is claimed.
        let r = estimate(&info);
        assert!(r.control_time_error.unwrap() > 0.5 * r.control_error && r.control_time_error.unwrap() < 1e-5, "{r:?}");
    }
    let problem = mixture();
    for nodes in [257, 801] {
        let grid = line(-6.0, 6.0, nodes);
        let (v, info) = route::solve(&problem, grid.clone(), params(&grid, 3.0, RouteChoice::Auto, nodes)).unwrap();
        assert_eq!(info.route, Route::HighOrder);
        honest("mixture", truth(&v, 2.0, 3.0, &tilted(&problem)), &info);
    }
    let angle = |k: usize| k as f64 * std::f64::consts::FRAC_PI_4;
    let means = (0..8).map(|k| vec![2.0 * angle(k).cos(), 2.0 * angle(k).sin()]).collect();
    let prior = GaussianMixture::new(vec![0.125; 8], means, vec![vec![vec![0.16, 0.0], vec![0.0, 0.16]]; 8]).unwrap();
    let reward = Reward::quadratic(&[vec![0.5, 0.0], vec![0.0, 0.2]], vec![1.0, 0.5], 0.0).unwrap();
    let ring = FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.8).unwrap(), InitialLaw::NoisedPrior).unwrap();
    let grid = square(5.5, 65);
    let (v, info) = route::solve(&ring, grid.clone(), params(&grid, 3.0, RouteChoice::Auto, 64)).unwrap();
    honest("ring", truth(&v, 2.0, 3.0, &tilted(&ring)), &info);
    // dX = v dt + dB, g = -|x|^2/2: V = -|x|^2/(2q) - log q, v = -x/q, q = 2 - t.
    let lq =
        Problem { terminal: Arc::new(|_, x| -0.5 * (x[0] * x[0] + x[1] * x[1])), ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0) };
    // On |x| < 3 the faces would cost 5e-4 at t = 0, which all grids share and no certificate sees.
    let grid = square(4.5, 73);
    for choice in [RouteChoice::Auto, RouteChoice::Monotone] {
        let (v, info) = route::solve(&lq, grid.clone(), params(&grid, 1.5, choice, 64)).unwrap();
        let exact = |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
            let q = 2.0 - t;
            for (j, value) in value.iter_mut().enumerate() {
                *value = -0.5 * (x.coord(0)[j].powi(2) + x.coord(1)[j].powi(2)) / q - q.ln();
                (0..2).for_each(|a| control.as_mut().coord_mut(a)[j] = -x.coord(a)[j] / q);
            }
        };
        honest("LQ 2-D", truth(&v, 1.0, 1.5, &exact), &info);
    }
}

#[test]
fn a_switch_of_the_control_is_claimed_as_a_jump_and_in_the_mean() {
    // Bring X to 0.013 with a push of at most one at no cost: v = -sign(x - 0.013). No node is at the switch.
    let base = Problem {
        terminal: Arc::new(|_, x| -(x[0] - 0.013).powi(2)),
        cost: Some(Arc::new(|_, _, _| 0.0)),
        set: ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] },
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let list = ControlSet::Finite { controls: vec![vec![-1.0], vec![1.0]] };
    for (name, problem) in [("box", base.clone()), ("list", Problem { set: list, ..base })] {
        let mut means = Vec::new();
        for nodes in [129, 257] {
            let grid = line(-4.0, 4.0, nodes);
            let (v, info) = route::solve(&problem, grid.clone(), params(&grid, 2.0, RouteChoice::Auto, 64)).unwrap();
            let (inner, points) = inside(&grid, 2.0);
            // L1 error per volume of the control between the nodes, linear there, at 100 points per cell.
            let wrong = |k: usize| -> f64 {
                let exact = |x: f64| if x > 0.013 { -1.0 } else { 1.0 };
                let cell = |s: usize| -> f64 {
                    let (x, u) = (&points.coord(0)[s..s + 2], &v.control(k)[inner[s]..]);
                    let at = |w: f64| ((1.0 - w) * u[0] + w * u[1] - exact((1.0 - w) * x[0] + w * x[1])).abs();
                    (0..100).map(|q| at((f64::from(q) + 0.5) / 100.0)).sum::<f64>() / 100.0
                };
                (0..inner.len() - 1).map(cell).sum::<f64>() / (inner.len() - 1) as f64
            };
            let count = v.times().len() - 1;
            let mean = (0..count).map(wrong).sum::<f64>() / count as f64;
            let r = estimate(&info);
            println!("{name} {nodes}: true mean {mean:.2e} {r:?}");
            assert!(r.control_error == 2.0 && r.control_jump == Some(2.0), "{r:?}");
            assert!((0.5..2.0).contains(&(r.control_mean_error / mean)), "{mean:e} {r:?}");
            assert_eq!(r.at_start.as_ref().unwrap().control_error, 2.0);
            let notes = &info.certificate.notes;
            assert!(notes.iter().any(|n| n.starts_with("the control jumps by 2.000") && n.contains("[0.0")), "{notes:?}");
            means.push(r.control_mean_error);
        }
        // Half a cell of uncertainty: of first order.
        assert!((means[0] / means[1] - 2.0).abs() < 1.0, "{means:?}");
    }
    // A control that follows its bounds without jumping is not one of these.
    let smooth = Problem {
        terminal: Arc::new(|_, x| -x[0] * x[0]),
        set: ControlSet::Box { lower: vec![-0.4], upper: vec![0.4] },
        ..Problem::ornstein_uhlenbeck(1, 0.3, 1.0)
    };
    let grid = line(-4.0, 4.0, 129);
    let (_, info) = route::solve(&smooth, grid.clone(), params(&grid, 2.0, RouteChoice::Auto, 64)).unwrap();
    assert!(estimate(&info).control_jump.is_none() && estimate(&info).control_error < 0.1, "{:?}", info.certificate);
}

#[test]
fn a_kink_of_the_payoff_spoils_the_last_moments_and_not_the_start() {
    // American put on the logarithm of price over strike, strike 1.
    let (rate, s) = (0.06, 0.2);
    let put = |x: f64| (1.0 - x.exp()).max(0.0);
    let problem = Problem {
        drift: Arc::new(move |_, _, out| out[0] = rate - 0.5 * s * s),
        gain: common::Matrix::Scaled(0.0),
        sigma: common::Matrix::Scaled(s),
        terminal: Arc::new(move |_, x| put(x[0])),
        discount: rate,
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let obstacle = move |_: f64, x: &[f64]| put(x[0]);
    let steps = |steps| HjbParams { steps, time: Time::TrBdf2, ..Default::default() };
    let fine =
        HjbSolver::new(&problem, line(-1.5, 1.5, 4801), HjbParams { storage: Storage::AtMost(17), ..steps(1024) }).unwrap();
    let (fine, _) = fine.with_obstacle(&obstacle).solve().unwrap();
    let grid = line(-1.5, 1.5, 301);
    let chosen = RouteParams { monotone: steps(128), ..params(&grid, 0.5, RouteChoice::Auto, 128) };
    let (v, info) = RouteSolver::new(&problem, grid, chosen).unwrap().with_obstacle(&obstacle).solve().unwrap();
    let reference = |t: f64, x: &PointBlock, value: &mut [f64], _: &mut PointBlock| {
        let k = fine.times().iter().position(|s| (s - t).abs() < 1e-9).unwrap();
        for (value, x) in value.iter_mut().zip(x.coord(0)) {
            *value = fine.value(k)[((x + 1.5) * 1600.0).round() as usize];
        }
    };
    let truth = truth(&v, 1.0, 0.5, &reference);
    honest("put", truth, &info);
    let (r, start) = (estimate(&info), estimate(&info).at_start.as_ref().unwrap());
    println!("{r:?} {:?}", info.certificate.notes);
    assert!(start.converging && start.value_error < 0.5 * r.value_error, "{r:?}");
    assert!((0.3..5.0).contains(&(start.value_error / truth.start_value)), "{truth:?} {start:?}");
}

#[test]
fn a_cole_hopf_route_that_is_asked_for_is_compared_with_the_monotone_one() {
    let problem = mixture();
    let grid = line(-6.0, 6.0, 257);
    let (_, info) = route::solve(&problem, grid.clone(), params(&grid, 3.0, RouteChoice::ColeHopf, 256)).unwrap();
    let noted = |info: &RouteInfo, text: &str| info.certificate.notes.iter().any(|n| n.contains(text));
    assert!(noted(&info, "within what the estimated errors") && !noted(&info, "prefer the monotone"), "{:?}", info.certificate);
    // V ranges over some 2/s^2 temperatures: fronts that the linear equation does not see on this grid.
    let half = 8.0 * std::f64::consts::PI / 3.0;
    for s in [0.05, 0.15, 0.6] {
        let problem = Problem {
            sigma: common::Matrix::Scaled(s),
            terminal: Arc::new(|_, x| (3.0 * x[0]).cos()),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
        };
        let fine = HjbParams { steps: 512, storage: Storage::AtMost(17), ..Default::default() };
        let fine = HjbSolver::new(&problem, line(-half, half, 4097), fine).unwrap().solve().unwrap().0;
        let reference = |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
            let k = fine.times().iter().position(|s| (s - t).abs() < 1e-9).unwrap();
            for (q, x) in x.coord(0).iter().enumerate() {
                let j = ((x + half) * 2048.0 / half).round() as usize;
                value[q] = fine.value(k)[j];
                control.as_mut().coord_mut(0)[q] = fine.control(k)[j];
            }
        };
        let grid = line(-half, half, 257);
        let (v, info) = route::solve(&problem, grid.clone(), params(&grid, 2.0, RouteChoice::ColeHopf, 128)).unwrap();
        let truth = truth(&v, 1.0, 2.0, &reference);
        let r = estimate(&info);
        println!("{s}: {truth:?} {:.1e} {:.1e} {:?}", r.value_error, r.control_error, info.certificate.notes);
        assert!(noted(&info, "on the half grid the Cole-Hopf solution is"));
        assert!(truth.value <= 3.0 * r.value_error, "{s}: {truth:?} {r:?}");
    }
}

/// Integrate P' = -(A'P + P A) + P B B'P - Q back from P(T) = I for dX = A X dt + B u dt + s e_2 dB, A = [[0,1],[0,0]],
/// B = e_2, Q = I: P at t and the integral of s^2 P_22/2 from t to T, by Runge-Kutta with 2000 steps on [t, T].
fn double_integrator(t: f64, horizon: f64, s: f64) -> [f64; 4] {
    let slope = |p: &[f64; 4]| -> [f64; 4] {
        let [a, b, c, _] = *p;
        // In time to go: Q + A'P + P A - P B B'P, for P = [[a, b], [b, c]].
        [1.0 - b * b, a - b * c, 1.0 + 2.0 * b - c * c, 0.5 * s * s * c]
    };
    let n = 2000;
    let h = (horizon - t) / f64::from(n);
    let mut p = [1.0, 0.0, 1.0, 0.0];
    for _ in 0..n {
        let step = |k: &[f64; 4], w: f64| -> [f64; 4] { std::array::from_fn(|i| p[i] + w * h * k[i]) };
        let k1 = slope(&p);
        let k2 = slope(&step(&k1, 0.5));
        let k3 = slope(&step(&k2, 0.5));
        let k4 = slope(&step(&k3, 1.0));
        p = std::array::from_fn(|i| p[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]));
    }
    p
}

#[test]
fn a_double_integrator_goes_by_high_order_with_little_noise_or_none() {
    // Minimise E[ |X_T|^2/2 + int |X|^2/2 + u^2/2 ], noise on the velocity alone: upwind differences are of order 1 here.
    for s in [0.0, 0.05, 0.3] {
        let problem = Problem {
            control_dim: 1,
            drift: Arc::new(|_, x, out| (out[0], out[1]) = (x[1], 0.0)),
            gain: common::Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[0.0, 1.0]))),
            sigma: common::Matrix::Field(Arc::new(move |_, _, out| out.copy_from_slice(&[0.0, 0.0, 0.0, s]))),
            running: Arc::new(|_, x| 0.5 * (x[0] * x[0] + x[1] * x[1])),
            terminal: Arc::new(|_, x| 0.5 * (x[0] * x[0] + x[1] * x[1])),
            ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
        };
        let exact = move |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
            let [a, b, c, k] = double_integrator(t, 1.0, s);
            for (j, value) in value.iter_mut().enumerate() {
                let (x, y) = (x.coord(0)[j], x.coord(1)[j]);
                *value = 0.5 * (a * x * x + 2.0 * b * x * y + c * y * y) + k;
                control.as_mut().coord_mut(0)[j] = -(b * x + c * y);
            }
        };
        for nodes in [41, 65] {
            let grid = square(4.0, nodes);
            let choices = [RouteChoice::Auto, RouteChoice::Monotone];
            // The monotone route is slow on the finer grid: once is enough.
            for choice in choices.into_iter().filter(|c| *c == RouteChoice::Auto || nodes == 41 || s == 0.3) {
                let mut p = params(&grid, 1.5, choice, 64);
                p.monotone.sense = hjbridge_hjb::Sense::Minimise;
                let (v, info) = route::solve(&problem, grid.clone(), p).unwrap();
                println!("{s} {nodes} {}: {}", info.route, info.reason);
                let truth = truth(&v, 1.0, 1.5, &exact);
                honest("double integrator", truth, &info);
                if choice == RouteChoice::Auto {
                    assert!(info.route == Route::HighOrder && truth.value < 1e-4, "{} {truth:?}", info.reason);
                }
            }
        }
    }
}

#[test]
fn what_is_singular_at_the_end_is_claimed_there() {
    let many = |p: RouteParams| RouteParams { output: Output::Levels(128), ..p };
    let normal = |z: f64| 0.5 * (1.0 + erf(z / std::f64::consts::SQRT_2));
    // dX = v dt + dB, g = -x^2/(2 e): V = -x^2/(2 q) - log(q/e)/2, v = -x/q, q = e + 1 - t.
    for e in [0.1, 0.02, 0.005] {
        let problem =
            Problem { terminal: Arc::new(move |_, x| -0.5 * x[0] * x[0] / e), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
        let exact = move |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
            let q = e + 1.0 - t;
            for (j, x) in x.coord(0).iter().enumerate() {
                value[j] = -0.5 * x * x / q - 0.5 * (q / e).ln();
                control.as_mut().coord_mut(0)[j] = -x / q;
            }
        };
        let grid = line(-4.0, 4.0, 257);
        for choice in [RouteChoice::Auto, RouteChoice::Monotone, RouteChoice::ColeHopf] {
            let (v, info) = route::solve(&problem, grid.clone(), many(params(&grid, 2.0, choice, 128))).unwrap();
            honest(&format!("steep parabola {e}"), truth(&v, 1.0, 2.0, &exact), &info);
        }
    }
    // A kink: dX = s dB, V(T) = |x|; and with a control, dX = v dt + dB, V(T) = -|x|.
    for (s, time) in [(0.1, Time::CrankNicolson), (1.0, Time::CrankNicolson), (1.0, Time::TrBdf2)] {
        let problem = Problem {
            gain: common::Matrix::Scaled(0.0),
            sigma: common::Matrix::Scaled(s),
            terminal: Arc::new(|_, x| x[0].abs()),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
        };
        let exact = move |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
            let d = s * (1.0 - t).sqrt();
            for (j, x) in x.coord(0).iter().enumerate() {
                let z = x / d;
                value[j] = x * (2.0 * normal(z) - 1.0) + 2.0 * d * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
                control.as_mut().coord_mut(0)[j] = 0.0;
            }
        };
        let grid = line(-6.0, 6.0, 257);
        let mut p = many(params(&grid, 2.0, RouteChoice::Auto, 128));
        p.monotone.time = time;
        let (v, info) = route::solve(&problem, grid, p).unwrap();
        let t = truth(&v, 1.0, 2.0, &exact);
        honest(&format!("kink {s}"), t, &info);
        println!("{:?}", info.certificate.notes);
    }
    let problem = Problem { terminal: Arc::new(|_, x| -x[0].abs()), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    // exp V is the expectation of exp(-|x + d Z|), d^2 = 1 - t.
    let exact = move |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
        let d = (1.0 - t).sqrt();
        for (j, x) in x.coord(0).iter().enumerate() {
            let (up, down) = ((0.5 * d * d - x).exp() * normal(x / d - d), (0.5 * d * d + x).exp() * normal(-x / d - d));
            value[j] = (up + down).ln();
            control.as_mut().coord_mut(0)[j] = (down - up) / (down + up);
        }
    };
    let grid = line(-6.0, 6.0, 257);
    for choice in [RouteChoice::Auto, RouteChoice::Monotone, RouteChoice::ColeHopf] {
        let (v, info) = route::solve(&problem, grid.clone(), many(params(&grid, 2.0, choice, 128))).unwrap();
        honest("controlled kink", truth(&v, 1.0, 2.0, &exact), &info);
        println!("{:?}", info.certificate.notes);
    }
    // A front that the grid resolves or not, against a fine solution.
    for w in [0.3, 0.1, 0.03] {
        let problem = Problem {
            sigma: common::Matrix::Scaled(0.3),
            terminal: Arc::new(move |_, x| (x[0] / w).tanh()),
            ..Problem::ornstein_uhlenbeck(1, 0.5, 1.0)
        };
        let fine = HjbParams { steps: 2048, storage: Storage::AtMost(129), ..Default::default() };
        let fine = HjbSolver::new(&problem, line(-4.0, 4.0, 2049), fine).unwrap().solve().unwrap().0;
        let reference = |t: f64, x: &PointBlock, value: &mut [f64], control: &mut PointBlock| {
            let k = fine.times().iter().position(|s| (s - t).abs() < 1e-9).unwrap();
            for (q, x) in x.coord(0).iter().enumerate() {
                let j = ((x + 4.0) * 256.0).round() as usize;
                value[q] = fine.value(k)[j];
                control.as_mut().coord_mut(0)[q] = fine.control(k)[j];
            }
        };
        let grid = line(-4.0, 4.0, 257);
        for choice in [RouteChoice::Auto, RouteChoice::HighOrder] {
            let (v, info) = route::solve(&problem, grid.clone(), many(params(&grid, 2.0, choice, 128))).unwrap();
            println!("{}", info.reason);
            honest(&format!("front {w}"), truth(&v, 1.0, 2.0, &reference), &info);
        }
    }
}
