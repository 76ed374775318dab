//! `pift --parametric`: trained policies against the closed form, the stored training, and flags that are refused.

use crate::desk::{Desk, edit, mixture, number, plane};
use serde_json::{Value, json};

fn achieved(report: &Value, name: &str) -> (f64, f64) {
    let at = |field: &str| number(report, &format!("/parametric/{name}/objective/{field}"));
    (at("mean"), at("standard_error"))
}

#[test]
fn affine_policy_of_a_linear_quadratic_problem() {
    let desk = Desk::new();
    let problem = edit(&plane(), json!({"paths": 4001}));
    let run = desk.run("pift", &problem, &["--parametric", "polynomial", "--degree", "1", "--training-paths", "256"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(run.stdout.contains("parameters: trained in") && run.stdout.contains("optimum of the continuous problem"));
    let report = run.report();
    let (before, (j, error)) = (achieved(&report, "pretrained").0, achieved(&report, "achieved"));
    let optimum = number(&report, "/parametric/optimum");
    // the chain of 20 steps is O(h) off
    assert!((j - optimum).abs() < 4.0 * error + 0.1 * (optimum - before) && before < optimum - 0.1, "{before} {j} {optimum}");
    assert_eq!(number(&report, "/parametric/achieved/paths"), 4002.0);
    assert_eq!(report["parametric"]["fits"].as_array().unwrap().len(), 20);
    assert!(report["pift"].is_null());
    assert!(run.out.join("training.json").is_file());
}

#[test]
fn training_goes_on_where_it_was_stored() {
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"time_steps": 8}));
    let flags =
        |n: &'static str| vec!["--parametric", "network", "--hidden", "8", "--training-paths", "64", "--training-iterations", n];
    let whole = desk.run("pift", &problem, &flags("6"));
    assert_eq!((whole.code, whole.stderr.as_str()), (0, ""));
    let history = |report: &Value| report["parametric"]["history"].as_array().unwrap().clone();
    let whole = whole.report();
    assert_eq!(history(&whole).len(), 6);
    let part = desk.run("pift", &problem, &flags("4"));
    assert_eq!(history(&part.report()), history(&whole)[..4]);
    let stored = desk.path().join("stored.json");
    std::fs::rename(part.out.join("training.json"), &stored).unwrap();
    let mut go_on = flags("6");
    go_on.extend(["--resume", stored.to_str().unwrap()]);
    let resumed = desk.run("pift", &problem, &go_on).report();
    assert_eq!(history(&resumed), history(&whole));
    assert_eq!(resumed["parametric"]["achieved"], whole["parametric"]["achieved"]);
}

#[test]
fn flags_that_do_not_fit_are_refused() {
    let desk = Desk::new();
    for (flags, message) in [
        (vec!["--degree", "2"], "--parametric"),
        (vec!["--parametric", "network", "--training", "natural"], "--training = Natural: gradient or adam for a network"),
        (vec!["--parametric", "network", "--hidden", "0"], "network.hidden = [0]"),
        (vec!["--parametric", "polynomial", "--training-paths", "5"], "paths = 5"),
        (vec!["--parametric", "radial-basis", "--features", "5000"], "features.centers = 5000"),
        (vec!["--parametric", "network", "--resume", "nowhere.json"], "--resume = nowhere.json"),
    ] {
        let run = desk.run("pift", &mixture(), &flags);
        assert_eq!(run.code, 2, "{flags:?}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{flags:?}: {}", run.stderr);
    }
}
