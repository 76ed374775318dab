//! Any bytes as the data of a prior: a density, or refused with a message.
#![no_main]

use hjbridge::problem::{Problem, ProblemFile};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

const PROBLEM: &str = r#"{ "name": "data", "horizon": 2.0, "schedule": {"kind": "linear", "b_min": 0.5, "b_max": 3.0},
  "prior": {"kind": "samples", "file": "data.csv", "columns": ["x"]}, "reward": {"kind": "linear", "q": [1.0]}, "kl_weight": 1,
  "grid": {"lower": [-9.0], "upper": [9.0], "nodes": [101]}, "time_steps": 4 }"#;

fuzz_target!(|bytes: &[u8]| {
    let directory = std::env::temp_dir().join(format!("hjbridge-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    std::fs::write(directory.join("data.csv"), bytes).expect("a temporary file");
    let file = ProblemFile::parse(PROBLEM, Path::new("p.json")).expect("a problem");
    match Problem::resolve(file, &directory) {
        Ok(problem) => assert!(problem.dim() == 1),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
});
