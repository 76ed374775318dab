//! The coefficients of the model on the nodes at one time, as channels: one per scalar coefficient, uniform or nodal.
//!
//! A free control enters the equation through the mobility M = G R^{-1} G' alone, H(p) = p'Mp/2, so M is the channel;
//! a control in a box through the diagonals of G and R.

use crate::coefficients::control_bounds;
use crate::error::HjbError;
use crate::norms::all_finite;
use crate::smooth::control::ControlMatrices;
use crate::smooth::differences::SERIAL_BELOW;
use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, PointBlock, Points, PointsMut,
};
use rayon::prelude::*;

/// Nodes evaluated at once.
const CHUNK: usize = 4096;

/// Entries of sigma sigma' up to this fraction of the diagonal ones count as zero.
const OFF_DIAGONAL: f64 = 1e-13;

/// One scalar coefficient at one time.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    /// The same at all nodes.
    Uniform(f64),
    /// One entry per node.
    Nodal(Vec<f64>),
}

/// Which coefficient is which channel: f_i, a_ij (i <= j), then M_ij (i <= j) of a free control or G_ii and R_ii of one in a
/// box, then l.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub dim: usize,
    pub controls: usize,
    /// Whether the control is free.
    pub free: bool,
}

impl Layout {
    pub fn drift(self, i: usize) -> usize {
        i
    }
    fn pair(self, i: usize, j: usize) -> usize {
        let (i, j) = if i <= j { (i, j) } else { (j, i) };
        i * self.dim + j - i * (i + 1) / 2
    }
    fn pairs(self) -> usize {
        self.dim * (self.dim + 1) / 2
    }
    /// a_ij = a_ji.
    pub fn diffusion(self, i: usize, j: usize) -> usize {
        self.dim + self.pair(i, j)
    }
    /// M_ij = M_ji of a free control.
    pub fn mobility(self, i: usize, j: usize) -> usize {
        self.dim + self.pairs() + self.pair(i, j)
    }
    /// G_ii of a control in a box.
    pub fn gain(self, i: usize) -> usize {
        self.dim + self.pairs() + i
    }
    /// R_ii of a control in a box.
    pub fn weight(self, i: usize) -> usize {
        self.gain(self.controls) + i
    }
    pub fn running(self) -> usize {
        let control = match (self.controls, self.free) {
            (0, _) => 0,
            (_, true) => self.pairs(),
            (m, false) => 2 * m,
        };
        self.dim + self.pairs() + control
    }
    pub fn len(self) -> usize {
        self.running() + 1
    }
    /// Whether component i of a control in a box acts.
    pub fn boxed(self, i: usize) -> bool {
        !self.free && i < self.controls
    }
    /// Whether a free control acts.
    pub fn mobile(self) -> bool {
        self.free && self.controls > 0
    }
}

/// The model on the nodes of the grid.
pub(crate) struct NodeModel<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub nodes: PointBlock,
    pub layout: Layout,
    /// Bounds of a control in a box; infinite for a free one.
    pub bounds: Vec<(f64, f64)>,
    /// rho >= 0.
    pub discount: f64,
}

impl<'a> NodeModel<'a> {
    pub fn new(model: &'a dyn ControlledDiffusion, nodes: PointBlock) -> Result<Self, HjbError> {
        let (d, m) = (model.dim(), model.control_dim());
        HjbError::check_shape("grid axes", nodes.dim(), d)?;
        let unsupported =
            |what: String, allowed: &'static str| HjbError::Unsupported { what, t: 0.0, point: Vec::new(), allowed };
        let other = "controls that are free or in a box, with a quadratic cost (the monotone route takes the others)";
        if let ControlSet::Finite { controls } = model.control_set() {
            return Err(unsupported(format!("a finite set of {} controls in the high-order solver", controls.len()), other));
        }
        if model.control_cost() != ControlCost::Quadratic {
            return Err(unsupported("a general control cost in the high-order solver".into(), other));
        }
        let bounds = control_bounds(model)?;
        let free = bounds.iter().all(|&(lo, up)| lo == f64::NEG_INFINITY && up == f64::INFINITY);
        if !free && m > d {
            let allowed = "control_dim <= dim with G_ij = 0 for i != j, or a free control";
            return Err(unsupported(format!("control_dim = {m} with dim = {d} and a control in a box"), allowed));
        }
        let discount = crate::coefficients::checked_discount(model.discount())?;
        Ok(NodeModel { model, nodes, layout: Layout { dim: d, controls: m, free }, bounds, discount })
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn point(&self, j: usize) -> Vec<f64> {
        let mut p = vec![0.0; self.nodes.dim()];
        self.nodes.as_points().copy_point(j, &mut p);
        p
    }

    /// Name the first NaN or infinity.
    pub fn check_finite(&self, coefficient: &'static str, values: &[f64], t: f64) -> Result<(), HjbError> {
        if all_finite(values) {
            return Ok(());
        }
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(k) => Err(HjbError::NonFinite { coefficient, value: values[k], t, point: self.point(k % self.len()) }),
        }
    }

    /// g on the nodes.
    pub fn terminal_reward(&self) -> Result<Vec<f64>, HjbError> {
        let mut out = vec![0.0; self.len()];
        self.model.terminal_reward(self.nodes.as_points(), &mut out);
        self.check_finite("terminal_reward", &out, self.model.horizon())?;
        Ok(out)
    }

