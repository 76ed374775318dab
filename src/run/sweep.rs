//! `sweep`: one fine-tuning problem at several constant KL weights; what reward is bought for which divergence.

use super::pift::{ChainOutcome, chain_outcome};
use super::{Part, Progress, RolloutOptions, RunError, initial_law_name, initial_mean, is_cancelled, needs, rollout, solve};
use crate::problem::spec::KlWeightSpec;
use crate::problem::{Problem, ProblemError};
use hjbridge_model::exact::closed_form;
use hjbridge_model::{FineTuning, InitialLaw, KlWeight};
use hjbridge_rollout::ranks::{from_bytes, share, to_bytes};
use hjbridge_rollout::{Ranks, ranks::RanksError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What is known at one weight. A line of `sweep.csv` has these columns by their names; absent values are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepRow {
    /// beta.
    pub kl_weight: f64,
    /// 1/beta.
    pub inverse_kl_weight: f64,
    /// E V(0, Y_0) from the HJB solution.
    pub optimum: f64,
    /// The same from the closed form.
    pub optimum_exact: Option<f64>,
    /// sup |V - V_exact|, as in section `solve`.
    pub value_error: Option<f64>,
    /// The objective of the Euler-Maruyama chain of the rollout, computed without simulation.
    pub euler_objective: Option<f64>,
    /// Estimate of the objective E[ r(Y_T) - beta KL ].
    pub objective: f64,
    /// Its standard error.
    pub objective_stderr: f64,
    /// (objective - euler_objective) / standard error; against the optimum where the former is absent.
    pub z_score: f64,
    /// Estimate of E r(Y_T).
    pub reward: f64,
    /// Its standard error.
    pub reward_stderr: f64,
    /// E r(Y_T) of the optimal process, from the closed form.
    pub reward_exact: Option<f64>,
    /// Estimate of KL = E int (b/2) |U - s|^2 dt, the divergence of the controlled from the pre-trained process.
    pub kl: f64,
    /// Its standard error.
    pub kl_stderr: f64,
    /// KL of the optimal process, from the closed form.
    pub kl_exact: Option<f64>,
    /// Fraction of steps that began outside the policy's grid.
    pub outside_fraction: f64,
    /// E V_0(Y_0) of the discrete chain by PI-FT, with as many steps as the rollout. This and the following are absent where PI-FT
    /// failed.
    pub pift_objective: Option<f64>,
    /// E r(Y_N) of its policy, without simulation.
    pub pift_reward: Option<f64>,
    /// KL divergence of its chain from the pre-trained one.
    pub pift_kl: Option<f64>,
    /// Largest number of inner iterations at a step.
    pub pift_iterations: Option<usize>,
    /// Largest observed contraction.
    pub pift_contraction: Option<f64>,
    /// Largest rho_k, the bound on it; proportional to 1/beta for the last step.
    pub pift_rho: Option<f64>,
    /// Why PI-FT failed.
    pub pift_failure: Option<String>,
}

impl SweepRow {
    /// What PI-FT found at this weight, if it did not fail.
    pub fn pift_point(&self) -> Option<PiFtPoint> {
        Some(PiFtPoint {
            kl_weight: self.kl_weight,
            iterations: self.pift_iterations?,
            contraction: self.pift_contraction,
            rho: self.pift_rho?,
            reward: self.pift_reward?,
            kl: self.pift_kl?,
        })
    }
}

/// PI-FT on the discrete chain at one weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PiFtPoint {
    /// beta.
    pub kl_weight: f64,
    /// Largest number of inner iterations at a step.
    pub iterations: usize,
    /// Largest observed contraction.
    pub contraction: Option<f64>,
    /// Largest rho_k, the bound on it.
    pub rho: f64,
    /// E r(Y_N) of the policy.
    pub reward: f64,
    /// KL divergence of its chain from the pre-trained one.
    pub kl: f64,
}

