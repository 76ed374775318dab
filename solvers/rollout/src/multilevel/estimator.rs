//! The adaptive loop of multilevel Monte Carlo.

use std::time::Instant;

use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::multilevel::pair::{Payoff, run_pairs, samples_per_block, validate_coupling, validate_expansion};
use crate::multilevel::params::MultilevelParams;
use crate::params::RolloutParams;
use crate::reduce::{Estimate, Moments};
use crate::scheme::SdeScheme;
use crate::stop::StoppedBy;

/// A mean with its statistical error and its bias.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MultilevelEstimate {
    /// sum of the level means, with the extrapolation if asked for.
    pub mean: f64,
    /// Standard error of the sum.
    pub standard_error: f64,
    /// Estimate of the |bias| that remains.
    pub bias: f64,
}

impl MultilevelEstimate {
    /// Interval that covers the true mean with probability about `level`: the normal one widened by the bias on both sides.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] unless 0 < level < 1.
    pub fn confidence_interval(&self, level: f64) -> Result<(f64, f64), RolloutError> {
        let plain = Estimate { mean: self.mean, standard_error: self.standard_error, n: 0 };
        let (lower, upper) = plain.confidence_interval(level)?;
        Ok((lower - self.bias, upper + self.bias))
    }
}

/// One level.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct MultilevelLevel {
    /// N_l.
    pub steps: usize,
    /// Mean of Y_l (of P_0 on level 0).
    pub difference: Estimate,
    /// V_l.
    pub variance: f64,
    /// Mean of P_l on this level's paths.
    pub fine: Estimate,
    /// Variance of P_l.
    pub fine_variance: f64,
    /// C_l: steps per sample, coarse run included.
    pub cost: u64,
    /// E P_{l-1} from this level's paths minus the same from those of the level below, over three times the sum of the two
    /// standard errors: above 1 the levels do not estimate the same thing, and the telescoping sum is wrong.
    pub consistency: f64,
}

/// What a multilevel estimate did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MultilevelInfo {
    /// The levels, coarsest first.
    pub levels: Vec<MultilevelLevel>,
    /// |E Y_l| ~ N_l^-alpha, fitted over the levels from 1 on.
    pub alpha: f64,
    /// V_l ~ N_l^-beta.
    pub beta: f64,
    /// C_l ~ N_l^gamma.
    pub gamma: f64,
    /// Steps of all paths.
    pub path_steps: u64,
    /// Steps that a plain run on the finest level takes for the same standard error (with extrapolation its bias is larger
    /// than the estimate's: to match that as well it would need more).
    pub plain_path_steps: f64,
    /// `plain_path_steps / path_steps`.
    pub saving: f64,
    /// The ratio that theory gives for the measured variances: V(P_L) C_L / (sum sqrt(V_l C_l))^2.
    pub predicted_saving: f64,
    /// Whether standard error and bias are within what was asked for.
    pub converged: bool,
    /// Whether an interrupt or the limit of steps ended it before that.
    pub partial: bool,
    /// What ended it: `StandardError` when converged or out of levels, `Paths` at the limit of steps, or an interrupt.
    pub stopped_by: StoppedBy,
    /// Seconds spent (the only field that differs from run to run).
    pub seconds: f64,
}

/// Samples of one level so far.
struct Level {
    steps: usize,
    next_block: u64,
    moments: Moments,
    /// Steps per sample.
    cost: u64,
}

impl Level {
    fn mean(&self) -> f64 {
        self.moments.mean()[0].mean
    }
    fn variance(&self, quantity: usize) -> f64 {
        self.moments.covariance()[quantity * 5]
    }
}

