//! C2 cubic splines on uniform grids of the plane, by B-splines: one number for each node and component.
//!
//! On a uniform axis of n nodes the spline is sum_j b_j B((x - x_j)/h) over j = -1, ..., n, B the cubic B-spline:
//!   f(x_i) = (b_{i-1} + 4 b_i + b_{i+1})/6,    h f'(x_i) = (b_{i+1} - b_{i-1})/2,    h^2 f''(x_i) = b_{i-1} - 2 b_i + b_{i+1}.
//! So b_i = f_i - h^2 f''_i/6, and f'' follows from the values and slopes at the two ends of a cell: the coefficients come from
//! the Hermite form (see [`super::spline`]) by a local formula, and give the same function up to rounding.
//!
//! Prefer it to the Hermite form where many points are looked up in tables that do not fit a cache: these are a quarter of the
//! size. A point reads four runs of four nodes where the Hermite form reads four nodes of four coefficients; the work is the same.
//! Axes count as uniform when their nodes are equally spaced to 1e-9 of the spacing; the two forms then agree as closely.
//! Reference: C. de Boor, *A Practical Guide to Splines* (chapters IX and X).

use super::Extrapolation;
use super::axis::Axis;
use super::block::{LANES, ROUND};
use super::tensor::TensorGrid;
use super::tensor_product::{Basis, Table, weights};
use crate::dispatch::{Kernel, dispatch};
use crate::points::{Points, PointsMut};

/// The four cubic B-splines of a cell, from left to right.
struct Spline;

impl Basis<4> for Spline {
    #[inline(always)]
    fn value(t: f64, _step: f64) -> [f64; 4] {
        const SIXTH: f64 = 1.0 / 6.0;
        let u = 1.0 - t;
        let (left, right) = (SIXTH * (u * u * u), SIXTH * (t * t * t));
        [left, 2.0 / 3.0 - t * t * (1.0 - 0.5 * t), 2.0 / 3.0 - u * u * (1.0 - 0.5 * u), right]
    }
    #[inline(always)]
    fn slope(t: f64, inverse_step: f64) -> [f64; 4] {
        let u = 1.0 - t;
        [-0.5 * u * u, -t * (2.0 - 1.5 * t), u * (2.0 - 1.5 * u), 0.5 * t * t].map(|w| w * inverse_step)
    }
    #[inline(always)]
    fn curvature(t: f64, inverse_step: f64) -> [f64; 4] {
        let u = 1.0 - t;
        [u, 3.0 * t - 2.0, 3.0 * u - 2.0, t].map(|w| w * inverse_step * inverse_step)
    }
}

/// Where the coefficients of `count` splines on one grid lie: node by node when there are two, one after the other otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lattice {
    count: usize,
    /// Coefficients along each axis, n + 2.
    shape: [usize; 2],
}

impl Lattice {
    /// For `count` tables on `grid`; none unless it is a plane with uniform axes that are not periodic.
    pub fn new(grid: &TensorGrid, count: usize) -> Option<Self> {
        let uniform = |i: usize| grid.axis(i).spacing().is_some() && !grid.is_periodic(i);
        let plane = grid.dim() == 2 && uniform(0) && uniform(1);
        plane.then(|| Lattice { count, shape: [grid.axis(0).len() + 2, grid.axis(1).len() + 2] })
    }

    /// Splines whose coefficients lie side by side.
    fn together(self) -> usize {
        if self.count == 2 { 2 } else { 1 }
    }

