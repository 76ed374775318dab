//! The finite-horizon problem by the Cole-Hopf substitution: one linear solve per implicit stage.
//!
//!   phi_t + f.grad phi + (1/2) tr(sigma sigma' D^2 phi) + (l/beta) phi = 0,   phi(T) = exp(g/beta),
//!   V = beta log phi = beta log E exp( [ g(X_T) + int_t^T l ds ]/beta )   over the uncontrolled process.
//!
//! Time schemes step phi, in the logarithm. With F = (L phi + (l/beta) phi)/phi node by node, a stage of [`crate::time`] is
//!
//!   phi_new (1 - implicit F_new) = phi_last ( 1 + X ),     X = older ( phi_before/phi_last - 1 ) + explicit F_last.
//!
//! The left side is an M-matrix, so phi_new > 0 when 1 + X > 0. Implicit Euler has X = 0. For the second-order schemes X is
//! as small as the relative change of phi in a step; no linear scheme of order 2 keeps phi positive at every step (C.
//! Bolley, M. Crouzeix, RAIRO Anal. Numer. 12 (1978) 237-245). So where X < -1/2, in steps that do not resolve phi there (far
//! out, or just after steep data), 1 + X is replaced by its smooth continuation 1/(-4X): phi stays positive, order 2 is kept
//! as h falls, and [`ColeHopfInfo::limited`] counts the nodes.
//! Errors in time are of order (h V_t/beta)^2, in space (dx |grad V|/beta)^2, relative: the scheme is that of phi. The cell
//! Peclet number that it bears is that of [`super::StationaryColeHopf`]. Prefer
//! [`crate::HjbSolver`] where V is steep against beta, or where beta is not constant; this solver has one linear solve per
//! stage where that one has two or three, and keeps its factorisation when the coefficients do not depend on time.
//! Reference: W. H. Fleming, H. M. Soner, Controlled Markov Processes and Viscosity Solutions (2006), chapter VI (the
//! logarithmic transformation); H. J. Kappen, Linear theory for control of nonlinear stochastic systems, Phys. Rev. Lett.
//! 95 (2005) 200201 (arXiv:physics/0411119).

use super::cells;
use super::control::control;
use super::equation::LogEquation;
use super::lanes::expm1_in_place;
use super::log_system::{Failure, LogSystem, Stage};
use super::params::{ColeHopfInfo, ColeHopfParams};
use super::temperature::{check_form, temperature};
use super::{decades, range, widen};
use crate::error::{HjbError, LinearError};
use crate::exit::{FaceValues, Placement, TargetSet};
use crate::exit_data::ExitData;
use crate::hamiltonian::Hamiltonian;
use crate::interrupt::Interrupt;
use crate::params::{check_memory, workspace_bytes};
use crate::sense::Oriented;
use crate::solution::ValueFunction;
use crate::solve::{StepView, check_model};
use crate::time::Stage as TimeStage;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Below this X the explicit factor 1 + X is bent.
const BEND: f64 = -0.5;

/// Longest step of log phi that is extrapolated to the next level.
const LONGEST: f64 = 1.0;

/// Called at each level with the solution there.
type Observer<'o> = dyn FnMut(StepView<'_>) + 'o;

/// The linear route for problems with a finite horizon.
pub struct ColeHopfSolver<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: ColeHopfParams,
    exit: ExitData<'a>,
    interrupt: Interrupt<'a>,
}