/// Estimate the mean of `payoff` (the objective when none is given) of the ensemble's problem, feedback, scheme and initial
/// state. Seed, threads and antithetic pairs are those of the ensemble; level l takes its noise from `level + l`. Its paths,
/// steps and stop rule are not used; of a time grid, N_0 must be a multiple of its steps, which are divided equally.
///
/// Cost: see the [module](crate::multilevel). Requirements: a scheme that follows its Brownian path (strong order > 0).
///
/// # Errors
/// Parameters out of range, Sobol points, a scheme without a strong order, or with extrapolation one whose error has no expansion;
/// an interrupt before two levels have samples; otherwise as [`Ensemble::run`]. Missing the accuracy is not an error: see
/// [`MultilevelInfo::converged`].
pub fn multilevel<S: SdeScheme>(
    ensemble: &Ensemble<'_, S>,
    params: &MultilevelParams,
    payoff: Option<&Payoff<'_>>,
) -> Result<(MultilevelEstimate, MultilevelInfo), RolloutError> {
    multilevel_watched(ensemble, params, payoff, &|_, _| ())
}

/// [`multilevel`]; `progress` sees the steps of all paths done so far and those planned at present.
///
/// # Errors
/// As [`multilevel`].
pub fn multilevel_watched<S: SdeScheme>(
    ensemble: &Ensemble<'_, S>,
    params: &MultilevelParams,
    payoff: Option<&Payoff<'_>>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<(MultilevelEstimate, MultilevelInfo), RolloutError> {
    let start = Instant::now();
    params.validate()?;
    validate_coupling(ensemble)?;
    if S::STRONG_ORDER <= 0.0 {
        return Err(RolloutError::invalid("scheme", S::NAME, "one with a strong order: levels are coupled path by path"));
    }
    if params.extrapolate {
        validate_expansion(ensemble)?;
    }
    let base = ensemble.params();
    let top = base.level.checked_add(params.max_level);
    if top.is_none() || base.coarsening != 1 {
        let found = format!("level {}, coarsening {}", base.level, base.coarsening);
        return Err(RolloutError::invalid("ensemble", found, "coarsening 1, and levels below 2^32"));
    }
    let per_block = samples_per_block(base.antithetic);
    let mut run = Run { ensemble, params, payoff, progress, per_block, levels: Vec::new() };
    for _ in 0..=params.min_level {
        run.add_level();
    }
    let mut wanted = vec![params.pilot; run.levels.len()];
    let stopped_by = loop {
        if run.planned(&wanted) > params.max_path_steps && run.levels.iter().all(|l| l.moments.n() >= params.pilot) {
            break StoppedBy::Paths;
        }
        if run.sample(&wanted)? {
            break StoppedBy::Interrupt;
        }
        wanted = run.allocate();
        let missing = run.levels.iter().zip(&wanted).any(|(l, &n)| n as f64 > 1.01 * l.moments.n() as f64);
        if missing {
            continue;
        }
        if run.bias() <= params.bias_bound() || run.levels.len() > params.max_level as usize {
            break StoppedBy::StandardError;
        }
        run.add_level();
        wanted.push(params.pilot);
    };
    run.finish(stopped_by, start)
}

struct Run<'r, 'a, S> {
    ensemble: &'r Ensemble<'a, S>,
    params: &'r MultilevelParams,
    payoff: Option<&'r Payoff<'r>>,
    progress: &'r (dyn Fn(u64, u64) + Sync),
    per_block: u64,
    levels: Vec<Level>,
}

impl<S: SdeScheme> Run<'_, '_, S> {
    fn add_level(&mut self) {
        let (l, m) = (self.levels.len() as u32, u64::from(self.params.refinement));
        let steps = self.params.base_steps * m.pow(l) as usize;
        let coarse = if l == 0 { 0 } else { steps as u64 / m };
        let paths_per_sample = crate::noise::LANES as u64 / self.per_block;
        let cost = paths_per_sample * (steps as u64 + coarse);
        self.levels.push(Level { steps, next_block: 0, moments: Moments::new(4), cost });
    }

    /// 1/(M^p - 1).
    fn extra(&self) -> f64 {
        1.0 / (f64::from(self.params.refinement).powf(S::WEAK_ORDER) - 1.0)
    }

    /// The factor of E Y_l in the estimate.
    fn weight(&self, l: usize) -> f64 {
        if self.params.extrapolate && l + 1 == self.levels.len() { 1.0 + self.extra() } else { 1.0 }
    }

    /// Steps of all paths when every level has `wanted` samples.
    fn planned(&self, wanted: &[u64]) -> u64 {
        self.levels.iter().zip(wanted).map(|(l, &n)| l.cost.saturating_mul(n.max(l.moments.n()))).fold(0, u64::saturating_add)
    }

