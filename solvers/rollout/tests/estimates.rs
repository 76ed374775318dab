//! Estimators against closed forms: antithetic pairs, control variates, changes of measure, exits, quantiles, stop rules.
#![allow(missing_docs)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Diffusion, Matrix};
use hjbridge_model::{Points, PointsMut, PointwiseFeedback, ScalarField, ZeroFeedback};
use hjbridge_rollout::estimators::{
    Coefficient, ControlVariateParams, FirstExit, ImportanceParams, control_variate, exponential_mean, first_exit,
};
use hjbridge_rollout::reduce::{PlaneHistogramParams, SummaryReducer, normal_quantile};
use hjbridge_rollout::{
    Ensemble, HistogramParams, InitialState, MeasureReducer, PathSelection, Record, RolloutError, RolloutParams, RunState,
    StopRule, StoppedBy,
};

const IDLE: ZeroFeedback = ZeroFeedback { dim: 1, control_dim: 1 };

fn params(paths: usize, steps: usize, seed: u64) -> RolloutParams {
    RolloutParams { paths, steps, seed, ..Default::default() }
}

fn at(x: f64) -> InitialState<'static> {
    InitialState::Point(vec![x])
}

/// dX = -X dt + dB, terminal reward X^2 or X.
fn ou(reward: fn(f64) -> f64) -> Diffusion {
    let mut problem = Diffusion::ou(1, 1.0, 1.0, 1.0);
    problem.terminal = Box::new(move |x| reward(x[0]));
    problem
}

/// Mean and second moment of the Euler chain of dX = -X dt + dB on [0, 1] from x0.
fn euler_moments(x0: f64, steps: usize) -> (f64, f64) {
    let h = 1.0 / steps as f64;
    (0..steps).fold((x0, x0 * x0), |(m, s), _| ((1.0 - h) * m, (1.0 - h) * (1.0 - h) * s + h))
}

#[test]
fn antithetic_pairs_cancel_what_is_odd_and_count_as_one_sample() {
    let (linear, square) = (ou(|x| x), ou(|x| x * x));
    let anti = RolloutParams { antithetic: true, ..params(20_000, 40, 5) };
    let (summary, _) = Ensemble::new(&linear, &IDLE, at(0.7), anti.clone()).unwrap().run().unwrap();
    // A linear payoff of a linear equation: every pair has the exact mean of the chain.
    let exact = euler_moments(0.7, 40).0;
    assert!(
        (summary.objective.mean - exact).abs() < 1e-13 && summary.objective.standard_error < 1e-15,
        "{:?}",
        summary.objective
    );
    assert!(summary.mean[0].standard_error < 1e-15 && summary.objective.n == 10_000);
    // The spread of X_T itself is still seen.
    assert!((summary.covariance[0] / 0.4335 - 1.0).abs() < 0.05, "{:?}", summary.covariance);
    // From 0 both paths of a pair have the same square: half as many samples, sqrt 2 times the error, and no pretence.
    let (pairs, _) = Ensemble::new(&square, &IDLE, at(0.0), anti.clone()).unwrap().run().unwrap();
    let (plain, _) = Ensemble::new(&square, &IDLE, at(0.0), params(20_000, 40, 5)).unwrap().run().unwrap();
    let ratio = pairs.objective.standard_error / plain.objective.standard_error;
    assert!((ratio / 2f64.sqrt() - 1.0).abs() < 0.05, "{ratio}");
    assert!(pairs.objective.z_score(euler_moments(0.0, 40).1).abs() < 4.0);
    // Even paths are those of the plain run; odd ones mirror them.
    let ensemble = Ensemble::new(&square, &IDLE, at(0.3), anti.clone()).unwrap();
    let alone = Ensemble::new(&square, &IDLE, at(0.3), params(20_000, 40, 5)).unwrap();
    assert_eq!(ensemble.replay(7_004).unwrap().states, alone.replay(7_004).unwrap().states);
    let (a, b) = (ensemble.replay(7_004).unwrap(), ensemble.replay(7_005).unwrap());
    let drift = |k: i32| 0.3 * (1.0 - 1.0 / 40.0f64).powi(k);
    for k in 0..=40 {
        assert!((a.states.coord(0)[k] + b.states.coord(0)[k] - 2.0 * drift(k as i32)).abs() < 1e-13);
    }
    let odd = RolloutParams { paths: 33, ..anti };
    assert!(matches!(Ensemble::new(&square, &IDLE, at(0.0), odd), Err(RolloutError::Invalid { field: "paths", .. })));
}

