//! High-order central differences along the axes of a tensor grid: first and second derivatives.
//!
//! Order p = 4, 6 or 8 on uniform axes and on smoothly stretched ones (weights of the p + 1 nearest nodes, exact for
//! polynomials of degree p). Near a face, where the central stencil does not fit, the widest central stencil that does is
//! used, and one-sided stencils of the order of the closure, 2 or 4, where not even that one fits.
//!
//! No condition is set at a face. A heuristic for what follows from that: modes exp(kappa (x - L) + lambda t) with
//! lambda = a kappa^2/2 - |f| kappa live next to it until the error of the closure, (kappa h)^q, ends them, so noise may grow
//! by (kappa h)^-q, the more the finer the grid and the higher the order q. Seen: with q = 4 the corner of 1025^2 nodes
//! amplifies the errors of the time integration until the quadratic Hamiltonian takes over and the value blows up (ring of
//! eight Gaussians, box +-5.5); with q = 2 it does not. Closures of order 6 and 8 are not offered: for pure diffusion the
//! operator then has growing modes outright. With a drift that points inward, as in fine-tuning, an error at a face does not
//! travel inward, and q = 2 costs nothing.
//! The stencils are not monotone: for data with kinks use [`crate::space::Hybrid`].
//! Reference: B. Fornberg, Generation of finite difference formulas on arbitrarily spaced grids, Math. Comp. 51 (1988)
//! 699-706.

use crate::error::HjbError;
use hjbridge_model::grid::{Axis, TensorGrid};
use rayon::prelude::*;
use std::sync::Arc;

/// Order of the stencils next to the faces unless [`Differences::with_closure`] asks for another.
pub const CLOSURE_ORDER: usize = 4;

/// Grids with fewer nodes are treated by one thread.
pub(crate) const SERIAL_BELOW: usize = 8192;

/// Weights of the derivatives of order 0 to `highest` at `z` from values at the nodes `x`: entry `[k][j]` belongs to the
/// derivative of order k and node j. O(highest len^2).
pub fn fornberg_weights(z: f64, x: &[f64], highest: usize) -> Vec<Vec<f64>> {
    let mut c = vec![vec![0.0; x.len()]; highest + 1];
    if x.is_empty() {
        return c;
    }
    let (mut c1, mut c4) = (1.0, x[0] - z);
    c[0][0] = 1.0;
    for i in 1..x.len() {
        let top = i.min(highest);
        let (mut c2, c5) = (1.0, c4);
        c4 = x[i] - z;
        for j in 0..i {
            let c3 = x[i] - x[j];
            c2 *= c3;
            if j + 1 == i {
                for k in (1..=top).rev() {
                    c[k][i] = c1 * (k as f64 * c[k - 1][i - 1] - c5 * c[k][i - 1]) / c2;
                }
                c[0][i] = -c1 * c5 * c[0][i - 1] / c2;
            }
            for k in (1..=top).rev() {
                c[k][j] = (c4 * c[k][j] - k as f64 * c[k - 1][j]) / c3;
            }
            c[0][j] *= c4 / c3;
        }
        c1 = c2;
    }
    c
}

/// The stencils of one node: weights of the nodes `start..start + first.len()` of its line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeStencil {
    pub start: usize,
    pub first: Vec<f64>,
    pub second: Vec<f64>,
}

/// Weights of (v[k] - v[-k]) in V' and of v[0] and (v[k] + v[-k]) in V'' on a uniform axis.
#[derive(Clone, Debug)]
struct Symmetric {
    first: [f64; 4],
    center: f64,
    second: [f64; 4],
}

/// The stencils along one axis.
#[derive(Clone, Debug)]
pub(crate) struct AxisDifferences {
    half: usize,
    pub stride: usize,
    pub count: usize,
    symmetric: Option<Symmetric>,
    pub nodes: Vec<NodeStencil>,
    /// Weights of the interior by offset, for the axis of stride one: entry [k][i] belongs to node i and offset k - half.
    by_offset: Vec<(Vec<f64>, Vec<f64>)>,
    /// Largest Fourier symbols of the two differences for the smallest spacing in the node's stencil. The closures have far
    /// larger row sums but do not enlarge the spectrum (checked by eigenvalues for drifts from none to strongly inward).
    pub first_bound: Vec<f64>,
    pub second_bound: Vec<f64>,
}

