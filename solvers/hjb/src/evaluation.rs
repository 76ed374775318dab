//! Values, gradients and controls at arbitrary points, with the points outside the grid reported.
//!
//! The grid function is interpolated in space and, beyond the box, continued as [`Extrapolation`] says. A continuation is a
//! guess (a periodic axis has no beyond: its coordinates are wrapped around), so every evaluation returns an [`Evaluation`]: how many points were outside, which one is the farthest and how
//! far it is. A point with a NaN or infinite coordinate is an error.

use crate::error::HjbError;
use hjbridge_model::grid::{CubicSpline, Extrapolation, Interpolation, LinearInterpolant, TensorGrid};
use hjbridge_model::{Points, PointsMut, ScalarField};
use serde::Serialize;
use std::sync::Arc;

/// How a solution is continued between the nodes and beyond the box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EvaluationParams {
    /// Between the nodes: cubic splines (the default) for smooth solutions, multilinear ones for kinks and jumps.
    pub interpolation: Interpolation,
    /// Beyond the box.
    pub extrapolation: Extrapolation,
}

/// The point farthest from the box.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FarthestPoint {
    /// Its number in the block.
    pub index: usize,
    /// Its coordinates.
    pub point: Vec<f64>,
    /// Euclidean distance to the box, in the units of the state.
    pub distance: f64,
}

/// Where the points of an evaluation lay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of points.
    pub points: usize,
    /// Points outside the grid's box, whose values are extrapolated.
    pub outside: usize,
    /// The one farthest outside (the first of several); `None` when all are inside.
    pub farthest: Option<FarthestPoint>,
    /// How the values outside were continued.
    pub extrapolation: Extrapolation,
}

/// V and v at one time, ready to be evaluated anywhere. Made by [`crate::ValueFunction::slice`] and
/// [`crate::StationaryValue::slice`].
#[derive(Clone, Debug)]
pub struct ValueSlice {
    value: Interpolant,
    controls: Vec<Interpolant>,
    params: EvaluationParams,
}

#[derive(Clone, Debug)]
enum Interpolant {
    Cubic(CubicSpline),
    Linear(LinearInterpolant),
}

impl Interpolant {
    fn new(grid: &Arc<TensorGrid>, values: &[f64], params: EvaluationParams) -> Result<Self, HjbError> {
        Ok(match params.interpolation {
            Interpolation::Cubic => Interpolant::Cubic(CubicSpline::new(grid.clone(), values, params.extrapolation)?),
            Interpolation::Linear => Interpolant::Linear(LinearInterpolant::new(grid.clone(), values, params.extrapolation)?),
        })
    }

    fn field(&self) -> &dyn ScalarField {
        match self {
            Interpolant::Cubic(s) => s,
            Interpolant::Linear(l) => l,
        }
    }

    fn grid(&self) -> &TensorGrid {
        match self {
            Interpolant::Cubic(s) => s.grid(),
            Interpolant::Linear(l) => l.grid(),
        }
    }
}

impl ValueSlice {
    /// From n values and m x n controls (component by component) on the nodes. O(2^d n (1 + m)) with splines.
    ///
    /// # Errors
    /// Arrays of the wrong length or with a value that is not finite.
    pub fn new(grid: &Arc<TensorGrid>, value: &[f64], controls: &[f64], params: EvaluationParams) -> Result<Self, HjbError> {
        let n = grid.len();
        HjbError::check_shape("controls", controls.len() % n, 0)?;
        let controls = controls.chunks_exact(n).map(|c| Interpolant::new(grid, c, params)).collect::<Result<_, _>>()?;
        Ok(ValueSlice { value: Interpolant::new(grid, value, params)?, controls, params })
    }

    /// How it is continued.
    pub fn params(&self) -> EvaluationParams {
        self.params
    }

    /// Dimension m of the control.
    pub fn control_dim(&self) -> usize {
        self.controls.len()
    }

    /// Write V at each point of `x`.
    ///
    /// # Errors
    /// A block of another dimension, `out` of another length than the block, a coordinate that is not finite.
    pub fn value(&self, x: Points<'_>, out: &mut [f64]) -> Result<Evaluation, HjbError> {
        HjbError::check_shape("out", out.len(), x.len())?;
        let evaluation = self.locate(x)?;
        self.value.field().value(x, out);
        Ok(evaluation)
    }

    /// Write grad V at each point of `x` (d coordinates).
    ///
    /// # Errors
    /// As [`ValueSlice::value`].
    pub fn gradient(&self, x: Points<'_>, out: PointsMut<'_>) -> Result<Evaluation, HjbError> {
        HjbError::check_shape("out", out.len(), x.len())?;
        HjbError::check_shape("out coordinates", out.dim(), self.value.grid().dim())?;
        let evaluation = self.locate(x)?;
        self.value.field().gradient(x, out);
        Ok(evaluation)
    }

    /// Write the optimal control v at each point of `x` (m coordinates). Splines may leave the control set near a switch;
    /// multilinear interpolation keeps bounds inside the box.
    ///
    /// # Errors
    /// As [`ValueSlice::value`].
    pub fn control(&self, x: Points<'_>, mut out: PointsMut<'_>) -> Result<Evaluation, HjbError> {
        HjbError::check_shape("out", out.len(), x.len())?;
        HjbError::check_shape("out coordinates", out.dim(), self.controls.len())?;
        let evaluation = self.locate(x)?;
        for (k, control) in self.controls.iter().enumerate() {
            control.field().value(x, out.coord_mut(k));
        }
        Ok(evaluation)
    }

