//! `pift --parametric`: policies with parameters, trained on sampled paths of the chain.

use super::pift::chain_params;
use super::{Progress, RunError};
use crate::problem::{ProblemError, SampledProblem};
use hjbridge_model::exact::{ClosedForm, closed_form};
use hjbridge_pift::Ddpm;
use hjbridge_pift::parametric::{
    Ascent, AscentIteration, AscentParams, AscentState, Direction, Estimator, FeatureSpec, FitInfo, LeastSquares,
    LeastSquaresParams, LeastSquaresState, LinearParams, LinearPolicy, NetworkParams, NetworkPolicy, NoiseRule, ObjectiveInfo,
    ParametricError, Policy, PolicyInput, Pretrained, SampledChain, StateLaw, StoppedBy,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Samples that are drawn.
const IMAGES: usize = 36;

/// Which policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Linear in its parameters.
    Linear(FeatureSpec),
    /// A multilayer perceptron with these hidden layers.
    Network(Vec<usize>),
}

/// How it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Training {
    /// Backward sweeps of least squares; linear policies.
    LeastSquares,
    /// Natural gradient with a line search; linear policies.
    Natural,
    /// Gradient with a line search.
    Gradient,
    /// Adam.
    Adam,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ParametricOptions {
    /// Which policy.
    pub policy: PolicyKind,
    /// What it sees.
    pub input: PolicyInput,
    /// How it is trained.
    pub training: Training,
    /// Paths of each estimate; even.
    pub paths: usize,
    /// Sweeps of least squares, or most iterations of an ascent.
    pub iterations: usize,
    /// Adam's rate.
    pub rate: f64,
    /// Ridge of least squares, relative to the largest singular value; none for 1e-8, and 1e-3 for cosines.
    pub ridge: Option<f64>,
    /// Whose paths give the states of least squares.
    pub states: StateLaw,
    /// Gradients from values of the reward only; not for least squares.
    pub score_function: bool,
    /// A training stored before, as text; its policy goes on.
    pub resume: Option<String>,
    /// Set by the user to end the training.
    pub interrupt: Arc<AtomicBool>,
}

/// Section `parametric` of the report.
#[derive(Clone, Debug, Serialize)]
pub struct ParametricReport {
    /// Wall time of the training, in seconds.
    pub seconds: f64,
    /// N.
    pub steps: usize,
    /// Which policy.
    pub policy: PolicyKind,
    /// What it sees.
    pub input: PolicyInput,
    /// Number of parameters.
    pub parameters: usize,
    /// How it was trained.
    pub training: Training,
    /// Paths of each estimate.
    pub training_paths: usize,
    /// Why an ascent ended.
    pub stopped_by: Option<StoppedBy>,
    /// Fits of the least squares, in their order.
    pub fits: Vec<FitInfo>,
    /// What the policy achieved before the first sweep of least squares and after each one.
    pub sweeps: Vec<ObjectiveInfo>,
    /// Iterations of the ascent.
    pub history: Vec<AscentIteration>,
    /// The pre-trained model on paths that the training has not seen.
    pub pretrained: ObjectiveInfo,
    /// The policy on the same paths; none when it loses some.
    pub achieved: Option<ObjectiveInfo>,
    /// Which closed form of the continuous problem `optimum` is from.
    pub reference: Option<&'static str>,
    /// E V(0, Y_0) of the continuous problem over the same initial states; the chain's optimum differs from it by O(h).
    pub optimum: Option<f64>,
}

/// The report and the training to be resumed.
pub struct ParametricRun {
    /// The report section.
    pub report: ParametricReport,
    /// The training as text.
    pub state: String,
    /// Final states before and after, one state after the other, when they are images.
    pub samples: Option<[Vec<f64>; 2]>,
    /// Why it did not finish.
    pub failure: Option<RunError>,
}

/// What is stored between runs.
#[derive(Serialize, Deserialize)]
struct Stored {
    policy: PolicyKind,
    input: PolicyInput,
    training: Training,
    setting: Setting,
    state: StoredState,
}

