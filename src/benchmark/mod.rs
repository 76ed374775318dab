//! Benchmark of discretisation error: which scheme reaches a given error, and at what cost.
//!
//! A suite is a directory of files ([`read_suite`]), each a problem with methods and sizes. Every method gives V (and its control) at
//! its own times t_k < T on the nodes of its own grid; errors are the largest distance from the reference over the comparison box and
//! all those times.
//!
//! | family | what | file | order in h = T/N |
//! |---|---|---|---|
//! | chain | the discrete chain, solved by PI-FT | `methods/chain.rs` | 1 |
//! | hjb | implicit Euler, Crank-Nicolson, TR-BDF2 | `methods/hjb.rs` | 1, 2, 2 |
//! | high_order | order 8 in space, adaptive in time | `methods/high_order.rs` | |
//! | policy | what simulations of the optimal policy earn: Euler-Maruyama, exponential, Heun, Runge-Kutta 3/2 | `methods/policy.rs` | 1, 1, 2, 2 |
//!
//! Nothing is sampled but for timing: only the seconds differ from run to run.

mod methods;
mod reference;
mod subject;
mod suite;
mod table;

pub use methods::Family;
pub use suite::{
    Benchmark, BenchmarkFile, ChainSpec, HighOrderSpec, HjbSpec, IntegratorSpec, PoliciesSpec, ReferenceSpec, read_suite,
};
pub use table::{BenchmarkRow, Cheapest, MethodOrders, markdown, order_text};

use crate::bridge::fit_order;
use crate::run::{Progress, RegionPoints, RunError};
use hjbridge_model::{PointBlock, TensorGrid};
use methods::{Method, Outcome, Size};
use rayon::prelude::*;
use reference::Reference;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Errors count in fits of orders when they exceed this multiple of what does not fall with the step.
const ABOVE_FLOOR: f64 = 3.0;

/// Largest N that count in a fit.
const FITTED: usize = 3;

/// What a suite gave.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BenchmarkReport {
    /// Whether the short lists of sizes were taken.
    pub quick: bool,
    /// Threads of the pool that everything ran in.
    pub threads: usize,
    /// Wall time.
    pub seconds: f64,
    /// The problems begun.
    pub problems: Vec<BenchmarkProblem>,
    /// The table.
    pub rows: Vec<BenchmarkRow>,
    /// Orders of each method on each problem.
    pub orders: Vec<MethodOrders>,
    /// The fastest solver of each problem to given errors of V.
    pub cheapest: Vec<Cheapest>,
    /// Runs that failed.
    pub failures: Vec<BenchmarkFailure>,
    /// Whether the user ended it.
    pub interrupted: bool,
}

/// A problem of the suite and its reference.
#[derive(Clone, Debug, Serialize)]
pub struct BenchmarkProblem {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub description: Option<String>,
    /// What errors are measured against.
    pub reference: String,
    /// Its own error of V; 0 for closed forms.
    pub reference_value_error: f64,
    /// Its own error of the control.
    pub reference_control_error: f64,
    /// The optimal objective: E V(0, Y_0), or V(0, x) at the first starting point.
    pub objective: Option<f64>,
}

/// A run that failed.
#[derive(Clone, Debug, Serialize)]
pub struct BenchmarkFailure {
    /// Problem.
    pub problem: String,
    /// Method.
    pub method: String,
    /// N or tolerance.
    pub size: f64,
    /// Why.
    pub reason: String,
}

