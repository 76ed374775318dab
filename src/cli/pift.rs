//! `pift`: the discrete-time solution with its rates.

use super::common::{Session, shown};
use super::parametric::ParametricArgs;
use crate::problem::AnyProblemFile;
use crate::problem::spec::{InnerSpec, KernelSpec, PiFtSpec, StopSpec, TimeGridSpec, VarianceSpec};
use crate::report::draw;
use crate::run::{RunError, pift};
use clap::Args;

/// Flags of `pift`.
#[derive(Args)]
pub(super) struct PiftArgs {
    #[command(flatten)]
    pub options: super::Options,
    #[command(flatten)]
    exact: ExactArgs,
    #[command(flatten)]
    pub parametric: ParametricArgs,
}

/// What replaces section `pift` of the file.
#[derive(Args)]
struct ExactArgs {
    /// Inner iteration
    #[arg(long, value_enum, conflicts_with = "parametric")]
    inner: Option<InnerSpec>,
    /// One-step problem; `both` brackets the value
    #[arg(long, value_enum, conflicts_with = "parametric")]
    kernel: Option<KernelSpec>,
    /// Variance of a step
    #[arg(long, value_enum)]
    variance: Option<VarianceSpec>,
    /// Where the times t_k lie
    #[arg(long, value_enum)]
    time_grid: Option<TimeGridSpec>,
    /// Inner iterations of every step
    #[arg(long, value_name = "M", conflicts_with_all = ["parametric", "tolerance", "stop"])]
    iterations: Option<usize>,
    /// End the inner iteration when an update is below this
    #[arg(long, value_name = "X", conflicts_with = "parametric")]
    tolerance: Option<f64>,
    /// What ends the inner iteration
    #[arg(long, value_enum, conflicts_with_all = ["parametric", "tolerance"])]
    stop: Option<StopSpec>,
}

impl PiftArgs {
    /// Put the flags into the file.
    pub fn apply(&self, file: &mut AnyProblemFile) {
        let AnyProblemFile::FineTuning(file) = file else { return };
        let (e, p): (&ExactArgs, &mut PiFtSpec) = (&self.exact, &mut file.pift);
        p.inner = e.inner.unwrap_or(p.inner);
        p.kernel = e.kernel.unwrap_or(p.kernel);
        p.variance = e.variance.unwrap_or(p.variance);
        p.time_grid = e.time_grid.unwrap_or(p.time_grid);
        p.tolerance = e.tolerance.unwrap_or(p.tolerance);
        if e.iterations.is_some() {
            p.iterations = e.iterations;
        } else if e.tolerance.is_some() || e.stop.is_some() {
            p.iterations = None;
            p.stop = e.stop.unwrap_or(StopSpec::Tolerance);
        }
    }

    /// Whether a flag took the place of section `pift` of the file.
    pub fn replaces(&self) -> bool {
        let e = &self.exact;
        e.inner.is_some()
            || e.kernel.is_some()
            || e.variance.is_some()
            || e.time_grid.is_some()
            || e.iterations.is_some()
            || e.tolerance.is_some()
            || e.stop.is_some()
    }
}

pub(super) fn run(session: &Session, args: &PiftArgs) -> Result<(), RunError> {
    if let Some(kind) = args.parametric.parametric {
        return super::parametric::run(session, &(&session.problem).into(), &args.parametric, kind);
    }
    let problem = &session.problem;
    let run = pift(problem, problem.file.time_steps, &session.bars)?;
    // the chain has no control at T; its limit there is the continuous one
    let terminal = run.terminal_control(problem);
    let control = |k: usize| run.controls.get(k).map_or(terminal.as_slice(), Vec::as_slice);
    let slices = session.write_slices(&run.times, |k| &run.values[k], control)?;
    let mut report = session.report();
    session.add_figures(&mut report, draw::value_and_control(problem, &slices, session.out.path(), "value_and_control"));
    session.add_figures(&mut report, draw::planes(problem, &slices, session.out.path()));
    session.add_figures(&mut report, draw::pift(&run, session.out.path()));
    let r = &run.report;
    let mut summary = session.heading();
    let most = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
    let seen: Vec<f64> = r.contraction.iter().flatten().copied().collect();
    summary.push(format!(
        "  N = {}: {:.2} s, at most {} inner iterations, contraction {:.4} (bound {:.4})",
        r.steps,
        r.seconds,
        r.iterations.iter().max().unwrap_or(&0),
        most(&seen),
        most(&r.rho)
    ));
    if let Some(reference) = r.reference {
        summary.push(format!(
            "  distance to the continuous solution ({reference}): V {}, U {}",
            shown(r.value_error),
            shown(r.control_error)
        ));
    }
    if let Some(error) = r.discrete_value_error {
        summary.push(format!("  error against the exact recursion of the chain: V {error:.3e}"));
    }
    if let Some(q) = &r.quadrature {
        let how = if q.chosen { "chosen by their estimate" } else { "as given" };
        summary.push(format!("  {} quadrature nodes in each direction, {how}", q.nodes_per_axis));
    }
    if let Some(s) = &r.sandwich {
        let [below, middle, above] = s.objectives;
        summary.push(format!(
            "  pre-trained {below:.6} <= mean shift {middle:.6} <= soft {above:.6}; largest gap soft - mean shift {:.3e}",
            s.gap
        ));
    }
    if let Some(objective) = r.objective {
        summary.push(format!("  optimal objective of the chain E V_0(Y_0) = {objective:.6}"));
    }
    report.pift = Some(run.report);
    session.finish(report, run.failure, &summary)
}
