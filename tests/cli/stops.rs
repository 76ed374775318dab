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
    let change = json!({"time_steps": 150_000, "bridge_steps": [8, 150_000], "scheme": {"route": "monotone"}});
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
    let mut words = command.split(' ');
    let mut args = vec![words.next().unwrap(), "problem.json", "--out", "out"];
    args.extend(words);
    let child = desk.program(&args).spawn().unwrap();
    let out = desk.path().join("out");
    // the program is ready to be interrupted once it catches the signal (Linux tells; elsewhere a while must do)
    let status = format!("/proc/{}/status", child.id());
    let mask = |text: String| {
        text.lines().find_map(|l| l.strip_prefix("SigCgt:").map(|m| u64::from_str_radix(m.trim(), 16).unwrap_or(0)))
    };
    until(|| std::fs::read_to_string(&status).map_or(true, |text| mask(text).is_none_or(|m| m & 2 != 0)));
    until(|| under_way(&out));
    std::thread::sleep(Duration::from_millis(1000));
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
        let known = ["report.json", "report.html", "solution.npz"].contains(&name.as_str());
        assert!(known || name.starts_with('.'), "{name}");
    }
    let page = std::fs::read_to_string(run.out.join("report.html")).unwrap();
    assert!(page.trim_end().ends_with("</html>") && page.contains("stopped before it finished"));
    // and the next run takes the directory without being asked twice
    desk.file("problem.json", mixture().to_string());
    desk.plain(&[&["rollout", "problem.json", "--out", "out"], &SMALL[..]].concat()).good("the next run");
}

#[test]
fn an_interrupted_run_keeps_what_it_has_finished() {
    for (command, section) in [("solve", "solve"), ("pift", "pift"), ("bridge", "bridge")] {
        let desk = Desk::new();
        // nothing is written before the end: what is met is the solver
        let problem = if command == "solve" { edit(&long(), json!({"grid": {"nodes": [801]}})) } else { long() };
        let run = ended(&desk, &problem, command, "INT", |_| true);
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

#[test]
fn an_interrupted_certificate_is_marked() {
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"paths": 1000}));
    desk.run("solve", &problem, &[]).good("solve");
    std::fs::rename(desk.path().join("out/solution.npz"), desk.path().join("policy.npz")).unwrap();
    let run = ended(&desk, &problem, "certify policy.npz --force --paths 500000000", "INT", |_| true);
    assert_eq!(run.code, 3, "{}", run.stderr);
    let report = run.report();
    assert_eq!(report["complete"], false);
    let missing = report["certify"]["missing"].as_array().unwrap();
    assert!(missing.contains(&json!("J along paths")), "{missing:?}");
    assert!(run.stdout.contains("ended by the user without"), "{}", run.stdout);
}

/// Bytes that `check` foretells for `command`.
fn foretold(desk: &Desk, problem: &Value, command: &str) -> f64 {
    let run = desk.run("check", problem, &[]).good("check");
    let line = run.stdout.lines().find(|l| l.trim_start().starts_with(&format!("{command} "))).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    1e9 * words[words.iter().position(|w| *w == "GB").unwrap() - 1].parse::<f64>().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_takes_the_memory_that_check_foretells_and_no_more() {
    let desk = Desk::new();
    let change = json!({"grid": {"nodes": [2001]}, "time_steps": 3000, "scheme": {"route": "monotone"}});
    let problem = edit(&mixture(), change);
    let bytes = foretold(&desk, &problem, "solve");
    // V and U of all levels alone
    assert!(bytes > 8.0 * 2.0 * 2001.0 * 3001.0, "{bytes:e}");
    let child = desk.program(&["solve", "problem.json", "--out", "out"]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let watch = std::thread::spawn(move || {
        let mut peak = 0.0_f64;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let Some(line) = text.lines().find_map(|l| l.strip_prefix("VmHWM:")) else { break };
            let kib: f64 = line.split_whitespace().next().unwrap().parse().unwrap();
            peak = peak.max(1024.0 * kib);
            std::thread::sleep(Duration::from_millis(2));
        }
        peak
    });
    let run = finish(child, "solve", desk.path().join("out")).good("solve");
    assert!(run.out.join("solution.npz").exists());
    let peak = watch.join().unwrap();
    // check rounds to 10 MB
    assert!(peak < bytes + 1e7 && bytes < 4.0 * peak, "foretold {bytes:e}, taken {peak:e}");
}
