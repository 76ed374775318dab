//! Whole runs of every scheme: replay, threads, time grids, Sobol points, coarse noise, discount, sets of controls.

use std::collections::HashSet;

use hjbridge_model::{ControlSet, FineTuning, PointwiseFeedback};
use hjbridge_rollout::estimators::weak_extrapolation;
use hjbridge_rollout::multilevel::{MultilevelParams, multilevel};
use hjbridge_rollout::{
    Ensemble, Estimate, FinishedPaths, InitialState, NoiseSource, Record, Reducer, RolloutParams, RolloutSummary, SdeScheme,
    TimeGrid,
};

use crate::common::Diffusion;
use crate::every_scheme::{Row, Task, for_every_scheme};
use crate::moments::moments;
use crate::problems::{Discounted, ZERO, gaussian_model, graded, mixture_model, schedule};

/// One grid of each kind on [0, 1.5].
fn grids() -> [TimeGrid; 3] {
    let list = TimeGrid::from_times(vec![0.0, 0.3, 0.35, 0.6, 0.9, 1.2, 1.42, 1.5]).unwrap();
    [TimeGrid::uniform(0.0, 1.5, 11).unwrap(), list, TimeGrid::log_snr(&schedule(), 9, 0.02).unwrap()]
}

struct Reproduce(FineTuning);

impl Task for Reproduce {
    fn run<S: SdeScheme>(&mut self, row: &Row, sampler: &S, _: Option<&S>) {
        let model = &self.0;
        let feedback = PointwiseFeedback::new(1, 1, |t: f64, y: &[f64], v: &mut [f64]| v[0] = (t - y[0]).sin());
        let configurations = grids().into_iter().flat_map(|grid| {
            [(NoiseSource::Keyed, 1, false), (NoiseSource::Keyed, 3, true), (NoiseSource::Sobol, 2, false)]
                .map(|(noise, coarsening, antithetic)| (grid.clone(), noise, coarsening, antithetic))
        });
        for (grid, noise, coarsening, antithetic) in configurations {
            let place = format!("{}, {} steps, {noise:?}", row.name, grid.steps());
            let ensemble = |paths, threads| {
                let params = RolloutParams { paths, seed: 5, coarsening, noise, antithetic, threads, ..Default::default() };
                let initial = InitialState::Law(model.initial_law());
                let record = Record { final_states: true, objectives: true, ..Default::default() };
                let ensemble = Ensemble::new(model, &feedback, initial, params).unwrap().with_scheme(sampler.clone());
                ensemble.with_time_grid(grid.clone()).unwrap().with_record(record).unwrap()
            };
            let all = ensemble(150, Some(1));
            let (summary, info) = all.run().unwrap();
            assert_eq!((info.scheme, info.steps, info.paths), (S::NAME, grid.steps(), 150));
            assert_eq!(info.scheme_parameters, sampler.parameters(), "{place}");
            assert_eq!(summary, ensemble(150, Some(2)).run().unwrap().0, "{place}");
            let bits = |s: &RolloutSummary, n: usize| -> Vec<u64> {
                let (x, j) = (s.final_states.as_ref().unwrap(), s.objectives.as_ref().unwrap());
                x.coord(0)[..n].iter().chain(&j[..n]).map(|v| v.to_bits()).collect()
            };
            assert_eq!(bits(&summary, 70), bits(&ensemble(70, None).run().unwrap().0, 70), "{place}");
            let chosen = [149, 0, 63, 64];
            for (path, one) in chosen.iter().zip(all.replay_all(&chosen).unwrap()) {
                let last = one.states.coord(0)[grid.steps()];
                let expected = summary.final_states.as_ref().unwrap().coord(0)[*path as usize];
                assert_eq!(last.to_bits(), expected.to_bits(), "{place}");
                assert_eq!(one.objective().to_bits(), summary.objectives.as_ref().unwrap()[*path as usize].to_bits(), "{place}");
                assert_eq!(one.times, grid.times());
                assert_eq!(one.times[grid.steps()], 1.5);
                // The control recorded for a step is that of its beginning, whatever stages the scheme has.
                for k in 0..grid.steps() - 1 {
                    assert_eq!(one.controls.coord(0)[k], (one.times[k] - one.states.coord(0)[k]).sin(), "{place} {k}");
                }
            }
        }
    }
}

#[test]
fn every_scheme_replays_on_every_grid_from_every_noise() {
    for_every_scheme(&mut Reproduce(mixture_model()));
}

struct AgainstMoments(FineTuning, Vec<String>);

