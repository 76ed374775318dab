//! What fixed time steps miss of coefficients that jump or vary quickly between their levels.
//!
//! Richardson's estimate compares solutions whose steps may all pass over the same pulse. With F(t) the left side of the equation
//! but for V_t, taken for the solution at hand near t, the error is about the sum over those stages of the difference between
//! the integral of F and what the scheme takes for it (`time_variation/defect.rs`).

use crate::certificate::pointwise::{Jets, PointwiseEquation};
use crate::certificate::residual::{Equation, ResidualSampling, away_from, lattice};
use crate::certificate::richardson::Gap;
use crate::error::HjbError;
use crate::sense::{Oriented, Sense};
use crate::solution::ValueFunction;
use crate::time::Time;
use crate::time_variation::{StageTimes, TimeVariation, stage_defect};
use hjbridge_model::grid::{CubicSpline, Extrapolation, Region};
use hjbridge_model::{ControlledDiffusion, PointBlock};

/// Most points at which it is taken.
const POINTS: usize = 200;

/// How a solution was stepped in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    pub time: Time,
    pub steps: usize,
    /// Whether the running reward enters by its integral, so that nothing of it is missed.
    pub exact_source: bool,
}

/// The errors over all times and at t = 0; `None` when no stage misses anything. That of the control is taken in proportion to
/// the ranges of V and v.
///
/// # Errors
/// A region without nodes, coefficients that are not finite.
pub(crate) fn unresolved(
    equation: Equation<'_>,
    v: &ValueFunction,
    region: &Region,
    variation: &TimeVariation,
    stepped: Stepped,
) -> Result<Option<(Gap, Gap)>, HjbError> {
    let horizon = equation.model.horizon();
    let h = horizon / stepped.steps as f64;
    let stages = stepped.time.stages(h, stepped.steps);
    if variation.jumps.is_empty() && variation.quick.is_empty() {
        return Ok(None);
    }
    let oriented = Oriented { model: equation.model, sense: equation.sense };
    let sampling = ResidualSampling { refine: 1, times: 1, max_points: POINTS };
    let mut points = lattice(v.grid(), region, sampling)?;
    if let Some(target) = equation.target {
        points = away_from(target, v.grid(), &points)?;
    }
    let (n, d) = (points.len(), v.grid().dim());
    if n == 0 {
        return Ok(None);
    }
    let at = PointwiseEquation::new(&oriented, points)?;
    let x = at.points.as_points();
    let (mut total, mut worst, mut seen) = (vec![0.0; n], 0.0f64, false);
    let (mut loaded, mut jets) = (usize::MAX, None);
    let (mut left, mut older) = (horizon, horizon);
    for stage in &stages {
        let new = stage.remaining(h, stepped.steps);
        let times = StageTimes { new, left, older };
        (left, older) = (new, left);
        if !(variation.is_rough(new, times.left) || variation.is_rough(times.left, times.older)) {
            continue;
        }
        let nearest = |k: &usize| (v.times()[*k] - new).abs();
        let k = (0..v.times().len()).min_by(|a, b| nearest(a).total_cmp(&nearest(b))).unwrap_or(0);
        if loaded != k {
            (loaded, jets) = (k, Some(sample(v, k, equation.sense, &at.points, d)?));
        }
        let Some((value, gradient, hessian)) = &jets else { continue };
        let slope = vec![0.0; n];
        let mut running = vec![0.0; n];
        let source = |t: f64, out: &mut [f64]| {
            at.residual(t, &Jets { value, slope: &slope, gradient, hessian }, out)?;
            if stepped.exact_source {
                oriented.at(t).running_reward(x, &mut running);
                out.iter_mut().zip(&running).for_each(|(o, l)| *o -= l);
            }
            Ok(())
        };
        if let Some(defect) = stage_defect(variation, stage, times, n, source)? {
            seen = true;
            total.iter_mut().zip(&defect).for_each(|(t, d)| *t += d);
            worst = worst.max(crate::norms::sup(&total));
        }
    }
    if !seen {
        return Ok(None);
    }
    let share = control_share(v, region)?;
    let gap = |value: f64| Gap { value, control: share * value, control_mean: share * value };
    Ok(Some((gap(worst), gap(crate::norms::sup(&total)))))
}

type Sampled = (Vec<f64>, PointBlock, PointBlock);

/// V and its derivatives in space at stored time number `k`, in the sign of the maximisation.
fn sample(v: &ValueFunction, k: usize, sense: Sense, points: &PointBlock, d: usize) -> Result<Sampled, HjbError> {
    let (n, mut nodal) = (points.len(), v.value(k).to_vec());
    sense.orient(&mut nodal);
    let spline = CubicSpline::new(v.grid().clone(), &nodal, Extrapolation::Quadratic)?;
    let (mut value, mut gradient, mut hessian) = (vec![0.0; n], PointBlock::zeros(d, n), PointBlock::zeros(d * d, n));
    spline.value_gradient(points.as_points(), &mut value, gradient.as_mut());
    spline.hessian(points.as_points(), hessian.as_mut());
    Ok((value, gradient, hessian))
}

/// Range of v in the region by that of V, the larger of the stored times.
fn control_share(v: &ValueFunction, region: &Region) -> Result<f64, HjbError> {
    let nodes: Vec<usize> = v.grid().region_nodes(Some(region))?.collect();
    let n = v.grid().len();
    let range = |values: &[f64]| {
        let (low, high) =
            nodes.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &j| (l.min(values[j]), h.max(values[j])));
        (high - low).max(0.0)
    };
    let mut share = 0.0f64;
    for k in 0..v.times().len() {
        let of_value = range(v.value(k));
        for component in v.control(k).chunks_exact(n).filter(|_| of_value > 0.0) {
            share = share.max(range(component) / of_value);
        }
    }
    Ok(share)
}
