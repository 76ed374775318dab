//! The law of Y_T: discrete chain against continuous optimal process.
//!
//! On a line by the Wasserstein-1 distance, in the plane by the sliced one, on both by KL(chain || continuous); in all dimensions
//! by mean and covariance.

use super::distance::{DIRECTIONS, Sliced, relative_entropy, wasserstein_1};
use super::order::{OrderFit, fit_order};
use super::reference::Reference;
use crate::problem::Problem;
use crate::run::{Progress, RunError};
use hjbridge_hjb::{FokkerPlanck, FokkerPlanckParams, Storage, masses_from_log_density};
use hjbridge_model::exact::{FinalLaw, TiltedMixture};
use hjbridge_model::{Law, PointBlock, TensorGrid};
use rayon::prelude::*;
use serde::Serialize;
use std::sync::atomic::AtomicBool;

/// Densities below this share of the largest one are not computed by quadrature but are zero.
const NEGLIGIBLE: f64 = 1e-13;

/// Nodes times steps of a Fokker-Planck run in three dimensions that are still affordable.
const AFFORDABLE: usize = 20_000_000;

/// Distances of final laws, one entry for each N. Both sides start from the problem's initial law.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FinalLawReport {
    /// Which initial law both sides start from.
    pub initial_law: &'static str,
    /// How the continuous final law was computed: "closed_form" or "fokker_planck".
    pub reference: &'static str,
    /// Mean of the continuous final law.
    pub continuous_mean: Vec<f64>,
    /// Its covariance.
    pub continuous_covariance: Vec<Vec<f64>>,
    /// Mean of the chain's final law.
    pub mean: Vec<Vec<f64>>,
    /// Its covariance.
    pub covariance: Vec<Vec<Vec<f64>>>,
    /// Euclidean distance of the means.
    pub mean_error: Vec<f64>,
    /// Frobenius distance of the covariances.
    pub covariance_error: Vec<f64>,
    /// Orders of the two, fitted on the last three N.
    pub moment_orders: [Option<OrderFit>; 2],
    /// Directions over which `wasserstein` is a mean; 1 on a line, 0 where it is absent (d = 3).
    pub directions: usize,
    /// W1 between the chain's and the continuous final law; in the plane sliced.
    pub wasserstein: Vec<f64>,
    /// Order of `wasserstein`, fitted on the last three N.
    pub order: Option<OrderFit>,
    /// KL(chain || continuous) of the two final laws, d <= 2.
    pub relative_entropy: Vec<f64>,
    /// Its order: twice that of the law.
    pub relative_entropy_order: Option<OrderFit>,
    /// W1 between the chain's final law and the tilted law p*: includes the bias of the initial law. Empty without a closed form.
    pub wasserstein_to_tilted: Vec<f64>,
    /// W1 between the continuous final law and p*: that bias alone.
    pub initial_law_bias: Option<f64>,
    /// Largest |mass - 1| of the chain's law on its way.
    pub mass_defect: Vec<f64>,
}

/// A law on the problem's grid.
#[derive(Clone, Debug)]
pub(super) struct LawOnGrid {
    pub density: Vec<f64>,
    /// Of the nodes, with sum one.
    pub masses: Vec<f64>,
    pub mean: Vec<f64>,
    pub covariance: Vec<Vec<f64>>,
}

impl LawOnGrid {
    /// From a density at the nodes.
    pub fn new(grid: &TensorGrid, density: Vec<f64>) -> Self {
        let mut masses: Vec<f64> = density.iter().zip(grid.volumes()).map(|(p, v)| p * v).collect();
        let total: f64 = masses.iter().sum();
        masses.iter_mut().for_each(|m| *m /= total);
        let (d, points) = (grid.dim(), grid.points());
        let moment = |f: &dyn Fn(usize) -> f64| -> f64 { masses.iter().enumerate().map(|(j, m)| m * f(j)).sum() };
        let mean: Vec<f64> = (0..d).map(|i| moment(&|j| points.coord(i)[j])).collect();
        let about = |i: usize, j: usize| points.coord(i)[j] - mean[i];
        let covariance = (0..d).map(|a| (0..d).map(|b| moment(&|j| about(a, j) * about(b, j))).collect()).collect();
        LawOnGrid { density, masses, mean, covariance }
    }
}

/// The laws that the chain's is compared with.
pub(super) struct Targets {
    reference: &'static str,
    pub continuous: LawOnGrid,
    tilted: Option<LawOnGrid>,
    sliced: Option<Sliced>,
}

impl Targets {
    /// The continuous final law: by quadrature for mixture tilts, by the Fokker-Planck equation otherwise.
    pub fn new(problem: &Problem, reference: &Reference, progress: &dyn Progress) -> Result<Self, RunError> {
        progress.begin("final law", 1);
        let targets = Self::computed(problem, reference, progress.interrupt());
        progress.end();
        targets
    }

