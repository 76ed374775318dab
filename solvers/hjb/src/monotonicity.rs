//! The monotonicity certificate: signs of the rates and row sums of the assembled generators.
//!
//! A generator with zero row sums and non-negative off-diagonal rates is that of a Markov chain; with implicit Euler the
//! scheme is then monotone and converges to the viscosity solution (Barles and Souganidis, Asymptotic Anal. 4 (1991)
//! 271-283). The certificate counts negative rates and says where the worst one is and what probably causes it. Row sums are
//! added up too: zero inside, negative where mass leaves (to a target, a Dirichlet value, by a discount); a positive one
//! would make mass.

use crate::error::HjbError;
use crate::stencil::StencilMatrix;
use hjbridge_model::PointBlock;
use serde::Serialize;

/// A rate counts as negative below minus this fraction of the row's diagonal (central differences at the edge of their
/// window leave rounding of either sign).
const ROUNDING: f64 = 1e-12;

/// What probably makes a rate negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ViolationCause {
    /// The drift at a face of the box points outward and the boundary extrapolates.
    FaceDrift,
    /// Central differences where the cell Peclet number |mu| dx / a exceeds what they bear.
    CellPeclet,
    /// The cross term a_ij of the diffusion is too large for the stencil on these spacings.
    CrossTerm,
    /// Differences of order four and more, which weigh neighbours negatively on every grid.
    HighOrder,
}

impl std::fmt::Display for ViolationCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ViolationCause::FaceDrift => "the drift at the face points outward (enlarge the box, or make that face reflecting)",
            ViolationCause::CellPeclet => {
                "the cell Peclet number |drift| spacing / variance is too large for central differences (refine the axis, or \
                 use a scheme with one-sided slopes)"
            }
            ViolationCause::CrossTerm => {
                "the cross term of sigma sigma' is too large for the spacings (choose spacings in proportion to the standard \
                 deviations, or rotate the coordinates)"
            }
            ViolationCause::HighOrder => "differences of high order are not monotone on any grid (the monotone route is)",
        })
    }
}

/// Negative rates and positive row sums: the scheme is monotone when there is none.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct Monotonicity {
    /// Negative off-diagonal rates seen, over all generators inspected.
    pub violations: usize,
    /// Most nodes with such a rate in one of the generators.
    pub nodes: usize,
    /// Flat index of the node with the most negative rate.
    pub worst_node: Option<usize>,
    /// That rate (zero when there is no violation), per unit of time.
    pub worst_value: f64,
    /// Coordinates of that node (empty when there is no violation).
    pub worst_point: Vec<f64>,
    /// Axis of the neighbour with that rate; the first axis of the shift for a diagonal neighbour.
    pub worst_axis: Option<usize>,
    /// Time of that generator, when it has one.
    pub worst_time: Option<f64>,
    /// The likely cause there.
    pub worst_cause: Option<ViolationCause>,
    /// Largest row sum over all generators inspected, relative to the sum of the magnitudes in its row; zero when none is
    /// positive. At most rounding for a generator.
    pub worst_row_sum: f64,
    /// Flat index of that row, when its sum is more than rounding.
    pub worst_row: Option<usize>,
    /// Coordinates of that node (empty when there is none).
    pub worst_row_point: Vec<f64>,
}

impl Monotonicity {
    /// Whether no negative rate and no positive row sum was seen.
    pub fn is_monotone(&self) -> bool {
        self.violations == 0 && self.worst_row.is_none()
    }

    /// Inspect the coefficients of `a` (diagonal first, then (lower, upper) of each axis, then others) at time t on these
    /// nodes, and add what is found.
    pub fn inspect(&mut self, a: &StencilMatrix, nodes: &PointBlock, t: Option<f64>) {
        let place = |j: usize| (0..nodes.dim()).map(|i| nodes.coord(i)[j]).collect();
        if let Some((j, sum)) = largest_row_sum(a).filter(|row| row.1 > self.worst_row_sum) {
            self.worst_row_sum = sum;
            if sum > ROUNDING {
                (self.worst_row, self.worst_row_point) = (Some(j), place(j));
            }
        }
        let mut worst = None;
        let mut fails = Vec::new();
        for s in 1..a.flat_shifts().len() {
            for (j, (&rate, &diagonal)) in a.diagonal(s).iter().zip(a.diagonal(0)).enumerate() {
                if rate < -ROUNDING * diagonal.abs() {
                    self.violations += 1;
                    fails.push(j);
                    if rate < self.worst_value {
                        self.worst_value = rate;
                        worst = Some((s, j));
                    }
                }
            }
        }
        fails.sort_unstable();
        fails.dedup();
        self.nodes = self.nodes.max(fails.len());
        if let Some((s, j)) = worst {
            let (axis, cause) = likely_cause(a, s, j);
            self.worst_node = Some(j);
            self.worst_axis = Some(axis);
            self.worst_time = t;
            self.worst_cause = Some(cause);
            self.worst_point = place(j);
        }
    }

