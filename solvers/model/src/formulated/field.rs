//! One formula as a function of time and of a block of points.

use super::scope::{Scope, TIME};
use crate::error::ModelError;
use crate::formula::{Formula, FormulaError};
use crate::points::Points;
use std::sync::Arc;

/// What a formula depends on besides the parameters.
#[derive(Clone, Copy, PartialEq)]
enum Dependence {
    /// Nothing: its value.
    Nothing(f64),
    /// Time alone.
    Time,
    /// The point (or the control).
    Space,
}

/// A formula in t, x0, x1, ... and the parameters of a [`super::FormulaDiffusion`], with the name of the field it stands for.
#[derive(Clone)]
pub struct FormulaField {
    name: String,
    formula: Formula,
    scope: Arc<Scope>,
    dependence: Dependence,
    rank: usize,
}

impl FormulaField {
    /// Compile `text` for the field `name`.
    pub(super) fn new(scope: &Arc<Scope>, name: &str, text: &str, with_control: bool) -> Result<Self, ModelError> {
        let formula = scope.compile(name, text, with_control)?;
        let variables = 1 + scope.dim + scope.control_dim;
        let mut field =
            FormulaField { name: name.into(), formula, scope: scope.clone(), dependence: Dependence::Space, rank: scope.rank() };
        if !(1..variables).any(|i| field.formula.uses_index(i)) {
            field.dependence = Dependence::Time;
            if !field.formula.uses_index(TIME) {
                let value = field.value_at_time(0.0);
                if !value.is_finite() {
                    let source = FormulaError::NotFinite {
                        formula: text.into(),
                        quantity: "the value".into(),
                        point: field.used_parameters(),
                        value,
                    };
                    return Err(ModelError::Formula { field: name.into(), source: Box::new(source) });
                }
                field.dependence = Dependence::Nothing(value);
            }
        }
        Ok(field)
    }

    /// Name of the field, e.g. `drift[0]`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.formula.text()
    }

    /// Whether t occurs in the formula.
    pub fn uses_time(&self) -> bool {
        self.formula.uses_index(TIME)
    }

    /// The number, when the formula depends on parameters alone.
    pub fn constant(&self) -> Option<f64> {
        match self.dependence {
            Dependence::Nothing(value) => Some(value),
            _ => None,
        }
    }

    /// The number at time t, when the formula does not depend on the point.
    pub fn uniform(&self, t: f64) -> Option<f64> {
        match self.dependence {
            Dependence::Nothing(value) => Some(value),
            Dependence::Time => {
                let value = self.value_at_time(t);
                if !value.is_finite() {
                    self.note(t, None, 0, value);
                }
                Some(value)
            }
            Dependence::Space => None,
        }
    }

    /// Write the value at each point; a value that is NaN or infinite is written and noted.
    ///
    /// # Panics
    /// When the block has not the dimension of the state or `out` not one entry per point.
    pub fn eval(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        self.eval_control(t, x, None, out);
    }

    /// The same for a formula of the control, given at each point.
    pub(super) fn eval_control(&self, t: f64, x: Points<'_>, u: Option<Points<'_>>, out: &mut [f64]) {
        if let Some(value) = self.uniform(t) {
            out.fill(value);
            return;
        }
        let scope = &*self.scope;
        let time = [t];
        let mut variables: Vec<&[f64]> = Vec::with_capacity(scope.names.len());
        variables.push(&time);
        variables.extend((0..scope.dim).map(|i| x.coord(i)));
        variables.extend((0..scope.control_dim).map(|k| u.map_or(&[0.0][..], |u| u.coord(k))));
        variables.extend(scope.parameters.chunks(1));
        self.formula.eval_block(&variables, out);
        // a sum is NaN or infinite if a term is; the search is needed only then (or after an overflow of the sum)
        if !out.iter().sum::<f64>().is_finite()
            && let Some(j) = (0..out.len()).filter(|&j| !out[j].is_finite()).min_by(|&a, &b| earlier(x, a, b))
        {
            self.note(t, Some((x, u)), j, out[j]);
        }
    }

    fn value_at_time(&self, t: f64) -> f64 {
        let mut values = vec![0.0; self.scope.names.len()];
        values[TIME] = t;
        let first = values.len() - self.scope.parameters.len();
        values[first..].copy_from_slice(&self.scope.parameters);
        self.formula.eval_scalar(&values)
    }

    fn used_parameters(&self) -> Vec<(String, f64)> {
        let first = 1 + self.scope.dim + self.scope.control_dim;
        let all = self.scope.names[first..].iter().zip(&self.scope.parameters).enumerate();
        all.filter(|(i, _)| self.formula.uses_index(first + i)).map(|(_, (name, value))| (name.clone(), *value)).collect()
    }

    fn note(&self, t: f64, at: Option<(Points<'_>, Option<Points<'_>>)>, j: usize, value: f64) {
        let x: Vec<f64> = at.map_or(Vec::new(), |(x, _)| (0..x.dim()).map(|i| x.coord(i)[j]).collect());
        let u: Vec<f64> = at.and_then(|a| a.1).map_or(Vec::new(), |u| (0..u.dim()).map(|k| u.coord(k)[j]).collect());
        self.scope.faults.note(t, (self.rank, x.clone()), || {
            let mut point = vec![("t".to_string(), t)];
            point.extend(x.iter().enumerate().map(|(i, v)| (format!("x{i}"), *v)));
            point.extend(u.iter().enumerate().map(|(k, v)| (format!("u{k}"), *v)));
            point.extend(self.used_parameters());
            let (formula, quantity) = (self.formula.text().to_string(), "the value".to_string());
            let source = Box::new(FormulaError::NotFinite { formula, quantity, point, value });
            ModelError::Formula { field: self.name.clone(), source }
        });
    }
}

/// Lexicographic order of two points of a block.
fn earlier(x: Points<'_>, a: usize, b: usize) -> std::cmp::Ordering {
    let mut orders = (0..x.dim()).map(|i| x.coord(i)[a].total_cmp(&x.coord(i)[b]));
    orders.find(|o| o.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
}
