//! Richardson's estimate from two or three grids.
//!
//! With e = C h^p + ..., the difference of two solutions whose spacings have ratio r is (r^p - 1) times the error of the
//! finer one. The order p is observed from three grids where they are affordable; it is used when it is below the formal
//! one, so that a kink, which costs order, costs certainty too. Differences that do not fall are reported as they are.
//! A kink of the data spoils the last moments before T, not t = 0: the figures at t = 0 come apart, with their own order.
//! Whoever stores the solutions to be compared should store times that approach T geometrically, down to the last ones of
//! each grid: each pair of grids is then compared as near to T as its coarser one goes, so that errors that depend on (T-t)/h
//! show their order.
//! Not seen: whatever all grids share. The truncation of the domain (`truncation.rs`) and what happens between the levels of all of
//! them (`unresolved.rs`) are estimated apart and added.

use crate::certificate::jumps::{Jumps, time_weights, weights};
use crate::error::HjbError;
use crate::exit::TargetSet;
use crate::solution::ValueFunction;
use hjbridge_model::PointBlock;
use hjbridge_model::grid::{CubicSpline, Extrapolation, Region};
use hjbridge_model::{Points, ScalarField};
use serde::Serialize;

/// Observed orders below this count as no convergence; the last moments before a kink of the data have order 1/2, in the
/// square root of the time step.
pub(crate) const LEAST_ORDER: f64 = 0.3;

/// The estimate of the error of V and v on the comparison region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RichardsonCertificate {
    /// Estimated sup error of V over the region and the times compared, in units of V; includes `time_error`.
    pub value_error: f64,
    /// Estimated sup error of the control v (largest component), in units of v; includes `control_time_error`, and is never
    /// more than the diameter of the control set. Where the control jumps it is the jump: see `control_mean_error` there.
    pub control_error: f64,
    /// Estimated mean error of v over components, time and the region (its integral over both by their sizes).
    pub control_mean_error: f64,
    /// Largest jump of v between neighbouring nodes where it switches: any change for a finite control set, one of half
    /// the width or more for a box; `None` without such jumps.
    pub control_jump: Option<f64>,
    /// The figures at t = 0 alone, where data that are not smooth have been forgotten and most users look; `None` for
    /// stationary solutions, which have no other time, and when t = 0 was not compared.
    pub at_start: Option<ErrorAtStart>,
    /// sup |V_h - V_rh| measured.
    pub value_difference: f64,
    /// sup |v_h - v_rh| measured.
    pub control_difference: f64,
    /// Ratio r of the spacings, 2 when the grids are nested.
    pub ratio: f64,
    /// Order that the method has for smooth solutions.
    pub formal_order: f64,
    /// log_r of the ratio of two successive differences of V; `None` with two grids or with differences that vanish.
    pub observed_order: Option<f64>,
    /// The same for v.
    pub control_observed_order: Option<f64>,
    /// Order used for V: the least of the formal and the observed one, at least 0.3.
    pub order_used: f64,
    /// Order used for v.
    pub control_order_used: f64,
    /// Whether the differences of V fall under refinement (true also when there are only two grids).
    pub converging: bool,
    /// Part of `value_error` from the tolerance of an adaptive integrator in time, when that is estimated apart.
    pub time_error: Option<f64>,
    /// The same for v.
    pub control_time_error: Option<f64>,
    /// Part of `value_error` from the box: the change of V in a larger one. `None` where its faces are not felt in the region,
    /// or are part of the problem.
    pub box_error: Option<f64>,
    /// The same for v.
    pub control_box_error: Option<f64>,
    /// Part of `value_error` from coefficients that jump or vary quickly in time between the levels of fixed steps; `None`
    /// where there are none.
    pub unresolved_error: Option<f64>,
    /// Nodes per axis of the coarser grids, the finest of them first.
    pub coarse_nodes: Vec<Vec<usize>>,
    /// Whether all grids are nested; otherwise values were compared by cubic interpolation (an axis has an even number
    /// of nodes).
    pub nested: bool,
    /// Where |V_h - V_rh| is largest.
    pub worst_point: Vec<f64>,
    /// When.
    pub worst_time: f64,
    /// Where |v_h - v_rh| is largest.
    pub control_worst_point: Vec<f64>,
    /// When.
    pub control_worst_time: f64,
    /// Times compared (those that both solutions store, without t = T).
    pub times: usize,
}

