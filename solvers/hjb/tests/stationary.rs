//! Discount, infinite horizon, and the sense of optimisation, against closed forms.
#![allow(missing_docs)]

mod common;

use common::{Problem, line, orders, square};
use hjbridge_hjb::{
    Face, HjbError, HjbParams, HjbSolver, PolicyIteration, PolicyIterationParams, Sense, StationaryInfo, StationaryParams,
    StationarySolver, StationaryValue, Storage, Time,
};
use hjbridge_model::grid::TensorGrid;
use std::f64::consts::PI;
use std::sync::Arc;

fn solve(problem: &Problem, grid: Arc<TensorGrid>, params: StationaryParams) -> (StationaryValue, StationaryInfo) {
    StationarySolver::new(problem, grid, params).unwrap().solve().unwrap()
}

/// dX = (-X/2 + u) dt + dW per coordinate, cost |x|^2 + |u|^2/2, rho = 1, minimised.
fn quadratic(dim: usize) -> Problem {
    Problem {
        running: Arc::new(|_, x| x.iter().map(|x| x * x).sum()),
        discount: 1.0,
        ..Problem::ornstein_uhlenbeck(dim, 0.5, 1.0)
    }
}

/// V = P (|x|^2 + d): P x^2 + P = x^2 - 2 P^2 x^2 - P x^2 + P gives 2 P^2 + 2 P = 1; u = -2 P x.
fn riccati() -> f64 {
    0.5 * (3.0f64.sqrt() - 1.0)
}

#[test]
fn the_discounted_linear_quadratic_problem_is_exact_up_to_the_box() {
    // Central differences are exact for quadratics; what is left comes from the faces, 7 standard deviations away.
    let p = riccati();
    assert!((p - 0.3660254038).abs() < 1e-10 && (2.0 * p * p + 2.0 * p - 1.0).abs() < 1e-15);
    let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
    for (dim, grid) in [(1, line(-5.0, 5.0, 101)), (2, square(5.0, 81))] {
        let problem = quadratic(dim);
        let (v, info) = solve(&problem, grid.clone(), params);
        let nodes = grid.points();
        let n = grid.len();
        let mut checked = 0;
        for j in 0..n {
            let x: Vec<f64> = (0..dim).map(|i| nodes.coord(i)[j]).collect();
            if x.iter().all(|x| x.abs() <= 1.0) {
                let exact = p * (x.iter().map(|x| x * x).sum::<f64>() + dim as f64);
                assert!((v.value()[j] - exact).abs() < 1e-7, "{dim} {x:?}: {} {exact}", v.value()[j]);
                assert!((0..dim).all(|i| (v.control()[i * n + j] + 2.0 * p * x[i]).abs() < 1e-6));
                checked += 1;
            }
        }
        assert!(checked > 20 && info.monotonicity.is_monotone() && info.iterations <= 12, "{checked} {info:?}");
        // Newton's method: each change is at most a multiple of the square of the last one.
        let tail = &info.changes[info.changes.len() - 4..];
        assert!(info.rates.last().is_some_and(|r| *r < 1e-3), "{:?}", info.rates);
        assert!(tail[2] < tail[1] && tail[1] < tail[0]);
        assert!(info.residuals.last().is_some_and(|r| *r < 1e-6), "{:?}", info.residuals);
    }
}

/// V = prod_i cos x_i on [-pi, pi]^d with f_i = sin x_i and the running reward that makes it the solution; rho = 0.8.
fn cosines(dim: usize) -> Problem {
    let rho = 0.8;
    let value = |x: &[f64]| x.iter().map(|x| x.cos()).product::<f64>();
    let slope = |x: &[f64], i: usize| -> f64 {
        x.iter().enumerate().map(|(k, x)| if k == i { -x.sin() } else { x.cos() }).product::<f64>()
    };
    Problem {
        drift: Arc::new(|_, x, out| out.iter_mut().zip(x).for_each(|(o, x)| *o = x.sin())),
        running: Arc::new(move |_, x| {
            let d = x.len() as f64;
            let first: f64 = (0..x.len()).map(|i| slope(x, i) * (x[i].sin() + 0.5 * slope(x, i))).sum();
            (rho + 0.5 * d) * value(x) - first
        }),
        discount: rho,
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 1.0)
    }
}