/// Run `suite`. `on_row` is called with all rows after each new one. When `interrupt` is set, the run ends after the row under way.
///
/// # Errors
/// A reference that cannot be had; what `on_row` returns. A method that fails is noted, and the others go on.
pub fn benchmark(
    suite: &[Benchmark],
    quick: bool,
    interrupt: &AtomicBool,
    progress: &dyn Progress,
    on_row: &mut dyn FnMut(&[BenchmarkRow]) -> Result<(), RunError>,
) -> Result<BenchmarkReport, RunError> {
    let clock = Instant::now();
    let mut report = BenchmarkReport { quick, threads: rayon::current_num_threads(), ..BenchmarkReport::default() };
    'suite: for benchmark in suite {
        let (file, subject) = (&benchmark.file, &benchmark.subject);
        let methods = Method::of(file, quick);
        let total: usize = methods.iter().map(|(_, _, sizes)| sizes.len()).sum();
        progress.begin(&file.name, total as u64);
        let steps = if quick { &file.quick_steps } else { &file.steps };
        // twice the largest N: schemes with stages at half steps find a level there
        let reference = Reference::new(benchmark, 2 * steps[steps.len() - 1])?;
        report.problems.push(BenchmarkProblem {
            name: file.name.clone(),
            description: file.description.clone().or_else(|| subject.description().map(str::to_string)),
            reference: reference.description.clone(),
            reference_value_error: reference.errors.0,
            reference_control_error: reference.errors.1,
            objective: reference.objective.map(|j| subject.sign() * j),
        });
        let mut done = 0;
        for (method, nodes, sizes) in methods {
            let grid = subject.grid(&nodes)?;
            let first = report.rows.len();
            let mut finest = None;
            for size in &sizes {
                if interrupt.load(Ordering::Relaxed) {
                    report.interrupted = true;
                    break 'suite;
                }
                progress.note(&format!("{} {size:?}", method.name()));
                match method.solve(subject, &reference, &grid, *size).and_then(|o| Ok((measure(&reference, &o)?, o))) {
                    Ok((mut row, outcome)) => {
                        row.problem = file.name.clone();
                        row.family = method.family().name();
                        row.method = method.name();
                        row.tolerance = match size {
                            Size::Tolerance(t) => Some(*t),
                            Size::Steps(_) => None,
                        };
                        report.rows.push(row);
                        finest = Some((*size, outcome));
                        on_row(&report.rows)?;
                    }
                    Err(e) => report.failures.push(BenchmarkFailure {
                        problem: file.name.clone(),
                        method: method.name(),
                        size: match size {
                            Size::Tolerance(t) => *t,
                            Size::Steps(n) => *n as f64,
                        },
                        reason: e.to_string(),
                    }),
                }
                done += 1;
                progress.advance(done);
            }
            if let Some((size, outcome)) = finest {
                let space = floors(&method, &reference, &outcome, size);
                let floors = space.map_or([None; 3], |space| table::capped(space, &report.rows[first..]));
                report.rows[first..].iter_mut().for_each(|row| row.set_floors(floors, reference.errors));
                on_row(&report.rows)?;
                report.orders.extend(orders(&report.rows[first..]));
            }
        }
        progress.end();
    }
    progress.end();
    report.cheapest = table::cheapest(&report.problems, &report.rows);
    report.seconds = clock.elapsed().as_secs_f64();
    Ok(report)
}

/// The errors of a run.
fn measure(reference: &Reference<'_>, outcome: &Outcome) -> Result<BenchmarkRow, RunError> {
    let subject = reference.subject();
    let region = RegionPoints::new(&outcome.grid, subject.region())?;
    let errors = (0..outcome.times.len())
        .into_par_iter()
        .map(|k| {
            let mut exact = reference.at_nodes(outcome.times[k], &outcome.grid, &region)?;
            let no_control = outcome.controls.is_empty();
            if no_control {
                exact.control = PointBlock::zeros(0, region.nodes.len());
            }
            let control = outcome.controls.get(k).map_or(&[][..], Vec::as_slice);
            let e = region.errors(&exact, outcome.times[k], &outcome.values[k], control);
            Ok((e.value.0, (!no_control && outcome.controlled[k]).then_some(e.control.0)))
        })
        .collect::<Result<Vec<_>, RunError>>()?;
    // a NaN wins
    let worst = |errors: &mut dyn Iterator<Item = f64>| errors.reduce(|a, b| if b > a || b.is_nan() { b } else { a });
    let value_error = worst(&mut errors.iter().map(|e| e.0)).unwrap_or(f64::NAN);
    if !value_error.is_finite() {
        return Err(RunError::Unsupported("the value is not finite".into()));
    }
    let objective = subject.objective(&outcome.grid, &outcome.values[0])?;
    Ok(BenchmarkRow {
        steps: outcome.steps,
        value_error,
        control_error: worst(&mut errors.iter().filter_map(|e| e.1)),
        objective_error: objective.zip(reference.objective).map(|(a, b)| (a - b).abs()),
        final_law_error: outcome.final_law_error,
        seconds: outcome.seconds,
        evaluations: outcome.evaluations,
        ..BenchmarkRow::default()
    })
}

/// Estimated errors in space of V, control and objective: from a run of the same size with every second node.
fn floors(method: &Method, reference: &Reference<'_>, fine: &Outcome, size: Size) -> Option<(f64, f64, f64)> {
    let subject = reference.subject();
    let half: Vec<usize> = fine.grid.shape().iter().map(|n| n / 2 + 1).collect();
    let grid = subject.grid(&half).ok()?;
    let coarse = method.solve(subject, reference, &grid, size).ok()?;
    let nodes: Vec<usize> = grid.region_nodes(Some(subject.region())).ok()?.collect();
    let twins: Vec<usize> = nodes.iter().map(|&node| twin(&grid, &fine.grid, node)).collect();
    let gap = |a: &[f64], b: &[f64], components: usize| {
        let (n, m) = (fine.grid.len(), grid.len());
        let one = |(node, twin): (&usize, &usize)| {
            (0..components).map(|i| (a[i * n + twin] - b[i * m + node]).powi(2)).sum::<f64>().sqrt()
        };
        nodes.iter().zip(&twins).map(one).fold(0.0, f64::max)
    };
    let levels = fine.times.len().min(coarse.times.len());
    let value = (0..levels).map(|k| gap(&fine.values[k], &coarse.values[k], 1)).fold(0.0, f64::max);
    let controls = |k: usize| (fine.controls.get(k), coarse.controls.get(k), fine.controlled.get(k));
    let control = (0..levels).filter_map(|k| match controls(k) {
        (Some(a), Some(b), Some(true)) => Some(gap(a, b, subject.control_dim())),
        _ => None,
    });
    let objective = |o: &Outcome| subject.objective(&o.grid, &o.values[0]).ok().flatten();
    let objective = objective(fine).zip(objective(&coarse)).map_or(0.0, |(a, b)| (a - b).abs());
    let factor = method.space_factor();
    Some((value / factor, control.fold(0.0, f64::max) / factor, objective / factor))
}

