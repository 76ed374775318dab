//! Bad input: exit code 2, a message that names the field, the value and what is allowed, and nothing written.

use crate::desk::{Desk, Outcome, edit, mixture, old_faithful, plane};
use serde_json::{Value, json};

/// Collects every row that fails, so that one run shows them all.
#[derive(Default)]
struct Table {
    rows: usize,
    faults: Vec<String>,
}

impl Table {
    fn row(&mut self, label: &str, desk: &Desk, run: &Outcome, before: &[String], needed: &[&str]) {
        self.rows += 1;
        let mut fault = |text: String| self.faults.push(format!("{label}: {text}\n    message: {}", run.stderr.trim()));
        if run.code != 2 {
            fault(format!("exit code {}", run.code));
        }
        let missing: Vec<_> = needed.iter().filter(|n| !run.stderr.contains(**n)).collect();
        if !missing.is_empty() {
            fault(format!("the message lacks {missing:?}"));
        }
        if !run.stdout.is_empty() {
            fault(format!("standard output begins: {}", run.stdout.lines().next().unwrap_or_default()));
        }
        if desk.names() != before {
            fault(format!("written: {:?}", desk.names()));
        }
    }

    /// `solve` on a changed problem.
    fn problem(&mut self, label: &str, problem: &Value, needed: &[&str]) {
        self.text(label, &problem.to_string(), needed);
    }

    fn text(&mut self, label: &str, text: &str, needed: &[&str]) {
        let desk = Desk::new();
        let before = ["problem.json".to_string()];
        for command in ["solve", "check"] {
            let run = desk.text(command, text, &[]);
            self.row(&format!("{label} ({command})"), &desk, &run, &before, needed);
        }
    }

    fn flags(&mut self, command: &str, problem: &Value, flags: &[&str], needed: &[&str]) {
        let desk = Desk::new();
        let run = desk.run(command, problem, flags);
        self.row(&format!("{command} {}", flags.join(" ")), &desk, &run, &["problem.json".to_string()], needed);
    }

    fn data(&mut self, label: &str, bytes: impl AsRef<[u8]>, needed: &[&str]) {
        let desk = Desk::new();
        desk.file("data.csv", bytes);
        let mut problem = edit(&old_faithful(), json!({"prior": {"file": "data.csv", "columns": ["x"]}}));
        problem["axis_labels"] = json!(["x"]);
        let run = desk.run("solve", &problem, &[]);
        self.row(label, &desk, &run, &["data.csv".to_string(), "problem.json".to_string()], needed);
    }

    #[track_caller]
    fn done(self) {
        assert!(self.rows > 0);
        assert!(self.faults.is_empty(), "{} faults in {} rows:\n{}", self.faults.len(), self.rows, self.faults.join("\n"));
    }
}

#[test]
fn text_that_is_not_a_problem() {
    let mut t = Table::default();
    t.text(
        "malformed",
        "{ \"name\": \"x\",\n  \"horizon\": }",
        &["problem.json", "line 2", "column 14", "horizon", "expected value"],
    );
    t.text("unterminated", "{\n\n  \"name\": \"x", &["problem.json", "line 3", "EOF"]);
    t.text("empty", "", &["problem.json", "line 1", "EOF"]);
    t.text("comment", "// yes\n{}", &["problem.json", "line 2, column 2", "missing field"]);
    t.text("no comment", "{ / }", &["problem.json", "line 1, column 3"]);
    t.text("comment without end", "{ \"name\": /* \n }", &["problem.json", "line 2", "EOF"]);
    t.text("NaN", &mixture().to_string().replace("2.0", "NaN"), &["problem.json", "line 1", "column"]);
    t.text("trailing", &format!("{}\n x", mixture()), &["line 2", "trailing"]);
    t.text("list", "[1, 2]", &["problem.json", "line 1"]);
    t.text("null", "null", &["problem.json", "null"]);
    t.text("twice", &mixture().to_string().replacen('{', "{\"horizon\": 1.0, ", 1), &["duplicate field", "horizon"]);
    t.text("overflow", &mixture().to_string().replace("\"horizon\":2.0", "\"horizon\":1e400"), &["horizon", "out of range"]);
    t.done();
}

