//! The coefficients of the model on all nodes of the grid at one time, checked.

use crate::controls::{ControlMatrices, Controls};
use crate::error::HjbError;
use crate::norms::all_finite;
use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, PointBlock, Points, PointsMut, VectorField,
};

/// Nodes evaluated at once: large enough to amortise the call, small enough for the model's own temporaries to stay in
/// cache.
const CHUNK: usize = 4096;

/// Off-diagonal entries up to this fraction of the diagonal ones count as rounding.
const OFF_DIAGONAL: f64 = 1e-13;

/// Largest size of drift, sigma, G and R (of 1/R too): products of several rates must not overflow.
pub(crate) const LARGEST: f64 = 1e60;

/// The discount rate, when it is one that the linear systems bear.
pub(crate) fn checked_discount(discount: f64) -> Result<f64, HjbError> {
    if (0.0..=LARGEST).contains(&discount) {
        return Ok(discount);
    }
    Err(HjbError::invalid("discount", discount, &format!("not negative and at most {LARGEST:e}")))
}

/// Times at which a model is asked beforehand which a_ij are there, as fractions of the horizon; others are taken up when they
/// appear, at the price of a wider matrix from there on.
const CROSS_TIMES: [f64; 5] = [0.0, 1.0, 0.2637, 0.5113, 0.7871];

/// An off-diagonal pair of a = sigma sigma'.
pub(crate) struct CrossDiffusion {
    /// i < j.
    pub axes: (usize, usize),
    /// a_ij, n.
    pub a: Vec<f64>,
}

/// Coefficients at all n nodes; d is the dimension of the state, m that of the control.
pub(crate) struct NodeCoefficients {
    pub nodes: PointBlock,
    pub control_dim: usize,
    noise_dim: usize,
    /// f, d x n.
    pub drift: Vec<f64>,
    /// a_ii = (sigma sigma')_ii, d x n.
    pub variance: Vec<f64>,
    /// a_ij for the pairs that were not zero everywhere at some time so far, in ascending order; their number never falls.
    pub cross: Vec<CrossDiffusion>,
    /// Whether sigma was ever seen to be more than a multiple of the identity.
    pub may_correlate: bool,
    /// G_ii, m x n; not kept up once `matrices` is there.
    pub gain: Vec<f64>,
    /// R_ii, m x n; likewise.
    pub weight: Vec<f64>,
    /// Full G and R where they are not diagonal, or where the control set or its cost asks for a search.
    pub matrices: Option<ControlMatrices>,
    /// l, n.
    pub running: Vec<f64>,
    scratch: Vec<f64>,
}

impl NodeCoefficients {
    pub fn new(model: &dyn ControlledDiffusion, nodes: PointBlock) -> Result<Self, HjbError> {
        let (d, m, n) = (model.dim(), model.control_dim(), nodes.len());
        HjbError::check_shape("grid axes", nodes.dim(), d)?;
        let quadratic = model.control_cost() == ControlCost::Quadratic;
        let definite = !matches!(model.control_set(), ControlSet::Finite { .. });
        let full = m > 0 && (m > d || !quadratic || !definite);
        let matrices = full.then(|| ControlMatrices::new(d, m, n, quadratic, definite));
        let diagonal = if full { 0 } else { m };
        let mut coefficients = NodeCoefficients {
            nodes,
            control_dim: m,
            noise_dim: model.noise_dim(),
            drift: vec![0.0; d * n],
            variance: vec![0.0; d * n],
            cross: Vec::new(),
            may_correlate: false,
            gain: vec![0.0; diagonal * n],
            weight: vec![0.0; diagonal * n],
            matrices,
            running: vec![0.0; n],
            scratch: Vec::new(),
        };
        coefficients.find_cross(model);
        Ok(coefficients)
    }

    /// Find the pairs a_ij that are not zero; what is wrong with sigma is left to `evaluate` to say.
    fn find_cross(&mut self, model: &dyn ControlledDiffusion) {
        let (d, horizon) = (self.nodes.dim(), model.horizon());
        if d < 2 {
            return;
        }
        let timed = horizon > 0.0 && horizon.is_finite();
        for fraction in CROSS_TIMES {
            let t = if timed { fraction * horizon } else { 0.0 };
            let at = model.at(t);
            if let MatrixCoefficient::Field(field) = at.diffusion() {
                self.evaluate_products(field.as_ref());
                self.take_up_cross();
            }
            if !timed || matches!(at.diffusion(), MatrixCoefficient::Scaled(_)) {
                break;
            }
        }
    }

