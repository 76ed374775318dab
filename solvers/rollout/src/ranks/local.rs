//! Ranks that are threads of one process, joined by channels.

use super::{Ranks, RanksError};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

/// One of several threads that play ranks. When a thread drops it, the others' next call fails.
#[derive(Debug)]
pub struct LocalRank {
    rank: usize,
    size: usize,
    /// Rank 0: one for each other rank; others: one, to rank 0.
    to: Vec<Sender<Vec<u8>>>,
    from: Mutex<Vec<Receiver<Vec<u8>>>>,
}

impl LocalRank {
    /// `size` ranks, at least one; hand each to its thread.
    pub fn group(size: usize) -> Vec<LocalRank> {
        let mut root = LocalRank { rank: 0, size: size.max(1), to: Vec::new(), from: Mutex::default() };
        let mut others = Vec::new();
        let mut from = Vec::new();
        for rank in 1..size {
            let (up, at_root) = channel();
            let (down, at_rank) = channel();
            root.to.push(down);
            from.push(at_root);
            others.push(LocalRank { rank, size, to: vec![up], from: Mutex::new(vec![at_rank]) });
        }
        root.from = Mutex::new(from);
        let mut all = vec![root];
        all.extend(others);
        all
    }

    fn send(&self, message: &[u8]) -> Result<(), RanksError> {
        self.to.iter().try_for_each(|to| to.send(message.to_vec()).map_err(|_| gone()))
    }

    fn receive(&self) -> Result<Vec<Vec<u8>>, RanksError> {
        let from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        from.iter().map(|from| from.recv().map_err(|_| gone())).collect()
    }
}

fn gone() -> RanksError {
    RanksError::transport("a rank is gone")
}

impl Ranks for LocalRank {
    fn rank(&self) -> usize {
        self.rank
    }
    fn size(&self) -> usize {
        self.size
    }
    fn gather(&self, message: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        if self.rank > 0 {
            self.send(&message)?;
            return Ok(Vec::new());
        }
        let mut all = vec![message];
        all.extend(self.receive()?);
        Ok(all)
    }
    fn broadcast(&self, message: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        if self.rank > 0 {
            return self.receive()?.pop().ok_or_else(gone);
        }
        self.send(&message)?;
        Ok(message)
    }
}
