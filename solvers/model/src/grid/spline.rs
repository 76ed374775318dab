//! C2 tensor-product cubic splines with not-a-knot ends (periodic ones on periodic axes), in Hermite form.
//!
//! Each node stores the value and all mixed slopes of at most first order per axis (f; f_x, f_y; f_xy; ...), 2^d numbers,
//! obtained by one tridiagonal slope solve per axis and slope. On a cell the spline is the tensor product of Hermite cubics.
//! Order 4 in the value, 3 in the gradient, 2 in the Hessian, on uniform and on smoothly stretched axes; exact for
//! polynomials of degree <= 3 in each variable. Prefer [`LinearInterpolant`](super::LinearInterpolant) at kinks and jumps,
//! where a spline overshoots.
//! Reference: C. de Boor, *A Practical Guide to Splines* (chapters IV and XVII).

use super::Extrapolation;
use super::axis::Axis;
use super::grid_function::{check_finite, check_values};
use super::slopes::{Layout, SlopeSolver};
use super::tensor::TensorGrid;
use super::tensor_product::{Basis, TensorProduct};
use crate::error::ModelError;
use crate::field::ScalarField;
use crate::points::{Points, PointsMut};
use std::sync::Arc;

/// The four Hermite cubics of a cell, with u = 1 - t: u^2 (1 + 2t), t u^2 h, t^2 (1 + 2u), -t^2 u h.
pub(super) struct Hermite;

impl Basis<4> for Hermite {
    #[inline(always)]
    fn value(t: f64, step: f64) -> [f64; 4] {
        let u = 1.0 - t;
        let right = t * t * (1.0 + 2.0 * u);
        [1.0 - right, t * u * u * step, right, -t * t * u * step]
    }
    #[inline(always)]
    fn slope(t: f64, inverse_step: f64) -> [f64; 4] {
        let u = 1.0 - t;
        let right = 6.0 * t * u * inverse_step;
        [-right, u * (u - 2.0 * t), right, t * (t - 2.0 * u)]
    }
    #[inline(always)]
    fn curvature(t: f64, inverse_step: f64) -> [f64; 4] {
        let right = (6.0 - 12.0 * t) * inverse_step * inverse_step;
        [-right, (6.0 * t - 4.0) * inverse_step, right, (6.0 * t - 2.0) * inverse_step]
    }
}

/// What splines on one grid share: the factored slope equations and the evaluator.
#[derive(Debug)]
pub(super) struct SplineSpace {
    solvers: Vec<SlopeSolver>,
    pub product: TensorProduct<4>,
}

impl SplineSpace {
    /// # Errors
    /// More than 2^31 coefficients.
    pub fn new(grid: Arc<TensorGrid>, extrapolation: Extrapolation) -> Result<Self, ModelError> {
        let solver = |(i, axis): (usize, &Axis)| match grid.is_periodic(i) {
            true => SlopeSolver::periodic(axis.nodes()),
            false => SlopeSolver::new(axis.nodes()),
        };
        let solvers = grid.axes().iter().enumerate().map(solver).collect();
        Ok(SplineSpace { solvers, product: TensorProduct::new(grid, extrapolation)? })
    }

    /// Number of coefficients of a spline.
    pub fn len(&self) -> usize {
        self.product.components() * self.product.grid().len()
    }

    /// Write the coefficients of the spline through `values`, finite and one per node; `coefficients` has `len()` entries.
    ///
    /// # Errors
    /// Slopes that overflow.
    pub fn fit(&self, values: &[f64], coefficients: &mut [f64]) -> Result<(), ModelError> {
        let components = self.product.components();
        for (node, &value) in coefficients.chunks_exact_mut(components).zip(values) {
            node[0] = value;
        }
        // The last axis owns the lowest bit of the component number, so each solve doubles a leading run of components.
        let mut sources = 1;
        for (solver, &stride) in self.solvers.iter().zip(self.product.grid().strides()).rev() {
            solver.solve(coefficients, Layout { stride, components, sources });
            sources *= 2;
        }
        check_finite("spline.slopes", coefficients)
    }
}

/// The C2 cubic spline through values at the nodes of a grid. A NaN coordinate gives NaN at that point.
///
/// Clones and splines made by [`CubicSpline::with_values`] share the factored equations.
#[derive(Clone, Debug)]
pub struct CubicSpline {
    space: Arc<SplineSpace>,
    coefficients: Vec<f64>,
}

impl CubicSpline {
    /// The spline through one finite value per node, in the grid's flat order. O(2^d nodes) time and memory.
    ///
    /// # Errors
    /// Another number of values than nodes, a value that is not finite, slopes that overflow, or more than 2^31
    /// coefficients.
    pub fn new(grid: Arc<TensorGrid>, values: &[f64], extrapolation: Extrapolation) -> Result<Self, ModelError> {
        check_values("values", &grid, values)?;
        CubicSpline::in_space(Arc::new(SplineSpace::new(grid, extrapolation)?), values)
    }

