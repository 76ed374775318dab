//! `check`: validate and print the resolved problem.

use super::common::directory_of;
use crate::problem::{Problem, ProblemError, ProblemFile};
use crate::run::RunError;
use hjbridge_model::exact::closed_form;
use std::path::Path;

pub(super) fn run(path: &Path) -> Result<(), RunError> {
    let problem = Problem::resolve(ProblemFile::read(path)?, directory_of(path))?;
    let (m, f) = (&problem.model, &problem.file);
    let s = m.schedule();
    println!("{}: valid, {} dimension(s)", f.name, problem.dim());
    println!(
        "  horizon {}, b from {} at the noise to {} at the data, int b = {:.6}, exp(-int b / 2) = {:.6}",
        s.horizon(),
        s.rate(0.0),
        s.rate(s.horizon()),
        s.remaining(0.0),
        s.signal(0.0)
    );
    println!(
        "  prior of {} component(s), mean {:?}, covariance {:?}",
        m.prior().components(),
        m.prior().mean(),
        m.prior().covariance()
    );
    if let Some(data) = &problem.data {
        println!(
            "  data: {} rows of {:?}, model = (data - {:?}) / {:?}",
            data.values[0].len(),
            data.names,
            data.map.center,
            data.map.scale
        );
    }
    println!("  kl_weight {:?}, initial law {:?}", m.kl_weight(), m.initial());
    match closed_form(m)? {
        Some(exact) => println!("  closed form: {}", exact.description()),
        None => println!("  closed form: none; the HJB solution is the reference"),
    }
    println!(
        "  grid {:?} nodes = {} in all, {} time steps, bridge at N = {:?}",
        f.grid.nodes,
        problem.grid.len(),
        f.time_steps,
        f.bridge_steps
    );
    let text = serde_json::to_string_pretty(f).map_err(|e| ProblemError::invalid("problem", &f.name, e.to_string()))?;
    println!("{text}");
    Ok(())
}
