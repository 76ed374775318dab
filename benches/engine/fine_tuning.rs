//! Fine-tuning of mixtures in two and three dimensions against closed forms.

use crate::common::{Outcome, median, octahedron as six, ring as eight, ring_until};
use crate::models::cube;
use crate::show::{cpu_seconds, error, in_turn, line, note, number, time, timed};
use hjbridge::hjb::cole_hopf::{ColeHopfParams, ColeHopfSolver};
use hjbridge::hjb::smooth::{Integrator, Output, SmoothInfo, SmoothParams, SmoothSolver};
use hjbridge::hjb::{AdiParams, AdiSolver, HjbParams, HjbSolver};
use hjbridge::model::exact::{ClosedForm, closed_form};
use hjbridge::model::{FineTuning, PointBlock, TensorGrid};
use std::hint::black_box;
use std::sync::Arc;

/// sup errors of V and U on the cube |y_i| <= radius over the times shown.
pub struct Errors<'a> {
    problem: &'a FineTuning,
    exact: Box<dyn ClosedForm>,
    inside: Vec<usize>,
    points: PointBlock,
    nodes: usize,
    pub value: f64,
    pub control: f64,
}

impl<'a> Errors<'a> {
    pub fn new(problem: &'a FineTuning, grid: &TensorGrid, radius: f64) -> Outcome<Self> {
        let (all, d) = (grid.points(), grid.dim());
        let inside: Vec<usize> =
            (0..grid.len()).filter(|&j| (0..d).all(|i| all.coord(i)[j].abs() <= radius * (1.0 + 1e-12))).collect();
        let mut points = PointBlock::zeros(d, inside.len());
        for (k, &j) in inside.iter().enumerate() {
            (0..d).for_each(|i| points.as_mut().coord_mut(i)[k] = all.coord(i)[j]);
        }
        let exact = closed_form(problem)?.ok_or("no closed form")?;
        Ok(Errors { problem, exact, inside, points, nodes: grid.len(), value: 0.0, control: 0.0 })
    }

    /// Compare one level; that at T is the reward itself and is left out.
    pub fn see(&mut self, t: f64, value: &[f64], control: &[f64]) {
        if t >= self.problem.schedule().horizon() {
            return;
        }
        let (d, k) = (self.points.as_points().dim(), self.inside.len());
        let (mut v, mut u, mut s) = (vec![0.0; k], PointBlock::zeros(d, k), PointBlock::zeros(d, k));
        let at = self.exact.at(t);
        at.value(self.points.as_points(), &mut v);
        at.control(self.points.as_points(), u.as_mut());
        self.problem.score().at(t).eval(self.points.as_points(), s.as_mut());
        for (k, &j) in self.inside.iter().enumerate() {
            self.value = self.value.max((value[j] - v[k]).abs());
            let square = |i: usize| (s.coord(i)[k] + control[i * self.nodes + j] - u.coord(i)[k]).powi(2);
            self.control = self.control.max((0..d).map(square).sum::<f64>().sqrt());
        }
    }
}

/// Errors at 64 levels, and the median time of `runs` solves that hand out the same levels.
pub fn high_order(
    problem: &FineTuning,
    grid: &Arc<TensorGrid>,
    params: SmoothParams,
    radius: f64,
    runs: usize,
) -> Outcome<(f64, f64, f64, SmoothInfo)> {
    let solver = SmoothSolver::new(problem, grid.clone(), params)?;
    let mut errors = Errors::new(problem, grid, radius)?;
    solver.solve_observed(&mut |view| errors.see(view.t, view.value, view.control))?;
    let (info, seconds) = timed(runs, || Ok(solver.solve_observed(&mut |view| _ = black_box(view.value[0]))?))?;
    Ok((errors.value, errors.control, seconds, info))
}

/// The explicit route of this order and tolerance.
pub fn explicit(order: usize, tolerance: f64, levels: usize) -> SmoothParams {
    let output = Output::Levels(levels);
    SmoothParams { order, integrator: Integrator::Rkc, rtol: tolerance, atol: tolerance, output, ..SmoothParams::default() }
}

