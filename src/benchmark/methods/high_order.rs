//! The HJB equation by differences of order 8 in space, integrated to a tolerance; compared at the times of the finest of the methods
//! with equal steps.

use super::{Outcome, timed};
use crate::benchmark::reference::high_order;
use crate::benchmark::subject::Subject;
use crate::run::RunError;
use hjbridge_hjb::SmoothParams;
use hjbridge_hjb::smooth::{Integrator, Output};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

/// Intervals between the output times of the run that is timed.
const TIMED: usize = 64;

pub(super) fn solve(
    subject: &Subject,
    grid: &Arc<TensorGrid>,
    integrator: Integrator,
    tolerance: f64,
    levels: usize,
) -> Result<Outcome, RunError> {
    let run = |levels: usize| {
        let output = Output::Levels(levels);
        let params = SmoothParams { integrator, rtol: tolerance, atol: tolerance, output, ..SmoothParams::default() };
        high_order(subject, grid, params)
    };
    let (_, seconds) = timed(|| run(TIMED))?;
    let (solution, info) = run(levels)?;
    Ok(Outcome {
        grid: grid.clone(),
        times: solution.times()[..levels].to_vec(),
        values: (0..levels).map(|k| solution.value(k).to_vec()).collect(),
        controls: (0..levels).map(|k| solution.control(k).to_vec()).collect(),
        controlled: vec![true; levels],
        steps: info.steps,
        evaluations: info.right_sides + info.linear_solves,
        seconds,
        final_law_error: None,
    })
}
