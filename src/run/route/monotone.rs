//! The monotone route with exactly the steps and schemes asked for.

use super::{Equation, Levels, RouteReport, Solved, SolverInfo, split};
use crate::run::Progress;
use crate::run::memory::KEEP_ALL;
use hjbridge_hjb::{HjbError, HjbParams, HjbSolver, Storage};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

impl Equation<'_> {
    /// The parameters of the monotone route.
    pub fn monotone_params(&self) -> HjbParams {
        HjbParams {
            space: self.scheme.space().scheme(),
            time: self.scheme.time().scheme(),
            steps: self.steps,
            boundary: self.faces,
            storage: self.storage(),
            memory_limit: u64::MAX, // checked before the run, against what the machine has
            sense: self.sense,
            ..HjbParams::default()
        }
    }

    pub(super) fn storage(&self) -> Storage {
        if self.level_bytes().saturating_mul(self.steps + 1) <= KEEP_ALL { Storage::All } else { Storage::AtMost(129) }
    }

    pub(super) fn level_bytes(&self) -> usize {
        8 * self.grid.len() * (1 + self.model.control_dim())
    }

    fn hjb_solver<'s>(
        &'s self,
        grid: Arc<TensorGrid>,
        params: HjbParams,
        progress: &'s dyn Progress,
    ) -> Result<HjbSolver<'s>, HjbError> {
        let mut solver = HjbSolver::new(self.model, grid, params)?.with_interrupt(progress.interrupt());
        if let Some((target, placement)) = self.target {
            solver = solver.with_target(target, placement);
        }
        if let Some(obstacle) = self.obstacle {
            solver = solver.with_obstacle(obstacle);
        }
        if let Some(values) = self.face_values {
            solver = solver.with_face_values(values);
        }
        Ok(solver)
    }

    /// The monotone route with exactly the steps and schemes asked for.
    pub fn monotone(&self, reason: String, certify: bool, progress: &dyn Progress) -> Result<Solved, HjbError> {
        let params = self.monotone_params();
        let kept = params.storage.levels(self.steps);
        let clock = std::time::Instant::now();
        let solver = self.hjb_solver(self.grid.clone(), params, progress)?;
        let mut levels = Levels::default();
        progress.begin("HJB", self.steps as u64);
        let outcome = solver.solve_observed(&mut |view| {
            progress.advance((self.steps - view.step) as u64);
            if kept.binary_search(&view.step).is_ok() {
                levels.push(view.t, view.value, view.control);
            }
        });
        progress.end();
        let seconds = clock.elapsed().as_secs_f64();
        let (info, failure) = split(outcome);
        let report = RouteReport {
            route: "monotone",
            reason,
            candidates: Vec::new(),
            scheme: format!("{} + {}", params.space.scheme().name(), params.time.name()),
            certificate: None,
            solver: info.map(|i| SolverInfo::Monotone(Box::new(i))),
        };
        let mut solved = levels.solved(report, seconds, failure);
        if certify && solved.failure.is_none() {
            self.certify(&mut solved, progress, &mut |grid, halvings| {
                let params = HjbParams { steps: (self.steps >> halvings).max(1), storage: Storage::All, ..params };
                Ok(self.hjb_solver(grid, params, progress)?.solve()?.0)
            });
        }
        Ok(solved)
    }
}