    /// Coefficients of one spline.
    fn each(self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Coefficients of all.
    pub fn len(self) -> usize {
        self.count * self.each()
    }

    /// Write the coefficients of spline `k`, given in Hermite form on `grid` (four numbers for each node), into `out`.
    pub fn convert(self, grid: &TensorGrid, k: usize, hermite: &[f64], out: &mut [f64]) {
        let (n0, n1) = (grid.axis(0).len(), grid.axis(1).len());
        let [step0, step1] = [0, 1].map(|a| grid.axis(a).spacing().unwrap_or(f64::NAN));
        // along the second axis: those of the values, then those of the slopes along the first
        let mut rows = vec![0.0; 2 * n0 * self.shape[1]];
        let (values, slopes) = rows.split_at_mut(n0 * self.shape[1]);
        for (part, rows) in [values, slopes].into_iter().enumerate() {
            for (row, nodes) in rows.chunks_exact_mut(self.shape[1]).zip(hermite.chunks_exact(4 * n1)) {
                let node = |j: usize| (nodes[4 * j + 2 * part], nodes[4 * j + 2 * part + 1]);
                coefficients(n1, step1, node, |j, b| row[j] = b);
            }
        }
        let width = self.shape[1];
        let (first, stride) = match self.together() {
            1 => (k * self.each(), 1),
            together => (k, together),
        };
        for j in 0..width {
            let node = |i: usize| (rows[i * width + j], rows[(n0 + i) * width + j]);
            coefficients(n0, step0, node, |i, b| out[first + (i * width + j) * stride] = b);
        }
    }

    /// The values at each point of sum_l weight_l table_l, for one or two tables; `out` has a coordinate for each spline.
    pub fn values(
        self,
        grid: &TensorGrid,
        extrapolation: Extrapolation,
        levels: &[(&[f64], f64)],
        x: Points<'_>,
        mut out: PointsMut<'_>,
    ) {
        for start in (0..x.len()).step_by(LANES) {
            let range = start..x.len().min(start + LANES);
            for first in (0..self.count).step_by(self.together()) {
                let (x, out) = (x.window(range.clone()), out.window(range.clone()));
                let base = if self.together() == 1 { first * self.each() } else { 0 };
                let block = Block { axes: [grid.axis(0), grid.axis(1)], extrapolation, row: self.shape[1], base, first, x, out };
                match (self.together(), levels) {
                    (1, [a]) => dispatch(PlaneValues::<4, 1> { block, levels: [*a] }),
                    (1, [a, b, ..]) => dispatch(PlaneValues::<4, 2> { block, levels: [*a, *b] }),
                    (_, [a]) => dispatch(PlaneValues::<8, 1> { block, levels: [*a] }),
                    (_, [a, b, ..]) => dispatch(PlaneValues::<8, 2> { block, levels: [*a, *b] }),
                    (_, []) => {}
                }
            }
        }
    }
}

/// The coefficients b_{-1}, ..., b_n, numbered from 0, of the spline with this value and slope at each of n >= 2 nodes.
fn coefficients(n: usize, step: f64, node: impl Fn(usize) -> (f64, f64), mut write: impl FnMut(usize, f64)) {
    let third = step / 3.0;
    // b_i from the cell between node i and a neighbour; the slopes count against the direction to it
    let of =
        |(f, slope): (f64, f64), (g, next): (f64, f64), direction: f64| f - (g - f) + direction * third * (2.0 * slope + next);
    let last = n - 1;
    let mut inner = |i: usize| {
        let b = if i < last { of(node(i), node(i + 1), 1.0) } else { of(node(i), node(i - 1), -1.0) };
        write(i + 1, b);
        b
    };
    let (mut second, mut before, mut end) = (0.0, 0.0, 0.0);
    for i in 0..n {
        (before, end) = (end, inner(i));
        if i == 1 {
            second = end;
        }
    }
    write(0, second - 2.0 * step * node(0).1);
    write(n + 1, before + 2.0 * step * node(last).1);
}

/// A block of points and where its values go.
struct Block<'a> {
    axes: [&'a Axis; 2],
    extrapolation: Extrapolation,
    /// Nodes along the second axis, with those beyond the faces.
    row: usize,
    /// Of the first spline's coefficients.
    base: usize,
    /// Coordinate of `out` of the first spline.
    first: usize,
    /// At most [`LANES`] points.
    x: Points<'a>,
    out: PointsMut<'a>,
}

/// The values of N/4 splines whose coefficients lie side by side, in a combination of L tables.
struct PlaneValues<'a, const N: usize, const L: usize> {
    block: Block<'a>,
    levels: [(&'a [f64], f64); L],
}

/// Where the points of a block lie on a uniform axis, and the splines there; those outside at the face.
struct Places {
    cell: [usize; LANES],
    weight: [[f64; 4]; LANES],
    outside: bool,
}

impl Places {
    /// The cell is the nearest integer to y - 1/2 with y = (x - lower)/h, as for other grids; the fraction is y minus the cell, in
    /// which x is rounded as if it had moved by a rounding of x - lower, and no node has to be looked up.
    #[inline(always)]
    fn of(axis: &Axis, x: &[f64]) -> Self {
        let (lower, upper, last) = (axis.lower(), axis.upper(), (axis.len() - 2) as f64);
        let inverse = axis.inverse_spacing().unwrap_or(f64::NAN);
        let mut places = Places { cell: [0; LANES], weight: [[0.0; 4]; LANES], outside: false };
        let (mut t, mut inside) = ([0.0; LANES], true);
        for ((t, cell), &x) in t.iter_mut().zip(&mut places.cell).zip(x) {
            inside &= (x >= lower) & (x <= upper);
            let below = if x > lower { x } else { lower };
            let face = if below < upper { below } else { upper };
            let y = (face - lower) * inverse;
            let middle = y - 0.5;
            let rounded = if middle < last { middle } else { last } + ROUND;
            *cell = (rounded.to_bits() & 0xFFFF_FFFF) as usize;
            *t = y - (rounded - ROUND);
        }
        for (weight, t) in places.weight.iter_mut().zip(t) {
            *weight = Spline::value(t, 0.0);
        }
        places.outside = !inside;
        places
    }
}

impl<const N: usize, const L: usize> Kernel for PlaneValues<'_, N, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Block { axes, extrapolation, row, base, first, x, mut out } = self.block;
        let (x0, x1) = (x.coord(0), x.coord(1));
        let (places0, places1) = (Places::of(axes[0], x0), Places::of(axes[1], x1));
        let (n, side) = (x0.len().min(LANES), N / 4);
        let mut sums = [[0.0; N]; LANES];
        for l in 0..n {
            let place = base + (places0.cell[l] * row + places1.cell[l]) * side;
            sums[l] = stencil(&self.levels, place, row * side, &places0.weight[l], &places1.weight[l]);
        }
        // two halves, so that the loops over i and over the points stay vectors
        let mut halves = [[0.0; 4]; LANES];
        for (half, s) in halves.iter_mut().zip(&sums) {
            for i in 0..N / 2 {
                half[i] = s[i] + s[i + N / 2];
            }
        }
        for k in 0..side {
            for (out, half) in out.coord_mut(first + k).iter_mut().zip(&halves) {
                *out = half[k] + half[side + k];
            }
        }
        if places0.outside || places1.outside {
            for l in (0..n).filter(|&l| !(axes[0].contains(x0[l]) && axes[1].contains(x1[l]))) {
                let s: [f64; N] = beyond(&self.levels, axes, extrapolation, [x0[l], x1[l]], base, row);
                (0..side).for_each(|k| out.coord_mut(first + k)[l] = total(&s, k));
            }
        }
    }
}