#[test]
fn the_martingale_of_the_value_takes_the_variance_away() {
    // V(t,x) = E[X_1^2 | X_t = x] = e^{-2s} x^2 + (1 - e^{-2s})/2, s = 1 - t.
    let problem = ou(|x| x * x);
    let gradient = |factor: f64| {
        PointwiseFeedback::new(1, 1, move |t: f64, x: &[f64], p: &mut [f64]| {
            p[0] = factor * 2.0 * (-2.0 * (1.0 - t)).exp() * x[0]
        })
    };
    let ratios: Vec<f64> = [25, 50, 100]
        .iter()
        .map(|&steps| {
            let ensemble = Ensemble::new(&problem, &IDLE, at(0.5), params(20_000, steps, 11)).unwrap();
            let exact = euler_moments(0.5, steps).1;
            let (e, info) = control_variate(&ensemble, &gradient(1.0), &ControlVariateParams::default()).unwrap();
            assert!(e.objective.z_score(exact).abs() < 4.0 && e.plain.z_score(exact).abs() < 4.0, "{e:?} {exact}");
            assert!(e.martingale.z_score(0.0).abs() < 4.0);
            // Half the gradient is repaired by a fitted factor of 2.
            let fitted = ControlVariateParams { coefficient: Coefficient::Fitted };
            let (f, half) = control_variate(&ensemble, &gradient(0.5), &fitted).unwrap();
            assert!((half.coefficient - 2.0).abs() < 0.1 && half.variance_ratio <= info.variance_ratio * 1.000001, "{half:?}");
            assert!(f.objective.z_score(exact).abs() < 4.0);
            info.variance_ratio
        })
        .collect();
    // What is left is the step's: O(h).
    for pair in ratios.windows(2) {
        let order = (pair[0] / pair[1]).log2();
        assert!((order - 1.0).abs() < 0.15, "{ratios:?}");
    }
    assert!(ratios[2] < 0.02, "{ratios:?}");
    // A linear reward without drift is all martingale, for any noise: sigma = (2 1; 0 0.5).
    let mut linear = Diffusion::ou(2, 0.0, 1.0, 1.0);
    linear.sigma = Matrix::constant(vec![2.0, 1.0, 0.0, 0.5]);
    linear.terminal = Box::new(|x| 0.7 * x[0] - 1.1 * x[1]);
    let slope = PointwiseFeedback::new(2, 2, |_: f64, _: &[f64], p: &mut [f64]| p.copy_from_slice(&[0.7, -1.1]));
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let ensemble = Ensemble::new(&linear, &zero, InitialState::Point(vec![0.3, 0.2]), params(640, 9, 3)).unwrap();
    let (e, _) = control_variate(&ensemble, &slope, &ControlVariateParams::default()).unwrap();
    assert!((e.objective.mean + 0.01).abs() < 1e-13 && e.objective.standard_error < 1e-14, "{e:?}");
    let wrong = PointwiseFeedback::new(1, 2, |_: f64, _: &[f64], p: &mut [f64]| p.fill(0.0));
    let ensemble = Ensemble::new(&problem, &IDLE, at(0.5), params(64, 4, 0)).unwrap();
    assert!(control_variate(&ensemble, &wrong, &ControlVariateParams::default()).is_err());
}

