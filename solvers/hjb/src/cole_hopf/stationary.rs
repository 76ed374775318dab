//! Exit problems by the Cole-Hopf substitution: one linear equation, no policy iteration.
//!
//!   f.grad phi + (1/2) tr(sigma sigma' D^2 phi) + (l/beta) phi = 0  outside the target set,   phi = exp(g/beta)  on it,
//!
//! phi = E exp( [ g(X_tau) + int_0^tau l dt ]/beta ) over the uncontrolled process, V = beta log phi the value of
//! sup E[ g(X_tau) + int_0^tau ( l - v'Rv/2 ) dt ], and v = R^{-1} G' grad V. Minimised, with l and g costs, it is
//! V = -beta log E exp(-[ g + int l ]/beta). Coefficients are those of the model at t = 0; its horizon and terminal reward
//! are not used. Solved in the logarithm (`log_system.rs`): phi may range over any number of decades.
//! Order: that of the space scheme, 2 for [`crate::space::Hybrid`] with [`Placement::SubCell`]. The discretisation is that of
//! phi, so V must be resolved against beta: errors are of order (h |grad V|/beta)^2. Against a drift mu that asks for a small
//! cell Peclet number P = |mu| h/sigma^2: V is too large by about P^2/3 of itself with central differences. For wells
//! alpha (x^2 - 1)^2 and sigma^2 = 2, where P reaches 0.77 alpha h, alpha h should be below 0.3 for 2 per cent of V; on the
//! line V(-1) was off by
//!
//! | P | 0.06 | 0.12 | 0.23 | 0.46 | 0.58 | 0.92 | 1.15 | 2.3 |
//! |---|---|---|---|---|---|---|---|---|
//! | [`crate::space::Hybrid`], per cent | 0.1 | 0.3 | 1.4 | 6 | 10 | 44 | -2 | -61 |
//! | [`crate::space::Upwind`], per cent | -5 | -9 | -16 | -27 | -32 | -42 | -47 | -63 |
//! | [`crate::space::Fitted`], per cent | < 0.1 | < 0.1 | < 0.1 | < 0.1 | < 0.1 | < 0.1 | < 0.1 | -0.2 |
//!
//! (alpha = 30; errors of both signs meet near 1.15). So take the fitted scheme, exact on exp(-2 mu x/sigma^2), where wells are
//! steep; [`crate::StationarySolver`] has a smaller error than the others too. [`StationaryColeHopfInfo::cell_peclet`] has P where
//! it matters, and [`StationaryColeHopfInfo::note`] says when it is above 0.5 (upwind: 0.05), or 5 to 7 per cent of V.
//! For a reward l > 0 the expectation may be infinite: then there is no positive solution, and that is an error.
//! Reference: W. H. Fleming, Exit probabilities and optimal stochastic control, Appl. Math. Optim. 4 (1978) 329-346;
//! C. Hartmann, C. Schuette, Efficient rare event simulation by optimal nonequilibrium forcing, J. Stat. Mech. (2012) P11004
//! (arXiv:1208.3232).

use super::cells;
use super::control::control;
use super::equation::LogEquation;
use super::log_system::{Failure, LogSystem, Stage};
use super::params::{StationaryColeHopfInfo, StationaryColeHopfParams};
use super::temperature::{check_form, temperature};
use super::{decades, range};
use crate::error::{HjbError, LinearError};
use crate::exit::{Placement, TargetSet};
use crate::exit_data::ExitData;
use crate::hamiltonian::Hamiltonian;
use crate::interrupt::Interrupt;
use crate::linear::LinearSolverChoice;
use crate::params::{check_memory, workspace_bytes};
use crate::sense::Oriented;
use crate::stationary::StationaryValue;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The linear route for exit problems.
pub struct StationaryColeHopf<'a> {
    model: &'a dyn ControlledDiffusion,
    grid: Arc<TensorGrid>,
    params: StationaryColeHopfParams,
    exit: ExitData<'a>,
    interrupt: Interrupt<'a>,
}

