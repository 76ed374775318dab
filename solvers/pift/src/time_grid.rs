//! Where the times t_k of the chain lie.
//!
//! All grids have a smooth density: t_{k+1} - t_k = (T/N) omega(t_k) + O(1/N^2) with omega independent of N, so that the chain
//! converges with order 1 in 1/N on each of them.
//!
//! | grid | times, with tau = T - t | omega |
//! |---|---|---|
//! | `Uniform` | tau_k = T (1 - k/N) | 1 |
//! | `Quadratic` | tau_k = T (1 - k/N)^2 | 2 sqrt(tau/T) |
//! | `LogSnr` | lambda(tau_k) equally spaced | (lambda(0) - lambda(T)) (1 - exp(-B - B_0)) / (T b) |
//!
//! lambda(tau) = -log(exp(B(tau) + B_0) - 1), B(tau) = int_0^tau b, is the logarithm of the signal-to-noise ratio
//! abar/(1 - abar), abar = exp(-B), except for the cut-off B_0 = B(T/1000): the ratio itself is infinite at tau = 0. For
//! tau >> T/1000 the steps are those of equal spacing in log-SNR, at the data they are (T/1000) (lambda(0) - lambda(T)) / N.
//! (A last step of fixed length T/1000 in place of the cut-off would keep an error that does not fall with N.)
//!
//! References: Kingma, Salimans, Poole, Ho, *Variational diffusion models* (arXiv:2107.00630), for the log-SNR; Song, Meng, Ermon,
//! *Denoising diffusion implicit models* (arXiv:2010.02502), for quadratic times.

use serde::{Deserialize, Serialize};

/// Where t_0 = 0 < t_1 < ... < t_N = T lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeGrid {
    /// Equal steps.
    #[default]
    Uniform,
    /// Equal steps in the logarithm of the signal-to-noise ratio, cut off at T/1000 from the data.
    LogSnr,
    /// Steps that shrink linearly towards the data.
    Quadratic,
}

/// The cut-off of `LogSnr` over T.
const CUT_OFF: f64 = 1e-3;

impl TimeGrid {
    /// t_0, ..., t_N for `steps` = N >= 1. `integral(t0, t1)` is int b over generation times.
    pub fn times(self, steps: usize, horizon: f64, integral: &dyn Fn(f64, f64) -> f64) -> Vec<f64> {
        let n = steps as f64;
        let interior = |k: usize| -> f64 {
            match self {
                TimeGrid::Uniform => k as f64 * (horizon / n),
                TimeGrid::Quadratic => horizon - horizon * (1.0 - k as f64 / n).powi(2),
                TimeGrid::LogSnr => {
                    let log_snr = LogSnr::new(horizon, integral);
                    let wanted = log_snr.start + (log_snr.end - log_snr.start) * (k as f64 / n);
                    log_snr.time(wanted)
                }
            }
        };
        (0..=steps)
            .map(|k| match k {
                0 => 0.0,
                k if k == steps => horizon,
                k => interior(k),
            })
            .collect()
    }

    /// omega(t): the step at t over T/N, in the limit of many steps. `rate` is b(t).
    pub fn density(self, t: f64, horizon: f64, rate: f64, integral: &dyn Fn(f64, f64) -> f64) -> f64 {
        match self {
            TimeGrid::Uniform => 1.0,
            TimeGrid::Quadratic => 2.0 * ((horizon - t).max(0.0) / horizon).sqrt(),
            TimeGrid::LogSnr => {
                let log_snr = LogSnr::new(horizon, integral);
                (log_snr.end - log_snr.start) * -(-integral(t, horizon) - log_snr.cut_off).exp_m1() / (horizon * rate)
            }
        }
    }
}

/// lambda as a function of generation time.
struct LogSnr<'a> {
    horizon: f64,
    integral: &'a dyn Fn(f64, f64) -> f64,
    cut_off: f64,
    /// lambda at t = 0 and at t = T.
    start: f64,
    end: f64,
}

impl<'a> LogSnr<'a> {
    fn new(horizon: f64, integral: &'a dyn Fn(f64, f64) -> f64) -> Self {
        let cut_off = integral(horizon * (1.0 - CUT_OFF), horizon);
        let lambda = |b: f64| -(b + cut_off).exp_m1().ln();
        LogSnr { horizon, integral, cut_off, start: lambda(integral(0.0, horizon)), end: lambda(0.0) }
    }

    /// The time at which lambda has this value, by bisection: B falls in t.
    fn time(&self, lambda: f64) -> f64 {
        let remaining = (-lambda).exp().ln_1p() - self.cut_off;
        let (mut low, mut high) = (0.0, self.horizon);
        // to the last bit
        loop {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                return middle;
            }
            if (self.integral)(middle, self.horizon) > remaining { low = middle } else { high = middle }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// b(t) = 3 - 1.25 t on [0, 2].
    fn integral(t0: f64, t1: f64) -> f64 {
        3.0 * (t1 - t0) - 0.625 * (t1 * t1 - t0 * t0)
    }

    #[test]
    fn steps_approach_their_density() {
        for grid in [TimeGrid::Uniform, TimeGrid::LogSnr, TimeGrid::Quadratic] {
            let gap = |n: usize| {
                let t = grid.times(n, 2.0, &integral);
                assert_eq!((t.len(), t[0], t[n]), (n + 1, 0.0, 2.0));
                // omega at the middle of a step is its step to second order; the last step of `Quadratic` has omega = 0 at its end
                (0..n - 1)
                    .map(|k| {
                        let middle = 0.5 * (t[k] + t[k + 1]);
                        let omega = grid.density(middle, 2.0, 3.0 - 1.25 * middle, &integral);
                        assert!(t[k + 1] > t[k]);
                        ((t[k + 1] - t[k]) * n as f64 / 2.0 / omega - 1.0).abs()
                    })
                    .take(n * 9 / 10)
                    .fold(0.0, f64::max)
            };
            let (coarse, fine) = (gap(100), gap(200));
            assert!(fine < 3e-3 && (fine < 1e-12 || (coarse / fine - 4.0).abs() < 0.3), "{grid:?}: {coarse} {fine}");
        }
    }

    #[test]
    fn log_snr_is_equally_spaced_away_from_the_data() {
        let t = TimeGrid::LogSnr.times(200, 2.0, &integral);
        let lambda: Vec<f64> = t[..200].iter().map(|&t| -integral(t, 2.0).exp_m1().ln()).collect();
        let steps: Vec<f64> = lambda.windows(2).map(|w| w[1] - w[0]).collect();
        // tau > 0.2: the cut-off 1e-3 of B matters by less than one per cent
        let far = t.partition_point(|t| *t < 1.8);
        assert!(steps[..far].iter().all(|s| (s / steps[0] - 1.0).abs() < 0.011), "{steps:?}");
        // and the steps at the data are short: 2e-3 (lambda(0) - lambda(T)) / N with lambda(0) - lambda(T) = 10.4
        let last = t[200] - t[199];
        assert!((last * 200.0 / 2e-3 / 10.37 - 1.0).abs() < 0.05, "{last}");
    }
}