impl AxisDifferences {
    fn new(axis: &Axis, order: usize, closure: usize, stride: usize) -> Self {
        let (x, n, half) = (axis.nodes(), axis.len(), order / 2);
        let nodes: Vec<NodeStencil> = (0..n).map(|i| stencil(x, i, half, closure)).collect();
        let interior = half..n.saturating_sub(half);
        let symmetric = axis.spacing().filter(|_| !interior.is_empty()).map(|h| {
            let unit: Vec<f64> = (0..=2 * half).map(|k| k as f64 - half as f64).collect();
            let w = fornberg_weights(0.0, &unit, 2);
            let mut s = Symmetric { first: [0.0; 4], center: w[2][half] / (h * h), second: [0.0; 4] };
            for k in 0..half {
                s.first[k] = w[1][half + 1 + k] / h;
                s.second[k] = w[2][half + 1 + k] / (h * h);
            }
            s
        });
        let by_offset = if stride == 1 && symmetric.is_none() {
            let weight = |row: &dyn Fn(&NodeStencil) -> &Vec<f64>, k: usize| -> Vec<f64> {
                (0..n).map(|i| if interior.contains(&i) { row(&nodes[i])[k] } else { 0.0 }).collect()
            };
            (0..=2 * half).map(|k| (weight(&|s| &s.first, k), weight(&|s| &s.second, k))).collect()
        } else {
            Vec::new()
        };
        let (symbol1, symbol2) = largest_symbols(half);
        let spacing =
            |s: &NodeStencil| x[s.start..s.start + s.first.len()].windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let first_bound = nodes.iter().map(|s| symbol1 / spacing(s)).collect();
        let second_bound = nodes.iter().map(|s| symbol2 / spacing(s).powi(2)).collect();
        AxisDifferences { half, stride, count: n, symmetric, nodes, by_offset, first_bound, second_bound }
    }

    /// V' and V'' along this axis on the row of `first.len()` nodes from flat index `base`, all of index `i` on this axis.
    /// Not for the axis of stride one.
    pub fn across(&self, v: &[f64], base: usize, i: usize, first: &mut [f64], second: &mut [f64]) {
        let len = first.len();
        let row = |k: usize| &v[base + k * self.stride - i * self.stride..][..len];
        if let Some(s) = self.symmetric_at(i) {
            let (lower, upper) = (|k: usize| row(i - 1 - k), |k: usize| row(i + 1 + k));
            s.apply(self.half, row(i), lower, upper, first, second);
        } else {
            let stencil = &self.nodes[i];
            first.fill(0.0);
            second.fill(0.0);
            for (k, (w1, w2)) in stencil.first.iter().zip(&stencil.second).enumerate() {
                for ((d1, d2), v) in first.iter_mut().zip(second.iter_mut()).zip(row(stencil.start + k)) {
                    *d1 += w1 * v;
                    *d2 += w2 * v;
                }
            }
        }
    }

    /// V' and V'' along a line `v` of this axis, contiguous.
    pub fn along(&self, v: &[f64], first: &mut [f64], second: &mut [f64]) {
        let (n, half) = (self.count, self.half);
        let (low, high) = if n > 2 * half { (half, n - half) } else { (n, n) };
        if low < high {
            let len = high - low;
            let (d1, d2) = (&mut first[low..high], &mut second[low..high]);
            if let Some(s) = &self.symmetric {
                s.apply(half, &v[low..high], |k| &v[low - 1 - k..][..len], |k| &v[low + 1 + k..][..len], d1, d2);
            } else {
                d1.fill(0.0);
                d2.fill(0.0);
                for (k, (w1, w2)) in self.by_offset.iter().enumerate() {
                    let (w1, w2, v) = (&w1[low..high], &w2[low..high], &v[k..][..len]);
                    for j in 0..len {
                        d1[j] += w1[j] * v[j];
                        d2[j] += w2[j] * v[j];
                    }
                }
            }
        }
        for i in (0..low).chain(high..n) {
            let s = &self.nodes[i];
            let window = &v[s.start..s.start + s.first.len()];
            first[i] = s.first.iter().zip(window).map(|(w, v)| w * v).sum();
            second[i] = s.second.iter().zip(window).map(|(w, v)| w * v).sum();
        }
    }