#[test]
fn stationary_solutions_are_of_order_two_in_one_and_two_dimensions() {
    for (dim, sizes) in [(1, vec![41, 81, 161]), (2, vec![21, 41, 81])] {
        let problem = cosines(dim);
        let (v, u): (Vec<f64>, Vec<f64>) = sizes
            .iter()
            .map(|&n| {
                let grid = if dim == 1 { line(-PI, PI, n) } else { square(PI, n) };
                let params = StationaryParams { boundary: Face::Reflecting.into(), ..Default::default() };
                let (solution, _) = solve(&problem, grid.clone(), params);
                let nodes = grid.points();
                let (mut ev, mut eu) = (0.0f64, 0.0f64);
                for j in 0..grid.len() {
                    let x: Vec<f64> = (0..dim).map(|i| nodes.coord(i)[j]).collect();
                    let exact: f64 = x.iter().map(|x| x.cos()).product();
                    let slope: f64 = -x[0].sin() * x[1..].iter().map(|x| x.cos()).product::<f64>();
                    ev = ev.max((solution.value()[j] - exact).abs());
                    // At a reflecting face the slope is one-sided.
                    if x.iter().all(|x| x.abs() < 3.0) {
                        eu = eu.max((solution.control()[j] - slope).abs());
                    }
                }
                (ev, eu)
            })
            .unzip();
        let all = [orders(&v), orders(&u)].concat();
        println!("{dim}-D: V {v:?} u {u:?}");
        assert!(all.iter().all(|o| (o - 2.0).abs() < 0.2), "{dim}: {v:?} {u:?} {all:?}");
    }
}

#[test]
fn a_quadratic_problem_with_151_squared_states_is_accurate_within_300_megabytes() {
    let problem = quadratic(2);
    let params = StationaryParams { sense: Sense::Minimise, memory_limit: 300 << 20, ..Default::default() };
    let (v, info) = solve(&problem, square(4.0, 151), params);
    let centre = v.value()[75 * 151 + 75];
    println!("V(0) = {centre}, {} iterations", info.iterations);
    // 2 P = 0.7320508; a tenth of a percent is 7e-4. Seen: 1e-6.
    assert!((centre - 2.0 * riccati()).abs() < 1e-5 && info.iterations < 12, "{centre} {}", info.iterations);
}

#[test]
fn the_finite_horizon_discounts_at_the_order_of_the_scheme() {
    // Constant data: V = g e^{-rho tau} + (l/rho) (1 - e^{-rho tau}).
    let (rho, g, l): (f64, f64, f64) = (1.7, 0.6, -0.4);
    let problem = Problem {
        running: Arc::new(move |_, _| l),
        terminal: Arc::new(move |_, _| g),
        discount: rho,
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    };
    let exact = g * (-rho).exp() - l / rho * (-rho).exp_m1();
    for time in [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2] {
        let errors: Vec<f64> = [20, 40, 80]
            .iter()
            .map(|&steps| {
                let params = HjbParams { time, steps, ..Default::default() };
                let (v, info) = HjbSolver::new(&problem, line(-4.0, 4.0, 21), params).unwrap().solve().unwrap();
                assert!(info.monotonicity.is_monotone());
                v.value(0).iter().map(|v| (v - exact).abs()).fold(0.0, f64::max)
            })
            .collect();
        let expected = f64::from(time.order());
        assert!(orders(&errors).iter().all(|o| (o - expected).abs() < 0.15), "{time:?}: {errors:?}");
    }
}

