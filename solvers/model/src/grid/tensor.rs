//! Tensor-product grids in R^d, in C order: the last axis runs fastest.

use super::axis::Axis;
use super::region::{Region, RegionNodes};
use crate::error::ModelError;
use crate::points::{PointBlock, Points};
use std::ops::Range;

/// Most nodes of a grid, 2^31.
pub const MAX_NODES: usize = 1 << 31;

/// A node within this fraction of the axis' extent of a region's face counts as inside: the faces of a region are decimal
/// numbers, nodes are rounded.
const FACE_SLACK: f64 = 1e-12;

/// The product of d axes. An axis may be marked periodic: its two ends are then the same place, and functions on the grid are
/// continued by wrapping around, so that no finite coordinate lies outside.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorGrid {
    axes: Vec<Axis>,
    periodic: Vec<bool>,
    shape: Vec<usize>,
    strides: Vec<usize>,
    len: usize,
}

impl TensorGrid {
    /// The product of these axes, the first one slowest.
    ///
    /// # Errors
    /// No axis, or more than 2^31 nodes.
    pub fn new(axes: Vec<Axis>) -> Result<Self, ModelError> {
        if axes.is_empty() {
            return Err(ModelError::Shape { field: "grid.axes".into(), found: 0, expected: 1 });
        }
        let shape: Vec<usize> = axes.iter().map(Axis::len).collect();
        let mut strides = vec![1; shape.len()];
        let mut len = 1_usize;
        for a in (0..shape.len()).rev() {
            strides[a] = len;
            len = match len.checked_mul(shape[a]) {
                Some(n) if n <= MAX_NODES => n,
                _ => {
                    let value = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
                    return Err(ModelError::invalid("grid.nodes", value, format!("at most {MAX_NODES} nodes in all")));
                }
            };
        }
        let periodic = vec![false; axes.len()];
        Ok(TensorGrid { axes, periodic, shape, strides, len })
    }

    /// The same grid with these axes periodic, by their numbers, and the others not.
    ///
    /// # Errors
    /// The number of an axis that is not there.
    pub fn with_periodic(&self, axes: &[usize]) -> Result<Self, ModelError> {
        let mut periodic = vec![false; self.dim()];
        for &axis in axes {
            let allowed = || ModelError::invalid("periodic axis", axis, format!("must be below {}", self.dim()));
            *periodic.get_mut(axis).ok_or_else(allowed)? = true;
        }
        Ok(TensorGrid { periodic, ..self.clone() })
    }

    /// Whether axis `i` is periodic; false for an axis that is not there.
    pub fn is_periodic(&self, i: usize) -> bool {
        self.periodic.get(i).copied().unwrap_or(false)
    }

