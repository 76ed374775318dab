//! Correlated noise, controls in a box, optimal stopping.

use crate::common::{Outcome, paired};
use crate::models::{Model, Sigma, cube, interpolate, lattice};
use crate::show::{error, line, note, time, timed};
use hjbridge::hjb::smooth::{Integrator, Output, SmoothParams, SmoothSolver};
use hjbridge::hjb::{HjbParams, HjbSolver, Storage, Time};
use hjbridge::model::{ControlSet, TensorGrid};

type Square = [[f64; 2]; 2];

/// Bar 5.
pub fn all() -> Outcome<()> {
    correlated()?;
    bounded()?;
    put()
}

const DRIFT: Square = [[-0.5, 0.3], [-0.2, -0.8]];
const TERMINAL: Square = [[1.0, 0.3], [0.3, 0.6]];
/// sigma sigma' of sigma = (0.8, 0; 0.4, 0.6).
const DIFFUSION: Square = [[0.64, 0.32], [0.32, 0.52]];

fn weight(t: f64) -> f64 {
    0.5 + 0.6 * t * t + 0.2 * (3.0 * t).sin()
}

/// K and l of V(0, x) = -x'Kx/2 + l: K' = -(A'K + KA) + K^2/R(t), l' = tr(a K)/2, by 20000 Runge-Kutta steps backward.
fn riccati() -> (Square, f64) {
    let slope = |t: f64, k: Square| {
        let (mut out, mut trace) = ([[0.0; 2]; 2], 0.0);
        for i in 0..2 {
            for j in 0..2 {
                for m in 0..2 {
                    out[i][j] += -(DRIFT[m][i] * k[m][j] + k[i][m] * DRIFT[m][j]) + k[i][m] * k[m][j] / weight(t);
                }
                trace += 0.5 * DIFFUSION[i][j] * k[j][i];
            }
        }
        (out, trace)
    };
    let add = |k: Square, s: Square, h: f64| [0, 1].map(|i| [0, 1].map(|j| k[i][j] - h * s[i][j]));
    let (mut k, mut l, steps) = (TERMINAL, 0.0, 20_000);
    let h = 1.0 / steps as f64;
    for n in 0..steps {
        let t = 1.0 - n as f64 * h;
        let (s1, l1) = slope(t, k);
        let (s2, l2) = slope(t - 0.5 * h, add(k, s1, 0.5 * h));
        let (s3, l3) = slope(t - 0.5 * h, add(k, s2, 0.5 * h));
        let (s4, l4) = slope(t - h, add(k, s3, h));
        let mean = [0, 1].map(|i| [0, 1].map(|j| (s1[i][j] + 2.0 * s2[i][j] + 2.0 * s3[i][j] + s4[i][j]) / 6.0));
        k = add(k, mean, h);
        l -= h * (l1 + 2.0 * l2 + 2.0 * l3 + l4) / 6.0;
    }
    (k, l)
}

/// sup errors of V and v at t = 0 on |x_i| <= 1.
fn correlated_errors(grid: &TensorGrid, value: &[f64], control: &[f64]) -> (f64, f64) {
    let ((k, l), points, n) = (riccati(), grid.points(), grid.len());
    let mut worst = (0.0f64, 0.0f64);
    for j in 0..n {
        let x = [points.coord(0)[j], points.coord(1)[j]];
        if x.iter().any(|x| x.abs() > 1.0 + 1e-12) {
            continue;
        }
        let exact = l - 0.5 * (k[0][0] * x[0] * x[0] + 2.0 * k[0][1] * x[0] * x[1] + k[1][1] * x[1] * x[1]);
        worst.0 = worst.0.max((value[j] - exact).abs());
        for i in 0..2 {
            let v = -(k[i][0] * x[0] + k[i][1] * x[1]) / weight(0.0);
            worst.1 = worst.1.max((control[i * n + j] - v).abs());
        }
    }
    worst
}

