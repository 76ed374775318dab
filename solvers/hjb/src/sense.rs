//! Maximise or minimise.
//!
//! The solvers maximise E[ g + int ( l - c(v) ) dt ]. With [`Sense::Minimise`] the same model is read as a cost: its
//! terminal and running "rewards" g, l are costs and E[ g + int ( l + c(v) ) dt ] is minimised; the value, wherever it is
//! reported, is that least cost. Inside, the negative of the cost is maximised, so both senses share every line of code.

use hjbridge_model::{Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, Points, PointsMut};
use serde::Serialize;

/// Whether the functional of the model is maximised or minimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Sense {
    /// Maximise E[ g + int ( l - c(v) ) dt ].
    #[default]
    Maximise,
    /// Minimise E[ g + int ( l + c(v) ) dt ].
    Minimise,
}

impl Sense {
    /// One value of the user's in the sign of the maximisation, or back.
    pub(crate) fn oriented(self, value: f64) -> f64 {
        if self == Sense::Minimise { -value } else { value }
    }

    /// Turn values of the maximisation into the user's sign, or back, in place.
    pub(crate) fn orient(self, values: &mut [f64]) {
        if self == Sense::Minimise {
            values.iter_mut().for_each(|v| *v = -*v);
        }
    }
}

/// A model whose functional is to be maximised, whatever the user's sense.
pub(crate) struct Oriented<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub sense: Sense,
}

struct OrientedAt<'a> {
    at: Box<dyn Coefficients + 'a>,
    sense: Sense,
}

impl Coefficients for OrientedAt<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.at.drift(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        self.at.control_matrix()
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.at.diffusion()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.at.control_weight()
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        // a cost whichever way the functional goes
        self.at.control_cost(x, v, out);
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.at.running_reward(x, out);
        self.sense.orient(out);
    }
}

impl ControlledDiffusion for Oriented<'_> {
    fn dim(&self) -> usize {
        self.model.dim()
    }
    fn control_dim(&self) -> usize {
        self.model.control_dim()
    }
    fn noise_dim(&self) -> usize {
        self.model.noise_dim()
    }
    fn horizon(&self) -> f64 {
        self.model.horizon()
    }
    fn control_set(&self) -> ControlSet {
        self.model.control_set()
    }
    fn control_cost(&self) -> ControlCost {
        self.model.control_cost()
    }
    fn discount(&self) -> f64 {
        self.model.discount()
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(OrientedAt { at: self.model.at(t), sense: self.sense })
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.model.terminal_reward(x, out);
        self.sense.orient(out);
    }
}
