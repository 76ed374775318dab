//! Finite control sets, general running costs, G and R with entries off the diagonal.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, line, orders, square};
use hjbridge_hjb::{
    Face, Faces, HjbError, HjbInfo, HjbParams, HjbSolver, LevelSet, Placement, PolicyIteration, PolicyIterationParams,
    SearchParams, Sense, Space, StationaryInfo, StationaryParams, StationarySolver, StationaryValue, Time, ValueFunction,
};
use hjbridge_model::ControlSet;
use hjbridge_model::grid::TensorGrid;
use std::f64::consts::PI;
use std::sync::Arc;

fn stationary(problem: &Problem, grid: Arc<TensorGrid>, params: StationaryParams) -> (StationaryValue, StationaryInfo) {
    StationarySolver::new(problem, grid, params).unwrap().solve().unwrap()
}

fn solve(problem: &Problem, grid: Arc<TensorGrid>, params: HjbParams) -> (ValueFunction, HjbInfo) {
    HjbSolver::new(problem, grid, params).unwrap().solve().unwrap()
}

fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

fn interval(half: f64) -> ControlSet {
    ControlSet::Box { lower: vec![-half], upper: vec![half] }
}

/// `count` equally spaced controls of each component in [-half, half].
fn lattice(half: f64, count: usize, dim: usize) -> ControlSet {
    let level = |k: usize| -half + 2.0 * half * k as f64 / (count - 1) as f64;
    let controls = (0..count.pow(dim as u32)).map(|c| (0..dim).map(|i| level(c / count.pow(i as u32) % count)).collect());
    ControlSet::Finite { controls: controls.collect() }
}

/// A wave as the terminal reward, so that the optimal control takes all values of the interval.
fn wave() -> Problem {
    Problem { terminal: Arc::new(|_, x| (2.0 * x[0]).sin()), set: interval(1.0), ..Problem::ornstein_uhlenbeck(1, 0.5, 1.0) }
}

#[test]
fn a_finite_set_loses_what_its_spacing_allows() {
    // A control of the set within dv/2 of the best one costs R dv^2/8 more, so V of the set is below V by T R dv^2/8 at most.
    let params = HjbParams { steps: 40, time: Time::ImplicitEuler, ..Default::default() };
    let grid = line(-5.0, 5.0, 201);
    let (whole, info) = solve(&wave(), grid.clone(), params);
    assert_eq!(info.maximisation, "per axis");
    let mut losses = Vec::new();
    for count in [26, 51, 101, 401] {
        let dv = 2.0 / (count - 1) as f64;
        let (v, info) = solve(&Problem { set: lattice(1.0, count, 1), ..wave() }, grid.clone(), params);
        assert_eq!(info.maximisation, "finite set");
        let mut loss = 0.0f64;
        for (a, b) in whole.value(0).iter().zip(v.value(0)) {
            assert!(a - b > -1e-10, "a smaller set cannot do better: {}", a - b);
            loss = loss.max(a - b);
        }
        assert!(loss <= dv * dv / 8.0 + 1e-10, "{count}: {loss:e} {:e}", dv * dv / 8.0);
        losses.push(loss);
    }
    println!("losses {losses:?}");
    assert!(orders(&losses[..3]).iter().all(|o| (o - 2.0).abs() < 0.25), "{losses:?}");
    assert!(losses[3] < 5e-6);
}

