//! Parametrised policies: what training needs of them.
//!
//! A policy gives for every step k the costate g_k(y), a model of E[grad V_{k+1}(Y_{k+1}) | Y_k = y]; the shift of the kernel
//! mean is D_k = lam_k g_k with lam_k = sig_k^2/beta_k, the control U_k = s_k + D_k sqrt(a_k)/(1-a_k). In this form a step without
//! noise (lam = 0) needs no exception, and the parameters of all steps have the same size.

use super::ParametricError;
use super::regression::Design;
use hjbridge_model::{PointBlock, Points, PointsMut};
use serde::{Deserialize, Serialize};

/// What a policy sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyInput {
    /// The state y.
    #[default]
    State,
    /// The state and its pre-trained score (y, s_k(y)): twice the inputs, at no further evaluation, and the score knows where
    /// the modes of the data are.
    StateAndScore,
}

impl PolicyInput {
    /// D, the number of inputs in dimension `dim`.
    pub fn len(self, dim: usize) -> usize {
        match self {
            PolicyInput::State => dim,
            PolicyInput::StateAndScore => 2 * dim,
        }
    }
}

/// States of step k with their pre-trained scores.
#[derive(Clone, Copy, Debug)]
pub struct StateAt<'a> {
    /// k.
    pub step: usize,
    /// y.
    pub y: Points<'a>,
    /// s_k(y).
    pub score: Points<'a>,
}

/// Where [`Policy::backward`] adds Dg' p.
#[derive(Debug)]
pub struct Adjoint<'a> {
    /// Derivative in y at fixed score.
    pub y: PointsMut<'a>,
    /// Derivative in the score.
    pub score: PointsMut<'a>,
}

/// A family of costates g_k(y; theta).
pub trait Policy: Send + Sync {
    /// d.
    fn dim(&self) -> usize;

    /// N, the number of steps it knows.
    fn steps(&self) -> usize;

    /// Write g_k.
    fn costate(&self, at: StateAt<'_>, out: PointsMut<'_>);

    /// theta.
    fn parameters(&self) -> &[f64];

    /// theta, to be changed.
    fn parameters_mut(&mut self) -> &mut [f64];

    /// With p (d coordinates): add (dg_k/dy)' p to the adjoint, and sum_j (dg_k/dtheta)' p_j to `gradient`, where they are asked
    /// for.
    fn backward(&self, at: StateAt<'_>, p: Points<'_>, adjoint: Option<Adjoint<'_>>, gradient: Option<&mut [f64]>);

    /// Whether its parts fit together; those of a policy read from a file may not.
    ///
    /// # Errors
    /// `Invalid`, naming what does not fit.
    fn check(&self) -> Result<(), ParametricError> {
        Ok(())
    }

    /// For a policy linear in theta: the change of theta by which step k fits `targets` (d coordinates) at the given states best
    /// in least squares, written into its part of `direction`; the fraction of the largest singular value that is added as a
    /// ridge is `ridge`. `None` for a policy that is not linear.
    fn fit(
        &self,
        _at: StateAt<'_>,
        _targets: &PointBlock,
        _ridge: f64,
        _direction: &mut [f64],
    ) -> Option<Result<(), ParametricError>> {
        None
    }
}

/// Shift and scale of each input at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Standardisation {
    pub input: PolicyInput,
    dim: usize,
    /// Step after step, D centres each.
    center: Vec<f64>,
    /// 1 over the deviation.
    inverse: Vec<f64>,
}

impl Standardisation {
    /// Means and deviations over sampled states, `sample[k]` and their scores; a coordinate that does not vary is not scaled.
    pub(crate) fn new(input: PolicyInput, dim: usize, sample: &[(PointBlock, PointBlock)]) -> Self {
        let (mut center, mut inverse) = (Vec::new(), Vec::new());
        for (y, s) in sample {
            let score = if input == PolicyInput::StateAndScore { dim } else { 0 };
            for x in (0..dim).map(|i| y.coord(i)).chain((0..score).map(|i| s.coord(i))) {
                let n = x.len() as f64;
                let mean = x.iter().sum::<f64>() / n;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                center.push(mean);
                inverse.push(if variance > 1e-20 * (1.0 + mean * mean) { 1.0 / variance.sqrt() } else { 1.0 });
            }
        }
        Standardisation { input, dim, center, inverse }
    }

    /// Whether there is a centre and a scale for each input at each step.
    pub(crate) fn is_sound(&self, dim: usize, steps: usize) -> bool {
        let size = steps.saturating_mul(self.input.len(dim));
        self.dim == dim && size == self.center.len() && size == self.inverse.len()
    }

    /// D.
    pub(crate) fn inputs(&self) -> usize {
        self.input.len(self.dim)
    }

    /// Write the standardised inputs into the first D coordinates of `out`.
    pub(crate) fn apply(&self, at: StateAt<'_>, out: &mut PointsMut<'_>) {
        let from = at.step * self.inputs();
        for i in 0..self.inputs() {
            let x = if i < self.dim { at.y.coord(i) } else { at.score.coord(i - self.dim) };
            let (c, r) = (self.center[from + i], self.inverse[from + i]);
            for (o, x) in out.coord_mut(i).iter_mut().zip(x) {
                *o = (x - c) * r;
            }
        }
    }

    /// Add to the adjoint what `x` is with respect to the standardised inputs.
    pub(crate) fn back(&self, step: usize, x: Points<'_>, adjoint: &mut Adjoint<'_>) {
        let from = step * self.inputs();
        for i in 0..self.inputs() {
            let out = if i < self.dim { adjoint.y.coord_mut(i) } else { adjoint.score.coord_mut(i - self.dim) };
            let r = self.inverse[from + i];
            for (o, x) in out.iter_mut().zip(x.coord(i)) {
                *o += r * x;
            }
        }
    }
}

/// Most parameters of a policy; training holds some twenty vectors of this length.
const MOST_PARAMETERS: usize = 1 << 24;

/// Check a number of parameters; none stands for one that overflows. `value` of `field` is to blame.
pub(crate) fn check_size(parameters: Option<usize>, field: &str, value: impl std::fmt::Display) -> Result<(), ParametricError> {
    if parameters.is_some_and(|n| n <= MOST_PARAMETERS) {
        return Ok(());
    }
    let found = parameters.map_or("more".to_owned(), |n| n.to_string());
    Err(ParametricError::invalid(field, value, format!("at most {MOST_PARAMETERS} parameters, there would be {found}")))
}

/// Check what a policy read from a file holds.
pub(crate) fn check_part(sound: bool, what: &str, length: usize) -> Result<(), ParametricError> {
    if sound {
        return Ok(());
    }
    Err(ParametricError::invalid(what, format!("{length} entries"), "as the other parts of the policy have it"))
}

/// Least squares of targets on rows of features, as a change of `theta`.
pub(crate) fn fit_change(design: &Design, targets: &PointBlock, theta: &[f64], direction: &mut [f64]) {
    let fitted = design.solve(targets);
    for ((d, new), old) in direction.iter_mut().zip(&fitted).zip(theta) {
        *d = new - old;
    }
}
