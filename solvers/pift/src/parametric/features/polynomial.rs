//! Hermite polynomials of total degree at most p, orthonormal under the standard normal law.
//!
//! phi_a(x) = prod_i He_{a_i}(x_i) / sqrt(a_i!),  |a| <= p;  He_n' = n He_{n-1}.  F = binomial(D + p, p).

use super::{Features, MOST};
use crate::parametric::ParametricError;
use hjbridge_model::{PointBlock, Points, PointsMut};
use serde::{Deserialize, Serialize};

/// Polynomials of total degree at most p.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Polynomial {
    dim: usize,
    degree: usize,
    /// For each feature its factors (coordinate, degree >= 1).
    factors: Vec<Vec<(usize, usize)>>,
}

impl Polynomial {
    /// In `dim` variables, of total degree at most `degree`.
    ///
    /// # Errors
    /// More than 20 000 features.
    pub fn new(dim: usize, degree: usize) -> Result<Self, ParametricError> {
        let mut count = 1.0;
        for n in 1..=degree {
            count *= (dim + n) as f64 / n as f64;
            if count > MOST as f64 {
                let allowed = format!("at most {MOST} features; in {dim} variables degree {n} has {count:.0}");
                return Err(ParametricError::invalid("features.degree", degree, allowed));
            }
        }
        let mut factors = vec![Vec::new()];
        let mut last: Vec<Vec<(usize, usize)>> = vec![Vec::new()];
        for _ in 0..degree {
            let mut next = Vec::new();
            for term in &last {
                let from = term.last().map_or(0, |t| t.0);
                for i in from..dim {
                    let mut longer = term.clone();
                    match longer.last_mut() {
                        Some(t) if t.0 == i => t.1 += 1,
                        _ => longer.push((i, 1)),
                    }
                    next.push(longer);
                }
            }
            factors.extend(next.iter().cloned());
            last = next;
        }
        Ok(Polynomial { dim, degree, factors })
    }

    /// Whether it is one that [`Polynomial::new`] makes.
    pub(super) fn is_sound(&self) -> bool {
        Self::new(self.dim, self.degree).is_ok_and(|same| same == *self)
    }

    /// He_n(x_i)/sqrt(n!) for n = 1..=p, coordinate (n - 1) + i p.
    fn table(&self, x: Points<'_>) -> PointBlock {
        let (p, n) = (self.degree, x.len());
        let mut table = PointBlock::zeros(self.dim * p, n);
        for i in 0..self.dim {
            let xi = x.coord(i);
            let own = &mut table.data_mut()[i * p * n..(i + 1) * p * n];
            for degree in 1..=p {
                // sqrt(n) h_n = x h_{n-1} - sqrt(n-1) h_{n-2}
                let (before, rest) = own.split_at_mut((degree - 1) * n);
                let (root, previous) = ((degree as f64).sqrt(), ((degree - 1) as f64).sqrt());
                for (j, h) in rest[..n].iter_mut().enumerate() {
                    let one = if degree >= 2 { before[(degree - 2) * n + j] } else { 1.0 };
                    let two = match degree {
                        1 => 0.0,
                        2 => 1.0,
                        _ => before[(degree - 3) * n + j],
                    };
                    *h = (xi[j] * one - previous * two) / root;
                }
            }
        }
        table
    }
}

impl Features for Polynomial {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.factors.len()
    }

    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let table = self.table(x);
        for (f, factors) in self.factors.iter().enumerate() {
            let out = out.coord_mut(f);
            match factors.split_first() {
                None => out.fill(1.0),
                Some((&(i, n), rest)) => {
                    out.copy_from_slice(table.coord(i * self.degree + n - 1));
                    for &(i, n) in rest {
                        for (o, h) in out.iter_mut().zip(table.coord(i * self.degree + n - 1)) {
                            *o *= h;
                        }
                    }
                }
            }
        }
    }

    fn add_jacobian_transpose(&self, x: Points<'_>, w: Points<'_>, mut out: PointsMut<'_>) {
        let table = self.table(x);
        let mut term = vec![0.0; x.len()];
        for (f, factors) in self.factors.iter().enumerate() {
            for (at, &(i, n)) in factors.iter().enumerate() {
                // h_n' = sqrt(n) h_{n-1}
                let root = (n as f64).sqrt();
                for (t, w) in term.iter_mut().zip(w.coord(f)) {
                    *t = root * w;
                }
                let others = factors.iter().enumerate().filter(|&(b, _)| b != at).map(|(_, &t)| t);
                for (i, n) in others.chain((n > 1).then_some((i, n - 1))) {
                    for (t, h) in term.iter_mut().zip(table.coord(i * self.degree + n - 1)) {
                        *t *= h;
                    }
                }
                for (o, t) in out.coord_mut(i).iter_mut().zip(&term) {
                    *o += t;
                }
            }
        }
    }
}
