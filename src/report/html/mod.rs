//! `report.html`: one page for a run, without network and without other files.
//!
//! Words, tables and formulas are written here and can be read without scripts; figures and the tree of all numbers are drawn in
//! the browser by `report.js` from data inside the page. A policy in the page forbids it to load anything.

mod fields;
mod formula;
mod problem_text;
mod summary;
mod words;

pub use fields::Fields;

use super::figure::{Chart, FigureInfo};
use super::{ReportError, atomic};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use formula::escape;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// Name of the page.
pub const PAGE: &str = "report.html";

const TEMPLATE: &str = include_str!("template.html");
const STYLE: &str = include_str!("report.css");
const SCRIPTS: [&str; 4] =
    [include_str!("chart.js"), include_str!("maps.js"), include_str!("tree.js"), include_str!("report.js")];

/// Pictures that the page draws itself from [`Fields`].
const DRAWN_AGAIN: [&str; 6] = ["value_and_control", "value", "value_profiles", "control_profiles", "plane_start", "plane_late"];

/// Largest picture that is put into the page, in bytes.
const LARGEST_PICTURE: usize = 1_500_000;

/// Write `report.html` into `directory`, whole or not at all. `report` is what `report.json` has; `fields` is absent where a run
/// has no solution on a grid.
///
/// # Errors
/// The file system refuses.
pub fn write<T: Serialize>(
    report: &T,
    figures: &[FigureInfo],
    fields: Option<&Fields>,
    directory: &Path,
) -> Result<(), ReportError> {
    let path = directory.join(PAGE);
    let text = page(report, figures, fields).map_err(|e| ReportError::io(&path, e.into()))?;
    atomic::replace(&path, |p| std::fs::write(p, &text).map_err(|e| ReportError::io(p, e)))
}

/// A picture that has no lines to draw again.
#[derive(Serialize)]
struct Picture {
    name: String,
    png: String,
}

/// The page.
fn page<T: Serialize>(report: &T, figures: &[FigureInfo], fields: Option<&Fields>) -> Result<String, serde_json::Error> {
    let value = serde_json::to_value(report)?;
    let charts: Vec<&Chart> = figures.iter().flat_map(|f| &f.charts).filter(|c| !c.series.is_empty()).collect();
    let drawn = |info: &FigureInfo| info.charts.is_empty() && !(fields.is_some() && drawn_again(info));
    let pictures: Vec<Picture> = figures.iter().filter(|f| drawn(f)).filter_map(picture).collect();
    let rows = summary::rows(&value);
    let warnings = rows.iter().filter(|r| r.mark == summary::Mark::Warn).count();
    let command = value["command"].as_str().unwrap_or("run");
    let title = value["problem"]["name"].as_str().map_or(command.into(), |name| format!("{command} on {name}"));
    let problem = serde_json::to_string_pretty(&value["problem"])?;
    let data = |json: Result<String, serde_json::Error>| json.map(|text| text.replace('<', "\\u003c"));
    Ok(fill(&[
        ("title", &escape(&title)),
        ("style", STYLE),
        ("banner", &banner(&value)),
        ("problem_text", &problem_text::problem_text(&value["problem"])),
        ("verdict", &verdict(warnings)),
        ("summary", &summary::table(&rows)),
        ("command", &escape(&command_line(&value))),
        ("facts", &facts(&value)),
        ("problem", &escape(&problem)),
        ("report", &data(serde_json::to_string(report))?),
        ("fields", &data(serde_json::to_string(&fields))?),
        ("charts", &data(serde_json::to_string(&charts))?),
        ("pictures", &data(serde_json::to_string(&pictures))?),
        ("words", &data(serde_json::to_string(&words::words()))?),
        ("script", &SCRIPTS.concat()),
    ]))
}

/// The template with `{{name}}` replaced; what is put in is not looked at again.
fn fill(parts: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(parts.iter().map(|p| p.1.len()).sum::<usize>() + TEMPLATE.len());
    for (i, piece) in TEMPLATE.split("{{").enumerate() {
        match piece.split_once("}}").filter(|_| i > 0) {
            Some((name, rest)) => {
                out += parts.iter().find(|p| p.0 == name).map_or("", |p| p.1);
                out += rest;
            }
            None => out += piece,
        }
    }
    out
}

