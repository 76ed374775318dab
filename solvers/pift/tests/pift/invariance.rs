//! Symmetries that hold exactly, bad input, and independence of the number of threads.

use crate::problems::{line, mixture, schedule, sup_gap};
use hjbridge_model::{
    Axis, Extrapolation, FineTuning, GaussianMixture, InitialLaw, Interpolation, KlWeight, Points, PointsMut, PointwiseFeedback,
    Region, Reward, ScalarField, TensorGrid,
};
use hjbridge_model::{Feedback, PointBlock};
use hjbridge_pift::{BellmanKind, Ddpm, DdpmParams, DdpmParts, InnerRule, PiFt, PiFtError, PiFtParams, PiFtSolution, Storage};
use std::sync::Arc;

fn prior() -> GaussianMixture {
    GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap()
}

fn with_reward(reward: Reward, beta: f64) -> FineTuning {
    FineTuning::new(schedule(), prior(), reward, KlWeight::constant(beta).unwrap(), InitialLaw::StandardNormal).unwrap()
}

fn solve(problem: &FineTuning, params: PiFtParams) -> PiFtSolution {
    let chain = Ddpm::new(problem, DdpmParams { steps: 16, ..Default::default() }).unwrap();
    PiFt::new(&chain, line(-6.0, 6.0, 201), params).unwrap().solve().unwrap()
}

#[test]
fn constants_pass_through() {
    for bellman in [BellmanKind::MeanShift, BellmanKind::Soft] {
        let params = || PiFtParams { bellman, ..Default::default() };
        let flat = solve(&with_reward(Reward::linear(vec![0.0], 3.7).unwrap(), 0.5), params());
        assert!(flat.values.iter().flatten().all(|v| (v - 3.7).abs() < 1e-12));
        assert!(flat.shifts.iter().flatten().all(|d| d.abs() < 1e-11));
        let low = solve(&with_reward(Reward::quadratic(&[vec![0.8]], vec![0.5], 0.0).unwrap(), 0.5), params());
        let high = solve(&with_reward(Reward::quadratic(&[vec![0.8]], vec![0.5], 10.0).unwrap(), 0.5), params());
        for k in 0..16 {
            let raised: Vec<f64> = low.values[k].iter().map(|v| v + 10.0).collect();
            assert!(sup_gap(&raised, &high.values[k], |_| true) < 1e-11);
            assert!(sup_gap(&low.controls[k], &high.controls[k], |_| true) < 1e-9);
        }
    }
}

#[test]
fn reward_and_kl_weight_have_the_same_unit() {
    for bellman in [BellmanKind::MeanShift, BellmanKind::Soft] {
        let params = || PiFtParams { bellman, ..Default::default() };
        let one = solve(&with_reward(Reward::quadratic(&[vec![0.8]], vec![0.5], 0.1).unwrap(), 0.5), params());
        let thousand = solve(&with_reward(Reward::quadratic(&[vec![800.0]], vec![500.0], 100.0).unwrap(), 500.0), params());
        for k in 0..16 {
            let scaled: Vec<f64> = one.values[k].iter().map(|v| 1000.0 * v).collect();
            assert!(sup_gap(&scaled, &thousand.values[k], |_| true) < 1e-8);
            assert!(sup_gap(&one.controls[k], &thousand.controls[k], |_| true) < 1e-9);
        }
    }
}

