//! What the pictures of a controlled diffusion mark: where the process has ended, and where it is optimal to stop.

use crate::problem::ControlledProblem;
use crate::problem::controlled_spec::{ControlsSpec, FaceSpec};
use hjbridge_hjb::{Obstacle, Sense, TargetSet};
use hjbridge_model::TensorGrid;

/// V is at the obstacle when it is within this part of their size.
const TOUCHING: f64 = 1e-10;

/// Which nodes have a control, and the target.
#[derive(Clone)]
pub(super) struct Ends {
    /// Level of the target at the nodes: the process has ended where it is not positive. Empty without a target.
    pub level: Vec<f64>,
    /// Nodes with a control of their own: outside the target and on no Dirichlet face.
    pub free: Vec<bool>,
    shape: Vec<usize>,
    /// Whether the control may be continued linearly; otherwise it stays within its set's hull.
    linear: bool,
}

impl Ends {
    pub fn of(problem: &ControlledProblem) -> Self {
        let (grid, n) = (&problem.grid, problem.grid.len());
        let mut level = Vec::new();
        if let Some(target) = &problem.target {
            level.resize(n, 0.0);
            target.level(grid.points().as_points(), &mut level);
        }
        let mut free = vec![true; n];
        for (j, free) in free.iter_mut().enumerate() {
            *free = level.get(j).is_none_or(|level| *level > 0.0) && !on_dirichlet_face(problem, grid, j);
        }
        Ends { level, free, shape: grid.shape().to_vec(), linear: matches!(problem.file.controls, ControlsSpec::Free {}) }
    }

    /// The same where the process also ends by stopping; `stopping` is the field of that name, or empty.
    pub fn or_stopped(&self, stopping: &[f64]) -> Ends {
        let mut ends = self.clone();
        if stopping.is_empty() {
            return ends;
        }
        ends.free.iter_mut().zip(stopping).for_each(|(free, s)| *free &= *s > 0.0);
        ends.level = match self.level.is_empty() {
            true => stopping.to_vec(),
            false => self.level.iter().zip(stopping).map(|(l, s)| l.min(*s)).collect(),
        };
        ends
    }

    /// `field` at the free nodes, NaN at the others.
    pub fn free_part(&self, field: &[f64]) -> Vec<f64> {
        field.iter().zip(&self.free).map(|(v, free)| if *free { *v } else { f64::NAN }).collect()
    }

    /// `field` at the free nodes, continued by one node: what a cell at the edge needs of its corners beyond it. NaN further on.
    pub fn continued(&self, field: &[f64]) -> Vec<f64> {
        let reach = |j: usize| if self.free[j] { field[j] } else { self.beyond(field, j) };
        (0..field.len()).map(reach).collect()
    }

    /// The values in the target belong to V: kept at one node beyond the edge, NaN further on.
    pub fn trimmed(&self, field: &[f64]) -> Vec<f64> {
        let inside = |j: usize| self.level.get(j).is_some_and(|level| *level <= 0.0);
        let keep = |j: usize| !inside(j) || self.neighbours(j).any(|k| !inside(k));
        (0..field.len()).map(|j| if keep(j) { field[j] } else { f64::NAN }).collect()
    }

    /// Mean of the continuations along the axes, or of the free neighbours.
    fn beyond(&self, field: &[f64], j: usize) -> f64 {
        let columns = self.shape.last().copied().unwrap_or(1);
        let (row, column) = (j / columns, j % columns);
        let count = [self.free.len() / columns, columns];
        let at = |step: [isize; 2], times: isize| -> Option<f64> {
            let r = row.checked_add_signed(step[0] * times).filter(|r| *r < count[0])?;
            let c = column.checked_add_signed(step[1] * times).filter(|c| *c < count[1])?;
            let node = r * columns + c;
            self.free[node].then_some(field[node])
        };
        let steps = [[0, 1], [0, -1], [1, 0], [-1, 0]].into_iter().filter(|_| self.linear);
        let lines = steps.filter_map(|step| Some(2.0 * at(step, 1)? - at(step, 2)?));
        let (sum, count) = lines.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
        if count > 0.0 { sum / count } else { self.mean_of_neighbours(field, j) }
    }

    fn mean_of_neighbours(&self, field: &[f64], j: usize) -> f64 {
        let free = self.neighbours(j).filter(|&k| self.free[k]);
        let (sum, count) = free.fold((0.0, 0.0), |(sum, count), k| (sum + field[k], count + 1.0));
        sum / count
    }

    /// Nodes that share a cell with node `j`, in one or two dimensions.
    fn neighbours(&self, j: usize) -> impl Iterator<Item = usize> + '_ {
        let columns = self.shape.last().copied().unwrap_or(1);
        let rows = self.free.len() / columns;
        let (row, column) = (j / columns, j % columns);
        let near = |at: usize, count: usize| at.saturating_sub(1)..(at + 2).min(count);
        near(row, rows).flat_map(move |r| near(column, columns).map(move |c| r * columns + c)).filter(move |&k| k != j)
    }
}

fn on_dirichlet_face(problem: &ControlledProblem, grid: &TensorGrid, node: usize) -> bool {
    let mut rest = node;
    for (axis, faces) in problem.file.faces.as_deref().unwrap_or_default().iter().enumerate().rev() {
        let count = grid.shape()[axis];
        let at = rest % count;
        rest /= count;
        let ends = [(at == 0, faces[0]), (at + 1 == count, faces[1])];
        if ends.iter().any(|(there, face)| *there && *face == FaceSpec::Dirichlet) {
            return true;
        }
    }
    false
}

