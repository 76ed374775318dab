//! Cross derivatives, conditions at the faces and the fitted scheme, against closed forms.
#![allow(missing_docs)]

mod common;

use common::{Matrix, Problem, fine_tuning_errors, line, mixture, orders, square};
use hjbridge_hjb::linear::{IterationParams, MultigridParams};
use hjbridge_hjb::smooth::{Integrator, Output};
use hjbridge_hjb::{
    Face, Faces, FokkerPlanck, FokkerPlanckParams, HjbError, HjbParams, HjbSolver, LevelSet, LinearSolverChoice, Placement,
    Sense, SmoothParams, SmoothSolver, Space, StationaryParams, StationarySolver, Storage, Time, ViolationCause,
};
use hjbridge_model::exact::TiltedMixture;
use hjbridge_model::field::ZeroFeedback;
use hjbridge_model::grid::{Axis, TensorGrid};
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

/// Uncontrolled dX = mu dt + S dB with a constant S, row by row.
fn constant(dim: usize, mu: Vec<f64>, s: Vec<f64>, horizon: f64) -> Problem {
    Problem {
        control_dim: 0,
        drift: Arc::new(move |_, _, out| out.copy_from_slice(&mu)),
        sigma: Matrix::Field(Arc::new(move |_, _, out| out.copy_from_slice(&s))),
        ..Problem::ornstein_uhlenbeck(dim, 0.0, horizon)
    }
}

fn product(axes: Vec<Axis>) -> Arc<TensorGrid> {
    Arc::new(TensorGrid::new(axes).unwrap())
}

/// sup |V - exact| over the nodes where `within` holds.
fn error(grid: &TensorGrid, value: &[f64], exact: impl Fn(&[f64]) -> f64, within: impl Fn(&[f64]) -> bool) -> f64 {
    let mut x = vec![0.0; grid.dim()];
    let mut worst = 0.0f64;
    for (j, v) in value.iter().enumerate() {
        grid.node(j, &mut x);
        if within(&x) {
            worst = worst.max((v - exact(&x)).abs());
        }
    }
    worst
}

fn value_at_zero(problem: &Problem, grid: &Arc<TensorGrid>, params: HjbParams) -> Vec<f64> {
    HjbSolver::new(problem, grid.clone(), params).unwrap().solve().unwrap().0.value(0).to_vec()
}

#[test]
fn correlated_diffusion_on_a_torus_is_of_order_two_for_both_signs_and_all_solvers() {
    // V = exp(-k'ak tau/2) cos(k.(x + mu tau)), k = (1, 1), on axes of unequal spacing.
    for sign in [1.0, -1.0] {
        let (mu, cross) = ([0.6, -0.4], 0.45 * sign);
        let s = vec![1.0, 0.0, cross, (0.8f64 - cross * cross).sqrt()];
        let mut problem = constant(2, mu.to_vec(), s, 0.8);
        problem.terminal = Arc::new(|_, x| (x[0] + x[1]).cos());
        let rate = 0.5 * (1.0 + 0.8 + 2.0 * cross);
        let exact = move |x: &[f64]| (-rate * 0.8).exp() * (x[0] + x[1] + 0.8 * (mu[0] + mu[1])).cos();
        let run = |n: usize, linear| {
            let grid = product(vec![Axis::uniform(0.0, TAU, n + 1).unwrap(), Axis::uniform(0.0, TAU, n * 5 / 4 + 1).unwrap()]);
            let params = HjbParams {
                steps: n,
                boundary: Face::Periodic.into(),
                require_monotone: true,
                linear,
                storage: Storage::AtMost(2),
                ..Default::default()
            };
            error(&grid, &value_at_zero(&problem, &grid, params), exact, |_| true)
        };
        let errors: Vec<f64> = [16, 32, 64].iter().map(|&n| run(n, LinearSolverChoice::Auto)).collect();
        eprintln!("torus, a12 = {cross}: {errors:?} {:?}", orders(&errors));
        assert!(errors[2] < 9e-4 && orders(&errors).iter().all(|o| (1.9..2.1).contains(o)), "{errors:?}");
        for choice in [LinearSolverChoice::SparseLu, LinearSolverChoice::BiCgStab(IterationParams::default())] {
            assert!((run(16, choice) - errors[0]).abs() < 1e-9, "{choice:?}");
        }
        let refused = HjbParams {
            steps: 2,
            boundary: Face::Periodic.into(),
            linear: LinearSolverChoice::Multigrid(MultigridParams::default()),
            ..Default::default()
        };
        let grid = square(PI, 17);
        assert!(matches!(HjbSolver::new(&problem, grid, refused).unwrap().solve(), Err(HjbError::Linear { .. })));
    }
}

