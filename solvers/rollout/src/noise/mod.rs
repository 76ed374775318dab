//! Keyed noise: every random number is a pure function of (seed, path, level, step, component).
//!
//! A counter-based generator has no state to hand on, so a path's noise does not depend on which thread runs it, on how
//! many paths run beside it, or on what was drawn before. Counter domains are kept apart: the Brownian increments
//! ([`NormalStream`]), the numbers drawn by an initial law ([`PathRng`]), and the scrambling of Sobol points ([`SobolBridge`]).
//!
//! Coupled levels: [`BlockNoise::coarse`] (in a run, [`RolloutParams::coarsening`](crate::RolloutParams::coarsening)) makes
//! the numbers of coarse steps from sums of fine ones, so that two runs of M N and N steps follow one Brownian path.
//!
//! Reference: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3*, Proc. SC 2011.

mod block;
mod normal;
mod path_rng;
mod philox;
mod sobol;
mod step;

pub use block::BlockNoise;
pub use normal::NormalStream;
pub use path_rng::PathRng;
pub use philox::philox4x32_10;
pub use sobol::{SOBOL_DIMENSIONS, SOBOL_PATHS, SobolBridge};
pub(crate) use step::StepNoise;

/// Paths that advance together; path p is lane `p % LANES` of block `p / LANES`.
pub const LANES: usize = 64;

/// Consecutive steps whose numbers, for one path and component, come from one counter.
pub const STEPS_PER_DRAW: u32 = 4;

/// Where the normal numbers of a run come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoiseSource {
    /// Independent paths: Philox and Box-Muller.
    #[default]
    Keyed,
    /// Scrambled Sobol points with a Brownian bridge, for few steps and smooth rewards ([`SobolBridge`] gives the limits). The
    /// standard errors of one run do not hold: use [`Ensemble::replicate`](crate::Ensemble::replicate). An initial law is still
    /// drawn at random.
    Sobol,
}

/// Names the noise of one path.
///
/// `level` separates independent families of paths under one seed (the levels of a multilevel estimator).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct NoiseKey {
    /// Seed of the experiment.
    pub seed: u64,
    /// Number of the path.
    pub path: u64,
    /// Family of paths.
    pub level: u32,
}

impl NoiseKey {
    /// The standard normal number of this path with the given step and component. O(1), bit for bit the number that the
    /// lane blocks use.
    pub fn normal(&self, step: u32, component: u32) -> f64 {
        NormalStream::new(self.seed, self.level).normal(self.path, step, component)
    }

    /// A generator for this path's initial state, independent of its normal numbers.
    pub fn initial_rng(&self) -> PathRng {
        PathRng::new(*self)
    }
}

/// What a stream of numbers is for; streams of different domains are independent.
#[derive(Clone, Copy, Debug)]
enum Domain {
    Brownian = 0,
    InitialState = 1,
    Sobol = 2,
}

/// The Philox key of a stream. The seed is itself the key of one Philox call on (level, domain): all 128 bits of the
/// stream's own counter stay free for path and position.
fn stream_key(seed: u64, level: u32, domain: Domain) -> [u32; 2] {
    const TAG: u32 = 0x686a_6272;
    let words = philox4x32_10([level, domain as u32, TAG, 0], split(seed));
    [words[0], words[1]]
}

/// Low and high half.
fn split(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}
