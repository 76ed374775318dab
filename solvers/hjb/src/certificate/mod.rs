//! Certificates of accuracy for solutions on grids, whatever solver made them.
//!
//! | part | type | file |
//! |---|---|---|
//! | both together | [`Certifier`], [`AccuracyCertificate`] | `mod.rs` |
//! | Richardson's estimate from two or three grids | [`RichardsonCertificate`] | `richardson.rs` |
//! | residual between nodes and levels | [`ResidualCertificate`] | `residual.rs`, `pointwise.rs` |
//! | switches of the control | | `jumps.rs` |
//! | cost of the box | [`RichardsonCertificate::box_error`] | `influence.rs`, `truncation.rs` |
//! | what fixed steps pass over | [`RichardsonCertificate::unresolved_error`] | `unresolved.rs` |
//! | half grids | [`coarsen`] | `coarsen.rs` |
//!
//! Richardson's estimate is the figure to quote: within a factor of about two of the true error where the order is observed.
//! The residual is the check that does not trust the solver: it evaluates the equation itself. Neither sees the truncation
//! of the domain, which all grids share: where extrapolated faces can be felt in the region a larger box is solved too, and the
//! change is added to the estimate. What the coefficients do in time for less than T/1024, or away from the few nodes at which they are
//! sampled, is not seen.

mod coarsen;
mod influence;
mod jumps;
mod pointwise;
pub(crate) mod residual;
pub(crate) mod richardson;
pub(crate) mod truncation;
pub(crate) mod unresolved;

pub use coarsen::{CoarseGrid, coarsen};
pub use residual::{ResidualCertificate, ResidualSampling};
pub use richardson::{ErrorAtStart, RichardsonCertificate};

use crate::error::HjbError;
use crate::exit::TargetSet;
use crate::faces::Faces;
use crate::obstacle::Obstacle;
use crate::sense::Sense;
use crate::solution::ValueFunction;
use crate::stationary::StationaryValue;
use crate::time::Time;
use crate::time_variation::TimeVariation;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::{Region, TensorGrid};
use residual::{Equation, TimeWindow};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use truncation::BoxTest;
use unresolved::{Stepped, unresolved};

/// Parameters of [`Certifier`].
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateParams {
    /// The sense in which the solution was made.
    pub sense: Sense,
    /// Formal order of the method when grid and steps are halved together, at least 1; 2 for the hybrid and fitted
    /// schemes with Crank-Nicolson or TR-BDF2.
    pub order: u32,
    /// Solutions in Richardson's estimate: 3 to observe the order (costs about 1/4 in one dimension, 1/8 in two), or 2.
    pub grids: usize,
    /// Where errors are estimated; `None` is the middle half of the box along each axis, away from its faces.
    pub region: Option<Region>,
    /// Where the residual is taken.
    pub residual: ResidualSampling,
    /// The conditions at the faces with which a solution with a horizon was made: what extrapolated ones cost is then
    /// estimated, by the rerun on a grid with a larger box where they can be felt. With `None` it is not.
    pub boundary: Option<Faces>,
    /// Time scheme and number of steps of the [`crate::HjbSolver`] that made it: what its steps pass over is then estimated. With
    /// `None` it is not.
    pub stepping: Option<(Time, usize)>,
}

impl Default for CertificateParams {
    fn default() -> Self {
        CertificateParams {
            sense: Sense::default(),
            order: 2,
            grids: 3,
            region: None,
            residual: ResidualSampling::default(),
            boundary: None,
            stepping: None,
        }
    }
}

impl CertificateParams {
    /// Check the ranges given at the fields.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), HjbError> {
        if self.order == 0 {
            return Err(HjbError::invalid("order", self.order, "at least 1"));
        }
        if let Some((_, 0)) = self.stepping {
            return Err(HjbError::invalid("stepping", 0, "at least 1 step"));
        }
        if !matches!(self.grids, 2 | 3) {
            return Err(HjbError::invalid("grids", self.grids, "2 or 3"));
        }
        self.residual.validate()
    }
}

