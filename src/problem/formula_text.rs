//! Formulas and matrices of formulas in a problem file. A number may be written as a number.

use hjbridge_model::MatrixFormula;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A formula, or a number.
#[derive(Clone, Debug, PartialEq)]
pub struct FormulaText(pub String);

impl FormulaText {
    fn number(value: impl fmt::Display) -> Self {
        FormulaText(value.to_string())
    }
}

/// What a scalar formula may be written as.
macro_rules! visit_scalars {
    ($value:ty, $make:expr) => {
        fn visit_str<E: de::Error>(self, v: &str) -> Result<$value, E> {
            Ok($make(FormulaText(v.to_string())))
        }
        fn visit_f64<E: de::Error>(self, v: f64) -> Result<$value, E> {
            Ok($make(FormulaText::number(v)))
        }
        fn visit_u64<E: de::Error>(self, v: u64) -> Result<$value, E> {
            Ok($make(FormulaText::number(v)))
        }
        fn visit_i64<E: de::Error>(self, v: i64) -> Result<$value, E> {
            Ok($make(FormulaText::number(v)))
        }
    };
}

impl<'de> Deserialize<'de> for FormulaText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = FormulaText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a formula in quotation marks or a number")
            }
            visit_scalars!(FormulaText, |text| text);
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

impl Serialize for FormulaText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for FormulaText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Formula".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A formula in t, x0, x1, ... and the parameters, with the operators, precedence and functions of Python; or a number.",
            "type": ["string", "number"]
        })
    }
}

/// A matrix of formulas: one formula stands for that multiple of the identity, otherwise a list of rows.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum MatrixSpec {
    /// A multiple of the identity.
    Multiple(FormulaText),
    /// Rows.
    Rows(Vec<Vec<FormulaText>>),
}

impl Default for MatrixSpec {
    fn default() -> Self {
        MatrixSpec::Multiple(FormulaText("1".into()))
    }
}

impl<'de> Deserialize<'de> for MatrixSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MatrixVisitor;
        impl<'de> Visitor<'de> for MatrixVisitor {
            type Value = MatrixSpec;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a formula or a number (times the identity), or a list of rows of formulas")
            }
            visit_scalars!(MatrixSpec, MatrixSpec::Multiple);
            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<MatrixSpec, A::Error> {
                let mut all = Vec::new();
                while let Some(row) = rows.next_element::<Vec<FormulaText>>()? {
                    all.push(row);
                }
                Ok(MatrixSpec::Rows(all))
            }
        }
        deserializer.deserialize_any(MatrixVisitor)
    }
}

impl MatrixSpec {
    /// The model's form.
    pub fn formula(&self) -> MatrixFormula {
        match self {
            MatrixSpec::Multiple(text) => MatrixFormula::Multiple(text.0.clone()),
            MatrixSpec::Rows(rows) => {
                MatrixFormula::Rows(rows.iter().map(|row| row.iter().map(|text| text.0.clone()).collect()).collect())
            }
        }
    }
}
