//! Problems of kind `controlled_diffusion`: the shipped ones meet their references, every field does what it says, and mistakes
//! in formulas are named.

use crate::desk::{Desk, Outcome, edit, number, root};
use serde_json::{Value, json};

/// A problem of the repository at its own size.
fn shipped(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("data/problems").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Brownian motion on the line, pushed to reach a high terminal reward: small, and with a known solution,
/// V = -K x^2/2 + l with K = k/(1 + k (1 - t)), l = -log(1 + k (1 - t))/2, v = -K x.
pub fn small() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "small", "horizon": 1.0, "parameters": {"k": 0.8},
        "drift": ["0"], "terminal": "-k*x0**2/2",
        "grid": {"lower": [-6.0], "upper": [6.0], "nodes": [121]}, "time_steps": 40,
        "compare_on": {"lower": [-2.0], "upper": [2.0]},
        "exact": {
            "value": "-k*x0**2/2/(1 + k*(1 - t)) - log(1 + k*(1 - t))/2",
            "control": ["-k*x0/(1 + k*(1 - t))"]
        },
        "start": [[0.0], [1.0]]
    })
}

/// Exit from |x| < 1 with rate of decay: rho V = V''/2 + 1 inside.
pub fn exit() -> Value {
    json!({
        "kind": "controlled_diffusion", "name": "exit", "discount": 0.5, "drift": ["0"], "controls": {"kind": "none"},
        "running": 1, "target": {"level": "1 - abs(x0)"},
        "grid": {"lower": [-1.3], "upper": [1.3], "nodes": [81]}, "start": [[0.0]]
    })
}

/// The desk must outlive the use of the output.
#[track_caller]
fn solved(problem: &Value, flags: &[&str]) -> (Desk, Outcome, Value) {
    let desk = Desk::new();
    let run = desk.run("solve", problem, flags).good("solve");
    let report = run.report();
    assert_eq!(report["complete"], true);
    assert_eq!(report["solve"], Value::Null, "the section of fine-tuning problems");
    (desk, run, report)
}

fn start_values(report: &Value) -> Vec<f64> {
    report["controlled"]["start"].as_array().unwrap().iter().map(|s| s["value"].as_f64().unwrap()).collect()
}

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64, label: &str) {
    assert!((found - expected).abs() <= tolerance, "{label}: {found} is not {expected} within {tolerance:e}");
}

// ---- the shipped problems -------------------------------------------------------------------------------------------------

#[test]
fn double_well_of_soc_matching_at_two_times() {
    let desk = Desk::new();
    let run = desk.run("solve", &shipped("double_well_soc.json"), &["--nodes", "1101"]).good("double well");
    let report = run.report();
    assert_eq!(report["controlled"]["route"], "high_order", "{}", report["controlled"]["reason"]);
    // Richardson-extrapolated values of an independent computation, good to 1e-10
    let at_zero = [0.1366518398, 0.1366518294, 0.1366517781, 0.1366517766, 0.1366517766];
    let certified = number(&report, "/controlled/certificate/richardson/value_error");
    assert!(certified < 1e-6, "{certified}");
    for (v, expected) in start_values(&report).iter().zip(at_zero) {
        near(*v, expected, 3.0 * certified, "V(0, .)");
    }
    let s = run.solution();
    let k = s.time.iter().position(|t| *t == 0.5).unwrap();
    let half = [
        (0.0, 0.1371853068, 0.0),
        (0.1, 0.1370975974, 0.0015909786),
        (0.5, 0.1366640137, 0.0001483780),
        (1.0, 0.1366516039, 1.1671e-6),
        (1.5, 0.1366513591, 2.009e-7),
    ];
    for (x, v, u) in half {
        let j = s.node(x);
        near(s.value_at(k)[j], v, 3.0 * certified, "V(1/2, .)");
        near(s.control_at(k)[j], u, 1e-6, "v(1/2, .)");
    }
    for file in ["value_and_control.png", "value_profiles.svg", "control_profiles.png"] {
        assert!(run.out.join(file).exists(), "{file}");
    }
}

