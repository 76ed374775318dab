//! Certificates of accuracy: the residual of the equation between the nodes, and Richardson's estimate from two grids.
//!
//! The solution stored on the grid is continued by cubic splines in space and by polynomials through up to five stored
//! times; what is left of
//!
//!   V_t + f.grad V + (1/2) sum_ij a_ij V_ij + l + H(grad V) - rho V
//!
//! on a finer set of points measures space error, time error and interpolation error together. By the comparison principle
//! T sup|residual| over the whole domain bounds the error of V; on a region it is an indication. The second derivatives of
//! the spline are of order 2, so for a smooth solution the residual falls by 4 with each halving of the spacing however
//! accurate the nodes are: the bound is safe, not sharp.
//! Reference for the comparison principle: W. H. Fleming, H. M. Soner, Controlled Markov Processes and Viscosity
//! Solutions (2006), chapter V.

use crate::error::HjbError;
use crate::smooth::channels::NodeModel;
use crate::smooth::control::hamiltonian;
use crate::smooth::differences::fornberg_weights;
use crate::solution::ValueFunction;
use hjbridge_model::grid::{Axis, CubicSpline, Extrapolation, Region, TensorGrid};
use hjbridge_model::{ControlledDiffusion, PointBlock};
use serde::Serialize;
use std::sync::Arc;

/// Most stored times in one difference quotient.
const TIME_STENCIL: usize = 5;

/// Parameters of [`hjb_residual`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ResidualParams {
    /// Points per cell and axis, at least 1; 1 tests the nodes, 2 the midpoints too.
    pub refine: usize,
    /// Most stored times at which the residual is taken, at least 1; t = T, where data need not be smooth, is left out.
    pub times: usize,
}

impl Default for ResidualParams {
    fn default() -> Self {
        ResidualParams { refine: 2, times: 9 }
    }
}

/// The residual of a stored solution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResidualInfo {
    /// Largest |residual|, in units of V per time.
    pub sup: f64,
    /// Root mean square.
    pub rms: f64,
    /// Where the largest one is.
    pub worst_point: Vec<f64>,
    /// When.
    pub worst_time: f64,
    /// Points per time.
    pub points: usize,
    /// Times tested.
    pub times: usize,
    /// T sup|residual|: the error of V that it stands for.
    pub value_bound: f64,
}

/// The residual of `solution` for `model` on a finer set of points in `region`.
///
/// # Errors
/// Parameters out of range, fewer than two stored times, a region without cells of the grid, a model that returns NaN.
pub fn hjb_residual(
    model: &dyn ControlledDiffusion,
    solution: &ValueFunction,
    region: &Region,
    params: ResidualParams,
) -> Result<ResidualInfo, HjbError> {
    for (field, value) in [("refine", params.refine), ("times", params.times)] {
        if value == 0 {
            return Err(HjbError::invalid(field, value, "at least 1"));
        }
    }
    let (grid, times) = (solution.grid(), solution.times());
    crate::solve::check_model(model, grid)?;
    if times.len() < 2 {
        return Err(HjbError::invalid("stored times", times.len(), "at least 2"));
    }
    let points = refined(grid, region, params.refine)?;
    let (d, n) = (grid.dim(), points.len());
    let on_points = NodeModel::new(model, points)?;
    let x = on_points.nodes.as_points();
    // All stored times but the last, thinned evenly.
    let candidates = times.len() - 1;
    let count = params.times.min(candidates);
    let (mut v, mut v_t) = (vec![0.0; n], vec![0.0; n]);
    let (mut gradient, mut hessian) = (PointBlock::zeros(d, n), PointBlock::zeros(d * d, n));
    let (mut worst, mut square) = ((0.0f64, 0, 0), 0.0);
    let mut p = vec![0.0; d];
    for place in 0..count {
        let k = if count == 1 { candidates / 2 } else { place * (candidates - 1) / (count - 1) };
        let width = TIME_STENCIL.min(times.len());
        let start = k.saturating_sub(width / 2).min(times.len() - width);
        let weights = fornberg_weights(times[k], &times[start..start + width], 1);
        let mut slope = vec![0.0; grid.len()];
        for (s, w) in weights[1].iter().enumerate() {
            for (o, v) in slope.iter_mut().zip(solution.value(start + s)) {
                *o += w * v;
            }
        }
        let mut spline = CubicSpline::new(grid.clone(), &slope, Extrapolation::Quadratic)?;
        spline.value_gradient(x, &mut v_t, gradient.as_mut());
        spline.set_values(solution.value(k))?;
        spline.value_gradient(x, &mut v, gradient.as_mut());
        spline.hessian(x, hessian.as_mut());
        let channels = on_points.evaluate(times[k])?;
        let l = on_points.layout;
        for j in 0..n {
            let mut r = v_t[j] + channels[l.running()].get(j) - on_points.discount * v[j];
            for i in 0..d {
                r += channels[l.drift(i)].get(j) * gradient.coord(i)[j];
                for q in i..d {
                    let a = channels[l.diffusion(i, q)].get(j) * hessian.coord(i * d + q)[j];
                    r += if q == i { 0.5 * a } else { a };
                }
            }
            (0..d).for_each(|i| p[i] = gradient.coord(i)[j]);
            r += hamiltonian(&on_points, &channels, j, &p);
            square += r * r;
            if r.abs() > worst.0 || r.is_nan() {
                worst = (r.abs(), j, k);
            }
        }
    }
    let mut worst_point = vec![0.0; d];
    x.copy_point(worst.1, &mut worst_point);
    Ok(ResidualInfo {
        sup: worst.0,
        rms: (square / (n * count) as f64).sqrt(),
        worst_point,
        worst_time: times[worst.2],
        points: n,
        times: count,
        value_bound: model.horizon() * worst.0,
    })
}

