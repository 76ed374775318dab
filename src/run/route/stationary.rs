//! Stationary problems: by policy iteration or by the linear equation, with a certificate.

use super::stationary_choice::{Method, apart_on_half_grid};
use super::{Candidate, Equation, RouteReport, Solved, SolverInfo, add, refuse};
use crate::problem::spec::RouteSpec;
use crate::run::Progress;
use hjbridge_hjb::certificate::AccuracyCertificate;
use hjbridge_hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfParams};
use hjbridge_hjb::{Face, HjbError, StationaryParams, StationarySolver, StationaryValue};
use hjbridge_model::TensorGrid;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What the grids of a stationary problem, which share the box, cannot see.
const OPEN_FACES: &str = "what the reflecting or extrapolated faces of the box do to V is not in the estimate: unless they belong \
                          to the problem, compare with a larger box";

/// One solution and how it was made.
#[derive(Clone)]
pub(super) struct StationarySolve {
    pub value: StationaryValue,
    pub info: SolverInfo,
    pub seconds: f64,
}

/// What was found on a grid of this shape by this method.
type Found<T> = RefCell<Vec<(Vec<usize>, Method, T)>>;

/// Solutions on grids of the same box, each made once: the choice and the certificate share them.
pub(super) struct Solves<'e> {
    equation: &'e Equation<'e>,
    /// Ends the iterations when set.
    interrupt: Option<&'e AtomicBool>,
    made: Found<Rc<StationarySolve>>,
    /// Richardson's estimates of the error of V.
    errors: Found<f64>,
}

impl<'e> Solves<'e> {
    fn new(equation: &'e Equation<'e>, interrupt: Option<&'e AtomicBool>) -> Self {
        Solves { equation, interrupt, made: RefCell::default(), errors: RefCell::default() }
    }

    pub(super) fn on(&self, grid: &Arc<TensorGrid>, method: Method) -> Result<Rc<StationarySolve>, HjbError> {
        if let Some((.., solve)) = self.made.borrow().iter().find(|m| m.0 == grid.shape() && m.1 == method) {
            return Ok(solve.clone());
        }
        let solve = Rc::new(self.equation.stationary_solve(grid.clone(), method, self.interrupt)?);
        self.made.borrow_mut().push((grid.shape().to_vec(), method, solve.clone()));
        Ok(solve)
    }

    /// Richardson's estimate of the error of V on `grid`.
    pub(super) fn error_on(&self, grid: &Arc<TensorGrid>, method: Method) -> Result<f64, HjbError> {
        if let Some((.., error)) = self.errors.borrow().iter().find(|m| m.0 == grid.shape() && m.1 == method) {
            return Ok(*error);
        }
        let made = self.certify(&self.on(grid, method)?.value, method)?;
        let none = || HjbError::Invalid {
            field: "grid.nodes".into(),
            value: format!("{:?}", grid.shape()),
            allowed: "a grid that can be halved".into(),
        };
        let error = made.richardson.ok_or_else(none)?.value_error;
        self.errors.borrow_mut().push((grid.shape().to_vec(), method, error));
        Ok(error)
    }

    /// The certificate of `value`, which `method` made, from coarser grids.
    pub(super) fn certify(&self, value: &StationaryValue, method: Method) -> Result<AccuracyCertificate, HjbError> {
        self.equation.certifier()?.stationary(value, &mut |grid, _| Ok(self.on(&grid, method)?.value.clone()))
    }
}

