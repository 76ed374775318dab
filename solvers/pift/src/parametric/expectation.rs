//! E[grad V_{k+1}(m_k(y) + D + sig_k W)] at sampled states: the targets of the least-squares update.
//!
//! W by tensor Gauss-Hermite nodes (the default for d <= 2) or by antithetic pairs of samples, the same for all inner iterations
//! (common random numbers), other ones for every state, so that the regression averages over them. Pairs are exact wherever
//! grad V_{k+1} is affine.

use super::ParametricError;
use super::chain::SampledChain;
use super::linear::LinearPolicy;
use super::noise::{Noise, Purpose};
use super::policy::{Policy, StateAt};
use hjbridge_model::PointBlock;
use hjbridge_model::quadrature::standard_normal_rule;
use serde::{Deserialize, Serialize};

/// How the expectation over W is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExpectationRule {
    /// Gauss-Hermite with 6 nodes per axis for d <= 2, two samples beyond.
    #[default]
    Auto,
    /// The tensor rule.
    GaussHermite {
        /// Per axis.
        nodes: usize,
    },
    /// Antithetic pairs.
    Sampling {
        /// Samples at each state, an even number.
        draws: usize,
    },
}

/// What stands for grad V_{k+1}.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradientRule {
    /// (Dm_{k+1})' g_{k+1}, by the envelope theorem: exact at the optimum, the error of the projection is handed down.
    #[default]
    Envelope,
    /// The adjoint along one continuation of the path under the policy: unbiased for the gradient of the policy's own value, but
    /// noisier, and each step simulates all later ones.
    Pathwise,
}

pub(crate) enum Rule {
    Nodes { nodes: PointBlock, weights: Vec<f64> },
    Samples { draws: usize, noise: Noise },
}

impl Rule {
    pub(crate) fn new(expectation: ExpectationRule, dim: usize, seed: u64) -> Result<Self, ParametricError> {
        let expectation = match expectation {
            ExpectationRule::Auto if dim <= 2 => ExpectationRule::GaussHermite { nodes: 6 },
            ExpectationRule::Auto => ExpectationRule::Sampling { draws: 2 },
            other => other,
        };
        match expectation {
            ExpectationRule::Sampling { draws } => {
                if draws == 0 || !draws.is_multiple_of(2) {
                    let allowed = "an even number of at least 2 (antithetic pairs)";
                    return Err(ParametricError::invalid("expectation.draws", draws, allowed));
                }
                Ok(Rule::Samples { draws, noise: Noise::new(seed, Purpose::Expectation, 0) })
            }
            ExpectationRule::GaussHermite { .. } | ExpectationRule::Auto => {
                let per_axis = if let ExpectationRule::GaussHermite { nodes } = expectation { nodes } else { 6 };
                let (nodes, mut weights) = standard_normal_rule(per_axis, dim)?;
                if nodes.len() > 4096 {
                    let allowed = format!("at most 4096 points in all; here {}: use sampling", nodes.len());
                    return Err(ParametricError::invalid("expectation.nodes", per_axis, allowed));
                }
                let total: f64 = weights.iter().sum();
                weights.iter_mut().for_each(|w| *w /= total);
                Ok(Rule::Nodes { nodes, weights })
            }
        }
    }

    /// Points per state.
    fn len(&self) -> usize {
        match self {
            Rule::Nodes { weights, .. } => weights.len(),
            Rule::Samples { draws, .. } => *draws,
        }
    }

    /// Points z = c + sig W around each of the states' centres c, `states * len` of them.
    fn around(&self, k: usize, first: u64, centers: &PointBlock, sigma: f64) -> PointBlock {
        let (d, n, q) = (centers.dim(), centers.len(), self.len());
        let mut z = PointBlock::zeros(d, n * q);
        match self {
            Rule::Nodes { nodes, .. } => {
                for i in 0..d {
                    for chunk in z.as_mut().coord_mut(i).chunks_exact_mut(q) {
                        chunk.copy_from_slice(nodes.coord(i));
                    }
                }
            }
            Rule::Samples { noise, .. } => noise.normals(first * q as u64, k, z.as_mut()),
        }
        for i in 0..d {
            for (chunk, c) in z.as_mut().coord_mut(i).chunks_exact_mut(q).zip(centers.coord(i)) {
                chunk.iter_mut().for_each(|z| *z = c + sigma * *z);
            }
        }
        z
    }

    /// Averages over the points of each state.
    fn average(&self, values: &PointBlock, states: usize) -> PointBlock {
        let q = self.len();
        let mut out = PointBlock::zeros(values.dim(), states);
        for i in 0..values.dim() {
            for (o, chunk) in out.as_mut().coord_mut(i).iter_mut().zip(values.coord(i).chunks_exact(q)) {
                *o = match self {
                    Rule::Nodes { weights, .. } => chunk.iter().zip(weights).map(|(v, w)| v * w).sum(),
                    Rule::Samples { .. } => chunk.iter().sum::<f64>() / q as f64,
                };
            }
        }
        out
    }
}

/// Everything the targets of step k need but the states.
pub(crate) struct Target<'a> {
    pub chain: &'a SampledChain<'a>,
    pub policy: &'a LinearPolicy,
    pub rule: &'a Rule,
    pub gradient: GradientRule,
    pub continuation: &'a Noise,
    pub k: usize,
}

impl Target<'_> {
    /// E grad V_{k+1}(c + sig W) at the centres c of the states `first ..`.
    pub(crate) fn at(&self, first: u64, centers: &PointBlock) -> PointBlock {
        let z = self.rule.around(self.k, first, centers, self.chain.step(self.k).sigma);
        let states = centers.len();
        let values = self.gradient(first * self.rule.len() as u64, z);
        self.rule.average(&values, states)
    }

    fn gradient(&self, first: u64, z: PointBlock) -> PointBlock {
        let (next, d, n) = (self.k + 1, z.dim(), z.len());
        if next == self.chain.steps() {
            let mut out = PointBlock::zeros(d, n);
            self.chain.reward_gradient(z.as_points(), out.as_mut());
            return out;
        }
        match self.gradient {
            GradientRule::Envelope => {
                let (mut score, mut g) = (PointBlock::zeros(d, n), PointBlock::zeros(d, n));
                self.chain.step(next).score(z.as_points(), score.as_mut());
                let at = StateAt { step: next, y: z.as_points(), score: score.as_points() };
                self.policy.costate(at, g.as_mut());
                self.chain.mean_vjp(at, g.as_points(), None)
            }
            GradientRule::Pathwise => {
                let paths = self.chain.simulate(self.policy, self.continuation, next, first, z);
                self.chain.adjoint(self.policy, &paths, false, None, &mut |_, _| ())
            }
        }
    }
}
