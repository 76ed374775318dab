//! The times t_0 < t_1 < ... < t_N = T of a simulation.

use hjbridge_model::Schedule;

use crate::error::RolloutError;

/// Time levels, uniform or not. The last one is T itself, bit for bit.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct TimeGrid {
    times: Vec<f64>,
    /// The common step of a uniform grid; kept so that no step differs from another by the rounding of t_k.
    step: Option<f64>,
}

impl TimeGrid {
    /// t_k = start + k h with h = (end - start)/N, and t_N = end.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] unless start < end are finite, N >= 1, and h is resolved in double precision.
    pub fn uniform(start: f64, end: f64, steps: usize) -> Result<Self, RolloutError> {
        if !(1..=1 << 31).contains(&steps) {
            return Err(RolloutError::invalid("steps", steps, "from 1 to 2147483648"));
        }
        let h = (end - start) / steps as f64;
        let mut times: Vec<f64> = (0..steps).map(|k| start + k as f64 * h).collect();
        times.push(end);
        validate(&times)?;
        Ok(TimeGrid { times, step: Some(h) })
    }

    /// The given times.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] unless there are at least two times, all finite and strictly rising.
    pub fn from_times(times: Vec<f64>) -> Result<Self, RolloutError> {
        validate(&times)?;
        Ok(TimeGrid { times, step: None })
    }

    /// N - 1 steps of equal length in the logarithm of the signal-to-noise ratio, log(abar/(1 - abar)) with
    /// abar(t) = exp(-int_t^T b), from t = 0 to T - `last_step`, and one step from there to T, where the ratio is infinite.
    ///
    /// Steps shrink geometrically towards the data, where the score of a concentrated law changes fast; samplers of
    /// diffusion models take this grid with few steps. O(N) evaluations of the schedule's integral (bisection).
    ///
    /// Reference: Lu, Zhou, Bao, Chen, Li, Zhu, *DPM-Solver* (arXiv:2206.00927), section 3.4.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] unless N >= 2 and 0 < `last_step` < T.
    pub fn log_snr(schedule: &Schedule, steps: usize, last_step: f64) -> Result<Self, RolloutError> {
        if !(2..=1 << 31).contains(&steps) {
            return Err(RolloutError::invalid("steps", steps, "from 2 to 2147483648 on a grid in log-SNR"));
        }
        let horizon = schedule.horizon();
        if !(last_step > 0.0 && last_step < horizon) {
            return Err(RolloutError::invalid("last_step", last_step, format!("between 0 and the horizon, {horizon}")));
        }
        let cut = horizon - last_step;
        // log(abar/(1 - abar)) = -log(e^B - 1) = -B - log(1 - e^-B), which does not overflow.
        let log_snr = |t: f64| {
            let b = schedule.remaining(t);
            -b - (-(-b).exp_m1()).ln()
        };
        let (first, last) = (log_snr(0.0), log_snr(cut));
        let mut times = vec![0.0];
        for k in 1..steps - 1 {
            let target = first + (last - first) * (k as f64 / (steps - 1) as f64);
            // The ratio rises with t: bisect down to neighbouring floating-point numbers.
            let (mut lower, mut upper) = (0.0, cut);
            loop {
                let middle = 0.5 * (lower + upper);
                if middle <= lower || middle >= upper {
                    break;
                }
                if log_snr(middle) < target { lower = middle } else { upper = middle }
            }
            times.push(lower);
        }
        times.extend([cut, horizon]);
        Self::from_times(times)
    }

    /// Every step divided into `factor` equal ones. A run on this grid and a run on the original one with
    /// [`coarsening`](crate::RolloutParams::coarsening) = `factor` follow the same Brownian paths.
    ///
    /// # Errors
    /// [`RolloutError::Invalid`] when `factor` is 0 or there would be too many steps to tell the times apart.
    pub fn refined(&self, factor: usize) -> Result<Self, RolloutError> {
        let most = (1 << 31) / self.steps();
        if !(1..=most).contains(&factor) {
            return Err(RolloutError::invalid("factor", factor, format!("from 1 to {most}: at most 2147483648 steps")));
        }
        if self.step.is_some() {
            return Self::uniform(self.start(), self.end(), self.steps() * factor);
        }
        let within = |k: usize, j: usize| self.times[k] + j as f64 * self.step_length(k) / factor as f64;
        let mut times: Vec<f64> = (0..self.steps()).flat_map(|k| (0..factor).map(move |j| within(k, j))).collect();
        times.push(self.end());
        Self::from_times(times)
    }

    /// N.
    pub fn steps(&self) -> usize {
        self.times.len() - 1
    }

    /// t_0, ..., t_N.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// t_0.
    pub fn start(&self) -> f64 {
        self.times[0]
    }

    /// t_N.
    pub fn end(&self) -> f64 {
        self.times[self.steps()]
    }

