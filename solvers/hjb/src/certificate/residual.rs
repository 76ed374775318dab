//! The residual of the equation for the solution continued between the nodes and between the time levels.
//!
//! Cubic splines in space and polynomials through up to five neighbouring times; what is left of the HJB equation on a finer
//! set of points measures space error, time error and interpolation error together. The second derivatives of the spline
//! are of order 2, so for a smooth solution the residual falls by 4 with each halving however accurate the nodes are, and
//! next to a kink it grows: it is an indication of smoothness and a safe, not a sharp, bound of the error. By the comparison
//! principle T sup|residual| over the whole domain bounds the error of V (sup|residual|/rho for a stationary problem).
//! Reference for the comparison principle: W. H. Fleming, H. M. Soner, Controlled Markov Processes and Viscosity
//! Solutions (2006), chapter V.

use crate::certificate::pointwise::{Jets, PointwiseEquation};
use crate::error::HjbError;
use crate::exit::TargetSet;
use crate::obstacle::Obstacle;
use crate::sense::{Oriented, Sense};
use crate::smooth::fornberg_weights;
use crate::solution::ValueFunction;
use hjbridge_model::grid::{CubicSpline, Extrapolation, Region, TensorGrid};
use hjbridge_model::{ControlledDiffusion, PointBlock};
use serde::Serialize;
use std::sync::Arc;

/// Most times in one difference quotient.
pub(crate) const TIME_STENCIL: usize = 5;

/// Nodes next to a target set where V is not smooth across its boundary and a spline would see that.
const TARGET_MARGIN: usize = 8;

/// Where the residual is taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ResidualSampling {
    /// Points per cell and axis, at least 1; 1 tests the nodes, 2 the midpoints too.
    pub refine: usize,
    /// Most times, at least 1, spread over the horizon without its last sixteenth, where data need not be smooth.
    pub times: usize,
    /// Most points per time, at least 1; the lattice is thinned evenly to that.
    pub max_points: usize,
}

impl Default for ResidualSampling {
    fn default() -> Self {
        ResidualSampling { refine: 2, times: 6, max_points: 20_000 }
    }
}

impl ResidualSampling {
    /// Check the ranges given at the fields.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), HjbError> {
        for (field, value) in [("refine", self.refine), ("times", self.times), ("max_points", self.max_points)] {
            if value == 0 {
                return Err(HjbError::invalid(&format!("residual.{field}"), value, "at least 1"));
            }
        }
        Ok(())
    }
}

/// The residual found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResidualCertificate {
    /// Largest |residual|, in units of V per time.
    pub sup: f64,
    /// Root mean square over points and times.
    pub rms: f64,
    /// Where the largest one is.
    pub worst_point: Vec<f64>,
    /// When.
    pub worst_time: f64,
    /// Points per time.
    pub points: usize,
    /// Points left out because they are next to the target set.
    pub skipped: usize,
    /// Generation times tested.
    pub times: Vec<f64>,
    /// The error of V that the largest residual stands for if it is that large everywhere: T sup|residual|, or
    /// sup|residual|/rho for a stationary problem (`None` without discount).
    pub value_bound: Option<f64>,
    /// log_2 of the ratio to the residual of the solution on the half grid, where that is known: about 2 for a smooth
    /// solution, negative next to kinks.
    pub order: Option<f64>,
}

/// V at neighbouring times around the one tested; a single time stands for a stationary solution.
pub(crate) struct TimeWindow<'v> {
    pub times: Vec<f64>,
    pub values: Vec<&'v [f64]>,
    /// Number of the time tested.
    pub centre: usize,
}

/// The last sixteenth of the horizon, where start-up steps damp what the data lack in smoothness, is not tested.
const TESTED_PART: f64 = 15.0 / 16.0;