fn drawn_again(info: &FigureInfo) -> bool {
    info.png.file_stem().is_some_and(|stem| DRAWN_AGAIN.iter().any(|name| stem == *name))
}

fn picture(info: &FigureInfo) -> Option<Picture> {
    let bytes = std::fs::read(&info.png).ok().filter(|b| b.len() <= LARGEST_PICTURE)?;
    Some(Picture { name: info.png.file_stem()?.to_string_lossy().replace('_', " "), png: STANDARD.encode(bytes) })
}

fn banner(report: &Value) -> String {
    if report["complete"] == true {
        return String::new();
    }
    let reason = report["error"].as_str().unwrap_or("no reason known");
    format!(
        "<div class=\"banner\" role=\"alert\"><strong>This run is not complete.</strong> {}. The page shows what was finished.</div>",
        escape(reason.trim_end_matches('.'))
    )
}

fn verdict(warnings: usize) -> String {
    match warnings {
        0 => "<p class=\"verdict pass\">Nothing to warn about.</p>".into(),
        1 => "<p class=\"verdict warn\">One warning.</p>".into(),
        n => format!("<p class=\"verdict warn\">{n} warnings.</p>"),
    }
}

/// The command as a shell would take it.
fn command_line(report: &Value) -> String {
    let words: Vec<&str> = report["invocation"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() {
        let file = if report["problem"].is_object() { " problem.json" } else { "" };
        return format!("hjbridge {}{file}", report["command"].as_str().unwrap_or_default());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+@%".contains(c);
    let quoted = |word: &&str| match word.is_empty() || !word.chars().all(plain) {
        true => format!("'{}'", word.replace('\'', "'\\''")),
        false => word.to_string(),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn facts(report: &Value) -> String {
    let system = format!("{}, {}", std::env::consts::OS, std::env::consts::ARCH);
    let threads = report.pointer("/rollout/simulation/threads").and_then(Value::as_u64);
    let threads = threads.unwrap_or(rayon::current_num_threads() as u64);
    let rows = [
        ("program", format!("hjbridge {}", report["version"].as_str().unwrap_or("-"))),
        ("format of report.json", report["format"].to_string()),
        ("seed", report.pointer("/problem/seed").map_or("-".into(), Value::to_string)),
        ("threads", format!("{threads} (results do not depend on it)")),
        ("system", system),
    ];
    rows.iter().map(|(name, text)| format!("<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n", escape(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::AnyProblemFile;
    use crate::report::Report;

    fn report(name: &str) -> Report {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems").join(name)).unwrap();
        let mut problem: Value = serde_json::from_str(&text).unwrap();
        problem["description"] = "</script><script>alert('{{report}}')</script>".into();
        Report::new("solve", AnyProblemFile::parse(&problem.to_string(), Path::new(name)).unwrap())
    }

    #[test]
    fn texts_of_the_file_cannot_become_markup() {
        for name in ["mixture_1d.json", "double_well_exit.json", "digits.json"] {
            let html = page(&report(name), &[], None).unwrap();
            assert_eq!(html.matches("<script").count(), 6, "{name}: five blocks of data and the program");
            assert_eq!(html.matches("</script").count(), 6, "{name}");
            assert!(html.contains("alert(&#39;{{report}}&#39;)"), "{name}: nothing is filled into what was put in");
        }
    }

    #[test]
    fn an_unfinished_run_has_a_banner() {
        let mut report = report("mixture_1d.json");
        assert!(!page(&report, &[], None).unwrap().contains("role=\"alert\""));
        (report.complete, report.error) = (false, Some("no <luck>".into()));
        assert!(page(&report, &[], None).unwrap().contains("no &lt;luck&gt;"));
    }

    #[test]
    fn the_command_can_be_pasted() {
        let mut report = report("mixture_1d.json");
        assert_eq!(command_line(&serde_json::to_value(&report).unwrap()), "hjbridge solve problem.json");
        report.invocation = ["hjbridge", "solve", "my file's.json", "--nodes", "101,51"].map(String::from).into();
        assert_eq!(command_line(&serde_json::to_value(&report).unwrap()), "hjbridge solve 'my file'\\''s.json' --nodes 101,51");
    }
}
