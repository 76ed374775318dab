//! `check`: validate and print the resolved problem.

use super::Options;
use super::common::{Subject, say};
use crate::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemError, SampledProblem, memory_available};
use crate::report::SLICES;
use crate::run::{Plan, RunError, evaluate_everywhere, plan, plan_controlled};
use clap::Args;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::exact::closed_form;
use std::path::{Path, PathBuf};

/// Flags of `check`.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// The problem file
    problem: PathBuf,
    /// Nodes of the grid, one number for each axis
    #[arg(long, value_delimiter = ',')]
    nodes: Option<Vec<usize>>,
    /// Time steps
    #[arg(long)]
    steps: Option<usize>,
    /// Paths of the simulation
    #[arg(long)]
    paths: Option<usize>,
}

impl CheckArgs {
    /// The problem file.
    pub fn problem(&self) -> &Path {
        &self.problem
    }

    /// Fields that flags replace.
    pub fn given(&self) -> Vec<&'static str> {
        let given = [("grid", self.nodes.is_some()), ("time_steps", self.steps.is_some()), ("paths", self.paths.is_some())];
        given.into_iter().filter(|(_, given)| *given).map(|(field, _)| field).collect()
    }

    fn options(&self) -> Options {
        Options {
            problem: self.problem.clone(),
            nodes: self.nodes.clone(),
            steps: self.steps.map(|n| vec![n]),
            paths: self.paths,
            ..Options::default()
        }
    }
}

pub(super) fn run(args: &CheckArgs) -> Result<(), RunError> {
    let (file, options) = (AnyProblemFile::read(&args.problem)?, args.options());
    match &file {
        AnyProblemFile::FineTuning(f) if f.grid.is_absent() => sampled(&Subject::open("check", &options, file)?),
        AnyProblemFile::FineTuning(_) => fine_tuning(&Subject::open("check", &options, file)?),
        AnyProblemFile::Controlled(_) => controlled(&Subject::open("check", &options, file)?),
    }
}

/// Every formula is evaluated on the grid, so that one that is not finite there is found without solving.
fn controlled(problem: &ControlledProblem) -> Result<(), RunError> {
    let f = &problem.file;
    evaluate_everywhere(problem)?;
    let (d, m) = (problem.dim(), problem.model.control_dim());
    let mut lines = vec![
        format!(
            "{}: valid, {d} dimension(s), {m} control(s), {}",
            f.name,
            match f.horizon {
                Some(t) => format!("horizon {t}"),
                None => "no horizon".into(),
            }
        ),
        format!("  {:?}, discount {}", problem.sense, f.discount).to_lowercase(),
        format!(
            "  grid {:?} nodes = {} in all{}",
            f.grid.nodes,
            problem.grid.len(),
            match f.horizon {
                Some(_) => format!(", {} time steps", f.time_steps),
                None => String::new(),
            }
        ),
    ];
    lines.extend(plan_lines(&plan_controlled(problem, SLICES - 1)));
    lines.push(serde_json::to_string_pretty(f).map_err(|e| ProblemError::invalid("problem", &f.name, e.to_string()))?);
    say(lines.iter());
    Ok(())
}

/// What the commands would do, and at what price.
fn plan_lines(plans: &[Plan]) -> Vec<String> {
    let mut lines =
        vec!["  what the commands would do; times are rough (a factor of 3, more where a run refines by itself):".to_string()];
    for p in plans {
        let (seconds, memory) = (price(p.seconds), p.bytes / 1e9);
        let refused = if p.bytes > memory_available() { "; more than may be used: refused" } else { "" };
        lines.push(format!("    {:8} {seconds:>8}  {memory:6.2} GB at most{refused}", p.command));
        lines.push(format!("             {}", p.what));
    }
    lines
}

/// Two digits of a time.
fn price(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.1} s", s.max(0.1)),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s if s < 360_000.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} days", s / 86400.0),
    }
}

fn sampled(problem: &SampledProblem) -> Result<(), RunError> {
    let (m, f) = (&problem.model, &problem.file);
    let mut lines = vec![
        format!("{}: valid, {} dimension(s), no grid: for pift --parametric", f.name, problem.dim()),
        format!(
            "  horizon {}, kl_weight {:?}, initial law {:?}, {} time steps",
            f.horizon,
            m.kl_weight(),
            m.initial(),
            f.time_steps
        ),
    ];
    if let Some(score) = &problem.network {
        let n = score.network();
        lines.push(format!("  score: a network of {} parameters that predicts {:?}", n.parameters(), n.predicts()));
    }
    lines.push(serde_json::to_string_pretty(f).map_err(|e| ProblemError::invalid("problem", &f.name, e.to_string()))?);
    say(lines.iter());
    Ok(())
}

fn fine_tuning(problem: &Problem) -> Result<(), RunError> {
    let (m, f, s) = (&problem.model, &problem.file, problem.model.schedule());
    let mut lines = vec![
        format!("{}: valid, {} dimension(s)", f.name, problem.dim()),
        format!(
            "  horizon {}, b from {} at the noise to {} at the data, int b = {:.6}, exp(-int b / 2) = {:.6}",
            s.horizon(),
            s.rate(0.0),
            s.rate(s.horizon()),
            s.remaining(0.0),
            s.signal(0.0)
        ),
        format!(
            "  prior of {} component(s), mean {:?}, covariance {:?}",
            m.prior().components(),
            m.prior().mean(),
            m.prior().covariance()
        ),
    ];
    if let Some(data) = &problem.data {
        let (rows, map) = (data.values[0].len(), &data.map);
        lines.push(format!("  data: {rows} rows of {:?}, model = (data - {:?}) / {:?}", data.names, map.center, map.scale));
    }
    lines.push(format!("  kl_weight {:?}, initial law {:?}", m.kl_weight(), m.initial()));
    if let Some(score) = &problem.network {
        let n = score.network();
        lines.push(format!(
            "  score: a network of {} parameters that predicts {:?}, constant in time for tau < {}; the prior is its reference",
            n.parameters(),
            n.predicts(),
            n.tau_min()
        ));
    }
    lines.push(match closed_form(m)? {
        Some(exact) => format!("  closed form: {}", exact.description()),
        None => "  closed form: none; the HJB solution is the reference".into(),
    });
    lines.push(format!(
        "  grid {:?} nodes = {} in all, {} time steps, bridge at N = {:?}",
        f.grid.nodes,
        problem.grid.len(),
        f.time_steps,
        f.bridge_steps
    ));
    lines.extend(plan_lines(&plan(problem, SLICES - 1)));
    lines.push(serde_json::to_string_pretty(f).map_err(|e| ProblemError::invalid("problem", &f.name, e.to_string()))?);
    say(lines.iter());
    Ok(())
}
