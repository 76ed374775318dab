//! From a parsed file to model objects, with the checks that need more than one field.

use super::classifier::classifier;
use super::error::ProblemError;
use super::grid::{compare_on, grid};
use super::network::in_reference;
use super::sampled::{Objects, check_shapes, objects};
use super::samples::read_columns;
use super::spec::{KlFunctionSpec, KlWeightSpec, PriorSpec, ProblemFile, RegionSpec, RewardSpec, ScheduleSpec, SchemeSpec};
use hjbridge_model::exact::{closed_form, tilt};
use hjbridge_model::law::{Bandwidth, KernelDensity, Standardization};
use hjbridge_model::{
    Axis, Bump, FineTuning, Formula, GaussianMixture, KlWeight, Law, ModelError, NetworkScore, QuadraticTerm, Region, Remembered,
    Reward, Schedule, TensorGrid,
};
use std::path::Path;
use std::sync::Arc;

/// Dimensions that grids are made for.
pub(super) const MOST_DIMENSIONS: usize = 3;

/// Largest mass of a law that the grid may leave outside.
const CUT_OFF: f64 = 1e-4;

/// The data behind a prior of kind `samples`.
#[derive(Clone, Debug)]
pub struct DataColumns {
    /// Column names.
    pub names: Vec<String>,
    /// One vector of values for each column, in the data's own units.
    pub values: Vec<Vec<f64>>,
    /// The map to model coordinates.
    pub map: Standardization,
}

/// A problem ready to be solved.
#[derive(Clone)]
pub struct Problem {
    /// The file it came from, with defaults filled in and overrides applied.
    pub file: ProblemFile,
    /// The control problem.
    pub model: FineTuning,
    /// The grid.
    pub grid: Arc<TensorGrid>,
    /// Where errors are taken.
    pub compare_on: Region,
    /// The data behind the prior, if any.
    pub data: Option<DataColumns>,
    /// The trained score in place of the prior's own, if any; the prior is then the reference.
    pub network: Option<Arc<NetworkScore>>,
}

impl Problem {
    /// Check `file` and build its objects. `directory` is where relative data paths start.
    ///
    /// # Errors
    /// The first value that is not allowed, by field.
    pub fn resolve(mut file: ProblemFile, directory: &Path) -> Result<Self, ProblemError> {
        check_name(&file.name)?;
        check_counts(&file)?;
        check_scheme(&mut file.scheme)?;
        if file.grid.is_absent() {
            let allowed = "a grid: only pift --parametric does without";
            return Err(ProblemError::invalid("grid", "absent", allowed));
        }
        if let PriorSpec::Network { reference: None, .. } = &file.prior {
            let allowed = "the law that the network stands for: only pift --parametric, on a problem without grid, does without";
            return Err(ProblemError::invalid("prior.reference", "absent", allowed));
        }
        let Objects { mut model, data, network } = objects(&mut file, directory)?;
        let dim = model.prior().dim();
        if dim > MOST_DIMENSIONS {
            let allowed = format!("at most {MOST_DIMENSIONS}: the solvers work on grids; pift --parametric needs none");
            return Err(ProblemError::invalid("prior", format!("{dim} dimensions"), allowed));
        }
        let grid = grid(&file.grid, dim, dim)?;
        if let Some(network) = &network {
            model = model.with_score(Arc::new(Remembered::new(network.clone(), grid.clone())))?;
        }
        check_cut_off(&model, &grid)?;
        check_resolution(&model, &grid)?;
        let compare_on = compare_on(file.compare_on.as_ref(), &grid)?;
        file.compare_on = Some(RegionSpec { lower: compare_on.lower().to_vec(), upper: compare_on.upper().to_vec() });
        // a Riccati equation that blows up means that the value is infinite
        closed_form(&model).map_err(|e| match e {
            ModelError::Integration { .. } => {
                ModelError::invalid("kl_weight", format!("{:?}", model.kl_weight()), format!("ill-posed: {e}"))
            }
            other => other,
        })?;
        check_shapes(&file, dim)?;
        Ok(Problem { file, model, grid, compare_on, data, network })
    }

    /// Dimension d.
    pub fn dim(&self) -> usize {
        self.grid.dim()
    }

