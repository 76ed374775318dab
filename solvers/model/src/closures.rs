//! Controlled diffusions from closures over one point.
//!
//! Each closure is called once for each point. Code that is called very often (a rollout of many paths) gains by writing blocks:
//! implement [`ControlledDiffusion`] by hand, or write formulas ([`crate::FormulaDiffusion`]), which are evaluated in blocks.

use crate::diffusion::{Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, check_controls};
use crate::error::ModelError;
use crate::field::VectorField;
use crate::points::{Points, PointsMut};

/// (t, x) to a vector or, row by row, a matrix.
type Write = Box<dyn Fn(f64, &[f64], &mut [f64]) + Send + Sync>;
/// (t, x) to a number.
type Number = Box<dyn Fn(f64, &[f64]) -> f64 + Send + Sync>;
/// (t, x, v) to a number.
type Cost = Box<dyn Fn(f64, &[f64], &[f64]) -> f64 + Send + Sync>;

enum Matrix {
    /// A multiple of the identity.
    Scaled(f64),
    /// Entries row by row, with the number of columns.
    Entries(usize, Write),
}

impl Matrix {
    fn columns(&self, dim: usize) -> usize {
        match self {
            Matrix::Scaled(_) => dim,
            Matrix::Entries(columns, _) => *columns,
        }
    }

    fn at(&self, t: f64, rows: usize) -> MatrixCoefficient<'_> {
        match self {
            Matrix::Scaled(c) => MatrixCoefficient::Scaled(*c),
            Matrix::Entries(columns, f) => MatrixCoefficient::Field(Box::new(EntriesAt { t, f, length: rows * columns })),
        }
    }
}

struct EntriesAt<'a> {
    t: f64,
    f: &'a Write,
    length: usize,
}

impl VectorField for EntriesAt<'_> {
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>) {
        write(self.f, self.t, self.length, x, out);
    }
}

fn write(f: &Write, t: f64, length: usize, x: Points<'_>, mut out: PointsMut<'_>) {
    let (mut point, mut value) = (vec![0.0; x.dim()], vec![0.0; length]);
    for j in 0..x.len() {
        x.copy_point(j, &mut point);
        f(t, &point, &mut value);
        out.set_point(j, &value);
    }
}

fn numbers(f: Option<&Number>, t: f64, x: Points<'_>, out: &mut [f64]) {
    let Some(f) = f else { return out.fill(0.0) };
    let mut point = vec![0.0; x.dim()];
    for (j, o) in out.iter_mut().enumerate() {
        x.copy_point(j, &mut point);
        *o = f(t, &point);
    }
}

/// A [`ControlledDiffusion`] from closures; made by [`ClosureDiffusion::builder`].
pub struct ClosureDiffusion {
    parts: ClosureDiffusionBuilder,
}

/// Builds a [`ClosureDiffusion`].
///
/// Defaults: no drift; the control enters every coordinate (G = I), is free and costs |v|^2/2; sigma = I; no rewards, no
/// discount; T = 1.
///
/// ```
/// use hjbridge_model::{ClosureDiffusion, ControlledDiffusion};
/// let kappa = 5.0;
/// let double_well = ClosureDiffusion::builder(1)
///     .drift(move |_t, x, f| f[0] = -4.0 * kappa * x[0] * (x[0] * x[0] - 1.0))
///     .terminal(|x| 3.0 * (x[0] * x[0] - 1.0).powi(2))
///     .build()?;
/// assert_eq!((double_well.dim(), double_well.control_dim(), double_well.horizon()), (1, 1, 1.0));
/// # Ok::<(), hjbridge_model::ModelError>(())
/// ```
#[must_use]
pub struct ClosureDiffusionBuilder {
    dim: usize,
    drift: Option<Write>,
    control_matrix: Matrix,
    diffusion: Matrix,
    weight: Matrix,
    cost: Option<Cost>,
    running: Option<Number>,
    terminal: Option<Number>,
    /// None: there is no control.
    controls: Option<ControlSet>,
    horizon: f64,
    discount: f64,
}