/// E exp(-|X_T|^2/2) from x, dX = -X dt + S dB, T = 1, a = S S' (2 x 2).
fn gaussian(a: [f64; 3], x: [f64; 2]) -> f64 {
    let (c, m) = (0.5 * (1.0 - (-2.0f64).exp()), x.map(|x| x * (-1.0f64).exp()));
    let [p, q, r] = [1.0 + c * a[0], c * a[1], 1.0 + c * a[2]];
    let det = p * r - q * q;
    (-0.5 * (r * m[0] * m[0] - 2.0 * q * m[0] * m[1] + p * m[1] * m[1]) / det).exp() / det.sqrt()
}

/// The problem of [`gaussian`] in the coordinates `pair` of `dim`.
fn pulled(dim: usize, pair: [usize; 2], a: [f64; 3]) -> Problem {
    let s = [a[0].sqrt(), a[1] / a[0].sqrt(), (a[2] - a[1] * a[1] / a[0]).sqrt()];
    Problem {
        control_dim: 0,
        sigma: Matrix::Field(Arc::new(move |_, _, out| {
            out.fill(0.0);
            (0..dim).for_each(|i| out[i * dim + i] = 0.7);
            let [i, k] = pair;
            (out[i * dim + i], out[k * dim + i], out[k * dim + k]) = (s[0], s[1], s[2]);
        })),
        terminal: Arc::new(move |_, x| (-0.5 * pair.iter().map(|&i| x[i] * x[i]).sum::<f64>()).exp()),
        ..Problem::ornstein_uhlenbeck(dim, 1.0, 1.0)
    }
}

#[test]
fn correlated_diffusion_on_stretched_axes_and_in_three_dimensions_is_of_order_two() {
    let a = [1.0, 0.35, 0.6];
    let problem = pulled(2, [0, 1], a);
    let near = |x: &[f64]| x.iter().all(|x| x.abs() <= 2.0);
    for space in [Space::Hybrid, Space::Fitted] {
        let run = |n: usize| {
            let grid =
                product(vec![Axis::stretched(-5.0, 5.0, n, 0.0, 1.5).unwrap(), Axis::stretched(-5.0, 5.0, n, 0.6, 1.5).unwrap()]);
            let params = HjbParams { space, steps: n / 2, storage: Storage::AtMost(2), ..Default::default() };
            error(&grid, &value_at_zero(&problem, &grid, params), |x| gaussian(a, [x[0], x[1]]), near)
        };
        let errors = [33, 65, 129].map(run);
        eprintln!("stretched, {space:?}: {errors:?} {:?}", orders(&errors));
        assert!(errors[2] < 1e-3 && orders(&errors).iter().all(|o| *o > 1.8), "{errors:?}");
    }
    let a = [1.0, -0.4, 0.8];
    let problem = pulled(3, [0, 2], a);
    let run = |n: usize| {
        let axis = Axis::uniform(-4.0, 4.0, n).unwrap();
        let grid = product(vec![axis.clone(), Axis::uniform(-2.0, 2.0, 9).unwrap(), axis]);
        let params = HjbParams { steps: n / 2, storage: Storage::AtMost(2), require_monotone: true, ..Default::default() };
        error(&grid, &value_at_zero(&problem, &grid, params), |x| gaussian(a, [x[0], x[2]]), near)
    };
    let errors = [17, 33, 65].map(run);
    eprintln!("three dimensions: {errors:?} {:?}", orders(&errors));
    assert!(errors[2] < 2e-3 && orders(&errors).iter().all(|o| *o > 1.8), "{errors:?}");
}

#[test]
fn cross_terms_are_monotone_up_to_the_bound_of_the_spacings_and_named_beyond() {
    // a11 = 1, a22 = 1/4: with equal spacings |a12| <= 1/4, with h2 = h1/2 up to 1/2.
    let run = |cross: f64, second: usize, faces: Faces| {
        let problem = pulled(2, [0, 1], [1.0, cross, 0.25]);
        let grid = product(vec![Axis::uniform(-4.0, 4.0, 33).unwrap(), Axis::uniform(-4.0, 4.0, second).unwrap()]);
        let params =
            HjbParams { steps: 4, require_monotone: true, boundary: faces, time: Time::ImplicitEuler, ..Default::default() };
        let outcome = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve();
        let counted = HjbParams { require_monotone: false, ..params };
        let (_, info) = HjbSolver::new(&problem, grid, counted).unwrap().solve().unwrap();
        (outcome.err(), info.monotonicity)
    };
    for faces in [Faces::extrapolated(), Faces::reflecting()] {
        for cross in [0.2499, -0.2499] {
            let (error, certificate) = run(cross, 33, faces);
            assert!(error.is_none() && certificate.is_monotone(), "{error:?}");
        }
        let (error, certificate) = run(0.3, 33, faces);
        match error {
            Some(HjbError::NotMonotone { axis: 1, cause: ViolationCause::CrossTerm, rate, .. }) => {
                // Two equal shares of a12 over h^2 taken from a22/(2 h^2).
                assert!((rate - (0.25 - 0.3) / (2.0 * 0.0625)).abs() < 1e-12 || rate < 0.0, "{rate}");
            }
            other => panic!("{other:?}"),
        }
        assert!(certificate.violations > 0 && certificate.worst_cause == Some(ViolationCause::CrossTerm));
        assert!(run(0.3, 65, faces).1.is_monotone());
    }
}

