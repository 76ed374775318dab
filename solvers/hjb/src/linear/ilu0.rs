//! Incomplete LU factorisation without fill, in diagonal storage.
//!
//! A ~ (I + L) D (I + U) on the pattern of A, rows in natural order. Each line of the fastest axis is swept in two parts:
//! the couplings with other lines, which vectorise, and the couplings within the line, which are a recursion. For five-
//! and seven-point matrices only the diagonal changes; wider patterns lose the products that fall outside.
//! Exists without breakdown for M-matrices (J. A. Meijerink, H. A. van der Vorst, Math. Comp. 31 (1977) 148-162). O(n).

use super::krylov::Preconditioner;
use crate::error::LinearError;
use crate::stencil::StencilMatrix;

const NAME: &str = "ilu0";

/// A coupling of the pattern: distance of the neighbour and number among the stored diagonals.
#[derive(Clone, Copy)]
struct Coupling {
    distance: usize,
    index: usize,
}

/// The factors.
pub(crate) struct Ilu0 {
    n: usize,
    /// Nodes of a line of the fastest axis.
    line: usize,
    /// Couplings with smaller flat indices, farthest first, and with larger ones, nearest first.
    lower: Vec<Coupling>,
    upper: Vec<Coupling>,
    diagonal: usize,
    /// For each lower coupling, the pairs (upper, target) whose product with it falls on a stored diagonal.
    products: Vec<Vec<(usize, usize)>>,
    /// Strictly lower and strictly upper factors, in the places of A; the diagonal holds the inverse pivots.
    factors: Vec<f64>,
}

impl Ilu0 {
    /// Prepare for matrices of the pattern of `a`.
    pub fn new(a: &StencilMatrix) -> Result<Self, LinearError> {
        let shifts = a.flat_shifts();
        let Some(diagonal) = shifts.iter().position(|&s| s == 0) else {
            return Err(LinearError::Pattern { solver: NAME, allowed: "matrices with a diagonal", found: shifts.to_vec() });
        };
        let couple = |sign: isize| -> Vec<Coupling> {
            let mut list: Vec<Coupling> = shifts
                .iter()
                .enumerate()
                .filter(|(_, s)| s.signum() == sign)
                .map(|(index, s)| Coupling { distance: s.unsigned_abs(), index })
                .collect();
            list.sort_by_key(|c| c.distance);
            list
        };
        let (mut lower, upper) = (couple(-1), couple(1));
        lower.reverse();
        let products_of = |l: &Coupling| {
            let target = |u: &Coupling| shifts.iter().position(|&s| s == u.distance as isize - l.distance as isize);
            upper.iter().filter_map(|u| target(u).map(|t| (u.index, t))).collect()
        };
        let products = lower.iter().map(products_of).collect();
        let line = a.shape().last().copied().unwrap_or(1).max(1);
        let factors = vec![0.0; a.coefficients().len()];
        Ok(Ilu0 { n: a.len(), line, lower, upper, diagonal, products, factors })
    }

    /// Factorise `a`, of the pattern the object was made for.
    pub fn factorise(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        let n = self.n;
        let f = &mut self.factors;
        f.copy_from_slice(a.coefficients());
        // Row by row: scale the lower entries by the inverse pivots of their columns, subtract the products.
        for j in 0..n {
            for (l, products) in self.lower.iter().zip(&self.products) {
                if j < l.distance {
                    continue;
                }
                let column = j - l.distance;
                let entry = f[l.index * n + j];
                if entry == 0.0 {
                    continue;
                }
                let factor = entry * f[self.diagonal * n + column];
                f[l.index * n + j] = factor;
                for &(u, target) in products {
                    f[target * n + j] -= factor * f[u * n + column];
                }
            }
            let pivot = f[self.diagonal * n + j];
            let size = a.diagonal(self.diagonal)[j].abs();
            if pivot == 0.0 || !pivot.is_finite() || pivot.abs() < 1e-14 * size {
                return Err(LinearError::Singular { row: j });
            }
            f[self.diagonal * n + j] = 1.0 / pivot;
        }
        // The upper entries carry the inverse pivot of their row, so that the backward recursion is one product.
        let (head, tail) = f.split_at_mut(self.diagonal * n);
        let (inverse, tail) = tail.split_at_mut(n);
        for u in &self.upper {
            let entries = if u.index < self.diagonal {
                &mut head[u.index * n..][..n]
            } else {
                &mut tail[(u.index - self.diagonal - 1) * n..][..n]
            };
            entries.iter_mut().zip(&*inverse).for_each(|(e, p)| *e *= p);
        }
        Ok(())
    }
}