/// What must be the same when a training goes on: what the policy is trained on, by what the pre-trained chain does on some paths.
#[derive(PartialEq, Serialize, Deserialize)]
struct Setting {
    seed: u64,
    paths: usize,
    states: StateLaw,
    alphas: Vec<f64>,
    variances: Vec<f64>,
    kl_weights: Vec<f64>,
    pretrained: ObjectiveInfo,
}

/// Paths that tell one problem from another.
const WITNESSES: usize = 64;

impl Setting {
    fn new(chain: &SampledChain<'_>, options: &ParametricOptions, seed: u64) -> Result<Self, RunError> {
        let ddpm = chain.ddpm();
        let zero = Pretrained { dim: chain.dim(), steps: chain.steps() };
        Ok(Setting {
            seed,
            paths: options.paths,
            states: options.states,
            alphas: ddpm.alphas().to_vec(),
            variances: ddpm.variances().to_vec(),
            kl_weights: ddpm.kl_weights().to_vec(),
            pretrained: chain.evaluate(&zero, WITNESSES, seed)?,
        })
    }

    /// Where it differs from that of this run: (what was found, what is allowed).
    fn difference(&self, this: &Self) -> Option<(String, String)> {
        if self.seed != this.seed {
            return Some((format!("a training with seed {}", self.seed), format!("one with --seed {}", this.seed)));
        }
        if self.paths != this.paths {
            return Some((format!("a training with {} paths", self.paths), format!("one with --training-paths {}", this.paths)));
        }
        if self.states != this.states {
            return Some((format!("a training with states {:?}", self.states), format!("one with --states {:?}", this.states)));
        }
        (self != this).then(|| ("a training of another problem".into(), "one of this problem and number of steps".into()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
enum StoredState {
    LeastSquares { state: LeastSquaresState },
    AscentLinear { state: AscentState<LinearPolicy> },
    AscentNetwork { state: AscentState<NetworkPolicy> },
}

impl StoredState {
    fn check(&self, chain: &SampledChain<'_>) -> Result<(), ParametricError> {
        match self {
            StoredState::LeastSquares { state } => state.check(chain),
            StoredState::AscentLinear { state } => state.check(chain),
            StoredState::AscentNetwork { state } => state.check(chain),
        }
    }

    fn is_of(&self, policy: &PolicyKind, training: Training) -> bool {
        match (policy, training) {
            (PolicyKind::Linear(_), Training::LeastSquares) => matches!(self, StoredState::LeastSquares { .. }),
            (PolicyKind::Linear(_), _) => matches!(self, StoredState::AscentLinear { .. }),
            (PolicyKind::Network(_), _) => matches!(self, StoredState::AscentNetwork { .. }),
        }
    }
}

/// Train a policy and estimate what it achieves on the problem's number of paths.
///
/// # Errors
/// Input that does not fit. A training that fails half-way is returned inside the run.
pub fn parametric(
    problem: &SampledProblem,
    options: &ParametricOptions,
    progress: &dyn Progress,
) -> Result<ParametricRun, RunError> {
    let ddpm = Ddpm::new(&problem.model, chain_params(&problem.file.pift, &problem.model, problem.file.time_steps))?;
    let chain = SampledChain::new(&ddpm, problem.model.initial_law())?;
    let seed = problem.file.seed;
    if options.score_function && options.training == Training::LeastSquares {
        let allowed = "natural, gradient or adam with --score-function: least squares need the gradient of the reward";
        return Err(ProblemError::invalid("--training", "LeastSquares", allowed).into());
    }
    let setting = Setting::new(&chain, options, seed)?;
    // first of all, so that nothing is lost when there are too many paths
    let paths = problem.file.paths.max(4).next_multiple_of(2);
    let zero = Pretrained { dim: chain.dim(), steps: chain.steps() };
    let exact = closed_form(&problem.model)?;
    let optimum = match &exact {
        Some(exact) => {
            let y = chain.initial(paths, seed)?;
            let mut v = vec![0.0; paths];
            exact.at(0.0).value(y.as_points(), &mut v);
            Some(v.iter().sum::<f64>() / paths as f64)
        }
        None => None,
    };
    let pretrained = chain.evaluate(&zero, paths, seed)?;
    let start = std::time::Instant::now();
    let linear =
        |features| LinearPolicy::new(&chain, LinearParams { features, input: options.input, seed, ..Default::default() });
    let mut state = match (&options.resume, &options.policy, options.training) {
        (Some(text), _, _) => resumed(text, options, &chain, &setting)?,
        (None, PolicyKind::Linear(features), Training::LeastSquares) => {
            let trainer = LeastSquares::new(&chain, least_squares(options, seed))?;
            StoredState::LeastSquares { state: trainer.start(linear(*features)?)? }
        }
        (None, PolicyKind::Linear(features), _) => {
            StoredState::AscentLinear { state: Ascent::new(&chain, ascent(options, seed))?.start(linear(*features)?)? }
        }
        (None, PolicyKind::Network(_), Training::LeastSquares | Training::Natural) => {
            let allowed = "gradient or adam for a network";
            return Err(ProblemError::invalid("--training", format!("{:?}", options.training), allowed).into());
        }
        (None, PolicyKind::Network(hidden), _) => {
            let params = NetworkParams { hidden: hidden.clone(), input: options.input, seed, ..Default::default() };
            let policy = NetworkPolicy::new(&chain, &params)?;
            StoredState::AscentNetwork { state: Ascent::new(&chain, ascent(options, seed))?.start(policy)? }
        }
    };
    let mut stopped_by = None;
    let outcome: Result<(), RunError> = match &mut state {
        StoredState::LeastSquares { state } => {
            let params = least_squares(options, seed);
            let trainer = LeastSquares::new(&chain, params)?.with_interrupt(&options.interrupt);
            progress.begin("least squares", (params.sweeps * chain.steps()) as u64);
            let done = trainer.run(state, &mut |s| {
                progress.advance(s.info.len() as u64);
                s.info.last().iter().for_each(|fit| progress.note(&fit_note(fit)));
            });
            done.map(|_| ()).map_err(RunError::from)
        }
        StoredState::AscentLinear { state } => climb(&chain, options, seed, state, progress).map(|s| stopped_by = Some(s)),
        StoredState::AscentNetwork { state } => climb(&chain, options, seed, state, progress).map(|s| stopped_by = Some(s)),
    };
    progress.end();
    let seconds = start.elapsed().as_secs_f64();
    let mut failure = match outcome {
        Err(e) if e.is_input() => return Err(e),
        Err(e) => Some(e),
        Ok(()) => None,
    };
    let (policy, fits, sweeps, history): (&dyn Policy, _, _, _) = match &state {
        StoredState::LeastSquares { state } => (&state.policy, state.info.clone(), state.achieved.clone(), Vec::new()),
        StoredState::AscentLinear { state } => (&state.policy, Vec::new(), Vec::new(), state.history.clone()),
        StoredState::AscentNetwork { state } => (&state.policy, Vec::new(), Vec::new(), state.history.clone()),
    };
    if failure.is_none() && options.interrupt.load(Ordering::Relaxed) {
        failure = Some(RunError::Stopped { done: fits.len() + history.len() });
    }
    // a policy that loses paths has failed in training as well; what there is is kept
    let achieved = match chain.evaluate(policy, paths, seed) {
        Ok(info) => Some(info),
        Err(e) => {
            failure.get_or_insert(e.into());
            None
        }
    };
    let samples = match problem.file.image {
        Some(_) if achieved.is_some() => Some([last_states(&chain, &zero, seed)?, last_states(&chain, policy, seed)?]),
        _ => None,
    };
    let report = ParametricReport {
        seconds,
        steps: chain.steps(),
        policy: options.policy.clone(),
        input: options.input,
        parameters: policy.parameters().len(),
        training: options.training,
        training_paths: options.paths,
        stopped_by,
        fits,
        sweeps,
        history,
        pretrained,
        achieved,
        reference: exact.as_deref().map(ClosedForm::description),
        optimum,
    };
    let stored = Stored { policy: options.policy.clone(), input: options.input, training: options.training, setting, state };
    let state =
        serde_json::to_string(&stored).map_err(|e| RunError::Unsupported(format!("the training cannot be stored: {e}")))?;
    Ok(ParametricRun { report, state, samples, failure })
}

/// A stored training, when it is of the policy and in the setting that are asked for.
fn resumed(
    text: &str,
    options: &ParametricOptions,
    chain: &SampledChain<'_>,
    setting: &Setting,
) -> Result<StoredState, RunError> {
    let refuse = |found: String, allowed: String| RunError::from(ProblemError::invalid("--resume", found, allowed));
    let stored: Stored =
        serde_json::from_str(text).map_err(|e| refuse("this file".into(), format!("a training.json of this version: {e}")))?;
    let found = (&stored.policy, stored.input, stored.training);
    let wanted = (&options.policy, options.input, options.training);
    if found != wanted {
        return Err(refuse(format!("a training of {found:?}"), format!("one of {wanted:?}, as the flags say")));
    }
    if let Some((found, allowed)) = stored.setting.difference(setting) {
        return Err(refuse(found, allowed));
    }
    let whole = |why: String| refuse("this file".into(), format!("a training.json as it was written: {why}"));
    if !stored.state.is_of(&options.policy, options.training) {
        return Err(whole("its method is not that of its policy and training".into()));
    }
    stored.state.check(chain).map_err(|e| whole(e.to_string()))?;
    Ok(stored.state)
}

/// The residual of a step of least squares.
fn fit_note(fit: &FitInfo) -> String {
    let update = fit.updates.last().copied().unwrap_or(0.0);
    let contraction = fit.contraction.map_or(String::new(), |c| format!(", contraction {c:.3}"));
    format!("k = {}: last update {update:.1e}{contraction}", fit.k)
}

/// Where an ascent is.
fn ascent_note(row: &AscentIteration) -> String {
    let j = row.achieved.objective;
    format!("J = {:.4} ± {:.1e}, |grad| = {:.1e}", j.mean, j.standard_error, row.gradient)
}

/// [`IMAGES`] states Y_N, one after the other.
fn last_states(chain: &SampledChain<'_>, policy: &dyn Policy, seed: u64) -> Result<Vec<f64>, RunError> {
    let y = chain.sample(policy, IMAGES, seed)?.swap_remove(chain.steps());
    Ok((0..IMAGES).flat_map(|j| (0..y.dim()).map(|i| y.coord(i)[j]).collect::<Vec<_>>()).collect())
}

fn climb<P: Policy>(
    chain: &SampledChain<'_>,
    options: &ParametricOptions,
    seed: u64,
    state: &mut AscentState<P>,
    progress: &dyn Progress,
) -> Result<StoppedBy, RunError> {
    let climber = Ascent::new(chain, ascent(options, seed))?.with_interrupt(&options.interrupt);
    progress.begin("ascent", options.iterations as u64);
    let info = climber.run(state, &mut |s| {
        progress.advance(s.history.len() as u64);
        s.history.last().iter().for_each(|row| progress.note(&ascent_note(row)));
    })?;
    Ok(info.stopped_by)
}

fn least_squares(options: &ParametricOptions, seed: u64) -> LeastSquaresParams {
    let (paths, states, sweeps) = (options.paths, options.states, options.iterations);
    LeastSquaresParams { paths, seed, states, sweeps, ridge: ridge(options), ..Default::default() }
}

/// Combinations of cosines run away where there are few states.
fn ridge(options: &ParametricOptions) -> f64 {
    let cosines = matches!(options.policy, PolicyKind::Linear(FeatureSpec::RandomFourier { .. }));
    options.ridge.unwrap_or(if cosines { 1e-3 } else { 1e-8 })
}

fn ascent(options: &ParametricOptions, seed: u64) -> AscentParams {
    let adam = options.training == Training::Adam;
    AscentParams {
        paths: options.paths,
        seed,
        noise: if adam { NoiseRule::Fresh } else { NoiseRule::Common },
        estimator: if options.score_function { Estimator::ScoreFunction } else { Estimator::default() },
        direction: match options.training {
            Training::Natural | Training::LeastSquares => Direction::Natural { ridge: ridge(options) },
            Training::Gradient => Direction::Gradient,
            Training::Adam => Direction::adam(options.rate),
        },
        iterations: options.iterations,
        ..Default::default()
    }
}
