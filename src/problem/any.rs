//! A problem file of any kind.

use super::controlled_spec::ControlledFile;
use super::error::ProblemError;
use super::spec::{ProblemFile, parse_json};
use super::text;
use hjbridge_model::formula::closest_name;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What `kind` may be; absent is the first.
const KINDS: [&str; 2] = ["fine_tuning", "controlled_diffusion"];

/// A parsed file, by its `kind`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AnyProblemFile {
    /// Fine-tuning of a diffusion model.
    FineTuning(Box<ProblemFile>),
    /// A controlled diffusion by formulas.
    Controlled(Box<ControlledFile>),
}

impl AnyProblemFile {
    /// Read and parse `path`.
    ///
    /// # Errors
    /// The file cannot be read, or is not a problem file; the error has line, column and field.
    pub fn read(path: &Path) -> Result<Self, ProblemError> {
        Self::parse(&text::read(path)?, path)
    }

    /// Parse `text`; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`AnyProblemFile::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ProblemError> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            kind: Option<serde_json::Value>,
        }
        let controlled = match serde_json::from_str::<Kind>(&text::plain_json(text)) {
            Ok(Kind { kind: None }) => false,
            Ok(Kind { kind: Some(kind) }) => match kind.as_str() {
                Some("fine_tuning") => false,
                Some("controlled_diffusion") => true,
                name => {
                    let close = name.and_then(|name| closest_name(name, KINDS.into_iter()));
                    let hint = close.map_or(String::new(), |close| format!(" (did you mean `{close}`?)"));
                    return Err(ProblemError::invalid("kind", kind, format!("must be one of: {}{hint}", KINDS.join(", "))));
                }
            },
            // not JSON: read it as what it wants to be, so that the error names the place
            Err(_) => text.contains("\"controlled_diffusion\""),
        };
        if controlled {
            return Ok(AnyProblemFile::Controlled(Box::new(parse_json(text, path)?)));
        }
        Ok(AnyProblemFile::FineTuning(Box::new(ProblemFile::parse(text, path)?)))
    }
}

impl From<ProblemFile> for AnyProblemFile {
    fn from(file: ProblemFile) -> Self {
        AnyProblemFile::FineTuning(Box::new(file))
    }
}

impl From<ControlledFile> for AnyProblemFile {
    fn from(file: ControlledFile) -> Self {
        AnyProblemFile::Controlled(Box::new(file))
    }
}
