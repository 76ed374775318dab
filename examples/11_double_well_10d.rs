//! A control problem in ten dimensions: the bias of Euler-Maruyama, and multilevel Monte Carlo that does not have it.
//!
//! Minimise  J = E[ int_0^1 |u|^2/2 dt + sum_i nu_i (X_i(1)^2 - 1)^2 ]  from X(0) = 0 for
//!   dX_i = ( -4 kappa_i X_i (X_i^2 - 1) + u_i ) dt + dB_i,   kappa = nu = 1, but kappa = 5, nu = 3 for the first three.
//!
//! The setting of Domingo-Enrich, Han, Amos, Bruna, Chen, *Stochastic Optimal Control Matching* (arXiv:2312.02027). Coordinates
//! are independent, so two equations on the line give the optimal control, u_i = -V_x, and the optimum, 2.087426.
//!
//! 1. Euler-Maruyama with N steps has J_N = J + O(1/N): at 1600 steps the bias is still ten times an error of 1e-3. The
//!    value function's martingale sum u(t_k, X_k)' dB, taken out as a control variate, leaves a variance of O(1/N).
//! 2. Multilevel Monte Carlo asks for the error, not for N. The noise is additive, so V(J_l - J_{l-1}) ~ N_l^-2, and all levels
//!    together cost little more than sampling the coarsest one; a plain run on the finest level, which has the same bias and
//!    standard error, costs V(J_L) N_L / (sum_l sqrt(V_l C_l))^2 times more.
//!
//! The two do not combine: what the martingale leaves is noise of the step, which is independent from level to level
//! (V ~ 1/N, as if the strong order were 1/2).
//!
//! Takes about half a minute on two cores.
//!
//! Run: cargo run --release --example 11_double_well_10d
#![allow(non_snake_case)] // J, N, V are the letters of the equation

use hjbridge::hjb::{HjbParams, HjbSolver, Time};
use hjbridge::model::{
    Axis, Coefficients, ControlledDiffusion, CoordinatewiseFeedback, Extrapolation, Feedback, Interpolation, MatrixCoefficient,
    Points, PointsMut, TensorGrid,
};
use hjbridge::rollout::estimators::{ControlVariateParams, control_variate};
use hjbridge::rollout::multilevel::{MultilevelParams, multilevel};
use hjbridge::rollout::{Ensemble, Estimate, InitialState, RolloutParams};
use std::sync::Arc;

const OPTIMUM: f64 = 2.087426;
const PUBLISHED_ERROR: f64 = 0.0032;
const PATHS: usize = 16_384;

/// Independent double wells; the library maximises -sum nu (x^2 - 1)^2 - int |u|^2/2.
struct DoubleWells {
    kappa: Vec<f64>,
    nu: Vec<f64>,
}