    fn symmetric_at(&self, i: usize) -> Option<&Symmetric> {
        self.symmetric.as_ref().filter(|_| i >= self.half && i + self.half < self.count)
    }
}

impl Symmetric {
    #[inline(always)]
    fn apply<'v>(
        &self,
        half: usize,
        center: &'v [f64],
        lower: impl Fn(usize) -> &'v [f64],
        upper: impl Fn(usize) -> &'v [f64],
        first: &mut [f64],
        second: &mut [f64],
    ) {
        match half {
            2 => self.kernel::<2>(center, [lower(0), lower(1)], [upper(0), upper(1)], first, second),
            3 => self.kernel::<3>(center, [lower(0), lower(1), lower(2)], [upper(0), upper(1), upper(2)], first, second),
            _ => {
                let (l, u) = ([lower(0), lower(1), lower(2), lower(3)], [upper(0), upper(1), upper(2), upper(3)]);
                self.kernel::<4>(center, l, u, first, second);
            }
        }
    }

    fn kernel<const H: usize>(
        &self,
        center: &[f64],
        lower: [&[f64]; H],
        upper: [&[f64]; H],
        first: &mut [f64],
        second: &mut [f64],
    ) {
        let n = center.len();
        let (lower, upper) = (lower.map(|l| &l[..n]), upper.map(|u| &u[..n]));
        let (first, second) = (&mut first[..n], &mut second[..n]);
        for j in 0..n {
            let (mut d1, mut d2) = (0.0, self.center * center[j]);
            for k in 0..H {
                d1 += self.first[k] * (upper[k][j] - lower[k][j]);
                d2 += self.second[k] * (upper[k][j] + lower[k][j]);
            }
            first[j] = d1;
            second[j] = d2;
        }
    }
}

/// Largest Fourier symbols of the first and second central difference of half width `half` and unit spacing.
fn largest_symbols(half: usize) -> (f64, f64) {
    let unit: Vec<f64> = (0..=2 * half).map(|k| k as f64 - half as f64).collect();
    let w = fornberg_weights(0.0, &unit, 2);
    let first = |xi: f64| unit.iter().zip(&w[1]).map(|(k, w)| w * (k * xi).sin()).sum::<f64>();
    let largest = (1..400).map(|i| first(i as f64 * std::f64::consts::PI / 400.0)).fold(0.0, f64::max);
    (1.001 * largest, w[2].iter().map(|w| w.abs()).sum())
}

/// The stencil of node i: central of the widest width that fits (half width up to `half`), one-sided where that is below the
/// order of the closure.
fn stencil(x: &[f64], i: usize, half: usize, closure: usize) -> NodeStencil {
    let n = x.len();
    let room = i.min(n - 1 - i).min(half);
    let (start, end) = if 2 * room >= closure {
        (i - room, i + room + 1)
    } else {
        // A second derivative of this order takes one node more than a first one.
        let width = (closure + 2).min(n);
        if 2 * i < n { (0, width) } else { (n - width, n) }
    };
    let w = fornberg_weights(x[i], &x[start..end], 2);
    NodeStencil { start, first: w[1].clone(), second: w[2].clone() }
}

/// First and second derivatives of grid functions along the axes.
#[derive(Clone, Debug)]
pub struct Differences {
    grid: Arc<TensorGrid>,
    order: usize,
    pub(crate) axes: Vec<AxisDifferences>,
}

impl Differences {
    /// Differences of order 4, 6 or 8 on `grid`, with the closure of order [`CLOSURE_ORDER`].
    ///
    /// # Errors
    /// Another order, or an axis with fewer than `order + 2` nodes.
    pub fn new(grid: Arc<TensorGrid>, order: usize) -> Result<Self, HjbError> {
        Self::with_closure(grid, order, CLOSURE_ORDER)
    }