/// K and l of V = -x'Kx/2 + l at t = 0: K' = -(A'K + KA) + K^2/beta, l' = tr(a K)/2 (a backward Runge-Kutta of 20000 steps).
fn riccati(
    a_matrix: [[f64; 2]; 2],
    q: [[f64; 2]; 2],
    a: [[f64; 2]; 2],
    beta: fn(f64) -> f64,
    horizon: f64,
) -> ([[f64; 2]; 2], f64) {
    let slope = |t: f64, k: [[f64; 2]; 2]| {
        let mut out = [[0.0; 2]; 2];
        let mut trace = 0.0;
        for i in 0..2 {
            for j in 0..2 {
                for m in 0..2 {
                    out[i][j] += -(a_matrix[m][i] * k[m][j] + k[i][m] * a_matrix[m][j]) + k[i][m] * k[m][j] / beta(t);
                }
                trace += 0.5 * a[i][j] * k[j][i];
            }
        }
        (out, trace)
    };
    let add = |k: [[f64; 2]; 2], s: [[f64; 2]; 2], h: f64| [0, 1].map(|i| [0, 1].map(|j| k[i][j] - h * s[i][j]));
    let (mut k, mut l) = (q, 0.0);
    let steps = 20_000;
    let h = horizon / steps as f64;
    for n in 0..steps {
        let t = horizon - n as f64 * h;
        let (s1, l1) = slope(t, k);
        let (s2, l2) = slope(t - 0.5 * h, add(k, s1, 0.5 * h));
        let (s3, l3) = slope(t - 0.5 * h, add(k, s2, 0.5 * h));
        let (s4, l4) = slope(t - h, add(k, s3, h));
        let mean = [0, 1].map(|i| [0, 1].map(|j| (s1[i][j] + 2.0 * s2[i][j] + 2.0 * s3[i][j] + s4[i][j]) / 6.0));
        k = add(k, mean, h);
        l -= h * (l1 + 2.0 * l2 + 2.0 * l3 + l4) / 6.0;
    }
    (k, l)
}

#[test]
fn a_linear_quadratic_problem_with_correlated_noise_and_a_varying_weight_meets_its_riccati_solution() {
    let drift = [[-0.5, 0.3], [-0.2, -0.8]];
    let q = [[1.0, 0.3], [0.3, 0.6]];
    let beta = |t: f64| 0.5 + 0.6 * t * t + 0.2 * (3.0 * t).sin();
    let a = [[0.64, 0.32], [0.32, 0.52]];
    let problem = Problem {
        drift: Arc::new(move |_, x, out| (0..2).for_each(|i| out[i] = drift[i][0] * x[0] + drift[i][1] * x[1])),
        sigma: Matrix::Field(Arc::new(|_, _, out| out.copy_from_slice(&[0.8, 0.0, 0.4, 0.6]))),
        weight: Matrix::Field(Arc::new(move |t, _, out| out.copy_from_slice(&[beta(t), 0.0, 0.0, beta(t)]))),
        terminal: Arc::new(move |_, x| -0.5 * (q[0][0] * x[0] * x[0] + 2.0 * q[0][1] * x[0] * x[1] + q[1][1] * x[1] * x[1])),
        ..Problem::ornstein_uhlenbeck(2, 0.0, 1.0)
    };
    let (k, l) = riccati(drift, q, a, beta, 1.0);
    let exact = |x: &[f64]| l - 0.5 * (k[0][0] * x[0] * x[0] + 2.0 * k[0][1] * x[0] * x[1] + k[1][1] * x[1] * x[1]);
    let near = |x: &[f64]| x.iter().all(|x| x.abs() <= 1.0 + 1e-12);
    // v = -K x/beta(0).
    let control_error = |grid: &TensorGrid, control: &[f64]| {
        let n = grid.len();
        (0..2).fold(0.0f64, |e, i| {
            let exact = |x: &[f64]| -(k[i][0] * x[0] + k[i][1] * x[1]) / beta(0.0);
            e.max(error(grid, &control[i * n..(i + 1) * n], exact, near))
        })
    };
    let (mut values, mut controls) = (Vec::new(), Vec::new());
    for n in [33, 65, 129] {
        let grid = square(4.0, n);
        let params = HjbParams { steps: n / 4, storage: Storage::AtMost(2), ..Default::default() };
        let (v, info) = HjbSolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
        values.push(error(&grid, v.value(0), exact, near));
        controls.push(control_error(&grid, v.control(0)));
        assert!(info.monotonicity.is_monotone(), "{:?}", info.monotonicity);
    }
    eprintln!("correlated LQ, monotone: V {values:?} {:?}; u {controls:?} {:?}", orders(&values), orders(&controls));
    assert!(values[2] < 3e-4 && controls[2] < 1e-3, "{values:?} {controls:?}");
    assert!(orders(&values)[1] > 1.8 && orders(&controls)[1] > 1.7);
    let smooth =
        SmoothParams { integrator: Integrator::Rkc, rtol: 1e-9, atol: 1e-10, output: Output::Levels(1), ..Default::default() };
    let grid = square(3.0, 33);
    let (v, info) = SmoothSolver::new(&problem, grid.clone(), smooth).unwrap().solve().unwrap();
    let (e, u) = (error(&grid, v.value(0), exact, near), control_error(&grid, v.control(0)));
    eprintln!("correlated LQ, high order: V {e:.2e} u {u:.2e}, {} steps", info.steps);
    assert!(e < 1e-6 && u < 1e-6, "{e} {u}");
}

