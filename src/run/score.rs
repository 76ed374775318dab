//! The pre-trained score as a table, for priors whose exact score is dear (kernel density estimates, networks).

use super::RunError;
use crate::problem::Problem;
use hjbridge_model::{Extrapolation, FineTuning, Interpolation, PointBlock, TableFeedback};
use rayon::prelude::*;
use std::sync::Arc;

/// Components from which a table beats the exact score, which costs an exponential for each.
const DEAR: usize = 16;

/// The problem's model with the score tabulated at t_k = k h, k = 0..=`steps`, on the grid (cubic splines in space); the model
/// unchanged when its exact score is cheap.
///
/// At the times t_k the error is that of the spline, order 4 in the spacing.
///
/// # Errors
/// A score that is not finite at a node.
pub fn tabulated_score(problem: &Problem, steps: usize) -> Result<FineTuning, RunError> {
    if problem.model.prior().components() < DEAR && problem.network.is_none() {
        return Ok(problem.model.clone());
    }
    let (d, n) = (problem.dim(), problem.grid.len());
    let points = problem.grid.points();
    let h = problem.model.schedule().horizon() / steps as f64;
    let times: Vec<f64> = (0..=steps).map(|k| k as f64 * h).collect();
    let slices: Vec<Vec<f64>> = times
        .par_iter()
        .map(|&t| {
            let mut s = PointBlock::zeros(d, n);
            problem.model.score().at(t).eval(points.as_points(), s.as_mut());
            s.data().to_vec()
        })
        .collect();
    let table = TableFeedback::new(problem.grid.clone(), times, slices, d, Interpolation::Cubic, Extrapolation::Linear)?;
    Ok(problem.model.clone().with_score(Arc::new(table))?)
}
