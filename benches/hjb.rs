//! One HJB solve on data/problems/mixture_1d.json, 801 nodes x 800 steps, and the score evaluations inside it.
//!
//! Printed first: the errors of each scheme against the closed form, the score against the plain formula, and the ratio of the
//! two linear solvers, in the whole solve and alone, timed in turn in the same run. All on one thread.

mod common;

use common::{Outcome, hjb_errors, mixture_1d, paired, settings};
use criterion::{SamplingMode, Throughput};
use hjbridge::hjb::linear::LinearSolver;
use hjbridge::hjb::{HjbParams, HjbSolver, LinearError, LinearSolverChoice, Space, StencilMatrix, Time};
use hjbridge::model::{FineTuning, PointBlock};

const STEPS: usize = 800;
const LINEAR_SOLVES: usize = 500;

fn params(space: Space, time: Time, linear: LinearSolverChoice) -> HjbParams {
    HjbParams { space, time, linear, steps: STEPS, ..HjbParams::default() }
}

/// grad log of sum_i w_i N(e mu_i, e^2 C_i + 1 - e^2) at one point, written out; d = 1.
fn plain_score(problem: &FineTuning, t: f64, y: f64) -> f64 {
    let (p, e2) = (problem.prior(), (-problem.schedule().remaining(t)).exp());
    let (mut density, mut slope) = (0.0, 0.0);
    for i in 0..p.components() {
        let (mean, variance) = (e2.sqrt() * p.mean_of(i)[0], e2 * p.covariance_of(i).matrix()[(0, 0)] + 1.0 - e2);
        let g = p.weights()[i] * (-0.5 * (y - mean).powi(2) / variance).exp() / variance.sqrt();
        density += g;
        slope -= g * (y - mean) / variance;
    }
    slope / density
}

/// I - w A of an implicit step: A = (1/2) a V'' - y V', upwind, on `nodes` nodes of [-6, 6], and a right-hand side.
fn implicit_step(nodes: usize) -> (StencilMatrix, Vec<f64>) {
    let dy = 12.0 / (nodes - 1) as f64;
    let node = |j: usize| -6.0 + j as f64 * dy;
    let mut rates = StencilMatrix::nearest_neighbour(&[nodes]);
    for j in 0..nodes {
        let (lower, upper) = (0.5 / (dy * dy) + node(j).max(0.0) / dy, 0.5 / (dy * dy) + (-node(j)).max(0.0) / dy);
        rates.diagonal_mut(1)[j] = if j > 0 { lower } else { 0.0 };
        rates.diagonal_mut(2)[j] = if j + 1 < nodes { upper } else { 0.0 };
    }
    rates.close_rows();
    let mut matrix = rates.clone();
    matrix.set_identity_minus(2.0 / STEPS as f64, &rates);
    (matrix, (0..nodes).map(|j| node(j).cos()).collect())
}

/// Factorise and solve `LINEAR_SOLVES` times; the last solution.
fn linear_solves(solver: &mut dyn LinearSolver, a: &StencilMatrix, b: &[f64]) -> Result<Vec<f64>, LinearError> {
    let mut x = Vec::new();
    for _ in 0..LINEAR_SOLVES {
        x = b.to_vec();
        solver.factorise(a)?;
        solver.solve(a, &mut x)?;
    }
    Ok(x)
}

fn main() -> Outcome<()> {
    let mut criterion = settings();
    let problem = mixture_1d()?;
    let (model, grid) = (&problem.model, &problem.grid);
    let (tridiagonal, lu) = (LinearSolverChoice::Tridiagonal, LinearSolverChoice::SparseLu);
    let schemes = [(Space::Hybrid, Time::CrankNicolson), (Space::Upwind, Time::ImplicitEuler)];

    println!(
        "mixture_1d, {} nodes x {STEPS} steps; errors: sup over |y| <= 3 and all t_k < T against the closed form",
        grid.len()
    );
    for (space, time) in schemes {
        for linear in [tridiagonal, lu] {
            let (v, u, info) = hjb_errors(&problem, params(space, time, linear))?;
            println!(
                "  {} + {}, {}: error V {v:.2e}, U {u:.2e}; {} linear solves",
                info.space, info.time, info.linear_solver, info.inner_iterations
            );
        }
        let fast = HjbSolver::new(model, grid.clone(), params(space, time, tridiagonal))?;
        let slow = HjbSolver::new(model, grid.clone(), params(space, time, lu))?;
        let p = paired(9, || fast.solve_observed(&mut |_| {}), || slow.solve_observed(&mut |_| {}));
        println!(
            "    tridiagonal {:.1} ms, sparse LU {:.1} ms: LU / tridiagonal {:.2} (from {:.2} to {:.2} in 9 pairs)",
            1e3 * p.first,
            1e3 * p.second,
            p.ratio,
            p.range.0,
            p.range.1
        );
    }

    let (a, b) = implicit_step(grid.len());
    let (mut fast, mut slow) = (tridiagonal.build(&a)?, lu.build(&a)?);
    let (x, y) = (linear_solves(fast.as_mut(), &a, &b)?, linear_solves(slow.as_mut(), &a, &b)?);
    let gap = x.iter().zip(&y).fold(0.0f64, |g, (x, y)| g.max((x - y).abs()));
    let p = paired(9, || linear_solves(fast.as_mut(), &a, &b), || linear_solves(slow.as_mut(), &a, &b));
    println!(
        "  factorise and solve, {} unknowns: tridiagonal {:.1} us, sparse LU {:.1} us: ratio {:.2}; they differ by {gap:.0e}",
        grid.len(),
        1e6 * p.first / LINEAR_SOLVES as f64,
        1e6 * p.second / LINEAR_SOLVES as f64,
        p.ratio
    );

    let points = grid.points();
    let mut s = PointBlock::zeros(1, points.len());
    let h = problem.file.horizon / STEPS as f64;
    let mut error = 0.0f64;
    for k in 0..=STEPS {
        model.score().at(k as f64 * h).eval(points.as_points(), s.as_mut());
        for (s, &y) in s.coord(0).iter().zip(points.coord(0)) {
            let reference = plain_score(model, k as f64 * h, y);
            error = error.max((s - reference).abs() / (1.0 + reference.abs()));
        }
    }
    println!(
        "  score at {} nodes and {} levels: largest relative difference from the formula {error:.1e}",
        points.len(),
        STEPS + 1
    );

    let mut group = criterion.benchmark_group("hjb/mixture_1d");
    group.sampling_mode(SamplingMode::Flat);
    for (space, time, linear, name) in [
        (Space::Hybrid, Time::CrankNicolson, tridiagonal, "hybrid, Crank-Nicolson, tridiagonal"),
        (Space::Hybrid, Time::CrankNicolson, lu, "hybrid, Crank-Nicolson, sparse LU"),
        (Space::Upwind, Time::ImplicitEuler, tridiagonal, "upwind, implicit Euler, tridiagonal"),
        (Space::Upwind, Time::ImplicitEuler, lu, "upwind, implicit Euler, sparse LU"),
    ] {
        let solver = HjbSolver::new(model, grid.clone(), params(space, time, linear))?;
        group.bench_function(name, |b| b.iter(|| solver.solve_observed(&mut |_| {})));
    }
    group.throughput(Throughput::Elements((points.len() * (STEPS + 1)) as u64));
    group.bench_function("score alone, all nodes and levels", |b| {
        b.iter(|| {
            for k in 0..=STEPS {
                model.score().at(k as f64 * h).eval(points.as_points(), s.as_mut());
            }
            s.coord(0)[0]
        })
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
