//! The discrete chain that a pre-trained denoising model runs and that PI-FT controls.
//!
//! Generation order k = 0..N-1, times 0 = t_0 < ... < t_N = T (t_k = k T/N unless another [`TimeGrid`] is chosen):
//!
//! ```text
//!   Y_{k+1} = (Y_k + (1 - a_k) U_k) / sqrt(a_k) + sig_k W_k,      pre-trained  U_k = s(t_k, Y_k),
//!   step cost  beta_k KL = beta_k (1 - a_k)^2 / (2 a_k sig_k^2) |U_k - s_k|^2.
//! ```
//!
//! beta_k = beta(t_k), not scaled by h: the KL divergence of one step already carries the h. The pre-trained kernel has mean
//! m_k(y) = (y + (1 - a_k) s_k(y)) / sqrt(a_k), which by Tweedie's formula is E[Y_{k+1} | Y_k = y] of the noising process
//! when a_k = exp(-int b): choose [`AlphaRule::ExpIntegral`] unless a published chain with 1 - b h has to be reproduced.
//! Both rules give a chain that converges to the continuous problem with order 1 in h.
//!
//! References: Ho, Jain, Abbeel, *Denoising diffusion probabilistic models* (arXiv:2006.11239); Han, Razaviyayn, Xu,
//! *Stochastic Control for Fine-tuning Diffusion Models* (arXiv:2412.18164).

use crate::error::PiFtError;
use crate::rules::{AlphaRule, VarianceRule, variances};
use crate::time_grid::TimeGrid;
use hjbridge_model::{Feedback, FineTuning, Points, PointsMut, ScalarField, VectorField};
use serde::{Deserialize, Serialize};

/// Parameters of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DdpmParams {
    /// N, the number of steps; at least 1.
    pub steps: usize,
    /// Rule for a_k.
    pub alpha: AlphaRule,
    /// Rule for sig_k^2.
    pub variance: VarianceRule,
    /// Where the t_k lie.
    pub time_grid: TimeGrid,
}

impl Default for DdpmParams {
    fn default() -> Self {
        DdpmParams { steps: 64, alpha: AlphaRule::default(), variance: VarianceRule::default(), time_grid: TimeGrid::default() }
    }
}

/// What a chain is made of when there is no `FineTuning` at hand.
pub struct DdpmParts<'a, 'f> {
    /// T > 0.
    pub horizon: f64,
    /// b(t), generation time.
    pub rate: &'f dyn Fn(f64) -> f64,
    /// int_{t0}^{t1} b.
    pub integral: &'f dyn Fn(f64, f64) -> f64,
    /// s(t, y).
    pub score: &'a dyn Feedback,
    /// r.
    pub reward: &'a dyn ScalarField,
    /// beta(t) > 0.
    pub kl_weight: &'f dyn Fn(f64) -> f64,
}

/// The discrete chain: N, a_k, sig_k, beta_k, t_k and the score at t_k.
pub struct Ddpm<'a> {
    params: DdpmParams,
    dim: usize,
    horizon: f64,
    times: Vec<f64>,
    alpha: Vec<f64>,
    variance: Vec<f64>,
    kl_weight: Vec<f64>,
    score: &'a dyn Feedback,
    reward: &'a dyn ScalarField,
}

impl<'a> Ddpm<'a> {
    /// The chain of a fine-tuning problem.
    ///
    /// # Errors
    /// As [`Ddpm::from_parts`].
    pub fn new(problem: &'a FineTuning, params: DdpmParams) -> Result<Self, PiFtError> {
        let schedule = problem.schedule();
        Ddpm::from_parts(
            params,
            DdpmParts {
                horizon: schedule.horizon(),
                rate: &|t| schedule.rate(t),
                integral: &|t0, t1| schedule.integral(t0, t1),
                score: problem.score(),
                reward: problem.reward(),
                kl_weight: &|t| problem.kl_weight().at(t),
            },
        )
    }

