//! Small symmetric matrices at many points: extreme eigenvalues and the Newton solve. Closed forms for d = 1, 2.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef, Side};

/// Smallest and largest eigenvalue of the symmetric d x d matrix `a`, given row by row. NaN where an entry is not finite.
pub(crate) fn eigenvalue_range(d: usize, a: &[f64]) -> (f64, f64) {
    if !a.iter().all(|v| v.is_finite()) {
        return (f64::NAN, f64::NAN);
    }
    match d {
        1 => (a[0], a[0]),
        2 => {
            let mean = 0.5 * (a[0] + a[3]);
            let radius = (0.5 * (a[0] - a[3])).hypot(0.5 * (a[1] + a[2]));
            (mean - radius, mean + radius)
        }
        _ => match MatRef::from_row_major_slice(a, d, d).self_adjoint_eigenvalues(Side::Lower) {
            Ok(values) => (values[0], values[d - 1]),
            Err(_) => (f64::NAN, f64::NAN),
        },
    }
}

/// Solve (I - lam H) x = r in place of `r`; `false` when I - lam H is not positive definite (then `r` is left as it was).
pub(crate) fn solve_identity_minus(d: usize, lam: f64, h: &[f64], r: &mut [f64]) -> bool {
    match d {
        1 => {
            let pivot = 1.0 - lam * h[0];
            if pivot > 0.0 {
                r[0] /= pivot;
            }
            pivot > 0.0
        }
        2 => {
            let (a, b, c) = (1.0 - lam * h[0], -lam * 0.5 * (h[1] + h[2]), 1.0 - lam * h[3]);
            let det = a * c - b * b;
            let definite = a > 0.0 && det > 0.0;
            if definite {
                (r[0], r[1]) = ((c * r[0] - b * r[1]) / det, (a * r[1] - b * r[0]) / det);
            }
            definite
        }
        _ => {
            let m = Mat::from_fn(d, d, |i, j| {
                let identity = if i == j { 1.0 } else { 0.0 };
                identity - lam * 0.5 * (h[i * d + j] + h[j * d + i])
            });
            match m.llt(Side::Lower) {
                Ok(factor) => {
                    let x = factor.solve(Mat::from_fn(d, 1, |i, _| r[i]));
                    for i in 0..d {
                        r[i] = x[(i, 0)];
                    }
                    true
                }
                Err(_) => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_and_solves_agree_across_dimensions() {
        let (lo, hi) = eigenvalue_range(2, &[2.0, 1.0, 1.0, 2.0]);
        assert!((lo - 1.0).abs() < 1e-15 && (hi - 3.0).abs() < 1e-15);
        // The same matrix with a third direction that is not coupled goes through the general branch.
        let h3 = [2.0, 1.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, -5.0];
        let (lo, hi) = eigenvalue_range(3, &h3);
        assert!((lo + 5.0).abs() < 1e-13 && (hi - 3.0).abs() < 1e-13);
        let mut r2 = [1.0, -2.0];
        let mut r3 = [1.0, -2.0, 4.0];
        assert!(solve_identity_minus(2, 0.2, &[2.0, 1.0, 1.0, 2.0], &mut r2));
        assert!(solve_identity_minus(3, 0.2, &h3, &mut r3));
        // (0.6 x - 0.2 y, -0.2 x + 0.6 y) = (1, -2) has determinant 0.32.
        assert!((r2[0] - 0.2 / 0.32).abs() < 1e-14 && (r2[1] + 1.0 / 0.32).abs() < 1e-14);
        assert!((r3[0] - r2[0]).abs() < 1e-14 && (r3[1] - r2[1]).abs() < 1e-14 && (r3[2] - 2.0).abs() < 1e-14);
    }

    #[test]
    fn indefinite_systems_are_refused() {
        for (d, h) in [(1, vec![3.0]), (2, vec![2.0, 1.0, 1.0, 2.0]), (3, vec![3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])] {
            let mut r = vec![1.0; d];
            assert!(!solve_identity_minus(d, 0.4, &h, &mut r));
            assert_eq!(r, vec![1.0; d]);
        }
        assert!(eigenvalue_range(2, &[f64::NAN, 0.0, 0.0, 1.0]).0.is_nan());
    }
}
