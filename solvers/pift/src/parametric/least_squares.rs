//! Parametric PI-FT by least squares: backward over the steps, at each one the policy improvement projected on the features.
//!
//! ```text
//!   g^(m+1) = Theta^(m+1) phi,   Theta^(m+1) = E_nu[ G'(m(y) + lam g^(m)(y)) phi(y)' ] E_nu[ phi phi' ]^-1,   G' = E grad V_{k+1}(. + sig W),
//! ```
//!
//! nu the law of the sampled states. The projection does not lengthen, so the iteration contracts in L2(nu) with the rho_k of exact
//! PI-FT, to a policy with |D_inf - D*| <= |D* - P D*| / sqrt(1 - rho^2). Where it does not contract the step is halved; where that
//! does not help either (the one-step problem is not concave) it ends in an error. When D* lies in the span of the features the
//! result is exact: phi = (1, y) for linear-quadratic problems. Prefer exact PI-FT on a grid for d <= 2, and gradient ascent
//! ([`Ascent`](super::Ascent)) for policies that are not linear and for the last few per cent of the objective.
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models* (arXiv:2412.18164), for the iteration.

use super::ParametricError;
use super::chain::{BLOCK, SampledChain};
use super::expectation::{ExpectationRule, GradientRule, Rule, Target};
use super::linear::LinearPolicy;
use super::noise::{Noise, Purpose};
use super::objective::{ObjectiveInfo, check_paths, check_table};
use super::policy::{Policy, StateAt};
use super::pretrained::Pretrained;
use super::regression::Design;
use hjbridge_model::PointBlock;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the states are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateLaw {
    /// Paths of the pre-trained chain.
    Pretrained,
    /// Paths of the policy at the beginning of the sweep: the first sweep of a new policy is pre-trained.
    #[default]
    Current,
}

/// Parameters of [`LeastSquares`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeastSquaresParams {
    /// Paths whose states are the data; even.
    pub paths: usize,
    /// Seed of the paths and of the expectations.
    pub seed: u64,
    /// Where the states are sampled.
    pub states: StateLaw,
    /// What stands for grad V_{k+1}.
    pub gradient: GradientRule,
    /// E over W.
    pub expectation: ExpectationRule,
    /// The inner iteration ends when |D^(m+1) - D^(m)| <= tolerance |D^(m+1)| in L2 of the states.
    pub tolerance: f64,
    /// Most inner iterations; more is an error.
    pub max_iterations: usize,
    /// Ridge relative to the largest singular value of the features over the states. Next to nothing for polynomials and bells;
    /// about 1e-3 for cosines, whose combinations otherwise run away where there are few states.
    pub ridge: f64,
    /// Backward sweeps; more than one when the states follow the policy.
    pub sweeps: usize,
}

impl Default for LeastSquaresParams {
    fn default() -> Self {
        LeastSquaresParams {
            paths: 4096,
            seed: 1,
            states: StateLaw::default(),
            gradient: GradientRule::default(),
            expectation: ExpectationRule::default(),
            tolerance: 1e-8,
            max_iterations: 100,
            ridge: 1e-8,
            sweeps: 1,
        }
    }
}

impl LeastSquaresParams {
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn check(&self) -> Result<(), ParametricError> {
        check_paths(self.paths)?;
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(ParametricError::invalid("tolerance", self.tolerance, "between 0 and 1"));
        }
        if !(self.ridge >= 0.0 && self.ridge < 1.0) {
            return Err(ParametricError::invalid("ridge", self.ridge, "at least 0 and below 1"));
        }
        for (field, value) in [("max_iterations", self.max_iterations), ("sweeps", self.sweeps)] {
            if value == 0 {
                return Err(ParametricError::invalid(field, value, "at least 1"));
            }
        }
        Ok(())
    }
}

