//! `bridge`: PI-FT for a list of N against the continuous solution.

use super::final_law::{FinalLawReport, Targets};
use super::order::{OrderFit, fit_order, octave_orders};
use super::reference::{Reference, common_steps};
use crate::problem::Problem;
use crate::run::{
    Progress, RegionPoints, RegionSlice, RunError, SliceError, SolveReport, SolveRun, SupError, ddpm_params, initial_law_name,
    initial_mean, needs, pift_params, solve, worst,
};
use hjbridge_model::{Axis, CubicSpline, Extrapolation, Law, Points, ScalarField, TensorGrid};
use hjbridge_pift::{ChainLaw, ChainLawParams, ChainPolicy, Ddpm, PiFt, PiFtError, PiFtInfo};
use rayon::prelude::*;
use serde::Serialize;
use std::sync::Arc;

/// Section `bridge` of the report. Arrays have one entry for each N finished.
#[derive(Clone, Debug, Serialize)]
pub struct BridgeReport {
    /// "closed_form" or "hjb": what the errors refer to.
    pub reference: &'static str,
    /// Which closed form, or how the HJB reference was made.
    pub reference_description: String,
    /// The N.
    pub steps: Vec<usize>,
    /// sup |V_k - V(t_k)| over the comparison box and all t_k < T.
    pub value_error: Vec<f64>,
    /// Where.
    pub value_error_at: Vec<SupError>,
    /// sup |u_k - U*(t_k)| over the same.
    pub control_error: Vec<f64>,
    /// Where.
    pub control_error_at: Vec<SupError>,
    /// The errors at every t_k, for each N.
    pub by_time: Vec<ErrorsByTime>,
    /// Order of the value error, fitted on the last three N.
    pub order_value: Option<f64>,
    /// Order of the control error, fitted on the last three N.
    pub order_control: Option<f64>,
    /// Order of the Richardson error, fitted on the last three pairs.
    pub richardson_order: Option<f64>,
    /// The three fits with their standard errors.
    pub fits: [Option<OrderFit>; 3],
    /// Order of the value error from each N to the next.
    pub octave_orders_value: Vec<Option<f64>>,
    /// Order of the control error from each N to the next.
    pub octave_orders_control: Vec<Option<f64>>,
    /// The larger N of each pair (N, 2N).
    pub richardson_steps: Vec<usize>,
    /// sup |2 V_0^{2N} - V_0^N - V(0)| over the comparison box.
    pub richardson_error: Vec<f64>,
    /// Order of the Richardson error from each pair to the next.
    pub octave_orders_richardson: Vec<Option<f64>>,
    /// Largest observed contraction of the inner iteration over k; null where no step had two updates.
    pub contraction: Vec<Option<f64>>,
    /// Largest bound rho_k over k.
    pub rho: Vec<f64>,
    /// Most inner iterations over k.
    pub iterations: Vec<usize>,
    /// E V_0(Y_0): the optimal objective of the chain.
    pub objective: Vec<f64>,
    /// E V(0, Y_0): the optimal objective in continuous time, from the reference.
    pub objective_reference: Option<f64>,
    /// The initial law in both.
    pub initial_law: &'static str,
    /// The same errors against the HJB solution.
    pub against_hjb: AgainstHjb,
    /// Final laws (d = 1).
    pub final_law: Option<FinalLawReport>,
    /// Why there is no `final_law`, where there could be one.
    pub final_law_missing: Option<String>,
    /// Wall time for each N in seconds: PI-FT alone.
    pub seconds: Vec<f64>,
}

/// Errors at every t_k of one N, over the comparison box.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorsByTime {
    /// t_k, k = 0..N-1.
    pub t: Vec<f64>,
    /// sup |V_k - V(t_k)|.
    pub value_error: Vec<f64>,
    /// sup |u_k - U*(t_k)|; null where the step has no noise and so no control (posterior variance, last step).
    pub control_error: Vec<Option<f64>>,
}

/// Errors of PI-FT against the HJB solution on the same grid, and what that solution is worth.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AgainstHjb {
    /// sup |V_k - V_hjb(t_k)|.
    pub value_error: Vec<f64>,
    /// sup |u_k - U_hjb(t_k)|.
    pub control_error: Vec<f64>,
    /// Time steps of the HJB solution.
    pub hjb_steps: usize,
    /// Its own error: against the closed form, or as Richardson's extrapolation estimates it (V, U).
    pub hjb_error: Option<(f64, f64)>,
}

