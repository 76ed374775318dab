//! Values of several tables on one grid at a block of points, in one and two dimensions, compiled for every instruction set.
//!
//! The cell of a point and the weights of its basis functions are found once for all tables, over all points of the block;
//! the sum over the W^d coefficients of a cell is done point by point, on the run of each node's coefficients. Values agree
//! with those of [`TensorProduct::evaluate`] up to rounding, and exactly at nodes; derivatives and higher dimensions are left
//! to it.

use super::axis::Axis;
use super::tensor_product::{Basis, Table, TensorProduct, dot, weights};
use crate::dispatch::Kernel;
use crate::points::{Points, PointsMut};
use std::marker::PhantomData;

/// Points evaluated together.
pub(super) const LANES: usize = 64;

/// The number of at most [`LANES`] points with a coordinate outside the box; NaN counts as outside.
pub(super) struct CountOutside<'a> {
    pub axes: &'a [Axis],
    pub x: Points<'a>,
}

impl Kernel for CountOutside<'_> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let mut outside = [0u64; LANES];
        for (a, axis) in self.axes.iter().enumerate() {
            let (lower, upper) = (axis.lower(), axis.upper());
            for (outside, &x) in outside.iter_mut().zip(self.x.coord(a)) {
                *outside |= u64::from(!((x >= lower) & (x <= upper)));
            }
        }
        outside.iter().sum::<u64>() as usize
    }
}

/// Where the coefficients of several tables on one grid lie in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// From a node's coefficients to those of the next node.
    pub node: usize,
    /// From a table's coefficients to those of the next table.
    pub table: usize,
}

/// The values of `count` tables at the points. H is the number of coefficients of a node in the plane, (W/2)^2; it is not used
/// on a line.
pub(super) struct BlockValues<'a, const W: usize, const H: usize, B, T> {
    pub product: &'a TensorProduct<W>,
    pub table: T,
    /// On a line a node's coefficients follow those of the node before.
    pub layout: Layout,
    pub count: usize,
    /// At most [`LANES`] points.
    pub x: Points<'a>,
    /// One coordinate for each table.
    pub out: PointsMut<'a>,
    pub basis: PhantomData<B>,
}

/// Where the points of a block lie on one axis, and the basis functions there.
struct Places<const W: usize> {
    cell: [usize; LANES],
    weight: [[f64; W]; LANES],
    /// Whether a point lies outside; its cell and weights are those of the face.
    outside: bool,
}

impl<const W: usize> Places<W> {
    #[inline(always)]
    fn of<B: Basis<W>>(axis: &Axis, x: &[f64]) -> Self {
        let n = x.len().min(LANES);
        let (lower, upper) = (axis.lower(), axis.upper());
        let mut face = [lower; LANES];
        let mut inside = true;
        for (face, &x) in face.iter_mut().zip(x) {
            inside &= (x >= lower) & (x <= upper);
            let below = if x > lower { x } else { lower };
            *face = if below < upper { below } else { upper };
        }
        let mut places = Places { cell: [0; LANES], weight: [[0.0; W]; LANES], outside: !inside };
        match axis.inverse_spacing() {
            Some(inverse) => {
                let last = (axis.len() - 2) as f64;
                for (cell, face) in places.cell.iter_mut().zip(&face) {
                    let y = (face - lower) * inverse - 0.5;
                    let y = if y < last { y } else { last };
                    // The nearest integer to y, taken from the low bits. A node, or a point off it by a rounding, may be given to
                    // either of its cells: the fraction below is then 0 or 1 up to that rounding.
                    *cell = ((y + ROUND).to_bits() & 0xFFFF_FFFF) as usize;
                }
            }
            None => {
                for l in 0..n {
                    places.cell[l] = axis.locate(face[l]);
                }
            }
        }
        let (nodes, inverse_steps) = (axis.nodes(), axis.inverse_steps());
        let (mut left, mut right, mut inverse) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for l in 0..n {
            let cell = places.cell[l];
            (left[l], right[l], inverse[l]) = (nodes[cell], nodes[cell + 1], inverse_steps[cell]);
        }
        for l in 0..LANES {
            let t = if face[l] == right[l] { 1.0 } else { (face[l] - left[l]) * inverse[l] };
            places.weight[l] = B::value(t, right[l] - left[l]);
        }
        places
    }
}

