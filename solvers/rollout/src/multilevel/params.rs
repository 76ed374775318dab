//! What a multilevel estimate is asked for.

use crate::error::RolloutError;

/// Accuracy, levels and limits of a multilevel estimate.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MultilevelParams {
    /// Standard error asked for.
    pub standard_error: f64,
    /// Bound on the estimated |bias| of the finest level; `None` is half the standard error.
    pub bias: Option<f64>,
    /// N_0.
    pub base_steps: usize,
    /// M, from 2 to 16.
    pub refinement: u32,
    /// Fewest levels beyond 0, at least 2: the bias is judged by differences.
    pub min_level: u32,
    /// Most levels beyond 0.
    pub max_level: u32,
    /// Samples of each new level, from which its variance is first estimated.
    pub pilot: u64,
    /// Add the estimated leading term of the remaining bias, E Y_L / (M^p - 1), with the scheme's weak order p. The finest
    /// steps can then be much longer; right only where the expansion of the weak error holds.
    pub extrapolate: bool,
    /// End with what there is before a round would bring the steps of all paths above this.
    pub max_path_steps: u64,
}

impl Default for MultilevelParams {
    /// Standard error 1e-2, from 16 steps by doubling, up to 12 levels.
    fn default() -> Self {
        MultilevelParams {
            standard_error: 1e-2,
            bias: None,
            base_steps: 16,
            refinement: 2,
            min_level: 2,
            max_level: 12,
            pilot: 1024,
            extrapolate: false,
            max_path_steps: 100_000_000_000,
        }
    }
}

impl MultilevelParams {
    /// Check every field.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] naming the field.
    pub fn validate(&self) -> Result<(), RolloutError> {
        let bad = |field, value: String, allowed: String| RolloutError::invalid(field, value, allowed);
        for (field, value) in [("multilevel.standard_error", self.standard_error), ("multilevel.bias", self.bias_bound())] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(bad(field, value.to_string(), "finite and > 0".into()));
            }
        }
        if !(2..=16).contains(&self.refinement) {
            return Err(bad("multilevel.refinement", self.refinement.to_string(), "from 2 to 16".into()));
        }
        if self.min_level < 2 || self.min_level > self.max_level {
            let found = format!("{} to {}", self.min_level, self.max_level);
            return Err(bad("multilevel levels", found, "min_level at least 2 and at most max_level".into()));
        }
        let finest = u128::from(self.refinement).checked_pow(self.max_level).and_then(|m| m.checked_mul(self.base_steps as u128));
        if self.base_steps == 0 || finest.is_none_or(|n| n > 1 << 31) {
            let found = format!("{} steps, refined {} times by {}", self.base_steps, self.max_level, self.refinement);
            return Err(bad("multilevel.base_steps", found, "from 1 to 2147483648 steps on every level".into()));
        }
        if self.pilot < 64 {
            return Err(bad("multilevel.pilot", self.pilot.to_string(), "at least 64".into()));
        }
        Ok(())
    }

    /// The bound on the bias.
    pub fn bias_bound(&self) -> f64 {
        self.bias.unwrap_or(0.5 * self.standard_error)
    }
}
