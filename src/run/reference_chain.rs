//! The chain of a network's reference, solved beside the network's: what is the network's own error and what the discretisation's.

use super::norms::RegionPoints;
use super::pift::{ddpm_params, pift_params};
use super::{Progress, RunError, initial_mean};
use crate::problem::Problem;
use hjbridge_model::FineTuning;
use hjbridge_model::exact::ClosedForm;
use hjbridge_pift::{Ddpm, PiFt, StepView};
use serde::Serialize;

/// The network's part of the distance to the closed form: V_k and u_k against those of the same chain with the exact score of the
/// reference. Both have nearly the same error of discretisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NetworkOwn {
    /// sup |V_k - V_k of the reference's chain| over the comparison box and all k < N.
    pub value: f64,
    /// The same of u_k, over the steps with noise.
    pub control: f64,
    /// E V_0(Y_0) minus that of the reference's chain.
    pub objective: f64,
}

/// The chain of the reference against that of the network and against the closed form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReferenceChain {
    /// What is the network's.
    pub own: NetworkOwn,
    /// sup |V_k of the reference's chain - V(t_k)|: what is the discretisation's.
    pub discretisation: Option<f64>,
}

/// Solve the reference's chain with as many steps as `values` and `controls` have slices; none without a network.
pub(super) fn reference_chain(
    problem: &Problem,
    region: &RegionPoints,
    exact: Option<&dyn ClosedForm>,
    values: &[Vec<f64>],
    controls: &[Vec<f64>],
    progress: &dyn Progress,
) -> Result<Option<ReferenceChain>, RunError> {
    if problem.network.is_none() {
        return Ok(None);
    }
    let m = &problem.model;
    let (prior, reward) = (m.prior().clone(), m.reward().clone());
    let model = FineTuning::new(m.schedule().clone(), prior, reward, m.kl_weight().clone(), m.initial())?;
    let steps = controls.len();
    let chain = Ddpm::new(&model, ddpm_params(problem, steps))?;
    let solver = PiFt::new(&chain, problem.grid.clone(), pift_params(problem, false))?;
    let mut own = NetworkOwn { value: 0.0, control: 0.0, objective: f64::NAN };
    let mut discretisation = 0.0;
    // a NaN stays
    let larger = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    progress.begin("PI-FT, reference", steps as u64);
    let outcome = solver.solve_observed(&mut |view: StepView<'_>| {
        progress.advance((steps - view.k) as u64);
        let Some(control) = view.control else { return };
        let apart = region.errors(&region.restrict(&values[view.k], &controls[view.k]), view.t, view.value, control);
        own.value = larger(own.value, apart.value.0);
        if chain.variances()[view.k] > 0.0 {
            own.control = larger(own.control, apart.control.0);
        }
        if let Some(exact) = exact {
            let e = region.errors(&region.exact(exact, view.t), view.t, view.value, control);
            discretisation = larger(discretisation, e.value.0);
        }
        if view.k == 0 {
            own.objective = initial_mean(problem, &values[0]) - initial_mean(problem, view.value);
        }
    });
    progress.end();
    // a failure of this chain does not lose the other's numbers
    Ok(outcome.is_ok().then_some(ReferenceChain { own, discretisation: exact.map(|_| discretisation) }))
}
