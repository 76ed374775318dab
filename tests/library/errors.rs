//! Every error of the façade, as the library returns it: which one, whether the input is to blame, which field, which words.

use hjbridge::cli;
use hjbridge::hjb::HjbError;
use hjbridge::model::ModelError;
use hjbridge::pift::PiFtError;
use hjbridge::pift::parametric::ParametricError;
use hjbridge::problem::{AnyProblemFile, ProblemError};
use hjbridge::report::{NpzFile, ReportError, figure};
use hjbridge::rollout::RolloutError;
use hjbridge::rollout::ranks::RanksError;
use hjbridge::run::RunError;
use serde_json::{Value, json};
use std::path::Path;

fn fine_tuning() -> Value {
    json!({
        "name": "small", "horizon": 1.0, "schedule": {"kind": "constant", "b": 2.0},
        "prior": {"kind": "gaussian", "mean": [0.0], "covariance": [[1.0]]}, "reward": {"kind": "quadratic", "Q": [[40.0]], "q": [0.0]},
        "kl_weight": 0.5, "grid": {"lower": [-8.0], "upper": [8.0], "nodes": [61]}, "time_steps": 2, "paths": 8
    })
}

fn controlled() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "small", "horizon": 0.5, "drift": ["0", "0"], "diffusion": [["1", "0"], ["x0", "1"]],
        "terminal": "-x0**2", "grid": {"lower": [-3.0, -3.0], "upper": [3.0, 3.0], "nodes": [17, 17]}, "time_steps": 4,
        "scheme": {"route": "monotone"}, "start": [[0.0, 0.0]], "paths": 8
    })
}

fn with(mut problem: Value, field: &str, value: Value) -> Value {
    problem[field] = value;
    problem
}

/// What a command returns on a problem in a directory of its own.
fn run(command: &str, problem: &Value, flags: &[&str]) -> RunError {
    let desk = tempfile::tempdir().unwrap();
    let at = |name: &str| desk.path().join(name).to_str().unwrap().to_string();
    std::fs::write(at("problem.json"), problem.to_string()).unwrap();
    std::fs::write(at("data.csv"), "x\n1.0\nseven\n").unwrap();
    let mut arguments = vec![command.to_string(), at("problem.json"), "--quiet".into()];
    let out = if flags.contains(&"into a file") { at("data.csv") } else { at("out") };
    arguments.extend(["--out".to_string(), out]);
    arguments.extend(flags.iter().filter(|f| **f != "into a file").map(ToString::to_string));
    let done = cli::run(&arguments);
    done.err().unwrap_or_else(|| panic!("{command} {flags:?} ended well"))
}

#[test]
fn errors_of_runs() {
    let data = json!({"kind": "samples", "file": "data.csv", "columns": ["x"]});
    let stopped = with(with(controlled(), "obstacle", json!("-1")), "scheme", json!({"route": "cole_hopf"}));
    type Case = (RunError, fn(&RunError) -> bool, bool, Option<&'static str>, &'static str);
    let cases: Vec<Case> = vec![
        (
            run("solve", &with(fine_tuning(), "horizon", json!(0)), &[]),
            |e| matches!(e, RunError::Problem(ProblemError::Model(ModelError::Invalid { .. }))),
            true,
            Some("horizon"),
            "horizon = 0: must be positive and finite",
        ),
        (
            run("solve", &with(fine_tuning(), "prior", data), &[]),
            |e| matches!(e, RunError::Problem(ProblemError::Data { row: 2, .. })),
            true,
            None,
            "`seven` must be a finite number",
        ),
        (
            run("solve", &with(fine_tuning(), "grid", json!({"lower": [0.0]})), &[]),
            |e| matches!(e, RunError::Problem(ProblemError::Parse { .. })),
            true,
            None,
            "missing field `upper`",
        ),
        (
            run("solve", &stopped, &[]),
            |e| matches!(e, RunError::Hjb(HjbError::Invalid { .. })),
            true,
            Some("scheme.route"),
            "cole_hopf: auto or monotone with an obstacle",
        ),
        (
            run("solve", &fine_tuning(), &["into a file"]),
            |e| matches!(e, RunError::Report(ReportError::Invalid { .. })),
            true,
            None,
            "is not a directory",
        ),
        (
            run("bridge", &controlled(), &[]),
            |e| matches!(e, RunError::Unsupported(_)),
            true,
            None,
            "bridge needs a fine-tuning problem",
        ),
        (
            run("pift", &fine_tuning(), &["--inner", "plain"]),
            |e| matches!(e, RunError::PiFt(PiFtError::NoConvergence { .. })),
            false,
            None,
            "PI-FT: step 1: plain iteration stopped",
        ),
        (
            run("pift", &fine_tuning(), &["--parametric", "polynomial", "--ridge", "2"]),
            |e| matches!(e, RunError::Parametric(ParametricError::Invalid { .. })),
            true,
            None,
            "parametric PI-FT: ridge = 2: at least 0 and below 1",
        ),
        (
            run("rollout", &fine_tuning(), &["--noise", "sobol", "--steps", "1000"]),
            |e| matches!(e, RunError::Rollout(RolloutError::Invalid { .. })),
            true,
            None,
            "rollout: ",
        ),
    ];
    for (found, expected, is_input, field, words) in cases {
        assert!(expected(&found), "{found:?}");
        assert_eq!((found.is_input(), found.field()), (is_input, field), "{found:?}");
        assert!(found.to_string().contains(words), "{found}");
    }
    let unknown = cli::run(["solve", "problem.json", "--no-such-flag"]).unwrap_err();
    assert!(matches!(&unknown, RunError::Unsupported(text) if text.contains("--no-such-flag")), "{unknown}");
}

