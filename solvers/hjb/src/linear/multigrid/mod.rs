//! Geometric multigrid on tensor grids of one to three dimensions.
//!
//! Cost and memory O(n) with an iteration count that does not depend on the grid, for I - w L with any w and for stationary
//! problems with a discount or Dirichlet rows. Every axis with five nodes or more is halved on each level (an odd number of
//! intervals keeps its last one whole); the coarse operators are Galerkin products collapsed to nearest neighbours and
//! upwinded on their own grid (`operator.rs` says why); the smoother is chosen per level, lines where cells are
//! convective or anisotropic (`smoother.rs`). By default a V-cycle preconditions BiCGSTAB; cross derivatives and
//! recirculating flows without diffusion need that.
//!
//! Prefer [`super::BiCgStab`] for small steps, [`super::SparseLu`] for matrices that are far from an M-matrix.
//! Cycles alone need about 20 iterations for diffusive problems and fail for recirculating flows.
//! References: U. Trottenberg, C. W. Oosterlee, A. Schueller, Multigrid (2001); A. Brandt, I. Yavneh, Accelerated multigrid
//! convergence and high-Reynolds recirculating flows, SIAM J. Sci. Comput. 14 (1993) 607-626.

mod hierarchy;
mod operator;
mod smoother;
mod transfer;

use super::krylov::{IterationParams, Krylov, Preconditioner, Request, residual};
use super::{LinearInfo, LinearSolver, finite_row_sum};
use crate::error::LinearError;
use crate::norms::{all_finite, sup};
use crate::stencil::StencilMatrix;
use hierarchy::Hierarchy;
use operator::Operator;
use serde::Serialize;

const ACCELERATED: &str = "bicgstab-multigrid";
const ALONE: &str = "multigrid";

/// A hierarchy made for an earlier matrix is renewed when an iteration gains less than this fraction of the digits that it
/// gained when the hierarchy was new.
const RENEW: f64 = 0.67;

/// Cycles alone have stagnated when the best residual is this many cycles old.
const PATIENCE: usize = 12;

/// How levels are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Cycle {
    /// Each level once.
    #[default]
    V,
    /// Each level twice per visit of the finer one; more robust for recirculating flows.
    W,
}

/// Parameters of [`Multigrid`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MultigridParams {
    /// Stop rule.
    pub iteration: IterationParams,
    /// The cycle.
    pub cycle: Cycle,
    /// Whether the cycle preconditions BiCGSTAB; otherwise it is iterated alone.
    pub accelerate: bool,
    /// Whether a hierarchy may serve later matrices for as long as it converges about as fast as when it was new. The
    /// residual is always that of the matrix at hand.
    pub reuse: bool,
}

impl Default for MultigridParams {
    fn default() -> Self {
        let iteration = IterationParams { max_iterations: 200, ..IterationParams::default() };
        MultigridParams { iteration, cycle: Cycle::V, accelerate: true, reuse: true }
    }
}

impl MultigridParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), LinearError> {
        self.iteration.validate()
    }
}

/// What a [`Multigrid`] solver has built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MultigridInfo {
    /// Levels of the current hierarchy.
    pub levels: usize,
    /// Whether its finest level is smoothed by lines.
    pub lines: bool,
    /// Hierarchies built so far.
    pub setups: usize,
}

/// Geometric multigrid.
pub struct Multigrid {
    params: MultigridParams,
    hierarchy: Option<Hierarchy>,
    setups: usize,
    /// Whether the hierarchy belongs to an earlier matrix.
    stale: bool,
    /// Digits gained per iteration by the hierarchy when it was new, and in the last solve.
    gain: (Option<f64>, Option<f64>),
    krylov: Krylov,
    right_side: Vec<f64>,
    work: (Vec<f64>, Vec<f64>),
    row_sum: Option<f64>,
}

impl Multigrid {
    /// A solver for matrices of the pattern of `a`.
    ///
    /// # Errors
    /// Parameters out of range; a pattern that reaches further than one node per axis, or an axis with fewer than three
    /// nodes.
    pub fn new(a: &StencilMatrix, params: MultigridParams) -> Result<Self, LinearError> {
        params.validate()?;
        Operator::check_pattern(a)?;
        let n = a.len();
        Ok(Multigrid {
            params,
            hierarchy: None,
            setups: 0,
            stale: false,
            gain: (None, None),
            krylov: Krylov::new(n),
            right_side: vec![0.0; n],
            work: (vec![0.0; n], vec![0.0; n]),
            row_sum: None,
        })
    }

    /// Whether the pattern of `a` can be coarsened.
    pub(crate) fn takes(a: &StencilMatrix) -> bool {
        Operator::check_pattern(a).is_ok()
    }

