//! A rare event in the logarithmic domain: reaching the other well.
//!
//! For dX = -U'(X) dt + sqrt(2) dB, U = alpha (x^2 - 1)^2 on [-2, 2] with reflecting walls, let tau be the time of hitting
//! [1, 2]. psi(x) = E_x[e^{-tau}] solves psi'' - U' psi' - psi = 0, psi = 1 on the target; V = -log psi solves
//!
//!   V'' - U' V' + 1 - (V')^2 = 0,   V = min_u E int_0^tau ( 1 + u^2/2 ) dt,   dX = ( -U' + sqrt(2) u ) dt + sqrt(2) dB,
//!
//! and the optimal force u = -sqrt(2) V' is the drift of the process conditioned to pay as little as possible.
//!
//! psi falls to e^{-alpha} across the barrier. The linear equation is solved for V itself (psi is never formed), so nothing
//! underflows. Policy iteration on the equation for V cannot start from no control, that is from the mean hitting time
//! e^{alpha}, when a linear system of that size has no digit left; it then finds a first control by a vanishing discount. It
//! is the more accurate of the two on the same grid, because it differences V, which bends less than psi.
//!
//! Reference: w = -V' solves w' = 1 + U' w - w^2, w(-2) = 0, and V(-1) = int_{-1}^1 w: one ordinary differential equation,
//! stable from left to right, by Runge-Kutta.
//!
//! Run: cargo run --release --example 10_rare_events
#![allow(non_snake_case)] // U and V are the letters of the equation

use hjbridge::bridge::octave_orders;
use hjbridge::hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfParams};
use hjbridge::hjb::{Face, LevelSet, Placement, Sense, StationaryParams, StationarySolver};
use hjbridge::model::{Axis, Coefficients, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, TensorGrid};
use std::f64::consts::SQRT_2;
use std::sync::Arc;

struct Well {
    alpha: f64,
}

impl Well {
    /// -U'.
    fn force(&self, x: f64) -> f64 {
        -4.0 * self.alpha * x * (x * x - 1.0)
    }

    /// V(-1) by the equation of w.
    fn reference(&self) -> f64 {
        let steps = 300_000;
        let h = 3.0 / steps as f64;
        let slope = |x: f64, w: f64| 1.0 - self.force(x) * w - w * w;
        let (mut w, mut V) = (0.0, 0.0);
        for k in 0..steps {
            let x = -2.0 + k as f64 * h;
            let k1 = slope(x, w);
            let k2 = slope(x + 0.5 * h, w + 0.5 * h * k1);
            let k3 = slope(x + 0.5 * h, w + 0.5 * h * k2);
            let k4 = slope(x + h, w + h * k3);
            let next = w + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4);
            if k >= steps / 3 {
                V += 0.5 * h * (w + next);
            }
            w = next;
        }
        V
    }
}

impl Coefficients for Well {
    fn drift(&self, x: Points<'_>, mut f: PointsMut<'_>) {
        for (f, x) in f.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *f = self.force(*x);
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(SQRT_2)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(SQRT_2)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn running_reward(&self, _x: Points<'_>, l: &mut [f64]) {
        l.fill(1.0); // a cost: the problem is solved with `Sense::Minimise`
    }
}

impl ControlledDiffusion for Well {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        1.0 // not used by the stationary solvers
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, _x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0); // not used either
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0);
    let (boundary, sense) = (Face::Reflecting.into(), Sense::Minimise);
    println!(
        "{:>6} {:>6} {:>14} {:>10} {:>6} {:>8} {:>11} {:>8}   policy iteration",
        "alpha", "nodes", "V(-1)", "error", "order", "decades", "iterations", "seconds"
    );
    for alpha in [1.0, 10.0, 30.0, 100.0] {
        let well = Well { alpha };
        let exact = well.reference();
        let (mut sizes, mut errors) = (Vec::new(), Vec::new());
        for nodes in [801, 1601, 3201, 6401] {
            let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.0, 2.0, nodes)?])?);
            let params = StationaryColeHopfParams { boundary, sense, ..StationaryColeHopfParams::default() };
            let solver = StationaryColeHopf::new(&well, grid.clone(), params)?.with_target(&target, Placement::SubCell);
            let (V, info) = solver.solve()?;
            let at = (nodes - 1) / 4;
            sizes.push(nodes - 1);
            errors.push((V.value()[at] - exact).abs());
            let order = match octave_orders(&sizes, &errors).last() {
                Some(Some(order)) => format!("{order:.2}"),
                _ => String::new(),
            };
            let params = StationaryParams { boundary, sense, ..StationaryParams::default() };
            let howard = StationarySolver::new(&well, grid, params)?.with_target(&target, Placement::SubCell);
            let howard = match howard.solve() {
                Ok((W, info)) => format!("{:+.1e} in {} iterations", W.value()[at] - exact, info.iterations),
                Err(e) => format!("refused: {e}"),
            };
            println!(
                "{alpha:>6} {nodes:>6} {:>14.9} {:>10.2e} {order:>6} {:>8.1} {:>11} {:>8.4}   {howard}",
                V.value()[at],
                V.value()[at] - exact,
                info.decades,
                info.iterations,
                info.seconds
            );
        }
    }
    Ok(())
}
