//! Parameters of the Cole-Hopf solvers and what they report.

use crate::error::HjbError;
use crate::faces::Faces;
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::sense::Sense;
use crate::solution::Storage;
use crate::space::Space;
use crate::time::Time;
use serde::Serialize;

/// Parameters of [`super::ColeHopfSolver`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ColeHopfParams {
    /// Space scheme.
    pub space: Space,
    /// Time scheme; all of them keep phi positive, see [`super::ColeHopfSolver`].
    pub time: Time,
    /// Number N of equal time steps, at least 1.
    pub steps: usize,
    /// Condition at the faces of the box, for phi.
    pub boundary: Faces,
    /// Linear solver.
    pub linear: LinearSolverChoice,
    /// Whether the functional is maximised or minimised; values are reported in the sign of the user.
    pub sense: Sense,
    /// Which time levels are kept by `solve`.
    pub storage: Storage,
    /// Where one correction of phi does not suffice, they are iterated until one changes phi by less than this, relative to
    /// phi at each node; corrections that rounding keeps from decreasing below 1e-6 end the iteration too. In (0, 1).
    pub tolerance: f64,
    /// Largest number of linear solves per stage, at least 1. Some ten decades of the range of phi are gained by each.
    pub max_iterations: usize,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
}

impl Default for ColeHopfParams {
    fn default() -> Self {
        ColeHopfParams {
            space: Space::default(),
            time: Time::default(),
            steps: 200,
            boundary: Faces::default(),
            linear: LinearSolverChoice::default(),
            sense: Sense::default(),
            storage: Storage::default(),
            tolerance: 1e-11,
            max_iterations: 200,
            memory_limit: 4 << 30,
        }
    }
}

impl ColeHopfParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        if self.steps == 0 {
            return Err(HjbError::invalid("steps", self.steps, "at least 1"));
        }
        check_iteration(self.tolerance, self.max_iterations)?;
        self.storage.validate()
    }
}

/// Parameters of [`super::StationaryColeHopf`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StationaryColeHopfParams {
    /// Space scheme.
    pub space: Space,
    /// Condition at the faces of the box, for phi; reflecting by default, as in [`crate::StationaryParams`].
    pub boundary: Faces,
    /// Linear solver; `Auto` is a direct one in one and two dimensions.
    pub linear: LinearSolverChoice,
    /// Whether the functional is maximised or minimised; values are reported in the sign of the user.
    pub sense: Sense,
    /// The iteration stops when a correction changes phi by less than this, relative to phi at each node, or when rounding
    /// keeps corrections below 1e-6 from decreasing. In (0, 1).
    pub tolerance: f64,
    /// Largest number of linear solves, at least 1. Some ten decades of the range of phi are gained by each.
    pub max_iterations: usize,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
}

impl Default for StationaryColeHopfParams {
    fn default() -> Self {
        StationaryColeHopfParams {
            space: Space::default(),
            boundary: Faces::reflecting(),
            linear: LinearSolverChoice::default(),
            sense: Sense::default(),
            tolerance: 1e-10,
            max_iterations: 200,
            memory_limit: 4 << 30,
        }
    }
}

impl StationaryColeHopfParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        check_iteration(self.tolerance, self.max_iterations)
    }
}

fn check_iteration(tolerance: f64, max_iterations: usize) -> Result<(), HjbError> {
    if !(tolerance > 0.0 && tolerance < 1.0) {
        return Err(HjbError::invalid("tolerance", tolerance, "in (0, 1)"));
    }
    if max_iterations == 0 {
        return Err(HjbError::invalid("max_iterations", max_iterations, "at least 1"));
    }
    Ok(())
}

/// What [`super::ColeHopfSolver`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColeHopfInfo {
    /// Name of the space scheme.
    pub space: &'static str,
    /// Name of the time scheme.
    pub time: &'static str,
    /// Order of the time scheme.
    pub time_order: u32,
    /// Whether the functional was maximised or minimised.
    pub sense: Sense,
    /// The temperature beta found.
    pub beta: f64,
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
    /// Factorisations in total: few when the coefficients do not depend on time.
    pub factorisations: usize,
    /// Nodes, over all stages, where the explicit part of the time scheme was bent to keep phi positive: zero when the steps
    /// resolve the changes of phi.
    pub limited: usize,
    /// Least and largest log phi = V/beta met (V in the sign of a maximisation).
    pub log_range: (f64, f64),
    /// Decades that phi spans: the difference of the above over log 10.
    pub decades: f64,
    /// Largest last correction sup |phi_new/phi - 1| of a stage.
    pub worst_change: f64,
    /// Largest cell Peclet number |mu| h/sigma^2 on the edges where V changes against the drift (more precisely, the largest
    /// smaller one of it and of the change of V/beta along the edge).
    pub cell_peclet: f64,
    /// That the cells are too coarse for phi, when that number is above what the scheme bears: see
    /// [`super::StationaryColeHopf`].
    pub note: Option<String>,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates of the generators: none, or the solver would have returned an error.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// What [`super::StationaryColeHopf`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StationaryColeHopfInfo {
    /// Name of the space scheme.
    pub space: &'static str,
    /// Whether the functional was maximised or minimised.
    pub sense: Sense,
    /// The temperature beta found.
    pub beta: f64,
    /// Number of nodes.
    pub nodes: usize,
    /// Nodes whose value is prescribed.
    pub target_nodes: usize,
    /// Edges of the grid cut by the boundary of the target set.
    pub cut_edges: usize,
    /// Linear solves.
    pub iterations: usize,
    /// Factorisations among them.
    pub factorisations: usize,
    /// sup |phi_new/phi - 1| of each correction; infinite while parts of phi are still hidden behind rounding.
    pub changes: Vec<f64>,
    /// Least and largest log phi = V/beta (V in the sign of a maximisation).
    pub log_range: (f64, f64),
    /// Decades that phi spans: the difference of the above over log 10.
    pub decades: f64,
    /// Largest cell Peclet number |mu| h/sigma^2 on the edges where V changes against the drift (more precisely, the largest
    /// smaller one of it and of the change of V/beta along the edge).
    pub cell_peclet: f64,
    /// That the cells are too coarse for phi, when that number is above what the scheme bears: see
    /// [`super::StationaryColeHopf`].
    pub note: Option<String>,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates of the generator: none, or the solver would have returned an error.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}
