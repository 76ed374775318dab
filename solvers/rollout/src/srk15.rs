//! A Runge-Kutta scheme of strong order 1.5 for additive noise (SRA1).
//!
//! With a = f + G v, the increment W = sqrt(h) xi and the mean height Z of the path over the step,
//! Z = (1/h) int (W(s) - W(t_k)) ds = (sqrt(h)/2) (xi + zeta/sqrt 3):
//!
//!   Y       = X_k + (3/4) h a(t_k, X_k) + (3/2) sigma(t_{k+1}) Z,
//!   X_{k+1} = X_k + h [ (1/3) a(t_k, X_k) + (2/3) a(t_k + (3/4) h, Y) ] + sigma(t_{k+1}) (W - Z) + sigma(t_k) Z.
//!
//! Cost and reward: the quadrature 1/3, 2/3 at the two stages.
//!
//! Strong order 1.5 and weak order 2 (also for the objective) when sigma does not depend on x; it may depend on t and be
//! rectangular. A sigma that depends on x is evaluated at X_k: the scheme then still converges to the Ito solution, with
//! the orders of Euler-Maruyama. Two evaluations of drift and feedback and two normal numbers per component a step. Stable
//! like a two-stage explicit Runge-Kutta scheme: h L below 2. The scheme of choice for fine-tuning problems and
//! Ornstein-Uhlenbeck-like dynamics when paths matter (multilevel Monte Carlo: the variance of a level falls like h^3);
//! when only laws do, stochastic Heun is cheaper by one normal number.
//!
//! Reference: Rößler, *Runge-Kutta methods for the strong approximation of solutions of stochastic differential equations*,
//! SIAM J. Numer. Anal. 48 (2010), scheme SRA1.

use hjbridge_model::{MatrixCoefficient, Points};

use crate::closed_loop::{ClosedLoop, add_matrix_product};
use crate::lanes::Lanes;
use crate::scheme::{SdeScheme, StageTimes};

/// Rößler's SRA1.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdditiveRungeKutta;

impl SdeScheme for AdditiveRungeKutta {
    const NAME: &'static str = "Runge-Kutta 1.5 (SRA1)";
    const STRONG_ORDER: f64 = 1.5;
    const WEAK_ORDER: f64 = 2.0;
    const NORMALS: usize = 2;
    const STAGES: StageTimes = StageTimes { inner: &[0.75], end: true };

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let (h, now, next) = (system.step_length(k), system.level(k), system.level(k + 1));
        let (d, root) = (system.problem().dim(), h.sqrt());
        let (xi, zeta) = noise.split_at(noise.len() / 2);
        system.evaluate_control(now, lanes);
        system.accumulate(now, h / 3.0, lanes);
        system.evaluate_velocity(now, lanes);

        let Lanes { state, velocity, stage_state, scratch: [height, rest, increment, height_end], matrix, .. } = lanes;
        // Z and W - Z, both over sqrt(h).
        let third = 1.0 / 3f64.sqrt();
        height.clear();
        height.extend(xi.iter().zip(zeta).map(|(xi, zeta)| 0.5 * (xi + third * zeta)));
        rest.clear();
        rest.extend(xi.iter().zip(&*height).map(|(xi, z)| xi - z));
        let x = Points::new(state, d);
        for target in [&mut *increment, &mut *height_end] {
            target.clear();
            target.resize(state.len(), 0.0);
        }
        system.add_noise(now, root, height, x, matrix, increment);
        if let MatrixCoefficient::Field(_) = next.diffusion {
            system.evaluate_diffusion(next, x, matrix);
            add_matrix_product(matrix, system.problem().noise_dim(), rest, root, increment);
            add_matrix_product(matrix, system.problem().noise_dim(), height, root, height_end);
        } else {
            system.add_noise(next, root, rest, x, matrix, increment);
            system.add_noise(next, root, height, x, matrix, height_end);
        }
        for (((y, x), a), z) in stage_state.iter_mut().zip(&*state).zip(&*velocity).zip(&*height_end) {
            *y = x + (0.75 * h * a + 1.5 * z);
        }
        system.evaluate_stage(system.inner_level(k, 0), 2.0 * h / 3.0, lanes);

        let Lanes { state, velocity, stage_velocity, scratch: [_, _, increment, _], .. } = lanes;
        for (((x, a), b), dw) in state.iter_mut().zip(velocity).zip(stage_velocity).zip(increment) {
            *x += h * (*a + 2.0 * *b) / 3.0 + *dw;
        }
    }
}
