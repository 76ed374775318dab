//! Optimal stopping: American put against a binomial tree, and structure.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, line};
use hjbridge_hjb::{
    Face, Faces, HjbError, HjbParams, HjbSolver, Obstacle, Sense, StationaryInfo, StationaryParams, StationarySolver,
    StationaryValue, Storage, Time,
};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

const STRIKE: f64 = 40.0;
const RATE: f64 = 0.06;
const SIGMA: f64 = 0.2;
const MATURITY: f64 = 1.0;

/// Leisen-Reimer tree of the American put with n (odd) steps: an error of order 1/n without odd-even oscillation.
fn tree(spot: f64, n: usize) -> f64 {
    let (dt, m) = (MATURITY / n as f64, n as f64);
    let d1 = ((spot / STRIKE).ln() + (RATE + 0.5 * SIGMA * SIGMA) * MATURITY) / (SIGMA * MATURITY.sqrt());
    let d2 = d1 - SIGMA * MATURITY.sqrt();
    let invert = |z: f64| {
        let exponent = (z / (m + 1.0 / 3.0 + 0.1 / (m + 1.0))).powi(2) * (m + 1.0 / 6.0);
        0.5 + 0.5 * z.signum() * (1.0 - (-exponent).exp()).sqrt()
    };
    let (p, q, growth) = (invert(d2), invert(d1), (RATE * dt).exp());
    let (up, down) = (growth * q / p, growth * (1.0 - q) / (1.0 - p));
    let price = |k: usize, j: usize| spot * (j as f64 * up.ln() + (k - j) as f64 * down.ln()).exp();
    let mut v: Vec<f64> = (0..=n).map(|j| (STRIKE - price(n, j)).max(0.0)).collect();
    for k in (0..n).rev() {
        let mut s = price(k, 0);
        for j in 0..=k {
            v[j] = ((p * v[j + 1] + (1.0 - p) * v[j]) / growth).max(STRIKE - s);
            s *= up / down;
        }
    }
    v[0]
}

/// The tree extrapolated to infinitely many steps; successive extrapolations agree to 1.5e-5.
fn reference(spot: f64) -> f64 {
    2.0 * tree(spot, 4001) - tree(spot, 2001)
}

/// x = log S: dx = (r - sigma^2/2) dt + sigma dB, terminal (K - e^x)^+, discount r.
fn put(scale: f64) -> Problem {
    Problem {
        control_dim: 0,
        horizon: MATURITY,
        drift: Arc::new(|_, _, out| out[0] = RATE - 0.5 * SIGMA * SIGMA),
        sigma: Matrix::Scaled(SIGMA),
        terminal: Arc::new(move |_, x| scale * (STRIKE - x[0].exp()).max(0.0)),
        discount: RATE,
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    }
}

fn payoff(_t: f64, x: &[f64]) -> f64 {
    (STRIKE - x[0].exp()).max(0.0)
}

/// Value at t = 0 on n nodes over log K +- 1.5 (the strike is a node), and the nodes.
fn american(n: usize, params: HjbParams) -> (Vec<f64>, Vec<f64>) {
    let problem = put(1.0);
    let grid = line(STRIKE.ln() - 1.5, STRIKE.ln() + 1.5, n);
    let params = HjbParams { storage: Storage::AtMost(2), ..params };
    let (v, info) = HjbSolver::new(&problem, grid, params).unwrap().with_obstacle(&payoff).solve().unwrap();
    // The free boundary jumps in the first steps and creeps afterwards.
    assert!(info.inner_iterations < 3 * info.stages, "{info:?}");
    (v.grid().axis(0).nodes().to_vec(), v.value(0).to_vec())
}

/// Cubic interpolation at log(spot).
fn at(nodes: &[f64], values: &[f64], spot: f64) -> f64 {
    let (x, dx) = (spot.ln(), nodes[1] - nodes[0]);
    let k = ((x - nodes[0]) / dx) as usize;
    (k - 1..k + 3)
        .map(|a| values[a] * (k - 1..k + 3).filter(|&b| b != a).map(|b| (x - nodes[b]) / (nodes[a] - nodes[b])).product::<f64>())
        .sum()
}

