//! Where the paths start.

use hjbridge_model::law::Law;

use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::noise::{LANES, NoiseKey, PathRng};

/// Law of X_0.
#[derive(Clone)]
pub enum InitialState<'a> {
    /// All paths start here (length d).
    Point(Vec<f64>),
    /// Each path draws its own start, from its own generator.
    Law(&'a dyn Law),
}

impl InitialState<'_> {
    /// Check against the dimension of the state.
    pub(crate) fn validate(&self, dim: usize) -> Result<(), RolloutError> {
        let found = match self {
            InitialState::Point(x) => x.len(),
            InitialState::Law(law) => law.dim(),
        };
        if found != dim {
            return Err(RolloutError::Dimension { what: "dimension of the initial state", found, expected: dim });
        }
        if let InitialState::Point(x) = self
            && x.iter().any(|v| !v.is_finite())
        {
            return Err(RolloutError::invalid("initial state", format!("{x:?}"), "finite coordinates"));
        }
        Ok(())
    }

    /// Set the states of a block.
    pub(crate) fn fill(&self, seed: u64, level: u32, lanes: &mut Lanes) -> Result<(), RolloutError> {
        let first = lanes.first_path();
        match self {
            InitialState::Point(x) => {
                for lane in 0..LANES {
                    lanes.state_mut().set_point(lane, x);
                }
            }
            InitialState::Law(law) => {
                let origin = PathRng::new(NoiseKey { seed, path: first, level });
                let mut x = vec![0.0; law.dim()];
                for lane in 0..LANES {
                    let mut rng = origin.for_path(first + lane as u64);
                    law.sample(&mut rng, &mut x);
                    if lane < lanes.live() && x.iter().any(|v| !v.is_finite()) {
                        return Err(RolloutError::InitialState { path: first + lane as u64, state: x });
                    }
                    lanes.state_mut().set_point(lane, &x);
                }
            }
        }
        Ok(())
    }
}
