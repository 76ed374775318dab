//! A small multilayer perceptron as policy: g_k(y) = net(x, t_k), one set of parameters for all steps.
//!
//! Inputs are the standardised state (and score), tau = 2 t/T - 1 and pairs sin, cos(pi j t/T), j = 1..3; the last layer starts at
//! zero, so that training starts at the pre-trained model. Derivatives by reverse mode.

use super::ParametricError;
use super::chain::SampledChain;
use super::mlp::{Activation, Mlp};
use super::noise::{Noise, Purpose};
use super::policy::{Adjoint, Policy, PolicyInput, Standardisation, StateAt, check_part, check_size};
use hjbridge_model::{PointBlock, Points, PointsMut};
use serde::{Deserialize, Serialize};

/// Pairs of sines and cosines of time.
const WAVES: usize = 3;

/// Shape of the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkParams {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    pub activation: Activation,
    /// What the network sees besides time.
    pub input: PolicyInput,
    /// Paths of the pre-trained chain from which the scales of the inputs are taken.
    pub sample: usize,
    /// Seed of these paths and of the initial weights.
    pub seed: u64,
}

impl Default for NetworkParams {
    fn default() -> Self {
        NetworkParams { hidden: vec![32, 32], activation: Activation::Silu, input: PolicyInput::State, sample: 1024, seed: 1 }
    }
}

/// A multilayer perceptron of (y, t).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    dim: usize,
    scale: Standardisation,
    /// t_k / T.
    times: Vec<f64>,
    net: Mlp,
    theta: Vec<f64>,
}

impl NetworkPolicy {
    /// A network whose output is zero, so that the policy is the pre-trained model.
    ///
    /// # Errors
    /// `Invalid` for a hidden layer of width zero or a sample out of range, `NonFinite` from the chain.
    pub fn new(chain: &SampledChain<'_>, params: &NetworkParams) -> Result<Self, ParametricError> {
        let dim = chain.dim();
        if params.hidden.contains(&0) {
            return Err(ParametricError::invalid("network.hidden", format!("{:?}", params.hidden), "positive widths"));
        }
        let sample = chain.pretrained_states(params.sample, params.seed)?;
        let scale = Standardisation::new(params.input, dim, &sample);
        let mut widths = vec![scale.inputs() + 1 + 2 * WAVES];
        widths.extend(&params.hidden);
        widths.push(dim);
        let net = Mlp::new(widths, params.activation);
        check_size(net.parameters(), "network.hidden", format!("{:?}", params.hidden))?;
        let theta = net.initial(&mut Noise::new(params.seed, Purpose::Features, 1).generator(0));
        let ddpm = chain.ddpm();
        let times = (0..ddpm.steps()).map(|k| ddpm.times()[k] / ddpm.horizon()).collect();
        Ok(NetworkPolicy { dim, scale, times, net, theta })
    }

    /// Widths of the first and last layer.
    fn ends(&self) -> (usize, usize) {
        (self.scale.inputs() + 1 + 2 * WAVES, self.dim)
    }

    fn inputs(&self, at: StateAt<'_>) -> PointBlock {
        let d = self.scale.inputs();
        let mut x = PointBlock::zeros(d + 1 + 2 * WAVES, at.y.len());
        self.scale.apply(at, &mut x.as_mut());
        let t = self.times[at.step];
        x.as_mut().coord_mut(d).fill(2.0 * t - 1.0);
        for j in 0..WAVES {
            let angle = std::f64::consts::PI * (j + 1) as f64 * t;
            x.as_mut().coord_mut(d + 1 + 2 * j).fill(libm::sin(angle));
            x.as_mut().coord_mut(d + 2 + 2 * j).fill(libm::cos(angle));
        }
        x
    }
}

impl Policy for NetworkPolicy {
    fn dim(&self) -> usize {
        self.dim
    }

    fn steps(&self) -> usize {
        self.times.len()
    }

    fn check(&self) -> Result<(), ParametricError> {
        check_part(self.scale.is_sound(self.dim, self.times.len()), "policy.scale", self.times.len())?;
        check_part(self.net.is_between(self.ends()), "policy.net", self.theta.len())?;
        check_part(self.net.parameters() == Some(self.theta.len()), "policy.theta", self.theta.len())
    }

    fn costate(&self, at: StateAt<'_>, mut out: PointsMut<'_>) {
        let layers = self.net.forward(&self.theta, self.inputs(at));
        for i in 0..self.dim {
            out.coord_mut(i).copy_from_slice(layers.output().coord(i));
        }
    }

    fn parameters(&self) -> &[f64] {
        &self.theta
    }

    fn parameters_mut(&mut self) -> &mut [f64] {
        &mut self.theta
    }

    fn backward(&self, at: StateAt<'_>, p: Points<'_>, adjoint: Option<Adjoint<'_>>, gradient: Option<&mut [f64]>) {
        let layers = self.net.forward(&self.theta, self.inputs(at));
        let back = self.net.backward(&self.theta, &layers, p, adjoint.is_some(), gradient);
        if let (Some(mut adjoint), Some(back)) = (adjoint, back) {
            self.scale.back(at.step, back.as_points(), &mut adjoint);
        }
    }
}