#[test]
fn the_american_put_agrees_with_a_binomial_tree_to_a_hundredth_of_a_cent() {
    for (time, steps) in [(Time::TrBdf2, 400), (Time::CrankNicolson, 800)] {
        let (nodes, values) = american(2001, HjbParams { time, steps, ..Default::default() });
        for spot in [36.0, 40.0, 44.0] {
            let (v, exact) = (at(&nodes, &values, spot), reference(spot));
            println!("{time:?} S = {spot}: {v:.6}, tree {exact:.6}, difference {:.1e}", v - exact);
            assert!((v - exact).abs() < 1e-4, "{time:?} {spot}: {v} {exact}");
        }
        // Never below the payoff, equal to it deep in the money and above it at the strike.
        let gap: Vec<f64> = nodes.iter().zip(&values).map(|(x, v)| v - payoff(0.0, &[*x])).collect();
        assert!(gap.iter().all(|g| *g > -1e-11));
        assert!(gap[..500].iter().all(|g| g.abs() < 1e-11) && gap[1000] > 2.0);
        // One point where stopping ends.
        let leave = gap.iter().position(|g| *g > 1e-9).unwrap();
        let solid = nodes.iter().position(|x| *x > 60.0f64.ln()).unwrap();
        assert!(gap[leave..solid].iter().all(|g| *g > 0.0));
        assert!((nodes[leave].exp() - 32.6).abs() < 1.0, "{}", nodes[leave].exp());
    }
}

#[test]
fn implicit_euler_converges_to_the_same_price_from_one_side_at_order_one() {
    let errors: Vec<f64> = [50, 100, 200]
        .iter()
        .map(|&steps| {
            let (nodes, values) = american(1001, HjbParams { time: Time::ImplicitEuler, steps, ..Default::default() });
            reference(40.0) - at(&nodes, &values, 40.0)
        })
        .collect();
    let orders = common::orders(&errors);
    assert!(errors[2] > 0.0 && orders.iter().all(|o| (o - 1.0).abs() < 0.25), "{errors:?} {orders:?}");
}

#[test]
fn an_obstacle_far_below_changes_nothing_and_one_far_above_is_the_value() {
    let problem = Problem { terminal: Arc::new(|_, x| (2.0 * x[0]).cos()), ..Problem::ornstein_uhlenbeck(1, 1.0, 1.0) };
    let params = HjbParams { steps: 30, time: Time::TrBdf2, ..Default::default() };
    let grid = line(-4.0, 4.0, 81);
    let (free, _) = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
    let low = |_: f64, _: &[f64]| -50.0;
    let (same, _) = HjbSolver::new(&problem, grid.clone(), params).unwrap().with_obstacle(&low).solve().unwrap();
    let high = |t: f64, _: &[f64]| 50.0 - t;
    let (top, _) = HjbSolver::new(&problem, grid, params).unwrap().with_obstacle(&high).solve().unwrap();
    for k in 0..=30 {
        assert!(free.value(k).iter().zip(same.value(k)).all(|(a, b)| (a - b).abs() < 1e-12));
        let psi = 50.0 - top.times()[k];
        assert!(top.value(k).iter().all(|v| (v - psi).abs() < 1e-10));
    }
}

#[test]
fn least_cost_stopping_is_the_negative_of_greatest_reward_stopping() {
    let (reward, cost) = (put(1.0), put(-1.0));
    let negative = |t: f64, x: &[f64]| -payoff(t, x);
    let grid = line(STRIKE.ln() - 1.5, STRIKE.ln() + 1.5, 201);
    let run = |problem: &Problem, obstacle: &dyn Obstacle, sense| {
        let params = HjbParams { steps: 20, sense, ..Default::default() };
        HjbSolver::new(problem, grid.clone(), params).unwrap().with_obstacle(obstacle).solve().unwrap().0
    };
    let (a, b) = (run(&reward, &payoff, Sense::Maximise), run(&cost, &negative, Sense::Minimise));
    assert!((0..=20).all(|k| a.value(k).iter().zip(b.value(k)).all(|(a, b)| *a == -*b)));
}

#[test]
fn an_obstacle_that_is_not_finite_is_named() {
    let problem = put(1.0);
    let nan = |t: f64, x: &[f64]| if t < 0.5 && x[0] > 4.0 { f64::NAN } else { 0.0 };
    let solver = HjbSolver::new(&problem, line(2.0, 5.0, 41), HjbParams { steps: 10, ..Default::default() }).unwrap();
    assert!(matches!(solver.with_obstacle(&nan).solve(), Err(HjbError::NonFinite { coefficient: "obstacle", .. })));
}

// ---- without a horizon ----------------------------------------------------------------------------------------------------

fn stop(
    problem: &Problem,
    grid: Arc<TensorGrid>,
    params: StationaryParams,
    psi: &dyn Obstacle,
) -> (StationaryValue, StationaryInfo) {
    StationarySolver::new(problem, grid, params).unwrap().with_obstacle(psi).solve().unwrap()
}

