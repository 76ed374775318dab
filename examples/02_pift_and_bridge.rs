//! PI-FT on the discrete chain, and how it converges to the continuous problem.
//!
//! The chain, k = 0..N-1 in generation order, h = T/N, t_k = k h, a_k = exp(-int_{t_k}^{t_{k+1}} b), sig_k^2 = 1 - a_k:
//!
//!   Y_{k+1} = (Y_k + (1-a_k) U_k)/sqrt(a_k) + sig_k W_k,   step cost  beta (1-a_k)^2/(2 a_k sig_k^2) |U_k - s_k|^2.
//!
//! PI-FT goes backward in k; with V_{k+1} frozen it iterates from u^(0) = s_k
//!
//!   u^(m+1)(y) = s_k(y) + sqrt(a_k) sig_k^2 / (beta (1-a_k)) E[ V_{k+1}'( (y + (1-a_k) u^(m)(y))/sqrt(a_k) + sig_k W ) ],
//!
//! which contracts with the factor rho_k = sig_k^2 sup |V_{k+1}''| / beta = O(h). The bridge: max_k |V_k - V(t_k)| and
//! max_k |u_k - U*(t_k)| are O(h) against the continuous V and U*, and 2 V^{2N} - V^N is O(h^2).
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models: Optimality, Regularity, and
//! Convergence* (arXiv:2412.18164).
//!
//! Run: cargo run --release --example 02_pift_and_bridge
#![allow(non_snake_case)] // N, V and U are the letters of the equation

use hjbridge::bridge::{bridge, octave_orders};
use hjbridge::model::exact::closed_form;
use hjbridge::model::{PointBlock, Region};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::Silent;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&directory.join("mixture_1d.json"))?;
    file.grid.nodes = vec![401]; // half of the file's: the error in space stays below a hundredth of the error in time
    let problem = Problem::resolve(file, &directory)?;
    let exact = closed_form(&problem.model)?.ok_or("this problem has no closed form")?;
    let y = problem.grid.points();
    let nodes: Vec<usize> = problem.grid.region_nodes(Some(&problem.compare_on))?.collect();

    println!("PI-FT, sup over |y| <= 3 and all t_k < T, against the {}", exact.description());
    println!("contraction: largest ratio of successive updates seen on |y| <= 3; rho: sig_k^2 sup |V_{{k+1}}''| / beta there");
    println!(
        "{:>5} {:>10} {:>6} {:>10} {:>6} {:>8} {:>12} {:>8}",
        "N", "error V", "order", "error U", "order", "updates", "contraction", "rho"
    );
    let chain_steps = [32, 64, 128, 256];
    let (mut errors_V, mut errors_U) = (Vec::new(), Vec::new());
    let (mut V, mut U) = (vec![0.0; y.len()], PointBlock::zeros(1, y.len()));
    for (i, &N) in chain_steps.iter().enumerate() {
        let chain = Ddpm::new(&problem.model, DdpmParams { steps: N, ..DdpmParams::default() })?;
        let params = PiFtParams { region: Some(Region::cube(1, 3.0)?), ..PiFtParams::default() };
        let (mut error_V, mut error_U) = (0.0f64, 0.0f64);
        let info = PiFt::new(&chain, problem.grid.clone(), params)?.solve_observed(&mut |k| {
            let Some(u_k) = k.control else { return }; // V_N = r comes first, without a control
            exact.at(k.t).value(y.as_points(), &mut V);
            exact.at(k.t).control(y.as_points(), U.as_mut());
            for &j in &nodes {
                error_V = error_V.max((k.value[j] - V[j]).abs());
                error_U = error_U.max((u_k[j] - U.coord(0)[j]).abs());
            }
        })?;
        errors_V.push(error_V);
        errors_U.push(error_U);
        let order = |errors: &[f64]| match octave_orders(&chain_steps[..=i], errors).last() {
            Some(Some(order)) => format!("{order:.2}"),
            _ => String::new(),
        };
        let (order_V, order_U) = (order(&errors_V), order(&errors_U));
        let contraction = info.max_contraction().map_or("-".into(), |c| format!("{c:.4}"));
        println!(
            "{N:>5} {error_V:>10.3e} {order_V:>6} {error_U:>10.3e} {order_U:>6} {:>8} {contraction:>12} {:>8.4}",
            info.max_iterations(),
            info.max_rho()
        );
    }

    // The same comparison in one call, with Richardson's combination and the final laws.
    let report = bridge(&problem, &chain_steps, &Silent)?.report;
    println!(
        "bridge(): order V {:.3}, order U {:.3} (fits on the last three N)",
        some(report.order_value),
        some(report.order_control)
    );
    for (N, error) in report.richardson_steps.iter().zip(&report.richardson_error) {
        println!("  sup |2 V_0^{N} - V_0^{} - V(0)| = {error:.2e}", N / 2);
    }
    println!("  order of that: {:.2}", some(report.richardson_order));
    if let Some(law) = &report.final_law {
        println!("  W1 of the laws of Y_T, chain against continuous, both from the {} law:", law.initial_law);
        for (N, w) in report.steps.iter().zip(&law.wasserstein) {
            println!("    N = {N:>3}: {w:.3e}");
        }
    }
    let gap = errors_V.iter().zip(&report.value_error).fold(0.0f64, |g, (a, b)| g.max((a - b).abs()));
    println!("  largest difference between the V errors of the table and of bridge(): {gap:.1e}");
    Ok(())
}

fn some(order: Option<f64>) -> f64 {
    order.unwrap_or(f64::NAN)
}
