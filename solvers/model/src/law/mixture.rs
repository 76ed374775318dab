//! Gaussian mixtures  p = sum_i w_i N(mu_i, C_i): density, score, sampling, and the noised law.
//!
//! Under the forward process X_tau = e X + sqrt(1 - e^2) Z the law stays a mixture: means e mu_i, covariances
//! e^2 C_i + (1 - e^2) I. A Gaussian is a mixture of one, a Gaussian kernel density estimate a mixture with one covariance
//! shared by all components. Evaluation costs O(K d^2) a point for K components and one exponential each.

use super::Law;
use super::mixture_block::{LANES, Lane, MixtureBlock};
use crate::dispatch::dispatch;
use crate::error::ModelError;
use crate::points::{Points, PointsMut};
use crate::spd::{Spd, symmetric};
use faer::Mat;
use rand::Rng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::cell::Cell;

thread_local! {
    /// Memory of [`GaussianMixture::evaluate`], kept between calls: a block of points is too little work for an allocation.
    static SCRATCH: Cell<Vec<Lane>> = const { Cell::new(Vec::new()) };
}

/// A mixture of Gaussians in R^d.
#[derive(Clone, Debug)]
pub struct GaussianMixture {
    dim: usize,
    weights: Vec<f64>,
    /// Component-major: mean of component i at `i * dim..`.
    means: Vec<f64>,
    /// One covariance shared by all components, or one each.
    covariances: Vec<Spd>,
    /// Row-major lower triangular L^-1 of each covariance.
    whitening: Vec<f64>,
    /// log w_i - (d log 2 pi + log det C_i) / 2.
    log_constants: Vec<f64>,
}

