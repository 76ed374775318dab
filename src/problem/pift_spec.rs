//! The section `pift` of a problem file: the discrete chain and its inner iteration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The discrete chain and PI-FT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PiFtSpec {
    /// a_k.
    pub alpha: AlphaSpec,
    /// sig_k^2.
    pub variance: VarianceSpec,
    /// The one-step problem.
    pub kernel: KernelSpec,
    /// Inner iteration.
    pub inner: InnerSpec,
    /// What ends the inner iteration; ignored when `iterations` is given.
    pub stop: StopSpec,
    /// With the stop `tolerance`: when an update is below this.
    pub tolerance: f64,
    /// A fixed number m of inner iterations.
    pub iterations: Option<usize>,
    /// Gauss-Hermite nodes in each direction; absent: chosen by an error estimate.
    pub quadrature_nodes: Option<usize>,
    /// Where the times t_k lie.
    pub time_grid: TimeGridSpec,
}

impl Default for PiFtSpec {
    fn default() -> Self {
        PiFtSpec {
            alpha: AlphaSpec::default(),
            variance: VarianceSpec::default(),
            kernel: KernelSpec::default(),
            inner: InnerSpec::default(),
            stop: StopSpec::default(),
            tolerance: 1e-10,
            iterations: None,
            quadrature_nodes: None,
            time_grid: TimeGridSpec::default(),
        }
    }
}

/// Where the times t_k of the chain lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum TimeGridSpec {
    /// Equal steps.
    #[default]
    Uniform,
    /// Equal steps in the logarithm of the signal-to-noise ratio, cut off at T/1000 from the data.
    LogSnr,
    /// Steps that shrink linearly towards the data.
    Quadratic,
}

/// a_k from the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlphaSpec {
    /// a_k = exp(-int b).
    #[default]
    ExpIntegral,
    /// a_k = 1 - b h.
    Linear,
}

/// sig_k^2 from a_k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum VarianceSpec {
    /// 1 - a.
    #[default]
    OneMinusAlpha,
    /// (1 - a)/a.
    OverAlpha,
    /// The posterior variance.
    Posterior,
    /// The same for Gaussian data of the prior's mean variance.
    GaussianPosterior,
}

/// The one-step problem of PI-FT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum KernelSpec {
    /// The mean of each kernel is moved.
    #[default]
    MeanShift,
    /// The whole kernel may change: the soft Bellman equation
    Soft,
    /// Mean shift, and the soft value above it
    Both,
}

/// What ends the inner iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum StopSpec {
    /// An update below `tolerance`
    #[default]
    Tolerance,
    /// A bound on the error below the square of the step
    BelowStep,
}

/// Inner iteration of PI-FT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum InnerSpec {
    /// Plain while it contracts, safeguarded Newton otherwise.
    #[default]
    Auto,
    /// The fixed-point iteration of PI-FT.
    Plain,
    /// Damped.
    Damped,
    /// Newton.
    Newton,
    /// Damped, accelerated at every node
    Anderson,
}