#[test]
fn exit_from_the_double_well_by_policy_iteration_and_by_the_linear_equation() {
    // psi = exp(-V) at -1, 0, 1/2 by an independent computation on 8000 cells, and u(0)
    let psi = [0.164017077891f64, 0.422701933435, 0.711544867529];
    let problem = shipped("double_well_exit.json");
    for route in ["auto", "monotone", "cole_hopf"] {
        let (.., report) = solved(&edit(&problem, json!({"scheme": {"route": route}})), &[]);
        let certified = number(&report, "/controlled/certificate/richardson/value_error");
        assert!(certified < 5e-6, "{route}: {certified}");
        for (v, psi) in start_values(&report).iter().zip(psi) {
            near(*v, -psi.ln(), 3.0 * certified, route);
        }
        near(number(&report, "/controlled/start/1/control/0"), 1.80030176, 1e-5, route);
        assert_eq!(report["controlled"]["stationary"], true);
        let used = if route == "monotone" { "policy_iteration" } else { "cole_hopf" };
        assert_eq!(report["controlled"]["route"], used);
    }
}

/// The choice for a stationary problem: the smallest error for its work among policy iteration and the linear equation with
/// central and with fitted differences; what the linear equation cannot do stays with policy iteration.
#[test]
fn a_stationary_problem_is_solved_by_what_measures_best() {
    let steep =
        edit(&shipped("double_well_exit.json"), json!({"parameters": {"alpha": 30, "beta": 1}, "grid": {"nodes": [401]}}));
    let (.., report) = solved(&steep, &[]);
    let c = &report["controlled"];
    assert_eq!(c["route"], "cole_hopf");
    assert_eq!(c["scheme"], "fitted + linear for exp(V/beta)");
    let looked: Vec<(&str, bool)> =
        c["candidates"].as_array().unwrap().iter().map(|c| (c["route"].as_str().unwrap(), c["full_size"] == true)).collect();
    assert_eq!(looked, [("policy_iteration", false), ("cole_hopf", false), ("cole_hopf", true)]);
    // both methods on 12801 nodes, extrapolated
    let certified = number(&report, "/controlled/certificate/richardson/value_error");
    assert!(certified < 0.02, "{certified}");
    near(start_values(&report)[0], 26.77997, certified, "V(-1)");
    // central differences are off by more than one there, and policy iteration is ten times the work
    let discounted = edit(&shipped("double_well_exit.json"), json!({"discount": 0.5}));
    let (.., report) = solved(&discounted, &[]);
    let c = &report["controlled"];
    assert_eq!(c["route"], "policy_iteration");
    let refused = c["candidates"][0]["refused"].as_str().unwrap();
    assert!(refused.contains("discount"), "{refused}");
}

#[test]
fn mean_hitting_time_without_cancellation() {
    // int_{-1}^{1} e^{U(y)} int_{-2}^{y} e^{-U(z)} dz dy, by Gauss's rule
    let exact = 3.569416775867;
    let (_desk, run, report) = solved(&shipped("double_well_hitting.json"), &[]);
    let fine = start_values(&report)[0];
    near(fine, exact, number(&report, "/controlled/certificate/richardson/value_error"), "mean hitting time");
    // order 2 with an error in even powers of h: the observed ratio is 4 and the extrapolated value has an error O(h^4)
    let coarse = start_values(&solved(&shipped("double_well_hitting.json"), &["--nodes", "801"]).2)[0];
    near((coarse - exact) / (fine - exact), 4.0, 1e-2, "order 2");
    near((4.0 * fine - coarse) / 3.0, exact, 1e-9, "extrapolated");
    assert_eq!(report["controlled"]["start"][0]["control"], json!([]));
    assert!(!run.out.join("control_profiles.svg").exists(), "there is no control to draw");
}