/// Report, HJB solution, and what figures need.
pub struct BridgeRun {
    /// The report section.
    pub report: BridgeReport,
    /// The section `solve` of the HJB solution used.
    pub solve: SolveReport,
    /// That solution.
    pub hjb: SolveRun,
    /// Inner iterations of each N.
    pub sweeps: Vec<PiFtInfo>,
    /// Density of the final law of the chain with the largest N finished, at the nodes (d = 1).
    pub chain_density: Option<Vec<f64>>,
    /// Density of the continuous final law.
    pub continuous_density: Option<Vec<f64>>,
    /// Why the run stopped early, if it did.
    pub failure: Option<RunError>,
}

/// Run PI-FT for each N of `steps` (ascending) and compare.
///
/// # Errors
/// Input that does not fit. A numerical failure of the HJB solver or of PI-FT for some N is returned inside the run, with what was
/// finished before.
pub fn bridge(problem: &Problem, steps: &[usize], progress: &dyn Progress) -> Result<BridgeRun, RunError> {
    let hjb_steps = common_steps(problem.file.time_steps, steps);
    // a sweep keeps V, u and D at every t_k beside the HJB solution
    needs::check(&problem.grid, Some(hjb_steps), needs::bridge(problem, hjb_steps, steps))?;
    let mut hjb = solve(problem, hjb_steps, progress)?;
    let mut report = BridgeReport::empty(problem, &hjb.report, hjb_steps);
    let solve_report = hjb.report.clone();
    let nothing = |report, hjb, failure| BridgeRun {
        report,
        solve: solve_report.clone(),
        hjb,
        sweeps: Vec::new(),
        chain_density: None,
        continuous_density: None,
        failure: Some(failure),
    };
    if let Some(failure) = hjb.failure.take() {
        return Ok(nothing(report, hjb, failure));
    }
    let reference = Reference::new(problem, hjb, hjb_steps, progress);
    let region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
    let targets = match (problem.dim() == 1).then(|| Targets::new(problem, &reference)) {
        Some(Ok(targets)) => Some(targets),
        Some(Err(e)) => {
            report.final_law_missing = Some(format!("the continuous final law: {e}"));
            None
        }
        None => None,
    };
    let initial = match reference.exact() {
        Some(exact) => region.exact(exact, 0.0),
        None => reference.hjb_slice(problem, &region, 0.0)?,
    };
    report.reference_description = describe(&reference);
    report.against_hjb.hjb_error = reference.change.or(report.against_hjb.hjb_error);
    report.final_law = targets.as_ref().map(|t| t.report(problem));
    let (mut sweeps, mut chain_density, mut failure) = (Vec::new(), None, None);
    let mut at_zero: Vec<(usize, Vec<f64>)> = Vec::new();
    for &n in steps {
        let sweep = match Sweep::run(problem, n, progress) {
            Ok(sweep) => sweep,
            Err(e) if e.is_input() => return Err(e),
            Err(e) => {
                failure = Some(e);
                break;
            }
        };
        let hjb = sweep.errors(&region, |t| reference.hjb_slice(problem, &region, t))?;
        let errors = match reference.exact() {
            Some(exact) => sweep.errors(&region, |t| Ok(region.exact(exact, t)))?,
            None => hjb.clone(),
        };
        let value = |e: &[SliceError]| worst(&problem.grid, e.iter().map(|e| (e.t, e.value)));
        // a step without noise has no control to compare
        let control = |e: &[SliceError]| {
            let steps = e.iter().zip(&sweep.noisy).filter(|(_, noisy)| **noisy);
            worst(&problem.grid, steps.map(|(e, _)| (e.t, e.control)))
        };
        let (Some(worst_value), Some(worst_control)) = (value(&errors), control(&errors)) else {
            failure =
                Some(RunError::Unsupported(format!("N = {n}: the chain has no step with noise, so there is nothing to control")));
            break;
        };
        report.value_error.push(worst_value.error);
        report.value_error_at.push(worst_value);
        report.control_error.push(worst_control.error);
        report.control_error_at.push(worst_control);
        report.by_time.push(ErrorsByTime {
            t: sweep.times.clone(),
            value_error: errors.iter().map(|e| e.value.0).collect(),
            control_error: errors.iter().zip(&sweep.noisy).map(|(e, noisy)| noisy.then_some(e.control.0)).collect(),
        });
        report.against_hjb.value_error.extend(value(&hjb).map(|e| e.error));
        report.against_hjb.control_error.extend(control(&hjb).map(|e| e.error));
        report.contraction.push(sweep.info.max_contraction());
        report.rho.push(sweep.info.max_rho());
        report.iterations.push(sweep.info.max_iterations());
        report.objective.push(initial_mean(problem, &sweep.values[0]));
        report.seconds.push(sweep.seconds);
        if let (Some(law), Some(targets)) = (&mut report.final_law, &targets) {
            match sweep.final_law(problem) {
                Ok(chain) => {
                    law.add(problem, targets, &chain);
                    chain_density = Some(chain.density);
                }
                // a chain whose last step has no noise has no density; that one or a box too short for the law loses no other result
                Err(RunError::PiFt(e @ (PiFtError::Unsupported { .. } | PiFtError::MassLost { .. }))) => {
                    report.final_law_missing = Some(format!("N = {n}: {e}"));
                    report.final_law = None;
                    chain_density = None;
                }
                Err(e) => failure = Some(e),
            }
        }
        let v0: Vec<f64> = region.nodes.iter().map(|&i| sweep.values[0][i]).collect();
        if let Some((_, half)) = at_zero.iter().find(|(m, _)| 2 * m == n) {
            let error = |j: usize| (2.0 * v0[j] - half[j] - initial.value[j]).abs();
            report.richardson_steps.push(n);
            report.richardson_error.push(region.largest(error).0);
        }
        at_zero.push((n, v0));
        report.steps.push(n);
        sweeps.push(sweep.info);
        if failure.is_some() {
            break;
        }
    }
    report.finish();
    let continuous_density = targets.map(|t| t.continuous);
    Ok(BridgeRun { report, solve: solve_report, hjb: reference.hjb, sweeps, chain_density, continuous_density, failure })
}

