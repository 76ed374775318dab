//! JSON Schema of problem files, generated from their types: for editors, which complete and check against it.

use super::{ControlledFile, ProblemFile};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The kinds of problem files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[cfg_attr(feature = "cli", value(rename_all = "snake_case"))]
pub enum ProblemKind {
    /// Fine-tuning of a diffusion model
    FineTuning,
    /// Any controlled diffusion, by formulas
    ControlledDiffusion,
}

/// The JSON Schema (draft 2020-12) of files of one kind, or of either.
pub fn schema(kind: Option<ProblemKind>) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    match kind {
        Some(ProblemKind::FineTuning) => generator.into_root_schema_for::<ProblemFile>().to_value(),
        Some(ProblemKind::ControlledDiffusion) => generator.into_root_schema_for::<ControlledFile>().to_value(),
        None => either(generator),
    }
}

/// By `kind`, so that a mistake is not answered by "matches none".
fn either(mut generator: SchemaGenerator) -> Value {
    let fine_tuning = generator.subschema_for::<ProblemFile>();
    let controlled = generator.subschema_for::<ControlledFile>();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "hjbridge problem",
        "type": "object",
        "if": {"properties": {"kind": {"const": "controlled_diffusion"}}, "required": ["kind"]},
        "then": controlled,
        "else": fine_tuning,
        "$defs": generator.take_definitions(true),
    })
}

/// Of [`hjbridge_model::network::Prediction`], absent or null: as the file says.
pub(super) fn predictions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["noise", "score", "x0", null]})
}

/// Of [`hjbridge_model::network::LevelInput`], likewise.
pub(super) fn level_inputs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["y,t", "y,tau", "y,sigma", "y,log_snr", null]})
}

/// Of [`hjbridge_model::ClassReward`].
pub(super) fn class_rewards(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["log_odds", "log_probability"]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::ClassReward;
    use hjbridge_model::network::{LevelInput, Prediction};
    use serde::de::DeserializeOwned;

    /// Every name is one of the type, and there are as many as it has.
    #[track_caller]
    fn names<T: DeserializeOwned>(of: fn(&mut SchemaGenerator) -> Schema, variants: usize) {
        let schema = of(&mut SchemaGenerator::default()).to_value();
        let names: Vec<&Value> = schema["enum"].as_array().unwrap().iter().filter(|n| !n.is_null()).collect();
        assert_eq!(names.len(), variants);
        for name in names {
            serde_json::from_value::<T>(name.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let message = serde_json::from_value::<T>("?".into()).err().unwrap().to_string();
        assert_eq!(message.matches('`').count() / 2 - 1, variants, "{message}");
    }

    #[test]
    fn names_written_by_hand_are_those_of_the_types() {
        names::<Prediction>(predictions, 3);
        names::<LevelInput>(level_inputs, 4);
        names::<ClassReward>(class_rewards, 2);
    }
}
