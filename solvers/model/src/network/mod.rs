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
//! # The file
//!
//! A safetensors file with tensors in F32 or F64 (the arithmetic is in f64) and text metadata:
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

mod file;
mod perceptron;
mod score;

pub use perceptron::Activation;
pub use score::{NetworkScore, NetworkSlice};

use crate::error::ModelError;
use perceptron::Layer;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LevelInput {
    /// log(e^2 / sigma^2).
    LogSnr,
    /// sigma.
    Sigma,
    /// Forward time.
    Tau,
    /// Generation time.
    T,
}

/// A trained network, as its file describes it.
#[derive(Clone, Debug)]
pub struct Network {
    dim: usize,
    /// The first one has the state's columns only.
    layers: Vec<Layer>,
    /// The columns of the first layer that see the embedded level, row after row.
    level_weights: Vec<f64>,
    frequencies: Option<Vec<f64>>,
    activation: Activation,
    input: LevelInput,
    predicts: Prediction,
    bandwidth: f64,
    tau_min: f64,
    /// T and int_0^T b of the training.
    trained_on: Option<(f64, f64)>,
    center: Vec<f64>,
    scale: Vec<f64>,
}

impl Network {
    /// Read a safetensors file.
    ///
    /// # Errors
    /// A file that cannot be read, and all of [`Network::from_bytes`].
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let bytes =
            std::fs::read(path).map_err(|e| ModelError::invalid("file", path.display(), format!("cannot be read: {e}")))?;
        Network::from_bytes(&bytes)
    }

    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// Bytes in another format; metadata that are missing or not allowed, by name; a tensor that is missing, of another type or
    /// shape, or with a number that is not finite, by name.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        file::load(bytes)
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// What it predicts.
    pub fn predicts(&self) -> Prediction {
        self.predicts
    }

    /// How it is told the noise level.
    pub fn level_input(&self) -> LevelInput {
        self.input
    }

    /// h, the width of the kernel in training.
    pub fn bandwidth(&self) -> f64 {
        self.bandwidth
    }

    /// The forward time below which the score stays what it is there.
    pub fn tau_min(&self) -> f64 {
        self.tau_min
    }

    /// Centre and scale of the data: data = center + scale * model.
    pub fn standardization(&self) -> (&[f64], &[f64]) {
        (&self.center, &self.scale)
    }

    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.level_weights.len() + self.layers.iter().map(Layer::parameters).sum::<usize>()
    }
}
