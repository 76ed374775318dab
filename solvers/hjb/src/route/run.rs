//! One solution by one route: V and v kept at some times, handed out at others.

use crate::certificate::residual::{TIME_STENCIL, TimeWindow};
use crate::cole_hopf::{ColeHopfInfo, ColeHopfParams, ColeHopfSolver};
use crate::error::HjbError;
use crate::exit::{FaceValues, Placement, TargetSet};
use crate::obstacle::Obstacle;
use crate::params::{HjbInfo, HjbParams};
use crate::route::sink::LevelSink;
use crate::sense::{Oriented, Sense};
use crate::smooth::{Integrator, Output, SmoothInfo, SmoothParams, SmoothSolver};
use crate::solution::ValueFunction;
use crate::solve::HjbSolver;
use crate::time_variation::TimeVariation;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Fractions of the horizon at which solutions are compared, besides times that approach its end geometrically.
const COMPARED: [f64; 9] = [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 0.9375];
/// Fractions of the horizon around which residuals are taken.
const TESTED: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 0.9375];
/// Most times compared for the sake of jumps in time.
const MOST_BREAKS: usize = 16;
/// Levels of the residual's difference quotients in time for solutions with dense output.
const DENSE_LEVELS: usize = 256;

/// The problem, whatever the route.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a> {
    /// Distance to the end of the last time before it that is of interest.
    pub least: f64,
    /// Distance of levels that solutions with fixed steps share on all grids.
    pub shared: f64,
    pub model: &'a dyn ControlledDiffusion,
    pub sense: Sense,
    pub obstacle: Option<&'a dyn Obstacle>,
    pub target: Option<(&'a dyn TargetSet, Placement)>,
    pub faces: Option<&'a dyn FaceValues>,
    pub interrupt: Option<&'a AtomicBool>,
}

/// Receives the solution at the output times: (number of the time, t, V, v).
pub(crate) type Observe<'o> = dyn FnMut(usize, f64, &[f64], &[f64]) + 'o;

/// Report of a run.
#[derive(Clone, Debug)]
pub(crate) enum RunInfo {
    Monotone(Box<HjbInfo>),
    HighOrder(Box<SmoothInfo>),
    ColeHopf(Box<ColeHopfInfo>),
}

impl RunInfo {
    pub fn seconds(&self) -> f64 {
        match self {
            RunInfo::Monotone(i) => i.seconds,
            RunInfo::HighOrder(i) => i.seconds,
            RunInfo::ColeHopf(i) => i.seconds,
        }
    }

    /// Nanoseconds of a nominal processor, from counts: the constants are measured times per node on grids in cache.
    pub fn work(&self, dim: usize) -> f64 {
        // One linear system with its assembly.
        let solve = [45.0, 600.0, 1500.0][dim.clamp(1, 3) - 1];
        match self {
            RunInfo::Monotone(i) => i.nodes as f64 * i.inner_iterations as f64 * solve,
            RunInfo::ColeHopf(i) => i.nodes as f64 * i.inner_iterations as f64 * solve,
            RunInfo::HighOrder(i) => {
                let implicit = 400.0 * i.factorisations as f64 + 120.0 * i.linear_solves as f64;
                let explicit = 12.0 * dim as f64 * i.right_sides as f64;
                let model = 60.0 * i.coefficient_evaluations as f64;
                i.nodes as f64 * (implicit + explicit + model)
            }
        }
    }
}

/// What a run leaves behind.
pub(crate) struct Run {
    /// V and v at the times compared and around those where the residual is taken.
    pub kept: ValueFunction,
    /// Levels on which the residual's windows lie.
    levels: usize,
    pub info: RunInfo,
}

impl Run {
    /// The windows of the residual; none when they were not kept.
    pub fn windows(&self, horizon: f64) -> Vec<TimeWindow<'_>> {
        let find = |t: f64| self.kept.times().iter().position(|s| (s - t).abs() <= 1e-10 * horizon);
        let mut windows = Vec::new();
        for (levels, centre) in window_levels(self.levels) {
            let places: Option<Vec<usize>> = levels.map(|k| find(level_time(k, self.levels, horizon))).collect();
            if let Some(places) = places {
                let times = places.iter().map(|&k| self.kept.times()[k]).collect();
                windows.push(TimeWindow { times, values: places.iter().map(|&k| self.kept.value(k)).collect(), centre });
            }
        }
        windows
    }
}

fn level_time(k: usize, levels: usize, horizon: f64) -> f64 {
    if k == levels { horizon } else { k as f64 * (horizon / levels as f64) }
}

