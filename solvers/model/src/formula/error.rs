//! Errors of formulas: where in the text, what was found, what is allowed.

/// What is wrong with a formula or with its value.
///
/// Columns count characters from 1.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FormulaError {
    /// The text is not a formula.
    #[error("formula `{}`, column {column}: found {found}; expected {expected}", excerpt(formula, *column))]
    Syntax {
        /// The text.
        formula: String,
        /// Where.
        column: usize,
        /// What stands there.
        found: String,
        /// What could stand there.
        expected: String,
    },
    /// A name that is neither a variable, nor a constant, nor a function.
    #[error(
        "formula `{}`, column {column}: unknown {kind} `{name}`{}; {kind}s: {}",
        excerpt(formula, *column), did_you_mean(suggestion.as_deref()), allowed.join(", ")
    )]
    UnknownName {
        /// The text.
        formula: String,
        /// Where.
        column: usize,
        /// `variable` or `function`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The closest known name, if one is close.
        suggestion: Option<String>,
        /// The variables, or the functions, that may be used.
        allowed: Vec<String>,
    },
    /// A function called with a wrong number of arguments.
    #[error("formula `{}`, column {column}: {function} has {found} argument(s); expected {expected}", excerpt(formula, *column))]
    Arguments {
        /// The text.
        formula: String,
        /// Where the name of the function stands.
        column: usize,
        /// The function.
        function: String,
        /// Arguments found.
        found: usize,
        /// Arguments expected, in words.
        expected: &'static str,
    },
    /// The text is too long.
    #[error("a formula of {length} bytes; at most {limit} are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
        /// Largest length allowed.
        limit: usize,
    },
    /// Parentheses, signs, powers or calls nested too deeply.
    #[error("formula `{}`, column {column}: nested more than {limit} levels deep", excerpt(formula, *column))]
    TooDeep {
        /// The text.
        formula: String,
        /// Where the limit was reached.
        column: usize,
        /// Levels allowed.
        limit: usize,
    },
    /// The list of variables cannot be used.
    #[error("variable `{name}`: {reason}")]
    Variable {
        /// The offending name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Slices whose lengths do not fit together.
    #[error("formula `{}`: {what} has length {found}; {expected} expected", excerpt(formula, 1))]
    Shape {
        /// The text.
        formula: String,
        /// Which slice.
        what: String,
        /// Length found.
        found: usize,
        /// Lengths allowed, in words.
        expected: String,
    },
    /// NaN or infinity at a point.
    #[error("formula `{}`: {quantity} is {value} at {}", excerpt(formula, 1), describe(point))]
    NotFinite {
        /// The text.
        formula: String,
        /// `the value`, or which derivative.
        quantity: String,
        /// The variables with their values at the first such point.
        point: Vec<(String, f64)>,
        /// NaN or an infinity.
        value: f64,
    },
}

/// The text, or its part around `column` when it is long.
fn excerpt(formula: &str, column: usize) -> String {
    const WIDTH: usize = 120;
    let length = formula.chars().count();
    if length <= WIDTH {
        return formula.to_string();
    }
    let start = column.saturating_sub(1 + WIDTH / 2).min(length - WIDTH);
    let window: String = formula.chars().skip(start).take(WIDTH).collect();
    let before = if start > 0 { "..." } else { "" };
    let after = if start + WIDTH < length { "..." } else { "" };
    format!("{before}{window}{after}")
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|s| format!(" (did you mean `{s}`?)")).unwrap_or_default()
}

fn describe(point: &[(String, f64)]) -> String {
    if point.is_empty() {
        return "every point (it has no variables)".to_string();
    }
    let values: Vec<String> = point.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    values.join(", ")
}
