//! The high-order route and the second-order one against published figures and closed forms.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, line, square};
use hjbridge_hjb::smooth::{Integrator, Output, ResidualParams, SmoothParams, SmoothSolver, fornberg_weights, hjb_residual};
use hjbridge_hjb::{HjbError, HjbParams, HjbSolver, Sense, Time, ValueFunction};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge_model::grid::{Axis, Region, TensorGrid};
use hjbridge_model::reward::Reward;
use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, GaussianMixture, KlWeight, MatrixCoefficient, Points, PointsMut,
    Schedule,
};
use std::sync::Arc;

/// dX = (-4 kappa X (X^2 - 1) + v) dt + dB with cost v^2/2 and nu (X_1^2 - 1)^2; one coordinate of the double well of
/// C. Domingo-Enrich, J. Han, B. Amos, J. Bruna, R. T. Q. Chen, Stochastic Optimal Control Matching (arXiv:2312.02027).
struct DoubleWell {
    kappa: f64,
    nu: f64,
    /// 1 for a cost, -1 for a reward.
    sign: f64,
}

impl Coefficients for DoubleWell {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (f, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *f = -4.0 * self.kappa * x * (x * x - 1.0);
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for DoubleWell {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        1.0
    }
    fn at(&self, _: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        for (g, x) in out.iter_mut().zip(x.coord(0)) {
            *g = self.sign * self.nu * (x * x - 1.0).powi(2);
        }
    }
}

/// (x, V, u).
type Entry = (f64, f64, f64);

/// (V, u) at each point of each time.
type Values = Vec<Vec<(f64, f64)>>;

/// (t, entries).
const TABLE: [(f64, [Entry; 5]); 3] = [
    (
        0.0,
        [
            (0.0, 0.1366518398, 0.0),
            (0.1, 0.1366518294, 1.884e-7),
            (0.5, 0.1366517781, 1.75e-8),
            (1.0, 0.1366517766, 1e-10),
            (1.5, 0.1366517766, 0.0),
        ],
    ),
    (
        0.5,
        [
            (0.0, 0.1371853068, 0.0),
            (0.1, 0.1370975974, 0.0015909786),
            (0.5, 0.1366640137, 0.0001483780),
            (1.0, 0.1366516039, 1.1671e-6),
            (1.5, 0.1366513591, 2.009e-7),
        ],
    ),
    (
        0.9,
        [
            (0.0, 0.90584174, 0.0),
            (0.1, 0.77836415, 2.2220490),
            (0.5, 0.18689811, 0.3680541),
            (1.0, 0.13537158, 0.0185796),
            (1.5, 0.13102760, 0.0038101),
        ],
    ),
];

/// Lagrange interpolation on the eight nodes around x.
fn at(nodes: &[f64], values: &[f64], x: f64) -> f64 {
    let j = nodes.partition_point(|n| *n <= x + 1e-12).clamp(4, nodes.len() - 4) - 4;
    let w = fornberg_weights(x, &nodes[j..j + 8], 0);
    w[0].iter().zip(&values[j..]).map(|(w, v)| w * v).sum()
}

/// V (with the sign of a cost) and u at the table's points, time by time.
fn at_the_points(solution: &ValueFunction, sign: f64) -> Values {
    let nodes = solution.grid().axis(0).nodes();
    let slice = |(t, rows): &(f64, [Entry; 5])| {
        let k = solution.times().iter().position(|s| (s - t).abs() < 1e-9).unwrap();
        rows.iter().map(|r| (sign * at(nodes, solution.value(k), r.0), at(nodes, solution.control(k), r.0))).collect()
    };
    TABLE.iter().map(slice).collect()
}

fn table() -> Values {
    TABLE.iter().map(|(_, rows)| rows.iter().map(|r| (r.1, r.2)).collect()).collect()
}

/// sup of the differences of V and of u at each time.
fn differences(a: &Values, b: &Values) -> Vec<(f64, f64)> {
    let mut out = Vec::new();
    for (a, b) in a.iter().zip(b) {
        let pairs = a.iter().zip(b);
        out.push(pairs.fold((0.0f64, 0.0f64), |m, (a, b)| (m.0.max((a.0 - b.0).abs()), m.1.max((a.1 - b.1).abs()))));
    }
    out
}

#[test]
fn the_double_well_by_the_monotone_scheme() {
    let model = DoubleWell { kappa: 5.0, nu: 3.0, sign: 1.0 };
    let params = HjbParams { time: Time::TrBdf2, steps: 1000, sense: Sense::Minimise, ..Default::default() };
    let grid = line(-2.75, 2.75, 5500);
    let (mut times, mut values, mut controls) = (Vec::new(), Vec::new(), Vec::new());
    let info = HjbSolver::new(&model, grid.clone(), params)
        .unwrap()
        .solve_observed(&mut |view| {
            if [0, 500, 900].contains(&view.step) {
                times.insert(0, view.t);
                values.insert(0, view.value.to_vec());
                controls.insert(0, view.control.to_vec());
            }
        })
        .unwrap();
    let solution = ValueFunction::new(grid, 1, times, values, controls).unwrap();
    let errors = differences(&at_the_points(&solution, 1.0), &table());
    println!("{errors:?} {} linear solves, {:.3} s", info.inner_iterations, info.seconds);
    assert!(errors.iter().all(|e| e.0 < 1e-4 && e.1 < 1e-4), "{errors:?}");
    assert!(info.inner_iterations < 2 * info.stages && info.monotonicity.violations == 0, "{info:?}");
}

#[test]
fn the_double_well_by_the_high_order_route() {
    let model = DoubleWell { kappa: 5.0, nu: 3.0, sign: -1.0 };
    let run = |n: usize| {
        // At the faces the drift is -170: nothing comes from there, and the box may be tight.
        let times = Output::Times(TABLE.iter().map(|t| t.0).collect());
        let p = SmoothParams { integrator: Integrator::Bdf, rtol: 1e-11, atol: 1e-11, output: times, ..Default::default() };
        let (solution, info) = SmoothSolver::new(&model, line(-2.2, 2.2, n), p).unwrap().solve().unwrap();
        println!("{n}: {} steps, {:.3} s", info.steps, info.seconds);
        at_the_points(&solution, -1.0)
    };
    let (coarse, middle, fine, finest) = (run(101), run(201), run(401), run(801));
    let self_differences = [&coarse, &middle, &fine].map(|v| differences(v, &finest));
    let errors = differences(&fine, &table());
    println!("{self_differences:?}\n{errors:?}");
    // Order 8 in the boundary layer of the terminal cost, where it is hardest.
    let orders = |f: &dyn Fn(&(f64, f64)) -> f64| (f(&self_differences[0][2]) / f(&self_differences[1][2])).log2();
    assert!(orders(&|e| e.0) > 6.5 && orders(&|e| e.1) > 6.0, "{self_differences:?}");
    assert!(self_differences[2].iter().all(|e| e.0 < 1e-9 && e.1 < 1e-8), "{self_differences:?}");
    // The table has ten digits; at t = 0.9 it is good to 5e-8.
    for (k, bound) in [(0, 1e-9), (1, 1e-9), (2, 5e-8)] {
        assert!(errors[k].0 < bound && errors[k].1 < bound, "{errors:?}");
    }
}

/// The linear-quadratic problem with three controls in two dimensions: V = -x'Px/2 - c.
struct Riccati {
    p: [[f64; 2]; 2],
    c: f64,
}

const A: [[f64; 2]; 2] = [[-0.6, 0.5], [-0.4, -0.8]];
const G: [[f64; 3]; 2] = [[1.0, -0.4, 0.3], [0.2, 0.9, -0.5]];
const R: [[f64; 3]; 3] = [[1.2, 0.3, -0.2], [0.3, 0.8, 0.1], [-0.2, 0.1, 1.5]];
const S: [[f64; 2]; 2] = [[0.8, 0.2], [-0.1, 0.6]];
const Q: [[f64; 2]; 2] = [[1.1, -0.3], [-0.3, 0.7]];
const RUNNING: [[f64; 2]; 2] = [[0.5, 0.1], [0.1, 0.4]];

/// R^{-1} G', by Cramer's rule.
fn feedback() -> [[f64; 2]; 3] {
    let r = &R;
    let minor = |i: usize, j: usize| {
        let (a, b) = ((i + 1) % 3, (i + 2) % 3);
        let (c, d) = ((j + 1) % 3, (j + 2) % 3);
        r[a][c] * r[b][d] - r[a][d] * r[b][c]
    };
    let det: f64 = (0..3).map(|j| r[0][j] * minor(0, j)).sum();
    std::array::from_fn(|k| std::array::from_fn(|i| (0..3).map(|q| minor(q, k) / det * G[i][q]).sum()))
}

impl Riccati {
    /// P_tau = A'P + PA + L - P G R^{-1} G' P, c_tau = tr(SS'P)/2, by 4000 Runge-Kutta steps.
    fn new(tau: f64) -> Self {
        let k = feedback();
        let m: [[f64; 2]; 2] = std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|q| G[i][q] * k[q][j]).sum()));
        let rate = |s: &[f64; 5]| -> [f64; 5] {
            let p = |i: usize, j: usize| s[2 * i + j];
            let mut out = [0.0; 5];
            for i in 0..2 {
                for j in 0..2 {
                    let mut sum = RUNNING[i][j];
                    for a in 0..2 {
                        sum += A[a][i] * p(a, j) + p(i, a) * A[a][j] - (0..2).map(|b| p(i, a) * m[a][b] * p(b, j)).sum::<f64>();
                        out[4] += 0.5 * S[i][a] * S[j][a] * p(i, j);
                    }
                    out[2 * i + j] = sum;
                }
            }
            out
        };
        let mut s = [Q[0][0], Q[0][1], Q[1][0], Q[1][1], 0.0];
        let h = tau / 4000.0;
        let moved = |s: &[f64; 5], r: &[f64; 5], h: f64| std::array::from_fn(|i| s[i] + h * r[i]);
        for _ in 0..4000 {
            let k1 = rate(&s);
            let k2 = rate(&moved(&s, &k1, 0.5 * h));
            let k3 = rate(&moved(&s, &k2, 0.5 * h));
            let k4 = rate(&moved(&s, &k3, h));
            s = std::array::from_fn(|i| s[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]));
        }
        Riccati { p: [[s[0], s[1]], [s[2], s[3]]], c: s[4] }
    }
}