#[test]
fn a_general_cost_that_is_quadratic_gives_the_closed_form() {
    for space in [Space::Hybrid, Space::Upwind, Space::Fitted] {
        let params = HjbParams { steps: 20, space, ..Default::default() };
        let quadratic = Problem { set: interval(1.3), ..wave() };
        let general = Problem { cost: Some(Arc::new(|_, _, v| 0.5 * v[0] * v[0])), ..quadratic.clone() };
        let (a, _) = solve(&quadratic, line(-5.0, 5.0, 161), params);
        let (b, info) = solve(&general, line(-5.0, 5.0, 161), params);
        let (ev, eu) = (difference(a.value(0), b.value(0)), difference(a.control(0), b.control(0)));
        println!("1-D {space:?}: V {ev:e} v {eu:e}, {} solves", info.inner_iterations);
        assert_eq!(info.maximisation, "refined lattice");
        assert!(ev < 1e-9 && eu < 1e-5, "{space:?} {ev:e} {eu:e}");
    }
    let quadratic = Problem {
        terminal: Arc::new(|_, x| (1.5 * x[0] + 0.7).sin() * x[1].cos()),
        set: ControlSet::Box { lower: vec![-0.8, -0.3], upper: vec![0.6, 1.0] },
        weight: Matrix::Field(Arc::new(|_, x, out| out.copy_from_slice(&[1.0 + 0.2 * x[0].sin(), 0.0, 0.0, 0.7]))),
        ..Problem::ornstein_uhlenbeck(2, 0.5, 1.0)
    };
    let cost = |_: f64, x: &[f64], v: &[f64]| 0.5 * ((1.0 + 0.2 * x[0].sin()) * v[0] * v[0] + 0.7 * v[1] * v[1]);
    let general = Problem { cost: Some(Arc::new(cost)), ..quadratic.clone() };
    let params = HjbParams { steps: 5, ..Default::default() };
    let (a, _) = solve(&quadratic, square(4.0, 41), params);
    let (b, _) = solve(&general, square(4.0, 41), params);
    let ev = difference(a.value(0), b.value(0));
    println!("2-D: {ev:e}");
    assert!(ev < 1e-9, "{ev:e}");
}

/// rho V = V''/2 + f V' + l + H(V') on [-pi, pi] with reflecting ends, f = sin(x)/2 and l such that V = cos x, for a cost c
/// with the given H(p) = max_v (p v - c(v)).
fn manufactured(
    set: ControlSet,
    cost: impl Fn(f64) -> f64 + Send + Sync + 'static,
    h: impl Fn(f64) -> f64 + Send + Sync + 'static,
) -> Problem {
    let rho = 0.8;
    Problem {
        drift: Arc::new(|_, x, out| out[0] = 0.5 * x[0].sin()),
        running: Arc::new(move |_, x| (rho + 0.5) * x[0].cos() + 0.5 * x[0].sin().powi(2) - h(-x[0].sin())),
        cost: Some(Arc::new(move |_, _, v| cost(v[0]))),
        set,
        discount: rho,
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    }
}

/// sup errors of V = cos x and of the control over |x| < 3, for three grids.
fn manufactured_errors(problem: &Problem, control: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
    let sizes = [41, 81, 161];
    let errors = sizes.iter().map(|&n| {
        let grid = line(-PI, PI, n);
        let params = StationaryParams { boundary: Faces::all(Face::Reflecting), ..Default::default() };
        let (v, info) = stationary(problem, grid.clone(), params);
        assert!(info.iterations < 12 && info.monotonicity.is_monotone(), "{info:?}");
        let (mut ev, mut eu) = (0.0f64, 0.0f64);
        for (j, x) in grid.axis(0).nodes().iter().enumerate() {
            ev = ev.max((v.value()[j] - x.cos()).abs());
            // Where p = 0 a control may be a matter of rounding.
            if x.abs() < 3.0 && x.sin().abs() > 1e-9 {
                eu = eu.max((v.control()[j] - control(-x.sin())).abs());
            }
        }
        (ev, eu)
    });
    errors.unzip()
}

#[test]
fn a_cost_with_a_kink_gives_the_soft_threshold() {
    // c = k |v| + v^2/2 on [-0.5, 0.5]: v = sign(p) min(max(|p| - k, 0), 0.5).
    let k = 0.3;
    let soft = move |p: f64| p.signum() * (p.abs() - k).clamp(0.0, 0.5);
    let cost = move |v: f64| k * v.abs() + 0.5 * v * v;
    let h = move |p: f64| p * soft(p) - cost(soft(p));
    let problem = manufactured(interval(0.5), cost, h);
    let (v, u) = manufactured_errors(&problem, soft);
    println!("kink: V {v:?} v {u:?}");
    assert!(orders(&v).iter().chain(&orders(&u)).all(|o| (o - 2.0).abs() < 0.25), "{v:?} {u:?}");
    // An independent route in time: a very fine finite set, which contains the kink.
    let timed = Problem { terminal: Arc::new(|_, x| (3.0 * x[0]).sin()), ..problem };
    let params = HjbParams { steps: 20, time: Time::ImplicitEuler, boundary: Faces::all(Face::Reflecting), ..Default::default() };
    let (a, _) = solve(&timed, line(-PI, PI, 81), params);
    let (b, _) = solve(&Problem { set: lattice(0.5, 2001, 1), ..timed }, line(-PI, PI, 81), params);
    let gap = difference(a.value(0), b.value(0));
    assert!(gap < 2.0 * (0.0005f64).powi(2) / 8.0 + 1e-8, "{gap:e}");
}

