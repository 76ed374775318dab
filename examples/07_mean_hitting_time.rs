//! Mean hitting times, with the boundary of the target inside the cells or moved to the nodes.
//!
//! tau(x) = E_x[ time to reach the target ] solves  f.grad tau + (sigma^2/2) Lap tau + 1 = 0 outside it, tau = 0 on it.
//!
//! 1. Leaving the disc |x| < R, dX = -k X dt + sigma dB in the plane. Radially, with w(r) = k r^2/sigma^2,
//!
//!    tau(r) = (1/k) int_r^R (e^{w(s)} - 1)/s ds = (1/(2k)) sum_{n>=1} ( w(R)^n - w(r)^n ) / (n n!).
//!
//!    The circle falls between the nodes. Where it is placed on the edges it cuts (Shortley and Weller), the order is 2; where
//!    the nodes inside the target carry tau = 0, the disc becomes a staircase and the order is 1.
//! 2. The double well dX = -U'(X) dt + sqrt(2/beta) dB, U = (x^2 - 1)^2, beta = 1, reflected at -2, target [1, 2]:
//!
//!    tau(x) = beta int_x^1 e^{beta U(y)} int_{-2}^y e^{-beta U(z)} dz dy,
//!
//!    a double integral to be had to rounding by Simpson's rule.
//!
//! Run: cargo run --release --example 07_mean_hitting_time

use hjbridge::bridge::octave_orders;
use hjbridge::hjb::{Face, LevelSet, Placement, StationaryParams, StationarySolver};
use hjbridge::model::{Axis, Coefficients, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, TensorGrid};
use std::sync::Arc;

/// An uncontrolled diffusion with constant noise and running reward 1, so that its value is the mean time.
struct Clock {
    dim: usize,
    drift: fn(f64) -> f64,
    sigma: f64,
}

