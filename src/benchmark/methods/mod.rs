//! The methods of a suite: one file for each family, one shape of result for all.

mod chain;
mod high_order;
mod hjb;
mod policy;

use super::reference::Reference;
use super::subject::Subject;
use super::suite::{BenchmarkFile, IntegratorSpec};
use crate::problem::spec::{AlphaSpec, KernelSpec, PiFtSpec, SpaceSpec, TimeGridSpec, TimeSpec, VarianceSpec};
use crate::run::{RunError, SchemeName};
use hjbridge_model::{Extrapolation, TensorGrid};
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// Families of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The discrete chain, solved by PI-FT.
    Chain,
    /// The HJB equation by second-order differences with equal time steps.
    Hjb,
    /// The HJB equation by differences of order 8 with adaptive time steps.
    HighOrder,
    /// The optimal policy of the reference, simulated.
    Policy,
}

impl Family {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Family::Chain => "chain",
            Family::Hjb => "hjb",
            Family::HighOrder => "high_order",
            Family::Policy => "policy",
        }
    }
}

/// A method with its options.
#[derive(Clone, Debug)]
pub(super) enum Method {
    Chain(PiFtSpec),
    Hjb { time: TimeSpec, space: SpaceSpec },
    HighOrder { integrator: IntegratorSpec, levels: usize },
    Policy { scheme: SchemeName, quadrature: usize, extrapolation: Extrapolation },
}

/// How finely a method is asked to work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Size {
    Steps(usize),
    Tolerance(f64),
}

/// A solution at ascending times t < T, on the nodes of its grid.
pub(super) struct Outcome {
    pub grid: Arc<TensorGrid>,
    pub times: Vec<f64>,
    /// V, in the sense of the maximisation.
    pub values: Vec<Vec<f64>>,
    /// v, component by component; nothing for policies.
    pub controls: Vec<Vec<f64>>,
    /// Levels at which there is something to control.
    pub controlled: Vec<bool>,
    /// Time steps taken.
    pub steps: usize,
    pub evaluations: usize,
    pub seconds: f64,
    /// W1 between the chain's final law and the continuous one, where both can be had.
    pub final_law_error: Option<f64>,
}

impl Method {
    /// The methods of a benchmark, each with the nodes of its grid and its sizes.
    pub fn of(file: &BenchmarkFile, quick: bool) -> Vec<(Method, Vec<usize>, Vec<Size>)> {
        let steps = if quick { &file.quick_steps } else { &file.steps };
        let counts: Vec<Size> = steps.iter().map(|n| Size::Steps(*n)).collect();
        let mut all = Vec::new();
        if let Some(spec) = &file.chain {
            all.extend(spec.variants.iter().map(|v| (Method::Chain(v.clone()), spec.nodes.clone(), counts.clone())));
        }
        if let Some(spec) = &file.hjb {
            let method = |time: &TimeSpec| Method::Hjb { time: *time, space: spec.space };
            all.extend(spec.schemes.iter().map(|t| (method(t), spec.nodes.clone(), counts.clone())));
        }
        if let Some(spec) = &file.high_order {
            let kept = if quick { spec.tolerances.len().min(2) } else { spec.tolerances.len() };
            let sizes: Vec<Size> = spec.tolerances[..kept].iter().map(|t| Size::Tolerance(*t)).collect();
            let levels = steps.last().copied().unwrap_or(1);
            let method = |i: &IntegratorSpec| Method::HighOrder { integrator: *i, levels };
            all.extend(spec.integrators.iter().map(|i| (method(i), spec.nodes.clone(), sizes.clone())));
        }
        if let Some(spec) = &file.policies {
            let method = |scheme: &SchemeName| Method::Policy {
                scheme: *scheme,
                quadrature: spec.quadrature,
                extrapolation: spec.extrapolation,
            };
            all.extend(spec.schemes.iter().map(|s| (method(s), spec.nodes.clone(), counts.clone())));
        }
        all
    }

    pub fn family(&self) -> Family {
        match self {
            Method::Chain(_) => Family::Chain,
            Method::Hjb { .. } => Family::Hjb,
            Method::HighOrder { .. } => Family::HighOrder,
            Method::Policy { .. } => Family::Policy,
        }
    }

