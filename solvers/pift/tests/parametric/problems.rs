//! Problems that the tests share. T = 2 and b(t) = 0.5 + 2.5 (T - t)/T throughout.

use hjbridge_model::exact::{DiscreteLq, DiscreteStep};
use hjbridge_model::reward::QuadraticTerm;
use hjbridge_model::{Feedback, FineTuning, GaussianMixture, InitialLaw, KlWeight, PointBlock, Reward, Schedule};
use hjbridge_pift::Ddpm;
use hjbridge_pift::parametric::{Policy, PolicyFeedback};

pub fn schedule() -> Schedule {
    Schedule::linear(2.0, 0.5, 3.0).unwrap()
}

/// Gaussian prior and quadratic reward in dimension d, neither diagonal.
pub fn lq(d: usize, beta: f64) -> FineTuning {
    let wave = |i: usize, j: usize, s: f64| 0.3 * ((i + j) as f64 * s + (i * j) as f64).cos() / d as f64;
    let matrix = |diagonal: f64, s: f64| -> Vec<Vec<f64>> {
        (0..d).map(|i| (0..d).map(|j| wave(i, j, s) + if i == j { diagonal } else { 0.0 }).collect()).collect()
    };
    let mean = (0..d).map(|i| 0.8 * (i as f64).sin()).collect();
    let slope = (0..d).map(|i| (1.0 + i as f64).cos()).collect();
    let prior = GaussianMixture::gaussian(mean, matrix(0.7, 0.4)).unwrap();
    let reward = Reward::quadratic(&matrix(0.6, 1.1), slope, 0.2).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

/// Gaussian prior N(0.7, 0.5) on the line with reward -curvature x^2/2 + slope x.
pub fn scalar_lq(curvature: f64, slope: f64, beta: f64) -> FineTuning {
    let prior = GaussianMixture::gaussian(vec![0.7], vec![vec![0.5]]).unwrap();
    let reward = Reward::quadratic(&[vec![curvature]], vec![slope], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

/// A mixture prior on the line and a log-sum-exp reward of two quadratics at the temperature of the KL weight, 0.7.
pub fn mixture() -> FineTuning {
    let prior =
        GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
    let terms = vec![
        QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1).unwrap(),
        QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3).unwrap(),
    ];
    let reward = Reward::log_sum_exp(terms, 0.7).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

/// The exact linear-quadratic solution of a chain.
pub fn exact_lq(problem: &FineTuning, chain: &Ddpm<'_>) -> DiscreteLq {
    let step = |k: usize| DiscreteStep {
        t: chain.times()[k],
        a: chain.alphas()[k],
        variance: chain.variances()[k],
        beta: chain.kl_weights()[k],
    };
    DiscreteLq::new(problem, &(0..chain.steps()).map(step).collect::<Vec<_>>(), false).unwrap()
}

/// D_k of a policy at points, through its feedback.
pub fn shift(ddpm: &Ddpm<'_>, policy: &dyn Policy, k: usize, y: &PointBlock) -> PointBlock {
    let mut out = PointBlock::zeros(y.dim(), y.len());
    PolicyFeedback::change(ddpm, policy).at(ddpm.times()[k]).eval(y.as_points(), out.as_mut());
    let per_control = ddpm.at(k).shift_per_control();
    out.data_mut().iter_mut().for_each(|v| *v *= per_control);
    out
}

/// Points all over [-2, 2]^d.
pub fn probe(d: usize) -> PointBlock {
    let mut y = PointBlock::zeros(d, 50);
    y.data_mut().iter_mut().enumerate().for_each(|(i, y)| *y = 2.0 * (i as f64 * 1.7 + 0.3).sin());
    y
}
