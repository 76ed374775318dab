//! One implicit stage: V - w F_t(V) = rhs, solved for a fixed policy or by Howard's policy iteration.

use crate::error::{HjbError, LinearError};
use crate::generator::Monotonicity;
use crate::hamiltonian::{Hamiltonian, Operator, Policy};
use crate::linear::{LinearSolver, LinearSolverChoice};
use crate::norms::{sup, sup_difference};
use crate::stencil::StencilMatrix;

/// Residuals below this many roundings of the discrete operator are zero for all we can tell.
const ROUNDINGS: f64 = 16.0;

/// The linear algebra of the implicit stages.
pub(crate) struct ImplicitSystem {
    pub system: StencilMatrix,
    pub solver: Box<dyn LinearSolver>,
    pub worst_residual: f64,
    pub solves: usize,
}

impl ImplicitSystem {
    pub fn new(pattern: &StencilMatrix, choice: LinearSolverChoice) -> Result<Self, LinearError> {
        // The patterns of a nearest-neighbour matrix and its transpose agree, so one solver serves both.
        let mut system = pattern.clone();
        system.set_identity_minus(0.0, pattern);
        let solver = choice.build(&system)?;
        Ok(ImplicitSystem { system, solver, worst_residual: 0.0, solves: 0 })
    }

    /// x <- (I - w A)^{-1} x.
    pub fn solve(&mut self, w: f64, a: &StencilMatrix, x: &mut [f64]) -> Result<(), LinearError> {
        self.system.set_identity_minus(w, a);
        self.solver.factorise(&self.system)?;
        let info = self.solver.solve(&self.system, x)?;
        self.worst_residual = self.worst_residual.max(info.relative_residual);
        self.solves += 1;
        Ok(())
    }
}

/// Tolerances of Howard's iteration.
#[derive(Clone, Copy)]
pub(crate) struct Howard {
    pub tolerance: f64,
    pub max_iterations: usize,
}

/// Counters over all stages.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    pub total: usize,
    pub most: usize,
    pub worst_residual: f64,
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
            trial: vec![0.0; n],
            counters: Counters::default(),
        })
    }

    /// Solve V - w (L^v V + l - c(v)) = right_side for the policy of `operator`, into `value`.
    pub fn solve_linear(&mut self, w: f64, value: &mut [f64]) -> Result<(), LinearError> {
        for ((v, b), r) in value.iter_mut().zip(&self.right_side).zip(&self.operator.running) {
            *v = b + w * r;
        }
        self.linear.solve(w, &self.operator.generator, value)
    }

    /// Howard's iteration for V - w max_v { L^v V + l - c(v) } = right_side. `value` holds a first guess and is
    /// overwritten; policy, operator and maximum are those of the solution afterwards.
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
            let tolerance = howard.tolerance.max(floor) * scale.max(size);
            hamiltonian.maximise(value, &mut self.policy, &mut self.operator, &mut self.maximum);
            residual = 0.0;
            for ((v, b), m) in value.iter().zip(&self.right_side).zip(&self.maximum) {
                residual = f64::max(residual, (v - b - w * m).abs());
            }
            if residual <= tolerance {
                let c = &mut self.counters;
                c.total += iteration;
                c.most = c.most.max(iteration);
                c.worst_residual = c.worst_residual.max(residual);
                c.worst_change = c.worst_change.max(change);
                return Ok(());
            }
        }
        Err(Stop::NoConvergence(HjbError::NoConvergence { t, iterations: howard.max_iterations, value_change: change, residual }))
    }

    /// Add the current operator to a certificate.
    pub fn inspect(&self, certificate: &mut Monotonicity) {
        certificate.inspect(&self.operator.generator);
    }
}

/// Why an iteration stopped; the caller knows whether the value was growing.
pub(crate) enum Stop {
    Linear(LinearError),
    NotFinite,
    NoConvergence(HjbError),
}
