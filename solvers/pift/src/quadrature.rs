//! The noise of one step: the tensor Gauss-Hermite rule of the model crate with weights that sum to one.

use crate::error::PiFtError;
use hjbridge_model::{PointBlock, quadrature::standard_normal_rule};

/// Nodes x_q and weights w_q with E f(W) = sum_q w_q f(x_q), W standard normal in R^d; n^d points, exact for polynomials of
/// degree 2n-1 in each coordinate.
#[derive(Clone, Debug)]
pub struct NormalQuadrature {
    nodes: PointBlock,
    weights: Vec<f64>,
}

impl NormalQuadrature {
    /// The rule with `per_axis` nodes on each of `dim` axes.
    ///
    /// # Errors
    /// `Model` when there are no nodes or more than a million points in all.
    pub fn new(dim: usize, per_axis: usize) -> Result<Self, PiFtError> {
        let (nodes, mut weights) = standard_normal_rule(per_axis, dim)?;
        // They sum to one up to rounding; a constant must come back as itself.
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
        Ok(NormalQuadrature { nodes, weights })
    }

    /// The rule with the single point 0, for a step without noise.
    pub fn deterministic(dim: usize) -> Self {
        NormalQuadrature { nodes: PointBlock::zeros(dim, 1), weights: vec![1.0] }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is no point; never true for a rule that was constructed.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// w_q, positive.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Coordinate i of all x_q.
    pub fn coord(&self, i: usize) -> &[f64] {
        self.nodes.coord(i)
    }
}
