//! A double well: the benchmark of stochastic optimal control matching, and what refinement does to its solution.
//!
//! Minimise  E[ int_0^1 u^2/2 dt + nu (X_1^2 - 1)^2 ]  for  dX = ( -4 kappa X (X^2 - 1) + u ) dt + dB,  kappa = 5, nu = 3:
//!
//!   V_t - 4 kappa x (x^2 - 1) V_x + V_xx/2 - V_x^2/2 = 0,   V(1,x) = nu (x^2 - 1)^2,   u* = -V_x.
//!
//! The setting of Domingo-Enrich, Han, Amos, Bruna, Chen, *Stochastic Optimal Control Matching* (arXiv:2312.02027), one
//! coordinate. The barrier kappa is ten times the temperature 1/2, the drift at the faces x = +-2.75 is 361, and at t = 0
//! the control in the wells is 1e-10. A grid solution in single precision, published as its ground truth, grows worse under
//! refinement, because rounding of the order eps V / dx^2 enters the generator; here the errors must keep falling.
//!
//! The reference values below, at x = 0, 0.1, 0.5, 1, 1.5, were computed independently in double precision (reflecting
//! walls, Richardson extrapolation, extrapolants within 1e-10; 5e-8 at t = 0.9).
//!
//! Coordinates are independent, so the ten-dimensional setting (three wells as above, seven with kappa = nu = 1) costs two
//! equations on the line: its optimum from the origin is 3 V_{5,3}(0,0) + 7 V_{1,1}(0,0).
//!
//! Run: cargo run --release --example 06_double_well
#![allow(non_snake_case)] // V is the letter of the equation

use hjbridge::hjb::smooth::{Integrator, Output, SmoothParams, SmoothSolver};
use hjbridge::hjb::{HjbParams, HjbSolver, Sense, Time, ValueFunction};
use hjbridge::model::{Axis, Coefficients, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, TensorGrid};
use std::sync::Arc;

const WALL: f64 = 2.75;
const POINTS: [f64; 5] = [0.0, 0.1, 0.5, 1.0, 1.5];

/// (t, V at the five points, u at the last four; u(t,0) = 0 by symmetry), for kappa = 5, nu = 3.
const REFERENCE: [(f64, [f64; 5], [f64; 4]); 3] = [
    (0.0, [0.1366518398, 0.1366518294, 0.1366517781, 0.1366517766, 0.1366517766], [1.884e-7, 1.75e-8, 1e-10, 0.0]),
    (
        0.5,
        [0.1371853068, 0.1370975974, 0.1366640137, 0.1366516039, 0.1366513591],
        [0.0015909786, 0.0001483780, 1.1671e-6, 2.009e-7],
    ),
    (0.9, [0.90584174, 0.77836415, 0.18689811, 0.13537158, 0.13102760], [2.2220490, 0.3680541, 0.0185796, 0.0038101]),
];

/// One coordinate. Its coefficients do not depend on t, so it is its own [`Coefficients`]. The library maximises
/// g - int u^2/2; `sign` is -1 for that. (`Sense::Minimise` of the grid solver takes costs as they are.)
struct DoubleWell {
    kappa: f64,
    nu: f64,
    sign: f64,
}

