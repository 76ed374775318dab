//! Memory of each command: what `check` shows and what a run requires before it begins.

use super::memory::{Size, require};
use crate::problem::spec::RouteSpec;
use crate::problem::{ControlledProblem, Problem, ProblemError};
use hjbridge_model::{ControlledDiffusion, TensorGrid};

/// Numbers that each recorded path has at each time besides its coordinates: time, and the running cost.
const PER_TIME: usize = 2;

fn size(problem: &Problem) -> Size {
    Size::of(&problem.grid, problem.dim())
}

fn size_controlled(problem: &ControlledProblem) -> Size {
    Size::of(&problem.grid, problem.model.control_dim())
}

/// Refuse a run that needs `bytes`.
///
/// # Errors
/// They are more than may be used.
pub(crate) fn check(grid: &TensorGrid, steps: Option<usize>, bytes: f64) -> Result<(), ProblemError> {
    let nodes = format!("{:?}", grid.shape());
    let value = steps.map_or(nodes.clone(), |n| format!("{nodes} with {n} time steps"));
    require("grid.nodes", value, bytes)
}

/// Of the layers of a network that gives the score, for all nodes at once on each thread.
fn network(problem: &Problem) -> f64 {
    let width = problem.network.as_ref().map_or(0.0, |n| (n.network().parameters() as f64).sqrt());
    80.0 * problem.grid.len() as f64 * width
}

/// Of `solve`; `levels` intervals between stored times where a route is chosen.
pub(crate) fn solve(problem: &Problem, levels: usize) -> f64 {
    let size = size(problem);
    let kept = match problem.file.scheme.route() {
        RouteSpec::Monotone => size.kept(problem.file.time_steps),
        _ => levels as f64 + 1.0,
    };
    size.certified(kept) + network(problem)
}

/// Of the monotone solution that other commands start from.
pub(crate) fn policy(problem: &Problem, steps: usize) -> f64 {
    size(problem).policy(size(problem).kept(steps)) + network(problem)
}

/// Of `rollout`: that, and the score in tables at every step, where it is dear.
pub(crate) fn rollout(problem: &Problem, steps: usize) -> f64 {
    let tables = if super::score::is_dear(problem) { 2.0 * size(problem).control() * (steps as f64 + 1.0) } else { 0.0 };
    policy(problem, problem.file.time_steps) + tables
}

/// Of `pift`: V and u at every t_k.
pub(crate) fn pift(problem: &Problem, steps: usize) -> f64 {
    let size = size(problem);
    size.work(false) + size.level() * (steps as f64 + 2.0) + network(problem)
}

/// Of `bridge`: the HJB solution, finer where there is no closed form, and V, u and the shifts of the longest chain.
pub(crate) fn bridge(problem: &Problem, hjb_steps: usize, steps: &[usize]) -> f64 {
    let size = size(problem);
    let longest = steps.iter().copied().max().unwrap_or(0) as f64;
    policy(problem, hjb_steps) + (size.level() + size.control()) * (longest + 1.0)
}

/// Of `solve` of a controlled diffusion.
pub(crate) fn solve_controlled(problem: &ControlledProblem, levels: usize) -> f64 {
    let size = size_controlled(problem);
    match (problem.is_stationary(), problem.file.scheme.route()) {
        (true, _) => size.work(true) + 4.0 * size.level(),
        (false, RouteSpec::Monotone) => size.certified(size.kept(problem.file.time_steps)),
        (false, _) => size.certified(levels as f64 + 1.0),
    }
}

/// Of `rollout` of a controlled diffusion, whose policy is a table at `levels` times.
pub(crate) fn rollout_controlled(problem: &ControlledProblem, levels: usize) -> f64 {
    let times = if problem.is_stationary() { 1.0 } else { levels as f64 + 1.0 };
    solve_controlled(problem, levels) + size_controlled(problem).control() * times
}

/// Of recorded paths: `paths` of them at `times` times in `dim` dimensions.
pub(crate) fn recorded(paths: u64, times: usize, dim: usize) -> f64 {
    8.0 * paths as f64 * times as f64 * (dim + PER_TIME) as f64
}