    /// Another spline on the same grid with the same extrapolation.
    ///
    /// # Errors
    /// As [`CubicSpline::new`].
    pub fn with_values(&self, values: &[f64]) -> Result<Self, ModelError> {
        check_values("values", self.grid(), values)?;
        CubicSpline::in_space(self.space.clone(), values)
    }

    fn in_space(space: Arc<SplineSpace>, values: &[f64]) -> Result<Self, ModelError> {
        let mut coefficients = vec![0.0; space.len()];
        space.fit(values, &mut coefficients)?;
        Ok(CubicSpline { space, coefficients })
    }

    /// Replace the values; no allocation, two sweeps per axis and slope.
    ///
    /// # Errors
    /// As [`CubicSpline::new`]. The old values are kept, except after an overflow of the slopes, which leaves the spline
    /// unusable until values are set again.
    pub fn set_values(&mut self, values: &[f64]) -> Result<(), ModelError> {
        check_values("values", self.grid(), values)?;
        self.space.fit(values, &mut self.coefficients)
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        self.space.product.grid()
    }

    /// The continuation outside the box.
    pub fn extrapolation(&self) -> Extrapolation {
        self.space.product.extrapolation()
    }

    /// The value at node `flat`.
    ///
    /// # Panics
    /// When `flat` is not below the number of nodes, as slice indexing does.
    pub fn node_value(&self, flat: usize) -> f64 {
        self.coefficients[flat * self.space.product.components()]
    }

    /// The derivative along `axis` at node `flat`, as the slope solve left it: no evaluation.
    ///
    /// # Panics
    /// When `flat` is not below the number of nodes or `axis` not below d, as slice indexing does.
    pub fn node_slope(&self, flat: usize, axis: usize) -> f64 {
        let components = self.space.product.components();
        self.coefficients[flat * components..(flat + 1) * components][components >> (axis + 1)]
    }

    /// Number of points with a coordinate outside the box; NaN counts as outside.
    pub fn count_outside(&self, x: Points<'_>) -> usize {
        self.space.product.count_outside(x)
    }

    /// Value and gradient at once: `value` has one entry per point, `gradient` is d-dimensional.
    pub fn value_gradient(&self, x: Points<'_>, value: &mut [f64], mut gradient: PointsMut<'_>) {
        let table = &self.coefficients[..];
        if self.grid().dim() == 1 {
            let (value, gradient) = (&mut value[..x.len()], &mut gradient.coord_mut(0)[..x.len()]);
            return self.space.product.evaluate::<Hermite, 1>(table, x, |j, jet| {
                value[j] = jet.value();
                gradient[j] = jet.gradient(0);
            });
        }
        let d = self.grid().dim();
        self.space.product.evaluate::<Hermite, 1>(table, x, |j, jet| {
            value[j] = jet.value();
            (0..d).for_each(|a| gradient.coord_mut(a)[j] = jet.gradient(a));
        });
    }

    /// Value, gradient and Hessian at once, arranged as for [`CubicSpline::value_gradient`] and [`CubicSpline::hessian`].
    pub fn jet(&self, x: Points<'_>, value: &mut [f64], mut gradient: PointsMut<'_>, mut hessian: PointsMut<'_>) {
        let d = self.grid().dim();
        self.space.product.evaluate::<Hermite, 2>(&self.coefficients[..], x, |j, jet| {
            value[j] = jet.value();
            for a in 0..d {
                gradient.coord_mut(a)[j] = jet.gradient(a);
                for b in a..d {
                    let second = jet.hessian(d, a, b);
                    hessian.coord_mut(a * d + b)[j] = second;
                    hessian.coord_mut(b * d + a)[j] = second;
                }
            }
        });
    }

    /// The Hessian, symmetric: entry (a, b) is coordinate `a * d + b` of `out`, which is d*d-dimensional.
    pub fn hessian(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let d = self.grid().dim();
        self.space.product.evaluate::<Hermite, 2>(&self.coefficients[..], x, |j, jet| {
            for a in 0..d {
                for b in a..d {
                    let second = jet.hessian(d, a, b);
                    out.coord_mut(a * d + b)[j] = second;
                    out.coord_mut(b * d + a)[j] = second;
                }
            }
        });
    }
}

impl ScalarField for CubicSpline {
    fn dim(&self) -> usize {
        self.grid().dim()
    }

    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        self.space.product.evaluate::<Hermite, 0>(&self.coefficients[..], x, |j, jet| out[j] = jet.value());
    }

    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let d = self.grid().dim();
        self.space.product.evaluate::<Hermite, 1>(&self.coefficients[..], x, |j, jet| {
            (0..d).for_each(|a| out.coord_mut(a)[j] = jet.gradient(a));
        });
    }
}