impl GaussianMixture {
    /// Mixture with weights w_i, means mu_i and covariances C_i (rows).
    ///
    /// # Errors
    /// Lengths that differ, weights that are negative or do not sum to one within 1e-9, means that are not finite,
    /// covariances that are not symmetric positive definite; the field names are `weights`, `means`, `covariances`.
    pub fn new(weights: Vec<f64>, means: Vec<Vec<f64>>, covariances: Vec<Vec<Vec<f64>>>) -> Result<Self, ModelError> {
        let k = weights.len();
        let dim = means.first().map_or(0, Vec::len);
        if k == 0 || dim == 0 {
            return Err(ModelError::invalid("means", "[]", "at least one component of dimension at least 1"));
        }
        check_weights(&weights)?;
        if means.len() != k {
            return Err(ModelError::Shape { field: "means".into(), found: means.len(), expected: k });
        }
        if covariances.len() != k {
            return Err(ModelError::Shape { field: "covariances".into(), found: covariances.len(), expected: k });
        }
        let mut flat = Vec::with_capacity(k * dim);
        for (i, m) in means.iter().enumerate() {
            check_vector(&format!("means[{i}]"), m, dim)?;
            flat.extend_from_slice(m);
        }
        // Equal covariances are one shared covariance, which is evaluated faster.
        let distinct = if covariances.iter().all(|c| *c == covariances[0]) { 1 } else { k };
        let covariances = covariances[..distinct]
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let field = format!("covariances[{i}]");
                Spd::new(&field, symmetric(&field, c, dim)?)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::assemble(dim, weights, flat, covariances))
    }

    /// One Gaussian N(mean, covariance).
    ///
    /// # Errors
    /// As [`GaussianMixture::new`], with the field names `mean` and `covariance`.
    pub fn gaussian(mean: Vec<f64>, covariance: Vec<Vec<f64>>) -> Result<Self, ModelError> {
        let dim = mean.len();
        if dim == 0 {
            return Err(ModelError::invalid("mean", "[]", "a vector of length at least 1"));
        }
        check_vector("mean", &mean, dim)?;
        let c = Spd::new("covariance", symmetric("covariance", &covariance, dim)?)?;
        Ok(Self::assemble(dim, vec![1.0], mean, vec![c]))
    }

    /// N(0, I) in R^d.
    ///
    /// # Errors
    /// `dim` = 0.
    pub fn standard_normal(dim: usize) -> Result<Self, ModelError> {
        let identity = (0..dim).map(|i| (0..dim).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        Self::gaussian(vec![0.0; dim], identity)
    }

    /// From parts already checked: `means` component-major, one covariance each or a single shared one.
    pub(crate) fn assemble(dim: usize, weights: Vec<f64>, means: Vec<f64>, covariances: Vec<Spd>) -> Self {
        let whitening = covariances
            .iter()
            .flat_map(|c| {
                let w = c.whitening();
                (0..dim * dim).map(move |r| w[(r / dim, r % dim)])
            })
            .collect();
        let half_log_2pi = 0.5 * dim as f64 * (2.0 * std::f64::consts::PI).ln();
        let log_constants = weights
            .iter()
            .enumerate()
            .map(|(i, w)| w.ln() - half_log_2pi - 0.5 * covariances[if covariances.len() == 1 { 0 } else { i }].log_det())
            .collect();
        GaussianMixture { dim, weights, means, covariances, whitening, log_constants }
    }

    /// Number of components K.
    pub fn components(&self) -> usize {
        self.weights.len()
    }

    /// w_i.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// mu_i, length d.
    pub fn mean_of(&self, i: usize) -> &[f64] {
        &self.means[i * self.dim..(i + 1) * self.dim]
    }

    /// C_i, factored.
    pub fn covariance_of(&self, i: usize) -> &Spd {
        &self.covariances[self.covariance_index(i)]
    }

    /// Whether all components share one covariance.
    pub fn shares_covariance(&self) -> bool {
        self.covariances.len() == 1
    }

    fn covariance_index(&self, i: usize) -> usize {
        if self.covariances.len() == 1 { 0 } else { i }
    }

    /// Mean of the mixture.
    pub fn mean(&self) -> Vec<f64> {
        (0..self.dim).map(|r| (0..self.components()).map(|i| self.weights[i] * self.mean_of(i)[r]).sum()).collect()
    }

    /// Covariance of the mixture, rows.
    pub fn covariance(&self) -> Vec<Vec<f64>> {
        let m = self.mean();
        let entry = |r: usize, s: usize| {
            (0..self.components())
                .map(|i| {
                    let mu = self.mean_of(i);
                    self.weights[i] * (self.covariance_of(i).matrix()[(r, s)] + (mu[r] - m[r]) * (mu[s] - m[s]))
                })
                .sum()
        };
        (0..self.dim).map(|r| (0..self.dim).map(|s| entry(r, s)).collect()).collect()
    }

    /// The law of e X + sqrt(1 - e^2) Z with e^2 = exp(-`integral`), `integral` = int b over the noising time.
    ///
    /// A negative `integral` is taken as 0. Cost O(K d^3), or O(d^3) with a shared covariance.
    pub fn noised_by(&self, integral: f64) -> GaussianMixture {
        if integral <= 0.0 {
            return self.clone();
        }
        let e = (-0.5 * integral).exp();
        let (keep, noise) = (e * e, -(-integral).exp_m1());
        let covariances: Vec<Spd> = self
            .covariances
            .iter()
            .map(|c| {
                let d = self.dim;
                let m = c.matrix();
                let noised = Mat::from_fn(d, d, |i, j| keep * m[(i, j)] + if i == j { noise } else { 0.0 });
                // a convex combination of positive definite matrices is positive definite, so this cannot fail
                Spd::new("noised covariance", noised).unwrap_or_else(|_| c.clone())
            })
            .collect();
        let means = self.means.iter().map(|m| e * m).collect();
        Self::assemble(self.dim, self.weights.clone(), means, covariances)
    }

    /// Write the score grad log p at each point (`out` is d-dimensional).
    pub fn score(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.evaluate(x, None, Some(out));
    }

    /// Write log p and its gradient at each point; cheaper than the two calls.
    pub fn log_density_and_score(&self, x: Points<'_>, log_p: &mut [f64], score: PointsMut<'_>) {
        self.evaluate(x, Some(log_p), Some(score));
    }

    fn evaluate(&self, x: Points<'_>, mut log_p: Option<&mut [f64]>, mut score: Option<PointsMut<'_>>) {
        let mut scratch = SCRATCH.take();
        scratch.resize(self.components() + 2 * self.dim, [0.0; LANES]);
        let mut start = 0;
        while start < x.len() {
            let n = LANES.min(x.len() - start);
            let log_p = log_p.as_deref_mut().map(|l| &mut l[start..start + n]);
            let score = score.as_mut().map(|s| s.window(start..start + n));
            dispatch(MixtureBlock {
                components: self.components(),
                log_constants: &self.log_constants,
                means: &self.means,
                whitening: &self.whitening,
                shared: self.shares_covariance(),
                x: x.window(start..start + n),
                log_p,
                score,
                scratch: &mut scratch,
            });
            start += n;
        }
        SCRATCH.set(scratch);
    }

    /// P(X_axis <= x) of one coordinate.
    pub fn marginal_cdf(&self, axis: usize, x: f64) -> f64 {
        (0..self.components())
            .map(|i| {
                let sd = self.covariance_of(i).matrix()[(axis, axis)].sqrt();
                self.weights[i] * 0.5 * libm::erfc(-(x - self.mean_of(i)[axis]) / (sd * std::f64::consts::SQRT_2))
            })
            .sum()
    }

    /// Upper bound for P(X outside the box): the sum of the coordinates' tails.
    pub fn mass_outside(&self, lower: &[f64], upper: &[f64]) -> f64 {
        (0..self.dim)
            .map(|r| {
                let tails = (0..self.components()).map(|i| {
                    let sd = self.covariance_of(i).matrix()[(r, r)].sqrt() * std::f64::consts::SQRT_2;
                    let mu = self.mean_of(i)[r];
                    self.weights[i] * 0.5 * (libm::erfc((mu - lower[r]) / sd) + libm::erfc((upper[r] - mu) / sd))
                });
                tails.sum::<f64>()
            })
            .sum()
    }
}

