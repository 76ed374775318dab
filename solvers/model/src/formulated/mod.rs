//! Controlled diffusions written as formulas.
//!
//!   dX = [ f(t,X) + G(t,X) v ] dt + sigma(t,X) dB,   discounted reward  g(X_T) + int ( l(t,X) - c(t,X,v) ) dt,
//!
//! with every coefficient a text in t, x0, x1, ... (in the control's cost also u0, u1, ...) and named parameters.
//! [`FormulaDiffusion`] is the [`crate::ControlledDiffusion`] they define; [`FormulaField`] is a single formula, for targets,
//! obstacles and known solutions.
//!
//! The traits of this crate return numbers, not errors. A formula that is NaN or infinite at a point therefore writes that
//! value and notes its name, text and point; [`FormulaDiffusion::fault`] says it once a solver has stopped at the value.

mod builder;
mod diffusion;
mod faults;
mod field;
mod matrix;
mod scope;
#[cfg(test)]
mod tests;

pub use builder::FormulaDiffusionBuilder;
pub use diffusion::{CostFormula, DiffusionFormulas, FormulaDiffusion};
pub use field::FormulaField;
pub use matrix::MatrixFormula;
