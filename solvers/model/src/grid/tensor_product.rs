//! Evaluation of tensor-product piecewise polynomials: value, gradient and Hessian from one basis per axis.
//!
//! On the cell that holds the point each axis has W basis functions (W = 2: hats; W = 4: Hermite cubics), and
//!   f(x) = sum_{q_1..q_d} c_{q_1..q_d} prod_a w_{q_a}(x_a).
//! The axes are summed out from the last to the first, which carries along all derivatives wanted: about W^d
//! multiplications for each. Coordinates on periodic axes are brought into the box first. Outside the box the basis functions are continued from the face by their Taylor polynomial,
//! so the gradient and the Hessian are those of the continuation.

use super::Extrapolation;
use super::axis::Axis;
use super::block::{self, BlockValues, CountOutside, Layout};
use super::tensor::TensorGrid;
use crate::dispatch::dispatch;
use crate::error::ModelError;
use crate::points::{Points, PointsMut};
use std::marker::PhantomData;
use std::sync::Arc;

/// The W basis functions on a cell of length `step`, at x = left node + t step, and their derivatives in x.
///
/// Order: end point major, (value, slope) minor. All entries are NaN when t is.
pub(super) trait Basis<const W: usize>: Send + Sync {
    fn value(t: f64, step: f64) -> [f64; W];
    fn slope(t: f64, inverse_step: f64) -> [f64; W];
    fn curvature(t: f64, inverse_step: f64) -> [f64; W];
}

/// Where the coefficients come from.
pub(super) trait Table: Copy {
    fn get(&self, k: usize) -> f64;
    /// The table without its first `start` coefficients.
    fn from(self, start: usize) -> Self;
    fn run<const N: usize>(&self, start: usize) -> [f64; N];
}

impl Table for &[f64] {
    #[inline(always)]
    fn get(&self, k: usize) -> f64 {
        self[k]
    }
    #[inline(always)]
    fn from(self, start: usize) -> Self {
        &self[start..]
    }
    #[inline(always)]
    fn run<const N: usize>(&self, start: usize) -> [f64; N] {
        let mut run = [0.0; N];
        run.copy_from_slice(&self[start..start + N]);
        run
    }
}

/// (1 - weight) first + weight second.
#[derive(Clone, Copy)]
pub(super) struct Blend<'a> {
    pub first: &'a [f64],
    pub second: &'a [f64],
    pub weight: f64,
}

impl Table for Blend<'_> {
    #[inline(always)]
    fn get(&self, k: usize) -> f64 {
        (1.0 - self.weight) * self.first[k] + self.weight * self.second[k]
    }
    #[inline(always)]
    fn from(self, start: usize) -> Self {
        Blend { first: &self.first[start..], second: &self.second[start..], weight: self.weight }
    }
    #[inline(always)]
    fn run<const N: usize>(&self, start: usize) -> [f64; N] {
        let (a, b) = (&self.first[start..start + N], &self.second[start..start + N]);
        let mut run = [0.0; N];
        for q in 0..N {
            run[q] = (1.0 - self.weight) * a[q] + self.weight * b[q];
        }
        run
    }
}

/// Value and derivatives at one point.
pub(super) struct Jet<'a> {
    data: &'a [f64],
    stride: usize,
}

impl Jet<'_> {
    #[inline(always)]
    pub fn value(&self) -> f64 {
        self.data[0]
    }
    #[inline(always)]
    pub fn gradient(&self, a: usize) -> f64 {
        self.data[(1 + a) * self.stride]
    }
    /// Entry (a, b) with a <= b of the Hessian in dimension `dim`.
    #[inline(always)]
    pub fn hessian(&self, dim: usize, a: usize, b: usize) -> f64 {
        self.data[(1 + dim + a * dim + b) * self.stride]
    }
}

/// The evaluator for tables with W/2 to the power d components per node.
#[derive(Clone, Debug)]
pub(super) struct TensorProduct<const W: usize> {
    grid: Arc<TensorGrid>,
    extrapolation: Extrapolation,
    components: usize,
    /// Place of the cell's coefficient (q_1..q_d), C order, after that of its first node. Empty for d <= 2.
    offsets: Vec<usize>,
}

