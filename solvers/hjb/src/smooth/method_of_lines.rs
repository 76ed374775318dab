//! Implicit integration of the semi-discrete equation by diffsol: BDF (orders 1 to 5) and ESDIRK3(4), sparse LU.
//!
//! The Jacobian of the right-hand side is written by us into a fixed pattern, the union of the stencils (with cross
//! derivatives: of their products): row j of dF/dV is
//!
//!   sum_i (f_i + (G v)_i) D_i + (1/2) sum_i a_ii D_ii + sum_{i<k} a_ik D_i D_k - rho,   v the maximiser for grad V,
//!
//! since dH/dp = G v. Coefficients are evaluated at the integrator's own times, not interpolated;
//! it is started afresh at each of their jumps in time and stops several times where they vary quickly. In one dimension
//! the matrix is banded and this is the route for tight tolerances; in two dimensions the fill of the factors grows fast
//! with the order, so grids stay moderate (41^2 at order 8 with cross derivatives: about 0.6 s); above that take
//! Runge-Kutta-Chebyshev.
//! Reference: the diffsol crate (integrators and their step control).

use crate::error::{HjbError, IntegrationFailure};
use crate::norms::{all_finite, sup};
use crate::smooth::control::velocity;
use crate::smooth::differences::Differences;
use crate::smooth::operator::SmoothOperator;
use crate::smooth::params::{Integrator, SmoothInfo, SmoothParams};
use crate::smooth::rkc::StabilisedSystem;
use crate::smooth::solve::Reporter;
use diffsol::matrix::sparsity::MatrixSparsity;
use diffsol::{
    ConstantOp, FaerContext, FaerSparseLU, FaerSparseMat, FaerVec, Matrix, NonLinearOp, NonLinearOpJacobian, OdeBuilder,
    OdeEquations, OdeEquationsRef, OdeSolverMethod, OdeSolverStopReason, Op, ParameterisedOp, UnitCallable, Vector, VectorCommon,
};
use std::sync::{Mutex, MutexGuard};

type M = FaerSparseMat<f64>;
type V = FaerVec<f64>;
type Pattern = <M as Matrix>::Sparsity;

/// A step that fails after the value grew by this factor counts as a blow-up.
const SUDDEN_GROWTH: f64 = 10.0;

/// Largest number of non-zeros in the Jacobian.
const MAX_NONZEROS: usize = 20_000_000;

/// What changes while the integrator runs.
struct State<'m> {
    operator: SmoothOperator<'m>,
    /// dH/dp_i + f_i, d x n.
    speed: Vec<f64>,
    right_sides: usize,
    /// The first error of the model; the integrator only sees NaN.
    error: Option<HjbError>,
}

struct Equation<'m> {
    state: Mutex<State<'m>>,
    initial: Vec<f64>,
    context: FaerContext,
    pattern: Pattern,
    /// Place in the values of each term of each row, in the order in which `for_terms` visits them.
    places: Vec<usize>,
    differences: Differences,
    /// Pairs of axes with a cross derivative.
    cross: Vec<(usize, usize)>,
}

/// Visit (row, column, term) for every product of a coefficient with a stencil weight.
fn for_terms(d: &Differences, cross: &[(usize, usize)], mut visit: impl FnMut(usize, usize, Term)) {
    let strides = d.grid().strides();
    for row in 0..d.grid().len() {
        let stencil = |axis: usize| {
            let a = &d.axes[axis];
            let index = row / a.stride % a.count;
            (&a.nodes[index], row - index * a.stride)
        };
        for axis in 0..d.axes.len() {
            let (s, base) = stencil(axis);
            for (k, (&first, &second)) in s.first.iter().zip(&s.second).enumerate() {
                visit(row, base + (s.start + k) * strides[axis], Term::Axis { axis, first, second });
            }
        }
        for (pair, &(i, k)) in cross.iter().enumerate() {
            let ((s, base), (t, _)) = (stencil(i), stencil(k));
            let origin = base as isize - (row / strides[k] % d.axes[k].count * strides[k]) as isize;
            for (p, a) in s.first.iter().enumerate() {
                for (q, b) in t.first.iter().enumerate() {
                    let shift = ((s.start + p) * strides[i] + (t.start + q) * strides[k]) as isize;
                    visit(row, (origin + shift) as usize, Term::Cross { pair, weight: a * b });
                }
            }
        }
    }
}

