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
    let formula = crate::desk::edit(&m, json!({"kl_weight": {"kind": "formula", "beta": "1 + t"}}));
    let mut named = m.clone();
    named["kind"] = json!("fine_tuning");
    for changed in [formula, named] {
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

#[test]
fn check_says_what_would_run_at_what_price() {
    let desk = Desk::new();
    let run = desk.run("check", &crate::desk::mixture(), &["--nodes", "201", "--steps", "100", "--paths", "5000"]).good("check");
    for part in ["solve ", "rollout ", "pift ", "bridge ", " s ", "GB at most", "5000 paths of 100 steps", "N = 100", "[8, 16]"] {
        assert!(run.stdout.contains(part), "{part} is not in\n{}", run.stdout);
    }
    assert!(run.stdout.contains("grid [201] nodes"), "{}", run.stdout);
    // a network has no bridge, a controlled diffusion neither that nor pift
    let controlled = json!({
        "kind": "controlled_diffusion", "name": "c", "horizon": 1.0, "drift": ["-x0"], "start": [[0.0]],
        "grid": {"lower": [-3.0], "upper": [3.0], "nodes": [101]}, "target": {"level": "x0 - 2"}
    });
    let run = desk.run("check", &controlled, &[]).good("controlled");
    assert!(run.stdout.contains("no high order: there is a target") && !run.stdout.contains("bridge"), "{}", run.stdout);
    // more nodes take more time and memory
    let price = |nodes: &str| {
        let run = desk.run("check", &crate::desk::plane(), &["--nodes", nodes, "--steps", "1000"]).good(nodes);
        let line = run.stdout.lines().find(|l| l.trim_start().starts_with("pift ")).unwrap().to_string();
        let words: Vec<&str> = line.split_whitespace().collect();
        let seconds = words[1].parse::<f64>().unwrap()
            * [("s", 1.0), ("min", 60.0), ("h", 3600.0)].into_iter().find(|u| u.0 == words[2]).unwrap().1;
        (seconds, words[3].parse::<f64>().unwrap())
    };
    let (small, large) = (price("101"), price("401"));
    assert!(large.0 > 8.0 * small.0 && large.1 > 8.0 * small.1, "{small:?} {large:?}");
}

#[test]
fn memory_is_refused_before_anything_begins() {
    let desk = Desk::new();
    let problem = crate::desk::mixture();
    let refused = |command: &str, problem: &Value, flags: &[&str]| {
        let run = desk.run(command, problem, flags);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command} {flags:?}: {}", run.stderr);
        for part in ["GB of memory", "may be used", "--memory"] {
            assert!(run.stderr.contains(part), "{command} {flags:?}: {}", run.stderr);
        }
        assert!(!run.out.exists(), "{command} {flags:?}");
    };
    for (command, more) in
        [("solve", &[][..]), ("rollout", &[]), ("pift", &[]), ("bridge", &[]), ("sweep", &["--kl-weight", "0.5,0.7"])]
    {
        refused(command, &problem, &[more, &["--memory", "0.01"]].concat());
    }
    let controlled = json!({
        "kind": "controlled_diffusion", "name": "c", "horizon": 1.0, "drift": ["-x0"], "start": [[0.0]],
        "grid": {"lower": [-3.0], "upper": [3.0], "nodes": [101]}
    });
    for command in ["solve", "rollout"] {
        refused(command, &controlled, &["--memory", "0.01"]);
    }
    // whatever the machine: V and u of ten million steps
    refused("pift", &problem, &["--nodes", "100001", "--steps", "10000000"]);
    refused("bridge", &problem, &["--nodes", "100001", "--steps", "10000000"]);
    let run = desk.run("solve", &problem, &["--memory", "-1"]);
    assert!(run.code == 2 && run.stderr.contains("must be positive"), "{}", run.stderr);
    desk.run("pift", &problem, &["--memory", "0.2", "--steps", "8"]).good("enough");
}
