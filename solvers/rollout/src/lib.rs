//! Reproducible parallel simulation of controlled diffusions
//!
//!   dX = [ f(t,X) + G(t,X) v(t,X) ] dt + sigma(t,X) dB,   J = E[ g(X_T) + int ( l - v'Rv/2 ) dt ]
//!
//! under a given feedback v.
//!
//! | what | where |
//! |---|---|
//! | run, replay | [`Ensemble`], [`RolloutParams`], [`Trajectory`] |
//! | schemes | [`EulerMaruyama`] (strong order 1/2, weak order 1) behind [`SdeScheme`] |
//! | noise | [`noise`]: Philox4x32-10 and Box-Muller, addressed by (seed, path, level, step, component) |
//! | Sobol points with a Brownian bridge | [`NoiseSource::Sobol`](noise::NoiseSource), errors from [`Ensemble::replicate`] |
//! | coupled levels | [`RolloutParams::coarsening`]: coarse increments are sums of fine ones |
//! | estimates | [`reduce`]: [`Estimate`], [`RolloutSummary`], or your own [`Reducer`] |
//!
//! Every figure is bit for bit the same for any number of threads, and path i of a run of n paths is path i of a run of
//! n' paths: noise is keyed by the path, paths advance in fixed blocks of [`LANES`](noise::LANES) lanes, and blocks are
//! reduced in the order of their numbers.
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
mod recorded;
pub mod reduce;
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
pub use recorded::{PathSelection, RecordedPaths};
pub use reduce::{Estimate, FinishedPaths, Histogram, HistogramParams, MeasureReducer, Record, Reducer, RolloutSummary};
pub use replay::Trajectory;
pub use replicate::Replications;
pub use scheme::{SdeScheme, StageTimes};
pub use srk15::AdditiveRungeKutta;
pub use stop::{StopRule, StoppedBy};
pub use time_grid::TimeGrid;
pub use weak2::PlatenWeak2;
