//! The generator of a diffusion on a tensor grid.
//!
//!   (L V)_j = sum_i [ lower_i (V_{j - e_i} - V_j) + upper_i (V_{j + e_i} - V_j) ]
//!
//! approximates mu.grad V + (1/2) sum_i a_ii V_ii; cross derivatives a_ij V_ij add rates to the nodes across corners. The diagonal is minus the sum of the rates, so rows sum to zero by
//! construction: constants stay constants. With non-negative rates L generates a continuous-time Markov chain on the
//! nodes, and its transpose moves the masses of the nodes: a mass-conserving Fokker-Planck operator.
//! Reference: H. J. Kushner, P. Dupuis, Numerical Methods for Stochastic Control Problems in Continuous Time (2001).

use crate::coefficients::CrossDiffusion;
use crate::error::HjbError;
use crate::faces::Faces;
use crate::geometry::Geometry;
use crate::monotonicity::Monotonicity;
use crate::space::SpaceScheme;
use crate::space::rates::SpaceRates;
use crate::stencil::StencilMatrix;
use hjbridge_model::grid::TensorGrid;
use std::sync::Arc;

/// Assembles generators on one grid with one scheme and one set of faces.
pub struct Generator {
    geometry: Geometry,
    rates: SpaceRates,
    matrix: StencilMatrix,
    pairs: Vec<(usize, usize)>,
}

impl Generator {
    /// A generator on `grid`, zero until [`Generator::assemble`] is called, without cross derivatives.
    pub fn new(grid: Arc<TensorGrid>, scheme: &'static dyn SpaceScheme, faces: impl Into<Faces>) -> Self {
        Generator::with_cross(grid, scheme, faces, &[])
    }

    /// The same with cross derivatives for these pairs of axes (i, j), i < j < d; other pairs are left out.
    pub fn with_cross(
        grid: Arc<TensorGrid>,
        scheme: &'static dyn SpaceScheme,
        faces: impl Into<Faces>,
        pairs: &[(usize, usize)],
    ) -> Self {
        let d = grid.dim();
        let known: Vec<(usize, usize)> = pairs.iter().copied().filter(|&(i, j)| i < j && j < d).collect();
        let geometry = Geometry::new(grid, faces.into());
        let rates = SpaceRates::new(&geometry, scheme, &known);
        let matrix = rates.pattern(&geometry);
        Generator { geometry, rates, matrix, pairs: known }
    }

    /// Make room for the cross derivatives of these pairs, all i < j < d; the matrix is zero until assembled.
    pub(crate) fn set_pairs(&mut self, pairs: Vec<(usize, usize)>) {
        self.rates.set_pairs(&self.geometry, &pairs);
        self.matrix = self.rates.pattern(&self.geometry);
        self.pairs = pairs;
    }

    /// Number of pairs with cross derivatives.
    pub(crate) fn pair_count(&self) -> usize {
        self.pairs.len()
    }

    /// Assemble for the drift mu and the diffusion coefficients a_ii, both d x n, coordinate by coordinate. O(d n).
    ///
    /// # Errors
    /// Wrong lengths; faces that do not fit the grid ([`Faces::validate`]); coefficients that differ between the ends of a
    /// periodic axis.
    pub fn assemble(&mut self, drift: &[f64], variance: &[f64]) -> Result<&StencilMatrix, HjbError> {
        self.assemble_terms(drift, variance, &[])
    }

    /// The same with cross terms: a_ij of the pairs given to [`Generator::with_cross`], n values each, one pair after the
    /// other.
    pub fn assemble_with_cross(&mut self, drift: &[f64], variance: &[f64], cross: &[f64]) -> Result<&StencilMatrix, HjbError> {
        let n = self.geometry.len();
        HjbError::check_shape("cross", cross.len(), self.pairs.len() * n)?;
        let terms = self.pairs.iter().zip(cross.chunks_exact(n));
        let terms: Vec<_> = terms.map(|(&axes, a)| CrossDiffusion { axes, a: a.to_vec() }).collect();
        self.assemble_terms(drift, variance, &terms)
    }

    /// The same with the cross terms of node coefficients; other pairs than those known are not read.
    pub(crate) fn assemble_terms(
        &mut self,
        drift: &[f64],
        variance: &[f64],
        cross: &[CrossDiffusion],
    ) -> Result<&StencilMatrix, HjbError> {
        let (d, n) = (self.geometry.dim(), self.geometry.len());
        HjbError::check_shape("drift", drift.len(), d * n)?;
        HjbError::check_shape("variance", variance.len(), d * n)?;
        self.geometry.faces.validate(&self.geometry.grid)?;
        self.geometry.check_periodic("drift", drift, 0.0)?;
        self.geometry.check_periodic("sigma sigma'", variance, 0.0)?;
        cross.iter().try_for_each(|c| self.geometry.check_periodic("sigma sigma'", &c.a, 0.0))?;
        self.rates.set(&self.geometry, variance, cross);
        for (i, (rates, g)) in self.rates.axes.iter().zip(&self.geometry.axes).enumerate() {
            let mu = &drift[i * n..][..n];
            let (lower, upper) = self.matrix.pair_mut(i);
            for j in 0..n {
                (lower[j], upper[j]) = rates.rates(g, j, mu[j], rates.slope(j, mu[j]));
            }
        }
        self.rates.complete(&self.geometry, &mut self.matrix);
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
