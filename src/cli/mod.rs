//! The command line: one file for each subcommand. Summaries go to standard output, progress and errors to standard error.
//!
//! Exit codes: 0 done; 1 a numerical failure, the finished part is written; 2 bad input, nothing is written.

mod bridge;
mod check;
mod common;
mod controlled;
mod pift;
mod progress;
mod rollout;
mod solve;

use crate::problem::{AnyProblemFile, ProblemError};
use crate::run::RunError;
use clap::{Args, Parser, Subcommand};
use common::Session;
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Simulate the optimal policy by Euler-Maruyama
    Rollout(Options),
    /// Solve the discrete-time problem by PI-FT
    Pift(Options),
    /// Measure how PI-FT converges to the continuous solution
    Bridge(Options),
}

/// Flags common to the commands; they override the problem file.
#[derive(Args)]
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
    /// Time steps; for bridge a comma list of N
    #[arg(long, value_delimiter = ',')]
    steps: Option<Vec<usize>>,
    /// Paths of the simulation
    #[arg(long)]
    paths: Option<usize>,
    /// Time slices in solution.npz, at least 2 [default: at most 129]
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
    match dispatch(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            common::complain(&format!("error: {e}"));
            ExitCode::from(if e.is_input() { 2 } else { 1 })
        }
    }
}

fn dispatch(command: Command) -> Result<(), RunError> {
    let (name, options): (&'static str, _) = match &command {
        Command::Check { problem } => return check::run(problem),
        Command::Solve(options) => ("solve", options),
        Command::Rollout(options) => ("rollout", options),
        Command::Pift(options) => ("pift", options),
        Command::Bridge(options) => ("bridge", options),
    };
    let work = || {
        let file = AnyProblemFile::read(&options.problem)?;
        if let (Command::Solve(_), AnyProblemFile::Controlled(_)) = (&command, &file) {
            return controlled::run(&Session::open(name, options, file)?);
        }
        let session = Session::open(name, options, file)?;
        match &command {
            Command::Check { .. } => Ok(()),
            Command::Solve(_) => solve::run(&session),
            Command::Rollout(_) => rollout::run(&session),
            Command::Pift(_) => pift::run(&session),
            Command::Bridge(_) => bridge::run(&session),
        }
    };
    let Some(threads) = options.threads else { return work() };
    // a pool of our own: libraries may have started the global one already
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build();
    pool.map_err(|e| ProblemError::invalid("--threads", threads, e.to_string()))?.install(work)
}
