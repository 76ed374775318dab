//! The text of a problem file: JSON with comments, and places in it.

use super::ProblemError;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Line and column, from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The text of the file at `path`, without a byte order mark.
///
/// # Errors
/// The file cannot be read, or is not UTF-8.
pub(super) fn read(path: &Path) -> Result<String, ProblemError> {
    let text = std::fs::read_to_string(path).map_err(|source| ProblemError::Io { path: path.into(), source })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_string).unwrap_or(text))
}

/// JSON from JSON with comments (`//`, `/* */`, `#`) and commas before a closing bracket: they become blanks, so that every other
/// character stays in its place.
pub(super) fn plain_json(text: &str) -> String {
    let mut plain = text.to_string();
    if json_strip_comments::strip(&mut plain).is_err() {
        // a stroke that begins no comment: the parser will say where
        return text.to_string();
    }
    // the lines of a comment over several lines; inside a text JSON allows no line break anyway
    let kept = plain.bytes().zip(text.bytes()).map(|(new, old)| if old == b'\n' { old } else { new });
    String::from_utf8(kept.collect()).unwrap_or_else(|_| text.to_string())
}

/// The place of byte `offset` in `text`.
pub(super) fn place_of_byte(text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    Place { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
}

/// A step of a path such as `controls.upper[1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step<'p> {
    Member(&'p str),
    Entry(usize),
}

/// Where the value at `field` (`drift[0]`, `grid.lower`) begins, or that of the longest beginning of that path which the text has;
/// none when it has not even the first member.
pub fn place_of(text: &str, field: &str) -> Option<Place> {
    let text = plain_json(text);
    let (mut value, mut found) = (text.as_str(), None);
    for step in steps(field)? {
        let part = match step {
            Step::Member(name) => {
                serde_json::from_str::<BTreeMap<String, &RawValue>>(value).ok().and_then(|members| members.get(name).copied())
            }
            Step::Entry(i) => serde_json::from_str::<Vec<&RawValue>>(value).ok().and_then(|entries| entries.get(i).copied()),
        };
        let Some(part) = part else { break };
        value = part.get();
        // a raw value is a piece of the text
        found = Some(value.as_ptr().addr() - text.as_ptr().addr());
    }
    found.map(|offset| place_of_byte(&text, offset))
}

/// The same in the file at `path`; none when it cannot be read.
pub fn place_in_file(path: &Path, field: &str) -> Option<Place> {
    read(path).ok().and_then(|text| place_of(&text, field))
}

fn steps(field: &str) -> Option<Vec<Step<'_>>> {
    let mut path = Vec::new();
    for part in field.split('.') {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        path.push(Step::Member(name));
        for index in indices.split_terminator(']') {
            path.push(Step::Entry(index.strip_prefix('[')?.parse().ok()?));
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{ "name": "n", // the name
  "drift": ["0",
    "x0", "[,]\"{"], /* two
  lines */ "grid": {"lower": [-1.0],
    "upper":
      [1.0],},

  "parameters": {"ä": "é", "k": 1}, "matrix": [[1, 2],
    [3, 4]] }"#;

    #[test]
    fn places_of_paths() {
        for (field, line, column) in [
            ("name", 1, 11),
            ("drift", 2, 12),
            ("drift[0]", 2, 13),
            ("drift[1]", 3, 5),
            ("drift[2]", 3, 11),
            ("grid.lower[0]", 4, 31),
            ("grid.upper[0]", 6, 8),
            ("parameters.k", 8, 33),
            ("matrix[0][1]", 8, 52),
            ("matrix[1][1]", 9, 9),
            // the longest part that is there
            ("grid.nodes", 4, 20),
            ("drift[7]", 2, 12),
            ("parameters.k.z", 8, 33),
        ] {
            assert_eq!(place_of(TEXT, field), Some(Place { line, column }), "{field}");
        }
        for absent in ["horizon", "", "--steps", "a[b]", "a]["] {
            assert_eq!(place_of(TEXT, absent), None, "{absent}");
        }
        assert_eq!(place_of("{\"name\": ", "drift"), None);
        assert_eq!(place_of("", "drift"), None);
    }

    #[test]
    fn comments_become_blanks_and_nothing_moves() {
        let plain = plain_json(TEXT);
        assert_eq!(plain.len(), TEXT.len());
        for (i, (new, old)) in plain.bytes().zip(TEXT.bytes()).enumerate() {
            assert!(new == old || new == b' ', "byte {i}");
            assert_eq!(new == b'\n', old == b'\n', "byte {i}");
        }
        let value: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(value["drift"][2], "[,]\"{");
        assert_eq!(plain_json("{\"url\": \"http://a#b/*c*/\"}"), "{\"url\": \"http://a#b/*c*/\"}");
        // text that is no JSON is left to the parser
        for text in ["{ / }", "{ /* ", "\"", "//", "/", "{,}", ""] {
            assert_eq!(plain_json(text).len(), text.len(), "{text}");
        }
    }
}