impl ClosureDiffusion {
    /// A builder for a state in R^`dim`.
    pub fn builder(dim: usize) -> ClosureDiffusionBuilder {
        ClosureDiffusionBuilder {
            dim,
            drift: None,
            control_matrix: Matrix::Scaled(1.0),
            diffusion: Matrix::Scaled(1.0),
            weight: Matrix::Scaled(1.0),
            cost: None,
            running: None,
            terminal: None,
            controls: Some(ControlSet::Free),
            horizon: 1.0,
            discount: 0.0,
        }
    }
}

impl ClosureDiffusionBuilder {
    /// f: writes the drift at (t, x), d entries.
    pub fn drift(mut self, f: impl Fn(f64, &[f64], &mut [f64]) + Send + Sync + 'static) -> Self {
        self.drift = Some(Box::new(f));
        self
    }

    /// G = `scale` I.
    pub fn control_scale(mut self, scale: f64) -> Self {
        self.control_matrix = Matrix::Scaled(scale);
        self
    }

    /// G for a control of `columns` entries: writes d x `columns` entries row by row.
    pub fn control_matrix(mut self, columns: usize, g: impl Fn(f64, &[f64], &mut [f64]) + Send + Sync + 'static) -> Self {
        self.control_matrix = Matrix::Entries(columns, Box::new(g));
        self
    }

    /// sigma = `scale` I.
    pub fn diffusion_scale(mut self, scale: f64) -> Self {
        self.diffusion = Matrix::Scaled(scale);
        self
    }

    /// sigma for a noise of `columns` entries: writes d x `columns` entries row by row.
    pub fn diffusion(mut self, columns: usize, sigma: impl Fn(f64, &[f64], &mut [f64]) + Send + Sync + 'static) -> Self {
        self.diffusion = Matrix::Entries(columns, Box::new(sigma));
        self
    }

    /// R = `weight` I of the control's cost v'Rv/2.
    pub fn control_weight(mut self, weight: f64) -> Self {
        self.weight = Matrix::Scaled(weight);
        self
    }

    /// c(t, x, v), the control's cost in place of v'Rv/2; the set of controls must be bounded.
    pub fn control_cost(mut self, c: impl Fn(f64, &[f64], &[f64]) -> f64 + Send + Sync + 'static) -> Self {
        self.cost = Some(Box::new(c));
        self
    }

    /// l(t, x), the running reward (cost, when minimised).
    pub fn running(mut self, l: impl Fn(f64, &[f64]) -> f64 + Send + Sync + 'static) -> Self {
        self.running = Some(Box::new(l));
        self
    }

    /// g(x), the terminal reward (cost, when minimised).
    pub fn terminal(mut self, g: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> Self {
        self.terminal = Some(Box::new(move |_t, x| g(x)));
        self
    }

    /// The controls allowed.
    pub fn controls(mut self, set: ControlSet) -> Self {
        self.controls = Some(set);
        self
    }

    /// No control at all.
    pub fn uncontrolled(mut self) -> Self {
        self.controls = None;
        self
    }

    fn control_dim(&self) -> usize {
        self.controls.as_ref().map_or(0, |_| self.control_matrix.columns(self.dim))
    }

    /// T.
    pub fn horizon(mut self, horizon: f64) -> Self {
        self.horizon = horizon;
        self
    }

    /// rho.
    pub fn discount(mut self, discount: f64) -> Self {
        self.discount = discount;
        self
    }

    /// The diffusion. What the closures write is checked by the solvers, at the points where they are called.
    ///
    /// # Errors
    /// A dimension of zero, a matrix without columns, a horizon that is not positive and finite, a discount that is not finite or
    /// negative, a scale that is not finite, a weight that is not positive, a set of controls that does not fit, a general cost
    /// on an unbounded set.
    pub fn build(self) -> Result<ClosureDiffusion, ModelError> {
        let positive = |field: &str, value: f64| {
            let fits = value.is_finite() && value > 0.0;
            if fits { Ok(()) } else { Err(ModelError::invalid(field, value, "must be positive and finite")) }
        };
        if self.dim == 0 {
            return Err(ModelError::invalid("dim", 0, "at least 1"));
        }
        positive("horizon", self.horizon)?;
        if !(self.discount >= 0.0 && self.discount.is_finite()) {
            return Err(ModelError::invalid("discount", self.discount, "must be finite and not negative"));
        }
        for (field, matrix) in [("control_matrix", &self.control_matrix), ("diffusion", &self.diffusion)] {
            match matrix {
                Matrix::Entries(0, _) => return Err(ModelError::invalid(field, "0 columns", "at least 1")),
                Matrix::Scaled(c) if !c.is_finite() => return Err(ModelError::invalid(field, c, "must be finite")),
                _ => {}
            }
        }
        if let Matrix::Scaled(weight) = self.weight {
            positive("control_weight", weight)?;
        }
        if let Some(set) = &self.controls {
            check_controls(set, self.control_dim())?;
        }
        if self.cost.is_some() && !matches!(self.controls, Some(ControlSet::Box { .. } | ControlSet::Finite { .. })) {
            return Err(ModelError::invalid("control_cost", "a closure", "needs a bounded set of controls: Box or Finite"));
        }
        Ok(ClosureDiffusion { parts: self })
    }
}

struct CoefficientsAt<'a> {
    parts: &'a ClosureDiffusionBuilder,
    t: f64,
}