impl<const W: usize> TensorProduct<W> {
    /// # Errors
    /// More than 2^31 coefficients.
    pub fn new(grid: Arc<TensorGrid>, extrapolation: Extrapolation) -> Result<Self, ModelError> {
        let d = grid.dim();
        let components = (W / 2).checked_pow(d as u32);
        let coefficients = components.and_then(|c| c.checked_mul(grid.len())).filter(|&n| n <= super::MAX_NODES);
        let (Some(components), Some(_)) = (components, coefficients) else {
            let allowed = format!("a spline stores 2^{d} numbers per node, at most {} in all", super::MAX_NODES);
            return Err(ModelError::invalid("grid.nodes", grid.len(), allowed));
        };
        let mut offsets = Vec::new();
        if d > 2 {
            offsets.push(0);
            for (a, &stride) in grid.strides().iter().enumerate() {
                let slope_place = (W / 2).pow((d - 1 - a) as u32);
                let digit = |q: usize| q / (W / 2) * stride * components + q % (W / 2) * slope_place;
                offsets = offsets.iter().flat_map(|&o| (0..W).map(move |q| o + digit(q))).collect();
            }
        }
        Ok(TensorProduct { grid, extrapolation, components, offsets })
    }

    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    pub fn extrapolation(&self) -> Extrapolation {
        self.extrapolation
    }

    /// Coefficients per node.
    pub fn components(&self) -> usize {
        self.components
    }

    /// Number of points with a coordinate outside the box; NaN counts as outside.
    pub fn count_outside(&self, x: Points<'_>) -> usize {
        if let Some(wrapped) = self.grid.wrapped(x) {
            return self.count_outside_box(wrapped.as_points());
        }
        self.count_outside_box(x)
    }

    fn count_outside_box(&self, x: Points<'_>) -> usize {
        (0..x.len())
            .step_by(block::LANES)
            .map(|start| dispatch(CountOutside { axes: self.grid.axes(), x: x.window(start..x.len().min(start + block::LANES)) }))
            .sum()
    }

    /// Tables one after the other.
    pub fn separate(&self) -> Layout {
        Layout { node: self.components, table: self.grid.len() * self.components }
    }

    /// The coefficients of `count` tables node by node: a point of the plane then reads half as many cache lines. In other
    /// dimensions tables are kept apart.
    pub fn layout(&self, count: usize) -> Layout {
        if self.grid.dim() == 2 { Layout { node: self.components * count, table: self.components } } else { self.separate() }
    }

    /// The values of `count` tables, arranged as `layout` says, at each point; `out` has a coordinate for each.
    pub fn values<B: Basis<W>>(&self, table: impl Table, layout: Layout, count: usize, x: Points<'_>, mut out: PointsMut<'_>) {
        let wrapped = self.grid.wrapped(x);
        let x = wrapped.as_ref().map_or(x, |wrapped| wrapped.as_points());
        if self.grid.dim() > 2 {
            for k in 0..count {
                let out = out.coord_mut(k);
                self.evaluate_any::<B, 0>(table.from(k * layout.table), x, |j, jet| out[j] = jet.value());
            }
            return;
        }
        for start in (0..x.len()).step_by(block::LANES) {
            let range = start..x.len().min(start + block::LANES);
            let (x, out) = (x.window(range.clone()), out.window(range));
            if W == 4 {
                dispatch(BlockValues::<W, 4, B, _> { product: self, table, layout, count, x, out, basis: PhantomData });
            } else {
                dispatch(BlockValues::<W, 1, B, _> { product: self, table, layout, count, x, out, basis: PhantomData });
            }
        }
    }

