//! The files of a suite: which problem, which methods, at which sizes.

use super::subject::Subject;
use crate::problem::spec::{KernelSpec, PiFtSpec, SpaceSpec, TimeSpec, parse_json};
use crate::problem::{AnyProblemFile, ControlledProblem, Problem, ProblemError};
use crate::run::SchemeName;
use hjbridge_hjb::smooth::Integrator;
use hjbridge_model::Extrapolation;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A benchmark as written in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkFile {
    /// Name in tables and pictures.
    pub name: String,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The problem file, relative to this one.
    pub problem: String,
    /// The N of methods with equal time steps, ascending.
    pub steps: Vec<usize>,
    /// The N of a quick run.
    pub quick_steps: Vec<usize>,
    /// The discrete chain, solved by PI-FT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainSpec>,
    /// Second-order differences with N time steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hjb: Option<HjbSpec>,
    /// Differences of order 8 with adaptive steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high_order: Option<HighOrderSpec>,
    /// The optimal policy, simulated with N time steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<PoliciesSpec>,
    /// How the reference is made where there is no closed form.
    #[serde(default)]
    pub reference: ReferenceSpec,
}

/// PI-FT on a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainSpec {
    /// Nodes of each axis.
    pub nodes: Vec<usize>,
    /// Chains and iterations, each like `pift` of a problem file.
    pub variants: Vec<PiFtSpec>,
}

/// Time schemes of the HJB solver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HjbSpec {
    /// Nodes of each axis.
    pub nodes: Vec<usize>,
    /// Time schemes.
    pub schemes: Vec<TimeSpec>,
    /// Space scheme.
    #[serde(default)]
    pub space: SpaceSpec,
}

/// Adaptive integrators by the names of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntegratorSpec {
    /// Runge-Kutta-Chebyshev.
    Rkc,
    /// BDF of variable order.
    #[default]
    Bdf,
    /// ESDIRK3(4).
    Esdirk,
}

impl IntegratorSpec {
    /// The solver's own name.
    pub fn integrator(self) -> Integrator {
        match self {
            IntegratorSpec::Rkc => Integrator::Rkc,
            IntegratorSpec::Bdf => Integrator::Bdf,
            IntegratorSpec::Esdirk => Integrator::Esdirk,
        }
    }
}

/// The high-order solver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HighOrderSpec {
    /// Nodes of each axis.
    pub nodes: Vec<usize>,
    /// Integrators.
    pub integrators: Vec<IntegratorSpec>,
    /// Tolerances of a step, descending.
    pub tolerances: Vec<f64>,
}

/// Schemes that follow the optimal policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoliciesSpec {
    /// Nodes of each axis for the backward recursion.
    pub nodes: Vec<usize>,
    /// euler, exponential (fine-tuning), heun, srk15 (on a line).
    pub schemes: Vec<SchemeName>,
    /// Gauss-Hermite nodes for each normal number of a step.
    #[serde(default = "default_quadrature")]
    pub quadrature: usize,
    /// Values of states that a step carries out of the box.
    #[serde(default)]
    pub extrapolation: Extrapolation,
}

fn default_quadrature() -> usize {
    12
}

/// The reference solution by the high-order solver. A second one with every second node and a hundred times the tolerance gives
/// its error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReferenceSpec {
    /// Nodes of each axis; default: 1601 on a line, 257 in the plane, 65 in space.
    pub nodes: Option<Vec<usize>>,
    /// Integrator.
    pub integrator: IntegratorSpec,
    /// Tolerance of a step; default 1e-10 on a line, 1e-7 otherwise.
    pub tolerance: Option<f64>,
}

/// A benchmark ready to run.
pub struct Benchmark {
    /// Its file.
    pub file: BenchmarkFile,
    /// Its problem.
    pub(super) subject: Subject,
}

/// All benchmarks of the `.json` files in `directory`, in the order of their names; with `only` those of these names.
///
/// # Errors
/// The directory or a file cannot be read; a file is no benchmark; a value that is not allowed, by file and field; a name in `only`
/// that no file has.
pub fn read_suite(directory: &Path, only: &[String]) -> Result<Vec<Benchmark>, ProblemError> {
    let unreadable = |source| ProblemError::Io { path: directory.into(), source };
    let mut paths: Vec<PathBuf> = Vec::new();
    let entries = std::fs::read_dir(directory).map_err(|e| {
        ProblemError::invalid(
            "--suite",
            directory.display(),
            format!("a folder of benchmarks, such as data/benchmarks of the source tree: {e}"),
        )
    })?;
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|source| ProblemError::Io { path: path.clone(), source })?;
        let file: BenchmarkFile = parse_json(&text, &path)?;
        files.push((path, file));
    }
    let names = files.iter().map(|(_, f)| f.name.as_str()).collect::<Vec<_>>().join(", ");
    if files.is_empty() {
        let allowed = "must be a directory with benchmarks (files that end in .json)";
        return Err(ProblemError::invalid("--suite", directory.display(), allowed));
    }
    if let Some(missing) = only.iter().find(|name| !files.iter().any(|(_, f)| f.name == **name)) {
        return Err(ProblemError::invalid("--only", missing, format!("must be one of: {names}")));
    }
    let wanted = files.into_iter().filter(|(_, f)| only.is_empty() || only.contains(&f.name));
    wanted.map(|(path, file)| Benchmark::resolve(file, &path)).collect()
}

