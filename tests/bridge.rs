//! The bridge beyond one kind of chain on a line: time grids, variances, schedules, the plane, space, the objective in continuous time.

use hjbridge::bridge::{BridgeReport, bridge, octave_orders};
use hjbridge::model::exact::{DiscreteLq, DiscreteStep, closed_form};
use hjbridge::pift::{Ddpm, DdpmParams};
use hjbridge::problem::spec::RouteSpec;
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::{Silent, slice_errors, solve_by_route};
use serde_json::{Value, json};
use std::path::Path;

/// Replace the members of `problem` by those of `changes`, one level deep.
fn resolved(mut problem: Value, changes: Value) -> Problem {
    for (key, value) in changes.as_object().unwrap() {
        problem[key] = value.clone();
    }
    let file = ProblemFile::parse(&problem.to_string(), Path::new("problem.json")).unwrap();
    Problem::resolve(file, Path::new(".")).unwrap()
}

fn report(problem: &Problem, steps: &[usize]) -> BridgeReport {
    let run = bridge(problem, steps, &Silent).unwrap();
    assert!(run.failure.is_none(), "{:?}", run.failure);
    assert_eq!(run.report.steps, steps);
    run.report
}

fn line(changes: Value) -> Problem {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems/mixture_1d.json");
    let problem: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut coarse = problem.clone();
    coarse["grid"]["nodes"] = json!([301]);
    coarse["time_steps"] = json!(64);
    resolved(coarse, changes)
}

fn plane(changes: Value) -> Problem {
    let problem = json!({
        "name": "plane", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "mixture", "weights": [0.4, 0.6], "means": [[-1.2, 0.3], [0.8, -0.5]],
                  "covariances": [[[0.4, 0.1], [0.1, 0.5]], [[0.6, -0.1], [-0.1, 0.4]]]},
        "reward": {"kind": "quadratic", "Q": [[0.6, 0.1], [0.1, 0.4]], "q": [0.5, -0.3]}, "kl_weight": 0.7,
        "grid": {"lower": [-6, -6], "upper": [6, 6], "nodes": [73, 73]}, "time_steps": 32,
        "compare_on": {"lower": [-2, -2], "upper": [2, 2]}});
    resolved(problem, changes)
}

/// Order of the last octave.
fn last(steps: &[usize], errors: &[f64]) -> f64 {
    octave_orders(steps, errors).last().copied().flatten().unwrap()
}

#[test]
fn every_time_grid_variance_alpha_and_schedule_has_order_one() {
    let cases = [
        json!({"pift": {"time_grid": "log_snr"}}),
        json!({"pift": {"time_grid": "quadratic"}}),
        json!({"pift": {"variance": "over_alpha", "time_grid": "quadratic"}}),
        json!({"pift": {"variance": "gaussian_posterior"}}),
        json!({"pift": {"alpha": "linear", "time_grid": "log_snr"}}),
        json!({"schedule": {"kind": "cosine", "b_max": 10.0}}),
        json!({"schedule": {"kind": "cosine", "b_max": 10.0}, "pift": {"time_grid": "log_snr"}}),
    ];
    for case in cases {
        let r = report(&line(case.clone()), &[64, 128]);
        let law = r.final_law.as_ref().unwrap_or_else(|| panic!("{case}: {:?}", r.final_law_missing));
        // the control converges more slowly at first, where the score turns fast next to T
        for (what, errors, low, high) in [
            ("V", &r.value_error, 0.9, 1.15),
            ("U", &r.control_error, 0.7, 1.15),
            ("W1", &law.wasserstein, 0.85, 1.15),
            ("KL", &law.relative_entropy, 1.75, 2.25),
            ("J", &r.suboptimality, 1.8, 2.2),
        ] {
            let order = last(&r.steps, errors);
            assert!((low..high).contains(&order), "{case} {what}: order {order} of {errors:?}");
        }
        assert!(law.mass_defect.iter().all(|m| *m < 1e-6));
    }
}

