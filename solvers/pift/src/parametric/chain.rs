//! Paths of the chain under a policy, and the adjoint along them.
//!
//! ```text
//!   Y_{k+1} = m_k(Y_k) + lam_k g_k(Y_k) + sig_k W_k,    X = r(Y_N) - sum_k lam_k |g_k|^2/2 - c sum_k sig_k g_k . W_k,
//!   p_N = grad r(Y_N),   p_k = (Dm_k)' p_{k+1} + (Dg_k)' lam_k (t_k - g_k),   t_k = p_{k+1} - c (beta_k/sig_k) W_k,
//!   dX/dtheta = sum_k (dg_k/dtheta)' lam_k (t_k - g_k).
//! ```
//!
//! E X = J for c = 0 and c = 1 alike, the last sum being a martingale; with c = 1 and the optimal policy of the continuous problem
//! X = V(0, Y_0) on every path, so that its sample mean is a far better estimate of J than that with c = 0 (Girsanov's theorem).

use super::ParametricError;
use super::noise::{Noise, Purpose};
use super::objective::check_table;
use super::policy::{Adjoint, Policy, StateAt};
use super::pretrained::Pretrained;
use crate::ddpm::{Ddpm, DdpmStep};
use hjbridge_model::{Law, PointBlock, Points, PointsMut};
use rayon::prelude::*;

/// Paths that are worked on together.
pub(crate) const BLOCK: usize = 64;

/// A chain with its initial law, every step prepared: what policies are trained on.
pub struct SampledChain<'a> {
    ddpm: &'a Ddpm<'a>,
    initial: &'a dyn Law,
    steps: Vec<DdpmStep<'a>>,
}

/// Some paths from step `start` on; vectors over k - start.
pub(crate) struct Paths {
    pub start: usize,
    pub y: Vec<PointBlock>,
    pub score: Vec<PointBlock>,
    pub costate: Vec<PointBlock>,
    pub noise: Vec<PointBlock>,
    pub reward: Vec<f64>,
    /// lam_k |g_k|^2 / 2.
    pub cost: Vec<Vec<f64>>,
    /// sig_k g_k . W_k.
    pub martingale: Vec<Vec<f64>>,
}

impl Paths {
    pub(crate) fn at(&self, k: usize) -> StateAt<'_> {
        StateAt { step: k, y: self.y[k - self.start].as_points(), score: self.score[k - self.start].as_points() }
    }
}

impl<'a> SampledChain<'a> {
    /// Prepare every step of `ddpm`; paths start from `initial`.
    ///
    /// # Errors
    /// `Invalid` when the law lives in another dimension.
    pub fn new(ddpm: &'a Ddpm<'a>, initial: &'a dyn Law) -> Result<Self, ParametricError> {
        if initial.dim() != ddpm.dim() {
            let allowed = format!("{}, the dimension of the chain", ddpm.dim());
            return Err(ParametricError::invalid("initial law's dimension", initial.dim(), allowed));
        }
        Ok(SampledChain { ddpm, initial, steps: (0..ddpm.steps()).map(|k| ddpm.at(k)).collect() })
    }

    /// The chain.
    pub fn ddpm(&self) -> &'a Ddpm<'a> {
        self.ddpm
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.ddpm.dim()
    }

    /// N.
    pub fn steps(&self) -> usize {
        self.ddpm.steps()
    }