    /// Count one rate of a row with this diagonal coefficient, at a (node, axis); `place` is its point and time. Whether it is
    /// negative.
    pub(crate) fn count(
        &mut self,
        rate: f64,
        diagonal: f64,
        cause: ViolationCause,
        (node, axis): (usize, usize),
        place: impl FnOnce() -> (Vec<f64>, f64),
    ) -> bool {
        let negative = rate < -ROUNDING * diagonal.abs();
        if negative {
            self.violations += 1;
            if rate < self.worst_value {
                let (point, t) = place();
                (self.worst_value, self.worst_node, self.worst_axis) = (rate, Some(node), Some(axis));
                (self.worst_point, self.worst_time, self.worst_cause) = (point, Some(t), Some(cause));
            }
        }
        negative
    }

    /// The worst violation in words, if there is any.
    pub fn note(&self) -> Option<String> {
        let error = self.require().err()?;
        if self.violations == 0 {
            return Some(format!("the solution may be a spurious one: {error}"));
        }
        let (count, nodes) = (self.violations, self.nodes);
        let rates = if count == 1 { "rate is" } else { "rates are" };
        let nodes = if nodes == 1 { "one node".into() } else { format!("{nodes} nodes") };
        Some(format!("{count} {rates} negative (at {nodes}), so the solution may be a spurious one: {error}"))
    }

    /// An error naming the worst violation, if there is any: negative rates first, then positive row sums.
    pub fn require(&self) -> Result<(), HjbError> {
        match (self.worst_node, self.worst_axis, self.worst_cause) {
            (Some(node), Some(axis), Some(cause)) => Err(HjbError::NotMonotone {
                node,
                point: self.worst_point.clone(),
                axis,
                t: self.worst_time,
                rate: self.worst_value,
                cause,
            }),
            _ => match self.worst_row {
                Some(node) => {
                    Err(HjbError::PositiveRowSum { node, point: self.worst_row_point.clone(), sum: self.worst_row_sum })
                }
                None => Ok(()),
            },
        }
    }
}

/// The row with the largest sum, relative to the sum of the magnitudes in it, and that number; rows of zeros are left out.
fn largest_row_sum(a: &StencilMatrix) -> Option<(usize, f64)> {
    let mut worst = None;
    for (j, &diagonal) in a.diagonal(0).iter().enumerate() {
        let (mut sum, mut size) = (diagonal, diagonal.abs());
        for s in 1..a.flat_shifts().len() {
            let rate = a.diagonal(s)[j];
            sum += rate;
            size += rate.abs();
        }
        if size > 0.0 && worst.is_none_or(|(_, known)| sum / size > known) {
            worst = Some((j, sum / size));
        }
    }
    worst
}

