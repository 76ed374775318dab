//! A feedback control given by slices at several times on a tensor grid.
//!
//! Linear in time between neighbouring slices (order 2), the first and the last slice beyond them; multilinear or cubic in
//! space. A block is evaluated once, with the coefficients of the two slices blended cell by cell.

use super::block::Layout;
use super::grid_function::check_finite;
use super::linear::Hat;
use super::spline::{Hermite, SplineSpace};
use super::tensor::TensorGrid;
use super::tensor_product::{Blend, Table, TensorProduct};
use super::{Extrapolation, Interpolation};
use crate::error::ModelError;
use crate::field::{Feedback, VectorField};
use crate::points::{Points, PointsMut};
use std::sync::Arc;

/// A time within this fraction of the range of times of a stored one uses that slice alone.
const TIME_TOLERANCE: f64 = 1e-12;

/// A tabulated feedback. Clones share the data.
#[derive(Clone, Debug)]
pub struct TableFeedback {
    data: Arc<Data>,
}

#[derive(Debug)]
struct Data {
    times: Vec<f64>,
    control_dim: usize,
    space: Space,
    layout: Layout,
    /// For each time the tables of all components.
    slices: Vec<Slice>,
}

/// The tables of one time, at the beginning of a cache line: the coefficients of a node in the plane fill one or more whole
/// lines when there are two components.
#[derive(Debug)]
struct Slice {
    memory: Vec<f64>,
    start: usize,
}

impl Slice {
    /// The coefficients of `count` tables, given one after the other, in the order of `layout`.
    fn arranged(separate: &[f64], layout: Layout, per_node: usize, count: usize) -> Self {
        const LINE: usize = 64;
        let mut memory = vec![0.0; separate.len() + LINE / size_of::<f64>()];
        let offset = memory.as_ptr().align_offset(LINE);
        let start = if offset < LINE / size_of::<f64>() { offset } else { 0 };
        let size = separate.len() / count;
        for (k, table) in separate.chunks_exact(size).enumerate() {
            for (node, coefficients) in table.chunks_exact(per_node).enumerate() {
                let place = start + node * layout.node + k * layout.table;
                memory[place..place + per_node].copy_from_slice(coefficients);
            }
        }
        Slice { memory, start }
    }

    fn coefficients(&self) -> &[f64] {
        &self.memory[self.start..]
    }
}

#[derive(Debug)]
enum Space {
    Linear(TensorProduct<2>),
    Cubic(SplineSpace),
}

impl TableFeedback {
    /// The feedback with these slices: one for each time, component-major, so that component c at node i is entry
    /// `c * nodes + i`. Times are strictly increasing generation times. The splines of `Interpolation::Cubic` are fitted
    /// here, once; they take 2^d numbers per node, component and slice.
    ///
    /// # Errors
    /// No time, times that are not finite or do not increase, another number of slices than times, a slice of the wrong
    /// length or with a value that is not finite, `control_dim` = 0, or slopes that overflow.
    pub fn new(
        grid: Arc<TensorGrid>,
        times: Vec<f64>,
        slices: Vec<Vec<f64>>,
        control_dim: usize,
        interpolation: Interpolation,
        extrapolation: Extrapolation,
    ) -> Result<Self, ModelError> {
        check_times(&times)?;
        if control_dim == 0 {
            return Err(ModelError::invalid("control_dim", control_dim, "must be at least 1"));
        }
        if slices.len() != times.len() {
            return Err(ModelError::Shape { field: "slices".into(), found: slices.len(), expected: times.len() });
        }
        let nodes = grid.len();
        for (k, slice) in slices.iter().enumerate() {
            let field = format!("slices[{k}]");
            if Some(slice.len()) != nodes.checked_mul(control_dim) {
                let expected = nodes.saturating_mul(control_dim);
                return Err(ModelError::Shape { field, found: slice.len(), expected });
            }
            check_finite(&field, slice)?;
        }
        let (space, slices) = match interpolation {
            Interpolation::Linear => (Space::Linear(TensorProduct::new(grid, extrapolation)?), slices),
            Interpolation::Cubic => {
                let space = SplineSpace::new(grid, extrapolation)?;
                let mut fitted = Vec::with_capacity(slices.len());
                for (k, slice) in slices.into_iter().enumerate() {
                    let mut table = vec![0.0; space.len() * control_dim];
                    for (values, table) in slice.chunks_exact(nodes).zip(table.chunks_exact_mut(space.len())) {
                        space.fit(values, table).map_err(|e| e.within(&format!("slices[{k}]")))?;
                    }
                    fitted.push(table);
                }
                (Space::Cubic(space), fitted)
            }
        };
        let (layout, per_node) = match &space {
            Space::Linear(product) => (product.layout(control_dim), product.components()),
            Space::Cubic(space) => (space.product.layout(control_dim), space.product.components()),
        };
        let slices = slices.iter().map(|slice| Slice::arranged(slice, layout, per_node, control_dim)).collect();
        Ok(TableFeedback { data: Arc::new(Data { times, control_dim, space, layout, slices }) })
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        self.data.grid()
    }

