//! The flags of `rollout`.

use crate::problem::ProblemError;
use crate::report::SLICES;
use crate::run::{RolloutOptions, RunError, SchemeName, TimesChoice, VarianceName};
use clap::{Args, ValueEnum};
use hjbridge_rollout::NoiseSource;
use std::path::{Path, PathBuf};

/// Sources of normal numbers by their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum NoiseName {
    /// Independent paths
    #[default]
    Philox,
    /// Scrambled Sobol points with a Brownian bridge, 16 repetitions (few steps)
    Sobol,
}

/// Flags of `rollout` beside the common ones.
#[derive(Args)]
pub(super) struct RolloutArgs {
    #[command(flatten)]
    pub options: super::Options,
    /// Time-stepping scheme
    #[arg(long, value_enum, default_value_t)]
    scheme: SchemeName,
    /// Variance of the ancestral sampler [default: that of the problem's pift]
    #[arg(long, value_enum)]
    variance: Option<VarianceName>,
    /// Noise of the ddim sampler, from 0 (none) to 1 [default: 0]
    #[arg(long)]
    eta: Option<f64>,
    /// uniform, log-snr, or a file with one time per line or a JSON list
    #[arg(long, value_name = "GRID", default_value = "uniform")]
    time_grid: String,
    /// End when the standard error of the objective is this small
    #[arg(long, value_name = "X")]
    target_stderr: Option<f64>,
    /// End after so many seconds of simulation, shared equally by the starting points
    #[arg(long, value_name = "SECONDS")]
    time_budget: Option<f64>,
    /// Estimate the objective by multilevel Monte Carlo too, to --target-stderr
    #[arg(long)]
    mlmc: bool,
    /// Steps of the coarsest level of --mlmc
    #[arg(long, value_name = "N", default_value_t = 16)]
    mlmc_base_steps: usize,
    /// Run paths in antithetic pairs
    #[arg(long)]
    antithetic: bool,
    /// Source of the normal numbers
    #[arg(long, value_enum, default_value_t)]
    noise: NoiseName,
    /// Write the first N paths to paths.npz, at the times that --slices gives
    #[arg(long, value_name = "N", default_value_t = 0)]
    save_paths: u64,
    /// Write the state of the run to this file from time to time and at the end
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Continue from the file of --checkpoint
    #[arg(long)]
    resume: bool,
    /// How long paths are followed where the problem has no horizon
    #[arg(long, value_name = "T")]
    horizon: Option<f64>,
}

impl RolloutArgs {
    /// Whether an earlier run goes on.
    pub fn resumes(&self) -> bool {
        self.resume
    }

    /// What is asked for. Steps, paths and seed are already in the problem, except where paths were given expressly.
    ///
    /// # Errors
    /// A file of times that cannot be read.
    pub fn rollout_options(&self) -> Result<RolloutOptions, RunError> {
        let options = RolloutOptions {
            steps: match self.options.steps.as_deref() {
                Some([n]) => Some(*n),
                _ => None,
            },
            paths: self.options.paths,
            scheme: self.scheme,
            variance: self.variance,
            eta: self.eta,
            times: times(&self.time_grid)?,
            target_stderr: self.target_stderr,
            time_budget: self.time_budget,
            multilevel: self.mlmc.then_some(self.mlmc_base_steps),
            antithetic: self.antithetic,
            noise: match self.noise {
                NoiseName::Philox => NoiseSource::Keyed,
                NoiseName::Sobol => NoiseSource::Sobol,
            },
            save_paths: self.save_paths,
            save_times: self.options.slices.unwrap_or(SLICES),
            checkpoint: self.checkpoint.clone(),
            resume: self.resume,
            horizon: self.horizon,
            ..RolloutOptions::default()
        };
        options.validate()?;
        Ok(options)
    }
}

fn times(text: &str) -> Result<TimesChoice, RunError> {
    match text {
        "uniform" => Ok(TimesChoice::Uniform),
        "log-snr" => Ok(TimesChoice::LogSnr),
        file => read_times(Path::new(file)).map(TimesChoice::Listed),
    }
}

/// One time per line, or a JSON list.
fn read_times(path: &Path) -> Result<Vec<f64>, RunError> {
    let bad = |value: String, allowed: String| RunError::from(ProblemError::invalid("--time-grid", value, allowed));
    let shown = || path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| bad(shown(), format!("must be uniform, log-snr or a file of times, and the file cannot be read: {e}")))?;
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(&text).map_err(|e| bad(shown(), format!("is no JSON list of numbers: {e}")));
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(i, line)| {
            let number = line.trim().parse::<f64>();
            number
                .map_err(|_| bad(format!("{}, line {}: {:?}", shown(), i + 1, line.trim()), "must be one number per line".into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_from_lines_and_from_json() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = dir.path().join("times");
            std::fs::write(&path, text).unwrap();
            read_times(&path).map_err(|e| e.to_string())
        };
        assert_eq!(file("0\n 0.25\n\n1e0\n").unwrap(), [0.0, 0.25, 1.0]);
        assert_eq!(file(" [0, 0.25,\n1.0]").unwrap(), [0.0, 0.25, 1.0]);
        assert!(file("0\n0.5 1\n").unwrap_err().contains("line 2: \"0.5 1\""));
        assert!(file("[0, \"a\"]").unwrap_err().contains("JSON list"));
        assert!(times("nowhere").unwrap_err().to_string().contains("log-snr"));
    }
}
