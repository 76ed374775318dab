//! A run on several ranks (threads that play ranks) has the bits of a run on one.

#![allow(missing_docs)]

mod common;

use common::Diffusion;
use hjbridge_model::{Feedback, GaussianMixture, PointwiseFeedback, ZeroFeedback};
use hjbridge_rollout::ranks::{LocalRank, RanksError, conclude};
use hjbridge_rollout::reduce::{ScalarMoments, SummaryReducer};
use hjbridge_rollout::{
    Ensemble, FinishedPaths, HistogramParams, InitialState, MeasureReducer, Ranks, Record, Reducer, RolloutError, RolloutInfo,
    RolloutParams, RunState, StopRule, StoppedBy,
};
use std::sync::atomic::{AtomicBool, Ordering};

const WAVE: usize = 32_768;

fn problem() -> Diffusion {
    let mut problem = Diffusion::ou(2, 0.8, 0.5, 1.0);
    problem.running = Box::new(|x| -x[0] * x[0]);
    problem.terminal = Box::new(|x| (x[0] - x[1]).tanh());
    problem
}

fn feedback() -> impl Feedback {
    PointwiseFeedback::new(2, 2, |t: f64, x: &[f64], v: &mut [f64]| v.copy_from_slice(&[(t + x[1]).sin(), -0.3 * x[0]]))
}

fn start() -> InitialState<'static> {
    InitialState::Point(vec![0.3, -0.2])
}

/// What every rank returns.
fn on_each<T: Send>(size: usize, task: impl Fn(&dyn Ranks) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let task = &task;
        let ranks = LocalRank::group(size).into_iter();
        let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || task(&rank))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

fn record() -> Record {
    Record { histograms: vec![HistogramParams::default(); 2], quantiles: vec![0.1, 0.5], objectives: true, ..Default::default() }
}

fn params(paths: usize) -> RolloutParams {
    RolloutParams { paths, steps: 3, seed: 5, threads: Some(2), ..Default::default() }
}

/// Everything but the time and the machine.
fn told(info: &RolloutInfo) -> (usize, u64, u64, u64, StoppedBy) {
    (info.paths, info.path_steps, info.outside, info.projected, info.stopped_by)
}

#[test]
fn any_number_of_ranks_gives_the_bits_of_one() {
    let (problem, feedback) = (problem(), feedback());
    for (paths, antithetic) in [(1000, false), (WAVE, false), (3 * WAVE + 1234, false), (5 * WAVE + 64, true)] {
        let ensemble = || {
            let params = RolloutParams { antithetic, ..params(paths) };
            Ensemble::new(&problem, &feedback, start(), params).unwrap().with_record(record()).unwrap()
        };
        let (alone, info) = ensemble().run().unwrap();
        for size in [1, 2, 3, 4, 7] {
            for (summary, i) in on_each(size, |ranks| ensemble().with_ranks(ranks).run().unwrap()) {
                assert!(summary == alone, "{paths} paths on {size} ranks");
                assert_eq!((told(&i), i.ranks), (told(&info), size));
            }
        }
        // The sums are not trivially the same: a tree of other waves has other last digits.
        if paths > WAVE && !antithetic {
            let mut flat = ScalarMoments::default();
            flat.absorb(alone.objectives.iter().flatten().copied());
            let flat = flat.estimate();
            assert!(flat != alone.objective && (flat.mean - alone.objective.mean).abs() < 1e-12, "{flat:?}");
        }
    }
}

#[test]
fn rules_end_the_run_where_they_end_one_rank() {
    let (problem, feedback) = (problem(), feedback());
    let ensemble = |stop| Ensemble::new(&problem, &feedback, start(), params(20 * WAVE)).unwrap().with_stop(stop).unwrap();
    let (first, _) = Ensemble::new(&problem, &feedback, start(), params(WAVE)).unwrap().run().unwrap();
    // about five waves
    let wanted = StopRule { standard_error: Some(first.objective.standard_error / 5f64.sqrt() * 1.02), seconds: None };
    let (alone, info) = ensemble(wanted).run().unwrap();
    assert!(info.stopped_by == StoppedBy::StandardError && (3..8).contains(&(info.paths / WAVE)), "{info:?}");
    for size in [2, 3, 4] {
        for (summary, i) in on_each(size, |ranks| ensemble(wanted).with_ranks(ranks).run().unwrap()) {
            assert!(summary == alone && told(&i) == told(&info), "{size} ranks");
        }
    }
    // Time is looked at by rank 0 alone, after the first wave; all end there, on the same number of paths.
    let hurry = StopRule { seconds: Some(1e-9), standard_error: None };
    for (summary, i) in on_each(3, |ranks| ensemble(hurry).with_ranks(ranks).run().unwrap()) {
        assert_eq!((i.paths, i.stopped_by, i.partial), (WAVE, StoppedBy::Time, true));
        assert_eq!(summary.objective, first.objective);
    }
}

