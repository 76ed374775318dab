//! The exact adjoint of the backward scheme: the law of the process under a policy, and its objective, by duality.
//!
//! For a fixed policy the backward scheme is affine, stage by stage (levels s = 0 at T to S at t = 0):
//!
//!   (I - w_s A_s) V_s = last V_{s-1} + older V_{s-2} + e_s (A_{s-1} V_{s-1} + r_{s-1}) + w_s r_s,     A = L^v - rho,  r = l - c.
//!
//! Its transpose carries a row vector lambda_S = initial masses from t = 0 to T, in reversed order,
//!
//!   (I - w_s A_s)' q_s = lambda_s,   lambda_{s-1} += (last + e_s A_{s-1}') q_s,   lambda_{s-2} += older q_s,
//!
//! and <V_S, lambda_S> = <g, lambda_0> + sum_s [ w_s <r_s, q_s> + e_s <r_{s-1}, q_s> ] holds to the rounding of the linear
//! solves, whatever grid, steps, scheme and policy: a forward and a backward computation that check each other. The weights
//! of the running reward are those of the time scheme, and the damping steps of Crank-Nicolson, first in the backward
//! equation, come last here. At completed steps lambda is the law (times the discount factor), of the order of the scheme,
//! conserving mass exactly without discount and target. For Crank-Nicolson it rings when it starts from a rough density
//! (the damping is at the other end); expectations of smooth functions do not see that. Prefer
//! [`crate::FokkerPlanck`] for the density itself, this for functionals of the law.
//! On a target set and on Dirichlet faces the process ends, for the reward there; the law is that of the survivors, plus
//! what arrived on target nodes within the last step.
//! Reference: M. B. Giles, N. A. Pierce, An introduction to the adjoint approach to design, Flow Turbul. Combust. 65 (2000)
//! 393-415; Y. Achdou, I. Capuzzo-Dolcetta, SIAM J. Numer. Anal. 48 (2010) 1136-1162.

use crate::error::{HjbError, LinearError};
use crate::exit::{FaceValues, Placement, TargetSet};
use crate::exit_data::ExitData;
use crate::fokker_planck::{LawPath, levels_of};
use crate::hamiltonian::{Hamiltonian, Operator, Policy};
use crate::monotonicity::Monotonicity;
use crate::params::{HjbParams, check_memory, workspace_bytes};
use crate::sense::Oriented;
use crate::solve::check_model;
use crate::stencil::StencilMatrix;
use crate::step::{ImplicitSystem, StageSolver};
use hjbridge_model::grid::TensorGrid;
use hjbridge_model::{ControlledDiffusion, Feedback, PointsMut};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// A policy at every level of the time scheme, start-up half steps and levels inside a step included.
#[derive(Clone, Debug)]
pub struct PolicySequence {
    /// Times of the levels, descending from T to 0.
    times: Vec<f64>,
    policies: Vec<Policy>,
}

impl PolicySequence {
    pub(crate) fn new(times: Vec<f64>, policies: Vec<Policy>) -> Self {
        PolicySequence { times, policies }
    }

    /// Times of the levels, descending from T to 0.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// The policies, one per level.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }
}

/// E[ g + int (l - c) dt ] under a policy, in parts and in the sign of the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Objective {
    /// Reward (cost) at T of those still in the process.
    pub terminal: f64,
    /// Integral of l along the law.
    pub running: f64,
    /// Integral of the cost of the control, never negative for a cost that is not.
    pub control_cost: f64,
    /// Reward (cost) on the target set and the Dirichlet faces.
    pub exit: f64,
    /// The objective: terminal + running + exit, less the control cost when maximising, plus it when minimising.
    pub total: f64,
}

/// What [`AdjointLaw::law`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AdjointInfo {
    /// Total mass at T over the initial one: 1 without discount and target.
    pub remaining_mass: f64,
    /// Most negative mass of a node at a completed step (zero when there is none).
    pub most_negative: f64,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates and positive row sums of the generators of the levels, whose transposes move the law: masses stay
    /// non-negative (with implicit Euler) and are not made when there is none.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// The law and the value of given policies, on the stages of [`crate::HjbSolver`] with the same parameters (of which the
/// tolerances of Howard's iteration are not used).
pub struct AdjointLaw<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: HjbParams,
    exit: ExitData<'a>,
}

