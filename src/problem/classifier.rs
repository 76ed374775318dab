//! Rewards of kind `classifier`: the scores of a linear classifier from a JSON file.

use super::data_file::text_of;
use super::error::ProblemError;
use hjbridge_model::{ClassReward, Reward};
use serde::Deserialize;
use std::path::Path;

/// What is read of the file; other fields may describe it.
#[derive(Deserialize)]
struct Scores {
    /// A row for each class.
    q: Vec<Vec<f64>>,
    /// A number for each class.
    c: Vec<f64>,
}

/// The reward of class `class` by the file at `path`.
pub(super) fn classifier(path: &Path, class: usize, of: ClassReward) -> Result<Reward, ProblemError> {
    let named = |e: String| ProblemError::invalid("reward.file", path.display(), e);
    let text = text_of("reward.file", path)?;
    let scores: Scores = serde_json::from_str(&text).map_err(|e| named(format!("{{\"q\": rows, \"c\": numbers}} ({e})")))?;
    let classes = scores.q.len();
    if class >= classes {
        let allowed = format!("0 to {}: the file has {classes} classes", classes.saturating_sub(1));
        return Err(ProblemError::invalid("reward.class", class, allowed));
    }
    Reward::classifier(scores.q, scores.c, class, of).map_err(|e| named(e.to_string()))
}
