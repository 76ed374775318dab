//! Parameters of the high-order solver and what it reports.

use crate::error::HjbError;
use crate::monotonicity::Monotonicity;
use serde::Serialize;

/// How the semi-discrete equation is integrated in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Integrator {
    /// Stabilised explicit Runge-Kutta-Chebyshev, order 2: no linear systems, little memory. The default.
    #[default]
    Rkc,
    /// Variable-order BDF with sparse LU: tight tolerances in one dimension.
    Bdf,
    /// The L-stable diagonally implicit pair ESDIRK3(4) with sparse LU.
    Esdirk,
}

/// The times at which the solution is wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Output {
    /// This many equal intervals and their ends, at least 1: t = 0, T/N, ..., T.
    Levels(usize),
    /// These generation times, strictly increasing, in [0, T]; at least one.
    Times(Vec<f64>),
}

impl Output {
    /// The times for the horizon T, ascending.
    pub(crate) fn times(&self, horizon: f64) -> Result<Vec<f64>, HjbError> {
        match self {
            Output::Levels(0) => Err(HjbError::invalid("output.levels", 0, "at least 1")),
            Output::Levels(n) => {
                let h = horizon / *n as f64;
                Ok((0..=*n).map(|k| if k == *n { horizon } else { k as f64 * h }).collect())
            }
            Output::Times(times) => {
                if times.is_empty() {
                    return Err(HjbError::invalid("output.times", "[]", "at least one time"));
                }
                for (k, t) in times.iter().enumerate() {
                    if !(0.0..=horizon).contains(t) {
                        return Err(HjbError::invalid(&format!("output.times[{k}]"), t, &format!("in [0, {horizon}]")));
                    }
                    if k > 0 && *t <= times[k - 1] {
                        return Err(HjbError::invalid(&format!("output.times[{k}]"), t, "strictly increasing times"));
                    }
                }
                Ok(times.clone())
            }
        }
    }
}

/// Parameters of [`crate::smooth::SmoothSolver`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SmoothParams {
    /// Order of the differences in space: 4, 6 or 8.
    pub order: usize,
    /// Order of the differences next to the faces, 2 or 4: see [`crate::smooth::differences`].
    pub closure_order: usize,
    /// Time integration.
    pub integrator: Integrator,
    /// Relative tolerance of a step, in (0, 0.1].
    pub rtol: f64,
    /// Absolute tolerance of a step, in units of V, positive.
    pub atol: f64,
    /// Where the solution is kept.
    pub output: Output,
    /// Most time steps, at least 1.
    pub max_steps: usize,
    /// The value has blown up when sup |V| exceeds this multiple of 1 + sup |g|. Larger than 1.
    pub growth_limit: f64,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
}

impl Default for SmoothParams {
    fn default() -> Self {
        SmoothParams {
            order: 8,
            closure_order: 2,
            integrator: Integrator::default(),
            rtol: 1e-6,
            atol: 1e-6,
            output: Output::Levels(64),
            max_steps: 200_000,
            growth_limit: 1e6,
            memory_limit: 4 << 30,
        }
    }
}

impl SmoothParams {
    /// Check the ranges given at the fields (those of `output` need the horizon and are checked by the solver).
    ///
    /// # Errors
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), HjbError> {
        if !matches!(self.order, 4 | 6 | 8) {
            return Err(HjbError::invalid("order", self.order, "4, 6 or 8"));
        }
        if !matches!(self.closure_order, 2 | 4) {
            return Err(HjbError::invalid("closure_order", self.closure_order, "2 or 4"));
        }
        if !(self.rtol > 0.0 && self.rtol <= 0.1) {
            return Err(HjbError::invalid("rtol", self.rtol, "in (0, 0.1]"));
        }
        if !(self.atol > 0.0 && self.atol.is_finite()) {
            return Err(HjbError::invalid("atol", self.atol, "positive and finite"));
        }
        if self.max_steps == 0 {
            return Err(HjbError::invalid("max_steps", self.max_steps, "at least 1"));
        }
        if self.growth_limit.is_nan() || self.growth_limit <= 1.0 {
            return Err(HjbError::invalid("growth_limit", self.growth_limit, "larger than 1"));
        }
        Ok(())
    }
}

/// What [`crate::smooth::SmoothSolver`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SmoothInfo {
    /// Order of the differences.
    pub order: usize,
    /// Order of the closures at the faces.
    pub closure_order: usize,
    /// The integrator.
    pub integrator: Integrator,
    /// Number of nodes.
    pub nodes: usize,
    /// Accepted steps.
    pub steps: usize,
    /// Rejected steps (for the implicit integrators: error test failures and failed nonlinear solves).
    pub rejected: usize,
    /// Stages in total (Runge-Kutta-Chebyshev).
    pub stages: usize,
    /// Evaluations of the right-hand side on all nodes.
    pub right_sides: usize,
    /// Evaluations of the coefficients of the model on all nodes.
    pub coefficient_evaluations: usize,
    /// Estimated effect on V of the interpolation of the coefficients in time; zero when they are not interpolated.
    pub coefficient_error: f64,
    /// Factorisations (implicit integrators).
    pub factorisations: usize,
    /// Solutions of linear systems (implicit integrators).
    pub linear_solves: usize,
    /// Smallest and largest bound of the spectral radius met (Runge-Kutta-Chebyshev).
    pub spectral_radius: Option<(f64, f64)>,
    /// Negative weights of the differences at t = T, without control and cross derivatives: never monotone.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}
