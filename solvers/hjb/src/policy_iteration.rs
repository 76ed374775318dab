//! Policy iteration over the whole horizon.
//!
//! Given a policy v^m at all levels and nodes, one backward sweep of linear solves gives its value V^m; at each node the
//! discrete Hamiltonian is then maximised for V^m, which gives v^{m+1}. With implicit Euler and a monotone generator V^m
//! increases at every node; in continuous time the error e^m = V - V^m obeys
//!
//!   e^{m+1}(t,y) = E int_t^T (1/2) |G' grad e^m|^2_{R^{-1}} ds,
//!
//! so convergence is locally quadratic. The limit is the solution of [`crate::HjbSolver`] with the same parameters, which
//! is cheaper; this solver exists to study the iteration itself.
//!
//! It is Newton's method for the discrete equation V_k - w F(V_k) = b(V_{k-1}, ...) of all levels k at once, F being the
//! maximum over v: by the envelope theorem the derivative of F at V is the generator of the maximising policy, so that the
//! linear sweep is the Newton step. For a free control with quadratic cost and central slopes F is quadratic,
//! F(V) = L V + l + |G' D V|^2_{R^{-1}}/2, and with implicit Euler the residual after a step is exactly what Newton leaves out,
//! w |G' D (V^{m+1} - V^m)|^2_{R^{-1}}/2: order 2. A change of slope or an active bound makes F piecewise smooth, and
//! the convergence superlinear (semi-smooth Newton).
//! Reference: R. A. Howard, Dynamic Programming and Markov Processes (1960); M. L. Puterman, S. L. Brumelle, On the
//! convergence of policy iteration in stationary dynamic programming, Math. Oper. Res. 4 (1979) 60-69; O. Bokanowski,
//! S. Maroso, H. Zidani, Some convergence results for Howard's algorithm, SIAM J. Numer. Anal. 47 (2009) 3001-3026.

use crate::curvature::CurvatureWatch;
use crate::error::{HjbError, LinearError};
use crate::exit::{FaceValues, Placement, TargetSet};
use crate::exit_data::ExitData;
use crate::hamiltonian::{Hamiltonian, Policy};
use crate::monotonicity::Monotonicity;
use crate::norms::sup;
use crate::params::{HjbParams, check_memory, workspace_bytes};
use crate::prescribed_control::ControlContinuation;
use crate::sense::Oriented;
use crate::solution::ValueFunction;
use crate::solve::check_model;
use crate::step::StageSolver;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Residuals below this many roundings of the discrete operator are zero for all we can tell.
const ROUNDINGS: f64 = 16.0;

/// Parameters of [`PolicyIteration`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PolicyIterationParams {
    /// Discretisation; `howard_tolerance` and `howard_max_iterations` are not used.
    pub hjb: HjbParams,
    /// Stop when both sup |V^{m+1} - V^m| and the residual of V^{m+1} ([`PolicyIterationInfo::residuals`], to rounding) are
    /// below this, relative to the size of the value. In (0, 1).
    pub tolerance: f64,
    /// Largest number of policies evaluated, at least 1.
    pub max_iterations: usize,
}

impl Default for PolicyIterationParams {
    fn default() -> Self {
        PolicyIterationParams { hjb: HjbParams::default(), tolerance: 1e-11, max_iterations: 30 }
    }
}

impl PolicyIterationParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        self.hjb.validate()?;
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(HjbError::invalid("tolerance", self.tolerance, "in (0, 1)"));
        }
        if self.max_iterations == 0 {
            return Err(HjbError::invalid("max_iterations", self.max_iterations, "at least 1"));
        }
        Ok(())
    }
}