/// What happened at a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitInfo {
    /// Sweep, from 0.
    pub sweep: usize,
    /// k.
    pub k: usize,
    /// Condition number of the features over the states, before the ridge.
    pub condition: f64,
    /// |D^(m+1) - D^(m)| in L2 of the states, m = 0, 1, ...
    pub updates: Vec<f64>,
    /// Largest ratio of two updates that rounding does not touch, undamped.
    pub contraction: Option<f64>,
    /// Largest lam |G'(z) - G'(z')| / |z - z'| met by two iterates at a state: a lower bound for rho_k, and an upper one for the
    /// contraction.
    pub rho: Option<f64>,
    /// Damping in the end; 1 when there was none.
    pub damping: f64,
    /// |D| in L2 of the states.
    pub shift: f64,
    /// |D - lam t| in L2 of the states, t the targets: what the features do not span, and the noise of the targets.
    pub residual: f64,
}

/// A training that can be stored and continued, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeastSquaresState {
    /// The policy so far.
    pub policy: LinearPolicy,
    /// Sweep, from 0.
    pub sweep: usize,
    /// Steps of this sweep still to do; step `remaining - 1` is next.
    pub remaining: usize,
    /// The steps done.
    pub info: Vec<FitInfo>,
    /// What the policy achieved before the first sweep and after each one, on paths that are not those of the fits.
    pub achieved: Vec<ObjectiveInfo>,
    /// The policy at the beginning of the sweep, whose paths give the states.
    rollout: Option<LinearPolicy>,
}

impl LeastSquaresState {
    /// Whether its parts fit together and `chain`; those of a training read from a file may not.
    ///
    /// # Errors
    /// `Invalid`, naming what does not fit.
    pub fn check(&self, chain: &SampledChain<'_>) -> Result<(), ParametricError> {
        for policy in std::iter::once(&self.policy).chain(&self.rollout) {
            chain.check(policy)?;
        }
        if self.remaining > chain.steps() {
            let allowed = format!("at most {}, the steps of the chain", chain.steps());
            return Err(ParametricError::invalid("remaining", self.remaining, allowed));
        }
        Ok(())
    }
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LeastSquaresInfo {
    /// Whether all sweeps are done; otherwise it was interrupted.
    pub finished: bool,
    /// Steps fitted in this call.
    pub fitted: usize,
}

/// Parametric PI-FT by least squares.
pub struct LeastSquares<'a> {
    chain: &'a SampledChain<'a>,
    params: LeastSquaresParams,
    rule: Rule,
    interrupt: Option<&'a AtomicBool>,
}

