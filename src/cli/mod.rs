//! The command line: one file for each subcommand. Summaries go to standard output, progress and errors to standard error.
//!
//! Exit codes: 0 done; 1 a numerical failure, the finished part is written; 2 bad input, nothing is written; 3 ended by the user
//! (Ctrl-C during a simulation), what was done is written and marked partial.

mod benchmark;
mod bridge;
mod certify;
mod check;
mod common;
mod controlled;
mod examples;
mod init;
mod interrupt;
mod parametric;
mod pift;
mod progress;
mod ranks;
mod rollout;
mod rollout_options;
mod solve;
mod sweep;

use crate::problem::{AnyProblemFile, ProblemError, ProblemKind, SampledProblem, limit_memory, place_in_file, schema};
use crate::run::RunError;
use clap::{Args, CommandFactory, Parser, Subcommand};
use common::Session;
use hjbridge_rollout::Ranks;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Exact answers for fine-tuning diffusion models by stochastic control, and PI-FT measured against them.
#[derive(Parser)]
#[command(name = "hjbridge", version, about, after_help = examples::ALL)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a commented problem to start from
    #[command(after_help = examples::INIT)]
    Init(init::InitArgs),
    /// Validate a problem file, say what each command would do and how long it takes, print the resolved problem
    #[command(after_help = examples::CHECK)]
    Check(check::CheckArgs),
    /// Solve the Hamilton-Jacobi-Bellman equation on the grid
    #[command(after_help = examples::SOLVE)]
    Solve(Options),
    /// Simulate the optimal policy
    #[command(after_help = examples::ROLLOUT)]
    Rollout(rollout_options::RolloutArgs),
    /// Solve and simulate at several KL weights: reward against divergence
    #[command(after_help = examples::SWEEP)]
    Sweep(sweep::SweepArgs),
    /// Solve the discrete-time problem by PI-FT
    #[command(after_help = examples::PIFT)]
    Pift(pift::PiftArgs),
    /// Measure how PI-FT converges to the continuous solution
    #[command(after_help = examples::BRIDGE)]
    Bridge(Options),
    /// Measure the discretisation error of every scheme on a suite of problems
    #[command(after_help = examples::BENCHMARK)]
    Benchmark(benchmark::BenchmarkArgs),
    /// Say how far from optimal a policy from a file is
    #[command(after_help = examples::CERTIFY)]
    Certify(certify::CertifyArgs),
    /// Print the JSON Schema of problem files
    #[command(after_help = examples::SCHEMA)]
    Schema {
        /// Files of this kind only [default: of either]
        #[arg(value_enum)]
        kind: Option<ProblemKind>,
    },
    /// Print a script that completes commands and flags in a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Flags common to the commands; they override the problem file.
#[derive(Args, Clone, Default)]
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
    /// Replace the files of a finished run in the output directory
    #[arg(long)]
    force: bool,
    /// Memory that the run may take, in GB (1e9 bytes) [default: what the machine has free]
    #[arg(long, value_name = "GB", value_parser = gigabytes, allow_negative_numbers = true)]
    memory: Option<f64>,
    /// No progress and no summary
    #[arg(long)]
    quiet: bool,
}

fn at_least_two(text: &str) -> Result<usize, String> {
    text.parse::<usize>().map_err(|e| e.to_string()).and_then(|n| if n < 2 { Err("at least 2".into()) } else { Ok(n) })
}

/// Do what the program does with these arguments (`["solve", "problem.json", "--out", "here", "--quiet"]`), in this process.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let out = std::env::temp_dir().join(format!("hjbridge-doc-{}", std::process::id()));
/// let problem = concat!(env!("CARGO_MANIFEST_DIR"), "/data/problems/mixture_1d.json");
/// hjbridge::cli::run(["solve", problem, "--nodes", "101", "--steps", "64", "--quiet", "--out", out.to_str().unwrap()])?;
/// let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(out.join("report.json"))?)?;
/// assert_eq!(report["complete"], true);
/// # std::fs::remove_dir_all(&out)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Arguments that the program does not take ([`RunError::Unsupported`], with the program's words, those of `--help` among
/// them); what the command returns.
pub fn run<S: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = S>) -> Result<(), RunError> {
    let arguments = std::iter::once(OsString::from("hjbridge")).chain(arguments.into_iter().map(Into::into));
    let cli = Cli::try_parse_from(arguments).map_err(|e| RunError::Unsupported(e.to_string()))?;
    dispatch(&cli.command, &ranks::start()?)
}