#[test]
fn a_target_inside_the_cells_keeps_quadratics_exact_with_correlated_noise() {
    // (1/2) tr(a D^2 V) = const for a quadratic V: the discrete solution on a disc is V itself.
    let problem = Problem {
        running: Arc::new(|_, _| -(1.0 - 0.3 + 2.0 * 0.8)),
        ..constant(2, vec![0.0; 2], vec![1.0, 0.0, 0.3, (0.8f64 - 0.09).sqrt()], 1.0)
    };
    let exact = |x: &[f64]| x[0] * x[0] - x[0] * x[1] + 2.0 * x[1] * x[1];
    let target = LevelSet::new(|x: &[f64]| 0.81 - x[0] * x[0] - x[1] * x[1], exact);
    let grid = square(1.0, 24);
    let solver = StationarySolver::new(&problem, grid.clone(), StationaryParams::default()).unwrap();
    let (v, info) = solver.with_target(&target, Placement::SubCell).solve().unwrap();
    let e = error(&grid, v.value(), exact, |_| true);
    assert!(info.cut_edges > 50 && e < 1e-11, "{e}");
}

#[test]
fn the_law_with_correlated_noise_has_the_covariance_of_the_diffusion() {
    let a = [1.0, 0.35, 0.6];
    let problem = pulled(2, [0, 1], a);
    let still = ZeroFeedback { dim: 2, control_dim: 0 };
    let moments = |n: usize| {
        let grid = square(5.0, n);
        let mut start = vec![0.0; grid.len()];
        start[grid.len() / 2] = 1.0;
        let params = FokkerPlanckParams { steps: 2 * n, storage: Storage::AtMost(2), ..Default::default() };
        let (path, info) = FokkerPlanck::new(&problem, &still, grid.clone(), params).unwrap().evolve(&start).unwrap();
        assert!(info.mass_error < 1e-12 && info.monotonicity.is_monotone());
        let nodes = grid.points();
        (0..grid.len()).map(|j| path.terminal()[j] * nodes.coord(0)[j] * nodes.coord(1)[j]).sum::<f64>()
    };
    // a quadratic moment: exact in space where differences are central.
    let exact = 0.5 * a[1] * (1.0 - (-2.0f64).exp());
    let errors = [31, 61].map(|n| (moments(n) - exact).abs());
    eprintln!("covariance: {errors:?}");
    assert!(errors[1] < 2e-4 && errors[0] / errors[1] > 3.0, "{errors:?}");
}

#[test]
fn each_condition_at_a_face_is_of_order_two() {
    let heat = |speed: f64, g: fn(f64) -> f64| {
        let mut p = constant(1, vec![speed], vec![1.0], 0.2);
        p.terminal = Arc::new(move |_, x| g(x[0]));
        p
    };
    type Exact = fn(f64) -> f64;
    let decay = |k: f64| (-0.1 * k * k).exp();
    let cases: [(&str, Faces, f64, Exact, Exact, f64); 4] = [
        ("dirichlet", Face::Dirichlet.into(), 0.0, |x| (PI * x).sin(), |x| (PI * x).sin(), decay(PI)),
        ("reflecting", Face::Reflecting.into(), 0.0, |x| (PI * x).cos(), |x| (PI * x).cos(), decay(PI)),
        (
            "mixed",
            Faces::reflecting().with(0, false, Face::Dirichlet),
            0.0,
            |x| (0.5 * PI * x).sin(),
            |x| (0.5 * PI * x).sin(),
            decay(0.5 * PI),
        ),
        ("periodic", Face::Periodic.into(), 1.5, |x| (TAU * x).sin(), |x| (TAU * (x + 0.3)).sin(), decay(TAU)),
    ];
    for (name, faces, speed, g, shape, factor) in cases {
        let problem = heat(speed, g);
        for space in [Space::Hybrid, Space::Fitted] {
            let errors = [21, 41, 81].map(|n| {
                let grid = line(0.0, 1.0, n);
                let params = HjbParams { space, steps: n, boundary: faces, require_monotone: true, ..Default::default() };
                error(&grid, &value_at_zero(&problem, &grid, params), |x| factor * shape(x[0]), |_| true)
            });
            eprintln!("{name} {space:?}: {errors:?} {:?}", orders(&errors));
            assert!(orders(&errors).iter().all(|o| (1.85..2.3).contains(o)), "{name} {space:?}: {errors:?}");
        }
    }
}