/// A weight that multiplies a coefficient.
enum Term {
    Axis { axis: usize, first: f64, second: f64 },
    Cross { pair: usize, weight: f64 },
}

impl<'m> Equation<'m> {
    fn new(mut operator: SmoothOperator<'m>, initial: Vec<f64>) -> Result<Self, HjbError> {
        let layout = operator.model.layout;
        // A cross coefficient counts when it is not zero at one of a few times.
        let mut cross = Vec::new();
        let length = operator.segment.length();
        for k in 0..=4 {
            operator.load_exact(length * k as f64 / 4.0)?;
            for i in 0..layout.dim {
                for j in i + 1..layout.dim {
                    if operator.channels()[layout.diffusion(i, j)].sup() != 0.0 && !cross.contains(&(i, j)) {
                        cross.push((i, j));
                    }
                }
            }
        }
        let differences = operator.differences.clone();
        let mut entries: Vec<(usize, usize)> = Vec::new();
        let mut excess = false;
        for_terms(&differences, &cross, |row, column, _| {
            excess |= entries.len() >= MAX_NONZEROS;
            if !excess {
                entries.push((column, row));
            }
        });
        if excess {
            let allowed = format!("at most {MAX_NONZEROS} stencil entries for an implicit integrator; use `Integrator::Rkc`");
            return Err(HjbError::invalid("grid.nodes", initial.len(), &allowed));
        }
        let mut sorted = entries.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let places = entries.iter().filter_map(|e| sorted.binary_search(e).ok()).collect();
        let n = initial.len();
        let pairs = sorted.into_iter().map(|(column, row)| (row, column)).collect();
        let pattern = <Pattern as MatrixSparsity<M>>::try_from_indices(n, n, pairs)
            .map_err(|e| HjbError::invalid("jacobian", e, "a valid sparsity pattern"))?;
        let speed = vec![0.0; layout.dim * n];
        let state = Mutex::new(State { operator, speed, right_sides: 0, error: None });
        Ok(Equation { state, initial, context: FaerContext::default(), pattern, places, differences, cross })
    }

    fn lock(&self) -> MutexGuard<'_, State<'m>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn rate(&self, tau: f64, y: &[f64], out: &mut [f64]) {
        let mut state = self.lock();
        state.right_sides += 1;
        let wanted = state.operator.interrupt.check(state.operator.segment.time(tau));
        match wanted.and_then(|()| state.operator.load_exact(tau)) {
            Ok(()) => state.operator.rate(0.0, y, out),
            Err(e) => {
                out.fill(f64::NAN);
                state.error.get_or_insert(e);
            }
        }
    }

    /// The values of the Jacobian in the order of the pattern (column by column).
    fn fill(&self, tau: f64, y: &[f64], values: &mut [f64]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if let Err(e) = state.operator.load_exact(tau) {
            state.error.get_or_insert(e);
            values.fill(f64::NAN);
            return;
        }
        let (operator, n) = (&state.operator, y.len());
        let (layout, channels) = (operator.model.layout, operator.channels());
        if let Err(e) = self.differences.gradient(y, &mut state.speed) {
            state.error.get_or_insert(e);
        }
        let mut p = vec![0.0; layout.dim];
        for j in 0..n {
            for (i, p) in p.iter_mut().enumerate() {
                *p = state.speed[i * n + j];
            }
            for i in 0..layout.dim {
                state.speed[i * n + j] = channels[layout.drift(i)].get(j) + velocity(&operator.model, channels, j, &p, i);
            }
        }
        let cross = &self.cross;
        values.fill(0.0);
        let mut place = self.places.iter();
        for_terms(&self.differences, cross, |row, column, term| {
            if let Some(&place) = place.next() {
                values[place] += match term {
                    Term::Axis { axis, first, second } => {
                        let half = 0.5 * channels[layout.diffusion(axis, axis)].get(row);
                        let decay = if axis == 0 && column == row { operator.model.discount } else { 0.0 };
                        state.speed[axis * n + row] * first + half * second - decay
                    }
                    Term::Cross { pair, weight } => {
                        let (i, k) = cross[pair];
                        channels[layout.diffusion(i, k)].get(row) * weight
                    }
                };
            }
        });
    }
}

