//! Hamilton-Jacobi-Bellman equations on tensor grids by finite differences.
//!
//! For a [`hjbridge_model::ControlledDiffusion`], with a = sigma sigma' and c the cost of the control,
//!
//!   V_t + f.grad V + (1/2) sum_ij a_ij V_ij + l - rho V + sup_v { (G v).grad V - c(v) } = 0,   V(T) = g,
//!
//! is solved backward in time, and the law of the controlled process forward, with the transpose of the same operator.
//! Without V_t it is solved as an infinite-horizon, exit or hitting problem; with an obstacle, as optimal stopping. Costs
//! are minimised with [`Sense::Minimise`], in the sign of the user.
//!
//! Faces of the box: problems with a horizon extrapolate by default, right where the controlled drift points inward;
//! stationary problems reflect by default, since with an extrapolated face where the controlled drift points outward they have
//! a second, spurious solution (marked by [`StationaryInfo::reliable`]). A face in the target needs nothing. See [`Face`].
//!
//! | method | type | file |
//! |---|---|---|
//! | per-step Howard iteration | [`HjbSolver`] | `solve.rs`, `step.rs` |
//! | whole-horizon policy iteration | [`PolicyIteration`] | `policy_iteration.rs` |
//! | optimal stopping (obstacle problems) | [`HjbSolver::with_obstacle`], [`StationarySolver::with_obstacle`] | `obstacle.rs`, `step.rs`, `stationary/stopping.rs` |
//! | infinite horizon, discounted | [`StationarySolver`] | `stationary.rs`, `stationary/evaluation.rs` |
//! | a first policy that ends the process | [`StationaryInfo::start_solves`] | `stationary/start.rs` |
//! | exit and hitting problems | [`StationarySolver::with_target`], [`TargetSet`] | `exit.rs`, `stationary.rs` |
//! | linear (Cole-Hopf) route, finite horizon | [`cole_hopf::ColeHopfSolver`] | `cole_hopf/time_dependent.rs` |
//! | linear (Cole-Hopf) route, exit problems | [`cole_hopf::StationaryColeHopf`] | `cole_hopf/stationary.rs` |
//! | high order in space, adaptive in time, for smooth data | [`smooth::SmoothSolver`] | `smooth/` |
//! | operator splitting (Douglas, modified Craig-Sneyd) | [`AdiSolver`] | `adi/` |
//! | jumps and quick variation of the coefficients in time | | `time_variation/` |
//! | choice of the route by measurement | [`RouteSolver`], [`route::solve`] | `route/` |
//! | Richardson's estimate and residual of a solution | [`Certifier`] | `certificate/` |
//! | evaluation anywhere, points outside reported | [`ValueFunction::slice`], [`ValueSlice`] | `evaluation.rs` |
//! | Fokker-Planck equation | [`FokkerPlanck`] | `fokker_planck.rs` |
//! | law and objective of a policy by the exact adjoint | [`AdjointLaw`] | `adjoint.rs` |
//! | stationary density | [`StationaryDensity`] | `stationary_density.rs` |
//! | exit before a finite horizon | [`HjbSolver::with_target`] | `exit.rs`, `exit_data.rs`, `step.rs` |
//! | upwind differences, order 1, monotone | [`space::Upwind`] | `space/upwind.rs` |
//! | central where positive, order 2, monotone | [`space::Hybrid`] | `space/hybrid.rs` |
//! | exponentially fitted (Scharfetter-Gummel), order 2, monotone, for layers | [`space::Fitted`] | `space/fitted.rs` |
//! | cross derivatives, seven-point stencil | [`Generator::with_cross`] | `space/cross.rs` |
//! | extrapolated, reflecting, Dirichlet and periodic faces | [`Face`], [`Faces`] | `faces.rs`, `geometry.rs` |
//! | implicit Euler, order 1, monotone | [`time::ImplicitEuler`] | `time/implicit_euler.rs` |
//! | Crank-Nicolson with Rannacher start-up, order 2 | [`time::CrankNicolson`] | `time/crank_nicolson.rs` |
//! | TR-BDF2, order 2, L-stable | [`time::TrBdf2`] | `time/tr_bdf2.rs` |
//! | maximisation of the discrete Hamiltonian | [`Hamiltonian`] | `hamiltonian.rs`, `axis_maximum.rs` |
//! | finite control sets | [`hjbridge_model::ControlSet::Finite`] | `controls/finite.rs` |
//! | any running cost on a box, by lattice and pattern search | [`SearchParams`] | `controls/refined.rs` |
//! | quadratic cost with full G and R, exact | [`Hamiltonian::maximisation`] | `controls/coupled.rs` |
//! | generator | [`Generator`] | `generator.rs` |
//! | monotonicity certificate | [`Monotonicity`] | `monotonicity.rs` |
//! | tridiagonal elimination | [`linear::Tridiagonal`] | `linear/tridiagonal.rs` |
//! | sparse LU | [`linear::SparseLu`] | `linear/faer_lu.rs` |
//! | BiCGSTAB with ILU(0) | [`linear::BiCgStab`] | `linear/bicgstab.rs`, `linear/ilu0.rs` |
//! | geometric multigrid, alone or in BiCGSTAB | [`linear::Multigrid`] | `linear/multigrid/` |
//! | alternating-direction sweeps in BiCGSTAB | [`linear::Adi`] | `linear/adi.rs` |
//! | choice of the linear solver | [`LinearSolverChoice`] | `linear/auto.rs` |

