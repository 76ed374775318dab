//! Exit problems: dX = -grad U dt + sqrt(2/beta) (u dt + dB), U = sum alpha_i (x_i^2 - 1)^2, cost 1 + |u|^2/2 until a well is
//! reached; psi = exp(-V) is E exp(-tau). The settings are those of E. Ribera Borrell, sde-hjb-solver.

use crate::common::Outcome;
use crate::models::{Model, cube, node};
use crate::show::{error, in_turn, line, note, time, timed};
use hjbridge::hjb::cole_hopf::{StationaryColeHopf, StationaryColeHopfParams};
use hjbridge::hjb::linear::MultigridParams;
use hjbridge::hjb::{
    LevelSet, LinearSolverChoice, Placement, Sense, Space, StationaryParams, StationarySolver, StationaryValue, TargetSet,
};

/// psi(-1,-1) and psi(0,0) for alpha = (1, 2): 401^2 and 801^2 nodes with the boundary inside the cells, extrapolated by order 2.
const PLANE: [f64; 2] = [0.0442036749, 0.2387255992];

/// The same with the target replaced by the nodes in it, on 401^2 nodes, as published.
const STAIRCASE: [f64; 2] = [0.0440481660508, 0.237870330330];

/// Mean time from -1 to 1 for alpha = beta = 1: beta int_x^1 e^{beta U(y)} int_{-2}^y e^{-beta U(z)} dz dy.
const HITTING_TIME: f64 = 3.569416775867;

fn corner(alpha: [f64; 2]) -> impl TargetSet {
    let level = move |x: &[f64]| {
        let u = alpha[0] * (x[0] * x[0] - 1.0).powi(2) + alpha[1] * (x[1] * x[1] - 1.0).powi(2);
        (u - 0.25).max(-x[0]).max(-x[1])
    };
    LevelSet::new(level, |_: &[f64]| 0.0)
}

fn beyond_one() -> impl TargetSet {
    LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0)
}

/// psi at the two points.
fn psi(v: &StationaryValue) -> [f64; 2] {
    [[-1.0, -1.0], [0.0, 0.0]].map(|x| (-v.value()[node(v.grid(), &x)]).exp())
}

fn relative(found: [f64; 2], reference: [f64; 2]) -> f64 {
    (0..2).fold(0.0, |m, k| (found[k] / reference[k] - 1.0).abs().max(m))
}

fn linear_route(linear: LinearSolverChoice) -> StationaryColeHopfParams {
    StationaryColeHopfParams { sense: Sense::Minimise, linear, ..StationaryColeHopfParams::default() }
}

/// Bar 3: the linear route on 401^2 nodes in 1 s.
pub fn plane() -> Outcome<()> {
    let alpha = [1.0, 2.0];
    let (model, target, grid) = (Model::double_well(&alpha, 1.0, 1.0), corner(alpha), cube(2, -2.0, 2.0, 401)?);
    let linear = |choice| StationaryColeHopf::new(&model, grid.clone(), linear_route(choice));
    let lu = linear(LinearSolverChoice::SparseLu)?.with_target(&target, Placement::SubCell);
    let multigrid = linear(LinearSolverChoice::Multigrid(MultigridParams::default()))?.with_target(&target, Placement::SubCell);
    let stairs = linear(LinearSolverChoice::SparseLu)?.with_target(&target, Placement::Staircase);
    let params = StationaryParams { sense: Sense::Minimise, ..StationaryParams::default() };
    let howard = StationarySolver::new(&model, grid.clone(), params)?.with_target(&target, Placement::SubCell);
    let mut values: [Option<StationaryValue>; 4] = [None, None, None, None];
    let [a, b, c, d] = &mut values;
    let seconds = in_turn(
        3,
        &mut [
            &mut || {
                *a = Some(lu.solve()?.0);
                Ok(())
            },
            &mut || {
                *b = Some(multigrid.solve()?.0);
                Ok(())
            },
            &mut || {
                *c = Some(stairs.solve()?.0);
                Ok(())
            },
            &mut || {
                *d = Some(howard.solve()?.0);
                Ok(())
            },
        ],
    )?;
    let names = ["Cole-Hopf, sparse LU", "Cole-Hopf, multigrid", "Cole-Hopf, sparse LU, staircase", "policy iteration"];
    for (k, name) in names.into_iter().enumerate() {
        let found = psi(values[k].as_ref().ok_or("no solution")?);
        let mut figures = vec![error("psi (relative)", relative(found, PLANE), None)];
        figures.push(time(seconds[k], (k == 0).then_some(1.0)));
        if k == 2 {
            figures.push(error("from the published staircase", relative(found, STAIRCASE), Some(1e-6)));
        }
        figures.push(note(format!("psi {:.10} {:.10}", found[0], found[1])));
        line(name, &figures);
    }
    Ok(())
}

