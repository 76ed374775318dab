//! What helps to begin: `init`, `schema`, `completions`, `--help`.

use crate::desk::{Desk, root};
use serde_json::{Value, json};

/// A validator of the schema that the program prints.
fn validator(kind: &[&str]) -> jsonschema::Validator {
    let desk = Desk::new();
    let run = desk.plain(&[&["schema"], kind].concat()).good("schema");
    let schema: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::draft202012::new(&schema).unwrap()
}

/// The problems of the repository.
fn problems() -> Vec<(String, Value)> {
    let mut all: Vec<_> = std::fs::read_dir(root().join("data/problems"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| (path.display().to_string(), serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()))
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(all.len() >= 14);
    all
}

/// Every object in `value`, by its place.
fn objects(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            // the names of parameters are free
            if !pointer.ends_with("/parameters") {
                found.push(pointer.to_string());
            }
            members.iter().for_each(|(name, v)| objects(v, &format!("{pointer}/{name}"), found));
        }
        Value::Array(entries) => entries.iter().enumerate().for_each(|(i, v)| objects(v, &format!("{pointer}/{i}"), found)),
        _ => {}
    }
}

#[test]
fn the_schema_takes_every_problem_of_ours_and_no_misspelt_field() {
    let either = validator(&[]);
    let kinds = [validator(&["fine_tuning"]), validator(&["controlled_diffusion"])];
    let mut misspelt = 0;
    for (file, problem) in problems() {
        let controlled = problem["kind"] == "controlled_diffusion";
        let says = |p: &Value| either.iter_errors(p).map(|e| format!("{e} at {}", e.instance_path())).collect::<Vec<_>>();
        assert!(either.is_valid(&problem), "{file}: {:?}", says(&problem));
        assert_eq!(kinds.each_ref().map(|k| k.is_valid(&problem)), [!controlled, controlled], "{file}");
        let mut places = Vec::new();
        objects(&problem, "", &mut places);
        for place in places {
            let mut wrong = problem.clone();
            let object = wrong.pointer_mut(&place).unwrap().as_object_mut().unwrap();
            object.insert("horizn".into(), json!(1.0));
            assert!(!either.is_valid(&wrong), "{file}: an unknown field at {place:?}");
            misspelt += 1;
        }
        for required in ["name", if controlled { "drift" } else { "prior" }] {
            let mut without = problem.clone();
            without.as_object_mut().unwrap().remove(required);
            assert!(!either.is_valid(&without), "{file} without {required}");
        }
    }
    assert!(misspelt > 50, "{misspelt}");
}

#[test]
fn the_schema_refuses_values_that_the_program_refuses() {
    let (either, m) = (validator(&[]), crate::desk::mixture());
    assert!(either.is_valid(&m));
    for change in [
        json!({"horizon": "two"}),
        json!({"grid": {"nodes": 101}}),
        json!({"grid": {"nodes": [-5]}}),
        json!({"time_steps": 10.5}),
        json!({"kl_weight": "0.7"}),
        json!({"kl_weight": {"kind": "spline"}}),
        json!({"initial_law": "foo"}),
        json!({"prior": {"kind": "gauss"}}),
        json!({"prior": {"means": null}}),
        json!({"scheme": {"space": "central"}}),
        json!({"pift": {"inner": "foo"}}),
        json!({"kind": "other"}),
    ] {
        assert!(!either.is_valid(&crate::desk::edit(&m, change.clone())), "{change}");
    }
    for change in [json!({"kl_weight": {"kind": "formula", "beta": "1 + t"}}), json!({"kind": "fine_tuning"}), json!({"seed": 3})]
    {
        let changed = crate::desk::edit(&m, change);
        assert!(either.is_valid(&changed), "{changed}");
    }
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn visit(value: &Value, place: &str, bare: &mut Vec<String>) {
        if let Some(fields) = value.get("properties").and_then(Value::as_object) {
            for (name, field) in fields {
                if name != "kind" && field.get("description").is_none() {
                    bare.push(format!("{place}/{name}"));
                }
            }
        }
        match value {
            Value::Object(members) => members.iter().for_each(|(name, v)| visit(v, &format!("{place}/{name}"), bare)),
            Value::Array(entries) => entries.iter().enumerate().for_each(|(i, v)| visit(v, &format!("{place}/{i}"), bare)),
            _ => {}
        }
    }
    for kind in ["fine_tuning", "controlled_diffusion"] {
        let run = Desk::new().plain(&["schema", kind]).good(kind);
        let mut bare = Vec::new();
        visit(&serde_json::from_str(&run.stdout).unwrap(), "", &mut bare);
        assert!(bare.is_empty(), "{kind}: {bare:?}");
    }
}