/// The node of `fine` where node `node` of `coarse` is, which has every second one of each axis.
fn twin(coarse: &TensorGrid, fine: &TensorGrid, node: usize) -> usize {
    let mut index = vec![0; coarse.dim()];
    coarse.multi_index(node, &mut index);
    index.iter().zip(fine.strides()).map(|(i, s)| 2 * i * s).sum()
}

/// Orders of one method from its rows; none for adaptive steps.
fn orders(rows: &[BenchmarkRow]) -> Option<MethodOrders> {
    let first = rows.first().filter(|r| r.tolerance.is_none())?;
    let fit = |error: &dyn Fn(&BenchmarkRow) -> Option<f64>, floor: &dyn Fn(&BenchmarkRow) -> f64| {
        let used: Vec<(usize, f64)> =
            rows.iter().filter_map(|r| Some((r.steps, error(r)?)).filter(|(_, e)| *e > ABOVE_FLOOR * floor(r))).collect();
        let (steps, errors): (Vec<usize>, Vec<f64>) = used.into_iter().unzip();
        fit_order(&steps, &errors, FITTED)
    };
    Some(MethodOrders {
        problem: first.problem.clone(),
        family: first.family,
        method: first.method.clone(),
        value: fit(&|r| Some(r.value_error), &|r| r.value_floor.unwrap_or(0.0)),
        control: fit(&|r| r.control_error, &|r| r.control_floor.unwrap_or(0.0)),
        objective: fit(&|r| r.objective_error, &|r| r.objective_floor.unwrap_or(0.0)),
        final_law: fit(&|r| r.final_law_error, &|_| 0.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Silent;

    #[test]
    fn an_interrupted_suite_keeps_its_rows() {
        let text = r#"{"name": "lq", "problem": "../problems/lq_1d.json", "steps": [4, 8, 16], "quick_steps": [4, 8],
            "hjb": {"nodes": [65], "schemes": ["implicit_euler", "tr_bdf2"]}}"#;
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/benchmarks/x.json");
        let suite = [Benchmark::resolve(serde_json::from_str(text).unwrap(), &path).unwrap()];
        let interrupt = AtomicBool::new(false);
        let mut seen = 0;
        let report = benchmark(&suite, false, &interrupt, &Silent, &mut |rows| {
            seen = rows.len();
            interrupt.store(rows.len() == 2, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert!(report.interrupted && report.rows.len() == 2 && seen == 2);
        assert!(markdown(&report).contains("Interrupted"));
        interrupt.store(true, Ordering::Relaxed);
        let report = benchmark(&suite, false, &interrupt, &Silent, &mut |_| Ok(())).unwrap();
        assert!(report.interrupted && report.rows.is_empty());
    }

    #[test]
    fn floors_keep_rows_out_of_the_fit() {
        let row = |steps: usize, value_error: f64| BenchmarkRow {
            steps,
            value_error,
            value_floor: Some(1e-6),
            ..BenchmarkRow::default()
        };
        // order 2 down to the floor, which would drag the slope
        let rows = [row(8, 6.4e-4), row(16, 1.6e-4), row(32, 4e-5), row(64, 1e-5), row(128, 2.7e-6), row(256, 1.1e-6)];
        let order = orders(&rows).unwrap().value.unwrap();
        assert!((order.order - 2.0).abs() < 1e-12, "{order:?}");
    }

    #[test]
    fn the_fastest_run_below_each_target_is_found() {
        let row = |family, steps, value_error, seconds| BenchmarkRow {
            problem: "p".into(),
            family,
            steps,
            value_error,
            seconds,
            ..BenchmarkRow::default()
        };
        let problem = BenchmarkProblem {
            name: "p".into(),
            description: None,
            reference: String::new(),
            reference_value_error: 0.0,
            reference_control_error: 0.0,
            objective: None,
        };
        let rows = [row("hjb", 8, 5e-3, 0.1), row("hjb", 16, 9e-4, 0.4), row("hjb", 32, 8e-4, 0.2), row("policy", 1, 0.0, 0.0)];
        let found = table::cheapest(&[problem], &rows);
        let steps: Vec<Option<usize>> = found.iter().map(|c| c.steps).collect();
        assert_eq!(steps, [Some(8), Some(32), None, None]);
    }
}
