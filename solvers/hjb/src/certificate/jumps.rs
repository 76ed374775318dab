//! Jumps of the control between neighbouring nodes.
//!
//! Where an optimal control switches between two values, its sup error is the jump on every grid, and solutions on nested
//! grids may even agree at all their common nodes. What a grid says about a switch is the pair of neighbouring nodes between
//! which it lies: half a cell of uncertainty, which is an error of the control in the mean (L1) and of first order.

use crate::error::HjbError;
use crate::solution::ValueFunction;
use hjbridge_model::ControlSet;
use hjbridge_model::grid::{Region, TensorGrid};

/// A change between neighbouring nodes by this part of the width of a box is a jump, as far as the grid can tell.
const JUMP: f64 = 0.5;

/// The jumps of one control.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jumps {
    /// The largest one; 0 without jumps.
    pub largest: f64,
    /// Half a cell times the jump, summed over the region and divided by its volume, mean over time.
    pub mean: f64,
    /// A node next to the largest one.
    pub point: Vec<f64>,
    /// When.
    pub time: f64,
    /// `largest` at t = 0.
    pub start_largest: f64,
    /// `mean` at t = 0.
    pub start_mean: f64,
}

/// Widest extent of the control set over the components: the largest error that a control in the set can have. Infinite
/// without bounds.
pub(crate) fn diameter(set: &ControlSet) -> f64 {
    extents(set).into_iter().fold(0.0, f64::max)
}

fn extents(set: &ControlSet) -> Vec<f64> {
    match set {
        ControlSet::Free => vec![f64::INFINITY],
        ControlSet::Box { lower, upper } => lower.iter().zip(upper).map(|(lo, up)| up - lo).collect(),
        ControlSet::Finite { controls } => {
            let m = controls.first().map_or(0, Vec::len);
            let range = |k: usize| {
                let column = controls.iter().map(|v| v[k]);
                column.clone().fold(f64::NEG_INFINITY, f64::max) - column.fold(f64::INFINITY, f64::min)
            };
            (0..m).map(range).collect()
        }
    }
}

/// The jumps in `region` at the stored times before `end`: for a finite set every change between neighbouring nodes, for a
/// box one of half its width or more. O(d m n) per time.
///
/// # Errors
/// A region of another dimension or without nodes.
pub(crate) fn jumps(v: &ValueFunction, set: &ControlSet, region: &Region, end: f64) -> Result<Jumps, HjbError> {
    let (grid, m) = (v.grid(), v.control_dim());
    let mut found = Jumps::default();
    let least: Vec<f64> = match set {
        ControlSet::Free => return Ok(found),
        ControlSet::Box { .. } => extents(set).into_iter().map(|width| JUMP * width).collect(),
        ControlSet::Finite { .. } => vec![0.0; m],
    };
    let ranges = grid.region_ranges(region)?;
    let nodes: Vec<usize> = grid.region_nodes(Some(region))?.collect();
    let weights = weights(grid, region)?;
    let shares = time_weights(v.times().iter().copied().filter(|t| *t < end), end);
    let mut index = vec![0; grid.dim()];
    for ((q, &t), share) in v.times().iter().enumerate().filter(|(_, t)| **t < end).zip(shares) {
        let (mut largest, mut mean) = (0.0f64, 0.0);
        for (&j, w) in nodes.iter().zip(&weights) {
            grid.multi_index(j, &mut index);
            for (a, _) in ranges.iter().enumerate().filter(|(a, range)| index[*a] + 1 < range.end) {
                for (k, &least) in least.iter().enumerate() {
                    let u = &v.control(q)[k * grid.len()..][..grid.len()];
                    let step = (u[j + grid.strides()[a]] - u[j]).abs();
                    if step > 0.0 && step >= least {
                        mean += 0.5 * w * step;
                        if step > found.largest {
                            found.point = vec![0.0; grid.dim()];
                            grid.node(j, &mut found.point);
                            (found.largest, found.time) = (step, t);
                        }
                        largest = largest.max(step);
                    }
                }
            }
        }
        if q == 0 && t == 0.0 {
            (found.start_largest, found.start_mean) = (largest, mean / m.max(1) as f64);
        }
        found.mean += share * mean / m.max(1) as f64;
    }
    Ok(found)
}

/// The parts of the time from the first of these times (ascending) to `end` that are nearest to each; they add up to 1.
/// Equal ones without an end.
pub(crate) fn time_weights(times: impl Iterator<Item = f64>, end: f64) -> Vec<f64> {
    let times: Vec<f64> = times.collect();
    let (Some(&first), count) = (times.first(), times.len()) else { return Vec::new() };
    if !(end.is_finite() && end > first) {
        return vec![1.0 / count as f64; count];
    }
    let middle = |k: usize| if k == count { end } else { 0.5 * (times[k - 1] + times[k]) };
    let from = |k: usize| if k == 0 { first } else { middle(k) };
    (0..count).map(|k| (middle(k + 1) - from(k)) / (end - first)).collect()
}

