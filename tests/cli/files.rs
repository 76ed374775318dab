//! Output files: what may be overwritten, what must not be touched, pipes that close.

use crate::desk::{Desk, edit, finish, mixture, names};
use serde_json::{Value, json};
use std::process::Stdio;

const SMALL: [&str; 4] = ["--nodes", "61", "--steps", "8"];

#[test]
fn a_directory_of_ours_is_written_again_and_other_files_stay() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("out")).unwrap();
    desk.file("out/notes.txt", "mine");
    desk.file("out/other.npz", "mine too");
    let run = desk.run("solve", &mixture(), &SMALL).good("solve");
    let first = std::fs::read(run.out.join("solution.npz")).unwrap();
    let run = desk.run("solve", &mixture(), &SMALL).good("again");
    assert!(first == std::fs::read(run.out.join("solution.npz")).unwrap(), "the same input, the same bytes");
    let run = desk.run("rollout", &mixture(), &SMALL).good("another command");
    assert_eq!(run.report()["command"], "rollout");
    assert_eq!(std::fs::read_to_string(desk.path().join("out/notes.txt")).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(desk.path().join("out/other.npz")).unwrap(), "mine too");
    // nested directories are made
    let run = desk.run("solve", &mixture(), &[&SMALL[..], &["--quiet"]].concat()).good("quiet");
    assert_eq!(run.stdout, "");
    let mut args = vec!["solve", "problem.json", "--out", "a/b/c"];
    args.extend(SMALL);
    desk.plain(&args).good("nested");
    assert!(desk.path().join("a/b/c/report.json").exists());
}

/// The run must be refused with exit 2, naming `--out`, and the directory must stay as it is.
#[track_caller]
fn refused(desk: &Desk, what: &str) {
    let listing = || -> Vec<(String, Vec<u8>)> {
        let out = desk.path().join("out");
        names(&out).into_iter().map(|n| (n.clone(), std::fs::read(out.join(n)).unwrap_or_default())).collect()
    };
    let before = listing();
    for command in ["solve", "bridge"] {
        let run = desk.run(command, &mixture(), &SMALL);
        assert!(listing() == before, "{what}: {command} changed the directory to {:?}", names(&run.out));
        assert_eq!(run.code, 2, "{what}: {command}: {}", run.stderr);
        assert!(run.stderr.contains("--out"), "{what}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{what}");
    }
}

#[test]
fn a_stranger_s_report_is_not_overwritten() {
    for text in ["{\"program\": \"other\"}", "{}", "[]", "not JSON", "", "{\"program\": \"hjbridge\""] {
        let desk = Desk::new();
        std::fs::create_dir(desk.path().join("out")).unwrap();
        desk.file("out/report.json", text);
        refused(&desk, text);
    }
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path().join("out/report.json")).unwrap();
    refused(&desk, "report.json is a directory");
}

#[test]
fn a_stranger_s_arrays_are_not_overwritten() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("out")).unwrap();
    desk.file("out/solution.npz", "mine");
    refused(&desk, "solution.npz");
}

#[test]
fn a_stranger_s_pictures_are_not_overwritten() {
    for name in ["value_and_control.svg", "value_and_control.png"] {
        let desk = Desk::new();
        std::fs::create_dir(desk.path().join("out")).unwrap();
        desk.file(&format!("out/{name}"), "mine");
        refused(&desk, name);
    }
}

#[test]
fn out_cannot_be_a_file_or_lie_below_one() {
    let desk = Desk::new();
    desk.file("out", "a file");
    refused(&desk, "file");
    assert_eq!(std::fs::read_to_string(desk.path().join("out")).unwrap(), "a file");
    let mut args = vec!["solve", "problem.json", "--out", "out/below"];
    args.extend(SMALL);
    let run = desk.plain(&args);
    assert_eq!(run.code, 2, "below a file: {}", run.stderr);
    assert!(run.stderr.contains("--out"), "{}", run.stderr);
}

#[test]
fn a_run_that_was_stopped_from_outside_does_not_block_the_directory() {
    let desk = Desk::new();
    desk.file("problem.json", edit(&mixture(), json!({"paths": 100_000_000})).to_string());
    let mut child = desk.program(&["rollout", "problem.json", "--out", "out", "--quiet"]).spawn().unwrap();
    let out = desk.path().join("out");
    let start = std::time::Instant::now();
    while !out.join("solution.npz").exists() && start.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    desk.run("rollout", &mixture(), &SMALL).good("the next run");
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_panic() {
    let desk = Desk::new();
    desk.file("problem.json", mixture().to_string());
    for args in [&["check", "problem.json"][..], &["solve", "problem.json", "--nodes", "61", "--steps", "8"]] {
        let mut child = desk.program(args).spawn().unwrap();
        drop(child.stdout.take());
        let run = finish(child, &args.join(" "), desk.path().join("out"));
        assert!([0, 1].contains(&run.code), "{args:?}: exit {} {}", run.code, run.stderr);
    }
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(desk.path().join("out/mixture-1d/report.json")).unwrap()).unwrap();
    assert_eq!(report["complete"], true);
    // a full disk behind standard output, a closed standard error
    if let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") {
        let child = desk.program(&["check", "problem.json"]).stdout(Stdio::from(full)).spawn().unwrap();
        assert!([0, 1].contains(&finish(child, "full", desk.path().into()).code));
    }
    let mut child = desk.program(&["solve", "missing.json"]).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(finish(child, "closed standard error", desk.path().into()).code, 2);
}
