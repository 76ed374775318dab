//! Twenty dimensions: a mixture of two normal laws along a direction that is no axis, with a linear reward.
//!
//! Covariances are multiples of the identity, so that the problem is a product: a mixture on the line along the direction, and a
//! linear-quadratic problem across it. The optimum of the chain is known from exact PI-FT on the line and the exact recursion.

use crate::problems::{exact_lq, schedule};
use hjbridge_model::exact::{ClosedForm, TiltedMixture};
use hjbridge_model::quadrature::standard_normal_rule;
use hjbridge_model::{Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, Points, Reward, ScalarField, TensorGrid};
use hjbridge_pift::parametric::{
    Ascent, AscentParams, Direction, FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy, NetworkParams,
    NetworkPolicy, NoiseRule, ObjectiveInfo, Pretrained, SampledChain,
};
use hjbridge_pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use std::sync::Arc;

const D: usize = 20;
const BETA: f64 = 0.8;
const CENTERS: [f64; 2] = [-1.2, 1.0];
const VARIANCE: f64 = 0.3;
/// Reward along the direction, and the length of that across it.
const ALONG: f64 = 0.7;
const ACROSS: f64 = 0.5;
const STEPS: usize = 24;

fn problem(prior: GaussianMixture, slope: Vec<f64>) -> FineTuning {
    let kl = KlWeight::constant(BETA).unwrap();
    FineTuning::new(schedule(), prior, Reward::linear(slope, 0.0).unwrap(), kl, InitialLaw::NoisedPrior).unwrap()
}

fn weights() -> Vec<f64> {
    vec![0.45, 0.55]
}

fn twenty() -> FineTuning {
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let raw: Vec<f64> = (0..D).map(|i| (1.0 + i as f64).sin()).collect();
    let e: Vec<f64> = raw.iter().map(|x| x / norm(&raw)).collect();
    let other: Vec<f64> = (0..D).map(|i| (2.0 * i as f64).cos()).collect();
    let inner: f64 = e.iter().zip(&other).map(|(a, b)| a * b).sum();
    let across: Vec<f64> = other.iter().zip(&e).map(|(o, e)| o - inner * e).collect();
    let length = norm(&across);
    let slope = (0..D).map(|i| ALONG * e[i] + ACROSS * across[i] / length).collect();
    let means = CENTERS.iter().map(|c| e.iter().map(|e| c * e).collect()).collect();
    let covariance: Vec<Vec<f64>> = (0..D).map(|i| (0..D).map(|j| if i == j { VARIANCE } else { 0.0 }).collect()).collect();
    problem(GaussianMixture::new(weights(), means, vec![covariance; 2]).unwrap(), slope)
}

/// E over a normal mixture on the line.
fn mean_over(law: &GaussianMixture, f: &dyn Fn(&[f64], &mut [f64])) -> f64 {
    let (x, w) = standard_normal_rule(64, 1).unwrap();
    let mut v = vec![0.0; w.len()];
    (0..law.components())
        .map(|i| {
            let (m, s) = (law.mean_of(i)[0], law.covariance_of(i).matrix()[(0, 0)].sqrt());
            let y: Vec<f64> = x.coord(0).iter().map(|x| m + s * x).collect();
            f(&y, &mut v);
            law.weights()[i] * v.iter().zip(&w).map(|(v, w)| v * w).sum::<f64>()
        })
        .sum()
}

