//! From the discrete chain to the continuous problem: how far PI-FT's answer is from the HJB answer, and how fast it closes in.
//!
//! With h = T/N, t_k = k h the theory says  max_k |V_k - V(t_k)| <= C h  and the same for u_k - U*(t_k), on compact sets: order 1;
//! the Richardson combination 2 V_{2N} - V_N has order 2. This module measures both, for the value, the control and the final
//! law, always with the same initial law on both sides, and what the discrete policy loses in continuous time (order 2). In one to
//! three dimensions, for every time grid, variance and schedule, with exact scores or networks.

mod chain_law;
mod distance;
mod euler_value;
mod final_law;
mod in_sde;
mod leading;
mod order;
mod own_errors;
mod reference;
mod report;
mod run;
mod slices;
mod subdivide;
mod sweep;

pub use distance::{DIRECTIONS, Sliced, relative_entropy, wasserstein_1};
pub use euler_value::euler_value;
pub use final_law::FinalLawReport;
pub use leading::{ControlAt, LeadingError, LeadingErrorParams, LeadingErrorReport, Profile};
pub use order::{OrderFit, OrderStudy, RichardsonTable, fit_order, octave_orders};
pub use own_errors::{OwnErrors, OwnParts, bridge_refined};
pub(crate) use reference::common_steps;
pub use report::{AgainstHjb, BridgeOrders, BridgeReport, ErrorsByTime};
pub use run::{BridgeRun, bridge};
