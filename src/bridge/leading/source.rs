//! tau, the defect of the Bellman step: S V(t + h) - V(t) = h^2 tau + O(h^3), S the step from t to t + h.
//!
//! With K[V] = Lap V/2 + |grad V|^2/(2 beta) + mu.grad V = -V_t/b, everything in terms of p = grad V/beta (Dp = D^2 V/beta):
//!
//!   tau/omega = b^2 beta { sigma2 (div p + |p|^2)/2 - [|Dp|^2/4] + y.p/8 - (Lap mu).p/4 - Dmu:Dp/2 - p.Dmu (mu + p)/2 }
//!               - (b beta/2) s_t.p + (b beta'/4) |p|^2 + [ (b^2 - b')/2 K[V] ]
//!
//! the first bracket for the mean-shift step only (the soft one has none), the second for a = 1 - b h. For the score of a noised law
//! s_t = -(b/2)(s + Ds y + grad div s + 2 Ds s), with which all that is linear in s and not a derivative of first order cancels:
//!
//!   tau/omega = b^2 beta { sigma2 (div p + |p|^2)/2 - [|Dp|^2/4] - div p/4 - |p|^2/4 - Ds:Dp/2 - p.Ds p/2 } + the same last two.
//!
//! sigma2 by the rule of the variance, sig^2 = c + sigma2 c^2 + O(c^3):
//!
//!   1 - a: -1/2,   (1 - a)/a: 1/2,   (1 - a) P_{k+1}/P_k: 1/2 - 1/P(t), P = abar C + 1 - abar, abar = exp(-int_t^T b).

use super::LeadingErrorParams;
use crate::run::RunError;
use hjbridge_model::{CubicSpline, Extrapolation, PointBlock};
use hjbridge_pift::{AlphaRule, BellmanKind, VarianceRule};

/// Differences in time of b, beta and of a score that is not exact are taken over this part of the horizon.
const DIFFERENCE: f64 = 1e-4;

/// All at one time.
pub(super) struct Slice {
    /// d components of b (mu + p), then tau/omega, at the nodes.
    pub drift_and_tau: Vec<f64>,
    /// b [ (sigma2 - 1/2) p - Ds' p ], d components.
    pub explicit: Vec<f64>,
}

/// Makes the slices.
pub(super) struct Source<'a> {
    params: &'a LeadingErrorParams<'a>,
    points: PointBlock,
    like: CubicSpline,
}

impl<'a> Source<'a> {
    pub fn new(params: &'a LeadingErrorParams<'a>) -> Result<Self, RunError> {
        if let VarianceRule::Posterior | VarianceRule::GaussianPosterior { data_variance: 0.0 } = params.chain.variance {
            let why = "the posterior variance vanishes at the data and is not c + O(c^2) there: its error is of order h log(1/h)";
            return Err(RunError::Unsupported(why.into()));
        }
        let zero = vec![0.0; params.grid.len()];
        let like = CubicSpline::new(params.grid.clone(), &zero, Extrapolation::Linear)?;
        Ok(Source { params, points: params.grid.points(), like })
    }

    fn sigma2(&self, t: f64) -> f64 {
        match self.params.chain.variance {
            VarianceRule::OneMinusAlpha => -0.5,
            VarianceRule::OverAlpha => 0.5,
            VarianceRule::Posterior => f64::NAN,
            VarianceRule::GaussianPosterior { data_variance } => {
                let share = (-self.params.model.schedule().remaining(t)).exp();
                0.5 - 1.0 / (share * data_variance + 1.0 - share)
            }
        }
    }

    /// f'(t) by a central difference, one-sided at the ends.
    fn rate_of_change(&self, t: f64, f: impl Fn(f64) -> f64) -> f64 {
        let (before, after) = self.around(t);
        (f(after) - f(before)) / (after - before)
    }

    fn around(&self, t: f64) -> (f64, f64) {
        let horizon = self.params.model.schedule().horizon();
        ((t - DIFFERENCE * horizon).max(0.0), (t + DIFFERENCE * horizon).min(horizon))
    }

    fn score(&self, t: f64) -> PointBlock {
        let mut s = PointBlock::zeros(self.points.dim(), self.points.len());
        self.params.model.score().at(t).eval(self.points.as_points(), s.as_mut());
        s
    }

    /// Derivatives of m components at the nodes: that of component i along axis j is entry i d + j, by splines.
    fn jacobian(&self, field: &PointBlock) -> Result<PointBlock, RunError> {
        let (m, d, n) = (field.dim(), self.points.dim(), self.points.len());
        let mut out = PointBlock::zeros(m * d, n);
        for i in 0..m {
            let spline = self.like.with_values(field.coord(i))?;
            for j in 0..d {
                let mut block = out.as_mut();
                block.coord_mut(i * d + j).iter_mut().enumerate().for_each(|(node, o)| *o = spline.node_slope(node, j));
            }
        }
        Ok(out)
    }

