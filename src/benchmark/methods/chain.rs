//! The discrete chain with N steps, solved by PI-FT on a grid: its value and control against the continuous ones, order 1.

use super::{Outcome, timed};
use crate::bridge::wasserstein_1;
use crate::problem::Problem;
use crate::problem::spec::PiFtSpec;
use crate::run::{RunError, ddpm_params, pift_params};
use hjbridge_model::exact::{FinalLaw, TiltedMixture};
use hjbridge_model::{Law, PointBlock, Points, TensorGrid};
use hjbridge_pift::{ChainLaw, ChainLawParams, ChainPolicy, Ddpm, PiFt, PiFtError, Storage};
use rayon::prelude::*;
use std::sync::Arc;

/// Smallest ratio of sig_k to the spacing at which the law is propagated.
const RESOLUTION: f64 = 1.2;

pub(super) fn solve(problem: &Problem, spec: &PiFtSpec, grid: &Arc<TensorGrid>, steps: usize) -> Result<Outcome, RunError> {
    let mut problem = Problem { grid: grid.clone(), ..problem.clone() };
    problem.file.pift = spec.clone();
    let ddpm = Ddpm::new(&problem.model, ddpm_params(&problem, steps))?;
    let mut params = pift_params(&problem, false);
    params.storage = Storage::All;
    let (solution, seconds) = timed(|| Ok(PiFt::new(&ddpm, grid.clone(), params.clone())?.solve()?))?;
    let times = solution.times[..steps].to_vec();
    let mut controls = solution.controls;
    let points = grid.points();
    times.par_iter().zip(&mut controls).for_each(|(&t, u)| {
        let mut s = PointBlock::zeros(points.dim(), points.len());
        problem.model.score().at(t).eval(points.as_points(), s.as_mut());
        u.iter_mut().zip(s.data()).for_each(|(u, s)| *u -= s);
    });
    let mut values = solution.values;
    values.truncate(steps);
    let final_law_error = match final_law(&problem, &ddpm, &solution.shifts) {
        Err(RunError::PiFt(PiFtError::Unsupported { .. } | PiFtError::MassLost { .. })) => None,
        other => other?,
    };
    Ok(Outcome {
        grid: grid.clone(),
        times,
        values,
        controls,
        controlled: ddpm.variances().iter().map(|v| *v > 0.0).collect(),
        steps,
        evaluations: solution.info.steps.iter().map(|s| s.iterations.max(1)).sum(),
        seconds,
        final_law_error,
    })
}

/// W1 between the final laws of the chain and of the continuous process, both from the problem's initial law: on a line, with a
/// mixture for the tilted law, on a grid that resolves the noise of every step.
fn final_law(problem: &Problem, ddpm: &Ddpm<'_>, shifts: &[Vec<f64>]) -> Result<Option<f64>, RunError> {
    let tilts = problem.model.kl_weight().as_constant().is_some_and(|b| problem.model.reward().tilt_terms(b).is_some());
    let least = ddpm.variances().iter().copied().fold(f64::INFINITY, f64::min).sqrt();
    let spacing = problem.grid.axis(0).spacing().unwrap_or(f64::INFINITY);
    if problem.dim() != 1 || !tilts || least < RESOLUTION * spacing {
        return Ok(None);
    }
    let initial = problem.model.initial_law();
    let log_density = |x: Points<'_>, out: &mut [f64]| initial.log_density(x, out);
    let policy = ChainPolicy::Shifts(shifts);
    let law = ChainLaw::propagate(ddpm, problem.grid.clone(), &log_density, policy, ChainLawParams::default())?;
    let mut continuous = vec![0.0; problem.grid.len()];
    FinalLaw::new(&problem.model, &TiltedMixture::new(&problem.model)?)?
        .density(problem.grid.points().as_points(), &mut continuous);
    Ok(Some(wasserstein_1(problem.grid.axis(0).nodes(), &law.density, &continuous)))
}
