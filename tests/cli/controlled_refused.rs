//! Controlled diffusions with mistakes: exit code 2, the field, the place and what is allowed, nothing written.

use crate::controlled::{exit, small};
use crate::desk::{Desk, edit, names};
use serde_json::{Value, json};

/// Exit code 2, all of `needed` in the message, nothing written.
#[track_caller]
fn refused(label: &str, problem: &Value, needed: &[&str]) {
    let desk = Desk::new();
    let run = desk.run("solve", problem, &[]);
    assert_eq!(run.code, 2, "{label}: {}", run.stderr);
    for part in needed {
        assert!(run.stderr.contains(part), "{label}: `{part}` is not in {}", run.stderr);
    }
    assert!(run.stdout.is_empty() && desk.names() == ["problem.json"], "{label}: {:?}", names(&run.out));
}

#[test]
fn a_formula_that_is_not_finite_names_itself_and_the_point() {
    let case = |change: Value, needed: &[&str]| refused(&change.to_string(), &edit(&small(), change.clone()), needed);
    case(json!({"drift": ["1/x0"]}), &["drift[0]", "`1/x0`", "inf", "x0 = 0", "t = 1"]);
    case(json!({"drift": ["sqrt(x0 + k)"]}), &["drift[0]", "NaN", "x0 = -6", "k = 0.8"]);
    case(json!({"terminal": "log(x0)"}), &["terminal", "`log(x0)`", "x0 = -6"]);
    case(json!({"running": "1/(x0 - 1)"}), &["running", "x0 = 1"]);
    case(json!({"diffusion": "1/t"}), &["diffusion", "`1/t`", "t = 0"]);
    case(json!({"diffusion": [["1/(x0 - 3)"]]}), &["diffusion[0][0]", "x0 = 3"]);
    case(json!({"control_weight": "1/x0**2"}), &["control_weight", "x0 = 0"]);
    case(json!({"obstacle": "log(x0 + 6)"}), &["obstacle", "x0 = -6"]);
    case(json!({"exact": {"value": "1/(x0 - 2)"}}), &["exact.value", "x0 = 2"]);
    case(
        json!({"controls": {"kind": "box", "lower": [-1.0], "upper": [1.0]}, "control_cost": "1/(x0**2 + u0**2 - u0**2)"}),
        &["control_cost", "x0 = 0", "u0 = "],
    );
    // half-way in time it is no numerical failure either, and nothing is written
    let late = json!({"drift": ["1/(t - 0.5)"], "scheme": {"route": "monotone"}});
    case(late, &["drift[0]", "`1/(t - 0.5)`", "inf", "t = 0.5"]);
    refused("target", &edit(&exit(), json!({"target": {"level": "log(x0)"}})), &["target.level", "x0 = -1.3"]);
    // check finds what stands on the grid without solving
    let desk = Desk::new();
    let run = desk.run("check", &edit(&small(), json!({"drift": ["1/x0"]})), &[]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("drift[0]") && run.stderr.contains("x0 = 0"), "{}", run.stderr);
    // the branch that is not taken does not count
    Desk::new().run("check", &edit(&small(), json!({"drift": ["where(abs(x0) > 1e-9, x0/x0, 1) - 1"]})), &[]).good("where");
}

#[test]
fn errors_name_the_line_of_the_field() {
    let text = r#"{ "kind": "controlled_diffusion", "name": "lines", "horizon": 1.0,
  "parameters": {"k": 0.8},
  "drift": ["0"],
  "terminal": "-k*x0**2/2",
  "grid": {"lower": [-6.0],
    "upper": [6.0], "nodes": [61]},
  "scheme": {"route": "monotone"}, "time_steps": 10 }"#;
    let desk = Desk::new();
    desk.text("solve", text, &[]).good("as it is");
    let line = |from: &str, to: &str, flags: &[&str]| {
        let broken = text.replacen(from, to, 1);
        assert_ne!(broken, text);
        let run = desk.text("solve", &broken, flags);
        assert_eq!(run.code, 2, "{to}: {}", run.stderr);
        run.stderr.split_once("line ").map_or(0, |(_, rest)| rest.split([':', ',']).next().unwrap().parse().unwrap())
    };
    for (from, to, expected) in [
        ("[\"0\"]", "[\"0 +\"]", 3),
        ("[\"0\"]", "[\"u0\"]", 3),
        ("[\"0\"]", "[\"1/x0\"]", 3),
        ("-k*x0**2/2", "log(x0)", 4),
        ("[6.0]", "[-7.0]", 6),
        ("[61]", "[3]", 6),
        ("\"monotone\"", "\"high_order\"}, \"target\": {\"level\": \"x0 - 5\"", 7),
        ("10 }", "0 }", 7),
        // from the parser
        ("\"drift\"", "\"drfit\"", 3),
    ] {
        assert_eq!(line(from, to, &[]), expected, "{to}");
    }
    // the line of a value that a flag replaced would mislead
    assert_eq!(line("[61]", "[63]", &["--nodes", "3"]), 0);
}

