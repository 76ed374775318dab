//! The quadratic control cost at the nodes: H(p) = max_v { (G v).p - v'Rv/2 } and its maximiser.
//!
//! Free control: v = R^{-1} G'p and H(p) = p'Mp/2 with the mobility M = G R^{-1} G' (d x d). With the Cholesky factor
//! R = L L' and L Z' = G', M = Z Z'; G and R may be full, and m differ from d. Control in a box: G and R diagonal, and
//! v_i = G_ii p_i / R_ii clipped to its bounds.

use crate::error::HjbError;
use crate::smooth::channels::{Channel, NodeModel};
use crate::smooth::differences::SERIAL_BELOW;
use hjbridge_model::Coefficients;
use rayon::prelude::*;

/// Nodes of one parallel task.
const CHUNK: usize = 1024;

/// Entries of R that differ from their mirror images by up to this fraction of the diagonal count as symmetric.
const ASYMMETRY: f64 = 1e-12;

/// G (d x m) and R (m x m) at one time, row by row.
pub(crate) struct ControlMatrices {
    gain: Vec<Channel>,
    weight: Vec<Channel>,
}

impl ControlMatrices {
    pub fn new(model: &NodeModel<'_>, at: &dyn Coefficients, t: f64) -> Result<Self, HjbError> {
        let (d, m) = (model.layout.dim, model.layout.controls);
        let gain = model.matrix("control_matrix", at.control_matrix(), d, t)?;
        let weight = model.matrix("control_weight", at.control_weight(), m, t)?;
        Ok(ControlMatrices { gain, weight })
    }

    fn uniform(&self) -> bool {
        self.gain.iter().chain(&self.weight).all(|c| matches!(c, Channel::Uniform(_)))
    }

    /// M_ij, i <= j.
    pub fn mobility(&self, model: &NodeModel<'_>, t: f64) -> Result<Vec<Channel>, HjbError> {
        let d = model.layout.dim;
        let pairs: Vec<(usize, usize)> = (0..d).flat_map(|i| (i..d).map(move |j| (i, j))).collect();
        let by_node = self.per_node(model, t, pairs.len(), |factor, node, out| {
            factor.load_gain(&self.gain, node);
            for (o, &(i, j)) in out.iter_mut().zip(&pairs) {
                *o = factor.gain_row(i).iter().zip(factor.gain_row(j)).map(|(a, b)| a * b).sum();
            }
        })?;
        Ok((0..pairs.len()).map(|k| Channel::settled(by_node.iter().skip(k).step_by(pairs.len()).copied().collect())).collect())
    }

    /// G_ii, then R_ii; entries off the diagonals are refused.
    pub fn diagonals(self, model: &NodeModel<'_>, t: f64) -> Result<Vec<Channel>, HjbError> {
        let m = model.layout.controls;
        let mut all = Vec::with_capacity(2 * m);
        for (name, matrix) in [("control_matrix", self.gain), ("control_weight", self.weight)] {
            for (k, channel) in matrix.into_iter().enumerate() {
                let (row, column) = (k / m, k % m);
                if row != column {
                    if let Some((node, value)) = channel.find(|v| v != 0.0) {
                        return Err(HjbError::Unsupported {
                            what: format!("{name}[{row}][{column}] = {value} with a control in a box"),
                            t,
                            point: model.point(node),
                            allowed: "diagonal G and R (component i of the control acts on coordinate i only), or a free control",
                        });
                    }
                    continue;
                }
                if name == "control_weight"
                    && let Some((node, value)) = channel.find(|v| v <= 0.0)
                {
                    return Err(HjbError::ControlWeight { component: row, value, t, node, point: model.point(node) });
                }
                all.push(channel);
            }
        }
        Ok(all)
    }

    /// The maximiser for the gradient `p` (d x n), m x n.
    pub fn maximiser(&self, model: &NodeModel<'_>, t: f64, p: &[f64]) -> Result<Vec<f64>, HjbError> {
        let (d, m, n) = (model.layout.dim, model.layout.controls, model.len());
        if m == 0 {
            return Ok(Vec::new());
        }
        if !model.layout.free {
            let mut out = vec![0.0; m * n];
            for (i, v) in out.chunks_mut(n).enumerate() {
                let (lo, up) = model.bounds[i];
                for (j, (v, p)) in v.iter_mut().zip(&p[i * n..]).enumerate() {
                    let k = i * m + i;
                    *v = (self.gain[k].get(j) * p / self.weight[k].get(j)).max(lo).min(up);
                }
            }
            return Ok(out);
        }
        if self.uniform() {
            // v = K p with one K = R^{-1} G' for all nodes.
            let mut factor = Factor::new(d, m);
            factor.set(model, &self.weight, t, 0)?;
            factor.load_gain(&self.gain, 0);
            let mut out = vec![0.0; m * n];
            let mut row = vec![0.0; m];
            for i in 0..d {
                row.copy_from_slice(factor.gain_row(i));
                factor.solve_transposed(&mut row);
                for (k, v) in out.chunks_mut(n).enumerate().filter(|(k, _)| row[*k] != 0.0) {
                    v.iter_mut().zip(&p[i * n..]).for_each(|(v, p)| *v += row[k] * p);
                }
            }
            return Ok(out);
        }
        let by_node = self.per_node(model, t, m, |factor, node, out| {
            for (k, o) in out.iter_mut().enumerate() {
                *o = (0..d).map(|i| self.gain[i * m + k].get(node) * p[i * n + node]).sum();
            }
            factor.solve(out);
            factor.solve_transposed(out);
        })?;
        Ok((0..m).flat_map(|k| by_node.iter().skip(k).step_by(m).copied()).collect())
    }

