//! Noise schedules b and their exact integrals.
//!
//! A schedule is given in forward (noising) time tau in [0, T] and asked in generation time t = T - tau:
//!   `rate(t)` = b at t,   `integral(t0, t1)` = int_{t0}^{t1} b,   B(t) = int_t^T b = -log alpha-bar.
//! Units: b is a rate, 1 / (unit of time).

use crate::error::ModelError;
use std::f64::consts::PI;

/// The shape of b as a function of forward time.
#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Constant {
        b: f64,
    },
    Linear {
        b_min: f64,
        b_max: f64,
    },
    /// alpha-bar = cos^2 of an angle that grows linearly, capped at rate `b_max` from `tau_cap` on.
    Cosine {
        offset: f64,
        b_max: f64,
        tau_cap: f64,
    },
    /// Piecewise linear; `cumulative[i]` = int_0^{tau_i} b.
    Table {
        tau: Vec<f64>,
        b: Vec<f64>,
        cumulative: Vec<f64>,
    },
}

/// A noise schedule on [0, T].
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    horizon: f64,
    shape: Shape,
}

fn positive(field: &str, value: f64) -> Result<f64, ModelError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(ModelError::invalid(field, value, "must be a positive finite number"))
    }
}

impl Schedule {
    /// b constant.
    ///
    /// # Errors
    /// `horizon` or `b` not positive and finite.
    pub fn constant(horizon: f64, b: f64) -> Result<Self, ModelError> {
        Ok(Schedule { horizon: positive("horizon", horizon)?, shape: Shape::Constant { b: positive("b", b)? } })
    }

    /// b(tau) = b_min + (b_max - b_min) tau / T.
    ///
    /// # Errors
    /// A value that is not positive and finite.
    pub fn linear(horizon: f64, b_min: f64, b_max: f64) -> Result<Self, ModelError> {
        let shape = Shape::Linear { b_min: positive("b_min", b_min)?, b_max: positive("b_max", b_max)? };
        Ok(Schedule { horizon: positive("horizon", horizon)?, shape })
    }

    /// Cosine schedule: alpha-bar(tau) = cos^2(phi(tau)) / cos^2(phi(0)), phi(tau) = (tau/T + offset)/(1 + offset) pi/2, with the
    /// rate capped at `b_max` (it is infinite at tau = T otherwise).
    ///
    /// Source: Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models (arXiv:2102.09672); offset 0.008 there.
    ///
    /// # Errors
    /// `offset` outside (0, 1], or `b_max` not above the rate at tau = 0.
    pub fn cosine(horizon: f64, offset: f64, b_max: f64) -> Result<Self, ModelError> {
        let horizon = positive("horizon", horizon)?;
        if !(offset > 0.0 && offset <= 1.0) {
            return Err(ModelError::invalid("offset", offset, "must lie in (0, 1]"));
        }
        let scale = PI / (horizon * (1.0 + offset));
        let start = scale * (offset / (1.0 + offset) * PI / 2.0).tan();
        if !(b_max.is_finite() && b_max > start) {
            return Err(ModelError::invalid("b_max", b_max, format!("must be finite and above the rate {start:.6} at tau = 0")));
        }
        let tau_cap = horizon * ((b_max / scale).atan() * (1.0 + offset) * 2.0 / PI - offset);
        Ok(Schedule { horizon, shape: Shape::Cosine { offset, b_max, tau_cap: tau_cap.min(horizon) } })
    }

    /// Piecewise linear through the points (tau_i, b_i); tau runs from 0 to T.
    ///
    /// # Errors
    /// Fewer than two points, lengths that differ, tau not strictly increasing from 0 to `horizon`, b not positive.
    pub fn table(horizon: f64, tau: Vec<f64>, b: Vec<f64>) -> Result<Self, ModelError> {
        let horizon = positive("horizon", horizon)?;
        if tau.len() != b.len() {
            return Err(ModelError::Shape { field: "b".into(), found: b.len(), expected: tau.len() });
        }
        if tau.len() < 2 {
            return Err(ModelError::invalid("tau", format!("{} points", tau.len()), "at least two points"));
        }
        for (i, &x) in b.iter().enumerate() {
            positive(&format!("b[{i}]"), x)?;
        }
        check_knots("tau", &tau, horizon)?;
        let mut cumulative = vec![0.0; tau.len()];
        for i in 1..tau.len() {
            cumulative[i] = cumulative[i - 1] + 0.5 * (b[i - 1] + b[i]) * (tau[i] - tau[i - 1]);
        }
        Ok(Schedule { horizon, shape: Shape::Table { tau, b, cumulative } })
    }

