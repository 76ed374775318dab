//! Damaged problem files of kind `controlled_diffusion`: parsing, resolving and solving never panics, and no NaN comes out of a
//! solution that claims success.

use hjbridge::problem::{AnyProblemFile, ControlledProblem};
use hjbridge::run::{Silent, evaluate_everywhere, solve_controlled};
use serde_json::{Value, json};
use std::path::Path;

/// Nearly every field in a problem that takes milliseconds.
fn with_horizon() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "tiny", "horizon": 0.5, "sense": "minimise", "parameters": {"k": 0.8},
        "drift": ["-k*x0"], "control_matrix": [["1"]], "diffusion": "1 + k/10", "running": "x0**2", "control_cost": "u0**2/2 + abs(u0)",
        "controls": {"kind": "box", "lower": [-1.0], "upper": [2.0]}, "terminal": "x0**2", "discount": 0.1, "obstacle": "9 + x0**2",
        "grid": {"lower": [-3.0], "upper": [3.0], "nodes": [17], "stretch": {"center": [0.0], "strength": 1.0}},
        "faces": [["dirichlet", "reflecting"]], "face_value": "9", "time_steps": 4, "scheme": {"route": "monotone"},
        "compare_on": {"lower": [-1.0], "upper": [1.0]}, "exact": {"value": "x0", "control": ["t"]}, "start": [[0.5]], "axis_labels": ["x"]
    })
}

fn stationary() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "tiny", "drift": ["x1", "-x0"], "diffusion": [["1", "0.1"], ["0", "1"]],
        "running": 1, "control_weight": [["2", "0"], ["0", "1"]], "controls": {"kind": "finite", "values": [[0.0, 0.0], [1.0, -1.0]]},
        "discount": 0.2, "target": {"level": "x0**2 + x1**2 - 1", "value": "x0", "placement": "sub_cell"},
        "grid": {"lower": [-3.0, -3.0], "upper": [3.0, 3.0], "nodes": [9, 9]}, "faces": [["reflecting", "reflecting"], ["periodic", "periodic"]]
    })
}

/// A free problem for the routes that are chosen.
fn smooth() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "tiny", "horizon": 0.5, "drift": ["0"], "terminal": "-x0**2",
        "grid": {"lower": [-3.0], "upper": [3.0], "nodes": [33]}, "time_steps": 8, "scheme": {"route": "auto", "order": 4, "tolerance": 1e-4}
    })
}

/// Parse, resolve and solve what is small enough; whether it was a problem.
fn run(text: &str, what: &str) -> bool {
    let problem = match AnyProblemFile::parse(text, Path::new("p.json")) {
        Ok(AnyProblemFile::Controlled(file)) => ControlledProblem::resolve(*file),
        Ok(AnyProblemFile::FineTuning(_)) => return false,
        Err(e) => Err(e),
    };
    let problem = match problem {
        Ok(problem) => problem,
        Err(e) => {
            assert!(!e.to_string().is_empty(), "{what}");
            return false;
        }
    };
    if problem.grid.len() > 500 || problem.file.time_steps > 100 {
        return true;
    }
    // the same fault stops a check and a solution
    let checked = evaluate_everywhere(&problem);
    if let Ok(done) = solve_controlled(&problem, 8, &Silent) {
        let finite = |slices: &[Vec<f64>]| slices.iter().flatten().all(|v| v.is_finite());
        assert!(finite(&done.values) && finite(&done.controls), "{what}");
        assert!(done.report.start.iter().all(|s| s.value.is_finite()) && checked.is_ok(), "{what}");
    }
    true
}

fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_string());
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| pointers(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

#[test]
fn any_value_replaced_by_any_other() {
    let strange = [
        json!(null),
        json!(true),
        json!(""),
        json!("x0"),
        json!("1/x0"),
        json!("t"),
        json!("u0"),
        json!(-1),
        json!(0),
        json!(3),
        json!(0.5),
        json!(1e300),
        json!([]),
        json!(["0"]),
        json!([[1.0]]),
        json!({}),
    ];
    let mut accepted = 0;
    for problem in [with_horizon(), stationary(), smooth()] {
        assert!(run(&problem.to_string(), "as it is"));
        let mut places = Vec::new();
        pointers(&problem, "", &mut places);
        for place in &places {
            for value in &strange {
                let mut damaged = problem.clone();
                *damaged.pointer_mut(place).unwrap() = value.clone();
                accepted += usize::from(run(&damaged.to_string(), &format!("{place} = {value}")));
            }
        }
    }
    // formulas and numbers take many values: this is not a test of the parser alone
    assert!(accepted > 300, "{accepted}");
}

#[test]
fn any_member_left_out() {
    for problem in [with_horizon(), stationary(), smooth()] {
        let members: Vec<String> = problem.as_object().unwrap().keys().cloned().collect();
        for name in members {
            let mut damaged = problem.clone();
            damaged.as_object_mut().unwrap().remove(&name);
            run(&damaged.to_string(), &format!("without {name}"));
        }
    }
}
