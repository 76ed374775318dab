//! The names that formulas of one problem may use: t, x0, x1, ..., u0, u1, ... and the parameters.

use super::faults::Faults;
use crate::error::ModelError;
use crate::formula::{Formula, FormulaError, VARIABLE_LIMIT};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names, the values of the parameters, and the first fault of any formula.
pub(super) struct Scope {
    pub dim: usize,
    pub control_dim: usize,
    /// t, x, u, parameters, in the order of a formula's variables.
    pub names: Vec<String>,
    pub parameters: Vec<f64>,
    pub faults: Faults,
    next_rank: AtomicUsize,
}

/// Place of t among the variables.
pub(super) const TIME: usize = 0;

impl Scope {
    /// Names for a state in R^`dim` and a control in R^`control_dim`.
    pub fn new(dim: usize, control_dim: usize, parameters: &[(String, f64)]) -> Result<Self, ModelError> {
        let mut names = vec!["t".to_string()];
        names.extend((0..dim).map(|i| format!("x{i}")));
        names.extend((0..control_dim).map(|k| format!("u{k}")));
        for (name, value) in parameters {
            let field = format!("parameters.{name}");
            if !value.is_finite() {
                return Err(ModelError::invalid(field, value, "must be finite"));
            }
            if name == "t" || coordinate(name).is_some() {
                return Err(ModelError::invalid(
                    field,
                    value,
                    "t, x0, x1, ... and u0, u1, ... are the time, the state and the control",
                ));
            }
            names.push(name.clone());
        }
        if names.len() > VARIABLE_LIMIT {
            let allowed = format!("at most {} beside the {} variables", VARIABLE_LIMIT + parameters.len() - names.len(), dim);
            return Err(ModelError::invalid("parameters", parameters.len(), allowed));
        }
        // names that are no names, or are taken, are found by compiling anything
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        match Formula::parse("0", &known) {
            Err(FormulaError::Variable { name, reason }) => {
                return Err(ModelError::invalid(format!("parameters.{name}"), format!("{name:?}"), reason));
            }
            Err(source) => return Err(ModelError::Formula { field: "parameters".into(), source: Box::new(source) }),
            Ok(_) => {}
        }
        let parameters = parameters.iter().map(|p| p.1).collect();
        Ok(Scope { dim, control_dim, names, parameters, faults: Faults::default(), next_rank: AtomicUsize::new(0) })
    }

    /// Number of the next formula.
    pub fn rank(&self) -> usize {
        self.next_rank.fetch_add(1, Ordering::Relaxed)
    }

    /// Compile `text` for `field`; the control may occur only `with_control`.
    pub fn compile(&self, field: &str, text: &str, with_control: bool) -> Result<Formula, ModelError> {
        let known: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let formula = Formula::parse(text, &known).map_err(|source| self.explain(field, text, with_control, source))?;
        let first = 1 + self.dim;
        if let Some(k) = (0..self.control_dim).find(|k| !with_control && formula.uses_index(first + k)) {
            return Err(ModelError::invalid(field, format!("{text:?}"), control_elsewhere(field, &format!("u{k}"))));
        }
        Ok(formula)
    }

    /// A coordinate that does not exist is worth more than "unknown variable".
    fn explain(&self, field: &str, text: &str, with_control: bool, mut source: FormulaError) -> ModelError {
        let FormulaError::UnknownName { column, name, kind, suggestion, allowed: known, .. } = &mut source else {
            return ModelError::Formula { field: field.into(), source: Box::new(source) };
        };
        // only what may stand here is offered
        let is_control = |name: &str| coordinate(name) == Some('u');
        if !with_control {
            known.retain(|name| !is_control(name));
            *suggestion = suggestion.take().filter(|name| !is_control(name));
        }
        let allowed = match coordinate(name) {
            None if ["u", "v"].contains(&name.as_str()) && *kind == "variable" && self.control_dim > 0 => match with_control {
                true => format!("column {column}: {name} does not exist; the control is {}", self.controls()),
                false => format!("column {column}: {}", control_elsewhere(field, name)),
            },
            Some('x') => {
                let last = self.dim - 1;
                format!("column {column}: {name} is not a coordinate; the state has x0 to x{last} (one for each entry of drift)")
            }
            Some(_) if self.control_dim == 0 => format!("column {column}: {name} does not exist: there is no control"),
            Some(_) => format!("column {column}: {name} does not exist; the control is {}", self.controls()),
            None => return ModelError::Formula { field: field.into(), source: Box::new(source) },
        };
        ModelError::invalid(field, format!("{text:?}"), allowed)
    }

    /// The components of the control in words.
    fn controls(&self) -> String {
        if self.control_dim == 1 { "u0".into() } else { format!("u0 to u{}", self.control_dim - 1) }
    }
}

/// Where the control belongs, when it stands in another formula.
fn control_elsewhere(field: &str, name: &str) -> String {
    if field.starts_with("drift") {
        return format!(
            "{name} is the control: it enters the drift as G v with G = control_matrix, and may occur only in control_cost; write \
             here the drift without control"
        );
    }
    format!("{name} is the control: it may occur only in control_cost (its effect on the drift is given by control_matrix)")
}

/// 'x' or 'u' for a name made of that letter and digits.
fn coordinate(name: &str) -> Option<char> {
    let letter = name.chars().next().filter(|c| "xu".contains(*c))?;
    let digits = &name[1..];
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(letter)
}
