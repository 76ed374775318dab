//! Stationary problems by Howard's policy iteration: infinite horizon with discount, exit, hitting and stopping problems.
//!
//!   rho V = sup_v { L^v V + l - c(v) }  outside the target set,   V = g  on it,
//!
//! the value of E[ int_0^tau e^{-rho t} (l - c(v)) dt + e^{-rho tau} g(X_tau) ] with tau the time of hitting the target
//! (infinite without one; then rho > 0 or an obstacle is needed). Nodes of Dirichlet faces belong to the target, with the
//! model's terminal reward as g unless other data are given. Coefficients are those of the model at t = 0; its horizon is not
//! used. Each iteration solves one linear system with rho - L^v and maximises the discrete Hamiltonian;
//! with a monotone generator V increases at every node, and the iteration is Newton's method: locally quadratic.
//! With an obstacle psi (optimal stopping) the maximum of the right side minus rho V and psi - V is zero, and the reward for
//! stopping at will takes the place of g; see `stationary/stopping.rs`.
//! Without a discount the first policy must reach the target; where that for V = 0 does not, a vanishing discount finds one
//! (`stationary/start.rs`).
//! Faces are reflecting unless others are asked for: without a condition where the controlled drift points out of the box
//! (an extrapolated face) the equation has a second solution, in which all is gathered from beyond the face, and policy
//! iteration may end there. An extrapolated face is right where the controlled drift points into the box; where it does not
//! the result is not [`StationaryInfo::reliable`]. Within a target the condition at a face has no effect.
//! Order: that of the space scheme; 2 for [`crate::space::Hybrid`] with the boundary of the target placed inside the cells
//! ([`Placement::SubCell`]). An uncontrolled model takes one solve: mean hitting times are l = 1, g = 0, rho = 0.
//! Reference: R. A. Howard, Dynamic Programming and Markov Processes (1960); H. J. Kushner, P. Dupuis, Numerical Methods
//! for Stochastic Control Problems in Continuous Time (2001).

mod evaluation;
mod start;
mod stopping;

use crate::controls::SearchParams;
use crate::error::HjbError;
use crate::evaluation::{EvaluationParams, ValueSlice};
use crate::exit::{FaceValues, Placement, TargetRows, TargetSet};
use crate::faces::Faces;
use crate::hamiltonian::Hamiltonian;
use crate::interrupt::Interrupt;
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::obstacle::{Obstacle, evaluate};
use crate::params::{check_memory, workspace_bytes};
use crate::prescribed_control::ControlContinuation;
use crate::sense::{Oriented, Sense};
use crate::space::Space;
use evaluation::Evaluation;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::{GridFunction, TensorGrid};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Rounding errors of V above this part of sup |V| are worth a note.
const NOTABLE_ROUNDING: f64 = 1e-4;

/// Changes of V below this part of sup |V| may be rounding errors.
const STALLED: f64 = 1e-3;

/// Scaled residuals below this show that the first policy was already the best one (an uncontrolled model).
const ROUNDING: f64 = 1e-13;

/// Parameters of [`StationarySolver`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StationaryParams {
    /// Space scheme.
    pub space: Space,
    /// Condition at the faces of the box; reflecting by default.
    pub boundary: Faces,
    /// Linear solver; `Auto` is a direct one in one and two dimensions, where these systems are ill-conditioned.
    pub linear: LinearSolverChoice,
    /// Whether the functional is maximised or minimised; values are reported in the sign of the user.
    pub sense: Sense,
    /// Stop when the last change of V and the residual of each row over its diagonal are below this, relative to sup |V|.
    /// In (0, 1). Convergence is quadratic, so the error is far smaller.
    pub tolerance: f64,
    /// Largest number of linear solves, at least 1; those that look for a first policy come on top.
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
            boundary: Faces::reflecting(),
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
    /// Nodes outside the target at which stopping is optimal; 0 without an obstacle.
    pub stopped_nodes: usize,
    /// sup |V^m - V^{m-1}|, m = 1, 2, ..., with V^0 = 0 (with an obstacle: the value on half the grid).
    pub changes: Vec<f64>,
    /// Ratio of each change to the one before: falling to zero, for the convergence is quadratic.
    pub rates: Vec<f64>,
    /// sup |rho V^m - max_v { L^v V^m + l - c }|, m = 1, 2, ..., in units of V per time; where the policy stops only how far
    /// going on would be better.
    pub residuals: Vec<f64>,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Linear solves for a first policy that reaches the target, when that for V = 0 does not.
    pub start_solves: usize,
    /// The last artificial discount among them.
    pub start_discount: Option<f64>,
    /// Longest mean time (over the nodes) until the process ends under the final policy; `None` with a discount and for a
    /// generator with negative rates.
    pub mean_time: Option<f64>,
    /// Negative rates of the generator of the final policy.
    pub monotonicity: Monotonicity,
    /// Whether the discrete equation has one solution and rounding left it alone: no negative rate, no mean time near what
    /// double precision can hold. What the grid does not resolve is another matter: see [`crate::Certifier`].
    pub reliable: bool,
    /// Why not.
    pub notes: Vec<String>,
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

    /// The optimal control v on the nodes, m x n, component by component. On the target set and on Dirichlet faces, where
    /// the equation says nothing of it, it is continued from the free nodes next to them.
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
#[derive(Clone)]
pub struct StationarySolver<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: StationaryParams,
    target: Option<(&'a dyn TargetSet, Placement)>,
    face_values: Option<&'a dyn FaceValues>,
    obstacle: Option<&'a dyn Obstacle>,
    interrupt: Interrupt<'a>,
}

