//! Directions of ascent and the line search along them.

use super::gradient::Gradient;
use crate::parametric::ParametricError;
use crate::parametric::policy::{Policy, StateAt};
use rayon::prelude::*;

/// Least squares of the targets on the features, step by step, minus the present parameters.
pub(super) fn natural(policy: &dyn Policy, gradient: &Gradient, ridge: f64) -> Result<Vec<f64>, ParametricError> {
    let size = policy.parameters().len();
    let states = gradient.states.as_deref().unwrap_or(&[]);
    let parts: Vec<Vec<f64>> = states
        .par_iter()
        .enumerate()
        .map(|(k, (y, s, t))| {
            let mut direction = vec![0.0; size];
            let at = StateAt { step: k, y: y.as_points(), score: s.as_points() };
            match policy.fit(at, t, ridge, &mut direction) {
                Some(done) => done.map(|()| direction),
                None => Err(ParametricError::invalid(
                    "direction",
                    "natural",
                    "gradient or adam for a policy that is not linear in its parameters",
                )),
            }
        })
        .collect::<Result<_, _>>()?;
    let mut direction = vec![0.0; size];
    for part in &parts {
        direction.iter_mut().zip(part).for_each(|(d, p)| *d += p);
    }
    Ok(direction)
}

/// What a line search found.
pub(super) struct Found {
    pub step: f64,
    pub value: f64,
    pub evaluations: usize,
}

/// The first of step, step/2, step/4, ... by which f gains at least 1e-4 of what its slope promises (Armijo); none after 25.
pub(super) fn backtrack(start: f64, slope: f64, first: f64, mut f: impl FnMut(f64) -> Option<f64>) -> (Option<Found>, usize) {
    let mut step = first;
    for evaluations in 1..=25 {
        if let Some(value) = f(step)
            && value >= start + 1e-4 * step * slope
        {
            return (Some(Found { step, value, evaluations }), evaluations);
        }
        step *= 0.5;
    }
    (None, 25)
}
