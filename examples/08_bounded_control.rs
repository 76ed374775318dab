//! Bounded control: bang-bang is optimal, and the equation has a closed form.
//!
//! Keep a Brownian particle near the origin with a bounded force that costs nothing: minimise
//!
//!   E int_0^infinity e^{-rho t} X^2 dt,   dX = v dt + sigma dB,   |v| <= 1.
//!
//! The equation  rho V = x^2 + (sigma^2/2) V'' + min_{|v| <= 1} v V'  has v* = -sign(x), and with V'(0) = 0, for x > 0,
//!
//!   V(x) = x^2/rho - 2 x/rho^2 + 2/rho^3 + sigma^2/rho^2 - 2 e^{-k x}/(k rho^2),   k = (sqrt(1 + 2 rho sigma^2) - 1)/sigma^2,
//!
//! V(-x) = V(x). V''' jumps at the origin. The problem is that of V. E. Benes, L. A. Shepp, H. S. Witsenhausen, Some solvable
//! stochastic control problems, Stochastics 4 (1980) 39-83.
//!
//! 1. The control set {-1, 1} (or {-1, 0, 1}): the maximum is taken over the set at each node.
//! 2. The interval [-1, 1] with the cost R v^2/2, R -> 0: v = clip(-V'/R), and V_R - V lies between 0 and R/(2 rho), since
//!    the cost of any control does.
//!
//! Run: cargo run --release --example 08_bounded_control
#![allow(non_snake_case)] // V and R are the letters of the equation

use hjbridge::bridge::octave_orders;
use hjbridge::hjb::{Sense, StationaryInfo, StationaryParams, StationarySolver, StationaryValue};
use hjbridge::model::{
    Axis, Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, TensorGrid,
};
use std::sync::Arc;

const RHO: f64 = 1.0;
const SIGMA: f64 = 1.0;

/// The box is far wider than the interval of comparison: what the faces do wrong decays like exp(-2.7 distance) inwards.
const BOX: f64 = 12.0;
const COMPARE: f64 = 4.0;

struct Particle {
    set: ControlSet,
    cost: ControlCost,
    R: f64,
}

impl Coefficients for Particle {
    fn drift(&self, _x: Points<'_>, mut f: PointsMut<'_>) {
        f.fill(0.0);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(SIGMA)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(self.R)
    }
    // The control costs nothing: `control_cost` keeps its default, zero (read for `ControlCost::General` only).
    fn running_reward(&self, x: Points<'_>, l: &mut [f64]) {
        for (l, x) in l.iter_mut().zip(x.coord(0)) {
            *l = x * x; // a cost: the problem is solved with `Sense::Minimise`
        }
    }
}

impl ControlledDiffusion for Particle {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        1.0 // not used by the stationary solver
    }
    fn discount(&self) -> f64 {
        RHO
    }
    fn control_set(&self) -> ControlSet {
        self.set.clone()
    }
    fn control_cost(&self) -> ControlCost {
        self.cost
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, _x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0); // not used either
    }
}

fn exact(x: f64) -> f64 {
    let (x, k) = (x.abs(), ((1.0 + 2.0 * RHO * SIGMA * SIGMA).sqrt() - 1.0) / (SIGMA * SIGMA));
    let particular = x * x / RHO - 2.0 * x / RHO.powi(2) + 2.0 / RHO.powi(3) + (SIGMA / RHO).powi(2);
    particular - 2.0 * (-k * x).exp() / (k * RHO * RHO)
}

fn solve(problem: &Particle, nodes: usize) -> Result<(StationaryValue, StationaryInfo), Box<dyn std::error::Error>> {
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-BOX, BOX, nodes)?])?);
    let params = StationaryParams { sense: Sense::Minimise, ..StationaryParams::default() };
    Ok(StationarySolver::new(problem, grid, params)?.solve()?)
}

/// sup over |x| <= COMPARE of V - exact, and how many nodes there have another control than -sign(x).
fn compare(V: &StationaryValue) -> (f64, usize) {
    let (mut error, mut wrong) = (0.0f64, 0);
    for (j, &x) in V.grid().axis(0).nodes().iter().enumerate().filter(|(_, x)| x.abs() <= COMPARE) {
        error = error.max((V.value()[j] - exact(x)).abs());
        if x.abs() > 1e-9 && V.control()[j] != -x.signum() {
            wrong += 1;
        }
    }
    (error, wrong)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("rho = {RHO}, sigma = {SIGMA}, V(0) = {:.9}; sup over |x| <= {COMPARE}, box |x| <= {BOX}", exact(0.0));
    println!("{:>10} {:>6} {:>10} {:>6} {:>14} {:>11}", "controls", "nodes", "error V", "order", "wrong controls", "iterations");
    for controls in [vec![-1.0, 1.0], vec![-1.0, 0.0, 1.0]] {
        let name = if controls.len() == 2 { "{-1, 1}" } else { "{-1, 0, 1}" };
        let set = ControlSet::Finite { controls: controls.iter().map(|v| vec![*v]).collect() };
        let problem = Particle { set, cost: ControlCost::General, R: 1.0 };
        let (mut sizes, mut errors) = (Vec::new(), Vec::new());
        for nodes in [121, 241, 481, 961, 1921] {
            let (V, info) = solve(&problem, nodes)?;
            let (error, wrong) = compare(&V);
            sizes.push(nodes - 1);
            errors.push(error);
            let order = match octave_orders(&sizes, &errors).last() {
                Some(Some(order)) => format!("{order:.2}"),
                _ => String::new(),
            };
            println!("{name:>10} {nodes:>6} {error:>10.2e} {order:>6} {wrong:>14} {:>11}", info.iterations);
        }
    }

    println!("the interval [-1, 1] with the cost R v^2/2, against {{-1, 1}} on the same 1921 nodes");
    println!("{:>8} {:>14} {:>12} {:>14}", "R", "V_R(0) - V(0)", "R/(2 rho)", "|v| < 1 until");
    let set = ControlSet::Finite { controls: vec![vec![-1.0], vec![1.0]] };
    let (free, _) = solve(&Particle { set, cost: ControlCost::General, R: 1.0 }, 1921)?;
    for R in [1.0, 0.1, 0.01, 0.001] {
        let set = ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] };
        let (V, _) = solve(&Particle { set, cost: ControlCost::Quadratic, R }, 1921)?;
        let middle = (V.value().len() - 1) / 2;
        let x = V.grid().axis(0).nodes();
        let saturated = (middle..x.len()).find(|&j| V.control()[j] <= -1.0).map_or(f64::NAN, |j| x[j]);
        println!("{R:>8} {:>14.6} {:>12} {saturated:>14.4}", V.value()[middle] - free.value()[middle], R / (2.0 * RHO));
    }
    Ok(())
}
