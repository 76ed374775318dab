//! Policies linear in their parameters: g_k(y) = Theta_k phi_k(x), x the standardised input, Theta_k a d x F matrix.

use super::ParametricError;
use super::chain::SampledChain;
use super::features::{Basis, FeatureSpec, Polynomial, RadialBasis, RandomFourier};
use super::lanes::{add_outer, add_product, add_transposed_product};
use super::noise::{Noise, Purpose};
use super::objective::check_table;
use super::policy::{Adjoint, Policy, PolicyInput, Standardisation, StateAt, check_part, check_size, fit_change};
use super::regression::Design;
use hjbridge_model::{PointBlock, Points, PointsMut};
use serde::{Deserialize, Serialize};

/// How a policy's inputs are scaled and its features placed: by states of the pre-trained chain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearParams {
    /// The features.
    pub features: FeatureSpec,
    /// What they are functions of.
    pub input: PolicyInput,
    /// Paths of the pre-trained chain from which scales and centres are taken.
    pub sample: usize,
    /// Seed of these paths and of random features.
    pub seed: u64,
}

impl Default for LinearParams {
    fn default() -> Self {
        LinearParams { features: FeatureSpec::default(), input: PolicyInput::default(), sample: 1024, seed: 1 }
    }
}

/// A policy linear in its parameters; zero (the pre-trained model) when new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearPolicy {
    dim: usize,
    steps: usize,
    scale: Standardisation,
    /// One for all steps, or one for each.
    basis: Vec<Basis>,
    /// Step after step, row after row.
    theta: Vec<f64>,
}

impl LinearPolicy {
    /// The zero policy with features placed by the pre-trained chain.
    ///
    /// # Errors
    /// `Invalid` for features or a sample out of range, `NonFinite` from the chain.
    pub fn new(chain: &SampledChain<'_>, params: LinearParams) -> Result<Self, ParametricError> {
        let (dim, steps) = (chain.dim(), chain.steps());
        let sample = chain.pretrained_states(params.sample, params.seed)?;
        let scale = Standardisation::new(params.input, dim, &sample);
        let inputs = scale.inputs();
        let basis = match params.features {
            FeatureSpec::Polynomial { degree } => vec![Basis::Polynomial(Polynomial::new(inputs, degree)?)],
            FeatureSpec::RandomFourier { count, length_scale } => {
                let mut rng = Noise::new(params.seed, Purpose::Features, 0).generator(0);
                vec![Basis::RandomFourier(RandomFourier::new(inputs, count, length_scale, &mut rng)?)]
            }
            FeatureSpec::RadialBasis { centers, width } => sample
                .iter()
                .enumerate()
                .map(|(k, (y, s))| {
                    let mut x = PointBlock::zeros(inputs, y.len());
                    scale.apply(StateAt { step: k, y: y.as_points(), score: s.as_points() }, &mut x.as_mut());
                    Ok(Basis::RadialBasis(RadialBasis::from_sample(x.as_points(), centers, width)?))
                })
                .collect::<Result<_, ParametricError>>()?,
        };
        let features = basis[0].features().len();
        let size = steps.checked_mul(dim).and_then(|n| n.checked_mul(features));
        check_size(size, "features", features)?;
        Ok(LinearPolicy { dim, steps, scale, basis, theta: vec![0.0; steps * dim * features] })
    }

    /// F.
    pub fn features(&self) -> usize {
        self.basis[0].features().len()
    }

    /// Theta_k, row after row.
    pub fn theta(&self, step: usize) -> &[f64] {
        &self.theta[self.range(step)]
    }

    /// Theta_k, to be changed.
    pub fn theta_mut(&mut self, step: usize) -> &mut [f64] {
        let range = self.range(step);
        &mut self.theta[range]
    }

    fn range(&self, step: usize) -> std::ops::Range<usize> {
        let size = self.dim * self.features();
        step * size..(step + 1) * size
    }

    fn basis(&self, step: usize) -> &Basis {
        &self.basis[step.min(self.basis.len() - 1)]
    }

    fn inputs(&self, at: StateAt<'_>) -> PointBlock {
        let mut x = PointBlock::zeros(self.scale.inputs(), at.y.len());
        self.scale.apply(at, &mut x.as_mut());
        x
    }

    /// Write phi_k (F coordinates).
    pub fn features_at(&self, at: StateAt<'_>, out: PointsMut<'_>) {
        self.basis(at.step).features().eval(self.inputs(at).as_points(), out);
    }

    /// g_k from features already there.
    pub(crate) fn costate_of(&self, step: usize, phi: Points<'_>, mut out: PointsMut<'_>) {
        out.fill(0.0);
        add_product(self.theta(step), phi, out);
    }
}

impl Policy for LinearPolicy {
    fn dim(&self) -> usize {
        self.dim
    }

    fn steps(&self) -> usize {
        self.steps
    }

    fn check(&self) -> Result<(), ParametricError> {
        check_part(self.scale.is_sound(self.dim, self.steps), "policy.scale", self.steps)?;
        let inputs = self.scale.inputs();
        let sound = |b: &Basis| b.is_sound() && b.features().dim() == inputs && b.features().len() == self.features();
        let count = self.basis.len() == 1 || (self.basis.len() == self.steps && self.steps > 0);
        check_part(count && self.basis.iter().all(sound), "policy.basis", self.basis.len())?;
        let size = self.steps.checked_mul(self.dim).and_then(|n| n.checked_mul(self.features()));
        check_part(size == Some(self.theta.len()), "policy.theta", self.theta.len())
    }

    fn costate(&self, at: StateAt<'_>, mut out: PointsMut<'_>) {
        let theta = self.theta(at.step);
        if theta.iter().all(|t| *t == 0.0) {
            return out.fill(0.0);
        }
        let mut phi = PointBlock::zeros(self.features(), at.y.len());
        self.features_at(at, phi.as_mut());
        self.costate_of(at.step, phi.as_points(), out);
    }

    fn parameters(&self) -> &[f64] {
        &self.theta
    }

    fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.theta
    }

    fn backward(&self, at: StateAt<'_>, p: Points<'_>, adjoint: Option<Adjoint<'_>>, gradient: Option<&mut [f64]>) {
        let x = self.inputs(at);
        let features = self.basis(at.step).features();
        if let Some(gradient) = gradient {
            let mut phi = PointBlock::zeros(self.features(), at.y.len());
            features.eval(x.as_points(), phi.as_mut());
            add_outer(&mut gradient[self.range(at.step)], p, phi.as_points());
        }
        let theta = self.theta(at.step);
        if let Some(mut adjoint) = adjoint
            && theta.iter().any(|t| *t != 0.0)
        {
            let mut w = PointBlock::zeros(self.features(), at.y.len());
            add_transposed_product(theta, p, w.as_mut());
            let mut back = PointBlock::zeros(self.scale.inputs(), at.y.len());
            features.add_jacobian_transpose(x.as_points(), w.as_points(), back.as_mut());
            self.scale.back(at.step, back.as_points(), &mut adjoint);
        }
    }

    fn fit(
        &self,
        at: StateAt<'_>,
        targets: &PointBlock,
        ridge: f64,
        direction: &mut [f64],
    ) -> Option<Result<(), ParametricError>> {
        if let Err(e) = check_table("paths", at.y.len(), self.features()) {
            return Some(Err(e));
        }
        let mut phi = PointBlock::zeros(self.features(), at.y.len());
        self.features_at(at, phi.as_mut());
        Some(Design::new(at.step, &phi, ridge).map(|design| {
            fit_change(&design, targets, self.theta(at.step), &mut direction[self.range(at.step)]);
        }))
    }
}
