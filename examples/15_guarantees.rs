//! What the theory of PI-FT promises, measured: contraction, decay of the value gap, regularity handed down.
//!
//! At step k, with V_{k+1} frozen, PI-FT iterates u^(m+1) = s_k + [sqrt(a) sig^2/(beta (1-a))] E[grad V_{k+1}(mu(y,u^(m)) + sig W)]
//! from u^(0) = s_k. With rho_k = sig_k^2 Lip(grad V_{k+1}) / beta_k < 1:
//!
//!   sup |u^(m) - u*| <= rho^m sup |u^(0) - u*|,           sup |V^(m) - V*| <= rho^{2m} (1+rho)/(1-rho) sup |V^(0) - V*|,
//!   Lip(V_k) <= L_m Lip(V_{k+1}),                         L_m = (1 + (1-a) L_s) / sqrt(a),
//!   Lip(grad V_k) <= L_m^2 Lip(grad V_{k+1}) / (1-rho) + Lip(V_{k+1}) (1-a) M_s / sqrt(a),
//!
//! L_s and M_s the Lipschitz constants of the score and of its gradient. Two problems show it:
//!
//!   lq_1d       V_k = -K_k y^2/2 + k_k y + l_k is known for the chain itself, and so is every iterate: the gap of the policy is
//!               exactly (lam K_{k+1})^m |u^(0) - u*|, lam = sig^2/beta, that of the value (1 + lam K_{k+1})/(2 lam) |D^(m) - D*|^2
//!               with D = (1-a)/sqrt(a) (u - s). Each line prints the distance of what PI-FT measured from that.
//!   mixture_1d  nothing is quadratic; observed against bound at every step.
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models* (arXiv:2412.18164).
//!
//! Run: cargo run --release --example 15_guarantees
#![allow(non_snake_case)] // N, V, K and D are the letters of the equation

use hjbridge::model::exact::{DiscreteLq, DiscreteStep};
use hjbridge::pift::{Ddpm, DdpmParams, Inner, InnerRule, PiFt, PiFtInfo, PiFtParams};
use hjbridge::problem::{Problem, ProblemFile};
use std::path::Path;