    /// h_k, the length of the step from t_k to t_{k+1}.
    pub fn step_length(&self, k: usize) -> f64 {
        self.step.unwrap_or_else(|| self.times[k + 1] - self.times[k])
    }

    /// Whether all steps have the same length by construction.
    pub fn is_uniform(&self) -> bool {
        self.step.is_some()
    }
}

fn validate(times: &[f64]) -> Result<(), RolloutError> {
    if times.len() < 2 {
        return Err(RolloutError::invalid("times", format!("{times:?}"), "at least two"));
    }
    if times.len() > (1 << 31) + 1 {
        return Err(RolloutError::invalid("number of times", times.len(), "at most 2147483649"));
    }
    if let Some(t) = times.iter().find(|t| !t.is_finite()) {
        return Err(RolloutError::invalid("times", t, "finite"));
    }
    if let Some(pair) = times.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(RolloutError::invalid("times", format!("{} after {}", pair[1], pair[0]), "strictly rising"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_is_the_horizon_itself() {
        for (end, steps) in [(1.0, 49), (0.7, 35), (0.3, 37), (2.0, 98)] {
            let grid = TimeGrid::uniform(0.0, end, steps).unwrap();
            let h = end / steps as f64;
            assert_ne!(steps as f64 * h, end);
            assert_eq!((grid.steps(), grid.end(), grid.times().len()), (steps, end, steps + 1));
            assert!((0..steps).all(|k| grid.times()[k] == k as f64 * h && grid.step_length(k) == h));
        }
        let grid = TimeGrid::uniform(0.5, 2.0, 3).unwrap();
        assert_eq!(grid.times(), [0.5, 1.0, 1.5, 2.0]);
        assert!(grid.is_uniform() && grid.start() == 0.5);
    }

    #[test]
    fn log_snr_is_uniform_but_for_the_last_step() {
        let schedule = Schedule::linear(2.0, 0.1, 8.0).unwrap();
        let grid = TimeGrid::log_snr(&schedule, 12, 1e-3).unwrap();
        assert_eq!((grid.steps(), grid.start(), grid.end()), (12, 0.0, 2.0));
        assert_eq!(grid.times()[11], 2.0 - 1e-3);
        let ratio = |t: f64| {
            let abar = (-schedule.remaining(t)).exp();
            (abar / (1.0 - abar)).ln()
        };
        let step = (ratio(grid.times()[11]) - ratio(0.0)) / 11.0;
        for pair in grid.times()[..12].windows(2) {
            assert!((ratio(pair[1]) - ratio(pair[0]) - step).abs() < 1e-9);
        }
        assert!(!grid.is_uniform());
        // e^B overflows beyond B = 709.
        let grid = TimeGrid::log_snr(&Schedule::constant(1.0, 2000.0).unwrap(), 5, 1e-4).unwrap();
        assert_eq!((grid.steps(), grid.end()), (5, 1.0));
        assert!((grid.times()[2] - 0.5).abs() < 1e-3, "{:?}", grid.times());
    }

    #[test]
    fn refinement_keeps_the_coarse_times() {
        for grid in [TimeGrid::uniform(0.0, 1.0, 7).unwrap(), TimeGrid::from_times(vec![0.0, 0.1, 0.5, 1.0]).unwrap()] {
            let fine = grid.refined(3).unwrap();
            assert_eq!(fine.steps(), 3 * grid.steps());
            assert!((0..=grid.steps()).all(|k| (fine.times()[3 * k] - grid.times()[k]).abs() < 1e-15));
            assert_eq!(fine.end(), grid.end());
        }
    }

    #[test]
    fn bad_times_are_named() {
        let message = |times: &[f64]| TimeGrid::from_times(times.to_vec()).unwrap_err().to_string();
        assert!(message(&[1.0]).contains("at least two"));
        assert!(message(&[0.0, f64::NAN, 1.0]).contains("times = NaN"));
        assert!(message(&[0.0, 0.5, 0.5, 1.0]).contains("0.5 after 0.5: strictly rising"));
        assert!(TimeGrid::uniform(0.0, 1.0, 0).unwrap_err().to_string().contains("steps = 0"));
        assert!(TimeGrid::uniform(1.0, 1.0, 3).is_err() && TimeGrid::uniform(0.0, f64::INFINITY, 3).is_err());
        let schedule = Schedule::constant(1.0, 1.0).unwrap();
        for last in [0.0, 1.0, f64::NAN] {
            assert!(TimeGrid::log_snr(&schedule, 5, last).unwrap_err().to_string().contains("last_step"));
        }
        assert!(TimeGrid::log_snr(&schedule, 1, 0.1).is_err());
        let grid = TimeGrid::from_times(vec![0.0, 0.3, 1.0]).unwrap();
        for factor in [0, (1 << 30) + 1, usize::MAX] {
            assert!(grid.refined(factor).unwrap_err().to_string().contains(&format!("factor = {factor}: from 1 to 1073741824")));
        }
    }
}
