//! Formulas of problem files: drifts, rewards and weights written as text, evaluated on blocks of points.
//!
//! The language is arithmetic with the precedences of Python:
//!
//! - numbers (`2`, `.5`, `1e-3`), the variables the caller names, the constants `pi` and `e`;
//! - `+ - * /`, `**` (also written `^`), signs, parentheses; a product needs its `*`;
//! - comparisons `< <= > >= == !=`, which chain (`0 < x < 1`), and `and or not`; they give 1 or 0;
//! - `sin cos tan asin acos atan atan2 sinh cosh tanh exp log ln log1p expm1 sqrt abs sign floor ceil erf hypot pow`,
//!   `min` and `max` of two or more, and `where(condition, a, b)`.
//!
//! -x**2 is -(x**2), 2**-1 is 0.5 and 2**3**2 is 512. `log` is the natural logarithm. Where Python would answer with a
//! complex number or an exception, the value is NaN or infinite, as IEEE 754 has it. Two rules keep a NaN from being lost
//! or from spreading: the branch that `where` does not take has no effect, not even by a NaN or a division by zero, and
//! a comparison with NaN is NaN, so that a condition which is undefined at a point makes the value undefined there instead
//! of choosing a branch (`false and ...` and `true or ...` do not look at their right side, as in Python).
//!
//! A formula is compiled to a flat list of operations that run over 64 points at a time; cost is linear in the number of
//! operations and of points, and the results do not depend on how points are cut into blocks.
//!
//! ```
//! use hjbridge_model::formula::Formula;
//! let drift = Formula::parse("-0.7*x + sin(y)*exp(-x**2/2) + t*x**3", &["t", "x", "y"])?;
//! let (x, y) = ([0.0, 1.0], [0.5, 0.5]);
//! let mut out = [0.0; 2];
//! drift.eval_block(&[&[2.0], &x, &y], &mut out); // time holds for both points
//! assert_eq!(out[0], 0.5f64.sin());
//! # Ok::<(), hjbridge_model::formula::FormulaError>(())
//! ```

mod derivative;
mod error;
mod eval;
mod functions;
mod lexer;
mod parser;
mod program;
#[cfg(test)]
mod tests;

pub use error::FormulaError;

/// The name among `known` that `name` was probably meant to be: at most a third of its letters differ (none counts for capitals).
pub fn closest_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    functions::suggest(name, known)
}

use crate::points::PointsMut;
use program::Program;

/// Longest text accepted, in bytes.
pub const LENGTH_LIMIT: usize = 16_384;

/// Largest number of variables a formula may be given.
pub const VARIABLE_LIMIT: usize = 128;

/// A compiled formula in named variables. It prints as the text it was made from.
#[derive(Debug, Clone)]
pub struct Formula {
    text: String,
    variables: Vec<String>,
    /// The variables that occur in the text, bit i for variable i.
    occurring: u128,
    program: Program,
}

impl Formula {
    /// Compile `text`, which may use `variables`; their order is that of the values in the `eval` functions.
    ///
    /// # Errors
    /// The column and what was expected there for text that is not a formula; the closest known name for a name that is not
    /// known; text longer than [`LENGTH_LIMIT`] or nested deeper than 200 levels; more than [`VARIABLE_LIMIT`] variables, or
    /// a variable that is no name, is repeated, or has the name of a function, constant or word of the language.
    pub fn parse(text: &str, variables: &[&str]) -> Result<Formula, FormulaError> {
        check_variables(variables)?;
        if text.len() > LENGTH_LIMIT {
            return Err(FormulaError::TooLong { length: text.len(), limit: LENGTH_LIMIT });
        }
        let variables: Vec<String> = variables.iter().map(|&v| v.to_string()).collect();
        let (program, occurring) = parser::parse(text, &variables).map_err(|error| *error)?;
        Ok(Formula { text: text.to_string(), variables, occurring, program })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The variables, in the order of their values.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Whether `variable` occurs in the text.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables.iter().position(|v| v == variable).is_some_and(|i| self.uses_index(i))
    }

