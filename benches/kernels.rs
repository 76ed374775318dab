//! Kernels of the HJB solvers, timed by criterion: differences, scores (a mixture's and a network's), a whole explicit solve,
//! assembly, linear systems.
//!
//! The explicit solve gives elements per second with one element for each node and right-hand side, coefficients and error
//! control included: the operator itself is internal. Threads as rayon has them.

mod common;

use common::{Outcome, rotating_drift, rotation, settings};
use criterion::{BenchmarkId, SamplingMode, Throughput};
use hjbridge::hjb::linear::{AdiSweepParams, IterationParams, LinearSolver, MultigridParams, Tridiagonal};
use hjbridge::hjb::smooth::{Differences, Output, SmoothParams, SmoothSolver};
use hjbridge::hjb::{Face, Generator, LinearSolverChoice, Space, StencilMatrix};
use hjbridge::model::grid::{Axis, TensorGrid};
use hjbridge::model::network::NetworkParams;
use hjbridge::model::{Feedback, Network, NetworkScore, PointBlock, Schedule};
use std::sync::Arc;

/// Files of the same network that this build reads.
const NETWORK_FILES: &[&str] = if cfg!(feature = "onnx") { &["safetensors", "onnx"] } else { &["safetensors"] };

/// n nodes on each of `dim` axes of [-5.5, 5.5].
fn cube(dim: usize, n: usize) -> Outcome<Arc<TensorGrid>> {
    Ok(Arc::new(TensorGrid::new(vec![Axis::uniform(-5.5, 5.5, n)?; dim])?))
}

/// I - w A of an implicit step for A = (1/2) V'' - y V' on n nodes, and a right-hand side.
fn implicit_step(n: usize) -> (StencilMatrix, Vec<f64>) {
    let dy = 12.0 / (n - 1) as f64;
    let node = |j: usize| -6.0 + j as f64 * dy;
    let mut rates = StencilMatrix::nearest_neighbour(&[n]);
    for j in 0..n {
        let (lower, upper) = (0.5 / (dy * dy) + node(j).max(0.0) / dy, 0.5 / (dy * dy) + (-node(j)).max(0.0) / dy);
        rates.diagonal_mut(1)[j] = if j > 0 { lower } else { 0.0 };
        rates.diagonal_mut(2)[j] = if j + 1 < n { upper } else { 0.0 };
    }
    rates.close_rows();
    let mut matrix = rates.clone();
    matrix.set_identity_minus(2e-3, &rates);
    (matrix, (0..n).map(|j| node(j).cos()).collect())
}

fn main() -> Outcome<()> {
    let mut criterion = settings();
    let ring = common::ring()?;
    let mut group = criterion.benchmark_group("kernels");
    group.sampling_mode(SamplingMode::Flat);

    for order in [4, 8] {
        let grid = cube(2, 257)?;
        let differences = Differences::new(grid.clone(), order)?;
        let v: Vec<f64> = grid.points().coord(0).iter().map(|x| x.sin()).collect();
        let mut gradient = vec![0.0; 2 * grid.len()];
        group.throughput(Throughput::Elements(grid.len() as u64));
        group.bench_with_input(BenchmarkId::new("gradient, 257^2, order", order), &order, |b, _| {
            b.iter(|| differences.gradient(&v, &mut gradient))
        });
    }

    let grid = cube(2, 257)?;
    let points = grid.points();
    let mut s = PointBlock::zeros(2, points.len());
    group.throughput(Throughput::Elements(points.len() as u64));
    group.bench_function("score of 8 components, 257^2, one thread", |b| {
        b.iter(|| ring.score().at(0.7).eval(points.as_points(), s.as_mut()))
    });

    let mut s = PointBlock::zeros(2, 4096);
    let block = points.as_points().window(0..4096);
    for kind in NETWORK_FILES {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/pretrained/old_faithful").with_extension(kind);
        let network = Arc::new(Network::read(&file, &NetworkParams::default())?);
        let score = NetworkScore::new(network, Schedule::linear(2.0, 0.5, 5.0)?)?;
        group.throughput(Throughput::Elements(4096));
        group.bench_function(BenchmarkId::new("network of 34690 parameters, 4096 points, one thread", kind), |b| {
            b.iter(|| score.at(0.7).eval(block, s.as_mut()))
        });
        group.bench_function(BenchmarkId::new("product with its Jacobian, 4096 points, one thread", kind), |b| {
            b.iter(|| score.at(0.7).vjp(block, block, s.as_mut()))
        });
    }

    let params = SmoothParams { rtol: 6e-6, atol: 6e-6, output: Output::Times(vec![1.5]), ..Default::default() };
    let solver = SmoothSolver::new(&ring, cube(2, 129)?, params)?;
    let info = solver.solve_observed(&mut |_| {})?;
    group.throughput(Throughput::Elements((info.right_sides * info.nodes) as u64));
    group.bench_function("Runge-Kutta-Chebyshev, 129^2, whole solve", |b| b.iter(|| solver.solve_observed(&mut |_| {})));

    let grid = cube(2, 257)?;
    let (drift, variance) = (rotating_drift(&grid), vec![1.0; 2 * grid.len()]);
    let mut generator = Generator::new(grid.clone(), Space::Hybrid.scheme(), Face::Reflecting);
    group.throughput(Throughput::Elements(grid.len() as u64));
    group
        .bench_function("hybrid assembly, 257^2", |b| b.iter(|| generator.assemble(&drift, &variance).map(|l| l.diagonal(0)[0])));

    let rates = rotation(257)?;
    let mut step = rates.clone();
    step.set_identity_minus(1e-2, &rates);
    let right: Vec<f64> = (0..step.len()).map(|j| (0.01 * j as f64).cos()).collect();
    for (name, choice) in [
        ("sparse LU", LinearSolverChoice::SparseLu),
        ("ILU(0), BiCGSTAB", LinearSolverChoice::BiCgStab(IterationParams::default())),
        ("multigrid, BiCGSTAB", LinearSolverChoice::Multigrid(MultigridParams::default())),
        ("ADI sweeps, BiCGSTAB", LinearSolverChoice::Adi(AdiSweepParams::default())),
    ] {
        let mut solver = choice.build(&step)?;
        let mut x = vec![0.0; right.len()];
        group.bench_function(BenchmarkId::new("factorise and solve I - 0.01 L, 257^2", name), |b| {
            b.iter(|| {
                solver.factorise(&step).and_then(|()| {
                    x.fill(0.0);
                    solver.solve_from(&step, &right, &mut x)
                })
            })
        });
    }

    let (a, rhs) = implicit_step(801);
    let mut tridiagonal = Tridiagonal::new(&a)?;
    let mut x = rhs.clone();
    group.throughput(Throughput::Elements(801));
    group.bench_function("tridiagonal stage, 801 nodes", |b| {
        b.iter(|| {
            x.copy_from_slice(&rhs);
            tridiagonal.factorise(&a).and_then(|()| tridiagonal.solve(&a, &mut x))
        })
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