#[test]
fn a_cost_with_two_wells_is_maximised_globally() {
    // c = (v^2 - 1)^2/4 on [-1.5, 1.5]: p = v^3 - v with v beyond 1 on the side of p, and a jump from -1 to 1 at p = 0.
    let best = |p: f64| {
        let (mut lo, mut up) = (1.0f64, 1.5f64);
        for _ in 0..60 {
            let mid = 0.5 * (lo + up);
            if mid * mid * mid - mid < p.abs() { lo = mid } else { up = mid }
        }
        p.signum() * 0.5 * (lo + up)
    };
    let cost = |v: f64| 0.25 * (v * v - 1.0).powi(2);
    let problem = manufactured(interval(1.5), cost, move |p| p * best(p) - cost(best(p)));
    let (v, u) = manufactured_errors(&problem, best);
    println!("two wells: V {v:?} v {u:?}");
    assert!(orders(&v).iter().chain(&orders(&u)).all(|o| (o - 2.0).abs() < 0.3), "{v:?} {u:?}");
}

#[test]
fn the_shortest_way_out_is_bang_bang() {
    // dX = v dt + sigma dB on |x| < 1, v in {-1, 1}, least E tau: v = sign x and, with a = sigma^2/2,
    // V = 1 - |x| + a (e^{-1/a} - e^{-|x|/a}).
    let sigma = 0.6f64;
    let a = 0.5 * sigma * sigma;
    let problem = Problem {
        sigma: Matrix::Scaled(sigma),
        weight: Matrix::Scaled(0.0),
        running: Arc::new(|_, _| 1.0),
        set: ControlSet::Finite { controls: vec![vec![-1.0], vec![1.0]] },
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |_: &[f64]| 0.0);
    let errors: Vec<f64> = [41, 81, 161]
        .iter()
        .map(|&n| {
            let grid = line(-1.2, 1.2, n);
            let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
            let solver = StationarySolver::new(&problem, grid.clone(), params).unwrap();
            let (v, info) = solver.with_target(&target, Placement::SubCell).solve().unwrap();
            assert!(info.iterations <= 10 && info.monotonicity.is_monotone(), "{info:?}");
            let mut error = 0.0f64;
            for (j, x) in grid.axis(0).nodes().iter().enumerate().filter(|(_, x)| x.abs() < 1.0) {
                let r = x.abs();
                error = error.max((v.value()[j] - (1.0 - r + a * ((-1.0 / a).exp() - (-r / a).exp()))).abs());
                if r > 1e-9 {
                    assert_eq!(v.control()[j], x.signum(), "{x}");
                }
            }
            error
        })
        .collect();
    println!("shortest way out: {errors:?}");
    assert!(orders(&errors).iter().all(|o| *o > 1.8) && errors[2] < 4e-4, "{errors:?}");
}

type Square = [[f64; 2]; 2];

fn product(a: Square, b: Square) -> Square {
    let mut c = [[0.0; 2]; 2];
    for i in 0..2 {
        for j in 0..2 {
            c[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j];
        }
    }
    c
}

/// dX = (A X + G v) dt + dB in two dimensions with three controls, cost v'Rv/2 and reward -x'Qx/2.
const A: Square = [[-1.0, 0.4], [-0.2, -0.7]];
const G: [[f64; 3]; 2] = [[1.0, 0.5, -0.3], [0.2, -0.8, 0.6]];
const R: [[f64; 3]; 3] = [[1.5, 0.4, -0.2], [0.4, 1.0, 0.3], [-0.2, 0.3, 2.0]];
const Q: Square = [[1.2, 0.5], [0.5, 0.8]];

fn rows<const M: usize, const N: usize>(a: [[f64; M]; N]) -> Matrix {
    Matrix::Field(Arc::new(move |_, _, out| out.iter_mut().zip(a.as_flattened()).for_each(|(o, a)| *o = *a)))
}

