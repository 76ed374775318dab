//! Every kind of schedule, prior, reward, KL weight, initial law, grid, scheme and PI-FT option runs, and converges as it should.

use crate::desk::{Desk, edit, mixture, number, numbers, old_faithful};
use serde_json::{Value, json};

fn gaussian() -> Value {
    edit(
        &mixture(),
        json!({"prior": {"kind": "gaussian", "mean": [0.5], "covariance": [[0.6]]},
               "reward": {"kind": "quadratic", "Q": [[0.5]], "q": [0.3], "c": 0.1}}),
    )
}

fn bumps() -> Value {
    json!({"kind": "bumps", "terms": [{"center": [1.0], "width": 0.5, "height": 1.0}, {"center": [-1.0], "width": 0.7, "height": -0.4}]})
}

/// Problems with a closed form, and the order of the HJB scheme.
fn with_closed_form() -> Vec<(&'static str, Value, f64)> {
    let (m, g) = (mixture(), gaussian());
    // the choice of route would leave nothing but the tolerance of the error
    let data = edit(&old_faithful(), json!({"scheme": {"route": "monotone"}}));
    let varying = json!({"kind": "formula", "beta": "0.4 + 0.8*(t/2)**2 + 0.3*sin(3*t)**2"});
    vec![
        ("schedule constant", edit(&m, json!({"schedule": {"kind": "constant", "b": 1.5}})), 2.0),
        ("schedule cosine", edit(&m, json!({"schedule": {"kind": "cosine", "b_max": 20.0}})), 2.0),
        ("schedule table", edit(&m, json!({"schedule": {"kind": "table", "tau": [0, 1, 2], "b": [0.5, 2, 3]}})), 2.0),
        ("gaussian, quadratic", g.clone(), 2.0),
        ("gaussian, linear", edit(&g, json!({"reward": {"kind": "linear", "q": [1.0]}})), 2.0),
        ("gaussian, bumps", edit(&g, json!({"reward": bumps()})), 2.0),
        ("mixture, linear", edit(&m, json!({"reward": {"kind": "linear", "q": [1.0], "c": 0.2}})), 2.0),
        ("mixture, bumps", edit(&m, json!({"reward": bumps()})), 2.0),
        ("mixture, log-sum-exp at a temperature of its own", edit(&m, json!({"reward": {"temperature": 0.3}})), 2.0),
        ("kl table", edit(&g, json!({"kl_weight": {"kind": "table", "t": [0, 1, 2], "beta": [0.5, 1.0, 0.8]}})), 2.0),
        ("kl formula", edit(&g, json!({"kl_weight": varying})), 2.0),
        ("upwind, implicit Euler", edit(&m, json!({"scheme": {"space": "upwind", "time": "implicit_euler"}})), 1.0),
        ("upwind", edit(&m, json!({"scheme": {"space": "upwind"}})), 1.0),
        ("implicit Euler", edit(&m, json!({"scheme": {"time": "implicit_euler"}})), 1.0),
        ("stretched grid", edit(&m, json!({"grid": {"stretch": {"center": [0.0], "strength": 2.0}}})), 2.0),
        ("data", data.clone(), 2.0),
        ("data, Silverman's bandwidth", edit(&data, json!({"prior": {"bandwidth": null}})), 2.0),
    ]
}

#[test]
fn solve_converges_to_the_closed_form_with_the_scheme_s_order() {
    let desk = Desk::new();
    for (label, problem, order) in with_closed_form() {
        let errors = |nodes: &str, steps: &str| {
            let flags = ["--nodes", nodes, "--steps", steps, "--slices", "17"];
            let report = desk.run("solve", &problem, &flags).good(label).report();
            assert!(report["solve"]["reference"].is_string(), "{label}");
            (number(&report, "/solve/value_error"), number(&report, "/solve/control_error"))
        };
        // closed forms by quadrature are dear: a coarser pair of grids shows the order as well
        let dear = label.contains("bumps") || label.contains("temperature") || label.contains("Silverman");
        let (coarse, fine) =
            if dear { (errors("201", "100"), errors("401", "200")) } else { (errors("401", "200"), errors("801", "400")) };
        // the observed order is within 0.6 (pre-asymptotic, sup norms) of the scheme's
        let least = if order == 2.0 { 2.0_f64.powf(1.4) } else { 2.0_f64.powf(0.9) };
        assert!(coarse.0 / fine.0 >= least && coarse.1 / fine.1 >= least, "{label}: {coarse:?} -> {fine:?}");
        let most = if order == 2.0 { (3e-3, 1.5e-2) } else { (1e-2, 5e-2) };
        assert!(fine.0 <= most.0 && fine.1 <= most.1, "{label}: {fine:?}");
    }
}