const N: usize = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let problem = open("lq_1d.json")?;
    let chain = Ddpm::new(&problem.model, DdpmParams { steps: N, ..DdpmParams::default() })?;
    let info = guarantees(&problem, &chain)?;
    let step = |k: usize| DiscreteStep {
        t: chain.times()[k],
        a: chain.alphas()[k],
        variance: chain.variances()[k],
        beta: chain.kl_weights()[k],
    };
    let exact = DiscreteLq::new(&problem.model, &(0..N).map(step).collect::<Vec<_>>(), false)?;
    let y: Vec<f64> = problem.grid.axis(0).nodes().iter().copied().filter(|y| y.abs() <= 3.0 + 1e-12).collect();

    println!("lq_1d, N = {N}, |y| <= 3: measured, and its distance from the exact recursion of the chain");
    println!("  k   rho_k (error)       contraction (error)   Lip V_k (error)  bound   Lip V_k' (error)  bound   updates");
    for k in (0..N).step_by(3) {
        let s = &info.steps[k];
        let r = s.regularity.as_ref().ok_or("not tracked")?;
        let K = |k: usize| exact.values[k].curvature[(0, 0)];
        let lam = s.sigma * s.sigma / s.kl_weight;
        let slope = y.iter().fold(0.0f64, |m, y| m.max((exact.values[k].slope[0] - K(k) * y).abs()));
        let (rho, contraction) = (lam * K(k + 1), s.contraction.unwrap_or(f64::NAN));
        println!(
            "{k:>3}   {:.6} ({:.0e})   {contraction:.6} ({:.0e})     {:.4} ({:.0e})   {:.4}   {:.4} ({:.0e})    {:.4}   {}",
            s.rho,
            (s.rho - rho).abs(),
            (contraction - rho).abs(),
            r.value,
            (r.value - slope).abs(),
            r.value_bound,
            r.gradient,
            (r.gradient - K(k)).abs(),
            r.gradient_bound.unwrap_or(f64::NAN),
            s.iterations
        );
    }

    let k = N - 2;
    let s = &info.steps[k];
    let lam = s.sigma * s.sigma / s.kl_weight;
    let rho = lam * exact.values[k + 1].curvature[(0, 0)];
    let (gain, offset) = &exact.shifts[k];
    let D = y.iter().fold(0.0f64, |m, y| m.max((gain[(0, 0)] * y + offset[0]).abs()));
    println!("iterates of step {k}, rho = {rho:.4}");
    println!("  m   sup |u^(m) - u*|   exact       error   sup |V^(m) - V*|   exact       error");
    for i in s.iterates.iter().take(6) {
        let left = rho.powi(i.m as i32) * D;
        let u = left * s.alpha.sqrt() / (1.0 - s.alpha);
        let V = (1.0 + rho) / (2.0 * lam) * left * left;
        println!(
            "{:>3}   {:.6e}       {u:.4e}  {:.0e}   {:.6e}       {V:.4e}  {:.0e}",
            i.m,
            i.control_gap,
            (i.control_gap - u).abs(),
            i.value_gap,
            (i.value_gap - V).abs()
        );
    }
    println!("  fitted: value gap ~ (policy gap)^{:.4}, theory 2", s.value_exponent.unwrap_or(f64::NAN));

    let problem = open("mixture_1d.json")?;
    println!("mixture_1d, |y| <= 3: largest share of its bound that is used over all k (and m), at most 1 by theory");
    println!("   N   largest rho   contraction   policy gap   value gap   Lip V   Lip V'   exponent of the value gap");
    for steps in [16, 32, 64, 128] {
        let chain = Ddpm::new(&problem.model, DdpmParams { steps, ..DdpmParams::default() })?;
        let info = guarantees(&problem, &chain)?;
        let mut share = [0.0f64; 5];
        let (mut low, mut high) = (f64::INFINITY, 0.0f64);
        for s in &info.steps {
            let r = s.regularity.as_ref().ok_or("not tracked")?;
            let mut see = |i: usize, x: f64| share[i] = share[i].max(x);
            see(0, s.contraction.map_or(0.0, |c| c / s.rho));
            see(3, r.value / r.value_bound);
            see(4, r.gradient_bound.map_or(0.0, |b| r.gradient / b));
            let first = &s.iterates[0];
            for i in s.iterates.iter().skip(1).filter(|i| i.control_gap > 1e-8) {
                see(1, i.control_gap / (s.rho.powi(i.m as i32) * first.control_gap));
                let bound = s.rho.powi(2 * i.m as i32) * first.value_gap * (1.0 + s.rho) / (1.0 - s.rho);
                see(2, if i.value_gap > 1e-13 { i.value_gap / bound } else { 0.0 });
            }
            if let Some(p) = s.value_exponent {
                (low, high) = (low.min(p), high.max(p));
            }
        }
        println!(
            "{steps:>4}   {:>11.4}   {:>11.3}   {:>10.3}   {:>9.3}   {:>5.3}   {:>6.3}   {low:.3} to {high:.3}",
            info.max_rho(),
            share[0],
            share[1],
            share[2],
            share[3],
            share[4]
        );
    }
    Ok(())
}

fn open(name: &str) -> Result<Problem, Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    Ok(Problem::resolve(ProblemFile::read(&directory.join(name))?, &directory)?)
}

/// Plain PI-FT with every iterate recorded.
fn guarantees(problem: &Problem, chain: &Ddpm<'_>) -> Result<PiFtInfo, Box<dyn std::error::Error>> {
    let params = PiFtParams {
        inner: Inner::Plain,
        rule: InnerRule::Tolerance { tol: 1e-11, max: 200 },
        region: Some(problem.compare_on.clone()),
        track: true,
        ..PiFtParams::default()
    };
    Ok(PiFt::new(chain, problem.grid.clone(), params)?.solve_observed(&mut |_| {})?)
}
