//! A trained network in the plane, fine-tuned three ways: HJB equation, PI-FT on the grid, PI-FT for a policy with parameters.
//!
//! The pre-trained model is a small network that was trained to denoise Old Faithful's eruptions and waiting times (standardised
//! y = (eruption, waiting)). Its score s is all that the three routes know:
//!
//!   dY = [ (b/2) Y + b U ] dt + sqrt(b) dB,     maximise  E[ q.Y_T - int beta (b/2) |U - s|^2 dt ],   q = (0, 1), beta = 1.
//!
//!   HJB         V_t + ((b/2) y + b s).grad V + (b/2) Lap V + (b/(2 beta)) |grad V|^2 = 0,   U = s + grad V / beta, on a grid;
//!   PI-FT       the chain of N steps, V_k by the Bellman recursion on the same grid: O(h) away, 2 V^{2N} - V^N is O(h^2) away;
//!   parametric  the same chain under U = s + sqrt(a) sig^2/(beta (1-a)) Theta_k phi(y), Theta_k by least squares on sampled
//!               paths: below the chain's optimum by what the features phi do not span.
//!
//! The law that a network generates has no formula, but that of its training data does: kernel density estimate, whose V and U
//! are closed forms. Their distance from the three is the network's own error and that of the discretisation. To tell these
//! apart PI-FT runs with the exact score of the estimate as well.
//!
//! Run: cargo run --release --example 19_network_2d
#![allow(non_snake_case)] // N, V, U and J are the letters of the equation

use hjbridge::model::exact::closed_form;
use hjbridge::model::{CubicSpline, Extrapolation, Feedback, FineTuning, GaussianMixture, PointBlock, ScalarField, TensorGrid};
use hjbridge::pift::parametric::{
    FeatureSpec, LeastSquares, LeastSquaresParams, LinearParams, LinearPolicy, PolicyFeedback, PolicyInput, SampledChain,
};
use hjbridge::pift::{Ddpm, DdpmParams, PiFt, PiFtParams};
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::{Silent, initial_mean, solve, spline_score};
use std::path::Path;
use std::sync::Arc;

/// Steps of the chain; the HJB solver takes as many.
const N: usize = 64;

/// Where V(0, .) and U(1.5, .) are compared: both modes of the data and between them.
const POINTS: [[f64; 2]; 4] = [[-1.2, -1.2], [0.0, 0.0], [0.7, 0.8], [1.2, 1.2]];
const LATE: f64 = 1.5;

/// V(0, .) and U(1.5, .) at the points, first and second component, and J = E V(0, Y_0).
struct Answer {
    V: Vec<f64>,
    U: Vec<[f64; 2]>,
    J: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut problem = Problem::resolve(ProblemFile::read(&directory.join("old_faithful_network.json"))?, &directory)?;
    let reference = problem.model.prior().clone();
    println!("grid {:?}, N = {N} steps, V at t = 0 and U at t = {LATE}", problem.grid.shape());

    // the network once per node and time; all three routes see the same splines
    let start = std::time::Instant::now();
    problem.model = spline_score(&problem, N)?;
    println!("score of the network at {} nodes x {} times: {:.1} s", problem.grid.len(), N + 1, start.elapsed().as_secs_f64());
    let hjb = report("HJB", hjb(&problem))?;
    let coarse = report("PI-FT, N/2", pift(&problem, N / 2))?;
    let fine = report("PI-FT, N", pift(&problem, N))?;
    let trained = parametric(&problem, &fine)?;

    // the exact score of the kernel density estimate instead: the same routes, and the closed form
    let m = &problem.model;
    let model = FineTuning::new(m.schedule().clone(), reference, m.reward().clone(), m.kl_weight().clone(), m.initial())?;
    let exact_problem = Problem { model, network: None, ..problem.clone() };
    let exact = closed_form(&exact_problem.model)?.ok_or("no closed form")?;
    let mut y = PointBlock::zeros(2, POINTS.len());
    POINTS.iter().enumerate().for_each(|(j, p)| y.as_mut().set_point(j, p));
    let (mut V, mut U) = (vec![0.0; POINTS.len()], PointBlock::zeros(2, POINTS.len()));
    exact.at(0.0).value(y.as_points(), &mut V);
    exact.at(LATE).control(y.as_points(), U.as_mut());
    let mut at_nodes = vec![0.0; problem.grid.len()];
    exact.at(0.0).value(problem.grid.points().as_points(), &mut at_nodes);
    let U = (0..POINTS.len()).map(|j| [U.coord(0)[j], U.coord(1)[j]]).collect();
    let closed = Answer { V, U, J: initial_mean(&problem, &at_nodes) };
    let method = {
        let model = spline_score(&exact_problem, N)?;
        let table = Problem { model, ..exact_problem };
        richardson(&report("KDE, PI-FT, N/2", pift(&table, N / 2))?, &report("KDE, PI-FT, N", pift(&table, N))?)
    };

    let both = richardson(&coarse, &fine);
    println!("\n{:>34} {:>9} {:>10} {:>10}", "difference of", "J", "V, points", "U, points");
    for (name, a, b) in [
        ("HJB, PI-FT: O(h)", &hjb, &fine),
        ("PI-FT N/2, PI-FT N: O(h)", &coarse, &fine),
        ("HJB, PI-FT extrapolated", &hjb, &both),
        ("parametric, PI-FT", &trained, &fine),
        ("network, KDE by the same method", &both, &method),
        ("that method, closed form of KDE", &method, &closed),
        ("network, closed form of the KDE", &both, &closed),
    ] {
        let V = a.V.iter().zip(&b.V).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        let U = a.U.iter().zip(&b.U).fold(0.0f64, |m, (a, b)| m.max((a[0] - b[0]).hypot(a[1] - b[1])));
        println!("{name:>34} {:>9.1e} {V:>10.1e} {U:>10.1e}", a.J - b.J);
    }
    println!("The network's own error: that of the discretisation, in the row after it, is nearly the same for both scores.");
    Ok(())
}

