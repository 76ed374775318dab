//! Reproducible parallel simulation of controlled diffusions
//!
//!   dX = [ f(t,X) + G(t,X) v(t,X) ] dt + sigma(t,X) dB,   J = E[ g(X_T) + int ( l - v'Rv/2 ) dt ]
//!
//! under a given feedback v. A discount rate rho weighs all of J by e^{-rho (t - t_0)}; any other cost c(t,x,v) of the control
//! may stand in place of v'Rv/2; a control outside the control set is moved to its nearest point and counted.
//!
//! | what | where |
//! |---|---|
//! | run, replay | [`Ensemble`], [`RolloutParams`], [`Trajectory`] |
//! | schemes | [`Ensemble::with_scheme`]; the [table](#schemes) below, or your own [`SdeScheme`] |
//! | time levels | [`TimeGrid`]: uniform, a list, uniform in log-SNR; [`Ensemble::with_time_grid`] |
//! | noise | [`noise`]: Philox4x32-10 and Box-Muller, addressed by (seed, path, level, step, component) |
//! | Sobol points with a Brownian bridge | [`NoiseSource::Sobol`](noise::NoiseSource), errors from [`Ensemble::replicate`] |
//! | coupled levels | [`RolloutParams::coarsening`]: coarse increments are sums of fine ones |
//! | estimates | [`Ensemble::run`] gives a [`RolloutSummary`]: an [`Estimate`] with standard error and n for each; [`reduce`] |
//! | quantiles, histograms of one and two coordinates, all final states | [`Record`], [`Ensemble::with_record`] |
//! | other numbers of each path | [`MeasureReducer`], or your own [`Reducer`], with [`Ensemble::reduce`] |
//! | sums along each path | [`PathFunctional`], [`Ensemble::with_functional`] |
//! | relative entropy to other paths, and its weight | [`estimators::GirsanovWeight`] |
//! | chance and time of a first exit | [`estimators::first_exit`] |
//! | reflection at the faces of a box | [`Reflection`], [`Ensemble::with_reflection`] |
//! | antithetic pairs | [`RolloutParams::antithetic`] |
//! | control variate from a value function | [`estimators::control_variate`] |
//! | importance sampling | [`estimators::exponential_mean`] |
//! | multilevel Monte Carlo | [`multilevel::multilevel`] to [`multilevel::MultilevelParams::standard_error`] |
//! | the step's bias removed | [`estimators::weak_extrapolation`] |
//! | standard error or time to stop at | [`StopRule`], [`Ensemble::with_stop`] |
//! | interrupt | [`Ensemble::with_interrupt`]; then [`RolloutInfo::partial`] |
//! | checkpoint, resume | [`Ensemble::start`], [`Ensemble::resume`], [`RunState`] as JSON |
//! | saved paths | [`Ensemble::record_paths`], [`PathSelection`], [`RecordedPaths`] |
//!
//! Several processes share an ensemble by [`Ensemble::with_ranks`]; see [`ranks`] (and feature `mpi`).
//!
//! Every figure is bit for bit the same for any number of threads, and path i of a run of n paths is path i of a run of
//! n' paths: noise is keyed by the path, paths advance in fixed blocks of [`LANES`](noise::LANES) lanes, and blocks are
//! reduced in the order of their numbers.
//!
//! # Schemes
//!
//! | scheme | file | strong order | weak order | normals | drift and v | sigma (x) | when |
//! |---|---|---|---|---|---|---|---|
//! | [`EulerMaruyama`] | `euler_maruyama.rs` | 1; 1/2 | 1; 1 | 1 | 1 | 1 | the default; cheapest step; f, sigma need not be smooth |
//! | [`ExponentialIntegrator`] | `exponential_integrator.rs` | 1; 1/2 | 1; 1 | 1 | 1 | 1 | fine-tuning with a b that varies; a stiff linear drift |
//! | [`Milstein`] | `milstein.rs` | 1; 1 | 1; 1 | 1 | 1 | 2, or 1 + q | sigma(x) diagonal or commutative, and paths matter |
//! | [`StochasticHeun`] | `heun.rs` | 1; 1 | 2; 1 | 1 | 2 | 2 + 4q | laws to order 2 when sigma does not depend on x; weak noise |
//! | [`AdditiveRungeKutta`] | `srk15.rs` | 3/2; 1/2 | 2; 1 | 2 | 2 | 2 | sigma does not depend on x, and paths matter: multilevel |
//! | [`PlatenWeak2`] | `weak2.rs` | 1; 1 | 2; 2 | 2 | 2 | 1 + 4q (3 if q = 1) | laws to order 2 for any noise |
//! | [`Ancestral`] (DDPM) | `ancestral.rs` | 1 | 1 | 1 | 1 | | the discrete chain of a diffusion model itself, as PI-FT solves it |
//! | the same, posterior variance | `ancestral.rs` | 1/2 | 1 | 1 | 1 | | published chains; on equal steps h log(1/h) |
//! | [`Ddim`], eta = 1 | `ddim.rs` | 1/2 | 1 | 1 | 1 | | the same chain in the DDIM family |
//! | [`Ddim`], eta < 1 | `ddim.rs` | none | 1 | 1 | 1 | | few steps, v optimal or zero; the law of Y_t only |
//!
//! Two orders: for a sigma that does not depend on x (it may depend on t), and otherwise; then the strong order is that for
//! commutative noise, without which it is 1/2 for all, and the weak order holds for any noise. Weak orders are those of the
//! objective as well. "normals" are standard normal numbers per Brownian component and step, the other two columns are
//! evaluations a step (of sigma where it is a field; none where it is a multiple of the identity). Every scheme works on every
//! time grid, with keyed noise, coarse noise, antithetic pairs and Sobol points (256 normals a path at most), and every path
//! of it can be replayed. `tests/schemes/table.rs` measures this table.
//!
//! ```
//! use hjbridge_model::{Coefficients, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, ZeroFeedback};
//! use hjbridge_rollout::{Ensemble, InitialState, RolloutParams};
//!
//! /// dX = (v - X) dt + dB, terminal reward -X^2.
//! struct OrnsteinUhlenbeck;
//! struct Ou;
//! impl Coefficients for Ou {
//!     fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
//!         for (o, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
//!             *o = -x;
//!         }
//!     }
//!     fn control_matrix(&self) -> MatrixCoefficient<'_> { MatrixCoefficient::Scaled(1.0) }
//!     fn diffusion(&self) -> MatrixCoefficient<'_> { MatrixCoefficient::Scaled(1.0) }
//!     fn control_weight(&self) -> MatrixCoefficient<'_> { MatrixCoefficient::Scaled(1.0) }
//! }
//! impl ControlledDiffusion for OrnsteinUhlenbeck {
//!     fn dim(&self) -> usize { 1 }
//!     fn control_dim(&self) -> usize { 1 }
//!     fn horizon(&self) -> f64 { 1.0 }
//!     fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> { Box::new(Ou) }
//!     fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
//!         for (o, x) in out.iter_mut().zip(x.coord(0)) {
//!             *o = -x * x;
//!         }
//!     }
//! }
//!
//! let params = RolloutParams { paths: 20_000, steps: 100, ..Default::default() };
//! let uncontrolled = ZeroFeedback { dim: 1, control_dim: 1 };
//! let (summary, _info) =
//!     Ensemble::new(&OrnsteinUhlenbeck, &uncontrolled, InitialState::Point(vec![0.0]), params)?.run()?;
//! // E X_T^2 = (1 - exp(-2T))/2 = 0.4323 up to the scheme's O(h) and the standard error.
//! assert!((summary.objective.mean + 0.4323).abs() < 0.02);
//!
//! // A long run: up to a million paths, until the standard error is 3e-3 or somebody sets `stop`, with a checkpoint after
//! // every wave of 32 768 paths; `Ensemble::resume` continues from the text bit for bit.
//! # use hjbridge_rollout::reduce::SummaryReducer;
//! # use hjbridge_rollout::{Record, RunState, StopRule, StoppedBy};
//! let stop = std::sync::atomic::AtomicBool::new(false);
//! let params = RolloutParams { paths: 1_000_000, steps: 20, ..Default::default() };
//! let ensemble = Ensemble::new(&OrnsteinUhlenbeck, &uncontrolled, InitialState::Point(vec![0.0]), params)?
//!     .with_stop(StopRule { standard_error: Some(3e-3), seconds: None })?
//!     .with_interrupt(&stop);
//! let empty = SummaryReducer::new(1, &Record::default())?;
//! let mut checkpoint = String::new();
//! let (state, info) = ensemble.resume(&empty, ensemble.start(&empty)?, &mut |state| {
//!     checkpoint = state.to_json()?;
//!     Ok(())
//! })?;
//! assert!(info.stopped_by == StoppedBy::StandardError && !info.partial && info.paths < 1_000_000);
//! assert!(state.reduced(&empty).finish()?.objective.standard_error <= 3e-3);
//! assert_eq!(RunState::from_json(&checkpoint)?, state);
//! # Ok::<(), hjbridge_rollout::RolloutError>(())
//! ```

