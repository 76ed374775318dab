//! From the discrete chain to the continuous problem: how far PI-FT's answer is from the HJB answer, and how fast it closes in.
//!
//! With h = T/N, t_k = k h the theory says  max_k |V_k - V(t_k)| <= C h  and the same for u_k - U*(t_k), on compact sets: order 1;
//! the Richardson combination 2 V_{2N} - V_N has order 2. This module measures both, for the value, the control and the final
//! law, always with the same initial law on both sides.

mod euler_value;
mod final_law;
mod order;
mod reference;
mod run;
mod subdivide;

pub use euler_value::euler_value;
pub use final_law::{FinalLawReport, wasserstein_1};
pub use order::{OrderFit, fit_order, octave_orders};
pub(crate) use reference::common_steps;
pub use run::{AgainstHjb, BridgeReport, BridgeRun, ErrorsByTime, bridge};
