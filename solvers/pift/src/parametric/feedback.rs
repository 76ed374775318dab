//! A trained policy as the control U(t, y) = s(t, y) + D_k(y) sqrt(a_k)/(1-a_k) of the chain or of the diffusion.

use super::policy::{Policy, StateAt};
use crate::ddpm::Ddpm;
use hjbridge_model::{Feedback, PointBlock, Points, PointsMut, VectorField};

/// A policy as a feedback, constant in time over each step of its chain.
pub struct PolicyFeedback<'a> {
    ddpm: &'a Ddpm<'a>,
    policy: &'a dyn Policy,
    change: bool,
}

impl<'a> PolicyFeedback<'a> {
    /// The control U.
    pub fn control(ddpm: &'a Ddpm<'a>, policy: &'a dyn Policy) -> Self {
        PolicyFeedback { ddpm, policy, change: false }
    }

    /// The change v = U - s of the pre-trained score, the control of a fine-tuning problem as a controlled diffusion.
    pub fn change(ddpm: &'a Ddpm<'a>, policy: &'a dyn Policy) -> Self {
        PolicyFeedback { ddpm, policy, change: true }
    }
}

struct PolicyAt<'a> {
    step: usize,
    /// lam sqrt(a)/(1-a).
    gain: f64,
    policy: &'a dyn Policy,
    score: Box<dyn VectorField + 'a>,
    change: bool,
}

impl VectorField for PolicyAt<'_> {
    fn eval(&self, y: Points<'_>, mut out: PointsMut<'_>) {
        let mut score = PointBlock::zeros(y.dim(), y.len());
        self.score.eval(y, score.as_mut());
        self.policy.costate(StateAt { step: self.step, y, score: score.as_points() }, out.reborrow());
        for i in 0..y.dim() {
            for (o, s) in out.coord_mut(i).iter_mut().zip(score.coord(i)) {
                *o = self.gain * *o + if self.change { 0.0 } else { *s };
            }
        }
    }
}

impl Feedback for PolicyFeedback<'_> {
    fn dim(&self) -> usize {
        self.ddpm.dim()
    }

    fn control_dim(&self) -> usize {
        self.ddpm.dim()
    }

    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        let n = self.ddpm.steps();
        // a time that misses t_k by rounding belongs to step k
        let tolerance = 1e-12 * self.ddpm.horizon();
        let step = self.ddpm.times().partition_point(|&s| s <= t + tolerance).saturating_sub(1).min(n - 1);
        let (a, variance, beta) = (self.ddpm.alphas()[step], self.ddpm.variances()[step], self.ddpm.kl_weights()[step]);
        Box::new(PolicyAt {
            step,
            gain: variance / beta * a.sqrt() / (1.0 - a),
            policy: self.policy,
            score: self.ddpm.score().at(t),
            change: self.change,
        })
    }
}