#[test]
fn wrong_types_and_names() {
    let (m, mut t) = (mixture(), Table::default());
    let mut case = |label: &str, change: Value, needed: &[&str]| t.problem(label, &edit(&m, change), needed);
    case("string for number", json!({"horizon": "two"}), &["line 1", "horizon", "string \"two\"", "f64"]);
    case("number for string", json!({"name": 3}), &["name", "3", "string"]);
    case("number for list", json!({"grid": {"nodes": 101}}), &["grid.nodes", "101", "sequence"]);
    case("negative count", json!({"grid": {"nodes": [-5]}}), &["grid.nodes[0]", "-5"]);
    case("fractional count", json!({"grid": {"nodes": [10.5]}}), &["grid.nodes[0]", "10.5"]);
    case("fractional steps", json!({"time_steps": 10.5}), &["time_steps", "10.5"]);
    case("negative seed", json!({"seed": -1}), &["seed", "-1"]);
    case("list for number in the grid", json!({"grid": {"lower": [[1.0]]}}), &["grid.lower[0]", "sequence"]);
    case("kl_weight string", json!({"kl_weight": "0.7"}), &["kl_weight", "0.7", "positive number", "table", "formula"]);
    case("kl_weight list", json!({"kl_weight": [1]}), &["kl_weight", "sequence", "positive number"]);
    case("kl_weight kind", json!({"kl_weight": {"kind": "spline"}}), &["kl_weight", "spline", "table", "formula"]);
    case("initial law", json!({"initial_law": "foo"}), &["initial_law", "foo", "standard_normal", "noised_prior", "optimal"]);
    case("prior kind", json!({"prior": {"kind": "gauss"}}), &["prior.kind", "gauss", "gaussian", "mixture", "samples"]);
    case(
        "reward kind",
        json!({"reward": {"kind": "cubic"}}),
        &["reward.kind", "cubic", "linear", "quadratic", "log_sum_exp", "bumps"],
    );
    case(
        "schedule kind",
        json!({"schedule": {"kind": "cos"}}),
        &["schedule.kind", "cos", "constant", "linear", "cosine", "table"],
    );
    case("space scheme", json!({"scheme": {"space": "central"}}), &["scheme.space", "central", "upwind", "hybrid"]);
    case("time scheme", json!({"scheme": {"time": "bdf"}}), &["scheme.time", "bdf", "implicit_euler", "crank_nicolson"]);
    case("inner", json!({"pift": {"inner": "foo"}}), &["pift.inner", "foo", "auto", "plain", "damped", "newton"]);
    case("alpha", json!({"pift": {"alpha": "foo"}}), &["pift.alpha", "foo", "exp_integral", "linear"]);
    case(
        "variance",
        json!({"pift": {"variance": "foo"}}),
        &["pift.variance", "foo", "one_minus_alpha", "over_alpha", "posterior"],
    );
    case("unknown field", json!({"horizn": 2.0}), &["unknown field", "horizn", "horizon"]);
    case("unknown in grid", json!({"grid": {"node": [5]}}), &["grid", "unknown field", "`node`", "`nodes`"]);
    case("unknown in prior", json!({"prior": {"mean": [0.0]}}), &["prior", "unknown field", "`mean`", "`means`"]);
    case("unknown in schedule", json!({"schedule": {"b": 1}}), &["schedule", "unknown field", "`b`", "`b_min`"]);
    case("unknown in pift", json!({"pift": {"m": 2}}), &["pift", "unknown field", "`m`", "`iterations`"]);
    case("missing field", json!({"horizon": null}), &["missing field", "horizon"]);
    case("missing in prior", json!({"prior": {"means": null}}), &["prior", "missing field", "means"]);
    case("missing kind", json!({"prior": {"kind": null}}), &["prior", "missing field", "kind"]);
    // inside the kinds the field is to be named too
    case("weight", json!({"prior": {"weights": [0.4, "x"]}}), &["prior.weights[1]", "\"x\"", "f64"]);
    case("covariance", json!({"prior": {"covariances": [[[0.15]], [["x"]]]}}), &["prior.covariances[1][0][0]", "\"x\""]);
    case("rate", json!({"schedule": {"b_min": "x"}}), &["schedule.b_min", "\"x\"", "f64"]);
    case("curvature", json!({"reward": {"terms": [{"Q": [["x"]], "q": [1.0]}]}}), &["reward.terms[0].Q[0][0]", "\"x\""]);
    case("beta", json!({"kl_weight": {"kind": "table", "t": [0, 2], "beta": [1, "x"]}}), &["kl_weight.beta[1]", "\"x\""]);
    case(
        "unknown in a term",
        json!({"reward": {"terms": [{"Q": [[1.0]], "q": [1.0], "d": 1}]}}),
        &["reward.terms[0]", "`d`", "`q`"],
    );
    t.done();
}

