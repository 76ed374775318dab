//! Where the boundary of a target set crosses the edges of the grid and the diagonals of its cells, by bisection.

use crate::error::HjbError;
use crate::exit::{TargetSet, check, point, select};
use hjbridge_model::PointBlock;
use hjbridge_model::grid::TensorGrid;

/// Halvings of an edge: to rounding of its length.
const HALVINGS: usize = 52;

/// A segment from a node outside the set along an edge (both entries of `steps` are that axis, the second of length zero)
/// or a diagonal of a cell, whose part `end` of the way is inside the set.
pub(crate) struct Ray {
    pub node: usize,
    /// Axes and signed lengths.
    pub steps: [(usize, f64); 2],
    end: f64,
}

/// All edges, and diagonals in the planes of the correlated axes, from a node with phi > 0 to one with phi <= 0. A diagonal
/// whose corner is outside is looked at halfway if both edges beside it are cut.
pub(crate) fn rays(
    set: &dyn TargetSet,
    grid: &TensorGrid,
    points: &PointBlock,
    phi: &[f64],
    correlated: &[(usize, usize)],
) -> Result<Vec<Ray>, HjbError> {
    let outside = || phi.iter().enumerate().filter(|(_, p)| **p > 0.0).map(|(j, _)| j);
    // The neighbours of a node on an axis, with the signed distances.
    let sides = |j: usize, axis: usize| {
        let (stride, nodes) = (grid.strides()[axis], grid.axis(axis).nodes());
        let k = (j / stride) % nodes.len();
        let lower = (k > 0).then(|| (-(stride as isize), nodes[k - 1] - nodes[k]));
        let upper = (k + 1 < nodes.len()).then(|| (stride as isize, nodes[k + 1] - nodes[k]));
        [lower, upper].into_iter().flatten()
    };
    let inside = |j: usize, shift: isize| phi[j.wrapping_add_signed(shift)] <= 0.0;
    let mut found = Vec::new();
    for axis in 0..grid.dim() {
        for j in outside() {
            let cut = sides(j, axis).filter(|&(shift, _)| inside(j, shift));
            found.extend(cut.map(|(_, step)| Ray { node: j, steps: [(axis, step), (axis, 0.0)], end: 1.0 }));
        }
    }
    let mut doubtful = Vec::new();
    for &(a, b) in correlated {
        for j in outside() {
            for (shift_a, step_a) in sides(j, a) {
                for (shift_b, step_b) in sides(j, b) {
                    let ray = |end: f64| Ray { node: j, steps: [(a, step_a), (b, step_b)], end };
                    if inside(j, shift_a + shift_b) {
                        found.push(ray(1.0));
                    } else if inside(j, shift_a) && inside(j, shift_b) {
                        doubtful.push(ray(0.5));
                    }
                }
            }
        }
    }
    if !doubtful.is_empty() {
        let mut halfway = select(points, &doubtful.iter().map(|r| r.node).collect::<Vec<_>>());
        for (k, ray) in doubtful.iter().enumerate() {
            ray.steps.iter().for_each(|&(axis, step)| halfway.as_mut().coord_mut(axis)[k] += ray.end * step);
        }
        let mut level = vec![0.0; doubtful.len()];
        set.level(halfway.as_points(), &mut level);
        check("target.level", &level, 0.0, &halfway)?;
        found.extend(doubtful.into_iter().zip(level).filter(|(_, l)| *l <= 0.0).map(|(ray, _)| ray));
    }
    Ok(found)
}

/// Where the rays cross the boundary, as parts of their lengths and as points, by bisection of all of them at once.
pub(crate) fn crossings(set: &dyn TargetSet, points: &PointBlock, rays: &[Ray]) -> Result<Vec<(f64, Vec<f64>)>, HjbError> {
    if rays.is_empty() {
        return Ok(Vec::new());
    }
    let start = select(points, &rays.iter().map(|r| r.node).collect::<Vec<_>>());
    let mut at = start.clone();
    let place = |at: &mut PointBlock, k: usize, fraction: f64| {
        for (axis, step) in rays[k].steps.into_iter().filter(|(_, step)| *step != 0.0) {
            at.as_mut().coord_mut(axis)[k] = start.coord(axis)[k] + fraction * step;
        }
    };
    let mut level = vec![0.0; rays.len()];
    let (mut low, mut high) = (vec![0.0; rays.len()], rays.iter().map(|r| r.end).collect::<Vec<f64>>());
    for _ in 0..HALVINGS {
        (0..rays.len()).for_each(|k| place(&mut at, k, 0.5 * (low[k] + high[k])));
        set.level(at.as_points(), &mut level);
        check("target.level", &level, 0.0, &at)?;
        for k in 0..rays.len() {
            *(if level[k] > 0.0 { &mut low[k] } else { &mut high[k] }) = 0.5 * (low[k] + high[k]);
        }
    }
    (0..rays.len()).for_each(|k| place(&mut at, k, high[k]));
    Ok((0..rays.len()).map(|k| (high[k], point(&at, k))).collect())
}
