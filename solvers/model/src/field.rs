//! Fields: functions of a block of points, prepared once per time.
//!
//! `VectorField` is a function of space alone. A time-dependent one is a [`Feedback`]: `at(t)` prepares whatever depends
//! on time only (noised covariances, a slice of a table) and returns the field at that time. A pre-trained score is a
//! feedback too, because the uncontrolled model is the policy U = s.

use crate::points::{Points, PointsMut};

/// A real function on R^d with its gradient.
pub trait ScalarField: Send + Sync {
    /// Dimension d of the argument.
    fn dim(&self) -> usize;

    /// Write the value at each point; `out` has one entry per point.
    fn value(&self, x: Points<'_>, out: &mut [f64]);

    /// Write the gradient at each point; `out` is d-dimensional.
    fn gradient(&self, x: Points<'_>, out: PointsMut<'_>);
}

/// A function from R^d to R^m, on blocks.
pub trait VectorField: Send + Sync {
    /// Write the field at each point of `x`; `out` has m coordinates and as many points as `x`.
    fn eval(&self, x: Points<'_>, out: PointsMut<'_>);

    /// Write J'p at each point, J the Jacobian and p a cotangent (m coordinates; `out` has d), where the field knows its
    /// derivative, and return whether it does. The default does not, and leaves `out` as it is.
    fn vjp(&self, _x: Points<'_>, _p: Points<'_>, _out: PointsMut<'_>) -> bool {
        false
    }

    /// How many of the points lie outside the field's own domain (a table's box), where its values are extrapolated.
    fn count_outside(&self, _x: Points<'_>) -> usize {
        0
    }

    /// Bytes of tables that evaluations read, 0 for a formula. A caller with many blocks of points and many times may choose the
    /// order of its loops by it.
    fn table_bytes(&self) -> usize {
        0
    }

    /// Whether the field is known to be zero everywhere, so that it need not be evaluated.
    fn is_zero(&self) -> bool {
        false
    }
}

/// A feedback control: a vector field for each time t in [0, T] (generation time).
pub trait Feedback: Send + Sync {
    /// Dimension d of the state.
    fn dim(&self) -> usize;

    /// Dimension m of the control.
    fn control_dim(&self) -> usize;

    /// The field at time t, with everything that depends on t alone computed.
    fn at(&self, t: f64) -> Box<dyn VectorField + '_>;
}

/// The control that is zero everywhere.
#[derive(Clone, Copy, Debug)]
pub struct ZeroFeedback {
    /// Dimension of the state.
    pub dim: usize,
    /// Dimension of the control.
    pub control_dim: usize,
}

struct Zero;

impl VectorField for Zero {
    fn eval(&self, _x: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
    }
    fn is_zero(&self) -> bool {
        true
    }
}

impl Feedback for ZeroFeedback {
    fn dim(&self) -> usize {
        self.dim
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn at(&self, _t: f64) -> Box<dyn VectorField + '_> {
        Box::new(Zero)
    }
}

/// A closure `(t, x, u)` over one point, lifted to a feedback; it writes the control into `u`.
pub struct PointwiseFeedback<F> {
    dim: usize,
    control_dim: usize,
    law: F,
}

impl<F: Fn(f64, &[f64], &mut [f64]) + Send + Sync> PointwiseFeedback<F> {
    /// Lift `law` for a state in R^`dim` and a control in R^`control_dim`.
    pub fn new(dim: usize, control_dim: usize, law: F) -> Self {
        PointwiseFeedback { dim, control_dim, law }
    }
}

struct PointwiseAt<'a, F> {
    parent: &'a PointwiseFeedback<F>,
    t: f64,
}

impl<F: Fn(f64, &[f64], &mut [f64]) + Send + Sync> VectorField for PointwiseAt<'_, F> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        let mut point = vec![0.0; self.parent.dim];
        let mut u = vec![0.0; self.parent.control_dim];
        for j in 0..x.len() {
            x.copy_point(j, &mut point);
            (self.parent.law)(self.t, &point, &mut u);
            out.set_point(j, &u);
        }
    }
}

impl<F: Fn(f64, &[f64], &mut [f64]) + Send + Sync> Feedback for PointwiseFeedback<F> {
    fn dim(&self) -> usize {
        self.dim
    }
    fn control_dim(&self) -> usize {
        self.control_dim
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(PointwiseAt { parent: self, t })
    }
}
