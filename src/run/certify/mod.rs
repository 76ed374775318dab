//! `certify`: how far from optimal is a policy that somebody brings?
//!
//! For a policy u with value J(u) and the optimum V
//!
//!   J(u) <= V <= V_soft,      V - J(u) = E_u int (1/2) (u - u*)'R(u - u*) dt      (fine-tuning: R = beta b, V = V_soft),
//!
//! for costs that are minimised with the signs turned round. Each part is computed more than once, by means that do not share
//! their errors:
//!
//! | part | on a grid, d <= 3 | along paths, any d |
//! |---|---|---|
//! | J(u) | linear equation of the given control, with Richardson's error | Euler-Maruyama, extrapolated, with an interval |
//! | V | HJB equation with its certificate; closed form where there is one | closed form |
//! | from the other side | Cole-Hopf equation; V_h and T sup residual where there is none | Donsker-Varadhan, one-sided |
//! | V - J(u) | linear equation of the loss | the integral above |
//! | where it is lost | forward equation of the policy's law | intervals of time |
//!
//! | what | where |
//! |---|---|
//! | policies and their files | `policy.rs`, `table.rs` |
//! | the process under a policy | `closed.rs` |
//! | along paths | `paths.rs` |
//! | on the grid | `grid.rs` |
//! | fine-tuning; controlled diffusions | `fine_tuning.rs`; `controlled.rs` |
//!
//! References: Fleming and Soner, Controlled Markov Processes and Viscosity Solutions (2006), verification; Donsker and Varadhan,
//! Asymptotic evaluation of certain Markov process expectations for large time IV, Comm. Pure Appl. Math. 36 (1983).

mod closed;
mod controlled;
mod fine_tuning;
mod grid;
mod paths;
mod policy;
mod report;
mod table;

pub use controlled::{certify_controlled, site_controlled};
pub use fine_tuning::{certify, certify_sampled, site};
pub use grid::LossDensity;
pub use policy::{Policy, PolicyInfo, PolicySite, TablePolicy};
pub use report::{Bound, CertifyReport, Computed, Loss, Simulated, Verdict, WhereLost};

use super::{Progress, RunError, is_cancelled};
use hjbridge_rollout::RolloutParams;

/// Confidence of intervals.
const CONFIDENCE: f64 = 0.95;

/// What is asked for beyond the problem file.
#[derive(Clone, Debug)]
pub struct CertifyOptions {
    /// Paths of each simulation; the file's, at most 32768, when absent.
    pub paths: Option<usize>,
    /// N of the simulations (they run with N and 2N); the file's time steps, at most 256, when absent.
    pub steps: Option<usize>,
    /// Seed; the file's when absent.
    pub seed: Option<u64>,
    /// Intervals between the stored times of V and J.
    pub levels: usize,
}

impl Default for CertifyOptions {
    fn default() -> Self {
        CertifyOptions { paths: None, steps: None, seed: None, levels: crate::report::SLICES - 1 }
    }
}

impl CertifyOptions {
    /// Parameters of the simulations, from what a file says of paths, time steps and seed where nothing else was asked for.
    fn params(&self, paths: usize, steps: usize, seed: u64) -> Result<RolloutParams, RunError> {
        let params = RolloutParams {
            paths: self.paths.unwrap_or(paths.min(32_768)),
            steps: self.steps.unwrap_or(steps.min(256)),
            seed: self.seed.unwrap_or(seed),
            ..RolloutParams::default()
        };
        params.validate()?;
        Ok(params)
    }
}

/// The report, and fields for figures.
pub struct CertifyRun {
    /// The report section.
    pub report: CertifyReport,
    /// Times of `gap`, ascending.
    pub times: Vec<f64>,
    /// |V - J| at the nodes at these times; empty without a grid.
    pub gap: Vec<Vec<f64>>,
    /// Density of the loss over time and space, where it is known.
    pub density: Option<LossDensity>,
    /// Why the run stopped early, if it did.
    pub failure: Option<RunError>,
}

/// The parts of a run, one after the other, until the user wants its end.
struct Parts<'p> {
    progress: &'p dyn Progress,
    /// Parts left out or cut short by the user.
    missing: Vec<&'static str>,
    notes: Vec<String>,
    failure: Option<RunError>,
}

impl<'p> Parts<'p> {
    fn new(progress: &'p dyn Progress) -> Self {
        Parts { progress, missing: Vec::new(), notes: Vec::new(), failure: None }
    }

    /// A part without which there is less to say; what goes wrong in it is a note.
    fn kept<T>(&mut self, what: &'static str, part: impl FnOnce() -> Result<T, RunError>) -> Option<T> {
        self.part(what, part).unwrap_or_else(|e| {
            self.notes.push(format!("{what}: {e}"));
            None
        })
    }

    /// A part whose failure is the run's; the parts after it are still made.
    fn needed<T>(&mut self, what: &'static str, part: impl FnOnce() -> Result<T, RunError>) -> Option<T> {
        self.part(what, part).unwrap_or_else(|e| {
            self.failure.get_or_insert(e);
            None
        })
    }

    fn part<T>(&mut self, what: &'static str, part: impl FnOnce() -> Result<T, RunError>) -> Result<Option<T>, RunError> {
        if !is_cancelled(self.progress) {
            match part() {
                // what an interrupt has cut is no result
                _ if is_cancelled(self.progress) => {}
                made => return made.map(Some),
            }
        }
        self.missing.push(what);
        self.failure.get_or_insert(RunError::Cancelled);
        Ok(None)
    }

    /// What the user wrote is no partial run.
    fn refuse_input(&mut self) -> Result<(), RunError> {
        self.failure.take_if(|e| e.is_input()).map_or(Ok(()), Err)
    }

    /// A part with a bar.
    fn shown<T>(&mut self, what: &'static str, part: impl FnOnce() -> Result<T, RunError>) -> Option<T> {
        let progress = self.progress;
        self.kept(what, || {
            progress.begin(what, 1);
            let made = part();
            progress.end();
            made
        })
    }
}

/// V - J, the larger minus the smaller, at the times that both know.
fn gaps(
    (v_times, v): (&[f64], &[Vec<f64>]),
    (j_times, j): (&[f64], &[Vec<f64>]),
    sign: f64,
    horizon: f64,
) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (mut times, mut gap) = (Vec::new(), Vec::new());
    for (t, j) in j_times.iter().zip(j) {
        let k = v_times.partition_point(|s| *s < t - 1e-9 * horizon);
        if v_times.get(k).is_some_and(|s| (s - t).abs() <= 1e-9 * horizon) {
            times.push(*t);
            gap.push(v[k].iter().zip(j).map(|(v, j)| sign * (v - j)).collect());
        }
    }
    (times, gap)
}

/// A note for a start whose paths leave a policy's table.
fn outside_note(share: f64) -> Option<String> {
    (share > 0.0).then(|| {
        let percent = 100.0 * share;
        format!("{percent:.2e} % of the evaluations along paths lie outside the policy's table, where it is continued linearly")
    })
}