fn hjb(problem: &Problem) -> Result<Answer, Box<dyn std::error::Error>> {
    let run = solve(problem, N, &Silent)?;
    let times = run.solution.times();
    let late = (0..times.len()).find(|&k| (times[k] - LATE).abs() < 1e-9).ok_or("no such time")?;
    answer(problem, run.solution.value(0), &run.controls[late])
}

fn pift(problem: &Problem, steps: usize) -> Result<Answer, Box<dyn std::error::Error>> {
    let chain = Ddpm::new(&problem.model, DdpmParams { steps, ..DdpmParams::default() })?;
    let (mut V, mut U) = (Vec::new(), Vec::new());
    PiFt::new(&chain, problem.grid.clone(), PiFtParams::default())?.solve_observed(&mut |k| {
        if k.k == 0 {
            V = k.value.to_vec();
        }
        if let Some(u) = k.control.filter(|_| (k.t - LATE).abs() < 1e-9) {
            U = u.to_vec();
        }
    })?;
    answer(problem, &V, &U)
}

fn parametric(problem: &Problem, optimum: &Answer) -> Result<Answer, Box<dyn std::error::Error>> {
    let start = std::time::Instant::now();
    let chain = Ddpm::new(&problem.model, DdpmParams { steps: N, ..DdpmParams::default() })?;
    let sampled = SampledChain::new(&chain, problem.model.initial_law())?;
    let features = FeatureSpec::Polynomial { degree: 2 };
    let params = LinearParams { features, input: PolicyInput::StateAndScore, ..LinearParams::default() };
    let trainer = LeastSquares::new(&sampled, LeastSquaresParams { paths: 2048, ..LeastSquaresParams::default() })?;
    let mut state = trainer.start(LinearPolicy::new(&sampled, params)?)?;
    trainer.run(&mut state, &mut |_| ())?;
    let policy = state.policy;
    let seconds = start.elapsed().as_secs_f64();
    let achieved = sampled.evaluate(&policy, 20000, 7)?;
    let J = achieved.objective;
    println!("{:>16}: J = {:.5} +- {:.5} ({seconds:.1} s)", "parametric", J.mean, J.standard_error);
    println!("{:>16}  PI-FT's optimum is {:.1} standard errors away", "", (J.mean - optimum.J) / J.standard_error);
    if let Some(bound) = achieved.upper_bound {
        println!("{:>16}  no policy of the chain achieves more than {:.5} +- {:.5}", "", bound.mean, bound.standard_error);
    }
    // V(0, y) is J from a start that is almost a point
    let mut V = Vec::new();
    for point in POINTS {
        let law = GaussianMixture::gaussian(point.to_vec(), vec![vec![1e-12, 0.0], vec![0.0, 1e-12]])?;
        V.push(SampledChain::new(&chain, &law)?.evaluate(&policy, 20000, 7)?.objective.mean);
    }
    let mut y = PointBlock::zeros(2, POINTS.len());
    POINTS.iter().enumerate().for_each(|(j, p)| y.as_mut().set_point(j, p));
    let mut U = PointBlock::zeros(2, POINTS.len());
    PolicyFeedback::control(&chain, &policy).at(LATE).eval(y.as_points(), U.as_mut());
    let U = (0..POINTS.len()).map(|j| [U.coord(0)[j], U.coord(1)[j]]).collect();
    Ok(Answer { V, U, J: J.mean })
}

/// Read V and U at the points from the nodes.
fn answer(problem: &Problem, V: &[f64], U: &[f64]) -> Result<Answer, Box<dyn std::error::Error>> {
    let at = |f: &[f64]| at_points(&problem.grid, f);
    let (first, second) = U.split_at(problem.grid.len());
    let U = at(first)?.into_iter().zip(at(second)?).map(|(a, b)| [a, b]).collect();
    Ok(Answer { V: at(V)?, U, J: initial_mean(problem, V) })
}

fn at_points(grid: &Arc<TensorGrid>, f: &[f64]) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let y = PointBlock::from_points(2, &POINTS).ok_or("points of another dimension")?;
    let mut out = vec![0.0; POINTS.len()];
    CubicSpline::new(grid.clone(), f, Extrapolation::Linear)?.value(y.as_points(), &mut out);
    Ok(out)
}

/// Twice the fine one minus the coarse one: O(h^2).
fn richardson(coarse: &Answer, fine: &Answer) -> Answer {
    Answer {
        V: coarse.V.iter().zip(&fine.V).map(|(c, f)| 2.0 * f - c).collect(),
        U: coarse.U.iter().zip(&fine.U).map(|(c, f)| [2.0 * f[0] - c[0], 2.0 * f[1] - c[1]]).collect(),
        J: 2.0 * fine.J - coarse.J,
    }
}

fn report(name: &str, answer: Result<Answer, Box<dyn std::error::Error>>) -> Result<Answer, Box<dyn std::error::Error>> {
    let answer = answer?;
    let V: Vec<String> = answer.V.iter().map(|v| format!("{v:.4}")).collect();
    println!("{name:>16}: J = {:.5}, V = {}", answer.J, V.join(" "));
    Ok(answer)
}