/// The parts of the region's volume that belong to its nodes, in the order of its nodes; they add up to 1.
pub(crate) fn weights(grid: &TensorGrid, region: &Region) -> Result<Vec<f64>, HjbError> {
    let mut weights = vec![1.0];
    for (axis, range) in grid.axes().iter().zip(grid.region_ranges(region)?) {
        let x = &axis.nodes()[range];
        let last = x.len() - 1;
        let width = |k: usize| 0.5 * (x[(k + 1).min(last)] - x[k.saturating_sub(1)]);
        let line: Vec<f64> = if last == 0 { vec![1.0] } else { (0..=last).map(|k| width(k) / (x[last] - x[0])).collect() };
        weights = weights.iter().flat_map(|w| line.iter().map(move |l| w * l)).collect();
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::grid::Axis;
    use std::sync::Arc;

    fn solution(control: impl Fn(f64) -> f64) -> ValueFunction {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-1.0, 1.0, 41).unwrap()]).unwrap());
        let v: Vec<f64> = grid.axis(0).nodes().iter().map(|x| control(*x)).collect();
        ValueFunction::new(grid, 1, vec![0.0, 0.5, 1.0], vec![vec![0.0; 41]; 3], vec![v; 3]).unwrap()
    }

    #[test]
    fn a_switch_is_found_with_its_place_and_its_mean_is_half_a_cell() {
        let region = Region::cube(1, 0.5).unwrap();
        let bounds = ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] };
        let list = ControlSet::Finite { controls: vec![vec![-1.0], vec![0.0], vec![1.0]] };
        let switch = solution(|x| if x < 0.12 { 1.0 } else { -1.0 });
        for set in [&bounds, &list] {
            let found = jumps(&switch, set, &region, 1.0).unwrap();
            // A jump of 2 over half a cell of 0.05 in a region of length 1.
            assert!(found.largest == 2.0 && (found.mean - 0.05).abs() < 1e-14 && found.start_mean == found.mean, "{found:?}");
            assert!((found.point[0] - 0.1).abs() < 1e-14 && diameter(set) == 2.0);
        }
        // Outside the region, or a slope that the grid resolves, or no bounds: none.
        let outside = solution(|x| if x < 0.62 { 1.0 } else { -1.0 });
        assert_eq!(jumps(&outside, &bounds, &region, 1.0).unwrap().largest, 0.0);
        assert_eq!(jumps(&solution(|x| (-5.0 * x).clamp(-1.0, 1.0)), &bounds, &region, 1.0).unwrap().largest, 0.0);
        assert_eq!(jumps(&switch, &ControlSet::Free, &region, 1.0).unwrap().largest, 0.0);
        assert_eq!(diameter(&ControlSet::Free), f64::INFINITY);
    }

    #[test]
    fn times_count_by_the_part_of_the_horizon_that_they_stand_for() {
        let parts = |times: &[f64], end: f64| time_weights(times.iter().copied(), end);
        assert_eq!(parts(&[0.0, 0.5, 0.75, 0.875], 1.0), [0.25, 0.375, 0.1875, 0.1875]);
        assert_eq!(parts(&[0.0], 2.0), [1.0]);
        assert_eq!(parts(&[0.0], f64::INFINITY), [1.0]);
        assert!(parts(&[], 1.0).is_empty());
    }

    #[test]
    fn weights_are_those_of_the_trapezoidal_rule() {
        let axis = Axis::stretched(-1.0, 2.0, 21, 0.3, 4.0).unwrap();
        let grid = TensorGrid::new(vec![axis, Axis::uniform(0.0, 1.0, 11).unwrap()]).unwrap();
        let region = Region::new(vec![-1.0, 0.2], vec![2.0, 0.4]).unwrap();
        let w = weights(&grid, &region).unwrap();
        let mut p = [0.0; 2];
        let mean: f64 = grid.region_nodes(Some(&region)).unwrap().zip(&w).fold(0.0, |s, (j, w)| {
            grid.node(j, &mut p);
            s + w * (p[0] + 10.0 * p[1])
        });
        // Exact for linear functions: 1/2 + 10 * 0.3.
        assert!((mean - 3.5).abs() < 1e-12 && (w.iter().sum::<f64>() - 1.0).abs() < 1e-13, "{mean}");
    }
}