struct Rhs<'a, 'm>(&'a Equation<'m>);
struct Init<'a, 'm>(&'a Equation<'m>);

macro_rules! operator_of_size_n {
    ($type:ty, $self:ident => $equation:expr, [$($life:lifetime),*]) => {
        impl<$($life),*> Op for $type {
            type T = f64;
            type V = V;
            type M = M;
            type C = FaerContext;
            fn context(&self) -> &FaerContext {
                let $self = self;
                &$equation.context
            }
            fn nstates(&self) -> usize {
                let $self = self;
                $equation.initial.len()
            }
            fn nout(&self) -> usize {
                let $self = self;
                $equation.initial.len()
            }
            fn nparams(&self) -> usize {
                0
            }
        }
    };
}

operator_of_size_n!(Equation<'m>, this => this, ['m]);
operator_of_size_n!(Rhs<'a, 'm>, this => this.0, ['a, 'm]);
operator_of_size_n!(Init<'a, 'm>, this => this.0, ['a, 'm]);

impl ConstantOp for Init<'_, '_> {
    fn call_inplace(&self, _t: f64, y: &mut V) {
        y.for_each_batch_host([], |y, [], _| y.copy_from_slice(&self.0.initial));
    }
}

impl NonLinearOp for Rhs<'_, '_> {
    fn call_inplace(&self, x: &V, t: f64, y: &mut V) {
        y.for_each_batch_host([x], |y, [x], _| self.0.rate(t, x, y));
    }
}

impl NonLinearOpJacobian for Rhs<'_, '_> {
    fn jac_mul_inplace(&self, x: &V, t: f64, v: &V, y: &mut V) {
        let mut jacobian = M::new_from_sparsity(self.nstates(), self.nstates(), self.jacobian_sparsity(), *self.context());
        self.jacobian_inplace(x, t, &mut jacobian);
        jacobian.gemv(1.0, v, 0.0, y);
    }

    fn jacobian_sparsity(&self) -> Option<Pattern> {
        Some(self.0.pattern.clone())
    }

    fn jacobian_inplace(&self, x: &V, t: f64, y: &mut M) {
        let (_, values) = y.inner_mut()[0].parts_mut();
        self.0.fill(t, host(x), values);
    }
}

type Unit<'a> = ParameterisedOp<'a, UnitCallable<M>>;

impl<'a, 'm> OdeEquationsRef<'a> for Equation<'m> {
    type Mass = Unit<'a>;
    type Rhs = Rhs<'a, 'm>;
    type Root = Unit<'a>;
    type Init = Init<'a, 'm>;
    type Out = Unit<'a>;
    type Reset = Unit<'a>;
}

impl<'m> OdeEquations for Equation<'m> {
    fn rhs(&self) -> Rhs<'_, 'm> {
        Rhs(self)
    }
    fn mass(&self) -> Option<Unit<'_>> {
        None
    }
    fn init(&self) -> Init<'_, 'm> {
        Init(self)
    }
    fn set_params(&mut self, _: &V) {}
    fn get_params(&self, _: &mut V) {}
}

/// The entries of a vector.
fn host(v: &V) -> &[f64] {
    v.inner().col(0).try_as_col_major().map_or(&[], |column| column.as_slice())
}

