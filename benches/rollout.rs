//! Throughput of simulation on one thread: an Ornstein-Uhlenbeck process against a plain scalar loop, and the fine-tuned mixture
//! under its optimal policy from a grid table.
//!
//! Printed first: moments and objectives against the closed forms, and the ratio engine / plain loop, timed in turn in the same
//! run. The two do not do the same: the plain loop (xoshiro256++ and the ziggurat, one generator for all paths) gives mean and
//! variance of X_T; the engine addresses its noise by (seed, path, step), evaluates drift and policy through the traits, checks
//! every step for infinities, and also returns costs, rewards, objective with standard errors, and the range.

mod common;

use common::{Outcome, mixture_1d, paired, settings};
use criterion::{SamplingMode, Throughput};
use hjbridge::hjb::{HjbParams, HjbSolver};
use hjbridge::model::{
    Coefficients, ControlledDiffusion, Extrapolation, Interpolation, MatrixCoefficient, Points, PointsMut, ZeroFeedback,
};
use hjbridge::rollout::{Ensemble, InitialState, RolloutParams};
use hjbridge::run::{Silent, rollout, solve};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

const STEPS: usize = 200;
const OU_PATHS: usize = 100_000;
const MIXTURE_PATHS: usize = 20_000;

/// dX = (v - X) dt + dB on [0, 1], g = X_1.
struct OrnsteinUhlenbeck;

impl Coefficients for OrnsteinUhlenbeck {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (o, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *o = -x;
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for OrnsteinUhlenbeck {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        1.0
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.copy_from_slice(x.coord(0));
    }
}

/// Mean and variance of X_1 from X_0 = 1 by the shortest loop there is.
fn plain_loop() -> (f64, f64) {
    let h = 1.0 / STEPS as f64;
    let root = h.sqrt();
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..OU_PATHS {
        let mut x = 1.0f64;
        for _ in 0..STEPS {
            let xi: f64 = rng.sample(StandardNormal);
            x += -x * h + root * xi;
        }
        sum += x;
        squares += x * x;
    }
    let n = OU_PATHS as f64;
    (sum / n, (squares - sum * sum / n) / (n - 1.0))
}

fn one_thread(paths: usize) -> RolloutParams {
    RolloutParams { paths, steps: STEPS, seed: 1, threads: Some(1), ..RolloutParams::default() }
}

/// Million path-steps a second.
fn rate(paths: usize, seconds: f64) -> f64 {
    1e-6 * (paths * STEPS) as f64 / seconds
}

fn main() -> Outcome<()> {
    let mut criterion = settings();

    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let start = || InitialState::Point(vec![1.0]);
    let engine = Ensemble::new(&OrnsteinUhlenbeck, &zero, start(), one_thread(OU_PATHS))?;
    let (summary, _) = engine.run()?;
    // X_N of the Euler chain is normal with mean a^N and variance h (1 - a^2N) / (1 - a^2), a = 1 - h.
    let h = 1.0 / STEPS as f64;
    let a = 1.0 - h;
    let (mean, variance) = (a.powi(STEPS as i32), h * (1.0 - a.powi(2 * STEPS as i32)) / (1.0 - a * a));
    let (exact_mean, exact_variance) = ((-1.0f64).exp(), 0.5 * (1.0 - (-2.0f64).exp()));
    let n = OU_PATHS as f64;
    let (se_mean, se_variance) = ((variance / n).sqrt(), variance * (2.0 / (n - 1.0)).sqrt());
    println!("Ornstein-Uhlenbeck, {OU_PATHS} paths x {STEPS} steps, one thread");
    println!("  closed form of X_1: mean {exact_mean:.5}, variance {exact_variance:.5}");
    for (name, (m, v)) in [("engine", (summary.mean[0].mean, summary.covariance[0])), ("plain loop", plain_loop())] {
        println!(
            "  {name}: error of the mean {:.1e}, of the variance {:.1e}; against the law of the Euler chain z = {:.2}, {:.2}",
            m - exact_mean,
            v - exact_variance,
            (m - mean) / se_mean,
            (v - variance) / se_variance
        );
    }
    let p = paired(9, || engine.run(), plain_loop);
    println!(
        "  engine {:.0} M path-steps/s, plain loop {:.0} M: engine / plain {:.2} (from {:.2} to {:.2} in 9 pairs)",
        rate(OU_PATHS, p.first),
        rate(OU_PATHS, p.second),
        p.ratio,
        p.range.0,
        p.range.1
    );

    let mut problem = mixture_1d()?;
    problem.file.paths = MIXTURE_PATHS;
    let solved = solve(&problem, problem.file.time_steps, &Silent)?;
    let report = rollout(&problem, &solved, STEPS, Some(1), &Silent)?.report;
    let exact = solved.report.objective_exact.unwrap_or(f64::NAN);
    println!(
        "fine-tuned mixture, {MIXTURE_PATHS} paths x {STEPS} steps, policy from an 801 x 801 table; E V(0,Y_0) = {exact:.6}"
    );
    println!(
        "  objective {:.5}, standard error {:.1e}; bias of the Euler chain {:.1e}; z against that chain {:.2}",
        report.objective,
        report.objective_stderr,
        report.euler_objective - exact,
        report.z_score
    );
    println!(
        "  mean of Y_T {:.4} with standard error {:.1e}, exactly {:.4}",
        report.final_mean[0],
        report.final_mean_stderr[0],
        report.final_mean_exact.unwrap_or(f64::NAN)
    );

    let mut group = criterion.benchmark_group("rollout/ornstein_uhlenbeck");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements((OU_PATHS * STEPS) as u64));
    group.bench_function("engine", |b| b.iter(|| engine.run()));
    group.bench_function("plain scalar loop", |b| b.iter(plain_loop));
    group.finish();

    let mut group = criterion.benchmark_group("rollout/mixture_1d");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements((MIXTURE_PATHS * STEPS) as u64));
    let hjb = HjbParams { steps: problem.file.time_steps, ..HjbParams::default() };
    let (value, _) = HjbSolver::new(&problem.model, problem.grid.clone(), hjb)?.solve()?;
    let law = || InitialState::Law(problem.model.initial_law());
    let uncontrolled = Ensemble::new(&problem.model, &zero, law(), one_thread(MIXTURE_PATHS))?;
    group.bench_function("pre-trained (score only)", |b| b.iter(|| uncontrolled.run()));
    for (interpolation, name) in [(Interpolation::Cubic, "cubic table"), (Interpolation::Linear, "linear table")] {
        let policy = value.feedback(interpolation, Extrapolation::Linear)?;
        let controlled = Ensemble::new(&problem.model, &policy, law(), one_thread(MIXTURE_PATHS))?;
        group.bench_function(name, |b| b.iter(|| controlled.run()));
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}