impl<'a> LeastSquares<'a> {
    /// Training on `chain`.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn new(chain: &'a SampledChain<'a>, params: LeastSquaresParams) -> Result<Self, ParametricError> {
        params.check()?;
        let rule = Rule::new(params.expectation, chain.dim(), params.seed)?;
        Ok(LeastSquares { chain, params, rule, interrupt: None })
    }

    /// Stop after the step at hand when somebody sets `flag`.
    pub fn with_interrupt(mut self, flag: &'a AtomicBool) -> Self {
        self.interrupt = Some(flag);
        self
    }

    /// The state before the first step.
    ///
    /// # Errors
    /// `Invalid` for a policy of another chain.
    pub fn start(&self, policy: LinearPolicy) -> Result<LeastSquaresState, ParametricError> {
        self.chain.check(&policy)?;
        let rollout = self.rollout_of(&policy);
        Ok(LeastSquaresState { policy, sweep: 0, remaining: self.chain.steps(), info: Vec::new(), achieved: Vec::new(), rollout })
    }

    fn rollout_of(&self, policy: &LinearPolicy) -> Option<LinearPolicy> {
        (self.params.states == StateLaw::Current).then(|| policy.clone())
    }

    /// Y_0, ..., Y_N of the sweep at hand, the data of the regressions.
    ///
    /// # Errors
    /// `NonFinite`.
    pub fn states(&self, state: &LeastSquaresState) -> Result<Vec<PointBlock>, ParametricError> {
        let pretrained = Pretrained { dim: self.chain.dim(), steps: self.chain.steps() };
        let rollout: &dyn Policy = state.rollout.as_ref().map_or(&pretrained, |p| p);
        let noise = Noise::new(self.params.seed, Purpose::Paths, state.sweep as u64);
        self.chain.states(rollout, self.params.paths, &noise)
    }

    /// Train to the end; `progress` sees the state after every step.
    ///
    /// # Errors
    /// `NonFinite`, `RankDeficient`, `NoConvergence`, each with its step; `state` then holds the steps before.
    pub fn run(
        &self,
        state: &mut LeastSquaresState,
        progress: &mut dyn FnMut(&LeastSquaresState),
    ) -> Result<LeastSquaresInfo, ParametricError> {
        state.check(self.chain)?;
        check_table("paths", self.params.paths, state.policy.features())?;
        let mut fitted = 0;
        let evaluate = |policy: &LinearPolicy| self.chain.evaluate(policy, self.params.paths, self.params.seed);
        if state.achieved.is_empty() {
            state.achieved.push(evaluate(&state.policy)?);
        }
        while state.sweep < self.params.sweeps {
            let states = self.states(state)?;
            while state.remaining > 0 {
                if self.interrupt.is_some_and(|f| f.load(Ordering::Relaxed)) {
                    return Ok(LeastSquaresInfo { finished: false, fitted });
                }
                let k = state.remaining - 1;
                let info = self.fit(&mut state.policy, state.sweep, k, &states[k])?;
                state.info.push(info);
                state.remaining = k;
                fitted += 1;
                progress(state);
            }
            state.achieved.push(evaluate(&state.policy)?);
            state.sweep += 1;
            if state.sweep < self.params.sweeps {
                state.remaining = self.chain.steps();
                state.rollout = self.rollout_of(&state.policy);
            }
        }
        Ok(LeastSquaresInfo { finished: true, fitted })
    }

    /// The inner iteration of step k at the states `y`.
    fn fit(&self, policy: &mut LinearPolicy, sweep: usize, k: usize, y: &PointBlock) -> Result<FitInfo, ParametricError> {
        let (step, n, d) = (self.chain.step(k), y.len(), y.dim());
        let lam = step.lambda();
        let (mut score, mut phi) = (PointBlock::zeros(d, n), PointBlock::zeros(policy.features(), n));
        self.each_block(n, &mut [(&mut score, &|r, out| step.score(y.as_points().window(r), out))]);
        let at = |r: std::ops::Range<usize>| StateAt {
            step: k,
            y: y.as_points().window(r.clone()),
            score: score.as_points().window(r),
        };
        self.each_block(n, &mut [(&mut phi, &|r, out| policy.features_at(at(r), out))]);
        let mut mean = score.clone();
        step.controlled_mean_in_place(y.as_points(), mean.as_mut());
        let design = Design::new(k, &phi, self.params.ridge)?;
        let continuation = Noise::new(self.params.seed, Purpose::Continuation, sweep as u64);
        let mut g = PointBlock::zeros(d, n);
        policy.costate_of(k, phi.as_points(), g.as_mut());
        let mut info = FitInfo {
            sweep,
            k,
            condition: design.condition(),
            updates: Vec::new(),
            contraction: None,
            rho: None,
            damping: 1.0,
            shift: 0.0,
            residual: 0.0,
        };
        let mut before: Option<(PointBlock, PointBlock)> = None;
        let mut damped_at = 0;
        loop {
            let targets = {
                let target = Target {
                    chain: self.chain,
                    policy,
                    rule: &self.rule,
                    gradient: self.params.gradient,
                    continuation: &continuation,
                    k,
                };
                let mut targets = PointBlock::zeros(d, n);
                let evaluate = |r: std::ops::Range<usize>, mut out: hjbridge_model::PointsMut<'_>| {
                    let mut centers = PointBlock::zeros(d, r.len());
                    for i in 0..d {
                        let own = centers.as_mut();
                        let (m, g) = (&mean.coord(i)[r.clone()], &g.coord(i)[r.clone()]);
                        own_coord(own, i, m, g, lam);
                    }
                    let t = target.at(r.start as u64, &centers);
                    for i in 0..d {
                        out.coord_mut(i).copy_from_slice(t.coord(i));
                    }
                };
                self.each_block(n, &mut [(&mut targets, &evaluate)]);
                targets
            };
            check_finite(k, &targets)?;
            if let Some((old_g, old_targets)) = &before {
                let rho = largest_ratio(&targets, old_targets, &g, old_g);
                info.rho = Some(info.rho.map_or(rho, |r| r.max(rho)));
            }
            let fitted = design.solve(&targets);
            let w = info.damping;
            for (t, new) in policy.theta_mut(k).iter_mut().zip(&fitted) {
                *t += w * (new - *t);
            }
            let mut next = PointBlock::zeros(d, n);
            policy.costate_of(k, phi.as_points(), next.as_mut());
            let update = lam * rms(next.data(), g.data(), n) / w;
            info.shift = lam * rms(next.data(), &[], n);
            info.residual = lam * rms(next.data(), targets.data(), n);
            info.updates.push(update);
            before = Some((std::mem::replace(&mut g, next), targets));
            let tolerance = self.params.tolerance * info.shift;
            let m = info.updates.len();
            let ratio = if m >= 2 { update / info.updates[m - 2] } else { 0.0 };
            // below this, an update is rounding
            if m >= 2 && update > 1e-12 * info.shift && w == 1.0 {
                info.contraction = Some(info.contraction.map_or(ratio, |c| c.max(ratio)));
            }
            if update <= tolerance || lam == 0.0 {
                return Ok(info);
            }
            let lost = !update.is_finite() || info.damping < 1e-2;
            if lost || m >= self.params.max_iterations {
                return Err(ParametricError::NoConvergence {
                    step: k,
                    iterations: m,
                    update,
                    tolerance,
                    contraction: ratio,
                    damping: info.damping,
                });
            }
            // a damping shows in the update after the next
            if ratio >= 0.95 && m >= damped_at + 2 {
                info.damping *= 0.5;
                damped_at = m;
            }
        }
    }

    /// Fill blocks of points from windows of the states, in parallel.
    fn each_block(&self, n: usize, jobs: &mut [Job<'_>]) {
        for (whole, job) in jobs {
            let d = whole.dim();
            let parts: Vec<PointBlock> = (0..n.div_ceil(BLOCK))
                .into_par_iter()
                .map(|b| {
                    let range = b * BLOCK..(b * BLOCK + BLOCK).min(n);
                    let mut out = PointBlock::zeros(d, range.len());
                    job(range, out.as_mut());
                    out
                })
                .collect();
            for (b, part) in parts.iter().enumerate() {
                for i in 0..d {
                    whole.as_mut().coord_mut(i)[b * BLOCK..b * BLOCK + part.len()].copy_from_slice(part.coord(i));
                }
            }
        }
    }
}

