//! What PI-FT reports: per step the iterations, the contraction promised and seen, and on request every inner iterate.

use crate::block::{Curvature, Sup};
use crate::expectation::QuadratureInfo;
use serde::Serialize;

/// Differences below this fraction of the largest |D| do not count for the contraction: lam grad G carries a rounding error of
/// eps lam sup|V| / spacing, and a ratio of two differences of that size says nothing.
const ROUNDING: f64 = 1e-10;

/// One inner iterate u^(m), recorded when `track` is set. Norms are over the region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IterateInfo {
    /// m; 0 is u^(0) = s_k.
    pub m: usize,
    /// sup |u^(m+1) - u^(m)|; for the last iterate the update that was not made.
    pub update: f64,
    /// sup |grad V^(m)|, V^(m) the value of using u^(m) at this step.
    pub lipschitz_value: f64,
    /// sup of the Frobenius norm of Du^(m), a bound on its Lipschitz constant (equal to it in one dimension).
    pub lipschitz_control: f64,
    /// sup over the nodes of the spectral norm of D^2 V^(m): the Lipschitz constant of grad V^(m).
    pub lipschitz_gradient: f64,
    /// sup |u^(m) - u*|, u* the converged policy of this step against the same V_{k+1} (the last iterate when the iteration ends
    /// by its tolerance).
    pub control_gap: f64,
    /// sup |V^(m) - V*|, V* the value of u*.
    pub value_gap: f64,
}

/// Regularity handed down from V_{k+1} to V_k, recorded when `track` is set; all over the region.
///
/// ```text
///   Lip(V_k)      <= L_m Lip(V_{k+1}),                                          L_m = (1 + (1-a) L_s) / sqrt(a)
///   Lip(grad V_k) <= L_m^2 Lip(grad V_{k+1}) / (1-rho) + Lip(V_{k+1}) (1-a) M_s / sqrt(a)
/// ```
///
/// The bounds hold between sups over all of R^d; over a box they hold as far as the kernel stays inside it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegularityInfo {
    /// L_s, Lipschitz constant of s_k.
    pub score: f64,
    /// M_s, Lipschitz constant of Ds_k.
    pub score_gradient: f64,
    /// L_m.
    pub mean_map: f64,
    /// Lip(V_k).
    pub value: f64,
    /// L_m Lip(V_{k+1}).
    pub value_bound: f64,
    /// Lip(grad V_k).
    pub gradient: f64,
    /// The bound on it; `None` when rho >= 1.
    pub gradient_bound: Option<f64>,
    /// Bound on the Lipschitz constant of every plain iterate u^(m), L_s + rho L_m / ((1-rho) (1-a)/sqrt(a)); `None` when
    /// rho >= 1.
    pub control_bound: Option<f64>,
}

/// Lipschitz data of the reward over the region, recorded when `track` is set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RewardInfo {
    /// Lip(r).
    pub lipschitz: f64,
    /// Lip(grad r).
    pub lipschitz_gradient: f64,
}

