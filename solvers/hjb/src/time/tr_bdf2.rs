//! TR-BDF2: a trapezoidal stage over gamma h followed by a backward difference of order 2 over the whole step,
//!
//!   V_g - (gamma h/2) F_g(V_g) = V_old + (gamma h/2) F_old(V_old),
//!   V_new - w F_new(V_new) = [ V_g - (1 - gamma)^2 V_old ] / (gamma (2 - gamma)),     w = (1 - gamma) h / (2 - gamma).
//!
//! Order 2 and L-stable: high modes are damped by every step, so rough data need no start-up phase and long steps over
//! stiff problems do not ring. With gamma = 2 - sqrt 2 both stages have the same implicit weight h (1 - 1/sqrt 2) and the
//! error constant is the least. Costs two implicit stages per step; prefer [`super::CrankNicolson`] for smooth data and
//! steps short against the squared spacing, [`super::ImplicitEuler`] where monotonicity matters.
//! Reference: R. E. Bank, W. M. Coughran, W. Fichtner, E. H. Grosse, D. J. Rose, R. K. Smith, Transient simulation of
//! silicon devices and circuits, IEEE Trans. CAD 4 (1985) 436-451; M. E. Hosea, L. F. Shampine, Analysis and
//! implementation of TR-BDF2, Appl. Numer. Math. 20 (1996) 21-37.

use super::{Stage, TimeScheme};

/// The TR-BDF2 scheme with gamma = 2 - sqrt 2.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrBdf2;

impl TimeScheme for TrBdf2 {
    const NAME: &'static str = "tr-bdf2";
    const ORDER: u32 = 2;
    const MONOTONE: bool = false;

    fn stages(h: f64, steps: usize) -> Vec<Stage> {
        let gamma = 2.0 - std::f64::consts::SQRT_2;
        let implicit = 0.5 * gamma * h; // equals (1 - gamma) h / (2 - gamma)
        let older = -(1.0 - gamma).powi(2) / (gamma * (2.0 - gamma));
        let step = |k: usize| {
            let trapezoidal = Stage { offset: gamma * h, ..Stage::one_step(2 * k, gamma * h, implicit, implicit) };
            let backward = Stage { last: 1.0 - older, older, ..Stage::one_step(2 * k + 2, h - gamma * h, implicit, 0.0) };
            [trapezoidal, backward]
        };
        (0..steps).flat_map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faces::Face;
    use crate::generator::Generator;
    use crate::linear::LinearSolverChoice;
    use crate::space::Space;
    use crate::step::ImplicitSystem;
    use hjbridge_model::grid::{Axis, TensorGrid};
    use std::sync::Arc;

    /// Least second difference over the largest one after the stages of the heat equation from g = |x|.
    fn convexity(stages: &[Stage]) -> f64 {
        let n = 401;
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-4.0, 4.0, n).unwrap()]).unwrap());
        let x = grid.axis(0).nodes().to_vec();
        let mut generator = Generator::new(grid, Space::Hybrid.scheme(), Face::Extrapolated);
        let heat = generator.assemble(&vec![0.0; n], &vec![1.0; n]).unwrap();
        let mut system = ImplicitSystem::new(heat, LinearSolverChoice::Auto).unwrap();
        let mut value: Vec<f64> = x.iter().map(|x| x.abs()).collect();
        let (mut before, mut slope, mut load) = (value.clone(), vec![0.0; n], vec![0.0; n]);
        for stage in stages {
            heat.multiply(&value, &mut slope);
            stage.right_side(&value, &before, &slope, &mut load);
            before.copy_from_slice(&value);
            system.solve(stage.implicit, heat, &load, &mut value).unwrap();
        }
        let second: Vec<f64> = value.windows(3).map(|w| w[0] - 2.0 * w[1] + w[2]).collect();
        let (least, most) = second.iter().fold((0.0f64, 0.0f64), |(a, b), s| (a.min(*s), b.max(*s)));
        least / most
    }

    #[test]
    fn a_kink_leaves_no_oscillation_where_plain_crank_nicolson_rings() {
        // h/dx^2 = 250: E|x + B_1| is convex, so negative second differences are oscillations.
        let (h, steps) = (0.1, 11);
        let plain: Vec<Stage> = (1..=steps).map(|k| Stage::one_step(2 * k, h, 0.5 * h, 0.5 * h)).collect();
        assert!(convexity(&plain) < -0.5, "{}", convexity(&plain));
        assert!(convexity(&TrBdf2::stages(h, steps)) > -1e-6, "{}", convexity(&TrBdf2::stages(h, steps)));
    }
}
