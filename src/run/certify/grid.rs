//! What a grid adds: J, the loss and the Cole-Hopf value by linear equations, and the law of the policy.

use super::closed::{Collected, UnderPolicy, half_quadratic};
use super::report::{Bound, Computed, WhereLost};
use crate::problem::spec::{RouteSpec, SchemeSpec};
use crate::run::route::{Equation, RouteReport, Solved};
use crate::run::{Progress, RunError};
use hjbridge_hjb::{FokkerPlanck, FokkerPlanckParams, Sense, Storage};
use hjbridge_model::{ControlledDiffusion, CubicSpline, Extrapolation, Feedback, PointBlock, ScalarField, TensorGrid};
use std::sync::atomic::AtomicBool;

/// Time steps of the forward equation on a line or in the plane, in three dimensions, and time levels that are kept. Prime, so that
/// the levels are not those of a table, at which the policy of a solution's own table loses nothing.
const FORWARD: (usize, usize, usize) = (251, 101, 126);

/// Bytes of a control's levels up to which more of them are wanted than for pictures.
const FINER: usize = 1 << 26;

/// Intervals between the times at which the optimal control is wanted: as many times `levels` as memory allows, at most eight, since
/// the loss of a good policy is small against what a control varies between two levels.
pub(super) fn finer(levels: usize, grid: &TensorGrid, control_dim: usize) -> usize {
    let bytes = 8 * grid.len() * (1 + control_dim) * levels.max(1);
    levels * (FINER / bytes.max(1)).clamp(1, 8)
}

/// A linear equation solved.
pub(super) struct Linear {
    pub times: Vec<f64>,
    pub values: Vec<Vec<f64>>,
    pub route: RouteReport,
}

/// How to look at a function on the grid from the starts: the mean over the initial law, or the values at points.
pub(super) type Seen<'a> = dyn Fn(&[f64]) -> Result<Vec<f64>, RunError> + 'a;

/// The values of a function on the grid at points, by cubic splines.
///
/// # Errors
/// Values that are not finite.
pub(super) fn at_points(grid: &std::sync::Arc<TensorGrid>, values: &[f64], x: &PointBlock) -> Result<Vec<f64>, RunError> {
    let mut out = vec![0.0; x.len()];
    CubicSpline::new(grid.clone(), values, Extrapolation::Linear)?.value(x.as_points(), &mut out);
    Ok(out)
}

/// The HJB equation's setting (grid, faces, target, scheme), for a process under `control`: J or the loss at all times.
///
/// # Errors
/// Any failure of the solver: a policy's value is of no use in part.
pub(super) fn under_policy(
    hjb: &Equation<'_>,
    control: &dyn Feedback,
    collected: Collected<'_>,
    progress: &dyn Progress,
) -> Result<Linear, RunError> {
    let model = UnderPolicy { model: hjb.model, control, collected };
    let scheme = match hjb.scheme.route() {
        // nothing to transform in an equation that is linear already
        RouteSpec::ColeHopf => SchemeSpec { route: Some(RouteSpec::Auto), ..hjb.scheme },
        _ => hjb.scheme,
    };
    let equation = Equation { model: &model, sense: Sense::Maximise, scheme, ..hjb.clone() };
    let Solved { times, values, report, failure, .. } = equation.solve(progress)?;
    match failure {
        Some(e) => Err(e.into()),
        None => Ok(Linear { times, values, route: report }),
    }
}

/// V of the linear equation for exp(V/beta), where the problem has one: an independent computation of the soft value.
///
/// # Errors
/// A problem without such an equation; a failure of the solver.
pub(super) fn cole_hopf(hjb: &Equation<'_>, seen: &Seen<'_>, progress: &dyn Progress) -> Result<Vec<Bound>, RunError> {
    let equation = Equation { scheme: SchemeSpec { route: Some(RouteSpec::ColeHopf), ..hjb.scheme }, ..hjb.clone() };
    let Solved { values, report, failure, .. } = equation.solve(progress)?;
    if let Some(e) = failure {
        return Err(e.into());
    }
    let sign = if hjb.sense == Sense::Minimise { -1.0 } else { 1.0 };
    let bound = |value: f64| {
        let error = Computed::certified(value, report.certificate.as_ref()).error;
        let method = format!("linear equation on the grid, {}", report.scheme);
        Bound { kind: "cole_hopf", value, limit: value + sign * error.unwrap_or(f64::INFINITY), effective_share: None, method }
    };
    Ok(seen(&values[0])?.into_iter().map(bound).collect())
}