/// sup |V - exact| over the nodes.
fn error(v: &StationaryValue, exact: impl Fn(&[f64]) -> f64) -> f64 {
    let mut x = vec![0.0; v.grid().dim()];
    let at = |(j, value): (usize, &f64)| {
        v.grid().node(j, &mut x);
        (value - exact(&x)).abs()
    };
    v.value().iter().enumerate().map(at).fold(0.0, f64::max)
}

/// gamma = 2r/sigma^2 = 3: stop below S* = K gamma/(1 + gamma) = 30, where V = (K - S*)(S/S*)^{-gamma} begins.
fn perpetual(x: f64) -> f64 {
    if x < 30.0f64.ln() { STRIKE - x.exp() } else { 10.0 * (30.0 * (-x).exp()).powi(3) }
}

#[test]
fn the_perpetual_put_is_of_order_two_in_as_few_solves_on_every_grid() {
    let problem = put(1.0);
    let data = |_: f64, x: &[f64]| perpetual(x[0]);
    let boundary = Faces::reflecting().with(0, true, Face::Dirichlet);
    let mut errors = Vec::new();
    for n in [101, 201, 401, 801, 1601, 3201] {
        let params = StationaryParams { boundary, ..Default::default() };
        let solver = StationarySolver::new(&problem, line(STRIKE.ln() - 1.0, STRIKE.ln() + 1.0, n), params).unwrap();
        let (v, info) = solver.with_obstacle(&payoff).with_face_values(&data).solve().unwrap();
        let h = 2.0 / (n - 1) as f64;
        errors.push(error(&v, |x| perpetual(x[0])) / (h * h));
        // without the coarser grids the boundary would travel node by node
        assert!(info.iterations <= 6 && info.reliable, "{n}: {info:?}");
        // the boundary is right to a node
        let exact = ((30.0f64 / STRIKE).ln() + 1.0) / h;
        assert!((info.stopped_nodes as f64 - exact).abs() <= 1.5, "{n}: {} {exact}", info.stopped_nodes);
        println!(
            "{n}: {:.3} h^2, {} solves, {} stopped ({exact:.2})",
            errors[errors.len() - 1],
            info.iterations,
            info.stopped_nodes
        );
        let gap = v.value().iter().zip(v.grid().axis(0).nodes()).map(|(v, x)| v - payoff(0.0, &[*x]));
        assert!(gap.fold(f64::INFINITY, f64::min) > -1e-12);
    }
    // Order 2 with a constant that depends on where in its cell the boundary lies: the error of V is at most that of stopping
    // within half a node of S*, (h/2)^2 |V'' - psi''|/2 there, besides that of the differences.
    assert!(errors.iter().all(|c| *c < 20.0), "{errors:?}");
}

/// I_0 and I_1 by their series.
fn bessel(x: f64) -> (f64, f64) {
    let (mut even, mut term) = ((0.0, 0.0), 1.0);
    for k in 0..60 {
        even.0 += term;
        even.1 += term * 0.5 * x / f64::from(k + 1);
        term *= 0.25 * x * x / f64::from((k + 1) * (k + 1));
    }
    even
}

#[test]
fn stopping_far_out_in_the_plane_meets_its_bessel_functions() {
    // rho V = (1/2) Lap V for r < R, V = r^2 beyond: V = R^2 I_0(kr)/I_0(kR), k = sqrt(2 rho), kR I_1(kR) = 2 I_0(kR).
    let rho = 1.2f64;
    let (mut low, mut high) = (0.5f64, 5.0f64);
    for _ in 0..80 {
        let z = 0.5 * (low + high);
        let (zero, one) = bessel(z);
        *(if z * one < 2.0 * zero { &mut low } else { &mut high }) = z;
    }
    let k = (2.0 * rho).sqrt();
    let radius = low / k;
    assert!(radius < 2.0);
    let problem = Problem { control_dim: 0, discount: rho, ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0) };
    let psi = |_: f64, x: &[f64]| x[0] * x[0] + x[1] * x[1];
    let exact = |x: &[f64]| {
        let r = x[0].hypot(x[1]);
        if r < radius { radius * radius * bessel(k * r).0 / bessel(low).0 } else { r * r }
    };
    let errors = [33, 65, 129].map(|n| {
        let (v, info) = stop(&problem, common::square(2.5, n), StationaryParams::default(), &psi);
        println!("{n}: {:.3e}, {} solves", error(&v, exact), info.iterations);
        assert!(info.iterations <= 8, "{n}: {info:?}");
        error(&v, exact)
    });
    let orders = common::orders(&errors);
    assert!(errors[2] < 1e-3 && (errors[0] / errors[2]).log2() > 3.0, "{errors:?} {orders:?}");
    // the negative is minimised to the same bits
    let negative = |t: f64, x: &[f64]| -psi(t, x);
    let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
    let (a, b) = (
        stop(&problem, common::square(2.5, 33), StationaryParams::default(), &psi).0,
        stop(&problem, common::square(2.5, 33), params, &negative).0,
    );
    assert!(a.value().iter().zip(b.value()).all(|(a, b)| *a == -*b));
}

