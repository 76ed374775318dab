//! `check`: validate and print the resolved problem.

use super::common::{directory_of, say};
use crate::problem::{Problem, ProblemError, ProblemFile};
use crate::run::RunError;
use hjbridge_model::exact::closed_form;
use std::path::Path;

pub(super) fn run(path: &Path) -> Result<(), RunError> {
    let problem = Problem::resolve(ProblemFile::read(path)?, directory_of(path))?;
    let (m, f, s) = (&problem.model, &problem.file, problem.model.schedule());
    let mut lines = vec![
        format!("{}: valid, {} dimension(s)", f.name, problem.dim()),
        format!(
            "  horizon {}, b from {} at the noise to {} at the data, int b = {:.6}, exp(-int b / 2) = {:.6}",
            s.horizon(),
            s.rate(0.0),
            s.rate(s.horizon()),
            s.remaining(0.0),
            s.signal(0.0)
        ),
        format!(
            "  prior of {} component(s), mean {:?}, covariance {:?}",
            m.prior().components(),
            m.prior().mean(),
            m.prior().covariance()
        ),
    ];
    if let Some(data) = &problem.data {
        let (rows, map) = (data.values[0].len(), &data.map);
        lines.push(format!("  data: {rows} rows of {:?}, model = (data - {:?}) / {:?}", data.names, map.center, map.scale));
    }
    lines.push(format!("  kl_weight {:?}, initial law {:?}", m.kl_weight(), m.initial()));
    lines.push(match closed_form(m)? {
        Some(exact) => format!("  closed form: {}", exact.description()),
        None => "  closed form: none; the HJB solution is the reference".into(),
    });
    lines.push(format!(
        "  grid {:?} nodes = {} in all, {} time steps, bridge at N = {:?}",
        f.grid.nodes,
        problem.grid.len(),
        f.time_steps,
        f.bridge_steps
    ));
    lines.push(serde_json::to_string_pretty(f).map_err(|e| ProblemError::invalid("problem", &f.name, e.to_string()))?);
    say(lines.iter());
    Ok(())
}