/// The problem above in the controls w of v = T(x) w; T = 1, or a T that varies over the box.
fn lq(varying: bool) -> Problem {
    let turn = move |x: &[f64]| -> [[f64; 3]; 3] {
        if !varying {
            return [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        }
        let (s, c) = (0.7 * x[0] - 0.2 * x[1]).sin_cos();
        let scale = 1.0 + 0.3 * x[1].sin();
        [[c, -s, 0.0], [scale * s, scale * c, 0.1], [0.2, 0.0, 1.0]]
    };
    let product = |a: &[f64; 3], t: &[[f64; 3]; 3], k: usize| -> f64 { (0..3).map(|q| a[q] * t[q][k]).sum() };
    Problem {
        control_dim: 3,
        drift: Arc::new(|_, x, out| (0..2).for_each(|i| out[i] = A[i][0] * x[0] + A[i][1] * x[1])),
        gain: Matrix::Field(Arc::new(move |_, x, out| {
            let t = turn(x);
            (0..6).for_each(|e| out[e] = product(&G[e / 3], &t, e % 3));
        })),
        weight: Matrix::Field(Arc::new(move |_, x, out| {
            let t = turn(x);
            for i in 0..3 {
                for k in 0..3 {
                    out[3 * i + k] = (0..3).map(|q| t[q][i] * product(&R[q], &t, k)).sum();
                }
            }
            // Exactly symmetric.
            for (i, k) in [(0, 1), (0, 2), (1, 2)] {
                out[3 * k + i] = out[3 * i + k];
            }
        })),
        sigma: Matrix::Field(Arc::new(|_, _, out| (0..4).for_each(|e| out[e] = S[e / 2][e % 2]))),
        running: Arc::new(|_, x| -0.5 * quadratic(&RUNNING, x)),
        terminal: Arc::new(|_, x| -0.5 * quadratic(&Q, x)),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 0.8)
    }
}

