//! `certify`: how far from optimal a policy from a file is.

use super::common::{Session, Subject};
use super::controlled::{digits, list};
use crate::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemError, SampledProblem};
use crate::report::{CERTIFY, draw_certify};
use crate::run::{
    CertifyOptions, CertifyReport, CertifyRun, Computed, Policy, PolicyInfo, RunError, Verdict, certify, certify_controlled,
    certify_sampled, site, site_controlled,
};
use clap::Args;
use hjbridge_rollout::Ranks;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Flags of `certify`.
#[derive(Args)]
pub(super) struct CertifyArgs {
    #[command(flatten)]
    pub options: super::Options,
    /// The policy: a table (.npz) or a network (.safetensors, .onnx); docs/certify.md
    policy: PathBuf,
}

/// Run on a problem of any kind.
pub(super) fn run(args: &CertifyArgs, file: AnyProblemFile, ranks: &Arc<dyn Ranks>) -> Result<(), RunError> {
    let mut options = super::Options { out: args.options.out.clone(), ..args.options.clone() };
    let name = match &file {
        AnyProblemFile::FineTuning(f) => f.name.clone(),
        AnyProblemFile::Controlled(f) => f.name.clone(),
    };
    // not where `solve` writes, whose output is the likeliest policy
    let out = options.out.get_or_insert_with(|| PathBuf::from("out").join(format!("{name}-certify")));
    check_apart(out, &args.policy)?;
    match file {
        AnyProblemFile::Controlled(_) => {
            let session: Session<ControlledProblem> = Session::open("certify", &options, file, ranks)?;
            let policy = Policy::read(&args.policy, site_controlled(&session.problem))?;
            let run = certify_controlled(&session.problem, &policy, &chosen(&session, args), &session.bars)?;
            let (problem, path) = (&session.problem, session.out.path());
            let place = draw_certify::Place {
                grid: &problem.grid,
                region: &problem.compare_on,
                labels: (0..problem.dim()).map(|i| problem.axis_label(i)).collect(),
            };
            finish(&session, run, Some((&place, path)))
        }
        AnyProblemFile::FineTuning(f) if f.grid.is_absent() => {
            let session: Session<SampledProblem> = Session::open("certify", &options, AnyProblemFile::FineTuning(f), ranks)?;
            let policy = Policy::read(&args.policy, site(&session.problem.model))?;
            let run = certify_sampled(&session.problem, &policy, &chosen(&session, args), &session.bars)?;
            finish(&session, run, None)
        }
        file => {
            let session: Session<Problem> = Session::open("certify", &options, file, ranks)?;
            let policy = Policy::read(&args.policy, site(&session.problem.model))?;
            let run = certify(&session.problem, &policy, &chosen(&session, args), &session.bars)?;
            let (problem, path) = (&session.problem, session.out.path());
            let place = draw_certify::Place {
                grid: &problem.grid,
                region: &problem.compare_on,
                labels: (0..problem.dim())
                    .map(|i| format!("state y{}", if problem.dim() == 1 { String::new() } else { i.to_string() }))
                    .collect(),
            };
            finish(&session, run, Some((&place, path)))
        }
    }
}

/// A run takes its directory over: the policy must not be in it.
fn check_apart(out: &Path, policy: &Path) -> Result<(), ProblemError> {
    let (Ok(out), Ok(policy)) = (out.canonicalize(), policy.canonicalize()) else { return Ok(()) };
    match policy.parent() == Some(out.as_path()) {
        true => {
            Err(ProblemError::invalid("--out", out.display(), "another directory than the policy's, whose files it replaces"))
        }
        false => Ok(()),
    }
}

fn chosen<P: Subject>(session: &Session<P>, args: &CertifyArgs) -> CertifyOptions {
    let steps = args.options.steps.as_ref().and_then(|s| s.first().copied());
    CertifyOptions { paths: args.options.paths, steps, seed: args.options.seed, levels: session.levels() }
}

