//! A feedback whose values at the nodes of a grid are computed once for each time.
//!
//! For fields that are dear to evaluate (a network's score): solvers on a grid ask for the same nodes at the same times again, in
//! the next time step, for the control, for a table. Blocks of points that are all nodes are looked up and what is missing is
//! computed; other blocks are evaluated as they are. Values are those of the field itself, bit for bit, in any order and by any
//! number of threads, provided that the field's value at a point does not depend on the block.

use super::tensor::TensorGrid;
use crate::field::{Feedback, VectorField};
use crate::points::{PointBlock, Points, PointsMut};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of all tables together; beyond them the time that was not used for longest is forgotten.
const MOST_BYTES: usize = 128 << 20;

/// Bits of a NaN that no computation returns: not computed yet.
const MISSING: u64 = 0x7ff8_6d69_7373_6e67;

/// A feedback with a memory of its values at the nodes of a grid.
pub struct Remembered {
    field: Arc<dyn Feedback>,
    grid: Arc<TensorGrid>,
    memory: Mutex<Memory>,
    /// Times of which tables are kept.
    most: usize,
}

/// One table for each time, with the moment of its last use.
#[derive(Default)]
struct Memory {
    tables: HashMap<u64, (Arc<Table>, u64)>,
    now: u64,
}

/// Bits of the values, component by component.
type Table = Vec<AtomicU64>;

impl Remembered {
    /// `field`, remembered at the nodes of `grid`.
    pub fn new(field: Arc<dyn Feedback>, grid: Arc<TensorGrid>) -> Self {
        let bytes = grid.len().saturating_mul(field.control_dim()).saturating_mul(size_of::<u64>());
        let most = MOST_BYTES / bytes.max(1);
        Remembered { field, grid, memory: Mutex::default(), most }
    }

    fn table(&self, t: f64) -> Arc<Table> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.now += 1;
        let now = memory.now;
        if let Some((table, used)) = memory.tables.get_mut(&t.to_bits()) {
            *used = now;
            return table.clone();
        }
        if memory.tables.len() >= self.most {
            let oldest = memory.tables.iter().min_by_key(|(_, (_, used))| *used).map(|(t, _)| *t);
            oldest.and_then(|t| memory.tables.remove(&t));
        }
        let empty = || AtomicU64::new(MISSING);
        let table: Arc<Table> = Arc::new((0..self.grid.len() * self.field.control_dim()).map(|_| empty()).collect());
        memory.tables.insert(t.to_bits(), (table.clone(), now));
        table
    }

    /// The node that point j is, if it is one.
    fn node(&self, x: Points<'_>, j: usize) -> Option<usize> {
        let mut node = 0;
        for (i, (axis, stride)) in self.grid.axes().iter().zip(self.grid.strides()).enumerate() {
            let y = x.coord(i)[j];
            let cell = axis.locate(y);
            let k = [cell, cell + 1].into_iter().find(|k| axis.nodes().get(*k) == Some(&y))?;
            node += k * stride;
        }
        Some(node)
    }
}

impl Feedback for Remembered {
    fn dim(&self) -> usize {
        self.field.dim()
    }
    fn control_dim(&self) -> usize {
        self.field.control_dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(RememberedAt { parent: self, field: self.field.at(t), t, table: OnceLock::new() })
    }
}

struct RememberedAt<'a> {
    parent: &'a Remembered,
    field: Box<dyn VectorField + 'a>,
    t: f64,
    /// Made when a node is asked for.
    table: OnceLock<Arc<Table>>,
}