#[test]
fn control_and_stopping_without_a_discount() {
    // max_v { V''/2 + v V' - v^2/2 } = c until stopping pays s|x|: e^V solves phi'' = 2 c phi, so that V = s R + log(cosh kx/cosh kR)
    // for |x| < R, k = sqrt(2c), k tanh kR = s.
    let (c, s) = (0.5f64, 0.6f64);
    let k = (2.0 * c).sqrt();
    let radius = (s / k).atanh() / k;
    let problem = Problem { running: Arc::new(move |_, _| -c), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let psi = move |_: f64, x: &[f64]| s * x[0].abs();
    let exact = |x: &[f64]| {
        if x[0].abs() < radius { s * radius + ((k * x[0]).cosh() / (k * radius).cosh()).ln() } else { s * x[0].abs() }
    };
    for n in [101, 401, 1601] {
        let (v, info) = stop(&problem, line(-2.0, 2.0, n), StationaryParams::default(), &psi);
        let h = 4.0 / (n - 1) as f64;
        println!("{n}: {:.3} h^2, {} solves", error(&v, exact) / (h * h), info.iterations);
        assert!(error(&v, exact) < 0.5 * h * h && info.iterations <= 8 && info.mean_time.unwrap() < 4.0, "{n}: {info:?}");
        let worst = v.grid().axis(0).nodes().iter().zip(v.control()).filter(|(x, _)| x.abs() < radius - h);
        assert!(worst.map(|(x, v)| (v - k * (k * x).tanh()).abs()).fold(0.0, f64::max) < h, "{n}");
    }
}

#[test]
fn obstacles_without_a_horizon_at_the_edges() {
    let brownian = Problem { control_dim: 0, ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let grid = line(-2.0, 2.0, 41);
    // nothing to gain by waiting: the obstacle is the value, to the bit
    let (v, info) = stop(&brownian, grid.clone(), StationaryParams::default(), &|_: f64, _: &[f64]| 3.0);
    assert!(v.value().iter().all(|v| *v == 3.0) && info.stopped_nodes == 41);
    // an obstacle far below changes nothing
    let paid = Problem { discount: 0.5, running: Arc::new(|_, x| x[0].cos()), ..brownian.clone() };
    let free = StationarySolver::new(&paid, grid.clone(), StationaryParams::default()).unwrap().solve().unwrap().0;
    let (v, info) = stop(&paid, grid.clone(), StationaryParams::default(), &|_: f64, _: &[f64]| -50.0);
    assert!(info.stopped_nodes == 0 && v.value().iter().zip(free.value()).all(|(a, b)| (a - b).abs() < 1e-13));
    // a reward for staying has no end, whether the first policy shows it or a later one
    let endless = Problem { running: Arc::new(|_, _| 1.0), ..brownian.clone() };
    let rewards: [&dyn Obstacle; 3] = [&|_: f64, _: &[f64]| 0.0, &|_: f64, x: &[f64]| x[0].cos(), &|_: f64, x: &[f64]| x[0]];
    for psi in rewards {
        for n in [9, 41, 161] {
            let solver = StationarySolver::new(&endless, line(-4.0, 4.0, n), StationaryParams::default()).unwrap();
            let outcome = solver.with_obstacle(psi).solve();
            assert!(matches!(outcome, Err(HjbError::InfiniteReward { .. })), "{n}: {:?}", outcome.err());
        }
    }
    let nan = |_: f64, x: &[f64]| if x[0] > 1.0 { f64::NAN } else { 0.0 };
    let solver = StationarySolver::new(&paid, grid, StationaryParams::default()).unwrap();
    assert!(matches!(solver.with_obstacle(&nan).solve(), Err(HjbError::NonFinite { coefficient: "obstacle", .. })));
}