/// dX = v dt + dB, reward -q x^2/2 and temperature 1: phi = (1+q)^{-1/2} exp(-q x0^2/(2(1+q))), v* = -q x/(1 + q(1-t)). The
/// uncontrolled chain is Brownian motion at the steps, so phi has no step error.
#[test]
fn importance_sampling_by_the_optimal_control_has_a_variance_of_order_h() {
    let (q, x0) = (3.0, 0.8);
    let mut problem = Diffusion::ou(1, 0.0, 1.0, 1.0);
    problem.terminal = Box::new(move |x| -0.5 * q * x[0] * x[0]);
    let control = |factor: f64| {
        PointwiseFeedback::new(1, 1, move |t: f64, x: &[f64], v: &mut [f64]| v[0] = -factor * q * x[0] / (1.0 + q * (1.0 - t)))
    };
    let exact = -0.5 * (1.0f64 + q).ln() - 0.5 * q * x0 * x0 / (1.0 + q);
    let run = |feedback: &dyn hjbridge_model::Feedback, steps| {
        let ensemble = Ensemble::new(&problem, feedback, at(x0), params(20_000, steps, 2)).unwrap();
        exponential_mean(&ensemble, &IDLE, &ImportanceParams::default()).unwrap()
    };
    let plain = run(&IDLE, 50).0;
    assert!(plain.value.z_score(exact).abs() < 4.0 && plain.divergence.mean == 0.0);
    let mut variances = Vec::new();
    for steps in [50, 100, 200] {
        let (e, info) = run(&control(1.0), steps);
        assert!(e.value.z_score(exact).abs() < 4.0, "{e:?} {exact}");
        assert!(info.effective_samples <= 20_000.0 && info.effective_samples > 19_000.0, "{info:?}");
        variances.push(e.relative_deviation * e.relative_deviation);
    }
    for pair in variances.windows(2) {
        let order = (pair[0] / pair[1]).log2();
        assert!((order - 1.0).abs() < 0.15, "{variances:?}");
    }
    assert!(variances[0].sqrt() < 0.2 * plain.relative_deviation, "{variances:?} {plain:?}");
    // A control that is 10 % off leaves a variance of the order of the square, and no bias.
    let off = run(&control(0.9), 200).0;
    assert!(off.value.z_score(exact).abs() < 4.0);
    assert!(off.relative_deviation.powi(2) > variances[2] && off.relative_deviation.powi(2) < 0.02, "{off:?} {variances:?}");
    // The weight alone has mean one. (Under the control above its variance is infinite: the reference goes where the
    // controlled paths hardly do. A weak pull leaves it light tails.)
    let pull = PointwiseFeedback::new(1, 1, |_: f64, x: &[f64], v: &mut [f64]| v[0] = -0.2 * x[0]);
    let (e, info) = run(&pull, 50);
    assert!(e.value.z_score(exact).abs() < 4.0 && e.weight.z_score(1.0).abs() < 4.0, "{e:?}");
    let relative = e.weight.standard_error * 20_000f64.sqrt() / e.weight.mean;
    assert!((info.effective_weights * (1.0 + relative * relative) / 20_000.0 - 1.0).abs() < 1e-3, "{info:?}");
}

#[test]
fn a_linear_reward_has_no_variance_at_all_and_singular_measures_are_refused() {
    // Reward a x: v* = a, log phi = a x0 + a^2/2, KL = a^2/2, exactly, for any step; with sigma = diag(2, 0.5) as a field too.
    let a = [0.7, -1.1];
    let mut problem = Diffusion::ou(2, 0.0, 1.0, 1.0);
    problem.sigma = Matrix::constant(vec![2.0, 0.0, 0.0, 0.5]);
    problem.g = Matrix::constant(vec![2.0, 0.0, 0.0, 0.5]);
    problem.terminal = Box::new(move |x| a[0] * x[0] + a[1] * x[1]);
    let control = PointwiseFeedback::new(2, 2, move |_: f64, _: &[f64], v: &mut [f64]| {
        v.copy_from_slice(&[2.0 * a[0], 0.5 * a[1]]);
    });
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let start = || InitialState::Point(vec![0.3, 0.2]);
    let half = 0.5 * (4.0 * a[0] * a[0] + 0.25 * a[1] * a[1]);
    for antithetic in [false, true] {
        let p = RolloutParams { antithetic, ..params(512, 7, 1) };
        let ensemble = Ensemble::new(&problem, &control, start(), p).unwrap();
        let (e, _) = exponential_mean(&ensemble, &zero, &ImportanceParams::default()).unwrap();
        let exact = 0.3 * a[0] + 0.2 * a[1] + half;
        assert!((e.value.mean - exact).abs() < 1e-12 && e.relative_deviation < 1e-12, "{e:?} {exact}");
        assert!((e.divergence.mean - half).abs() < 1e-12 && e.divergence.standard_error < 1e-12);
    }
    problem.sigma = Matrix::constant(vec![2.0, 0.0, 0.0, 0.0]);
    let ensemble = Ensemble::new(&problem, &control, start(), params(64, 7, 1)).unwrap();
    let refused = exponential_mean(&ensemble, &zero, &ImportanceParams::default());
    assert!(matches!(refused, Err(RolloutError::ValueNotFinite { quantity: "functional", .. })), "{refused:?}");
    let cold = ImportanceParams { temperature: 0.0 };
    assert!(matches!(exponential_mean(&ensemble, &zero, &cold), Err(RolloutError::Invalid { .. })));
}