    /// Call `each` with the factor of R at every node (at one node when G and R are uniform); `width` numbers per node.
    fn per_node(
        &self,
        model: &NodeModel<'_>,
        t: f64,
        width: usize,
        each: impl Fn(&mut Factor, usize, &mut [f64]) + Sync,
    ) -> Result<Vec<f64>, HjbError> {
        let (d, m) = (model.layout.dim, model.layout.controls);
        let count = if self.uniform() { 1 } else { model.len() };
        let fixed_weight = self.weight.iter().all(|c| matches!(c, Channel::Uniform(_)));
        let mut out = vec![0.0; width * count];
        let run = |(chunk, block): (usize, &mut [f64])| -> Result<(), HjbError> {
            let mut factor = Factor::new(d, m);
            for (k, out) in block.chunks_mut(width).enumerate() {
                let node = chunk * CHUNK + k;
                if k == 0 || !fixed_weight {
                    factor.set(model, &self.weight, t, node)?;
                }
                each(&mut factor, node, out);
            }
            Ok(())
        };
        let done: Vec<Result<(), HjbError>> = if count < SERIAL_BELOW {
            out.chunks_mut(CHUNK * width).enumerate().map(run).collect()
        } else {
            out.par_chunks_mut(CHUNK * width).enumerate().map(run).collect()
        };
        // The error of the first node, whatever the number of threads.
        done.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(out)
    }
}

/// The Cholesky factor L of R at one node, and the rows of Z: Z' = L^{-1} G'.
struct Factor {
    m: usize,
    lower: Vec<f64>,
    rows: Vec<f64>,
}

impl Factor {
    fn new(d: usize, m: usize) -> Self {
        Factor { m, lower: vec![0.0; m * m], rows: vec![0.0; d * m] }
    }

    fn set(&mut self, model: &NodeModel<'_>, weight: &[Channel], t: f64, node: usize) -> Result<(), HjbError> {
        let (m, l) = (self.m, &mut self.lower);
        for i in 0..m {
            for k in 0..=i {
                let entry = weight[i * m + k].get(node);
                let mirror = weight[k * m + i].get(node);
                if (entry - mirror).abs() > ASYMMETRY * (weight[i * m + i].get(node) + weight[k * m + k].get(node)).abs() {
                    return Err(HjbError::Unsupported {
                        what: format!("control_weight[{i}][{k}] = {entry} with control_weight[{k}][{i}] = {mirror}"),
                        t,
                        point: model.point(node),
                        allowed: "a symmetric R",
                    });
                }
                let sum: f64 = (0..k).map(|q| l[i * m + q] * l[k * m + q]).sum();
                let rest = entry - sum;
                if k < i {
                    l[i * m + k] = rest / l[k * m + k];
                } else if rest > 0.0 {
                    l[i * m + i] = rest.sqrt();
                } else {
                    let point = model.point(node);
                    return Err(HjbError::ControlWeight { component: i, value: rest, t, node, point });
                }
            }
        }
        Ok(())
    }

    fn load_gain(&mut self, gain: &[Channel], node: usize) {
        let Factor { m, lower, rows } = self;
        for (k, z) in rows.iter_mut().enumerate() {
            *z = gain[k].get(node);
        }
        rows.chunks_mut(*m).for_each(|row| forward(lower, row));
    }

    /// Row i of Z.
    fn gain_row(&self, i: usize) -> &[f64] {
        &self.rows[i * self.m..][..self.m]
    }

    /// x <- L^{-1} x.
    fn solve(&self, x: &mut [f64]) {
        forward(&self.lower, x);
    }

    /// x <- L^{-T} x.
    fn solve_transposed(&self, x: &mut [f64]) {
        let m = self.m;
        for k in (0..m).rev() {
            let sum: f64 = (k + 1..m).map(|q| self.lower[q * m + k] * x[q]).sum();
            x[k] = (x[k] - sum) / self.lower[k * m + k];
        }
    }
}

/// x <- L^{-1} x.
fn forward(lower: &[f64], x: &mut [f64]) {
    let m = x.len();
    for k in 0..m {
        let sum: f64 = (0..k).map(|q| lower[k * m + q] * x[q]).sum();
        x[k] = (x[k] - sum) / lower[k * m + k];
    }
}

/// H(p) at one node; p has d entries.
pub(crate) fn hamiltonian(model: &NodeModel<'_>, channels: &[Channel], node: usize, p: &[f64]) -> f64 {
    let l = model.layout;
    if l.mobile() {
        let row = |i: usize| (0..l.dim).map(|k| channels[l.mobility(i, k)].get(node) * p[k]).sum::<f64>();
        return 0.5 * (0..l.dim).map(|i| p[i] * row(i)).sum::<f64>();
    }
    (0..l.controls)
        .map(|i| {
            let (g, r) = (channels[l.gain(i)].get(node), channels[l.weight(i)].get(node));
            let v = (g * p[i] / r).max(model.bounds[i].0).min(model.bounds[i].1);
            v * (g * p[i] - 0.5 * r * v)
        })
        .sum()
}

/// dH/dp_i at one node.
pub(crate) fn velocity(model: &NodeModel<'_>, channels: &[Channel], node: usize, p: &[f64], i: usize) -> f64 {
    let l = model.layout;
    if l.mobile() {
        (0..l.dim).map(|k| channels[l.mobility(i, k)].get(node) * p[k]).sum()
    } else if l.boxed(i) {
        let (g, r) = (channels[l.gain(i)].get(node), channels[l.weight(i)].get(node));
        g * (g * p[i] / r).max(model.bounds[i].0).min(model.bounds[i].1)
    } else {
        0.0
    }
}