    /// Build the chain from its parts.
    ///
    /// # Errors
    /// `Invalid` when N = 0, T is not positive, a_k is not in (0, 1) (with [`AlphaRule::Linear`]: too few steps), beta_k is not
    /// positive, C is negative, or the score and the reward do not live in the same space.
    pub fn from_parts(params: DdpmParams, parts: DdpmParts<'a, '_>) -> Result<Self, PiFtError> {
        let DdpmParts { horizon, rate, integral, score, reward, kl_weight } = parts;
        let n = params.steps;
        if n == 0 {
            return Err(PiFtError::invalid("steps", n, "at least 1"));
        }
        if !(horizon > 0.0 && horizon.is_finite()) {
            return Err(PiFtError::invalid("horizon", horizon, "positive and finite"));
        }
        let dim = score.dim();
        if dim == 0 || score.control_dim() != dim {
            return Err(PiFtError::invalid("score", score.control_dim(), format!("a field from R^{dim} to itself, dim >= 1")));
        }
        if reward.dim() != dim {
            return Err(PiFtError::invalid("reward.dim", reward.dim(), format!("{dim}, the dimension of the score")));
        }
        let times = params.time_grid.times(n, horizon, integral);
        let mut alpha = Vec::with_capacity(n);
        let mut kl = Vec::with_capacity(n);
        for k in 0..n {
            let (rule, a) = match params.alpha {
                AlphaRule::ExpIntegral => ("exp(-int b)", (-integral(times[k], times[k + 1])).exp()),
                AlphaRule::Linear => ("1 - b h", 1.0 - rate(times[k]) * (times[k + 1] - times[k])),
            };
            if !(a > 0.0 && a < 1.0) {
                return Err(PiFtError::invalid(format!("alpha[{k}]"), a, format!("{rule} in (0, 1): b > 0, and steps enough")));
            }
            let beta = kl_weight(times[k]);
            if !(beta > 0.0 && beta.is_finite()) {
                return Err(PiFtError::invalid(format!("kl_weight at t = {}", times[k]), beta, "positive and finite"));
            }
            alpha.push(a);
            kl.push(beta);
        }
        let variance = variances(params.variance, &alpha)?;
        Ok(Ddpm { params, dim, horizon, times, alpha, variance, kl_weight: kl, score, reward })
    }

    /// The parameters it was built with.
    pub fn params(&self) -> &DdpmParams {
        &self.params
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// N.
    pub fn steps(&self) -> usize {
        self.alpha.len()
    }

    /// T.
    pub fn horizon(&self) -> f64 {
        self.horizon
    }

    /// The longest t_{k+1} - t_k.
    pub fn longest_step(&self) -> f64 {
        self.times.windows(2).fold(0.0, |h, t| h.max(t[1] - t[0]))
    }

    /// t_0, ..., t_N.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// a_0, ..., a_{N-1}.
    pub fn alphas(&self) -> &[f64] {
        &self.alpha
    }

    /// sig_0^2, ..., sig_{N-1}^2.
    pub fn variances(&self) -> &[f64] {
        &self.variance
    }

    /// beta_0, ..., beta_{N-1}.
    pub fn kl_weights(&self) -> &[f64] {
        &self.kl_weight
    }

    /// s.
    pub fn score(&self) -> &'a dyn Feedback {
        self.score
    }

    /// r.
    pub fn reward(&self) -> &'a dyn ScalarField {
        self.reward
    }

    /// Step k with its score prepared.
    ///
    /// # Panics
    /// When `k >= N`, as slice indexing does.
    pub fn at(&self, k: usize) -> DdpmStep<'_> {
        DdpmStep {
            k,
            time: self.times[k],
            alpha: self.alpha[k],
            sigma: self.variance[k].sqrt(),
            kl_weight: self.kl_weight[k],
            score: self.score.at(self.times[k]),
        }
    }
}