impl<'a> StationaryColeHopf<'a> {
    /// A solver for `model` on `grid`; it needs a target set ([`StationaryColeHopf::with_target`]) or Dirichlet faces.
    ///
    /// # Errors
    /// Parameters out of range; a grid of another dimension than the model; a control that is not free, costs that are not
    /// quadratic, a discount.
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        grid: Arc<TensorGrid>,
        params: StationaryColeHopfParams,
    ) -> Result<Self, HjbError> {
        params.validate()?;
        HjbError::check_shape("grid axes", grid.dim(), model.dim())?;
        check_form(model)?;
        Ok(StationaryColeHopf {
            model,
            grid: params.boundary.mark(grid),
            params,
            exit: ExitData::default(),
            interrupt: Interrupt::default(),
        })
    }

    /// End the process when it hits `target`, with [`TargetSet::value_at`] t = 0 as reward (cost, when minimising).
    pub fn with_target(mut self, target: &'a dyn TargetSet, placement: Placement) -> Self {
        self.exit.target = Some((target, placement));
        self
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every correction.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.interrupt = Interrupt(flag);
        self
    }

    /// V and the optimal control on the nodes.
    ///
    /// # Errors
    /// No target; sigma sigma' not proportional to G R^{-1} G' (with the point); a negative rate; an infinite
    /// expectation; a linear system that could not be solved.
    pub fn solve(&self) -> Result<(StationaryValue, StationaryColeHopfInfo), HjbError> {
        let start = Instant::now();
        let p = &self.params;
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        check_memory(workspace_bytes(n, d, m), p.memory_limit)?;
        let oriented = Oriented { model: self.model, sense: p.sense };
        let mut hamiltonian = Hamiltonian::new(&oriented, self.grid.clone(), p.space.scheme(), p.boundary)?;
        self.exit.attach(&mut hamiltonian)?;
        hamiltonian.prepare(0.0)?;
        self.exit.update(&mut hamiltonian, self.model, p.sense, 0.0)?;
        let beta = temperature(hamiltonian.coefficients(), 0.0, None)?;
        let mut equation = LogEquation::new(&hamiltonian);
        equation.read(&mut hamiltonian, beta, 0.0, (0.0, 0.0)).map_err(|e| match e {
            HjbError::NotMonotone { node, point, axis, rate, cause, .. } => {
                HjbError::NotMonotone { node, point, axis, t: None, rate, cause }
            }
            e => e,
        })?;
        if equation.fixed.is_empty() {
            return Err(HjbError::invalid("target", "none", "a target set or a Dirichlet face"));
        }
        let choice = match p.linear {
            LinearSolverChoice::Auto if d == 2 => LinearSolverChoice::SparseLu,
            other => other,
        };
        let linear = |source: LinearError| HjbError::StationaryLinear { source };
        let mut system = LogSystem::new(&equation.rates, choice).map_err(linear)?;
        system.interrupt = self.interrupt;
        // The largest value given: an upper bound of log phi where l <= 0.
        let data = equation.fixed.iter().map(|f| f.1).chain(equation.cut.iter().map(|c| c.data));
        let mut theta = vec![data.fold(f64::NEG_INFINITY, f64::max); n];
        let stage = Stage { mass: 0.0, weight: 1.0, log_load: None };
        let changes =
            system.solve(&equation, stage, &mut theta, false, p.tolerance, p.max_iterations).map_err(
                |failure| match failure {
                    Failure::Linear(source) => linear(source),
                    Failure::Interrupted => HjbError::Interrupted { t: 0.0 },
                    Failure::NotPositive => HjbError::InfiniteReward { point: Vec::new() },
                    Failure::NoConvergence { iterations, change, residual } => {
                        HjbError::NoConvergence { t: None, iterations, value_change: beta * change, residual: beta * residual }
                    }
                },
            )?;
        let log_range = range(&theta);
        let cell_peclet = cells::cell_peclet(&hamiltonian, &equation, &theta);
        let mut value = theta;
        value.iter_mut().for_each(|v| *v *= beta);
        let mut v = vec![0.0; m * n];
        control(&hamiltonian, &value, &mut v);
        p.sense.orient(&mut value);
        let info = StationaryColeHopfInfo {
            space: p.space.scheme().name(),
            sense: p.sense,
            beta,
            nodes: n,
            target_nodes: equation.fixed.len(),
            cut_edges: equation.cut.len(),
            iterations: changes.len(),
            factorisations: system.counters.factorisations,
            changes,
            log_range,
            decades: decades(log_range),
            cell_peclet,
            note: cells::note(cell_peclet, p.space),
            linear_solver: system.solver.name(),
            worst_linear_residual: system.counters.worst_linear_residual,
            monotonicity: equation.certificate,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((StationaryValue::new(self.grid.clone(), value, v), info))
    }
}
