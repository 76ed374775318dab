//! Hitting times and committors by simulation, with the exits that happen between the steps.
//!
//! dX = -U'(X) dt + sqrt 2 dB, U = (x^2 - 1)^2, as in example 07.
//!
//! 1. The mean time from -1 to the target [1, 2]: 3.569416776 by a double integral, the same by the HJB module
//!    (whose grid ends in a reflecting wall at -2; without the wall 2e-5 more).
//!    A chain that is looked at every h misses the paths that touch the target and come back between two looks. To it the
//!    target seems to begin 0.5826 sqrt(2 h) further out (Broadie, Glasserman, Kou, *A continuity correction for discrete barrier
//!    options*, Math. Finance 7 (1997)), which makes the mean time too long by O(sqrt h). The chance that a step has touched
//!    the target, exp(-2 a b / (h sigma^2)) for distances a and b, is known; carried along each path as a probability to be
//!    alive it leaves the error of the scheme: O(h) for Euler-Maruyama, less for the Runge-Kutta scheme of strong order 3/2.
//! 2. The committor: the chance to reach 1 before -1,  q(x) = int_{-1}^x e^U / int_{-1}^1 e^U,  from x = 0.3.
//!
//! Every z is (mean - reference)/(standard error); where it is large the scheme's bias shows.
//!
//! Run: cargo run --release --example 13_hitting_times

use hjbridge::hjb::{Face, LevelSet, Placement, StationaryParams, StationarySolver};
use hjbridge::model::{
    Axis, Coefficients, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, ScalarField, TensorGrid, ZeroFeedback,
};
use hjbridge::rollout::estimators::{FirstExit, first_exit};
use hjbridge::rollout::{AdditiveRungeKutta, Ensemble, EulerMaruyama, InitialState, RolloutParams, SdeScheme};
use std::sync::Arc;

const PATHS: usize = 40_000;
/// So long that a path is still under way with a probability of about 1e-6.
const HORIZON: f64 = 48.0;

/// The diffusion, with a running reward for the HJB module: 1 for times, 0 for chances. That module takes it without a control,
/// the rollouts with one that stays zero.
struct Well {
    reward: f64,
    control_dim: usize,
}