    /// Name of coordinate `axis` with its unit, for plots.
    pub fn axis_label(&self, axis: usize) -> String {
        match (&self.file.axis_labels, &self.data) {
            (Some(labels), _) => labels[axis].clone(),
            (None, Some(data)) => data.names[axis].clone(),
            (None, None) if self.dim() == 1 => "y".into(),
            (None, None) => format!("y{axis}"),
        }
    }

    /// Center and scale of coordinate `axis`: data = center + scale * model.
    pub fn units(&self, axis: usize) -> (f64, f64) {
        self.data.as_ref().map_or((0.0, 1.0), |d| (d.map.center[axis], d.map.scale[axis]))
    }
}

/// The name becomes a folder, so it must not be a path.
pub(crate) fn check_name(name: &str) -> Result<(), ProblemError> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let allowed = "letters, digits, - _ and . (not first), at most 100 bytes";
        return Err(ProblemError::invalid("name", format!("{name:?}"), allowed));
    }
    Ok(())
}

pub(super) fn schedule(file: &ProblemFile) -> Result<Schedule, ProblemError> {
    let horizon = file.horizon;
    if !(horizon.is_finite() && horizon > 0.0) {
        return Err(ProblemError::invalid("horizon", horizon, "must be positive and finite"));
    }
    let built = match file.schedule.clone() {
        ScheduleSpec::Constant { b } => Schedule::constant(horizon, b),
        ScheduleSpec::Linear { b_min, b_max } => Schedule::linear(horizon, b_min, b_max),
        ScheduleSpec::Cosine { offset, b_max } => Schedule::cosine(horizon, offset, b_max),
        ScheduleSpec::Table { tau, b } => Schedule::table(horizon, tau, b),
    };
    Ok(built.map_err(|e| e.within("schedule"))?)
}

pub(super) fn prior(spec: &mut PriorSpec, directory: &Path) -> Result<(GaussianMixture, Option<DataColumns>), ProblemError> {
    let within = |e: ModelError| e.within("prior");
    match spec {
        PriorSpec::Gaussian { mean, covariance } => {
            Ok((GaussianMixture::gaussian(mean.clone(), covariance.clone()).map_err(within)?, None))
        }
        PriorSpec::Mixture { weights, means, covariances } => {
            Ok((GaussianMixture::new(weights.clone(), means.clone(), covariances.clone()).map_err(within)?, None))
        }
        PriorSpec::Samples { file, columns, bandwidth, standardize } => {
            let values = read_columns(&directory.join(&*file), columns)?;
            let rule = bandwidth.map_or(Bandwidth::Silverman, Bandwidth::Fixed);
            // the estimate numbers its columns; the user named them
            let by_name = |e: ModelError| match e {
                ModelError::Invalid { mut field, value, allowed } => {
                    for (i, name) in columns.iter().enumerate() {
                        field = field.replacen(&format!("samples.column[{i}]"), &format!("columns[{i}] \"{name}\""), 1);
                    }
                    ModelError::Invalid { field, value, allowed }.within("prior")
                }
                other => other.within("prior"),
            };
            let density = KernelDensity::new(&values, rule, *standardize).map_err(by_name)?;
            if columns.len() == 1 {
                // what Silverman's rule came to
                bandwidth.get_or_insert(density.bandwidth()[0][0].sqrt());
            }
            let data = DataColumns { names: columns.clone(), values, map: density.standardization().clone() };
            Ok((density.law().clone(), Some(data)))
        }
        PriorSpec::Network { reference: None, .. } => Err(ProblemError::invalid("prior.reference", "absent", "a law")),
        PriorSpec::Network { reference: Some(reference), .. } => match **reference {
            PriorSpec::Network { .. } => {
                let allowed = "must be gaussian, mixture or samples: a law whose score is known";
                Err(ProblemError::invalid("prior.reference.kind", "network", allowed))
            }
            _ => prior(reference, directory).map_err(in_reference),
        },
    }
}

pub(super) fn kl_weight(file: &ProblemFile) -> Result<KlWeight, ProblemError> {
    match &file.kl_weight {
        KlWeightSpec::Constant(beta) => Ok(KlWeight::constant(*beta)?),
        KlWeightSpec::Varying(KlFunctionSpec::Table { t, beta }) => {
            Ok(KlWeight::table(file.horizon, t.clone(), beta.clone()).map_err(|e| e.within("kl_weight"))?)
        }
        KlWeightSpec::Varying(KlFunctionSpec::Formula { beta }) => {
            let formula = Formula::parse(beta, &["t"])
                .map_err(|e| ProblemError::invalid("kl_weight.beta", format!("{beta:?}"), e.to_string()))?;
            let f = Arc::new(move |t: f64| formula.eval_scalar(&[t]));
            Ok(KlWeight::function(file.horizon, f, beta.clone()).map_err(|e| e.within("kl_weight"))?)
        }
    }
}