impl Benchmark {
    /// Check `file`, which was read from `path`, and resolve its problem.
    ///
    /// # Errors
    /// As [`read_suite`].
    pub fn resolve(file: BenchmarkFile, path: &Path) -> Result<Self, ProblemError> {
        let problem = path.parent().unwrap_or(Path::new(".")).join(&file.problem);
        let folder = problem.parent().unwrap_or(Path::new("."));
        let subject = match AnyProblemFile::read(&problem)? {
            AnyProblemFile::FineTuning(f) => Subject::FineTuning(Box::new(Problem::resolve(*f, folder)?)),
            AnyProblemFile::Controlled(f) => Subject::Controlled(Box::new(ControlledProblem::resolve(*f)?)),
        };
        let benchmark = Benchmark { file, subject };
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        benchmark.check().map_err(|(field, value, allowed)| ProblemError::invalid(format!("{name}: {field}"), value, allowed))?;
        Ok(benchmark)
    }

    /// The first field that is not allowed, its value and what is.
    fn check(&self) -> Result<(), (String, String, String)> {
        let file = &self.file;
        let fault = |field: &str, value: String, allowed: &str| Err((field.to_string(), value, allowed.to_string()));
        if let Some((what, allowed)) = self.subject.unsuitable() {
            return fault("problem", what, allowed);
        }
        for (field, steps) in [("steps", &file.steps), ("quick_steps", &file.quick_steps)] {
            let good =
                steps.len() > 1 && steps[0] > 0 && steps.windows(2).all(|w| w[0] < w[1]) && steps[steps.len() - 1] <= 1 << 20;
            if !good {
                return fault(field, format!("{steps:?}"), "two numbers or more, ascending, from 1 to 2^20");
            }
        }
        let d = self.subject.dim();
        let fine_tuning = matches!(self.subject, Subject::FineTuning(_));
        let grids = [
            ("chain.nodes", file.chain.as_ref().map(|s| &s.nodes)),
            ("hjb.nodes", file.hjb.as_ref().map(|s| &s.nodes)),
            ("high_order.nodes", file.high_order.as_ref().map(|s| &s.nodes)),
            ("policies.nodes", file.policies.as_ref().map(|s| &s.nodes)),
            ("reference.nodes", file.reference.nodes.as_ref()),
        ];
        for (field, nodes) in grids {
            let Some(nodes) = nodes else { continue };
            let total = nodes.iter().try_fold(1usize, |p, n| p.checked_mul(*n)).unwrap_or(usize::MAX);
            if nodes.len() != d || nodes.iter().any(|n| *n < 17 || n % 2 == 0) || total > 1 << 22 {
                let allowed = format!("{d} odd numbers, 17 or more, whose product is at most 2^22");
                return fault(field, format!("{nodes:?}"), &allowed);
            }
        }
        if let Some(chain) = &file.chain {
            if !fine_tuning {
                return fault("chain", "given".into(), "for fine-tuning problems only");
            }
            if let Some(i) = chain.variants.iter().position(|v| v.kernel == KernelSpec::Both) {
                return fault(&format!("chain.variants[{i}].kernel"), "both".into(), "mean_shift or soft");
            }
        }
        if let Some(high_order) = &file.high_order {
            let t = &high_order.tolerances;
            if t.is_empty() || t.iter().any(|t| !(*t > 0.0 && *t <= 0.1)) || t.windows(2).any(|w| w[0] <= w[1]) {
                return fault("high_order.tolerances", format!("{t:?}"), "one number or more, descending, in (0, 0.1]");
            }
        }
        if let Some(tolerance) = file.reference.tolerance.filter(|t| !(*t > 0.0 && *t <= 1e-3)) {
            return fault("reference.tolerance", tolerance.to_string(), "in (0, 0.001]");
        }
        if let Some(policies) = &file.policies {
            if !(2..=64).contains(&policies.quadrature) {
                return fault("policies.quadrature", policies.quadrature.to_string(), "from 2 to 64");
            }
            for (i, scheme) in policies.schemes.iter().enumerate() {
                let allowed = match scheme {
                    SchemeName::Euler | SchemeName::Heun => continue,
                    SchemeName::Exponential if fine_tuning => continue,
                    SchemeName::Srk15 if d == 1 => continue,
                    SchemeName::Exponential => "another one: it is made for fine-tuning problems",
                    SchemeName::Srk15 => "another one: its recursion is for problems on a line",
                    _ => "euler, exponential, heun or srk15",
                };
                return fault(&format!("policies.schemes[{i}]"), format!("{scheme:?}").to_lowercase(), allowed);
            }
        }
        Ok(())
    }
}
