//! The ancestral sampler of denoising diffusion models (DDPM), as a scheme for a fine-tuning problem.
//!
//!   Y_{k+1} = (Y_k + (1 - a_k) U_k)/sqrt(a_k) + sig_k xi_k,     U_k = s(t_k, Y_k) + v(t_k, Y_k),
//!   cost   += beta_k (1 - a_k)^2/(2 a_k sig_k^2) |v|^2,         the relative entropy of the step,
//!
//! for dY = [ (b/2) Y + b U ] dt + sqrt(b) dB. a_k by [`AlphaRule`], sig_k^2 by [`ReverseVariance`]. A running reward is
//! summed by the rule of the left end point.
//!
//! Weak order 1, also for the objective. Strong order 1, except for [`ReverseVariance::Posterior`]: its last steps have a
//! variance that differs from b h by a fixed factor (the last one has none), hence 1/2, and on equal steps the weak error
//! is h log(1/h) (on steps that shrink towards T it is h again). With `Posterior` nothing can be
//! controlled in the last step: there the control is taken as zero. Stable for any step when the score is that of a law
//! with bounded support or finite moments, since 1 - a_k < 1. It is the discrete problem that PI-FT solves; to approach the
//! continuous problem, prefer the exponential integrator, which has the same cost and a smaller error.
//!
//! References: Ho, Jain, Abbeel, *Denoising diffusion probabilistic models* (arXiv:2006.11239); for the variance of a
//! Gaussian law Bao, Li, Zhu, Zhang, *Analytic-DPM* (arXiv:2201.06503).

use hjbridge_model::Schedule;

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::reverse_chain::{ChainStep, advance, check_schedule};
use crate::scheme::SdeScheme;

/// How a_k follows from the noise rate b.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlphaRule {
    /// a_k = exp(-int b) over the step: products of a_k are those of the continuous noising process.
    #[default]
    ExpIntegral,
    /// a_k = 1 - b(t_k) h_k, as published chains are often defined; needs b h < 1.
    Linear,
}

/// How sig_k^2 follows from a_k.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReverseVariance {
    /// 1 - a_k.
    #[default]
    OneMinusAlpha,
    /// (1 - a_k)/a_k.
    OverAlpha,
    /// (1 - a_k)(1 - abar_{k+1})/(1 - abar_k): the variance of Y_{k+1} given Y_k and the data point; 0 in the last step.
    Posterior,
    /// (1 - a_k) P_{k+1}/P_k with P_k = abar_k C + 1 - abar_k: the variance of Y_{k+1} given Y_k when the data have
    /// variance C in every direction. For N(mu, C I) the chain is then the exact reverse of the noising process at every N.
    GaussianPosterior {
        /// C >= 0.
        data_variance: f64,
    },
}

/// The ancestral sampler.
#[derive(Clone, Debug)]
pub struct Ancestral {
    schedule: Schedule,
    alpha: AlphaRule,
    variance: ReverseVariance,
    steps: Vec<ChainStep>,
}

impl Ancestral {
    /// For a fine-tuning problem with this schedule.
    ///
    /// # Errors
    /// A data variance that is negative or not finite.
    pub fn new(schedule: &Schedule, alpha: AlphaRule, variance: ReverseVariance) -> Result<Self, RolloutError> {
        if let ReverseVariance::GaussianPosterior { data_variance } = variance
            && !(data_variance >= 0.0 && data_variance.is_finite())
        {
            return Err(RolloutError::invalid("data_variance", data_variance, "finite and >= 0"));
        }
        Ok(Ancestral { schedule: schedule.clone(), alpha, variance, steps: Vec::new() })
    }
}

impl SdeScheme for Ancestral {
    const NAME: &'static str = "ancestral (DDPM)";
    const STRONG_ORDER: f64 = 0.5;
    const WEAK_ORDER: f64 = 1.0;
    const FOLLOWS_EQUATION: bool = false;

    /// Not with [`ReverseVariance::Posterior`], whose error is h log(1/h).
    fn expands(&self) -> bool {
        self.variance != ReverseVariance::Posterior
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "alpha": self.alpha, "variance": self.variance })
    }

    fn prepare(&mut self, system: &ClosedLoop<'_>) -> Result<(), RolloutError> {
        check_schedule(system, &self.schedule)?;
        let grid = system.grid();
        // From the data backwards: later = P_{k+1}, the variance of the noised data; P_k = 1 - a_k (1 - P_{k+1}).
        let mut later = match self.variance {
            ReverseVariance::GaussianPosterior { data_variance } => data_variance,
            _ => 0.0,
        };
        let mut steps = Vec::with_capacity(grid.steps());
        for k in (0..grid.steps()).rev() {
            let (t, next, h) = (grid.times()[k], grid.times()[k + 1], grid.step_length(k));
            let rate = self.schedule.rate(t);
            let (alpha, noise) = match self.alpha {
                AlphaRule::ExpIntegral => {
                    let integral = self.schedule.integral(t, next);
                    ((-integral).exp(), -(-integral).exp_m1())
                }
                AlphaRule::Linear => (1.0 - rate * h, rate * h),
            };
            if !(alpha > 0.0 && alpha < 1.0) {
                return Err(RolloutError::invalid("a_k", alpha, format!("in (0, 1) in step {k}: a shorter step")));
            }
            let noisier = noise + alpha * later;
            let variance = match self.variance {
                ReverseVariance::OneMinusAlpha => noise,
                ReverseVariance::OverAlpha => noise / alpha,
                ReverseVariance::Posterior | ReverseVariance::GaussianPosterior { .. } => noise * later / noisier,
            };
            later = noisier;
            let cost = noise * noise / (alpha * variance * rate);
            steps.push(ChainStep { alpha, score: noise / alpha.sqrt(), sigma: variance.sqrt(), cost, rate });
        }
        steps.reverse();
        self.steps = steps;
        Ok(())
    }

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let step = self.steps[k];
        advance(system, k, step, step.sigma == 0.0, noise, lanes);
    }
}
