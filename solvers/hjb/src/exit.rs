//! Target sets of exit and hitting problems: V = g on the set { phi <= 0 }, whose boundary is placed inside the cells.
//!
//! A node outside the set whose neighbour lies inside sees, in place of that neighbour, the point where phi vanishes between
//! them, at its true distance theta dx (Shortley-Weller): the three-point formulas for unequal spacings then take g at that
//! point. The truncation error is O(dx) at such nodes, yet the solution keeps order 2, because they are next to where the
//! error vanishes; all rates stay non-negative. Where the noise of two axes is correlated the diagonals of the cells are cut
//! in the same way (`space/cross.rs`): order 2 and non-negative rates too, with data at the boundary alone. With
//! [`Placement::Staircase`] the inner node itself carries g: order 1.
//! A part of the set that fits between two neighbouring nodes is not seen. With a finite horizon the data may depend on
//! time; the set itself does not (a barrier that moves is a fixed one in coordinates that move with it). Nodes of Dirichlet
//! faces are target nodes too.
//! Reference: G. H. Shortley, R. Weller, J. Appl. Phys. 9 (1938) 334-348; N. Matsunaga, T. Yamamoto, Superconvergence of
//! the Shortley-Weller approximation for Dirichlet problems, J. Comput. Appl. Math. 116 (2000) 263-273.

use crate::crossings::{crossings, rays};
use crate::error::HjbError;
use crate::geometry::{Geometry, PERIODIC_TOLERANCE, not_periodic};
use crate::hamiltonian::Operator;
use crate::sense::Sense;
use crate::space::cross::CrossRates;
use hjbridge_model::{PointBlock, Points};
use serde::Serialize;
use std::collections::HashMap;

/// A node closer to the boundary than this fraction of the spacing is put on it.
const SNAP: f64 = 1e-9;

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
    /// Where phi vanishes between two nodes, with correlated noise on the diagonals of the cells too: order 2.
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

/// A diagonal of a cell from a node outside the set that crosses its boundary, in a plane of correlated axes.
pub(crate) struct CutCorner {
    pub node: usize,
    pub axes: (usize, usize),
    /// The side of the corner on the two axes.
    pub upper: (bool, bool),
    /// Part of the diagonal outside the set.
    pub fraction: f64,
    pub value: f64,
    /// Number of the kind of corner among the cross rates, and the distance to the corner in flat index; both are known
    /// once the rows belong to a Hamiltonian that has the correlation.
    pub kind: Option<usize>,
    pub flat: isize,
}

/// The rows of the discrete equation that a target set changes.
pub(crate) struct TargetRows {
    /// Nodes of the set (the first `data_points.len()`) and added ones, with g there.
    nodes: Vec<(usize, f64)>,
    pub edges: Vec<CutEdge>,
    pub corners: Vec<CutCorner>,
    /// Where the data of the nodes of the set, of the added nodes, of the edges and of the corners are evaluated.
    data_points: PointBlock,
    added_points: PointBlock,
    edge_points: PointBlock,
    corner_points: PointBlock,
    /// Pairs that are the same at the two ends of a periodic axis, by their places in `nodes`, `edges` and `corners`.
    twins: [Vec<(usize, usize)>; 3],
}

impl TargetRows {
    /// No target yet.
    pub fn empty(dim: usize) -> Self {
        let none = || PointBlock::zeros(dim, 0);
        TargetRows {
            nodes: Vec::new(),
            edges: Vec::new(),
            corners: Vec::new(),
            data_points: none(),
            added_points: none(),
            edge_points: none(),
            corner_points: none(),
            twins: Default::default(),
        }
    }

    /// Nodes, cut edges and, in the planes of the `correlated` axes, cut corners of `set` on a grid, with the data of a
    /// stationary problem.
    ///
    /// # Errors
    /// phi or g not finite where it is needed, or not periodic with the axes that are; a set without a node.
    pub fn new(
        set: &dyn TargetSet,
        geometry: &Geometry,
        placement: Placement,
        sense: Sense,
        correlated: &[(usize, usize)],
    ) -> Result<Self, HjbError> {
        let mut rows = TargetRows::place(set, geometry, placement, correlated)?;
        let at = |x: &PointBlock| evaluate("target.value", x, 0.0, |p, out| set.value(p, out));
        rows.set_values(at(&rows.data_points)?, at(&rows.edge_points)?, at(&rows.corner_points)?, 0.0, sense)?;
        Ok(rows)
    }

