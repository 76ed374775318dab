//! Solvers for the linear systems of the implicit steps.
//!
//! A solver is made for one pattern; it factorises matrices of that pattern again and again and solves in place. Each
//! solve checks that the result is finite and measures its own backward error from the recomputed residual.
//!
//! | solver | type | when |
//! |---|---|---|
//! | tridiagonal elimination | [`Tridiagonal`] | one dimension, always |
//! | sparse LU | [`SparseLu`] | small grids, singular or badly scaled rows, anything that resists |
//! | BiCGSTAB with ILU(0) | [`BiCgStab`] | 2-D and 3-D, steps of a few cells' diffusion time |
//! | geometric multigrid | [`Multigrid`] | 2-D and 3-D, large grids or large steps, stationary problems |
//! | alternating-direction sweeps in BiCGSTAB | [`Adi`] | stiff systems whose axes differ; little memory |
//! | automatic | [`Auto`] | picks one of these and says which |

mod adi;
mod auto;
mod bicgstab;
mod faer_lu;
mod ilu0;
mod krylov;
mod multigrid;
mod tridiagonal;

pub use adi::{Adi, AdiSweepParams};
pub use auto::{Auto, AutoMode};
pub use bicgstab::BiCgStab;
pub use faer_lu::SparseLu;
pub use krylov::IterationParams;
pub use multigrid::{Cycle, Multigrid, MultigridInfo, MultigridParams};
pub use tridiagonal::Tridiagonal;

use crate::error::LinearError;
use crate::norms::{all_finite, sup};
use crate::stencil::StencilMatrix;
use serde::Serialize;

/// Largest backward error accepted from a direct solve.
pub(crate) const RESIDUAL_LIMIT: f64 = 1e-9;

/// What a solve did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LinearInfo {
    /// Name of the solver that did the work.
    pub solver: &'static str,
    /// Iterations; zero for a direct solver.
    pub iterations: usize,
    /// Backward error max|b - Ax| / (max row sum of |A| max|x| + max|b|), from the residual recomputed at the end.
    pub relative_residual: f64,
}

/// A solver for matrices of one pattern.
pub trait LinearSolver: Send {
    /// Name, as reports show it; for [`Auto`] that of the solver last used.
    fn name(&self) -> &'static str;

    /// Factorise or precondition `a`, of the pattern the solver was made for.
    fn factorise(&mut self, a: &StencilMatrix) -> Result<(), LinearError>;

    /// Overwrite the right-hand side `x` with the solution of a x = b, `a` being the matrix last factorised. Iterative
    /// solvers start from b, the last solution or zero, whichever has the smallest residual.
    fn solve(&mut self, a: &StencilMatrix, x: &mut [f64]) -> Result<LinearInfo, LinearError>;

    /// Solve a x = b from the guess in `x`, which direct solvers ignore.
    fn solve_from(&mut self, a: &StencilMatrix, b: &[f64], x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        x.copy_from_slice(b);
        self.solve(a, x)
    }
}

/// Which linear solver.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize)]
pub enum LinearSolverChoice {
    /// [`Auto`] by dimension, size and stiffness: reproducible. The default.
    #[default]
    Auto,
    /// [`Auto`] by the clock: the first solves time the candidates.
    AutoTimed,
    /// Gaussian elimination of a tridiagonal matrix; one dimension only.
    Tridiagonal,
    /// Sparse LU with a fill-reducing ordering, any dimension.
    SparseLu,
    /// BiCGSTAB preconditioned by ILU(0).
    BiCgStab(IterationParams),
    /// Geometric multigrid, by default as the preconditioner of BiCGSTAB.
    Multigrid(MultigridParams),
    /// BiCGSTAB preconditioned by alternating-direction sweeps.
    Adi(AdiSweepParams),
}

impl LinearSolverChoice {
    /// Make the solver for the pattern of `a`.
    ///
    /// # Errors
    /// Parameters out of range; a pattern that the solver does not take.
    pub fn build(self, a: &StencilMatrix) -> Result<Box<dyn LinearSolver>, LinearError> {
        Ok(match self {
            LinearSolverChoice::Auto => Box::new(Auto::new(a, AutoMode::Rules)),
            LinearSolverChoice::AutoTimed => Box::new(Auto::new(a, AutoMode::Timed)),
            LinearSolverChoice::Tridiagonal => Box::new(Tridiagonal::new(a)?),
            LinearSolverChoice::SparseLu => Box::new(SparseLu::new(a)?),
            LinearSolverChoice::BiCgStab(params) => Box::new(BiCgStab::new(a, params)?),
            LinearSolverChoice::Multigrid(params) => Box::new(Multigrid::new(a, params)?),
            LinearSolverChoice::Adi(params) => Box::new(Adi::new(a, params)?),
        })
    }
}

/// Whether `a` belongs to the tridiagonal solver.
fn is_tridiagonal(a: &StencilMatrix) -> bool {
    a.shape().len() == 1 && a.flat_shifts().len() == 3 && a.flat_shifts().iter().all(|s| s.abs() <= 1)
}

/// Row sum of `a`, or the error of a matrix with a coefficient that is not finite; `scratch` has one entry per row.
pub(crate) fn finite_row_sum(solver: &'static str, a: &StencilMatrix, scratch: &mut [f64]) -> Result<f64, LinearError> {
    let row_sum = a.max_row_sum(scratch);
    // The maximum passes over NaN, the sums themselves do not.
    if row_sum.is_finite() && all_finite(scratch) {
        Ok(row_sum)
    } else {
        Err(LinearError::Factorisation { solver, reason: "a coefficient is not finite".to_string() })
    }
}