    /// Whether the variable in place `index` occurs in the text.
    pub fn uses_index(&self, index: usize) -> bool {
        index < self.variables.len() && self.occurring >> index & 1 == 1
    }

    /// The number, when the formula does not depend on any variable.
    pub fn constant(&self) -> Option<f64> {
        self.program.constant()
    }

    /// The value at one point; `values` in the order of the variables. For many points use [`Formula::eval_block`].
    ///
    /// # Panics
    /// When `values` has not one entry per variable.
    pub fn eval_scalar(&self, values: &[f64]) -> f64 {
        let vars: Vec<&[f64]> = values.chunks(1).collect();
        let mut out = [0.0];
        self.eval_block(&vars, &mut out);
        out[0]
    }

    /// Write the value at each point. Entry i of `vars` holds variable i: one number per point, or a single one for all
    /// points (time, say), whose subexpressions are then computed once.
    ///
    /// # Panics
    /// When the lengths do not fit, as slice indexing does; [`Formula::eval_checked`] gives an error instead.
    pub fn eval_block(&self, vars: &[&[f64]], out: &mut [f64]) {
        assert_eq!(self.check_shape(vars, out.len()), Ok(()));
        eval::evaluate(&self.program, vars, out);
    }

    /// [`Formula::eval_block`], with an error when lengths do not fit or when a value is NaN or infinite.
    ///
    /// # Errors
    /// [`FormulaError::Shape`]; [`FormulaError::NotFinite`] with the variables at the first such point.
    pub fn eval_checked(&self, vars: &[&[f64]], out: &mut [f64]) -> Result<(), FormulaError> {
        self.check_shape(vars, out.len())?;
        eval::evaluate(&self.program, vars, out);
        self.check_finite(vars, out)
    }

    /// Write the value and the derivatives in the variables `wrt` (places in the list) at each point; coordinate j of
    /// `grads` is the derivative in variable `wrt[j]`.
    ///
    /// Forward mode: the cost grows by about one evaluation per variable. At 0, abs and hypot have derivative 0; min and
    /// max have that of the active argument (the first on ties), where that of the branch taken; comparisons, sign, floor
    /// and ceil have derivative 0. A factor whose inner derivative is exactly 0 counts as 0: sqrt(x**2) has derivative 0 at
    /// 0, as abs(x) does.
    ///
    /// # Panics
    /// When the lengths do not fit or `wrt` names no variable; [`Formula::eval_gradient_checked`] gives an error instead.
    pub fn eval_gradient_block(&self, vars: &[&[f64]], wrt: &[usize], out: &mut [f64], mut grads: PointsMut<'_>) {
        assert_eq!(self.check_gradient_shape(vars, wrt, out.len(), &grads), Ok(()));
        derivative::evaluate(&self.program, vars, wrt, out, &mut grads);
    }

    /// [`Formula::eval_gradient_block`], with an error when lengths do not fit or when a value or a derivative is NaN or
    /// infinite.
    ///
    /// # Errors
    /// [`FormulaError::Shape`]; [`FormulaError::NotFinite`] with the variables at the first such point.
    pub fn eval_gradient_checked(
        &self,
        vars: &[&[f64]],
        wrt: &[usize],
        out: &mut [f64],
        mut grads: PointsMut<'_>,
    ) -> Result<(), FormulaError> {
        self.check_gradient_shape(vars, wrt, out.len(), &grads)?;
        derivative::evaluate(&self.program, vars, wrt, out, &mut grads);
        let finite = |j: &usize| out[*j].is_finite() && (0..wrt.len()).all(|i| grads.coord(i)[*j].is_finite());
        let Some(j) = (0..out.len()).find(|j| !finite(j)) else { return Ok(()) };
        if !out[j].is_finite() {
            return Err(self.not_finite(vars, j, "the value".to_string(), out[j]));
        }
        let derivatives = wrt.iter().enumerate().map(|(i, &v)| (v, grads.coord(i)[j]));
        match derivatives.into_iter().find(|(_, d)| !d.is_finite()) {
            Some((v, d)) => Err(self.not_finite(vars, j, format!("the derivative in {}", self.variables[v]), d)),
            None => Ok(()),
        }
    }

