//! Exit and hitting problems against closed forms: order 2 with the boundary placed inside the cells, 1 with a staircase.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, line, orders, square};
use hjbridge_hjb::{
    HjbError, LevelSet, Placement, Sense, StationaryInfo, StationaryParams, StationarySolver, StationaryValue, TargetSet,
};
use hjbridge_model::Points;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

fn solve(
    problem: &Problem,
    grid: &Arc<TensorGrid>,
    target: &dyn TargetSet,
    placement: Placement,
) -> (StationaryValue, StationaryInfo) {
    let params = StationaryParams::default();
    StationarySolver::new(problem, grid.clone(), params).unwrap().with_target(target, placement).solve().unwrap()
}

/// sup over the nodes outside the target of |V - exact|.
fn error(v: &StationaryValue, outside: impl Fn(&[f64]) -> bool, exact: impl Fn(&[f64]) -> f64) -> f64 {
    let nodes = v.grid().points();
    let mut error = 0.0f64;
    let mut x = vec![0.0; v.grid().dim()];
    for j in 0..v.grid().len() {
        nodes.as_points().copy_point(j, &mut x);
        if outside(&x) {
            error = error.max((v.value()[j] - exact(&x)).abs());
        }
    }
    error
}

/// Brownian motion sigma B with drift mu on every axis, uncontrolled, running reward l.
fn brownian(dim: usize, mu: f64, sigma: f64, l: f64) -> Problem {
    Problem {
        control_dim: 0,
        drift: Arc::new(move |_, _, out| out.fill(mu)),
        sigma: Matrix::Scaled(sigma),
        running: Arc::new(move |_, _| l),
        ..Problem::ornstein_uhlenbeck(dim, 0.0, 1.0)
    }
}

fn radius(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

#[test]
fn mean_hitting_times_of_brownian_motion_are_exact() {
    // dX = sqrt(2/beta) dB: (1/beta) tau'' = -1 with tau(+-1) = 0 is (1 - x^2) beta/2; in d dimensions with noise sigma and
    // radius R, (R^2 - |x|^2) / (d sigma^2). Both are quadratic, for which three-point formulas are exact at any spacing.
    for beta in [0.5, 3.0] {
        let problem = brownian(1, 0.0, (2.0f64 / beta).sqrt(), 1.0);
        let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |_: &[f64]| 0.0);
        for n in [17, 40, 101] {
            let (v, info) = solve(&problem, &line(-1.13, 1.27, n), &target, Placement::SubCell);
            let e = error(&v, |x| x[0].abs() < 1.0, |x| 0.5 * beta * (1.0 - x[0] * x[0]));
            assert!(e < 1e-12 * beta, "{beta} {n}: {e:e}");
            assert!(info.iterations == 1 && info.cut_edges == 2 && info.monotonicity.is_monotone(), "{info:?}");
            assert!(error(&v, |x| x[0].abs() >= 1.0, |_| 0.0) == 0.0);
        }
    }
    let (big_r, sigma) = (0.9, 1.3);
    let problem = brownian(2, 0.0, sigma, 1.0);
    let target = LevelSet::new(move |x: &[f64]| big_r - radius(x), |_: &[f64]| 0.0);
    let (v, info) = solve(&problem, &square(1.0, 60), &target, Placement::SubCell);
    let e = error(&v, |x| radius(x) < big_r, |x| (big_r * big_r - radius(x).powi(2)) / (2.0 * sigma * sigma));
    assert!(e < 1e-12, "{e:e}");
    assert!(info.cut_edges > 100 && info.monotonicity.is_monotone());
}

/// Errors over a sequence of grids for both placements.
fn table(
    problem: &Problem,
    grids: &[Arc<TensorGrid>],
    target: &dyn TargetSet,
    outside: &dyn Fn(&[f64]) -> bool,
    exact: &dyn Fn(&[f64]) -> f64,
) -> [Vec<f64>; 2] {
    [Placement::SubCell, Placement::Staircase]
        .map(|placement| grids.iter().map(|grid| error(&solve(problem, grid, target, placement).0, outside, exact)).collect())
}