#[test]
fn the_posterior_variance_converges_in_value_and_law_alone() {
    let r = report(&line(json!({"pift": {"variance": "posterior"}})), &[64, 128, 256]);
    let law = r.final_law.as_ref().unwrap();
    // sig^2/b h is 1 - 1/j at the j-th step from the end, a sum of 1/j over the steps: h log N, below order one at finite N
    for errors in [&r.value_error, &law.wasserstein] {
        let order = last(&r.steps, errors);
        assert!((0.5..1.0).contains(&order), "{order} of {errors:?}");
    }
    assert!(last(&r.steps, &r.control_error) < 0.2, "{:?}", r.control_error);
}

#[test]
fn the_policy_held_in_continuous_time_loses_what_the_moments_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems/lq_1d.json");
    let problem: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let problem = resolved(problem, json!({}));
    let steps = [32, 64, 128];
    let r = report(&problem, &steps);
    let best = r.objective_reference.unwrap();
    for (n, lost) in steps.iter().zip(&r.suboptimality) {
        let exact = best - held_objective(&problem, *n);
        // time h = 2/N, space (0.035)^2 of it
        assert!((lost / exact - 1.0).abs() < 2.0 / *n as f64 + 2e-3, "N = {n}: {lost:e} against {exact:e}");
    }
    assert!((last(&steps, &r.suboptimality) - 2.0).abs() < 0.1, "{:?}", r.suboptimality);
    for (lost, in_sde) in r.suboptimality.iter().zip(&r.objective_in_sde) {
        assert_eq!(best - lost, *in_sde);
    }
}

/// J of the optimal policy of the chain held piecewise constant: mean and variance of the linear equation by the classical
/// Runge-Kutta method.
fn held_objective(problem: &Problem, steps: usize) -> f64 {
    let model = &problem.model;
    let chain = Ddpm::new(model, DdpmParams { steps, ..Default::default() }).unwrap();
    let discrete: Vec<DiscreteStep> = (0..steps)
        .map(|k| DiscreteStep {
            t: chain.times()[k],
            a: chain.alphas()[k],
            variance: chain.variances()[k],
            beta: chain.kl_weights()[k],
        })
        .collect();
    let exact = DiscreteLq::new(model, &discrete, false).unwrap();
    // score -(y - m)/P: its slope and constant
    let score = |t: f64| {
        let law = model.noised_prior(t);
        let p = law.covariance()[0][0];
        (-1.0 / p, law.mean()[0] / p)
    };
    // mean 0, variance 1, cost 0
    let mut y = [0.0, 1.0, 0.0];
    for (k, step) in discrete.iter().enumerate() {
        let factor = step.a.sqrt() / (1.0 - step.a);
        let (s, (gain, offset)) = (score(step.t), &exact.shifts[k]);
        let u = (s.0 + factor * gain[(0, 0)], s.1 + factor * offset[0]);
        let slope = |t: f64, y: [f64; 3]| {
            let (b, beta, s) = (model.schedule().rate(t), model.kl_weight().at(t), score(t));
            let (da, dc) = (u.0 - s.0, u.1 - s.1);
            let square = da * da * y[1] + (da * y[0] + dc).powi(2);
            [b * (0.5 * y[0] + u.0 * y[0] + u.1), b * ((1.0 + 2.0 * u.0) * y[1] + 1.0), 0.5 * beta * b * square]
        };
        const PARTS: usize = 32;
        let h = (chain.times()[k + 1] - step.t) / PARTS as f64;
        for i in 0..PARTS {
            let t = step.t + i as f64 * h;
            let at = |c: f64, k: [f64; 3]| [0, 1, 2].map(|i| y[i] + c * h * k[i]);
            let k1 = slope(t, y);
            let k2 = slope(t + 0.5 * h, at(0.5, k1));
            let k3 = slope(t + 0.5 * h, at(0.5, k2));
            let k4 = slope(t + h, at(1.0, k3));
            y = [0, 1, 2].map(|i| y[i] + h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]));
        }
    }
    // r = -1.3 x^2/2 + 0.9 x
    -0.65 * (y[1] + y[0] * y[0]) + 0.9 * y[0] - y[2]
}