/// What [`PolicyIteration`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyIterationInfo {
    /// Policies evaluated.
    pub iterations: usize,
    /// sup over levels and nodes of |V^{m+1} - V^m|, m = 0, 1, ...
    pub gaps: Vec<f64>,
    /// sup of V^m - V^{m+1}, where positive: how far the iteration went down anywhere (up, for a cost), m = 0, 1, ...
    pub decreases: Vec<f64>,
    /// How far V^m is from solving the discrete equation, m = 0, 1, ...: the sup norm over the nodes of V - w F(V) - b at each
    /// level, in units of V, summed over the levels. With implicit Euler and a monotone generator it bounds the distance of
    /// V^m from the solution.
    pub residuals: Vec<f64>,
    /// Each gap over the one before.
    pub rates: Vec<f64>,
    /// Order observed in the last three gaps g, g', g'' above rounding: log(g''/g') / log(g'/g). About 2 for a free control
    /// with quadratic cost; `None` with fewer gaps, or when they do not decrease.
    pub order: Option<f64>,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates over the generators of the last policy evaluated.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// What an observer sees after each sweep.
#[derive(Clone, Copy, Debug)]
pub struct SweepView<'v> {
    /// m: the policy v^m has been evaluated.
    pub iteration: usize,
    /// Times of the levels, descending from T (start-up half steps and levels inside a step included).
    pub times: &'v [f64],
    /// V^m at these levels, n values each.
    pub values: &'v [Vec<f64>],
}

/// Whole-horizon policy iteration, started from v = 0 (clipped to the control set).
pub struct PolicyIteration<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: PolicyIterationParams,
    exit: ExitData<'a>,
}

