//! Stationary problems.

use super::{Equation, RouteReport, Solved, SolverInfo, add, refuse};
use crate::problem::spec::RouteSpec;
use crate::run::Progress;
use hjbridge_hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfParams};
use hjbridge_hjb::{HjbError, StationaryParams, StationarySolver, StationaryValue};
use hjbridge_model::TensorGrid;
use std::sync::Arc;

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
            RouteSpec::ColeHopf => true,
        };
        let solve = |grid: Arc<TensorGrid>| -> Result<(StationaryValue, SolverInfo), HjbError> {
            if linear {
                let mut solver = StationaryColeHopf::new(self.model, grid, linear_params)?;
                if let Some((target, placement)) = self.target {
                    solver = solver.with_target(target, placement);
                }
                let (value, info) = solver.solve()?;
                return Ok((value, SolverInfo::StationaryColeHopf(Box::new(info))));
            }
            let mut solver = StationarySolver::new(self.model, grid, params)?;
            if let Some((target, placement)) = self.target {
                solver = solver.with_target(target, placement);
            }
            if let Some(values) = self.face_values {
                solver = solver.with_face_values(values);
            }
            let (value, info) = solver.solve()?;
            Ok((value, SolverInfo::Stationary(Box::new(info))))
        };
        let clock = std::time::Instant::now();
        progress.begin("HJB", 1);
        let outcome = solve(self.grid.clone());
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
        let made = self.certifier().and_then(|c| c.stationary(&value, &mut |grid, _| Ok(solve(grid)?.0)));
        progress.end();
        add(&mut report, made);
        let (values, controls) = (vec![value.value().to_vec()], vec![value.control().to_vec()]);
        Ok(Solved { times: vec![0.0], values, controls, report, seconds, failure: None })
    }
}
