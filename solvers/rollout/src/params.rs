//! What a rollout is asked to do, and what it reports of itself.

use crate::error::RolloutError;
use crate::noise::{NoiseSource, SOBOL_PATHS};
use crate::stop::StoppedBy;

/// Size, seed and threads of a rollout.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RolloutParams {
    /// Number of paths, at least 2 (one path has no standard error).
    pub paths: usize,
    /// Number of time steps N, from 1 to 2^31; h = T/N.
    pub steps: usize,
    /// Seed of the noise.
    pub seed: u64,
    /// Family of paths under the seed; two runs that differ in it are independent.
    pub level: u32,
    /// How many steps of the noise one time step covers, at least 1; `steps * coarsening` is at most 2^31. Runs with the
    /// same seed and level whose `steps * coarsening` agree follow the same Brownian paths (from the same initial states), a
    /// coarse increment being the sum of the fine ones: the coupled levels of multilevel Monte Carlo.
    pub coarsening: u32,
    /// Independent noise or Sobol points.
    pub noise: NoiseSource,
    /// Let path 2j + 1 start where path 2j starts and use its noise with the opposite sign; the pair counts as one sample,
    /// its mean. Needs an even number of paths. Helps when the payoff is close to monotone in the noise, is useless for an
    /// even function of it (twice the cost then buys nothing).
    pub antithetic: bool,
    /// Threads, from 1 to 1024; `None` uses the pool of the caller. No result depends on it.
    pub threads: Option<usize>,
}

impl Default for RolloutParams {
    /// 10 000 paths of 200 steps.
    fn default() -> Self {
        RolloutParams {
            paths: 10_000,
            steps: 200,
            seed: 0,
            level: 0,
            coarsening: 1,
            noise: NoiseSource::Keyed,
            antithetic: false,
            threads: None,
        }
    }
}

impl RolloutParams {
    /// Check every field.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] naming the field.
    pub fn validate(&self) -> Result<(), RolloutError> {
        if self.paths < 2 {
            return Err(RolloutError::invalid("paths", self.paths, "at least 2; one path has no standard error"));
        }
        if self.antithetic && (!self.paths.is_multiple_of(2) || self.paths < 4) {
            return Err(RolloutError::invalid("paths", self.paths, "even and at least 4: antithetic paths come in pairs"));
        }
        if self.steps < 1 || self.steps > 1 << 31 {
            return Err(RolloutError::invalid("steps", self.steps, "from 1 to 2147483648"));
        }
        if self.noise == NoiseSource::Sobol && self.paths > SOBOL_PATHS {
            return Err(RolloutError::invalid("paths", self.paths, format!("at most {SOBOL_PATHS} with Sobol points")));
        }
        let allowed = (1 << 31) / self.steps;
        if !(1..=allowed).contains(&(self.coarsening as usize)) {
            let allowed = format!("from 1 to {allowed}: steps * coarsening at most 2147483648");
            return Err(RolloutError::invalid("coarsening", self.coarsening, allowed));
        }
        if let Some(threads) = self.threads
            && !(1..=1024).contains(&threads)
        {
            return Err(RolloutError::invalid("threads", threads, "from 1 to 1024, or none for the caller's pool"));
        }
        Ok(())
    }
}

/// What a rollout did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RolloutInfo {
    /// Name of the scheme.
    pub scheme: &'static str,
    /// What the scheme was made with ([`SdeScheme::parameters`](crate::SdeScheme::parameters)): `alpha` and `variance` of the
    /// ancestral sampler, `eta` of DDIM, `noise` of Milstein's scheme; null otherwise.
    pub scheme_parameters: serde_json::Value,
    /// Number of paths done.
    pub paths: usize,
    /// Number of steps N.
    pub steps: usize,
    /// h, the mean of the h_k on a grid of unequal steps.
    pub step_length: f64,
    /// paths * steps.
    pub path_steps: u64,
    /// Path-steps at which the feedback was evaluated outside its own table.
    pub outside: u64,
    /// `outside / path_steps`.
    pub outside_fraction: f64,
    /// Path-steps at which the feedback left the control set and was projected onto it.
    pub projected: u64,
    /// Blocks of 64 paths within which what a stop rule looks at (the objective) varies; with only a few of them, the standard
    /// error says little.
    pub varied_blocks: u64,
    /// What ended the run.
    pub stopped_by: StoppedBy,
    /// Whether it was cut short, by time or by an interrupt.
    pub partial: bool,
    /// Threads of the pool that ran.
    pub threads: usize,
    /// Processes that shared the paths.
    pub ranks: usize,
    /// Seconds spent, preparation included (the only field that differs from run to run).
    pub seconds: f64,
}
