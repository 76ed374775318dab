//! One ensemble over several processes ("ranks"), with the same bits for any number of them.
//!
//! The sums of a run are a fixed tree: blocks of 64 paths are merged in order into waves of 32 768 paths, waves in order into
//! the run. A wave is the piece of work of one rank; in a round the ranks run the next waves, one each, and rank 0 merges
//! what they send in the order of the waves, looks at the stop rules after each as a run on one rank does, and tells all
//! how to go on. So neither the number of ranks nor that of threads can be seen in a result: waves beyond the one at which
//! a rule ends the run are thrown away. At the end every rank has the same state.
//!
//! | ranks | type |
//! |---|---|
//! | one | none: [`Ensemble`](crate::Ensemble) without [`with_ranks`](crate::Ensemble::with_ranks) |
//! | threads of one process, for tests | [`LocalRank`] |
//! | processes started by `mpirun` (feature `mpi`) | `MpiRank` |
//!
//! All communication is the same exchange: every rank sends bytes to rank 0, rank 0 answers all with the same bytes. A rank
//! that has failed takes part in the next exchange by saying so ([`conclude`]), upon which the others fail too and nobody
//! waits for ever. A rank that dies without a word is for the transport to notice: MPI ends the job, a local rank's channels
//! close.

mod local;
#[cfg(feature = "mpi")]
mod mpi;
pub(crate) mod rounds;

pub use local::LocalRank;
#[cfg(feature = "mpi")]
pub use mpi::MpiRank;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Why ranks could not work together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RanksError {
    /// The library or the channel below refused.
    #[error("communication between ranks: {reason}")]
    Transport {
        /// Its words.
        reason: String,
    },
    /// Another rank failed.
    #[error("rank {rank}: {reason}")]
    Elsewhere {
        /// Which.
        rank: usize,
        /// Its words.
        reason: String,
    },
    /// Ranks that do not run the same thing.
    #[error("rank {rank} differs from rank 0 in {what}: all ranks must run the same program on the same input")]
    Differs {
        /// Which.
        rank: usize,
        /// In what.
        what: &'static str,
    },
}

impl RanksError {
    pub(crate) fn transport(reason: impl std::fmt::Display) -> Self {
        RanksError::Transport { reason: reason.to_string() }
    }
}

/// One of several processes that run the same program. Both calls are collective: all ranks make the same calls in the same
/// order.
pub trait Ranks: std::fmt::Debug + Send + Sync {
    /// Number of this rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn size(&self) -> usize;

    /// The messages of all ranks in their order, at rank 0; nothing elsewhere.
    ///
    /// # Errors
    /// [`RanksError::Transport`].
    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError>;

    /// The message of rank 0, everywhere; what other ranks pass is ignored.
    ///
    /// # Errors
    /// [`RanksError::Transport`].
    fn broadcast(&self, message: Vec<u8>) -> Result<Vec<u8>, RanksError>;
}

/// A single rank.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneRank;

impl Ranks for OneRank {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        Ok(vec![message])
    }
    fn broadcast(&self, message: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        Ok(message)
    }
}

/// What a rank says in an exchange.
#[derive(Serialize, Deserialize)]
enum Word {
    /// It goes on.
    Running(Vec<u8>),
    /// It is at its end, with or without failure.
    Ended(Option<String>),
}

/// What rank 0 answers.
#[derive(Serialize, Deserialize)]
enum Answer {
    GoOn(Vec<u8>),
    /// Some rank failed, or ended too early.
    Stop(usize, String),
    /// All are at their end; the first failure.
    End(Option<(usize, String)>),
}

/// As bytes, every double exactly; none when the type cannot be written.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Option<Vec<u8>> {
    postcard::to_allocvec(value).ok()
}

