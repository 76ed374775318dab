//! Counts in the rectangles of a plane: the histogram of two coordinates.

use crate::error::RolloutError;
use crate::reduce::histogram::bin_estimates;
use crate::reduce::{Estimate, Histogram, HistogramParams};

/// Which two coordinates of the final state to count, and where.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct PlaneHistogramParams {
    /// Numbers of the two coordinates.
    pub coordinates: (usize, usize),
    /// Range and bins of the first.
    pub first: HistogramParams,
    /// Range and bins of the second.
    pub second: HistogramParams,
}

/// A histogram of two coordinates; bin (i, j) is entry `i * columns + j` and is half open in both.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PlaneHistogram {
    /// Numbers of the two coordinates.
    pub coordinates: (usize, usize),
    /// Edges of the first coordinate's range.
    pub first: (f64, f64),
    /// Edges of the second coordinate's range.
    pub second: (f64, f64),
    /// Bins of the first coordinate.
    pub rows: usize,
    /// Bins of the second coordinate.
    pub columns: usize,
    /// Samples in each bin.
    pub counts: Vec<u64>,
    /// Samples outside the rectangle.
    pub outside: u64,
}

impl PlaneHistogram {
    /// An empty histogram; at most 2^24 bins.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] naming the field.
    pub fn new(params: &PlaneHistogramParams) -> Result<Self, RolloutError> {
        Histogram::new(&params.first)?;
        Histogram::new(&params.second)?;
        let (rows, columns) = (params.first.bins, params.second.bins);
        if rows * columns > 1 << 24 {
            return Err(RolloutError::invalid("plane histogram bins", rows * columns, "at most 16777216"));
        }
        Ok(PlaneHistogram {
            coordinates: params.coordinates,
            first: (params.first.lower, params.first.upper),
            second: (params.second.lower, params.second.upper),
            rows,
            columns,
            counts: vec![0; rows * columns],
            outside: 0,
        })
    }

    /// Count pairs; a pair with a NaN counts as outside.
    pub fn absorb(&mut self, x: &[f64], y: &[f64]) {
        let place = |x: f64, (lower, upper): (f64, f64), bins: usize| {
            (x >= lower && x < upper).then(|| (((x - lower) * (bins as f64 / (upper - lower))) as usize).min(bins - 1))
        };
        for (&x, &y) in x.iter().zip(y) {
            match (place(x, self.first, self.rows), place(y, self.second, self.columns)) {
                (Some(i), Some(j)) => self.counts[i * self.columns + j] += 1,
                _ => self.outside += 1,
            }
        }
    }

    /// Add the counts of a histogram with the same bins.
    pub fn merge(&mut self, other: &PlaneHistogram) {
        for (c, o) in self.counts.iter_mut().zip(&other.counts) {
            *c += o;
        }
        self.outside += other.outside;
    }

    /// Estimated density in each bin: count / (total * area); zero without samples.
    pub fn density(&self) -> Vec<f64> {
        self.estimates().iter().map(|e| e.mean).collect()
    }

    /// The density in each bin with its standard error, as [`Histogram::estimates`] has it.
    pub fn estimates(&self) -> Vec<Estimate> {
        let area = (self.first.1 - self.first.0) * (self.second.1 - self.second.0) / self.counts.len() as f64;
        bin_estimates(&self.counts, self.total(), area)
    }

    /// Number of samples, those outside included.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_pairs_in_their_rectangles() {
        let axis = |bins| HistogramParams { lower: 0.0, upper: 1.0, bins };
        let params = PlaneHistogramParams { coordinates: (0, 1), first: axis(2), second: axis(4) };
        let mut h = PlaneHistogram::new(&params).unwrap();
        h.absorb(&[0.1, 0.6, 0.6, 1.0, f64::NAN, 0.0], &[0.3, 0.9, 0.9, 0.1, 0.1, 0.0]);
        assert_eq!((h.counts.as_slice(), h.outside), (&[1, 1, 0, 0, 0, 0, 0, 2][..], 2));
        let mass: f64 = h.density().iter().map(|p| p / 8.0).sum();
        assert!((mass - 4.0 / 6.0).abs() < 1e-15);
        let copy = h.clone();
        h.merge(&copy);
        assert_eq!((h.counts[7], h.outside), (4, 4));
        let bad = PlaneHistogramParams { first: axis(1 << 16), second: axis(1 << 10), ..params };
        assert!(PlaneHistogram::new(&bad).is_err());
        assert!(PlaneHistogram::new(&PlaneHistogramParams { first: axis(0), ..params }).is_err());
    }
}