/// 1.5 * 2^52: adding it rounds a double to the nearest integer, found then in the low bits.
pub(super) const ROUND: f64 = 6_755_399_441_055_744.0;

impl<const W: usize, const H: usize, B: Basis<W>, T: Table> Kernel for BlockValues<'_, W, H, B, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        if self.product.grid().dim() == 1 { self.line() } else { self.plane() }
    }
}

impl<const W: usize, const H: usize, B: Basis<W>, T: Table> BlockValues<'_, W, H, B, T> {
    #[inline(always)]
    fn line(mut self) {
        let axis = self.product.grid().axis(0);
        let x = self.x.coord(0);
        let places = Places::<W>::of::<B>(axis, x);
        for k in 0..self.count {
            let first = k * self.layout.table;
            let out = self.out.coord_mut(k);
            for ((out, cell), weight) in out.iter_mut().zip(&places.cell).zip(&places.weight) {
                *out = dot(&self.table.run::<W>(first + cell * (W / 2)), weight);
            }
            if places.outside {
                for (out, &x) in out.iter_mut().zip(x).filter(|(_, x)| !axis.contains(**x)) {
                    let (cell, w) = weights::<B, W, 0>(axis, self.product.extrapolation(), x);
                    *out = dot(&self.table.run::<W>(first + cell * (W / 2)), &w[0]);
                }
            }
        }
    }

    #[inline(always)]
    fn plane(mut self) {
        let grid = self.product.grid();
        let axes = (grid.axis(0), grid.axis(1));
        let (x0, x1) = (self.x.coord(0), self.x.coord(1));
        let (places0, places1) = (Places::<W>::of::<B>(axes.0, x0), Places::<W>::of::<B>(axes.1, x1));
        let (slopes, node) = (W / 2, self.layout.node);
        let row = grid.strides()[0] * node;
        let n = x0.len().min(LANES);
        // Two cubic tables node by node: eight neighbouring coefficients at each node, which is one cache line.
        let pair = H == 4 && self.count == 2 && self.layout.table == 4 && node == 8;
        let mut sums = [[0.0; 8]; LANES];
        for l in 0..n {
            let (u, v) = (&places0.weight[l], &places1.weight[l]);
            // Weights of the coefficients (slope along the first axis, slope along the second) of the cell's four nodes.
            let mut weight = [[0.0; H]; 4];
            for i in 0..H {
                let (p, q) = (i / slopes, i % slopes);
                weight[0][i] = u[p] * v[q];
                weight[1][i] = u[p] * v[slopes + q];
                weight[2][i] = u[slopes + p] * v[q];
                weight[3][i] = u[slopes + p] * v[slopes + q];
            }
            let base = places0.cell[l] * row + places1.cell[l] * node;
            if pair {
                sums[l] = pair_of_sums(&self.table, [base, base + node, base + row, base + row + node], &weight);
                continue;
            }
            for k in 0..self.count {
                let first = base + k * self.layout.table;
                let c = [
                    self.table.run::<H>(first),
                    self.table.run::<H>(first + node),
                    self.table.run::<H>(first + row),
                    self.table.run::<H>(first + row + node),
                ];
                let mut sum = [0.0; H];
                for i in 0..H {
                    sum[i] =
                        (c[0][i] * weight[0][i] + c[1][i] * weight[1][i]) + (c[2][i] * weight[2][i] + c[3][i] * weight[3][i]);
                }
                self.out.coord_mut(k)[l] = tree_sum(&sum);
            }
        }
        if pair {
            for k in 0..2 {
                for (out, s) in self.out.coord_mut(k).iter_mut().zip(&sums) {
                    *out = (s[4 * k] + s[4 * k + 2]) + (s[4 * k + 1] + s[4 * k + 3]);
                }
            }
        }
        if places0.outside || places1.outside {
            for l in (0..n).filter(|&l| !(axes.0.contains(x0[l]) && axes.1.contains(x1[l]))) {
                for k in 0..self.count {
                    let table = self.table.from(k * self.layout.table);
                    self.out.coord_mut(k)[l] = corner::<W, B, T>(self.product, table, node, (x0[l], x1[l]));
                }
            }
        }
    }
}

