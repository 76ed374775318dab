//! A block of paths from its initial states to T, or to the step at which a path is lost.

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::initial::InitialState;
use crate::lanes::Lanes;
use crate::noise::{BlockNoise, LANES, NormalStream};
use crate::params::RolloutParams;
use crate::reduce::FinishedPaths;
use crate::scheme::SdeScheme;

/// What is common to all blocks.
pub(crate) struct Simulation<'a, S> {
    pub system: &'a ClosedLoop<'a>,
    pub scheme: &'a S,
    pub initial: &'a InitialState<'a>,
    pub params: &'a RolloutParams,
}

/// The memory of one thread.
pub(crate) struct Workspace {
    pub lanes: Lanes,
    noise: BlockNoise,
    terminal: Vec<f64>,
}

impl<S: SdeScheme> Simulation<'_, S> {
    pub fn workspace(&self) -> Workspace {
        let problem = self.system.problem();
        let stream = NormalStream::new(self.params.seed, self.params.level);
        Workspace {
            lanes: Lanes::new(problem.dim(), problem.control_dim()),
            noise: BlockNoise::coarse(stream, problem.noise_dim(), self.params.coarsening),
            terminal: vec![0.0; LANES],
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
            let noise = work.noise.step(block, k as u32);
            self.scheme.step(self.system, k, noise, &mut work.lanes);
            if let Some(lane) = work.lanes.first_lost() {
                return Err(self.diagnose(block, lane, k, work));
            }
            observe(k + 1, &work.lanes);
        }
        let Workspace { lanes, terminal, .. } = work;
        self.system.problem().terminal_reward(lanes.state(), terminal);
        self.check_values(lanes, terminal)
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
        }
    }

    fn begin(&self, block: u64, work: &mut Workspace) -> Result<(), RolloutError> {
        let first = block as usize * LANES;
        work.lanes.start(block, self.params.paths.saturating_sub(first));
        self.initial.fill(self.params.seed, self.params.level, &mut work.lanes)
    }

    /// Step k lost a lane: run up to t_k again, because X_k has been overwritten.
    fn diagnose(&self, block: u64, lane: usize, k: usize, work: &mut Workspace) -> RolloutError {
        if let Err(error) = self.begin(block, work) {
            return error;
        }
        for j in 0..k {
            let noise = work.noise.step(block, j as u32);
            self.scheme.step(self.system, j, noise, &mut work.lanes);
        }
        let problem = self.system.problem();
        let (mut last_state, mut last_control) = (vec![0.0; problem.dim()], vec![0.0; problem.control_dim()]);
        work.lanes.state().copy_point(lane, &mut last_state);
        self.system.evaluate_control(k, &mut work.lanes);
        work.lanes.control().copy_point(lane, &mut last_control);
        RolloutError::StateNotFinite {
            path: work.lanes.first_path() + lane as u64,
            step: k,
            time: self.system.level(k).time,
            step_length: self.system.step_length(),
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
