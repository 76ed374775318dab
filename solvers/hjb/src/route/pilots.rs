//! Solutions on the full and on coarser grids, and what is read off them: differences, work, the certificates' common part.

use crate::certificate::residual::{Equation, residual};
use crate::certificate::richardson::{Difference, Gap, difference};
use crate::certificate::truncation::BoxTest;
use crate::certificate::{AccuracyCertificate, CoarseGrid, ResidualCertificate, coarsen};
use crate::error::HjbError;
use crate::params::HjbParams;
use crate::route::choose::{Observer, RouteSolver};
use crate::route::params::{Route, RouteChoice, RouteParams, RouteView};
use crate::route::run::{Observe, Problem, Run, RunInfo, cole_hopf, high_order, integrator, monotone};
use crate::smooth::{Integrator, Output, SmoothParams};
use crate::solution::ValueFunction;
use crate::space::Space;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;
use std::time::Instant;

/// Step counts are multiples of this, so that the times compared are levels on three grids.
const STEP_MULTIPLE: usize = 64;
/// Tolerance of the pilot solutions of the high-order route.
const PILOT_TOLERANCE: f64 = 1e-5;
/// The error in time is measured on the quarter grid with a tolerance this many times larger.
pub(super) const LOOSER: f64 = 8.0;
/// The error in time of the integrators falls at least like this power of the tolerance.
pub(super) const TOLERANCE_POWER: f64 = 2.0 / 3.0;

/// The two coarser grids.
pub(super) struct Coarser {
    pub(super) half: CoarseGrid,
    pub(super) quarter: Option<CoarseGrid>,
}

/// Solutions of one route on the coarser grids and their difference.
pub(super) struct Pilots {
    pub(super) half: Run,
    pub(super) quarter: Option<Run>,
    /// Errors in time on the quarter grid, of an integrator with a tolerance.
    pub(super) time_error: Option<TimeError>,
    pub(super) seconds: f64,
}

/// Errors in time of an integrator with a tolerance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimeError {
    /// Over the times compared.
    pub(super) all: Gap,
    /// At t = 0.
    pub(super) start: Option<Gap>,
}

impl TimeError {
    /// The error at the smaller of two tolerances from the difference of the solutions, with `ratio` the ratio of the errors.
    pub(super) fn of_smaller(apart: &Difference, ratio: f64) -> Self {
        let share = ratio / (1.0 - ratio).max(f64::EPSILON);
        TimeError { all: apart.all.scaled(share), start: apart.start.map(|s| s.scaled(share)) }
    }

    pub(super) fn scaled(self, by: f64) -> Self {
        TimeError { all: self.all.scaled(by), start: self.start.map(|s| s.scaled(by)) }
    }

    pub(super) fn max(self, other: Self) -> Self {
        let start = match (self.start, other.start) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        TimeError { all: self.all.max(other.all), start }
    }
}

