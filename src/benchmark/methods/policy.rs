//! What a simulation of the optimal policy with N steps of a scheme earns, without sampling: backward recursion on a grid,
//!
//!   W_N = g,   W_k(x) = E[ W_{k+1}(X_{k+1}) + (reward - cost of the step) | X_k = x ],
//!
//! where X_{k+1} is one step of the scheme itself, its normal numbers replaced by the nodes of Gauss-Hermite rules. W_k - V(t_k) is the
//! weak error of the scheme for the objective, exact up to the splines in space (order 4) and the rule. The seconds are those of an
//! ordinary simulation of [`PATHS`] paths with the same steps.

use super::{Outcome, timed};
use crate::benchmark::reference::{Reference, ReferenceFeedback};
use crate::benchmark::subject::{Model, Subject};
use crate::run::{RunError, SchemeName, tabulated_score};
use hjbridge_model::quadrature::standard_normal_rule;
use hjbridge_model::{ControlledDiffusion, CubicSpline, Extrapolation, FineTuning, PointBlock, ScalarField, TensorGrid};
use hjbridge_rollout::noise::LANES;
use hjbridge_rollout::{
    AdditiveRungeKutta, ClosedLoop, Ensemble, EulerMaruyama, ExponentialIntegrator, InitialState, Lanes, RolloutParams,
    SdeScheme, StochasticHeun, TimeGrid,
};
use rayon::prelude::*;
use std::sync::Arc;

/// Paths of the simulation that is timed.
pub const PATHS: usize = 8192;

pub(super) fn solve(
    subject: &Subject,
    reference: &Reference<'_>,
    grid: &Arc<TensorGrid>,
    scheme: SchemeName,
    rule: (usize, Extrapolation),
    steps: usize,
) -> Result<Outcome, RunError> {
    let tabulated: FineTuning;
    let model = match subject {
        // the table of a dear score is exact at equal steps only
        Subject::FineTuning(p) if scheme != SchemeName::Srk15 => {
            let problem = crate::problem::Problem { grid: grid.clone(), ..(**p).clone() };
            tabulated = tabulated_score(&problem, steps)?;
            Model::FineTuning(&tabulated)
        }
        _ => subject.model(),
    };
    let run = Recursion { subject, reference, model: model.get(), grid, rule, steps };
    match scheme {
        SchemeName::Exponential => run.solve(ExponentialIntegrator::of_schedule(subject.fine_tuning()?.model.schedule()), 1),
        SchemeName::Heun => run.solve(StochasticHeun, 2),
        SchemeName::Srk15 => run.solve(AdditiveRungeKutta, 2),
        _ => run.solve(EulerMaruyama, 1),
    }
}

struct Recursion<'a> {
    subject: &'a Subject,
    reference: &'a Reference<'a>,
    model: &'a dyn ControlledDiffusion,
    grid: &'a Arc<TensorGrid>,
    /// Nodes of the rule for each normal number; continuation of W outside the box.
    rule: (usize, Extrapolation),
    steps: usize,
}