#[test]
fn exit_of_a_drifting_process_in_one_dimension_is_of_order_two_and_staircased_of_order_one() {
    // mu tau' + (s^2/2) tau'' = -1, tau(0) = tau(L) = 0: tau = [ L (1 - e^{-k x})/(1 - e^{-k L}) - x ] / mu, k = 2 mu/s^2.
    let (mu, s, length): (f64, f64, f64) = (1.2, 0.8, 1.0);
    let k = 2.0 * mu / (s * s);
    let exact = |x: &[f64]| (length * (-k * x[0]).exp_m1() / (-k * length).exp_m1() - x[0]) / mu;
    let problem = brownian(1, mu, s, 1.0);
    let target = LevelSet::new(move |x: &[f64]| x[0].min(length - x[0]), |_: &[f64]| 0.0);
    // The left boundary falls at 0.6 of a cell and the right one at 0.8 on every grid of spacing 1/(m - 0.2).
    let grids: Vec<_> = [16, 32, 64, 128]
        .iter()
        .map(|&m| {
            let dx = 1.0 / (m as f64 - 0.2);
            line(-2.4 * dx, -2.4 * dx + (m as f64 + 5.0) * dx, m + 6)
        })
        .collect();
    let [fine, coarse] = table(&problem, &grids, &target, &|x| x[0] > 0.0 && x[0] < length, &exact);
    println!("interval: sub-cell {fine:?}, staircase {coarse:?}");
    assert!(orders(&fine).iter().all(|o| (o - 2.0).abs() < 0.2), "{fine:?} {:?}", orders(&fine));
    assert!(orders(&coarse).iter().all(|o| (o - 1.0).abs() < 0.2), "{coarse:?} {:?}", orders(&coarse));
    assert!(coarse[3] > 50.0 * fine[3]);
}

#[test]
fn exit_from_a_disc_with_boundary_data_is_of_order_two_and_staircased_of_order_one() {
    // V = E g(X_tau) is harmonic: g = e^x cos y gives V = e^x cos y.
    let exact = |x: &[f64]| x[0].exp() * x[1].cos();
    let problem = brownian(2, 0.0, 1.0, 0.0);
    let target = LevelSet::new(|x: &[f64]| 1.0 - radius(x), exact);
    let grids: Vec<_> = [21, 41, 81, 161].iter().map(|&n| square(1.17, n)).collect();
    // On the staircase g is taken at the node inside the set, which is exact for data that continue the solution; take the
    // data of the circle along the ray instead.
    let on_circle = LevelSet::new(
        |x: &[f64]| 1.0 - radius(x),
        move |x: &[f64]| {
            let r = radius(x);
            exact(&[x[0] / r, x[1] / r])
        },
    );
    let inside = |x: &[f64]| radius(x) < 1.0;
    let [fine, _] = table(&problem, &grids, &target, &inside, &exact);
    let [same, coarse] = table(&problem, &grids, &on_circle, &inside, &exact);
    assert!(fine.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-12));
    // Cut edges fall differently on every grid, so the order is taken over three doublings.
    let slope = |e: &[f64]| (e[0] / e[3]).log2() / 3.0;
    println!("disc: sub-cell {fine:?}, staircase {coarse:?}");
    assert!((slope(&fine) - 2.0).abs() < 0.25, "{fine:?} {:?}", orders(&fine));
    assert!((slope(&coarse) - 1.0).abs() < 0.25, "{coarse:?} {:?}", orders(&coarse));
    assert!(coarse[3] > 100.0 * fine[3], "{} {}", coarse[3], fine[3]);
}

