//! The high-order route on its bars: double well, ring of eight Gaussians in two dimensions, octahedron in three.
//!
//! A plain script that prints errors and times; each solve is run twice and the shorter time given. Threads as rayon has them.
//! With `-- large` also 513^2 and 1025^2 nodes.

mod common;

use common::{Outcome, octahedron, ring};
use hjbridge::hjb::smooth::{Output, SmoothInfo, SmoothParams, SmoothSolver};
use hjbridge::model::exact::{ClosedForm, TiltedMixture};
use hjbridge::model::fine_tuning::FineTuning;
use hjbridge::model::grid::{Axis, TensorGrid};
use std::sync::Arc;

/// Solve twice without output, once for the error of V at the output times on |y_i| <= radius.
fn figures(problem: &FineTuning, half: f64, n: usize, params: SmoothParams, radius: f64) -> Outcome<(f64, SmoothInfo)> {
    let dim = problem.prior().mean().len();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-half, half, n)?; dim])?);
    let (points, exact) = (grid.points(), TiltedMixture::new(problem)?);
    let inside: Vec<usize> = (0..grid.len()).filter(|&j| (0..dim).all(|i| points.coord(i)[j].abs() <= radius)).collect();
    let solver = SmoothSolver::new(problem, grid.clone(), params.clone())?;
    let mut v = vec![0.0; grid.len()];
    let mut error = 0.0f64;
    solver.solve_observed(&mut |view| {
        exact.at(view.t).value(points.as_points(), &mut v);
        error = inside.iter().fold(error, |m, &j| m.max((view.value[j] - v[j]).abs()));
    })?;
    let quiet = SmoothSolver::new(problem, grid, SmoothParams { output: Output::Levels(1), ..params })?;
    let mut info = quiet.solve_observed(&mut |_| {})?;
    info.seconds = info.seconds.min(quiet.solve_observed(&mut |_| {})?.seconds);
    Ok((error, info))
}

fn show(name: &str, tolerance: f64, (error, info): (f64, SmoothInfo)) {
    println!(
        "  {name:<10} order {} tolerance {tolerance:.0e}: error V {error:.2e}, {} steps, {} right sides, {} coefficients, {:.3} s, {:.2} ns per node and right side",
        info.order,
        info.steps,
        info.right_sides,
        info.coefficient_evaluations,
        info.seconds,
        1e9 * info.seconds / (info.right_sides * info.nodes) as f64
    );
}

fn main() -> Outcome<()> {
    let large = std::env::args().any(|a| a == "large");
    println!(
        "high-order route, {} threads; errors of V on |y_i| <= 3 (2.6 in three dimensions) against the closed form",
        rayon::current_num_threads()
    );
    let problem = ring()?;
    let params = |order, tolerance| SmoothParams {
        order,
        rtol: tolerance,
        atol: tolerance,
        output: Output::Levels(8),
        ..Default::default()
    };
    for (n, order) in [(129, 8), (257, 6), (257, 8)].into_iter().chain([(513, 8), (1025, 8)].into_iter().filter(|_| large)) {
        show(&format!("ring {n}^2"), 6e-6, figures(&problem, 5.5, n, params(order, 6e-6), 3.0)?);
    }
    let problem = octahedron()?;
    for (n, order) in [(33, 8), (65, 4), (65, 8)] {
        show(&format!("six {n}^3"), 2e-5, figures(&problem, 4.5, n, params(order, 2e-5), 2.6)?);
    }
    Ok(())
}