fn correlated() -> Outcome<()> {
    let model = Model {
        dim: 2,
        control_dim: 2,
        drift: Box::new(|x, mut out| {
            for i in 0..2 {
                let (a, b) = (x.coord(0), x.coord(1));
                out.coord_mut(i).iter_mut().enumerate().for_each(|(j, f)| *f = DRIFT[i][0] * a[j] + DRIFT[i][1] * b[j]);
            }
        }),
        sigma: Sigma::Full(vec![0.8, 0.0, 0.4, 0.6]),
        weight,
        terminal: Box::new(|x, g| {
            let (a, b) = (x.coord(0), x.coord(1));
            let q = &TERMINAL;
            g.iter_mut().enumerate().for_each(|(j, g)| {
                *g = -0.5 * (q[0][0] * a[j] * a[j] + 2.0 * q[0][1] * a[j] * b[j] + q[1][1] * b[j] * b[j]);
            });
        }),
        ..Model::default()
    };
    let mut last: Option<f64> = None;
    for n in [65, 129] {
        let grid = cube(2, -4.0, 4.0, n)?;
        let params = HjbParams { steps: n / 4, storage: Storage::AtMost(2), ..HjbParams::default() };
        let solver = HjbSolver::new(&model, grid.clone(), params)?;
        let ((v, info), seconds) = timed(3, || Ok(solver.solve()?))?;
        let (e, u) = correlated_errors(&grid, v.value(0), v.control(0));
        let order = last.map_or(String::new(), |l| format!("order {:.2}, ", (l / e).log2()));
        let note = note(format!("{order}{} negative rates", info.monotonicity.violations));
        let bar = (n == 129).then_some(3e-4);
        let name = format!("LQ, cross diffusion, R(t): {n}^2 x {}", n / 4);
        line(&name, &[error("V", e, bar), error("v", u, bar.map(|_| 1e-3)), time(seconds, None), note]);
        last = Some(e);
    }
    let grid = cube(2, -3.0, 3.0, 33)?;
    let params =
        SmoothParams { integrator: Integrator::Rkc, rtol: 1e-9, atol: 1e-10, output: Output::Levels(1), ..Default::default() };
    let solver = SmoothSolver::new(&model, grid.clone(), params)?;
    let ((v, info), seconds) = timed(3, || Ok(solver.solve()?))?;
    let (e, u) = correlated_errors(&grid, v.value(0), v.control(0));
    let figures = [error("V", e, Some(1e-6)), error("v", u, Some(1e-6)), time(seconds, None)];
    line(&format!("the same, order 8, 33^2, {} steps", info.steps), &figures);
    Ok(())
}

/// dX = (-X/2 + v) dt + dB, |v| <= 1, cost v^2/2, reward sin(2 X_1).
fn wave(set: ControlSet) -> Model {
    Model {
        set,
        drift: Box::new(|x, mut out| out.coord_mut(0).iter_mut().zip(x.coord(0)).for_each(|(f, x)| *f = -0.5 * x)),
        terminal: Box::new(|x, g| g.iter_mut().zip(x.coord(0)).for_each(|(g, x)| *g = (2.0 * x).sin())),
        ..Model::default()
    }
}

fn bounded() -> Outcome<()> {
    let interval = || ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] };
    let grid = cube(1, -5.0, 5.0, 201)?;
    let params = HjbParams { steps: 40, time: Time::ImplicitEuler, ..HjbParams::default() };
    let whole = wave(interval());
    let solver = HjbSolver::new(&whole, grid.clone(), params)?;
    let (v, _) = solver.solve()?;
    for count in [26, 101, 401] {
        let finite = wave(lattice(1.0, count, 1));
        let other = HjbSolver::new(&finite, grid.clone(), params)?;
        let (w, _) = other.solve()?;
        let loss = v.value(0).iter().zip(w.value(0)).fold((0.0f64, 0.0f64), |m, (a, b)| (m.0.max(a - b), m.1.max(b - a)));
        let pair = paired(5, || solver.solve().map(drop), || other.solve().map(drop));
        // a control within dv/2 of the best costs dv^2/8 more at most
        let bound = (2.0 / (count - 1) as f64).powi(2) / 8.0 + 1e-10;
        let figures = [
            error("V of the box - V of the set", loss.0, Some(bound)),
            error("the other way", loss.1, Some(1e-10)),
            time(pair.second, None),
            note(format!("{:.1} times the box", pair.ratio)),
        ];
        line(&format!("box against {count} controls, 201 x 40"), &figures);
    }
    // the closed form of the bounded control on the high-order route: clip(V')
    let fine = cube(1, -5.0, 5.0, 801)?;
    let params = HjbParams { steps: 800, time: Time::TrBdf2, storage: Storage::AtMost(2), ..HjbParams::default() };
    let ((v, _), seconds) = timed(3, || Ok(HjbSolver::new(&whole, fine.clone(), params)?.solve()?))?;
    let smooth = SmoothParams {
        integrator: Integrator::Bdf,
        rtol: 1e-8,
        atol: 1e-8,
        output: Output::Levels(1),
        ..SmoothParams::default()
    };
    let ((w, _), other) = timed(3, || Ok(SmoothSolver::new(&whole, fine.clone(), smooth.clone())?.solve()?))?;
    let inner = fine.axis(0).nodes().iter().enumerate().filter(|(_, x)| x.abs() <= 3.0);
    let gap = inner.fold(0.0f64, |m, (j, _)| m.max((v.value(0)[j] - w.value(0)[j]).abs()));
    let figures = [error("V apart on |x| <= 3", gap, Some(1e-4)), time(seconds, None), note(format!("order 8: {other:.3} s"))];
    line("box, 801 x 800 TR-BDF2 against order 8", &figures);
    Ok(())
}