    /// The points with their coordinates on periodic axes brought into the box by whole periods; `None` when that changes
    /// nothing because no axis is periodic. Coordinates in the box stay as they are; those that are not finite become NaN.
    pub fn wrapped(&self, x: Points<'_>) -> Option<PointBlock> {
        if !self.periodic.contains(&true) || x.dim() != self.dim() {
            return None;
        }
        let mut block = PointBlock::zeros(x.dim(), x.len());
        let mut out = block.as_mut();
        for (a, axis) in self.axes.iter().enumerate() {
            let out = out.coord_mut(a);
            out.copy_from_slice(x.coord(a));
            if self.periodic[a] {
                out.iter_mut().for_each(|c| *c = wrap(axis, *c));
            }
        }
        Some(block)
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.axes.len()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: each axis has nodes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Axis `i`.
    ///
    /// # Panics
    /// When `i >= dim`, as slice indexing does.
    pub fn axis(&self, i: usize) -> &Axis {
        &self.axes[i]
    }

    /// All axes.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// Nodes per axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Distance in the flat numbering between neighbours along each axis; the last one is 1.
    pub fn strides(&self) -> &[usize] {
        &self.strides
    }

    /// The flat index of a multi-index, or `None` when it has another length or lies outside the grid.
    pub fn flat_index(&self, index: &[usize]) -> Option<usize> {
        let inside = index.len() == self.dim() && index.iter().zip(&self.shape).all(|(i, n)| i < n);
        inside.then(|| index.iter().zip(&self.strides).map(|(i, s)| i * s).sum())
    }

    /// Write the multi-index of node `flat` (taken modulo the number of nodes) into `index`, of length d.
    pub fn multi_index(&self, flat: usize, index: &mut [usize]) {
        for (a, i) in index.iter_mut().enumerate() {
            *i = flat / self.strides[a] % self.shape[a];
        }
    }

    /// Write the coordinates of node `flat` (taken modulo the number of nodes) into `point`, of length d.
    pub fn node(&self, flat: usize, point: &mut [f64]) {
        for (a, x) in point.iter_mut().enumerate() {
            *x = self.axes[a].nodes()[flat / self.strides[a] % self.shape[a]];
        }
    }

    /// All nodes in flat order: d coordinates of `len` entries.
    pub fn points(&self) -> PointBlock {
        let mut block = PointBlock::zeros(self.dim(), self.len);
        let mut out = block.as_mut();
        for (a, axis) in self.axes.iter().enumerate() {
            spread(axis.nodes(), self.strides[a], out.coord_mut(a), |slot, x| *slot = x);
        }
        block
    }

    /// Volume of the trapezoid rule at each node: the integral of f over the box is about sum_i volume_i f_i, order 2.
    pub fn volumes(&self) -> Vec<f64> {
        let mut volumes = vec![1.0; self.len];
        for (a, axis) in self.axes.iter().enumerate() {
            spread(&axis.trapezoid_weights(), self.strides[a], &mut volumes, |slot, w| *slot *= w);
        }
        volumes
    }

    /// Whether the point lies in the grid's box, anywhere on a periodic axis; false for a NaN or a point of another dimension.
    pub fn contains(&self, point: &[f64]) -> bool {
        let inside = |((axis, &periodic), &x): ((&Axis, &bool), &f64)| if periodic { x.is_finite() } else { axis.contains(x) };
        point.len() == self.dim() && self.axes.iter().zip(&self.periodic).zip(point).all(inside)
    }

    /// For each axis the indices of its nodes in the region (faces included, to 1e-12 of the axis' extent).
    ///
    /// # Errors
    /// A region of another dimension, or one that contains no node.
    pub fn region_ranges(&self, region: &Region) -> Result<Vec<Range<usize>>, ModelError> {
        if region.dim() != self.dim() {
            return Err(ModelError::Shape { field: "region.lower".into(), found: region.dim(), expected: self.dim() });
        }
        let range = |(a, axis): (usize, &Axis)| {
            let slack = FACE_SLACK * (axis.upper() - axis.lower());
            let (lower, upper) = (region.lower()[a], region.upper()[a]);
            let start = axis.nodes().partition_point(|&x| x < lower - slack);
            let end = axis.nodes().partition_point(|&x| x <= upper + slack);
            if start < end {
                return Ok(start..end);
            }
            let allowed = format!("must contain a node of axis {a}, which runs from {} to {}", axis.lower(), axis.upper());
            Err(ModelError::invalid(format!("region[{a}]"), format!("[{lower}, {upper}]"), allowed))
        };
        self.axes.iter().enumerate().map(range).collect()
    }

    /// The flat indices of the nodes in the region, increasing; the whole grid for `None`.
    ///
    /// # Errors
    /// As [`TensorGrid::region_ranges`].
    pub fn region_nodes(&self, region: Option<&Region>) -> Result<RegionNodes, ModelError> {
        let ranges = match region {
            Some(region) => self.region_ranges(region)?,
            None => self.shape.iter().map(|&n| 0..n).collect(),
        };
        Ok(RegionNodes::new(self, ranges))
    }

    /// For each node whether it lies in the region.
    ///
    /// # Errors
    /// As [`TensorGrid::region_ranges`].
    pub fn region_mask(&self, region: &Region) -> Result<Vec<bool>, ModelError> {
        let mut mask = vec![false; self.len];
        for i in self.region_nodes(Some(region))? {
            mask[i] = true;
        }
        Ok(mask)
    }
}

/// A coordinate brought into the box by whole periods.
fn wrap(axis: &Axis, x: f64) -> f64 {
    if axis.contains(x) {
        return x;
    }
    let (lower, upper) = (axis.lower(), axis.upper());
    let period = upper - lower;
    // The difference may round to a period, or below zero.
    let wrapped = x - period * ((x - lower) / period).floor();
    if wrapped < lower || wrapped >= upper { lower } else { wrapped }
}

/// Visit every slot of a flat array with the entry of `line` that belongs to its index along the axis of this stride.
fn spread(line: &[f64], stride: usize, out: &mut [f64], visit: impl Fn(&mut f64, f64)) {
    for block in out.chunks_exact_mut(stride * line.len()) {
        for (row, &x) in block.chunks_exact_mut(stride).zip(line) {
            row.iter_mut().for_each(|slot| visit(slot, x));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> TensorGrid {
        let a = Axis::uniform(0.0, 1.0, 5).unwrap();
        let b = Axis::stretched(-1.0, 2.0, 7, 0.0, 5.0).unwrap();
        let c = Axis::uniform(-3.0, 3.0, 6).unwrap();
        TensorGrid::new(vec![a, b, c]).unwrap()
    }

    #[test]
    fn indices_go_there_and_back_with_the_last_axis_fastest() {
        let grid = grid();
        assert_eq!((grid.dim(), grid.len(), grid.shape(), grid.strides()), (3, 210, &[5, 7, 6][..], &[42, 6, 1][..]));
        let points = grid.points();
        let (mut index, mut point, mut copy) = ([0; 3], [0.0; 3], [0.0; 3]);
        for flat in 0..grid.len() {
            grid.multi_index(flat, &mut index);
            assert_eq!(grid.flat_index(&index), Some(flat));
            assert_eq!(flat, index[0] * 42 + index[1] * 6 + index[2]);
            grid.node(flat, &mut point);
            points.as_points().copy_point(flat, &mut copy);
            assert_eq!(point, copy);
            assert!((0..3).all(|a| point[a] == grid.axis(a).nodes()[index[a]]));
            assert!(grid.contains(&point));
        }
        assert_eq!((grid.flat_index(&[5, 0, 0]), grid.flat_index(&[0, 0])), (None, None));
        assert!(!grid.contains(&[0.5, 0.0, 3.1]) && !grid.contains(&[f64::NAN, 0.0, 0.0]) && !grid.contains(&[0.5]));
    }

    #[test]
    fn volumes_integrate_multilinear_functions_exactly() {
        let grid = grid();
        let (volumes, points) = (grid.volumes(), grid.points());
        assert!((volumes.iter().sum::<f64>() - 18.0).abs() < 1e-12);
        let f = |i: usize| (1.0 + points.coord(0)[i]) * (2.0 - points.coord(1)[i]) * (1.0 + points.coord(2)[i]);
        // int_0^1 (1+x) = 3/2, int_{-1}^2 (2-y) = 9/2, int_{-3}^3 (1+z) = 6.
        let integral: f64 = (0..grid.len()).map(|i| volumes[i] * f(i)).sum();
        assert!((integral - 1.5 * 4.5 * 6.0).abs() < 1e-11, "{integral}");
    }

    #[test]
    fn region_nodes_are_those_in_the_box_in_order() {
        let grid = grid();
        let region = Region::new(vec![0.25, -0.5, -10.0], vec![0.75, 1.0, 0.6]).unwrap();
        let mut point = [0.0; 3];
        let mut expected = Vec::new();
        for flat in 0..grid.len() {
            grid.node(flat, &mut point);
            if point[0] > 0.2 && point[0] < 0.8 && point[1] > -0.5 && point[1] < 1.0 && point[2] < 0.7 {
                expected.push(flat);
            }
        }
        assert_eq!(grid.region_nodes(Some(&region)).unwrap().collect::<Vec<_>>(), expected);
        assert_eq!(grid.region_nodes(Some(&region)).unwrap().len(), expected.len());
        let mask = grid.region_mask(&region).unwrap();
        assert!((0..grid.len()).all(|i| mask[i] == expected.contains(&i)));
        assert_eq!(grid.region_nodes(None).unwrap().collect::<Vec<_>>(), (0..grid.len()).collect::<Vec<_>>());
        let hole = Region::new(vec![0.3, 0.0, 0.0], vec![0.4, 1.0, 1.0]).unwrap();
        assert!(grid.region_mask(&hole).unwrap_err().to_string().starts_with("region[0] = [0.3, 0.4]: must contain a node"));
        assert!(matches!(grid.region_mask(&Region::cube(2, 1.0).unwrap()), Err(ModelError::Shape { .. })));
        // A node that rounding puts just outside a face still counts.
        let rounded = TensorGrid::new(vec![Axis::from_nodes(vec![0.0, 0.1, 0.1 + 0.2, 0.6, 1.0]).unwrap()]).unwrap();
        let face = Region::new(vec![0.0], vec![0.3]).unwrap();
        assert_eq!(rounded.region_ranges(&face).unwrap(), vec![0..3]);
    }

    #[test]
    fn too_many_nodes_are_refused() {
        assert!(matches!(TensorGrid::new(vec![]), Err(ModelError::Shape { .. })));
        let axis = Axis::uniform(0.0, 1.0, 1300).unwrap();
        assert!(TensorGrid::new(vec![axis.clone(); 2]).is_ok());
        let message = TensorGrid::new(vec![axis.clone(); 3]).unwrap_err().to_string();
        assert!(message.starts_with("grid.nodes = 1300 x 1300 x 1300: at most 2147483648"), "{message}");
        // The product of the lengths overflows usize here.
        assert!(TensorGrid::new(vec![axis; 12]).is_err());
    }
}
