//! A multilayer perceptron with its derivatives, on blocks of 64 points, compiled for each instruction set.
//!
//! x_{l+1} = act(A_l x_l + b_l), the last layer without activation. Loops over points are innermost, sums run over the inputs in
//! order: the bits depend neither on the instruction set nor on how points are cut into blocks.

use crate::dispatch::{Kernel, dispatch};
use crate::lanes::exp;
use crate::points::{Points, PointsMut};
use serde::Serialize;

/// Points evaluated together.
pub(super) const LANES: usize = 64;

/// Points whose sums are kept in registers: with [`ROWS`] the block that compilers keep there for every instruction set. Twice either
/// number runs ten times slower with AVX-512 (benches/README.md, section "network").
const WIDTH: usize = 8;

/// Sums kept in registers for each of them.
const ROWS: usize = 4;

/// A number for each point of a block.
pub(super) type Lane = [f64; LANES];

/// Function between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// z / (1 + exp(-z)).
    Silu,
    /// tanh(z).
    Tanh,
    /// max(z, 0).
    Relu,
    /// z Phi(z), Phi the normal distribution function.
    Gelu,
}

impl Activation {
    /// Replace z by act(z); where `slope` is given, write act'(z) there.
    #[inline(always)]
    fn apply(self, z: &mut Lane, slope: Option<&mut Lane>) {
        let mut unused = [0.0; LANES];
        let slope = slope.unwrap_or(&mut unused);
        match self {
            Activation::Silu => {
                for (z, d) in z.iter_mut().zip(slope) {
                    let logistic = 1.0 / (1.0 + exp(-*z));
                    *d = logistic * (1.0 + *z * (1.0 - logistic));
                    *z *= logistic;
                }
            }
            Activation::Tanh => {
                for (z, d) in z.iter_mut().zip(slope) {
                    *z = 2.0 / (1.0 + exp(-2.0 * *z)) - 1.0;
                    *d = 1.0 - *z * *z;
                }
            }
            Activation::Relu => {
                for (z, d) in z.iter_mut().zip(slope) {
                    *d = if *z > 0.0 { 1.0 } else { 0.0 };
                    *z *= *d;
                }
            }
            Activation::Gelu => {
                for (z, d) in z.iter_mut().zip(slope) {
                    let below = 0.5 * (1.0 + libm::erf(*z * std::f64::consts::FRAC_1_SQRT_2));
                    *d = below
                        + *z * (0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2) * exp(-0.5 * *z * *z);
                    *z *= below;
                }
            }
        }
    }
}

/// A matrix, its transpose and a vector.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub inputs: usize,
    pub outputs: usize,
    /// A, row after row.
    weights: Vec<f64>,
    /// A', row after row.
    transposed: Vec<f64>,
    pub biases: Vec<f64>,
}

impl Layer {
    /// `weights` has `biases.len()` rows.
    pub fn new(weights: Vec<f64>, biases: Vec<f64>) -> Self {
        let outputs = biases.len();
        let inputs = weights.len() / outputs;
        let transposed = (0..weights.len()).map(|k| weights[k % outputs * inputs + k / outputs]).collect();
        Layer { inputs, outputs, weights, transposed, biases }
    }

    pub fn parameters(&self) -> usize {
        self.weights.len() + self.biases.len()
    }
}

/// Layers and the embedding of the level before them.
#[derive(Clone, Debug)]
pub(super) struct Perceptron {
    /// The first one has the state's columns only.
    pub layers: Vec<Layer>,
    /// The columns of the first layer that see the embedded level, row after row.
    pub level_weights: Vec<f64>,
    pub frequencies: Option<Vec<f64>>,
    pub activation: Activation,
}

impl Perceptron {
    pub fn parameters(&self) -> usize {
        self.level_weights.len() + self.layers.iter().map(Layer::parameters).sum::<usize>()
    }

    /// The first layer's biases with the level in them.
    pub fn biases(&self, level: f64) -> Vec<f64> {
        let embedded: Vec<f64> = match &self.frequencies {
            None => vec![level],
            Some(f) => f.iter().map(|f| (f * level).sin()).chain(f.iter().map(|f| (f * level).cos())).collect(),
        };
        (self.layers[0].biases.iter().zip(self.level_weights.chunks(embedded.len())))
            .map(|(b, row)| row.iter().zip(&embedded).fold(*b, |sum, (w, x)| sum + w * x))
            .collect()
    }
}