fn quadratic(q: &[[f64; 2]; 2], x: &[f64]) -> f64 {
    (0..4).map(|e| q[e / 2][e % 2] * x[e / 2] * x[e % 2]).sum()
}

#[test]
fn full_control_matrices_against_the_riccati_equation() {
    let grid = square(2.0, 17);
    let points = grid.points();
    let k = feedback();
    for (varying, integrator, tolerance, bound) in
        [(false, Integrator::Bdf, 1e-10, 1e-8), (true, Integrator::Bdf, 1e-10, 1e-8), (true, Integrator::Rkc, 1e-8, 2e-5)]
    {
        let problem = lq(varying);
        let p = SmoothParams {
            integrator,
            rtol: tolerance,
            atol: tolerance,
            output: Output::Times(vec![0.0, 0.3]),
            ..Default::default()
        };
        let (solution, _) = SmoothSolver::new(&problem, grid.clone(), p).unwrap().solve().unwrap();
        for (level, t) in [0.0, 0.3].into_iter().enumerate() {
            let exact = Riccati::new(0.8 - t);
            let (mut worst_v, mut worst_u) = (0.0f64, 0.0f64);
            for j in 0..grid.len() {
                let x = [points.coord(0)[j], points.coord(1)[j]];
                worst_v = worst_v.max((solution.value(level)[j] + 0.5 * quadratic(&exact.p, &x) + exact.c).abs());
                if !varying {
                    for q in 0..3 {
                        let v: f64 = (0..4).map(|e| -k[q][e / 2] * exact.p[e / 2][e % 2] * x[e % 2]).sum();
                        worst_u = worst_u.max((solution.control(level)[q * grid.len() + j] - v).abs());
                    }
                }
            }
            println!("{varying} {integrator:?} t = {t}: {worst_v:e} {worst_u:e}");
            assert!(worst_v < bound && worst_u < bound, "{varying} {integrator:?} t = {t}: {worst_v:e} {worst_u:e}");
        }
    }
    // The residual of the equation sees the same Hamiltonian (splines reproduce quadratics; V_t from the integrator's output).
    let problem = lq(true);
    let p =
        SmoothParams { integrator: Integrator::Bdf, rtol: 1e-9, atol: 1e-9, output: Output::Levels(64), ..Default::default() };
    let (solution, _) = SmoothSolver::new(&problem, grid, p).unwrap().solve().unwrap();
    let residual = hjb_residual(&problem, &solution, &Region::cube(2, 1.5).unwrap(), ResidualParams::default()).unwrap();
    assert!(residual.sup < 1e-3, "{residual:?}");
}

