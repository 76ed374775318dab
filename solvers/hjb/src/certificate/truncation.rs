//! What the size of the box does to the solution in the comparison region.
//!
//! All grids of Richardson's estimate share the box, so it does not see what the extrapolated faces do. Where they can be felt
//! (`influence.rs`) the problem is solved once more on a coarse grid, with nodes of the same spacing added beyond these faces, a
//! quarter of the box at each; the change of V and v in the region is the estimate of what the box costs. Faces that are
//! reflecting, Dirichlet or periodic are part of the problem and stay.

use crate::certificate::influence::{Influence, Side, influences};
use crate::certificate::richardson::{Difference, difference};
use crate::certificate::{AccuracyCertificate, place};
use crate::error::HjbError;
use crate::exit::TargetSet;
use crate::faces::Faces;
use crate::solution::ValueFunction;
use hjbridge_model::ControlledDiffusion;
use hjbridge_model::grid::{Axis, Region, TensorGrid};
use std::sync::Arc;

/// Part of the box added at a face.
const ADDED: f64 = 0.25;
/// Least nodes added at a face.
const LEAST_ADDED: usize = 2;
/// A part of the error claimed without it below which the faces are not felt.
const NEGLIGIBLE: f64 = 0.1;
/// A part of the error claimed without it above which what the box costs is measured on a finer grid, and noted.
const SUBSTANTIAL: f64 = 0.3;

/// Solves the same problem on a grid that belongs to a solution of the given number, but in a larger box.
pub(crate) type Larger<'r> = dyn FnMut(usize, Arc<TensorGrid>) -> Result<ValueFunction, HjbError> + 'r;

/// The differences to larger boxes, and the faces whose larger box could not be solved.
type Measured = (Vec<Difference>, Vec<(Side, HjbError)>);

/// The problem whose box is judged.
pub(crate) struct BoxTest<'a> {
    pub model: &'a dyn ControlledDiffusion,
    pub faces: Faces,
    pub region: &'a Region,
    pub end: f64,
    pub target: Option<&'a dyn TargetSet>,
}

impl BoxTest<'_> {
    /// The faces that can be felt in the region, against an error of V of `claim` that is there anyway.
    ///
    /// # Errors
    /// A region without nodes.
    pub fn felt(&self, v: &ValueFunction, claim: f64) -> Result<Vec<Influence>, HjbError> {
        let all = influences(self.model, v, self.faces, self.region, self.end)?;
        // What is not a number is not harmless.
        let harmless = |f: &Influence| f.error <= NEGLIGIBLE * claim;
        Ok(all.into_iter().filter(|f| !harmless(f)).collect())
    }

    /// Measure what these faces cost, add it to the claims and say what a reader should know. `solutions` are those on coarser
    /// grids, the coarsest first.
    ///
    /// # Errors
    /// A region without nodes; what fails in the larger box is noted.
    pub fn add(
        &self,
        certificate: &mut AccuracyCertificate,
        felt: &[Influence],
        solutions: &[&ValueFunction],
        larger: &mut Larger<'_>,
    ) -> Result<(), HjbError> {
        let Some(r) = &mut certificate.richardson else { return Ok(()) };
        let (before, mut cost, mut failed) = (r.value_error, Vec::new(), Vec::new());
        for (k, v) in solutions.iter().enumerate() {
            (cost, failed) = self.measure(felt, k, v, larger)?;
            if sum(&cost) <= SUBSTANTIAL * before {
                break;
            }
        }
        r.add_box(&cost);
        let cost = sum(&cost);
        let substantial = cost > SUBSTANTIAL * before;
        let leaving: Vec<String> = felt
            .iter()
            .filter_map(|f| {
                let o = f.outflow.as_ref()?;
                Some(format!("{} (at up to {:.3}, {})", f.side, o.speed, place(&o.point, o.time, self.end)))
            })
            .collect();
        let unknown: Vec<String> = failed.iter().map(|(side, e)| format!("beyond {side} there is no solution ({e})")).collect();
        let result = match unknown.as_slice() {
            [] => format!("with a quarter of the box added there V in the region changes by {cost:.1e}"),
            _ => format!("what the box costs is not known in full, for {}", unknown.join(", ")),
        };
        if !leaving.is_empty() && (substantial || !unknown.is_empty()) {
            certificate.doubt(format!(
                "the optimally controlled drift leaves the box, where V is extrapolated, at {}; {result}: enlarge the box, or make \
                 such a face reflecting",
                leaving.join(" and ")
            ));
        } else if !unknown.is_empty() {
            certificate.notes.push(format!("the faces can be felt in the region; {result}"));
        }
        if substantial && certificate.reliable {
            certificate.notes.push(format!(
                "the box is felt: with a quarter of it added beyond its extrapolated faces V in the region changes by {cost:.1e}, \
                 which is in value_error; a larger box helps more than a finer grid"
            ));
        }
        Ok(())
    }

    /// The differences to solutions in larger boxes: all faces at once, or one by one when that fails.
    fn measure(
        &self,
        felt: &[Influence],
        number: usize,
        v: &ValueFunction,
        larger: &mut Larger<'_>,
    ) -> Result<Measured, HjbError> {
        let sides: Vec<Side> = felt.iter().map(|f| f.side).collect();
        let mut compare = |sides: &[Side]| -> Result<Difference, HjbError> {
            let (grid, first) = enlarged(v.grid(), sides)?;
            let inner = restricted(&larger(number, grid)?, v.grid(), &first)?;
            difference(v, &inner, self.region, self.end, self.target)
        };
        match compare(&sides) {
            Ok(found) => Ok((vec![found], Vec::new())),
            Err(e) if sides.len() == 1 => Ok((Vec::new(), vec![(sides[0], e)])),
            Err(_) => {
                let (mut cost, mut failed) = (Vec::new(), Vec::new());
                for side in sides {
                    match compare(&[side]) {
                        Ok(found) => cost.push(found),
                        Err(e) => failed.push((side, e)),
                    }
                }
                Ok((cost, failed))
            }
        }
    }
}