    /// Evaluate at each point and hand the jet, with derivatives up to `ORDER` (0, 1 or 2), to `write(j, jet)`.
    /// In one dimension a point outside the box is written twice; the second jet is the right one.
    #[inline(always)]
    pub fn evaluate<B: Basis<W>, const ORDER: usize>(&self, table: impl Table, x: Points<'_>, write: impl FnMut(usize, Jet<'_>)) {
        let wrapped = self.grid.wrapped(x);
        let x = wrapped.as_ref().map_or(x, |wrapped| wrapped.as_points());
        match self.grid.dim() {
            1 => self.evaluate_line::<B, ORDER>(table, x, write),
            2 => self.evaluate_plane::<B, ORDER>(table, x, write),
            _ => self.evaluate_any::<B, ORDER>(table, x, write),
        }
    }

    #[inline(always)]
    fn evaluate_line<B: Basis<W>, const ORDER: usize>(
        &self,
        table: impl Table,
        x: Points<'_>,
        mut write: impl FnMut(usize, Jet<'_>),
    ) {
        let axis = self.grid.axis(0);
        let (mut t, mut step, mut inverse) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let (mut c, mut data) = ([[0.0; LANES]; W], [[0.0; LANES]; 3]);
        for (block, x) in x.coord(0).chunks(LANES).enumerate() {
            let mut outside = false;
            for (l, &x) in x.iter().enumerate() {
                let place = Place::of(axis, x);
                outside |= place.beyond != 0.0;
                (t[l], step[l], inverse[l]) = (place.t, place.step, place.inverse);
                let run = table.run::<W>(place.cell * (W / 2));
                for q in 0..W {
                    c[q][l] = run[q];
                }
            }
            // A loop of its own, so that it vectorises.
            for l in 0..x.len().min(LANES) {
                let c: [f64; W] = std::array::from_fn(|q| c[q][l]);
                data[0][l] = dot(&c, &B::value(t[l], step[l]));
                if ORDER >= 1 {
                    data[1][l] = dot(&c, &B::slope(t[l], inverse[l]));
                }
                if ORDER >= 2 {
                    data[2][l] = dot(&c, &B::curvature(t[l], inverse[l]));
                }
            }
            let first = block * LANES;
            for l in 0..x.len() {
                write(first + l, Jet { data: &[data[0][l], data[1][l], data[2][l]], stride: 1 });
            }
            if outside {
                for (l, &x) in x.iter().enumerate().filter(|(_, x)| !axis.contains(**x)) {
                    let (cell, w) = weights::<B, W, ORDER>(axis, self.extrapolation, x);
                    let c = table.run::<W>(cell * (W / 2));
                    write(first + l, Jet { data: &[dot(&c, &w[0]), dot(&c, &w[1]), dot(&c, &w[2])], stride: 1 });
                }
            }
        }
    }

    #[inline(always)]
    fn evaluate_plane<B: Basis<W>, const ORDER: usize>(
        &self,
        table: impl Table,
        x: Points<'_>,
        mut write: impl FnMut(usize, Jet<'_>),
    ) {
        let (first, second) = (self.grid.axis(0), self.grid.axis(1));
        let (slopes, row) = (W / 2, self.grid.strides()[0] * self.components);
        for (j, (&x0, &x1)) in x.coord(0).iter().zip(x.coord(1)).enumerate() {
            let (cell0, u) = weights::<B, W, ORDER>(first, self.extrapolation, x0);
            let (cell1, v) = weights::<B, W, ORDER>(second, self.extrapolation, x1);
            let base = cell0 * row + cell1 * self.components;
            // Along the second axis: three derivative orders for each of the W functions of the first.
            let mut s = [[0.0; W]; 3];
            for p in 0..W {
                let place = base + p / slopes * row + p % slopes * slopes;
                let mut c = [0.0; W];
                for end in 0..2 {
                    for m in 0..slopes {
                        c[end * slopes + m] = table.get(place + end * self.components + m);
                    }
                }
                for order in 0..=ORDER {
                    s[order][p] = dot(&c, &v[order]);
                }
            }
            let mut data = [0.0; 7];
            data[0] = dot(&s[0], &u[0]);
            if ORDER >= 1 {
                (data[1], data[2]) = (dot(&s[0], &u[1]), dot(&s[1], &u[0]));
            }
            if ORDER >= 2 {
                (data[3], data[4], data[6]) = (dot(&s[0], &u[2]), dot(&s[1], &u[1]), dot(&s[2], &u[0]));
            }
            write(j, Jet { data: &data, stride: 1 });
        }
    }

    fn evaluate_any<B: Basis<W>, const ORDER: usize>(
        &self,
        table: impl Table,
        x: Points<'_>,
        mut write: impl FnMut(usize, Jet<'_>),
    ) {
        let d = self.grid.dim();
        let stride = self.offsets.len() / W;
        let slots = [1, 1 + d, 1 + d + d * d][ORDER];
        let mut s = vec![0.0; slots * stride];
        let mut w = vec![[[0.0; W]; 3]; d];
        let gradient = |a: usize| (1 + a) * stride;
        let hessian = |a: usize, b: usize| (1 + d + a * d + b) * stride;
        for j in 0..x.len() {
            let mut base = 0;
            for (a, axis) in self.grid.axes().iter().enumerate() {
                let (cell, weights) = weights::<B, W, ORDER>(axis, self.extrapolation, x.coord(a)[j]);
                base += cell * self.grid.strides()[a] * self.components;
                w[a] = weights;
            }
            for (p, offsets) in self.offsets.as_chunks::<W>().0.iter().enumerate() {
                let c: [f64; W] = std::array::from_fn(|q| table.get(base + offsets[q]));
                s[p] = dot(&c, &w[d - 1][0]);
                if ORDER >= 1 {
                    s[gradient(d - 1) + p] = dot(&c, &w[d - 1][1]);
                }
                if ORDER >= 2 {
                    s[hessian(d - 1, d - 1) + p] = dot(&c, &w[d - 1][2]);
                }
            }
            let mut count = stride;
            for a in (0..d - 1).rev() {
                count /= W;
                // Derivatives along later axes first: the value's slot is overwritten last.
                for b in a + 1..d {
                    if ORDER >= 2 {
                        for e in b..d {
                            contract(&mut s, hessian(b, e), hessian(b, e), count, &w[a][0]);
                        }
                        contract(&mut s, gradient(b), hessian(a, b), count, &w[a][1]);
                    }
                    if ORDER >= 1 {
                        contract(&mut s, gradient(b), gradient(b), count, &w[a][0]);
                    }
                }
                if ORDER >= 2 {
                    contract(&mut s, 0, hessian(a, a), count, &w[a][2]);
                }
                if ORDER >= 1 {
                    contract(&mut s, 0, gradient(a), count, &w[a][1]);
                }
                contract(&mut s, 0, 0, count, &w[a][0]);
            }
            write(j, Jet { data: &s, stride });
        }
    }
}

/// Sum the fastest index of `count * W` entries at `from` against the weights, to `count` entries at `to`.
fn contract<const W: usize>(s: &mut [f64], from: usize, to: usize, count: usize, w: &[f64; W]) {
    for p in 0..count {
        s[to + p] = (&s[..]).run::<W>(from + W * p).iter().zip(w).map(|(c, w)| c * w).sum();
    }
}

#[inline(always)]
pub(super) fn dot<const W: usize>(c: &[f64; W], w: &[f64; W]) -> f64 {
    let mut sum = c[0] * w[0];
    for q in 1..W {
        sum += c[q] * w[q];
    }
    sum
}

/// Points evaluated together in one dimension.
const LANES: usize = 32;

/// Where a coordinate lies on an axis.
struct Place {
    cell: usize,
    /// Fraction of the cell to the left of the coordinate; NaN for NaN.
    t: f64,
    step: f64,
    inverse: f64,
    /// Distance beyond the face, with sign; 0 inside and for NaN.
    beyond: f64,
}

impl Place {
    #[inline(always)]
    fn of(axis: &Axis, x: f64) -> Place {
        let nodes = axis.nodes();
        let (lower, upper) = (nodes[0], nodes[nodes.len() - 1]);
        let (face, beyond) = if x < lower {
            (lower, x - lower)
        } else if x > upper {
            (upper, x - upper)
        } else {
            (x, 0.0)
        };
        let cell = axis.locate(face);
        let (left, right, inverse) = (nodes[cell], nodes[cell + 1], axis.inverse_steps()[cell]);
        // Times the inverse is within a rounding of the quotient, which would be 1 at the right node.
        let t = if face == right { 1.0 } else { (face - left) * inverse };
        Place { cell, t, step: right - left, inverse, beyond }
    }
}

/// The cell of `x` and the basis functions there with their first `ORDER` derivatives; higher ones are zero.
#[inline(always)]
pub(super) fn weights<B: Basis<W>, const W: usize, const ORDER: usize>(
    axis: &Axis,
    extrapolation: Extrapolation,
    x: f64,
) -> (usize, [[f64; W]; 3]) {
    let place = Place::of(axis, x);
    let mut w = [B::value(place.t, place.step), [0.0; W], [0.0; W]];
    if ORDER >= 1 {
        w[1] = B::slope(place.t, place.inverse);
    }
    if ORDER >= 2 {
        w[2] = B::curvature(place.t, place.inverse);
    }
    if place.beyond != 0.0 {
        let face = [w[0], B::slope(place.t, place.inverse), B::curvature(place.t, place.inverse)];
        w = continued::<W, ORDER>(face, place.beyond, extrapolation);
    }
    (place.cell, w)
}

/// The basis functions at distance `dx` beyond a face, from value, slope and curvature there.
#[cold]
fn continued<const W: usize, const ORDER: usize>(face: [[f64; W]; 3], dx: f64, extrapolation: Extrapolation) -> [[f64; W]; 3] {
    let [value, slope, curvature] = face;
    let zero = [0.0; W];
    let line = |c: &[f64; W], m: &[f64; W], scale: f64| std::array::from_fn(|q| c[q] + scale * m[q]);
    match extrapolation {
        Extrapolation::Clamp => [value, zero, zero],
        Extrapolation::Linear => [line(&value, &slope, dx), slope, zero],
        Extrapolation::Quadratic => {
            let value = line(&value, &line(&slope, &curvature, 0.5 * dx), dx);
            [value, line(&slope, &curvature, dx), curvature]
        }
    }
}