#[test]
fn a_shift_of_periodic_data_by_some_nodes_shifts_the_controlled_value() {
    let n = 40;
    let problem = |shift: usize| {
        let by = shift as f64 / n as f64;
        Problem {
            drift: Arc::new(move |_, x, out| out[0] = (TAU * (x[0] - by)).cos()),
            terminal: Arc::new(move |_, x| (TAU * (x[0] - by)).sin() + 0.3 * (2.0 * TAU * (x[0] - by)).cos()),
            sigma: Matrix::Scaled(0.5),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 0.5)
        }
    };
    for (space, time) in [(Space::Hybrid, Time::CrankNicolson), (Space::Upwind, Time::TrBdf2), (Space::Fitted, Time::TrBdf2)] {
        let params = HjbParams { space, time, steps: 20, boundary: Face::Periodic.into(), ..Default::default() };
        let grid = line(0.0, 1.0, n + 1);
        let (base, moved) = (value_at_zero(&problem(0), &grid, params), value_at_zero(&problem(13), &grid, params));
        assert!((base[0] - base[n]).abs() < 1e-11);
        let worst = (0..n).fold(0.0f64, |e, j| e.max((moved[(j + 13) % n] - base[j]).abs()));
        assert!(worst < 1e-10, "{space:?}: {worst}");
    }
}

#[test]
fn a_law_on_a_circle_tends_to_its_density_with_both_ends_equal() {
    // mu constant plus a potential: the density of dX = (1 + cos(2 pi x)) dt + dB is found from constant flux; a finer grid
    // is the reference here, the ends and the mass are exact.
    let problem = Problem {
        drift: Arc::new(|_, x, out| out[0] = 1.0 + 2.0 * (TAU * x[0]).cos()),
        ..constant(1, vec![0.0], vec![0.7], 4.0)
    };
    let still = ZeroFeedback { dim: 1, control_dim: 0 };
    let density = |space, nodes: Vec<f64>| {
        let grid = product(vec![Axis::from_nodes(nodes).unwrap()]);
        let start = grid.volumes();
        let params = FokkerPlanckParams {
            space,
            steps: 60,
            time: Time::ImplicitEuler,
            boundary: Face::Periodic.into(),
            ..Default::default()
        };
        let (path, info) = FokkerPlanck::new(&problem, &still, grid, params).unwrap().evolve(&start).unwrap();
        assert!(info.mass_error < 1e-11 && info.most_negative >= 0.0, "{} {}", info.mass_error, info.most_negative);
        assert!(info.monotonicity.is_monotone(), "{:?}", info.monotonicity);
        path.density(path.times().len() - 1)
    };
    let uniform = |n: usize| (0..=n).map(|j| j as f64 / n as f64).collect::<Vec<_>>();
    for space in [Space::Hybrid, Space::Fitted, Space::Upwind] {
        let found = [40, 80, 160, 640].map(|n| density(space, uniform(n)));
        assert!(found.iter().all(|d| (d[0] - d[d.len() - 1]).abs() < 1e-12 * d[0]), "{:?}", found[0]);
        if space != Space::Upwind {
            let distance = |k: usize, every: usize| {
                found[k].iter().enumerate().fold(0.0f64, |m, (j, d)| m.max((d - found[3][j * every]).abs()))
            };
            let errors = [distance(0, 16), distance(1, 8), distance(2, 4)];
            eprintln!("circle {space:?}: {errors:?} {:?}", orders(&errors));
            assert!(orders(&errors).iter().all(|o| (1.8..2.4).contains(o)), "{errors:?}");
        }
        // Unequal cells at the two ends.
        let mut nodes = uniform(40);
        nodes[1] *= 0.5;
        let found = density(space, nodes);
        assert!((found[0] - found[40]).abs() < 1e-12 * found[0], "{} {}", found[0], found[40]);
    }
}

