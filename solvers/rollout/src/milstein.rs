//! The Milstein scheme without derivatives.
//!
//!   X_{k+1} = X_k + h a + sqrt(h) sigma xi
//!             + (sqrt(h)/2) sum_{j1,j2} [ sigma^{j2}(t_k, X_k + sqrt(h) sigma^{j1}) - sigma^{j2} ] (xi_{j1} xi_{j2} - delta_{j1 j2}),
//!
//! with a = f + G v and sigma at (t_k, X_k), sigma^j its columns. The difference quotient of sigma along its own columns is
//! taken over sqrt(h), the length that the scheme's order calls for, so nothing but values of the coefficients is needed.
//! Cost and reward: left end point.
//!
//! Strong order 1 for commutative noise ((sigma^i . grad) sigma^j = (sigma^j . grad) sigma^i: scalar noise, diagonal noise, a
//! sigma that does not depend on x), weak order 1. Otherwise the areas between the components of the Brownian path, which
//! the scheme does not have, leave strong order 1/2: it still converges, no faster than Euler-Maruyama. With
//! [`Milstein::Diagonal`] (q = d, entry (i, i) depends on x_i only, the others vanish) all columns are moved at once: one
//! further evaluation of sigma a step instead of q. The stability condition is that of Euler-Maruyama in the drift, and a
//! tighter one in sigma. Prefer Euler-Maruyama when sigma does not depend on x (the two are then the same) or when only the
//! law matters.
//!
//! References: Milstein, *Approximate integration of stochastic differential equations*, Theory Probab. Appl. 19 (1974);
//! Kloeden, Platen, *Numerical Solution of Stochastic Differential Equations* (Springer, 1992), section 11.1.

use hjbridge_model::{MatrixCoefficient, Points};

use crate::closed_loop::{ClosedLoop, add_matrix_product};
use crate::error::RolloutError;
use crate::lanes::Lanes;
use crate::noise::LANES;
use crate::scheme::SdeScheme;
use crate::sweep;

/// The Milstein scheme, by the structure of the noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Milstein {
    /// sigma is diagonal and its entry (i, i) depends on x_i only.
    #[default]
    Diagonal,
    /// The columns of sigma commute; q evaluations of sigma more a step.
    Commutative,
}

impl SdeScheme for Milstein {
    const NAME: &'static str = "Milstein";
    const STRONG_ORDER: f64 = 1.0;
    const WEAK_ORDER: f64 = 1.0;

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!({ "noise": self })
    }

    fn prepare(&mut self, system: &ClosedLoop<'_>) -> Result<(), RolloutError> {
        let (found, expected) = (system.problem().noise_dim(), system.problem().dim());
        if *self == Milstein::Diagonal && found != expected {
            return Err(RolloutError::Dimension { what: "noise dimension for Milstein::Diagonal", found, expected });
        }
        Ok(())
    }

    fn step(&self, system: &ClosedLoop<'_>, k: usize, noise: &[f64], lanes: &mut Lanes) {
        let (h, level) = (system.step_length(k), system.level(k));
        let (d, q, root) = (system.problem().dim(), system.problem().noise_dim(), h.sqrt());
        system.evaluate_control(level, lanes);
        system.accumulate(level, h, lanes);
        system.evaluate_velocity(level, lanes);
        // The increment is built in place of the velocity.
        let Lanes { state, velocity: increment, stage_state: moved, scratch: [sigma, shifted, ..], matrix, .. } = lanes;
        increment.iter_mut().for_each(|f| *f *= h);
        if let MatrixCoefficient::Scaled(_) = level.diffusion {
            system.add_noise(level, root, noise, Points::new(state, d), matrix, increment);
        } else {
            system.evaluate_diffusion(level, Points::new(state, d), sigma);
            add_matrix_product(sigma, q, noise, root, increment);
            let entry = |i: usize, j: usize| (i * q + j) * LANES..(i * q + j + 1) * LANES;
            let row = |i: usize| i * LANES..(i + 1) * LANES;
            match self {
                Milstein::Diagonal => {
                    moved.copy_from_slice(state);
                    for i in 0..d {
                        sweep::add_scaled(&mut moved[row(i)], root, &sigma[entry(i, i)]);
                    }
                    system.evaluate_diffusion(level, Points::new(moved, d), shifted);
                    for i in 0..d {
                        let (s, t, xi) = (&sigma[entry(i, i)], &shifted[entry(i, i)], &noise[row(i)]);
                        for (((dx, s), t), xi) in increment[row(i)].iter_mut().zip(s).zip(t).zip(xi) {
                            *dx += 0.5 * root * (t - s) * (xi * xi - 1.0);
                        }
                    }
                }
                Milstein::Commutative => {
                    for j in 0..q {
                        moved.copy_from_slice(state);
                        for i in 0..d {
                            sweep::add_scaled(&mut moved[row(i)], root, &sigma[entry(i, j)]);
                        }
                        system.evaluate_diffusion(level, Points::new(moved, d), shifted);
                        for (i, l) in (0..d).flat_map(|i| (0..q).map(move |l| (i, l))) {
                            let (s, t) = (&sigma[entry(i, l)], &shifted[entry(i, l)]);
                            let delta = if j == l { 1.0 } else { 0.0 };
                            let (dx, xi, xj) = (&mut increment[row(i)], &noise[row(l)], &noise[row(j)]);
                            for ((((dx, s), t), xi), xj) in dx.iter_mut().zip(s).zip(t).zip(xi).zip(xj) {
                                *dx += 0.5 * root * (t - s) * (xi * xj - delta);
                            }
                        }
                    }
                }
            }
        }
        for (x, dx) in state.iter_mut().zip(increment) {
            *x += *dx;
        }
    }
}
