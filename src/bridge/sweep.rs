//! One backward sweep of PI-FT and its errors.

use crate::problem::Problem;
use crate::run::{Progress, RegionPoints, RegionSlice, RunError, SliceError, ddpm_params, pift_params};
use hjbridge_model::TensorGrid;
use hjbridge_pift::{Ddpm, PiFt, PiFtInfo};
use rayon::prelude::*;
use std::sync::Arc;

/// One backward sweep of PI-FT.
pub(super) struct Sweep {
    pub steps: usize,
    pub times: Vec<f64>,
    pub values: Vec<Vec<f64>>,
    pub controls: Vec<Vec<f64>>,
    pub shifts: Vec<Vec<f64>>,
    /// Whether step k has noise.
    pub noisy: Vec<bool>,
    pub info: PiFtInfo,
    pub seconds: f64,
}

impl Sweep {
    pub fn run(problem: &Problem, steps: usize, progress: &dyn Progress) -> Result<Self, RunError> {
        let start = std::time::Instant::now();
        let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, steps))?;
        let grid: Arc<TensorGrid> = problem.grid.clone();
        let solver = PiFt::new(&ddpm, grid, pift_params(problem, false))?.with_interrupt(progress.interrupt());
        let (mut times, mut values, mut controls, mut shifts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        progress.begin(&format!("PI-FT N = {steps}"), steps as u64);
        let info = solver.solve_observed(&mut |view| {
            progress.advance((steps - view.k) as u64);
            // V_N is the reward; it is not compared
            if let (Some(control), Some(shift)) = (view.control, view.shift) {
                times.push(view.t);
                values.push(view.value.to_vec());
                controls.push(control.to_vec());
                shifts.push(shift.to_vec());
            }
        });
        progress.end();
        let info = info?;
        for slices in [&mut values, &mut controls, &mut shifts] {
            slices.reverse();
        }
        times.reverse();
        let noisy = ddpm.variances().iter().map(|v| *v > 0.0).collect();
        Ok(Sweep { steps, times, values, controls, shifts, noisy, info, seconds: start.elapsed().as_secs_f64() })
    }

    /// Errors at every t_k, in parallel over k.
    pub fn errors(
        &self,
        region: &RegionPoints,
        reference: impl Fn(f64) -> Result<RegionSlice, RunError> + Sync,
    ) -> Result<Vec<SliceError>, RunError> {
        (0..self.times.len())
            .into_par_iter()
            .map(|k| {
                let t = self.times[k];
                Ok(region.errors(&reference(t)?, t, &self.values[k], &self.controls[k]))
            })
            .collect()
    }
}