/// For two tables whose coefficients lie side by side, H = 4 for each: the sum over the four nodes of a cell for each coefficient
/// of a node. What is left to add, four numbers for each table, is added later over all points.
#[inline(always)]
fn pair_of_sums<const H: usize>(table: &impl Table, nodes: [usize; 4], weight: &[[f64; H]; 4]) -> [f64; 8] {
    let (a, b) = (table.run::<8>(nodes[0]), table.run::<8>(nodes[1]));
    let (c, d) = (table.run::<8>(nodes[2]), table.run::<8>(nodes[3]));
    let mut sum = [0.0; 8];
    for i in 0..8 {
        let q = i % H;
        sum[i] = (a[i] * weight[0][q] + b[i] * weight[1][q]) + (c[i] * weight[2][q] + d[i] * weight[3][q]);
    }
    sum
}

/// The sum of one or four numbers.
#[inline(always)]
fn tree_sum<const H: usize>(s: &[f64; H]) -> f64 {
    if H == 4 { (s[0] + s[2]) + (s[1] + s[3]) } else { s[0] }
}

/// The value at one point of the plane, by continued basis functions outside the box.
#[cold]
fn corner<const W: usize, B: Basis<W>, T: Table>(product: &TensorProduct<W>, table: T, node: usize, (x0, x1): (f64, f64)) -> f64 {
    let grid = product.grid();
    let (cell0, u) = weights::<B, W, 0>(grid.axis(0), product.extrapolation(), x0);
    let (cell1, v) = weights::<B, W, 0>(grid.axis(1), product.extrapolation(), x1);
    let slopes = W / 2;
    let row = grid.strides()[0] * node;
    let base = cell0 * row + cell1 * node;
    let s: [f64; W] = std::array::from_fn(|p| {
        let place = base + p / slopes * row + p % slopes * slopes;
        dot(&std::array::from_fn(|q| table.get(place + q / slopes * node + q % slopes)), &v[0])
    });
    dot(&s, &u[0])
}

#[cfg(test)]
mod tests {
    use super::super::linear::Hat;
    use super::super::spline::{Hermite, SplineSpace};
    use super::super::tensor::TensorGrid;
    use super::super::tensor_product::Blend;
    use super::super::{Axis, Extrapolation};
    use super::*;
    use crate::dispatch::{InstructionSet, dispatch_on};
    use crate::points::PointBlock;
    use std::sync::Arc;

    fn grids() -> Vec<Arc<TensorGrid>> {
        let uniform = Axis::uniform(-1.3, 2.1, 37).unwrap();
        let stretched = Axis::stretched(-2.0, 1.0, 23, 0.2, 6.0).unwrap();
        let grid = |axes| Arc::new(TensorGrid::new(axes).unwrap());
        vec![grid(vec![uniform.clone()]), grid(vec![stretched.clone()]), grid(vec![uniform, stretched])]
    }

    /// Nodes, points in between and outside, and one that is not a number.
    fn points(grid: &TensorGrid) -> PointBlock {
        let (d, n) = (grid.dim(), 150);
        let mut x = PointBlock::zeros(d, n);
        let mut node = vec![0.0; d];
        for j in 0..n {
            grid.node(j * 7919 % grid.len(), &mut node);
            let shift = if j % 3 == 0 { 0.0 } else { 0.9 * (j as f64 * 1.7).sin() };
            node.iter_mut().for_each(|v| *v += shift);
            x.as_mut().set_point(j, &node);
        }
        x.data_mut()[77] = f64::NAN;
        x
    }

