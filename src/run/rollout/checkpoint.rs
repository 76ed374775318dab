//! The file of a run's state: what was run, and the sums so far.

use super::reducer::PathReducer;
use crate::problem::ProblemError;
use crate::report::{ReportError, atomic};
use crate::run::RunError;
use hjbridge_rollout::{RolloutError, RunState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What marks these files.
const WHAT: &str = "hjbridge rollout checkpoint";

/// The form that this version writes.
const FORMAT: u32 = 2;

/// Time between two writings of a run that goes on.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Content {
    run: Value,
    states: Vec<RunState<PathReducer>>,
}

#[derive(Serialize)]
struct ContentRef<'a> {
    what: &'a str,
    format: u32,
    run: &'a Value,
    states: Vec<&'a RunState<PathReducer>>,
}

/// A checkpoint of the parts of a run, one after the other (a fine-tuning problem has one, a controlled diffusion one for each
/// starting point).
pub(super) struct Checkpoint {
    path: Option<PathBuf>,
    run: Value,
    /// Parts of the file that was read, then replaced by those of this run.
    states: Vec<RunState<PathReducer>>,
    written: Option<Instant>,
    /// Paths that were there at the start.
    pub resumed: u64,
}

impl Checkpoint {
    /// A checkpoint at `path`, if any, for this many paths. `run` is all that the figures depend on, but the number of paths.
    ///
    /// # Errors
    /// With `resume`: no such file, a file of something else, of another run (the first difference is named), of a run that cannot
    /// go on to this many paths. Without it: a file that is there already.
    pub fn open(path: Option<&Path>, resume: bool, run: Value, paths: usize) -> Result<Self, RunError> {
        let mut this = Checkpoint { path: path.map(Path::to_path_buf), run, states: Vec::new(), written: None, resumed: 0 };
        let Some(path) = path else { return Ok(this) };
        if !resume {
            absent(path)?;
            return Ok(this);
        }
        let content = read(path)?;
        if let Some(difference) = difference("", &content.run, &this.run) {
            return Err(refused(path, format!("belongs to another run: {difference}")));
        }
        for state in &content.states {
            state.check_paths(paths).map_err(|e| match e {
                RolloutError::Checkpoint { reason } => refused(path, reason),
                other => other.into(),
            })?;
        }
        this.resumed = content.states.iter().map(|s| s.paths).sum();
        this.states = content.states;
        Ok(this)
    }

    /// Where part `index` stands.
    pub fn state(&self, index: usize) -> Option<RunState<PathReducer>> {
        self.states.get(index).cloned()
    }

    /// Take in the state of part `index` of a run that goes on; write when it is time.
    pub fn update(&mut self, index: usize, state: &RunState<PathReducer>) -> Result<(), ReportError> {
        let due = state.paths > 0 && self.written.is_none_or(|at| at.elapsed() >= INTERVAL);
        if due { self.write(index, state) } else { Ok(()) }
    }

    /// Take in the state of part `index` at its end.
    pub fn finish(&mut self, index: usize, state: RunState<PathReducer>) -> Result<(), RunError> {
        if state.paths > 0 {
            self.write(index, &state)?;
        }
        match self.states.get_mut(index) {
            Some(old) => *old = state,
            None => self.states.push(state),
        }
        Ok(())
    }

    fn write(&mut self, index: usize, state: &RunState<PathReducer>) -> Result<(), ReportError> {
        let Some(path) = &self.path else { return Ok(()) };
        // what follows a part that runs again with more paths stays as it is
        let others = |i: usize| self.states.get(i);
        let last = self.states.len().max(index + 1);
        let states = (0..last).filter_map(|i| if i == index { Some(state) } else { others(i) }).collect();
        let content = ContentRef { what: WHAT, format: FORMAT, run: &self.run, states };
        let text = serde_json::to_string(&content).map_err(|e| ReportError::io(path, e.into()))?;
        atomic::replace(path, |p| std::fs::write(p, &text).map_err(|e| ReportError::io(p, e)))?;
        self.written = Some(Instant::now());
        Ok(())
    }
}

fn refused(path: &Path, allowed: String) -> RunError {
    ProblemError::invalid("--checkpoint", path.display(), allowed).into()
}

fn absent(path: &Path) -> Result<(), RunError> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => Err(refused(path, "exists; --resume continues from it, or move it away to start anew".into())),
        Err(_) => Ok(()),
    }
}

fn read(path: &Path) -> Result<Content, RunError> {
    let text = std::fs::read_to_string(path).map_err(|e| refused(path, format!("cannot be read: {e}")))?;
    let foreign = || "is no checkpoint of a rollout of this version".to_string();
    let value: Value = serde_json::from_str(&text).map_err(|e| refused(path, format!("{}: {e}", foreign())))?;
    if value["what"] != WHAT || value["format"] != FORMAT {
        return Err(refused(path, foreign()));
    }
    serde_json::from_str(&text).map_err(|e| refused(path, format!("{}: {e}", foreign())))
}

/// The first place where two values differ.
fn difference(at: &str, there: &Value, here: &Value) -> Option<String> {
    if let (Value::Object(a), Value::Object(b)) = (there, here) {
        let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        let null = Value::Null;
        return keys.into_iter().find_map(|key| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            difference(&at, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))
        });
    }
    (there != here).then(|| format!("{at} is {there} there and {here} here"))
}

#[cfg(test)]
mod tests {
    use super::difference;
    use serde_json::json;

    #[test]
    fn the_first_difference_is_named() {
        let a = json!({"seed": 1, "problem": {"horizon": 2.0, "name": "a"}});
        assert_eq!(difference("", &a, &a), None);
        let b = json!({"seed": 1, "problem": {"horizon": 2.5, "name": "a"}});
        assert_eq!(difference("", &a, &b).unwrap(), "problem.horizon is 2.0 there and 2.5 here");
        let c = json!({"problem": {"horizon": 2.0, "name": "a"}});
        assert_eq!(difference("", &a, &c).unwrap(), "seed is 1 there and null here");
    }
}
