//! The texts of a network's file, and what they say of its inputs and outputs.

use super::{LevelInput, NetworkParams, Prediction};
use crate::error::ModelError;
use std::collections::HashMap;

const INPUTS: [(&str, LevelInput); 4] =
    [("y,log_snr", LevelInput::LogSnr), ("y,sigma", LevelInput::Sigma), ("y,tau", LevelInput::Tau), ("y,t", LevelInput::T)];
const PREDICTS: [(&str, Prediction); 3] = [("noise", Prediction::Noise), ("score", Prediction::Score), ("x0", Prediction::X0)];

/// The texts of a file.
pub(super) struct Metadata(pub HashMap<String, String>);

impl Metadata {
    pub fn get(&self, name: &str, allowed: &str) -> Result<&str, ModelError> {
        let missing = || ModelError::invalid(format!("metadata `{name}`"), "absent", allowed);
        self.0.get(name).map(String::as_str).ok_or_else(missing)
    }

    pub fn choice<V: Copy>(&self, name: &str, known: &[(&str, V)]) -> Result<V, ModelError> {
        let names: Vec<&str> = known.iter().map(|(n, _)| *n).collect();
        let allowed = format!("must be {}", names.join(" | "));
        let found = self.get(name, &allowed)?;
        let value = known.iter().find(|(n, _)| *n == found).map(|(_, v)| *v);
        value.ok_or_else(|| ModelError::invalid(format!("metadata `{name}`"), found, allowed))
    }

    pub fn count(&self, name: &str, most: usize) -> Result<usize, ModelError> {
        let allowed = format!("must be a whole number from 1 to {most}");
        let found = self.get(name, &allowed)?;
        let value = found.parse().ok().filter(|n| (1..=most).contains(n));
        value.ok_or_else(|| ModelError::invalid(format!("metadata `{name}`"), found, allowed))
    }

    fn number(&self, name: &str, default: f64) -> Result<f64, ModelError> {
        let Some(found) = self.0.get(name) else { return Ok(default) };
        let value = found.parse::<f64>().ok().filter(|x| x.is_finite() && *x >= 0.0);
        value.ok_or_else(|| ModelError::invalid(format!("metadata `{name}`"), found, "must be a finite number, at least 0"))
    }

    fn positive(&self, name: &str) -> Result<f64, ModelError> {
        let allowed = "must be a positive number: that of the training, for a network that is told the time";
        let found = self.get(name, allowed)?;
        let value = found.parse::<f64>().ok().filter(|x| x.is_finite() && *x > 0.0);
        value.ok_or_else(|| ModelError::invalid(format!("metadata `{name}`"), found, allowed))
    }
}

/// What a network is told and what it answers.
#[derive(Clone, Debug)]
pub(super) struct Convention {
    pub input: LevelInput,
    pub predicts: Prediction,
    pub bandwidth: f64,
    pub tau_min: f64,
    /// T and int_0^T b of the training.
    pub trained_on: Option<(f64, f64)>,
}

impl Convention {
    /// As the file says, and as `params` say where it is silent. With `horizon_optional` a network that is told the time need not
    /// say of which schedule.
    pub fn read(metadata: &Metadata, params: &NetworkParams, horizon_optional: bool) -> Result<Self, ModelError> {
        let silent = |name: &str| !metadata.0.contains_key(name);
        let input = match params.inputs {
            Some(input) if silent("inputs") => input,
            _ => metadata.choice("inputs", &INPUTS)?,
        };
        let predicts = match params.predicts {
            Some(predicts) if silent("predicts") => predicts,
            _ => metadata.choice("predicts", &PREDICTS)?,
        };
        let bandwidth = metadata.number("bandwidth", params.bandwidth.unwrap_or(0.0))?;
        let tau_min = metadata.number("tau_min", params.tau_min.unwrap_or(0.0))?;
        for (name, value) in [("bandwidth", bandwidth), ("tau_min", tau_min)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(ModelError::invalid(name, value, "must be a finite number, at least 0"));
            }
        }
        let singular = predicts != Prediction::Score || input == LevelInput::LogSnr;
        if singular && bandwidth == 0.0 && tau_min == 0.0 {
            let allowed = "must be positive for this prediction: without a bandwidth it is singular at tau = 0";
            return Err(ModelError::invalid("metadata `tau_min`", tau_min, allowed));
        }
        let timed = matches!(input, LevelInput::Tau | LevelInput::T);
        let said = !(horizon_optional && silent("horizon") && silent("noise"));
        let trained_on = match timed && said {
            true => Some((metadata.positive("horizon")?, metadata.positive("noise")?)),
            false => None,
        };
        Ok(Convention { input, predicts, bandwidth, tau_min, trained_on })
    }

    /// Check that `params` say nothing else.
    pub fn check(&self, params: &NetworkParams) -> Result<(), ModelError> {
        fn name<V: PartialEq>(known: &[(&'static str, V)], value: V) -> &'static str {
            known.iter().find(|(_, v)| *v == value).map_or("", |(n, _)| n)
        }
        let differ = |field: &str, said: String, found: String| {
            if said == found { Ok(()) } else { Err(ModelError::invalid(field, said, format!("the file says {found}"))) }
        };
        let quoted = |text: &str| format!("\"{text}\"");
        if let Some(said) = params.predicts {
            differ("predicts", quoted(name(&PREDICTS, said)), quoted(name(&PREDICTS, self.predicts)))?;
        }
        if let Some(said) = params.inputs {
            differ("inputs", quoted(name(&INPUTS, said)), quoted(name(&INPUTS, self.input)))?;
        }
        for (field, said, found) in [("bandwidth", params.bandwidth, self.bandwidth), ("tau_min", params.tau_min, self.tau_min)] {
            if let Some(said) = said {
                differ(field, said.to_string(), found.to_string())?;
            }
        }
        Ok(())
    }
}
