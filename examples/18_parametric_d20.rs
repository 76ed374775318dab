//! Parametric PI-FT in twenty dimensions: a mixture of two normal laws and a linear reward, against the closed form.
//!
//! The pre-trained model generates p = 0.45 N(m_1, 0.3 I) + 0.55 N(m_2, 0.3 I) with m_1 = -1.2 e, m_2 = e along a direction e that is
//! no axis. With r(x) = q'x and a constant beta, p* = p exp(r/beta)/Z is again a mixture of two normal laws: the weights change, the
//! means move by 0.3 q/beta, and
//!
//!   V(t, y) = beta [ log Z + log p*_t(y) - log p_t(y) ],      max J = E V(0, Y_0).
//!
//! No grid can be made in twenty dimensions. A policy g(y; theta) models the costate E grad V_{k+1} of the chain
//!
//!   Y_{k+1} = m_k(Y_k) + lam_k g_k(Y_k) + sig_k W_k,      J(theta) = E[ r(Y_N) - sum_k lam_k |g_k|^2/2 ],      lam_k = sig_k^2/beta,
//!
//! and theta is trained on sampled paths: by backward sweeps of least squares for polynomials, by Adam on the pathwise gradient for a
//! network. J is estimated on paths that the training has not seen; `bound` is beta log E exp(X/beta) >= max J from the same paths.
//! The chain's optimum differs from max J by O(1/N); it is known here because the problem is a product.
//!
//! Run: cargo run --release --example 18_parametric_d20 [-- --quick]

use hjbridge::model::exact::{DiscreteLq, DiscreteStep, closed_form};
use hjbridge::model::quadrature::standard_normal_rule;
use hjbridge::model::{
    Axis, CubicSpline, Extrapolation, FineTuning, GaussianMixture, InitialLaw, KlWeight, Points, Reward, ScalarField, Schedule,
    TensorGrid,
};
use hjbridge::pift::parametric::{
    Ascent, AscentParams, Direction, FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy, NetworkParams,
    NetworkPolicy, NoiseRule, Policy, Pretrained, SampledChain,
};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use std::sync::Arc;
use std::time::Instant;

const D: usize = 20;
const BETA: f64 = 0.8;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = std::env::args().any(|a| a == "--quick");
    let (steps, paths, iterations) = if quick { (24, 4096, 30) } else { (48, 16384, 200) };

    let unit = |v: Vec<f64>| -> Vec<f64> {
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter().map(|x| x / length).collect()
    };
    let e = unit((0..D).map(|i| (1.0 + i as f64).sin()).collect());
    let q: Vec<f64> = e.iter().enumerate().map(|(i, e)| 0.7 * e + 0.11 * (2.0 * i as f64).cos()).collect();
    let means = [-1.2, 1.0].map(|c| e.iter().map(|e| c * e).collect()).to_vec();
    let covariance: Vec<Vec<f64>> = (0..D).map(|i| (0..D).map(|j| if i == j { 0.3 } else { 0.0 }).collect()).collect();
    let along: f64 = q.iter().zip(&e).map(|(q, e)| q * e).sum();
    let across = q.iter().zip(&e).map(|(q, e)| (q - along * e).powi(2)).sum::<f64>().sqrt();
    let problem = problem(GaussianMixture::new(vec![0.45, 0.55], means, vec![covariance; 2])?, q)?;
    let exact = closed_form(&problem)?.ok_or("this problem has no closed form")?;

    let ddpm = Ddpm::new(&problem, DdpmParams { steps, ..DdpmParams::default() })?;
    let chain = SampledChain::new(&ddpm, problem.initial_law())?;
    let zero = Pretrained { dim: D, steps };
    let start = chain.sample(&zero, paths, 7)?.swap_remove(0);
    let mut v = vec![0.0; paths];
    exact.at(0.0).value(start.as_points(), &mut v);
    let best = v.iter().sum::<f64>() / paths as f64;

    let chain_best = optimum_of_the_chain(along, across, steps)?;

    println!("d = {D}; max J = {best:.5} on the {paths} initial states ({})", exact.description());
    println!("N = {steps}; max J of the chain = {chain_best:.5} over the initial law");
    println!("{:>22} {:>11} {:>21} {:>21} {:>10} {:>7}", "policy", "parameters", "J", "bound", "J - chain", "seconds");
    let row = |name: &str, policy: &dyn Policy, seconds: f64| -> Result<(), Box<dyn std::error::Error>> {
        let info = chain.evaluate(policy, paths, 7)?;
        let (j, bound) = (info.objective, info.upper_bound.ok_or("beta is constant")?);
        println!(
            "{name:>22} {:>11} {:>9.5} +- {:<8.5} {:>9.5} +- {:<8.5} {:>10.5} {seconds:>7.2}",
            policy.parameters().len(),
            j.mean,
            j.standard_error,
            bound.mean,
            bound.standard_error,
            j.mean - chain_best
        );
        Ok(())
    };
    row("pre-trained", &zero, 0.0)?;
    for degree in [1, 2] {
        let clock = Instant::now();
        let params = LeastSquaresParams { paths: 2048, tolerance: 1e-4, ..LeastSquaresParams::default() };
        let trainer = LeastSquares::new(&chain, params)?;
        let features = FeatureSpec::Polynomial { degree };
        let mut state = trainer.start(LinearPolicy::new(&chain, LinearParams { features, ..LinearParams::default() })?)?;
        trainer.run(&mut state, &mut |_| ())?;
        row(&format!("polynomials, degree {degree}"), &state.policy, clock.elapsed().as_secs_f64())?;
    }
    let clock = Instant::now();
    let mut training =
        Ascent::new(&chain, AscentParams::default())?.start(NetworkPolicy::new(&chain, &NetworkParams::default())?)?;
    // a second stage with a smaller rate takes out the noise of the first
    for (rate, stage) in [(1e-2, 1), (1e-3, 2)] {
        let params = AscentParams {
            paths: 256,
            direction: Direction::adam(rate),
            noise: NoiseRule::Fresh,
            iterations: stage * iterations,
            ..AscentParams::default()
        };
        Ascent::new(&chain, params)?.run(&mut training, &mut |_| ())?;
    }
    row("network, 32 x 32", &training.policy, clock.elapsed().as_secs_f64())
}

