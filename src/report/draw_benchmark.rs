//! The page of plots of `benchmark`.

use super::ReportError;
use super::figure::{ErrorPanels, ErrorRow, ErrorSeries, FigureInfo, save};
use crate::benchmark::BenchmarkReport;
use std::path::Path;

/// Families in the order of line patterns.
const GROUPS: [&str; 4] = ["chain", "hjb", "high_order", "policy"];

/// The error of V of every method on every problem, against steps and against seconds.
pub fn figure(report: &BenchmarkReport, directory: &Path) -> Result<FigureInfo, ReportError> {
    // colours by first appearance within the family
    let mut members: Vec<Vec<&str>> = vec![Vec::new(); GROUPS.len()];
    let mut place = |family: &str, method| {
        let group = GROUPS.iter().position(|g| *g == family).unwrap_or(0);
        let known = members[group].iter().position(|m| *m == method);
        let member = known.unwrap_or_else(|| {
            members[group].push(method);
            members[group].len() - 1
        });
        (group, member)
    };
    let mut rows = Vec::new();
    for problem in &report.problems {
        let mut series: Vec<ErrorSeries<'_>> = Vec::new();
        for r in report.rows.iter().filter(|r| r.problem == problem.name) {
            if series.last().is_none_or(|s| s.label != r.method) {
                let (group, member) = place(r.family, r.method.as_str());
                series.push(ErrorSeries {
                    label: &r.method,
                    group,
                    member,
                    steps: Vec::new(),
                    seconds: Vec::new(),
                    errors: Vec::new(),
                });
            }
            if let Some(s) = series.last_mut() {
                s.steps.push(r.steps as f64);
                s.errors.push(r.value_error);
                // what it takes to simulate a policy is not what it takes to find one
                if r.family != "policy" {
                    s.seconds.push(r.seconds);
                }
            }
        }
        let floor = Some(problem.reference_value_error).filter(|e| *e > 0.0);
        rows.push(ErrorRow { title: &problem.name, series, floor });
    }
    let title = "Error of V, largest over the comparison box and all times";
    save(&ErrorPanels { title, y_label: "error of V", rows: &rows }, directory, "benchmark")
}
