//! Good runs of every command: the report's fields, the arrays, the pictures, the flags.

use crate::desk::{Desk, Outcome, edit, mixture, names, number, numbers, root};
use hjbridge::model::exact::closed_form;
use hjbridge::model::{PointBlock, Points};
use hjbridge::problem::{Problem, ProblemFile};
use serde_json::{Value, json};
use std::path::Path;

/// The library's view of a problem.
fn resolved(problem: &Value) -> Problem {
    Problem::resolve(ProblemFile::parse(&problem.to_string(), Path::new("test")).unwrap(), root()).unwrap()
}

/// V and U of the closed form at time t (d = 1).
fn exact(problem: &Problem, t: f64, y: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let form = closed_form(&problem.model).unwrap().unwrap();
    let slice = form.at(t);
    let (mut v, mut u) = (vec![0.0; y.len()], PointBlock::zeros(1, y.len()));
    slice.value(Points::new(y, 1), &mut v);
    slice.control(Points::new(y, 1), u.as_mut());
    (v, u.data().to_vec())
}

/// sup |V - V_exact| and sup |U - U_exact| over |y| <= 3 and the stored t < T, from the arrays of `solution.npz`.
fn errors(run: &Outcome, problem: &Value) -> (f64, f64) {
    let (s, problem) = (run.solution(), resolved(problem));
    let mut sup = (0.0_f64, 0.0_f64);
    for k in 0..s.time.len() - 1 {
        let (v, u) = exact(&problem, s.time[k], &s.axes[0]);
        for (i, y) in s.axes[0].iter().enumerate().filter(|(_, y)| y.abs() <= 3.0 + 1e-9) {
            assert!(y.is_finite());
            sup.0 = sup.0.max((s.value_at(k)[i] - v[i]).abs());
            sup.1 = sup.1.max((s.control_at(k)[i] - u[i]).abs());
        }
    }
    sup
}

#[track_caller]
fn assert_pictures(run: &Outcome, stems: &[&str]) {
    for stem in stems {
        let svg = std::fs::read_to_string(run.out.join(format!("{stem}.svg"))).unwrap_or_else(|e| panic!("{stem}.svg: {e}"));
        assert!(svg.starts_with("<svg") || svg.starts_with("<?xml"), "{stem}.svg");
        assert!(svg.trim_end().ends_with("</svg>"), "{stem}.svg");
        assert!(!svg.contains("NaN"), "{stem}.svg has NaN coordinates");
        let png = std::fs::read(run.out.join(format!("{stem}.png"))).unwrap_or_else(|e| panic!("{stem}.png: {e}"));
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 5000, "{stem}.png has {} bytes", png.len());
    }
    let listed = run.report()["figures"].as_array().unwrap().len();
    let found = names(&run.out).iter().filter(|n| n.ends_with(".svg")).count();
    assert_eq!(listed, found, "every picture is in the report");
}

#[track_caller]
fn assert_header(report: &Value, command: &str) {
    for (field, value) in
        [("program", json!("hjbridge")), ("command", json!(command)), ("complete", json!(true)), ("error", json!(null))]
    {
        assert_eq!(report[field], value, "{field}");
    }
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["problem"]["name"], "mixture-1d");
}

