//! `mpirun hjbridge` (feature `mpi`): the same figures for any number of processes, and an end when one of them is lost.
//! Needs Open MPI's `mpirun`.
#![allow(missing_docs)]

use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hjbridge");

/// More than any run here takes; one that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

fn data(name: &str) -> String {
    format!("{}/data/problems/{name}.json", env!("CARGO_MANIFEST_DIR"))
}

fn mpirun() -> Command {
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "--bind-to", "none"]);
    // containers run tests as root
    command.envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")]);
    command
}

/// Wait for a child, no longer than [`LIMIT`].
fn wait(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("no end after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

fn run(mut command: Command) -> Output {
    wait(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mpirun is needed: install openmpi-bin"))
}

/// The program on `size` processes with one thread each; without `mpirun` for size 0.
fn on(size: usize, arguments: &[&str], out: &Path) -> Output {
    let mut command = if size == 0 { Command::new(PROGRAM) } else { mpirun() };
    if size > 0 {
        command.args(["-n", &size.to_string(), PROGRAM]);
    }
    command.args(arguments).args(["--threads", "1", "--out"]).arg(out);
    run(command)
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The report without what belongs to the machine: times, numbers of threads and ranks, paths of files.
fn figures(out: &Path) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !["seconds", "threads", "ranks", "figures", "invocation"].contains(&name.as_str()));
                fields.values_mut().for_each(strip);
            }
            Value::Array(entries) => entries.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut report = serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap();
    strip(&mut report);
    report
}

/// Run on 0 (no mpirun), 1, 2 and 4 processes; the reports must agree in every bit. Returns the report.
fn same_everywhere(arguments: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for size in [0, 1, 2, 4] {
        let out = dir.path().join(size.to_string());
        let output = on(size, arguments, &out);
        assert!(output.status.success(), "{size}: {}", text(&output));
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.matches("written to").count(), 1, "one process speaks: {said}");
        let found = figures(&out);
        let expected = first.get_or_insert_with(|| found.clone());
        assert!(*expected == found, "{arguments:?} on {size} processes:\n{expected:#}\n{found:#}");
        if arguments[0] == "sweep" {
            let csv = |size: usize| std::fs::read(dir.path().join(size.to_string()).join("sweep.csv")).unwrap();
            assert!(csv(0) == csv(size), "{size}");
        }
    }
    first.unwrap()
}

#[test]
fn rollouts_have_the_same_bits_on_any_number_of_processes() {
    let (mixture, well) = (data("mixture_1d"), data("double_well_soc"));
    let small = ["--nodes", "201", "--steps", "40"];
    let report = same_everywhere(&[&["rollout", &mixture, "--paths", "150000"], &small[..]].concat());
    assert_eq!(report["rollout"]["simulation"]["paths"], 150_000);
    // a rule ends the run after several waves, wherever they were run
    let report = same_everywhere(&[&["rollout", &mixture, "--target-stderr", "6e-4"], &small[..]].concat());
    let paths = report["rollout"]["simulation"]["paths"].as_u64().unwrap();
    assert!(
        report["rollout"]["simulation"]["stopped_by"] == "standard_error" && paths > 2 * 32_768 && paths.is_multiple_of(32_768),
        "{paths}"
    );
    same_everywhere(&["rollout", &well, "--paths", "70000", "--nodes", "201", "--steps", "40", "--antithetic"]);
}

#[test]
fn a_run_is_resumed_on_another_number_of_processes() {
    let dir = tempfile::tempdir().unwrap();
    let (problem, file) = (data("mixture_1d"), dir.path().join("checkpoint.json"));
    let go = |size: usize, name: &str, arguments: &[&str]| {
        let out = dir.path().join(name);
        let output = on(size, &[&["rollout", &problem, "--nodes", "201", "--steps", "40"], arguments].concat(), &out);
        assert!(output.status.success(), "{}", text(&output));
        figures(&out)["rollout"]["estimates"].clone()
    };
    let file = file.to_str().unwrap();
    let uncut = go(0, "uncut", &["--paths", "200000"]);
    go(3, "cut", &["--paths", "70400", "--checkpoint", file]);
    assert!(go(2, "resumed", &["--paths", "200000", "--checkpoint", file, "--resume"]) == uncut);
}

#[test]
fn sweeps_have_the_same_bits_on_any_number_of_processes() {
    let problem = data("mixture_1d");
    let report =
        same_everywhere(&["sweep", &problem, "--kl-weight", "1.6,0.4,0.8", "--nodes", "201", "--steps", "40", "--paths", "4000"]);
    let weights: Vec<f64> =
        report["sweep"]["rows"].as_array().unwrap().iter().map(|r| r["kl_weight"].as_f64().unwrap()).collect();
    assert_eq!(weights, [0.4, 0.8, 1.6]);
}