/// What happened at step k.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepInfo {
    /// k.
    pub k: usize,
    /// t_k.
    pub t: f64,
    /// a_k.
    pub alpha: f64,
    /// sig_k.
    pub sigma: f64,
    /// beta_k.
    pub kl_weight: f64,
    /// The iteration that produced u_k: plain, damped, newton, anderson; soft for the soft step.
    pub method: &'static str,
    /// w of the damped iteration and of Anderson's.
    pub damping: Option<f64>,
    /// Updates made, m_k.
    pub iterations: usize,
    /// rho_k = sig_k^2 sup |D^2 V_{k+1}| / beta_k, the contraction promised; the larger of the next two. The sup is over the region
    /// and, where the kernel leaves it, over the places to which the iterates shift its mean (there of D^2 E V_{k+1}).
    pub rho: f64,
    /// Its convex part, from the largest eigenvalue (at least 0). At 1 the step becomes ill-posed.
    pub rho_plus: f64,
    /// Its concave part, from the smallest eigenvalue (at least 0).
    pub rho_minus: f64,
    /// Largest ratio sup |D^(m+1) - D^(m)| / sup |D^(m) - D^(m-1)|, m >= 1, over the region, differences at rounding level left
    /// out; `None` when there were too few updates.
    pub contraction: Option<f64>,
    /// The ratio at m = 1.
    pub first_ratio: Option<f64>,
    /// Mean rate of the iteration, (|f_m| / |f_0|)^(1/m) with f the defect lam grad G - D over the region and m the last iterate
    /// whose defect is above rounding; `None` without an update.
    pub rate: Option<f64>,
    /// Bound on sup |u^(m) - u*| of the policy returned over the whole grid, from its defect: |lam grad G - D| / (1 - rho_+).
    pub error_bound: f64,
    /// p in (value gap) ~ (control gap)^p, fitted over the iterates above rounding; 2 by theory, so that the value gap decays like
    /// rho^(2m). `None` unless tracked, or with fewer than two such iterates.
    pub value_exponent: Option<f64>,
    /// sup |u^(m+1) - u^(m)| of the last update, proposed but not made, over the whole grid.
    pub last_update: f64,
    /// Nodes whose kernel mean m_k lies outside the box, where V_{k+1} is extrapolated.
    pub means_outside: usize,
    /// The inner iterates; empty unless tracked.
    pub iterates: Vec<IterateInfo>,
    /// Regularity of V_k against its bounds; `None` unless tracked.
    pub regularity: Option<RegularityInfo>,
}

/// What happened in a backward sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PiFtInfo {
    /// Nodes of the grid.
    pub nodes: usize,
    /// Quadrature points per node: q^d where every node asks for all, d q where the axes are smoothed one after the other.
    pub quadrature_points: usize,
    /// How many nodes per axis, and why.
    pub quadrature: QuadratureInfo,
    /// Lipschitz data of the reward; `None` unless tracked.
    pub reward: Option<RewardInfo>,
    /// One entry per step, k = 0..N-1.
    pub steps: Vec<StepInfo>,
}

impl PiFtInfo {
    /// Largest rho_k.
    pub fn max_rho(&self) -> f64 {
        self.steps.iter().fold(0.0, |m, s| s.rho.max(m))
    }

    /// Largest contraction seen; `None` when no step had two updates.
    pub fn max_contraction(&self) -> Option<f64> {
        self.steps.iter().filter_map(|s| s.contraction).reduce(f64::max)
    }

    /// Most inner updates at a step.
    pub fn max_iterations(&self) -> usize {
        self.steps.iter().map(|s| s.iterations).max().unwrap_or(0)
    }
}

/// Largest and first ratio of successive updates over the region.
pub(crate) fn contraction(updates: &[Sup], scale: Sup) -> (Option<f64>, Option<f64>) {
    let floor = ROUNDING * scale.region;
    let ratios: Vec<Option<f64>> =
        updates.windows(2).map(|w| (w[0].region > floor && w[1].region > floor).then(|| w[1].region / w[0].region)).collect();
    (ratios.iter().copied().flatten().reduce(f64::max), ratios.first().copied().flatten())
}

/// Geometric mean of the ratios of successive defects over the region.
pub(crate) fn rate(defects: &[Sup], scale: Sup) -> Option<f64> {
    let floor = ROUNDING * scale.region;
    let first = defects.first()?.region;
    let (m, last) = defects.iter().enumerate().skip(1).take_while(|(_, d)| d.region > floor).last()?;
    (first > floor).then(|| (last.region / first).powf(1.0 / m as f64))
}

/// Slope of log(value gap) over log(control gap), least squares over the iterates whose gaps are above rounding.
pub(crate) fn value_exponent(iterates: &[IterateInfo], value_scale: f64) -> Option<f64> {
    let floor = 1e3 * f64::EPSILON * value_scale;
    let points: Vec<(f64, f64)> = iterates
        .iter()
        .filter(|i| i.value_gap > floor && i.control_gap > 0.0)
        .map(|i| (i.control_gap.ln(), i.value_gap.ln()))
        .collect();
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    (points.len() >= 2 && spread > 0.0).then(|| points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / spread)
}

/// (rho_+, rho_-) over the region and over what its iterates met.
pub(crate) fn over_region(curvature: &Curvature, met: &Curvature) -> (f64, f64) {
    (curvature.plus.region.max(met.plus.region), curvature.minus.region.max(met.minus.region))
}
