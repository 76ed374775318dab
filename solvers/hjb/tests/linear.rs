//! The linear solvers on I - w L and on stationary problems: known solutions, bounds, iteration counts, errors.

use hjbridge_hjb::linear::{
    BiCgStab, Cycle, IterationParams, LinearSolver, LinearSolverChoice, Multigrid, MultigridParams, SparseLu,
};
use hjbridge_hjb::{Face, Generator, LinearError, Space, StencilMatrix};
use hjbridge_model::grid::{Axis, TensorGrid};
use std::sync::Arc;

/// Generator on [-3, 3]^d with the given variances and drift `rotation` (-y, x, 0) - `pull` x.
fn generator(shape: &[usize], variance: &[f64], rotation: f64, pull: f64, boundary: Face) -> StencilMatrix {
    let axes: Vec<Axis> = shape.iter().map(|&n| Axis::uniform(-3.0, 3.0, n).unwrap()).collect();
    let grid = Arc::new(TensorGrid::new(axes).unwrap());
    let (n, d, points) = (grid.len(), grid.dim(), grid.points());
    let (mut drift, mut a) = (vec![0.0; n * d], vec![0.0; n * d]);
    for i in 0..d {
        for j in 0..n {
            drift[i * n + j] = -pull * points.coord(i)[j];
            a[i * n + j] = variance[i];
        }
    }
    if d > 1 {
        for j in 0..n {
            drift[j] -= rotation * points.coord(1)[j];
            drift[n + j] += rotation * points.coord(0)[j];
        }
    }
    Generator::new(grid, Space::Hybrid.scheme(), boundary).assemble(&drift, &a).unwrap().clone()
}

/// I - w L.
fn implicit(l: &StencilMatrix, w: f64) -> StencilMatrix {
    let mut m = l.clone();
    m.set_identity_minus(w, l);
    m
}

/// -L inside, identity rows on the faces: the stationary problem with Dirichlet data.
fn dirichlet(l: &StencilMatrix) -> StencilMatrix {
    let mut m = l.clone();
    for s in 0..l.flat_shifts().len() {
        for j in 0..l.len() {
            let face = (1..l.flat_shifts().len()).any(|s| !l.has_neighbour(j, s));
            m.diagonal_mut(s)[j] = if !face { -l.diagonal(s)[j] } else { f64::from(u8::from(s == 0)) };
        }
    }
    m
}

fn known(n: usize) -> Vec<f64> {
    (0..n).map(|j| (0.01 * j as f64).sin() + 0.1 * ((7 * j) % 11) as f64).collect()
}

fn apply(a: &StencilMatrix, x: &[f64]) -> Vec<f64> {
    let mut b = vec![0.0; x.len()];
    a.multiply(x, &mut b);
    b
}

fn sup_gap(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |e, (a, b)| e.max((a - b).abs()))
}

fn iterative() -> Vec<LinearSolverChoice> {
    let m = MultigridParams::default();
    vec![
        LinearSolverChoice::BiCgStab(IterationParams::default()),
        LinearSolverChoice::Multigrid(m),
        LinearSolverChoice::Multigrid(MultigridParams { cycle: Cycle::W, ..m }),
    ]
}

/// Factorise and solve from zero: solution, iterations.
fn solve(choice: LinearSolverChoice, a: &StencilMatrix, b: &[f64]) -> (Vec<f64>, usize) {
    let mut solver = choice.build(a).unwrap();
    solver.factorise(a).unwrap();
    let mut x = vec![0.0; b.len()];
    let info = solver.solve_from(a, b, &mut x).unwrap_or_else(|e| panic!("{:?} {choice:?}: {e}", a.shape()));
    assert!(info.relative_residual <= 32.0 * f64::EPSILON);
    (x, info.iterations)
}

#[test]
fn known_solutions_over_sizes_steps_and_peclet_numbers() {
    // For I - w L with a monotone generator the inverse is at most 1 in the sup norm, so the error is at most the residual:
    // 32 eps (row sum max|x| + max|b|) for solutions of size 2.
    for shape in [vec![33, 33], vec![32, 47], vec![65, 20], vec![12, 9, 10], vec![200]] {
        let d = shape.len();
        // The last is a cell Peclet number |mu| h / a above 100.
        for (rotation, pull, variance) in [(1.0, 1.0, 1.0), (10.0, 0.0, 0.02), (60.0, 3.0, 0.1)] {
            let l = generator(&shape, &vec![variance; d], rotation, pull, Face::Reflecting);
            for w in [1e-3, 0.1, 10.0] {
                let m = implicit(&l, w);
                let x = known(m.len());
                let b = apply(&m, &x);
                let size = 2.0 * m.max_row_sum(&mut vec![0.0; m.len()]) * 2.1;
                for choice in iterative().into_iter().chain([LinearSolverChoice::Auto, LinearSolverChoice::AutoTimed]) {
                    let (y, _) = solve(choice, &m, &b);
                    let error = sup_gap(&x, &y);
                    assert!(error <= 32.0 * f64::EPSILON * size, "{shape:?} {rotation} {w} {choice:?}: {error:.1e}");
                }
            }
        }
    }
}

