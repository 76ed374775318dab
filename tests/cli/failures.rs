//! Numerical failures: exit code 1, the reason is said, what was finished is kept.

use crate::desk::{Desk, Outcome, edit, mixture, names, numbers};
use serde_json::{Value, json};

/// A mixture prior with a KL weight that varies in time: no closed form that could refuse the convex reward beforehand.
fn too_convex() -> Value {
    let change = json!({
        "reward": {"kind": "quadratic", "Q": [[-1.2]], "q": [0.0]}, "kl_weight": {"kind": "formula", "beta": "0.2 + 0.8*(t/2)**20"},
        "grid": {"lower": [-8.0], "upper": [8.0]}, "time_steps": 100
    });
    edit(&mixture(), change)
}

/// A strongly concave reward at a small KL weight: rho_k = sig_k^2 Lip(grad V)/beta >= 1 until N is large.
fn stiff() -> Value {
    let change = json!({
        "reward": {"kind": "quadratic", "Q": [[1.2]], "q": [0.5]}, "kl_weight": 0.3, "pift": {"inner": "plain"}
    });
    edit(&mixture(), change)
}

/// Exit 1, the reason on standard error and in the report, files kept and said.
#[track_caller]
fn stopped_early(run: &Outcome, label: &str, reasons: &[&str]) -> Value {
    assert_eq!(run.code, 1, "{label}: {}", run.stderr);
    for reason in reasons {
        assert!(run.stderr.contains(reason), "{label}: \"{reason}\" is not in {}", run.stderr);
    }
    let kept = names(&run.out);
    assert!(kept.contains(&"report.json".into()), "{label}: the finished part must be kept; {:?} has {kept:?}", run.out);
    assert!(run.stderr.contains("what was finished is in"), "{label}: {}", run.stderr);
    let report = run.report();
    assert_eq!(report["complete"], false, "{label}");
    let error = report["error"].as_str().unwrap_or_else(|| panic!("{label}: no error in the report"));
    assert!(run.stderr.contains(error), "{label}: {error}");
    report
}

#[test]
fn solve_keeps_the_levels_before_the_explosion() {
    let desk = Desk::new();
    let run = desk.run("solve", &too_convex(), &[]);
    let report = stopped_early(&run, "solve", &["HJB", "ill-posed", "raise beta", "t = "]);
    let s = run.solution();
    let levels = report["solve"]["levels_finished"].as_u64().unwrap() as usize;
    assert!((2..101).contains(&levels), "{levels}");
    assert_eq!(s.time.len(), levels);
    assert!(s.time[0] > 0.0 && *s.time.last().unwrap() == 2.0, "{:?}", s.time);
    assert!(report["solve"]["objective"].is_null(), "there is no V(0, .)");
    // a step earlier is finished with the same numbers when the reward is the same and the run shorter: V(T) = r
    let last = s.value_at(levels - 1);
    for (y, v) in s.axes[0].iter().zip(last) {
        assert!((v - 0.6 * y * y).abs() < 1e-12);
    }
}

#[test]
fn rollout_reports_a_failed_solve() {
    let desk = Desk::new();
    let run = desk.run("rollout", &too_convex(), &[]);
    let report = stopped_early(&run, "rollout", &["HJB", "ill-posed"]);
    assert!(report["rollout"].is_null() && report["solve"]["levels_finished"].as_u64().unwrap() >= 2);
}

