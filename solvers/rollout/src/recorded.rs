//! Chosen paths at chosen times, as plain arrays ready to be written to a file.
//!
//! Paths are run again by their number, bit for bit as in the ensemble, so that saving them costs nothing in the main run and
//! its memory does not grow. Blocks run in parallel.

use rayon::prelude::*;

use crate::ensemble::Ensemble;
use crate::error::RolloutError;
use crate::noise::LANES;
use crate::scheme::SdeScheme;

/// Which paths and time levels to save.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct PathSelection {
    /// Numbers of the paths.
    pub paths: Vec<u64>,
    /// Time levels from 0 to N, rising.
    pub steps: Vec<usize>,
}

impl PathSelection {
    /// The first `paths` paths at `times` time levels spread evenly over 0, ..., `steps`, both ends included.
    pub fn first(paths: u64, times: usize, steps: usize) -> Self {
        let times = times.clamp(2, steps + 1);
        PathSelection { paths: (0..paths).collect(), steps: (0..times).map(|i| i * steps / (times - 1)).collect() }
    }
}

/// Saved paths; arrays are in C order.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RecordedPaths {
    /// Numbers of the paths, P of them.
    pub paths: Vec<u64>,
    /// Times, K of them.
    pub times: Vec<f64>,
    /// d.
    pub dim: usize,
    /// Shape (P, K, d).
    pub states: Vec<f64>,
    /// int of the control's cost up to each time; shape (P, K).
    pub running_cost: Vec<f64>,
    /// int l dt up to each time; shape (P, K).
    pub running_reward: Vec<f64>,
}

impl<S: SdeScheme> Ensemble<'_, S> {
    /// Run the chosen paths again and keep them at the chosen times. Memory 8 (d + 2) bytes per path and time.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] for a path or time level that there is not, or levels that do not rise; otherwise as
    /// [`Ensemble::run`].
    pub fn record_paths(&self, selection: &PathSelection) -> Result<RecordedPaths, RolloutError> {
        let (count, steps, d) = (self.params().paths as u64, self.params().steps, self.problem().dim());
        if let Some(path) = selection.paths.iter().find(|&&p| p >= count) {
            return Err(RolloutError::invalid("selection.paths", path, format!("below the number of paths, {count}")));
        }
        if let Some(step) = selection.steps.iter().find(|&&k| k > steps) {
            return Err(RolloutError::invalid("selection.steps", step, format!("from 0 to {steps}")));
        }
        if selection.steps.windows(2).any(|w| w[0] >= w[1]) {
            return Err(RolloutError::invalid("selection.steps", format!("{:?}", selection.steps), "strictly rising"));
        }
        let mut blocks: Vec<u64> = selection.paths.iter().map(|p| p / LANES as u64).collect();
        blocks.sort_unstable();
        blocks.dedup();
        let k = selection.steps.len();
        let (times, rows) = self.in_pool(|| {
            self.simulate(|simulation| {
                let run = |block: &u64| {
                    let own: Vec<usize> =
                        (0..selection.paths.len()).filter(|&i| selection.paths[i] / LANES as u64 == *block).collect();
                    let mut rows = vec![Vec::with_capacity(k * (d + 2)); own.len()];
                    simulation.advance(*block, &mut simulation.workspace(), |n, lanes| {
                        if selection.steps.binary_search(&n).is_err() {
                            return;
                        }
                        for (row, &i) in rows.iter_mut().zip(&own) {
                            let lane = (selection.paths[i] % LANES as u64) as usize;
                            row.extend((0..d).map(|c| lanes.state().coord(c)[lane]));
                            row.extend([lanes.running_cost()[lane], lanes.running_reward()[lane]]);
                        }
                    })?;
                    Ok(own.into_iter().zip(rows).collect::<Vec<(usize, Vec<f64>)>>())
                };
                let rows: Result<Vec<_>, RolloutError> = blocks.par_iter().map(run).collect();
                Ok((simulation.system.grid().times().to_vec(), rows?))
            })
        })??;
        let p = selection.paths.len();
        let mut out = RecordedPaths {
            paths: selection.paths.clone(),
            times: selection.steps.iter().map(|&n| times[n]).collect(),
            dim: d,
            states: vec![0.0; p * k * d],
            running_cost: vec![0.0; p * k],
            running_reward: vec![0.0; p * k],
        };
        for (i, row) in rows.into_iter().flatten() {
            for (j, entry) in row.chunks_exact(d + 2).enumerate() {
                out.states[(i * k + j) * d..][..d].copy_from_slice(&entry[..d]);
                out.running_cost[i * k + j] = entry[d];
                out.running_reward[i * k + j] = entry[d + 1];
            }
        }
        Ok(out)
    }
}