#[test]
fn values_that_are_not_allowed() {
    let (m, mut t) = (mixture(), Table::default());
    let mut case = |label: &str, change: Value, needed: &[&str]| t.problem(label, &edit(&m, change), needed);
    case("name path", json!({"name": "../x"}), &["name", "../x", "letters"]);
    case("name empty", json!({"name": ""}), &["name", "\"\"", "letters"]);
    case("name dots", json!({"name": ".."}), &["name", "..", "letters"]);
    case("name slash", json!({"name": "a/b"}), &["name", "a/b", "letters"]);
    case("name long", json!({"name": "x".repeat(101)}), &["name", "100"]);
    case("horizon zero", json!({"horizon": 0.0}), &["horizon = 0", "positive"]);
    case("horizon negative", json!({"horizon": -1.0}), &["horizon = -1", "positive"]);
    case("b_min negative", json!({"schedule": {"b_min": -1.0}}), &["schedule.b_min = -1", "positive"]);
    case("b_max zero", json!({"schedule": {"b_max": 0}}), &["schedule.b_max = 0", "positive"]);
    case("b zero", json!({"schedule": {"kind": "constant", "b": 0}}), &["schedule.b = 0", "positive"]);
    case("cosine rate", json!({"schedule": {"kind": "cosine", "b_max": -1}}), &["schedule.b_max = -1", "above"]);
    case("cosine offset", json!({"schedule": {"kind": "cosine", "offset": -1, "b_max": 20}}), &["schedule.offset = -1"]);
    case("table start", json!({"schedule": {"kind": "table", "tau": [0.5, 2], "b": [1, 1]}}), &["schedule.tau[0] = 0.5", "0"]);
    case("table end", json!({"schedule": {"kind": "table", "tau": [0, 1], "b": [1, 1]}}), &["schedule.tau[1] = 1", "2"]);
    case(
        "table order",
        json!({"schedule": {"kind": "table", "tau": [0, 1.5, 1, 2], "b": [1, 1, 1, 1]}}),
        &["schedule.tau[2] = 1"],
    );
    case("table length", json!({"schedule": {"kind": "table", "tau": [0, 2], "b": [1]}}), &["schedule.b", "1", "2"]);
    case("table rate", json!({"schedule": {"kind": "table", "tau": [0, 2], "b": [1, -1]}}), &["schedule.b[1] = -1", "positive"]);
    case(
        "covariance",
        json!({"prior": {"covariances": [[[-0.15]], [[0.4]]]}}),
        &["prior.covariances[0]", "-1.5", "positive definite"],
    );
    case("covariance zero", json!({"prior": {"covariances": [[[0.15]], [[0]]]}}), &["prior.covariances[1]", "positive definite"]);
    case("covariance shape", json!({"prior": {"covariances": [[[0.15, 0]], [[0.4]]]}}), &["prior.covariances[0][0]", "2", "1"]);
    case("weights", json!({"prior": {"weights": [0.4, 0.5]}}), &["prior.weights", "0.9", "sum to one"]);
    case("weight negative", json!({"prior": {"weights": [-0.4, 1.4]}}), &["prior.weights[0] = -0.4", "positive"]);
    case("weights short", json!({"prior": {"weights": [1.0]}}), &["prior.", "2 entries", "1 expected"]);
    case("no component", json!({"prior": {"weights": [], "means": [], "covariances": []}}), &["prior.", "[]", "at least one"]);
    case(
        "no dimension",
        json!({"prior": {"kind": "gaussian", "mean": [], "covariance": []}}),
        &["prior.mean = []", "at least 1"],
    );
    case("curvature shape", json!({"reward": {"terms": [{"Q": [[1, 0], [0, 1]], "q": [1]}]}}), &["reward.terms[0].Q", "2", "1"]);
    case("no terms", json!({"reward": {"terms": []}}), &["reward.terms", "at least one"]);
    case("reward dimension", json!({"reward": {"kind": "linear", "q": [1, 2]}}), &["reward", "2", "1"]);
    case("temperature", json!({"reward": {"temperature": -0.5}}), &["reward.temperature = -0.5", "positive"]);
    let bump = |width: f64| json!({"reward": {"kind": "bumps", "terms": [{"center": [0.0], "width": width, "height": 1.0}]}});
    case("bump width", bump(0.0), &["reward.terms[0].width = 0", "positive"]);
    case("kl negative", json!({"kl_weight": -0.7}), &["kl_weight = -0.7", "positive"]);
    case("kl zero", json!({"kl_weight": 0}), &["kl_weight = 0", "positive"]);
    case(
        "kl table",
        json!({"kl_weight": {"kind": "table", "t": [0, 2], "beta": [1, -1]}}),
        &["kl_weight.beta[1] = -1", "positive"],
    );
    case("kl table end", json!({"kl_weight": {"kind": "table", "t": [0, 1], "beta": [1, 1]}}), &["kl_weight.t[1] = 1", "2"]);
    case("kl table length", json!({"kl_weight": {"kind": "table", "t": [0, 2], "beta": [1]}}), &["kl_weight.beta", "1", "2"]);
    let formula = |text: &str| json!({"kl_weight": {"kind": "formula", "beta": text}});
    case("formula syntax", formula("1 + * t"), &["kl_weight.beta", "1 + * t"]);
    case("formula parenthesis", formula("(1 + t"), &["kl_weight.beta", "(1 + t", ")"]);
    case("formula variable", formula("1 + x"), &["kl_weight.beta", "x", "t"]);
    case("formula function", formula("foo(t)"), &["kl_weight.beta", "foo"]);
    case("formula empty", formula(""), &["kl_weight.beta", "\"\""]);
    case("formula sign", formula("1 - t"), &["kl_weight.beta", "t = 1", "positive"]);
    case("formula NaN", formula("sqrt(t - 1)"), &["kl_weight.beta", "NaN", "positive and finite"]);
    case("formula deep", formula(&"(".repeat(100_000)), &["kl_weight.beta"]);
    let varying = json!({"kl_weight": {"kind": "formula", "beta": "1 + t"}});
    case("temperature needed", varying, &["reward.temperature", "absent", "kl_weight"]);
    case(
        "tilt",
        json!({"reward": {"terms": [{"Q": [[-50.0]], "q": [0.0]}]}}),
        &["ill-posed", "reward", "-6.47", "0.7", "positive", "kl_weight"],
    );
    case("axis labels", json!({"axis_labels": ["a", "b"]}), &["axis_labels", "2", "1"]);
    t.done();
}

