//! Chosen paths of an ensemble, recorded at every step.

use hjbridge_model::PointBlock;

use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::noise::LANES;
use crate::scheme::SdeScheme;
use crate::simulation::{Simulation, Workspace};

/// One path at all time levels.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Number of the path.
    pub path: u64,
    /// t_0, ..., t_N.
    pub times: Vec<f64>,
    /// X_0, ..., X_N (d coordinates, N + 1 points).
    pub states: PointBlock,
    /// v_0, ..., v_{N-1} (m coordinates, N points).
    pub controls: PointBlock,
    /// int v'Rv/2 dt up to each time level; N + 1 entries.
    pub running_cost: Vec<f64>,
    /// int l dt up to each time level; N + 1 entries.
    pub running_reward: Vec<f64>,
    /// g(X_N).
    pub terminal_reward: f64,
}

impl Trajectory {
    /// g(X_N) + int (l - v'Rv/2) dt.
    pub fn objective(&self) -> f64 {
        let last = self.times.len() - 1;
        self.terminal_reward + self.running_reward[last] - self.running_cost[last]
    }

    fn zeros(path: u64, dim: usize, control_dim: usize, times: &[f64]) -> Self {
        let steps = times.len() - 1;
        Trajectory {
            path,
            times: times.to_vec(),
            states: PointBlock::zeros(dim, steps + 1),
            controls: PointBlock::zeros(control_dim, steps),
            running_cost: vec![0.0; steps + 1],
            running_reward: vec![0.0; steps + 1],
            terminal_reward: 0.0,
        }
    }

    fn record(&mut self, n: usize, lane: usize, lanes: &Lanes) {
        let steps = self.times.len() - 1;
        for i in 0..self.states.dim() {
            self.states.data_mut()[i * (steps + 1) + n] = lanes.state().coord(i)[lane];
        }
        for i in 0..if n > 0 { self.controls.dim() } else { 0 } {
            self.controls.data_mut()[i * steps + n - 1] = lanes.control().coord(i)[lane];
        }
        self.running_cost[n] = lanes.running_cost()[lane];
        self.running_reward[n] = lanes.running_reward()[lane];
    }
}

impl<S: SdeScheme> Simulation<'_, S> {
    /// Run the block of `path` again and keep that lane.
    pub fn replay(&self, path: u64, work: &mut Workspace) -> Result<Trajectory, RolloutError> {
        let problem = self.system.problem();
        let lane = (path % LANES as u64) as usize;
        let times = self.system.grid().times();
        let mut trajectory = Trajectory::zeros(path, problem.dim(), problem.control_dim(), times);
        self.advance(path / LANES as u64, work, |n, lanes| trajectory.record(n, lane, lanes))?;
        trajectory.terminal_reward = self.finished(work).terminal_reward[lane];
        Ok(trajectory)
    }
}
