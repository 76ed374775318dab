//! A problem of the collection, shrunk, with a few of its values replaced: resolved, and solved where it is tiny.
#![no_main]

use hjbridge_fuzz::{problems, resolve, solve_if_tiny};
use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use std::sync::OnceLock;

/// A value for a place.
#[derive(Arbitrary, Debug)]
enum New {
    Null,
    Bool(bool),
    Small(i8),
    Whole(i64),
    Count(u8),
    /// Mantissa and decimal exponent.
    Power(i16, i16),
    Real(f64),
    Formula(Vec<u8>),
    Text(String),
    Empty(bool),
    /// The value that stands at another place.
    Elsewhere(u16),
}

/// What is done at a place.
#[derive(Arbitrary, Debug)]
enum Edit {
    Set(u16, New),
    Remove(u16),
    /// An entry once more.
    Repeat(u16),
}

#[derive(Arbitrary, Debug)]
struct Input {
    problem: u8,
    edits: Vec<Edit>,
}

/// Words of formulas.
const WORDS: [&str; 40] = [
    "x0", "x1", "t", "u0", "kappa", "0", "1", "2", "0.5", "1e300", "1e-300", "3.7", "pi", "+", "-", "*", "/", "**", "^", "(", ")", ",",
    "exp(", "log(", "sqrt(", "abs(", "min(", "max(", "sin(", "tanh(", "if(", "<", ">=", "==", "step(", "sign(", "atan2(", "norm(", "x2",
    " ",
];

/// The collection with grids that take milliseconds.
fn collection() -> &'static [Value] {
    static ALL: OnceLock<Vec<Value>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut paths: Vec<_> = std::fs::read_dir(problems()).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        let mut all = Vec::new();
        for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "json")) {
            let Ok(mut problem) = serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()) else { continue };
            if let Some(nodes) = problem.pointer_mut("/grid/nodes").and_then(Value::as_array_mut) {
                let small = if nodes.len() == 1 { 33 } else { 9 };
                nodes.iter_mut().for_each(|n| *n = json!(small));
            }
            problem["time_steps"] = json!(4);
            all.push(problem);
        }
        all
    })
}

fn value(new: &New, other: impl FnOnce(u16) -> Value) -> Value {
    match new {
        New::Null => Value::Null,
        New::Bool(b) => json!(b),
        New::Small(i) => json!(i),
        New::Whole(i) => json!(i),
        New::Count(n) => json!(n),
        New::Power(m, e) => json!(format!("{m}e{e}").parse::<f64>().unwrap_or(0.0)),
        New::Real(x) => json!(x),
        New::Formula(words) => json!(words.iter().map(|w| WORDS[usize::from(*w) % WORDS.len()]).collect::<String>()),
        New::Text(text) => json!(text),
        New::Empty(list) => if *list { json!([]) } else { json!({}) },
        New::Elsewhere(place) => other(*place),
    }
}

fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_string());
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| places(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

fn edit(problem: &mut Value, edit: &Edit) {
    let mut all = Vec::new();
    places(problem, "", &mut all);
    let pick = |n: u16| all[usize::from(n) % all.len()].clone();
    match edit {
        Edit::Set(place, new) => {
            let new = value(new, |n| problem.pointer(&pick(n)).cloned().unwrap_or_default());
            if let Some(old) = problem.pointer_mut(&pick(*place)) {
                *old = new;
            }
        }
        Edit::Remove(place) | Edit::Repeat(place) => {
            let place = pick(*place);
            let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
            match (problem.pointer_mut(parent), edit) {
                (Some(Value::Object(members)), Edit::Remove(_)) => drop(members.remove(key)),
                (Some(Value::Array(items)), Edit::Remove(_)) => drop(items.remove(key.parse().unwrap_or(0))),
                (Some(Value::Array(items)), Edit::Repeat(_)) => items.push(items[0].clone()),
                _ => {}
            }
        }
    }
}

fn input(bytes: &[u8]) -> Result<Input> {
    Input::arbitrary_take_rest(Unstructured::new(bytes))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = input(bytes) else { return };
    let all = collection();
    let mut problem = all[usize::from(input.problem) % all.len()].clone();
    for one in input.edits.iter().take(6) {
        edit(&mut problem, one);
    }
    if let Some(resolved) = resolve(&problem.to_string()) {
        solve_if_tiny(&resolved);
    }
});
