//! The objective of paths that end at a target set or at Dirichlet faces.
//!
//!   J = E[ int_0^{tau ^ T} e^{-rho t} (l - c) dt + e^{-rho tau} value(tau, X_tau) 1{tau <= T} + e^{-rho T} g(X_T) 1{tau > T} ].
//!
//! Between two steps that are both outside a set, at levels a, b > 0, the path has touched it with the chance
//! exp(-2 a b / (h |sigma' grad level|^2)) (Brownian bridge; the gradient at the beginning of the step); as in
//! [`hjbridge_rollout::estimators::FirstExit`] a path carries the probability S_k to be alive. Running sums take the mean of
//! S_k and S_{k+1}; the value is taken on the boundary, where the step crosses it or nearest to its end, at the middle of the
//! step in time. Bias O(h). A level that is not a number makes the path's numbers such, which the run reports.
//!
//! References: Gobet, *Weak approximation of killed diffusion using Euler schemes*, Stoch. Proc. Appl. 87 (2000); Baldi,
//! *Exact asymptotics for the probability of exit from a domain*, Ann. Probab. 23 (1995).

use hjbridge_model::{ControlledDiffusion, PointBlock, Points, PointsMut};
use hjbridge_rollout::estimators::{crossing, squared_noise};
use hjbridge_rollout::{ClosedLoop, PathFunctional, PreparedFunctional, RolloutError, StepView};

/// A set in which paths end.
pub(super) trait Boundary: Send + Sync {
    /// The set is where this is not positive.
    fn level(&self, x: Points<'_>, out: &mut [f64]);
    /// What a path gets that ends at these points at time t, to be maximised.
    fn value(&self, t: f64, x: Points<'_>, out: &mut [f64]);
}

/// Numbers per path: S_N, min(tau, T), the objective, its part from paths alive at T, and the chance of each set.
pub(super) struct Stopped<'a> {
    pub boundaries: Vec<Box<dyn Boundary + 'a>>,
}

impl Stopped<'_> {
    /// Whether a point is in one of the sets.
    pub fn holds(&self, x: &[f64]) -> bool {
        let mut level = [0.0];
        self.boundaries.iter().any(|b| {
            b.level(Points::new(x, x.len()), &mut level);
            level[0] <= 0.0
        })
    }
}

/// Number of the first of these.
pub(super) const SURVIVAL: usize = 0;
/// See [`Stopped`].
pub(super) const TIME: usize = 1;
/// See [`Stopped`].
pub(super) const OBJECTIVE: usize = 2;
/// See [`Stopped`].
pub(super) const CONTINUED: usize = 3;
/// See [`Stopped`].
pub(super) const CHANCES: usize = 4;

impl PathFunctional for Stopped<'_> {
    fn values(&self) -> usize {
        CHANCES + self.boundaries.len()
    }

    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        Ok(Box::new(Prepared { boundaries: &self.boundaries, system }))
    }
}

struct Prepared<'s> {
    boundaries: &'s [Box<dyn Boundary + 's>],
    system: &'s ClosedLoop<'s>,
}

/// What the boundary gives to a path that touches it in this step.
struct Touch {
    chance: Vec<f64>,
    value: Vec<f64>,
}

impl Prepared<'_> {
    fn problem(&self) -> &dyn ControlledDiffusion {
        self.system.problem()
    }

    fn touch(&self, boundary: &dyn Boundary, step: &StepView<'_>) -> Touch {
        let (d, n) = (step.before.dim(), step.before.len());
        let (mut a, mut b) = (vec![0.0; n], vec![0.0; n]);
        boundary.level(step.before, &mut a);
        boundary.level(step.after, &mut b);
        let gradient = gradient(boundary, step.before);
        let rate = squared_noise(gradient.as_points(), step);
        let mut at = PointBlock::zeros(d, n);
        let mut chance = vec![0.0; n];
        for j in 0..n {
            let squared: f64 = (0..d).map(|i| gradient.coord(i)[j].powi(2)).sum();
            chance[j] = crossing(a[j], b[j], step.step_length * rate[j]);
            for i in 0..d {
                let (x, y) = (step.before.coord(i)[j], step.after.coord(i)[j]);
                at.as_mut().coord_mut(i)[j] = if b[j] <= 0.0 {
                    x + (y - x) * (a[j] / (a[j] - b[j]).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
                } else {
                    // from the end that is nearer to the set, along the gradient
                    let (z, level) = if b[j] < a[j] { (y, b[j]) } else { (x, a[j]) };
                    if squared > 0.0 { z - level * gradient.coord(i)[j] / squared } else { z }
                };
            }
        }
        let mut value = vec![0.0; n];
        if chance.iter().any(|p| *p > 0.0) {
            boundary.value(step.time + 0.5 * step.step_length, at.as_points(), &mut value);
        }
        Touch { chance, value }
    }
}

