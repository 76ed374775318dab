//! The DDIM family of samplers of denoising diffusion models, as a scheme for a fine-tuning problem.
//!
//! With abar_k = exp(-int_{t_k}^T b), a_k = abar_k/abar_{k+1} and U = s + v the data point and the noise are predicted as
//! x = (Y_k + (1 - abar_k) U)/sqrt(abar_k) and e = -sqrt(1 - abar_k) U, and
//!
//!   Y_{k+1} = sqrt(abar_{k+1}) x + sqrt(1 - abar_{k+1} - sig_k^2) e + sig_k xi_k,
//!   sig_k^2 = eta^2 (1 - a_k)(1 - abar_{k+1})/(1 - abar_k),     0 <= eta <= 1.
//!
//! eta = 1 is the ancestral sampler with the posterior variance; eta = 0 moves along the probability-flow equation, without
//! noise. All members have, in the limit, the same law of Y_t at each t *if U is the score of that law*: so for the
//! pre-trained model started from its noised data, and for the optimal control of a problem with constant KL weight
//! (U = grad log p*). For another control, or another initial law, only eta = 1 follows the controlled diffusion.
//!
//! The running cost is the problem's own, beta (b/2) |v|^2 along the path, left end point with int b in place of b h: its
//! mean depends on the law of Y_t alone, so it is that of the problem under the condition above. It is *not* the relative
//! entropy of the chain, which for eta < 1 is larger and at eta = 0 infinite. Reward: left end point.
//!
//! Weak order 1 (in the sense above; on equal steps the error is h log(1/h), as that of the posterior variance). Strong order
//! 1/2 for eta = 1; for other eta paths are not those of the diffusion and there is no strong order. With few steps eta = 0 on a grid in log-SNR has the smallest error in practice.
//!
//! Reference: Song, Meng, Ermon, *Denoising diffusion implicit models* (arXiv:2010.02502).

use hjbridge_model::Schedule;

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::reverse_chain::{ChainStep, advance, check_schedule};
use crate::scheme::SdeScheme;

/// The DDIM sampler with parameter eta.
#[derive(Clone, Debug)]
pub struct Ddim {
    schedule: Schedule,
    eta: f64,
    steps: Vec<ChainStep>,
}

impl Ddim {
    /// For a fine-tuning problem with this schedule.
    ///
    /// # Errors
    /// An eta outside [0, 1].
    pub fn new(schedule: &Schedule, eta: f64) -> Result<Self, RolloutError> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(RolloutError::invalid("eta", eta, "in [0, 1]"));
        }
        Ok(Ddim { schedule: schedule.clone(), eta, steps: Vec::new() })
    }
}

impl SdeScheme for Ddim {
    const NAME: &'static str = "DDIM";
    const STRONG_ORDER: f64 = 0.0;
    const WEAK_ORDER: f64 = 1.0;
    const FOLLOWS_EQUATION: bool = false;

    /// No: the error is h log(1/h).
    fn expands(&self) -> bool {
        false
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "eta": self.eta })
    }

    fn prepare(&mut self, system: &ClosedLoop<'_>) -> Result<(), RolloutError> {
        check_schedule(system, &self.schedule)?;
        let grid = system.grid();
        let step = |k: usize| {
            let (t, next) = (grid.times()[k], grid.times()[k + 1]);
            let (rate, integral) = (self.schedule.rate(t), self.schedule.integral(t, next));
            let alpha = (-integral).exp();
            // 1 - abar without cancellation.
            let (share, share_next) = (-(-self.schedule.remaining(t)).exp_m1(), -(-self.schedule.remaining(next)).exp_m1());
            let variance = self.eta * self.eta * -(-integral).exp_m1() * share_next / share;
            let rest = (share_next - variance).max(0.0);
            let score = share / alpha.sqrt() - (rest * share).sqrt();
            ChainStep { alpha, score, sigma: variance.sqrt(), cost: integral / rate, rate }
        };
        self.steps = (0..grid.steps()).map(step).collect();
        Ok(())
    }

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        advance(system, k, self.steps[k], false, noise, lanes);
    }
}
