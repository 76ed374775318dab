//! A training stored as text and resumed is the one that was not interrupted, bit for bit, on any number of threads.

use crate::problems::{lq, mixture};
use hjbridge_pift::parametric::{
    Ascent, AscentParams, AscentState, Direction, Estimator, FeatureSpec, LeastSquares, LeastSquaresParams, LeastSquaresState,
    LinearParams, LinearPolicy, NetworkParams, NetworkPolicy, NoiseRule, ParametricError, SampledChain, StoppedBy,
};
use hjbridge_pift::{Ddpm, DdpmParams};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

fn steps(n: usize) -> DdpmParams {
    DdpmParams { steps: n, ..Default::default() }
}

#[test]
fn least_squares_resumes() {
    let problem = lq(3, 0.6);
    let ddpm = Ddpm::new(&problem, steps(5)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    for features in [
        FeatureSpec::Polynomial { degree: 2 },
        FeatureSpec::RadialBasis { centers: 6, width: None },
        FeatureSpec::RandomFourier { count: 8, length_scale: 2.0 },
    ] {
        let start = || LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap();
        let params = LeastSquaresParams { paths: 300, tolerance: 1e-6, sweeps: 2, ..Default::default() };
        let trainer = LeastSquares::new(&chain, params).unwrap();
        let mut whole = trainer.start(start()).unwrap();
        assert!(trainer.run(&mut whole, &mut |_| ()).unwrap().finished);
        assert_eq!(whole.info.len(), 10);
        let stop = AtomicBool::new(false);
        let halting = LeastSquares::new(&chain, params).unwrap().with_interrupt(&stop);
        let mut part = halting.start(start()).unwrap();
        let info = halting.run(&mut part, &mut |s| stop.store(s.info.len() == 7, Ordering::Relaxed)).unwrap();
        assert!(!info.finished && part.info.len() == 7 && part.sweep == 1);
        let text = serde_json::to_string(&part).unwrap();
        let mut resumed: LeastSquaresState = serde_json::from_str(&text).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| trainer.run(&mut resumed, &mut |_| ())).unwrap();
        assert_eq!(resumed, whole, "{features:?}");
    }
}

/// Mutations of the text of a training: (JSON pointer, new value, field that is to blame).
fn refused<S: serde::de::DeserializeOwned>(stored: &str, pointer: &str, value: Value, check: &dyn Fn(&S) -> String) -> String {
    let mut all: Value = serde_json::from_str(stored).unwrap();
    *all.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    check(&serde_json::from_value(all).unwrap())
}

#[test]
fn trainings_whose_parts_do_not_fit_are_refused() {
    let problem = lq(3, 0.6);
    let ddpm = Ddpm::new(&problem, steps(5)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let trainer = LeastSquares::new(&chain, LeastSquaresParams { paths: 300, ..Default::default() }).unwrap();
    let text = |e: Result<(), ParametricError>| e.err().map_or_else(|| "no error".to_owned(), |e| e.to_string());
    for (features, own) in [
        (FeatureSpec::Polynomial { degree: 1 }, ("polynomial/degree", json!(7))),
        (FeatureSpec::RadialBasis { centers: 6, width: None }, ("radial_basis/width", json!(0.0))),
        (FeatureSpec::RandomFourier { count: 8, length_scale: 2.0 }, ("random_fourier/phases", json!([]))),
    ] {
        let state = trainer.start(LinearPolicy::new(&chain, LinearParams { features, ..Default::default() }).unwrap()).unwrap();
        let stored = serde_json::to_string(&state).unwrap();
        let check = |s: &LeastSquaresState| text(s.check(&chain));
        assert_eq!(check(&state), "no error");
        let own_at = format!("/policy/basis/0/{}", own.0);
        for (at, value, field) in [
            ("/policy/theta", json!([1.0]), "policy.theta"),
            ("/rollout/theta", json!([]), "policy.theta"),
            ("/policy/basis", json!([]), "policy.basis"),
            ("/policy/scale/center", json!([]), "policy.scale"),
            ("/policy/scale/inverse", json!([1.0]), "policy.scale"),
            ("/policy/steps", json!(usize::MAX), "policy.steps"),
            ("/remaining", json!(99), "remaining = 99"),
            (&own_at, own.1, "policy.basis"),
        ] {
            let message = refused(&stored, at, value, &check);
            assert!(message.starts_with(field), "{features:?} {at}: {message}");
        }
    }
    let ascent = Ascent::new(&chain, AscentParams { direction: Direction::adam(0.01), ..Default::default() }).unwrap();
    let network = NetworkPolicy::new(&chain, &NetworkParams { hidden: vec![6], ..Default::default() }).unwrap();
    let state = ascent.start(network).unwrap();
    let stored = serde_json::to_string(&state).unwrap();
    let check = |s: &AscentState<NetworkPolicy>| text(s.check(&chain));
    assert_eq!(check(&state), "no error");
    for (at, value, field) in [
        ("/policy/theta", json!([1.0]), "policy.theta"),
        ("/policy/net/widths", json!([]), "policy.net"),
        ("/policy/net/widths/1", json!(usize::MAX), "policy.theta"),
        ("/policy/times", json!([]), "policy.steps"),
        ("/policy/scale/center", json!([]), "policy.scale"),
        ("/adam/first", json!([1.0]), "adam"),
        ("/adam/count", json!(u32::MAX), "adam"),
    ] {
        let message = refused(&stored, at, value, &check);
        assert!(message.starts_with(field), "{at}: {message}");
    }
}

#[test]
fn ascent_resumes() {
    let problem = mixture();
    let ddpm = Ddpm::new(&problem, steps(5)).unwrap();
    let chain = SampledChain::new(&ddpm, problem.initial_law()).unwrap();
    let network = NetworkPolicy::new(&chain, &NetworkParams { hidden: vec![6], ..Default::default() }).unwrap();
    for (direction, noise) in [(Direction::adam(0.01), NoiseRule::Fresh), (Direction::Gradient, NoiseRule::Common)] {
        let estimator = Estimator::Pathwise { control_variate: true };
        let params = AscentParams { paths: 1200, direction, noise, estimator, iterations: 9, ..Default::default() };
        let ascent = Ascent::new(&chain, params).unwrap();
        let mut whole = ascent.start(network.clone()).unwrap();
        assert_eq!(ascent.run(&mut whole, &mut |_| ()).unwrap().stopped_by, StoppedBy::Iterations);
        let stop = AtomicBool::new(false);
        let halting = Ascent::new(&chain, params).unwrap().with_interrupt(&stop);
        let mut part = halting.start(network.clone()).unwrap();
        let info = halting.run(&mut part, &mut |s| stop.store(s.history.len() == 4, Ordering::Relaxed)).unwrap();
        assert_eq!((info.stopped_by, info.iterations), (StoppedBy::Interrupt, 4));
        let mut resumed: AscentState<NetworkPolicy> = serde_json::from_str(&serde_json::to_string(&part).unwrap()).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| ascent.run(&mut resumed, &mut |_| ())).unwrap();
        assert_eq!(resumed, whole, "{direction:?}");
    }
}
