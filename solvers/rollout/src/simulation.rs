//! A block of paths from its initial states to T, or to the step at which a path is lost.

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::functional::{PreparedFunctional, StepView};
use crate::initial::InitialState;
use crate::lanes::Lanes;
use crate::noise::{BlockNoise, LANES, NormalStream, STEPS_PER_DRAW, SobolBridge, StepNoise};
use crate::params::RolloutParams;
use crate::reduce::FinishedPaths;
use crate::reflection::Reflection;
use crate::scheme::SdeScheme;
use hjbridge_model::{Points, PointsMut};

/// What is common to all blocks.
pub(crate) struct Simulation<'a, S> {
    pub system: &'a ClosedLoop<'a>,
    pub scheme: &'a S,
    pub initial: &'a InitialState<'a>,
    pub params: &'a RolloutParams,
    /// The points in place of keyed noise, if asked for.
    pub sobol: Option<&'a SobolBridge>,
    /// Functionals with the number of values each keeps.
    pub functionals: &'a [(usize, Box<dyn PreparedFunctional + 'a>)],
    /// Hold a path where it is once its functionals are settled, end a block when all its paths are, and report the
    /// functionals only.
    pub until_settled: bool,
    /// Faces at which paths are reflected after every step.
    pub reflection: Option<&'a Reflection>,
}

/// The memory of one thread.
pub(crate) struct Workspace {
    pub lanes: Lanes,
    noise: StepNoise,
    terminal: Vec<f64>,
    mirrored: Vec<f64>,
    before: Vec<f64>,
    functionals: Vec<f64>,
    /// Lanes that were settled before the step, and what they had counted outside by then.
    settled: [bool; LANES],
    outside_before: [f64; LANES],
}

