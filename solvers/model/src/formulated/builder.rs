//! A controlled diffusion from formulas, put together part by part.

use super::diffusion::{CostFormula, DiffusionFormulas, FormulaDiffusion};
use super::matrix::MatrixFormula;
use crate::diffusion::ControlSet;
use crate::error::ModelError;

/// Builds a [`FormulaDiffusion`]; made by [`FormulaDiffusion::builder`].
///
/// The formulas are in t, x0, x1, ... and the parameters. Defaults: the control enters every coordinate (G = I), is free and
/// costs |v|^2/2; the noise is that of a Brownian motion (sigma = I); no rewards, no discount; T = 1.
///
/// ```
/// use hjbridge_model::{ControlledDiffusion, FormulaDiffusion};
/// let double_well = FormulaDiffusion::builder(["-4*kappa*x0*(x0**2 - 1)"])
///     .parameter("kappa", 5.0)
///     .terminal("3*(x0**2 - 1)**2")
///     .build()?;
/// assert_eq!((double_well.dim(), double_well.control_dim(), double_well.horizon()), (1, 1, 1.0));
/// # Ok::<(), hjbridge_model::ModelError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct FormulaDiffusionBuilder {
    formulas: DiffusionFormulas,
}

impl FormulaDiffusion {
    /// A [`FormulaDiffusionBuilder`] with the drift f, one formula for each coordinate.
    pub fn builder<S: Into<String>>(drift: impl IntoIterator<Item = S>) -> FormulaDiffusionBuilder {
        let drift = drift.into_iter().map(Into::into).collect();
        let formulas = DiffusionFormulas { drift, controls: Some(ControlSet::Free), horizon: 1.0, ..Default::default() };
        FormulaDiffusionBuilder { formulas }
    }
}

impl FormulaDiffusionBuilder {
    /// A number with a name that formulas may use.
    pub fn parameter(mut self, name: impl Into<String>, value: f64) -> Self {
        self.formulas.parameters.push((name.into(), value));
        self
    }

    /// G, d x m: a formula (times the identity) or rows of formulas.
    pub fn control_matrix(mut self, g: impl Into<MatrixFormula>) -> Self {
        self.formulas.control_matrix = g.into();
        self
    }

    /// sigma, d x q: a formula (times the identity) or rows of formulas.
    pub fn diffusion(mut self, sigma: impl Into<MatrixFormula>) -> Self {
        self.formulas.diffusion = sigma.into();
        self
    }

    /// l, the running reward (cost, when minimised).
    pub fn running(mut self, l: impl Into<String>) -> Self {
        self.formulas.running = Some(l.into());
        self
    }

    /// g, the terminal reward (cost, when minimised).
    pub fn terminal(mut self, g: impl Into<String>) -> Self {
        self.formulas.terminal = Some(g.into());
        self
    }

    /// R of the control's cost v'Rv/2.
    pub fn control_weight(mut self, r: impl Into<MatrixFormula>) -> Self {
        self.formulas.cost = CostFormula::Quadratic(r.into());
        self
    }

    /// The control's cost as a formula in t, x and u0, u1, ...; the set of controls must be bounded.
    pub fn control_cost(mut self, c: impl Into<String>) -> Self {
        self.formulas.cost = CostFormula::General(c.into());
        self
    }

    /// The controls allowed.
    pub fn controls(mut self, set: ControlSet) -> Self {
        self.formulas.controls = Some(set);
        self
    }

    /// No control at all.
    pub fn uncontrolled(mut self) -> Self {
        self.formulas.controls = None;
        self
    }

    /// T.
    pub fn horizon(mut self, horizon: f64) -> Self {
        self.formulas.horizon = horizon;
        self
    }

    /// rho.
    pub fn discount(mut self, discount: f64) -> Self {
        self.formulas.discount = discount;
        self
    }

    /// Compile the formulas.
    ///
    /// # Errors
    /// Those of [`FormulaDiffusion::new`].
    pub fn build(self) -> Result<FormulaDiffusion, ModelError> {
        FormulaDiffusion::new(&self.formulas)
    }
}

impl From<&str> for MatrixFormula {
    fn from(text: &str) -> Self {
        MatrixFormula::Multiple(text.into())
    }
}

impl From<f64> for MatrixFormula {
    fn from(multiple: f64) -> Self {
        MatrixFormula::Multiple(multiple.to_string())
    }
}

impl<const ROWS: usize, const COLUMNS: usize> From<[[&str; COLUMNS]; ROWS]> for MatrixFormula {
    fn from(rows: [[&str; COLUMNS]; ROWS]) -> Self {
        MatrixFormula::Rows(rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{ControlCost, ControlledDiffusion};

    #[test]
    fn every_part_arrives() {
        let built = FormulaDiffusion::builder(["x1", "-a*x0"])
            .parameter("a", 2.0)
            .control_matrix([["0"], ["1"]])
            .diffusion([["0"], ["0.5"]])
            .running("-x0**2")
            .terminal("x1")
            .control_weight(3.0)
            .controls(ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] })
            .horizon(2.0)
            .discount(0.1);
        let expected = DiffusionFormulas {
            parameters: vec![("a".into(), 2.0)],
            drift: vec!["x1".into(), "-a*x0".into()],
            control_matrix: MatrixFormula::Rows(vec![vec!["0".into()], vec!["1".into()]]),
            diffusion: MatrixFormula::Rows(vec![vec!["0".into()], vec!["0.5".into()]]),
            running: Some("-x0**2".into()),
            cost: CostFormula::Quadratic(MatrixFormula::Multiple("3".into())),
            controls: Some(ControlSet::Box { lower: vec![-1.0], upper: vec![1.0] }),
            terminal: Some("x1".into()),
            horizon: 2.0,
            discount: 0.1,
        };
        assert_eq!(built.formulas, expected);
        let model = built.control_cost("abs(u0)").build().unwrap();
        assert_eq!((model.control_dim(), model.noise_dim(), model.control_cost()), (1, 1, ControlCost::General));
        assert_eq!(FormulaDiffusion::builder(["0"]).uncontrolled().build().unwrap().control_dim(), 0);
        let message = FormulaDiffusion::builder(["y"]).build().err().unwrap().to_string();
        assert!(message.contains("drift[0]"), "{message}");
    }
}
