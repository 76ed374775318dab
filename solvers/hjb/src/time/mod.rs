//! Time schemes: a run of one-stage steps, each implicit with weight `implicit` on F at the new level and explicit with
//! weight `explicit` on F at the old one:
//!
//!   V_new - implicit F_new(V_new) = V_old + explicit F_old(V_old),     F_t(V) = sup_v { L^v V + l - v'Rv/2 }.
//!
//! Positions are counted in half steps, as integers, so that no level is reached by summing floating-point steps. The
//! same stages serve the backward equation (position p is t = T - p h/2) and the forward one (t = p h/2).

mod crank_nicolson;
mod implicit_euler;

pub use crank_nicolson::CrankNicolson;
pub use implicit_euler::ImplicitEuler;

use serde::Serialize;

/// One stage: from the position of the stage before (or 0) to `position`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Position reached, in half steps from the start.
    pub position: usize,
    /// Length of the stage in time.
    pub length: f64,
    /// Weight of F at the level reached.
    pub implicit: f64,
    /// Weight of F at the level left.
    pub explicit: f64,
}

impl Stage {
    /// The step completed by this stage, counted from the start, if it ends on a full step.
    pub fn completes(&self) -> Option<usize> {
        self.position.is_multiple_of(2).then_some(self.position / 2)
    }
}

/// A time scheme.
pub trait TimeScheme {
    /// Name, as reports show it.
    const NAME: &'static str;

    /// Order in the step h.
    const ORDER: u32;

    /// Whether a monotone generator gives a monotone scheme at every step size.
    const MONOTONE: bool;

    /// The stages of `steps` steps of length `h`.
    fn stages(h: f64, steps: usize) -> Vec<Stage>;
}

/// The time schemes by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Time {
    /// [`ImplicitEuler`]: order 1, monotone.
    ImplicitEuler,
    /// [`CrankNicolson`] with Rannacher start-up: order 2.
    #[default]
    CrankNicolson,
}

impl Time {
    /// Name of the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Time::ImplicitEuler => ImplicitEuler::NAME,
            Time::CrankNicolson => CrankNicolson::NAME,
        }
    }

    /// Order of the scheme in the step.
    pub fn order(self) -> u32 {
        match self {
            Time::ImplicitEuler => ImplicitEuler::ORDER,
            Time::CrankNicolson => CrankNicolson::ORDER,
        }
    }

    /// The stages of `steps` steps of length `h`.
    pub fn stages(self, h: f64, steps: usize) -> Vec<Stage> {
        match self {
            Time::ImplicitEuler => ImplicitEuler::stages(h, steps),
            Time::CrankNicolson => CrankNicolson::stages(h, steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_cover_the_horizon_with_consistent_weights() {
        for time in [Time::ImplicitEuler, Time::CrankNicolson] {
            for steps in [1, 2, 3, 10] {
                let stages = time.stages(0.1, steps);
                let mut position = 0;
                for s in &stages {
                    assert!((s.length - (s.position - position) as f64 * 0.05).abs() < 1e-16);
                    assert!((s.implicit + s.explicit - s.length).abs() < 1e-16);
                    position = s.position;
                }
                assert_eq!(position, 2 * steps);
            }
        }
        let halves = CrankNicolson::stages(0.1, 10).iter().filter(|s| s.explicit == 0.0).count();
        assert_eq!(halves, 4);
    }
}