impl<S: SdeScheme> Simulation<'_, S> {
    pub fn workspace(&self) -> Workspace {
        let problem = self.system.problem();
        let (q, factor) = (problem.noise_dim(), self.params.coarsening);
        let block = |components: usize, factor: u32| match self.sobol {
            Some(bridge) => BlockNoise::sobol(bridge.clone(), factor),
            None => BlockNoise::coarse(NormalStream::new(self.params.seed, self.params.level), components, factor),
        };
        let noise = match S::NORMALS {
            1 => StepNoise::single(block(q, factor)),
            _ => StepNoise::pairs(block(2 * q, 1), q, factor),
        };
        Workspace {
            lanes: Lanes::new(problem.dim(), problem.control_dim()),
            noise,
            terminal: vec![0.0; LANES],
            mirrored: Vec::new(),
            before: Vec::new(),
            functionals: vec![0.0; LANES * self.functionals.iter().map(|f| f.0).sum::<usize>()],
            settled: [false; LANES],
            outside_before: [0.0; LANES],
        }
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.params.paths.div_ceil(LANES)
    }

    /// Run `block`. `observe(n, lanes)` sees the lanes after n = 0, 1, ..., N steps; then X_n is the state and, for n > 0,
    /// the control is v(t_{n-1}, X_{n-1}).
    pub fn advance(&self, block: u64, work: &mut Workspace, mut observe: impl FnMut(usize, &Lanes)) -> Result<(), RolloutError> {
        self.begin(block, work)?;
        observe(0, &work.lanes);
        for k in 0..self.system.steps() {
            let settled = self.checked_step(block, k, work)?;
            observe(k + 1, &work.lanes);
            if settled {
                break;
            }
        }
        self.end(work)
    }

    /// Run the blocks `first`, `first + 1`, ..., one in each workspace, side by side: all take a few steps before any takes the
    /// next ones, so that a slice of a table is read into the cache for all of them, and the memory of a block once for the steps
    /// whose noise is made together. Nothing else differs from [`Simulation::advance`].
    pub fn advance_together(&self, first: u64, works: &mut [Workspace]) -> Vec<Result<(), RolloutError>> {
        let mut settled: Vec<Result<bool, RolloutError>> =
            works.iter_mut().zip(first..).map(|(work, block)| self.begin(block, work).map(|()| false)).collect();
        const FEW: usize = STEPS_PER_DRAW as usize;
        let steps = self.system.steps();
        for begin in (0..steps).step_by(FEW) {
            for ((work, block), settled) in works.iter_mut().zip(first..).zip(&mut settled) {
                for k in begin..steps.min(begin + FEW) {
                    if matches!(settled, Ok(false)) {
                        *settled = self.checked_step(block, k, work);
                    }
                }
            }
        }
        settled.into_iter().zip(works).map(|(settled, work)| settled.and_then(|_| self.end(work))).collect()
    }

    /// One step; whether all paths of the block are settled by it.
    fn checked_step(&self, block: u64, k: usize, work: &mut Workspace) -> Result<bool, RolloutError> {
        work.outside_before.copy_from_slice(&work.lanes.lane_outside);
        self.step(block, k, work);
        match work.lanes.first_lost() {
            Some(lane) => Err(self.diagnose(block, lane, k, work)),
            None => Ok(self.until_settled && self.hold_settled(work)),
        }
    }

    /// What is known at T.
    fn end(&self, work: &mut Workspace) -> Result<(), RolloutError> {
        let Workspace { lanes, terminal, .. } = work;
        if self.until_settled {
            terminal.fill(0.0);
            lanes.running_cost.fill(0.0);
            lanes.running_reward.fill(0.0);
            lanes.outside = lanes.lane_outside[..lanes.live()].iter().sum::<f64>() as u64;
            return self.check_functionals(work);
        }
        self.system.problem().terminal_reward(lanes.state(), terminal);
        let discount = self.system.terminal_discount();
        if discount != 1.0 {
            terminal.iter_mut().for_each(|g| *g *= discount);
        }
        self.check_values(lanes, terminal)?;
        self.check_functionals(work)
    }

    /// The block just advanced, as the reducers see it.
    pub fn finished<'w>(&self, work: &'w Workspace) -> FinishedPaths<'w> {
        let live = work.lanes.live();
        FinishedPaths {
            first_path: work.lanes.first_path(),
            state: work.lanes.state().window(0..live),
            running_cost: &work.lanes.running_cost()[..live],
            running_reward: &work.lanes.running_reward()[..live],
            terminal_reward: &work.terminal[..live],
            outside: &work.lanes.lane_outside[..live],
            functionals: match work.functionals.len() / LANES {
                0 => Points::new(&[], 0),
                values => Points::new(&work.functionals, values).window(0..live),
            },
            antithetic: self.params.antithetic,
        }
    }

    fn begin(&self, block: u64, work: &mut Workspace) -> Result<(), RolloutError> {
        let first = block as usize * LANES;
        work.lanes.start(block, self.params.paths.saturating_sub(first));
        self.initial.fill(self.params.seed, self.params.level, &mut work.lanes)?;
        if self.params.antithetic {
            for x in work.lanes.state.chunks_exact_mut(2) {
                x[1] = x[0];
            }
        }
        let (x, mut rest) = (work.lanes.state(), work.functionals.as_mut_slice());
        for (values, functional) in self.functionals {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(values * LANES);
            functional.begin(x, PointsMut::new(own, *values));
            rest = others;
        }
        if self.until_settled {
            work.settled = std::array::from_fn(|lane| self.is_settled(&work.functionals, lane));
        }
        Ok(())
    }

    /// Step k of the scheme and of the functionals.
    fn step(&self, block: u64, k: usize, work: &mut Workspace) {
        let Workspace { lanes, noise, mirrored, before, functionals, .. } = work;
        let mut xi = noise.step(block, k as u32);
        if self.params.antithetic {
            mirrored.resize(xi.len(), 0.0);
            for (to, from) in mirrored.chunks_exact_mut(2).zip(xi.chunks_exact(2)) {
                to.copy_from_slice(&[from[0], -from[0]]);
            }
            xi = mirrored;
        }
        if !self.functionals.is_empty() {
            before.clone_from(&lanes.state);
        }
        self.scheme.step(self.system, k, xi, lanes);
        if let Some(reflection) = self.reflection {
            reflection.fold(&mut lanes.state);
        }
        if self.functionals.is_empty() {
            return;
        }
        let problem = self.system.problem();
        let level = self.system.level(k);
        let q = problem.noise_dim();
        let view = StepView {
            step: k,
            time: level.time,
            step_length: self.system.step_length(k),
            level,
            before: Points::new(before, problem.dim()),
            after: lanes.state(),
            control: lanes.control(),
            noise: Points::new(&xi[..q * LANES], q),
        };
        let mut rest = functionals.as_mut_slice();
        for (values, functional) in self.functionals {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(values * LANES);
            functional.step(&view, PointsMut::new(own, *values));
            rest = others;
        }
    }

    /// Whether no later step changes the functionals of a lane.
    fn is_settled(&self, mut rest: &[f64], lane: usize) -> bool {
        let mut settled = true;
        for (values, functional) in self.functionals {
            let (own, others) = rest.split_at(values * LANES);
            settled &= functional.settled(Points::new(own, *values), lane);
            rest = others;
        }
        settled
    }

    /// Put settled paths back where they were before the step, which counts nothing outside for those that were settled before it;
    /// whether all live paths are settled.
    fn hold_settled(&self, work: &mut Workspace) -> bool {
        let mut all = true;
        for lane in 0..LANES {
            let settled = self.is_settled(&work.functionals, lane);
            if std::mem::replace(&mut work.settled[lane], settled) {
                work.lanes.lane_outside[lane] = work.outside_before[lane];
            }
            if settled {
                for (x, x0) in work.lanes.state.chunks_exact_mut(LANES).zip(work.before.chunks_exact(LANES)) {
                    x[lane] = x0[lane];
                }
            }
            all &= settled || lane >= work.lanes.live();
        }
        all
    }

    fn check_functionals(&self, work: &Workspace) -> Result<(), RolloutError> {
        for values in work.functionals.chunks_exact(LANES) {
            if let Some(lane) = values[..work.lanes.live()].iter().position(|v| !v.is_finite()) {
                let mut state = vec![0.0; work.lanes.state().dim()];
                work.lanes.state().copy_point(lane, &mut state);
                let path = work.lanes.first_path() + lane as u64;
                return Err(RolloutError::ValueNotFinite { quantity: "functional", path, value: values[lane], state });
            }
        }
        Ok(())
    }

    /// Step k lost a lane: run up to t_k again, because X_k has been overwritten.
    fn diagnose(&self, block: u64, lane: usize, k: usize, work: &mut Workspace) -> RolloutError {
        if let Err(error) = self.begin(block, work) {
            return error;
        }
        for j in 0..k {
            self.step(block, j, work);
            if self.until_settled {
                self.hold_settled(work);
            }
        }
        let problem = self.system.problem();
        let (mut last_state, mut last_control) = (vec![0.0; problem.dim()], vec![0.0; problem.control_dim()]);
        work.lanes.state().copy_point(lane, &mut last_state);
        self.system.evaluate_control(self.system.level(k), &mut work.lanes);
        work.lanes.control().copy_point(lane, &mut last_control);
        RolloutError::StateNotFinite {
            path: work.lanes.first_path() + lane as u64,
            step: k,
            time: self.system.level(k).time,
            step_length: self.system.step_length(k),
            last_state,
            last_control,
        }
    }

    fn check_values(&self, lanes: &Lanes, terminal: &[f64]) -> Result<(), RolloutError> {
        for lane in 0..lanes.live() {
            let (cost, reward) = (lanes.running_cost()[lane], lanes.running_reward()[lane]);
            for (quantity, value) in [
                ("running cost", cost),
                ("running reward", reward),
                ("terminal reward", terminal[lane]),
                ("objective", terminal[lane] + reward - cost),
            ] {
                if !value.is_finite() {
                    let mut state = vec![0.0; lanes.state().dim()];
                    lanes.state().copy_point(lane, &mut state);
                    return Err(RolloutError::ValueNotFinite { quantity, path: lanes.first_path() + lane as u64, value, state });
                }
            }
        }
        Ok(())
    }
}
