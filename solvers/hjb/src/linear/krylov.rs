//! BiCGSTAB with right preconditioning: the iteration shared by the iterative solvers.
//!
//! Solves A x = b for a general matrix with two products and two preconditioner applications per iteration and no
//! transpose. The residual of the recurrence drifts from the true one, so each cycle ends with b - Ax recomputed, and
//! what is returned is judged by that alone: a cycle that broke down (rho, shadow'v or omega vanish), stagnated or
//! drifted is restarted from the true residual. One cycle may fail to halve the residual; a second failure ends the solve.
//!
//! References: H. A. van der Vorst, Bi-CGSTAB, SIAM J. Sci. Stat. Comput. 13 (1992) 631-644; G. L. G. Sleijpen, H. A. van
//! der Vorst, Reliable updated residuals in hybrid Bi-CG methods, Computing 56 (1996) 141-163.

use super::LinearInfo;
use crate::error::LinearError;
use crate::norms::{all_finite, sup};
use crate::stencil::StencilMatrix;
use serde::Serialize;

/// Backward error below which rounding may prevent any progress; stagnation there counts as convergence.
const ATTAINABLE: f64 = 32.0 * f64::EPSILON;

/// Largest residual accepted relative to the right-hand side: above, x solves a nearby singular system at best.
const LARGEST_RESIDUAL: f64 = 1e-6;

/// Cosines below this count as a breakdown.
const BREAKDOWN: f64 = 1e-14;

/// A cycle ends when its best residual is this many iterations old.
const PATIENCE: usize = 60;

/// Stop rule of the iterative solvers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct IterationParams {
    /// Backward error max|b - Ax| / (max row sum of |A| max|x| + max|b|) at which the iteration stops; in [eps, 1). The
    /// default, 1e-15, is what a direct solver leaves. Stagnation below 32 eps counts as convergence.
    pub tolerance: f64,
    /// Largest number of iterations of a solve, at least 1.
    pub max_iterations: usize,
}

impl Default for IterationParams {
    fn default() -> Self {
        IterationParams { tolerance: 1e-15, max_iterations: 1000 }
    }
}

impl IterationParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), LinearError> {
        if !(self.tolerance >= f64::EPSILON && self.tolerance < 1.0) {
            let allowed = "in [2.2e-16, 1)";
            return Err(LinearError::Invalid { field: "tolerance", value: self.tolerance, allowed });
        }
        if self.max_iterations == 0 {
            return Err(LinearError::Invalid { field: "max_iterations", value: 0.0, allowed: "at least 1" });
        }
        Ok(())
    }
}

/// An approximate inverse.
pub(crate) trait Preconditioner {
    /// z = M^{-1} r.
    fn apply(&mut self, r: &[f64], z: &mut [f64]) -> Result<(), LinearError>;
}

/// A solve as seen from the outside: who asks, the matrix, its row sum, the stop rule.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub solver: &'static str,
    pub a: &'a StencilMatrix,
    pub row_sum: f64,
    pub params: IterationParams,
}

impl Request<'_> {
    /// Backward error from the sup norms of the residual, x and b.
    pub fn backward_error(&self, residual: f64, x: f64, b: f64) -> f64 {
        if residual == 0.0 { 0.0 } else { residual / (self.row_sum * x + b) }
    }

    /// The verdict on a solution with the sup norms of its true residual, of x and of b.
    pub fn judge(&self, iterations: usize, residual: f64, x: f64, b: f64) -> Result<LinearInfo, LinearError> {
        if !(residual.is_finite() && x.is_finite()) {
            return Err(LinearError::NotFinite { solver: self.solver });
        }
        let relative_residual = self.backward_error(residual, x, b);
        if relative_residual <= self.params.tolerance.max(ATTAINABLE)
            && residual <= LARGEST_RESIDUAL.max(self.params.tolerance) * b
        {
            return Ok(LinearInfo { solver: self.solver, iterations, relative_residual });
        }
        let tolerance = self.params.tolerance;
        Err(LinearError::NoConvergence { solver: self.solver, iterations, residual: relative_residual, tolerance })
    }
}

/// r = b - A x; its sup norm.
pub(crate) fn residual(a: &StencilMatrix, b: &[f64], x: &[f64], r: &mut [f64]) -> f64 {
    r.copy_from_slice(b);
    a.multiply_add(-1.0, x, r);
    sup(r)
}

/// The vectors of the iteration and the last solution, which is a candidate for the next start.
pub(crate) struct Krylov {
    r: Vec<f64>,
    shadow: Vec<f64>,
    p: Vec<f64>,
    v: Vec<f64>,
    t: Vec<f64>,
    preconditioned: Vec<f64>,
    correction: Vec<f64>,
    last: Vec<f64>,
}

impl Krylov {
    pub fn new(n: usize) -> Self {
        let zeros = || vec![0.0; n];
        Krylov {
            r: zeros(),
            shadow: zeros(),
            p: zeros(),
            v: zeros(),
            t: zeros(),
            preconditioned: zeros(),
            correction: zeros(),
            last: zeros(),
        }
    }

