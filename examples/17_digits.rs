//! Fine-tuning a trained network: 8x8 digits (d = 64) towards threes, by parametric PI-FT.
//!
//! The pre-trained model is a score network that generates digits of all ten classes; the reward is the log-probability of a three by a
//! linear classifier, r(x) = log P(3 | x), and beta = 1. Then
//!
//!   max J <= beta log E exp(r(X)/beta) = log P(3),      X from the pre-trained model,
//!
//! and the optimal model generates the pre-trained model's threes, p(x) P(3 | x)/P(3): no reward is gained by leaving the digits. P(3),
//! about a tenth, is estimated by sampling, so that there is a bound to compare with although no grid and no closed form exist. The
//! policy is a network of its own, trained by Adam on gradients through the chain; objective, reward and divergence are estimated on
//! paths that the training has not seen.
//!
//! Pictures: out/digits-example/samples.png (the same noise before and after) and training.png.
//!
//! Run: cargo run --release --example 17_digits [-- --quick]

use hjbridge::pift::parametric::{Mean, PolicyInput, StateLaw};
use hjbridge::problem::{ProblemFile, SampledProblem};
use hjbridge::report::draw_parametric;
use hjbridge::run::{ParametricOptions, PolicyKind, Progress, Training, parametric};
use std::path::Path;
use std::time::Instant;

/// Says from time to time how far the training is.
struct Lines(Instant);

impl Progress for Lines {
    fn begin(&self, what: &str, total: u64) {
        println!("{what}: {total} iterations");
    }
    fn advance(&self, done: u64) {
        if done.is_multiple_of(20) {
            println!("{done:>6} iterations, {:.0} s", self.0.elapsed().as_secs_f64());
        }
    }
    fn end(&self) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = std::env::args().any(|a| a == "--quick");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems");
    let mut file = ProblemFile::read(&data.join("digits.json"))?;
    file.paths = if quick { 512 } else { 4096 };
    let problem = SampledProblem::resolve(file, &data)?;
    let options = ParametricOptions {
        policy: PolicyKind::Network(vec![128, 128]),
        input: PolicyInput::State,
        training: Training::Adam,
        paths: if quick { 64 } else { 256 },
        iterations: if quick { 20 } else { 250 },
        rate: 0.006,
        ridge: None,
        states: StateLaw::default(),
        score_function: false,
        resume: None,
        interrupt: Default::default(),
    };
    let run = parametric(&problem, &options, &Lines(Instant::now()))?;
    if let Some(failure) = run.failure {
        return Err(failure.into());
    }

    let r = &run.report;
    println!("\n{:>9} {:>18} {:>18} {:>18}", "iteration", "objective", "reward", "KL");
    let shown = |m: Mean| format!("{:.3} +- {:.3}", m.mean, m.standard_error);
    for row in r.history.iter().step_by((r.history.len() / 10).max(1)) {
        let a = &row.achieved;
        println!("{:>9} {:>18} {:>18} {:>18}", row.iteration, shown(a.objective), shown(a.reward), shown(a.kl));
    }
    println!("\non {} other paths:", r.pretrained.paths);
    for (name, info) in std::iter::once(("pre-trained", &r.pretrained)).chain(r.achieved.iter().map(|a| ("policy", a))) {
        println!("{name:>11}: J = {}, E log P(3) = {}, KL = {}", shown(info.objective), shown(info.reward), shown(info.kl));
    }
    if let Some(bound) = r.pretrained.upper_bound {
        println!("log P(3) of the pre-trained model, which no policy exceeds: {}", shown(bound));
    }
    let directory = Path::new("out/digits-example");
    for figure in draw_parametric::figures(&problem, &run, directory)? {
        println!("written: {}", figure.png.display());
    }
    println!("trained in {:.0} s", r.seconds);
    Ok(())
}
