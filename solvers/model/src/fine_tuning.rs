//! The fine-tuning problem: KL-regularised control of a reverse diffusion.
//!
//!   dY = [ (b/2) Y + b U ] dt + sqrt(b) dB,      pre-trained: U = s(t, Y) = grad log p_{T-t}(Y)
//!   maximise  E[ r(Y_T) - int_0^T beta (b/2) |U - s|^2 dt ].
//!
//! As a [`ControlledDiffusion`] the control is the change v = U - s:
//! f = (b/2) y + b s,  G = b I,  sigma = sqrt(b) I,  R = beta b I.
//! Source: Han, Razaviyayn and Xu, Stochastic Control for Fine-tuning Diffusion Models (arXiv:2412.18164).

use crate::diffusion::{Coefficients, ControlledDiffusion, MatrixCoefficient};
use crate::dispatch::{Kernel, dispatch};
use crate::error::ModelError;
use crate::exact::tilt;
use crate::field::{Feedback, ScalarField, VectorField};
use crate::kl::KlWeight;
use crate::law::{GaussianMixture, Law};
use crate::points::{Points, PointsMut};
use crate::reward::Reward;
use crate::schedule::Schedule;
use std::sync::Arc;

/// Where the generation starts: the law of Y_0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialLaw {
    /// N(0, I), what a sampler uses.
    StandardNormal,
    /// p_T, the prior noised over the whole horizon.
    NoisedPrior,
    /// p*_T, the tilted law noised over the whole horizon: no initial-value bias.
    Optimal,
}

/// A fine-tuning problem with a Gaussian-mixture prior, or with a score alone.
#[derive(Clone)]
pub struct FineTuning {
    schedule: Schedule,
    prior: GaussianMixture,
    knows_prior: bool,
    score: Arc<dyn Feedback>,
    reward: Reward,
    kl_weight: KlWeight,
    initial: InitialLaw,
    initial_law: GaussianMixture,
}

impl FineTuning {
    /// The problem with the prior's exact score.
    ///
    /// # Errors
    /// Prior and reward of different dimensions; an initial law `Optimal` without a constant KL weight and a reward of
    /// closed-form tilt; an ill-posed tilt.
    pub fn new(
        schedule: Schedule,
        prior: GaussianMixture,
        reward: Reward,
        kl_weight: KlWeight,
        initial: InitialLaw,
    ) -> Result<Self, ModelError> {
        if reward.dim() != prior.dim() {
            return Err(ModelError::Shape { field: "reward".into(), found: reward.dim(), expected: prior.dim() });
        }
        // exp(r/beta) must be integrable under the prior. With a varying weight the problem is at least as well-posed as at the
        // smallest beta and at most as at the largest; between the two the solvers find out
        let (_, largest) = kl_weight.range(schedule.horizon());
        for term in reward.growth_terms() {
            tilt(&prior, std::slice::from_ref(term), largest)?;
        }
        let closed_tilt = match kl_weight.as_constant() {
            Some(beta) => reward.tilt_terms(beta).map(|terms| tilt(&prior, terms, beta)).transpose()?,
            None => None,
        };
        let total = schedule.remaining(0.0);
        let initial_law = match initial {
            InitialLaw::StandardNormal => GaussianMixture::standard_normal(prior.dim())?,
            InitialLaw::NoisedPrior => prior.noised_by(total),
            InitialLaw::Optimal => match &closed_tilt {
                Some(tilted) => tilted.law.noised_by(total),
                None => {
                    return Err(ModelError::invalid(
                        "initial_law",
                        "optimal",
                        "needs a constant kl_weight and a reward whose tilt has a closed form (linear, quadratic, or log_sum_exp at that weight)",
                    ));
                }
            },
        };
        let score = Arc::new(NoisedScore { prior: prior.clone(), schedule: schedule.clone() });
        Ok(FineTuning { schedule, prior, knows_prior: true, score, reward, kl_weight, initial, initial_law })
    }