/// slope (x_i - offset), or 1 - |x|^2 for slope 0.
struct Wall {
    dim: usize,
    slope: f64,
    offset: f64,
}

impl ScalarField for Wall {
    fn dim(&self) -> usize {
        self.dim
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        for (j, o) in out.iter_mut().enumerate() {
            let square: f64 = (0..self.dim).map(|i| x.coord(i)[j] * x.coord(i)[j]).sum();
            *o = if self.slope == 0.0 { 1.0 - square } else { self.slope * (x.coord(0)[j] - self.offset) };
        }
    }
    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for i in 0..self.dim {
            for (o, x) in out.coord_mut(i).iter_mut().zip(x.coord(i)) {
                *o = if self.slope == 0.0 { -2.0 * x } else { self.slope };
            }
        }
    }
}

#[test]
fn first_exits_of_brownian_motion_and_the_bridge_between_steps() {
    // dX = dB on (-1, 1) from 0.4: E tau = 1 - x^2, chance of the right end (1 + x)/2.
    let problem = Diffusion::ou(1, 0.0, 1.0, 12.0);
    let (left, right) = (Wall { dim: 1, slope: 1.0, offset: -1.0 }, Wall { dim: 1, slope: -1.0, offset: 1.0 });
    let exit = FirstExit::new(vec![&left, &right]);
    let run = |exit: &FirstExit<'_>, steps, x| {
        let ensemble = Ensemble::new(&problem, &IDLE, at(x), params(30_000, steps, 4)).unwrap();
        first_exit(&ensemble, exit).unwrap()
    };
    let h: [f64; 2] = [0.02, 0.005];
    let plain = h.map(|h| run(&exit.clone().at_steps_only(), (12.0 / h).round() as usize, 0.4).0.time);
    for (h, time) in h.iter().zip(plain) {
        // A chain that is looked at every h sees the walls 0.5826 sqrt h further out (Chernoff; Broadie, Glasserman, Kou).
        let seen = (1.0 + 0.5826 * h.sqrt()).powi(2) - 0.16;
        assert!((time.mean - 0.5 * h - seen).abs() < 4.0 * time.standard_error + 1.0 * h, "{time:?} {seen}");
        assert!(time.z_score(0.84) > 8.0);
    }
    let (e, info) = run(&exit, 600, 0.4);
    assert!((e.time.mean - 0.84).abs() < 4.0 * e.time.standard_error + 0.25 * 0.02, "{e:?}");
    assert!(e.chance[1].z_score(0.7).abs() < 4.0 && e.survival.mean < 1e-5, "{e:?}");
    assert!((e.chance[0].mean + e.chance[1].mean + e.survival.mean - 1.0).abs() < 1e-12 && info.bridge);
    // From inside a target.
    let (e, _) = run(&exit, 60, 1.5);
    assert_eq!((e.chance[1].mean, e.time.mean, e.survival.mean), (1.0, 0.0, 0.0));
    // The disc: E tau = (1 - |x|^2)/2 in the plane; the boundary is curved, so O(h) is left.
    let problem = Diffusion::ou(2, 0.0, 1.0, 6.0);
    let disc = Wall { dim: 2, slope: 0.0, offset: 0.0 };
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let ensemble = Ensemble::new(&problem, &zero, InitialState::Point(vec![0.3, 0.4]), params(30_000, 600, 9)).unwrap();
    let (e, _) = first_exit(&ensemble, &FirstExit::new(vec![&disc])).unwrap();
    assert!((e.time.mean - 0.375).abs() < 4.0 * e.time.standard_error + 0.01, "{e:?}");
    assert!(first_exit(&ensemble, &FirstExit::new(vec![])).is_err() && first_exit(&ensemble, &exit).is_err());
    // A level that is not a number somewhere is reported, not taken for a target.
    let hole = Wall { dim: 2, slope: 1.0, offset: f64::NAN };
    let refused = first_exit(&ensemble, &FirstExit::new(vec![&hole]));
    assert!(matches!(refused, Err(RolloutError::ValueNotFinite { quantity: "functional", .. })), "{refused:?}");
    // A stop rule looks at the time: nearly all paths leave, so that the error of survival is far smaller at once.
    let p = RolloutParams { threads: Some(2), ..params(200_000, 60, 9) };
    let stop = StopRule { standard_error: Some(1.2e-3), seconds: None };
    let ensemble = Ensemble::new(&problem, &zero, InitialState::Point(vec![0.3, 0.4]), p).unwrap().with_stop(stop).unwrap();
    let (e, info) = first_exit(&ensemble, &FirstExit::new(vec![&disc])).unwrap();
    assert!(e.time.standard_error <= 1.2e-3 && e.survival.standard_error < 1e-4, "{e:?}");
    assert!(info.rollout.stopped_by == StoppedBy::StandardError && e.time.n > 32_768, "{e:?}");
}