#[test]
fn grids() {
    let (m, mut t) = (mixture(), Table::default());
    let mut case = |label: &str, change: Value, needed: &[&str]| t.problem(label, &edit(&m, change), needed);
    let grid = |change: Value| json!({"grid": change});
    case("too few", grid(json!({"nodes": [4]})), &["grid.nodes[0] = 4", "5"]);
    case("none", grid(json!({"nodes": [0]})), &["grid.nodes[0] = 0", "5"]);
    case("a million million", grid(json!({"nodes": [1_000_000_000_000_u64]})), &["grid.nodes", "1000000000000", "GB"]);
    case("more than memory", grid(json!({"nodes": [10_000_000_000_u64]})), &["grid.nodes", "10000000000", "GB"]);
    case("largest number", grid(json!({"nodes": [u64::MAX]})), &["grid.nodes", "18446744073709551615", "GB"]);
    case("list length", grid(json!({"nodes": [101, 101]})), &["grid.nodes", "2", "1"]);
    case("no axis", grid(json!({"nodes": []})), &["grid.nodes", "0", "1"]);
    case("lower length", grid(json!({"lower": []})), &["grid.lower", "0", "1"]);
    case("reversed", grid(json!({"lower": [6], "upper": [-6]})), &["grid.upper[0] = -6", "6"]);
    case("empty", grid(json!({"lower": [6], "upper": [6]})), &["grid.upper[0] = 6", "6"]);
    case("overflow", grid(json!({"lower": [-1e308], "upper": [1e308]})), &["grid.lower[0] = -1e308", "at most 1e100"]);
    case("cut off", grid(json!({"lower": [-1.0]})), &["grid", "lower [-1", "cuts off", "1e-4", "would do"]);
    case("beside the law", grid(json!({"lower": [50.0], "upper": [60.0]})), &["grid", "lower [50", "cuts off", "would do"]);
    case(
        "stretch strength",
        grid(json!({"stretch": {"center": [0], "strength": 0}})),
        &["grid.stretch.strength = 0", "positive"],
    );
    case(
        "stretch centre",
        grid(json!({"stretch": {"center": [100], "strength": 1}})),
        &["grid.stretch.center[0] = 100", "[-6, 6]"],
    );
    case("stretch length", grid(json!({"stretch": {"center": [0, 0], "strength": 1}})), &["grid.stretch.center", "2", "1"]);
    let on = |lower: f64, upper: f64| json!({"compare_on": {"lower": [lower], "upper": [upper]}});
    case("compare reversed", on(3.0, -3.0), &["compare_on.upper[0] = -3", "3"]);
    case("compare outside", on(-30.0, 3.0), &["compare_on.lower[0] = -30", "[-6, 6]"]);
    case("compare between nodes", on(0.01, 0.02), &["compare_on", "0.01", "0.02", "node"]);
    case("compare length", json!({"compare_on": {"lower": [0, 0], "upper": [1, 1]}}), &["compare_on", "2", "1"]);
    let mut case = |label: &str, change: Value, needed: &[&str]| t.problem(label, &edit(&plane(), change), needed);
    case("product overflows", grid(json!({"nodes": [1_u64 << 32, 1_u64 << 32]})), &["grid.nodes", "4294967296", "GB"]);
    case(
        "product overflows twice",
        grid(json!({"nodes": [1_u64 << 63, 1_u64 << 63]})),
        &["grid.nodes", "9223372036854775808", "GB"],
    );
    case(
        "asymmetric",
        json!({"prior": {"covariance": [[0.7, 0.3], [0.2, 1.5]]}}),
        &["prior.covariance[1][0] = 0.2", "symmetric", "0.3"],
    );
    case("indefinite", json!({"prior": {"covariance": [[1, 2], [2, 1]]}}), &["prior.covariance", "-1.0", "positive definite"]);
    case("asymmetric curvature", json!({"reward": {"Q": [[0.9, -0.2], [0.2, 0.4]]}}), &["reward.Q[1][0] = 0.2", "symmetric"]);
    case("ragged covariance", json!({"prior": {"covariance": [[0.7, 0.3], [0.3]]}}), &["prior.covariance[1]", "1", "2"]);
    case("mean length", json!({"prior": {"mean": [0.5]}}), &["prior.", "2", "1"]);
    case("tilt", json!({"reward": {"Q": [[-5, 0], [0, 1]]}}), &["ill-posed", "reward", "positive", "kl_weight"]);
    t.done();
}