#[test]
fn solve_writes_what_the_closed_form_says() {
    let (desk, problem) = (Desk::new(), mixture());
    let problem = edit(&problem, json!({"time_steps": 100, "grid": {"nodes": [241]}}));
    let run = desk.run("solve", &problem, &[]).good("solve");
    let report = run.report();
    assert_header(&report, "solve");
    assert!(report["solve"]["scheme"].as_str().unwrap().contains("crank-nicolson"));
    assert!((0.0..10.0).contains(&number(&report, "/solve/seconds")));
    for other in ["rollout", "pift", "bridge"] {
        assert!(report[other].is_null(), "{other}");
    }

    let s = run.solution();
    assert_eq!((s.axes[0].len(), s.time.len()), (241, 101));
    assert_eq!((s.axes[0][0], s.axes[0][240], s.time[0], s.time[100]), (-6.0, 6.0, 0.0, 2.0));
    // the report's errors are those of the arrays, to rounding, and small
    let (value, control) = (number(&report, "/solve/value_error"), number(&report, "/solve/control_error"));
    let (v, u) = errors(&run, &problem);
    assert!((v - value).abs() < 1e-13 && (u - control).abs() < 1e-12, "{v} {value} {u} {control}");
    // 801 x 800 has 1.1e-4 and 1.1e-3 by order 2; an eighth of the steps may have 64 times as much
    assert!(value < 1.1e-4 * 64.0 && control < 1.1e-3 * 64.0, "{value} {control}");
    // golden numbers of an independent computation: V and U* at t = 0
    let golden =
        [(-2.0, 0.873582150429, 1.885486369305), (0.0, 0.770539795113, -0.076512689326), (1.5, 0.691794938949, -1.535609854517)];
    for (y, v, u) in golden {
        let i = s.node(y);
        assert!((s.value_at(0)[i] - v).abs() <= value, "V(0, {y}) = {}", s.value_at(0)[i]);
        assert!((s.control_at(0)[i] - u).abs() <= control, "U(0, {y}) = {}", s.control_at(0)[i]);
    }
    // at t = T the value is the reward
    let reward =
        |y: f64| 0.7 * (((-0.25 * y * y - y + 0.1) / 0.7_f64).exp() + ((-0.6 * y * y + 1.5 * y - 0.3) / 0.7_f64).exp()).ln();
    for (y, v) in s.axes[0].iter().zip(s.value_at(100)) {
        assert!((v - reward(*y)).abs() < 1e-12, "V(T, {y}) = {v}, r = {}", reward(*y));
    }
    // E V(0, Y_0): the closed form's by the same rule, and the difference no more than the sup over the box
    let gap = number(&report, "/solve/objective") - number(&report, "/solve/objective_exact");
    assert!(gap.abs() <= value, "{gap}");
    assert_pictures(&run, &["value_and_control", "value_profiles", "control_profiles"]);
    assert!(run.stdout.contains("solve on mixture-1d") && run.stdout.contains("241 nodes, 100 steps"), "{}", run.stdout);
    assert!(run.stdout.contains("written to out"), "{}", run.stdout);
}

#[test]
fn long_runs_store_at_most_129_slices() {
    let desk = Desk::new();
    for (command, steps) in [("solve", "300"), ("pift", "300"), ("rollout", "129")] {
        let run = desk.run(command, &mixture(), &["--steps", steps, "--nodes", "61"]).good(command);
        let s = run.solution();
        assert_eq!(s.time.len(), 129, "{command}");
        assert_eq!((s.time[0], s.time[128]), (0.0, 2.0), "{command}");
        let gaps: Vec<f64> = s.time.windows(2).map(|t| t[1] - t[0]).collect();
        let (least, most) = gaps.iter().fold((f64::MAX, 0.0_f64), |(a, b), g| (a.min(*g), b.max(*g)));
        assert!(most - least <= 2.0 / steps.parse::<f64>().unwrap() + 1e-9, "{command}: gaps {least} to {most}");
    }
}

#[test]
fn pift_has_value_control_contraction_and_iterations_for_each_step() {
    let (desk, problem) = (Desk::new(), mixture());
    let run = desk.run("pift", &problem, &["--steps", "32"]).good("pift");
    let report = run.report();
    assert_header(&report, "pift");
    assert_eq!(number(&report, "/pift/steps"), 32.0);
    for field in ["t", "value", "control", "rho", "iterations", "value_errors", "control_errors"] {
        assert_eq!(numbers(&report, &format!("/pift/{field}")).len(), 32, "{field}");
    }
    let contraction = report["pift"]["contraction"].as_array().unwrap();
    assert_eq!(contraction.len(), 32);
    // observed below its bound rho_k, where it was seen
    for (c, rho) in contraction.iter().zip(numbers(&report, "/pift/rho")) {
        if let Some(c) = c.as_f64() {
            assert!(c <= rho * 1.0001, "{c} > {rho}");
        }
    }
    // figures of an independent prototype for N = 32 (on a finer grid): V 2.584e-2, U 0.395, contraction 0.100
    assert!((number(&report, "/pift/value_error") / 2.584e-2 - 1.0).abs() < 0.03);
    assert!((number(&report, "/pift/control_error") / 0.395 - 1.0).abs() < 0.03);
    // the arrays say the same; the slice at T is added by the program and is not part of the chain
    let s = run.solution();
    assert_eq!((s.time.len(), s.time[0], s.time[32]), (33, 0.0, 2.0));
    let (v, u) = errors(&run, &problem);
    assert!((v - number(&report, "/pift/value_error")).abs() < 1e-12);
    assert!((u - number(&report, "/pift/control_error")).abs() < 1e-12);
    let probe = s.node(number(&report, "/pift/probe/0"));
    assert_eq!(s.value_at(0)[probe], numbers(&report, "/pift/value")[0]);
    assert_eq!(s.control_at(5)[probe], numbers(&report, "/pift/control")[5]);
    let (_, u) = exact(&resolved(&problem), 2.0, &s.axes[0]);
    let last = s.control_at(32).iter().zip(&u).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(last < 1e-9, "U at T is s + grad r / beta: {last}");
    assert_pictures(&run, &["value_and_control", "contraction", "regularity", "iterates"]);
}

