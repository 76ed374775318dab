//! The stochastic Heun scheme, for the Ito equation.
//!
//! The scheme itself integrates the Stratonovich equation dX = a_S dt + sigma o dB, so it is given the drift
//!   a_S = f + G v - (1/2) sum_j (sigma^j . grad) sigma^j,
//! whose solution is that of the Ito equation dX = (f + G v) dt + sigma dB:
//!
//!   Y       = X_k + h a_S(t_k, X_k) + sqrt(h) sigma(t_k, X_k) xi,
//!   X_{k+1} = X_k + (h/2) [ a_S(t_k, X_k) + a_S(t_{k+1}, Y) ] + (sqrt(h)/2) [ sigma(t_k, X_k) + sigma(t_{k+1}, Y) ] xi.
//!
//! Cost and reward: trapezoidal rule, at (t_k, X_k) and (t_{k+1}, Y). The correction is a central difference quotient of
//! sigma along its columns over sqrt(h)/64; its error, of relative size h/24576, is far below the scheme's own. It makes 4 q + 2
//! evaluations of sigma a step, none where sigma is a multiple of the identity.
//!
//! Strong order 1 for commutative noise, 1/2 otherwise; weak order 1, and 2 (also for the objective) when sigma does not
//! depend on x. Its stability region is that of the explicit trapezoidal rule: h L below 2. Prefer it to Milstein when the
//! drift is the harder part or when the noise is weak (its error is then that of a second-order method plus a small
//! multiple of h); for additive noise it is the cheapest scheme of weak order 2.
//!
//! References: Rümelin, *Numerical treatment of stochastic differential equations*, SIAM J. Numer. Anal. 19 (1982);
//! Kloeden, Platen, *Numerical Solution of Stochastic Differential Equations* (Springer, 1992), sections 4.9 and 11.1.

use hjbridge_model::{MatrixCoefficient, Points};

use crate::closed_loop::{ClosedLoop, Level, add_matrix_product};
use crate::lanes::Lanes;
use crate::noise::LANES;
use crate::scheme::{SdeScheme, StageTimes};
use crate::sweep;

/// The stochastic Heun scheme.
#[derive(Clone, Copy, Debug, Default)]
pub struct StochasticHeun;

/// The difference quotient of the correction is taken over sqrt(h) times this.
const SPAN: f64 = 1.0 / 64.0;

impl SdeScheme for StochasticHeun {
    const NAME: &'static str = "stochastic Heun";
    const STRONG_ORDER: f64 = 1.0;
    const WEAK_ORDER: f64 = 1.0;
    const STAGES: StageTimes = StageTimes::END;

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let (h, now, next) = (system.step_length(k), system.level(k), system.level(k + 1));
        let root = h.sqrt();
        system.evaluate_control(now, lanes);
        system.accumulate(now, 0.5 * h, lanes);
        system.evaluate_velocity(now, lanes);
        subtract_correction(system, now, SPAN * root, lanes);

        lanes.scratch[0].clear();
        lanes.scratch[0].resize(lanes.state.len(), 0.0);
        add_noise(system, now, root, noise, lanes);
        let Lanes { state, velocity, stage_state, scratch: [increment, ..], .. } = lanes;
        for (((y, x), a), dw) in stage_state.iter_mut().zip(&*state).zip(&*velocity).zip(&*increment) {
            *y = x + (h * a + dw);
        }
        system.evaluate_stage(next, 0.5 * h, lanes);
        lanes.swap_stage();
        subtract_correction(system, next, SPAN * root, lanes);
        add_noise(system, next, root, noise, lanes);
        lanes.swap_stage();

        let Lanes { state, velocity, stage_velocity, scratch: [increment, ..], .. } = lanes;
        for (((x, a), b), dw) in state.iter_mut().zip(velocity).zip(stage_velocity).zip(increment) {
            *x += 0.5 * (h * (*a + *b) + *dw);
        }
    }
}

/// Add `root` sigma xi at the lanes' state to the first scratch array; the correction has left sigma in the second one.
fn add_noise(system: &ClosedLoop<'_>, level: &Level<'_>, root: f64, noise: &[f64], lanes: &mut Lanes) {
    let Lanes { state, scratch: [increment, sigma, ..], matrix, .. } = lanes;
    match level.diffusion {
        MatrixCoefficient::Scaled(_) => {
            system.add_noise(level, root, noise, Points::new(state, system.problem().dim()), matrix, increment);
        }
        MatrixCoefficient::Field(_) => add_matrix_product(sigma, system.problem().noise_dim(), noise, root, increment),
    }
}

/// Subtract (1/2) sum_j (sigma^j . grad) sigma^j at the lanes' state from their velocity; sigma goes into the second scratch
/// array, the first is left alone.
fn subtract_correction(system: &ClosedLoop<'_>, level: &Level<'_>, span: f64, lanes: &mut Lanes) {
    if let MatrixCoefficient::Scaled(_) = level.diffusion {
        return;
    }
    let (d, q) = (system.problem().dim(), system.problem().noise_dim());
    let Lanes { state, velocity, matrix: moved, scratch: [_, sigma, plus, minus], .. } = lanes;
    system.evaluate_diffusion(level, Points::new(state, d), sigma);
    moved.resize(d * LANES, 0.0);
    for j in 0..q {
        for (sign, values) in [(1.0, &mut *plus), (-1.0, &mut *minus)] {
            moved.copy_from_slice(state);
            for i in 0..d {
                sweep::add_scaled(&mut moved[i * LANES..][..LANES], sign * span, &sigma[(i * q + j) * LANES..][..LANES]);
            }
            system.evaluate_diffusion(level, Points::new(moved, d), values);
        }
        for i in 0..d {
            let entry = (i * q + j) * LANES..(i * q + j + 1) * LANES;
            let (a, plus, minus) = (&mut velocity[i * LANES..][..LANES], &plus[entry.clone()], &minus[entry]);
            for ((a, plus), minus) in a.iter_mut().zip(plus).zip(minus) {
                *a -= 0.25 / span * (plus - minus);
            }
        }
    }
}
