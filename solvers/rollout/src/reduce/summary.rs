//! The standard summary of a rollout.

use hjbridge_model::{PointBlock, Points};

use crate::error::RolloutError;
use crate::noise::LANES;
use crate::ranks::{from_bytes, to_bytes};
use crate::reduce::{
    Estimate, Extrema, FinishedPaths, Histogram, HistogramParams, Moments, PlaneHistogram, PlaneHistogramParams, QuantileSketch,
    Reducer, ScalarMoments, pair_means,
};

/// What to keep besides moments and extrema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// One histogram per coordinate of X_N, or none.
    pub histograms: Vec<HistogramParams>,
    /// Keep X_N of every path (memory 8 d bytes per path).
    pub final_states: bool,
    /// Keep the objective of every path (8 bytes per path), for paired comparisons.
    pub objectives: bool,
    /// Quantiles of each coordinate of X_N and of the objective at these probabilities.
    pub quantiles: Vec<f64>,
    /// Histograms of pairs of coordinates of X_N.
    pub planes: Vec<PlaneHistogramParams>,
}

/// Quantiles at one probability.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Quantiles {
    /// p.
    pub probability: f64,
    /// Of the objective of a path.
    pub objective: Estimate,
    /// Of each coordinate of X_N.
    pub state: Vec<Estimate>,
}

