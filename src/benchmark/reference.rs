//! What errors are measured against: a closed form, formulas of the file, or the high-order HJB solution with its own error.

use super::subject::Subject;
use super::suite::Benchmark;
use crate::problem::ControlledProblem;
use crate::run::{RegionPoints, RegionSlice, RunError};
use hjbridge_hjb::smooth::Output;
use hjbridge_hjb::{EvaluationParams, SmoothInfo, SmoothParams, SmoothSolver, ValueFunction};
use hjbridge_model::exact::{ClosedForm, closed_form};
use hjbridge_model::{CubicSpline, Extrapolation, Feedback, PointBlock, Points, PointsMut, ScalarField, TensorGrid, VectorField};
use rayon::prelude::*;
use std::sync::Arc;

/// V and v (U - s for fine-tuning) at any time and point.
pub(super) struct Reference<'a> {
    subject: &'a Subject,
    source: Source,
    /// What it is, for reports.
    pub description: String,
    /// Estimated errors of V and of v; zero for closed forms.
    pub errors: (f64, f64),
    /// The optimal objective.
    pub objective: Option<f64>,
}

enum Source {
    ClosedForm(Box<dyn ClosedForm>),
    Formulas,
    Solved(ValueFunction),
}

impl<'a> Reference<'a> {
    /// The reference of a benchmark whose runs are compared at multiples of T/`levels`.
    pub fn new(benchmark: &'a Benchmark, levels: usize) -> Result<Self, RunError> {
        let subject = &benchmark.subject;
        let (source, description, errors) = match subject {
            Subject::FineTuning(p) => match closed_form(&p.model)? {
                Some(exact) => {
                    let description = exact.description().to_string();
                    (Source::ClosedForm(exact), description, (0.0, 0.0))
                }
                None => solved(benchmark, levels)?,
            },
            Subject::Controlled(p) if formulas(p) => (Source::Formulas, "formulas of the problem file".into(), (0.0, 0.0)),
            Subject::Controlled(_) => solved(benchmark, levels)?,
        };
        let mut this = Reference { subject, source, description, errors, objective: None };
        let grid = match &this.source {
            Source::Solved(solution) => solution.grid().clone(),
            _ => subject.grid(&default_nodes(subject.dim()))?,
        };
        let v0 = this.at(0.0, &grid.points())?.value;
        this.objective = subject.objective(&grid, &v0)?;
        Ok(this)
    }

    /// The problem.
    pub fn subject(&self) -> &'a Subject {
        self.subject
    }

    /// V and v at time t on nodes of a grid. A reference on a grid that has these nodes, at one of its own times, is read off.
    pub fn at_nodes(&self, t: f64, grid: &TensorGrid, nodes: &RegionPoints) -> Result<RegionSlice, RunError> {
        let Source::Solved(solution) = &self.source else { return self.at(t, &nodes.points) };
        let level = solution.times().iter().position(|s| (s - t).abs() < 1e-12);
        let (Some(k), Some(strides)) = (level, strides(solution.grid(), grid)) else { return self.at(t, &nodes.points) };
        let mut index = vec![0; grid.dim()];
        let mut twin = |node: usize| -> usize {
            grid.multi_index(node, &mut index);
            index.iter().zip(&strides).map(|(i, s)| i * s).sum()
        };
        let twins: Vec<usize> = nodes.nodes.iter().map(|&node| twin(node)).collect();
        let (n, v, u) = (solution.grid().len(), solution.value(k), solution.control(k));
        let mut control = PointBlock::zeros(solution.control_dim(), twins.len());
        for i in 0..solution.control_dim() {
            control.as_mut().coord_mut(i).iter_mut().zip(&twins).for_each(|(c, j)| *c = u[i * n + j]);
        }
        Ok(RegionSlice { value: twins.iter().map(|&j| v[j]).collect(), control })
    }

    /// V and v at time t.
    pub fn at(&self, t: f64, x: &PointBlock) -> Result<RegionSlice, RunError> {
        let mut value = vec![0.0; x.len()];
        let mut control = PointBlock::zeros(self.subject.control_dim(), x.len());
        match &self.source {
            Source::ClosedForm(exact) => {
                let slice = exact.at(t);
                slice.value(x.as_points(), &mut value);
                slice.control(x.as_points(), control.as_mut());
                if let Some(s) = self.subject.score(t, x) {
                    control.data_mut().iter_mut().zip(s.data()).for_each(|(u, s)| *u -= s);
                }
            }
            Source::Formulas => {
                if let Subject::Controlled(p) = self.subject
                    && let Some(exact) = &p.exact
                {
                    exact.value.iter().for_each(|f| f.eval(t, x.as_points(), &mut value));
                    value.iter_mut().for_each(|v| *v *= self.subject.sign());
                    for (k, f) in exact.control.iter().flatten().enumerate() {
                        f.eval(t, x.as_points(), control.as_mut().coord_mut(k));
                    }
                }
            }
            Source::Solved(solution) => {
                let slice = solution.slice(t, EvaluationParams::default())?;
                slice.value(x.as_points(), &mut value)?;
                slice.control(x.as_points(), control.as_mut())?;
            }
        }
        Ok(RegionSlice { value, control })
    }
}

