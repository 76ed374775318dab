//! `report.json`: what was run, on what, with which result. The fields are described in `docs/report.md`.

use super::figure::FigureInfo;
use crate::bridge::BridgeReport;
use crate::problem::AnyProblemFile;
use crate::run::{
    AnyRolloutReport, CertifyReport, ControlledReport, NetworkReport, ParametricReport, PiFtReport, SolveReport, SweepReport,
};
use serde::Serialize;

/// Version of the report's layout; raised when a field changes its meaning.
pub const FORMAT: u32 = 3;

/// The whole report. Sections that the command does not have are null.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Always `hjbridge`.
    pub program: &'static str,
    /// Version of the program.
    pub version: &'static str,
    /// [`FORMAT`].
    pub format: u32,
    /// The command: solve, rollout, sweep, pift, bridge or certify.
    pub command: &'static str,
    /// The program and its arguments as they were given; empty where the library was called.
    pub invocation: Vec<String>,
    /// Whether everything asked for was finished.
    pub complete: bool,
    /// Why not.
    pub error: Option<String>,
    /// The problem with defaults filled in and flags applied.
    pub problem: AnyProblemFile,
    /// The HJB solution of a controlled diffusion.
    pub controlled: Option<ControlledReport>,
    /// The HJB solution of a fine-tuning problem.
    pub solve: Option<SolveReport>,
    /// The simulation.
    pub rollout: Option<AnyRolloutReport>,
    /// The discrete chain.
    pub pift: Option<PiFtReport>,
    /// The discrete chain under a policy with parameters.
    pub parametric: Option<ParametricReport>,
    /// Discrete against continuous.
    pub bridge: Option<BridgeReport>,
    /// A given policy against the optimum.
    pub certify: Option<CertifyReport>,
    /// One problem at several KL weights.
    pub sweep: Option<SweepReport>,
    /// The network that gives the pre-trained score, against its reference.
    pub network: Option<NetworkReport>,
    /// The pictures, with what was left out of them.
    pub figures: Vec<FigureInfo>,
    /// Pictures that could not be drawn, and why.
    pub figures_missing: Vec<String>,
}

impl Report {
    /// An empty report of `command` on `problem`.
    pub fn new(command: &'static str, problem: impl Into<AnyProblemFile>) -> Self {
        Report {
            program: "hjbridge",
            version: env!("CARGO_PKG_VERSION"),
            format: FORMAT,
            command,
            invocation: Vec::new(),
            complete: true,
            error: None,
            problem: problem.into(),
            controlled: None,
            solve: None,
            rollout: None,
            pift: None,
            parametric: None,
            bridge: None,
            certify: None,
            sweep: None,
            network: None,
            figures: Vec::new(),
            figures_missing: Vec::new(),
        }
    }
}
