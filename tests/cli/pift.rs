//! `pift` on grids: its flags, the guarantees in the report, the bracket of the value, and the chain in a sweep.

use crate::desk::{Desk, edit, mixture, names, number, numbers, shipped};
use serde_json::{Value, json};

#[test]
fn every_inner_iteration_and_every_variance_from_the_command_line() {
    let desk = Desk::new();
    let objective = |flags: &[&str]| {
        let mut all = vec!["--steps", "32"];
        all.extend(flags);
        let report = desk.run("pift", &mixture(), &all).good("pift").report();
        (number(&report, "/pift/objective"), report)
    };
    let (auto, _) = objective(&[]);
    for inner in ["plain", "damped", "newton", "anderson"] {
        let (other, report) = objective(&["--inner", inner]);
        assert!((other - auto).abs() < 1e-9, "{inner}: {other} {auto}");
        assert_eq!(report["problem"]["pift"]["inner"], inner);
        assert_eq!(report["pift"]["per_step"][20]["method"], inner);
        assert!(number(&report, "/pift/rate/20") < 1.0);
    }
    for (flag, name) in [("over-alpha", "over_alpha"), ("posterior", "posterior"), ("gaussian-posterior", "gaussian_posterior")] {
        let (other, report) = objective(&["--variance", flag]);
        assert!((other - auto).abs() > 1e-6 && (other - auto).abs() < 0.1, "{flag}: {other} {auto}");
        assert_eq!(report["problem"]["pift"]["variance"], name);
    }
    // stopping below the step costs less than the step does, and says so
    let (early, report) = objective(&["--stop", "below-step", "--inner", "plain"]);
    assert!((early - auto).abs() < 1e-4 && early != auto);
    assert!(numbers(&report, "/pift/iterations").iter().all(|m| (1.0..=4.0).contains(m)));
    let (fixed, report) = objective(&["--iterations", "3"]);
    assert!((fixed - auto).abs() < 1e-4);
    assert_eq!(numbers(&report, "/pift/iterations"), [3.0; 32]);
}

#[test]
fn guarantees_are_arrays_over_steps_and_iterates() {
    let desk = Desk::new();
    let run = desk.run("pift", &mixture(), &["--steps", "32", "--inner", "plain", "--nodes", "401"]).good("pift");
    let report = run.report();
    let of = |name: &str| numbers(&report, &format!("/pift/{name}"));
    for name in ["rho", "inner_error_bound", "lipschitz_value", "lipschitz_value_bound", "lipschitz_gradient"] {
        assert_eq!(of(name).len(), 32, "{name}");
    }
    assert!(number(&report, "/pift/reward/lipschitz") > 0.0 && number(&report, "/pift/reward/lipschitz_gradient") > 0.0);
    let mut exponents = 0;
    for step in report["pift"]["per_step"].as_array().unwrap() {
        let iterates = step["iterates"].as_array().unwrap();
        assert_eq!(iterates.len(), 1 + step["iterations"].as_u64().unwrap() as usize);
        if let Some(p) = step["value_exponent"].as_f64() {
            assert!((p - 2.0).abs() < 0.2, "k = {}: {p}", step["k"]);
            exponents += 1;
        }
    }
    assert!(exponents >= 20, "{exponents}");
    let found = names(&run.out);
    for name in ["contraction.svg", "regularity.svg", "regularity.png", "iterates.svg", "iterates.png"] {
        assert!(found.iter().any(|f| f == name), "{name} in {found:?}");
    }
    assert!(number(&report, "/pift/quadrature/nodes_per_axis") >= 4.0 && report["pift"]["quadrature"]["chosen"] == true);
}

