//! The coefficients on the nodes as functions of time: evaluated at few times, interpolated between them.
//!
//! A score with many components costs far more than the derivatives it multiplies, so the model is asked at the
//! Chebyshev points of panels in time, and the polynomial through them stands in between. A panel is accepted when its
//! last Chebyshev coefficients, weighted with the derivatives of V that they multiply, are below a share of the tolerance
//! of the time integration; otherwise it is shortened. At a jump in time panels shrink until they no longer matter.

use crate::coefficients::control_bounds;
use crate::error::HjbError;
use crate::norms::all_finite;
use crate::smooth::differences::SERIAL_BELOW;
use hjbridge_model::{Coefficients, ControlledDiffusion, MatrixCoefficient, PointBlock, Points, PointsMut};
use rayon::prelude::*;

/// Nodes evaluated at once.
const CHUNK: usize = 4096;

/// Entries of sigma sigma' up to this fraction of the diagonal ones count as zero.
const OFF_DIAGONAL: f64 = 1e-13;

/// A panel of this fraction of the horizon may have a larger error: its share of the whole is small.
const SHORT_PANEL: f64 = 1.0 / 256.0;

/// One scalar coefficient at one time.
#[derive(Clone, Debug)]
pub(crate) enum Channel {
    /// The same at all nodes.
    Uniform(f64),
    /// One entry per node.
    Nodal(Vec<f64>),
}

/// Which coefficient is which channel: f_i, a_ij (i <= j), G_ii, R_ii, l.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub dim: usize,
    pub controls: usize,
}

impl Layout {
    pub fn drift(self, i: usize) -> usize {
        i
    }
    /// a_ij, i <= j.
    pub fn diffusion(self, i: usize, j: usize) -> usize {
        self.dim + i * self.dim - i * (i + 1) / 2 + j
    }
    pub fn gain(self, i: usize) -> usize {
        self.dim + self.dim * (self.dim + 1) / 2 + i
    }
    pub fn weight(self, i: usize) -> usize {
        self.gain(self.controls) + i
    }
    pub fn running(self) -> usize {
        self.gain(2 * self.controls)
    }
    pub fn len(self) -> usize {
        self.running() + 1
    }
}

/// The model on the nodes of the grid.
pub(crate) struct NodeModel<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub nodes: PointBlock,
    pub layout: Layout,
    pub bounds: Vec<(f64, f64)>,
    pub free: bool,
    /// rho >= 0.
    pub discount: f64,
}

impl<'a> NodeModel<'a> {
    pub fn new(model: &'a dyn ControlledDiffusion, nodes: PointBlock) -> Result<Self, HjbError> {
        let (d, m) = (model.dim(), model.control_dim());
        HjbError::check_shape("grid axes", nodes.dim(), d)?;
        if m > d {
            return Err(HjbError::Unsupported {
                what: format!("control_dim = {m} with dim = {d}"),
                t: 0.0,
                point: Vec::new(),
                allowed: "control_dim <= dim with G_ij = 0 for i != j",
            });
        }
        let bounds = control_bounds(model)?;
        let free = bounds.iter().all(|&(lo, up)| lo == f64::NEG_INFINITY && up == f64::INFINITY);
        let discount = model.discount();
        if !(discount >= 0.0 && discount.is_finite()) {
            return Err(HjbError::invalid("discount", discount, "finite and not negative"));
        }
        Ok(NodeModel { model, nodes, layout: Layout { dim: d, controls: m }, bounds, free, discount })
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    fn point(&self, j: usize) -> Vec<f64> {
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
        let (d, m) = (self.layout.dim, self.layout.controls);
        let at = self.model.at(t);
        let at = at.as_ref();
        let mut channels = self.blocks("drift", d, t, |x, out| at.drift(x, out))?;
        channels.extend(self.diffusion(at, t)?);
        channels.extend(self.diagonal("control_matrix", at.control_matrix(), d, t)?);
        let weight = self.diagonal("control_weight", at.control_weight(), m, t)?;
        for (component, w) in weight.iter().enumerate() {
            let bad = match w {
                Channel::Uniform(r) => (*r <= 0.0).then_some((0, *r)),
                Channel::Nodal(v) => v.iter().position(|r| *r <= 0.0).map(|node| (node, v[node])),
            };
            if let Some((node, value)) = bad {
                return Err(HjbError::ControlWeight { component, value, t, node, point: self.point(node) });
            }
        }
        channels.extend(weight);
        channels.extend(self.blocks("running_reward", 1, t, |x, mut out| at.running_reward(x, out.coord_mut(0)))?);
        Ok(channels)
    }

    /// G_ii and R_ii at time t, for the control.
    pub fn control_channels(&self, t: f64) -> Result<(Vec<Channel>, Vec<Channel>), HjbError> {
        let at = self.model.at(t);
        let gain = self.diagonal("control_matrix", at.control_matrix(), self.layout.dim, t)?;
        let weight = self.diagonal("control_weight", at.control_weight(), self.layout.controls, t)?;
        Ok((gain, weight))
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
        let settle = |values: Vec<f64>| match values.iter().all(|v| *v == values[0]) {
            true => Channel::Uniform(values[0]),
            false => Channel::Nodal(values),
        };
        Ok(out.into_iter().map(settle).collect())
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
                        let values: Vec<f64> = (0..n).map(clean).collect();
                        if values.iter().all(|v| *v == values[0]) { Channel::Uniform(values[0]) } else { Channel::Nodal(values) }
                    })
                    .collect())
            }
        }
    }

    /// The diagonal of a `rows` x m matrix; non-zero entries off the diagonal are refused.
    fn diagonal(&self, name: &'static str, matrix: MatrixCoefficient<'_>, rows: usize, t: f64) -> Result<Vec<Channel>, HjbError> {
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
                Ok(vec![Channel::Uniform(c); m])
            }
            MatrixCoefficient::Field(field) => {
                let all = self.blocks(name, rows * m, t, |x, out| field.eval(x, out))?;
                let mut diagonal = Vec::with_capacity(m);
                for (k, channel) in all.into_iter().enumerate() {
                    if k / m == k % m {
                        diagonal.push(channel);
                        continue;
                    }
                    let off = match &channel {
                        Channel::Uniform(c) => (*c != 0.0).then_some(0),
                        Channel::Nodal(v) => v.iter().position(|v| *v != 0.0),
                    };
                    if let Some(node) = off {
                        return Err(HjbError::Unsupported {
                            what: format!("{name}[{}][{}] = {}", k / m, k % m, channel.get(node)),
                            t,
                            point: self.point(node),
                            allowed: "diagonal matrices (component i of the control acts on coordinate i only)",
                        });
                    }
                }
                Ok(diagonal)
            }
        }
    }
}

