//! The errors that the measurement itself makes, beside the time error that it is after: of the grid, the quadrature, the inner
//! iteration and the reference. Nothing is sampled in it, so that there is no Monte Carlo error.
//!
//! * space: the sweep on every second and every fourth node; the differences e_1 = |V - V_half|, e_2 = |V_half - V_quarter| give the
//!   order p = log2(e_2/e_1), at most 4, that of the splines, and the error e_1/(2^p - 1) of the full grid. Where the order seen is
//!   below 1 the grid is not in its asymptotic range, and all of e_1 is taken.
//! * quadrature: the change on the half grid when the Gauss-Hermite nodes are doubled. Splines are what the rule integrates badly,
//!   and those of the half grid more so.
//! * inner iteration: the bound |u^(m) - u*| <= e_k of each step, from its last defect, for the control; for the value its square,
//!   sum_k (1 + rho_-) beta_k (1 - a_k)^2 / (2 a_k sig_k^2) e_k^2, because u* maximises.
//! * reference: none for a closed form; otherwise what extrapolation changed in the HJB solution.
//!
//! All over the comparison box and all t_k, like the time error. The refinement acts on the largest part until the sum is below a
//! tenth of the time error: nodes are doubled along each axis, quadrature nodes doubled, the inner tolerance divided by 100, steps
//! and nodes of the HJB solution doubled.

use super::reference::{Reference, common_steps};
use super::run::{BridgeRun, bridge};
use super::subdivide::subdivided;
use super::sweep::Sweep;
use crate::problem::Problem;
use crate::problem::spec::StopSpec;
use crate::run::{Part, Progress, RegionPoints, RunError, is_cancelled, needs};
use hjbridge_model::{Axis, TensorGrid};
use serde::Serialize;
use std::sync::Arc;

/// The bridge's own errors of one N.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OwnErrors {
    /// N.
    pub n: usize,
    /// Of the value.
    pub value: OwnParts,
    /// Of the control.
    pub control: OwnParts,
    /// Gauss-Hermite nodes per axis.
    pub quadrature_nodes: usize,
}

/// The parts of one error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct OwnParts {
    /// Of the grid; null where it could not be estimated (see `own_errors_notes`).
    pub spatial: Option<f64>,
    /// The order in the spacing that was seen.
    pub spatial_order: Option<f64>,
    /// Of the Gauss-Hermite rule; null as `spatial`.
    pub quadrature: Option<f64>,
    /// Of the inner iteration.
    pub inner: f64,
    /// Of the reference solution; null where nothing is known of it.
    pub reference: Option<f64>,
    /// Nothing is sampled.
    pub monte_carlo: f64,
    /// The sum of what is known.
    pub total: f64,
    /// Over the time error measured.
    pub ratio_to_time_error: f64,
}

impl OwnParts {
    fn sum(mut self, time_error: f64) -> Self {
        self.total = self.spatial.unwrap_or(0.0) + self.quadrature.unwrap_or(0.0) + self.inner + self.reference.unwrap_or(0.0);
        self.ratio_to_time_error = self.total / time_error;
        self
    }

    fn add_space(&mut self, half: f64, quarter: f64) {
        let order = (quarter / half).log2();
        self.spatial_order = order.is_finite().then_some(order);
        self.spatial = Some(if order >= 1.0 { half / (order.min(4.0).exp2() - 1.0) } else { half });
    }
}

/// What the total may be of the time error.
const SHARE: f64 = 0.1;

/// Own errors below this part of the size of the objective, or this, are not refined, however small the time error: a chain without
/// any (the soft step with the variance of a Gaussian law) would ask for it in vain.
const NEGLIGIBLE: f64 = 1e-7;

/// Most node-steps, of the sweeps and the HJB solution together, that a refinement may ask for: a minute or so. Those in the plane
/// and in space count three times, those with a network's score ten times more.
const MOST_NODE_STEPS: f64 = 4e7;

/// Most refinements.
const ROUNDS: usize = 4;

/// Fewest nodes along an axis of the coarsest grid.
const FEWEST: usize = 9;

impl OwnErrors {
    /// Of a sweep whose errors against the reference are `time_error` (V, U).
    pub(super) fn of(
        problem: &Problem,
        sweep: &Sweep,
        reference: &Reference,
        time_error: (f64, f64),
        progress: &dyn Progress,
    ) -> Result<Self, RunError> {
        let nodes = sweep.info.quadrature.nodes_per_axis;
        let (mut value, mut control) = (OwnParts::default(), OwnParts::default());
        (value.inner, control.inner) = inner(sweep);
        (value.reference, control.reference) = match (reference.exact(), reference.change) {
            (Some(_), _) => (Some(0.0), Some(0.0)),
            (None, change) => change.unzip(),
        };
        progress.begin(&format!("own errors, N = {}", sweep.steps), 1);
        let coarser = on_coarser_grids(problem, sweep, nodes, &Part(progress));
        progress.end();
        if let Some([first, second, doubled]) = coarser? {
            value.add_space(first.0, second.0);
            control.add_space(first.1, second.1);
            (value.quadrature, control.quadrature) = (Some(doubled.0), Some(doubled.1));
        }
        let (value, control) = (value.sum(time_error.0), control.sum(time_error.1));
        Ok(OwnErrors { n: sweep.steps, value, control, quadrature_nodes: nodes })
    }