mod ancestral;
mod checkpoint;
mod closed_loop;
mod ddim;
mod ensemble;
mod error;
pub mod estimators;
mod euler_maruyama;
mod exponential_integrator;
mod functional;
mod heun;
mod initial;
mod lanes;
mod milstein;
pub mod multilevel;
pub mod noise;
mod params;
pub mod ranks;
mod recorded;
pub mod reduce;
mod reflection;
mod replay;
mod replicate;
mod reverse_chain;
mod scheme;
mod simulation;
mod srk15;
mod stop;
mod sweep;
mod time_grid;
mod weak2;

pub use ancestral::{AlphaRule, Ancestral, ReverseVariance};
pub use checkpoint::RunState;
pub use closed_loop::{ClosedLoop, Level};
pub use ddim::Ddim;
pub use ensemble::Ensemble;
pub use error::RolloutError;
pub use euler_maruyama::EulerMaruyama;
pub use exponential_integrator::ExponentialIntegrator;
pub use functional::{PathFunctional, PreparedFunctional, StepView};
pub use heun::StochasticHeun;
pub use initial::InitialState;
pub use lanes::Lanes;
pub use milstein::Milstein;
pub use noise::{NoiseKey, NoiseSource};
pub use params::{RolloutInfo, RolloutParams};
pub use ranks::Ranks;
pub use recorded::{PathSelection, RecordedPaths};
pub use reduce::{Estimate, FinishedPaths, Histogram, HistogramParams, MeasureReducer, Record, Reducer, RolloutSummary};
pub use reflection::Reflection;
pub use replay::Trajectory;
pub use replicate::Replications;
pub use scheme::{SdeScheme, StageTimes};
pub use srk15::AdditiveRungeKutta;
pub use stop::{StopRule, StoppedBy, VARIED_BLOCKS};
pub use time_grid::TimeGrid;
pub use weak2::PlatenWeak2;