/// Estimated errors at t = 0, as those of [`RichardsonCertificate`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ErrorAtStart {
    /// Estimated sup error of V(0, .) over the region.
    pub value_error: f64,
    /// Estimated sup error of v(0, .).
    pub control_error: f64,
    /// Estimated mean error of v(0, .).
    pub control_mean_error: f64,
    /// Observed order of V.
    pub observed_order: Option<f64>,
    /// Observed order of v.
    pub control_observed_order: Option<f64>,
    /// Whether the differences of V fall under refinement.
    pub converging: bool,
}

/// Sizes of a difference.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gap {
    /// sup of V.
    pub value: f64,
    /// sup of v.
    pub control: f64,
    /// Mean of v.
    pub control_mean: f64,
}

impl Gap {
    /// A multiple.
    pub fn scaled(self, by: f64) -> Self {
        Gap { value: by * self.value, control: by * self.control, control_mean: by * self.control_mean }
    }

    /// The larger of each.
    pub fn max(self, other: Self) -> Self {
        Gap {
            value: self.value.max(other.value),
            control: self.control.max(other.control),
            control_mean: self.control_mean.max(other.control_mean),
        }
    }
}

/// The difference of two solutions.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// Over all times compared.
    pub all: Gap,
    /// At t = 0.
    pub start: Option<Gap>,
    pub point: Vec<f64>,
    pub time: f64,
    pub control_point: Vec<f64>,
    pub control_time: f64,
    pub times: usize,
    pub nested: bool,
    pub coarse_nodes: Vec<usize>,
}

/// Compare at the nodes of the coarser grid in the region, at the times before `end` that both store.
pub(crate) fn difference(
    fine: &ValueFunction,
    coarse: &ValueFunction,
    region: &Region,
    end: f64,
    target: Option<&dyn TargetSet>,
) -> Result<Difference, HjbError> {
    let (fg, cg) = (fine.grid(), coarse.grid());
    HjbError::check_shape("coarse.grid axes", cg.dim(), fg.dim())?;
    let m = fine.control_dim();
    HjbError::check_shape("coarse.control_dim", coarse.control_dim(), m)?;
    let nodes: Vec<usize> = cg.region_nodes(Some(region))?.collect();
    let same_axis = |a: usize| {
        let (c, f) = (cg.axis(a), fg.axis(a));
        let slack = 1e-10 * (c.upper() - c.lower());
        let near = |factor: usize| {
            f.len() == factor * (c.len() - 1) + 1
                && c.nodes().iter().zip(f.nodes().iter().step_by(factor)).all(|(c, f)| (c - f).abs() <= slack)
        };
        [1, 2, 4].into_iter().find(|&factor| near(factor))
    };
    let factors: Option<Vec<usize>> = (0..cg.dim()).map(same_axis).collect();
    let places: Option<Vec<usize>> = factors.map(|factors| {
        let mut index = vec![0; cg.dim()];
        nodes
            .iter()
            .map(|&j| {
                cg.multi_index(j, &mut index);
                (0..cg.dim()).map(|a| factors[a] * index[a] * fg.strides()[a]).sum()
            })
            .collect()
    });
    let rows: Vec<Vec<f64>> = nodes.iter().map(|&j| node(cg, j)).collect();
    let at = PointBlock::from_points(cg.dim(), &rows).unwrap_or_else(|| PointBlock::zeros(cg.dim(), 0));
    let horizon = coarse.times().iter().chain(fine.times()).fold(0.0f64, |s, t| s.max(t.abs()));
    // where the process has ended there is no control
    let mut level = vec![1.0; nodes.len()];
    if let Some(target) = target {
        target.level(at.as_points(), &mut level);
    }
    let weights = weights(cg, region)?;
    let mut found = Difference {
        all: Gap::default(),
        start: None,
        point: rows.first().cloned().unwrap_or_default(),
        time: fine.times()[0],
        control_point: rows.first().cloned().unwrap_or_default(),
        control_time: fine.times()[0],
        times: 0,
        nested: places.is_some(),
        coarse_nodes: cg.shape().to_vec(),
    };
    let (mut sampled, mut compared) = (vec![0.0; nodes.len()], Vec::new());
    for (k, &t) in coarse.times().iter().enumerate() {
        let Some(q) = fine.times().iter().position(|s| (s - t).abs() <= 1e-12 * horizon) else { continue };
        // At the end all solutions are the data.
        if t >= end - 1e-12 * horizon {
            continue;
        }
        found.times += 1;
        let mut now = Gap::default();
        sample(fine, fine.value(q), places.as_deref(), at.as_points(), &mut sampled)?;
        for (s, &j) in nodes.iter().enumerate() {
            let gap = (coarse.value(k)[j] - sampled[s]).abs();
            now.value = now.value.max(gap);
            if gap > found.all.value {
                found.all.value = gap;
                found.point.clone_from(&rows[s]);
                found.time = t;
            }
        }
        for c in 0..m {
            sample(fine, &fine.control(q)[c * fg.len()..][..fg.len()], places.as_deref(), at.as_points(), &mut sampled)?;
            for (s, &j) in nodes.iter().enumerate().filter(|(s, _)| level[*s] > 0.0) {
                let gap = (coarse.control(k)[c * cg.len() + j] - sampled[s]).abs();
                now.control = now.control.max(gap);
                now.control_mean += weights[s] * gap / m as f64;
                if gap > found.all.control {
                    found.all.control = gap;
                    found.control_point.clone_from(&rows[s]);
                    found.control_time = t;
                }
            }
        }
        compared.push((t, now.control_mean));
        if t.abs() <= 1e-12 * horizon && end.is_finite() {
            found.start = Some(now);
        }
    }
    if found.times == 0 {
        let times = format!("{:?}", coarse.times());
        return Err(HjbError::invalid("coarse.times", times, "a time before the end that both solutions store"));
    }
    let shares = time_weights(compared.iter().map(|c| c.0), end);
    found.all.control_mean = shares.iter().zip(&compared).map(|(w, c)| w * c.1).sum();
    Ok(found)
}

