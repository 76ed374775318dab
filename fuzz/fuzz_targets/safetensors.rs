//! Any bytes as a network: read and evaluated, or refused with a message.
#![no_main]

use hjbridge::model::network::{Network, NetworkParams};
use hjbridge::model::{Feedback, NetworkScore, PointBlock, Schedule};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

fuzz_target!(|bytes: &[u8]| {
    let network = match Network::from_bytes(bytes, &NetworkParams::default()) {
        Ok(network) => network,
        Err(e) => return assert!(!e.to_string().is_empty()),
    };
    let dim = network.dim();
    let schedule = Schedule::linear(2.0, 0.5, 3.0).expect("a schedule");
    if let Ok(score) = NetworkScore::new(Arc::new(network), schedule) {
        let points = PointBlock::zeros(dim, 3);
        let mut out = PointBlock::zeros(dim, 3);
        score.at(0.7).eval(points.as_points(), out.as_mut());
    }
});
