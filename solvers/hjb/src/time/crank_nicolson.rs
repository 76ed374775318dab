//! Crank-Nicolson with Rannacher start-up: V_new - (h/2) F_new(V_new) = V_old + (h/2) F_old(V_old).
//!
//! Order 2, A-stable but not L-stable: rough data would ring for many steps. The first two steps (the first one when there
//! is only one) are therefore each replaced by two implicit Euler half steps, which damp the high modes and keep order 2.
//! Monotone only for h of the order of the squared spacing; prefer [`super::ImplicitEuler`] where monotonicity matters
//! and [`super::TrBdf2`] for rough data or steps that are long against the squared spacing.
//! Reference: R. Rannacher, Finite element solution of diffusion problems with irregular data, Numer. Math. 43 (1984)
//! 309-327.

use super::{Stage, TimeScheme};

/// Full steps replaced by two implicit Euler half steps each.
const START_UP_STEPS: usize = 2;

/// Crank-Nicolson with four implicit Euler half steps at the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct CrankNicolson;

impl TimeScheme for CrankNicolson {
    const NAME: &'static str = "crank-nicolson";
    const ORDER: u32 = 2;
    const MONOTONE: bool = false;

    fn stages(h: f64, steps: usize) -> Vec<Stage> {
        let start = START_UP_STEPS.min(steps);
        let half = 0.5 * h;
        let halves = (1..=2 * start).map(|p| Stage::one_step(p, half, half, 0.0));
        let full = (start + 1..=steps).map(|k| Stage::one_step(2 * k, h, half, half));
        halves.chain(full).collect()
    }
}
