//! Log-density and score of a Gaussian mixture on a block of points, compiled for every instruction set.
//!
//! With z_i = L_i^-1 (x - mu_i), L_i L_i' = C_i, and l_i = log w_i - (d log 2 pi + log det C_i + |z_i|^2) / 2,
//!   log p = M + log S,   score = -(1/S) sum_i e^{l_i - M} L_i^-T z_i,   M = max l_i,   S = sum e^{l_i - M}.
//! A covariance shared by all components is taken out of the sum: then z = L^-1 x is computed once for a point, and
//!   score = L^-T ( (1/S) sum_i e^{l_i - M} L^-1 mu_i - z ).
//! The l_i are computed in units of ln 2, because 2^x takes fewer operations than e^x: with kappa^2 = 1/(2 ln 2) the exponent
//! is log2 e^{l_i} = c_i / ln 2 - |kappa z_i|^2.
//!
//! Two sweeps over the components, one exponential for each; loops run over the points of the block. Dimensions up to 3 keep
//! a point's vectors in registers.

use crate::dispatch::Kernel;
use crate::lanes::exp2_falling;
use crate::points::{Points, PointsMut};
use std::f64::consts::{LN_2, LOG2_E};

/// Points evaluated together; a K x LANES table of exponents stays in cache for moderate K.
pub(super) const LANES: usize = 64;

/// A number for each point of a block.
pub(super) type Lane = [f64; LANES];

/// The evaluation of one block of at most [`LANES`] points.
pub(super) struct MixtureBlock<'a> {
    /// K.
    pub components: usize,
    /// log w_i - (d log 2 pi + log det C_i) / 2.
    pub log_constants: &'a [f64],
    /// mu_i, component-major.
    pub means: &'a [f64],
    /// L_i^-1, row-major, for each component, or once if shared.
    pub whitening: &'a [f64],
    /// Whether there is one covariance for all components.
    pub shared: bool,
    /// The points.
    pub x: Points<'a>,
    /// Where log p goes.
    pub log_p: Option<&'a mut [f64]>,
    /// Where the score goes.
    pub score: Option<PointsMut<'a>>,
    /// At least K + 2 d rows of memory; what it holds does not matter.
    pub scratch: &'a mut [Lane],
}

impl Kernel for MixtureBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match (self.shared, self.x.dim()) {
            (true, 1) => self.evaluate_shared::<1>(),
            (true, 2) => self.evaluate_shared::<2>(),
            (true, 3) => self.evaluate_shared::<3>(),
            (false, 1) => self.evaluate_distinct::<1>(),
            (false, 2) => self.evaluate_distinct::<2>(),
            (false, 3) => self.evaluate_distinct::<3>(),
            _ => self.evaluate_any(),
        }
    }
}

