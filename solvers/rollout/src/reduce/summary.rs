//! The standard summary of a rollout.

use hjbridge_model::PointBlock;

use crate::error::RolloutError;
use crate::reduce::{Estimate, Extrema, FinishedPaths, Histogram, HistogramParams, Moments, Reducer, ScalarMoments};

/// What to keep besides moments and extrema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// One histogram per coordinate of X_N, or none.
    pub histograms: Vec<HistogramParams>,
    /// Keep X_N of every path (memory 8 d bytes per path).
    pub final_states: bool,
    /// Keep the objective of every path (8 bytes per path), for paired comparisons.
    pub objectives: bool,
}

impl Record {
    pub(crate) fn validate(&self, dim: usize) -> Result<(), RolloutError> {
        let found = self.histograms.len();
        if found != 0 && found != dim {
            return Err(RolloutError::Dimension { what: "number of histograms", found, expected: dim });
        }
        self.histograms.iter().try_for_each(|h| Histogram::new(h).map(|_| ()))
    }
}

/// Estimates from all paths.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RolloutSummary {
    /// g(X_N) + int (l - v'Rv/2) dt, combined path by path.
    pub objective: Estimate,
    /// g(X_N).
    pub terminal_reward: Estimate,
    /// int v'Rv/2 dt.
    pub running_cost: Estimate,
    /// int l dt.
    pub running_reward: Estimate,
    /// Mean of each coordinate of X_N.
    pub mean: Vec<Estimate>,
    /// Sample covariance of X_N, d x d row by row.
    pub covariance: Vec<f64>,
    /// Range of each coordinate of X_N.
    pub extrema: Extrema,
    /// Histogram of each coordinate of X_N, if recorded.
    pub histograms: Vec<Histogram>,
    /// X_N of every path in the order of paths, if recorded.
    #[serde(skip)]
    pub final_states: Option<PointBlock>,
    /// Objective of every path in the order of paths, if recorded.
    #[serde(skip)]
    pub objectives: Option<Vec<f64>>,
}

/// Computes a [`RolloutSummary`].
#[derive(Clone, Debug)]
pub struct SummaryReducer {
    objective: ScalarMoments,
    terminal_reward: ScalarMoments,
    running_cost: ScalarMoments,
    running_reward: ScalarMoments,
    state: Moments,
    extrema: Extrema,
    histograms: Vec<Histogram>,
    final_states: Option<Vec<Vec<f64>>>,
    objectives: Option<Vec<f64>>,
}

impl SummaryReducer {
    /// For a state in R^`dim`.
    ///
    /// # Errors
    /// A record that is not valid in this dimension.
    pub fn new(dim: usize, record: &Record) -> Result<Self, RolloutError> {
        record.validate(dim)?;
        Ok(SummaryReducer {
            objective: ScalarMoments::default(),
            terminal_reward: ScalarMoments::default(),
            running_cost: ScalarMoments::default(),
            running_reward: ScalarMoments::default(),
            state: Moments::new(dim),
            extrema: Extrema::new(dim),
            histograms: record.histograms.iter().map(Histogram::new).collect::<Result<_, _>>()?,
            final_states: record.final_states.then(|| vec![Vec::new(); dim]),
            objectives: record.objectives.then(Vec::new),
        })
    }

    /// The summary of what was absorbed.
    ///
    /// # Errors
    /// [`RolloutError::Overflow`] when an estimate is not finite, which takes at least two finite paths to happen.
    pub fn finish(self) -> Result<RolloutSummary, RolloutError> {
        let summary = RolloutSummary {
            objective: self.objective.estimate(),
            terminal_reward: self.terminal_reward.estimate(),
            running_cost: self.running_cost.estimate(),
            running_reward: self.running_reward.estimate(),
            mean: self.state.mean(),
            covariance: self.state.covariance(),
            extrema: self.extrema,
            histograms: self.histograms,
            final_states: self.final_states.map(into_block),
            objectives: self.objectives,
        };
        let scalars = [
            ("objective", summary.objective),
            ("terminal reward", summary.terminal_reward),
            ("running cost", summary.running_cost),
            ("running reward", summary.running_reward),
        ];
        let means = summary.mean.iter().map(|&e| ("mean of the final state", e));
        for (quantity, e) in scalars.into_iter().chain(means) {
            if !(e.mean.is_finite() && e.standard_error.is_finite()) {
                return Err(RolloutError::Overflow { quantity });
            }
        }
        if summary.covariance.iter().any(|c| !c.is_finite()) {
            return Err(RolloutError::Overflow { quantity: "covariance of the final state" });
        }
        Ok(summary)
    }
}

fn into_block(coordinates: Vec<Vec<f64>>) -> PointBlock {
    let mut block = PointBlock::zeros(coordinates.len(), coordinates.first().map_or(0, Vec::len));
    for (i, x) in coordinates.iter().enumerate() {
        block.as_mut().coord_mut(i).copy_from_slice(x);
    }
    block
}

impl Reducer for SummaryReducer {
    fn absorb(&mut self, paths: &FinishedPaths<'_>) {
        self.objective.absorb(paths.objective());
        self.terminal_reward.absorb(paths.terminal_reward.iter().copied());
        self.running_cost.absorb(paths.running_cost.iter().copied());
        self.running_reward.absorb(paths.running_reward.iter().copied());
        self.state.absorb(paths.state);
        self.extrema.absorb(paths.state);
        for (i, h) in self.histograms.iter_mut().enumerate() {
            h.absorb(paths.state.coord(i));
        }
        for (i, kept) in self.final_states.iter_mut().flatten().enumerate() {
            kept.extend_from_slice(paths.state.coord(i));
        }
        if let Some(kept) = &mut self.objectives {
            kept.extend(paths.objective());
        }
    }

    fn merge(&mut self, later: Self) {
        self.objective.merge(later.objective);
        self.terminal_reward.merge(later.terminal_reward);
        self.running_cost.merge(later.running_cost);
        self.running_reward.merge(later.running_reward);
        self.state.merge(&later.state);
        self.extrema.merge(&later.extrema);
        for (h, l) in self.histograms.iter_mut().zip(&later.histograms) {
            h.merge(l);
        }
        for (kept, l) in self.final_states.iter_mut().flatten().zip(later.final_states.iter().flatten()) {
            kept.extend_from_slice(l);
        }
        for (kept, l) in self.objectives.iter_mut().zip(&later.objectives) {
            kept.extend_from_slice(l);
        }
    }
}
