//! The solver that chooses: what is asked for, what is refused, the report.

use crate::certificate::{AccuracyCertificate, middle};
use crate::error::HjbError;
use crate::exit::{FaceValues, Placement, TargetSet};
use crate::obstacle::Obstacle;
use crate::params::{HjbParams, check_memory};
use crate::route::kinks::terminal_kink;
use crate::route::params::{CandidateInfo, Route, RouteChoice, RouteInfo, RouteParams, RouteView};
use crate::route::pilots::steps;
use crate::route::run::{Problem, Run, RunInfo};
use crate::solution::ValueFunction;
use crate::solve::check_model;
use crate::time_variation::TimeVariation;
use hjbridge_model::grid::{Region, TensorGrid};
use hjbridge_model::{ControlCost, ControlSet, ControlledDiffusion};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Solve `model` on `grid` by the route that [`RouteParams::choice`] says, by default the one that measures best.
///
/// # Errors
/// As [`RouteSolver::solve`].
pub fn solve(
    model: &dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: RouteParams,
) -> Result<(ValueFunction, RouteInfo), HjbError> {
    RouteSolver::new(model, grid, params)?.solve()
}

/// Called with the solution at each output time, the latest first.
pub(super) type Observer<'o> = dyn FnMut(RouteView<'_>) + 'o;

/// Chooses a route and solves.
pub struct RouteSolver<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) grid: Arc<TensorGrid>,
    pub(super) params: RouteParams,
    pub(super) times: Vec<f64>,
    pub(super) region: Region,
    pub(super) variation: Arc<TimeVariation>,
}

impl<'a> RouteSolver<'a> {
    /// A solver for `model` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range, a grid of another dimension than the model, a region without nodes, a horizon that is not
    /// positive.
    pub fn new(model: &'a dyn ControlledDiffusion, grid: Arc<TensorGrid>, params: RouteParams) -> Result<Self, HjbError> {
        params.validate()?;
        check_model(model, &grid)?;
        let times = params.output.times(model.horizon())?;
        let region = match &params.region {
            Some(region) => region.clone(),
            None => middle(&grid)?,
        };
        grid.region_ranges(&region)?;
        let horizon = model.horizon();
        let before = times.iter().rev().find(|t| **t < horizon * (1.0 - 1e-12));
        let least = horizon - before.copied().unwrap_or(0.0);
        let shared = horizon / (steps(&params) >> 2) as f64;
        let problem = Problem {
            least,
            shared,
            model,
            sense: params.monotone.sense,
            obstacle: None,
            target: None,
            faces: None,
            interrupt: None,
        };
        let variation = Arc::new(TimeVariation::of(model, &grid));
        Ok(RouteSolver { problem, grid: params.monotone.boundary.mark(grid), params, times, region, variation })
    }

    /// Allow to stop at any time for this reward (the cost, when minimising). Only the monotone route treats that.
    pub fn with_obstacle(mut self, obstacle: &'a dyn Obstacle) -> Self {
        self.problem.obstacle = Some(obstacle);
        self
    }