impl VectorField for RememberedAt<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let nodes: Option<Vec<usize>> = match self.parent.most {
            0 => None,
            _ => (0..x.len()).map(|j| self.parent.node(x, j)).collect(),
        };
        let Some(nodes) = nodes else { return self.field.eval(x, out) };
        let table = self.table.get_or_init(|| self.parent.table(self.t));
        let (n, m) = (self.parent.grid.len(), out.dim());
        let mut missing = Vec::new();
        for (j, node) in nodes.iter().enumerate() {
            let mut complete = true;
            for i in 0..m {
                let bits = table[i * n + node].load(Ordering::Relaxed);
                complete &= bits != MISSING;
                out.coord_mut(i)[j] = f64::from_bits(bits);
            }
            if !complete {
                missing.push(j);
            }
        }
        if missing.is_empty() {
            return;
        }
        let (mut points, mut values) = (PointBlock::zeros(x.dim(), missing.len()), PointBlock::zeros(m, missing.len()));
        for i in 0..x.dim() {
            points.as_mut().coord_mut(i).iter_mut().zip(&missing).for_each(|(p, &j)| *p = x.coord(i)[j]);
        }
        self.field.eval(points.as_points(), values.as_mut());
        for i in 0..m {
            for (value, &j) in values.coord(i).iter().zip(&missing) {
                table[i * n + nodes[j]].store(value.to_bits(), Ordering::Relaxed);
                out.coord_mut(i)[j] = *value;
            }
        }
    }

    fn vjp(&self, x: Points<'_>, p: Points<'_>, out: PointsMut<'_>) -> bool {
        self.field.vjp(x, p, out)
    }
    fn count_outside(&self, x: Points<'_>) -> usize {
        self.field.count_outside(x)
    }
    fn table_bytes(&self) -> usize {
        self.field.table_bytes()
    }
    fn is_zero(&self) -> bool {
        self.field.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::PointwiseFeedback;
    use crate::grid::Axis;
    use rayon::prelude::*;
    use std::sync::atomic::AtomicUsize;

    fn grid() -> Arc<TensorGrid> {
        let axes = vec![Axis::uniform(-1.0, 2.0, 31).unwrap(), Axis::stretched(0.0, 1.0, 17, 0.5, 2.0).unwrap()];
        Arc::new(TensorGrid::new(axes).unwrap())
    }

    /// (t + y0, t y1) with a count of the points.
    fn counted() -> (Arc<AtomicUsize>, Arc<dyn Feedback>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        let field = move |t: f64, y: &[f64], u: &mut [f64]| {
            counter.fetch_add(1, Ordering::Relaxed);
            (u[0], u[1]) = (t + y[0], t * y[1]);
        };
        (count, Arc::new(PointwiseFeedback::new(2, 2, field)))
    }

    #[test]
    fn nodes_are_evaluated_once_for_each_time() {
        let (grid, (count, field)) = (grid(), counted());
        let remembered = Remembered::new(field.clone(), grid.clone());
        let (nodes, n) = (grid.points(), grid.len());
        for (t, expected) in [(0.5, n), (0.5, n), (0.25, 2 * n), (0.5, 2 * n)] {
            // blocks of several lengths that do not begin where the others did
            let step = if expected == n { 40 } else { 64 };
            let at = remembered.at(t);
            let found: Vec<PointBlock> = (0..n.div_ceil(step))
                .into_par_iter()
                .map(|k| {
                    let window = nodes.as_points().window(k * step..n.min((k + 1) * step));
                    let mut out = PointBlock::zeros(2, window.len());
                    at.eval(window, out.as_mut());
                    out
                })
                .collect();
            assert_eq!(count.load(Ordering::Relaxed), expected);
            let (y0, y1) = (nodes.coord(0), nodes.coord(1));
            for j in 0..n {
                assert_eq!(found[j / step].coord(0)[j % step], t + y0[j]);
                assert_eq!(found[j / step].coord(1)[j % step], t * y1[j]);
            }
        }
    }

    #[test]
    fn other_points_are_evaluated_as_they_are() {
        let (grid, (count, field)) = (grid(), counted());
        let remembered = Remembered::new(field, grid.clone());
        let mut out = PointBlock::zeros(2, 3);
        // the second one is no node, the third beyond the box
        let points = PointBlock::from_points(2, &[[-1.0, 1.0], [0.01, 1.0], [-1.5, 0.0]]).unwrap();
        for expected in [3, 6] {
            remembered.at(1.0).eval(points.as_points(), out.as_mut());
            assert_eq!(count.load(Ordering::Relaxed), expected);
            assert_eq!(out.coord(0), [0.0, 1.01, -0.5]);
        }
    }

    #[test]
    fn the_time_not_used_for_longest_is_forgotten() {
        let (grid, (count, field)) = (grid(), counted());
        let remembered = Remembered { most: 2, ..Remembered::new(field, grid.clone()) };
        let (nodes, n) = (grid.points(), grid.len());
        let mut out = PointBlock::zeros(2, n);
        for (t, expected) in [(0.1, 1), (0.2, 2), (0.1, 2), (0.3, 3), (0.1, 3), (0.2, 4)] {
            remembered.at(t).eval(nodes.as_points(), out.as_mut());
            assert_eq!(count.load(Ordering::Relaxed), expected * n, "{t}");
        }
        let none = Remembered { most: 0, ..Remembered::new(counted().1, grid) };
        none.at(0.5).eval(nodes.as_points(), out.as_mut());
        assert_eq!(out.coord(0)[0], -0.5);
    }
}
