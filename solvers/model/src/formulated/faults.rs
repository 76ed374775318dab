//! The first value of a formula that is not a number, kept until somebody asks.

use crate::error::ModelError;
use std::sync::{Mutex, PoisonError};

/// A value that is NaN or infinite.
struct Fault {
    t: f64,
    /// Rank of the formula, then the point: which of several faults at one time is kept.
    rank: (usize, Vec<f64>),
    error: ModelError,
}

/// Keeps the fault that came first in time of calling; among those of one time t, the first formula and then the smallest
/// point, so that the answer does not depend on the order in which threads evaluate blocks.
#[derive(Default)]
pub(super) struct Faults(Mutex<Option<Fault>>);

impl Faults {
    /// Note a fault.
    pub fn note(&self, t: f64, rank: (usize, Vec<f64>), error: impl FnOnce() -> ModelError) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = |old: &Fault| {
            let point = rank.1.iter().zip(&old.rank.1).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne());
            old.t == t && rank.0.cmp(&old.rank.0).then(point.unwrap_or(std::cmp::Ordering::Equal)).is_lt()
        };
        if kept.as_ref().is_none_or(earlier) {
            *kept = Some(Fault { t, rank, error: error() });
        }
    }

    /// The fault kept.
    pub fn first(&self) -> Option<ModelError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|fault| fault.error.clone())
    }

    /// Forget it.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