impl Equation<'_> {
    /// Solve a stationary problem.
    ///
    /// # Errors
    /// Those of the solver: there is no partial result.
    pub fn stationary(&self, progress: &dyn Progress) -> Result<Solved, HjbError> {
        let space = self.scheme.space().scheme();
        let asked = match self.scheme.route() {
            RouteSpec::Auto => None,
            RouteSpec::Monotone => Some(Method::PolicyIteration(space)),
            RouteSpec::HighOrder => return Err(refuse("high_order", "auto, monotone or cole_hopf without a horizon")),
            RouteSpec::ColeHopf => {
                self.linear_applies()?;
                Some(Method::Linear(space))
            }
        };
        let solves = Solves::new(self, progress.interrupt());
        let clock = Instant::now();
        progress.begin("HJB", 1);
        let (method, reason, mut candidates) = match asked {
            Some(method) => (method, "asked for".into(), Vec::new()),
            None => self.choose_stationary(&solves, space),
        };
        let outcome = solves.on(self.grid, method);
        progress.end();
        let StationarySolve { value, info, seconds: alone } = Rc::unwrap_or_clone(outcome?);
        let seconds = clock.elapsed().as_secs_f64();
        progress.begin("certificate", 1);
        let mut made = solves.certify(&value, method);
        if let (Method::Linear(_), Ok(certificate)) = (method, &mut made) {
            self.compare_on_half_grid(certificate, &solves, method);
        }
        progress.end();
        if asked.is_none() {
            let error_estimate = made.as_ref().ok().and_then(|c| c.richardson.as_ref()).map(|r| r.value_error);
            candidates.push(Candidate {
                route: method.name(),
                space: Some(method.space().scheme().name()),
                error_estimate,
                full_size: true,
                work: Some(method.work(&info, self.grid)),
                seconds: alone,
                refused: None,
            });
        }
        let mut report = RouteReport {
            route: method.name(),
            reason,
            candidates,
            scheme: method.description(),
            certificate: None,
            solver: Some(info),
        };
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

    /// Whether the linear equation can be asked for; its solver says more.
    pub(super) fn linear_applies(&self) -> Result<(), HjbError> {
        if self.face_values.is_some() {
            return Err(refuse("cole_hopf", "auto or monotone with face_value and no horizon"));
        }
        if self.obstacle.is_some() {
            return Err(refuse("cole_hopf", "auto or monotone with an obstacle"));
        }
        Ok(())
    }

    fn stationary_solve(
        &self,
        grid: Arc<TensorGrid>,
        method: Method,
        interrupt: Option<&AtomicBool>,
    ) -> Result<StationarySolve, HjbError> {
        let clock = Instant::now();
        let (value, info) = match method {
            Method::Linear(space) => {
                let params = StationaryColeHopfParams {
                    space,
                    boundary: self.faces,
                    sense: self.sense,
                    memory_limit: u64::MAX,
                    ..StationaryColeHopfParams::default()
                };
                let mut solver = StationaryColeHopf::new(self.model, grid, params)?.with_interrupt(interrupt);
                if let Some((target, placement)) = self.target {
                    solver = solver.with_target(target, placement);
                }
                let (value, info) = solver.solve()?;
                (value, SolverInfo::StationaryColeHopf(Box::new(info)))
            }
            Method::PolicyIteration(space) => {
                let params = StationaryParams {
                    space,
                    boundary: self.faces,
                    sense: self.sense,
                    memory_limit: u64::MAX,
                    ..StationaryParams::default()
                };
                let mut solver = StationarySolver::new(self.model, grid, params)?.with_interrupt(interrupt);
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
                (value, SolverInfo::Stationary(Box::new(info)))
            }
        };
        Ok(StationarySolve { value, info, seconds: clock.elapsed().as_secs_f64() })
    }

    fn has_open_face(&self) -> bool {
        let open = |face: Face| matches!(face, Face::Extrapolated | Face::Reflecting);
        (0..self.grid.dim()).any(|axis| open(self.faces.face(axis, false)) || open(self.faces.face(axis, true)))
    }

    /// A solution of the linear equation against policy iteration on the half grid: the outcome is a note, and when the
    /// two are further apart than their errors explain, that distance is the least error of V claimed.
    fn compare_on_half_grid(&self, certificate: &mut AccuracyCertificate, solves: &Solves<'_>, method: Method) {
        let policy = Method::PolicyIteration(self.scheme.space().scheme());
        certificate.notes.push(match apart_on_half_grid(self, solves, method, policy) {
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