#[test]
fn every_linear_solver_takes_the_corners_of_cross_derivatives() {
    let problem = Problem { discount: 0.1, running: Arc::new(|_, x| x[0] * x[1]), ..pulled(2, [0, 1], [1.0, 0.4, 0.6]) };
    let solve = |linear, steps| {
        let params = HjbParams { steps, linear, time: Time::ImplicitEuler, storage: Storage::AtMost(2), ..Default::default() };
        let (v, info) = HjbSolver::new(&problem, square(4.0, 65), params).unwrap().solve().unwrap();
        assert!(info.worst_linear_residual < 1e-9);
        (v.value(0).to_vec(), info.linear_solver)
    };
    for steps in [2, 200] {
        let (reference, _) = solve(LinearSolverChoice::SparseLu, steps);
        for choice in [
            LinearSolverChoice::Auto,
            LinearSolverChoice::BiCgStab(IterationParams::default()),
            LinearSolverChoice::Multigrid(MultigridParams::default()),
        ] {
            let (v, name) = solve(choice, steps);
            let e = v.iter().zip(&reference).fold(0.0f64, |e, (a, b)| e.max((a - b).abs()));
            eprintln!("corners, {steps} steps, {name}: {e:.1e}");
            assert!(e < 1e-9, "{name} {steps}: {e}");
        }
    }
}

#[test]
fn controlled_brownian_motion_leaves_an_interval_at_dirichlet_faces() {
    // dX = s v dt + s dW, s^2 = 2/b, least E int (1 + v^2/2): V = log cosh(sqrt b) - log cosh(sqrt(b) x), v = -s V'.
    let b: f64 = 3.0;
    let s = (2.0 / b).sqrt();
    let problem = Problem {
        gain: Matrix::Scaled(s),
        sigma: Matrix::Scaled(s),
        running: Arc::new(|_, _| 1.0),
        ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0)
    };
    for space in [Space::Hybrid, Space::Fitted] {
        let errors = [21, 41, 81].map(|n| {
            let grid = line(-1.0, 1.0, n);
            let params =
                StationaryParams { space, boundary: Face::Dirichlet.into(), sense: Sense::Minimise, ..Default::default() };
            let (v, info) = StationarySolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
            assert!(info.monotonicity.is_monotone() && info.target_nodes == 2);
            let root = b.sqrt();
            let u = error(&grid, v.control(), |x| 2f64.sqrt() * (root * x[0]).tanh(), |x| x[0].abs() < 0.99);
            eprintln!("exit {space:?} {n}: control {u:.2e}");
            error(&grid, v.value(), |x| root.cosh().ln() - (root * x[0]).cosh().ln(), |_| true)
        });
        eprintln!("exit {space:?}: {errors:?} {:?}", orders(&errors));
        assert!(errors[2] < 3e-4 && orders(&errors).iter().all(|o| *o > 1.9), "{space:?}: {errors:?}");
    }
    // Data of the terminal reward, and others in their place, at the faces of a square.
    let harmonic = |x: &[f64]| x[0] * x[0] - x[1] * x[1] + x[0];
    let plain =
        Problem { terminal: Arc::new(move |_, x| harmonic(x)), ..constant(2, vec![0.0; 2], vec![1.0, 0.0, 0.0, 1.0], 1.0) };
    let grid = square(1.0, 17);
    let params = StationaryParams { boundary: Face::Dirichlet.into(), ..Default::default() };
    let (v, _) = StationarySolver::new(&plain, grid.clone(), params).unwrap().solve().unwrap();
    assert!(error(&grid, v.value(), harmonic, |_| true) < 1e-12);
    let other = |_: f64, x: &[f64]| harmonic(x) + 2.0;
    let (v, _) = StationarySolver::new(&plain, grid.clone(), params).unwrap().with_face_values(&other).solve().unwrap();
    assert!(error(&grid, v.value(), |x| harmonic(x) + 2.0, |_| true) < 1e-12);
}

