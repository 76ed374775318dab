//! A sub-box of a tensor grid, on which norms are taken.

use super::tensor::TensorGrid;
use crate::error::ModelError;
use std::ops::Range;

/// A closed box [lower_1, upper_1] x ... x [lower_d, upper_d].
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl Region {
    /// The box with these corners, each of length d.
    ///
    /// # Errors
    /// Corners of different length or empty, a NaN, or lower > upper. Infinite bounds are allowed.
    pub fn new(lower: Vec<f64>, upper: Vec<f64>) -> Result<Self, ModelError> {
        if lower.is_empty() {
            return Err(ModelError::Shape { field: "region.lower".into(), found: 0, expected: 1 });
        }
        if lower.len() != upper.len() {
            return Err(ModelError::Shape { field: "region.upper".into(), found: upper.len(), expected: lower.len() });
        }
        for (i, (&l, &u)) in lower.iter().zip(&upper).enumerate() {
            if l.is_nan() {
                return Err(ModelError::invalid(format!("region.lower[{i}]"), l, "must be a number"));
            }
            if u.is_nan() || u < l {
                return Err(ModelError::invalid(format!("region.upper[{i}]"), u, format!("must be at least lower = {l}")));
            }
        }
        Ok(Region { lower, upper })
    }

    /// The cube [-radius, radius]^dim.
    ///
    /// # Errors
    /// A negative or NaN radius, or dim = 0.
    pub fn cube(dim: usize, radius: f64) -> Result<Self, ModelError> {
        Region::new(vec![-radius; dim], vec![radius; dim])
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.lower.len()
    }

    /// Lower corner.
    pub fn lower(&self) -> &[f64] {
        &self.lower
    }

    /// Upper corner.
    pub fn upper(&self) -> &[f64] {
        &self.upper
    }

    /// Whether the point lies in the closed box; false for a NaN or a point of another dimension.
    pub fn contains(&self, point: &[f64]) -> bool {
        point.len() == self.dim() && (0..self.dim()).all(|a| point[a] >= self.lower[a] && point[a] <= self.upper[a])
    }
}

/// The flat indices of a tensor grid's nodes in a box, in increasing order.
#[derive(Clone, Debug)]
pub struct RegionNodes {
    ranges: Vec<Range<usize>>,
    strides: Vec<usize>,
    index: Vec<usize>,
    left: usize,
}

impl RegionNodes {
    /// The nodes with multi-index in the product of the ranges, each of them non-empty.
    pub(super) fn new(grid: &TensorGrid, ranges: Vec<Range<usize>>) -> Self {
        let index = ranges.iter().map(|r| r.start).collect();
        let left = ranges.iter().map(|r| r.len()).product();
        RegionNodes { ranges, strides: grid.strides().to_vec(), index, left }
    }
}

impl Iterator for RegionNodes {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let flat = self.index.iter().zip(&self.strides).map(|(i, s)| i * s).sum();
        for (i, range) in self.index.iter_mut().zip(&self.ranges).rev() {
            *i += 1;
            if *i < range.end {
                break;
            }
            *i = range.start;
        }
        Some(flat)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RegionNodes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_regions_are_refused_by_name() {
        let message = |lower: &[f64], upper: &[f64]| Region::new(lower.to_vec(), upper.to_vec()).unwrap_err().to_string();
        assert!(message(&[], &[]).starts_with("region.lower has 0"));
        assert!(message(&[0.0], &[1.0, 2.0]).starts_with("region.upper has 2"));
        assert!(message(&[0.0, f64::NAN], &[1.0, 2.0]).starts_with("region.lower[1] = NaN"));
        assert!(message(&[0.0, 3.0], &[1.0, 2.0]).starts_with("region.upper[1] = 2"));
        assert!(Region::cube(2, -1.0).is_err());
    }

    #[test]
    fn membership_is_closed_and_refuses_nan() {
        let region = Region::new(vec![0.0, f64::NEG_INFINITY], vec![1.0, 2.0]).unwrap();
        assert!(region.contains(&[0.0, 2.0]) && region.contains(&[1.0, -1e300]));
        assert!(!region.contains(&[1.1, 0.0]) && !region.contains(&[f64::NAN, 0.0]) && !region.contains(&[0.5]));
    }
}