/// What is asked of a block besides the value.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// The value.
    Value,
    /// J v.
    Tangent(Points<'a>),
    /// J' p.
    Cotangent(Points<'a>),
}

/// Memory for the evaluation of blocks.
pub(super) struct Scratch {
    /// Two rows of layers' values.
    values: [Vec<Lane>; 2],
    /// act' of all hidden layers.
    slopes: Vec<Lane>,
}

impl Scratch {
    pub fn new(layers: &[Layer], wanted: Wanted<'_>) -> Self {
        let widest = layers.iter().map(|l| l.inputs.max(l.outputs)).max().unwrap_or(0);
        let hidden = match wanted {
            Wanted::Value => 0,
            _ => layers.iter().skip(1).map(|l| l.inputs).sum(),
        };
        Scratch { values: [vec![[0.0; LANES]; widest], vec![[0.0; LANES]; widest]], slopes: vec![[0.0; LANES]; hidden] }
    }
}

/// Write the network (or the product with its Jacobian J) at all points of `x`; `first` replaces the first layer's biases.
pub(super) fn evaluate(
    layers: &[Layer],
    activation: Activation,
    first: &[f64],
    x: Points<'_>,
    wanted: Wanted<'_>,
    mut out: PointsMut<'_>,
) {
    let mut scratch = Scratch::new(layers, wanted);
    for start in (0..x.len()).step_by(LANES) {
        let range = start..x.len().min(start + LANES);
        let wanted = match wanted {
            Wanted::Value => Wanted::Value,
            Wanted::Tangent(v) => Wanted::Tangent(v.window(range.clone())),
            Wanted::Cotangent(p) => Wanted::Cotangent(p.window(range.clone())),
        };
        let (x, out) = (x.window(range.clone()), out.window(range));
        dispatch(Block { layers, activation, first, x, wanted, out, scratch: &mut scratch });
    }
}

/// At most [`LANES`] points.
pub(super) struct Block<'a> {
    pub layers: &'a [Layer],
    pub activation: Activation,
    pub first: &'a [f64],
    pub x: Points<'a>,
    pub wanted: Wanted<'a>,
    pub out: PointsMut<'a>,
    pub scratch: &'a mut Scratch,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run(mut self) {
        let Scratch { values: [a, b], slopes } = self.scratch;
        let (mut from, mut to) = (a, b);
        let last = self.layers.len() - 1;
        let keep = !matches!(self.wanted, Wanted::Value);
        let mut used = 0;
        load(self.x, from);
        for (l, layer) in self.layers.iter().enumerate() {
            let biases = if l == 0 { self.first } else { &layer.biases };
            if l == last && keep {
                break;
            }
            product(&layer.weights, layer.inputs, Some(biases), from, &mut to[..layer.outputs]);
            if l < last {
                for (i, z) in to[..layer.outputs].iter_mut().enumerate() {
                    self.activation.apply(z, if keep { Some(&mut slopes[used + i]) } else { None });
                }
                used += layer.outputs;
            }
            std::mem::swap(&mut from, &mut to);
        }
        match self.wanted {
            Wanted::Value => {}
            Wanted::Tangent(v) => {
                load(v, from);
                let mut start = 0;
                for (l, layer) in self.layers.iter().enumerate() {
                    product(&layer.weights, layer.inputs, None, from, &mut to[..layer.outputs]);
                    if l < last {
                        multiply(&mut to[..layer.outputs], &slopes[start..]);
                        start += layer.outputs;
                    }
                    std::mem::swap(&mut from, &mut to);
                }
            }
            Wanted::Cotangent(p) => {
                load(p, from);
                for layer in self.layers.iter().rev() {
                    product(&layer.transposed, layer.outputs, None, from, &mut to[..layer.inputs]);
                    if used > 0 {
                        used -= layer.inputs;
                        multiply(&mut to[..layer.inputs], &slopes[used..]);
                    }
                    std::mem::swap(&mut from, &mut to);
                }
            }
        }
        let n = self.x.len();
        for i in 0..self.out.dim() {
            self.out.coord_mut(i).copy_from_slice(&from[i][..n]);
        }
    }
}

