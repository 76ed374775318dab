//! A real function on the nodes of a tensor grid, with its norms.

use super::region::Region;
use super::tensor::TensorGrid;
use crate::error::ModelError;
use std::sync::Arc;

/// One finite value per node, in the grid's flat order.
#[derive(Clone, Debug, PartialEq)]
pub struct GridFunction {
    grid: Arc<TensorGrid>,
    values: Vec<f64>,
}

impl GridFunction {
    /// The function with these values.
    ///
    /// # Errors
    /// Another number of values than the grid has nodes, or a value that is not finite.
    pub fn new(grid: Arc<TensorGrid>, values: Vec<f64>) -> Result<Self, ModelError> {
        check_values("values", &grid, &values)?;
        Ok(GridFunction { grid, values })
    }

    /// The values of a function of one point at the nodes.
    ///
    /// # Errors
    /// A value that is not finite.
    pub fn from_fn(grid: Arc<TensorGrid>, f: impl Fn(&[f64]) -> f64) -> Result<Self, ModelError> {
        let mut point = vec![0.0; grid.dim()];
        let at = |i: usize| {
            grid.node(i, &mut point);
            f(&point)
        };
        let values = (0..grid.len()).map(at).collect();
        GridFunction::new(grid, values)
    }

    /// The grid.
    pub fn grid(&self) -> &Arc<TensorGrid> {
        &self.grid
    }

    /// The values, in flat order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values without the grid.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    /// max |f| over the nodes in the region (all nodes for `None`).
    ///
    /// # Errors
    /// A region of another dimension or without a node.
    pub fn sup_norm(&self, region: Option<&Region>) -> Result<f64, ModelError> {
        self.sup(region, |i| self.values[i])
    }

    /// The root of the trapezoid sum of f^2 over the nodes in the region: a node on the region's face keeps the volume it
    /// has in the whole grid.
    ///
    /// # Errors
    /// A region of another dimension or without a node.
    pub fn l2_norm(&self, region: Option<&Region>) -> Result<f64, ModelError> {
        self.l2(region, |i| self.values[i])
    }

    /// max |f - g| over the nodes in the region.
    ///
    /// # Errors
    /// Different grids; a region of another dimension or without a node.
    pub fn sup_distance(&self, other: &GridFunction, region: Option<&Region>) -> Result<f64, ModelError> {
        self.check_same_grid(other)?;
        self.sup(region, |i| self.values[i] - other.values[i])
    }

    /// The L2 norm of f - g over the nodes in the region.
    ///
    /// # Errors
    /// Different grids; a region of another dimension or without a node.
    pub fn l2_distance(&self, other: &GridFunction, region: Option<&Region>) -> Result<f64, ModelError> {
        self.check_same_grid(other)?;
        self.l2(region, |i| self.values[i] - other.values[i])
    }

    /// The trapezoid sum of f over the nodes in the region, volumes as in [`GridFunction::l2_norm`].
    ///
    /// # Errors
    /// A region of another dimension or without a node.
    pub fn integral(&self, region: Option<&Region>) -> Result<f64, ModelError> {
        let volumes = self.grid.volumes();
        Ok(self.grid.region_nodes(region)?.map(|i| volumes[i] * self.values[i]).sum())
    }

    fn sup(&self, region: Option<&Region>, f: impl Fn(usize) -> f64) -> Result<f64, ModelError> {
        Ok(self.grid.region_nodes(region)?.map(|i| f(i).abs()).fold(0.0, f64::max))
    }

    fn l2(&self, region: Option<&Region>, f: impl Fn(usize) -> f64) -> Result<f64, ModelError> {
        let volumes = self.grid.volumes();
        Ok(self.grid.region_nodes(region)?.map(|i| volumes[i] * f(i) * f(i)).sum::<f64>().sqrt())
    }

    fn check_same_grid(&self, other: &GridFunction) -> Result<(), ModelError> {
        if Arc::ptr_eq(&self.grid, &other.grid) || self.grid.axes() == other.grid.axes() {
            return Ok(());
        }
        let value = format!("{:?} nodes", other.grid.shape());
        Err(ModelError::invalid("other.grid", value, format!("must be this function's grid, {:?} nodes", self.grid.shape())))
    }
}

