//! The KL weight beta(t) > 0: constant, a table, or any function of generation time.

use crate::error::ModelError;
use crate::schedule::check_knots;
use std::fmt;
use std::sync::Arc;

/// A positive function of time given by a closure.
pub type TimeFunction = Arc<dyn Fn(f64) -> f64 + Send + Sync>;

#[derive(Clone)]
enum Shape {
    Constant(f64),
    /// Piecewise linear in t.
    Table {
        t: Vec<f64>,
        beta: Vec<f64>,
    },
    Function {
        beta: TimeFunction,
        text: String,
    },
}

/// beta(t), t in [0, T] generation time. Units: those of the reward.
#[derive(Clone)]
pub struct KlWeight {
    shape: Shape,
}

/// Times at which a function is checked to be positive.
const CHECKS: usize = 1025;

impl KlWeight {
    /// beta constant.
    ///
    /// # Errors
    /// Not positive and finite.
    pub fn constant(beta: f64) -> Result<Self, ModelError> {
        check_positive("kl_weight", beta)?;
        Ok(KlWeight { shape: Shape::Constant(beta) })
    }

    /// Piecewise linear through (t_i, beta_i), t from 0 to `horizon`.
    ///
    /// # Errors
    /// Fewer than two points, lengths that differ, t not strictly increasing from 0 to `horizon`, beta not positive.
    pub fn table(horizon: f64, t: Vec<f64>, beta: Vec<f64>) -> Result<Self, ModelError> {
        if t.len() != beta.len() {
            return Err(ModelError::Shape { field: "beta".into(), found: beta.len(), expected: t.len() });
        }
        if t.len() < 2 {
            return Err(ModelError::invalid("t", format!("{} points", t.len()), "at least two points"));
        }
        check_knots("t", &t, horizon)?;
        for (i, &b) in beta.iter().enumerate() {
            check_positive(&format!("beta[{i}]"), b)?;
        }
        Ok(KlWeight { shape: Shape::Table { t, beta } })
    }

    /// Any function of t; `text` describes it in reports. Checked to be positive at 1025 times in [0, `horizon`].
    ///
    /// # Errors
    /// A value that is not positive and finite, naming the time.
    pub fn function(horizon: f64, beta: TimeFunction, text: impl Into<String>) -> Result<Self, ModelError> {
        let times = || (0..CHECKS).map(|k| horizon * k as f64 / (CHECKS - 1) as f64);
        for t in times() {
            check_positive(&format!("beta at t = {t}"), beta(t))?;
        }
        let first = beta(0.0);
        if times().all(|t| beta(t) == first) {
            return Self::constant(first);
        }
        Ok(KlWeight { shape: Shape::Function { beta, text: text.into() } })
    }

    /// Smallest and largest beta over [0, `horizon`]; of a function, over the 1025 times at which it was checked.
    pub fn range(&self, horizon: f64) -> (f64, f64) {
        let fold = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), v| (a.min(v), b.max(v)))
        };
        match &self.shape {
            Shape::Constant(beta) => (*beta, *beta),
            Shape::Table { beta, .. } => fold(&mut beta.iter().copied()),
            Shape::Function { beta, .. } => fold(&mut (0..CHECKS).map(|k| beta(horizon * k as f64 / (CHECKS - 1) as f64))),
        }
    }

    /// beta(t); a table is continued by its end values.
    pub fn at(&self, time: f64) -> f64 {
        match &self.shape {
            Shape::Constant(beta) => *beta,
            Shape::Table { t, beta } => {
                let i = t.partition_point(|&k| k <= time).clamp(1, t.len() - 1);
                let w = ((time - t[i - 1]) / (t[i] - t[i - 1])).clamp(0.0, 1.0);
                beta[i - 1] + w * (beta[i] - beta[i - 1])
            }
            Shape::Function { beta, .. } => beta(time),
        }
    }

    /// The constant, when beta does not depend on t.
    pub fn as_constant(&self) -> Option<f64> {
        match &self.shape {
            Shape::Constant(beta) => Some(*beta),
            Shape::Table { beta, .. } if beta.iter().all(|b| b == &beta[0]) => Some(beta[0]),
            _ => None,
        }
    }
}

impl fmt::Debug for KlWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.shape {
            Shape::Constant(beta) => write!(f, "{beta}"),
            Shape::Table { t, .. } => write!(f, "piecewise linear through {} points", t.len()),
            Shape::Function { text, .. } => write!(f, "{text}"),
        }
    }
}

fn check_positive(field: &str, value: f64) -> Result<(), ModelError> {
    if value.is_finite() && value > 0.0 { Ok(()) } else { Err(ModelError::invalid(field, value, "must be positive and finite")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_errors() {
        assert_eq!(KlWeight::constant(0.7).unwrap().at(1.0), 0.7);
        let t = KlWeight::table(2.0, vec![0.0, 1.0, 2.0], vec![1.0, 3.0, 2.0]).unwrap();
        assert_eq!((t.at(0.0), t.at(0.5), t.at(1.5), t.at(2.0)), (1.0, 2.0, 2.5, 2.0));
        assert_eq!(t.as_constant(), None);
        assert_eq!(KlWeight::table(2.0, vec![0.0, 2.0], vec![0.5, 0.5]).unwrap().as_constant(), Some(0.5));
        let f = KlWeight::function(2.0, Arc::new(|t| 0.4 + 0.1 * t), "0.4 + 0.1 t").unwrap();
        assert!((f.at(2.0) - 0.6).abs() < 1e-15);
        assert_eq!(f.range(2.0), (0.4, 0.4 + 0.1 * 2.0));
        assert_eq!(KlWeight::function(2.0, Arc::new(|_| 0.5), "0.5").unwrap().as_constant(), Some(0.5));
        let e = KlWeight::function(2.0, Arc::new(|t| 1.0 - t), "1 - t").unwrap_err().to_string();
        assert!(e.contains("beta at t = 1 = 0"), "{e}");
        assert!(KlWeight::constant(f64::NAN).is_err());
        assert!(KlWeight::table(2.0, vec![0.0, 1.0], vec![1.0, 1.0]).is_err());
    }
}
