//! Any bytes as a table policy: read and evaluated, or refused with a message.
#![no_main]

use hjbridge::model::PointBlock;
use hjbridge::run::{Policy, PolicySite};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for (dim, control_dim) in [(1, 1), (2, 2)] {
        let site = PolicySite { dim, control_dim, horizon: 2.0, schedule: None, bounded: dim == 2 };
        match Policy::from_npz(bytes, site) {
            Ok(policy) => {
                assert!(policy.check(site).is_ok());
                let points = PointBlock::zeros(dim, 3);
                let mut out = PointBlock::zeros(control_dim, 3);
                policy.feedback().at(0.7).eval(points.as_points(), out.as_mut());
            }
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    }
});
