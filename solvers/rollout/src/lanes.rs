//! A block of paths under way: states, running sums and scratch, structure-of-arrays.

use hjbridge_model::{Points, PointsMut};

use crate::noise::LANES;
use crate::sweep;

/// `LANES` paths that advance together.
///
/// All lanes are simulated even when the run ends within the block, so that a path's arithmetic does not depend on the
/// number of paths; only the first [`live`](Lanes::live) lanes are counted.
#[derive(Clone, Debug)]
pub struct Lanes {
    dims: (usize, usize),
    block: u64,
    live: usize,
    pub(crate) state: Vec<f64>,
    pub(crate) control: Vec<f64>,
    pub(crate) velocity: Vec<f64>,
    pub(crate) stage_state: Vec<f64>,
    pub(crate) stage_control: Vec<f64>,
    pub(crate) stage_velocity: Vec<f64>,
    /// Memory that schemes and evaluations resize as they need.
    pub(crate) scratch: [Vec<f64>; 4],
    pub(crate) matrix: Vec<f64>,
    pub(crate) rate: Vec<f64>,
    pub(crate) running_cost: Vec<f64>,
    pub(crate) running_reward: Vec<f64>,
    /// Evaluations outside the feedback's table: each lane's, and of all live lanes.
    pub(crate) lane_outside: Vec<f64>,
    pub(crate) outside: u64,
    pub(crate) projected: u64,
}

impl Lanes {
    /// Room for a state in R^`dim` and a control in R^`control_dim`.
    pub fn new(dim: usize, control_dim: usize) -> Self {
        Lanes {
            dims: (dim, control_dim),
            block: 0,
            live: LANES,
            state: vec![0.0; dim * LANES],
            control: vec![0.0; control_dim * LANES],
            velocity: vec![0.0; dim * LANES],
            stage_state: vec![0.0; dim * LANES],
            stage_control: vec![0.0; control_dim * LANES],
            stage_velocity: vec![0.0; dim * LANES],
            scratch: Default::default(),
            matrix: Vec::new(),
            rate: vec![0.0; LANES],
            running_cost: vec![0.0; LANES],
            running_reward: vec![0.0; LANES],
            lane_outside: vec![0.0; LANES],
            outside: 0,
            projected: 0,
        }
    }

    /// Become block `block`, of which `live` paths count; sums are zeroed, states are not.
    pub fn start(&mut self, block: u64, live: usize) {
        self.block = block;
        self.live = live.min(LANES);
        self.running_cost.fill(0.0);
        self.running_reward.fill(0.0);
        self.lane_outside.fill(0.0);
        self.outside = 0;
        self.projected = 0;
    }

    /// Number of the block.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// Number of the path in lane 0.
    pub fn first_path(&self) -> u64 {
        self.block * LANES as u64
    }

    /// How many lanes count.
    pub fn live(&self) -> usize {
        self.live
    }

    /// X_k, all lanes.
    pub fn state(&self) -> Points<'_> {
        Points::new(&self.state, self.dims.0)
    }

    /// Exchange state, control and velocity with those of the stage.
    pub(crate) fn swap_stage(&mut self) {
        std::mem::swap(&mut self.state, &mut self.stage_state);
        std::mem::swap(&mut self.control, &mut self.stage_control);
        std::mem::swap(&mut self.velocity, &mut self.stage_velocity);
    }

    /// X_k, mutable.
    pub fn state_mut(&mut self) -> PointsMut<'_> {
        PointsMut::new(&mut self.state, self.dims.0)
    }

    /// The control last evaluated, all lanes.
    pub fn control(&self) -> Points<'_> {
        Points::new(&self.control, self.dims.1)
    }

    /// int v'Rv/2 dt so far.
    pub fn running_cost(&self) -> &[f64] {
        &self.running_cost
    }

    /// int l dt so far.
    pub fn running_reward(&self) -> &[f64] {
        &self.running_reward
    }

    /// The first live lane whose state is not finite.
    pub fn first_lost(&self) -> Option<usize> {
        if sweep::all_finite(&self.state) {
            return None;
        }
        // x * 0 is zero for a finite x and NaN otherwise; the sum keeps a NaN, and lanes stay independent.
        let mut probe = [0.0; LANES];
        for coordinate in self.state.chunks_exact(LANES) {
            for (p, x) in probe.iter_mut().zip(coordinate) {
                *p += x * 0.0;
            }
        }
        probe[..self.live].iter().position(|p| p.is_nan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_lost_live_lane_only() {
        let mut lanes = Lanes::new(2, 1);
        lanes.start(3, 40);
        assert_eq!((lanes.first_path(), lanes.first_lost()), (192, None));
        lanes.state_mut().fill(-1e308);
        assert_eq!(lanes.first_lost(), None);
        lanes.state_mut().set_point(50, &[f64::NAN, 0.0]);
        assert_eq!(lanes.first_lost(), None);
        for (lane, bad) in [(39, f64::NAN), (20, f64::INFINITY), (5, f64::NEG_INFINITY)] {
            lanes.state_mut().set_point(lane, &[0.0, bad]);
            assert_eq!(lanes.first_lost(), Some(lane));
        }
    }
}
