//! Lipschitz constants over a region of functions given at the nodes of a grid, by their cubic splines.

use crate::error::PiFtError;
use crate::symmetric::eigenvalue_range;
use hjbridge_model::{CubicSpline, PointBlock};

/// The region's nodes and a spline to refit.
pub(crate) struct Regularity {
    nodes: Vec<usize>,
    points: PointBlock,
    hessian: PointBlock,
    spline: CubicSpline,
}

impl Regularity {
    /// For the nodes listed, on the grid of `like`.
    pub(crate) fn new(nodes: Vec<usize>, like: &CubicSpline) -> Self {
        let grid = like.grid();
        let d = grid.dim();
        let mut points = PointBlock::zeros(d, nodes.len());
        let mut point = vec![0.0; d];
        for (j, &flat) in nodes.iter().enumerate() {
            grid.node(flat, &mut point);
            points.as_mut().set_point(j, &point);
        }
        let hessian = PointBlock::zeros(d * d, nodes.len());
        Regularity { nodes, points, hessian, spline: like.clone() }
    }

    /// Nodes of the whole grid.
    pub(crate) fn grid_nodes(&self) -> usize {
        self.spline.grid().len()
    }

    /// The region's nodes.
    pub(crate) fn nodes(&self) -> &[usize] {
        &self.nodes
    }

    /// sup of the Frobenius norm of the Jacobian of the components (one after the other in `values`).
    pub(crate) fn lipschitz(&mut self, values: &[f64]) -> Result<f64, PiFtError> {
        let grid_nodes = self.spline.grid().len();
        let d = self.points.dim();
        let mut squares = vec![0.0; self.nodes.len()];
        for component in values.chunks_exact(grid_nodes) {
            self.spline.set_values(component)?;
            for (square, &flat) in squares.iter_mut().zip(&self.nodes) {
                *square += (0..d).map(|axis| self.spline.node_slope(flat, axis).powi(2)).sum::<f64>();
            }
        }
        Ok(squares.iter().copied().fold(0.0, f64::max).sqrt())
    }

    /// sup of the size of the second derivative: the spectral norm for one component, the Frobenius norm over all entries for
    /// several (an upper bound).
    pub(crate) fn lipschitz_gradient(&mut self, values: &[f64]) -> Result<f64, PiFtError> {
        let grid_nodes = self.spline.grid().len();
        let d = self.points.dim();
        let single = values.len() == grid_nodes;
        let mut squares = vec![0.0; self.nodes.len()];
        let mut matrix = vec![0.0; d * d];
        for component in values.chunks_exact(grid_nodes) {
            self.spline.set_values(component)?;
            self.spline.hessian(self.points.as_points(), self.hessian.as_mut());
            for (j, square) in squares.iter_mut().enumerate() {
                self.hessian.as_points().copy_point(j, &mut matrix);
                *square += if single {
                    let (low, high) = eigenvalue_range(d, &matrix);
                    high.abs().max(low.abs()).powi(2)
                } else {
                    matrix.iter().map(|x| x * x).sum()
                };
            }
        }
        Ok(squares.iter().copied().fold(0.0, f64::max).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::{Axis, Extrapolation, TensorGrid};
    use std::sync::Arc;

    #[test]
    fn constants_of_a_quadratic_map() {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-1.0, 1.0, 9).unwrap(); 2]).unwrap());
        let at = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            let p = grid.points();
            (0..p.len()).map(|j| f(p.coord(0)[j], p.coord(1)[j])).collect()
        };
        // f = x^2 + 2 x y + y^2/2: Hessian [[2, 2], [2, 1]], largest eigenvalue (3 + sqrt 17)/2.
        let f = at(&|x, y| x * x + 2.0 * x * y + 0.5 * y * y);
        let g = at(&|x, y| 3.0 * x - y);
        let like = CubicSpline::new(grid.clone(), &f, Extrapolation::Clamp).unwrap();
        let mut all = Regularity::new((0..grid.len()).collect(), &like);
        // |grad f|^2 = (2x+2y)^2 + (2x+y)^2 = 16 + 9 at (1, 1).
        assert!((all.lipschitz(&f).unwrap() - 5.0).abs() < 1e-12);
        assert!((all.lipschitz_gradient(&f).unwrap() - (3.0 + 17f64.sqrt()) / 2.0).abs() < 1e-11);
        let both = [f, g].concat();
        assert!((all.lipschitz(&both).unwrap() - (25.0f64 + 10.0).sqrt()).abs() < 1e-12);
        assert!((all.lipschitz_gradient(&both).unwrap() - 13f64.sqrt()).abs() < 1e-11);
    }
}
