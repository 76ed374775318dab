//! Many independent paths under one feedback.
//!
//! Paths advance in blocks of [`LANES`](crate::noise::LANES); blocks are shared out among threads in waves, and each wave
//! is reduced in the order of its blocks, so neither the figures nor the memory depend on the number of threads, and the
//! memory does not depend on the number of paths (unless [`Record`] asks to keep something for each).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use hjbridge_model::{ControlledDiffusion, Feedback};
use rayon::prelude::*;

use crate::checkpoint::{RunState, fingerprint, join};
use crate::closed_loop::{self, ClosedLoop};
use crate::error::RolloutError;
use crate::euler_maruyama::EulerMaruyama;
use crate::functional::PathFunctional;
use crate::initial::InitialState;
use crate::noise::{LANES, NoiseSource, SobolBridge};
use crate::params::{RolloutInfo, RolloutParams};
use crate::ranks::rounds::{Verdict, WavePart, agree, round, share_state};
use crate::ranks::{Ranks, RanksError};
use crate::reduce::{Record, Reducer, RolloutSummary, SummaryReducer};
use crate::reflection::Reflection;
use crate::replay::Trajectory;
use crate::scheme::{SdeScheme, StageTimes};
use crate::simulation::{Simulation, Workspace};
use crate::stop::{StopRule, StoppedBy, VARIED_BLOCKS};
use crate::time_grid::TimeGrid;

/// Blocks whose partial results are held at once.
pub(crate) const WAVE: u64 = 512;

/// A simulation ready to run: problem, feedback, initial state, scheme, size.
#[derive(Clone)]
pub struct Ensemble<'a, S = EulerMaruyama> {
    problem: &'a dyn ControlledDiffusion,
    feedback: &'a dyn Feedback,
    initial: InitialState<'a>,
    params: RolloutParams,
    grid: Option<TimeGrid>,
    scheme: S,
    record: Record,
    progress: Option<&'a (dyn Fn(usize) + Sync)>,
    functionals: Vec<&'a dyn PathFunctional>,
    until_settled: bool,
    reflection: Option<Reflection>,
    stop: StopRule,
    interrupt: Option<&'a AtomicBool>,
    ranks: Option<&'a dyn Ranks>,
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
        closed_loop::validate(problem, feedback)?;
        // One level is enough to find what does not fit before a long run.
        let grid = TimeGrid::uniform(0.0, problem.horizon(), 1)?;
        let coefficients = ClosedLoop::coefficients(problem, &grid, StageTimes::NONE);
        ClosedLoop::new(problem, feedback, &grid, StageTimes::NONE, &coefficients)?;
        Ok(Ensemble {
            problem,
            feedback,
            initial,
            params,
            grid: None,
            scheme: EulerMaruyama,
            record: Record::default(),
            progress: None,
            functionals: Vec::new(),
            until_settled: false,
            reflection: None,
            stop: StopRule::default(),
            interrupt: None,
            ranks: None,
        })
    }
}

