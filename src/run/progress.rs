//! How far a run is: implemented by whoever shows it.

use std::sync::atomic::{AtomicBool, Ordering};

/// Told about the stages of a run. Called from several threads.
pub trait Progress: Sync {
    /// A stage of `total` units begins.
    fn begin(&self, what: &str, total: u64);
    /// A stage of `total` units begins of which `done` are done, to be shown with its rate; `unit` is the plural of their name.
    fn begin_rated(&self, what: &str, total: u64, done: u64, unit: &'static str) {
        let _ = unit;
        self.begin(what, total);
        self.advance(done);
    }
    /// The stage is now expected to have `total` units.
    fn expect(&self, total: u64) {
        let _ = total;
    }
    /// `done` units of the stage are done.
    fn advance(&self, done: u64);
    /// Current residuals, shown beside the bar.
    fn note(&self, text: &str) {
        let _ = text;
    }
    /// Set once the run is to end with what it has; solvers read it at each of their steps.
    fn interrupt(&self) -> Option<&AtomicBool> {
        None
    }
    /// The stage is over.
    fn end(&self);
}

/// Whether the run is to end with what it has.
pub(crate) fn is_cancelled(progress: &dyn Progress) -> bool {
    progress.interrupt().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Shows nothing of a part, and passes on the wish to end.
pub(crate) struct Part<'p>(pub &'p dyn Progress);

impl Progress for Part<'_> {
    fn begin(&self, _what: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn interrupt(&self) -> Option<&AtomicBool> {
        self.0.interrupt()
    }
    fn end(&self) {}
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn end(&self) {}
}