mod adi;
mod adjoint;
mod axis_maximum;
pub mod certificate;
mod coefficients;
pub mod cole_hopf;
mod controls;
mod crossings;
mod curvature;
pub mod error;
mod evaluation;
mod exit;
mod exit_data;
mod faces;
mod fokker_planck;
mod generator;
mod geometry;
mod hamiltonian;
mod hamiltonian_search;
mod interrupt;
pub mod linear;
mod monotonicity;
mod norms;
mod obstacle;
mod params;
mod policy_iteration;
mod prescribed_control;
pub mod route;
mod sense;
pub mod smooth;
mod solution;
mod solve;
pub mod space;
mod stationary;
mod stationary_density;
mod stencil;
mod step;
pub mod time;
mod time_variation;

pub use adi::{AdiInfo, AdiParams, AdiScheme, AdiSolver};
pub use adjoint::{AdjointInfo, AdjointLaw, Objective, PolicySequence};
pub use certificate::{
    AccuracyCertificate, CertificateParams, Certifier, ErrorAtStart, ResidualCertificate, ResidualSampling, RichardsonCertificate,
};
pub use controls::SearchParams;
pub use error::{HjbError, IntegrationFailure, LinearError};
pub use evaluation::{Evaluation, EvaluationParams, FarthestPoint, ValueSlice};
pub use exit::{FaceValues, LevelSet, Placement, TargetSet, TimedLevelSet};
pub use faces::{Face, Faces};
pub use fokker_planck::{FokkerPlanck, FokkerPlanckInfo, FokkerPlanckParams, LawPath, masses_from_log_density};
pub use generator::Generator;
pub use hamiltonian::{Hamiltonian, Operator, Policy};
pub use linear::LinearSolverChoice;
pub use monotonicity::{Monotonicity, ViolationCause};
pub use obstacle::Obstacle;
pub use params::{HjbInfo, HjbParams};
pub use policy_iteration::{PolicyIteration, PolicyIterationInfo, PolicyIterationParams, SweepView};
pub use route::{Route, RouteChoice, RouteInfo, RouteParams, RouteSolver, RouteView};
pub use sense::Sense;
pub use smooth::{SmoothInfo, SmoothParams, SmoothSolver};
pub use solution::{Storage, ValueFunction};
pub use solve::{HjbSolver, StepView};
pub use space::Space;
pub use stationary::{StationaryInfo, StationaryParams, StationarySolver, StationaryValue};
pub use stationary_density::{StationaryDensity, StationaryDensityInfo, StationaryDensityParams, StationaryLaw};
pub use stencil::StencilMatrix;
pub use time::Time;
