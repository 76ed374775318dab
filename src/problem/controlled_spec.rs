//! The types of a problem file of kind `controlled_diffusion`: any controlled diffusion, by formulas.

use super::formula_text::{FormulaText, MatrixSpec};
use super::spec::{GridSpec, RegionSpec, SchemeSpec};
use super::tagged::tagged;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kind of these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ControlledKind {
    /// `controlled_diffusion`.
    ControlledDiffusion,
}

/// A controlled diffusion as written in a file. Formulas are in t, x0, x1, ..., the parameters, and for `control_cost` u0, u1, ...
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ControlledFile {
    /// Always `controlled_diffusion`.
    pub kind: ControlledKind,
    /// Name of the problem; the output goes to `out/NAME`.
    pub name: String,
    /// One sentence for reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// T; absent for a stationary problem (infinite horizon with discount, or exit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<f64>,
    /// Whether the functional is maximised or minimised.
    #[serde(default)]
    pub sense: SenseSpec,
    /// Numbers with names that formulas may use.
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    /// The drift f, one formula for each coordinate.
    pub drift: Vec<FormulaText>,
    /// The control matrix G, d x m; a formula or number stands for that multiple of the identity.
    #[serde(default)]
    pub control_matrix: MatrixSpec,
    /// The noise matrix sigma, d x q; a formula or number stands for that multiple of the identity.
    #[serde(default)]
    pub diffusion: MatrixSpec,
    /// l: running reward when maximising, running cost when minimising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<FormulaText>,
    /// R of the control's cost v'Rv/2; default: the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_weight: Option<MatrixSpec>,
    /// The control's cost as a formula in t, x and u, in place of `control_weight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_cost: Option<FormulaText>,
    /// The controls allowed.
    #[serde(default)]
    pub controls: ControlsSpec,
    /// g: terminal reward when maximising, terminal cost when minimising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<FormulaText>,
    /// The discount rate rho >= 0, per unit of time.
    #[serde(default)]
    pub discount: f64,
    /// The set where the process ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// The reward (cost) for stopping at will.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<FormulaText>,
    /// The grid.
    pub grid: GridSpec,
    /// Conditions at the faces of the box, [lower, upper] for each axis; default: extrapolated with a horizon, reflecting
    /// without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faces: Option<Vec<[FaceSpec; 2]>>,
    /// V on Dirichlet faces, a formula in t and x; default: `terminal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_value: Option<FormulaText>,
    /// Time steps of the monotone route.
    #[serde(default = "default_time_steps")]
    pub time_steps: usize,
    /// Route and schemes.
    #[serde(default)]
    pub scheme: SchemeSpec,
    /// Errors are taken and pictures drawn over this box; default: the middle half of the grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare_on: Option<RegionSpec>,
    /// A known solution, for errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<ExactSpec>,
    /// Points at which V and the control at t = 0 are reported.
    #[serde(default)]
    pub start: Vec<Vec<f64>>,
    /// Paths of `rollout` from each point of `start`.
    #[serde(default = "default_paths")]
    pub paths: usize,
    /// Seed of `rollout`.
    #[serde(default)]
    pub seed: u64,
    /// Names of the coordinates with their units, for plots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis_labels: Option<Vec<String>>,
}

fn default_time_steps() -> usize {
    200
}

fn default_paths() -> usize {
    100_000
}

/// Maximise or minimise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SenseSpec {
    /// Maximise E[ g + int ( l - c ) ].
    #[default]
    Maximise,
    /// Minimise E[ g + int ( l + c ) ].
    Minimise,
}

/// The controls allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(remote = "Self", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(tag = "kind", rename = "ControlsSpec")]
pub enum ControlsSpec {
    /// All of R^m.
    Free {},
    /// No control.
    None {},
    /// Bounds, componentwise.
    Box {
        /// Lower bounds.
        lower: Vec<f64>,
        /// Upper bounds.
        upper: Vec<f64>,
    },
    /// Finitely many.
    Finite {
        /// The controls.
        values: Vec<Vec<f64>>,
    },
}

tagged!(ControlsSpec);

impl Default for ControlsSpec {
    fn default() -> Self {
        ControlsSpec::Free {}
    }
}

/// A set with boundary data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetSpec {
    /// The set is where this is not positive.
    pub level: FormulaText,
    /// V on it; default 0. It may depend on t when there is a horizon.
    #[serde(default = "zero")]
    pub value: FormulaText,
    /// Where its boundary is put.
    #[serde(default)]
    pub placement: PlacementSpec,
}

fn zero() -> FormulaText {
    FormulaText("0".into())
}

/// Where the boundary of a target is put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlacementSpec {
    /// Inside the cells: order 2.
    #[default]
    SubCell,
    /// At the nodes: order 1.
    Staircase,
}

/// Condition at a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaceSpec {
    /// V continues linearly.
    Extrapolated,
    /// The process is reflected.
    Reflecting,
    /// V is prescribed.
    Dirichlet,
    /// The axis closes on itself.
    Periodic,
}

/// A known solution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExactSpec {
    /// The known V(t, x).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<FormulaText>,
    /// The known control, one formula for each component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Vec<FormulaText>>,
}