type Job<'j> = (&'j mut PointBlock, &'j (dyn Fn(std::ops::Range<usize>, hjbridge_model::PointsMut<'_>) + Sync));

fn own_coord(mut own: hjbridge_model::PointsMut<'_>, i: usize, m: &[f64], g: &[f64], lam: f64) {
    for ((c, m), g) in own.coord_mut(i).iter_mut().zip(m).zip(g) {
        *c = m + lam * g;
    }
}

/// sqrt of the mean over n points of |a - b|^2; b empty is zero.
fn rms(a: &[f64], b: &[f64], n: usize) -> f64 {
    let sum: f64 = if b.is_empty() { a.iter().map(|a| a * a).sum() } else { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    (sum / n as f64).sqrt()
}

/// max over the points of |a - a'| / |b - b'|, where the denominator is not small.
fn largest_ratio(a: &PointBlock, a_old: &PointBlock, b: &PointBlock, b_old: &PointBlock) -> f64 {
    let squared =
        |x: &PointBlock, y: &PointBlock, j: usize| (0..x.dim()).map(|i| (x.coord(i)[j] - y.coord(i)[j]).powi(2)).sum::<f64>();
    let bottoms: Vec<f64> = (0..b.len()).map(|j| squared(b, b_old, j)).collect();
    let top = bottoms.iter().fold(0.0, |m: f64, &x| m.max(x));
    let scale = b.data().iter().fold(0.0, |m: f64, x| m.max(x * x));
    (0..b.len())
        .filter(|&j| bottoms[j] > 1e-6 * top && bottoms[j] > 1e-16 * scale)
        .fold(0.0, |m: f64, j| m.max((squared(a, a_old, j) / bottoms[j]).sqrt()))
}

fn check_finite(step: usize, targets: &PointBlock) -> Result<(), ParametricError> {
    match targets.data().iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(ParametricError::NonFinite {
            step,
            quantity: "the gradient of the value",
            value: targets.data()[at],
            path: (at % targets.len()) as u64,
            hint: ": the iteration diverges, or the reward has no gradient there",
        }),
    }
}
