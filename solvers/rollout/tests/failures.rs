//! Bad input and paths that are lost give errors that say which, where and what is allowed.
#![allow(missing_docs)]

mod common;

use common::{Diffusion, Matrix};
use hjbridge_model::{ControlSet, PointwiseFeedback, ZeroFeedback};
use hjbridge_rollout::{Ensemble, HistogramParams, InitialState, NoiseKey, Record, RolloutError, RolloutParams};

const ZERO: ZeroFeedback = ZeroFeedback { dim: 1, control_dim: 1 };

fn message(problem: &Diffusion, start: Vec<f64>, params: RolloutParams) -> String {
    match Ensemble::new(problem, &ZERO, InitialState::Point(start), params) {
        Ok(_) => "no error".into(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn bad_input_is_named() {
    let ou = || Diffusion::ou(1, 1.0, 1.0, 1.0);
    let p = RolloutParams::default;
    assert_eq!(message(&ou(), vec![0.0], p()), "no error");
    let params = [
        (RolloutParams { paths: 1, ..p() }, "paths = 1"),
        (RolloutParams { steps: 0, ..p() }, "steps = 0"),
        (RolloutParams { steps: (1 << 31) + 1, ..p() }, "steps = 2147483649"),
        (RolloutParams { coarsening: 0, ..p() }, "coarsening = 0"),
        (RolloutParams { steps: 1 << 20, coarsening: 1 << 12, ..p() }, "coarsening = 4096"),
        (RolloutParams { threads: Some(0), ..p() }, "threads = 0"),
    ];
    for (params, expected) in params {
        assert!(message(&ou(), vec![0.0], params).contains(expected));
    }
    assert!(message(&ou(), vec![0.0, 0.0], p()).contains("dimension of the initial state is 2; 1 expected"));
    assert!(message(&ou(), vec![f64::NAN], p()).contains("initial state = [NaN]"));
    for horizon in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(message(&Diffusion::ou(1, 1.0, 1.0, horizon), vec![0.0], p()).contains("problem.horizon"));
    }
    let two = Diffusion::ou(2, 1.0, 1.0, 1.0);
    assert!(message(&two, vec![0.0, 0.0], p()).contains("state dimension of the feedback is 1; 2 expected"));
    let mut controls = ou();
    controls.control_dim = 2;
    assert!(message(&controls, vec![0.0], p()).contains("control dimension of the feedback is 1; 2 expected"));
    let mut noise = ou();
    noise.noise_dim = 3;
    assert!(message(&noise, vec![0.0], p()).contains("noise dimension"));
    let mut bounds = ou();
    bounds.control_set = ControlSet::Box { lower: vec![1.0], upper: vec![0.0] };
    assert!(message(&bounds, vec![0.0], p()).contains("[1, 0]"));
    bounds.control_set = ControlSet::Box { lower: vec![], upper: vec![0.0] };
    assert!(message(&bounds, vec![0.0], p()).contains("lower control bounds is 0"));

    let ou = ou();
    let record = |histograms| Record { histograms, ..Default::default() };
    let with = |r| Ensemble::new(&ou, &ZERO, InitialState::Point(vec![0.0]), p()).unwrap().with_record(r).err().unwrap();
    let bins = |lower, upper, bins| HistogramParams { lower, upper, bins };
    assert!(with(record(vec![bins(1.0, 0.0, 4)])).to_string().contains("histogram = [1, 0]"));
    assert!(with(record(vec![bins(0.0, 1.0, 0)])).to_string().contains("histogram.bins = 0"));
    assert!(with(record(vec![bins(0.0, 1.0, 4); 2])).to_string().contains("number of histograms is 2; 1 expected"));
}

/// dX = X^3 dt with h = 1/4: a path that starts above 2 sqrt(2) leaves double precision.
fn cubic() -> Diffusion {
    let mut problem = Diffusion::ou(1, 0.0, 0.0, 10.0);
    problem.drift = Box::new(|x, out| out[0] = x[0].powi(3));
    problem
}

#[test]
fn an_exploding_path_is_named_with_its_last_finite_state() {
    let mut problem = cubic();
    problem.sigma = Matrix::Scaled(0.3);
    let run = |threads| {
        let params = RolloutParams { paths: 3000, steps: 40, seed: 1, threads, ..Default::default() };
        Ensemble::new(&problem, &ZERO, InitialState::Point(vec![0.1]), params).unwrap().run().unwrap_err()
    };
    let error = run(Some(1));
    let RolloutError::StateNotFinite { path, step, time, step_length, ref last_state, ref last_control } = error else {
        unreachable!("{error}")
    };
    assert_eq!((time, step_length, last_control.as_slice()), (step as f64 * 0.25, 0.25, &[0.0][..]));
    // The scalar recursion on the addressed numbers agrees: finite up to this step, not after it.
    let mut x = 0.1f64;
    let key = NoiseKey { seed: 1, path, level: 0 };
    for k in 0..=step {
        if k == step {
            assert!((x / last_state[0] - 1.0).abs() < 1e-9, "{x} {last_state:?}");
        }
        x += 0.25 * x.powi(3) + 0.5 * 0.3 * key.normal(k as u32, 0);
    }
    assert!(!x.is_finite());
    assert_eq!(run(Some(3)), error);
}

#[test]
fn a_lane_beyond_the_last_path_may_do_what_it_likes() {
    // Path 20 would explode, paths 0..10 do not: only the latter run.
    struct Start;
    impl hjbridge_model::law::Law for Start {
        fn dim(&self) -> usize {
            1
        }
        fn log_density(&self, _: hjbridge_model::Points<'_>, out: &mut [f64]) {
            out.fill(0.0);
        }
        fn sample(&self, rng: &mut dyn rand::Rng, out: &mut [f64]) {
            let special = NoiseKey { seed: 0, path: 20, level: 0 };
            out[0] = if rng.next_u64() == rand::Rng::next_u64(&mut special.initial_rng()) { 100.0 } else { 0.1 };
        }
    }
    let problem = cubic();
    let run = |paths| {
        let params = RolloutParams { paths, steps: 40, ..Default::default() };
        Ensemble::new(&problem, &ZERO, InitialState::Law(&Start), params).unwrap().run()
    };
    assert!(run(10).is_ok());
    assert!(matches!(run(30), Err(RolloutError::StateNotFinite { path: 20, .. })));
}

#[test]
fn undefined_values_never_reach_an_estimate() {
    let params = RolloutParams { paths: 100, steps: 4, ..Default::default() };
    let start = InitialState::Point(vec![0.0]);
    let run = |problem: &Diffusion| Ensemble::new(problem, &ZERO, start.clone(), params.clone()).unwrap().run().unwrap_err();
    let mut problem = Diffusion::ou(1, 1.0, 1.0, 1.0);
    problem.terminal = Box::new(|x| x[0].ln());
    assert!(matches!(run(&problem), RolloutError::ValueNotFinite { quantity: "terminal reward", .. }));
    problem.terminal = Box::new(|_| 0.0);
    problem.running = Box::new(|x| 1.0 / x[0]);
    assert!(matches!(run(&problem), RolloutError::ValueNotFinite { quantity: "running reward", path: 0, .. }));
    problem.running = Box::new(|_| 0.0);
    problem.terminal = Box::new(|x| x[0] * 1e300);
    assert_eq!(run(&problem), RolloutError::Overflow { quantity: "objective" });

    // A control that is undefined where G vanishes leaves the state finite and is still caught, in its cost.
    problem.terminal = Box::new(|_| 0.0);
    problem.g = Matrix::Scaled(1.0);
    let undefined = PointwiseFeedback::new(1, 1, |_: f64, x: &[f64], v: &mut [f64]| v[0] = if x[0] > 0.5 { 1e200 } else { 0.0 });
    problem.g = Matrix::Scaled(0.0);
    let error = Ensemble::new(&problem, &undefined, start.clone(), params.clone()).unwrap().run().unwrap_err();
    assert!(matches!(error, RolloutError::ValueNotFinite { quantity: "running cost", .. }), "{error}");
}