    /// The same with the data still zero.
    pub fn place(
        set: &dyn TargetSet,
        geometry: &Geometry,
        placement: Placement,
        correlated: &[(usize, usize)],
    ) -> Result<Self, HjbError> {
        let grid = geometry.grid.as_ref();
        let points = grid.points();
        let n = grid.len();
        let mut phi = vec![0.0; n];
        set.level(points.as_points(), &mut phi);
        check("target.level", &phi, 0.0, &points)?;
        geometry.close_periodic("target.level", &mut phi, 0.0)?;
        let mut nodes: Vec<usize> = (0..n).filter(|&j| phi[j] <= 0.0).collect();
        if nodes.is_empty() {
            let allowed = "a set { level <= 0 } that contains a node of the grid: level is positive at all of them (a set smaller than \
                           a cell needs a finer grid)";
            return Err(HjbError::invalid("target", "no node inside", allowed));
        }
        if nodes.len() == n {
            let allowed = "a set { level <= 0 } that leaves some node of the grid outside: level is not positive at any of them (is \
                           its sign right?), so nothing is left to solve";
            return Err(HjbError::invalid("target", "the whole grid", allowed));
        }
        let mut places: Vec<Vec<f64>> = nodes.iter().map(|&j| point(&points, j)).collect();
        let mut edges: Vec<(CutEdge, Vec<f64>)> = Vec::new();
        let mut corners: Vec<(CutCorner, Vec<f64>)> = Vec::new();
        if placement == Placement::SubCell {
            let mut snapped = vec![false; n];
            let rays = rays(set, grid, &points, &phi, correlated)?;
            for (ray, (fraction, place)) in rays.iter().zip(crossings(set, &points, &rays)?) {
                let node = ray.node;
                if fraction <= SNAP {
                    if !snapped[node] {
                        snapped[node] = true;
                        nodes.push(node);
                        places.push(place);
                    }
                    continue;
                }
                let value = 0.0;
                let [(axis, step), (other, across)] = ray.steps;
                if other == axis {
                    edges.push((CutEdge { node, axis, upper: step > 0.0, distance: fraction * step.abs(), value }, place));
                } else {
                    let (axes, upper) = ((axis, other), (step > 0.0, across > 0.0));
                    corners.push((CutCorner { node, axes, upper, fraction, value, kind: None, flat: 0 }, place));
                }
            }
            edges.retain(|(e, _)| !snapped[e.node]);
            if let Some((e, place)) = edges.iter().find(|(e, _)| meets_end(geometry, e.node, e.axis, e.upper)) {
                return Err(cut_at_end(e.axis, place));
            }
            corners.retain(|(c, _)| !snapped[c.node]);
        }
        let (edges, edge_places): (Vec<_>, Vec<_>) = edges.into_iter().unzip();
        let (corners, corner_places): (Vec<_>, Vec<_>) = corners.into_iter().unzip();
        let mut rows = TargetRows {
            nodes: nodes.into_iter().map(|j| (j, 0.0)).collect(),
            edges,
            corners,
            data_points: block(grid.dim(), &places),
            edge_points: block(grid.dim(), &edge_places),
            corner_points: block(grid.dim(), &corner_places),
            ..TargetRows::empty(grid.dim())
        };
        rows.find_twins(geometry);
        Ok(rows)
    }

