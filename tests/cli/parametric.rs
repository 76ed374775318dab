//! `pift --parametric`: trained policies against the closed form, the stored training, and flags that are refused.

use crate::desk::{Desk, edit, mixture, names, number, plane, root, shipped};
use hjbridge::pift::parametric::{FeatureSpec, PolicyInput, StateLaw};
use hjbridge::problem::{ProblemFile, SampledProblem};
use hjbridge::run::{ParametricOptions, PolicyKind, Progress, Training, parametric};
use serde_json::{Value, json};
use std::sync::Mutex;

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
    // nor one of another setting, or whose parts do not fit
    for (change, flags, message) in [
        (json!({"seed": 5}), ["--training-paths", "64"], "a training with seed"),
        (json!({}), ["--training-paths", "128"], "one with --training-paths 128"),
        (json!({"reward": {"kind": "linear", "q": [1.0]}}), ["--training-paths", "64"], "a training of another problem"),
        (json!({"kl_weight": 0.9}), ["--training-paths", "64"], "a training of another problem"),
        (json!({"horizon": 1.9}), ["--training-paths", "64"], "a training of another problem"),
    ] {
        let mut all = go_on.clone();
        all[4..6].copy_from_slice(&flags);
        let other = desk.run("pift", &edit(&problem, change), &all);
        assert_eq!(other.code, 2, "{message}: {}", other.stderr);
        assert!(other.stderr.contains("--resume = ") && other.stderr.contains(message), "{message}: {}", other.stderr);
    }
    let text = std::fs::read_to_string(&stored).unwrap();
    for (pointer, value) in [
        ("/state/state/policy/theta", json!([1.0])),
        ("/state/state/policy/net/widths", json!([9, 1])),
        ("/state/state/adam/second", json!([])),
    ] {
        let mut broken: Value = serde_json::from_str(&text).unwrap();
        *broken.pointer_mut(pointer).unwrap() = value;
        std::fs::write(&stored, broken.to_string()).unwrap();
        let run = desk.run("pift", &problem, &go_on);
        assert_eq!(run.code, 2, "{pointer}: {}", run.stderr);
        assert!(run.stderr.contains("--resume = this file: a training.json as it was written"), "{pointer}: {}", run.stderr);
    }
    std::fs::write(&stored, text).unwrap();
    // a training of another policy is not taken for this one
    go_on[3] = "9";
    let other = desk.run("pift", &problem, &go_on);
    assert_eq!(other.code, 2, "{}", other.stderr);
    assert!(other.stderr.contains("Network([8])") && other.stderr.contains("Network([9])"), "{}", other.stderr);
}

#[test]
fn score_function_trains_from_values_of_the_reward() {
    let desk = Desk::new();
    let problem = edit(&plane(), json!({"time_steps": 8, "paths": 4000}));
    let train = |more: &[&str]| {
        let mut flags = vec!["--parametric", "polynomial", "--degree", "1", "--training-paths", "1024"];
        flags.extend(more);
        desk.run("pift", &problem, &flags).good("training").report()
    };
    let values = train(&["--score-function", "--training-iterations", "15"]);
    let pathwise = train(&["--training", "gradient", "--training-iterations", "15"]);
    assert_eq!(
        (&values["parametric"]["training"], values["parametric"]["fits"].as_array().unwrap().len()),
        (&json!("gradient"), 0)
    );
    // another estimate of the same gradient
    let slope = |r: &Value| number(r, "/parametric/history/0/gradient");
    assert!(slope(&values) != slope(&pathwise) && (slope(&values) / slope(&pathwise) - 1.0).abs() < 0.5);
    let (before, (j, error)) = (achieved(&values, "pretrained").0, achieved(&values, "achieved"));
    let optimum = number(&values, "/parametric/optimum");
    assert!(j > before + 0.5 * (optimum - before) && j > before + 4.0 * error, "{before} {j} {error} {optimum}");
}

