//! The high-order solver: differences of order 4, 6 or 8 in space, adaptive integration in time.
//!
//! V_t + f.grad V + (1/2) sum_ij a_ij V_ij + l + H(grad V) - rho V = 0, V(T) = g, is integrated backward from T with the
//! tolerances given; values at the requested times come from the integrator's dense output and do not shorten its steps.
//! The control is the maximiser for the gradient by the same differences. No condition is set at the faces: one-sided
//! differences continue the equation there, which is right where the drift points into the box.
//!
//! Requirements: g, the coefficients and V smooth in space (no monotonicity: near kinks the result oscillates). In time
//! coefficients may jump, for the integration starts afresh there, and vary quickly, for steps are kept short there: both are
//! looked for beforehand on a few nodes, at 1025 times. sigma sigma' may be
//! full; so may G (d x m) and R when the control is free, while a control in a box takes diagonal ones. Finite control sets
//! and general costs of the control are refused. For those, for kinks, obstacles and controls that switch prefer
//! [`crate::HjbSolver`].

use crate::error::{HjbError, IntegrationFailure};
use crate::interrupt::Interrupt;
use crate::monotonicity::Monotonicity;
use crate::norms::sup;
use crate::params::check_memory;
use crate::smooth::operator::SmoothOperator;
use crate::smooth::panels::Segment;
use crate::smooth::params::{Integrator, SmoothInfo, SmoothParams};
use crate::smooth::rkc::{RkcError, RkcParams, rkc};
use crate::smooth::signs::signs;
use crate::solution::ValueFunction;
use crate::solve::check_model;
use crate::time_variation::TimeVariation;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The error of V that the interpolation of the coefficients in time may cause over the whole horizon, in units of the
/// tolerance of one step: the errors of many steps add up to more than that.
const COEFFICIENT_SHARE: f64 = 3.0;

/// The solution at one output time, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct LevelView<'v> {
    /// Number of the time among [`SmoothSolver::times`].
    pub level: usize,
    /// Generation time.
    pub t: f64,
    /// V on the nodes.
    pub value: &'v [f64],
    /// The optimal control v, m x n, component by component.
    pub control: &'v [f64],
}

/// High-order solver for a controlled diffusion with smooth data on a tensor grid of dimension 1 to 3 (or more).
pub struct SmoothSolver<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: SmoothParams,
    times: Vec<f64>,
    variation: Option<Arc<TimeVariation>>,
    interrupt: Interrupt<'a>,
}

/// Most jumps of the coefficients in time: the integration starts afresh at each.
const MOST_JUMPS: usize = 64;

/// Why coefficients with so many jumps in time are not for this solver, if they have so many.
pub(crate) fn too_many_jumps(variation: &TimeVariation) -> Option<String> {
    let jumps = &variation.jumps;
    let first = jumps.first().filter(|_| jumps.len() > MOST_JUMPS)?;
    Some(format!("{} jumps {} times in time, first near t = {:.6}", first.what, jumps.len(), first.above))
}

