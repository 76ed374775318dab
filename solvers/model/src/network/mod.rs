//! Trained networks as pre-trained scores.
//!
//! A network sees the noised state y and the noise level, and predicts the noise, the data point or the score. With tau = T - t
//! the forward time, e = exp(-int_0^tau b / 2), h the width of the kernel with which the data were smoothed in training (0: none)
//! and sigma^2 = 1 - e^2 + e^2 h^2, the state was y = e x + sigma z, and
//!
//! ```text
//!   noise:  s = -z(y) / sigma          x0:  s = (e x(y) - y) / sigma^2          score:  s = s(y).
//! ```
//!
//! At tau -> 0 without a kernel sigma vanishes: the file then has a time tau_min, and for tau < tau_min the score at tau_min is
//! used.
//!
//! # Safetensors files
//!
//! A multilayer perceptron: a safetensors file with tensors in F32 or F64 (the arithmetic is in f64) and text metadata:
//!
//! | metadata | meaning |
//! |---|---|
//! | `format` | `hjbridge-network-1` |
//! | `dimension` | d |
//! | `layers` | L, hidden layers and the last |
//! | `activation` | `silu`, `tanh`, `relu` or `gelu` (with the error function), between the layers |
//! | `inputs` | `y,log_snr` (log(e^2 / sigma^2)), `y,sigma`, `y,tau` or `y,t` (generation time T - tau) |
//! | `embedding` | `plain`: the level itself; `fourier`: sin(f_1 z), ..., sin(f_K z), cos(f_1 z), ..., cos(f_K z) of the level z |
//! | `predicts` | `noise`, `score` or `x0` |
//! | `bandwidth` | h, default 0 |
//! | `tau_min` | default 0; positive when h = 0, unless the network predicts the score from `y,sigma`, `y,tau` or `y,t` |
//! | `horizon`, `noise` | T and int_0^T b of the training; needed with `y,tau` and `y,t`, which know no other schedule |
//!
//! | tensor | shape |
//! |---|---|
//! | `layers.0.weight`, ..., `layers.0.bias`, ... | outputs x inputs; outputs. Inputs of the first layer: y, then the embedded level |
//! | `embedding.frequencies` | K, with `fourier` |
//! | `center`, `scale` | d; data = center + scale * y at tau = 0 (default 0 and 1) |
//!
//! `inputs`, `predicts`, `bandwidth` and `tau_min` may be left out of the file and given as [`NetworkParams`].
//!
//! # ONNX files
//!
//! With the feature `onnx`, evaluated by the crate tract **in 32-bit floats**. One input of shape batch x (d + 1), the level last, or
//! two: batch x d, and the level as a number or a tensor of shape 1, batch, 1 x 1 or batch x 1. One output, batch x d. The length
//! of the batch may be fixed or free; all tensors are float32. Weights must be in the file or next to it.
//!
//! The file's metadata may have `inputs`, `predicts`, `bandwidth`, `tau_min`, `horizon` and `noise` as above, and `center` and
//! `scale` as numbers separated by commas. What is absent and not in [`NetworkParams`] either has the default above; with `y,tau`
//! and `y,t` the schedule is compared with that of the training only where the file has `horizon` and `noise`, and the data's
//! standardisation only where it has `center` and `scale`.
//!
//! The score at a point depends on that point alone, bit for bit, not on the block or thread in which it is evaluated; tract chooses
//! its kernels (fused multiply-add among them) by processor, so that other processors differ by rounding. J v and J'p, which
//! training through the chain needs, are differences: tract has no derivatives. J'p takes 2d evaluations for each point, with an
//! error of about 4e-4 relative; a network to be differentiated much is better given as safetensors.

mod file;
mod metadata;
#[cfg(feature = "onnx")]
mod onnx;
mod perceptron;
mod score;

pub use perceptron::Activation;
pub use score::{NetworkScore, NetworkSlice};

use crate::error::ModelError;
use metadata::Convention;
use perceptron::Perceptron;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a network predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// z.
    Noise,
    /// s.
    Score,
    /// x.
    X0,
}

