//! The controlled diffusion that a set of formulas defines.

use super::field::FormulaField;
use super::matrix::{Matrix, MatrixFormula};
use super::scope::Scope;
use crate::diffusion::{Coefficients, ControlCost, ControlSet, ControlledDiffusion, MatrixCoefficient, check_controls};
use crate::error::ModelError;
use crate::points::{Points, PointsMut};
use std::sync::Arc;

/// The running cost of the control.
#[derive(Clone, Debug, PartialEq)]
pub enum CostFormula {
    /// v'Rv/2 with the matrix R.
    Quadratic(MatrixFormula),
    /// A formula in t, x and u0, u1, ...; the control set must be bounded.
    General(String),
}

impl Default for CostFormula {
    /// |v|^2 / 2.
    fn default() -> Self {
        CostFormula::Quadratic(MatrixFormula::default())
    }
}

/// A controlled diffusion as text. The fields of the state's formulas may use t, x0, ..., and the parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DiffusionFormulas {
    /// Names and values of the parameters.
    pub parameters: Vec<(String, f64)>,
    /// f, one formula for each coordinate; their number is the dimension d.
    pub drift: Vec<String>,
    /// G, d x m; a multiple of the identity has m = d.
    pub control_matrix: MatrixFormula,
    /// sigma, d x q; a multiple of the identity has q = d.
    pub diffusion: MatrixFormula,
    /// l, the running reward (cost, when the functional is minimised); none is zero.
    pub running: Option<String>,
    /// The cost of the control.
    pub cost: CostFormula,
    /// The controls allowed; none means that there is no control at all (m = 0).
    pub controls: Option<ControlSet>,
    /// g, the terminal reward (cost); none is zero. `t` is the horizon in it.
    pub terminal: Option<String>,
    /// The horizon T, positive.
    pub horizon: f64,
    /// The discount rate rho >= 0.
    pub discount: f64,
}

/// A [`ControlledDiffusion`] from formulas.
///
/// Evaluation costs one pass over a block for each operation of a formula. A value that is NaN or infinite is written as it is
/// and noted: see [`FormulaDiffusion::fault`].
pub struct FormulaDiffusion {
    scope: Arc<Scope>,
    drift: Vec<FormulaField>,
    control_matrix: Matrix,
    diffusion: Matrix,
    noise_dim: usize,
    running: Option<FormulaField>,
    weight: Option<Matrix>,
    cost: Option<FormulaField>,
    controls: ControlSet,
    terminal: Option<FormulaField>,
    horizon: f64,
    discount: f64,
}

impl FormulaDiffusion {
    /// Compile the formulas.
    ///
    /// # Errors
    /// The first field that is not allowed, by name (`drift[1]`, `control_matrix[0][1]`): a text that is no formula, with the
    /// column; a coordinate that does not exist; a control outside the cost; shapes that do not fit; a general cost on an
    /// unbounded set; a constant that is not finite.
    pub fn new(formulas: &DiffusionFormulas) -> Result<Self, ModelError> {
        let dim = formulas.drift.len();
        if dim == 0 {
            return Err(ModelError::invalid("drift", "[]", "one formula for each coordinate"));
        }
        if !(formulas.horizon > 0.0 && formulas.horizon.is_finite()) {
            return Err(ModelError::invalid("horizon", formulas.horizon, "must be positive and finite"));
        }
        if !(formulas.discount >= 0.0 && formulas.discount.is_finite()) {
            return Err(ModelError::invalid("discount", formulas.discount, "must be finite and not negative"));
        }
        let columns = |name: &str, matrix: &MatrixFormula| match matrix {
            MatrixFormula::Multiple(_) => Ok(dim),
            MatrixFormula::Rows(rows) => match rows.first().map_or(0, Vec::len) {
                0 => Err(ModelError::invalid(name, "[]", format!("{dim} rows of at least one entry"))),
                columns => Ok(columns),
            },
        };
        let noise_dim = columns("diffusion", &formulas.diffusion)?;
        let matrix_columns = columns("control_matrix", &formulas.control_matrix)?;
        let control_dim = if formulas.controls.is_some() { matrix_columns } else { 0 };
        let scope = Arc::new(Scope::new(dim, control_dim, &formulas.parameters)?);
        let field =
            |name: &str, text: &Option<String>| text.as_ref().map(|t| FormulaField::new(&scope, name, t, false)).transpose();
        let drift = formulas.drift.iter().enumerate();
        let drift = drift.map(|(i, f)| FormulaField::new(&scope, &format!("drift[{i}]"), f, false)).collect::<Result<_, _>>()?;
        let control_matrix = Matrix::new(&scope, "control_matrix", &formulas.control_matrix, dim, matrix_columns)?;
        let diffusion = Matrix::new(&scope, "diffusion", &formulas.diffusion, dim, noise_dim)?;
        let (weight, cost) = match &formulas.cost {
            CostFormula::Quadratic(weight) if control_dim > 0 => {
                (Some(Matrix::new(&scope, "control_weight", weight, control_dim, control_dim)?), None)
            }
            CostFormula::Quadratic(_) => (None, None),
            CostFormula::General(_) if control_dim == 0 => {
                return Err(ModelError::invalid("control_cost", "a formula", "there is no control (controls: none)"));
            }
            CostFormula::General(text) => (None, Some(FormulaField::new(&scope, "control_cost", text, true)?)),
        };
        let controls = formulas.controls.clone().unwrap_or(ControlSet::Free);
        check_controls(&controls, control_dim)?;
        if cost.is_some() && controls == ControlSet::Free {
            let allowed = "needs a bounded set of controls: kind box or finite (or give control_weight for a quadratic cost)";
            return Err(ModelError::invalid("control_cost", "a formula", allowed));
        }
        Ok(FormulaDiffusion {
            drift,
            control_matrix,
            diffusion,
            noise_dim,
            running: field("running", &formulas.running)?,
            weight,
            cost,
            controls,
            terminal: field("terminal", &formulas.terminal)?,
            horizon: formulas.horizon,
            discount: formulas.discount,
            scope,
        })
    }

