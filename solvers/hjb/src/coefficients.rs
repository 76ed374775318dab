//! The coefficients of the model on all nodes of the grid at one time, checked.

use crate::error::HjbError;
use crate::norms::all_finite;
use hjbridge_model::{Coefficients, ControlSet, ControlledDiffusion, MatrixCoefficient, PointBlock, Points, PointsMut};

/// Nodes evaluated at once: large enough to amortise the call, small enough for the model's own temporaries to stay in
/// cache.
const CHUNK: usize = 4096;

/// Off-diagonal entries up to this fraction of the diagonal ones count as rounding.
const OFF_DIAGONAL: f64 = 1e-13;

/// Coefficients at all n nodes; d is the dimension of the state, m that of the control.
pub(crate) struct NodeCoefficients {
    pub nodes: PointBlock,
    pub control_dim: usize,
    noise_dim: usize,
    /// f, d x n.
    pub drift: Vec<f64>,
    /// a_ii = (sigma sigma')_ii, d x n.
    pub variance: Vec<f64>,
    /// G_ii, m x n.
    pub gain: Vec<f64>,
    /// R_ii, m x n.
    pub weight: Vec<f64>,
    /// l, n.
    pub running: Vec<f64>,
    scratch: Vec<f64>,
}

impl NodeCoefficients {
    pub fn new(model: &dyn ControlledDiffusion, nodes: PointBlock) -> Result<Self, HjbError> {
        let (d, m, n) = (model.dim(), model.control_dim(), nodes.len());
        HjbError::check_shape("grid axes", nodes.dim(), d)?;
        if m > d {
            let allowed = "control_dim <= dim with G_ij = 0 for i != j";
            return Err(HjbError::Unsupported {
                what: format!("control_dim = {m} with dim = {d}"),
                t: 0.0,
                point: Vec::new(),
                allowed,
            });
        }
        Ok(NodeCoefficients {
            nodes,
            control_dim: m,
            noise_dim: model.noise_dim(),
            drift: vec![0.0; d * n],
            variance: vec![0.0; d * n],
            gain: vec![0.0; m * n],
            weight: vec![0.0; m * n],
            running: vec![0.0; n],
            scratch: Vec::new(),
        })
    }

    fn point(&self, j: usize) -> Vec<f64> {
        let mut p = vec![0.0; self.nodes.dim()];
        self.nodes.as_points().copy_point(j, &mut p);
        p
    }

    /// Evaluate everything at time t.
    pub fn evaluate(&mut self, at: &dyn Coefficients, t: f64) -> Result<(), HjbError> {
        let (d, n) = (self.nodes.dim(), self.nodes.len());
        for_chunks(&self.nodes, &mut self.drift, d, |x, out| at.drift(x, out));
        self.check_finite("drift", &self.drift, t)?;
        for start in (0..n).step_by(CHUNK) {
            let end = (start + CHUNK).min(n);
            at.running_reward(self.nodes.as_points().window(start..end), &mut self.running[start..end]);
        }
        self.check_finite("running_reward", &self.running, t)?;
        self.evaluate_variance(at.diffusion(), t)?;
        let mut gain = std::mem::take(&mut self.gain);
        let mut weight = std::mem::take(&mut self.weight);
        let gain_done = self.evaluate_diagonal("control_matrix", at.control_matrix(), d, &mut gain, t);
        let weight_done = self.evaluate_diagonal("control_weight", at.control_weight(), self.control_dim, &mut weight, t);
        self.gain = gain;
        self.weight = weight;
        gain_done.and(weight_done)?;
        if let Some(k) = self.weight.iter().position(|&r| r <= 0.0) {
            let (component, node) = (k / n, k % n);
            return Err(HjbError::ControlWeight { component, value: self.weight[k], t, node, point: self.point(node) });
        }
        Ok(())
    }

