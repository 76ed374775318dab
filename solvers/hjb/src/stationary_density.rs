//! The stationary law of the process under a feedback: masses m of the nodes with L' m = 0 and sum 1.
//!
//! L is the generator of the controlled process at t = 0 on the grid, a Markov chain when the scheme is monotone; its
//! stationary law is unique when some node can be reached from everywhere (one closed class; nodes that are left for good
//! get mass zero), and a chain without that property is refused. In one dimension the chain is a birth-and-death process
//! and the law is the product of its rate ratios,
//!
//!   m_{j+1} / m_j = upper_j / lower_{j+1},
//!
//! accumulated in logarithms: no system is solved and every mass is good to rounding, however deep the wells. Otherwise
//! inverse iteration, m <- (I - w L')^{-1} m with w far above the relaxation time of a grid without bottlenecks: each
//! iterate is a law (one long step of implicit Euler), and the distance to the limit shrinks by 1/(1 + w gap).
//! Order: that of the space scheme, for the density as for moments; exact for a constant drift with
//! [`crate::Space::Fitted`] in one dimension.
//! Reference: W. J. Stewart, Introduction to the Numerical Solution of Markov Chains (1994), sections 1.5 and 2.4.

use crate::error::{HjbError, LinearError};
use crate::faces::Faces;
use crate::fokker_planck::{Forward, face_nodes, share_periodic};
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::norms::{sup, sup_difference};
use crate::params::{check_memory, workspace_bytes};
use crate::space::Space;
use crate::stencil::StencilMatrix;
use crate::step::ImplicitSystem;
use hjbridge_model::grid::TensorGrid;
use hjbridge_model::{ControlledDiffusion, Feedback};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// w in units of the inverse of the largest rate, for a direct solver: large, yet I is not lost in I - w L'.
const LONG_STEP: f64 = 1e10;
/// The same for an iterative solver.
const MODERATE_STEP: f64 = 1e6;
/// Nodes up to which `Auto` is a sparse LU.
const LU_NODES: usize = 40_000;

/// Parameters of [`StationaryDensity`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StationaryDensityParams {
    /// Space scheme of the generator.
    pub space: Space,
    /// Condition at the faces; reflecting by default, not Dirichlet.
    pub boundary: Faces,
    /// Linear solver; `Auto` is a sparse LU in two dimensions and up to 40 000 nodes.
    pub linear: LinearSolverChoice,
    /// Stop when the last change of a mass and sup |L' m| over the largest rate are below this, relative to the largest
    /// mass. In (0, 1).
    pub tolerance: f64,
    /// Largest number of inverse iterations, at least 1.
    pub max_iterations: usize,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
}

impl Default for StationaryDensityParams {
    fn default() -> Self {
        StationaryDensityParams {
            space: Space::default(),
            boundary: Faces::reflecting(),
            linear: LinearSolverChoice::default(),
            tolerance: 1e-12,
            max_iterations: 100,
            memory_limit: 4 << 30,
        }
    }
}

impl StationaryDensityParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(HjbError::invalid("tolerance", self.tolerance, "in (0, 1)"));
        }
        if self.max_iterations == 0 {
            return Err(HjbError::invalid("max_iterations", self.max_iterations, "at least 1"));
        }
        Ok(())
    }
}

/// What [`StationaryDensity`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StationaryDensityInfo {
    /// `product of rates` or the name of the linear solver.
    pub method: &'static str,
    /// Inverse iterations; zero for the product formula.
    pub iterations: usize,
    /// sup |L' m| over the largest rate and the largest mass.
    pub residual: f64,
    /// Nodes that are left for good (their mass is zero up to rounding).
    pub transient_nodes: usize,
    /// Most negative mass of a node (zero when there is none).
    pub most_negative: f64,
    /// Mass on the faces of the box: whether the box is large enough.
    pub face_mass: f64,
    /// Negative rates of the generator.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// A law on the nodes of a grid.
#[derive(Clone, Debug)]
pub struct StationaryLaw {
    grid: Arc<TensorGrid>,
    mass: Vec<f64>,
}