/// max J of the chain. Covariances are multiples of I, so that the problem is a product: along e a mixture on the line, solved by exact
/// PI-FT on a grid; across it a Gaussian prior with a linear reward, for which the recursion is exact.
fn optimum_of_the_chain(along: f64, across: f64, steps: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let params = DdpmParams { steps, ..DdpmParams::default() };
    let line =
        problem(GaussianMixture::new(vec![0.45, 0.55], vec![vec![-1.2], vec![1.0]], vec![vec![vec![0.3]]; 2])?, vec![along])?;
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-8.0, 8.0, 801)?])?);
    let solution = PiFt::new(&Ddpm::new(&line, params)?, grid.clone(), PiFtParams::default())?.solve()?;
    let first = CubicSpline::new(grid, solution.initial_value(), Extrapolation::Linear)?;

    let normal = problem(GaussianMixture::gaussian(vec![0.0], vec![vec![0.3]])?, vec![across])?;
    let ddpm = Ddpm::new(&normal, params)?;
    let step = |k: usize| DiscreteStep {
        t: ddpm.times()[k],
        a: ddpm.alphas()[k],
        variance: ddpm.variances()[k],
        beta: ddpm.kl_weights()[k],
    };
    let exact = DiscreteLq::new(&normal, &(0..steps).map(step).collect::<Vec<_>>(), false)?;
    let along = mean(line.initial_law(), &|y, v| first.value(Points::new(y, 1), v))?;
    let across = mean(normal.initial_law(), &|y, v| exact.values[0].value(Points::new(y, 1), v))?;
    Ok(along + across)
}

/// E f over a mixture on the line.
fn mean(law: &GaussianMixture, f: &dyn Fn(&[f64], &mut [f64])) -> Result<f64, Box<dyn std::error::Error>> {
    let (x, w) = standard_normal_rule(64, 1)?;
    let (mut sum, mut v) = (0.0, vec![0.0; w.len()]);
    for i in 0..law.components() {
        let (m, s) = (law.mean_of(i)[0], law.covariance_of(i).matrix()[(0, 0)].sqrt());
        let y: Vec<f64> = x.coord(0).iter().map(|x| m + s * x).collect();
        f(&y, &mut v);
        sum += law.weights()[i] * v.iter().zip(&w).map(|(v, w)| v * w).sum::<f64>();
    }
    Ok(sum)
}

fn problem(p: GaussianMixture, q: Vec<f64>) -> Result<FineTuning, Box<dyn std::error::Error>> {
    let (b, beta) = (Schedule::linear(2.0, 0.5, 3.0)?, KlWeight::constant(BETA)?);
    Ok(FineTuning::new(b, p, Reward::linear(q, 0.0)?, beta, InitialLaw::NoisedPrior)?)
}