impl Task for AgainstMoments {
    fn run<S: SdeScheme>(&mut self, row: &Row, sampler: &S, _: Option<&S>) {
        let model = &self.0;
        let feedback = PointwiseFeedback::new(1, 1, |t: f64, y: &[f64], v: &mut [f64]| v[0] = 0.4 * t - 0.2 * y[0]);
        for grid in grids() {
            let exact = moments(sampler, model, &feedback, &grid, (0.3, 0.09));
            let objective = exact.first + exact.reward - exact.cost;
            for (noise, coarsening) in [(NoiseSource::Keyed, 1), (NoiseSource::Keyed, 4), (NoiseSource::Sobol, 2)] {
                let params = RolloutParams { paths: 256, seed: 9, coarsening, noise, ..Default::default() };
                let ensemble = Ensemble::new(model, &feedback, InitialState::Point(vec![0.3]), params).unwrap();
                let ensemble = ensemble.with_scheme(sampler.clone()).with_time_grid(grid.clone()).unwrap();
                let repeated = ensemble.replicate(24).unwrap();
                let second = |s: &RolloutSummary| s.mean[0].mean.powi(2) + s.covariance[0] * 255.0 / 256.0;
                let quantities: [(&str, f64, Estimate); 3] = [
                    ("objective", objective, repeated.objective().unwrap()),
                    ("first moment", exact.first, repeated.estimate(|s| s.mean[0].mean).unwrap()),
                    ("second moment", exact.second, repeated.estimate(second).unwrap()),
                ];
                for (quantity, exact, found) in quantities {
                    // 24 repetitions: Student's law with 23 degrees of freedom exceeds 5 once in 20000 times. Uniform numbers
                    // of 24 bits and rounding leave 1e-7 (a chain without noise has no standard error).
                    if (found.mean - exact).abs() > 5.0 * found.standard_error + 2e-7 {
                        self.1.push(format!("{}, {} steps, {noise:?}, {quantity}: {found:?}, {exact}", row.name, grid.steps()));
                    }
                }
            }
        }
    }
}

#[test]
fn runs_have_the_moments_of_their_scheme() {
    let mut task = AgainstMoments(gaussian_model(), Vec::new());
    for_every_scheme(&mut task);
    assert!(task.1.is_empty(), "\n{}", task.1.join("\n"));
}

#[derive(Clone)]
struct Nothing;

