//! Progress bars on standard error, when it is a terminal.

use crate::run::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

/// One bar at a time, replaced by the next stage's; invisible when standard error is not a terminal.
pub struct Bars {
    current: Mutex<Option<ProgressBar>>,
    visible: bool,
    interrupt: Arc<AtomicBool>,
}

impl Bars {
    /// Bars that show unless `quiet`, of a run that ends when `interrupt` is set.
    pub fn new(quiet: bool, interrupt: Arc<AtomicBool>) -> Self {
        Bars { current: Mutex::new(None), visible: !quiet, interrupt }
    }

    fn with(&self, f: impl FnOnce(&mut Option<ProgressBar>)) {
        f(&mut self.current.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Progress for Bars {
    fn begin(&self, what: &str, total: u64) {
        let target = if self.visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:18} [{bar:40}] {pos}/{len}, {eta} left {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_string());
        self.with(|current| *current = Some(bar));
    }

    fn begin_rated(&self, what: &str, total: u64, done: u64, unit: &'static str) {
        self.begin(what, total);
        let rate = move |state: &ProgressState, out: &mut dyn Write| {
            let (value, prefix) = with_prefix(state.per_sec());
            // a rate that cannot be written is not shown
            let _ = write!(out, "{value:.1} {prefix}{unit}/s");
        };
        self.with(|current| {
            if let Some(bar) = current {
                if let Ok(style) = ProgressStyle::with_template("{prefix:18} [{bar:40}] {percent:>3} % {rate}, {eta} left {msg}")
                {
                    bar.set_style(style.with_key("rate", rate));
                }
                // what an earlier run has done says nothing about this one's rate
                bar.set_position(done);
                bar.reset_eta();
            }
        });
    }

    fn expect(&self, total: u64) {
        self.with(|current| {
            if let Some(bar) = current {
                bar.set_length(total);
            }
        });
    }

    fn advance(&self, done: u64) {
        self.with(|current| {
            if let Some(bar) = current {
                bar.set_position(done);
            }
        });
    }

    fn note(&self, text: &str) {
        self.with(|current| {
            if let Some(bar) = current {
                bar.set_message(text.to_string());
            }
        });
    }

    fn interrupt(&self) -> Option<&AtomicBool> {
        Some(&self.interrupt)
    }

    fn end(&self) {
        self.with(|current| {
            if let Some(bar) = current.take() {
                bar.finish_and_clear();
            }
        });
    }
}

/// A number below 1000 and the prefix that makes it `x`.
fn with_prefix(x: f64) -> (f64, &'static str) {
    match x {
        x if x >= 1e9 => (x / 1e9, "G "),
        x if x >= 1e6 => (x / 1e6, "M "),
        x if x >= 1e3 => (x / 1e3, "k "),
        x => (x, ""),
    }
}
