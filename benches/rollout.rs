//! Throughput of simulation against plain scalar loops, with an exact score and from tables, and what limits it.
//!
//! Printed first: estimates against the closed forms, and the ratios, each the median over pairs of runs timed in turn in the same
//! process. The engine and the plain loops do not do the same: the loops (xoshiro256++ and the ziggurat) give a mean; the engine
//! addresses its noise by (seed, path, step), evaluates drift and policy through the traits, checks every step for infinities,
//! and also returns costs, rewards, objective with standard errors, and the range.

mod common;

use common::simulation::{
    DoubleWell, MIXTURE, OU, OrnsteinUhlenbeck, WELL, double_well_policy, mixture, mixture_exact, plain_mixture, plain_ou,
    tabulated,
};
use common::{Outcome, mixture_1d, paired, settings};
use criterion::{SamplingMode, Throughput};
use hjbridge::hjb::{HjbParams, HjbSolver};
use hjbridge::model::dispatch::InstructionSet;
use hjbridge::model::{
    ControlledDiffusion, Extrapolation, Feedback, FineTuning, Interpolation, ZeroFeedback, lanes::exp_in_place,
};
use hjbridge::rollout::noise::{LANES, NormalStream};
use hjbridge::rollout::{Ensemble, InitialState, RolloutParams};
use hjbridge::run::{RolloutOptions, Silent, rollout, solve};
use std::hint::black_box;
use std::time::Instant;

const STEPS: usize = 200;
const MIXTURE_1D_PATHS: usize = 20_000;

fn threads((paths, steps): (usize, usize), threads: usize) -> RolloutParams {
    RolloutParams { paths, steps, seed: 1, threads: Some(threads), ..RolloutParams::default() }
}

/// Million path-steps a second.
fn rate((paths, steps): (usize, usize), seconds: f64) -> f64 {
    1e-6 * (paths * steps) as f64 / seconds
}