impl Reducer for Nothing {
    fn absorb(&mut self, _: &FinishedPaths<'_>) {}
    fn merge(&mut self, _: Self) {}
}

#[derive(Default)]
struct Fingerprints(HashSet<u64>, usize);

impl Task for Fingerprints {
    fn run<S: SdeScheme>(&mut self, _: &Row, sampler: &S, _: Option<&S>) {
        let model = mixture_model();
        let zero = RolloutParams { paths: 100, steps: 8, ..Default::default() };
        let changed = [
            zero.clone(),
            RolloutParams { seed: 1, ..zero.clone() },
            RolloutParams { level: 1, ..zero.clone() },
            RolloutParams { coarsening: 2, ..zero.clone() },
            RolloutParams { noise: NoiseSource::Sobol, ..zero.clone() },
            RolloutParams { antithetic: true, ..zero.clone() },
        ];
        let mut add = |params: RolloutParams, grid: Option<TimeGrid>| {
            let ensemble = Ensemble::new(&model, &ZERO, InitialState::Point(vec![0.3]), params).unwrap();
            let ensemble = ensemble.with_scheme(sampler.clone());
            let ensemble = match grid {
                Some(grid) => ensemble.with_time_grid(grid).unwrap(),
                None => ensemble,
            };
            self.0.insert(ensemble.start(&Nothing).unwrap().fingerprint);
            self.1 += 1;
        };
        changed.into_iter().for_each(|params| add(params, None));
        add(zero.clone(), Some(graded(1.5, 8)));
        add(zero, Some(TimeGrid::log_snr(&schedule(), 8, 0.1).unwrap()));
    }
}

#[test]
fn fingerprints_tell_runs_apart() {
    let mut task = Fingerprints::default();
    for_every_scheme(&mut task);
    // The two kinds of Milstein are one scheme where sigma is a multiple of the identity.
    assert_eq!(task.0.len(), task.1 - 8);
}

#[test]
fn terminal_rewards_are_discounted_from_the_start_of_the_grid() {
    // Without noise: X_N = 1.2 (1 - 0.5 h)^N, g = -x^2, l = -x^2 at the left end point.
    let mut inner = Diffusion::ou(1, 0.5, 0.0, 2.0);
    inner.running = Box::new(|x| -x[0] * x[0]);
    inner.terminal = Box::new(|x| -x[0] * x[0]);
    let (problem, rho, steps) = (Discounted { inner, rho: 0.7, cost: None }, 0.7f64, 15);
    for start in [0.0, 0.5] {
        let params = RolloutParams { paths: 2, ..Default::default() };
        let ensemble = Ensemble::new(&problem, &ZERO, InitialState::Point(vec![1.2]), params).unwrap();
        let grid = TimeGrid::uniform(start, 2.0, steps).unwrap();
        let summary = ensemble.with_time_grid(grid).unwrap().run().unwrap().0;
        let h = (2.0 - start) / steps as f64;
        let square = |k: usize| (-rho * k as f64 * h).exp() * (1.2 * (1.0 - 0.5 * h).powi(k as i32)).powi(2);
        let running: f64 = (0..steps).map(|k| -h * square(k)).sum();
        assert!((summary.terminal_reward.mean + square(steps)).abs() < 1e-14, "{start}");
        assert!((summary.running_reward.mean - running).abs() < 1e-14, "{start}");
    }
}

#[test]
fn a_control_outside_a_finite_set_becomes_the_nearest_of_it() {
    // v = 0.4 - 0.1 t in place of {-1, 0, 0.5}: 0.5 until t = 1.5, then 0.
    let mut problem = Diffusion::ou(1, 0.0, 0.0, 2.0);
    problem.control_set = ControlSet::Finite { controls: vec![vec![-1.0], vec![0.0], vec![0.5]] };
    let feedback = PointwiseFeedback::new(1, 1, |t: f64, _: &[f64], v: &mut [f64]| v[0] = 0.4 - 0.1 * t - 1e-9);
    let params = RolloutParams { paths: 2, steps: 8, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &feedback, InitialState::Point(vec![1.0]), params).unwrap();
    let one = ensemble.replay(1).unwrap();
    assert_eq!(one.controls.coord(0), [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]);
    assert_eq!((one.states.coord(0)[8], one.running_cost[8]), (1.75, 6.0 * 0.25 * 0.125));
    assert_eq!(ensemble.run().unwrap().1.projected, 16);
}

#[test]
fn coarse_and_fine_levels_keep_a_time_grid() {
    // dX = -X dt + 0.6 dB from t = 0.5, reward X_T^2, of which the scheme makes q -> (1 - h)^2 q + 0.36 h.
    let mut problem = Diffusion::ou(1, 1.0, 0.6, 1.5);
    problem.terminal = Box::new(|x| x[0] * x[0]);
    let exact = 1.44 * (-2.0f64).exp() + 0.18 * (1.0 - (-2.0f64).exp());
    let times = [0.5, 0.52, 0.6, 0.9, 1.5];
    let by_scheme = |parts: usize| {
        let steps = times.windows(2).flat_map(|t| std::iter::repeat_n((t[1] - t[0]) / parts as f64, parts));
        steps.fold(1.44, |q, h| (1.0 - h) * (1.0 - h) * q + 0.36 * h)
    };
    let params = RolloutParams { paths: 40_000, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &ZERO, InitialState::Point(vec![1.2]), params).unwrap();
    let ensemble = ensemble.with_time_grid(TimeGrid::from_times(times.to_vec()).unwrap()).unwrap();
    let (found, _) = weak_extrapolation(&ensemble, None).unwrap();
    for (found, parts) in [(found.coarse, 1), (found.fine, 2)] {
        assert!((found.mean - by_scheme(parts)).abs() < 4.0 * found.standard_error, "{found:?} {}", by_scheme(parts));
    }
    let extrapolated = 2.0 * by_scheme(2) - by_scheme(1);
    assert!((found.extrapolated.mean - extrapolated).abs() < 4.0 * found.extrapolated.standard_error, "{found:?} {extrapolated}");
    let wanted = MultilevelParams { standard_error: 2e-3, base_steps: 4, ..Default::default() };
    let (estimate, info) = multilevel(&ensemble, &wanted, None).unwrap();
    for (l, level) in info.levels.iter().enumerate() {
        assert_eq!(level.steps, 4 << l);
        assert!((level.fine.mean - by_scheme(1 << l)).abs() < 4.0 * level.fine.standard_error, "{level:?} {}", by_scheme(1 << l));
    }
    let (lower, upper) = estimate.confidence_interval(0.9999).unwrap();
    assert!(lower < exact && exact < upper, "{estimate:?} {exact}");
    let e = multilevel(&ensemble, &MultilevelParams { base_steps: 6, ..wanted }, None).unwrap_err().to_string();
    assert!(e.contains("steps = 6: a multiple of the 4 steps of the time grid"), "{e}");
}