#[test]
fn the_box_that_the_message_advises_is_accepted() {
    let desk = Desk::new();
    let run = desk.run("check", &edit(&mixture(), json!({"grid": {"lower": [-1.0]}})), &[]);
    let (_, advice) = run.stderr.split_once("(lower [").unwrap();
    let (lower, rest) = advice.split_once("], upper [").unwrap();
    let (upper, _) = rest.split_once(']').unwrap();
    let (lower, upper): (f64, f64) = (lower.parse().unwrap(), upper.parse().unwrap());
    desk.run("check", &edit(&mixture(), json!({"grid": {"lower": [lower], "upper": [upper]}})), &[]).good("advice");
}

#[test]
fn counts() {
    let (m, mut t) = (mixture(), Table::default());
    let mut case = |label: &str, change: Value, needed: &[&str]| t.problem(label, &edit(&m, change), needed);
    case("no steps", json!({"time_steps": 0}), &["time_steps = 0", "1 to"]);
    case("too many steps", json!({"time_steps": 10_000_001}), &["time_steps = 10000001", "10000000"]);
    case("absurdly many steps", json!({"time_steps": u64::MAX}), &["time_steps = 18446744073709551615"]);
    case("no N", json!({"bridge_steps": []}), &["bridge_steps = []", "at least one"]);
    case("N zero", json!({"bridge_steps": [0, 8]}), &["bridge_steps[0] = 0", "1 to"]);
    case("descending", json!({"bridge_steps": [8, 16, 12]}), &["bridge_steps[2] = 12", "larger"]);
    case("equal", json!({"bridge_steps": [16, 16]}), &["bridge_steps[1] = 16", "larger"]);
    case("absurd N", json!({"bridge_steps": [8, u64::MAX]}), &["bridge_steps[1] = 18446744073709551615"]);
    case("one path", json!({"paths": 1}), &["paths = 1", "at least 2"]);
    case("no path", json!({"paths": 0}), &["paths = 0", "at least 2"]);
    case("absurdly many paths", json!({"paths": u64::MAX}), &["paths = 18446744073709551615"]);
    case("tolerance", json!({"pift": {"tolerance": 0}}), &["pift.tolerance = 0", "positive"]);
    case("quadrature", json!({"pift": {"quadrature_nodes": 1}}), &["pift.quadrature_nodes = 1", "2 to 64"]);
    case("quadrature large", json!({"pift": {"quadrature_nodes": 1000}}), &["pift.quadrature_nodes = 1000", "2 to 64"]);
    case("absurdly many iterations", json!({"pift": {"iterations": u64::MAX}}), &["pift.iterations = 18446744073709551615"]);
    t.done();
}

