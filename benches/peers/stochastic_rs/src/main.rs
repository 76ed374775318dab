//! The Ornstein-Uhlenbeck problem by stochastic-rs: `Ou::sample_map`, which hands each path to a closure; the closure keeps X_N.
//! Run with RAYON_NUM_THREADS=1. The drawn numbers are not seeded: see the README.

use std::time::Instant;
use stochastic_rs_core::simd_rng::Unseeded;
use stochastic_rs_stochastic::diffusion::ou::Ou;
use stochastic_rs_stochastic::traits::ProcessExt;

const PATHS: usize = 100_000;
const STEPS: usize = 200;

fn main() {
    let run = || {
        // theta, mu, sigma, number of times, X_0, T
        let ou = Ou::<f64>::new(1.0, 0.0, 1.0, STEPS + 1, Some(1.0), Some(2.0), Unseeded);
        ou.sample_map(PATHS, |path| path[STEPS])
    };
    let mut x = run();
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        x = run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    let n = PATHS as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let (h, a) = (2.0 / STEPS as f64, 1.0 - 2.0 / STEPS as f64);
    let (m, v) = (a.powi(STEPS as i32), h * (1.0 - a.powi(2 * STEPS as i32)) / (1.0 - a * a));
    let (z1, z2) = ((mean - m) / (v / n).sqrt(), (variance / v - 1.0) * (n / 2.0).sqrt());
    let rate = 1e-6 * (PATHS * STEPS) as f64 / best;
    println!(
        "{:8} {:32} {rate:8.1} M path-steps/s          mean and variance at z = {z1:.1}, {z2:.1}",
        "ou", "stochastic-rs Ou::sample_map"
    );
}
