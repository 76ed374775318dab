//! The command line: one file for each subcommand. Summaries go to standard output, progress and errors to standard error.
//!
//! Exit codes: 0 done; 1 a numerical failure, the finished part is written; 2 bad input, nothing is written.

mod bridge;
mod check;
mod common;
mod pift;
mod progress;
mod rollout;
mod solve;

use clap::{Args, Parser, Subcommand};
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
    /// No progress and no summary
    #[arg(long)]
    quiet: bool,
}

/// Run the program on the process's arguments.
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Check { problem } => check::run(&problem),
        Command::Solve(options) => common::Session::open("solve", &options).and_then(|s| solve::run(&s)),
        Command::Rollout(options) => common::Session::open("rollout", &options).and_then(|s| rollout::run(&s)),
        Command::Pift(options) => common::Session::open("pift", &options).and_then(|s| pift::run(&s)),
        Command::Bridge(options) => common::Session::open("bridge", &options).and_then(|s| bridge::run(&s)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hjbridge: error: {e}");
            ExitCode::from(if e.is_input() { 2 } else { 1 })
        }
    }
}
