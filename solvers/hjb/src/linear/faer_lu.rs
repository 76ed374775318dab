//! Sparse LU with partial pivoting (crate `faer`), symbolic analysis once per pattern, numeric factorisation per matrix.
//!
//! Any dimension. Fill on a two-dimensional grid is O(n log n), time O(n^{3/2}); in three dimensions fill grows like
//! n^{4/3} and the solver is for small grids only. Runs on one thread: a second one makes these sizes slower.

use super::{LinearInfo, LinearSolver, check, finite_row_sum};
use crate::error::LinearError;
use crate::stencil::StencilMatrix;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::prelude::Reborrow;
use faer::sparse::linalg::lu::{LuRef, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMat};
use faer::{Conj, MatMut, Par};

const NAME: &str = "sparse-lu";

/// A sparse LU factorisation that is reused for matrices of one pattern.
pub struct SparseLu {
    pattern: SymbolicSparseColMat<usize>,
    /// For each stored entry, its place among the coefficients of the stencil matrix.
    source: Vec<usize>,
    values: Vec<f64>,
    symbolic: SymbolicLu<usize>,
    numeric: NumericLu<usize, f64>,
    factor_buffer: MemBuffer,
    solve_buffer: MemBuffer,
    factorised: bool,
    right_side: Vec<f64>,
    row_sum: f64,
}

impl SparseLu {
    /// Analyse the pattern of `a`; couplings that would leave the grid are not stored.
    pub fn new(a: &StencilMatrix) -> Result<Self, LinearError> {
        let n = a.len();
        let shifts = a.flat_shifts();
        // Column c holds the rows c - shift: ascending rows are descending shifts.
        let mut order: Vec<usize> = (0..shifts.len()).collect();
        order.sort_by_key(|&s| std::cmp::Reverse(shifts[s]));
        let mut column_start = Vec::with_capacity(n + 1);
        let mut rows = Vec::with_capacity(n * shifts.len());
        let mut source = Vec::with_capacity(n * shifts.len());
        column_start.push(0);
        for c in 0..n {
            for &s in &order {
                let row = c as isize - shifts[s];
                if (0..n as isize).contains(&row) && a.has_neighbour(row as usize, s) {
                    rows.push(row as usize);
                    source.push(s * n + row as usize);
                }
            }
            column_start.push(rows.len());
        }
        let pattern = SymbolicSparseColMat::new_checked(n, n, column_start, None, rows);
        let failed = |e: faer::sparse::FaerError| LinearError::Factorisation { solver: NAME, reason: format!("{e:?}") };
        let symbolic = factorize_symbolic_lu(pattern.rb(), Default::default()).map_err(failed)?;
        let factor_buffer = MemBuffer::new(symbolic.factorize_numeric_lu_scratch::<f64>(Par::Seq, Default::default()));
        let solve_buffer = MemBuffer::new(symbolic.solve_in_place_scratch::<f64>(1, Par::Seq));
        Ok(SparseLu {
            values: vec![0.0; source.len()],
            pattern,
            source,
            symbolic,
            numeric: NumericLu::new(),
            factor_buffer,
            solve_buffer,
            factorised: false,
            right_side: vec![0.0; n],
            row_sum: 0.0,
        })
    }
}

impl LinearSolver for SparseLu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn factorise(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        self.row_sum = finite_row_sum(NAME, a, &mut self.right_side)?;
        let coefficients = a.coefficients();
        for (v, &s) in self.values.iter_mut().zip(&self.source) {
            *v = coefficients[s];
        }
        let matrix = SparseColMatRef::new(self.pattern.rb(), self.values.as_slice());
        self.factorised = false;
        let stack = MemStack::new(&mut self.factor_buffer);
        self.symbolic
            .factorize_numeric_lu(&mut self.numeric, matrix, Par::Seq, stack, Default::default())
            .map_err(|e| LinearError::Factorisation { solver: NAME, reason: format!("{e:?}") })?;
        self.factorised = true;
        Ok(())
    }

    fn solve(&mut self, a: &StencilMatrix, x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        if !self.factorised {
            return Err(LinearError::Factorisation { solver: NAME, reason: "no factorisation to solve with".to_string() });
        }
        self.right_side.copy_from_slice(x);
        let n = x.len();
        let lu = LuRef::new_unchecked(&self.symbolic, &self.numeric);
        let stack = MemStack::new(&mut self.solve_buffer);
        lu.solve_in_place_with_conj(Conj::No, MatMut::from_column_major_slice_mut(&mut *x, n, 1), Par::Seq, stack);
        check(NAME, a, x, &mut self.right_side, self.row_sum)
    }
}
