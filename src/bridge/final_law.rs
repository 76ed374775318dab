//! The law of Y_T on a line: discrete chain against continuous optimal process, by the Wasserstein-1 distance.

use super::order::{OrderFit, fit_order};
use super::reference::Reference;
use crate::problem::Problem;
use crate::run::RunError;
use hjbridge_hjb::{FokkerPlanck, FokkerPlanckParams, Storage, masses_from_log_density};
use hjbridge_model::Law;
use hjbridge_model::exact::{FinalLaw, TiltedMixture, closed_form};
use serde::Serialize;

/// Distances of final laws, one entry for each N. Both sides start from the problem's initial law.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FinalLawReport {
    /// Which initial law both sides start from.
    pub initial_law: &'static str,
    /// How the continuous final law was computed: "closed_form" or "fokker_planck".
    pub reference: &'static str,
    /// Mean and variance of the continuous final law.
    pub continuous_mean: f64,
    /// See `continuous_mean`.
    pub continuous_variance: f64,
    /// Mean of the chain's final law.
    pub mean: Vec<f64>,
    /// Its variance.
    pub variance: Vec<f64>,
    /// W1 between the chain's and the continuous final law.
    pub wasserstein: Vec<f64>,
    /// Order of `wasserstein`, fitted on the last three N.
    pub order: Option<OrderFit>,
    /// W1 between the chain's final law and the tilted law p*: includes the bias of the initial law. Empty without a closed form.
    pub wasserstein_to_tilted: Vec<f64>,
    /// W1 between the continuous final law and p*: that bias alone.
    pub initial_law_bias: Option<f64>,
}

/// int |F - G| over the grid, for two densities at the nodes (each normalised to mass one).
pub fn wasserstein_1(nodes: &[f64], p: &[f64], q: &[f64]) -> f64 {
    let cdf = |density: &[f64]| {
        let mut f = vec![0.0; nodes.len()];
        for i in 1..nodes.len() {
            f[i] = f[i - 1] + 0.5 * (density[i - 1] + density[i]) * (nodes[i] - nodes[i - 1]);
        }
        let total = f[nodes.len() - 1];
        f.iter_mut().for_each(|v| *v /= total);
        f
    };
    let (f, g) = (cdf(p), cdf(q));
    (1..nodes.len()).map(|i| 0.5 * ((f[i - 1] - g[i - 1]).abs() + (f[i] - g[i]).abs()) * (nodes[i] - nodes[i - 1])).sum()
}

/// Densities at the nodes of the grid that the chain's law is compared with.
pub(super) struct Targets {
    pub reference: &'static str,
    pub continuous: Vec<f64>,
    pub tilted: Option<Vec<f64>>,
}

impl Targets {
    /// The continuous final law: by quadrature for mixture tilts, by the Fokker-Planck equation otherwise. d = 1.
    pub fn new(problem: &Problem, reference: &Reference) -> Result<Self, RunError> {
        let points = problem.grid.points();
        let n = problem.grid.len();
        let mixture = match (problem.model.kl_weight().as_constant(), closed_form(&problem.model)?) {
            (Some(beta), Some(_)) if problem.model.reward().tilt_terms(beta).is_some() => {
                Some(TiltedMixture::new(&problem.model)?)
            }
            _ => None,
        };
        if let Some(mixture) = mixture {
            let (mut continuous, mut tilted) = (vec![0.0; n], vec![0.0; n]);
            FinalLaw::new(&problem.model, &mixture)?.density(points.as_points(), &mut continuous);
            mixture.tilted().log_density(points.as_points(), &mut tilted);
            tilted.iter_mut().for_each(|v| *v = v.exp());
            return Ok(Targets { reference: "closed_form", continuous, tilted: Some(tilted) });
        }
        let mut log_density = vec![0.0; n];
        problem.model.initial_law().log_density(points.as_points(), &mut log_density);
        let masses = masses_from_log_density(&problem.grid, &log_density)?;
        let feedback = reference.hjb_feedback()?;
        let params = FokkerPlanckParams {
            steps: reference.hjb_steps(),
            storage: Storage::AtMost(2),
            memory_limit: u64::MAX,
            ..FokkerPlanckParams::default()
        };
        let (path, _) = FokkerPlanck::new(&problem.model, &feedback, problem.grid.clone(), params)?.evolve(&masses)?;
        let continuous = path.density(path.times().len() - 1);
        Ok(Targets { reference: "fokker_planck", continuous, tilted: None })
    }

    /// Start a report.
    pub fn report(&self, problem: &Problem) -> FinalLawReport {
        let x = problem.grid.axis(0).nodes();
        let w = problem.grid.volumes();
        let moment = |f: &dyn Fn(f64) -> f64| (0..x.len()).map(|i| w[i] * self.continuous[i] * f(x[i])).sum::<f64>();
        let mass = moment(&|_| 1.0);
        let mean = moment(&|x| x) / mass;
        FinalLawReport {
            initial_law: crate::run::initial_law_name(problem),
            reference: self.reference,
            continuous_mean: mean,
            continuous_variance: moment(&|x| (x - mean).powi(2)) / mass,
            initial_law_bias: self.tilted.as_ref().map(|t| wasserstein_1(x, &self.continuous, t)),
            ..FinalLawReport::default()
        }
    }
}

impl FinalLawReport {
    /// Add the chain's final law for one more N.
    pub(super) fn add(&mut self, problem: &Problem, targets: &Targets, law: &hjbridge_pift::ChainLaw) {
        let x = problem.grid.axis(0).nodes();
        self.mean.push(law.mean);
        self.variance.push(law.variance);
        self.wasserstein.push(wasserstein_1(x, &law.density, &targets.continuous));
        if let Some(tilted) = &targets.tilted {
            self.wasserstein_to_tilted.push(wasserstein_1(x, &law.density, tilted));
        }
    }

    /// Fit the order once all N are in.
    pub(super) fn finish(&mut self, steps: &[usize]) {
        self.order = fit_order(steps, &self.wasserstein, 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_of_shifted_normals_is_the_shift() {
        let x: Vec<f64> = (0..2001).map(|i| -10.0 + 0.01 * f64::from(i)).collect();
        let normal = |m: f64| x.iter().map(|x| (-0.5 * (x - m).powi(2)).exp()).collect::<Vec<_>>();
        assert!((wasserstein_1(&x, &normal(0.0), &normal(0.3)) - 0.3).abs() < 1e-9);
        assert_eq!(wasserstein_1(&x, &normal(0.1), &normal(0.1)), 0.0);
    }
}