#[test]
fn a_paths_exit_does_not_depend_on_its_neighbours() {
    let problem = Diffusion::ou(1, 0.0, 1.0, 4.0);
    let wall = Wall { dim: 1, slope: -1.0, offset: 1.0 };
    let exit = FirstExit::new(vec![&wall]);
    let ensemble = |paths, threads| {
        let p = RolloutParams { threads: Some(threads), ..params(paths, 100, 3) };
        Ensemble::new(&problem, &IDLE, at(0.0), p).unwrap()
    };
    for paths in [5, 64, 1000] {
        let (e, _) = first_exit(&ensemble(paths, 1), &exit).unwrap();
        assert_eq!(first_exit(&ensemble(paths, 2), &exit).unwrap().0, e);
        // Holding paths that have left, and ending blocks early, changes nothing: the whole run has the same numbers.
        let (whole, _) = ensemble(paths, 1).with_functional(&exit).reduce(&MeasureReducer::functionals(3)).unwrap();
        assert_eq!(whole.estimates().unwrap(), [e.survival, e.time, e.chance[0]]);
    }
}

#[test]
fn quantiles_planes_and_outside_counts() {
    let problem = Diffusion::ou(2, 1.0, 1.0, 1.0);
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let axis = HistogramParams { lower: -2.0, upper: 2.0, bins: 8 };
    let probabilities = vec![0.05, 0.5, 0.9];
    let plane = PlaneHistogramParams { coordinates: (0, 1), first: axis, second: axis };
    let record = Record { quantiles: probabilities.clone(), planes: vec![plane], ..Default::default() };
    let start = || InitialState::Point(vec![0.5, 0.0]);
    let ensemble = Ensemble::new(&problem, &zero, start(), params(40_000, 20, 6)).unwrap().with_record(record.clone()).unwrap();
    let (summary, _) = ensemble.run().unwrap();
    let (mean, second) = euler_moments(0.5, 20);
    let deviation = (second - mean * mean).sqrt();
    for (p, q) in probabilities.iter().zip(&summary.quantiles) {
        let z = normal_quantile(*p);
        let e = q.state[0];
        let density = (-0.5 * z * z).exp() / (deviation * (2.0 * std::f64::consts::PI).sqrt());
        let expected = (p * (1.0 - p) / 40_000.0).sqrt() / density;
        assert!(e.z_score(mean + z * deviation).abs() < 4.0, "{p}: {e:?}");
        assert!((e.standard_error / expected - 1.0).abs() < 0.35, "{p}: {e:?} {expected}");
        assert_eq!(q.objective.mean, 0.0);
    }
    let counted: u64 = summary.planes[0].counts.iter().sum::<u64>() + summary.planes[0].outside;
    assert_eq!((counted, summary.outside.mean, summary.outside.n), (40_000, 0.0, 40_000));
    // Marginal of the plane's first bin column against the law: P(-2 <= X < -1.5).
    let phi = |x: f64| 0.5 * libm::erfc(-(x - mean) / (deviation * 2f64.sqrt()));
    let expected = phi(-1.0) - phi(-2.0);
    let found = summary.planes[0].counts[..16].iter().sum::<u64>() as f64 / 40_000.0;
    let other = 0.998; // the second coordinate lies in [-2, 2) but for 0.2 %
    assert!((found / other - expected).abs() < 4.0 * (expected / 40_000.0).sqrt() + 1e-4, "{found} {expected}");
    // Entries of the covariance have the errors of a Gaussian law: sqrt((s_ii s_jj + s_ij^2)/n), and find the truth.
    let variance = deviation * deviation;
    for (ij, exact) in [(0, variance), (1, 0.0), (2, 0.0), (3, variance)] {
        let (found, error) = (summary.covariance[ij], summary.covariance_error[ij]);
        let expected = (variance * variance + exact * exact).sqrt() / 200.0;
        // From 625 blocks: 3 % deviation.
        assert!((error / expected - 1.0).abs() < 0.12 && (found - exact).abs() < 4.0 * error, "{ij}: {found} {error} {expected}");
    }
    // Pairs: a quantile's error counts pairs, not paths.
    let pairs = RolloutParams { antithetic: true, ..params(40_000, 20, 6) };
    let ensemble = Ensemble::new(&problem, &zero, start(), pairs).unwrap().with_record(record).unwrap();
    let (paired, _) = ensemble.run().unwrap();
    let ratio = paired.quantiles[1].state[0].standard_error / summary.quantiles[1].state[0].standard_error;
    assert!(paired.quantiles[1].state[0].n == 20_000 && (ratio / 2f64.sqrt() - 1.0).abs() < 0.25, "{ratio}");
    for bad in [
        Record { quantiles: vec![1.0], ..Default::default() },
        Record { planes: vec![PlaneHistogramParams { coordinates: (0, 2), ..plane }], ..Default::default() },
    ] {
        assert!(Ensemble::new(&problem, &zero, start(), params(64, 4, 0)).unwrap().with_record(bad).is_err());
    }
}

