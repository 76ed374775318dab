//! Hamilton-Jacobi-Bellman equations on tensor grids by finite differences.
//!
//! For a [`hjbridge_model::ControlledDiffusion`] with diagonal diffusion and diagonal control matrix,
//!
//!   V_t + f.grad V + (1/2) sum_i a_ii V_ii + l + sup_v { (G v).grad V - v'Rv/2 } = 0,   V(T) = g,
//!
//! is solved backward in time, and the law of the controlled process forward, with the transpose of the same operator.
//!
//! | method | type | file |
//! |---|---|---|
//! | per-step Howard iteration | [`HjbSolver`] | `solve.rs`, `step.rs` |
//! | whole-horizon policy iteration | [`PolicyIteration`] | `policy_iteration.rs` |
//! | Fokker-Planck equation | [`FokkerPlanck`] | `fokker_planck.rs` |
//! | upwind differences, order 1, monotone | [`space::Upwind`] | `space/upwind.rs` |
//! | central where positive, order 2, monotone | [`space::Hybrid`] | `space/hybrid.rs` |
//! | implicit Euler, order 1, monotone | [`time::ImplicitEuler`] | `time/implicit_euler.rs` |
//! | Crank-Nicolson with Rannacher start-up, order 2 | [`time::CrankNicolson`] | `time/crank_nicolson.rs` |
//! | maximisation of the discrete Hamiltonian | [`Hamiltonian`] | `hamiltonian.rs` |
//! | generator with monotonicity certificate | [`Generator`], [`Monotonicity`] | `generator.rs` |
//! | tridiagonal elimination | [`linear::Tridiagonal`] | `linear/tridiagonal.rs` |
//! | sparse LU | [`linear::SparseLu`] | `linear/faer_lu.rs` |

mod coefficients;
mod curvature;
pub mod error;
mod fokker_planck;
mod generator;
mod geometry;
mod hamiltonian;
pub mod linear;
mod norms;
mod params;
mod policy_iteration;
mod solution;
mod solve;
pub mod space;
mod stencil;
mod step;
pub mod time;

pub use error::{HjbError, LinearError};
pub use fokker_planck::{FokkerPlanck, FokkerPlanckInfo, FokkerPlanckParams, LawPath, masses_from_log_density};
pub use generator::{Generator, Monotonicity};
pub use geometry::Boundary;
pub use hamiltonian::{Hamiltonian, Operator, Policy};
pub use linear::LinearSolverChoice;
pub use params::{HjbInfo, HjbParams};
pub use policy_iteration::{PolicyIteration, PolicyIterationInfo, PolicyIterationParams, SweepView};
pub use solution::{Storage, ValueFunction};
pub use solve::{HjbSolver, StepView};
pub use space::Space;
pub use stencil::StencilMatrix;
pub use time::Time;
