//! The names a formula may use besides its variables.

use super::program::{Binary, Unary};

/// How a function is built from operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Function {
    /// One argument.
    One(Unary),
    /// Two arguments.
    Two(Binary),
    /// Two arguments or more, combined from the left.
    Many(Binary),
    /// `where(condition, a, b)`.
    Where,
}

/// All functions, by name.
pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("sin", Function::One(Unary::Sin)),
    ("cos", Function::One(Unary::Cos)),
    ("tan", Function::One(Unary::Tan)),
    ("asin", Function::One(Unary::Asin)),
    ("acos", Function::One(Unary::Acos)),
    ("atan", Function::One(Unary::Atan)),
    ("atan2", Function::Two(Binary::Atan2)),
    ("sinh", Function::One(Unary::Sinh)),
    ("cosh", Function::One(Unary::Cosh)),
    ("tanh", Function::One(Unary::Tanh)),
    ("exp", Function::One(Unary::Exp)),
    ("log", Function::One(Unary::Log)),
    ("ln", Function::One(Unary::Log)),
    ("log1p", Function::One(Unary::Log1p)),
    ("expm1", Function::One(Unary::Expm1)),
    ("sqrt", Function::One(Unary::Sqrt)),
    ("abs", Function::One(Unary::Abs)),
    ("sign", Function::One(Unary::Sign)),
    ("floor", Function::One(Unary::Floor)),
    ("ceil", Function::One(Unary::Ceil)),
    ("erf", Function::One(Unary::Erf)),
    ("min", Function::Many(Binary::Min)),
    ("max", Function::Many(Binary::Max)),
    ("hypot", Function::Two(Binary::Hypot)),
    ("pow", Function::Two(Binary::Pow)),
    ("where", Function::Where),
];

/// The constants.
pub(super) const CONSTANTS: &[(&str, f64)] = &[("pi", std::f64::consts::PI), ("e", std::f64::consts::E)];

/// Words that mean something to people who write formulas, and are refused with advice.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("inf", "a finite number (infinity is not allowed)"),
    ("nan", "a finite number (NaN is not allowed)"),
    ("if", "an operator (write `where(condition, a, b)`)"),
    ("else", "an operator (write `where(condition, a, b)`)"),
];

/// Words of the language itself.
pub(super) const KEYWORDS: &[&str] = &["and", "or", "not"];

/// The entry of `table` called `name`.
pub(super) fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|&(_, entry)| entry)
}

/// The known name closest to `name`, if it takes few changes of letters (none counts for capitals).
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    let allowed = (lower.chars().count() / 3).max(1);
    known
        .map(|k| (strsim::osa_distance(&lower, &k.to_lowercase()), k))
        .filter(|&(d, _)| d <= allowed)
        .min()
        .map(|(_, k)| k.to_string())
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn suggestions() {
        assert_eq!(suggest("Drfit", ["name", "drift"].into_iter()).as_deref(), Some("drift"));
        assert_eq!(suggest("y", ["name", "drift"].into_iter()), None);
        // neighbours exchanged are one change, and of two names the closer one is meant
        assert_eq!(suggest("sni", ["sin", "sinh"].into_iter()).as_deref(), Some("sin"));
    }
}
