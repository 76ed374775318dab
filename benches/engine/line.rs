//! Problems on the line: the mixture and the double well.

use crate::common::{Outcome, mixture_1d};
use crate::fine_tuning::{Errors, high_order};
use crate::models::cube;
use crate::show::{error, in_turn, line, note, number, time, timed};
use crate::wells::{Values, apart, read, reference, soc};
use hjbridge::hjb::linear::{LinearSolver, Tridiagonal};
use hjbridge::hjb::smooth::{Integrator, Output, SmoothParams, SmoothSolver};
use hjbridge::hjb::{Generator, HjbParams, HjbSolver, Sense, Space, Time};
use hjbridge::model::TensorGrid;
use std::sync::Arc;

/// Bar 1: 401 nodes, V within 1e-7 and U within 1e-5 in 0.3 s; order 2 on 801 x 800 in 0.15 s.
pub fn mixture() -> Outcome<()> {
    let problem = mixture_1d()?;
    let grid = cube(1, -6.0, 6.0, 401)?;
    for (order, tolerance) in [(8, 1e-9), (6, 1e-9)] {
        let output = Output::Levels(128);
        let params =
            SmoothParams { order, integrator: Integrator::Bdf, rtol: tolerance, atol: tolerance, output, ..Default::default() };
        let (v, u, seconds, info) = high_order(&problem.model, &grid, params, 3.0, 5)?;
        let name = format!("401 nodes, order {order}, BDF {tolerance:.0e}, 128 levels");
        let steps = note(format!("{} steps", info.steps));
        line(&name, &[error("V", v, Some(1e-7)), error("U", u, Some(1e-5)), time(seconds, Some(0.3)), steps]);
    }
    let params = HjbParams { steps: 800, ..HjbParams::default() };
    let solver = HjbSolver::new(&problem.model, problem.grid.clone(), params)?;
    let mut errors = Errors::new(&problem.model, &problem.grid, 3.0)?;
    solver.solve_observed(&mut |s| errors.see(s.t, s.value, s.control))?;
    let (_, seconds) = timed(5, || Ok(solver.solve_observed(&mut |_| {})?))?;
    let figures = [error("V", errors.value, None), error("U", errors.control, None), time(seconds, Some(0.15))];
    line("801 x 800, hybrid, Crank-Nicolson", &figures);
    Ok(())
}

/// The linear systems of the monotone solution alone: `count` factorisations and solutions.
fn tridiagonal_solves(grid: &Arc<TensorGrid>, count: usize) -> Outcome<impl FnMut() -> Outcome<()>> {
    let x = grid.axis(0).nodes();
    let drift: Vec<f64> = x.iter().map(|x| -20.0 * x * (x * x - 1.0)).collect();
    let mut generator = Generator::new(grid.clone(), Space::Hybrid.scheme(), HjbParams::default().boundary);
    let rates = generator.assemble(&drift, &vec![1.0; x.len()])?;
    let mut matrix = rates.clone();
    matrix.set_identity_minus(5e-4, rates);
    let mut solver = Tridiagonal::new(&matrix)?;
    let start: Vec<f64> = x.iter().map(|x| 3.0 * (x * x - 1.0).powi(2)).collect();
    let mut b = start.clone();
    Ok(move || {
        for _ in 0..count {
            b.copy_from_slice(&start);
            solver.factorise(&matrix)?;
            solver.solve(&matrix, &mut b)?;
        }
        Ok(())
    })
}

/// Bar 2: within 1e-4 of the table in less time than 0.65 s, what the banded solves alone take a peer on this size.
pub fn double_well() -> Outcome<()> {
    let (model, grid, table) = (soc(1.0), cube(1, -2.75, 2.75, 5500)?, reference());
    for time_scheme in [Time::TrBdf2, Time::CrankNicolson] {
        let params = HjbParams { time: time_scheme, steps: 1000, sense: Sense::Minimise, ..HjbParams::default() };
        let solver = HjbSolver::new(&model, grid.clone(), params)?;
        let mut found = Values::new();
        let info = solver.solve_observed(&mut |s| read(&mut found, &grid, 1.0, s.t, s.value, s.control))?;
        let (v, u) = apart(&found, &table, 0..3);
        let mut alone = tridiagonal_solves(&grid, info.inner_iterations)?;
        let seconds = in_turn(5, &mut [&mut || Ok(solver.solve_observed(&mut |_| {}).map(drop)?), &mut alone])?;
        let ratio = number("times its own tridiagonal solves alone", seconds[0] / seconds[1], None);
        let alone = note(format!("{} of them in {:.3} s", info.inner_iterations, seconds[1]));
        // Crank-Nicolson is the alternative: its start-up of order 1 shows at t = 0.9
        let (bar, limit) = if time_scheme == Time::TrBdf2 { (Some(1e-4), Some(0.65)) } else { (None, None) };
        let figures = [error("V", v, bar), error("u", u, bar), time(seconds[0], limit), ratio, alone];
        line(&format!("hybrid, {}", time_scheme.name()), &figures);
    }
    Ok(())
}

/// Bar 2: the error falls with refinement down to 1e-8.
pub fn double_well_high_order() -> Outcome<()> {
    // At the faces the drift is -170: nothing comes from there, and the box may be tight.
    let (model, table) = (soc(-1.0), reference());
    let mut all = Vec::new();
    for nodes in [101, 201, 401, 801] {
        let grid = cube(1, -2.2, 2.2, nodes)?;
        let output = Output::Times(vec![0.0, 0.5, 0.9]);
        let params = SmoothParams { integrator: Integrator::Bdf, rtol: 1e-11, atol: 1e-11, output, ..Default::default() };
        let solver = SmoothSolver::new(&model, grid.clone(), params)?;
        let mut found = Values::new();
        solver.solve_observed(&mut |s| read(&mut found, &grid, -1.0, s.t, s.value, s.control))?;
        let (info, seconds) = timed(3, || Ok(solver.solve_observed(&mut |_| {})?))?;
        all.push((nodes, found, seconds, info.steps));
    }
    let finest = all[3].1.clone();
    for (nodes, found, seconds, steps) in &all {
        // the bar holds from 401 nodes on
        let bar = |b: f64| (*nodes >= 401).then_some(b);
        let (early, late) = (apart(found, &table, 0..2), apart(found, &finest, 0..3));
        let mut figures = vec![error("V at t <= 0.5", early.0, bar(1e-8)), error("u", early.1, bar(1e-8))];
        if *nodes < 801 {
            figures.extend([error("V from 801 nodes, all t", late.0, bar(1e-8)), error("u", late.1, bar(1e-7))]);
        }
        figures.extend([time(*seconds, None), note(format!("{steps} steps"))]);
        line(&format!("{nodes} nodes, order 8, BDF 1e-11"), &figures);
    }
    Ok(())
}
