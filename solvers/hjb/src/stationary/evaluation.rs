//! Value of one policy in a stationary problem, and whether the policy ends the process.

use super::stopping::Guess;
use crate::error::{HjbError, LinearError};
use crate::hamiltonian::{Hamiltonian, Operator, Policy};
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::norms::{sup, sup_difference};
use crate::step::ImplicitSystem;

/// Mean times beyond this many times the shortest one of the grid (one over the largest rate) cannot be told from infinity:
/// systems with them are singular in double precision.
const LONGEST: f64 = 1e13;

/// A mean time is negative below this part of the longest one.
const ROUNDING: f64 = 1e-9;

/// Roundings of each coefficient that an elimination brings into the solution.
const ROUNDINGS: f64 = 4.0;

/// Going on is better than to stop when it brings more than this many roundings of V.
const STOPPING_ROUNDINGS: f64 = 16.0;

/// The policy at hand, its operator, and its value.
pub(super) struct Evaluation {
    pub system: ImplicitSystem,
    pub operator: Operator,
    pub policy: Policy,
    pub value: Vec<f64>,
    /// max_v { L^v V + l - c(v) } - rho V.
    pub maximum: Vec<f64>,
    last: Vec<f64>,
    time: Vec<f64>,
    prescribed: Vec<bool>,
    /// The reward for stopping, where that is allowed.
    obstacle: Option<Vec<f64>>,
    /// Where the policy stops; empty without an obstacle.
    pub stopped: Vec<bool>,
}

/// The mean time until the process ends under a policy (discounted, if there is a discount).
#[derive(Clone, Copy, Debug)]
pub(super) struct MeanTime {
    pub longest: f64,
    /// The longest that is told from infinity.
    pub limit: f64,
}

impl MeanTime {
    /// Relative rounding error of V that systems with these times bring.
    pub fn rounding(self) -> f64 {
        ROUNDINGS * f64::EPSILON * LONGEST * (self.longest / self.limit)
    }
}

impl Evaluation {
    /// V = 0 and its best policy.
    pub fn new(hamiltonian: &mut Hamiltonian<'_>, choice: LinearSolverChoice, prescribed: &[usize]) -> Result<Self, LinearError> {
        let n = hamiltonian.len();
        let operator = hamiltonian.zero_operator();
        let mut is_prescribed = vec![false; n];
        prescribed.iter().for_each(|&j| is_prescribed[j] = true);
        let mut new = Evaluation {
            system: ImplicitSystem::new(&operator.generator, choice)?,
            operator,
            policy: hamiltonian.zero_policy(),
            value: vec![0.0; n],
            maximum: vec![0.0; n],
            last: vec![0.0; n],
            time: vec![0.0; n],
            prescribed: is_prescribed,
            obstacle: None,
            stopped: Vec::new(),
        };
        new.reset(hamiltonian);
        Ok(new)
    }

    /// Back to V = 0.
    pub fn reset(&mut self, hamiltonian: &mut Hamiltonian<'_>) {
        self.value.fill(0.0);
        self.policy = hamiltonian.zero_policy();
        self.maximise(hamiltonian);
    }

    /// Allow to stop for the reward `psi`, beginning with this value and this set, or by stopping everywhere.
    pub fn allow_stopping(&mut self, hamiltonian: &mut Hamiltonian<'_>, psi: Vec<f64>, guess: Option<Guess>) {
        self.stopped = vec![false; psi.len()];
        self.obstacle = Some(psi);
        match guess {
            None => self.stop_everywhere(hamiltonian),
            Some((value, stopped)) => {
                self.value = value;
                self.maximise(hamiltonian);
                self.stopped = stopped;
                self.stopped.iter_mut().zip(&self.prescribed).for_each(|(s, p)| *s &= !*p);
            }
        }
    }

    /// The policy that is best when all others stop at once: V = psi.
    pub fn stop_everywhere(&mut self, hamiltonian: &mut Hamiltonian<'_>) {
        let Some(psi) = &self.obstacle else { return };
        self.value.copy_from_slice(psi);
        for &(j, g) in hamiltonian.target().map_or(&[][..], |target| target.values()) {
            self.value[j] = g;
        }
        self.policy = hamiltonian.zero_policy();
        self.maximise(hamiltonian);
        self.choose_stopping();
    }

    /// Stop where that is no worse than to go on, for the value at hand and its best control.
    fn choose_stopping(&mut self) {
        let Some(psi) = &self.obstacle else { return };
        let margin = STOPPING_ROUNDINGS * f64::EPSILON * sup(&self.value);
        let diagonal = self.operator.generator.diagonal(0);
        for (j, stopped) in self.stopped.iter_mut().enumerate() {
            // by how much V would grow in a step of one over the rate
            let gain = (psi[j] - self.value[j] + margin) * -diagonal[j];
            *stopped = !self.prescribed[j] && gain >= self.maximum[j];
        }
    }

    fn stops(&self, j: usize) -> bool {
        self.stopped.get(j).is_some_and(|stopped| *stopped)
    }