    fn check<const W: usize, const H: usize, B: Basis<W>>(
        product: &TensorProduct<W>,
        table: impl Table,
        count: usize,
        size: usize,
    ) {
        let x = points(product.grid());
        let run = |set: InstructionSet| {
            let mut out = PointBlock::zeros(count, x.len());
            for start in (0..x.len()).step_by(LANES) {
                let range = start..x.len().min(start + LANES);
                let (x, mut out) = (x.as_points().window(range.clone()), out.as_mut());
                let out = out.window(range);
                dispatch_on(
                    set,
                    BlockValues::<W, H, B, _> { product, table, layout: product.separate(), count, x, out, basis: PhantomData },
                );
            }
            out.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        let values = run(InstructionSet::Baseline);
        assert!(values == run(InstructionSet::Avx2) && values == run(InstructionSet::Avx512));
        for k in 0..count {
            let mut expected = vec![0.0; x.len()];
            product.evaluate::<B, 0>(table.from(k * size), x.as_points(), |j, jet| expected[j] = jet.value());
            for (j, expected) in expected.iter().enumerate() {
                let value = f64::from_bits(values[k * x.len() + j]);
                let close = (value - expected).abs() < 3e-14 * (1.0 + expected.abs());
                assert!(close || value.is_nan() && expected.is_nan(), "{k} {j}: {value} {expected}");
            }
        }
        assert!(product.grid().dim() > 1 || f64::from_bits(values[77]).is_nan());
    }

    #[test]
    fn values_are_those_of_the_pointwise_evaluation_on_every_instruction_set() {
        for grid in grids() {
            for extrapolation in [Extrapolation::Clamp, Extrapolation::Linear, Extrapolation::Quadratic] {
                let space = SplineSpace::new(grid.clone(), extrapolation).unwrap();
                let size = space.len();
                let (mut first, mut second) = (vec![0.0; 3 * size], vec![0.0; 3 * size]);
                for k in 0..3 {
                    for (table, phase) in [(&mut first, 0.3), (&mut second, 1.1)] {
                        let values: Vec<f64> = (0..grid.len()).map(|i| ((i + k) as f64 * phase).sin()).collect();
                        space.fit(&values, &mut table[k * size..(k + 1) * size]).unwrap();
                    }
                }
                check::<4, 4, Hermite>(&space.product, &first[..], 3, size);
                check::<4, 4, Hermite>(&space.product, Blend { first: &first, second: &second, weight: 0.3 }, 3, size);
                let linear = TensorProduct::<2>::new(grid.clone(), extrapolation).unwrap();
                check::<2, 1, Hat>(&linear, &first[..2 * grid.len()], 2, grid.len());
            }
        }
    }

    #[test]
    fn tables_arranged_node_by_node_give_the_same_bits() {
        let grid = grids().remove(2);
        let space = SplineSpace::new(grid.clone(), Extrapolation::Linear).unwrap();
        let (product, size) = (&space.product, space.len());
        for count in [1, 2, 3] {
            let mut tables = vec![0.0; count * size];
            for (k, table) in tables.chunks_exact_mut(size).enumerate() {
                let values: Vec<f64> = (0..grid.len()).map(|i| ((i * (k + 1)) as f64 * 0.7).sin()).collect();
                space.fit(&values, table).unwrap();
            }
            let layout = product.layout(count);
            let mut arranged = vec![0.0; tables.len()];
            for (i, &c) in tables.iter().enumerate() {
                let (k, node, m) = (i / size, i % size / 4, i % 4);
                arranged[node * layout.node + k * layout.table + m] = c;
            }
            let x = points(&grid);
            let (mut apart, mut together) = (PointBlock::zeros(count, x.len()), PointBlock::zeros(count, x.len()));
            product.values::<Hermite>(&tables[..], product.separate(), count, x.as_points(), apart.as_mut());
            product.values::<Hermite>(&arranged[..], layout, count, x.as_points(), together.as_mut());
            for (a, b) in apart.data().iter().zip(together.data()) {
                assert_eq!(a.to_bits(), b.to_bits());
            }
        }
    }

    #[test]
    fn nodes_give_their_values_exactly() {
        for grid in grids() {
            let space = SplineSpace::new(grid.clone(), Extrapolation::Linear).unwrap();
            let values: Vec<f64> = (0..grid.len()).map(|i| (i as f64 * 0.37).cos()).collect();
            let mut table = vec![0.0; space.len()];
            space.fit(&values, &mut table).unwrap();
            let mut out = PointBlock::zeros(1, grid.len());
            space.product.values::<Hermite>(&table[..], space.product.separate(), 1, grid.points().as_points(), out.as_mut());
            assert_eq!(out.data(), values);
        }
    }

    #[test]
    fn points_outside_are_counted_once() {
        let grid = &grids()[2];
        let x = PointBlock::from_points(2, &[[0.0, 0.0], [9.0, 9.0], [0.0, -2.5], [f64::NAN, 0.0], [2.1, 1.0]]).unwrap();
        assert_eq!(dispatch_on(InstructionSet::Avx512, CountOutside { axes: grid.axes(), x: x.as_points() }), 3);
    }
}