#[test]
fn a_long_horizon_tends_to_the_stationary_value() {
    let problem = Problem { horizon: 30.0, terminal: Arc::new(|_, x| x[0].sin()), ..cosines(1) };
    let params = HjbParams {
        steps: 300,
        time: Time::TrBdf2,
        boundary: Face::Reflecting.into(),
        storage: Storage::AtMost(2),
        ..Default::default()
    };
    let (finite, _) = HjbSolver::new(&problem, line(-PI, PI, 81), params).unwrap().solve().unwrap();
    let stationary = StationaryParams { boundary: Face::Reflecting.into(), ..Default::default() };
    let (v, _) = solve(&problem, line(-PI, PI, 81), stationary);
    // What is left of the terminal reward: e^{-0.8 * 30} = 4e-11.
    let difference = finite.value(0).iter().zip(v.value()).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
    assert!(difference < 1e-9, "{difference:e}");
}

#[test]
fn minimising_a_cost_is_maximising_its_negative() {
    let cost = Problem {
        terminal: Arc::new(|_, x| (2.0 * x[0]).cos() + 0.3 * x[0] * x[0]),
        running: Arc::new(|t, x| (t + x[0]).sin()),
        discount: 0.5,
        ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0)
    };
    let (g, l) = (cost.terminal.clone(), cost.running.clone());
    let reward = Problem { terminal: Arc::new(move |t, x| -g(t, x)), running: Arc::new(move |t, x| -l(t, x)), ..cost.clone() };
    let grid = line(-4.0, 4.0, 81);
    let maximise = HjbParams { steps: 20, ..Default::default() };
    let minimise = HjbParams { sense: Sense::Minimise, ..maximise };
    let (a, _) = HjbSolver::new(&reward, grid.clone(), maximise).unwrap().solve().unwrap();
    let (b, info) = HjbSolver::new(&cost, grid.clone(), minimise).unwrap().solve().unwrap();
    assert_eq!(info.sense, Sense::Minimise);
    let whole = |problem: &Problem, hjb| {
        let params = PolicyIterationParams { hjb, ..Default::default() };
        let mut last = Vec::new();
        let iteration = PolicyIteration::new(problem, grid.clone(), params).unwrap();
        let (v, _) = iteration.solve_observed(&mut |view| last = view.values[view.values.len() - 1].clone()).unwrap();
        assert_eq!(last, v.value(0));
        v
    };
    let (c, d) = (whole(&reward, maximise), whole(&cost, minimise));
    for k in 0..=20 {
        assert!(b.value(k).iter().zip(d.value(k)).all(|(b, d)| (b - d).abs() < 1e-9));
        for (up, down) in [(&a, &b), (&c, &d)] {
            assert!(up.value(k).iter().zip(down.value(k)).all(|(u, d)| *u == -*d));
            assert_eq!(up.control(k), down.control(k));
        }
    }
    // The cost at T is the user's own.
    let x = b.grid().axis(0).nodes().to_vec();
    assert!((0..81).all(|j| b.value(20)[j] == (2.0 * x[j]).cos() + 0.3 * x[j] * x[j]));
    // At x = 3.5 the terminal cost grows with x: the control pushes towards smaller cost.
    assert!(b.control(20)[75] < 0.0);
    let (s, _) = solve(&reward, grid.clone(), StationaryParams::default());
    let (t, _) = solve(&cost, grid, StationaryParams { sense: Sense::Minimise, ..Default::default() });
    assert!(s.value().iter().zip(t.value()).all(|(u, d)| *u == -*d) && s.control() == t.control());
}