impl<'a> AdjointLaw<'a> {
    /// For `model` on `grid`.
    ///
    /// # Errors
    /// As [`crate::HjbSolver::new`].
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: HjbParams) -> Result<Self, HjbError> {
        params.validate()?;
        check_model(model, &grid)?;
        Ok(AdjointLaw { model, grid: params.boundary.mark(grid), params, exit: ExitData::default() })
    }

    /// End the process when it hits `target`, as [`crate::HjbSolver::with_target`] does.
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.exit.target = Some((target, placement));
        self
    }

    /// Values on the Dirichlet faces of the box, in place of the terminal reward there.
    pub fn with_face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.exit.faces = Some(values);
        self
    }

    /// The policy of a feedback: its control at each level and node, with the slopes that the drift asks for.
    ///
    /// # Errors
    /// A feedback of other dimensions, or one that is not finite.
    pub fn policies_of(&self, feedback: &dyn Feedback) -> Result<PolicySequence, HjbError> {
        let (n, m) = (self.grid.len(), self.model.control_dim());
        HjbError::check_shape("feedback dim", feedback.dim(), self.model.dim())?;
        HjbError::check_shape("feedback control_dim", feedback.control_dim(), m)?;
        let times = self.times();
        self.check_memory(times.len())?;
        let oriented = Oriented { model: self.model, sense: self.params.sense };
        let mut hamiltonian = self.hamiltonian(&oriented)?;
        let mut operator = hamiltonian.zero_operator();
        let mut policies = Vec::with_capacity(times.len());
        for &t in &times {
            hamiltonian.prepare(t)?;
            let mut policy = hamiltonian.zero_policy();
            if m > 0 {
                let nodes = &hamiltonian.coefficients().nodes;
                feedback.at(t).eval(nodes.as_points(), PointsMut::new(&mut policy.control[..m * n], m));
                hamiltonian.coefficients().check_finite("feedback", &policy.control, t)?;
            }
            hamiltonian.apply(&mut policy, true, &mut operator);
            policies.push(policy);
        }
        Ok(PolicySequence::new(times, policies))
    }

    /// V^v at t = 0 on the nodes, by the backward scheme with the policy fixed.
    ///
    /// # Errors
    /// A sequence made for other parameters; coefficients or a value that are not finite; a linear system not solved.
    pub fn value(&self, policies: &PolicySequence) -> Result<Vec<f64>, HjbError> {
        let p = &self.params;
        self.check(policies)?;
        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian = self.hamiltonian(&oriented)?;
        let n = hamiltonian.len();
        let linear = |t: f64| move |source: LinearError| HjbError::Linear { t, source };
        let mut stage_solver = StageSolver::new(&hamiltonian, p.linear).map_err(linear(self.model.horizon()))?;
        let (mut value, mut before, mut explicit) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        let mut policy = hamiltonian.zero_policy();
        let stages = p.time.stages(self.model.horizon() / p.steps as f64, p.steps);
        for (level, &t) in policies.times.iter().enumerate() {
            hamiltonian.prepare(t)?;
            self.exit.update(&mut hamiltonian, self.model, p.sense, t)?;
            policy.clone_from(&policies.policies[level]);
            hamiltonian.apply(&mut policy, false, &mut stage_solver.operator);
            if level == 0 {
                hamiltonian.terminal_reward(&mut value)?;
                if let Some(target) = hamiltonian.target() {
                    target.values().iter().for_each(|&(j, g)| value[j] = g);
                }
            } else {
                let stage = &stages[level - 1];
                stage.right_side(&value, &before, &explicit, &mut stage_solver.right_side);
                stage_solver.prescribe(&hamiltonian);
                before.copy_from_slice(&value);
                stage_solver.solve_linear(stage.implicit, &mut value).map_err(|source| not_finite(source, t))?;
            }
            stage_solver.operator.apply(&value, &mut explicit);
        }
        p.sense.orient(&mut value);
        Ok(value)
    }

    /// The law under the policy from the initial masses of the nodes, and the objective. The law is kept at `times` (in any
    /// order, each a multiple of the step to 1e-9 of it; with discount it carries the factor e^{-rho t}).
    ///
    /// # Errors
    /// A sequence made for other parameters; masses that are not finite, not one per node, or zero in all; a time between two steps;
    /// coefficients that are not finite; a linear system not solved.
    pub fn law(
        &self,
        policies: &PolicySequence,
        initial: &[f64],
        times: &[f64],
    ) -> Result<(LawPath, Objective, AdjointInfo), HjbError> {
        let start = Instant::now();
        let p = &self.params;
        self.check(policies)?;
        let n = self.grid.len();
        HjbError::check_shape("initial masses", initial.len(), n)?;
        if let Some(j) = initial.iter().position(|m| !m.is_finite()) {
            return Err(HjbError::invalid(&format!("initial masses[{j}]"), initial[j], "finite numbers"));
        }
        let initial_mass: f64 = initial.iter().sum();
        if initial_mass == 0.0 {
            let allowed = "masses whose sum is not zero, for what remains of it is reported";
            return Err(HjbError::invalid("initial masses", "zero in all", allowed));
        }
        let horizon = self.model.horizon();
        let h = horizon / p.steps as f64;
        let kept = levels_of(times, horizon, p.steps)?;
        let stages = p.time.stages(h, p.steps);
        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian = self.hamiltonian(&oriented)?;
        let mut level = Level::new(&hamiltonian);
        let linear = |t: f64| move |source: LinearError| HjbError::Linear { t, source };
        let mut system = ImplicitSystem::new(&level.adjoint, p.linear).map_err(linear(0.0))?;
        // lambda_s, lambda_{s-1}, lambda_{s-2}
        let (mut here, mut next, mut after) = (initial.to_vec(), vec![0.0; n], vec![0.0; n]);
        let mut q = initial.to_vec();
        let mut parts = Parts::default();
        let mut path = LawPath::empty(self.grid.clone());
        if kept.binary_search(&0).is_ok() {
            path.push(0.0, here.clone());
        }
        let mut most_negative = 0.0f64;
        let mut monotonicity = Monotonicity::default();
        self.assemble(&mut hamiltonian, policies, stages.len(), &mut level)?;
        for (s, stage) in stages.iter().enumerate().rev() {
            let t = policies.times[s + 1];
            monotonicity.inspect(&level.operator.generator, &hamiltonian.coefficients().nodes, Some(t));
            q.copy_from_slice(&here);
            let solved = system.solve(stage.implicit, &level.adjoint, &here, &mut q);
            solved.map_err(|source| not_finite(source, t))?;
            if let Some(rows) = hamiltonian.target() {
                for &(j, g) in rows.values() {
                    parts.exit += g * q[j];
                    q[j] = 0.0;
                }
            }
            parts.add(stage.implicit, &level, &q);
            self.assemble(&mut hamiltonian, policies, s, &mut level)?;
            for ((l, a), q) in next.iter_mut().zip(&mut after).zip(&q) {
                *l += stage.last * q;
                *a = stage.older * q;
            }
            if stage.explicit != 0.0 {
                level.adjoint.multiply_add(stage.explicit, &q, &mut next);
                parts.add(stage.explicit, &level, &q);
            }
            std::mem::swap(&mut here, &mut next);
            std::mem::swap(&mut next, &mut after);
            // The level reached is a completed step unless another stage of the step began there.
            let reached = if s == 0 { Some(0) } else { stages[s - 1].completes() };
            if let Some(done) = reached {
                most_negative = here.iter().fold(most_negative, |m, v| m.min(*v));
                let k = p.steps - done;
                if kept.binary_search(&k).is_ok() {
                    path.push(policies.times[s], here.clone());
                }
            }
        }
        let mut terminal = vec![0.0; n];
        hamiltonian.terminal_reward(&mut terminal)?;
        let mut survivors = here.clone();
        if let Some(rows) = hamiltonian.target() {
            for &(j, g) in rows.values() {
                parts.exit += g * survivors[j];
                survivors[j] = 0.0;
            }
        }
        let at_end = dot(&terminal, &survivors);
        let total = at_end + parts.running + parts.exit - parts.cost;
        let objective = Objective {
            terminal: p.sense.oriented(at_end),
            running: p.sense.oriented(parts.running),
            control_cost: parts.cost,
            exit: p.sense.oriented(parts.exit),
            total: p.sense.oriented(total),
        };
        let info = AdjointInfo {
            remaining_mass: here.iter().sum::<f64>() / initial_mass,
            most_negative,
            linear_solver: system.solver.name(),
            worst_linear_residual: system.worst_residual,
            monotonicity,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((path, objective, info))
    }

    fn hamiltonian<'m>(&self, oriented: &'m Oriented<'_>) -> Result<Hamiltonian<'m>, HjbError> {
        let p = &self.params;
        let mut hamiltonian =
            Hamiltonian::new(oriented, self.grid.clone(), p.space.scheme(), p.boundary)?.with_search(p.search)?;
        self.exit.attach(&mut hamiltonian)?;
        Ok(hamiltonian)
    }

    /// Times of the levels, descending.
    fn times(&self) -> Vec<f64> {
        let (horizon, steps) = (self.model.horizon(), self.params.steps);
        let h = horizon / steps as f64;
        let stages = self.params.time.stages(h, steps);
        std::iter::once(horizon).chain(stages.iter().map(|s| s.remaining(h, steps))).collect()
    }

    fn check_memory(&self, levels: usize) -> Result<(), HjbError> {
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        let stored = levels as u64 * n as u64 * (8 * m as u64 + d as u64);
        check_memory(workspace_bytes(n, d, m).saturating_add(stored), self.params.memory_limit)
    }

    fn check(&self, policies: &PolicySequence) -> Result<(), HjbError> {
        let times = self.times();
        HjbError::check_shape("policy levels", policies.times.len(), times.len())?;
        if let Some(k) = (0..times.len()).find(|&k| times[k] != policies.times[k]) {
            let allowed = format!("{} (the policies belong to another time scheme or step)", times[k]);
            return Err(HjbError::invalid(&format!("policies.times[{k}]"), policies.times[k], &allowed));
        }
        let nodes = self.grid.len() * self.grid.dim();
        policies.policies.iter().try_for_each(|p| HjbError::check_shape("policy slopes", p.slope.len(), nodes))
    }

    /// Coefficients, generator and running terms of level `s`.
    fn assemble(
        &self,
        hamiltonian: &mut Hamiltonian<'_>,
        policies: &PolicySequence,
        s: usize,
        level: &mut Level,
    ) -> Result<(), HjbError> {
        let t = policies.times[s];
        hamiltonian.prepare(t)?;
        level.policy.clone_from(&policies.policies[s]);
        hamiltonian.apply_open(&mut level.policy, false, &mut level.operator);
        level.running.copy_from_slice(&hamiltonian.coefficients().running);
        for ((c, l), r) in level.cost.iter_mut().zip(&level.running).zip(&level.operator.running) {
            *c = l - r;
        }
        self.exit.update(hamiltonian, self.model, self.params.sense, t)?;
        if let Some(rows) = hamiltonian.target() {
            level.exit.fill(0.0);
            rows.open_operator(&mut level.operator, &mut level.exit);
        }
        level.adjoint.set_transpose_of(&level.operator.generator);
        Ok(())
    }
}