#[test]
fn american_put_against_a_binomial_tree() {
    let (_desk, run, report) = solved(&shipped("american_put.json"), &[]);
    // Leisen-Reimer trees of 2001 and 4001 steps, extrapolated; good to 2e-5
    for (v, tree) in start_values(&report).iter().zip([4.48669, 2.31958, 1.11297]) {
        near(*v, tree, 2e-4, "American put");
    }
    // never below the payoff
    let s = run.solution();
    for (k, _) in s.time.iter().enumerate() {
        for (x, v) in s.axes[0].iter().zip(s.value_at(k)) {
            assert!(*v >= 40.0 * (1.0 - x.exp()).max(0.0) - 1e-9);
        }
    }
}

#[test]
fn benes_problem_converges_with_order_two_and_pushes_fully() {
    let problem = shipped("bounded_control.json");
    let (.., fine) = solved(&problem, &[]);
    let (.., coarse) = solved(&problem, &["--nodes", "301", "--steps", "150"]);
    let errors = [&coarse, &fine].map(|r| number(r, "/controlled/value_error"));
    assert!(errors[1] < 1e-4 && errors[0] / errors[1] > 3.5, "{errors:?}");
    near(number(&fine, "/controlled/start/0/control/0"), 1.0, 1e-9, "push to the right");
    near(number(&fine, "/controlled/start/2/control/0"), -1.0, 1e-9, "push to the left");
    // two controls are as good as the interval, for the cost is linear in the control
    let bang = edit(&problem, json!({"controls": {"kind": "finite", "values": [[-1.0], [1.0]]}}));
    let (.., finite) = solved(&bang, &[]);
    for (a, b) in start_values(&finite).iter().zip(start_values(&fine)) {
        near(*a, b, 1e-9, "finite set");
    }
}

#[test]
fn discounted_linear_quadratic_plane_is_exact() {
    let (_desk, run, report) = solved(&shipped("lq_discounted_2d.json"), &[]);
    // V is quadratic, on which the differences are exact; the faces are too far away to matter
    for field in ["value_error", "control_error"] {
        assert!(number(&report, &format!("/controlled/{field}")) < 1e-10, "{field}");
    }
    near(start_values(&report)[0], 0.7320508075688772, 1e-10, "V(0)");
    assert!(run.out.join("plane_start.png").exists() && run.out.join("plane_start.svg").exists());
}

#[test]
fn ring_takes_the_high_order_route() {
    let desk = Desk::new();
    let run = desk.run("solve", &shipped("ring_2d.json"), &["--nodes", "97"]).good("ring");
    let report = run.report();
    assert_eq!(report["solve"]["route"], "high_order", "{}", report["solve"]["reason"]);
    assert!(report["solve"]["reason"].as_str().unwrap().contains("monotone"), "what it was weighed against");
    let error = number(&report, "/solve/value_error");
    let certified = number(&report, "/solve/certificate/richardson/value_error");
    assert!(error <= 3.0 * certified && error < 2e-2, "{error} {certified}");
    for stem in ["plane_start", "plane_late"] {
        assert!(run.out.join(format!("{stem}.png")).exists());
    }
}

// ---- what the fields do ---------------------------------------------------------------------------------------------------

#[test]
fn every_route_meets_the_riccati_solution() {
    for (scheme, route, value, control) in [
        (json!({"route": "auto"}), "high_order", 1e-6, 1e-5),
        (json!({"route": "high_order", "order": 4, "tolerance": 1e-6}), "high_order", 1e-4, 1e-4),
        (json!({"route": "monotone"}), "monotone", 1e-3, 1e-3),
        (json!({"space": "hybrid", "time": "tr_bdf2"}), "monotone", 1e-3, 1e-3),
        (json!({"space": "upwind", "time": "implicit_euler"}), "monotone", 5e-2, 5e-2),
        (json!({"space": "fitted"}), "monotone", 2e-3, 5e-3),
    ] {
        let (_desk, run, report) = solved(&edit(&small(), json!({"scheme": scheme})), &[]);
        assert_eq!(report["controlled"]["route"], route, "{scheme}");
        assert!(number(&report, "/controlled/value_error") < value, "{scheme}: {}", report["controlled"]["value_error"]);
        assert!(number(&report, "/controlled/control_error") < control, "{scheme}: {}", report["controlled"]["control_error"]);
        assert!(run.stdout.contains("route ") && run.stdout.contains("certificate: "), "{}", run.stdout);
        near(number(&report, "/controlled/start/1/exact_value"), -0.4 / 1.8 - 1.8f64.ln() / 2.0, 1e-12, "known V");
        near(number(&report, "/controlled/start/1/exact_control/0"), -0.8 / 1.8, 1e-12, "known v");
    }
}

