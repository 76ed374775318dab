//! What the commands share: reading the problem, applying flags, writing the report.

use super::progress::Bars;
use super::{Options, interrupt};
use crate::problem::spec::GridSpec;
use crate::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemError, ProblemFile, SampledProblem};
use crate::report::html::{self, Fields};
use crate::report::{OutputDirectory, Report, ReportError, SLICES, SOLUTION, Slices, figure::FigureInfo};
use crate::run::{NetworkReport, RouteReport, RunError, network_report};
use hjbridge_model::{ControlledDiffusion, TensorGrid};
use hjbridge_rollout::Ranks;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A resolved problem of any kind.
pub(super) trait Subject: Sized {
    /// The problem of a file, with the flags applied.
    fn open(command: &str, options: &Options, file: AnyProblemFile) -> Result<Self, RunError>;
    /// The file with defaults filled in.
    fn file(&self) -> AnyProblemFile;
    /// Its name.
    fn name(&self) -> &str;
    /// Its description.
    fn description(&self) -> Option<&str>;
    /// What there is to say about the network that gives the score, if one does.
    fn network(&self) -> Option<NetworkReport> {
        None
    }
}

/// A problem with a grid.
pub(super) trait OnGrid: Subject {
    /// The grid.
    fn grid(&self) -> &TensorGrid;
    /// Components of the control.
    fn control_dim(&self) -> usize;
    /// Center and scale of the coordinates, where they are standardised data.
    fn units(&self) -> Option<[Vec<f64>; 2]> {
        None
    }
    /// What `report.html` shows of a solution.
    fn fields(&self, slices: &Slices<'_>) -> Fields;
}

impl Subject for Problem {
    fn open(command: &str, options: &Options, file: AnyProblemFile) -> Result<Self, RunError> {
        Ok(Problem::resolve(fine_tuning(command, options, file)?, directory_of(&options.problem))?)
    }
    fn file(&self) -> AnyProblemFile {
        self.file.clone().into()
    }
    fn name(&self) -> &str {
        &self.file.name
    }
    fn description(&self) -> Option<&str> {
        self.file.description.as_deref()
    }
    fn network(&self) -> Option<NetworkReport> {
        network_report(self)
    }
}

impl OnGrid for Problem {
    fn grid(&self) -> &TensorGrid {
        &self.grid
    }
    fn control_dim(&self) -> usize {
        self.dim()
    }
    fn units(&self) -> Option<[Vec<f64>; 2]> {
        self.data.as_ref().map(|data| [data.map.center.clone(), data.map.scale.clone()])
    }
    fn fields(&self, slices: &Slices<'_>) -> Fields {
        Fields::fine_tuning(self, slices)
    }
}

impl Subject for SampledProblem {
    fn open(command: &str, options: &Options, file: AnyProblemFile) -> Result<Self, RunError> {
        Ok(SampledProblem::resolve(fine_tuning(command, options, file)?, directory_of(&options.problem))?)
    }
    fn file(&self) -> AnyProblemFile {
        self.file.clone().into()
    }
    fn name(&self) -> &str {
        &self.file.name
    }
    fn description(&self) -> Option<&str> {
        self.file.description.as_deref()
    }
}

impl Subject for ControlledProblem {
    fn open(command: &str, options: &Options, file: AnyProblemFile) -> Result<Self, RunError> {
        let AnyProblemFile::Controlled(mut file) = file else {
            return Err(RunError::Unsupported(format!("{command} needs a problem of kind controlled_diffusion")));
        };
        let simulated = matches!(command, "rollout" | "certify" | "check");
        for (flag, given) in [("--paths", options.paths.is_some()), ("--seed", options.seed.is_some())] {
            if given && !simulated {
                return Err(ProblemError::invalid(flag, "given", "is for simulations: for rollout and certify").into());
            }
        }
        file.paths = options.paths.unwrap_or(file.paths);
        file.seed = options.seed.unwrap_or(file.seed);
        override_nodes(options, &mut file.grid);
        match options.steps.as_deref() {
            None => {}
            Some([n]) if file.horizon.is_some() || simulated => file.time_steps = *n,
            Some(steps) => {
                let allowed = "one number, for a problem with a horizon";
                return Err(ProblemError::invalid("--steps", format!("{steps:?}"), allowed).into());
            }
        }
        Ok(ControlledProblem::resolve(*file)?)
    }
    fn file(&self) -> AnyProblemFile {
        self.file.clone().into()
    }
    fn name(&self) -> &str {
        &self.file.name
    }
    fn description(&self) -> Option<&str> {
        self.file.description.as_deref()
    }
}

impl OnGrid for ControlledProblem {
    fn grid(&self) -> &TensorGrid {
        &self.grid
    }
    fn control_dim(&self) -> usize {
        self.model.control_dim()
    }
    fn fields(&self, slices: &Slices<'_>) -> Fields {
        Fields::controlled(self, slices)
    }
}

/// One command on one problem.
pub(super) struct Session<P = Problem> {
    pub command: &'static str,
    pub problem: P,
    pub out: OutputDirectory,
    pub threads: Option<usize>,
    pub bars: Bars,
    /// This process among those that share the work.
    pub ranks: Arc<dyn Ranks>,
    slices: usize,
    quiet: bool,
    /// What the page shows of the solution.
    fields: OnceLock<Fields>,
}

impl<P: Subject> Session<P> {
    /// Apply the flags to the problem, resolve it, check the output directory.
    pub fn open(
        command: &'static str,
        options: &Options,
        file: AnyProblemFile,
        ranks: &Arc<dyn Ranks>,
    ) -> Result<Self, RunError> {
        let problem = P::open(command, options, file)?;
        let out = options.out.clone().unwrap_or_else(|| PathBuf::from("out").join(problem.name()));
        let out = OutputDirectory::prepare(&out)?;
        if !options.force {
            out.keep_finished()?;
        }
        interrupt::catch();
        let threads = options.threads.map(usize::from);
        let slices = options.slices.unwrap_or(SLICES);
        let bars = Bars::new(options.quiet || ranks.rank() > 0, interrupt::flag());
        Ok(Session {
            command,
            problem,
            out,
            threads,
            bars,
            ranks: ranks.clone(),
            slices,
            quiet: options.quiet,
            fields: OnceLock::new(),
        })
    }