pub(super) fn reward(spec: &mut RewardSpec, kl_weight: &KlWeight, directory: &Path) -> Result<Reward, ProblemError> {
    let within = |e: ModelError| e.within("reward");
    match spec {
        RewardSpec::Linear { q, c } => Ok(Reward::linear(q.clone(), *c).map_err(within)?),
        RewardSpec::Quadratic { curvature, q, c } => Ok(Reward::quadratic(curvature, q.clone(), *c).map_err(within)?),
        RewardSpec::LogSumExp { terms, temperature } => {
            let level = match (*temperature, kl_weight.as_constant()) {
                (Some(t), _) => t,
                (None, Some(beta)) => beta,
                (None, None) => {
                    let allowed = "is needed when kl_weight varies in time";
                    return Err(ProblemError::invalid("reward.temperature", "absent", allowed));
                }
            };
            *temperature = Some(level);
            let terms = terms
                .iter()
                .enumerate()
                .map(|(j, t)| {
                    QuadraticTerm::new(&t.curvature, t.q.clone(), t.c).map_err(|e| e.within(&format!("reward.terms[{j}]")))
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Reward::log_sum_exp(terms, level).map_err(within)?)
        }
        RewardSpec::Bumps { terms } => {
            let bumps = terms.iter().map(|b| Bump { center: b.center.clone(), width: b.width, height: b.height }).collect();
            Ok(Reward::bumps(bumps).map_err(within)?)
        }
        RewardSpec::Classifier { file, class, of } => classifier(&directory.join(&*file), *class, *of),
    }
}

/// A number of time steps.
pub(super) fn check_steps(field: &str, n: usize) -> Result<(), ProblemError> {
    const MOST_STEPS: usize = 10_000_000;
    if (1..=MOST_STEPS).contains(&n) { Ok(()) } else { Err(ProblemError::invalid(field, n, format!("1 to {MOST_STEPS}"))) }
}

/// Check the scheme and fill in its defaults.
pub(super) fn check_scheme(scheme: &mut SchemeSpec) -> Result<(), ProblemError> {
    if let Some(order) = scheme.order.filter(|o| ![4, 6, 8].contains(o)) {
        return Err(ProblemError::invalid("scheme.order", order, "4, 6 or 8"));
    }
    if let Some(tolerance) = scheme.tolerance.filter(|t| !(*t > 0.0 && *t <= 0.1)) {
        return Err(ProblemError::invalid("scheme.tolerance", tolerance, "in (0, 0.1]"));
    }
    *scheme = SchemeSpec { route: Some(scheme.route()), space: Some(scheme.space()), time: Some(scheme.time()), ..*scheme };
    Ok(())
}

pub(super) fn check_counts(file: &ProblemFile) -> Result<(), ProblemError> {
    const MOST_PATHS: usize = 1_000_000_000_000;
    const MOST_ITERATIONS: usize = 100_000;
    check_steps("time_steps", file.time_steps)?;
    if file.bridge_steps.is_empty() {
        return Err(ProblemError::invalid("bridge_steps", "[]", "at least one N"));
    }
    for (i, &n) in file.bridge_steps.iter().enumerate() {
        check_steps(&format!("bridge_steps[{i}]"), n)?;
        if i > 0 && n <= file.bridge_steps[i - 1] {
            return Err(ProblemError::invalid(format!("bridge_steps[{i}]"), n, "must be larger than the entry before it"));
        }
    }
    if !(2..=MOST_PATHS).contains(&file.paths) {
        return Err(ProblemError::invalid(
            "paths",
            file.paths,
            format!("at least 2, for a standard error, and at most {MOST_PATHS}"),
        ));
    }
    let p = &file.pift;
    if let Some(m) = p.iterations.filter(|&m| m > MOST_ITERATIONS) {
        return Err(ProblemError::invalid("pift.iterations", m, format!("at most {MOST_ITERATIONS}")));
    }
    if !(p.tolerance.is_finite() && p.tolerance > 0.0) {
        return Err(ProblemError::invalid("pift.tolerance", p.tolerance, "must be positive and finite"));
    }
    if let Some(n) = p.quadrature_nodes.filter(|n| !(2..=64).contains(n)) {
        return Err(ProblemError::invalid("pift.quadrature_nodes", n, "2 to 64 in each direction"));
    }
    Ok(())
}

/// The box must hold the noised prior, the noised tilted law and the initial law.
fn check_cut_off(model: &FineTuning, grid: &TensorGrid) -> Result<(), ProblemError> {
    let lower: Vec<f64> = grid.axes().iter().map(Axis::lower).collect();
    let upper: Vec<f64> = grid.axes().iter().map(Axis::upper).collect();
    let horizon = model.schedule().horizon();
    // with a varying weight the smallest one tilts most; where that tilt does not exist, the largest one's does
    let (smallest, largest) = model.kl_weight().range(horizon);
    let terms = model.reward().growth_terms();
    let tilted = match terms {
        [] => None,
        _ => Some(tilt(model.prior(), terms, smallest).or_else(|_| tilt(model.prior(), terms, largest))?),
    };
    let mut laws = vec![("the initial law".to_string(), model.initial_law().clone())];
    for i in 0..=16 {
        let t = horizon * f64::from(i) / 16.0;
        laws.push((format!("the prior at t = {t}"), model.noised_prior(t)));
        if let Some(tilted) = &tilted {
            laws.push((format!("the tilted law at t = {t}"), tilted.law.noised_by(model.schedule().remaining(t))));
        }
    }
    let worst = laws.iter().map(|(name, law)| (law.mass_outside(&lower, &upper), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((mass, name)) = worst.filter(|w| w.0 > CUT_OFF) {
        let wide = |sign: f64| -> Vec<f64> {
            (0..grid.dim())
                .map(|r| {
                    let reach = |(_, law): &(String, GaussianMixture)| sign * law.mean()[r] + 6.0 * law.covariance()[r][r].sqrt();
                    sign * (laws.iter().map(reach).fold(f64::NEG_INFINITY, f64::max) * 10.0).ceil() / 10.0
                })
                .collect()
        };
        let allowed = format!(
            "the box cuts off a mass of {mass:.1e} of {name}; at most {CUT_OFF:.0e} may be left out (lower {:?}, upper {:?} would do)",
            wide(-1.0),
            wide(1.0)
        );
        return Err(ProblemError::invalid("grid", format!("lower {lower:?}, upper {upper:?}"), allowed));
    }
    Ok(())
}

/// The nodes must be dense enough for the trapezoidal rule to see the initial law and the narrowest part of the prior.
fn check_resolution(model: &FineTuning, grid: &TensorGrid) -> Result<(), ProblemError> {
    for (i, axis) in grid.axes().iter().enumerate() {
        let finest = axis.nodes().windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let prior = model.prior();
        let distinct = if prior.shares_covariance() { 1 } else { prior.components() };
        let narrowest = (0..distinct).map(|c| prior.covariance_of(c).matrix()[(i, i)].sqrt()).fold(f64::INFINITY, f64::min);
        if finest > 3.0 * narrowest {
            let nodes = (3.0 * (axis.upper() - axis.lower()) / narrowest).ceil();
            let allowed = format!(
                "the spacing {finest:.3e} does not see a part of the prior of standard deviation {narrowest:.3e}; about {nodes} nodes would"
            );
            return Err(ProblemError::invalid(format!("grid.nodes[{i}]"), axis.len(), allowed));
        }
    }
    let mut density = vec![0.0; grid.len()];
    model.initial_law().log_density(grid.points().as_points(), &mut density);
    let mass: f64 = density.iter().zip(grid.volumes()).map(|(l, w)| l.exp() * w).sum();
    if (mass - 1.0).abs() > UNRESOLVED {
        let nodes: Vec<usize> = grid.shape().to_vec();
        let allowed =
            format!("too few: the initial law integrates to {mass:.6} on the grid; at most {UNRESOLVED:e} may be missing");
        return Err(ProblemError::invalid("grid.nodes", format!("{nodes:?}"), allowed));
    }
    Ok(())
}

/// Largest error of the initial law's mass by the trapezoidal rule.
const UNRESOLVED: f64 = 1e-3;
