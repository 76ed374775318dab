//! Progress bars on standard error, when it is a terminal.

use crate::run::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};

/// One bar at a time, replaced by the next stage's; invisible when standard error is not a terminal.
pub struct Bars {
    current: Mutex<Option<ProgressBar>>,
    visible: bool,
}

impl Bars {
    /// Bars that show unless `quiet`.
    pub fn new(quiet: bool) -> Self {
        Bars { current: Mutex::new(None), visible: !quiet }
    }

    fn with(&self, f: impl FnOnce(&mut Option<ProgressBar>)) {
        f(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Progress for Bars {
    fn begin(&self, what: &str, total: u64) {
        let target = if self.visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{msg:18} [{bar:40}] {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_string());
        self.with(|current| *current = Some(bar));
    }

    fn advance(&self, done: u64) {
        self.with(|current| {
            if let Some(bar) = current {
                bar.set_position(done);
            }
        });
    }

    fn end(&self) {
        self.with(|current| {
            if let Some(bar) = current.take() {
                bar.finish_and_clear();
            }
        });
    }
}
