//! Difference weights of a tensor grid, one entry per node and axis, with the conditions at the faces built in.
//!
//! At a face the weights of the missing neighbour are zero, so the loops over nodes have no special case. On a periodic
//! axis the neighbour below the first node is the last but one, and the neighbour above the last node is the second.
//! A node on a reflecting face stands for half a cell: from the balance of that half cell, (1/2) a V'' + mu V' becomes
//! (a/h^2 + mu/h)(V_1 - V_0), the exact counterpart of what its neighbour loses to it.

use crate::error::HjbError;
use crate::faces::{Face, Faces};
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// Weights along one axis; every array has one entry per node of the whole grid.
pub(crate) struct AxisGeometry {
    /// Distance between neighbours in flat index.
    pub stride: usize,
    /// Nodes on the axis.
    pub count: usize,
    /// Conditions at the lower and the upper face.
    pub faces: [Face; 2],
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
    /// Parts of the first and last node in the cell they share on a periodic axis.
    pub end_shares: [f64; 2],
    /// Distances between nodes where `minus` or `plus` is the distance to the boundary of a target set.
    pub uncut: Option<(Vec<f64>, Vec<f64>)>,
}

/// Difference weights of a grid.
pub(crate) struct Geometry {
    pub grid: Arc<TensorGrid>,
    pub faces: Faces,
    pub axes: Vec<AxisGeometry>,
}

impl Geometry {
    /// The faces are those of [`Faces::validate`].
    pub fn new(grid: Arc<TensorGrid>, faces: Faces) -> Self {
        let axes = (0..grid.dim()).map(|i| AxisGeometry::new(&grid, i, faces)).collect();
        Geometry { grid, faces, axes }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.grid.len()
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.axes.len()
    }

    /// Nodes of Dirichlet faces, ascending.
    pub fn dirichlet_nodes(&self) -> Vec<usize> {
        let mut on_face = vec![false; self.len()];
        for a in &self.axes {
            for (face, nodes) in a.faces.iter().zip([&a.lower_face, &a.upper_face]) {
                if *face == Face::Dirichlet {
                    nodes.iter().for_each(|&j| on_face[j] = true);
                }
            }
        }
        (0..self.len()).filter(|&j| on_face[j]).collect()
    }

    /// Put the neighbour of `node` on one side of `axis` at another distance.
    pub fn set_distance(&mut self, axis: usize, node: usize, upper: bool, distance: f64) {
        let a = &mut self.axes[axis];
        a.uncut.get_or_insert_with(|| (a.minus.clone(), a.plus.clone()));
        *(if upper { &mut a.plus[node] } else { &mut a.minus[node] }) = distance;
        let (minus, plus) = (a.minus[node], a.plus[node]);
        let reflecting = a.reflects_at(node);
        (a.inverse_minus[node], a.inverse_plus[node]) = (1.0 / minus, 1.0 / plus);
        a.central_minus[node] = central_weight(minus, plus);
        a.central_plus[node] = central_weight(plus, minus);
        a.diffusion_minus[node] = diffusion_weight(minus, plus, reflecting);
        a.diffusion_plus[node] = diffusion_weight(plus, minus, reflecting);
    }