#[test]
fn runs_are_cut_and_resumed_on_other_numbers_of_ranks() {
    let (problem, feedback) = (problem(), feedback());
    let empty = SummaryReducer::new(2, &Record { objectives: true, ..Default::default() }).unwrap();
    let ensemble = |paths| Ensemble::new(&problem, &feedback, start(), params(paths)).unwrap();
    let (uncut, _) = ensemble(5 * WAVE + 100).reduce(&empty).unwrap();
    let written = |cut: &RunState<SummaryReducer>| RunState::<SummaryReducer>::from_json(&cut.to_json().unwrap()).unwrap();
    let resume = |state: &RunState<SummaryReducer>, size: usize| {
        let whole = on_each(size, |ranks| {
            let ensemble = ensemble(5 * WAVE + 100).with_ranks(ranks);
            // only rank 0 has read the file
            let state = if ranks.rank() == 0 { written(state) } else { ensemble.start(&empty).unwrap() };
            let mut waves = 0;
            let mut count = |_: &RunState<SummaryReducer>| {
                waves += 1;
                Ok(())
            };
            let (state, info) = ensemble.resume(&empty, state, &mut count).unwrap();
            assert!((waves > 0) == (ranks.rank() == 0));
            (state.reduced(&empty), told(&info))
        });
        assert!(whole.iter().all(|(r, told)| *r == uncut && told.4 == StoppedBy::Paths), "{size}");
    };
    // Cut in the middle of a wave by its number of paths, whole blocks.
    let (state, _) = {
        let short = ensemble(WAVE + 64 * 37);
        short.resume(&empty, short.start(&empty).unwrap(), &mut |_| Ok(())).unwrap()
    };
    assert!(state.waves.is_some() && state.rest.is_some());
    for size in [1, 2, 4] {
        resume(&state, size);
    }
    // Cut on three ranks by an interrupt on one of them, wherever that falls.
    let flag = AtomicBool::new(false);
    let trip = |done: usize| {
        if done > WAVE + 5000 {
            flag.store(true, Ordering::Relaxed);
        }
    };
    let cut = on_each(3, |ranks| {
        let mut broken = ensemble(5 * WAVE + 100).with_ranks(ranks);
        if ranks.rank() == 1 {
            broken = broken.with_interrupt(&flag).with_progress(&trip);
        }
        broken.resume(&empty, broken.start(&empty).unwrap(), &mut |_| Ok(())).unwrap()
    });
    assert!(cut.iter().all(|(state, info)| *state == cut[0].0 && told(info) == told(&cut[0].1)));
    if cut[0].1.partial {
        resume(&cut[0].0, 2);
    }
}