#[test]
fn multigrid_iterations_do_not_depend_on_the_grid() {
    for w in [0.1, 1000.0] {
        for choice in [MultigridParams::default(), MultigridParams { accelerate: false, ..MultigridParams::default() }] {
            let counts: Vec<usize> = [129, 257, 513]
                .iter()
                .map(|&n| {
                    let m = implicit(&generator(&[n, n], &[1.0, 1.0], 1.0, 1.0, Face::Reflecting), w);
                    solve(LinearSolverChoice::Multigrid(choice), &m, &apply(&m, &known(m.len()))).1
                })
                .collect();
            // Seen: 8 or 9 with BiCGSTAB, 17 to 22 alone; one cycle is half of a BiCGSTAB iteration.
            let slack = if choice.accelerate { 2 } else { 4 };
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= slack, "{w}: {counts:?}");
            assert!(counts[2] <= if choice.accelerate { 11 } else { 25 }, "{w}: {counts:?}");
        }
    }
}

#[test]
fn all_solvers_agree_with_lu_for_convection_anisotropy_and_stationary_problems() {
    let stretched = generator(&[65, 65], &[1.0, 1e-3], 0.5, 0.2, Face::Extrapolated);
    let rotating = generator(&[65, 65], &[0.05, 0.05], 30.0, 0.0, Face::Reflecting);
    let calm = generator(&[41, 40], &[1.0, 0.5], 1.0, 1.0, Face::Reflecting);
    let cube = generator(&[17, 17, 17], &[1.0, 0.1, 0.01], 5.0, 1.0, Face::Extrapolated);
    for (name, m, tolerance) in [
        ("anisotropic", implicit(&stretched, 10.0), 1e-11),
        ("rotating", implicit(&rotating, 10.0), 1e-10),
        ("nearly undiscounted", implicit(&calm, 1e6), 1e-7),
        ("Dirichlet", dirichlet(&calm), 1e-11),
        ("rotating, Dirichlet", dirichlet(&rotating), 1e-9),
        ("cube", implicit(&cube, 1.0), 1e-11),
    ] {
        let b: Vec<f64> = (0..m.len()).map(|j| (0.37 * j as f64).cos()).collect();
        let (reference, _) = solve(LinearSolverChoice::SparseLu, &m, &b);
        let scale = reference.iter().fold(1.0, |s: f64, v| s.max(v.abs()));
        for choice in iterative().into_iter().chain([LinearSolverChoice::Auto, LinearSolverChoice::AutoTimed]) {
            let (x, iterations) = solve(choice, &m, &b);
            let gap = sup_gap(&x, &reference) / scale;
            assert!(gap < tolerance, "{name} {choice:?}: {gap:.1e} after {iterations}");
        }
    }
}

#[test]
fn solutions_of_monotone_systems_keep_the_sign_of_the_right_hand_side() {
    let l = generator(&[64, 65], &[0.02, 0.02], 10.0, 0.5, Face::Reflecting);
    let m = implicit(&l, 5.0);
    let b: Vec<f64> = (0..m.len()).map(|j| if j % 97 == 0 { 1.0 } else { 0.0 }).collect();
    for choice in iterative() {
        let (x, _) = solve(choice, &m, &b);
        let floor = -32.0 * f64::EPSILON * 2.0 * m.max_row_sum(&mut vec![0.0; m.len()]);
        assert!(x.iter().all(|v| *v >= floor && *v <= 1.0 - floor), "{choice:?}");
    }
}