impl BridgeReport {
    /// No N yet.
    fn empty(problem: &Problem, solve: &SolveReport, hjb_steps: usize) -> Self {
        BridgeReport {
            reference: if solve.reference.is_some() { "closed_form" } else { "hjb" },
            reference_description: solve.reference.unwrap_or("HJB").into(),
            steps: Vec::new(),
            value_error: Vec::new(),
            value_error_at: Vec::new(),
            control_error: Vec::new(),
            control_error_at: Vec::new(),
            by_time: Vec::new(),
            order_value: None,
            order_control: None,
            richardson_order: None,
            fits: [None; 3],
            octave_orders_value: Vec::new(),
            octave_orders_control: Vec::new(),
            richardson_steps: Vec::new(),
            richardson_error: Vec::new(),
            octave_orders_richardson: Vec::new(),
            contraction: Vec::new(),
            rho: Vec::new(),
            iterations: Vec::new(),
            objective: Vec::new(),
            objective_reference: solve.objective_exact.or(solve.objective),
            initial_law: initial_law_name(problem),
            against_hjb: AgainstHjb { hjb_steps, hjb_error: solve.value_error.zip(solve.control_error), ..AgainstHjb::default() },
            final_law: None,
            final_law_missing: None,
            seconds: Vec::new(),
        }
    }

    /// Fit the orders once all N are in.
    fn finish(&mut self) {
        self.octave_orders_value = octave_orders(&self.steps, &self.value_error);
        self.octave_orders_control = octave_orders(&self.steps, &self.control_error);
        self.octave_orders_richardson = octave_orders(&self.richardson_steps, &self.richardson_error);
        self.fits = [
            fit_order(&self.steps, &self.value_error, 3),
            fit_order(&self.steps, &self.control_error, 3),
            fit_order(&self.richardson_steps, &self.richardson_error, 3),
        ];
        [self.order_value, self.order_control, self.richardson_order] = self.fits.map(|f| f.map(|f| f.order));
        if let Some(law) = &mut self.final_law {
            law.finish(&self.steps);
        }
    }
}

fn describe(reference: &Reference) -> String {
    match (reference.exact(), reference.change) {
        (Some(exact), _) => exact.description().to_string(),
        (None, Some((v, u))) => format!(
            "HJB, {} steps, Richardson-extrapolated in space and time; the extrapolation changed V by {v:.1e} and U by {u:.1e}",
            reference.hjb_steps()
        ),
        (None, None) => match &reference.not_refined {
            Some(reason) => format!("HJB, {} steps, not refined: {reason}", reference.hjb_steps()),
            None => format!("HJB, {} steps", reference.hjb_steps()),
        },
    }
}

