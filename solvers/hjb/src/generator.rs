//! The generator of a diffusion on a tensor grid.
//!
//!   (L V)_j = sum_i [ lower_i (V_{j - e_i} - V_j) + upper_i (V_{j + e_i} - V_j) ]
//!
//! approximates mu.grad V + (1/2) sum_i a_ii V_ii. The diagonal is minus the sum of the rates, so rows sum to zero by
//! construction: constants stay constants. With non-negative rates L generates a continuous-time Markov chain on the
//! nodes, and its transpose moves the masses of the nodes: a mass-conserving Fokker-Planck operator.
//! Reference: H. J. Kushner, P. Dupuis, Numerical Methods for Stochastic Control Problems in Continuous Time (2001).

use crate::error::HjbError;
use crate::geometry::{Boundary, Geometry};
use crate::monotonicity::Monotonicity;
use crate::space::{Slope, SpaceScheme, choose};
use crate::stencil::StencilMatrix;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// Assembles generators on one grid with one scheme and boundary.
pub struct Generator {
    geometry: Arc<Geometry>,
    scheme: &'static dyn SpaceScheme,
    window: (Vec<f64>, Vec<f64>),
    matrix: StencilMatrix,
}

impl Generator {
    /// A generator on `grid`, zero until [`Generator::assemble`] is called.
    pub fn new(grid: Arc<TensorGrid>, scheme: &'static dyn SpaceScheme, boundary: Boundary) -> Self {
        let n = grid.len();
        let matrix = StencilMatrix::nearest_neighbour(grid.shape());
        let geometry = Arc::new(Geometry::new(grid, boundary));
        Generator { geometry, scheme, window: (vec![0.0; n], vec![0.0; n]), matrix }
    }

    /// Assemble for the drift mu and the diffusion coefficients a_ii, both d x n, coordinate by coordinate. O(d n).
    pub fn assemble(&mut self, drift: &[f64], variance: &[f64]) -> Result<&StencilMatrix, HjbError> {
        let (d, n) = (self.geometry.dim(), self.geometry.len());
        HjbError::check_shape("drift", drift.len(), d * n)?;
        HjbError::check_shape("variance", variance.len(), d * n)?;
        for i in 0..d {
            let (mu, a) = (&drift[i * n..][..n], &variance[i * n..][..n]);
            let (low, high) = (&mut self.window.0, &mut self.window.1);
            self.geometry.central_windows(self.scheme, i, a, low, high);
            let g = &self.geometry.axes[i];
            let (lower, upper) = self.matrix.pair_mut(i);
            for j in 0..n {
                let (down, up) = match choose(mu[j], low[j], high[j]) {
                    Slope::Central => (g.central_minus[j], g.central_plus[j]),
                    Slope::Upward => (0.0, g.inverse_plus[j]),
                    Slope::Downward => (g.inverse_minus[j], 0.0),
                };
                lower[j] = a[j] * g.diffusion_minus[j] - mu[j] * down;
                upper[j] = a[j] * g.diffusion_plus[j] + mu[j] * up;
            }
        }
        self.matrix.close_rows();
        Ok(&self.matrix)
    }

    /// The matrix last assembled.
    pub fn matrix(&self) -> &StencilMatrix {
        &self.matrix
    }

    /// Certificate for the matrix last assembled.
    pub fn monotonicity(&self) -> Monotonicity {
        let mut m = Monotonicity::default();
        m.inspect(&self.matrix, &self.geometry.grid.points(), None);
        m
    }
}