    /// Laplacian of each component from the Jacobian.
    fn laplacian(&self, jacobian: &PointBlock) -> Result<PointBlock, RunError> {
        let (d, n) = (self.points.dim(), self.points.len());
        let second = self.jacobian(jacobian)?;
        let mut out = PointBlock::zeros(d, n);
        for i in 0..d {
            for j in 0..d {
                let mut block = out.as_mut();
                let along = second.coord((i * d + j) * d + j);
                block.coord_mut(i).iter_mut().zip(along).for_each(|(o, x)| *o += x);
            }
        }
        Ok(out)
    }

    /// The slice at time t.
    pub fn at(&self, t: f64) -> Result<Slice, RunError> {
        let LeadingErrorParams { model, bellman, chain, exact_score, .. } = *self.params;
        let (d, n) = (self.points.dim(), self.points.len());
        let (b, beta) = (model.schedule().rate(t), model.kl_weight().at(t));
        let beta_change =
            if model.kl_weight().as_constant().is_some() { 0.0 } else { self.rate_of_change(t, |t| model.kl_weight().at(t)) };
        let alpha = match chain.alpha {
            AlphaRule::ExpIntegral => 0.0,
            AlphaRule::Linear => 0.5 * (b * b - self.rate_of_change(t, |t| model.schedule().rate(t))),
        };
        let (sigma2, curvature) = (self.sigma2(t), if matches!(bellman, BellmanKind::Soft) { 0.0 } else { 0.25 });
        let u = (self.params.control)(t)?;
        let s = self.score(t);
        let mut p = u.clone();
        p.data_mut().iter_mut().zip(s.data()).for_each(|(p, s)| *p -= s);
        let (ds, dp) = (self.jacobian(&s)?, self.jacobian(&p)?);
        let general = match exact_score {
            true => None,
            false => {
                let (before, after) = self.around(t);
                let (mut s_t, earlier) = (self.score(after), self.score(before));
                s_t.data_mut().iter_mut().zip(earlier.data()).for_each(|(s, e)| *s = (*s - e) / (after - before));
                Some((s_t, self.laplacian(&ds)?))
            }
        };
        let mut drift_and_tau = vec![0.0; (d + 1) * n];
        let mut explicit = vec![0.0; d * n];
        for node in 0..n {
            let (y, u) = (|i: usize| self.points.coord(i)[node], |i: usize| u.coord(i)[node]);
            let (p, s) = (|i: usize| p.coord(i)[node], |i: usize| s.coord(i)[node]);
            let (dp, ds) = (|i: usize, j: usize| dp.coord(i * d + j)[node], |i: usize, j: usize| ds.coord(i * d + j)[node]);
            let (mut div, mut square, mut hessian, mut mixed, mut turned, mut along) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
            for i in 0..d {
                div += dp(i, i);
                square += p(i) * p(i);
                along += (0.5 * y(i) + s(i)) * p(i);
                let mut adjoint = 0.0;
                for j in 0..d {
                    hessian += dp(i, j) * dp(i, j);
                    mixed += ds(i, j) * dp(i, j);
                    turned += p(i) * ds(i, j) * p(j);
                    adjoint += ds(j, i) * p(j);
                }
                explicit[i * n + node] = b * ((sigma2 - 0.5) * p(i) - adjoint);
                drift_and_tau[i * n + node] = b * (0.5 * y(i) + u(i));
            }
            let mut step = 0.5 * sigma2 * (div + square) - curvature * hessian;
            match &general {
                None => step -= 0.25 * (div + square) + 0.5 * (mixed + turned),
                Some((s_t, lap_s)) => {
                    step -= 0.25 * div + 0.5 * mixed;
                    for i in 0..d {
                        // Dmu (mu + p), Dmu = I/2 + Ds, mu + p = y/2 + U*
                        let mut moved = 0.5 * (0.5 * y(i) + u(i));
                        (0..d).for_each(|j| moved += ds(i, j) * (0.5 * y(j) + u(j)));
                        step += p(i) * (0.125 * y(i) - 0.25 * lap_s.coord(i)[node] - 0.5 * moved - 0.5 * s_t.coord(i)[node] / b);
                    }
                }
            }
            let k = beta * (0.5 * (div + square) + along);
            drift_and_tau[d * n + node] = b * b * beta * step + 0.25 * b * beta_change * square + alpha * k;
        }
        Ok(Slice { drift_and_tau, explicit })
    }
}