    pub(crate) fn step(&self, k: usize) -> &DdpmStep<'a> {
        &self.steps[k]
    }

    /// Check that a policy is one for this chain.
    pub(crate) fn check(&self, policy: &dyn Policy) -> Result<(), ParametricError> {
        for (field, found, expected) in [("policy.dim", policy.dim(), self.dim()), ("policy.steps", policy.steps(), self.steps())]
        {
            if found != expected {
                return Err(ParametricError::invalid(field, found, format!("{expected}, that of the chain")));
            }
        }
        policy.check()
    }

    /// (Ds_k(y))' p at each point.
    ///
    /// By the score's own derivative where it knows it (a network, whose Jacobian is not symmetric). Otherwise
    /// by a central difference along p, exact to O(1e-10) relative: the score of a law has a symmetric Jacobian, so that its
    /// transpose times p is its derivative along p.
    fn score_vjp(&self, k: usize, y: Points<'_>, p: Points<'_>) -> PointBlock {
        let (d, n) = (y.dim(), y.len());
        let mut out = PointBlock::zeros(d, n);
        if self.steps[k].score_vjp(y, p, out.as_mut()) {
            return out;
        }
        let mut scale = vec![0.0; n];
        for i in 0..d {
            for (s, p) in scale.iter_mut().zip(p.coord(i)) {
                *s += p * p;
            }
        }
        scale.iter_mut().for_each(|s| *s = if *s > 0.0 { DIFFERENCE / s.sqrt() } else { 0.0 });
        let mut both = PointBlock::zeros(d, 2 * n);
        for i in 0..d {
            let mut all = both.as_mut();
            let (up, down) = all.coord_mut(i).split_at_mut(n);
            for j in 0..n {
                let h = scale[j] * p.coord(i)[j];
                up[j] = y.coord(i)[j] + h;
                down[j] = y.coord(i)[j] - h;
            }
        }
        let mut scores = PointBlock::zeros(d, 2 * n);
        self.steps[k].score(both.as_points(), scores.as_mut());
        for i in 0..d {
            let (up, down) = scores.coord(i).split_at(n);
            for (j, o) in out.as_mut().coord_mut(i).iter_mut().enumerate() {
                *o = if scale[j] > 0.0 { (up[j] - down[j]) / (2.0 * scale[j]) } else { 0.0 };
            }
        }
        out
    }

    /// (Dm_k(y))' p plus what the adjoint of the policy holds.
    pub(crate) fn mean_vjp(&self, at: StateAt<'_>, p: Points<'_>, adjoint: Option<(&PointBlock, &PointBlock)>) -> PointBlock {
        let (d, n) = (p.dim(), p.len());
        let alpha = self.steps[at.step].alpha;
        let (root, gain) = (1.0 / alpha.sqrt(), (1.0 - alpha) / alpha.sqrt());
        let mut through = PointBlock::zeros(d, n);
        for i in 0..d {
            for (t, p) in through.as_mut().coord_mut(i).iter_mut().zip(p.coord(i)) {
                *t = gain * p;
            }
        }
        if let Some((_, score)) = adjoint {
            through.data_mut().iter_mut().zip(score.data()).for_each(|(t, s)| *t += s);
        }
        let mut out = self.score_vjp(at.step, at.y, through.as_points());
        for i in 0..d {
            for (o, p) in out.as_mut().coord_mut(i).iter_mut().zip(p.coord(i)) {
                *o += root * p;
            }
        }
        if let Some((y, _)) = adjoint {
            out.data_mut().iter_mut().zip(y.data()).for_each(|(o, y)| *o += y);
        }
        out
    }

    /// Run from `y` at step `start` under `policy`; noise of the paths `first ..`.
    pub(crate) fn simulate(&self, policy: &dyn Policy, noise: &Noise, start: usize, first: u64, y: PointBlock) -> Paths {
        let (d, n, steps) = (self.dim(), y.len(), self.steps());
        let mut paths = Paths {
            start,
            y: vec![y],
            score: Vec::with_capacity(steps - start),
            costate: Vec::with_capacity(steps - start),
            noise: Vec::with_capacity(steps - start),
            reward: vec![0.0; n],
            cost: Vec::with_capacity(steps - start),
            martingale: Vec::with_capacity(steps - start),
        };
        for k in start..steps {
            let step = &self.steps[k];
            let y = &paths.y[k - start];
            let (mut score, mut g, mut w) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n), PointBlock::zeros(d, n));
            step.score(y.as_points(), score.as_mut());
            policy.costate(StateAt { step: k, y: y.as_points(), score: score.as_points() }, g.as_mut());
            noise.normals(first, k, w.as_mut());
            let mut next = score.clone();
            step.controlled_mean_in_place(y.as_points(), next.as_mut());
            let (lam, sigma) = (step.lambda(), step.sigma);
            for ((next, g), w) in next.data_mut().iter_mut().zip(g.data()).zip(w.data()) {
                *next += lam * g + sigma * w;
            }
            let (mut cost, mut martingale) = (vec![0.0; n], vec![0.0; n]);
            for i in 0..d {
                for j in 0..n {
                    let (g, w) = (g.coord(i)[j], w.coord(i)[j]);
                    cost[j] += 0.5 * lam * g * g;
                    martingale[j] += sigma * g * w;
                }
            }
            paths.score.push(score);
            paths.costate.push(g);
            paths.noise.push(w);
            paths.cost.push(cost);
            paths.martingale.push(martingale);
            paths.y.push(next);
        }
        let last = &paths.y[steps - start];
        self.ddpm.reward().value(last.as_points(), &mut paths.reward);
        paths
    }

    /// Paths `first .. first + len` from the initial law.
    ///
    /// # Errors
    /// `NonFinite` for a state or reward that is not.
    pub(crate) fn paths(&self, policy: &dyn Policy, noise: &Noise, first: u64, len: usize) -> Result<Paths, ParametricError> {
        let mut y = PointBlock::zeros(self.dim(), len);
        noise.initial(self.initial, first, y.as_mut());
        let paths = self.simulate(policy, noise, 0, first, y);
        for (k, y) in paths.y.iter().enumerate() {
            if let Some(at) = y.data().iter().position(|x| !x.is_finite()) {
                let (value, path) = (y.data()[at], first + (at % len) as u64);
                let hint = ": the policy drives the state away (features that grow fast, or a step of training too long)";
                return Err(ParametricError::NonFinite { step: k, quantity: "the state", value, path, hint });
            }
        }
        if let Some(j) = paths.reward.iter().position(|x| !x.is_finite()) {
            let (step, value, path) = (self.steps(), paths.reward[j], first + j as u64);
            return Err(ParametricError::NonFinite { step, quantity: "the reward", value, path, hint: "" });
        }
        Ok(paths)
    }

    /// The adjoint along paths, from the end to their start. `visit` gets k and the target t_k; the gradient of the sum of X over
    /// the paths is added to `gradient`. Returns p at the start.
    pub(crate) fn adjoint(
        &self,
        policy: &dyn Policy,
        paths: &Paths,
        control_variate: bool,
        mut gradient: Option<&mut [f64]>,
        visit: &mut dyn FnMut(usize, PointBlock),
    ) -> PointBlock {
        let (d, n, steps) = (self.dim(), paths.reward.len(), self.steps());
        let mut p = PointBlock::zeros(d, n);
        self.ddpm.reward().gradient(paths.y[steps - paths.start].as_points(), p.as_mut());
        for k in (paths.start..steps).rev() {
            let (step, i) = (&self.steps[k], k - paths.start);
            let mut target = p.clone();
            if control_variate && step.sigma > 0.0 {
                let ratio = step.kl_weight / step.sigma;
                target.data_mut().iter_mut().zip(paths.noise[i].data()).for_each(|(t, w)| *t -= ratio * w);
            }
            let mut cotangent = target.clone();
            let lam = step.lambda();
            cotangent.data_mut().iter_mut().zip(paths.costate[i].data()).for_each(|(c, g)| *c = lam * (*c - g));
            let (mut y, mut score) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
            let adjoint = Adjoint { y: y.as_mut(), score: score.as_mut() };
            policy.backward(paths.at(k), cotangent.as_points(), Some(adjoint), gradient.as_deref_mut());
            p = self.mean_vjp(paths.at(k), p.as_points(), Some((&y, &score)));
            visit(k, target);
        }
        p
    }

    /// grad r(y) for k = N.
    pub(crate) fn reward_gradient(&self, y: Points<'_>, out: PointsMut<'_>) {
        self.ddpm.reward().gradient(y, out);
    }

    /// Y_0, ..., Y_N of `count` paths under `policy`.
    pub(crate) fn states(&self, policy: &dyn Policy, count: usize, noise: &Noise) -> Result<Vec<PointBlock>, ParametricError> {
        Ok(self.states_and_scores(policy, count, noise)?.0)
    }

    /// The same with the scores of the first N.
    fn states_and_scores(
        &self,
        policy: &dyn Policy,
        count: usize,
        noise: &Noise,
    ) -> Result<(Vec<PointBlock>, Vec<PointBlock>), ParametricError> {
        check_table("paths", count, self.dim().saturating_mul(2 * self.steps() + 1))?;
        let blocks: Vec<(Vec<PointBlock>, Vec<PointBlock>)> = (0..count.div_ceil(BLOCK))
            .into_par_iter()
            .map(|b| {
                let first = b * BLOCK;
                let paths = self.paths(policy, noise, first as u64, BLOCK.min(count - first))?;
                Ok((paths.y, paths.score))
            })
            .collect::<Result<_, ParametricError>>()?;
        let mut states = vec![PointBlock::zeros(self.dim(), count); self.steps() + 1];
        let mut scores = vec![PointBlock::zeros(self.dim(), count); self.steps()];
        for (b, (y, s)) in blocks.iter().enumerate() {
            for (whole, part) in states.iter_mut().zip(y).chain(scores.iter_mut().zip(s)) {
                for i in 0..self.dim() {
                    whole.as_mut().coord_mut(i)[b * BLOCK..b * BLOCK + part.len()].copy_from_slice(part.coord(i));
                }
            }
        }
        Ok((states, scores))
    }

    /// Y_0, ..., Y_N of `paths` paths under `policy`, the paths of [`SampledChain::evaluate`] with the same seed.
    ///
    /// # Errors
    /// `Invalid` for another chain's policy, `NonFinite`.
    pub fn sample(&self, policy: &dyn Policy, paths: usize, seed: u64) -> Result<Vec<PointBlock>, ParametricError> {
        self.check(policy)?;
        self.states(policy, paths, &Noise::new(seed, Purpose::Paths, EVALUATION))
    }

    /// Y_0 of these paths.
    ///
    /// # Errors
    /// `Invalid` for too many paths.
    pub fn initial(&self, paths: usize, seed: u64) -> Result<PointBlock, ParametricError> {
        check_table("paths", paths, self.dim())?;
        let mut y = PointBlock::zeros(self.dim(), paths);
        Noise::new(seed, Purpose::Paths, EVALUATION).initial(self.initial, 0, y.as_mut());
        Ok(y)
    }

    /// States of the pre-trained chain and their scores, k = 0..N-1.
    pub(crate) fn pretrained_states(&self, count: usize, seed: u64) -> Result<Vec<(PointBlock, PointBlock)>, ParametricError> {
        if count < 2 {
            return Err(ParametricError::invalid("sample", count, "at least 2 paths"));
        }
        let policy = Pretrained { dim: self.dim(), steps: self.steps() };
        let noise = Noise::new(seed, Purpose::Features, 2);
        let (states, scores) = self.states_and_scores(&policy, count, &noise)?;
        Ok(states.into_iter().zip(scores).collect())
    }
}

/// Round of the noise of an evaluation; training uses smaller ones.
pub(crate) const EVALUATION: u64 = u64::MAX;

/// Length of the difference in the state.
const DIFFERENCE: f64 = 1e-5;
