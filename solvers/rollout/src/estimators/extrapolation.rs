//! The step's bias estimated and removed: Richardson extrapolation in law.
//!
//! By the expansion E P_h = E P + c h^p + o(h^p) of a scheme of weak order p, with steps h and h/2,
//!   P* = (2^p P_{h/2} - P_h) / (2^p - 1)
//! has a bias of higher order (2 for Euler-Maruyama and smooth data). Both are computed on the same Brownian paths, so that
//! the difference has little variance, and the interval is that of P* path by path.
//!
//! Prefer [`multilevel`](crate::multilevel) when an accuracy is asked for rather than a step.
//!
//! Reference: Talay, Tubaro, *Expansion of the global error for numerical schemes solving stochastic differential equations*,
//! Stoch. Anal. Appl. 8 (1990).

use std::time::Instant;

use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::multilevel::pair::{Payoff, run_pairs, validate_coupling, validate_expansion};
use crate::noise::LANES;
use crate::params::RolloutParams;
use crate::reduce::{Estimate, Moments};
use crate::scheme::SdeScheme;

/// The payoff with steps h and h/2, and without the leading term of the bias.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct WeakExtrapolation {
    /// With the ensemble's step h.
    pub coarse: Estimate,
    /// With h/2.
    pub fine: Estimate,
    /// P*.
    pub extrapolated: Estimate,
    /// The leading term of E P_{h/2} - E P, with the standard error that the coupling leaves.
    pub fine_bias: Estimate,
}

/// What the extrapolation did.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct WeakExtrapolationInfo {
    /// p.
    pub weak_order: f64,
    /// Steps of the coarse run; the fine one has twice as many.
    pub steps: usize,
    /// Steps of all paths of both runs.
    pub path_steps: u64,
    /// Whether an interrupt ended it before all paths were done.
    pub partial: bool,
    /// Seconds spent.
    pub seconds: f64,
}

/// Extrapolate the mean of `payoff` (the objective when none is given) from the ensemble's steps and half of them. The weak
/// order is the scheme's; on a time grid the fine run halves its steps. A stop rule and further functionals of the ensemble
/// are not used.
///
/// # Errors
/// A scheme whose error on equal steps has no such expansion ([`SdeScheme::expands`]: DDIM, and the ancestral sampler with the
/// posterior variance, where it is h log(1/h); on unequal steps the order is for the caller to judge); Sobol points, too many
/// steps, an interrupt before the first block of 64 paths was done; otherwise as [`Ensemble::run`].
pub fn weak_extrapolation<S: SdeScheme>(
    ensemble: &Ensemble<'_, S>,
    payoff: Option<&Payoff<'_>>,
) -> Result<(WeakExtrapolation, WeakExtrapolationInfo), RolloutError> {
    let start = Instant::now();
    validate_coupling(ensemble)?;
    validate_expansion(ensemble)?;
    let base = ensemble.params().clone();
    let coarse = RolloutParams { coarsening: 2 * base.coarsening, ..base.clone() };
    let fine = RolloutParams { steps: 2 * base.steps, ..base.clone() };
    coarse.validate()?;
    fine.validate()?;
    let weight = S::WEAK_ORDER.exp2() - 1.0;
    // The extrapolated payoff is P_f + (P_f - P_c)/(2^p - 1).
    let blocks = base.paths.div_ceil(LANES) as u64;
    let mut moments = Moments::new(4);
    let (fine, coarse) = (ensemble.with_size(fine)?, ensemble.with_size(coarse)?);
    let done = run_pairs(&fine, Some(&coarse), 0..blocks, payoff, 1.0 / weight, &mut moments, &|_| ())?;
    if done == 0 {
        return Err(RolloutError::Interrupted { paths: 0 });
    }
    let estimates = moments.mean();
    if estimates.iter().any(|e| !(e.mean.is_finite() && e.standard_error.is_finite())) {
        return Err(RolloutError::Overflow { quantity: "payoff" });
    }
    let scale = |e: Estimate, c: f64| Estimate { mean: c * e.mean, standard_error: c.abs() * e.standard_error, n: e.n };
    let result = WeakExtrapolation {
        coarse: estimates[2],
        fine: estimates[1],
        extrapolated: estimates[3],
        fine_bias: scale(estimates[0], -1.0 / weight),
    };
    let paths = (done * LANES as u64).min(base.paths as u64);
    let info = WeakExtrapolationInfo {
        weak_order: S::WEAK_ORDER,
        steps: base.steps,
        path_steps: 3 * paths * base.steps as u64,
        partial: done < blocks,
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok((result, info))
}