fn rates(info: &SmoothInfo) -> String {
    format!("{} right sides", info.right_sides)
}

/// Bar 4: V within 2.2e-4 and U within 3.2e-3 in 2 s, better in 0.5 s.
pub fn ring() -> Outcome<()> {
    let (problem, grid) = (eight()?, cube(2, -5.5, 5.5, 257)?);
    for (order, tolerance) in [(8, 6e-6), (6, 6e-6), (8, 1e-6)] {
        let (v, u, seconds, info) = high_order(&problem, &grid, explicit(order, tolerance, 64), 3.0, 5)?;
        let errors = [error("V", v, Some(2.2e-4)), error("U", u, Some(3.2e-3)), time(seconds, Some(2.0)), note(rates(&info))];
        line(&format!("order {order}, tolerance {tolerance:.0e}, 64 levels"), &errors);
    }
    println!("  the aim is 0.5 s");
    Ok(())
}

/// The ring by four routes on the same nodes.
pub fn alternatives() -> Outcome<()> {
    let (problem, grid) = (eight()?, cube(2, -5.5, 5.5, 257)?);
    let high = SmoothSolver::new(&problem, grid.clone(), explicit(8, 6e-6, 64))?;
    let monotone = HjbSolver::new(&problem, grid.clone(), HjbParams { steps: 64, ..HjbParams::default() })?;
    let split = AdiSolver::new(&problem, grid.clone(), AdiParams { steps: 64, ..AdiParams::default() })?;
    let linear = ColeHopfSolver::new(&problem, grid.clone(), ColeHopfParams { steps: 64, ..ColeHopfParams::default() })?;
    let fresh = || Errors::new(&problem, &grid, 3.0);
    let mut errors = [fresh()?, fresh()?, fresh()?, fresh()?];
    high.solve_observed(&mut |s| errors[0].see(s.t, s.value, s.control))?;
    let split_info = split.solve_observed(&mut |s| errors[2].see(s.t, s.value, s.control))?;
    let monotone_info = monotone.solve_observed(&mut |s| errors[1].see(s.t, s.value, s.control))?;
    let linear_info = linear.solve_observed(&mut |s| errors[3].see(s.t, s.value, s.control))?;
    let seconds = in_turn(
        3,
        &mut [
            &mut || Ok(high.solve_observed(&mut |_| {}).map(drop)?),
            &mut || Ok(monotone.solve_observed(&mut |_| {}).map(drop)?),
            &mut || Ok(split.solve_observed(&mut |_| {}).map(drop)?),
            &mut || Ok(linear.solve_observed(&mut |_| {}).map(drop)?),
        ],
    )?;
    let sweep = 1e3 * split_info.sweep_seconds / split_info.sweeps as f64;
    let names = [
        ("order 8, explicit".to_string(), "64 levels".to_string()),
        (
            "hybrid, Crank-Nicolson, 64 steps".into(),
            format!("{} {}", monotone_info.inner_iterations, monotone_info.linear_solver),
        ),
        ("splitting (Douglas), 64 steps".into(), format!("{} sweeps, {sweep:.2} ms each", split_info.sweeps)),
        ("Cole-Hopf, 64 steps".into(), format!("{} {}", linear_info.inner_iterations, linear_info.linear_solver)),
    ];
    for (k, (name, what)) in names.into_iter().enumerate() {
        let ratio = number("times the first", seconds[k] / seconds[0], None);
        let (v, u) = (error("V", errors[k].value, None), error("U", errors[k].control, None));
        line(&name, &[v, u, time(seconds[k], None), ratio, note(what)]);
    }
    Ok(())
}

