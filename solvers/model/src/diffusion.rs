//! The general controlled diffusion that every solver works on.
//!
//!   dX = [ f(t,X) + G(t,X) v ] dt + sigma(t,X) dB,
//!   maximise  E[ e^{-rho T} g(X_T) + int_0^T e^{-rho t} ( l(t,X) - (1/2) v' R v ) dt ],
//!
//! with X in R^d, v in R^m, B in R^q. Fine-tuning is the case f = (b/2) y + b s, G = b I, sigma = sqrt(b) I,
//! R = beta b I, l = 0, g = r, v = U - s, rho = 0. In place of v'Rv/2 the running cost of the control may be any c(t,x,v)
//! ([`ControlCost::General`]).

use crate::error::ModelError;
use crate::field::VectorField;
use crate::points::{Points, PointsMut};

/// A matrix coefficient at one time.
pub enum MatrixCoefficient<'a> {
    /// c times the identity, at every point.
    Scaled(f64),
    /// A matrix for each point, written row by row: entry (i, j) of a d x m matrix is coordinate `i * m + j`.
    Field(Box<dyn VectorField + 'a>),
}

/// The controls that may be used.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlSet {
    /// All of R^m.
    Free,
    /// Lower and upper bounds, componentwise.
    Box {
        /// Lower bounds, length m.
        lower: Vec<f64>,
        /// Upper bounds, length m.
        upper: Vec<f64>,
    },
    /// Finitely many controls.
    Finite {
        /// The controls, each of length m; at least one.
        controls: Vec<Vec<f64>>,
    },
}

/// The form of the running cost c(t, x, v) of the control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlCost {
    /// v'Rv/2 with R from [`Coefficients::control_weight`].
    #[default]
    Quadratic,
    /// Whatever [`Coefficients::control_cost`] writes; `control_weight` is not read. Needs a bounded control set.
    General,
}

/// The coefficients at one time.
pub trait Coefficients: Send + Sync {
    /// Write the uncontrolled drift f (d coordinates).
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>);

    /// G, d x m.
    fn control_matrix(&self) -> MatrixCoefficient<'_>;

    /// sigma, d x q. `Scaled` means q = d.
    fn diffusion(&self) -> MatrixCoefficient<'_>;

    /// R, m x m symmetric positive definite: the running cost of v is v'Rv/2.
    fn control_weight(&self) -> MatrixCoefficient<'_>;

    /// Write the running cost c(t, x, v) of control j at point j; read when [`ControlledDiffusion::control_cost`] is
    /// [`ControlCost::General`]. The default is zero.
    fn control_cost(&self, _x: Points<'_>, _v: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }

    /// Bytes of tables that evaluations read ([`VectorField::table_bytes`]); the default is none.
    fn table_bytes(&self) -> usize {
        0
    }

    /// Write the running reward l; the default is zero.
    fn running_reward(&self, _x: Points<'_>, out: &mut [f64]) {
        out.fill(0.0);
    }
}

/// Coefficients that do not depend on time can be returned by reference.
impl<C: Coefficients + ?Sized> Coefficients for &C {
    fn drift(&self, x: Points<'_>, out: PointsMut<'_>) {
        (**self).drift(x, out);
    }
    fn control_matrix(&self) -> MatrixCoefficient<'_> {
        (**self).control_matrix()
    }
    fn diffusion(&self) -> MatrixCoefficient<'_> {
        (**self).diffusion()
    }
    fn control_weight(&self) -> MatrixCoefficient<'_> {
        (**self).control_weight()
    }
    fn control_cost(&self, x: Points<'_>, v: Points<'_>, out: &mut [f64]) {
        (**self).control_cost(x, v, out);
    }
    fn running_reward(&self, x: Points<'_>, out: &mut [f64]) {
        (**self).running_reward(x, out);
    }
    fn table_bytes(&self) -> usize {
        (**self).table_bytes()
    }
}

/// A controlled diffusion.
pub trait ControlledDiffusion: Send + Sync {
    /// Dimension d of the state.
    fn dim(&self) -> usize;

    /// Dimension m of the control.
    fn control_dim(&self) -> usize;

    /// Dimension q of the driving noise; d unless sigma is rectangular.
    fn noise_dim(&self) -> usize {
        self.dim()
    }

    /// T, in the units of time of the coefficients.
    fn horizon(&self) -> f64;

    /// The running discount rate rho >= 0, per unit of time: rewards at time s count exp(-rho (s - t)) seen from t, so the
    /// equation for the value has the further term -rho V. The default is none.
    fn discount(&self) -> f64 {
        0.0
    }

    /// The controls allowed.
    fn control_set(&self) -> ControlSet {
        ControlSet::Free
    }

    /// The form of the control's cost; quadratic unless said otherwise.
    fn control_cost(&self) -> ControlCost {
        ControlCost::Quadratic
    }

    /// The coefficients at time t, with everything that depends on t alone computed.
    fn at(&self, t: f64) -> Box<dyn Coefficients + '_>;

    /// Write the terminal reward g.
    fn terminal_reward(&self, x: Points<'_>, out: &mut [f64]);
}

/// Check that a set of controls fits `m` components and has finite numbers.
pub(crate) fn check_controls(controls: &ControlSet, m: usize) -> Result<(), ModelError> {
    let shape = |field: String, found: usize| {
        if found == m { Ok(()) } else { Err(ModelError::Shape { field, found, expected: m }) }
    };
    let finite = |field: String, v: f64| {
        if v.is_finite() { Ok(()) } else { Err(ModelError::invalid(field, v, "must be finite")) }
    };
    match controls {
        ControlSet::Free => Ok(()),
        ControlSet::Box { lower, upper } => {
            shape("controls.lower".into(), lower.len())?;
            shape("controls.upper".into(), upper.len())?;
            for (k, (l, u)) in lower.iter().zip(upper).enumerate() {
                finite(format!("controls.lower[{k}]"), *l)?;
                finite(format!("controls.upper[{k}]"), *u)?;
                if l > u {
                    let allowed = format!("must be at least controls.lower[{k}] = {l}");
                    return Err(ModelError::invalid(format!("controls.upper[{k}]"), u, allowed));
                }
            }
            Ok(())
        }
        ControlSet::Finite { controls } => {
            if controls.is_empty() {
                return Err(ModelError::invalid("controls.values", "[]", "at least one control"));
            }
            for (i, v) in controls.iter().enumerate() {
                shape(format!("controls.values[{i}]"), v.len())?;
                v.iter().enumerate().try_for_each(|(k, v)| finite(format!("controls.values[{i}][{k}]"), *v))?;
            }
            Ok(())
        }
    }
}