/// The affine map of one level: A' with the rows of prescribed nodes empty, and its running terms.
struct Level {
    policy: Policy,
    operator: Operator,
    adjoint: StencilMatrix,
    running: Vec<f64>,
    cost: Vec<f64>,
    exit: Vec<f64>,
}

impl Level {
    fn new(hamiltonian: &Hamiltonian<'_>) -> Self {
        let n = hamiltonian.len();
        let operator = hamiltonian.zero_operator();
        let adjoint = operator.generator.clone();
        let zeros = || vec![0.0; n];
        Level { policy: hamiltonian.zero_policy(), operator, adjoint, running: zeros(), cost: zeros(), exit: zeros() }
    }
}

/// Parts of the objective, in the sign of the maximisation.
#[derive(Default)]
struct Parts {
    running: f64,
    cost: f64,
    exit: f64,
}

impl Parts {
    fn add(&mut self, weight: f64, level: &Level, q: &[f64]) {
        self.running += weight * dot(&level.running, q);
        self.cost += weight * dot(&level.cost, q);
        self.exit += weight * dot(&level.exit, q);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn not_finite(source: LinearError, t: f64) -> HjbError {
    match source {
        LinearError::NotFinite { .. } => HjbError::BlowUp { t, sup: f64::INFINITY, limit: f64::MAX },
        source => HjbError::Linear { t, source },
    }
}