#[test]
fn bridge_has_errors_orders_richardson_and_contraction() {
    let (desk, problem) = (Desk::new(), mixture());
    let run = desk.run("bridge", &problem, &["--steps", "16,32,64", "--nodes", "201"]).good("bridge");
    let report = run.report();
    assert_header(&report, "bridge");
    let b = &report["bridge"];
    assert_eq!(b["reference"], "closed_form");
    assert_eq!(numbers(&report, "/bridge/steps"), [16.0, 32.0, 64.0]);
    assert_eq!(report["problem"]["bridge_steps"], json!([16, 32, 64]), "the flag is in the resolved problem");
    for field in ["value_error", "control_error", "contraction", "rho", "iterations", "objective", "seconds"] {
        assert_eq!(numbers(&report, &format!("/bridge/{field}")).len(), 3, "{field}");
    }
    for field in ["order_value", "order_control", "richardson_order"] {
        assert!(number(&report, &format!("/bridge/{field}")).is_finite(), "{field}");
    }
    for field in ["octave_orders_value", "octave_orders_control", "richardson_steps", "richardson_error"] {
        assert_eq!(numbers(&report, &format!("/bridge/{field}")).len(), 2, "{field}");
    }
    // an independent prototype's figures for N = 32, 64, within 2 %
    let (v, u) = (numbers(&report, "/bridge/value_error"), numbers(&report, "/bridge/control_error"));
    for (found, expected) in [(v[1], 2.584e-2), (v[2], 1.367e-2), (u[1], 0.395), (u[2], 0.238)] {
        assert!((found / expected - 1.0).abs() < 0.02, "{found} against {expected}");
    }
    let octave = (v[1] / v[2]).log2();
    assert!((numbers(&report, "/bridge/octave_orders_value")[1] - octave).abs() < 1e-12);
    // least squares on three equally spaced log N: half the log2 of the ratio of the ends
    assert!((number(&report, "/bridge/order_value") - 0.5 * (v[0] / v[2]).log2()).abs() < 1e-12);
    // the reference's objective is E V(0, Y_0); the chain's approaches it like 1/N
    let gap: Vec<f64> =
        numbers(&report, "/bridge/objective").iter().map(|j| number(&report, "/bridge/objective_reference") - j).collect();
    assert!(gap[0] > 0.0 && (1.6..2.4).contains(&(gap[1] / gap[2])), "{gap:?}");
    assert_eq!(report["bridge"]["final_law"]["wasserstein"].as_array().unwrap().len(), 3);
    assert!(number(&report, "/solve/value_error") < 1e-2, "the HJB solution is reported too");
    assert_eq!(run.solution().time[0], 0.0);
    assert_pictures(&run, &["bridge", "contraction", "densities", "value_and_control"]);
    assert!(run.stdout.contains("closed_form") && run.stdout.contains("order on the last 3 N"), "{}", run.stdout);
}