/// How accurate a solution is, as far as can be told without knowing the true one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AccuracyCertificate {
    /// Lower corner of the region on which the figures hold.
    pub region_lower: Vec<f64>,
    /// Upper corner.
    pub region_upper: Vec<f64>,
    /// Richardson's estimate; `None` when no coarser solution could be had (see `notes`).
    pub richardson: Option<RichardsonCertificate>,
    /// The residual; `None` when it could not be taken (see `notes`).
    pub residual: Option<ResidualCertificate>,
    /// Whether the estimates can be relied on; when not, `notes` says why.
    pub reliable: bool,
    /// What is missing or must be read with care.
    pub notes: Vec<String>,
    /// Wall time of the coarser solutions and of the residual.
    pub seconds: f64,
}

impl Default for AccuracyCertificate {
    fn default() -> Self {
        let (region_lower, region_upper) = (Vec::new(), Vec::new());
        AccuracyCertificate {
            region_lower,
            region_upper,
            richardson: None,
            residual: None,
            reliable: true,
            notes: Vec::new(),
            seconds: 0.0,
        }
    }
}

impl AccuracyCertificate {
    pub(crate) fn on(region: &Region) -> Self {
        AccuracyCertificate { region_lower: region.lower().to_vec(), region_upper: region.upper().to_vec(), ..Default::default() }
    }

    /// Note why the estimates cannot be relied on.
    pub(crate) fn doubt(&mut self, why: String) {
        self.reliable = false;
        self.notes.push(format!("not reliable: {why}"));
    }

    /// Note what fixed time steps pass over, and claim it.
    pub(crate) fn add_unresolved(
        &mut self,
        equation: Equation<'_>,
        v: &ValueFunction,
        region: &Region,
        variation: &TimeVariation,
        stepped: Stepped,
    ) -> Result<(), HjbError> {
        let Some(r) = &mut self.richardson else { return Ok(()) };
        let Some((all, start)) = unresolved(equation, v, region, variation, stepped)? else { return Ok(()) };
        let before = r.value_error;
        r.add_unresolved(all, start);
        if all.value > before {
            let what = match variation.jumps.as_slice() {
                [] => "the coefficients vary quickly in time".to_string(),
                [jump] => format!("{} jumps in time at t = {:.6}", jump.what, jump.above),
                [jump, ..] => format!(
                    "{} jumps in time at t = {:.6} ({} jumps of coefficients in all)",
                    jump.what,
                    jump.above,
                    variation.jumps.len()
                ),
            };
            let cost = all.value;
            self.notes.push(format!(
                "{what}: what the time steps pass over is {cost:.1e} in V, which is in value_error; take more steps"
            ));
        }
        Ok(())
    }

    /// Bound the errors of the control of this solution by its jumps and its set, and add what a reader of the estimate
    /// should know.
    pub(crate) fn annotate(
        &mut self,
        model: &dyn ControlledDiffusion,
        solution: &ValueFunction,
        region: &Region,
        end: f64,
    ) -> Result<(), HjbError> {
        let Some(r) = &mut self.richardson else { return Ok(()) };
        let set = model.control_set();
        let jumps = jumps::jumps(solution, &set, region, end)?;
        if model.control_dim() > 0 {
            r.bound_control(&jumps, jumps::diameter(&set));
        }
        if !r.nested {
            self.notes.push(
                "an axis cannot be halved twice (4k + 1 nodes can): coarser grids are not nested, values were interpolated"
                    .into(),
            );
        }
        // Differences that are rounding, or errors in time claimed apart, need not fall.
        let (value, control) = sizes(solution);
        let small = |gap: f64, size: f64, in_time: Option<f64>| gap <= (ROUNDING * (1.0 + size)).max(in_time.unwrap_or(0.0));
        let value_settled = small(r.value_difference, value, r.time_error);
        let control_settled = small(r.control_difference, control, r.control_time_error);
        if !r.converging && !value_settled {
            let order = r.observed_order.unwrap_or(0.0);
            let at = format!("at {}", place(&r.worst_point, r.worst_time, end));
            self.notes.push(match &r.at_start {
                Some(start) if start.converging && start.value_error < r.value_error => format!(
                    "the sup differences of V over all times do not fall under refinement (observed order {order:.2}), worst {at}, \
                     as after data with a kink: their estimate is not reliable; at t = 0 they do fall, see at_start"
                ),
                _ => {
                    self.reliable = false;
                    format!(
                        "the differences of V do not fall under refinement (observed order {order:.2}), worst {at}: the \
                         estimate is not reliable"
                    )
                }
            });
        }
        if let Some(jump) = r.control_jump {
            self.notes.push(format!(
                "the control jumps by {jump:.3} between neighbouring nodes next to {}: its sup error is at the \
                 jump, where no grid makes it small; control_mean_error is the figure to quote",
                place(&jumps.point, jumps.time, end)
            ));
        } else if r.control_observed_order.is_some_and(|p| p < richardson::LEAST_ORDER) && !control_settled {
            self.notes.push(format!(
                "the sup differences of the control do not fall under refinement, worst at {}: it has a jump or \
                 a layer there that the grid does not resolve; see control_mean_error",
                place(&r.control_worst_point, r.control_worst_time, end)
            ));
        }
        if r.coarse_nodes.len() < 2 {
            self.notes.push("two grids only: the formal order is assumed".into());
        }
        Ok(())
    }
}

