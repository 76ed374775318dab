//! What a rollout is asked for beyond the problem file.

use crate::problem::ProblemError;
use hjbridge_rollout::noise::SOBOL_PATHS;
use hjbridge_rollout::{
    AdditiveRungeKutta, Ancestral, Ddim, EulerMaruyama, ExponentialIntegrator, Milstein, NoiseSource, PathSelection, PlatenWeak2,
    Ranks, RolloutParams, SdeScheme, StochasticHeun, StopRule,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Time-stepping schemes by the names of the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum SchemeName {
    /// Euler-Maruyama
    #[default]
    Euler,
    /// Exponential integrator (fine-tuning)
    Exponential,
    /// Milstein (diagonal noise)
    Milstein,
    /// Stochastic Heun
    Heun,
    /// Runge-Kutta of strong order 1.5 (additive noise)
    Srk15,
    /// Platen's scheme of weak order 2
    Weak2,
    /// DDPM ancestral sampler (fine-tuning)
    Ancestral,
    /// DDIM sampler (fine-tuning)
    Ddim,
}

impl SchemeName {
    /// Whether the scheme is made for the drift of a diffusion model.
    pub fn needs_schedule(self) -> bool {
        matches!(self, SchemeName::Exponential | SchemeName::Ancestral | SchemeName::Ddim)
    }

    /// Whether its steps are those of a stochastic differential equation, for which a Girsanov weight has a meaning.
    pub(super) fn follows_equation(self) -> bool {
        match self {
            SchemeName::Euler => EulerMaruyama::FOLLOWS_EQUATION,
            SchemeName::Exponential => ExponentialIntegrator::FOLLOWS_EQUATION,
            SchemeName::Milstein => Milstein::FOLLOWS_EQUATION,
            SchemeName::Heun => StochasticHeun::FOLLOWS_EQUATION,
            SchemeName::Srk15 => AdditiveRungeKutta::FOLLOWS_EQUATION,
            SchemeName::Weak2 => PlatenWeak2::FOLLOWS_EQUATION,
            SchemeName::Ancestral => Ancestral::FOLLOWS_EQUATION,
            SchemeName::Ddim => Ddim::FOLLOWS_EQUATION,
        }
    }
}

/// Variances of the ancestral sampler; `a` is the share of signal that a step keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum VarianceName {
    /// 1 - a
    OneMinusAlpha,
    /// (1 - a)/a
    OverAlpha,
    /// Of the step before given the data
    Posterior,
    /// The same for Gaussian data of the prior's mean variance
    GaussianPosterior,
}

/// Time levels of the simulation.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum TimesChoice {
    /// Equal steps.
    #[default]
    Uniform,
    /// Equal steps in the logarithm of the signal-to-noise ratio, but for a last one of a thousandth of the horizon.
    LogSnr,
    /// These times, from 0 to the horizon; a list that starts later is refused.
    Listed(Vec<f64>),
}

/// A rollout beyond its problem file. The default is what the file says, by Euler-Maruyama.
#[derive(Clone, Debug)]
pub struct RolloutOptions {
    /// Steps; the file's `time_steps` when absent.
    pub steps: Option<usize>,
    /// Most paths; when absent the file's `paths`, or [`UNLIMITED`] where a rule ends the run.
    pub paths: Option<usize>,
    /// Seed; the file's when absent.
    pub seed: Option<u64>,
    /// Threads; the caller's pool when absent. No result depends on it.
    pub threads: Option<usize>,
    /// Scheme.
    pub scheme: SchemeName,
    /// Variance of the ancestral sampler; the file's `pift.variance` when absent.
    pub variance: Option<VarianceName>,
    /// eta of the DDIM sampler; 0 when absent.
    pub eta: Option<f64>,
    /// Time levels.
    pub times: TimesChoice,
    /// End when the standard error of the objective is this small.
    pub target_stderr: Option<f64>,
    /// End after so many seconds of simulation, which starting points share equally.
    pub time_budget: Option<f64>,
    /// Antithetic pairs.
    pub antithetic: bool,
    /// Source of the normal numbers.
    pub noise: NoiseSource,
    /// Multilevel Monte Carlo for the objective, from so many steps on the coarsest level, besides the plain run.
    pub multilevel: Option<usize>,
    /// Paths to hand back, the first ones.
    pub save_paths: u64,
    /// Times at which they are kept, at most.
    pub save_times: usize,
    /// File of the run's state, written from time to time and at the end.
    pub checkpoint: Option<PathBuf>,
    /// Whether to continue from that file.
    pub resume: bool,
    /// Set by somebody else to end the run soon.
    pub interrupt: Option<Arc<AtomicBool>>,
    /// How long paths are followed in a problem without a horizon.
    pub horizon: Option<f64>,
    /// Processes that share the paths; every one runs the same rollout, gets the same figures, and the first alone reads and
    /// writes the checkpoint and hands back paths.
    pub ranks: Option<Arc<dyn Ranks>>,
}

