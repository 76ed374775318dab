//! Closed forms: the oracles every solver is checked against.
//!
//! | problem | type | holds for |
//! |---|---|---|
//! | mixture prior, exponential-quadratic tilt | [`TiltedMixture`] | constant beta, any d |
//! | any reward | [`ColeHopf`] | constant beta; quadrature, d <= 3 |
//! | Gaussian prior, quadratic reward | [`GaussianLq`] | any beta(t), any d; Riccati system |
//! | the same, scalar | [`ScalarLq`] | any beta(t), d = 1; two integrals |
//! | the discrete chain with Gaussian prior, quadratic reward | [`DiscreteLq`] | any d |
//!
//! In all of them B(t) = int_t^T b, e = exp(-B/2), X_tau | x ~ N(e x, (1 - e^2) I).

mod cole_hopf;
mod discrete_lq;
mod final_law;
mod gaussian_lq;
mod line_posterior;
mod scalar_lq;
mod tilted_mixture;

pub use cole_hopf::ColeHopf;
pub use discrete_lq::{DiscreteLq, DiscreteStep};
pub use final_law::FinalLaw;
pub use gaussian_lq::{GaussianLq, LqCoefficients};
pub use scalar_lq::ScalarLq;
pub use tilted_mixture::{Tilted, TiltedMixture, tilt};

use crate::error::ModelError;
use crate::field::ScalarField;
use crate::fine_tuning::FineTuning;
use crate::points::{Points, PointsMut};

/// An exact solution of the fine-tuning problem.
pub trait ClosedForm: Send + Sync {
    /// Dimension d.
    fn dim(&self) -> usize;

    /// The solution at time t, with everything that depends on t alone computed.
    fn at(&self, t: f64) -> Box<dyn ClosedFormSlice + '_>;

    /// One line for reports: which closed form.
    fn description(&self) -> &'static str;
}

/// An exact solution at one time.
pub trait ClosedFormSlice: Send + Sync {
    /// Write the value function V(t, y).
    fn value(&self, y: Points<'_>, out: &mut [f64]);

    /// Write the optimal control U*(t, y) = s + grad V / beta.
    fn control(&self, y: Points<'_>, out: PointsMut<'_>);
}

/// The closed form of a problem, where there is one.
///
/// # Errors
/// A tilt or a Riccati equation that is ill-posed.
pub fn closed_form(problem: &FineTuning) -> Result<Option<Box<dyn ClosedForm>>, ModelError> {
    if !problem.knows_prior() {
        return Ok(None);
    }
    match problem.kl_weight().as_constant() {
        Some(beta) if problem.reward().tilt_terms(beta).is_some() => Ok(Some(Box::new(TiltedMixture::new(problem)?))),
        // a reward that quadrature does not resolve has no closed form to offer
        Some(_) => Ok(ColeHopf::new(problem).ok().map(|x| Box::new(x) as Box<dyn ClosedForm>)),
        None => {
            let gaussian = problem.prior().components() == 1;
            match problem.reward().as_quadratic() {
                Some(_) if gaussian && problem.reward().dim() > 0 => Ok(Some(Box::new(GaussianLq::new(problem)?))),
                _ => Ok(None),
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::fine_tuning::{FineTuning, InitialLaw};
    use crate::kl::KlWeight;
    use crate::law::GaussianMixture;
    use crate::reward::{QuadraticTerm, Reward};
    use crate::schedule::Schedule;
    use std::sync::Arc;

    fn schedule() -> Schedule {
        Schedule::linear(2.0, 0.5, 3.0).unwrap()
    }

    /// The one-dimensional mixture of the golden numbers.
    pub(crate) fn golden_mixture(initial: InitialLaw) -> FineTuning {
        let prior =
            GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
        let terms = vec![
            QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1).unwrap(),
            QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3).unwrap(),
        ];
        let reward = Reward::log_sum_exp(terms, 0.7).unwrap();
        FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), initial).unwrap()
    }

    /// The two-dimensional linear-quadratic problem of the golden numbers.
    pub(crate) fn golden_lq() -> FineTuning {
        let prior = GaussianMixture::gaussian(vec![0.8, -0.4], vec![vec![0.7, 0.3], vec![0.3, 1.5]]).unwrap();
        let reward = Reward::quadratic(&[vec![0.9, -0.2], vec![-0.2, 0.4]], vec![0.5, 1.1], 0.2).unwrap();
        FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.6).unwrap(), InitialLaw::NoisedPrior).unwrap()
    }

    /// The scalar problem with time-varying KL weight of the golden numbers.
    pub(crate) fn time_varying_lq() -> FineTuning {
        let prior = GaussianMixture::gaussian(vec![0.7], vec![vec![0.5]]).unwrap();
        let reward = Reward::quadratic(&[vec![1.3]], vec![0.9], 0.0).unwrap();
        let beta = |t: f64| 0.4 + 0.8 * (t / 2.0).powi(2) + 0.3 * (3.0 * t).sin().powi(2);
        let kl = KlWeight::function(2.0, Arc::new(beta), "0.4 + 0.8 (t/2)^2 + 0.3 sin(3t)^2").unwrap();
        FineTuning::new(schedule(), prior, reward, kl, InitialLaw::NoisedPrior).unwrap()
    }

    #[test]
    fn the_closed_form_is_found_where_there_is_one() {
        let kind = |p: &FineTuning| super::closed_form(p).unwrap().map(|x| x.description());
        assert_eq!(kind(&golden_mixture(InitialLaw::Optimal)), Some("tilted Gaussian mixture (Cole-Hopf)"));
        assert_eq!(kind(&time_varying_lq()), Some("linear-quadratic (Riccati system)"));
    }
}
