//! `pift`: the discrete chain by PI-FT, against the closed forms where there are any.

use super::norms::{RegionPoints, SupError, worst};
use super::reference_chain::{ReferenceChain, reference_chain};
use super::{Progress, RunError, SliceError, initial_mean, needs};
use crate::problem::Problem;
use crate::problem::spec::{AlphaSpec, InnerSpec, KernelSpec, PiFtSpec, StopSpec, TimeGridSpec, VarianceSpec};
use hjbridge_model::exact::{ClosedForm, DiscreteLq, DiscreteStep, closed_form};
use hjbridge_model::{Extrapolation, FineTuning, Interpolation, PointBlock, ScalarField};
use hjbridge_pift::{
    AlphaRule, BellmanKind, Ddpm, DdpmParams, DdpmParts, Inner, InnerRule, PiFt, PiFtParams, QuadratureInfo, RewardInfo,
    StepInfo, Storage, TimeGrid, VarianceRule,
};
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// The three values that bracket each other: J(any control) <= V of the mean shift <= V of the soft Bellman equation.
#[derive(Clone, Debug, Serialize)]
pub struct Sandwich {
    /// E V_0(Y_0) of the pre-trained chain, of the mean shift and of the soft step.
    pub objectives: [f64; 3],
    /// Largest value of (pre-trained - mean shift) and of (mean shift - soft) over the comparison box and all k: not positive but
    /// for rounding.
    pub violations: [f64; 2],
    /// sup (soft - mean shift) over the same: O(h).
    pub gap: f64,
    /// For each k < N sup (mean shift - pre-trained) over the box: what fine-tuning gains from there on.
    pub gains: Vec<f64>,
    /// For each k < N sup (soft - mean shift) over the box.
    pub gaps: Vec<f64>,
}

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
    /// Mean rate of the inner iteration, from its defects.
    pub rate: Vec<Option<f64>>,
    /// Bound on sup |u^(m_k) - u*|.
    pub inner_error_bound: Vec<f64>,
    /// p in (value gap) ~ (control gap)^p over the iterates of the step.
    pub value_exponent: Vec<Option<f64>>,
    /// Lipschitz constants of V_k and of grad V_k over the comparison box, each with the bound handed down from V_{k+1}.
    pub lipschitz_value: Vec<f64>,
    /// The bound.
    pub lipschitz_value_bound: Vec<f64>,
    /// Of grad V_k.
    pub lipschitz_gradient: Vec<f64>,
    /// The bound; null where rho_k >= 1.
    pub lipschitz_gradient_bound: Vec<Option<f64>>,
    /// Lipschitz data of the reward on the comparison box.
    pub reward: Option<RewardInfo>,
    /// Quadrature of the expectations over the noise.
    pub quadrature: Option<QuadratureInfo>,
    /// The kernel of `value` and `control`: mean_shift or soft.
    pub kernel: &'static str,
    /// With kernel `both`.
    pub sandwich: Option<Sandwich>,
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
    /// E V(0, Y_0) of the closed form of the continuous problem.
    pub objective_exact: Option<f64>,
    /// Of a network: the chain of its reference beside it. In the report it is part of section `network`.
    #[serde(skip)]
    pub reference_chain: Option<ReferenceChain>,
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
        terminal_control(problem)
    }
}

/// U*(T) = s + grad r / beta at the nodes, component by component.
pub(crate) fn terminal_control(problem: &Problem) -> Vec<f64> {
    let (points, horizon) = (problem.grid.points(), problem.model.schedule().horizon());
    let mut s = PointBlock::zeros(problem.dim(), points.len());
    let mut g = PointBlock::zeros(problem.dim(), points.len());
    problem.model.score().at(horizon).eval(points.as_points(), s.as_mut());
    problem.model.reward().gradient(points.as_points(), g.as_mut());
    let beta = problem.model.kl_weight().at(horizon);
    s.data().iter().zip(g.data()).map(|(s, g)| s + g / beta).collect()
}

/// The chain's parameters for N = `steps`.
pub(crate) fn ddpm_params(problem: &Problem, steps: usize) -> DdpmParams {
    chain_params(&problem.file.pift, &problem.model, steps)
}

/// The same without a grid.
pub(crate) fn chain_params(pift: &PiFtSpec, model: &FineTuning, steps: usize) -> DdpmParams {
    DdpmParams {
        steps,
        time_grid: match pift.time_grid {
            TimeGridSpec::Uniform => TimeGrid::Uniform,
            TimeGridSpec::LogSnr => TimeGrid::LogSnr,
            TimeGridSpec::Quadratic => TimeGrid::Quadratic,
        },
        alpha: match pift.alpha {
            AlphaSpec::ExpIntegral => AlphaRule::ExpIntegral,
            AlphaSpec::Linear => AlphaRule::Linear,
        },
        variance: match pift.variance {
            VarianceSpec::OneMinusAlpha => VarianceRule::OneMinusAlpha,
            VarianceSpec::OverAlpha => VarianceRule::OverAlpha,
            VarianceSpec::Posterior => VarianceRule::Posterior,
            VarianceSpec::GaussianPosterior => {
                let covariance = model.prior().covariance();
                let trace: f64 = (0..covariance.len()).map(|i| covariance[i][i]).sum();
                VarianceRule::GaussianPosterior { data_variance: trace / covariance.len() as f64 }
            }
        },
    }
}