/// The nodes of the grid in the region with each cell between them divided in `refine`.
fn refined(grid: &TensorGrid, region: &Region, refine: usize) -> Result<PointBlock, HjbError> {
    let ranges = grid.region_ranges(region)?;
    let mut axes = Vec::with_capacity(grid.dim());
    for (axis, range) in grid.axes().iter().zip(ranges) {
        let nodes = &axis.nodes()[range];
        let mut line: Vec<f64> =
            nodes.windows(2).flat_map(|w| (0..refine).map(move |s| w[0] + (w[1] - w[0]) * s as f64 / refine as f64)).collect();
        line.extend(nodes.last());
        axes.push(Axis::from_nodes(line)?);
    }
    Ok(TensorGrid::new(axes)?.points())
}

/// Richardson's estimate from two grids.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RichardsonEstimate {
    /// sup |V_fine - V_coarse| on the common nodes and times.
    pub difference: f64,
    /// The same divided by 2^order - 1: the estimated error of the fine solution.
    pub fine_error: f64,
    /// Common times compared.
    pub times: usize,
}

/// Compare a solution with one on a grid of half as many cells, at the times that both store, on `region`. `order` is the
/// order of the whole method in the refinement (space and time together).
///
/// # Errors
/// Grids that are not nested, no common time, order 0, a region without common nodes.
pub fn richardson(
    coarse: &ValueFunction,
    fine: &ValueFunction,
    order: u32,
    region: Option<&Region>,
) -> Result<RichardsonEstimate, HjbError> {
    if order == 0 {
        return Err(HjbError::invalid("order", order, "at least 1"));
    }
    let (cg, fg): (&Arc<TensorGrid>, &Arc<TensorGrid>) = (coarse.grid(), fine.grid());
    HjbError::check_shape("fine.grid axes", fg.dim(), cg.dim())?;
    for (a, (c, f)) in cg.axes().iter().zip(fg.axes()).enumerate() {
        let slack = 1e-10 * (c.upper() - c.lower());
        let nested =
            f.len() == 2 * c.len() - 1 && c.nodes().iter().zip(f.nodes().iter().step_by(2)).all(|(c, f)| (c - f).abs() <= slack);
        if !nested {
            let allowed = format!("every second node a node of the coarse axis ({} nodes)", c.len());
            return Err(HjbError::invalid(&format!("fine.grid.axes[{a}].nodes"), f.len(), &allowed));
        }
    }
    let horizon = coarse.times().iter().chain(fine.times()).fold(0.0f64, |m, t| m.max(*t));
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-12 * horizon;
    let (mut difference, mut times) = (0.0f64, 0);
    let mut index = vec![0; cg.dim()];
    for (k, &t) in coarse.times().iter().enumerate() {
        let Some(q) = fine.times().iter().position(|&s| same(s, t)) else { continue };
        times += 1;
        for node in cg.region_nodes(region)? {
            cg.multi_index(node, &mut index);
            let on_fine: usize = index.iter().zip(fg.strides()).map(|(i, s)| 2 * i * s).sum();
            difference = difference.max((coarse.value(k)[node] - fine.value(q)[on_fine]).abs());
        }
    }
    if times == 0 {
        return Err(HjbError::invalid("fine.times", format!("{:?}", fine.times()), "a time that the coarse solution stores too"));
    }
    Ok(RichardsonEstimate { difference, fine_error: difference / ((1u64 << order.min(60)) - 1) as f64, times })
}