#[test]
fn rollout_estimates_what_the_recursion_says_and_follows_the_seed() {
    let (desk, problem) = (Desk::new(), mixture());
    let run = |flags: &[&str]| desk.run("rollout", &problem, flags).good("rollout");
    let one = run(&["--paths", "4000", "--seed", "7"]);
    let report = one.report();
    assert_header(&report, "rollout");
    assert_eq!((&report["problem"]["seed"], &report["problem"]["paths"]), (&json!(7), &json!(4000)));
    let r = |report: &Value, field: &str| number(report, &format!("/rollout/{field}"));
    let stderr = r(&report, "estimates/objective/standard_error");
    assert!(stderr > 0.0);
    // a fixed seed: no chance involved
    assert!((r(&report, "estimates/objective/mean") - r(&report, "euler_objective")).abs() < 4.0 * stderr);
    assert!((r(&report, "optimum") - 0.770586).abs() < 2e-3, "E V(0, Y_0) of the closed form is 0.770586");
    let (mean, mean_error) = (r(&report, "estimates/final_mean/0/mean"), r(&report, "estimates/final_mean/0/standard_error"));
    assert!((mean - r(&report, "final_mean_exact")).abs() < 4.0 * mean_error + 0.05, "{mean}");
    let covariance = report["rollout"]["final_covariance"].as_array().unwrap();
    assert_eq!((covariance.len(), covariance[0].as_array().unwrap().len()), (1, 1));
    let of = |name: &str| r(&report, &format!("estimates/{name}/mean"));
    let gap = of("reward") - of("kl_cost") - of("objective");
    assert!(gap.abs() < 1e-12, "objective = reward - cost");
    assert_pictures(&one, &["densities", "paths"]);

    let same = run(&["--paths", "4000", "--seed", "7"]).report();
    let objective = "estimates/objective/mean";
    assert_eq!(r(&same, objective).to_bits(), r(&report, objective).to_bits(), "the same seed");
    let other = run(&["--paths", "4000", "--seed", "8"]).report();
    assert_ne!(r(&other, objective), r(&report, objective), "another seed");
    // four times fewer paths: twice the standard error, itself known to 2 %
    let fewer = run(&["--paths", "1000", "--seed", "7"]).report();
    assert!((r(&fewer, "estimates/objective/standard_error") / stderr - 2.0).abs() < 0.2);
}

#[test]
fn check_prints_the_resolved_problem_and_writes_nothing() {
    let desk = Desk::new();
    let problem = edit(&mixture(), json!({"initial_law": null, "time_steps": null, "compare_on": null}));
    let run = desk.run("check", &problem, &[]).good("check");
    assert_eq!(desk.names(), ["problem.json"]);
    for needed in ["mixture-1d", "2 component(s)", "closed form: tilted Gaussian mixture", "[101] nodes", "int b = 3.5"] {
        assert!(run.stdout.contains(needed), "{needed} is not in {}", run.stdout);
    }
    // the JSON part is itself a problem file, with the defaults filled in
    let json = &run.stdout[run.stdout.find("\n{").unwrap()..];
    let printed = ProblemFile::parse(json, Path::new("printed")).unwrap();
    assert_eq!(printed.time_steps, 800);
    let given = ProblemFile::parse(&problem.to_string(), Path::new("given")).unwrap();
    let filled = Problem::resolve(given.clone(), Path::new(".")).unwrap().file;
    assert_eq!(printed, filled);
    assert!(given.compare_on.is_none() && printed.compare_on.is_some(), "the box that errors are taken over is said");
    let again = desk.text("check", json, &[]).good("check");
    assert_eq!(again.stdout, run.stdout);

    let run = desk.run("check", &crate::desk::old_faithful(), &[]).good("check");
    assert!(run.stdout.contains("272 rows of [\"waiting\"]"), "{}", run.stdout);
}

#[test]
fn shipped_problems_are_valid_where_they_lie() {
    for name in names(&root().join("data/problems")) {
        let path = root().join("data/problems").join(&name);
        let desk = Desk::new();
        desk.plain(&["check", path.to_str().unwrap()]).good(&name);
        assert!(desk.names().is_empty());
    }
}