/// One finite value per node, or an error that names the entry.
pub(super) fn check_values(field: &str, grid: &TensorGrid, values: &[f64]) -> Result<(), ModelError> {
    if values.len() != grid.len() {
        return Err(ModelError::Shape { field: field.into(), found: values.len(), expected: grid.len() });
    }
    check_finite(field, values)
}

/// Finite entries, or an error that names the first one that is not.
pub(super) fn check_finite(field: &str, values: &[f64]) -> Result<(), ModelError> {
    // 0 * v is NaN exactly when v is not finite; eight sums without early exit vectorise.
    let (chunks, rest) = values.as_chunks::<8>();
    let sums = chunks.iter().fold([0.0; 8], |s, c| std::array::from_fn(|q| s[q] + 0.0 * c[q]));
    if sums.iter().all(|&s| s == 0.0) && rest.iter().all(|v| v.is_finite()) {
        return Ok(());
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(ModelError::invalid(format!("{field}[{i}]"), values[i], "must be finite")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::axis::Axis;
    use super::*;

    fn grid() -> Arc<TensorGrid> {
        let (a, b) = (Axis::uniform(-1.0, 1.0, 201).unwrap(), Axis::stretched(0.0, 2.0, 301, 0.5, 3.0).unwrap());
        Arc::new(TensorGrid::new(vec![a, b]).unwrap())
    }

    #[test]
    fn norms_agree_with_the_integrals() {
        let grid = grid();
        let f = GridFunction::from_fn(grid.clone(), |p| (2.0 * p[0]).sin() * p[1]).unwrap();
        let g = GridFunction::from_fn(grid.clone(), |p| (2.0 * p[0]).sin() * p[1] - 0.5).unwrap();
        // int_{-1}^1 sin^2(2x) dx = 1 - sin(4)/4, int_0^2 y^2 dy = 8/3.
        let l2 = ((1.0 - 4.0_f64.sin() / 4.0) * 8.0 / 3.0).sqrt();
        assert!((f.l2_norm(None).unwrap() - l2).abs() < 3e-4);
        assert!((f.sup_norm(None).unwrap() - 2.0).abs() < 2.5e-4);
        assert!((f.sup_distance(&g, None).unwrap() - 0.5).abs() < 1e-15);
        assert!((f.l2_distance(&g, None).unwrap() - 0.5 * 4.0_f64.sqrt()).abs() < 1e-13);
        assert!((g.integral(None).unwrap() + 2.0).abs() < 1e-12);
        let slab = Region::new(vec![-0.1, 0.0], vec![0.1, 1.0]).unwrap();
        assert!((f.sup_norm(Some(&slab)).unwrap() - 0.2_f64.sin()).abs() < 0.01);
        assert!((f.l2_distance(&g, Some(&slab)).unwrap() - 0.5 * 0.2_f64.sqrt()).abs() < 0.01);
    }

    #[test]
    fn bad_values_regions_and_partners_are_refused() {
        let grid = grid();
        let mut values = vec![0.0; grid.len()];
        assert!(matches!(GridFunction::new(grid.clone(), vec![0.0; 3]), Err(ModelError::Shape { found: 3, .. })));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            values[17] = bad;
            let message = GridFunction::new(grid.clone(), values.clone()).unwrap_err().to_string();
            assert!(message.starts_with("values[17] = "), "{message}");
        }
        let f = GridFunction::from_fn(grid, |_| 1.0).unwrap();
        let outside = Region::new(vec![3.0, 0.0], vec![4.0, 1.0]).unwrap();
        assert!(f.sup_norm(Some(&outside)).unwrap_err().to_string().starts_with("region[0] = [3, 4]: "));
        let coarse = Arc::new(TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 5).unwrap(); 2]).unwrap());
        let g = GridFunction::from_fn(coarse, |_| 1.0).unwrap();
        assert!(f.sup_distance(&g, None).unwrap_err().to_string().starts_with("other.grid = "));
    }
}
