//! The ascent itself.

use super::adam::AdamMoments;
use super::direction::{backtrack, natural};
use super::gradient::Gradient;
use super::{AscentParams, Direction, Estimator, NoiseRule};
use crate::parametric::ParametricError;
use crate::parametric::chain::SampledChain;
use crate::parametric::noise::{Noise, Purpose};
use crate::parametric::objective::{Mean, ObjectiveInfo, check_table};
use crate::parametric::policy::Policy;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// One iteration, at the policy before its step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AscentIteration {
    /// Number, from 0.
    pub iteration: usize,
    /// What the policy achieved on the paths of the iteration.
    pub achieved: ObjectiveInfo,
    /// |grad J| of the sample.
    pub gradient: f64,
    /// Length of the step along the direction; 0 when the line search found none. 1 for Adam.
    pub step: f64,
    /// Evaluations of the objective in the line search.
    pub evaluations: usize,
}

/// Why an ascent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    /// The number of iterations.
    Iterations,
    /// A gain below the tolerance.
    Tolerance,
    /// No step along the direction gains anything: the gradient is noise.
    LineSearch,
    /// The flag.
    Interrupt,
}

/// A training that can be stored and continued, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AscentState<P> {
    /// The policy so far.
    pub policy: P,
    /// Every iteration done.
    pub history: Vec<AscentIteration>,
    /// First step length of the next line search.
    step: f64,
    /// Adam's moments.
    adam: AdamMoments,
}

impl<P: Policy> AscentState<P> {
    /// Whether its parts fit together and `chain`; those of a training read from a file may not.
    ///
    /// # Errors
    /// `Invalid`, naming what does not fit.
    pub fn check(&self, chain: &SampledChain<'_>) -> Result<(), ParametricError> {
        chain.check(&self.policy)?;
        let parameters = self.policy.parameters().len();
        if !self.adam.is_of(parameters, self.history.len()) {
            let allowed = format!("of {parameters} parameters and at most {} steps", self.history.len());
            return Err(ParametricError::invalid("adam", "moments", allowed));
        }
        Ok(())
    }
}

/// How an ascent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AscentInfo {
    /// Why.
    pub stopped_by: StoppedBy,
    /// Iterations since the beginning of the state.
    pub iterations: usize,
}

/// Gradient ascent on the objective of a chain.
pub struct Ascent<'a> {
    chain: &'a SampledChain<'a>,
    params: AscentParams,
    interrupt: Option<&'a AtomicBool>,
}

