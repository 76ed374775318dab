//! Least squares of many targets on one set of features by orthogonal factorisations, never by the normal equations.
//!
//! Minimises (1/n) sum_j |t_j - Theta phi_j|^2 + mu^2 |Theta|^2. The rows are cut into fixed runs, each factored Q R (Householder)
//! on its own thread, and the stacked R once more (TSQR); a singular value decomposition of the last R gives the conditioning and
//! applies the ridge mu = ridge s_max exactly: Theta' = V diag(s/(s^2 + mu^2)) U' Q'T. Cost 2 n F^2 once, 2 n F d for each solve.
//! Results do not depend on the number of threads. Reference: Demmel, Grigori, Hoemmen, Langou, *Communication-optimal parallel
//! and sequential QR and LU factorizations*, SIAM J. Sci. Comput. 34 (2012).

use super::ParametricError;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_transpose_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj as apply_transpose,
};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Conj, Mat, MatRef, Par, diag::Diag};
use hjbridge_model::PointBlock;
use rayon::prelude::*;

/// Fewest rows of a run.
const ROWS: usize = 1024;

/// Q and R of a run, Q as Householder vectors.
struct Householder {
    factors: Mat<f64>,
    coefficients: Mat<f64>,
}

impl Householder {
    fn new(mut a: Mat<f64>) -> Self {
        let (m, n) = (a.nrows(), a.ncols());
        let size = m.min(n);
        let block = recommended_block_size::<f64>(m, n);
        let mut coefficients = Mat::zeros(block, size);
        let mut buffer = MemBuffer::new(qr_in_place_scratch::<f64>(m, n, block, Par::Seq, Default::default()));
        qr_in_place(a.as_mut(), coefficients.as_mut(), Par::Seq, MemStack::new(&mut buffer), Default::default());
        Householder { factors: a, coefficients }
    }

    /// R, n x n (m >= n).
    fn r(&self) -> Mat<f64> {
        let n = self.factors.ncols();
        Mat::from_fn(n, n, |i, j| if i <= j { self.factors[(i, j)] } else { 0.0 })
    }

    /// The first n rows of Q't.
    fn project(&self, mut t: Mat<f64>) -> Mat<f64> {
        let n = self.factors.ncols();
        let scratch = apply_scratch::<f64>(self.factors.nrows(), self.coefficients.nrows(), t.ncols());
        let mut buffer = MemBuffer::new(scratch);
        let (q, c) = (self.factors.as_ref(), self.coefficients.as_ref());
        apply_transpose(q, c, Conj::No, t.as_mut(), Par::Seq, MemStack::new(&mut buffer));
        t.subrows(0, n).to_owned()
    }
}

/// The factored features of sampled states.
pub(crate) struct Design {
    features: usize,
    states: usize,
    rows: usize,
    runs: Vec<Householder>,
    top: Householder,
    u: Mat<f64>,
    v: Mat<f64>,
    singular: Vec<f64>,
    ridge: f64,
}

impl Design {
    /// Factor `phi`, F coordinates at n states; `ridge` is relative to the largest singular value.
    ///
    /// # Errors
    /// Fewer states than features, features that are not finite, linear dependence without a ridge.
    pub(crate) fn new(step: usize, phi: &PointBlock, ridge: f64) -> Result<Self, ParametricError> {
        let (features, states) = (phi.dim(), phi.len());
        if states < features {
            let allowed = format!("at least {features}, the number of features, better several times as many");
            return Err(ParametricError::invalid("paths", states, allowed));
        }
        if let Some(at) = phi.data().iter().position(|x| !x.is_finite()) {
            let (value, path) = (phi.data()[at], (at % states) as u64);
            return Err(ParametricError::NonFinite { step, quantity: "a feature", value, path, hint: "" });
        }
        let rows = ROWS.max(2 * features);
        let weight = 1.0 / (states as f64).sqrt();
        let all = MatRef::from_column_major_slice(phi.data(), states, features);
        let starts: Vec<usize> = starts(states, rows).collect();
        let runs: Vec<Householder> = starts
            .par_iter()
            .map(|&start| {
                let run = all.subrows(start, length(states, rows, start));
                Householder::new(Mat::from_fn(run.nrows(), features, |i, j| weight * run[(i, j)]))
            })
            .collect();
        let mut stacked = Mat::zeros(runs.len() * features, features);
        for (b, run) in runs.iter().enumerate() {
            stacked.as_mut().subrows_mut(b * features, features).copy_from(run.r());
        }
        let top = Householder::new(stacked);
        let (mut u, mut v) = (Mat::zeros(features, features), Mat::zeros(features, features));
        let mut s = Diag::zeros(features);
        let thin = ComputeSvdVectors::Thin;
        let mut buffer = MemBuffer::new(svd_scratch::<f64>(features, features, thin, thin, Par::Seq, Default::default()));
        let stack = MemStack::new(&mut buffer);
        let r = top.r();
        svd(r.as_ref(), s.as_mut(), Some(u.as_mut()), Some(v.as_mut()), Par::Seq, stack, Default::default())
            .map_err(|_| ParametricError::invalid("features", "a matrix without singular values", "finite features"))?;
        let singular: Vec<f64> = (0..features).map(|i| s.column_vector()[i]).collect();
        let design = Design { features, states, rows, runs, top, u, v, singular, ridge };
        let (largest, smallest) = design.extremes();
        if ridge == 0.0 && smallest <= largest * f64::EPSILON * states as f64 {
            return Err(ParametricError::RankDeficient { step, features, states, largest, smallest });
        }
        Ok(design)
    }