impl Coefficients for Well {
    fn drift(&self, x: Points<'_>, mut f: PointsMut<'_>) {
        for (f, x) in f.coord_mut(0).iter_mut().zip(x.coord(0)) {
            *f = -4.0 * x * (x * x - 1.0);
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(std::f64::consts::SQRT_2)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn running_reward(&self, _x: Points<'_>, l: &mut [f64]) {
        l.fill(self.reward);
    }
}

impl ControlledDiffusion for Well {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn horizon(&self) -> f64 {
        HORIZON
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(self)
    }
    fn terminal_reward(&self, _x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0);
    }
}

/// 1 - sign x: not positive beyond the wall at `sign`.
struct Wall(f64);

impl ScalarField for Wall {
    fn dim(&self) -> usize {
        1
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(x.coord(0)) {
            *o = 1.0 - self.0 * x;
        }
    }
    fn gradient(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(-self.0);
    }
}

/// q(x) by the trapezoidal rule.
fn committor(x: f64) -> f64 {
    let integral = |to: f64| {
        let h = (to + 1.0) / 20_000.0;
        let density = |k: i32| ((-1.0 + f64::from(k) * h).powi(2) - 1.0).powi(2).exp();
        (1..20_000).map(density).sum::<f64>() * h + 0.5 * h * (density(0) + density(20_000))
    };
    integral(x) / integral(1.0)
}

/// The mean time from -1 to b with a reflecting wall at a: int_{-1}^b e^U(y) int_a^y e^-U(z) dz dy, by the trapezoidal rule.
fn mean_time(a: f64, b: f64) -> f64 {
    let potential = |y: f64| (y * y - 1.0).powi(2);
    let mut inner = 0.0;
    let mut cell = |y: f64, h: f64| {
        let below = potential(y).exp() * inner;
        inner += 0.5 * h * ((-potential(y)).exp() + (-potential(y + h)).exp());
        0.5 * h * (below + potential(y + h).exp() * inner)
    };
    let mut from = |a: f64, b: f64| {
        let h = (b - a) / 20_000.0;
        (0..20_000).map(|k| cell(a + f64::from(k) * h, h)).sum::<f64>()
    };
    from(a, -1.0);
    from(-1.0, b)
}

/// What simulation gives with one scheme and step.
fn row<S: SdeScheme>(scheme: S, h: f64, q_hjb: f64, time_hjb: f64) -> Result<(), Box<dyn std::error::Error>> {
    let well = Well { reward: 0.0, control_dim: 1 };
    let idle = ZeroFeedback { dim: 1, control_dim: 1 };
    let (left, right) = (Wall(-1.0), Wall(1.0));
    let params = RolloutParams { paths: PATHS, steps: (HORIZON / h).round() as usize, seed: 3, ..RolloutParams::default() };
    let from =
        |x: f64| Ensemble::new(&well, &idle, InitialState::Point(vec![x]), params.clone()).map(|e| e.with_scheme(scheme.clone()));
    let exit = FirstExit::new(vec![&right]);
    let looked = first_exit(&from(-1.0)?, &exit.clone().at_steps_only())?.0.time;
    let time = first_exit(&from(-1.0)?, &exit)?.0.time;
    let chance = first_exit(&from(0.3)?, &FirstExit::new(vec![&left, &right]))?.0.chance[1];
    // Such a chain is taken to leave half a step before it is seen outside.
    let seen = mean_time(-4.0, 1.0 + 0.5826 * (2.0 * h).sqrt()) - 0.5 * h;
    println!(
        "{h:>5} {:<24} | {:>7.4} {:>7.4} {seen:>7.4} {:>5.1} | {:>7.4} {:>7.4} {:>5.1} | {:>8.5} {:>8.5} {:>5.1}",
        S::NAME,
        looked.mean,
        looked.standard_error,
        looked.z_score(seen),
        time.mean,
        time.standard_error,
        time.z_score(time_hjb),
        chance.mean,
        chance.standard_error,
        chance.z_score(q_hjb)
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The HJB module's answers at nodes of its grid.
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.0, 2.0, 1601)?])?);
    let params = StationaryParams { boundary: Face::Reflecting.into(), ..StationaryParams::default() };
    let clock = Well { reward: 1.0, control_dim: 0 };
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0);
    let (tau, _) = StationarySolver::new(&clock, grid.clone(), params)?.with_target(&target, Placement::SubCell).solve()?;
    let ends = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |x: &[f64]| if x[0] > 0.0 { 1.0 } else { 0.0 });
    let chance = Well { reward: 0.0, control_dim: 0 };
    let (q, _) = StationarySolver::new(&chance, grid, params)?.with_target(&ends, Placement::SubCell).solve()?;
    let (time_hjb, q_hjb) = (tau.value()[400], q.value()[920]);
    println!(
        "mean time from -1: {:.6} (HJB {time_hjb:.6});  committor at 0.3: {:.6} (HJB {q_hjb:.6})",
        mean_time(-2.0, 1.0),
        committor(0.3)
    );
    println!("{PATHS} paths");
    println!("{:^30} | {:^29} | {:^21} | {:^23}", "", "time, looked at every h", "time, steps bridged", "committor at 0.3");
    println!(
        "{:>5} {:<24} | {:>7} {:>7} {:>7} {:>5} | {:>7} {:>7} {:>5} | {:>8} {:>8} {:>5}",
        "h", "scheme", "mean", "std err", "theory", "z", "mean", "std err", "z", "mean", "std err", "z"
    );
    for h in [0.04, 0.01] {
        row(EulerMaruyama, h, q_hjb, time_hjb)?;
        row(AdditiveRungeKutta, h, q_hjb, time_hjb)?;
    }
    Ok(())
}
