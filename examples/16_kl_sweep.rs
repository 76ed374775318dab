//! What the KL weight costs and buys: iterations, rate, divergence and reward of PI-FT over beta, against their exact values.
//!
//! For each beta PI-FT solves the chain of N steps of
//!
//!   maximise  E[ r(Y_T) - beta int (b/2) |U - s|^2 dt ],
//!
//! by the plain iteration, whose rate is bounded by rho = max_k sig_k^2 Lip(grad V_{k+1}) / beta: a small weight lets the model go
//! far, and makes the iteration slow. The exact continuous optimum is known here (Gaussian mixture, log-sum-exp reward), and with it
//!
//!   KL(beta) = -d/dbeta E V(0, Y_0; beta)   (envelope theorem),   E r(Y_T) = E V(0, Y_0) + beta KL.
//!
//! The chain's reward and divergence differ from these by O(h): the columns `error` halve from N to 2N, but for that of KL at
//! the smallest weight, which changes its sign near there, so that the next order is what is left of it. The number of
//! updates is at most ceil( ln(tol/(1+rho)) / ln rho ) for the tolerance 1e-10.
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models* (arXiv:2412.18164), whose experiment this
//! repeats where the answer is known.
//!
//! Run: cargo run --release --example 16_kl_sweep
#![allow(non_snake_case)] // N, V and U are the letters of the equation

use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::{Silent, sweep, sweep_problems};
use std::path::Path;

const WEIGHTS: [f64; 6] = [0.25, 0.35, 0.5, 0.7, 1.4, 2.8];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&directory.join("mixture_1d.json"))?;
    (file.grid.nodes, file.paths, file.pift.tolerance) = (vec![401], 2000, 1e-10);
    let mut rows = Vec::new();
    for N in [50, 100] {
        file.time_steps = N;
        let problem = Problem::resolve(file.clone(), &directory)?;
        let problems = sweep_problems(&problem, &WEIGHTS, &directory)?;
        let run = sweep(&problems, None, &hjbridge::rollout::ranks::OneRank, &Silent)?;
        rows.push(run.report.rows);
    }
    println!("PI-FT on mixture_1d; errors of the chain of N = 50 and of 100 steps against the exact continuous optimum");
    println!(
        "{:>6} {:>8} {:>6} {:>12} {:>8} {:>9} {:>10} {:>10} {:>9} {:>10} {:>10}",
        "beta", "updates", "bound", "contraction", "rho", "KL exact", "error 50", "error 100", "reward", "error 50", "error 100"
    );
    for (coarse, fine) in rows[0].iter().zip(&rows[1]) {
        let of = |x: Option<f64>| x.unwrap_or(f64::NAN);
        let (kl, reward, rho) = (of(fine.kl_exact), of(fine.reward_exact), of(fine.pift_rho));
        println!(
            "{:>6} {:>8} {:>6} {:>12.4} {:>8.4} {:>9.5} {:>10.1e} {:>10.1e} {:>9.5} {:>10.1e} {:>10.1e}",
            fine.kl_weight,
            fine.pift_iterations.map_or("-".into(), |m| m.to_string()),
            ((1e-10 / (1.0 + rho)).ln() / rho.ln()).ceil(),
            of(fine.pift_contraction),
            rho,
            kl,
            of(coarse.pift_kl) - kl,
            of(fine.pift_kl) - kl,
            reward,
            of(coarse.pift_reward) - reward,
            of(fine.pift_reward) - reward
        );
    }
    Ok(())
}
