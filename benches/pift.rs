//! One sweep of PI-FT, N = 256, on data/problems/mixture_1d.json (801 nodes), with 1 and 2 threads, and single sweeps with both:
//! the same problem at other N, and data/problems/ring_2d.json on 129 x 129 nodes, each without and with records of the iterates.
//!
//! Printed first: errors against the closed form of the continuous problem (the O(1/N) gap between the two problems, not an error
//! of the sweep), whether both thread counts give the same bits, and the ratio of their times, taken in turn in the same run.

mod common;

use common::{Outcome, exact, mixture_1d, paired, settings, shipped, sup};
use criterion::{SamplingMode, Throughput};
use hjbridge::model::{Axis, TensorGrid};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use hjbridge::problem::Problem;
use hjbridge::run::slice_errors;
use std::sync::Arc;
use std::time::Instant;

const N: usize = 256;

fn main() -> Outcome<()> {
    let mut criterion = settings();
    let problem = mixture_1d()?;
    let chain = Ddpm::new(&problem.model, DdpmParams { steps: N, ..DdpmParams::default() })?;
    let sweep = |threads: usize| {
        let params = PiFtParams { region: Some(problem.compare_on.clone()), threads, ..PiFtParams::default() };
        PiFt::new(&chain, problem.grid.clone(), params)
    };
    let (one, two) = (sweep(1)?, sweep(2)?);

    let (a, b) = (one.solve()?, two.solve()?);
    let exact = exact(&problem)?;
    let slice = |k: usize| (a.times[k], a.values[k].as_slice(), a.controls[k].as_slice());
    let (v, u) = sup(&slice_errors(&problem, exact.as_ref(), N, slice)?);
    println!(
        "mixture_1d, {} nodes, N = {N}; errors: sup over |y| <= 3 and all t_k < T against the closed form",
        problem.grid.len()
    );
    println!(
        "  V {v:.3e}, U {u:.3e}; most updates at a step {}, {} quadrature nodes",
        a.info.max_iterations(),
        a.info.quadrature.nodes_per_axis
    );
    println!("  1 and 2 threads give the same bits: {}", a.values == b.values && a.controls == b.controls);
    let updates: usize = a.info.steps.iter().map(|s| s.iterations + 1).sum();
    // per step one smoothing along each axis, then one evaluation per node and iterate
    let evaluations = (updates + N * a.info.quadrature_points) * a.info.nodes;
    let p = paired(7, || one.solve_observed(&mut |_| {}), || two.solve_observed(&mut |_| {}));
    println!(
        "  1 thread {:.0} ms ({:.0} M spline evaluations/s), 2 threads {:.0} ms: 2 / 1 = {:.2} (from {:.2} to {:.2} in 7 pairs)",
        1e3 * p.first,
        1e-6 * evaluations as f64 / p.first,
        1e3 * p.second,
        p.ratio,
        p.range.0,
        p.range.1
    );

    single("mixture_1d", &problem, &[32, 64, 128, 256, 1024])?;
    let mut ring = shipped("ring_2d.json")?;
    let axis = |i: usize| Axis::uniform(ring.grid.axis(i).nodes()[0], -ring.grid.axis(i).nodes()[0], 129);
    ring.grid = Arc::new(TensorGrid::new(vec![axis(0)?, axis(1)?])?);
    single("ring_2d", &ring, &[64])?;

    let mut group = criterion.benchmark_group("pift/mixture_1d, N = 256");
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(evaluations as u64));
    group.bench_function("1 thread", |b| b.iter(|| one.solve_observed(&mut |_| {})));
    group.bench_function("2 threads", |b| b.iter(|| two.solve_observed(&mut |_| {})));
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// The best of three sweeps, without and with records of the iterates, which the command keeps.
fn single(name: &str, problem: &Problem, steps: &[usize]) -> Outcome<()> {
    for &steps in steps {
        let chain = Ddpm::new(&problem.model, DdpmParams { steps, ..DdpmParams::default() })?;
        let mut best = [f64::INFINITY; 2];
        let mut nodes = 0;
        for _ in 0..3 {
            for (track, best) in [false, true].into_iter().zip(&mut best) {
                let params = PiFtParams { region: Some(problem.compare_on.clone()), track, ..PiFtParams::default() };
                let start = Instant::now();
                let info = PiFt::new(&chain, problem.grid.clone(), params)?.solve_observed(&mut |_| {})?;
                *best = best.min(start.elapsed().as_secs_f64());
                nodes = info.quadrature.nodes_per_axis;
            }
        }
        let [plain, tracked] = best;
        println!(
            "  {name}, {:?} nodes, N = {steps}: {plain:.3} s, with records {tracked:.3} s; {nodes} quadrature nodes",
            problem.grid.shape()
        );
    }
    Ok(())
}