/// Ranges of levels and the place of the level tested in them; the data at the end are left out where levels allow.
fn window_levels(levels: usize) -> Vec<(std::ops::Range<usize>, usize)> {
    let most = if levels > TIME_STENCIL { levels } else { levels + 1 };
    let width = TIME_STENCIL.min(most);
    TESTED
        .iter()
        .map(|f| {
            let k = ((f * levels as f64).round() as usize).min(most - 1);
            let start = k.saturating_sub(width / 2).min(most - width);
            (start..start + width, k - start)
        })
        .collect()
}

/// Times that approach the end geometrically from the last of [`COMPARED`] on, down to a distance `least` before it: where V
/// is singular at the end its error is largest next to it.
fn before_end(horizon: f64, least: f64) -> Vec<f64> {
    let mut distances: Vec<f64> = (5..60).map(|k| horizon * 0.5f64.powi(k)).take_while(|d| *d > 1.01 * least).collect();
    if least > 0.0 && least < horizon * (1.0 - COMPARED[COMPARED.len() - 1]) {
        distances.push(least);
    }
    distances.into_iter().map(|d| horizon - d).collect()
}

/// The same for a solution at levels: those at 1, 2, 4, ... steps before the end, the nearest about `least` before it. Two
/// solutions share those that the coarser one has.
fn levels_before_end(horizon: f64, levels: usize, least: f64) -> Vec<f64> {
    let far = |steps: &usize| 1.5 * (*steps as f64) * horizon > 1.01 * least * levels as f64;
    let doubled = std::iter::successors(Some(1usize), |steps| steps.checked_mul(2)).take_while(|steps| 16 * steps < levels);
    doubled.filter(far).map(|steps| level_time(levels - steps, levels, horizon)).collect()
}

/// The first levels that all grids share below jumps of the coefficients and below their quick variation, the first
/// [`MOST_BREAKS`]: an error made there may be gone, by chance, at the times compared otherwise.
fn below_jumps(variation: &TimeVariation, shared: f64) -> Vec<f64> {
    let jumps = variation.jumps.iter().map(|j| j.below);
    let mut found: Vec<f64> = jumps.chain(variation.quick.iter().map(|q| q.1)).map(|t| (t / shared).floor() * shared).collect();
    found.sort_by(f64::total_cmp);
    found.dedup();
    found.truncate(MOST_BREAKS);
    found
}

/// The times to keep, ascending: those compared, `near` the end among them, and those of the residual if wanted.
fn kept_times(horizon: f64, levels: usize, residual: bool, near: Vec<f64>) -> Vec<f64> {
    let mut times: Vec<f64> = COMPARED.iter().map(|f| f * horizon).chain(near).collect();
    if residual {
        times.extend(window_levels(levels).into_iter().flat_map(|(range, _)| range).map(|k| level_time(k, levels, horizon)));
    }
    merge(times, horizon)
}

fn merge(mut times: Vec<f64>, horizon: f64) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.dedup_by(|a, b| (*a - *b).abs() <= 1e-10 * horizon);
    times
}

/// Keeps and hands out.
struct Split<'o> {
    keep: Vec<f64>,
    emit: &'o [f64],
    slack: f64,
    times: Vec<f64>,
    values: Vec<Vec<f64>>,
    controls: Vec<Vec<f64>>,
    observe: &'o mut Observe<'o>,
}

impl<'o> Split<'o> {
    fn new(keep: Vec<f64>, emit: &'o [f64], horizon: f64, observe: &'o mut Observe<'o>) -> Self {
        let slack = 1e-10 * horizon;
        Split { keep, emit, slack, times: Vec::new(), values: Vec::new(), controls: Vec::new(), observe }
    }

    fn union(&self, horizon: f64) -> Vec<f64> {
        // The output times win: they are met exactly.
        let extra = self.keep.iter().filter(|t| self.emit.iter().all(|s| (*t - s).abs() > self.slack));
        let mut all: Vec<f64> = self.emit.iter().chain(extra).map(|t| t.clamp(0.0, horizon)).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn take(&mut self, t: f64, value: &[f64], control: &[f64]) {
        if self.keep.iter().any(|s| (s - t).abs() <= self.slack) {
            self.times.push(t);
            self.values.push(value.to_vec());
            self.controls.push(control.to_vec());
        }
        if let Some(k) = self.emit.iter().position(|s| *s == t) {
            (self.observe)(k, t, value, control);
        }
    }

    fn finish(mut self, grid: Arc<TensorGrid>, m: usize) -> Result<ValueFunction, HjbError> {
        self.times.reverse();
        self.values.reverse();
        self.controls.reverse();
        ValueFunction::new(grid, m, self.times, self.values, self.controls)
    }
}

/// Solve by [`HjbSolver`].
pub(crate) fn monotone<'o>(
    problem: Problem<'_>,
    grid: &Arc<TensorGrid>,
    params: HjbParams,
    variation: &Arc<TimeVariation>,
    residual: bool,
    emit: &'o [f64],
    observe: &'o mut Observe<'o>,
) -> Result<Run, HjbError> {
    let horizon = problem.model.horizon();
    let mut solver = HjbSolver::new(problem.model, grid.clone(), params)?.with_variation(variation.clone());
    solver = solver.with_interrupt(problem.interrupt);
    if let Some(obstacle) = problem.obstacle {
        solver = solver.with_obstacle(obstacle);
    }
    if let Some((target, placement)) = problem.target {
        solver = solver.with_target(target, placement);
    }
    if let Some(faces) = problem.faces {
        solver = solver.with_face_values(faces);
    }
    let mut near = levels_before_end(horizon, params.steps, problem.least);
    near.extend(below_jumps(variation, problem.shared));
    let keep = kept_times(horizon, params.steps, residual, near);
    let mut split = Split::new(keep, emit, horizon, observe);
    let times = split.union(horizon);
    let set = problem.model.control_set();
    let info = {
        let mut receive = |t: f64, value: &[f64], control: &[f64]| split.take(t, value, control);
        let mut sink = LevelSink::new(&times, horizon, params.steps, &set, &mut receive);
        solver.solve_observed(&mut |view| sink.take(view.step, view.value, view.control))?
    };
    let kept = split.finish(grid.clone(), problem.model.control_dim())?;
    Ok(Run { kept, levels: params.steps, info: RunInfo::Monotone(Box::new(info)) })
}

