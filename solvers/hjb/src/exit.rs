//! Target sets of exit and hitting problems: V = g on the set { phi <= 0 }, whose boundary is placed inside the cells.
//!
//! A node outside the set whose neighbour lies inside sees, in place of that neighbour, the point where phi vanishes between
//! them, at its true distance theta dx (Shortley-Weller): the three-point formulas for unequal spacings then take g at that
//! point. The truncation error is O(dx) at such nodes, yet the solution keeps order 2, because they are next to where the
//! error vanishes; all rates stay non-negative. With [`Placement::Staircase`] the inner node itself carries g: order 1.
//! A part of the set that fits between two neighbouring nodes is not seen.
//! Reference: G. H. Shortley, R. Weller, J. Appl. Phys. 9 (1938) 334-348; N. Matsunaga, T. Yamamoto, Superconvergence of
//! the Shortley-Weller approximation for Dirichlet problems, J. Comput. Appl. Math. 116 (2000) 263-273.

use crate::error::HjbError;
use crate::hamiltonian::Operator;
use crate::sense::Sense;
use hjbridge_model::grid::TensorGrid;
use hjbridge_model::{PointBlock, Points};
use serde::Serialize;

/// A node closer to the boundary than this fraction of the spacing is put on it.
const SNAP: f64 = 1e-9;

/// Halvings of an edge: to rounding of its length.
const HALVINGS: usize = 52;

/// A set with boundary data.
pub trait TargetSet: Send + Sync {
    /// Write phi at each point: not positive inside the set, positive outside, continuous.
    fn level(&self, x: Points<'_>, out: &mut [f64]);

    /// Write g at each point of the set; the default is zero.
    fn value(&self, _x: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }
}

/// A target set from two closures over one point: phi and g.
pub struct LevelSet<P, G> {
    level: P,
    value: G,
}

impl<P, G> LevelSet<P, G>
where
    P: Fn(&[f64]) -> f64 + Send + Sync,
    G: Fn(&[f64]) -> f64 + Send + Sync,
{
    /// The set where `level` is not positive, with the data `value` on it.
    pub fn new(level: P, value: G) -> Self {
        LevelSet { level, value }
    }
}

/// Evaluate a closure over one point on a block.
fn pointwise(f: impl Fn(&[f64]) -> f64, x: Points<'_>, out: &mut [f64]) {
    let mut p = vec![0.0; x.dim()];
    for (j, o) in out.iter_mut().enumerate() {
        x.copy_point(j, &mut p);
        *o = f(&p);
    }
}

impl<P, G> TargetSet for LevelSet<P, G>
where
    P: Fn(&[f64]) -> f64 + Send + Sync,
    G: Fn(&[f64]) -> f64 + Send + Sync,
{
    fn level(&self, x: Points<'_>, out: &mut [f64]) {
        pointwise(&self.level, x, out);
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        pointwise(&self.value, x, out);
    }
}

/// Where the boundary of a target set is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Placement {
    /// Where phi vanishes between two nodes: order 2.
    #[default]
    SubCell,
    /// At the nodes inside the set: order 1.
    Staircase,
}

/// An edge from a node outside the set that crosses its boundary.
pub(crate) struct CutEdge {
    pub node: usize,
    pub axis: usize,
    pub upper: bool,
    pub distance: f64,
    value: f64,
}

/// The rows of the discrete equation that a target set changes.
pub(crate) struct TargetRows {
    /// Nodes of the set and g there.
    nodes: Vec<(usize, f64)>,
    pub edges: Vec<CutEdge>,
}

impl TargetRows {
    /// Nodes and cut edges of `set` on `grid`.
    ///
    /// # Errors
    /// phi or g not finite where it is needed; a set without a node.
    pub fn new(set: &dyn TargetSet, grid: &TensorGrid, placement: Placement, sense: Sense) -> Result<Self, HjbError> {
        let points = grid.points();
        let n = grid.len();
        let mut phi = vec![0.0; n];
        set.level(points.as_points(), &mut phi);
        check("target.level", &phi, &points)?;
        let inside: Vec<usize> = (0..n).filter(|&j| phi[j] <= 0.0).collect();
        if inside.is_empty() {
            return Err(HjbError::invalid("target", "no node inside", "a set { level <= 0 } that contains a node of the grid"));
        }
        let values = evaluate(set, &select(&points, &inside))?;
        let mut nodes: Vec<(usize, f64)> = inside.into_iter().zip(values).collect();
        let mut edges: Vec<CutEdge> = Vec::new();
        if placement == Placement::SubCell {
            let mut snapped = vec![false; n];
            for edge in cut_edges(set, grid, &points, &phi)? {
                if edge.fraction > SNAP {
                    edges.push(edge.cut);
                } else if !snapped[edge.cut.node] {
                    snapped[edge.cut.node] = true;
                    nodes.push((edge.cut.node, edge.cut.value));
                }
            }
            edges.retain(|e| !snapped[e.node]);
        }
        if sense == Sense::Minimise {
            nodes.iter_mut().for_each(|(_, g)| *g = -*g);
            edges.iter_mut().for_each(|e| e.value = -e.value);
        }
        Ok(TargetRows { nodes, edges })
    }