/// Bar 3: psi positive everywhere for wells up to alpha = 100, and V right where the cells resolve the well or the scheme is
/// fitted to it.
pub fn steep() -> Outcome<()> {
    let hybrid = (Space::Hybrid, "central");
    let fitted = (Space::Fitted, "fitted");
    for (dim, nodes, (space, name), alpha, bar) in [
        (1, 2001, hybrid, 30.0, 1e-2),
        (1, 2001, hybrid, 100.0, 1e-2),
        (2, 101, fitted, 30.0, 2e-3),
        (2, 101, fitted, 100.0, 2e-3),
        (2, 401, hybrid, 30.0, 2e-2),
    ] {
        let model = Model::double_well(&vec![alpha; dim], 1.0, 1.0);
        let grid = cube(dim, -2.0, 2.0, nodes)?;
        let (one, two) = (beyond_one(), corner([alpha; 2]));
        let target: &dyn TargetSet = if dim == 1 { &one } else { &two };
        let params = StationaryColeHopfParams { space, ..linear_route(LinearSolverChoice::Auto) };
        let solver = StationaryColeHopf::new(&model, grid, params)?.with_target(target, Placement::SubCell);
        let ((v, info), seconds) = timed(3, || Ok(solver.solve()?))?;
        // V = -log psi finite at each node is psi > 0 there
        let bad = v.value().iter().chain(v.control()).filter(|v| !v.is_finite()).count();
        // psi ~ 1/T for the mean time T between two metastable wells, 2/T^2 when two coordinates have to change theirs
        let rate = mean_hitting_time(alpha).ln();
        let reference = if dim == 1 { rate } else { 2.0 * rate - 2f64.ln() };
        let gap = (v.value()[node(v.grid(), &vec![-1.0; dim])] / reference - 1.0).abs();
        let mut figures = vec![
            error("nodes with psi <= 0 or NaN", bad as f64, Some(0.0)),
            error("V from that of the mean time, relative", gap, Some(bar)),
            time(seconds, None),
            note(format!("{:.0} decades, cell Peclet number {:.2}", info.decades, info.cell_peclet)),
        ];
        figures.extend(info.note.map(note));
        line(&format!("alpha = {alpha}, {nodes}^{dim}, {name}"), &figures);
    }
    Ok(())
}

/// The double integral from -1, by the midpoint rule.
fn mean_hitting_time(alpha: f64) -> f64 {
    let m = 2_100_000;
    let h = 3.0 / m as f64;
    let (mut inner, mut outer) = (0.0, 0.0);
    for k in 0..m {
        let y = -2.0 + (k as f64 + 0.5) * h;
        let e = (-alpha * (y * y - 1.0).powi(2)).exp();
        if y > -1.0 {
            outer += h * (inner + 0.5 * h * e) / e;
        }
        inner += h * e;
    }
    outer
}

/// Bar 3: mean hitting times without cancellation.
pub fn hitting_times() -> Outcome<()> {
    let target = beyond_one();
    let still = Model { control_dim: 0, ..Model::double_well(&[1.0], 1.0, 1.0) };
    for nodes in [2001, 8001] {
        let grid = cube(1, -2.0, 2.0, nodes)?;
        let solver = StationarySolver::new(&still, grid, StationaryParams::default())?;
        let solver = solver.with_target(&target, Placement::SubCell);
        let ((v, _), seconds) = timed(5, || Ok(solver.solve()?))?;
        let tau = v.value()[node(v.grid(), &[-1.0])];
        let figures = [error("time (relative)", (tau / HITTING_TIME - 1.0).abs(), Some(2e-6)), time(seconds, None)];
        line(&format!("one linear equation, {nodes} nodes"), &figures);
        // V/f -> tau: V is accurate relative to itself where psi = 1 - O(f) has lost every digit
        let f = 1e-13;
        let slow = Model::double_well(&[1.0], 1.0, f);
        let solver = StationaryColeHopf::new(&slow, v.grid().clone(), linear_route(LinearSolverChoice::Auto))?;
        let solver = solver.with_target(&target, Placement::SubCell);
        let ((v, _), seconds) = timed(5, || Ok(solver.solve()?))?;
        let v = v.value()[node(v.grid(), &[-1.0])];
        let from_psi = (1.0 - (-v).exp()) / f;
        let gap = error("from the equation (relative)", (v / f / tau - 1.0).abs(), Some(1e-9));
        let lost = note(format!("(1 - psi)/f in double precision is off by {:.0e}", (from_psi / tau - 1.0).abs()));
        line(&format!("V/f with f = 1e-13, {nodes} nodes"), &[gap, time(seconds, None), lost]);
    }
    Ok(())
}
