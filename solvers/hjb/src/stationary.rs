//! Stationary problems by Howard's policy iteration: infinite horizon with discount, exit and hitting problems.
//!
//!   rho V = sup_v { L^v V + l - c(v) }  outside the target set,   V = g  on it,
//!
//! the value of E[ int_0^tau e^{-rho t} (l - c(v)) dt + e^{-rho tau} g(X_tau) ] with tau the time of hitting the target
//! (infinite without one; then rho > 0 is needed). Nodes of Dirichlet faces belong to the target, with the model's terminal
//! reward as g unless other data are given. Coefficients are those of the model at t = 0; its horizon is not used. Each iteration solves one linear system with rho - L^v and maximises the discrete Hamiltonian;
//! with a monotone generator V increases at every node, and the iteration is Newton's method: locally quadratic.
//! Order: that of the space scheme; 2 for [`crate::space::Hybrid`] with the boundary of the target placed inside the cells
//! ([`Placement::SubCell`]). An uncontrolled model takes one solve: mean hitting times are l = 1, g = 0, rho = 0.
//! Reference: R. A. Howard, Dynamic Programming and Markov Processes (1960); H. J. Kushner, P. Dupuis, Numerical Methods
//! for Stochastic Control Problems in Continuous Time (2001).

use crate::controls::SearchParams;
use crate::error::{HjbError, LinearError};
use crate::evaluation::{EvaluationParams, ValueSlice};
use crate::exit::{FaceValues, Placement, TargetRows, TargetSet};
use crate::faces::Faces;
use crate::hamiltonian::Hamiltonian;
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::norms::{sup, sup_difference};
use crate::params::{check_memory, workspace_bytes};
use crate::sense::{Oriented, Sense};
use crate::space::Space;
use crate::step::ImplicitSystem;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::{GridFunction, TensorGrid};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Scaled residuals below this show that the first policy was already the best one (an uncontrolled model).
const ROUNDING: f64 = 1e-13;

/// Parameters of [`StationarySolver`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StationaryParams {
    /// Space scheme.
    pub space: Space,
    /// Condition at the faces of the box.
    pub boundary: Faces,
    /// Linear solver; `Auto` is a direct one in one and two dimensions, where these systems are ill-conditioned.
    pub linear: LinearSolverChoice,
    /// Whether the functional is maximised or minimised; values are reported in the sign of the user.
    pub sense: Sense,
    /// Stop when the last change of V and the residual of each row over its diagonal are below this, relative to sup |V|.
    /// In (0, 1). Convergence is quadratic, so the error is far smaller.
    pub tolerance: f64,
    /// Largest number of linear solves, at least 1.
    pub max_iterations: usize,
    /// Make a negative rate under the final policy an error ([`HjbError::NotMonotone`]).
    pub require_monotone: bool,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
    /// Search for the best control where the cost is general.
    pub search: SearchParams,
}

impl Default for StationaryParams {
    fn default() -> Self {
        StationaryParams {
            space: Space::default(),
            boundary: Faces::default(),
            linear: LinearSolverChoice::default(),
            sense: Sense::default(),
            tolerance: 1e-9,
            max_iterations: 50,
            require_monotone: false,
            memory_limit: 4 << 30,
            search: SearchParams::default(),
        }
    }
}

impl StationaryParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(HjbError::invalid("tolerance", self.tolerance, "in (0, 1)"));
        }
        if self.max_iterations == 0 {
            return Err(HjbError::invalid("max_iterations", self.max_iterations, "at least 1"));
        }
        self.search.validate()?;
        Ok(())
    }
}

/// What [`StationarySolver`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StationaryInfo {
    /// Name of the space scheme.
    pub space: &'static str,
    /// Whether the functional was maximised or minimised.
    pub sense: Sense,
    /// The discount rate rho.
    pub discount: f64,
    /// How the best control was found: "per axis" (in closed form), "coupled quadratic", "finite set", "refined lattice".
    pub maximisation: &'static str,
    /// Number of nodes.
    pub nodes: usize,
    /// Nodes in the target set (with those put on its boundary) and on Dirichlet faces.
    pub target_nodes: usize,
    /// Edges of the grid cut by the boundary of the target set.
    pub cut_edges: usize,
    /// Linear solves.
    pub iterations: usize,
    /// sup |V^m - V^{m-1}|, m = 1, 2, ..., with V^0 = 0.
    pub changes: Vec<f64>,
    /// Ratio of each change to the one before: falling to zero, for the convergence is quadratic.
    pub rates: Vec<f64>,
    /// sup |rho V^m - max_v { L^v V^m + l - c }|, m = 1, 2, ..., in units of V per time.
    pub residuals: Vec<f64>,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates of the generator of the final policy.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// V and the optimal control on the nodes.
#[derive(Clone, Debug)]
pub struct StationaryValue {
    grid: Arc<TensorGrid>,
    value: Vec<f64>,
    control: Vec<f64>,
}

impl StationaryValue {
    /// From n values and m x n controls.
    pub(crate) fn new(grid: Arc<TensorGrid>, value: Vec<f64>, control: Vec<f64>) -> Self {
        StationaryValue { grid, value, control }
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    /// V on the nodes.
    pub fn value(&self) -> &[f64] {
        &self.value
    }

    /// The optimal control v on the nodes, m x n, component by component; zero on the target set.
    pub fn control(&self) -> &[f64] {
        &self.control
    }

    /// V and v as functions on all of R^d; evaluations report the points outside the grid.
    pub fn slice(&self, params: EvaluationParams) -> Result<ValueSlice, HjbError> {
        ValueSlice::new(&self.grid, &self.value, &self.control, params)
    }

    /// V as a function on the grid.
    pub fn grid_function(&self) -> Result<GridFunction, HjbError> {
        Ok(GridFunction::new(self.grid.clone(), self.value.clone())?)
    }
}

/// Policy iteration for a stationary problem on a tensor grid.
pub struct StationarySolver<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: StationaryParams,
    target: Option<(&'a dyn TargetSet, Placement)>,
    face_values: Option<&'a dyn FaceValues>,
}

impl<'a> StationarySolver<'a> {
    /// A solver for `model` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range, a grid of another dimension than the model.
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: StationaryParams) -> Result<Self, HjbError> {
        params.validate()?;
        HjbError::check_shape("grid axes", grid.dim(), model.dim())?;
        Ok(StationarySolver { model, grid, params, target: None, face_values: None })
    }