    /// Name in tables and legends.
    pub fn name(&self) -> String {
        match self {
            Method::Chain(spec) => {
                let variance = match spec.variance {
                    VarianceSpec::OneMinusAlpha => "1-a",
                    VarianceSpec::OverAlpha => "(1-a)/a",
                    VarianceSpec::Posterior => "posterior",
                    VarianceSpec::GaussianPosterior => "Gaussian posterior",
                };
                let alpha = if spec.alpha == AlphaSpec::Linear { ", a=1-bh" } else { "" };
                let kernel = if spec.kernel == KernelSpec::Soft { ", soft" } else { "" };
                let times = match spec.time_grid {
                    TimeGridSpec::Uniform => "",
                    TimeGridSpec::LogSnr => ", log-SNR steps",
                    TimeGridSpec::Quadratic => ", quadratic steps",
                };
                format!("PI-FT {variance}{alpha}{kernel}{times}")
            }
            Method::Hjb { time, .. } => match time {
                TimeSpec::ImplicitEuler => "HJB implicit Euler".into(),
                TimeSpec::CrankNicolson => "HJB Crank-Nicolson".into(),
                TimeSpec::TrBdf2 => "HJB TR-BDF2".into(),
            },
            Method::HighOrder { integrator, .. } => match integrator {
                IntegratorSpec::Rkc => "HJB order 8, RKC".into(),
                IntegratorSpec::Bdf => "HJB order 8, BDF".into(),
                IntegratorSpec::Esdirk => "HJB order 8, ESDIRK".into(),
            },
            Method::Policy { scheme, .. } => match scheme {
                SchemeName::Exponential => "policy, exponential integrator".into(),
                SchemeName::Heun => "policy, Heun".into(),
                SchemeName::Srk15 => "policy, Runge-Kutta 3/2".into(),
                _ => "policy, Euler-Maruyama".into(),
            },
        }
    }

    /// By how much the distance of two solutions, one with half the nodes, exceeds the finer one's error in space.
    pub fn space_factor(&self) -> f64 {
        match self {
            Method::Hjb { space: SpaceSpec::Upwind, .. } => 1.0,
            Method::Hjb { .. } => 3.0,
            // splines of order 4
            Method::Chain(_) | Method::Policy { .. } => 15.0,
            // next to the faces the order is lower: the distance itself
            Method::HighOrder { .. } => 1.0,
        }
    }

    pub fn solve(
        &self,
        subject: &Subject,
        reference: &Reference<'_>,
        grid: &Arc<TensorGrid>,
        size: Size,
    ) -> Result<Outcome, RunError> {
        match (self, size) {
            (Method::HighOrder { integrator, levels }, Size::Tolerance(tolerance)) => {
                high_order::solve(subject, grid, integrator.integrator(), tolerance, *levels)
            }
            (Method::Chain(spec), Size::Steps(n)) => chain::solve(subject.fine_tuning()?, spec, grid, n),
            (Method::Hjb { time, space }, Size::Steps(n)) => hjb::solve(subject, grid, (space.scheme(), time.scheme()), n),
            (Method::Policy { scheme, quadrature, extrapolation }, Size::Steps(n)) => {
                policy::solve(subject, reference, grid, *scheme, (*quadrature, *extrapolation), n)
            }
            _ => Err(RunError::Unsupported(format!("{} at {size:?}", self.name()))),
        }
    }
}

/// Runs shorter than this, in seconds, are timed three times, of which the shortest counts.
const SHORT: f64 = 0.2;

/// A result and its seconds.
fn timed<T>(mut run: impl FnMut() -> Result<T, RunError>) -> Result<(T, f64), RunError> {
    let mut once = || {
        let clock = Instant::now();
        run().map(|result| (result, clock.elapsed().as_secs_f64()))
    };
    let (mut result, mut seconds) = once()?;
    if seconds < SHORT {
        for _ in 0..2 {
            let (again, elapsed) = once()?;
            result = again;
            seconds = seconds.min(elapsed);
        }
    }
    Ok((result, seconds))
}