impl PreparedFunctional for Prepared<'_> {
    fn begin(&self, x: Points<'_>, mut values: PointsMut<'_>) {
        values.fill(0.0);
        values.coord_mut(SURVIVAL).fill(1.0);
        let (mut level, mut value) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let start = self.system.grid().start();
        for (i, boundary) in self.boundaries.iter().enumerate() {
            boundary.level(x, &mut level);
            if level.iter().all(|l| *l > 0.0) {
                continue;
            }
            boundary.value(start, x, &mut value);
            for j in (0..x.len()).filter(|&j| level[j] <= 0.0) {
                if values.coord(SURVIVAL)[j] > 0.0 {
                    values.coord_mut(SURVIVAL)[j] = 0.0;
                    values.coord_mut(OBJECTIVE)[j] = value[j];
                    values.coord_mut(CHANCES + i)[j] = 1.0;
                }
            }
        }
    }

    fn step(&self, step: &StepView<'_>, mut values: PointsMut<'_>) {
        let n = step.before.len();
        let alive: Vec<f64> = values.coord(SURVIVAL).to_vec();
        if alive.iter().all(|s| *s == 0.0) {
            return;
        }
        let (h, rho) = (step.step_length, self.problem().discount());
        let touches: Vec<Touch> = self.boundaries.iter().map(|b| self.touch(b.as_ref(), step)).collect();
        let mut rate = vec![0.0; n];
        self.system.running_rate(step.level, step.before, step.control, &mut rate);
        let (discount, middle) = (step.level.discount, step.level.discount * (-0.5 * rho * h).exp());
        let mut kept = vec![0.0; n];
        for j in (0..n).filter(|&j| alive[j] > 0.0) {
            let apart: f64 = touches.iter().map(|t| 1.0 - t.chance[j]).product();
            let total: f64 = touches.iter().map(|t| t.chance[j]).sum();
            kept[j] = alive[j] * apart;
            let mut gain = 0.5 * h * (alive[j] + kept[j]) * discount * rate[j];
            for (i, touch) in touches.iter().enumerate().filter(|(_, t)| t.chance[j] > 0.0) {
                let share = alive[j] * (1.0 - apart) * touch.chance[j] / total;
                values.coord_mut(CHANCES + i)[j] += share;
                gain += share * middle * touch.value[j];
            }
            values.coord_mut(OBJECTIVE)[j] += gain;
            values.coord_mut(TIME)[j] += 0.5 * h * (alive[j] + kept[j]);
            values.coord_mut(SURVIVAL)[j] = kept[j];
        }
        if step.step + 1 == self.system.steps() {
            let mut last = vec![0.0; n];
            self.problem().terminal_reward(step.after, &mut last);
            let discount = discount * (-rho * h).exp();
            for j in (0..n).filter(|&j| kept[j] > 0.0) {
                values.coord_mut(CONTINUED)[j] = kept[j] * discount * last[j];
                values.coord_mut(OBJECTIVE)[j] += kept[j] * discount * last[j];
            }
        }
    }

    fn settled(&self, values: Points<'_>, lane: usize) -> bool {
        values.coord(SURVIVAL)[lane] == 0.0
    }
}

/// grad level by central differences, one-sided where the level is a number on one side only.
fn gradient(boundary: &dyn Boundary, x: Points<'_>) -> PointBlock {
    let (d, n) = (x.dim(), x.len());
    let mut out = PointBlock::zeros(d, n);
    let mut moved = PointBlock::zeros(d, n);
    for i in 0..d {
        moved.as_mut().coord_mut(i).copy_from_slice(x.coord(i));
    }
    let (mut above, mut below, mut at) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    boundary.level(x, &mut at);
    for i in 0..d {
        let step: Vec<f64> = x.coord(i).iter().map(|x| 1e-5 * (1.0 + x.abs())).collect();
        let shift = |moved: &mut PointBlock, sign: f64| {
            for ((m, x), s) in moved.as_mut().coord_mut(i).iter_mut().zip(x.coord(i)).zip(&step) {
                *m = x + sign * s;
            }
        };
        shift(&mut moved, 1.0);
        boundary.level(moved.as_points(), &mut above);
        shift(&mut moved, -1.0);
        boundary.level(moved.as_points(), &mut below);
        shift(&mut moved, 0.0);
        for (j, g) in out.as_mut().coord_mut(i).iter_mut().enumerate() {
            *g = match (above[j].is_nan(), below[j].is_nan()) {
                (true, false) => (at[j] - below[j]) / step[j],
                (false, true) => (above[j] - at[j]) / step[j],
                _ => (above[j] - below[j]) / (2.0 * step[j]),
            };
        }
    }
    out
}