    /// The same with a closure of order 2 (exact for cubics up to the faces) or 4 (for polynomials of degree 5).
    ///
    /// # Errors
    /// Other orders, or an axis with fewer than `order + 2` nodes.
    pub fn with_closure(grid: Arc<TensorGrid>, order: usize, closure: usize) -> Result<Self, HjbError> {
        if !matches!(order, 4 | 6 | 8) {
            return Err(HjbError::invalid("order", order, "4, 6 or 8"));
        }
        if !matches!(closure, 2 | 4) {
            return Err(HjbError::invalid("closure_order", closure, "2 or 4"));
        }
        for (a, axis) in grid.axes().iter().enumerate() {
            if axis.len() < order + 2 {
                let allowed = format!("at least {} for differences of order {order}", order + 2);
                return Err(HjbError::invalid(&format!("grid.axes[{a}].nodes"), axis.len(), &allowed));
            }
        }
        let axes = (0..grid.dim()).map(|a| AxisDifferences::new(grid.axis(a), order, closure, grid.strides()[a])).collect();
        Ok(Differences { grid, order, axes })
    }

    /// The order p.
    pub fn order(&self) -> usize {
        self.order
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    /// Length of a row: the nodes of the last axis.
    pub(crate) fn row_len(&self) -> usize {
        self.axes[self.axes.len() - 1].count
    }

    /// V' and V'' along `axis` on row number `row` (rows are the lines of the last axis).
    pub(crate) fn row(&self, axis: usize, v: &[f64], row: usize, first: &mut [f64], second: &mut [f64]) {
        let len = self.row_len();
        let base = row * len;
        let a = &self.axes[axis];
        if axis + 1 == self.axes.len() {
            a.along(&v[base..base + len], first, second);
        } else {
            a.across(v, base, base / a.stride % a.count, first, second);
        }
    }

    /// Write dV/dx_axis and d^2V/dx_axis^2 on all nodes.
    ///
    /// # Errors
    /// Arrays that do not have one entry per node, an axis that the grid does not have.
    pub fn derivatives(&self, axis: usize, v: &[f64], first: &mut [f64], second: &mut [f64]) -> Result<(), HjbError> {
        if axis >= self.axes.len() {
            return Err(HjbError::invalid("axis", axis, &format!("less than {}", self.axes.len())));
        }
        for (name, found) in [("v", v.len()), ("first", first.len()), ("second", second.len())] {
            HjbError::check_shape(name, found, self.grid.len())?;
        }
        let len = self.row_len();
        let each = |(row, (d1, d2)): (usize, (&mut [f64], &mut [f64]))| self.row(axis, v, row, d1, d2);
        if self.grid.len() < SERIAL_BELOW {
            first.chunks_mut(len).zip(second.chunks_mut(len)).enumerate().for_each(each);
        } else {
            first.par_chunks_mut(len).zip(second.par_chunks_mut(len)).enumerate().for_each(each);
        }
        Ok(())
    }

    /// Write grad V on all nodes: d x n, component by component.
    ///
    /// # Errors
    /// Arrays of other lengths.
    pub fn gradient(&self, v: &[f64], out: &mut [f64]) -> Result<(), HjbError> {
        let n = self.grid.len();
        HjbError::check_shape("out", out.len(), n * self.axes.len())?;
        let mut second = vec![0.0; n];
        out.chunks_mut(n).enumerate().try_for_each(|(axis, first)| self.derivatives(axis, v, first, &mut second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(axis: Axis, order: usize) -> (f64, f64, f64, f64) {
        let grid = Arc::new(TensorGrid::new(vec![axis]).unwrap());
        let d = Differences::new(grid.clone(), order).unwrap();
        let x = grid.axis(0).nodes();
        let v: Vec<f64> = x.iter().map(|x| (1.3 * x).sin()).collect();
        let (mut d1, mut d2) = (vec![0.0; v.len()], vec![0.0; v.len()]);
        d.derivatives(0, &v, &mut d1, &mut d2).unwrap();
        let mut e = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for i in 0..v.len() {
            let (e1, e2) = ((d1[i] - 1.3 * (1.3 * x[i]).cos()).abs(), (d2[i] + 1.69 * v[i]).abs());
            e.2 = e.2.max(e1);
            e.3 = e.3.max(e2);
            if i >= order / 2 && i + order / 2 < v.len() {
                e.0 = e.0.max(e1);
                e.1 = e.1.max(e2);
            }
        }
        e
    }

    #[test]
    fn orders_on_uniform_and_stretched_axes() {
        for stretched in [false, true] {
            for (order, n) in [(4, 81), (6, 61), (8, 41)] {
                let axis = |n| {
                    if stretched {
                        Axis::stretched(-3.0, 3.0, n, 0.4, 1.5).unwrap()
                    } else {
                        Axis::uniform(-3.0, 3.0, n).unwrap()
                    }
                };
                let (a, b) = (errors(axis(n), order), errors(axis(2 * n - 1), order));
                let rates = [(a.0 / b.0).log2(), (a.1 / b.1).log2()];
                assert!(rates.iter().all(|r| (r - order as f64).abs() < 0.5), "{stretched} {order} {a:?} {b:?} {rates:?}");
                // The closure of order 4 shows in the sup over the whole axis.
                let face = (errors(axis(161), order).3 / errors(axis(321), order).3).log2();
                assert!((face - 4.0).abs() < 0.35, "{stretched} {order} {face}");
            }
        }
    }

    #[test]
    fn polynomials_of_degree_four_are_exact_up_to_the_faces_in_three_dimensions() {
        let axes = vec![
            Axis::uniform(-1.0, 1.0, 11).unwrap(),
            Axis::stretched(0.0, 2.0, 12, 1.0, 1.0).unwrap(),
            Axis::uniform(-2.0, 1.0, 13).unwrap(),
        ];
        let grid = Arc::new(TensorGrid::new(axes).unwrap());
        let p = grid.points();
        let poly = |x: f64, c: f64| (1.0 + c * x + x * x - 0.5 * x.powi(4), c + 2.0 * x - 2.0 * x.powi(3), 2.0 - 6.0 * x * x);
        let parts = |j: usize| [poly(p.coord(0)[j], 0.3), poly(p.coord(1)[j], -0.7), poly(p.coord(2)[j], 1.1)];
        let v: Vec<f64> = (0..grid.len()).map(|j| parts(j).iter().map(|q| q.0).product()).collect();
        let n = grid.len();
        for order in [4, 6, 8] {
            let d = Differences::new(grid.clone(), order).unwrap();
            let mut g = vec![0.0; 3 * n];
            d.gradient(&v, &mut g).unwrap();
            for axis in 0..3 {
                let (mut d1, mut d2) = (vec![0.0; n], vec![0.0; n]);
                d.derivatives(axis, &v, &mut d1, &mut d2).unwrap();
                assert_eq!(d1, g[axis * n..(axis + 1) * n]);
                for j in 0..n {
                    let q = parts(j);
                    let other: f64 = (0..3).filter(|&i| i != axis).map(|i| q[i].0).product();
                    assert!((d1[j] - q[axis].1 * other).abs() < 1e-9, "{order} {axis} {j}");
                    assert!((d2[j] - q[axis].2 * other).abs() < 1e-8, "{order} {axis} {j}");
                }
            }
        }
    }

    #[test]
    fn bad_orders_and_short_axes_are_named() {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 8).unwrap()]).unwrap());
        assert!(Differences::new(grid.clone(), 5).unwrap_err().to_string().starts_with("order = 5: 4, 6 or 8"));
        assert!(Differences::new(grid.clone(), 8).unwrap_err().to_string().contains("grid.axes[0].nodes = 8"));
        let d = Differences::new(grid, 4).unwrap();
        assert!(matches!(d.gradient(&[0.0; 7], &mut [0.0; 8]), Err(HjbError::Shape { .. })));
    }
}
