//! The route solver: chooses by measurement, or does what it is told.

use super::{Candidate, Equation, Levels, RouteReport, Solved, SolverInfo, split};
use crate::run::Progress;
use hjbridge_hjb::smooth::Output;
use hjbridge_hjb::{HjbError, Route, RouteChoice, RouteParams, RouteSolver};

impl Equation<'_> {
    /// The route solver, which chooses by measurement or is told.
    pub(super) fn measured(&self, choice: RouteChoice, progress: &dyn Progress) -> Result<Solved, HjbError> {
        let monotone = self.monotone_params();
        let mut params = RouteParams {
            choice,
            output: Output::Levels(self.levels),
            monotone,
            tolerance: self.scheme.tolerance,
            region: Some(self.region.clone()),
            ..RouteParams::default()
        };
        params.order = self.scheme.order.unwrap_or(params.order);
        let order = params.order;
        let clock = std::time::Instant::now();
        let mut solver = RouteSolver::new(self.model, self.grid.clone(), params)?.with_interrupt(progress.interrupt());
        if let Some(obstacle) = self.obstacle {
            solver = solver.with_obstacle(obstacle);
        }
        if let Some((target, placement)) = self.target {
            solver = solver.with_target(target, placement);
        }
        if let Some(values) = self.face_values {
            solver = solver.with_face_values(values);
        }
        let (mut attempt, mut levels) = (0, Levels::default());
        progress.begin("HJB", self.levels as u64);
        let outcome = solver.solve_observed(&mut |view| {
            if view.attempt != attempt {
                attempt = view.attempt;
                levels = Levels::default();
            }
            progress.advance((self.levels - view.level) as u64);
            levels.push(view.t, view.value, view.control);
        });
        progress.end();
        let seconds = clock.elapsed().as_secs_f64();
        let (info, failure) = split(outcome);
        let stepped = format!("{} + {}", monotone.space.scheme().name(), monotone.time.name());
        let report = match info {
            None => RouteReport {
                route: "auto",
                reason: "the run failed".into(),
                candidates: Vec::new(),
                scheme: stepped,
                certificate: None,
                solver: None,
            },
            Some(info) => {
                let (route, scheme, solver) = match info.route {
                    Route::HighOrder => {
                        let integrator = info.smooth.as_ref().map_or(String::new(), |i| format!(" + {:?}", i.integrator));
                        let solver = info.smooth.map(|i| SolverInfo::HighOrder(Box::new(i)));
                        ("high_order", format!("order {order}{integrator}").to_lowercase(), solver)
                    }
                    Route::Monotone => ("monotone", stepped, info.hjb.map(|i| SolverInfo::Monotone(Box::new(i)))),
                    Route::ColeHopf => {
                        let solver = info.cole_hopf.map(|i| SolverInfo::ColeHopf(Box::new(i)));
                        ("cole_hopf", format!("{stepped}, linear for exp(V/beta)"), solver)
                    }
                };
                let mut certificate = info.certificate;
                if let Some(SolverInfo::ColeHopf(linear)) = &solver {
                    certificate.notes.extend(linear.note.clone());
                }
                let certificate = Some(certificate);
                RouteReport {
                    route,
                    reason: info.reason,
                    candidates: info.candidates.into_iter().map(Candidate::from).collect(),
                    scheme,
                    certificate,
                    solver,
                }
            }
        };
        Ok(levels.solved(report, seconds, failure))
    }
}
