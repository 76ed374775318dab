//! First exits: the chance to reach each of several targets first, and the mean time until then.
//!
//! A target is where a level function is <= 0. Between two steps that are both outside a target, at levels a > 0 and
//! b > 0, the path has touched it with the probability
//!   p = exp( -2 a b / ( h |sigma' grad level|^2 ) ),
//! exact for a flat boundary and constant coefficients. The level is taken as linear over a step: write it like a distance
//! (1 - x rather than e^{-x} - e^{-1}, which bends within a step and spoils the constant of the error). The factor 1 - p is carried along instead of being drawn: a path
//! has a probability S_k to be alive at t_k given its states, which is unbiased for the drawn one and varies less.
//!   chance of target i = E sum_k S_k p_i,k,     E[min(tau, T)] = E sum_k h (S_k + S_{k+1})/2.
//! With the correction the bias is O(h) (for Euler-Maruyama and a smooth boundary); without it O(sqrt h), because exits
//! between the steps are missed. Two targets touched in the same step share it in proportion to their p.
//!
//! References: Gobet, *Weak approximation of killed diffusion using Euler schemes*, Stoch. Proc. Appl. 87 (2000);
//! Baldi, *Exact asymptotics for the probability of exit from a domain*, Ann. Probab. 23 (1995).

use hjbridge_model::{MatrixCoefficient, PointBlock, Points, PointsMut, ScalarField};

use crate::closed_loop::ClosedLoop;
use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::functional::{PathFunctional, PreparedFunctional, StepView};
use crate::noise::LANES;
use crate::params::RolloutInfo;
use crate::reduce::{Estimate, MeasureReducer};
use crate::scheme::SdeScheme;

/// For each path: S_N, min(tau, T) given the states, then the chance of each target.
#[derive(Clone)]
pub struct FirstExit<'a> {
    targets: Vec<&'a dyn ScalarField>,
    bridge: bool,
}

impl<'a> FirstExit<'a> {
    /// Into the sets where these functions are <= 0; their gradients are read at X_k, before the step.
    pub fn new(targets: Vec<&'a dyn ScalarField>) -> Self {
        FirstExit { targets, bridge: true }
    }

    /// Count exits at the steps only, as a chain that is looked at every h.
    pub fn at_steps_only(mut self) -> Self {
        self.bridge = false;
        self
    }
}

impl PathFunctional for FirstExit<'_> {
    fn values(&self) -> usize {
        2 + self.targets.len()
    }

    fn prepare<'s>(&'s self, system: &'s ClosedLoop<'s>) -> Result<Box<dyn PreparedFunctional + 's>, RolloutError> {
        if self.targets.is_empty() {
            return Err(RolloutError::invalid("number of targets", 0, "at least 1"));
        }
        let expected = system.problem().dim();
        if let Some(found) = self.targets.iter().map(|t| t.dim()).find(|&d| d != expected) {
            return Err(RolloutError::Dimension { what: "dimension of a level function", found, expected });
        }
        Ok(Box::new(Prepared { targets: &self.targets, bridge: self.bridge }))
    }
}

struct Prepared<'s> {
    targets: &'s [&'s dyn ScalarField],
    bridge: bool,
}

