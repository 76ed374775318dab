//! What each command would do with a problem, in about which time and memory.
//!
//! Times are measured costs of a node, a step and a path (`benches/README.md`) times their numbers: right within a factor of about
//! three on a machine like that of the benches (two cores), for nobody knows beforehand how many iterations and steps an adaptive
//! solver takes. Memory is what the run checks before it begins, an upper bound.

use super::memory::Size;
use super::needs;
use crate::bridge::common_steps;
use crate::problem::controlled_spec::{ControlsSpec, FaceSpec};
use crate::problem::spec::{KernelSpec, RouteSpec, SchemeSpec};
use crate::problem::{ControlledProblem, Problem};
use hjbridge_model::ControlledDiffusion;
use serde_json::Value;

/// One command.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub command: &'static str,
    /// What it would do.
    pub what: String,
    /// Wall time.
    pub seconds: f64,
    /// Most memory.
    pub bytes: f64,
}

/// Seconds of a node in one step of the monotone route, by dimension: assembly and about 1.5 linear systems.
const MONOTONE: [f64; 3] = [7e-8, 5e-7, 1.5e-6];

/// Seconds of a node of the high-order route: for the whole run on a line (BDF), for one right side elsewhere.
const HIGH_ORDER: [f64; 3] = [4e-5, 6e-9, 1.4e-8];

/// Right sides of the high-order route for each node on the longest axis (stabilised Runge-Kutta).
const RIGHT_SIDES: f64 = 6.6;

/// Seconds of a node in one linear system of a stationary problem, with its factorisation, and the usual number of systems.
const STATIONARY: [f64; 3] = [2e-7, 3e-6, 4e-5];
const POLICIES: f64 = 8.0;

/// Seconds of a node in one Bellman step of PI-FT, without and with the records of all iterates.
const BELLMAN: [f64; 3] = [6e-7, 1.3e-6, 5e-6];
const RECORDED: [f64; 3] = [1.2e-6, 5e-6, 2e-5];

/// Seconds of a step of a path on all cores together, with policy from a table.
const PATH_STEP: [f64; 3] = [1.2e-8, 3e-8, 6e-8];

/// Seconds of one component of the score or the closed form at one point.
const COMPONENT: f64 = 1e-9;

/// Seconds of one parameter of a network at one point.
const PARAMETER: f64 = 5e-11;

/// Seconds of pictures and files.
const PICTURES: [f64; 3] = [0.2, 0.7, 0.1];

fn by_dim(table: [f64; 3], dim: usize) -> f64 {
    table[dim.clamp(1, 3) - 1]
}

/// The name that a value has in a file.
fn name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}

/// An HJB equation, as far as its cost depends on it.
struct Cost {
    size: Size,
    dim: usize,
    /// Nodes of the longest axis.
    longest: f64,
    /// How much dearer than one in closed form the best control of a node is.
    search: f64,
}

impl Cost {
    fn monotone(&self, steps: usize) -> f64 {
        self.size.nodes * steps as f64 * by_dim(MONOTONE, self.dim) * self.search
    }

    /// What the half and the quarter grid add to a solution whose cost is that of nodes and steps.
    fn coarser(&self) -> f64 {
        0.5_f64.powi(self.dim as i32 + 1) + 0.25_f64.powi(self.dim as i32 + 1)
    }

    fn high_order(&self) -> f64 {
        let sides = if self.dim == 1 { 1.0 } else { RIGHT_SIDES * self.longest };
        self.size.nodes * sides * by_dim(HIGH_ORDER, self.dim)
    }

    /// The route of the scheme with a horizon: what is done, and how long it takes.
    fn routes(&self, scheme: &SchemeSpec, steps: usize, smooth: Result<(), &str>) -> (String, f64) {
        let stepped = format!("{} differences, {}, {steps} steps", name(&scheme.space()), name(&scheme.time()));
        let (low, coarser) = (self.monotone(steps), self.coarser());
        match (scheme.route(), smooth) {
            (RouteSpec::Monotone, _) => {
                (format!("route monotone: {stepped}; certificate from the half and the quarter grid"), low * (1.0 + coarser))
            }
            (RouteSpec::HighOrder, _) => {
                (format!("route high_order: order {}, adaptive in time", scheme.order.unwrap_or(8)), 1.2 * self.high_order())
            }
            (RouteSpec::ColeHopf, _) => (format!("route cole_hopf: {stepped}"), low * (1.0 + coarser)),
            (RouteSpec::Auto, Ok(())) => (
                format!(
                    "route auto: tries high order (order {}), monotone ({stepped}) and, where it applies, Cole-Hopf on coarser \
                     grids, and takes the best; likely high order",
                    scheme.order.unwrap_or(8)
                ),
                1.2 * self.high_order() + 2.0 * low * coarser,
            ),
            (RouteSpec::Auto, Err(why)) => (
                format!(
                    "route auto: tries monotone ({stepped}) and, where it applies, Cole-Hopf on coarser grids (no high order: {why})"
                ),
                low * (1.0 + 2.0 * coarser),
            ),
        }
    }
}

