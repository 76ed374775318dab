//! A mean with its standard error.

use crate::error::RolloutError;
use crate::reduce::ScalarMoments;

/// Mean of n independent samples and the standard error of that mean.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Sample mean.
    pub mean: f64,
    /// Sample standard deviation (n - 1 in the denominator) over sqrt(n); infinite for n < 2.
    pub standard_error: f64,
    /// Number of samples.
    pub n: u64,
}

impl Estimate {
    /// From samples.
    ///
    /// # Errors
    /// Fewer than two samples, or one that is not finite.
    pub fn from_samples(samples: &[f64]) -> Result<Self, RolloutError> {
        if samples.len() < 2 {
            return Err(RolloutError::invalid("number of samples", samples.len(), "at least 2"));
        }
        if let Some((i, x)) = samples.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(RolloutError::invalid("sample", format!("{x} (number {i})"), "finite"));
        }
        let mut moments = ScalarMoments::default();
        moments.absorb(samples.iter().copied());
        Ok(moments.estimate())
    }

    /// Mean of a - b over paths that share their noise: the standard error counts what the pairing cancels.
    ///
    /// # Errors
    /// Different lengths; otherwise as [`Estimate::from_samples`].
    pub fn paired_difference(a: &[f64], b: &[f64]) -> Result<Self, RolloutError> {
        if a.len() != b.len() {
            return Err(RolloutError::Dimension { what: "number of second samples", found: b.len(), expected: a.len() });
        }
        let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Estimate::from_samples(&difference)
    }

    /// Central interval that covers the true mean with probability `level`, by the central limit theorem.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] unless 0 < level < 1.
    pub fn confidence_interval(&self, level: f64) -> Result<(f64, f64), RolloutError> {
        if !(level > 0.0 && level < 1.0) {
            return Err(RolloutError::invalid("level", level, "between 0 and 1, both excluded, e.g. 0.95"));
        }
        // The upper tail is (1 - level)/2; taken below the median, where the quantile keeps its relative accuracy.
        let half_width = -normal_quantile(0.5 * (1.0 - level)) * self.standard_error;
        Ok((self.mean - half_width, self.mean + half_width))
    }

    /// (mean - reference) / standard error.
    pub fn z_score(&self, reference: f64) -> f64 {
        (self.mean - reference) / self.standard_error
    }
}

/// z with P(Z <= z) = p for a standard normal Z, to about 1e-15 relative.
///
/// Newton's method on p = erfc(-z/sqrt(2))/2, in logarithms, where the tail is nearly quadratic; p = 0 and 1 give the
/// infinities and anything outside [0, 1] gives NaN.
pub fn normal_quantile(p: f64) -> f64 {
    if !(p > 0.0 && p < 1.0) {
        return if p == 0.0 {
            f64::NEG_INFINITY
        } else if p == 1.0 {
            f64::INFINITY
        } else {
            f64::NAN
        };
    }
    if p > 0.5 {
        // 1 - p is exact here.
        return -normal_quantile(1.0 - p);
    }
    // Phi(z) <= exp(-z^2/2)/2 for z <= 0, so this start lies left of the root; ln Phi is increasing and concave, so
    // Newton's iterates then rise to the root without passing it.
    let mut z = -(-2.0 * (2.0 * p).ln()).max(0.0).sqrt();
    for _ in 0..60 {
        let phi = 0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2);
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let step = (phi / p).ln() * phi / density;
        z -= step;
        if step.abs() <= 1e-15 * (1.0 + z.abs()) {
            break;
        }
    }
    z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_agree_with_tables() {
        let table = [
            (0.975, 1.959_963_984_540_054),
            (0.95, 1.644_853_626_951_472_2),
            (0.995, 2.575_829_303_548_900_4),
            (0.5, 0.0),
            (1e-10, -6.361_340_902_404_056),
            (0.25, -0.674_489_750_196_081_7),
        ];
        for (p, z) in table {
            assert!((normal_quantile(p) - z).abs() < 4e-15 * (1.0 + z.abs()), "{p}: {:.17}", normal_quantile(p));
        }
        for p in [1e-300, 1e-20, 0.3, 0.499_999_999, 0.8] {
            let back = 0.5 * libm::erfc(-normal_quantile(p) * std::f64::consts::FRAC_1_SQRT_2);
            assert!((back / p - 1.0).abs() < 1e-12, "{p}");
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(f64::NAN).is_nan());
    }

    #[test]
    fn intervals_and_pairing() {
        let e = Estimate::from_samples(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        // Variance 5/3 over n = 4.
        assert_eq!((e.mean, e.n), (2.5, 4));
        assert!((e.standard_error - (5.0f64 / 12.0).sqrt()).abs() < 1e-15);
        let (lo, hi) = e.confidence_interval(0.95).unwrap();
        assert!((hi - e.mean - 1.959_963_984_540_054 * e.standard_error).abs() < 1e-14 && (lo + hi - 5.0).abs() < 1e-14);
        let d = Estimate::paired_difference(&[1.0, 5.0, 9.0], &[0.5, 4.5, 8.5]).unwrap();
        assert_eq!((d.mean, d.standard_error), (0.5, 0.0));
        assert!(e.confidence_interval(1.0).is_err() && e.confidence_interval(f64::NAN).is_err());
        assert!(Estimate::from_samples(&[1.0]).is_err());
        assert!(Estimate::from_samples(&[1.0, f64::NAN]).is_err());
        assert!(Estimate::paired_difference(&[1.0, 2.0], &[1.0]).is_err());
    }
}
