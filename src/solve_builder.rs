//! One call from a controlled diffusion to its value function.

use hjbridge_hjb::{
    EvaluationParams, FaceValues, Faces, HjbError, HjbParams, Obstacle, Placement, RouteChoice, RouteInfo, RouteParams,
    RouteSolver, Sense, TargetSet, ValueFunction,
};
use hjbridge_model::{Axis, ControlledDiffusion, Extrapolation, Interpolation, PointBlock, Region, TableFeedback, TensorGrid};
use std::sync::Arc;

/// Solves the Hamilton-Jacobi-Bellman equation of a problem with a horizon by the route that measures best, with a certificate.
///
/// | part | default |
/// |---|---|
/// | grid | none: needed |
/// | sense | maximise |
/// | faces | V continues linearly |
/// | target, obstacle, face values | none |
/// | route | chosen by measurement ([`hjbridge_hjb::route`]) |
/// | time steps | 200 at least, of the monotone and the Cole-Hopf route; the high-order route chooses its own |
/// | region of the error estimates | the middle half of the grid |
///
/// For problems without a horizon there is [`hjbridge_hjb::StationarySolver`].
#[must_use]
pub struct Solve<'a> {
    model: &'a dyn ControlledDiffusion,
    axes: Vec<Result<Axis, HjbError>>,
    params: RouteParams,
    target: Option<(&'a dyn TargetSet, Placement)>,
    obstacle: Option<&'a dyn Obstacle>,
    face_values: Option<&'a dyn FaceValues>,
}

impl<'a> Solve<'a> {
    /// The equation of `model`.
    pub fn new(model: &'a dyn ControlledDiffusion) -> Self {
        let monotone = HjbParams { steps: 200, ..HjbParams::default() };
        let params = RouteParams { monotone, ..RouteParams::default() };
        Solve { model, axes: Vec::new(), params, target: None, obstacle: None, face_values: None }
    }

    /// A further axis of the grid: `nodes` equally spaced nodes from `lower` to `upper`.
    pub fn axis(mut self, lower: f64, upper: f64, nodes: usize) -> Self {
        self.axes.push(Axis::uniform(lower, upper, nodes).map_err(HjbError::from));
        self
    }

    /// The same for an axis made elsewhere.
    pub fn with_axis(mut self, axis: Axis) -> Self {
        self.axes.push(Ok(axis));
        self
    }

    /// Minimise: rewards are read as costs.
    pub fn minimise(mut self) -> Self {
        self.params.monotone.sense = Sense::Minimise;
        self
    }

    /// Conditions at the faces of the box.
    pub fn faces(mut self, faces: impl Into<Faces>) -> Self {
        self.params.monotone.boundary = faces.into();
        self
    }

    /// The process ends on this set.
    pub fn target(mut self, target: &'a dyn TargetSet) -> Self {
        self.target = Some((target, Placement::SubCell));
        self
    }

    /// The process may be stopped at any time for this reward (cost).
    pub fn obstacle(mut self, obstacle: &'a dyn Obstacle) -> Self {
        self.obstacle = Some(obstacle);
        self
    }

    /// V on the Dirichlet faces, in place of the terminal reward there.
    pub fn face_values(mut self, values: &'a dyn FaceValues) -> Self {
        self.face_values = Some(values);
        self
    }

    /// The route, in place of the choice.
    pub fn route(mut self, route: RouteChoice) -> Self {
        self.params.choice = route;
        self
    }

    /// Least number of time steps of the routes with fixed steps.
    pub fn steps(mut self, steps: usize) -> Self {
        self.params.monotone.steps = steps;
        self
    }

    /// Where errors are estimated.
    pub fn region(mut self, region: Region) -> Self {
        self.params.region = Some(region);
        self
    }

    /// Change any other parameter.
    pub fn params(mut self, change: impl FnOnce(&mut RouteParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// Solve.
    ///
    /// # Errors
    /// An axis that is not allowed, no axis; those of [`RouteSolver::solve`].
    pub fn run(self) -> Result<Solution, HjbError> {
        let axes = self.axes.into_iter().collect::<Result<Vec<_>, _>>()?;
        let grid = Arc::new(TensorGrid::new(axes)?);
        let mut solver = RouteSolver::new(self.model, grid, self.params)?;
        if let Some((target, placement)) = self.target {
            solver = solver.with_target(target, placement);
        }
        if let Some(obstacle) = self.obstacle {
            solver = solver.with_obstacle(obstacle);
        }
        if let Some(values) = self.face_values {
            solver = solver.with_face_values(values);
        }
        let (function, info) = solver.solve()?;
        Ok(Solution { function, info })
    }
}

/// What [`Solve`] found.
#[derive(Clone, Debug)]
pub struct Solution {
    /// V and v on the grid at the stored times.
    pub function: ValueFunction,
    /// The route, its reasons and the certificate.
    pub info: RouteInfo,
}

impl Solution {
    /// V(t, x), by cubic splines in space and cubic interpolation in time.
    ///
    /// # Errors
    /// A time outside [0, T], a point of another dimension or outside the grid.
    pub fn value(&self, t: f64, x: &[f64]) -> Result<f64, HjbError> {
        let mut out = [0.0];
        self.function.slice(t, EvaluationParams::default())?.value(self.inside(x)?.as_points(), &mut out)?;
        Ok(out[0])
    }

    /// The optimal control v(t, x), interpolated in the same way. (For fine-tuning v = U - s.)
    ///
    /// # Errors
    /// As [`Solution::value`].
    pub fn control(&self, t: f64, x: &[f64]) -> Result<Vec<f64>, HjbError> {
        let mut out = PointBlock::zeros(self.function.control_dim(), 1);
        self.function.slice(t, EvaluationParams::default())?.control(self.inside(x)?.as_points(), out.as_mut())?;
        Ok(out.data().to_vec())
    }

    /// The optimal control as a policy to be simulated: cubic in space, linear in time, continued linearly outside the grid.
    ///
    /// # Errors
    /// A slice that is not finite.
    pub fn policy(&self) -> Result<TableFeedback, HjbError> {
        self.function.feedback(Interpolation::Cubic, Extrapolation::Linear)
    }

    /// The certificate's estimate of the largest error of V in the region; none where there is no estimate.
    pub fn value_error(&self) -> Option<f64> {
        self.info.certificate.richardson.as_ref().map(|r| r.value_error)
    }

    fn inside(&self, x: &[f64]) -> Result<PointBlock, HjbError> {
        let grid = self.function.grid();
        let found = x.len();
        let block = PointBlock::from_points(grid.dim(), &[x]);
        let block = block.ok_or_else(|| HjbError::Shape { field: "x".into(), found, expected: grid.dim() })?;
        for (i, axis) in grid.axes().iter().enumerate() {
            if !grid.is_periodic(i) && !axis.contains(x[i]) {
                let allowed = format!("must lie in the grid's [{}, {}]", axis.lower(), axis.upper());
                return Err(HjbError::Invalid { field: format!("x[{i}]"), value: x[i].to_string(), allowed });
            }
        }
        Ok(block)
    }
}