/// A field that is negative where stopping is optimal and positive where it is not, with its zero at the boundary between
/// the nodes; empty without an obstacle. `value` is V at time t.
///
/// V leaves the obstacle smoothly, |V - psi| ~ c (x - b)^2, so that its square root is linear next to the boundary: it is
/// continued from two nodes outside to the first one inside.
pub(super) fn stopping(problem: &ControlledProblem, t: f64, value: &[f64]) -> Vec<f64> {
    let Some(obstacle) = &problem.obstacle else { return Vec::new() };
    let mut psi = vec![0.0; value.len()];
    obstacle.payoff(t, problem.grid.points().as_points(), &mut psi);
    let sign = if problem.sense == Sense::Maximise { 1.0 } else { -1.0 };
    let gap: Vec<f64> = value.iter().zip(&psi).map(|(v, psi)| gap(sign * (v - psi), v.abs().max(psi.abs()))).collect();
    level_of_gap(&gap, problem.grid.shape())
}

/// Square root of V - psi, zero where they touch.
fn gap(difference: f64, size: f64) -> f64 {
    if difference <= TOUCHING * size { 0.0 } else { difference.sqrt() }
}

/// Continue positive gaps linearly to the touching nodes next to them; -1 at the others.
fn level_of_gap(gap: &[f64], shape: &[usize]) -> Vec<f64> {
    let columns = shape.last().copied().unwrap_or(1);
    let rows = gap.len() / columns;
    let at = |r: isize, c: isize| -> Option<f64> {
        let inside = (0..rows as isize).contains(&r) && (0..columns as isize).contains(&c);
        inside.then(|| gap[r as usize * columns + c as usize])
    };
    let level = |j: usize| {
        if gap[j] > 0.0 {
            return gap[j];
        }
        let (r, c) = ((j / columns) as isize, (j % columns) as isize);
        let outside = [(0, 1), (0, -1), (1, 0), (-1, 0)].into_iter().filter_map(|(dr, dc)| {
            let near = at(r + dr, c + dc).filter(|g| *g > 0.0)?;
            let far = at(r + 2 * dr, c + 2 * dc).filter(|g| *g > near);
            // no line through a node: the boundary lies between this node and the next
            Some(far.map_or(-near, |far| 2.0 * near - far).min(-1e-6 * near))
        });
        let (sum, count) = outside.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
        if count == 0 { -1.0 } else { sum / f64::from(count) }
    };
    (0..gap.len()).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gap (x - b)^2 for x > b: the zero of the level is b to rounding, wherever b lies between the nodes.
    #[test]
    fn the_boundary_lies_between_the_nodes() {
        let h = 0.1;
        for b in [0.501, 0.55, 0.599] {
            let gaps: Vec<f64> = (0..11).map(|i| gap((i as f64 * h - b).max(0.0).powi(2), 1.0)).collect();
            let level = level_of_gap(&gaps, &[11]);
            assert!(level[5] < 0.0 && level[6] > 0.0 && level[4] == -1.0);
            let zero = (5.0 + level[5] / (level[5] - level[6])) * h;
            assert!((zero - b).abs() < 1e-9, "{zero} {b}");
        }
        assert_eq!(level_of_gap(&[0.0; 4], &[4]), [-1.0; 4]);
        assert_eq!(level_of_gap(&[1.0; 4], &[2, 2]), [1.0; 4]);
        // rounding is not a gap, a small value far from a zero obstacle is
        assert_eq!(gap(1e-12, 5.0), 0.0);
        assert!(gap(1e-12, 1e-12) > 0.0);
    }

    #[test]
    fn fields_are_continued_by_one_node() {
        let level: Vec<f64> = (0..6).map(|i| 2.5 - i as f64).collect();
        let ends = Ends { free: level.iter().map(|l| *l > 0.0).collect(), level, shape: vec![6], linear: false };
        let field = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0];
        let shown = |field: Vec<f64>| field.iter().map(|v| if v.is_nan() { -1.0 } else { *v }).collect::<Vec<_>>();
        assert_eq!(shown(ends.continued(&field)), [1.0, 2.0, 3.0, 3.0, -1.0, -1.0]);
        let linear = Ends { linear: true, ..ends.or_stopped(&[]) };
        assert_eq!(shown(linear.continued(&field)), [1.0, 2.0, 3.0, 4.0, -1.0, -1.0]);
        let stopped = ends.or_stopped(&[-1.0, -0.5, 0.5, 1.0, 1.0, 1.0]);
        assert_eq!((stopped.level[1], stopped.level[2], stopped.level[3]), (-0.5, 0.5, -0.5));
        assert_eq!(shown(stopped.continued(&field)), [-1.0, 3.0, 3.0, 3.0, -1.0, -1.0]);
        assert_eq!(shown(ends.trimmed(&field)), [1.0, 2.0, 3.0, 0.0, -1.0, -1.0]);
        assert_eq!(shown(ends.free_part(&field)), [1.0, 2.0, 3.0, -1.0, -1.0, -1.0]);
        // in the plane a corner counts as a neighbour
        let ends = Ends { free: vec![true, false, false, false], level: Vec::new(), shape: vec![2, 2], linear: true };
        assert_eq!(ends.continued(&[7.0, 0.0, 0.0, 0.0]), [7.0; 4]);
    }
}
