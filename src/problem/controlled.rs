//! From a file of kind `controlled_diffusion` to model objects.

use super::controlled_spec::{ControlledFile, ControlsSpec, FaceSpec, PlacementSpec, SenseSpec};
use super::error::ProblemError;
use super::grid::{compare_on, grid};
use super::resolve::{MOST_DIMENSIONS, check_name, check_scheme, check_steps};
use super::spec::RegionSpec;
use hjbridge_hjb::{FaceValues, Obstacle, Placement, Sense, TargetSet};
use hjbridge_model::{
    ControlSet, ControlledDiffusion, CostFormula, DiffusionFormulas, FormulaDiffusion, FormulaField, ModelError, PointBlock,
    Points, Region, TensorGrid,
};
use std::sync::Arc;

/// The time that stands in for the horizon of a stationary problem, whose equation has none.
const NO_HORIZON: f64 = 1.0;

/// A set with boundary data from formulas.
pub struct FormulaTarget {
    level: FormulaField,
    value: FormulaField,
    /// Where its boundary is put.
    pub placement: Placement,
}

impl TargetSet for FormulaTarget {
    fn level(&self, x: Points<'_>, out: &mut [f64]) {
        self.level.eval(0.0, x, out);
    }
    fn value(&self, x: Points<'_>, out: &mut [f64]) {
        self.value.eval(0.0, x, out);
    }
    fn value_at(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        self.value.eval(t, x, out);
    }
}

/// A formula in t and x as reward for stopping, or as data on Dirichlet faces.
pub struct FormulaOfTime(FormulaField);

impl Obstacle for FormulaOfTime {
    fn payoff(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        self.0.eval(t, x, out);
    }
}

impl FaceValues for FormulaOfTime {
    fn value_at(&self, t: f64, x: Points<'_>, out: &mut [f64]) {
        self.0.eval(t, x, out);
    }
}

/// A known solution.
pub struct ExactFormulas {
    /// V.
    pub value: Option<FormulaField>,
    /// v, component by component.
    pub control: Option<Vec<FormulaField>>,
}

/// A controlled diffusion ready to be solved.
pub struct ControlledProblem {
    /// The file it came from, with defaults filled in and overrides applied.
    pub file: ControlledFile,
    /// The diffusion.
    pub model: FormulaDiffusion,
    /// Whether the functional is maximised or minimised.
    pub sense: Sense,
    /// Where the process ends.
    pub target: Option<FormulaTarget>,
    /// What stopping brings.
    pub obstacle: Option<FormulaOfTime>,
    /// V on Dirichlet faces, where it is not the terminal reward.
    pub face_value: Option<FormulaOfTime>,
    /// The known solution.
    pub exact: Option<ExactFormulas>,
    /// The grid.
    pub grid: Arc<TensorGrid>,
    /// Where errors are taken.
    pub compare_on: Region,
    /// Points at which V(0, .) is reported.
    pub start: PointBlock,
}

