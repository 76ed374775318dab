//! Errors of PI-FT: which field or which step, and the numbers that say why.

use hjbridge_model::ModelError;

/// What can go wrong in the chain, the time loop or the law of the chain.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PiFtError {
    /// A value outside what is allowed.
    #[error("{field} = {value}: {allowed}")]
    Invalid {
        /// Name of the field.
        field: String,
        /// The offending value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The flag of [`crate::PiFt::with_interrupt`] was set, or whoever observed a law wanted its end.
    #[error("interrupted at step {step}")]
    Interrupted {
        /// Step k of the chain that comes next; those above it (of a law, below it) are done.
        step: usize,
    },
    /// An error of the model: a grid, an interpolant, a law.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The one-step problem max_D { G(m+D) - |D|^2/(2 lam) } is not concave at a node.
    #[error(
        "step {step}: the one-step problem is ill-posed at {point:?}: lam times the largest curvature of E V is \
         {lam_times_curvature:.6e}, it must stay below 1 at KL weight {beta} (raise kl_weight, or make the reward less convex{hint})",
        hint = quadrature_hint(*quadrature_nodes)
    )]
    IllPosed {
        /// Step k of the chain.
        step: usize,
        /// The node.
        point: Vec<f64>,
        /// sig_k^2 lambda_max(D^2 G) / beta_k.
        lam_times_curvature: f64,
        /// KL weight beta_k.
        beta: f64,
        /// Quadrature nodes in each direction, where they were given and not chosen by their error: with few of them E V is as
        /// wavy as V, and the fault can be theirs.
        quadrature_nodes: Option<usize>,
    },
    /// The inner iteration did not reach its tolerance.
    #[error(
        "step {step}: {method} iteration stopped after {iterations} updates with |u^(m+1) - u^(m)| = {update:.3e} > {tolerance:.3e} \
         (observed contraction {contraction:.3e}, rho = {rho:.3e}{hint})",
        hint = if *rho >= 1.0 { "; rho >= 1: use damped, newton or auto, or more steps" } else { "" }
    )]
    NoConvergence {
        /// Step k of the chain.
        step: usize,
        /// Name of the iteration.
        method: &'static str,
        /// Updates done.
        iterations: usize,
        /// Last update of the control in the sup norm over the grid.
        update: f64,
        /// What it should have been below.
        tolerance: f64,
        /// Ratio of the last two updates.
        contraction: f64,
        /// sig_k^2 sup |D^2 V_{k+1}| / beta_k over the grid.
        rho: f64,
    },
    /// A number that is not finite appeared.
    #[error("step {step}: {quantity} is {value} at {point:?}")]
    NonFinite {
        /// Step k of the chain.
        step: usize,
        /// Which quantity.
        quantity: &'static str,
        /// The value.
        value: f64,
        /// The node.
        point: Vec<f64>,
    },
    /// Probability was lost: the grid of the law is too short or too coarse.
    #[error(
        "step {step}: the propagated density has mass {mass:.12} (noise {sigma:.3e}, grid spacing {spacing:.3e}); widen the grid, \
         or refine it until the spacing is below the noise"
    )]
    MassLost {
        /// Step k of the chain: the law of Y_{k+1} lost the mass.
        step: usize,
        /// Mass found.
        mass: f64,
        /// sig_k.
        sigma: f64,
        /// Largest spacing of the grid.
        spacing: f64,
    },
    /// Something that is not built.
    #[error("{what}: {reason}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why not, and what to use.
        reason: String,
    },
}

fn quadrature_hint(nodes: Option<usize>) -> String {
    nodes.map_or(String::new(), |n| format!("; if it is neither, {n} quadrature nodes are too few: give more, or none"))
}

impl PiFtError {
    /// A [`PiFtError::Invalid`] from anything that prints.
    pub fn invalid(field: impl Into<String>, value: impl std::fmt::Display, allowed: impl Into<String>) -> Self {
        PiFtError::Invalid { field: field.into(), value: value.to_string(), allowed: allowed.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parametric::ParametricError;
    use crate::{Ddpm, DdpmParams};
    use hjbridge_model::{FineTuning, GaussianMixture, Reward};

    #[test]
    fn errors_of_parameters_and_of_other_crates_keep_their_words() {
        let problem = FineTuning::builder()
            .prior(GaussianMixture::standard_normal(1).unwrap())
            .reward(Reward::linear(vec![1.0], 0.0).unwrap())
            .build()
            .unwrap();
        let invalid = Ddpm::new(&problem, DdpmParams { steps: 0, ..Default::default() }).err().unwrap();
        assert!(matches!(&invalid, PiFtError::Invalid { field, .. } if field.contains("steps")), "{invalid:?}");
        let model = || ModelError::invalid("grid", "[]", "an axis");
        assert_eq!(PiFtError::from(model()).to_string(), "grid = []: an axis");
        assert_eq!(ParametricError::from(model()).to_string(), "grid = []: an axis");
        assert_eq!(ParametricError::from(invalid.clone()), ParametricError::Chain(invalid.clone()));
        assert_eq!(ParametricError::from(invalid.clone()).to_string(), invalid.to_string());
        assert_eq!(ParametricError::invalid("paths", 1, "at least 2").to_string(), "paths = 1: at least 2");
    }
}
