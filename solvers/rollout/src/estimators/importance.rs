//! A mean of exponentials under the reference paths, from paths under a control.
//!
//!   phi = E_ref[ exp( (g(X_T) + int l dt) / lambda ) ] = E_v[ exp( (g + int l dt)/lambda ) dP_ref/dP_v ],   V = lambda log phi.
//!
//! For a problem whose control cost is lambda times the relative entropy of the path measures (R = lambda G'(sigma sigma')^{-1} G;
//! fine-tuning with constant beta = lambda), V is the value of the control problem, and under its optimal feedback the
//! weighted exponential is the same number on every path: the variance vanishes. Euler-Maruyama with step h leaves O(h).
//! Under a feedback that is off by delta the relative variance is of order delta^2.
//!
//! Reference: Thijssen, Kappen, *Path integral control and state-dependent feedback*, Phys. Rev. E 91 (2015).

use hjbridge_model::Feedback;

use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::estimators::GirsanovWeight;
use crate::params::RolloutInfo;
use crate::ranks::{from_bytes, to_bytes};
use crate::reduce::{Estimate, FinishedPaths, LogMean, Reducer, ScalarMoments, log_pair_means, pair_means};
use crate::scheme::SdeScheme;

/// What to estimate.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ImportanceParams {
    /// lambda, not zero; negative for the mean of exp(-cost/|lambda|).
    pub temperature: f64,
}

impl Default for ImportanceParams {
    /// lambda = 1.
    fn default() -> Self {
        ImportanceParams { temperature: 1.0 }
    }
}

/// The mean of exponentials and the weights it was had with.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ImportanceEstimate {
    /// lambda log phi, with the standard error of the delta method.
    pub value: Estimate,
    /// log phi.
    pub log_mean: Estimate,
    /// Standard deviation of the weighted exponential over its mean.
    pub relative_deviation: f64,
    /// Mean of dP_ref/dP_v, which is one but for chance; far from one it says that the paths miss where the reference goes
    /// (the weight may have infinite variance where the weighted exponential has none: then read nothing into it).
    pub weight: Estimate,
    /// KL(P_v | P_ref).
    pub divergence: Estimate,
}

/// What importance sampling did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ImportanceInfo {
    /// Effective number of samples of the weighted exponential.
    pub effective_samples: f64,
    /// Effective number of samples of the weight alone.
    pub effective_weights: f64,
    /// The run.
    pub rollout: RolloutInfo,
}

/// Estimate V from the paths of `ensemble`, with `reference` the feedback of the reference measure. A stop rule looks at the
/// standard error of V.
///
/// # Errors
/// A scheme that does not follow the equation ([`SdeScheme::FOLLOWS_EQUATION`]), whose chain has another density; a temperature
/// that is zero or not finite; a control that acts where there is no noise; otherwise as [`Ensemble::run`].
pub fn exponential_mean<'a, S: SdeScheme>(
    ensemble: &Ensemble<'a, S>,
    reference: &dyn Feedback,
    params: &ImportanceParams,
) -> Result<(ImportanceEstimate, ImportanceInfo), RolloutError> {
    let temperature = params.temperature;
    if !(temperature.is_finite() && temperature != 0.0) {
        return Err(RolloutError::invalid("importance.temperature", temperature, "finite and not 0"));
    }
    if !S::FOLLOWS_EQUATION {
        let allowed = "one that follows the equation: weights are those of its Brownian path";
        return Err(RolloutError::invalid("scheme", S::NAME, allowed));
    }
    let girsanov = GirsanovWeight::new(reference);
    let place = ensemble.functional_values();
    let ensemble = ensemble.clone().with_functional(&girsanov);
    let empty = WeightReducer {
        temperature,
        place,
        exponential: LogMean::new(),
        weight: LogMean::new(),
        divergence: ScalarMoments::default(),
    };
    let (reducer, rollout) = ensemble.reduce(&empty)?;
    let log_mean = reducer.exponential.estimate();
    if !(log_mean.mean.is_finite() && log_mean.standard_error.is_finite()) {
        return Err(RolloutError::Overflow { quantity: "mean of exponentials" });
    }
    let n = log_mean.n;
    let value = Estimate { mean: temperature * log_mean.mean, standard_error: temperature.abs() * log_mean.standard_error, n };
    let log_weight = reducer.weight.estimate();
    let mean = log_weight.mean.exp();
    let estimate = ImportanceEstimate {
        value,
        log_mean,
        relative_deviation: log_mean.standard_error * (n as f64).sqrt(),
        weight: Estimate { mean, standard_error: mean * log_weight.standard_error, n },
        divergence: reducer.divergence.estimate(),
    };
    let info = ImportanceInfo {
        effective_samples: reducer.exponential.effective_samples(),
        effective_weights: reducer.weight.effective_samples(),
        rollout,
    };
    Ok((estimate, info))
}

#[derive(Clone)]
struct WeightReducer {
    temperature: f64,
    place: usize,
    exponential: LogMean,
    weight: LogMean,
    divergence: ScalarMoments,
}

impl Reducer for WeightReducer {
    fn absorb(&mut self, paths: &FinishedPaths<'_>) {
        let log_weight = paths.functionals.coord(self.place);
        let divergence = paths.functionals.coord(self.place + 1);
        let rewards = paths.terminal_reward.iter().zip(paths.running_reward);
        let exponent: Vec<f64> = rewards.zip(log_weight).map(|((g, l), w)| (g + l) / self.temperature + w).collect();
        if paths.antithetic {
            self.exponential.absorb(&log_pair_means(&exponent));
            self.weight.absorb(&log_pair_means(log_weight));
            self.divergence.absorb(pair_means(divergence));
        } else {
            self.exponential.absorb(&exponent);
            self.weight.absorb(log_weight);
            self.divergence.absorb(divergence.iter().copied());
        }
    }

    fn merge(&mut self, later: Self) {
        self.exponential.merge(later.exponential);
        self.weight.merge(later.weight);
        self.divergence.merge(later.divergence);
    }

    /// That of V.
    fn standard_error(&self) -> Option<f64> {
        Some(self.temperature.abs() * self.exponential.estimate().standard_error)
    }

    fn pack(&self) -> Option<Vec<u8>> {
        to_bytes(&(self.exponential, self.weight, self.divergence))
    }

    fn unpack(&self, bytes: &[u8]) -> Option<Self> {
        let (exponential, weight, divergence) = from_bytes(bytes)?;
        Some(WeightReducer { exponential, weight, divergence, ..*self })
    }
}
