//! What PI-FT is compared with: the closed form where there is one, and always the HJB solution.
//!
//! A network has no closed form: that of its reference belongs to another score. Without a closed form the HJB solution is made
//! better, and how much that changed or how accurate it is tells how far to trust it:
//! - on a line by one Richardson step in (dx, dt), 4 V_{fine}/3 - V/3 with half the spacing and half the time step (the schemes have
//!   order 2);
//! - in the plane and in space by the route of high order with its certificate; where `monotone` or `cole_hopf` is asked for or there
//!   is no reliable certificate, by the Richardson step, of whose finer solution only the coarse nodes are kept.

use super::subdivide::subdivided;
use crate::problem::Problem;
use crate::problem::spec::{RouteSpec, SpaceSpec, TimeSpec};
use crate::run::{Progress, RegionPoints, RegionSlice, RunError, SolveRun, hjb_params, solve, solve_by_route};
use hjbridge_hjb::{HjbSolver, Storage, ValueFunction};
use hjbridge_model::exact::ClosedForm;
use hjbridge_model::{PointBlock, TableFeedback, TensorGrid};
use std::sync::Arc;

/// Nodes times steps of the finer solution that are still affordable in two and three dimensions.
const AFFORDABLE: usize = 100_000_000;

/// The two references.
pub(crate) struct Reference {
    /// The HJB run on the problem's grid.
    pub hjb: SolveRun,
    /// V and U of the reference HJB solution, on the problem's grid.
    refined: Option<ValueFunction>,
    /// sup over the comparison box of an estimate of the error left in V and in U: the change that Richardson made (that is the error
    /// of the finer solution), or the certificate.
    pub change: Option<(f64, f64)>,
    /// What was done, in words.
    pub description: String,
    /// Whether the closed form, where the run has one, is that of this problem.
    own_closed_form: bool,
    steps: usize,
}

impl Reference {
    /// From the HJB run on the problem's grid with `steps` steps, refined where there is no closed form.
    ///
    /// `steps` must be those of `hjb`.
    pub fn new(problem: &Problem, hjb: SolveRun, steps: usize, progress: &dyn Progress) -> Self {
        let own_closed_form = problem.network.is_none();
        let mut this = Reference { hjb, refined: None, change: None, description: String::new(), own_closed_form, steps };
        this.description = match this.exact() {
            Some(exact) => exact.description().to_string(),
            // without the refinement the plain solution still serves, and the report says so
            None => match this.improve(problem, progress) {
                Ok(description) => description,
                Err(e) => format!("HJB, {steps} steps, not refined: {e}"),
            },
        };
        if problem.network.is_some() {
            this.description.push_str(", of the network's own score");
        }
        this
    }

    fn improve(&mut self, problem: &Problem, progress: &dyn Progress) -> Result<String, RunError> {
        let steps = self.steps;
        let mut unreliable = "";
        if problem.dim() > 1 && matches!(problem.file.scheme.route(), RouteSpec::Auto | RouteSpec::HighOrder) {
            // what fails here can still be had by the other way
            if let Ok(Some(description)) = self.high_order(problem, progress) {
                return Ok(description);
            }
            unreliable = " (the route of high order has no reliable certificate)";
        }
        let second_order =
            problem.file.scheme.space() == SpaceSpec::Hybrid && problem.file.scheme.time() != TimeSpec::ImplicitEuler;
        if !second_order {
            return Err(RunError::Unsupported("its schemes have order 1".into()));
        }
        if problem.dim() == 1 && hjb_params(problem, 8 * steps).storage == Storage::All {
            self.refine(problem, progress)?;
        } else {
            self.refine_at_nodes(problem, progress)?;
        }
        let (v, u) = self.change.unwrap_or((f64::NAN, f64::NAN));
        Ok(format!(
            "HJB, {steps} steps, Richardson-extrapolated in space and time{unreliable}; the extrapolation changed V by {v:.1e} and U by {u:.1e}"
        ))
    }

    /// Take the solution of the route of high order, if its certificate is reliable.
    fn high_order(&mut self, problem: &Problem, progress: &dyn Progress) -> Result<Option<String>, RunError> {
        let mut asked = problem.clone();
        asked.file.scheme.route = Some(RouteSpec::HighOrder);
        let mut run = solve_by_route(&asked, self.steps, progress)?;
        if let Some(failure) = run.failure.take() {
            return Err(failure);
        }
        let route = run.report.route;
        let Some(certificate) = route.certificate.as_ref().filter(|c| c.reliable) else { return Ok(None) };
        let Some(richardson) = &certificate.richardson else { return Ok(None) };
        let (v, u) = (richardson.value_error, richardson.control_error);
        self.change = Some((v, u));
        let times = run.solution.times().to_vec();
        let values = (0..times.len()).map(|k| run.solution.value(k).to_vec()).collect();
        self.refined = Some(ValueFunction::new(problem.grid.clone(), problem.dim(), times, values, run.controls)?);
        Ok(Some(format!("HJB, route {} ({}), certified to V {v:.1e} and U {u:.1e}", route.route, route.scheme)))
    }

