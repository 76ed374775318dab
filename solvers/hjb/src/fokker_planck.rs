//! The law of the controlled process, forward in time, by the transpose of the generator.
//!
//! The masses m_j of the nodes obey m' = L^v(t)' m, the adjoint of the backward equation on the same grid with the same
//! scheme. Rows of L sum to zero, so the total mass is conserved to rounding by every time scheme; with implicit Euler
//! and a monotone generator masses stay non-negative. The density is mass over cell volume. Order: that of the time
//! scheme in h and of the space scheme in the spacing (weakly, i.e. for moments; for the density on smooth axes too).
//! Reference: J. S. Chang, G. Cooper, A practical difference scheme for Fokker-Planck equations, J. Comput. Phys. 6 (1970)
//! 1-16; Y. Achdou, I. Capuzzo-Dolcetta, Mean field games: numerical methods, SIAM J. Numer. Anal. 48 (2010) 1136-1162
//! (transpose of the HJB operator).

use crate::coefficients::NodeCoefficients;
use crate::error::{HjbError, LinearError};
use crate::faces::{Face, Faces};
use crate::generator::Generator;
use crate::interrupt::Interrupt;
use crate::linear::LinearSolverChoice;
use crate::monotonicity::Monotonicity;
use crate::params::{check_memory, workspace_bytes};
use crate::solution::Storage;
use crate::solve::check_model;
use crate::space::Space;
use crate::stencil::StencilMatrix;
use crate::step::ImplicitSystem;
use crate::time::Time;
use hjbridge_model::grid::TensorGrid;
use hjbridge_model::{ControlledDiffusion, Feedback, PointsMut};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Parameters of [`FokkerPlanck`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct FokkerPlanckParams {
    /// Space scheme of the generator.
    pub space: Space,
    /// Time scheme.
    pub time: Time,
    /// Number N of equal time steps, at least 1.
    pub steps: usize,
    /// Condition at the faces; reflecting by default, so that no mass sticks to a face. Mass that reaches a Dirichlet face
    /// stays there ([`FokkerPlanckInfo::face_mass`]); on a periodic axis the two end nodes
    /// share the mass of their point in proportion to their parts of the cell.
    pub boundary: Faces,
    /// Linear solver.
    pub linear: LinearSolverChoice,
    /// Which time levels are kept.
    pub storage: Storage,
    /// Largest memory the solver may plan for, in bytes.
    pub memory_limit: u64,
}

impl Default for FokkerPlanckParams {
    fn default() -> Self {
        FokkerPlanckParams {
            space: Space::default(),
            time: Time::default(),
            steps: 200,
            boundary: Faces::reflecting(),
            linear: LinearSolverChoice::default(),
            storage: Storage::default(),
            memory_limit: 4 << 30,
        }
    }
}

/// What [`FokkerPlanck`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FokkerPlanckInfo {
    /// Largest deviation of the total mass from the initial one.
    pub mass_error: f64,
    /// Most negative mass of a node seen (zero when there is none).
    pub most_negative: f64,
    /// Largest mass on the faces of the box at any level: whether the box is large enough.
    pub face_mass: f64,
    /// Name of the linear solver.
    pub linear_solver: &'static str,
    /// Largest backward error of a linear solve.
    pub worst_linear_residual: f64,
    /// Negative rates over all generators.
    pub monotonicity: Monotonicity,
    /// Wall time.
    pub seconds: f64,
}

/// Masses of the nodes at stored times, ascending.
#[derive(Clone, Debug)]
pub struct LawPath {
    grid: Arc<TensorGrid>,
    times: Vec<f64>,
    masses: Vec<Vec<f64>>,
}

impl LawPath {
    pub(crate) fn empty(grid: Arc<TensorGrid>) -> Self {
        LawPath { grid, times: Vec::new(), masses: Vec::new() }
    }

