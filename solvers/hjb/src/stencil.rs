//! Square matrices of a finite-difference stencil, in diagonal storage.
//!
//! A matrix acting on functions of the nodes of a tensor grid couples node x with the nodes x + shift for a few shifts.
//! It is stored as one array of n coefficients per shift; row j of the array of shift s multiplies the value at node
//! j + s. Products are one fused pass per shift over contiguous memory, with no index array. A coefficient whose
//! neighbour lies outside the grid is zero and must stay zero.
//!
//! Reference: Y. Saad, Iterative Methods for Sparse Linear Systems (2003), section 3.4 (DIA format).

/// A square matrix in diagonal storage on a grid of given shape (C order, last axis fastest).
#[derive(Clone, Debug, PartialEq)]
pub struct StencilMatrix {
    shape: Vec<usize>,
    shifts: Vec<Vec<isize>>,
    flat: Vec<isize>,
    n: usize,
    coefficients: Vec<f64>,
}

impl StencilMatrix {
    /// The zero matrix with the given shifts, each a step per axis; the first shift should be zero (the diagonal).
    pub fn new(shape: &[usize], shifts: Vec<Vec<isize>>) -> Self {
        let mut stride = 1isize;
        let mut strides = vec![0isize; shape.len()];
        for (s, &len) in strides.iter_mut().zip(shape).rev() {
            *s = stride;
            stride *= len as isize;
        }
        let flat = shifts.iter().map(|shift| shift.iter().zip(&strides).map(|(a, b)| a * b).sum()).collect();
        let n = shape.iter().product();
        StencilMatrix { shape: shape.to_vec(), coefficients: vec![0.0; n * shifts.len()], shifts, flat, n }
    }

    /// The zero matrix that couples each node with itself and its two neighbours on each axis; shifts in the order
    /// diagonal, then (lower, upper) of axis 0, of axis 1, ...
    pub fn nearest_neighbour(shape: &[usize]) -> Self {
        let mut shifts = vec![vec![0; shape.len()]];
        for axis in 0..shape.len() {
            for step in [-1, 1] {
                let mut shift = vec![0; shape.len()];
                shift[axis] = step;
                shifts.push(shift);
            }
        }
        StencilMatrix::new(shape, shifts)
    }

    /// The same with further shifts after these.
    pub(crate) fn nearest_neighbour_and(shape: &[usize], extra: Vec<Vec<isize>>) -> Self {
        let mut shifts = StencilMatrix::nearest_neighbour(shape).shifts;
        shifts.extend(extra);
        StencilMatrix::new(shape, shifts)
    }

