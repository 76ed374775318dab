//! What can go wrong in a run: the user's input, or the numerics.

use crate::problem::ProblemError;
use crate::report::ReportError;
use hjbridge_hjb::HjbError;
use hjbridge_model::ModelError;
use hjbridge_pift::PiFtError;
use hjbridge_pift::parametric::ParametricError;
use hjbridge_rollout::RolloutError;

/// A run that did not finish.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The problem file.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// A model object.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The HJB solver.
    #[error("{part}{0}", part = if is_input(.0) { "" } else { "HJB equation: " })]
    Hjb(#[from] HjbError),
    /// PI-FT.
    #[error("PI-FT: {0}")]
    PiFt(#[from] PiFtError),
    /// Parametric PI-FT.
    #[error("parametric PI-FT: {0}")]
    Parametric(#[from] ParametricError),
    /// The rollout.
    #[error("rollout: {0}")]
    Rollout(#[from] RolloutError),
    /// Output.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Several processes that could not work together.
    #[error(transparent)]
    Ranks(#[from] hjbridge_rollout::ranks::RanksError),
    /// One weight of a sweep.
    #[error("at kl_weight = {kl_weight}: {reason}")]
    Sweep {
        /// The weight.
        kl_weight: f64,
        /// Why.
        reason: String,
    },
    /// Something this version does not do.
    #[error("{0}")]
    Unsupported(String),
    /// The user ended the run.
    #[error("interrupted before everything was done")]
    Cancelled,
    /// The user ended a training.
    #[error("interrupted after {done} iterations; --resume goes on")]
    Stopped {
        /// Fits or iterations done.
        done: usize,
    },
    /// The user ended the run.
    #[error("interrupted after {paths} paths")]
    Interrupted {
        /// Paths done.
        paths: u64,
    },
    /// The user ended the multilevel run beside a rollout.
    #[error("interrupted in the multilevel run, after {path_steps:.2e} of its path-steps; the plain run is whole")]
    MultilevelInterrupted {
        /// Steps of all its paths.
        path_steps: f64,
    },
    /// The user ended a benchmark.
    #[error("interrupted after {rows} rows of the table")]
    BenchmarkInterrupted {
        /// Rows finished.
        rows: usize,
    },
    /// The multilevel run beside a rollout failed.
    #[error(
        "multilevel run from {base_steps} steps: {reason}; more steps on the coarsest level (--mlmc-base-steps) may be needed"
    )]
    Multilevel {
        /// Steps of the coarsest level.
        base_steps: usize,
        /// Why.
        reason: RolloutError,
    },
}

impl RunError {
    /// Whether the cause is what the user wrote (exit code 2) and not the numerics (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            RunError::Problem(_) | RunError::Unsupported(_) => true,
            RunError::Model(e) => !matches!(e, ModelError::Integration { .. }),
            RunError::Hjb(e) => is_input(e),
            RunError::PiFt(e) => matches!(e, PiFtError::Invalid { .. } | PiFtError::Unsupported { .. }),
            RunError::Parametric(ParametricError::Model(_)) => true,
            RunError::Parametric(e) => matches!(e, ParametricError::Invalid { .. } | ParametricError::RankDeficient { .. }),
            RunError::Rollout(e) => {
                matches!(e, RolloutError::Invalid { .. } | RolloutError::Dimension { .. } | RolloutError::Checkpoint { .. })
            }
            RunError::Report(e) => matches!(e, ReportError::Invalid { .. }),
            RunError::Interrupted { .. }
            | RunError::Stopped { .. }
            | RunError::Cancelled
            | RunError::Ranks(_)
            | RunError::Sweep { .. } => false,
            RunError::MultilevelInterrupted { .. } | RunError::Multilevel { .. } | RunError::BenchmarkInterrupted { .. } => false,
        }
    }

    /// The field of the problem file that is to blame, by its path (`drift[0]`), where the error names one.
    pub fn field(&self) -> Option<&str> {
        match self {
            RunError::Problem(ProblemError::Model(e)) | RunError::Model(e) | RunError::Hjb(HjbError::Model(e)) => match e {
                ModelError::Invalid { field, .. }
                | ModelError::Shape { field, .. }
                | ModelError::Formula { field, .. }
                | ModelError::IllPosedTilt { field, .. } => Some(field),
                ModelError::Integration { .. } => None,
            },
            RunError::Hjb(HjbError::Invalid { field, .. } | HjbError::Shape { field, .. }) => Some(field),
            RunError::PiFt(PiFtError::Invalid { field, .. }) if field.starts_with("alpha") => Some("pift.alpha"),
            RunError::PiFt(PiFtError::Invalid { field, .. }) if field.starts_with("kl_weight") => Some("kl_weight"),
            RunError::PiFt(PiFtError::Model(ModelError::Invalid { field, .. })) => Some(field),
            _ => None,
        }
    }
}

/// Whether the cause is what the user wrote.
fn is_input(e: &HjbError) -> bool {
    match e {
        HjbError::Model(e) => !matches!(e, ModelError::Integration { .. }),
        HjbError::Invalid { .. }
        | HjbError::Memory { .. }
        | HjbError::Unsupported { .. }
        | HjbError::TooLarge { .. }
        | HjbError::ControlWeight { .. } => true,
        _ => false,
    }
}
