//! Optimal stopping: the American put, its price and its exercise boundary.
//!
//! In x = log S the stock is dx = (r - sigma^2/2) dt + sigma dB; stopping at x pays psi(x) = (K - e^x)^+, discounted at r:
//!
//!   max( V_t + (r - sigma^2/2) V_x + (sigma^2/2) V_xx - r V, psi - V ) = 0,   V(T,.) = psi.
//!
//! At each time there is one price S_f(t) below which stopping is optimal. "Stop" is one more value of the control at each
//! node, so policy iteration solves each implicit stage exactly, without a penalty.
//!
//! The references know nothing of the equation on a grid. Prices: a Leisen-Reimer binomial tree (D. Leisen, M. Reimer,
//! Applied Mathematical Finance 3 (1996) 319-346), extrapolated to infinitely many steps. Boundary: the integral equation
//! of I. J. Kim, Review of Financial Studies 3 (1990) 547-572, for B(tau) = S_f(T - tau),
//!
//!   K - B = p(B, tau) + r K int_0^tau e^{-r s} N( -d2(B, B(tau - s), s) ) ds,   B = B(tau),
//!   d2(S, B, s) = ( log(S/B) + (r - sigma^2/2) s ) / (sigma sqrt(s)),   p the European put, N the normal distribution function.
//!
//! Without a maturity V_t drops out and the boundary stands still: with gamma = 2r/sigma^2 stopping is optimal below
//! S* = K gamma/(1 + gamma), and V = (K - S*)(S/S*)^{-gamma} above. The same policy iteration solves it, from grid to finer grid.
//!
//! Run: cargo run --release --example 09_optimal_stopping
#![allow(non_snake_case)] // K, S, T, V, B and N are the letters of the equation

use hjbridge::hjb::{HjbParams, HjbSolver, StationaryParams, StationarySolver, Time, ValueFunction};
use hjbridge::model::grid::{Axis, TensorGrid};
use hjbridge::model::{Coefficients, ControlledDiffusion, GaussianMixture, MatrixCoefficient, Points, PointsMut};
use std::sync::Arc;

const K: f64 = 40.0;
const RATE: f64 = 0.06;
const SIGMA: f64 = 0.2;
const T: f64 = 1.0;

/// Intervals of the integral equation, at tau = T (i/n)^2.
const INTERVALS: usize = 400;

struct Stock;