    pub(crate) fn push(&mut self, t: f64, mass: Vec<f64>) {
        self.times.push(t);
        self.masses.push(mass);
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    /// Stored times, ascending.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Masses of the nodes at stored time number `k`.
    ///
    /// # Panics
    /// When `k` is not below the number of stored times, as slice indexing does.
    pub fn mass(&self, k: usize) -> &[f64] {
        &self.masses[k]
    }

    /// Masses at the last stored time, T unless times were chosen.
    pub fn terminal(&self) -> &[f64] {
        self.masses.last().map_or(&[], |m| m.as_slice())
    }

    /// Density at stored time number `k`: mass over cell volume, per unit of volume.
    pub fn density(&self, k: usize) -> Vec<f64> {
        self.masses[k].iter().zip(self.grid.volumes()).map(|(m, v)| m / v).collect()
    }
}

/// Masses proportional to cell volume times exp(log_density), with sum 1.
///
/// # Errors
/// A length other than the number of nodes, NaN or +inf, or a density that vanishes on the whole grid.
pub fn masses_from_log_density(grid: &TensorGrid, log_density: &[f64]) -> Result<Vec<f64>, HjbError> {
    HjbError::check_shape("log_density", log_density.len(), grid.len())?;
    if let Some(j) = log_density.iter().position(|v| v.is_nan() || *v == f64::INFINITY) {
        return Err(HjbError::invalid(&format!("log_density[{j}]"), log_density[j], "a number below infinity"));
    }
    let top = log_density.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return Err(HjbError::invalid("log_density", top, "finite at one node at least"));
    }
    let mut mass: Vec<f64> = log_density.iter().zip(grid.volumes()).map(|(l, v)| (l - top).exp() * v).collect();
    let total: f64 = mass.iter().sum();
    mass.iter_mut().for_each(|m| *m /= total);
    Ok(mass)
}

/// Forward solver for the law of dX = [f + G v(t,X)] dt + sigma dB under a feedback v.
pub struct FokkerPlanck<'a> {
    model: &'a dyn ControlledDiffusion,
    feedback: &'a dyn Feedback,
    grid: Arc<TensorGrid>,
    params: FokkerPlanckParams,
    interrupt: Interrupt<'a>,
}