#[test]
fn a_controlled_exit_problem_is_of_order_two() {
    // dX = u dt + dB, minimise E int_0^tau (q + u^2/2) dt: V = -log(phi), phi''/2 = q phi, phi = 1 at +-1:
    // V = log cosh(w) - log cosh(w x), w = sqrt(2q); u = -V'.
    let q = 2.0f64;
    let w = (2.0 * q).sqrt();
    let problem = Problem { running: Arc::new(move |_, _| q), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |_: &[f64]| 0.0);
    let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
    let (v, u): (Vec<f64>, Vec<f64>) = [15, 29, 57, 113]
        .iter()
        .map(|&n| {
            // Spacing 2.2/(n - 1): the faces are inside the target, the boundary inside a cell.
            let solver = StationarySolver::new(&problem, line(-1.1, 1.1, n), params).unwrap();
            let (v, info) = solver.with_target(&target, Placement::SubCell).solve().unwrap();
            assert!(info.iterations >= 3 && info.iterations <= 8, "{info:?}");
            let x = v.grid().axis(0).nodes();
            let inner = |j: &usize| x[*j].abs() < 0.7;
            let eu = (0..n).filter(inner).map(|j| (v.control()[j] - w * (w * x[j]).tanh()).abs()).fold(0.0, f64::max);
            let exact = |x: &[f64]| w.cosh().ln() - (w * x[0]).cosh().ln();
            assert!((0..n).filter(|&j| x[j].abs() >= 1.0).all(|j| v.control()[j] == 0.0 && v.value()[j] == 0.0));
            (error(&v, |x| x[0].abs() < 1.0, exact), eu)
        })
        .unzip();
    let slope = |e: &[f64]| (e[0] / e[3]).log2() / 3.0;
    println!("controlled: V {v:?} u {u:?}");
    assert!((slope(&v) - 2.0).abs() < 0.2 && (slope(&u) - 2.0).abs() < 0.3, "{v:?} {u:?}");
}

#[test]
fn a_discounted_hitting_reward_is_the_laplace_transform() {
    // E e^{-rho tau} for Brownian motion leaving (-1, 1): cosh(k x)/cosh(k), k = sqrt(2 rho).
    let rho = 1.5f64;
    let k = (2.0 * rho).sqrt();
    let problem = Problem { discount: rho, ..brownian(1, 0.0, 1.0, 0.0) };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |_: &[f64]| 1.0);
    let exact = |x: &[f64]| (k * x[0]).cosh() / k.cosh();
    let run = |n| error(&solve(&problem, &line(-1.05, 1.05, n), &target, Placement::SubCell).0, |x| x[0].abs() < 1.0, exact);
    let errors = [run(22), run(43), run(85), run(169)];
    assert!(((errors[0] / errors[3]).log2() / 3.0 - 2.0).abs() < 0.2, "{errors:?}");
}

struct Bad;

impl TargetSet for Bad {
    fn level(&self, x: Points<'_>, out: &mut [f64]) {
        out.iter_mut().zip(x.coord(0)).for_each(|(o, x)| *o = 1.0 - x.abs());
    }
    fn value(&self, _x: Points<'_>, out: &mut [f64]) {
        out.fill(f64::NAN);
    }
}

#[test]
fn a_node_on_the_boundary_and_bad_sets_are_handled() {
    let problem = brownian(1, 0.0, 1.0, 1.0);
    // Nodes within rounding of the boundary are put on it.
    for shift in [-1e-12, 0.0, 1e-12, 1e-10] {
        let target = LevelSet::new(move |x: &[f64]| 1.0 + shift - x[0].abs(), |_: &[f64]| 0.0);
        let (v, _) = solve(&problem, &line(-1.5, 1.5, 31), &target, Placement::SubCell);
        assert!(error(&v, |x| x[0].abs() < 0.99, |x| 1.0 - x[0] * x[0]) < 1e-9);
    }
    let fail = |target: &dyn TargetSet| {
        let solver = StationarySolver::new(&problem, line(-1.5, 1.5, 31), StationaryParams::default()).unwrap();
        solver.with_target(target, Placement::SubCell).solve().err()
    };
    let empty = LevelSet::new(|_: &[f64]| 1.0, |_: &[f64]| 0.0);
    assert!(matches!(fail(&empty), Some(HjbError::Invalid { .. })));
    let nan = LevelSet::new(|x: &[f64]| if x[0] > 1.45 { f64::NAN } else { 1.0 - x[0].abs() }, |_: &[f64]| 0.0);
    assert!(matches!(fail(&nan), Some(HjbError::NonFinite { coefficient: "target.level", .. })));
    assert!(matches!(fail(&Bad), Some(HjbError::NonFinite { coefficient: "target.value", .. })));
}