impl Record {
    pub(crate) fn validate(&self, dim: usize) -> Result<(), RolloutError> {
        let found = self.histograms.len();
        if found != 0 && found != dim {
            return Err(RolloutError::Dimension { what: "number of histograms", found, expected: dim });
        }
        self.histograms.iter().try_for_each(|h| Histogram::new(h).map(|_| ()))?;
        if let Some(p) = self.quantiles.iter().find(|&&p| !(p > 0.0 && p < 1.0)) {
            return Err(RolloutError::invalid("record.quantiles", p, "between 0 and 1, both excluded"));
        }
        for plane in &self.planes {
            PlaneHistogram::new(plane)?;
            let (i, j) = plane.coordinates;
            if i.max(j) >= dim {
                return Err(RolloutError::invalid("record.planes", format!("({i}, {j})"), format!("coordinates below {dim}")));
            }
        }
        Ok(())
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
    /// Standard error of each entry of the covariance, from the spread of the covariances of whole blocks of 64 paths;
    /// infinite with fewer than two such blocks, rough with a few.
    pub covariance_error: Vec<f64>,
    /// Range of each coordinate of X_N.
    pub extrema: Extrema,
    /// Histogram of each coordinate of X_N, if recorded.
    pub histograms: Vec<Histogram>,
    /// Histograms of pairs of coordinates of X_N, if recorded.
    pub planes: Vec<PlaneHistogram>,
    /// Quantiles, if recorded.
    pub quantiles: Vec<Quantiles>,
    /// How often a path evaluated the feedback outside the feedback's own table, once a step at most: over N, the fraction
    /// of steps outside.
    pub outside: Estimate,
    /// X_N of every path in the order of paths, if recorded.
    #[serde(skip)]
    pub final_states: Option<PointBlock>,
    /// Objective of every path in the order of paths, if recorded.
    #[serde(skip)]
    pub objectives: Option<Vec<f64>>,
}

/// Computes a [`RolloutSummary`]. Its state can be written down and read back, bit for bit.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SummaryReducer {
    objective: ScalarMoments,
    terminal_reward: ScalarMoments,
    running_cost: ScalarMoments,
    running_reward: ScalarMoments,
    outside: ScalarMoments,
    /// Of X_N over paths; the standard errors of antithetic pairs come from `pairs`.
    state: Moments,
    pairs: Moments,
    /// Of the entries (i, j <= i) of the sample covariances of whole blocks.
    block_covariance: Vec<ScalarMoments>,
    extrema: Extrema,
    histograms: Vec<Histogram>,
    planes: Vec<PlaneHistogram>,
    probabilities: Vec<f64>,
    /// Of each coordinate and, last, of the objective.
    sketches: Vec<QuantileSketch>,
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
            outside: ScalarMoments::default(),
            state: Moments::new(dim),
            pairs: Moments::new(dim),
            block_covariance: vec![ScalarMoments::default(); dim * (dim + 1) / 2],
            extrema: Extrema::new(dim),
            histograms: record.histograms.iter().map(Histogram::new).collect::<Result<_, _>>()?,
            planes: record.planes.iter().map(PlaneHistogram::new).collect::<Result<_, _>>()?,
            probabilities: record.quantiles.clone(),
            sketches: vec![QuantileSketch::default(); if record.quantiles.is_empty() { 0 } else { dim + 1 }],
            final_states: record.final_states.then(|| vec![Vec::new(); dim]),
            objectives: record.objectives.then(Vec::new),
        })
    }

    /// The summary of what was absorbed.
    ///
    /// # Errors
    /// [`RolloutError::Overflow`] when an estimate is not finite, which takes at least two finite paths to happen.
    pub fn finish(self) -> Result<RolloutSummary, RolloutError> {
        let independent = self.objective.n();
        let quantiles = self.probabilities.iter().map(|&probability| {
            let read = |s: &QuantileSketch| s.quantile_of(probability, independent);
            let mut state = self.sketches.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let none = Estimate { mean: f64::NAN, standard_error: f64::INFINITY, n: 0 };
            Ok(Quantiles { probability, objective: state.pop().unwrap_or(none), state })
        });
        let quantiles = quantiles.collect::<Result<Vec<_>, RolloutError>>()?;
        let d = self.state.dim();
        let summary = RolloutSummary {
            objective: self.objective.estimate(),
            terminal_reward: self.terminal_reward.estimate(),
            running_cost: self.running_cost.estimate(),
            running_reward: self.running_reward.estimate(),
            mean: if self.pairs.n() > 0 { self.pairs.mean() } else { self.state.mean() },
            covariance: self.state.covariance(),
            covariance_error: (0..d * d)
                .map(|ij| {
                    let (i, j) = (ij / d, ij % d);
                    self.block_covariance[place(i.max(j), i.min(j))].estimate().standard_error
                })
                .collect(),
            extrema: self.extrema,
            histograms: self.histograms,
            planes: self.planes,
            quantiles,
            outside: self.outside.estimate(),
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

/// Where entry (i, j <= i) of a symmetric matrix is kept.
fn place(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
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
        let objective: Vec<f64> = paths.objective().collect();
        for (moments, samples) in [
            (&mut self.objective, objective.as_slice()),
            (&mut self.terminal_reward, paths.terminal_reward),
            (&mut self.running_cost, paths.running_cost),
            (&mut self.running_reward, paths.running_reward),
            (&mut self.outside, paths.outside),
        ] {
            if paths.antithetic {
                moments.absorb(pair_means(samples));
            } else {
                moments.absorb(samples.iter().copied());
            }
        }
        let d = paths.state.dim();
        let mut block = Moments::new(d);
        block.absorb(paths.state);
        if paths.len() == LANES {
            let covariance = block.covariance();
            for (i, j) in (0..d).flat_map(|i| (0..=i).map(move |j| (i, j))) {
                self.block_covariance[place(i, j)].absorb([covariance[i * d + j]].into_iter());
            }
        }
        self.state.merge(&block);
        if paths.antithetic {
            let means: Vec<f64> = (0..d).flat_map(|i| pair_means(paths.state.coord(i)).collect::<Vec<_>>()).collect();
            self.pairs.absorb(Points::new(&means, d));
        }
        if let Some((last, coordinates)) = self.sketches.split_last_mut() {
            last.absorb(objective.iter().copied());
            for (i, sketch) in coordinates.iter_mut().enumerate() {
                sketch.absorb(paths.state.coord(i).iter().copied());
            }
        }
        for plane in &mut self.planes {
            let (i, j) = plane.coordinates;
            plane.absorb(paths.state.coord(i), paths.state.coord(j));
        }
        self.extrema.absorb(paths.state);
        for (i, h) in self.histograms.iter_mut().enumerate() {
            h.absorb(paths.state.coord(i));
        }
        for (i, kept) in self.final_states.iter_mut().flatten().enumerate() {
            kept.extend_from_slice(paths.state.coord(i));
        }
        if let Some(kept) = &mut self.objectives {
            kept.extend_from_slice(&objective);
        }
    }

    fn merge(&mut self, later: Self) {
        self.objective.merge(later.objective);
        self.terminal_reward.merge(later.terminal_reward);
        self.running_cost.merge(later.running_cost);
        self.running_reward.merge(later.running_reward);
        self.outside.merge(later.outside);
        self.state.merge(&later.state);
        self.pairs.merge(&later.pairs);
        for (c, l) in self.block_covariance.iter_mut().zip(&later.block_covariance) {
            c.merge(*l);
        }
        self.extrema.merge(&later.extrema);
        for (h, l) in self.histograms.iter_mut().zip(&later.histograms) {
            h.merge(l);
        }
        for (h, l) in self.planes.iter_mut().zip(&later.planes) {
            h.merge(l);
        }
        for (s, l) in self.sketches.iter_mut().zip(&later.sketches) {
            s.merge(l);
        }
        for (kept, l) in self.final_states.iter_mut().flatten().zip(later.final_states.iter().flatten()) {
            kept.extend_from_slice(l);
        }
        for (kept, l) in self.objectives.iter_mut().zip(&later.objectives) {
            kept.extend_from_slice(l);
        }
    }

    fn fits(&self, other: &Self) -> bool {
        let bins = |h: &Histogram| (h.lower, h.upper, h.counts.len());
        let planes = |p: &PlaneHistogram| (p.coordinates, p.first, p.second, p.rows, p.columns);
        self.state.dim() == other.state.dim()
            && self.probabilities == other.probabilities
            && self.sketches.len() == other.sketches.len()
            && self.histograms.iter().map(bins).eq(other.histograms.iter().map(bins))
            && self.planes.iter().map(planes).eq(other.planes.iter().map(planes))
            && self.final_states.is_some() == other.final_states.is_some()
            && self.objectives.is_some() == other.objectives.is_some()
    }

    /// That of the objective.
    fn standard_error(&self) -> Option<f64> {
        Some(self.objective.estimate().standard_error)
    }

    fn varies(&self) -> bool {
        self.objective.estimate().varies()
    }

    fn pack(&self) -> Option<Vec<u8>> {
        to_bytes(self)
    }

    fn unpack(&self, bytes: &[u8]) -> Option<Self> {
        from_bytes(bytes)
    }
}
