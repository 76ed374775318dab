//! The HJB solver: backward in time, Howard's policy iteration in each implicit stage.
//!
//! Solves V_t + f.grad V + (1/2) sum_ij a_ij V_ij + l - rho V + sup_v { (G v).grad V - c(v) } = 0, V(T) = g, on a tensor
//! grid; with an obstacle psi (optimal stopping) the maximum of the left side and psi - V is zero, and V(T) = max(g, psi).
//! On a target set or a Dirichlet face the value is prescribed and the process ends there (exit problems):
//! V(t,x) = E[ int_t^{tau ^ T} ... + g(tau ^ T, X_{tau ^ T}) ], the data entering each implicit stage at its own time.
//! Minimisation ([`HjbParams::sense`]) is the same with costs in place of rewards. Stopping is one more value of the control.
//! Each stage is a finite nonlinear system V - w F(V) = rhs whose F is a maximum of affine maps; Howard's iteration on it is
//! Newton's method and needs about two linear solves when it starts from the value extrapolated in time.
//! A running reward that jumps or varies quickly within a step enters by its integral, see `time_variation/defect.rs`.
//! Order: that of the time scheme in h and of the space scheme in the spacing. Monotone (convergent to the viscosity
//! solution) with implicit Euler and a monotone generator, see [`HjbInfo::monotonicity`].
//! A reward too convex for its control weight makes the value infinite; that is an error ([`HjbError::IllPosed`] from a
//! Riccati equation at the faces, [`HjbError::BlowUp`] from the growth of the discrete value), never a loop or a NaN.
//! References: R. A. Howard, Dynamic Programming and Markov Processes (1960); P. A. Forsyth, G. Labahn, J. Comput. Finance
//! 11 (2007) 1-44; O. Bokanowski, S. Maroso, H. Zidani, Some convergence results for Howard's algorithm, SIAM J. Numer.
//! Anal. 47 (2009) 3001-3026.

use crate::adjoint::PolicySequence;
use crate::curvature::CurvatureWatch;
use crate::error::{HjbError, LinearError};
use crate::exit::{FaceValues, Placement, TargetSet};
use crate::exit_data::ExitData;
use crate::hamiltonian::{Hamiltonian, Policy};
use crate::interrupt::Interrupt;
use crate::monotonicity::Monotonicity;
use crate::norms::sup;
use crate::obstacle::{Obstacle, evaluate};
use crate::params::{HjbInfo, HjbParams, check_memory, workspace_bytes};
use crate::sense::{Oriented, Sense};
use crate::solution::ValueFunction;
use crate::step::{Howard, StageSolver, Stop};
use crate::time_variation::{StageTimes, TimeVariation, stage_defect};
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// A value that grew by this factor within one stage before Howard's iteration failed counts as a blow-up.
const SUDDEN_GROWTH: f64 = 10.0;

/// Shortest and longest horizon.
const SHORTEST: f64 = 1e-30;
const LONGEST: f64 = 1e30;

/// The solution at one time level, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct StepView<'v> {
    /// Level k: the time is k h.
    pub step: usize,
    /// Generation time.
    pub t: f64,
    /// V on the nodes.
    pub value: &'v [f64],
    /// The optimal control v, m x n, component by component.
    pub control: &'v [f64],
}

/// Called at each level with the solution there.
type Observer<'o> = dyn FnMut(StepView<'_>) + 'o;

/// Finite-difference solver for a controlled diffusion on a tensor grid.
pub struct HjbSolver<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: HjbParams,
    obstacle: Option<&'a dyn Obstacle>,
    exit: ExitData<'a>,
    variation: Option<Arc<TimeVariation>>,
    interrupt: Interrupt<'a>,
}

