//! Many independent paths under one feedback.
//!
//! Paths advance in blocks of [`LANES`](crate::noise::LANES); blocks are shared out among threads in waves, and each wave
//! is reduced in the order of its blocks, so neither the figures nor the memory depend on the number of threads, and the
//! memory does not depend on the number of paths (unless [`Record`] asks to keep something for each).

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hjbridge_model::{ControlCost, ControlledDiffusion, Feedback};
use rayon::prelude::*;

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::euler_maruyama::EulerMaruyama;
use crate::initial::InitialState;
use crate::params::{RolloutInfo, RolloutParams};
use crate::reduce::{Record, Reducer, RolloutSummary, SummaryReducer};
use crate::replay::Trajectory;
use crate::scheme::SdeScheme;
use crate::simulation::Simulation;

/// Blocks whose partial results are held at once.
const WAVE: usize = 512;

/// A simulation ready to run: problem, feedback, initial state, scheme, size.
pub struct Ensemble<'a, S = EulerMaruyama> {
    problem: &'a dyn ControlledDiffusion,
    feedback: &'a dyn Feedback,
    initial: InitialState<'a>,
    params: RolloutParams,
    scheme: S,
    record: Record,
    progress: Option<&'a (dyn Fn(usize) + Sync)>,
}

impl<'a> Ensemble<'a> {
    /// Paths of `problem` under `feedback` by the Euler-Maruyama scheme.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] or [`RolloutError::Dimension`] naming what does not fit.
    pub fn new(
        problem: &'a dyn ControlledDiffusion,
        feedback: &'a dyn Feedback,
        initial: InitialState<'a>,
        params: RolloutParams,
    ) -> Result<Self, RolloutError> {
        params.validate()?;
        initial.validate(problem.dim())?;
        if problem.control_cost() == ControlCost::General {
            return Err(RolloutError::invalid("control_cost", "General", "quadratic: other costs are not estimated"));
        }
        if problem.discount() != 0.0 {
            return Err(RolloutError::invalid("discount", problem.discount(), "0: discounted objectives are not estimated"));
        }
        // One level is enough to find what does not fit before a long run.
        let coefficients = ClosedLoop::coefficients(problem, 1);
        ClosedLoop::new(problem, feedback, &coefficients)?;
        Ok(Ensemble { problem, feedback, initial, params, scheme: EulerMaruyama, record: Record::default(), progress: None })
    }
}

impl<'a, S: SdeScheme> Ensemble<'a, S> {
    /// Use another scheme.
    pub fn with_scheme<S2: SdeScheme>(self, scheme: S2) -> Ensemble<'a, S2> {
        let Ensemble { problem, feedback, initial, params, record, progress, .. } = self;
        Ensemble { problem, feedback, initial, params, scheme, record, progress }
    }

    /// Record more than the default moments in the summary.
    ///
    /// # Errors
    /// A histogram that is not valid, or neither none nor one per coordinate.
    pub fn with_record(mut self, record: Record) -> Result<Self, RolloutError> {
        record.validate(self.problem.dim())?;
        self.record = record;
        Ok(self)
    }

    /// Call `progress` with the number of paths done, which never decreases; it is called from working threads.
    pub fn with_progress(mut self, progress: &'a (dyn Fn(usize) + Sync)) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Simulate all paths and summarise them. Costs O(paths * steps) evaluations of the coefficients and the feedback.
    ///
    /// # Errors
    /// The path of lowest block, and in it of earliest step, that is not finite; an estimate that overflows; the pool.
    pub fn run(&self) -> Result<(RolloutSummary, RolloutInfo), RolloutError> {
        let empty = SummaryReducer::new(self.problem.dim(), &self.record)?;
        let (reducer, info) = self.reduce(&empty)?;
        Ok((reducer.finish()?, info))
    }

    /// Simulate all paths into a reducer of your own; `empty` is cloned for every block.
    ///
    /// # Errors
    /// As [`Ensemble::run`].
    pub fn reduce<R: Reducer>(&self, empty: &R) -> Result<(R, RolloutInfo), RolloutError> {
        let start = Instant::now();
        let Some(threads) = self.params.threads else { return self.reduce_here(empty, start) };
        let failed = |e: rayon::ThreadPoolBuildError| RolloutError::ThreadPool { threads, reason: e.to_string() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(failed)?;
        pool.install(|| self.reduce_here(empty, start))
    }

    /// Path `path` at every step, bit for bit as the ensemble runs it.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] when there is no such path; otherwise as [`Ensemble::run`].
    pub fn replay(&self, path: u64) -> Result<Trajectory, RolloutError> {
        let mut trajectories = self.replay_all(&[path])?;
        Ok(trajectories.remove(0))
    }

    /// Several paths at every step; coefficients and feedback are prepared once.
    ///
    /// # Errors
    /// As [`Ensemble::replay`].
    pub fn replay_all(&self, paths: &[u64]) -> Result<Vec<Trajectory>, RolloutError> {
        if let Some(path) = paths.iter().find(|&&p| p >= self.params.paths as u64) {
            return Err(RolloutError::invalid("path", path, format!("below the number of paths, {}", self.params.paths)));
        }
        self.simulate(|simulation| {
            let mut work = simulation.workspace();
            paths.iter().map(|&path| simulation.replay(path, &mut work)).collect()
        })
    }

    /// Prepare the time levels and hand them to `task`.
    fn simulate<T>(&self, task: impl FnOnce(Simulation<'_, S>) -> Result<T, RolloutError>) -> Result<T, RolloutError> {
        let coefficients = ClosedLoop::coefficients(self.problem, self.params.steps);
        let system = ClosedLoop::new(self.problem, self.feedback, &coefficients)?;
        task(Simulation { system: &system, scheme: &self.scheme, initial: &self.initial, params: &self.params })
    }

    fn reduce_here<R: Reducer>(&self, empty: &R, start: Instant) -> Result<(R, RolloutInfo), RolloutError> {
        let (total, outside, projected) = self.simulate(|simulation| self.reduce_waves(&simulation, empty))?;
        let RolloutParams { paths, steps, .. } = self.params;
        let path_steps = paths as u64 * steps as u64;
        let info = RolloutInfo {
            scheme: S::NAME,
            paths,
            steps,
            step_length: self.problem.horizon() / steps as f64,
            path_steps,
            outside,
            outside_fraction: outside as f64 / path_steps as f64,
            projected,
            threads: rayon::current_num_threads(),
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((total, info))
    }

    fn reduce_waves<R: Reducer>(&self, simulation: &Simulation<'_, S>, empty: &R) -> Result<(R, u64, u64), RolloutError> {
        let blocks = simulation.blocks();
        let done = Mutex::new(0);
        let (mut total, mut outside, mut projected) = (empty.clone(), 0, 0);
        for first in (0..blocks).step_by(WAVE) {
            let wave: Vec<Result<_, RolloutError>> = (first..blocks.min(first + WAVE))
                .into_par_iter()
                .map_init(
                    || simulation.workspace(),
                    |work, block| {
                        simulation.advance(block as u64, work, |_, _| {})?;
                        let mut part = empty.clone();
                        part.absorb(&simulation.finished(work));
                        if let Some(progress) = self.progress {
                            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                            *done += work.lanes.live();
                            progress(*done);
                        }
                        Ok((part, work.lanes.outside, work.lanes.projected))
                    },
                )
                .collect();
            for part in wave {
                let (part, part_outside, part_projected) = part?;
                total.merge(part);
                outside += part_outside;
                projected += part_projected;
            }
        }
        Ok((total, outside, projected))
    }
}
