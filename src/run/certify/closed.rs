//! The process under a given policy as a diffusion without control, and controls made of others.
//!
//! For a fixed policy v the value J(t, x) of following it solves the linear equation
//!
//!   J_t + (f + G v).grad J + (1/2) tr(sigma sigma' D^2 J) + l - c(v) - rho J = 0,   J(T) = g,
//!
//! and, for free controls with cost v'Rv/2 and the optimum v*, the loss e = V - J solves the same equation with the running reward
//! (1/2) (v - v*)'R(v - v*) and e(T) = 0: exact, from subtracting the two equations, since
//! (G v*).grad V = v*'R v* at the optimum.

use hjbridge_model::exact::ClosedForm;
use hjbridge_model::{
    Coefficients, ControlCost, ControlSet, ControlledDiffusion, Extrapolation, Feedback, Interpolation, MatrixCoefficient,
    PointBlock, Points, PointsMut, TableFeedback, TensorGrid, VectorField,
};
use std::sync::Arc;

/// What the process collects on its way.
#[derive(Clone, Copy)]
pub(super) enum Collected<'a> {
    /// The objective: l minus `sign` times the cost of the control (`sign` = -1 when costs are minimised), and g.
    Objective { sign: f64 },
    /// The loss against this optimal control; nothing at T.
    Excess { optimal: &'a dyn Feedback },
}

/// A controlled diffusion under a given control, itself without control.
pub(super) struct UnderPolicy<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub control: &'a dyn Feedback,
    pub collected: Collected<'a>,
}

struct AtTime<'a> {
    dim: usize,
    control_dim: usize,
    general: bool,
    set: ControlSet,
    inner: Box<dyn Coefficients + 'a>,
    control: Box<dyn VectorField + 'a>,
    sign: f64,
    optimal: Option<Box<dyn VectorField + 'a>>,
}

impl ControlledDiffusion for UnderPolicy<'_> {
    fn dim(&self) -> usize {
        self.model.dim()
    }
    fn control_dim(&self) -> usize {
        0
    }
    fn noise_dim(&self) -> usize {
        self.model.noise_dim()
    }
    fn horizon(&self) -> f64 {
        self.model.horizon()
    }
    fn discount(&self) -> f64 {
        self.model.discount()
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        let (sign, optimal) = match self.collected {
            Collected::Objective { sign } => (sign, None),
            Collected::Excess { optimal } => (1.0, Some(optimal.at(t))),
        };
        Box::new(AtTime {
            dim: self.model.dim(),
            control_dim: self.model.control_dim(),
            general: self.model.control_cost() == ControlCost::General,
            set: self.model.control_set(),
            inner: self.model.at(t),
            control: self.control.at(t),
            sign,
            optimal,
        })
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        match self.collected {
            Collected::Objective { .. } => self.model.terminal_reward(x, out),
            Collected::Excess { .. } => out.fill(0.0),
        }
    }
}

impl AtTime<'_> {
    /// The control, in the set of those allowed.
    fn control(&self, x: Points<'_>) -> PointBlock {
        let mut v = PointBlock::zeros(self.control_dim, x.len());
        self.control.eval(x, v.as_mut());
        match &self.set {
            ControlSet::Free => {}
            ControlSet::Box { lower, upper } => {
                for (k, (lo, hi)) in lower.iter().zip(upper).enumerate() {
                    v.as_mut().coord_mut(k).iter_mut().for_each(|v| *v = v.clamp(*lo, *hi));
                }
            }
            ControlSet::Finite { controls } => {
                let mut here = vec![0.0; self.control_dim];
                for j in 0..x.len() {
                    v.as_points().copy_point(j, &mut here);
                    let far = |c: &Vec<f64>| c.iter().zip(&here).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
                    if let Some(nearest) = controls.iter().min_by(|a, b| far(a).total_cmp(&far(b))) {
                        v.as_mut().set_point(j, nearest);
                    }
                }
            }
        }
        v
    }

    /// (1/2) w'Rw.
    fn quadratic(&self, x: Points<'_>, w: &PointBlock, out: &mut [f64]) {
        half_quadratic(&self.inner.control_weight(), x, w, out);
    }
}

/// (1/2) w'Rw at each point.
pub(super) fn half_quadratic(weight: &MatrixCoefficient<'_>, x: Points<'_>, w: &PointBlock, out: &mut [f64]) {
    let m = w.dim();
    out.fill(0.0);
    match weight {
        MatrixCoefficient::Scaled(r) => {
            for k in 0..m {
                out.iter_mut().zip(w.coord(k)).for_each(|(o, w)| *o += 0.5 * r * w * w);
            }
        }
        MatrixCoefficient::Field(field) => {
            let mut r = PointBlock::zeros(m * m, x.len());
            field.eval(x, r.as_mut());
            for a in 0..m {
                for b in 0..m {
                    let pairs = w.coord(a).iter().zip(w.coord(b)).zip(r.coord(a * m + b));
                    out.iter_mut().zip(pairs).for_each(|(o, ((wa, wb), r))| *o += 0.5 * r * wa * wb);
                }
            }
        }
    }
}