/// How far apart in `fine` the nodes of `coarse` are along each axis, when they are among them.
fn strides(fine: &TensorGrid, coarse: &TensorGrid) -> Option<Vec<usize>> {
    let axes = fine.axes().iter().zip(coarse.axes()).zip(fine.strides());
    axes.map(|((f, c), stride)| {
        let (cells, parts) = (f.len() - 1, c.len() - 1);
        let same = f.lower() == c.lower() && f.upper() == c.upper() && cells.is_multiple_of(parts);
        same.then_some(stride * (cells / parts))
    })
    .collect()
}

fn formulas(p: &ControlledProblem) -> bool {
    p.exact.as_ref().is_some_and(|e| e.value.is_some() && e.control.is_some())
}

fn default_nodes(dim: usize) -> Vec<usize> {
    vec![[1601, 257, 65][dim.clamp(1, 3) - 1]; dim]
}

/// The high-order solution, with its error from a coarser one at looser tolerance.
fn solved(benchmark: &Benchmark, levels: usize) -> Result<(Source, String, (f64, f64)), RunError> {
    let (subject, spec) = (&benchmark.subject, &benchmark.file.reference);
    let d = subject.dim();
    let nodes = spec.nodes.clone().unwrap_or_else(|| default_nodes(d));
    let tolerance = spec.tolerance.unwrap_or(if d == 1 { 1e-10 } else { 1e-7 });
    let solve = |nodes: &[usize], tolerance: f64| {
        let params = SmoothParams {
            integrator: spec.integrator.integrator(),
            rtol: tolerance,
            atol: tolerance,
            output: Output::Levels(levels),
            ..SmoothParams::default()
        };
        high_order(subject, &subject.grid(nodes)?, params).map(|(solution, _)| solution)
    };
    let fine = solve(&nodes, tolerance)?;
    let coarse = solve(&nodes.iter().map(|n| n / 2 + 1).collect::<Vec<_>>(), (100.0 * tolerance).min(1e-3))?;
    let region = RegionPoints::new(coarse.grid(), subject.region())?;
    let times = fine.times();
    let gaps = (0..times.len() - 1)
        .into_par_iter()
        .map(|k| {
            let slice = fine.slice(times[k], EvaluationParams::default())?;
            let mut value = vec![0.0; region.nodes.len()];
            let mut control = PointBlock::zeros(fine.control_dim(), region.nodes.len());
            slice.value(region.points.as_points(), &mut value)?;
            slice.control(region.points.as_points(), control.as_mut())?;
            let e = region.errors(&RegionSlice { value, control }, times[k], coarse.value(k), coarse.control(k));
            Ok((e.value.0, e.control.0))
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    let errors = gaps.into_iter().fold((0.0_f64, 0.0_f64), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    let shape = nodes.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
    let description = format!("HJB of order 8, {shape} nodes, tolerance {tolerance:.0e}");
    Ok((Source::Solved(fine), description, errors))
}

/// The high-order solver on the problem.
pub(super) fn high_order(
    subject: &Subject,
    grid: &Arc<TensorGrid>,
    params: SmoothParams,
) -> Result<(ValueFunction, SmoothInfo), RunError> {
    Ok(SmoothSolver::new(subject.model().get(), grid.clone(), params)?.solve()?)
}

/// The reference's control as a feedback: splines on a grid, made at each time asked for.
pub(super) struct ReferenceFeedback<'a> {
    reference: &'a Reference<'a>,
    grid: Arc<TensorGrid>,
    nodes: RegionPoints,
}

impl<'a> ReferenceFeedback<'a> {
    pub fn new(reference: &'a Reference<'a>, grid: Arc<TensorGrid>) -> Self {
        let nodes = RegionPoints { nodes: (0..grid.len()).collect(), points: grid.points() };
        ReferenceFeedback { reference, grid, nodes }
    }

    fn splines(&self, t: f64) -> Result<Vec<CubicSpline>, RunError> {
        let control = self.reference.at_nodes(t, &self.grid, &self.nodes)?.control;
        let spline = |k: usize| Ok(CubicSpline::new(self.grid.clone(), control.coord(k), Extrapolation::Linear)?);
        (0..control.dim()).map(spline).collect()
    }
}

impl Feedback for ReferenceFeedback<'_> {
    fn dim(&self) -> usize {
        self.grid.dim()
    }
    fn control_dim(&self) -> usize {
        self.reference.subject.control_dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        // what cannot be had is not a number, which every user of a feedback refuses
        Box::new(Splines(self.splines(t).unwrap_or_default()))
    }
}

struct Splines(Vec<CubicSpline>);

impl VectorField for Splines {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        if self.0.is_empty() {
            out.fill(f64::NAN);
        }
        for (i, spline) in self.0.iter().enumerate() {
            spline.value(x, out.coord_mut(i));
        }
    }
}