    /// Whether this process writes and prints: one of those that share the work does.
    pub fn writes(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// Intervals between the times that are wanted from a solver.
    pub fn levels(&self) -> usize {
        self.slices.max(SLICES) - 1
    }

    /// A report to fill in.
    pub fn report(&self) -> Report {
        let mut report = Report::new(self.command, self.problem.file());
        report.invocation = invocation();
        report
    }

    /// Take the output directory: from here on there is something to write.
    pub fn claim(&self) -> Result<(), RunError> {
        if !self.writes() {
            return Ok(());
        }
        let mut report = self.report();
        report.complete = false;
        report.error = Some("the run was stopped before it finished".into());
        self.out.claim(&report)?;
        Ok(html::write(&report, &[], None, self.out.path())?)
    }
}

impl<P: OnGrid> Session<P> {
    /// Thin the time levels of a solution and write them as `solution.npz`.
    pub fn write_slices<'f>(
        &self,
        times: &[f64],
        value: impl Fn(usize) -> &'f [f64],
        control: impl Fn(usize) -> &'f [f64],
    ) -> Result<Slices<'f>, RunError> {
        self.claim()?;
        let mut slices = Slices::thin(self.problem.control_dim(), self.slices, times, value, control);
        slices.units = self.problem.units();
        if self.writes() {
            slices.write(self.problem.grid(), &self.out.path().join(SOLUTION))?;
            self.fields.get_or_init(|| self.problem.fields(&slices));
        }
        Ok(slices)
    }
}

impl<P: Subject> Session<P> {
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
        // what was left out since the user wanted the end is no whole run
        let failure = failure.or_else(|| interrupt::was_caught().then_some(RunError::Cancelled));
        report.complete = failure.is_none();
        report.error = failure.as_ref().map(ToString::to_string);
        if !self.writes() {
            return failure.map_or(Ok(()), Err);
        }
        report.network = self.problem.network();
        if let Some(network) = &mut report.network {
            network.compare(report.solve.as_ref(), report.pift.as_ref());
        }
        self.out.write_report(&report)?;
        html::write(&report, &report.figures, self.fields.get(), self.out.path())?;
        if !self.quiet {
            say(summary.iter());
            say(report.network.iter().map(network_line));
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
        let mut lines = vec![format!("{} on {}", self.command, self.problem.name())];
        lines.extend(self.problem.description().map(str::to_string));
        lines
    }
}