/// From [`to_bytes`]; none when the bytes are something else.
pub fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, RanksError> {
    postcard::to_allocvec(value).map_err(RanksError::transport)
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RanksError> {
    postcard::from_bytes(bytes).map_err(RanksError::transport)
}

/// Who has not gone on, and why.
fn first_stop(words: &[Word]) -> Option<(usize, String)> {
    let early = || "ended while others were running".to_string();
    let ended = |word: &Word| match word {
        Word::Running(_) => None,
        Word::Ended(reason) => Some(reason.clone().unwrap_or_else(early)),
    };
    // a failure explains more than an end
    let failed = words.iter().position(|w| matches!(w, Word::Ended(Some(_))));
    let place = failed.or_else(|| words.iter().position(|w| matches!(w, Word::Ended(None))))?;
    words.get(place).and_then(ended).map(|reason| (place, reason))
}

/// Send `message` to rank 0, where `decide` sees the messages of all ranks in order; its answer is returned on every rank.
///
/// # Errors
/// What `decide` returns, on rank 0; [`RanksError::Elsewhere`] when another rank failed, `decide` included.
pub fn exchange<X: From<RanksError> + std::fmt::Display>(
    ranks: &dyn Ranks,
    message: Vec<u8>,
    decide: impl FnOnce(Vec<Vec<u8>>) -> Result<Vec<u8>, X>,
) -> Result<Vec<u8>, X> {
    let gathered = ranks.gather(write(&Word::Running(message))?)?;
    let mut own_failure = None;
    let mut answer = Vec::new();
    if ranks.rank() == 0 {
        let words = gathered.iter().map(|bytes| read(bytes)).collect::<Result<Vec<Word>, _>>()?;
        let said = match first_stop(&words) {
            Some((rank, reason)) => Answer::Stop(rank, reason),
            None => {
                let messages = words.into_iter().filter_map(|w| if let Word::Running(m) = w { Some(m) } else { None });
                match decide(messages.collect()) {
                    Ok(answer) => Answer::GoOn(answer),
                    Err(e) => {
                        let reason = e.to_string();
                        own_failure = Some(e);
                        Answer::Stop(0, reason)
                    }
                }
            }
        };
        answer = write(&said)?;
    }
    let answer = read(&ranks.broadcast(answer)?)?;
    match (answer, own_failure) {
        (_, Some(e)) => Err(e),
        (Answer::GoOn(answer), None) => Ok(answer),
        (Answer::Stop(rank, reason), None) => Err(RanksError::Elsewhere { rank, reason }.into()),
        (Answer::End(_), None) => Err(RanksError::transport("an end in place of an answer").into()),
    }
}

/// The last call of every rank, with the words of its failure if it failed. Ranks that are still in an [`exchange`] fail there
/// with [`RanksError::Elsewhere`], and come here in turn. Returns once all ranks are here: the first failure and its rank.
///
/// # Errors
/// [`RanksError::Transport`].
pub fn conclude(ranks: &dyn Ranks, failure: Option<&str>) -> Result<Option<(usize, String)>, RanksError> {
    loop {
        let gathered = ranks.gather(write(&Word::Ended(failure.map(str::to_string)))?)?;
        let mut answer = Vec::new();
        if ranks.rank() == 0 {
            let words = gathered.iter().map(|bytes| read(bytes)).collect::<Result<Vec<Word>, _>>()?;
            let all = words.iter().all(|w| matches!(w, Word::Ended(_)));
            let failed = |(rank, word): (usize, &Word)| match word {
                Word::Ended(Some(reason)) => Some((rank, reason.clone())),
                _ => None,
            };
            let said = match first_stop(&words) {
                Some((rank, reason)) if !all => Answer::Stop(rank, reason),
                _ => Answer::End(words.iter().enumerate().find_map(failed)),
            };
            answer = write(&said)?;
        }
        if let Answer::End(first) = read(&ranks.broadcast(answer)?)? {
            return Ok(first);
        }
    }
}

/// Every rank's message, on every rank.
///
/// # Errors
/// As [`exchange`].
pub fn share(ranks: &dyn Ranks, message: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
    let all = exchange(ranks, message, |messages| write(&messages))?;
    read(&all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_each<T: Send>(size: usize, task: impl Fn(&dyn Ranks) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = LocalRank::group(size).into_iter().map(|rank| scope.spawn(|| task(&{ rank }))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        })
    }

    #[test]
    fn messages_arrive_in_the_order_of_ranks() {
        for size in [1, 2, 5] {
            let all = on_each(size, |r| share(r, vec![r.rank() as u8; r.rank()]).unwrap());
            let expected: Vec<Vec<u8>> = (0..size).map(|r| vec![r as u8; r]).collect();
            assert!(all.iter().all(|a| *a == expected));
        }
        assert_eq!(share(&OneRank, vec![7]).unwrap(), [[7]]);
    }

    #[test]
    fn one_rank_that_fails_ends_all_without_a_wait() {
        // Rank `bad` fails before its second exchange, while the others go on to it.
        for (size, bad) in [(2, 0), (2, 1), (4, 2)] {
            let all = on_each(size, |r| {
                let outcome = share(r, vec![]).and_then(|_| {
                    if r.rank() == bad {
                        return Err(RanksError::transport("no disk"));
                    }
                    share(r, vec![]).map(|_| ())
                });
                let failure = outcome.as_ref().err().map(ToString::to_string);
                (outcome, conclude(r, failure.as_deref()).unwrap())
            });
            for (rank, (outcome, end)) in all.iter().enumerate() {
                let words = "communication between ranks: no disk";
                match outcome {
                    Err(RanksError::Elsewhere { rank, reason }) => assert_eq!((*rank, reason.as_str()), (bad, words)),
                    other => assert!(rank == bad && other.is_err()),
                }
                assert!(end.is_some());
            }
        }
    }

    #[test]
    fn an_early_end_and_a_failed_decision_end_all() {
        let early = on_each(3, |r| {
            let outcome = if r.rank() == 1 { Ok(vec![]) } else { share(r, vec![]) };
            let failure = outcome.as_ref().err().map(ToString::to_string);
            conclude(r, failure.as_deref()).unwrap();
            outcome
        });
        assert!(early[1].is_ok() && early[0].is_err() && early[2].as_ref().unwrap_err().to_string().starts_with("rank 1: ended"));
        let decided =
            on_each(3, |r| exchange::<RanksError>(r, vec![], |_| Err(RanksError::Differs { rank: 2, what: "x" })).unwrap_err());
        assert_eq!(decided[0], RanksError::Differs { rank: 2, what: "x" });
        assert!(matches!(&decided[2], RanksError::Elsewhere { rank: 0, .. }));
        assert_eq!(on_each(2, |r| conclude(r, None).unwrap()), [None, None]);
    }

    #[test]
    fn a_rank_that_vanishes_closes_its_channels() {
        let all = on_each(3, |r| if r.rank() == 1 { Ok(vec![]) } else { share(r, vec![]).and_then(|_| share(r, vec![])) });
        assert!(matches!(all[0], Err(RanksError::Transport { .. })) && matches!(all[2], Err(RanksError::Transport { .. })));
    }
}
