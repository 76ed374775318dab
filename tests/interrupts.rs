//! Runs that their user ends: what was finished is kept, and what was cut is not taken for finished.

use hjbridge::bridge::{bridge, bridge_refined};
use hjbridge::model::{PointwiseFeedback, ZeroFeedback};
use hjbridge::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemFile};
use hjbridge::rollout::ranks::OneRank;
use hjbridge::run::{
    CertifyOptions, Policy, Progress, RunError, Silent, certify, certify_controlled, solve_controlled, sweep, sweep_problems,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Wants the end when a stage of this name begins, for the `left`-th time.
struct Until {
    stage: &'static str,
    left: AtomicUsize,
    flag: AtomicBool,
}

impl Until {
    fn new(stage: &'static str, count: usize) -> Self {
        Until { stage, left: AtomicUsize::new(count), flag: AtomicBool::new(false) }
    }
}

impl Progress for Until {
    fn begin(&self, what: &str, _total: u64) {
        if what == self.stage && self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
    fn advance(&self, _done: u64) {}
    fn interrupt(&self) -> Option<&AtomicBool> {
        Some(&self.flag)
    }
    fn end(&self) {}
}

fn line(changes: Value) -> Problem {
    let mut problem = json!({
        "name": "lq", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "gaussian", "mean": [0.7], "covariance": [[0.5]]},
        "reward": {"kind": "quadratic", "Q": [[1.3]], "q": [0.9]}, "kl_weight": 0.6, "initial_law": "noised_prior",
        "grid": {"lower": [-6.0], "upper": [6.0], "nodes": [101]}, "time_steps": 32, "paths": 500,
        "compare_on": {"lower": [-2.0], "upper": [2.0]}
    });
    for (key, value) in changes.as_object().unwrap() {
        problem[key] = value.clone();
    }
    let file = ProblemFile::parse(&problem.to_string(), Path::new("problem.json")).unwrap();
    Problem::resolve(file, Path::new(".")).unwrap()
}

fn controlled(name: &str) -> ControlledProblem {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems").join(name);
    match AnyProblemFile::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap() {
        AnyProblemFile::Controlled(file) => ControlledProblem::resolve(*file).unwrap(),
        AnyProblemFile::FineTuning(_) => panic!("{name} is a fine-tuning problem"),
    }
}

#[test]
fn a_bridge_keeps_each_n_that_is_whole() {
    let problem = line(json!({}));
    for stage in ["PI-FT N = 16", "own errors, N = 16", "loss N = 16", "law N = 16"] {
        let run = bridge(&problem, &[8, 16], &Until::new(stage, 1)).unwrap();
        assert!(run.failure.is_some(), "{stage}");
        let r = &run.report;
        assert_eq!((r.steps.as_slice(), run.sweeps.len()), (&[8][..], 1), "{stage}");
        let law = r.final_law.as_ref().unwrap();
        let leading = r.leading_error.as_ref().unwrap();
        for (name, entries) in [
            ("value_error", r.value_error.len()),
            ("control_error", r.control_error.len()),
            ("own_errors", r.own_errors.len()),
            ("suboptimality", r.suboptimality.len()),
            ("law", law.wasserstein.len()),
            ("leading", leading.value_predicted.len()),
        ] {
            assert_eq!(entries, 1, "{stage}: {name}");
        }
        assert!(r.suboptimality_missing.is_none() && r.final_law_missing.is_none(), "{stage}");
    }
}

#[test]
fn a_refinement_that_is_cut_leaves_the_run_before_it() {
    // 33 nodes are too few for N = 64
    let problem = line(json!({"grid": {"lower": [-6.0], "upper": [6.0], "nodes": [33]},
        "prior": {"kind": "mixture", "weights": [0.5, 0.5], "means": [[-1.0], [1.0]], "covariances": [[[0.2]], [[0.2]]]}}));
    let (refined, run) = bridge_refined(&problem, &[64], &Until::new("PI-FT N = 64", 2)).unwrap();
    assert!(matches!(run.failure, Some(RunError::Cancelled)));
    assert_eq!((run.report.steps.as_slice(), refined.grid.len()), (&[64][..], 33));
    let notes = run.report.own_errors_notes.join("; ");
    assert!(notes.contains("not refined for the") && notes.contains("interrupted"), "{notes}");
}

#[test]
fn a_certificate_keeps_its_finished_parts() {
    let zero = ZeroFeedback { dim: 1, control_dim: 1 };
    let options = CertifyOptions { paths: Some(512), steps: Some(16), levels: 32, ..CertifyOptions::default() };
    // before the first level there is nothing to keep
    let early = certify(&line(json!({})), &Policy::Feedback(&zero), &options, &Until::new("HJB", 1));
    assert!(early.is_err_and(|e| e.to_string().contains("interrupted")));
    let problem = line(json!({"scheme": {"route": "monotone"}}));
    let stopped = |stage| certify(&problem, &Policy::Feedback(&zero), &options, &Until::new(stage, 1)).unwrap();
    for (stage, missing, computed) in [("HJB", 8, false), ("law of the policy", 3, true), ("paths", 2, true)] {
        let run = stopped(stage);
        let (r, v) = (&run.report, &run.report.starts[0]);
        assert!(run.failure.is_some(), "{stage}");
        assert_eq!(r.missing.len(), missing, "{stage}: {:?}", r.missing);
        assert_eq!((v.computed.is_some(), v.optimum.is_some(), v.loss.is_some()), (computed, computed, computed), "{stage}");
        assert!(v.simulated.is_none() && v.reached.is_some() == computed, "{stage}");
        assert_eq!((run.density.is_some(), run.gap.is_empty()), (stage == "paths", !computed), "{stage}");
    }
    let whole = stopped("nothing of this name");
    assert!(whole.failure.is_none() && whole.report.missing.is_empty());
    let bounded = controlled("bounded_control.json");
    let (dim, control_dim) = (bounded.dim(), 1);
    let zero = ZeroFeedback { dim, control_dim };
    let run = certify_controlled(&bounded, &Policy::Feedback(&zero), &options, &Until::new("paths", 1)).unwrap();
    assert!(run.failure.is_some() && run.report.missing.contains(&"J along paths"), "{:?}", run.report.missing);
    assert!(run.report.starts.iter().all(|v| v.computed.is_some() && v.optimum.is_some() && v.simulated.is_none()));
}

#[test]
fn a_failure_of_the_simulation_leaves_the_grid_s_part() {
    let text = json!({
        "kind": "controlled_diffusion", "name": "square", "horizon": 1.0, "sense": "minimise", "drift": ["0"],
        "control_weight": 1, "terminal": "x0**2", "start": [[0.0]],
        "grid": {"lower": [-2.0], "upper": [2.0], "nodes": [65]}, "time_steps": 32,
        "compare_on": {"lower": [-1.0], "upper": [1.0]}
    });
    let AnyProblemFile::Controlled(file) = AnyProblemFile::parse(&text.to_string(), Path::new("p.json")).unwrap() else {
        panic!("another kind")
    };
    let problem = ControlledProblem::resolve(*file).unwrap();
    let options = CertifyOptions { paths: Some(4096), steps: Some(16), levels: 32, ..CertifyOptions::default() };
    // no number beyond the grid, where paths come to
    let walled = PointwiseFeedback::new(1, 1, |_, y: &[f64], v: &mut [f64]| {
        v[0] = if y[0].abs() <= 2.0 { -0.5 * y[0] } else { f64::NAN };
    });
    let run = certify_controlled(&problem, &Policy::Feedback(&walled), &options, &Silent).unwrap();
    assert!(matches!(run.failure, Some(RunError::Rollout(_))), "{:?}", run.failure);
    let (r, v) = (&run.report, &run.report.starts[0]);
    assert!(v.computed.is_some() && v.loss.is_some() && v.simulated.is_none() && r.missing.is_empty(), "{:?}", r.notes);
}

#[test]
fn a_sweep_has_no_row_that_was_cut() {
    let problem = line(json!({}));
    let problems = sweep_problems(&problem, &[0.5, 0.8], Path::new(".")).unwrap();
    let stop = Until::new("sweep", 1);
    let run = sweep(&problems, None, &OneRank, &stop).unwrap();
    assert!(run.report.rows.is_empty() && run.report.failures.is_empty() && run.report.pift_curve.is_empty());
}

#[test]
fn a_stationary_linear_equation_can_be_ended() {
    let problem = controlled("double_well_hitting.json");
    let run = solve_controlled(&problem, 8, &Until::new("HJB", 1));
    let said = run.map(|r| r.failure.map(|e| e.to_string())).map_err(|e| e.to_string());
    assert!(matches!(&said, Err(e) | Ok(Some(e)) if e.contains("interrupted")), "{said:?}");
}