impl Channel {
    pub fn get(&self, node: usize) -> f64 {
        match self {
            Channel::Uniform(c) => *c,
            Channel::Nodal(v) => v[node],
        }
    }

    /// sup |.|.
    pub fn sup(&self) -> f64 {
        match self {
            Channel::Uniform(c) => c.abs(),
            Channel::Nodal(v) => crate::norms::sup(v),
        }
    }

    /// Make it a combination of channels.
    fn combine(&mut self, weights: &[f64], knots: &[&Channel]) {
        if knots.iter().all(|k| matches!(k, Channel::Uniform(_))) {
            *self = Channel::Uniform(weights.iter().zip(knots).map(|(w, k)| w * k.get(0)).sum());
            return;
        }
        let n = knots.iter().find_map(|k| if let Channel::Nodal(v) = k { Some(v.len()) } else { None }).unwrap_or(0);
        let mut out = match std::mem::replace(self, Channel::Uniform(0.0)) {
            Channel::Nodal(v) if v.len() == n => v,
            _ => vec![0.0; n],
        };
        let run = |(chunk, out): (usize, &mut [f64])| {
            let start = chunk * CHUNK;
            out.fill(0.0);
            for (&w, knot) in weights.iter().zip(knots) {
                match knot {
                    _ if w == 0.0 => {}
                    Channel::Uniform(c) => out.iter_mut().for_each(|o| *o += w * c),
                    Channel::Nodal(v) => {
                        for (o, v) in out.iter_mut().zip(&v[start..]) {
                            *o += w * v;
                        }
                    }
                }
            }
        };
        if n < SERIAL_BELOW {
            out.chunks_mut(CHUNK).enumerate().for_each(run)
        } else {
            out.par_chunks_mut(CHUNK).enumerate().for_each(run)
        }
        *self = Channel::Nodal(out);
    }
}

/// A panel in tau = T - t with the channels at its Chebyshev points.
struct Panel {
    start: f64,
    end: f64,
    knots: Vec<Vec<Channel>>,
}

/// Degree of the polynomials in time.
const DEGREE: usize = 8;

impl Panel {
    fn node(start: f64, end: f64, k: usize) -> f64 {
        // Increasing; both ends exact.
        match k {
            0 => start,
            DEGREE => end,
            _ => 0.5 * (start + end) - 0.5 * (end - start) * (k as f64 * std::f64::consts::PI / DEGREE as f64).cos(),
        }
    }

