//! Statistics of the keyed normal numbers, with fixed seeds.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use common::Diffusion;
use hjbridge_model::{Axis, Extrapolation, Feedback, Interpolation, TableFeedback, TensorGrid, ZeroFeedback};
use hjbridge_rollout::noise::{BlockNoise, NormalStream};
use hjbridge_rollout::{Ensemble, InitialState, NoiseKey, NoiseSource, Record, RolloutParams};

fn normals(seed: u64, level: u32, component: u32, paths: u64, steps: u32) -> Vec<Vec<f64>> {
    let stream = NormalStream::new(seed, level);
    (0..paths).map(|p| (0..steps).map(|k| stream.normal(p, k, component)).collect()).collect()
}

#[test]
fn first_four_moments() {
    let z: Vec<f64> = normals(11, 0, 0, 4000, 250).concat();
    let n = z.len() as f64;
    let moment = |p: i32| z.iter().map(|x| x.powi(p)).sum::<f64>() / n;
    // Var Z^p = E Z^2p - (E Z^p)^2: 1, 2, 15, 96.
    for (p, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64)] {
        let score = (moment(p) - expected) / (variance / n).sqrt();
        assert!(score.abs() < 4.0, "moment {p}: z = {score}");
    }
    // The same test sees a standard deviation that is 0.5 % too large.
    assert!(((moment(2) * 1.01 - 1.0) / (2.0 / n).sqrt()).abs() > 4.0);
}

fn kolmogorov(mut z: Vec<f64>) -> f64 {
    z.sort_unstable_by(f64::total_cmp);
    let n = z.len() as f64;
    let distance = z.iter().enumerate().fold(0.0f64, |d, (i, &x)| {
        let cdf = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
        d.max(cdf - i as f64 / n).max((i + 1) as f64 / n - cdf)
    });
    distance * n.sqrt()
}

#[test]
fn kolmogorov_smirnov_distance_to_the_normal_law() {
    // P(sqrt(n) D > 1.95) = 0.001, along a path, across paths, and for each of the four numbers of a counter.
    let z = normals(7, 3, 2, 2000, 100);
    assert!(kolmogorov(z.concat()) < 1.95);
    assert!(kolmogorov(z.iter().map(|row| row[0]).collect()) < 1.95);
    for place in 0..4 {
        assert!(kolmogorov(z.iter().flat_map(|row| row.iter().skip(place).step_by(4).copied()).collect()) < 1.95);
    }
    assert!(kolmogorov(z.concat().iter().map(|x| x + 0.02).collect()) > 1.95, "a shift of 0.02 must be seen");
}

#[test]
fn neighbours_are_uncorrelated() {
    let (paths, steps) = (2001, 101);
    let base = normals(1, 0, 0, paths, steps);
    let others = [normals(2, 0, 0, paths, steps), normals(1, 1, 0, paths, steps), normals(1, 0, 1, paths, steps)];
    let pick = |z: &[Vec<f64>], p0: usize, k0: usize| -> Vec<f64> {
        z[p0..p0 + 2000].iter().flat_map(|row| row[k0..k0 + 100].iter().copied()).collect()
    };
    let score = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / (a.len() as f64).sqrt();
    let squares = |a: &[f64]| -> Vec<f64> { a.iter().map(|x| (x * x - 1.0) / 2f64.sqrt()).collect() };
    let a = pick(&base, 0, 0);
    let mut pairs = vec![("next path", pick(&base, 1, 0)), ("next step", pick(&base, 0, 1)), ("both", pick(&base, 1, 1))];
    pairs.extend(["seed", "level", "component"].into_iter().zip(others.iter().map(|z| pick(z, 0, 0))));
    for (name, b) in &pairs {
        assert!(score(&a, b).abs() < 4.0, "{name}: {}", score(&a, b));
        let s = score(&squares(&a), &squares(b));
        assert!(s.abs() < 4.0, "squares, {name}: {s}");
    }
    // The members of one Box-Muller pair share a radius: even and odd steps only.
    let member = |parity: usize| -> Vec<f64> { base.iter().flat_map(|r| r[parity..100].iter().step_by(2).copied()).collect() };
    let (even, odd) = (member(0), member(1));
    assert!(score(&even, &odd).abs() < 4.0 && score(&squares(&even), &squares(&odd)).abs() < 4.0);
    assert!(score(&a, &a).abs() > 100.0);
}