impl<'a> Ascent<'a> {
    /// Training on `chain`.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn new(chain: &'a SampledChain<'a>, params: AscentParams) -> Result<Self, ParametricError> {
        params.check()?;
        Ok(Ascent { chain, params, interrupt: None })
    }

    /// Stop after the iteration at hand when somebody sets `flag`.
    pub fn with_interrupt(mut self, flag: &'a AtomicBool) -> Self {
        self.interrupt = Some(flag);
        self
    }

    /// The state before the first iteration.
    ///
    /// # Errors
    /// `Invalid` for a policy of another chain.
    pub fn start<P: Policy>(&self, policy: P) -> Result<AscentState<P>, ParametricError> {
        self.chain.check(&policy)?;
        Ok(AscentState { policy, history: Vec::new(), step: 1.0, adam: AdamMoments::default() })
    }

    /// The sampled objective and its gradient in the parameters, with the noise of iteration `round`.
    ///
    /// # Errors
    /// `Invalid` for a policy of another chain, `NonFinite`.
    pub fn gradient(&self, policy: &dyn Policy, round: u64) -> Result<(ObjectiveInfo, Vec<f64>), ParametricError> {
        self.chain.check(policy)?;
        let sampled = self.sample(policy, &self.noise(round), false)?;
        Ok((self.chain.info(&sampled.totals), sampled.gradient))
    }

    fn noise(&self, round: u64) -> Noise {
        let round = if self.params.noise == NoiseRule::Fresh { round } else { 0 };
        Noise::new(self.params.seed, Purpose::Paths, (1 << 32) + round)
    }

    fn sample(&self, policy: &dyn Policy, noise: &Noise, keep: bool) -> Result<Gradient, ParametricError> {
        Gradient::new(self.chain, policy, self.params.paths, noise, self.params.estimator, keep)
    }

    /// Ascend until a rule stops it; `progress` sees the state after every iteration.
    ///
    /// # Errors
    /// `NonFinite`, `RankDeficient`, `Invalid` for the natural direction of a policy that is not linear.
    pub fn run<P: Policy>(
        &self,
        state: &mut AscentState<P>,
        progress: &mut dyn FnMut(&AscentState<P>),
    ) -> Result<AscentInfo, ParametricError> {
        state.check(self.chain)?;
        if matches!(self.params.direction, Direction::Natural { .. }) {
            check_table("paths", self.params.paths, self.chain.dim().saturating_mul(3 * self.chain.steps()))?;
        }
        let stop = |state: &AscentState<P>, stopped_by| Ok(AscentInfo { stopped_by, iterations: state.history.len() });
        loop {
            if state.history.len() >= self.params.iterations {
                return stop(state, StoppedBy::Iterations);
            }
            if self.interrupt.is_some_and(|f| f.load(Ordering::Relaxed)) {
                return stop(state, StoppedBy::Interrupt);
            }
            let ended = self.iterate(state)?;
            progress(state);
            if let Some(reason) = ended {
                return stop(state, reason);
            }
        }
    }

    fn iterate<P: Policy>(&self, state: &mut AscentState<P>) -> Result<Option<StoppedBy>, ParametricError> {
        let noise = self.noise(state.history.len() as u64);
        let keep = matches!(self.params.direction, Direction::Natural { .. });
        let sampled = self.sample(&state.policy, &noise, keep)?;
        let gradient = &sampled.gradient;
        let mut row = AscentIteration {
            iteration: state.history.len(),
            achieved: self.chain.info(&sampled.totals),
            gradient: gradient.iter().map(|g| g * g).sum::<f64>().sqrt(),
            step: 0.0,
            evaluations: 0,
        };
        let direction = match self.params.direction {
            Direction::Adam { rate, beta1, beta2 } => {
                let mut step = vec![0.0; gradient.len()];
                state.adam.step(gradient, rate, beta1, beta2, &mut step);
                state.policy.parameters_mut().iter_mut().zip(&step).for_each(|(t, s)| *t += s);
                row.step = 1.0;
                state.history.push(row);
                return Ok(None);
            }
            Direction::Natural { ridge } => natural(&state.policy, &sampled, ridge)?,
            Direction::Gradient => gradient.clone(),
        };
        let control_variate = matches!(self.params.estimator, Estimator::Pathwise { control_variate: true });
        let value = Mean::of_pairs(&sampled.totals.objective(control_variate)).mean;
        let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let old = state.policy.parameters().to_vec();
        let first = if keep { 1.0 } else { state.step };
        let (found, evaluations) = if slope > 0.0 {
            backtrack(value, slope, first, |step| {
                let theta = state.policy.parameters_mut().iter_mut();
                theta.zip(&old).zip(&direction).for_each(|((t, o), d)| *t = o + step * d);
                // a step so long that a path is lost is too long
                let totals = self.chain.totals(&state.policy, self.params.paths, &noise).ok()?;
                Some(Mean::of_pairs(&totals.objective(control_variate)).mean)
            })
        } else {
            (None, 0)
        };
        row.evaluations = evaluations;
        let ended = match &found {
            None => {
                state.policy.parameters_mut().copy_from_slice(&old);
                Some(StoppedBy::LineSearch)
            }
            Some(f) => {
                row.step = f.step;
                // try a longer one next time when the first trial was good
                state.step = if f.evaluations == 1 { 2.0 * f.step } else { f.step };
                (f.value - value <= self.params.tolerance * value.abs().max(1.0)).then_some(StoppedBy::Tolerance)
            }
        };
        state.history.push(row);
        Ok(ended)
    }
}
