//! `pift --parametric`: the flags of a policy with parameters, and the summary of its training.

use super::common::{Session, Subject};
use super::rollout_options::catch_interrupt;
use crate::problem::{ProblemError, SampledProblem};
use crate::report::{ReportError, TRAINING, atomic, draw_parametric};
use crate::run::{ParametricOptions, PolicyKind, RunError, Training, parametric};
use clap::{Args, ValueEnum};
use hjbridge_pift::parametric::{FeatureSpec, Mean, PolicyInput};
use std::path::PathBuf;

/// Flags of a policy with parameters.
#[derive(Args)]
#[command(next_help_heading = "Parametric policy")]
pub(super) struct ParametricArgs {
    /// Train a policy with parameters on sampled paths, in place of the grid
    #[arg(long, value_name = "POLICY")]
    pub parametric: Option<Kind>,
    /// Degree of the polynomials
    #[arg(long, default_value_t = 2, requires = "parametric")]
    degree: usize,
    /// Number of bells or cosines
    #[arg(long, default_value_t = 50, requires = "parametric")]
    features: usize,
    /// Length over which the cosines vary, in standard deviations of the states
    #[arg(long, default_value_t = 2.0, requires = "parametric")]
    length_scale: f64,
    /// Widths of the network's hidden layers
    #[arg(long, value_delimiter = ',', default_values_t = [32, 32], requires = "parametric")]
    hidden: Vec<usize>,
    /// The policy sees the pre-trained score besides the state
    #[arg(long, requires = "parametric")]
    with_score: bool,
    /// How it is trained [default: least-squares, adam for a network]
    #[arg(long, requires = "parametric")]
    training: Option<How>,
    /// Paths of each estimate, an even number [default: 4096, 256 for adam]
    #[arg(long, requires = "parametric")]
    training_paths: Option<usize>,
    /// Sweeps of least squares, or most iterations of an ascent [default: 1 or 200]
    #[arg(long, requires = "parametric")]
    training_iterations: Option<usize>,
    /// Learning rate of adam
    #[arg(long, default_value_t = 0.01, requires = "parametric")]
    rate: f64,
    /// Ridge of least squares, relative to the largest singular value of the features [default: 1e-8, 1e-3 for cosines]
    #[arg(long, requires = "parametric")]
    ridge: Option<f64>,
    /// Gradients by the score function, from values of the reward only
    #[arg(long, requires = "parametric")]
    score_function: bool,
    /// Go on with the training.json of an earlier run of the same problem and flags
    #[arg(long, value_name = "FILE", requires = "parametric")]
    resume: Option<PathBuf>,
}

/// Policies.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Polynomial,
    RadialBasis,
    RandomFourier,
    Network,
}

/// Trainings.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    LeastSquares,
    Natural,
    Gradient,
    Adam,
}

impl ParametricArgs {
    fn options(&self, kind: Kind) -> Result<ParametricOptions, RunError> {
        let policy = match kind {
            Kind::Polynomial => PolicyKind::Linear(FeatureSpec::Polynomial { degree: self.degree }),
            Kind::RadialBasis => PolicyKind::Linear(FeatureSpec::RadialBasis { centers: self.features, width: None }),
            Kind::RandomFourier => {
                PolicyKind::Linear(FeatureSpec::RandomFourier { count: self.features, length_scale: self.length_scale })
            }
            Kind::Network => PolicyKind::Network(self.hidden.clone()),
        };
        let training = match self.training {
            None if kind == Kind::Network => Training::Adam,
            None | Some(How::LeastSquares) => Training::LeastSquares,
            Some(How::Natural) => Training::Natural,
            Some(How::Gradient) => Training::Gradient,
            Some(How::Adam) => Training::Adam,
        };
        let resume = match &self.resume {
            None => None,
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|e| ProblemError::invalid("--resume", path.display(), format!("a file that can be read ({e})")))?,
            ),
        };
        Ok(ParametricOptions {
            policy,
            input: if self.with_score { PolicyInput::StateAndScore } else { PolicyInput::State },
            training,
            paths: self.training_paths.unwrap_or(if training == Training::Adam { 256 } else { 4096 }),
            iterations: self.training_iterations.unwrap_or(if training == Training::LeastSquares { 1 } else { 200 }),
            rate: self.rate,
            ridge: self.ridge,
            score_function: self.score_function,
            resume,
            interrupt: catch_interrupt(),
        })
    }
}

/// Train, write `training.json` and the report.
pub(super) fn run<P: Subject>(
    session: &Session<P>,
    problem: &SampledProblem,
    args: &ParametricArgs,
    kind: Kind,
) -> Result<(), RunError> {
    let run = parametric(problem, &args.options(kind)?, &session.bars)?;
    session.claim()?;
    atomic::replace(&session.out.path().join(TRAINING), |path| {
        std::fs::write(path, &run.state).map_err(|e| ReportError::io(path, e))
    })?;
    let mut report = session.report();
    let r = &run.report;
    let mut summary = session.heading();
    summary.push(format!("  N = {}, {} parameters: trained in {:.2} s", r.steps, r.parameters, r.seconds));
    if let (Some(worst), Some(slowest)) =
        (r.fits.iter().map(|f| f.condition).reduce(f64::max), r.fits.iter().map(|f| f.updates.len()).max())
    {
        let contraction = r.fits.iter().filter_map(|f| f.contraction).reduce(f64::max);
        let seen = contraction.map_or("-".into(), |c| format!("{c:.3}"));
        summary.push(format!("  at most {slowest} inner iterations, contraction {seen}, condition of the features {worst:.1e}"));
    }
    if let Some(last) = r.history.last() {
        summary.push(format!("  {} iterations, last gradient {:.2e}", last.iteration + 1, last.gradient));
    }
    let shown = |m: Mean| format!("{:.6} ± {:.1e}", m.mean, m.standard_error);
    for (name, info) in std::iter::once(("pre-trained", &r.pretrained)).chain(r.achieved.iter().map(|a| ("policy", a))) {
        summary.push(format!(
            "  {name:11}  objective {}   reward {}   KL {}",
            shown(info.objective),
            shown(info.reward),
            shown(info.kl)
        ));
    }
    if let Some(bound) = r.achieved.and_then(|a| a.upper_bound) {
        summary.push(format!("  no policy of the chain exceeds {}", shown(bound)));
    }
    if let (Some(optimum), Some(reference)) = (r.optimum, r.reference) {
        summary.push(format!("  optimum of the continuous problem ({reference}) {optimum:.6}"));
    }
    session.add_figures(&mut report, draw_parametric::figures(problem, &run, session.out.path()));
    report.parametric = Some(run.report);
    session.finish(report, run.failure, &summary)
}