/// The sweep's parameters.
pub(crate) fn pift_params(problem: &Problem, track: bool) -> PiFtParams {
    let p = &problem.file.pift;
    PiFtParams {
        quadrature_nodes: p.quadrature_nodes,
        bellman: match p.kernel {
            KernelSpec::Soft => BellmanKind::Soft,
            KernelSpec::MeanShift | KernelSpec::Both => BellmanKind::MeanShift,
        },
        inner: match p.inner {
            InnerSpec::Auto => Inner::Auto,
            InnerSpec::Plain => Inner::Plain,
            InnerSpec::Damped => Inner::Damped,
            InnerSpec::Newton => Inner::Newton,
            InnerSpec::Anderson => Inner::Anderson { depth: 3 },
        },
        rule: match (p.iterations, p.stop) {
            (Some(m), _) => InnerRule::Fixed(m),
            (None, StopSpec::Tolerance) => InnerRule::Tolerance { tol: p.tolerance, max: 500 },
            (None, StopSpec::BelowStep) => InnerRule::BelowStep { max: 500 },
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
    needs::check(&problem.grid, Some(steps), needs::pift(problem, steps))?;
    let exact = closed_form(&problem.model)?;
    let region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
    let start = std::time::Instant::now();
    let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, steps))?;
    let solver = PiFt::new(&ddpm, problem.grid.clone(), pift_params(problem, true))?.with_interrupt(progress.interrupt());
    let (mut times, mut values, mut controls, mut per_step) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    progress.begin("PI-FT", steps as u64);
    let outcome = solver.solve_observed(&mut |view| {
        progress.advance((steps - view.k) as u64);
        times.push(view.t);
        values.push(view.value.to_vec());
        if let (Some(control), Some(info)) = (view.control, view.info) {
            progress.note(&residuals(info));
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
    let (mut reward, mut quadrature) = (None, None);
    let failure = match outcome {
        Ok(info) => {
            (reward, quadrature) = (info.reward, Some(info.quadrature));
            None
        }
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
    let both = failure.is_none() && problem.file.pift.kernel == KernelSpec::Both;
    let sandwich = if both { Some(sandwich(problem, &ddpm, &region, &values)?) } else { None };
    let beside = match &failure {
        None => reference_chain(problem, &region, exact.as_deref(), &values, &controls, progress)?,
        Some(_) => None,
    };
    let of = |f: &dyn Fn(&hjbridge_pift::RegularityInfo) -> f64| -> Vec<f64> {
        per_step.iter().map(|s| s.regularity.as_ref().map_or(f64::NAN, f)).collect()
    };
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
        rate: per_step.iter().map(|s| s.rate).collect(),
        inner_error_bound: per_step.iter().map(|s| s.error_bound).collect(),
        value_exponent: per_step.iter().map(|s| s.value_exponent).collect(),
        lipschitz_value: of(&|r| r.value),
        lipschitz_value_bound: of(&|r| r.value_bound),
        lipschitz_gradient: of(&|r| r.gradient),
        lipschitz_gradient_bound: per_step.iter().map(|s| s.regularity.as_ref().and_then(|r| r.gradient_bound)).collect(),
        reward,
        quadrature,
        kernel: if problem.file.pift.kernel == KernelSpec::Soft { "soft" } else { "mean_shift" },
        sandwich,
        reference: exact.as_deref().map(ClosedForm::description),
        value_error: value_at.as_ref().map(|e| e.error),
        value_errors: errors.iter().map(|e| e.value.0).collect(),
        control_error: control_at.as_ref().map(|e| e.error),
        control_errors: errors.iter().map(|e| e.control.0).collect(),
        errors_at: value_at.into_iter().chain(control_at).collect(),
        discrete_value_error: if failure.is_none() { discrete_error(problem, &ddpm, &region, &values)? } else { None },
        objective: failure.is_none().then(|| initial_mean(problem, &values[0])),
        objective_exact: exact.as_ref().map(|exact| {
            let mut v = vec![0.0; problem.grid.len()];
            exact.at(0.0).value(problem.grid.points().as_points(), &mut v);
            initial_mean(problem, &v)
        }),
        reference_chain: beside,
        per_step,
    };
    Ok(PiFtRun { report, times, values, controls, failure })
}

/// The last update of a step and its contraction, for whoever watches.
fn residuals(step: &StepInfo) -> String {
    let contraction = step.contraction.map_or("-".into(), |c| format!("{c:.3}"));
    format!("update {:.1e}, contraction {contraction}", step.last_update)
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
    if problem.network.is_some() || problem.model.prior().components() != 1 || problem.model.reward().as_quadratic().is_none() {
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
    let exact = DiscreteLq::new(&problem.model, &steps, problem.file.pift.kernel == KernelSpec::Soft)?;
    let mut v = vec![0.0; region.nodes.len()];
    let mut error = 0.0_f64;
    for (slice, coefficients) in values.iter().zip(&exact.values) {
        coefficients.value(region.points.as_points(), &mut v);
        let largest = region.largest(|j| (slice[region.nodes[j]] - v[j]).abs()).0;
        error = if largest > error || largest.is_nan() { largest } else { error };
    }
    Ok(Some(error))
}

/// The pre-trained chain below `values`, the soft Bellman equation above them. Only their distances are kept.
fn sandwich(problem: &Problem, ddpm: &Ddpm<'_>, region: &RegionPoints, values: &[Vec<f64>]) -> Result<Sandwich, RunError> {
    // E V_0(Y_0); for each k sup (values - other) and sup (other - values)
    let against = |params| -> Result<(f64, Vec<f64>, Vec<f64>), RunError> {
        let (mut objective, mut above, mut below) = (f64::NAN, vec![0.0; ddpm.steps()], vec![0.0; ddpm.steps()]);
        PiFt::new(ddpm, problem.grid.clone(), params)?.solve_observed(&mut |view| {
            if view.k < ddpm.steps() {
                let gap = |j: usize| values[view.k][region.nodes[j]] - view.value[region.nodes[j]];
                (above[view.k], below[view.k]) = (region.largest(gap).0, region.largest(|j| -gap(j)).0);
            }
            if view.k == 0 {
                objective = initial_mean(problem, view.value);
            }
        })?;
        Ok((objective, above, below))
    };
    let params = pift_params(problem, false);
    let (pretrained, gains, below) = against(PiFtParams { rule: InnerRule::Fixed(0), ..params.clone() })?;
    let (soft, above, gaps) = against(PiFtParams { bellman: BellmanKind::Soft, ..params })?;
    let largest = |x: &[f64]| x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(Sandwich {
        objectives: [pretrained, initial_mean(problem, &values[0]), soft],
        violations: [largest(&below), largest(&above)],
        gap: largest(&gaps),
        gains,
        gaps,
    })
}

/// What the optimal chain of a problem earns and costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ChainOutcome {
    /// E V_0(Y_0).
    pub objective: f64,
    /// E r(Y_N) of the policy of PI-FT.
    pub reward: f64,
    /// KL divergence of its chain from the pre-trained one.
    pub kl: f64,
    /// Largest m_k, observed contraction and rho_k.
    pub iterations: usize,
    /// None when no step had two updates.
    pub contraction: Option<f64>,
    /// Largest rho_k.
    pub rho: f64,
}

/// PI-FT with N = `steps` for a constant KL weight, by the plain iteration where it contracts, and the reward of its policy: that
/// policy in the place of the pre-trained score, with no update, has E r(Y_N) for a value. Nothing is simulated.
pub(crate) fn chain_outcome(
    problem: &Problem,
    steps: usize,
    threads: usize,
    interrupt: Option<&AtomicBool>,
) -> Result<ChainOutcome, RunError> {
    let beta = problem.model.kl_weight().as_constant().unwrap_or(f64::NAN);
    let ddpm = Ddpm::new(&problem.model, ddpm_params(problem, steps))?;
    let params = PiFtParams { bellman: BellmanKind::MeanShift, threads, ..pift_params(problem, false) };
    let solution = PiFt::new(&ddpm, problem.grid.clone(), params.clone())?.with_interrupt(interrupt).solve()?;
    let policy = solution.feedback(Interpolation::Cubic, params.extrapolation)?;
    let schedule = problem.model.schedule();
    let controlled = Ddpm::from_parts(
        *ddpm.params(),
        DdpmParts {
            horizon: schedule.horizon(),
            rate: &|t| schedule.rate(t),
            integral: &|t0, t1| schedule.integral(t0, t1),
            score: &policy,
            reward: problem.model.reward(),
            kl_weight: &|t| problem.model.kl_weight().at(t),
        },
    )?;
    let params = PiFtParams { rule: InnerRule::Fixed(0), storage: Storage::Ends, ..params };
    let earned = PiFt::new(&controlled, problem.grid.clone(), params)?.with_interrupt(interrupt).solve()?;
    let objective = initial_mean(problem, solution.initial_value());
    let reward = initial_mean(problem, earned.initial_value());
    Ok(ChainOutcome {
        objective,
        reward,
        kl: (reward - objective) / beta,
        iterations: solution.info.max_iterations(),
        contraction: solution.info.max_contraction(),
        rho: solution.info.max_rho(),
    })
}