    fn locate(&self, x: Points<'_>) -> Result<Evaluation, HjbError> {
        let grid = self.value.grid();
        HjbError::check_shape("point", x.dim(), grid.dim())?;
        let mut squares = vec![0.0f64; x.len()];
        let periods = (0..grid.dim()).map(|a| grid.is_periodic(a));
        for ((a, axis), periodic) in grid.axes().iter().enumerate().zip(periods) {
            for (j, (square, &c)) in squares.iter_mut().zip(x.coord(a)).enumerate() {
                if !c.is_finite() {
                    return Err(HjbError::invalid(&format!("points[{j}][{a}]"), c, "finite"));
                }
                let beyond = (axis.lower() - c).max(c - axis.upper()).max(0.0);
                *square += if periodic { 0.0 } else { beyond * beyond };
            }
        }
        let (mut outside, mut farthest) = (0, (0.0, None));
        for (j, &square) in squares.iter().enumerate() {
            if square > 0.0 {
                outside += 1;
                if square > farthest.0 {
                    farthest = (square, Some(j));
                }
            }
        }
        let farthest = farthest.1.map(|index| {
            let mut point = vec![0.0; x.dim()];
            x.copy_point(index, &mut point);
            FarthestPoint { index, point, distance: squares[index].sqrt() }
        });
        Ok(Evaluation { points: x.len(), outside, farthest, extrapolation: self.params.extrapolation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ValueFunction;
    use hjbridge_model::PointBlock;
    use hjbridge_model::grid::Axis;

    fn function() -> ValueFunction {
        let axes = vec![Axis::uniform(-1.0, 1.0, 9).unwrap(), Axis::uniform(0.0, 2.0, 11).unwrap()];
        let grid = Arc::new(TensorGrid::new(axes).unwrap());
        let p = grid.points();
        let at = |t: f64, f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
            (0..grid.len()).map(|j| f(t, p.coord(0)[j], p.coord(1)[j])).collect()
        };
        let times = vec![0.0, 0.25, 0.5, 1.0];
        let values = times.iter().map(|&t| at(t, &|t, x, y| t * t + x * y + y.powi(3))).collect();
        let controls = times.iter().map(|&t| [at(t, &|t, x, _| t - x), at(t, &|_, _, y| 2.0 * y)].concat()).collect();
        ValueFunction::new(grid, 2, times, values, controls).unwrap()
    }

    #[test]
    fn cubics_are_exact_and_points_outside_are_counted_with_the_farthest() {
        let v = function();
        let x = PointBlock::from_points(2, &[[0.1, 0.3], [1.5, 2.4], [-1.0, 2.0], [0.0, -0.6]]).unwrap();
        let mut out = vec![0.0; 4];
        let quadratic = EvaluationParams { extrapolation: Extrapolation::Quadratic, ..Default::default() };
        let seen = v.evaluate(0.6, x.as_points(), quadratic, &mut out).unwrap();
        assert_eq!((seen.points, seen.outside, seen.extrapolation), (4, 2, Extrapolation::Quadratic));
        let far = seen.farthest.unwrap();
        assert_eq!((far.index, &far.point[..]), (1, &[1.5, 2.4][..]));
        assert!((far.distance - 0.41f64.sqrt()).abs() < 1e-14);
        for j in [0, 2] {
            let (a, b) = (x.coord(0)[j], x.coord(1)[j]);
            assert!((out[j] - (0.36 + a * b + b.powi(3))).abs() < 1e-13);
        }
        // The continuation keeps value, slope and curvature of the face: y^3 at y = -0.6 becomes 0.
        assert!((out[3] - 0.36).abs() < 1e-12, "{}", out[3]);
        let slice = v.slice(0.6, EvaluationParams::default()).unwrap();
        let (mut gradient, mut control) = (PointBlock::zeros(2, 4), PointBlock::zeros(2, 4));
        slice.gradient(x.as_points(), gradient.as_mut()).unwrap();
        assert_eq!(slice.control(x.as_points(), control.as_mut()).unwrap().outside, 2);
        assert!((gradient.coord(0)[0] - 0.3).abs() < 1e-13 && (gradient.coord(1)[0] - (0.1 + 0.27)).abs() < 1e-12);
        assert!((control.coord(0)[1] - (0.6 - 1.5)).abs() < 1e-13 && (control.coord(1)[1] - 4.8).abs() < 1e-13);
        let inside = PointBlock::from_points(2, &[[0.1, 0.3]]).unwrap();
        let seen = v.evaluate(0.0, inside.as_points(), EvaluationParams::default(), &mut out[..1]).unwrap();
        assert_eq!((seen.outside, seen.farthest), (0, None));
    }

    #[test]
    fn bad_points_and_times_are_named() {
        let v = function();
        let mut out = vec![0.0; 2];
        let nan = PointBlock::from_points(2, &[[0.0, 0.0], [0.0, f64::NAN]]).unwrap();
        let e = v.evaluate(0.5, nan.as_points(), EvaluationParams::default(), &mut out).unwrap_err();
        assert!(e.to_string().starts_with("points[1][1] = NaN"), "{e}");
        let x = PointBlock::from_points(2, &[[0.0, 0.0], [0.0, 1.0]]).unwrap();
        assert!(
            v.evaluate(1.5, x.as_points(), EvaluationParams::default(), &mut out).unwrap_err().to_string().starts_with("t = 1.5")
        );
        assert!(matches!(
            v.evaluate(0.5, x.as_points(), EvaluationParams::default(), &mut out[..1]),
            Err(HjbError::Shape { .. })
        ));
        let line = PointBlock::from_points(1, &[[0.0], [0.0]]).unwrap();
        assert!(matches!(v.evaluate(0.5, line.as_points(), EvaluationParams::default(), &mut out), Err(HjbError::Shape { .. })));
    }
}
