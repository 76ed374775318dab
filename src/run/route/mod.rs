//! The HJB equation by the route that the scheme asks for, with its certificate of accuracy.
//!
//! | problem | `auto` | `monotone` | `high_order` | `cole_hopf` |
//! |---|---|---|---|---|
//! | with a horizon | [`hjbridge_hjb::RouteSolver`] chooses | [`hjbridge_hjb::HjbSolver`] | the route solver | the route solver |
//! | stationary | one of the next, by measured error for its work | [`hjbridge_hjb::StationarySolver`] | refused | [`hjbridge_hjb::cole_hopf::StationaryColeHopf`] |

mod candidate;
mod measured;
mod monotone;
mod stationary;
mod stationary_choice;

pub use candidate::Candidate;

use super::Progress;
use super::memory::CERTIFY_ALL;
use crate::problem::spec::{RouteSpec, SchemeSpec, SpaceSpec, TimeSpec};
use hjbridge_hjb::certificate::{AccuracyCertificate, CertificateParams, Certifier};
use hjbridge_hjb::cole_hopf::{ColeHopfInfo, StationaryColeHopfInfo};
use hjbridge_hjb::{
    FaceValues, Faces, HjbError, HjbInfo, Obstacle, Placement, RouteChoice, Sense, SmoothInfo, Space, StationaryInfo, TargetSet,
    Time, ValueFunction,
};
use hjbridge_model::{ControlledDiffusion, Region, TensorGrid};
use serde::Serialize;
use std::sync::Arc;

/// An HJB equation and how it is to be solved.
#[derive(Clone)]
pub(super) struct Equation<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub grid: &'a Arc<TensorGrid>,
    pub sense: Sense,
    /// Where errors are estimated.
    pub region: &'a Region,
    pub faces: Faces,
    pub obstacle: Option<&'a dyn Obstacle>,
    pub target: Option<(&'a dyn TargetSet, Placement)>,
    pub face_values: Option<&'a dyn FaceValues>,
    pub scheme: SchemeSpec,
    /// Time steps of the monotone and the Cole-Hopf route.
    pub steps: usize,
    /// Intervals between the times wanted from a route that is chosen.
    pub levels: usize,
}

/// How a solution was made and how good it is.
#[derive(Clone, Debug, Serialize)]
pub struct RouteReport {
    /// `high_order`, `monotone`, `cole_hopf` or `policy_iteration` (stationary).
    pub route: &'static str,
    /// Why this one.
    pub reason: String,
    /// All that were looked at, when there was a choice.
    pub candidates: Vec<Candidate>,
    /// Space and time scheme.
    pub scheme: String,
    /// Accuracy; null when it was not asked for or could not be had.
    pub certificate: Option<AccuracyCertificate>,
    /// What the solver did; null when it failed.
    pub solver: Option<SolverInfo>,
}

/// The solver's own report.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum SolverInfo {
    /// Monotone differences.
    Monotone(Box<HjbInfo>),
    /// Differences of high order.
    HighOrder(Box<SmoothInfo>),
    /// The linear equation.
    ColeHopf(Box<ColeHopfInfo>),
    /// Policy iteration.
    Stationary(Box<StationaryInfo>),
    /// The linear equation of a stationary problem.
    StationaryColeHopf(Box<StationaryColeHopfInfo>),
}

impl RouteReport {
    /// Time steps taken; none for a stationary problem or after a failure.
    pub fn steps(&self) -> Option<usize> {
        match &self.solver {
            Some(SolverInfo::Monotone(info)) => Some(info.steps),
            Some(SolverInfo::HighOrder(info)) => Some(info.steps),
            Some(SolverInfo::ColeHopf(info)) => Some(info.steps),
            _ => None,
        }
    }
}

/// A solution at ascending times, complete unless there is a failure.
pub(super) struct Solved {
    pub times: Vec<f64>,
    pub values: Vec<Vec<f64>>,
    /// v, component by component.
    pub controls: Vec<Vec<f64>>,
    pub report: RouteReport,
    /// Wall time of the solver, without the certificate where that is made afterwards.
    pub seconds: f64,
    pub failure: Option<HjbError>,
}

/// Collects levels that come latest first.
#[derive(Default)]
struct Levels {
    times: Vec<f64>,
    values: Vec<Vec<f64>>,
    controls: Vec<Vec<f64>>,
}

impl Levels {
    fn push(&mut self, t: f64, value: &[f64], control: &[f64]) {
        self.times.push(t);
        self.values.push(value.to_vec());
        self.controls.push(control.to_vec());
    }

    fn solved(mut self, report: RouteReport, seconds: f64, failure: Option<HjbError>) -> Solved {
        self.times.reverse();
        self.values.reverse();
        self.controls.reverse();
        Solved { times: self.times, values: self.values, controls: self.controls, report, seconds, failure }
    }
}

