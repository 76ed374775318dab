//! The line of a field in the text of a problem file, for errors found after parsing.
//!
//! The text is parsed once more and the parser stopped at the field: its own error then has the line.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A step of a path such as `controls.upper[1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step<'p> {
    Member(&'p str),
    Entry(usize),
}

/// Line, from 1, of the value at `field` (`drift[0]`, `grid.lower`), or of the longest beginning of that path which the text has;
/// none when it has not even the first member.
pub fn line_of(text: &str, field: &str) -> Option<usize> {
    let mut path = steps(field)?;
    while !path.is_empty() {
        if let Err(stop) = Seek(&path).deserialize(&mut serde_json::Deserializer::from_str(text)) {
            // a text that is no JSON stops anywhere
            return (stop.is_data() && stop.line() > 0).then_some(stop.line());
        }
        path.pop();
    }
    None
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

/// Reads a value and stops with an error at the end of the path; a value without it is read to its end.
struct Seek<'p>(&'p [Step<'p>]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Visits of values that end a path or have no parts.
macro_rules! plain {
    ($($visit:ident: $kind:ty),*) => {
        $(fn $visit<E: Error>(self, _: $kind) -> Result<(), E> {
            self.here()
        })*
    };
}

impl Seek<'_> {
    fn here<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom("here")) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    plain!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.here()
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.here()?;
        while let Some(name) = members.next_key::<String>()? {
            match self.0.split_first() {
                Some((Step::Member(wanted), rest)) if *wanted == name => members.next_value_seed(Seek(rest))?,
                _ => members.next_value::<IgnoredAny>().map(|_| ())?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.here()?;
        if let Some((Step::Entry(wanted), rest)) = self.0.split_first() {
            for _ in 0..*wanted {
                if entries.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(());
                }
            }
            if entries.next_element_seed(Seek(rest))?.is_none() {
                return Ok(());
            }
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const TEXT: &str = r#"{ "name": "n",
  "drift": ["0",
    "x0", "[,]\"{"],
  "grid": {"lower": [-1.0],
    "upper":
      [1.0]},

  "parameters": {"k": 1}, "matrix": [[1, 2],
    [3, 4]] }"#;

    #[test]
    fn lines_of_paths() {
        for (field, line) in [
            ("name", 1),
            ("drift", 2),
            ("drift[0]", 2),
            ("drift[1]", 3),
            ("drift[2]", 3),
            ("grid.lower[0]", 4),
            ("grid.upper[0]", 6),
            ("parameters.k", 8),
            ("matrix[0][1]", 8),
            ("matrix[1][1]", 9),
            // the longest part that is there
            ("grid.nodes", 4),
            ("drift[7]", 2),
            ("parameters.k.z", 8),
        ] {
            assert_eq!(line_of(TEXT, field), Some(line), "{field}");
        }
        for absent in ["horizon", "", "--steps", "a[b]", "a]["] {
            assert_eq!(line_of(TEXT, absent), None, "{absent}");
        }
        assert_eq!(line_of("{\"name\": ", "drift"), None);
        assert_eq!(line_of("", "drift"), None);
    }
}
