//! The state of a run that can be written down, read back, and continued bit for bit.
//!
//! Blocks are merged in the order of their numbers into waves, waves in the same order into the run, so all that a run knows is
//! what its whole waves and the begun one have given, and the number of the next block: a run cut anywhere and continued
//! performs the same additions in the same order as one that was not, on however many ranks.

use crate::error::RolloutError;
use crate::noise::LANES;
use crate::reduce::Reducer;

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RunState<R> {
    /// Version of the form of this state.
    pub version: u32,
    /// Hash of scheme, noise, time levels, and of path 0 under the run's problem, feedback and initial law.
    pub fingerprint: u64,
    /// Number of the first block not absorbed.
    pub next_block: u64,
    /// Paths absorbed.
    pub paths: u64,
    /// Evaluations of the feedback outside its own table.
    pub outside: u64,
    /// Controls projected onto the control set.
    pub projected: u64,
    /// Blocks within which what a stop rule looks at varies.
    pub varied: u64,
    /// What whole waves of 32 768 paths have given; none before the first.
    pub waves: Option<R>,
    /// What the blocks after the last whole wave have given, if there are any.
    pub rest: Option<R>,
}

/// The form that this version writes.
const VERSION: u32 = 3;

impl<R> RunState<R> {
    pub(crate) fn new(fingerprint: u64) -> Self {
        RunState {
            version: VERSION,
            fingerprint,
            next_block: 0,
            paths: 0,
            outside: 0,
            projected: 0,
            varied: 0,
            waves: None,
            rest: None,
        }
    }

    /// Whether a run of `paths` paths with this fingerprint may continue from here.
    pub(crate) fn check(&self, fingerprint: u64, paths: usize) -> Result<(), RolloutError> {
        let mismatch = |what: &str| RolloutError::Checkpoint { reason: what.to_string() };
        if self.version != VERSION {
            return Err(mismatch(&format!("version {} cannot be read; {VERSION} expected", self.version)));
        }
        if self.fingerprint != fingerprint {
            return Err(mismatch("it belongs to another problem, feedback, scheme, noise or time grid"));
        }
        self.check_paths(paths)
    }

    /// Whether a run of `paths` paths may continue from here: not fewer than there are, and more only after whole blocks.
    ///
    /// # Errors
    /// [`RolloutError::Checkpoint`] with the reason.
    pub fn check_paths(&self, paths: usize) -> Result<(), RolloutError> {
        let full = self.next_block.saturating_mul(LANES as u64);
        let reason = if self.paths > paths as u64 || self.paths > full {
            format!("it has {} paths, more than the {paths} asked for", self.paths)
        } else if self.paths != full && self.paths != paths as u64 {
            format!("it has {} paths, which is no multiple of {LANES}: a run of {paths} cannot continue from it", self.paths)
        } else {
            return Ok(());
        };
        Err(RolloutError::Checkpoint { reason })
    }
}

impl<R: Reducer> RunState<R> {
    /// Whether what was reduced may be merged with what `empty` will.
    pub(crate) fn check_reducer(&self, empty: &R) -> Result<(), RolloutError> {
        match self.waves.iter().chain(&self.rest).all(|part| empty.fits(part)) {
            true => Ok(()),
            false => Err(RolloutError::Checkpoint { reason: "it keeps other quantities than this run".to_string() }),
        }
    }

    /// What all paths so far have given; `empty` is the reducer that the run started from.
    pub fn reduced(&self, empty: &R) -> R {
        let mut all = empty.clone();
        for part in self.waves.iter().chain(&self.rest) {
            all.merge(part.clone());
        }
        all
    }

    /// Take in the next block or blocks, which end at a wave's end if `whole`.
    pub(crate) fn merge(&mut self, part: Option<R>, whole: bool) {
        join(&mut self.rest, part);
        if whole {
            let wave = self.rest.take();
            join(&mut self.waves, wave);
        }
    }
}

/// Merge `later` into `sum`.
pub(crate) fn join<R: Reducer>(sum: &mut Option<R>, later: Option<R>) {
    match (sum.as_mut(), later) {
        (Some(sum), Some(later)) => sum.merge(later),
        (None, later) => *sum = later,
        (Some(_), None) => {}
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