fn linear_quadratic(g: [[f64; 3]; 2], r: [[f64; 3]; 3]) -> Problem {
    Problem {
        control_dim: 3,
        drift: Arc::new(|_, x, out| (0..2).for_each(|i| out[i] = A[i][0] * x[0] + A[i][1] * x[1])),
        gain: rows(g),
        weight: rows(r),
        terminal: Arc::new(|_, x| -0.5 * (Q[0][0] * x[0] * x[0] + 2.0 * Q[0][1] * x[0] * x[1] + Q[1][1] * x[1] * x[1])),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    }
}

/// R^{-1} G' by Cramer's rule.
fn response(g: [[f64; 3]; 2], r: [[f64; 3]; 3]) -> [[f64; 2]; 3] {
    let minor = |i: usize, j: usize| {
        let (a, b) = ((i + 1) % 3, (i + 2) % 3);
        let (c, d) = ((j + 1) % 3, (j + 2) % 3);
        r[a][c] * r[b][d] - r[a][d] * r[b][c]
    };
    let det: f64 = (0..3).map(|j| r[0][j] * minor(0, j)).sum();
    let mut m = [[0.0; 2]; 3];
    for k in 0..3 {
        for i in 0..2 {
            m[k][i] = (0..3).map(|l| minor(l, k) * g[i][l]).sum::<f64>() / det;
        }
    }
    m
}

/// K(0) and l(0) of V = -x'Kx/2 + l: K' = -(A'K + KA) + K G R^{-1} G' K, K(T) = Q, l' = tr(K)/2, l(T) = 0; T = 1.
fn riccati() -> (Square, f64) {
    let m = response(G, R);
    let mut s = [[0.0; 2]; 2];
    for i in 0..2 {
        for j in 0..2 {
            s[i][j] = (0..3).map(|k| G[i][k] * m[k][j]).sum();
        }
    }
    let transposed = [[A[0][0], A[1][0]], [A[0][1], A[1][1]]];
    let rate = |k: Square| {
        let (ak, ka, ksk) = (product(transposed, k), product(k, A), product(product(k, s), k));
        let mut d = [[0.0; 2]; 2];
        for i in 0..2 {
            for j in 0..2 {
                d[i][j] = ak[i][j] + ka[i][j] - ksk[i][j];
            }
        }
        (d, -0.5 * (k[0][0] + k[1][1]))
    };
    let add = |k: Square, d: Square, h: f64| {
        let mut out = k;
        (0..4).for_each(|e| out[e / 2][e % 2] += h * d[e / 2][e % 2]);
        out
    };
    let (mut k, mut l, steps) = (Q, 0.0, 2000);
    let h = 1.0 / steps as f64;
    for _ in 0..steps {
        // Classical Runge-Kutta in the time to go.
        let (a, la) = rate(k);
        let (b, lb) = rate(add(k, a, 0.5 * h));
        let (c, lc) = rate(add(k, b, 0.5 * h));
        let (d, ld) = rate(add(k, c, h));
        for (weight, stage) in [(1.0, a), (2.0, b), (2.0, c), (1.0, d)] {
            k = add(k, stage, h * weight / 6.0);
        }
        l += h * (la + 2.0 * lb + 2.0 * lc + ld) / 6.0;
    }
    (k, l)
}

#[test]
fn a_linear_quadratic_problem_with_more_controls_than_states_is_of_order_two() {
    let (k, l) = riccati();
    let m = response(G, R);
    let grid = square(5.0, 61);
    let n = grid.len();
    let nodes = grid.points();
    let (mut ev, mut eu) = (Vec::new(), Vec::new());
    for steps in [5, 10, 20] {
        let params = HjbParams { steps, time: Time::TrBdf2, ..Default::default() };
        let (v, info) = solve(&linear_quadratic(G, R), grid.clone(), params);
        assert_eq!(info.maximisation, "coupled quadratic");
        let (mut worst_v, mut worst_u) = (0.0f64, 0.0f64);
        for j in 0..n {
            let x = [nodes.coord(0)[j], nodes.coord(1)[j]];
            if x[0].abs().max(x[1].abs()) <= 1.0 {
                let kx = [k[0][0] * x[0] + k[0][1] * x[1], k[1][0] * x[0] + k[1][1] * x[1]];
                worst_v = worst_v.max((v.value(0)[j] + 0.5 * (x[0] * kx[0] + x[1] * kx[1]) - l).abs());
                for c in 0..3 {
                    worst_u = worst_u.max((v.control(0)[c * n + j] + m[c][0] * kx[0] + m[c][1] * kx[1]).abs());
                }
            }
        }
        ev.push(worst_v);
        eu.push(worst_u);
    }
    println!("LQ with three controls: V {ev:?} v {eu:?}");
    assert!(orders(&ev).iter().chain(&orders(&eu)).all(|o| (o - 2.0).abs() < 0.25), "{ev:?} {eu:?}");
    assert!(ev[2] < 5e-4 && eu[2] < 5e-4);
}