#[test]
fn states_of_least_squares_are_those_of_the_law() {
    let desk = Desk::new();
    let problem = edit(&plane(), json!({"time_steps": 8, "paths": 4000}));
    let train = |states: &str| {
        let flags = ["--parametric", "polynomial", "--degree", "1", "--training-paths", "256", "--training-iterations", "2"];
        desk.run("pift", &problem, &[&flags[..], &["--states", states]].concat()).good("training").report()
    };
    let (pretrained, current) = (train("pretrained"), train("current"));
    let fit = |r: &Value, i: usize| number(r, &format!("/parametric/fits/{i}/condition"));
    // the same data in the first sweep, not in the second; the same policy from both
    assert!((0..8).all(|i| fit(&pretrained, i) == fit(&current, i)));
    assert!((8..15).all(|i| fit(&pretrained, i) != fit(&current, i)));
    assert!((achieved(&pretrained, "achieved").0 - achieved(&current, "achieved").0).abs() < 1e-6);
}

/// Keeps what it is told.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn begin(&self, _what: &str, _total: u64) {}
    fn advance(&self, _done: u64) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
    fn end(&self) {}
}

#[test]
fn trainings_tell_their_residuals() {
    let file: ProblemFile = serde_json::from_value(edit(&mixture(), json!({"time_steps": 8, "paths": 64}))).unwrap();
    let problem = SampledProblem::resolve(file, root()).unwrap();
    let train = |training, iterations| {
        let options = ParametricOptions {
            policy: PolicyKind::Linear(FeatureSpec::Polynomial { degree: 1 }),
            input: PolicyInput::State,
            training,
            paths: 64,
            iterations,
            rate: 0.01,
            ridge: None,
            states: StateLaw::Current,
            score_function: false,
            resume: None,
            interrupt: Default::default(),
        };
        let notes = Notes::default();
        let run = parametric(&problem, &options, &notes).unwrap();
        assert!(run.failure.is_none());
        (notes.0.into_inner().unwrap(), run.report)
    };
    let (notes, report) = train(Training::LeastSquares, 1);
    assert_eq!(notes.len(), 8);
    for (note, fit) in notes.iter().zip(&report.fits) {
        let update = format!("k = {}: last update {:.1e}", fit.k, fit.updates.last().unwrap());
        let contraction = fit.contraction.map_or(String::new(), |c| format!(", contraction {c:.3}"));
        assert_eq!(*note, update + &contraction);
    }
    assert!(notes.iter().any(|n| n.contains("contraction")), "{notes:?}");
    let (notes, report) = train(Training::Adam, 5);
    assert_eq!(notes.len(), 5);
    for (note, row) in notes.iter().zip(&report.history) {
        let j = row.achieved.objective;
        assert_eq!(*note, format!("J = {:.4} ± {:.1e}, |grad| = {:.1e}", j.mean, j.standard_error, row.gradient));
    }
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
        (vec!["--parametric", "network", "--ridge=5"], "--ridge = given: only with --training least-squares and natural"),
        (vec!["--parametric", "network", "--length-scale=-3"], "--length-scale = given: only with random-fourier"),
        (vec!["--parametric", "polynomial", "--rate=-5"], "--rate = given: only with --training adam"),
        (vec!["--parametric", "polynomial", "--hidden", "0"], "--hidden = given: only with network"),
        (vec!["--parametric", "network", "--states", "current"], "--states = given: only with --training least-squares"),
        (vec!["--parametric", "polynomial", "--score-function", "--training", "least-squares"], "--training = LeastSquares"),
        (vec!["--parametric", "random-fourier", "--features", "1000000000000000000"], "features.count = 1000000000000000000"),
        (vec!["--parametric", "network", "--hidden", "100000000,100000000"], "network.hidden = [100000000, 100000000]"),
        (vec!["--parametric", "polynomial", "--degree", "1000000000000000000"], "features.degree = 1000000000000000000"),
        (vec!["--parametric", "network", "--training-paths", "1000000000000"], "paths = 1000000000000: an even number"),
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
        ("pift", json!({"paths": 1_000_000_000}), &train[..], "paths = 1000000000: an even number"),
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