impl StationaryLaw {
    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    /// Masses of the nodes, with sum 1.
    pub fn mass(&self) -> &[f64] {
        &self.mass
    }

    /// Density: mass over cell volume, per unit of volume.
    pub fn density(&self) -> Vec<f64> {
        self.mass.iter().zip(self.grid.volumes()).map(|(m, v)| m / v).collect()
    }
}

/// Solver for the stationary law of dX = [f + G v(X)] dt + sigma dB under a feedback v, all taken at t = 0.
pub struct StationaryDensity<'a> {
    model: &'a dyn ControlledDiffusion,
    feedback: &'a dyn Feedback,
    grid: Arc<TensorGrid>,
    params: StationaryDensityParams,
}

impl<'a> StationaryDensity<'a> {
    /// A solver for `model` under the control `feedback` on `grid`.
    ///
    /// # Errors
    /// Parameters out of range; dimensions that do not fit.
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        feedback: &'a dyn Feedback,
        grid: Arc<TensorGrid>,
        params: StationaryDensityParams,
    ) -> Result<Self, HjbError> {
        params.validate()?;
        HjbError::check_shape("grid axes", grid.dim(), model.dim())?;
        HjbError::check_shape("feedback dim", feedback.dim(), model.dim())?;
        HjbError::check_shape("feedback control_dim", feedback.control_dim(), model.control_dim())?;
        Ok(StationaryDensity { model, feedback, grid: params.boundary.mark(grid), params })
    }

    /// The stationary law.
    ///
    /// # Errors
    /// Coefficients that are not finite; no noise at all, or a point that absorbs; [`HjbError::Reducible`] when the chain has several closed
    /// classes; [`HjbError::NoConvergence`] with the last change and residual.
    pub fn solve(&self) -> Result<(StationaryLaw, StationaryDensityInfo), HjbError> {
        let start = Instant::now();
        let p = &self.params;
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        check_memory(workspace_bytes(n, d, m), p.memory_limit)?;
        let mut forward = Forward::new(self.model, self.feedback, &self.grid, p.space, p.boundary)?;
        if forward.absorbs() {
            return Err(HjbError::invalid("boundary", "Dirichlet", "faces that keep the process in the box"));
        }
        forward.prepare(0.0)?;
        if !forward.has_noise() {
            return Err(HjbError::invalid("diffusion", 0.0, "not zero everywhere: without noise the law sits on single points"));
        }
        let generator = forward.generator.matrix();
        let transient_nodes = transient(generator, &self.grid)?;
        if transient_nodes + 1 == n {
            let allowed = "positive where the process ends up: without noise there the law sits on a single point";
            return Err(HjbError::invalid("diffusion", 0.0, allowed));
        }
        let largest_rate = sup(generator.diagonal(0));
        let (mut mass, method, iterations) = match birth_and_death(generator) {
            Some(mass) => (mass, "product of rates", 0),
            None => self.inverse_iteration(&forward.adjoint, largest_rate)?,
        };
        let mut residual = vec![0.0; n];
        forward.adjoint.multiply(&mass, &mut residual);
        share_periodic(&self.grid, p.boundary, &mut mass);
        let mut monotonicity = Monotonicity::default();
        monotonicity.inspect(forward.generator.matrix(), &forward.coefficients.nodes, None);
        let info = StationaryDensityInfo {
            method,
            iterations,
            residual: sup(&residual) / (largest_rate * sup(&mass)),
            transient_nodes,
            most_negative: mass.iter().fold(0.0, |m: f64, v| m.min(*v)),
            face_mass: face_nodes(&self.grid).into_iter().map(|j| mass[j].abs()).sum(),
            monotonicity,
            seconds: start.elapsed().as_secs_f64(),
        };
        Ok((StationaryLaw { grid: self.grid.clone(), mass }, info))
    }

    fn inverse_iteration(&self, adjoint: &StencilMatrix, largest_rate: f64) -> Result<(Vec<f64>, &'static str, usize), HjbError> {
        let p = &self.params;
        let n = adjoint.len();
        let linear = |source: LinearError| HjbError::StationaryLinear { source };
        let choice = match p.linear {
            LinearSolverChoice::Auto if self.grid.dim() <= 2 || n <= LU_NODES => LinearSolverChoice::SparseLu,
            other => other,
        };
        let step = if choice == LinearSolverChoice::SparseLu { LONG_STEP } else { MODERATE_STEP };
        let mut system = ImplicitSystem::new(adjoint, choice).map_err(linear)?;
        let mut mass: Vec<f64> = self.grid.volumes();
        normalise(&mut mass);
        let mut last = mass.clone();
        let mut residual = vec![0.0; n];
        let (mut value_change, mut scaled) = (f64::INFINITY, f64::INFINITY);
        system.system.set_identity_minus(step / largest_rate, adjoint);
        system.solver.factorise(&system.system).map_err(linear)?;
        for iteration in 1..=p.max_iterations {
            system.solver.solve_from(&system.system, &last, &mut mass).map_err(linear)?;
            normalise(&mut mass);
            value_change = sup_difference(&mass, &last);
            adjoint.multiply(&mass, &mut residual);
            scaled = sup(&residual) / largest_rate;
            if value_change.max(scaled) <= p.tolerance * sup(&mass) {
                return Ok((mass, system.solver.name(), iteration));
            }
            last.copy_from_slice(&mass);
        }
        Err(HjbError::NoConvergence { t: None, iterations: p.max_iterations, value_change, residual: scaled })
    }
}

