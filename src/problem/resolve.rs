//! From a parsed file to model objects, with the checks that need more than one field.

use super::error::ProblemError;
use super::samples::read_columns;
use super::spec::{InitialLawSpec, KlFunctionSpec, KlWeightSpec, PriorSpec, ProblemFile, RewardSpec, ScheduleSpec};
use hjbridge_model::exact::tilt;
use hjbridge_model::law::{Bandwidth, KernelDensity, Standardization};
use hjbridge_model::{
    Axis, Bump, FineTuning, Formula, GaussianMixture, InitialLaw, KlWeight, ModelError, QuadraticTerm, Region, Reward, Schedule,
    TensorGrid,
};
use std::path::Path;
use std::sync::Arc;

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
}

impl Problem {
    /// Check `file` and build its objects. `directory` is where relative data paths start.
    ///
    /// # Errors
    /// The first value that is not allowed, by field.
    pub fn resolve(file: ProblemFile, directory: &Path) -> Result<Self, ProblemError> {
        check_name(&file.name)?;
        let schedule = schedule(&file)?;
        let (prior, data) = prior(&file.prior, directory)?;
        let dim = prior.mean().len();
        let kl_weight = kl_weight(&file)?;
        let reward = reward(&file.reward, &kl_weight)?;
        let initial = match file.initial_law {
            InitialLawSpec::StandardNormal => InitialLaw::StandardNormal,
            InitialLawSpec::NoisedPrior => InitialLaw::NoisedPrior,
            InitialLawSpec::Optimal => InitialLaw::Optimal,
        };
        let model = FineTuning::new(schedule, prior, reward, kl_weight, initial)?;
        let grid = grid(&file, dim)?;
        check_counts(&file, &grid)?;
        check_cut_off(&model, &grid)?;
        let compare_on = compare_on(&file, &grid)?;
        if let Some(labels) = file.axis_labels.as_ref().filter(|l| l.len() != dim) {
            return Err(ModelError::Shape { field: "axis_labels".into(), found: labels.len(), expected: dim }.into());
        }
        Ok(Problem { file, model, grid, compare_on, data })
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
fn check_name(name: &str) -> Result<(), ProblemError> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || name.starts_with('.') || !name.chars().all(plain) {
        let allowed = "letters, digits, - _ and . (not first), at most 100 bytes";
        return Err(ProblemError::invalid("name", format!("{name:?}"), allowed));
    }
    Ok(())
}

fn schedule(file: &ProblemFile) -> Result<Schedule, ProblemError> {
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

fn prior(spec: &PriorSpec, directory: &Path) -> Result<(GaussianMixture, Option<DataColumns>), ProblemError> {
    let within = |e: ModelError| e.within("prior");
    match spec.clone() {
        PriorSpec::Gaussian { mean, covariance } => Ok((GaussianMixture::gaussian(mean, covariance).map_err(within)?, None)),
        PriorSpec::Mixture { weights, means, covariances } => {
            Ok((GaussianMixture::new(weights, means, covariances).map_err(within)?, None))
        }
        PriorSpec::Samples { file, columns, bandwidth, standardize } => {
            let values = read_columns(&directory.join(&file), &columns)?;
            let bandwidth = bandwidth.map_or(Bandwidth::Silverman, Bandwidth::Fixed);
            let density = KernelDensity::new(&values, bandwidth, standardize).map_err(within)?;
            let data = DataColumns { names: columns, values, map: density.standardization().clone() };
            Ok((density.law().clone(), Some(data)))
        }
    }
}

fn kl_weight(file: &ProblemFile) -> Result<KlWeight, ProblemError> {
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

fn reward(spec: &RewardSpec, kl_weight: &KlWeight) -> Result<Reward, ProblemError> {
    let within = |e: ModelError| e.within("reward");
    match spec.clone() {
        RewardSpec::Linear { q, c } => Ok(Reward::linear(q, c).map_err(within)?),
        RewardSpec::Quadratic { curvature, q, c } => Ok(Reward::quadratic(&curvature, q, c).map_err(within)?),
        RewardSpec::LogSumExp { terms, temperature } => {
            let temperature = match (temperature, kl_weight.as_constant()) {
                (Some(t), _) => t,
                (None, Some(beta)) => beta,
                (None, None) => {
                    let allowed = "is needed when kl_weight varies in time";
                    return Err(ProblemError::invalid("reward.temperature", "absent", allowed));
                }
            };
            let terms = terms
                .into_iter()
                .enumerate()
                .map(|(j, t)| QuadraticTerm::new(&t.curvature, t.q, t.c).map_err(|e| e.within(&format!("reward.terms[{j}]"))))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(Reward::log_sum_exp(terms, temperature).map_err(within)?)
        }
        RewardSpec::Bumps { terms } => {
            let bumps = terms.into_iter().map(|b| Bump { center: b.center, width: b.width, height: b.height }).collect();
            Ok(Reward::bumps(bumps).map_err(within)?)
        }
    }
}

fn grid(file: &ProblemFile, dim: usize) -> Result<Arc<TensorGrid>, ProblemError> {
    let g = &file.grid;
    for (field, found) in [("grid.lower", g.lower.len()), ("grid.upper", g.upper.len()), ("grid.nodes", g.nodes.len())] {
        if found != dim {
            return Err(ModelError::Shape { field: field.into(), found, expected: dim }.into());
        }
    }
    if let Some(s) = g.stretch.as_ref().filter(|s| s.center.len() != dim) {
        let shape = ModelError::Shape { field: "grid.stretch.center".into(), found: s.center.len(), expected: dim };
        return Err(shape.into());
    }
    check_memory(file)?;
    let axes = (0..dim)
        .map(|i| {
            let axis = match &g.stretch {
                None => Axis::uniform(g.lower[i], g.upper[i], g.nodes[i]),
                Some(s) => Axis::stretched(g.lower[i], g.upper[i], g.nodes[i], s.center[i], s.strength),
            };
            axis.map_err(|e| e.within(&format!("grid (axis {i})")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(TensorGrid::new(axes).map_err(|e| e.within("grid"))?))
}

/// Bytes the solvers need for this grid: value and control at every time level, and work space.
fn memory_needed(file: &ProblemFile) -> f64 {
    let nodes: f64 = file.grid.nodes.iter().map(|&n| n as f64).product();
    let dim = file.grid.nodes.len() as f64;
    let finest = file.bridge_steps.iter().copied().max().unwrap_or(0).max(file.time_steps) as f64;
    8.0 * nodes * ((1.0 + dim) * (finest + 1.0) + 40.0)
}

fn check_memory(file: &ProblemFile) -> Result<(), ProblemError> {
    let (need, have) = (memory_needed(file), memory_available());
    if need > have {
        let value = format!("{:?} with {} time steps", file.grid.nodes, file.time_steps);
        let allowed = format!("needs about {:.1} GB; {:.1} GB are available", need / 1e9, have / 1e9);
        return Err(ProblemError::invalid("grid.nodes", value, allowed));
    }
    Ok(())
}

/// Bytes of memory that may be used: what the system reports as available, or 4 GB where it reports nothing.
fn memory_available() -> f64 {
    let reported = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    });
    reported.map_or(4e9, |kib| kib * 1024.0)
}

fn check_counts(file: &ProblemFile, grid: &TensorGrid) -> Result<(), ProblemError> {
    const MOST_STEPS: usize = 10_000_000;
    let steps = |field: &str, n: usize| {
        if (1..=MOST_STEPS).contains(&n) { Ok(()) } else { Err(ProblemError::invalid(field, n, format!("1 to {MOST_STEPS}"))) }
    };
    steps("time_steps", file.time_steps)?;
    if file.bridge_steps.is_empty() {
        return Err(ProblemError::invalid("bridge_steps", "[]", "at least one N"));
    }
    for (i, &n) in file.bridge_steps.iter().enumerate() {
        steps(&format!("bridge_steps[{i}]"), n)?;
        if i > 0 && n <= file.bridge_steps[i - 1] {
            return Err(ProblemError::invalid(format!("bridge_steps[{i}]"), n, "must be larger than the entry before it"));
        }
    }
    if file.paths < 2 {
        return Err(ProblemError::invalid("paths", file.paths, "at least 2, for a standard error"));
    }
    let p = &file.pift;
    if !(p.tolerance.is_finite() && p.tolerance > 0.0) {
        return Err(ProblemError::invalid("pift.tolerance", p.tolerance, "must be positive and finite"));
    }
    if !(2..=64).contains(&p.quadrature_nodes) || p.quadrature_nodes.pow(grid.dim().min(3) as u32) > 1 << 18 {
        return Err(ProblemError::invalid("pift.quadrature_nodes", p.quadrature_nodes, "2 to 64 in each direction"));
    }
    Ok(())
}

/// The box must hold the noised prior, the noised tilted law and the initial law.
fn check_cut_off(model: &FineTuning, grid: &TensorGrid) -> Result<(), ProblemError> {
    let lower: Vec<f64> = grid.axes().iter().map(Axis::lower).collect();
    let upper: Vec<f64> = grid.axes().iter().map(Axis::upper).collect();
    let horizon = model.schedule().horizon();
    let tilted = match model.kl_weight().as_constant() {
        Some(beta) => model.reward().tilt_terms(beta).map(|terms| tilt(model.prior(), terms, beta)).transpose()?,
        None => None,
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

fn compare_on(file: &ProblemFile, grid: &TensorGrid) -> Result<Region, ProblemError> {
    let within = |e: ModelError| e.within("compare_on");
    let region = match &file.compare_on {
        Some(r) => Region::new(r.lower.clone(), r.upper.clone()).map_err(within)?,
        None => {
            let quarter = |a: &Axis, w: f64| a.lower() + w * (a.upper() - a.lower());
            Region::new(
                grid.axes().iter().map(|a| quarter(a, 0.25)).collect(),
                grid.axes().iter().map(|a| quarter(a, 0.75)).collect(),
            )
            .map_err(within)?
        }
    };
    if region.dim() != grid.dim() {
        return Err(ModelError::Shape { field: "compare_on".into(), found: region.dim(), expected: grid.dim() }.into());
    }
    for (i, axis) in grid.axes().iter().enumerate() {
        for (field, v) in [("lower", region.lower()[i]), ("upper", region.upper()[i])] {
            if !axis.contains(v) {
                let allowed = format!("must lie in the grid's [{}, {}]", axis.lower(), axis.upper());
                return Err(ProblemError::invalid(format!("compare_on.{field}[{i}]"), v, allowed));
            }
        }
    }
    grid.region_nodes(Some(&region)).map_err(within)?;
    Ok(region)
}
