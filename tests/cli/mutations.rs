//! Damaged problem files: parsing, resolving and running never panics, and no NaN comes out of a run that claims success.

use crate::desk::mixture;
use hjbridge::problem::{Problem, ProblemFile};
use hjbridge::run::{RolloutOptions, Silent, pift, rollout, solve};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;

/// Small enough that thousands of variants run in seconds.
fn tiny() -> Value {
    crate::desk::edit(
        &mixture(),
        json!({"grid": {"nodes": [21]}, "time_steps": 4, "paths": 8, "bridge_steps": [2, 4], "seed": 3, "scheme": {"space": "hybrid"},
               "pift": {"inner": "auto", "tolerance": 1e-8, "quadrature_nodes": 8}}),
    )
}

/// Parse and resolve.
fn read(text: &str) -> Option<Problem> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let outcome = ProblemFile::parse(text, Path::new("p.json")).and_then(|f| Problem::resolve(f, directory));
    match outcome {
        Ok(problem) => Some(problem),
        Err(e) => {
            assert!(!e.to_string().is_empty());
            None
        }
    }
}

/// Run what is small enough; a run that claims success has finite numbers.
fn run(problem: &Problem, what: &str) {
    let f = &problem.file;
    if problem.grid.len() > 500 || f.time_steps > 100 || f.paths > 1000 || f.bridge_steps.iter().any(|&n| n > 100) {
        return;
    }
    // a reward of size 1e300 may overflow into a typed error, never into a number that is not one
    let finite = |slices: &[Vec<f64>]| slices.iter().flatten().all(|v| v.is_finite());
    if let Ok(done) = solve(problem, f.time_steps, &Silent) {
        let levels = done.solution.times().len();
        assert!((0..levels).all(|k| done.solution.value(k).iter().all(|v| v.is_finite())), "solve: {what}");
        assert!(finite(&done.controls), "solve, control: {what}");
        if done.failure.is_none()
            && let Ok(r) = rollout(problem, &done, &RolloutOptions { threads: Some(1), ..RolloutOptions::default() }, &Silent)
        {
            let objective = r.report.estimates.objective;
            assert!(objective.mean.is_finite() && objective.standard_error.is_finite(), "rollout: {what}");
        }
    }
    if let Ok(done) = pift(problem, f.time_steps, &Silent) {
        assert!(finite(&done.values) && finite(&done.controls), "pift: {what}");
    }
}

/// Every path to a value in a document.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_string());
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| pointers(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| pointers(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

#[test]
fn any_value_replaced_by_any_other() {
    let problem = tiny();
    let mut places = Vec::new();
    pointers(&problem, "", &mut places);
    assert!(places.len() > 60);
    let strange = [
        json!(null),
        json!(true),
        json!("x"),
        json!(""),
        json!(-1),
        json!(0),
        json!(0.0),
        json!(1),
        json!(3),
        json!(-0.5),
        json!(1e-300),
        json!(1e300),
        json!(-1e300),
        json!(5e-324),
        json!(f64::MAX),
        json!(u64::MAX),
        json!(i64::MIN),
        json!([]),
        json!({}),
        json!([[]]),
        json!([1.0, 2.0]),
        json!([[1.0, 0.0], [0.0, 1.0]]),
        json!({"kind": "linear"}),
        json!({"kind": "formula", "beta": "1/(t-1)"}),
        json!({"kind": "formula", "beta": "1e300*exp(t)"}),
    ];
    let (mut good, mut bad) = (0, 0);
    for place in &places {
        for value in &strange {
            let mut changed = problem.clone();
            *changed.pointer_mut(place).unwrap() = value.clone();
            match read(&changed.to_string()) {
                Some(resolved) => {
                    good += 1;
                    run(&resolved, &format!("{place} = {value}"));
                }
                None => bad += 1,
            }
        }
    }
    assert!(good > 50 && bad > 500, "{good} variants are valid, {bad} are not");
}

#[test]
fn any_member_left_out_or_given_twice() {
    let problem = tiny();
    let mut places = Vec::new();
    pointers(&problem, "", &mut places);
    for place in places {
        let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
        let mut changed = problem.clone();
        match changed.pointer_mut(parent) {
            Some(Value::Object(members)) if !key.is_empty() => drop(members.remove(key)),
            Some(Value::Array(items)) => drop(items.remove(key.parse().unwrap())),
            _ => continue,
        }
        if let Some(resolved) = read(&changed.to_string()) {
            run(&resolved, &format!("without {place}"));
        }
        // the same entry twice in a list
        let mut changed = problem.clone();
        if let Some(Value::Array(items)) = changed.pointer_mut(parent) {
            items.push(items[0].clone());
            read(&changed.to_string());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_byte_changed(place in 0..10_000_usize, byte in any::<u8>(), kind in 0..3) {
        let mut text = tiny().to_string().into_bytes();
        let place = place % text.len();
        match kind {
            0 => text[place] = byte,
            1 => text.insert(place, byte),
            _ => drop(text.remove(place)),
        }
        // what is not UTF-8 is refused when the file is read
        if let Ok(text) = String::from_utf8(text)
            && let Some(resolved) = read(&text) {
            run(&resolved, &text);
        }
    }

    #[test]
    fn any_digit_changed(place in 0..10_000_usize, digit in prop::sample::select(b"0123456789-.e".to_vec())) {
        let mut text = tiny().to_string().into_bytes();
        let digits: Vec<usize> = (0..text.len()).filter(|&i| text[i].is_ascii_digit()).collect();
        text[digits[place % digits.len()]] = digit;
        let text = String::from_utf8(text).unwrap();
        if let Some(resolved) = read(&text) {
            run(&resolved, &text);
        }
    }
}