    /// Solve again with half the spacing and half the step, and extrapolate.
    fn refine(&mut self, problem: &Problem, progress: &dyn Progress) -> Result<(), RunError> {
        let mut finer = problem.clone();
        finer.grid = half_spacing(&problem.grid)?;
        let fine = solve(&finer, 2 * self.steps, progress)?;
        if let Some(failure) = fine.failure {
            return Err(failure);
        }
        let n = problem.grid.len();
        let coarse = |f: &[f64]| -> Vec<f64> { (0..n).map(|i| f[2 * i]).collect() };
        let levels = self.hjb.solution.times().len();
        let values = (0..levels).map(|k| coarse(fine.solution.value(2 * k))).collect();
        let controls = (0..levels).map(|k| coarse(&fine.controls[2 * k])).collect();
        self.extrapolate(problem, values, controls)
    }

    /// The same, keeping of the finer solution what is on the coarse nodes and levels.
    fn refine_at_nodes(&mut self, problem: &Problem, progress: &dyn Progress) -> Result<(), RunError> {
        let levels = self.hjb.solution.times().len();
        if levels != self.steps + 1 {
            return Err(RunError::Unsupported("not all of its time levels are in memory".into()));
        }
        let (d, n) = (problem.dim(), problem.grid.len());
        let fine = half_spacing(&problem.grid)?;
        let work = fine.len().saturating_mul(2 * self.steps);
        if work > AFFORDABLE {
            return Err(RunError::Unsupported(format!(
                "half the spacing takes {work:.1e} node updates, more than {AFFORDABLE:.0e}"
            )));
        }
        let fine_len = fine.len();
        // the coarse nodes among the fine ones
        let mut index = vec![0; d];
        let nodes: Vec<usize> = (0..n)
            .map(|j| {
                problem.grid.multi_index(j, &mut index);
                index.iter().zip(fine.strides()).map(|(i, s)| 2 * i * s).sum()
            })
            .collect();
        let points = problem.grid.points();
        let (mut values, mut controls) = (vec![Vec::new(); levels], vec![Vec::new(); levels]);
        let params = hjbridge_hjb::HjbParams { steps: 2 * self.steps, ..hjb_params(problem, 2 * self.steps) };
        progress.begin("HJB, half the spacing", 2 * self.steps as u64);
        let solver = HjbSolver::new(&problem.model, fine.clone(), params)?.with_interrupt(progress.interrupt());
        let outcome = solver.solve_observed(&mut |view| {
            progress.advance((2 * self.steps - view.step) as u64);
            if view.step % 2 == 0 {
                let mut score = PointBlock::zeros(d, n);
                problem.model.score().at(view.t).eval(points.as_points(), score.as_mut());
                values[view.step / 2] = nodes.iter().map(|j| view.value[*j]).collect();
                controls[view.step / 2] = (0..d)
                    .flat_map(|i| nodes.iter().map(move |j| i * fine_len + j))
                    .zip(score.data())
                    .map(|(j, s)| view.control[j] + s)
                    .collect();
            }
        });
        progress.end();
        outcome?;
        self.extrapolate(problem, values, controls)
    }

    /// Combine with the finer V and U at the nodes and levels of the coarser ones.
    fn extrapolate(&mut self, problem: &Problem, values: Vec<Vec<f64>>, controls: Vec<Vec<f64>>) -> Result<(), RunError> {
        let coarse = &self.hjb;
        let combine = |c: &[f64], f: &[f64]| -> Vec<f64> { c.iter().zip(f).map(|(c, f)| (4.0 * f - c) / 3.0).collect() };
        let region = RegionPoints::new(&problem.grid, &problem.compare_on)?;
        let times = coarse.solution.times().to_vec();
        let (mut best_values, mut best_controls) = (Vec::new(), Vec::new());
        let mut change = (0.0_f64, 0.0_f64);
        for (k, (v, u)) in values.iter().zip(&controls).enumerate() {
            let (best_v, best_u) = (combine(coarse.solution.value(k), v), combine(&coarse.controls[k], u));
            if k + 1 < values.len() {
                let e = region.errors(&region.restrict(&best_v, &best_u), times[k], v, u);
                change = (change.0.max(e.value.0), change.1.max(e.control.0));
            }
            best_values.push(best_v);
            best_controls.push(best_u);
        }
        self.refined = Some(ValueFunction::new(problem.grid.clone(), problem.dim(), times, best_values, best_controls)?);
        self.change = Some(change);
        Ok(())
    }

    /// The closed form.
    pub fn exact(&self) -> Option<&dyn ClosedForm> {
        self.hjb.exact.as_deref().filter(|_| self.own_closed_form)
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

    /// The same on the whole grid, U component by component.
    pub fn hjb_grid_slice(&self, problem: &Problem, t: f64) -> Result<(Vec<f64>, Vec<f64>), RunError> {
        if let Some(refined) = &self.refined {
            return Ok((refined.at_time(t)?.into_values(), refined.control_at_time(t)?));
        }
        let solution = &self.hjb.solution;
        let mut control = solution.control_at_time(t)?;
        let points = problem.grid.points();
        let mut s = PointBlock::zeros(problem.dim(), points.len());
        problem.model.score().at(t).eval(points.as_points(), s.as_mut());
        control.iter_mut().zip(s.data()).for_each(|(u, s)| *u += s);
        Ok((solution.at_time(t)?.into_values(), control))
    }
}

/// The grid with every cell halved along each axis.
fn half_spacing(grid: &TensorGrid) -> Result<Arc<TensorGrid>, RunError> {
    let axes = grid.axes().iter().map(|a| subdivided(a, 2)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(TensorGrid::new(axes)?))
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