    /// A problem of which the score alone is known (a network), generating from N(0, I): it has no closed form, and
    /// [`FineTuning::prior`] is N(0, I) for want of the law of the data.
    ///
    /// # Errors
    /// Score and reward of different dimensions.
    pub fn of_score(
        schedule: Schedule,
        score: Arc<dyn Feedback>,
        reward: Reward,
        kl_weight: KlWeight,
    ) -> Result<Self, ModelError> {
        let prior = GaussianMixture::standard_normal(score.dim())?;
        if reward.dim() != prior.dim() {
            return Err(ModelError::Shape { field: "reward".into(), found: reward.dim(), expected: prior.dim() });
        }
        let (initial, initial_law) = (InitialLaw::StandardNormal, prior.clone());
        let own = Arc::clone(&score);
        FineTuning { schedule, prior, knows_prior: false, score: own, reward, kl_weight, initial, initial_law }.with_score(score)
    }

    /// The same problem with another pre-trained score (a table, a network); the prior stays the law it stands for.
    ///
    /// # Errors
    /// A score of another dimension.
    pub fn with_score(mut self, score: Arc<dyn Feedback>) -> Result<Self, ModelError> {
        for found in [score.dim(), score.control_dim()] {
            if found != self.prior.dim() {
                return Err(ModelError::Shape { field: "score".into(), found, expected: self.prior.dim() });
            }
        }
        self.score = score;
        Ok(self)
    }

    /// b.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The law p of the data.
    pub fn prior(&self) -> &GaussianMixture {
        &self.prior
    }

    /// Whether [`FineTuning::prior`] is the law of the data.
    pub fn knows_prior(&self) -> bool {
        self.knows_prior
    }

    /// p noised to generation time t.
    pub fn noised_prior(&self, t: f64) -> GaussianMixture {
        self.prior.noised_by(self.schedule.remaining(t))
    }

    /// s(t, y).
    pub fn score(&self) -> &dyn Feedback {
        &*self.score
    }

    /// s(t, y), shared.
    pub fn shared_score(&self) -> Arc<dyn Feedback> {
        Arc::clone(&self.score)
    }

    /// r.
    pub fn reward(&self) -> &Reward {
        &self.reward
    }

    /// beta(t).
    pub fn kl_weight(&self) -> &KlWeight {
        &self.kl_weight
    }

    /// Which initial law.
    pub fn initial(&self) -> InitialLaw {
        self.initial
    }

    /// The law of Y_0.
    pub fn initial_law(&self) -> &GaussianMixture {
        &self.initial_law
    }
}

/// The exact score of a noised mixture, s(t, y) = grad log p_{T-t}(y).
#[derive(Clone, Debug)]
pub struct NoisedScore {
    prior: GaussianMixture,
    schedule: Schedule,
}

impl NoisedScore {
    /// Score of `prior` noised by `schedule`.
    pub fn new(prior: GaussianMixture, schedule: Schedule) -> Self {
        NoisedScore { prior, schedule }
    }
}

struct ScoreAt(GaussianMixture);

impl VectorField for ScoreAt {
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.0.score(x, out);
    }
}

impl Feedback for NoisedScore {
    fn dim(&self) -> usize {
        self.prior.dim()
    }
    fn control_dim(&self) -> usize {
        self.prior.dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(ScoreAt(self.prior.noised_by(self.schedule.remaining(t))))
    }
}

struct CoefficientsAt<'a> {
    b: f64,
    beta: f64,
    score: Box<dyn VectorField + 'a>,
}

/// f = b (y/2 + s), with s in place of f.
struct Drift<'a> {
    b: f64,
    y: &'a [f64],
    f: &'a mut [f64],
}

impl Kernel for Drift<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let b = self.b;
        for (f, y) in self.f.iter_mut().zip(self.y) {
            *f = b * (0.5 * y + *f);
        }
    }
}

impl Coefficients for CoefficientsAt<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        self.score.eval(x, out.reborrow());
        for i in 0..x.dim() {
            dispatch(Drift { b: self.b, y: x.coord(i), f: out.coord_mut(i) });
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.b)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.b.sqrt())
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.beta * self.b)
    }
    fn table_bytes(&self) -> usize {
        self.score.table_bytes()
    }
}