#[test]
fn failures_are_the_same_on_all_ranks_and_nobody_waits() {
    let problem = problem();
    // The paths of wave 2 that start above a bound are sent to infinity.
    let lost = PointwiseFeedback::new(2, 2, |_: f64, x: &[f64], v: &mut [f64]| {
        v.fill(if x[0] > 4.3 { f64::INFINITY } else { 0.0 });
    });
    let law = GaussianMixture::standard_normal(2).unwrap();
    let ensemble = || Ensemble::new(&problem, &lost, InitialState::Law(&law), params(6 * WAVE)).unwrap();
    let alone = ensemble().run().unwrap_err();
    let RolloutError::StateNotFinite { path, .. } = &alone else { panic!("{alone}") };
    assert!(*path >= WAVE as u64, "{path}: the failing path should not be rank 0's first");
    for size in [2, 4] {
        let all = on_each(size, |ranks| ensemble().with_ranks(ranks).run().unwrap_err());
        assert!(all.iter().all(|e| *e == alone), "{all:?}");
    }
    // A rank that fails by itself.
    let good = ZeroFeedback { dim: 2, control_dim: 2 };
    let ensemble = |seed| {
        let params = RolloutParams { seed, ..params(2 * WAVE) };
        Ensemble::new(&problem, &good, start(), params).unwrap()
    };
    let outcome = on_each(3, |ranks| {
        let outcome = match ranks.rank() {
            2 => Err("no file".to_string()),
            _ => ensemble(1).with_ranks(ranks).run().map(|_| ()).map_err(|e| e.to_string()),
        };
        conclude(ranks, outcome.as_ref().err().map(String::as_str)).unwrap();
        outcome
    });
    assert_eq!(outcome, ["rank 2: no file", "rank 2: no file", "no file"].map(|e| Err(e.to_string())));
    // Ranks that run different things.
    let mixed = on_each(3, |ranks| ensemble((ranks.rank() / 2) as u64).with_ranks(ranks).run().unwrap_err());
    assert_eq!(mixed[0], RanksError::Differs { rank: 2, what: "the paths" }.into());
    assert!(mixed[2].to_string().contains("all ranks must run the same program"));
    // A checkpoint that cannot be written, on rank 0.
    let empty = SummaryReducer::new(2, &Record::default()).unwrap();
    let unwritten = on_each(2, |ranks| {
        let ensemble = ensemble(1).with_ranks(ranks);
        let full = |_: &RunState<SummaryReducer>| Err(RolloutError::Checkpoint { reason: "disk full".into() });
        ensemble.resume(&empty, ensemble.start(&empty).unwrap(), &mut { full }).unwrap_err().to_string()
    });
    assert_eq!(unwritten, ["checkpoint: disk full", "rank 0: checkpoint: disk full"]);
}

#[test]
fn reducers_travel_or_say_that_they_do_not() {
    #[derive(Clone, Debug, PartialEq)]
    struct Homebody(usize);
    impl Reducer for Homebody {
        fn absorb(&mut self, paths: &FinishedPaths<'_>) {
            self.0 += paths.len();
        }
        fn merge(&mut self, later: Self) {
            self.0 += later.0;
        }
    }
    let (problem, feedback) = (problem(), feedback());
    let ensemble = || Ensemble::new(&problem, &feedback, start(), params(2 * WAVE)).unwrap();
    for outcome in on_each(2, |ranks| ensemble().with_ranks(ranks).reduce(&Homebody(0))) {
        assert!(matches!(outcome, Err(RolloutError::Invalid { field: "reducer", .. })));
    }
    let squares = || {
        MeasureReducer::new(1, |paths, mut out| {
            for (o, x) in out.coord_mut(0).iter_mut().zip(paths.state.coord(0)) {
                *o = x * x;
            }
        })
    };
    let alone = ensemble().reduce(&squares()).unwrap().0.estimates().unwrap();
    for estimates in on_each(2, |ranks| ensemble().with_ranks(ranks).reduce(&squares()).unwrap().0.estimates().unwrap()) {
        assert_eq!(estimates, alone);
    }
    // What is written is what is read, the infinities of an empty reducer included.
    let empty = SummaryReducer::new(2, &record()).unwrap();
    assert!(empty.unpack(&empty.pack().unwrap()).unwrap() == empty && empty.unpack(&[1, 2, 3]).is_none());
}

#[test]
fn what_a_wave_costs_to_send() {
    // The figures of docs/ranks.md: `cargo test --release -p hjbridge-rollout --test ranks -- what_a --nocapture`.
    let (problem, feedback) = (problem(), feedback());
    let reduced = |record: &Record| {
        let empty = SummaryReducer::new(2, record).unwrap();
        Ensemble::new(&problem, &feedback, start(), params(WAVE)).unwrap().reduce(&empty).unwrap().0
    };
    let histograms = vec![HistogramParams { bins: 80, ..Default::default() }; 2];
    let quantiles = vec![0.05, 0.25, 0.5, 0.75, 0.95];
    for (name, record, limit) in [
        ("moments", Record::default(), 1_000),
        ("and histograms", Record { histograms: histograms.clone(), ..Default::default() }, 2_000),
        ("and quantiles", Record { histograms, quantiles, ..Default::default() }, 200_000),
    ] {
        let wave = reduced(&record);
        let bytes = wave.pack().unwrap();
        let (mut sum, clock) = (wave.clone(), std::time::Instant::now());
        for _ in 0..20 {
            sum.merge(wave.unpack(&bytes).unwrap());
        }
        println!("{name}: {} bytes, {:.1} us to read and merge", bytes.len(), clock.elapsed().as_secs_f64() / 20.0 * 1e6);
        assert!(bytes.len() < limit, "{name}: {}", bytes.len());
    }
}