impl MixtureBlock<'_> {
    #[inline(always)]
    fn evaluate_shared<const D: usize>(self) {
        let n = self.x.len().min(LANES);
        let kappa = (0.5 * LOG2_E).sqrt();
        let w: [[f64; D]; D] = std::array::from_fn(|r| std::array::from_fn(|s| kappa * self.whitening[r * D + s]));
        let mut z = [[0.0; LANES]; D];
        for (r, z) in z.iter_mut().enumerate() {
            for s in 0..=r {
                for (z, x) in z[..n].iter_mut().zip(self.x.coord(s)) {
                    *z += w[r][s] * x;
                }
            }
        }
        let component = |i: usize| -> (f64, [f64; D]) {
            let mean = &self.means[i * D..(i + 1) * D];
            let mut whitened = [0.0; D];
            for r in 0..D {
                for s in 0..=r {
                    whitened[r] += w[r][s] * mean[s];
                }
            }
            (LOG2_E * self.log_constants[i], whitened)
        };
        let four = |g: usize| [component(4 * g), component(4 * g + 1), component(4 * g + 2), component(4 * g + 3)];
        // Components are taken four at a time, so that running values are loaded and stored a quarter as often.
        let (table, _) = self.scratch.split_at_mut(self.components);
        let mut top = [f64::NEG_INFINITY; LANES];
        let (fours, ones) = table.as_chunks_mut::<4>();
        let remaining = 4 * fours.len();
        for (g, rows) in fours.iter_mut().enumerate() {
            exponents(rows, four(g), &z, n, &mut top);
        }
        for (i, row) in ones.iter_mut().enumerate() {
            exponents(std::array::from_mut(row), [component(remaining + i)], &z, n, &mut top);
        }
        let (mut sum, mut shift) = ([0.0; LANES], [[0.0; LANES]; D]);
        let (fours, ones) = table.as_chunks::<4>();
        for (g, rows) in fours.iter().enumerate() {
            accumulate(rows, four(g).map(|c| c.1), &top, n, &mut sum, &mut shift);
        }
        for (i, row) in ones.iter().enumerate() {
            accumulate(std::array::from_ref(row), [component(remaining + i).1], &top, n, &mut sum, &mut shift);
        }
        if let Some(mut score) = self.score {
            // The scaled z and the scaled w carry kappa each; 1/kappa^2 = 2 ln 2.
            for j in 0..n {
                let inverse = 1.0 / sum[j];
                for r in 0..D {
                    shift[r][j] = shift[r][j] * inverse - z[r][j];
                }
            }
            for s in 0..D {
                let out = &mut score.coord_mut(s)[..n];
                for j in 0..n {
                    let mut value = (2.0 * LN_2 * w[s][s]) * shift[s][j];
                    for r in s + 1..D {
                        value += (2.0 * LN_2 * w[r][s]) * shift[r][j];
                    }
                    out[j] = value;
                }
            }
        }
        write_log(self.log_p, &top, &sum);
    }

    #[inline(always)]
    fn evaluate_distinct<const D: usize>(self) {
        let n = self.x.len().min(LANES);
        let (table, _) = self.scratch.split_at_mut(self.components);
        let x = copied::<D>(self.x, n);
        let kappa = (0.5 * LOG2_E).sqrt();
        let at = |i: usize| -> ([[f64; D]; D], [f64; D]) {
            let w = &self.whitening[i * D * D..(i + 1) * D * D];
            let m = &self.means[i * D..(i + 1) * D];
            (std::array::from_fn(|r| std::array::from_fn(|s| w[r * D + s])), std::array::from_fn(|r| m[r]))
        };
        let mut top = [f64::NEG_INFINITY; LANES];
        for (i, row) in table.iter_mut().enumerate() {
            let (w, m) = at(i);
            let w = w.map(|row| row.map(|a| kappa * a));
            let c = LOG2_E * self.log_constants[i];
            for j in 0..n {
                let mut l = c;
                for r in 0..D {
                    let mut z = w[r][0] * (x[0][j] - m[0]);
                    for s in 1..=r {
                        z += w[r][s] * (x[s][j] - m[s]);
                    }
                    l -= z * z;
                }
                row[j] = l;
                top[j] = if row[j] > top[j] { row[j] } else { top[j] };
            }
        }
        let (mut sum, mut force) = ([0.0; LANES], [[0.0; LANES]; D]);
        for (i, row) in table.iter().enumerate() {
            let (w, m) = at(i);
            // C^-1 = W'W, lower triangle.
            let precision = |r: usize, s: usize| (r..D).map(|k| w[k][r] * w[k][s]).sum::<f64>();
            let c: [[f64; D]; D] = std::array::from_fn(|r| std::array::from_fn(|s| precision(r.max(s), r.min(s))));
            for j in 0..n {
                let p = exp2_falling(row[j] - top[j]);
                sum[j] += p;
                for r in 0..D {
                    let mut f = c[r][0] * (m[0] - x[0][j]);
                    for s in 1..D {
                        f += c[r][s] * (m[s] - x[s][j]);
                    }
                    force[r][j] += p * f;
                }
            }
        }
        if let Some(mut score) = self.score {
            for r in 0..D {
                let out = &mut score.coord_mut(r)[..n];
                for j in 0..n {
                    out[j] = force[r][j] / sum[j];
                }
            }
        }
        write_log(self.log_p, &top, &sum);
    }

    /// Any dimension: z_i row by row, and the score as W_i' z_i.
    #[inline(always)]
    fn evaluate_any(mut self) {
        let (d, n) = (self.x.dim(), self.x.len().min(LANES));
        let (table, rest) = self.scratch.split_at_mut(self.components);
        let (z, force) = rest[..2 * d].split_at_mut(d);
        let (x, whitening, means, shared) = (self.x, self.whitening, self.means, self.shared);
        let matrix = |i: usize| &whitening[if shared { 0 } else { i * d * d }..][..d * d];
        let whiten = |i: usize, r: usize, z: &mut Lane| {
            let (w, m) = (&matrix(i)[r * d..], &means[i * d..]);
            z[..n].fill(0.0);
            for s in 0..=r {
                let (a, m, x) = (w[s], m[s], x.coord(s));
                for (z, x) in z[..n].iter_mut().zip(x) {
                    *z += a * (x - m);
                }
            }
        };
        let mut top = [f64::NEG_INFINITY; LANES];
        for (i, row) in table.iter_mut().enumerate() {
            let mut q = [0.0; LANES];
            for r in 0..d {
                whiten(i, r, &mut z[r]);
                for j in 0..n {
                    q[j] += z[r][j] * z[r][j];
                }
            }
            let c = self.log_constants[i];
            for j in 0..n {
                row[j] = LOG2_E * (c - 0.5 * q[j]);
                top[j] = if row[j] > top[j] { row[j] } else { top[j] };
            }
        }
        let mut sum = [0.0; LANES];
        for row in table.iter_mut() {
            for j in 0..n {
                row[j] = exp2_falling(row[j] - top[j]);
                sum[j] += row[j];
            }
        }
        if let Some(score) = &mut self.score {
            force.iter_mut().for_each(|f| f.fill(0.0));
            // The sum over i of p_i W' z_i: W' is applied once, at the end, if it is shared.
            for (i, p) in table.iter().enumerate() {
                for r in 0..d {
                    whiten(i, r, &mut z[r]);
                    let targets = if shared { r..r + 1 } else { 0..r + 1 };
                    for s in targets {
                        let a = if shared { 1.0 } else { matrix(i)[r * d + s] };
                        for j in 0..n {
                            force[s][j] -= p[j] * (a * z[r][j]);
                        }
                    }
                }
            }
            for s in 0..d {
                let out = &mut score.coord_mut(s)[..n];
                if shared {
                    out.fill(0.0);
                    for r in s..d {
                        let a = matrix(0)[r * d + s];
                        for j in 0..n {
                            out[j] += a * force[r][j];
                        }
                    }
                } else {
                    out.copy_from_slice(&force[s][..n]);
                }
                for j in 0..n {
                    out[j] /= sum[j];
                }
            }
        }
        write_log(self.log_p, &top, &sum);
    }
}