#[test]
fn three_dimensions_with_33_nodes_per_axis() {
    let l = generator(&[33, 33, 33], &[1.0, 1.0, 1.0], 2.0, 1.0, Face::Reflecting);
    for w in [0.01, 1.0] {
        let m = implicit(&l, w);
        let x = known(m.len());
        let b = apply(&m, &x);
        let (y, iterations) = solve(LinearSolverChoice::Multigrid(MultigridParams::default()), &m, &b);
        assert!(sup_gap(&x, &y) < 1e-11 && iterations <= 12, "{iterations}");
        let (z, _) = solve(LinearSolverChoice::Auto, &m, &b);
        assert!(sup_gap(&x, &z) < 1e-11);
    }
}

#[test]
fn cross_derivatives_are_solved_though_the_levels_do_not_carry_them() {
    // a_12 = 0.6 with unit variances: corner couplings (+, +) and (-, -), axis couplings reduced by them.
    let shape = [65, 65];
    let shifts = vec![vec![0, 0], vec![-1, 0], vec![1, 0], vec![0, -1], vec![0, 1], vec![-1, -1], vec![1, 1]];
    let mut l = StencilMatrix::new(&shape, shifts);
    let rate = 0.5 * (64.0f64 / 6.0).powi(2);
    for s in 1..7 {
        for j in 0..l.len() {
            if l.has_neighbour(j, s) {
                l.diagonal_mut(s)[j] = if s < 5 { 0.4 * rate } else { 0.6 * rate };
            }
        }
    }
    l.close_rows();
    let m = implicit(&l, 1.0);
    let x = known(m.len());
    let b = apply(&m, &x);
    for choice in iterative() {
        let (y, iterations) = solve(choice, &m, &b);
        assert!(sup_gap(&x, &y) < 1e-11, "{choice:?} {iterations}");
    }
}

#[test]
fn a_hierarchy_serves_slowly_changing_matrices_and_is_renewed_for_others() {
    let l = generator(&[65, 65], &[1.0, 1.0], 1.0, 1.0, Face::Reflecting);
    let turned = generator(&[65, 65], &[0.01, 0.01], 40.0, 0.0, Face::Reflecting);
    let mut solver = Multigrid::new(&l, MultigridParams::default()).unwrap();
    let mut check = |m: StencilMatrix| {
        let x = known(m.len());
        let mut y = vec![0.0; x.len()];
        solver.factorise(&m).unwrap();
        solver.solve_from(&m, &apply(&m, &x), &mut y).unwrap();
        assert!(sup_gap(&x, &y) < 1e-10);
        solver.info().unwrap().setups
    };
    for k in 0..5 {
        assert_eq!(check(implicit(&l, 0.1 + 0.001 * k as f64)), 1);
    }
    check(implicit(&turned, 3.0));
    check(implicit(&turned, 3.0));
    assert!(check(implicit(&turned, 3.0)) >= 2);
}

#[test]
fn singular_matrices_and_values_that_are_not_finite_are_errors_that_name_the_solver() {
    let l = generator(&[20, 21], &[1.0, 1.0], 1.0, 1.0, Face::Reflecting);
    let good = implicit(&l, 1.0);
    let b = known(good.len());
    let mut zero_row = good.clone();
    (0..5).for_each(|s| zero_row.diagonal_mut(s)[50] = 0.0);
    let mut closed = l.clone(); // rows sum to zero and b is not in the range
    closed.set_identity_minus(1.0, &l);
    closed.diagonal_mut(0).iter_mut().for_each(|d| *d -= 1.0);
    let mut nan = good.clone();
    nan.diagonal_mut(2)[7] = f64::NAN;
    let mut bad_b = b.clone();
    bad_b[3] = f64::INFINITY;
    let choices =
        iterative().into_iter().chain([LinearSolverChoice::SparseLu, LinearSolverChoice::Auto, LinearSolverChoice::AutoTimed]);
    for choice in choices {
        let run = |a: &StencilMatrix, b: &[f64]| {
            let mut solver = choice.build(a).unwrap();
            solver.factorise(a).and_then(|()| solver.solve(a, &mut b.to_vec()))
        };
        assert!(run(&good, &b).is_ok());
        assert!(run(&zero_row, &b).is_err(), "{choice:?}");
        if !matches!(choice, LinearSolverChoice::SparseLu | LinearSolverChoice::Auto | LinearSolverChoice::AutoTimed) {
            assert!(run(&closed, &b).is_err(), "{choice:?}");
        }
        assert!(matches!(run(&nan, &b), Err(LinearError::Factorisation { .. })), "{choice:?}");
        assert!(matches!(run(&good, &bad_b), Err(LinearError::NotFinite { .. })), "{choice:?}");
        let mut unused = choice.build(&good).unwrap();
        assert!(unused.solve(&good, &mut b.clone()).is_err(), "{choice:?}");
    }
}

