//! Expectations under the initial law by the trapezoidal rule on the grid.

use crate::problem::Problem;
use hjbridge_model::Law;

/// E f(Y_0) for f given at the nodes of the problem's grid.
///
/// The law's mass in the box is normalised to one; the box holds all but 1e-4 of it (checked when the problem is resolved).
pub fn initial_mean(problem: &Problem, f: &[f64]) -> f64 {
    let grid = &problem.grid;
    let mut density = vec![0.0; grid.len()];
    problem.model.initial_law().log_density(grid.points().as_points(), &mut density);
    let (mut sum, mut mass) = (0.0, 0.0);
    for ((l, w), f) in density.iter().zip(grid.volumes()).zip(f) {
        let m = l.exp() * w;
        mass += m;
        sum += m * f;
    }
    sum / mass
}
