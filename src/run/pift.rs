//! `pift`: the discrete chain by PI-FT, against the closed forms where there are any.

use super::norms::{RegionPoints, SupError, worst};
use super::{Progress, RunError, SliceError, initial_mean};
use crate::problem::Problem;
use crate::problem::spec::{AlphaSpec, InnerSpec, VarianceSpec};
use hjbridge_model::exact::{ClosedForm, DiscreteLq, DiscreteStep, closed_form};
use hjbridge_model::{Extrapolation, PointBlock, ScalarField};
use hjbridge_pift::{AlphaRule, Ddpm, DdpmParams, Inner, InnerRule, PiFt, PiFtParams, StepInfo, Storage, VarianceRule};
use serde::Serialize;

/// Section `pift` of the report. Arrays over k run from k = 0 to N-1; after a failure only over the steps finished.
#[derive(Clone, Debug, Serialize)]
pub struct PiFtReport {
    /// Wall time of the sweep with its tracking, in seconds.
    pub seconds: f64,
    /// N.
    pub steps: usize,
    /// t_k.
    pub t: Vec<f64>,
    /// The node at which `value` and `control` are given: the one nearest to the middle of the comparison box.
    pub probe: Vec<f64>,
    /// V_k at the probe.
    pub value: Vec<f64>,
    /// u_k at the probe, first component.
    pub control: Vec<f64>,
    /// Observed contraction of the inner iteration; null where there were too few updates to see it.
    pub contraction: Vec<Option<f64>>,
    /// Its bound rho_k = sig_k^2 Lip(grad V_{k+1}) / beta_k.
    pub rho: Vec<f64>,
    /// Inner iterations m_k.
    pub iterations: Vec<usize>,
    /// Which closed form of the continuous problem the errors refer to.
    pub reference: Option<&'static str>,
    /// sup |V_k - V(t_k)| over the comparison box: the O(h) gap between the discrete and the continuous problem.
    pub value_error: Option<f64>,
    /// The same for each k.
    pub value_errors: Vec<f64>,
    /// sup |u_k - U*(t_k)|.
    pub control_error: Option<f64>,
    /// The same for each k.
    pub control_errors: Vec<f64>,
    /// Where the two are.
    pub errors_at: Vec<SupError>,
    /// sup |V_k - V_k exact| against the discrete linear-quadratic recursion, where it applies: the error of PI-FT itself.
    pub discrete_value_error: Option<f64>,
    /// E V_0(Y_0) under the initial law: the optimal objective of the chain.
    pub objective: Option<f64>,
    /// Everything about each step, with the Lipschitz constants of V and u for each inner iterate.
    pub per_step: Vec<StepInfo>,
}

/// The solution and its report.
pub struct PiFtRun {
    /// The report section.
    pub report: PiFtReport,
    /// t_k of the slices, ascending; t = T last.
    pub times: Vec<f64>,
    /// V_k at the nodes.
    pub values: Vec<Vec<f64>>,
    /// u_k at the nodes, component by component; one slice fewer than `times`.
    pub controls: Vec<Vec<f64>>,
    /// Why PI-FT stopped early, if it did.
    pub failure: Option<RunError>,
}

impl PiFtRun {
    /// The limit of u_k as t_k -> T, U*(T) = s + grad r / beta, at the nodes, component by component.
    pub fn terminal_control(&self, problem: &Problem) -> Vec<f64> {
        let (points, horizon) = (problem.grid.points(), problem.model.schedule().horizon());
        let mut s = PointBlock::zeros(problem.dim(), points.len());
        let mut g = PointBlock::zeros(problem.dim(), points.len());
        problem.model.score().at(horizon).eval(points.as_points(), s.as_mut());
        problem.model.reward().gradient(points.as_points(), g.as_mut());
        let beta = problem.model.kl_weight().at(horizon);
        s.data().iter().zip(g.data()).map(|(s, g)| s + g / beta).collect()
    }
}

/// The chain's parameters for N = `steps`.
pub(crate) fn ddpm_params(problem: &Problem, steps: usize) -> DdpmParams {
    DdpmParams {
        steps,
        alpha: match problem.file.pift.alpha {
            AlphaSpec::ExpIntegral => AlphaRule::ExpIntegral,
            AlphaSpec::Linear => AlphaRule::Linear,
        },
        variance: match problem.file.pift.variance {
            VarianceSpec::OneMinusAlpha => VarianceRule::OneMinusAlpha,
            VarianceSpec::OverAlpha => VarianceRule::OverAlpha,
            VarianceSpec::Posterior => VarianceRule::Posterior,
        },
    }
}

/// The sweep's parameters.
pub(crate) fn pift_params(problem: &Problem, track: bool) -> PiFtParams {
    let p = &problem.file.pift;
    PiFtParams {
        quadrature_nodes: Some(p.quadrature_nodes),
        inner: match p.inner {
            InnerSpec::Auto => Inner::Auto,
            InnerSpec::Plain => Inner::Plain,
            InnerSpec::Damped => Inner::Damped,
            InnerSpec::Newton => Inner::Newton,
        },
        rule: match p.iterations {
            Some(m) => InnerRule::Fixed(m),
            None => InnerRule::Tolerance { tol: p.tolerance, max: 500 },
        },
        region: Some(problem.compare_on.clone()),
        // bumps flatten out; the other rewards grow at most quadratically, and so does V
        extrapolation: if problem.model.reward().length_scale().is_finite() {
            Extrapolation::Linear
        } else {
            Extrapolation::Quadratic
        },
        track,
        storage: Storage::All,
        ..PiFtParams::default()
    }
}

