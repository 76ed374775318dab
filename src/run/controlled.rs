//! `solve` on a controlled diffusion given by formulas.

use super::norms::{RegionPoints, RegionSlice, SupError, worst};
use super::route::{Equation, RouteReport};
use super::{Progress, RunError, needs};
use crate::problem::ControlledProblem;
use crate::problem::controlled_spec::{ControlsSpec, FaceSpec, SenseSpec};
use hjbridge_hjb::{EvaluationParams, Face, FaceValues, Faces, HjbError, Obstacle, TargetSet, ValueSlice};
use hjbridge_model::{ControlCost, ControlSet, ControlledDiffusion, Interpolation, MatrixCoefficient, PointBlock};
use serde::Serialize;

/// Section `controlled` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct ControlledReport {
    /// Wall time of the solver, in seconds, without comparisons and output; with the choice of the route where there is one.
    pub seconds: f64,
    /// How it was solved, and how accurately.
    #[serde(flatten)]
    pub route: RouteReport,
    /// Whether the problem has no horizon.
    pub stationary: bool,
    /// Whether the functional was maximised or minimised.
    pub sense: SenseSpec,
    /// V and v at the points of `start` at t = 0; empty when t = 0 was not reached.
    pub start: Vec<StartValue>,
    /// sup |V - V_exact| over the comparison box and all stored t < T; null without `exact.value`.
    pub value_error: Option<f64>,
    /// Where it is.
    pub value_error_at: Option<SupError>,
    /// sup |v - v_exact| over the same; null without `exact.control`.
    pub control_error: Option<f64>,
    /// Where it is.
    pub control_error_at: Option<SupError>,
    /// Time levels finished; fewer than asked after a failure.
    pub levels_finished: usize,
}

/// The solution at a point of `start`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StartValue {
    /// The point.
    pub x: Vec<f64>,
    /// V(0, x), by a cubic spline between the nodes.
    pub value: f64,
    /// v(0, x): by a cubic spline when the controls are free, otherwise multilinear (so that it stays in the set's hull).
    pub control: Vec<f64>,
    /// The known V(0, x).
    pub exact_value: Option<f64>,
    /// The known v(0, x).
    pub exact_control: Option<Vec<f64>>,
}

/// The solution and its report.
pub struct ControlledRun {
    /// The report section.
    pub report: ControlledReport,
    /// Stored times, ascending; 0 alone for a stationary problem.
    pub times: Vec<f64>,
    /// V at the nodes.
    pub values: Vec<Vec<f64>>,
    /// v at the nodes, component by component.
    pub controls: Vec<Vec<f64>>,
    /// Why the solver stopped early, if it did.
    pub failure: Option<RunError>,
}

/// The equation of this problem, with `levels` intervals between the times wanted.
pub(super) fn equation(problem: &ControlledProblem, levels: usize) -> Equation<'_> {
    Equation {
        model: &problem.model,
        grid: &problem.grid,
        sense: problem.sense,
        region: &problem.compare_on,
        faces: faces(problem),
        obstacle: problem.obstacle.as_ref().map(|o| o as &dyn Obstacle),
        target: problem.target.as_ref().map(|t| (t as &dyn TargetSet, t.placement)),
        face_values: problem.face_value.as_ref().map(|f| f as &dyn FaceValues),
        scheme: problem.file.scheme,
        steps: problem.file.time_steps,
        levels,
    }
}

/// Solve by the route of the scheme; `levels` is the number of intervals between stored times where a route is chosen.
///
/// # Errors
/// Input that does not fit, formulas that are not finite on the grid among it. A numerical failure is returned inside the run,
/// with the levels finished.
pub fn solve_controlled(problem: &ControlledProblem, levels: usize, progress: &dyn Progress) -> Result<ControlledRun, RunError> {
    let steps = (!problem.is_stationary()).then_some(problem.file.time_steps);
    needs::check(&problem.grid, steps, needs::solve_controlled(problem, levels))?;
    problem.model.clear_fault();
    let equation = equation(problem, levels);
    let outcome = if problem.is_stationary() { equation.stationary(progress) } else { equation.solve(progress) };
    // a formula that is not finite is the cause of whatever the solver says; `check` finds the same point, wherever the solver
    // happened to look first
    let explained = |e: HjbError| match problem.model.fault() {
        Some(fault) => evaluate_everywhere(problem).err().unwrap_or_else(|| fault.into()),
        None => RunError::from(e),
    };
    let solved = outcome.map_err(explained)?;
    if solved.failure.is_none() {
        // what was tried beyond the box, for the certificate, is no fault of the problem
        problem.model.clear_fault();
    }
    let failure = match solved.failure.map(explained) {
        Some(e) if solved.times.is_empty() || e.is_input() => return Err(e),
        other => other,
    };
    let mut report = ControlledReport {
        seconds: solved.seconds,
        route: solved.report,
        stationary: problem.is_stationary(),
        sense: problem.file.sense,
        start: Vec::new(),
        value_error: None,
        value_error_at: None,
        control_error: None,
        control_error_at: None,
        levels_finished: solved.times.len(),
    };
    let starts = match failure {
        None => start_values(problem, &solved.values[0], &solved.controls[0]),
        Some(_) => Ok(Vec::new()),
    };
    // a known solution that is not finite is said in the words of `check` too
    let as_checked = |e: RunError| evaluate_everywhere(problem).err().unwrap_or(e);
    report.start = starts.map_err(as_checked)?;
    compare(problem, &solved.times, &solved.values, &solved.controls, &mut report).map_err(as_checked)?;
    Ok(ControlledRun { report, times: solved.times, values: solved.values, controls: solved.controls, failure })
}

