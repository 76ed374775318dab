//! Tensor grids, grid functions, and interpolation between the nodes.
//!
//! A [`TensorGrid`] is the product of one [`Axis`] per coordinate, numbered in C order (last axis fastest). A
//! [`GridFunction`] gives each node a value; [`LinearInterpolant`] and [`CubicSpline`] make it a scalar field on all of
//! R^d, continued outside the box as [`Extrapolation`] says; [`TableFeedback`] makes a feedback control from slices
//! stored at several times. On axes marked periodic ([`TensorGrid::with_periodic`]) all of them wrap around.
//!
//! Which interpolant: the spline has order 4 in the value and 3 in the gradient and is C2, so it serves wherever a
//! gradient is taken; the multilinear one has order 2, never leaves the range of the data inside the box, and is the
//! choice for data with kinks or jumps.

mod axis;
mod block;
mod grid_function;
mod lattice;
mod linear;
mod region;
mod remembered;
mod slopes;
mod smoothing;
mod spline;
mod table;
mod tensor;
mod tensor_product;

#[cfg(test)]
mod tests;

pub use axis::{Axis, MIN_NODES};
pub use grid_function::GridFunction;
pub use linear::LinearInterpolant;
pub use region::{Region, RegionNodes};
pub use remembered::Remembered;
pub use smoothing::GaussianSmoothing;
pub use spline::CubicSpline;
pub use table::TableFeedback;
pub use tensor::{MAX_NODES, TensorGrid};

/// How an interpolant continues outside the box of its grid, axis by axis.
///
/// In several dimensions the rule acts on the basis functions of each axis, so the continuation is again a tensor
/// product: beyond a corner `Linear` is bilinear in the two distances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extrapolation {
    /// The value at the face; the derivative normal to the face is zero outside.
    Clamp,
    /// Value and slope at the face.
    #[default]
    Linear,
    /// Value, slope and curvature at the face. The same as `Linear` for a piecewise linear interpolant.
    Quadratic,
}

/// The order of the interpolation in space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Multilinear: order 2, keeps the bounds of the data inside the box.
    Linear,
    /// C2 cubic spline: order 4, may overshoot at kinks and jumps.
    #[default]
    Cubic,
}
