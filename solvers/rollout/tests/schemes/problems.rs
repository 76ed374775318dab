//! Problems, grids, and schemes prepared for them.

use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, Feedback, FineTuning, GaussianMixture, InitialLaw, KlWeight,
    MatrixCoefficient, Points, PointsMut, Reward, Schedule, ZeroFeedback,
};
use hjbridge_rollout::{ClosedLoop, RolloutError, SdeScheme, TimeGrid};

use crate::common::Diffusion;

pub const ZERO: ZeroFeedback = ZeroFeedback { dim: 1, control_dim: 1 };

/// A diffusion with a discount and, if given, a general cost of the control.
pub struct Discounted {
    pub inner: Diffusion,
    pub rho: f64,
    pub cost: Option<fn(f64, f64) -> f64>,
}

struct DiscountedAt<'a>(Box<dyn Coefficients + 'a>, Option<fn(f64, f64) -> f64>);

impl Coefficients for DiscountedAt<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.0.drift(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        self.0.control_matrix()
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.0.diffusion()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.0.control_weight()
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        for ((o, x), v) in out.iter_mut().zip(x.coord(0)).zip(v.coord(0)) {
            *o = self.1.map_or(0.0, |c| c(*x, *v));
        }
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.0.running_reward(x, out);
    }
}

impl ControlledDiffusion for Discounted {
    fn dim(&self) -> usize {
        self.inner.dim
    }
    fn control_dim(&self) -> usize {
        self.inner.control_dim
    }
    fn noise_dim(&self) -> usize {
        self.inner.noise_dim
    }
    fn horizon(&self) -> f64 {
        self.inner.horizon
    }
    fn discount(&self) -> f64 {
        self.rho
    }
    fn control_set(&self) -> ControlSet {
        self.inner.control_set.clone()
    }
    fn control_cost(&self) -> ControlCost {
        if self.cost.is_some() { ControlCost::General } else { ControlCost::Quadratic }
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(DiscountedAt(self.inner.at(t), self.cost))
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.inner.terminal_reward(x, out);
    }
}

/// Hand the prepared scheme and system to `task`.
pub fn prepared<S: SdeScheme, R>(
    scheme: &S,
    problem: &dyn ControlledDiffusion,
    feedback: &dyn Feedback,
    grid: &TimeGrid,
    task: impl FnOnce(&S, &ClosedLoop<'_>) -> R,
) -> Result<R, RolloutError> {
    let coefficients = ClosedLoop::coefficients(problem, grid, S::STAGES);
    let system = ClosedLoop::new(problem, feedback, grid, S::STAGES, &coefficients)?;
    let mut scheme = scheme.clone();
    scheme.prepare(&system)?;
    Ok(task(&scheme, &system))
}

/// Order on the last octave of errors at N, 2N, 4N, ...
pub fn last_order(errors: &[f64]) -> f64 {
    let n = errors.len();
    (errors[n - 2] / errors[n - 1]).log2()
}

pub fn uniform(horizon: f64, steps: usize) -> TimeGrid {
    TimeGrid::uniform(0.0, horizon, steps).unwrap()
}

/// t_k = T (1 - (1 - k/N)^1.5): steps that shrink towards T by a smooth map, which keeps a scheme's order.
pub fn graded(horizon: f64, steps: usize) -> TimeGrid {
    let times = (0..=steps).map(|k| horizon * (1.0 - (1.0 - k as f64 / steps as f64).powf(1.5))).collect();
    TimeGrid::from_times(times).unwrap()
}

pub fn schedule() -> Schedule {
    Schedule::linear(1.5, 0.4, 3.0).unwrap()
}

/// A pre-trained model of N(0.8, 0.3), started from its noised law: the law at T is N(0.8, 0.3).
pub fn gaussian_model() -> FineTuning {
    let prior = GaussianMixture::gaussian(vec![0.8], vec![vec![0.3]]).unwrap();
    let reward = Reward::linear(vec![1.0], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::NoisedPrior).unwrap()
}

/// A pre-trained mixture of two Gaussians.
pub fn mixture_model() -> FineTuning {
    let (means, covariances) = (vec![vec![-1.5], vec![1.0]], vec![vec![vec![0.3]], vec![vec![0.5]]]);
    let prior = GaussianMixture::new(vec![0.4, 0.6], means, covariances).unwrap();
    let reward = Reward::linear(vec![1.0], 0.0).unwrap();
    FineTuning::new(schedule(), prior, reward, KlWeight::constant(0.7).unwrap(), InitialLaw::NoisedPrior).unwrap()
}
