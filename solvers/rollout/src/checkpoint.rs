//! The state of a run that can be written down, read back, and continued bit for bit.
//!
//! Blocks are absorbed in the order of their numbers, so all that a run knows is its reducer and the number of the next
//! block: a run cut anywhere and continued performs the same additions in the same order as one that was not.

use crate::error::RolloutError;
use crate::noise::LANES;

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunState<R> {
    /// Version of the form of this state.
    pub version: u32,
    /// Hash of the paths of block 0 under the run's problem, feedback, scheme, noise and steps.
    pub fingerprint: u64,
    /// Number of the first block not absorbed.
    pub next_block: u64,
    /// Paths absorbed.
    pub paths: u64,
    /// Evaluations of the feedback outside its own table.
    pub outside: u64,
    /// Controls projected onto the control set.
    pub projected: u64,
    /// What has been reduced.
    pub reducer: R,
}

/// The form that this version writes.
const VERSION: u32 = 1;

impl<R> RunState<R> {
    pub(crate) fn new(reducer: R, fingerprint: u64) -> Self {
        RunState { version: VERSION, fingerprint, next_block: 0, paths: 0, outside: 0, projected: 0, reducer }
    }

    /// Whether a run of `paths` paths with this fingerprint may continue from here.
    pub(crate) fn check(&self, fingerprint: u64, paths: usize) -> Result<(), RolloutError> {
        let mismatch = |what: &str| RolloutError::Checkpoint { reason: what.to_string() };
        if self.version != VERSION {
            return Err(mismatch(&format!("version {} cannot be read; {VERSION} expected", self.version)));
        }
        if self.fingerprint != fingerprint {
            return Err(mismatch("it belongs to another problem, feedback, scheme, seed or number of steps"));
        }
        let full = self.next_block.saturating_mul(LANES as u64);
        if self.paths > paths as u64 || self.paths > full || (self.paths != full && self.paths != paths as u64) {
            return Err(mismatch(&format!("it has {} paths, from which a run of {paths} cannot continue", self.paths)));
        }
        Ok(())
    }
}

impl<R: serde::Serialize> RunState<R> {
    /// As JSON, every double with the digits that give it back.
    ///
    /// # Errors
    /// [`RolloutError::Checkpoint`] when a part cannot be written.
    pub fn to_json(&self) -> Result<String, RolloutError> {
        serde_json::to_string(self).map_err(|e| RolloutError::Checkpoint { reason: e.to_string() })
    }
}

impl<R: serde::de::DeserializeOwned> RunState<R> {
    /// From what [`RunState::to_json`] wrote.
    ///
    /// # Errors
    /// [`RolloutError::Checkpoint`] when the text is something else.
    pub fn from_json(text: &str) -> Result<Self, RolloutError> {
        serde_json::from_str(text).map_err(|e| RolloutError::Checkpoint { reason: e.to_string() })
    }
}

/// FNV-1a on the bits of doubles.
pub(crate) fn fingerprint(values: impl Iterator<Item = u64>) -> u64 {
    values.flat_map(u64::to_le_bytes).fold(0xcbf2_9ce4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
