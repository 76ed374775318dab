//! A training stored as text and resumed is the one that was not interrupted, bit for bit, on any number of threads.

use crate::problems::{lq, mixture};
use hjbridge_pift::parametric::{
    Ascent, AscentParams, AscentState, Direction, Estimator, FeatureSpec, LeastSquares, LeastSquaresParams, LeastSquaresState,
    LinearParams, LinearPolicy, NetworkParams, NetworkPolicy, NoiseRule, SampledChain, StoppedBy,
};
use hjbridge_pift::{Ddpm, DdpmParams};
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
