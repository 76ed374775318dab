//! Problems without a grid: what methods that work on sampled paths need, in any dimension.

use super::error::ProblemError;
use super::network::network_score;
use super::resolve::{self, DataColumns, Problem};
use super::spec::{InitialLawSpec, PriorSpec, ProblemFile, VarianceSpec};
use hjbridge_model::{FineTuning, InitialLaw, Law, ModelError, NetworkScore};
use std::path::Path;
use std::sync::Arc;

/// A problem ready for methods on sampled paths.
#[derive(Clone)]
pub struct SampledProblem {
    /// The file it came from, with defaults filled in and overrides applied.
    pub file: ProblemFile,
    /// The control problem.
    pub model: FineTuning,
    /// The trained score in place of the prior's own, if any.
    pub network: Option<Arc<NetworkScore>>,
}

impl SampledProblem {
    /// Check `file` and build its objects; a grid in it is not looked at. `directory` is where relative data paths start.
    ///
    /// # Errors
    /// The first value that is not allowed, by field.
    pub fn resolve(mut file: ProblemFile, directory: &Path) -> Result<Self, ProblemError> {
        resolve::check_name(&file.name)?;
        resolve::check_counts(&file)?;
        resolve::check_scheme(&mut file.scheme)?;
        let Objects { model, network, .. } = objects(&mut file, directory)?;
        check_shapes(&file, model.initial_law().dim())?;
        Ok(SampledProblem { file, model, network })
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.model.initial_law().dim()
    }
}

impl From<&Problem> for SampledProblem {
    fn from(p: &Problem) -> Self {
        SampledProblem { file: p.file.clone(), model: p.model.clone(), network: p.network.clone() }
    }
}

/// What problems with and without a grid have in common.
pub(super) struct Objects {
    pub model: FineTuning,
    pub data: Option<DataColumns>,
    pub network: Option<Arc<NetworkScore>>,
}

/// The model objects of a file.
pub(super) fn objects(file: &mut ProblemFile, directory: &Path) -> Result<Objects, ProblemError> {
    let schedule = resolve::schedule(file)?;
    if let PriorSpec::Network { reference: None, .. } = &file.prior {
        let network = network_score(&file.prior, directory, &schedule, None, None)?;
        if let Some(network) = network {
            if file.initial_law != InitialLawSpec::StandardNormal {
                let allowed = "standard_normal: the others need prior.reference, the law of the data";
                return Err(ProblemError::invalid("initial_law", format!("{:?}", file.initial_law), allowed));
            }
            if file.pift.variance == VarianceSpec::GaussianPosterior {
                let allowed = "another one: gaussian_posterior needs prior.reference, the law of the data";
                return Err(ProblemError::invalid("pift.variance", "gaussian_posterior", allowed));
            }
            let kl_weight = resolve::kl_weight(file)?;
            let reward = resolve::reward(&mut file.reward, &kl_weight, directory)?;
            let model = FineTuning::of_score(schedule, network.clone(), reward, kl_weight)?;
            return Ok(Objects { model, data: None, network: Some(network) });
        }
    }
    let (prior, data) = resolve::prior(&mut file.prior, directory)?;
    let kl_weight = resolve::kl_weight(file)?;
    let reward = resolve::reward(&mut file.reward, &kl_weight, directory)?;
    let initial = match file.initial_law {
        InitialLawSpec::StandardNormal => InitialLaw::StandardNormal,
        InitialLawSpec::NoisedPrior => InitialLaw::NoisedPrior,
        InitialLawSpec::Optimal => InitialLaw::Optimal,
    };
    let network = network_score(&file.prior, directory, &schedule, Some(prior.dim()), data.as_ref())?;
    let mut model = FineTuning::new(schedule, prior, reward, kl_weight, initial)?;
    if let Some(network) = &network {
        model = model.with_score(network.clone())?;
    }
    Ok(Objects { model, data, network })
}

/// Fields with an entry for each coordinate.
pub(super) fn check_shapes(file: &ProblemFile, dim: usize) -> Result<(), ProblemError> {
    if let Some(labels) = file.axis_labels.as_ref().filter(|l| l.len() != dim) {
        return Err(ModelError::Shape { field: "axis_labels".into(), found: labels.len(), expected: dim }.into());
    }
    let Some(image) = &file.image else { return Ok(()) };
    if image.rows.checked_mul(image.columns) != Some(dim) {
        let allowed = format!("rows times columns must be {dim}, the dimension of the state");
        return Err(ProblemError::invalid("image", format!("{} x {}", image.rows, image.columns), allowed));
    }
    let [black, white] = image.range;
    if !(black.is_finite() && white.is_finite() && black != white) {
        return Err(ProblemError::invalid("image.range", format!("{:?}", image.range), "two finite numbers that differ"));
    }
    Ok(())
}