/// Reward and divergence of the exact optimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExactPoint {
    /// beta.
    pub kl_weight: f64,
    /// E V(0, Y_0).
    pub optimum: f64,
    /// E r(Y_T).
    pub reward: f64,
    /// KL.
    pub kl: f64,
}

/// Section `sweep` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct SweepReport {
    /// One for each weight, rising.
    pub rows: Vec<SweepRow>,
    /// PI-FT between the smallest and the largest weight, by rising weight; on a line only, and without weights at which it
    /// failed.
    pub pift_curve: Vec<PiFtPoint>,
    /// Weights at which the run failed, and why.
    pub failures: Vec<(f64, String)>,
    /// Nodes of the grid.
    pub nodes: Vec<usize>,
    /// Steps of the HJB solution and of the rollout.
    pub steps: usize,
    /// Paths of each rollout.
    pub paths: usize,
    /// Seed; the same for all weights, so that their errors rise and fall together.
    pub seed: u64,
    /// The initial law.
    pub initial_law: &'static str,
    /// Processes that shared the weights.
    pub ranks: usize,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A sweep and what its picture needs.
pub struct SweepRun {
    /// The report section.
    pub report: SweepReport,
    /// The exact optimum over the range of weights, where it is known and cheap; by rising weight.
    pub curve: Vec<ExactPoint>,
    /// The first failure.
    pub failure: Option<RunError>,
}

/// Points of the exact curve, and of that of PI-FT.
const CURVE: usize = 41;
const PIFT_CURVE: usize = 11;

/// The problem of `problem`'s file at each weight; `directory` is where relative data paths start.
///
/// # Errors
/// No weight, one that is not positive and finite or is there twice, or one at which the problem is not well-posed.
pub fn sweep_problems(problem: &Problem, weights: &[f64], directory: &Path) -> Result<Vec<Problem>, RunError> {
    let refused = |value: String, allowed: &str| RunError::from(ProblemError::invalid("--kl-weight", value, allowed));
    if weights.is_empty() {
        return Err(refused("nothing".into(), "needs at least one weight"));
    }
    if let Some(bad) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
        return Err(refused(bad.to_string(), "must be positive and finite"));
    }
    let bytes = needs::rollout(problem, problem.file.time_steps);
    needs::check(&problem.grid, Some(problem.file.time_steps), bytes)?;
    let mut weights = weights.to_vec();
    weights.sort_by(f64::total_cmp);
    if let Some(pair) = weights.windows(2).find(|w| w[0] == w[1]) {
        return Err(refused(pair[0].to_string(), "is there twice"));
    }
    let at = |weight: f64| {
        let mut file = problem.file.clone();
        file.kl_weight = KlWeightSpec::Constant(weight);
        Problem::resolve(file, directory).map_err(|e| refused(weight.to_string(), &e.to_string()))
    };
    weights.into_iter().map(at).collect()
}

