//! Memory that a run takes, reckoned before it takes it. Peaks measured are below these numbers, by a factor of two at most on grids
//! that matter.

use crate::problem::{ProblemError, memory_available};
use hjbridge_model::TensorGrid;

/// Most bytes of time levels that a monotone solution keeps whole; above, 129 of them are kept.
pub(crate) const KEEP_ALL: usize = 1 << 30;

/// Bytes of time levels up to which the certificate sees all of them.
pub(crate) const CERTIFY_ALL: usize = 1 << 27;

/// Of the program itself, its threads and its pictures.
const BASE: f64 = 6e7;

/// The size of a problem on a grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Nodes.
    pub nodes: f64,
    /// Dimension of the state.
    pub dim: f64,
    /// Components of the control.
    pub controls: f64,
}

impl Size {
    /// Of a problem with `controls` components of the control on `grid`.
    pub fn of(grid: &TensorGrid, controls: usize) -> Self {
        Size { nodes: grid.len() as f64, dim: grid.dim() as f64, controls: controls as f64 }
    }

    /// Bytes of V and the control at one time.
    pub fn level(self) -> f64 {
        8.0 * self.nodes * (1.0 + self.controls)
    }

    /// Bytes of the control at one time.
    pub fn control(self) -> f64 {
        8.0 * self.nodes * self.controls
    }

    /// Bytes of a solver's own arrays: coefficients, stencils, policies, vectors. A sparse factorisation, which stationary problems
    /// in the plane take, has fill besides.
    pub fn work(self, factorised: bool) -> f64 {
        let fill = match self.dim as usize {
            0 | 1 => 0.0,
            2 => 128.0 * self.nodes * self.nodes.max(2.0).log2(),
            _ => 64.0 * self.nodes.powf(4.0 / 3.0),
        };
        BASE + 8.0 * self.nodes * (100.0 + 60.0 * self.dim) + if factorised { fill } else { 0.0 }
    }

    /// Levels that a monotone solution with `steps` steps keeps.
    pub fn kept(self, steps: usize) -> f64 {
        let all = steps as f64 + 1.0;
        if self.level() * all <= KEEP_ALL as f64 { all } else { all.min(129.0) }
    }

    /// Bytes of a solution with `levels` levels and its certificate.
    pub fn certified(self, levels: f64) -> f64 {
        // the certificate sees a copy of some levels, and solutions on the half and the quarter grid
        self.work(false) + self.level() * levels + 2.0 * (self.level() * levels).min(CERTIFY_ALL as f64)
    }

    /// Bytes of a solution with `levels` levels that keeps U and v, and of the table that the policy becomes.
    pub fn policy(self, levels: f64) -> f64 {
        self.work(false) + (self.level() + 2.0 * self.control()) * levels
    }
}

/// Refuse what takes more memory than there is.
///
/// # Errors
/// `bytes` are more than may be used; the message names `field` with its `value`.
pub(crate) fn require(field: &str, value: impl std::fmt::Display, bytes: f64) -> Result<(), ProblemError> {
    let have = memory_available();
    // a number that is not one is too much, too
    if bytes <= have {
        return Ok(());
    }
    let allowed = format!(
        "needs about {:.3} GB of memory; {:.3} GB may be used (--memory; fewer nodes or steps need less)",
        bytes / 1e9,
        have / 1e9
    );
    Err(ProblemError::invalid(field, value, allowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::Axis;

    #[test]
    fn levels_are_their_arrays() {
        let axis = |n| Axis::uniform(-1.0, 1.0, n).unwrap();
        let size = Size::of(&TensorGrid::new(vec![axis(11), axis(7)]).unwrap(), 3);
        let (value, control) = (vec![0.0_f64; 77], vec![0.0_f64; 3 * 77]);
        let bytes = size_of_val(value.as_slice()) + size_of_val(control.as_slice());
        assert_eq!((size.level(), size.control()), (bytes as f64, 8.0 * 231.0));
        // all levels while they fit, then 129
        assert_eq!(size.kept(1000), 1001.0);
        assert_eq!(size.kept(10_000_000), 129.0);
        let large = Size { nodes: 1e8, ..size };
        assert_eq!((large.kept(50), large.kept(1000)), (51.0, 129.0));
    }
}