#[test]
fn bits_are_frozen() {
    // FNV-1a over the bits of 64 paths, 200 steps, 2 components: the same on every machine and instruction set.
    let stream = NormalStream::new(20_250_101, 1);
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut noise = BlockNoise::new(stream, 2);
    for step in 0..200 {
        for z in noise.step(3, step) {
            hash = (hash ^ z.to_bits()).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(hash, 0xb31c_c7af_597e_e566, "{hash:#018x}");
    assert_eq!(NoiseKey { seed: 1, path: 2, level: 3 }.normal(4, 5).to_bits(), 0x3f9e_1ba5_69d2_3145);
}

/// X_T of 2000 paths, of `steps` steps along the Brownian path of `fine` steps.
fn final_states(problem: &Diffusion, steps: usize, fine: usize) -> Vec<f64> {
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let params = RolloutParams { paths: 2000, steps, coarsening: (fine / steps) as u32, seed: 6, ..Default::default() };
    let ensemble = Ensemble::new(problem, &zero, InitialState::Point(vec![1.0]), params).unwrap();
    let record = Record { final_states: true, ..Default::default() };
    ensemble.with_record(record).unwrap().run().unwrap().0.final_states.unwrap().data().to_vec()
}

fn root_mean_square(a: &[f64], b: &[f64]) -> f64 {
    (a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / a.len() as f64).sqrt()
}

#[test]
fn coupled_levels_share_the_brownian_path() {
    let fine = 960;
    // Without a drift X_T is W_T whatever the step.
    let brownian = Diffusion::ou(1, 0.0, 0.7, 1.0);
    let w = final_states(&brownian, fine, fine);
    for steps in [1, 3, 20, 480] {
        assert!(root_mean_square(&final_states(&brownian, steps, fine), &w) < 1e-13, "{steps}");
    }
    assert!(root_mean_square(&final_states(&brownian, 20, 20), &w) > 0.5, "another grid of the noise is another path");
    // Additive noise: Euler-Maruyama has strong order 1, so e(h) = C (h - h_fine) to leading order.
    let ou = Diffusion::ou(1, 2.0, 1.0, 1.0);
    let reference = final_states(&ou, fine, fine);
    let error =
        |steps: usize| root_mean_square(&final_states(&ou, steps, fine), &reference) / (1.0 / steps as f64 - 1.0 / fine as f64);
    let constants = [error(20), error(40), error(80)];
    for pair in constants.windows(2) {
        // Order p makes this ratio 2^(1-p); order 1/2 would give 1.41. The rest is the next power of h.
        assert!((pair[0] / pair[1] - 1.0).abs() < 0.1, "{constants:?}");
    }
}

/// Errors of the mean of X_T and of X_T^2 over 16 repetitions of 1024 paths, and z-scores of the means.
fn replicated(noise: NoiseSource) -> [(f64, f64); 2] {
    // dX = -X dt + 0.8 dB from 1 in 8 steps: X_8 is normal with mean a^8 and variance c^2 (1 - a^16) / (1 - a^2), a = 7/8.
    let mut problem = Diffusion::ou(1, 1.0, 0.8, 1.0);
    problem.terminal = Box::new(|x| x[0] * x[0]);
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let params = RolloutParams { paths: 1024, steps: 8, seed: 3, noise, ..Default::default() };
    let ensemble = Ensemble::new(&problem, &zero, InitialState::Point(vec![1.0]), params).unwrap();
    let runs = ensemble.replicate(16).unwrap();
    let (a, c2) = (7.0 / 8.0f64, 0.8 * 0.8 / 8.0);
    let (mean, variance) = (a.powi(8), c2 * (1.0 - a.powi(16)) / (1.0 - a * a));
    let first = runs.estimate(|s| s.mean[0].mean).unwrap();
    let second = runs.objective().unwrap();
    [(first.standard_error, first.z_score(mean)), (second.standard_error, second.z_score(mean * mean + variance))]
}

#[test]
fn sobol_points_are_at_least_five_times_better_than_independent_ones() {
    let (sobol, keyed) = (replicated(NoiseSource::Sobol), replicated(NoiseSource::Keyed));
    for ((error, z), (independent, z_independent)) in sobol.into_iter().zip(keyed) {
        assert!(5.0 * error < independent, "{error:e} {independent:e}");
        // Student's law with 15 degrees of freedom: |z| > 4.07 with probability 0.001.
        assert!(z.abs() < 4.07 && z_independent.abs() < 4.07, "{z} {z_independent}");
    }
}

#[test]
fn sobol_limits_are_typed_errors() {
    let problem = Diffusion::ou(2, 1.0, 0.8, 1.0);
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let run = |paths, steps, coarsening| {
        let params = RolloutParams { paths, steps, coarsening, noise: NoiseSource::Sobol, ..Default::default() };
        Ensemble::new(&problem, &zero, InitialState::Point(vec![1.0, 0.0]), params)?.run().map(|_| ())
    };
    assert!(run(64, 128, 1).is_ok());
    assert!(run(64, 129, 1).unwrap_err().to_string().contains("258"));
    assert!(run(64, 128, 2).unwrap_err().to_string().contains("512"));
    assert!(run(65_537, 8, 1).unwrap_err().to_string().contains("paths = 65537"));
    let params = RolloutParams::default();
    let ensemble = Ensemble::new(&problem, &zero, InitialState::Point(vec![1.0, 0.0]), params).unwrap();
    assert!(ensemble.replicate(1).unwrap_err().to_string().contains("replications = 1"));
}

#[test]
fn blocks_that_advance_side_by_side_give_the_same_bits() {
    // A table of 660 kB a time, above the 256 kB from which blocks share their steps; how many depends on the number of threads.
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-3.0, 3.0, 201).unwrap(); 2]).unwrap());
    let slice = |phase: f64| -> Vec<f64> { grid.points().data().iter().map(|x| (x + phase).sin()).collect() };
    let (times, slices) = (vec![0.0, 1.0], vec![slice(0.0), slice(1.0)]);
    let table = TableFeedback::new(grid.clone(), times, slices, 2, Interpolation::Cubic, Extrapolation::Clamp).unwrap();
    assert!(table.at(0.0).table_bytes() > 1 << 18);
    let problem = Diffusion::ou(2, 1.0, 0.8, 1.0);
    let ensemble = |threads| {
        let params = RolloutParams { paths: 1000, steps: 9, seed: 2, threads: Some(threads), ..Default::default() };
        let ensemble = Ensemble::new(&problem, &table, InitialState::Point(vec![1.0, -0.5]), params).unwrap();
        ensemble.with_record(Record { final_states: true, objectives: true, ..Default::default() }).unwrap()
    };
    let (one, _) = ensemble(1).run().unwrap();
    for threads in [2, 3, 8] {
        assert_eq!(ensemble(threads).run().unwrap().0, one, "{threads}");
    }
    // A replay runs its block alone.
    for path in [0, 63, 64, 999] {
        let alone = ensemble(1).replay(path).unwrap();
        assert_eq!(alone.objective().to_bits(), one.objectives.as_ref().unwrap()[path as usize].to_bits());
    }
}