    /// All channels at generation time t.
    pub fn evaluate(&self, t: f64) -> Result<Vec<Channel>, HjbError> {
        let at = self.model.at(t);
        let at = at.as_ref();
        let mut channels = self.blocks("drift", self.layout.dim, t, |x, out| at.drift(x, out))?;
        channels.extend(self.diffusion(at, t)?);
        if self.layout.controls > 0 {
            let matrices = ControlMatrices::new(self, at, t)?;
            channels.extend(if self.layout.free { matrices.mobility(self, t)? } else { matrices.diagonals(self, t)? });
        }
        channels.extend(self.blocks("running_reward", 1, t, |x, mut out| at.running_reward(x, out.coord_mut(0)))?);
        Ok(channels)
    }

    /// A field of `components` coordinates on the nodes; one that is constant becomes uniform.
    fn blocks(
        &self,
        name: &'static str,
        components: usize,
        t: f64,
        eval: impl Fn(Points<'_>, PointsMut<'_>) + Sync,
    ) -> Result<Vec<Channel>, HjbError> {
        let n = self.len();
        let mut out = vec![vec![0.0; n]; components];
        let mut tasks: Vec<(usize, Vec<&mut [f64]>)> = (0..n).step_by(CHUNK).map(|start| (start, Vec::new())).collect();
        for values in &mut out {
            for (task, part) in tasks.iter_mut().zip(values.chunks_mut(CHUNK)) {
                task.1.push(part);
            }
        }
        let run = |(start, parts): (usize, Vec<&mut [f64]>)| {
            let len = parts.first().map_or(0, |p| p.len());
            let mut block = PointBlock::zeros(components, len);
            eval(self.nodes.as_points().window(start..start + len), block.as_mut());
            for (i, part) in parts.into_iter().enumerate() {
                part.copy_from_slice(block.coord(i));
            }
        };
        if n < SERIAL_BELOW {
            tasks.into_iter().for_each(run)
        } else {
            tasks.into_par_iter().for_each(run)
        }
        out.iter().try_for_each(|values| self.check_finite(name, values, t))?;
        Ok(out.into_iter().map(Channel::settled).collect())
    }

    /// a = sigma sigma', upper triangle.
    fn diffusion(&self, at: &dyn Coefficients, t: f64) -> Result<Vec<Channel>, HjbError> {
        let (d, q, n) = (self.layout.dim, self.model.noise_dim(), self.len());
        let pairs = (0..d).flat_map(|i| (i..d).map(move |j| (i, j)));
        match at.diffusion() {
            MatrixCoefficient::Scaled(s) => {
                self.check_finite("diffusion", &[s], t)?;
                Ok(pairs.map(|(i, j)| Channel::Uniform(if i == j { s * s } else { 0.0 })).collect())
            }
            MatrixCoefficient::Field(field) => {
                let sigma = self.blocks("diffusion", d * q, t, |x, out| field.eval(x, out))?;
                let entry = |i: usize, j: usize, node: usize| -> f64 {
                    (0..q).map(|k| sigma[i * q + k].get(node) * sigma[j * q + k].get(node)).sum()
                };
                let uniform = sigma.iter().all(|c| matches!(c, Channel::Uniform(_)));
                Ok(pairs
                    .map(|(i, j)| {
                        let clean = |node: usize| {
                            let a = entry(i, j, node);
                            let size = (entry(i, i, node) * entry(j, j, node)).sqrt();
                            if a.abs() <= OFF_DIAGONAL * size { 0.0 } else { a }
                        };
                        if uniform {
                            return Channel::Uniform(clean(0));
                        }
                        Channel::settled((0..n).map(clean).collect())
                    })
                    .collect())
            }
        }
    }

    /// The entries of a `rows` x m matrix, row by row.
    pub fn matrix(
        &self,
        name: &'static str,
        matrix: MatrixCoefficient<'_>,
        rows: usize,
        t: f64,
    ) -> Result<Vec<Channel>, HjbError> {
        let m = self.layout.controls;
        if m == 0 {
            return Ok(Vec::new());
        }
        match matrix {
            MatrixCoefficient::Scaled(c) => {
                if rows != m {
                    return Err(HjbError::Unsupported {
                        what: format!("{name} a multiple of the identity with control_dim = {m}, dim = {rows}"),
                        t,
                        point: Vec::new(),
                        allowed: "`Scaled` for a square matrix only; a rectangular one is a `Field`",
                    });
                }
                self.check_finite(name, &[c], t)?;
                Ok((0..m * m).map(|k| Channel::Uniform(if k / m == k % m { c } else { 0.0 })).collect())
            }
            MatrixCoefficient::Field(field) => self.blocks(name, rows * m, t, |x, out| field.eval(x, out)),
        }
    }
}

impl Channel {
    /// From the values on the nodes; uniform when they are all the same.
    pub fn settled(values: Vec<f64>) -> Self {
        if values.iter().all(|v| *v == values[0]) { Channel::Uniform(values[0]) } else { Channel::Nodal(values) }
    }

    pub fn get(&self, node: usize) -> f64 {
        match self {
            Channel::Uniform(c) => *c,
            Channel::Nodal(v) => v[node],
        }
    }

    /// The first node (0 for a uniform channel) whose value is `wanted`, and the value.
    pub fn find(&self, wanted: impl Fn(f64) -> bool) -> Option<(usize, f64)> {
        match self {
            Channel::Uniform(c) => wanted(*c).then_some((0, *c)),
            Channel::Nodal(v) => v.iter().position(|v| wanted(*v)).map(|node| (node, v[node])),
        }
    }

    /// sup |.|.
    pub fn sup(&self) -> f64 {
        match self {
            Channel::Uniform(c) => c.abs(),
            Channel::Nodal(v) => crate::norms::sup(v),
        }
    }
}
