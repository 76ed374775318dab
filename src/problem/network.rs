//! Priors of kind `network`: a trained score, and the law to which it is compared.

use super::error::ProblemError;
use super::resolve::DataColumns;
use super::spec::PriorSpec;
use hjbridge_model::network::{Network, NetworkParams};
use hjbridge_model::{ModelError, NetworkScore, Schedule};
use std::path::Path;
use std::sync::Arc;

/// Largest difference between the file's standardisation and that of the data, in standard deviations.
const SAME_UNITS: f64 = 1e-4;

/// The score of a prior of kind `network`; none for other kinds. `dim` and `data` are those of the reference, if there is one.
pub(super) fn network_score(
    spec: &PriorSpec,
    directory: &Path,
    schedule: &Schedule,
    dim: Option<usize>,
    data: Option<&DataColumns>,
) -> Result<Option<Arc<NetworkScore>>, ProblemError> {
    let PriorSpec::Network { file, predicts, inputs, bandwidth, tau_min, .. } = spec else { return Ok(None) };
    let path = directory.join(file);
    if !path.is_file() {
        return Err(ProblemError::invalid("prior.file", path.display(), "no such file"));
    }
    let named = |e: ModelError| ProblemError::invalid("prior.file", path.display(), e.to_string());
    let params = NetworkParams { predicts: *predicts, inputs: *inputs, bandwidth: *bandwidth, tau_min: *tau_min };
    let network = Network::read(&path, &params).map_err(named)?;
    network.check(&params).map_err(|e| e.within("prior"))?;
    if let Some(dim) = dim.filter(|d| *d != network.dim()) {
        let allowed = format!("the network has {} dimensions", network.dim());
        return Err(ProblemError::invalid("prior.reference", format!("{dim} dimensions"), allowed));
    }
    if let (Some(data), Some((center, scale))) = (data, network.standardization()) {
        let map = &data.map;
        let far = |i: usize| {
            (center[i] - map.center[i]).abs() > SAME_UNITS * map.scale[i] || (scale[i] / map.scale[i] - 1.0).abs() > SAME_UNITS
        };
        if let Some(i) = (0..network.dim()).find(|i| far(*i)) {
            let allowed = format!("the network was trained with ({}, {})", center[i], scale[i]);
            let found = format!("(center, scale) = ({}, {})", map.center[i], map.scale[i]);
            return Err(ProblemError::invalid(format!("prior.reference.columns[{i}]"), found, allowed));
        }
    }
    Ok(Some(Arc::new(NetworkScore::new(Arc::new(network), schedule.clone()).map_err(named)?)))
}

/// The error of a reference, whose fields its own reader calls `prior.`.
pub(super) fn in_reference(e: ProblemError) -> ProblemError {
    let nest = |field: String| match field.strip_prefix("prior.") {
        Some(rest) => format!("prior.reference.{rest}"),
        None => field,
    };
    match e {
        ProblemError::Model(ModelError::Invalid { field, value, allowed }) => {
            ModelError::Invalid { field: nest(field), value, allowed }.into()
        }
        ProblemError::Model(ModelError::Shape { field, found, expected }) => {
            ModelError::Shape { field: nest(field), found, expected }.into()
        }
        other => other,
    }
}