#[test]
fn pift_keeps_the_steps_before_the_failure() {
    let desk = Desk::new();
    let run = desk.run("pift", &too_convex(), &[]);
    let report = stopped_early(&run, "pift, convex", &["PI-FT", "ill-posed", "must stay below 1", "raise kl_weight"]);
    let done = numbers(&report, "/pift/value").len();
    assert!((1..100).contains(&done), "{done}");
    assert_eq!(run.solution().time.len(), done + 1);
    for field in ["t", "control", "rho", "iterations"] {
        assert_eq!(numbers(&report, &format!("/pift/{field}")).len(), done, "{field}");
    }
    // the plain iteration diverges at the first step for a small N ...
    let run = desk.run("pift", &stiff(), &["--steps", "4"]);
    let report =
        stopped_early(&run, "pift, plain", &["step 3", "plain iteration", "rho >= 1", "damped, newton or auto, or more steps"]);
    assert_eq!(numbers(&report, "/pift/value").len(), 0);
    assert_eq!(run.solution().time, [2.0], "V_N = r is what there is");
    // ... and what the message advises works
    desk.run("pift", &stiff(), &["--steps", "64"]).good("more steps");
    for inner in ["damped", "newton", "auto"] {
        desk.run("pift", &edit(&stiff(), json!({"pift": {"inner": inner}})), &["--steps", "4"]).good(inner);
    }
    // a tolerance below rounding: the iteration ends where rounding lets it
    let exact = |tolerance: f64| {
        let run = desk.run("pift", &edit(&mixture(), json!({"pift": {"tolerance": tolerance}})), &["--steps", "8"]);
        numbers(&run.good("tolerance").report(), "/pift/value")
    };
    for (a, b) in exact(1e-300).iter().zip(exact(1e-12)) {
        assert!((a - b).abs() < 1e-11, "{a} {b}");
    }
}

#[test]
fn bridge_keeps_the_smaller_n_when_a_larger_one_fails() {
    // beta dips at t = 1.9375 = T - T/32: only N = 32 looks there
    let change = json!({
        "prior": {"kind": "gaussian", "mean": [0.0], "covariance": [[0.5]]},
        "reward": {"kind": "quadratic", "Q": [[1.2]], "q": [0.5]},
        "kl_weight": {"kind": "formula", "beta": "1.5 - 1.49*exp(-((t-1.9375)/0.02)**2)"}, "pift": {"inner": "plain"}
    });
    let desk = Desk::new();
    let run = desk.run("bridge", &edit(&mixture(), change), &["--steps", "4,8,16,32"]);
    let report = stopped_early(&run, "dip", &["PI-FT", "step 31", "plain iteration", "rho >= 1"]);
    assert_eq!(numbers(&report, "/bridge/steps"), [4.0, 8.0, 16.0]);
    for field in ["value_error", "control_error", "contraction", "objective", "seconds"] {
        assert_eq!(numbers(&report, &format!("/bridge/{field}")).len(), 3, "{field}");
    }
    assert!(report["bridge"]["order_value"].is_number(), "orders of what is there");
    assert!(report["solve"]["objective"].is_number());
    assert_eq!(run.solution().time[0], 0.0, "the HJB solution is whole");
    assert!(run.stdout.contains("   16 ") && !run.stdout.contains("   32 "), "{}", run.stdout);
}

#[test]
fn bridge_keeps_the_hjb_solution_when_the_first_n_fails() {
    // N = 16 and 32 would work, 2 does not
    let desk = Desk::new();
    let run = desk.run("bridge", &stiff(), &["--steps", "2,16,32"]);
    let report = stopped_early(&run, "first N", &["PI-FT", "plain iteration", "rho >= 1"]);
    assert!(report["solve"]["objective"].is_number(), "the HJB solution was finished");
    assert_eq!(run.solution().time[0], 0.0);
}

#[test]
fn bridge_keeps_the_finished_levels_when_the_hjb_solution_fails() {
    let desk = Desk::new();
    let run = desk.run("bridge", &too_convex(), &[]);
    let report = stopped_early(&run, "HJB", &["HJB", "ill-posed"]);
    assert!(report["solve"]["levels_finished"].as_u64().unwrap() >= 2);
    assert!(run.solution().time[0] > 0.0);
}

#[test]
fn a_gaussian_problem_too_convex_for_its_varying_kl_weight() {
    // ill-posed as a tilt with constant beta would be: either refused as input (nothing written), or solved as far as it goes
    let problem = edit(&too_convex(), json!({"prior": {"kind": "gaussian", "mean": [0.0], "covariance": [[0.5]]}}));
    let desk = Desk::new();
    let run = desk.run("solve", &problem, &[]);
    if run.code == 2 {
        assert!(!run.out.exists() && run.stdout.is_empty());
        assert!(run.stderr.contains("kl_weight") && run.stderr.contains("ill-posed"), "{}", run.stderr);
        // check says the same, and does not begin to print "valid"
        let check = desk.run("check", &problem, &[]);
        assert_eq!((check.code, check.stdout.as_str()), (2, ""));
    } else {
        stopped_early(&run, "gaussian", &["too convex"]);
    }
}