/// Backward error of `x` for a x = b; overwrites `b` with the residual.
pub(crate) fn check(
    solver: &'static str,
    a: &StencilMatrix,
    x: &[f64],
    b: &mut [f64],
    row_sum: f64,
) -> Result<LinearInfo, LinearError> {
    if !all_finite(x) {
        return Err(LinearError::NotFinite { solver });
    }
    let size = row_sum * sup(x) + sup(b);
    a.multiply_add(-1.0, x, b);
    let residual = if size > 0.0 { sup(b) / size } else { 0.0 };
    if residual <= RESIDUAL_LIMIT {
        Ok(LinearInfo { solver, iterations: 0, relative_residual: residual })
    } else {
        Err(LinearError::Inaccurate { solver, residual, limit: RESIDUAL_LIMIT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A non-symmetric matrix with rows of different size and a known solution.
    fn system(shape: &[usize], weight: f64) -> (StencilMatrix, Vec<f64>, Vec<f64>) {
        let mut a = StencilMatrix::nearest_neighbour(shape);
        let n = a.len();
        for s in 1..a.flat_shifts().len() {
            for j in 0..n {
                if a.has_neighbour(j, s) {
                    a.diagonal_mut(s)[j] = 1.0 + ((7 * s + 3 * j) % 5) as f64;
                }
            }
        }
        a.close_rows();
        let mut m = a.clone();
        m.set_identity_minus(weight, &a);
        let x: Vec<f64> = (0..n).map(|j| (0.3 * j as f64).cos()).collect();
        let mut b = vec![0.0; n];
        m.multiply(&x, &mut b);
        (m, x, b)
    }

    #[test]
    fn both_solvers_recover_a_known_solution() {
        for (shape, choices) in [
            (vec![40], vec![LinearSolverChoice::Tridiagonal, LinearSolverChoice::SparseLu]),
            (vec![9, 7], vec![LinearSolverChoice::SparseLu, LinearSolverChoice::Auto]),
            (vec![5, 6, 5], vec![LinearSolverChoice::Auto]),
        ] {
            for choice in choices {
                let mut solver: Option<Box<dyn LinearSolver>> = None;
                for weight in [0.01, 1.0, 30.0] {
                    let (m, x, mut b) = system(&shape, weight);
                    let solver = match &mut solver {
                        Some(s) => s,
                        none => none.insert(choice.build(&m).unwrap()),
                    };
                    solver.factorise(&m).unwrap();
                    let info = solver.solve(&m, &mut b).unwrap();
                    let error = b.iter().zip(&x).fold(0.0, |e: f64, (b, x)| e.max((b - x).abs()));
                    assert!(error < 1e-12 && info.relative_residual < 1e-15, "{shape:?} {choice:?}: {error:.1e}");
                }
            }
        }
    }

    #[test]
    fn a_zero_leading_entry_needs_and_gets_a_row_exchange() {
        // [[0, 2, 0], [1, 1, 1], [0, 1, 3]] x = b with x = (1, 2, 3).
        let mut a = StencilMatrix::nearest_neighbour(&[3]);
        a.diagonal_mut(0).copy_from_slice(&[0.0, 1.0, 3.0]);
        a.diagonal_mut(1).copy_from_slice(&[0.0, 1.0, 1.0]);
        a.diagonal_mut(2).copy_from_slice(&[2.0, 1.0, 0.0]);
        let mut solver = Tridiagonal::new(&a).unwrap();
        solver.factorise(&a).unwrap();
        let mut x = vec![4.0, 6.0, 11.0];
        solver.solve(&a, &mut x).unwrap();
        assert!(x.iter().zip([1.0, 2.0, 3.0]).all(|(x, e)| (x - e).abs() < 1e-15));
    }

    #[test]
    fn singular_and_nan_matrices_are_errors() {
        for choice in [LinearSolverChoice::Tridiagonal, LinearSolverChoice::SparseLu] {
            let (m, _, b) = system(&[12], 1.0);
            let mut singular = m.clone();
            (0..3).for_each(|s| singular.diagonal_mut(s)[5] = 0.0);
            let mut solver = choice.build(&m).unwrap();
            let mut x = b.clone();
            let outcome = solver.factorise(&singular).and_then(|()| solver.solve(&singular, &mut x).map(|_| ()));
            let tridiagonal = choice == LinearSolverChoice::Tridiagonal;
            assert!(outcome.is_err() && (!tridiagonal || matches!(outcome, Err(LinearError::Singular { .. }))), "{outcome:?}");
            let mut nan = m.clone();
            nan.diagonal_mut(0)[3] = f64::NAN;
            let mut x = b.clone();
            let outcome = solver.factorise(&nan).and_then(|()| solver.solve(&nan, &mut x).map(|_| ()));
            assert!(outcome.is_err(), "{choice:?}");
        }
        let (m, x, b) = system(&[12], 1.0);
        let row_sum = finite_row_sum("test", &m, &mut b.clone()).unwrap();
        assert!(check("test", &m, &x, &mut b.clone(), row_sum).unwrap().relative_residual < 1e-15);
        let off: Vec<f64> = x.iter().map(|x| x + 1e-3).collect();
        let inaccurate = check("test", &m, &off, &mut b.clone(), row_sum).unwrap_err();
        assert!(matches!(inaccurate, LinearError::Inaccurate { residual, .. } if residual > 1e-6), "{inaccurate}");
        let (two, ..) = system(&[5, 5], 1.0);
        assert!(matches!(LinearSolverChoice::Tridiagonal.build(&two), Err(LinearError::Pattern { .. })));
    }
}