    /// Pair what is the same at the two ends of periodic axes.
    fn find_twins(&mut self, geometry: &Geometry) {
        self.twins = Default::default();
        if !geometry.has_periodic_axis() {
            return;
        }
        let nodes: Vec<_> = self.nodes.iter().map(|&(j, _)| (j, [0; 2], [false; 2])).collect();
        let edges: Vec<_> = self.edges.iter().map(|e| (e.node, [e.axis; 2], [e.upper; 2])).collect();
        let corners: Vec<_> = self.corners.iter().map(|c| (c.node, c.axes.into(), c.upper.into())).collect();
        for (twins, all) in self.twins.iter_mut().zip([nodes, edges, corners]) {
            let places: HashMap<_, _> = all.iter().enumerate().map(|(place, key)| (*key, place)).collect();
            for (place, &(node, axes, upper)) in all.iter().enumerate() {
                let others = geometry.twins(node).filter_map(|twin| places.get(&(twin, axes, upper)));
                twins.extend(others.map(|&other| (place, other)));
            }
        }
    }

    /// Let the diagonals of these cross rates end at the boundary of the set.
    ///
    /// # Errors
    /// A diagonal cut in a cell next to an end of a periodic axis.
    pub fn cut_diagonals(&mut self, geometry: &Geometry, cross: &mut CrossRates) -> Result<(), HjbError> {
        cross.cut(&mut self.corners);
        for (k, c) in self.corners.iter().enumerate().filter(|(_, c)| c.kind.is_some()) {
            for (axis, upper) in [(c.axes.0, c.upper.0), (c.axes.1, c.upper.1)] {
                if meets_end(geometry, c.node, axis, upper) {
                    return Err(cut_at_end(axis, &point(&self.corner_points, k)));
                }
            }
        }
        Ok(())
    }

    /// Add nodes whose value is prescribed (those of Dirichlet faces), with the data zero until
    /// [`TargetRows::update_added`]; nodes of the set keep its data.
    pub fn add_nodes(&mut self, geometry: &Geometry, added: &[usize]) {
        let grid = geometry.grid.as_ref();
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
        let kept = (0..self.corners.len()).filter(|&k| !known[self.corners[k].node]).collect::<Vec<_>>();
        self.corner_points = select(&self.corner_points, &kept);
        self.corners.retain(|c| !known[c.node]);
        self.find_twins(geometry);
    }

