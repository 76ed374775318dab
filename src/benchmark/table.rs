//! The table of a benchmark: its rows, the orders, the cheapest way to an error, and all of it as Markdown.

use super::{BenchmarkProblem, BenchmarkReport};
use crate::bridge::OrderFit;
use serde::Serialize;
use std::fmt::Write;

/// One method on one problem at one size. Errors are largest distances over the comparison box and all t_k < T.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BenchmarkRow {
    /// Problem.
    pub problem: String,
    /// chain, hjb, high_order or policy.
    pub family: &'static str,
    /// Method.
    pub method: String,
    /// Time steps taken.
    pub steps: usize,
    /// The tolerance asked for, of adaptive methods.
    pub tolerance: Option<f64>,
    /// Of V; of policies: of what they earn.
    pub value_error: f64,
    /// Of the control.
    pub control_error: Option<f64>,
    /// Of the objective.
    pub objective_error: Option<f64>,
    /// W1 between final laws.
    pub final_law_error: Option<f64>,
    /// The part of `value_error` that does not fall with the step: estimated error in space, and that of the reference.
    pub value_floor: Option<f64>,
    /// The same of the control.
    pub control_floor: Option<f64>,
    /// The same of the objective.
    pub objective_floor: Option<f64>,
    /// Error of V of the reference; 0 for closed forms.
    pub reference_error: f64,
    /// Wall time.
    pub seconds: f64,
    /// Inner iterations (chain), linear solves (hjb), right sides and linear solves (high_order), evaluations of drift and control
    /// along a path (policy).
    pub evaluations: usize,
}

impl BenchmarkRow {
    /// Note what does not fall with the step, when all sizes of the method are done.
    pub(super) fn set_floors(&mut self, floors: [Option<f64>; 3], reference: (f64, f64)) {
        self.reference_error = reference.0;
        self.value_floor = floors[0].map(|f| f + reference.0);
        self.control_floor = floors[1].map(|f| f + reference.1);
        self.objective_floor = floors[2].map(|f| f + reference.0);
    }
}

/// Errors in space, of V, control and objective, as estimated, but no more than the smallest errors that were measured: where the coarser of
/// the two grids is far too coarse, the estimate says too much.
pub(super) fn capped(space: (f64, f64, f64), rows: &[BenchmarkRow]) -> [Option<f64>; 3] {
    let least = |error: fn(&BenchmarkRow) -> Option<f64>| rows.iter().filter_map(error).reduce(f64::min);
    let errors: [fn(&BenchmarkRow) -> Option<f64>; 3] = [|r| Some(r.value_error), |r| r.control_error, |r| r.objective_error];
    let [value, control, objective] = errors.map(least);
    [value.map(|e| e.min(space.0)), control.map(|e| e.min(space.1)), objective.map(|e| e.min(space.2))]
}

/// Orders of a method on a problem, fitted on its last three N whose errors are well above their floors.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodOrders {
    /// Problem.
    pub problem: String,
    /// Family.
    pub family: &'static str,
    /// Method.
    pub method: String,
    /// Of V.
    pub value: Option<OrderFit>,
    /// Of the control.
    pub control: Option<OrderFit>,
    /// Of the objective.
    pub objective: Option<OrderFit>,
    /// Of the final law.
    pub final_law: Option<OrderFit>,
}

/// The fastest run whose error of V is at most a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cheapest {
    /// Problem.
    pub problem: String,
    /// The target.
    pub target: f64,
    /// Family.
    pub family: &'static str,
    /// Method; none got there when it is absent.
    pub method: Option<String>,
    /// Its steps.
    pub steps: Option<usize>,
    /// Its seconds.
    pub seconds: Option<f64>,
}

/// Errors of V for which the cheapest method is looked up.
const TARGETS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-6];

/// The families that solve the problem.
const SOLVERS: [&str; 3] = ["chain", "hjb", "high_order"];

/// The fastest run of each solver family of each problem for each target.
pub(super) fn cheapest(problems: &[BenchmarkProblem], rows: &[BenchmarkRow]) -> Vec<Cheapest> {
    let mut all = Vec::new();
    for problem in problems {
        for family in SOLVERS {
            let mine = || rows.iter().filter(|r| r.problem == problem.name && r.family == family);
            if mine().next().is_none() {
                continue;
            }
            for target in TARGETS {
                let best = mine().filter(|r| r.value_error <= target).min_by(|a, b| a.seconds.total_cmp(&b.seconds));
                all.push(Cheapest {
                    problem: problem.name.clone(),
                    target,
                    family,
                    method: best.map(|r| r.method.clone()),
                    steps: best.map(|r| r.steps),
                    seconds: best.map(|r| r.seconds),
                });
            }
        }
    }
    all
}

