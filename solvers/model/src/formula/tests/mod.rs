//! Tests of formulas.

mod blocks;
mod derivatives;
mod errors;
mod golden;
mod properties;
mod values;

use super::Formula;
use crate::points::PointBlock;

/// The value at one point of a formula that compiles.
fn value(text: &str, names: &[&str], values: &[f64]) -> f64 {
    Formula::parse(text, names).unwrap_or_else(|e| panic!("{e}")).eval_scalar(values)
}

/// Value and gradient in all variables at one point.
fn gradient(text: &str, names: &[&str], values: &[f64]) -> (f64, Vec<f64>) {
    let formula = Formula::parse(text, names).unwrap_or_else(|e| panic!("{e}"));
    let vars: Vec<&[f64]> = values.chunks(1).collect();
    let wrt: Vec<usize> = (0..names.len()).collect();
    let (mut out, mut grads) = ([0.0], PointBlock::zeros(names.len(), 1));
    formula.eval_gradient_block(&vars, &wrt, &mut out, grads.as_mut());
    (out[0], grads.data().to_vec())
}
