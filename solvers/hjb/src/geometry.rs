//! Difference weights of a tensor grid, one entry per node and axis, with the boundary condition built in.
//!
//! At a face the weights of the missing neighbour are zero, so the loops over nodes have no special case.

use crate::space::SpaceScheme;
use hjbridge_model::grid::TensorGrid;
use serde::Serialize;
use std::sync::Arc;

/// What happens at the faces of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Boundary {
    /// V continues linearly across the face: V'' = 0 and the slope is the one-sided quotient towards the inside, for
    /// every drift. Monotone where the drift at the face points inward (or vanishes); an outward drift gives a negative
    /// rate, which the monotonicity certificate counts. The default: fine-tuning drifts point inward far out.
    #[default]
    Extrapolated,
    /// The process is reflected: V' = 0 in the second difference, and the outward part of the drift is dropped. Always
    /// monotone; the natural choice for densities, whose mass stays in the box.
    Reflecting,
}

/// Weights along one axis; every array has one entry per node of the whole grid.
pub(crate) struct AxisGeometry {
    /// Distance between neighbours in flat index.
    pub stride: usize,
    /// Distances to the neighbours, infinite where there is none.
    pub minus: Vec<f64>,
    pub plus: Vec<f64>,
    /// Their inverses, zero where there is no neighbour: weights of the one-sided slopes.
    pub inverse_minus: Vec<f64>,
    pub inverse_plus: Vec<f64>,
    /// Weights of (V - V-) and (V+ - V) in the central slope.
    pub central_minus: Vec<f64>,
    pub central_plus: Vec<f64>,
    /// Weights of a (V- - V) and a (V+ - V) in (1/2) a V''.
    pub diffusion_minus: Vec<f64>,
    pub diffusion_plus: Vec<f64>,
    /// Nodes on the two faces.
    pub lower_face: Vec<usize>,
    pub upper_face: Vec<usize>,
}

/// Difference weights of a grid.
pub(crate) struct Geometry {
    pub grid: Arc<TensorGrid>,
    pub boundary: Boundary,
    pub axes: Vec<AxisGeometry>,
}

impl Geometry {
    pub fn new(grid: Arc<TensorGrid>, boundary: Boundary) -> Self {
        let axes = (0..grid.dim()).map(|i| AxisGeometry::new(&grid, i, boundary)).collect();
        Geometry { grid, boundary, axes }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.grid.len()
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.axes.len()
    }

    /// Put the neighbour of `node` on one side of `axis` at another distance.
    pub fn set_distance(&mut self, axis: usize, node: usize, upper: bool, distance: f64) {
        let reflecting = self.boundary == Boundary::Reflecting;
        let a = &mut self.axes[axis];
        *(if upper { &mut a.plus[node] } else { &mut a.minus[node] }) = distance;
        let (minus, plus) = (a.minus[node], a.plus[node]);
        (a.inverse_minus[node], a.inverse_plus[node]) = (1.0 / minus, 1.0 / plus);
        a.central_minus[node] = central_weight(minus, plus, reflecting);
        a.central_plus[node] = central_weight(plus, minus, reflecting);
        a.diffusion_minus[node] = diffusion_weight(minus, plus, reflecting);
        a.diffusion_plus[node] = diffusion_weight(plus, minus, reflecting);
    }

    /// The drifts [lower, upper] for which the central slope is used on `axis`, faces included.
    pub fn central_windows(&self, scheme: &dyn SpaceScheme, axis: usize, a: &[f64], lower: &mut [f64], upper: &mut [f64]) {
        let g = &self.axes[axis];
        scheme.central_windows(&g.minus, &g.plus, a, lower, upper);
        for &j in g.lower_face.iter().chain(&g.upper_face) {
            (lower[j], upper[j]) = (f64::NEG_INFINITY, f64::INFINITY);
        }
        if self.boundary == Boundary::Reflecting {
            // The central slope is zero there; a drift towards the inside takes the one-sided one.
            g.lower_face.iter().for_each(|&j| upper[j] = 0.0);
            g.upper_face.iter().for_each(|&j| lower[j] = 0.0);
        }
    }
}

impl AxisGeometry {
    fn new(grid: &TensorGrid, axis: usize, boundary: Boundary) -> Self {
        let nodes = grid.axis(axis).nodes();
        let (count, stride, n) = (nodes.len(), grid.strides()[axis], grid.len());
        let index = |j: usize| (j / stride) % count;
        let spread = |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..n).map(|j| f(index(j))).collect() };
        let minus = |k: usize| if k == 0 { f64::INFINITY } else { nodes[k] - nodes[k - 1] };
        let plus = |k: usize| if k + 1 == count { f64::INFINITY } else { nodes[k + 1] - nodes[k] };
        let (first, last) = (0, count - 1);
        let reflecting = boundary == Boundary::Reflecting;
        AxisGeometry {
            stride,
            minus: spread(&minus),
            plus: spread(&plus),
            inverse_minus: spread(&|k| 1.0 / minus(k)),
            inverse_plus: spread(&|k| 1.0 / plus(k)),
            central_minus: spread(&|k| central_weight(minus(k), plus(k), reflecting)),
            central_plus: spread(&|k| central_weight(plus(k), minus(k), reflecting)),
            diffusion_minus: spread(&|k| diffusion_weight(minus(k), plus(k), reflecting)),
            diffusion_plus: spread(&|k| diffusion_weight(plus(k), minus(k), reflecting)),
            lower_face: (0..n).filter(|&j| index(j) == first).collect(),
            upper_face: (0..n).filter(|&j| index(j) == last).collect(),
        }
    }
}

/// Weight of the difference `toward` one neighbour in the central slope; a missing neighbour is at infinite distance.
fn central_weight(toward: f64, other: f64, reflecting: bool) -> f64 {
    if toward.is_finite() && other.is_finite() {
        other / (toward * (toward + other))
    } else if reflecting {
        0.0
    } else {
        1.0 / toward // zero on the side without neighbour
    }
}

/// Weight of the same difference in (1/2) V''.
fn diffusion_weight(toward: f64, other: f64, reflecting: bool) -> f64 {
    if toward.is_finite() && other.is_finite() {
        1.0 / (toward * (toward + other))
    } else if reflecting {
        1.0 / toward.powi(2)
    } else {
        0.0
    }
}

/// Differences along an axis: `out[j] = v[j] - v[j - stride]` for stride <= j < n and zero
/// otherwise, so that `out[j]` and `out[j + stride]` are the differences below and above node j. `out` has n + stride
/// entries. Differences across the end of a line are meaningless; the weights there are zero.
pub(crate) fn differences(v: &[f64], stride: usize, out: &mut [f64]) {
    let n = v.len();
    out[..stride].fill(0.0);
    out[n..n + stride].fill(0.0);
    for ((o, above), below) in out[stride..n].iter_mut().zip(&v[stride..]).zip(v) {
        *o = above - below;
    }
}