impl Coefficients for Stock {
    fn drift(&self, _x: Points<'_>, mut f: PointsMut<'_>) {
        f.fill(RATE - 0.5 * SIGMA * SIGMA);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(0.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(SIGMA)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for Stock {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        0
    }
    fn horizon(&self) -> f64 {
        T
    }
    fn discount(&self) -> f64 {
        RATE
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, g: &mut [f64]) {
        for (g, x) in g.iter_mut().zip(x.coord(0)) {
            *g = payoff(*x);
        }
    }
}

fn payoff(x: f64) -> f64 {
    (K - x.exp()).max(0.0)
}

/// The price by a Leisen-Reimer tree with n (odd) steps; its error is of order 1/n without oscillation.
fn tree(S: f64, n: usize) -> f64 {
    let (dt, m) = (T / n as f64, n as f64);
    let d1 = ((S / K).ln() + (RATE + 0.5 * SIGMA * SIGMA) * T) / (SIGMA * T.sqrt());
    let invert = |z: f64| {
        let exponent = (z / (m + 1.0 / 3.0 + 0.1 / (m + 1.0))).powi(2) * (m + 1.0 / 6.0);
        0.5 + 0.5 * z.signum() * (1.0 - (-exponent).exp()).sqrt()
    };
    let (p, q, growth) = (invert(d1 - SIGMA * T.sqrt()), invert(d1), (RATE * dt).exp());
    let (up, down) = (growth * q / p, growth * (1.0 - q) / (1.0 - p));
    let stock = |k: usize, j: usize| S * (j as f64 * up.ln() + (k - j) as f64 * down.ln()).exp();
    let mut v: Vec<f64> = (0..=n).map(|j| (K - stock(n, j)).max(0.0)).collect();
    for k in (0..n).rev() {
        let mut s = stock(k, 0);
        for j in 0..=k {
            v[j] = ((p * v[j + 1] + (1.0 - p) * v[j]) / growth).max(K - s);
            s *= up / down;
        }
    }
    v[0]
}

/// B(tau_i), tau_i = T (i/n)^2, i = 0..=n, by the trapezoidal rule in sqrt(s) and bisection.
fn kim(n: usize, N: &dyn Fn(f64) -> f64) -> Vec<f64> {
    let tau = |i: usize| T * (i as f64 / n as f64).powi(2);
    let d2 = |S: f64, B: f64, s: f64| ((S / B).ln() + (RATE - 0.5 * SIGMA * SIGMA) * s) / (SIGMA * s.sqrt());
    let mut B = vec![K];
    for i in 1..=n {
        let t = tau(i);
        let excess = |b: f64| {
            let strike = d2(b, K, t);
            let mut sum = K * (-RATE * t).exp() * N(-strike) - b * N(-strike - SIGMA * t.sqrt());
            let (mut z, mut g) = (0.0, 0.0);
            for j in (0..i).rev() {
                let s = t - tau(j);
                let (z_next, g_next) = (s.sqrt(), 2.0 * s.sqrt() * RATE * K * (-RATE * s).exp() * N(-d2(b, B[j], s)));
                sum += 0.5 * (g + g_next) * (z_next - z);
                (z, g) = (z_next, g_next);
            }
            K - b - sum
        };
        let (mut low, mut high) = (0.5 * K, B[i - 1]);
        for _ in 0..45 {
            let middle = 0.5 * (low + high);
            *(if excess(middle) > 0.0 { &mut low } else { &mut high }) = middle;
        }
        B.push(0.5 * (low + high));
    }
    B
}

/// The point where V leaves psi, from sqrt(V - psi), which is linear there, at two nodes outside.
fn boundary(V: &ValueFunction, k: usize) -> Option<f64> {
    let x = V.grid().axis(0).nodes();
    let gap = |j: usize| (V.value(k)[j] - payoff(x[j])).max(0.0).sqrt();
    let first = (0..x.len() - 3).find(|&j| V.value(k)[j] - payoff(x[j]) > 1e-9)?;
    let (a, b) = (first + 1, first + 3);
    Some((x[a] - gap(a) * (x[b] - x[a]) / (gap(b) - gap(a))).exp())
}

/// Cubic interpolation at log(S).
fn price(V: &ValueFunction, S: f64) -> f64 {
    let (x, v, at) = (V.grid().axis(0).nodes(), V.value(0), S.ln());
    let k = V.grid().axis(0).locate(at);
    let weight = |a: usize| (k - 1..k + 3).filter(|&b| b != a).map(|b| (at - x[b]) / (x[a] - x[b])).product::<f64>();
    (k - 1..k + 3).map(|a| weight(a) * v[a]).sum()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spots = [36.0, 40.0, 44.0];
    let reference = spots.map(|S| 2.0 * tree(S, 4001) - tree(S, 2001));
    println!("price at t = 0, against the tree (its extrapolations agree to 2e-5)");
    println!("{:>6} {:>6} {:>8}   {:^20}  {:^20}  {:^20}", "nodes", "steps", "seconds", "S = 36", "S = 40", "S = 44");
    let mut finest = None;
    for (nodes, steps) in [(501, 100), (1001, 200), (2001, 400)] {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(K.ln() - 1.5, K.ln() + 1.5, nodes)?])?);
        let params = HjbParams { steps, time: Time::TrBdf2, ..HjbParams::default() };
        let psi = |_t: f64, x: &[f64]| payoff(x[0]);
        let (V, info) = HjbSolver::new(&Stock, grid, params)?.with_obstacle(&psi).solve()?;
        print!("{nodes:>6} {steps:>6} {:>8.3}", info.seconds);
        for (S, exact) in spots.iter().zip(reference) {
            let v = price(&V, *S);
            print!("   {v:>10.6} {:>+8.1e}", v - exact);
        }
        println!();
        finest = Some((V, steps));
    }

    // The integral equation is of order 1 in its intervals: extrapolate once more.
    let (V, steps) = finest.ok_or("no grid")?;
    let standard = GaussianMixture::standard_normal(1)?;
    let N = |z: f64| standard.marginal_cdf(0, z);
    let (coarse, fine) = (kim(INTERVALS / 2, &N), kim(INTERVALS, &N));
    println!(
        "exercise boundary between nodes 0.05 apart, against the integral equation (extrapolated, good to 1e-4; 6e-4 at t = 0.99)"
    );
    println!("{:>6} {:>10} {:>10} {:>10}", "t", "S_f", "reference", "difference");
    for tenths in [1, 3, 5, 7, 10] {
        let tau = T * (tenths as f64 / 10.0).powi(2);
        let k = steps - (tau * steps as f64 / T).round() as usize;
        let exact = 2.0 * fine[tenths * INTERVALS / 10] - coarse[tenths * INTERVALS / 20];
        let S_f = boundary(&V, k).ok_or("the value never leaves the payoff")?;
        println!("{:>6.2} {S_f:>10.4} {exact:>10.4} {:>+10.1e}", V.times()[k], S_f - exact);
    }
    let gamma = 2.0 * RATE / (SIGMA * SIGMA);
    let S_star = K * gamma / (1.0 + gamma);
    println!("it lies between the perpetual one, S* = K gamma/(1 + gamma) = {S_star}, and K = {K}");

    println!("perpetual put: sup error of V over all nodes, and the highest price at which it stops");
    println!("{:>6} {:>8} {:>10} {:>9} {:>11}", "nodes", "seconds", "error", "stops at", "iterations");
    for nodes in [751, 1501, 3001, 6001] {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(K.ln() - 1.5, K.ln() + 6.0, nodes)?])?);
        let psi = |_t: f64, x: &[f64]| payoff(x[0]);
        let (V, info) = StationarySolver::new(&Stock, grid, StationaryParams::default())?.with_obstacle(&psi).solve()?;
        let x = V.grid().axis(0).nodes();
        let exact = |x: f64| if x.exp() < S_star { payoff(x) } else { (K - S_star) * (x.exp() / S_star).powf(-gamma) };
        let error = x.iter().zip(V.value()).map(|(x, v)| (v - exact(*x)).abs()).fold(0.0, f64::max);
        let last = x[info.stopped_nodes.max(1) - 1].exp();
        println!("{nodes:>6} {:>8.4} {error:>10.1e} {last:>9.4} {:>11}", info.seconds, info.iterations);
    }
    Ok(())
}