#[test]
fn values_and_densities_at_reflecting_walls_are_as_good_as_inside() {
    let (a, rho) = (0.5f64, 0.7);
    for mu in [1.2f64, -1.2] {
        // rho V = mu V' + a V''/2 + x on [0, 1], V' = 0 at both ends.
        let root = (mu * mu + 2.0 * a * rho).sqrt();
        let (r, s) = ((-mu + root) / a, (-mu - root) / a);
        // c r + e s = -1/rho, c r e^r + e s e^s = -1/rho.
        let det = r * s * (s.exp() - r.exp());
        let (c, e) = (-(s * s.exp() - s) / (rho * det), -(r - r * r.exp()) / (rho * det));
        let value = move |x: f64| x / rho + mu / (rho * rho) + c * (r * x).exp() + e * (s * x).exp();
        let problem = Problem { running: Arc::new(|_, x| x[0]), discount: rho, ..constant(1, vec![mu], vec![a.sqrt()], 6.0) };
        let density = move |x: f64| {
            let k = 2.0 * mu / a;
            k * (k * x).exp() / k.exp_m1()
        };
        for space in [Space::Hybrid, Space::Fitted] {
            let (mut wall, mut inside) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
            for n in [41, 81, 161] {
                let grid = line(0.0, 1.0, n);
                let at_wall = |x: &[f64]| x[0] == 0.0 || x[0] == 1.0;
                let params = StationaryParams { space, boundary: Face::Reflecting.into(), ..Default::default() };
                let (v, info) = StationarySolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap();
                assert!(info.monotonicity.is_monotone());
                wall[0].push(error(&grid, v.value(), |x| value(x[0]), at_wall));
                inside[0].push(error(&grid, v.value(), |x| value(x[0]), |x| !at_wall(x)));
                let start: Vec<f64> = grid.volumes();
                let params = FokkerPlanckParams { space, steps: 60, time: Time::ImplicitEuler, ..Default::default() };
                let still = ZeroFeedback { dim: 1, control_dim: 0 };
                let (path, _) = FokkerPlanck::new(&problem, &still, grid.clone(), params).unwrap().evolve(&start).unwrap();
                let found = path.density(path.times().len() - 1);
                wall[1].push(error(&grid, &found, |x| density(x[0]), at_wall));
                inside[1].push(error(&grid, &found, |x| density(x[0]), |x| !at_wall(x)));
            }
            for (what, (wall, inside)) in ["value", "density"].iter().zip(wall.iter().zip(&inside)) {
                eprintln!("{what} mu = {mu} {space:?}: wall {wall:?} {:?} inside {inside:?}", orders(wall));
                assert!(wall.iter().zip(inside).all(|(w, i)| *w < 3.0 * i + 1e-10), "{what} {mu}: {wall:?} {inside:?}");
                assert!(wall[2] < 1e-9 || orders(wall).iter().all(|o| *o > 1.8), "{what} {mu} {space:?}: {wall:?}");
            }
        }
    }
}

#[test]
fn a_boundary_layer_is_exact_at_the_nodes_with_fitting_and_bounded_with_both_schemes() {
    let solve = |space, axis: Axis, speed: f64, s: f64, discount: f64| {
        let grid = product(vec![axis]);
        let problem = Problem { terminal: Arc::new(|_, x| x[0]), discount, ..constant(1, vec![speed], vec![s], 1.0) };
        let params = StationaryParams { space, boundary: Face::Dirichlet.into(), require_monotone: true, ..Default::default() };
        let value = StationarySolver::new(&problem, grid.clone(), params).unwrap().solve().unwrap().0.value().to_vec();
        (grid, value)
    };
    // 0 = v' + (s^2/2) v'' - 0.05 v, s = 0.02, v(0) = 0, v(1) = 1 on 41 nodes; central differences reach 2.5.
    let (s, rho) = (0.02f64, 0.05);
    let root = (1.0 + 2.0 * s * s * rho).sqrt();
    let (r, q) = ((root - 1.0) / (s * s), (-root - 1.0) / (s * s));
    // Upwind leaves 1/(1 + 2 mu h/a) of the jump at the first node, fitting only the error of the discount term.
    for (space, bound) in [(Space::Hybrid, 1e-2), (Space::Fitted, 1e-3), (Space::Upwind, 1e-2)] {
        let (grid, v) = solve(space, Axis::uniform(0.0, 1.0, 41).unwrap(), 1.0, s, rho);
        let e = error(&grid, &v, |x| ((r * x[0]).exp() - (q * x[0]).exp()) / (r.exp() - q.exp()), |_| true);
        eprintln!("layer {space:?}: {e:.2e}");
        assert!(v.iter().all(|v| (0.0..=1.0).contains(v)) && e < bound, "{space:?}: {e}");
    }
    // Without discount the fitted scheme is exact for every cell Peclet number, mu h/a = 0.05 to 1250.
    for (speed, s) in [(1.0, 0.7), (1.0, 0.2), (-1.0, 0.1), (1.0, 0.03), (-2.0, 0.0063)] {
        let (grid, v) = solve(Space::Fitted, Axis::uniform(0.0, 1.0, 41).unwrap(), speed, s, 0.0);
        let k = -2.0 * speed / (s * s);
        // (e^{kx} - 1)/(e^k - 1) without overflow for k > 0.
        let exact =
            |x: f64| if k > 0.0 { ((k * (x - 1.0)).exp() - (-k).exp()) / -(-k).exp_m1() } else { (k * x).exp_m1() / k.exp_m1() };
        let e = error(&grid, &v, |x| exact(x[0]), |_| true);
        assert!(e < 1e-12, "{speed} {s}: {e:.2e}");
        // On an axis whose spacings alternate by a factor of three it still obeys the maximum principle.
        let nodes: Vec<f64> = (0..=40).map(|j| (j as f64 + if j % 2 == 0 { 0.0 } else { 0.5 }) / 40.0).collect();
        let (_, v) = solve(Space::Fitted, Axis::from_nodes(nodes).unwrap(), speed, s, 0.0);
        assert!(v.windows(2).all(|w| w[1] >= w[0] - 1e-14), "{v:?}");
    }
}