#[test]
fn discount_delays_or_prevents_the_explosion_of_a_convex_reward() {
    // f = 0, g = P x^2/2, cost v^2/2: dP/dtau = P^2 - rho P ends at tau = ln(P/(P - rho))/rho for rho < P, never else.
    let run = |rho: f64| {
        let problem =
            Problem { terminal: Arc::new(|_, x| 0.5 * x[0] * x[0]), discount: rho, ..Problem::ornstein_uhlenbeck(1, 0.0, 3.0) };
        let params = HjbParams { steps: 600, ..Default::default() };
        HjbSolver::new(&problem, line(-12.0, 12.0, 481), params).unwrap().solve().map(|(v, _)| v.value(0)[240])
    };
    match run(0.7) {
        Err(HjbError::IllPosed { t, .. }) => {
            let exact = 3.0 - (1.0f64 / 0.3).ln() / 0.7;
            assert!((t - exact).abs() < 0.02, "{t} {exact}");
        }
        other => panic!("{other:?}"),
    }
    // rho = 2: P = 2/(1 + e^{2 tau}); the constant part k obeys k' = -2 k + P/2, k(3) = e^{-6} int_0^3 e^{2s}/(1 + e^{2s}) ds.
    let exact = (-6.0f64).exp() * 0.5 * ((6.0f64.exp() + 1.0) / 2.0).ln();
    let value = run(2.0);
    assert!(value.as_ref().is_ok_and(|v| (v - exact).abs() < 1e-5), "{value:?} {exact}");
}

#[test]
fn bad_input_and_early_stops_are_typed() {
    let run = |problem: &Problem, params: StationaryParams| {
        StationarySolver::new(problem, line(-4.0, 4.0, 41), params).and_then(|s| s.solve()).err()
    };
    let good = quadratic(1);
    let invalid = |field: &str, error: Option<HjbError>| match error {
        Some(HjbError::Invalid { field: f, .. }) => assert_eq!(f, field),
        other => panic!("{field}: {other:?}"),
    };
    for rho in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        invalid("discount", run(&Problem { discount: rho, ..good.clone() }, StationaryParams::default()));
    }
    let negative = Problem { discount: -0.1, ..good.clone() };
    invalid("discount", HjbSolver::new(&negative, line(-4.0, 4.0, 41), HjbParams::default()).unwrap().solve().err());
    for tolerance in [0.0, 1.0, f64::NAN] {
        invalid("tolerance", run(&good, StationaryParams { tolerance, ..Default::default() }));
    }
    invalid("max_iterations", run(&good, StationaryParams { max_iterations: 0, ..Default::default() }));
    assert!(matches!(StationarySolver::new(&good, square(1.0, 9), StationaryParams::default()), Err(HjbError::Shape { .. })));
    let few = StationaryParams { max_iterations: 2, sense: Sense::Minimise, ..Default::default() };
    match run(&good, few) {
        Some(HjbError::NoConvergence { iterations: 2, value_change, residual, .. }) => {
            assert!(value_change > 1e-6 && residual > 1e-6);
        }
        other => panic!("{other:?}"),
    }
    let nan = Problem { running: Arc::new(|_, x| if x[0] > 2.05 { f64::NAN } else { 0.0 }), ..good };
    assert!(matches!(run(&nan, StationaryParams::default()), Some(HjbError::NonFinite { coefficient: "running_reward", .. })));
    let outward = Problem { control_dim: 0, ..Problem { discount: 2.5, ..Problem::ornstein_uhlenbeck(1, -1.0, 1.0) } };
    let open = StationaryParams { boundary: Face::Extrapolated.into(), ..Default::default() };
    let error = run(&outward, StationaryParams { require_monotone: true, ..open });
    assert!(matches!(error, Some(HjbError::NotMonotone { axis: 0, t: None, .. })), "{error:?}");
    // Without the requirement it is a solution with a doubt; with a condition at the faces, the default, there is none.
    let (_, info) = solve(&outward, line(-4.0, 4.0, 41), open);
    assert!(!info.reliable && info.monotonicity.violations == 2 && info.notes.len() == 1, "{info:?}");
    let (_, info) = solve(&outward, line(-4.0, 4.0, 41), StationaryParams::default());
    assert!(info.reliable && info.mean_time.is_none());
}