    /// Bring every level to `wanted` samples, in rounds over all levels so that an interrupted run has some of each; whether an
    /// interrupt ended it.
    fn sample(&mut self, wanted: &[u64]) -> Result<bool, RolloutError> {
        /// Rounds at most, and fewest blocks of a level in one: every round prepares the time levels anew.
        const ROUNDS: (u64, u64) = (8, 64);
        let planned = self.planned(wanted);
        let ends: Vec<u64> = wanted.iter().map(|n| n.div_ceil(self.per_block)).collect();
        let chunk = |(level, end): (&Level, &u64)| end.saturating_sub(level.next_block).div_ceil(ROUNDS.0).max(ROUNDS.1);
        let chunks: Vec<u64> = self.levels.iter().zip(&ends).map(chunk).collect();
        for _ in 0..ROUNDS.0 {
            let next: Vec<u64> =
                (0..ends.len()).map(|l| ends[l].min(self.levels[l].next_block.saturating_add(chunks[l]))).collect();
            if self.round(&next, planned)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Bring every level to these blocks; whether an interrupt ended it.
    fn round(&mut self, ends: &[u64], planned: u64) -> Result<bool, RolloutError> {
        let (base, m) = (self.ensemble.params(), self.params.refinement);
        for (l, &end) in ends.iter().enumerate() {
            let done: u64 = self.levels.iter().map(|l| l.cost * l.moments.n()).sum();
            let level = &mut self.levels[l];
            if end <= level.next_block {
                continue;
            }
            let (cost, progress) = (level.cost * self.per_block, self.progress);
            let watch = |blocks: u64| progress(done + blocks * cost, planned);
            let paths = end as usize * crate::noise::LANES;
            let params = RolloutParams { paths, steps: level.steps, level: base.level + l as u32, ..base.clone() };
            let coarse = RolloutParams { steps: level.steps / m as usize, coarsening: m, ..params.clone() };
            let fine = self.ensemble.with_size(params)?;
            let coarse = (l > 0).then(|| self.ensemble.with_size(coarse)).transpose()?;
            let blocks = level.next_block..end;
            level.next_block = run_pairs(&fine, coarse.as_ref(), blocks, self.payoff, 0.0, &mut level.moments, &watch)?;
            if level.next_block < end {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// V_l, not below a quarter of what the level under it leads to expect: a small sample may show no difference at all.
    fn variances(&self) -> Vec<f64> {
        let decay = f64::from(self.params.refinement).powf(2.0 * S::STRONG_ORDER.min(1.0));
        let mut out: Vec<f64> = self.levels.iter().map(|l| l.variance(0)).collect();
        for l in 2..out.len() {
            out[l] = out[l].max(0.25 * out[l - 1] / decay);
        }
        for (l, v) in out.iter_mut().enumerate() {
            *v *= self.weight(l).powi(2);
        }
        out
    }

    /// n_l.
    fn allocate(&self) -> Vec<u64> {
        let variances = self.variances();
        let cost = |l: usize| self.levels[l].cost as f64;
        let sum: f64 = variances.iter().enumerate().map(|(l, v)| (v * cost(l)).sqrt()).sum();
        let eps2 = self.params.standard_error * self.params.standard_error;
        let samples = |(l, v): (usize, &f64)| ((v / cost(l)).sqrt() * sum / eps2).ceil();
        variances.iter().enumerate().map(samples).map(|n| (n as u64).max(self.params.pilot)).collect()
    }

    /// The rate by which |E Y_l| decays, for judging the bias: fitted, but between 1/2 and the scheme's weak order.
    fn decay(&self) -> f64 {
        let alpha = self.rate(&|l| self.levels[l].mean().abs());
        if alpha.is_nan() { 0.5 } else { alpha.clamp(0.5, S::WEAK_ORDER.max(0.5)) }
    }

    /// What is left after level L. Without extrapolation the largest that the last three differences predict by their decay:
    /// |E Y_{L-j}| M^{-alpha j} / (M^alpha - 1). With it, by how much the last level changed the extrapolated value.
    fn bias(&self) -> f64 {
        let last = self.levels.len() - 1;
        let m = f64::from(self.params.refinement);
        if self.params.extrapolate {
            let expected = self.levels[last - 1].mean() / m.powf(S::WEAK_ORDER);
            return (self.levels[last].mean() - expected).abs() * self.extra();
        }
        let alpha = self.decay();
        let predicted = |j: usize| self.levels[last - j].mean().abs() * m.powf(-alpha * j as f64) / (m.powf(alpha) - 1.0);
        (0..last.min(3)).map(predicted).fold(0.0, f64::max)
    }

    /// a in quantity(l) ~ N_l^-a by least squares over l >= 1; NaN when there are fewer than two levels or no decay to see.
    fn rate(&self, quantity: &dyn Fn(usize) -> f64) -> f64 {
        let points: Vec<(f64, f64)> = (1..self.levels.len())
            .filter(|&l| quantity(l) > 0.0)
            .map(|l| ((self.levels[l].steps as f64).ln(), quantity(l).ln()))
            .collect();
        let n = points.len() as f64;
        let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
        let xx: f64 = points.iter().map(|p| (p.0 - x) * (p.0 - x)).sum();
        -points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / xx
    }

    fn finish(&mut self, stopped_by: StoppedBy, start: Instant) -> Result<(MultilevelEstimate, MultilevelInfo), RolloutError> {
        // An interrupt may have come before the newest levels had samples: the sum then ends below them.
        let sampled = self.levels.iter().take_while(|l| l.moments.n() >= 2).count();
        self.levels.truncate(sampled);
        if sampled < 2 {
            return Err(RolloutError::Interrupted { paths: self.levels.iter().map(|l| l.moments.n()).sum() });
        }
        let (mut mean, mut squares) = (0.0, 0.0);
        for (l, level) in self.levels.iter().enumerate() {
            mean += self.weight(l) * level.mean();
            squares += (self.weight(l) * level.moments.mean()[0].standard_error).powi(2);
        }
        let estimate = MultilevelEstimate { mean, standard_error: squares.sqrt(), bias: self.bias() };
        if !(mean.is_finite() && squares.is_finite()) {
            return Err(RolloutError::Overflow { quantity: "multilevel mean" });
        }
        let mut levels: Vec<MultilevelLevel> = Vec::with_capacity(self.levels.len());
        for level in &self.levels {
            let m = level.moments.mean();
            let consistency = levels.last().map_or(0.0, |below| {
                let errors = m[2].standard_error + below.fine.standard_error;
                (m[2].mean - below.fine.mean).abs() / (3.0 * errors)
            });
            let (variance, fine_variance) = (level.variance(0), level.variance(1));
            let (steps, cost) = (level.steps, level.cost);
            levels.push(MultilevelLevel { steps, difference: m[0], variance, fine: m[1], fine_variance, cost, consistency });
        }
        let last = &levels[levels.len() - 1];
        let path_steps = self.levels.iter().map(|l| l.cost * l.moments.n()).sum();
        let finest_cost = (last.steps * crate::noise::LANES) as f64 / self.per_block as f64;
        let plain_path_steps = last.fine_variance / squares * finest_cost;
        let root: f64 = (0..levels.len()).map(|l| self.weight(l) * (levels[l].variance * levels[l].cost as f64).sqrt()).sum();
        // The allocation is met to 1 %, hence the standard error to half of that.
        let accurate = levels.len() > self.params.min_level as usize
            && estimate.standard_error <= 1.01 * self.params.standard_error
            && estimate.bias <= self.params.bias_bound();
        let info = MultilevelInfo {
            alpha: self.rate(&|l| self.levels[l].mean().abs()),
            beta: self.rate(&|l| self.levels[l].variance(0)),
            gamma: -self.rate(&|l| self.levels[l].cost as f64),
            path_steps,
            plain_path_steps,
            saving: plain_path_steps / path_steps as f64,
            predicted_saving: last.fine_variance * finest_cost / (root * root),
            converged: accurate,
            partial: !matches!(stopped_by, StoppedBy::StandardError),
            stopped_by,
            levels,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((estimate, info))
    }
}
