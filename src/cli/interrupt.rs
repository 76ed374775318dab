//! Ctrl-C: the first one ends the run with what it has, a second one the program.

use super::common::complain;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Set once the user wants the run to end.
pub(super) fn flag() -> Arc<AtomicBool> {
    FLAG.get_or_init(Arc::default).clone()
}

/// Whether the user wants the run to end.
pub(super) fn was_caught() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// From here on Ctrl-C sets the flag.
pub(super) fn catch() {
    static CAUGHT: Once = Once::new();
    CAUGHT.call_once(install);
}

fn install() {
    let shared = flag();
    let handler = move || {
        if shared.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        complain("interrupted: writing what there is (Ctrl-C again to leave at once)");
    };
    if let Err(e) = ctrlc::set_handler(handler) {
        complain(&format!("Ctrl-C will lose the run: {e}"));
    }
}