    /// Take over a wider pattern, zero where this one had no shift; shifts that `wider` lacks are lost.
    pub(crate) fn widen(&mut self, mut wider: StencilMatrix) {
        for s in 0..self.flat.len() {
            if let Some(place) = wider.shift_number(&self.shifts[s]) {
                wider.diagonal_mut(place).copy_from_slice(self.diagonal(s));
            }
        }
        *self = wider;
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether the matrix has no row.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Shape of the grid.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shifts as distances between flat node indices.
    pub fn flat_shifts(&self) -> &[isize] {
        &self.flat
    }

    /// The shifts as steps per axis.
    pub fn shifts(&self) -> &[Vec<isize>] {
        &self.shifts
    }

    /// The number of a shift.
    pub(crate) fn shift_number(&self, shift: &[isize]) -> Option<usize> {
        self.shifts.iter().position(|s| s == shift)
    }

    /// Coefficients of shift number `s`, one per row.
    pub fn diagonal(&self, s: usize) -> &[f64] {
        &self.coefficients[s * self.n..(s + 1) * self.n]
    }

    /// Coefficients of shift number `s`, mutable.
    pub fn diagonal_mut(&mut self, s: usize) -> &mut [f64] {
        &mut self.coefficients[s * self.n..(s + 1) * self.n]
    }

    /// All coefficients, shift by shift.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// Coefficients of the shifts `2 i + 1` and `2 i + 2` of a nearest-neighbour matrix: (lower, upper) of axis i.
    pub(crate) fn pair_mut(&mut self, axis: usize) -> (&mut [f64], &mut [f64]) {
        let start = (2 * axis + 1) * self.n;
        self.coefficients[start..start + 2 * self.n].split_at_mut(self.n)
    }

    /// Set the diagonal (shift number 0) to minus the sum of the other coefficients of the row, so that rows sum to zero.
    pub fn close_rows(&mut self) {
        let n = self.n;
        let (diagonal, rest) = self.coefficients.split_at_mut(n);
        diagonal.fill(0.0);
        for c in rest.chunks_exact(n) {
            for (d, v) in diagonal.iter_mut().zip(c) {
                *d -= v;
            }
        }
    }

    /// self = I - w a, for `a` of the same shifts with the diagonal first.
    pub fn set_identity_minus(&mut self, w: f64, a: &StencilMatrix) {
        debug_assert_eq!(self.flat, a.flat);
        for (m, c) in self.coefficients.iter_mut().zip(&a.coefficients) {
            *m = -w * c;
        }
        for m in &mut self.coefficients[..self.n] {
            *m += 1.0;
        }
    }

    /// self = transpose of `a`. A pattern that does not contain the negatives of the shifts of `a` is replaced by these; other
    /// shifts are zeroed.
    pub fn set_transpose_of(&mut self, a: &StencilMatrix) {
        if !a.flat.iter().all(|shift| self.flat.contains(&-shift)) {
            let shifts = a.shifts.iter().map(|shift| shift.iter().map(|step| -step).collect()).collect();
            *self = StencilMatrix::new(&a.shape, shifts);
        }
        self.coefficients.fill(0.0);
        for (s, &shift) in a.flat.iter().enumerate() {
            if let Some(r) = self.flat.iter().position(|&f| f == -shift) {
                let (rows, columns) = overlap(a.n, shift);
                let from = &a.coefficients[s * a.n..][rows];
                self.coefficients[r * a.n..][columns].copy_from_slice(from);
            }
        }
    }

    /// out = A x.
    pub fn multiply(&self, x: &[f64], out: &mut [f64]) {
        out.fill(0.0);
        self.multiply_add(1.0, x, out);
    }

    /// out += c A x.
    pub fn multiply_add(&self, c: f64, x: &[f64], out: &mut [f64]) {
        for (s, &shift) in self.flat.iter().enumerate() {
            let (rows, columns) = overlap(self.n, shift);
            let a = &self.diagonal(s)[rows.clone()];
            for ((o, a), x) in out[rows].iter_mut().zip(a).zip(&x[columns]) {
                *o += c * (a * x);
            }
        }
    }

    /// out += c A' x, with A' the transpose.
    pub fn transpose_multiply_add(&self, c: f64, x: &[f64], out: &mut [f64]) {
        for (s, &shift) in self.flat.iter().enumerate() {
            let (rows, columns) = overlap(self.n, shift);
            let a = &self.diagonal(s)[rows.clone()];
            for ((o, a), x) in out[columns].iter_mut().zip(a).zip(&x[rows]) {
                *o += c * (a * x);
            }
        }
    }

    /// Largest row sum of absolute values; `scratch` has one entry per row.
    pub fn max_row_sum(&self, scratch: &mut [f64]) -> f64 {
        scratch.fill(0.0);
        for c in self.coefficients.chunks_exact(self.n) {
            for (o, v) in scratch.iter_mut().zip(c) {
                *o += v.abs();
            }
        }
        scratch.iter().fold(0.0, |m: f64, v| m.max(*v))
    }

    /// Whether row `j` has a neighbour on the grid at shift number `s`.
    pub fn has_neighbour(&self, j: usize, s: usize) -> bool {
        let mut rest = j;
        for (&len, &step) in self.shape.iter().zip(&self.shifts[s]).rev() {
            let index = (rest % len) as isize + step;
            if index < 0 || index >= len as isize {
                return false;
            }
            rest /= len;
        }
        true
    }
}

/// Rows j for which j + shift is a node, and those nodes.
fn overlap(n: usize, shift: isize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
    let size = shift.unsigned_abs().min(n);
    if shift >= 0 { (0..n - size, size..n) } else { (size..n, 0..n - size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 3 x 4 grid with the five-point pattern plus one cross shift, filled with distinct numbers.
    fn sample() -> StencilMatrix {
        let shifts = vec![vec![0, 0], vec![-1, 0], vec![1, 0], vec![0, -1], vec![0, 1], vec![-1, 1], vec![1, -1]];
        let mut a = StencilMatrix::new(&[3, 4], shifts);
        for s in 0..7 {
            for j in 0..12 {
                if a.has_neighbour(j, s) {
                    a.diagonal_mut(s)[j] = ((3 * s + 5 * j + s * j) % 11) as f64 - 4.5;
                }
            }
        }
        a
    }

    fn dense(a: &StencilMatrix) -> Vec<Vec<f64>> {
        let mut m = vec![vec![0.0; 12]; 12];
        for (s, &shift) in a.flat_shifts().iter().enumerate() {
            for j in 0..12 {
                let c = j as isize + shift;
                if (0..12).contains(&c) {
                    m[j][c as usize] += a.diagonal(s)[j];
                }
            }
        }
        m
    }

    #[test]
    fn products_agree_with_the_dense_matrix_and_its_transpose() {
        let a = sample();
        let m = dense(&a);
        let x: Vec<f64> = (0..12).map(|j| (j as f64 * 0.7).sin()).collect();
        let (mut y, mut yt) = (vec![0.0; 12], vec![0.0; 12]);
        a.multiply(&x, &mut y);
        a.transpose_multiply_add(1.0, &x, &mut yt);
        let mut at = StencilMatrix::new(&[3, 4], a.shifts.clone());
        at.set_transpose_of(&a);
        let mt = dense(&at);
        for j in 0..12 {
            let row: f64 = (0..12).map(|c| m[j][c] * x[c]).sum();
            let column: f64 = (0..12).map(|c| m[c][j] * x[c]).sum();
            assert!((y[j] - row).abs() < 1e-13 && (yt[j] - column).abs() < 1e-13);
            assert!((0..12).all(|c| mt[j][c] == m[c][j]));
        }
    }

    #[test]
    fn neighbours_do_not_wrap_around_lines() {
        let a = StencilMatrix::nearest_neighbour(&[3, 4]);
        assert!(!a.has_neighbour(3, 4) && a.has_neighbour(3, 3)); // end of a line of axis 1
        assert!(!a.has_neighbour(2, 1) && a.has_neighbour(2, 2)); // first line of axis 0
        assert!(!a.has_neighbour(9, 2));
    }

    #[test]
    fn closed_rows_sum_to_zero() {
        let mut a = sample();
        a.close_rows();
        let mut y = vec![0.0; 12];
        a.multiply(&[1.0; 12], &mut y);
        assert!(y.iter().all(|v| v.abs() < 1e-13));
    }
}