impl Coefficients for DoubleWell {
    fn drift(&self, x: Points<'_>, mut f: PointsMut<'_>) {
        for (f, x) in f.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *f = -4.0 * self.kappa * x * (x * x - 1.0);
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for DoubleWell {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        1.0
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, g: &mut [f64]) {
        for (g, x) in g.iter_mut().zip(x.coord(0)) {
            *g = self.sign * self.nu * (x * x - 1.0).powi(2);
        }
    }
}

/// V (as a cost) and u at a point that is a node, at time t.
struct Answer {
    solution: ValueFunction,
    sign: f64,
    seconds: f64,
}

impl Answer {
    fn errors(&self) -> Result<Vec<(f64, f64)>, Box<dyn std::error::Error>> {
        let axis = self.solution.grid().axis(0);
        let nodes = POINTS.map(|x| axis.nodes().iter().position(|y| (x - y).abs() < 1e-9));
        let mut out = Vec::new();
        for (t, V, u) in REFERENCE {
            let (value, control) = (self.solution.at_time(t)?, self.solution.control_at_time(t)?);
            let (mut error_V, mut error_u) = (0.0f64, 0.0f64);
            for (i, node) in nodes.iter().enumerate() {
                let j = node.ok_or("a point of the table is not a node")?;
                error_V = error_V.max((self.sign * value.values()[j] - V[i]).abs());
                error_u = error_u.max((control[j] - if i == 0 { 0.0 } else { u[i - 1] }).abs());
            }
            out.push((error_V, error_u));
        }
        Ok(out)
    }
}

fn line(nodes: usize) -> Result<Arc<TensorGrid>, Box<dyn std::error::Error>> {
    Ok(Arc::new(TensorGrid::new(vec![Axis::uniform(-WALL, WALL, nodes)?])?))
}

/// The monotone three-point scheme with TR-BDF2: order 2.
fn three_point(nodes: usize, steps: usize, (kappa, nu): (f64, f64)) -> Result<Answer, Box<dyn std::error::Error>> {
    let problem = DoubleWell { kappa, nu, sign: 1.0 };
    let params = HjbParams { steps, time: Time::TrBdf2, sense: Sense::Minimise, ..HjbParams::default() };
    let (solution, info) = HjbSolver::new(&problem, line(nodes)?, params)?.solve()?;
    Ok(Answer { solution, sign: 1.0, seconds: info.seconds })
}

/// Central differences of order 8 with BDF in time.
fn smooth(nodes: usize, tolerance: f64, (kappa, nu): (f64, f64)) -> Result<Answer, Box<dyn std::error::Error>> {
    let problem = DoubleWell { kappa, nu, sign: -1.0 };
    let params = SmoothParams {
        integrator: Integrator::Bdf,
        rtol: tolerance,
        atol: tolerance,
        output: Output::Times(vec![0.0, 0.5, 0.9, 1.0]),
        ..SmoothParams::default()
    };
    let (solution, info) = SmoothSolver::new(&problem, line(nodes)?, params)?.solve()?;
    Ok(Answer { solution, sign: -1.0, seconds: info.seconds })
}

fn print(name: &str, nodes: usize, detail: String, answer: &Answer) -> Result<(), Box<dyn std::error::Error>> {
    print!("{name:>12} {nodes:>6} {detail:>10} {:>8.2}", answer.seconds);
    for (error_V, error_u) in answer.errors()? {
        print!("  {error_V:>8.1e} {error_u:>8.1e}");
    }
    println!();
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wells = (5.0, 3.0);
    println!("largest error of V and of u at the five points; the table itself is good to 1e-10 (5e-8 at t = 0.9)");
    println!(
        "{:>12} {:>6} {:>10} {:>8}  {:^17}  {:^17}  {:^17}",
        "scheme", "nodes", "", "seconds", "t = 0", "t = 0.5", "t = 0.9"
    );
    for nodes in [221, 441, 881, 1761, 3521] {
        let steps = 5 * (nodes - 1) / 11;
        print("three-point", nodes, format!("{steps} steps"), &three_point(nodes, steps, wells)?)?;
    }
    for (nodes, tolerance) in [(221, 1e-8), (441, 1e-10), (881, 1e-11)] {
        print("order 8", nodes, format!("{tolerance:.0e}"), &smooth(nodes, tolerance, wells)?)?;
    }

    let finest = smooth(881, 1e-11, wells)?;
    let (value, control) = (finest.solution.at_time(0.0)?, finest.solution.control_at_time(0.0)?);
    let at = |x: f64| finest.solution.grid().axis(0).nodes().iter().position(|y| (x - y).abs() < 1e-9).unwrap_or(0);
    println!(
        "order 8, t = 0: V(0) = {:.10}, u(0.1) = {:.4e}, u(1) = {:.1e}",
        -value.values()[at(0.0)],
        control[at(0.1)],
        control[at(1.0)]
    );

    let shallow = smooth(881, 1e-11, (1.0, 1.0))?;
    let optimum = -3.0 * value.values()[at(0.0)] - 7.0 * shallow.solution.at_time(0.0)?.values()[at(0.0)];
    println!("ten dimensions: optimum {optimum:.6}, reference 2.087426");
    Ok(())
}
