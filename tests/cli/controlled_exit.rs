//! Exit problems that have no answer, or one that must not be trusted.

use crate::desk::{Desk, edit, number};
use serde_json::{Value, json};

/// Against a drift to 1 at unit cost per time: V = c (1 - x), c = 0.3 + sqrt(2.09), when the left face is far.
fn against_the_drift() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "against", "sense": "minimise", "drift": ["-0.3"], "running": 1,
        "parameters": {"c": 1.745683229480096}, "target": {"level": "1 - x0"},
        "grid": {"lower": [-8.0], "upper": [2.0], "nodes": [401]}, "compare_on": {"lower": [-1.0], "upper": [1.5]},
        "exact": {"value": "c*(1 - x0)", "control": ["c"]}, "start": [[0.0]]
    })
}

#[test]
fn faces_reflect_by_default_and_a_spurious_root_is_not_reliable() {
    let desk = Desk::new();
    let run = desk.run("solve", &against_the_drift(), &[]).good("default faces");
    let report = run.report();
    assert_eq!(report["problem"]["faces"], json!([["reflecting", "reflecting"]]), "the defaults are in the report");
    assert_eq!(report["controlled"]["solver"]["reliable"], true);
    // the part of compare_on inside the target does not count
    assert!(number(&report, "/controlled/value_error") < 1e-8 && number(&report, "/controlled/control_error") < 1e-8);
    assert!(!run.stdout.contains("warning"), "{}", run.stdout);

    let open = edit(
        &against_the_drift(),
        json!({"faces": [["extrapolated", "extrapolated"]], "grid": {"lower": [-4.0], "nodes": [301]}}),
    );
    let run = desk.run("solve", &open, &[]).good("extrapolated faces");
    let report = run.report();
    assert_eq!(report["controlled"]["solver"]["reliable"], false);
    let notes = report["controlled"]["certificate"]["notes"].to_string();
    assert!(notes.contains("not reliable: 1 rate is negative") && notes.contains("points outward"), "{notes}");
    assert!(run.stdout.contains("warning: not reliable") && !notes.contains("t = 0"), "{} {notes}", run.stdout);
}

#[test]
fn exit_problems_without_an_answer_say_why() {
    let desk = Desk::new();
    let cases = [
        (json!({"target": {"level": "-1"}}), 2, "the whole grid"),
        (json!({"target": {"level": "3 - x0"}}), 2, "no node inside"),
        (json!({"sense": "maximise", "target": {"level": "1 - abs(x0)"}, "running": 2}), 1, "infinite at x = "),
        (
            json!({"drift": ["-1"], "diffusion": 0.1, "controls": {"kind": "box", "lower": [-1.0], "upper": [0.2]}}),
            1,
            "does not get from x = ",
        ),
    ];
    for (change, code, words) in cases {
        let mut problem = edit(&against_the_drift(), change);
        problem.as_object_mut().unwrap().remove("exact");
        let run = desk.run("solve", &problem, &[]);
        assert_eq!(run.code, code, "{words}: {}", run.stderr);
        assert!(run.stderr.contains(words) && !run.stderr.contains("t = 0"), "{words}: {}", run.stderr);
    }
}

#[test]
fn no_control_leaves_the_high_order_route_open() {
    let desk = Desk::new();
    let problem = json!({
        "kind": "controlled_diffusion", "name": "mean", "drift": ["-x0"], "terminal": "x0", "horizon": 1.0,
        "controls": {"kind": "none"}, "scheme": {"route": "high_order"},
        "grid": {"lower": [-5.0], "upper": [5.0], "nodes": [101]}, "exact": {"value": "x0*exp(t - 1)"}
    });
    let report = desk.run("solve", &problem, &[]).good("mean").report();
    assert_eq!(report["controlled"]["route"], "high_order");
    assert!(number(&report, "/controlled/value_error") < 1e-7);
}
