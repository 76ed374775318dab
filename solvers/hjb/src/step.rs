//! One implicit stage: V - w F_t(V) = rhs, solved for a fixed policy or by Howard's policy iteration.

use crate::error::{HjbError, LinearError};
use crate::hamiltonian::{Hamiltonian, Operator, Policy};
use crate::linear::{LinearSolver, LinearSolverChoice};
use crate::monotonicity::Monotonicity;
use crate::norms::{sup, sup_difference};
use crate::prescribed_control::ControlContinuation;
use crate::stencil::StencilMatrix;

/// Residuals below this many roundings of the discrete operator are zero for all we can tell.
const ROUNDINGS: f64 = 16.0;

/// Rates above minus this fraction of the diagonal are not negative.
const RATE_ROUNDING: f64 = 1e-12;

/// The linear algebra of the implicit stages.
pub(crate) struct ImplicitSystem {
    pub system: StencilMatrix,
    pub solver: Box<dyn LinearSolver>,
    choice: LinearSolverChoice,
    pub worst_residual: f64,
    pub solves: usize,
}

impl ImplicitSystem {
    pub fn new(pattern: &StencilMatrix, choice: LinearSolverChoice) -> Result<Self, LinearError> {
        // The patterns of a nearest-neighbour matrix and its transpose agree, so one solver serves both.
        let mut system = pattern.clone();
        system.set_identity_minus(0.0, pattern);
        let solver = choice.build(&system)?;
        Ok(ImplicitSystem { system, solver, choice, worst_residual: 0.0, solves: 0 })
    }

    /// Follow the pattern of `a`, which widens when correlations appear that were not there at first.
    fn follow(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        if self.system.flat_shifts() != a.flat_shifts() {
            let fresh = ImplicitSystem::new(a, self.choice)?;
            (self.system, self.solver) = (fresh.system, fresh.solver);
        }
        Ok(())
    }

    /// x <- (I - w A)^{-1} b; x holds a guess, which iterative solvers start from.
    pub fn solve(&mut self, w: f64, a: &StencilMatrix, b: &[f64], x: &mut [f64]) -> Result<(), LinearError> {
        self.follow(a)?;
        self.system.set_identity_minus(w, a);
        self.solve_system(b, x)
    }

    /// The same with the rows of stopped nodes replaced by those of the identity.
    pub fn solve_stopped(
        &mut self,
        w: f64,
        a: &StencilMatrix,
        stopped: &[bool],
        b: &[f64],
        x: &mut [f64],
    ) -> Result<(), LinearError> {
        self.follow(a)?;
        self.system.set_identity_minus(w, a);
        self.stop_rows(a.flat_shifts().len(), stopped);
        self.solve_system(b, x)
    }

    /// Replace the rows of stopped nodes by those of the identity.
    fn stop_rows(&mut self, shifts: usize, stopped: &[bool]) {
        for s in 0..shifts {
            let one = if s == 0 { 1.0 } else { 0.0 };
            let rows = self.system.diagonal_mut(s).iter_mut().zip(stopped);
            rows.filter(|(_, stopped)| **stopped).for_each(|(c, _)| *c = one);
        }
    }

    /// x <- (-A)^{-1} b, from the guess x, with the rows of stopped nodes (if there are any) replaced by those of the identity.
    pub fn solve_stationary(&mut self, a: &StencilMatrix, stopped: &[bool], b: &[f64], x: &mut [f64]) -> Result<(), LinearError> {
        self.follow(a)?;
        for s in 0..a.flat_shifts().len() {
            self.system.diagonal_mut(s).iter_mut().zip(a.diagonal(s)).for_each(|(m, c)| *m = -c);
        }
        self.stop_rows(a.flat_shifts().len(), stopped);
        self.solve_system(b, x)
    }

    fn solve_system(&mut self, b: &[f64], x: &mut [f64]) -> Result<(), LinearError> {
        self.solver.factorise(&self.system)?;
        let info = self.solver.solve_from(&self.system, b, x)?;
        self.worst_residual = self.worst_residual.max(info.relative_residual);
        self.solves += 1;
        Ok(())
    }
}

/// Tolerances of Howard's iteration, relative to the size of the value.
#[derive(Clone, Copy)]
pub(crate) struct Howard {
    /// Of the residual.
    pub tolerance: f64,
    /// Of the change of the value.
    pub change: f64,
    pub max_iterations: usize,
}

/// Counters over all stages.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    pub total: usize,
    pub most: usize,
    pub worst_residual: f64,
    /// Largest change that a further iteration could have made.
    pub worst_change: f64,
}

