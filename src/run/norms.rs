//! Errors of slices on the grid against an exact solution, over the comparison box.

use super::RunError;
use crate::problem::Problem;
use hjbridge_model::exact::ClosedForm;
use hjbridge_model::{PointBlock, Region, TensorGrid};
use serde::Serialize;

/// A largest error and where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SupError {
    /// The error.
    pub error: f64,
    /// At which time.
    pub t: f64,
    /// At which node.
    pub y: Vec<f64>,
}

/// Largest errors of one slice; node numbers refer to the grid.
#[derive(Clone, Debug, PartialEq)]
pub struct SliceError {
    /// t.
    pub t: f64,
    /// sup |V - V_exact| and its node.
    pub value: (f64, usize),
    /// sup |U - U_exact| (Euclidean norm) and its node.
    pub control: (f64, usize),
}

/// Nodes of a region and their coordinates.
pub(crate) struct RegionPoints {
    pub nodes: Vec<usize>,
    pub points: PointBlock,
}

/// V and U on the nodes of a region.
pub(crate) struct RegionSlice {
    pub value: Vec<f64>,
    pub control: PointBlock,
}

impl RegionPoints {
    /// The nodes in a comparison box.
    pub fn new(grid: &TensorGrid, region: &Region) -> Result<Self, RunError> {
        let nodes: Vec<usize> = grid.region_nodes(Some(region))?.collect();
        let d = grid.dim();
        let mut points = PointBlock::zeros(d, nodes.len());
        let mut y = vec![0.0; d];
        for (j, &node) in nodes.iter().enumerate() {
            grid.node(node, &mut y);
            points.as_mut().set_point(j, &y);
        }
        Ok(RegionPoints { nodes, points })
    }

    /// Those whose number passes.
    pub fn select(&self, passes: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..self.nodes.len()).filter(|j| passes(*j)).collect();
        let mut points = PointBlock::zeros(self.points.dim(), kept.len());
        let mut y = vec![0.0; self.points.dim()];
        for (k, &j) in kept.iter().enumerate() {
            self.points.as_points().copy_point(j, &mut y);
            points.as_mut().set_point(k, &y);
        }
        RegionPoints { nodes: kept.into_iter().map(|j| self.nodes[j]).collect(), points }
    }

    /// The closed form's V and U on the region's nodes at time t.
    pub fn exact(&self, exact: &dyn ClosedForm, t: f64) -> RegionSlice {
        let slice = exact.at(t);
        let mut value = vec![0.0; self.nodes.len()];
        let mut control = PointBlock::zeros(self.points.dim(), self.nodes.len());
        slice.value(self.points.as_points(), &mut value);
        slice.control(self.points.as_points(), control.as_mut());
        RegionSlice { value, control }
    }

    /// The part in the region of V (n values) and U (d x n, component by component) on the grid.
    pub fn restrict(&self, value: &[f64], control: &[f64]) -> RegionSlice {
        let (n, count) = (value.len(), self.nodes.len());
        let mut u = PointBlock::zeros(self.points.dim(), count);
        for i in 0..self.points.dim() {
            for (u, &node) in u.as_mut().coord_mut(i).iter_mut().zip(&self.nodes) {
                *u = control[i * n + node];
            }
        }
        RegionSlice { value: self.nodes.iter().map(|&node| value[node]).collect(), control: u }
    }

    /// Errors of V (n values) and U (m x n, component by component) at time t.
    pub fn errors(&self, reference: &RegionSlice, t: f64, value: &[f64], control: &[f64]) -> SliceError {
        let (n, d) = (value.len(), reference.control.dim());
        let (v, u) = (&reference.value, &reference.control);
        let gap_v = |j: usize| (value[self.nodes[j]] - v[j]).abs();
        let gap_u = |j: usize| (0..d).map(|i| (control[i * n + self.nodes[j]] - u.coord(i)[j]).powi(2)).sum::<f64>().sqrt();
        SliceError { t, value: self.largest(gap_v), control: self.largest(gap_u) }
    }

    /// Largest value over the region; a NaN wins.
    pub fn largest_of(&self, f: impl Fn(usize) -> f64) -> f64 {
        self.largest(f).0
    }

    /// Largest value over the region and its node; a NaN wins.
    pub fn largest(&self, f: impl Fn(usize) -> f64) -> (f64, usize) {
        let mut best = (f64::NEG_INFINITY, self.nodes[0]);
        for (j, &node) in self.nodes.iter().enumerate() {
            let e = f(j);
            if e > best.0 || e.is_nan() {
                best = (e, node);
            }
        }
        best
    }
}

/// Errors of many slices, in parallel over slices: `slice(i)` gives (t, V, U).
pub fn slice_errors<'s>(
    problem: &Problem,
    exact: &dyn ClosedForm,
    count: usize,
    slice: impl Fn(usize) -> (f64, &'s [f64], &'s [f64]) + Sync,
) -> Result<Vec<SliceError>, RunError> {
    use rayon::prelude::*;
    let region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
    Ok((0..count)
        .into_par_iter()
        .map(|i| {
            let (t, value, control) = slice(i);
            region.errors(&region.exact(exact, t), t, value, control)
        })
        .collect())
}

/// The largest error over slices, with its place.
pub(crate) fn worst(grid: &TensorGrid, errors: impl Iterator<Item = (f64, (f64, usize))>) -> Option<SupError> {
    let (t, (error, node)) = errors.reduce(|a, b| if b.1.0 > a.1.0 || b.1.0.is_nan() { b } else { a })?;
    let mut y = vec![0.0; grid.dim()];
    grid.node(node, &mut y);
    Some(SupError { error, t, y })
}