    /// How far V is from the equation, in units of V per time.
    pub fn residual(&self) -> f64 {
        let rows = self.maximum.iter().enumerate();
        rows.fold(0.0, |s: f64, (j, m)| s.max(if self.stops(j) { m.max(0.0) } else { m.abs() }))
    }

    fn maximise(&mut self, hamiltonian: &mut Hamiltonian<'_>) {
        hamiltonian.maximise(&self.value, &mut self.policy, &mut self.operator, &mut self.maximum);
    }

    /// The largest rate of a free node.
    pub fn largest_rate(&self) -> f64 {
        let free = self.operator.generator.diagonal(0).iter().zip(&self.prescribed).filter(|(_, p)| !**p);
        free.fold(0.0, |m: f64, (d, _)| m.max(d.abs()))
    }

    /// The value of the policy with `extra` added to the discount rate, and the best policy for it. Returns the change of V.
    ///
    /// # Errors
    /// A system that could not be solved; a general cost that is not finite.
    pub fn step(&mut self, hamiltonian: &mut Hamiltonian<'_>, extra: f64) -> Result<f64, HjbError> {
        if extra > 0.0 {
            let diagonal = self.operator.generator.diagonal_mut(0);
            diagonal.iter_mut().zip(&self.prescribed).filter(|(_, p)| !**p).for_each(|(d, _)| *d -= extra);
        }
        self.last.copy_from_slice(&self.value);
        let Evaluation { system, operator, value, obstacle, stopped, .. } = self;
        let Operator { generator, running, .. } = operator;
        if let Some(psi) = obstacle {
            let rows = running.iter_mut().zip(psi).zip(stopped.iter());
            rows.filter(|(_, stopped)| **stopped).for_each(|((r, psi), _)| *r = *psi);
        }
        system.solve_stationary(generator, stopped, running, value).map_err(|source| HjbError::StationaryLinear { source })?;
        self.maximise(hamiltonian);
        hamiltonian.check()?;
        self.choose_stopping();
        Ok(sup_difference(&self.value, &self.last))
    }

    /// Largest residual of a row over its diagonal, in units of V; where one may stop, of min( -residual, V - psi ).
    pub fn scaled_residual(&self) -> f64 {
        let rows = self.maximum.iter().zip(self.operator.generator.diagonal(0)).enumerate();
        rows.fold(0.0, |s: f64, (j, (r, d))| {
            let proceed = r / d;
            let left = match &self.obstacle {
                Some(psi) if !self.prescribed[j] => proceed.min(self.value[j] - psi[j]),
                _ => proceed,
            };
            s.max(left.abs())
        })
    }

    /// Signs of the rates of the present policy.
    pub fn monotonicity(&self, hamiltonian: &Hamiltonian<'_>) -> Monotonicity {
        let mut found = Monotonicity::default();
        found.inspect(&self.operator.generator, &hamiltonian.coefficients().nodes, None);
        found
    }

    /// -L tau = 1 for the present policy, tau = 0 where V is prescribed; `None` when it has no solution that is positive
    /// and not too large, i.e. when the policy does not end the process.
    pub fn mean_time(&mut self) -> Option<MeanTime> {
        let limit = LONGEST / self.largest_rate();
        let load: Vec<f64> =
            self.prescribed.iter().enumerate().map(|(j, p)| if *p || self.stops(j) { 0.0 } else { 1.0 }).collect();
        let Evaluation { system, operator, time, stopped, .. } = self;
        system.solve_stationary(&operator.generator, stopped, &load, time).ok()?;
        let longest = sup(time);
        let least = time.iter().fold(0.0f64, |m, t| m.min(*t));
        (longest <= limit && least >= -ROUNDING * longest).then_some(MeanTime { longest, limit })
    }

    /// The node from which the process takes longest to end under the present policy, with `extra` as discount, and the
    /// longest mean time that is told from infinity.
    pub fn farthest(&mut self, extra: f64) -> (usize, f64) {
        let limit = LONGEST / self.largest_rate();
        let Evaluation { system, operator, time, prescribed, .. } = self;
        let diagonal = operator.generator.diagonal_mut(0);
        diagonal.iter_mut().zip(prescribed.iter()).filter(|(_, p)| !**p).for_each(|(d, _)| *d -= extra);
        let load: Vec<f64> = prescribed.iter().map(|p| if *p { 0.0 } else { 1.0 }).collect();
        // what an unsolvable system leaves is as good a guess as any
        let _ = system.solve_stationary(&operator.generator, &[], &load, time);
        let free = (0..time.len()).filter(|&j| !prescribed[j] && time[j].is_finite());
        (free.fold((0, f64::NEG_INFINITY), |best, j| if time[j] > best.1 { (j, time[j]) } else { best }).0, limit)
    }

    /// Largest |V|.
    pub fn size(&self) -> f64 {
        sup(&self.value)
    }

    /// The node with the largest |V|, and V there.
    pub fn extreme(&self) -> (usize, f64) {
        let mut found = (0, 0.0f64);
        for (j, &v) in self.value.iter().enumerate() {
            if v.abs() > found.1.abs() {
                found = (j, v);
            }
        }
        found
    }
}
