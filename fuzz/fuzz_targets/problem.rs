//! Any bytes as a problem file: read and resolved, or refused with a message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // what is not UTF-8 is refused when the file is read
    if let Ok(text) = std::str::from_utf8(bytes) {
        hjbridge_fuzz::resolve(text);
    }
});
