//! Scalar Gaussian prior, quadratic reward, any beta(t): two integrals instead of a differential equation.
//!
//!   1/K(t) = (P_t/C)^2 e^{B(t)} / Q + int_t^T (P_t/P_s)^2 e^{B(t)-B(s)} b(s)/beta(s) ds,
//!   z(t) = e mu0 + (q/Q - mu0)(P_t/C) e^{B/2},   k = K z,
//!   V = -K (y - z)^2/2 + q^2/(2Q) + c0 - (1/2) int_t^T b K ds.
//! Gauss-Legendre panels; an independent check of the Riccati route.

use super::LqCoefficients;
use crate::error::ModelError;
use crate::fine_tuning::FineTuning;
use faer::Mat;

/// The scalar linear-quadratic solution.
#[derive(Clone)]
pub struct ScalarLq {
    problem: FineTuning,
    mu0: f64,
    variance: f64,
    curvature: f64,
    slope: f64,
    constant: f64,
    rule: Vec<(f64, f64)>,
}

/// Panels of the composite rule on [t, T].
const PANELS: usize = 16;

impl ScalarLq {
    /// The solution of `problem`.
    ///
    /// # Errors
    /// d other than 1, a prior that is not Gaussian, a reward that is not quadratic or has Q = 0.
    pub fn new(problem: &FineTuning) -> Result<Self, ModelError> {
        let quadratic = problem.reward().as_quadratic().filter(|t| t.slope.len() == 1 && t.curvature[(0, 0)] != 0.0);
        let (Some(term), 1) = (quadratic, problem.prior().components()) else {
            return Err(ModelError::invalid(
                "problem",
                "this one",
                "one dimension, one Gaussian, a quadratic reward with Q not zero",
            ));
        };
        let n = 12.try_into().map_err(|_| ModelError::invalid("nodes", 12, "positive"))?;
        Ok(ScalarLq {
            mu0: problem.prior().mean_of(0)[0],
            variance: problem.prior().covariance_of(0).matrix()[(0, 0)],
            curvature: term.curvature[(0, 0)],
            slope: term.slope[0],
            constant: term.constant,
            rule: gauss_quad::GaussLegendre::new(n).iter().copied().collect(),
            problem: problem.clone(),
        })
    }

    fn integrate(&self, t: f64, f: impl Fn(f64) -> f64) -> f64 {
        let width = (self.problem.schedule().horizon() - t) / PANELS as f64;
        (0..PANELS)
            .map(|p| {
                let mid = t + (p as f64 + 0.5) * width;
                0.5 * width * self.rule.iter().map(|(x, w)| w * f(mid + 0.5 * width * x)).sum::<f64>()
            })
            .sum()
    }

    /// P_t, the variance of the noised prior.
    fn noised_variance(&self, t: f64) -> f64 {
        let integral = self.problem.schedule().remaining(t);
        (-integral).exp() * self.variance - (-integral).exp_m1()
    }

    fn k(&self, t: f64) -> f64 {
        let s = self.problem.schedule();
        let p = self.noised_variance(t);
        let tail = self.integrate(t, |u| {
            (p / self.noised_variance(u)).powi(2) * s.integral(t, u).exp() * s.rate(u) / self.problem.kl_weight().at(u)
        });
        1.0 / ((p / self.variance).powi(2) * s.remaining(t).exp() / self.curvature + tail)
    }

    /// K, k, l at time t.
    pub fn coefficients(&self, t: f64) -> LqCoefficients {
        let s = self.problem.schedule();
        let k = self.k(t);
        let target = self.slope / self.curvature;
        let z = s.signal(t) * self.mu0 + (target - self.mu0) * self.noised_variance(t) / self.variance / s.signal(t);
        let spent = self.integrate(t, |u| s.rate(u) * self.k(u));
        LqCoefficients {
            curvature: Mat::from_fn(1, 1, |_, _| k),
            slope: vec![k * z],
            constant: -0.5 * k * z * z + 0.5 * self.slope * target + self.constant - 0.5 * spent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::GaussianLq;
    use crate::exact::tests::time_varying_lq;

    #[test]
    fn integrals_agree_with_the_riccati_system_and_the_golden_numbers() {
        let p = time_varying_lq();
        let (a, b) = (ScalarLq::new(&p).unwrap(), GaussianLq::new(&p).unwrap());
        for t in [0.0, 0.31, 1.0, 1.7, 2.0] {
            let (x, y) = (a.coefficients(t), b.coefficients(t));
            assert!((x.curvature[(0, 0)] - y.curvature[(0, 0)]).abs() < 1e-10, "t = {t}");
            assert!((x.slope[0] - y.slope[0]).abs() < 1e-10 && (x.constant - y.constant).abs() < 1e-10, "t = {t}");
        }
        let c = a.coefficients(0.0);
        assert!((c.curvature[(0, 0)] - 0.0059959222).abs() < 6e-11 && (c.slope[0] - 0.0002065363).abs() < 6e-11);
        assert!((c.constant - 0.0584253815).abs() < 6e-11);
    }
}