    fn extremes(&self) -> (f64, f64) {
        self.singular.iter().fold((0.0, f64::INFINITY), |(a, b), &s| (s.max(a), s.min(b)))
    }

    /// Largest over smallest singular value of the features over the states, before the ridge.
    pub(crate) fn condition(&self) -> f64 {
        let (largest, smallest) = self.extremes();
        largest / smallest
    }

    /// Theta, d x F row after row, for d targets at the states.
    pub(crate) fn solve(&self, targets: &PointBlock) -> Vec<f64> {
        let (f, d, n) = (self.features, targets.dim(), self.states);
        let weight = 1.0 / (n as f64).sqrt();
        let all = MatRef::from_column_major_slice(targets.data(), n, d);
        let starts: Vec<usize> = starts(n, self.rows).collect();
        let projected: Vec<Mat<f64>> = starts
            .par_iter()
            .zip(&self.runs)
            .map(|(&start, run)| {
                let t = all.subrows(start, length(n, self.rows, start));
                run.project(Mat::from_fn(t.nrows(), d, |i, j| weight * t[(i, j)]))
            })
            .collect();
        let mut stacked = Mat::zeros(self.runs.len() * f, d);
        for (b, t) in projected.iter().enumerate() {
            stacked.as_mut().subrows_mut(b * f, f).copy_from(t);
        }
        let q = self.top.project(stacked);
        let mu = self.ridge * self.extremes().0;
        let mut theta = vec![0.0; d * f];
        for i in 0..d {
            let row = &mut theta[i * f..(i + 1) * f];
            for (l, &s) in self.singular.iter().enumerate() {
                if s == 0.0 {
                    continue;
                }
                let along: f64 = (0..f).map(|r| self.u[(r, l)] * q[(r, i)]).sum::<f64>() * s / (s * s + mu * mu);
                for (r, t) in row.iter_mut().enumerate() {
                    *t += along * self.v[(r, l)];
                }
            }
        }
        theta
    }
}

/// Starts of the runs: every `rows`, the last run taking a remainder of fewer than that.
fn starts(states: usize, rows: usize) -> impl Iterator<Item = usize> {
    (0..(states / rows).max(1)).map(move |b| b * rows)
}

fn length(states: usize, rows: usize, start: usize) -> usize {
    if start + 2 * rows > states { states - start } else { rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(dim: usize, n: usize, f: impl Fn(usize, usize) -> f64) -> PointBlock {
        let mut b = PointBlock::zeros(dim, n);
        for i in 0..dim {
            for j in 0..n {
                b.as_mut().coord_mut(i)[j] = f(i, j);
            }
        }
        b
    }

    #[test]
    fn recovers_coefficients_over_several_runs() {
        let n = 5000;
        let phi = block(4, n, |i, j| if i == 0 { 1.0 } else { ((j * (i + 2)) as f64 * 0.61).sin() });
        let truth = [0.3, -1.0, 2.0, 0.7, 1e-3, 5.0, 0.0, -2.5];
        let targets = block(2, n, |i, j| (0..4).map(|f| truth[i * 4 + f] * phi.coord(f)[j]).sum());
        let design = Design::new(0, &phi, 0.0).unwrap();
        assert_eq!(design.runs.len(), 4);
        for (a, b) in design.solve(&targets).iter().zip(truth) {
            assert!((a - b).abs() < 1e-13, "{a} {b}");
        }
        assert!(design.condition() < 3.0);
    }

    #[test]
    fn ridge_shrinks_by_its_formula_and_dependence_is_an_error() {
        // orthogonal columns +-1: all singular values are 1
        let phi = block(2, 8, |i, j| if i == 0 || j % 2 == 0 { 1.0 } else { -1.0 });
        let targets = block(1, 8, |_, j| 3.0 + 2.0 * phi.coord(1)[j]);
        let theta = Design::new(0, &phi, 0.5).unwrap().solve(&targets);
        assert!((theta[0] - 3.0 / 1.25).abs() < 1e-14 && (theta[1] - 2.0 / 1.25).abs() < 1e-14);
        let twice = block(2, 50, |_, j| (j as f64).cos());
        assert!(matches!(Design::new(3, &twice, 0.0), Err(ParametricError::RankDeficient { step: 3, features: 2, .. })));
        let shared = Design::new(3, &twice, 1e-8).unwrap().solve(&block(1, 50, |_, j| (j as f64).cos()));
        assert!((shared[0] - 0.5).abs() < 1e-7 && (shared[1] - 0.5).abs() < 1e-7, "the least norm: {shared:?}");
        assert!(Design::new(0, &block(5, 4, |i, j| (i * j) as f64), 0.0).is_err());
    }
}
