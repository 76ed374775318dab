//! Mixture prior with an exponential-quadratic tilt, constant beta: everything is a mixture.
//!
//! With prior sum_i w_i N(mu_i, C_i) and exp(r/beta) = sum_j exp((-x'Q_j x/2 + q_j'x + c_j)/beta):
//!   C*_ij = (C_i^-1 + Q_j/beta)^-1,   m*_ij = C*_ij (C_i^-1 mu_i + q_j/beta),
//!   log Z_ij = log w_i - logdet(I + C_i Q_j/beta)/2 + m*'C*^-1 m*/2 - mu_i'C_i^-1 mu_i/2 + c_j/beta,
//!   p* = sum_ij (Z_ij/Z) N(m*_ij, C*_ij),   V = beta [ log Z + log p*_tau - log p_tau ],   U* = grad log p*_tau.

use super::{ClosedForm, ClosedFormSlice};
use crate::error::ModelError;
use crate::fine_tuning::FineTuning;
use crate::law::{GaussianMixture, Law};
use crate::points::{Points, PointsMut};
use crate::reward::QuadraticTerm;
use crate::schedule::Schedule;
use crate::spd::{Spd, smallest_eigenvalue};
use faer::Mat;

/// A law tilted by exp(r/beta).
#[derive(Clone, Debug)]
pub struct Tilted {
    /// p* = p exp(r/beta) / Z.
    pub law: GaussianMixture,
    /// log Z.
    pub log_z: f64,
}

/// Tilt `prior` by sum_j exp(term_j/beta). Cost O(K J d^3).
///
/// # Errors
/// C_i^-1 + Q_j/beta not positive definite for some component and term.
pub fn tilt(prior: &GaussianMixture, terms: &[QuadraticTerm], beta: f64) -> Result<Tilted, ModelError> {
    let d = prior.mean_of(0).len();
    // a covariance shared by the components is tilted once for each term
    let shared = prior.shares_covariance() && terms.len() == 1;
    let distinct = if shared { 1 } else { prior.components() };
    let mut covariances = Vec::with_capacity(distinct * terms.len());
    for i in 0..distinct {
        for (j, term) in terms.iter().enumerate() {
            let c_inv = prior.covariance_of(i).inverse();
            let precision = Mat::from_fn(d, d, |r, s| c_inv[(r, s)] + term.curvature[(r, s)] / beta);
            let field = format!("prior component {i}, reward term {j}");
            let eigenvalue = smallest_eigenvalue(precision.as_ref());
            let factored = Spd::new(&field, precision).map_err(|_| ModelError::IllPosedTilt { field, eigenvalue, beta })?;
            covariances.push((Spd::new("tilted covariance", factored.inverse().to_owned())?, factored));
        }
    }
    let (mut log_z, mut means) = (Vec::new(), Vec::new());
    for i in 0..prior.components() {
        let (c, mu) = (prior.covariance_of(i), prior.mean_of(i));
        for (j, term) in terms.iter().enumerate() {
            let (covariance, precision) = &covariances[if shared { 0 } else { i * terms.len() + j }];
            let natural: Vec<f64> =
                (0..d).map(|r| (0..d).map(|s| c.inverse()[(r, s)] * mu[s]).sum::<f64>() + term.slope[r] / beta).collect();
            let m: Vec<f64> = (0..d).map(|r| (0..d).map(|s| covariance.matrix()[(r, s)] * natural[s]).sum()).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            let prior_form: f64 = (0..d).map(|r| (0..d).map(|s| mu[r] * c.inverse()[(r, s)] * mu[s]).sum::<f64>()).sum();
            // logdet(I + C Q/beta) = logdet(C^-1 + Q/beta) + logdet C
            log_z.push(
                prior.weights()[i].ln() - 0.5 * (precision.log_det() + c.log_det()) + 0.5 * dot(&m, &natural) - 0.5 * prior_form
                    + term.constant / beta,
            );
            means.extend(m);
        }
    }
    let top = log_z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = top + log_z.iter().map(|z| (z - top).exp()).sum::<f64>().ln();
    let weights = log_z.iter().map(|z| (z - total).exp()).collect();
    let covariances = covariances.into_iter().map(|(c, _)| c).collect();
    Ok(Tilted { law: GaussianMixture::assemble(d, weights, means, covariances), log_z: total })
}

/// The exact solution through the tilted mixture.
#[derive(Clone, Debug)]
pub struct TiltedMixture {
    schedule: Schedule,
    prior: GaussianMixture,
    tilted: Tilted,
    beta: f64,
}

impl TiltedMixture {
    /// The solution of `problem`.
    ///
    /// # Errors
    /// KL weight not constant, a reward without closed-form tilt, or an ill-posed tilt.
    pub fn new(problem: &FineTuning) -> Result<Self, ModelError> {
        let beta = problem.kl_weight().as_constant().ok_or_else(|| {
            ModelError::invalid("kl_weight", format!("{:?}", problem.kl_weight()), "must be constant for this closed form")
        })?;
        let terms = problem.reward().tilt_terms(beta).ok_or_else(|| {
            ModelError::invalid(
                "reward",
                "this kind",
                "must be linear, quadratic, or log_sum_exp at the KL weight for this closed form",
            )
        })?;
        let tilted = tilt(problem.prior(), terms, beta)?;
        Ok(TiltedMixture { schedule: problem.schedule().clone(), prior: problem.prior().clone(), tilted, beta })
    }

