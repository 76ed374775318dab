//! The same bits for any number of threads, any number of paths, and on replay.
#![allow(missing_docs)]

mod common;

use std::sync::Mutex;

use common::{Diffusion, Matrix};
use hjbridge_model::law::GaussianMixture;
use hjbridge_model::{Feedback, Points, PointsMut, PointwiseFeedback, VectorField};
use hjbridge_rollout::{Ensemble, FinishedPaths, HistogramParams, InitialState, Record, Reducer, RolloutParams};

fn problem() -> Diffusion {
    let mut problem = Diffusion::ou(2, 0.8, 0.0, 1.0);
    problem.noise_dim = 3;
    problem.sigma =
        Matrix::Field(6, Box::new(|x, out| out.copy_from_slice(&[0.5, 0.1 * x[1].sin(), 0.0, 0.2, 0.4, 0.1 * x[0].cos()])));
    problem.running = Box::new(|x| -x[0] * x[0]);
    problem.terminal = Box::new(|x| (x[0] - x[1]).tanh());
    problem
}

fn feedback() -> impl Feedback {
    PointwiseFeedback::new(2, 2, |t: f64, x: &[f64], v: &mut [f64]| {
        v[0] = (t + x[1]).sin();
        v[1] = -0.3 * x[0];
    })
}

fn law() -> GaussianMixture {
    let covariance = vec![vec![0.4, 0.1], vec![0.1, 0.3]];
    GaussianMixture::new(vec![0.5, 0.5], vec![vec![-1.0, 0.0], vec![1.0, 0.5]], vec![covariance.clone(), covariance]).unwrap()
}

fn full_record() -> Record {
    let histogram = HistogramParams { lower: -3.0, upper: 3.0, bins: 12 };
    Record { histograms: vec![histogram; 2], final_states: true, objectives: true, ..Default::default() }
}

#[test]
fn threads_do_not_change_a_bit() {
    let (problem, feedback, law) = (problem(), feedback(), law());
    // More than one wave of 512 blocks, and a last block that is not full.
    let run = |threads| {
        let params = RolloutParams { paths: 70 * 512 + 17, steps: 6, seed: 4, level: 2, threads, ..Default::default() };
        let ensemble = Ensemble::new(&problem, &feedback, InitialState::Law(&law), params).unwrap();
        ensemble.with_record(full_record()).unwrap().run().unwrap()
    };
    let (one, info) = run(Some(1));
    assert_eq!(info.threads, 1);
    assert_eq!(one.histograms[0].total(), 70 * 512 + 17);
    for threads in [Some(2), Some(7), None] {
        let (other, info) = run(threads);
        assert_eq!(info.threads, threads.unwrap_or(info.threads));
        // f64 equality of finite non-zero numbers is equality of bits.
        assert_eq!(one, other, "{threads:?}");
    }
}

#[test]
fn a_path_does_not_depend_on_how_many_run_beside_it() {
    let (problem, feedback, law) = (problem(), feedback(), law());
    let run = |paths| {
        let params = RolloutParams { paths, steps: 9, seed: 4, ..Default::default() };
        let ensemble = Ensemble::new(&problem, &feedback, InitialState::Law(&law), params).unwrap();
        ensemble.with_record(full_record()).unwrap().run().unwrap().0
    };
    let long = run(1000);
    let (states, objectives) = (long.final_states.unwrap(), long.objectives.unwrap());
    for paths in [2, 63, 64, 65, 130] {
        let short = run(paths);
        assert_eq!(short.objectives.unwrap(), objectives[..paths]);
        for i in 0..2 {
            assert_eq!(short.final_states.as_ref().unwrap().coord(i), &states.coord(i)[..paths]);
        }
    }
}

