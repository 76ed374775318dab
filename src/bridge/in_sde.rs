//! The discrete policy in continuous time: what is lost by holding u_k on [t_k, t_{k+1}) in the controlled SDE.
//!
//! With the optimum V, U* of the continuous problem and J(u) the objective of a control u, the loss e = V - V^u >= 0 solves
//!
//!   e_t + b [ (y/2 + u).grad e + (1/2) Lap e ] + (beta b/2) |u - U*|^2 = 0,   e(T) = 0,      J* - J(u) = E e(0, Y_0),
//!
//! which is the linear equation of V^u less the HJB equation: what is computed is the loss itself, not a difference of two numbers
//! that agree to four digits. While u_k is held the operator in brackets is constant in the clock c = int b, so a step of the chain is
//! one step of the L-stable method of Alexander with two stages (order 2) and length c_k; the source is integrated exactly for U*
//! linear in time between t_k and t_{k+1}. Space: the hybrid scheme, order 2.
//! Since u_k - U* = O(h), the loss is O(h^2); its relative error is O(h) in time and O(spacing^2) in space.
//! Reference: R. Alexander, SIAM J. Numer. Anal. 14 (1977) 1006-1021.

use super::slices::GridSlice;
use super::sweep::Sweep;
use crate::problem::Problem;
use crate::run::{Progress, RunError, is_cancelled};
use hjbridge_hjb::{Faces, Generator, HjbError, LinearError, LinearSolverChoice, Space};
use std::sync::Arc;

/// gamma of the method: 1 - sqrt(1/2).
const GAMMA: f64 = 1.0 - std::f64::consts::FRAC_1_SQRT_2;

/// e(0, .) at the nodes. `optimal` holds U* at t_0, ..., t_{N-1} and `terminal` at T.
///
/// # Errors
/// A control that is not finite; a linear system that cannot be solved; the user's wish to end.
pub(super) fn loss(
    problem: &Problem,
    sweep: &Sweep,
    optimal: &[Arc<GridSlice>],
    terminal: &[f64],
    progress: &dyn Progress,
) -> Result<Vec<f64>, RunError> {
    progress.begin(&format!("loss N = {}", sweep.steps), sweep.steps as u64);
    let lost = backward(problem, sweep, optimal, terminal, progress);
    progress.end();
    lost
}

fn backward(
    problem: &Problem,
    sweep: &Sweep,
    optimal: &[Arc<GridSlice>],
    terminal: &[f64],
    progress: &dyn Progress,
) -> Result<Vec<f64>, RunError> {
    let (grid, model) = (&problem.grid, &problem.model);
    let (n, d, horizon) = (grid.len(), grid.dim(), model.schedule().horizon());
    let points = grid.points();
    let mut generator = Generator::new(grid.clone(), Space::Hybrid.scheme(), Faces::extrapolated());
    let mut system = generator.matrix().clone();
    system.set_identity_minus(0.0, generator.matrix());
    let failed = |t: f64| move |source: LinearError| RunError::from(HjbError::Linear { t, source });
    let mut solver = LinearSolverChoice::Auto.build(&system).map_err(failed(horizon))?;
    let ones = vec![1.0; d * n];
    let mut drift = vec![0.0; d * n];
    let (mut e, mut source) = (vec![0.0; n], vec![0.0; n]);
    let (mut first, mut second, mut right) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for k in (0..sweep.steps).rev() {
        if is_cancelled(progress) {
            return Err(RunError::Cancelled);
        }
        progress.advance((sweep.steps - k) as u64);
        let t = sweep.times[k];
        let end = sweep.times.get(k + 1).copied().unwrap_or(horizon);
        let clock = model.schedule().integral(t, end);
        let beta = model.kl_weight().at(0.5 * (t + end));
        let u = &sweep.controls[k];
        let (now, later) = (&optimal[k].control, optimal.get(k + 1).map_or(terminal, |s| &s.control));
        // mean of |u - U*|^2 over the step, in units of b: (|a|^2 + a.b + |b|^2) / 3 for a, b at its ends
        source.fill(0.0);
        for i in 0..d * n {
            let (a, b) = (u[i] - now[i], u[i] - later[i]);
            source[i % n] += beta / 6.0 * (a * a + a * b + b * b);
            drift[i] = 0.5 * points.data()[i] + u[i];
        }
        if let Some(j) = source.iter().position(|s| !s.is_finite()) {
            let mut y = vec![0.0; d];
            grid.node(j, &mut y);
            return Err(RunError::Unsupported(format!("the control at t = {t}, y = {y:?} is not finite")));
        }
        let a = generator.assemble(&drift, &ones)?;
        system.set_identity_minus(GAMMA * clock, a);
        solver.factorise(&system).map_err(failed(t))?;
        // k_1 = A e + S + gamma c A k_1, and the same at e + (1 - gamma) c k_1
        let mut stage = |at: &[f64], slope: &mut [f64]| {
            a.multiply(at, &mut right);
            right.iter_mut().zip(&source).for_each(|(r, s)| *r += s);
            slope.copy_from_slice(&right);
            solver.solve_from(&system, &right, slope).map_err(failed(t)).map(|_| ())
        };
        stage(&e, &mut first)?;
        let middle: Vec<f64> = e.iter().zip(&first).map(|(e, s)| e + (1.0 - GAMMA) * clock * s).collect();
        stage(&middle, &mut second)?;
        for ((e, f), s) in e.iter_mut().zip(&first).zip(&second) {
            *e += clock * ((1.0 - GAMMA) * f + GAMMA * s);
        }
    }
    Ok(e)
}
