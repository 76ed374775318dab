//! Symmetric positive definite matrices: checked construction, Cholesky factor, inverse, determinant.
//!
//! A thin layer over faer for the d x d covariances and curvatures of the model (d small).

use crate::error::ModelError;
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, MatRef, Side};

/// Build a square symmetric matrix from rows; d = `dim`.
///
/// # Errors
/// Rows of the wrong length, a NaN, or an asymmetry above 1e-12 of the largest entry, naming `field`.
pub fn symmetric(field: &str, rows: &[Vec<f64>], dim: usize) -> Result<Mat<f64>, ModelError> {
    if rows.len() != dim {
        return Err(ModelError::Shape { field: field.into(), found: rows.len(), expected: dim });
    }
    let mut scale = 0.0_f64;
    for (i, row) in rows.iter().enumerate() {
        if row.len() != dim {
            return Err(ModelError::Shape { field: format!("{field}[{i}]"), found: row.len(), expected: dim });
        }
        for (j, &v) in row.iter().enumerate() {
            if !v.is_finite() {
                return Err(ModelError::invalid(format!("{field}[{i}][{j}]"), v, "must be finite"));
            }
            scale = scale.max(v.abs());
        }
    }
    for i in 0..dim {
        for j in 0..i {
            if (rows[i][j] - rows[j][i]).abs() > 1e-12 * scale {
                return Err(ModelError::invalid(
                    format!("{field}[{i}][{j}]"),
                    rows[i][j],
                    format!("the matrix must be symmetric, but entry [{j}][{i}] is {}", rows[j][i]),
                ));
            }
        }
    }
    Ok(Mat::from_fn(dim, dim, |i, j| 0.5 * (rows[i][j] + rows[j][i])))
}

/// Smallest eigenvalue of a symmetric matrix; NaN when the iteration fails.
pub fn smallest_eigenvalue(a: MatRef<'_, f64>) -> f64 {
    match a.self_adjoint_eigenvalues(Side::Lower) {
        Ok(e) => e.into_iter().fold(f64::INFINITY, f64::min),
        Err(_) => f64::NAN,
    }
}

/// A factored symmetric positive definite matrix A = L L'.
#[derive(Clone, Debug)]
pub struct Spd {
    matrix: Mat<f64>,
    factor: Mat<f64>,
    inverse: Mat<f64>,
    log_det: f64,
}

impl Spd {
    /// Factor A. Cost O(d^3).
    ///
    /// # Errors
    /// A not positive definite: the error names `field` and the smallest eigenvalue.
    pub fn new(field: &str, a: Mat<f64>) -> Result<Self, ModelError> {
        let not_positive = || {
            ModelError::invalid(
                field,
                format!("a matrix with smallest eigenvalue {:.6e}", smallest_eigenvalue(a.as_ref())),
                "must be positive definite",
            )
        };
        let llt = a.llt(Side::Lower).map_err(|_| not_positive())?;
        let factor = llt.L().to_owned();
        let log_det = 2.0 * (0..a.nrows()).map(|i| factor[(i, i)].ln()).sum::<f64>();
        if !log_det.is_finite() {
            return Err(not_positive());
        }
        let inverse = llt.inverse();
        Ok(Spd { factor, inverse, log_det, matrix: a })
    }

    /// A.
    pub fn matrix(&self) -> MatRef<'_, f64> {
        self.matrix.as_ref()
    }

    /// The lower triangular L with A = L L'.
    pub fn factor(&self) -> MatRef<'_, f64> {
        self.factor.as_ref()
    }

    /// A^-1.
    pub fn inverse(&self) -> MatRef<'_, f64> {
        self.inverse.as_ref()
    }

    /// log det A.
    pub fn log_det(&self) -> f64 {
        self.log_det
    }

    /// L^-1, lower triangular: whitens a vector with covariance A.
    pub fn whitening(&self) -> Mat<f64> {
        let d = self.matrix.nrows();
        let mut w = Mat::<f64>::identity(d, d);
        faer::linalg::triangular_solve::solve_lower_triangular_in_place(self.factor.as_ref(), w.as_mut(), faer::Par::Seq);
        w
    }
}

/// Solve A x = b for a square matrix A by LU with partial pivoting; the caller knows A to be regular.
pub fn solve_square(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    a.partial_piv_lu().solve(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factor_inverse_and_errors() {
        let a = symmetric("C", &[vec![0.7, 0.3], vec![0.3, 1.5]], 2).unwrap();
        let s = Spd::new("C", a).unwrap();
        assert!((s.log_det() - 0.96_f64.ln()).abs() < 1e-15);
        assert!((s.inverse()[(0, 1)] + 0.3 / 0.96).abs() < 1e-15);
        let w = s.whitening();
        let id = &w * s.matrix() * w.transpose();
        assert!((id[(0, 0)] - 1.0).abs() < 1e-14 && id[(0, 1)].abs() < 1e-15);
        let e = Spd::new("prior.covariance", symmetric("", &[vec![1.0, 2.0], vec![2.0, 1.0]], 2).unwrap()).unwrap_err();
        assert!(e.to_string().contains("prior.covariance") && e.to_string().contains("-1.0"), "{e}");
        assert!(symmetric("C", &[vec![1.0, 2.0], vec![2.1, 1.0]], 2).is_err());
        assert!(symmetric("C", &[vec![f64::NAN]], 1).is_err());
        assert!(Spd::new("C", Mat::from_fn(1, 1, |_, _| 0.0)).is_err());
    }
}
