//! The high-order route for smooth problems: central differences of order 4, 6 or 8 and adaptive integration in time.
//!
//! | part | type | file |
//! |---|---|---|
//! | differences on uniform and stretched axes | [`Differences`] | `differences.rs` |
//! | solver | [`SmoothSolver`] | `solve.rs` |
//! | Runge-Kutta-Chebyshev, order 2, explicit | [`rkc::rkc`] | `rkc.rs` |
//! | BDF and ESDIRK3(4), implicit | [`Integrator`] | `method_of_lines.rs` |
//! | residual and Richardson certificates | [`hjb_residual`], [`richardson`] | `residual.rs` |
//!
//! Which integrator: Runge-Kutta-Chebyshev in two and three dimensions and for moderate tolerances; BDF in one dimension for
//! tight ones. For data with kinks use [`crate::HjbSolver`], whose schemes are monotone.

mod channels;
mod control;
pub mod differences;
mod method_of_lines;
mod operator;
mod panels;
pub mod params;
pub mod residual;
pub mod rkc;
mod row;
mod signs;
mod solve;

pub use differences::{CLOSURE_ORDER, Differences, fornberg_weights};
pub use params::{Integrator, Output, SmoothInfo, SmoothParams};
pub use residual::{ResidualInfo, ResidualParams, RichardsonEstimate, hjb_residual, richardson};
pub(crate) use solve::too_many_jumps;
pub use solve::{LevelView, SmoothSolver};
