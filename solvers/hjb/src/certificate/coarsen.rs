//! Grids of half as many cells, for Richardson's estimate.
//!
//! An axis with an odd number of nodes keeps every second one: the grids are nested. An even one of n nodes has no such
//! subset; it is replaced by one of n/2 nodes with the same ends and the same stretching (the map from the node's number to
//! its place is interpolated), (n-1)/(n/2-1) times as coarse, and values are compared by interpolation.

use crate::error::HjbError;
use hjbridge_model::grid::{Axis, MIN_NODES, TensorGrid};
use std::sync::Arc;

/// A coarser grid on the same box.
#[derive(Clone, Debug)]
pub struct CoarseGrid {
    /// The grid.
    pub grid: Arc<TensorGrid>,
    /// Least ratio of the spacings over the axes, at least 2.
    pub ratio: f64,
    /// Whether all its nodes are nodes of the finer grid.
    pub nested: bool,
}

/// The grid with half as many cells along each axis.
///
/// # Errors
/// An axis with fewer than 9 nodes (an even one: fewer than 10), half of which are too few for a grid.
pub fn coarsen(grid: &TensorGrid) -> Result<CoarseGrid, HjbError> {
    let (mut axes, mut ratio, mut nested) = (Vec::with_capacity(grid.dim()), f64::INFINITY, true);
    for (a, axis) in grid.axes().iter().enumerate() {
        let (x, n) = (axis.nodes(), axis.len());
        let count = n.div_ceil(2);
        if count < MIN_NODES {
            let allowed = format!("at least {} to be halved", 2 * MIN_NODES - 1);
            return Err(HjbError::invalid(&format!("grid.axes[{a}].nodes"), n, &allowed));
        }
        if n % 2 == 1 {
            ratio = ratio.min(2.0);
            axes.push(Axis::from_nodes(x.iter().step_by(2).copied().collect())?);
            continue;
        }
        nested = false;
        ratio = ratio.min((n - 1) as f64 / (count - 1) as f64);
        axes.push(match axis.spacing() {
            Some(_) => Axis::uniform(axis.lower(), axis.upper(), count)?,
            None => {
                let place = |i: usize| i as f64 * (n - 1) as f64 / (count - 1) as f64;
                let smooth: Vec<f64> = (0..count).map(|i| cubic(x, place(i))).collect();
                if smooth.windows(2).all(|w| w[0] < w[1]) {
                    Axis::from_nodes(smooth)?
                } else {
                    Axis::from_nodes((0..count).map(|i| linear(x, place(i))).collect())?
                }
            }
        });
    }
    Ok(CoarseGrid { grid: Arc::new(TensorGrid::new(axes)?), ratio, nested })
}

/// The cubic through the four nodes around the place `s` (counted in nodes); exact at both ends.
fn cubic(x: &[f64], s: f64) -> f64 {
    let start = (s as usize).saturating_sub(1).min(x.len() - 4);
    (start..start + 4)
        .map(|a| {
            let others = (start..start + 4).filter(|b| *b != a);
            x[a] * others.map(|b| (s - b as f64) / (a as f64 - b as f64)).product::<f64>()
        })
        .sum()
}

fn linear(x: &[f64], s: f64) -> f64 {
    let k = (s as usize).min(x.len() - 2);
    let w = s - k as f64;
    (1.0 - w) * x[k] + w * x[k + 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_axes_are_nested_and_even_ones_keep_box_and_stretching() {
        let odd = Axis::stretched(-2.0, 3.0, 41, 0.3, 4.0).unwrap();
        let even = Axis::stretched(-2.0, 3.0, 40, 0.3, 4.0).unwrap();
        let c = coarsen(&TensorGrid::new(vec![odd.clone()]).unwrap()).unwrap();
        assert!(c.nested && c.ratio == 2.0 && c.grid.axis(0).len() == 21);
        assert!(c.grid.axis(0).nodes().iter().zip(odd.nodes().iter().step_by(2)).all(|(a, b)| a == b));
        let c = coarsen(&TensorGrid::new(vec![odd, even]).unwrap()).unwrap();
        assert!(!c.nested && c.ratio == 2.0 && c.grid.shape() == [21, 20]);
        let direct = Axis::stretched(-2.0, 3.0, 20, 0.3, 4.0).unwrap();
        let gap = c.grid.axis(1).nodes().iter().zip(direct.nodes()).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
        assert!(gap < 1e-3, "{gap}");
        assert_eq!((c.grid.axis(1).lower(), c.grid.axis(1).upper()), (-2.0, 3.0));
        let short = TensorGrid::new(vec![Axis::uniform(0.0, 1.0, 8).unwrap()]).unwrap();
        assert!(coarsen(&short).unwrap_err().to_string().starts_with("grid.axes[0].nodes = 8"));
    }
}
