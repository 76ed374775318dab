//! One backward sweep of PI-FT, its errors and the law of its chain.

use crate::problem::Problem;
use crate::run::{Progress, RegionPoints, RegionSlice, RunError, SliceError, ddpm_params, pift_params};
use hjbridge_model::{Axis, CubicSpline, Extrapolation, Law, Points, ScalarField, TensorGrid};
use hjbridge_pift::{ChainLaw, ChainLawParams, ChainPolicy, Ddpm, PiFt, PiFtInfo};
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
        let solver = PiFt::new(&ddpm, grid, pift_params(problem, false))?;
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

    /// Density of Y_T under the policy found, with its mean and variance, on the problem's grid.
    ///
    /// The trapezoidal rule needs equal spacing that resolves the smallest sig_k; where the grid has not, the law is propagated on
    /// one that has, and shifts and density are carried over by splines.
    pub fn final_law(&self, problem: &Problem) -> Result<ChainLaw, RunError> {
        let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, self.steps))?;
        let axis = problem.grid.axis(0);
        let smallest = ddpm.variances().iter().copied().fold(f64::INFINITY, f64::min).sqrt();
        let length = axis.upper() - axis.lower();
        let enough = (RESOLUTION * length / smallest).ceil().min(1e5) as usize + 1;
        let initial = problem.model.initial_law();
        let params = ChainLawParams::default();
        let log_density = |x: Points<'_>, out: &mut [f64]| initial.log_density(x, out);
        if axis.spacing().is_some() && axis.len() >= enough || smallest == 0.0 {
            let policy = ChainPolicy::Shifts(&self.shifts);
            return Ok(ChainLaw::propagate(&ddpm, problem.grid.clone(), &log_density, policy, params)?);
        }
        let even = Axis::uniform(axis.lower(), axis.upper(), axis.len().max(enough))?;
        let even = Arc::new(TensorGrid::new(vec![even])?);
        let carry = |from: &Arc<TensorGrid>, to: &TensorGrid, field: &[f64]| -> Result<Vec<f64>, RunError> {
            let mut out = vec![0.0; to.len()];
            CubicSpline::new(from.clone(), field, Extrapolation::Linear)?.value(to.points().as_points(), &mut out);
            Ok(out)
        };
        let shifts =
            self.shifts.par_iter().map(|shift| carry(&problem.grid, &even, shift)).collect::<Result<Vec<_>, RunError>>()?;
        let mut law = ChainLaw::propagate(&ddpm, even.clone(), &log_density, ChainPolicy::Shifts(&shifts), params)?;
        law.density = carry(&even, &problem.grid, &law.density)?;
        law.grid = problem.grid.clone();
        Ok(law)
    }
}

/// Smallest ratio of sig_k to the spacing at which the law is propagated.
const RESOLUTION: f64 = 1.2;
