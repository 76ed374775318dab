//! Streaming reducers: what is kept of the paths.
//!
//! A reducer absorbs one block of finished paths; partial reducers are merged in the order of the blocks, so every sum
//! is done in the same order for any number of threads.

mod estimate;
mod extrema;
mod functionals;
mod histogram;
mod kolmogorov_smirnov;
mod log_mean;
mod moments;
mod plane;
mod quantile;
mod summary;

pub use estimate::{Estimate, normal_quantile};
pub use extrema::Extrema;
pub use functionals::{Measure, MeasureReducer};
pub use histogram::{Histogram, HistogramParams};
pub use kolmogorov_smirnov::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use log_mean::{LogMean, log_pair_means};
pub use moments::{Moments, ScalarMoments};
pub use plane::{PlaneHistogram, PlaneHistogramParams};
pub use quantile::QuantileSketch;
pub use summary::{Quantiles, Record, RolloutSummary, SummaryReducer};

use hjbridge_model::Points;

/// A block of paths at T; entry j of every field belongs to path `first_path + j`.
#[derive(Clone, Copy, Debug)]
pub struct FinishedPaths<'a> {
    /// Number of the first path.
    pub first_path: u64,
    /// X_N.
    pub state: Points<'a>,
    /// int v'Rv/2 dt.
    pub running_cost: &'a [f64],
    /// int l dt.
    pub running_reward: &'a [f64],
    /// g(X_N).
    pub terminal_reward: &'a [f64],
    /// How many of the path's evaluations of the feedback lay outside the feedback's own table.
    pub outside: &'a [f64],
    /// The numbers of the run's functionals, one coordinate each; no coordinate without functionals.
    pub functionals: Points<'a>,
    /// Whether paths 2j and 2j + 1 are an antithetic pair, i.e. one independent sample.
    pub antithetic: bool,
}

impl FinishedPaths<'_> {
    /// Number of paths.
    pub fn len(&self) -> usize {
        self.terminal_reward.len()
    }

    /// Whether there is no path.
    pub fn is_empty(&self) -> bool {
        self.terminal_reward.is_empty()
    }

    /// g(X_N) + int l dt - int v'Rv/2 dt, path by path.
    pub fn objective(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        let running = self.running_reward.iter().zip(self.running_cost);
        self.terminal_reward.iter().zip(running).map(|(g, (l, c))| g + l - c)
    }
}

/// Something that is computed from finished paths in one pass.
pub trait Reducer: Clone + Send + Sync {
    /// Take in a block.
    fn absorb(&mut self, paths: &FinishedPaths<'_>);

    /// Take in what `later` has seen, whose paths all follow this reducer's.
    fn merge(&mut self, later: Self);

    /// Whether `other` keeps the same things as this reducer, so that the two may be merged: asked when a run is continued
    /// from a [`RunState`](crate::RunState). Yes, unless said otherwise.
    fn fits(&self, _other: &Self) -> bool {
        true
    }

    /// The standard error that a stop rule looks at; none unless said otherwise.
    fn standard_error(&self) -> Option<f64> {
        None
    }

    /// Whether what [`Reducer::standard_error`] speaks of differs among the paths seen by more than rounding. Asked for every
    /// block of paths: a stop rule does not trust a standard error to which only few blocks contribute.
    fn varies(&self) -> bool {
        self.standard_error().is_some_and(|e| e > 0.0 && e.is_finite())
    }

    /// What this reducer has seen, as bytes for another process that has the same empty reducer; none, the default, for a
    /// reducer that stays in its process. See [`to_bytes`](crate::ranks::to_bytes).
    fn pack(&self) -> Option<Vec<u8>> {
        None
    }

    /// A copy of this empty reducer that has seen what [`Reducer::pack`] wrote, bit for bit; none when the bytes are
    /// something else.
    fn unpack(&self, _bytes: &[u8]) -> Option<Self> {
        None
    }
}

/// Means of entries 2j and 2j + 1.
pub(crate) fn pair_means(x: &[f64]) -> impl Iterator<Item = f64> + Clone + '_ {
    x.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1]))
}
