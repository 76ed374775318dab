//! The law of Y_N under the policy of a sweep, on the problem's grid.

use super::final_law::LawOnGrid;
use super::sweep::Sweep;
use crate::problem::Problem;
use crate::run::{Progress, RunError, ddpm_params, is_cancelled};
use hjbridge_hjb::masses_from_log_density;
use hjbridge_model::{Axis, CubicSpline, Extrapolation, Law, Points, ScalarField, TensorGrid};
use hjbridge_pift::{ChainLaw, ChainLawParams, ChainPolicy, Ddpm, GridLaw};
use rayon::prelude::*;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Smallest ratio of sig_k to the spacing at which the law on a line is propagated.
const RESOLUTION: f64 = 1.2;

/// Most nodes on the even grid of a line.
const MOST: f64 = 1e5;

/// Most evaluations of a kernel or of a spline on a line, some seconds of work.
const MOST_WORK: f64 = 4e9;

/// Mass that may leave a box in two and three dimensions: boxes hold all but 1e-4 of the initial law.
const MASS_TOLERANCE: f64 = 1e-4;

/// The law and its largest loss of mass.
///
/// On a line by the trapezoidal rule, which needs equal spacing that resolves the smallest sig_k (where the problem's grid has not,
/// the law is propagated on one that has); in the plane, in space, where a step has no noise, and where its kernels are so unequal that
/// this would take too long (wide first steps, narrow last ones), by remeshing on an equally spaced
/// grid. Shifts and density are carried over by splines where that grid is not the problem's.
pub(super) fn chain_law(problem: &Problem, sweep: &Sweep, progress: &dyn Progress) -> Result<(LawOnGrid, f64), RunError> {
    progress.begin(&format!("law N = {}", sweep.steps), sweep.steps as u64);
    let mut observe = |k: usize| {
        progress.advance(k as u64);
        if is_cancelled(progress) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let law = propagated(problem, sweep, &mut observe);
    progress.end();
    law
}

fn propagated(
    problem: &Problem,
    sweep: &Sweep,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(LawOnGrid, f64), RunError> {
    let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, sweep.steps))?;
    let grid = &problem.grid;
    let smallest = ddpm.variances().iter().copied().fold(f64::INFINITY, f64::min).sqrt();
    let sampled = grid.dim() == 1 && smallest > 0.0 && sampled_work(&ddpm, grid.axis(0), smallest) < MOST_WORK;
    let axes: Vec<Axis> = grid.axes().iter().map(|axis| even(axis, sampled.then_some(smallest))).collect::<Result<_, _>>()?;
    let same = axes.iter().zip(grid.axes()).all(|(a, b)| b.spacing().is_some() && a.len() == b.len());
    let on = if same { grid.clone() } else { Arc::new(TensorGrid::new(axes)?) };
    let carried;
    let shifts = if same {
        &sweep.shifts
    } else {
        carried = sweep.shifts.par_iter().map(|shift| carry(grid, &on, shift)).collect::<Result<Vec<_>, RunError>>()?;
        &carried
    };
    let policy = ChainPolicy::Shifts(shifts);
    let initial = problem.model.initial_law();
    let (density, defect) = if sampled {
        let log_density = |x: Points<'_>, out: &mut [f64]| initial.log_density(x, out);
        let law = ChainLaw::propagate_observed(&ddpm, on.clone(), &log_density, policy, ChainLawParams::default(), observe)?;
        (law.density, law.info.mass_defect)
    } else {
        let mut log_density = vec![0.0; on.len()];
        initial.log_density(on.points().as_points(), &mut log_density);
        let masses = masses_from_log_density(&on, &log_density)?;
        let params = ChainLawParams { mass_tolerance: MASS_TOLERANCE, ..ChainLawParams::default() };
        let law = GridLaw::propagate_observed(&ddpm, on.clone(), &masses, policy, params, observe)?;
        (law.masses.iter().zip(on.volumes()).map(|(m, v)| m / v).collect(), law.info.mass_defect)
    };
    let density = if same { density } else { carry(&on, grid, &density)? };
    Ok((LawOnGrid::new(grid, density), defect))
}

/// The axis itself if it is even and fine enough, an even one otherwise.
fn even(axis: &Axis, noise: Option<f64>) -> Result<Axis, RunError> {
    let length = axis.upper() - axis.lower();
    let enough = noise.map_or(0, |sigma| (RESOLUTION * length / sigma).ceil().min(MOST) as usize + 1);
    if axis.spacing().is_some() && axis.len() >= enough {
        return Ok(axis.clone());
    }
    Ok(Axis::uniform(axis.lower(), axis.upper(), axis.len().max(enough))?)
}

/// Evaluations that the trapezoidal rule takes: kernels cut at 9 sigma on the nodes of [`even`], and the splines of the shifts.
fn sampled_work(ddpm: &Ddpm<'_>, axis: &Axis, smallest: f64) -> f64 {
    let length = axis.upper() - axis.lower();
    let nodes = (RESOLUTION * length / smallest).min(MOST).max(axis.len() as f64);
    let width = |variance: &f64| (18.0 * variance.sqrt() / length).min(1.0) * nodes + 20.0;
    nodes * ddpm.variances().iter().map(width).sum::<f64>()
}

/// A field (of any number of components) from the nodes of one grid to those of another.
fn carry(from: &Arc<TensorGrid>, to: &TensorGrid, field: &[f64]) -> Result<Vec<f64>, RunError> {
    let points = to.points();
    let mut out = vec![0.0; to.len() * (field.len() / from.len())];
    for (part, out) in field.chunks_exact(from.len()).zip(out.chunks_exact_mut(to.len())) {
        CubicSpline::new(from.clone(), part, Extrapolation::Linear)?.value(points.as_points(), out);
    }
    Ok(out)
}
