//! The pre-trained score as a table, for priors whose exact score is dear (kernel density estimates, networks): one for grids and
//! rollouts, one of splines that know their derivative, for gradients along paths.

use super::RunError;
use crate::problem::Problem;
use hjbridge_model::{
    CubicSpline, Extrapolation, Feedback, FineTuning, Interpolation, PointBlock, Points, PointsMut, ScalarField, TableFeedback,
    VectorField,
};
use rayon::prelude::*;
use std::sync::Arc;

/// Components from which a table beats the exact score, which costs an exponential for each.
pub(super) const DEAR: usize = 16;

/// The problem's model with the score tabulated at t_k = k h, k = 0..=`steps`, on the grid (cubic splines in space); the model
/// unchanged when its exact score is cheap.
///
/// At the times t_k the error is that of the spline, order 4 in the spacing.
///
/// # Errors
/// A score that is not finite at a node.
pub fn tabulated_score(problem: &Problem, steps: usize) -> Result<FineTuning, RunError> {
    if !is_dear(problem) {
        return Ok(problem.model.clone());
    }
    let (times, slices) = slices(problem, steps);
    let d = problem.dim();
    let table = TableFeedback::new(problem.grid.clone(), times, slices, d, Interpolation::Cubic, Extrapolation::Linear)?;
    Ok(problem.model.clone().with_score(Arc::new(table))?)
}

/// Whether a table beats the exact score.
pub(super) fn is_dear(problem: &Problem) -> bool {
    problem.model.prior().components() >= DEAR || problem.network.is_some()
}

/// The score at t_k, k = 0..=`steps`, at the nodes, component by component.
fn slices(problem: &Problem, steps: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (d, n) = (problem.dim(), problem.grid.len());
    let points = problem.grid.points();
    let h = problem.model.schedule().horizon() / steps as f64;
    let times: Vec<f64> = (0..=steps).map(|k| k as f64 * h).collect();
    let slices = times
        .par_iter()
        .map(|&t| {
            let mut s = PointBlock::zeros(d, n);
            problem.model.score().at(t).eval(points.as_points(), s.as_mut());
            s.data().to_vec()
        })
        .collect();
    (times, slices)
}

/// The problem's model with the score by splines at t_k = k h, k = 0..=`steps`, linear in between. Unlike the table of
/// [`tabulated_score`] it knows its derivative, also of a network, whose Jacobian is not symmetric: the gradients of parametric
/// PI-FT are then those of the grid's model, at the price of a spline instead of a network.
///
/// # Errors
/// A score that is not finite at a node.
pub fn spline_score(problem: &Problem, steps: usize) -> Result<FineTuning, RunError> {
    let (times, slices) = slices(problem, steps);
    let zero = vec![0.0; problem.grid.len()];
    let like = CubicSpline::new(problem.grid.clone(), &zero, Extrapolation::Linear)?;
    let levels = slices
        .into_par_iter()
        .map(|slice| slice.chunks_exact(zero.len()).map(|component| like.with_values(component)).collect())
        .collect::<Result<Vec<Vec<CubicSpline>>, _>>()?;
    Ok(problem.model.clone().with_score(Arc::new(SplineScore { times, levels }))?)
}

/// Splines of each component at each time.
struct SplineScore {
    times: Vec<f64>,
    levels: Vec<Vec<CubicSpline>>,
}

/// The two levels around a time, with their weights; the second is left out where the first is exact.
struct SplineLevels<'a>(Vec<(f64, &'a [CubicSpline])>);

impl Feedback for SplineScore {
    fn dim(&self) -> usize {
        self.levels[0].len()
    }
    fn control_dim(&self) -> usize {
        self.dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        let last = self.times.len() - 1;
        let at = (t / self.times[last] * last as f64).clamp(0.0, last as f64);
        let nearest = at.round();
        // a time that misses a level by rounding is that level
        if (at - nearest).abs() < 1e-9 {
            return Box::new(SplineLevels(vec![(1.0, &self.levels[nearest as usize])]));
        }
        let (k, w) = (at as usize, at.fract());
        Box::new(SplineLevels(vec![(1.0 - w, &self.levels[k]), (w, &self.levels[k + 1])]))
    }
}

impl VectorField for SplineLevels<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
        let mut value = vec![0.0; x.len()];
        for (w, level) in &self.0 {
            for (i, spline) in level.iter().enumerate() {
                spline.value(x, &mut value);
                out.coord_mut(i).iter_mut().zip(&value).for_each(|(o, v)| *o += w * v);
            }
        }
    }

    fn vjp(&self, x: Points<'_>, p: Points<'_>, mut out: PointsMut<'_>) -> bool {
        out.fill(0.0);
        let mut gradient = PointBlock::zeros(x.dim(), x.len());
        for (w, level) in &self.0 {
            for (i, spline) in level.iter().enumerate() {
                spline.gradient(x, gradient.as_mut());
                for a in 0..x.dim() {
                    let along = gradient.coord(a).iter().zip(p.coord(i));
                    out.coord_mut(a).iter_mut().zip(along).for_each(|(o, (g, p))| *o += w * g * p);
                }
            }
        }
        true
    }

    fn count_outside(&self, x: Points<'_>) -> usize {
        self.0.first().map_or(0, |(_, level)| level[0].count_outside(x))
    }
}