#[test]
fn the_fitted_scheme_is_of_order_two_for_controlled_problems_and_monotone_for_all_noises() {
    let problem = mixture();
    let exact = TiltedMixture::new(&problem).unwrap();
    let errors = [51, 101, 201].map(|n| {
        let params = HjbParams { space: Space::Fitted, steps: n - 1, require_monotone: true, ..Default::default() };
        let (v, u, info) = fine_tuning_errors(&problem, &exact, line(-6.0, 6.0, n), params, 3.0);
        eprintln!("fitted mixture {n}: V {v:.2e} u {u:.2e}, {} solves for {} stages", info.inner_iterations, info.stages);
        v
    });
    eprintln!("fitted mixture: {errors:?} {:?}", orders(&errors));
    assert!(errors[2] < 2e-3 && orders(&errors)[1] > 1.8, "{errors:?}");
    // A kinked problem with vanishing noise: convex and concave kinks of the value, both zones of the Hamiltonian.
    for s in [0.5, 0.05, 0.005, 0.0] {
        let kinked = Problem {
            sigma: Matrix::Scaled(s),
            terminal: Arc::new(|_, x| (x[0].abs() - 0.5).abs() - 0.3 * x[0]),
            drift: Arc::new(|_, x, out| out[0] = -x[0] + 0.4),
            ..Problem::ornstein_uhlenbeck(1, 0.0, 0.5)
        };
        let solve = |space, n| {
            let params = HjbParams { space, steps: 200, time: Time::ImplicitEuler, require_monotone: true, ..Default::default() };
            value_at_zero(&kinked, &line(-2.0, 2.0, n), params)
        };
        let reference = solve(Space::Hybrid, 1281);
        let distance = |space, n: usize| {
            let every = 1280 / (n - 1);
            solve(space, n).iter().enumerate().fold(0.0f64, |m, (j, v)| m.max((v - reference[j * every]).abs()))
        };
        let fitted = [41, 161].map(|n| distance(Space::Fitted, n));
        let hybrid = [41, 161].map(|n| distance(Space::Hybrid, n));
        eprintln!("kinked, noise {s}: fitted {fitted:?}, hybrid {hybrid:?}");
        assert!(fitted[1] < 0.45 * fitted[0] && (0..2).all(|k| fitted[k] < 1.3 * hybrid[k]), "{s}: {fitted:?} {hybrid:?}");
    }
}

#[test]
fn faces_that_do_not_fit_are_typed_errors() {
    let problem = Problem { drift: Arc::new(|_, x, out| out[0] = -x[0]), ..Problem::ornstein_uhlenbeck(1, 0.0, 1.0) };
    let grid = line(-1.0, 1.0, 11);
    let run = |problem: &Problem, boundary: Faces, linear| {
        let params = HjbParams { steps: 2, boundary, linear, ..Default::default() };
        HjbSolver::new(problem, grid.clone(), params).and_then(|s| s.solve()).err()
    };
    let auto = LinearSolverChoice::Auto;
    let one_sided = Faces::default().with(0, true, Face::Periodic);
    match run(&problem, one_sided, auto) {
        Some(HjbError::Invalid { field, value, .. }) => assert!(field.contains("axis 0") && value.contains("Extrapolated")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(run(&problem, Faces::default().with(1, true, Face::Reflecting), auto), Some(HjbError::Invalid { .. })));
    // The drift -x is not periodic.
    match run(&problem, Face::Periodic.into(), auto) {
        Some(HjbError::Unsupported { what, point, .. }) => assert!(what.contains("drift") && point == vec![-1.0]),
        other => panic!("{other:?}"),
    }
    let still = Problem::ornstein_uhlenbeck(1, 0.0, 1.0);
    assert!(run(&still, Face::Periodic.into(), auto).is_none());
    let tilted = Problem { terminal: Arc::new(|_, x| x[0]), ..still.clone() };
    assert!(matches!(run(&tilted, Face::Periodic.into(), auto), Some(HjbError::Unsupported { .. })));
    assert!(matches!(run(&still, Face::Periodic.into(), LinearSolverChoice::Tridiagonal), Some(HjbError::Linear { .. })));
    // A stationary problem without discount needs a Dirichlet face or a target.
    let params = StationaryParams { boundary: Face::Reflecting.into(), ..Default::default() };
    let outcome = StationarySolver::new(&still, grid.clone(), params).unwrap().solve();
    assert!(matches!(outcome, Err(HjbError::Invalid { field, .. }) if field == "discount"));
}
