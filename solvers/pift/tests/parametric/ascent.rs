//! Gradient ascent: estimators against each other, monotone within noise, and where it ends.

use crate::problems::{exact_lq, lq, mixture};
use hjbridge_pift::parametric::{
    Ascent, AscentParams, Direction, Estimator, FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy,
    NetworkParams, NetworkPolicy, NoiseRule, Policy, SampledChain, StoppedBy,
};
use hjbridge_pift::{Ddpm, DdpmParams};

fn steps(n: usize) -> DdpmParams {
    DdpmParams { steps: n, ..Default::default() }
}

#[test]
fn score_function_agrees_with_the_pathwise_gradient() {
    let problem = mixture();
    let ddpm = Ddpm::new(&problem, steps(8)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let features = FeatureSpec::Polynomial { degree: 2 };
    let mut policy = LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap();
    // somewhere that is neither the start nor the optimum
    policy.parameters_mut().iter_mut().enumerate().for_each(|(i, t)| *t = 0.2 * (2.0 * i as f64).sin());
    let rounds = 16;
    let estimate = |seed, estimator| {
        let params = AscentParams { paths: 2048, seed, noise: NoiseRule::Fresh, estimator, ..Default::default() };
        let ascent = Ascent::new(&chain, params).unwrap();
        let all: Vec<Vec<f64>> = (0..rounds).map(|r| ascent.gradient(&policy, r).unwrap().1).collect();
        (0..all[0].len())
            .map(|i| {
                let mean = all.iter().map(|g| g[i]).sum::<f64>() / rounds as f64;
                let variance = all.iter().map(|g| (g[i] - mean).powi(2)).sum::<f64>() / (rounds - 1) as f64;
                (mean, (variance / rounds as f64).sqrt())
            })
            .collect::<Vec<_>>()
    };
    let pathwise = estimate(1, Estimator::Pathwise { control_variate: false });
    let variate = estimate(2, Estimator::Pathwise { control_variate: true });
    let score = estimate(3, Estimator::ScoreFunction);
    let mut chi = [0.0, 0.0];
    for i in 0..pathwise.len() {
        for (c, other) in chi.iter_mut().zip([&variate, &score]) {
            let z = (pathwise[i].0 - other[i].0) / (pathwise[i].1.powi(2) + other[i].1.powi(2)).sqrt();
            assert!(z.abs() < 5.0, "component {i}: {:?} {:?}", pathwise[i], other[i]);
            *c += z * z / pathwise.len() as f64;
        }
    }
    println!("mean z^2: {chi:?}");
    assert!(chi.iter().all(|c| (0.3..2.5).contains(c)), "{chi:?}");
    let noise = |g: &[(f64, f64)]| g.iter().map(|g| g.1 * g.1).sum::<f64>().sqrt();
    let signal = pathwise.iter().map(|g| g.0 * g.0).sum::<f64>().sqrt();
    println!("noise {:.2e} {:.2e} {:.2e} of {signal:.2e}", noise(&pathwise), noise(&variate), noise(&score));
    assert!(noise(&score) < 0.5 * signal && noise(&pathwise) < noise(&score));
}

#[test]
fn natural_ascent_is_monotone_and_ends_at_the_optimum() {
    let problem = lq(2, 0.6);
    let ddpm = Ddpm::new(&problem, steps(8)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let params =
        AscentParams { paths: 4096, direction: Direction::Natural { ridge: 1e-8 }, iterations: 20, ..Default::default() };
    let ascent = Ascent::new(&chain, params).unwrap();
    let mut state = ascent.start(LinearPolicy::new(&chain, LinearParams::default()).unwrap()).unwrap();
    let info = ascent.run(&mut state, &mut |_| ()).unwrap();
    for row in &state.history {
        println!("{:?} {:?} step {} gradient {:.1e}", row.achieved.objective, row.achieved.upper_bound, row.step, row.gradient);
    }
    assert!(info.stopped_by != StoppedBy::Interrupt && info.iterations <= 20);
    for pair in state.history.windows(2) {
        assert!(pair[1].achieved.plain.mean > pair[0].achieved.plain.mean);
    }
    // against the exact optimum E V_0(Y_0), on noise it has not seen
    let exact = exact_lq(&problem, &ddpm);
    let y = chain.sample(&state.policy, 40_000, 5).unwrap().swap_remove(0);
    let mut v = vec![0.0; y.len()];
    exact.values[0].value(y.as_points(), &mut v);
    let best = v.iter().sum::<f64>() / v.len() as f64;
    let j = chain.evaluate(&state.policy, 40_000, 5).unwrap().objective;
    println!("{j:?} against {best}");
    assert!((j.mean - best).abs() < 4.0 * j.standard_error + 1e-3, "{j:?} against {best}");
}

#[test]
fn gradient_ascent_with_line_search_rises() {
    let problem = lq(1, 0.6);
    let ddpm = Ddpm::new(&problem, steps(6)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    for estimator in [Estimator::Pathwise { control_variate: false }, Estimator::ScoreFunction] {
        let params = AscentParams { paths: 1024, estimator, iterations: 25, ..Default::default() };
        let ascent = Ascent::new(&chain, params).unwrap();
        let mut state = ascent.start(LinearPolicy::new(&chain, LinearParams::default()).unwrap()).unwrap();
        let info = ascent.run(&mut state, &mut |_| ()).unwrap();
        for pair in state.history.windows(2) {
            assert!(pair[1].achieved.plain.mean > pair[0].achieved.plain.mean, "{estimator:?}: the sampled objective rises");
        }
        let exact = exact_lq(&problem, &ddpm);
        let y = chain.sample(&state.policy, 20_000, 5).unwrap().swap_remove(0);
        let mut v = vec![0.0; y.len()];
        exact.values[0].value(y.as_points(), &mut v);
        let best = v.iter().sum::<f64>() / v.len() as f64;
        let before = state.history[0].achieved.objective.mean;
        let j = chain.evaluate(&state.policy, 20_000, 5).unwrap().objective;
        println!("{estimator:?}: {} iterations, {:?}, {before} -> {j:?} of {best}", info.iterations, info.stopped_by);
        assert!(best - j.mean < 0.1 * (best - before) && j.mean < best + 4.0 * j.standard_error);
    }
}

#[test]
fn network_trained_by_adam_beats_affine_features() {
    let problem = mixture();
    let ddpm = Ddpm::new(&problem, steps(16)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let affine = LinearPolicy::new(&chain, LinearParams::default()).unwrap();
    let trainer = LeastSquares::new(&chain, LeastSquaresParams { tolerance: 1e-6, ..Default::default() }).unwrap();
    let mut fitted = trainer.start(affine).unwrap();
    trainer.run(&mut fitted, &mut |_| ()).unwrap();
    let affine = chain.evaluate(&fitted.policy, 8192, 7).unwrap();
    let params = AscentParams {
        paths: 256,
        noise: NoiseRule::Fresh,
        estimator: Estimator::Pathwise { control_variate: true },
        direction: Direction::adam(1e-2),
        iterations: 300,
        ..Default::default()
    };
    let ascent = Ascent::new(&chain, params).unwrap();
    let network = NetworkPolicy::new(&chain, &NetworkParams { hidden: vec![16, 16], ..Default::default() }).unwrap();
    let before = chain.evaluate(&network, 8192, 7).unwrap();
    let started = std::time::Instant::now();
    let mut state = ascent.start(network).unwrap();
    ascent.run(&mut state, &mut |_| ()).unwrap();
    let after = chain.evaluate(&state.policy, 8192, 7).unwrap();
    println!("before {:?}\naffine {affine:?}\nnetwork {after:?} {:.1} s", before.objective, started.elapsed().as_secs_f64());
    assert!(after.objective.mean > affine.objective.mean + 3.0 * affine.objective.standard_error);
    assert!(affine.objective.mean > before.objective.mean + 3.0 * before.objective.standard_error);
    assert!(after.objective.mean <= after.upper_bound.unwrap().mean);
    // every iteration has noise of its own, so that two estimates differ by sqrt(2) errors when the policy stands still: by chance
    // 2.3 % fall by two of these
    let j: Vec<_> = state.history.iter().map(|row| row.achieved.objective).collect();
    let z = |a: usize, b: usize| (j[b].mean - j[a].mean) / j[a].standard_error.hypot(j[b].standard_error);
    let falls: Vec<f64> = (1..j.len()).map(|i| z(i - 1, i)).filter(|z| *z < -2.0).collect();
    println!("falls by more than two errors: {falls:?}");
    assert!(falls.len() < 20 && falls.iter().all(|z| *z > -4.5), "{falls:?}");
}