fn gigabytes(text: &str) -> Result<f64, String> {
    let positive = |x: f64| if x.is_finite() && x > 0.0 { Ok(x) } else { Err("must be positive and finite".into()) };
    text.parse::<f64>().map_err(|e| e.to_string()).and_then(positive)
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
                RunError::Interrupted { .. }
                | RunError::MultilevelInterrupted { .. }
                | RunError::Stopped { .. }
                | RunError::BenchmarkInterrupted { .. } => 3,
                e if e.is_input() => 2,
                // whatever the user's interrupt made of it
                _ if interrupt::was_caught() => 3,
                _ => 1,
            })
        }
    };
    ranks::end(&*ranks, &outcome, code)
}

impl Command {
    /// Whether an earlier run goes on, which then takes its own directory again.
    fn goes_on(&self) -> bool {
        match self {
            Command::Rollout(args) => args.resumes(),
            Command::Pift(args) => args.parametric.resumes(),
            _ => false,
        }
    }

    /// Where in the problem file the field stands that an error names, unless a flag gave its value.
    fn place(&self, e: &RunError) -> String {
        let Some(field) = e.field().filter(|_| e.is_input()) else { return String::new() };
        let (path, by_flags) = match self {
            Command::Init(_) | Command::Schema { .. } | Command::Completions { .. } | Command::Benchmark(_) => {
                return String::new();
            }
            Command::Check(args) => (args.problem(), args.given()),
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
                let given = flags.into_iter().filter(|(_, given)| *given).map(|(field, _)| field).collect();
                (o.problem.as_path(), given)
            }
        };
        if by_flags.iter().any(|given| field.starts_with(given)) {
            return String::new();
        }
        place_in_file(path, field).map_or(String::new(), |place| format!("{}, {place}: ", path.display()))
    }
}

/// A reader who has left is no error.
fn completions(shell: clap_complete::Shell) -> Result<(), RunError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "hjbridge", &mut script);
    common::say(String::from_utf8_lossy(&script).lines());
    Ok(())
}

fn dispatch(command: &Command, ranks: &Arc<dyn Ranks>) -> Result<(), RunError> {
    if ranks.size() > 1 && !matches!(command, Command::Rollout(_) | Command::Sweep(_)) {
        let what = "only rollout and sweep share their work among the processes of mpirun; run this command without it";
        return Err(RunError::Unsupported(what.into()));
    }
    let (name, options): (&'static str, _) = match command {
        Command::Init(args) => return init::run(args),
        Command::Benchmark(args) => return benchmark::run(args),
        Command::Check(args) => return check::run(args),
        Command::Schema { kind } => {
            common::say([format!("{:#}", schema(*kind))].iter());
            return Ok(());
        }
        Command::Completions { shell } => return completions(*shell),
        Command::Solve(options) => ("solve", options),
        Command::Rollout(args) => ("rollout", &args.options),
        Command::Sweep(args) => ("sweep", &args.options),
        Command::Pift(args) => ("pift", &args.options),
        Command::Bridge(options) => ("bridge", options),
        Command::Certify(args) => ("certify", &args.options),
    };
    let options = &Options { force: options.force || command.goes_on(), ..options.clone() };
    if let Some(gigabytes) = options.memory {
        limit_memory(gigabytes * 1e9);
    }
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
            Command::Init(_) | Command::Check(_) | Command::Schema { .. } | Command::Completions { .. } => Ok(()),
            Command::Certify(_) | Command::Benchmark(_) => Ok(()),
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