    /// Nodes of the set.
    pub fn nodes(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes.iter().map(|&(j, _)| j)
    }

    /// Put the differences to the boundary in place of those across it. `jumps[j]` and `jumps[j + stride]` are the
    /// differences below and above node j; each has one end outside the set at most.
    pub fn cut_differences(&self, axis: usize, stride: usize, value: &[f64], jumps: &mut [f64]) {
        for e in self.edges.iter().filter(|e| e.axis == axis) {
            if e.upper {
                jumps[e.node + stride] = e.value - value[e.node];
            } else {
                jumps[e.node] = value[e.node] - e.value;
            }
        }
    }

    /// Move the boundary data of the cut edges to the right side; the rows of the set become g - V.
    pub fn close_operator(&self, operator: &mut Operator) {
        for e in &self.edges {
            let rate = &mut operator.generator.diagonal_mut(2 * e.axis + 1 + usize::from(e.upper))[e.node];
            operator.running[e.node] += *rate * e.value;
            *rate = 0.0;
        }
        for s in 0..operator.generator.flat_shifts().len() {
            let diagonal = operator.generator.diagonal_mut(s);
            self.nodes.iter().for_each(|&(j, _)| diagonal[j] = if s == 0 { -1.0 } else { 0.0 });
        }
        self.nodes.iter().for_each(|&(j, g)| operator.running[j] = g);
    }

    /// The residual g - V of the rows of the set.
    pub fn close_maximum(&self, value: &[f64], maximum: &mut [f64]) {
        self.nodes.iter().for_each(|&(j, g)| maximum[j] = g - value[j]);
    }
}

/// A cut edge with its distance as a fraction of the spacing.
struct Cut {
    cut: CutEdge,
    fraction: f64,
}

/// All edges from a node with phi > 0 to one with phi <= 0, their crossings found by bisection of all edges at once.
fn cut_edges(set: &dyn TargetSet, grid: &TensorGrid, points: &PointBlock, phi: &[f64]) -> Result<Vec<Cut>, HjbError> {
    let mut found = Vec::new();
    for axis in 0..grid.dim() {
        let (stride, nodes) = (grid.strides()[axis], grid.axis(axis).nodes());
        for (j, _) in phi.iter().enumerate().filter(|(_, p)| **p > 0.0) {
            let k = (j / stride) % nodes.len();
            if k > 0 && phi[j - stride] <= 0.0 {
                found.push((j, axis, false, nodes[k] - nodes[k - 1]));
            }
            if k + 1 < nodes.len() && phi[j + stride] <= 0.0 {
                found.push((j, axis, true, nodes[k + 1] - nodes[k]));
            }
        }
    }
    let mut at = select(points, &found.iter().map(|f| f.0).collect::<Vec<_>>());
    let start = at.clone();
    let place = |at: &mut PointBlock, k: usize, fraction: f64| {
        let (_, axis, upper, spacing) = found[k];
        let x = start.coord(axis)[k];
        at.as_mut().coord_mut(axis)[k] = if upper { x + fraction * spacing } else { x - fraction * spacing };
    };
    let mut level = vec![0.0; found.len()];
    let (mut low, mut high) = (vec![0.0; found.len()], vec![1.0; found.len()]);
    for _ in 0..HALVINGS {
        (0..found.len()).for_each(|k| place(&mut at, k, 0.5 * (low[k] + high[k])));
        set.level(at.as_points(), &mut level);
        check("target.level", &level, &at)?;
        for k in 0..found.len() {
            *(if level[k] > 0.0 { &mut low[k] } else { &mut high[k] }) = 0.5 * (low[k] + high[k]);
        }
    }
    (0..found.len()).for_each(|k| place(&mut at, k, high[k]));
    let values = evaluate(set, &at)?;
    let mut cuts = Vec::with_capacity(found.len());
    for (k, (&(node, axis, upper, spacing), value)) in found.iter().zip(values).enumerate() {
        let cut = CutEdge { node, axis, upper, distance: high[k] * spacing, value };
        cuts.push(Cut { cut, fraction: high[k] });
    }
    Ok(cuts)
}

/// The points with these indices.
fn select(points: &PointBlock, indices: &[usize]) -> PointBlock {
    let mut block = PointBlock::zeros(points.dim(), indices.len());
    for i in 0..points.dim() {
        for (k, &j) in indices.iter().enumerate() {
            block.as_mut().coord_mut(i)[k] = points.coord(i)[j];
        }
    }
    block
}

fn evaluate(set: &dyn TargetSet, points: &PointBlock) -> Result<Vec<f64>, HjbError> {
    let mut values = vec![0.0; points.len()];
    set.value(points.as_points(), &mut values);
    check("target.value", &values, points)?;
    Ok(values)
}

fn check(coefficient: &'static str, values: &[f64], points: &PointBlock) -> Result<(), HjbError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(k) => {
            let point = (0..points.dim()).map(|i| points.coord(i)[k]).collect();
            Err(HjbError::NonFinite { coefficient, value: values[k], t: 0.0, point })
        }
    }
}
