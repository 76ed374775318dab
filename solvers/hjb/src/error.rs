//! Errors of the HJB solver: which quantity, where, and what is allowed.

use hjbridge_model::ModelError;

/// Why an HJB or Fokker-Planck equation could not be solved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum HjbError {
    /// A parameter outside what is allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the parameter.
        field: String,
        /// The offending value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Lengths or dimensions that do not fit together.
    #[error("{field} has {found} entries; {expected} expected")]
    Shape {
        /// Name of the quantity.
        field: String,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// A model that the finite-difference solver does not treat.
    #[error("unsupported: {what}{}; allowed: {allowed}", seen(*.t, .point))]
    Unsupported {
        /// What the model asked for.
        what: String,
        /// Generation time.
        t: f64,
        /// The point where it was seen.
        point: Vec<f64>,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A NaN or infinite value returned by the model.
    #[error("{coefficient} is {value} at t = {t}, x = {point:?}; the model must return finite numbers on the whole grid")]
    NonFinite {
        /// Which coefficient: `drift`, `diffusion`, `control_matrix`, `control_weight`, `control_cost`, `running_reward`,
        /// `terminal_reward`, `feedback`, `obstacle`, `target.level`, `target.value`, `boundary`.
        coefficient: &'static str,
        /// The value returned.
        value: f64,
        /// Generation time.
        t: f64,
        /// The point.
        point: Vec<f64>,
    },
    /// A finite number with which the linear systems would overflow.
    #[error(
        "{coefficient} is {value:e} at t = {t}, x = {point:?}, {}: the linear systems would overflow in double precision (are the \
         units right?)",
        if value.abs() > *limit { format!("larger than {limit:e}") } else { format!("smaller than {:e}", 1.0 / limit) }
    )]
    TooLarge {
        /// Which coefficient: `drift`, `diffusion`, `control_matrix`, `control_weight` (which may be too small as well).
        coefficient: &'static str,
        /// The value returned.
        value: f64,
        /// Generation time.
        t: f64,
        /// The point.
        point: Vec<f64>,
        /// The largest size allowed.
        limit: f64,
    },
    /// A control weight that is not positive definite.
    #[error(
        "control_weight[{component}][{component}] = {value} at t = {t}, node {node}, x = {point:?}: R must be positive, \
         otherwise the maximum over the control does not exist (the sign of the cost may be wrong)"
    )]
    ControlWeight {
        /// Component of the control.
        component: usize,
        /// R_ii found.
        value: f64,
        /// Generation time.
        t: f64,
        /// Flat node index.
        node: usize,
        /// The point.
        point: Vec<f64>,
    },
    /// A control weight with off-diagonal entries that is not positive definite.
    #[error(
        "control_weight at t = {t}, node {node}, x = {point:?} is not positive definite: pivot {component} of its Cholesky \
         factorisation is {pivot:.6e}; the maximum over the control does not exist"
    )]
    ControlWeightIndefinite {
        /// Component of the control at which the factorisation stops.
        component: usize,
        /// The pivot found.
        pivot: f64,
        /// Generation time.
        t: f64,
        /// Flat node index.
        node: usize,
        /// The point.
        point: Vec<f64>,
    },
    /// A control weight that is not symmetric.
    #[error(
        "control_weight[{row}][{column}] = {value}, but [{column}][{row}] = {mirror} at t = {t}, x = {point:?}: R must be \
         symmetric"
    )]
    ControlWeightAsymmetric {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        column: usize,
        /// The entry.
        value: f64,
        /// The mirrored entry.
        mirror: f64,
        /// Generation time.
        t: f64,
        /// The point.
        point: Vec<f64>,
    },
    /// A negative rate where [`crate::HjbParams::require_monotone`] asks for none.
    #[error(
        "not monotone: rate {rate:.3e} along axis {axis} at node {node}, x = {point:?}{}; likely cause: {cause}",
        .t.map_or(String::new(), |t| format!(", t = {t}"))
    )]
    NotMonotone {
        /// Flat node index.
        node: usize,
        /// Its coordinates.
        point: Vec<f64>,
        /// Axis of the neighbour with the negative rate.
        axis: usize,
        /// Generation time; `None` for a stationary problem.
        t: Option<f64>,
        /// The rate, per unit of time.
        rate: f64,
        /// The likely cause.
        cause: crate::monotonicity::ViolationCause,
    },
    /// A row of a generator whose sum is positive: mass would be made there.
    #[error("not monotone: the row sum at node {node}, x = {point:?} is {sum:.3e} of the size of the row, more than rounding")]
    PositiveRowSum {
        /// Flat node index.
        node: usize,
        /// Its coordinates.
        point: Vec<f64>,
        /// The sum over the sum of magnitudes.
        sum: f64,
    },
    /// Policy iteration stopped before its tolerance.
    #[error(
        "policy iteration did not converge{} in {iterations} iterations: last value change {value_change:.3e}, residual \
         {residual:.3e}",
        .t.map_or(String::new(), |t| format!(" at t = {t}"))
    )]
    NoConvergence {
        /// Time level; `None` for a stationary problem and for the whole-horizon iteration.
        t: Option<f64>,
        /// Iterations done.
        iterations: usize,
        /// Sup norm of the last change of the value.
        value_change: f64,
        /// Sup norm of the residual of the discrete equation.
        residual: f64,
    },
    /// A Markov chain without a unique stationary law.
    #[error(
        "no unique stationary law: {cut_off} of {nodes} nodes cannot reach x = {point:?} \
         (is there noise on every axis, and does the box hold one connected region?)"
    )]
    Reducible {
        /// Nodes from which the point cannot be reached.
        cut_off: usize,
        /// Nodes of the grid.
        nodes: usize,
        /// A point of one closed class.
        point: Vec<f64>,
    },
    /// The value of the unbounded problem is infinite before t: its curvature at a face explodes (see
    /// [`crate::HjbSolver`]).
    #[error(
        "ill-posed: the curvature of the value along axis {axis} explodes at the {} face at t = {t}; the reward is too convex \
         for its control weight (for a KL weight beta: raise beta, or make the reward less convex)",
        if *.upper { "upper" } else { "lower" }
    )]
    IllPosed {
        /// Time of the explosion.
        t: f64,
        /// Axis normal to the face.
        axis: usize,
        /// Upper or lower face.
        upper: bool,
    },
    /// The value grows beyond every bound.
    #[error(
        "the value blows up at t = {t}: sup |V| = {sup:.3e} exceeds {limit:.3e}. With a control the reward is probably too \
         convex for its weight (for a KL weight beta: raise beta, or make the reward less convex); without one the equation is \
         linear, and this is an instability, most often at an extrapolated face where the drift points out of the box"
    )]
    BlowUp {
        /// Time level where it was noticed.
        t: f64,
        /// Sup norm of V (infinite when a value is not finite).
        sup: f64,
        /// The limit passed.
        limit: f64,
    },
    /// The adaptive time integration of [`crate::smooth::SmoothSolver`] stopped before its end.
    #[error("the time integration stopped at t = {t}: {reason}")]
    TimeIntegration {
        /// Generation time reached, going backward from T.
        t: f64,
        /// Why.
        reason: IntegrationFailure,
    },
    /// The arrays would not fit the limit set in the parameters.
    #[error(
        "about {required} bytes needed, memory_limit = {limit}: use fewer nodes, fewer steps or `Storage::AtMost`, or raise \
         the limit"
    )]
    Memory {
        /// Bytes estimated.
        required: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The flag of `with_interrupt` was set.
    #[error("interrupted at t = {t}")]
    Interrupted {
        /// Generation time reached, going backward from T; 0 for a stationary problem.
        t: f64,
    },
    /// A linear system could not be solved.
    #[error("linear system at t = {t}: {source}")]
    Linear {
        /// Time level.
        t: f64,
        /// The reason.
        source: LinearError,
    },
    /// A stationary problem whose process does not get to its end: no policy was found under which the target, or a Dirichlet
    /// face, is reached in a mean time that double precision can hold.
    #[error(
        "{} the process does not get from x = {point:?} to the target (or a Dirichlet face) within a mean time of {limit:.1e}: \
         what it gathers on the way is infinite, or too large for double precision. Can the target be reached at all, against \
         the drift, with this noise{} and these faces? A discount makes the problem well-posed{}",
        if *.controlled { "whatever the control," } else { "without a control" },
        if *.controlled { ", these bounds on the control" } else { "" },
        if *.controlled { "; with a free control and noise that matches it the Cole-Hopf route goes further" } else { "" }
    )]
    Unreachable {
        /// A point from which the target is not reached.
        point: Vec<f64>,
        /// The longest mean time, in units of time, that is told from infinity.
        limit: f64,
        /// Whether there is a control.
        controlled: bool,
    },
    /// A stationary problem in which it pays to stay for ever.
    #[error(
        "the expected reward before the process ends is infinite{}: the running reward (or negative running cost) is more than \
         the rate of leaving and the cost of the control can bear (it lies beyond the first eigenvalue): lower it, make the \
         control dearer, or add a discount",
        place(.point)
    )]
    InfiniteReward {
        /// A point where it is; empty when only its existence is known.
        point: Vec<f64>,
    },
    /// A linear system of a stationary problem could not be solved.
    #[error("linear system of a stationary problem: {source}")]
    StationaryLinear {
        /// The reason.
        source: LinearError,
    },
    /// An error of the model crate (grids, tables).
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Time and place, when there is a place.
fn seen(t: f64, point: &[f64]) -> String {
    if point.is_empty() { String::new() } else { format!(" (t = {t}, x = {point:?})") }
}