/// Differences of this part of the size of V or v are rounding, magnified by the linear systems.
const ROUNDING: f64 = 1e-11;

/// sup |V| and sup |v|.
fn sizes(v: &ValueFunction) -> (f64, f64) {
    let largest = |of: &dyn Fn(usize) -> f64| (0..v.times().len()).map(of).fold(0.0, f64::max);
    (largest(&|k| crate::norms::sup(v.value(k))), largest(&|k| crate::norms::sup(v.control(k))))
}

/// A point and time for a note; a stationary problem (without end) has no times.
pub(crate) fn place(x: &[f64], t: f64, end: f64) -> String {
    let shown: Vec<String> = x.iter().map(|x| format!("{x:.4}")).collect();
    let time = if end.is_finite() { format!(" and t = {t:.4}") } else { String::new() };
    format!("x = [{}]{time}", shown.join(", "))
}

/// Solve the same problem on this coarser grid, with the time step too multiplied by about 2^halvings (second argument). With
/// [`CertificateParams::boundary`] the grid may cover a larger box.
pub type Rerun<'r, S> = dyn FnMut(Arc<TensorGrid>, u32) -> Result<S, HjbError> + 'r;

/// Certifies solutions of one problem.
pub struct Certifier<'a> {
    model: &'a dyn ControlledDiffusion,
    params: CertificateParams,
    obstacle: Option<&'a dyn Obstacle>,
    target: Option<&'a dyn TargetSet>,
}

impl<'a> Certifier<'a> {
    /// A certifier for solutions of `model`.
    ///
    /// # Errors
    /// Parameters out of range.
    pub fn new(model: &'a dyn ControlledDiffusion, params: CertificateParams) -> Result<Self, HjbError> {
        params.validate()?;
        Ok(Certifier { model, params, obstacle: None, target: None })
    }

    /// The solution is that of an optimal stopping problem: the residual is max( R, psi - V ).
    pub fn with_obstacle(mut self, obstacle: &'a dyn Obstacle) -> Self {
        self.obstacle = Some(obstacle);
        self
    }

    /// The process stops on this set: no residual is taken in it and within 8 nodes of it.
    pub fn with_target(mut self, target: &'a dyn TargetSet) -> Self {
        self.target = Some(target);
        self
    }

    /// Certify a solution with at least two stored times. `rerun` solves on coarser grids; only times stored by both
    /// are compared, so let it store the same ones, or let every second level be a level of it. What fails there is noted, not
    /// an error.
    ///
    /// # Errors
    /// A solution of another dimension, a region without nodes, a model that returns NaN.
    pub fn finite_horizon(
        &self,
        solution: &ValueFunction,
        rerun: &mut Rerun<'_, ValueFunction>,
    ) -> Result<AccuracyCertificate, HjbError> {
        let windows = |v: &ValueFunction, region: &Region| {
            let windows = residual::windows(v, self.params.residual.times)?;
            residual::residual(self.equation(), v.grid(), &windows, region, self.params.residual)
        };
        self.certify(solution, self.model.horizon(), rerun, &windows)
    }