/// What a network adds to errors against closed forms.
fn network_line(n: &NetworkReport) -> String {
    let mut line = format!("  score by a network: relative entropy {:.2e} from the reference", n.relative_entropy);
    if let Some(gap) = &n.gap {
        let of_grid = gap.discretisation.map_or(String::new(), |d| format!(", of which about {d:.1e} by the discretisation"));
        line += &format!("; distance from its closed form: V {}{of_grid}, U {}", shown(gap.value), shown(gap.control));
        line += &gap.objective.map_or(String::new(), |j| format!(", objective {j:+.3e}"));
        if let Some(own) = &gap.own {
            let (v, u, j) = (own.value, own.control, own.objective);
            line += &format!("; by the network alone (same chain, exact score): V {v:.3e}, U {u:.3e}, objective {j:+.3e}");
        }
    }
    line
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

/// The file of a fine-tuning problem, with the flags applied.
fn fine_tuning(command: &str, options: &Options, file: AnyProblemFile) -> Result<ProblemFile, RunError> {
    let AnyProblemFile::FineTuning(mut file) = file else {
        let what =
            format!("{command} needs a fine-tuning problem; kind controlled_diffusion has check, solve, rollout and certify");
        return Err(RunError::Unsupported(what));
    };
    apply(command, options, &mut file)?;
    Ok(*file)
}

/// Folder that relative data paths start from.
pub(super) fn directory_of(problem: &Path) -> &Path {
    match problem.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn override_nodes(options: &Options, grid: &mut GridSpec) {
    if let Some(nodes) = &options.nodes {
        grid.nodes = match nodes.as_slice() {
            [n] => vec![*n; grid.nodes.len()],
            _ => nodes.clone(),
        };
    }
}

fn apply(command: &str, options: &Options, file: &mut ProblemFile) -> Result<(), RunError> {
    override_nodes(options, &mut file.grid);
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

/// What was solved in which time, what was picked and why, and the certificate.
pub(super) fn route_lines(nodes: usize, seconds: f64, route: &RouteReport, controlled: bool) -> Vec<String> {
    let steps = route.steps().map_or(String::new(), |n| format!(" {n} steps,"));
    let mut lines = vec![
        format!("  {nodes} nodes,{steps} {}: {seconds:.3} s", route.scheme),
        format!("  route {}: {}", route.route.replace('_', " "), route.reason),
    ];
    if let Some(certificate) = &route.certificate {
        let estimate = certificate.richardson.as_ref();
        // at a switch the largest error does not fall under refinement
        let control = estimate.filter(|_| controlled).map(|e| {
            if e.control_jump.is_some() || e.control_observed_order.is_some_and(|p| p < 0.5) {
                format!(", of the control about {:.1e} on average", e.control_mean_error)
            } else {
                format!(", of the control {:.1e}", e.control_error)
            }
        });
        lines.push(format!(
            "  certificate: error of V about {}{} (order {}); residual {}",
            shown(estimate.map(|e| e.value_error)),
            control.unwrap_or_default(),
            // differences that are rounding have no order
            shown_order(estimate.filter(|e| e.value_difference > 1e-12).and_then(|e| e.observed_order)),
            shown(certificate.residual.as_ref().map(|r| r.sup))
        ));
    }
    lines
}

/// What the certificate says must be read with care; what makes a figure unreliable is a warning.
pub(super) fn notes(route: &RouteReport) -> Vec<String> {
    let grave = |note: &str| note.starts_with("no ") || ["not reliable", "could not", "prefer"].iter().any(|w| note.contains(w));
    let notes = route.certificate.iter().flat_map(|c| &c.notes);
    notes.map(|note| format!("  {}: {note}", if grave(note) { "warning" } else { "note" })).collect()
}

/// A number for a summary, or a dash.
pub(super) fn shown(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| format!("{x:.3e}"))
}

/// An order for a summary, or a dash.
pub(super) fn shown_order(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| format!("{x:.2}"))
}

/// The program and its arguments as they were given.
pub(super) fn invocation() -> Vec<String> {
    let given = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("hjbridge".to_string()).chain(given).collect()
}
