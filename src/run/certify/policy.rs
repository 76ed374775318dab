//! A policy that a user brings: a table over time and state, a network, or a closure.
//!
//! For a fine-tuning problem the policy is U (the control in place of the score), not the change U - s; for a controlled
//! diffusion it is v.

use super::table;
use crate::problem::ProblemError;
use hjbridge_model::network::{LevelInput, Network, NetworkParams, Prediction};
use hjbridge_model::{Feedback, NetworkScore, Schedule, TableFeedback};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// A policy to be certified.
pub enum Policy<'a> {
    /// From an NPZ file.
    Table(TablePolicy),
    /// From a safetensors or ONNX file.
    Network(Arc<NetworkScore>),
    /// Anything that gives a control for time and state.
    Feedback(&'a dyn Feedback),
}

/// A table with what is said about it.
pub struct TablePolicy {
    /// The control: interpolated in space, linear in time, constant before the first and after the last time.
    pub feedback: TableFeedback,
    /// Nodes along each axis.
    pub nodes: Vec<usize>,
    /// First and last time.
    pub times: (f64, f64),
}

/// What a policy is for.
#[derive(Clone, Copy)]
pub struct PolicySite<'a> {
    /// Dimension of the state.
    pub dim: usize,
    /// Dimension of the control.
    pub control_dim: usize,
    /// Final time.
    pub horizon: f64,
    /// Noise schedule of a fine-tuning problem.
    pub schedule: Option<&'a Schedule>,
    /// Whether controls must stay in the hull of those given at the nodes (a box or a list of controls).
    pub bounded: bool,
}

/// What was certified.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PolicyInfo {
    /// table, network or feedback.
    pub kind: &'static str,
    /// Nodes along each axis of a table.
    pub nodes: Option<Vec<usize>>,
    /// First and last time of a table.
    pub times: Option<(f64, f64)>,
    /// Number of its times.
    pub levels: Option<usize>,
    /// Weights and biases of a network.
    pub parameters: Option<usize>,
}

impl Policy<'_> {
    /// Read a file: `.npz` is a table, `.onnx` and `.safetensors` a network.
    ///
    /// # Errors
    /// A file that cannot be read; an array or tensor that is missing, of another shape, or not finite, by name.
    pub fn read(path: &Path, site: PolicySite<'_>) -> Result<Policy<'static>, ProblemError> {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if !path.is_file() {
            return Err(ProblemError::invalid("POLICY", path.display(), "no such file"));
        }
        match extension.as_str() {
            "npz" => table::read(path, site).map(Policy::Table),
            "onnx" | "safetensors" => network(path, site).map(|n| Policy::Network(Arc::new(n))),
            _ => {
                let allowed = "a table (.npz) or a network (.safetensors, .onnx), told by the ending of its name";
                Err(ProblemError::invalid("POLICY", path.display(), allowed))
            }
        }
    }

    /// Read a table from the bytes of an NPZ file.
    ///
    /// # Errors
    /// As [`Policy::read`].
    pub fn from_npz(bytes: &[u8], site: PolicySite<'_>) -> Result<Policy<'static>, ProblemError> {
        table::from_reader(std::io::Cursor::new(bytes), Path::new("policy.npz"), site).map(Policy::Table)
    }

    /// The control as a feedback.
    pub fn feedback(&self) -> &dyn Feedback {
        match self {
            Policy::Table(t) => &t.feedback,
            Policy::Network(n) => n.as_ref(),
            Policy::Feedback(f) => *f,
        }
    }

    /// What is said about it in the report.
    pub fn info(&self) -> PolicyInfo {
        match self {
            Policy::Table(t) => PolicyInfo {
                kind: "table",
                nodes: Some(t.nodes.clone()),
                times: Some(t.times),
                levels: Some(t.feedback.times().len()),
                parameters: None,
            },
            Policy::Network(n) => {
                PolicyInfo { kind: "network", parameters: Some(n.network().parameters()), ..PolicyInfo::default() }
            }
            Policy::Feedback(_) => PolicyInfo { kind: "feedback", ..PolicyInfo::default() },
        }
    }

    /// Check that it fits.
    ///
    /// # Errors
    /// Another dimension of state or control.
    pub fn check(&self, site: PolicySite<'_>) -> Result<(), ProblemError> {
        let f = self.feedback();
        for (what, found, expected) in [("state", f.dim(), site.dim), ("control", f.control_dim(), site.control_dim)] {
            if found != expected {
                let allowed = format!("the problem's {what} has {expected}");
                return Err(ProblemError::invalid(format!("dimension of the policy's {what}"), found, allowed));
            }
        }
        Ok(())
    }
}

/// A network whose answer is U. Where its file is silent it is told (y, t) and answers U itself; a file that says that it predicts
/// noise or x0 stands for the score that follows from it, as a prior's does.
fn network(path: &Path, site: PolicySite<'_>) -> Result<NetworkScore, ProblemError> {
    let named = |e: hjbridge_model::ModelError| ProblemError::invalid("POLICY", path.display(), e.to_string());
    let Some(schedule) = site.schedule else {
        let allowed = "an NPZ table: networks are policies of fine-tuning problems";
        return Err(ProblemError::invalid("POLICY", path.display(), allowed));
    };
    let params = NetworkParams { predicts: Some(Prediction::Score), inputs: Some(LevelInput::T), ..NetworkParams::default() };
    let network = Network::read(path, &params).map_err(named)?;
    if network.dim() != site.dim {
        let allowed = format!("a network of {} dimensions, not {}", site.dim, network.dim());
        return Err(ProblemError::invalid("POLICY", path.display(), allowed));
    }
    NetworkScore::new(Arc::new(network), schedule.clone()).map_err(named)
}