#[test]
fn an_unreachable_iteration_limit_is_an_error_with_the_true_residual() {
    let m = implicit(&generator(&[65, 65], &[1.0, 1.0], 1.0, 1.0, Face::Reflecting), 10.0);
    let b = apply(&m, &known(m.len()));
    let iteration = IterationParams { tolerance: 1e-12, max_iterations: 2 };
    let mut solver = BiCgStab::new(&m, iteration).unwrap();
    solver.factorise(&m).unwrap();
    let mut x = vec![0.0; b.len()];
    let Err(LinearError::NoConvergence { iterations: 2, residual, .. }) = solver.solve_from(&m, &b, &mut x) else {
        panic!("converged in two iterations");
    };
    let r = apply(&m, &x);
    let sup = |v: &[f64]| v.iter().fold(0.0, |s: f64, v| s.max(v.abs()));
    let expected = sup_gap(&r, &b) / (m.max_row_sum(&mut vec![0.0; b.len()]) * sup(&x) + sup(&b));
    assert!((residual - expected).abs() <= 1e-12 * expected && residual > 1e-12, "{residual} {expected}");
}

#[test]
fn a_guess_that_solves_the_system_costs_no_iteration_and_solvers_scale() {
    let m = implicit(&generator(&[40, 40], &[1.0, 1.0], 1.0, 1.0, Face::Reflecting), 1.0);
    let b = known(m.len());
    for choice in iterative() {
        let mut solver = choice.build(&m).unwrap();
        solver.factorise(&m).unwrap();
        let mut x = b.clone();
        let first = solver.solve(&m, &mut x).unwrap();
        let again = solver.solve_from(&m, &b, &mut x.clone()).unwrap();
        assert!(first.iterations > 0 && again.iterations == 0, "{choice:?}");
        // Powers of two are exact: the same iterates, scaled.
        let tiny: Vec<f64> = b.iter().map(|v| v * 2f64.powi(-60)).collect();
        let (y, _) = solve(choice, &m, &tiny);
        let (z, _) = solve(choice, &m, &b);
        assert!(y.iter().zip(&z).all(|(y, z)| y * 2f64.powi(60) == *z), "{choice:?}");
    }
}

#[test]
fn parameters_and_patterns_are_checked() {
    let m = implicit(&generator(&[9, 9], &[1.0, 1.0], 0.0, 1.0, Face::Reflecting), 1.0);
    for tolerance in [0.0, 1e-17, 1.0, f64::NAN, -1.0] {
        let iteration = IterationParams { tolerance, ..IterationParams::default() };
        assert!(matches!(BiCgStab::new(&m, iteration), Err(LinearError::Invalid { field: "tolerance", .. })));
        let params = MultigridParams { iteration, ..MultigridParams::default() };
        assert!(matches!(Multigrid::new(&m, params), Err(LinearError::Invalid { field: "tolerance", .. })));
    }
    let none = IterationParams { max_iterations: 0, ..IterationParams::default() };
    assert!(matches!(BiCgStab::new(&m, none), Err(LinearError::Invalid { field: "max_iterations", .. })));
    let wide = StencilMatrix::new(&[9, 9], vec![vec![0, 0], vec![0, 2], vec![0, -2]]);
    assert!(matches!(Multigrid::new(&wide, MultigridParams::default()), Err(LinearError::Pattern { .. })));
    assert!(SparseLu::new(&wide).is_ok());
}

#[test]
fn the_automatic_choice_is_reported_by_name() {
    let name = |shape: &[usize], w: f64| {
        let m = implicit(&generator(shape, &vec![1.0; shape.len()], 1.0, 1.0, Face::Reflecting), w);
        let mut solver = LinearSolverChoice::Auto.build(&m).unwrap();
        solver.factorise(&m).unwrap();
        let info = solver.solve(&m, &mut known(m.len())).unwrap();
        assert_eq!(info.solver, solver.name());
        solver.name()
    };
    assert_eq!(name(&[300], 1.0), "tridiagonal");
    assert_eq!(name(&[9, 9], 1.0), "sparse-lu");
    assert_eq!(name(&[65, 65], 0.01), "bicgstab-ilu0");
    assert_eq!(name(&[65, 65], 1.0), "bicgstab-adi");
    assert_eq!(name(&[17, 17, 17], 5.0), "bicgstab-adi");
}