/// The least of `runs` timings, in seconds.
fn least(runs: usize, mut task: impl FnMut()) -> f64 {
    let timed = |_| {
        let start = Instant::now();
        task();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(timed).fold(f64::INFINITY, f64::min)
}

/// What the machine gives: normal numbers and exponentials a second, on one core and without anything else.
fn limits() {
    println!("limits of one core, {:?} detected", InstructionSet::detected());
    let stream = NormalStream::new(1, 0);
    for set in InstructionSet::ALL {
        let mut z = [[0.0; LANES]; 4];
        let seconds = least(7, || {
            for group in 0..20_000 {
                let [a, b, c, d] = &mut z;
                stream.fill_with(set, 7, group, 0, [a, b, c, d]);
                black_box(&z);
            }
        });
        println!("  normal numbers, {set:?}: {:.0} M/s", 1e-6 * 20_000.0 * 256.0 / seconds);
    }
    let mut x = [0.0; 1024];
    let seconds = least(7, || {
        for _ in 0..5_000 {
            x.iter_mut().enumerate().for_each(|(i, x)| *x = -0.01 * i as f64);
            exp_in_place(&mut x);
            black_box(&x);
        }
    });
    println!("  exponentials: {:.0} M/s", 1e-6 * 5_000.0 * 1024.0 / seconds);
}

fn ornstein_uhlenbeck() -> Outcome<()> {
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let engine = |n| Ensemble::new(&OrnsteinUhlenbeck, &zero, InitialState::Point(vec![1.0]), threads(OU, n));
    let (one, two) = (engine(1)?, engine(2)?);
    let summary = one.run()?.0;
    // X_N of the Euler chain is normal with mean a^N and variance h (1 - a^2N) / (1 - a^2), a = 1 - h.
    let (paths, steps) = OU;
    let h = 2.0 / steps as f64;
    let a = 1.0 - h;
    let (mean, variance) = (a.powi(steps as i32), h * (1.0 - a.powi(2 * steps as i32)) / (1.0 - a * a));
    let n = paths as f64;
    let (se_mean, se_variance) = ((variance / n).sqrt(), variance * (2.0 / (n - 1.0)).sqrt());
    println!("Ornstein-Uhlenbeck, {paths} paths x {steps} steps");
    for (name, (m, v)) in [("engine", (summary.mean[0].mean, summary.covariance[0])), ("plain loop", plain_ou(true))] {
        println!(
            "  {name}: mean and variance at z = {:.2}, {:.2} of the Euler chain's law",
            (m - mean) / se_mean,
            (v - variance) / se_variance
        );
    }
    for (name, each) in [("one keyed generator for each path", true), ("one generator for all paths", false)] {
        let p = paired(9, || one.run(), || plain_ou(each));
        let (engine, plain) = (rate(OU, p.first), rate(OU, p.second));
        println!(
            "  engine {engine:.0} M path-steps/s, plain loop with {name} {plain:.0} M: ratio {:.2} ({:.2} to {:.2})",
            p.ratio, p.range.0, p.range.1
        );
    }
    let p = paired(9, || two.run(), || one.run());
    println!("  two threads / one thread: {:.2} ({:.2} to {:.2})", p.ratio, p.range.0, p.range.1);
    Ok(())
}

fn mixture_2d() -> Outcome<()> {
    let zero = ZeroFeedback { dim: 2, control_dim: 2 };
    let problem = mixture()?;
    fn engine<'a>(problem: &'a FineTuning, zero: &'a dyn Feedback, n: usize) -> Outcome<Ensemble<'a>> {
        Ok(Ensemble::new(problem, zero, InitialState::Law(problem.initial_law()), threads(MIXTURE, n))?)
    }
    let (one, two) = (engine(&problem, &zero, 1)?, engine(&problem, &zero, 2)?);
    let reward = one.run()?.0.terminal_reward;
    println!("reverse diffusion of 8 Gaussians in the plane, {} paths x {} steps", MIXTURE.0, MIXTURE.1);
    println!(
        "  mean reward {:.5} (standard error {:.1e}), plain loop {:.5}; law at the end, without the error of N(0, I) and of the steps, {:.5}",
        reward.mean,
        reward.standard_error,
        plain_mixture(),
        mixture_exact()
    );
    let p = paired(5, || one.run(), plain_mixture);
    println!(
        "  engine {:.1} M path-steps/s, plain loop {:.1} M: ratio {:.2} ({:.2} to {:.2})",
        rate(MIXTURE, p.first),
        rate(MIXTURE, p.second),
        p.ratio,
        p.range.0,
        p.range.1
    );
    let p = paired(5, || two.run(), || one.run());
    println!("  two threads / one thread: {:.2} ({:.2} to {:.2})", p.ratio, p.range.0, p.range.1);
    for slices in [2, 51] {
        let table = tabulated(&problem, slices)?;
        let tabulated = engine(&table, &zero, 1)?;
        let p = paired(5, || tabulated.run(), || one.run());
        println!(
            "  score from a cubic table of 257 x 257 nodes x {slices} times: {:.1} M path-steps/s, {:.2} of the exact score's rate",
            rate(MIXTURE, p.first),
            p.ratio
        );
    }
    Ok(())
}

fn double_well() -> Outcome<()> {
    let policy = double_well_policy()?;
    println!("double well in R^10, policy from ten tables on lines, {} paths x {} steps", WELL.0, WELL.1);
    for n in [1, 2] {
        let engine = Ensemble::new(&DoubleWell, &policy, InitialState::Point(vec![0.0; DoubleWell.dim()]), threads(WELL, n))?;
        let seconds = least(5, || drop(black_box(engine.run())));
        println!("  {n} thread(s): {seconds:.3} s, {:.1} M path-steps/s", rate(WELL, seconds));
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let mut criterion = settings();
    limits();
    ornstein_uhlenbeck()?;
    mixture_2d()?;
    double_well()?;

    let mut problem = mixture_1d()?;
    problem.file.paths = MIXTURE_1D_PATHS;
    let solved = solve(&problem, problem.file.time_steps, &Silent)?;
    let options = RolloutOptions { steps: Some(STEPS), threads: Some(1), ..RolloutOptions::default() };
    let report = rollout(&problem, &solved, &options, &Silent)?.report;
    let exact = solved.report.objective_exact.unwrap_or(f64::NAN);
    println!(
        "fine-tuned mixture, {MIXTURE_1D_PATHS} paths x {STEPS} steps, policy from an 801 x 801 table; E V(0,Y_0) = {exact:.6}"
    );
    println!(
        "  objective {:.5}, standard error {:.1e}; bias of the Euler chain {:.1e}; z against that chain {:.2}",
        report.estimates.objective.mean,
        report.estimates.objective.standard_error,
        report.euler_objective.unwrap_or(f64::NAN) - exact,
        report.z_score
    );
    println!(
        "  mean of Y_T {:.4} with standard error {:.1e}, exactly {:.4}",
        report.estimates.final_mean[0].mean,
        report.estimates.final_mean[0].standard_error,
        report.final_mean_exact.unwrap_or(f64::NAN)
    );

    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let ou = Ensemble::new(&OrnsteinUhlenbeck, &zero, InitialState::Point(vec![1.0]), threads(OU, 1))?;
    let mut group = criterion.benchmark_group("rollout/ornstein_uhlenbeck");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements((OU.0 * OU.1) as u64));
    group.bench_function("engine", |b| b.iter(|| ou.run()));
    group.bench_function("plain scalar loop", |b| b.iter(|| plain_ou(true)));
    group.finish();

    let mut group = criterion.benchmark_group("rollout/mixture_1d");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements((MIXTURE_1D_PATHS * STEPS) as u64));
    let hjb = HjbParams { steps: problem.file.time_steps, ..HjbParams::default() };
    let (value, _) = HjbSolver::new(&problem.model, problem.grid.clone(), hjb)?.solve()?;
    let law = || InitialState::Law(problem.model.initial_law());
    let uncontrolled = Ensemble::new(&problem.model, &zero, law(), threads((MIXTURE_1D_PATHS, STEPS), 1))?;
    group.bench_function("pre-trained (score only)", |b| b.iter(|| uncontrolled.run()));
    for (interpolation, name) in [(Interpolation::Cubic, "cubic table"), (Interpolation::Linear, "linear table")] {
        let policy = value.feedback(interpolation, Extrapolation::Linear)?;
        let controlled = Ensemble::new(&problem.model, &policy, law(), threads((MIXTURE_1D_PATHS, STEPS), 1))?;
        group.bench_function(name, |b| b.iter(|| controlled.run()));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
