//! The control on nodes whose value is prescribed (a target set, Dirichlet faces), where the equation says nothing of it.
//!
//! It is continued from the free nodes: next to them linearly along the axes (the one-sided gradient, order 2 on a Dirichlet
//! face), further inside a set as a constant, in bounds always; in a finite set it is that of the nearest free node. So
//! interpolation between the last free node and the boundary is that of a smooth function. Inside a target it has no other
//! meaning: the process has ended there. Zero where no free node is connected to it.

use crate::controls::Controls;
use hjbridge_model::grid::TensorGrid;

/// A node and the nodes, with weights, that its control follows from; these come earlier or are free.
struct Source {
    node: usize,
    from: Vec<(usize, f64)>,
}

/// How the control continues; made once for a set of prescribed nodes.
pub(crate) struct ControlContinuation {
    sources: Vec<Source>,
    /// Prescribed nodes without a free one anywhere.
    lost: Vec<usize>,
    bounds: Vec<(f64, f64)>,
}

impl ControlContinuation {
    /// For these prescribed nodes. O(d n).
    pub fn new(grid: &TensorGrid, prescribed: impl Iterator<Item = usize>, controls: &Controls) -> Self {
        let mut waiting: Vec<usize> = prescribed.collect();
        let mut known = vec![true; grid.len()];
        waiting.iter().for_each(|&j| known[j] = false);
        let average = controls.finite.is_none();
        let (mut sources, mut first) = (Vec::new(), true);
        while !waiting.is_empty() {
            let (mut reached, mut left) = (Vec::new(), Vec::new());
            for &node in &waiting {
                let from = neighbours(grid, node, &known, first && average);
                match from.is_empty() {
                    true => left.push(node),
                    false => reached.push(Source { node, from: if average { mean(&from) } else { from[0].clone() } }),
                }
            }
            if reached.is_empty() {
                break;
            }
            reached.iter().for_each(|s| known[s.node] = true);
            sources.append(&mut reached);
            waiting = left;
            first = false;
        }
        ControlContinuation { sources, lost: waiting, bounds: controls.bounds.clone() }
    }

    /// Continue `control`, m x n, component by component.
    pub fn apply(&self, control: &mut [f64], n: usize) {
        for (component, (low, up)) in control.chunks_exact_mut(n).zip(&self.bounds) {
            for s in &self.sources {
                let v: f64 = s.from.iter().map(|&(k, w)| w * component[k]).sum();
                component[s.node] = v.max(*low).min(*up);
            }
            self.lost.iter().for_each(|&j| component[j] = 0.0f64.max(*low).min(*up));
        }
    }
}

/// Continuations of `node` from its known neighbours, one for each; linear ones take two nodes.
fn neighbours(grid: &TensorGrid, node: usize, known: &[bool], linear: bool) -> Vec<Vec<(usize, f64)>> {
    let mut found = Vec::new();
    for axis in 0..grid.dim() {
        let (stride, x) = (grid.strides()[axis] as isize, grid.axis(axis).nodes());
        let k = (node / grid.strides()[axis]) % x.len();
        for side in [-1isize, 1] {
            let place = |steps: isize| k.checked_add_signed(side * steps).filter(|k| *k < x.len());
            let at = |steps: isize| node.wrapping_add_signed(side * steps * stride);
            let Some(near) = place(1).filter(|_| known[at(1)]) else { continue };
            match place(2).filter(|_| linear && known[at(2)]) {
                Some(far) => {
                    let w = (x[k] - x[near]) / (x[near] - x[far]);
                    found.push(vec![(at(1), 1.0 + w), (at(2), -w)]);
                }
                None => found.push(vec![(at(1), 1.0)]),
            }
        }
    }
    found
}

fn mean(from: &[Vec<(usize, f64)>]) -> Vec<(usize, f64)> {
    let share = 1.0 / from.len() as f64;
    from.iter().flatten().map(|&(k, w)| (k, share * w)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::ControlCost;
    use hjbridge_model::grid::Axis;

    #[test]
    fn linear_controls_continue_exactly_on_faces_and_stay_in_bounds() {
        let grid = TensorGrid::new(vec![Axis::stretched(-1.0, 2.0, 9, 0.3, 3.0).unwrap(), Axis::uniform(0.0, 1.0, 7).unwrap()]);
        let grid = grid.unwrap();
        let (n, points) = (grid.len(), grid.points());
        let exact: Vec<f64> = (0..n).map(|j| 1.0 + points.coord(0)[j] - 2.0 * points.coord(1)[j]).collect();
        let face: Vec<usize> = (0..n).filter(|j| j / 7 == 0 || j % 7 == 6).collect();
        let mut v = exact.clone();
        face.iter().for_each(|&j| v[j] = 0.0);
        let free = |bounds| Controls { bounds: vec![bounds], finite: None, cost: ControlCost::Quadratic };
        let all = free((f64::NEG_INFINITY, f64::INFINITY));
        ControlContinuation::new(&grid, face.iter().copied(), &all).apply(&mut v, n);
        // The corner of two faces has no free neighbour and takes the mean of what its neighbours got.
        assert!((0..n).filter(|&j| j != 6).all(|j| (v[j] - exact[j]).abs() < 1e-13), "{v:?}");
        assert!((v[6] - 0.5 * (exact[5] + exact[13])).abs() < 1e-13);
        ControlContinuation::new(&grid, face.iter().copied(), &free((-0.5, 0.5))).apply(&mut v, n);
        assert!(face.iter().all(|&j| v[j].abs() <= 0.5));
        let list = Controls { finite: Some(vec![vec![-1.0], vec![1.0]]), ..free((-1.0, 1.0)) };
        let mut switch: Vec<f64> = exact.iter().map(|v| v.signum()).collect();
        face.iter().for_each(|&j| switch[j] = 0.0);
        ControlContinuation::new(&grid, face.iter().copied(), &list).apply(&mut switch, n);
        assert!(switch.iter().all(|v| v.abs() == 1.0));
    }
}
