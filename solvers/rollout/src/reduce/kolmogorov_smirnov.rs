//! Do samples follow a given law on the line?
//!
//! D = sup |F_n - F|, with the limiting law of sqrt(n) D and the correction of Stephens, which is good to 1 % from n = 8 on:
//!   P(D > d) = 2 sum_{k>=1} (-1)^{k-1} exp(-2 k^2 z^2),   z = d (sqrt n + 0.12 + 0.11/sqrt n).
//!
//! Reference: Stephens, *Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics without extensive tables*,
//! J. Roy. Statist. Soc. B 32 (1970).

use crate::error::RolloutError;

/// Distance of samples from a law, and how likely a larger one is for samples of that law.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct KolmogorovSmirnov {
    /// D.
    pub distance: f64,
    /// P(distance > D) for samples of the law.
    pub p_value: f64,
    /// Number of samples.
    pub n: usize,
}

/// Compare independent samples with the distribution function `cdf` of a continuous law. O(n log n).
///
/// # Errors
/// Fewer than 8 samples, or a sample or value of `cdf` that is not finite.
pub fn kolmogorov_smirnov(samples: &[f64], cdf: impl Fn(f64) -> f64) -> Result<KolmogorovSmirnov, RolloutError> {
    let n = samples.len();
    if n < 8 {
        return Err(RolloutError::invalid("number of samples", n, "at least 8"));
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut distance = 0.0f64;
    for (i, &x) in sorted.iter().enumerate() {
        let f = cdf(x);
        if !(x.is_finite() && (-1e-9..=1.0 + 1e-9).contains(&f)) {
            return Err(RolloutError::invalid("distribution function", format!("{f} at {x}"), "finite samples and 0 <= F <= 1"));
        }
        let (below, above) = (f - i as f64 / n as f64, (i + 1) as f64 / n as f64 - f);
        distance = distance.max(below).max(above);
    }
    let root = (n as f64).sqrt();
    Ok(KolmogorovSmirnov { distance, p_value: tail(distance * (root + 0.12 + 0.11 / root)), n })
}

/// 2 sum (-1)^{k-1} exp(-2 k^2 z^2).
fn tail(z: f64) -> f64 {
    if z < 0.2 {
        return 1.0; // 1 - 5e-13 already at 0.2, where the series starts to converge slowly
    }
    let term = |k: i32| (if k % 2 == 1 { 2.0 } else { -2.0 }) * (-2.0 * f64::from(k * k) * z * z).exp();
    (1..40).map(term).sum::<f64>().clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::NoiseKey;

    #[test]
    fn critical_values_and_distances() {
        // Tables of the limiting law: 10 %, 5 %, 1 %.
        for (z, p) in [(1.223_848, 0.10), (1.358_099, 0.05), (1.627_624, 0.01)] {
            assert!((tail(z) - p).abs() < 1e-6, "{z}: {}", tail(z));
        }
        // The midpoints of n equal cells are 1/(2n) away from the uniform law; shifted by s, 1/(2n) + s.
        let x: Vec<f64> = (0..50).map(|i| (f64::from(i) + 0.5) / 50.0).collect();
        let d = |s: f64| kolmogorov_smirnov(&x, |x| (x - s).clamp(0.0, 1.0)).unwrap();
        assert!((d(0.0).distance - 0.01).abs() < 1e-15 && d(0.0).p_value == 1.0);
        assert!((d(0.3).distance - 0.31).abs() < 1e-14 && d(0.3).p_value < 2e-4);
        assert!(kolmogorov_smirnov(&x[..7], |x| x).is_err() && kolmogorov_smirnov(&x, |_| f64::NAN).is_err());
    }

    #[test]
    fn p_values_of_true_samples_are_uniform() {
        // 200 sets of 100 normal numbers: the p-values have mean 1/2, deviation 1/sqrt(12 * 200) = 0.0204.
        let phi = |x: f64| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        let p = |set: u64| {
            let x: Vec<f64> = (0..100).map(|step| NoiseKey { seed: 5, path: set, level: 0 }.normal(step, 0)).collect();
            kolmogorov_smirnov(&x, phi).unwrap().p_value
        };
        let mean = (0..200).map(p).sum::<f64>() / 200.0;
        assert!((mean - 0.5).abs() < 4.0 * 0.0204, "{mean}");
    }
}
