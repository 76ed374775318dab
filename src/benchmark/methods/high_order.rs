//! The HJB equation by differences of order 8 in space, integrated to a tolerance.

use super::{Outcome, timed};
use crate::benchmark::reference::high_order;
use crate::benchmark::subject::Subject;
use crate::run::RunError;
use hjbridge_hjb::SmoothParams;
use hjbridge_hjb::smooth::{Integrator, Output};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

/// Intervals between the times at which the solution is compared.
const LEVELS: usize = 64;

pub(super) fn solve(
    subject: &Subject,
    grid: &Arc<TensorGrid>,
    integrator: Integrator,
    tolerance: f64,
) -> Result<Outcome, RunError> {
    let params =
        SmoothParams { integrator, rtol: tolerance, atol: tolerance, output: Output::Levels(LEVELS), ..SmoothParams::default() };
    let ((solution, info), seconds) = timed(|| high_order(subject, grid, params.clone()))?;
    Ok(Outcome {
        grid: grid.clone(),
        times: solution.times()[..LEVELS].to_vec(),
        values: (0..LEVELS).map(|k| solution.value(k).to_vec()).collect(),
        controls: (0..LEVELS).map(|k| solution.control(k).to_vec()).collect(),
        controlled: vec![true; LEVELS],
        steps: info.steps,
        evaluations: info.right_sides + info.linear_solves,
        seconds,
        final_law_error: None,
    })
}
