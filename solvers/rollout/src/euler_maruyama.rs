//! The Euler-Maruyama scheme.
//!
//!   X_{k+1} = X_k + h [ f(t_k,X_k) + G(t_k,X_k) v(t_k,X_k) ] + sqrt(h) sigma(t_k,X_k) xi_k,   xi_k standard normal,
//!   cost    += h v'Rv/2,   reward += h l   at the left end point.
//!
//! Strong order 1/2 (1 when sigma does not depend on x), weak order 1, also for the objective. Mean-square stable for a
//! drift with Lipschitz constant L only when h L is below about 2; a super-linear drift or feedback can make single paths
//! explode at any h, which is reported as an error with the path and the step. It is the scheme to start with, the only
//! one that needs nothing but values of the coefficients, and the one whose transition is Gaussian given the state, as the
//! discrete chain of a diffusion model is.
//!
//! References: Maruyama, *Continuous Markov processes and stochastic equations*, Rend. Circ. Mat. Palermo 4 (1955);
//! Talay, Tubaro, *Expansion of the global error for numerical schemes solving stochastic differential equations*,
//! Stoch. Anal. Appl. 8 (1990), for the weak order.

use hjbridge_model::{MatrixCoefficient, Points};

use crate::closed_loop::ClosedLoop;
use crate::lanes::Lanes;
use crate::scheme::SdeScheme;
use crate::sweep;

/// The Euler-Maruyama scheme.
#[derive(Clone, Copy, Debug, Default)]
pub struct EulerMaruyama;

impl SdeScheme for EulerMaruyama {
    const NAME: &'static str = "Euler-Maruyama";
    const STRONG_ORDER: f64 = 0.5;
    const WEAK_ORDER: f64 = 1.0;

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let (h, level) = (system.step_length(k), system.level(k));
        system.evaluate_control(level, lanes);
        system.accumulate(level, h, lanes);
        system.evaluate_velocity(level, lanes);
        if let MatrixCoefficient::Scaled(s) = level.diffusion {
            let c = h.sqrt() * s;
            sweep::euler(&mut lanes.state, h, &lanes.velocity, c, noise);
        } else {
            // The increment is built in place of the velocity, because sigma is evaluated at the old state.
            for f in &mut lanes.velocity {
                *f *= h;
            }
            let x = Points::new(&lanes.state, system.problem().dim());
            system.add_noise(level, h.sqrt(), noise, x, &mut lanes.matrix, &mut lanes.velocity);
            for (x, dx) in lanes.state.iter_mut().zip(&lanes.velocity) {
                *x += dx;
            }
        }
    }
}