#[test]
fn minimising_the_negative_is_maximising() {
    let (.., up) = solved(&small(), &[]);
    let change = json!({"sense": "minimise", "terminal": "k*x0**2/2", "exact": {"value": "k*x0**2/2/(1 + k*(1 - t)) + log(1 + k*(1 - t))/2"}});
    let (.., down) = solved(&edit(&small(), change), &[]);
    for (a, b) in start_values(&up).iter().zip(start_values(&down)) {
        near(*a, -b, 1e-12, "sense");
    }
    assert_eq!(up["controlled"]["control_error"], down["controlled"]["control_error"]);
    assert_eq!((&up["controlled"]["sense"], &down["controlled"]["sense"]), (&json!("maximise"), &json!("minimise")));
}

#[test]
fn units_of_the_control_do_not_matter() {
    // v -> 2 v with the cost that belongs to it
    let (.., plain) = solved(&small(), &[]);
    let change = json!({"control_matrix": [["g"]], "control_weight": "g**2", "parameters": {"g": 2}, "exact": {"control": null}});
    let (.., scaled) = solved(&edit(&small(), change), &[]);
    for (a, b) in start_values(&plain).iter().zip(start_values(&scaled)) {
        near(*a, b, 1e-9, "units");
    }
    near(number(&scaled, "/controlled/start/1/control/0"), 0.5 * number(&plain, "/controlled/start/1/control/0"), 1e-6, "v");
}

#[test]
fn a_quadratic_formula_as_general_cost_is_the_quadratic_cost() {
    let bounds = json!({"kind": "box", "lower": [-3.0], "upper": [3.0]});
    let monotone = json!({"route": "monotone"});
    let (.., weight) = solved(&edit(&small(), json!({"controls": bounds, "scheme": monotone})), &[]);
    let (.., general) = solved(&edit(&small(), json!({"controls": bounds, "scheme": monotone, "control_cost": "u0**2/2"})), &[]);
    for (a, b) in start_values(&weight).iter().zip(start_values(&general)) {
        near(*a, b, 1e-8, "general cost");
    }
}

#[test]
fn discount_and_running_reward() {
    // V = l (1 - e^{-rho (T - t)}) / rho + e^{-rho (T - t)} g for constants
    let change = json!({"discount": 0.7, "running": "3", "terminal": "2", "controls": {"kind": "none"},
        "exact": {"value": "3*(1 - exp(-0.7*(1 - t)))/0.7 + 2*exp(-0.7*(1 - t))", "control": null}});
    let (.., report) = solved(&edit(&small(), change), &[]);
    assert!(number(&report, "/controlled/value_error") < 1e-4);
}

#[test]
fn faces_and_their_values() {
    let heat = |faces: Value, terminal: &str, exact: String, extra: Value| {
        let problem = json!({
            "kind": "controlled_diffusion", "name": "heat", "horizon": 0.5, "drift": ["0"], "controls": {"kind": "none"},
            "terminal": terminal, "grid": {"lower": [0.0], "upper": [1.0], "nodes": [65]}, "time_steps": 64, "faces": [faces],
            "compare_on": {"lower": [0.0], "upper": [1.0]}, "exact": {"value": exact}
        });
        number(&solved(&edit(&problem, extra), &[]).2, "/controlled/value_error")
    };
    let decay = |n: f64| format!("exp(-({n}*pi)**2*(0.5 - t)/2)");
    let sine = heat(json!(["dirichlet", "dirichlet"]), "sin(pi*x0)", format!("sin(pi*x0)*{}", decay(1.0)), json!({}));
    let cosine = heat(json!(["reflecting", "reflecting"]), "cos(pi*x0)", format!("cos(pi*x0)*{}", decay(1.0)), json!({}));
    let wave = heat(json!(["periodic", "periodic"]), "sin(2*pi*x0)", format!("sin(2*pi*x0)*{}", decay(2.0)), json!({}));
    let mixed = heat(json!(["dirichlet", "reflecting"]), "sin(pi*x0/2)", format!("sin(pi*x0/2)*{}", decay(0.5)), json!({}));
    // data on the faces in place of the terminal reward: V = x - t solves the equation with running 1
    let moving = json!({"running": 1, "face_value": "x0 - t"});
    let data = heat(json!(["dirichlet", "dirichlet"]), "x0 - 1/2", "x0 - t".into(), moving);
    // second order: the error of the heat modes is about pi^4 h^2 T/24
    assert!(sine < 1e-3 && cosine < 1e-3 && mixed < 1e-3 && wave < 3e-3, "{sine} {cosine} {wave} {mixed}");
    assert!(data < 1e-10, "linear data are exact: {data}");
}

