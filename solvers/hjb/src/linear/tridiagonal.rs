//! Gaussian elimination of a tridiagonal matrix (Thomas), with row exchanges only where a pivot is tiny.
//!
//! O(n) factorisation and solution. The matrices of implicit steps with a monotone generator are M-matrices and are never
//! exchanged, so their solutions keep the sign of the right-hand side; an extrapolated boundary with outward drift can
//! bring a small pivot, which is exchanged with the next row as in LAPACK's `gttrf`.
//! Reference: G. H. Golub, C. F. Van Loan, Matrix Computations (2013), section 4.3.

use super::{LinearInfo, LinearSolver, check, finite_row_sum};
use crate::error::LinearError;
use crate::stencil::StencilMatrix;

const NAME: &str = "tridiagonal";

/// Exchange rows when the pivot is smaller than this fraction of the entry below.
const PIVOT_THRESHOLD: f64 = 1e-3;

/// Factors of a tridiagonal matrix.
#[derive(Clone, Debug)]
pub struct Tridiagonal {
    lower_index: usize,
    upper_index: usize,
    multiplier: Vec<f64>,
    inverse_pivot: Vec<f64>,
    upper: Vec<f64>,
    second_upper: Vec<f64>,
    exchanged: Vec<bool>,
    any_exchange: bool,
    right_side: Vec<f64>,
    row_sum: f64,
}

impl Tridiagonal {
    /// A solver for matrices with the shifts 0, -1 and +1 (diagonal first).
    pub fn new(a: &StencilMatrix) -> Result<Self, LinearError> {
        let shifts = a.flat_shifts();
        let find = |s: isize| shifts.iter().position(|&f| f == s);
        let (Some(0), Some(lower_index), Some(upper_index), 3) = (find(0), find(-1), find(1), shifts.len()) else {
            return Err(LinearError::Pattern {
                solver: NAME,
                allowed: "one-dimensional matrices with shifts 0, -1, 1 (use the sparse LU otherwise)",
                found: shifts.to_vec(),
            });
        };
        let n = a.len();
        Ok(Tridiagonal {
            lower_index,
            upper_index,
            multiplier: vec![0.0; n],
            inverse_pivot: vec![0.0; n],
            upper: vec![0.0; n],
            second_upper: vec![0.0; n],
            exchanged: vec![false; n],
            any_exchange: false,
            right_side: vec![0.0; n],
            row_sum: 0.0,
        })
    }
}

impl LinearSolver for Tridiagonal {
    fn name(&self) -> &'static str {
        NAME
    }

    fn factorise(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        self.row_sum = finite_row_sum(NAME, a, &mut self.right_side)?;
        let n = a.len();
        let (diagonal, lower, upper) = (a.diagonal(0), a.diagonal(self.lower_index), a.diagonal(self.upper_index));
        self.any_exchange = false;
        // The current row, already reduced: (pivot, entry above the diagonal).
        let (mut pivot, mut above) = (diagonal[0], upper[0]);
        for i in 0..n - 1 {
            let below = lower[i + 1];
            if pivot.abs() >= PIVOT_THRESHOLD * below.abs() && pivot != 0.0 {
                let inverse = 1.0 / pivot;
                let factor = below * inverse;
                self.multiplier[i] = factor;
                self.inverse_pivot[i] = inverse;
                self.upper[i] = above;
                self.second_upper[i] = 0.0;
                self.exchanged[i] = false;
                pivot = diagonal[i + 1] - factor * above;
                above = upper[i + 1];
            } else if below != 0.0 {
                let factor = pivot / below;
                self.multiplier[i] = factor;
                self.inverse_pivot[i] = 1.0 / below;
                self.upper[i] = diagonal[i + 1];
                self.second_upper[i] = upper[i + 1];
                self.exchanged[i] = true;
                self.any_exchange = true;
                pivot = above - factor * diagonal[i + 1];
                above = -factor * upper[i + 1];
            } else {
                return Err(LinearError::Singular { row: i });
            }
        }
        if pivot == 0.0 {
            return Err(LinearError::Singular { row: n - 1 });
        }
        self.inverse_pivot[n - 1] = 1.0 / pivot;
        Ok(())
    }

    fn solve(&mut self, a: &StencilMatrix, x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        self.right_side.copy_from_slice(x);
        let n = x.len();
        if self.any_exchange {
            for i in 0..n - 1 {
                if self.exchanged[i] {
                    x.swap(i, i + 1);
                }
                x[i + 1] -= self.multiplier[i] * x[i];
            }
        } else {
            let mut last = x[0];
            for (x, m) in x[1..].iter_mut().zip(&self.multiplier) {
                last = *x - m * last;
                *x = last;
            }
        }
        x[n - 1] *= self.inverse_pivot[n - 1];
        let mut after = 0.0;
        let mut next = x[n - 1];
        let factors = self.inverse_pivot.iter().zip(&self.upper).zip(&self.second_upper);
        for (x, ((p, u), w)) in x.iter_mut().zip(factors).take(n - 1).rev() {
            let value = ((*x - w * after) - u * next) * p;
            after = next;
            next = value;
            *x = value;
        }
        check(NAME, a, x, &mut self.right_side, self.row_sum)
    }
}
