//! Faces, early ends, rules and interrupts: what a run counts, and when it says that it knows too little.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use common::Diffusion;
use hjbridge_model::{
    Axis, Extrapolation, Interpolation, Points, PointsMut, ScalarField, TableFeedback, TensorGrid, ZeroFeedback,
};
use hjbridge_rollout::estimators::{FirstExit, first_exit};
use hjbridge_rollout::multilevel::{MultilevelParams, Payoff, multilevel_watched};
use hjbridge_rollout::{
    Ensemble, FinishedPaths, InitialState, MeasureReducer, NoiseSource, Reflection, RolloutError, RolloutParams, StopRule,
    StoppedBy,
};

const IDLE: ZeroFeedback = ZeroFeedback { dim: 1, control_dim: 1 };

fn at(x: f64) -> InitialState<'static> {
    InitialState::Point(vec![x])
}

#[test]
fn reflected_paths_have_the_law_of_the_mirror() {
    // Brownian motion above 0 is |B|, whatever the step; between 0 and 1 it is uniform in the end.
    let mut problem = Diffusion::ou(1, 0.0, 1.0, 4.0);
    problem.terminal = Box::new(|x| x[0]);
    let run = |x: f64, theta: f64, faces: [Option<f64>; 2], steps: usize| {
        let mut problem = Diffusion::ou(1, theta, 1.0, 4.0);
        problem.terminal = Box::new(|x| x[0]);
        let params = RolloutParams { paths: 40_000, steps, seed: 7, ..Default::default() };
        let ensemble = Ensemble::new(&problem, &IDLE, at(x), params).unwrap();
        ensemble.with_reflection(Reflection::new(&[faces]).unwrap()).unwrap().run().unwrap().0
    };
    let root = |variance: f64| (2.0 * variance / std::f64::consts::PI).sqrt();
    for steps in [1, 7, 30] {
        let half = run(0.0, 0.0, [Some(0.0), None], steps);
        assert!(half.objective.z_score(root(4.0)).abs() < 4.0 && half.extrema.min[0] >= 0.0, "{steps}: {:?}", half.objective);
        let below = run(0.0, 0.0, [None, Some(0.0)], steps);
        assert!(below.objective.z_score(-root(4.0)).abs() < 4.0 && below.extrema.max[0] <= 0.0, "{steps}: {:?}", below.objective);
        let slab = run(0.2, 0.0, [Some(0.0), Some(1.0)], steps);
        assert!(slab.objective.z_score(0.5).abs() < 4.0, "{steps}: {:?}", slab.objective);
        let z = (slab.covariance[0] - 1.0 / 12.0) / slab.covariance_error[0];
        assert!(z.abs() < 4.0 && slab.extrema.min[0] >= 0.0 && slab.extrema.max[0] <= 1.0, "{steps}: {z}");
    }
    // With the drift -x the chain is the modulus of the free one, whose variance is known; a projection on the face would be off
    // by the root of the step.
    for steps in [8, 40] {
        let h = 4.0 / steps as f64;
        let variance = (0..steps).fold(0.0, |v, _| (1.0 - h) * (1.0 - h) * v + h);
        let found = run(0.0, 1.0, [Some(0.0), None], steps).objective;
        assert!(found.z_score(root(variance)).abs() < 4.0, "{steps}: {found:?} {}", root(variance));
    }
    let ensemble = Ensemble::new(&problem, &IDLE, at(0.0), RolloutParams::default()).unwrap();
    assert!(ensemble.with_reflection(Reflection::new(&[[None, None]; 2]).unwrap()).is_err());
}

/// 1 - |x|.
struct Ends;

impl ScalarField for Ends {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        out.iter_mut().zip(x.coord(0)).for_each(|(o, x)| *o = 1.0 - x.abs());
    }
    fn gradient(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        out.coord_mut(0).iter_mut().zip(x.coord(0)).for_each(|(o, x)| *o = -x.signum());
    }
}

#[test]
fn what_lies_outside_is_counted_up_to_the_end_of_a_path() {
    let problem = Diffusion::ou(1, 0.0, 1.0, 6.0);
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-0.5, 0.5, 5).unwrap()]).unwrap());
    let table = vec![vec![1e-3; 5]; 2];
    let feedback = TableFeedback::new(grid, vec![0.0, 6.0], table, 1, Interpolation::Linear, Extrapolation::Clamp).unwrap();
    let params = RolloutParams { paths: 100, steps: 300, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &feedback, at(0.1), params).unwrap();
    let (_, info) = first_exit(&ensemble, &FirstExit::new(vec![&Ends]).at_steps_only()).unwrap();
    let counted: usize = ensemble
        .replay_all(&(0..100).collect::<Vec<_>>())
        .unwrap()
        .iter()
        .map(|path| path.states.coord(0)[..300].iter().take_while(|x| x.abs() < 1.0).filter(|x| x.abs() > 0.5).count())
        .sum();
    assert!(counted > 100);
    assert_eq!(info.rollout.outside, counted as u64);
}