fn normalise(mass: &mut [f64]) {
    let total: f64 = mass.iter().sum();
    mass.iter_mut().for_each(|m| *m /= total);
}

/// The law of a birth-and-death chain all of whose rates are positive.
fn birth_and_death(generator: &StencilMatrix) -> Option<Vec<f64>> {
    if generator.flat_shifts() != [0, -1, 1] {
        return None;
    }
    let (lower, upper) = (generator.diagonal(1), generator.diagonal(2));
    let n = generator.len();
    if !(0..n - 1).all(|j| upper[j] > 0.0 && lower[j + 1] > 0.0) {
        return None;
    }
    let mut log = vec![0.0; n];
    for j in 0..n - 1 {
        log[j + 1] = log[j] + (upper[j] / lower[j + 1]).ln();
    }
    let top = log.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut mass: Vec<f64> = log.iter().map(|l| (l - top).exp()).collect();
    normalise(&mut mass);
    Some(mass)
}

/// Number of nodes outside the closed class of the chain.
///
/// # Errors
/// More than one closed class.
fn transient(generator: &StencilMatrix, grid: &TensorGrid) -> Result<usize, HjbError> {
    let n = generator.len();
    // If some node can be reached from everywhere, the last start of this search through reversed links is one.
    let mut seen = vec![false; n];
    let mut root = 0;
    for j in 0..n {
        if !seen[j] {
            root = j;
            spread(generator, j, true, &mut seen);
        }
    }
    seen.fill(false);
    spread(generator, root, true, &mut seen);
    let mut point = vec![0.0; grid.dim()];
    match seen.iter().filter(|s| !**s).count() {
        0 => {
            seen.fill(false);
            spread(generator, root, false, &mut seen);
            Ok(seen.iter().filter(|s| !**s).count())
        }
        cut_off => {
            grid.node(root, &mut point);
            Err(HjbError::Reducible { cut_off, nodes: n, point })
        }
    }
}

/// Mark what can be reached from `start` along links with a rate that is not zero, or what can reach it.
fn spread(generator: &StencilMatrix, start: usize, reversed: bool, seen: &mut [bool]) {
    let n = generator.len() as isize;
    let mut open = vec![start];
    seen[start] = true;
    while let Some(j) = open.pop() {
        for (s, &shift) in generator.flat_shifts().iter().enumerate().skip(1) {
            let other = j as isize + if reversed { -shift } else { shift };
            if (0..n).contains(&other) {
                let other = other as usize;
                let rate = generator.diagonal(s)[if reversed { other } else { j }];
                if rate != 0.0 && !seen[other] {
                    seen[other] = true;
                    open.push(other);
                }
            }
        }
    }
}