/// How a network is told the noise level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LevelInput {
    /// log(e^2 / sigma^2).
    #[serde(rename = "y,log_snr")]
    LogSnr,
    /// sigma.
    #[serde(rename = "y,sigma")]
    Sigma,
    /// Forward time.
    #[serde(rename = "y,tau")]
    Tau,
    /// Generation time.
    #[serde(rename = "y,t")]
    T,
}

/// What is said about a network besides its file, where the file is silent.
#[derive(Clone, Copy, Debug, Default)]
pub struct NetworkParams {
    /// What it predicts.
    pub predicts: Option<Prediction>,
    /// How it is told the noise level.
    pub inputs: Option<LevelInput>,
    /// h.
    pub bandwidth: Option<f64>,
    /// The forward time below which the score stays what it is there.
    pub tau_min: Option<f64>,
}

/// A trained network, as its file describes it.
#[derive(Clone, Debug)]
pub struct Network {
    dim: usize,
    body: Body,
    convention: Convention,
    standardization: Option<(Vec<f64>, Vec<f64>)>,
}

/// What evaluates it.
#[derive(Clone, Debug)]
enum Body {
    Perceptron(Perceptron),
    #[cfg(feature = "onnx")]
    Onnx(std::sync::Arc<onnx::Graph>),
}

impl Network {
    /// Read a file: ONNX where its name ends in `.onnx`, safetensors otherwise.
    ///
    /// # Errors
    /// A file that cannot be read; an ONNX file without the feature `onnx`; all of [`Network::from_bytes`] and
    /// of `Network::from_onnx`, which that feature has.
    pub fn read(path: &Path, params: &NetworkParams) -> Result<Self, ModelError> {
        let bytes =
            std::fs::read(path).map_err(|e| ModelError::invalid("file", path.display(), format!("cannot be read: {e}")))?;
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx")) {
            return Network::from_bytes(&bytes, params);
        }
        #[cfg(feature = "onnx")]
        return Network::from_onnx(&bytes, path.parent(), params);
        #[cfg(not(feature = "onnx"))]
        Err(ModelError::invalid("file", path.display(), "this build does not read ONNX files: build with `--features onnx`"))
    }

    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// Bytes in another format; metadata that are missing (and not in `params`) or not allowed, by name; a tensor that is
    /// missing, of another type or shape, or with a number that is not finite, by name.
    pub fn from_bytes(bytes: &[u8], params: &NetworkParams) -> Result<Self, ModelError> {
        file::load(bytes, params)
    }

    /// From the bytes of an ONNX file; tensors kept in files of their own are looked for in `directory`.
    ///
    /// # Errors
    /// Bytes in another format; metadata that are missing (and not in `params`) or not allowed, by name; an operator that is not
    /// supported, with its node; an input, output or weight of another type or shape, or with a number that is not finite, by
    /// name.
    #[cfg(feature = "onnx")]
    pub fn from_onnx(bytes: &[u8], directory: Option<&Path>, params: &NetworkParams) -> Result<Self, ModelError> {
        onnx::load(bytes, directory, params)
    }

    /// Check that `params` say nothing else than the file.
    ///
    /// # Errors
    /// The first that does, by its name.
    pub fn check(&self, params: &NetworkParams) -> Result<(), ModelError> {
        self.convention.check(params)
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// What it predicts.
    pub fn predicts(&self) -> Prediction {
        self.convention.predicts
    }

    /// How it is told the noise level.
    pub fn level_input(&self) -> LevelInput {
        self.convention.input
    }

    /// h, the width of the kernel in training.
    pub fn bandwidth(&self) -> f64 {
        self.convention.bandwidth
    }

    /// The forward time below which the score stays what it is there.
    pub fn tau_min(&self) -> f64 {
        self.convention.tau_min
    }

    /// Centre and scale of the data: data = center + scale * model. None when the file does not say.
    pub fn standardization(&self) -> Option<(&[f64], &[f64])> {
        self.standardization.as_ref().map(|(center, scale)| (&center[..], &scale[..]))
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        match &self.body {
            Body::Perceptron(p) => p.parameters(),
            #[cfg(feature = "onnx")]
            Body::Onnx(graph) => graph.parameters(),
        }
    }
}
