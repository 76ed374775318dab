//! Every option of `rollout`, end to end on small sizes.

use crate::desk::{Desk, Outcome, edit, finish, mixture, names, number, numbers, old_faithful, plane, shipped};
use serde_json::{Value, json};
use std::path::Path;

const OBJECTIVE: &str = "/rollout/estimates/objective/mean";
const ERROR: &str = "/rollout/estimates/objective/standard_error";

fn rollout(desk: &Desk, problem: &Value, flags: &[&str]) -> Outcome {
    desk.run("rollout", problem, flags).good(&flags.join(" "))
}

#[track_caller]
fn refused(desk: &Desk, problem: &Value, flags: &[&str], needed: &[&str]) {
    let before = names(&desk.path().join("out"));
    let run = desk.run("rollout", problem, flags);
    assert_eq!(run.code, 2, "{flags:?}: {}", run.stderr);
    for word in needed {
        assert!(run.stderr.contains(word), "{flags:?}: \"{word}\" is not in {}", run.stderr);
    }
    assert_eq!(names(&run.out), before, "{flags:?}: nothing may be written");
}

/// An array of paths.npz.
fn array(run: &Outcome, name: &str) -> (Vec<u64>, Vec<f64>) {
    let mut archive = npyz::npz::NpzArchive::open(run.out.join("paths.npz")).unwrap();
    let array = archive.by_name(name).unwrap().unwrap_or_else(|| panic!("no {name}"));
    (array.shape().to_vec(), array.into_vec::<f64>().unwrap())
}

/// A shipped controlled diffusion at a small size.
fn small(name: &str) -> Value {
    edit(&shipped(name), json!({"bridge_steps": null, "paths": 2000}))
}

#[test]
fn every_scheme_reaches_the_optimum_up_to_its_bias() {
    let (desk, problem) = (Desk::new(), mixture());
    for (scheme, more) in [
        ("euler", vec![]),
        ("exponential", vec![]),
        ("milstein", vec![]),
        ("heun", vec![]),
        ("srk15", vec![]),
        ("weak2", vec![]),
        ("ancestral", vec!["--variance", "one-minus-alpha"]),
        ("ancestral", vec!["--variance", "over-alpha"]),
        ("ancestral", vec!["--variance", "gaussian-posterior"]),
        ("ddim", vec!["--eta", "1"]),
    ] {
        let mut flags = vec!["--scheme", scheme, "--paths", "8000"];
        flags.extend(&more);
        let run = rollout(&desk, &problem, &flags);
        let report = run.report();
        assert_eq!(report["rollout"]["scheme"], scheme);
        assert_eq!(report["rollout"]["eta"].as_f64(), (scheme == "ddim").then_some(1.0));
        let chosen = &report["rollout"]["simulation"]["scheme_parameters"];
        match (scheme, more.last()) {
            ("milstein", _) => assert_eq!(chosen, &json!({"noise": "diagonal"})),
            ("ddim", _) => assert_eq!(chosen, &json!({"eta": 1.0})),
            ("ancestral", Some(&"gaussian-posterior")) => {
                // 0.4 (0.15 + 1.5^2) + 0.6 (0.4 + 1)
                let variance = number(chosen, "/variance/gaussian_posterior/data_variance");
                assert!((variance - 1.8).abs() < 1e-12, "{chosen}");
            }
            ("ancestral", Some(rule)) => {
                assert_eq!(chosen, &json!({"alpha": "exp_integral", "variance": rule.replace('-', "_")}));
            }
            _ => assert!(chosen.is_null(), "{scheme}: {chosen}"),
        }
        let (objective, error) = (number(&report, OBJECTIVE), number(&report, ERROR));
        // 50 steps: the bias of the schemes of order 1 is 2e-2 at most, the standard error 3e-3
        assert!((objective - 0.7706).abs() < 0.02 + 4.0 * error, "{flags:?}: {objective}");
        assert!(error > 1e-3 && error < 1e-2, "{flags:?}: {error}");
        // only the plain chain has an exact value without simulation
        let euler = scheme == "euler";
        assert_eq!(report["rollout"]["euler_objective"].is_f64(), euler, "{flags:?}");
        assert_eq!(report["rollout"]["reference"], if euler { "euler_objective" } else { "optimum" });
        // the weight has mean one for the schemes that follow the equation; samplers have none
        let weight = &report["rollout"]["estimates"]["weight"];
        assert_eq!(weight.is_null(), matches!(scheme, "ancestral" | "ddim"), "{flags:?}");
        if !weight.is_null() {
            let z = (weight["mean"].as_f64().unwrap() - 1.0) / weight["standard_error"].as_f64().unwrap();
            assert!(z.abs() < 5.0, "{flags:?}: z = {z}");
            // beta times the relative entropy is the KL cost at a constant weight, up to O(h): b falls by 3 % in a step at first
            let entropy = number(&report, "/rollout/estimates/relative_entropy/mean");
            let cost = number(&report, "/rollout/estimates/kl_cost/mean");
            assert!((0.7 * entropy / cost - 1.0).abs() < 0.04, "{flags:?}: {entropy} {cost}");
        }
        assert_eq!(report["rollout"]["estimates"]["quantiles"].as_array().unwrap().len(), 5);
    }
    // the posterior variance is the file's where no flag says otherwise, and the report says which it was
    let posterior = edit(&problem, json!({"pift": {"variance": "posterior"}}));
    let by_file = rollout(&desk, &posterior, &["--scheme", "ancestral"]).report();
    let by_flag = rollout(&desk, &problem, &["--scheme", "ancestral", "--variance", "posterior"]).report();
    assert_eq!(number(&by_file, OBJECTIVE), number(&by_flag, OBJECTIVE));
    for report in [&by_file, &by_flag] {
        assert_eq!((&report["rollout"]["variance"], &report["rollout"]["alpha"]), (&json!("posterior"), &json!("exp_integral")));
    }
    let euler = rollout(&desk, &posterior, &[]).report();
    assert_eq!((&euler["rollout"]["variance"], &euler["rollout"]["alpha"]), (&json!(null), &json!(null)));
    assert!(number(&euler, "/rollout/final_covariance_error/0/0") > 0.0);
}