impl SpaceSpec {
    pub(crate) fn scheme(self) -> Space {
        match self {
            SpaceSpec::Upwind => Space::Upwind,
            SpaceSpec::Hybrid => Space::Hybrid,
            SpaceSpec::Fitted => Space::Fitted,
        }
    }
}

impl TimeSpec {
    pub(crate) fn scheme(self) -> Time {
        match self {
            TimeSpec::ImplicitEuler => Time::ImplicitEuler,
            TimeSpec::CrankNicolson => Time::CrankNicolson,
            TimeSpec::TrBdf2 => Time::TrBdf2,
        }
    }
}

fn refuse(what: &str, allowed: &'static str) -> HjbError {
    HjbError::Invalid { field: "scheme.route".into(), value: what.into(), allowed: allowed.into() }
}

impl Equation<'_> {
    /// Solve a problem with a horizon by the route of the scheme.
    ///
    /// # Errors
    /// What cannot begin. A failure later is in the result.
    pub fn solve(&self, progress: &dyn Progress) -> Result<Solved, HjbError> {
        match self.scheme.route() {
            RouteSpec::Monotone => self.monotone("asked for".into(), true, progress),
            RouteSpec::Auto => self.measured(RouteChoice::Auto, progress),
            RouteSpec::HighOrder if self.target.is_some() || self.face_values.is_some() => {
                Err(refuse("high_order", "auto, monotone or cole_hopf with a target or face_value"))
            }
            RouteSpec::HighOrder => self.measured(RouteChoice::HighOrder, progress),
            RouteSpec::ColeHopf if self.obstacle.is_some() => Err(refuse("cole_hopf", "auto or monotone with an obstacle")),
            RouteSpec::ColeHopf => self.measured(RouteChoice::ColeHopf, progress),
        }
    }

    /// Order of the space scheme.
    fn space_order(&self) -> f64 {
        if self.scheme.space() == SpaceSpec::Upwind { 1.0 } else { 2.0 }
    }

    fn certifier(&self) -> Result<Certifier<'_>, HjbError> {
        let order = match self.scheme.time() {
            TimeSpec::ImplicitEuler => 1,
            _ => self.space_order() as u32,
        };
        let params = CertificateParams {
            sense: self.sense,
            order,
            region: Some(self.region.clone()),
            boundary: Some(self.faces),
            stepping: Some((self.scheme.time().scheme(), self.steps)),
            ..CertificateParams::default()
        };
        let mut certifier = Certifier::new(self.model, params)?;
        if let Some(obstacle) = self.obstacle {
            certifier = certifier.with_obstacle(obstacle);
        }
        if let Some((target, _)) = self.target {
            certifier = certifier.with_target(target);
        }
        Ok(certifier)
    }

    /// Add the certificate of a solution made with fixed steps. What cannot be certified is said in the reason.
    fn certify(
        &self,
        solved: &mut Solved,
        progress: &dyn Progress,
        rerun: &mut dyn FnMut(Arc<TensorGrid>, u32) -> Result<ValueFunction, HjbError>,
    ) {
        // few enough levels to fit, at distances that the coarser runs share, and towards the end
        let most = (CERTIFY_ALL / self.level_bytes()).max(9);
        let stride = if solved.times.len() <= most { 1 } else { 4 * solved.times.len().div_ceil(4 * most) };
        let last = solved.times.len() - 1;
        let near_end = |k: usize| (last - k).is_power_of_two();
        let chosen: Vec<usize> = (0..=last).filter(|&k| k % stride == 0 || k == last || near_end(k)).collect();
        let pick = |all: &[Vec<f64>]| chosen.iter().map(|&k| all[k].clone()).collect();
        let solution = ValueFunction::new(
            self.grid.clone(),
            self.model.control_dim(),
            chosen.iter().map(|&k| solved.times[k]).collect(),
            pick(&solved.values),
            pick(&solved.controls),
        );
        progress.begin("certificate", 1);
        let made = self.certifier().and_then(|c| c.finite_horizon(&solution?, rerun));
        progress.end();
        add(&mut solved.report, made);
    }
}

fn split<T>(outcome: Result<T, HjbError>) -> (Option<T>, Option<HjbError>) {
    match outcome {
        Ok(info) => (Some(info), None),
        Err(e) => (None, Some(e)),
    }
}

/// A certificate that fails does not lose the solution: the report says why there is none.
fn add(report: &mut RouteReport, made: Result<AccuracyCertificate, HjbError>) {
    match made {
        Ok(certificate) => report.certificate = Some(certificate),
        Err(e) => report.reason.push_str(&format!("; no certificate: {e}")),
    }
}