impl<'a> HjbSolver<'a> {
    /// A solver for `model` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range, a grid of another dimension than the model, a horizon that is not positive.
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: HjbParams) -> Result<Self, HjbError> {
        params.validate()?;
        check_model(model, &grid)?;
        Ok(HjbSolver {
            model,
            grid: params.boundary.mark(grid),
            params,
            obstacle: None,
            exit: ExitData::default(),
            variation: None,
            interrupt: Interrupt::default(),
        })
    }

    /// Allow to stop at any time for the reward `obstacle` (the cost, when minimising). Stopping is optimal where V equals
    /// it; the control reported there is the best one for those who continue.
    pub fn with_obstacle(mut self, obstacle: &'a dyn Obstacle) -> Self {
        self.obstacle = Some(obstacle);
        self
    }

    /// End the process when it hits `target` before T, for the reward (the cost, when minimising) given there: V(t,x) is
    /// [`TargetSet::value_at`] on the set at all t, T included. The control reported there is zero.
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.exit.target = Some((target, placement));
        self
    }

    /// Values on the Dirichlet faces of [`HjbParams::boundary`], in place of the terminal reward there.
    pub fn with_face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.exit.faces = Some(values);
        self
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every implicit stage.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.interrupt = Interrupt(flag);
        self
    }

    /// What is known of the model's coefficients in time already.
    pub(crate) fn with_variation(mut self, variation: Arc<TimeVariation>) -> Self {
        self.variation = Some(variation);
        self
    }

    /// The parameters.
    pub fn params(&self) -> &HjbParams {
        &self.params
    }

    /// Solve and keep the levels that [`HjbParams::storage`] asks for.
    pub fn solve(&self) -> Result<(ValueFunction, HjbInfo), HjbError> {
        let levels = self.params.storage.levels(self.params.steps);
        let (n, m) = (self.grid.len(), self.model.control_dim());
        let slices = 8 * (levels.len() as u64) * (n as u64) * (1 + m as u64);
        check_memory(workspace_bytes(n, self.grid.dim(), m).saturating_add(slices), self.params.memory_limit)?;
        let (mut times, mut values, mut controls) = (Vec::new(), Vec::new(), Vec::new());
        let info = self.solve_observed(&mut |view| {
            if levels.binary_search(&view.step).is_ok() {
                times.push(view.t);
                values.push(view.value.to_vec());
                controls.push(view.control.to_vec());
            }
        })?;
        times.reverse();
        values.reverse();
        controls.reverse();
        Ok((ValueFunction::new(self.grid.clone(), m, times, values, controls)?, info))
    }

    /// The optimal policy at every level of the time scheme, for [`crate::AdjointLaw`].
    ///
    /// # Errors
    /// As [`HjbSolver::solve`]; an obstacle, for a policy that stops is not one of controls alone.
    pub fn solve_policies(&self) -> Result<(PolicySequence, HjbInfo), HjbError> {
        if self.obstacle.is_some() {
            return Err(HjbError::invalid("obstacle", "given", "none: the policy of a stopping problem is not recorded"));
        }
        let p = &self.params;
        let levels = 1 + p.time.stages(1.0, p.steps).len();
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        let stored = levels as u64 * n as u64 * (8 * m as u64 + d as u64);
        check_memory(workspace_bytes(n, d, m).saturating_add(stored), p.memory_limit)?;
        let (mut times, mut policies) = (Vec::with_capacity(levels), Vec::with_capacity(levels));
        let info = self.run(&mut |_| {}, &mut |t, policy| {
            times.push(t);
            policies.push(policy.clone());
        })?;
        Ok((PolicySequence::new(times, policies), info))
    }

    /// Solve, calling `observe` at every level k = N, N-1, ..., 0; nothing is stored.
    pub fn solve_observed(&self, observe: &mut Observer<'_>) -> Result<HjbInfo, HjbError> {
        self.run(observe, &mut |_, _| {})
    }

    /// Solve, calling `record` with the policy of each stage besides.
    fn run(&self, observe: &mut Observer<'_>, record: &mut dyn FnMut(f64, &Policy)) -> Result<HjbInfo, HjbError> {
        let start = Instant::now();
        let p = &self.params;
        let n = self.grid.len();
        check_memory(workspace_bytes(n, self.grid.dim(), self.model.control_dim()), p.memory_limit)?;
        let horizon = self.model.horizon();
        let h = horizon / p.steps as f64;
        let stages = p.time.stages(h, p.steps);
        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian =
            Hamiltonian::new(&oriented, self.grid.clone(), p.space.scheme(), p.boundary)?.with_search(p.search)?;
        self.exit.attach(&mut hamiltonian)?;
        let linear = |t: f64| move |source: LinearError| HjbError::Linear { t, source };
        let mut stage_solver = StageSolver::new(&hamiltonian, p.linear).map_err(linear(horizon))?;
        let mut certificate = Monotonicity::default();

        let mut value = vec![0.0; n];
        hamiltonian.prepare(horizon)?;
        hamiltonian.terminal_reward(&mut value)?;
        if let Some(obstacle) = self.obstacle {
            let psi = evaluate(obstacle, horizon, p.sense, &hamiltonian)?;
            value.iter_mut().zip(&psi).for_each(|(v, psi)| *v = v.max(*psi));
        }
        self.exit.update(&mut hamiltonian, self.model, p.sense, horizon)?;
        if let Some(target) = hamiltonian.target() {
            target.values().iter().for_each(|&(j, g)| value[j] = g);
        }
        let StageSolver { policy, operator, maximum, .. } = &mut stage_solver;
        hamiltonian.maximise(&value, policy, operator, maximum);
        stage_solver.inspect(&hamiltonian, horizon, &mut certificate, p.require_monotone)?;
        stage_solver.prescribe(&hamiltonian);
        stage_solver.continue_control(&hamiltonian);
        record(horizon, &stage_solver.policy);
        let mut shown = vec![0.0; if p.sense == Sense::Minimise { n } else { 0 }];
        let mut show = |step: usize, t: f64, value: &[f64], control: &[f64]| {
            let value = match p.sense {
                Sense::Maximise => value,
                Sense::Minimise => {
                    shown.copy_from_slice(value);
                    p.sense.orient(&mut shown);
                    &shown
                }
            };
            observe(StepView { step, t, value, control });
        };
        show(p.steps, horizon, &value, &stage_solver.policy.control);

        // sup |g| + int sup |l|: the bound that the maximum principle gives for the uncontrolled value.
        let mut bound = sup(&value);
        let mut size = bound;
        let mut running_sup = hamiltonian.running_sup();
        let mut watch = CurvatureWatch::new(&hamiltonian, &value, bound);
        let (mut older, mut older_length) = (value.clone(), 0.0);
        let variation = match &self.variation {
            Some(known) => known.clone(),
            None => Arc::new(TimeVariation::of(self.model, &self.grid)),
        };
        let (mut left, mut left_before) = (horizon, horizon);
        for stage in &stages {
            let t = stage.remaining(h, p.steps);
            self.interrupt.check(t)?;
            let StageSolver { right_side, maximum, .. } = &mut stage_solver;
            stage.right_side(&value, &older, maximum, right_side);
            let times = StageTimes { new: t, left, older: left_before };
            let source = |t: f64, out: &mut [f64]| hamiltonian.running_at(t, out);
            if let Some(defect) = stage_defect(&variation, stage, times, n, source)? {
                right_side.iter_mut().zip(&defect).for_each(|(b, d)| *b += d);
                bound += sup(&defect);
            }
            (left, left_before) = (t, left);
            extrapolate(&mut value, &mut older, &mut older_length, stage.length);
            hamiltonian.prepare(t)?;
            if let Some(obstacle) = self.obstacle {
                let psi = evaluate(obstacle, t, p.sense, &hamiltonian)?;
                // Only a stopping reward above can enlarge the value.
                bound = psi.iter().fold(bound, |b, psi| b.max(*psi));
                stage_solver.obstacle = Some(psi);
            }
            self.exit.update(&mut hamiltonian, self.model, p.sense, t)?;
            bound = bound.max(hamiltonian.target().map_or(0.0, |target| target.sup()));
            stage_solver.prescribe(&hamiltonian);
            let sup_l = hamiltonian.running_sup();
            bound += 0.5 * stage.length * (running_sup + sup_l);
            running_sup = sup_l;
            let limit = p.growth_limit * bound;
            let blow_up = |sup: f64| HjbError::BlowUp { t, sup, limit };
            // Residuals add up over the stages: each gets its share of the tolerance.
            let tolerance = p.howard_tolerance * stage.length / horizon;
            let howard = Howard { tolerance, change: p.howard_tolerance, max_iterations: p.howard_max_iterations };
            let done = stage_solver.howard(&mut hamiltonian, stage.implicit, t, bound, howard, &mut value);
            let reached = sup(&value);
            match done {
                Ok(()) => {}
                Err(Stop::NotFinite | Stop::Linear(LinearError::NotFinite { .. })) => return Err(blow_up(f64::INFINITY)),
                Err(Stop::Linear(source)) => return Err(HjbError::Linear { t, source }),
                Err(Stop::NoConvergence(_)) if reached > SUDDEN_GROWTH * size.max(bound) => return Err(blow_up(reached)),
                Err(Stop::NoConvergence(error)) => return Err(error),
            }
            if reached > limit {
                return Err(blow_up(reached));
            }
            if self.obstacle.is_none() && hamiltonian.target().is_none() {
                watch.advance(&hamiltonian, &stage_solver.policy, stage.length, t)?;
            }
            size = reached;
            stage_solver.inspect(&hamiltonian, t, &mut certificate, p.require_monotone)?;
            stage_solver.continue_control(&hamiltonian);
            record(t, &stage_solver.policy);
            if let Some(done) = stage.completes() {
                show(p.steps - done, t, &value, &stage_solver.policy.control);
            }
        }
        Ok(HjbInfo {
            space: p.space.scheme().name(),
            sense: p.sense,
            time: p.time.name(),
            time_order: p.time.order(),
            boundary: p.boundary,
            maximisation: hamiltonian.maximisation(),
            nodes: n,
            steps: p.steps,
            stages: stages.len(),
            inner_iterations: stage_solver.counters.total,
            max_inner_iterations: stage_solver.counters.most,
            linear_solver: stage_solver.linear.solver.name(),
            worst_residual: stage_solver.counters.worst_residual,
            worst_change: stage_solver.counters.worst_change,
            worst_linear_residual: stage_solver.linear.worst_residual,
            monotonicity: certificate,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// Replace `value` by its linear extrapolation to the next level and `older` by the value left.
fn extrapolate(value: &mut [f64], older: &mut [f64], older_length: &mut f64, length: f64) {
    let ratio = if *older_length > 0.0 { length / *older_length } else { 0.0 };
    *older_length = length;
    for (v, o) in value.iter_mut().zip(older) {
        let now = *v;
        *v += ratio * (now - *o);
        *o = now;
    }
}

/// Dimensions and horizon of a model against a grid.
pub(crate) fn check_model(model: &dyn ControlledDiffusion, grid: &TensorGrid) -> Result<(), HjbError> {
    HjbError::check_shape("grid axes", grid.dim(), model.dim())?;
    let horizon = model.horizon();
    // Beyond these powers of steps and rates leave the range of double precision.
    if !(SHORTEST..=LONGEST).contains(&horizon) {
        let allowed = format!("positive, from {SHORTEST:e} to {LONGEST:e}");
        return Err(HjbError::invalid("horizon", horizon, &allowed));
    }
    Ok(())
}
