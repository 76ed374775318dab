//! Stationary problems.

use super::{Equation, RouteReport, Solved, SolverInfo, add, refuse};
use crate::problem::spec::RouteSpec;
use crate::run::Progress;
use hjbridge_hjb::certificate::{AccuracyCertificate, coarsen};
use hjbridge_hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfParams};
use hjbridge_hjb::{Face, HjbError, StationaryParams, StationarySolver, StationaryValue};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

/// Two solutions agree when they differ by at most this multiple of their estimated errors,
const AGREEMENT: f64 = 3.0;
/// or by this part of the size of V.
const ROUNDING: f64 = 1e-11;

/// What the grids of a stationary problem, which share the box, cannot see.
const OPEN_FACES: &str = "what the reflecting or extrapolated faces of the box do to V is not in the estimate: unless they belong \
                          to the problem, compare with a larger box";

/// Solves on a grid, by the linear equation or by policy iteration.
type Engine<'e> = dyn Fn(Arc<TensorGrid>, bool) -> Result<StationaryValue, HjbError> + 'e;

impl Equation<'_> {
    /// Solve a stationary problem.
    ///
    /// # Errors
    /// Those of the solver: there is no partial result.
    pub fn stationary(&self, progress: &dyn Progress) -> Result<Solved, HjbError> {
        let space = self.scheme.space().scheme();
        let params = StationaryParams {
            space,
            boundary: self.faces,
            sense: self.sense,
            memory_limit: u64::MAX,
            ..StationaryParams::default()
        };
        let linear_params = StationaryColeHopfParams {
            space,
            boundary: self.faces,
            sense: self.sense,
            memory_limit: u64::MAX,
            ..StationaryColeHopfParams::default()
        };
        let linear = match self.scheme.route() {
            RouteSpec::Auto | RouteSpec::Monotone => false,
            RouteSpec::HighOrder => return Err(refuse("high_order", "auto, monotone or cole_hopf without a horizon")),
            RouteSpec::ColeHopf if self.face_values.is_some() => {
                return Err(refuse("cole_hopf", "auto or monotone with face_value and no horizon"));
            }
            RouteSpec::ColeHopf if self.obstacle.is_some() => {
                return Err(refuse("cole_hopf", "auto or monotone with an obstacle"));
            }
            RouteSpec::ColeHopf => true,
        };
        let solve = |grid: Arc<TensorGrid>, linear: bool| -> Result<(StationaryValue, SolverInfo), HjbError> {
            if linear {
                let mut solver = StationaryColeHopf::new(self.model, grid, linear_params)?;
                if let Some((target, placement)) = self.target {
                    solver = solver.with_target(target, placement);
                }
                let (value, info) = solver.solve()?;
                return Ok((value, SolverInfo::StationaryColeHopf(Box::new(info))));
            }
            let mut solver = StationarySolver::new(self.model, grid, params)?.with_interrupt(progress.interrupt());
            if let Some((target, placement)) = self.target {
                solver = solver.with_target(target, placement);
            }
            if let Some(values) = self.face_values {
                solver = solver.with_face_values(values);
            }
            if let Some(obstacle) = self.obstacle {
                solver = solver.with_obstacle(obstacle);
            }
            let (value, info) = solver.solve()?;
            Ok((value, SolverInfo::Stationary(Box::new(info))))
        };
        let clock = std::time::Instant::now();
        progress.begin("HJB", 1);
        let outcome = solve(self.grid.clone(), linear);
        progress.end();
        let (value, info) = outcome?;
        let seconds = clock.elapsed().as_secs_f64();
        let asked = self.scheme.route() != RouteSpec::Auto;
        let mut report = RouteReport {
            route: if linear { "cole_hopf" } else { "policy_iteration" },
            reason: if asked { "asked for" } else { "a stationary problem" }.into(),
            candidates: Vec::new(),
            scheme: format!("{} + {}", space.scheme().name(), if linear { "linear for exp(V/beta)" } else { "policy iteration" }),
            certificate: None,
            solver: Some(info),
        };
        progress.begin("certificate", 1);
        let mut made = self.certifier().and_then(|c| c.stationary(&value, &mut |grid, _| Ok(solve(grid, linear)?.0)));
        if let (true, Ok(certificate)) = (linear, &mut made) {
            self.compare_on_half_grid(certificate, &|grid, linear| Ok(solve(grid, linear)?.0));
        }
        progress.end();
        let doubts = match &report.solver {
            Some(SolverInfo::Stationary(info)) => info.notes.clone(),
            Some(SolverInfo::StationaryColeHopf(info)) => info.note.iter().cloned().collect(),
            _ => Vec::new(),
        };
        for doubt in doubts {
            let note = format!("not reliable: {doubt}");
            match &mut made {
                Ok(certificate) => {
                    certificate.reliable = false;
                    certificate.notes.push(note);
                }
                Err(_) => report.reason.push_str(&format!("; {note}")),
            }
        }
        if let Ok(certificate) = &mut made
            && self.has_open_face()
        {
            certificate.notes.push(OPEN_FACES.into());
        }
        add(&mut report, made);
        let (values, controls) = (vec![value.value().to_vec()], vec![value.control().to_vec()]);
        Ok(Solved { times: vec![0.0], values, controls, report, seconds, failure: None })
    }

    fn has_open_face(&self) -> bool {
        let open = |face: Face| matches!(face, Face::Extrapolated | Face::Reflecting);
        (0..self.grid.dim()).any(|axis| open(self.faces.face(axis, false)) || open(self.faces.face(axis, true)))
    }

    /// A linear equation that was asked for, against policy iteration on the half grid: the outcome is a note, and when the
    /// two are further apart than their errors explain, that distance is the least error of V claimed.
    fn compare_on_half_grid(&self, certificate: &mut AccuracyCertificate, solve: &Engine<'_>) {
        let compare = || -> Result<(f64, f64), HjbError> {
            let half = coarsen(self.grid)?.grid;
            let certifier = self.certifier()?;
            let estimated = |value: &StationaryValue, linear: bool| -> Result<f64, HjbError> {
                let made = certifier.stationary(value, &mut |grid, _| solve(grid, linear))?;
                let none = || HjbError::Invalid {
                    field: "grid.nodes".into(),
                    value: format!("{:?}", self.grid.shape()),
                    allowed: "a grid that can be halved twice".into(),
                };
                Ok(made.richardson.ok_or_else(none)?.value_error)
            };
            let (one, other) = (solve(half.clone(), true)?, solve(half.clone(), false)?);
            let gap = |j: usize| (one.value()[j] - other.value()[j]).abs();
            let apart = half.region_nodes(Some(self.region))?.map(gap).fold(0.0, f64::max);
            let size = other.value().iter().fold(1.0f64, |m, v| m.max(v.abs()));
            Ok((apart, AGREEMENT * (estimated(&one, true)? + estimated(&other, false)?) + ROUNDING * size))
        };
        certificate.notes.push(match compare() {
            Err(e) => format!("the Cole-Hopf solution could not be compared with policy iteration on the half grid: {e}"),
            Ok((apart, allowed)) if apart <= allowed => format!(
                "on the half grid the Cole-Hopf solution is {apart:.1e} away from that of policy iteration, within what the \
                 estimated errors of the two explain ({allowed:.1e})"
            ),
            Ok((apart, allowed)) => {
                if let Some(r) = &mut certificate.richardson {
                    r.value_error = r.value_error.max(apart);
                }
                format!(
                    "on the half grid the Cole-Hopf solution is {apart:.1e} away from that of policy iteration, more than the \
                     estimated errors of the two explain ({allowed:.1e}): prefer the monotone route; value_error is at least that \
                     distance"
                )
            }
        });
    }
}