/// Solve and simulate each of `problems`, which differ in their weight; the ranks take them in turn.
///
/// # Errors
/// Ranks that cannot work together. Failures at single weights are in the report.
pub fn sweep(
    problems: &[Problem],
    threads: Option<usize>,
    ranks: &dyn Ranks,
    progress: &dyn Progress,
) -> Result<SweepRun, RunError> {
    let start = Instant::now();
    let Some(first) = problems.first() else {
        return Err(ProblemError::invalid("--kl-weight", "nothing", "needs at least one weight").into());
    };
    progress.begin("sweep", problems.len() as u64);
    let mut own = Vec::new();
    for (i, problem) in problems.iter().enumerate().skip(ranks.rank()).step_by(ranks.size()) {
        if is_cancelled(progress) {
            break;
        }
        let row: Result<SweepRow, String> = row(problem, threads, progress).map_err(|e| e.to_string());
        // what is left of a row is none
        if is_cancelled(progress) {
            break;
        }
        progress.advance((i + 1) as u64);
        progress.note(&residuals(weight(problem), &row));
        own.push((i, row));
    }
    progress.end();
    let message = to_bytes(&own).ok_or_else(|| RanksError::Transport { reason: "a row cannot be written".into() })?;
    let mut all: Vec<(usize, Result<SweepRow, String>)> = Vec::new();
    for message in share(ranks, message)? {
        let rows: Option<Vec<_>> = from_bytes(&message);
        all.extend(rows.ok_or_else(|| RanksError::Transport { reason: "a row cannot be read".into() })?);
    }
    all.sort_by_key(|(i, _)| *i);
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for (i, row) in all {
        match row {
            Ok(row) => rows.push(row),
            Err(reason) => failures.push((weight(&problems[i]), reason)),
        }
    }
    let failure = failures.first().map(|(kl_weight, reason)| RunError::Sweep { kl_weight: *kl_weight, reason: reason.clone() });
    let first_rank = ranks.rank() == 0;
    let curve = if first_rank { curve(problems)? } else { Vec::new() };
    let report = SweepReport {
        rows,
        pift_curve: if first_rank && !is_cancelled(progress) { pift_curve(problems, progress.interrupt()) } else { Vec::new() },
        failures,
        nodes: first.grid.shape().to_vec(),
        steps: first.file.time_steps,
        paths: first.file.paths,
        seed: first.file.seed,
        initial_law: initial_law_name(first),
        ranks: ranks.size(),
        seconds: start.elapsed().as_secs_f64(),
    };
    Ok(SweepRun { report, curve, failure })
}

/// How well the last weight went, for whoever watches.
fn residuals(weight: f64, row: &Result<SweepRow, String>) -> String {
    match row {
        Ok(row) => {
            let contraction = row.pift_contraction.map_or("-".into(), |c| format!("{c:.3}"));
            format!("at {weight}: z {:.2}, contraction of PI-FT {contraction}", row.z_score)
        }
        Err(_) => format!("at {weight}: failed"),
    }
}

/// beta of a problem of a sweep.
fn weight(problem: &Problem) -> f64 {
    problem.model.kl_weight().as_constant().unwrap_or(f64::NAN)
}

fn row(problem: &Problem, threads: Option<usize>, progress: &dyn Progress) -> Result<SweepRow, RunError> {
    let mut solved = solve(problem, problem.file.time_steps, &Part(progress))?;
    if let Some(failure) = solved.failure.take() {
        return Err(failure);
    }
    let options = RolloutOptions { threads, ..RolloutOptions::default() };
    let run = rollout(problem, &solved, &options, &Part(progress))?;
    let (beta, r) = (weight(problem), &run.report);
    let exact = exact_point(problem, beta)?;
    let e = &r.estimates;
    let chain = chain_outcome(problem, problem.file.time_steps, 0, progress.interrupt());
    let of = |f: &dyn Fn(&ChainOutcome) -> f64| chain.as_ref().ok().map(f);
    Ok(SweepRow {
        kl_weight: beta,
        inverse_kl_weight: 1.0 / beta,
        optimum: r.optimum,
        optimum_exact: exact.map(|x| x.optimum),
        value_error: solved.report.value_error,
        euler_objective: r.euler_objective,
        objective: e.objective.mean,
        objective_stderr: e.objective.standard_error,
        z_score: r.z_score,
        reward: e.reward.mean,
        reward_stderr: e.reward.standard_error,
        reward_exact: exact.map(|x| x.reward),
        kl: e.kl_cost.mean / beta,
        kl_stderr: e.kl_cost.standard_error / beta,
        kl_exact: exact.map(|x| x.kl),
        outside_fraction: e.outside_fraction.mean,
        pift_objective: of(&|c| c.objective),
        pift_reward: of(&|c| c.reward),
        pift_kl: of(&|c| c.kl),
        pift_iterations: chain.as_ref().ok().map(|c| c.iterations),
        pift_contraction: chain.as_ref().ok().and_then(|c| c.contraction),
        pift_rho: of(&|c| c.rho),
        pift_failure: chain.as_ref().err().map(|e| e.to_string()),
    })
}

