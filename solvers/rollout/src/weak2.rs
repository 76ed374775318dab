//! Platen's explicit scheme of weak order 2, for any noise.
//!
//! With a = f + G v, the columns sigma^j and the increments W_j = sqrt(h) xi_j:
//!
//!   Y      = X_k + h a + sum_j sigma^j W_j,      R_j^± = X_k + h a ± sqrt(h) sigma^j,      U_r^± = X_k ± sqrt(h) sigma^r,
//!   X_{k+1} = X_k + (h/2) [ a + a(t_{k+1}, Y) ]
//!     + (1/4) sum_j { [ sigma^j(R_j^+) + sigma^j(R_j^-) + 2 sigma^j ] W_j
//!                     + [ sigma^j(R_j^+) - sigma^j(R_j^-) ] (W_j^2 - h) / sqrt(h) }
//!     + (1/4) sum_{j, r != j} { [ sigma^j(U_r^+) + sigma^j(U_r^-) - 2 sigma^j ] W_j
//!                     + [ sigma^j(U_r^+) - sigma^j(U_r^-) ] (W_j W_r + V_{rj}) / sqrt(h) },
//!
//! R at t_{k+1}, U at t_k. V_{rj} = -V_{jr} = ±h with probability 1/2 each, independent of W and pairwise uncorrelated: for
//! r < j it is h times the product of the signs of zeta_r and zeta_j, the step's second normal numbers. Cost and reward:
//! trapezoidal rule, at (t_k, X_k) and (t_{k+1}, Y).
//!
//! Weak order 2, also for the objective, without any condition on the noise. Strong order 1/2 in general (the V are not the
//! path's own areas), 1 for commutative noise. 4 q + 1 evaluations of sigma a step (3 when q = 1, none where sigma is a
//! multiple of the identity) besides two of drift and feedback; h L below 2 for stability. Prefer stochastic Heun or
//! the Runge-Kutta scheme when sigma does not depend on x; prefer Euler-Maruyama with extrapolation in h when sigma is
//! costly and q is large.
//!
//! References: Platen, in Kloeden, Platen, *Numerical Solution of Stochastic Differential Equations* (Springer, 1992),
//! section 15.1, equation (1.3); Talay, *Discrétisation d'une équation différentielle stochastique et calcul approché
//! d'espérances de fonctionnelles de la solution*, Math. Model. Numer. Anal. 20 (1986).

use hjbridge_model::{MatrixCoefficient, Points};

use crate::closed_loop::{ClosedLoop, add_matrix_product};
use crate::lanes::Lanes;
use crate::noise::LANES;
use crate::scheme::{SdeScheme, StageTimes};
use crate::sweep;

/// Platen's explicit scheme of weak order 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlatenWeak2;

impl SdeScheme for PlatenWeak2 {
    const NAME: &'static str = "Platen weak order 2";
    const STRONG_ORDER: f64 = 0.5;
    const WEAK_ORDER: f64 = 2.0;
    const NORMALS: usize = 2;
    const STAGES: StageTimes = StageTimes::END;

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let (h, now, next) = (system.step_length(k), system.level(k), system.level(k + 1));
        let (d, root) = (system.problem().dim(), h.sqrt());
        let (xi, zeta) = noise.split_at(noise.len() / 2);
        system.evaluate_control(now, lanes);
        system.accumulate(now, 0.5 * h, lanes);
        system.evaluate_velocity(now, lanes);

        let additive = matches!((&now.diffusion, &next.diffusion), (MatrixCoefficient::Scaled(_), MatrixCoefficient::Scaled(_)));
        let Lanes { state, velocity, stage_state, scratch: [increment, sigma, ..], matrix, .. } = lanes;
        increment.clear();
        increment.resize(state.len(), 0.0);
        if additive {
            system.add_noise(now, root, xi, Points::new(state, d), matrix, increment);
        } else {
            system.evaluate_diffusion(now, Points::new(state, d), sigma);
            add_matrix_product(sigma, system.problem().noise_dim(), xi, root, increment);
        }
        for (((y, x), a), dw) in stage_state.iter_mut().zip(&*state).zip(&*velocity).zip(&*increment) {
            *y = x + (h * a + dw);
        }
        system.evaluate_stage(next, 0.5 * h, lanes);

        if additive {
            let Lanes { state, scratch: [increment, ..], matrix, .. } = lanes;
            system.add_noise(next, root, xi, Points::new(state, d), matrix, increment);
            increment.iter_mut().for_each(|dw| *dw *= 0.5);
        } else {
            build_increment(system, k, xi, zeta, lanes);
        }
        let Lanes { state, velocity, stage_velocity, scratch: [increment, ..], .. } = lanes;
        for (((x, a), b), dw) in state.iter_mut().zip(velocity).zip(stage_velocity).zip(increment) {
            *x += 0.5 * h * (*a + *b) + *dw;
        }
    }
}

/// The part of X_{k+1} - X_k that comes from the noise, into the first scratch array; the second holds sigma(t_k, X_k).
fn build_increment(system: &ClosedLoop<'_>, k: usize, xi: &[f64], zeta: &[f64], lanes: &mut Lanes) {
    let (h, now, next) = (system.step_length(k), system.level(k), system.level(k + 1));
    let (d, q, root) = (system.problem().dim(), system.problem().noise_dim(), h.sqrt());
    let Lanes { state, velocity, matrix: moved, scratch: [increment, sigma, plus, minus], .. } = lanes;
    increment.fill(0.0);
    moved.resize(d * LANES, 0.0);
    let row = |i: usize| i * LANES..(i + 1) * LANES;
    for r in 0..q {
        // R_r^± at t_{k+1} for column r, U_r^± at t_k for the others.
        for (level, shift) in [(next, h), (now, 0.0)] {
            let own = shift > 0.0;
            if !own && q == 1 {
                continue;
            }
            for (sign, values) in [(1.0, &mut *plus), (-1.0, &mut *minus)] {
                moved.copy_from_slice(state);
                if own {
                    sweep::add_scaled(moved, shift, velocity);
                }
                for i in 0..d {
                    sweep::add_scaled(&mut moved[row(i)], sign * root, &sigma[row(i * q + r)]);
                }
                system.evaluate_diffusion(level, Points::new(moved, d), values);
            }
            for j in (0..q).filter(|&j| (j == r) == own) {
                for lane in 0..LANES {
                    let (x, y) = (xi[j * LANES + lane], xi[r * LANES + lane]);
                    // (W_j W_r + V_rj)/h, where V_jj = -h.
                    let sign = if r < j { 1.0 } else { -1.0 };
                    let v = if own { -1.0 } else { 1f64.copysign(sign * zeta[j * LANES + lane] * zeta[r * LANES + lane]) };
                    let product = x * y + v;
                    let centre = if own { 2.0 } else { -2.0 };
                    for i in 0..d {
                        let entry = (i * q + j) * LANES + lane;
                        let (s, p, m) = (sigma[entry], plus[entry], minus[entry]);
                        increment[i * LANES + lane] += 0.25 * root * ((p + m + centre * s) * x + (p - m) * product);
                    }
                }
            }
        }
    }
}
