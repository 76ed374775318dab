//! Exact answers for fine-tuning diffusion models by stochastic control, and the discretisation error of PI-FT measured
//! against them.
//!
//! A pre-trained diffusion model generates by dY = [(b/2) Y + b s(t,Y)] dt + sqrt(b) dB. Fine-tuning it by control means to
//! replace the score s by a control U and to
//!
//!   maximise  E[ r(Y_T) - int_0^T beta (b/2) |U - s|^2 dt ].
//!
//! The optimum is U* = s + grad V / beta, V the solution of a Hamilton-Jacobi-Bellman equation. hjbridge solves that equation
//! on a grid, simulates the optimal policy, solves the discrete-time problem by PI-FT (Han, Razaviyayn and Xu, Stochastic
//! Control for Fine-tuning Diffusion Models, arXiv:2412.18164), and measures how the second converges to the first.
//!
//! # Index of algorithms
//!
//! | method | type | where | reference |
//! |---|---|---|---|
//! | HJB, Howard iteration per step | [`hjb::HjbSolver`] | `solvers/hjb` | Forsyth and Labahn 2007 |
//! | HJB, whole-horizon policy iteration | [`hjb::PolicyIteration`] | `solvers/hjb` | Howard 1960 |
//! | HJB, high order in space, adaptive in time | [`hjb::SmoothSolver`] | `solvers/hjb/src/smooth` | Sommeijer, Shampine and Verwer 1998 |
//! | HJB, linear (Cole-Hopf) in the logarithm | [`hjb::cole_hopf`] | `solvers/hjb/src/cole_hopf` | Fleming 1977 |
//! | HJB, operator splitting | [`hjb::AdiSolver`] | `solvers/hjb/src/adi` | in 't Hout and Welfert 2009 |
//! | choice of the route, certificate of accuracy | [`hjb::RouteSolver`], [`hjb::Certifier`] | `solvers/hjb/src/route` | |
//! | finite sets of controls, any running cost, full G and R | [`hjb::SearchParams`] | `solvers/hjb/src/controls` | |
//! | upwind, hybrid and fitted differences, cross derivatives | [`hjb::space`] | `solvers/hjb/src/space` | Wang and Forsyth 2008; Scharfetter and Gummel 1969 |
//! | implicit Euler, Crank-Nicolson with Rannacher start, TR-BDF2 | [`hjb::time`] | `solvers/hjb/src/time` | Rannacher 1984; Bank et al. 1985 |
//! | discounted infinite horizon, exit and hitting problems | [`hjb::StationarySolver`] | `solvers/hjb` | Howard 1960; Shortley and Weller 1938 |
//! | optimal stopping | [`hjb::HjbSolver::with_obstacle`], [`hjb::StationarySolver::with_obstacle`] | `solvers/hjb` | Forsyth and Vetzal 2002 |
//! | tridiagonal, sparse LU, BiCGSTAB, multigrid, ADI | [`hjb::linear`] | `solvers/hjb/src/linear` | |
//! | Fokker-Planck by the transposed generator, exact adjoint, stationary density | [`hjb::FokkerPlanck`], [`hjb::AdjointLaw`], [`hjb::StationaryDensity`] | `solvers/hjb` | Chang and Cooper 1970 |
//! | controlled diffusions from formulas | [`model::formulated`] | `solvers/model/src/formulated` | |
//! | ensembles of paths, keyed or Sobol noise | [`rollout::Ensemble`] | `solvers/rollout` | Salmon et al. 2011 (noise) |
//! | eight schemes from Euler-Maruyama to weak order 2, DDPM, DDIM | [`rollout::SdeScheme`] | `solvers/rollout/src` | Kloeden and Platen 1992; arXiv:2006.11239, 2010.02502 |
//! | multilevel Monte Carlo, weak extrapolation | [`rollout::multilevel`] | `solvers/rollout/src/multilevel` | Giles 2008 |
//! | antithetic pairs, martingale control variates, importance sampling | [`rollout`] | `solvers/rollout/src` | |
//! | one ensemble or sweep over several processes | [`rollout::ranks`], [`run::sweep`] | `solvers/rollout/src/ranks`, `src/run/sweep.rs` | MPI 3.1 |
//! | PI-FT on a grid | [`pift::PiFt`] | `solvers/pift` | arXiv:2412.18164 |
//! | parametric PI-FT in any dimension | [`pift::parametric`] | `solvers/pift/src/parametric` | arXiv:2412.18164 |
//! | law of the discrete chain | [`pift::ChainLaw`] | `solvers/pift` | |
//! | discrete against continuous | [`bridge::bridge`] | `src/bridge` | arXiv:2412.18164 |
//! | a given policy against the optimum, from both sides | [`run::certify`], [`run::certify_sampled`], [`run::certify_controlled`] | `src/run/certify` | Donsker and Varadhan 1983 |
//! | closed forms | [`model::exact`] | `solvers/model/src/exact` | |
//!
//! # Which solver should I use
//!
//! * The exact answer of a fine-tuning problem with a mixture prior and constant KL weight: [`model::exact::closed_form`].
//! * The exact answer on a grid for anything else: [`hjb::RouteSolver`], which chooses between the next two and certifies.
//! * Smooth data, no kinks: [`hjb::SmoothSolver`]. Kinks, obstacles, targets, finite sets of controls: [`hjb::HjbSolver`] with
//!   the default schemes; add [`hjb::Space::Upwind`] and [`hjb::Time::ImplicitEuler`] when monotonicity matters more than order.
//! * No horizon (discount, exit, hitting, stopping): [`hjb::StationarySolver`]; rare events at constant temperature, where exp(V) spans
//!   many decades: [`hjb::cole_hopf`].
//! * The discrete-time answer: [`pift::PiFt`]; beyond three dimensions [`pift::parametric`], with a bound on what it misses. Its distance to the continuous one: [`bridge::bridge`].
//! * How far from optimal a policy of your own is: [`run::certify`].
//! * The law and the objective of a policy: [`rollout::Ensemble`] in any dimension, [`hjb::FokkerPlanck`] on a grid.

pub use hjbridge_hjb as hjb;
pub use hjbridge_model as model;
pub use hjbridge_pift as pift;
pub use hjbridge_rollout as rollout;

pub mod bridge;
#[cfg(feature = "cli")]
pub mod cli;
pub mod problem;
pub mod report;
pub mod run;