impl<'a, S: SdeScheme> Ensemble<'a, S> {
    /// Use another scheme.
    pub fn with_scheme<S2: SdeScheme>(self, scheme: S2) -> Ensemble<'a, S2> {
        Ensemble {
            problem: self.problem,
            feedback: self.feedback,
            initial: self.initial,
            params: self.params,
            grid: self.grid,
            scheme,
            record: self.record,
            progress: self.progress,
            functionals: self.functionals,
            until_settled: self.until_settled,
            reflection: self.reflection,
            stop: self.stop,
            interrupt: self.interrupt,
            ranks: self.ranks,
        }
    }

    /// Step through these times in place of N equal steps from 0 to T; `params.steps` becomes the number of the grid's steps.
    /// A grid may start later than 0: the objective is then that of the problem seen from its start.
    ///
    /// # Errors
    /// A grid that starts before 0 or does not end at the horizon; a number of steps that [`RolloutParams::validate`] refuses.
    pub fn with_time_grid(mut self, grid: TimeGrid) -> Result<Self, RolloutError> {
        closed_loop::validate_grid(self.problem, &grid)?;
        self.params.steps = grid.steps();
        self.params.validate()?;
        self.grid = Some(grid);
        Ok(self)
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

    /// Add up `functional` along every path; its numbers come after those of functionals added before.
    pub fn with_functional(mut self, functional: &'a dyn PathFunctional) -> Self {
        self.functionals.push(functional);
        self
    }

    /// Reflect paths at the faces of a box; see [`Reflection`] for the order.
    ///
    /// # Errors
    /// A box of another dimension.
    pub fn with_reflection(mut self, reflection: Reflection) -> Result<Self, RolloutError> {
        let (found, expected) = (reflection.dim(), self.problem.dim());
        if found != expected {
            return Err(RolloutError::Dimension { what: "dimension of the reflecting box", found, expected });
        }
        self.reflection = Some(reflection);
        Ok(self)
    }

    /// End the run before all paths are done when `stop` says so. `params.paths` stays the upper limit.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] from [`StopRule::validate`].
    pub fn with_stop(mut self, stop: StopRule) -> Result<Self, RolloutError> {
        stop.validate()?;
        self.stop = stop;
        Ok(self)
    }

    /// End the run soon after `flag` becomes true (another thread or a signal handler sets it), with the paths done so far;
    /// they are the first ones, so that the run can be continued.
    pub fn with_interrupt(mut self, flag: &'a AtomicBool) -> Self {
        self.interrupt = Some(flag);
        self
    }

    /// Share the paths of [`Ensemble::run`], [`Ensemble::reduce`] and [`Ensemble::resume`] among `ranks`. Every rank calls the
    /// same method of the same ensemble and gets the same result, bit for bit that of one rank; the state that a run resumes
    /// from is rank 0's, and only there `after_wave` is called. See [`ranks`](crate::ranks).
    pub fn with_ranks(mut self, ranks: &'a dyn Ranks) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// The same ensemble with another seed or level.
    pub(crate) fn with_params(&self, params: RolloutParams) -> Self
    where
        S: Clone,
    {
        Ensemble { params, ..self.clone() }
    }

    /// The same ensemble with another size; the steps of a time grid given before are divided to make the number of them.
    ///
    /// # Errors
    /// A number of steps that is not a multiple of the time grid's.
    pub(crate) fn with_size(&self, params: RolloutParams) -> Result<Self, RolloutError>
    where
        S: Clone,
    {
        let grid = match &self.grid {
            Some(grid) if !params.steps.is_multiple_of(grid.steps()) => {
                let allowed = format!("a multiple of the {} steps of the time grid", grid.steps());
                return Err(RolloutError::invalid("steps", params.steps, allowed));
            }
            Some(grid) => Some(grid.refined(params.steps / grid.steps())?),
            None => None,
        };
        Ok(Ensemble { params, grid, ..self.clone() })
    }

    /// The same ensemble without its functionals.
    pub(crate) fn without_functionals(&self) -> Self {
        Ensemble { functionals: Vec::new(), ..self.clone() }
    }

    /// Stop a path when its functionals are settled; only the functionals are then reported.
    pub fn until_settled(mut self) -> Self {
        self.until_settled = true;
        self
    }

    /// Size, seed, threads.
    pub fn params(&self) -> &RolloutParams {
        &self.params
    }

    /// Whether the steps are equal.
    pub(crate) fn equal_steps(&self) -> bool {
        self.grid.is_none()
    }

    /// The scheme.
    pub(crate) fn scheme(&self) -> &S {
        &self.scheme
    }

    /// The problem.
    pub fn problem(&self) -> &'a dyn ControlledDiffusion {
        self.problem
    }

    /// Whether the interrupt has been set.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Numbers per path of all functionals together.
    pub fn functional_values(&self) -> usize {
        self.functionals.iter().map(|f| f.values()).sum()
    }

    /// Simulate all paths and summarise them. Costs O(paths * steps) evaluations of the coefficients and the feedback.
    ///
    /// # Errors
    /// The path of lowest block, and in it of earliest step, that is not finite; an estimate that overflows; an interrupt before
    /// there are two paths; the pool.
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
        let state = RunState::new(if self.ranks.is_some() { self.fingerprint()? } else { 0 });
        let (state, info) = self.in_pool(|| self.resume_here(empty, state, &mut |_| Ok(()), start))??;
        if info.stopped_by == StoppedBy::Interrupt && state.paths < 2 {
            return Err(RolloutError::Interrupted { paths: state.paths });
        }
        Ok((state.reduced(empty), info))
    }

    /// The state of a run into `empty` before its first path, for [`Ensemble::resume`]. Runs one block of paths, whose hash
    /// tells this run from others.
    ///
    /// # Errors
    /// As [`Ensemble::run`].
    pub fn start<R: Reducer>(&self, _empty: &R) -> Result<RunState<R>, RolloutError> {
        Ok(RunState::new(self.fingerprint()?))
    }

    /// Continue a run from `state`; `after_wave` sees the state after every wave of 32 768 paths and at the end, to write a
    /// checkpoint. The result is bit for bit that of a run without interruption. `params.paths` may be raised when the state
    /// ends with a full block of 64 paths.
    ///
    /// # Errors
    /// [`RolloutError::Checkpoint`] when the state is another run's; what `after_wave` returns; otherwise as
    /// [`Ensemble::run`].
    pub fn resume<R: Reducer>(
        &self,
        empty: &R,
        state: RunState<R>,
        after_wave: &mut (dyn FnMut(&RunState<R>) -> Result<(), RolloutError> + Send),
    ) -> Result<(RunState<R>, RolloutInfo), RolloutError> {
        let start = Instant::now();
        state.check(self.fingerprint()?, self.params.paths)?;
        state.check_reducer(empty)?;
        self.in_pool(|| self.resume_here(empty, state, after_wave, start))?
    }

    /// Run `task` in the pool that the parameters ask for.
    pub(crate) fn in_pool<T: Send>(&self, task: impl FnOnce() -> T + Send) -> Result<T, RolloutError> {
        let Some(threads) = self.params.threads else { return Ok(task()) };
        let failed = |e: rayon::ThreadPoolBuildError| RolloutError::ThreadPool { threads, reason: e.to_string() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(failed)?;
        Ok(pool.install(task))
    }

    fn fingerprint(&self) -> Result<u64, RolloutError> {
        self.simulate(|simulation| {
            let mut work = simulation.workspace();
            simulation.advance(0, &mut work, |_, _| {})?;
            let paths = simulation.finished(&work);
            let states = (0..paths.state.dim()).flat_map(|i| paths.state.coord(i)).copied();
            let sums =
                paths.objective().chain((0..paths.functionals.dim()).flat_map(|i| paths.functionals.coord(i).iter().copied()));
            let (params, name) = (&self.params, S::NAME.bytes().map(u64::from));
            let times = simulation.system.grid().times().iter().map(|t| t.to_bits());
            let noise = [u64::from(params.coarsening), params.noise as u64, params.seed, u64::from(params.level)];
            let faces = self.reflection.iter().flat_map(Reflection::bits);
            let size = [params.steps as u64, u64::from(params.antithetic)].into_iter().chain(noise).chain(name).chain(times);
            let size = size.chain(faces);
            // Lane 0 alone: how many other lanes count depends on the number of paths.
            let stride = paths.len();
            let values = states.chain(sums).step_by(stride).map(f64::to_bits);
            Ok(fingerprint(size.chain(values)))
        })
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
    pub(crate) fn simulate<T>(&self, task: impl FnOnce(Simulation<'_, S>) -> Result<T, RolloutError>) -> Result<T, RolloutError> {
        let uniform;
        let grid = match &self.grid {
            Some(grid) => grid,
            None => {
                uniform = TimeGrid::uniform(0.0, self.problem.horizon(), self.params.steps)?;
                &uniform
            }
        };
        let coefficients = ClosedLoop::coefficients(self.problem, grid, S::STAGES);
        let system = ClosedLoop::new(self.problem, self.feedback, grid, S::STAGES, &coefficients)?;
        let mut scheme = self.scheme.clone();
        scheme.prepare(&system)?;
        let mut functionals = Vec::with_capacity(self.functionals.len());
        for functional in &self.functionals {
            functionals.push((functional.values(), functional.prepare(&system)?));
        }
        let (steps, normals) = (self.params.steps * self.params.coarsening as usize, S::NORMALS * self.problem.noise_dim());
        let sobol = match self.params.noise {
            NoiseSource::Keyed => None,
            NoiseSource::Sobol => Some(SobolBridge::new(self.params.seed, self.params.level, steps, normals)?),
        };
        task(Simulation {
            system: &system,
            sobol: sobol.as_ref(),
            scheme: &scheme,
            initial: &self.initial,
            params: &self.params,
            functionals: &functionals,
            until_settled: self.until_settled,
            reflection: self.reflection.as_ref(),
        })
    }

    /// Run from `state` until a rule ends it.
    fn resume_here<R: Reducer>(
        &self,
        empty: &R,
        state: RunState<R>,
        after_wave: &mut (dyn FnMut(&RunState<R>) -> Result<(), RolloutError> + Send),
        start: Instant,
    ) -> Result<(RunState<R>, RolloutInfo), RolloutError> {
        let (state, stopped_by) = self.simulate(|simulation| self.waves(&simulation, empty, state, after_wave, start))?;
        let steps = self.params.steps;
        let path_steps = state.paths * steps as u64;
        let info = RolloutInfo {
            scheme: S::NAME,
            scheme_parameters: self.scheme.parameters(),
            paths: state.paths as usize,
            steps,
            step_length: (self.problem.horizon() - self.grid.as_ref().map_or(0.0, TimeGrid::start)) / steps as f64,
            path_steps,
            outside: state.outside,
            outside_fraction: state.outside as f64 / path_steps.max(1) as f64,
            projected: state.projected,
            varied_blocks: state.varied,
            stopped_by,
            partial: stopped_by.partial(),
            threads: rayon::current_num_threads(),
            ranks: self.ranks.map_or(1, |ranks| ranks.size()),
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((state, info))
    }

    /// How many blocks advance side by side: one, whose memory stays in the first-level cache, unless tables are read; then as
    /// many as leave every thread something to do.
    fn together(&self, simulation: &Simulation<'_, S>, blocks: u64) -> u64 {
        /// Bytes of tables above which they are taken not to stay in a core's cache.
        const CACHE: usize = 1 << 18;
        let share = blocks / (2 * rayon::current_num_threads() as u64);
        if simulation.system.table_bytes() <= CACHE { 1 } else { share.clamp(1, 128) }
    }

    fn waves<R: Reducer>(
        &self,
        simulation: &Simulation<'_, S>,
        empty: &R,
        mut state: RunState<R>,
        after_wave: &mut (dyn FnMut(&RunState<R>) -> Result<(), RolloutError> + Send),
        start: Instant,
    ) -> Result<(RunState<R>, StoppedBy), RolloutError> {
        let blocks = simulation.blocks() as u64;
        let (rank, size) = self.ranks.map_or((0, 1), |ranks| (ranks.rank() as u64, ranks.size() as u64));
        if let Some(ranks) = self.ranks {
            state = agree(ranks, empty, state)?;
        }
        // A state at which the rule has already ended the run is its result.
        let resting = state.next_block.is_multiple_of(WAVE) && state.next_block < blocks;
        if resting && self.reached(&state) {
            return Ok((state, StoppedBy::StandardError));
        }
        while state.next_block < blocks {
            // Waves end at multiples of WAVE wherever they begin: rules are checked at the same places after a resumption.
            let own = state.next_block / WAVE + rank;
            let mut part = WavePart::begin(state.next_block.max(own * WAVE), if rank == 0 { state.rest.take() } else { None });
            let end = blocks.min((own + 1) * WAVE);
            if part.next_block < end {
                self.wave(simulation, empty, &mut part, end, state.paths);
            }
            let lost = part.lost.take();
            let mut judge = |parts: Vec<WavePart<R>>| self.judge(&mut state, parts, blocks, after_wave, start);
            let verdict = match self.ranks {
                None => judge(vec![part])?,
                Some(ranks) => round(ranks, empty, part, judge)?,
            };
            match verdict {
                Verdict::GoOn => {
                    state.next_block = blocks.min((own - rank + size) * WAVE);
                    state.paths = (state.next_block * LANES as u64).min(self.params.paths as u64);
                }
                Verdict::Stop(by) => {
                    if let Some(ranks) = self.ranks {
                        state = share_state(ranks, empty, state)?;
                    }
                    return Ok((state, by));
                }
                Verdict::Lost(block) => {
                    // Every rank can say what happened: the block runs the same everywhere.
                    let error = match lost {
                        Some((at, error)) if at == block => Some(error),
                        _ => simulation.advance(block, &mut simulation.workspace(), |_, _| {}).err(),
                    };
                    return Err(error.unwrap_or(RanksError::Differs { rank: rank as usize, what: "a lost path" }.into()));
                }
            }
        }
        Ok((state, StoppedBy::Paths))
    }

    /// Run blocks up to `end` and merge them into `part`, up to the first that is lost or that an interrupt kept from running.
    fn wave<R: Reducer>(&self, simulation: &Simulation<'_, S>, empty: &R, part: &mut WavePart<R>, end: u64, done: u64) {
        let interrupted = || self.interrupted();
        let done = Mutex::new(done as usize);
        let first = part.next_block;
        let together = self.together(simulation, end - first);
        let starts: Vec<u64> = (first..end).step_by(together as usize).collect();
        let finished = |work: &Workspace| {
            let mut reducer = empty.clone();
            reducer.absorb(&simulation.finished(work));
            if let Some(progress) = self.progress {
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                *done += work.lanes.live();
                progress(*done);
            }
            let varies = reducer.varies();
            Some((reducer, work.lanes.live(), work.lanes.outside, work.lanes.projected, varies))
        };
        let groups: Vec<Vec<Result<Option<_>, RolloutError>>> = starts
            .into_par_iter()
            .map_init(
                || (0..together).map(|_| simulation.workspace()).collect::<Vec<_>>(),
                |works, first| {
                    if interrupted() {
                        return vec![Ok(None)];
                    }
                    let count = (end - first).min(together) as usize;
                    let done = simulation.advance_together(first, &mut works[..count]);
                    done.into_iter().zip(works).map(|(done, work)| done.map(|()| finished(work))).collect()
                },
            )
            .collect();
        for block in groups.into_iter().flatten() {
            match block {
                Ok(Some((reducer, live, outside, projected, varies))) => {
                    join(&mut part.reducer, Some(reducer));
                    part.next_block += 1;
                    part.paths += live as u64;
                    part.outside += outside;
                    part.projected += projected;
                    part.varied += u64::from(varies);
                }
                // After an interrupt the blocks before the first that was not run are kept.
                Ok(None) => return,
                Err(error) => {
                    part.lost_block = Some(part.next_block);
                    part.lost = Some((part.next_block, error));
                    return;
                }
            }
        }
    }

    /// Whether whole waves have reached the standard error asked for.
    fn reached<R: Reducer>(&self, state: &RunState<R>) -> bool {
        let found = state.waves.as_ref().and_then(Reducer::standard_error);
        let small = self.stop.standard_error.zip(found).is_some_and(|(wanted, found)| found <= wanted);
        small && state.varied >= VARIED_BLOCKS
    }

    /// Merge the waves of a round in order, and decide after each what a run on one rank decides.
    fn judge<R: Reducer>(
        &self,
        state: &mut RunState<R>,
        parts: Vec<WavePart<R>>,
        blocks: u64,
        after_wave: &mut (dyn FnMut(&RunState<R>) -> Result<(), RolloutError> + Send),
        start: Instant,
    ) -> Result<Verdict, RolloutError> {
        for part in parts {
            if state.next_block == blocks {
                break;
            }
            let end = blocks.min((state.next_block / WAVE + 1) * WAVE);
            state.next_block = part.next_block;
            state.paths += part.paths;
            state.outside += part.outside;
            state.projected += part.projected;
            state.varied += part.varied;
            state.merge(part.reducer, part.next_block.is_multiple_of(WAVE));
            if let Some(block) = part.lost_block {
                return Ok(Verdict::Lost(block));
            }
            after_wave(state)?;
            if state.next_block < end {
                return Ok(Verdict::Stop(StoppedBy::Interrupt));
            }
            if state.next_block == blocks {
                break;
            }
            if self.reached(state) {
                return Ok(Verdict::Stop(StoppedBy::StandardError));
            }
            if self.stop.seconds.is_some_and(|limit| start.elapsed().as_secs_f64() >= limit) {
                return Ok(Verdict::Stop(StoppedBy::Time));
            }
        }
        Ok(if state.next_block == blocks { Verdict::Stop(StoppedBy::Paths) } else { Verdict::GoOn })
    }
}
