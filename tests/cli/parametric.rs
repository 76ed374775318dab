//! `pift --parametric`: trained policies against the closed form, the stored training, and flags that are refused.

use crate::desk::{Desk, edit, mixture, names, number, plane, root, shipped};
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
    // a training of another policy is not taken for this one
    go_on[3] = "9";
    let other = desk.run("pift", &problem, &go_on);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("Network([8])") && other.stderr.contains("Network([9])"), "{}", other.stderr);
}

#[test]
fn a_training_that_runs_away_is_kept_and_said() {
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"time_steps": 8}));
    let run = desk.run("pift", &problem, &["--parametric", "network", "--training-paths", "64", "--rate", "1e60"]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("the policy drives the state away"), "{}", run.stderr);
    let report = run.report();
    assert_eq!((&report["complete"], &report["parametric"]["achieved"]), (&json!(false), &Value::Null));
    assert_eq!(report["parametric"]["history"].as_array().unwrap().len(), 1);
    assert!(run.out.join("training.json").is_file());
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

/// `digits.json` with absolute paths, at a size for seconds.
fn digits() -> Value {
    let at = |name: &str| root().join("data/pretrained").join(name).to_str().unwrap().to_string();
    let (prior, reward) = (json!({"file": at("digits.safetensors")}), json!({"file": at("digits_classifier.json")}));
    let small = json!({"prior": prior, "reward": reward, "grid": null, "time_steps": 6, "paths": 256});
    edit(&shipped("digits.json"), small)
}

#[test]
fn digits_are_fine_tuned_without_a_grid() {
    let desk = Desk::new();
    let flags = ["--parametric", "network", "--hidden", "32", "--training-paths", "64", "--training-iterations", "12"];
    let run = desk.run("pift", &digits(), &flags).good("digits");
    assert!(run.stdout.contains("no policy of the chain exceeds"), "{}", run.stdout);
    let report = run.report();
    let (before, (j, error)) = (achieved(&report, "pretrained").0, achieved(&report, "achieved"));
    assert!(j > before + 1.0 + 4.0 * error, "{before} {j} {error}");
    // log P(3) of the pre-trained model, about log 0.1
    let bound = number(&report, "/parametric/pretrained/upper_bound/mean");
    let bound_error = number(&report, "/parametric/pretrained/upper_bound/standard_error");
    assert!(j < bound + 4.0 * (error + bound_error) && bound < -1.0, "{j} {bound}");
    assert!(number(&report, "/parametric/achieved/kl/mean") > 0.1);
    for row in report["parametric"]["history"].as_array().unwrap() {
        for name in ["objective", "reward", "kl"] {
            assert!(row["achieved"][name]["mean"].is_f64() && row["achieved"][name]["standard_error"].is_f64());
        }
    }
    assert!(report["parametric"]["optimum"].is_null() && report["problem"]["grid"].is_null());
    let pictures = ["samples.png", "samples.svg", "training.png", "training.svg"];
    let found: Vec<String> = names(&run.out).into_iter().filter(|n| n.ends_with("g")).collect();
    assert_eq!(found, pictures);
}

#[test]
fn problems_without_a_grid_are_for_parametric_policies() {
    let desk = Desk::new();
    let check = desk.run("check", &digits(), &[]).good("check");
    assert!(check.stdout.contains("64 dimension(s), no grid"), "{}", check.stdout);
    let grid = json!({"grid": {"lower": [-2.0], "upper": [2.0], "nodes": [9]}});
    let train = ["--parametric", "network"];
    for (command, change, flags, message) in [
        ("solve", json!({}), &train[..0], "grid = absent"),
        ("pift", json!({}), &train[..0], "grid = absent"),
        ("pift", grid, &train[..], "prior.reference = absent"),
        ("pift", json!({"initial_law": "noised_prior"}), &train[..], "initial_law = NoisedPrior"),
        ("pift", json!({"pift": {"variance": "gaussian_posterior"}}), &train[..], "pift.variance = gaussian_posterior"),
        ("pift", json!({"image": {"rows": 7}}), &train[..], "image = 7 x 8: rows times columns must be 64"),
        ("pift", json!({"image": {"range": [0.5, 0.5]}}), &train[..], "image.range = [0.5, 0.5]"),
        ("pift", json!({"reward": {"class": 10}}), &train[..], "reward.class = 10: 0 to 9"),
        ("pift", json!({"reward": {"file": "nowhere.json"}}), &train[..], "reward.file"),
        ("pift", json!({"reward": {"kind": "linear", "q": [1.0]}}), &train[..], "reward has 1 entries; 64 expected"),
    ] {
        let run = desk.run(command, &edit(&digits(), change), flags);
        assert_eq!(run.code, 2, "{message}: {}", run.stderr);
        assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
        assert!(names(&run.out).is_empty(), "nothing is written");
    }
}