/// Evaluate every formula on the grid where the solver will, those of time at both ends: what is not finite there is found without
/// solving. The cost of the control is taken at the corners of a box and at the controls of a list, target values in the target,
/// face values on their faces, known solutions where they are compared, before T.
///
/// # Errors
/// The first fault, by formula and point.
pub fn evaluate_everywhere(problem: &ControlledProblem) -> Result<(), RunError> {
    let (model, points) = (&problem.model, problem.grid.points());
    let (x, n) = (points.as_points(), points.len());
    let (d, m, q) = (model.dim(), model.control_dim(), model.noise_dim());
    model.clear_fault();
    let mut out = vec![0.0; n];
    let field = |matrix: MatrixCoefficient<'_>, entries: usize| {
        if let MatrixCoefficient::Field(field) = matrix {
            field.eval(x, PointBlock::zeros(entries, n).as_mut());
        }
    };
    let horizon = problem.file.horizon.unwrap_or(0.0);
    let times = if horizon > 0.0 { vec![horizon, 0.0] } else { vec![0.0] };
    let corners = if model.control_cost() == ControlCost::General { corners(&model.control_set()) } else { Vec::new() };
    let sides = faces(problem);
    let on_face = selected(&points, |_, p| {
        (0..d).any(|i| {
            let axis = problem.grid.axis(i);
            let here = |upper: bool| p[i] == if upper { axis.upper() } else { axis.lower() };
            [false, true].into_iter().any(|upper| here(upper) && sides.face(i, upper) == Face::Dirichlet)
        })
    });
    let mut level = vec![1.0; n];
    if let Some(target) = &problem.target {
        target.level(x, &mut level);
    }
    let in_target = selected(&points, |j, _| level[j] <= 0.0);
    for &t in &times {
        let at = model.at(t);
        at.drift(x, PointBlock::zeros(d, n).as_mut());
        at.running_reward(x, &mut out);
        field(at.diffusion(), d * q);
        if m > 0 {
            field(at.control_matrix(), d * m);
            field(at.control_weight(), m * m);
        }
        for corner in &corners {
            let mut v = PointBlock::zeros(m, n);
            corner.iter().enumerate().for_each(|(k, c)| v.as_mut().coord_mut(k).fill(*c));
            at.control_cost(x, v.as_points(), &mut out);
        }
        if let Some(obstacle) = &problem.obstacle {
            obstacle.payoff(t, x, &mut out);
        }
        if let Some(values) = problem.face_value.as_ref().filter(|_| !on_face.is_empty()) {
            values.value_at(t, on_face.as_points(), &mut out[..on_face.len()]);
        }
        if let Some(target) = problem.target.as_ref().filter(|_| !in_target.is_empty()) {
            target.value_at(t, in_target.as_points(), &mut out[..in_target.len()]);
        }
        if let Some(fault) = model.fault() {
            return Err(fault.into());
        }
    }
    model.terminal_reward(x, &mut out);
    if let Some(fault) = model.fault() {
        return Err(fault.into());
    }
    let mut compared = RegionPoints::new(&problem.grid, &problem.compare_on)?;
    if let Some(target) = &problem.target {
        let mut level = vec![0.0; compared.nodes.len()];
        target.level(compared.points.as_points(), &mut level);
        compared = compared.select(|j| level[j] > 0.0);
    }
    // known solutions are often singular at T, where they are not compared
    for t in if horizon > 0.0 { vec![0.5 * horizon, 0.0] } else { vec![0.0] } {
        if !compared.points.is_empty() {
            exact_slice(problem, t, &compared.points)?;
        }
    }
    if !problem.start.is_empty() {
        exact_slice(problem, 0.0, &problem.start)?;
    }
    Ok(())
}

/// Most corners of a box of controls that are tried.
const MOST_CORNERS: usize = 256;

/// The corners of a box of controls; the controls of a list.
fn corners(set: &ControlSet) -> Vec<Vec<f64>> {
    match set {
        ControlSet::Free => Vec::new(),
        ControlSet::Finite { controls } => controls.clone(),
        ControlSet::Box { lower, upper } => {
            let count = 1usize.checked_shl(lower.len() as u32).unwrap_or(MOST_CORNERS).min(MOST_CORNERS);
            let corner = |bits: usize| (0..lower.len()).map(|k| if bits >> k & 1 == 1 { upper[k] } else { lower[k] }).collect();
            (0..count).map(corner).collect()
        }
    }
}

