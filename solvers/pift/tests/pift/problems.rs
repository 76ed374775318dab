//! Problems with closed forms that the tests share. T = 2 and b(t) = 0.5 + 2.5 (T - t)/T throughout.

use hjbridge_model::exact::{DiscreteLq, DiscreteStep};
use hjbridge_model::reward::QuadraticTerm;
use hjbridge_model::{Axis, FineTuning, GaussianMixture, InitialLaw, KlWeight, Reward, Schedule, TensorGrid};
use hjbridge_pift::Ddpm;
use std::sync::Arc;

pub fn schedule() -> Schedule {
    Schedule::linear(2.0, 0.5, 3.0).unwrap()
}

/// A 1-D mixture prior and a log-sum-exp reward of two quadratics at the temperature of the KL weight, 0.7.
pub fn mixture() -> FineTuning {
    let prior =
        GaussianMixture::new(vec![0.4, 0.6], vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.15]], vec![vec![0.4]]]).unwrap();
    let terms = vec![
        QuadraticTerm::new(&[vec![0.5]], vec![-1.0], 0.1).unwrap(),
        QuadraticTerm::new(&[vec![1.2]], vec![1.5], -0.3).unwrap(),
    ];
    let reward = Reward::log_sum_exp(terms, 0.7).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::StandardNormal).unwrap()
}

/// Gaussian prior in the plane with a quadratic reward.
pub fn plane_lq() -> FineTuning {
    let prior = GaussianMixture::gaussian(vec![0.8, -0.4], vec![vec![0.7, 0.3], vec![0.3, 1.5]]).unwrap();
    let reward = Reward::quadratic(&[vec![0.9, -0.2], vec![-0.2, 0.4]], vec![0.5, 1.1], 0.2).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.6).unwrap(), InitialLaw::StandardNormal).unwrap()
}

/// Gaussian prior N(mean, variance) on the line with reward -curvature x^2/2 + slope x + constant.
pub fn scalar_lq(mean: f64, variance: f64, curvature: f64, slope: f64, constant: f64, beta: f64) -> FineTuning {
    let prior = GaussianMixture::gaussian(vec![mean], vec![vec![variance]]).unwrap();
    let reward = Reward::quadratic(&[vec![curvature]], vec![slope], constant).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(beta).unwrap(), InitialLaw::StandardNormal).unwrap()
}

pub fn line(lower: f64, upper: f64, nodes: usize) -> Arc<TensorGrid> {
    Arc::new(TensorGrid::new(vec![Axis::uniform(lower, upper, nodes).unwrap()]).unwrap())
}

/// sup |a - b| over the entries where `inside`.
pub fn sup_gap(a: &[f64], b: &[f64], inside: impl Fn(usize) -> bool) -> f64 {
    (0..a.len()).filter(|&j| inside(j)).fold(0.0, |m: f64, j| m.max((a[j] - b[j]).abs()))
}

/// sup over y in [-3, 3] of |a - b| at the nodes of a line.
pub fn sup_center(grid: &TensorGrid, a: &[f64], b: &[f64]) -> f64 {
    let nodes = grid.axis(0).nodes();
    sup_gap(a, b, |j| nodes[j].abs() <= 3.0 + 1e-12)
}

/// The exact linear-quadratic solution of a chain.
pub fn exact_lq(problem: &FineTuning, chain: &Ddpm<'_>, soft: bool) -> DiscreteLq {
    let step = |k: usize| DiscreteStep {
        t: chain.times()[k],
        a: chain.alphas()[k],
        variance: chain.variances()[k],
        beta: chain.kl_weights()[k],
    };
    DiscreteLq::new(problem, &(0..chain.steps()).map(step).collect::<Vec<_>>(), soft).unwrap()
}