/// V_h + (T - t) sup |residual| is a supersolution (with minus a subsolution) where the residual is no larger than that.
pub(super) fn verification(value: f64, sign: f64, route: &RouteReport) -> Option<Bound> {
    let margin = route.certificate.as_ref()?.residual.as_ref()?.value_bound?;
    let method = "V_h and T times the largest residual of the HJB equation, as sampled over the comparison box".to_string();
    Some(Bound { kind: "verification", value, limit: value + sign * margin, effective_share: None, method })
}

/// Where the loss is made, on the grid.
pub struct LossDensity {
    /// Times.
    pub times: Vec<f64>,
    /// At each time: density of the loss per time and volume, at the nodes.
    pub density: Vec<Vec<f64>>,
}

/// Follow the law of the policy from `masses` and weigh the loss with it.
///
/// # Errors
/// A law that the forward equation cannot follow.
pub(super) fn where_lost(
    hjb: &Equation<'_>,
    control: &dyn Feedback,
    optimal: &dyn Feedback,
    masses: &[f64],
    interrupt: Option<&AtomicBool>,
) -> Result<(WhereLost, LossDensity), RunError> {
    let (model, grid) = (hjb.model, hjb.grid);
    let params = FokkerPlanckParams {
        steps: if grid.dim() < 3 { FORWARD.0 } else { FORWARD.1 },
        storage: Storage::AtMost(FORWARD.2),
        memory_limit: u64::MAX,
        ..FokkerPlanckParams::default()
    };
    let solver = FokkerPlanck::new(model, control, grid.clone(), params)?.with_interrupt(interrupt);
    let (path, _) = solver.evolve(masses)?;
    let (points, volumes) = (grid.points(), grid.volumes());
    let times = path.times().to_vec();
    let (mut rate, mut density) = (Vec::with_capacity(times.len()), Vec::with_capacity(times.len()));
    let mut excess = vec![0.0; grid.len()];
    for (k, &t) in times.iter().enumerate() {
        excess_rate(model, control, optimal, t, &points, &mut excess);
        let discount = (-model.discount() * t).exp();
        let lost: Vec<f64> = path.mass(k).iter().zip(&excess).map(|(m, e)| discount * m * e).collect();
        rate.push(lost.iter().sum());
        density.push(lost.iter().zip(&volumes).map(|(l, v)| l / v).collect::<Vec<f64>>());
    }
    let last = times.len() - 1;
    let width: Vec<f64> = (0..=last).map(|k| 0.5 * (times[(k + 1).min(last)] - times[k.saturating_sub(1)])).collect();
    let mut found = WhereLost::new(times.clone(), rate, &width, "forward_equation");
    let k = times.iter().position(|t| *t == found.worst_time).unwrap_or(0);
    let mut node = 0;
    for (j, x) in density[k].iter().enumerate() {
        if *x > density[k][node] {
            node = j;
        }
    }
    let mut point = vec![0.0; grid.dim()];
    grid.node(node, &mut point);
    found.worst_point = Some(point);
    Ok((found, LossDensity { times, density }))
}

/// (1/2) (v - v*)'R(v - v*) at time t.
fn excess_rate(
    model: &dyn ControlledDiffusion,
    control: &dyn Feedback,
    optimal: &dyn Feedback,
    t: f64,
    points: &PointBlock,
    out: &mut [f64],
) {
    let x = points.as_points();
    let (mut v, mut best) = (PointBlock::zeros(model.control_dim(), x.len()), PointBlock::zeros(model.control_dim(), x.len()));
    control.at(t).eval(x, v.as_mut());
    optimal.at(t).eval(x, best.as_mut());
    v.data_mut().iter_mut().zip(best.data()).for_each(|(v, b)| *v -= b);
    half_quadratic(&model.at(t).control_weight(), x, &v, out);
}