#[test]
fn a_rule_does_not_trust_a_standard_error_without_spread() {
    let problem = Diffusion::ou(1, 0.0, 1.0, 1.0);
    let params = RolloutParams { paths: 3 * 32_768, steps: 1, ..Default::default() };
    let rule = |standard_error| StopRule { standard_error: Some(standard_error), seconds: None };
    let run = |standard_error, every: u64, value: f64| {
        let ensemble = Ensemble::new(&problem, &IDLE, at(0.0), params.clone()).unwrap().with_stop(rule(standard_error)).unwrap();
        let payoff = move |paths: &FinishedPaths<'_>, mut out: PointsMut<'_>| {
            for (j, o) in out.coord_mut(0).iter_mut().enumerate() {
                *o = if (paths.first_path + j as u64 + 1).is_multiple_of(every) { value + 1.0 } else { value };
            }
        };
        let (reducer, info) = ensemble.reduce(&MeasureReducer::new(1, payoff)).unwrap();
        (reducer.estimates().unwrap()[0], info)
    };
    // A rare event in the second wave: after the first the estimate is 0 with standard error 0.
    for value in [0.0, 0.1] {
        let (found, info) = run(1e-3, 40_000, value);
        assert_eq!((info.stopped_by, info.paths, info.varied_blocks), (StoppedBy::Paths, 3 * 32_768, 2), "{found:?}");
        assert!(found.mean > value);
    }
    let (_, info) = run(0.1, 1000, 0.0);
    assert_eq!((info.stopped_by, info.paths, info.varied_blocks), (StoppedBy::StandardError, 32_768, 32));
    // 29 contributions are too few
    let (_, info) = run(0.1, 1100, 0.0);
    assert_eq!((info.stopped_by, info.paths, info.varied_blocks), (StoppedBy::StandardError, 65_536, 59));
}

#[test]
fn an_interrupt_before_there_is_an_estimate_has_its_own_error() {
    let problem = Diffusion::ou(1, 1.0, 1.0, 1.0);
    let params = RolloutParams { paths: 256, steps: 4, threads: Some(1), noise: NoiseSource::Sobol, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &IDLE, at(1.0), params).unwrap();
    let flag = AtomicBool::new(true);
    let e = ensemble.clone().with_interrupt(&flag).run().unwrap_err();
    assert_eq!(e, RolloutError::Interrupted { paths: 0 });
    assert!(e.to_string().contains("interrupted after 0 paths"));
    // 4 blocks are a repetition; what is cut does not count
    let whole = ensemble.replicate(4).unwrap();
    for (trip, repetitions) in [(10, 2), (8, 2), (5, 1)] {
        let (flag, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        let show = |_: usize| flag.store(calls.fetch_add(1, Relaxed) + 1 >= trip, Relaxed);
        let cut = ensemble.clone().with_progress(&show).with_interrupt(&flag).replicate(4);
        match repetitions {
            1 => assert_eq!(cut, Err(RolloutError::Interrupted { paths: 256 })),
            n => assert_eq!(cut.unwrap().summaries, whole.summaries[..n]),
        }
    }
}

#[test]
fn an_interrupted_multilevel_run_has_samples_of_every_level_that_was_begun() {
    let mut problem = Diffusion::ou(1, 1.0, 1.0, 1.0);
    problem.terminal = Box::new(|x| x[0] * x[0]);
    let exact = 0.5 * (1.0 + (-2f64).exp());
    let params = RolloutParams { paths: 64, threads: Some(1), ..Default::default() };
    let asked = MultilevelParams { standard_error: 1e-3, base_steps: 8, ..Default::default() };
    // the pilots are 16 payoffs of blocks on level 0 and 32 on each of the others
    let run = |trip: u64| {
        let (flag, calls) = (AtomicBool::new(false), AtomicU64::new(0));
        let payoff: &Payoff<'_> = &|paths: &FinishedPaths<'_>, out: &mut [f64]| {
            flag.store(calls.fetch_add(1, Relaxed) + 1 >= trip, Relaxed);
            out.copy_from_slice(paths.terminal_reward);
        };
        let (last, plan) = (AtomicU64::new(0), AtomicU64::new(0));
        let show = |done: u64, planned: u64| {
            assert!(done >= last.swap(done, Relaxed) && done <= planned, "{done} {planned}");
            plan.store(planned, Relaxed);
        };
        let ensemble = Ensemble::new(&problem, &IDLE, at(1.0), params.clone()).unwrap().with_interrupt(&flag);
        multilevel_watched(&ensemble, &asked, Some(payoff), &show).map(|(e, info)| {
            assert!(last.into_inner() <= info.path_steps && info.path_steps <= plan.into_inner());
            assert!((e.mean - exact).abs() < 4.0 * e.standard_error + e.bias, "{e:?} {exact}");
            info
        })
    };
    assert!(matches!(run(10), Err(RolloutError::Interrupted { paths: 640 })), "{:?}", run(10));
    let early = run(48).unwrap();
    assert_eq!((early.levels.len(), early.partial, early.converged), (2, true, false));
    assert_eq!(early.stopped_by, StoppedBy::Interrupt);
    // in the middle of the large rounds: the finer levels have had theirs
    let late = run(6000).unwrap();
    assert!(late.partial && late.levels[0].difference.n > 100_000, "{late:?}");
    assert!(late.levels[1..3].iter().all(|level| level.difference.n > 2048), "{late:?}");
}
