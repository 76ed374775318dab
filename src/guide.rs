//! A page for each task. The programs on the pages are compiled and run by the tests.
//!
//! | task | page |
//! |---|---|
//! | fine-tune a model in one dimension | [`fine_tune`] |
//! | begin with data | [`own_data`] |
//! | control any diffusion | [`controlled_diffusion`] |
//! | leave, hit, stop | [`exit_and_stopping`] |
//! | simulate a policy, with small errors | [`rollouts`] |
//! | the discrete chain, and what its theory promises | [`pift`] |
//! | discrete against continuous | [`bridge`] |
//! | how good a policy is | [`certify`] |
//! | read results in Python | [`python`] |
//! | write coefficients in Rust | [`own_drift`] |

#[doc = include_str!("../docs/guide/fine_tune.md")]
pub mod fine_tune {}

#[doc = include_str!("../docs/guide/own_data.md")]
pub mod own_data {}

#[doc = include_str!("../docs/guide/controlled_diffusion.md")]
pub mod controlled_diffusion {}

#[doc = include_str!("../docs/guide/exit_and_stopping.md")]
pub mod exit_and_stopping {}

#[doc = include_str!("../docs/guide/rollouts.md")]
pub mod rollouts {}

#[doc = include_str!("../docs/guide/pift.md")]
pub mod pift {}

// what the program does needs the program
#[cfg(feature = "cli")]
#[doc = include_str!("../docs/guide/bridge.md")]
pub mod bridge {}

#[doc = include_str!("../docs/guide/certify.md")]
pub mod certify {}

#[doc = include_str!("../docs/guide/python.md")]
pub mod python {}

#[doc = include_str!("../docs/guide/own_drift.md")]
pub mod own_drift {}
