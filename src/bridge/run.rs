//! `bridge`: PI-FT for a list of N against the continuous solution.

use super::chain_law::chain_law;
use super::final_law::Targets;
use super::in_sde::loss;
use super::leading::{compare, predict};
use super::order::RichardsonTable;
use super::own_errors::OwnErrors;
use super::reference::{Reference, common_steps};
use super::report::{BridgeReport, ErrorsByTime};
use super::slices::Slices;
use super::sweep::Sweep;
use crate::problem::Problem;
use crate::run::{
    Progress, RegionPoints, RunError, SliceError, SolveReport, SolveRun, initial_mean, is_cancelled, needs, solve,
    terminal_control, worst,
};
use hjbridge_pift::{PiFtError, PiFtInfo};

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
    /// Density of the final law of the chain with the largest N finished, at the nodes.
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
    // a sweep keeps V, u and D at every t_k beside the HJB solution and the reference at the same times
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
    let targets = match Targets::new(problem, &reference, progress) {
        Ok(targets) => Some(targets),
        Err(e) => {
            report.final_law_missing = Some(format!("the continuous final law: {e}"));
            None
        }
    };
    let mut slices = Slices::new(problem, &reference);
    let start = slices.at(&[0.0])?;
    let initial = slices.on(&region, 0.0)?;
    if reference.exact().is_none() {
        report.objective_reference = Some(initial_mean(problem, &start[0].value));
    }
    let terminal = terminal_control(problem);
    report.reference_description = reference.description.clone();
    report.against_hjb.hjb_error = reference.change.or(report.against_hjb.hjb_error);
    report.final_law = targets.as_ref().map(|t| t.report(problem));
    let leading = predict(problem, &mut slices, &mut report, progress);
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
        let optimal = slices.at(&sweep.times)?;
        let slice = |t| slices.on(&region, t);
        let compared = leading.as_ref().map(|l| compare(l, &sweep, &region, &problem.grid, slice)).transpose()?;
        let errors = match &compared {
            Some(compared) => compared.iter().map(|c| c.measured.clone()).collect(),
            None => sweep.errors(&region, slice)?,
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
        let own = OwnErrors::of(problem, &sweep, &reference, (worst_value.error, worst_control.error), progress);
        let lost = report.suboptimality_missing.is_none().then(|| loss(problem, &sweep, &optimal, &terminal, progress));
        let law = report.final_law.is_some().then(|| chain_law(problem, &sweep, progress));
        // an N of which a part is not there is left out as a whole
        if is_cancelled(progress) {
            failure = Some(RunError::Cancelled);
            break;
        }
        if let (Some(section), Some(compared)) = (&mut report.leading_error, compared) {
            section.add(&sweep, compared);
        }
        match own {
            Ok(own) => {
                if own.value.spatial.is_none() {
                    report
                        .own_errors_notes
                        .push(format!("N = {n}: fewer than 33 nodes along an axis: no estimate of the grid's error"));
                }
                report.own_errors.push(own);
            }
            Err(e) => report.own_errors_notes.push(format!("N = {n}: on a coarser grid: {e}")),
        }
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
        if let Some(lost) = lost {
            add_loss(problem, &mut report, n, lost);
        }
        if let (Some(section), Some(targets), Some(law)) = (&mut report.final_law, &targets, law) {
            match law {
                Ok((chain, mass_defect)) => {
                    section.add(problem, targets, &chain, mass_defect);
                    chain_density = Some(chain.density);
                }
                // a box too short for the law, or a grid too small, loses no other result
                Err(RunError::PiFt(
                    e @ (PiFtError::Invalid { .. } | PiFtError::Unsupported { .. } | PiFtError::MassLost { .. }),
                )) => {
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
    report.richardson_table = RichardsonTable::new(&at_zero, &initial.value);
    report.finish();
    let continuous_density = targets.map(|t| t.continuous.density);
    Ok(BridgeRun { report, solve: solve_report, hjb: reference.hjb, sweeps, chain_density, continuous_density, failure })
}

/// The objective of the policy in continuous time. What goes wrong here loses no other result.
fn add_loss(problem: &Problem, report: &mut BridgeReport, steps: usize, lost: Result<Vec<f64>, RunError>) {
    match lost {
        Ok(e) => {
            let lost = initial_mean(problem, &e);
            report.suboptimality.push(lost);
            report.objective_in_sde.extend(report.objective_reference.map(|best| best - lost));
        }
        Err(e) => {
            report.suboptimality_missing = Some(format!("N = {steps}: {e}"));
            (report.suboptimality, report.objective_in_sde) = (Vec::new(), Vec::new());
        }
    }
}
