//! A feedback control given by slices at several times on a tensor grid.
//!
//! Linear in time between neighbouring slices (order 2), the first and the last slice beyond them; multilinear or cubic in
//! space. A block is evaluated once, with the coefficients of the two slices blended cell by cell. Cubic tables on uniform grids
//! of the plane are kept by their B-spline coefficients, one number for each node, which gives the same function in a quarter of
//! the memory; others in Hermite form.

use super::block::Layout;
use super::grid_function::check_finite;
use super::lattice::Lattice;
use super::linear::Hat;
use super::spline::{Hermite, SplineSpace};
use super::tensor::TensorGrid;
use super::tensor_product::{Blend, TensorProduct};
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

    /// The B-spline coefficients of splines in Hermite form, `each` numbers for one.
    ///
    /// # Errors
    /// Coefficients that overflow.
    fn on_lattice(hermite: &[f64], lattice: Lattice, grid: &TensorGrid, each: usize) -> Result<Self, ModelError> {
        let mut memory = vec![0.0; lattice.len()];
        for (k, table) in hermite.chunks_exact(each).enumerate() {
            lattice.convert(grid, k, table, &mut memory);
        }
        check_finite("spline.coefficients", &memory)?;
        Ok(Slice { memory, start: 0 })
    }

    fn coefficients(&self) -> &[f64] {
        &self.memory[self.start..]
    }
}

#[derive(Debug)]
enum Space {
    Linear(TensorProduct<2>, Layout),
    Cubic(SplineSpace, Layout),
    /// The space only serves to count points outside.
    Lattice(Lattice, TensorProduct<2>),
}

impl Space {
    /// The splines through the values of each slice, and their coefficients.
    fn cubic(
        grid: Arc<TensorGrid>,
        slices: Vec<Vec<f64>>,
        control_dim: usize,
        extrapolation: Extrapolation,
    ) -> Result<(Self, Vec<Slice>), ModelError> {
        let space = SplineSpace::new(grid.clone(), extrapolation)?;
        let (layout, components) = (space.product.layout(control_dim), space.product.components());
        let lattice = Lattice::new(&grid, control_dim);
        let mut fitted = vec![0.0; space.len() * control_dim];
        let mut arranged = Vec::with_capacity(slices.len());
        for (k, slice) in slices.into_iter().enumerate() {
            for (values, table) in slice.chunks_exact(grid.len()).zip(fitted.chunks_exact_mut(space.len())) {
                space.fit(values, table).map_err(|e| e.within(&format!("slices[{k}]")))?;
            }
            let slice = match lattice {
                None => Ok(Slice::arranged(&fitted, layout, components, control_dim)),
                Some(lattice) => Slice::on_lattice(&fitted, lattice, &grid, space.len()),
            };
            arranged.push(slice.map_err(|e| e.within(&format!("slices[{k}]")))?);
        }
        let space = match lattice {
            None => Space::Cubic(space, layout),
            Some(lattice) => Space::Lattice(lattice, TensorProduct::new(grid, extrapolation)?),
        };
        Ok((space, arranged))
    }
}

impl TableFeedback {
    /// The feedback with these slices: one for each time, component-major, so that component c at node i is entry
    /// `c * nodes + i`. Times are strictly increasing generation times. The splines of `Interpolation::Cubic` are fitted
    /// here, once; they take 2^d numbers per node, component and slice (one on uniform grids of the plane).
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
            Interpolation::Linear => {
                let product = TensorProduct::new(grid, extrapolation)?;
                let layout = product.layout(control_dim);
                let arranged = |slice: &Vec<f64>| Slice::arranged(slice, layout, product.components(), control_dim);
                let slices = slices.iter().map(arranged).collect();
                (Space::Linear(product, layout), slices)
            }
            Interpolation::Cubic => Space::cubic(grid, slices, control_dim, extrapolation)?,
        };
        Ok(TableFeedback { data: Arc::new(Data { times, control_dim, space, slices }) })
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
            Space::Linear(..) => Interpolation::Linear,
            Space::Cubic(..) | Space::Lattice(..) => Interpolation::Cubic,
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
        let slices = &self.data.slices;
        let first = slices[self.slice].coefficients();
        let second = || slices[(self.slice + 1).min(slices.len() - 1)].coefficients();
        let blend = (self.weight != 0.0).then(|| Blend { first, second: second(), weight: self.weight });
        self.data.eval(first, blend, x, out);
    }

    fn table_bytes(&self) -> usize {
        size_of_val(self.data.slices[self.slice].coefficients()) * if self.weight == 0.0 { 1 } else { 2 }
    }

    fn count_outside(&self, x: Points<'_>) -> usize {
        match &self.data.space {
            Space::Linear(product, _) | Space::Lattice(_, product) => product.count_outside(x),
            Space::Cubic(space, _) => space.product.count_outside(x),
        }
    }
}

impl Data {
    fn grid(&self) -> &Arc<TensorGrid> {
        match &self.space {
            Space::Linear(product, _) | Space::Lattice(_, product) => product.grid(),
            Space::Cubic(space, _) => space.product.grid(),
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

    /// The values of one slice or, if given, of two.
    fn eval(&self, slice: &[f64], blend: Option<Blend<'_>>, x: Points<'_>, out: PointsMut<'_>) {
        let count = self.control_dim;
        match (&self.space, blend) {
            (Space::Linear(product, layout), None) => product.values::<Hat>(slice, *layout, count, x, out),
            (Space::Linear(product, layout), Some(blend)) => product.values::<Hat>(blend, *layout, count, x, out),
            (Space::Cubic(space, layout), None) => space.product.values::<Hermite>(slice, *layout, count, x, out),
            (Space::Cubic(space, layout), Some(blend)) => space.product.values::<Hermite>(blend, *layout, count, x, out),
            (Space::Lattice(lattice, product), None) => {
                lattice.values(product.grid(), product.extrapolation(), &[(slice, 1.0)], x, out);
            }
            (Space::Lattice(lattice, product), Some(Blend { first, second, weight })) => {
                let levels = [(first, 1.0 - weight), (second, weight)];
                lattice.values(product.grid(), product.extrapolation(), &levels, x, out);
            }
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