/// Every formula that `solve` would stumble on is found by `check`, with the same words.
#[test]
fn check_refuses_what_solve_refuses() {
    let same = |problem: &Value, needed: &[&str]| {
        let messages = ["check", "solve"].map(|command| {
            let run = Desk::new().run(command, problem, &[]);
            assert_eq!(run.code, 2, "{command} {problem}: {}", run.stderr);
            run.stderr
        });
        assert_eq!(messages[0], messages[1], "{problem}");
        for part in needed {
            assert!(messages[0].contains(part), "`{part}` is not in {}", messages[0]);
        }
    };
    let cost = |text: &str| {
        let bounds = json!({"kind": "box", "lower": [-1.0], "upper": [2.0]});
        edit(&small(), json!({"controls": bounds, "control_cost": text, "exact": null, "scheme": {"route": "monotone"}}))
    };
    same(&cost("sqrt(1 - u0)"), &["control_cost", "`sqrt(1 - u0)`", "u0 = 2"]);
    same(&cost("u0**2/(x0 + 6)"), &["control_cost", "x0 = -6"]);
    let listed = json!({"controls": {"kind": "finite", "values": [[0.0], [3.0]]}, "control_cost": "log(3 - u0)", "exact": null});
    same(&edit(&small(), listed), &["control_cost", "u0 = 3"]);
    same(&edit(&exit(), json!({"target": {"value": "log(x0)"}})), &["target.value", "x0 = -1.3"]);
    let face = json!({"faces": [["dirichlet", "extrapolated"]], "face_value": "log(x0 + 6)", "exact": null});
    same(&edit(&small(), face), &["face_value", "x0 = -6"]);
    // away from the faces that are prescribed the formula does not count
    let fine = json!({"faces": [["dirichlet", "extrapolated"]], "face_value": "log(-x0)", "exact": null});
    Desk::new().run("check", &edit(&small(), fine), &[]).good("face_value");
    same(&edit(&small(), json!({"exact": {"value": null, "control": ["1/(x0 - 1)"]}})), &["exact.control", "x0 = 1"]);
    same(&edit(&small(), json!({"obstacle": "log(x0 + 6)"})), &["obstacle", "x0 = -6"]);
}

