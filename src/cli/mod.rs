//! The command line: one file for each subcommand. Summaries go to standard output, progress and errors to standard error.
//!
//! Exit codes: 0 done; 1 a numerical failure, the finished part is written; 2 bad input, nothing is written; 3 ended by the user
//! (Ctrl-C during a simulation), what was done is written and marked partial.

mod bridge;
mod certify;
mod check;
mod common;
mod controlled;
mod parametric;
mod pift;
mod progress;
mod ranks;
mod rollout;
mod rollout_options;
mod solve;
mod sweep;

use crate::problem::{AnyProblemFile, ProblemError, SampledProblem, line_of};
use crate::run::RunError;
use clap::{Args, Parser, Subcommand};
use common::Session;
use hjbridge_rollout::Ranks;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Exact answers for fine-tuning diffusion models by stochastic control, and PI-FT measured against them.
#[derive(Parser)]
#[command(name = "hjbridge", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Validate a problem file and print the resolved problem
    Check {
        /// The problem file
        problem: PathBuf,
    },
    /// Solve the Hamilton-Jacobi-Bellman equation on the grid
    Solve(Options),
    /// Simulate the optimal policy
    Rollout(rollout_options::RolloutArgs),
    /// Solve and simulate at several KL weights: reward against divergence
    Sweep(sweep::SweepArgs),
    /// Solve the discrete-time problem by PI-FT
    Pift(pift::PiftArgs),
    /// Measure how PI-FT converges to the continuous solution
    Bridge(Options),
    /// Say how far from optimal a policy from a file is
    Certify(certify::CertifyArgs),
}

/// Flags common to the commands; they override the problem file.
#[derive(Args, Clone)]
struct Options {
    /// The problem file
    problem: PathBuf,
    /// Output directory [default: out/NAME]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Seed of the simulation
    #[arg(long)]
    seed: Option<u64>,
    /// Threads [default: one for each core]; results do not depend on it
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Nodes of the grid, one number for each axis
    #[arg(long, value_delimiter = ',')]
    nodes: Option<Vec<usize>>,
    /// Time steps (only bridge takes a comma list)
    #[arg(long, value_delimiter = ',')]
    steps: Option<Vec<usize>>,
    /// Paths of the simulation
    #[arg(long)]
    paths: Option<usize>,
    /// Time slices in solution.npz, and of rollout in paths.npz, at least 2 [default: at most 129]
    #[arg(long, value_parser = at_least_two)]
    slices: Option<usize>,
    /// No progress and no summary
    #[arg(long)]
    quiet: bool,
}

fn at_least_two(text: &str) -> Result<usize, String> {
    text.parse::<usize>().map_err(|e| e.to_string()).and_then(|n| if n < 2 { Err("at least 2".into()) } else { Ok(n) })
}

/// Run the program on the process's arguments.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    let ranks = match ranks::start() {
        Ok(ranks) => ranks,
        Err(e) => {
            common::complain(&format!("error: {e}"));
            return ExitCode::from(2);
        }
    };
    let outcome = dispatch(&command, &ranks);
    let code = match &outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if ranks.rank() == 0 {
                common::complain(&format!("error: {}{e}", command.place(e)));
            }
            ExitCode::from(match e {
                RunError::Interrupted { .. } | RunError::MultilevelInterrupted { .. } | RunError::Stopped { .. } => 3,
                e if e.is_input() => 2,
                _ => 1,
            })
        }
    };
    ranks::end(&*ranks, &outcome, code)
}

impl Command {
    /// Where in the problem file the field stands that an error names, unless a flag gave its value.
    fn place(&self, e: &RunError) -> String {
        let Some(field) = e.field().filter(|_| e.is_input()) else { return String::new() };
        let (path, by_flags) = match self {
            Command::Check { problem } => (problem, Vec::new()),
            Command::Solve(o)
            | Command::Rollout(rollout_options::RolloutArgs { options: o, .. })
            | Command::Sweep(sweep::SweepArgs { options: o, .. })
            | Command::Pift(pift::PiftArgs { options: o, .. })
            | Command::Certify(certify::CertifyArgs { options: o, .. })
            | Command::Bridge(o) => {
                let replaced = matches!(self, Command::Pift(args) if args.replaces());
                let flags = [
                    ("pift", replaced),
                    ("grid", o.nodes.is_some()),
                    ("time_steps", o.steps.is_some()),
                    ("bridge_steps", o.steps.is_some()),
                    ("paths", o.paths.is_some()),
                    ("seed", o.seed.is_some()),
                ];
                (&o.problem, flags.into_iter().filter(|(_, given)| *given).map(|(field, _)| field).collect())
            }
        };
        if by_flags.iter().any(|given| field.starts_with(given)) {
            return String::new();
        }
        let line = std::fs::read_to_string(path).ok().and_then(|text| line_of(&text, field));
        line.map_or(String::new(), |line| format!("{}, line {line}: ", path.display()))
    }
}

fn dispatch(command: &Command, ranks: &Arc<dyn Ranks>) -> Result<(), RunError> {
    if ranks.size() > 1 && !matches!(command, Command::Rollout(_) | Command::Sweep(_)) {
        let what = "only rollout and sweep share their work among the processes of mpirun; run this command without it";
        return Err(RunError::Unsupported(what.into()));
    }
    let (name, options): (&'static str, _) = match command {
        Command::Check { problem } => return check::run(problem),
        Command::Solve(options) => ("solve", options),
        Command::Rollout(args) => ("rollout", &args.options),
        Command::Sweep(args) => ("sweep", &args.options),
        Command::Pift(args) => ("pift", &args.options),
        Command::Bridge(options) => ("bridge", options),
        Command::Certify(args) => ("certify", &args.options),
    };
    let work = || {
        let mut file = AnyProblemFile::read(&options.problem)?;
        if let Command::Pift(args) = command {
            args.apply(&mut file);
        }
        if let Command::Certify(args) = command {
            return certify::run(args, file, ranks);
        }
        if let (Command::Solve(_), AnyProblemFile::Controlled(_)) = (command, &file) {
            return controlled::run(&Session::open(name, options, file, ranks)?);
        }
        if let (Command::Rollout(args), AnyProblemFile::Controlled(_)) = (command, &file) {
            return rollout::run_controlled(&Session::open(name, options, file, ranks)?, args);
        }
        if let (Command::Pift(args), AnyProblemFile::FineTuning(fine_tuning)) = (command, &file)
            && fine_tuning.grid.is_absent()
            && let Some(kind) = args.parametric.parametric
        {
            let session: Session<SampledProblem> = Session::open(name, options, file, ranks)?;
            return parametric::run(&session, &session.problem, &args.parametric, kind);
        }
        let session = Session::open(name, options, file, ranks)?;
        match command {
            Command::Check { .. } | Command::Certify(_) => Ok(()),
            Command::Solve(_) => solve::run(&session),
            Command::Rollout(args) => rollout::run(&session, args),
            Command::Sweep(args) => sweep::run(&session, args),
            Command::Pift(args) => pift::run(&session, args),
            Command::Bridge(_) => bridge::run(session),
        }
    };
    let Some(threads) = options.threads else { return work() };
    // a pool of our own: libraries may have started the global one already
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build();
    pool.map_err(|e| ProblemError::invalid("--threads", threads, e.to_string()))?.install(work)
}