    /// T.
    pub fn horizon(&self) -> f64 {
        self.horizon
    }

    /// b at generation time t; t is clamped to [0, T].
    pub fn rate(&self, t: f64) -> f64 {
        let tau = (self.horizon - t).clamp(0.0, self.horizon);
        match &self.shape {
            Shape::Constant { b } => *b,
            Shape::Linear { b_min, b_max } => b_min + (b_max - b_min) * tau / self.horizon,
            Shape::Cosine { offset, b_max, tau_cap } => {
                if tau >= *tau_cap {
                    *b_max
                } else {
                    PI / (self.horizon * (1.0 + offset)) * self.angle(*offset, tau).tan()
                }
            }
            Shape::Table { tau: knots, b, .. } => {
                let i = knots.partition_point(|&k| k <= tau).clamp(1, knots.len() - 1);
                let w = (tau - knots[i - 1]) / (knots[i] - knots[i - 1]);
                b[i - 1] + w * (b[i] - b[i - 1])
            }
        }
    }

    /// int_{t0}^{t1} b, exact; times are clamped to [0, T].
    pub fn integral(&self, t0: f64, t1: f64) -> f64 {
        let tau0 = (self.horizon - t0).clamp(0.0, self.horizon);
        let tau1 = (self.horizon - t1).clamp(0.0, self.horizon);
        match &self.shape {
            // differences of squares are factored, so that short intervals keep their digits
            Shape::Constant { b } => b * (tau0 - tau1),
            Shape::Linear { b_min, b_max } => (tau0 - tau1) * (b_min + (b_max - b_min) * (tau0 + tau1) / (2.0 * self.horizon)),
            _ => self.noised_integral(tau0) - self.noised_integral(tau1),
        }
    }

    /// B(t) = int_t^T b.
    pub fn remaining(&self, t: f64) -> f64 {
        self.integral(t, self.horizon)
    }

    /// e(t) = exp(-B(t)/2), the factor of the data in the noised state.
    pub fn signal(&self, t: f64) -> f64 {
        (-0.5 * self.remaining(t)).exp()
    }

    fn angle(&self, offset: f64, tau: f64) -> f64 {
        (tau / self.horizon + offset) / (1.0 + offset) * PI / 2.0
    }

    /// int_0^tau b.
    fn noised_integral(&self, tau: f64) -> f64 {
        match &self.shape {
            Shape::Constant { b } => b * tau,
            Shape::Linear { b_min, b_max } => tau * (b_min + (b_max - b_min) * tau / (2.0 * self.horizon)),
            Shape::Cosine { offset, b_max, tau_cap } => {
                let inner = tau.min(*tau_cap);
                let log_cos = |x: f64| self.angle(*offset, x).cos().ln();
                2.0 * (log_cos(0.0) - log_cos(inner)) + b_max * (tau - inner)
            }
            Shape::Table { tau: knots, b, cumulative } => {
                let i = knots.partition_point(|&k| k <= tau).clamp(1, knots.len() - 1);
                let dt = tau - knots[i - 1];
                let slope = (b[i] - b[i - 1]) / (knots[i] - knots[i - 1]);
                cumulative[i - 1] + dt * (b[i - 1] + 0.5 * slope * dt)
            }
        }
    }
}