/// The points, and zeros for those that are missing.
#[inline(always)]
fn load(x: Points<'_>, rows: &mut [Lane]) {
    let n = x.len();
    for i in 0..x.dim() {
        rows[i][..n].copy_from_slice(x.coord(i));
        rows[i][n..].fill(0.0);
    }
}

#[inline(always)]
fn multiply(rows: &mut [Lane], by: &[Lane]) {
    for (row, by) in rows.iter_mut().zip(by) {
        for (r, b) in row.iter_mut().zip(by) {
            *r *= b;
        }
    }
}

/// out_i = b_i + sum_f m[i F + f] x_f, F = `inputs`.
#[inline(always)]
fn product(m: &[f64], inputs: usize, biases: Option<&[f64]>, x: &[Lane], out: &mut [Lane]) {
    let bias = |i: usize| biases.map_or(0.0, |b| b[i]);
    let x = &x[..inputs];
    let whole = out.len() / ROWS * ROWS;
    for i in (0..whole).step_by(ROWS) {
        rows::<ROWS>(
            std::array::from_fn(|r| &m[(i + r) * inputs..][..inputs]),
            std::array::from_fn(|r| bias(i + r)),
            x,
            &mut out[i..],
        );
    }
    for i in whole..out.len() {
        rows::<1>([&m[i * inputs..][..inputs]], [bias(i)], x, &mut out[i..]);
    }
}

#[inline(always)]
fn rows<const R: usize>(m: [&[f64]; R], bias: [f64; R], x: &[Lane], out: &mut [Lane]) {
    for part in 0..LANES / WIDTH {
        let sum = sums(m, bias, x, part);
        for r in 0..R {
            out[r].as_chunks_mut::<WIDTH>().0[part] = sum[r];
        }
    }
}