#[test]
fn a_reference_without_closed_form_in_the_plane() {
    // piecewise linear weight, equal to a constant up to 1e-13: the closed form is not recognised, but known
    let nearly = json!({"kind": "table", "t": [0.0, 2.0], "beta": [0.7, 0.7 + 1e-13]});
    let steps = [8, 16, 32];
    let exact = report(&plane(json!({})), &steps);
    let hjb = report(&plane(json!({"kl_weight": nearly})), &steps);
    assert_eq!((hjb.reference, exact.reference), ("hjb", "closed_form"));
    assert!(hjb.reference_description.contains("high_order"), "{}", hjb.reference_description);
    let (v, u) = hjb.against_hjb.hjb_error.unwrap();
    assert!(v < 1e-3 && u < 2e-2, "{v:e} {u:e}");
    for i in 0..3 {
        // the reference's certificate bounds the difference it makes
        assert!((hjb.value_error[i] - exact.value_error[i]).abs() < v);
        assert!((hjb.control_error[i] - exact.control_error[i]).abs() < u);
        assert!((hjb.suboptimality[i] / exact.suboptimality[i] - 1.0).abs() < 0.02);
    }
    let (a, b) = (hjb.final_law.unwrap(), exact.final_law.unwrap());
    assert_eq!((a.reference, b.reference, a.directions), ("fokker_planck", "closed_form", 32));
    // Fokker-Planck errs by (0.2)^2/12 of the law's curvature, 1e-3 in sliced W1
    for (p, q) in a.wasserstein.iter().zip(&b.wasserstein) {
        assert!((p - q).abs() < 2e-3, "{p} {q}");
    }
    for (errors, order) in [(&b.wasserstein, 1.0), (&b.mean_error, 1.0), (&b.covariance_error, 1.0), (&b.relative_entropy, 2.0)] {
        assert!((last(&steps, errors) - order).abs() < 0.15 * order, "{errors:?}");
    }
    // Richardson's step where the monotone route is asked for: V at t = 0 is as good
    let monotone = report(&plane(json!({"kl_weight": nearly, "scheme": {"route": "monotone"}})), &[8, 16]);
    assert!(monotone.reference_description.contains("Richardson"), "{}", monotone.reference_description);
    assert!((monotone.richardson_error[0] / exact.richardson_error[0] - 1.0).abs() < 0.2);
}

/// beta(t), not constant, and a Gaussian law: the closed form is that of the Riccati equation.
fn varying(prior: Value) -> Problem {
    plane(json!({
        "prior": prior, "kl_weight": {"kind": "formula", "beta": "0.5 + 0.3*sin(2*t)"},
        "reward": {"kind": "quadratic", "Q": [[0.9, -0.2], [-0.2, 0.4]], "q": [0.5, 1.1], "c": 0.2}
    }))
}

