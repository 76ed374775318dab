//! Parameters of the PI-FT time loop.

use crate::bellman::BellmanKind;
use crate::error::PiFtError;
use crate::expectation::Expectation;
use crate::inner::{Inner, InnerRule};
use crate::quadrature::NormalQuadrature;
use hjbridge_model::{Extrapolation, Region};
use serde::{Deserialize, Serialize};

/// Which slices a solution keeps. V_N and step 0 are always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// All k = 0..N.
    #[default]
    All,
    /// Every n-th k.
    Every(usize),
    /// k = 0 and k = N only.
    Ends,
}

impl Storage {
    /// Whether step k of N is kept.
    pub fn keeps(self, k: usize, steps: usize) -> bool {
        k == 0
            || k == steps
            || match self {
                Storage::All => true,
                Storage::Every(n) => k.is_multiple_of(n),
                Storage::Ends => false,
            }
    }
}

/// Parameters of [`PiFt`](crate::PiFt).
#[derive(Clone, Debug, PartialEq)]
pub struct PiFtParams {
    /// Gauss-Hermite nodes per axis; `None` chooses them by an error estimate, see [`Expectation`].
    pub quadrature_nodes: Option<usize>,
    /// Where the expectation over the noise is taken.
    pub expectation: Expectation,
    /// The one-step problem.
    pub bellman: BellmanKind,
    /// The inner iteration (not used by the soft step).
    pub inner: Inner,
    /// When the inner iteration ends.
    pub rule: InnerRule,
    /// Continuation of V_{k+1} outside the box. Quadratic is exact for linear-quadratic problems and right for linear and
    /// quadratic rewards; take linear or clamp for rewards that flatten out.
    pub extrapolation: Extrapolation,
    /// Box on which norms, rho and contraction are reported; `None` is the whole grid.
    pub region: Option<Region>,
    /// Record every inner iterate with its Lipschitz constants, and the bounds handed down. Costs d + 2 spline fits per iterate
    /// and a few per step.
    pub track: bool,
    /// Slices kept by `solve`.
    pub storage: Storage,
    /// 1: the calling thread; 0: rayon's global pool; n: a pool of n threads. Results do not depend on it.
    pub threads: usize,
}

impl Default for PiFtParams {
    fn default() -> Self {
        PiFtParams {
            quadrature_nodes: None,
            expectation: Expectation::default(),
            bellman: BellmanKind::default(),
            inner: Inner::default(),
            rule: InnerRule::default(),
            extrapolation: Extrapolation::Quadratic,
            region: None,
            track: false,
            storage: Storage::default(),
            threads: 0,
        }
    }
}

impl PiFtParams {
    /// Check everything that does not need a grid.
    ///
    /// # Errors
    /// `Invalid`, naming the field.
    pub fn check(&self, dim: usize) -> Result<(), PiFtError> {
        self.rule.check()?;
        if self.storage == Storage::Every(0) {
            return Err(PiFtError::invalid("storage.every", 0, "at least 1"));
        }
        if let Some(region) = &self.region
            && region.dim() != dim
        {
            return Err(PiFtError::invalid("region.dim", region.dim(), format!("{dim}, the dimension of the grid")));
        }
        match (self.quadrature_nodes, self.expectation) {
            (None, _) => Ok(()),
            (Some(n), Expectation::OnGrid) => NormalQuadrature::new(1, n).map(|_| ()),
            (Some(n), Expectation::AtPoints) => NormalQuadrature::new(dim, n).map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked_by_name() {
        let message = |params: PiFtParams| params.check(1).unwrap_err().to_string();
        assert!(PiFtParams::default().check(2).is_ok());
        let rule = InnerRule::Tolerance { tol: f64::NAN, max: 3 };
        assert!(message(PiFtParams { rule, ..Default::default() }).starts_with("rule.tolerance.tol = NaN"));
        let rule = InnerRule::Tolerance { tol: 1e-8, max: 0 };
        assert!(message(PiFtParams { rule, ..Default::default() }).starts_with("rule.tolerance.max = 0"));
        assert!(message(PiFtParams { storage: Storage::Every(0), ..Default::default() }).starts_with("storage.every = 0"));
        let region = Region::cube(2, 1.0).ok();
        assert!(message(PiFtParams { region, ..Default::default() }).starts_with("region.dim = 2"));
        let none = PiFtParams { quadrature_nodes: Some(0), ..Default::default() };
        assert!(message(none).starts_with("quadrature nodes = 0"));
    }

    #[test]
    fn storage_keeps_both_ends() {
        let kept = |s: Storage| (0..=10).filter(|&k| s.keeps(k, 10)).collect::<Vec<_>>();
        assert_eq!(kept(Storage::All).len(), 11);
        assert_eq!(kept(Storage::Every(4)), [0, 4, 8, 10]);
        assert_eq!(kept(Storage::Ends), [0, 10]);
    }
}
