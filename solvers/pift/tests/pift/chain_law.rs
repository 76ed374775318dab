//! The law of the chain: Gaussian chains have exact means and variances.

use crate::problems::{exact_lq, line, mixture, plane_lq, scalar_lq};
use hjbridge_model::{Axis, FineTuning, Law, Points, PointwiseFeedback, TensorGrid};
use hjbridge_pift::{
    ChainLaw, ChainLawParams, ChainPolicy, Ddpm, DdpmParams, GridLaw, PiFt, PiFtError, PiFtParams, TimeGrid, VarianceRule,
};
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

/// Mean and covariance of Y_N for Y_0 ~ N(0, I) under the optimal policy of a Gaussian problem in the plane.
fn plane_moments(problem: &FineTuning, chain: &Ddpm<'_>) -> ([f64; 2], [[f64; 2]; 2]) {
    let exact = exact_lq(problem, chain, false);
    let (mut mean, mut cov) = ([0.0; 2], [[1.0, 0.0], [0.0, 1.0]]);
    for k in 0..chain.steps() {
        let a = chain.alphas()[k];
        let noised = problem.noised_prior(chain.times()[k]);
        let (m, p) = (noised.mean(), noised.covariance());
        let det = p[0][0] * p[1][1] - p[0][1] * p[1][0];
        let inverse = [[p[1][1] / det, -p[0][1] / det], [-p[1][0] / det, p[0][0] / det]];
        let (gain, offset) = &exact.shifts[k];
        let root = a.sqrt();
        let mut f = [[0.0; 2]; 2];
        let mut c = [0.0; 2];
        for i in 0..2 {
            for j in 0..2 {
                f[i][j] = (f64::from(u8::from(i == j)) - (1.0 - a) * inverse[i][j]) / root + gain[(i, j)];
                c[i] += (1.0 - a) * inverse[i][j] * m[j] / root;
            }
            c[i] += offset[i];
        }
        let moved = |x: [f64; 2]| [0, 1].map(|i| f[i][0] * x[0] + f[i][1] * x[1]);
        mean = moved(mean);
        mean.iter_mut().zip(c).for_each(|(m, c)| *m += c);
        let half = [moved([cov[0][0], cov[1][0]]), moved([cov[0][1], cov[1][1]])];
        for i in 0..2 {
            for j in 0..2 {
                // (F C) is half', so F C F' = sum_b (F C)_{ib} F_{jb}
                cov[i][j] = half[0][i] * f[j][0] + half[1][i] * f[j][1];
            }
            cov[i][i] += chain.variances()[k];
        }
    }
    (mean, cov)
}

#[test]
fn gaussian_chains_in_the_plane_have_their_exact_law() {
    let problem = plane_lq();
    let axis = |radius: f64| Axis::uniform(-radius, radius, 121).unwrap();
    let grid = Arc::new(TensorGrid::new(vec![axis(6.0), axis(8.0)]).unwrap());
    let points = grid.points();
    let volumes = grid.volumes();
    let initial: Vec<f64> = (0..grid.len())
        .map(|j| (-0.5 * (points.coord(0)[j].powi(2) + points.coord(1)[j].powi(2))).exp() / (2.0 * PI) * volumes[j])
        .collect();
    let grids = [TimeGrid::Uniform, TimeGrid::LogSnr, TimeGrid::Quadratic];
    for (time_grid, variance) in
        grids.into_iter().zip([VarianceRule::OneMinusAlpha, VarianceRule::Posterior, VarianceRule::OverAlpha])
    {
        let chain = Ddpm::new(&problem, DdpmParams { steps: 24, time_grid, variance, ..Default::default() }).unwrap();
        let exact = exact_lq(&problem, &chain, false);
        let shifts: Vec<Vec<f64>> = exact
            .shifts
            .iter()
            .map(|(gain, offset)| {
                let shift =
                    |i: usize, j: usize| gain[(i, 0)] * points.coord(0)[j] + gain[(i, 1)] * points.coord(1)[j] + offset[i];
                (0..2).flat_map(|i| (0..grid.len()).map(move |j| shift(i, j))).collect()
            })
            .collect();
        let law =
            GridLaw::propagate(&chain, grid.clone(), &initial, ChainPolicy::Shifts(&shifts), ChainLawParams::default()).unwrap();
        let (mean, cov) = plane_moments(&problem, &chain);
        for i in 0..2 {
            // remeshing and kernels keep moments; the box ends five standard deviations (1.2 at first with `OverAlpha`) from the
            // middle, and what leaves it, 1e-7 of the mass, changes the mean by 6 times and the covariance by 36 times that
            assert!((law.mean[i] - mean[i]).abs() < 3e-6, "{time_grid:?} mean {:?}, not {mean:?}", law.mean);
            for j in 0..2 {
                assert!((law.covariance[i][j] - cov[i][j]).abs() < 2e-5, "{time_grid:?} {:?}, not {cov:?}", law.covariance);
            }
        }
        assert!(law.info.mass_defect < 1e-6, "{:?}", law.info);
        // and the density, to the ripple that remeshing leaves where the noise (absent in the last step of `Posterior`) damps none
        let det = cov[0][0] * cov[1][1] - cov[0][1] * cov[0][1];
        let mut worst = 0.0_f64;
        for j in 0..grid.len() {
            let (x, y) = (points.coord(0)[j] - mean[0], points.coord(1)[j] - mean[1]);
            let square = (cov[1][1] * x * x - 2.0 * cov[0][1] * x * y + cov[0][0] * y * y) / det;
            worst = worst.max((law.masses[j] / volumes[j] - (-0.5 * square).exp() / (2.0 * PI * det.sqrt())).abs());
        }
        assert!(worst < 1e-3 / (2.0 * PI * det.sqrt()), "{time_grid:?}: density off by {worst:e}");
    }
}

#[test]
fn both_laws_agree_on_a_line() {
    let problem = mixture();
    let chain = Ddpm::new(&problem, DdpmParams { steps: 64, ..Default::default() }).unwrap();
    let grid = line(-7.0, 7.0, 401);
    let log_density = |y: Points<'_>, out: &mut [f64]| problem.initial_law().log_density(y, out);
    let fine =
        ChainLaw::propagate(&chain, grid.clone(), &log_density, ChainPolicy::Pretrained, ChainLawParams::default()).unwrap();
    let mut initial = vec![0.0; grid.len()];
    log_density(grid.points().as_points(), &mut initial);
    initial.iter_mut().zip(grid.volumes()).for_each(|(p, v)| *p = p.exp() * v);
    let law = GridLaw::propagate(&chain, grid.clone(), &initial, ChainPolicy::Pretrained, ChainLawParams::default()).unwrap();
    assert!((law.mean[0] - fine.mean).abs() < 1e-9 && (law.covariance[0][0] - fine.variance).abs() < 1e-7);
    let worst = law.masses.iter().zip(grid.volumes()).zip(&fine.density).map(|((m, v), p)| (m / v - p).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-6, "{worst:e}");
    let short =
        GridLaw::propagate(&chain, line(-7.0, 1.0, 201), &initial[..201], ChainPolicy::Pretrained, ChainLawParams::default());
    assert!(matches!(short, Err(PiFtError::MassLost { step: 0, .. })));
}
