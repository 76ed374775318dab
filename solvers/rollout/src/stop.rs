//! When a run ends.

use crate::error::RolloutError;

/// Fewest blocks of 64 paths within which a quantity must vary for a stop rule to trust its standard error.
pub const VARIED_BLOCKS: u64 = 30;

/// What may end a run before all its paths are done. Rules are checked between waves of 32 768 paths (whole multiples from
/// path 0), so that what a reproducible rule decides depends neither on threads nor on where a run was resumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StopRule {
    /// End when the reducer's standard error is at most this, and at least [`VARIED_BLOCKS`] blocks of 64 paths contribute to
    /// it. Where all paths so far give the same (a rare event that has not been seen yet), or nearly all do, the sample's standard
    /// error says nothing of the true one: the run goes on, to its last path if need be. Otherwise stopping on the sample's own
    /// error makes the mean biased by O(1/n), far below the error itself at the smallest n of 32 768.
    pub standard_error: Option<f64>,
    /// End after so many seconds of this call. The only rule whose result depends on the machine and its load.
    pub seconds: Option<f64>,
}

impl StopRule {
    /// Check every field.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] naming the field.
    pub fn validate(&self) -> Result<(), RolloutError> {
        for (field, value) in [("stop.standard_error", self.standard_error), ("stop.seconds", self.seconds)] {
            if let Some(v) = value
                && !(v > 0.0 && v.is_finite())
            {
                return Err(RolloutError::invalid(field, v, "finite and > 0, or none"));
            }
        }
        Ok(())
    }
}

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// All paths are done.
    Paths,
    /// The standard error asked for was reached.
    StandardError,
    /// The time was used up.
    Time,
    /// The caller's interrupt.
    Interrupt,
}

impl StoppedBy {
    /// Whether the run was cut short of what was asked for.
    pub fn partial(self) -> bool {
        matches!(self, StoppedBy::Time | StoppedBy::Interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_must_be_positive() {
        assert!(StopRule::default().validate().is_ok());
        assert!(StopRule { seconds: Some(1.0), ..Default::default() }.validate().is_ok());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(StopRule { standard_error: Some(bad), ..Default::default() }.validate().is_err());
            assert!(StopRule { seconds: Some(bad), ..Default::default() }.validate().is_err());
        }
    }
}
