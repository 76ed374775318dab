//! Failures seen in other solvers of the same equations, each turned into a test against a closed form or a property.
//!
//! Every test is named after the failure and begins with what was seen. None of them is about a particular package: these are
//! the ways in which grids, floating point and convergence flags go wrong.
#![allow(missing_docs)]

mod indices;
mod input;
mod layers;
mod model;
mod refinement;
mod reproducibility;
