//! Fine-tuning a one-dimensional diffusion model: the HJB equation on a grid against its closed form.
//!
//! A pre-trained model generates samples of p by dY = [(b/2) Y + b s(t,Y)] dt + sqrt(b) dB, with the score
//! s(t,y) = grad log p_{T-t}(y) of the noised data law. Fine-tuning replaces s by the control U that maximises
//!
//!   E[ r(Y_T) - int_0^T beta (b/2) |U - s|^2 dt ].
//!
//! Its value function solves
//!
//!   V_t + ((b/2) y + b s) V_y + (b/2) V_yy + (b/(2 beta)) V_y^2 = 0,   V(T,.) = r,   U* = s + V_y / beta.
//!
//! Here p is a mixture of two normal laws and r a log-sum-exp of two quadratics, so that p exp(r/beta) is a mixture of four
//! and V and U* are known exactly. The scheme is Crank-Nicolson in time and central where monotone in space: order 2.
//!
//! Run: cargo run --release --example 01_fine_tuning_1d
#![allow(non_snake_case)] // T, V and U are the letters of the equation

use hjbridge::bridge::octave_orders;
use hjbridge::hjb::{HjbParams, HjbSolver};
use hjbridge::model::exact::closed_form;
use hjbridge::model::{
    Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, PointBlock, QuadraticTerm, Reward, Schedule, TensorGrid,
};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The problem, letter by letter. b falls from 3 at t = 0 (noise) to 0.5 at t = T (data).
    let T = 2.0;
    let b = Schedule::linear(T, 0.5, 3.0)?;
    let p = GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]])?;
    // r(x) = beta log sum_j exp( (-Q_j x^2/2 + q_j x + c_j) / beta )
    let r = Reward::log_sum_exp(
        vec![QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1)?, QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3)?],
        0.7,
    )?;
    let beta = KlWeight::constant(0.7)?;
    let problem = FineTuning::new(b, p, r, beta, InitialLaw::NoisedPrior)?;
    let exact = closed_form(&problem)?.ok_or("this problem has no closed form")?;

    println!("sup over |y| <= 3 and all t_k < T, against the {}", exact.description());
    println!("{:>6} {:>6} {:>10} {:>6} {:>10} {:>6} {:>8}", "nodes", "steps", "error V", "order", "error U", "order", "seconds");
    let (mut sizes, mut errors_V, mut errors_U) = (Vec::new(), Vec::new(), Vec::new());
    for nodes in [101, 201, 401, 801] {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, nodes)?])?);
        let params = HjbParams { steps: nodes - 1, ..HjbParams::default() };
        let (V, info) = HjbSolver::new(&problem, grid.clone(), params)?.solve()?;

        // The solver's control is v = U - s, so U = s + v on the nodes.
        let y = grid.points();
        let (mut V_exact, mut U_exact, mut s) = (vec![0.0; nodes], PointBlock::zeros(1, nodes), PointBlock::zeros(1, nodes));
        let (mut error_V, mut error_U) = (0.0f64, 0.0f64);
        for (k, &t) in V.times().iter().enumerate().filter(|(_, t)| **t < T) {
            exact.at(t).value(y.as_points(), &mut V_exact);
            exact.at(t).control(y.as_points(), U_exact.as_mut());
            problem.score().at(t).eval(y.as_points(), s.as_mut());
            for j in (0..nodes).filter(|&j| y.coord(0)[j].abs() <= 3.0) {
                let U = s.coord(0)[j] + V.control(k)[j];
                error_V = error_V.max((V.value(k)[j] - V_exact[j]).abs());
                error_U = error_U.max((U - U_exact.coord(0)[j]).abs());
            }
        }
        sizes.push(nodes - 1);
        errors_V.push(error_V);
        errors_U.push(error_U);
        let last = |errors: &[f64]| match octave_orders(&sizes, errors).last() {
            Some(Some(order)) => format!("{order:.2}"),
            _ => String::new(),
        };
        let (order_V, order_U, seconds) = (last(&errors_V), last(&errors_U), info.seconds);
        println!("{nodes:>6} {:>6} {error_V:>10.2e} {order_V:>6} {error_U:>10.2e} {order_U:>6} {seconds:>8.3}", nodes - 1);
    }
    Ok(())
}
