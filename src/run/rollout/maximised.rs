//! A controlled diffusion as the simulation takes it: always maximised, with a control and a horizon.
//!
//! E[ g + int (l + c) ] is minimised where E[ -g + int (-l - c) ] is maximised. A problem without control gets one that does
//! nothing. A problem without horizon ends at a chosen time and goes on with V from there,
//!   V(x) = E[ int_0^S e^{-rho t} (l - c) dt + e^{-rho S} V(X_S) ],
//! which holds for every S (dynamic programming).

use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, CubicSpline, FormulaDiffusion, MatrixCoefficient, Points,
    PointsMut, ScalarField,
};

/// The diffusion of a file as one to be maximised.
pub(crate) struct Maximised<'a> {
    pub model: &'a FormulaDiffusion,
    /// -1 when the file minimises.
    pub sign: f64,
    pub horizon: f64,
    /// V, in the file's sense, in place of the terminal reward.
    pub continuation: Option<CubicSpline>,
}

impl Maximised<'_> {
    fn idle(&self) -> bool {
        self.model.control_dim() == 0
    }
}

impl ControlledDiffusion for Maximised<'_> {
    fn dim(&self) -> usize {
        self.model.dim()
    }
    fn control_dim(&self) -> usize {
        if self.idle() { self.model.dim() } else { self.model.control_dim() }
    }
    fn noise_dim(&self) -> usize {
        self.model.noise_dim()
    }
    fn horizon(&self) -> f64 {
        self.horizon
    }
    fn discount(&self) -> f64 {
        self.model.discount()
    }
    fn control_set(&self) -> ControlSet {
        if self.idle() { ControlSet::Free } else { self.model.control_set() }
    }
    fn control_cost(&self) -> ControlCost {
        if self.idle() { ControlCost::Quadratic } else { self.model.control_cost() }
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(AtTime { inner: self.model.at(t), sign: self.sign, idle: self.idle() })
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        match &self.continuation {
            Some(value) => value.value(x, out),
            None => self.model.terminal_reward(x, out),
        }
        out.iter_mut().for_each(|g| *g *= self.sign);
    }
}

struct AtTime<'a> {
    inner: Box<dyn Coefficients + 'a>,
    sign: f64,
    idle: bool,
}

impl Coefficients for AtTime<'_> {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.inner.drift(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        if self.idle { MatrixCoefficient::Scaled(0.0) } else { self.inner.control_matrix() }
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.inner.diffusion()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        if self.idle { MatrixCoefficient::Scaled(0.0) } else { self.inner.control_weight() }
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        self.inner.control_cost(x, v, out);
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        self.inner.running_reward(x, out);
        out.iter_mut().for_each(|l| *l *= self.sign);
    }
    fn table_bytes(&self) -> usize {
        self.inner.table_bytes()
    }
}