#[test]
fn turning_the_coordinates_of_the_control_changes_nothing() {
    // v = T w with T orthogonal: G -> G T, R -> T' R T.
    let (c, s) = (0.8, 0.6);
    let t = [[c, -s, 0.0], [s * 0.6, c * 0.6, -0.8], [s * 0.8, c * 0.8, 0.6]];
    let mut g = [[0.0; 3]; 2];
    let mut r = [[0.0; 3]; 3];
    for i in 0..3 {
        for j in 0..3 {
            r[i][j] = (0..9).map(|e| t[e / 3][i] * R[e / 3][e % 3] * t[e % 3][j]).sum();
            if i < 2 {
                g[i][j] = (0..3).map(|k| G[i][k] * t[k][j]).sum();
            }
        }
    }
    for i in 0..3 {
        for j in 0..i {
            r[j][i] = r[i][j];
        }
    }
    let grid = square(4.0, 31);
    let n = grid.len();
    for space in [Space::Hybrid, Space::Upwind] {
        let params = HjbParams { steps: 4, space, ..Default::default() };
        let (a, _) = solve(&linear_quadratic(G, R), grid.clone(), params);
        let (b, _) = solve(&linear_quadratic(g, r), grid.clone(), params);
        let gap = difference(a.value(0), b.value(0));
        let size = a.value(0).iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let mut turned = 0.0f64;
        for j in 0..n {
            for (k, row) in t.iter().enumerate() {
                let w: f64 = row.iter().enumerate().map(|(l, t)| t * b.control(0)[l * n + j]).sum();
                turned = turned.max((a.control(0)[k * n + j] - w).abs());
            }
        }
        println!("{space:?}: V {gap:e} of {size}, v {turned:e}");
        assert!(gap < 1e-11 * size && turned < 1e-9, "{gap:e} {turned:e}");
        // R = I and G a rotation: the closed form per axis with G = I.
        let terminal = |_: f64, x: &[f64]| (1.5 * x[0]).sin() * x[1].cos();
        let plain = Problem { terminal: Arc::new(terminal), ..Problem::ornstein_uhlenbeck(2, 1.0, 1.0) };
        let rotated = Problem { gain: rows([[c, -s], [s, c]]), ..plain.clone() };
        let ((a, _), (b, info)) = (solve(&plain, grid.clone(), params), solve(&rotated, grid.clone(), params));
        let gap = difference(a.value(0), b.value(0));
        assert!(gap < 1e-12 && info.maximisation == "coupled quadratic", "{space:?} {gap:e}");
    }
}

#[test]
fn a_coupled_quadratic_cost_on_a_box_agrees_with_the_search() {
    // The two routes share nothing but the discretisation: quadratic programmes against lattice and pattern. The drift is
    // large enough on the coarse grid for one-sided slopes.
    let quadratic = Problem {
        drift: Arc::new(|_, x, out| {
            out[0] = -2.0 * x[0] + 3.0 * x[1].sin();
            out[1] = 1.5 * (x[0] - x[1]);
        }),
        gain: rows([[1.0, 0.6], [-0.4, 0.9]]),
        sigma: Matrix::Scaled(0.4),
        weight: rows([[1.0, 0.5], [0.5, 0.8]]),
        terminal: Arc::new(|_, x| (1.5 * x[0]).sin() * x[1].cos()),
        set: ControlSet::Box { lower: vec![-0.7, -0.4], upper: vec![0.5, 0.8] },
        ..Problem::ornstein_uhlenbeck(2, 0.0, 0.5)
    };
    let cost = |_: f64, _: &[f64], v: &[f64]| 0.5 * (v[0] * v[0] + v[0] * v[1] + 0.8 * v[1] * v[1]);
    let general = Problem { cost: Some(Arc::new(cost)), ..quadratic.clone() };
    for space in [Space::Hybrid, Space::Upwind] {
        let params = HjbParams { steps: 2, time: Time::ImplicitEuler, space, ..Default::default() };
        let (a, first) = solve(&quadratic, square(3.0, 21), params);
        let (b, second) = solve(&general, square(3.0, 21), params);
        let gap = difference(a.value(0), b.value(0));
        println!("{space:?}: {gap:e}, {} and {} solves", first.inner_iterations, second.inner_iterations);
        assert_eq!((first.maximisation, second.maximisation), ("coupled quadratic", "refined lattice"));
        assert!(gap < 1e-8, "{gap:e}");
        let on_bound = a.control(0).iter().filter(|v| [-0.7, -0.4, 0.5, 0.8].contains(v)).count();
        assert!(on_bound > 20, "{on_bound}");
    }
}