    /// Certify a stationary solution; `rerun` solves on coarser grids.
    ///
    /// # Errors
    /// As [`Certifier::finite_horizon`].
    pub fn stationary(
        &self,
        solution: &StationaryValue,
        rerun: &mut Rerun<'_, StationaryValue>,
    ) -> Result<AccuracyCertificate, HjbError> {
        let m = self.model.control_dim();
        let as_function = |s: &StationaryValue| {
            ValueFunction::new(s.grid().clone(), m, vec![0.0], vec![s.value().to_vec()], vec![s.control().to_vec()])
        };
        let windows = |v: &ValueFunction, region: &Region| {
            let window = TimeWindow { times: vec![0.0], values: vec![v.value(0)], centre: 0 };
            residual::residual(self.equation(), v.grid(), &[window], region, self.params.residual)
        };
        let mut rerun = |grid, halvings| rerun(grid, halvings).and_then(|s| as_function(&s));
        self.certify(&as_function(solution)?, f64::INFINITY, &mut rerun, &windows)
    }

    fn equation(&self) -> Equation<'a> {
        Equation { model: self.model, sense: self.params.sense, obstacle: self.obstacle, target: self.target }
    }

    fn certify(
        &self,
        solution: &ValueFunction,
        end: f64,
        rerun: &mut Rerun<'_, ValueFunction>,
        residual: &dyn Fn(&ValueFunction, &Region) -> Result<ResidualCertificate, HjbError>,
    ) -> Result<AccuracyCertificate, HjbError> {
        let clock = Instant::now();
        HjbError::check_shape("grid axes", solution.grid().dim(), self.model.dim())?;
        let region = match &self.params.region {
            Some(region) => region.clone(),
            None => middle(solution.grid())?,
        };
        let mut certificate = AccuracyCertificate::on(&region);
        let mut coarser: Vec<(ValueFunction, f64)> = Vec::new();
        let mut grid = solution.grid().clone();
        for halvings in 1..self.params.grids as u32 {
            let solved = coarsen(&grid).and_then(|c| {
                grid = c.grid.clone();
                Ok((rerun(c.grid, halvings)?, c.ratio))
            });
            match solved {
                Ok(s) => coarser.push(s),
                Err(e) => {
                    certificate.notes.push(format!("no solution on grid number {halvings} of Richardson's estimate: {e}"));
                    break;
                }
            }
        }
        if let Some((half, ratio)) = coarser.first() {
            let near = richardson::difference(solution, half, &region, end, self.target)?;
            let far = match coarser.get(1) {
                Some((quarter, _)) => Some(richardson::difference(half, quarter, &region, end, self.target)?),
                None => None,
            };
            let order = f64::from(self.params.order);
            certificate.richardson = Some(richardson::estimate(&near, far.as_ref(), *ratio, order, order));
        }
        let claim = certificate.richardson.as_ref().map(|r| r.value_error);
        if let (Some((time, steps)), true) = (self.params.stepping, end.is_finite()) {
            let variation = TimeVariation::of(self.model, solution.grid());
            let stepped = Stepped { time, steps, exact_source: true };
            certificate.add_unresolved(self.equation(), solution, &region, &variation, stepped)?;
        }
        if let (Some(claim), Some(faces), true) = (claim, self.params.boundary, end.is_finite()) {
            let test = BoxTest { model: self.model, faces, region: &region, end, target: self.target };
            let solutions: Vec<&ValueFunction> = coarser.iter().rev().map(|c| &c.0).collect();
            let count = solutions.len();
            let felt = test.felt(solutions[0], claim)?;
            if !felt.is_empty() {
                test.add(&mut certificate, &felt, &solutions, &mut |k, grid| rerun(grid, (count - k) as u32))?;
            }
        }
        let mut found = residual(solution, &region)?;
        if let Some((half, ratio)) = coarser.first() {
            let coarse = residual(half, &region)?;
            found.order = (found.sup > 0.0 && coarse.sup > 0.0).then(|| (coarse.sup / found.sup).ln() / ratio.ln());
        }
        certificate.residual = Some(found);
        certificate.annotate(self.model, solution, &region, end)?;
        certificate.seconds = clock.elapsed().as_secs_f64();
        Ok(certificate)
    }
}

/// The middle half of the box along each axis.
pub(crate) fn middle(grid: &TensorGrid) -> Result<Region, HjbError> {
    let blend = |w: f64| grid.axes().iter().map(|a| (1.0 - w) * a.lower() + w * a.upper()).collect();
    Ok(Region::new(blend(0.25), blend(0.75))?)
}
