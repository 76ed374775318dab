//! Gaussian bells at sampled states: 1, x_1, ..., x_D and exp(-|x - c_j|^2 / (2 w^2)).

use super::{Features, add_affine_transpose, write_affine};
use crate::parametric::ParametricError;
use hjbridge_model::lanes::exp_in_place;
use hjbridge_model::{Points, PointsMut};
use serde::{Deserialize, Serialize};

/// Gaussian bells with an affine part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RadialBasis {
    dim: usize,
    /// Centre after centre.
    centers: Vec<f64>,
    width: f64,
}

impl RadialBasis {
    /// `count` bells at points of `sample` chosen one after the other, each the farthest from those chosen (so they cover the
    /// sample evenly). Width `None` takes the mean distance from a centre to the nearest other one. O(count n D).
    ///
    /// # Errors
    /// More centres than different points, or a width that is not positive.
    pub fn from_sample(sample: Points<'_>, count: usize, width: Option<f64>) -> Result<Self, ParametricError> {
        let (dim, n) = (sample.dim(), sample.len());
        if count == 0 || count > n {
            let allowed = format!("1 to {n}, the number of sampled states");
            return Err(ParametricError::invalid("features.centers", count, allowed));
        }
        if let Some(w) = width
            && !(w > 0.0 && w.is_finite())
        {
            return Err(ParametricError::invalid("features.width", w, "positive and finite"));
        }
        let squared = |a: usize, b: usize| (0..dim).map(|i| (sample.coord(i)[a] - sample.coord(i)[b]).powi(2)).sum::<f64>();
        let mut chosen = vec![0];
        let mut nearest: Vec<f64> = (0..n).map(|j| squared(0, j)).collect();
        while chosen.len() < count {
            let (far, distance) = nearest.iter().enumerate().fold((0, 0.0), |m, (j, &d)| if d > m.1 { (j, d) } else { m });
            if distance == 0.0 {
                let allowed = format!("at most {}, the number of different states", chosen.len());
                return Err(ParametricError::invalid("features.centers", count, allowed));
            }
            chosen.push(far);
            for (j, d) in nearest.iter_mut().enumerate() {
                *d = d.min(squared(far, j));
            }
        }
        let width = width.unwrap_or_else(|| {
            let gap = |&a: &usize| {
                let others = chosen.iter().filter(|&&b| b != a).map(|&b| squared(a, b));
                others.fold(f64::INFINITY, f64::min).sqrt()
            };
            if count == 1 { 1.0 } else { chosen.iter().map(gap).sum::<f64>() / count as f64 }
        });
        let centers = chosen.iter().flat_map(|&j| (0..dim).map(move |i| sample.coord(i)[j])).collect();
        Ok(RadialBasis { dim, centers, width })
    }

    /// Whether there are centres, all of the right length, and a width.
    pub(super) fn is_sound(&self) -> bool {
        let whole = self.dim > 0 && !self.centers.is_empty() && self.centers.len().is_multiple_of(self.dim);
        whole && self.width > 0.0
    }

    fn bell(&self, x: Points<'_>, j: usize, out: &mut [f64]) {
        out.fill(0.0);
        let scale = -0.5 / (self.width * self.width);
        for i in 0..self.dim {
            let c = self.centers[j * self.dim + i];
            for (o, x) in out.iter_mut().zip(x.coord(i)) {
                *o += scale * (x - c) * (x - c);
            }
        }
        exp_in_place(out);
    }
}

impl Features for RadialBasis {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        1 + self.dim + self.centers.len() / self.dim.max(1)
    }

    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        write_affine(x, &mut out);
        for j in 0..self.centers.len() / self.dim {
            self.bell(x, j, out.coord_mut(1 + self.dim + j));
        }
    }

    fn add_jacobian_transpose(&self, x: Points<'_>, w: Points<'_>, mut out: PointsMut<'_>) {
        add_affine_transpose(self.dim, w, &mut out);
        let mut bell = vec![0.0; x.len()];
        let scale = -1.0 / (self.width * self.width);
        for j in 0..self.centers.len() / self.dim {
            self.bell(x, j, &mut bell);
            for (b, w) in bell.iter_mut().zip(w.coord(1 + self.dim + j)) {
                *b *= scale * w;
            }
            for i in 0..self.dim {
                let c = self.centers[j * self.dim + i];
                for ((o, b), x) in out.coord_mut(i).iter_mut().zip(&bell).zip(x.coord(i)) {
                    *o += b * (x - c);
                }
            }
        }
    }
}