fn node(grid: &hjbridge_model::grid::TensorGrid, j: usize) -> Vec<f64> {
    let mut p = vec![0.0; grid.dim()];
    grid.node(j, &mut p);
    p
}

fn sample(
    fine: &ValueFunction,
    values: &[f64],
    places: Option<&[usize]>,
    at: Points<'_>,
    out: &mut [f64],
) -> Result<(), HjbError> {
    match places {
        Some(places) => out.iter_mut().zip(places).for_each(|(o, &j)| *o = values[j]),
        None => CubicSpline::new(fine.grid().clone(), values, Extrapolation::Linear)?.value(at, out),
    }
    Ok(())
}

/// The estimate from the difference to the next coarser solution and, when there is one, that between the two coarser.
pub(crate) fn estimate(
    near: &Difference,
    far: Option<&Difference>,
    ratio: f64,
    formal: f64,
    highest: f64,
) -> RichardsonCertificate {
    let whole = errors(near.all, far.map(|f| f.all), ratio, formal, highest);
    let start = near.start.map(|start| errors(start, far.and_then(|f| f.start), ratio, formal, highest));
    RichardsonCertificate {
        value_error: whole.error.value,
        control_error: whole.error.control,
        control_mean_error: whole.error.control_mean,
        control_jump: None,
        at_start: start.map(|s| ErrorAtStart {
            value_error: s.error.value,
            control_error: s.error.control,
            control_mean_error: s.error.control_mean,
            observed_order: s.order,
            control_observed_order: s.control_order,
            converging: s.order.is_none_or(|p| p >= LEAST_ORDER),
        }),
        value_difference: near.all.value,
        control_difference: near.all.control,
        ratio,
        formal_order: formal,
        observed_order: whole.order,
        control_observed_order: whole.control_order,
        order_used: whole.used,
        control_order_used: whole.control_used,
        converging: whole.order.is_none_or(|p| p >= LEAST_ORDER),
        time_error: None,
        control_time_error: None,
        box_error: None,
        control_box_error: None,
        unresolved_error: None,
        coarse_nodes: [Some(near), far].into_iter().flatten().map(|d| d.coarse_nodes.clone()).collect(),
        nested: near.nested && far.is_none_or(|f| f.nested),
        worst_point: near.point.clone(),
        worst_time: near.time,
        control_worst_point: near.control_point.clone(),
        control_worst_time: near.control_time,
        times: near.times,
    }
}