impl Law for GaussianMixture {
    fn dim(&self) -> usize {
        self.dim
    }

    fn log_density(&self, x: Points<'_>, out: &mut [f64]) {
        self.evaluate(x, Some(out), None);
    }

    fn sample(&self, rng: &mut dyn Rng, out: &mut [f64]) {
        let u: f64 = rng.random();
        let mut cumulative = 0.0;
        let last = self.components() - 1;
        let i = (0..last)
            .find(|&i| {
                cumulative += self.weights[i];
                u < cumulative
            })
            .unwrap_or(last);
        let z: Vec<f64> = (0..self.dim).map(|_| StandardNormal.sample(rng)).collect();
        let l = self.covariance_of(i).factor();
        for (r, o) in out.iter_mut().enumerate() {
            *o = self.mean_of(i)[r] + (0..=r).map(|s| l[(r, s)] * z[s]).sum::<f64>();
        }
    }
}

fn check_weights(weights: &[f64]) -> Result<(), ModelError> {
    for (i, &w) in weights.iter().enumerate() {
        if !(w.is_finite() && w > 0.0) {
            return Err(ModelError::invalid(format!("weights[{i}]"), w, "must be positive"));
        }
    }
    let sum: f64 = weights.iter().sum();
    if (sum - 1.0).abs() > 1e-9 {
        return Err(ModelError::invalid("weights", format!("a vector with sum {sum}"), "must sum to one"));
    }
    Ok(())
}

