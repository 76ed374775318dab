//! Implicit Euler: V_new - h F_new(V_new) = V_old.
//!
//! Order 1, unconditionally stable; with a monotone generator the scheme is monotone at every step size and converges to
//! the viscosity solution. Prefer [`super::CrankNicolson`] for smooth problems.
//! References: G. Barles, P. E. Souganidis, Asymptotic Anal. 4 (1991) 271-283; P. A. Forsyth, G. Labahn, Numerical methods
//! for controlled Hamilton-Jacobi-Bellman PDEs in finance, J. Comput. Finance 11 (2007) 1-44.

use super::{Stage, TimeScheme};

/// The implicit Euler scheme.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImplicitEuler;

impl TimeScheme for ImplicitEuler {
    const NAME: &'static str = "implicit-euler";
    const ORDER: u32 = 1;
    const MONOTONE: bool = true;

    fn stages(h: f64, steps: usize) -> Vec<Stage> {
        (1..=steps).map(|k| Stage::one_step(2 * k, h, h, 0.0)).collect()
    }
}