    /// Check `values` of this formula at the points `vars`.
    ///
    /// # Errors
    /// [`FormulaError::Shape`]; [`FormulaError::NotFinite`] with the variables at the first point where the value is NaN or
    /// infinite.
    pub fn check_finite(&self, vars: &[&[f64]], values: &[f64]) -> Result<(), FormulaError> {
        self.check_shape(vars, values.len())?;
        match values.iter().position(|v| !v.is_finite()) {
            Some(j) => Err(self.not_finite(vars, j, "the value".to_string(), values[j])),
            None => Ok(()),
        }
    }

    fn not_finite(&self, vars: &[&[f64]], j: usize, quantity: String, value: f64) -> FormulaError {
        let point = self.variables.iter().zip(vars).map(|(name, v)| (name.clone(), v[if v.len() == 1 { 0 } else { j }]));
        FormulaError::NotFinite { formula: self.text.clone(), quantity, point: point.collect(), value }
    }

    fn shape(&self, what: impl Into<String>, found: usize, expected: impl Into<String>) -> FormulaError {
        FormulaError::Shape { formula: self.text.clone(), what: what.into(), found, expected: expected.into() }
    }

    fn check_shape(&self, vars: &[&[f64]], n: usize) -> Result<(), FormulaError> {
        if vars.len() != self.variables.len() {
            return Err(self.shape("the list of values", vars.len(), format!("{} (one per variable)", self.variables.len())));
        }
        match vars.iter().position(|v| v.len() != n && v.len() != 1) {
            Some(i) => Err(self.shape(format!("variable {}", self.variables[i]), vars[i].len(), format!("1 or {n}"))),
            None => Ok(()),
        }
    }

    fn check_gradient_shape(&self, vars: &[&[f64]], wrt: &[usize], n: usize, grads: &PointsMut<'_>) -> Result<(), FormulaError> {
        self.check_shape(vars, n)?;
        if let Some(&i) = wrt.iter().find(|&&i| i >= self.variables.len()) {
            return Err(self.shape(format!("the list of variables, for place {i}"), self.variables.len(), "more"));
        }
        if grads.dim() != wrt.len() {
            return Err(self.shape("the block of derivatives (coordinates)", grads.dim(), wrt.len().to_string()));
        }
        if grads.len() != n && !wrt.is_empty() {
            return Err(self.shape("the block of derivatives (points)", grads.len(), n.to_string()));
        }
        Ok(())
    }
}

impl std::fmt::Display for Formula {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_variables(variables: &[&str]) -> Result<(), FormulaError> {
    let refuse = |name: &str, reason: String| Err(FormulaError::Variable { name: name.to_string(), reason });
    if let Some(extra) = variables.get(VARIABLE_LIMIT) {
        return refuse(extra, format!("{} variables; at most {VARIABLE_LIMIT} are allowed", variables.len()));
    }
    for (i, name) in variables.iter().enumerate() {
        let mut letters = name.chars();
        if !(letters.next().is_some_and(lexer::begins_name) && letters.all(lexer::continues_name)) {
            return refuse(name, "a name has letters, digits and _, and does not begin with a digit".to_string());
        }
        let taken = functions::find(functions::FUNCTIONS, name).is_some()
            || functions::find(functions::CONSTANTS, name).is_some()
            || functions::find(functions::REFUSED, name).is_some()
            || functions::KEYWORDS.contains(name);
        if taken {
            return refuse(name, "the name has a meaning of its own in formulas".to_string());
        }
        if variables[..i].contains(name) {
            return refuse(name, "named twice".to_string());
        }
    }
    Ok(())
}