#[inline(always)]
fn sums<const R: usize>(m: [&[f64]; R], bias: [f64; R], x: &[Lane], part: usize) -> [[f64; WIDTH]; R] {
    let mut sum = [[0.0; WIDTH]; R];
    for r in 0..R {
        sum[r] = [bias[r]; WIDTH];
    }
    for (f, x) in x.iter().enumerate() {
        let x = &x.as_chunks::<WIDTH>().0[part];
        let mut a = [0.0; R];
        for r in 0..R {
            a[r] = m[r][f];
        }
        for r in 0..R {
            for j in 0..WIDTH {
                sum[r][j] += a[r] * x[j];
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{InstructionSet, dispatch_on};
    use crate::points::PointBlock;

    const ACTIVATIONS: [Activation; 4] = [Activation::Silu, Activation::Tanh, Activation::Relu, Activation::Gelu];

    fn layers(widths: &[usize]) -> Vec<Layer> {
        let wave = |n: usize, s: f64| (0..n).map(|k| 0.6 * (s + 1.7 * k as f64).sin()).collect::<Vec<f64>>();
        widths.windows(2).map(|w| Layer::new(wave(w[0] * w[1], w[0] as f64), wave(w[1], 0.3))).collect()
    }

    fn wave(dim: usize, n: usize, s: f64) -> PointBlock {
        let mut b = PointBlock::zeros(dim, n);
        b.data_mut().iter_mut().enumerate().for_each(|(k, x)| *x = 2.0 * (s + 0.7 * k as f64).cos());
        b
    }

    /// One point, by the formula and the standard library.
    fn plain(layers: &[Layer], activation: Activation, x: &[f64]) -> Vec<f64> {
        let mut x = x.to_vec();
        for (l, layer) in layers.iter().enumerate() {
            x = (0..layer.outputs)
                .map(|i| layer.biases[i] + (0..layer.inputs).map(|f| layer.weights[i * layer.inputs + f] * x[f]).sum::<f64>())
                .map(|z: f64| match activation {
                    _ if l + 1 == layers.len() => z,
                    Activation::Silu => z / (1.0 + (-z).exp()),
                    Activation::Tanh => z.tanh(),
                    Activation::Relu => z.max(0.0),
                    Activation::Gelu => 0.5 * z * libm::erfc(-z / 2.0_f64.sqrt()),
                })
                .collect();
        }
        x
    }

    fn value(layers: &[Layer], activation: Activation, x: &PointBlock, wanted: Wanted<'_>) -> PointBlock {
        let mut out = PointBlock::zeros(
            match wanted {
                Wanted::Cotangent(_) => layers[0].inputs,
                _ => layers[layers.len() - 1].outputs,
            },
            x.len(),
        );
        evaluate(layers, activation, &layers[0].biases, x.as_points(), wanted, out.as_mut());
        out
    }

    #[test]
    fn values_are_those_of_the_formula_however_points_are_cut_into_blocks() {
        for activation in ACTIVATIONS {
            for widths in [vec![3, 7, 5, 2], vec![2, 3], vec![5, 9, 6]] {
                let (layers, x) = (layers(&widths), wave(widths[0], 150, 0.1));
                let all = value(&layers, activation, &x, Wanted::Value);
                let mut point = vec![0.0; widths[0]];
                for j in 0..x.len() {
                    x.as_points().copy_point(j, &mut point);
                    let one = PointBlock::from_points(widths[0], &[&point]).unwrap();
                    let alone = value(&layers, activation, &one, Wanted::Value);
                    for (i, expected) in plain(&layers, activation, &point).into_iter().enumerate() {
                        assert!((all.coord(i)[j] - expected).abs() < 1e-14, "{activation:?} {widths:?}");
                        assert_eq!(all.coord(i)[j], alone.coord(i)[0]);
                    }
                }
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_differences_and_of_each_other() {
        for activation in ACTIVATIONS {
            for widths in [vec![3, 7, 5, 2], vec![2, 3], vec![5, 9, 6]] {
                let layers = layers(&widths);
                let (x, v, p) = (wave(widths[0], 70, 0.1), wave(widths[0], 70, 0.5), wave(widths[widths.len() - 1], 70, 0.9));
                let tangent = value(&layers, activation, &x, Wanted::Tangent(v.as_points()));
                let cotangent = value(&layers, activation, &x, Wanted::Cotangent(p.as_points()));
                let h = 1e-6;
                let moved = |h: f64| {
                    let mut y = x.clone();
                    y.data_mut().iter_mut().zip(v.data()).for_each(|(y, v)| *y += h * v);
                    value(&layers, activation, &y, Wanted::Value)
                };
                let (up, down) = (moved(h), moved(-h));
                for (k, t) in tangent.data().iter().enumerate() {
                    assert!((t - (up.data()[k] - down.data()[k]) / (2.0 * h)).abs() < 1e-8, "{activation:?} {widths:?}");
                }
                for j in 0..x.len() {
                    let dot = |a: &PointBlock, b: &PointBlock| (0..a.dim()).map(|i| a.coord(i)[j] * b.coord(i)[j]).sum::<f64>();
                    assert!((dot(&p, &tangent) - dot(&cotangent, &v)).abs() < 1e-13, "{activation:?} {widths:?}");
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let widths = [3, 13, 10, 2];
        let layers = layers(&widths);
        for activation in ACTIVATIONS {
            for n in [1, 37, 64] {
                let (x, p) = (wave(3, n, 0.1), wave(2, n, 0.4));
                for (wanted, dim) in
                    [(Wanted::Value, 2), (Wanted::Cotangent(p.as_points()), 3), (Wanted::Tangent(x.as_points()), 2)]
                {
                    let results = InstructionSet::ALL.map(|set| {
                        let mut out = PointBlock::zeros(dim, n);
                        let mut scratch = Scratch::new(&layers, wanted);
                        let first = &layers[0].biases;
                        let (x, out_) = (x.as_points(), out.as_mut());
                        dispatch_on(
                            set,
                            Block { layers: &layers, activation, first, x, wanted, out: out_, scratch: &mut scratch },
                        );
                        out
                    });
                    assert!(results[0] == results[1] && results[0] == results[2], "{activation:?}");
                }
            }
        }
    }
}
