//! `sweep`: the table against closed forms, the files, and weights that are refused.

use crate::desk::{Desk, edit, mixture, names, number, plane, shipped};
use serde_json::{Value, json};

#[track_caller]
fn get(row: &Value, name: &str) -> f64 {
    number(row, &format!("/{name}"))
}

#[test]
fn the_optimum_of_a_gaussian_problem_at_every_weight() {
    // From the optimal initial law Y_T has the tilted law, here a Gaussian: its mean reward needs no value function.
    let lq = edit(
        &shipped("lq_1d.json"),
        json!({"initial_law": "optimal", "kl_weight": 1.0, "grid": {"nodes": [401]}, "time_steps": 200, "paths": 20000}),
    );
    let desk = Desk::new();
    let run = desk.run("sweep", &lq, &["--kl-weight", "2,0.5,1"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let report = run.report();
    let rows = report["sweep"]["rows"].as_array().unwrap();
    let (prior, reward) = (&lq["prior"], &lq["reward"]);
    let (m, s2) = (number(prior, "/mean/0"), number(prior, "/covariance/0/0"));
    let (q2, q1) = (number(reward, "/Q/0/0"), number(reward, "/q/0"));
    assert_eq!(rows.iter().map(|r| get(r, "kl_weight")).collect::<Vec<_>>(), [0.5, 1.0, 2.0]);
    for row in rows {
        let value = |name: &str| get(row, name);
        let beta = value("kl_weight");
        let precision = 1.0 / s2 + q2 / beta;
        let mean = (m / s2 + q1 / beta) / precision;
        let exact = -0.5 * q2 * (mean * mean + 1.0 / precision) + q1 * mean;
        assert!((value("reward_exact") - exact).abs() < 1e-6, "{beta}: {} {exact}", value("reward_exact"));
        // J = reward - beta KL, in exact numbers and in simulated ones
        let gap = value("reward_exact") - beta * value("kl_exact") - value("optimum_exact");
        assert!(gap.abs() < 1e-12);
        assert!((value("reward") - beta * value("kl") - value("objective")).abs() < 1e-12);
        assert!((value("optimum") - value("optimum_exact")).abs() < 1e-3 && value("value_error") < 1e-2);
        // the chain of 200 steps is about 1 % off
        for name in ["reward", "kl"] {
            let (found, error) = (value(name), value(&format!("{name}_stderr")));
            let exact = value(&format!("{name}_exact"));
            assert!(
                (found - exact).abs() < 4.0 * error + 0.02 * (1.0 + exact.abs()),
                "{name} at {beta}: {found} {error} {exact}"
            );
        }
        assert!(value("z_score").abs() < 4.0);
    }
    // a larger weight buys less
    for name in ["reward_exact", "kl_exact", "reward", "kl"] {
        assert!(rows.windows(2).all(|w| get(&w[0], name) > get(&w[1], name)), "{name}");
    }
}

#[test]
fn files_of_a_sweep() {
    let desk = Desk::new();
    let run = desk.run("sweep", &mixture(), &["--kl-weight", "0.3,0.7,3", "--seed", "5"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(
        names(&run.out),
        ["report.html", "report.json", "sweep.csv", "sweep.png", "sweep.svg", "sweep_pift.png", "sweep_pift.svg"]
    );
    let report = run.report();
    let mut reader = csv::Reader::from_path(run.out.join("sweep.csv")).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_string).collect();
    let rows = report["sweep"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for (line, row) in reader.records().zip(rows) {
        let line = line.unwrap();
        assert_eq!(header.len(), row.as_object().unwrap().len());
        for (name, cell) in header.iter().zip(line.iter()) {
            assert_eq!(cell.parse::<f64>().ok(), row[name].as_f64(), "{name}: {cell:?}");
        }
    }
    // the weight of the file: the same optimum as `solve`, though the reward's temperature stays what it was
    let solve = desk.run("solve", &edit(&mixture(), json!({"scheme": {"route": "monotone"}})), &[]);
    assert!((get(&rows[1], "optimum") - number(&solve.report(), "/solve/objective")).abs() < 1e-9);
    assert!(run.stdout.contains("largest |z|"));
}

#[test]
fn a_sweep_in_the_plane() {
    let desk = Desk::new();
    let run = desk.run("sweep", &plane(), &["--kl-weight", "0.6,1.2"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(number(&run.report(), "/sweep/rows/0/kl_exact") > 0.0);
}

#[test]
fn weights_that_are_refused() {
    let desk = Desk::new();
    // a reward that grows: below a weight its tilt is no law
    let growing = edit(&shipped("lq_1d.json"), json!({"reward": {"Q": [[-0.4]]}, "kl_weight": 5.0}));
    for (problem, weights, needed) in [
        (mixture(), "0.5,0", "--kl-weight = 0: must be positive"),
        (mixture(), "0.5,nan", "--kl-weight = NaN"),
        (mixture(), "0.5,-1", "--kl-weight = -1"),
        (mixture(), "0.5,0.5", "--kl-weight = 0.5: is there twice"),
        (growing, "5,0.01", "--kl-weight = 0.01"),
    ] {
        let run = desk.run("sweep", &problem, &[&format!("--kl-weight={weights}")]);
        assert!(run.code == 2 && run.stderr.contains(needed), "{weights}: {} {}", run.code, run.stderr);
        assert!(!run.out.exists());
    }
}

/// Several copies under `mpirun` would all write the same files.
#[test]
#[cfg(not(feature = "mpi"))]
fn mpirun_without_mpi_is_refused() {
    let desk = Desk::new();
    let file = desk.file("p.json", mixture().to_string());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hjbridge"));
    let output = command.arg("rollout").arg(file).env("OMPI_COMM_WORLD_SIZE", "2").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features mpi"));
}