impl Coefficients for Clock {
    fn drift(&self, x: Points<'_>, mut f: PointsMut<'_>) {
        for i in 0..self.dim {
            for (f, x) in f.coord_mut(i).iter_mut().zip(x.coord(i)) {
                *f = (self.drift)(*x);
            }
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(0.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.sigma)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn running_reward(&self, _x: Points<'_>, l: &mut [f64]) {
        l.fill(1.0);
    }
}

impl ControlledDiffusion for Clock {
    fn dim(&self) -> usize {
        self.dim
    }
    fn control_dim(&self) -> usize {
        0
    }
    fn horizon(&self) -> f64 {
        1.0 // not used by the stationary solver
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, _x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0);
    }
}

const K: f64 = 1.5;
const SIGMA: f64 = 0.9;
const R: f64 = 1.0;

/// tau(r) of the disc, by its series.
fn disc(r: f64) -> f64 {
    let (outer, inner) = (K * R * R / (SIGMA * SIGMA), K * r * r / (SIGMA * SIGMA));
    let (mut a, mut b, mut sum) = (1.0, 1.0, 0.0); // w^n / n!
    for n in 1..60 {
        let n = f64::from(n);
        (a, b) = (a * outer / n, b * inner / n);
        sum += (a - b) / n;
    }
    sum / (2.0 * K)
}

/// tau(x) of the double well: Simpson's rule on `cells` intervals from -2 to 1, the inner integral carried along.
fn well(x: f64, cells: usize) -> f64 {
    let potential = |y: f64| (y * y - 1.0).powi(2);
    let h = 3.0 / cells as f64;
    let (mut inner, mut outer) = (0.0, 0.0);
    for k in 0..cells {
        let y = -2.0 + k as f64 * h;
        let e = |fraction: f64| (-potential(y + fraction * h)).exp();
        // The inner integral at y, y + h/2, y + h; to its middle by Simpson's rule on the half interval.
        let half = inner + h / 12.0 * (e(0.0) + 4.0 * e(0.25) + e(0.5));
        let full = half + h / 12.0 * (e(0.5) + 4.0 * e(0.75) + e(1.0));
        if y > x - 0.25 * h {
            outer += h / 6.0 * (inner / e(0.0) + 4.0 * half / e(0.5) + full / e(1.0));
        }
        inner = full;
    }
    outer
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let radius = |x: &[f64]| (x[0] * x[0] + x[1] * x[1]).sqrt();
    let clock = Clock { dim: 2, drift: |x| -K * x, sigma: SIGMA };
    let target = LevelSet::new(|x: &[f64]| R - radius(x), |_: &[f64]| 0.0);
    println!("1. leaving the disc: tau(0) = {:.9}; sup error over the nodes in the disc", disc(0.0));
    println!("{:>7} {:>11} {:>6} {:>11} {:>6} {:>8}", "nodes", "sub-cell", "order", "staircase", "order", "seconds");
    let (mut sizes, mut fine, mut coarse) = (Vec::new(), Vec::new(), Vec::new());
    for nodes in [31, 61, 121, 241] {
        let axis = Axis::uniform(-1.13, 1.13, nodes)?;
        let grid = Arc::new(TensorGrid::new(vec![axis.clone(), axis])?);
        let x = grid.points();
        let mut seconds = 0.0;
        for (placement, errors) in [(Placement::SubCell, &mut fine), (Placement::Staircase, &mut coarse)] {
            let solver = StationarySolver::new(&clock, grid.clone(), StationaryParams::default())?;
            let (tau, info) = solver.with_target(&target, placement).solve()?;
            let mut error = 0.0f64;
            for j in 0..grid.len() {
                let r = radius(&[x.coord(0)[j], x.coord(1)[j]]);
                if r < R {
                    error = error.max((tau.value()[j] - disc(r)).abs());
                }
            }
            errors.push(error);
            seconds += info.seconds;
        }
        sizes.push(nodes - 1);
        let order = |errors: &[f64]| match octave_orders(&sizes, errors).last() {
            Some(Some(order)) => format!("{order:.2}"),
            _ => String::new(),
        };
        let last = sizes.len() - 1;
        println!(
            "{nodes:>5}^2 {:>11.3e} {:>6} {:>11.3e} {:>6} {seconds:>8.2}",
            fine[last],
            order(&fine),
            coarse[last],
            order(&coarse)
        );
    }
    let overall = |e: &[f64]| (e[0] / e[e.len() - 1]).log2() / (e.len() - 1) as f64;
    println!(
        "  order over the three doublings: {:.2} and {:.2} (cut edges fall differently on every grid)",
        overall(&fine),
        overall(&coarse)
    );

    let exact = well(-1.0, 6000);
    println!("2. double well: tau(-1) = {exact:.9} (twice the intervals: {:+.0e})", well(-1.0, 12000) - exact);
    let clock = Clock { dim: 1, drift: |x| -4.0 * x * (x * x - 1.0), sigma: 2.0f64.sqrt() };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0);
    let params = StationaryParams { boundary: Face::Reflecting.into(), ..StationaryParams::default() };
    println!("{:>7} {:>13} {:>10} {:>6}", "nodes", "tau(-1)", "error", "order");
    let (mut sizes, mut errors) = (Vec::new(), Vec::new());
    for nodes in [101, 201, 401, 801, 1601] {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.0, 2.0, nodes)?])?);
        let (tau, _) = StationarySolver::new(&clock, grid, params)?.with_target(&target, Placement::SubCell).solve()?;
        let at = tau.value()[(nodes - 1) / 4];
        sizes.push(nodes - 1);
        errors.push((at - exact).abs());
        let order = match octave_orders(&sizes, &errors).last() {
            Some(Some(order)) => format!("{order:.2}"),
            _ => String::new(),
        };
        println!("{nodes:>7} {at:>13.9} {:>10.2e} {order:>6}", at - exact);
    }
    Ok(())
}
