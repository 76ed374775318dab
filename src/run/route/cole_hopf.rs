//! The linear route.

use super::{Equation, Levels, RouteReport, Solved, SolverInfo, refuse, split};
use crate::run::Progress;
use hjbridge_hjb::cole_hopf::{ColeHopfParams, ColeHopfSolver};
use hjbridge_hjb::{HjbError, Storage};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

impl Equation<'_> {
    /// The linear equation for exp(V/beta).
    pub(super) fn cole_hopf(&self, progress: &dyn Progress) -> Result<Solved, HjbError> {
        if self.obstacle.is_some() {
            return Err(refuse("cole_hopf", "auto or monotone with an obstacle"));
        }
        let params = ColeHopfParams {
            space: self.scheme.space().scheme(),
            time: self.scheme.time().scheme(),
            steps: self.steps,
            boundary: self.faces,
            sense: self.sense,
            storage: self.storage(),
            memory_limit: u64::MAX,
            ..ColeHopfParams::default()
        };
        let solver = |grid: Arc<TensorGrid>, params: ColeHopfParams| -> Result<ColeHopfSolver<'_>, HjbError> {
            let mut solver = ColeHopfSolver::new(self.model, grid, params)?;
            if let Some((target, placement)) = self.target {
                solver = solver.with_target(target, placement);
            }
            if let Some(values) = self.face_values {
                solver = solver.with_face_values(values);
            }
            Ok(solver)
        };
        let kept = params.storage.levels(self.steps);
        let clock = std::time::Instant::now();
        let mut levels = Levels::default();
        progress.begin("HJB", self.steps as u64);
        let outcome = solver(self.grid.clone(), params)?.solve_observed(&mut |view| {
            progress.advance((self.steps - view.step) as u64);
            if kept.binary_search(&view.step).is_ok() {
                levels.push(view.t, view.value, view.control);
            }
        });
        progress.end();
        let seconds = clock.elapsed().as_secs_f64();
        let (info, failure) = split(outcome);
        let report = RouteReport {
            route: "cole_hopf",
            reason: "asked for".into(),
            candidates: Vec::new(),
            scheme: format!("{} + {}, linear for exp(V/beta)", params.space.scheme().name(), params.time.name()),
            certificate: None,
            solver: info.map(|i| SolverInfo::ColeHopf(Box::new(i))),
        };
        let mut solved = levels.solved(report, seconds, failure);
        if solved.failure.is_none() {
            self.certify(&mut solved, progress, &mut |grid, halvings| {
                let params = ColeHopfParams { steps: (self.steps >> halvings).max(1), storage: Storage::All, ..params };
                Ok(solver(grid, params)?.solve()?.0)
            });
        }
        Ok(solved)
    }
}