/// The points in arrays of constant length, which the compiler indexes without checks.
#[inline(always)]
fn copied<const D: usize>(x: Points<'_>, n: usize) -> [Lane; D] {
    let mut copy = [[0.0; LANES]; D];
    for (r, copy) in copy.iter_mut().enumerate() {
        for (c, x) in copy[..n].iter_mut().zip(x.coord(r)) {
            *c = *x;
        }
    }
    copy
}

/// The exponents of G components with scaled log-constants and whitened means, and their running maximum.
#[inline(always)]
fn exponents<const G: usize, const D: usize>(
    rows: &mut [Lane; G],
    components: [(f64, [f64; D]); G],
    z: &[Lane; D],
    n: usize,
    top: &mut Lane,
) {
    for j in 0..n.min(LANES) {
        let mut highest = f64::NEG_INFINITY;
        for q in 0..G {
            let (mut l, m) = components[q];
            for r in 0..D {
                l -= (z[r][j] - m[r]) * (z[r][j] - m[r]);
            }
            rows[q][j] = l;
            highest = if l > highest { l } else { highest };
        }
        top[j] = if highest > top[j] { highest } else { top[j] };
    }
}

/// The sums of e^{l - M} and of e^{l - M} m over G components.
#[inline(always)]
fn accumulate<const G: usize, const D: usize>(
    rows: &[Lane; G],
    means: [[f64; D]; G],
    top: &Lane,
    n: usize,
    sum: &mut Lane,
    shift: &mut [Lane; D],
) {
    for j in 0..n.min(LANES) {
        let (mut total, mut along) = (sum[j], [0.0; D]);
        for r in 0..D {
            along[r] = shift[r][j];
        }
        for q in 0..G {
            let p = exp2_falling(rows[q][j] - top[j]);
            total += p;
            for r in 0..D {
                along[r] += p * means[q][r];
            }
        }
        sum[j] = total;
        for r in 0..D {
            shift[r][j] = along[r];
        }
    }
}

