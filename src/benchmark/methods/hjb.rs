//! The HJB equation by second-order differences in space and N equal steps in time: implicit Euler (order 1), Crank-Nicolson and
//! TR-BDF2 (order 2), until the error in space shows.

use super::{Outcome, timed};
use crate::benchmark::subject::Subject;
use crate::run::RunError;
use hjbridge_hjb::{HjbParams, HjbSolver, Space, Time};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

pub(super) fn solve(
    subject: &Subject,
    grid: &Arc<TensorGrid>,
    (space, time): (Space, Time),
    steps: usize,
) -> Result<Outcome, RunError> {
    let model = subject.model();
    let params = HjbParams { space, time, steps, ..HjbParams::default() };
    let ((solution, info), seconds) = timed(|| Ok(HjbSolver::new(model.get(), grid.clone(), params)?.solve()?))?;
    Ok(Outcome {
        grid: grid.clone(),
        times: solution.times()[..steps].to_vec(),
        values: (0..steps).map(|k| solution.value(k).to_vec()).collect(),
        controls: (0..steps).map(|k| solution.control(k).to_vec()).collect(),
        controlled: vec![true; steps],
        steps,
        evaluations: info.inner_iterations,
        seconds,
        final_law_error: None,
    })
}