impl<'a> FokkerPlanck<'a> {
    /// A solver for `model` under the control `feedback` (the v of the general form) on `grid`.
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        feedback: &'a dyn Feedback,
        grid: Arc<TensorGrid>,
        params: FokkerPlanckParams,
    ) -> Result<Self, HjbError> {
        if params.steps == 0 {
            return Err(HjbError::invalid("steps", params.steps, "at least 1"));
        }
        params.storage.validate()?;
        check_model(model, &grid)?;
        HjbError::check_shape("feedback dim", feedback.dim(), model.dim())?;
        HjbError::check_shape("feedback control_dim", feedback.control_dim(), model.control_dim())?;
        let interrupt = Interrupt::default();
        Ok(FokkerPlanck { model, feedback, grid: params.boundary.mark(grid), params, interrupt })
    }

    /// Stop with [`HjbError::Interrupted`] once this flag is set; it is read at every stage.
    pub fn with_interrupt(mut self, flag: Option<&'a AtomicBool>) -> Self {
        self.interrupt = Interrupt(flag);
        self
    }

    /// Evolve the initial masses of the nodes (finite; normally non-negative with sum 1) from t = 0 to T.
    pub fn evolve(&self, initial: &[f64]) -> Result<(LawPath, FokkerPlanckInfo), HjbError> {
        self.evolve_levels(initial, &self.params.storage.levels(self.params.steps))
    }

    /// The same, keeping the law at `times` (in any order, each a multiple of the step to 1e-9 of it: the law is not
    /// interpolated) in place of the levels of the storage.
    pub fn evolve_at(&self, initial: &[f64], times: &[f64]) -> Result<(LawPath, FokkerPlanckInfo), HjbError> {
        self.evolve_levels(initial, &levels_of(times, self.model.horizon(), self.params.steps)?)
    }

    fn evolve_levels(&self, initial: &[f64], stored: &[usize]) -> Result<(LawPath, FokkerPlanckInfo), HjbError> {
        let start = Instant::now();
        let p = &self.params;
        let (n, d, m) = (self.grid.len(), self.grid.dim(), self.model.control_dim());
        HjbError::check_shape("initial masses", initial.len(), n)?;
        if let Some(j) = initial.iter().position(|m| !m.is_finite()) {
            return Err(HjbError::invalid(&format!("initial masses[{j}]"), initial[j], "finite numbers"));
        }
        let required = workspace_bytes(n, d, m).saturating_add(8 * (stored.len() as u64) * (n as u64));
        check_memory(required, p.memory_limit)?;
        let h = self.model.horizon() / p.steps as f64;

        let mut forward = Forward::new(self.model, self.feedback, &self.grid, p.space, p.boundary)?;
        forward.prepare(0.0)?;
        let mut system = ImplicitSystem::new(&forward.adjoint, p.linear).map_err(|source| HjbError::Linear { t: 0.0, source })?;
        let mut info = FokkerPlanckInfo {
            mass_error: 0.0,
            most_negative: 0.0,
            face_mass: 0.0,
            linear_solver: system.solver.name(),
            worst_linear_residual: 0.0,
            monotonicity: Monotonicity::default(),
            seconds: 0.0,
        };
        let faces = face_nodes(&self.grid);
        let total: f64 = initial.iter().sum();
        let mut mass = initial.to_vec();
        let mut right_side = vec![0.0; n];
        let (mut before, mut slope) = (mass.clone(), vec![0.0; n]);
        let mut path = LawPath::empty(self.grid.clone());
        if stored.binary_search(&0).is_ok() {
            path.push(0.0, mass.clone());
        }
        for stage in p.time.stages(h, p.steps) {
            // N h may miss T by a rounding
            let t = if stage.completes() == Some(p.steps) { self.model.horizon() } else { stage.elapsed(h) };
            self.interrupt.check(t)?;
            if stage.explicit != 0.0 {
                forward.adjoint.multiply(&mass, &mut slope);
            }
            stage.right_side(&mass, &before, &slope, &mut right_side);
            forward.prepare(t)?;
            info.monotonicity.inspect(forward.generator.matrix(), &forward.coefficients.nodes, Some(t));
            before.copy_from_slice(&mass);
            system.solve(stage.implicit, &forward.adjoint, &right_side, &mut mass).map_err(|source| match source {
                LinearError::NotFinite { .. } => HjbError::BlowUp { t, sup: f64::INFINITY, limit: total.abs() },
                source => HjbError::Linear { t, source },
            })?;
            info.mass_error = info.mass_error.max((mass.iter().sum::<f64>() - total).abs());
            info.most_negative = mass.iter().fold(info.most_negative, |m: f64, v| m.min(*v));
            info.face_mass = info.face_mass.max(faces.iter().map(|&j| mass[j].abs()).sum());
            if let Some(k) = stage.completes()
                && stored.binary_search(&k).is_ok()
            {
                share_periodic(&self.grid, p.boundary, &mut mass);
                path.push(t, mass.clone());
            }
        }
        info.linear_solver = system.solver.name();
        info.worst_linear_residual = system.worst_residual;
        info.seconds = start.elapsed().as_secs_f64();
        Ok((path, info))
    }
}

/// The steps at these times, ascending and without repetition.
///
/// # Errors
/// A time that is not a multiple of horizon/steps in [0, horizon].
pub(crate) fn levels_of(times: &[f64], horizon: f64, steps: usize) -> Result<Vec<usize>, HjbError> {
    let h = horizon / steps as f64;
    let level = |&t: &f64| {
        let k = (t / h).round();
        if (t / h - k).abs() <= 1e-9 && k >= 0.0 && k <= steps as f64 {
            return Ok(k as usize);
        }
        let allowed = format!("a multiple of the step {h} in [0, {horizon}] (choose `steps` so that it is)");
        Err(HjbError::invalid("times", t, &allowed))
    };
    let mut levels = times.iter().map(level).collect::<Result<Vec<_>, _>>()?;
    levels.sort_unstable();
    levels.dedup();
    Ok(levels)
}

/// The adjoint generator at one time.
pub(crate) struct Forward<'a> {
    model: &'a dyn ControlledDiffusion,
    feedback: &'a dyn Feedback,
    pub coefficients: NodeCoefficients,
    pub generator: Generator,
    pub adjoint: StencilMatrix,
    absorbing: Vec<usize>,
    drift: Vec<f64>,
    control: Vec<f64>,
}

