//! The problems of the rollout bench and of the scripts in `benches/peers`, and the plain scalar loops they are measured against.

use super::Outcome;
use hjbridge::model::{
    Axis, Bump, Coefficients, ControlledDiffusion, CoordinatewiseFeedback, Extrapolation, Feedback, FineTuning, GaussianMixture,
    InitialLaw, Interpolation, KlWeight, MatrixCoefficient, PointBlock, Points, PointsMut, Reward, Schedule, TableFeedback,
    TensorGrid,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use std::sync::Arc;

/// Paths and steps of the Ornstein-Uhlenbeck problem: dX = -X dt + dB on [0, 2] from X_0 = 1.
pub const OU: (usize, usize) = (100_000, 200);
/// Paths and steps of the mixture problem.
pub const MIXTURE: (usize, usize) = (20_000, 500);
/// Paths and steps of the double well.
pub const WELL: (usize, usize) = (65_536, 200);

/// dX = (v - X) dt + dB on [0, 2], g = X_2.
pub struct OrnsteinUhlenbeck;

impl Coefficients for OrnsteinUhlenbeck {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (o, x) in out.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *o = -x;
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for OrnsteinUhlenbeck {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
    }
    fn horizon(&self) -> f64 {
        2.0
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.copy_from_slice(x.coord(0));
    }
}

/// A small generator for one path, so that the path can be run again alone: xoshiro256++ from a hash of the number.
fn keyed(path: usize) -> SmallRng {
    SmallRng::seed_from_u64(0x9E37_79B9_7F4A_7C15 ^ (path as u64).wrapping_mul(0xD134_2543_DE82_EF95))
}

/// Mean and variance of X_2 by the shortest loop there is (ziggurat), with one generator for all paths or one for each.
pub fn plain_ou(one_generator_each: bool) -> (f64, f64) {
    let (paths, steps) = OU;
    let h = 2.0 / steps as f64;
    let root = h.sqrt();
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut sum, mut squares) = (0.0, 0.0);
    for path in 0..paths {
        if one_generator_each {
            rng = keyed(path);
        }
        let mut x = 1.0f64;
        for _ in 0..steps {
            let xi: f64 = rng.sample(StandardNormal);
            x += -x * h + root * xi;
        }
        sum += x;
        squares += x * x;
    }
    let n = paths as f64;
    (sum / n, (squares - sum * sum / n) / (n - 1.0))
}

fn centres() -> Vec<[f64; 2]> {
    let angle = |k: usize| std::f64::consts::TAU * k as f64 / 8.0;
    (0..8).map(|k| [4.0 * angle(k).cos(), 4.0 * angle(k).sin()]).collect()
}

/// The reverse diffusion of eight Gaussians of deviation 0.3 on a circle of radius 4, b = 0.1 + 19.9 tau, from tau = 1 to 0.001,
/// with the reward exp(-2 |x - m_0|^2) at the end.
pub fn mixture() -> Outcome<FineTuning> {
    let means: Vec<Vec<f64>> = centres().iter().map(|m| m.to_vec()).collect();
    let covariance = vec![vec![0.09, 0.0], vec![0.0, 0.09]];
    // The run ends at tau = 0.001: the law there is the prior, and int b over the rest is 0.1 tau + 9.95 tau^2.
    let data = GaussianMixture::new(vec![0.125; 8], means.clone(), vec![covariance; 8])?.noised_by(1e-4 + 9.95e-6);
    let reward = Reward::bumps(vec![Bump { center: means[0].clone(), width: 0.5, height: 1.0 }])?;
    let schedule = Schedule::linear(0.999, 0.1199, 20.0)?;
    Ok(FineTuning::new(schedule, data, reward, KlWeight::constant(1.0)?, InitialLaw::StandardNormal)?)
}

/// The mean reward of [`mixture`] by a plain scalar loop, one generator for each path.
pub fn plain_mixture() -> f64 {
    let (paths, steps) = MIXTURE;
    let (b0, b1, end, s) = (0.1, 20.0, 1e-3, 0.3f64);
    let h = (1.0 - end) / steps as f64;
    let level = |k: usize| {
        let tau = 1.0 - k as f64 * h;
        let e = (-0.5 * (b0 * tau + 0.5 * (b1 - b0) * tau * tau)).exp();
        (e, b0 + (b1 - b0) * tau, e * e * s * s + 1.0 - e * e)
    };
    let (levels, m) = ((0..steps).map(level).collect::<Vec<_>>(), centres());
    let mut sum = 0.0;
    for path in 0..paths {
        let mut rng = keyed(path);
        let (mut x, mut y): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
        for &(e, b, variance) in &levels {
            let (mut l, mut top) = ([0.0f64; 8], f64::NEG_INFINITY);
            for i in 0..8 {
                let (dx, dy) = (e * m[i][0] - x, e * m[i][1] - y);
                l[i] = -(dx * dx + dy * dy) * (0.5 / variance);
                top = top.max(l[i]);
            }
            let (mut total, mut sx, mut sy) = (0.0, 0.0, 0.0);
            for i in 0..8 {
                let p = (l[i] - top).exp();
                total += p;
                sx += p * (e * m[i][0] - x);
                sy += p * (e * m[i][1] - y);
            }
            let (c, root) = (1.0 / (total * variance), (b * h).sqrt());
            let (xi, eta): (f64, f64) = (rng.sample(StandardNormal), rng.sample(StandardNormal));
            x += h * b * (0.5 * x + sx * c) + root * xi;
            y += h * b * (0.5 * y + sy * c) + root * eta;
        }
        let (dx, dy) = (x - m[0][0], y - m[0][1]);
        sum += (-2.0 * (dx * dx + dy * dy)).exp();
    }
    sum / paths as f64
}

