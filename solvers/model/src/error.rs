//! Errors of the model crate: which field, which value, what is allowed.

/// What is wrong with a model's data.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A value outside what is allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the field as the user wrote it, e.g. `prior.weights[1]`.
        field: String,
        /// The offending value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Lengths that do not fit together.
    #[error("{field} has {found} entries; {expected} expected")]
    Shape {
        /// Name of the field.
        field: String,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
    /// The tilted law does not exist.
    #[error(
        "{field}: the tilt is ill-posed: C^-1 + Q/beta has smallest eigenvalue {eigenvalue:.6e} at beta = {beta}; \
         it must be positive (raise kl_weight or make Q less negative)"
    )]
    IllPosedTilt {
        /// Where: component and term.
        field: String,
        /// The smallest eigenvalue found.
        eigenvalue: f64,
        /// KL weight.
        beta: f64,
    },
    /// A formula that does not compile, or is not a number somewhere.
    #[error("{field}: {source}")]
    Formula {
        /// Name of the field.
        field: String,
        /// What is wrong, with the text and the column or the point.
        source: Box<crate::formula::FormulaError>,
    },
    /// An ordinary differential equation could not be integrated.
    #[error("{equation}: the integrator stopped at t = {time}: {reason}")]
    Integration {
        /// Which equation.
        equation: &'static str,
        /// Where it stopped (generation time).
        time: f64,
        /// The integrator's words.
        reason: String,
    },
}

impl ModelError {
    /// An [`ModelError::Invalid`] from anything that prints.
    pub fn invalid(field: impl Into<String>, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        let mut value = value.to_string();
        // 1e308 is printed with all its digits
        if let (true, Ok(number)) = (value.len() > 40, value.parse::<f64>()) {
            value = format!("{number:e}");
        }
        ModelError::Invalid { field: field.into(), value, allowed: allowed.into() }
    }

    /// The same error with `prefix.` before its field, for a value nested in a larger one.
    pub fn within(self, prefix: &str) -> Self {
        let nest = |field: String| if field.is_empty() { prefix.to_string() } else { format!("{prefix}.{field}") };
        match self {
            ModelError::Invalid { field, value, allowed } => ModelError::Invalid { field: nest(field), value, allowed },
            ModelError::Shape { field, found, expected } => ModelError::Shape { field: nest(field), found, expected },
            ModelError::IllPosedTilt { field, eigenvalue, beta } => {
                ModelError::IllPosedTilt { field: nest(field), eigenvalue, beta }
            }
            ModelError::Formula { field, source } => ModelError::Formula { field: nest(field), source },
            other => other,
        }
    }
}