pub(crate) fn check_vector(field: &str, v: &[f64], dim: usize) -> Result<(), ModelError> {
    if v.len() != dim {
        return Err(ModelError::Shape { field: field.into(), found: v.len(), expected: dim });
    }
    match v.iter().position(|x| !x.is_finite()) {
        Some(j) => Err(ModelError::invalid(format!("{field}[{j}]"), v[j], "must be finite")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::PointBlock;

    fn two_dim() -> GaussianMixture {
        GaussianMixture::new(
            vec![0.3, 0.7],
            vec![vec![-1.0, 0.5], vec![0.8, -0.2]],
            vec![vec![vec![0.7, 0.3], vec![0.3, 1.5]], vec![vec![0.4, -0.1], vec![-0.1, 0.3]]],
        )
        .unwrap()
    }

    /// N(x; mu, C) in two dimensions, written out.
    fn normal2(x: [f64; 2], mu: [f64; 2], c: [[f64; 2]; 2]) -> f64 {
        let det = c[0][0] * c[1][1] - c[0][1] * c[1][0];
        let (a, b) = (x[0] - mu[0], x[1] - mu[1]);
        let q = (c[1][1] * a * a - 2.0 * c[0][1] * a * b + c[0][0] * b * b) / det;
        (-0.5 * q).exp() / (2.0 * std::f64::consts::PI * det.sqrt())
    }

    #[test]
    fn density_and_score_match_the_formula() {
        let m = two_dim();
        let pts: Vec<[f64; 2]> = (0..150).map(|i| [(i as f64 * 0.7).sin() * 3.0, (i as f64 * 1.3).cos() * 3.0]).collect();
        let block = PointBlock::from_points(2, &pts).unwrap();
        let mut log_p = vec![0.0; 150];
        let mut score = PointBlock::zeros(2, 150);
        m.log_density_and_score(block.as_points(), &mut log_p, score.as_mut());
        let density = |x: [f64; 2]| {
            0.3 * normal2(x, [-1.0, 0.5], [[0.7, 0.3], [0.3, 1.5]]) + 0.7 * normal2(x, [0.8, -0.2], [[0.4, -0.1], [-0.1, 0.3]])
        };
        for (j, &x) in pts.iter().enumerate() {
            assert!((log_p[j] - density(x).ln()).abs() < 1e-12);
            let h = 1e-5;
            for r in 0..2 {
                let (mut up, mut down) = (x, x);
                up[r] += h;
                down[r] -= h;
                let fd = (density(up).ln() - density(down).ln()) / (2.0 * h);
                assert!((score.coord(r)[j] - fd).abs() < 1e-7 * (1.0 + fd.abs()), "{j} {r}");
            }
        }
    }

    #[test]
    fn far_away_the_logarithm_survives() {
        let m =
            GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
        let x = [-400.0, 400.0];
        let mut out = [0.0; 2];
        m.log_density(Points::new(&x, 1), &mut out);
        let expected = 0.6_f64.ln() - 0.5 * (2.0 * std::f64::consts::PI * 0.4).ln() - 0.5 * 399.0_f64.powi(2) / 0.4;
        assert!((out[1] / expected - 1.0).abs() < 1e-14 && out[0].is_finite());
    }

    #[test]
    fn noising_keeps_moments_and_the_semigroup() {
        let m = two_dim();
        let a = m.noised_by(0.8).noised_by(0.5);
        let b = m.noised_by(1.3);
        for (x, y) in a.mean().iter().zip(b.mean()) {
            assert!((x - y).abs() < 1e-15);
        }
        let (e2, c, n) = ((-1.3_f64).exp(), m.covariance(), b.covariance());
        for r in 0..2 {
            for s in 0..2 {
                let want = e2 * c[r][s] + if r == s { 1.0 - e2 } else { 0.0 };
                assert!((n[r][s] - want).abs() < 1e-14);
                assert!((a.covariance()[r][s] - n[r][s]).abs() < 1e-14);
            }
        }
        // a noising time far beyond the schedule ends at the standard normal
        let far = m.noised_by(80.0);
        assert!((far.covariance()[0][0] - 1.0).abs() < 1e-12 && far.mean()[0].abs() < 1e-12);
    }

    #[test]
    fn samples_have_the_moments() {
        use rand::SeedableRng;
        let m = two_dim();
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let n = 40_000;
        let mut sum = [0.0; 2];
        let mut x = [0.0; 2];
        for _ in 0..n {
            m.sample(&mut rng, &mut x);
            sum[0] += x[0];
            sum[1] += x[1];
        }
        for r in 0..2 {
            let z = (sum[r] / n as f64 - m.mean()[r]) / (m.covariance()[r][r] / n as f64).sqrt();
            assert!(z.abs() < 4.0, "z = {z}");
        }
    }

    #[test]
    fn cdf_and_tails() {
        let m = GaussianMixture::standard_normal(1).unwrap();
        assert!((m.marginal_cdf(0, 1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((m.mass_outside(&[-1.0], &[1.0]) - 0.317_310_507_862_914_1).abs() < 1e-14);
    }

    #[test]
    fn bad_mixtures_name_the_field() {
        let one = || vec![vec![vec![1.0]]];
        let e = |r: Result<GaussianMixture, ModelError>| r.unwrap_err().to_string();
        assert!(e(GaussianMixture::new(vec![0.5], vec![vec![0.0]], one())).contains("weights"));
        assert!(e(GaussianMixture::new(vec![0.5, 0.5], vec![vec![0.0]], one())).contains("means has 1 entries; 2 expected"));
        assert!(e(GaussianMixture::new(vec![1.0], vec![vec![f64::NAN]], one())).contains("means[0][0]"));
        assert!(e(GaussianMixture::new(vec![1.0], vec![vec![0.0]], vec![vec![vec![-0.1]]])).contains("positive definite"));
        assert!(e(GaussianMixture::new(vec![-0.5, 1.5], vec![vec![0.0]; 2], vec![vec![vec![1.0]]; 2])).contains("weights[0]"));
    }
}
