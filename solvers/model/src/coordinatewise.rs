//! A feedback whose component i depends on coordinate i alone.
//!
//!   u_i(t, x) = u^(i)(t, x_i),   i = 1..d.
//!
//! The optimal control of d problems that do not interact; d tables on lines in place of one on a d-dimensional grid.

use crate::error::ModelError;
use crate::field::{Feedback, VectorField};
use crate::points::{Points, PointsMut};
use std::sync::Arc;

/// One feedback on the line for each coordinate. Clones share the parts.
#[derive(Clone)]
pub struct CoordinatewiseFeedback {
    parts: Vec<Arc<dyn Feedback>>,
}

impl CoordinatewiseFeedback {
    /// From the feedbacks of the coordinates, each from R to R; the same one may serve several.
    ///
    /// # Errors
    /// No part, or a part of another dimension than 1.
    pub fn new(parts: Vec<Arc<dyn Feedback>>) -> Result<Self, ModelError> {
        if parts.is_empty() {
            return Err(ModelError::Shape { field: "parts".into(), found: 0, expected: 1 });
        }
        for (i, part) in parts.iter().enumerate() {
            for (what, found) in [("dim", part.dim()), ("control_dim", part.control_dim())] {
                if found != 1 {
                    return Err(ModelError::Shape { field: format!("parts[{i}].{what}"), found, expected: 1 });
                }
            }
        }
        Ok(CoordinatewiseFeedback { parts })
    }
}

struct CoordinatewiseAt<'a> {
    parts: Vec<Box<dyn VectorField + 'a>>,
}

impl CoordinatewiseAt<'_> {
    fn outside(&self, i: usize, x: &[f64]) -> usize {
        self.parts[i].count_outside(Points::new(x, 1))
    }
}

impl VectorField for CoordinatewiseAt<'_> {
    fn eval(&self, x: Points<'_>, mut out: PointsMut<'_>) {
        for (i, part) in self.parts.iter().enumerate() {
            part.eval(Points::new(x.coord(i), 1), PointsMut::new(out.coord_mut(i), 1));
        }
    }

    /// Points with a coordinate outside its part's box, each counted once.
    fn count_outside(&self, x: Points<'_>) -> usize {
        let counts: Vec<usize> = (0..self.parts.len()).filter(|&i| self.outside(i, x.coord(i)) > 0).collect();
        let beyond = |j: usize| counts.iter().any(|&i| self.outside(i, &x.coord(i)[j..=j]) > 0);
        if counts.is_empty() { 0 } else { (0..x.len()).filter(|&j| beyond(j)).count() }
    }

    fn table_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.table_bytes()).sum()
    }

    fn is_zero(&self) -> bool {
        self.parts.iter().all(|part| part.is_zero())
    }
}

impl Feedback for CoordinatewiseFeedback {
    fn dim(&self) -> usize {
        self.parts.len()
    }
    fn control_dim(&self) -> usize {
        self.parts.len()
    }
    fn at(&self, t: f64) -> Box<dyn VectorField + '_> {
        Box::new(CoordinatewiseAt { parts: self.parts.iter().map(|part| part.at(t)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{PointwiseFeedback, ZeroFeedback};
    use crate::grid::{Axis, Extrapolation, Interpolation, TableFeedback, TensorGrid};
    use crate::points::PointBlock;

    fn table() -> Arc<dyn Feedback> {
        let grid = Arc::new(TensorGrid::new(vec![Axis::uniform(-1.0, 1.0, 9).unwrap()]).unwrap());
        let slice = grid.points().coord(0).to_vec();
        Arc::new(TableFeedback::new(grid, vec![0.0], vec![slice], 1, Interpolation::Linear, Extrapolation::Linear).unwrap())
    }

    #[test]
    fn components_see_their_own_coordinate() {
        let cube = PointwiseFeedback::new(1, 1, |t: f64, x: &[f64], u: &mut [f64]| u[0] = t * x[0].powi(3));
        let feedback = CoordinatewiseFeedback::new(vec![table(), Arc::new(cube)]).unwrap();
        assert_eq!((feedback.dim(), feedback.control_dim()), (2, 2));
        let x = PointBlock::from_points(2, &[[0.5, 2.0], [-0.25, -1.0], [3.0, 0.0]]).unwrap();
        let mut u = PointBlock::zeros(2, 3);
        let field = feedback.at(0.5);
        field.eval(x.as_points(), u.as_mut());
        assert_eq!(u.data(), [0.5, -0.25, 3.0, 4.0, -0.5, 0.0]);
        assert!(field.count_outside(x.as_points()) == 1 && !field.is_zero());
    }

    #[test]
    fn a_point_outside_in_two_coordinates_counts_once() {
        let feedback = CoordinatewiseFeedback::new(vec![table(), table()]).unwrap();
        let x = PointBlock::from_points(2, &[[2.0, 2.0], [0.0, 0.0], [0.0, -2.0], [f64::NAN, 0.0]]).unwrap();
        assert_eq!(feedback.at(0.0).count_outside(x.as_points()), 3);
    }

    #[test]
    fn parts_of_another_dimension_are_named() {
        let plane = Arc::new(ZeroFeedback { dim: 2, control_dim: 1 });
        let e = CoordinatewiseFeedback::new(vec![table(), plane]).err().unwrap().to_string();
        assert!(e.contains("parts[1].dim"), "{e}");
        assert!(CoordinatewiseFeedback::new(Vec::new()).is_err());
    }
}