/// Run PI-FT with N = `steps`, tracking rates and regularity.
///
/// # Errors
/// Input that does not fit. A numerical failure is returned inside the run, with the steps finished.
pub fn pift(problem: &Problem, steps: usize, progress: &dyn Progress) -> Result<PiFtRun, RunError> {
    let exact = closed_form(&problem.model)?;
    let region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
    let start = std::time::Instant::now();
    let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, steps))?;
    let solver = PiFt::new(&ddpm, problem.grid.clone(), pift_params(problem, true))?;
    let (mut times, mut values, mut controls, mut per_step) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    progress.begin("PI-FT", steps as u64);
    let outcome = solver.solve_observed(&mut |view| {
        progress.advance((steps - view.k) as u64);
        times.push(view.t);
        values.push(view.value.to_vec());
        if let (Some(control), Some(info)) = (view.control, view.info) {
            controls.push(control.to_vec());
            per_step.push(info.clone());
        }
    });
    progress.end();
    let seconds = start.elapsed().as_secs_f64();
    times.reverse();
    values.reverse();
    controls.reverse();
    per_step.reverse();
    let failure = match outcome {
        Ok(_) => None,
        Err(e) => {
            let e = RunError::from(e);
            if times.is_empty() || e.is_input() {
                return Err(e);
            }
            Some(e)
        }
    };
    let count = controls.len();
    let errors: Vec<SliceError> = match &exact {
        Some(exact) => super::slice_errors(problem, exact.as_ref(), count, |i| (times[i], &values[i], &controls[i]))?,
        None => Vec::new(),
    };
    let value_at = worst(&problem.grid, errors.iter().map(|e| (e.t, e.value)));
    // a step without noise (posterior variance, the last one) has no control to compare
    let noisy = |e: &&SliceError| ddpm.times().iter().zip(ddpm.variances()).any(|(t, v)| *t == e.t && *v > 0.0);
    let control_at = worst(&problem.grid, errors.iter().filter(noisy).map(|e| (e.t, e.control)));
    let (probe_node, probe) = probe(problem, &region);
    let report = PiFtReport {
        seconds,
        steps,
        t: times[..count].to_vec(),
        probe,
        value: values[..count].iter().map(|v| v[probe_node]).collect(),
        control: controls.iter().map(|u| u[probe_node]).collect(),
        contraction: per_step.iter().map(|s| s.contraction).collect(),
        rho: per_step.iter().map(|s| s.rho).collect(),
        iterations: per_step.iter().map(|s| s.iterations).collect(),
        reference: exact.as_deref().map(ClosedForm::description),
        value_error: value_at.as_ref().map(|e| e.error),
        value_errors: errors.iter().map(|e| e.value.0).collect(),
        control_error: control_at.as_ref().map(|e| e.error),
        control_errors: errors.iter().map(|e| e.control.0).collect(),
        errors_at: value_at.into_iter().chain(control_at).collect(),
        discrete_value_error: if failure.is_none() { discrete_error(problem, &ddpm, &region, &values)? } else { None },
        objective: failure.is_none().then(|| initial_mean(problem, &values[0])),
        per_step,
    };
    Ok(PiFtRun { report, times, values, controls, failure })
}

/// The node of the comparison box nearest to its middle.
fn probe(problem: &Problem, region: &RegionPoints) -> (usize, Vec<f64>) {
    let box_ = &problem.compare_on;
    let middle: Vec<f64> = box_.lower().iter().zip(box_.upper()).map(|(a, b)| 0.5 * (a + b)).collect();
    let distance = |j: usize| (0..middle.len()).map(|i| (region.points.coord(i)[j] - middle[i]).powi(2)).sum::<f64>();
    let nearest = region.largest(|j| -distance(j)).1;
    let mut y = vec![0.0; middle.len()];
    problem.grid.node(nearest, &mut y);
    (nearest, y)
}

/// Error of PI-FT against the exact recursion of the chain, for a Gaussian prior and a quadratic reward.
fn discrete_error(
    problem: &Problem,
    ddpm: &Ddpm<'_>,
    region: &RegionPoints,
    values: &[Vec<f64>],
) -> Result<Option<f64>, RunError> {
    if problem.model.prior().components() != 1 || problem.model.reward().as_quadratic().is_none() {
        return Ok(None);
    }
    let steps: Vec<DiscreteStep> = (0..ddpm.steps())
        .map(|k| DiscreteStep {
            t: ddpm.times()[k],
            a: ddpm.alphas()[k],
            variance: ddpm.variances()[k],
            beta: ddpm.kl_weights()[k],
        })
        .collect();
    let exact = DiscreteLq::new(&problem.model, &steps, false)?;
    let mut v = vec![0.0; region.nodes.len()];
    let mut error = 0.0_f64;
    for (slice, coefficients) in values.iter().zip(&exact.values) {
        coefficients.value(region.points.as_points(), &mut v);
        let largest = region.largest(|j| (slice[region.nodes[j]] - v[j]).abs()).0;
        error = if largest > error || largest.is_nan() { largest } else { error };
    }
    Ok(Some(error))
}
