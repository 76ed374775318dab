//! The user's wish to stop.

use crate::error::HjbError;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that a solver reads at each of its steps; none is never set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interrupt<'a>(pub Option<&'a AtomicBool>);

impl Interrupt<'_> {
    /// An error once the flag is set. What was observed by then is valid.
    pub fn check(self, t: f64) -> Result<(), HjbError> {
        match self.0 {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(HjbError::Interrupted { t }),
            _ => Ok(()),
        }
    }
}