/// " at x = ..." when the point is known.
fn place(point: &[f64]) -> String {
    if point.is_empty() { String::new() } else { format!(" at x = {point:?}") }
}

/// Why an adaptive time integration stopped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum IntegrationFailure {
    /// As many steps as allowed.
    #[error("max_steps = {limit} reached; loosen rtol and atol, or raise it")]
    TooManySteps {
        /// The limit.
        limit: usize,
    },
    /// The implicit integrator could not make a step, though the value had not grown.
    #[error("no step of {integrator} succeeds: {message}")]
    StepFailed {
        /// Which integrator.
        integrator: &'static str,
        /// Its words.
        message: String,
    },
}

/// Why a linear system could not be solved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinearError {
    /// A zero pivot.
    #[error("the matrix is singular (row {row})")]
    Singular {
        /// Row of the pivot.
        row: usize,
    },
    /// The factorisation failed.
    #[error("{solver}: factorisation failed: {reason}")]
    Factorisation {
        /// Which solver.
        solver: &'static str,
        /// Its words.
        reason: String,
    },
    /// NaN or infinity in the solution.
    #[error("{solver}: the solution is not finite")]
    NotFinite {
        /// Which solver.
        solver: &'static str,
    },
    /// A solution that does not satisfy its system.
    #[error("{solver}: relative residual {residual:.3e} exceeds {limit:.1e}")]
    Inaccurate {
        /// Which solver.
        solver: &'static str,
        /// max|b - Ax| / (max row sum |A| max|x| + max|b|).
        residual: f64,
        /// Largest residual accepted.
        limit: f64,
    },
    /// An iterative solver that did not reach its tolerance.
    #[error(
        "{solver} did not converge in {iterations} iterations: relative residual {residual:.3e}, tolerance {tolerance:.1e} (the \
         matrix may be singular; sparse LU or a larger tolerance may help)"
    )]
    NoConvergence {
        /// Which solver.
        solver: &'static str,
        /// Iterations done.
        iterations: usize,
        /// max|b - Ax| / (max row sum |A| max|x| + max|b|) of the last iterate, from the recomputed residual.
        residual: f64,
        /// The tolerance.
        tolerance: f64,
    },
    /// A parameter of a solver outside what is allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the parameter.
        field: &'static str,
        /// The offending value.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A matrix whose pattern the solver does not take.
    #[error("{solver} takes {allowed}; the matrix has shifts {found:?}")]
    Pattern {
        /// Which solver.
        solver: &'static str,
        /// What it takes.
        allowed: &'static str,
        /// Flat shifts of the matrix.
        found: Vec<isize>,
    },
}

