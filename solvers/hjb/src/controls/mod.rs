//! The best control at a node when the maximum does not split over the axes.
//!
//! The discrete Hamiltonian at a node is H(v) = sum_i phi_i(f_i + (G v)_i) - c(t,x,v) with phi_i(mu) the part of axis i at
//! drift mu, slope choice included. With diagonal G and R it splits and `hamiltonian.rs` maximises it in closed form; here
//! are the other cases:
//!
//! | control set and cost | method | file |
//! |---|---|---|
//! | finite set, any cost | each control is tried | `finite.rs` |
//! | box, any cost | lattice, then a shrinking pattern | `refined.rs` |
//! | free or box, quadratic cost | a quadratic programme for each choice of slopes | `coupled.rs` |
//!
//! All maximise H itself, and the present policy is always among the candidates: a sweep of Howard's iteration cannot go
//! backward.

mod block;
mod coupled;
mod finite;
mod matrices;
mod parabola;
mod params;
mod quadratic_program;
mod refined;
mod ridges;

pub(crate) use block::{Block, Cost, Fault, Slopes, Work};
pub(crate) use coupled::Coupled;
pub(crate) use finite::FiniteSet;
pub(crate) use matrices::ControlMatrices;
pub use params::SearchParams;
pub(crate) use refined::Refined;

use crate::error::HjbError;
use hjbridge_model::{ControlCost, ControlSet, ControlledDiffusion};

/// The checked control set of a model.
#[derive(Clone, Debug)]
pub(crate) struct Controls {
    /// Lower and upper bound per component; infinite when free, the hull of a finite set.
    pub bounds: Vec<(f64, f64)>,
    /// The controls of a finite set.
    pub finite: Option<Vec<Vec<f64>>>,
    /// The form of the cost.
    pub cost: ControlCost,
}

impl Controls {
    /// The control set of `model`.
    ///
    /// # Errors
    /// Bounds out of order or NaN; an empty finite set or one with an entry that is not finite; a general cost on an
    /// unbounded set.
    pub fn new(model: &dyn ControlledDiffusion) -> Result<Self, HjbError> {
        let m = model.control_dim();
        let cost = model.control_cost();
        let mut finite = None;
        let bounds = match model.control_set() {
            ControlSet::Free => vec![(f64::NEG_INFINITY, f64::INFINITY); m],
            ControlSet::Box { lower, upper } => {
                HjbError::check_shape("control_set.lower", lower.len(), m)?;
                HjbError::check_shape("control_set.upper", upper.len(), m)?;
                for (i, (lo, up)) in lower.iter().zip(&upper).enumerate() {
                    // An empty interval, a NaN and an infinity on the wrong side all fail this.
                    if !(lo <= up && *lo < f64::INFINITY && *up > f64::NEG_INFINITY) {
                        let value = format!("[{lo}, {up}]");
                        return Err(HjbError::invalid(&format!("control_set[{i}]"), value, "lower <= upper, not NaN"));
                    }
                }
                lower.into_iter().zip(upper).collect()
            }
            ControlSet::Finite { controls } => {
                let bounds = hull(&controls, m)?;
                finite = Some(controls);
                bounds
            }
        };
        if cost == ControlCost::General
            && let Some(i) = bounds.iter().position(|(lo, up)| lo.is_infinite() || up.is_infinite())
        {
            let value = format!("[{}, {}]", bounds[i].0, bounds[i].1);
            let allowed = "finite bounds, which a general control cost needs (the maximum is searched for)";
            return Err(HjbError::invalid(&format!("control_set[{i}]"), value, allowed));
        }
        Ok(Controls { bounds, finite, cost })
    }

    /// Whether every component is bounded.
    pub fn is_bounded(&self) -> bool {
        self.bounds.iter().all(|(lo, up)| lo.is_finite() && up.is_finite())
    }

    /// Zero clipped to the box, or the control of a finite set nearest to zero (the first of several).
    pub fn zero(&self) -> Vec<f64> {
        let square = |v: &Vec<f64>| v.iter().map(|v| v * v).sum::<f64>();
        let mut nearest: Option<&Vec<f64>> = None;
        for v in self.finite.iter().flatten() {
            if nearest.is_none_or(|best| square(v) < square(best)) {
                nearest = Some(v);
            }
        }
        nearest.cloned().unwrap_or_else(|| self.bounds.iter().map(|&(lo, up)| 0.0f64.max(lo).min(up)).collect())
    }
}

/// The smallest box that contains these controls, each of m finite entries.
fn hull(controls: &[Vec<f64>], m: usize) -> Result<Vec<(f64, f64)>, HjbError> {
    if controls.is_empty() {
        return Err(HjbError::invalid("control_set.controls", "empty", "at least one control"));
    }
    let mut bounds = vec![(f64::INFINITY, f64::NEG_INFINITY); m];
    for (k, v) in controls.iter().enumerate() {
        HjbError::check_shape(&format!("control_set.controls[{k}]"), v.len(), m)?;
        for (i, (value, b)) in v.iter().zip(&mut bounds).enumerate() {
            if !value.is_finite() {
                return Err(HjbError::invalid(&format!("control_set.controls[{k}][{i}]"), value, "finite"));
            }
            *b = (b.0.min(*value), b.1.max(*value));
        }
    }
    Ok(bounds)
}