/// dX = (-X/2 + u) dt + dW per coordinate, cost |x|^2 + |u|^2/2, rho = 1: V = P (|x|^2 + d), P = (sqrt 3 - 1)/2.
fn discounted(set: ControlSet) -> Problem {
    Problem {
        running: Arc::new(|_, x| x.iter().map(|x| x * x).sum()),
        discount: 1.0,
        set,
        ..Problem::ornstein_uhlenbeck(2, 0.5, 1.0)
    }
}

#[test]
fn finer_sets_of_controls_approach_the_discounted_linear_quadratic_value() {
    let exact = 3.0f64.sqrt() - 1.0;
    let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
    let half = 3.0;
    let centre = |count: usize| {
        let (v, info) = stationary(&discounted(lattice(half, count, 2)), square(4.0, 41), params);
        assert!(info.monotonicity.is_monotone() && info.maximisation == "finite set");
        v.value()[20 * 41 + 20]
    };
    // Each set contains the one before; the loss is at most d R dv^2/(8 rho).
    let counts = [4, 7, 13, 25, 49];
    let values: Vec<f64> = counts.iter().map(|&c| centre(c)).collect();
    println!("V(0) = {values:?}, exact {exact}");
    for (w, &count) in values.windows(2).zip(&counts[1..]) {
        let dv = 2.0 * half / (count - 1) as f64;
        assert!(w[1] < w[0] && w[1] > exact - 1e-5 && w[1] - exact < dv * dv / 4.0, "{values:?}");
    }
    let losses: Vec<f64> = values.iter().map(|v| v - exact).collect();
    assert!(orders(&losses[1..]).iter().all(|o| *o > 1.5), "{losses:?}");
}

#[test]
fn a_set_of_225_controls_loses_no_more_than_its_spacing_allows() {
    let params = StationaryParams { sense: Sense::Minimise, ..Default::default() };
    let (v, info) = stationary(&discounted(lattice(3.0, 15, 2)), square(4.0, 151), params);
    let centre = v.value()[75 * 151 + 75];
    println!("V(0) = {centre}, {} iterations", info.iterations);
    // The loss of the set: between nothing and d dv^2/8 with dv = 3/7.
    let loss = centre - (3.0f64.sqrt() - 1.0);
    assert!(loss > 0.0 && loss < 2.0 * (3.0f64 / 7.0).powi(2) / 8.0, "{loss}");
    assert!(info.iterations < 12, "{}", info.iterations);
}

#[test]
fn sweeps_of_policy_iteration_never_go_backward() {
    let finite = Problem { set: lattice(1.0, 9, 1), ..wave() };
    let two_wells = |_: f64, x: &[f64], v: &[f64]| 0.25 * (v[0] * v[0] - 0.5).powi(2) + 0.1 * (x[0] * v[0]).sin();
    let general = Problem { cost: Some(Arc::new(two_wells)), ..wave() };
    let coupled = Problem {
        control_dim: 2,
        gain: rows([[1.0, 0.5]]),
        weight: rows([[1.0, 0.3], [0.3, 0.5]]),
        set: ControlSet::Box { lower: vec![-0.5; 2], upper: vec![0.7; 2] },
        ..wave()
    };
    for (name, problem) in [("finite set", finite), ("refined lattice", general), ("coupled quadratic", coupled)] {
        for space in [Space::Hybrid, Space::Upwind] {
            let hjb = HjbParams { steps: 20, time: Time::ImplicitEuler, space, ..Default::default() };
            let params = PolicyIterationParams { hjb, ..Default::default() };
            let grid = line(-5.0, 5.0, 101);
            let (v, info) = PolicyIteration::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
            assert!(info.monotonicity.is_monotone());
            assert!(info.decreases.iter().all(|d| *d < 1e-12), "{name}: {:?}", info.decreases);
            assert!(info.iterations < 15 && info.gaps[0] > 1e-3, "{name}: {:?}", info.gaps);
            let (w, steps) = solve(&problem, grid, hjb);
            assert_eq!(steps.maximisation, name);
            let gap = difference(v.value(0), w.value(0));
            assert!(gap < 1e-9, "{name} {space:?}: {gap:e}");
        }
    }
}

