//! Hitting times and committors by simulation, with the exits that happen between the steps.
//!
//! dX = -U'(X) dt + sqrt 2 dB, U = (x^2 - 1)^2, as in example 07.
//!
//! 1. The mean time from -1 to the target [1, 2]: 3.569416776 by a double integral, the same by the HJB module.
//!    A chain that is looked at every h misses the paths that touch the target and come back between two looks: an error of
//!    O(sqrt h). The chance of that, exp(-2 a b / (h sigma^2)) for distances a and b, is known; carried along each path as a
//!    probability to be alive it leaves O(h).
//! 2. The committor: the chance to reach 1 before -1,  q(x) = int_{-1}^x e^U / int_{-1}^1 e^U,  from x = 0.3.
//!
//! Run: cargo run --release --example 13_hitting_times

use hjbridge::hjb::{Face, LevelSet, Placement, StationaryParams, StationarySolver};
use hjbridge::model::{
    Axis, Coefficients, ControlledDiffusion, MatrixCoefficient, Points, PointsMut, ScalarField, TensorGrid, ZeroFeedback,
};
use hjbridge::rollout::estimators::{FirstExit, first_exit};
use hjbridge::rollout::{Ensemble, InitialState, RolloutParams};
use std::sync::Arc;

const MEAN_TIME: f64 = 3.569416776;
/// So long that a path is still under way with a probability of about 1e-6.
const HORIZON: f64 = 48.0;

/// The diffusion, with a running reward for the HJB module: 1 for times, 0 for chances.
struct Well {
    reward: f64,
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

/// The same without a control, as the HJB module wants it.
struct Uncontrolled(Well);

impl ControlledDiffusion for Uncontrolled {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        0
    }
    fn horizon(&self) -> f64 {
        HORIZON
    }
    fn at(&self, _t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(&self.0)
    }
    fn terminal_reward(&self, _x: Points<'_>, g: &mut [f64]) {
        g.fill(0.0);
    }
}

impl ControlledDiffusion for Well {
    fn dim(&self) -> usize {
        1
    }
    fn control_dim(&self) -> usize {
        1
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

/// sign (1 - sign x): not positive beyond the wall at sign.
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

/// q(x) by Simpson's rule.
fn committor(x: f64) -> f64 {
    let integral = |to: f64| {
        let n = 2000;
        let h = (to + 1.0) / f64::from(n);
        let weight = |i: i32| if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
        let density = |y: f64| (y * y - 1.0).powi(2).exp();
        (0..=n).map(|i| weight(i) * density(-1.0 + f64::from(i) * h)).sum::<f64>() * h / 3.0
    };
    integral(x) / integral(1.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The HJB module's answers at nodes of its grid.
    let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-2.0, 2.0, 1601)?])?);
    let params = StationaryParams { boundary: Face::Reflecting.into(), ..StationaryParams::default() };
    let clock = Uncontrolled(Well { reward: 1.0 });
    let target = LevelSet::new(|x: &[f64]| 1.0 - x[0], |_: &[f64]| 0.0);
    let (tau, _) = StationarySolver::new(&clock, grid.clone(), params)?.with_target(&target, Placement::SubCell).solve()?;
    let ends = LevelSet::new(|x: &[f64]| 1.0 - x[0].abs(), |x: &[f64]| if x[0] > 0.0 { 1.0 } else { 0.0 });
    let chance = Uncontrolled(Well { reward: 0.0 });
    let (q, _) = StationarySolver::new(&chance, grid, params)?.with_target(&ends, Placement::SubCell).solve()?;
    let (time_hjb, q_hjb) = (tau.value()[400], q.value()[920]);
    let q_exact = committor(0.3);
    println!("mean time from -1: {MEAN_TIME} (HJB {time_hjb:.6});  committor at 0.3: {q_exact:.6} (HJB {q_hjb:.6})");

    let well = Well { reward: 0.0 };
    let idle = ZeroFeedback { dim: 1, control_dim: 1 };
    let (left, right) = (Wall(-1.0), Wall(1.0));
    println!("{:^12} | {:^34} | {:^34} | {:^24}", "", "time, looked at every h", "time, exits between steps", "committor at 0.3");
    println!(
        "{:>6} {:>5} | {:>9} {:>8} {:>8} {:>6} | {:>9} {:>8} {:>8} {:>6} | {:>8} {:>8} {:>6}",
        "h", "paths", "mean", "std err", "error", "z", "mean", "std err", "error", "z", "mean", "std err", "z"
    );
    for (h, paths) in [(0.04, 100_000), (0.01, 100_000), (0.0025, 50_000)] {
        let params = RolloutParams { paths, steps: (HORIZON / h).round() as usize, seed: 3, ..RolloutParams::default() };
        let from = |x: f64| Ensemble::new(&well, &idle, InitialState::Point(vec![x]), params.clone());
        let exit = FirstExit::new(vec![&right]);
        let (looked, _) = first_exit(&from(-1.0)?, &exit.clone().at_steps_only())?;
        let (bridged, _) = first_exit(&from(-1.0)?, &exit)?;
        let (split, _) = first_exit(&from(0.3)?, &FirstExit::new(vec![&left, &right]))?;
        let (a, b, c) = (looked.time, bridged.time, split.chance[1]);
        println!(
            "{h:>6} {:>4}k | {:>9.4} {:>8.4} {:>8.4} {:>6.1} | {:>9.4} {:>8.4} {:>8.4} {:>6.1} | {:>8.5} {:>8.5} {:>6.1}",
            paths / 1000,
            a.mean,
            a.standard_error,
            a.mean - time_hjb,
            a.z_score(time_hjb),
            b.mean,
            b.standard_error,
            b.mean - time_hjb,
            b.z_score(time_hjb),
            c.mean,
            c.standard_error,
            c.z_score(q_hjb)
        );
    }
    Ok(())
}