#[test]
fn a_rotated_problem_has_the_rotated_value() {
    // Coordinates y = Q x with Q the rotation of the triangle 3-4-5, which takes every fifth node to a node.
    let (c, s) = (0.6, 0.8);
    let problem = |turned: bool| {
        let back = move |y: &[f64]| if turned { [c * y[0] + s * y[1], c * y[1] - s * y[0]] } else { [y[0], y[1]] };
        let forth = move |x: [f64; 2]| if turned { [c * x[0] - s * x[1], s * x[0] + c * x[1]] } else { x };
        let matrix = move |a: f64, b: f64| {
            Matrix::Field(Arc::new(move |_: f64, _: &[f64], out: &mut [f64]| {
                let (p, q) = (forth([a, 0.0]), forth([0.0, b]));
                out.copy_from_slice(&[p[0], q[0], p[1], q[1]]);
            }))
        };
        Problem {
            drift: Arc::new(move |_, y, out| {
                let x = back(y);
                out.copy_from_slice(&forth([-0.8 * x[0] + 0.3 * x[1], -1.2 * x[1]]));
            }),
            gain: matrix(1.0, 0.5),
            sigma: matrix(0.9, 0.7),
            weight: Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[1.0, 0.4, 0.4, 2.0]))),
            terminal: Arc::new(move |_, y| {
                let x = back(y);
                -(1.0 + x[0] * x[0] + 0.5 * (x[1] - 0.4).powi(2)).ln() + 0.3 * (x[0] + x[1]).sin()
            }),
            ..Problem::ornstein_uhlenbeck(2, 0.0, 0.5)
        }
    };
    let n = 121;
    let solve = |turned| {
        let p = SmoothParams { rtol: 1e-8, atol: 1e-8, output: Output::Times(vec![0.0]), ..Default::default() };
        SmoothSolver::new(&problem(turned), square(5.0, n), p).unwrap().solve().unwrap().0
    };
    let (plain, turned) = (solve(false), solve(true));
    let node = |i: i64, j: i64| ((60 + i) * n as i64 + 60 + j) as usize;
    let (mut worst, mut size) = (0.0f64, 0.0f64);
    for a in -3i64..=3 {
        for b in -3i64..=3 {
            let (x, y) = (node(5 * a, 5 * b), node(3 * a - 4 * b, 4 * a + 3 * b));
            worst = worst.max((plain.value(0)[x] - turned.value(0)[y]).abs());
            size = size.max((plain.value(0)[x] - plain.value(0)[node(0, 0)]).abs());
            for k in 0..2 {
                worst = worst.max((plain.control(0)[k * n * n + x] - turned.control(0)[k * n * n + y]).abs());
            }
        }
    }
    println!("{worst:e} of {size}");
    assert!(worst < 2e-6 && size > 0.3, "{worst:e} of {size}");
}