    /// Differences of `value` along `axis`, V - V- and V+ - V at each node; `cut` may put others in place: entry j of what it
    /// gets is the difference below node j and, with the stride added to j, the one above. Meaningless where there is no
    /// neighbour: the weights there are zero.
    pub fn differences<'b>(
        &self,
        axis: usize,
        value: &[f64],
        room: &'b mut Jumps,
        cut: impl FnOnce(&mut [f64]),
    ) -> (&'b [f64], &'b [f64]) {
        let (n, a) = (value.len(), &self.axes[axis]);
        let shared = &mut room.shared[..n + a.stride];
        differences(value, a.stride, shared);
        cut(shared);
        if !a.is_periodic() {
            return (&shared[..n], &shared[a.stride..]);
        }
        // The differences below the first and above the last node of two lines would share a place.
        let above = &mut room.above;
        above.resize(n, 0.0);
        above.copy_from_slice(&shared[a.stride..]);
        let wrap = (a.count - 2) * a.stride;
        a.lower_face.iter().for_each(|&j| shared[j] = value[j] - value[j + wrap]);
        a.upper_face.iter().for_each(|&j| above[j] = value[j - wrap] - value[j]);
        (&shared[..n], above)
    }

    /// Make values (n per component) exactly equal on the two ends of every periodic axis.
    pub fn identify_ends(&self, values: &mut [f64]) {
        for a in self.axes.iter().filter(|a| a.is_periodic()) {
            for component in values.chunks_exact_mut(self.grid.len()) {
                a.lower_face.iter().zip(&a.upper_face).for_each(|(&j, &k)| component[k] = component[j]);
            }
        }
    }

    /// [`Geometry::check_periodic`], then [`Geometry::identify_ends`].
    ///
    /// # Errors
    /// As [`Geometry::check_periodic`].
    pub fn close_periodic(&self, name: &'static str, values: &mut [f64], t: f64) -> Result<(), HjbError> {
        self.check_periodic(name, values, t)?;
        self.identify_ends(values);
        Ok(())
    }

    /// Whether any axis is periodic.
    pub fn has_periodic_axis(&self) -> bool {
        self.axes.iter().any(|a| a.is_periodic())
    }

    /// The node at the other end of each periodic axis on whose first node `node` lies.
    pub fn twins(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let ends = self.axes.iter().filter(move |a| a.is_periodic() && a.index(node) == 0);
        ends.map(move |a| node + (a.count - 1) * a.stride)
    }

    /// Whether the coefficient `name` (n values per component) agrees on the two ends of every periodic axis.
    ///
    /// # Errors
    /// [`HjbError::Unsupported`] with a point where it does not.
    pub fn check_periodic(&self, name: &'static str, values: &[f64], t: f64) -> Result<(), HjbError> {
        let n = self.len();
        for a in self.axes.iter().filter(|a| a.is_periodic()) {
            for component in values.chunks_exact(n) {
                let size = component.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                for (&j, &k) in a.lower_face.iter().zip(&a.upper_face) {
                    if (component[j] - component[k]).abs() > PERIODIC_TOLERANCE * size {
                        let mut point = vec![0.0; self.dim()];
                        self.grid.node(j, &mut point);
                        return Err(not_periodic(name, component[j], component[k], t, point));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Values at the two ends of a periodic axis agree to this fraction of the largest value.
pub(crate) const PERIODIC_TOLERANCE: f64 = 1e-9;

/// The error for data that differ between the ends of a periodic axis.
pub(crate) fn not_periodic(name: &str, first: f64, last: f64, t: f64, point: Vec<f64>) -> HjbError {
    HjbError::Unsupported {
        what: format!("{name} = {first} at one end of a periodic axis, {last} at the other"),
        t,
        point,
        allowed: "coefficients, costs, rewards and boundary data that are periodic with the axis",
    }
}

/// Room for the differences along an axis.
pub(crate) struct Jumps {
    shared: Vec<f64>,
    above: Vec<f64>,
}

impl Jumps {
    /// Room for any axis of this geometry.
    pub fn new(geometry: &Geometry) -> Self {
        let widest = geometry.axes.iter().map(|a| a.stride).max().unwrap_or(1);
        Jumps { shared: vec![0.0; geometry.len() + widest], above: Vec::new() }
    }
}

impl AxisGeometry {
    fn new(grid: &TensorGrid, axis: usize, faces: Faces) -> Self {
        let nodes = grid.axis(axis).nodes();
        let (count, stride, n) = (nodes.len(), grid.strides()[axis], grid.len());
        let faces = [faces.face(axis, false), faces.face(axis, true)];
        let periodic = faces[0] == Face::Periodic;
        let index = |j: usize| (j / stride) % count;
        let spread = |f: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..n).map(|j| f(index(j))).collect() };
        let (first, last) = (0, count - 1);
        let minus = |k: usize| match k {
            0 if periodic => nodes[last] - nodes[last - 1],
            0 => f64::INFINITY,
            _ => nodes[k] - nodes[k - 1],
        };
        let plus = |k: usize| match k {
            _ if k < last => nodes[k + 1] - nodes[k],
            _ if periodic => nodes[1] - nodes[0],
            _ => f64::INFINITY,
        };
        let reflecting = |k: usize| match k {
            0 => faces[0] == Face::Reflecting,
            _ => k == last && faces[1] == Face::Reflecting,
        };
        AxisGeometry {
            stride,
            count,
            faces,
            minus: spread(&minus),
            plus: spread(&plus),
            inverse_minus: spread(&|k| 1.0 / minus(k)),
            inverse_plus: spread(&|k| 1.0 / plus(k)),
            central_minus: spread(&|k| central_weight(minus(k), plus(k))),
            central_plus: spread(&|k| central_weight(plus(k), minus(k))),
            diffusion_minus: spread(&|k| diffusion_weight(minus(k), plus(k), reflecting(k))),
            diffusion_plus: spread(&|k| diffusion_weight(plus(k), minus(k), reflecting(k))),
            lower_face: (0..n).filter(|&j| index(j) == first).collect(),
            upper_face: (0..n).filter(|&j| index(j) == last).collect(),
            end_shares: [plus(0) / (plus(0) + minus(last)), minus(last) / (plus(0) + minus(last))],
            uncut: None,
        }
    }

    /// Whether the two ends are the same place.
    pub fn is_periodic(&self) -> bool {
        self.faces[0] == Face::Periodic
    }

    /// The neighbour of a node on one side, as (whether it is met across an end of the axis, share of the rate). The two ends
    /// of a periodic axis are one place: whoever moves there goes to either node in proportion to its part of the cell, which
    /// keeps the densities at both equal and makes no difference to functions that agree there.
    pub fn neighbours(&self, node: usize, upper: bool) -> [(bool, f64); 2] {
        let k = self.index(node);
        if !self.is_periodic() {
            return [(false, 1.0), (true, 0.0)];
        }
        let (far, near) = if upper { (self.count - 1, self.count - 2) } else { (0, 1) };
        if k == far {
            [(false, 0.0), (true, 1.0)]
        } else if k == near {
            [(false, self.end_shares[usize::from(upper)]), (true, self.end_shares[usize::from(!upper)])]
        } else {
            [(false, 1.0), (true, 0.0)]
        }
    }

    /// Place of a node along the axis.
    pub fn index(&self, node: usize) -> usize {
        (node / self.stride) % self.count
    }

    fn reflects_at(&self, node: usize) -> bool {
        let k = self.index(node);
        (k == 0 && self.faces[0] == Face::Reflecting) || (k + 1 == self.count && self.faces[1] == Face::Reflecting)
    }
}

/// Weight of the difference `toward` one neighbour in the central slope; a missing neighbour is at infinite distance.
fn central_weight(toward: f64, other: f64) -> f64 {
    if toward.is_finite() && other.is_finite() {
        other / (toward * (toward + other))
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
fn differences(v: &[f64], stride: usize, out: &mut [f64]) {
    let n = v.len();
    out[..stride].fill(0.0);
    out[n..n + stride].fill(0.0);
    for ((o, above), below) in out[stride..n].iter_mut().zip(&v[stride..]).zip(v) {
        *o = above - below;
    }
}