/// What the commands would do with a fine-tuning problem; `levels` is the number of intervals between stored times.
pub fn plan(problem: &Problem, levels: usize) -> Vec<Plan> {
    let (f, dim) = (&problem.file, problem.dim());
    let cost = Cost {
        size: Size::of(&problem.grid, dim),
        dim,
        longest: problem.grid.shape().iter().copied().max().unwrap_or(0) as f64,
        search: 1.0,
    };
    let nodes = cost.size.nodes;
    let score = match &problem.network {
        Some(network) => network.network().parameters() as f64 * PARAMETER,
        None => problem.model.prior().components() as f64 * dim as f64 * COMPONENT,
    };
    // the score at all nodes and the closed form over the box, at each time stored
    let compare = |levels: f64| 2.0 * nodes * levels * score;
    let solver = |steps: usize| cost.monotone(steps) + 2.0 * nodes * steps as f64 * score;
    let pictures = by_dim(PICTURES, dim);
    let (route, seconds) = cost.routes(&f.scheme, f.time_steps, Ok(()));
    let stored = if f.scheme.route() == RouteSpec::Monotone { cost.size.kept(f.time_steps) } else { levels as f64 + 1.0 };
    let mut plans = vec![Plan {
        command: "solve",
        what: route,
        seconds: seconds + compare(stored) + pictures,
        bytes: needs::solve(problem, levels),
    }];
    let kept = cost.size.kept(f.time_steps);
    let simulated = solver(f.time_steps)
        + compare(kept)
        + f.paths as f64 * f.time_steps as f64 * (by_dim(PATH_STEP, dim) + 0.3 * score.min(4e-8));
    plans.push(Plan {
        command: "rollout",
        what: format!("monotone solution with {0} steps, then {1} paths of {0} steps by the Euler scheme", f.time_steps, f.paths),
        seconds: simulated + pictures,
        bytes: needs::rollout(problem, f.time_steps),
    });
    let chain = nodes * f.time_steps as f64 * (by_dim(BELLMAN, dim) + 2.0 * score);
    plans.push(Plan {
        command: "sweep",
        what: "for each KL weight: that rollout, and PI-FT with as many steps".into(),
        seconds: simulated + chain,
        bytes: needs::rollout(problem, f.time_steps),
    });
    let both = if f.pift.kernel == KernelSpec::Both { 1.5 } else { 1.0 };
    let bellman = |table: [f64; 3], steps: usize| nodes * steps as f64 * (by_dim(table, dim) * both + 2.0 * score);
    plans.push(Plan {
        command: "pift",
        what: format!("the chain of N = {} steps, with the contraction and regularity of each", f.time_steps),
        seconds: bellman(RECORDED, f.time_steps) + compare(f.time_steps as f64) + pictures,
        bytes: needs::pift(problem, f.time_steps),
    });
    let steps = common_steps(f.time_steps, &f.bridge_steps);
    let chains: f64 = f.bridge_steps.iter().map(|n| bellman(BELLMAN, *n) + 2.0 * compare(*n as f64)).sum();
    plans.push(Plan {
        command: "bridge",
        what: format!(
            "monotone solution with {steps} steps, then PI-FT for N = {:?}, its laws, losses and own errors",
            f.bridge_steps
        ),
        seconds: solver(steps) + compare(steps as f64) + BRIDGE * chains + pictures,
        bytes: needs::bridge(problem, steps, &f.bridge_steps),
    });
    plans
}

/// Work of `bridge` around its chains, in that of the chains: own errors, laws, losses, the leading error.
const BRIDGE: f64 = 4.0;

/// What the commands would do with a controlled diffusion.
pub fn plan_controlled(problem: &ControlledProblem, levels: usize) -> Vec<Plan> {
    let (f, dim) = (&problem.file, problem.dim());
    let search = match (&f.controls, &f.control_cost) {
        (ControlsSpec::Finite { values }, _) => 1.0 + values.len() as f64 / 20.0,
        (_, Some(_)) => 15.0,
        _ => 1.0,
    };
    let size = Size::of(&problem.grid, problem.model.control_dim());
    let longest = problem.grid.shape().iter().copied().max().unwrap_or(0) as f64;
    let cost = Cost { size, dim, longest, search };
    let closed = |f: &[FaceSpec; 2]| f.iter().any(|f| *f != FaceSpec::Extrapolated);
    let smooth = if f.obstacle.is_some() {
        Err("there is an obstacle")
    } else if f.target.is_some() {
        Err("there is a target")
    } else if matches!(f.controls, ControlsSpec::Finite { .. }) || f.control_cost.is_some() {
        Err("the control is found by search")
    } else if f.faces.iter().flatten().any(closed) {
        Err("the faces are not extrapolated")
    } else {
        Ok(())
    };
    let (what, seconds) = match f.horizon {
        None => {
            let linear = f.scheme.route() == RouteSpec::ColeHopf;
            let how = if linear {
                "the linear equation (Cole-Hopf)"
            } else {
                "policy iteration or, where it applies, the linear equation"
            };
            let seconds = size.nodes * by_dim(STATIONARY, dim) * POLICIES * (1.0 + cost.coarser() * 2.0) * search.sqrt();
            (format!("no horizon: {how}; certificate from the half and the quarter grid"), seconds)
        }
        Some(_) => cost.routes(&f.scheme, f.time_steps, smooth),
    };
    let pictures = by_dim(PICTURES, dim);
    let mut plans =
        vec![Plan { command: "solve", what, seconds: seconds + pictures, bytes: needs::solve_controlled(problem, levels) }];
    if !f.start.is_empty() && f.obstacle.is_none() {
        let until = if f.horizon.is_some() { "" } else { ", to --horizon" };
        let starts = f.start.len() as f64;
        plans.push(Plan {
            command: "rollout",
            what: format!(
                "the solution, then {} paths of {} steps{until} from each of {} point(s) of start",
                f.paths,
                f.time_steps,
                f.start.len()
            ),
            seconds: seconds + pictures + starts * f.paths as f64 * f.time_steps as f64 * 1.5 * by_dim(PATH_STEP, dim),
            bytes: needs::rollout_controlled(problem, f.time_steps.next_multiple_of(levels.max(1))),
        });
    }
    plans
}
