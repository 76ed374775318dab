//! `certify`: the program's own solutions and networks as policies, and where its files go.

use crate::desk::{Desk, edit, mixture, names, number, plane, root, shipped};
use hjbridge::report::NpzFile;
use serde_json::json;

#[test]
fn solutions_of_solve_and_of_pift_are_policies() {
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"scheme": null, "grid": {"nodes": [201]}, "time_steps": 128}));
    let solved = desk.run("solve", &problem, &[]).good("solve");
    let flags = ["--paths", "2000", "--steps", "64", "--force"];
    let certify = |policy: &str| {
        let args = ["certify", "problem.json", policy].iter().chain(&flags).copied().collect::<Vec<_>>();
        desk.plain(&args).good("certify")
    };
    let run = certify("out/solution.npz");
    assert!(run.stdout.contains("J(policy)") && run.stdout.contains("of the attainable gain"), "{}", run.stdout);
    assert!(solved.out.join("solution.npz").is_file(), "the policy is still there");
    let out = desk.path().join("out/mixture-1d-certify");
    let found = names(&out);
    for name in ["report.json", "certify.npz", "certify_loss.svg", "certify_gap.png"] {
        assert!(found.iter().any(|n| n == name), "{name} in {found:?}");
    }
    let report = |out: &std::path::Path| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(out.join("report.json")).unwrap()).unwrap()
    };
    let first = report(&out);
    assert!(number(&first, "/certify/starts/0/reached") > 0.999);
    assert_eq!(first["certify"]["policy"]["kind"], "table");
    // a chain of 64 steps has another policy, at a distance of order h
    desk.run("pift", &problem, &["--steps", "64"]).good("pift");
    let of_chain = certify("out/solution.npz");
    assert!(of_chain.stdout.contains("table of 201 nodes"), "{}", of_chain.stdout);
    let second = report(&out);
    let (reached, before) = (number(&second, "/certify/starts/0/reached"), number(&first, "/certify/starts/0/reached"));
    assert!(reached > 0.98 && reached < before, "{reached} {before}");
    // the directory of the policy is not taken over
    let refused = desk.plain(&["certify", "problem.json", "out/solution.npz", "--out", "out"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("another directory"), "{}", refused.stderr);
}

#[test]
fn a_network_that_is_the_pretrained_model_gains_nothing() {
    let at = |name: &str| root().join("data").join(name).to_str().unwrap().to_string();
    let network = at("pretrained/old_faithful.safetensors");
    let problem = edit(
        &shipped("old_faithful_network.json"),
        json!({"prior": {"file": network, "reference": {"file": at("old_faithful.csv")}},
               "grid": {"nodes": [41, 41]}, "time_steps": 32, "scheme": {"route": "monotone"}}),
    );
    let desk = Desk::new();
    let run = desk.run("certify", &problem, &[&network, "--paths", "512"]).good("certify");
    let report = run.report();
    assert!(number(&report, "/certify/starts/0/reached").abs() < 1e-3, "{}", run.stdout);
    assert!(run.stdout.contains("network of"), "{}", run.stdout);
}

#[test]
fn a_table_of_the_change_is_told_from_one_of_the_control() {
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"scheme": null, "grid": {"nodes": [201]}, "time_steps": 64}));
    let solution = desk.run("solve", &problem, &[]).good("solve").solution();
    // U - s = V_y/beta
    let (y, n) = (&solution.axes[0], solution.axes[0].len());
    let beta = number(&problem, "/kl_weight");
    let change: Vec<f64> = (0..solution.time.len())
        .flat_map(|k| {
            let v = solution.value_at(k);
            let slope = move |j: usize| {
                let (a, b) = (j.saturating_sub(1), (j + 1).min(n - 1));
                (v[b] - v[a]) / (y[b] - y[a]) / beta
            };
            (0..n).map(slope).collect::<Vec<f64>>()
        })
        .collect();
    let mut table = NpzFile::new();
    table.array("axis0", &[n], y).unwrap();
    table.array("time", &[solution.time.len()], &solution.time).unwrap();
    table.array("control", &[solution.time.len(), n], &change).unwrap();
    table.write(&desk.path().join("change.npz")).unwrap();
    let run = desk.run("certify", &problem, &["change.npz", "--paths", "2000", "--steps", "64"]);
    assert!([0, 2].contains(&run.code), "{}", run.stderr);
    assert!(format!("{}{}", run.stdout, run.stderr).contains("taken for the change U - s"), "{} {}", run.stdout, run.stderr);
}

#[test]
fn policies_that_do_not_fit() {
    let desk = Desk::new();
    let problem = mixture();
    desk.file("policy.npz", "no archive");
    for (policy, words) in [("policy.npz", "policy.npz"), ("absent.npz", "no such file")] {
        let run = desk.run("certify", &problem, &[policy]);
        assert_eq!(run.code, 2, "{}", run.stderr);
        assert!(run.stderr.contains(words), "{}", run.stderr);
        assert!(!run.out.exists(), "nothing is written");
    }
    // a table of the line is no policy in the plane
    desk.run("solve", &problem, &[]).good("solve");
    std::fs::rename(desk.path().join("out/solution.npz"), desk.path().join("line.npz")).unwrap();
    let run = desk.run("certify", &plane(), &["line.npz"]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("`axis1`") && run.stderr.contains("absent"), "{}", run.stderr);
}
