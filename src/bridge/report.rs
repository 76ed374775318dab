//! Section `bridge` of the report.

use super::final_law::FinalLawReport;
use super::order::{OrderFit, fit_order, octave_orders};
use crate::problem::Problem;
use crate::run::{SolveReport, SupError, initial_law_name};
use serde::Serialize;

/// Section `bridge` of the report. Arrays have one entry for each N finished.
#[derive(Clone, Debug, Serialize)]
pub struct BridgeReport {
    /// "closed_form" or "hjb": what the errors refer to.
    pub reference: &'static str,
    /// Which closed form, or how the HJB reference was made.
    pub reference_description: String,
    /// The N.
    pub steps: Vec<usize>,
    /// sup |V_k - V(t_k)| over the comparison box and all t_k < T.
    pub value_error: Vec<f64>,
    /// Where.
    pub value_error_at: Vec<SupError>,
    /// sup |u_k - U*(t_k)| over the same.
    pub control_error: Vec<f64>,
    /// Where.
    pub control_error_at: Vec<SupError>,
    /// The errors at every t_k, for each N.
    pub by_time: Vec<ErrorsByTime>,
    /// Order of the value error, fitted on the last three N.
    pub order_value: Option<f64>,
    /// Order of the control error, fitted on the last three N.
    pub order_control: Option<f64>,
    /// Order of the Richardson error, fitted on the last three pairs.
    pub richardson_order: Option<f64>,
    /// The three fits with their standard errors.
    pub fits: [Option<OrderFit>; 3],
    /// Order of the value error from each N to the next.
    pub octave_orders_value: Vec<Option<f64>>,
    /// Order of the control error from each N to the next.
    pub octave_orders_control: Vec<Option<f64>>,
    /// The larger N of each pair (N, 2N).
    pub richardson_steps: Vec<usize>,
    /// sup |2 V_0^{2N} - V_0^N - V(0)| over the comparison box.
    pub richardson_error: Vec<f64>,
    /// Order of the Richardson error from each pair to the next.
    pub octave_orders_richardson: Vec<Option<f64>>,
    /// Largest observed contraction of the inner iteration over k; null where no step had two updates.
    pub contraction: Vec<Option<f64>>,
    /// Largest bound rho_k over k.
    pub rho: Vec<f64>,
    /// Most inner iterations over k.
    pub iterations: Vec<usize>,
    /// E V_0(Y_0): the optimal objective of the chain.
    pub objective: Vec<f64>,
    /// E V(0, Y_0): the optimal objective in continuous time, from the reference.
    pub objective_reference: Option<f64>,
    /// J of the discrete policy in continuous time: u_k held on [t_k, t_{k+1}) in the controlled SDE.
    pub objective_in_sde: Vec<f64>,
    /// J* minus that, E int (beta b/2) |u_k - U*|^2 dt under the policy: O(1/N^2).
    pub suboptimality: Vec<f64>,
    /// Its order, fitted on the last three N.
    pub suboptimality_order: Option<OrderFit>,
    /// Why the two are missing, where they are.
    pub suboptimality_missing: Option<String>,
    /// The initial law in both.
    pub initial_law: &'static str,
    /// The same errors against the HJB solution.
    pub against_hjb: AgainstHjb,
    /// Final laws.
    pub final_law: Option<FinalLawReport>,
    /// Why there is no `final_law`, where there could be one.
    pub final_law_missing: Option<String>,
    /// Wall time for each N in seconds: PI-FT alone.
    pub seconds: Vec<f64>,
}

/// Errors at every t_k of one N, over the comparison box.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorsByTime {
    /// t_k, k = 0..N-1.
    pub t: Vec<f64>,
    /// sup |V_k - V(t_k)|.
    pub value_error: Vec<f64>,
    /// sup |u_k - U*(t_k)|; null where the step has no noise and so no control (posterior variance, last step).
    pub control_error: Vec<Option<f64>>,
}

/// Errors of PI-FT against the HJB solution on the same grid, and what that solution is worth.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AgainstHjb {
    /// sup |V_k - V_hjb(t_k)|.
    pub value_error: Vec<f64>,
    /// sup |u_k - U_hjb(t_k)|.
    pub control_error: Vec<f64>,
    /// Time steps of the HJB solution.
    pub hjb_steps: usize,
    /// Its own error: against the closed form, or as Richardson's extrapolation estimates it (V, U).
    pub hjb_error: Option<(f64, f64)>,
}

impl BridgeReport {
    /// No N yet.
    pub(super) fn empty(problem: &Problem, solve: &SolveReport, hjb_steps: usize) -> Self {
        // of a network the closed form is that of another score
        let known = solve.reference.filter(|_| problem.network.is_none());
        BridgeReport {
            reference: if known.is_some() { "closed_form" } else { "hjb" },
            reference_description: known.unwrap_or("HJB").into(),
            steps: Vec::new(),
            value_error: Vec::new(),
            value_error_at: Vec::new(),
            control_error: Vec::new(),
            control_error_at: Vec::new(),
            by_time: Vec::new(),
            order_value: None,
            order_control: None,
            richardson_order: None,
            fits: [None; 3],
            octave_orders_value: Vec::new(),
            octave_orders_control: Vec::new(),
            richardson_steps: Vec::new(),
            richardson_error: Vec::new(),
            octave_orders_richardson: Vec::new(),
            contraction: Vec::new(),
            rho: Vec::new(),
            iterations: Vec::new(),
            objective: Vec::new(),
            objective_reference: solve.objective_exact.filter(|_| known.is_some()).or(solve.objective),
            objective_in_sde: Vec::new(),
            suboptimality: Vec::new(),
            suboptimality_order: None,
            suboptimality_missing: None,
            initial_law: initial_law_name(problem),
            against_hjb: AgainstHjb {
                hjb_steps,
                hjb_error: known.and(solve.value_error.zip(solve.control_error)),
                ..AgainstHjb::default()
            },
            final_law: None,
            final_law_missing: None,
            seconds: Vec::new(),
        }
    }

    /// Fit the orders once all N are in.
    pub(super) fn finish(&mut self) {
        self.octave_orders_value = octave_orders(&self.steps, &self.value_error);
        self.octave_orders_control = octave_orders(&self.steps, &self.control_error);
        self.octave_orders_richardson = octave_orders(&self.richardson_steps, &self.richardson_error);
        self.fits = [
            fit_order(&self.steps, &self.value_error, 3),
            fit_order(&self.steps, &self.control_error, 3),
            fit_order(&self.richardson_steps, &self.richardson_error, 3),
        ];
        [self.order_value, self.order_control, self.richardson_order] = self.fits.map(|f| f.map(|f| f.order));
        self.suboptimality_order = fit_order(&self.steps, &self.suboptimality, 3);
        if let Some(law) = &mut self.final_law {
            law.finish(&self.steps);
        }
    }
}
