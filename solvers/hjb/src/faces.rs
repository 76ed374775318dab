//! Conditions at the faces of the box, one for each face.

use crate::error::HjbError;
use hjbridge_model::grid::TensorGrid;
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// Axes whose faces can be named one by one.
const NAMED_AXES: usize = 3;

/// What happens at one face of the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub enum Face {
    /// V continues linearly across the face: V'' = 0 and the slope is the one-sided quotient towards the inside, for
    /// every drift; cross derivatives with this axis are left out on the face. Monotone where the drift at the face
    /// points inward (or vanishes); an outward drift gives a negative rate, which the monotonicity certificate counts.
    /// The default of problems with a horizon: fine-tuning drifts point inward far out. Stationary problems reflect by
    /// default: there an outward controlled drift at an extrapolated face leaves the equation without a condition and with a
    /// second, spurious solution ([`crate::StationaryInfo::reliable`]).
    #[default]
    Extrapolated,
    /// The process is reflected along the normal: V' = 0 on the face, whose node stands for half a cell. Rates balance
    /// those of its neighbour, so that stationary densities are of second order up to the wall. Monotone for every drift;
    /// the natural choice for densities, whose mass stays in the box.
    Reflecting,
    /// The process ends there: V is prescribed on the nodes of the face, by the model's terminal reward unless other data
    /// are given. A node on the edge between a Dirichlet and another face belongs to the Dirichlet face.
    Dirichlet,
    /// Both ends of the axis are the same place: the last node is the first one again, and so must be the model's
    /// coefficients and rewards there; the solution is evaluated by wrapping around. Both faces of the axis are periodic or none. The boundary of a target set must not
    /// cut the cells next to the two ends along this axis: it would be placed differently for the two nodes.
    Periodic,
}

/// The conditions at all faces of a box; a [`Face`] converts to the same condition everywhere.
///
/// ```
/// use hjbridge_hjb::{Face, Faces};
/// let faces = Faces::all(Face::Reflecting).with(0, true, Face::Dirichlet).with_axis(1, Face::Periodic);
/// assert_eq!(faces.face(0, true), Face::Dirichlet);
/// assert_eq!(faces.face(0, false), Face::Reflecting);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Faces {
    /// Axes beyond the named ones.
    others: Face,
    /// (lower, upper) of each axis.
    named: [[Face; 2]; NAMED_AXES],
    /// One more than the largest axis given to `with`.
    axes: usize,
}

impl From<Face> for Faces {
    fn from(face: Face) -> Self {
        Faces::all(face)
    }
}

impl Faces {
    /// The same condition at every face.
    pub const fn all(face: Face) -> Self {
        Faces { others: face, named: [[face; 2]; NAMED_AXES], axes: 0 }
    }

    /// [`Face::Extrapolated`] everywhere, the default.
    pub const fn extrapolated() -> Self {
        Faces::all(Face::Extrapolated)
    }

    /// [`Face::Reflecting`] everywhere.
    pub const fn reflecting() -> Self {
        Faces::all(Face::Reflecting)
    }

    /// The same with another condition at the lower or upper face of one axis (0, 1 or 2). An axis that the grid does not
    /// have is an error when the faces meet the grid.
    pub fn with(mut self, axis: usize, upper: bool, face: Face) -> Self {
        self.axes = self.axes.max(axis.saturating_add(1));
        if let Some(pair) = self.named.get_mut(axis) {
            pair[usize::from(upper)] = face;
        }
        self
    }

    /// The same with another condition at both faces of one axis.
    pub fn with_axis(self, axis: usize, face: Face) -> Self {
        self.with(axis, false, face).with(axis, true, face)
    }

    /// The condition at the lower or upper face of an axis.
    pub fn face(&self, axis: usize, upper: bool) -> Face {
        self.named.get(axis).map_or(self.others, |pair| pair[usize::from(upper)])
    }

    /// Whether this axis is periodic.
    pub fn is_periodic(&self, axis: usize) -> bool {
        self.face(axis, false) == Face::Periodic
    }

    /// The grid with the axes marked periodic whose faces are: what is computed on it then wraps around.
    pub(crate) fn mark(&self, grid: Arc<TensorGrid>) -> Arc<TensorGrid> {
        let periodic: Vec<usize> = (0..grid.dim()).filter(|&axis| self.is_periodic(axis)).collect();
        if (0..grid.dim()).all(|axis| grid.is_periodic(axis) == self.is_periodic(axis)) {
            return grid;
        }
        grid.with_periodic(&periodic).map_or(grid, Arc::new)
    }

    /// Check against a grid: no face of a missing axis, periodic at both ends or none.
    ///
    /// # Errors
    /// [`HjbError::Invalid`] naming the face.
    pub fn validate(&self, grid: &TensorGrid) -> Result<(), HjbError> {
        let d = grid.dim();
        if self.axes > d || self.axes > NAMED_AXES {
            let field = format!("boundary, axis {}", self.axes - 1);
            let allowed = format!("an axis below {} (grid axes, at most {NAMED_AXES})", d.min(NAMED_AXES));
            return Err(HjbError::invalid(&field, "named", &allowed));
        }
        for axis in 0..d {
            let (lower, upper) = (self.face(axis, false), self.face(axis, true));
            if (lower == Face::Periodic) != (upper == Face::Periodic) {
                let (field, value) = (format!("boundary, axis {axis}"), format!("{lower:?} and {upper:?}"));
                return Err(HjbError::invalid(&field, value, "Periodic at both faces of an axis or at none"));
            }
        }
        Ok(())
    }
}

/// The name of the condition when it is the same everywhere, otherwise [lower, upper] for each of three axes.
impl Serialize for Faces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.named.iter().flatten().all(|face| *face == self.others) {
            self.others.serialize(serializer)
        } else {
            self.named.serialize(serializer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::grid::Axis;

    #[test]
    fn faces_are_set_one_by_one_and_checked_against_the_grid() {
        let grid =
            |counts: &[usize]| TensorGrid::new(counts.iter().map(|&n| Axis::uniform(0.0, 1.0, n).unwrap()).collect()).unwrap();
        let faces = Faces::from(Face::Reflecting).with(1, true, Face::Dirichlet);
        assert_eq!((faces.face(1, true), faces.face(1, false), faces.face(5, true)), {
            (Face::Dirichlet, Face::Reflecting, Face::Reflecting)
        });
        assert!(faces.validate(&grid(&[9, 9])).is_ok());
        let refused = |faces: Faces, counts: &[usize]| match faces.validate(&grid(counts)) {
            Err(HjbError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert!(refused(faces, &[9]).contains("axis 1"));
        assert!(refused(Faces::default().with(3, false, Face::Reflecting), &[5, 5, 5, 5]).contains("axis 3"));
        assert!(refused(Faces::default().with(0, false, Face::Periodic), &[9]).contains("axis 0"));
        assert!(Faces::all(Face::Periodic).validate(&grid(&[5, 6])).is_ok());
    }
}
