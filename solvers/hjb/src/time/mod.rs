//! Time schemes: a run of stages, each implicit with weight `implicit` on F at the level reached and explicit with weight
//! `explicit` on F at the level left, from a combination of the last two levels:
//!
//!   V_new - implicit F_new(V_new) = last V_last + older V_before + explicit F_last(V_last),
//!   F_t(V) = sup_v { L^v V + l - c(v) } - rho V,     last + older = 1.
//!
//! Positions are counted in half steps, as integers, plus an offset inside a step, so that no level is reached by summing
//! floating-point steps. The same stages serve the backward equation (elapsed time e is t = T - e) and the forward one
//! (t = e).

mod crank_nicolson;
mod implicit_euler;
mod tr_bdf2;

pub use crank_nicolson::CrankNicolson;
pub use implicit_euler::ImplicitEuler;
pub use tr_bdf2::TrBdf2;

use serde::Serialize;

/// One stage: from the level of the stage before (or the start) to `position` and `offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Position reached, in half steps from the start.
    pub position: usize,
    /// Time beyond that position; not zero only for levels inside a step, which complete nothing.
    pub offset: f64,
    /// Length of the stage in time.
    pub length: f64,
    /// Weight of F at the level reached.
    pub implicit: f64,
    /// Weight of F at the level left.
    pub explicit: f64,
    /// Weight of V at the level left.
    pub last: f64,
    /// Weight of V at the level before the one left.
    pub older: f64,
}

impl Stage {
    /// A stage of a one-step scheme that ends on a multiple of a half step.
    pub fn one_step(position: usize, length: f64, implicit: f64, explicit: f64) -> Self {
        Stage { position, offset: 0.0, length, implicit, explicit, last: 1.0, older: 0.0 }
    }

    /// The step completed by this stage, counted from the start, if it ends on a full step.
    pub fn completes(&self) -> Option<usize> {
        (self.offset == 0.0 && self.position.is_multiple_of(2)).then_some(self.position / 2)
    }

    /// Time from the start to the level reached, for steps of length `h`.
    pub fn elapsed(&self, h: f64) -> f64 {
        self.position as f64 * (0.5 * h) + self.offset
    }

    /// Time left from the level reached to the end of `steps` steps of length `h`; exactly zero at the last level.
    pub fn remaining(&self, h: f64, steps: usize) -> f64 {
        (2 * steps - self.position) as f64 * (0.5 * h) - self.offset
    }

    /// Write last V_last + older V_before + explicit F_last into `out`.
    pub(crate) fn right_side(&self, value: &[f64], before: &[f64], slope: &[f64], out: &mut [f64]) {
        if self.older == 0.0 {
            for ((b, v), f) in out.iter_mut().zip(value).zip(slope) {
                *b = self.last * v + self.explicit * f;
            }
        } else {
            for (((b, v), o), f) in out.iter_mut().zip(value).zip(before).zip(slope) {
                *b = self.last * v + self.older * o + self.explicit * f;
            }
        }
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
    /// [`TrBdf2`]: order 2, L-stable, two stages per step.
    TrBdf2,
}

impl Time {
    /// Name of the scheme.
    pub fn name(self) -> &'static str {
        match self {
            Time::ImplicitEuler => ImplicitEuler::NAME,
            Time::CrankNicolson => CrankNicolson::NAME,
            Time::TrBdf2 => TrBdf2::NAME,
        }
    }

    /// Order of the scheme in the step.
    pub fn order(self) -> u32 {
        match self {
            Time::ImplicitEuler => ImplicitEuler::ORDER,
            Time::CrankNicolson => CrankNicolson::ORDER,
            Time::TrBdf2 => TrBdf2::ORDER,
        }
    }

    /// The stages of `steps` steps of length `h`.
    pub fn stages(self, h: f64, steps: usize) -> Vec<Stage> {
        match self {
            Time::ImplicitEuler => ImplicitEuler::stages(h, steps),
            Time::CrankNicolson => CrankNicolson::stages(h, steps),
            Time::TrBdf2 => TrBdf2::stages(h, steps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Time; 3] = [Time::ImplicitEuler, Time::CrankNicolson, Time::TrBdf2];

    #[test]
    fn stages_cover_the_horizon_with_consistent_weights() {
        for time in ALL {
            for steps in [1, 2, 3, 10] {
                let stages = time.stages(0.1, steps);
                let (mut reached, mut before) = (0.0, 0.0);
                for s in &stages {
                    assert!((s.length - (s.elapsed(0.1) - reached)).abs() < 1e-15);
                    assert!((s.last + s.older - 1.0).abs() < 1e-15);
                    // Exact for V = elapsed time, F = 1.
                    let exact = s.implicit + s.explicit + s.last * reached + s.older * before;
                    assert!((exact - s.elapsed(0.1)).abs() < 1e-15 * (1.0 + s.elapsed(0.1)));
                    assert!((s.elapsed(0.1) + s.remaining(0.1, steps) - 0.1 * steps as f64).abs() < 1e-15 * steps as f64);
                    (before, reached) = (reached, s.elapsed(0.1));
                }
                let completed: Vec<usize> = stages.iter().filter_map(Stage::completes).collect();
                assert_eq!(completed, (1..=steps).collect::<Vec<_>>());
                assert_eq!(stages.last().map(|s| s.remaining(0.1, steps)), Some(0.0));
            }
        }
        let halves = CrankNicolson::stages(0.1, 10).iter().filter(|s| s.explicit == 0.0).count();
        assert_eq!(halves, 4);
    }

    /// exp(lambda) by `steps` steps for V' = lambda V.
    fn integrate(time: Time, lambda: f64, steps: usize) -> f64 {
        let (mut value, mut before) = ([1.0], [1.0]);
        for s in time.stages(1.0 / steps as f64, steps) {
            let mut b = [0.0];
            s.right_side(&value, &before, &[lambda * value[0]], &mut b);
            before = value;
            value = [b[0] / (1.0 - s.implicit * lambda)];
        }
        value[0]
    }

    #[test]
    fn every_scheme_has_its_order_on_the_scalar_equation() {
        for time in ALL {
            let error = |steps: usize| (integrate(time, -1.5, steps) - (-1.5f64).exp()).abs();
            let order = (error(80) / error(160)).log2();
            assert!((order - f64::from(time.order())).abs() < 0.05, "{time:?}: {order}");
        }
    }

    #[test]
    fn tr_bdf2_is_l_stable_with_the_known_amplification() {
        // Two stages with the same diagonal coefficient a = gamma/2 and order 2: R(z) = (1 + (1 - 2a) z) / (1 - a z)^2.
        let a = 1.0 - std::f64::consts::FRAC_1_SQRT_2;
        for z in [-0.3, -2.0, -50.0] {
            let exact = (1.0 + (1.0 - 2.0 * a) * z) / (1.0f64 - a * z).powi(2);
            assert!((integrate(Time::TrBdf2, z, 1) - exact).abs() < 1e-14);
        }
        assert!(integrate(Time::TrBdf2, -1e9, 1).abs() < 1e-8);
    }
}