impl ControlledProblem {
    /// Check `file` and build its objects.
    ///
    /// # Errors
    /// The first value that is not allowed, by field.
    pub fn resolve(mut file: ControlledFile) -> Result<Self, ProblemError> {
        check_name(&file.name)?;
        check_steps("time_steps", file.time_steps)?;
        check_scheme(&mut file.scheme)?;
        let dim = file.drift.len();
        if dim > MOST_DIMENSIONS {
            let allowed = format!("at most {MOST_DIMENSIONS}: the solvers work on grids");
            return Err(ProblemError::invalid("drift", format!("{dim} formulas"), allowed));
        }
        let model = FormulaDiffusion::new(&formulas(&file)?)?;
        let grid = grid(&file.grid, dim, model.control_dim())?;
        let region = compare_on(file.compare_on.as_ref(), &grid)?;
        file.compare_on = Some(RegionSpec { lower: region.lower().to_vec(), upper: region.upper().to_vec() });
        check_faces(&file, dim)?;
        let periodic = |axis: &usize| matches!(file.faces.as_ref().and_then(|f| f.get(*axis)), Some([FaceSpec::Periodic, _]));
        let grid = Arc::new(grid.with_periodic(&(0..dim).filter(periodic).collect::<Vec<_>>())?);
        if file.horizon.is_none() && file.faces.is_none() {
            // without a time to look back from, a face without a condition admits a second solution
            file.faces = Some(vec![[FaceSpec::Reflecting; 2]; dim]);
        }
        let target = match &file.target {
            None => None,
            Some(t) => Some(FormulaTarget {
                level: timeless(model.field("target.level", &t.level.0)?, "the set does not move")?,
                value: model.field("target.value", &t.value.0)?,
                placement: match t.placement {
                    PlacementSpec::SubCell => Placement::SubCell,
                    PlacementSpec::Staircase => Placement::Staircase,
                },
            }),
        };
        let of_time = |name: &str, text: &Option<super::FormulaText>| -> Result<Option<FormulaField>, ProblemError> {
            Ok(text.as_ref().map(|text| model.field(name, &text.0)).transpose()?)
        };
        let obstacle = of_time("obstacle", &file.obstacle)?.map(FormulaOfTime);
        let face_value = of_time("face_value", &file.face_value)?;
        let exact = exact(&file, &model)?;
        if file.horizon.is_none() {
            let data = [target.as_ref().map(|t| &t.value), face_value.as_ref(), obstacle.as_ref().map(|o| &o.0)];
            check_stationary(&file, &model, &data, exact.as_ref())?;
        }
        if let Some(labels) = file.axis_labels.as_ref().filter(|l| l.len() != dim) {
            return Err(ModelError::Shape { field: "axis_labels".into(), found: labels.len(), expected: dim }.into());
        }
        Ok(ControlledProblem {
            start: start(&file, &grid)?,
            sense: match file.sense {
                SenseSpec::Maximise => Sense::Maximise,
                SenseSpec::Minimise => Sense::Minimise,
            },
            face_value: face_value.map(FormulaOfTime),
            compare_on: region,
            file,
            model,
            target,
            obstacle,
            exact,
            grid,
        })
    }

    /// Dimension d of the state.
    pub fn dim(&self) -> usize {
        self.grid.dim()
    }

    /// Whether the problem has no horizon.
    pub fn is_stationary(&self) -> bool {
        self.file.horizon.is_none()
    }

    /// Name of coordinate `axis` with its unit, for plots.
    pub fn axis_label(&self, axis: usize) -> String {
        match &self.file.axis_labels {
            Some(labels) => labels[axis].clone(),
            None => format!("x{axis}"),
        }
    }
}

fn formulas(file: &ControlledFile) -> Result<DiffusionFormulas, ProblemError> {
    let text = |t: &super::FormulaText| t.0.clone();
    let cost = match (&file.control_cost, &file.control_weight) {
        (Some(_), Some(_)) => {
            let allowed = "either control_cost or control_weight";
            return Err(ProblemError::invalid("control_cost", "beside control_weight", allowed));
        }
        (Some(cost), None) => CostFormula::General(text(cost)),
        (None, weight) => CostFormula::Quadratic(weight.clone().unwrap_or_default().formula()),
    };
    Ok(DiffusionFormulas {
        parameters: file.parameters.iter().map(|(name, value)| (name.clone(), *value)).collect(),
        drift: file.drift.iter().map(text).collect(),
        control_matrix: file.control_matrix.formula(),
        diffusion: file.diffusion.formula(),
        running: file.running.as_ref().map(text),
        cost,
        controls: match file.controls.clone() {
            ControlsSpec::None {} => None,
            ControlsSpec::Free {} => Some(ControlSet::Free),
            ControlsSpec::Box { lower, upper } => Some(ControlSet::Box { lower, upper }),
            ControlsSpec::Finite { values } => Some(ControlSet::Finite { controls: values }),
        },
        terminal: file.terminal.as_ref().map(text),
        horizon: file.horizon.unwrap_or(NO_HORIZON),
        discount: file.discount,
    })
}

/// Refuse a formula that depends on time.
fn timeless(field: FormulaField, why: &str) -> Result<FormulaField, ProblemError> {
    if field.uses_time() {
        return Err(ProblemError::invalid(field.name(), format!("{:?}", field.text()), format!("t may not occur: {why}")));
    }
    Ok(field)
}

