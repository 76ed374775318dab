//! What the samplers of diffusion models share: the coefficients of the chain that undoes the noising, and one step of it.
//!
//! With a_k = exp(-int_{t_k}^{t_{k+1}} b), abar_k = prod_{j >= k} a_j and U = s + v every such sampler is
//!   Y_{k+1} = Y_k/sqrt(a_k) + c_k U_k + sig_k xi_k;
//! the problem gives f + G v = (b/2) Y + b U, from which U = (f + G v)/b - Y/2.

use hjbridge_model::{MatrixCoefficient, Schedule};

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::lanes::Lanes;

/// One step of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainStep {
    /// a_k.
    pub alpha: f64,
    /// c_k, the factor of U.
    pub score: f64,
    /// sig_k.
    pub sigma: f64,
    /// Factor of the problem's cost rate beta b |v|^2/2.
    pub cost: f64,
    /// b(t_k).
    pub rate: f64,
}

/// The problem must be a fine-tuning problem of this schedule: G = b and sigma = sqrt(b), multiples of the identity.
pub(crate) fn check_schedule(system: &ClosedLoop<'_>, schedule: &Schedule) -> Result<(), RolloutError> {
    let fits = |found: &MatrixCoefficient<'_>, expected: f64| matches!(found, MatrixCoefficient::Scaled(c) if (c - expected).abs() <= 1e-12 * expected.abs());
    for k in 0..system.steps() {
        let level = system.level(k);
        let b = schedule.rate(level.time);
        if !fits(&level.control_matrix, b) || !fits(&level.diffusion, b.sqrt()) {
            let what = format!("another one at t = {}: G is not {b} or sigma not its square root", level.time);
            return Err(RolloutError::invalid("schedule of the problem", what, "the schedule of the scheme"));
        }
    }
    Ok(())
}

/// Run one step of a chain; where `idle`, the control is dropped and costs nothing.
pub(crate) fn advance(system: &ClosedLoop<'_>, k: usize, step: ChainStep, idle: bool, noise: &[f64], lanes: &mut Lanes) {
    let level = system.level(k);
    system.evaluate_control(level, lanes);
    if idle {
        lanes.control.fill(0.0);
    } else {
        system.accumulate_cost(level, step.cost, lanes);
    }
    system.accumulate_reward(level, system.step_length(k), lanes);
    system.evaluate_velocity(level, lanes);
    let own = 1.0 / step.alpha.sqrt() - 0.5 * step.score;
    let velocity = step.score / step.rate;
    for ((y, f), xi) in lanes.state.iter_mut().zip(&lanes.velocity).zip(noise) {
        *y = own * *y + velocity * f + step.sigma * xi;
    }
}