    /// Whether both totals are below a tenth of the time error.
    pub fn small(&self) -> bool {
        self.value.ratio_to_time_error <= SHARE && self.control.ratio_to_time_error <= SHARE
    }

    /// The part to be made smaller: that which is the largest over its time error.
    fn largest(&self) -> &'static str {
        let parts = |p: &OwnParts| {
            let scale = if p.total > 0.0 { p.ratio_to_time_error / p.total } else { 0.0 };
            [
                ("spatial", p.spatial.unwrap_or(0.0) * scale),
                ("quadrature", p.quadrature.unwrap_or(0.0) * scale),
                ("inner", p.inner * scale),
                ("reference", p.reference.unwrap_or(0.0) * scale),
            ]
        };
        let all = parts(&self.value).into_iter().chain(parts(&self.control));
        all.max_by(|a, b| a.1.total_cmp(&b.1)).map_or("spatial", |p| p.0)
    }
}

/// One part made smaller, with what was done in words; or why it cannot be.
fn refined(problem: &Problem, own: &OwnErrors, steps: &[usize]) -> Result<(Problem, String), String> {
    let mut finer = problem.clone();
    let part = own.largest();
    let done = match part {
        "quadrature" => {
            let nodes = 2 * own.quadrature_nodes;
            if nodes > 64 {
                return Err(format!("the quadrature, {} nodes along each axis, has no finer rule", own.quadrature_nodes));
            }
            finer.file.pift.quadrature_nodes = Some(nodes);
            format!("{nodes} Gauss-Hermite nodes along each axis")
        }
        "inner" if finer.file.pift.iterations.is_some() => {
            return Err("the number of inner iterations is fixed by the problem".into());
        }
        "inner" if finer.file.pift.stop == StopSpec::BelowStep => {
            return Err("the inner iteration stops below the square of the step, as the problem asks".into());
        }
        "inner" => {
            finer.file.pift.tolerance *= 1e-2;
            if finer.file.pift.tolerance < 1e-14 {
                return Err("the inner iteration is at rounding level".into());
            }
            format!("inner tolerance {:.0e}", finer.file.pift.tolerance)
        }
        _ => {
            let axes = problem.grid.axes().iter().map(|a| subdivided(a, 2)).collect::<Result<Vec<_>, _>>();
            let grid = axes.and_then(|axes| Ok(TensorGrid::new(axes)?)).map_err(|e| e.to_string())?;
            finer.file.grid.nodes = grid.shape().to_vec();
            finer.grid = Arc::new(grid);
            if part == "reference" {
                finer.file.time_steps *= 2;
            }
            format!("{:?} nodes{}", finer.file.grid.nodes, if part == "reference" { " and twice the HJB time steps" } else { "" })
        }
    };
    let dear = (if finer.dim() > 1 { 3.0 } else { 1.0 }) * (if finer.network.is_some() { 10.0 } else { 1.0 });
    let work = dear * finer.grid.len() as f64 * (steps.iter().sum::<usize>() + finer.file.time_steps) as f64;
    if work > MOST_NODE_STEPS {
        return Err(format!("{done} would be the work of {work:.1e} node-steps on a line, more than {MOST_NODE_STEPS:.0e}"));
    }
    let hjb_steps = common_steps(finer.file.time_steps, steps);
    // beside the run that is there, in case this one is not finished
    let beside = needs::bridge(problem, common_steps(problem.file.time_steps, steps), steps);
    needs::check(&finer.grid, Some(hjb_steps), needs::bridge(&finer, hjb_steps, steps) + beside)
        .map_err(|e| format!("{done}: {e}"))?;
    Ok((finer, format!("{part} error: {done}")))
}

/// [`bridge`](super::bridge()) on grids, rules and tolerances that are refined until its own errors are below a tenth of the time
/// error for every N, or cannot be; the problem as it was refined last, and its run, which says what was done.
///
/// # Errors
/// As [`bridge`](super::bridge()).
pub fn bridge_refined(problem: &Problem, steps: &[usize], progress: &dyn Progress) -> Result<(Problem, BridgeRun), RunError> {
    let (mut problem, mut done) = (problem.clone(), Vec::new());
    let mut run = bridge(&problem, steps, progress)?;
    loop {
        let ratio = |o: &OwnErrors| o.value.ratio_to_time_error.max(o.control.ratio_to_time_error);
        let size = run.report.objective.iter().fold(1.0, |m: f64, j| m.max(j.abs()));
        let counts = |o: &&OwnErrors| !o.small() && o.value.total.max(o.control.total) > NEGLIGIBLE * size;
        let worst = run.report.own_errors.iter().filter(counts).max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let next = match worst {
            Some(worst) if run.failure.is_none() => refined(&problem, worst, steps),
            _ => {
                run.report.refinements = done;
                return Ok((problem, run));
            }
        };
        match next {
            Ok((finer, what)) if done.len() < ROUNDS => {
                let failure = match bridge(&finer, steps, progress) {
                    Ok(BridgeRun { failure: Some(e), .. }) | Err(e) => e,
                    Ok(finer_run) => {
                        (problem, run) = (finer, finer_run);
                        done.push(what);
                        continue;
                    }
                };
                // the run before it is whole
                run.report.own_errors_notes.push(format!("not refined for the {what}: {failure}"));
                run.failure = is_cancelled(progress).then_some(RunError::Cancelled);
                run.report.refinements = done;
                return Ok((problem, run));
            }
            other => {
                let why = other.err().unwrap_or_else(|| format!("{ROUNDS} refinements were made"));
                run.report.own_errors_notes.push(format!("own errors above a tenth of the time error: {why}"));
                run.report.refinements = done;
                return Ok((problem, run));
            }
        }
    }
}

