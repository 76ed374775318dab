//! Target sets of exit and hitting problems: V = g on the set { phi <= 0 }, whose boundary is placed inside the cells.
//!
//! A node outside the set whose neighbour lies inside sees, in place of that neighbour, the point where phi vanishes between
//! them, at its true distance theta dx (Shortley-Weller): the three-point formulas for unequal spacings then take g at that
//! point. The truncation error is O(dx) at such nodes, yet the solution keeps order 2, because they are next to where the
//! error vanishes; all rates stay non-negative. With [`Placement::Staircase`] the inner node itself carries g: order 1.
//! A part of the set that fits between two neighbouring nodes is not seen. With a finite horizon the data may depend on
//! time; the set itself does not (a barrier that moves is a fixed one in coordinates that move with it). Nodes of Dirichlet
//! faces are target nodes too.
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

    /// Write g at each point of the set; the default is zero. Stationary problems read this.
    fn value(&self, _x: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }

    /// Write g(t, x) at each point of the set; finite-horizon problems read this. The default is [`TargetSet::value`] at
    /// all times.
    fn value_at(&self, _t: f64, x: Points<'_>, out: &mut [f64]) {
        self.value(x, out);
    }
}

/// Data on the Dirichlet faces of the box, in the sign of the user.
pub trait FaceValues: Send + Sync {
    /// Write V(t, x) at each point, all on Dirichlet faces.
    fn value_at(&self, t: f64, x: Points<'_>, out: &mut [f64]);
}

/// A closure `(t, x)` over one point.
impl<F: Fn(f64, &[f64]) -> f64 + Send + Sync> FaceValues for F {
    fn value_at(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        pointwise(|p| self(t, p), x, out);
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

/// A target set from two closures, phi(x) and g(t, x), for finite-horizon problems; a stationary problem sees t = 0.
pub struct TimedLevelSet<P, G> {
    level: P,
    value: G,
}

impl<P, G> TimedLevelSet<P, G>
where
    P: Fn(&[f64]) -> f64 + Send + Sync,
    G: Fn(f64, &[f64]) -> f64 + Send + Sync,
{
    /// The set where `level` is not positive, with the data `value` on it.
    pub fn new(level: P, value: G) -> Self {
        TimedLevelSet { level, value }
    }
}

impl<P, G> TargetSet for TimedLevelSet<P, G>
where
    P: Fn(&[f64]) -> f64 + Send + Sync,
    G: Fn(f64, &[f64]) -> f64 + Send + Sync,
{
    fn level(&self, x: Points<'_>, out: &mut [f64]) {
        pointwise(&self.level, x, out);
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        self.value_at(0.0, x, out);
    }
    fn value_at(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        pointwise(|p| (self.value)(t, p), x, out);
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
    pub value: f64,
}

/// The rows of the discrete equation that a target set changes.
pub(crate) struct TargetRows {
    /// Nodes of the set (the first `data_points.len()`) and added ones, with g there.
    nodes: Vec<(usize, f64)>,
    pub edges: Vec<CutEdge>,
    /// Where the data of the nodes of the set, of the added nodes and of the edges are evaluated.
    data_points: PointBlock,
    added_points: PointBlock,
    edge_points: PointBlock,
}

impl TargetRows {
    /// No target yet.
    pub fn empty(dim: usize) -> Self {
        let none = || PointBlock::zeros(dim, 0);
        TargetRows { nodes: Vec::new(), edges: Vec::new(), data_points: none(), added_points: none(), edge_points: none() }
    }

    /// Nodes and cut edges of `set` on `grid`, with the data of a stationary problem.
    ///
    /// # Errors
    /// phi or g not finite where it is needed; a set without a node.
    pub fn new(set: &dyn TargetSet, grid: &TensorGrid, placement: Placement, sense: Sense) -> Result<Self, HjbError> {
        let mut rows = TargetRows::place(set, grid, placement)?;
        let at = |x: &PointBlock| evaluate("target.value", x, 0.0, |p, out| set.value(p, out));
        rows.set_values(at(&rows.data_points)?, at(&rows.edge_points)?, sense);
        Ok(rows)
    }

    /// Nodes and cut edges of `set` on `grid`, the data still zero.
    pub fn place(set: &dyn TargetSet, grid: &TensorGrid, placement: Placement) -> Result<Self, HjbError> {
        let points = grid.points();
        let n = grid.len();
        let mut phi = vec![0.0; n];
        set.level(points.as_points(), &mut phi);
        check("target.level", &phi, 0.0, &points)?;
        let mut nodes: Vec<usize> = (0..n).filter(|&j| phi[j] <= 0.0).collect();
        if nodes.is_empty() {
            return Err(HjbError::invalid("target", "no node inside", "a set { level <= 0 } that contains a node of the grid"));
        }
        let mut places: Vec<Vec<f64>> = nodes.iter().map(|&j| point(&points, j)).collect();
        let mut edges: Vec<(CutEdge, Vec<f64>)> = Vec::new();
        if placement == Placement::SubCell {
            let mut snapped = vec![false; n];
            for Cut { cut, fraction, place } in cut_edges(set, grid, &points, &phi)? {
                if fraction > SNAP {
                    edges.push((cut, place));
                } else if !snapped[cut.node] {
                    snapped[cut.node] = true;
                    nodes.push(cut.node);
                    places.push(place);
                }
            }
            edges.retain(|(e, _)| !snapped[e.node]);
        }
        let (edges, edge_places): (Vec<_>, Vec<_>) = edges.into_iter().unzip();
        Ok(TargetRows {
            nodes: nodes.into_iter().map(|j| (j, 0.0)).collect(),
            edges,
            data_points: block(grid.dim(), &places),
            edge_points: block(grid.dim(), &edge_places),
            ..TargetRows::empty(grid.dim())
        })
    }

    /// Add nodes whose value is prescribed (those of Dirichlet faces), with the data zero until
    /// [`TargetRows::update_added`]; nodes of the set keep its data.
    pub fn add_nodes(&mut self, grid: &TensorGrid, added: &[usize]) {
        let mut known = vec![false; grid.len()];
        self.nodes.iter().for_each(|&(j, _)| known[j] = true);
        let mut places = Vec::new();
        for &j in added {
            if !known[j] {
                known[j] = true;
                self.nodes.push((j, 0.0));
                let mut p = vec![0.0; grid.dim()];
                grid.node(j, &mut p);
                places.push(p);
            }
        }
        self.added_points = block(grid.dim(), &places);
        let kept = (0..self.edges.len()).filter(|&k| !known[self.edges[k].node]).collect::<Vec<_>>();
        self.edge_points = select(&self.edge_points, &kept);
        self.edges.retain(|e| !known[e.node]);
    }

    /// The values of the added nodes at time t, by `data` in the sign of the user.
    pub fn update_added(&mut self, t: f64, sense: Sense, data: impl Fn(Points<'_>, &mut [f64])) -> Result<(), HjbError> {
        let values = evaluate("boundary", &self.added_points, t, data)?;
        let first = self.data_points.len();
        self.nodes[first..].iter_mut().zip(values).for_each(|((_, g), v)| *g = sense.oriented(v));
        Ok(())
    }

    /// The data of the set at time t.
    pub fn update(&mut self, set: &dyn TargetSet, t: f64, sense: Sense) -> Result<(), HjbError> {
        let at = |x: &PointBlock| evaluate("target.value", x, t, |p, out| set.value_at(t, p, out));
        self.set_values(at(&self.data_points)?, at(&self.edge_points)?, sense);
        Ok(())
    }

    fn set_values(&mut self, nodes: Vec<f64>, edges: Vec<f64>, sense: Sense) {
        self.nodes.iter_mut().zip(nodes).for_each(|((_, g), v)| *g = sense.oriented(v));
        self.edges.iter_mut().zip(edges).for_each(|(e, v)| e.value = sense.oriented(v));
    }

    /// Nodes of the set.
    pub fn nodes(&self) -> impl Iterator<Item = usize> + '_ {
        self.nodes.iter().map(|&(j, _)| j)
    }

    /// Nodes whose value is prescribed, with that value.
    pub fn values(&self) -> &[(usize, f64)] {
        &self.nodes
    }

    /// Largest absolute value prescribed anywhere.
    pub fn sup(&self) -> f64 {
        let edges = self.edges.iter().map(|e| e.value.abs());
        self.nodes.iter().map(|(_, g)| g.abs()).chain(edges).fold(0.0, f64::max)
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

    /// Split what the set adds to an operator assembled without it: `exit[j]` += the rate at which node j reaches the
    /// boundary through its cut edges, times g there; these rates and the rows of the set become empty.
    pub fn open_operator(&self, operator: &mut Operator, exit: &mut [f64]) {
        for e in &self.edges {
            let rate = &mut operator.generator.diagonal_mut(2 * e.axis + 1 + usize::from(e.upper))[e.node];
            exit[e.node] += *rate * e.value;
            *rate = 0.0;
        }
        for s in 0..operator.generator.flat_shifts().len() {
            let diagonal = operator.generator.diagonal_mut(s);
            self.nodes.iter().for_each(|&(j, _)| diagonal[j] = 0.0);
        }
    }

    /// The residual g - V of the rows of the set.
    pub fn close_maximum(&self, value: &[f64], maximum: &mut [f64]) {
        self.nodes.iter().for_each(|&(j, g)| maximum[j] = g - value[j]);
    }
}

/// A cut edge, its distance as a fraction of the spacing, and where it crosses the boundary.
struct Cut {
    cut: CutEdge,
    fraction: f64,
    place: Vec<f64>,
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
        check("target.level", &level, 0.0, &at)?;
        for k in 0..found.len() {
            *(if level[k] > 0.0 { &mut low[k] } else { &mut high[k] }) = 0.5 * (low[k] + high[k]);
        }
    }
    (0..found.len()).for_each(|k| place(&mut at, k, high[k]));
    let mut cuts = Vec::with_capacity(found.len());
    for (k, &(node, axis, upper, spacing)) in found.iter().enumerate() {
        let cut = CutEdge { node, axis, upper, distance: high[k] * spacing, value: 0.0 };
        cuts.push(Cut { cut, fraction: high[k], place: point(&at, k) });
    }
    Ok(cuts)
}

/// Point number `j`.
fn point(points: &PointBlock, j: usize) -> Vec<f64> {
    (0..points.dim()).map(|i| points.coord(i)[j]).collect()
}

/// A block of these points.
fn block(dim: usize, places: &[Vec<f64>]) -> PointBlock {
    let mut block = PointBlock::zeros(dim, places.len());
    for (k, p) in places.iter().enumerate() {
        block.as_mut().set_point(k, p);
    }
    block
}

/// The points with these indices.
fn select(points: &PointBlock, indices: &[usize]) -> PointBlock {
    let places: Vec<_> = indices.iter().map(|&j| point(points, j)).collect();
    block(points.dim(), &places)
}

/// Data at these points, checked.
fn evaluate(
    name: &'static str,
    points: &PointBlock,
    t: f64,
    data: impl Fn(Points<'_>, &mut [f64]),
) -> Result<Vec<f64>, HjbError> {
    let mut values = vec![0.0; points.len()];
    if !values.is_empty() {
        data(points.as_points(), &mut values);
    }
    check(name, &values, t, points)?;
    Ok(values)
}

fn check(coefficient: &'static str, values: &[f64], t: f64, points: &PointBlock) -> Result<(), HjbError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(k) => Err(HjbError::NonFinite { coefficient, value: values[k], t, point: point(points, k) }),
    }
}
