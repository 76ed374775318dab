//! hjbridge
fn main() {}