    /// Add the pairs a_ij that are not zero and not yet known, for sigma in `scratch`.
    fn take_up_cross(&mut self) {
        let (n, q) = (self.nodes.len(), self.noise_dim);
        while let Some((i, l)) = self.unknown_cross() {
            let values = &self.scratch;
            let a = (0..n).map(|j| (0..q).map(|k| values[(i * q + k) * n + j] * values[(l * q + k) * n + j]).sum()).collect();
            self.cross.push(CrossDiffusion { axes: (i, l), a });
            self.cross.sort_by_key(|c| c.axes);
        }
    }

    /// sigma into `scratch`, its row norms into `variance`, the products of rows into the known cross pairs.
    fn evaluate_products(&mut self, sigma: &dyn VectorField) {
        let (d, n, q) = (self.nodes.dim(), self.nodes.len(), self.noise_dim);
        self.may_correlate = true;
        self.scratch.resize(d * q * n, 0.0);
        for_chunks(&self.nodes, &mut self.scratch, d * q, |x, out| sigma.eval(x, out));
        let values = &self.scratch;
        let product = |i: usize, l: usize, out: &mut [f64]| {
            out.fill(0.0);
            for k in 0..q {
                let (left, right) = (&values[(i * q + k) * n..][..n], &values[(l * q + k) * n..][..n]);
                out.iter_mut().zip(left).zip(right).for_each(|((o, x), y)| *o += x * y);
            }
        };
        self.variance.chunks_exact_mut(n).enumerate().for_each(|(i, out)| product(i, i, out));
        self.cross.iter_mut().for_each(|c| product(c.axes.0, c.axes.1, &mut c.a));
    }

