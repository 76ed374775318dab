//! A problem file of any kind.

use super::controlled_spec::ControlledFile;
use super::error::ProblemError;
use super::spec::{ProblemFile, parse_json};
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
        let text = std::fs::read_to_string(path).map_err(|source| ProblemError::Io { path: path.into(), source })?;
        Self::parse(&text, path)
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
        let controlled = match serde_json::from_str::<Kind>(text) {
            Ok(Kind { kind: None }) => false,
            Ok(Kind { kind: Some(kind) }) => match kind.as_str() {
                Some("fine_tuning") => false,
                Some("controlled_diffusion") => true,
                _ => return Err(ProblemError::invalid("kind", kind, format!("must be one of: {}", KINDS.join(", ")))),
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
