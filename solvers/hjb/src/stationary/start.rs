//! A first policy that ends the process, by a discount that vanishes.
//!
//! Without a discount policy iteration needs a start under which the target is reached from everywhere; then it increases V
//! at each node and cannot leave such policies. The best policy for V = 0 (no push at all) may need a mean time of
//! e^{barrier/noise}: a singular system. With an artificial discount epsilon every policy has a value, and as epsilon falls
//! it pays, where it can be done, to reach the target rather than to go on at a cost l/epsilon. So: Howard's iteration for
//! epsilon = 10^{-2}, 10^{-3}, ... times the largest rate, each from the policy of the one before, until the policy ends the
//! process. Where this never comes V grows like 1/epsilon, and its sign says what is wrong.
//! Reference: D. P. Bertsekas, J. N. Tsitsiklis, An analysis of stochastic shortest path problems, Math. Oper. Res. 16 (1991)
//! 580-595 (proper policies, vanishing discount).

use super::evaluation::Evaluation;
use crate::error::HjbError;
use crate::hamiltonian::Hamiltonian;

/// Decades that the artificial discount may fall below the largest rate: to where 1 - epsilon/rate is lost in rounding.
const DECADES: i32 = 15;

/// Policies per discount at most,
const MOST: usize = 20;

/// and when V changes by less than this part a smaller discount is tried.
const CHANGE: f64 = 1e-3;

/// V grows without bound when it grows by more than this factor as the discount falls by 10, at the end of the way.
const GROWTH: f64 = 3.0;

/// How far the discount had to fall.
pub(super) struct Way {
    /// Whether the policy at hand ends the process.
    pub ended: bool,
    /// Policies evaluated.
    pub solves: usize,
    /// The last artificial discount.
    pub discount: f64,
    /// By what V grew in the last decade.
    growth: f64,
}

/// Let the discount vanish, up to a policy that ends the process if `until_ended`, otherwise all the way.
///
/// # Errors
/// A cost that is not finite. Systems that cannot be solved end the way.
pub(super) fn vanishing_discount(
    evaluation: &mut Evaluation,
    hamiltonian: &mut Hamiltonian<'_>,
    until_ended: bool,
) -> Result<Way, HjbError> {
    evaluation.reset(hamiltonian);
    let rate = evaluation.largest_rate();
    let mut way = Way { ended: false, solves: 0, discount: 0.0, growth: 1.0 };
    for decade in 2..=DECADES {
        way.discount = rate * 10f64.powi(-decade);
        let before = evaluation.size();
        for _ in 0..MOST {
            way.solves += 1;
            match evaluation.step(hamiltonian, way.discount) {
                Ok(change) if change <= CHANGE * evaluation.size() => break,
                Ok(_) => {}
                Err(HjbError::StationaryLinear { .. }) => return Ok(way),
                Err(e) => return Err(e),
            }
        }
        way.growth = if before > 0.0 { evaluation.size() / before } else { 1.0 };
        if until_ended && evaluation.mean_time().is_some() {
            way.ended = true;
            break;
        }
    }
    Ok(way)
}

/// The error for a way that did not end in a policy that ends the process.
pub(super) fn no_way(evaluation: &mut Evaluation, way: &Way, controlled: bool, point: impl Fn(usize) -> Vec<f64>) -> HjbError {
    let (node, value) = evaluation.extreme();
    if controlled && value > 0.0 && way.growth > GROWTH {
        return HjbError::InfiniteReward { point: point(node) };
    }
    let (node, limit) = evaluation.farthest(way.discount);
    HjbError::Unreachable { point: point(node), limit, controlled }
}

/// Whether V grows without bound as the discount vanishes because it pays to stay: then policy iteration, which increases V
/// for ever, has no limit.
///
/// # Errors
/// That itself, or a cost that is not finite.
pub(super) fn diagnose(
    evaluation: &mut Evaluation,
    hamiltonian: &mut Hamiltonian<'_>,
    point: impl Fn(usize) -> Vec<f64>,
) -> Result<(), HjbError> {
    let way = vanishing_discount(evaluation, hamiltonian, false)?;
    let (node, value) = evaluation.extreme();
    if value > 0.0 && way.growth > GROWTH { Err(HjbError::InfiniteReward { point: point(node) }) } else { Ok(()) }
}
