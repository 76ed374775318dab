//! `benchmark`: error against steps and cost, for a suite of problems and all schemes.

use super::common::{complain, say};
use super::interrupt;
use super::progress::Bars;
use crate::benchmark::{BenchmarkReport, benchmark, markdown, order_text, read_suite};
use crate::problem::ProblemError;
use crate::report::figure::FigureInfo;

use crate::report::{BENCHMARK, BENCHMARK_PAGE, FORMAT, OutputDirectory, draw_benchmark, html, write_csv, write_text};
use crate::run::RunError;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Flags of `benchmark`.
#[derive(Args)]
pub(super) struct BenchmarkArgs {
    /// Directory of the suite
    #[arg(long, value_name = "DIR", default_value = "data/benchmarks")]
    suite: PathBuf,
    /// Only the benchmarks of these names
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// Short lists of sizes: seconds instead of minutes
    #[arg(long)]
    quick: bool,
    /// Output directory
    #[arg(long, default_value = "out/benchmark")]
    out: PathBuf,
    /// Threads [default: one for each core]; no error depends on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// No progress and no summary
    #[arg(long)]
    quiet: bool,
    /// Replace the files of a finished run in the output directory
    #[arg(long)]
    force: bool,
}

/// `report.json` of a benchmark.
#[derive(Serialize)]
struct Document<'a> {
    program: &'static str,
    version: &'static str,
    format: u32,
    command: &'static str,
    invocation: Vec<String>,
    complete: bool,
    error: Option<String>,
    benchmark: Option<&'a BenchmarkReport>,
    figures: Vec<FigureInfo>,
    figures_missing: Vec<String>,
}

impl Document<'_> {
    fn unfinished() -> Self {
        Document {
            program: "hjbridge",
            version: env!("CARGO_PKG_VERSION"),
            format: FORMAT,
            command: "benchmark",
            invocation: super::common::invocation(),
            complete: false,
            error: Some("the run was stopped before it finished".into()),
            benchmark: None,
            figures: Vec::new(),
            figures_missing: Vec::new(),
        }
    }
}

pub(super) fn run(args: &BenchmarkArgs) -> Result<(), RunError> {
    let work = || in_pool(args);
    let Some(threads) = args.threads else { return work() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build();
    pool.map_err(|e| ProblemError::invalid("--threads", threads, e.to_string()))?.install(work)
}

fn in_pool(args: &BenchmarkArgs) -> Result<(), RunError> {
    let suite = read_suite(&args.suite, &args.only)?;
    let out = OutputDirectory::prepare(&args.out)?;
    if !args.force {
        out.keep_finished()?;
    }
    out.claim(&Document::unfinished())?;
    let (table, page) = (out.path().join(BENCHMARK), out.path().join(BENCHMARK_PAGE));
    interrupt::catch();
    let flag = interrupt::flag();
    let bars = Bars::new(args.quiet, flag.clone());
    let report = benchmark(&suite, args.quick, &flag, &bars, &mut |rows| Ok(write_csv(rows, &table)?))?;
    write_text(&markdown(&report), &page)?;
    let failure = report.interrupted.then_some(RunError::BenchmarkInterrupted { rows: report.rows.len() });
    let mut document = Document {
        complete: failure.is_none(),
        error: failure.as_ref().map(ToString::to_string),
        benchmark: Some(&report),
        ..Document::unfinished()
    };
    if !report.rows.is_empty() {
        match draw_benchmark::figure(&report, out.path()) {
            Ok(figure) => document.figures.push(figure),
            Err(e) => {
                complain(&format!("a figure was not drawn: {e}"));
                document.figures_missing.push(e.to_string());
            }
        }
    }
    out.write_report(&document)?;
    html::write(&document, &document.figures, None, out.path())?;
    if !args.quiet {
        say(summary(&report).iter());
        say([format!("written to {}", out.path().display())].iter());
    }
    failure.map_or(Ok(()), Err)
}

fn summary(report: &BenchmarkReport) -> Vec<String> {
    let mut lines = vec![format!(
        "benchmark: {} problems, {} rows in {:.1} s on {} threads",
        report.problems.len(),
        report.rows.len(),
        report.seconds,
        report.threads
    )];
    lines.push(format!(
        "  {:34} {:>6}  {:>9}  {:>9}  {:>10}  order of V, of the control",
        "the largest size of each method", "steps", "of V", "control", "seconds"
    ));
    for problem in &report.problems {
        lines.push(format!("  {} (reference: {})", problem.name, problem.reference));
        let rows: Vec<_> = report.rows.iter().filter(|r| r.problem == problem.name).collect();
        for (i, r) in rows.iter().enumerate() {
            if rows.get(i + 1).is_some_and(|next| next.method == r.method) {
                continue;
            }
            let orders = report.orders.iter().find(|o| o.problem == r.problem && o.method == r.method);
            lines.push(format!(
                "    {:32} {:>6}  {:>9.2e}  {:>9}  {:>10.4}  {}, {}",
                r.method,
                r.steps,
                r.value_error,
                r.control_error.map_or("-".into(), |e| format!("{e:.2e}")),
                r.seconds,
                order_text(orders.and_then(|o| o.value)),
                order_text(orders.and_then(|o| o.control)),
            ));
        }
    }
    for f in &report.failures {
        lines.push(format!("  failed: {}, {} at {}: {}", f.problem, f.method, f.size, f.reason));
    }
    lines
}
