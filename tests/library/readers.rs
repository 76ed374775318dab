//! Whatever is in a problem file, a data file, a network, a formula or a checkpoint: it is read, or refused with a message.
//!
//! The fuzz targets in `fuzz/` search further; what they found is here as cases.

use hjbridge::model::network::{Network, NetworkParams};
use hjbridge::model::{Formula, PointBlock};
use hjbridge::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemError, ProblemFile, SampledProblem};
use hjbridge::report::NpzFile;
use hjbridge::rollout::RunState;
use hjbridge::rollout::reduce::SummaryReducer;
use hjbridge::run::{Policy, PolicySite};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems")
}

/// The problems of the collection on grids of milliseconds.
fn collection() -> &'static [Value] {
    static ALL: OnceLock<Vec<Value>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut paths: Vec<_> = std::fs::read_dir(root()).unwrap().map(|e| e.unwrap().path()).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
        paths.sort();
        let mut all: Vec<Value> =
            paths.iter().map(|p| serde_json::from_str(&std::fs::read_to_string(p).unwrap()).unwrap()).collect();
        for problem in &mut all {
            if let Some(nodes) = problem.pointer_mut("/grid/nodes").and_then(Value::as_array_mut) {
                let small = if nodes.len() == 1 { 65 } else { 17 };
                nodes.iter_mut().for_each(|n| *n = json!(small));
            }
        }
        all
    })
}

/// Whether the text is a problem; if not, the error has words.
fn read(text: &str) -> bool {
    let outcome = AnyProblemFile::parse(text, Path::new("p.json")).and_then(|file| match file {
        AnyProblemFile::FineTuning(f) if f.grid.is_absent() => SampledProblem::resolve(*f, &root()).map(|_| ()),
        AnyProblemFile::FineTuning(f) => Problem::resolve(*f, &root()).map(|_| ()),
        AnyProblemFile::Controlled(f) => ControlledProblem::resolve(*f).map(|_| ()),
    });
    let Err(e) = outcome else { return true };
    assert!(!e.to_string().is_empty());
    false
}

fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_string());
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| places(v, &format!("{at}/{k}"), out)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, v)| places(v, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

/// Values that somebody might write.
fn strange() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec![
            json!(null),
            json!(true),
            json!(""),
            json!([]),
            json!({}),
            json!(0),
            json!(-0.0),
            json!(1),
            json!(-1),
            json!(1e308),
            json!(-1e308),
            json!(1e-308),
            json!(5e-324),
            json!(1e18),
            json!(u64::MAX),
            json!(i64::MIN),
            json!("x0/0"),
            json!("1e308*x0*x0"),
            json!("../problems"),
            json!("/dev/zero"),
            json!([[1.0, 0.0], [0.0, 1.0]]),
            json!({"kind": "table", "t": [0.0, 1.0], "beta": [1.0, 1e-300]}),
        ]),
        any::<f64>().prop_map(|x| json!(x)),
        (-1000_i64..1000).prop_map(|x| json!(x)),
        (-100_i32..100).prop_map(|x| json!(f64::from(x) / 8.0)),
        "\\PC{0,12}".prop_map(|x| json!(x)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, rng_seed: RngSeed::Fixed(241_218_164), ..ProptestConfig::default() })]

    #[test]
    fn a_problem_of_the_collection_with_some_values_replaced(
        which in 0..100_usize, edits in prop::collection::vec((0..1000_usize, strange(), any::<bool>()), 1..4)
    ) {
        let all = collection();
        let mut problem = all[which % all.len()].clone();
        for (place, value, remove) in edits {
            let mut known = Vec::new();
            places(&problem, "", &mut known);
            let place = &known[place % known.len()];
            let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
            match problem.pointer_mut(parent) {
                Some(Value::Object(members)) if remove => drop(members.remove(key)),
                _ => *problem.pointer_mut(place).unwrap() = value,
            }
        }
        read(&problem.to_string());
    }

    #[test]
    fn any_text_as_a_formula(words in prop::collection::vec(prop::sample::select(vec![
        "x0", "t", "1", "2.5", "1e308", ".", "+", "-", "*", "/", "**", "^", "(", ")", ",", "exp(", "log(", "sqrt(", "max(", "if(", "<",
        "==", "pi", " ", "e", "€", "y"]), 0..24)) {
        let text = words.concat();
        match Formula::parse(&text, &["t", "x0"]) {
            Err(e) => prop_assert!(!e.to_string().is_empty()),
            Ok(formula) => {
                let (t, x) = ([0.0, 0.5, 1e300], [1.0, -2.0, 1e300]);
                let (mut block, mut gradient) = ([0.0; 3], PointBlock::zeros(1, 3));
                formula.eval_gradient_block(&[&t, &x], &[1], &mut block, gradient.as_mut());
                formula.eval_block(&[&t, &x], &mut block);
                for j in 0..3 {
                    let alone = formula.eval_scalar(&[t[j], x[j]]);
                    prop_assert!(alone.to_bits() == block[j].to_bits() || (alone.is_nan() && block[j].is_nan()), "{text}");
                }
            }
        }
    }

    #[test]
    fn any_bytes_as_a_network(place in 0..100_000_usize, bytes in prop::collection::vec(any::<u8>(), 0..64), cut in any::<bool>()) {
        static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
        let whole = WHOLE.get_or_init(|| std::fs::read(root().join("../pretrained/old_faithful.safetensors")).unwrap());
        // the header is where structure is
        let place = place % whole.len().min(2500);
        let mut damaged = whole[..if cut { place } else { whole.len() }].to_vec();
        let end = (place + bytes.len()).min(damaged.len());
        damaged.splice(place..end, bytes);
        if let Err(e) = Network::from_bytes(&damaged, &NetworkParams::default()) {
            prop_assert!(!e.to_string().is_empty());
        }
    }
}