/// Numbers with more characters are printed with an exponent.
const LONGEST_NUMBER: usize = 24;

impl HjbError {
    /// An [`HjbError::Invalid`] from anything that prints.
    pub(crate) fn invalid(field: &str, value: impl std::fmt::Display, allowed: &str) -> Self {
        let mut value = value.to_string();
        // 1e-320 would be printed with all its digits.
        if let (true, Ok(number)) = (value.len() > LONGEST_NUMBER, value.parse::<f64>()) {
            value = format!("{number:e}");
        }
        HjbError::Invalid { field: field.to_string(), value, allowed: allowed.to_string() }
    }

    /// An [`HjbError::Shape`] unless `found == expected`.
    pub(crate) fn check_shape(field: &str, found: usize, expected: usize) -> Result<(), Self> {
        if found == expected { Ok(()) } else { Err(HjbError::Shape { field: field.to_string(), found, expected }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a sound problem does not bring about: the words still have to be right.
    #[test]
    fn errors_that_wrap_others_say_what_is_in_them() {
        let singular = || LinearError::Singular { row: 4 };
        let failed = IntegrationFailure::StepFailed { integrator: "BDF", message: "no convergence".into() };
        let stationary: HjbError = HjbError::StationaryLinear { source: singular() };
        for (error, words) in [
            (stationary, "linear system of a stationary problem: the matrix is singular (row 4)"),
            (HjbError::Linear { t: 0.5, source: singular() }, "linear system at t = 0.5: the matrix is singular (row 4)"),
            (HjbError::from(ModelError::invalid("grid", "[]", "an axis")), "grid = []: an axis"),
            (
                HjbError::TimeIntegration { t: 0.25, reason: failed },
                "the time integration stopped at t = 0.25: no step of BDF succeeds: no convergence",
            ),
        ] {
            assert_eq!(error.to_string(), words);
        }
        // a number with many digits is printed with an exponent
        assert_eq!(HjbError::invalid("x", 1e-320, "more").to_string(), "x = 1e-320: more");
    }
}