/// E exp(-2 |X - m_0|^2) under the law at tau = 0.001.
pub fn mixture_exact() -> f64 {
    let e2 = (-(1e-4 + 9.95e-6f64)).exp();
    let spread = e2 * 0.09 + 1.0 - e2 + 0.25;
    let m = centres();
    let term = |c: &[f64; 2]| {
        let d2 = (e2.sqrt() * c[0] - m[0][0]).powi(2) + (e2.sqrt() * c[1] - m[0][1]).powi(2);
        0.25 / spread * (-0.5 * d2 / spread).exp()
    };
    m.iter().map(term).sum::<f64>() / 8.0
}

/// The score of [`mixture`] in a cubic table of 257 x 257 nodes on [-6, 6]^2 at `slices` times.
pub fn tabulated(problem: &FineTuning, slices: usize) -> Outcome<FineTuning> {
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-6.0, 6.0, 257)?; 2])?);
    let times: Vec<f64> = (0..slices).map(|k| problem.horizon() * k as f64 / (slices - 1) as f64).collect();
    let nodes = grid.points();
    let slice = |&t: &f64| {
        let mut s = PointBlock::zeros(2, grid.len());
        problem.score().at(t).eval(nodes.as_points(), s.as_mut());
        s.data().to_vec()
    };
    let tables = times.iter().map(slice).collect();
    let table = TableFeedback::new(grid.clone(), times, tables, 2, Interpolation::Cubic, Extrapolation::Linear)?;
    Ok(problem.clone().with_score(Arc::new(table))?)
}

/// dX_i = (-4 kappa_i X_i (X_i^2 - 1) + v_i) dt + dB_i on [0, 1], i = 1..10, g = -sum nu_i (X_i^2 - 1)^2; kappa = nu = 1 but for
/// the first three, where kappa = 5 and nu = 3 (Domingo-Enrich et al., arXiv:2312.02027).
pub struct DoubleWell;

impl Coefficients for DoubleWell {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for i in 0..10 {
            let c = if i < 3 { -20.0 } else { -4.0 };
            for (o, x) in out.coord_mut(i).iter_mut().zip(x.coord(i)) {
                *o = c * x * (x * x - 1.0);
            }
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
}

impl ControlledDiffusion for DoubleWell {
    fn dim(&self) -> usize {
        10
    }
    fn control_dim(&self) -> usize {
        10
    }
    fn horizon(&self) -> f64 {
        1.0
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
        for i in 0..10 {
            let nu = if i < 3 { 3.0 } else { 1.0 };
            for (o, x) in out.iter_mut().zip(x.coord(i)) {
                *o -= nu * (x * x - 1.0) * (x * x - 1.0);
            }
        }
    }
}

/// Ten cubic tables on lines, 551 nodes x 201 times. They hold a formula of the optimal control's shape, not the optimum: what is
/// timed does not depend on the values.
pub fn double_well_policy() -> Outcome<CoordinatewiseFeedback> {
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.75, 2.75, 551)?])?);
    let part = |i: usize| -> Outcome<Arc<dyn Feedback>> {
        let scale = if i < 3 { -5.0 } else { -1.0 };
        let times: Vec<f64> = (0..=200).map(|k| k as f64 / 200.0).collect();
        let law = |t: f64, x: f64| scale * t.powi(6) * x * (x * x - 1.0) / (1.0 + x.powi(4));
        let slices = times.iter().map(|&t| grid.points().coord(0).iter().map(|&x| law(t, x)).collect()).collect();
        Ok(Arc::new(TableFeedback::new(grid.clone(), times, slices, 1, Interpolation::Cubic, Extrapolation::Linear)?))
    };
    Ok(CoordinatewiseFeedback::new((0..10).map(part).collect::<Outcome<Vec<_>>>()?)?)
}