/// Arrays of one stage, kept over the whole solve.
pub(crate) struct StageSolver {
    pub linear: ImplicitSystem,
    pub operator: Operator,
    pub policy: Policy,
    /// max_v { L^v V + l - c(v) } at the value last accepted.
    pub maximum: Vec<f64>,
    pub right_side: Vec<f64>,
    /// Reward for stopping at the level reached, when stopping is allowed.
    pub obstacle: Option<Vec<f64>>,
    /// Where the policy stops; all false without an obstacle and prescribed values.
    pub stopped: Vec<bool>,
    /// Nodes whose value is prescribed at the level reached (a target set, Dirichlet faces), with that value.
    prescribed: Vec<(usize, f64)>,
    continuation: Option<ControlContinuation>,
    load: Vec<f64>,
    trial: Vec<f64>,
    pub counters: Counters,
}

impl StageSolver {
    pub fn new(hamiltonian: &Hamiltonian<'_>, choice: LinearSolverChoice) -> Result<Self, LinearError> {
        let n = hamiltonian.len();
        let operator = hamiltonian.zero_operator();
        Ok(StageSolver {
            linear: ImplicitSystem::new(&operator.generator, choice)?,
            operator,
            policy: hamiltonian.zero_policy(),
            maximum: vec![0.0; n],
            right_side: vec![0.0; n],
            obstacle: None,
            stopped: vec![false; n],
            prescribed: Vec::new(),
            continuation: None,
            load: vec![0.0; n],
            trial: vec![0.0; n],
            counters: Counters::default(),
        })
    }

    /// Take over the prescribed values of the Hamiltonian for the level to be reached, once right side and obstacle are set.
    pub fn prescribe(&mut self, hamiltonian: &Hamiltonian<'_>) {
        if let Some(target) = hamiltonian.target() {
            self.prescribed.clear();
            self.prescribed.extend_from_slice(target.values());
            for &(j, g) in &self.prescribed {
                self.stopped[j] = true;
                // Makes the residual of the row a multiple of V - g.
                self.right_side[j] = g;
                if let Some(psi) = &mut self.obstacle {
                    psi[j] = g;
                }
            }
        }
    }

    /// Continue the control to where the value is prescribed.
    pub fn continue_control(&mut self, hamiltonian: &Hamiltonian<'_>) {
        let Some(target) = hamiltonian.target() else { return };
        let continuation = self.continuation.get_or_insert_with(|| {
            ControlContinuation::new(&hamiltonian.geometry().grid, target.nodes(), &hamiltonian.control_set)
        });
        continuation.apply(&mut self.policy.control, self.maximum.len());
    }

    /// Solve V - w (L^v V - rho V + l - c(v)) = right_side for the policy of `operator`, into `value`, which
    /// holds a guess; V is the obstacle where the policy stops, and what is prescribed where it is.
    pub fn solve_linear(&mut self, w: f64, value: &mut [f64]) -> Result<(), LinearError> {
        for ((c, b), r) in self.load.iter_mut().zip(&self.right_side).zip(&self.operator.running) {
            *c = b + w * r;
        }
        let generator = &self.operator.generator;
        if self.obstacle.is_none() && self.prescribed.is_empty() {
            return self.linear.solve(w, generator, &self.load, value);
        }
        if let Some(psi) = &self.obstacle {
            for ((c, p), _) in self.load.iter_mut().zip(psi).zip(&self.stopped).filter(|(_, stopped)| **stopped) {
                *c = *p;
            }
        }
        self.prescribed.iter().for_each(|&(j, g)| self.load[j] = g);
        self.linear.solve_stopped(w, generator, &self.stopped, &self.load, value)
    }

    /// Stop where that is better than to continue, for the value at hand and its maximising operator. The residual of
    /// continuing is scaled by the diagonal of its row, so that both count in units of V.
    fn choose_stopping(&mut self, w: f64, value: &[f64]) {
        let Some(psi) = &self.obstacle else { return };
        let diagonal = self.operator.generator.diagonal(0);
        for (j, stopped) in self.stopped.iter_mut().enumerate() {
            let proceed = (self.right_side[j] + w * self.maximum[j] - value[j]) / (1.0 - w * diagonal[j]);
            *stopped = psi[j] - value[j] > proceed;
        }
        self.prescribed.iter().for_each(|&(j, _)| self.stopped[j] = true);
    }