    /// A pair of axes whose a_ij is not zero and not among the known ones, for sigma in `scratch`.
    fn unknown_cross(&self) -> Option<(usize, usize)> {
        let (d, n, q) = (self.nodes.dim(), self.nodes.len(), self.noise_dim);
        let values = &self.scratch;
        let pairs = (0..d).flat_map(|i| (i + 1..d).map(move |l| (i, l)));
        pairs.filter(|pair| self.cross.iter().all(|c| c.axes != *pair)).find(|&(i, l)| {
            (0..n).any(|j| {
                let a: f64 = (0..q).map(|k| values[(i * q + k) * n + j] * values[(l * q + k) * n + j]).sum();
                let size = (self.variance[i * n + j] * self.variance[l * n + j]).sqrt();
                a.abs() > OFF_DIAGONAL * size
            })
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
        self.check_size("drift", &self.drift, t)?;
        for start in (0..n).step_by(CHUNK) {
            let end = (start + CHUNK).min(n);
            at.running_reward(self.nodes.as_points().window(start..end), &mut self.running[start..end]);
        }
        self.check_finite("running_reward", &self.running, t)?;
        self.evaluate_variance(at.diffusion(), t)?;
        if self.matrices.is_none() && !self.evaluate_diagonals(at, t)? {
            // Some entry off the diagonal: full matrices from now on.
            self.matrices = Some(ControlMatrices::new(d, self.control_dim, n, true, true));
        }
        match &mut self.matrices {
            Some(matrices) => matrices.evaluate(&self.nodes, at, t),
            None => Ok(()),
        }
    }

    /// The diagonals of G and R; false when one of them is not diagonal.
    fn evaluate_diagonals(&mut self, at: &dyn Coefficients, t: f64) -> Result<bool, HjbError> {
        let (d, n) = (self.nodes.dim(), self.nodes.len());
        let mut gain = std::mem::take(&mut self.gain);
        let mut weight = std::mem::take(&mut self.weight);
        let gain_done = self.evaluate_diagonal("control_matrix", at.control_matrix(), d, &mut gain, t);
        let weight_done = self.evaluate_diagonal("control_weight", at.control_weight(), self.control_dim, &mut weight, t);
        self.gain = gain;
        self.weight = weight;
        if !(gain_done? & weight_done?) {
            return Ok(false);
        }
        if let Some(k) = self.weight.iter().position(|&r| r <= 0.0) {
            let (component, node) = (k / n, k % n);
            return Err(HjbError::ControlWeight { component, value: self.weight[k], t, node, point: self.point(node) });
        }
        if let Some(k) = self.weight.iter().position(|&r| r < 1.0 / LARGEST) {
            return Err(self.too_large("control_weight", self.weight[k], t, k));
        }
        Ok(true)
    }

    /// Add G v to `drift` (d x n), v = `control` (m x n).
    pub fn add_control_drift(&self, control: &[f64], drift: &mut [f64]) {
        let (d, n, m) = (self.nodes.dim(), self.nodes.len(), self.control_dim);
        match &self.matrices {
            None => drift.iter_mut().zip(&self.gain).zip(control).for_each(|((mu, g), v)| *mu += g * v),
            Some(full) => {
                for (i, mu) in drift.chunks_exact_mut(n).enumerate().take(d) {
                    for k in 0..m {
                        let gain = &full.gain[(i * m + k) * n..][..n];
                        mu.iter_mut().zip(gain).zip(&control[k * n..]).for_each(|((mu, g), v)| *mu += g * v);
                    }
                }
            }
        }
    }

    /// a_ii and a_ij from sigma.
    fn evaluate_variance(&mut self, sigma: MatrixCoefficient<'_>, t: f64) -> Result<(), HjbError> {
        match sigma {
            MatrixCoefficient::Scaled(s) => {
                self.variance.fill(s * s);
                self.cross.iter_mut().for_each(|c| c.a.fill(0.0));
                self.check_size("diffusion", &[s], t)
            }
            MatrixCoefficient::Field(field) => {
                self.evaluate_products(field.as_ref());
                self.check_size("diffusion", &self.scratch, t)?;
                self.take_up_cross();
                Ok(())
            }
        }
    }

    /// The diagonal of a `rows` x m matrix; false when there is a non-zero entry off it.
    fn evaluate_diagonal(
        &mut self,
        name: &'static str,
        matrix: MatrixCoefficient<'_>,
        rows: usize,
        out: &mut [f64],
        t: f64,
    ) -> Result<bool, HjbError> {
        let (n, m) = (self.nodes.len(), self.control_dim);
        if m == 0 {
            return Ok(true);
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
                self.check_size(name, &out[..out.len().min(1)], t)?;
                Ok(true)
            }
            MatrixCoefficient::Field(field) => {
                let mut values = std::mem::take(&mut self.scratch);
                values.resize(rows * m * n, 0.0);
                for_chunks(&self.nodes, &mut values, rows * m, |x, block| field.eval(x, block));
                let checked = self.check_size(name, &values, t);
                let mut diagonal = true;
                for i in 0..rows {
                    for k in 0..m {
                        let entry = &values[(i * m + k) * n..][..n];
                        if i == k {
                            out[i * n..(i + 1) * n].copy_from_slice(entry);
                        } else {
                            diagonal &= entry.iter().all(|&v| v == 0.0);
                        }
                    }
                }
                self.scratch = values;
                checked?;
                Ok(diagonal)
            }
        }
    }

    /// [`NodeCoefficients::check_finite`], and name the first value too large for the linear systems.
    fn check_size(&self, coefficient: &'static str, values: &[f64], t: f64) -> Result<(), HjbError> {
        if values.iter().all(|v| v.abs() <= LARGEST) {
            return Ok(());
        }
        self.check_finite(coefficient, values, t)?;
        match values.iter().position(|v| v.abs() > LARGEST) {
            None => Ok(()),
            Some(k) => Err(self.too_large(coefficient, values[k], t, k)),
        }
    }

    fn too_large(&self, coefficient: &'static str, value: f64, t: f64, k: usize) -> HjbError {
        HjbError::TooLarge { coefficient, value, t, point: self.point(k % self.nodes.len()), limit: LARGEST }
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
pub(crate) fn for_chunks(nodes: &PointBlock, out: &mut [f64], components: usize, eval: impl Fn(Points<'_>, PointsMut<'_>)) {
    let n = nodes.len();
    let mut block = PointsMut::new(out, components);
    for start in (0..n).step_by(CHUNK) {
        let end = (start + CHUNK).min(n);
        eval(nodes.as_points().window(start..end), block.window(start..end));
    }
}

/// Lower and upper bounds per control component; infinite when free. For solvers that take no other control set and only a
/// quadratic cost.
pub(crate) fn control_bounds(model: &dyn ControlledDiffusion) -> Result<Vec<(f64, f64)>, HjbError> {
    let unsupported = |what: &str, allowed| HjbError::Unsupported { what: what.into(), t: 0.0, point: Vec::new(), allowed };
    if model.control_cost() == ControlCost::General && model.control_dim() > 0 {
        return Err(unsupported("a general control cost", "ControlCost::Quadratic (HjbSolver takes any)"));
    }
    if matches!(model.control_set(), ControlSet::Finite { .. }) {
        return Err(unsupported("a finite control set", "Free or Box (HjbSolver takes any)"));
    }
    Ok(Controls::new(model)?.bounds)
}