impl<'a> Forward<'a> {
    pub fn new(
        model: &'a dyn ControlledDiffusion,
        feedback: &'a dyn Feedback,
        grid: &Arc<TensorGrid>,
        space: Space,
        faces: Faces,
    ) -> Result<Self, HjbError> {
        let (n, d, m) = (grid.len(), grid.dim(), model.control_dim());
        faces.validate(grid)?;
        let coefficients = NodeCoefficients::new(model, grid.points())?;
        let pairs: Vec<_> = coefficients.cross.iter().map(|c| c.axes).collect();
        let generator = Generator::with_cross(grid.clone(), space.scheme(), faces, &pairs);
        Ok(Forward {
            model,
            feedback,
            coefficients,
            adjoint: generator.matrix().clone(),
            generator,
            absorbing: dirichlet_nodes(grid, faces),
            drift: vec![0.0; d * n],
            control: vec![0.0; m * n],
        })
    }

    /// Whether mass leaves the process at a Dirichlet face.
    pub fn absorbs(&self) -> bool {
        !self.absorbing.is_empty()
    }

    /// Whether the diffusion is positive anywhere.
    pub fn has_noise(&self) -> bool {
        self.coefficients.variance.iter().any(|a| *a > 0.0)
    }

    pub fn prepare(&mut self, t: f64) -> Result<(), HjbError> {
        let c = &mut self.coefficients;
        c.evaluate(self.model.at(t).as_ref(), t)?;
        if c.cross.len() > self.generator.pair_count() {
            self.generator.set_pairs(c.cross.iter().map(|cross| cross.axes).collect());
        }
        self.drift.copy_from_slice(&c.drift);
        if c.control_dim > 0 {
            let out = PointsMut::new(&mut self.control, c.control_dim);
            self.feedback.at(t).eval(c.nodes.as_points(), out);
            c.check_finite("feedback", &self.control, t)?;
            c.add_control_drift(&self.control, &mut self.drift);
        }
        let matrix = self.generator.assemble_terms(&self.drift, &c.variance, &c.cross)?;
        self.adjoint.set_transpose_of(matrix);
        // What arrives on a Dirichlet face stays there.
        let n = self.drift.len() / self.coefficients.nodes.dim();
        for s in 0..self.adjoint.flat_shifts().len() {
            let shift = self.adjoint.flat_shifts()[s];
            let column = self.adjoint.diagonal_mut(s);
            for &j in &self.absorbing {
                // Nodes off the grid hold zeros already.
                let row = j as isize - shift;
                if (0..n as isize).contains(&row) {
                    column[row as usize] = 0.0;
                }
            }
        }
        Ok(())
    }
}

/// Nodes on the Dirichlet faces of the box.
fn dirichlet_nodes(grid: &TensorGrid, faces: Faces) -> Vec<usize> {
    let on_face = |j: usize| {
        (0..grid.dim()).any(|axis| {
            let index = (j / grid.strides()[axis]) % grid.shape()[axis];
            (index == 0 && faces.face(axis, false) == Face::Dirichlet)
                || (index + 1 == grid.shape()[axis] && faces.face(axis, true) == Face::Dirichlet)
        })
    };
    (0..grid.len()).filter(|&j| on_face(j)).collect()
}

/// Share the mass of each point of a periodic axis among the two nodes that stand for it, in proportion to their parts of the
/// cell, as the generator does in the long run. Their rows are the same, so later masses elsewhere do not change.
pub(crate) fn share_periodic(grid: &TensorGrid, faces: Faces, mass: &mut [f64]) {
    for axis in (0..grid.dim()).filter(|&axis| faces.is_periodic(axis)) {
        let (stride, count) = (grid.strides()[axis], grid.shape()[axis]);
        let nodes = grid.axis(axis).nodes();
        let (first, last) = (nodes[1] - nodes[0], nodes[count - 1] - nodes[count - 2]);
        for j in (0..mass.len()).filter(|j| (j / stride) % count == 0) {
            let twin = j + (count - 1) * stride;
            let (sum, share) = (mass[j] + mass[twin], first / (first + last));
            (mass[j], mass[twin]) = (share * sum, (1.0 - share) * sum);
        }
    }
}

/// Nodes on the faces of the box.
pub(crate) fn face_nodes(grid: &TensorGrid) -> Vec<usize> {
    let on_face = |j: usize| {
        grid.shape().iter().zip(grid.strides()).any(|(&len, &stride)| {
            let index = (j / stride) % len;
            index == 0 || index + 1 == len
        })
    };
    (0..grid.len()).filter(|&j| on_face(j)).collect()
}