const STRIKE: f64 = 40.0;
const RATE: f64 = 0.06;
const VOLATILITY: f64 = 0.2;

/// American put with maturity 1 by a tree of n (odd) steps: D. Leisen, M. Reimer, Applied Mathematical Finance 3 (1996) 319-346.
fn tree(spot: f64, n: usize) -> f64 {
    let (dt, m) = (1.0 / n as f64, n as f64);
    let d1 = ((spot / STRIKE).ln() + RATE + 0.5 * VOLATILITY * VOLATILITY) / VOLATILITY;
    let invert = |z: f64| {
        let exponent = (z / (m + 1.0 / 3.0 + 0.1 / (m + 1.0))).powi(2) * (m + 1.0 / 6.0);
        0.5 + 0.5 * z.signum() * (1.0 - (-exponent).exp()).sqrt()
    };
    let (p, q, growth) = (invert(d1 - VOLATILITY), invert(d1), (RATE * dt).exp());
    let (up, down) = (growth * q / p, growth * (1.0 - q) / (1.0 - p));
    let price = |k: usize, j: usize| spot * (j as f64 * up.ln() + (k - j) as f64 * down.ln()).exp();
    let mut v: Vec<f64> = (0..=n).map(|j| (STRIKE - price(n, j)).max(0.0)).collect();
    for k in (0..n).rev() {
        let mut s = price(k, 0);
        for j in 0..=k {
            v[j] = ((p * v[j + 1] + (1.0 - p) * v[j]) / growth).max(STRIKE - s);
            s *= up / down;
        }
    }
    v[0]
}

fn put() -> Outcome<()> {
    let payoff = |x: f64| (STRIKE - x.exp()).max(0.0);
    let model = Model {
        control_dim: 0,
        discount: RATE,
        drift: Box::new(|_, mut f| f.fill(RATE - 0.5 * VOLATILITY * VOLATILITY)),
        sigma: Sigma::Scaled(VOLATILITY),
        terminal: Box::new(move |x, g| g.iter_mut().zip(x.coord(0)).for_each(|(g, x)| *g = payoff(*x))),
        ..Model::default()
    };
    let psi = move |_: f64, x: &[f64]| payoff(x[0]);
    let spots = [36.0, 40.0, 44.0];
    // extrapolated to infinitely many steps: good to 2e-5
    let exact = spots.map(|s| 2.0 * tree(s, 4001) - tree(s, 2001));
    for (nodes, steps, scheme) in [(1001, 200, Time::TrBdf2), (2001, 400, Time::TrBdf2), (2001, 800, Time::CrankNicolson)] {
        let grid = cube(1, STRIKE.ln() - 1.5, STRIKE.ln() + 1.5, nodes)?;
        let params = HjbParams { steps, time: scheme, storage: Storage::AtMost(2), ..HjbParams::default() };
        let solver = HjbSolver::new(&model, grid.clone(), params)?.with_obstacle(&psi);
        let ((v, info), seconds) = timed(5, || Ok(solver.solve()?))?;
        let x = grid.axis(0).nodes();
        let off = |k: usize| (interpolate(x, v.value(0), spots[k].ln()) - exact[k]).abs();
        let worst = (0..3).map(off).fold(0.0, f64::max);
        let bar = (nodes == 2001).then_some(1e-4);
        let per_stage = info.inner_iterations as f64 / info.stages as f64;
        let figures = [error("price", worst, bar), time(seconds, None), note(format!("{per_stage:.2} solves a stage"))];
        line(&format!("American put, {nodes} x {steps}, {}", scheme.name()), &figures);
    }
    Ok(())
}