impl RouteSolver<'_> {
    /// Order of the differences of the high-order route: that asked for, or when the route is chosen the highest below it whose
    /// stencils fit the quarter grid, without which there is no certificate.
    pub(super) fn order(&self) -> usize {
        let asked = self.params.order;
        let Ok(Coarser { quarter: Some(quarter), .. }) = self.coarser() else { return asked };
        let least = quarter.grid.axes().iter().map(|axis| axis.len()).min().unwrap_or(0);
        let fits = |order: &usize| *order <= asked && least >= order + 2;
        match self.params.choice {
            RouteChoice::Auto => [8, 6, 4].into_iter().find(fits).unwrap_or(asked),
            _ => asked,
        }
    }

    pub(super) fn coarser(&self) -> Result<Coarser, HjbError> {
        let half = coarsen(&self.grid)?;
        let quarter = coarsen(&half.grid).ok();
        Ok(Coarser { half, quarter })
    }

    /// Time steps of the monotone route at full size.
    pub(super) fn steps(&self) -> usize {
        steps(&self.params)
    }

    /// By the monotone or the Cole-Hopf route.
    pub(super) fn stepped_run(
        &self,
        route: Route,
        grid: &Arc<TensorGrid>,
        halvings: u32,
        residual: bool,
        full: Option<(usize, &mut Observer<'_>)>,
    ) -> Result<Run, HjbError> {
        let params = HjbParams { steps: self.steps() >> halvings, ..self.params.monotone };
        self.run(route, full, |emit, observe| match route {
            Route::ColeHopf => cole_hopf(self.problem, grid, params, &self.variation, residual, emit, observe),
            _ => monotone(self.problem, grid, params, &self.variation, residual, emit, observe),
        })
    }

    pub(super) fn high_order_run(
        &self,
        grid: &Arc<TensorGrid>,
        tolerance: f64,
        residual: bool,
        full: Option<(usize, &mut Observer<'_>)>,
    ) -> Result<Run, HjbError> {
        let params = SmoothParams {
            order: self.order(),
            integrator: self.integrator(),
            rtol: tolerance,
            atol: tolerance,
            memory_limit: self.params.monotone.memory_limit,
            ..Default::default()
        };
        self.run(Route::HighOrder, full, |emit, observe| {
            high_order(self.problem, grid, params, &self.variation, residual, emit, observe)
        })
    }

    /// Run with the output times handed to the observer at full size.
    pub(super) fn run(
        &self,
        route: Route,
        full: Option<(usize, &mut Observer<'_>)>,
        solve: impl FnOnce(&[f64], &mut Observe<'_>) -> Result<Run, HjbError>,
    ) -> Result<Run, HjbError> {
        match full {
            None => solve(&[], &mut |_, _, _, _| {}),
            Some((attempt, observe)) => solve(&self.times, &mut |level, t, value, control| {
                observe(RouteView { attempt, route, level, t, value, control });
            }),
        }
    }

    pub(super) fn stepped_pilots(&self, route: Route, grids: &Coarser) -> Result<Pilots, HjbError> {
        let clock = Instant::now();
        let quarter = match &grids.quarter {
            Some(quarter) => Some(self.stepped_run(route, &quarter.grid, 2, false, None)?),
            None => None,
        };
        let half = self.stepped_run(route, &grids.half.grid, 1, true, None)?;
        Ok(Pilots { half, quarter, time_error: None, seconds: clock.elapsed().as_secs_f64() })
    }

    pub(super) fn high_order_pilots(&self, grids: &Coarser) -> Result<Pilots, HjbError> {
        let clock = Instant::now();
        let tolerance = self.pilot_tolerance();
        let (mut quarter, mut time_error) = (None, None);
        if let Some(grid) = &grids.quarter {
            let at = self.high_order_run(&grid.grid, tolerance, false, None)?;
            let loose = self.high_order_run(&grid.grid, (LOOSER * tolerance).min(0.1), false, None)?;
            let ratio = (tolerance / (LOOSER * tolerance).min(0.1)).powf(TOLERANCE_POWER);
            time_error = Some(TimeError::of_smaller(&self.gap(&at, &loose)?, ratio));
            quarter = Some(at);
        }
        let half = self.high_order_run(&grids.half.grid, tolerance, true, None)?;
        Ok(Pilots { half, quarter, time_error, seconds: clock.elapsed().as_secs_f64() })
    }

    /// The integrator of the high-order route.
    pub(super) fn integrator(&self) -> Integrator {
        self.params.integrator.unwrap_or(integrator(self.grid.dim()))
    }

    pub(super) fn pilot_tolerance(&self) -> f64 {
        self.params.tolerance.map_or(PILOT_TOLERANCE, |t| t.max(PILOT_TOLERANCE))
    }

    /// Formal order of the monotone route.
    pub(super) fn monotone_order(&self) -> f64 {
        let space = if self.params.monotone.space == Space::Upwind { 1 } else { 2 };
        f64::from(space.min(self.params.monotone.time.order()))
    }

    pub(super) fn gap(&self, fine: &Run, coarse: &Run) -> Result<Difference, HjbError> {
        let Problem { model, target, .. } = self.problem;
        difference(&fine.kept, &coarse.kept, &self.region, model.horizon(), target.map(|t| t.0))
    }

    /// Work at full size from a run this many halvings below.
    pub(super) fn extrapolated_work(&self, run: &Run, ratio: f64, halvings: i32) -> f64 {
        let dim = self.grid.dim() as i32;
        // Steps, or stages of a stabilised method, grow with the number of cells per axis; steps of an implicit one do not.
        let power = match &run.info {
            RunInfo::HighOrder(i) if i.integrator != Integrator::Rkc => dim,
            _ => dim + 1,
        };
        run.info.work(self.grid.dim()) * ratio.powi(power * halvings)
    }

    /// The residual and the notes.
    pub(super) fn finish_certificate(
        &self,
        certificate: &mut AccuracyCertificate,
        full: &Run,
        half: Option<(&Run, f64)>,
    ) -> Result<(), HjbError> {
        let model = self.problem.model;
        match self.residual_of(full) {
            Err(e) => certificate.notes.push(format!("no residual: {e}")),
            Ok(mut found) => {
                if let Some((half, ratio)) = half {
                    let coarse = self.residual_of(half)?;
                    found.order = (found.sup > 0.0 && coarse.sup > 0.0).then(|| (coarse.sup / found.sup).ln() / ratio.ln());
                }
                certificate.residual = Some(found);
            }
        }
        certificate.annotate(model, &full.kept, &self.region, model.horizon())
    }

    /// How the box is judged.
    pub(super) fn box_test(&self) -> BoxTest<'_> {
        let Problem { model, target, .. } = self.problem;
        let faces = self.params.monotone.boundary;
        BoxTest { model, faces, region: &self.region, end: model.horizon(), target: target.map(|t| t.0) }
    }

    /// The residual of a run that kept the levels for it.
    pub(super) fn residual_of(&self, run: &Run) -> Result<ResidualCertificate, HjbError> {
        let mut windows = run.windows(self.problem.model.horizon());
        windows.truncate(self.params.residual.times);
        residual(self.equation(), run.kept.grid(), &windows, &self.region, self.params.residual)
    }

    pub(super) fn equation(&self) -> Equation<'_> {
        let Problem { model, sense, obstacle, target, .. } = self.problem;
        Equation { model, sense, obstacle, target: target.map(|t| t.0) }
    }

    /// sup |V| over the region at the times kept.
    pub(super) fn region_sup(&self, v: &ValueFunction) -> Result<f64, HjbError> {
        let nodes: Vec<usize> = v.grid().region_nodes(Some(&self.region))?.collect();
        Ok((0..v.times().len()).flat_map(|k| nodes.iter().map(move |&j| v.value(k)[j].abs())).fold(0.0, f64::max))
    }
}

/// Time steps of the monotone route at full size.
pub(super) fn steps(params: &RouteParams) -> usize {
    let least = params.monotone.steps;
    let plain = least.div_ceil(STEP_MULTIPLE) * STEP_MULTIPLE;
    let levels = match &params.output {
        Output::Levels(levels) => *levels,
        Output::Times(_) => 1,
    };
    let common = STEP_MULTIPLE / gcd(STEP_MULTIPLE, levels) * levels;
    let both = least.div_ceil(common) * common;
    if both <= 2 * plain { both } else { plain }
}

/// sup |V| over all that a run kept.
pub(super) fn sup(v: &ValueFunction) -> f64 {
    (0..v.times().len()).map(|k| crate::norms::sup(v.value(k))).fold(0.0, f64::max)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
