//! The law of the chain: Gaussian chains have exact means and variances.

use crate::problems::{exact_lq, line, mixture, plane_lq, scalar_lq};
use hjbridge_model::{Axis, FineTuning, Law, Points, PointwiseFeedback, TensorGrid};
use hjbridge_pift::{ChainLaw, ChainLawParams, ChainPolicy, Ddpm, DdpmParams, PiFt, PiFtError, PiFtParams, VarianceRule};
use std::f64::consts::PI;
use std::sync::Arc;

fn standard_normal(y: Points<'_>, out: &mut [f64]) {
    for (o, y) in out.iter_mut().zip(y.coord(0)) {
        *o = -0.5 * y * y - 0.5 * (2.0 * PI).ln();
    }
}

/// Mean and variance of Y_N for Y_0 ~ N(0,1) under m_k + gain y + offset.
fn exact_moments(problem: &FineTuning, chain: &Ddpm<'_>, shift: impl Fn(usize) -> (f64, f64)) -> (f64, f64) {
    let (mut mean, mut variance) = (0.0, 1.0);
    for k in 0..chain.steps() {
        let a = chain.alphas()[k];
        let noised = problem.noised_prior(chain.times()[k]);
        let (m, p) = (noised.mean()[0], noised.covariance()[0][0]);
        let (gain, offset) = shift(k);
        let f1 = (1.0 - (1.0 - a) / p) / a.sqrt() + gain;
        mean = f1 * mean + (1.0 - a) * m / p / a.sqrt() + offset;
        variance = f1 * f1 * variance + chain.variances()[k];
    }
    (mean, variance)
}

#[test]
fn gaussian_chains_have_their_exact_moments() {
    let problem = scalar_lq(0.7, 0.5, 1.3, 0.9, 0.1, 0.6);
    let grid = line(-8.0, 8.0, 801);
    for steps in [16, 128] {
        let chain = Ddpm::new(&problem, DdpmParams { steps, ..Default::default() }).unwrap();
        let run =
            |policy| ChainLaw::propagate(&chain, grid.clone(), &standard_normal, policy, ChainLawParams::default()).unwrap();
        let law = run(ChainPolicy::Pretrained);
        let (mean, variance) = exact_moments(&problem, &chain, |_| (0.0, 0.0));
        assert!((law.mean - mean).abs() < 1e-10 && (law.variance - variance).abs() < 1e-10, "{} {mean}", law.mean);
        assert!(law.info.mass_defect < 1e-10 && law.info.resolution > 1.0, "{:?}", law.info);
        for (y, p) in grid.axis(0).nodes().iter().zip(&law.density) {
            let exact = (-0.5 * (y - mean).powi(2) / variance).exp() / (2.0 * PI * variance).sqrt();
            assert!((p - exact).abs() < 1e-10, "y = {y}: {p}, not {exact}");
        }
        // Under the optimal control: its shifts from PI-FT, and the same control as a feedback.
        let solution = PiFt::new(&chain, grid.clone(), PiFtParams::default()).unwrap().solve().unwrap();
        let exact = exact_lq(&problem, &chain, false);
        let shift = |k: usize| (exact.shifts[k].0[(0, 0)], exact.shifts[k].1[0]);
        let (mean, variance) = exact_moments(&problem, &chain, shift);
        let tuned = run(ChainPolicy::Shifts(&solution.shifts));
        assert!((tuned.mean - mean).abs() < 1e-8 && (tuned.variance - variance).abs() < 1e-8, "{} {mean}", tuned.mean);
        let feedback = PointwiseFeedback::new(1, 1, |t, y: &[f64], u: &mut [f64]| {
            let k = chain.times().partition_point(|s| *s < t - 1e-12);
            let noised = problem.noised_prior(t);
            let (gain, offset) = shift(k);
            let a = chain.alphas()[k];
            u[0] = -(y[0] - noised.mean()[0]) / noised.covariance()[0][0] + (gain * y[0] + offset) * a.sqrt() / (1.0 - a);
        });
        let fed = run(ChainPolicy::Feedback(&feedback));
        assert!((fed.mean - mean).abs() < 1e-10 && (fed.variance - variance).abs() < 1e-10);
    }
}

#[test]
fn mass_is_kept_on_a_good_grid_and_its_loss_is_reported() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 256, ..Default::default() }).unwrap();
    let log_density = |y: Points<'_>, out: &mut [f64]| problem.initial_law().log_density(y, out);
    let run = |grid| ChainLaw::propagate(&chain, grid, &log_density, ChainPolicy::Pretrained, ChainLawParams::default());
    let law = run(line(-7.0, 7.0, 801)).unwrap();
    assert!(law.info.mass_defect < 1e-8, "{:?}", law.info);
    // The pre-trained chain ends near the prior: mean 0, variance 0.4 * 0.15 + 0.6 * 0.4 + 1.5.
    assert!(law.mean.abs() < 0.1 && (law.variance - 1.8).abs() < 0.1, "{} {}", law.mean, law.variance);
    // Too coarse for sig = 0.063, and too short.
    assert!(matches!(run(line(-7.0, 7.0, 61)), Err(PiFtError::MassLost { .. })));
    assert!(matches!(run(line(-7.0, 1.0, 801)), Err(PiFtError::MassLost { step: 0, .. })));
}

#[test]
fn what_is_not_built_is_refused() {
    let run = |chain: &Ddpm<'_>, grid, policy, params| ChainLaw::propagate(chain, grid, &standard_normal, policy, params).err();
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 4, ..Default::default() }).unwrap();
    let ok = ChainLawParams::default();
    let short = ChainLawParams { truncation: 1.0, ..ok };
    assert!(run(&chain, line(-7.0, 7.0, 201), ChainPolicy::Pretrained, short).unwrap().to_string().starts_with("truncation = 1"));
    let slices = vec![vec![0.0; 201]; 3];
    let error = run(&chain, line(-7.0, 7.0, 201), ChainPolicy::Shifts(&slices), ok).unwrap();
    assert!(error.to_string().starts_with("shifts = 3: 4 slices"), "{error}");
    let slices = vec![vec![0.0; 200]; 4];
    let error = run(&chain, line(-7.0, 7.0, 201), ChainPolicy::Shifts(&slices), ok).unwrap();
    assert!(error.to_string().starts_with("shifts[0].len = 200"), "{error}");
    let silent = Ddpm::new(&problem, DdpmParams { steps: 4, variance: VarianceRule::Posterior, ..Default::default() }).unwrap();
    let error = run(&silent, line(-7.0, 7.0, 201), ChainPolicy::Pretrained, ok);
    assert!(matches!(error, Some(PiFtError::Unsupported { .. })));
    let plane = plane_lq();
    let chain = Ddpm::new(&plane, DdpmParams { steps: 4, ..Default::default() }).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-1.0, 1.0, 5).unwrap(); 2]).unwrap());
    assert!(matches!(run(&chain, grid, ChainPolicy::Pretrained, ok), Some(PiFtError::Unsupported { .. })));
}
