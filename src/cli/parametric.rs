//! `pift --parametric`: the flags of a policy with parameters, and the summary of its training.

use super::common::{Session, Subject};
use super::interrupt;
use crate::problem::{ProblemError, SampledProblem};
use crate::report::{ReportError, TRAINING, atomic, draw_parametric};
use crate::run::{ParametricOptions, PolicyKind, RunError, Training, parametric};
use clap::{Args, ValueEnum};
use hjbridge_pift::parametric::{FeatureSpec, Mean, PolicyInput, StateLaw};
use std::path::PathBuf;

/// Flags of a policy with parameters.
#[derive(Args)]
#[command(next_help_heading = "Parametric policy")]
pub(super) struct ParametricArgs {
    /// Train a policy with parameters on sampled paths, in place of the grid
    #[arg(long, value_name = "POLICY")]
    pub parametric: Option<Kind>,
    /// Degree of the polynomials [default: 2]
    #[arg(long, requires = "parametric")]
    degree: Option<usize>,
    /// Number of bells or cosines [default: 50]
    #[arg(long, requires = "parametric")]
    features: Option<usize>,
    /// Length over which the cosines vary, in standard deviations of the states [default: 2]
    #[arg(long, requires = "parametric")]
    length_scale: Option<f64>,
    /// Widths of the network's hidden layers [default: 32,32]
    #[arg(long, value_delimiter = ',', requires = "parametric")]
    hidden: Option<Vec<usize>>,
    /// The policy sees the pre-trained score besides the state
    #[arg(long, requires = "parametric")]
    with_score: bool,
    /// How it is trained [default: least-squares, gradient with --score-function, adam for a network]
    #[arg(long, requires = "parametric")]
    training: Option<How>,
    /// Paths of each estimate, an even number [default: 4096, 256 for adam]
    #[arg(long, requires = "parametric")]
    training_paths: Option<usize>,
    /// Sweeps of least squares, or most iterations of an ascent [default: 1 or 200]
    #[arg(long, requires = "parametric")]
    training_iterations: Option<usize>,
    /// Learning rate of adam [default: 0.01]
    #[arg(long, requires = "parametric")]
    rate: Option<f64>,
    /// Whose paths give the states of least squares [default: current]
    #[arg(long, requires = "parametric")]
    states: Option<Whose>,
    /// Ridge of least-squares and natural, relative to the largest singular value of the features [default: 1e-8, 1e-3 for cosines]
    #[arg(long, requires = "parametric")]
    ridge: Option<f64>,
    /// Gradients by the score function, from values of the reward only; not for least-squares
    #[arg(long, requires = "parametric")]
    score_function: bool,
    /// Go on with the training.json of an earlier run of the same problem, policy, seed and size
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

/// Laws of the states.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// The pre-trained chain
    Pretrained,
    /// The policy at the beginning of each sweep
    Current,
}

impl ParametricArgs {
    /// Whether an earlier training goes on.
    pub fn resumes(&self) -> bool {
        self.resume.is_some()
    }

    /// Flags that would do nothing are refused.
    fn check(&self, kind: Kind, training: Training) -> Result<(), ProblemError> {
        let (bells, cosines, network) = (kind == Kind::RadialBasis, kind == Kind::RandomFourier, kind == Kind::Network);
        let (sweeps, adam) = (training == Training::LeastSquares, training == Training::Adam);
        for (flag, given, used, by) in [
            ("--degree", self.degree.is_some(), kind == Kind::Polynomial, "polynomial"),
            ("--features", self.features.is_some(), bells || cosines, "radial-basis and random-fourier"),
            ("--length-scale", self.length_scale.is_some(), cosines, "random-fourier"),
            ("--hidden", self.hidden.is_some(), network, "network"),
            ("--rate", self.rate.is_some(), adam, "--training adam"),
            ("--ridge", self.ridge.is_some(), sweeps || training == Training::Natural, "--training least-squares and natural"),
            ("--states", self.states.is_some(), sweeps, "--training least-squares"),
        ] {
            if given && !used {
                return Err(ProblemError::invalid(flag, "given", format!("only with {by}")));
            }
        }
        Ok(())
    }

    fn options(&self, kind: Kind) -> Result<ParametricOptions, RunError> {
        let features = self.features.unwrap_or(50);
        let policy = match kind {
            Kind::Polynomial => PolicyKind::Linear(FeatureSpec::Polynomial { degree: self.degree.unwrap_or(2) }),
            Kind::RadialBasis => PolicyKind::Linear(FeatureSpec::RadialBasis { centers: features, width: None }),
            Kind::RandomFourier => {
                PolicyKind::Linear(FeatureSpec::RandomFourier { count: features, length_scale: self.length_scale.unwrap_or(2.0) })
            }
            Kind::Network => PolicyKind::Network(self.hidden.clone().unwrap_or_else(|| vec![32, 32])),
        };
        let training = match self.training {
            None if kind == Kind::Network => Training::Adam,
            None if self.score_function => Training::Gradient,
            None | Some(How::LeastSquares) => Training::LeastSquares,
            Some(How::Natural) => Training::Natural,
            Some(How::Gradient) => Training::Gradient,
            Some(How::Adam) => Training::Adam,
        };
        self.check(kind, training)?;
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
            rate: self.rate.unwrap_or(0.01),
            ridge: self.ridge,
            states: if self.states == Some(Whose::Pretrained) { StateLaw::Pretrained } else { StateLaw::Current },
            score_function: self.score_function,
            resume,
            interrupt: interrupt::flag(),
        })
    }
}

/// A training with less than this share of what the bound leaves gets a hint.
const ENOUGH: f64 = 0.8;

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
        let (before, after) = (r.pretrained.objective, r.achieved.map_or(f64::NAN, |a| a.objective.mean));
        let gain = bound.mean - before.mean;
        let share = (after - before.mean) / gain;
        // nothing to say where the gain is noise
        if gain > 5.0 * bound.standard_error.hypot(before.standard_error) && share < ENOUGH {
            let advice = match kind {
                Kind::Network => "more iterations or a wider network",
                _ => "other features (--with-score, --parametric radial-basis) or --training natural",
            };
            summary.push(format!(
                "  note: at least {:.0} % of what can be gained is there; {advice} may give more",
                100.0 * share.max(0.0)
            ));
        }
    }
    if let (Some(optimum), Some(reference)) = (r.optimum, r.reference) {
        summary.push(format!("  optimum of the continuous problem ({reference}) {optimum:.6}"));
    }
    session.add_figures(&mut report, draw_parametric::figures(problem, &run, session.out.path()));
    report.parametric = Some(run.report);
    session.finish(report, run.failure, &summary)
}