struct Errors {
    error: Gap,
    order: Option<f64>,
    control_order: Option<f64>,
    used: f64,
    control_used: f64,
}

fn errors(near: Gap, far: Option<Gap>, ratio: f64, formal: f64, highest: f64) -> Errors {
    let observed = |near: f64, far: Option<f64>| match far {
        Some(far) if near > 0.0 && far > 0.0 => Some((far / near).ln() / ratio.ln()),
        _ => None,
    };
    let used = |observed: Option<f64>| observed.unwrap_or(formal).clamp(LEAST_ORDER, highest);
    let error = |difference: f64, order: f64| difference / (ratio.powf(order) - 1.0);
    let order = observed(near.value, far.map(|f| f.value));
    let control_order = observed(near.control, far.map(|f| f.control));
    let mean_order = observed(near.control_mean, far.map(|f| f.control_mean));
    Errors {
        error: Gap {
            value: error(near.value, used(order)),
            control: error(near.control, used(control_order)),
            control_mean: error(near.control_mean, used(mean_order)),
        },
        order,
        control_order,
        used: used(order),
        control_used: used(control_order),
    }
}

impl RichardsonCertificate {
    /// Add errors in time, estimated apart, to those in space: over all times and at t = 0.
    pub(crate) fn add_time(&mut self, all: Gap, start: Option<Gap>) {
        self.time_error = Some(all.value);
        self.control_time_error = Some(all.control);
        self.add(all, start);
    }

    /// Add what the box costs: the differences to solutions in larger ones.
    pub(crate) fn add_box(&mut self, cost: &[Difference]) {
        if cost.is_empty() {
            return;
        }
        self.box_error = Some(cost.iter().map(|c| c.all.value).sum());
        self.control_box_error = Some(cost.iter().map(|c| c.all.control).sum());
        cost.iter().for_each(|c| self.add(c.all, c.start));
    }

    /// Add what the time steps miss between their levels.
    pub(crate) fn add_unresolved(&mut self, all: Gap, start: Gap) {
        self.unresolved_error = Some(all.value);
        self.add(all, Some(start));
    }

    fn add(&mut self, all: Gap, start: Option<Gap>) {
        self.value_error += all.value;
        self.control_error += all.control;
        self.control_mean_error += all.control_mean;
        if let (Some(found), Some(start)) = (&mut self.at_start, start) {
            found.value_error += start.value;
            found.control_error += start.control;
            found.control_mean_error += start.control_mean;
        }
    }

    /// Claim no less than this distance to another solution.
    pub(crate) fn raise(&mut self, apart: &Difference) {
        self.value_error = self.value_error.max(apart.all.value);
        self.control_error = self.control_error.max(apart.all.control);
        self.control_mean_error = self.control_mean_error.max(apart.all.control_mean);
        if let (Some(found), Some(start)) = (&mut self.at_start, apart.start) {
            found.value_error = found.value_error.max(start.value);
            found.control_error = found.control_error.max(start.control);
            found.control_mean_error = found.control_mean_error.max(start.control_mean);
        }
    }

    /// No error of the control is below the jumps that it has between neighbouring nodes, none above the diameter of its set.
    pub(crate) fn bound_control(&mut self, jumps: &Jumps, diameter: f64) {
        self.control_jump = (jumps.largest > 0.0).then_some(jumps.largest);
        self.control_error = self.control_error.max(jumps.largest).min(diameter);
        self.control_mean_error = self.control_mean_error.max(jumps.mean).min(diameter);
        if let Some(start) = &mut self.at_start {
            start.control_error = start.control_error.max(jumps.start_largest).min(diameter);
            start.control_mean_error = start.control_mean_error.max(jumps.start_mean).min(diameter);
        }
    }
}