impl ControlledDiffusion for FineTuning {
    fn dim(&self) -> usize {
        self.prior.dim()
    }
    fn control_dim(&self) -> usize {
        self.prior.dim()
    }
    fn horizon(&self) -> f64 {
        self.schedule.horizon()
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(CoefficientsAt { b: self.schedule.rate(t), beta: self.kl_weight.at(t), score: self.score.at(t) })
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.reward.value(x, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_are_those_of_the_equation() {
        let prior = GaussianMixture::gaussian(vec![0.5], vec![vec![0.3]]).unwrap();
        let p = FineTuning::new(
            Schedule::linear(2.0, 0.5, 3.0).unwrap(),
            prior,
            Reward::linear(vec![1.0], 0.0).unwrap(),
            KlWeight::constant(0.7).unwrap(),
            InitialLaw::Optimal,
        )
        .unwrap();
        let t = 0.8;
        let b = p.schedule().rate(t);
        let e = p.schedule().signal(t);
        let variance = e * e * 0.3 + 1.0 - e * e;
        let c = p.at(t);
        let x = [0.9];
        let mut f = [0.0];
        c.drift(Points::new(&x, 1), PointsMut::new(&mut f, 1));
        let s = -(0.9 - e * 0.5) / variance;
        assert!((f[0] - b * (0.45 + s)).abs() < 1e-14);
        assert!(matches!(c.control_weight(), MatrixCoefficient::Scaled(r) if (r - 0.7 * b).abs() < 1e-15));
        // tilted by exp(x/0.7): mean 0.5 + 0.3/0.7, noised over the horizon
        let m = p.initial_law().mean()[0];
        assert!((m - p.schedule().signal(0.0) * (0.5 + 0.3 / 0.7)).abs() < 1e-14);
    }

    #[test]
    fn a_score_alone_is_a_problem_without_closed_form() {
        let prior = GaussianMixture::gaussian(vec![0.5], vec![vec![0.3]]).unwrap();
        let schedule = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        let score = Arc::new(NoisedScore::new(prior.clone(), schedule.clone()));
        let kl = KlWeight::constant(0.7).unwrap();
        let reward = |d| Reward::linear(vec![1.0; d], 0.0).unwrap();
        let p = FineTuning::of_score(schedule.clone(), score.clone(), reward(1), kl.clone()).unwrap();
        assert!(!p.knows_prior() && p.initial() == InitialLaw::StandardNormal && p.initial_law().mean() == [0.0]);
        assert!(crate::exact::closed_form(&p).unwrap().is_none());
        let known = FineTuning::new(schedule.clone(), prior, reward(1), kl.clone(), InitialLaw::StandardNormal).unwrap();
        assert!(known.knows_prior() && crate::exact::closed_form(&known).unwrap().is_some());
        assert!(FineTuning::of_score(schedule, score, reward(2), kl).is_err());
    }

    #[test]
    fn mismatches_are_errors() {
        let prior = GaussianMixture::standard_normal(1).unwrap();
        let s = Schedule::constant(1.0, 1.0).unwrap();
        let kl = KlWeight::constant(0.5).unwrap();
        let two = Reward::linear(vec![1.0, 1.0], 0.0).unwrap();
        assert!(FineTuning::new(s.clone(), prior.clone(), two, kl.clone(), InitialLaw::NoisedPrior).is_err());
        let convex = Reward::quadratic(&[vec![-0.6]], vec![0.0], 0.0).unwrap();
        let e = FineTuning::new(s.clone(), prior.clone(), convex, kl.clone(), InitialLaw::NoisedPrior).err().unwrap();
        assert!(matches!(e, ModelError::IllPosedTilt { .. }), "{e}");
        let bumps = Reward::bumps(vec![crate::reward::Bump { center: vec![0.0], width: 1.0, height: 1.0 }]).unwrap();
        assert!(FineTuning::new(s, prior, bumps, kl, InitialLaw::Optimal).is_err());
    }
}
