//! Results do not depend on the number of threads: arrays byte for byte, every number of the report but wall times.

use crate::desk::{Desk, finish, mixture, old_faithful, plane};
use serde_json::Value;

/// The report without what may differ.
fn comparable(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(k, _)| !["seconds", "threads", "invocation"].contains(&k.as_str()));
            Value::Object(kept.map(|(k, v)| (k.clone(), comparable(v))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(comparable).collect()),
        other => other.clone(),
    }
}

/// Run everything with 1 and with 2 threads, `start` telling the program so.
fn compare(start: impl Fn(&Desk, &mut Vec<&str>, &'static str) -> std::process::Command) {
    for (problem, command, flags) in [
        (mixture(), "solve", vec!["--nodes", "401"]),
        // several chunks of paths for each thread
        (mixture(), "rollout", vec!["--paths", "20000"]),
        (mixture(), "pift", vec!["--nodes", "401"]),
        (mixture(), "bridge", vec!["--nodes", "201"]),
        (old_faithful(), "rollout", vec!["--paths", "5000"]),
        (old_faithful(), "bridge", vec![]),
        (plane(), "rollout", vec!["--paths", "3000"]),
    ] {
        let run = |threads: &'static str| {
            let desk = Desk::new();
            desk.file("problem.json", problem.to_string());
            let mut args = vec![command, "problem.json", "--out", "out"];
            args.extend(&flags);
            let child = start(&desk, &mut args, threads).spawn().unwrap();
            let run = finish(child, command, desk.path().join("out")).good(command);
            let report = run.report();
            if command == "rollout" {
                let used = report.pointer("/rollout/simulation/threads").and_then(Value::as_u64);
                assert_eq!(used.map(|n| n.to_string()).as_deref(), Some(threads), "threads in the report");
            }
            (std::fs::read(run.out.join("solution.npz")).unwrap(), report)
        };
        let (one, two) = (run("1"), run("2"));
        assert!(one.0 == two.0, "{command}: solution.npz differs");
        assert_eq!(comparable(&one.1), comparable(&two.1), "{command}");
        assert_ne!(one.1, comparable(&one.1), "there was something to leave out");
    }
}

#[test]
fn one_and_two_threads_by_the_flag_give_the_same_bits() {
    compare(|desk, args, threads| {
        args.extend(["--threads", threads]);
        desk.program(args)
    });
}

#[test]
fn one_and_two_threads_by_the_environment_give_the_same_bits() {
    compare(|desk, args, threads| {
        let mut program = desk.program(args);
        program.env("RAYON_NUM_THREADS", threads);
        program
    });
}