#[test]
fn flags() {
    let (m, mut t) = (mixture(), Table::default());
    let mut case = |command: &str, flags: &[&str], needed: &[&str]| t.flags(command, &m, flags, needed);
    case("solve", &["--threads", "0"], &["--threads", "'0'", "1..=1024"]);
    case("solve", &["--threads", "x"], &["--threads", "'x'"]);
    for command in ["solve", "pift", "rollout"] {
        case(command, &["--steps", "10,20"], &["--steps", "[10, 20]", "one number", "bridge"]);
        case(command, &["--steps", "0"], &["time_steps = 0"]);
        case(command, &["--nodes", "4"], &["4", "5"]);
        case(command, &["--paths", "1"], &["paths = 1", "at least 2"]);
    }
    case("solve", &["--steps", ""], &["--steps"]);
    case("solve", &["--steps", "x"], &["--steps", "'x'"]);
    case("solve", &["--steps", "1.5"], &["--steps", "'1.5'"]);
    case("solve", &["--nodes", "101,101"], &["grid.nodes", "2", "1"]);
    case("solve", &["--nodes", "1000000000000"], &["grid.nodes", "1000000000000", "GB"]);
    case("pift", &["--nodes", "1000000000"], &["grid.nodes", "1000000000", "GB"]);
    case("solve", &["--nodes", "99999999999999999999999"], &["--nodes", "99999999999999999999999"]);
    case("solve", &["--seed", "-1"], &["-1"]);
    case("solve", &["--seed=-1"], &["--seed", "-1"]);
    case("solve", &["--bogus"], &["--bogus"]);
    case("bridge", &["--steps", "16,8"], &["bridge_steps[1] = 8", "larger"]);
    case("bridge", &["--steps", "0,8"], &["bridge_steps[0] = 0"]);
    case("bridge", &["--steps", "8,,16"], &["--steps"]);
    case("check", &["--out", "out"], &["--out"]);
    // bad in the file, mended by the flag: accepted, the flag counts
    let desk = Desk::new();
    desk.run("solve", &edit(&m, json!({"time_steps": 0})), &["--steps", "4"]).good("mended");
    t.done();
    for args in [&[][..], &["bogus"], &["solve"]] {
        let run = desk.plain(args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}");
        assert!(run.stderr.contains("Usage"), "{}", run.stderr);
    }
}