/// Bar 4: 513^2 and 1025^2 at a cost per node and right side within 30 % of that on 257^2.
pub fn large() -> Outcome<()> {
    // the costs on a quarter of the horizon, so that the sizes can run in turn
    let (part, sizes) = (ring_until(0.5)?, [257, 513, 1025]);
    let solver = |n: usize| Ok(SmoothSolver::new(&part, cube(2, -5.5, 5.5, n)?, explicit(8, 6e-6, 1))?);
    let solvers = sizes.map(solver).into_iter().collect::<Outcome<Vec<_>>>()?;
    let (mut costs, mut work) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
    let mut evaluations = [0.0; 3];
    for _ in 0..3 {
        for (k, (solver, n)) in solvers.iter().zip(sizes).enumerate() {
            // the small one more often: a round sees the same machine
            let (runs, before) = ([5, 1, 1][k], cpu_seconds());
            let (info, seconds) = timed(runs, || Ok(solver.solve_observed(&mut |_| {})?))?;
            let spent = before.and_then(|b| Some((cpu_seconds()? - b) / runs as f64)).unwrap_or(f64::NAN);
            let count = (info.right_sides * n * n) as f64;
            costs[k].push(1e9 * seconds / count);
            work[k].push(1e9 * spent / count);
            evaluations[k] = info.coefficient_evaluations as f64 / info.right_sides as f64;
        }
    }
    let ratio = |of: &[Vec<f64>], k: usize| median(&mut of[k].iter().zip(&of[0]).map(|(a, b)| a / b).collect::<Vec<_>>());
    for (k, n) in sizes.into_iter().enumerate() {
        let figures = [
            number("ns per node and right side", median(&mut costs[k].clone()), None),
            number("of 257^2", ratio(&costs, k), Some(1.3)),
            number("all cores", median(&mut work[k].clone()), None),
            number("of 257^2", ratio(&work, k), None),
            number("ns to read ten such arrays and write one", stream(n * n), None),
            number("coefficients per right side", evaluations[k], None),
        ];
        line(&format!("order 8, {n}^2, T = 0.5"), &figures);
    }
    let problem = eight()?;
    for n in [513, 1025] {
        let grid = cube(2, -5.5, 5.5, n)?;
        let solver = SmoothSolver::new(&problem, grid.clone(), explicit(8, 6e-6, 8))?;
        let mut errors = Errors::new(&problem, &grid, 3.0)?;
        let info = solver.solve_observed(&mut |s| errors.see(s.t, s.value, s.control))?;
        let errors = [error("V", errors.value, Some(2.2e-4)), error("U", errors.control, Some(3.2e-3))];
        // the errors are measured on the way: for the time see above
        line(&format!("order 8, {n}^2, T = 2"), &errors.into_iter().chain([note(rates(&info))]).collect::<Vec<_>>());
    }
    Ok(())
}

/// Nanoseconds per entry of the memory traffic of one stage without its arithmetic: ten arrays read, one of them written.
fn stream(n: usize) -> f64 {
    use rayon::prelude::*;
    let arrays: Vec<Vec<f64>> = (0..9).map(|k| vec![k as f64; n]).collect();
    let mut out = vec![0.0; n];
    let chunk = n.div_ceil(6 * rayon::current_num_threads());
    let mut pass = || {
        out.par_chunks_mut(chunk).enumerate().for_each(|(task, out)| {
            let a: [&[f64]; 9] = std::array::from_fn(|k| &arrays[k][task * chunk..][..out.len()]);
            for (j, out) in out.iter_mut().enumerate() {
                let sum = |k: usize| a[k][j] + a[k + 1][j] + a[k + 2][j];
                *out = 0.5 * *out + (sum(0) + sum(3)) + sum(6);
            }
        });
    };
    let count = (200_000_000 / (8 * n)).max(5);
    pass();
    let clock = std::time::Instant::now();
    (0..count).for_each(|_| pass());
    black_box(&out);
    1e9 * clock.elapsed().as_secs_f64() / (count * n) as f64
}

/// Bar 4: 65^3 in 30 s.
pub fn octahedron() -> Outcome<()> {
    let (problem, grid) = (six()?, cube(3, -4.5, 4.5, 65)?);
    for order in [4, 8] {
        let (v, u, seconds, info) = high_order(&problem, &grid, explicit(order, 2e-5, 4), 2.6, 1)?;
        let figures = [error("V", v, Some(1e-3)), error("U", u, None), time(seconds, Some(30.0)), note(rates(&info))];
        line(&format!("order {order}, tolerance 2e-5"), &figures);
    }
    Ok(())
}