    /// The values of the added nodes at time t, by `data` in the sign of the user.
    pub fn update_added(&mut self, t: f64, sense: Sense, data: impl Fn(Points<'_>, &mut [f64])) -> Result<(), HjbError> {
        let mut values = evaluate("boundary", &self.added_points, t, data)?;
        let first = self.data_points.len();
        match_twins("boundary", &self.twins[0], first, &mut values, t, &self.added_points)?;
        self.nodes[first..].iter_mut().zip(values).for_each(|((_, g), v)| *g = sense.oriented(v));
        Ok(())
    }

    /// The data of the set at time t.
    pub fn update(&mut self, set: &dyn TargetSet, t: f64, sense: Sense) -> Result<(), HjbError> {
        let at = |x: &PointBlock| evaluate("target.value", x, t, |p, out| set.value_at(t, p, out));
        self.set_values(at(&self.data_points)?, at(&self.edge_points)?, at(&self.corner_points)?, t, sense)
    }

    fn set_values(
        &mut self,
        mut nodes: Vec<f64>,
        mut edges: Vec<f64>,
        mut corners: Vec<f64>,
        t: f64,
        sense: Sense,
    ) -> Result<(), HjbError> {
        let points = [&self.data_points, &self.edge_points, &self.corner_points];
        for ((values, twins), points) in [&mut nodes, &mut edges, &mut corners].into_iter().zip(&self.twins).zip(points) {
            match_twins("target.value", twins, 0, values, t, points)?;
        }
        self.nodes.iter_mut().zip(nodes).for_each(|((_, g), v)| *g = sense.oriented(v));
        self.edges.iter_mut().zip(edges).for_each(|(e, v)| e.value = sense.oriented(v));
        self.corners.iter_mut().zip(corners).for_each(|(c, v)| c.value = sense.oriented(v));
        Ok(())
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
        let cut = self.edges.iter().map(|e| e.value.abs()).chain(self.corners.iter().map(|c| c.value.abs()));
        self.nodes.iter().map(|(_, g)| g.abs()).chain(cut).fold(0.0, f64::max)
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

    /// Correct what cross rates make of the values at the corners: those on the boundary in place of those across it.
    pub fn cut_corners(&self, rate: impl Fn(usize, usize) -> f64, value: &[f64], out: &mut [f64]) {
        for (c, kind) in self.corners.iter().filter_map(|c| c.kind.map(|kind| (c, kind))) {
            out[c.node] += rate(kind, c.node) * (c.value - value[c.node.wrapping_add_signed(c.flat)]);
        }
    }

    /// The rates across the boundary: number of the shift in generators on a grid of dimension `dim`, node, g.
    pub fn cut_rates(&self, dim: usize) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let edges = self.edges.iter().map(|e| (2 * e.axis + 1 + usize::from(e.upper), e.node, e.value));
        let corners = self.corners.iter().filter_map(move |c| c.kind.map(|kind| (2 * dim + 1 + kind, c.node, c.value)));
        edges.chain(corners)
    }

    /// Move the boundary data of the cut edges and corners to the right side; the rows of the set become g - V.
    pub fn close_operator(&self, operator: &mut Operator) {
        let dim = operator.generator.shape().len();
        for (shift, node, g) in self.cut_rates(dim) {
            let rate = &mut operator.generator.diagonal_mut(shift)[node];
            operator.running[node] += *rate * g;
            *rate = 0.0;
        }
        for s in 0..operator.generator.flat_shifts().len() {
            let diagonal = operator.generator.diagonal_mut(s);
            self.nodes.iter().for_each(|&(j, _)| diagonal[j] = if s == 0 { -1.0 } else { 0.0 });
        }
        self.nodes.iter().for_each(|&(j, g)| operator.running[j] = g);
    }

    /// Split what the set adds to an operator assembled without it: `exit[j]` += the rate at which node j reaches the
    /// boundary through its cut edges and corners, times g there; these rates and the rows of the set become empty.
    pub fn open_operator(&self, operator: &mut Operator, exit: &mut [f64]) {
        let dim = operator.generator.shape().len();
        for (shift, node, g) in self.cut_rates(dim) {
            let rate = &mut operator.generator.diagonal_mut(shift)[node];
            exit[node] += *rate * g;
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

/// Whether the neighbour of a node on one side of a periodic axis, or the node itself, is an end of it. The rows there take
/// in the cells at both ends, of which each node sees one.
fn meets_end(geometry: &Geometry, node: usize, axis: usize, upper: bool) -> bool {
    let a = &geometry.axes[axis];
    let cell = if upper { a.index(node) } else { a.index(node).wrapping_sub(1) };
    a.is_periodic() && (cell == 0 || cell + 2 == a.count)
}

/// The error for a boundary in such a cell.
fn cut_at_end(axis: usize, place: &[f64]) -> HjbError {
    HjbError::Unsupported {
        what: format!("the boundary of a target set in a cell next to an end of the periodic axis {axis}"),
        t: 0.0,
        point: place.to_vec(),
        allowed: "a boundary in the other cells of that axis: let the axis begin elsewhere, or use Placement::Staircase",
    }
}

/// Make the values of twins (their places less `first`) the same.
///
/// # Errors
/// Twins with different values.
fn match_twins(
    name: &str,
    twins: &[(usize, usize)],
    first: usize,
    values: &mut [f64],
    t: f64,
    points: &PointBlock,
) -> Result<(), HjbError> {
    let size = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let here = first..first + values.len();
    for &(a, b) in twins.iter().filter(|(a, b)| here.contains(a) && here.contains(b)) {
        let (a, b) = (a - first, b - first);
        if (values[a] - values[b]).abs() > PERIODIC_TOLERANCE * size {
            return Err(not_periodic(name, values[a], values[b], t, point(points, a)));
        }
        values[b] = values[a];
    }
    Ok(())
}

/// Point number `j`.
pub(crate) fn point(points: &PointBlock, j: usize) -> Vec<f64> {
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
pub(crate) fn select(points: &PointBlock, indices: &[usize]) -> PointBlock {
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

pub(crate) fn check(coefficient: &'static str, values: &[f64], t: f64, points: &PointBlock) -> Result<(), HjbError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(k) => Err(HjbError::NonFinite { coefficient, value: values[k], t, point: point(points, k) }),
    }
}
