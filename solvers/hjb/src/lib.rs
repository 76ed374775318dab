//! Hamilton-Jacobi-Bellman equations on tensor grids by finite differences.
//!
//! For a [`hjbridge_model::ControlledDiffusion`] with diagonal diffusion and diagonal control matrix,
//!
//!   V_t + f.grad V + (1/2) sum_i a_ii V_ii + l - rho V + sup_v { (G v).grad V - v'Rv/2 } = 0,   V(T) = g,
//!
//! is solved backward in time, and the law of the controlled process forward, with the transpose of the same operator.
//! Without V_t it is solved as an infinite-horizon, exit or hitting problem; with an obstacle, as optimal stopping. Costs
//! are minimised with [`Sense::Minimise`], in the sign of the user.
//!
//! | method | type | file |
//! |---|---|---|
//! | per-step Howard iteration | [`HjbSolver`] | `solve.rs`, `step.rs` |
//! | whole-horizon policy iteration | [`PolicyIteration`] | `policy_iteration.rs` |
//! | optimal stopping (obstacle problems) | [`HjbSolver::with_obstacle`] | `obstacle.rs`, `step.rs` |
//! | infinite horizon, discounted | [`StationarySolver`] | `stationary.rs` |
//! | exit and hitting problems | [`StationarySolver::with_target`], [`TargetSet`] | `exit.rs`, `stationary.rs` |
//! | high order in space, adaptive in time, for smooth data | [`smooth::SmoothSolver`] | `smooth/` |
//! | Fokker-Planck equation | [`FokkerPlanck`] | `fokker_planck.rs` |
//! | upwind differences, order 1, monotone | [`space::Upwind`] | `space/upwind.rs` |
//! | central where positive, order 2, monotone | [`space::Hybrid`] | `space/hybrid.rs` |
//! | implicit Euler, order 1, monotone | [`time::ImplicitEuler`] | `time/implicit_euler.rs` |
//! | Crank-Nicolson with Rannacher start-up, order 2 | [`time::CrankNicolson`] | `time/crank_nicolson.rs` |
//! | TR-BDF2, order 2, L-stable | [`time::TrBdf2`] | `time/tr_bdf2.rs` |
//! | maximisation of the discrete Hamiltonian | [`Hamiltonian`] | `hamiltonian.rs` |
//! | generator | [`Generator`] | `generator.rs` |
//! | monotonicity certificate | [`Monotonicity`] | `monotonicity.rs` |
//! | tridiagonal elimination | [`linear::Tridiagonal`] | `linear/tridiagonal.rs` |
//! | sparse LU | [`linear::SparseLu`] | `linear/faer_lu.rs` |
//! | BiCGSTAB with ILU(0) | [`linear::BiCgStab`] | `linear/bicgstab.rs`, `linear/ilu0.rs` |
//! | geometric multigrid, alone or in BiCGSTAB | [`linear::Multigrid`] | `linear/multigrid/` |
//! | choice of the linear solver | [`LinearSolverChoice`] | `linear/auto.rs` |

mod coefficients;
mod curvature;
pub mod error;
mod exit;
mod fokker_planck;
mod generator;
mod geometry;
mod hamiltonian;
pub mod linear;
mod monotonicity;
mod norms;
mod obstacle;
mod params;
mod policy_iteration;
mod sense;
pub mod smooth;
mod solution;
mod solve;
pub mod space;
mod stationary;
mod stencil;
mod step;
pub mod time;

pub use error::{HjbError, LinearError};
pub use exit::{LevelSet, Placement, TargetSet};
pub use fokker_planck::{FokkerPlanck, FokkerPlanckInfo, FokkerPlanckParams, LawPath, masses_from_log_density};
pub use generator::Generator;
pub use geometry::Boundary;
pub use hamiltonian::{Hamiltonian, Operator, Policy};
pub use linear::LinearSolverChoice;
pub use monotonicity::{Monotonicity, ViolationCause};
pub use obstacle::Obstacle;
pub use params::{HjbInfo, HjbParams};
pub use policy_iteration::{PolicyIteration, PolicyIterationInfo, PolicyIterationParams, SweepView};
pub use sense::Sense;
pub use smooth::{SmoothInfo, SmoothParams, SmoothSolver};
pub use solution::{Storage, ValueFunction};
pub use solve::{HjbSolver, StepView};
pub use space::Space;
pub use stationary::{StationaryInfo, StationaryParams, StationarySolver, StationaryValue};
pub use stencil::StencilMatrix;
pub use time::Time;
