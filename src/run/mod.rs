//! The runs behind the commands: each takes a resolved problem and returns arrays and a report section.
//!
//! A run that fails half-way returns what it finished together with the failure.

mod certify;
mod controlled;
mod error;
mod initial;
mod memory;
pub(crate) mod needs;
mod network;
mod norms;
mod parametric;
mod pift;
mod plan;
mod progress;
mod reference_chain;
mod rollout;
mod route;
mod score;
mod solve;
mod sweep;

pub use certify::{
    Bound, CertifyOptions, CertifyReport, CertifyRun, Computed, Loss, LossDensity, Policy, PolicyInfo, PolicySite, Simulated,
    TablePolicy, Verdict, WhereLost, certify, certify_controlled, certify_sampled, site, site_controlled,
};
pub use controlled::{ControlledReport, ControlledRun, StartValue, evaluate_everywhere, solve_controlled};
pub use error::RunError;
pub use initial::initial_mean;
pub use network::{NetworkGap, NetworkReport, network_report};
pub use norms::{SliceError, SupError, slice_errors};
pub use parametric::{ParametricOptions, ParametricReport, ParametricRun, PolicyKind, Training, parametric};
pub use pift::{PiFtReport, PiFtRun, Sandwich, pift};
pub use plan::{Plan, plan, plan_controlled};
pub use progress::{Progress, Silent};
pub use reference_chain::{NetworkOwn, ReferenceChain};
pub use rollout::{
    AnyRolloutReport, ControlledRollout, ControlledRolloutReport, Estimates, ExitChance, ExitReport, MultilevelReport, Parts,
    QuantileRow, RolloutOptions, RolloutReport, RolloutRun, RolloutSettings, SchemeName, StartRollout, StartRun, StopReport,
    TimeGridReport, TimesChoice, UNLIMITED, VarianceName, check_rollout, check_rollout_controlled, rollout, rollout_controlled,
    rollout_steps,
};
pub use route::{Candidate, RouteReport, SolverInfo};
pub use score::{spline_score, tabulated_score};
pub use solve::{SolveReport, SolveRun, hjb_params, solve, solve_by_route};
pub use sweep::{ExactPoint, PiFtPoint, SweepReport, SweepRow, SweepRun, sweep, sweep_problems};

pub(crate) use norms::{RegionPoints, RegionSlice, worst};
pub(crate) use pift::{ddpm_params, pift_params, terminal_control};
pub(crate) use progress::{Part, is_cancelled};
pub(crate) use rollout::{Maximised, initial_law_name};