/// log p = M + log S, M in units of ln 2.
#[inline(always)]
fn write_log(log_p: Option<&mut [f64]>, top: &Lane, sum: &Lane) {
    if let Some(log_p) = log_p {
        for ((l, top), sum) in log_p.iter_mut().zip(top).zip(sum) {
            *l = LN_2 * top + sum.ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{InstructionSet, dispatch_on};
    use crate::law::GaussianMixture;
    use crate::points::PointBlock;

    /// A mixture in R^d, with one covariance for all components or one for each.
    fn mixture(d: usize, components: usize, shared: bool) -> GaussianMixture {
        let wave = |k: usize| (k as f64 * 0.7).sin();
        let mean = |i: usize| (0..d).map(|r| 3.0 * wave(i * d + r)).collect();
        let covariance = |i: usize| {
            let scale = if shared { 0.3 } else { 0.2 + 0.1 * i as f64 };
            (0..d).map(|r| (0..d).map(|s| if r == s { scale } else { 0.05 * scale }).collect()).collect()
        };
        let weights = vec![1.0 / components as f64; components];
        GaussianMixture::new(weights, (0..components).map(mean).collect(), (0..components).map(covariance).collect()).unwrap()
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits_in_every_dimension() {
        for (d, components, shared) in [1, 2, 3, 4].iter().flat_map(|&d| [(d, 7, true), (d, 5, false)]) {
            let p = mixture(d, components, shared);
            assert_eq!(p.shares_covariance(), shared);
            for n in [1, 37, 64] {
                let mut x = PointBlock::zeros(d, n);
                x.data_mut().iter_mut().enumerate().for_each(|(k, x)| *x = 4.0 * (k as f64 * 1.3).cos());
                let whitening: Vec<f64> = (0..if shared { 1 } else { components })
                    .flat_map(|i| {
                        let w = p.covariance_of(i).whitening();
                        (0..d * d).map(move |k| w[(k / d, k % d)])
                    })
                    .collect();
                let means: Vec<f64> = (0..components).flat_map(|i| p.mean_of(i).to_vec()).collect();
                let results = InstructionSet::ALL.map(|set| {
                    let (mut log_p, mut score) = (vec![0.0; n], PointBlock::zeros(d, n));
                    let block = MixtureBlock {
                        components,
                        log_constants: &vec![-0.3; components],
                        means: &means,
                        whitening: &whitening,
                        shared,
                        x: x.as_points(),
                        log_p: Some(&mut log_p),
                        score: Some(score.as_mut()),
                        scratch: &mut vec![[f64::NAN; LANES]; components + 2 * d],
                    };
                    dispatch_on(set, block);
                    assert!(log_p.iter().chain(score.data()).all(|v| v.is_finite()));
                    (log_p, score)
                });
                assert!(results[0] == results[1] && results[0] == results[2], "{d} {shared} {n}");
                // The score is the slope of log p.
                let shift = 1e-6;
                let mut moved = x.clone();
                moved.as_mut().coord_mut(0).iter_mut().for_each(|x| *x += shift);
                let (mut up, mut at) = (vec![0.0; n], vec![0.0; n]);
                let mut score = PointBlock::zeros(d, n);
                p.log_density_and_score(x.as_points(), &mut at, score.as_mut());
                p.log_density_and_score(moved.as_points(), &mut up, PointBlock::zeros(d, n).as_mut());
                for j in 0..n {
                    assert!(((up[j] - at[j]) / shift - score.coord(0)[j]).abs() < 1e-3, "{d} {shared} {j}");
                }
            }
        }
    }

    #[test]
    fn a_point_that_is_not_a_number_stays_alone() {
        let p = mixture(2, 5, true);
        let mut x = PointBlock::zeros(2, 64);
        x.data_mut()[7] = f64::NAN;
        let mut score = PointBlock::zeros(2, 64);
        p.score(x.as_points(), score.as_mut());
        for j in 0..64 {
            assert_eq!(score.coord(1)[j].is_nan(), j == 7);
        }
    }
}