impl Recursion<'_> {
    /// `stages` is the number of evaluations of drift and control in a step.
    fn solve<S: SdeScheme>(&self, scheme: S, stages: usize) -> Result<Outcome, RunError> {
        let values = self.values(scheme.clone())?;
        let feedback = ReferenceFeedback::new(self.reference, self.grid.clone());
        let initial = match self.subject {
            Subject::FineTuning(p) => InitialState::Law(p.model.initial_law()),
            Subject::Controlled(p) => {
                let mut x = vec![0.0; p.dim()];
                if !p.start.is_empty() {
                    p.start.as_points().copy_point(0, &mut x);
                }
                InitialState::Point(x)
            }
        };
        let params = RolloutParams { paths: PATHS, steps: self.steps, ..RolloutParams::default() };
        let ensemble = Ensemble::new(self.model, &feedback, initial, params)?.with_scheme(scheme);
        let (_, seconds) = timed(|| Ok(ensemble.run()?))?;
        let h = self.model.horizon() / self.steps as f64;
        Ok(Outcome {
            grid: self.grid.clone(),
            times: (0..self.steps).map(|k| k as f64 * h).collect(),
            values,
            controls: Vec::new(),
            controlled: Vec::new(),
            steps: self.steps,
            evaluations: stages * self.steps,
            seconds,
            final_law_error: None,
        })
    }

    /// W_0, ..., W_{N-1} at the nodes.
    fn values<S: SdeScheme>(&self, mut scheme: S) -> Result<Vec<Vec<f64>>, RunError> {
        let (model, grid, n) = (self.model, self.grid, self.grid.len());
        let (d, m, q) = (model.dim(), model.control_dim(), model.noise_dim());
        let (z, weights) = standard_normal_rule(self.rule.0, q * S::NORMALS)?;
        let times = TimeGrid::uniform(0.0, model.horizon(), self.steps)?;
        let feedback = ReferenceFeedback::new(self.reference, grid.clone());
        let coefficients = ClosedLoop::coefficients(model, &times, S::STAGES);
        let system = ClosedLoop::new(model, &feedback, &times, S::STAGES, &coefficients)?;
        scheme.prepare(&system)?;
        let x = grid.points();
        let mut w = vec![0.0; n];
        model.terminal_reward(x.as_points(), &mut w);
        let mut spline = CubicSpline::new(grid.clone(), &w, self.rule.1)?;
        let mut all = Vec::with_capacity(self.steps);
        for k in (0..self.steps).rev() {
            w.par_chunks_mut(LANES).enumerate().for_each(|(block, w)| {
                let mut start = PointBlock::zeros(d, LANES);
                for i in 0..d {
                    for lane in 0..LANES {
                        // lanes without a node of their own repeat the last
                        start.as_mut().coord_mut(i)[lane] = x.coord(i)[(block * LANES + lane).min(n - 1)];
                    }
                }
                let mut lanes = Lanes::new(d, m);
                let (mut noise, mut after, mut sum) = (vec![0.0; z.dim() * LANES], vec![0.0; LANES], vec![0.0; LANES]);
                for (j, weight) in weights.iter().enumerate() {
                    for i in 0..z.dim() {
                        noise[i * LANES..(i + 1) * LANES].fill(z.coord(i)[j]);
                    }
                    lanes.start(0, LANES);
                    for i in 0..d {
                        lanes.state_mut().coord_mut(i).copy_from_slice(start.coord(i));
                    }
                    scheme.step(&system, k, &noise, &mut lanes);
                    spline.value(lanes.state(), &mut after);
                    for lane in 0..LANES {
                        sum[lane] += weight * (after[lane] + lanes.running_reward()[lane] - lanes.running_cost()[lane]);
                    }
                }
                w.copy_from_slice(&sum[..w.len()]);
            });
            spline.set_values(&w)?;
            all.push(w.clone());
        }
        all.reverse();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::suite::{Benchmark, BenchmarkFile};
    use crate::bridge::euler_value;

    #[test]
    fn the_recursion_through_the_scheme_is_the_one_written_out_for_euler() {
        let text = r#"{"name": "m", "problem": "mixture_1d.json", "steps": [8, 16], "quick_steps": [8, 16]}"#;
        let file: BenchmarkFile = serde_json::from_str(text).unwrap();
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/problems/m.json");
        let benchmark = Benchmark::resolve(file, &here).unwrap();
        let reference = Reference::new(&benchmark, 16).unwrap();
        let grid = benchmark.subject.grid(&[201]).unwrap();
        let feedback = ReferenceFeedback::new(&reference, grid.clone());
        let problem = benchmark.subject.fine_tuning().unwrap();
        let written = euler_value(&problem.model, &feedback, &grid, 16).unwrap();
        let rule = (20, Extrapolation::Linear);
        let run = solve(&benchmark.subject, &reference, &grid, SchemeName::Euler, rule, 16).unwrap();
        let gap = written.iter().zip(&run.values[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(gap < 1e-12, "{gap}");
    }
}
