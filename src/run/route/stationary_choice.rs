//! Which way to solve a stationary problem: the smallest error for its work, measured on the half grid and coarser ones.
//!
//! An error e that falls as n^(-p/d) with n nodes, at work w proportional to n, is compared at equal work by e w^(p/d). The linear
//! equation is only taken where it agrees with policy iteration on the half grid: the estimates of one method can be small by
//! chance, two methods seldom err alike.

use super::stationary::Solves;
use super::{Candidate, Equation, SolverInfo};
use hjbridge_hjb::certificate::coarsen;
use hjbridge_hjb::{HjbError, Space};
use hjbridge_model::TensorGrid;

/// Two solutions agree when they differ by at most this multiple of their estimated errors,
const AGREEMENT: f64 = 3.0;
/// or by this part of the size of V.
const ROUNDING: f64 = 1e-11;
/// The linear equation is taken when its error, scaled to equal work, is below this part of that of policy iteration.
const CLEARLY: f64 = 0.7;

/// A way to solve, with its space scheme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Method {
    PolicyIteration(Space),
    Linear(Space),
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::PolicyIteration(_) => "policy_iteration",
            Method::Linear(_) => "cole_hopf",
        }
    }

    pub fn space(self) -> Space {
        match self {
            Method::PolicyIteration(space) | Method::Linear(space) => space,
        }
    }

    pub fn description(self) -> String {
        let what = match self {
            Method::PolicyIteration(_) => "policy iteration",
            Method::Linear(_) => "linear for exp(V/beta)",
        };
        format!("{} + {what}", self.space().scheme().name())
    }

    /// Nanoseconds of a nominal processor: linear solves times nodes times measured cost of one with its assembly (a direct
    /// one in the plane).
    pub fn work(self, info: &SolverInfo, grid: &TensorGrid) -> f64 {
        let solves = match info {
            SolverInfo::Stationary(i) => i.iterations + i.start_solves,
            SolverInfo::StationaryColeHopf(i) => i.iterations,
            _ => 1,
        };
        let each = [60.0, 3500.0, 3500.0][grid.dim().clamp(1, 3) - 1];
        solves as f64 * grid.len() as f64 * each
    }
}

/// What a method is expected to do at full size.
struct Expected {
    method: Method,
    error: f64,
    work: f64,
    seconds: f64,
}

impl Equation<'_> {
    /// The method, why, and the others that were looked at.
    pub(super) fn choose_stationary(&self, solves: &Solves<'_>, space: Space) -> (Method, String, Vec<Candidate>) {
        let policy = Method::PolicyIteration(space);
        let linear = [Method::Linear(space), Method::Linear(Space::Fitted)];
        if let Err(why) = self.linear_applies() {
            return (policy, "a stationary problem that is not linear in exp(V/beta)".into(), vec![refused(linear[0], &why)]);
        }
        let low = self.expected(solves, policy);
        let mut candidates = Vec::new();
        let mut found: Vec<Expected> = Vec::new();
        for method in linear {
            match self.linear_expected(solves, method, policy) {
                Ok(expected) => found.push(expected),
                // what refuses the equation refuses it with every space scheme
                Err(why) if candidates.iter().any(|c: &Candidate| c.refused == Some(why.to_string())) => {}
                Err(why) => candidates.push(refused(method, &why)),
            }
        }
        let low = match low {
            Ok(low) => low,
            Err(e) => {
                return (policy, format!("a stationary problem; no choice could be made on coarser grids: {e}"), candidates);
            }
        };
        let scaled = |e: &Expected| e.error * (e.work / low.work).powf(self.space_order() / self.grid.dim() as f64);
        found.sort_by(|a, b| scaled(a).total_cmp(&scaled(b)));
        let Some(best) = found.first() else {
            return (policy, "a stationary problem; the linear equation does not apply or does not agree".into(), candidates);
        };
        let chosen = if scaled(best) < CLEARLY * low.error { best.method } else { policy };
        let each: Vec<String> = std::iter::once(&low)
            .chain(&found)
            .map(|e| format!("{:.1e} ({}, work {:.2})", e.error, e.method.description(), e.work / low.work))
            .collect();
        let reason = format!("smallest error for its work; expected errors {}", each.join(", "));
        let others = std::iter::once(low).chain(found).filter(|e| e.method != chosen);
        candidates.extend(others.map(|e| Candidate {
            route: e.method.name(),
            space: Some(e.method.space().scheme().name()),
            error_estimate: Some(e.error),
            full_size: false,
            work: Some(e.work),
            seconds: e.seconds,
            refused: None,
        }));
        (chosen, reason, candidates)
    }

    fn linear_expected(&self, solves: &Solves<'_>, method: Method, policy: Method) -> Result<Expected, HjbError> {
        let expected = self.expected(solves, method)?;
        let (apart, allowed) = apart_on_half_grid(self, solves, method, policy)?;
        match apart <= allowed {
            true => Ok(expected),
            false => Err(HjbError::Invalid {
                field: "scheme.route".into(),
                value: format!("cole_hopf: on the half grid {apart:.1e} away from policy iteration"),
                allowed: format!("at most {allowed:.1e}, what the estimated errors of the two explain"),
            }),
        }
    }

    /// Error and work at full size, from the half grid.
    fn expected(&self, solves: &Solves<'_>, method: Method) -> Result<Expected, HjbError> {
        let half = coarsen(self.grid)?;
        let solve = solves.on(&half.grid, method)?;
        let error = solves.error_on(&half.grid, method)? / half.ratio.powf(self.space_order());
        let growth = self.grid.len() as f64 / half.grid.len() as f64;
        Ok(Expected { method, error, work: method.work(&solve.info, &half.grid) * growth, seconds: solve.seconds })
    }
}

fn refused(method: Method, why: &HjbError) -> Candidate {
    Candidate::refused(method.name(), method.space().scheme().name(), why)
}

/// Distance of two methods on the half grid, and what their estimated errors there explain.
pub(super) fn apart_on_half_grid(
    equation: &Equation<'_>,
    solves: &Solves<'_>,
    one: Method,
    other: Method,
) -> Result<(f64, f64), HjbError> {
    let half = coarsen(equation.grid)?.grid;
    let (a, b) = (solves.on(&half, one)?, solves.on(&half, other)?);
    let (a, b) = (&a.value, &b.value);
    let gap = |j: usize| (a.value()[j] - b.value()[j]).abs();
    let apart = half.region_nodes(Some(equation.region))?.map(gap).fold(0.0, f64::max);
    let size = b.value().iter().fold(1.0f64, |m, v| m.max(v.abs()));
    Ok((apart, AGREEMENT * (solves.error_on(&half, one)? + solves.error_on(&half, other)?) + ROUNDING * size))
}