/// Windows around the stored times nearest to times spread evenly over [0, 15/16 T].
pub(crate) fn windows(solution: &ValueFunction, count: usize) -> Result<Vec<TimeWindow<'_>>, HjbError> {
    let times = solution.times();
    if times.len() < 2 {
        return Err(HjbError::invalid("stored times", times.len(), "at least 2"));
    }
    let count = count.min(times.len() - 1);
    let width = TIME_STENCIL.min(times.len());
    let (first, last) = (times[0], times[times.len() - 1]);
    let window = |place: usize| {
        let fraction = if count == 1 { 0.5 } else { TESTED_PART * place as f64 / (count - 1) as f64 };
        let t = first + fraction * (last - first);
        let above = times.partition_point(|s| *s < t).clamp(1, times.len() - 1);
        let k = if t - times[above - 1] <= times[above] - t { above - 1 } else { above };
        let k = k.min(times.len() - 2);
        let start = k.saturating_sub(width / 2).min(times.len() - width);
        let values = (start..start + width).map(|s| solution.value(s)).collect();
        TimeWindow { times: times[start..start + width].to_vec(), values, centre: k - start }
    };
    Ok((0..count).map(window).collect())
}

/// What else belongs to the equation.
#[derive(Clone, Copy)]
pub(crate) struct Equation<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub sense: Sense,
    pub obstacle: Option<&'a dyn Obstacle>,
    pub target: Option<&'a dyn TargetSet>,
}

