//! The two kinds of problem, seen as one: a functional to be maximised. What is to be minimised enters with its sign turned, and the
//! values of this module's runs are those of the maximisation.

use crate::problem::{ControlledProblem, Problem, ProblemError};
use crate::run::{Maximised, RunError, initial_mean};
use hjbridge_hjb::Sense;
use hjbridge_model::{
    Axis, ControlledDiffusion, CubicSpline, Extrapolation, FineTuning, PointBlock, Region, ScalarField, TensorGrid,
};
use std::sync::Arc;

/// A problem of a suite.
pub(super) enum Subject {
    FineTuning(Box<Problem>),
    Controlled(Box<ControlledProblem>),
}

/// The diffusion of a problem, to be maximised.
pub(super) enum Model<'a> {
    FineTuning(&'a FineTuning),
    Controlled(Maximised<'a>),
}

impl Model<'_> {
    pub fn get(&self) -> &dyn ControlledDiffusion {
        match self {
            Model::FineTuning(model) => *model,
            Model::Controlled(model) => model,
        }
    }
}

impl Subject {
    pub fn model(&self) -> Model<'_> {
        match self {
            Subject::FineTuning(p) => Model::FineTuning(&p.model),
            Subject::Controlled(p) => {
                let horizon = p.file.horizon.unwrap_or(f64::NAN);
                Model::Controlled(Maximised { model: &p.model, sign: self.sign(), horizon, continuation: None })
            }
        }
    }

    /// -1 when the problem is one of minimising.
    pub fn sign(&self) -> f64 {
        match self {
            Subject::Controlled(p) if p.sense == Sense::Minimise => -1.0,
            _ => 1.0,
        }
    }

    /// Components of the control.
    pub fn control_dim(&self) -> usize {
        self.model().get().control_dim()
    }

    pub fn region(&self) -> &Region {
        match self {
            Subject::FineTuning(p) => &p.compare_on,
            Subject::Controlled(p) => &p.compare_on,
        }
    }

    pub fn description(&self) -> Option<&str> {
        match self {
            Subject::FineTuning(p) => p.file.description.as_deref(),
            Subject::Controlled(p) => p.file.description.as_deref(),
        }
    }

    pub fn dim(&self) -> usize {
        self.file_grid().dim()
    }

    fn file_grid(&self) -> &TensorGrid {
        match self {
            Subject::FineTuning(p) => &p.grid,
            Subject::Controlled(p) => &p.grid,
        }
    }

    /// Why a problem is not for a benchmark, and what is.
    pub fn unsuitable(&self) -> Option<(String, &'static str)> {
        let grid = self.file_grid();
        let even = grid.axes().iter().all(|a| a.spacing().is_some());
        let what = match self {
            _ if !even => "a stretched grid",
            Subject::FineTuning(p) if p.network.is_some() => "a network",
            Subject::Controlled(p) if p.is_stationary() => "no horizon",
            Subject::Controlled(p) if p.target.is_some() || p.obstacle.is_some() || p.file.faces.is_some() => {
                "a target, obstacle or condition at a face"
            }
            Subject::Controlled(p) if p.file.discount != 0.0 => "a discount",
            _ => return None,
        };
        Some((what.into(), "a problem with a horizon on an even grid, without networks, discount, stopping or faces"))
    }

    /// The box of the problem with `nodes` nodes.
    pub fn grid(&self, nodes: &[usize]) -> Result<Arc<TensorGrid>, RunError> {
        let axes = self.file_grid().axes().iter().zip(nodes).map(|(a, n)| Axis::uniform(a.lower(), a.upper(), *n));
        Ok(Arc::new(TensorGrid::new(axes.collect::<Result<_, _>>()?)?))
    }

    /// The value of `v0`, given on `grid`, that a run is judged by: E v0(Y_0) for fine-tuning, v0 at the first point of `start`
    /// otherwise.
    pub fn objective(&self, grid: &Arc<TensorGrid>, v0: &[f64]) -> Result<Option<f64>, RunError> {
        match self {
            Subject::FineTuning(p) => Ok(Some(initial_mean(&Problem { grid: grid.clone(), ..(**p).clone() }, v0))),
            Subject::Controlled(p) if p.start.is_empty() => Ok(None),
            Subject::Controlled(p) => {
                let mut out = vec![0.0; p.start.len()];
                CubicSpline::new(grid.clone(), v0, Extrapolation::Linear)?.value(p.start.as_points(), &mut out);
                Ok(Some(out[0]))
            }
        }
    }

    /// The score at the points, as the general form's control v counts from it; nothing for other problems.
    pub fn score(&self, t: f64, x: &PointBlock) -> Option<PointBlock> {
        let Subject::FineTuning(p) = self else { return None };
        let mut s = PointBlock::zeros(x.dim(), x.len());
        p.model.score().at(t).eval(x.as_points(), s.as_mut());
        Some(s)
    }

    /// The fine-tuning problem.
    ///
    /// # Errors
    /// It is none.
    pub fn fine_tuning(&self) -> Result<&Problem, RunError> {
        match self {
            Subject::FineTuning(p) => Ok(p),
            Subject::Controlled(_) => Err(ProblemError::invalid("problem", "controlled_diffusion", "fine_tuning").into()),
        }
    }
}
