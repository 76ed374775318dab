//! Mean and covariance in one pass.
//!
//! A block is reduced in two passes (mean, then squares about it), and two sets of moments are joined by
//!   mean = mean_a + (n_b/n) delta,   M = M_a + M_b + (n_a n_b / n) delta delta',   delta = mean_b - mean_a,
//! which loses no digits to the size of the mean.
//!
//! Reference: Chan, Golub, LeVeque, *Updating formulae and a pairwise algorithm for computing sample variances*,
//! COMPSTAT 1982.

use hjbridge_model::Points;

use crate::reduce::Estimate;

/// Moments of a real quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ScalarMoments {
    n: u64,
    mean: f64,
    m2: f64,
}

impl ScalarMoments {
    /// Take in samples.
    pub fn absorb(&mut self, samples: impl Iterator<Item = f64> + Clone) {
        let (mut n, mut sum) = (0u64, 0.0);
        for x in samples.clone() {
            n += 1;
            sum += x;
        }
        if n == 0 {
            return;
        }
        let mean = sum / n as f64;
        let m2 = samples.map(|x| (x - mean) * (x - mean)).sum();
        self.merge(ScalarMoments { n, mean, m2 });
    }

    /// Join with the moments of other samples.
    pub fn merge(&mut self, other: ScalarMoments) {
        let n = self.n + other.n;
        if n == 0 {
            return;
        }
        let (a, b, delta) = (self.n as f64, other.n as f64, other.mean - self.mean);
        self.mean += delta * (b / n as f64);
        self.m2 += other.m2 + delta * delta * (a * b / n as f64);
        self.n = n;
    }

    /// The moments of c times the samples.
    pub(crate) fn scaled(self, c: f64) -> Self {
        ScalarMoments { n: self.n, mean: c * self.mean, m2: c * c * self.m2 }
    }

    /// Number of samples.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Mean and standard error.
    pub fn estimate(&self) -> Estimate {
        let standard_error = if self.n < 2 { f64::INFINITY } else { (self.variance() / self.n as f64).sqrt() };
        Estimate { mean: self.mean, standard_error, n: self.n }
    }

    /// Sample variance, n - 1 in the denominator; infinite for n < 2.
    pub fn variance(&self) -> f64 {
        if self.n < 2 { f64::INFINITY } else { self.m2 / (self.n - 1) as f64 }
    }
}

/// Moments of a vector.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moments {
    n: u64,
    mean: Vec<f64>,
    /// Sums of products about the mean, d x d, lower triangle filled.
    m2: Vec<f64>,
}

impl Moments {
    /// No sample yet, in R^`dim`.
    pub fn new(dim: usize) -> Self {
        Moments { n: 0, mean: vec![0.0; dim], m2: vec![0.0; dim * dim] }
    }

    /// Dimension of the vector.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Number of samples.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Take in the points.
    pub fn absorb(&mut self, x: Points<'_>) {
        let d = self.mean.len();
        let n = x.len() as u64;
        if n == 0 {
            return;
        }
        let mut block = Moments::new(d);
        block.n = n;
        for i in 0..d {
            block.mean[i] = x.coord(i).iter().sum::<f64>() / n as f64;
        }
        for i in 0..d {
            for j in 0..=i {
                let (mi, mj) = (block.mean[i], block.mean[j]);
                let products = x.coord(i).iter().zip(x.coord(j)).map(|(xi, xj)| (xi - mi) * (xj - mj));
                block.m2[i * d + j] = products.sum();
            }
        }
        self.merge(&block);
    }

    /// Join with the moments of other points.
    pub fn merge(&mut self, other: &Moments) {
        let d = self.mean.len();
        let n = self.n + other.n;
        if n == 0 {
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let delta: Vec<f64> = other.mean.iter().zip(&self.mean).map(|(o, s)| o - s).collect();
        for i in 0..d {
            self.mean[i] += delta[i] * (b / n as f64);
            for j in 0..=i {
                self.m2[i * d + j] += other.m2[i * d + j] + delta[i] * delta[j] * (a * b / n as f64);
            }
        }
        self.n = n;
    }

    /// Mean and standard error of each coordinate.
    pub fn mean(&self) -> Vec<Estimate> {
        let d = self.mean.len();
        let scalar = |i| ScalarMoments { n: self.n, mean: self.mean[i], m2: self.m2[i * d + i] };
        (0..d).map(|i| scalar(i).estimate()).collect()
    }

    /// Sample covariance, d x d row by row, n - 1 in the denominator; infinite for n < 2.
    pub fn covariance(&self) -> Vec<f64> {
        let d = self.mean.len();
        let entry = |ij: usize| {
            let (i, j) = (ij / d, ij % d);
            if self.n < 2 { f64::INFINITY } else { self.m2[i.max(j) * d + i.min(j)] / (self.n - 1) as f64 }
        };
        (0..d * d).map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::PointBlock;

    #[test]
    fn moments_of_a_known_set_split_in_any_way() {
        // x = 1e9 + (0..n), y = -2x: variance n(n+1)/12, and the large mean must not cost digits.
        let n = 101;
        let points: Vec<[f64; 2]> = (0..n).map(|i| [1e9 + i as f64, -2e9 - 2.0 * i as f64]).collect();
        let block = PointBlock::from_points(2, &points).unwrap();
        let variance = (n * (n + 1)) as f64 / 12.0;
        for cut in [0, 1, 37, n] {
            let (mut a, mut b) = (Moments::new(2), Moments::new(2));
            a.absorb(block.as_points().window(0..cut));
            b.absorb(block.as_points().window(cut..n));
            a.merge(&b);
            let c = a.covariance();
            for (found, expected) in c.iter().zip([variance, -2.0 * variance, -2.0 * variance, 4.0 * variance]) {
                assert!((found / expected - 1.0).abs() < 1e-13, "{c:?}");
            }
            assert!((a.mean()[0].mean - (1e9 + 50.0)).abs() < 1e-6 && a.mean()[0].n == 101);
            assert!((a.mean()[1].standard_error - (4.0 * variance / 101.0).sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_and_one_sample() {
        let mut m = ScalarMoments::default();
        m.merge(ScalarMoments::default());
        m.absorb([3.0].into_iter());
        assert_eq!(m.estimate(), Estimate { mean: 3.0, standard_error: f64::INFINITY, n: 1 });
        assert!(Moments::new(1).covariance()[0].is_infinite());
    }
}
