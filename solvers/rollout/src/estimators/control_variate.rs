//! The objective with the martingale part of an approximate value function taken out.
//!
//! For a function V, with p = grad V,
//!   M_N = sum_k e^{-rho (t_k - t_0)} p(t_k, X_k)' sigma(t_k, X_k) ( W(t_{k+1}) - W(t_k) )
//! has mean zero for any p and any scheme, because p and sigma are known before the increment is drawn. If V is the value
//! of the simulated feedback, objective - M_N = V(t_0, X_0) up to O(sqrt h): by Ito's formula the martingale is all the
//! randomness there is. With an approximate V the variance that is left is of the order of the square of the error of p.
//!
//! Prefer multilevel Monte Carlo when the bias of the step matters as much as the variance, importance sampling when the
//! payoff is an exponential.
//!
//! Reference: Newton, *Variance reduction for simulated diffusions*, SIAM J. Appl. Math. 54 (1994).

use hjbridge_model::{Feedback, MatrixCoefficient, PointBlock, PointsMut, VectorField};

use crate::closed_loop::ClosedLoop;
use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::functional::{PathFunctional, PreparedFunctional, StepView};
use crate::noise::LANES;
use crate::params::RolloutInfo;
use crate::reduce::{Estimate, FinishedPaths, MeasureReducer};
use crate::scheme::SdeScheme;

/// M_N as above for the integrand p: a feedback from R^d to R^d. One number per path.
#[derive(Clone, Copy)]
pub struct StochasticIntegral<'a> {
    integrand: &'a dyn Feedback,
}

impl<'a> StochasticIntegral<'a> {
    /// Of this integrand.
    pub fn new(integrand: &'a dyn Feedback) -> Self {
        StochasticIntegral { integrand }
    }
}

impl PathFunctional for StochasticIntegral<'_> {
    fn values(&self) -> usize {
        1
    }

    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        let d = system.problem().dim();
        for (what, found) in [
            ("state dimension of the integrand", self.integrand.dim()),
            ("number of components of the integrand", self.integrand.control_dim()),
        ] {
            if found != d {
                return Err(RolloutError::Dimension { what, found, expected: d });
            }
        }
        let fields = (0..system.steps()).map(|k| self.integrand.at(system.level(k).time)).collect();
        Ok(Box::new(Prepared { fields }))
    }
}

struct Prepared<'s> {
    fields: Vec<Box<dyn VectorField + 's>>,
}

impl PreparedFunctional for Prepared<'_> {
    fn step(&self, step: &StepView<'_>, mut values: PointsMut<'_>) {
        let (d, q) = (step.before.dim(), step.noise.dim());
        let mut p = PointBlock::zeros(d, LANES);
        self.fields[step.step].eval(step.before, p.as_mut());
        let mut sum = [0.0; LANES];
        let mut scale = step.step_length.sqrt() * step.level.discount;
        match &step.level.diffusion {
            MatrixCoefficient::Scaled(s) => {
                scale *= s;
                for i in 0..d {
                    for ((sum, p), xi) in sum.iter_mut().zip(p.coord(i)).zip(step.noise.coord(i)) {
                        *sum += p * xi;
                    }
                }
            }
            MatrixCoefficient::Field(sigma) => {
                let mut matrix = PointBlock::zeros(d * q, LANES);
                sigma.eval(step.before, matrix.as_mut());
                for ij in 0..d * q {
                    let terms = matrix.coord(ij).iter().zip(p.coord(ij / q)).zip(step.noise.coord(ij % q));
                    for (sum, ((s, p), xi)) in sum.iter_mut().zip(terms) {
                        *sum += s * p * xi;
                    }
                }
            }
        }
        for (value, sum) in values.coord_mut(0).iter_mut().zip(sum) {
            *value += scale * sum;
        }
    }
}

/// The factor c of objective - c M_N.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub enum Coefficient {
    /// c = 1: without bias at any number of paths, right for a good value function.
    #[default]
    One,
    /// c = Cov(objective, M_N)/Var(M_N) from the same paths: never more variance than the plain mean, a bias of O(1/n).
    Fitted,
}

/// How to use a control variate.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct ControlVariateParams {
    /// The factor of the martingale.
    pub coefficient: Coefficient,
}

/// The objective with and without its control variate.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct ControlVariateEstimate {
    /// Mean of objective - c M_N.
    pub objective: Estimate,
    /// Mean of the objective alone.
    pub plain: Estimate,
    /// Mean of M_N, which is zero but for chance.
    pub martingale: Estimate,
}

/// What a control variate did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ControlVariateInfo {
    /// c.
    pub coefficient: f64,
    /// Variance of objective - c M_N over that of the objective.
    pub variance_ratio: f64,
    /// The run.
    pub rollout: RolloutInfo,
}

/// Estimate the objective of `ensemble` with the martingale of `gradient`, an approximation of (t, x) -> grad V(t, x). A stop
/// rule looks at the standard error of objective - M_N, or of the objective alone when the factor is fitted.
///
/// # Errors
/// A gradient of the wrong dimensions; otherwise as [`Ensemble::run`].
pub fn control_variate<'a, S: SdeScheme>(
    ensemble: &Ensemble<'a, S>,
    gradient: &dyn Feedback,
    params: &ControlVariateParams,
) -> Result<(ControlVariateEstimate, ControlVariateInfo), RolloutError> {
    let integral = StochasticIntegral::new(gradient);
    let place = ensemble.functional_values();
    let ensemble = ensemble.clone().with_functional(&integral);
    let empty = MeasureReducer::new(3, move |paths: &FinishedPaths<'_>, mut out: PointsMut<'_>| {
        let martingale = paths.functionals.coord(place);
        for (j, (objective, m)) in paths.objective().zip(martingale).enumerate() {
            out.set_point(j, &[objective - m, objective, *m]);
        }
    });
    let watched = usize::from(params.coefficient == Coefficient::Fitted);
    let (reducer, rollout) = ensemble.reduce(&empty.watching(watched))?;
    let estimates = reducer.estimates()?;
    let covariance = reducer.moments().covariance();
    let (plain, martingale) = (estimates[1], estimates[2]);
    let (variance, variance_m) = (covariance[4], covariance[8]);
    let (coefficient, objective, left) = match params.coefficient {
        Coefficient::One => (1.0, estimates[0], covariance[0]),
        Coefficient::Fitted => {
            let c = if variance_m > 0.0 { covariance[5] / variance_m } else { 0.0 };
            let left = (variance - c * covariance[5]).max(0.0);
            let standard_error = (left / plain.n as f64).sqrt();
            (c, Estimate { mean: plain.mean - c * martingale.mean, standard_error, n: plain.n }, left)
        }
    };
    let variance_ratio = if variance > 0.0 { left / variance } else { 1.0 };
    Ok((ControlVariateEstimate { objective, plain, martingale }, ControlVariateInfo { coefficient, variance_ratio, rollout }))
}