/// Changes of V and of u from the grid to half of its nodes, from there to a quarter, and from doubled quadrature nodes on the half
/// grid; `None` where the grid is too small for that.
fn on_coarser_grids(
    problem: &Problem,
    sweep: &Sweep,
    quadrature: usize,
    progress: &dyn Progress,
) -> Result<Option<[(f64, f64); 3]>, RunError> {
    let half = thinned(&problem.grid).map(Arc::new);
    let quarter = half.as_ref().and_then(|g| thinned(g)).map(Arc::new);
    let (Some(half), Some(quarter)) = (half, quarter) else { return Ok(None) };
    let on = |grid: &Arc<TensorGrid>, quadrature: usize| {
        let mut coarse = problem.clone();
        coarse.grid = grid.clone();
        coarse.file.pift.quadrature_nodes = Some(quadrature);
        Sweep::run(&coarse, sweep.steps, progress)
    };
    let at_half = on(&half, quadrature)?;
    Ok(Some([
        distance(problem, (&problem.grid, sweep), (&half, &at_half))?,
        distance(problem, (&half, &at_half), (&quarter, &on(&quarter, quadrature)?))?,
        distance(problem, (&half, &on(&half, 2 * quadrature)?), (&half, &at_half))?,
    ]))
}

/// Bounds on the error of V and of u that the inner iteration leaves.
fn inner(sweep: &Sweep) -> (f64, f64) {
    let noisy = sweep.info.steps.iter().filter(|s| s.sigma > 0.0);
    noisy.fold((0.0, 0.0), |(value, control), s| {
        let weight = s.kl_weight * (1.0 - s.alpha).powi(2) / (2.0 * s.alpha * s.sigma * s.sigma);
        (value + (1.0 + s.rho_minus) * weight * s.error_bound.powi(2), s.error_bound.max(control))
    })
}

/// Every second node of each axis, and the last one; `None` for fewer than nine nodes along an axis.
fn thinned(grid: &TensorGrid) -> Option<TensorGrid> {
    let axis = |a: &Axis| {
        let x = a.nodes();
        let mut nodes: Vec<f64> = x.iter().copied().step_by(2).collect();
        if nodes.len() < FEWEST {
            return None;
        }
        if x.len().is_multiple_of(2) {
            nodes.push(a.upper());
        } else if a.spacing().is_some() {
            return Axis::uniform(a.lower(), a.upper(), nodes.len()).ok();
        }
        Axis::from_nodes(nodes).ok()
    };
    TensorGrid::new(grid.axes().iter().map(axis).collect::<Option<Vec<_>>>()?).ok()
}

/// sup |V - V'| and sup |u - u'| over the nodes of the comparison box on the coarser grid that belong to both, and over all t_k.
fn distance(
    problem: &Problem,
    (fine_grid, fine): (&TensorGrid, &Sweep),
    (coarse_grid, coarse): (&TensorGrid, &Sweep),
) -> Result<(f64, f64), RunError> {
    let region = RegionPoints::new(coarse_grid, &problem.compare_on)?;
    let d = coarse_grid.dim();
    let stride = if fine_grid.len() == coarse_grid.len() { 1 } else { 2 };
    let mut index = vec![0; d];
    let pairs: Vec<(usize, usize)> = region
        .nodes
        .iter()
        .filter_map(|&node| {
            coarse_grid.multi_index(node, &mut index);
            index.iter_mut().for_each(|i| *i *= stride);
            Some((node, fine_grid.flat_index(&index)?))
        })
        .collect();
    let (n, m) = (coarse_grid.len(), fine_grid.len());
    let mut worst = (0.0f64, 0.0f64);
    for k in 0..fine.times.len() {
        for &(c, f) in &pairs {
            worst.0 = worst.0.max((fine.values[k][f] - coarse.values[k][c]).abs());
            if fine.noisy[k] {
                let gap = |i: usize| (fine.controls[k][i * m + f] - coarse.controls[k][i * n + c]).powi(2);
                worst.1 = worst.1.max((0..d).map(gap).sum::<f64>().sqrt());
            }
        }
    }
    Ok(worst)
}