/// Run `bridge` at N = 8, 16 and check the sizes and the direction.
fn bridge(desk: &Desk, label: &str, problem: &Value, reference: &str) -> Value {
    let report = desk.run("bridge", problem, &[]).good(label).report();
    assert_eq!(report["bridge"]["reference"], reference, "{label}");
    let error = numbers(&report, "/bridge/value_error");
    assert_eq!(error.len(), 2, "{label}");
    // order 1, pre-asymptotic at N = 8
    assert!((1.4..3.0).contains(&(error[0] / error[1])), "{label}: {error:?}");
    assert!(error[1] < 0.15, "{label}: {error:?}");
    report
}

#[test]
fn bridge_works_for_every_kind() {
    let desk = Desk::new();
    for (label, problem, _) in with_closed_form() {
        let report = bridge(&desk, label, &problem, "closed_form");
        if label == "stretched grid" {
            continue; // its final law has a test of its own
        }
        assert!(report["bridge"]["final_law"].is_object(), "{label}: {}", report["bridge"]["final_law_missing"]);
        let w = numbers(&report, "/bridge/final_law/wasserstein");
        assert!((1.4..3.0).contains(&(w[0] / w[1])), "{label}: {w:?}");
    }
    let varying = json!({"kind": "formula", "beta": "0.4 + 0.8*(t/2)**2"});
    for (label, problem) in [
        ("varying kl, log-sum-exp", edit(&mixture(), json!({"kl_weight": varying, "reward": {"temperature": 0.7}}))),
        ("varying kl, bumps", edit(&mixture(), json!({"kl_weight": varying, "reward": bumps()}))),
    ] {
        let report = bridge(&desk, label, &problem, "hjb");
        assert!(report["solve"]["value_error"].is_null() && report["solve"]["reference"].is_null(), "{label}");
        assert_eq!(report["bridge"]["final_law"]["reference"], "fokker_planck", "{label}");
    }
}

#[test]
fn a_stretched_grid_resolves_the_final_law_too() {
    // the spacing (0.15 at most, then 0.04) is far below the noise (0.7 at N = 8) and the box holds 1 - 1e-6 of every law
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"grid": {"stretch": {"center": [0.0], "strength": 2.0}}}));
    for nodes in ["101", "401"] {
        let report = desk.run("bridge", &problem, &["--nodes", nodes]).good(nodes).report();
        assert!(report["bridge"]["final_law"].is_object(), "{nodes} nodes: {}", report["bridge"]["final_law_missing"]);
        let w = numbers(&report, "/bridge/final_law/wasserstein");
        assert!((1.4..3.0).contains(&(w[0] / w[1])), "{w:?}");
    }
}

#[test]
fn initial_laws_share_the_value_and_differ_in_the_objective() {
    let desk = Desk::new();
    let report = |law: &str| bridge(&desk, law, &edit(&mixture(), json!({"initial_law": law})), "closed_form");
    let laws = ["standard_normal", "noised_prior", "optimal"].map(|law| (law, report(law)));
    for (law, report) in &laws {
        assert_eq!(report["bridge"]["initial_law"], *law);
        assert_eq!(report["bridge"]["value_error"], laws[0].1["bridge"]["value_error"], "V does not depend on the law of Y_0");
    }
    let objective = |i: usize| number(&laws[i].1, "/bridge/objective_reference");
    // E V(0, Y_0) = beta log Z = 0.7 * 1.103677616108 less beta KL(noised prior | noised tilt), at most this from Y_0 ~ noised prior
    assert!(objective(1) <= 0.7 * 1.103677616108 && objective(2) > objective(1), "{} {}", objective(1), objective(2));
    // only the optimal initial law has no bias in the final law
    let bias = |i: usize| number(&laws[i].1, "/bridge/final_law/initial_law_bias");
    assert!(bias(2) < 1e-6 && bias(1) > 1e-3 && bias(0) > 1e-3, "{} {} {}", bias(0), bias(1), bias(2));
    assert!((number(&laws[2].1, "/bridge/final_law/continuous_mean/0") + 0.438703704536).abs() < 1e-6);
    assert!((number(&laws[2].1, "/bridge/final_law/continuous_covariance/0/0") - 1.792199499816).abs() < 1e-5);
}