    /// A further formula in t, x0, ... and the same parameters; its faults are noted here too. `name` is used in errors.
    ///
    /// # Errors
    /// As [`FormulaDiffusion::new`].
    pub fn field(&self, name: &str, text: &str) -> Result<FormulaField, ModelError> {
        FormulaField::new(&self.scope, name, text, false)
    }

    /// The first formula of the coefficients in which t occurs (the terminal reward is not one of them).
    pub fn time_dependent(&self) -> Option<&FormulaField> {
        let matrices = [Some(&self.control_matrix), Some(&self.diffusion), self.weight.as_ref()];
        let entries = matrices.into_iter().flatten().flat_map(Matrix::entries);
        self.drift.iter().chain(entries).chain(&self.running).chain(&self.cost).find(|f| f.uses_time())
    }

    /// The first value of a formula that was NaN or infinite since the model was made or [`FormulaDiffusion::clear_fault`]
    /// was called: [`ModelError::Formula`] with the field, the text and the point.
    pub fn fault(&self) -> Option<ModelError> {
        self.scope.faults.first()
    }

    /// Forget the fault.
    pub fn clear_fault(&self) {
        self.scope.faults.clear();
    }
}

struct FormulaCoefficients<'a> {
    model: &'a FormulaDiffusion,
    t: f64,
}

impl Coefficients for FormulaCoefficients<'_> {
    fn drift(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (i, f) in self.model.drift.iter().enumerate() {
            f.eval(self.t, x, out.coord_mut(i));
        }
    }

    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        match self.model.scope.control_dim {
            0 => MatrixCoefficient::Scaled(1.0),
            _ => self.model.control_matrix.at(self.t),
        }
    }

    fn diffusion(&self) -> MatrixCoefficient<'_> {
        self.model.diffusion.at(self.t)
    }

    fn control_weight(&self) -> MatrixCoefficient<'_> {
        self.model.weight.as_ref().map_or(MatrixCoefficient::Scaled(1.0), |r| r.at(self.t))
    }

    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        match &self.model.cost {
            Some(cost) => cost.eval_control(self.t, x, Some(v), out),
            None => out.fill(0.0),
        }
    }

    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        match &self.model.running {
            Some(l) => l.eval(self.t, x, out),
            None => out.fill(0.0),
        }
    }
}

impl ControlledDiffusion for FormulaDiffusion {
    fn dim(&self) -> usize {
        self.scope.dim
    }

    fn control_dim(&self) -> usize {
        self.scope.control_dim
    }

    fn noise_dim(&self) -> usize {
        self.noise_dim
    }

    fn horizon(&self) -> f64 {
        self.horizon
    }

    fn discount(&self) -> f64 {
        self.discount
    }

    fn control_set(&self) -> ControlSet {
        self.controls.clone()
    }

    fn control_cost(&self) -> ControlCost {
        if self.cost.is_some() { ControlCost::General } else { ControlCost::Quadratic }
    }

    fn at(&self, t: f64) -> Box<dyn Coefficients + '_> {
        Box::new(FormulaCoefficients { model: self, t })
    }

    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]) {
        match &self.terminal {
            Some(g) => g.eval(self.horizon, x, out),
            None => out.fill(0.0),
        }
    }
}