impl Preconditioner for Ilu0 {
    fn apply(&mut self, r: &[f64], z: &mut [f64]) -> Result<(), LinearError> {
        let (n, line) = (self.n, self.line);
        let factor = |c: &Coupling| &self.factors[c.index * n..][..n];
        z.copy_from_slice(r);
        // Forward: z <- (I + L)^{-1} r.
        for start in (0..n).step_by(line) {
            let end = start + line;
            for c in self.lower.iter().filter(|c| c.distance + 1 >= line) {
                // The first rows of the first lines have no such neighbour.
                let first = start.max(c.distance);
                if first >= end {
                    continue;
                }
                let (before, rest) = z.split_at_mut(first);
                // An entry that would reach into the line itself lies across the end of a line and is zero.
                let count = (end - first).min(c.distance);
                let from = &before[first - c.distance..][..count];
                for ((z, l), x) in rest[..count].iter_mut().zip(&factor(c)[first..]).zip(from) {
                    *z -= l * x;
                }
            }
            self.forward_line(start, end, z);
        }
        let inverse = &self.factors[self.diagonal * n..][..n];
        z.iter_mut().zip(inverse).for_each(|(z, p)| *z *= p);
        // Backward: z <- (I + U)^{-1} D^{-1} z.
        for start in (0..n).step_by(line).rev() {
            let end = start + line;
            for c in self.upper.iter().filter(|c| c.distance + 1 >= line) {
                let last = end.min(n.saturating_sub(c.distance));
                let first = start.max(end.saturating_sub(c.distance));
                if first >= last {
                    continue;
                }
                let (before, rest) = z.split_at_mut(end);
                let from = &rest[first + c.distance - end..];
                for ((z, u), x) in before[first..last].iter_mut().zip(&factor(c)[first..]).zip(from) {
                    *z -= u * x;
                }
            }
            self.backward_line(start, end, z);
        }
        Ok(())
    }
}

impl Ilu0 {
    /// The recursion within a line, forward.
    fn forward_line(&self, start: usize, end: usize, z: &mut [f64]) {
        let (n, line) = (self.n, self.line);
        let mut near = self.lower.iter().filter(|c| c.distance + 1 < line);
        match (near.next(), near.next()) {
            (None, _) => {}
            (Some(c), None) if c.distance == 1 => {
                let mut last = 0.0;
                for (z, l) in z[start..end].iter_mut().zip(&self.factors[c.index * n + start..]) {
                    last = *z - l * last;
                    *z = last;
                }
            }
            _ => {
                for j in start..end {
                    for c in self.lower.iter().filter(|c| c.distance + 1 < line && c.distance <= j) {
                        z[j] -= self.factors[c.index * n + j] * z[j - c.distance];
                    }
                }
            }
        }
    }

    /// The recursion within a line, backward.
    fn backward_line(&self, start: usize, end: usize, z: &mut [f64]) {
        let (n, line) = (self.n, self.line);
        let mut near = self.upper.iter().filter(|c| c.distance + 1 < line);
        match (near.next(), near.next()) {
            (None, _) => {}
            (Some(c), None) if c.distance == 1 => {
                let mut last = 0.0;
                for (z, u) in z[start..end].iter_mut().zip(&self.factors[c.index * n + start..][..end - start]).rev() {
                    last = *z - u * last;
                    *z = last;
                }
            }
            _ => {
                for j in (start..end).rev() {
                    for c in self.upper.iter().filter(|c| c.distance + 1 < line && j + c.distance < n) {
                        z[j] -= self.factors[c.index * n + j] * z[j + c.distance];
                    }
                }
            }
        }
    }
}
