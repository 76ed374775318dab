//! Products of small dense matrices with blocks of points; loops over points innermost, compiled for each instruction set.

use hjbridge_model::dispatch::{Kernel, dispatch};
use hjbridge_model::{Points, PointsMut};

/// out_i += sum_f m[i F + f] x_f at each point, F = x.dim().
pub(crate) fn add_product(m: &[f64], x: Points<'_>, out: PointsMut<'_>) {
    dispatch(Product { m, row: x.dim(), column: 1, x, out });
}

/// out_f += sum_i m[i F + f] x_i at each point, F = out.dim().
pub(crate) fn add_transposed_product(m: &[f64], x: Points<'_>, out: PointsMut<'_>) {
    dispatch(Product { m, row: 1, column: out.dim(), x, out });
}

/// m[i F + f] += sum over the points of p_i x_f, F = x.dim().
pub(crate) fn add_outer(m: &mut [f64], p: Points<'_>, x: Points<'_>) {
    dispatch(Outer { m, p, x });
}

/// out_i += sum_f m[i row + f column] x_f.
struct Product<'a> {
    m: &'a [f64],
    row: usize,
    column: usize,
    x: Points<'a>,
    out: PointsMut<'a>,
}

impl Kernel for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn run(mut self) {
        let terms = self.x.dim();
        for i in 0..self.out.dim() {
            let at = |f: usize| self.m[i * self.row + f * self.column];
            let out = self.out.coord_mut(i);
            let mut f = 0;
            while f + 4 <= terms {
                let (a, b, c, d) = (at(f), at(f + 1), at(f + 2), at(f + 3));
                let (xa, xb, xc, xd) = (self.x.coord(f), self.x.coord(f + 1), self.x.coord(f + 2), self.x.coord(f + 3));
                for ((((o, xa), xb), xc), xd) in out.iter_mut().zip(xa).zip(xb).zip(xc).zip(xd) {
                    *o += (a * xa + b * xb) + (c * xc + d * xd);
                }
                f += 4;
            }
            for f in f..terms {
                let a = at(f);
                for (o, x) in out.iter_mut().zip(self.x.coord(f)) {
                    *o += a * x;
                }
            }
        }
    }
}

struct Outer<'a> {
    m: &'a mut [f64],
    p: Points<'a>,
    x: Points<'a>,
}

impl Kernel for Outer<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let terms = self.x.dim();
        for i in 0..self.p.dim() {
            for f in 0..terms {
                let mut sum = [0.0; 8];
                let (p, x) = (self.p.coord(i), self.x.coord(f));
                let ((p, p_rest), (x, x_rest)) = (p.as_chunks::<8>(), x.as_chunks::<8>());
                for (p, x) in p.iter().zip(x) {
                    for j in 0..8 {
                        sum[j] += p[j] * x[j];
                    }
                }
                for ((s, p), x) in sum.iter_mut().zip(p_rest).zip(x_rest) {
                    *s += p * x;
                }
                let [a, b, c, d, e, g, h, k] = sum;
                self.m[i * terms + f] += ((a + b) + (c + d)) + ((e + g) + (h + k));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::PointBlock;

    #[test]
    fn products_are_those_of_matrices() {
        let (rows, cols, n) = (3, 6, 13);
        let m: Vec<f64> = (0..rows * cols).map(|i| (i as f64 * 0.7).sin()).collect();
        let fill = |dim, shift: f64| {
            let mut b = PointBlock::zeros(dim, n);
            b.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (i as f64 + shift).cos());
            b
        };
        let (x, p) = (fill(cols, 0.1), fill(rows, 5.0));
        let mut out = PointBlock::zeros(rows, n);
        let mut back = PointBlock::zeros(cols, n);
        let mut outer = vec![0.0; rows * cols];
        add_product(&m, x.as_points(), out.as_mut());
        add_transposed_product(&m, p.as_points(), back.as_mut());
        add_outer(&mut outer, p.as_points(), x.as_points());
        for i in 0..rows {
            for j in 0..n {
                let want: f64 = (0..cols).map(|f| m[i * cols + f] * x.coord(f)[j]).sum();
                assert!((out.coord(i)[j] - want).abs() < 1e-14);
            }
            for f in 0..cols {
                let want: f64 = (0..n).map(|j| p.coord(i)[j] * x.coord(f)[j]).sum();
                assert!((outer[i * cols + f] - want).abs() < 1e-14);
            }
        }
        for f in 0..cols {
            for j in 0..n {
                let want: f64 = (0..rows).map(|i| m[i * cols + f] * p.coord(i)[j]).sum();
                assert!((back.coord(f)[j] - want).abs() < 1e-14);
            }
        }
    }
}