#[test]
fn the_value_is_bracketed() {
    let desk = Desk::new();
    let run = desk.run("pift", &mixture(), &["--steps", "32", "--kernel", "both", "--nodes", "201"]).good("pift");
    let report = run.report();
    let [below, middle, above] = numbers(&report, "/pift/sandwich/objectives")[..] else { panic!() };
    assert!(below < middle && middle < above, "{below} {middle} {above}");
    assert_eq!(middle, number(&report, "/pift/objective"));
    assert!(numbers(&report, "/pift/sandwich/violations").iter().all(|v| *v < 1e-9));
    assert!((1e-6..0.2).contains(&number(&report, "/pift/sandwich/gap")));
    let soft = desk.run("pift", &mixture(), &["--steps", "32", "--kernel", "soft", "--nodes", "201"]).good("soft").report();
    assert!((number(&soft, "/pift/objective") - above).abs() < 1e-12);
    assert_eq!(soft["pift"]["kernel"], "soft");
    assert!(soft["pift"]["sandwich"].is_null() && run.stdout.contains("<= soft"));
}

#[test]
fn the_chain_in_a_sweep_tends_to_the_exact_optimum() {
    let desk = Desk::new();
    let lq = edit(&shipped("lq_1d.json"), json!({"initial_law": "optimal", "kl_weight": 1.0, "paths": 500}));
    let rows = |steps: &str| -> Vec<Value> {
        let run = desk.run("sweep", &lq, &["--kl-weight", "0.5,1,2", "--steps", steps]).good("sweep");
        run.report()["sweep"]["rows"].as_array().unwrap().clone()
    };
    let (coarse, fine) = (rows("50"), rows("100"));
    let get = |row: &Value, name: &str| number(row, &format!("/{name}"));
    for (c, f) in coarse.iter().zip(&fine) {
        let beta = get(f, "kl_weight");
        for (name, exact) in [("pift_objective", "optimum_exact"), ("pift_reward", "reward_exact"), ("pift_kl", "kl_exact")] {
            let (coarse, fine) = (get(c, name) - get(c, exact), get(f, name) - get(f, exact));
            assert!(fine.abs() < 4e-3, "{name} at {beta}: {fine}");
            // the error of KL changes its sign near beta = 1
            if name != "pift_kl" || beta != 1.0 {
                assert!((1.6..2.6).contains(&(coarse / fine)), "{name} at {beta}: {coarse} {fine}");
            }
        }
        assert!(get(f, "pift_contraction") <= get(f, "pift_rho") * 1.001);
    }
    // the iteration is slower where the weight is small: rho of the last step is proportional to 1/beta
    assert!(fine.windows(2).all(|w| get(&w[0], "pift_rho") > get(&w[1], "pift_rho")));
    assert!(get(&fine[0], "pift_iterations") >= get(&fine[2], "pift_iterations"));
}

#[test]
fn a_plain_iteration_that_diverges_ends_in_an_error() {
    let desk = Desk::new();
    // one step of the whole horizon against a steep concave reward: rho is far beyond 1
    let steep = edit(&shipped("lq_1d.json"), json!({"reward": {"Q": [[8.0]]}, "kl_weight": 0.5}));
    let run = desk.run("pift", &steep, &["--steps", "4", "--inner", "plain"]);
    assert!(run.code == 1 && run.stderr.contains("use damped, newton or auto"), "{} {}", run.code, run.stderr);
    for inner in ["damped", "newton", "anderson", "auto"] {
        let report = desk.run("pift", &steep, &["--steps", "4", "--inner", inner]).good(inner).report();
        assert!(number(&report, "/pift/discrete_value_error") < 1e-7, "{inner}");
    }
}

#[test]
fn flags_that_do_not_go_together() {
    let desk = Desk::new();
    for flags in [["--iterations", "2", "--tolerance", "1e-3"], ["--stop", "below-step", "--tolerance", "1e-3"]] {
        assert_eq!(desk.run("pift", &mixture(), &flags).code, 2, "{flags:?}");
    }
    let run = desk.run("pift", &mixture(), &["--tolerance=-1"]);
    assert!(run.code == 2 && run.stderr.contains("pift.tolerance = -1"), "{}", run.stderr);
}
