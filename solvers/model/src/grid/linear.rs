//! Multilinear interpolation on a tensor grid.
//!
//! Order 2 in the value and 1 in the gradient, which along its own axis is constant on each cell and jumps at the nodes.
//! Values inside the box stay within the range of the data. Prefer [`CubicSpline`](super::CubicSpline) for smooth data.

use super::Extrapolation;
use super::grid_function::check_values;
use super::tensor::TensorGrid;
use super::tensor_product::{Basis, TensorProduct};
use crate::error::ModelError;
use crate::field::ScalarField;
use crate::points::{Points, PointsMut};
use std::sync::Arc;

/// The two hat functions of a cell.
pub(super) struct Hat;

impl Basis<2> for Hat {
    #[inline(always)]
    fn value(t: f64, _step: f64) -> [f64; 2] {
        [1.0 - t, t]
    }
    #[inline(always)]
    fn slope(t: f64, inverse_step: f64) -> [f64; 2] {
        let slope = if t.is_nan() { t } else { inverse_step };
        [-slope, slope]
    }
    #[inline(always)]
    fn curvature(t: f64, _inverse_step: f64) -> [f64; 2] {
        [0.0 * t; 2]
    }
}

/// The multilinear interpolant of values at the nodes of a grid. A NaN coordinate gives NaN at that point.
#[derive(Clone, Debug)]
pub struct LinearInterpolant {
    product: TensorProduct<2>,
    values: Vec<f64>,
}

impl LinearInterpolant {
    /// The interpolant of one finite value per node, in the grid's flat order.
    ///
    /// # Errors
    /// Another number of values than nodes, or a value that is not finite.
    pub fn new(grid: Arc<TensorGrid>, values: &[f64], extrapolation: Extrapolation) -> Result<Self, ModelError> {
        check_values("values", &grid, values)?;
        Ok(LinearInterpolant { product: TensorProduct::new(grid, extrapolation)?, values: values.to_vec() })
    }

    /// Replace the values; no allocation.
    ///
    /// # Errors
    /// As [`LinearInterpolant::new`]; the old values are then kept.
    pub fn set_values(&mut self, values: &[f64]) -> Result<(), ModelError> {
        check_values("values", self.product.grid(), values)?;
        self.values.copy_from_slice(values);
        Ok(())
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        self.product.grid()
    }

    /// The continuation outside the box.
    pub fn extrapolation(&self) -> Extrapolation {
        self.product.extrapolation()
    }

    /// Number of points with a coordinate outside the box; NaN counts as outside.
    pub fn count_outside(&self, x: Points<'_>) -> usize {
        self.product.count_outside(x)
    }

    /// Value and gradient at once. On a node the gradient is that of the cell to its right (left at the last node).
    pub fn value_gradient(&self, x: Points<'_>, value: &mut [f64], mut gradient: PointsMut<'_>) {
        let d = self.product.grid().dim();
        self.product.evaluate::<Hat, 1>(&self.values[..], x, |j, jet| {
            value[j] = jet.value();
            (0..d).for_each(|a| gradient.coord_mut(a)[j] = jet.gradient(a));
        });
    }
}

impl ScalarField for LinearInterpolant {
    fn dim(&self) -> usize {
        self.product.grid().dim()
    }

    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        self.product.evaluate::<Hat, 0>(&self.values[..], x, |j, jet| out[j] = jet.value());
    }

    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let d = self.product.grid().dim();
        self.product.evaluate::<Hat, 1>(&self.values[..], x, |j, jet| {
            (0..d).for_each(|a| out.coord_mut(a)[j] = jet.gradient(a));
        });
    }
}
