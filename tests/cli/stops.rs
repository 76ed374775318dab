//! Runs that end early, and runs that find another one's files: what is kept, what is marked, what is replaced.
#![cfg(unix)]

use crate::desk::{Desk, Outcome, edit, finish, mixture, names};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

const SMALL: [&str; 4] = ["--nodes", "61", "--steps", "8"];

/// Long enough to be met in the middle.
fn long() -> Value {
    let change = json!({"time_steps": 100_000, "bridge_steps": [8, 60_000], "scheme": {"route": "monotone"}});
    edit(&mixture(), change)
}

/// Wait until `there`, at most ten seconds.
fn until(there: impl Fn() -> bool) {
    let start = Instant::now();
    while !there() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Send a signal.
fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn a_finished_run_is_replaced_only_by_force() {
    let desk = Desk::new();
    desk.file("problem.json", mixture().to_string());
    let plain = |command: &str, more: &[&str]| desk.plain(&[&[command, "problem.json"], &SMALL[..], more].concat());
    let out = desk.path().join("out/mixture-1d");
    let files = || -> Vec<Vec<u8>> { names(&out).iter().map(|n| std::fs::read(out.join(n)).unwrap()).collect() };
    plain("solve", &[]).good("first");
    let before = files();
    for command in ["solve", "pift", "bridge", "rollout"] {
        let run = plain(command, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command}: {}", run.stderr);
        for part in ["out/mixture-1d", "finished run of solve", "--force", "--out"] {
            assert!(run.stderr.contains(part), "{command}: {part} is not in {}", run.stderr);
        }
        assert!(files() == before, "{command}");
    }
    plain("pift", &["--force"]).good("by force");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["command"], "pift");
    // one that failed may be replaced
    let too_convex = json!({
        "reward": {"kind": "quadratic", "Q": [[-1.2]], "q": [0.0]}, "kl_weight": {"kind": "formula", "beta": "0.2 + 0.8*(t/2)**20"},
        "grid": {"lower": [-8.0], "upper": [8.0]}, "time_steps": 100
    });
    desk.file("failing.json", edit(&mixture(), too_convex).to_string());
    for _ in 0..2 {
        assert_eq!(desk.plain(&["solve", "failing.json", "--out", "failed"]).code, 1);
    }
    // stopped by no force: a stranger's files
    std::fs::create_dir(desk.path().join("theirs")).unwrap();
    desk.file("theirs/solution.npz", "theirs");
    let run = plain("solve", &["--out", "theirs", "--force"]);
    assert!(run.code == 2 && run.stderr.contains("not written by hjbridge"), "{}", run.stderr);
}

/// Start `command`, end it by `signal_name` once it is `under_way`.
fn ended(desk: &Desk, problem: &Value, command: &str, signal_name: &str, under_way: impl Fn(&Path) -> bool) -> Outcome {
    desk.file("problem.json", problem.to_string());
    let child = desk.program(&[command, "problem.json", "--out", "out"]).spawn().unwrap();
    let out = desk.path().join("out");
    until(|| under_way(&out));
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, signal_name);
    finish(child, command, out)
}

#[test]
fn a_killed_run_leaves_whole_files_and_a_report_that_says_so() {
    let desk = Desk::new();
    let many = edit(&mixture(), json!({"paths": 500_000_000}));
    let run = ended(&desk, &many, "rollout", "KILL", |out| out.join("solution.npz").exists());
    assert_eq!(run.code, -1, "killed");
    let report = run.report();
    assert_eq!(report["complete"], false);
    assert!(report["error"].as_str().unwrap().contains("stopped before it finished"), "{}", report["error"]);
    // what is there under its name is whole
    assert!(run.solution().time.len() > 2);
    for name in names(&run.out) {
        assert!(name == "report.json" || name == "solution.npz" || name.starts_with('.'), "{name}");
    }
    // and the next run takes the directory without being asked twice
    desk.file("problem.json", mixture().to_string());
    desk.plain(&[&["rollout", "problem.json", "--out", "out"], &SMALL[..]].concat()).good("the next run");
}

#[test]
fn an_interrupted_run_keeps_what_it_has_finished() {
    for (command, section) in [("solve", "solve"), ("pift", "pift"), ("bridge", "bridge")] {
        let desk = Desk::new();
        // nothing is written before the end: what is met is the solver
        let run = ended(&desk, &long(), command, "INT", |_| false);
        assert_eq!(run.code, 3, "{command}: {}", run.stderr);
        assert!(run.stderr.contains("interrupted"), "{command}: {}", run.stderr);
        let report = run.report();
        assert_eq!(report["complete"], false, "{command}");
        assert!(report["error"].as_str().unwrap().contains("interrupted"), "{command}: {}", report["error"]);
        assert!(report[section].is_object(), "{command}");
        let s = run.solution();
        assert!(s.time.len() >= 2 && *s.time.last().unwrap() == 2.0, "{command}: {:?}", s.time);
        assert!(names(&run.out).iter().all(|n| !n.starts_with('.')), "{command}");
    }
}