/// Axis and cause of a negative rate at shift number `s` of row `j`.
fn likely_cause(a: &StencilMatrix, s: usize, j: usize) -> (usize, ViolationCause) {
    let (shape, shifts) = (a.shape(), a.shifts());
    let crosses = |shift: &[isize]| shift.iter().filter(|step| **step != 0).count() > 1;
    let axis = shifts[s].iter().position(|step| *step != 0).unwrap_or(0);
    if crosses(&shifts[s]) {
        return (axis, ViolationCause::CrossTerm);
    }
    let stride: usize = shape[axis + 1..].iter().product();
    let index = (j / stride) % shape[axis];
    let cross = (1..shifts.len()).any(|c| crosses(&shifts[c]) && a.diagonal(c)[j] != 0.0);
    let cause = if cross {
        // Cross shifts take from the rates along the axes.
        ViolationCause::CrossTerm
    } else if index == 0 || index + 1 == shape[axis] {
        ViolationCause::FaceDrift
    } else {
        ViolationCause::CellPeclet
    };
    (axis, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hjbridge_model::grid::{Axis, TensorGrid};

    #[test]
    fn the_worst_rate_is_named_with_its_place_and_cause() {
        let axis = Axis::uniform(0.0, 4.0, 5).unwrap();
        let grid = TensorGrid::new(vec![axis.clone(), axis]).unwrap();
        let cross = vec![vec![0, 0], vec![-1, 0], vec![1, 0], vec![0, -1], vec![0, 1], vec![-1, 1], vec![1, -1]];
        let fill = |entries: &[(usize, usize, f64)]| {
            let mut a = StencilMatrix::new(&[5, 5], cross.clone());
            entries.iter().for_each(|&(s, j, v)| a.diagonal_mut(s)[j] = v);
            a.close_rows();
            let mut m = Monotonicity::default();
            m.inspect(&a, &grid.points(), Some(0.5));
            m
        };
        // Node 11 = (2, 1) is inside, node 5 = (1, 0) on the lower face of axis 1.
        let m = fill(&[(2, 11, -1.0), (1, 11, 3.0)]);
        assert_eq!((m.violations, m.worst_node, m.worst_axis), (1, Some(11), Some(0)));
        assert_eq!((m.worst_point.as_slice(), m.worst_time), (&[2.0, 1.0][..], Some(0.5)));
        assert_eq!(m.worst_cause, Some(ViolationCause::CellPeclet));
        assert_eq!(fill(&[(4, 5, -1.0), (1, 11, -0.5)]).worst_cause, Some(ViolationCause::FaceDrift));
        assert_eq!(fill(&[(4, 11, -1.0), (6, 11, 0.5)]).worst_cause, Some(ViolationCause::CrossTerm));
        assert_eq!(fill(&[(6, 11, -1.0)]).worst_cause, Some(ViolationCause::CrossTerm));
        let two = fill(&[(4, 5, -1.0), (1, 11, -2.5)]);
        assert_eq!((two.violations, two.nodes, two.worst_value), (2, 2, -2.5));
        assert_eq!((fill(&[(4, 5, -1.0), (1, 5, -1.0)]).violations, fill(&[(4, 5, -1.0), (1, 5, -1.0)]).nodes), (2, 1));
        assert!(matches!(two.require(), Err(HjbError::NotMonotone { node: 11, axis: 0, rate: -2.5, .. })));
        assert!(fill(&[(4, 5, 1.0)]).require().is_ok());
    }

    #[test]
    fn one_spoiled_row_sum_is_named() {
        let axis = Axis::uniform(0.0, 4.0, 5).unwrap();
        let grid = TensorGrid::new(vec![axis.clone(), axis]).unwrap();
        let mut a = StencilMatrix::nearest_neighbour(&[5, 5]);
        (1..5).for_each(|s| (0..25).for_each(|j| a.diagonal_mut(s)[j] = 0.1 * (1 + (s * j) % 7) as f64));
        a.close_rows();
        // Mass that leaves is in order, and so is rounding.
        a.diagonal_mut(0)[7] -= 2.0;
        a.diagonal_mut(0)[8] *= 1.0 - 1e-15;
        let inspect = |a: &StencilMatrix| {
            let mut m = Monotonicity::default();
            m.inspect(a, &grid.points(), None);
            m
        };
        let sound = inspect(&a);
        assert!(sound.is_monotone() && sound.require().is_ok() && sound.note().is_none());
        assert!(sound.worst_row_sum < 1e-14 && sound.worst_row.is_none(), "{sound:?}");
        a.diagonal_mut(0)[11] *= 1.0 - 1e-6;
        let m = inspect(&a);
        assert_eq!((m.violations, m.worst_row, m.worst_row_point.as_slice()), (0, Some(11), &[2.0, 1.0][..]));
        assert!((m.worst_row_sum - 5e-7).abs() < 1e-12 && !m.is_monotone() && m.note().is_some(), "{m:?}");
        assert!(matches!(m.require(), Err(HjbError::PositiveRowSum { node: 11, .. })));
    }
}
