//! The temperature beta with G R^{-1} G' = sigma sigma'/beta.
//!
//! sup_v { (G v).p - v'Rv/2 } = p' G R^{-1} G' p / 2; when that is p' sigma sigma' p / (2 beta), the substitution
//! V = beta log phi turns it into the second-order term that (1/2) tr(sigma sigma' D^2 phi) leaves over.

use super::control::maximiser;
use crate::coefficients::NodeCoefficients;
use crate::error::HjbError;
use hjbridge_model::{ControlCost, ControlSet, ControlledDiffusion};

/// Largest relative difference of sigma sigma' and beta G R^{-1} G'.
const TOLERANCE: f64 = 1e-9;

const ALLOWED: &str = "G R^{-1} G' = sigma sigma'/beta with one constant beta > 0 (the monotone route takes the others)";

/// What must hold of the model besides its coefficients: quadratic cost, free control, no discount.
pub(super) fn check_form(model: &dyn ControlledDiffusion) -> Result<(), HjbError> {
    let unsupported = |what: String| HjbError::Unsupported {
        what,
        t: 0.0,
        point: Vec::new(),
        allowed: "a free control of quadratic cost without discount, for which exp(V/beta) solves a linear equation (the monotone route takes the others)",
    };
    if model.control_dim() == 0 {
        return Err(unsupported("there is no control (control_dim = 0)".into()));
    }
    match model.control_set() {
        ControlSet::Free => {}
        ControlSet::Box { .. } => return Err(unsupported("the control is bounded by a box (control_set)".into())),
        ControlSet::Finite { controls } => {
            return Err(unsupported(format!("the control is one of a finite set of {} (control_set)", controls.len())));
        }
    }
    if model.control_cost() != ControlCost::Quadratic {
        return Err(unsupported("the cost of the control is general, not quadratic (control_cost)".into()));
    }
    let discount = model.discount();
    if discount == 0.0 { Ok(()) } else { Err(unsupported(format!("discount = {discount}"))) }
}

/// Check all nodes at time t against `beta`, or find it there. O(d^2 n), O(n m^3) with full matrices.
pub(super) fn temperature(c: &NodeCoefficients, t: f64, beta: Option<f64>) -> Result<f64, HjbError> {
    let (d, n, m) = (c.nodes.dim(), c.nodes.len(), c.control_dim);
    let mut found = beta;
    if let Some(beta) = beta
        && holds(c, beta)
    {
        return Ok(beta);
    }
    let (mut unit, mut v, mut factor) = (vec![0.0; d], vec![0.0; m], vec![0.0; m * m]);
    // Column i of G R^{-1} G' and of sigma sigma' at node j.
    let (mut mobility, mut a) = (vec![0.0; d], vec![0.0; d]);
    for i in 0..d {
        unit.fill(0.0);
        unit[i] = 1.0;
        for j in 0..n {
            match &c.matrices {
                None => mobility[i] = if i < m { c.gain[i * n + j].powi(2) / c.weight[i * n + j] } else { 0.0 },
                Some(full) => {
                    maximiser(full, n, j, &unit, &mut v, &mut factor);
                    for (l, out) in mobility.iter_mut().enumerate() {
                        *out = v.iter().enumerate().map(|(k, v)| full.gain[(l * m + k) * n + j] * v).sum();
                    }
                }
            }
            a[i] = c.variance[i * n + j];
            for cross in &c.cross {
                match cross.axes {
                    (k, l) if k == i => a[l] = cross.a[j],
                    (k, l) if l == i => a[k] = cross.a[j],
                    _ => {}
                }
            }
            if found.is_none() && (a[i] > 0.0 || mobility[i] > 0.0) {
                found = Some(a[i] / mobility[i]);
            }
            let beta = found.unwrap_or(1.0);
            let size = a[i] + beta * mobility[i];
            for l in 0..d {
                // The off-diagonal ones are small against the diagonals of both rows.
                let size = if l == i { size } else { size.max(c.variance[l * n + j]) };
                // A NaN or an infinite beta fails this too.
                if !(beta > 0.0 && beta.is_finite() && (a[l] - beta * mobility[l]).abs() <= TOLERANCE * size) {
                    let point = (0..d).map(|k| c.nodes.coord(k)[j]).collect();
                    let (a, mobility) = (a[l], mobility[l]);
                    let what =
                        format!("(sigma sigma')[{i}][{l}] = {a} and (G R^-1 G')[{i}][{l}] = {mobility}, with beta = {beta}");
                    return Err(HjbError::Unsupported { what, t, point, allowed: ALLOWED });
                }
            }
        }
        mobility.fill(0.0);
        a.fill(0.0);
    }
    found.ok_or_else(|| HjbError::Unsupported { what: "sigma = 0 everywhere".into(), t, point: Vec::new(), allowed: ALLOWED })
}

/// Whether the condition holds at all nodes, for diagonal matrices; false when that is not so easily seen.
fn holds(c: &NodeCoefficients, beta: f64) -> bool {
    if c.matrices.is_some() || !c.cross.is_empty() {
        return false;
    }
    let controlled = c.gain.len();
    let mut worst = [0.0f64; 8];
    let channels = c.variance[..controlled].iter().zip(&c.gain).zip(&c.weight);
    for (k, ((a, g), r)) in channels.enumerate() {
        let scaled = beta * g * g / r;
        let excess = (a - scaled).abs() - TOLERANCE * (a + scaled);
        let lane = &mut worst[k % 8];
        *lane = if excess <= *lane { *lane } else { excess };
    }
    worst.iter().all(|w| *w <= 0.0) && c.variance[controlled..].iter().all(|a| *a == 0.0)
}