#[test]
fn real_data_in_its_own_units() {
    let desk = Desk::new();
    let run = desk.run("rollout", &crate::desk::old_faithful(), &["--steps", "40"]).good("rollout");
    let report = run.report();
    // the sample mean of the 272 waiting times is 70.897 minutes; r = y prefers long waits
    assert!((number(&report, "/rollout/prior_mean/0") - 70.897).abs() < 1e-3);
    let tilted = number(&report, "/rollout/final_mean_data_units/0");
    assert!((75.0..90.0).contains(&tilted), "{tilted}");
    assert!(run.stdout.contains("waiting time (min)"), "{}", run.stdout);
    assert_pictures(&run, &["densities", "paths"]);
}

#[test]
fn flags_override_the_file_and_quiet_is_quiet() {
    let desk = Desk::new();
    let run = desk.run("solve", &mixture(), &["--nodes", "61", "--steps", "20", "--seed", "5", "--paths", "77"]).good("solve");
    let problem = &run.report()["problem"];
    assert_eq!((&problem["grid"]["nodes"], &problem["time_steps"]), (&json!([61]), &json!(20)));
    assert_eq!((&problem["seed"], &problem["paths"]), (&json!(5), &json!(77)));
    assert_eq!(run.solution().axes[0].len(), 61);
    for command in ["solve", "rollout", "pift", "bridge"] {
        let run = desk.run(command, &mixture(), &["--nodes", "61", "--steps", "8", "--quiet"]).good(command);
        assert_eq!(run.stdout, "", "{command}");
        assert_eq!(run.report()["command"], command);
    }
}

#[test]
fn default_directory_is_out_name_in_the_working_directory() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("problems")).unwrap();
    desk.file("problems/p.json", edit(&mixture(), json!({"name": "plain_name-2.b"})).to_string());
    let run = desk.plain(&["solve", "problems/p.json", "--nodes", "61", "--steps", "8"]).good("solve");
    assert_eq!(desk.names(), ["out", "problems"]);
    assert_eq!(names(&desk.path().join("out")), ["plain_name-2.b"]);
    assert!(desk.path().join("out/plain_name-2.b/report.json").exists());
    assert!(run.stdout.contains("out/plain_name-2.b"), "{}", run.stdout);
    assert_eq!(names(&desk.path().join("problems")), ["p.json"]);
}

#[test]
fn two_dimensions() {
    let (desk, problem) = (Desk::new(), crate::desk::plane());
    let run = desk.run("solve", &problem, &[]).good("solve");
    let s = run.solution();
    assert_eq!((s.axes[0].len(), s.axes[1].len()), (31, 35));
    assert_eq!(s.control.len(), 2 * s.value.len());
    let coarse = number(&run.report(), "/solve/value_error");
    let fine = desk.run("solve", &problem, &["--nodes", "61,69", "--steps", "40"]).good("solve").report();
    let ratio = coarse / number(&fine, "/solve/value_error");
    assert!(ratio > 2.6, "order 2 in both: {ratio}");
    // an independent computation gives V(0, 0) = 0.615142190004
    let (i, j) = (15, 17);
    assert_eq!((s.axes[0][i], s.axes[1][j]), (0.0, 0.0));
    assert!((s.value[i * 35 + j] - 0.615142190004).abs() <= coarse);
    let report = desk.run("rollout", &problem, &[]).good("rollout").report();
    assert_eq!(report["rollout"]["estimates"]["final_mean"].as_array().unwrap().len(), 2);
    // one number of nodes counts for every axis
    let run = desk.run("solve", &problem, &["--nodes", "25"]).good("solve");
    assert_eq!(run.report()["problem"]["grid"]["nodes"], json!([25, 25]));
}

#[test]
fn help_and_version() {
    let desk = Desk::new();
    let help = desk.plain(&["--help"]).good("--help");
    for word in ["solve", "rollout", "pift", "bridge", "check"] {
        assert!(help.stdout.contains(word));
    }
    let help = desk.plain(&["bridge", "--help"]).good("bridge --help");
    for flag in ["--out", "--seed", "--threads", "--quiet", "--nodes", "--steps", "--paths"] {
        assert!(help.stdout.contains(flag), "{flag}");
    }
    assert!(desk.plain(&["--version"]).good("--version").stdout.contains(env!("CARGO_PKG_VERSION")));
    assert!(desk.names().is_empty());
}
