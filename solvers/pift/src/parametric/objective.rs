//! What a policy achieves, estimated from paths, with a bound on what any policy could achieve.
//!
//! On every path X = r(Y_N) - sum_k beta_k KL_k - sum_k sig_k g_k . W_k, with E X = J. With a constant beta, X/beta is the reward over
//! beta minus the log likelihood ratio of the controlled to the pre-trained path, so that
//!
//! ```text
//!   J(policy) <= max J <= E V_soft(Y_0) <= beta log E exp(X / beta),
//! ```
//!
//! the last of which is estimated from the same paths: a certificate of optimality in any dimension. Its sample estimate is good
//! once the policy is (X then hardly varies), and low-biased before.

use super::ParametricError;
use super::chain::{BLOCK, EVALUATION, SampledChain};
use super::noise::{Noise, Purpose};
use super::policy::Policy;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// A mean over paths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error, from antithetic pairs as units.
    pub standard_error: f64,
}

impl Mean {
    /// Of values path by path, 2i and 2i + 1 an antithetic pair; at least two pairs.
    pub(crate) fn of_pairs(values: &[f64]) -> Mean {
        let pairs: Vec<f64> = values.chunks_exact(2).map(|p| 0.5 * (p[0] + p[1])).collect();
        let n = pairs.len() as f64;
        let mean = pairs.iter().sum::<f64>() / n;
        let variance = pairs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Mean { mean, standard_error: (variance / n).sqrt() }
    }

    /// The same with a variate of mean zero subtracted by the coefficient of least variance over the pairs.
    pub(crate) fn with_variate(values: &[f64], variate: &[f64]) -> Mean {
        let (x, m) = (Mean::of_pairs(values), Mean::of_pairs(variate));
        let (mut both, mut square) = (0.0, 0.0);
        for (v, w) in values.chunks_exact(2).zip(variate.chunks_exact(2)) {
            let (a, b) = (0.5 * (v[0] + v[1]) - x.mean, 0.5 * (w[0] + w[1]) - m.mean);
            both += a * b;
            square += b * b;
        }
        let c = if square > 0.0 { both / square } else { 0.0 };
        let rest: Vec<f64> = values.iter().zip(variate).map(|(v, w)| v - c * w).collect();
        Mean::of_pairs(&rest)
    }
}

/// Totals of each path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub reward: Vec<f64>,
    pub cost: Vec<f64>,
    pub kl: Vec<f64>,
    pub martingale: Vec<f64>,
}

impl Totals {
    pub(crate) fn append(&mut self, mut other: Totals) {
        self.reward.append(&mut other.reward);
        self.cost.append(&mut other.cost);
        self.kl.append(&mut other.kl);
        self.martingale.append(&mut other.martingale);
    }

    /// X of each path, with or without the martingale.
    pub(crate) fn objective(&self, control_variate: bool) -> Vec<f64> {
        let c = if control_variate { 1.0 } else { 0.0 };
        (0..self.reward.len()).map(|j| self.reward[j] - self.cost[j] - c * self.martingale[j]).collect()
    }
}

/// What a policy achieves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveInfo {
    /// Paths.
    pub paths: usize,
    /// J, by the mean of reward minus cost with the martingale as control variate, its coefficient fitted.
    pub objective: Mean,
    /// J, by the mean of reward minus cost: a larger error.
    pub plain: Mean,
    /// E r(Y_N).
    pub reward: Mean,
    /// sum_k KL of the steps.
    pub kl: Mean,
    /// beta log E exp(X/beta), an upper bound of max J; none when beta varies.
    pub upper_bound: Option<Mean>,
}

impl<'a> SampledChain<'a> {
    /// Totals of paths `0..count`, blocks in parallel, in the order of the paths.
    pub(crate) fn totals(&self, policy: &dyn Policy, count: usize, noise: &Noise) -> Result<Totals, ParametricError> {
        let blocks: Vec<Totals> = (0..count.div_ceil(BLOCK))
            .into_par_iter()
            .map(|b| {
                let first = b * BLOCK;
                Ok(self.totals_of(&self.paths(policy, noise, first as u64, BLOCK.min(count - first))?))
            })
            .collect::<Result<_, ParametricError>>()?;
        let mut all = Totals::default();
        blocks.into_iter().for_each(|b| all.append(b));
        Ok(all)
    }

    pub(crate) fn totals_of(&self, paths: &super::chain::Paths) -> Totals {
        let n = paths.reward.len();
        let mut totals = Totals { reward: paths.reward.clone(), cost: vec![0.0; n], kl: vec![0.0; n], martingale: vec![0.0; n] };
        for (i, (cost, martingale)) in paths.cost.iter().zip(&paths.martingale).enumerate() {
            let beta = self.step(paths.start + i).kl_weight;
            for j in 0..n {
                totals.cost[j] += cost[j];
                totals.kl[j] += cost[j] / beta;
                totals.martingale[j] += martingale[j];
            }
        }
        totals
    }

    /// What `policy` achieves over `paths` paths of `seed`.
    ///
    /// # Errors
    /// `Invalid` for another chain's policy or a number of paths that is odd or below 4, `NonFinite`.
    pub fn evaluate(&self, policy: &dyn Policy, paths: usize, seed: u64) -> Result<ObjectiveInfo, ParametricError> {
        self.check(policy)?;
        check_paths(paths)?;
        Ok(self.info(&self.totals(policy, paths, &Noise::new(seed, Purpose::Paths, EVALUATION))?))
    }

    pub(crate) fn info(&self, totals: &Totals) -> ObjectiveInfo {
        let x = totals.objective(true);
        let weights = self.ddpm().kl_weights();
        let constant = weights.iter().all(|b| *b == weights[0]);
        let upper_bound = constant.then(|| {
            let beta = weights[0];
            let top = x.iter().fold(f64::NEG_INFINITY, |m: f64, &x| m.max(x));
            let tilted: Vec<f64> = x.iter().map(|x| ((x - top) / beta).exp()).collect();
            let m = Mean::of_pairs(&tilted);
            Mean { mean: top + beta * m.mean.ln(), standard_error: beta * m.standard_error / m.mean }
        });
        ObjectiveInfo {
            paths: x.len(),
            objective: Mean::with_variate(&totals.objective(false), &totals.martingale),
            plain: Mean::of_pairs(&totals.objective(false)),
            reward: Mean::of_pairs(&totals.reward),
            kl: Mean::of_pairs(&totals.kl),
            upper_bound,
        }
    }
}

/// Most paths of an estimate.
const MOST_PATHS: usize = 1 << 24;

/// Most numbers in one table: 2 GiB.
const MOST_NUMBERS: usize = 1 << 28;

/// Pairs, at least two of them.
pub(crate) fn check_paths(paths: usize) -> Result<(), ParametricError> {
    if !(4..=MOST_PATHS).contains(&paths) || !paths.is_multiple_of(2) {
        let allowed = format!("an even number of at least 4 (antithetic pairs) and at most {MOST_PATHS}");
        return Err(ParametricError::invalid("paths", paths, allowed));
    }
    Ok(())
}

/// Check that a table of `each` numbers for each of `paths` paths is not too large.
pub(crate) fn check_table(field: &str, paths: usize, each: usize) -> Result<(), ParametricError> {
    if paths.saturating_mul(each) > MOST_NUMBERS {
        let allowed = format!("at most {} with {each} numbers for each path (2 GiB)", MOST_NUMBERS / each.max(1));
        return Err(ParametricError::invalid(field, paths, allowed));
    }
    Ok(())
}
