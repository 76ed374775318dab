//! What can go wrong in a run: the user's input, or the numerics.

use crate::problem::ProblemError;
use crate::report::ReportError;
use hjbridge_hjb::HjbError;
use hjbridge_model::ModelError;
use hjbridge_pift::PiFtError;
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
    #[error("HJB: {0}")]
    Hjb(#[from] HjbError),
    /// PI-FT.
    #[error("PI-FT: {0}")]
    PiFt(#[from] PiFtError),
    /// The rollout.
    #[error("rollout: {0}")]
    Rollout(#[from] RolloutError),
    /// Output.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Something this version does not do.
    #[error("{0}")]
    Unsupported(String),
}

impl RunError {
    /// Whether the cause is what the user wrote (exit code 2) and not the numerics (exit code 1).
    pub fn is_input(&self) -> bool {
        match self {
            RunError::Problem(_) | RunError::Unsupported(_) => true,
            RunError::Model(e) => !matches!(e, ModelError::Integration { .. }),
            RunError::Hjb(HjbError::Model(e)) => !matches!(e, ModelError::Integration { .. }),
            RunError::Hjb(e) => matches!(
                e,
                HjbError::Invalid { .. }
                    | HjbError::Memory { .. }
                    | HjbError::Unsupported { .. }
                    | HjbError::ControlWeight { .. }
            ),
            RunError::PiFt(e) => matches!(e, PiFtError::Invalid { .. } | PiFtError::Unsupported { .. }),
            RunError::Rollout(e) => matches!(e, RolloutError::Invalid { .. } | RolloutError::Dimension { .. }),
            RunError::Report(e) => matches!(e, ReportError::Invalid { .. }),
        }
    }
}