impl PreparedFunctional for Prepared<'_> {
    fn begin(&self, x: Points<'_>, mut values: PointsMut<'_>) {
        values.fill(0.0);
        values.coord_mut(0).fill(1.0);
        let mut level = [0.0; LANES];
        for (i, target) in self.targets.iter().enumerate() {
            target.value(x, &mut level);
            for lane in 0..LANES {
                if level[lane] <= 0.0 && values.coord(0)[lane] > 0.0 {
                    values.coord_mut(0)[lane] = 0.0;
                    values.coord_mut(2 + i)[lane] = 1.0;
                }
            }
        }
    }

    fn step(&self, step: &StepView<'_>, mut values: PointsMut<'_>) {
        let mut touched = vec![[0.0; LANES]; self.targets.len()];
        let (mut before, mut after) = ([0.0; LANES], [0.0; LANES]);
        for (target, touched) in self.targets.iter().zip(&mut touched) {
            target.value(step.before, &mut before);
            target.value(step.after, &mut after);
            let rate = if self.bridge {
                let mut gradient = PointBlock::zeros(step.before.dim(), LANES);
                target.gradient(step.before, gradient.as_mut());
                squared_noise(gradient.as_points(), step)
            } else {
                [0.0; LANES]
            };
            for lane in 0..LANES {
                touched[lane] = crossing(before[lane], after[lane], step.step_length * rate[lane]);
            }
        }
        for lane in 0..LANES {
            let alive = values.coord(0)[lane];
            if alive == 0.0 {
                continue;
            }
            let kept: f64 = touched.iter().map(|p| 1.0 - p[lane]).product();
            let total: f64 = touched.iter().map(|p| p[lane]).sum();
            if total > 0.0 {
                let share = alive * (1.0 - kept) / total;
                for (i, p) in touched.iter().enumerate() {
                    values.coord_mut(2 + i)[lane] += share * p[lane];
                }
            }
            values.coord_mut(0)[lane] = alive * kept;
            values.coord_mut(1)[lane] += 0.5 * step.step_length * (alive + alive * kept);
        }
    }

    fn settled(&self, values: Points<'_>, lane: usize) -> bool {
        values.coord(0)[lane] == 0.0
    }
}

/// The chance that a path at the levels a and b, one step apart, has touched level 0 in between, where the level has this
/// variance over the step. NaN, which the run reports, when a level is not a number.
pub fn crossing(a: f64, b: f64, variance: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a <= 0.0 || b <= 0.0 {
        1.0
    } else if variance == 0.0 {
        0.0
    } else {
        (-2.0 * a * b / variance).exp()
    }
}

/// |sigma' grad level|^2 at X_k, from the gradient there; times the length of the step it is the level's variance.
pub fn squared_noise(gradient: Points<'_>, step: &StepView<'_>) -> [f64; LANES] {
    let (d, q) = (step.before.dim(), step.noise.dim());
    let mut out = [0.0; LANES];
    match &step.level.diffusion {
        MatrixCoefficient::Scaled(s) => {
            for i in 0..d {
                for (o, g) in out.iter_mut().zip(gradient.coord(i)) {
                    *o += (s * g) * (s * g);
                }
            }
        }
        MatrixCoefficient::Field(sigma) => {
            let mut matrix = PointBlock::zeros(d * q, LANES);
            sigma.eval(step.before, matrix.as_mut());
            for j in 0..q {
                let mut column = [0.0; LANES];
                for i in 0..d {
                    for ((c, s), g) in column.iter_mut().zip(matrix.coord(i * q + j)).zip(gradient.coord(i)) {
                        *c += s * g;
                    }
                }
                for (o, c) in out.iter_mut().zip(column) {
                    *o += c * c;
                }
            }
        }
    }
    out
}

/// Where and when paths leave.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FirstExitEstimate {
    /// Chance that the target is reached, before the others and before T.
    pub chance: Vec<Estimate>,
    /// E[min(tau, T)]; with a small [`survival`](Self::survival) the mean exit time.
    pub time: Estimate,
    /// P(tau > T).
    pub survival: Estimate,
}

/// What the exit estimate did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FirstExitInfo {
    /// Whether exits between steps were counted.
    pub bridge: bool,
    /// The run; its path-steps are an upper bound, because a block ends when all its paths have left.
    pub rollout: RolloutInfo,
}

/// Run the paths of `ensemble` until they reach a target or T. T is the problem's horizon: choose it long enough. A stop rule
/// looks at the standard error of the time.
///
/// # Errors
/// No target or one of another dimension; otherwise as [`Ensemble::run`].
pub fn first_exit<'a, S: SdeScheme>(
    ensemble: &Ensemble<'a, S>,
    exit: &FirstExit<'_>,
) -> Result<(FirstExitEstimate, FirstExitInfo), RolloutError> {
    let ensemble = ensemble.without_functionals().with_functional(exit).until_settled();
    let (reducer, rollout) = ensemble.reduce(&MeasureReducer::functionals(exit.values()).watching(1))?;
    let estimates = reducer.estimates()?;
    let estimate = FirstExitEstimate { survival: estimates[0], time: estimates[1], chance: estimates[2..].to_vec() };
    Ok((estimate, FirstExitInfo { bridge: exit.bridge, rollout }))
}
