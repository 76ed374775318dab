//! A multilayer perceptron with reverse mode, on blocks of points.
//!
//! x_{l+1} = act(A_l x_l + b_l), the last layer without activation; parameters layer after layer, A_l row after row, then b_l.

use super::lanes::{add_outer, add_product, add_transposed_product};
use hjbridge_model::lanes::exp_in_place;
use hjbridge_model::{PointBlock, Points};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// Activation of the hidden layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// tanh(z).
    Tanh,
    /// z / (1 + exp(-z)).
    #[default]
    Silu,
}

impl Activation {
    /// Write act(z) into `value` and act'(z) over `z`.
    fn apply(self, z: &mut [f64], value: &mut [f64]) {
        // value holds 1/(1 + exp(-c z)) for a moment
        let c = if self == Activation::Tanh { 2.0 } else { 1.0 };
        for (v, z) in value.iter_mut().zip(&*z) {
            *v = -c * z;
        }
        exp_in_place(value);
        for (v, z) in value.iter_mut().zip(z) {
            let logistic = 1.0 / (1.0 + *v);
            (*v, *z) = match self {
                Activation::Tanh => (2.0 * logistic - 1.0, 4.0 * logistic * (1.0 - logistic)),
                Activation::Silu => (*z * logistic, logistic * (1.0 + *z * (1.0 - logistic))),
            };
        }
    }
}

/// Shape of a multilayer perceptron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mlp {
    widths: Vec<usize>,
    activation: Activation,
}

/// What a forward pass leaves for the backward one.
pub(crate) struct Layers {
    /// x_0, ..., x_L.
    values: Vec<PointBlock>,
    /// act' of the hidden layers.
    slopes: Vec<PointBlock>,
}

impl Layers {
    pub(crate) fn output(&self) -> &PointBlock {
        &self.values[self.values.len() - 1]
    }
}

impl Mlp {
    /// With the given widths, input and output included: at least two, all positive.
    pub(crate) fn new(widths: Vec<usize>, activation: Activation) -> Self {
        Mlp { widths, activation }
    }

    fn layers(&self) -> usize {
        self.widths.len() - 1
    }

    /// Number of parameters; none when it overflows.
    pub(crate) fn parameters(&self) -> Option<usize> {
        let size = |w: &[usize]| w[0].checked_add(1).and_then(|n| n.checked_mul(w[1]));
        self.widths.windows(2).try_fold(0usize, |sum, w| size(w).and_then(|n| sum.checked_add(n)))
    }

    /// Whether it leads from so many inputs to so many outputs.
    pub(crate) fn is_between(&self, ends: (usize, usize)) -> bool {
        let w = &self.widths;
        w.len() >= 2 && (w[0], w[w.len() - 1]) == ends && !w.contains(&0)
    }

    /// (start of A_l, start of b_l, end).
    fn part(&self, layer: usize) -> (usize, usize, usize) {
        let size = |l: usize| (self.widths[l] + 1) * self.widths[l + 1];
        let start: usize = (0..layer).map(size).sum();
        let weights = self.widths[layer] * self.widths[layer + 1];
        (start, start + weights, start + size(layer))
    }

    /// Normal weights of variance 1/width, zero biases, a zero last layer.
    pub(crate) fn initial(&self, rng: &mut dyn Rng) -> Vec<f64> {
        let last = self.layers() - 1;
        let mut theta = vec![0.0; self.part(last).2];
        for l in 0..last {
            let (start, biases, _) = self.part(l);
            let scale = 1.0 / (self.widths[l] as f64).sqrt();
            for t in &mut theta[start..biases] {
                let z: f64 = StandardNormal.sample(&mut *rng);
                *t = scale * z;
            }
        }
        theta
    }