#[test]
fn a_weight_that_varies_in_the_plane_against_the_riccati_equation() {
    let (mean, covariance) = (json!([0.8, -0.4]), json!([[0.7, 0.3], [0.3, 1.1]]));
    let known = varying(json!({"kind": "gaussian", "mean": mean, "covariance": covariance}));
    // the same law as a mixture of itself, of which the closed form is not known
    let twice = json!({"kind": "mixture", "weights": [0.4, 0.6], "means": [mean, mean], "covariances": [covariance, covariance]});
    let hidden = varying(twice);
    let steps = [16, 32];
    let (exact, hjb) = (report(&known, &steps), report(&hidden, &steps));
    assert_eq!((exact.reference, hjb.reference), ("closed_form", "hjb"), "{}", hjb.reference_description);
    let (v, u) = hjb.against_hjb.hjb_error.unwrap();
    assert!(v < 1e-3 && u < 2e-2, "{v:e} {u:e}");
    for i in 0..steps.len() {
        assert!((hjb.value_error[i] - exact.value_error[i]).abs() < v);
        assert!((hjb.control_error[i] - exact.control_error[i]).abs() < u);
        assert!((hjb.suboptimality[i] / exact.suboptimality[i] - 1.0).abs() < 0.02);
    }
    let order = last(&steps, &exact.value_error);
    assert!((0.85..1.15).contains(&order), "{order} of {:?}", exact.value_error);
    // V and U themselves, by the same route
    let mut asked = hidden;
    asked.file.scheme.route = Some(RouteSpec::HighOrder);
    let run = solve_by_route(&asked, 32, &Silent).unwrap();
    assert!(run.failure.is_none() && run.exact.is_none());
    let claimed = run.report.route.certificate.as_ref().and_then(|c| c.richardson.as_ref()).unwrap();
    let riccati = closed_form(&known.model).unwrap().unwrap();
    let times = run.solution.times();
    let slice = |k: usize| (times[k], run.solution.value(k), run.controls[k].as_slice());
    for e in slice_errors(&known, riccati.as_ref(), times.len(), slice).unwrap() {
        assert!(e.value.0 <= claimed.value_error + 1e-9, "V at t = {}: {:e} of {:e}", e.t, e.value.0, claimed.value_error);
        assert!(
            e.control.0 <= claimed.control_error + 1e-9,
            "U at t = {}: {:e} of {:e}",
            e.t,
            e.control.0,
            claimed.control_error
        );
    }
}

#[test]
fn space_has_order_one() {
    let problem = json!({
        "name": "space", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "gaussian", "mean": [0.5, -0.3, 0.1], "covariance": [[0.7, 0.2, 0.0], [0.2, 0.9, 0.1], [0.0, 0.1, 0.6]]},
        "reward": {"kind": "quadratic", "Q": [[0.6, 0.1, 0.0], [0.1, 0.4, 0.0], [0.0, 0.0, 0.5]], "q": [0.5, -0.3, 0.2]}, "kl_weight": 0.7,
        "grid": {"lower": [-5.5, -5.5, -5.5], "upper": [5.5, 5.5, 5.5], "nodes": [23, 23, 23]}, "time_steps": 8,
        "compare_on": {"lower": [-1.5, -1.5, -1.5], "upper": [1.5, 1.5, 1.5]}});
    let r = report(&resolved(problem, json!({})), &[4, 8, 16]);
    assert_eq!(r.reference, "closed_form");
    let law = r.final_law.unwrap();
    assert_eq!((law.reference, law.wasserstein.len(), law.relative_entropy.len(), law.directions), ("closed_form", 0, 0, 0));
    assert_eq!((law.mean[1].len(), law.covariance[1].len()), (3, 3));
    for (errors, low) in [
        (&r.value_error, 0.8),
        (&r.control_error, 0.6),
        (&law.mean_error, 0.8),
        (&law.covariance_error, 0.8),
        (&r.suboptimality, 1.7),
    ] {
        let order = last(&r.steps, errors);
        assert!((low..low + 0.6).contains(&order), "{order} of {errors:?}");
    }
}

#[test]
fn the_plane_does_not_depend_on_the_number_of_threads() {
    let problem = plane(json!({"grid": {"lower": [-6, -6], "upper": [6, 6], "nodes": [33, 33]}}));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let r = pool.install(|| report(&problem, &[8]));
        let law = r.final_law.unwrap();
        (r.value_error, r.suboptimality, law.wasserstein, law.relative_entropy, law.mean)
    };
    assert_eq!(run(1), run(3));
}
