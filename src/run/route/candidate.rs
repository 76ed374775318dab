//! What was learnt about one way to solve a problem.

use hjbridge_hjb::route::CandidateInfo;
use hjbridge_hjb::{HjbError, Route};
use serde::Serialize;

/// A way that was looked at, when there was a choice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// `high_order`, `monotone`, `cole_hopf` or `policy_iteration` (stationary).
    pub route: &'static str,
    /// Space scheme, where that was chosen too.
    pub space: Option<&'static str>,
    /// Estimated sup error of V at full size on the region: from the certificate when it was solved there, otherwise
    /// extrapolated from the coarser grids.
    pub error_estimate: Option<f64>,
    /// Whether it was solved at full size.
    pub full_size: bool,
    /// Work at full size in nanoseconds of a nominal processor, from counted operations and not from the clock.
    pub work: Option<f64>,
    /// Wall time spent on it, coarser grids included.
    pub seconds: f64,
    /// Why it is out of the question.
    pub refused: Option<String>,
}

impl Candidate {
    pub(super) fn refused(route: &'static str, space: &'static str, why: &HjbError) -> Self {
        let refused = Some(why.to_string());
        Candidate { route, space: Some(space), error_estimate: None, full_size: false, work: None, seconds: 0.0, refused }
    }
}

impl From<CandidateInfo> for Candidate {
    fn from(info: CandidateInfo) -> Self {
        let CandidateInfo { route, error_estimate, full_size, work, seconds, refused } = info;
        let route = match route {
            Route::HighOrder => "high_order",
            Route::Monotone => "monotone",
            Route::ColeHopf => "cole_hopf",
        };
        Candidate { route, space: None, error_estimate, full_size, work, seconds, refused }
    }
}