#[test]
fn mistakes_in_the_file_are_named() {
    let case = |change: Value, needed: &[&str]| refused(&change.to_string(), &edit(&small(), change.clone()), needed);
    case(json!({"drfit": ["0"]}), &["unknown field `drfit`", "did you mean `drift`?"]);
    case(json!({"grid": {"uper": [1.0]}}), &["grid", "uper", "did you mean `upper`?"]);
    case(json!({"sense": "minimize"}), &["sense", "minimize", "did you mean `minimise`?"]);
    case(json!({"kind": "control"}), &["kind", "control", "fine_tuning", "controlled_diffusion"]);
    case(json!({"kind": 3}), &["kind", "3", "fine_tuning"]);
    case(json!({"drift": ["u0"]}), &["drift[0]", "u0 is the control", "control_matrix", "control_cost"]);
    case(json!({"drift": ["y + 1"]}), &["drift[0]", "variables: t, x0, k\n"]);
    let cole_hopf = |change: Value| edit(&change, json!({"scheme": {"route": "cole_hopf"}}));
    case(
        cole_hopf(json!({"controls": {"kind": "box", "lower": [-1.0], "upper": [1.0]}})),
        &["the control is bounded by a box", "a free control of quadratic cost"],
    );
    case(cole_hopf(json!({"controls": {"kind": "finite", "values": [[0.0], [1.0]]}})), &["one of a finite set of 2"]);
    case(json!({"terminal": "x1"}), &["terminal", "x1", "x0 to x0"]);
    case(json!({"drift": ["x0 +"]}), &["drift[0]", "column 5"]);
    case(json!({"drift": ["y"]}), &["drift[0]", "unknown variable `y`", "x0"]);
    case(json!({"drift": ["sine(x0)"]}), &["drift[0]", "sine"]);
    case(json!({"drift": [true]}), &["drift[0]", "formula"]);
    case(json!({"drift": []}), &["drift", "one formula for each coordinate"]);
    case(json!({"drift": ["0", "0", "0", "0"]}), &["drift", "at most 3"]);
    case(json!({"drift": ["0", "0"]}), &["grid.lower", "2 expected"]);
    case(json!({"diffusion": [["1"], ["1"]]}), &["diffusion", "1 expected"]);
    case(json!({"diffusion": {"a": 1}}), &["diffusion", "rows"]);
    case(json!({"control_cost": "u0**2"}), &["control_cost", "bounded"]);
    case(json!({"control_cost": "u0**2", "control_weight": 1}), &["control_cost", "control_weight"]);
    case(json!({"control_weight": -1}), &["control_weight", "-1", "positive"]);
    case(json!({"controls": {"kind": "boxes"}}), &["controls.kind", "boxes", "finite"]);
    case(json!({"controls": {"kind": "box", "lower": [1.0], "upper": [0.0]}}), &["controls.upper[0]", "controls.lower[0]"]);
    case(json!({"controls": {"kind": "box", "lower": [1.0]}}), &["controls", "upper"]);
    case(json!({"controls": {"kind": "finite", "values": [[1.0, 2.0]]}}), &["controls.values[0]", "1 expected"]);
    case(json!({"controls": {"kind": "none"}}), &["exact.control", "0 expected"]);
    case(json!({"parameters": {"t": 1}}), &["parameters.t"]);
    case(json!({"parameters": {"k": "2"}}), &["parameters.k", "f64"]);
    case(json!({"horizon": 0}), &["horizon", "positive"]);
    case(json!({"horizon": null, "exact": null, "terminal": null}), &["horizon", "discount", "target", "obstacle"]);
    case(json!({"discount": -1}), &["discount", "-1"]);
    case(json!({"sense": "max"}), &["sense", "max", "maximise"]);
    case(json!({"faces": [["periodic", "reflecting"]]}), &["faces[0]", "periodic"]);
    case(json!({"faces": [["open", "reflecting"]]}), &["faces[0][0]", "open", "dirichlet"]);
    case(json!({"faces": []}), &["faces", "1 expected"]);
    case(json!({"face_value": "0"}), &["face_value", "dirichlet"]);
    case(json!({"scheme": {"route": "fast"}}), &["scheme.route", "fast", "high_order"]);
    case(json!({"scheme": {"order": 5}}), &["scheme.order", "5"]);
    case(json!({"scheme": {"tolerance": 2}}), &["scheme.tolerance", "2"]);
    case(json!({"scheme": {"route": "high_order"}, "target": {"level": "x0 - 9"}}), &["scheme.route", "high_order", "target"]);
    case(json!({"scheme": {"route": "cole_hopf"}, "obstacle": "0"}), &["scheme.route", "cole_hopf", "obstacle"]);
    case(json!({"time_steps": 0}), &["time_steps"]);
    case(json!({"start": [[0.0, 1.0]]}), &["start[0]", "1 expected"]);
    case(json!({"start": [[7.0]]}), &["start[0][0]", "7", "[-6, 6]"]);
    case(json!({"compare_on": {"upper": [9.0]}}), &["compare_on.upper[0]"]);
    case(json!({"axis_labels": ["a", "b"]}), &["axis_labels", "1 expected"]);
    case(json!({"exact": {"value": null, "control": null}}), &["exact"]);
    case(json!({"target": {"value": "1"}}), &["target", "level"]);
    case(json!({"target": {"level": "x0 - t"}}), &["target.level", "t may not occur"]);
    case(json!({"target": {"level": "x0 + 9"}}), &["target", "node"]);
    // without a horizon there is no time
    let case = |change: Value, needed: &[&str]| refused(&change.to_string(), &edit(&exit(), change.clone()), needed);
    case(json!({"drift": ["t"]}), &["drift[0]", "t may not occur"]);
    case(json!({"terminal": "0"}), &["terminal", "target.value"]);
    case(json!({"obstacle": "1 - t"}), &["obstacle", "t may not occur"]);
    case(json!({"obstacle": "0", "scheme": {"route": "cole_hopf"}}), &["scheme.route", "cole_hopf", "obstacle"]);
    case(json!({"scheme": {"route": "high_order"}}), &["scheme.route", "high_order"]);
}

#[test]
fn other_commands_and_flags_are_refused() {
    let desk = Desk::new();
    for command in ["pift", "bridge"] {
        let run = desk.run(command, &small(), &[]);
        assert_eq!(run.code, 2, "{command}: {}", run.stderr);
        assert!(run.stderr.contains(command) && run.stderr.contains("controlled_diffusion"), "{}", run.stderr);
        assert!(run.stderr.contains("check, solve, rollout and certify") && !run.out.exists());
    }
    for (problem, flags, needed) in [
        (small(), ["--paths", "10"], "--paths"),
        (small(), ["--seed", "1"], "--seed"),
        (small(), ["--steps", "8,16"], "--steps"),
        (exit(), ["--steps", "8"], "--steps"),
        (small(), ["--nodes", "9,9"], "grid.nodes"),
    ] {
        let run = desk.run("solve", &problem, &flags);
        assert_eq!(run.code, 2, "{flags:?}");
        assert!(run.stderr.contains(needed) && !run.out.exists(), "{flags:?}: {}", run.stderr);
    }
}