    /// What has been built.
    pub fn info(&self) -> Option<MultigridInfo> {
        let lines = |h: &Hierarchy| MultigridInfo { levels: h.levels(), lines: h.smooths_lines(), setups: self.setups };
        self.hierarchy.as_ref().map(lines)
    }

    fn build(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        self.hierarchy = None;
        let visits = if self.params.cycle == Cycle::W { 2 } else { 1 };
        self.hierarchy = Some(Hierarchy::new(a, visits)?);
        self.setups += 1;
        self.stale = false;
        self.gain = (None, None);
        Ok(())
    }

    fn run(&mut self, a: &StencilMatrix, x: &mut [f64], guess: bool) -> Result<LinearInfo, LinearError> {
        let Some(row_sum) = self.row_sum else {
            let reason = "no factorisation to solve with".to_string();
            return Err(LinearError::Factorisation { solver: self.name(), reason });
        };
        let request = Request { solver: self.name(), a, row_sum, params: self.params.iteration };
        if !guess {
            self.krylov.start(&request, &self.right_side, x);
        }
        let first = self.attempt(&request, x);
        let info = match first {
            Err(LinearError::NoConvergence { .. } | LinearError::NotFinite { .. }) if self.stale => {
                self.build(a)?;
                if !all_finite(x) {
                    self.krylov.start(&request, &self.right_side, x);
                }
                self.attempt(&request, x)
            }
            other => other,
        }?;
        self.krylov.remember(x);
        Ok(info)
    }

    /// Solve with the hierarchy at hand and keep account of its gain.
    fn attempt(&mut self, request: &Request<'_>, x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        let Some(hierarchy) = self.hierarchy.as_mut() else {
            let reason = "no hierarchy".to_string();
            return Err(LinearError::Factorisation { solver: request.solver, reason });
        };
        let before = residual(request.a, &self.right_side, x, &mut self.work.0);
        let info = if self.params.accelerate {
            self.krylov.solve(request, &self.right_side, x, hierarchy)?
        } else {
            iterate(request, &self.right_side, x, hierarchy, &mut self.work)?
        };
        let size = request.row_sum * sup(x) + sup(&self.right_side);
        let digits = (before / (info.relative_residual * size)).log10();
        // Few iterations say little about the rate.
        if info.iterations > 1 && digits.is_finite() {
            self.gain.1 = Some(digits / info.iterations as f64);
            if !self.stale && self.gain.0.is_none() {
                self.gain.0 = self.gain.1;
            }
        }
        Ok(info)
    }
}

/// Cycles alone: x += B (b - A x).
fn iterate(
    request: &Request<'_>,
    b: &[f64],
    x: &mut [f64],
    hierarchy: &mut Hierarchy,
    (r, z): &mut (Vec<f64>, Vec<f64>),
) -> Result<LinearInfo, LinearError> {
    let size_b = sup(b);
    if !size_b.is_finite() || !all_finite(x) {
        return Err(LinearError::NotFinite { solver: request.solver });
    }
    let mut norm = residual(request.a, b, x, r);
    let (mut iterations, mut best, mut age) = (0, f64::INFINITY, 0);
    while request.backward_error(norm, sup(x), size_b) > request.params.tolerance
        && iterations < request.params.max_iterations
        && age < PATIENCE
        && norm.is_finite()
    {
        hierarchy.apply(r, z)?;
        x.iter_mut().zip(&*z).for_each(|(x, z)| *x += z);
        norm = residual(request.a, b, x, r);
        iterations += 1;
        age += 1;
        if norm < 0.9 * best {
            (best, age) = (norm, 0);
        }
    }
    request.judge(iterations, norm, sup(x), size_b)
}

impl LinearSolver for Multigrid {
    fn name(&self) -> &'static str {
        if self.params.accelerate { ACCELERATED } else { ALONE }
    }

    fn factorise(&mut self, a: &StencilMatrix) -> Result<(), LinearError> {
        self.row_sum = None;
        let row_sum = finite_row_sum(self.name(), a, &mut self.right_side)?;
        let good = matches!(self.gain, (Some(new), Some(last)) if last >= RENEW * new);
        if self.params.reuse && good && self.hierarchy.is_some() {
            self.stale = true;
        } else {
            self.build(a)?;
        }
        self.row_sum = Some(row_sum);
        Ok(())
    }

    fn solve(&mut self, a: &StencilMatrix, x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        self.right_side.copy_from_slice(x);
        self.run(a, x, false)
    }

    fn solve_from(&mut self, a: &StencilMatrix, b: &[f64], x: &mut [f64]) -> Result<LinearInfo, LinearError> {
        self.right_side.copy_from_slice(b);
        self.run(a, x, true)
    }
}