/// A problem with the file as the data of its prior.
fn with_data(bytes: &[u8]) -> Result<(), ProblemError> {
    let desk = tempfile::tempdir().unwrap();
    std::fs::write(desk.path().join("data.csv"), bytes).unwrap();
    let problem = json!({
        "name": "data", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
        "prior": {"kind": "samples", "file": "data.csv", "columns": ["x"]}, "reward": {"kind": "linear", "q": [1.0]}, "kl_weight": 1,
        "grid": {"lower": [-9.0], "upper": [9.0], "nodes": [101]}, "time_steps": 4
    });
    Problem::resolve(ProblemFile::parse(&problem.to_string(), Path::new("p.json")).unwrap(), desk.path()).map(|_| ())
}

/// The bytes of a table of five nodes at two times.
fn small_table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let desk = tempfile::tempdir().unwrap();
        let path = desk.path().join("policy.npz");
        let mut npz = NpzFile::new();
        npz.array("axis0", &[5], &[-2.0, -1.0, 0.0, 1.0, 2.0]).unwrap();
        npz.array("time", &[2], &[0.0, 2.0]).unwrap();
        npz.array("control", &[2, 5], &[0.5; 10]).unwrap();
        npz.write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let site = PolicySite { dim: 1, control_dim: 1, horizon: 2.0, schedule: None, bounded: false };
        assert!(Policy::from_npz(&bytes, site).is_ok());
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, rng_seed: RngSeed::Fixed(241_218_164), ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_data(header in any::<bool>(), bytes in prop::collection::vec(
        prop_oneof![prop::sample::select(b"0123456789.,-e\n\r\" x".to_vec()), any::<u8>()], 0..80)) {
        let mut all = if header { b"x\n1.0\n2.0\n".to_vec() } else { Vec::new() };
        all.extend(bytes);
        if let Err(e) = with_data(&all) {
            prop_assert!(!e.to_string().is_empty());
        }
    }

    #[test]
    fn any_bytes_as_a_table(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in 0..40usize) {
        let mut bytes = small_table().to_vec();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut);
        let site = PolicySite { dim: 1, control_dim: 1, horizon: 2.0, schedule: None, bounded: false };
        match Policy::from_npz(&bytes, site) {
            Ok(policy) => prop_assert!(policy.check(site).is_ok()),
            Err(e) => prop_assert!(!e.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_as_a_checkpoint(text in "[\\[\\]{}:,\"0-9a-z_ .-]{0,60}") {
        if let Err(e) = RunState::<SummaryReducer>::from_json(&text) {
            prop_assert!(!e.to_string().is_empty());
        }
    }
}

#[test]
fn sizes_beyond_the_machine_are_refused_before_anything_is_allocated() {
    let with = |nodes: Value, steps: u64| {
        let mut problem = collection()[0].clone();
        for candidate in collection() {
            if candidate["grid"]["nodes"].as_array().map(Vec::len) == nodes.as_array().map(Vec::len) {
                problem = candidate.clone();
            }
        }
        problem["grid"]["nodes"] = nodes;
        problem["time_steps"] = json!(steps);
        problem.to_string()
    };
    for (nodes, steps) in [
        (json!([1_000_000_000_000_u64]), 4),
        (json!([u64::MAX]), 4),
        (json!([u64::MAX, u64::MAX]), 4),
        (json!([10_000_000, 10_000_000]), 4),
        (json!([65]), u64::MAX),
    ] {
        assert!(!read(&with(nodes.clone(), steps)), "{nodes} {steps}");
    }
}

/// A reward far sharper than the box is refused, or left to the grid: found by the property test above.
#[test]
fn a_bump_without_width_is_no_panic() {
    let mut sharp = collection().iter().find(|p| p["name"] == "bumps-1d").unwrap().clone();
    sharp["kl_weight"] = json!(1.0);
    for width in [7e-113, 1e-300, 1e-9] {
        sharp["reward"]["terms"][0]["width"] = json!(width);
        read(&sharp.to_string());
    }
}

/// A closed form that takes too many steps is an error in good time: found by the property test above.
#[test]
fn rates_out_of_all_proportion_end_in_an_error() {
    let named = |name: &str| collection().iter().find(|p| p["name"] == name).unwrap().clone();
    let mut stiff = named("lq-1d");
    stiff["schedule"]["b_max"] = json!(1e12);
    assert!(!read(&stiff.to_string()));
    // within proportion it is solved
    stiff["schedule"]["b_max"] = json!(30.0);
    assert!(read(&stiff.to_string()));
}

#[test]
fn a_data_file_is_a_file() {
    for place in ["/dev/zero", "/dev/null", ".", "nowhere.csv"] {
        let mut problem = collection().iter().find(|p| p["prior"]["kind"] == "samples").unwrap().clone();
        problem["prior"]["file"] = json!(place);
        let AnyProblemFile::FineTuning(file) = AnyProblemFile::parse(&problem.to_string(), Path::new("p.json")).unwrap() else {
            panic!("a fine-tuning problem")
        };
        let message = Problem::resolve(*file, &root()).err().unwrap().to_string();
        assert!(message.starts_with("prior.file = "), "{message}");
    }
}