/// max J of the chain of `STEPS` steps: along by PI-FT on a grid, across by the exact recursion.
fn optimum() -> f64 {
    let line = problem(
        GaussianMixture::new(weights(), CENTERS.iter().map(|c| vec![*c]).collect(), vec![vec![vec![VARIANCE]]; 2]).unwrap(),
        vec![ALONG],
    );
    let steps = DdpmParams { steps: STEPS, ..Default::default() };
    let ddpm = Ddpm::new(&line, steps).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-8.0, 8.0, 801).unwrap()]).unwrap());
    let solution = PiFt::new(&ddpm, grid.clone(), PiFtParams::default()).unwrap().solve().unwrap();
    let spline = hjbridge_model::CubicSpline::new(grid, solution.initial_value(), hjbridge_model::Extrapolation::Linear).unwrap();
    let along = mean_over(line.initial_law(), &|y, v| {
        spline.value(Points::new(y, 1), v);
    });
    let normal = problem(GaussianMixture::gaussian(vec![0.0], vec![vec![VARIANCE]]).unwrap(), vec![ACROSS]);
    let ddpm = Ddpm::new(&normal, steps).unwrap();
    let exact = exact_lq(&normal, &ddpm);
    along + mean_over(normal.initial_law(), &|y, v| exact.values[0].value(Points::new(y, 1), v))
}

#[test]
fn objective_is_within_its_interval() {
    let problem = twenty();
    let ddpm = Ddpm::new(&problem, DdpmParams { steps: STEPS, ..Default::default() }).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let best = optimum();
    let closed = TiltedMixture::new(&problem).unwrap();
    let states = chain.sample(&Pretrained { dim: D, steps: STEPS }, 20_000, 3).unwrap();
    let mut v = vec![0.0; 20_000];
    closed.at(0.0).value(states[0].as_points(), &mut v);
    let continuous = v.iter().sum::<f64>() / v.len() as f64;
    let report = |name: &str, info: ObjectiveInfo, started: std::time::Instant| {
        let (j, upper) = (info.objective, info.upper_bound.unwrap());
        println!(
            "{name}: J = {:.5} +- {:.5}, optimum of the chain {best:.5}, bound {:.5} +- {:.5}, diffusion {continuous:.5}; {:.2} s",
            j.mean,
            j.standard_error,
            upper.mean,
            upper.standard_error,
            started.elapsed().as_secs_f64()
        );
        // J <= max J <= bound, each within its error
        assert!(j.mean <= best + 4.0 * j.standard_error, "{name}");
        assert!(upper.mean >= best - 4.0 * upper.standard_error, "{name}");
        assert!(j.standard_error < info.plain.standard_error && j.standard_error < 0.004, "{name}");
        assert!((j.mean - info.plain.mean).abs() < 4.0 * info.plain.standard_error, "{name}: two estimates of one mean");
        j
    };
    let pretrained = Pretrained { dim: D, steps: STEPS };
    let before = chain.evaluate(&pretrained, 8192, 99).unwrap().objective;
    let fit = |degree| {
        let started = std::time::Instant::now();
        let features = FeatureSpec::Polynomial { degree };
        let policy = LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap();
        let params = LeastSquaresParams { paths: 2048, tolerance: 1e-4, ..Default::default() };
        let trainer = LeastSquares::new(&chain, params).unwrap();
        let mut state = trainer.start(policy).unwrap();
        trainer.run(&mut state, &mut |_| ()).unwrap();
        report(&format!("degree {degree}"), chain.evaluate(&state.policy, 8192, 99).unwrap(), started)
    };
    let (affine, quadratic) = (fit(1), fit(2));
    // features that span more come closer
    assert!(best - quadratic.mean < 0.7 * (best - affine.mean) && best - affine.mean < 0.1 * (best - before.mean));
    let started = std::time::Instant::now();
    let network = NetworkPolicy::new(&chain, &NetworkParams::default()).unwrap();
    let direction = Direction::adam(1e-2);
    let params = AscentParams { paths: 192, direction, iterations: 200, noise: NoiseRule::Fresh, ..Default::default() };
    let ascent = Ascent::new(&chain, params).unwrap();
    let mut state = ascent.start(network).unwrap();
    ascent.run(&mut state, &mut |_| ()).unwrap();
    let network = report("network", chain.evaluate(&state.policy, 8192, 99).unwrap(), started);
    assert!((network.mean - best).abs() < 2.5 * network.standard_error, "the optimum of the chain is in its interval");
    let gap = (best - continuous).abs();
    assert!(
        gap < 0.01 && (network.mean - continuous).abs() < 2.5 * network.standard_error + gap,
        "and that of the diffusion, O(h) off"
    );
}
