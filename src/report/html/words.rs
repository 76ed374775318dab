//! What the fields of `report.json` mean: the tables of `docs/report.md`, taken apart.

use std::collections::BTreeMap;

const DOCUMENTATION: &str = include_str!("../../../docs/report.md");

/// The description of each field, by its path without numbers of entries.
pub fn words() -> BTreeMap<String, String> {
    let (mut words, mut section) = (BTreeMap::new(), String::new());
    // the tables of report.json come first
    for line in DOCUMENTATION.lines().take_while(|l| !l.starts_with("# report.html")) {
        let Some(row) = line.strip_prefix("| ").and_then(|l| l.trim_end().strip_suffix('|')) else { continue };
        let Some((names, text)) = row.split_once(" | ") else { continue };
        let text = text.trim();
        if names == "top level" {
            section.clear();
            continue;
        }
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        // the head of a table names its section
        if let ([name], true) = (names.as_slice(), is_head(line)) {
            section = format!("{name}.");
            continue;
        }
        let text = text.replace("\\|", "|").replace('`', "");
        let stem = names.first().and_then(|n| n.rsplit_once('.')).map_or("", |(stem, _)| stem);
        for (i, name) in names.iter().enumerate().filter(|(_, n)| !n.starts_with("..")) {
            // a list names the common part once
            let inside = if i > 0 && !stem.is_empty() && !name.contains('.') { format!("{stem}.") } else { String::new() };
            words.entry(format!("{section}{inside}{}", name.replace("[]", ""))).or_insert_with(|| text.clone());
        }
    }
    words
}

/// Whether the line is followed by the rule under a head.
fn is_head(line: &str) -> bool {
    let mut lines = DOCUMENTATION.lines().skip_while(|l| *l != line);
    lines.nth(1).is_some_and(|rule| rule.starts_with("|---"))
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn fields_are_found_under_their_sections() {
        let words = words();
        for name in ["complete", "solve.value_error", "certificate.richardson.value_error", "bridge.steps", "pift.rho"] {
            assert!(words.get(name).is_some_and(|text| text.len() > 5), "{name}");
        }
        assert!(words["certificate.richardson.control_error"].contains("sup errors"));
        assert!(words["sweep.rows.kl_weight"].contains('β'));
    }
}