/// The optimum at weight beta from the closed form of V, and from its derivative by the envelope theorem
///   d/dbeta E V(0, Y_0; beta) = -KL,   E r(Y_T) = E V(0, Y_0) + beta KL,
/// with the initial law held fixed; the derivative by central differences of order 4, whose error is far below that of any
/// simulation. None without a closed form.
fn exact_point(problem: &Problem, beta: f64) -> Result<Option<ExactPoint>, RunError> {
    if problem.network.is_some() {
        return Ok(None);
    }
    let value = |beta: f64| -> Result<Option<f64>, RunError> {
        let m = &problem.model;
        let kl = KlWeight::constant(beta)?;
        let other = FineTuning::new(m.schedule().clone(), m.prior().clone(), m.reward().clone(), kl, InitialLaw::StandardNormal)?;
        let Some(exact) = closed_form(&other)? else { return Ok(None) };
        let mut v = vec![0.0; problem.grid.len()];
        exact.at(0.0).value(problem.grid.points().as_points(), &mut v);
        let mean = initial_mean(problem, &v);
        Ok(mean.is_finite().then_some(mean))
    };
    let Some(optimum) = value(beta)? else { return Ok(None) };
    let h = 0.01 * beta;
    let mut slope = 0.0;
    for (k, c) in [(-2.0, 1.0), (-1.0, -8.0), (1.0, 8.0), (2.0, -1.0)] {
        // beside a weight at the edge of well-posedness there may be none
        let Ok(Some(v)) = value(beta + k * h) else { return Ok(None) };
        slope += c * v / (12.0 * h);
    }
    Ok(Some(ExactPoint { kl_weight: beta, optimum, reward: optimum - beta * slope, kl: -slope }))
}

/// The exact optimum between the smallest and the largest weight, on a line.
fn curve(problems: &[Problem]) -> Result<Vec<ExactPoint>, RunError> {
    let (Some(first), Some(last)) = (problems.first(), problems.last()) else { return Ok(Vec::new()) };
    if first.dim() != 1 || problems.len() < 2 {
        return Ok(Vec::new());
    }
    let (low, high) = (weight(first), weight(last));
    // an initial law that depends on the weight is known at the weights only
    let betas: Vec<(f64, &Problem)> = if first.model.initial() == InitialLaw::Optimal {
        problems.iter().map(|p| (weight(p), p)).collect()
    } else {
        let at = |i: usize| low * (high / low).powf(i as f64 / (CURVE - 1) as f64);
        (0..CURVE).map(|i| (at(i), first)).collect()
    };
    let mut points = Vec::with_capacity(betas.len());
    for (beta, problem) in betas {
        points.extend(exact_point(problem, beta)?);
    }
    Ok(points)
}

/// PI-FT between the smallest and the largest weight, on a line.
fn pift_curve(problems: &[Problem], interrupt: Option<&AtomicBool>) -> Vec<PiFtPoint> {
    let (Some(first), Some(last)) = (problems.first(), problems.last()) else { return Vec::new() };
    if first.dim() != 1 || problems.len() < 2 || first.network.is_some() {
        return Vec::new();
    }
    let (low, high) = (weight(first), weight(last));
    let point = |i: usize| {
        let beta = low * (high / low).powf(i as f64 / (PIFT_CURVE - 1) as f64);
        let m = &first.model;
        let kl = KlWeight::constant(beta).ok()?;
        let model = FineTuning::new(m.schedule().clone(), m.prior().clone(), m.reward().clone(), kl, m.initial()).ok()?;
        // a line is too short for two threads: the weights are shared out instead
        let chain = chain_outcome(&Problem { model, ..first.clone() }, first.file.time_steps, 1, interrupt).ok()?;
        let ChainOutcome { iterations, contraction, rho, reward, kl, .. } = chain;
        Some(PiFtPoint { kl_weight: beta, iterations, contraction, rho, reward, kl })
    };
    (0..PIFT_CURVE).into_par_iter().map(point).collect::<Vec<_>>().into_iter().flatten().collect()
}
