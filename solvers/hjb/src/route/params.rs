//! Parameters of the choice of route and what it reports.

use crate::certificate::{AccuracyCertificate, ResidualSampling};
use crate::cole_hopf::ColeHopfInfo;
use crate::error::HjbError;
use crate::params::{HjbInfo, HjbParams};
use crate::smooth::{Integrator, Output, SmoothInfo};
use hjbridge_model::grid::Region;
use serde::Serialize;

/// A way to solve a finite-horizon problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// [`crate::SmoothSolver`]: high order in space, adaptive in time.
    HighOrder,
    /// [`crate::HjbSolver`]: monotone in space, order 2.
    Monotone,
    /// [`crate::cole_hopf::ColeHopfSolver`]: the linear equation of exp(V/beta), order 2; constant temperature only.
    ColeHopf,
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Route::HighOrder => "high order",
            Route::Monotone => "monotone",
            Route::ColeHopf => "Cole-Hopf",
        })
    }
}

/// Who chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteChoice {
    /// The one with the smaller estimated error for its work, measured on coarser grids.
    #[default]
    Auto,
    /// [`Route::HighOrder`], or the error that says why not.
    HighOrder,
    /// [`Route::Monotone`].
    Monotone,
    /// [`Route::ColeHopf`], or the error that says why not.
    ColeHopf,
}

/// Parameters of [`crate::route::RouteSolver`].
#[derive(Clone, Debug, PartialEq)]
pub struct RouteParams {
    /// Who chooses.
    pub choice: RouteChoice,
    /// The times at which V and v are wanted, the same for every route.
    pub output: Output,
    /// Parameters of the monotone route, with the sense and the faces, which hold for every route; space and time scheme,
    /// steps and linear solver hold for the Cole-Hopf route too. `steps` is the least
    /// number of time steps, rounded up to a multiple of 64 and, where that does not double it, of the output levels;
    /// `storage` is not used.
    pub monotone: HjbParams,
    /// Order of the differences of the high-order route: 4, 6 or 8. [`RouteChoice::Auto`] takes a lower one where a quarter of
    /// the nodes is too few for it.
    pub order: usize,
    /// Its integrator; `None` is BDF in one dimension and Runge-Kutta-Chebyshev in more.
    pub integrator: Option<Integrator>,
    /// Its tolerance (relative and absolute), in (0, 0.1]; `None` matches it to the error in space found on coarser grids.
    pub tolerance: Option<f64>,
    /// Where errors are estimated; `None` is the middle half of the box along each axis.
    pub region: Option<Region>,
    /// Where the residual is taken.
    pub residual: ResidualSampling,
    /// Whether a route that was forced is certified too (a choice always is): costs about a third more in one dimension, a
    /// sixth in two.
    pub certify: bool,
}

impl Default for RouteParams {
    fn default() -> Self {
        RouteParams {
            choice: RouteChoice::default(),
            output: Output::Levels(64),
            monotone: HjbParams::default(),
            order: 8,
            integrator: None,
            tolerance: None,
            region: None,
            residual: ResidualSampling::default(),
            certify: true,
        }
    }
}

impl RouteParams {
    /// Check the ranges given at the fields.
    ///
    /// # Errors
    /// The first field out of range.
    pub fn validate(&self) -> Result<(), HjbError> {
        self.monotone.validate()?;
        if !matches!(self.order, 4 | 6 | 8) {
            return Err(HjbError::invalid("order", self.order, "4, 6 or 8"));
        }
        if let Some(tolerance) = self.tolerance
            && !(tolerance > 0.0 && tolerance <= 0.1)
        {
            return Err(HjbError::invalid("tolerance", tolerance, "in (0, 0.1]"));
        }
        self.residual.validate()
    }
}

/// What was learnt about one route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CandidateInfo {
    /// The route.
    pub route: Route,
    /// Estimated sup error of V at full size on the region: from the certificate when it was solved there, otherwise
    /// extrapolated from the coarser grids.
    pub error_estimate: Option<f64>,
    /// Whether it was solved at full size.
    pub full_size: bool,
    /// Work of a solution at full size, in nanoseconds of a nominal processor, from counted operations and not from the
    /// clock: measured, or extrapolated from the coarser grids.
    pub work: Option<f64>,
    /// Wall time spent on the route, coarser grids included.
    pub seconds: f64,
    /// Why it is out of the question.
    pub refused: Option<String>,
}

/// What [`crate::route::RouteSolver`] did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RouteInfo {
    /// The route of the solution returned.
    pub route: Route,
    /// Why this one, in words.
    pub reason: String,
    /// All routes that were looked at.
    pub candidates: Vec<CandidateInfo>,
    /// Report of the monotone route when it was taken.
    pub hjb: Option<HjbInfo>,
    /// Report of the high-order route when it was taken.
    pub smooth: Option<SmoothInfo>,
    /// Report of the Cole-Hopf route when it was taken.
    pub cole_hopf: Option<ColeHopfInfo>,
    /// Accuracy of the solution returned.
    pub certificate: AccuracyCertificate,
    /// Wall time in all.
    pub seconds: f64,
}

/// The solution at one output time, as an observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct RouteView<'v> {
    /// 0 for the first solution at full size. When its certificate does not hold, the levels come once more by the other
    /// route with number 1, and those with a lower number are void.
    pub attempt: usize,
    /// The route.
    pub route: Route,
    /// Number of the time among [`crate::route::RouteSolver::times`].
    pub level: usize,
    /// Generation time.
    pub t: f64,
    /// V on the nodes, in the sign of the user.
    pub value: &'v [f64],
    /// The optimal control v, m x n, component by component.
    pub control: &'v [f64],
}
