//! The route solver: chooses by measurement, or does what it is told.

use super::{Equation, Levels, RouteReport, Solved, SolverInfo, split};
use crate::run::Progress;
use hjbridge_hjb::smooth::Output;
use hjbridge_hjb::{HjbError, RouteChoice, RouteParams, RouteSolver};

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
        let mut solver = RouteSolver::new(self.model, self.grid.clone(), params)?;
        if let Some(obstacle) = self.obstacle {
            solver = solver.with_obstacle(obstacle);
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
        let monotone_scheme = format!("{} + {}", monotone.space.scheme().name(), monotone.time.name());
        let report = match info {
            None => RouteReport {
                route: "auto",
                reason: "the run failed".into(),
                candidates: Vec::new(),
                scheme: monotone_scheme,
                certificate: None,
                solver: None,
            },
            Some(info) => {
                let (route, scheme, solver) = match (info.smooth, info.hjb) {
                    (Some(smooth), _) => {
                        let scheme = format!("order {order} + {:?}", smooth.integrator).to_lowercase();
                        ("high_order", scheme, Some(SolverInfo::HighOrder(Box::new(smooth))))
                    }
                    (None, hjb) => ("monotone", monotone_scheme, hjb.map(|i| SolverInfo::Monotone(Box::new(i)))),
                };
                let certificate = Some(info.certificate);
                RouteReport { route, reason: info.reason, candidates: info.candidates, scheme, certificate, solver }
            }
        };
        Ok(levels.solved(report, seconds, failure))
    }
}