impl<'a> StationarySolver<'a> {
    /// A solver for `model` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range, a grid of another dimension than the model.
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: StationaryParams) -> Result<Self, HjbError> {
        params.validate()?;
        HjbError::check_shape("grid axes", grid.dim(), model.dim())?;
        Ok(StationarySolver {
            model,
            grid: params.boundary.mark(grid),
            params,
            target: None,
            face_values: None,
            obstacle: None,
            interrupt: Interrupt::default(),
        })
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

    /// Allow to stop at any time for the reward `obstacle` (the cost, when minimising), read at t = 0. Stopping is optimal where V
    /// equals it; the control reported there is the best one for those who continue.
    pub fn with_obstacle(mut self, obstacle: &'a dyn Obstacle) -> Self {
        self.obstacle = Some(obstacle);
        self
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every policy.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.interrupt = Interrupt(flag);
        self
    }

    /// Iterate from V = 0 (with an obstacle: from the solution on half the grid) to the tolerance.
    ///
    /// # Errors
    /// No discount, no target and no obstacle; a target without a node, or with all of them; coefficients that are not finite;
    /// [`HjbError::Unreachable`] when the target is not reached from some node, whatever the control;
    /// [`HjbError::InfiniteReward`] when it pays to stay for ever; [`HjbError::NotMonotone`] when the equation could not be
    /// solved and has negative rates; [`HjbError::NoConvergence`] with the last change and residual.
    pub fn solve(&self) -> Result<(StationaryValue, StationaryInfo), HjbError> {
        let (value, info, _) = self.run()?;
        Ok((value, info))
    }

    /// The same with the nodes at which the policy stops, none without an obstacle.
    fn run(&self) -> Result<(StationaryValue, StationaryInfo, Vec<bool>), HjbError> {
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
                Some((target, placement)) => {
                    TargetRows::new(target, hamiltonian.geometry(), placement, p.sense, &hamiltonian.correlated())?
                }
                None => TargetRows::empty(d),
            };
            rows.add_nodes(hamiltonian.geometry(), &faces);
            rows.update_added(0.0, p.sense, |x, out| match self.face_values {
                Some(values) => values.value_at(0.0, x, out),
                None => self.model.terminal_reward(x, out),
            })?;
            inside = rows.nodes().collect();
            cut_edges = rows.edges.len();
            hamiltonian.set_target(rows)?;
        } else if discount == 0.0 && self.obstacle.is_none() {
            let allowed = "positive, unless there is a target set, a Dirichlet face or an obstacle";
            return Err(HjbError::invalid("discount", discount, allowed));
        }
        if self.face_values.is_some() && faces.is_empty() {
            return Err(HjbError::invalid("face values", "given", "a Dirichlet face in `boundary`"));
        }
        hamiltonian.prepare(0.0)?;
        if inside.len() == n {
            let allowed =
                "a target (with the Dirichlet faces) that leaves some node of the grid outside: nothing is left to solve";
            return Err(HjbError::invalid("target", "the whole grid", allowed));
        }
        let choice = match p.linear {
            LinearSolverChoice::Auto if d == 2 => LinearSolverChoice::SparseLu,
            other => other,
        };
        let linear = |source| HjbError::StationaryLinear { source };
        let mut iteration = Evaluation::new(&mut hamiltonian, choice, &inside).map_err(linear)?;
        let point = |j: usize| {
            let mut x = vec![0.0; d];
            self.grid.node(j, &mut x);
            x
        };
        if let Some(obstacle) = self.obstacle {
            let psi = evaluate(obstacle, 0.0, p.sense, &hamiltonian)?;
            iteration.allow_stopping(&mut hamiltonian, psi, stopping::from_half_grid(self));
        }
        let (mut start_solves, mut start_discount) = (0, None);
        let ends = discount == 0.0 && iteration.monotonicity(&hamiltonian).is_monotone();
        let endless = ends && iteration.mean_time().is_none();
        if endless && self.obstacle.is_some() {
            // to stop everywhere is a policy that ends, and the next one, which is better, ends too unless it pays to stay
            iteration.stop_everywhere(&mut hamiltonian);
            if iteration.mean_time().is_none() {
                return Err(HjbError::InfiniteReward { point: Vec::new() });
            }
        } else if endless {
            let way = start::vanishing_discount(&mut iteration, &mut hamiltonian, m > 0)?;
            if !way.ended {
                return Err(start::no_way(&mut iteration, &way, m > 0, point));
            }
            (start_solves, start_discount) = (way.solves, Some(way.discount));
        }
        let (changes, residuals) = match self.howard(&mut iteration, &mut hamiltonian) {
            Ok(done) => done,
            Err(e @ (HjbError::StationaryLinear { .. } | HjbError::NoConvergence { .. })) => {
                // a negative rate explains both
                iteration.monotonicity(&hamiltonian).require()?;
                if self.obstacle.is_some() {
                    let most = p.max_iterations + self.grid.shape().iter().sum::<usize>();
                    let endless = discount == 0.0 && stopping::pays_to_stay(&mut iteration, &mut hamiltonian, most)?;
                    return Err(if endless { HjbError::InfiniteReward { point: Vec::new() } } else { e });
                }
                if discount == 0.0 && p.max_iterations >= StationaryParams::default().max_iterations {
                    start::diagnose(&mut iteration, &mut hamiltonian, point)?;
                }
                return Err(e);
            }
            Err(e) => return Err(e),
        };
        let monotonicity = iteration.monotonicity(&hamiltonian);
        if p.require_monotone {
            monotonicity.require()?;
        }
        let mut notes: Vec<String> = monotonicity.note().into_iter().collect();
        let mut mean_time = None;
        if discount == 0.0 && monotonicity.is_monotone() {
            match iteration.mean_time() {
                None if self.obstacle.is_some() => return Err(HjbError::InfiniteReward { point: Vec::new() }),
                None => {
                    let farthest = iteration.farthest(0.0);
                    return Err(HjbError::Unreachable { point: point(farthest.0), limit: farthest.1, controlled: m > 0 });
                }
                Some(time) => {
                    mean_time = Some(time.longest);
                    if time.rounding() > NOTABLE_ROUNDING {
                        notes.push(format!(
                            "the process takes a mean time of {:.1e} to end from some nodes: V carries rounding errors of about \
                             {:.0e} of its size there",
                            time.longest,
                            time.rounding()
                        ));
                    }
                }
            }
        }
        let Evaluation { system, mut value, mut policy, stopped, .. } = iteration;
        p.sense.orient(&mut value);
        ControlContinuation::new(&self.grid, inside.iter().copied(), &hamiltonian.control_set).apply(&mut policy.control, n);
        let info = StationaryInfo {
            space: p.space.scheme().name(),
            sense: p.sense,
            discount,
            maximisation: hamiltonian.maximisation(),
            nodes: n,
            target_nodes: inside.len(),
            cut_edges,
            stopped_nodes: stopped.iter().filter(|s| **s).count(),
            iterations: changes.len(),
            rates: changes.windows(2).map(|c| c[1] / c[0]).collect(),
            changes,
            residuals,
            linear_solver: system.solver.name(),
            worst_linear_residual: system.worst_residual,
            start_solves,
            start_discount,
            mean_time,
            monotonicity,
            reliable: notes.is_empty(),
            notes,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((StationaryValue { grid: self.grid.clone(), value, control: policy.control }, info, stopped))
    }

    /// Policy iteration from the policy at hand: changes of V and residuals.
    fn howard(&self, iteration: &mut Evaluation, hamiltonian: &mut Hamiltonian<'_>) -> Result<(Vec<f64>, Vec<f64>), HjbError> {
        let p = &self.params;
        let (mut changes, mut residuals): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
        while changes.len() < p.max_iterations {
            self.interrupt.check(0.0)?;
            let change = iteration.step(hamiltonian, 0.0)?;
            let (size, scaled) = (iteration.size(), iteration.scaled_residual());
            let first = changes.is_empty();
            let stalled = changes.last().is_some_and(|last| change > 0.5 * last && change <= STALLED * size);
            changes.push(change);
            residuals.push(iteration.residual());
            let done = change.max(scaled) <= p.tolerance * size || (first && scaled <= ROUNDING * size);
            // Long mean times amplify rounding: no iteration gets below that.
            if done || (stalled && iteration.mean_time().is_some_and(|time| change.max(scaled) <= time.rounding() * size)) {
                return Ok((changes, residuals));
            }
        }
        let (value_change, residual) = (changes.last().copied().unwrap_or(0.0), residuals.last().copied().unwrap_or(0.0));
        Err(HjbError::NoConvergence { t: None, iterations: changes.len(), value_change, residual })
    }
}
