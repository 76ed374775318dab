//! The choice of route: which solver has the smaller error for its work on the problem at hand.
//!
//! | part | type | file |
//! |---|---|---|
//! | the solver | [`RouteSolver`], [`solve`] | `choose.rs` |
//! | solutions on coarser grids | | `pilots.rs` |
//! | high-order route: certificate and verdict | | `high_order.rs` |
//! | monotone and Cole-Hopf route | | `low_order.rs` |
//! | parameters and report | [`RouteParams`], [`RouteInfo`] | `params.rs` |
//! | kinks of the terminal reward | | `kinks.rs` |
//! | one solution by one route | | `run.rs` |
//! | levels to output times | | `sink.rs` |
//!
//! The choice is by measurement. The high-order route is admitted for a free or bounded control with quadratic cost, without
//! obstacle, at extrapolated faces, and for a terminal reward without kinks. Both routes then solve on coarser grids; when
//! they agree there, the high-order route solves at full size, and it is kept when its certificate holds:
//!
//! * Richardson's estimate of its error is below the error of the monotone route, the latter scaled to the same work,
//! * its differences fall with order 1 at least, or nothing but the tolerance in time is left of the error,
//! * it agrees with the monotone solution on a coarser grid within the estimates of both, or its residual is so small against
//!   their distance that this must be the error of the monotone one (which has order 1 only where diffusion degenerates,
//!   whatever its estimate assumes).
//!
//! A switch or a layer that the grid does not resolve costs the observed order and with it the certificate; then the
//! monotone route, which converges to the viscosity solution whatever the data, solves at full size. All decisions are
//! made from counted work and computed differences, never from the clock, so they are the same on every machine.
//! The coarser solutions serve the certificate too. Against the final solution alone, choice and certificate cost a third more
//! for the monotone route in one dimension, a half to two thirds more for the high-order route in two dimensions (less on
//! larger grids), and about as much again in one dimension (1.2 times for 801 nodes), where an implicit integrator takes as many
//! steps on coarse grids as on fine ones. A fallback costs the rejected solution besides.
//!
//! Where the high-order route is out, the Cole-Hopf route is compared with the monotone one, when the temperature is constant:
//! it is taken when the two agree on the half grid and its expected error is the smaller one by a margin at the same work.

mod choose;
mod high_order;
mod kinks;
mod low_order;
pub mod params;
mod pilots;
mod run;
mod sink;

pub use choose::{RouteSolver, solve};
pub use params::{CandidateInfo, Route, RouteChoice, RouteInfo, RouteParams, RouteView};