fn finish<P: Subject>(
    session: &Session<P>,
    mut run: CertifyRun,
    place: Option<(&draw_certify::Place<'_>, &Path)>,
) -> Result<(), RunError> {
    session.claim()?;
    let mut report = session.report();
    let failure = run.failure.take();
    if let Some((place, path)) = place {
        draw_certify::write(place, &run, &path.join(CERTIFY))?;
        session.add_figures(&mut report, draw_certify::figures(place, &run, path));
    }
    let mut summary = session.heading();
    summary.extend(lines(&run.report));
    report.certify = Some(run.report);
    session.finish(report, failure, &summary)
}

/// The summary.
fn lines(r: &CertifyReport) -> Vec<String> {
    let mut lines = vec![format!("  policy: {}; {:.2} s", described(&r.policy), r.seconds)];
    for verdict in &r.starts {
        if let Some(x) = &verdict.x {
            lines.push(format!("  from x = {}:", list(x)));
        }
        lines.extend(verdict_lines(verdict, r.confidence));
    }
    if let Some(lost) = r.where_lost.as_ref().filter(|l| l.total > 0.0) {
        let at = lost.worst_point.as_ref().map_or(String::new(), |y| format!(", there at {}", list(y)));
        let (a, b) = lost.middle_half;
        lines.push(format!(
            "  it loses most at t = {}{at}; the middle half of the loss is made between t = {} and {}",
            digits(lost.worst_time),
            digits(a),
            digits(b)
        ));
    }
    lines.extend(r.notes.iter().map(|note| format!("  note: {note}")));
    if !r.missing.is_empty() {
        lines.push(format!("  ended by the user without: {}", r.missing.join(", ")));
    }
    lines
}

fn described(p: &PolicyInfo) -> String {
    match (&p.nodes, p.times, p.levels, p.parameters) {
        (Some(nodes), Some((from, to)), Some(levels), _) => {
            let nodes: Vec<String> = nodes.iter().map(usize::to_string).collect();
            format!("table of {} nodes at {levels} times from {} to {}", nodes.join(" x "), digits(from), digits(to))
        }
        (.., Some(n)) => format!("{} of {n} parameters", p.kind),
        _ => p.kind.into(),
    }
}

fn verdict_lines(v: &Verdict, confidence: f64) -> Vec<String> {
    let percent = 100.0 * confidence;
    let with = |c: &Computed| format!("{} ± {}", digits(c.value), c.error.map_or("?".into(), |e| format!("{e:.1e}")));
    let mut j = Vec::new();
    if let Some(s) = &v.simulated {
        let half = 0.5 * (s.interval.1 - s.interval.0);
        j.push(format!("{} ± {half:.1e} ({percent} %, {} paths)", digits(s.objective.mean), s.objective.n));
    }
    j.extend(v.computed.iter().map(|c| format!("{} (linear equation)", with(c))));
    let mut lines = vec![format!("  J(policy)   {}", j.join(" | "))];
    let mut optimum: Vec<String> = v.optimum.iter().map(|c| format!("{} (HJB equation)", with(c))).collect();
    if let Some(exact) = v.optimum_exact {
        optimum.push(format!("{} (closed form)", digits(exact)));
    }
    if v.simulated.is_some() && v.computed.is_none() && v.optimum.is_some() {
        optimum = v.optimum.iter().map(|c| format!("{} (closed form)", with(c))).collect();
    }
    if !optimum.is_empty() {
        lines.push(format!("  V           {}", optimum.join(" | ")));
    }
    for b in &v.bounds {
        lines.push(format!(
            "  bound       {} (estimated {}; {}: {})",
            digits(b.limit),
            digits(b.value),
            b.kind.replace('_', " "),
            b.method
        ));
    }
    if let Some(none) = &v.uncontrolled {
        lines.push(format!("  no control  {}", with(none)));
    }
    let one_sided = v.loss.is_some_and(|l| l.method == "upper_bound");
    if let Some(l) = &v.loss {
        let method = l.method.replace('_', " ");
        lines.push(format!(
            "  loss        {}{} (from {} to {}; {method})",
            if one_sided { "at most about " } else { "" },
            digits(l.value),
            digits(l.low),
            digits(l.high)
        ));
    }
    if let Some(reached) = v.reached {
        let share = |x: f64| format!("{:.4}", 100.0 * x);
        let range = v.reached_interval.map_or(String::new(), |(a, b)| format!(" ({} to {})", share(a), share(b)));
        let worse = if reached < 0.0 && !one_sided { ": it is worse than no control" } else { "" };
        lines.push(format!(
            "  the policy reaches {}{} %{range} of the attainable gain{worse}",
            if one_sided { "at least about " } else { "" },
            share(reached)
        ));
    }
    lines
}