impl<'a> ColeHopfSolver<'a> {
    /// A solver for `model` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range; a grid of another dimension than the model; a horizon that is not positive; a control
    /// that is not free, costs that are not quadratic, a discount.
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: ColeHopfParams) -> Result<Self, HjbError> {
        params.validate()?;
        check_model(model, &grid)?;
        check_form(model)?;
        Ok(ColeHopfSolver {
            model,
            grid: params.boundary.mark(grid),
            params,
            exit: ExitData::default(),
            interrupt: Interrupt::default(),
        })
    }

    /// End the process when it hits `target` before T, for the reward (the cost, when minimising) given there.
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.exit.target = Some((target, placement));
        self
    }

    /// Values on the Dirichlet faces of [`ColeHopfParams::boundary`], in place of the terminal reward there.
    pub fn with_face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.exit.faces = Some(values);
        self
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every implicit stage.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.interrupt = Interrupt(flag);
        self
    }

    /// The parameters.
    pub fn params(&self) -> &ColeHopfParams {
        &self.params
    }

    /// Solve and keep the levels that [`ColeHopfParams::storage`] asks for.
    ///
    /// # Errors
    /// sigma sigma' not proportional to G R^{-1} G' with one constant beta (with the point and the time); a negative rate; an
    /// infinite expectation; a linear system that could not be solved.
    pub fn solve(&self) -> Result<(ValueFunction, ColeHopfInfo), HjbError> {
        let levels = self.params.storage.levels(self.params.steps);
        let (n, m) = (self.grid.len(), self.model.control_dim());
        let slices = 8 * (levels.len() as u64) * (n as u64) * (1 + m as u64);
        check_memory(workspace_bytes(n, self.grid.dim(), m).saturating_add(slices), self.params.memory_limit)?;
        let (mut times, mut values, mut controls) = (Vec::new(), Vec::new(), Vec::new());
        let info = self.run(&|step| levels.binary_search(&step).is_ok(), &mut |view| {
            times.push(view.t);
            values.push(view.value.to_vec());
            controls.push(view.control.to_vec());
        })?;
        times.reverse();
        values.reverse();
        controls.reverse();
        Ok((ValueFunction::new(self.grid.clone(), m, times, values, controls)?, info))
    }

    /// Solve, calling `observe` at every level k = N, N-1, ..., 0; nothing is stored.
    pub fn solve_observed(&self, observe: &mut Observer<'_>) -> Result<ColeHopfInfo, HjbError> {
        self.run(&|_| true, observe)
    }

    /// Solve, calling `observe` at the levels that are `wanted`.
    fn run(&self, wanted: &dyn Fn(usize) -> bool, observe: &mut Observer<'_>) -> Result<ColeHopfInfo, HjbError> {
        let start = Instant::now();
        let p = &self.params;
        let (n, m) = (self.grid.len(), self.model.control_dim());
        check_memory(workspace_bytes(n, self.grid.dim(), m), p.memory_limit)?;
        let horizon = self.model.horizon();
        let h = horizon / p.steps as f64;
        let stages = p.time.stages(h, p.steps);
        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian = Hamiltonian::new(&oriented, self.grid.clone(), p.space.scheme(), p.boundary)?;
        self.exit.attach(&mut hamiltonian)?;
        let mut equation = LogEquation::new(&hamiltonian);
        let linear = |t: f64| move |source: LinearError| HjbError::Linear { t, source };
        let mut system = LogSystem::new(&equation.rates, p.linear).map_err(linear(horizon))?;

        hamiltonian.prepare(horizon)?;
        self.exit.update(&mut hamiltonian, self.model, p.sense, horizon)?;
        let beta = temperature(hamiltonian.coefficients(), horizon, None)?;
        // A constant running reward is integrated exactly: phi exp(-rate (T - t)) is stepped in place of phi.
        let running = &hamiltonian.coefficients().running;
        let rate = running.iter().fold(f64::NEG_INFINITY, |m: f64, l| m.max(*l)) / beta;
        equation.read(&mut hamiltonian, beta, horizon, (rate, 0.0))?;
        let mut theta = vec![0.0; n];
        hamiltonian.terminal_reward(&mut theta)?;
        theta.iter_mut().for_each(|v| *v /= beta);
        equation.fixed.iter().for_each(|&(j, value)| theta[j] = value);

        let (mut value, mut v) = (vec![0.0; n], vec![0.0; m * n]);
        let mut show = |step: usize, t: f64, theta: &[f64], hamiltonian: &Hamiltonian<'_>| {
            if wanted(step) {
                let shift = rate * (horizon - t);
                value.iter_mut().zip(theta).for_each(|(v, theta)| *v = beta * (theta + shift));
                control(hamiltonian, &value, &mut v);
                p.sense.orient(&mut value);
                observe(StepView { step, t, value: &value, control: &v });
            }
        };
        show(p.steps, horizon, &theta, &hamiltonian);

        let mut log_range = range(&theta);
        let mut cell_peclet = 0.0f64;
        let mut explicit = Explicit { slope: vec![0.0; n], factor: vec![0.0; n], load: vec![0.0; n], limited: 0 };
        if stages.first().is_some_and(|s| s.explicit != 0.0) {
            system.evaluate(&equation, &theta, &mut explicit.slope);
        }
        let (mut before, mut before_length) = (theta.clone(), 0.0);
        for (number, stage) in stages.iter().enumerate() {
            let t = stage.remaining(h, p.steps);
            self.interrupt.check(t)?;
            explicit.load(stage, &theta, &before);
            let ratio = if before_length > 0.0 { stage.length / before_length } else { 0.0 };
            before_length = stage.length;
            for (theta, before) in theta.iter_mut().zip(&mut before) {
                let now = *theta;
                *theta += (ratio * (now - *before)).clamp(-LONGEST, LONGEST);
                *before = now;
            }
            hamiltonian.prepare(t)?;
            self.exit.update(&mut hamiltonian, self.model, p.sense, t)?;
            temperature(hamiltonian.coefficients(), t, Some(beta))?;
            let shift = rate * (horizon - t);
            equation.read(&mut hamiltonian, beta, t, (rate, shift))?;
            let top = equation.potential.iter().fold(0.0, |m: f64, l| m.max(*l));
            if stage.implicit * top >= 1.0 {
                let least = (p.steps as f64 * stage.implicit * top).ceil();
                let allowed = format!("above {least}: the running reward grows by more than beta in one implicit stage");
                return Err(HjbError::invalid("steps", p.steps, &allowed));
            }
            let implicit = Stage { mass: 1.0, weight: stage.implicit, log_load: Some(&explicit.load) };
            let solved = system.solve(&equation, implicit, &mut theta, true, p.tolerance, p.max_iterations);
            solved.map_err(|failure| match failure {
                Failure::Linear(source) => HjbError::Linear { t, source },
                Failure::Interrupted => HjbError::Interrupted { t },
                Failure::NotPositive => HjbError::BlowUp { t, sup: f64::INFINITY, limit: f64::MAX },
                Failure::NoConvergence { iterations, change, residual } => {
                    HjbError::NoConvergence { t: Some(t), iterations, value_change: beta * change, residual: beta * residual }
                }
            })?;
            log_range = widen(log_range, range(&theta), shift);
            if stages.get(number + 1).is_some_and(|next| next.explicit != 0.0) {
                explicit.slope_after(stage, &theta);
                equation.fixed.iter().for_each(|&(j, _)| explicit.slope[j] = 0.0);
            }
            if let Some(done) = stage.completes() {
                cell_peclet = cell_peclet.max(cells::cell_peclet(&hamiltonian, &equation, &theta));
                show(p.steps - done, t, &theta, &hamiltonian);
            }
        }
        let counters = system.counters;
        Ok(ColeHopfInfo {
            space: p.space.scheme().name(),
            time: p.time.name(),
            time_order: p.time.order(),
            sense: p.sense,
            beta,
            nodes: n,
            steps: p.steps,
            stages: stages.len(),
            inner_iterations: counters.solves,
            max_inner_iterations: counters.most,
            factorisations: counters.factorisations,
            limited: explicit.limited,
            log_range,
            decades: decades(log_range),
            worst_change: counters.worst_change,
            cell_peclet,
            note: cells::note(cell_peclet, p.space),
            linear_solver: system.solver.name(),
            worst_linear_residual: counters.worst_linear_residual,
            monotonicity: equation.certificate,
            seconds: start.elapsed().as_secs_f64(),
        })
    }
}

