//! Ranks that are processes started by `mpirun`, over the system's MPI library.
//!
//! Failures that a rank can still speak of go through [`conclude`](super::conclude). A panic calls `MPI_Abort`, which ends
//! all ranks; a rank that is killed is noticed by `mpirun`, which ends the others.
//!
//! Reference: MPI: A Message-Passing Interface Standard, version 3.1 (2015), sections 5 (collectives) and 8.7 (`MPI_Abort`).

use super::{Ranks, RanksError};
use mpi::Threading;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Root};
use std::sync::{Mutex, PoisonError};

/// This process among those that `mpirun` started; alone without `mpirun`.
pub struct MpiRank {
    rank: usize,
    size: usize,
    /// One call at a time, from whichever thread.
    calls: Mutex<()>,
    /// Dropped last: ends MPI.
    _universe: Universe,
}

impl std::fmt::Debug for MpiRank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MpiRank").field("rank", &self.rank).field("size", &self.size).finish()
    }
}

/// Exit code of a job that a panic ends.
const PANIC: i32 = 101;

impl MpiRank {
    /// Start MPI, once in a process, on its main thread, where the value should also be dropped. From here on a panic in any
    /// thread ends all ranks.
    ///
    /// # Errors
    /// MPI was started before, or does not let threads take turns.
    pub fn start() -> Result<Self, RanksError> {
        let (universe, threading) = mpi::initialize_with_threading(Threading::Multiple)
            .ok_or_else(|| RanksError::transport("MPI was started before in this process"))?;
        if threading < Threading::Serialized {
            return Err(RanksError::transport("this MPI library does not let threads take turns (MPI_THREAD_SERIALIZED)"));
        }
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            SimpleCommunicator::world().abort(PANIC)
        }));
        let world = universe.world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(MpiRank { rank, size, calls: Mutex::new(()), _universe: universe })
    }
}

/// Numbers and places of bytes are C ints.
fn count(bytes: u64) -> Result<i32, RanksError> {
    let allowed =
        "MPI's collectives carry less than 2^31 bytes: keep no states or objectives of single paths, or use fewer ranks";
    i32::try_from(bytes).map_err(|_| RanksError::transport(format!("{bytes} bytes in one message; {allowed}")))
}

impl Ranks for MpiRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        let _turn = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let world = SimpleCommunicator::world();
        let mut lengths = vec![0u64; self.size];
        world.all_gather_into(&(message.len() as u64), &mut lengths[..]);
        // every rank knows the total, so that all refuse it or none
        count(lengths.iter().fold(0, |sum, l| u64::saturating_add(sum, *l)))?;
        let root = world.process_at_rank(0);
        if self.rank > 0 {
            root.gather_varcount_into(&message[..]);
            return Ok(Vec::new());
        }
        let counts = lengths.iter().map(|&l| count(l)).collect::<Result<Vec<i32>, _>>()?;
        let places: Vec<i32> = counts.iter().scan(0, |at, n| Some(std::mem::replace(at, *at + n))).collect();
        let mut all = vec![0u8; lengths.iter().sum::<u64>() as usize];
        root.gather_varcount_into_root(&message[..], &mut PartitionMut::new(&mut all[..], &counts[..], &places[..]));
        Ok(places.iter().zip(&counts).map(|(&at, &n)| all[at as usize..][..n as usize].to_vec()).collect())
    }

    fn broadcast(&self, mut message: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        let _turn = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let world = SimpleCommunicator::world();
        let root = world.process_at_rank(0);
        let mut length = message.len() as u64;
        root.broadcast_into(&mut length);
        count(length)?;
        message.resize(length as usize, 0);
        root.broadcast_into(&mut message[..]);
        Ok(message)
    }
}