    /// The times of the slices.
    pub fn times(&self) -> &[f64] {
        &self.data.times
    }

    /// The interpolation in space.
    pub fn interpolation(&self) -> Interpolation {
        match self.data.space {
            Space::Linear(_) => Interpolation::Linear,
            Space::Cubic(_) => Interpolation::Cubic,
        }
    }
}

impl Feedback for TableFeedback {
    fn dim(&self) -> usize {
        self.grid().dim()
    }

    fn control_dim(&self) -> usize {
        self.data.control_dim
    }

    /// The blend of the two neighbouring slices: O(log times), nothing is copied. A NaN time gives NaN.
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        let (slice, weight) = self.data.locate(t);
        Box::new(TableSlice { data: &self.data, slice, weight })
    }
}

/// The control at one time: (1 - weight) slice + weight (slice + 1).
struct TableSlice<'a> {
    data: &'a Data,
    slice: usize,
    weight: f64,
}

impl VectorField for TableSlice<'_> {
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>) {
        let first = self.data.slices[self.slice].coefficients();
        if self.weight == 0.0 {
            self.data.eval(first, x, out);
        } else {
            let second = self.data.slices[(self.slice + 1).min(self.data.slices.len() - 1)].coefficients();
            self.data.eval(Blend { first, second, weight: self.weight }, x, out);
        }
    }

    fn table_bytes(&self) -> usize {
        size_of_val(self.data.slices[self.slice].coefficients()) * if self.weight == 0.0 { 1 } else { 2 }
    }

    fn count_outside(&self, x: Points<'_>) -> usize {
        match &self.data.space {
            Space::Linear(product) => product.count_outside(x),
            Space::Cubic(space) => space.product.count_outside(x),
        }
    }
}

impl Data {
    fn grid(&self) -> &Arc<TensorGrid> {
        match &self.space {
            Space::Linear(product) => product.grid(),
            Space::Cubic(space) => space.product.grid(),
        }
    }

    /// The slice at or before `t` and the weight of the next one.
    fn locate(&self, t: f64) -> (usize, f64) {
        let (times, last) = (&self.times, self.times.len() - 1);
        if t.is_nan() {
            return (0, t);
        }
        let k = times.partition_point(|&time| time <= t).saturating_sub(1);
        let slack = TIME_TOLERANCE * (times[last] - times[0]);
        if k == last || t - times[k] <= slack {
            (k, 0.0)
        } else if times[k + 1] - t <= slack {
            (k + 1, 0.0)
        } else {
            (k, (t - times[k]) / (times[k + 1] - times[k]))
        }
    }

    fn eval(&self, table: impl Table, x: Points<'_>, out: PointsMut<'_>) {
        match &self.space {
            Space::Linear(product) => product.values::<Hat>(table, self.layout, self.control_dim, x, out),
            Space::Cubic(space) => space.product.values::<Hermite>(table, self.layout, self.control_dim, x, out),
        }
    }
}

fn check_times(times: &[f64]) -> Result<(), ModelError> {
    if times.is_empty() {
        return Err(ModelError::Shape { field: "times".into(), found: 0, expected: 1 });
    }
    if let Some(k) = times.iter().position(|t| !t.is_finite()) {
        return Err(ModelError::invalid(format!("times[{k}]"), times[k], "must be finite"));
    }
    if let Some(k) = times.windows(2).position(|w| w[0] >= w[1]) {
        let allowed = format!("must exceed the time before it, {}", times[k]);
        return Err(ModelError::invalid(format!("times[{}]", k + 1), times[k + 1], allowed));
    }
    Ok(())
}