/// Integrate over the operator's segment, or to the last output time when that is in it, and report; `value` holds V at the
/// upper end and then at the lower one. The value has blown up above `limit`.
pub(crate) fn integrate(
    operator: SmoothOperator<'_>,
    value: &mut Vec<f64>,
    limit: f64,
    p: &SmoothParams,
    reporter: &mut Reporter<'_>,
    info: &mut SmoothInfo,
) -> Result<(), HjbError> {
    let segment = operator.segment;
    let mut taus = reporter.taus();
    let reports = taus.len();
    if reporter.continues() {
        taus.push(segment.length());
    }
    // diffsol panics on an empty list of times and on a system without unknowns.
    if taus.is_empty() || value.is_empty() {
        return Ok(());
    }
    let mut stops = operator.variation.stops(segment.lower, segment.upper).into_iter();
    let equation = Equation::new(operator, std::mem::take(value))?;
    let mut problem = OdeBuilder::<M>::new()
        .rtol(p.rtol)
        .atol([p.atol])
        .build_from_eqn(equation)
        .map_err(|e| HjbError::invalid("integrator", e, "a problem that diffsol accepts"))?;
    problem.ode_options.max_error_test_failures = p.max_steps.min(10_000);
    let start_size = sup(&problem.eqn.initial);
    let blow_up = |tau: f64, sup: f64| HjbError::BlowUp { t: segment.time(tau), sup, limit };
    // Near a blow-up the steps fail before the value passes its limit.
    let failed = |tau: f64, reached: f64, message: String| {
        if reached <= SUDDEN_GROWTH * (1.0 + start_size) {
            let integrator = if p.integrator == Integrator::Esdirk { "ESDIRK3(4)" } else { "BDF" };
            let reason = IntegrationFailure::StepFailed { integrator, message };
            HjbError::TimeIntegration { t: segment.time(tau), reason }
        } else {
            blow_up(tau, reached)
        }
    };
    macro_rules! run {
        ($solver:expr) => {{
            match $solver {
                Err(e) => Err(failed(0.0, start_size, e.to_string())),
                Ok(mut solver) => {
                    let mut step = || -> Result<(), HjbError> {
                        let mut steps = 0;
                        let mut next = 0;
                        let mut halt = true;
                        while next < taus.len() {
                            if let (true, Some(stop)) = (halt, stops.next()) {
                                solver.set_stop_time(stop).map_err(|e| failed(solver.state().t, start_size, e.to_string()))?;
                            }
                            let step = solver.step();
                            halt = matches!(step, Ok(OdeSolverStopReason::TstopReached));
                            steps += 1;
                            let tau = solver.state().t;
                            let reached = sup(host(solver.state().y));
                            if let Err(e) = step {
                                return Err(failed(tau, reached, e.to_string()));
                            }
                            if reached > limit {
                                return Err(blow_up(tau, reached));
                            }
                            if steps >= p.max_steps {
                                let reason = IntegrationFailure::TooManySteps { limit: p.max_steps };
                                return Err(HjbError::TimeIntegration { t: segment.time(tau), reason });
                            }
                            while next < taus.len() && taus[next] <= tau {
                                let y = solver.interpolate(taus[next]).map_err(|e| failed(tau, reached, e.to_string()))?;
                                if !all_finite(host(&y)) {
                                    return Err(blow_up(tau, f64::INFINITY));
                                }
                                if next < reports {
                                    reporter.report(&problem.eqn.lock().operator, host(&y))?;
                                } else {
                                    *value = host(&y).to_vec();
                                }
                                next += 1;
                            }
                        }
                        Ok(())
                    };
                    let done = step();
                    let s = solver.get_statistics();
                    info.steps += s.number_of_steps;
                    info.rejected += s.number_of_error_test_failures + s.number_of_nonlinear_solver_fails;
                    info.factorisations += s.number_of_linear_solver_setups;
                    info.linear_solves += s.number_of_nonlinear_solver_iterations;
                    done
                }
            }
        }};
    }
    let done = match p.integrator {
        Integrator::Esdirk => run!(problem.esdirk34::<FaerSparseLU<f64>>()),
        _ => run!(problem.bdf::<FaerSparseLU<f64>>()),
    };
    let mut state = problem.eqn.lock();
    if let Some(error) = state.error.take() {
        return Err(error);
    }
    info.right_sides += state.right_sides;
    info.coefficient_evaluations += state.operator.path.statistics.evaluations;
    done
}