#[test]
fn a_new_problem_runs_unchanged() {
    for (kind, commands) in [
        ("fine-tuning", &["check", "solve", "bridge", "rollout", "pift"][..]),
        ("data", &["check", "solve", "bridge"]),
        ("controlled", &["check", "solve", "rollout"]),
    ] {
        let desk = Desk::new();
        let run = desk.plain(&["init", "first", "--kind", kind]).good(kind);
        assert!(run.stdout.contains("first.json"), "{}", run.stdout);
        let text = std::fs::read_to_string(desk.path().join("first.json")).unwrap();
        assert!(text.contains("hjbridge solve  first.json") || text.contains("hjbridge solve   first.json"), "{text}");
        assert!(text.contains("//") && !text.contains("NAME"), "{text}");
        for command in commands {
            let out = format!("out-{command}");
            let flags: &[&str] = if *command == "check" { &[] } else { &["--out", &out] };
            let run = desk.plain(&[&[*command, "first.json"], flags].concat()).good(&format!("{command} of {kind}"));
            assert!(run.stdout.contains("first"), "{}", run.stdout);
            if *command != "check" {
                let report = std::fs::read_to_string(desk.path().join(&out).join("report.json")).unwrap();
                let report: Value = serde_json::from_str(&report).unwrap();
                assert_eq!((&report["complete"], &report["problem"]["name"]), (&json!(true), &json!("first")), "{command}");
            }
        }
    }
}

#[test]
fn init_replaces_nothing_unasked() {
    let desk = Desk::new();
    desk.file("my-problem.json", "mine");
    let run = desk.plain(&["init"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("my-problem.json") && run.stderr.contains("--force"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(desk.path().join("my-problem.json")).unwrap(), "mine");
    desk.plain(&["init", "--force"]).good("force");
    desk.plain(&["check", "my-problem.json"]).good("check");
    // the data beside it are a file too
    desk.file("geyser.csv", "mine");
    let run = desk.plain(&["init", "geyser", "--kind", "data"]);
    assert!(run.code == 2 && run.stderr.contains("geyser.csv"), "{}", run.stderr);
    assert!(!desk.path().join("geyser.json").exists());
    desk.plain(&["init", "a", "--kind", "data", "--out", "deep/er/b \"c\".json"]).good("elsewhere");
    desk.plain(&["check", "deep/er/b \"c\".json"]).good("elsewhere");
    for name in ["", "a/b", "..", "x\"y"] {
        let run = desk.plain(&["init", name]);
        assert!(run.code == 2 && run.stderr.contains("name"), "{name}: {}", run.stderr);
    }
    assert_eq!(desk.names(), ["deep", "geyser.csv", "my-problem.json"]);
}

#[test]
fn completions_know_the_commands_and_flags() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = desk.plain(&["completions", shell]).good(shell);
        for word in ["bridge", "init", "kl-weight", "parametric"] {
            assert!(run.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(desk.plain(&["completions", "dos"]).code, 2);
    // the shell itself takes the script
    let script = desk.plain(&["completions", "bash"]).stdout;
    desk.file("hjbridge.bash", script);
    if let Ok(status) = std::process::Command::new("bash").arg("-n").arg(desk.path().join("hjbridge.bash")).status() {
        assert!(status.success());
    }
}

#[test]
fn every_command_s_help_has_examples_that_parse() {
    let desk = Desk::new();
    let top = desk.plain(&["--help"]).good("help").stdout;
    let commands: Vec<&str> = top
        .lines()
        .skip_while(|l| !l.starts_with("Commands:"))
        .skip(1)
        .take_while(|l| l.starts_with("  "))
        .filter_map(|l| l.split_whitespace().next())
        .filter(|c| *c != "help")
        .collect();
    assert!(commands.len() >= 9, "{commands:?}");
    for command in commands {
        let help = desk.plain(&[command, "--help"]).good(command).stdout;
        let examples: Vec<&str> =
            help.lines().skip_while(|l| *l != "Examples:").filter(|l| l.starts_with("  hjbridge ")).collect();
        assert!(!examples.is_empty(), "{command}: no examples\n{help}");
        for line in examples {
            // the command, without what is said about it
            let words: Vec<&str> = line
                .trim()
                .split("   ")
                .next()
                .unwrap()
                .split(" > ")
                .next()
                .unwrap()
                .trim_end_matches('\\')
                .split_whitespace()
                .collect();
            assert_eq!(words[1], command, "{line}");
            // a flag that is not known, or a value that is not allowed, is said by clap before the file is missed
            let run = desk.plain(&words[1..]);
            assert!(!run.stderr.contains("Usage:"), "{line}: {}", run.stderr);
        }
    }
}