/// The sum over the tables and over the first axis, times the weight along the second: what is left to add are four numbers for
/// each spline.
#[inline(always)]
fn stencil<const N: usize, const L: usize>(
    levels: &[(&[f64], f64); L],
    place: usize,
    stride: usize,
    u: &[f64; 4],
    v: &[f64; 4],
) -> [f64; N] {
    let mut sum = [0.0; N];
    for (table, weight) in levels {
        let w = u.map(|u| weight * u);
        let (a, b) = (table.run::<N>(place), table.run::<N>(place + stride));
        let (c, d) = (table.run::<N>(place + 2 * stride), table.run::<N>(place + 3 * stride));
        for i in 0..N {
            sum[i] += (a[i] * w[0] + b[i] * w[1]) + (c[i] * w[2] + d[i] * w[3]);
        }
    }
    let mut out = [0.0; N];
    for i in 0..N {
        out[i] = sum[i] * v[i / (N / 4)];
    }
    out
}

/// The value of spline k.
#[inline(always)]
fn total<const N: usize>(s: &[f64; N], k: usize) -> f64 {
    let side = N / 4;
    (s[k] + s[2 * side + k]) + (s[side + k] + s[3 * side + k])
}

/// [`stencil`] at a point outside, by continued basis functions.
#[cold]
fn beyond<const N: usize, const L: usize>(
    levels: &[(&[f64], f64); L],
    axes: [&Axis; 2],
    extrapolation: Extrapolation,
    x: [f64; 2],
    base: usize,
    row: usize,
) -> [f64; N] {
    let (cell0, u) = weights::<Spline, 4, 0>(axes[0], extrapolation, x[0]);
    let (cell1, v) = weights::<Spline, 4, 0>(axes[1], extrapolation, x[1]);
    stencil(levels, base + (cell0 * row + cell1) * (N / 4), row * (N / 4), &u[0], &v[0])
}

