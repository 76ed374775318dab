//! What the commands share: reading the problem, applying flags, writing the report.

use super::Options;
use super::progress::Bars;
use crate::problem::{Problem, ProblemError, ProblemFile};
use crate::report::{OutputDirectory, Report, ReportError, SLICES, SOLUTION, Slices, figure::FigureInfo};
use crate::run::RunError;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One command on one problem.
pub(super) struct Session {
    pub command: &'static str,
    pub problem: Problem,
    pub out: OutputDirectory,
    pub threads: Option<usize>,
    pub bars: Bars,
    slices: usize,
    quiet: bool,
}

impl Session {
    /// Read the problem, apply the flags, check the output directory.
    pub fn open(command: &'static str, options: &Options) -> Result<Self, RunError> {
        let mut file = ProblemFile::read(&options.problem)?;
        apply(command, options, &mut file)?;
        let problem = Problem::resolve(file, directory_of(&options.problem))?;
        let out = options.out.clone().unwrap_or_else(|| PathBuf::from("out").join(&problem.file.name));
        let out = OutputDirectory::prepare(&out)?;
        let threads = options.threads.map(usize::from);
        let slices = options.slices.unwrap_or(SLICES);
        Ok(Session { command, problem, out, threads, bars: Bars::new(options.quiet), slices, quiet: options.quiet })
    }

    /// A report to fill in.
    pub fn report(&self) -> Report {
        Report::new(self.command, self.problem.file.clone())
    }

    /// Take the output directory: from here on there is something to write.
    fn claim(&self) -> Result<(), RunError> {
        let mut report = self.report();
        report.complete = false;
        report.error = Some("the run was stopped before it finished".into());
        Ok(self.out.claim(&report)?)
    }

    /// Thin the time levels of a solution and write them as `solution.npz`.
    pub fn write_slices<'f>(
        &self,
        times: &[f64],
        value: impl Fn(usize) -> &'f [f64],
        control: impl Fn(usize) -> &'f [f64],
    ) -> Result<Slices, RunError> {
        self.claim()?;
        let slices = Slices::thin(&self.problem, self.slices, times, value, control);
        slices.write(&self.problem, &self.out.path().join(SOLUTION))?;
        Ok(slices)
    }

    /// Add figures to the report; one that cannot be drawn is said and does not lose the numbers.
    pub fn add_figures(&self, report: &mut Report, drawn: Result<Vec<FigureInfo>, ReportError>) {
        match drawn {
            Ok(figures) => report.figures.extend(figures),
            Err(e) => {
                complain(&format!("a figure was not drawn: {e}"));
                report.figures_missing.push(e.to_string());
            }
        }
    }

    /// Write the report, print the summary, pass on the failure.
    pub fn finish(&self, mut report: Report, failure: Option<RunError>, summary: &[String]) -> Result<(), RunError> {
        report.complete = failure.is_none();
        report.error = failure.as_ref().map(ToString::to_string);
        self.out.write_report(&report)?;
        if !self.quiet {
            say(summary.iter());
            say([format!("written to {}", self.out.path().display())].iter());
        }
        match failure {
            None => Ok(()),
            Some(e) => {
                complain(&format!("stopped early; what was finished is in {}", self.out.path().display()));
                Err(e)
            }
        }
    }

    /// First lines of every summary.
    pub fn heading(&self) -> Vec<String> {
        let file = &self.problem.file;
        let mut lines = vec![format!("{} on {}", self.command, file.name)];
        lines.extend(file.description.clone());
        lines
    }
}

/// Lines on standard output. A reader who has left is no error.
pub(super) fn say<S: AsRef<str>>(lines: impl Iterator<Item = S>) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{}", line.as_ref()).is_err() {
            return;
        }
    }
}

/// A line on standard error.
pub(super) fn complain(line: &str) {
    // nobody is left to be told when this fails
    let _ = writeln!(std::io::stderr(), "hjbridge: {line}");
}

/// Folder that relative data paths start from.
pub(super) fn directory_of(problem: &Path) -> &Path {
    match problem.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn apply(command: &str, options: &Options, file: &mut ProblemFile) -> Result<(), RunError> {
    if let Some(nodes) = &options.nodes {
        file.grid.nodes = match nodes.as_slice() {
            [n] => vec![*n; file.grid.nodes.len()],
            _ => nodes.clone(),
        };
    }
    if let Some(steps) = &options.steps {
        match (command, steps.as_slice()) {
            ("bridge", _) => file.bridge_steps = steps.clone(),
            (_, [n]) => file.time_steps = *n,
            _ => return Err(ProblemError::invalid("--steps", format!("{steps:?}"), "one number; a list is for bridge").into()),
        }
    }
    if let Some(paths) = options.paths {
        file.paths = paths;
    }
    if let Some(seed) = options.seed {
        file.seed = seed;
    }
    Ok(())
}

/// A number for a summary, or a dash.
pub(super) fn shown(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| format!("{x:.3e}"))
}

/// An order for a summary, or a dash.
pub(super) fn shown_order(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| format!("{x:.2}"))
}