    /// All layers at the inputs `x`.
    pub(crate) fn forward(&self, theta: &[f64], x: PointBlock) -> Layers {
        let n = x.len();
        let (mut values, mut slopes) = (vec![x], Vec::new());
        for l in 0..self.layers() {
            let (start, biases, end) = self.part(l);
            let mut z = PointBlock::zeros(self.widths[l + 1], n);
            for (i, b) in theta[biases..end].iter().enumerate() {
                z.as_mut().coord_mut(i).fill(*b);
            }
            add_product(&theta[start..biases], values[l].as_points(), z.as_mut());
            if l + 1 < self.layers() {
                let mut value = PointBlock::zeros(self.widths[l + 1], n);
                self.activation.apply(z.data_mut(), value.data_mut());
                slopes.push(z);
                values.push(value);
            } else {
                values.push(z);
            }
        }
        Layers { values, slopes }
    }

    /// Add the gradient of sum_j p_j . out_j in theta, and return that in the inputs when asked for.
    pub(crate) fn backward(
        &self,
        theta: &[f64],
        layers: &Layers,
        p: Points<'_>,
        inputs: bool,
        mut gradient: Option<&mut [f64]>,
    ) -> Option<PointBlock> {
        let mut back: Option<PointBlock> = None;
        for l in (0..self.layers()).rev() {
            let (start, biases, end) = self.part(l);
            if let (Some(back), Some(slope)) = (back.as_mut(), layers.slopes.get(l)) {
                for (b, s) in back.data_mut().iter_mut().zip(slope.data()) {
                    *b *= s;
                }
            }
            let cotangent = back.as_ref().map_or(p, PointBlock::as_points);
            if let Some(gradient) = gradient.as_deref_mut() {
                add_outer(&mut gradient[start..biases], cotangent, layers.values[l].as_points());
                for (i, g) in gradient[biases..end].iter_mut().enumerate() {
                    *g += cotangent.coord(i).iter().sum::<f64>();
                }
            }
            if l > 0 || inputs {
                let mut before = PointBlock::zeros(self.widths[l], p.len());
                add_transposed_product(&theta[start..biases], cotangent, before.as_mut());
                back = Some(before);
            }
        }
        back.filter(|_| inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn reverse_mode_agrees_with_differences() {
        for activation in [Activation::Tanh, Activation::Silu] {
            for widths in [vec![3, 5, 4, 2], vec![3, 2]] {
                let net = Mlp::new(widths, activation);
                let mut theta = net.initial(&mut rand::rngs::ChaCha8Rng::seed_from_u64(2));
                theta.iter_mut().enumerate().for_each(|(i, t)| *t += 0.3 * (i as f64).sin());
                let wave = |dim: usize, s: f64| {
                    let mut b = PointBlock::zeros(dim, 4);
                    b.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = (s + i as f64).cos());
                    b
                };
                let (x, p) = (wave(3, 0.2), wave(2, 1.0));
                let form = |theta: &[f64], x: &PointBlock| {
                    let layers = net.forward(theta, x.clone());
                    layers.output().data().iter().zip(p.data()).map(|(a, b)| a * b).sum::<f64>()
                };
                let mut gradient = vec![0.0; theta.len()];
                let layers = net.forward(&theta, x.clone());
                let back = net.backward(&theta, &layers, p.as_points(), true, Some(&mut gradient)).unwrap();
                let h = 1e-6;
                for i in 0..theta.len() {
                    let (mut up, mut down) = (theta.clone(), theta.clone());
                    up[i] += h;
                    down[i] -= h;
                    assert!((gradient[i] - (form(&up, &x) - form(&down, &x)) / (2.0 * h)).abs() < 1e-8);
                }
                for i in 0..x.data().len() {
                    let (mut up, mut down) = (x.clone(), x.clone());
                    up.data_mut()[i] += h;
                    down.data_mut()[i] -= h;
                    assert!((back.data()[i] - (form(&theta, &up) - form(&theta, &down)) / (2.0 * h)).abs() < 1e-8);
                }
            }
        }
    }
}
