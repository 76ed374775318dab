//! The Cole-Hopf (logarithmic) transformation: a linear equation in place of the HJB equation.
//!
//! When noise and control act through the same channel, G R^{-1} G' = sigma sigma'/beta with a constant beta > 0 (for
//! fine-tuning the KL weight), the HJB equation becomes linear for phi = exp(V/beta). Everything is done with log phi:
//! phi itself, which may range over thousands of decades, is never formed.
//!
//! | problem | type | file |
//! |---|---|---|
//! | finite horizon | [`ColeHopfSolver`] | `time_dependent.rs` |
//! | exit problems | [`StationaryColeHopf`] | `stationary.rs` |
//! | linear systems in the logarithm | | `log_system.rs` |

mod cells;
mod control;
mod equation;
mod lanes;
mod log_system;
mod params;
mod stationary;
mod temperature;
mod time_dependent;

pub use params::{ColeHopfInfo, ColeHopfParams, StationaryColeHopfInfo, StationaryColeHopfParams};
pub use stationary::StationaryColeHopf;
pub use time_dependent::ColeHopfSolver;

/// Least and largest entry.
fn range(values: &[f64]) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    values.iter().fold(start, |(low, high), v| (if *v < low { *v } else { low }, if *v > high { *v } else { high }))
}

/// The range that contains `known` and `new` moved by `shift`.
fn widen(known: (f64, f64), new: (f64, f64), shift: f64) -> (f64, f64) {
    (known.0.min(new.0 + shift), known.1.max(new.1 + shift))
}

/// Decades between exp of the two logarithms.
fn decades((low, high): (f64, f64)) -> f64 {
    (high - low) / std::f64::consts::LN_10
}