#[test]
fn bad_input_is_said_once_and_with_its_code() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.json");
    std::fs::write(&bad, "{").unwrap();
    for arguments in [vec!["rollout", bad.to_str().unwrap()], vec!["solve", &data("mixture_1d")]] {
        let output = on(3, &arguments, &dir.path().join("out"));
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.matches("hjbridge: error").count(), 1, "{said}");
        assert!(!dir.path().join("out").exists());
    }
}

#[test]
fn a_process_that_fails_alone_ends_all() {
    // Process 1 has another file than process 0: one that is not there, then one with another seed.
    let dir = tempfile::tempdir().unwrap();
    let good = data("mixture_1d");
    let common = ["--paths", "100000", "--nodes", "201", "--steps", "40", "--threads", "1", "--out"];
    for (other, needed) in [(["nowhere.json", "--seed", "0"], "rank 1"), ([&good, "--seed", "77"], "differs from rank 0")] {
        let mut command = mpirun();
        let out = dir.path().join("out");
        command.args(["-n", "1", PROGRAM, "rollout", &good]).args(common).arg(&out);
        command.args([":", "-n", "1", PROGRAM, "rollout"]).args(other).args(common).arg(&out);
        let output = run(command);
        let said = text(&output);
        assert!(output.status.code() == Some(1) && said.contains(needed), "{:?} {said}", output.status);
    }
}

/// Processes of the program that descend from `parent`.
fn descendants(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|s| s.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // id (name) state parent ...
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        let ancestor: Option<u32> = rest.split_whitespace().nth(1).and_then(|s| s.parse().ok());
        if ancestor == Some(parent) && name.contains("hjbridge") {
            found.push(id);
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn a_process_that_is_killed_ends_all() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("checkpoint.json");
    let mut command = mpirun();
    command.args([
        "-n",
        "3",
        PROGRAM,
        "rollout",
        &data("mixture_1d"),
        "--paths",
        "2000000000",
        "--nodes",
        "201",
        "--steps",
        "40",
    ]);
    command.args(["--threads", "1", "--checkpoint"]).arg(&checkpoint).arg("--out").arg(dir.path().join("out"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // the first wave has been written: all are at work
    let start = Instant::now();
    while !checkpoint.exists() {
        assert!(child.try_wait().unwrap().is_none(), "ended early: {}", text(&wait(child)));
        assert!(start.elapsed() < LIMIT, "no checkpoint");
        std::thread::sleep(Duration::from_millis(50));
    }
    let ranks = descendants(child.id());
    assert_eq!(ranks.len(), 3, "{ranks:?}");
    let killed = Instant::now();
    assert!(Command::new("kill").args(["-9", &ranks[1].to_string()]).status().unwrap().success());
    let output = wait(child);
    assert!(!output.status.success() && killed.elapsed() < Duration::from_secs(30), "{:?}", output.status);
    // the launcher may be gone a moment before the processes that it ended; a zombie has ended
    let runs = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    };
    while ranks.iter().any(runs) {
        assert!(killed.elapsed() < Duration::from_secs(30), "a process was left behind");
        std::thread::sleep(Duration::from_millis(50));
    }
    // what rank 0 wrote last can be continued
    let state: Value = serde_json::from_str(&std::fs::read_to_string(&checkpoint).unwrap()).unwrap();
    assert!(state["states"][0]["paths"].as_u64().unwrap() >= 32_768);
}

#[test]
fn a_process_that_panics_ends_all() {
    let mut command = mpirun();
    command.args(["-n", "3"]).arg(std::env::current_exe().unwrap()).args([
        "panicking_rank",
        "--exact",
        "--ignored",
        "--nocapture",
    ]);
    let start = Instant::now();
    let output = run(command);
    assert!(!output.status.success() && start.elapsed() < Duration::from_secs(30), "{:?}", output.status);
    assert!(text(&output).contains("told to panic"), "{}", text(&output));
}

/// The program of `a_process_that_panics_ends_all`: one process panics in a thread while the others wait for it.
#[test]
#[ignore = "run by a_process_that_panics_ends_all under mpirun"]
fn panicking_rank() {
    use hjbridge::rollout::ranks::{MpiRank, share};
    let rank = MpiRank::start().unwrap();
    let rank: &dyn hjbridge::rollout::Ranks = &rank;
    share(rank, vec![1]).unwrap();
    if rank.rank() == 1 {
        std::thread::spawn(|| panic!("told to panic")).join().unwrap_err();
    }
    share(rank, vec![2]).unwrap();
}