/// The points that are wanted, by number and place.
fn selected(points: &PointBlock, wanted: impl Fn(usize, &[f64]) -> bool) -> PointBlock {
    let mut p = vec![0.0; points.dim()];
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for j in 0..points.len() {
        points.as_points().copy_point(j, &mut p);
        if wanted(j, &p) {
            rows.push(p.clone());
        }
    }
    PointBlock::from_points(points.dim(), &rows).unwrap_or_else(|| PointBlock::zeros(points.dim(), 0))
}

fn faces(problem: &ControlledProblem) -> Faces {
    let kind = |f: FaceSpec| match f {
        FaceSpec::Extrapolated => Face::Extrapolated,
        FaceSpec::Reflecting => Face::Reflecting,
        FaceSpec::Dirichlet => Face::Dirichlet,
        FaceSpec::Periodic => Face::Periodic,
    };
    let given = problem.file.faces.iter().flatten().enumerate();
    given.fold(Faces::default(), |all, (i, [lower, upper])| all.with(i, false, kind(*lower)).with(i, true, kind(*upper)))
}

/// V and v at the points of `start`.
fn start_values(problem: &ControlledProblem, value: &[f64], control: &[f64]) -> Result<Vec<StartValue>, RunError> {
    let (x, m) = (problem.start.as_points(), problem.model.control_dim());
    if x.is_empty() {
        return Ok(Vec::new());
    }
    let free = matches!(problem.file.controls, ControlsSpec::Free {});
    let linear = EvaluationParams { interpolation: Interpolation::Linear, ..EvaluationParams::default() };
    let mut v = vec![0.0; x.len()];
    let mut u = PointBlock::zeros(m, x.len());
    let cubic = ValueSlice::new(&problem.grid, value, control, EvaluationParams::default())?;
    cubic.value(x, &mut v)?;
    if m > 0 {
        let slice = if free { cubic } else { ValueSlice::new(&problem.grid, value, control, linear)? };
        slice.control(x, u.as_mut())?;
    }
    let exact = exact_slice(problem, 0.0, &problem.start)?;
    Ok((0..x.len())
        .map(|j| {
            let mut point = vec![0.0; x.dim()];
            x.copy_point(j, &mut point);
            StartValue {
                x: point,
                value: v[j],
                control: (0..m).map(|k| u.coord(k)[j]).collect(),
                exact_value: exact.0.as_ref().map(|v| v[j]),
                exact_control: exact.1.as_ref().map(|u| (0..m).map(|k| u.coord(k)[j]).collect()),
            }
        })
        .collect())
}

/// The known V and v at these points and time.
fn exact_slice(problem: &ControlledProblem, t: f64, x: &PointBlock) -> Result<(Option<Vec<f64>>, Option<PointBlock>), RunError> {
    let Some(exact) = &problem.exact else { return Ok((None, None)) };
    problem.model.clear_fault();
    let value = exact.value.as_ref().map(|formula| {
        let mut out = vec![0.0; x.len()];
        formula.eval(t, x.as_points(), &mut out);
        out
    });
    let control = exact.control.as_ref().map(|formulas| {
        let mut out = PointBlock::zeros(formulas.len(), x.len());
        for (k, formula) in formulas.iter().enumerate() {
            formula.eval(t, x.as_points(), out.as_mut().coord_mut(k));
        }
        out
    });
    match problem.model.fault() {
        Some(fault) => Err(fault.into()),
        None => Ok((value, control)),
    }
}

/// Fill in the errors against the known solution.
fn compare(
    problem: &ControlledProblem,
    times: &[f64],
    values: &[Vec<f64>],
    controls: &[Vec<f64>],
    report: &mut ControlledReport,
) -> Result<(), RunError> {
    let Some(exact) = &problem.exact else { return Ok(()) };
    let mut region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
    if let Some(target) = &problem.target {
        // the process has ended there, and the formulas of the solution need not hold
        let mut level = vec![0.0; region.nodes.len()];
        target.level(region.points.as_points(), &mut level);
        region = region.select(|j| level[j] > 0.0);
        if region.nodes.is_empty() {
            return Ok(());
        }
    }
    // t = T is left out: the value there is the terminal reward itself
    let before = problem.file.horizon.unwrap_or(f64::INFINITY);
    let mut errors = Vec::new();
    for (k, &t) in times.iter().enumerate().filter(|(_, t)| **t < before) {
        let (value, control) = exact_slice(problem, t, &region.points)?;
        let reference = RegionSlice {
            value: value.unwrap_or_else(|| vec![0.0; region.nodes.len()]),
            control: control.unwrap_or_else(|| PointBlock::zeros(0, region.nodes.len())),
        };
        errors.push(region.errors(&reference, t, &values[k], &controls[k]));
    }
    if exact.value.is_some() {
        report.value_error_at = worst(&problem.grid, errors.iter().map(|e| (e.t, e.value)));
        report.value_error = report.value_error_at.as_ref().map(|e| e.error);
    }
    if exact.control.is_some() {
        report.control_error_at = worst(&problem.grid, errors.iter().map(|e| (e.t, e.control)));
        report.control_error = report.control_error_at.as_ref().map(|e| e.error);
    }
    Ok(())
}
