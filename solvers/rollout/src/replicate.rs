//! Independent repetitions of a run, and the error of a mean from their spread.
//!
//! Needed where the paths of one run are not independent of one another, as with Sobol points: the means of R independent
//! scramblings are, and their mean has the standard error (sample deviation) / sqrt(R). For few repetitions an interval must use
//! Student's law with R - 1 degrees of freedom, as [`Estimate::confidence_interval`] does.
//!
//! Reference: L'Ecuyer, Lemieux, *Recent advances in randomized quasi-Monte Carlo methods* (2002).

use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::params::RolloutParams;
use crate::reduce::{Estimate, RolloutSummary};
use crate::scheme::SdeScheme;
use crate::stop::StoppedBy;

/// The summaries of independent repetitions.
#[derive(Clone, Debug, PartialEq)]
pub struct Replications {
    /// One for each repetition, in the order of their levels.
    pub summaries: Vec<RolloutSummary>,
}

impl Replications {
    /// The mean of a quantity over the repetitions, and its standard error; `n` is the number of repetitions.
    ///
    /// # Errors
    /// A quantity that is not finite.
    pub fn estimate(&self, quantity: impl Fn(&RolloutSummary) -> f64) -> Result<Estimate, RolloutError> {
        let values: Vec<f64> = self.summaries.iter().map(quantity).collect();
        Estimate::from_samples(&values)
    }

    /// The objective.
    ///
    /// # Errors
    /// As [`Replications::estimate`].
    pub fn objective(&self) -> Result<Estimate, RolloutError> {
        self.estimate(|summary| summary.objective.mean)
    }
}

impl<S: SdeScheme + Clone> Ensemble<'_, S> {
    /// Run `replications` times, at the levels `params.level`, `params.level + 1`, ...; each run is independent of the others.
    /// An interrupt leaves the whole repetitions done by then.
    ///
    /// # Errors
    /// Fewer than 2 repetitions, or more levels than there are; an interrupt before two are done; otherwise as [`Ensemble::run`].
    pub fn replicate(&self, replications: u32) -> Result<Replications, RolloutError> {
        let base = self.params().level;
        if replications < 2 || base.checked_add(replications).is_none() {
            let allowed = format!("from 2 to {}: the levels from {base} on", u32::MAX - base);
            return Err(RolloutError::invalid("replications", replications, allowed));
        }
        let (mut summaries, mut paths) = (Vec::new(), 0);
        for r in 0..replications {
            match self.with_params(RolloutParams { level: base + r, ..self.params().clone() }).run() {
                // What an interrupt has cut is no sample of the same law.
                Err(RolloutError::Interrupted { .. }) => break,
                Ok((_, info)) if info.stopped_by == StoppedBy::Interrupt => break,
                Err(e) => return Err(e),
                Ok((summary, info)) => {
                    summaries.push(summary);
                    paths += info.paths as u64;
                }
            }
        }
        match summaries.len() {
            0 | 1 => Err(RolloutError::Interrupted { paths }),
            _ => Ok(Replications { summaries }),
        }
    }
}