#[test]
fn runs_stop_at_their_error_and_resume_bit_for_bit() {
    let problem = ou(|x| x * x);
    let record = Record { histograms: vec![HistogramParams::default()], quantiles: vec![0.5], ..Default::default() };
    let empty = SummaryReducer::new(1, &record).unwrap();
    let ensemble =
        |paths| Ensemble::new(&problem, &IDLE, at(0.5), params(paths, 8, 1)).unwrap().with_record(record.clone()).unwrap();
    // Var X^2 is about 0.6: an error of 2.4e-3 takes three waves of 32 768.
    let stop = StopRule { standard_error: Some(2.4e-3), seconds: None };
    let (whole, info) = ensemble(400_000).with_stop(stop).unwrap().reduce(&empty).unwrap();
    assert_eq!((info.stopped_by, info.partial), (StoppedBy::StandardError, false));
    let reached = whole.clone().finish().unwrap().objective;
    assert!(
        reached.standard_error <= 2.4e-3 && info.paths.is_multiple_of(32_768) && info.paths < 400_000,
        "{info:?} {reached:?}"
    );
    // One wave less would not have done.
    assert!(reached.standard_error * (info.paths as f64 / (info.paths as f64 - 32_768.0)).sqrt() > 2.4e-3);
    // Time: at least one wave, and marked.
    let hurry = StopRule { seconds: Some(1e-9), ..Default::default() };
    let (_, cut) = ensemble(400_000).with_stop(hurry).unwrap().reduce(&empty).unwrap();
    assert_eq!((cut.paths, cut.stopped_by, cut.partial), (32_768, StoppedBy::Time, true));
    // An interrupt in the middle of a wave, written down, read back, continued with other threads.
    let flag = AtomicBool::new(false);
    let trip = |done: usize| flag.store(done >= 20_000, Ordering::Relaxed);
    let on = |threads| {
        let p = RolloutParams { threads: Some(threads), ..params(100_000, 8, 1) };
        Ensemble::new(&problem, &IDLE, at(0.5), p).unwrap()
    };
    let (uncut, _) = ensemble(100_000).reduce(&empty).unwrap();
    let mut states = Vec::new();
    for threads in [1, 3] {
        flag.store(false, Ordering::Relaxed);
        let broken = on(threads).with_interrupt(&flag).with_progress(&trip);
        let begun = broken.start(&empty).unwrap();
        let (state, info) = broken.resume(&empty, begun, &mut |_| Ok(())).unwrap();
        assert!(info.partial && info.stopped_by == StoppedBy::Interrupt && info.paths as u64 == state.paths, "{info:?}");
        // One thread runs block after block, so that the cut is after the first block that ends at 20 000 paths or more. Of
        // several, one may lag behind the others: what is kept is whole blocks, fewer than the wave.
        match threads {
            1 => assert_eq!(state.paths, 313 * 64),
            _ => assert!(state.paths.is_multiple_of(64) && state.paths < 32_768, "{info:?}"),
        }
        let text = state.to_json().unwrap();
        let read: RunState<SummaryReducer> = RunState::from_json(&text).unwrap();
        assert_eq!(read, state);
        let mut waves = 0;
        let (resumed, _) = on(2)
            .resume(&empty, read, &mut |_| {
                waves += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(resumed.reduced(&empty), uncut);
        assert_eq!((resumed.paths, waves), (100_000, 4));
        states.push(state);
    }
    let state = states.swap_remove(0);
    // What is kept must be the same: another histogram, fewer quantiles.
    let wider = HistogramParams { upper: 7.0, ..HistogramParams::default() };
    for other in [Record { histograms: vec![wider], ..record.clone() }, Record { quantiles: vec![], ..record.clone() }] {
        let other = SummaryReducer::new(1, &other).unwrap();
        let refused = on(1).resume(&other, state.clone(), &mut |_| Ok(()));
        assert!(matches!(refused, Err(RolloutError::Checkpoint { .. })), "{refused:?}");
    }
    // Another seed, another problem, another version, rubbish.
    let foreign = Ensemble::new(&problem, &IDLE, at(0.5), params(100_000, 8, 2)).unwrap();
    assert!(matches!(foreign.resume(&empty, state.clone(), &mut |_| Ok(())), Err(RolloutError::Checkpoint { .. })));
    let old = RunState { version: 0, ..state.clone() };
    assert!(matches!(ensemble(100_000).resume(&empty, old, &mut |_| Ok(())), Err(RolloutError::Checkpoint { .. })));
    assert!(matches!(ensemble(1_000).resume(&empty, state, &mut |_| Ok(())), Err(RolloutError::Checkpoint { .. })));
    assert!(RunState::<SummaryReducer>::from_json("{}").is_err());
}

#[test]
fn saved_paths_are_the_replayed_ones() {
    let problem = ou(|x| x * x);
    let feedback = PointwiseFeedback::new(1, 1, |_: f64, x: &[f64], v: &mut [f64]| v[0] = -x[0]);
    let ensemble = Ensemble::new(&problem, &feedback, at(0.5), params(1000, 30, 8)).unwrap();
    let selection = PathSelection { paths: vec![700, 3, 64, 5], steps: vec![0, 7, 30] };
    let saved = ensemble.record_paths(&selection).unwrap();
    for (i, &path) in selection.paths.iter().enumerate() {
        let whole = ensemble.replay(path).unwrap();
        for (j, &k) in selection.steps.iter().enumerate() {
            assert_eq!(saved.states[i * 3 + j].to_bits(), whole.states.coord(0)[k].to_bits());
            assert_eq!(saved.running_cost[i * 3 + j].to_bits(), whole.running_cost[k].to_bits());
            assert_eq!(saved.times[j], whole.times[k]);
        }
    }
    assert_eq!(PathSelection::first(2, 4, 30).steps, [0, 10, 20, 30]);
    for (paths, steps) in [(vec![1000], vec![0]), (vec![0], vec![31]), (vec![0], vec![2, 2])] {
        assert!(ensemble.record_paths(&PathSelection { paths, steps }).is_err());
    }
}