#[test]
fn exit_problems_with_and_without_a_horizon() {
    // rho V = V''/2 + 1, V(+-1) = g: V = 1/rho + (g - 1/rho) cosh(sqrt(2 rho) x)/cosh(sqrt(2 rho))
    let known = |g: f64| 2.0 + (g - 2.0) / 1f64.cosh();
    let placed = |placement: &str, g: f64| {
        let target = json!({"target": {"value": format!("{g}"), "placement": placement}});
        start_values(&solved(&edit(&exit(), target), &[]).2)[0]
    };
    let sub_cell = [0.0, 1.0].map(|g| (placed("sub_cell", g) - known(g)).abs());
    let staircase = (placed("staircase", 0.0) - known(0.0)).abs();
    assert!(sub_cell.iter().all(|e| *e < 1e-3) && staircase > 5.0 * sub_cell[0], "{sub_cell:?} {staircase}");
    // after a long time the horizon does not matter
    let long = edit(&exit(), json!({"horizon": 12.0, "time_steps": 200}));
    let (.., report) = solved(&long, &[]);
    near(start_values(&report)[0], known(0.0), 2e-3, "long horizon");
    assert!(report["controlled"]["reason"].as_str().unwrap().contains("target"));
    // the box itself as the set, by Dirichlet faces
    let faces =
        json!({"target": null, "faces": [["dirichlet", "dirichlet"]], "grid": {"lower": [-1.0], "upper": [1.0]}, "terminal": 0});
    near(start_values(&solved(&edit(&exit(), faces), &[]).2)[0], known(0.0), 1e-3, "Dirichlet faces");
}

#[test]
fn noise_that_is_correlated_and_varies_in_space() {
    // dX = sigma dB with sigma sigma' = [[1, c], [c, 1]]: E (X0 X1) grows by c per unit of time; geometric noise in x1 alone
    let problem = json!({
        "kind": "controlled_diffusion", "name": "noise", "horizon": 1.0, "parameters": {"c": 0.6}, "drift": ["0", "0"],
        "diffusion": [["1", "0"], ["c", "sqrt(1 - c**2)"]], "controls": {"kind": "none"}, "terminal": "x0*x1",
        "grid": {"lower": [-5.0, -5.0], "upper": [5.0, 5.0], "nodes": [41, 41]}, "time_steps": 20,
        "compare_on": {"lower": [-1.0, -1.0], "upper": [1.0, 1.0]}, "exact": {"value": "x0*x1 + c*(1 - t)"}
    });
    for route in ["auto", "monotone"] {
        let (_desk, run, report) = solved(&edit(&problem, json!({"scheme": {"route": route}})), &[]);
        assert!(number(&report, "/controlled/value_error") < 5e-3, "{route}: {}", report["controlled"]["value_error"]);
        assert!(run.out.join("plane_start.svg").exists());
    }
    // E X^2 = x^2 exp(s^2 (T - t)) for geometric Brownian motion
    let geometric = json!({"drift": ["0"], "diffusion": "0.3*x0", "controls": {"kind": "none"}, "terminal": "x0**2",
        "exact": {"value": "x0**2*exp(0.09*(1 - t))", "control": null}});
    let (.., report) = solved(&edit(&small(), geometric), &[]);
    assert!(number(&report, "/controlled/value_error") < 1e-3);
}