/// The report as GitHub-flavoured Markdown: for each problem its reference, the rows, the orders; the cheapest methods at the head.
pub fn markdown(report: &BenchmarkReport) -> String {
    let mut out = String::from("# Benchmark of discretisation error\n\n");
    // writing to a String does not fail
    let _ = writeln!(
        out,
        "{} rows in {:.0} s on {} thread{}. Errors are suprema over the comparison box and all t_k < T.\n",
        report.rows.len(),
        report.seconds,
        report.threads,
        if report.threads == 1 { "" } else { "s" }
    );
    if report.interrupted {
        out += "Interrupted: what was finished by then.\n\n";
    }
    cheapest_table(report, &mut out);
    for problem in &report.problems {
        problem_section(report, problem, &mut out);
    }
    if !report.failures.is_empty() {
        out += "## Failed\n\n| problem | method | size | reason |\n|---|---|---|---|\n";
        for f in &report.failures {
            let _ = writeln!(out, "| {} | {} | {} | {} |", f.problem, f.method, f.size, f.reason.replace('|', "/"));
        }
    }
    out
}

fn cheapest_table(report: &BenchmarkReport, out: &mut String) {
    if report.cheapest.is_empty() {
        return;
    }
    *out += "## Cheapest way to an error of V\n\n| problem | family |";
    TARGETS.iter().for_each(|t| *out += &format!(" {t:.0e} |"));
    *out += "\n|---|---|";
    *out += &"---|".repeat(TARGETS.len());
    *out += "\n";
    for row in report.cheapest.chunks(TARGETS.len()) {
        let _ = write!(out, "| {} | {} |", row[0].problem, row[0].family);
        for c in row {
            let _ = match (&c.method, c.steps, c.seconds) {
                (Some(method), Some(n), Some(s)) => write!(out, " {method}, {n} steps, {} |", seconds(s)),
                _ => write!(out, " - |"),
            };
        }
        *out += "\n";
    }
    *out += "\n";
}

fn problem_section(report: &BenchmarkReport, problem: &BenchmarkProblem, out: &mut String) {
    let _ = writeln!(out, "## {}\n", problem.name);
    if let Some(text) = &problem.description {
        let _ = writeln!(out, "{text}.\n");
    }
    let _ = write!(out, "Reference: {}", problem.reference);
    if problem.reference_value_error > 0.0 {
        let _ =
            write!(out, " (own error: V {:.1e}, control {:.1e})", problem.reference_value_error, problem.reference_control_error);
    }
    let _ = writeln!(out, ". Optimal objective: {}.\n", problem.objective.map_or("-".into(), |j| format!("{j:.8}")));
    *out += "| method | steps | error of V | of control | of objective | of final law | floor of V | seconds | evaluations |\n";
    *out += "|---|---|---|---|---|---|---|---|---|\n";
    for r in report.rows.iter().filter(|r| r.problem == problem.name) {
        let method = r.tolerance.map_or(r.method.clone(), |t| format!("{}, {t:.0e}", r.method));
        let _ = writeln!(
            out,
            "| {method} | {} | {} | {} | {} | {} | {} | {} | {} |",
            r.steps,
            number(Some(r.value_error)),
            number(r.control_error),
            number(r.objective_error),
            number(r.final_law_error),
            r.value_floor.map_or("-".into(), |x| format!("{x:.0e}")),
            seconds(r.seconds),
            r.evaluations
        );
    }
    *out += "\n";
    let orders: Vec<&MethodOrders> = report.orders.iter().filter(|o| o.problem == problem.name).collect();
    if orders.is_empty() {
        return;
    }
    *out += "| order of | V | control | objective | final law |\n|---|---|---|---|---|\n";
    for o in orders {
        let [v, u, j, w] = [o.value, o.control, o.objective, o.final_law].map(order_text);
        let _ = writeln!(out, "| {} | {v} | {u} | {j} | {w} |", o.method);
    }
    *out += "\n";
}

/// An order with its standard error.
pub fn order_text(fit: Option<OrderFit>) -> String {
    fit.map_or("-".into(), |f| format!("{:.2} ± {:.2}", f.order, f.standard_error))
}

fn number(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| format!("{x:.2e}"))
}

fn seconds(s: f64) -> String {
    if s < 0.1 { format!("{:.2} ms", 1e3 * s) } else { format!("{s:.2} s") }
}
