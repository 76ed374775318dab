//! The exponential Euler-Maruyama scheme: variation of constants for the linear part of the drift.
//!
//! The drift is rate(t) (alpha x + U), alpha x its linear part and U = (f + G v)/rate - alpha x the rest, frozen at the left
//! end point; with B = int rate over the step the equation is then solved exactly:
//!
//!   X_{k+1} = e^{alpha B} X_k + [(e^{alpha B} - 1)/alpha] U_k + [(e^{2 alpha B} - 1)/(2 alpha)]^{1/2} (sigma/sqrt(rate)) xi
//!           = X_k + [(e^{alpha B} - 1)/alpha] (f + G v)/rate + (the same noise).
//!
//! Two cases: a diffusion model, dY = [ (b/2) Y + b U ] dt + sqrt(b) dB with U = s + v, rate = b, alpha = 1/2, B exact from
//! the schedule ([`ExponentialIntegrator::of_schedule`]); and rate = 1 with a constant alpha
//! ([`ExponentialIntegrator::linear`]), for which an Ornstein-Uhlenbeck process is sampled from its exact law at any step.
//! Reward: left end point. Cost: left end point with B/b in place of h, so that with a constant KL weight it is exactly the
//! relative entropy of the simulated, piecewise frozen process.
//!
//! Strong order 1 when sigma does not depend on x (1/2 otherwise), weak order 1. Against Euler-Maruyama the error of the
//! linear part and of a varying b is gone, with it the stability condition alpha h > -2 of a stiff linear part: what is left
//! is the variation of U. Prefer it whenever b varies a lot over the horizon.
//!
//! References: Lord, Rougemont, *A numerical scheme for stochastic PDEs with Gevrey regularity*, IMA J. Numer. Anal. 24
//! (2004); Zhang, Chen, *Fast sampling of diffusion models with exponential integrator* (arXiv:2204.13902).

use hjbridge_model::{Points, Schedule};

use crate::closed_loop::ClosedLoop;
use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::reverse_chain::check_schedule;
use crate::scheme::SdeScheme;
use crate::sweep;

/// The exponential Euler-Maruyama scheme.
#[derive(Clone, Debug)]
pub struct ExponentialIntegrator {
    alpha: f64,
    schedule: Option<Schedule>,
    steps: Vec<Step>,
}

/// Factors of (f + G v), of sigma xi and of the cost rate.
#[derive(Clone, Copy, Debug)]
struct Step {
    drift: f64,
    noise: f64,
    cost: f64,
}

impl ExponentialIntegrator {
    /// For the drift of a fine-tuning problem with this schedule: alpha = 1/2 in the clock int b.
    pub fn of_schedule(schedule: &Schedule) -> Self {
        ExponentialIntegrator { alpha: 0.5, schedule: Some(schedule.clone()), steps: Vec::new() }
    }

    /// For a drift alpha x + (the rest), per unit of time; alpha = 0 is Euler-Maruyama.
    ///
    /// # Errors
    /// An alpha that is not finite.
    pub fn linear(alpha: f64) -> Result<Self, RolloutError> {
        if !alpha.is_finite() {
            return Err(RolloutError::invalid("alpha", alpha, "finite"));
        }
        Ok(ExponentialIntegrator { alpha, schedule: None, steps: Vec::new() })
    }
}

/// (e^{alpha b} - 1)/alpha, with its limit at alpha = 0.
fn growth(alpha: f64, b: f64) -> f64 {
    if alpha == 0.0 { b } else { (alpha * b).exp_m1() / alpha }
}

impl SdeScheme for ExponentialIntegrator {
    const NAME: &'static str = "exponential integrator";
    const STRONG_ORDER: f64 = 0.5;
    const WEAK_ORDER: f64 = 1.0;

    fn prepare(&mut self, system: &ClosedLoop<'_>) -> Result<(), RolloutError> {
        if let Some(schedule) = &self.schedule {
            check_schedule(system, schedule)?;
        }
        let grid = system.grid();
        let step = |k: usize| {
            let (t, h) = (grid.times()[k], grid.step_length(k));
            let (rate, clock) = match &self.schedule {
                Some(schedule) => (schedule.rate(t), schedule.integral(t, grid.times()[k + 1])),
                None => (1.0, h),
            };
            Step {
                drift: growth(self.alpha, clock) / rate,
                noise: (growth(2.0 * self.alpha, clock) / rate).sqrt(),
                cost: clock / rate,
            }
        };
        let steps: Vec<Step> = (0..grid.steps()).map(step).collect();
        if let Some(k) = steps.iter().position(|s| !(s.drift.is_finite() && s.noise.is_finite())) {
            return Err(RolloutError::invalid("alpha", self.alpha, format!("such that exp(2 alpha h) is finite in step {k}")));
        }
        self.steps = steps;
        Ok(())
    }

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let (level, step) = (system.level(k), self.steps[k]);
        system.evaluate_control(level, lanes);
        system.accumulate_cost(level, step.cost, lanes);
        system.accumulate_reward(level, system.step_length(k), lanes);
        system.evaluate_velocity(level, lanes);
        let Lanes { state, velocity, matrix, scratch: [increment, ..], .. } = lanes;
        increment.clear();
        increment.resize(state.len(), 0.0);
        system.add_noise(level, step.noise, noise, Points::new(state, system.problem().dim()), matrix, increment);
        sweep::add_scaled(increment, step.drift, velocity);
        for (x, dx) in state.iter_mut().zip(increment) {
            *x += *dx;
        }
    }
}