#[test]
fn time_grids() {
    let (desk, problem) = (Desk::new(), mixture());
    let log_snr = rollout(&desk, &problem, &["--time-grid", "log-snr", "--scheme", "exponential"]).report();
    let grid = &log_snr["rollout"]["time_grid"];
    assert_eq!((&grid["kind"], &grid["steps"], &grid["end"]), (&json!("log_snr"), &json!(50), &json!(2.0)));
    assert!(number(&log_snr, "/rollout/time_grid/longest_step") > 10.0 * number(&log_snr, "/rollout/time_grid/shortest_step"));
    // as good as equal steps, and far from the 0.0 of the model without control
    let equal = rollout(&desk, &problem, &["--scheme", "exponential"]).report();
    let (found, even) = (number(&log_snr, OBJECTIVE), number(&equal, OBJECTIVE));
    let error = number(&log_snr, ERROR).hypot(number(&equal, ERROR));
    assert!(
        (found - even).abs() < 4.0 * error + 0.01 && number(&log_snr, "/rollout/estimates/kl_cost/mean") > 0.01,
        "{found} {even} {error} {}",
        log_snr["rollout"]["estimates"]["kl_cost"]
    );

    let times: Vec<f64> = (0..=40).map(|k| 2.0 * (f64::from(k) / 40.0).powf(0.8)).collect();
    desk.file("lines", times.iter().map(|t| format!("{t}\n")).collect::<String>());
    desk.file("list.json", serde_json::to_string(&times).unwrap());
    let lines = rollout(&desk, &problem, &["--time-grid", "lines", "--save-paths", "3"]);
    assert_eq!(array(&lines, "time").1, times, "the simulation's own times");
    let report = lines.report();
    assert_eq!((&report["rollout"]["time_grid"]["kind"], number(&report, "/rollout/simulation/steps")), (&json!("listed"), 40.0));
    let list = rollout(&desk, &problem, &["--time-grid", "list.json"]).report();
    assert_eq!(number(&list, OBJECTIVE), number(&report, OBJECTIVE));
    // equal times by a list are the uniform grid, up to the rounding of the step
    let equal: Vec<f64> = (0..=50).map(|k| f64::from(k) * 0.04).collect();
    desk.file("equal", equal.iter().map(|t| format!("{t}\n")).collect::<String>());
    let (by_list, uniform) = (rollout(&desk, &problem, &["--time-grid", "equal"]), rollout(&desk, &problem, &[]));
    assert!((number(&by_list.report(), OBJECTIVE) - number(&uniform.report(), OBJECTIVE)).abs() < 1e-9);

    desk.file("short", "0\n1\n");
    desk.file("words", "0\nsoon\n2\n");
    desk.file("falling", "0\n1.5\n1\n2\n");
    refused(&desk, &problem, &["--time-grid", "short"], &["--time-grid", "horizon, 2"]);
    refused(&desk, &problem, &["--time-grid", "words"], &["line 2", "soon"]);
    refused(&desk, &problem, &["--time-grid", "falling"], &["times", "strictly rising"]);
    refused(&desk, &problem, &["--time-grid", "nowhere"], &["--time-grid", "nowhere", "log-snr"]);
    refused(&desk, &problem, &["--time-grid", "lines", "--steps", "40"], &["--steps"]);
}

#[test]
fn rules_end_a_run() {
    let (desk, problem) = (Desk::new(), mixture());
    let size = ["--steps", "16", "--nodes", "61"];
    let with = |more: &[&str]| rollout(&desk, &problem, &[&size[..], more].concat()).report();
    let reached = with(&["--target-stderr", "1e-3"]);
    assert!(number(&reached, ERROR) <= 1e-3);
    let stop = &reached["rollout"]["stop"];
    assert_eq!((&stop["target_stderr"], &stop["target_reached"]), (&json!(1e-3), &json!(true)));
    let paths = number(&reached, "/rollout/simulation/paths");
    assert!(paths > 32768.0 && paths % 32768.0 == 0.0, "{paths} paths, the rule is looked at between waves");
    assert_eq!((&reached["rollout"]["partial"], &reached["complete"]), (&json!(false), &json!(true)));
    assert_eq!(reached["rollout"]["simulation"]["stopped_by"], "standard_error");

    // a run that its rule has ended is at its end when it is resumed
    let kept = with(&["--target-stderr", "1e-3", "--checkpoint", "state"]);
    let again = with(&["--target-stderr", "1e-3", "--checkpoint", "state", "--resume"]);
    assert_eq!(sums(&kept), sums(&reached));
    assert_eq!(sums(&again), sums(&reached));

    let limited = with(&["--target-stderr", "1e-3", "--paths", "5000"]);
    assert_eq!(limited["rollout"]["stop"]["target_reached"], json!(false));
    assert_eq!(number(&limited, "/rollout/simulation/paths"), 5000.0);
    assert!(limited["rollout"]["notes"][0].as_str().unwrap().contains("above the 1e-3"));

    let timed = with(&["--time-budget", "0.05"]);
    assert_eq!((&timed["rollout"]["partial"], &timed["complete"]), (&json!(true), &json!(true)));
    assert_eq!(timed["rollout"]["simulation"]["stopped_by"], "time");
    assert!(number(&timed, "/rollout/simulation/paths") >= 32768.0);

    for (flag, value) in [("--target-stderr", "0"), ("--target-stderr", "nan"), ("--time-budget", "-1"), ("--time-budget", "inf")]
    {
        let given = format!("{flag}={value}");
        refused(&desk, &problem, &[&given], &[flag, "positive"]);
    }
}

