//! Where the optimal policy ends: samples of the fine-tuned model against the tilted law, by moments and by a test.
//!
//!   dY = [ (b/2) Y + b U*(t,Y) ] dt + sqrt(b) dB,   Y_0 ~ p*_T,   so that in continuous time Y_T ~ p* = p exp(r/beta)/Z exactly.
//!
//! U* comes from the Hamilton-Jacobi-Bellman equation on a grid. What separates the samples from p* is the step of
//! Euler-Maruyama, O(1/N): the mean and the variance show it with their standard errors, the Kolmogorov-Smirnov distance
//! D = sup |F_n - F| shows it in the whole law. With few steps the test must reject, with many it must not; and the law of the
//! model before fine-tuning must be rejected at once. Quantiles come from a streaming sketch, in one pass.
//!
//! Run: cargo run --release --example 12_sampled_law
#![allow(non_snake_case)] // N, D, F, V are the letters of the equation

use hjbridge::hjb::{HjbParams, HjbSolver};
use hjbridge::model::exact::TiltedMixture;
use hjbridge::model::{
    Axis, Extrapolation, FineTuning, GaussianMixture, InitialLaw, Interpolation, KlWeight, Law, QuadraticTerm, Reward, Schedule,
    TensorGrid, ZeroFeedback,
};
use hjbridge::rollout::reduce::kolmogorov_smirnov;
use hjbridge::rollout::{Ensemble, InitialState, Record, RolloutParams};
use std::sync::Arc;

const PATHS: usize = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let b = Schedule::linear(2.0, 0.5, 3.0)?;
    let p = GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]])?;
    let r = Reward::log_sum_exp(
        vec![QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1)?, QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3)?],
        0.7,
    )?;
    let problem = FineTuning::new(b, p, r, KlWeight::constant(0.7)?, InitialLaw::Optimal)?;
    let exact = TiltedMixture::new(&problem)?;
    let tilted = exact.tilted();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 801)?])?);
    let (V, _) = HjbSolver::new(&problem, grid.clone(), HjbParams { steps: 800, ..HjbParams::default() })?.solve()?;
    let policy = V.feedback(Interpolation::Cubic, Extrapolation::Linear)?;

    // F by the trapezoidal rule on a fine grid (error 1e-9), linear between its nodes (1e-7).
    let axis = TensorGrid::new(vec![Axis::uniform(-8.0, 8.0, 16_001)?])?;
    let points = axis.points();
    let mut log_density = vec![0.0; axis.len()];
    tilted.log_density(points.as_points(), &mut log_density);
    let mut table = vec![0.0];
    for k in 1..axis.len() {
        table.push(table[k - 1] + 0.5e-3 * (log_density[k - 1].exp() + log_density[k].exp()));
    }
    let F = |x: f64| {
        let place = ((x + 8.0) * 1e3).clamp(0.0, 15_999.0);
        let (k, w) = (place as usize, place.fract());
        ((1.0 - w) * table[k] + w * table[k + 1]).min(1.0)
    };
    let quantile = |p: f64| (table.partition_point(|f| *f < p) as f64) * 1e-3 - 8.0;
    let (mean, variance) = (tilted.mean()[0], tilted.covariance()[0][0]);
    println!(
        "p*: mean {mean:.6}, variance {variance:.6}, quartiles {:.3} {:.3} {:.3}",
        quantile(0.25),
        quantile(0.5),
        quantile(0.75)
    );
    println!(
        "{:>6} | {:>8} {:>8} {:>6} | {:>8} {:>8} {:>6} | {:>8} {:>8} {:>9} | quartiles (std err)",
        "N", "mean", "std err", "z", "variance", "std err", "z", "D", "p-value", "law"
    );
    let none = ZeroFeedback { dim: 1, control_dim: 1 };
    for (N, tuned) in [(10, true), (40, true), (160, true), (640, true), (640, false)] {
        let params = RolloutParams { paths: PATHS, steps: N, seed: 4, ..RolloutParams::default() };
        let feedback: &dyn hjbridge::model::Feedback = if tuned { &policy } else { &none };
        let record = Record { final_states: true, quantiles: vec![0.25, 0.5, 0.75], ..Record::default() };
        let ensemble =
            Ensemble::new(&problem, feedback, InitialState::Law(problem.initial_law()), params)?.with_record(record)?;
        let (summary, _) = ensemble.run()?;
        let samples = summary.final_states.as_ref().ok_or("states were asked for")?;
        let test = kolmogorov_smirnov(samples.coord(0), F)?;
        let quartiles: Vec<String> =
            summary.quantiles.iter().map(|q| format!("{:.3} ({:.3})", q.state[0].mean, q.state[0].standard_error)).collect();
        println!(
            "{N:>6} | {:>8.4} {:>8.4} {:>6.2} | {:>8.4} {:>8.4} {:>6.2} | {:>8.4} {:>8.1e} {:>9} | {}",
            summary.mean[0].mean,
            summary.mean[0].standard_error,
            summary.mean[0].z_score(mean),
            summary.covariance[0],
            summary.covariance_error[0],
            (summary.covariance[0] - variance) / summary.covariance_error[0],
            test.distance,
            test.p_value,
            if !tuned {
                "untuned"
            } else if test.p_value < 0.01 {
                "rejected"
            } else {
                "accepted"
            },
            quartiles.join(" ")
        );
    }
    println!("a distance of {:.4} is exceeded by 1 % of true samples of this size", 1.6276 / (PATHS as f64).sqrt());
    Ok(())
}