    /// Stop the process when it hits `target`, for the reward (the cost, when minimising) given there.
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.target = Some((target, placement));
        self
    }

    /// Values on the Dirichlet faces of [`StationaryParams::boundary`], in place of the model's terminal reward there; read
    /// at t = 0.
    pub fn with_face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.face_values = Some(values);
        self
    }

    /// Iterate from V = 0 to the tolerance.
    ///
    /// # Errors
    /// No discount and no target; a target without a node; coefficients that are not finite; a singular system (without
    /// discount, when some node cannot reach the target); [`HjbError::NoConvergence`] with the last change and residual.
    pub fn solve(&self) -> Result<(StationaryValue, StationaryInfo), HjbError> {
        let start = Instant::now();
        let p = &self.params;
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        check_memory(workspace_bytes(n, d, m), p.memory_limit)?;
        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian =
            Hamiltonian::new(&oriented, self.grid.clone(), p.space.scheme(), p.boundary)?.with_search(p.search)?;
        let discount = hamiltonian.discount();
        let faces = hamiltonian.geometry().dirichlet_nodes();
        let (mut inside, mut cut_edges) = (Vec::new(), 0);
        if self.target.is_some() || !faces.is_empty() {
            let mut rows = match self.target {
                Some((target, placement)) => TargetRows::new(target, &self.grid, placement, p.sense)?,
                None => TargetRows::empty(d),
            };
            rows.add_nodes(&self.grid, &faces);
            rows.update_added(0.0, p.sense, |x, out| match self.face_values {
                Some(values) => values.value_at(0.0, x, out),
                None => self.model.terminal_reward(x, out),
            })?;
            inside = rows.nodes().collect();
            cut_edges = rows.edges.len();
            hamiltonian.set_target(rows);
        } else if discount == 0.0 {
            let allowed = "positive, unless there is a target set or a Dirichlet face";
            return Err(HjbError::invalid("discount", discount, allowed));
        }
        if self.face_values.is_some() && faces.is_empty() {
            return Err(HjbError::invalid("face values", "given", "a Dirichlet face in `boundary`"));
        }
        hamiltonian.prepare(0.0)?;
        let linear = |source: LinearError| HjbError::Linear { t: 0.0, source };
        let mut operator = hamiltonian.zero_operator();
        let choice = match p.linear {
            LinearSolverChoice::Auto if d == 2 => LinearSolverChoice::SparseLu,
            other => other,
        };
        let mut system = ImplicitSystem::new(&operator.generator, choice).map_err(linear)?;
        let mut policy = hamiltonian.zero_policy();
        let (mut value, mut last, mut maximum) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let (mut changes, mut residuals) = (Vec::new(), Vec::new());
        hamiltonian.maximise(&value, &mut policy, &mut operator, &mut maximum);
        let mut converged = false;
        while !converged && changes.len() < p.max_iterations {
            match system.solve_stationary(&operator.generator, &operator.running, &mut value) {
                Err(LinearError::NotFinite { .. }) => {
                    return Err(HjbError::BlowUp { t: 0.0, sup: f64::INFINITY, limit: f64::MAX });
                }
                outcome => outcome.map_err(linear)?,
            }
            let change = sup_difference(&value, &last);
            last.copy_from_slice(&value);
            hamiltonian.maximise(&value, &mut policy, &mut operator, &mut maximum);
            hamiltonian.check()?;
            let rows = maximum.iter().zip(operator.generator.diagonal(0));
            let scaled = rows.fold(0.0, |s: f64, (r, d)| s.max((r / d).abs()));
            let size = sup(&value);
            converged = change.max(scaled) <= p.tolerance * size || (changes.is_empty() && scaled <= ROUNDING * size);
            changes.push(change);
            residuals.push(sup(&maximum));
        }
        let (value_change, residual) = (changes.last().copied().unwrap_or(0.0), residuals.last().copied().unwrap_or(0.0));
        if !converged {
            return Err(HjbError::NoConvergence { t: 0.0, iterations: changes.len(), value_change, residual });
        }
        let mut monotonicity = Monotonicity::default();
        monotonicity.inspect(&operator.generator, &hamiltonian.coefficients().nodes, None);
        if p.require_monotone {
            monotonicity.require()?;
        }
        p.sense.orient(&mut value);
        for component in policy.control.chunks_exact_mut(n) {
            inside.iter().for_each(|&j| component[j] = 0.0);
        }
        let info = StationaryInfo {
            space: p.space.scheme().name(),
            sense: p.sense,
            discount,
            maximisation: hamiltonian.maximisation(),
            nodes: n,
            target_nodes: inside.len(),
            cut_edges,
            iterations: changes.len(),
            rates: changes.windows(2).map(|c| c[1] / c[0]).collect(),
            changes,
            residuals,
            linear_solver: system.solver.name(),
            worst_linear_residual: system.worst_residual,
            monotonicity,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((StationaryValue { grid: self.grid.clone(), value, control: policy.control }, info))
    }
}