    /// Weights of the knots at tau (barycentric formula).
    fn weights(&self, tau: f64) -> Vec<f64> {
        let sign = |k: usize| {
            let end = if k == 0 || k == DEGREE { 0.5 } else { 1.0 };
            if k.is_multiple_of(2) { end } else { -end }
        };
        let distances: Vec<f64> = (0..=DEGREE).map(|k| tau - Panel::node(self.start, self.end, k)).collect();
        if let Some(hit) = distances.iter().position(|d| d.abs() <= 1e-15 * self.end.abs()) {
            return (0..=DEGREE).map(|k| if k == hit { 1.0 } else { 0.0 }).collect();
        }
        let raw: Vec<f64> = (0..=DEGREE).map(|k| sign(k) / distances[k]).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|w| w / sum).collect()
    }

    /// Size of the last Chebyshev coefficients of channel c.
    fn tail(&self, c: usize) -> f64 {
        let knots: Vec<&Channel> = self.knots.iter().map(|k| &k[c]).collect();
        let weights = |order: usize| -> Vec<f64> {
            (0..=DEGREE)
                .map(|k| {
                    let end = if k == 0 || k == DEGREE { 0.5 } else { 1.0 };
                    let scale = if order == DEGREE { 1.0 } else { 2.0 } / DEGREE as f64;
                    scale * end * ((order * k) as f64 * std::f64::consts::PI / DEGREE as f64).cos()
                })
                .collect()
        };
        let mut coefficient = Channel::Uniform(0.0);
        let mut size = |order: usize| {
            coefficient.combine(&weights(order), &knots);
            coefficient.sup()
        };
        // A coefficient may vanish by symmetry: the one before it guards against that.
        size(DEGREE).max(0.1 * size(DEGREE - 1))
    }
}

/// What the interpolation in time did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChannelStatistics {
    /// Evaluations of the model on all nodes.
    pub evaluations: usize,
    /// Panels accepted.
    pub panels: usize,
    /// Estimated effect on V.
    pub error: f64,
}

/// The channels as functions of tau, panel by panel, forward in tau.
pub(crate) struct ChannelPath {
    horizon: f64,
    panel: Option<Panel>,
    next_length: f64,
    pub statistics: ChannelStatistics,
}

impl ChannelPath {
    pub fn new(horizon: f64) -> Self {
        ChannelPath { horizon, panel: None, next_length: 0.25 * horizon, statistics: ChannelStatistics::default() }
    }

    /// End of the current panel; 0 before the first.
    pub fn end(&self) -> f64 {
        self.panel.as_ref().map_or(0.0, |p| p.end)
    }

    /// Build the panel that follows. `sensitivity[c]` is the change of V_tau for a unit change of channel c, `tolerance`
    /// the change of V that the interpolation may cause over the whole horizon.
    pub fn advance(&mut self, model: &NodeModel<'_>, sensitivity: &[f64], tolerance: f64) -> Result<(), HjbError> {
        let horizon = self.horizon;
        let start = self.end();
        let mut first = match self.panel.take() {
            Some(mut p) => p.knots.pop(),
            None => None,
        };
        let mut length = self.next_length;
        loop {
            let mut end = start + length;
            if end > horizon - 1e-3 * length {
                end = horizon;
            }
            let mut knots = Vec::with_capacity(DEGREE + 1);
            for k in 0..=DEGREE {
                match first.take() {
                    Some(channels) if k == 0 => knots.push(channels),
                    _ => {
                        let t = (horizon - Panel::node(start, end, k)).max(0.0);
                        self.statistics.evaluations += 1;
                        knots.push(model.evaluate(t)?);
                    }
                }
            }
            let mut panel = Panel { start, end, knots };
            length = end - start;
            let rate: f64 = sensitivity.iter().enumerate().filter(|(_, s)| **s > 0.0).map(|(c, s)| s * panel.tail(c)).sum();
            let allowed = tolerance * (length / horizon).max(SHORT_PANEL) / length;
            let ratio = if rate > 0.0 { (allowed / rate).powf(1.0 / DEGREE as f64) } else { 2.0 };
            if rate <= allowed || length < 1e-12 * horizon {
                self.next_length = length * (0.9 * ratio).clamp(0.5, 4.0);
                self.statistics.panels += 1;
                self.statistics.error += rate * length;
                self.panel = Some(panel);
                return Ok(());
            }
            length *= (0.8 * ratio).clamp(0.1, 0.8);
            first = Some(panel.knots.swap_remove(0));
        }
    }

    /// Write the channels at tau (inside the current panel) into `out`.
    pub fn fill(&self, tau: f64, out: &mut [Channel]) {
        if let Some(panel) = &self.panel {
            let weights = panel.weights(tau);
            for (c, out) in out.iter_mut().enumerate() {
                let knots: Vec<&Channel> = panel.knots.iter().map(|k| &k[c]).collect();
                out.combine(&weights, &knots);
            }
        }
    }
}