impl<'a> SmoothSolver<'a> {
    /// A solver for `model` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range, a grid of another dimension than the model or with axes too short for the order, a horizon
    /// that is not positive.
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: SmoothParams) -> Result<Self, HjbError> {
        params.validate()?;
        check_model(model, &grid)?;
        let times = params.output.times(model.horizon())?;
        Ok(SmoothSolver { model, grid, params, times, variation: None, interrupt: Interrupt::default() })
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every step.
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
    pub fn params(&self) -> &SmoothParams {
        &self.params
    }

    /// The output times, ascending.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Solve and keep V and v at all output times.
    ///
    /// # Errors
    /// As [`SmoothSolver::solve_observed`].
    pub fn solve(&self) -> Result<(ValueFunction, SmoothInfo), HjbError> {
        let m = self.model.control_dim();
        let slices = 8 * (self.times.len() as u64) * (self.grid.len() as u64) * (1 + m as u64);
        check_memory(self.workspace_bytes().saturating_add(slices), self.params.memory_limit)?;
        let (mut values, mut controls) = (Vec::new(), Vec::new());
        let info = self.solve_observed(&mut |view| {
            values.push(view.value.to_vec());
            controls.push(view.control.to_vec());
        })?;
        values.reverse();
        controls.reverse();
        Ok((ValueFunction::new(self.grid.clone(), m, self.times.clone(), values, controls)?, info))
    }

    /// Solve, calling `observe` at every output time, the latest first; nothing is stored. [`LevelView::level`] is the number
    /// of the time in [`SmoothSolver::times`].
    ///
    /// # Errors
    /// A model that returns NaN or asks for what is not treated; a value that blows up; more steps than
    /// [`SmoothParams::max_steps`]; more memory than allowed.
    pub fn solve_observed(&self, observe: &mut dyn FnMut(LevelView<'_>)) -> Result<SmoothInfo, HjbError> {
        let clock = Instant::now();
        check_memory(self.workspace_bytes(), self.params.memory_limit)?;
        let p = &self.params;
        let tolerance = (COEFFICIENT_SHARE * p.rtol, COEFFICIENT_SHARE * p.atol);
        let variation = match &self.variation {
            Some(known) => known.clone(),
            None => Arc::new(TimeVariation::of(self.model, &self.grid)),
        };
        if let Some(why) = too_many_jumps(&variation) {
            let (t, allowed) = (variation.jumps[0].above, "the monotone route");
            return Err(HjbError::Unsupported { what: why, t, point: Vec::new(), allowed });
        }
        let operator = |segment: Segment| {
            let orders = (p.order, p.closure_order);
            SmoothOperator::new(self.model, self.grid.clone(), orders, tolerance, (segment, variation.clone()))
        };
        let segments: Vec<Segment> = variation.segments().into_iter().map(|(lower, upper)| Segment { lower, upper }).collect();
        let mut info = SmoothInfo {
            order: p.order,
            closure_order: p.closure_order,
            integrator: p.integrator,
            nodes: self.grid.len(),
            steps: 0,
            rejected: 0,
            stages: 0,
            right_sides: 0,
            coefficient_evaluations: 0,
            coefficient_error: 0.0,
            factorisations: 0,
            linear_solves: 0,
            spectral_radius: None,
            monotonicity: Monotonicity::default(),
            seconds: 0.0,
        };
        let mut reporter = Reporter::new(&self.times, observe);
        let mut start = None;
        for segment in segments {
            let mut operator = operator(segment)?;
            operator.interrupt = self.interrupt;
            reporter.enter(segment);
            let (value, limit) = match &mut start {
                Some(start) => start,
                None => {
                    info.monotonicity = signs(&operator, self.model.horizon())?;
                    let value = operator.model.terminal_reward()?;
                    reporter.start(&operator, &value)?;
                    let limit = p.growth_limit * (1.0 + sup(&value));
                    start.insert((value, limit))
                }
            };
            match p.integrator {
                Integrator::Rkc => self.by_rkc(operator, value, *limit, &mut reporter, &mut info)?,
                Integrator::Bdf | Integrator::Esdirk => {
                    crate::smooth::method_of_lines::integrate(operator, value, *limit, p, &mut reporter, &mut info)?;
                }
            }
            if !reporter.continues() {
                break;
            }
        }
        info.seconds = clock.elapsed().as_secs_f64();
        Ok(info)
    }

    fn by_rkc(
        &self,
        mut operator: SmoothOperator<'a>,
        value: &mut Vec<f64>,
        limit: f64,
        reporter: &mut Reporter<'_>,
        info: &mut SmoothInfo,
    ) -> Result<(), HjbError> {
        let p = &self.params;
        let rkc_params = RkcParams { rtol: p.rtol, atol: p.atol, max_steps: p.max_steps, limit };
        let segment = operator.segment;
        let mut between = vec![0.0; value.len()];
        let done = rkc(&mut operator, segment.length(), value, rkc_params, |operator, ends| {
            operator.interrupt.check(segment.time(ends.tau))?;
            while let Some(tau) = reporter.next_until(ends.tau + ends.h) {
                if tau == ends.tau + ends.h {
                    between.copy_from_slice(ends.end);
                } else {
                    ends.at(tau, &mut between);
                }
                reporter.report(operator, &between)?;
            }
            Ok(())
        })
        .map_err(|e| match e {
            RkcError::System(e) => e,
            RkcError::BlowUp { tau, sup, .. } => HjbError::BlowUp { t: segment.time(tau), sup, limit },
            RkcError::TooManySteps { tau, limit } => {
                HjbError::TimeIntegration { t: segment.time(tau), reason: IntegrationFailure::TooManySteps { limit } }
            }
        })?;
        info.steps += done.steps;
        info.rejected += done.rejected;
        info.stages += done.stages;
        info.right_sides += done.right_sides;
        let (least, most) = info.spectral_radius.unwrap_or((f64::INFINITY, 0.0));
        info.spectral_radius = Some((least.min(done.min_spectral_radius), most.max(done.max_spectral_radius)));
        info.coefficient_evaluations += operator.path.statistics.evaluations;
        info.coefficient_error += operator.path.statistics.error;
        Ok(())
    }

    /// Bytes of the arrays of the integration.
    fn workspace_bytes(&self) -> u64 {
        let (n, d, m) = (self.grid.len() as u64, self.model.dim() as u64, self.model.control_dim() as u64);
        // Nine knots and three sets of the drift (more when the other coefficients vary in space), ten vectors.
        let explicit = 8 * n * (12 * d + d + m + 10);
        match self.params.integrator {
            Integrator::Rkc => explicit,
            _ => {
                explicit + crate::params::workspace_bytes(self.grid.len(), self.grid.dim(), m as usize) * self.params.order as u64
            }
        }
    }
}

/// Hands out the output times in the order of tau and calls the observer.
pub(crate) struct Reporter<'o> {
    times: &'o [f64],
    segment: Segment,
    /// Times not yet reported.
    left: usize,
    observe: &'o mut dyn FnMut(LevelView<'_>),
    gradient: Vec<f64>,
}