#[test]
fn check_fills_in_and_is_a_problem_again() {
    let desk = Desk::new();
    let run = desk.run("check", &small(), &[]).good("check");
    assert!(
        run.stdout.contains("1 dimension(s), 1 control(s), horizon 1") && run.stdout.contains("nodes = 121 in all"),
        "{}",
        run.stdout
    );
    let printed = &run.stdout[run.stdout.find("\n{").unwrap()..];
    let filled: Value = serde_json::from_str(printed).unwrap();
    assert_eq!(filled["scheme"]["route"], "auto");
    assert_eq!(filled["controls"], json!({"kind": "free"}));
    assert_eq!(desk.text("check", printed, &[]).good("again").stdout, run.stdout);
    let run = desk.run("check", &exit(), &[]).good("check");
    assert!(run.stdout.contains("0 control(s), no horizon"), "{}", run.stdout);
}

#[test]
fn flags_threads_and_output() {
    let desk = Desk::new();
    let flags = ["--nodes", "61", "--steps", "16", "--slices", "5", "--threads", "1"];
    let one = desk.run("solve", &small(), &flags).good("one thread");
    let report = one.report();
    assert_eq!((&report["problem"]["grid"]["nodes"], &report["problem"]["time_steps"]), (&json!([61]), &json!(16)));
    let s = one.solution();
    assert_eq!((s.axes[0].len(), s.time.len()), (61, 5));
    let two = desk.run("solve", &small(), &["--nodes", "61", "--steps", "16", "--slices", "5", "--threads", "2"]).good("two");
    let t = two.solution();
    assert!(s.value.iter().zip(&t.value).all(|(a, b)| a.to_bits() == b.to_bits()), "threads must not matter");
    // the labels and the box of the pictures
    let labelled = edit(&small(), json!({"axis_labels": ["height (m)"]}));
    let run = desk.run("solve", &labelled, &[]).good("labels");
    assert!(std::fs::read_to_string(run.out.join("value_profiles.svg")).unwrap().contains("height (m)"));
    let quiet = desk.run("solve", &small(), &["--quiet"]).good("quiet");
    assert_eq!(quiet.stdout, "");
}

