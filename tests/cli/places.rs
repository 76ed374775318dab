//! Errors say where in which file: line, column, field, and what was probably meant.

use crate::desk::{Desk, root};

const FINE_TUNING: &str = r#"// the Gaussian
{ "name": "places", "horizon": 2.0,
  "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
  "prior": {"kind": "gaussian",
            "mean": [0.5], /* over
                              two lines */ "covariance": [[0.4]]},
  "reward": {"kind": "linear", "q": [1.0]},
  "kl_weight": 0.7,
  "grid": {"lower": [-6.0], "upper": [6.0], "nodes": [101]}, "time_steps": 20,
}
"#;

const CONTROLLED: &str = r#"{ "kind": "controlled_diffusion", "name": "places", "horizon": 1.0,
  "parameters": {"kappa": 2},
  "drift": ["-kappa*x0"],
  "terminal": "-x0**2",
  "grid": {"lower": [-3.0], "upper": [3.0], "nodes": [101]}, "time_steps": 20 }
"#;

/// The message on the text with `old` replaced by `new`, which must be refused.
#[track_caller]
fn refused(text: &str, old: &str, new: &str, needed: &[&str]) {
    assert!(text.contains(old), "{old}");
    let desk = Desk::new();
    let changed = text.replacen(old, new, 1);
    for command in ["check", "solve"] {
        let run = desk.text(command, &changed, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command} {new}: {}", run.stderr);
        for part in needed {
            assert!(run.stderr.contains(part), "{command} {new}: \"{part}\" is not in {}", run.stderr);
        }
    }
}

#[test]
fn the_texts_themselves_are_good() {
    for text in [FINE_TUNING, CONTROLLED, &format!("\u{feff}{CONTROLLED}"), &FINE_TUNING.replace('\n', "\r\n")] {
        Desk::new().text("check", text, &[]).good("check");
    }
}

#[test]
fn misspelt_names_are_corrected() {
    let f = |old: &str, new: &str, needed: &[&str]| refused(FINE_TUNING, old, new, needed);
    f("horizon", "horizn", &["problem.json, line 2, column 31", "`horizn`", "did you mean `horizon`?"]);
    f("nodes", "noeds", &["line 9, column 5", "grid", "did you mean `nodes`?"]);
    f("b_max", "bmax", &["line 3, column 56", "schedule", "did you mean `b_max`?"]);
    f("\"covariance\"", "\"covarience\"", &["line 6, column 58", "prior", "did you mean `covariance`?"]);
    f("gaussian", "gausian", &["line 4, column 21", "prior.kind", "did you mean `gaussian`?"]);
    f("\"horizon\"", "\"initial_law\": \"optmal\", \"horizon\"", &["line 2, column", "initial_law", "did you mean `optimal`?"]);
    let c = |old: &str, new: &str, needed: &[&str]| refused(CONTROLLED, old, new, needed);
    c("controlled_diffusion", "controled_diffusion", &["line 1, column 11", "kind", "did you mean `controlled_diffusion`?"]);
    c("-kappa*x0", "-kapa*x0", &["line 3, column 13", "drift[0]", "did you mean `kappa`?"]);
    c("-x0**2", "-cso(x0)", &["line 4, column 15", "terminal", "did you mean `cos`?"]);
    c("terminal", "terminl", &["line 4", "did you mean `terminal`?"]);
}

#[test]
fn values_are_placed_where_they_stand() {
    let f = |old: &str, new: &str, needed: &[&str]| refused(FINE_TUNING, old, new, needed);
    f("2.0,", "-2.0,", &["problem.json, line 2, column 32: horizon = -2"]);
    f("0.7", "0", &["problem.json, line 8, column 16: kl_weight = 0"]);
    f("[[0.4]]", "[[-0.4]]", &["problem.json, line 6, column 58: prior.covariance"]);
    f("[[0.4]]", "[[true]]", &["problem.json, line 6, column 60: prior.covariance[0][0]"]);
    f("[101]", "[3]", &["problem.json, line 9, column 55: grid.nodes[0] = 3"]);
    f("[101]", "[3, \"é\", 4]", &["problem.json, line 9, column 58: grid.nodes[1]"]);
    f("20,", "20, \"pift\": {\"tolerance\": -1}", &["line 9, column 102: pift.tolerance = -1"]);
    let c = |old: &str, new: &str, needed: &[&str]| refused(CONTROLLED, old, new, needed);
    c("1.0,", "0,", &["line 1, column 64: horizon = 0"]);
    c("-kappa*x0", "1/(x0 - x0)", &["line 3, column 13", "drift[0]"]);
}

#[test]
fn data_are_placed_in_their_own_file() {
    let good = std::fs::read_to_string(root().join("data/old_faithful.csv")).unwrap();
    let text = FINE_TUNING
        .replace("\"gaussian\"", "\"samples\", \"file\": \"data.csv\", \"columns\": [\"waiting\"]")
        .replace("            \"mean\": [0.5], /* over", "")
        .replace("                              two lines */ \"covariance\": [[0.4]]", "");
    let desk = Desk::new();
    desk.file("data.csv", &good);
    assert!(text.contains("data.csv"));
    let without_comma = text.replace("[\"waiting\"],", "[\"waiting\"]");
    desk.text("check", &without_comma, &[]).good("good data");
    let lines: Vec<&str> = good.lines().collect();
    for (label, bad, needed) in [
        ("word", "3.6,long", ["data.csv, line 5 (row 4)", "`waiting`", "`long`"]),
        ("infinite", "3.6,inf", ["data.csv, line 5 (row 4)", "`waiting`", "finite"]),
        ("short", "3.6", ["data.csv, line 5 (row 4)", "number of entries", "data.csv"]),
    ] {
        let mut changed = lines.clone();
        changed[4] = bad;
        desk.file("data.csv", changed.join("\n"));
        let run = desk.text("check", &without_comma, &[]);
        assert_eq!(run.code, 2, "{label}");
        for part in needed {
            assert!(run.stderr.contains(part), "{label}: {part} is not in {}", run.stderr);
        }
    }
    // a column that is not there is a mistake of the problem file
    desk.file("data.csv", &good);
    let run = desk.text("check", &without_comma.replace("[\"waiting\"]", "[\"wating\"]"), &[]);
    for part in ["problem.json, line 4, column", "prior.columns[0]", "did you mean `waiting`?"] {
        assert!(run.stderr.contains(part), "{part} is not in {}", run.stderr);
    }
}