#[test]
fn replay_is_the_path_that_ran() {
    let (problem, feedback, law) = (problem(), feedback(), law());
    let params = RolloutParams { paths: 150, steps: 11, seed: 4, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &feedback, InitialState::Law(&law), params).unwrap();
    let ensemble = ensemble.with_record(full_record()).unwrap();
    let summary = ensemble.run().unwrap().0;
    let states = summary.final_states.unwrap();
    let chosen = [149, 0, 64, 63];
    for (path, trajectory) in chosen.iter().zip(ensemble.replay_all(&chosen).unwrap()) {
        let j = *path as usize;
        assert_eq!((trajectory.path, trajectory.times.len(), trajectory.times[11]), (*path, 12, 1.0));
        for i in 0..2 {
            assert_eq!(trajectory.states.coord(i)[11].to_bits(), states.coord(i)[j].to_bits());
        }
        assert_eq!(trajectory.objective().to_bits(), summary.objectives.as_ref().unwrap()[j].to_bits());
        // Controls belong to the state at the beginning of their step.
        for k in 0..11 {
            let x1 = trajectory.states.coord(1)[k];
            assert_eq!(trajectory.controls.coord(0)[k], (trajectory.times[k] + x1).sin());
        }
        let h = 1.0 / 11.0;
        let cost = |k: usize| 0.5 * h * [0, 1].iter().map(|&i| trajectory.controls.coord(i)[k].powi(2)).sum::<f64>();
        let total: f64 = (0..11).map(cost).sum();
        assert!((trajectory.running_cost[11] - total).abs() < 1e-14 && trajectory.running_cost[0] == 0.0);
        assert_eq!(ensemble.replay(*path).unwrap(), trajectory);
    }
    assert!(ensemble.replay(150).unwrap_err().to_string().contains("path = 150"));
}

#[test]
fn progress_rises_to_the_number_of_paths() {
    let (problem, feedback) = (problem(), feedback());
    let seen = Mutex::new(Vec::new());
    let report = |done: usize| seen.lock().unwrap().push(done);
    let params = RolloutParams { paths: 1000, steps: 2, threads: Some(3), ..Default::default() };
    let start = InitialState::Point(vec![0.0, 0.0]);
    Ensemble::new(&problem, &feedback, start, params).unwrap().with_progress(&report).run().unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!((seen.len(), seen.last()), (16, Some(&1000)));
    assert!(seen.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn a_reducer_of_ones_own_sees_every_path_once_and_in_order() {
    #[derive(Clone, Default)]
    struct Order(Vec<(u64, usize)>);
    impl Reducer for Order {
        fn absorb(&mut self, paths: &FinishedPaths<'_>) {
            self.0.push((paths.first_path, paths.len()));
        }
        fn merge(&mut self, later: Self) {
            self.0.extend(later.0);
        }
    }
    let (problem, feedback) = (problem(), feedback());
    let params = RolloutParams { paths: 200, steps: 2, threads: Some(4), ..Default::default() };
    let ensemble = Ensemble::new(&problem, &feedback, InitialState::Point(vec![0.0, 0.0]), params).unwrap();
    let (order, _) = ensemble.reduce(&Order::default()).unwrap();
    assert_eq!(order.0, [(0, 64), (64, 64), (128, 64), (192, 8)]);
}

#[test]
fn steps_outside_the_feedbacks_table_are_counted_for_live_paths() {
    struct Table;
    struct Slice(f64);
    impl VectorField for Slice {
        fn eval(&self, _: Points<'_>, mut out: PointsMut<'_>) {
            out.fill(0.0);
        }
        fn count_outside(&self, x: Points<'_>) -> usize {
            if self.0 < 0.5 { 0 } else { x.len() }
        }
    }
    impl Feedback for Table {
        fn dim(&self) -> usize {
            2
        }
        fn control_dim(&self) -> usize {
            2
        }
        fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
            Box::new(Slice(t))
        }
    }
    let problem = problem();
    let params = RolloutParams { paths: 65, steps: 10, ..Default::default() };
    let start = InitialState::Point(vec![0.0, 0.0]);
    let (_, info) = Ensemble::new(&problem, &Table, start, params).unwrap().run().unwrap();
    assert_eq!((info.outside, info.outside_fraction), (65 * 5, 0.5));
}
