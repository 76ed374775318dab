//! What the ranks of an ensemble send each other: the start, one round of waves, the end.

use super::{Ranks, RanksError, exchange, from_bytes, to_bytes};
use crate::checkpoint::RunState;
use crate::error::RolloutError;
use crate::reduce::Reducer;
use crate::stop::StoppedBy;
use serde::{Deserialize, Serialize};

/// What a rank has done of its wave.
pub(crate) struct WavePart<R> {
    pub reducer: Option<R>,
    /// The first block that was not merged.
    pub next_block: u64,
    pub paths: u64,
    pub outside: u64,
    pub projected: u64,
    pub varied: u64,
    /// The block in which a path was lost.
    pub lost_block: Option<u64>,
    /// How; stays on its rank.
    pub lost: Option<(u64, RolloutError)>,
}

impl<R> WavePart<R> {
    /// From `next_block` on, after what `reducer` has seen of the wave.
    pub fn begin(next_block: u64, reducer: Option<R>) -> Self {
        WavePart { reducer, next_block, paths: 0, outside: 0, projected: 0, varied: 0, lost_block: None, lost: None }
    }
}

/// How a run goes on after a round.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Verdict {
    GoOn,
    Stop(StoppedBy),
    Lost(u64),
}

type PartBytes = (Option<Vec<u8>>, u64, u64, [u64; 3], Option<u64>);
type StateBytes = (u32, u64, u64, u64, [u64; 3], Option<Vec<u8>>, Option<Vec<u8>>);

fn unreadable() -> RolloutError {
    RanksError::transport("a message cannot be read").into()
}

/// A reducer as bytes.
fn pack<R: Reducer>(reducer: &R) -> Result<Vec<u8>, RolloutError> {
    let stays = || RolloutError::invalid("reducer", "one that stays in its process", "Reducer::pack and unpack, to run on ranks");
    reducer.pack().ok_or_else(stays)
}

fn pack_some<R: Reducer>(reducer: &Option<R>) -> Result<Option<Vec<u8>>, RolloutError> {
    reducer.as_ref().map(pack).transpose()
}

fn unpack<R: Reducer>(empty: &R, bytes: Option<Vec<u8>>) -> Result<Option<R>, RolloutError> {
    bytes.map(|bytes| empty.unpack(&bytes).ok_or_else(unreadable)).transpose()
}

fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, RolloutError> {
    to_bytes(value).ok_or_else(unreadable)
}

fn state_bytes<R: Reducer>(s: &RunState<R>) -> Result<Vec<u8>, RolloutError> {
    let (waves, rest) = (pack_some(&s.waves)?, pack_some(&s.rest)?);
    let all: StateBytes = (s.version, s.fingerprint, s.next_block, s.paths, [s.outside, s.projected, s.varied], waves, rest);
    write(&all)
}

fn state_from<R: Reducer>(empty: &R, bytes: &[u8]) -> Result<RunState<R>, RolloutError> {
    let (version, fingerprint, next_block, paths, [outside, projected, varied], waves, rest): StateBytes =
        from_bytes(bytes).ok_or_else(unreadable)?;
    let (waves, rest) = (unpack(empty, waves)?, unpack(empty, rest)?);
    Ok(RunState { version, fingerprint, next_block, paths, outside, projected, varied, waves, rest })
}

/// Rank 0's state everywhere, after a look whether all ranks run the same paths.
pub(crate) fn agree<R: Reducer>(ranks: &dyn Ranks, empty: &R, state: RunState<R>) -> Result<RunState<R>, RolloutError> {
    pack(empty)?;
    let answer = exchange(ranks, write(&state.fingerprint)?, |prints| {
        let own = write(&state.fingerprint)?;
        match prints.iter().position(|p| *p != own) {
            Some(rank) => Err(RanksError::Differs { rank, what: "the paths" }.into()),
            None => state_bytes(&state),
        }
    })?;
    state_from(empty, &answer)
}

/// The final state of rank 0 everywhere.
pub(crate) fn share_state<R: Reducer>(ranks: &dyn Ranks, empty: &R, state: RunState<R>) -> Result<RunState<R>, RolloutError> {
    let answer = exchange(ranks, Vec::new(), |_| state_bytes(&state))?;
    // rank 0's own is that already
    if ranks.rank() == 0 { Ok(state) } else { state_from(empty, &answer) }
}

/// Send this rank's wave; rank 0 judges all.
pub(crate) fn round<R: Reducer>(
    ranks: &dyn Ranks,
    empty: &R,
    part: WavePart<R>,
    judge: impl FnOnce(Vec<WavePart<R>>) -> Result<Verdict, RolloutError>,
) -> Result<Verdict, RolloutError> {
    let own = if ranks.rank() == 0 { None } else { pack_some(&part.reducer)? };
    let bytes: PartBytes = (own, part.next_block, part.paths, [part.outside, part.projected, part.varied], part.lost_block);
    let answer = exchange(ranks, write(&bytes)?, |messages| {
        let mut parts = Vec::with_capacity(messages.len());
        for message in messages.iter().skip(1) {
            let (reducer, next_block, paths, [outside, projected, varied], lost_block): PartBytes =
                from_bytes(message).ok_or_else(unreadable)?;
            let reducer = unpack(empty, reducer)?;
            parts.push(WavePart { reducer, next_block, paths, outside, projected, varied, lost_block, lost: None });
        }
        parts.insert(0, part);
        write(&judge(parts)?)
    })?;
    from_bytes(&answer).ok_or_else(unreadable)
}