/// Knots of a table over [0, T]: finite, strictly increasing, from 0 to T (within rounding).
pub(crate) fn check_knots(field: &str, knots: &[f64], horizon: f64) -> Result<(), ModelError> {
    for (i, w) in knots.windows(2).enumerate() {
        // written so that a NaN fails the test
        if !(w[0].is_finite() && w[1].is_finite() && w[1] > w[0]) {
            return Err(ModelError::invalid(
                format!("{field}[{}]", i + 1),
                w[1],
                "must be finite and larger than the entry before it",
            ));
        }
    }
    let slack = 1e-9 * horizon;
    let (first, last) = (knots[0], knots[knots.len() - 1]);
    if first.abs() > slack {
        return Err(ModelError::invalid(format!("{field}[0]"), first, "the table must start at 0"));
    }
    if (last - horizon).abs() > slack {
        return Err(ModelError::invalid(
            format!("{field}[{}]", knots.len() - 1),
            last,
            format!("the table must end at the horizon {horizon}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simpson's rule on each of `n` panels: exact for the polynomial shapes, order 4 otherwise.
    fn simpson(s: &Schedule, t0: f64, t1: f64, n: usize) -> f64 {
        let h = (t1 - t0) / n as f64;
        (0..n)
            .map(|i| {
                let a = t0 + i as f64 * h;
                h / 6.0 * (s.rate(a) + 4.0 * s.rate(a + 0.5 * h) + s.rate(a + h))
            })
            .sum()
    }

    #[test]
    fn integrals_match_quadrature_of_the_rate() {
        let t = 2.0;
        let table = Schedule::table(t, vec![0.0, 0.5, 2.0], vec![0.2, 1.0, 3.0]).unwrap();
        for (s, tol) in [
            (Schedule::constant(t, 1.3).unwrap(), 1e-12),
            (Schedule::linear(t, 0.5, 3.0).unwrap(), 1e-12),
            // the kink at the cap costs Simpson O(h^2) in its panel
            (Schedule::cosine(t, 0.008, 20.0).unwrap(), 1e-6),
            (table, 1e-12),
        ] {
            for (t0, t1) in [(0.0, 2.0), (0.25, 1.0), (1.5, 2.0)] {
                let q = simpson(&s, t0, t1, 4000);
                assert!((s.integral(t0, t1) - q).abs() < tol * (1.0 + q), "{s:?} on [{t0},{t1}]: {} vs {q}", s.integral(t0, t1));
                assert!((s.integral(t0, t1) + s.integral(t1, t0)).abs() < 1e-14);
            }
            assert_eq!(s.remaining(t), 0.0);
        }
        // b = 0.5 at the data, 3 at the noise
        let s = Schedule::linear(2.0, 0.5, 3.0).unwrap();
        assert_eq!((s.rate(2.0), s.rate(0.0), s.remaining(0.0)), (0.5, 3.0, 3.5));
    }

    #[test]
    fn cosine_keeps_alpha_bar() {
        let (t, o) = (1.0, 0.008);
        let s = Schedule::cosine(t, o, 50.0).unwrap();
        let f = |tau: f64| ((tau / t + o) / (1.0 + o) * PI / 2.0).cos().powi(2);
        for tau in [0.1, 0.5, 0.9] {
            let alpha_bar = (-s.integral(t - tau, t)).exp();
            assert!((alpha_bar - f(tau) / f(0.0)).abs() < 1e-13);
        }
        assert_eq!(s.rate(0.0), 50.0);
    }

    #[test]
    fn bad_schedules_name_the_field() {
        let e = Schedule::linear(2.0, -0.5, 3.0).unwrap_err().to_string();
        assert!(e.contains("b_min = -0.5"), "{e}");
        let e = Schedule::table(2.0, vec![0.0, 1.0, 1.0], vec![1.0; 3]).unwrap_err().to_string();
        assert!(e.contains("tau[2]"), "{e}");
        let e = Schedule::table(2.0, vec![0.0, 1.0], vec![1.0; 2]).unwrap_err().to_string();
        assert!(e.contains("must end at the horizon 2"), "{e}");
        assert!(Schedule::cosine(1.0, f64::NAN, 20.0).is_err());
        assert!(Schedule::constant(f64::INFINITY, 1.0).is_err());
    }
}