#[test]
fn a_value_that_explodes_is_a_failure_with_the_finished_part() {
    let desk = Desk::new();
    let convex = json!({"terminal": "k*x0**2", "parameters": {"k": 3}, "scheme": {"route": "monotone"}, "exact": null});
    let run = desk.run("solve", &edit(&small(), convex), &[]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    let report = run.report();
    assert_eq!((&report["complete"], &report["controlled"]["start"]), (&json!(false), &json!([])));
    let levels = report["controlled"]["levels_finished"].as_u64().unwrap() as usize;
    assert!(levels > 1 && run.solution().time.len() == levels && run.solution().time[0] > 0.0);
}

#[test]
fn what_must_be_read_with_care_is_in_the_summary() {
    // the drift points out of the box at extrapolated faces
    let outward = json!({"drift": ["3*x0"], "controls": {"kind": "none"}, "scheme": {"route": "monotone"}, "exact": null});
    let (_desk, run, report) = solved(&edit(&small(), outward), &[]);
    let rates = number(&report, "/controlled/solver/monotonicity/violations");
    let line = run.stdout.lines().find(|l| l.contains("not monotone")).unwrap_or_else(|| panic!("{}", run.stdout));
    for part in ["warning: ", &format!("{rates} negative rates"), "at node ", "x = ", "t = ", "the drift at the face"] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
    // every note of the certificate is printed
    let (_desk, run, report) = solved(&shipped("bounded_control.json"), &["--nodes", "101"]);
    let notes = report["controlled"]["certificate"]["notes"].as_array().unwrap();
    assert!(!notes.is_empty());
    for note in notes {
        assert!(run.stdout.contains(&format!("note: {}", note.as_str().unwrap())), "{note} is not in {}", run.stdout);
    }
    assert!(run.stdout.contains("sup error of V ") && !run.stdout.contains("of v"), "no control is known: {}", run.stdout);
}

/// Extrapolated faces that the controlled drift leaves by: the certificate names them, claims what a larger box changes, and the
/// summary warns.
#[test]
fn a_box_that_is_felt_is_claimed_and_said() {
    let leaving = |half: f64, nodes: u64| {
        json!({
            "kind": "controlled_diffusion", "name": "leaving", "horizon": 1.0, "sense": "minimise", "drift": ["x0"],
            "control_weight": 0.1, "controls": {"kind": "finite", "values": [[-1.0], [0.0], [1.0]]}, "terminal": "-x0**2",
            "grid": {"lower": [-half], "upper": [half], "nodes": [nodes]}, "time_steps": 128,
            "compare_on": {"lower": [-2.0], "upper": [2.0]}, "start": [[0.0], [2.0]], "scheme": {"route": "monotone"}
        })
    };
    let (_desk, run, report) = solved(&leaving(4.0, 161), &[]);
    let (_other, wide, wide_report) = solved(&leaving(16.0, 641), &[]);
    let certificate = &report["controlled"]["certificate"];
    assert_eq!(certificate["reliable"], false);
    let part = number(certificate, "/richardson/box_error");
    let claim = number(certificate, "/richardson/value_error");
    let truth = start_values(&report).iter().zip(start_values(&wide_report)).fold(0.0f64, |m, (a, b)| m.max((a - b).abs()));
    assert!(truth > 0.05 && 3.0 * claim >= truth && part <= claim, "{truth:e} {claim:e} {part:e}");
    let line = run.stdout.lines().find(|l| l.contains("leaves the box")).unwrap_or_else(|| panic!("{}", run.stdout));
    for part in ["warning: not reliable", "the lower face of axis 0", "the upper face of axis 0"] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
    // far away they are not felt
    assert!(
        wide_report["controlled"]["certificate"]["reliable"] == true && !wide.stdout.contains("leaves the box"),
        "{}",
        wide.stdout
    );
}

/// A running reward of 10 over 0.31 < t < 0.33 brings 0.2, by every route, and the jumps are no secret.
#[test]
fn a_pulse_in_time_is_not_missed() {
    for route in ["auto", "high_order", "monotone"] {
        let pulse =
            json!({"terminal": "0", "running": "where(t > 0.31 and t < 0.33, 10, 0)", "exact": null, "scheme": {"route": route}});
        let (_desk, _, report) = solved(&edit(&small(), pulse), &[]);
        for value in start_values(&report) {
            near(value, 0.2, 1e-9, route);
        }
    }
}

/// The perpetual American put in x = log(S/K): V = (K - S*)(S/S*)^{-gamma}, gamma = 2r/sigma^2 = 3, S* = K gamma/(1 + gamma).
#[test]
fn stopping_without_a_horizon() {
    let put = json!({
        "kind": "controlled_diffusion", "name": "perpetual-put", "discount": 0.06, "parameters": {"K": 40},
        "drift": ["0.06 - 0.02"], "diffusion": 0.2, "controls": {"kind": "none"}, "obstacle": "max(K*(1 - exp(x0)), 0)",
        "grid": {"lower": [-1.0], "upper": [2.0], "nodes": [1201]}, "compare_on": {"lower": [-0.5], "upper": [1.0]},
        "faces": [["reflecting", "dirichlet"]], "face_value": "K/4*(0.75*exp(-x0))**3",
        "exact": {"value": "where(x0 < log(0.75), K*(1 - exp(x0)), K/4*(0.75*exp(-x0))**3)"}, "start": [[0.0]]
    });
    let (_desk, run, report) = solved(&put, &[]);
    let c = &report["controlled"];
    assert!(c["route"] == "policy_iteration" && c["stationary"] == true);
    let (error, claim) = (number(c, "/value_error"), number(c, "/certificate/richardson/value_error"));
    assert!(error < 2e-4 && error < 3.0 * claim, "{error:e} {claim:e}");
    near(start_values(&report)[0], 40.0 / 4.0 * 0.75f64.powi(3), 2e-4, "at the strike");
    // nodes below log(0.75) stop: those at -1 + 0.0025 j
    let stopped = number(c, "/solver/stopped_nodes");
    assert!((stopped - (1.0 + 0.75f64.ln()) / 0.0025).abs() < 3.0, "{stopped}");
    assert!(number(c, "/solver/iterations") < 8.0, "{}", run.stdout);
    let svg = std::fs::read_to_string(run.out.join("value_profiles.svg")).unwrap();
    assert!(svg.contains("obstacle"));
    // without a discount stopping alone ends the process: the least concave majorant of the reward, 1 here
    let free = json!({"discount": 0, "drift": ["0"], "diffusion": 1, "obstacle": "cos(x0)", "faces": null, "face_value": null,
        "exact": {"value": "1"}, "grid": {"lower": [-4.0], "upper": [4.0], "nodes": [81]}, "compare_on": {"lower": [-2.0], "upper": [2.0]}});
    let (_desk, _, report) = solved(&edit(&put, free.clone()), &[]);
    assert!(number(&report, "/controlled/value_error") < 1e-10);
    // and a reward for staying has no end
    let run = Desk::new().run("solve", &edit(&edit(&put, free), json!({"running": 1})), &[]);
    assert!(run.code != 0 && run.stderr.contains("the expected reward before the process ends is infinite"), "{}", run.stderr);
}

#[test]
fn pictures_show_the_target_and_the_stopping_boundary() {
    let drawn = |problem: &Value| {
        let (_desk, run, report) = solved(problem, &[]);
        let notes: Vec<String> = report["figures"].as_array().unwrap().iter().map(|f| f["notes"].to_string()).collect();
        let svg = |stem: &str| std::fs::read_to_string(run.out.join(format!("{stem}.svg"))).unwrap();
        let stem = ["plane_start", "value_and_control", "value"].into_iter().find(|s| run.out.join(format!("{s}.svg")).exists());
        (stem.unwrap(), svg(stem.unwrap()), notes.concat())
    };
    let put = json!({"obstacle": "max(1 - x0, 0)", "terminal": "max(1 - x0, 0)", "controls": {"kind": "none"}, "discount": 0.5, "exact": null});
    let (stem, svg, _) = drawn(&edit(&small(), put));
    assert_eq!(stem, "value", "there is no control");
    assert!(svg.contains("stopping boundary") && !svg.contains("target"));
    let paid = json!({"obstacle": "0", "terminal": "0", "running": "1 - x0**2", "exact": null, "scheme": {"route": "monotone"}});
    let (stem, svg, _) = drawn(&edit(&small(), paid));
    assert_eq!(stem, "value_and_control");
    assert!(svg.contains("stopping boundary") && svg.contains("stopped"));
    let (stem, svg, _) = drawn(&small());
    assert!(stem == "value_and_control" && !svg.contains("stopping boundary"));
    let disc = json!({
        "kind": "controlled_diffusion", "name": "disc", "sense": "minimise", "drift": ["0", "0"], "running": 1,
        "target": {"level": "1 - x0**2 - x1**2"}, "grid": {"lower": [-1.2, -1.2], "upper": [1.2, 1.2], "nodes": [25, 25]},
        "compare_on": {"lower": [-1.2, -1.2], "upper": [1.2, 1.2]}
    });
    let (stem, svg, notes) = drawn(&disc);
    assert!(stem == "plane_start" && svg.contains("target"));
    assert!(!notes.contains("not finite"), "the target is no gap: {notes}");
}

#[test]
fn kind_may_be_said_for_fine_tuning_too() {
    let desk = Desk::new();
    let mut problem = crate::desk::mixture();
    problem["kind"] = json!("fine_tuning");
    let report = desk.run("solve", &problem, &["--nodes", "61", "--steps", "8"]).good("kind").report();
    assert!(report["controlled"].is_null() && report["solve"]["route"] == "monotone");
    assert_eq!(report["problem"]["kind"], "fine_tuning");
}
