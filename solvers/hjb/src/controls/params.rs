//! Parameters of the search for the best control at a node.

use crate::error::HjbError;
use serde::Serialize;

/// Most points of a lattice in all components together.
const MOST_POINTS: u64 = 1 << 20;

/// Parameters of the search over a bounded control set with a general cost (`controls/refined.rs`); finite sets and
/// quadratic costs need none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SearchParams {
    /// Points per component of the first lattice over the box, ends included; at least 3. `None`: 17 for one component, 9
    /// for two, 5 for three, 3 beyond. The peaks of the Hamiltonian in v must be wider than the spacing to be found.
    pub lattice: Option<usize>,
    /// Local maxima of the lattice that are refined at each node, the best first; between 1 and 16.
    pub starts: usize,
    /// A control is resolved to this fraction of the width of the box, in [1e-12, 0.1]. Maxima where the Hamiltonian is
    /// smooth in v are found far more accurately, and the value V depends on their error quadratically.
    pub resolution: f64,
    /// Largest number of rounds of one refinement, at least 1.
    pub max_rounds: usize,
}

impl Default for SearchParams {
    fn default() -> Self {
        SearchParams { lattice: None, starts: 4, resolution: 1e-7, max_rounds: 80 }
    }
}

impl SearchParams {
    /// Check the ranges given at the fields.
    pub fn validate(&self) -> Result<(), HjbError> {
        if let Some(points) = self.lattice.filter(|k| *k < 3) {
            return Err(HjbError::invalid("search.lattice", points, "at least 3 points per component"));
        }
        if !(1..=16).contains(&self.starts) {
            return Err(HjbError::invalid("search.starts", self.starts, "between 1 and 16"));
        }
        if !(1e-12..=0.1).contains(&self.resolution) {
            return Err(HjbError::invalid("search.resolution", self.resolution, "in [1e-12, 0.1]"));
        }
        if self.max_rounds == 0 {
            return Err(HjbError::invalid("search.max_rounds", self.max_rounds, "at least 1"));
        }
        Ok(())
    }

    /// Points per component for a control of m components.
    pub(crate) fn points(&self, m: usize) -> Result<usize, HjbError> {
        let points = self.lattice.unwrap_or(match m {
            0 | 1 => 17,
            2 => 9,
            3 => 5,
            _ => 3,
        });
        let total = (points as u64).checked_pow(m as u32).unwrap_or(u64::MAX);
        if total > MOST_POINTS {
            let value = format!("{points} for {m} components");
            return Err(HjbError::invalid("search.lattice", value, "at most 2^20 points in all"));
        }
        Ok(points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        assert!(SearchParams::default().validate().is_ok());
        let bad = [
            SearchParams { lattice: Some(2), ..Default::default() },
            SearchParams { starts: 0, ..Default::default() },
            SearchParams { resolution: 0.0, ..Default::default() },
            SearchParams { resolution: f64::NAN, ..Default::default() },
            SearchParams { max_rounds: 0, ..Default::default() },
        ];
        assert!(bad.iter().all(|p| matches!(p.validate(), Err(HjbError::Invalid { .. }))));
        assert_eq!(SearchParams::default().points(2).unwrap(), 9);
        assert!(SearchParams { lattice: Some(1025), ..Default::default() }.points(2).is_err());
        assert!(SearchParams::default().points(20).is_err());
    }
}