#[test]
fn multilevel_says_levels_costs_and_rates() {
    let (desk, problem) = (Desk::new(), edit(&mixture(), json!({"grid": {"nodes": [401]}, "time_steps": 200})));
    let run = rollout(&desk, &problem, &["--mlmc", "--target-stderr", "2e-3", "--mlmc-base-steps", "8"]);
    let report = run.report();
    let found = &report["rollout"]["multilevel"];
    let levels = found["info"]["levels"].as_array().unwrap();
    assert!(levels.len() >= 3);
    for (l, level) in levels.iter().enumerate() {
        assert_eq!(level["steps"], json!(8 << l));
        assert!(level["difference"]["n"].as_u64().unwrap() >= 1024 && level["variance"].as_f64().unwrap() > 0.0);
    }
    let (error, bias) =
        (number(&report, "/rollout/multilevel/objective/standard_error"), number(&report, "/rollout/multilevel/objective/bias"));
    assert!(error <= 2.02e-3 && bias <= 1e-3, "{error} {bias}");
    let gap = number(&report, "/rollout/multilevel/objective/mean") - number(&report, "/rollout/optimum");
    assert!(gap.abs() < 4.0 * error + bias, "{gap}");
    // additive noise: the variance falls with order 2, the mean with order 1
    let rate = |name: &str| number(&report, &format!("/rollout/multilevel/info/{name}"));
    assert!((0.5..1.6).contains(&rate("alpha")) && (1.4..2.6).contains(&rate("beta")), "{found}");
    assert!((rate("gamma") - 1.0).abs() < 1e-9 && rate("saving") > 1.0);
    assert!(run.stdout.contains("multilevel: objective") && run.stdout.contains("rates: mean"), "{}", run.stdout);
    // the plain run has the file's number of paths
    assert_eq!(number(&report, "/rollout/simulation/paths"), 1000.0);

    refused(&desk, &problem, &["--mlmc"], &["--mlmc", "--target-stderr"]);
    let target = ["--mlmc", "--target-stderr", "0.01"];
    for (more, needed) in [
        (vec!["--mlmc-base-steps", "0"], "--mlmc-base-steps = 0"),
        (vec!["--time-budget", "1"], "--time-budget"),
        (vec!["--checkpoint", "c"], "--checkpoint"),
        (vec!["--time-grid", "log-snr"], "--time-grid"),
        (vec!["--scheme", "ddim"], "--scheme"),
    ] {
        refused(&desk, &problem, &[&target[..], &more].concat(), &[needed]);
    }
}

#[test]
fn antithetic_pairs_and_sobol_points() {
    let (desk, problem) = (Desk::new(), mixture());
    let pairs = rollout(&desk, &problem, &["--antithetic", "--paths", "8000"]).report();
    assert_eq!(number(&pairs, "/rollout/estimates/objective/n"), 4000.0);
    assert_eq!(pairs["rollout"]["antithetic"], json!(true));
    assert!(number(&pairs, "/rollout/z_score").abs() < 4.0);
    let plain = rollout(&desk, &problem, &["--paths", "8000"]).report();
    assert!(number(&pairs, ERROR) < number(&plain, ERROR), "the mean of a pair varies less");
    let log_weight = number(&pairs, "/rollout/estimates/log_weight/mean");
    let entropy = number(&pairs, "/rollout/estimates/relative_entropy/mean");
    assert!((log_weight + entropy).abs() < 0.02, "{log_weight} {entropy}");
    refused(&desk, &problem, &["--antithetic", "--paths", "7"], &["--paths = 7", "even"]);

    let points = rollout(&desk, &problem, &["--noise", "sobol", "--paths", "8192"]).report();
    assert_eq!((number(&points, "/rollout/estimates/objective/n"), number(&points, "/rollout/simulation/paths")), (16.0, 8192.0));
    assert!(number(&points, "/rollout/z_score").abs() < 4.0, "16 repetitions");
    // 2.131: Student's law with 15 degrees of freedom
    let (mean, error) = (number(&points, OBJECTIVE), number(&points, ERROR));
    assert!(((numbers(&points, "/rollout/objective_interval")[1] - mean) / error - 2.131_449_546).abs() < 1e-6);
    assert!(number(&points, "/rollout/final_covariance_error/0/0") > 0.0);
    refused(&desk, &problem, &["--noise", "sobol", "--steps", "300"], &["300", "Sobol"]);
    refused(&desk, &problem, &["--noise", "sobol", "--target-stderr", "0.1"], &["--target-stderr", "sobol"]);
    refused(&desk, &problem, &["--noise", "sobol", "--paths", "100000000"], &["--paths", "sobol"]);
}