/// One backward sweep of PI-FT.
struct Sweep {
    steps: usize,
    times: Vec<f64>,
    values: Vec<Vec<f64>>,
    controls: Vec<Vec<f64>>,
    shifts: Vec<Vec<f64>>,
    /// Whether step k has noise.
    noisy: Vec<bool>,
    info: PiFtInfo,
    seconds: f64,
}

impl Sweep {
    fn run(problem: &Problem, steps: usize, progress: &dyn Progress) -> Result<Self, RunError> {
        let start = std::time::Instant::now();
        let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, steps))?;
        let grid: Arc<TensorGrid> = problem.grid.clone();
        let solver = PiFt::new(&ddpm, grid, pift_params(problem, false))?.with_interrupt(progress.interrupt());
        let (mut times, mut values, mut controls, mut shifts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        progress.begin(&format!("PI-FT N = {steps}"), steps as u64);
        let info = solver.solve_observed(&mut |view| {
            progress.advance((steps - view.k) as u64);
            // V_N is the reward; it is not compared
            if let (Some(control), Some(shift)) = (view.control, view.shift) {
                times.push(view.t);
                values.push(view.value.to_vec());
                controls.push(control.to_vec());
                shifts.push(shift.to_vec());
            }
        });
        progress.end();
        let info = info?;
        for slices in [&mut values, &mut controls, &mut shifts] {
            slices.reverse();
        }
        times.reverse();
        let noisy = ddpm.variances().iter().map(|v| *v > 0.0).collect();
        Ok(Sweep { steps, times, values, controls, shifts, noisy, info, seconds: start.elapsed().as_secs_f64() })
    }

    /// Errors at every t_k, in parallel over k.
    fn errors(
        &self,
        region: &RegionPoints,
        reference: impl Fn(f64) -> Result<RegionSlice, RunError> + Sync,
    ) -> Result<Vec<SliceError>, RunError> {
        (0..self.times.len())
            .into_par_iter()
            .map(|k| {
                let t = self.times[k];
                Ok(region.errors(&reference(t)?, t, &self.values[k], &self.controls[k]))
            })
            .collect()
    }

    /// Density of Y_T under the policy found, with its mean and variance, on the problem's grid.
    ///
    /// The trapezoidal rule needs equal spacing that resolves the smallest sig_k; where the grid has not, the law is propagated on
    /// one that has, and shifts and density are carried over by splines.
    fn final_law(&self, problem: &Problem) -> Result<ChainLaw, RunError> {
        let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, self.steps))?;
        let axis = problem.grid.axis(0);
        let smallest = ddpm.variances().iter().copied().fold(f64::INFINITY, f64::min).sqrt();
        let length = axis.upper() - axis.lower();
        let enough = (RESOLUTION * length / smallest).ceil().min(1e5) as usize + 1;
        let initial = problem.model.initial_law();
        let params = ChainLawParams::default();
        let log_density = |x: Points<'_>, out: &mut [f64]| initial.log_density(x, out);
        if axis.spacing().is_some() && axis.len() >= enough || smallest == 0.0 {
            let policy = ChainPolicy::Shifts(&self.shifts);
            return Ok(ChainLaw::propagate(&ddpm, problem.grid.clone(), &log_density, policy, params)?);
        }
        let even = Axis::uniform(axis.lower(), axis.upper(), axis.len().max(enough))?;
        let even = Arc::new(TensorGrid::new(vec![even])?);
        let carry = |from: &Arc<TensorGrid>, to: &TensorGrid, field: &[f64]| -> Result<Vec<f64>, RunError> {
            let mut out = vec![0.0; to.len()];
            CubicSpline::new(from.clone(), field, Extrapolation::Linear)?.value(to.points().as_points(), &mut out);
            Ok(out)
        };
        let shifts =
            self.shifts.par_iter().map(|shift| carry(&problem.grid, &even, shift)).collect::<Result<Vec<_>, RunError>>()?;
        let mut law = ChainLaw::propagate(&ddpm, even.clone(), &log_density, ChainPolicy::Shifts(&shifts), params)?;
        law.density = carry(&even, &problem.grid, &law.density)?;
        law.grid = problem.grid.clone();
        Ok(law)
    }
}

/// Smallest ratio of sig_k to the spacing at which the law is propagated.
const RESOLUTION: f64 = 1.2;