fn sum(cost: &[Difference]) -> f64 {
    cost.iter().map(|c| c.all.value).sum()
}

/// The grid with nodes added beyond these faces, and the index of its old first node along each axis.
fn enlarged(grid: &TensorGrid, sides: &[Side]) -> Result<(Arc<TensorGrid>, Vec<usize>), HjbError> {
    let (mut axes, mut first) = (Vec::with_capacity(grid.dim()), vec![0; grid.dim()]);
    for (a, axis) in grid.axes().iter().enumerate() {
        let (x, n) = (axis.nodes(), axis.len());
        let wanted = ADDED * (axis.upper() - axis.lower());
        // As many as there are in a quarter of a uniform axis at most: a stretched one has long cells there.
        let count = |spacing: f64| ((wanted / spacing).ceil() as usize).clamp(LEAST_ADDED, n.div_ceil(4).max(LEAST_ADDED));
        let mut nodes = Vec::new();
        if sides.contains(&Side { axis: a, upper: false }) {
            let spacing = x[1] - x[0];
            first[a] = count(spacing);
            nodes.extend((1..=first[a]).rev().map(|k| x[0] - k as f64 * spacing));
        }
        nodes.extend_from_slice(x);
        if sides.contains(&Side { axis: a, upper: true }) {
            let spacing = x[n - 1] - x[n - 2];
            nodes.extend((1..=count(spacing)).map(|k| x[n - 1] + k as f64 * spacing));
        }
        axes.push(if nodes.len() == n { axis.clone() } else { Axis::from_nodes(nodes)? });
    }
    Ok((Arc::new(TensorGrid::new(axes)?), first))
}

/// The solution on the nodes of the smaller grid.
fn restricted(v: &ValueFunction, grid: &Arc<TensorGrid>, first: &[usize]) -> Result<ValueFunction, HjbError> {
    let large = v.grid();
    let mut index = vec![0; grid.dim()];
    let places: Vec<usize> = (0..grid.len())
        .map(|j| {
            grid.multi_index(j, &mut index);
            (0..grid.dim()).map(|a| (index[a] + first[a]) * large.strides()[a]).sum()
        })
        .collect();
    let pick = |values: &[f64]| -> Vec<f64> {
        values.chunks_exact(large.len()).flat_map(|component| places.iter().map(|&j| component[j])).collect()
    };
    let (values, controls) = (0..v.times().len()).map(|k| (pick(v.value(k)), pick(v.control(k)))).unzip();
    ValueFunction::new(grid.clone(), v.control_dim(), v.times().to_vec(), values, controls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_box_keeps_the_nodes_and_a_solution_on_it_is_cut_back() {
        let axis = Axis::uniform(0.0, 1.0, 11).unwrap();
        let grid = Arc::new(TensorGrid::new(vec![axis.clone(), axis]).unwrap());
        let sides = [Side { axis: 0, upper: false }, Side { axis: 1, upper: true }];
        let (large, first) = enlarged(&grid, &sides).unwrap();
        assert_eq!((large.shape(), first.as_slice()), (&[14, 14][..], &[3, 0][..]));
        let (a, b) = (large.axis(0), large.axis(1));
        assert!((a.lower() + 0.3).abs() < 1e-14 && a.upper() == 1.0 && b.lower() == 0.0 && (b.upper() - 1.3).abs() < 1e-14);
        let points = large.points();
        let value: Vec<f64> = (0..large.len()).map(|j| points.coord(0)[j] + 10.0 * points.coord(1)[j]).collect();
        let control: Vec<f64> = value.iter().chain(&value).copied().collect();
        let v = ValueFunction::new(large, 2, vec![0.0, 1.0], vec![value.clone(), value], vec![control.clone(), control]).unwrap();
        let cut = restricted(&v, &grid, &first).unwrap();
        let points = grid.points();
        for j in 0..grid.len() {
            let exact = points.coord(0)[j] + 10.0 * points.coord(1)[j];
            assert!((cut.value(1)[j] - exact).abs() < 1e-12 && (cut.control(0)[grid.len() + j] - exact).abs() < 1e-12);
        }
        let stretched = TensorGrid::new(vec![Axis::stretched(-1.0, 1.0, 41, 0.0, 5.0).unwrap()]).unwrap();
        let (large, first) = enlarged(&stretched, &[Side { axis: 0, upper: false }]).unwrap();
        assert!(first[0] >= LEAST_ADDED && first[0] <= 11 && large.axis(0).lower() < -1.4, "{first:?}");
    }
}