    /// p*.
    pub fn tilted(&self) -> &GaussianMixture {
        &self.tilted.law
    }

    /// log Z = log E_p exp(r/beta).
    pub fn log_z(&self) -> f64 {
        self.tilted.log_z
    }
}

struct Slice {
    prior: GaussianMixture,
    tilted: GaussianMixture,
    log_z: f64,
    beta: f64,
}

impl ClosedFormSlice for Slice {
    fn value(&self, y: Points<'_>, out: &mut [f64]) {
        let mut log_p = vec![0.0; y.len()];
        self.prior.log_density(y, &mut log_p);
        self.tilted.log_density(y, out);
        for (v, p) in out.iter_mut().zip(&log_p) {
            *v = self.beta * (self.log_z + *v - p);
        }
    }

    fn control(&self, y: Points<'_>, out: PointsMut<'_>) {
        self.tilted.score(y, out);
    }
}

impl ClosedForm for TiltedMixture {
    fn dim(&self) -> usize {
        self.prior.dim()
    }

    fn at(&self, t: f64) -> Box<dyn ClosedFormSlice + '_> {
        let integral = self.schedule.remaining(t);
        Box::new(Slice {
            prior: self.prior.noised_by(integral),
            tilted: self.tilted.law.noised_by(integral),
            log_z: self.tilted.log_z,
            beta: self.beta,
        })
    }

    fn description(&self) -> &'static str {
        "tilted Gaussian mixture (Cole-Hopf)"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::tests::golden_mixture;

    #[test]
    fn golden_numbers_of_the_one_dimensional_mixture() {
        let p = golden_mixture(crate::fine_tuning::InitialLaw::NoisedPrior);
        let x = TiltedMixture::new(&p).unwrap();
        assert!((x.log_z() - 1.103677616108).abs() < 1e-12);
        assert!((x.tilted().mean()[0] + 0.438703704536).abs() < 1e-12);
        assert!((x.tilted().covariance()[0][0] - 1.792199499816).abs() < 1e-12);
        let y = [-2.0, 0.0, 1.5];
        for (t, v, u) in [
            (0.0, [0.873582150429, 0.770539795113, 0.691794938949], [1.885486369305, -0.076512689326, -1.535609854517]),
            (1.0, [1.017569165793, 0.73791225276, 0.559237002108], [1.599968681386, -0.228378171799, -1.299574163177]),
        ] {
            let (mut value, mut control) = ([0.0; 3], [0.0; 3]);
            x.at(t).value(Points::new(&y, 1), &mut value);
            x.at(t).control(Points::new(&y, 1), PointsMut::new(&mut control, 1));
            for i in 0..3 {
                assert!((value[i] - v[i]).abs() < 2e-12, "V({t}, {}) = {}", y[i], value[i]);
                assert!((control[i] - u[i]).abs() < 2e-12);
            }
        }
    }

    #[test]
    fn at_the_horizon_the_value_is_the_reward() {
        use crate::field::ScalarField;
        let p = golden_mixture(crate::fine_tuning::InitialLaw::NoisedPrior);
        let y: Vec<f64> = (0..61).map(|i| -3.0 + 0.1 * i as f64).collect();
        let (mut v, mut r) = (vec![0.0; 61], vec![0.0; 61]);
        TiltedMixture::new(&p).unwrap().at(2.0).value(Points::new(&y, 1), &mut v);
        p.reward().value(Points::new(&y, 1), &mut r);
        for i in 0..61 {
            assert!((v[i] - r[i]).abs() < 1e-12);
        }
    }

    #[test]
    fn shared_covariance_takes_the_same_road() {
        let columns = vec![vec![1.0, 2.0, 4.0, 7.0, 3.0, 2.5], vec![10.0, 8.0, 3.0, 1.0, 6.0, 9.0]];
        let k = crate::law::KernelDensity::new(&columns, crate::law::Bandwidth::Silverman, true).unwrap();
        let shared = k.law();
        let n = shared.components();
        let each = GaussianMixture::new(
            vec![1.0 / n as f64; n],
            (0..n).map(|i| shared.mean_of(i).to_vec()).collect(),
            vec![k.bandwidth().to_vec(); n],
        )
        .unwrap();
        let term = [QuadraticTerm::new(&[vec![0.4, 0.1], vec![0.1, 0.2]], vec![1.0, -0.5], 0.3).unwrap()];
        let (a, b) = (tilt(shared, &term, 0.8).unwrap(), tilt(&each, &term, 0.8).unwrap());
        assert!((a.log_z - b.log_z).abs() < 1e-13);
        let x = crate::points::PointBlock::from_points(2, &[[0.3, -1.0], [2.0, 0.5]]).unwrap();
        let (mut pa, mut pb) = ([0.0; 2], [0.0; 2]);
        a.law.log_density(x.as_points(), &mut pa);
        b.law.log_density(x.as_points(), &mut pb);
        assert!((pa[0] - pb[0]).abs() < 1e-12 && (pa[1] - pb[1]).abs() < 1e-12);
    }
}