#[test]
fn pift_options() {
    let desk = Desk::new();
    let with = |pift: Value| edit(&mixture(), json!({"pift": pift}));
    let plain = bridge(&desk, "auto", &mixture(), "closed_form");
    for inner in ["plain", "damped", "newton", "anderson"] {
        // every inner iteration has the same fixed point
        let report = bridge(&desk, inner, &with(json!({"inner": inner})), "closed_form");
        for (a, b) in numbers(&report, "/bridge/value_error").iter().zip(numbers(&plain, "/bridge/value_error")) {
            assert!((a - b).abs() < 1e-9, "{inner}: {a} {b}");
        }
    }
    for (label, pift) in [
        ("alpha linear", json!({"alpha": "linear"})),
        ("variance over_alpha", json!({"variance": "over_alpha"})),
        ("variance posterior", json!({"variance": "posterior"})),
    ] {
        let errors = desk.run("bridge", &with(pift), &["--steps", "64,128"]).good(label).report();
        let error = numbers(&errors, "/bridge/value_error");
        assert!((1.5..2.6).contains(&(error[0] / error[1])), "{label}: {error:?}");
        assert_ne!(error, numbers(&plain, "/bridge/value_error"), "{label} changes the chain");
    }
    // m inner iterations: m = 1 gives order 1 as well, m = 0 is no fine-tuning and does not converge
    let fixed = |m: usize| {
        let report = desk.run("bridge", &with(json!({"iterations": m})), &["--steps", "32,64"]).good("m").report();
        numbers(&report, "/bridge/value_error")
    };
    let (none, one) = (fixed(0), fixed(1));
    assert!(none[0] / none[1] < 1.2 && none[1] > 0.1, "{none:?}");
    assert!(one[0] / one[1] > 1.6 && one[1] < 0.05, "{one:?}");
    // a Gauss-Hermite rule with more nodes changes nothing visible: the integrand is smooth
    let finer = bridge(&desk, "quadrature", &with(json!({"quadrature_nodes": 40})), "closed_form");
    for (a, b) in numbers(&finer, "/bridge/value_error").iter().zip(numbers(&plain, "/bridge/value_error")) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
}

#[test]
fn pift_is_exact_for_linear_quadratic_chains() {
    let desk = Desk::new();
    let table = json!({"kl_weight": {"kind": "table", "t": [0, 1, 2], "beta": [0.5, 1.0, 0.8]}});
    for (label, problem) in [("constant beta", gaussian()), ("varying beta", edit(&gaussian(), table))] {
        for variance in ["one_minus_alpha", "over_alpha", "posterior"] {
            let problem = edit(&problem, json!({"pift": {"variance": variance}}));
            let report = desk.run("pift", &problem, &["--steps", "16"]).good(label).report();
            // quadratic value functions: splines, quadrature and extrapolation make no error, the inner tolerance is 1e-10
            let error = number(&report, "/pift/discrete_value_error");
            assert!(error < 1e-9, "{label}, {variance}: {error}");
        }
    }
}

#[test]
fn rollout_works_for_every_kind() {
    let desk = Desk::new();
    for (label, problem, _) in with_closed_form() {
        let report = desk.run("rollout", &problem, &["--steps", "100"]).good(label).report();
        let z = number(&report, "/rollout/z_score");
        assert!(z.abs() < 4.0, "{label}: z = {z}");
        // O(h): the Euler chain's objective is below or near the optimum
        assert!(number(&report, "/rollout/time_bias").abs() < 0.05, "{label}");
    }
}

#[test]
fn an_optimal_start_needs_a_tilted_law() {
    let desk = Desk::new();
    let run = desk.run("solve", &edit(&mixture(), json!({"initial_law": "optimal", "reward": bumps()})), &[]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("initial_law = optimal") && run.stderr.contains("closed form"), "{}", run.stderr);
    assert!(!run.out.exists());
}