impl Coefficients for AtTime<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        self.inner.drift(x, out.reborrow());
        let (d, m, v) = (self.dim, self.control_dim, self.control(x));
        match self.inner.control_matrix() {
            MatrixCoefficient::Scaled(g) => {
                for i in 0..d {
                    out.coord_mut(i).iter_mut().zip(v.coord(i)).for_each(|(o, v)| *o += g * v);
                }
            }
            MatrixCoefficient::Field(field) => {
                let mut g = PointBlock::zeros(d * m, x.len());
                field.eval(x, g.as_mut());
                for i in 0..d {
                    for k in 0..m {
                        let pairs = g.coord(i * m + k).iter().zip(v.coord(k));
                        out.coord_mut(i).iter_mut().zip(pairs).for_each(|(o, (g, v))| *o += g * v);
                    }
                }
            }
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.inner.diffusion()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        MatrixCoefficient::Scaled(1.0)
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        let mut v = self.control(x);
        if let Some(optimal) = &self.optimal {
            let mut best = PointBlock::zeros(self.control_dim, x.len());
            optimal.eval(x, best.as_mut());
            v.data_mut().iter_mut().zip(best.data()).for_each(|(v, b)| *v -= b);
            return self.quadratic(x, &v, out);
        }
        let mut cost = vec![0.0; x.len()];
        match self.general {
            true => self.inner.control_cost(x, v.as_points(), &mut cost),
            false => self.quadratic(x, &v, &mut cost),
        }
        self.inner.running_reward(x, out);
        out.iter_mut().zip(&cost).for_each(|(l, c)| *l -= self.sign * c);
    }
    fn table_bytes(&self) -> usize {
        self.inner.table_bytes() + self.control.table_bytes()
    }
}

/// v = U - s: the policy of a fine-tuning problem as the change that its model knows as control.
pub(super) struct Change<'a> {
    pub policy: &'a dyn Feedback,
    pub score: &'a dyn Feedback,
}

struct ChangeAt<'a> {
    policy: Box<dyn VectorField + 'a>,
    score: Box<dyn VectorField + 'a>,
}

impl Feedback for Change<'_> {
    fn dim(&self) -> usize {
        self.policy.dim()
    }
    fn control_dim(&self) -> usize {
        self.policy.control_dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(ChangeAt { policy: self.policy.at(t), score: self.score.at(t) })
    }
}

impl VectorField for ChangeAt<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let mut s = PointBlock::zeros(x.dim(), x.len());
        self.score.eval(x, s.as_mut());
        self.policy.eval(x, out.reborrow());
        for i in 0..x.dim() {
            out.coord_mut(i).iter_mut().zip(s.coord(i)).for_each(|(u, s)| *u -= s);
        }
    }
    fn count_outside(&self, x: Points<'_>) -> usize {
        self.policy.count_outside(x)
    }
    fn table_bytes(&self) -> usize {
        self.policy.table_bytes() + self.score.table_bytes()
    }
}

/// U* of a closed form.
pub(super) struct ExactControl<'a>(pub &'a dyn ClosedForm);

struct ExactAt<'a>(Box<dyn hjbridge_model::exact::ClosedFormSlice + 'a>);

impl Feedback for ExactControl<'_> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn control_dim(&self) -> usize {
        self.0.dim()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(ExactAt(self.0.at(t)))
    }
}

impl VectorField for ExactAt<'_> {
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>) {
        self.0.control(x, out);
    }
}

/// Slices of a control on a grid, cubic splines in space and cubic in time through the four nearest times, which is more accurate
/// between stored times than the linear blend of a table.
pub(super) struct SmoothTable {
    pub grid: Arc<TensorGrid>,
    pub times: Vec<f64>,
    pub slices: Vec<Vec<f64>>,
    pub control_dim: usize,
}

struct OneSlice(Option<TableFeedback>);

impl Feedback for SmoothTable {
    fn dim(&self) -> usize {
        self.grid.dim()
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        let above = self.times.partition_point(|&s| s < t);
        let width = self.times.len().min(4);
        let first = above.saturating_sub(width / 2).min(self.times.len() - width);
        let near = &self.times[first..first + width];
        let mut slice = vec![0.0; self.slices[0].len()];
        for (i, s) in near.iter().enumerate() {
            let others = near.iter().enumerate().filter(|(j, _)| *j != i);
            let weight: f64 = others.map(|(_, r)| (t - r) / (s - r)).product();
            if weight != 0.0 {
                slice.iter_mut().zip(&self.slices[first + i]).for_each(|(o, u)| *o += weight * u);
            }
        }
        let (cubic, beyond) = (Interpolation::Cubic, Extrapolation::Linear);
        Box::new(OneSlice(TableFeedback::new(self.grid.clone(), vec![0.0], vec![slice], self.control_dim, cubic, beyond).ok()))
    }
}

impl VectorField for OneSlice {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        match &self.0 {
            Some(table) => table.at(0.0).eval(x, out),
            // not finite: the solvers and the simulation refuse it
            None => out.fill(f64::NAN),
        }
    }
    fn count_outside(&self, x: Points<'_>) -> usize {
        self.0.as_ref().map_or(0, |table| table.at(0.0).count_outside(x))
    }
}
