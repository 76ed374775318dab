//! Errors of the rollout crate: what, where, and what is allowed.

/// Why a simulation or an estimate cannot be given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RolloutError {
    /// A value outside what is allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the field.
        field: &'static str,
        /// The offending value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Parts that do not fit together.
    #[error("{what} is {found}; {expected} expected")]
    Dimension {
        /// Which dimension.
        what: &'static str,
        /// Found.
        found: usize,
        /// Expected.
        expected: usize,
    },
    /// The initial law gave a state that is not finite.
    #[error("path {path} starts at {state:?}: an initial state must be finite")]
    InitialState {
        /// Number of the path.
        path: u64,
        /// What was sampled.
        state: Vec<f64>,
    },
    /// A path became infinite or undefined; usually the step is too long for the drift, or a coefficient is undefined there.
    #[error(
        "path {path} is no longer finite after step {step} (of length {step_length:e}, from t = {time}); \
         the last finite state is {last_state:?} with control {last_control:?}: use more steps, or bound the feedback"
    )]
    StateNotFinite {
        /// Number of the path.
        path: u64,
        /// The step k that led from a finite state to one that is not.
        step: usize,
        /// t_k.
        time: f64,
        /// h.
        step_length: f64,
        /// X_k.
        last_state: Vec<f64>,
        /// v(t_k, X_k).
        last_control: Vec<f64>,
    },
    /// A cost or reward of a path is infinite or undefined although its states are finite.
    #[error("{quantity} of path {path} is {value} at the final state {state:?}")]
    ValueNotFinite {
        /// `running cost`, `running reward`, `terminal reward` or `objective`.
        quantity: &'static str,
        /// Number of the path.
        path: u64,
        /// Its value.
        value: f64,
        /// X_N.
        state: Vec<f64>,
    },
    /// Every path is finite, but a sum over them is not.
    #[error("{quantity} overflows: the paths are finite but too far apart for double precision")]
    Overflow {
        /// Which estimate.
        quantity: &'static str,
    },
    /// The caller's interrupt came before there was anything to estimate from.
    #[error("interrupted after {paths} paths, too early for an estimate")]
    Interrupted {
        /// Paths done.
        paths: u64,
    },
    /// A state of a run that cannot be written, read or continued.
    #[error("checkpoint: {reason}")]
    Checkpoint {
        /// What is wrong with it.
        reason: String,
    },
    /// Ranks could not work together, or another one failed.
    #[error(transparent)]
    Ranks(#[from] crate::ranks::RanksError),
    /// The thread pool could not be made.
    #[error("a pool of {threads} threads could not be made: {reason}")]
    ThreadPool {
        /// Threads asked for.
        threads: usize,
        /// The pool's words.
        reason: String,
    },
}

impl RolloutError {
    /// An [`RolloutError::Invalid`] from anything that prints.
    pub(crate) fn invalid(field: &'static str, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        RolloutError::Invalid { field, value: value.to_string(), allowed: allowed.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::RanksError;
    use crate::{Ensemble, InitialState, RolloutParams};
    use hjbridge_model::law::Law;
    use hjbridge_model::{ClosureDiffusion, Points, ZeroFeedback};

    /// Draws what is no state.
    struct Nowhere;

    impl Law for Nowhere {
        fn dim(&self) -> usize {
            1
        }
        fn log_density(&self, _x: Points<'_>, out: &mut [f64]) {
            out.fill(0.0);
        }
        fn sample(&self, _rng: &mut dyn rand::Rng, out: &mut [f64]) {
            out.fill(f64::NAN);
        }
    }

    #[test]
    fn starts_that_do_not_fit() {
        let (problem, zero) = (ClosureDiffusion::builder(1).build().unwrap(), ZeroFeedback { dim: 1, control_dim: 1 });
        let params = RolloutParams { paths: 8, steps: 2, ..Default::default() };
        let two = Ensemble::new(&problem, &zero, InitialState::Point(vec![0.0; 2]), params.clone()).err().unwrap();
        assert!(matches!(two, RolloutError::Dimension { found: 2, expected: 1, .. }), "{two}");
        let lost = Ensemble::new(&problem, &zero, InitialState::Law(&Nowhere), params).unwrap().run().err().unwrap();
        assert!(matches!(&lost, RolloutError::InitialState { path: 0, state } if state[0].is_nan()), "{lost}");
        assert_eq!(lost.to_string(), "path 0 starts at [NaN]: an initial state must be finite");
    }

    #[test]
    fn errors_of_the_machine_say_what_it_said() {
        let pool = RolloutError::ThreadPool { threads: 7, reason: "no more".into() };
        assert_eq!(pool.to_string(), "a pool of 7 threads could not be made: no more");
        let ranks = RolloutError::from(RanksError::Elsewhere { rank: 2, reason: "full disk".into() });
        assert_eq!(ranks.to_string(), "rank 2: full disk");
    }
}
