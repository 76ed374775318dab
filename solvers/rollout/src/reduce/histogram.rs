//! Counts in bins of equal width.

use crate::error::RolloutError;
use crate::reduce::Estimate;

/// Range and number of bins of one coordinate.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct HistogramParams {
    /// Left edge of the first bin.
    pub lower: f64,
    /// Right edge of the last bin.
    pub upper: f64,
    /// Number of bins, from 1 to 65536.
    pub bins: usize,
}

impl Default for HistogramParams {
    /// 100 bins on [-5, 5].
    fn default() -> Self {
        HistogramParams { lower: -5.0, upper: 5.0, bins: 100 }
    }
}

/// A histogram; bin i holds lower + i w <= x < lower + (i+1) w with w = (upper - lower)/bins.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Histogram {
    /// Left edge of the first bin.
    pub lower: f64,
    /// Right edge of the last bin.
    pub upper: f64,
    /// Samples in each bin.
    pub counts: Vec<u64>,
    /// Samples below `lower`.
    pub underflow: u64,
    /// Samples at or above `upper`.
    pub overflow: u64,
}

impl Histogram {
    /// An empty histogram.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] naming the field.
    pub fn new(params: &HistogramParams) -> Result<Self, RolloutError> {
        let HistogramParams { lower, upper, bins } = *params;
        if !(lower < upper && (upper - lower).is_finite()) {
            return Err(RolloutError::invalid("histogram", format!("[{lower}, {upper}]"), "lower < upper, both finite"));
        }
        if bins == 0 || bins > 1 << 16 {
            return Err(RolloutError::invalid("histogram.bins", bins, "from 1 to 65536"));
        }
        Ok(Histogram { lower, upper, counts: vec![0; bins], underflow: 0, overflow: 0 })
    }

    /// Count samples; a NaN is not counted.
    pub fn absorb(&mut self, samples: &[f64]) {
        let bins = self.counts.len();
        let scale = bins as f64 / (self.upper - self.lower);
        for &x in samples {
            if x < self.lower {
                self.underflow += 1;
            } else if x >= self.upper {
                self.overflow += 1;
            } else if !x.is_nan() {
                // Rounding may carry a value just below `upper` one bin too far.
                let bin = ((x - self.lower) * scale) as usize;
                self.counts[bin.min(bins - 1)] += 1;
            }
        }
    }

    /// Add the counts of a histogram with the same bins.
    pub fn merge(&mut self, other: &Histogram) {
        for (c, o) in self.counts.iter_mut().zip(&other.counts) {
            *c += o;
        }
        self.underflow += other.underflow;
        self.overflow += other.overflow;
    }

    /// Number of samples, those outside included.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.underflow + self.overflow
    }

    /// The bins + 1 edges.
    pub fn edges(&self) -> Vec<f64> {
        let bins = self.counts.len();
        let width = (self.upper - self.lower) / bins as f64;
        (0..=bins).map(|i| if i == bins { self.upper } else { self.lower + i as f64 * width }).collect()
    }

    /// Estimated density in each bin: count / (total * width); zero without samples.
    pub fn density(&self) -> Vec<f64> {
        let width = (self.upper - self.lower) / self.counts.len() as f64;
        let mass = self.total().max(1) as f64 * width;
        self.counts.iter().map(|&c| c as f64 / mass).collect()
    }

    /// The density in each bin with its standard error, sqrt( p (1 - p) / n ) over the width for a bin of probability p. For
    /// independent samples; antithetic pairs have at most sqrt 2 times this.
    pub fn estimates(&self) -> Vec<Estimate> {
        bin_estimates(&self.counts, self.total(), (self.upper - self.lower) / self.counts.len() as f64)
    }
}

/// Densities in bins of the same size from a total of `n` independent samples.
pub(crate) fn bin_estimates(counts: &[u64], n: u64, size: f64) -> Vec<Estimate> {
    let estimate = |&count: &u64| {
        let p = count as f64 / n.max(1) as f64;
        // The sample deviation of n numbers 0 and 1 over sqrt n.
        let standard_error = if n < 2 { f64::INFINITY } else { (p * (1.0 - p) / (n - 1) as f64).sqrt() / size };
        Estimate { mean: p / size, standard_error, n }
    };
    counts.iter().map(estimate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edges_and_what_falls_outside() {
        let mut h = Histogram::new(&HistogramParams { lower: -1.0, upper: 1.0, bins: 4 }).unwrap();
        h.absorb(&[-1.5, -1.0, -0.5, 0.0, 0.49, 0.5, 1.0 - 1e-16, 1.0, 9.0, f64::NAN]);
        assert_eq!((h.counts.as_slice(), h.underflow, h.overflow, h.total()), (&[1, 1, 2, 2][..], 1, 2, 9));
        assert_eq!(h.edges(), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        // Bin 2 is a sample of nine numbers, two of them 1 and seven 0.
        let mut sample = vec![0.0; 7];
        sample.extend([1.0, 1.0]);
        let expected = Estimate::from_samples(&sample).unwrap();
        let found = h.estimates()[2];
        assert!((found.mean - 2.0 * expected.mean).abs() < 1e-15 && found.n == 9);
        assert!((found.standard_error / expected.standard_error - 2.0).abs() < 1e-14);
        let copy = h.clone();
        h.merge(&copy);
        assert_eq!(h.total(), 18);
        let inside: f64 = h.density().iter().map(|p| p * 0.5).sum();
        assert!((inside - 6.0 / 9.0).abs() < 1e-15);
        for (lower, upper, bins) in [(1.0, 1.0, 3), (0.0, f64::INFINITY, 3), (f64::NAN, 1.0, 3), (0.0, 1.0, 0)] {
            assert!(Histogram::new(&HistogramParams { lower, upper, bins }).is_err());
        }
    }
}
