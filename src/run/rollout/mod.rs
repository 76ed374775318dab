//! `rollout`: paths of the HJB policy, and what they should show.
//!
//! | what | where |
//! |---|---|
//! | what may be asked for | [`RolloutOptions`] |
//! | fine-tuning problems | [`rollout`] |
//! | controlled diffusions | [`rollout_controlled`] |
//! | scheme, noise, stop rules, multilevel; where paths become sums | `simulate.rs` |
//! | the file of a run's state | `checkpoint.rs` |

mod checkpoint;
mod controlled;
mod fine_tuning;
pub(super) mod maximised;
mod options;
mod reducer;
mod report;
mod simulate;
mod stopped;

pub use controlled::{ControlledRollout, StartRun, check_rollout_controlled, rollout_controlled, rollout_steps};
pub use fine_tuning::{RolloutRun, check_rollout, rollout};
pub(crate) use maximised::Maximised;
pub use options::{RolloutOptions, SchemeName, TimesChoice, UNLIMITED, VarianceName};
pub use report::{
    AnyRolloutReport, ControlledRolloutReport, Estimates, ExitChance, ExitReport, MultilevelReport, Parts, QuantileRow,
    RolloutReport, RolloutSettings, StartRollout, StopReport, TimeGridReport,
};

use super::RunError;
use crate::problem::{Problem, ProblemError};
use hjbridge_model::Schedule;
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::{Estimate, RolloutInfo, RolloutParams, StoppedBy, TimeGrid, VARIED_BLOCKS};
use serde::Serialize;
use serde_json::{Value, json};

/// Bins of the final histogram.
const BINS: usize = 80;

/// Bins of each coordinate of the final histogram in the plane.
const PLANE_BINS: usize = 64;

/// Probabilities of the quantiles.
const PROBABILITIES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// The length of the last step on a grid in log-SNR, as a fraction of the horizon.
const LAST_STEP: f64 = 1e-3;

/// Name of the initial law as in problem files.
pub(crate) fn initial_law_name(problem: &Problem) -> &'static str {
    use hjbridge_model::InitialLaw;
    match problem.model.initial() {
        InitialLaw::StandardNormal => "standard_normal",
        InitialLaw::NoisedPrior => "noised_prior",
        InitialLaw::Optimal => "optimal",
    }
}

/// The time levels asked for; none for equal steps.
fn time_grid(times: &TimesChoice, schedule: Option<&Schedule>, horizon: f64, steps: usize) -> Result<Option<TimeGrid>, RunError> {
    match (times, schedule) {
        (TimesChoice::Uniform, _) => Ok(None),
        (TimesChoice::LogSnr, Some(schedule)) => Ok(Some(TimeGrid::log_snr(schedule, steps, LAST_STEP * horizon)?)),
        (TimesChoice::LogSnr, None) => {
            let allowed = "uniform or a file of times: only fine-tuning problems have a signal-to-noise ratio";
            Err(ProblemError::invalid("--time-grid", "log-snr", allowed).into())
        }
        (TimesChoice::Listed(times), _) => {
            let ends = times.first().copied().zip(times.last().copied());
            if let Some((first, last)) = ends.filter(|(first, last)| *first != 0.0 || *last != horizon) {
                let allowed = format!("must run from 0 to the horizon, {horizon}");
                return Err(ProblemError::invalid("--time-grid", format!("{first}, ..., {last}"), allowed).into());
            }
            Ok(Some(TimeGrid::from_times(times.clone())?))
        }
    }
}

/// Everything that the figures of a run depend on besides the number of paths.
fn run_key(
    file: &impl Serialize,
    options: &RolloutOptions,
    params: &RolloutParams,
    grid: Option<&TimeGrid>,
) -> Result<Value, RunError> {
    let unwritable = |e: serde_json::Error| RunError::Unsupported(format!("the run cannot be described: {e}"));
    let mut problem = serde_json::to_value(file).map_err(unwritable)?;
    if let Some(fields) = problem.as_object_mut() {
        for field in ["paths", "seed", "name", "description", "axis_labels", "bridge_steps"] {
            fields.remove(field);
        }
    }
    Ok(json!({
        "problem": problem,
        "scheme": options.scheme,
        "variance": options.variance,
        "eta": options.eta,
        "times": grid.map(TimeGrid::times),
        "steps": params.steps,
        "seed": params.seed,
        "antithetic": params.antithetic,
        "horizon": options.horizon,
    }))
}

/// Fill in what is known at the end.
fn finish_settings(
    settings: &mut RolloutSettings,
    options: &RolloutOptions,
    objective: Estimate,
    info: &RolloutInfo,
    failure: Option<&RunError>,
) {
    settings.partial |= info.partial || is_interrupt(failure);
    let blocks = info.paths.div_ceil(LANES) as u64;
    if info.varied_blocks == 0 {
        let note =
            "the objective is the same on all paths: a standard error of 0 says nothing of events that none of them has seen";
        settings.notes.push(note.into());
    } else if info.varied_blocks < VARIED_BLOCKS.min(blocks) {
        settings.notes.push(format!(
            "the objective differs between paths in {} of {blocks} blocks of {LANES} only: its standard error is not to be trusted",
            info.varied_blocks
        ));
    }
    if options.leads() && options.save_paths > info.paths as u64 {
        let (asked, found) = (options.save_paths, info.paths);
        settings.notes.push(format!("{found} paths were saved of the {asked} that --save-paths asks for: the run ended before"));
    }
    if let Some(target) = options.stop().standard_error {
        let reached = objective.standard_error <= target && info.varied_blocks >= VARIED_BLOCKS.min(blocks);
        settings.stop.target_reached = Some(reached && settings.stop.target_reached.unwrap_or(true));
        if !reached && objective.standard_error > target {
            let why = match info.stopped_by {
                StoppedBy::Time => "the time was used up",
                StoppedBy::Interrupt => "the run was interrupted",
                StoppedBy::Paths | StoppedBy::StandardError => "all paths were used up",
            };
            settings
                .notes
                .push(format!("the standard error {:.3e} is above the {target:e} asked for: {why}", objective.standard_error));
        }
    }
}

/// Whether the user ended the run.
fn is_interrupt(failure: Option<&RunError>) -> bool {
    matches!(failure, Some(RunError::Interrupted { .. } | RunError::MultilevelInterrupted { .. }))
}

/// What a multilevel run failed of.
fn multilevel_failure(failure: Option<&RunError>) -> Option<String> {
    failure.filter(|e| matches!(e, RunError::Multilevel { .. } | RunError::MultilevelInterrupted { .. })).map(ToString::to_string)
}

/// An estimate times a factor; a negative one turns it round.
fn scaled(e: Estimate, factor: f64) -> Estimate {
    Estimate { mean: e.mean * factor, standard_error: e.standard_error * factor.abs(), n: e.n }
}
