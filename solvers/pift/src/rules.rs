//! Rules that turn the noise rate into the coefficients of the chain: a_k and sig_k^2.
//!
//! References: Ho, Jain, Abbeel, *Denoising diffusion probabilistic models* (arXiv:2006.11239); for the variance of a Gaussian law
//! Bao, Li, Zhu, Zhang, *Analytic-DPM* (arXiv:2201.06503).

use crate::error::PiFtError;
use serde::{Deserialize, Serialize};

/// How a_k follows from the noise rate b.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlphaRule {
    /// a_k = exp(-int_{t_k}^{t_{k+1}} b): the products of a_k are those of the continuous noising process.
    #[default]
    ExpIntegral,
    /// a_k = 1 - b(t_k) h; needs b(t_k) h < 1.
    Linear,
}

/// How sig_k^2 follows from a_k.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VarianceRule {
    /// sig_k^2 = 1 - a_k.
    #[default]
    OneMinusAlpha,
    /// sig_k^2 = (1 - a_k) / a_k.
    OverAlpha,
    /// sig_k^2 = (1 - a_k)(1 - abar_{k+1}) / (1 - abar_k) with abar_k = prod_{j >= k} a_j, the share of the data in Y_k: the
    /// variance of Y_{k+1} given Y_k *and the data point*. abar_N = 1, so the last step is deterministic and nothing can be
    /// controlled in it.
    Posterior,
    /// sig_k^2 = (1 - a_k) P_{k+1} / P_k with P_k = abar_k C + 1 - abar_k: the variance of Y_{k+1} given Y_k alone when the
    /// data have variance C in every direction. For N(mu, C I) and exact integrals of b the chain is then the exact reverse
    /// of the noising process at every N. C = 0 is `Posterior`, C = 1 is `OneMinusAlpha`.
    GaussianPosterior {
        /// C >= 0.
        data_variance: f64,
    },
}

/// sig_k^2 by the rule.
pub(crate) fn variances(rule: VarianceRule, alpha: &[f64]) -> Result<Vec<f64>, PiFtError> {
    let data_variance = match rule {
        VarianceRule::OneMinusAlpha => return Ok(alpha.iter().map(|a| 1.0 - a).collect()),
        VarianceRule::OverAlpha => return Ok(alpha.iter().map(|a| (1.0 - a) / a).collect()),
        VarianceRule::Posterior => 0.0,
        VarianceRule::GaussianPosterior { data_variance } => data_variance,
    };
    if !(data_variance >= 0.0 && data_variance.is_finite()) {
        return Err(PiFtError::invalid("variance.data_variance", data_variance, "finite and not negative"));
    }
    // From the data backwards: P_N = C, P_k = 1 - a_k (1 - P_{k+1}); this form keeps P_N = 0 exact for C = 0.
    let mut variance = vec![0.0; alpha.len()];
    let mut later = data_variance;
    for (v, &a) in variance.iter_mut().zip(alpha).rev() {
        let noisier = (1.0 - a) + a * later;
        *v = (1.0 - a) * later / noisier;
        later = noisier;
    }
    Ok(variance)
}