/// The explicit side of the stages.
struct Explicit {
    /// F at the level left.
    slope: Vec<f64>,
    factor: Vec<f64>,
    /// Logarithm of the right side.
    load: Vec<f64>,
    limited: usize,
}

impl Explicit {
    /// load = theta + log of the positive continuation of 1 + X.
    fn load(&mut self, stage: &TimeStage, theta: &[f64], before: &[f64]) {
        self.load.copy_from_slice(theta);
        if stage.older == 0.0 && stage.explicit == 0.0 {
            return;
        }
        if stage.older == 0.0 {
            self.factor.fill(0.0);
        } else {
            self.factor.iter_mut().zip(before).zip(theta).for_each(|((x, b), t)| *x = b - t);
            expm1_in_place(&mut self.factor);
        }
        for ((x, f), load) in self.factor.iter_mut().zip(&self.slope).zip(&mut self.load) {
            *x = stage.older * *x + stage.explicit * f;
            if *x < BEND {
                self.limited += 1;
                *load -= (-4.0 * *x).ln();
                *x = 0.0;
            }
        }
        super::lanes::log1p_in_place(&mut self.factor);
        self.load.iter_mut().zip(&self.factor).for_each(|(b, x)| *b += x);
    }

    /// F at the level reached, from the equation of the stage: phi_new (1 - w F) = exp(load).
    fn slope_after(&mut self, stage: &TimeStage, theta: &[f64]) {
        self.slope.iter_mut().zip(&self.load).zip(theta).for_each(|((f, b), t)| *f = b - t);
        expm1_in_place(&mut self.slope);
        let w = stage.implicit;
        self.slope.iter_mut().for_each(|f| *f /= -w);
    }
}
