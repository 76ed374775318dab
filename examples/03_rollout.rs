//! Simulating the optimal policy: does it earn what the value function promises, and where does it end?
//!
//!   dY = [ (b/2) Y + b U*(t,Y) ] dt + sqrt(b) dB,   Y_0 ~ nu_0,   U* = s + V_y / beta.
//!
//! The objective J = E[ r(Y_T) - int_0^T beta (b/2) |U* - s|^2 dt ] equals E V(0,Y_0), and Y_T has the density
//!
//!   q(x) = p*(x) E[ nu_0(X)/p*_T(X) ],   X ~ N(e x, 1 - e^2),   e = exp(-int_0^T b / 2),   p* = p exp(r/beta)/Z.
//!
//! Euler-Maruyama with N steps adds a bias of O(1/N) to both, and the number of paths a standard error. The two are told
//! apart: J_N, the objective of the Euler chain itself, is computed without simulation by backward recursion on the grid;
//! z = (estimate - J_N) / standard error is then a draw from N(0,1).
//!
//! Run: cargo run --release --example 03_rollout
#![allow(non_snake_case)] // N, J, V are the letters of the equation

use hjbridge::bridge::euler_value;
use hjbridge::hjb::{HjbParams, HjbSolver, masses_from_log_density};
use hjbridge::model::exact::{ClosedForm, FinalLaw, TiltedMixture};
use hjbridge::model::{
    Axis, Extrapolation, FineTuning, GaussianMixture, InitialLaw, Interpolation, KlWeight, Law, QuadraticTerm, Reward, Schedule,
    TensorGrid,
};
use hjbridge::rollout::{Ensemble, InitialState, RolloutParams};
use std::sync::Arc;

const PATHS: usize = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let b = Schedule::linear(2.0, 0.5, 3.0)?;
    let p = GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]])?;
    let r = Reward::log_sum_exp(
        vec![QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1)?, QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3)?],
        0.7,
    )?;
    let problem = FineTuning::new(b, p, r, KlWeight::constant(0.7)?, InitialLaw::NoisedPrior)?;
    let exact = TiltedMixture::new(&problem)?;

    // V and v = U* - s on the grid; the policy is the table of v, cubic in space and linear in time.
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 401)?])?);
    let (V, _) = HjbSolver::new(&problem, grid.clone(), HjbParams { steps: 400, ..HjbParams::default() })?.solve()?;
    let policy = V.feedback(Interpolation::Cubic, Extrapolation::Linear)?;

    // nu_0 on the grid: E f(Y_0) is the sum of masses times f.
    let y = grid.points();
    let mut log_nu = vec![0.0; grid.len()];
    problem.initial_law().log_density(y.as_points(), &mut log_nu);
    let nu = masses_from_log_density(&grid, &log_nu)?;
    let mean_nu = |f: &[f64]| -> f64 { nu.iter().zip(f).map(|(m, f)| m * f).sum() };
    let mut V_exact = vec![0.0; grid.len()];
    exact.at(0.0).value(y.as_points(), &mut V_exact);
    let J = mean_nu(&V_exact);
    println!("E V(0,Y_0): closed form {J:.6}, HJB solution {:.6} (error {:.1e})", mean_nu(V.value(0)), mean_nu(V.value(0)) - J);

    // Moments of the exact law of Y_T.
    let mut q = vec![0.0; grid.len()];
    FinalLaw::new(&problem, &exact)?.density(y.as_points(), &mut q);
    let moment = |f: &dyn Fn(f64) -> f64| -> f64 {
        grid.volumes().iter().zip(&q).zip(y.coord(0)).map(|((w, q), x)| w * q * f(*x)).sum::<f64>()
    };
    let (mass, first) = (moment(&|_| 1.0), moment(&|x| x));
    let (mean, variance) = (first / mass, moment(&|x| (x - first / mass).powi(2)) / mass);
    let tilted = exact.tilted();
    println!(
        "Y_T exactly: mean {mean:.6}, variance {variance:.6} (p* itself: {:.6}, {:.6};",
        tilted.mean()[0],
        tilted.covariance()[0][0]
    );
    println!("  the difference is the bias of starting at the noised prior instead of the noised p*)");

    println!(
        "{:>5} {:>10} {:>9} {:>10} {:>6} {:>11} {:>10} {:>9} {:>10} {:>8}",
        "N", "J estimate", "std err", "J_N", "z", "J_N - J", "mean Y_T", "error", "var Y_T", "error"
    );
    for N in [25, 50, 100] {
        let params = RolloutParams { paths: PATHS, steps: N, seed: 1, ..RolloutParams::default() };
        let start = InitialState::Law(problem.initial_law());
        let (summary, _) = Ensemble::new(&problem, &policy, start, params)?.run()?;
        let J_N = mean_nu(&euler_value(&problem, &policy, &grid, N)?);
        let estimate = summary.objective;
        let (m, v) = (summary.mean[0], summary.covariance[0]);
        println!(
            "{N:>5} {:>10.5} {:>9.1e} {J_N:>10.5} {:>6.2} {:>11.2e} {:>10.5} {:>9.1e} {v:>10.5} {:>8.1e}",
            estimate.mean,
            estimate.standard_error,
            estimate.z_score(J_N),
            J_N - J,
            m.mean,
            m.mean - mean,
            v - variance
        );
    }
    let fourth = moment(&|x| (x - mean).powi(4)) / mass;
    println!(
        "standard errors at {PATHS} paths: mean {:.1e}, variance {:.1e}; J_N - J halves when N doubles",
        (variance / PATHS as f64).sqrt(),
        ((fourth - variance * variance) / PATHS as f64).sqrt()
    );
    Ok(())
}
