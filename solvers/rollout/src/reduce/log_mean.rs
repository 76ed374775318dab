//! The logarithm of a mean of exponentials, without overflow.

use crate::reduce::{Estimate, ScalarMoments};

/// Moments of exp(a - shift) for samples a, where the shift is the largest a of the blocks seen so far.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LogMean {
    shift: Option<f64>,
    moments: ScalarMoments,
}

impl LogMean {
    /// Of no sample.
    pub fn new() -> Self {
        LogMean { shift: None, moments: ScalarMoments::default() }
    }

    /// Take in samples a.
    pub fn absorb(&mut self, samples: &[f64]) {
        let Some(shift) = samples.iter().copied().reduce(f64::max) else { return };
        let mut moments = ScalarMoments::default();
        moments.absorb(samples.iter().map(|a| (a - shift).exp()));
        self.merge(LogMean { shift: Some(shift), moments });
    }

    /// Join with other samples.
    pub fn merge(&mut self, other: LogMean) {
        let Some(theirs) = other.shift else { return };
        let Some(ours) = self.shift else {
            *self = other;
            return;
        };
        let shift = ours.max(theirs);
        self.moments = self.moments.scaled((ours - shift).exp());
        self.moments.merge(other.moments.scaled((theirs - shift).exp()));
        self.shift = Some(shift);
    }

    /// log of the mean of exp(a); its standard error is that of the mean divided by the mean (delta method; the logarithm
    /// is biased by minus half its square).
    pub fn estimate(&self) -> Estimate {
        let Estimate { mean, standard_error, n } = self.moments.estimate();
        Estimate { mean: self.shift.unwrap_or(f64::NEG_INFINITY) + mean.ln(), standard_error: standard_error / mean, n }
    }

    /// (sum w)^2 / sum w^2 with w = exp(a): how many samples of equal weight would have the same standard error.
    pub fn effective_samples(&self) -> f64 {
        let n = self.moments.n() as f64;
        let Estimate { mean, .. } = self.moments.estimate();
        let relative = if n < 2.0 { 0.0 } else { self.moments.variance() * (n - 1.0) / n / (mean * mean) };
        n / (1.0 + relative)
    }
}

impl Default for LogMean {
    fn default() -> Self {
        LogMean::new()
    }
}

/// log of the mean of exp over the entries 2j and 2j + 1: what a [`LogMean`] takes in of antithetic pairs.
pub fn log_pair_means(a: &[f64]) -> Vec<f64> {
    let pair = |p: &[f64]| p[0].max(p[1]) + (0.5 * (1.0 + (-(p[0] - p[1]).abs()).exp())).ln();
    a.chunks_exact(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_exponents_split_in_any_way() {
        let a: Vec<f64> = (0..300).map(|i| 900.0 + 3.0 * (f64::from(i) * 0.7).sin()).collect();
        let w: Vec<f64> = a.iter().map(|a| (a - 900.0).exp()).collect();
        let (s1, s2): (f64, f64) = (w.iter().sum(), w.iter().map(|w| w * w).sum());
        let variance = w.iter().map(|w| (w - s1 / 300.0).powi(2)).sum::<f64>() / 299.0;
        for cut in [0, 1, 120, 300] {
            let (mut x, mut y) = (LogMean::new(), LogMean::new());
            x.absorb(&a[..cut]);
            y.absorb(&a[cut..]);
            x.merge(y);
            let e = x.estimate();
            assert!((e.mean - 900.0 - (s1 / 300.0).ln()).abs() < 1e-12 && e.n == 300);
            assert!((e.standard_error / ((variance / 300.0).sqrt() / (s1 / 300.0)) - 1.0).abs() < 1e-12);
            assert!((x.effective_samples() / (s1 * s1 / s2) - 1.0).abs() < 1e-12);
        }
    }
}