#[test]
fn controls_that_are_not_treated_are_refused_with_the_alternative() {
    let refuse = |problem: &dyn ControlledDiffusion| {
        let p = SmoothParams { output: Output::Levels(1), ..Default::default() };
        SmoothSolver::new(problem, square(2.0, 17), p).unwrap().solve().unwrap_err()
    };
    let finite = Problem { set: ControlSet::Finite { controls: vec![vec![0.0; 3]] }, ..lq(false) };
    let e = refuse(&finite);
    assert!(matches!(e, HjbError::Unsupported { .. }) && e.to_string().contains("monotone route"), "{e}");
    let e = refuse(&General(lq(false)));
    assert!(matches!(e, HjbError::Unsupported { .. }) && e.to_string().contains("monotone route"), "{e}");
    let boxed = |m: usize| ControlSet::Box { lower: vec![-1.0; m], upper: vec![1.0; m] };
    let e = refuse(&Problem { set: boxed(3), ..lq(false) });
    assert!(e.to_string().contains("control_dim = 3 with dim = 2"), "{e}");
    let full = Matrix::Field(Arc::new(|_, _, out: &mut [f64]| out.copy_from_slice(&[1.0, 0.3, 0.3, 1.0])));
    let plain = Problem::ornstein_uhlenbeck(2, 1.0, 0.5);
    let e = refuse(&Problem { set: boxed(2), weight: full, ..plain.clone() });
    assert!(e.to_string().contains("control_weight[0][1] = 0.3"), "{e}");
    let indefinite = Matrix::Field(Arc::new(|_, _, out: &mut [f64]| out.copy_from_slice(&[1.0, 2.0, 2.0, 1.0])));
    let e = refuse(&Problem { weight: indefinite, ..plain.clone() });
    assert!(matches!(e, HjbError::ControlWeight { component: 1, .. }), "{e}");
    let skew = Matrix::Field(Arc::new(|_, _, out: &mut [f64]| out.copy_from_slice(&[1.0, 0.2, -0.2, 1.0])));
    let e = refuse(&Problem { weight: skew, ..plain });
    assert!(e.to_string().contains("a symmetric R"), "{e}");
}

/// The same problem with a cost of another form.
struct General(Problem);

impl ControlledDiffusion for General {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn control_dim(&self) -> usize {
        self.0.control_dim()
    }
    fn horizon(&self) -> f64 {
        self.0.horizon()
    }
    fn control_cost(&self) -> ControlCost {
        ControlCost::General
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        self.0.at(t)
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.0.terminal_reward(x, out)
    }
}

/// Six Gaussians on the axes of R^3 and a quadratic reward.
fn octahedron() -> FineTuning {
    let mean = |k: usize| (0..3).map(|i| if i == k / 2 { [1.8, -1.8][k % 2] } else { 0.0 }).collect::<Vec<f64>>();
    let covariance: Vec<Vec<f64>> = (0..3).map(|i| (0..3).map(|j| if i == j { 0.25 } else { 0.0 }).collect()).collect();
    let prior = GaussianMixture::new(vec![1.0 / 6.0; 6], (0..6).map(mean).collect(), vec![covariance; 6]).unwrap();
    let q = [vec![0.5, 0.1, 0.0], vec![0.1, 0.3, 0.0], vec![0.0, 0.0, 0.2]];
    let reward = Reward::quadratic(&q, vec![0.8, 0.4, -0.3], 0.0).unwrap();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
    FineTuning::new(schedule, prior, reward, KlWeight::constant(0.8).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

#[test]
fn three_dimensions_against_the_closed_form() {
    let problem = octahedron();
    let exact = TiltedMixture::new(&problem).unwrap();
    let run = |n: usize| {
        let axis = Axis::uniform(-4.5, 4.5, n).unwrap();
        let grid = Arc::new(TensorGrid::new(vec![axis; 3]).unwrap());
        let p = SmoothParams { rtol: 2e-5, atol: 2e-5, output: Output::Levels(4), ..Default::default() };
        let points = grid.points();
        let inside: Vec<usize> = (0..grid.len()).filter(|&j| (0..3).all(|i| points.coord(i)[j].abs() < 2.6)).collect();
        let mut v = vec![0.0; grid.len()];
        let mut worst = 0.0f64;
        let info = SmoothSolver::new(&problem, grid.clone(), p)
            .unwrap()
            .solve_observed(&mut |view| {
                exact.at(view.t).value(points.as_points(), &mut v);
                worst = inside.iter().fold(worst, |m, &j| m.max((view.value[j] - v[j]).abs()));
            })
            .unwrap();
        println!("{n}^3: {worst:e} {} stages {} coefficients {:.3} s", info.stages, info.coefficient_evaluations, info.seconds);
        worst
    };
    let (coarse, fine) = (run(25), run(33));
    // Space first, then the time error of the tolerance: 2.9e-4 on 49^3 and 65^3.
    assert!(coarse > 1.5 * fine && fine < 6e-4, "{coarse:e} {fine:e}");
}