impl Coefficients for DoubleWells {
    fn drift(&self, x: Points<'_>, mut f: PointsMut<'_>) {
        for (i, kappa) in self.kappa.iter().enumerate() {
            for (f, x) in f.coord_mut(i).iter_mut().zip(x.coord(i)) {
                *f = -4.0 * kappa * x * (x * x - 1.0);
            }
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

impl ControlledDiffusion for DoubleWells {
    fn dim(&self) -> usize {
        self.kappa.len()
    }
    fn control_dim(&self) -> usize {
        self.kappa.len()
    }
    fn horizon(&self) -> f64 {
        1.0
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0);
        for (i, nu) in self.nu.iter().enumerate() {
            for (g, x) in g.iter_mut().zip(x.coord(i)) {
                *g -= nu * (x * x - 1.0) * (x * x - 1.0);
            }
        }
    }
}

/// The optimal control of one coordinate as a table, and V(0,0) as a cost.
fn line(kappa: f64, nu: f64) -> Result<(Arc<dyn Feedback>, f64), Box<dyn std::error::Error>> {
    let problem = DoubleWells { kappa: vec![kappa], nu: vec![nu] };
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.75, 2.75, 881)?])?);
    let params = HjbParams { steps: 800, time: Time::TrBdf2, ..HjbParams::default() };
    let (V, _) = HjbSolver::new(&problem, grid, params)?.solve()?;
    Ok((Arc::new(V.feedback(Interpolation::Cubic, Extrapolation::Linear)?), -V.value(0)[440]))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (deep, V_deep) = line(5.0, 3.0)?;
    let (shallow, V_shallow) = line(1.0, 1.0)?;
    let u = CoordinatewiseFeedback::new((0..10).map(|i| if i < 3 { deep.clone() } else { shallow.clone() }).collect())?;
    let choose = |a: f64, b: f64| (0..10).map(|i| if i < 3 { a } else { b }).collect::<Vec<f64>>();
    let problem = DoubleWells { kappa: choose(5.0, 1.0), nu: choose(3.0, 1.0) };
    let origin = || InitialState::Point(vec![0.0; 10]);
    println!("optimum: {:.6} from the tables, reference {OPTIMUM}", 3.0 * V_deep + 7.0 * V_shallow);

    println!(
        "1. Euler-Maruyama under u, {PATHS} paths; published: 65536 paths, +- {PUBLISHED_ERROR}; z: difference over both errors"
    );
    println!(
        "{:>6} {:>9} | {:>9} {:>8} {:>5} | {:>12} {:>8} {:>5} {:>6} | {:>7}",
        "N", "published", "J_N", "std err", "z", "J - mart.", "std err", "z", "gain", "seconds"
    );
    for (N, published) in [(100, 2.2939), (200, 2.1803), (400, 2.1290), (800, 2.1097), (1600, 2.0992)] {
        let params = RolloutParams { paths: PATHS, steps: N, seed: 1, ..RolloutParams::default() };
        let ensemble = Ensemble::new(&problem, &u, origin(), params)?;
        let (J, info) = control_variate(&ensemble, &u, &ControlVariateParams::default())?;
        let z = |e: Estimate| (-e.mean - published) / e.standard_error.hypot(PUBLISHED_ERROR);
        println!(
            "{N:>6} {published:>9.4} | {:>9.4} {:>8.4} {:>5.1} | {:>12.4} {:>8.4} {:>5.1} {:>6.1} | {:>7.2}",
            -J.plain.mean,
            J.plain.standard_error,
            z(J.plain),
            -J.objective.mean,
            J.objective.standard_error,
            z(J.objective),
            1.0 / info.variance_ratio,
            info.rollout.seconds
        );
    }

    let asked = MultilevelParams { standard_error: 1e-3, base_steps: 100, pilot: 256, ..MultilevelParams::default() };
    let params = RolloutParams { seed: 2, ..RolloutParams::default() };
    let (J, info) = multilevel(&Ensemble::new(&problem, &u, origin(), params)?, &asked, None)?;
    println!("2. multilevel Monte Carlo to a standard error of {}", asked.standard_error);
    println!("{:>8} {:>9} {:>10} {:>10} {:>12}", "steps", "samples", "mean", "variance", "consistency");
    for level in &info.levels {
        let Y = level.difference;
        println!("{:>8} {:>9} {:>10.5} {:>10.2e} {:>12.2}", level.steps, Y.n, -Y.mean, level.variance, level.consistency);
    }
    let (lower, upper) = J.confidence_interval(0.95)?;
    println!(
        "  J = {:.5} +- {:.5}, |bias| about {:.5}; 95 % interval [{:.5}, {:.5}] {} {OPTIMUM}",
        -J.mean,
        J.standard_error,
        J.bias,
        -upper,
        -lower,
        if -upper <= OPTIMUM && OPTIMUM <= -lower { "holds" } else { "MISSES" }
    );
    println!("  rates: bias {:.2} (theory 1), variance {:.2} (2), cost {:.2} (1)", info.alpha, info.beta, info.gamma);
    println!(
        "  {:.2e} steps in {:.1} s: {:.0} times fewer than a plain run on the finest level (theory {:.0})",
        info.path_steps as f64, info.seconds, info.saving, info.predicted_saving
    );
    Ok(())
}
