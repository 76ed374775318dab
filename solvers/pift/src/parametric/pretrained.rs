//! The policy that changes nothing.

use super::policy::{Adjoint, Policy, StateAt};
use hjbridge_model::{Points, PointsMut};

/// g = 0: the pre-trained model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pretrained {
    /// d.
    pub dim: usize,
    /// N.
    pub steps: usize,
}

impl Policy for Pretrained {
    fn dim(&self) -> usize {
        self.dim
    }
    fn steps(&self) -> usize {
        self.steps
    }
    fn costate(&self, _at: StateAt<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
    }
    fn parameters(&self) -> &[f64] {
        &[]
    }
    fn parameters_mut(&mut self) -> &mut [f64] {
        &mut []
    }
    fn backward(&self, _at: StateAt<'_>, _p: Points<'_>, _adjoint: Option<Adjoint<'_>>, _gradient: Option<&mut [f64]>) {}
}