#[test]
fn saved_paths_are_those_of_the_run() {
    let (desk, problem) = (Desk::new(), mixture());
    let run = rollout(&desk, &problem, &["--save-paths", "7", "--slices", "11"]);
    let (shape, states) = array(&run, "state");
    assert_eq!(shape, [7, 11, 1]);
    assert_eq!(array(&run, "path").1, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let times = array(&run, "time").1;
    assert_eq!((times[0], times[10]), (0.0, 2.0));
    let (shape, cost) = array(&run, "running_cost");
    assert_eq!(shape, [7, 11]);
    assert!(cost.chunks(11).all(|c| c[0] == 0.0 && c.windows(2).all(|w| w[0] <= w[1]) && c[10] > 0.0), "costs add up");
    assert_eq!(array(&run, "running_reward").1, vec![0.0; 77]);
    // path i is path i of any run
    let other = rollout(&desk, &problem, &["--save-paths", "2", "--slices", "11", "--paths", "70"]);
    assert_eq!(array(&other, "state").1, states[..22]);
    // a plane has two coordinates; without the flag there is no file, and an old one goes away
    let run = rollout(&desk, &plane(), &["--save-paths", "4"]);
    assert_eq!(array(&run, "state").0, [4, 21, 2]);
    assert!(names(&run.out).contains(&"final_law.png".to_string()));
    assert!(!names(&rollout(&desk, &plane(), &[]).out).contains(&"paths.npz".to_string()));
    refused(&desk, &problem, &["--save-paths", "1001"], &["--save-paths = 1001", "1000"]);
    refused(&desk, &problem, &["--paths", "1000000000", "--save-paths", "900000000"], &["--save-paths", "--slices"]);
}

/// The sums of a run.
fn sums(report: &Value) -> Value {
    let mut rollout = report["rollout"].clone();
    for (at, gone) in [("", "resumed_from"), ("/simulation", "seconds"), ("/simulation", "threads"), ("/stop", "paths")] {
        rollout.pointer_mut(at).unwrap().as_object_mut().unwrap().remove(gone);
    }
    rollout
}

#[test]
fn a_run_in_two_parts_is_bit_for_bit_one_run() {
    let (desk, problem) = (Desk::new(), edit(&mixture(), json!({"time_steps": 16, "grid": {"nodes": [61]}})));
    for more in [vec![], vec!["--antithetic"], vec!["--scheme", "heun"], vec!["--time-grid", "log-snr"]] {
        let file = format!("state{}", more.len() + more.concat().len());
        let with = |flags: &[&str]| rollout(&desk, &problem, &[&more[..], flags].concat()).report();
        let uncut = with(&["--paths", "40000"]);
        // 19200 paths are 300 blocks: in the middle of the first wave
        let first = with(&["--paths", "19200", "--checkpoint", &file]);
        assert_eq!(number(&first, "/rollout/simulation/paths"), 19200.0);
        let second = with(&["--paths", "40000", "--checkpoint", &file, "--resume", "--threads", "1"]);
        assert_eq!(number(&second, "/rollout/resumed_from"), 19200.0);
        assert_ne!(number(&first, OBJECTIVE), number(&second, OBJECTIVE));
        assert_eq!(sums(&second), sums(&uncut), "{more:?}");
        // nothing is left to do: the same again
        let again = with(&["--paths", "40000", "--checkpoint", &file, "--resume"]);
        assert_eq!(sums(&again), sums(&uncut), "{more:?}, resumed at its end");
    }
}

#[test]
fn foreign_checkpoints_are_refused() {
    let (desk, problem) = (Desk::new(), edit(&mixture(), json!({"time_steps": 16, "grid": {"nodes": [61]}})));
    rollout(&desk, &problem, &["--paths", "640", "--checkpoint", "state"]);
    let resumed = ["--paths", "1280", "--checkpoint", "state", "--resume"];
    let other = |change: Value, needed: &[&str]| refused(&desk, &edit(&problem, change), &resumed, needed);
    other(json!({"seed": 1}), &["--checkpoint", "another run", "seed is 0 there and 1 here"]);
    other(json!({"kl_weight": 0.8}), &["problem.kl_weight is 0.7 there and 0.8 here"]);
    other(json!({"time_steps": 17}), &["time_steps"]);
    refused(&desk, &problem, &[&resumed[..], &["--scheme", "milstein"]].concat(), &["scheme is \"euler\" there"]);
    refused(&desk, &problem, &[&resumed[..], &["--antithetic"]].concat(), &["antithetic"]);
    // not resumed, the file of a long run is not overwritten
    refused(&desk, &problem, &["--paths", "1280", "--checkpoint", "state"], &["state", "exists", "--resume"]);
    refused(&desk, &problem, &["--resume"], &["--resume", "--checkpoint FILE"]);
    refused(&desk, &problem, &["--checkpoint", "nowhere", "--resume"], &["nowhere", "cannot be read"]);
    let text = std::fs::read_to_string(desk.path().join("state")).unwrap();
    desk.file("cut", &text[..text.len() / 2]);
    refused(&desk, &problem, &["--checkpoint", "cut", "--resume"], &["cut", "no checkpoint"]);
    desk.file("report", "{\"program\": \"hjbridge\"}");
    refused(&desk, &problem, &["--checkpoint", "report", "--resume"], &["no checkpoint"]);
    // fewer paths than are there
    refused(&desk, &problem, &["--paths", "320", "--checkpoint", "state", "--resume"], &["640 paths, more than the 320"]);
    // more after a part of a block
    let odd = ["--paths", "100", "--checkpoint", "odd"];
    assert_eq!(desk.run("rollout", &problem, &odd).code, 0);
    refused(&desk, &problem, &["--paths", "200", "--checkpoint", "odd", "--resume"], &["100 paths", "no multiple of 64"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_with_what_it_has() {
    let (desk, problem) = (Desk::new(), edit(&mixture(), json!({"time_steps": 16, "grid": {"nodes": [61]}})));
    desk.file("problem.json", problem.to_string());
    let flags = ["--paths", "100000000000", "--checkpoint", "state", "--quiet"];
    let child = desk.program(&[&["rollout", "problem.json", "--out", "out"], &flags[..]].concat()).spawn().unwrap();
    let start = std::time::Instant::now();
    while !desk.path().join("state").exists() {
        assert!(start.elapsed().as_secs() < 20, "no checkpoint after the first wave");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let run = finish(child, "interrupted", desk.path().join("out"));
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("interrupted after"), "{}", run.stderr);
    let report = run.report();
    assert_eq!((&report["complete"], &report["rollout"]["partial"]), (&json!(false), &json!(true)));
    assert_eq!(report["rollout"]["simulation"]["stopped_by"], "interrupt");
    assert!(report["error"].as_str().unwrap().contains("interrupted"));
    assert!(names(&run.out).contains(&"densities.svg".to_string()));
    // what it had is the beginning of the whole run
    let done = number(&report, "/rollout/simulation/paths") as u64;
    assert_eq!(done % 64, 0);
    let total = (done + 6400).to_string();
    let rest = rollout(&desk, &problem, &["--paths", &total, "--checkpoint", "state", "--resume"]).report();
    let uncut = rollout(&desk, &problem, &["--paths", &total]).report();
    assert_eq!(sums(&rest), sums(&uncut));
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_a_multilevel_run_leaves_both_estimates() {
    let (desk, problem) = (Desk::new(), edit(&mixture(), json!({"time_steps": 16, "paths": 128, "grid": {"nodes": [61]}})));
    desk.file("problem.json", problem.to_string());
    let flags = ["--mlmc", "--target-stderr", "3e-5", "--quiet"];
    let child = desk.program(&[&["rollout", "problem.json", "--out", "out"], &flags[..]].concat()).spawn().unwrap();
    let start = std::time::Instant::now();
    while !desk.path().join("out/solution.npz").exists() {
        assert!(start.elapsed().as_secs() < 20, "no solution");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // the plain run takes milliseconds, the other one minutes
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let run = finish(child, "interrupted", desk.path().join("out"));
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(
        run.stderr.contains("interrupted in the multilevel run") && run.stderr.contains("plain run is whole"),
        "{}",
        run.stderr
    );
    let report = run.report();
    assert_eq!((&report["complete"], &report["rollout"]["partial"]), (&json!(false), &json!(true)));
    assert_eq!(report["rollout"]["simulation"]["stopped_by"], "paths");
    let (found, info) = (&report["rollout"]["multilevel"]["objective"], &report["rollout"]["multilevel"]["info"]);
    assert_eq!((&info["stopped_by"], &info["converged"]), (&json!("interrupt"), &json!(false)));
    assert!(info["levels"].as_array().unwrap().len() >= 2, "{info}");
    let error = found["standard_error"].as_f64().unwrap();
    let gap = found["mean"].as_f64().unwrap() - number(&report, "/rollout/optimum");
    assert!(gap.abs() < 4.0 * error + found["bias"].as_f64().unwrap() + 0.01, "{found}");
}

#[test]
fn options_that_do_not_fit_are_named() {
    let (desk, problem) = (Desk::new(), mixture());
    for (flags, needed) in [
        (vec!["--eta", "0.5"], vec!["--eta", "ddim"]),
        (vec!["--scheme", "ddim", "--eta", "1.5"], vec!["--eta = 1.5", "0 to 1"]),
        (vec!["--variance", "posterior"], vec!["--variance", "ancestral"]),
        (vec!["--scheme", "leapfrog"], vec!["leapfrog", "euler"]),
        (vec!["--noise", "white"], vec!["white", "philox"]),
        (vec!["--horizon", "3"], vec!["--horizon", "without a horizon"]),
    ] {
        refused(&desk, &problem, &flags, &needed);
    }
    // a scheme may need more than the chain gives: one step of int b = 3.5 with a = 1 - b h
    let linear = edit(&problem, json!({"pift": {"alpha": "linear"}}));
    refused(&desk, &linear, &["--scheme", "ancestral", "--steps", "1"], &["a_k"]);
}

#[test]
fn ddim_without_noise_from_another_law_is_noted() {
    let desk = Desk::new();
    let flags = ["--scheme", "ddim", "--time-grid", "log-snr", "--steps", "40"];
    let noted = rollout(&desk, &mixture(), &flags);
    assert!(noted.report()["rollout"]["notes"][0].as_str().unwrap().contains("eta < 1"));
    assert!(noted.stdout.contains("note: ddim"));
    let optimal = edit(&mixture(), json!({"initial_law": "optimal", "time_steps": 200}));
    let report = rollout(&desk, &optimal, &["--scheme", "ddim", "--paths", "20000"]).report();
    assert_eq!(report["rollout"]["notes"], json!([]));
    let mean = number(&report, "/rollout/estimates/final_mean/0/mean");
    assert!((mean - number(&report, "/rollout/final_mean_exact")).abs() < 0.05, "{mean}");
    // real data, whose score is exact on a grid that is not uniform
    let run = rollout(&desk, &old_faithful(), &["--scheme", "exponential", "--time-grid", "log-snr", "--paths", "500"]);
    assert!((70.0..90.0).contains(&number(&run.report(), "/rollout/final_mean_data_units/0")));
}

fn starts(report: &Value) -> &Vec<Value> {
    report["rollout"]["starts"].as_array().unwrap()
}

#[test]
fn a_controlled_diffusion_is_simulated_from_each_start() {
    let desk = Desk::new();
    let problem = edit(&small("double_well_soc.json"), json!({"grid": {"nodes": [201]}, "start": [[0.0], [1.0]]}));
    let run = rollout(&desk, &problem, &["--steps", "800", "--paths", "8000", "--save-paths", "2", "--slices", "5"]);
    let report = run.report();
    assert_eq!(report["command"], "rollout");
    for (start, x) in starts(&report).iter().zip([0.0, 1.0]) {
        assert_eq!(start["x"], json!([x]));
        let (objective, error) = (number(start, "/objective/mean"), number(start, "/objective/standard_error"));
        // V = 0.13665; at 800 steps the bias of the scheme is 4e-3, twice that at most
        assert!((objective - number(start, "/value")).abs() < 8e-3 + 4.0 * error, "{start}");
        let parts = ["terminal", "running", "control_cost"].map(|p| number(start, &format!("/parts/{p}/mean")));
        assert!((parts.iter().sum::<f64>() - objective).abs() < 1e-12, "a cost is the sum of its parts");
        let q = start["quantiles"].as_array().unwrap();
        assert!(q.windows(2).all(|w| number(&w[0], "/objective/mean") <= number(&w[1], "/objective/mean")), "{q:?}");
    }
    assert_eq!(array(&run, "state_1").0, [2, 5, 1]);
    assert!(run.stdout.contains("from x = 0") && run.stdout.contains("against V ="), "{}", run.stdout);
    for figure in ["paths.png", "densities.png"] {
        assert!(names(&run.out).contains(&figure.to_string()), "{figure}");
    }
    // mlmc removes the bias
    let report = rollout(&desk, &problem, &["--mlmc", "--mlmc-base-steps", "64", "--target-stderr", "4e-3"]).report();
    for start in starts(&report) {
        let (error, bias) = (number(start, "/multilevel/objective/standard_error"), number(start, "/multilevel/objective/bias"));
        assert!((number(start, "/multilevel/objective/mean") - 0.1366518).abs() < 4.0 * error + bias, "{start}");
    }
    // the two starts are parts of one checkpoint
    let uncut = rollout(&desk, &problem, &["--paths", "1280", "--steps", "100"]).report();
    rollout(&desk, &problem, &["--paths", "640", "--steps", "100", "--checkpoint", "state"]);
    let resumed = rollout(&desk, &problem, &["--paths", "1280", "--steps", "100", "--checkpoint", "state", "--resume"]).report();
    assert_eq!(number(&resumed, "/rollout/resumed_from"), 1280.0);
    for (a, b) in starts(&uncut).iter().zip(starts(&resumed)) {
        assert_eq!((&a["objective"], &a["quantiles"]), (&b["objective"], &b["quantiles"]));
    }
    // bounded and general cost, maximised sense
    let bounded = edit(
        &small("bounded_control.json"),
        json!({"grid": {"nodes": [121]}, "time_steps": 128, "scheme": {"route": "monotone"}}),
    );
    let report = rollout(&desk, &bounded, &["--paths", "8000"]).report();
    for start in starts(&report) {
        assert!(number(start, "/z_score").abs() < 5.0, "against the known value: {start}");
        assert!(number(start, "/exact_value") > 0.0);
    }
}

#[test]
fn exits_agree_with_the_value() {
    let desk = Desk::new();
    let grid = json!({"grid": {"nodes": [401]}, "time_steps": null});
    let flags = ["--horizon", "12", "--steps", "1200", "--paths", "4000"];
    // mean hitting time without control, and a controlled exit
    for name in ["double_well_hitting.json", "double_well_exit.json"] {
        let run = rollout(&desk, &edit(&small(name), grid.clone()), &flags);
        for start in starts(&run.report()) {
            assert!(number(start, "/z_score").abs() < 4.0, "{name}: {start}");
            let (chance, left) = (number(start, "/exit/chances/0/chance/mean"), number(start, "/exit/survival/mean"));
            assert!((chance + left - 1.0).abs() < 1e-12, "{start}");
            assert_eq!(start["exit"]["chances"][0]["set"], "target");
            assert!(number(start, "/exit/time/mean") > 0.05);
        }
        assert!(run.stdout.contains("mean exit time"), "{}", run.stdout);
        assert!(names(&run.out).contains(&"paths.png".to_string()));
    }
    // Brownian motion from x in (0, 1) leaves through 1 with probability x, after x(1 - x) on average
    let committor = json!({
        "kind": "controlled_diffusion", "name": "committor", "drift": ["0"], "controls": {"kind": "none"}, "running": 1,
        "terminal": "10*x0", "grid": {"lower": [0.0], "upper": [1.0], "nodes": [101]}, "faces": [["dirichlet", "dirichlet"]],
        "start": [[0.3], [0.5]]
    });
    let report = rollout(&desk, &committor, &["--horizon", "3", "--steps", "600", "--paths", "20000"]).report();
    for (start, x) in starts(&report).iter().zip([0.3, 0.5]) {
        let z = |at: &str, exact: f64| {
            (number(start, &format!("{at}/mean")) - exact) / number(start, &format!("{at}/standard_error"))
        };
        assert!(z("/exit/chances/1/chance", x).abs() < 4.0 && z("/exit/time", x * (1.0 - x)).abs() < 4.0, "{start}");
        assert!(start["exit"]["chances"][1]["set"].as_str().unwrap().contains("upper face"));
        assert!(z("/objective", x * (1.0 - x) + 10.0 * x).abs() < 4.0, "{start}");
    }
    // a discounted problem for ever: V at the end of the paths closes the sum
    let lq = edit(&small("lq_discounted_2d.json"), json!({"grid": {"nodes": [41, 41]}, "time_steps": null}));
    let report = rollout(&desk, &lq, &["--horizon", "2", "--steps", "400", "--paths", "4000"]).report();
    for start in starts(&report) {
        let (objective, error) = (number(start, "/objective/mean"), number(start, "/objective/standard_error"));
        assert!((objective - number(start, "/exact_value")).abs() < 4.0 * error + 0.01, "{start}");
    }
}

/// Brownian motion with these entries besides.
fn brownian(more: Value) -> Value {
    let plain = json!({
        "kind": "controlled_diffusion", "name": "brownian", "sense": "minimise", "drift": ["0"], "controls": {"kind": "none"},
        "running": 1, "grid": {"lower": [-1.0], "upper": [1.0], "nodes": [201]}, "start": [[0.0]]
    });
    edit(&plain, more)
}

const LONG: [&str; 4] = ["--horizon", "30", "--steps", "6000"];

#[test]
fn paths_are_reflected_where_the_equation_is() {
    let desk = Desk::new();
    // up to 1 from a mirror at -1, 4 - (1 + x)^2 on average, whatever the face that lies in the target; the free control is a line beyond the mirror if nothing turns back
    let (target, faces) = (json!({"level": "1 - x0"}), json!([["reflecting", "reflecting"]]));
    let plain = brownian(json!({"target": target, "faces": faces}));
    let free = edit(&plain, json!({"controls": {"kind": "free"}}));
    let double = edit(&plain, json!({"faces": [["reflecting", "dirichlet"]], "face_value": "0"}));
    for (problem, exact) in [(&plain, Some(3.0)), (&double, Some(3.0)), (&free, None)] {
        let report = rollout(&desk, problem, &[&LONG[..], &["--paths", "4000"]].concat()).report();
        let start = &starts(&report)[0];
        let exact = exact.unwrap_or_else(|| number(start, "/value"));
        let (found, error) = (number(start, "/objective/mean"), number(start, "/objective/standard_error"));
        assert!((found - exact).abs() < 4.0 * error + 0.01, "{start}");
        assert_eq!((number(start, "/outside_fraction/mean"), &report["rollout"]["notes"]), (0.0, &json!([])));
    }
    let heun = rollout(&desk, &plain, &[&LONG[..], &["--scheme", "heun", "--paths", "100"]].concat()).report();
    assert!(heun["rollout"]["notes"][0].as_str().unwrap().contains("folded back"), "{}", heun["rollout"]["notes"]);
    // without a mirror the paths leave the box, and it is counted although they end early
    let open = edit(&free, json!({"faces": [["extrapolated", "reflecting"]], "horizon": 4.0, "time_steps": 200}));
    let report = rollout(&desk, &open, &["--paths", "500"]).report();
    let start = &starts(&report)[0];
    let outside = number(start, "/outside_fraction/mean");
    assert!(outside > 1e-3 && (outside - number(start, "/simulation/outside_fraction")).abs() < 1e-12, "{start}");
}

#[test]
fn a_level_that_is_not_a_number_is_an_error() {
    let desk = Desk::new();
    let level = json!({"level": "1 - x0 + 0*sqrt(1.02 + x0)"});
    let faces = |lower: &str| json!([[lower, "reflecting"]]);
    // a little beyond the lower face the level is the root of a negative number
    let open = brownian(json!({"target": level, "faces": faces("dirichlet"), "face_value": "0"}));
    let run = desk.run("rollout", &open, &[&LONG[..], &["--paths", "500"]].concat());
    assert!(run.code != 0 && run.stderr.contains("NaN") && run.stderr.contains("set in which paths end"), "{}", run.stderr);
    // with a mirror there it never is
    let mirror = brownian(json!({"target": level, "faces": faces("reflecting")}));
    let report = rollout(&desk, &mirror, &[&LONG[..], &["--paths", "4000"]].concat()).report();
    let start = &starts(&report)[0];
    let (found, error) = (number(start, "/objective/mean"), number(start, "/objective/standard_error"));
    assert!((found - 3.0).abs() < 4.0 * error + 0.02, "{start}");
}

#[test]
fn rare_events_and_many_starts() {
    let desk = Desk::new();
    // beyond 1 in a time of 0.02: seven deviations; with a rule the first wave says 0 +- 0
    let rare = brownian(json!({"running": null, "terminal": "max(x0 - 1, 0)", "horizon": 0.02, "time_steps": 20,
        "grid": {"lower": [-1.5], "upper": [1.5], "nodes": [301]}, "sense": "maximise", "start": [[0.0], [0.9]]}));
    let report = rollout(&desk, &rare, &["--target-stderr", "1e-2", "--paths", "70000"]).report();
    let first = &starts(&report)[0];
    assert_eq!((number(first, "/simulation/paths"), &first["simulation"]["stopped_by"]), (70_000.0, &json!("paths")));
    assert_eq!(number(&starts(&report)[1], "/simulation/paths"), 32_768.0);
    let notes = report["rollout"]["notes"].as_array().unwrap();
    assert!(notes[0].as_str().unwrap().starts_with("from x = [0.0]: the objective is the same on all paths"), "{notes:?}");
    assert_eq!((notes.len(), &report["rollout"]["stop"]["target_reached"]), (1, &json!(false)));
    // paths that were not run cannot be saved
    let saved = rollout(&desk, &rare, &["--time-budget", "1e-9", "--save-paths", "33000"]);
    let report = saved.report();
    assert!(
        report["rollout"]["notes"].to_string().contains("32768 paths were saved of the 33000"),
        "{}",
        report["rollout"]["notes"]
    );
    assert_eq!(array(&saved, "path_0").0, [32_768]);
    // a start in the target has nothing left to chance
    let inside = brownian(json!({"target": {"level": "1 - x0", "value": "5"}, "start": [[1.0]]}));
    let run = rollout(&desk, &inside, &["--horizon", "3", "--steps", "30", "--target-stderr", "1e-3"]);
    assert!(run.stdout.contains("objective 5 ± 0, against V = 5, z = -"), "{}", run.stdout);
}

#[test]
fn a_multilevel_run_that_fails_leaves_the_plain_one() {
    let desk = Desk::new();
    // stable with 400 steps; one step of 1 throws the paths away
    let stiff = edit(&small("double_well_soc.json"), json!({"grid": {"nodes": [201]}, "drift": ["-40*x0*(x0**2 - 1)"]}));
    let flags = ["--steps", "800", "--paths", "500", "--mlmc", "--target-stderr", "0.05", "--mlmc-base-steps", "4"];
    let run = desk.run("rollout", &stiff, &flags);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("--mlmc-base-steps") && run.stderr.contains("4 steps"), "{}", run.stderr);
    let report = run.report();
    let start = &starts(&report)[0];
    assert!(number(start, "/objective/standard_error") > 0.0 && start["multilevel"].is_null(), "{start}");
    assert!(start["multilevel_failure"].as_str().unwrap().contains("no longer finite"), "{start}");
    assert_eq!(report["complete"], json!(false));
}

#[test]
fn what_a_rollout_cannot_do_is_said() {
    let desk = Desk::new();
    let hitting = edit(&small("double_well_hitting.json"), json!({"time_steps": null, "grid": {"nodes": [101]}}));
    refused(&desk, &hitting, &[], &["--horizon", "no horizon"]);
    let along = ["--horizon", "1"];
    refused(&desk, &hitting, &[&along[..], &["--mlmc", "--target-stderr", "0.1"]].concat(), &["--mlmc", "target"]);
    refused(&desk, &hitting, &[&along[..], &["--noise", "sobol"]].concat(), &["--noise", "philox"]);
    let put = edit(&small("american_put.json"), json!({"grid": {"nodes": [101]}}));
    refused(&desk, &put, &[], &["obstacle", "solve does"]);
    let well = edit(&small("double_well_soc.json"), json!({"grid": {"nodes": [101]}}));
    refused(&desk, &edit(&well, json!({"start": []})), &[], &["start", "at least one point"]);
    refused(&desk, &edit(&well, json!({"faces": [["periodic", "periodic"]]})), &[], &["faces", "periodic"]);
    for scheme in ["exponential", "ancestral", "ddim"] {
        refused(&desk, &well, &["--scheme", scheme], &["--scheme", scheme, "fine-tuning"]);
    }
    refused(&desk, &well, &["--time-grid", "log-snr"], &["--time-grid", "signal-to-noise"]);
    assert!(!Path::new(&desk.path().join("out")).exists());
    // what works with less than its order says so
    let multiplicative = edit(&well, json!({"diffusion": "1 + x0**2/10"}));
    let report = rollout(&desk, &multiplicative, &["--scheme", "srk15", "--steps", "200"]).report();
    assert!(report["rollout"]["notes"][0].as_str().unwrap().contains("additive noise"));
}

#[test]
fn old_numbers_of_the_report_are_numbers() {
    let report = rollout(&Desk::new(), &mixture(), &[]).report();
    assert_eq!(numbers(&report, "/rollout/objective_interval").len(), 2);
    assert_eq!(report["rollout"]["noise"], "keyed");
    let outside = number(&report, "/rollout/estimates/outside_fraction/mean");
    assert!((0.0..=1.0).contains(&outside));
    assert!((outside - number(&report, "/rollout/simulation/outside_fraction")).abs() < 1e-12);
}