#[cfg(test)]
mod tests {
    use super::super::spline::{CubicSpline, SplineSpace};
    use super::super::{Axis, Extrapolation, TensorGrid};
    use super::*;
    use crate::dispatch::{InstructionSet, dispatch_on};
    use crate::field::ScalarField;
    use crate::points::PointBlock;
    use std::sync::Arc;

    #[test]
    fn the_two_forms_are_the_same_function_up_to_rounding_inside_and_outside() {
        let axes = vec![Axis::uniform(-1.3, 2.1, 37).unwrap(), Axis::uniform(-40.0, 10.0, 6).unwrap()];
        let grid = Arc::new(TensorGrid::new(axes).unwrap());
        let law = |k: usize, x: &[f64]| (1.0 + k as f64) * (2.0 * x[0] + 0.1 * k as f64).sin() * (0.05 * x[1]).exp();
        let nodes = grid.points();
        let mut p = [0.0; 2];
        let mut at = |x: Points<'_>, k: usize| -> Vec<f64> {
            let value = |j: usize| {
                x.copy_point(j, &mut p);
                law(k, &p)
            };
            (0..x.len()).map(value).collect()
        };
        let n = 150;
        let mut x = PointBlock::zeros(2, n);
        for j in 0..n {
            let s = j as f64;
            x.as_mut().set_point(j, &[0.4 + 2.0 * (1.7 * s).sin(), -15.0 + 30.0 * (0.9 * s).cos()]);
        }
        x.as_mut().set_point(77, &[f64::NAN, 0.0]);
        x.as_mut().set_point(78, &[2.1, 10.0]);
        for extrapolation in [Extrapolation::Clamp, Extrapolation::Linear, Extrapolation::Quadratic] {
            let space = SplineSpace::new(grid.clone(), extrapolation).unwrap();
            for count in [1, 2, 3] {
                let lattice = Lattice::new(&grid, count).unwrap();
                let mut tables = [vec![0.0; lattice.len()], vec![0.0; lattice.len()]];
                let mut hermite = vec![0.0; space.len()];
                for (level, table) in tables.iter_mut().enumerate() {
                    for k in 0..count {
                        space.fit(&at(nodes.as_points(), 3 * level + k), &mut hermite).unwrap();
                        lattice.convert(&grid, k, &hermite, table);
                    }
                }
                let mut out = PointBlock::zeros(count, n);
                let levels = [(&tables[0][..], 0.7), (&tables[1][..], 0.3)];
                lattice.values(&grid, extrapolation, &levels, x.as_points(), out.as_mut());
                if count == 2 {
                    for set in InstructionSet::ALL {
                        let (axes, mut part) = ([grid.axis(0), grid.axis(1)], PointBlock::zeros(2, LANES));
                        let x = x.as_points().window(64..128);
                        let row = grid.axis(1).len() + 2;
                        let block = Block { axes, extrapolation, row, base: 0, first: 0, x, out: part.as_mut() };
                        dispatch_on(set, PlaneValues::<8, 2> { block, levels });
                        let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                        assert!((0..2).all(|k| bits(part.coord(k)) == bits(&out.coord(k)[64..128])), "{set:?}");
                    }
                }
                for k in 0..count {
                    let mut expected = vec![0.0; n];
                    for (level, weight) in [(0, 0.7), (1, 0.3)] {
                        let values = at(nodes.as_points(), 3 * level + k);
                        let spline = CubicSpline::new(grid.clone(), &values, extrapolation).unwrap();
                        let mut value = vec![0.0; n];
                        spline.value(x.as_points(), &mut value);
                        expected.iter_mut().zip(value).for_each(|(e, v)| *e += weight * v);
                    }
                    // slopes beyond a face are multiplied by up to ten cells
                    let scale = expected.iter().filter(|v| v.is_finite()).fold(1.0, |m: f64, v| m.max(v.abs()));
                    for (j, (a, b)) in out.coord(k).iter().zip(&expected).enumerate() {
                        let close = (a - b).abs() < 1e-13 * scale;
                        assert!(close || j == 77 && a.is_nan() && b.is_nan(), "{extrapolation:?} {k} of {count}, {j}: {a} {b}");
                    }
                }
            }
        }
    }
}
