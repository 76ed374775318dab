//! Full control matrices on the nodes: G (d x m) and R (m x m), wherever they are not diagonal.

use crate::coefficients::{LARGEST, for_chunks};
use crate::error::HjbError;
use hjbridge_model::{Coefficients, MatrixCoefficient, PointBlock};

/// Asymmetry of R up to this fraction of its largest entry is rounding.
const ASYMMETRY: f64 = 1e-12;

/// G and R at all n nodes, entry (i, k) of a matrix with m columns at `(i m + k) n`.
#[derive(Clone, Debug)]
pub(crate) struct ControlMatrices {
    /// d and m.
    pub dim: usize,
    pub controls: usize,
    /// G, d x m x n.
    pub gain: Vec<f64>,
    /// R, m x m x n; empty when the cost is not quadratic.
    pub weight: Vec<f64>,
    /// Whether R must be positive definite.
    definite: bool,
}

impl ControlMatrices {
    /// Zero matrices; `quadratic` keeps R, `definite` asks for it to be positive definite.
    pub fn new(dim: usize, controls: usize, n: usize, quadratic: bool, definite: bool) -> Self {
        let weight = vec![0.0; if quadratic { controls * controls * n } else { 0 }];
        ControlMatrices { dim, controls, gain: vec![0.0; dim * controls * n], weight, definite }
    }

    /// Evaluate both at time t.
    pub fn evaluate(&mut self, nodes: &PointBlock, at: &dyn Coefficients, t: f64) -> Result<(), HjbError> {
        fill("control_matrix", at.control_matrix(), self.dim, self.controls, nodes, &mut self.gain, t)?;
        if !self.weight.is_empty() {
            fill("control_weight", at.control_weight(), self.controls, self.controls, nodes, &mut self.weight, t)?;
            self.check_weight(nodes, t)?;
        }
        Ok(())
    }

    /// R symmetric at each node and, when asked for, positive definite (by its Cholesky pivots). O(n m^3).
    fn check_weight(&self, nodes: &PointBlock, t: f64) -> Result<(), HjbError> {
        let (m, n) = (self.controls, nodes.len());
        let entry = |i: usize, k: usize, j: usize| self.weight[(i * m + k) * n + j];
        let mut factor = vec![0.0; m * m];
        for j in 0..n {
            let scale = (0..m).map(|i| entry(i, i, j).abs()).fold(0.0, f64::max);
            for i in 0..m {
                for k in 0..i {
                    if (entry(i, k, j) - entry(k, i, j)).abs() > ASYMMETRY * scale.max(entry(i, k, j).abs()) {
                        return Err(HjbError::ControlWeightAsymmetric {
                            row: i,
                            column: k,
                            value: entry(i, k, j),
                            mirror: entry(k, i, j),
                            t,
                            point: point(nodes, j),
                        });
                    }
                }
            }
            if !self.definite {
                continue;
            }
            for i in 0..m {
                for k in 0..=i {
                    let s: f64 = entry(i, k, j) - (0..k).map(|l| factor[i * m + l] * factor[k * m + l]).sum::<f64>();
                    if i != k {
                        factor[i * m + k] = s / factor[k * m + k];
                    } else if s > 1.0 / LARGEST {
                        factor[i * m + i] = s.sqrt();
                    } else if s > 0.0 {
                        return Err(out_of_range("control_weight", s, t, point(nodes, j)));
                    } else if i == 0 {
                        return Err(HjbError::ControlWeight { component: i, value: s, t, node: j, point: point(nodes, j) });
                    } else {
                        return Err(HjbError::ControlWeightIndefinite {
                            component: i,
                            pivot: s,
                            t,
                            node: j,
                            point: point(nodes, j),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

fn point(nodes: &PointBlock, j: usize) -> Vec<f64> {
    (0..nodes.dim()).map(|i| nodes.coord(i)[j]).collect()
}

/// The error for an entry that is not finite, or too large.
fn out_of_range(coefficient: &'static str, value: f64, t: f64, point: Vec<f64>) -> HjbError {
    match value.is_finite() {
        true => HjbError::TooLarge { coefficient, value, t, point, limit: LARGEST },
        false => HjbError::NonFinite { coefficient, value, t, point },
    }
}

/// A `rows` x m matrix on all nodes; `Scaled` stands for a multiple of the identity and needs a square matrix.
fn fill(
    name: &'static str,
    matrix: MatrixCoefficient<'_>,
    rows: usize,
    m: usize,
    nodes: &PointBlock,
    out: &mut [f64],
    t: f64,
) -> Result<(), HjbError> {
    let n = nodes.len();
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
            if c.is_nan() || c.abs() > LARGEST {
                return Err(out_of_range(name, c, t, point(nodes, 0)));
            }
            for (e, entry) in out.chunks_exact_mut(n).enumerate() {
                entry.fill(if e / m == e % m { c } else { 0.0 });
            }
        }
        MatrixCoefficient::Field(field) => {
            for_chunks(nodes, out, rows * m, |x, block| field.eval(x, block));
            if let Some(k) = out.iter().position(|v| v.is_nan() || v.abs() > LARGEST) {
                return Err(out_of_range(name, out[k], t, point(nodes, k % n)));
            }
        }
    }
    Ok(())
}