/// What needs a signal, several processes or a particular moment to happen is made by hand.
#[test]
fn errors_that_wrap_others() {
    let rollout = || RolloutError::Overflow { quantity: "the objective" };
    for (error, is_input, words) in [
        (RunError::from(ModelError::invalid("schedule.b", 0, "must be positive")), true, "schedule.b = 0: must be positive"),
        (RunError::from(RanksError::Elsewhere { rank: 3, reason: "full disk".into() }), false, "rank 3: full disk"),
        (RunError::Sweep { kl_weight: 0.25, reason: "blew up".into() }, false, "at kl_weight = 0.25: blew up"),
        (RunError::Stopped { done: 7 }, false, "interrupted after 7 iterations; --resume goes on"),
        (RunError::Interrupted { paths: 512 }, false, "interrupted after 512 paths"),
        (RunError::MultilevelInterrupted { path_steps: 1e6 }, false, "after 1.00e6 of its path-steps; the plain run is whole"),
        (
            RunError::Multilevel { base_steps: 4, reason: rollout() },
            false,
            "multilevel run from 4 steps: the objective overflows",
        ),
        (RunError::from(rollout()), false, "rollout: the objective overflows"),
        (RunError::from(PiFtError::from(ModelError::invalid("grid", "[]", "an axis"))), false, "PI-FT: grid = []: an axis"),
        (
            RunError::from(ParametricError::from(ModelError::invalid("d", 0, "positive"))),
            true,
            "parametric PI-FT: d = 0: positive",
        ),
        (RunError::from(ReportError::Drawing("no font".into())), false, "drawing: no font"),
    ] {
        assert_eq!(error.is_input(), is_input, "{error:?}");
        assert_eq!(error.field().is_some(), matches!(error, RunError::Model(_) | RunError::PiFt(_)), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn errors_of_files() {
    let nowhere = Path::new("/nowhere/problem.json");
    let e = AnyProblemFile::read(nowhere).unwrap_err();
    assert!(
        matches!(&e, ProblemError::Io { path, .. } if path == nowhere) && e.to_string().contains("/nowhere/problem.json"),
        "{e}"
    );
    let e = AnyProblemFile::parse("{ \"name\":\n 1 }", nowhere).unwrap_err();
    assert!(matches!(&e, ProblemError::Parse { line: 2, field, .. } if field == "name"), "{e:?}");
    let mut file = NpzFile::new();
    assert!(matches!(file.array("a/b", &[1], &[0.0]).unwrap_err(), ReportError::Invalid { .. }));
    assert!(matches!(file.array("a", &[2], &[0.0]).unwrap_err(), ReportError::Shape { found: 1, expected: 2, .. }));
    assert!(matches!(file.write(Path::new("/dev/null/a.npz")).unwrap_err(), ReportError::Io { .. }));
    let nothing = figure::ConvergenceSeries { label: "V", steps: &[8], errors: &[f64::NAN], order: None, fitted: 0 };
    let empty = figure::Convergence { title: "", x_label: "", y_label: "", series: &[nothing], reference_orders: &[] };
    let e = figure::save(&empty, &std::env::temp_dir(), "hjbridge-nothing").unwrap_err();
    assert!(matches!(e, ReportError::Empty { .. }), "{e:?}");
}
