//! Parameters of the splitting solver and what it reports.

use crate::controls::SearchParams;
use crate::error::HjbError;
use crate::faces::Faces;
use crate::monotonicity::Monotonicity;
use crate::sense::Sense;
use crate::solution::Storage;
use crate::space::Space;
use serde::Serialize;

/// How one time step is split over the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum AdiScheme {
    /// One implicit Euler sweep per axis, one after another: order 1. Each sweep is monotone with a monotone generator, and
    /// high modes are damped.
    LocallyOneDimensional,
    /// Douglas with theta = 1/2: order 2 without cross derivatives, order 1 with them. The default.
    #[default]
    Douglas,
    /// Modified Craig-Sneyd with theta = 1/3 (1/2 in three dimensions): order 2 with cross derivatives too, at twice the
    /// number of sweeps.
    ModifiedCraigSneyd,
}

impl AdiScheme {
    /// Name, as reports show it.
    pub fn name(self) -> &'static str {
        match self {
            AdiScheme::LocallyOneDimensional => "locally-one-dimensional",
            AdiScheme::Douglas => "douglas",
            AdiScheme::ModifiedCraigSneyd => "modified-craig-sneyd",
        }
    }
}

/// Parameters of [`crate::AdiSolver`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AdiParams {
    /// Space scheme.
    pub space: Space,
    /// Splitting.
    pub scheme: AdiScheme,
    /// Number N of equal time steps, at least 1.
    pub steps: usize,
    /// First steps replaced by two locally one-dimensional half steps each, to damp rough data; order 2 is kept. Zero for
    /// smooth data.
    pub damping_steps: usize,
    /// How often each step is repeated with the policy of its own result. The first step is repeated once more, for want of a
    /// history to extrapolate the policy from.
    pub corrections: usize,
    /// Condition at the faces; neither periodic nor Dirichlet.
    pub boundary: Faces,
    /// Which time levels are kept by `solve`.
    pub storage: Storage,
    /// The value has blown up when sup |V| exceeds this multiple of sup |g| + int sup |l|. Larger than 1.
    pub growth_limit: f64,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
    /// Whether the functional is maximised or minimised; values are reported in the sign of the user.
    pub sense: Sense,
    /// How a general control set or cost is searched.
    pub search: SearchParams,
}

impl Default for AdiParams {
    fn default() -> Self {
        AdiParams {
            space: Space::default(),
            scheme: AdiScheme::default(),
            steps: 200,
            damping_steps: 2,
            corrections: 0,
            boundary: Faces::default(),
            storage: Storage::default(),
            growth_limit: 1e8,
            memory_limit: 4 << 30,
            sense: Sense::default(),
            search: SearchParams::default(),
        }
    }
}

impl AdiParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        if self.steps == 0 {
            return Err(HjbError::invalid("steps", self.steps, "at least 1"));
        }
        if self.growth_limit.is_nan() || self.growth_limit <= 1.0 {
            return Err(HjbError::invalid("growth_limit", self.growth_limit, "larger than 1"));
        }
        self.search.validate()?;
        self.storage.validate()
    }
}

/// What [`crate::AdiSolver`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdiInfo {
    /// Name of the space scheme.
    pub space: &'static str,
    /// Name of the splitting.
    pub scheme: &'static str,
    /// Whether the functional was maximised or minimised.
    pub sense: Sense,
    /// Order in the step, for smooth data: 2, or 1 for Douglas with cross derivatives and for the locally one-dimensional
    /// scheme.
    pub time_order: u32,
    /// Number of nodes.
    pub nodes: usize,
    /// Number of time steps.
    pub steps: usize,
    /// Sweeps over all lines of one axis, in total.
    pub sweeps: usize,
    /// Seconds spent in the sweeps.
    pub sweep_seconds: f64,
    /// Negative rates of the generators. Splittings of order 2 are not monotone even where this says that the generator is.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}