    /// Residual of the stage at `value`, for its maximising operator.
    fn residual(&self, w: f64, value: &[f64]) -> f64 {
        let mut residual: f64 = 0.0;
        for (j, ((v, b), m)) in value.iter().zip(&self.right_side).zip(&self.maximum).enumerate() {
            let proceed = v - b - w * m;
            // min(V - b - w F(V), V - psi) = 0 where stopping is allowed.
            let left = self.obstacle.as_ref().map_or(proceed, |psi| proceed.min(v - psi[j]));
            // a NaN wins, so that it cannot pass for convergence
            residual = if residual.is_nan() || left.abs() <= residual { residual } else { left.abs() };
        }
        residual
    }

    /// A bound for the next change of the value, when its residual is `residual` and its last change was `change`. A further
    /// iteration solves (I - w A) x = r, with |r| <= `residual`; where A has no negative rates I - w A is an M-matrix whose
    /// rows sum to one or more, so that |x| <= |r|. Otherwise there is only the last change to go by.
    fn next_change(&self, change: f64, residual: f64) -> f64 {
        if residual < change && has_rates(&self.operator.generator) { residual } else { change }
    }

    /// Howard's iteration for V - w max_v { L^v V - rho V + l - c(v) } = right_side, or for the maximum of its solution and
    /// stopping, until both the residual and the change that is left are small. `value` holds a first guess and is overwritten; policy, operator and maximum are those of the solution
    /// afterwards.
    pub fn howard(
        &mut self,
        hamiltonian: &mut Hamiltonian<'_>,
        w: f64,
        t: f64,
        scale: f64,
        howard: Howard,
        value: &mut [f64],
    ) -> Result<(), Stop> {
        hamiltonian.maximise(value, &mut self.policy, &mut self.operator, &mut self.maximum);
        self.choose_stopping(w, value);
        self.trial.copy_from_slice(value);
        let (mut change, mut residual) = (f64::INFINITY, f64::INFINITY);
        for iteration in 1..=howard.max_iterations {
            if let Err(source) = self.solve_linear(w, value) {
                return Err(Stop::Linear(source));
            }
            change = sup_difference(value, &self.trial);
            self.trial.copy_from_slice(value);
            // The floor: roundings of w L V, whose largest coefficient is on the diagonal.
            let size = sup(value);
            let diagonal = sup(self.operator.generator.diagonal(0));
            if !size.is_finite() {
                return Err(Stop::NotFinite);
            }
            let floor = ROUNDINGS * f64::EPSILON * (1.0 + w * diagonal);
            // below the smallest normal number products of tolerances are 0
            let size = scale.max(size).max(f64::MIN_POSITIVE / f64::EPSILON.powi(2));
            let tolerance = howard.tolerance.max(floor) * size;
            hamiltonian.maximise(value, &mut self.policy, &mut self.operator, &mut self.maximum);
            residual = self.residual(w, value);
            let left = if residual <= tolerance { self.next_change(change, residual) } else { change };
            if residual <= tolerance && left <= howard.change.max(floor) * size {
                let c = &mut self.counters;
                c.total += iteration;
                c.most = c.most.max(iteration);
                c.worst_residual = c.worst_residual.max(residual);
                c.worst_change = c.worst_change.max(left);
                return Ok(());
            }
            self.choose_stopping(w, value);
        }
        Err(Stop::NoConvergence(HjbError::NoConvergence {
            t: Some(t),
            iterations: howard.max_iterations,
            value_change: change,
            residual,
        }))
    }

    /// Add the current operator at time t to a certificate; with `require`, any violation so far is an error.
    pub fn inspect(
        &self,
        hamiltonian: &Hamiltonian<'_>,
        t: f64,
        certificate: &mut Monotonicity,
        require: bool,
    ) -> Result<(), HjbError> {
        hamiltonian.check()?;
        certificate.inspect(&self.operator.generator, &hamiltonian.coefficients().nodes, Some(t));
        if require { certificate.require() } else { Ok(()) }
    }
}

/// Whether no rate is negative, up to rounding.
fn has_rates(generator: &StencilMatrix) -> bool {
    let diagonal = generator.diagonal(0);
    let positive = |s: usize| generator.diagonal(s).iter().zip(diagonal).all(|(rate, d)| *rate >= -RATE_ROUNDING * d.abs());
    (1..generator.flat_shifts().len()).all(positive)
}

/// Why an iteration stopped; the caller knows whether the value was growing.
pub(crate) enum Stop {
    Linear(LinearError),
    NotFinite,
    NoConvergence(HjbError),
}