    /// The best start without a guess, into `x`: the right-hand side (close to the solution of I - w L for small w), the
    /// last solution, or zero, whichever has the smallest residual.
    pub fn start(&mut self, request: &Request<'_>, b: &[f64], x: &mut [f64]) {
        let from_b = residual(request.a, b, b, &mut self.r);
        let from_last = residual(request.a, b, &self.last, &mut self.r);
        let from_zero = sup(b);
        if from_last < from_b && from_last < from_zero {
            x.copy_from_slice(&self.last);
        } else if from_b < from_zero {
            x.copy_from_slice(b);
        } else {
            x.fill(0.0);
        }
    }

    /// Remember a solution for [`Krylov::start`].
    pub fn remember(&mut self, x: &[f64]) {
        self.last.copy_from_slice(x);
    }

    /// Solve A x = b from the guess in `x`.
    pub fn solve(
        &mut self,
        request: &Request<'_>,
        b: &[f64],
        x: &mut [f64],
        preconditioner: &mut dyn Preconditioner,
    ) -> Result<LinearInfo, LinearError> {
        let size_b = sup(b);
        if !size_b.is_finite() || !all_finite(x) {
            return Err(LinearError::NotFinite { solver: request.solver });
        }
        let mut size_x = sup(x);
        let mut norm = residual(request.a, b, x, &mut self.r);
        let (mut iterations, mut failures) = (0, 0);
        while request.backward_error(norm, size_x, size_b) > request.params.tolerance
            && iterations < request.params.max_iterations
            && failures < 2
        {
            let target = 0.5 * request.params.tolerance * (request.row_sum * size_x + size_b);
            self.cycle(request, target, preconditioner, &mut iterations)?;
            if all_finite(&self.correction) {
                x.iter_mut().zip(&self.correction).for_each(|(x, d)| *x += d);
            }
            let before = norm;
            norm = residual(request.a, b, x, &mut self.r);
            if norm > 0.5 * before {
                failures += 1;
                if norm > before {
                    // Take the failed correction back.
                    x.iter_mut().zip(&self.correction).for_each(|(x, d)| *x -= d);
                    norm = residual(request.a, b, x, &mut self.r);
                }
            }
            size_x = sup(x);
        }
        request.judge(iterations, norm, size_x, size_b)
    }

    /// One run of the recurrence on A d = r with r the true residual, until `target` or a breakdown; d is left in
    /// `correction`.
    fn cycle(
        &mut self,
        request: &Request<'_>,
        target: f64,
        preconditioner: &mut dyn Preconditioner,
        iterations: &mut usize,
    ) -> Result<(), LinearError> {
        let Krylov { r, shadow, p, v, t, preconditioned, correction, .. } = self;
        correction.fill(0.0);
        p.fill(0.0);
        v.fill(0.0);
        shadow.copy_from_slice(r);
        let shadow_norm = dot(shadow, shadow).sqrt();
        let (mut rho, mut alpha, mut omega) = (1.0, 1.0, 1.0);
        let (mut best, mut age) = (f64::INFINITY, 0);
        while *iterations < request.params.max_iterations {
            let (new_rho, r_norm) = (dot(shadow, r), dot(r, r).sqrt());
            if new_rho.is_nan() || new_rho.abs() <= BREAKDOWN * shadow_norm * r_norm {
                return Ok(());
            }
            let beta = (new_rho / rho) * (alpha / omega);
            rho = new_rho;
            for ((p, r), v) in p.iter_mut().zip(&*r).zip(&*v) {
                *p = r + beta * (*p - omega * v);
            }
            preconditioner.apply(p, preconditioned)?;
            request.a.multiply(preconditioned, v);
            let curvature = dot(shadow, v);
            if curvature.is_nan() || curvature.abs() <= BREAKDOWN * shadow_norm * dot(v, v).sqrt() {
                return Ok(());
            }
            alpha = rho / curvature;
            for (((r, v), d), z) in r.iter_mut().zip(&*v).zip(correction.iter_mut()).zip(&*preconditioned) {
                *r -= alpha * v;
                *d += alpha * z;
            }
            *iterations += 1;
            if sup(r) <= target {
                return Ok(());
            }
            preconditioner.apply(r, preconditioned)?;
            request.a.multiply(preconditioned, t);
            let (tr, tt) = (dot(t, r), dot(t, t));
            omega = tr / tt;
            if !omega.is_finite() || tr.abs() <= BREAKDOWN * (tt * dot(r, r)).sqrt() {
                return Ok(());
            }
            for (((r, t), d), z) in r.iter_mut().zip(&*t).zip(correction.iter_mut()).zip(&*preconditioned) {
                *r -= omega * t;
                *d += omega * z;
            }
            let norm = sup(r);
            age += 1;
            if norm < 0.9 * best {
                (best, age) = (norm, 0);
            }
            if norm <= target || !norm.is_finite() || age >= PATIENCE {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Inner product in eight lanes, so that it vectorises with a fixed order of summation.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((l, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *l += a * b;
        }
    }
    rest + lanes.iter().sum::<f64>()
}
