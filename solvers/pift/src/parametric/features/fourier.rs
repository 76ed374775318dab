//! Random Fourier features: 1, x_1, ..., x_D and sqrt(2) cos(omega_j . x + phase_j), omega_j ~ N(0, I / l^2), phase uniform.
//!
//! They approximate the kernel exp(-|x - y|^2 / (2 l^2)). Reference: Rahimi, Recht, *Random features for large-scale kernel
//! machines*, NIPS 2007.

use super::{Features, MOST, add_affine_transpose, write_affine};
use crate::parametric::ParametricError;
use crate::parametric::lanes::add_product;
use hjbridge_model::{PointBlock, Points, PointsMut};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Cosines with an affine part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RandomFourier {
    dim: usize,
    /// Frequency after frequency.
    frequencies: Vec<f64>,
    phases: Vec<f64>,
}

impl RandomFourier {
    /// `count` cosines of length `length_scale`, drawn from `rng`.
    ///
    /// # Errors
    /// No cosine, more than 20 000 features, or a length that is not positive.
    pub fn new(dim: usize, count: usize, length_scale: f64, rng: &mut dyn Rng) -> Result<Self, ParametricError> {
        let most = MOST.saturating_sub(1 + dim);
        if !(1..=most).contains(&count) {
            return Err(ParametricError::invalid("features.count", count, format!("1 to {most}")));
        }
        if !(length_scale > 0.0 && length_scale.is_finite()) {
            return Err(ParametricError::invalid("features.length_scale", length_scale, "positive and finite"));
        }
        let mut normal = || -> f64 { StandardNormal.sample(&mut *rng) };
        let frequencies = (0..dim * count).map(|_| normal() / length_scale).collect();
        let phases = (0..count).map(|_| std::f64::consts::TAU * rng.random::<f64>()).collect();
        Ok(RandomFourier { dim, frequencies, phases })
    }

    /// Whether there are as many frequencies as phases.
    pub(super) fn is_sound(&self) -> bool {
        self.dim > 0 && !self.phases.is_empty() && self.dim.checked_mul(self.phases.len()) == Some(self.frequencies.len())
    }

    fn angles(&self, x: Points<'_>) -> PointBlock {
        let mut angles = PointBlock::zeros(self.phases.len(), x.len());
        for (j, phase) in self.phases.iter().enumerate() {
            angles.as_mut().coord_mut(j).fill(*phase);
        }
        add_product(&self.frequencies, x, angles.as_mut());
        angles
    }
}

impl Features for RandomFourier {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        1 + self.dim + self.phases.len()
    }

    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        write_affine(x, &mut out);
        let angles = self.angles(x);
        for j in 0..self.phases.len() {
            for (o, a) in out.coord_mut(1 + self.dim + j).iter_mut().zip(angles.coord(j)) {
                *o = std::f64::consts::SQRT_2 * libm::cos(*a);
            }
        }
    }

    fn add_jacobian_transpose(&self, x: Points<'_>, w: Points<'_>, mut out: PointsMut<'_>) {
        add_affine_transpose(self.dim, w, &mut out);
        let mut angles = self.angles(x);
        for j in 0..self.phases.len() {
            for (a, w) in angles.as_mut().coord_mut(j).iter_mut().zip(w.coord(1 + self.dim + j)) {
                *a = -std::f64::consts::SQRT_2 * libm::sin(*a) * w;
            }
        }
        crate::parametric::lanes::add_transposed_product(&self.frequencies, angles.as_points(), out);
    }
}