fn has_dirichlet_face(file: &ControlledFile) -> bool {
    file.faces.iter().flatten().flatten().any(|f| *f == FaceSpec::Dirichlet)
}

fn check_faces(file: &ControlledFile, dim: usize) -> Result<(), ProblemError> {
    if let Some(faces) = file.faces.as_ref().filter(|f| f.len() != dim) {
        return Err(ModelError::Shape { field: "faces".into(), found: faces.len(), expected: dim }.into());
    }
    for (i, [lower, upper]) in file.faces.iter().flatten().enumerate() {
        if (*lower == FaceSpec::Periodic) != (*upper == FaceSpec::Periodic) {
            let allowed = "both faces of an axis are periodic, or neither";
            return Err(ProblemError::invalid(format!("faces[{i}]"), "periodic on one side", allowed));
        }
    }
    if file.face_value.is_some() && !has_dirichlet_face(file) {
        return Err(ProblemError::invalid("face_value", "given", "needs a face of kind dirichlet in faces"));
    }
    Ok(())
}

/// What has no meaning without a horizon.
fn check_stationary(
    file: &ControlledFile,
    model: &FormulaDiffusion,
    data: &[Option<&FormulaField>],
    exact: Option<&ExactFormulas>,
) -> Result<(), ProblemError> {
    let dirichlet = has_dirichlet_face(file);
    if file.discount == 0.0 && file.target.is_none() && file.obstacle.is_none() && !dirichlet {
        let allowed = "needed, unless there is a discount, a target, an obstacle or a dirichlet face (a stationary problem)";
        return Err(ProblemError::invalid("horizon", "absent", allowed));
    }
    if file.terminal.is_some() && !(dirichlet && file.face_value.is_none()) {
        let allowed = "needs a horizon; a reward at the end of an exit problem is target.value, or face_value on dirichlet faces";
        return Err(ProblemError::invalid("terminal", "given", allowed));
    }
    let why = "without a horizon nothing may depend on time";
    if let Some(text) = &file.terminal {
        timeless(model.field("terminal", &text.0)?, why)?;
    }
    let known = exact.and_then(|e| e.value.as_ref());
    let control = exact.and_then(|e| e.control.as_deref()).unwrap_or_default();
    let all = model.time_dependent().into_iter().chain(data.iter().copied().flatten()).chain(known).chain(control);
    for field in all {
        timeless(field.clone(), why)?;
    }
    Ok(())
}

fn exact(file: &ControlledFile, model: &FormulaDiffusion) -> Result<Option<ExactFormulas>, ProblemError> {
    let Some(spec) = &file.exact else { return Ok(None) };
    if spec.value.is_none() && spec.control.is_none() {
        return Err(ProblemError::invalid("exact", "{}", "value, control or both"));
    }
    let value = spec.value.as_ref().map(|v| model.field("exact.value", &v.0)).transpose()?;
    let control = match &spec.control {
        None => None,
        Some(texts) if texts.len() != model.control_dim() => {
            let field = "exact.control".into();
            return Err(ModelError::Shape { field, found: texts.len(), expected: model.control_dim() }.into());
        }
        Some(texts) => {
            let compile = |(k, text): (usize, &super::FormulaText)| model.field(&format!("exact.control[{k}]"), &text.0);
            Some(texts.iter().enumerate().map(compile).collect::<Result<Vec<_>, _>>()?)
        }
    };
    Ok(Some(ExactFormulas { value, control }))
}

/// The points of `start`, which must lie in the box.
fn start(file: &ControlledFile, grid: &TensorGrid) -> Result<PointBlock, ProblemError> {
    for (j, point) in file.start.iter().enumerate() {
        let field = format!("start[{j}]");
        if point.len() != grid.dim() {
            return Err(ModelError::Shape { field, found: point.len(), expected: grid.dim() }.into());
        }
        for (i, axis) in grid.axes().iter().enumerate() {
            if !axis.contains(point[i]) {
                let allowed = format!("must lie in the grid's [{}, {}]", axis.lower(), axis.upper());
                return Err(ProblemError::invalid(format!("{field}[{i}]"), point[i], allowed));
            }
        }
    }
    Ok(PointBlock::from_points(grid.dim(), &file.start).unwrap_or_else(|| PointBlock::zeros(grid.dim(), 0)))
}
