//! What the benches share: the problem, short criterion settings, errors against the closed form, paired timings.
#![allow(dead_code)] // each bench uses its part

pub mod simulation;

use criterion::Criterion;
use hjbridge::hjb::{Face, Generator, HjbInfo, HjbParams, HjbSolver, Space, StencilMatrix};
use hjbridge::model::exact::{ClosedForm, closed_form};
use hjbridge::model::fine_tuning::{FineTuning, InitialLaw};
use hjbridge::model::reward::Reward;
use hjbridge::model::{Axis, GaussianMixture, KlWeight, PointBlock, Schedule, TensorGrid};
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::{SliceError, slice_errors};
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whatever went wrong.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// data/problems/mixture_1d.json: 801 nodes on [-6, 6], 800 steps, T = 2.
pub fn mixture_1d() -> Outcome<Problem> {
    shipped("mixture_1d.json")
}

/// A file of data/problems.
pub fn shipped(name: &str) -> Outcome<Problem> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    Ok(Problem::resolve(ProblemFile::read(&directory.join(name))?, &directory)?)
}

/// Eight equal Gaussians on a circle of radius 2 with a quadratic reward; T = 2.
pub fn ring() -> Outcome<FineTuning> {
    ring_until(2.0)
}

/// The same with another horizon.
pub fn ring_until(horizon: f64) -> Outcome<FineTuning> {
    let angle = |k: usize| k as f64 * std::f64::consts::FRAC_PI_4;
    let means = (0..8).map(|k| vec![2.0 * angle(k).cos(), 2.0 * angle(k).sin()]).collect();
    let prior = GaussianMixture::new(vec![0.125; 8], means, vec![vec![vec![0.16, 0.0], vec![0.0, 0.16]]; 8])?;
    let reward = Reward::quadratic(&[vec![0.5, 0.0], vec![0.0, 0.2]], vec![1.0, 0.5], 0.0)?;
    Ok(FineTuning::new(Schedule::linear(horizon, 0.5, 3.0)?, prior, reward, KlWeight::constant(0.8)?, InitialLaw::NoisedPrior)?)
}

/// Six Gaussians on the axes of R^3 and a quadratic reward.
pub fn octahedron() -> Outcome<FineTuning> {
    let mean = |k: usize| (0..3).map(|i| if i == k / 2 { [1.8, -1.8][k % 2] } else { 0.0 }).collect::<Vec<f64>>();
    let covariance: Vec<Vec<f64>> = (0..3).map(|i| (0..3).map(|j| if i == j { 0.25 } else { 0.0 }).collect()).collect();
    let prior = GaussianMixture::new(vec![1.0 / 6.0; 6], (0..6).map(mean).collect(), vec![covariance; 6])?;
    let q = [vec![0.5, 0.1, 0.0], vec![0.1, 0.3, 0.0], vec![0.0, 0.0, 0.2]];
    let reward = Reward::quadratic(&q, vec![0.8, 0.4, -0.3], 0.0)?;
    Ok(FineTuning::new(Schedule::linear(2.0, 0.5, 3.0)?, prior, reward, KlWeight::constant(0.8)?, InitialLaw::NoisedPrior)?)
}

/// The generator of dX = (-X + X rotated by a right angle) dt + dB on n^2 nodes of [-3, 3]^2, hybrid, reflecting faces.
pub fn rotation(n: usize) -> Outcome<StencilMatrix> {
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-3.0, 3.0, n)?; 2])?);
    let drift = rotating_drift(&grid);
    let mut generator = Generator::new(grid.clone(), Space::Hybrid.scheme(), Face::Reflecting);
    Ok(generator.assemble(&drift, &vec![1.0; 2 * grid.len()])?.clone())
}

/// Its drift, component by component.
pub fn rotating_drift(grid: &TensorGrid) -> Vec<f64> {
    let points = grid.points();
    let (x, y) = (points.coord(0), points.coord(1));
    let first = x.iter().zip(y).map(|(x, y)| -x - y);
    first.chain(x.iter().zip(y).map(|(x, y)| x - y)).collect()
}

/// Ten samples within about 2.5 seconds for each figure: good to a few per cent on a quiet machine, and a whole run stays short.
pub fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(2500))
        .configure_from_args()
}

/// The closed form, which mixture_1d has.
pub fn exact(problem: &Problem) -> Outcome<Box<dyn ClosedForm>> {
    closed_form(&problem.model)?.ok_or_else(|| "the problem has no closed form".into())
}

/// sup |V - V_exact| and sup |U - U_exact| over the problem's comparison box and all t_k < T.
pub fn sup(errors: &[SliceError]) -> (f64, f64) {
    errors.iter().fold((0.0, 0.0), |(v, u), e| (e.value.0.max(v), e.control.0.max(u)))
}

/// Solve once and measure the errors of V and of U = s + v as [`sup`] does.
pub fn hjb_errors(problem: &Problem, params: HjbParams) -> Outcome<(f64, f64, HjbInfo)> {
    let (solution, info) = HjbSolver::new(&problem.model, problem.grid.clone(), params)?.solve()?;
    let (times, points) = (solution.times(), problem.grid.points());
    let controls: Vec<Vec<f64>> = (0..times.len())
        .map(|k| {
            let mut s = PointBlock::zeros(problem.dim(), points.len());
            problem.model.score().at(times[k]).eval(points.as_points(), s.as_mut());
            s.data().iter().zip(solution.control(k)).map(|(s, v)| s + v).collect()
        })
        .collect();
    let exact = exact(problem)?;
    let slice = |k: usize| (times[k], solution.value(k), controls[k].as_slice());
    let (v, u) = sup(&slice_errors(problem, exact.as_ref(), times.len() - 1, slice)?);
    Ok((v, u, info))
}

/// Times of two tasks that do the same work, taken in turn so that a busy machine slows both.
pub struct Paired {
    /// Median seconds of the first.
    pub first: f64,
    /// Median seconds of the second.
    pub second: f64,
    /// Median of second / first over the pairs.
    pub ratio: f64,
    /// Least and largest of these ratios.
    pub range: (f64, f64),
}

/// Run `first` and `second` in turn, `pairs` times, after one run of each that does not count.
pub fn paired<A, B>(pairs: usize, mut first: impl FnMut() -> A, mut second: impl FnMut() -> B) -> Paired {
    black_box((first(), second()));
    let (mut a, mut b, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..pairs {
        let start = Instant::now();
        black_box(first());
        let middle = Instant::now();
        black_box(second());
        let end = Instant::now();
        let (x, y) = ((middle - start).as_secs_f64(), (end - middle).as_secs_f64());
        a.push(x);
        b.push(y);
        ratios.push(y / x);
    }
    let (first, second, ratio) = (median(&mut a), median(&mut b), median(&mut ratios));
    Paired { first, second, ratio, range: (ratios[0], ratios[ratios.len() - 1]) }
}

/// Sorts the values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    0.5 * (values[(n - 1) / 2] + values[n / 2])
}
