//! Enums written as {"kind": "...", fields}: serde's internally tagged form, with errors that name the field inside.
//!
//! Serde buffers an internally tagged enum and loses the path of a bad field in it. Here the tag is moved outside and the rest is read
//! with its path, which travels in the message between [`MARK`]s until [`split`] takes it apart.

use serde::de::{Deserializer, Error};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Around the inner path in a message; does not occur in JSON text outside escapes.
const MARK: char = '\u{1}';

/// Read {"kind": K, rest} as {K: {rest}} with `read`, an externally tagged reader.
pub(super) fn deserialize<'de, D, T>(
    deserializer: D,
    read: impl FnOnce(serde_path_to_error::Deserializer<'_, '_, Value>) -> Result<T, serde_json::Error>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    let mut fields = Map::<String, Value>::deserialize(deserializer)?;
    let kind = match fields.remove("kind") {
        Some(Value::String(kind)) => kind,
        Some(other) => return Err(D::Error::custom(format!("{MARK}kind{MARK}invalid value {other}, expected a string"))),
        None => return Err(D::Error::custom(format!("{MARK}kind{MARK}missing field `kind`"))),
    };
    let mut outside = Map::new();
    outside.insert(kind, Value::Object(fields));
    let mut track = serde_path_to_error::Track::new();
    read(serde_path_to_error::Deserializer::new(Value::Object(outside), &mut track)).map_err(|e| {
        let path = track.path().to_string();
        let message = e.to_string();
        // the first element of the path is the kind
        let inner = match path.split_once('.') {
            Some((_, rest)) if !rest.is_empty() => rest,
            _ if message.starts_with("unknown variant") => "kind",
            _ => "",
        };
        D::Error::custom(format!("{MARK}{inner}{MARK}{message}"))
    })
}

/// Write the externally tagged `value` as {"kind": K, fields}.
pub(super) fn serialize<S: Serializer>(value: Result<Value, serde_json::Error>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut object = match value.map_err(serde::ser::Error::custom)? {
        Value::Object(outside) => outside,
        other => return other.serialize(serializer),
    };
    let mut flat = Map::new();
    if let Some((kind, Value::Object(fields))) = std::mem::take(&mut object).into_iter().next() {
        flat.insert("kind".into(), Value::String(kind));
        flat.extend(fields);
    }
    flat.serialize(serializer)
}

/// The path inside the object, and the message proper.
pub(super) fn split(message: &str) -> Option<(&str, &str)> {
    let (path, rest) = message.split_once(MARK)?.1.split_once(MARK)?;
    Some((path, rest))
}

/// Implements serde's traits for an enum whose derives are `#[serde(remote = "Self")]`.
macro_rules! tagged {
    ($name:ident) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::problem::tagged::deserialize(deserializer, |d| $name::deserialize(d))
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::problem::tagged::serialize($name::serialize(self, serde_json::value::Serializer), serializer)
            }
        }
    };
}
pub(super) use tagged;