#[test]
fn data_files() {
    let rows: String = (0..30).map(|i| format!("{},{i}\n", (f64::from(i) * 0.37) % 3.0)).collect();
    let good = format!("x,y\n{rows}");
    let second = |entry: &str| good.replacen("\n0.37,", &format!("\n{entry},"), 1);
    let mut t = Table::default();
    for bad in ["NaN", "nan", "inf", "-Infinity", "abc", "", "1e999", "0x10", "1;2"] {
        t.data(bad, second(bad), &["data.csv", "row 2", "`x`", &format!("`{bad}`"), "finite number"]);
    }
    t.data("long row", second("0.37,9"), &["data.csv", "row 2", "3", "2", "header"]);
    t.data("short row", format!("{good}1.0\n"), &["data.csv", "row 31", "1", "2", "header"]);
    t.data("open quote", second("\"0.37"), &["data.csv", "row 2"]);
    t.data("missing column", good.replace("x,y", "z,y"), &["prior.columns[0]", "\"x\"", "z, y"]);
    t.data("empty file", "", &["data.csv"]);
    t.data("only a header", "x,y\n", &["prior", "0 rows", "at least"]);
    t.data("one row", "x,y\n1,2\n", &["prior", "1 rows", "at least"]);
    t.data("constant column", format!("x,y\n{}", "1,2\n".repeat(9)), &["prior", "constant"]);
    t.data("not text", b"x,y\n\xff\xfe,2\n", &["data.csv", "UTF-8"]);
    t.data("variance overflows", "x,y\n1e308,2\n-1e308,3\n0,1\n1,1\n", &["prior", "x"]);

    let o = old_faithful();
    let mut case = |label: &str, prior: Value, needed: &[&str]| t.problem(label, &edit(&o, json!({"prior": prior})), needed);
    case("missing file", json!({"file": "nowhere.csv"}), &["prior.file", "nowhere.csv", "No such file"]);
    case("directory", json!({"file": "."}), &["prior.file", "not a regular file"]);
    case("no columns", json!({"columns": []}), &["prior.columns = []", "at least one"]);
    case("unknown column", json!({"columns": ["wait"]}), &["prior.columns[0]", "\"wait\"", "eruptions, waiting"]);
    case("bandwidth zero", json!({"bandwidth": 0}), &["prior.bandwidth = 0", "positive"]);
    case("bandwidth negative", json!({"bandwidth": -1}), &["prior.bandwidth = -1", "positive"]);
    case("bandwidth text", json!({"bandwidth": "wide"}), &["prior", "\"wide\""]);
    case("data units outside the box", json!({"standardize": false}), &["grid", "cuts off", "would do"]);
    t.done();

    // other ways to write good numbers
    for (label, text) in
        [("byte order mark", format!("\u{feff}{good}")), ("CRLF", good.replace('\n', "\r\n")), ("quotes", second("\"0.37\""))]
    {
        let desk = Desk::new();
        desk.file("data.csv", text);
        let problem = edit(&o, json!({"prior": {"file": "data.csv", "columns": ["x"]}, "axis_labels": ["x"]}));
        desk.run("check", &problem, &[]).good(label);
    }
}

#[test]
fn missing_problem_files() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("folder")).unwrap();
    let latin = desk.file("latin.json", b"{\"name\": \"caf\xe9\"}");
    assert!(latin.exists());
    let before = desk.names();
    for (file, needed) in [("nowhere.json", "No such file"), ("folder", "directory"), ("latin.json", "UTF-8")] {
        for command in ["check", "solve", "rollout", "pift", "bridge"] {
            let run = desk.plain(&[command, file]);
            assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{command} {file}");
            assert!(run.stderr.contains(file) && run.stderr.contains(needed), "{}", run.stderr);
            assert_eq!(desk.names(), before, "{command} {file}");
        }
    }
}

#[test]
fn a_dimension_that_a_command_does_not_do_is_said_before_anything_is_written() {
    let mut t = Table::default();
    let d = 4;
    let identity: Vec<Vec<f64>> = (0..d).map(|i| (0..d).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let problem = json!({
        "name": "four", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "gaussian", "mean": vec![0.0; d], "covariance": identity},
        "reward": {"kind": "linear", "q": vec![0.3; d]}, "kl_weight": 1.0,
        "grid": {"lower": vec![-6.0; d], "upper": vec![6.0; d], "nodes": vec![5; d]}, "time_steps": 4, "paths": 100
    });
    t.flags("rollout", &problem, &[], &["dimension", "4"]);
    t.done();
}