impl Default for RolloutOptions {
    fn default() -> Self {
        RolloutOptions {
            steps: None,
            paths: None,
            seed: None,
            threads: None,
            scheme: SchemeName::default(),
            variance: None,
            eta: None,
            times: TimesChoice::default(),
            target_stderr: None,
            time_budget: None,
            antithetic: false,
            noise: NoiseSource::default(),
            multilevel: None,
            save_paths: 0,
            save_times: crate::report::SLICES,
            checkpoint: None,
            resume: false,
            interrupt: None,
            horizon: None,
            ranks: None,
        }
    }
}

/// Most paths of a run that a rule ends.
pub const UNLIMITED: usize = 10_000_000_000;

/// Independent repetitions of a run on Sobol points.
pub(super) const REPETITIONS: usize = 16;

/// Numbers that saved paths may have together (2 GB).
const MOST_SAVED: u64 = 1 << 28;

impl RolloutOptions {
    /// Check what can be checked without the problem.
    ///
    /// # Errors
    /// The flag that is not allowed, or not together with another.
    pub fn validate(&self) -> Result<(), ProblemError> {
        let bad = |flag: &str, value: String, allowed: &str| Err(ProblemError::invalid(flag, value, allowed));
        let given = || "given".to_string();
        for (flag, value) in
            [("--target-stderr", self.target_stderr), ("--time-budget", self.time_budget), ("--horizon", self.horizon)]
        {
            if let Some(v) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
                return bad(flag, v.to_string(), "must be positive and finite");
            }
        }
        if self.variance.is_some() && self.scheme != SchemeName::Ancestral {
            return bad("--variance", given(), "is for --scheme ancestral");
        }
        if let Some(eta) = self.eta {
            if self.scheme != SchemeName::Ddim {
                return bad("--eta", given(), "is for --scheme ddim");
            }
            if !(0.0..=1.0).contains(&eta) {
                return bad("--eta", eta.to_string(), "from 0 to 1");
            }
        }
        if matches!(self.times, TimesChoice::Listed(_)) && self.steps.is_some() {
            return bad("--steps", given(), "not with a list of times, whose number is that of the steps");
        }
        if self.antithetic && self.paths.is_some_and(|n| !n.is_multiple_of(2)) {
            return bad("--paths", self.paths.unwrap_or(0).to_string(), "must be even with --antithetic");
        }
        if self.resume && self.checkpoint.is_none() {
            return bad("--resume", given(), "needs --checkpoint FILE, the file to continue from");
        }
        if let Some(base) = self.multilevel {
            if self.target_stderr.is_none() {
                return bad("--mlmc", given(), "needs --target-stderr, the accuracy that decides about levels and paths");
            }
            if !(1..=1 << 16).contains(&base) {
                return bad("--mlmc-base-steps", base.to_string(), "from 1 to 65536");
            }
            if self.time_budget.is_some() || self.checkpoint.is_some() {
                let flag = if self.checkpoint.is_some() { "--checkpoint" } else { "--time-budget" };
                return bad(flag, given(), "not with --mlmc, whose levels are run to the end");
            }
            if self.times != TimesChoice::Uniform {
                return bad("--time-grid", given(), "not with --mlmc, whose levels have equal steps");
            }
            if self.scheme == SchemeName::Ddim {
                return bad(
                    "--scheme",
                    "ddim".into(),
                    "not with --mlmc: levels are coupled path by path, ddim follows the law only",
                );
            }
        }
        if self.noise == NoiseSource::Sobol {
            let others = [
                ("--target-stderr", self.target_stderr.is_some()),
                ("--time-budget", self.time_budget.is_some()),
                ("--checkpoint", self.checkpoint.is_some()),
                ("--antithetic", self.antithetic),
            ];
            if self.paths.is_some_and(|n| n / REPETITIONS >= 2 * SOBOL_PATHS) {
                let allowed = format!("below {} with --noise sobol", 2 * REPETITIONS * SOBOL_PATHS);
                return bad("--paths", self.paths.unwrap_or(0).to_string(), &allowed);
            }
            if let Some((flag, _)) = others.iter().find(|o| o.1) {
                return bad(flag, given(), "not with --noise sobol, which runs 16 repetitions of a fixed size");
            }
        }
        Ok(())
    }

    /// Whether this process reads and writes files.
    pub(super) fn leads(&self) -> bool {
        self.ranks.as_ref().is_none_or(|ranks| ranks.rank() == 0)
    }

    /// The file of the run's state, on the process that keeps it.
    pub(super) fn checkpoint_file(&self) -> Option<&Path> {
        self.checkpoint.as_deref().filter(|_| self.leads())
    }

    /// The rule that ends the plain run, when all of the time is its own.
    pub(super) fn stop(&self) -> StopRule {
        let standard_error = self.target_stderr.filter(|_| self.multilevel.is_none());
        StopRule { standard_error, seconds: self.time_budget }
    }

    /// Size and seed, with those of the file where nothing else was asked for; on Sobol points, of one of 16 repetitions.
    pub(super) fn params(&self, paths: usize, steps: usize, seed: u64) -> RolloutParams {
        let rule = self.stop() != StopRule::default();
        let paths = self.paths.unwrap_or(if rule { UNLIMITED } else { paths });
        RolloutParams {
            paths: match (self.noise, self.antithetic) {
                // those of one repetition; powers of two keep the points' balance
                (NoiseSource::Sobol, _) => 1 << (paths / REPETITIONS).max(2).ilog2(),
                // pairs of the file's number, which nobody chose with pairs in mind
                (NoiseSource::Keyed, true) => paths.next_multiple_of(2).max(4),
                (NoiseSource::Keyed, false) => paths,
            },
            steps: self.steps.unwrap_or(steps),
            seed: self.seed.unwrap_or(seed),
            antithetic: self.antithetic,
            noise: self.noise,
            threads: self.threads,
            ..RolloutParams::default()
        }
    }

    /// The paths to save, of `params.paths` in `dim` dimensions.
    pub(super) fn selection(&self, params: &RolloutParams, dim: usize) -> Result<PathSelection, ProblemError> {
        if self.save_paths > params.paths as u64 {
            let allowed = format!("at most the number of paths, {}", params.paths);
            return Err(ProblemError::invalid("--save-paths", self.save_paths, allowed));
        }
        // before there is an entry for each path
        let times = PathSelection::first(0, self.save_times, params.steps).steps.len();
        let per_path = (times * (dim + 2)) as u64;
        if self.save_paths.saturating_mul(per_path) > MOST_SAVED {
            let allowed = format!("at most {} at {times} times (2 GB); see --slices", MOST_SAVED / per_path);
            return Err(ProblemError::invalid("--save-paths", self.save_paths, allowed));
        }
        Ok(PathSelection::first(self.save_paths, self.save_times, params.steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_named() {
        let plain = RolloutOptions::default;
        let refused = |options: RolloutOptions, needed: &str| {
            let message = options.validate().unwrap_err().to_string();
            assert!(message.contains(needed), "{needed} is not in {message}");
        };
        plain().validate().unwrap();
        refused(RolloutOptions { target_stderr: Some(0.0), ..plain() }, "--target-stderr = 0");
        refused(RolloutOptions { time_budget: Some(f64::NAN), ..plain() }, "--time-budget = NaN");
        refused(RolloutOptions { eta: Some(0.5), ..plain() }, "--eta");
        refused(RolloutOptions { eta: Some(1.5), scheme: SchemeName::Ddim, ..plain() }, "--eta = 1.5");
        refused(RolloutOptions { variance: Some(VarianceName::Posterior), ..plain() }, "--variance");
        refused(RolloutOptions { resume: true, ..plain() }, "--resume");
        refused(RolloutOptions { multilevel: Some(16), ..plain() }, "--target-stderr");
        refused(RolloutOptions { antithetic: true, paths: Some(5), ..plain() }, "--paths = 5");
        refused(RolloutOptions { noise: NoiseSource::Sobol, antithetic: true, ..plain() }, "--antithetic");
        let listed = TimesChoice::Listed(vec![0.0, 1.0]);
        refused(RolloutOptions { times: listed, steps: Some(3), ..plain() }, "--steps");
    }

    #[test]
    fn the_file_counts_where_nothing_else_is_asked_for() {
        let file = RolloutOptions::default().params(101, 7, 3);
        assert_eq!((file.paths, file.steps, file.seed), (101, 7, 3));
        let pairs = RolloutOptions { antithetic: true, ..RolloutOptions::default() }.params(101, 7, 3);
        assert_eq!(pairs.paths, 102);
        let ruled = RolloutOptions { target_stderr: Some(0.1), ..RolloutOptions::default() };
        assert_eq!(ruled.params(101, 7, 3).paths, UNLIMITED);
        let points = RolloutOptions { noise: NoiseSource::Sobol, ..RolloutOptions::default() };
        assert_eq!(points.params(1000, 7, 3).paths, 32, "16 repetitions of a power of two");
        assert_eq!(RolloutOptions { paths: Some(9), ..ruled }.params(101, 7, 3).paths, 9);
    }
}