/// The residual of V in these windows on a finer set of points in `region`.
pub(crate) fn residual(
    equation: Equation<'_>,
    grid: &Arc<TensorGrid>,
    windows: &[TimeWindow<'_>],
    region: &Region,
    sampling: ResidualSampling,
) -> Result<ResidualCertificate, HjbError> {
    sampling.validate()?;
    let oriented = Oriented { model: equation.model, sense: equation.sense };
    let all = lattice(grid, region, sampling)?;
    let total = all.len();
    let points = match equation.target {
        None => all,
        Some(target) => away_from(target, grid, &all)?,
    };
    if points.is_empty() {
        return Err(HjbError::invalid("region", "no point", "points that are not next to the target set"));
    }
    let at = PointwiseEquation::new(&oriented, points)?;
    let x = at.points.as_points();
    let (d, n) = (grid.dim(), x.len());
    let (mut value, mut slope, mut r, mut psi) = (vec![0.0; n], vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let (mut gradient, mut hessian) = (PointBlock::zeros(d, n), PointBlock::zeros(d * d, n));
    let sign = if equation.sense == Sense::Minimise { -1.0 } else { 1.0 };
    let (mut worst, mut square) = ((-1.0f64, 0, 0.0), 0.0);
    let mut nodal = vec![0.0; grid.len()];
    for window in windows {
        let t = window.times[window.centre];
        let weights = fornberg_weights(t, &window.times, usize::from(window.times.len() > 1));
        nodal.fill(0.0);
        for (w, v) in weights.last().into_iter().flatten().zip(&window.values).filter(|_| window.times.len() > 1) {
            nodal.iter_mut().zip(*v).for_each(|(o, v)| *o += sign * w * v);
        }
        let mut spline = CubicSpline::new(grid.clone(), &nodal, Extrapolation::Quadratic)?;
        spline.value_gradient(x, &mut slope, gradient.as_mut());
        nodal.iter_mut().zip(window.values[window.centre]).for_each(|(o, v)| *o = sign * v);
        spline.set_values(&nodal)?;
        spline.value_gradient(x, &mut value, gradient.as_mut());
        spline.hessian(x, hessian.as_mut());
        at.residual(t, &Jets { value: &value, slope: &slope, gradient: &gradient, hessian: &hessian }, &mut r)?;
        if let Some(obstacle) = equation.obstacle {
            // max( R, psi - V ) vanishes whether one stops or continues.
            obstacle.payoff(t, x, &mut psi);
            for j in 0..n {
                r[j] = r[j].max(sign * psi[j] - value[j]);
            }
        }
        for (j, r) in r.iter().enumerate() {
            square += r * r;
            if r.abs() > worst.0 || r.is_nan() {
                worst = (r.abs(), j, t);
            }
        }
    }
    let stationary = windows.iter().all(|w| w.times.len() == 1);
    let rho = equation.model.discount();
    let value_bound = match stationary {
        false => Some(equation.model.horizon() * worst.0),
        true => (rho > 0.0).then(|| worst.0 / rho),
    };
    Ok(ResidualCertificate {
        sup: worst.0,
        rms: (square / (n * windows.len()) as f64).sqrt(),
        worst_point: at.point(worst.1),
        worst_time: worst.2,
        points: n,
        skipped: total - n,
        times: windows.iter().map(|w| w.times[w.centre]).collect(),
        value_bound,
        order: None,
    })
}

/// The nodes in the region with each cell divided in `refine`, every `s`-th of them along each axis.
pub(crate) fn lattice(grid: &TensorGrid, region: &Region, sampling: ResidualSampling) -> Result<PointBlock, HjbError> {
    let lines: Vec<Vec<f64>> = grid
        .axes()
        .iter()
        .zip(grid.region_ranges(region)?)
        .map(|(axis, range)| {
            let nodes = &axis.nodes()[range];
            let part = |w: &[f64], s: usize| w[0] + (w[1] - w[0]) * s as f64 / sampling.refine as f64;
            let mut line: Vec<f64> = nodes.windows(2).flat_map(|w| (0..sampling.refine).map(move |s| part(w, s))).collect();
            line.extend(nodes.last());
            line
        })
        .collect();
    // A stride prime to `refine` meets nodes and points between them alike.
    let strides = (1..).filter(|s| *s == 1 || gcd(*s, sampling.refine) == 1);
    let size = |s: usize| lines.iter().map(|l| l.len().div_ceil(s)).product::<usize>();
    let longest = lines.iter().map(Vec::len).max().unwrap_or(1);
    let stride = strides.take_while(|s| *s <= longest + sampling.refine).find(|s| size(*s) <= sampling.max_points);
    let stride = stride.unwrap_or(longest);
    let lines: Vec<Vec<f64>> = lines.into_iter().map(|l| l.into_iter().step_by(stride).collect()).collect();
    let count: usize = lines.iter().map(Vec::len).product();
    let mut block = PointBlock::zeros(lines.len(), count);
    let mut inner = count;
    for (a, line) in lines.iter().enumerate() {
        inner /= line.len();
        for (j, x) in block.as_mut().coord_mut(a).iter_mut().enumerate() {
            *x = line[j / inner % line.len()];
        }
    }
    Ok(block)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The points whose cell has no node within [`TARGET_MARGIN`] nodes of the target set.
pub(crate) fn away_from(target: &dyn TargetSet, grid: &TensorGrid, points: &PointBlock) -> Result<PointBlock, HjbError> {
    let nodes = grid.points();
    let mut level = vec![0.0; grid.len()];
    target.level(nodes.as_points(), &mut level);
    let mut near: Vec<bool> = level.iter().map(|l| l.is_nan() || *l <= 0.0).collect();
    for (a, &stride) in grid.strides().iter().enumerate() {
        let count = grid.shape()[a];
        let marked = near.clone();
        for (j, _) in marked.iter().enumerate().filter(|(_, m)| **m) {
            let k = j / stride % count;
            let base = j - k * stride;
            for q in k.saturating_sub(TARGET_MARGIN)..=(k + TARGET_MARGIN).min(count - 1) {
                near[base + q * stride] = true;
            }
        }
    }
    let kept: Vec<Vec<f64>> = (0..points.len())
        .map(|j| (0..grid.dim()).map(|a| points.coord(a)[j]).collect::<Vec<f64>>())
        .filter(|p| {
            let base: usize = (0..grid.dim()).map(|a| grid.axis(a).locate(p[a]) * grid.strides()[a]).sum();
            (0..1usize << grid.dim()).all(|corner| {
                let offset: usize = (0..grid.dim()).map(|a| (corner >> a & 1) * grid.strides()[a]).sum();
                !near[base + offset]
            })
        })
        .collect();
    PointBlock::from_points(grid.dim(), &kept).ok_or_else(|| HjbError::invalid("points", kept.len(), "of the grid's dimension"))
}