impl<'o> Reporter<'o> {
    fn new(times: &'o [f64], observe: &'o mut dyn FnMut(LevelView<'_>)) -> Self {
        Reporter { times, segment: Segment { lower: 0.0, upper: 0.0 }, left: times.len(), observe, gradient: Vec::new() }
    }

    /// Go on to this segment: tau counts from its upper end.
    fn enter(&mut self, segment: Segment) {
        self.segment = segment;
    }

    /// Whether times are wanted below the segment.
    pub fn continues(&self) -> bool {
        self.times[..self.left].first().is_some_and(|t| *t < self.segment.lower)
    }

    /// The next output time in tau when it is not after `tau`.
    pub fn next_until(&self, tau: f64) -> Option<f64> {
        let t = *self.times.get(self.left.checked_sub(1)?)?;
        let at = self.segment.upper - t;
        // The lower end is that of the integration whatever the rounding, and what is below belongs to the next segment.
        let here = t >= self.segment.lower;
        (here && (at <= tau || (t == self.segment.lower && tau >= self.segment.length()))).then_some(at.min(tau))
    }

    /// The output times in the segment that are left, in tau, ascending.
    pub fn taus(&self) -> Vec<f64> {
        let here = self.times[..self.left].iter().rev().take_while(|t| **t >= self.segment.lower);
        here.map(|t| self.segment.upper - t).collect()
    }

    /// Report tau = 0 when it is wanted.
    pub fn start(&mut self, operator: &SmoothOperator<'_>, value: &[f64]) -> Result<(), HjbError> {
        if self.next_until(0.0).is_some() { self.report(operator, value) } else { Ok(()) }
    }

    /// Report the value at the next time.
    pub fn report(&mut self, operator: &SmoothOperator<'_>, value: &[f64]) -> Result<(), HjbError> {
        let step = self.left.saturating_sub(1);
        let t = self.times[step];
        self.gradient.resize(value.len() * operator.model.layout.dim, 0.0);
        operator.differences.gradient(value, &mut self.gradient)?;
        let control = operator.control(t, &self.gradient)?;
        (self.observe)(LevelView { level: step, t, value, control: &control });
        self.left = step;
        Ok(())
    }
}
