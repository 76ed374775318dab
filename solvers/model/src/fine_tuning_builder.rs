//! A fine-tuning problem put together part by part.

use crate::error::ModelError;
use crate::field::Feedback;
use crate::fine_tuning::{FineTuning, InitialLaw};
use crate::kl::KlWeight;
use crate::law::GaussianMixture;
use crate::reward::Reward;
use crate::schedule::Schedule;
use std::sync::Arc;

/// Builds a [`FineTuning`]; made by [`FineTuning::builder`].
///
/// | part | default |
/// |---|---|
/// | schedule | b linear from 0.1 at the data to 20 at the noise over T = 1, the usual variance-preserving one |
/// | prior | none: needed, unless there is a score |
/// | score | the exact one of the prior |
/// | reward | none: needed |
/// | KL weight | 1 |
/// | initial law | [`InitialLaw::NoisedPrior`]; N(0, I) when the score alone is known |
///
/// ```
/// use hjbridge_model::{FineTuning, GaussianMixture, KlWeight, Reward, Schedule};
/// let problem = FineTuning::builder()
///     .schedule(Schedule::linear(2.0, 0.5, 3.0)?)
///     .prior(GaussianMixture::gaussian(vec![0.5], vec![vec![0.3]])?)
///     .reward(Reward::linear(vec![1.0], 0.0)?)
///     .kl_weight(KlWeight::constant(0.7)?)
///     .build()?;
/// assert_eq!(problem.kl_weight().as_constant(), Some(0.7));
/// # Ok::<(), hjbridge_model::ModelError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct FineTuningBuilder {
    schedule: Option<Schedule>,
    prior: Option<GaussianMixture>,
    score: Option<Arc<dyn Feedback>>,
    reward: Option<Reward>,
    kl_weight: Option<KlWeight>,
    initial: Option<InitialLaw>,
}

impl FineTuning {
    /// An empty [`FineTuningBuilder`].
    pub fn builder() -> FineTuningBuilder {
        FineTuningBuilder::default()
    }
}

impl FineTuningBuilder {
    /// b.
    pub fn schedule(self, schedule: Schedule) -> Self {
        FineTuningBuilder { schedule: Some(schedule), ..self }
    }

    /// The law p of the data.
    pub fn prior(self, prior: GaussianMixture) -> Self {
        FineTuningBuilder { prior: Some(prior), ..self }
    }

    /// A pre-trained score in place of the prior's own: a network, a table, a closure.
    pub fn score(self, score: Arc<dyn Feedback>) -> Self {
        FineTuningBuilder { score: Some(score), ..self }
    }

    /// r.
    pub fn reward(self, reward: Reward) -> Self {
        FineTuningBuilder { reward: Some(reward), ..self }
    }

    /// beta(t).
    pub fn kl_weight(self, kl_weight: KlWeight) -> Self {
        FineTuningBuilder { kl_weight: Some(kl_weight), ..self }
    }

    /// The law of Y_0.
    pub fn initial(self, initial: InitialLaw) -> Self {
        FineTuningBuilder { initial: Some(initial), ..self }
    }

    /// The problem.
    ///
    /// # Errors
    /// No reward; neither prior nor score; an initial law other than N(0, I) without a prior; those of [`FineTuning::new`],
    /// [`FineTuning::of_score`] and [`FineTuning::with_score`].
    pub fn build(self) -> Result<FineTuning, ModelError> {
        let missing = |field: &str, allowed: &str| ModelError::invalid(field, "absent", allowed);
        let reward = self.reward.ok_or_else(|| missing("reward", "is needed"))?;
        let schedule = self.schedule.map_or_else(|| Schedule::linear(1.0, 0.1, 20.0), Ok)?;
        let kl_weight = self.kl_weight.map_or_else(|| KlWeight::constant(1.0), Ok)?;
        match (self.prior, self.score) {
            (None, None) => Err(missing("prior", "is needed, or a score")),
            (None, Some(score)) => match self.initial {
                None | Some(InitialLaw::StandardNormal) => FineTuning::of_score(schedule, score, reward, kl_weight),
                Some(other) => {
                    let allowed = "StandardNormal: the others need the prior";
                    Err(ModelError::invalid("initial", format!("{other:?}"), allowed))
                }
            },
            (Some(prior), score) => {
                let initial = self.initial.unwrap_or(InitialLaw::NoisedPrior);
                let problem = FineTuning::new(schedule, prior, reward, kl_weight, initial)?;
                match score {
                    None => Ok(problem),
                    Some(score) => problem.with_score(score),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::ZeroFeedback;

    fn prior() -> GaussianMixture {
        GaussianMixture::gaussian(vec![0.5], vec![vec![0.3]]).unwrap()
    }

    fn reward() -> Reward {
        Reward::linear(vec![1.0], 0.0).unwrap()
    }

    #[test]
    fn defaults_and_parts() {
        let p = FineTuning::builder().prior(prior()).reward(reward()).build().unwrap();
        assert_eq!((p.schedule().horizon(), p.schedule().rate(0.0), p.schedule().rate(1.0)), (1.0, 20.0, 0.1));
        assert_eq!((p.kl_weight().as_constant(), p.initial(), p.knows_prior()), (Some(1.0), InitialLaw::NoisedPrior, true));
        let zero = Arc::new(ZeroFeedback { dim: 1, control_dim: 1 });
        let p = FineTuning::builder().score(zero.clone()).reward(reward()).build().unwrap();
        assert!(!p.knows_prior() && p.initial() == InitialLaw::StandardNormal);
        let p = FineTuning::builder().prior(prior()).score(zero).reward(reward()).initial(InitialLaw::Optimal).build().unwrap();
        assert!(p.knows_prior() && p.initial() == InitialLaw::Optimal);
    }

    #[test]
    fn what_is_missing_is_named() {
        let zero = Arc::new(ZeroFeedback { dim: 1, control_dim: 1 });
        let flat = Arc::new(ZeroFeedback { dim: 2, control_dim: 2 });
        let b = FineTuning::builder;
        for (builder, expected) in [
            (b().prior(prior()), "reward = absent: is needed"),
            (b().reward(reward()), "prior = absent: is needed, or a score"),
            (b().reward(reward()).score(zero).initial(InitialLaw::Optimal), "initial = Optimal: StandardNormal"),
            (b().reward(reward()).prior(prior()).score(flat), "score has 2 entries; 1 expected"),
        ] {
            let message = builder.build().err().unwrap().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
