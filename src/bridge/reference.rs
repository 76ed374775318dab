//! What PI-FT is compared with: the closed form where there is one, and always the HJB solution.
//!
//! Without a closed form the HJB solution on the given grid is improved by one Richardson step in (dx, dt), 4 V_{fine}/3 - V/3 with
//! half the spacing and half the time step (the schemes have order 2), and the difference tells how far to trust it.

use super::subdivide::subdivided;
use crate::problem::Problem;
use crate::problem::spec::{SpaceSpec, TimeSpec};
use crate::run::{Progress, RegionPoints, RegionSlice, RunError, SolveRun, hjb_params, solve};
use hjbridge_hjb::{Storage, ValueFunction};
use hjbridge_model::exact::ClosedForm;
use hjbridge_model::{PointBlock, TableFeedback, TensorGrid};
use std::sync::Arc;

/// The two references.
pub(crate) struct Reference {
    /// The HJB run on the problem's grid.
    pub hjb: SolveRun,
    /// V and U of the reference HJB solution, on the problem's grid, at the levels of `hjb`.
    refined: Option<ValueFunction>,
    /// sup over the comparison box of the change that Richardson made to V and to U: an estimate of the error left in the finer solution.
    pub change: Option<(f64, f64)>,
    /// Why the refinement failed, if it did.
    pub not_refined: Option<String>,
    steps: usize,
}

impl Reference {
    /// From the HJB run on the problem's grid with `steps` steps, refined where there is no closed form.
    ///
    /// `steps` must be those of `hjb`.
    pub fn new(problem: &Problem, hjb: SolveRun, steps: usize, progress: &dyn Progress) -> Self {
        let second_order =
            problem.file.scheme.space() == SpaceSpec::Hybrid && problem.file.scheme.time() != TimeSpec::ImplicitEuler;
        let mut this = Reference { hjb, refined: None, change: None, not_refined: None, steps };
        // the finer run has to keep every level, for the coarse levels to be among them
        let affordable = hjb_params(problem, 8 * steps).storage == Storage::All;
        if this.hjb.exact.is_none() && second_order && problem.dim() == 1 && affordable {
            // without the refinement the plain solution still serves, and the report says so
            this.not_refined = this.refine(problem, progress).err().map(|e| e.to_string());
        }
        this
    }

    /// Solve again with half the spacing and half the step, and extrapolate.
    fn refine(&mut self, problem: &Problem, progress: &dyn Progress) -> Result<(), RunError> {
        let mut finer = problem.clone();
        let axes = problem.grid.axes().iter().map(|a| subdivided(a, 2)).collect::<Result<Vec<_>, _>>()?;
        finer.grid = Arc::new(TensorGrid::new(axes)?);
        let fine = solve(&finer, 2 * self.steps, progress)?;
        if let Some(failure) = fine.failure {
            return Err(failure);
        }
        let coarse = &self.hjb;
        let n = problem.grid.len();
        let combine = |c: &[f64], f: &[f64]| -> Vec<f64> { (0..n).map(|i| (4.0 * f[2 * i] - c[i]) / 3.0).collect() };
        let levels = coarse.solution.times().len();
        let values: Vec<_> = (0..levels).map(|k| combine(coarse.solution.value(k), fine.solution.value(2 * k))).collect();
        let controls: Vec<_> = (0..levels).map(|k| combine(&coarse.controls[k], &fine.controls[2 * k])).collect();
        let region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
        let mut change = (0.0_f64, 0.0_f64);
        for k in 0..levels - 1 {
            let finest = |f: &[f64]| -> Vec<f64> { (0..n).map(|i| f[2 * i]).collect() };
            let e = region.errors(
                &region.restrict(&values[k], &controls[k]),
                coarse.solution.times()[k],
                &finest(fine.solution.value(2 * k)),
                &finest(&fine.controls[2 * k]),
            );
            change = (change.0.max(e.value.0), change.1.max(e.control.0));
        }
        let times = coarse.solution.times().to_vec();
        self.refined = Some(ValueFunction::new(problem.grid.clone(), 1, times, values, controls)?);
        self.change = Some(change);
        Ok(())
    }

    /// The closed form.
    pub fn exact(&self) -> Option<&dyn ClosedForm> {
        self.hjb.exact.as_deref()
    }

    /// Time steps of the HJB solution.
    pub fn hjb_steps(&self) -> usize {
        self.steps
    }

    /// The HJB policy v as a feedback.
    pub fn hjb_feedback(&self) -> Result<TableFeedback, RunError> {
        self.hjb.feedback()
    }

    /// V and U of the HJB solution (refined where it was) on the region's nodes at time t.
    pub fn hjb_slice(&self, problem: &Problem, region: &RegionPoints, t: f64) -> Result<RegionSlice, RunError> {
        if let Some(refined) = &self.refined {
            return Ok(region.restrict(refined.at_time(t)?.values(), &refined.control_at_time(t)?));
        }
        let solution = &self.hjb.solution;
        let mut slice = region.restrict(solution.at_time(t)?.values(), &solution.control_at_time(t)?);
        // stored is v = U - s; the score is exact at any t
        let mut s = PointBlock::zeros(problem.dim(), region.nodes.len());
        problem.model.score().at(t).eval(region.points.as_points(), s.as_mut());
        slice.control.data_mut().iter_mut().zip(s.data()).for_each(|(u, s)| *u += s);
        Ok(slice)
    }
}

/// Steps for the HJB solver: at least those of the file and the largest N, and a multiple of every N where that is cheap, so that
/// no interpolation in time is needed (it has order 4 otherwise).
pub(crate) fn common_steps(file: usize, chain: &[usize]) -> usize {
    let least = chain.iter().copied().fold(file, usize::max);
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let lcm = chain.iter().try_fold(1usize, |l, &n| (l / gcd(l, n)).checked_mul(n).filter(|l| *l <= 4 * least));
    lcm.map_or(least, |l| least.div_ceil(l) * l)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_the_reference_meet_the_chain() {
        assert_eq!(common_steps(800, &[32, 64, 1024]), 1024);
        assert_eq!(common_steps(800, &[20, 50]), 800);
        assert_eq!(common_steps(10, &[7, 11]), 11); // 77 would be seven times the work
        assert_eq!(common_steps(40, &[7, 11]), 77);
        assert_eq!(common_steps(100, &[97, 89, 83]), 100);
    }
}