/// Solve by [`ColeHopfSolver`] with the schemes of the monotone route.
pub(crate) fn cole_hopf<'o>(
    problem: Problem<'_>,
    grid: &Arc<TensorGrid>,
    params: HjbParams,
    variation: &Arc<TimeVariation>,
    residual: bool,
    emit: &'o [f64],
    observe: &'o mut Observe<'o>,
) -> Result<Run, HjbError> {
    let horizon = problem.model.horizon();
    let own = ColeHopfParams {
        space: params.space,
        time: params.time,
        steps: params.steps,
        boundary: params.boundary,
        linear: params.linear,
        sense: params.sense,
        memory_limit: params.memory_limit,
        ..Default::default()
    };
    let mut solver = ColeHopfSolver::new(problem.model, grid.clone(), own)?.with_interrupt(problem.interrupt);
    if let Some((target, placement)) = problem.target {
        solver = solver.with_target(target, placement);
    }
    if let Some(faces) = problem.faces {
        solver = solver.with_face_values(faces);
    }
    let mut near = levels_before_end(horizon, params.steps, problem.least);
    near.extend(below_jumps(variation, problem.shared));
    let keep = kept_times(horizon, params.steps, residual, near);
    let mut split = Split::new(keep, emit, horizon, observe);
    let times = split.union(horizon);
    let info = {
        let mut receive = |t: f64, value: &[f64], control: &[f64]| split.take(t, value, control);
        let mut sink = LevelSink::new(&times, horizon, params.steps, &problem.model.control_set(), &mut receive);
        solver.solve_observed(&mut |view| sink.take(view.step, view.value, view.control))?
    };
    let kept = split.finish(grid.clone(), problem.model.control_dim())?;
    Ok(Run { kept, levels: params.steps, info: RunInfo::ColeHopf(Box::new(info)) })
}

/// Solve by [`SmoothSolver`]; `params.output` is not used.
pub(crate) fn high_order<'o>(
    problem: Problem<'_>,
    grid: &Arc<TensorGrid>,
    params: SmoothParams,
    variation: &Arc<TimeVariation>,
    residual: bool,
    emit: &'o [f64],
    observe: &'o mut Observe<'o>,
) -> Result<Run, HjbError> {
    let horizon = problem.model.horizon();
    let mut near = before_end(horizon, problem.least);
    near.extend(below_jumps(variation, problem.shared));
    let keep = kept_times(horizon, DENSE_LEVELS, residual, near);
    let mut split = Split::new(keep, emit, horizon, observe);
    let oriented = Oriented { model: problem.model, sense: problem.sense };
    let params = SmoothParams { output: Output::Times(split.union(horizon)), ..params };
    let mut shown = vec![0.0; grid.len()];
    let solver = SmoothSolver::new(&oriented, grid.clone(), params)?;
    let solver = solver.with_variation(variation.clone()).with_interrupt(problem.interrupt);
    let info = solver.solve_observed(&mut |view| {
        shown.copy_from_slice(view.value);
        problem.sense.orient(&mut shown);
        split.take(view.t, &shown, view.control);
    })?;
    let kept = split.finish(grid.clone(), problem.model.control_dim())?;
    Ok(Run { kept, levels: DENSE_LEVELS, info: RunInfo::HighOrder(Box::new(info)) })
}

/// The integrator of a dimension.
pub(crate) fn integrator(dim: usize) -> Integrator {
    if dim == 1 { Integrator::Bdf } else { Integrator::Rkc }
}
