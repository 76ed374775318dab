//! What is kept of the paths: the engine's summary, and the moments of the run's functionals.

use hjbridge_model::{PointBlock, Points};
use hjbridge_rollout::ranks::{from_bytes, to_bytes};
use hjbridge_rollout::reduce::{LogMean, Moments, SummaryReducer, log_pair_means};
use hjbridge_rollout::{Estimate, FinishedPaths, Reducer};
use serde::{Deserialize, Serialize};

/// The whole of a run's sums; it can be written down and read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathReducer {
    /// The engine's summary.
    pub summary: SummaryReducer,
    /// Moments of the numbers of the functionals.
    pub functionals: Moments,
    /// Mean of exp of functional 0, a Girsanov weight.
    pub weight: Option<LogMean>,
    /// The functional whose standard error a rule looks at; the objective of the summary when absent.
    watched: Option<usize>,
}

impl PathReducer {
    /// With the numbers of `functionals`; `weight` says that the first is the logarithm of a weight.
    pub fn new(summary: SummaryReducer, functionals: usize, weight: bool, watched: Option<usize>) -> Self {
        PathReducer { summary, functionals: Moments::new(functionals), weight: weight.then(LogMean::new), watched }
    }
}

impl Reducer for PathReducer {
    fn absorb(&mut self, paths: &FinishedPaths<'_>) {
        self.summary.absorb(paths);
        let values = paths.functionals;
        let q = self.functionals.dim();
        if q == 0 {
            return;
        }
        if !paths.antithetic {
            self.functionals.absorb(values);
        } else {
            let mut means = PointBlock::zeros(q, paths.len() / 2);
            for i in 0..q {
                for (mean, pair) in means.as_mut().coord_mut(i).iter_mut().zip(values.coord(i).chunks_exact(2)) {
                    *mean = 0.5 * (pair[0] + pair[1]);
                }
            }
            self.functionals.absorb(Points::new(means.data(), q));
        }
        match &mut self.weight {
            Some(weight) if paths.antithetic => weight.absorb(&log_pair_means(values.coord(0))),
            Some(weight) => weight.absorb(values.coord(0)),
            None => {}
        }
    }

    fn merge(&mut self, later: Self) {
        self.summary.merge(later.summary);
        if self.functionals.dim() > 0 {
            self.functionals.merge(&later.functionals);
        }
        if let (Some(weight), Some(later)) = (&mut self.weight, later.weight) {
            weight.merge(later);
        }
    }

    fn fits(&self, other: &Self) -> bool {
        self.summary.fits(&other.summary)
            && self.functionals.dim() == other.functionals.dim()
            && self.weight.is_some() == other.weight.is_some()
            && self.watched == other.watched
    }

    fn varies(&self) -> bool {
        match self.watched {
            Some(i) => self.functionals.mean().get(i).is_some_and(Estimate::varies),
            None => self.summary.varies(),
        }
    }

    fn pack(&self) -> Option<Vec<u8>> {
        to_bytes(self)
    }

    fn unpack(&self, bytes: &[u8]) -> Option<Self> {
        from_bytes(bytes)
    }

    fn standard_error(&self) -> Option<f64> {
        match self.watched {
            Some(i) => self.functionals.mean().get(i).map(|e| e.standard_error),
            None => self.summary.standard_error(),
        }
    }
}
