//! Policy iteration for fine-tuning (PI-FT) on the discrete chain of a denoising diffusion model.
//!
//! | method | type | file | reference |
//! |---|---|---|---|
//! | the chain, rules for a_k and sig_k | [`Ddpm`] | `ddpm.rs` | Ho, Jain, Abbeel, arXiv:2006.11239 |
//! | backward sweep on a grid | [`PiFt`] | `solve.rs` | Han, Razaviyayn, Xu, arXiv:2412.18164 |
//! | mean-shift and soft Bellman step | [`BellmanKind`] | `bellman.rs` | the same; Donsker-Varadhan |
//! | plain inner iteration | [`Inner::Plain`] | `inner/plain.rs` | Han, Razaviyayn, Xu |
//! | damped inner iteration | [`Inner::Damped`] | `inner/damped.rs` | Richardson |
//! | Newton inner iteration | [`Inner::Newton`] | `inner/newton.rs` | |
//! | Anderson acceleration | [`Inner::Anderson`] | `inner/anderson.rs` | Anderson 1965; Walker, Ni 2011 |
//! | expectations over the noise | [`NormalQuadrature`] | `quadrature.rs` | Gauss-Hermite |
//! | on the grid, axis by axis, or at every point | [`Expectation`] | `expectation.rs` | |
//! | policies with parameters, any d | [`parametric`] | `parametric/` | Han, Razaviyayn, Xu |
//! | law of the chain under a control, d = 1 | [`ChainLaw`] | `law.rs` | |
//!
//! A standard normal prior and r(x) = x on [0, 1] with b = 1 and beta = 1. The soft value is exact here, because the chain with
//! sig^2 = 1 - a reverses the noising of a standard normal law exactly: V(0, y) = e y + (1 - e^2)/2 with e = exp(-1/2). What is
//! left is the error of the quadrature, whose nodes are chosen for an error far below the gap of one step.
//!
//! ```
//! use hjbridge_model::{Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, Reward, Schedule, TensorGrid};
//! use hjbridge_pift::{BellmanKind, Ddpm, DdpmParams, PiFt, PiFtParams};
//! use std::sync::Arc;
//!
//! let problem = FineTuning::new(
//!     Schedule::constant(1.0, 1.0)?,
//!     GaussianMixture::standard_normal(1)?,
//!     Reward::linear(vec![1.0], 0.0)?,
//!     KlWeight::constant(1.0)?,
//!     InitialLaw::StandardNormal,
//! )?;
//! let chain = Ddpm::new(&problem, DdpmParams { steps: 16, ..Default::default() })?;
//! let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-4.0, 4.0, 81)?])?);
//! let params = PiFtParams { bellman: BellmanKind::Soft, ..Default::default() };
//! let solution = PiFt::new(&chain, grid.clone(), params)?.solve()?;
//! let e = (-0.5f64).exp();
//! for (y, v) in grid.axis(0).nodes().iter().zip(solution.initial_value()) {
//!     assert!((v - (e * y + 0.5 * (1.0 - e * e))).abs() < 1e-7);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bellman;
mod block;
mod ddpm;
mod error;
mod expectation;
mod info;
mod inner;
mod law;
mod law_grid;
pub mod parametric;
mod params;
mod quadrature;
mod regularity;
mod rules;
mod solution;
mod solve;
mod symmetric;
mod time_grid;

pub use bellman::BellmanKind;
pub use ddpm::{Ddpm, DdpmParams, DdpmParts, DdpmStep};
pub use error::PiFtError;
pub use expectation::{Expectation, QuadratureInfo};
pub use info::{IterateInfo, PiFtInfo, RegularityInfo, RewardInfo, StepInfo};
pub use inner::{Inner, InnerRule};
pub use law::{ChainLaw, ChainLawInfo, ChainLawParams, ChainPolicy};
pub use law_grid::{GridLaw, GridLawInfo};
pub use params::{PiFtParams, Storage};
pub use quadrature::NormalQuadrature;
pub use rules::{AlphaRule, VarianceRule};
pub use solution::{PiFtSolution, StepView};
pub use solve::PiFt;
pub use time_grid::TimeGrid;
