//! Every choice that PI-FT on a grid offers, on a chain whose answer is known: kernel, variance, inner iteration, when it ends.
//!
//! Gaussian prior and quadratic reward (lq_1d.json, KL weight varying in time): with V_{k+1} = -K y^2/2 + k y + l, so is V_k,
//!
//!   mean shift   V_k = max_D { E V_{k+1}(m_k + D + sig_k W) - |D|^2/(2 lam) },      lam = sig_k^2 / beta_k,
//!   soft         V_k = beta_k log E exp( V_{k+1}(m_k + sig_k W) / beta_k ),
//!
//! m_k the pre-trained mean, and the recursion of K, k, l is exact for either kernel and any variance sig_k^2:
//!
//!   one-minus-alpha 1-a,   over-alpha (1-a)/a,   posterior (1-a)(1-abar_{k+1})/(1-abar_k),   gaussian-posterior (1-a) P_{k+1}/P_k.
//!
//! The first table has for each pair the largest error of V_k over |y| <= 3 and all k (rounding; with the soft kernel that of the
//! quadrature, whose integrand is an exponential there), and the distance of the chain to the continuous problem at t = 0, where the
//! four differ. The second has what each inner iteration takes on the chain of the first variance and what it leaves. The last step
//! of `posterior` has no noise, and no update can be made in it.
//!
//! Reference: Han, Razaviyayn, Xu, *Stochastic Control for Fine-tuning Diffusion Models* (arXiv:2412.18164).
//!
//! Run: cargo run --release --example 20_pift_options

use hjbridge::model::exact::{DiscreteLq, DiscreteStep, closed_form};
use hjbridge::pift::{BellmanKind, Ddpm, DdpmParams, Inner, InnerRule, PiFt, PiFtInfo, PiFtParams, VarianceRule};
use hjbridge::problem::{Problem, ProblemFile};
use std::path::Path;

const STEPS: usize = 32;

/// Error against the exact recursion, distance to the continuous problem at t = 0, and the report.
type Row = (f64, f64, PiFtInfo);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let problem = Problem::resolve(ProblemFile::read(&directory.join("lq_1d.json"))?, &directory)?;
    let data_variance = problem.model.prior().covariance()[0][0];
    let variances = [
        ("one-minus-alpha", VarianceRule::OneMinusAlpha),
        ("over-alpha", VarianceRule::OverAlpha),
        ("posterior", VarianceRule::Posterior),
        ("gaussian-posterior", VarianceRule::GaussianPosterior { data_variance }),
    ];
    println!("lq_1d, N = {STEPS}, |y| <= 3");
    println!("{:>20} {:>12} {:>14} {:>22}", "variance", "kernel", "error of V", "to the continuous V");
    for (name, variance) in variances {
        for (kernel, bellman) in [("mean-shift", BellmanKind::MeanShift), ("soft", BellmanKind::Soft)] {
            let (error, distance, _) = run(&problem, variance, PiFtParams { bellman, ..PiFtParams::default() })?;
            println!("{name:>20} {kernel:>12} {error:>14.1e} {distance:>22.1e}");
        }
    }
    let iterations = [
        ("plain", Inner::Plain),
        ("damped", Inner::Damped),
        ("newton", Inner::Newton),
        ("anderson", Inner::Anderson { depth: 3 }),
        ("auto", Inner::Auto),
    ];
    let rules = [
        ("tolerance", InnerRule::Tolerance { tol: 1e-10, max: 500 }),
        ("below-step", InnerRule::BelowStep { max: 500 }),
        ("2 updates", InnerRule::Fixed(2)),
    ];
    println!("\n{:>10} {:>12} {:>14} {:>16} {:>14}", "inner", "ends by", "most updates", "all updates", "error of V");
    for (name, inner) in iterations {
        for (end, rule) in rules {
            let (error, _, info) =
                run(&problem, VarianceRule::OneMinusAlpha, PiFtParams { inner, rule, ..PiFtParams::default() })?;
            let all: usize = info.steps.iter().map(|s| s.iterations).sum();
            println!("{name:>10} {end:>12} {:>14} {all:>16} {error:>14.1e}", info.max_iterations());
        }
    }
    Ok(())
}

fn run(problem: &Problem, variance: VarianceRule, params: PiFtParams) -> Result<Row, Box<dyn std::error::Error>> {
    let chain = Ddpm::new(&problem.model, DdpmParams { steps: STEPS, variance, ..DdpmParams::default() })?;
    let step = |k: usize| DiscreteStep {
        t: chain.times()[k],
        a: chain.alphas()[k],
        variance: chain.variances()[k],
        beta: chain.kl_weights()[k],
    };
    let soft = params.bellman == BellmanKind::Soft;
    let exact = DiscreteLq::new(&problem.model, &(0..STEPS).map(step).collect::<Vec<_>>(), soft)?;
    let continuous = closed_form(&problem.model)?.ok_or("no closed form")?;
    let points = problem.grid.points();
    let (mut v, mut error, mut distance) = (vec![0.0; points.len()], 0.0, 0.0);
    let params = PiFtParams { region: Some(problem.compare_on.clone()), ..params };
    let info = PiFt::new(&chain, problem.grid.clone(), params)?.solve_observed(&mut |view| {
        let gap = |v: &[f64]| {
            let inside = (0..v.len()).filter(|&j| points.coord(0)[j].abs() <= 3.0 + 1e-12);
            inside.fold(0.0f64, |m, j| m.max((v[j] - view.value[j]).abs()))
        };
        exact.values[view.k].value(points.as_points(), &mut v);
        error = gap(&v).max(error);
        if view.k == 0 {
            continuous.at(0.0).value(points.as_points(), &mut v);
            distance = gap(&v);
        }
    })?;
    Ok((error, distance, info))
}