#[test]
fn the_harvest_of_a_declining_stock_has_two_routes() {
    // x in [0, 1], drift a - 1 with a in [0, 1], noise 0.05, reward a (1 - a) dt and -x at T = 3, V = 0 at x = 0. With
    // v = a - 1/2 the reward is 1/4 - v^2: a quadratic cost with R = 2, maximised in closed form.
    let general = Problem {
        drift: Arc::new(|_, _, out| out[0] = -1.0),
        sigma: Matrix::Scaled(0.05),
        cost: Some(Arc::new(|_, _, a| a[0] * (a[0] - 1.0))),
        set: ControlSet::Box { lower: vec![0.0], upper: vec![1.0] },
        terminal: Arc::new(|_, x| -x[0]),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 3.0)
    };
    let quadratic = Problem {
        drift: Arc::new(|_, _, out| out[0] = -0.5),
        weight: Matrix::Scaled(2.0),
        running: Arc::new(|_, _| 0.25),
        set: interval(0.5),
        cost: None,
        ..general.clone()
    };
    let boundary = Faces::extrapolated().with(0, false, Face::Dirichlet);
    for time in [Time::ImplicitEuler, Time::TrBdf2] {
        let params = HjbParams { steps: 60, time, boundary, ..Default::default() };
        let (a, _) = solve(&general, line(0.0, 1.0, 101), params);
        let (b, _) = solve(&quadratic, line(0.0, 1.0, 101), params);
        let gap = difference(a.value(0), b.value(0));
        println!("{time:?}: {gap:e}, V(0,1) = {}, a = {}", a.value(0)[100], a.control(0)[100]);
        assert!(gap < 1e-9 && (a.control(0)[100] - b.control(0)[100] - 0.5).abs() < 1e-6, "{gap:e}");
        // With the noise of the original, 0.05 (1 - a), it is 0.623.
        assert!((a.value(0)[100] - 0.62).abs() < 0.03);
    }
}

/// A smooth problem in two dimensions with a coupled quadratic cost on a box.
fn coupled() -> Problem {
    Problem {
        gain: rows([[1.0, 0.6], [-0.4, 0.9]]),
        weight: rows([[1.0, 0.5], [0.5, 0.8]]),
        terminal: Arc::new(|_, x| x[0].sin() * x[1].cos()),
        set: ControlSet::Box { lower: vec![-0.3; 2], upper: vec![0.3; 2] },
        ..Problem::ornstein_uhlenbeck(2, 1.0, 0.5)
    }
}

#[test]
fn the_fitted_scheme_takes_all_bounded_control_sets() {
    // Its limit is that of the hybrid scheme: the difference of the two is of order 2 in the spacing.
    let two = [vec![-0.3, 0.2], vec![0.3, -0.1]];
    let finite = Problem { set: ControlSet::Finite { controls: two.to_vec() }, ..coupled() };
    for (problem, name) in [(coupled(), "refined lattice"), (finite, "finite set")] {
        let gaps: Vec<f64> = [13, 25, 49]
            .iter()
            .map(|&n| {
                let run = |space| solve(&problem, square(3.0, n), HjbParams { steps: 2, space, ..Default::default() });
                let ((a, info), (b, _)) = (run(Space::Fitted), run(Space::Hybrid));
                assert_eq!(info.maximisation, name);
                let inside = |j: &usize| (n / 4..3 * n / 4).contains(&(j % n)) && (n / 4..3 * n / 4).contains(&(j / n));
                (0..n * n).filter(inside).map(|j| (a.value(0)[j] - b.value(0)[j]).abs()).fold(0.0, f64::max)
            })
            .collect();
        println!("{name}: {gaps:?}");
        assert!(gaps[2] > 1e-6 && orders(&gaps).iter().all(|o| *o > 1.6), "{gaps:?}");
    }
    let free = Problem { set: ControlSet::Free, ..coupled() };
    let params = HjbParams { steps: 2, space: Space::Fitted, ..Default::default() };
    let error = HjbSolver::new(&free, square(3.0, 13), params).unwrap().solve().err();
    assert!(matches!(error, Some(HjbError::Unsupported { .. })), "{error:?}");
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads: usize, problem: &Problem| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| solve(problem, square(3.0, 47), HjbParams { steps: 1, ..Default::default() }).0)
    };
    let cost: common::Cost = Arc::new(|_, x, v| 0.5 * v[0] * v[0] + v[1].powi(4) + 0.1 * x[0] * v[1]);
    let general = Problem { cost: Some(cost), ..coupled() };
    let finite = Problem { set: lattice(0.3, 5, 2), ..coupled() };
    for problem in [coupled(), general, finite] {
        let (a, b) = (run(1, &problem), run(3, &problem));
        assert!(a.value(0) == b.value(0) && a.control(0) == b.control(0));
    }
}

