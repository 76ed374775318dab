//! What a simulation of a policy by Euler-Maruyama estimates, without simulating: backward recursion on the grid.
//!
//!   W_N = g,   W_k(x) = E W_{k+1}( x + h (f + G v) + sqrt(h) sigma Z ) + h ( l - v'Rv/2 ),   all at (t_k, x).
//!
//! Exact in time for the Euler chain (no O(h) error against it); error of the cubic spline of W in space, order 4, and of
//! 20 (1-D), 10 (2-D) or 6 (3-D) Gauss-Hermite nodes. W_0 minus the continuous value is the weak error of the scheme, O(h).
//! Cost: N n q spline evaluations for n nodes of the grid and q of the rule.

use crate::run::RunError;
use hjbridge_model::quadrature::standard_normal_rule;
use hjbridge_model::{
    ControlledDiffusion, CubicSpline, Extrapolation, Feedback, FineTuning, MatrixCoefficient, PointBlock, ScalarField, TensorGrid,
};
use std::sync::Arc;

/// W_0 at the nodes of `grid` for `model` under the control `feedback` (v of the general form) with `steps` steps.
///
/// # Errors
/// A dimension above 3; a value that is not finite.
pub fn euler_value(
    model: &FineTuning,
    feedback: &dyn Feedback,
    grid: &Arc<TensorGrid>,
    steps: usize,
) -> Result<Vec<f64>, RunError> {
    let (d, n) = (grid.dim(), grid.len());
    let nodes = match d {
        1 => 20,
        2 => 10,
        3 => 6,
        _ => return Err(RunError::Unsupported(format!("the Euler recursion on a grid works in 1 to 3 dimensions, not {d}"))),
    };
    let (z, weights) = standard_normal_rule(nodes, d)?;
    let h = model.horizon() / steps as f64;
    let x = grid.points();
    let mut w = vec![0.0; n];
    model.terminal_reward(x.as_points(), &mut w);
    let mut spline = CubicSpline::new(grid.clone(), &w, Extrapolation::Linear)?;
    let (mut drift, mut v) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
    let (mut moved, mut smoothed, mut reward) = (PointBlock::zeros(d, n), vec![0.0; n], vec![0.0; n]);
    for k in (0..steps).rev() {
        let t = k as f64 * h;
        let c = model.at(t);
        c.drift(x.as_points(), drift.as_mut());
        feedback.at(t).eval(x.as_points(), v.as_mut());
        c.running_reward(x.as_points(), &mut reward);
        // fine-tuning has multiples of the identity throughout
        let (MatrixCoefficient::Scaled(g), MatrixCoefficient::Scaled(sigma), MatrixCoefficient::Scaled(r)) =
            (c.control_matrix(), c.diffusion(), c.control_weight())
        else {
            return Err(RunError::Unsupported(
                "the Euler recursion needs coefficients that are multiples of the identity".into(),
            ));
        };
        w.fill(0.0);
        for (q, weight) in weights.iter().enumerate() {
            for i in 0..d {
                let shift = h.sqrt() * sigma * z.coord(i)[q];
                for j in 0..n {
                    moved.as_mut().coord_mut(i)[j] = x.coord(i)[j] + h * (drift.coord(i)[j] + g * v.coord(i)[j]) + shift;
                }
            }
            spline.value(moved.as_points(), &mut smoothed);
            for (w, s) in w.iter_mut().zip(&smoothed) {
                *w += weight * s;
            }
        }
        for j in 0..n {
            let squared: f64 = (0..d).map(|i| v.coord(i)[j].powi(2)).sum();
            w[j] += h * (reward[j] - 0.5 * r * squared);
        }
        spline.set_values(&w)?;
    }
    Ok(w)
}
