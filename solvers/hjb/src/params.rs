//! Parameters of the HJB solver and what it reports.

use crate::controls::SearchParams;
use crate::error::HjbError;
use crate::faces::Faces;
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::sense::Sense;
use crate::solution::Storage;
use crate::space::Space;
use crate::time::Time;
use serde::Serialize;

/// Parameters of [`crate::HjbSolver`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HjbParams {
    /// Space scheme.
    pub space: Space,
    /// Time scheme.
    pub time: Time,
    /// Number N of equal time steps, at least 1.
    pub steps: usize,
    /// Condition at the faces of the box.
    pub boundary: Faces,
    /// Linear solver.
    pub linear: LinearSolverChoice,
    /// Howard's iteration stops when the residual of the discrete equation, summed over all stages, is below this relative
    /// to the size of the value: each stage gets the share of its length (never less than the rounding of the operator).
    /// With a monotone scheme this bounds the error of the iteration. The change of the value that a further iteration would
    /// make must be below the tolerance too: without negative rates the residual bounds it, with some the last change is
    /// taken. In (0, 1).
    pub howard_tolerance: f64,
    /// Largest number of linear solves per stage.
    pub howard_max_iterations: usize,
    /// Which time levels are kept by `solve`.
    pub storage: Storage,
    /// The value has blown up when sup |V| exceeds this multiple of sup |g| + int sup |l|. Larger than 1.
    pub growth_limit: f64,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
    /// Make a negative rate of the generator of an accepted policy an error ([`HjbError::NotMonotone`]). Off by default:
    /// violations are counted in [`HjbInfo::monotonicity`].
    pub require_monotone: bool,
    /// Whether the functional is maximised or minimised; values are reported in the sign of the user.
    pub sense: Sense,
    /// Search for the best control where the cost is general.
    pub search: SearchParams,
}

impl Default for HjbParams {
    fn default() -> Self {
        HjbParams {
            space: Space::default(),
            time: Time::default(),
            steps: 200,
            boundary: Faces::default(),
            linear: LinearSolverChoice::default(),
            howard_tolerance: 1e-11,
            howard_max_iterations: 50,
            storage: Storage::default(),
            growth_limit: 1e8,
            memory_limit: 4 << 30,
            require_monotone: false,
            sense: Sense::default(),
            search: SearchParams::default(),
        }
    }
}

impl HjbParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        if self.steps == 0 {
            return Err(HjbError::invalid("steps", self.steps, "at least 1"));
        }
        if !(self.howard_tolerance > 0.0 && self.howard_tolerance < 1.0) {
            return Err(HjbError::invalid("howard_tolerance", self.howard_tolerance, "in (0, 1)"));
        }
        if self.howard_max_iterations == 0 {
            return Err(HjbError::invalid("howard_max_iterations", self.howard_max_iterations, "at least 1"));
        }
        if self.growth_limit.is_nan() || self.growth_limit <= 1.0 {
            return Err(HjbError::invalid("growth_limit", self.growth_limit, "larger than 1"));
        }
        self.search.validate()?;
        self.storage.validate()
    }
}

/// What [`crate::HjbSolver`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HjbInfo {
    /// Name of the space scheme.
    pub space: &'static str,
    /// Whether the functional was maximised or minimised.
    pub sense: Sense,
    /// Name of the time scheme.
    pub time: &'static str,
    /// Order of the time scheme.
    pub time_order: u32,
    /// Condition at the faces.
    pub boundary: Faces,
    /// How the best control was found: "per axis" (in closed form), "coupled quadratic", "finite set", "refined lattice".
    pub maximisation: &'static str,
    /// Number of nodes.
    pub nodes: usize,
    /// Number of time steps.
    pub steps: usize,
    /// Implicit stages (start-up half steps counted singly).
    pub stages: usize,
    /// Linear solves in total.
    pub inner_iterations: usize,
    /// Most linear solves in one stage.
    pub max_inner_iterations: usize,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest residual of the discrete equation left over, in units of V.
    pub worst_residual: f64,
    /// Largest change of the value in any stage that a further iteration could have made: bounded by the residual where no
    /// rate is negative, the last change of the stage elsewhere.
    pub worst_change: f64,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates over the generators of all accepted policies.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// Bytes of the stage arrays and of the factorisation, for n nodes in d dimensions with m controls.
pub(crate) fn workspace_bytes(n: usize, d: usize, m: usize) -> u64 {
    let n = n as u64;
    let (d, m) = (d as u64, m as u64);
    // Coefficients, difference weights, rates, windows, policy, three stencil matrices with their diagonal neighbours,
    // vectors, and full G and R with their search: 8-byte entries per node, for the worst case of each.
    let stencil = 2 * d + 1 + 2 * d * (d - 1);
    let arrays = 8 * n * (22 * d + 10 * m + 3 * stencil + 2 * d * m + 2 * m * m + d * d + 12);
    // Fill of a sparse LU, measured for d = 2 and scaled with the known exponent for d >= 3.
    let size = n as f64;
    let factors = match d {
        1 => 64.0 * size,
        2 => 128.0 * size * size.log2(),
        _ => 64.0 * size.powf(4.0 / 3.0),
    };
    arrays.saturating_add(factors as u64)
}

/// An error when `required` exceeds `limit`.
pub(crate) fn check_memory(required: u64, limit: u64) -> Result<(), HjbError> {
    if required > limit { Err(HjbError::Memory { required, limit }) } else { Ok(()) }
}