impl<'a> PolicyIteration<'a> {
    /// Policy iteration for `model` on `grid`.
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        grid: Arc<TensorGrid>,
        params: PolicyIterationParams,
    ) -> Result<Self, HjbError> {
        params.validate()?;
        check_model(model, &grid)?;
        Ok(PolicyIteration { model, grid: params.hjb.boundary.mark(grid), params, exit: ExitData::default() })
    }

    /// End the process when it hits `target` before T, as [`crate::HjbSolver::with_target`] does.
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.exit.target = Some((target, placement));
        self
    }

    /// Values on the Dirichlet faces of the box, in place of the terminal reward there.
    pub fn with_face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.exit.faces = Some(values);
        self
    }

    /// Iterate to the tolerance; the control returned is the maximiser for the value returned.
    pub fn solve(&self) -> Result<(ValueFunction, PolicyIterationInfo), HjbError> {
        self.solve_observed(&mut |_| {})
    }

    /// The same with `observe` called after each sweep.
    pub fn solve_observed(
        &self,
        observe: &mut dyn FnMut(SweepView<'_>),
    ) -> Result<(ValueFunction, PolicyIterationInfo), HjbError> {
        let start = Instant::now();
        let p = &self.params.hjb;
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        let horizon = self.model.horizon();
        let h = horizon / p.steps as f64;
        let stages = p.time.stages(h, p.steps);
        // Per level: the value (8 bytes per node), the controls, one byte per axis for the slopes.
        let levels = (stages.len() + 1) as u64 * n as u64 * (8 + 8 * m as u64 + d as u64);
        let stored = p.storage.levels(p.steps);
        let slices = stored.len() as u64 * n as u64 * 8 * (1 + m as u64);
        let required = workspace_bytes(n, d, m).saturating_add(levels).saturating_add(slices);
        check_memory(required, p.memory_limit)?;

        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian =
            Hamiltonian::new(&oriented, self.grid.clone(), p.space.scheme(), p.boundary)?.with_search(p.search)?;
        self.exit.attach(&mut hamiltonian)?;
        let mut stage_solver =
            StageSolver::new(&hamiltonian, p.linear).map_err(|source| HjbError::Linear { t: horizon, source })?;
        let mut terminal = vec![0.0; n];
        hamiltonian.terminal_reward(&mut terminal)?;
        self.exit.update(&mut hamiltonian, self.model, p.sense, horizon)?;
        if let Some(target) = hamiltonian.target() {
            target.values().iter().for_each(|&(j, g)| terminal[j] = g);
        }
        let mut times = vec![horizon];
        times.extend(stages.iter().map(|s| s.remaining(h, p.steps)));
        let mut policies: Vec<Policy> = vec![hamiltonian.zero_policy(); times.len()];
        let mut values: Vec<Vec<f64>> = vec![terminal.clone(); times.len()];
        let mut explicit = vec![0.0; n];
        let mut value = vec![0.0; n];
        let mut before = vec![0.0; n];
        let (mut gaps, mut decreases, mut residuals) = (Vec::new(), Vec::new(), Vec::new());
        // F at the level before, and the right side of the discrete equation with it.
        let (mut last_maximum, mut right_side) = (vec![0.0; n], vec![0.0; n]);
        let mut free = vec![true; n];
        hamiltonian.target().into_iter().flat_map(|target| target.nodes()).for_each(|j| free[j] = false);
        let mut bound = sup(&terminal);
        for iteration in 0..=self.params.max_iterations {
            let (mut gap, mut decrease, mut size) = (0.0f64, 0.0f64, 0.0f64);
            // Rounding of the residuals, and of V at the worst level.
            let (mut residual, mut rounding, mut coarsest) = (0.0f64, 0.0f64, 0.0f64);
            value.copy_from_slice(&terminal);
            let mut certificate = Monotonicity::default();
            let mut watch = CurvatureWatch::new(&hamiltonian, &terminal, sup(&terminal));
            for level in 0..times.len() {
                let t = times[level];
                hamiltonian.prepare(t)?;
                self.exit.update(&mut hamiltonian, self.model, p.sense, t)?;
                // The first policy's slopes follow from its drift; later ones carry the maximiser's choice.
                let reselect = iteration == 0;
                hamiltonian.apply(&mut policies[level], reselect, &mut stage_solver.operator);
                stage_solver.inspect(&hamiltonian, t, &mut certificate, false)?;
                if level > 0 {
                    let stage = &stages[level - 1];
                    stage.right_side(&value, &before, &explicit, &mut stage_solver.right_side);
                    stage.right_side(&value, &before, &last_maximum, &mut right_side);
                    stage_solver.prescribe(&hamiltonian);
                    before.copy_from_slice(&value);
                    let limit = p.growth_limit * bound;
                    let solved = stage_solver.solve_linear(stage.implicit, &mut value);
                    let reached = sup(&value);
                    match solved {
                        Err(LinearError::NotFinite { .. }) => {
                            return Err(HjbError::BlowUp { t, sup: f64::INFINITY, limit });
                        }
                        Err(source) => return Err(HjbError::Linear { t, source }),
                        Ok(()) if reached > limit => return Err(HjbError::BlowUp { t, sup: reached, limit }),
                        Ok(()) => {}
                    }
                    if iteration == 0 {
                        bound += stage.length * hamiltonian.running_sup();
                        bound = bound.max(hamiltonian.target().map_or(0.0, |target| target.sup()));
                    }
                    size = size.max(reached);
                }
                stage_solver.operator.apply(&value, &mut explicit);
                let StageSolver { operator, maximum, .. } = &mut stage_solver;
                hamiltonian.maximise(&value, &mut policies[level], operator, maximum);
                hamiltonian.check()?;
                if level > 0 {
                    let w = stages[level - 1].implicit;
                    let rows = value.iter().zip(&right_side).zip(maximum.iter()).zip(&free).filter(|(_, free)| **free);
                    residual += rows.fold(0.0f64, |r, (((v, b), m), _)| r.max((v - b - w * m).abs()));
                    let unit = f64::EPSILON * (1.0 + w * sup(operator.generator.diagonal(0))) * sup(&value);
                    coarsest = coarsest.max(unit);
                    rounding += ROUNDINGS * unit;
                }
                last_maximum.copy_from_slice(maximum);
                if level > 0 && hamiltonian.target().is_none() {
                    watch.advance(&hamiltonian, &policies[level], stages[level - 1].length, t)?;
                }
                for (new, old) in value.iter().zip(values[level].iter_mut()) {
                    gap = gap.max((new - *old).abs());
                    decrease = decrease.max(*old - new);
                    *old = *new;
                }
            }
            // Two changes of sign are exact.
            values.iter_mut().for_each(|v| p.sense.orient(v));
            observe(SweepView { iteration, times: &times, values: &values });
            values.iter_mut().for_each(|v| p.sense.orient(v));
            residuals.push(residual);
            if iteration > 0 {
                gaps.push(gap);
                decreases.push(decrease);
                let tolerance = self.params.tolerance * size.max(bound);
                if gap <= tolerance && residual <= tolerance.max(rounding) {
                    if p.require_monotone {
                        certificate.require()?;
                    }
                    if let Some(target) = hamiltonian.target() {
                        let continuation = ControlContinuation::new(&self.grid, target.nodes(), &hamiltonian.control_set);
                        policies.iter_mut().for_each(|policy| continuation.apply(&mut policy.control, n));
                    }
                    let info = PolicyIterationInfo {
                        iterations: iteration + 1,
                        rates: gaps.windows(2).map(|g| g[1] / g[0]).collect(),
                        order: order(&gaps, ROUNDINGS * coarsest),
                        gaps,
                        decreases,
                        residuals,
                        linear_solver: stage_solver.linear.solver.name(),
                        worst_linear_residual: stage_solver.linear.worst_residual,
                        monotonicity: certificate,
                        seconds: start.elapsed().as_secs_f64(),
                    };
                    return Ok((self.collect(&stored, &times, values, policies)?, info));
                }
            }
        }
        let last = |all: &[f64]| all.last().copied().unwrap_or(f64::INFINITY);
        let (value_change, residual) = (last(&gaps), last(&residuals));
        Err(HjbError::NoConvergence { t: None, iterations: self.params.max_iterations, value_change, residual })
    }

    /// The stored levels, ascending in time.
    fn collect(
        &self,
        stored: &[usize],
        times: &[f64],
        values: Vec<Vec<f64>>,
        policies: Vec<Policy>,
    ) -> Result<ValueFunction, HjbError> {
        let p = &self.params.hjb;
        let h = self.model.horizon() / p.steps as f64;
        let mut kept_times = Vec::with_capacity(stored.len());
        let (mut kept_values, mut kept_controls) = (Vec::new(), Vec::new());
        let stages = p.time.stages(h, p.steps);
        let completes = |level: usize| if level == 0 { Some(0) } else { stages[level - 1].completes() };
        for (level, (mut value, policy)) in values.into_iter().zip(policies).enumerate().rev() {
            if completes(level).is_some_and(|done| stored.binary_search(&(p.steps - done)).is_ok()) {
                kept_times.push(times[level]);
                p.sense.orient(&mut value);
                kept_values.push(value);
                kept_controls.push(policy.control);
            }
        }
        ValueFunction::new(self.grid.clone(), self.model.control_dim(), kept_times, kept_values, kept_controls)
    }
}

/// The order in which the gaps above `least` decrease, from the last three of them.
fn order(gaps: &[f64], least: f64) -> Option<f64> {
    let count = gaps.iter().take_while(|gap| **gap > least).count();
    let last = &gaps[count.checked_sub(3)?..count];
    let (now, before) = ((last[2] / last[1]).ln(), (last[1] / last[0]).ln());
    (now < 0.0 && before < 0.0).then(|| now / before)
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn the_order_is_that_of_the_sequence_above_rounding() {
        let quadratic = [0.3, 0.09, 0.0081, 0.0081f64.powi(2), 1e-15, 3e-16];
        assert!((order(&quadratic, 1e-12).unwrap() - 2.0).abs() < 1e-12);
        let linear = [1.0, 0.2, 0.04, 0.008];
        assert!((order(&linear, 1e-12).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(order(&[0.1, 0.01], 1e-12), None);
        assert_eq!(order(&[0.1, 0.2, 0.1], 1e-12), None);
        assert_eq!(order(&[0.0, 0.0, 0.0], 0.0), None);
    }
}
