//! Refinement of an axis that keeps its nodes.

use crate::run::RunError;
use hjbridge_model::Axis;

/// The axis with every cell cut into `parts` equal ones.
pub(super) fn subdivided(axis: &Axis, parts: usize) -> Result<Axis, RunError> {
    let x = axis.nodes();
    if axis.spacing().is_some() {
        return Ok(Axis::uniform(axis.lower(), axis.upper(), parts * (x.len() - 1) + 1)?);
    }
    let mut nodes = Vec::with_capacity(parts * (x.len() - 1) + 1);
    for w in x.windows(2) {
        nodes.extend((0..parts).map(|i| w[0] + (w[1] - w[0]) * i as f64 / parts as f64));
    }
    nodes.push(axis.upper());
    Ok(Axis::from_nodes(nodes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_nodes_stay() {
        for axis in [Axis::uniform(-1.0, 2.0, 7).unwrap(), Axis::stretched(-1.0, 2.0, 7, 0.5, 3.0).unwrap()] {
            let fine = subdivided(&axis, 3).unwrap();
            assert_eq!(fine.len(), 19);
            for (i, x) in axis.nodes().iter().enumerate() {
                assert!((fine.nodes()[3 * i] - x).abs() < 1e-15);
            }
        }
    }
}