    fn computed(problem: &Problem, reference: &Reference, interrupt: Option<&AtomicBool>) -> Result<Self, RunError> {
        let grid = &problem.grid;
        let sliced = Sliced::new(grid);
        if let Some(mixture) = mixture(problem, reference)? {
            let tilted = tilted_density(grid, &mixture);
            let continuous = closed_form_density(problem, &mixture, &tilted)?;
            let (continuous, tilted) = (LawOnGrid::new(grid, continuous), LawOnGrid::new(grid, tilted));
            return Ok(Targets { reference: "closed_form", continuous, tilted: Some(tilted), sliced });
        }
        if grid.dim() == 3 && grid.len().saturating_mul(reference.hjb_steps()) > AFFORDABLE {
            let what = "the Fokker-Planck equation takes too long on this grid in three dimensions";
            return Err(RunError::Unsupported(what.into()));
        }
        let points = grid.points();
        let mut log_density = vec![0.0; grid.len()];
        problem.model.initial_law().log_density(points.as_points(), &mut log_density);
        let masses = masses_from_log_density(grid, &log_density)?;
        let feedback = reference.hjb_feedback()?;
        let params = FokkerPlanckParams {
            steps: reference.hjb_steps(),
            storage: Storage::AtMost(2),
            memory_limit: u64::MAX,
            ..FokkerPlanckParams::default()
        };
        let solver = FokkerPlanck::new(&problem.model, &feedback, grid.clone(), params)?.with_interrupt(interrupt);
        let (path, _) = solver.evolve(&masses)?;
        let continuous = LawOnGrid::new(grid, path.density(path.times().len() - 1));
        Ok(Targets { reference: "fokker_planck", continuous, tilted: None, sliced })
    }

    /// Start a report.
    pub fn report(&self, problem: &Problem) -> FinalLawReport {
        FinalLawReport {
            initial_law: crate::run::initial_law_name(problem),
            reference: self.reference,
            continuous_mean: self.continuous.mean.clone(),
            continuous_covariance: self.continuous.covariance.clone(),
            directions: match problem.dim() {
                1 => 1,
                _ if self.sliced.is_some() => DIRECTIONS,
                _ => 0,
            },
            initial_law_bias: self.tilted.as_ref().and_then(|t| self.distance(problem, &self.continuous, t)),
            ..FinalLawReport::default()
        }
    }

    fn distance(&self, problem: &Problem, p: &LawOnGrid, q: &LawOnGrid) -> Option<f64> {
        match &self.sliced {
            Some(sliced) => Some(sliced.distance(&p.masses, &q.masses)),
            None => (problem.dim() == 1).then(|| wasserstein_1(problem.grid.axis(0).nodes(), &p.density, &q.density)),
        }
    }
}

/// The closed form as a tilted mixture, where it is one.
fn mixture(problem: &Problem, reference: &Reference) -> Result<Option<TiltedMixture>, RunError> {
    let beta = problem.model.kl_weight().as_constant();
    let known = reference.exact().is_some() && beta.is_some_and(|beta| problem.model.reward().tilt_terms(beta).is_some());
    Ok(if known { Some(TiltedMixture::new(&problem.model)?) } else { None })
}

fn tilted_density(grid: &TensorGrid, mixture: &TiltedMixture) -> Vec<f64> {
    let mut density = vec![0.0; grid.len()];
    mixture.tilted().log_density(grid.points().as_points(), &mut density);
    density.iter_mut().for_each(|p| *p = p.exp());
    density
}

/// The density of the continuous optimal process at T, at the nodes where p* is not negligible.
fn closed_form_density(problem: &Problem, mixture: &TiltedMixture, tilted: &[f64]) -> Result<Vec<f64>, RunError> {
    const CHUNK: usize = 256;
    let d = problem.dim();
    let law = match d {
        1 => FinalLaw::new(&problem.model, mixture)?,
        2 => FinalLaw::with_nodes(&problem.model, mixture, 24)?,
        _ => FinalLaw::with_nodes(&problem.model, mixture, 12)?,
    };
    let low = if d == 1 { -1.0 } else { NEGLIGIBLE * tilted.iter().copied().fold(0.0, f64::max) };
    let nodes: Vec<usize> = (0..tilted.len()).filter(|j| tilted[*j] > low).collect();
    let points = problem.grid.points();
    let parts: Vec<Vec<f64>> = nodes
        .par_chunks(CHUNK)
        .map(|nodes| {
            let mut block = PointBlock::zeros(d, nodes.len());
            for i in 0..d {
                block.as_mut().coord_mut(i).iter_mut().zip(nodes).for_each(|(x, j)| *x = points.coord(i)[*j]);
            }
            let mut density = vec![0.0; nodes.len()];
            law.density(block.as_points(), &mut density);
            density
        })
        .collect();
    let mut out = vec![0.0; tilted.len()];
    for (nodes, density) in nodes.chunks(CHUNK).zip(&parts) {
        nodes.iter().zip(density).for_each(|(j, p)| out[*j] = *p);
    }
    Ok(out)
}

impl FinalLawReport {
    /// Add the chain's final law for one more N.
    pub(super) fn add(&mut self, problem: &Problem, targets: &Targets, law: &LawOnGrid, mass_defect: f64) {
        let continuous = &targets.continuous;
        let square = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        self.mean_error.push(square(&law.mean, &continuous.mean).sqrt());
        let covariance: f64 = law.covariance.iter().zip(&continuous.covariance).map(|(a, b)| square(a, b)).sum();
        self.covariance_error.push(covariance.sqrt());
        self.mean.push(law.mean.clone());
        self.covariance.push(law.covariance.clone());
        self.wasserstein.extend(targets.distance(problem, law, continuous));
        if problem.dim() <= 2 {
            self.relative_entropy.push(relative_entropy(&law.masses, &continuous.masses));
        }
        if let Some(tilted) = &targets.tilted {
            self.wasserstein_to_tilted.extend(targets.distance(problem, law, tilted));
        }
        self.mass_defect.push(mass_defect);
    }

    /// Fit the orders once all N are in.
    pub(super) fn finish(&mut self, steps: &[usize]) {
        self.order = fit_order(steps, &self.wasserstein, 3);
        self.relative_entropy_order = fit_order(steps, &self.relative_entropy, 3);
        self.moment_orders = [fit_order(steps, &self.mean_error, 3), fit_order(steps, &self.covariance_error, 3)];
    }
}