impl Coefficients for CoefficientsAt<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        match &self.parts.drift {
            None => out.fill(0.0),
            Some(f) => write(f, self.t, self.parts.dim, x, out),
        }
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        match self.parts.controls {
            None => MatrixCoefficient::Scaled(1.0),
            Some(_) => self.parts.control_matrix.at(self.t, self.parts.dim),
        }
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.parts.diffusion.at(self.t, self.parts.dim)
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.parts.weight.at(self.t, self.parts.dim)
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        let Some(cost) = &self.parts.cost else { return out.fill(0.0) };
        let (mut point, mut control) = (vec![0.0; x.dim()], vec![0.0; v.dim()]);
        for (j, o) in out.iter_mut().enumerate() {
            x.copy_point(j, &mut point);
            v.copy_point(j, &mut control);
            *o = cost(self.t, &point, &control);
        }
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        numbers(self.parts.running.as_ref(), self.t, x, out);
    }
}

impl ControlledDiffusion for ClosureDiffusion {
    fn dim(&self) -> usize {
        self.parts.dim
    }
    fn control_dim(&self) -> usize {
        self.parts.control_dim()
    }
    fn noise_dim(&self) -> usize {
        self.parts.diffusion.columns(self.parts.dim)
    }
    fn horizon(&self) -> f64 {
        self.parts.horizon
    }
    fn discount(&self) -> f64 {
        self.parts.discount
    }
    fn control_set(&self) -> ControlSet {
        self.parts.controls.clone().unwrap_or(ControlSet::Free)
    }
    fn control_cost(&self) -> ControlCost {
        if self.parts.cost.is_some() { ControlCost::General } else { ControlCost::Quadratic }
    }
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(CoefficientsAt { parts: &self.parts, t })
    }
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        numbers(self.parts.terminal.as_ref(), self.parts.horizon, x, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formulated::FormulaDiffusion;

    /// A matrix at the points of `x`.
    fn matrix(m: MatrixCoefficient<'_>, length: usize, x: Points<'_>) -> Vec<f64> {
        let mut out = vec![0.0; length * x.len()];
        match m {
            MatrixCoefficient::Scaled(c) => out.fill(c),
            MatrixCoefficient::Field(f) => f.eval(x, PointsMut::new(&mut out, length)),
        }
        out
    }

    #[test]
    fn closures_are_the_formulas_they_spell() {
        let bounds = ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] };
        let closures = ClosureDiffusion::builder(2)
            .drift(|t, x, f| (f[0], f[1]) = (x[1], -2.0 * x[0] + t))
            .control_matrix(1, |_, x, g| (g[0], g[1]) = (0.0, 1.0 + x[0]))
            .diffusion(3, |t, x, s| s.copy_from_slice(&[0.0, x[1], t, 0.5, 0.0, 1.0]))
            .control_cost(|t, x, v| v[0].abs() + t * x[0])
            .running(|t, x| t - x[0] * x[0])
            .terminal(|x| x[1])
            .controls(bounds.clone())
            .horizon(2.0)
            .discount(0.1)
            .build()
            .unwrap();
        let formulas = FormulaDiffusion::builder(["x1", "-2*x0 + t"])
            .control_matrix([["0"], ["1 + x0"]])
            .diffusion([["0", "x1", "t"], ["0.5", "0", "1"]])
            .control_cost("abs(u0) + t*x0")
            .running("t - x0*x0")
            .terminal("x1")
            .controls(bounds)
            .horizon(2.0)
            .discount(0.1)
            .build()
            .unwrap();
        let dims = |m: &dyn ControlledDiffusion| (m.dim(), m.control_dim(), m.noise_dim(), m.horizon(), m.discount());
        assert_eq!(dims(&closures), dims(&formulas));
        assert_eq!((closures.control_set(), closures.control_cost()), (formulas.control_set(), ControlCost::General));
        let x = [0.3, -1.0, 2.0, 0.7];
        let x = Points::new(&x, 2);
        let v = [0.5, -0.25];
        let values = |m: &dyn ControlledDiffusion| {
            let at = m.at(0.8);
            let mut all = vec![0.0; 4];
            at.drift(x, PointsMut::new(&mut all, 2));
            all.extend(matrix(at.control_matrix(), 2, x));
            all.extend(matrix(at.diffusion(), 6, x));
            let mut numbers = [0.0; 6];
            at.running_reward(x, &mut numbers[..2]);
            at.control_cost(x, Points::new(&v, 1), &mut numbers[2..4]);
            m.terminal_reward(x, &mut numbers[4..]);
            all.extend(numbers);
            all
        };
        assert_eq!(values(&closures), values(&formulas));
    }

    #[test]
    fn defaults_are_those_of_formulas() {
        let closures = ClosureDiffusion::builder(2).diffusion_scale(0.5).control_scale(2.0).control_weight(3.0).build().unwrap();
        assert_eq!((closures.control_dim(), closures.noise_dim(), closures.control_cost()), (2, 2, ControlCost::Quadratic));
        let x = [0.3, -1.0];
        let x = Points::new(&x, 2);
        let (at, mut f, mut l) = (closures.at(0.0), [1.0; 2], [1.0]);
        at.drift(x, PointsMut::new(&mut f, 2));
        at.running_reward(x, &mut l);
        assert_eq!((f, l), ([0.0; 2], [0.0]));
        assert!(matches!(at.diffusion(), MatrixCoefficient::Scaled(0.5)));
        assert!(matches!(at.control_matrix(), MatrixCoefficient::Scaled(2.0)));
        assert!(matches!(at.control_weight(), MatrixCoefficient::Scaled(3.0)));
        let without = ClosureDiffusion::builder(2).control_matrix(1, |_, _, _| {}).uncontrolled().build().unwrap();
        assert_eq!((without.control_dim(), without.control_set()), (0, ControlSet::Free));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let b = ClosureDiffusion::builder;
        let short = ControlSet::Box { lower: vec![0.0], upper: vec![1.0, 1.0] };
        for (builder, expected) in [
            (b(0), "dim = 0"),
            (b(1).horizon(0.0), "horizon = 0"),
            (b(1).horizon(f64::NAN), "horizon = NaN"),
            (b(1).discount(-1.0), "discount = -1"),
            (b(1).control_weight(0.0), "control_weight = 0"),
            (b(1).diffusion_scale(f64::INFINITY), "diffusion = inf"),
            (b(1).control_matrix(0, |_, _, _| {}), "control_matrix = 0 columns"),
            (b(2).controls(short), "controls.lower has 1 entries; 2 expected"),
            (b(1).control_cost(|_, _, v| v[0].abs()), "control_cost = a closure: needs a bounded set"),
        ] {
            let message = builder.build().err().unwrap().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
