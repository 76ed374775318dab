//! Tests of the interpolants and tables against closed forms.

mod interpolation;
mod orders;
mod periodic;
mod properties;
mod table;

use super::*;
use crate::field::ScalarField;
use crate::points::{PointBlock, Points, PointsMut};
use std::sync::Arc;

fn uniform(dim: usize, nodes: usize) -> Arc<TensorGrid> {
    let axes = (0..dim).map(|a| Axis::uniform(-1.0 - a as f64, 2.0, nodes + a).unwrap()).collect();
    Arc::new(TensorGrid::new(axes).unwrap())
}

fn stretched(dim: usize, nodes: usize) -> Arc<TensorGrid> {
    let axis = |a: usize| Axis::stretched(-1.0 - a as f64, 2.0, nodes + a, 0.3, 4.0).unwrap();
    Arc::new(TensorGrid::new((0..dim).map(axis).collect()).unwrap())
}

fn sample(grid: &Arc<TensorGrid>, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    GridFunction::from_fn(grid.clone(), f).unwrap().into_values()
}

/// Points of a low-discrepancy sequence in the box `margin` times the grid's extent larger on each side.
fn scattered(grid: &TensorGrid, count: usize, margin: f64) -> PointBlock {
    let steps = [0.754_877_666_246_692_8, 0.569_840_290_998_053_3, 0.381_966_011_250_105_1];
    let mut block = PointBlock::zeros(grid.dim(), count);
    for a in 0..grid.dim() {
        let (lower, upper) = (grid.axis(a).lower(), grid.axis(a).upper());
        let width = upper - lower;
        for (j, x) in block.as_mut().coord_mut(a).iter_mut().enumerate() {
            let fraction = (0.5 + steps[a] * (j + 1) as f64).fract();
            *x = lower - margin * width + fraction * (1.0 + 2.0 * margin) * width;
        }
    }
    block
}

/// Value, gradient and Hessian at one point, from calls on a block of one.
fn jet(spline: &CubicSpline, point: &[f64]) -> (f64, Vec<f64>, Vec<f64>) {
    let d = point.len();
    let (mut v, mut g, mut h) = ([0.0], vec![0.0; d], vec![0.0; d * d]);
    spline.value_gradient(Points::new(point, d), &mut v, PointsMut::new(&mut g, d));
    spline.hessian(Points::new(point, d), PointsMut::new(&mut h, d * d));
    (v[0], g, h)
}

fn values(field: &dyn ScalarField, x: Points<'_>) -> Vec<f64> {
    let mut out = vec![0.0; x.len()];
    field.value(x, &mut out);
    out
}

fn gradients(field: &dyn ScalarField, x: Points<'_>) -> PointBlock {
    let mut out = PointBlock::zeros(x.dim(), x.len());
    field.gradient(x, out.as_mut());
    out
}