    /// End the process when it hits this set, for the reward (the cost, when minimising) given there. Not for the high-order
    /// route.
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.problem.target = Some((target, placement));
        self
    }

    /// Values on the Dirichlet faces of [`HjbParams::boundary`], in place of the terminal reward there.
    pub fn with_face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.problem.faces = Some(values);
        self
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every step.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.problem.interrupt = flag;
        self
    }

    /// The output times, ascending.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Solve and keep V and v at the output times.
    ///
    /// # Errors
    /// Those of the solver chosen; with [`RouteChoice::HighOrder`] what the high-order route does not treat.
    pub fn solve(&self) -> Result<(ValueFunction, RouteInfo), HjbError> {
        let (n, m) = (self.grid.len(), self.problem.model.control_dim());
        let slices = 8 * (self.times.len() as u64) * (n as u64) * (1 + m as u64);
        check_memory(slices, self.params.monotone.memory_limit)?;
        let (mut attempt, mut times, mut values, mut controls) = (0, Vec::new(), Vec::new(), Vec::new());
        let info = self.solve_observed(&mut |view| {
            if view.attempt != attempt {
                attempt = view.attempt;
                times.clear();
                values.clear();
                controls.clear();
            }
            times.push(view.t);
            values.push(view.value.to_vec());
            controls.push(view.control.to_vec());
        })?;
        times.reverse();
        values.reverse();
        controls.reverse();
        Ok((ValueFunction::new(self.grid.clone(), m, times, values, controls)?, info))
    }

    /// Solve, calling `observe` at each output time, the latest first, as soon as it is reached at full size: what was
    /// observed before an error is valid. See [`RouteView::attempt`] for the second attempt after a failed certificate.
    ///
    /// # Errors
    /// As [`RouteSolver::solve`].
    pub fn solve_observed(&self, observe: &mut Observer<'_>) -> Result<RouteInfo, HjbError> {
        let clock = Instant::now();
        let refused = self.high_order_refused();
        let kink = match self.params.choice {
            RouteChoice::Auto => terminal_kink(self.problem.model, &self.grid),
            _ => None,
        };
        let mut info = match (self.params.choice, &refused) {
            (RouteChoice::HighOrder, Some(why)) => {
                return Err(HjbError::Unsupported {
                    what: format!("by the high-order route: {why}"),
                    t: self.problem.model.horizon(),
                    point: Vec::new(),
                    allowed: "the monotone route",
                });
            }
            (RouteChoice::HighOrder, None) => self.only_high_order(observe)?,
            (RouteChoice::Monotone, _) => self.low_order(Route::Monotone, "asked for".into(), Vec::new(), 0, observe)?,
            (RouteChoice::ColeHopf, _) => self.low_order(Route::ColeHopf, "asked for".into(), Vec::new(), 0, observe)?,
            (RouteChoice::Auto, Some(why)) => {
                let candidate = candidate(Route::HighOrder, None, Some(why.clone()));
                self.choose_low_order(format!("the high-order route does not apply: {why}"), vec![candidate], 0, observe)?
            }
            (RouteChoice::Auto, None) => match kink {
                None => self.choose(observe)?,
                Some(point) => {
                    let why = format!("the terminal reward has a kink or a jump near {point:?}");
                    let candidate = candidate(Route::HighOrder, None, Some(why.clone()));
                    self.choose_low_order(
                        format!("{why}, where differences of high order oscillate"),
                        vec![candidate],
                        0,
                        observe,
                    )?
                }
            },
        };
        info.seconds = clock.elapsed().as_secs_f64();
        Ok(info)
    }

    /// Why the high-order route cannot be taken, when that is plain before any solution.
    fn high_order_refused(&self) -> Option<String> {
        let model = self.problem.model;
        if let ControlSet::Finite { controls } = model.control_set() {
            return Some(format!("the control set is finite ({} controls), so the control switches", controls.len()));
        }
        if model.control_cost() == ControlCost::General {
            return Some("the cost of the control is general, not quadratic".into());
        }
        if self.problem.obstacle.is_some() {
            return Some("there is an obstacle, at whose free boundary V has a kink in its second derivative".into());
        }
        if self.problem.target.is_some() {
            return Some("there is a target set, which its differences would cross".into());
        }
        if self.params.monotone.boundary != HjbParams::default().boundary {
            return Some("it continues the equation at the faces (extrapolated faces only)".into());
        }
        if let Some(why) = crate::smooth::too_many_jumps(&self.variation) {
            return Some(why);
        }
        if let Err(e) = crate::smooth::Differences::new(self.grid.clone(), self.order()) {
            return Some(e.to_string());
        }
        None
    }

    pub(super) fn solved(&self, route: Route, full: &Run, certificate: &AccuracyCertificate, seconds: f64) -> CandidateInfo {
        CandidateInfo {
            route,
            error_estimate: certificate.richardson.as_ref().map(|r| r.value_error),
            full_size: true,
            work: Some(full.info.work(self.grid.dim())),
            seconds: seconds + full.info.seconds(),
            refused: None,
        }
    }

    pub(super) fn report(
        &self,
        route: Route,
        reason: String,
        candidates: Vec<CandidateInfo>,
        full: Run,
        certificate: AccuracyCertificate,
    ) -> RouteInfo {
        let (mut hjb, mut smooth, mut cole_hopf) = (None, None, None);
        match full.info {
            RunInfo::Monotone(i) => hjb = Some(*i),
            RunInfo::HighOrder(i) => smooth = Some(*i),
            RunInfo::ColeHopf(i) => cole_hopf = Some(*i),
        }
        RouteInfo { route, reason, candidates, hjb, smooth, cole_hopf, certificate, seconds: 0.0 }
    }
}

pub(super) fn candidate(route: Route, error_estimate: Option<f64>, refused: Option<String>) -> CandidateInfo {
    CandidateInfo { route, error_estimate, full_size: false, work: None, seconds: 0.0, refused }
}