#[test]
fn a_product_problem_in_the_plane_is_the_problem_on_the_line() {
    // Second coordinate: standard normal prior, no reward. V does not depend on it and u_2 = s_2 = -y_2.
    let block = |v: f64| vec![vec![v, 0.0], vec![0.0, 1.0]];
    let plane_prior =
        GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5, 0.0], vec![1.0, 0.0]], vec![block(0.15), block(0.4)]).unwrap();
    let reward = Reward::quadratic(&[vec![0.8, 0.0], vec![0.0, 0.0]], vec![0.5, 0.0], 0.1).unwrap();
    let plane =
        FineTuning::new(schedule(), plane_prior, reward, KlWeight::constant(0.5).unwrap(), InitialLaw::StandardNormal).unwrap();
    let axis = Axis::uniform(-6.0, 6.0, 201).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis, Axis::uniform(-2.0, 2.0, 5).unwrap()]).unwrap());
    let chain = Ddpm::new(&plane, DdpmParams { steps: 16, ..Default::default() }).unwrap();
    for bellman in [BellmanKind::MeanShift, BellmanKind::Soft] {
        let params = || PiFtParams { bellman, quadrature_nodes: Some(8), ..Default::default() };
        let on_plane = PiFt::new(&chain, grid.clone(), params()).unwrap().solve().unwrap();
        let on_line = solve(&with_reward(Reward::quadratic(&[vec![0.8]], vec![0.5], 0.1).unwrap(), 0.5), params());
        for k in 0..16 {
            for i in 0..201 {
                for j in 0..5 {
                    let at = i * 5 + j;
                    assert!((on_plane.values[k][at] - on_line.values[k][i]).abs() < 1e-10);
                    assert!((on_plane.controls[k][at] - on_line.controls[k][i]).abs() < 1e-8);
                    assert!((on_plane.controls[k][1005 + at] + grid.axis(1).nodes()[j]).abs() < 1e-9);
                }
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let problem = mixture();
    let with = |threads| solve(&problem, PiFtParams { threads, track: true, ..Default::default() });
    let one = with(1);
    for threads in [0, 2, 3] {
        let other = with(threads);
        assert_eq!(one.values, other.values);
        assert_eq!(one.controls, other.controls);
        assert_eq!(one.info, other.info);
    }
}

#[test]
fn storage_and_tracking_do_not_change_the_numbers() {
    let problem = mixture();
    let all = solve(&problem, PiFtParams::default());
    let every = solve(&problem, PiFtParams { storage: Storage::Every(5), track: true, ..Default::default() });
    assert_eq!(every.steps, [0, 5, 10, 15, 16]);
    assert_eq!((every.values.len(), every.controls.len(), every.shifts.len()), (5, 4, 4));
    for (slice, &k) in every.steps.iter().enumerate() {
        assert_eq!(every.values[slice], all.values[k]);
        assert_eq!(every.times[slice], all.times[k]);
        assert!(k == 16 || every.controls[slice] == all.controls[k]);
    }
    assert_eq!(solve(&problem, PiFtParams { storage: Storage::Ends, ..Default::default() }).steps, [0, 16]);
    // The feedback gives the slices back at their times and nodes.
    let feedback = all.feedback(Interpolation::Cubic, Extrapolation::Linear).unwrap();
    let mut u = PointBlock::zeros(1, 201);
    feedback.at(all.times[7]).eval(all.grid.points().as_points(), u.as_mut());
    assert!(sup_gap(u.data(), &all.controls[7], |_| true) < 1e-12);
    assert!(all.value(17).is_err() && all.value(16).is_ok());
}

/// A reward that is infinite on the left.
struct Cliff;
impl ScalarField for Cliff {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.coord(0)) {
            *o = if *x < -5.0 { f64::NEG_INFINITY } else { 0.0 };
        }
    }
    fn gradient(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
    }
}

#[test]
fn bad_input_is_named() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 4, ..Default::default() }).unwrap();
    let plane = Arc::new(TensorGrid::new(vec![Axis::uniform(-1.0, 1.0, 5).unwrap(); 2]).unwrap());
    let error = PiFt::new(&chain, plane, PiFtParams::default()).err().unwrap();
    assert!(error.to_string().starts_with("grid.dim = 2: 1"), "{error}");
    let params = PiFtParams { region: Region::new(vec![7.0], vec![8.0]).ok(), ..Default::default() };
    assert!(PiFt::new(&chain, line(-6.0, 6.0, 101), params).is_err());

    let nan_above_two =
        PointwiseFeedback::new(1, 1, |_, y: &[f64], s: &mut [f64]| s[0] = if y[0] > 2.0 { f64::NAN } else { -y[0] });
    let fine = PointwiseFeedback::new(1, 1, |_, y: &[f64], s: &mut [f64]| s[0] = -y[0]);
    let reward = Reward::linear(vec![1.0], 0.0).unwrap();
    let run = |score: &dyn Feedback, reward: &dyn ScalarField| {
        let rate = |_: f64| 1.0;
        let integral = |t0: f64, t1: f64| t1 - t0;
        let kl_weight = |_: f64| 1.0;
        let parts = DdpmParts { horizon: 1.0, rate: &rate, integral: &integral, score, reward, kl_weight: &kl_weight };
        let chain = Ddpm::from_parts(DdpmParams { steps: 4, ..Default::default() }, parts).unwrap();
        let rule = InnerRule::Tolerance { tol: 1e-8, max: 10 };
        PiFt::new(&chain, line(-6.0, 6.0, 101), PiFtParams { rule, ..Default::default() }).unwrap().solve().err()
    };
    assert_eq!(run(&fine, &reward), None);
    match run(&nan_above_two, &reward) {
        Some(PiFtError::NonFinite { step: 3, quantity: "score", point, .. }) => assert!(point[0] > 2.0 && point[0] < 2.2),
        other => panic!("{other:?}"),
    }
    match run(&fine, &Cliff) {
        Some(PiFtError::NonFinite { step: 4, quantity: "reward", point, .. }) => assert_eq!(point, [-6.0]),
        other => panic!("{other:?}"),
    }
}