#[test]
fn bad_controls_are_named() {
    let grid = line(-2.0, 2.0, 21);
    let run = |problem: &Problem| {
        HjbSolver::new(problem, grid.clone(), HjbParams { steps: 2, ..Default::default() }).unwrap().solve().err()
    };
    let finite = |controls: Vec<Vec<f64>>| Problem { set: ControlSet::Finite { controls }, ..wave() };
    let field = |error: Option<HjbError>| match error {
        Some(HjbError::Invalid { field, .. } | HjbError::Shape { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(run(&finite(vec![]))), "control_set.controls");
    assert_eq!(field(run(&finite(vec![vec![0.0], vec![f64::NAN]]))), "control_set.controls[1][0]");
    assert_eq!(field(run(&finite(vec![vec![0.0], vec![0.0, 1.0]]))), "control_set.controls[1]");
    let cost: common::Cost = Arc::new(|_, _, v| 0.5 * v[0] * v[0]);
    let general = |set| Problem { cost: Some(cost.clone()), set, ..wave() };
    assert_eq!(field(run(&general(ControlSet::Free))), "control_set[0]");
    assert_eq!(field(run(&general(ControlSet::Box { lower: vec![0.0], upper: vec![f64::INFINITY] }))), "control_set[0]");
    assert_eq!(field(run(&general(ControlSet::Box { lower: vec![f64::NAN], upper: vec![1.0] }))), "control_set[0]");
    // Not finite on a part of the box, on a spike between the samples, and in a finite set.
    for (set, bad) in [(interval(1.0), 0.0..2.0), (interval(1.0), 0.12..0.13), (lattice(1.0, 5, 1), 0.4..0.6)] {
        let cost: common::Cost =
            Arc::new(move |_, x, v| if x[0] > 1.0 && bad.contains(&v[0]) { f64::NAN } else { 0.5 * v[0] * v[0] });
        match run(&Problem { cost: Some(cost), set, ..wave() }) {
            Some(HjbError::NonFinite { coefficient: "control_cost", value, point, .. }) => {
                assert!(value.is_nan() && point[0] > 1.0)
            }
            other => panic!("{other:?}"),
        }
    }
    let two =
        |r: [[f64; 2]; 2]| Problem { control_dim: 2, gain: rows([[1.0, 0.5]]), weight: rows(r), set: ControlSet::Free, ..wave() };
    assert!(run(&two([[1.0, 0.2], [0.2, 1.0]])).is_none());
    assert!(
        matches!(run(&two([[1.0, 2.0], [2.0, 1.0]])), Some(HjbError::ControlWeightIndefinite { component: 1, pivot, .. }) if pivot == -3.0)
    );
    assert!(matches!(run(&two([[-1.0, 0.0], [0.0, 1.0]])), Some(HjbError::ControlWeight { component: 0, .. })));
    assert!(matches!(run(&two([[1.0, 0.2], [0.3, 1.0]])), Some(HjbError::ControlWeightAsymmetric { row: 1, column: 0, .. })));
    let params = HjbParams { search: SearchParams { lattice: Some(1), ..Default::default() }, ..Default::default() };
    assert_eq!(field(HjbSolver::new(&wave(), grid.clone(), params).err()), "search.lattice");
    let params = StationaryParams { search: SearchParams { starts: 0, ..Default::default() }, ..Default::default() };
    assert_eq!(field(StationarySolver::new(&wave(), grid.clone(), params).err()), "search.starts");
}
