//! Exact answers for fine-tuning diffusion models by stochastic control, and the discretisation error of PI-FT measured
//! against them.
//!
//! [`prelude`] has what most programs need, [`guide`] a page for each task. Begin with
//! [fine-tuning in one dimension](guide::fine_tune) or with [any controlled diffusion](guide::controlled_diffusion).
//!
//! # The mathematics
//!
//! **The problem.** A pre-trained diffusion model generates from noise ($t = 0$) to data ($t = T$) by
//!
//! $$ dY = \left( \frac{b}{2} Y + b s(t,Y) \right) dt + \sqrt{b} dB, \qquad s(t,y) = \nabla \log p(T-t, y), $$
//!
//! with $b(t)$ the noise rate and $p(\tau, y)$ the law of the data noised for a time $\tau$. Fine-tuning it by control means to replace
//! the score $s$ by a control $U$ and to maximise
//!
//! $$ J(U) = E \left( r(Y(T)) - \int_0^T \beta \frac{b}{2} |U - s|^2 dt \right) : $$
//!
//! the reward, less $\beta$ times the relative entropy to the model (Han, Razaviyayn and Xu, Stochastic Control for Fine-tuning
//! Diffusion Models, arXiv:2412.18164).
//!
//! **Its solution.** The value $V(t,y)$, the largest $J$ from $y$ at time $t$ on, solves the Hamilton-Jacobi-Bellman equation
//!
//! $$ \partial_t V + \left( \frac{b}{2} y + b s \right) \cdot \nabla V + \frac{b}{2} \Delta V + \frac{b}{2\beta} |\nabla V|^2 = 0,
//! \qquad V(T,\cdot) = r, \qquad U^\ast = s + \frac{1}{\beta} \nabla V. $$
//!
//! With constant $\beta$ it is linear in $e^{V/\beta}$ (Cole-Hopf), the optimal process is the exact reverse diffusion of the tilted
//! law $p e^{r/\beta} / Z$, and for Gaussian mixtures with quadratic or log-sum-exp rewards all of it is known in closed form
//! ([`model::exact`]).
//!
//! **Any controlled diffusion.** [`hjb`] and [`rollout`] are written for
//!
//! $$ dX = ( f + G v ) dt + \sigma dB, \qquad \max E \left( g(X(T)) + \int_0^T ( l - c(v) ) dt \right), $$
//!
//! $$ \partial_t V + f \cdot \nabla V + \frac{1}{2} \mathrm{tr} ( \sigma \sigma^T \nabla^2 V ) + l +
//! \sup \left( (G v) \cdot \nabla V - c(v) : v \right) = 0, $$
//!
//! fine-tuning being the case $f = \frac{b}{2} y + b s$, $G = b$, $\sigma = \sqrt{b}$, $c = \beta \frac{b}{2} |v|^2$, $v = U - s$.
//!
//! **Discrete time.** The sampler is a chain, $k = 0, \ldots, N-1$, with $a_k = \exp(-\int b)$ over the step and
//! $\sigma_k^2 = 1 - a_k$:
//!
//! $$ Y_{k+1} = \frac{Y_k + (1-a_k) U_k}{\sqrt{a_k}} + \sigma_k W_k, \qquad \text{cost of a step} \quad
//! \beta \frac{(1-a_k)^2}{2 a_k \sigma_k^2} |U_k - s|^2. $$
//!
//! PI-FT goes backward in $k$ and, with the value $V_{k+1}$ of the next step held, iterates
//!
//! $$ U_k \leftarrow s + \frac{\sqrt{a_k} \sigma_k^2}{\beta (1-a_k)} E \left( \nabla V_{k+1}(Y_{k+1}) \right), $$
//!
//! which contracts by $\rho_k = \sigma_k^2 \mathrm{Lip}(\nabla V_{k+1}) / \beta = O(1/N)$. [`pift`] solves the chain; [`bridge`] measures that
//! its value and control differ from the continuous ones by $O(1/N)$, and by $O(1/N^2)$ after Richardson's extrapolation.
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
//! | controlled diffusions from formulas, from closures | [`model::formulated`], [`model::closures`] | `solvers/model/src` | |
//! | trained networks as scores | [`model::network`] | `solvers/model/src/network` | |
//! | one call from a problem to V, its control and its error | [`Solve`] | `src/solve_builder.rs` | |
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
//! * No preference: [`Solve`].
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

pub mod benchmark;
pub mod bridge;
#[cfg(feature = "cli")]
pub mod cli;
pub mod guide;
pub mod prelude;
pub mod problem;
pub mod report;
pub mod run;
mod solve_builder;

pub use solve_builder::{Solution, Solve};