/// One step of the chain.
pub struct DdpmStep<'a> {
    /// k.
    pub k: usize,
    /// t_k.
    pub time: f64,
    /// a_k.
    pub alpha: f64,
    /// sig_k; zero for a deterministic step.
    pub sigma: f64,
    /// beta_k.
    pub kl_weight: f64,
    score: Box<dyn VectorField + 'a>,
}

impl DdpmStep<'_> {
    /// lam = sig_k^2 / beta_k, the weight of the one-step problem in shift form.
    pub fn lambda(&self) -> f64 {
        self.sigma * self.sigma / self.kl_weight
    }

    /// (1 - a_k) / sqrt(a_k): D = this times (u - s).
    pub fn shift_per_control(&self) -> f64 {
        (1.0 - self.alpha) / self.alpha.sqrt()
    }

    /// Write s_k(y).
    pub fn score(&self, y: Points<'_>, out: PointsMut<'_>) {
        self.score.eval(y, out);
    }

    /// Write (Ds_k(y))' p where the score knows its derivative; whether it does.
    pub fn score_vjp(&self, y: Points<'_>, p: Points<'_>, out: PointsMut<'_>) -> bool {
        self.score.vjp(y, p, out)
    }

    /// Write the kernel mean m_k(y) = (y + (1 - a_k) s_k(y)) / sqrt(a_k).
    pub fn mean(&self, y: Points<'_>, mut out: PointsMut<'_>) {
        self.score.eval(y, out.reborrow());
        self.controlled_mean_in_place(y, out);
    }

    /// Write the mean of Y_{k+1} under the controls in `u`, over `u` itself.
    pub fn controlled_mean_in_place(&self, y: Points<'_>, mut u: PointsMut<'_>) {
        let scale = 1.0 / self.alpha.sqrt();
        let gain = 1.0 - self.alpha;
        for i in 0..y.dim() {
            for (u, y) in u.coord_mut(i).iter_mut().zip(y.coord(i)) {
                *u = (y + gain * *u) * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::{PointBlock, PointwiseFeedback};

    struct NoReward(usize);
    impl ScalarField for NoReward {
        fn dim(&self) -> usize {
            self.0
        }
        fn value(&self, _x: Points<'_>, out: &mut [f64]) {
            out.fill(0.0);
        }
        fn gradient(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
            out.fill(0.0);
        }
    }

    /// b(t) = 3 - 1.25 t on [0, 2].
    fn rate(t: f64) -> f64 {
        3.0 - 1.25 * t
    }
    fn integral(t0: f64, t1: f64) -> f64 {
        3.0 * (t1 - t0) - 0.625 * (t1 * t1 - t0 * t0)
    }

    fn chain(params: DdpmParams, check: impl FnOnce(Result<Ddpm<'_>, PiFtError>)) {
        let score = PointwiseFeedback::new(1, 1, |t, y: &[f64], s: &mut [f64]| s[0] = t - 2.0 * y[0]);
        let parts = DdpmParts {
            horizon: 2.0,
            rate: &rate,
            integral: &integral,
            score: &score,
            reward: &NoReward(1),
            kl_weight: &|t| 0.5 + t,
        };
        check(Ddpm::from_parts(params, parts));
    }

    #[test]
    fn exponential_rule_keeps_the_products_of_the_noising_process() {
        chain(DdpmParams { steps: 7, ..Default::default() }, |c| {
            let c = c.unwrap();
            let product: f64 = c.alphas().iter().product();
            assert!((product - (-integral(0.0, 2.0)).exp()).abs() < 1e-15);
            assert_eq!(c.times().len(), 8);
            assert_eq!(c.times()[7], 2.0);
            assert!((c.kl_weights()[3] - (0.5 + 6.0 / 7.0)).abs() < 1e-15);
        });
        // 1 - b h agrees with exp(-b h) to second order: the product differs by O(h).
        let gap = |steps| {
            let mut gap = 0.0;
            chain(DdpmParams { steps, alpha: AlphaRule::Linear, ..Default::default() }, |c| {
                let product: f64 = c.unwrap().alphas().iter().product();
                gap = (product.ln() + integral(0.0, 2.0)).abs();
            });
            gap
        };
        let ratio = gap(2000) / gap(4000);
        assert!((ratio - 2.0).abs() < 0.01, "order of the linear rule: ratio {ratio}");
    }

    #[test]
    fn variances_follow_their_formulas() {
        let n = 9;
        let abar = |k: usize| (-integral(k as f64 * 2.0 / n as f64, 2.0)).exp();
        let compare = |variance, formula: &dyn Fn(usize, f64) -> f64| {
            chain(DdpmParams { steps: n, variance, ..Default::default() }, |c| {
                let c = c.unwrap();
                for k in 0..n {
                    let expected = formula(k, c.alphas()[k]);
                    assert!((c.variances()[k] - expected).abs() < 1e-14, "{variance:?} at {k}");
                }
            });
        };
        compare(VarianceRule::OneMinusAlpha, &|_, a| 1.0 - a);
        compare(VarianceRule::OverAlpha, &|_, a| (1.0 - a) / a);
        compare(VarianceRule::Posterior, &|k, a| (1.0 - a) * (1.0 - abar(k + 1)) / (1.0 - abar(k)));
        let p = |k: usize| 0.7 * abar(k) + 1.0 - abar(k);
        compare(VarianceRule::GaussianPosterior { data_variance: 0.7 }, &|k, a| (1.0 - a) * p(k + 1) / p(k));
        compare(VarianceRule::GaussianPosterior { data_variance: 1.0 }, &|_, a| 1.0 - a);
        chain(DdpmParams { steps: n, variance: VarianceRule::Posterior, ..Default::default() }, |c| {
            assert_eq!(c.unwrap().variances()[n - 1], 0.0);
        });
    }

    #[test]
    fn kernel_mean_is_the_formula() {
        chain(DdpmParams { steps: 4, ..Default::default() }, |c| {
            let c = c.unwrap();
            let step = c.at(2);
            let y = PointBlock::from_points(1, &[[-1.0], [0.25]]).unwrap();
            let mut m = PointBlock::zeros(1, 2);
            step.mean(y.as_points(), m.as_mut());
            let a = c.alphas()[2];
            for (y, m) in y.coord(0).iter().zip(m.coord(0)) {
                assert!((m - (y + (1.0 - a) * (1.0 - 2.0 * y)) / a.sqrt()).abs() < 1e-15);
            }
            assert!((step.lambda() - c.variances()[2] / 1.5).abs() < 1e-16);
        });
    }

    #[test]
    fn bad_input_names_the_field() {
        let message = |params: DdpmParams| {
            let mut text = String::new();
            chain(params, |c| text = c.err().map(|e| e.to_string()).unwrap_or_default());
            text
        };
        assert!(message(DdpmParams { steps: 0, ..Default::default() }).starts_with("steps = 0"));
        // b h = 3 at t = 0 with two steps.
        assert!(message(DdpmParams { steps: 2, alpha: AlphaRule::Linear, ..Default::default() }).starts_with("alpha[0] = -2"));
        let variance = VarianceRule::GaussianPosterior { data_variance: -0.1 };
        assert!(message(DdpmParams { variance, ..Default::default() }).contains("data_variance = -0.1"));
        let score = PointwiseFeedback::new(1, 1, |_, _: &[f64], s: &mut [f64]| s[0] = 0.0);
        let parts =
            |kl_weight, reward| DdpmParts { horizon: 2.0, rate: &rate, integral: &integral, score: &score, reward, kl_weight };
        let flat = |_: f64| 1.0;
        let sign = |t: f64| 1.0 - t;
        let wrong = Ddpm::from_parts(DdpmParams::default(), parts(&flat, &NoReward(2)));
        assert!(wrong.err().unwrap().to_string().starts_with("reward.dim = 2"));
        let wrong = Ddpm::from_parts(DdpmParams::default(), parts(&sign, &NoReward(1)));
        assert!(wrong.err().unwrap().to_string().starts_with("kl_weight at t = 1"));
    }
}
