//! Richardson's estimate from two or three grids.
//!
//! With e = C h^p + ..., the difference of two solutions whose spacings have ratio r is (r^p - 1) times the error of the
//! finer one. The order p is observed from three grids where they are affordable; it is used when it is below the formal
//! one, so that a kink, which costs order, costs certainty too. Differences that do not fall are reported as they are.
//! Not seen: whatever all grids share, such as the truncation of the domain.

use crate::error::HjbError;
use crate::solution::ValueFunction;
use hjbridge_model::PointBlock;
use hjbridge_model::grid::{CubicSpline, Extrapolation, Region};
use hjbridge_model::{Points, ScalarField};
use serde::Serialize;

/// Observed orders below this count as no convergence.
const LEAST_ORDER: f64 = 0.5;

/// The estimate of the error of V and v on the comparison region.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RichardsonCertificate {
    /// Estimated sup error of V over the region and the times compared, in units of V; includes `time_error`.
    pub value_error: f64,
    /// Estimated sup error of the control v (largest component), in units of v. At a switch of the control it does not
    /// fall under refinement: see `control_mean_error` there.
    pub control_error: f64,
    /// Estimated mean error of v over nodes and times.
    pub control_mean_error: f64,
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
    /// Order used for V: the least of the formal and the observed one, at least 0.5.
    pub order_used: f64,
    /// Order used for v.
    pub control_order_used: f64,
    /// Whether the differences of V fall under refinement (true also when there are only two grids).
    pub converging: bool,
    /// Part of `value_error` from the tolerance of an adaptive integrator in time, when that is estimated apart.
    pub time_error: Option<f64>,
    /// Nodes per axis of the coarser grids, the finest of them first.
    pub coarse_nodes: Vec<Vec<usize>>,
    /// Whether all grids are nested; otherwise values were compared by cubic interpolation (an axis has an even number
    /// of nodes).
    pub nested: bool,
    /// Where |V_h - V_rh| is largest.
    pub worst_point: Vec<f64>,
    /// When.
    pub worst_time: f64,
    /// Times compared (those that both solutions store, without t = T).
    pub times: usize,
}

/// The difference of two solutions.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub value: f64,
    pub control: f64,
    pub control_mean: f64,
    pub point: Vec<f64>,
    pub time: f64,
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
    let mut found = Difference {
        value: 0.0,
        control: 0.0,
        control_mean: 0.0,
        point: rows.first().cloned().unwrap_or_default(),
        time: fine.times()[0],
        times: 0,
        nested: places.is_some(),
        coarse_nodes: cg.shape().to_vec(),
    };
    let mut sampled = vec![0.0; nodes.len()];
    for (k, &t) in coarse.times().iter().enumerate() {
        let Some(q) = fine.times().iter().position(|s| (s - t).abs() <= 1e-12 * horizon) else { continue };
        // At the end all solutions are the data.
        if t >= end - 1e-12 * horizon {
            continue;
        }
        found.times += 1;
        sample(fine, fine.value(q), places.as_deref(), at.as_points(), &mut sampled)?;
        for (s, &j) in nodes.iter().enumerate() {
            let gap = (coarse.value(k)[j] - sampled[s]).abs();
            if gap > found.value {
                found.value = gap;
                found.point.clone_from(&rows[s]);
                found.time = t;
            }
        }
        for c in 0..m {
            sample(fine, &fine.control(q)[c * fg.len()..][..fg.len()], places.as_deref(), at.as_points(), &mut sampled)?;
            for (s, &j) in nodes.iter().enumerate() {
                let gap = (coarse.control(k)[c * cg.len() + j] - sampled[s]).abs();
                found.control = found.control.max(gap);
                found.control_mean += gap;
            }
        }
    }
    if found.times == 0 {
        let times = format!("{:?}", coarse.times());
        return Err(HjbError::invalid("coarse.times", times, "a time before the end that both solutions store"));
    }
    found.control_mean /= (found.times * nodes.len() * m).max(1) as f64;
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
    let observed = |near: f64, far: Option<f64>| match far {
        Some(far) if near > 0.0 && far > 0.0 => Some((far / near).ln() / ratio.ln()),
        _ => None,
    };
    let used = |observed: Option<f64>| observed.unwrap_or(formal).clamp(LEAST_ORDER, highest);
    let value_order = observed(near.value, far.map(|f| f.value));
    let control_order = observed(near.control, far.map(|f| f.control));
    let mean_order = observed(near.control_mean, far.map(|f| f.control_mean));
    let error = |difference: f64, order: f64| difference / (ratio.powf(order) - 1.0);
    RichardsonCertificate {
        value_error: error(near.value, used(value_order)),
        control_error: error(near.control, used(control_order)),
        control_mean_error: error(near.control_mean, used(mean_order)),
        value_difference: near.value,
        control_difference: near.control,
        ratio,
        formal_order: formal,
        observed_order: value_order,
        control_observed_order: control_order,
        order_used: used(value_order),
        control_order_used: used(control_order),
        converging: value_order.is_none_or(|p| p >= LEAST_ORDER),
        time_error: None,
        coarse_nodes: [Some(near), far].into_iter().flatten().map(|d| d.coarse_nodes.clone()).collect(),
        nested: near.nested && far.is_none_or(|f| f.nested),
        worst_point: near.point.clone(),
        worst_time: near.time,
        times: near.times,
    }
}
