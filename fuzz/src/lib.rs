//! What the fuzz targets share: reading a text as the program does, and solving what is tiny.

use hjbridge::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemError, SampledProblem};
use hjbridge::run::{Silent, evaluate_everywhere, pift, solve_by_route, solve_controlled};
use std::path::{Path, PathBuf};

/// Where the seeds are, and where relative paths in them start.
pub fn problems() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/problems")
}

/// A problem of either kind.
pub enum Resolved {
    FineTuning(Box<Problem>),
    Sampled(Box<SampledProblem>),
    Controlled(Box<ControlledProblem>),
}

/// Nodes beyond which a grid is not made here: it would take time and memory that are the problem's own.
const MOST_NODES: f64 = 1e5;

/// Parse and resolve as the commands do; an error has words. None is a problem that is fine but too large for fuzzing.
pub fn resolve(text: &str) -> Option<Resolved> {
    let outcome = AnyProblemFile::parse(text, Path::new("p.json")).and_then(|file| {
        let nodes = match &file {
            AnyProblemFile::FineTuning(f) => &f.grid.nodes,
            AnyProblemFile::Controlled(f) => &f.grid.nodes,
        };
        let total: f64 = nodes.iter().map(|&n| n as f64).product();
        // beyond any machine: refused before anything is allocated
        if total > MOST_NODES && total < 1e12 {
            return Ok(None);
        }
        Ok(Some(match file {
            AnyProblemFile::FineTuning(f) if f.grid.is_absent() => {
                Resolved::Sampled(Box::new(SampledProblem::resolve(*f, &problems())?))
            }
            AnyProblemFile::FineTuning(f) => Resolved::FineTuning(Box::new(Problem::resolve(*f, &problems())?)),
            AnyProblemFile::Controlled(f) => Resolved::Controlled(Box::new(ControlledProblem::resolve(*f)?)),
        }))
    });
    outcome.unwrap_or_else(|e: ProblemError| {
        assert!(!e.to_string().is_empty());
        None
    })
}

/// Solve what takes milliseconds; no NaN comes out of it.
pub fn solve_if_tiny(problem: &Resolved) {
    let finite = |slices: &[Vec<f64>]| slices.iter().flatten().all(|v| v.is_finite());
    match problem {
        Resolved::FineTuning(p) if p.grid.len() <= 60 && p.file.time_steps <= 8 && p.network.is_none() => {
            if let Ok(run) = solve_by_route(p, 4, &Silent) {
                assert!(finite(&run.controls), "a control that is not finite");
            }
            if p.dim() == 1
                && let Ok(run) = pift(p, p.file.time_steps, &Silent)
            {
                assert!(finite(&run.values) && finite(&run.controls), "a chain that is not finite");
            }
        }
        Resolved::Controlled(p) if p.grid.len() <= 130 && p.file.time_steps <= 8 => {
            let checked = evaluate_everywhere(p);
            if let Ok(run) = solve_controlled(p, 4, &Silent) {
                assert!(finite(&run.values) && finite(&run.controls), "a solution that is not finite");
                assert!(checked.is_ok(), "solved what cannot be evaluated");
            }
        }
        _ => {}
    }
}