    /// a_ii from sigma; a cross term a_ij is refused.
    fn evaluate_variance(&mut self, sigma: MatrixCoefficient<'_>, t: f64) -> Result<(), HjbError> {
        let (d, n, q) = (self.nodes.dim(), self.nodes.len(), self.noise_dim);
        match sigma {
            MatrixCoefficient::Scaled(s) => {
                self.variance.fill(s * s);
                self.check_finite("diffusion", &self.variance[..1], t)
            }
            MatrixCoefficient::Field(field) => {
                let mut values = std::mem::take(&mut self.scratch);
                values.resize(d * q * n, 0.0);
                for_chunks(&self.nodes, &mut values, d * q, |x, out| field.eval(x, out));
                let checked = self.check_finite("diffusion", &values, t);
                for i in 0..d {
                    for j in 0..n {
                        self.variance[i * n + j] = (0..q).map(|k| values[(i * q + k) * n + j].powi(2)).sum();
                    }
                }
                let cross = (0..d).flat_map(|i| (0..i).map(move |l| (i, l))).find_map(|(i, l)| {
                    (0..n).find_map(|j| {
                        let a: f64 = (0..q).map(|k| values[(i * q + k) * n + j] * values[(l * q + k) * n + j]).sum();
                        let size = (self.variance[i * n + j] * self.variance[l * n + j]).sqrt();
                        (a.abs() > OFF_DIAGONAL * size).then_some((i, l, j, a))
                    })
                });
                self.scratch = values;
                checked?;
                match cross {
                    None => Ok(()),
                    Some((i, l, j, a)) => Err(HjbError::Unsupported {
                        what: format!("cross diffusion (sigma sigma')[{i}][{l}] = {a}"),
                        t,
                        point: self.point(j),
                        allowed: "diagonal sigma sigma' (rotate the coordinates, or scale them separately)",
                    }),
                }
            }
        }
    }

    /// The diagonal of a `rows` x m matrix; non-zero entries off the diagonal are refused.
    fn evaluate_diagonal(
        &mut self,
        name: &'static str,
        matrix: MatrixCoefficient<'_>,
        rows: usize,
        out: &mut [f64],
        t: f64,
    ) -> Result<(), HjbError> {
        let (n, m) = (self.nodes.len(), self.control_dim);
        if m == 0 {
            return Ok(());
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
                out.fill(c);
                self.check_finite(name, &out[..out.len().min(1)], t)
            }
            MatrixCoefficient::Field(field) => {
                let mut values = std::mem::take(&mut self.scratch);
                values.resize(rows * m * n, 0.0);
                for_chunks(&self.nodes, &mut values, rows * m, |x, block| field.eval(x, block));
                let checked = self.check_finite(name, &values, t);
                let mut off = None;
                for i in 0..rows {
                    for k in 0..m {
                        let entry = &values[(i * m + k) * n..][..n];
                        if i == k {
                            out[i * n..(i + 1) * n].copy_from_slice(entry);
                        } else if off.is_none() {
                            off = entry.iter().position(|&v| v != 0.0).map(|j| (i, k, j, entry[j]));
                        }
                    }
                }
                self.scratch = values;
                checked?;
                match off {
                    None => Ok(()),
                    Some((i, k, j, v)) => Err(HjbError::Unsupported {
                        what: format!("{name}[{i}][{k}] = {v}"),
                        t,
                        point: self.point(j),
                        allowed: "diagonal matrices (component i of the control acts on coordinate i only)",
                    }),
                }
            }
        }
    }

    /// Name the first NaN or infinity of `values` (coordinate by coordinate).
    pub fn check_finite(&self, coefficient: &'static str, values: &[f64], t: f64) -> Result<(), HjbError> {
        if all_finite(values) {
            return Ok(());
        }
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(k) => {
                let point = self.point(k % self.nodes.len());
                Err(HjbError::NonFinite { coefficient, value: values[k], t, point })
            }
        }
    }
}

/// Call `eval` on windows of the nodes; `out` has `components` x n entries.
fn for_chunks(nodes: &PointBlock, out: &mut [f64], components: usize, eval: impl Fn(Points<'_>, PointsMut<'_>)) {
    let n = nodes.len();
    let mut block = PointsMut::new(out, components);
    for start in (0..n).step_by(CHUNK) {
        let end = (start + CHUNK).min(n);
        eval(nodes.as_points().window(start..end), block.window(start..end));
    }
}

/// Lower and upper bounds per control component; infinite when free.
pub(crate) fn control_bounds(model: &dyn ControlledDiffusion) -> Result<Vec<(f64, f64)>, HjbError> {
    let m = model.control_dim();
    match model.control_set() {
        ControlSet::Free => Ok(vec![(f64::NEG_INFINITY, f64::INFINITY); m]),
        ControlSet::Box { lower, upper } => {
            HjbError::check_shape("control_set.lower", lower.len(), m)?;
            HjbError::check_shape("control_set.upper", upper.len(), m)?;
            for (i, (lo, up)) in lower.iter().zip(&upper).enumerate() {
                // An empty interval, a NaN and an infinity on the wrong side all fail this.
                if !(lo <= up && *lo < f64::INFINITY && *up > f64::NEG_INFINITY) {
                    let value = format!("[{lo}, {up}]");
                    return Err(HjbError::invalid(&format!("control_set[{i}]"), value, "lower <= upper, not NaN"));
                }
            }
            Ok(lower.into_iter().zip(upper).collect())
        }
        ControlSet::Finite { .. } => {
            Err(HjbError::Unsupported { what: "a finite control set".into(), t: 0.0, point: Vec::new(), allowed: "Free or Box" })
        }
    }
}
